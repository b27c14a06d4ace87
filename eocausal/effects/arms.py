"""Average effects of several arms against one of them: a term for each arm, with joint influence values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eocausal._provenance import hash_arrays
from eocausal.effects import methods
from eocausal.effects.methods import Asked, Fitted, Method, ignorability
from eocausal.effects.weighting import r_squared
from eocausal.errors import EstimationError, explain
from eocausal.inference.arm_scores import (
    ARM_ESTIMANDS,
    arm_weights,
    augmented_contrast,
    effective_sizes,
    hajek_contrast,
)
from eocausal.inference.propensity import EXTREME_PROPENSITY
from eocausal.inference.scores import ScoredEstimate, ratio_of_means
from eocausal.inference.variance import FEW_CLUSTERS
from eocausal.nuisance.arm_nuisance import arm_propensities, cross_fit_arms
from eocausal.nuisance.settings import dealt

if TYPE_CHECKING:
    from eocausal.design import Design
    from eocausal.nuisance.learners import Learners
    from eocausal.nuisance.settings import Settings

FloatArray = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]
RANDOMISED = "each arm was assigned with the same probability for all units"


def aipw(design: Design, settings: Settings, asked: Asked) -> Fitted:
    """Weigh the residuals of out-of-fold outcome predictions by the probability of each arm."""
    nuisance = cross_fit_arms(design, **dealt(design, settings))
    kept, notes = _kept(design, nuisance.propensities, asked)
    notes = [*nuisance.warnings, *notes]
    rows, part = kept, design if kept.all() else design.take(kept)
    table, chances = part.table, nuisance.propensities[rows]
    codes = table.assigned.astype(np.intp)
    scored = []
    for arm in range(1, len(table.arms)):
        numerator, share = augmented_contrast(
            table.outcome, codes,
            arm=arm, estimand=asked.estimand, propensities=chances, outcomes=nuisance.outcomes[rows],
        )  # fmt: skip
        scored.append(ratio_of_means(numerator, share, table.weights))
    said = _diagnostics(part, chances, nuisance.outcomes[rows])
    said |= {"folds_hash": hash_arrays(nuisance.folds), **settings.learners.describe()}
    return _fitted(part, scored, chances, settings, asked, notes=notes, said=said)


def ipw(design: Design, settings: Settings, asked: Asked) -> Fitted:
    """Weigh the arms by the inverse of the probability of each, normalised in each arm (Hajek)."""
    found = arm_propensities(design, **dealt(design, settings))
    everywhere = found.values
    kept, notes = _kept(design, everywhere, asked)
    notes = [*found.warnings, *notes]
    part, chances = design if kept.all() else design.take(kept), everywhere[kept]
    table = part.table
    scored = [
        hajek_contrast(
            table.outcome, table.assigned.astype(np.intp), table.weights,
            arm=arm, estimand=asked.estimand, propensities=chances,
        )
        for arm in range(1, len(table.arms))
    ]  # fmt: skip
    notes.append(
        "the probabilities of the arms were learned, and these standard errors take them as known: prefer "
        "method='aipw'"
    )
    return _fitted(part, scored, chances, settings, asked, notes=notes, said=_diagnostics(part, chances))


def difference(design: Design, settings: Settings, asked: Asked) -> Fitted:
    """Compare the means of the arms as they are, on every unit with an outcome."""
    plain = design.unadjusted()
    table, n_arms = plain.table, len(plain.table.arms)
    equal = np.full((len(plain), n_arms), 1 / n_arms)
    scored = [
        hajek_contrast(
            table.outcome, table.assigned.astype(np.intp), table.weights,
            arm=arm, estimand="ate", propensities=equal,
        )._replace(n_params=n_arms)
        for arm in range(1, n_arms)
    ]  # fmt: skip
    return Fitted(
        plain, tuple(scored), (RANDOMISED,), tuple(few_clusters(plain)),
        weights=table.weights, terms=table.arms[1:],
    )  # fmt: skip


def _predicts(design: Design, learners: Learners) -> str:
    """Return nothing: the probabilities of the arms are predicted out of fold, whatever the learner."""
    return ""


ONE_AVERAGE = "under equal probabilities of each arm all averages are one"
TWO_ARMS = "it is defined for two arms: design.pair(arm)"
ARM_METHODS: dict[str, Method] = {
    "aipw": Method(aipw, estimands=ARM_ESTIMANDS, why=TWO_ARMS, still=_predicts),
    "difference": Method(
        difference,
        estimands=("ate",),
        why=ONE_AVERAGE,
        why_not_trimmed="uses no propensity to trim by",
    ),
    "ipw": Method(ipw, estimands=ARM_ESTIMANDS, why=TWO_ARMS, still=_predicts),
}


def _fitted(
    design: Design,
    scored: list[ScoredEstimate],
    chances: FloatArray,
    settings: Settings,
    asked: Asked,
    *,
    notes: list[str],
    said: Mapping[str, Any],
) -> Fitted:
    table = design.table
    codes = table.assigned.astype(np.intp)
    same = asked.estimand == "ate" or len(table.arms) == 2
    weights = None
    if same:
        of = None if asked.estimand == "ate" else 1
        own = [
            arm_weights(codes, code, of=of, estimand=asked.estimand, propensities=chances)
            for code in range(len(table.arms))
        ]
        weights = table.weights * np.sum(own, axis=0)
    assumed = ignorability(design, False, settings.learners, asked.estimand)
    every = "and every arm is possible for every unit"
    assumed = assumed.replace("and both arms are possible", every)
    return Fitted(
        design,
        tuple(scored),
        (RANDOMISED if assumed == methods.RANDOMISED else assumed,),
        (*notes, *extreme_arms(table.arms, codes, chances, asked.estimand), *few_clusters(design)),
        said,
        weights,
        terms=table.arms[1:],
    )


def few_clusters(design: Design) -> list[str]:
    """Return a warning where an arm has units in few clusters; for two arms every result has its own."""
    table = design.table
    if table.clusters is None or len(table.arms) == 2:
        return []
    counts = [int(np.unique(table.clusters[table.assigned == code]).size) for code in range(len(table.arms))]
    if min(counts) >= FEW_CLUSTERS:
        return []
    shown = ", ".join(f"{count} {arm}" for arm, count in zip(table.arms, counts))
    return [
        f"clusters with units of each arm: {shown}; with fewer than {FEW_CLUSTERS} in an arm, clustered standard "
        "errors are too small"
    ]


def extreme_arms(
    arms: tuple[str, ...], codes: Codes, chances: FloatArray, estimand: str = "ate"
) -> list[str]:
    """Return a warning for each arm that is improbable where its mean is asked for, with counts by arm.

    An average over all units asks for every arm everywhere. An average over the units of one arm asks for the
    control among them, so that what counts is the probability of the control within the two arms.
    """
    bound = EXTREME_PROPENSITY[0]
    found = []
    for code in range(len(arms)):
        if estimand == "ate":
            improbable, of = chances[:, code] < bound, f"a probability below {bound} of arm {arms[code]!r}"
        elif code == 0:
            continue
        else:
            within = chances[:, 0] / (chances[:, 0] + chances[:, code])
            improbable = (within < bound) & np.isin(codes, (0, code))
            of = f"a probability below {bound} of the control where the choice is between it and {arms[code]!r}"
        if improbable.any():
            by = ", ".join(f"{int((improbable & (codes == k)).sum())} {arm}" for k, arm in enumerate(arms))
            found.append(f"{int(improbable.sum())} units ({by}) have {of}; they were kept with their weights")
    return found


def _kept(design: Design, chances: FloatArray, asked: Asked) -> tuple[npt.NDArray[np.bool_], list[str]]:
    """Return the units that trimming leaves: those whose every arm has a probability within the bounds."""
    if asked.trim is None:
        return np.ones(len(design), dtype=bool), []
    if asked.trim.rule != "fixed" or asked.estimand != "ate":
        raise EstimationError(
            explain(
                f"Trim({asked.trim.rule!r}) of the {asked.estimand} of several arms is not defined.",
                rule="several arms are trimmed by fixed bounds, for the ate",
                fix="Trim('fixed', low=0.05, high=0.95), or a pair of arms: design.pair(arm)",
            )
        )
    low, high = asked.trim.bounds(chances[:, 0], design.table.assigned)
    rows = np.asarray(((chances >= low) & (chances <= high)).all(axis=1))
    table = design.table
    left = [int((rows & (table.assigned == code)).sum()) for code in range(len(table.arms))]
    span = f"[{low:.4g}, {high:.4g}]"
    if min(left) < 2:
        raise EstimationError(
            explain(
                f"Trimming to probabilities in {span} leaves too few units in some arms.",
                where=[f"{arm}: {count}" for arm, count in zip(table.arms, left)],
                rule="at least 2 units in each arm",
                fix="wider bounds",
            )
        )
    out = f"trimming ({asked.trim.rule}) left out {table.by_arm(~rows)}"
    return rows, [f"{out} with a probability of an arm outside {span}"]


def _diagnostics(design: Design, chances: FloatArray, outcomes: FloatArray | None = None) -> dict[str, Any]:
    table = design.table
    codes = table.assigned.astype(np.intp)
    sizes = effective_sizes(codes, chances, table.weights)
    said: dict[str, Any] = {"propensity": "learned out of fold"}
    said |= {f"ess_{arm}": float(size) for arm, size in zip(table.arms, sizes)}
    said |= {f"propensity_min_{arm}": float(low) for arm, low in zip(table.arms, chances.min(axis=0))}
    if outcomes is None:
        return said
    for code, arm in enumerate(table.arms):
        own = codes == code
        said[f"r2_outcome_{arm}"] = r_squared(table.outcome[own], outcomes[own, code])
    return said
