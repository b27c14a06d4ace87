"""What labels with a treatment tell of predictions: is their error differential, do they see treatment itself.

Pure arrays. Both tests are least squares on labelled units, with the variance HC3, of whole clusters where
there are any.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from eocausal.errors import DebiasError, EstimationError, explain
from eocausal.inference.least_squares import LeastSquares, hc3_matrix, least_squares, rests_on_one

FloatArray = npt.NDArray[np.float64]
Labels = npt.NDArray[Any]

# Names of the rows: the two tests, and how far predictions follow outcomes within arms.
RESIDUAL_ON_TREATMENT = "residual on treatment"
PREDICTION_ON_TREATMENT = "prediction on treatment, given truth"
PREDICTION_ON_TRUTH = "prediction on truth, given treatment"

# Coefficients of treatment below this share of the largest outcome are rounding.
_ROUNDING = 1e-13

HYPOTHESES = {
    RESIDUAL_ON_TREATMENT: "errors of predictions are alike in both arms, so their plain difference is unbiased",
    PREDICTION_ON_TREATMENT: "predictions see treatment only through the outcome, so undoing shrinkage is right",
    PREDICTION_ON_TRUTH: "predictions do not follow the outcome within arms",
}


def label_tests(
    prediction: FloatArray,
    truth: FloatArray,
    treatment: FloatArray,
    *,
    weights: FloatArray | None = None,
    clusters: Labels | None = None,
) -> pd.DataFrame:
    """Test on labelled units which of two stories about the error of predictions can stand.

    Parameters
    ----------
    prediction, truth : array of shape (n,)
        Of labelled units, in the same units of measurement, without missing values.
    treatment : array of shape (n,)
        0 for control, 1 for treated; or a dose.
    weights : array of shape (n,), optional
        Positive; such as the inverse of each unit's probability of being labelled.
    clusters : array of shape (n,), optional
        Labels of units that were drawn or treated together.

    Returns
    -------
    DataFrame
        Columns ``term hypothesis estimate std_error statistic p_value df n n_clusters``, with three rows:

        * ``residual on treatment``: how much more ``truth - prediction`` is in the treated arm. It is the bias of
          the difference in predictions, with its sign turned. Not zero: the naive estimate is biased.
        * ``prediction on treatment, given truth``: not zero: predictions see treatment otherwise than through the
          outcome, so corrections that divide by the slope (LCC, Tweedie) are not right.
        * ``prediction on truth, given treatment``: the slope within arms; shrunk predictions have one below 1.

        Where one cluster, or one unit, alone decides a coefficient, it has no standard error and NaN stands there.

    Raises
    ------
    DebiasError
        Arrays of different length, missing or infinite values, one arm only, a truth that does not vary within the
        arms, or weights that are not positive.

    Notes
    -----
    Random noise in the measured truth pulls the slope on truth down, and with an effect of treatment it moves the
    coefficient of treatment in the second test away from zero too: with noisy labels it may reject because of them.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> treatment = np.tile([0.0, 1.0], 100)
    >>> truth = treatment + rng.normal(size=200)
    >>> prediction = 0.5 * truth + 0.3 * rng.normal(size=200)
    >>> table = label_tests(prediction, truth, treatment)
    >>> (table["p_value"] < 0.05).tolist()
    [True, False, True]
    """
    arrays = _checked(prediction, truth, treatment, weights, clusters)
    prediction, truth, treatment, given = arrays
    ones = np.ones(truth.size)
    try:
        on_treatment = least_squares(truth - prediction, np.column_stack([ones, treatment]), given)
        centred = truth - truth.mean()
        on_both = least_squares(prediction, np.column_stack([ones, treatment, centred]), given)
    except EstimationError as cause:
        text = "The labels cannot test predictions: within the arms the truth does not vary, or follows treatment."
        raise DebiasError(
            explain(text, fix="labels of units in both arms, with different outcomes")
        ) from cause
    asked = (
        (RESIDUAL_ON_TREATMENT, on_treatment, 1),
        (PREDICTION_ON_TREATMENT, on_both, 1),
        (PREDICTION_ON_TRUTH, on_both, 2),
    )
    least = _ROUNDING * float(max(np.abs(truth).max(), np.abs(prediction).max()))
    return pd.DataFrame([_row(term, fit, position, clusters, least) for term, fit, position in asked]).astype(
        {"n_clusters": "Int64"}
    )


def differential(tests: pd.DataFrame, *, level: float = 0.05) -> tuple[bool, bool]:
    """Return whether labels reject that the naive difference is right, and that undoing shrinkage is.

    Of the table of :func:`label_tests`; a test without a p-value rejects nothing.
    """
    p_values = tests.set_index("term")["p_value"]
    return (
        bool(p_values[RESIDUAL_ON_TREATMENT] < level),
        bool(p_values[PREDICTION_ON_TREATMENT] < level),
    )


def words_of(tests: pd.DataFrame, *, level: float = 0.05) -> str:
    """Return in one sentence what the table of :func:`label_tests` says of estimates that use no labels.

    Examples
    --------
    >>> table = pd.DataFrame({"term": [RESIDUAL_ON_TREATMENT, PREDICTION_ON_TREATMENT], "p_value": [0.001, 0.4]})
    >>> words_of(table)
    'labels reject the plain difference in predictions (p 0.001) and not the correction for shrinkage (p 0.4)'
    """
    p_values = tests.set_index("term")["p_value"]
    naive, corrected = (f"{p_values[term]:.2g}" for term in (RESIDUAL_ON_TREATMENT, PREDICTION_ON_TREATMENT))
    plain, shrinkage = (
        f"the plain difference in predictions (p {naive})",
        f"the correction for shrinkage (p {corrected})",
    )
    if not np.isfinite(p_values[[RESIDUAL_ON_TREATMENT, PREDICTION_ON_TREATMENT]]).all():
        return "labels are too few, or in too few clusters, to test the error of predictions"
    said = {
        (True, False): f"labels reject {plain} and not {shrinkage}",
        (False, True): f"labels reject {shrinkage} and not {plain}",
        (
            True,
            True,
        ): f"labels reject both {plain} and {shrinkage}: estimates without labels are not right here",
        (
            False,
            False,
        ): f"labels reject neither {plain} nor {shrinkage}: too few to tell, or errors are small",
    }
    return said[differential(tests, level=level)]


def _checked(
    prediction: FloatArray,
    truth: FloatArray,
    treatment: FloatArray,
    weights: FloatArray | None,
    clusters: Labels | None,
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    given = np.ones(len(truth)) if weights is None else weights
    named = {"prediction": prediction, "truth": truth, "treatment": treatment, "weights": given}
    arrays = {name: np.asarray(values, dtype=float) for name, values in named.items()}
    lengths = {name: values.shape for name, values in arrays.items()}
    if clusters is not None:
        lengths["clusters"] = np.asarray(clusters).shape
    if len(set(lengths.values())) > 1 or len(lengths["truth"]) != 1:
        text = "prediction, truth, treatment, weights and clusters are not of one length."
        raise DebiasError(explain(text, where=[f"{name} {shape}" for name, shape in lengths.items()]))
    for name, values in arrays.items():
        bad = ~np.isfinite(values)
        if bad.any():
            text = f"{name} is missing or infinite for some labelled units."
            raise DebiasError(
                explain(text, where=np.flatnonzero(bad), rule="a number for every labelled unit")
            )
    if not (arrays["weights"] > 0).all():
        where = np.flatnonzero(~(arrays["weights"] > 0))
        raise DebiasError(explain("weights are not positive.", where=where, rule="weights above 0"))
    if np.unique(arrays["treatment"]).size < 2:
        raise DebiasError(
            explain(
                "All labelled units are of one arm.",
                fix="labels of units in both arms tell how errors differ",
            )
        )
    return arrays["prediction"], arrays["truth"], arrays["treatment"], arrays["weights"]


def _row(
    term: str, fit: LeastSquares, position: int, clusters: Labels | None, least: float
) -> dict[str, Any]:
    estimate, n = float(fit.coefficients[position]), fit.residuals.size
    if term != PREDICTION_ON_TRUTH and abs(estimate) <= least:
        estimate = 0.0
    n_clusters = None if clusters is None else int(np.unique(clusters).size)
    df = float(n - fit.columns.shape[1] if n_clusters is None else n_clusters - 1)
    error = np.nan
    if df > 0 and not rests_on_one(fit, clusters):
        error = float(np.sqrt(hc3_matrix(fit, clusters)[position, position]))
    # a coefficient of zero without any error contradicts nothing
    statistic = 0.0 if estimate == 0 else estimate / error if error != 0 else np.copysign(np.inf, estimate)
    return {
        "term": term, "hypothesis": HYPOTHESES[term], "estimate": estimate, "std_error": error,
        "statistic": statistic if np.isfinite(error) else np.nan,
        "p_value": float(2 * stats.t.sf(abs(statistic), df)) if np.isfinite(error) else np.nan,
        "df": df, "n": n, "n_clusters": n_clusters,
    }  # fmt: skip
