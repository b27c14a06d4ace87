"""How predictions follow changes within places: a calibration whose places were measured in several rounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from eocausal.errors import DebiasError, explain
from eocausal.inference.panel_index import PanelIndex
from eocausal.inference.periods import frequency_of, read_periods, row_names
from eocausal.inference.within import ABSORBED, take_out_effects

if TYPE_CHECKING:
    import pandas as pd

    from eocausal.debiasing.calibration_sample import CalibrationSample

FloatArray = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]

NOISY = (
    "errors in measured outcomes make the slope of changes too small, and effects scaled by it too large, in "
    "proportion to their share in the variance of changes; label_noise_var= takes them out"
)


class Changes(NamedTuple):
    """Predictions and truth (n,) without unit and period effects, moved to their means.

    ``n_params`` counts the slope and the period effects, ``noise_left`` is the share of the variance of errors of
    measurement that the effects leave.
    """

    prediction: FloatArray
    truth: FloatArray
    n_params: int
    noise_left: float


def read_rounds(
    frame: pd.DataFrame, unit: str, period: str
) -> tuple[Codes, PanelIndex, npt.NDArray[np.str_]]:
    """Return the order of rows by unit and period, then unit and period of each, and its name, in that order.

    Raises
    ------
    DesignError
        Periods that are missing or not whole numbers.
    DebiasError
        Units are missing.
    EstimationError
        A unit twice in a period.
    """
    missing = frame[unit].isna().to_numpy()
    if missing.any():
        raise DebiasError(
            explain(
                f"Unit {unit!r} is missing in some rows.",
                where=frame.index[missing],
                fix=f"calibration = calibration.dropna(subset=[{unit!r}])",
            )
        )
    places = frame[unit].to_numpy()
    times = read_periods(frame[period], np.asarray(places, dtype=object))
    index = PanelIndex(places, times)
    order = np.lexsort((times, np.unique(index.unit, return_inverse=True)[1]))
    index = index.take(order)
    return order, index, row_names(index.unit, index.period, frequency_of(frame[period]))


def measured_again(index: PanelIndex) -> list[str]:
    """Raise where fewer than two places are measured again; else say how many are measured once."""
    rounds = np.unique(index.unit, return_counts=True)[1]
    if (rounds > 1).sum() < 2:
        raise DebiasError(
            explain(
                f"{int((rounds > 1).sum())} places are measured in more than one round.",
                rule="at least 2: a slope of changes needs changes",
                fix="leave unit and period out to calibrate levels across places",
            )
        )
    once = int((rounds == 1).sum())
    return [f"{once} places are measured in one round only and say nothing of changes"] if once else []


def changes_of(sample: CalibrationSample, index: PanelIndex) -> Changes:
    """Take unit and period effects out of predictions and truth, rows in the order of units and periods.

    Raises
    ------
    DebiasError
        The truth does not change within places other than as all places do.
    """
    units, periods = (np.unique(one, return_inverse=True)[1] for one in (index.unit, index.period))
    share = sample.weights / sample.weights.mean()
    columns = np.column_stack([sample.prediction, sample.truth])
    left = take_out_effects(columns, units, periods, sample.weights) / np.sqrt(share)[:, None]
    if left[:, 1].std() <= ABSORBED * sample.truth.std():
        raise DebiasError(
            explain(
                "Unit and period effects leave nothing of the measured outcomes.",
                rule="outcomes that change within places, and not by the same amount everywhere",
                fix="leave unit and period out to calibrate levels across places",
            )
        )
    n, n_periods = units.size, int(periods.max()) + 1
    effects = int(units.max()) + n_periods
    moved = left + np.average(columns, axis=0, weights=sample.weights)
    return Changes(moved[:, 0], moved[:, 1], 1 + n_periods, 1 - effects / n)
