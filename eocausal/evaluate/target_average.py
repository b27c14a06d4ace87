"""The average effect of a target, or of a part of it, by both forms, with what each sample brings to its error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal.errors import EvaluationError, explain
from eocausal.evaluate.support import weighted_quantile
from eocausal.inference.assemble import assemble
from eocausal.inference.scores import ScoredEstimate
from eocausal.inference.second_sample import SecondSample
from eocausal.inference.smd import effective_size
from eocausal.inference.tilting import balancing_weights
from eocausal.inference.transported import Transported, doubly_robust_transport, inverse_odds

if TYPE_CHECKING:
    from eocausal.effects.cate import Cate
    from eocausal.evaluate.sampling import Both, Sampling
    from eocausal.evaluate.support import Support
    from eocausal.inference.estimate import Estimate
    from eocausal.inference.vcov import VcovChoice

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

# Shares of the target, its places nearest to the study, whose average effect is shown beside that of all of it.
NEAREST = (0.9, 0.75, 0.5)
OF_ALL, OF_ALIKE = "ate (target)", "ate (target, places like the study's)"
DOUBLY_ROBUST, INVERSE_ODDS = "doubly robust", "inverse odds"
ODDS_GIVEN = (
    "the estimate by inverse odds takes the odds as given; with learned odds trust the interval of the doubly "
    "robust one"
)


@dataclass(frozen=True, eq=False)
class Kept:
    """Which units of both samples count: boolean arrays (n,) and (m,), and whether these are all of them."""

    study: BoolArray
    target: BoolArray
    everyone: bool

    @classmethod
    def of(cls, seen: Support, *, everyone: bool) -> Self:
        """Return all units, or those that the study has seen the like of."""
        if everyone:
            return cls(np.ones_like(seen.inside), np.ones_like(seen.target_inside), True)
        return cls(seen.inside, seen.target_inside, False)


@dataclass(frozen=True, eq=False)
class TargetAverage:
    """What average effects of a target, or of a part of it, are made from."""

    cate: Cate
    both: Both
    sampling: Sampling
    seen: Support
    effects: FloatArray
    sampled: bool
    vcov: VcovChoice | None

    @property
    def weights(self) -> FloatArray:
        """Odds of the target against the study times sampling weights (n,)."""
        return np.asarray(self.cate.weights / self.cate.weights.mean() / self.sampling.study)

    def enough(self, kept: Kept) -> bool:
        """Tell whether there are at least two units to carry effects from, and two places to carry them to."""
        return bool(((self.weights > 0) & kept.study).sum() >= 2 and kept.target.sum() >= 2)

    def require_some(self, kept: Kept) -> None:
        """Raise where nothing is left to carry, or to carry it to."""
        if self.enough(kept):
            return
        counted = int(((self.weights > 0) & kept.study).sum())
        raise EvaluationError(
            explain(
                f"{counted} study units and {int(kept.target.sum())} target units would count.",
                rule="at least 2 of each",
                fix="outside='keep', a level nearer to 1, or a study that has seen such places",
            )
        )

    def doubly_robust(self, kept: Kept, *, warnings: Sequence[str] = ()) -> Estimate:
        """Return the doubly robust estimate of the average effect of the target units that count."""
        weights, target_weights = self.weights * kept.study, self.both.target.table.weights * kept.target
        made = doubly_robust_transport(
            self.cate.dr_scores,
            self.cate.effect_values,
            weights,
            target_effects=self.effects,
            target_weights=target_weights,
        )
        predicted = float(target_weights @ self.effects / target_weights.sum())
        told = {**self._told(weights, kept), "predicted": predicted, "correction": made.estimate - predicted}
        return self._estimate(made, kept, method=DOUBLY_ROBUST, warnings=warnings, diagnostics=told)

    def inverse_odds(self, kept: Kept) -> Estimate:
        """Return the estimate by inverse odds alone; the target moves it by the odds only, which are as given."""
        made = inverse_odds(self.cate.dr_scores, self.weights * kept.study, n_target=len(self.both.target))
        return self._estimate(made, kept, method=INVERSE_ODDS, warnings=[ODDS_GIVEN], diagnostics={})

    def _told(self, weights: FloatArray, kept: Kept) -> dict[str, Any]:
        table = self.both.target.table
        inside = float(table.weights @ self.seen.target_inside / table.weights.sum())
        return {
            "n_target": int(kept.target.sum()),
            "share_outside": 1 - inside,
            "ess_study": effective_size(weights),
            "largest_share": float(weights.max() / weights.sum()),
            "mean_weight": float(np.average(1 / self.sampling.study, weights=self.cate.weights)),
            "level": self.seen.level,
            **self.sampling.diagnostics,
        }

    def _estimate(self, made: Transported, kept: Kept, *, method: str, **told: Any) -> Estimate:
        """Return a result on the study's units, with what sampled target units bring to its error."""
        study = self.both.study
        scores, second = self._by_sample(made, kept)
        arms = balancing_weights(study.table.treatment, self.cate.propensity, "ate")
        estimate = assemble(
            study,
            [ScoredEstimate(made.estimate, scores, 1)],
            vcov=self.vcov,
            estimand=OF_ALL if kept.everyone else OF_ALIKE,
            method=method,
            terms=(study.treatment,),
            weights=self.weights * kept.study * arms,
            assumptions=(*self.cate.assumptions[:1], *_assumptions(self.sampled)),
            provenance={**self.cate.provenance, "target_hash": self.both.target.fingerprint},
            **told,
        )
        return estimate if second is None else _with_second(estimate, second)

    def _by_sample(self, made: Transported, kept: Kept) -> tuple[FloatArray, SecondSample | None]:
        """Return influence values of the study (n,), and the target's parts where it is a sample and has any."""
        table = self.both.target.table
        if not self.sampled or not made.parts.any():
            return made.scores, None
        # a unit of both samples moves the estimate by both of its parts at once
        shared = kept.target & (self.both.same >= 0)
        scores = made.scores.copy()
        np.add.at(scores, self.both.same[shared], scores.size * made.parts[shared])
        drawn = kept.target & ~shared
        if not drawn.any():
            return scores, None
        clusters = None if table.clusters is None else table.clusters[drawn]
        return scores, SecondSample(table.ids[drawn], made.parts[drawn][:, None], clusters)


