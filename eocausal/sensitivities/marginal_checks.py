"""What an analysis of the odds of treatment is asked, read and checked before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from eocausal._checks import one_of, whole_number
from eocausal.errors import SensitivityError, explain
from eocausal.sensitivities.subject import origin_of
from eocausal.sensitivities.weighted_bounds import SHARP, ZSB

if TYPE_CHECKING:
    from eocausal.inference.estimate import Estimate

FloatArray = npt.NDArray[np.float64]

WEIGHTED, AUGMENTED = ("ipw", "cbps"), "aipw"
BOTH, DVDS = "both", "dvds"
LAMBDAS = (1.0, 1.25, 1.5, 2.0, 3.0, 5.0)
# Odds that are off by more than this are of no interest, and breakdown is not looked for beyond.
MOST = 100.0
DRAWS, FEWEST_DRAWS = 200, 20
QUANTILES = ("linear", "out_of_fold", "boosting")

_INSTEAD = {
    "ols": "kind='omitted'",
    "regression": "kind='omitted'",
    "difference": "kind='omitted'",
    "partially_linear": "kind='dml'",
    "entropy_balancing": "ec.ate(design, method='cbps'), which balances the same columns by a propensity",
    "horvitz_thompson": "ec.ate(design, method='ipw'), whose weights are normalised",
}


def require_bounded(estimate: Estimate) -> None:
    """Raise unless an estimate is an average effect that rests on a propensity, and not over the overlap."""
    origin = origin_of(estimate)
    method, estimand = str(origin.options["method"]), str(origin.options.get("estimand"))
    if getattr(origin.design, "treatment_type", "binary") != "binary":
        raise SensitivityError(
            explain("Odds of treatment are of two arms, and this treatment is a dose.", fix="kind='dml'")
        )
    if method not in (*WEIGHTED, AUGMENTED):
        raise SensitivityError(
            explain(
                f"method={method!r} has no propensity whose odds could be off.",
                rule=f"methods that have: {', '.join((*WEIGHTED, AUGMENTED))}",
                fix=_INSTEAD.get(
                    method, "ec.ate(design, method='ipw', learners=ec.Learners(propensity='logit'))"
                ),
            )
        )
    if estimand == "ato":
        raise SensitivityError(
            explain(
                "estimand='ato' weighs units by the propensity, so that with other odds it speaks of other units.",
                rule="estimand= one of ate, att, atc",
                fix="ec.ate(design, estimand='att', ...)",
            )
        )


def read_lambdas(given: npt.ArrayLike) -> FloatArray:
    """Return rising bounds on the odds that begin with 1.

    Examples
    --------
    >>> read_lambdas([3, 1.5]).tolist()
    [1.0, 1.5, 3.0]
    """
    rule = f"numbers from 1 to {MOST:.0f}: by what factor the odds of treatment may be off"
    fix = "lambdas=(1, 1.25, 1.5, 2, 3, 5)"
    try:
        values: FloatArray = np.atleast_1d(np.asarray(given, dtype=np.float64))
    except (TypeError, ValueError):
        values = np.array([np.nan])
    # text that reads as a number, and true and false, are taken for a slip
    if np.isnan(values).any() or np.asarray(given).dtype.kind not in "iufO":
        raise SensitivityError(explain(f"lambdas={given!r} are not numbers.", rule=rule, fix=fix))
    bad = ~((values >= 1) & (values <= MOST))
    if values.ndim != 1 or not values.size or bad.any():
        where: Sequence[object] = values[bad].tolist() if values.ndim == 1 else ()
        raise SensitivityError(explain("lambdas hold no bounds on odds.", where=where, rule=rule, fix=fix))
    return np.unique(np.append(values, 1.0))


def read_methods(bounds: str | None, estimate: Estimate) -> tuple[str, ...]:
    """Return the kinds of bounds that are made."""
    method = str(origin_of(estimate).options["method"])
    if method == AUGMENTED:
        if bounds in (ZSB, BOTH):
            raise SensitivityError(
                explain(
                    f"bounds={bounds!r} is of weighting alone, and this estimate is by method='aipw'.",
                    rule="bounds of AIPW are the sharp ones",
                    fix="leave bounds out, or ec.ate(design, method='ipw', "
                    "learners=ec.Learners(propensity='logit'))",
                )
            )
        one_of(SHARP if bounds is None else bounds, (SHARP,), argument="bounds", error=SensitivityError)
        return (DVDS,)
    chosen = one_of(
        BOTH if bounds is None else bounds, (BOTH, ZSB, SHARP), argument="bounds", error=SensitivityError
    )
    return (ZSB, SHARP) if chosen == BOTH else (chosen,)


def read_draws(draws: int | None, estimate: Estimate) -> int:
    """Return how many draws a bootstrap takes."""
    if draws is not None and origin_of(estimate).options["method"] == AUGMENTED:
        raise SensitivityError(
            explain(
                "draws= was given, but intervals of bounds by AIPW are made from influence values.",
                fix="leave draws out",
            )
        )
    return whole_number(
        DRAWS if draws is None else draws, argument="draws", error=SensitivityError, least=FEWEST_DRAWS
    )


def read_quantile(quantile: str | None) -> str | None:
    """Return how quantiles are learned; None is out of fold."""
    if quantile is None:
        return None
    return one_of(quantile, QUANTILES, argument="quantile", error=SensitivityError)
