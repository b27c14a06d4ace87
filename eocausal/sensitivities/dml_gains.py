"""How strong columns are as confounders: the estimate made again without them, or with places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal.errors import SensitivityError, explain
from eocausal.sensitivities.benchmarks import Benchmark, with_places
from eocausal.sensitivities.long_short import Gain, LongShort, gain, of_arms, of_residuals, strength
from eocausal.sensitivities.subject import origin_of

if TYPE_CHECKING:
    from eocausal.inference.estimate import Estimate
    from eocausal.inference.origin import Origin

Rows = npt.NDArray[np.intp]

METHODS = ("aipw", "partially_linear")
# Less than this share of its standard error is no change of an estimate to speak of.
NOISE = 0.25


def pieces_of(estimate: Estimate) -> tuple[LongShort, ...]:
    """Return what bounds the bias of an estimate, of each repeat of its folds.

    Raises
    ------
    SensitivityError
        The estimate is by another method.
    """
    origin = origin_of(estimate)
    method = str(origin.options["method"])
    if method not in METHODS or not origin.predicted:
        fix = "kind='marginal' for weights" if method in ("ipw", "cbps") else "kind='omitted' for regressions"
        raise SensitivityError(
            explain(
                f"kind='dml' needs predictions of outcome and treatment, and method={method!r} lacks them.",
                rule=f"methods that do: {', '.join(METHODS)}",
                fix=f"{fix}, or ec.ate(design, method='aipw')",
            )
        )
    return _pieces(origin, np.arange(len(origin.entered)))


@dataclass(frozen=True)
class Measured:
    """A benchmark with its strengths as found, and as used: not below 0. And what there is to say of it."""

    benchmark: Benchmark
    gain: Gain
    raw: Gain
    warnings: tuple[str, ...]


def measured(estimate: Estimate, benchmark: Benchmark, pieces: Sequence[LongShort]) -> Measured:
    """Return how strong a benchmark is as a confounder, on the units that the estimate is of."""
    other = _pieces_on(estimate, _with_places(estimate) if benchmark.coordinates else benchmark.without)
    raw = gain(other, pieces, inside=False) if benchmark.coordinates else gain(pieces, other)
    used = replace(raw, r2_outcome=max(raw.r2_outcome, 0.0), r2_treatment=max(raw.r2_treatment, 0.0))
    told = _told(benchmark, raw, known=_known(estimate))
    error = float(np.ravel(estimate.std_error)[0])
    most = float(np.median([one.scale for one in pieces])) * strength(used.r2_outcome, used.r2_treatment)
    if most > 0 and abs(raw.change) > most + NOISE * error:
        way = "adding" if benchmark.coordinates else "leaving out"
        told.append(
            f"{way} {benchmark.in_words} moves the estimate by {abs(raw.change):.3g}, more than the {most:.3g} "
            "that its measured strengths allow: learners measure them too low, and multiples of it promise too much"
        )
    return Measured(benchmark, used, raw, tuple(told))


def _pieces_on(estimate: Estimate, change: Any) -> tuple[LongShort, ...]:
    """Return the pieces with nuisances learned from another design of the same units.

    Nobody is trimmed anew, and standard errors are those at no cost: neither enters the pieces.
    """
    origin = origin_of(estimate)
    other = origin.again(change(origin.design), trim=None, vcov="iid")
    rows = pd.Index(other.ids).get_indexer(pd.Index(estimate.ids))
    return _pieces(origin_of(other), rows)


def _pieces(origin: Origin, rows: Rows) -> tuple[LongShort, ...]:
    table = origin.entered.table
    outcome, treatment, weights = (part[rows] for part in (table.outcome, table.assigned, table.weights))
    estimand = str(origin.options["estimand"])
    found = []
    for predicted in origin.predicted:
        named = {name: values[rows] for name, values in predicted.items()}
        if "outcome_mean" in named:
            found.append(of_residuals(outcome, treatment, weights=weights, **named))
        else:
            found.append(of_arms(outcome, treatment, estimand=estimand, weights=weights, **named))
    return tuple(found)


def _with_places(estimate: Estimate) -> Any:
    """Return what adds a smooth surface over places to the covariates of a design."""
    if origin_of(estimate).options["learners"].columns == "features":
        raise SensitivityError(
            explain(
                "The learners see features alone, and coordinates would be covariates.",
                fix="Learners(columns='both') in ec.ate",
            )
        )
    return with_places


def _known(estimate: Estimate) -> bool:
    return origin_of(estimate).entered.table.propensity is not None


def _told(benchmark: Benchmark, raw: Gain, *, known: bool) -> list[str]:
    """Return what a reader must know of the strengths of a benchmark."""
    what, ending = benchmark.in_words, "" if benchmark.plural else "s"
    if raw.r2_outcome == 0 and raw.r2_treatment == 0 and raw.change == 0:
        return [f"leaving out {what} changes no prediction: the learners did not see it"]
    told = []
    if raw.r2_outcome < 0:
        told.append(
            f"with {what} the outcome is predicted worse than without (gain {raw.r2_outcome:.3g}): the strength "
            "with the outcome is set to 0"
        )
    if known:
        told.append(
            f"the propensity is known, so that {what} add{ending} nothing to it: no strength with treatment"
        )
    elif raw.r2_treatment < 0:
        told.append(
            f"with {what} treatment is predicted worse than without (gain {raw.r2_treatment:.3g}): the strength "
            "with treatment is set to 0"
        )
    if raw.r2_outcome > 1:
        told.append(
            f"{what} explain{ending} {raw.r2_outcome:.3g} times what is left of the outcome: the strength is "
            "set to 1"
        )
    if raw.r2_treatment >= 1:
        told.append(
            f"{what} raise{ending} the precision of the treatment's weights by {100 * raw.r2_treatment:.0f}%: a "
            "confounder as strong would leave no bound"
        )
    return told
