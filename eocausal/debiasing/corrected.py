"""From an estimate on predictions to naive and corrected estimates side by side, with all their errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from eocausal.debiasing.corrected_result import Corrected
from eocausal.debiasing.corrector import LCC, NAIVE, TWEEDIE, Corrector
from eocausal.debiasing.density_score import DensityScore
from eocausal.debiasing.own_labels import judged_by_own_labels, places_in_both
from eocausal.debiasing.predicted_study import Change, Predicted, PredictedStudy, as_it_is
from eocausal.debiasing.prediction_shift import spread_told
from eocausal.errors import EstimationError, explain
from eocausal.inference.estimate import Estimate
from eocausal.inference.second_sample import SecondSample
from eocausal.inference.vcov import variance_of

FloatArray = npt.NDArray[np.float64]

# Shares of units that corrections reach beyond what the calibration saw, from which on it is said.
MANY_OUTSIDE = 0.02

_NAIVE_ASSUMES = (
    "naive: what predictions miss of the outcome is the same in both arms (the outcome does not depend on "
    "treatment given the prediction)"
)
ASSUMES = {
    "levels": (
        _NAIVE_ASSUMES,
        "lcc and tweedie: the error of predictions does not depend on treatment given the outcome, and is as in "
        "the calibration",
    ),
    "changes": (
        _NAIVE_ASSUMES,
        "lcc: predictions answer to treatment as they do to other changes within places (eta_T = eta_eps). Wrong "
        "where treatment changes what images show of a place by more or by less than its outcome: new roofs, "
        "roads or lamps without wealth, or wealth that cannot be seen; what is given is then eta_T / eta_eps "
        "times the effect",
    ),
}


def corrected(corrector: Corrector, study: PredictedStudy) -> Corrected:
    """Estimate with predictions as they are and corrected, and put the estimates side by side.

    The errors hold that of the calibration, and of the density where it is that of the study's own predictions.
    """
    naive = study.estimate(as_it_is)
    predicted = study.predicted(naive)
    corrector = judged_by_own_labels(corrector, naive, predicted)
    parts = [_naive(corrector, naive), _lcc(corrector, naive)]
    told, diagnostics = _about_support(corrector, predicted)
    if TWEEDIE in corrector.kinds:
        made = _Tweedie(corrector, study, naive, predicted)
        parts.append(made.part())
        told += made.told()
        diagnostics |= made.diagnostics()
    fit = _joint(corrector, naive, parts)
    warned = [*corrector.warnings, *study.notes, *told, *_in_both(corrector, naive, predicted), *fit.warnings]
    fit = replace(
        fit,
        assumptions=tuple(dict.fromkeys([*ASSUMES[corrector.level], *naive.assumptions])),
        warnings=tuple(dict.fromkeys(warned)),
        diagnostics={**_times(naive, len(parts)), **diagnostics},
        provenance={
            **naive.provenance,
            "corrector": corrector.key,
            "calibration": dict(corrector.provenance),
        },
    )
    return Corrected(fit, replace(corrector, sample=None), naive.terms, (corrector, study))


def require_corrector(given: object, *, made_by: str = "correct=ec.debias(calibration, ...)") -> Corrector:
    """Return a corrector, or raise EstimationError with where to find one, such as in a map card."""
    if isinstance(given, Corrector):
        return given
    held = isinstance(getattr(given, "corrector", None), Corrector)
    fix = "correct=card.corrector" if held else made_by
    if isinstance(given, Path) or str(given).endswith(".json"):
        fix = f"correct=ec.Corrector.from_json({str(given)!r})"
    raise EstimationError(explain(f"correct is a {type(given).__name__}.", fix=fix))


def corrected_values(
    corrector: Corrector, study: PredictedStudy, *, score: Callable[[Estimate], DensityScore | None]
) -> FloatArray:
    """Return the estimates alone (kinds times k,); the density score is that which the naive estimate asks for."""
    naive = study.estimate(as_it_is)
    values, density = [naive.values, naive.values / corrector.k], score(naive)
    if density is not None:
        shifted = study.estimate(lambda y: corrector.correct(y, method=TWEEDIE, score=density))
        values.append(shifted.values)
    return np.concatenate(values)


def estimate_of_kind(corrector: Corrector, study: PredictedStudy, kind: str) -> Estimate:
    """Return the estimate on the outcome as one of ``naive``, ``lcc`` or ``tweedie`` takes it to be.

    Its errors are those of the study alone.
    """
    naive = study.estimate(as_it_is)
    if kind == NAIVE:
        return naive
    if kind == LCC:
        return study.estimate(lambda y: corrector.correct(y, method=LCC))
    predicted = study.predicted(naive)
    score = corrector.score_for(predicted.values, predicted.weights)
    return study.estimate(lambda y: corrector.correct(y, method=TWEEDIE, score=score))


@dataclass(frozen=True, eq=False)
class _Part:
    """One kind of estimate: k values, influence values (n, k), and how each moves with the parameters (k, p)."""

    values: FloatArray
    scores: FloatArray
    loadings: FloatArray
    warnings: tuple[str, ...] = ()


def _naive(corrector: Corrector, naive: Estimate) -> _Part:
    loadings = np.zeros((naive.values.size, len(corrector.parameters)))
    return _Part(naive.values, naive.score_values, loadings)


def _lcc(corrector: Corrector, naive: Estimate) -> _Part:
    k = corrector.k
    loadings = np.zeros((naive.values.size, len(corrector.parameters)))
    loadings[:, corrector.parameters.index("k")] = -naive.values / k**2
    return _Part(naive.values / k, naive.score_values / k, loadings)


class _Tweedie:
    """The estimate on predictions less what Tweedie's correction takes off, and how it moves with its parts.

    With ``T`` the estimator, which is linear in the outcome and gives nothing for a constant, the estimate is
    ``b T(y) - T(V s + V') / b``. What was estimated moves it as ``T`` of the derivative.
    """

    def __init__(
        self,
        corrector: Corrector,
        study: PredictedStudy,
        naive: Estimate,
        predicted: Predicted,
    ) -> None:
        self.corrector, self.study, self.naive, self.predicted = corrector, study, naive, predicted
        self.score = score = corrector.score_for(predicted.values, predicted.weights)
        self.own = score is not corrector.density
        self.shifted = study.estimate(lambda y: corrector.correct(y, method=TWEEDIE, score=score))

    def part(self) -> _Part:
        """Return the estimate with its influence values and loadings."""
        corrector, scores = self.corrector, self.shifted.score_values
        by_density = self._by_density()
        loadings = np.zeros((self.naive.values.size, len(corrector.parameters)))
        b = corrector.parameters.index("b")
        last = b + 1 + corrector.noise.coefficients.size
        pulled = corrector.b * (corrector.b * self.naive.values - self.shifted.values)
        loadings[:, b] = self.naive.values + pulled / corrector.b**2
        loadings[:, b + 1 : last] = self._by_noise(pulled)
        if self.own:
            moved = self.predicted.shares[:, None] * self.score.influence(self.predicted.values)
            scores = scores + self.predicted.by_entry(moved, self.naive.n) @ by_density.T
        else:
            loadings[:, last:] = by_density
        return _Part(self.shifted.values, scores, loadings)

    def told(self) -> list[str]:
        """Return what there is to say of the correction that the naive estimate does not say."""
        told = [] if self.corrector.monotone else [
            "Tweedie's correction does not keep the order of predictions: corrected values change ranks"
        ]  # fmt: skip
        told += self.score.warnings if self.own else ()
        return told + [text for text in self.shifted.warnings if text not in self.naive.warnings]

    def diagnostics(self) -> dict[str, object]:
        """Return which density the score is of, and how rich it is."""
        whose = "these predictions, arms together" if self.own else "the calibration"
        return {"density_of": whose, "density_kind": self.score.kind, "density_df": self.score.df}

    def _by_noise(self, pulled: FloatArray) -> FloatArray:
        noise, score, b = self.corrector.noise, self.score, self.corrector.b
        if noise.kind == "constant":
            return np.asarray(-pulled[:, None] / noise.coefficients[0] / b)
        return -self._of(lambda y: noise.columns(y) * score.at(y)[:, None] + noise.slope_columns(y)) / b

    def _by_density(self) -> FloatArray:
        noise, score = self.corrector.noise, self.score
        return -self._of(lambda y: noise.at(y)[:, None] * score.columns(y)) / self.corrector.b

    def _of(self, columns: Change) -> FloatArray:
        """Return the effect (k, q) on each of several functions (r, q) of the prediction.

        Where the method weighs the arms it is the weighted difference, which is the method's own estimate to first
        order; else the method estimates it.
        """
        arms, weights = self.naive.arms, self.naive.weights
        if arms is not None and weights is not None and self.naive.values.size == 1:
            made, treated = columns(self.predicted.values), arms.treatment == 1
            return np.asarray(
                np.average(made[treated], axis=0, weights=weights[treated])
                - np.average(made[~treated], axis=0, weights=weights[~treated])
            )[None, :]
        width = columns(self.predicted.values[:1]).shape[1]
        found = [self.study.estimate(_one_of(columns, place)).values for place in range(width)]
        return np.column_stack(found)


def _one_of(columns: Change, place: int) -> Change:
    """Return one of several functions of the prediction alone."""
    return lambda y: columns(y)[:, place]


def _joint(corrector: Corrector, naive: Estimate, parts: list[_Part]) -> Estimate:
    """Return all estimates with their covariance, made as that of the naive one."""
    scores = np.column_stack([part.scores for part in parts])
    second = SecondSample.of_covariance(
        np.concatenate([part.loadings for part in parts]),
        corrector.covariance,
        key=corrector.key,
        name="calibration",
        drawn=corrector.n_drawn,
    )
    made = variance_of(
        scores,
        naive.variance.how,
        groups=naive.groups,
        coordinates=naive.coordinates,
        n_params=naive.n_params,
        panel=naive.panel,
        arms=naive.arms,
        weights=naive.weights,
    )
    made = second.added(made)
    kept = [text for text in naive.warnings if text not in naive.variance.notes]
    alone = len(naive.terms) == 1
    return replace(
        naive,
        terms=tuple(kind if alone else f"{kind}: {term}" for kind in corrector.kinds for term in naive.terms),
        values=np.concatenate([part.values for part in parts]),
        score_values=scores,
        variance=made,
        second=second,
        origin=None,
        warnings=(*kept, *made.notes),
    )


def _about_support(corrector: Corrector, predicted: Predicted) -> tuple[list[str], dict[str, object]]:
    """Return what corrections reach beyond the calibration; changes are of places, wherever their levels are."""
    found: dict[str, object] = {
        "k": corrector.k,
        "r2_calibration": corrector.r2,
        "n_calibration": corrector.n,
    }
    if corrector.level == "changes":
        return [], found
    outside = 1 - float(np.average(corrector.density.inside(predicted.values), weights=predicted.weights))
    found["share_outside_support"] = outside
    found["variance_ratio"], told = spread_told(
        predicted.values,
        predicted.weights,
        sd=corrector.density.sd,
        n=corrector.n_drawn,
        slopes=(corrector.k, corrector.r2 / corrector.k),
    )
    if outside <= MANY_OUTSIDE:
        return told, found
    low, high = corrector.density.low, corrector.density.high
    return [
        *told,
        f"{outside:.0%} of the predictions lie outside of what the calibration saw ({low:.3g} to {high:.3g}): "
        "there corrections extrapolate",
    ], found


def _in_both(corrector: Corrector, naive: Estimate, predicted: Predicted) -> list[str]:
    """Say how many places are in the study and in the calibration, as far as names and predictions tell."""
    sample = corrector.sample
    if sample is None:
        return []
    known = places_in_both(sample, naive, predicted)[0].size
    if known:
        return [
            f"{known} places of the calibration are units of the study: what their errors share is in no standard "
            "error, which takes the two samples as independent"
        ]
    # numbers alone name other places in every table
    if sample.ids.dtype.kind not in "OU" or naive.ids.dtype.kind not in "OU":
        return []
    shared = int(np.isin(sample.ids.astype(str), naive.ids.astype(str)).sum())
    if not shared:
        return []
    return [
        f"{shared} rows of the calibration have names of the study's: where they are the same, what their errors "
        "share is in no standard error, which takes the two samples as independent"
    ]


def _times(naive: Estimate, kinds: int) -> Mapping[str, object]:
    """Return the diagnostics of the naive estimate, times since treatment once for each kind of estimate."""
    found = dict(naive.diagnostics)
    if "event_times" in found:
        found["event_times"] = list(found["event_times"]) * kinds
    return found
