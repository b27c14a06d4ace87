"""`contrast`: differences of the terms of one result, and other linear combinations, with joint standard errors."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from eocausal._checks import one_of
from eocausal.errors import EstimationError, explain
from eocausal.inference.estimate import Estimate
from eocausal.inference.repeats import Repeats
from eocausal.inference.vcov import variance_of

FloatArray = npt.NDArray[np.float64]

# What is left of numbers that cancel, over these: no digits are in it.
_ROUNDING = 1e-13

OTHER_UNITS = (
    "the two averages are of different units, those of either arm: their difference is not the effect of one arm "
    "against the other on anyone"
)


def contrast(estimate: Estimate, term: str, *, against: str | None = None) -> Estimate:
    """Return one term of a result less another, with the joint standard error; or one term alone.

    Parameters
    ----------
    estimate : Estimate
        With several terms, such as the effects of several arms against one control.
    term : str
    against : str, optional
        The term that is subtracted. Default: nothing is.

    Returns
    -------
    Estimate
        With one term, ``term - against``, and standard errors of the kind that the result has.

    Raises
    ------
    EstimationError
        Not an Estimate, or a term that it does not have.

    Examples
    --------
    >>> import numpy as np, pandas as pd, eocausal as ec
    >>> table = pd.DataFrame({"aid": ["none", "roads", "wells"] * 20, "wealth": np.arange(60.0) % 7})
    >>> table["wealth"] += table["aid"].map({"none": 0.0, "roads": 1.0, "wells": 3.0})
    >>> design = ec.Design(table, outcome="wealth", treatment="aid", treatment_type="categorical", control="none")
    >>> effects = ec.ate(design, method="difference")
    >>> ec.contrast(effects, "wells", against="roads").to_frame()[["term", "estimate"]].round(2).to_dict("list")
    {'term': ['wells - roads'], 'estimate': [1.95]}
    """
    if not isinstance(estimate, Estimate):
        raise EstimationError(
            explain(
                f"A contrast is of the terms of an Estimate, not of a {type(estimate).__name__}.",
                fix="a DoseResponse holds one in .curve",
            )
        )
    one_of(term, estimate.terms, argument="term", error=EstimationError)
    weights = np.zeros((len(estimate.terms), 1))
    weights[estimate.terms.index(term)] = 1.0
    if against is None:
        return combined(estimate, weights, (term,))
    one_of(against, estimate.terms, argument="against", error=EstimationError)
    if against == term:
        raise EstimationError(explain(f"{term!r} cannot be compared with itself."))
    weights[estimate.terms.index(against)] = -1.0
    made = combined(estimate, weights, (f"{term} - {against}",))
    # of two arms, and of a panel, terms differ in time or in method and not in who was given what
    several = estimate.arms is not None and np.unique(estimate.arms.treatment).size > 2
    if several and estimate.estimand.startswith("att"):
        return replace(made, warnings=(*made.warnings, OTHER_UNITS))
    return made


def combinations(
    values: FloatArray, scores: FloatArray, weights: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return linear combinations, ``weights`` (k, m), of estimates (..., k) and their influence values (..., n, k).

    What cancels is exactly zero: what rounding leaves of the difference of two equal estimates, over what it leaves
    of its standard error, would else be a large t statistic.

    Examples
    --------
    >>> scores = np.array([[0.1, 0.1 + 1e-17], [-0.1, -0.1]])
    >>> combinations(np.array([0.3, 0.1 + 0.2]), scores, np.array([[1.0], [-1.0]]))[0].tolist()
    [0.0]
    """
    found, moved = values @ weights, scores @ weights
    none = _ROUNDING * (np.abs(scores) @ np.abs(weights)).max(axis=-2)
    least = np.maximum(none, _ROUNDING * (np.abs(values) @ np.abs(weights)))
    return (
        np.where(np.abs(found) <= least, 0.0, found),
        np.where(np.abs(moved) <= none[..., None, :], 0.0, moved),
    )


def combined(
    estimate: Estimate, weights: FloatArray, terms: tuple[str, ...], *, estimand: str | None = None
) -> Estimate:
    """Return linear combinations of the terms of a result, ``weights`` (k, m), with their joint covariance.

    Of repeated cross-fitting each repeat is combined by itself, and the medians are those of the combinations.
    """
    make = partial(
        variance_of, how=estimate.variance.how, groups=estimate.groups, coordinates=estimate.coordinates,
        n_params=estimate.n_params, panel=estimate.panel, arms=estimate.arms, weights=estimate.weights,
    )  # fmt: skip
    values, scores = combinations(estimate.values, estimate.score_values, weights)
    repeats = estimate.repeats
    if repeats is None:
        variance = make(scores)
    else:
        each = Repeats(
            terms,
            repeats.seeds,
            *combinations(repeats.values, repeats.score_values, weights),
            repeats.std_errors,
        )
        variance, repeats = each.variance(make)
        values = np.median(repeats.values, axis=0)
    second = None if estimate.second is None else estimate.second.combined(weights)
    if second is None:
        # few labels among many units stay few in what is made of them
        variance = replace(variance, df=min(variance.df, estimate.variance.df))
    else:
        variance = second.added(variance)
    kept = [text for text in estimate.warnings if text not in estimate.variance.notes]
    return replace(
        estimate,
        estimand=estimate.estimand if estimand is None else estimand,
        terms=terms,
        values=values,
        score_values=scores,
        variance=variance,
        repeats=repeats,
        second=second,
        origin=None,
        warnings=(*kept, *variance.notes),
        diagnostics=_diagnostics_of(estimate, weights),
    )


def _diagnostics_of(estimate: Estimate, weights: FloatArray) -> dict[str, Any]:
    """Return the diagnostics of a result, with the times of those terms that are left alone."""
    found = dict(estimate.diagnostics)
    times = found.pop("event_times", None)
    if times is None:
        return found
    alone = (weights != 0).sum(axis=0) == 1
    left = [times[int(np.flatnonzero(column)[0])] if one else None for column, one in zip(weights.T, alone)]
    return found if all(one is None for one in left) else {**found, "event_times": left}