def _with_second(estimate: Estimate, second: SecondSample) -> Estimate:
    variance = second.added(estimate.variance)
    new = tuple(note for note in variance.notes if note not in estimate.variance.notes)
    return replace(estimate, second=second, variance=variance, warnings=(*estimate.warnings, *new))


def _assumptions(sampled: bool) -> tuple[str, ...]:
    drawn = "are a sample, drawn independently of the study" if sampled else "are all that is asked about"
    return (
        "places of study and target that are alike in the columns have the same average effect, and every target "
        "place could have been in the study",
        f"target units {drawn}",
    )


def by_support(carrying: TargetAverage) -> pd.DataFrame:
    """Return the average effect of all places, of those inside, and of the nearest shares of them."""
    seen, weights = carrying.seen, carrying.both.target.table.weights
    cuts = [("all", Kept.of(seen, everyone=True)), ("inside", Kept.of(seen, everyone=False))]
    for share in NEAREST:
        bound = weighted_quantile(seen.target_distance, weights, share)
        near = Kept(seen.distance <= bound, seen.target_distance <= bound, False)
        cuts.append((f"nearest {100 * share:.0f}%", near))
    rows = []
    for name, kept in cuts:
        row: dict[str, Any] = {"places": name, "share": float(weights @ kept.target / weights.sum())}
        row["n_target"] = int(kept.target.sum())
        if carrying.enough(kept):
            made = carrying.doubly_robust(kept)
            low, high = made.ci()
            row |= {
                "estimate": made.estimate, "std_error": made.std_error, "conf_low": low, "conf_high": high,
                "ess_study": made.diagnostics["ess_study"],
            }  # fmt: skip
        rows.append(row)
    columns = ["estimate", "std_error", "conf_low", "conf_high", "ess_study"]
    return pd.DataFrame(rows).reindex(columns=["places", "share", "n_target", *columns])
