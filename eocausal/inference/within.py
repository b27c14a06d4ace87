"""Regressions on what is left of a panel when unit and period effects are taken out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal.errors import EstimationError, explain

FloatArray = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]

# A column of which unit and period effects leave this small a share has no variation of its own.
ABSORBED = 1e-9
# Above this many numbers in the indicators of periods (or of units, if fewer) means are subtracted in turns.
MOST_INDICATORS = 50_000_000


class WithinFit(NamedTuple):
    """Coefficients (k,), their centred influence values (n, k), and how many effects of each kind there are."""

    coefficients: FloatArray
    scores: FloatArray
    n_units: int
    n_periods: int


def take_out_effects(columns: FloatArray, units: Codes, periods: Codes, weights: FloatArray) -> FloatArray:
    """Return columns (n, k) without unit and period effects, times the root of the weights.

    linearmodels does it without iterations, where memory allows: means of one kind of effect are subtracted, the
    other kind is projected out. Rows are in the order of units, then periods.

    Examples
    --------
    >>> units, periods = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    >>> take_out_effects(np.array([[0.0], [1.0], [0.0], [0.0]]), units, periods, np.ones(4)).ravel().tolist()
    [-0.25, 0.25, 0.25, -0.25]
    """
    try:
        from linearmodels.panel.data import PanelData
    except ImportError as cause:
        raise EstimationError(
            explain("linearmodels is not installed.", fix='pip install "eocausal[panels]"')
        ) from cause
    index = pd.MultiIndex.from_arrays([units, periods], names=["unit", "period"])
    frame = pd.DataFrame(np.asarray(columns, dtype=float), index=index)
    weighted = None
    if np.ptp(weights) > 0:
        weighted = PanelData(pd.DataFrame({"weight": weights / weights.mean()}, index=index))
    indicators = units.size * min(np.unique(units).size, np.unique(periods).size)
    left = PanelData(frame).demean("both", weights=weighted, low_memory=indicators > MOST_INDICATORS)
    return np.asarray(left.values2d, dtype=float)


def within_fit(
    outcome: FloatArray,
    regressors: FloatArray,
    *,
    names: list[str],
    units: Codes,
    periods: Codes,
    weights: FloatArray,
) -> WithinFit:
    """Regress the outcome on regressors with unit and period effects.

    The influence values are ``n (x~'x~)^-1 x~ u`` with ``x~`` the regressors without the effects and ``u`` the
    residuals, so that sums within clusters give the sandwich of the regression.

    Parameters
    ----------
    outcome, weights : array of shape (n,)
    regressors : array of shape (n, k)
    names : list of str, length k
    units, periods : array of shape (n,)
        Codes from 0.

    Raises
    ------
    EstimationError
        The effects, or other regressors, leave nothing of a regressor.
    """
    both = take_out_effects(np.column_stack([outcome, regressors]), units, periods, weights)
    left, columns = both[:, 0], both[:, 1:]
    _require_variation(regressors, columns, names)
    gram = columns.T @ columns
    coefficients = np.asarray(np.linalg.solve(gram, columns.T @ left), dtype=float)
    residual = left - columns @ coefficients
    scores = np.asarray(np.linalg.solve(gram, (columns * residual[:, None]).T).T, dtype=float)
    return WithinFit(coefficients, outcome.size * scores, int(units.max()) + 1, int(np.unique(periods).size))


def _require_variation(regressors: FloatArray, columns: FloatArray, names: list[str]) -> None:
    from scipy.linalg import qr

    spread = np.sqrt(((regressors - regressors.mean(axis=0)) ** 2).mean(axis=0))
    left = np.sqrt((columns**2).mean(axis=0))
    gone = left <= ABSORBED * np.where(spread > 0, spread, 1.0)
    if gone.any():
        raise EstimationError(
            explain(
                "Unit and period effects leave nothing of these columns.",
                where=[name for name, out in zip(names, gone) if out],
                rule="what enters differs between units in how it changes over time",
                fix="leave them out; traits of units that do not change belong to method='did'",
            )
        )
    _, upper, order = qr(columns / left, mode="economic", pivoting=True)
    size = np.abs(np.diag(upper))
    dependent = [names[place] for place, one in zip(order, size) if one <= 1e-8 * size[0]]
    if dependent:
        raise EstimationError(
            explain(
                "Given unit and period effects, these columns follow from others.",
                where=dependent,
                rule="without never-treated units, time since treatment, unit and period effects determine "
                "one another",
                fix="leave them out, bin far periods (window=(-4, 4)), or use method='did'",
            )
        )
