"""Logit and probit by plain maximum likelihood, refused where it has no solution to speak of. Pure arrays."""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt

from eocausal.errors import EstimationError, explain
from eocausal.nuisance.models import Predictor, Sample

FloatArray = npt.NDArray[np.float64]

# At most one column for so many units.
UNITS_PER_COLUMN = 10
# A fitted probability this near 0 or 1 is looked into.
SUSPICIOUS = 1e-6
STEPS = 100
# Columns are of about unit scale; what varies by less than this is rounding, such as components beyond the images.
NO_SPREAD = 1e-6


def logit(sample: Sample) -> Predictor:
    """Fit a logit by maximum likelihood."""
    return _maximum_likelihood(sample, "logit")


def probit(sample: Sample) -> Predictor:
    """Fit a probit by maximum likelihood."""
    return _maximum_likelihood(sample, "probit")


def _maximum_likelihood(sample: Sample, name: str) -> Predictor:
    import statsmodels.api as sm

    _require_few_columns(sample, name)
    link = {"logit": sm.families.links.Logit, "probit": sm.families.links.Probit}[name]()
    varies = sample.columns.std(axis=0) > NO_SPREAD
    rows = np.column_stack([np.ones(len(sample.columns)), sample.columns[:, varies]])
    model = sm.GLM(sample.target, rows, family=sm.families.Binomial(link), freq_weights=sample.weights)
    with warnings.catch_warnings(action="ignore"):  # of what is looked into below
        fitted = model.fit(maxiter=STEPS)
    probability = np.asarray(fitted.fittedvalues, dtype=float)
    near = (probability < SUSPICIOUS) | (probability > 1 - SUSPICIOUS)
    if (near.any() or not fitted.converged) and separates(sample.columns, sample.target):
        raise EstimationError(_separated(sample, name))
    coefficients = np.asarray(fitted.params, dtype=float)

    def predict(columns: FloatArray) -> FloatArray:
        index = coefficients[0] + columns[:, varies] @ coefficients[1:]
        return np.asarray(link.inverse(index), dtype=float)

    return predict


def separates(columns: FloatArray, treatment: FloatArray) -> bool:
    """Say whether some weighted sum of columns is never smaller for the treated than for the controls.

    One that is not the same for all: then the likelihood has no maximum, and coefficients grow without end. By
    linear programming, as in Konis (2007), Computational algorithms for detecting separation, chapter 4.

    Examples
    --------
    >>> x = np.array([[-2.0], [-1.0], [1.0], [2.0]])
    >>> separates(x, np.array([0.0, 0, 1, 1])), separates(x, np.array([0.0, 1, 0, 1]))
    (True, False)
    """
    from scipy.optimize import linprog

    rows = np.column_stack([np.ones(len(columns)), columns])
    signed = rows * np.where(treatment == 1, 1.0, -1.0)[:, None]
    found = linprog(-signed.sum(axis=0), A_ub=-signed, b_ub=np.zeros(len(rows)), bounds=(-1, 1))
    return found.fun is not None and -found.fun > 1e-7 * len(rows)


def _require_few_columns(sample: Sample, name: str) -> None:
    n, width = sample.columns.shape
    if width > n / UNITS_PER_COLUMN:
        few = max(1, n // (2 * UNITS_PER_COLUMN))
        raise EstimationError(
            explain(
                f"propensity={name!r} has {width} columns for {n} units to learn from.",
                rule=f"at most one column for {UNITS_PER_COLUMN} units, or the likelihood finds the sample's noise",
                fix=f"fewer components (Learners(pca={few})), columns='covariates', or "
                "propensity='penalised_logit'",
            )
        )


def _separated(sample: Sample, name: str) -> str:
    return explain(
        f"The columns tell {int(sample.target.sum())} treated and {int((1 - sample.target).sum())} control units "
        f"apart without error, so propensity={name!r} has no solution.",
        rule="no weighted sum of columns is larger for all the treated than for all the controls, or as large",
        fix="propensity='penalised_logit', fewer columns, or leave out the covariate that decides treatment",
    )
