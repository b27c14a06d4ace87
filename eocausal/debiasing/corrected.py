"""From an estimate on predictions to naive and corrected estimates side by side, with all their errors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from eocausal.debiasing.corrected_result import Corrected
from eocausal.debiasing.corrector import Corrector
from eocausal.debiasing.density_score import DensityScore
from eocausal.inference.estimate import Estimate
from eocausal.inference.second_sample import SecondSample
from eocausal.inference.vcov import variance_of

FloatArray = npt.NDArray[np.float64]
Change = Callable[[FloatArray], FloatArray]

NAIVE, LCC, TWEEDIE = TERMS = ("naive", "lcc", "tweedie")
# Shares of units that corrections reach beyond what the calibration saw, from which on it is said.
MANY_OUTSIDE = 0.02

ASSUMES = (
    "naive: what predictions miss of the outcome is the same in both arms (the outcome does not depend on "
    "treatment given the prediction)",
    "lcc and tweedie: the error of predictions does not depend on treatment given the outcome, and is as in the "
    "calibration",
)


def corrected(
    corrector: Corrector,
    estimate: Callable[[Change], Estimate],
    *,
    predictions: Callable[[Estimate], tuple[FloatArray, FloatArray]],
) -> Corrected:
    """Estimate with predictions as they are and corrected, and put the estimates side by side.

    Parameters
    ----------
    corrector : Corrector
    estimate : callable
        Estimates with the outcome changed by a function of it; linear in the outcome, with one term.
    predictions : callable
        Gives the outcome (n,) and weights (n,) of the units of an estimate, in its order.
    """
    naive = estimate(_as_it_is)
    values, weights = predictions(naive)
    score = corrector.score_for(values, weights)
    shifted = estimate(lambda y: corrector.correct(y, method="tweedie", score=score))
    moments = _Moments(corrector, score, naive, estimate, values)
    n, t = float(naive.values[0]), float(shifted.values[0])
    own = score is not corrector.density
    by_density = moments.by_density()
    scores = np.column_stack([naive.score_values, naive.score_values / corrector.k, shifted.score_values])
    if own:
        scores[:, 2] += score.influence(values, weights) @ by_density
    loadings = np.zeros((3, len(corrector.parameters)))
    place = {name: column for column, name in enumerate(corrector.parameters)}
    loadings[1, place["k"]] = -n / corrector.k**2
    pulled = corrector.b * (corrector.b * n - t)
    loadings[2, place["b"]] = n + pulled / corrector.b**2
    first = place["b"] + 1
    last = first + corrector.noise.coefficients.size
    loadings[2, first:last] = moments.by_noise(pulled)
    if not own:
        loadings[2, last:] = by_density
    second = SecondSample.of_covariance(
        loadings, corrector.covariance, key=corrector.key, name="calibration", drawn=corrector.n_drawn
    )
    joint = _joint(naive, np.array([n, n / corrector.k, t]), scores, second)
    outside = 1 - np.average(score_inside(corrector, values), weights=weights)
    told = _told(corrector, naive, shifted, float(outside))
    fit = replace(
        joint,
        assumptions=tuple(dict.fromkeys([*ASSUMES, *naive.assumptions])),
        warnings=tuple(dict.fromkeys([*told, *joint.warnings])),
        diagnostics={**naive.diagnostics, **_diagnostics(corrector, score, float(outside), own=own)},
        provenance={
            **naive.provenance,
            "corrector": corrector.key,
            "calibration": dict(corrector.provenance),
        },
    )
    return Corrected(fit, replace(corrector, sample=None))


def score_inside(corrector: Corrector, values: FloatArray) -> npt.NDArray[np.bool_]:
    """Return which predictions (n,) lie where the calibration saw some."""
    return corrector.density.inside(values)


class _Moments:
    """The effect on functions of the prediction, by which corrected estimates move with what was estimated."""

    def __init__(
        self,
        corrector: Corrector,
        score: DensityScore,
        naive: Estimate,
        estimate: Callable[[Change], Estimate],
        values: FloatArray,
    ) -> None:
        self.corrector, self.score, self.naive = corrector, score, naive
        self.estimate, self.values = estimate, values

    def by_noise(self, pulled: float) -> FloatArray:
        """Return by how much Tweedie's estimate moves with each coefficient of the noise (p,)."""
        noise, score, b = self.corrector.noise, self.score, self.corrector.b
        if noise.kind == "constant":
            return np.array([-pulled / noise.coefficients[0] / b])
        return -self._of(lambda y: noise.columns(y) * score.at(y)[:, None] + noise.slope_columns(y)) / b

    def by_density(self) -> FloatArray:
        """Return by how much it moves with each parameter of the density (q,)."""
        noise, score = self.corrector.noise, self.score
        return -self._of(lambda y: noise.at(y)[:, None] * score.columns(y)) / self.corrector.b

    def _of(self, columns: Change) -> FloatArray:
        """Return the effect on each of several functions (n, q) of the prediction.

        Where the method weighs the arms it is the weighted difference, which is the method's own estimate to first
        order; else the method estimates it.
        """
        arms, weights = self.naive.arms, self.naive.weights
        if arms is not None and weights is not None:
            made, treated = columns(self.values), arms.treatment == 1
            return np.asarray(
                np.average(made[treated], axis=0, weights=weights[treated])
                - np.average(made[~treated], axis=0, weights=weights[~treated])
            )
        width = columns(self.values[:1]).shape[1]
        return np.array(
            [float(self.estimate(lambda y, j=j: columns(y)[:, j]).values[0]) for j in range(width)]  # type: ignore[misc]
        )


def _as_it_is(values: FloatArray) -> FloatArray:
    return values


def _joint(naive: Estimate, values: FloatArray, scores: FloatArray, second: SecondSample) -> Estimate:
    """Return the three estimates with their covariance, made as that of the naive one."""
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
    return replace(
        naive,
        terms=TERMS,
        values=values,
        score_values=scores,
        variance=made,
        second=second,
        warnings=(*kept, *made.notes),
    )


def _told(corrector: Corrector, naive: Estimate, shifted: Estimate, outside: float) -> list[str]:
    told = list(corrector.warnings)
    if outside > MANY_OUTSIDE:
        low, high = corrector.density.low, corrector.density.high
        told.append(
            f"{outside:.0%} of the predictions lie outside of what the calibration saw ({low:.3g} to {high:.3g}): "
            "there corrections extrapolate"
        )
    if not corrector.monotone:
        told.append(
            "Tweedie's correction does not keep the order of predictions: corrected values change ranks"
        )
    told += [text for text in shifted.warnings if text not in naive.warnings]
    return told


def _diagnostics(
    corrector: Corrector, score: DensityScore, outside: float, *, own: bool
) -> dict[str, object]:
    return {
        "k": corrector.k,
        "r2_calibration": corrector.r2,
        "n_calibration": corrector.n,
        "density_of": "these predictions, arms together" if own else "the calibration",
        "density_df": score.df,
        "share_outside_support": outside,
    }
