"""Bounds of a weighted (Hajek) average effect under the marginal sensitivity model, and their bootstrap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from eocausal.sensitivities.propensity_draws import Draws
from eocausal.sensitivities.sharp_bounds import levels_of, sharp_means
from eocausal.sensitivities.tail_quantiles import Quantiles
from eocausal.sensitivities.zsb_bounds import Arm, arms_of, difference, extreme_means

FloatArray = npt.NDArray[np.float64]

ZSB, SHARP = "zsb", "sharp"
LOW, HIGH = 0, 1


@dataclass(frozen=True, eq=False)
class WeightedBounds:
    """Units, their log odds of treatment and the quantiles of their outcome: all that bounds are made of.

    Attributes
    ----------
    arms : (Arm, Arm)
        Controls and treated.
    weights, log_odds : array of shape (n,)
    quantiles : Quantiles
    """

    arms: tuple[Arm, Arm]
    weights: FloatArray
    log_odds: FloatArray
    quantiles: Quantiles
    _kept: dict[tuple[int, float], FloatArray] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls,
        outcome: FloatArray,
        treatment: FloatArray,
        weights: FloatArray,
        log_odds: FloatArray,
        *,
        estimand: str,
        quantiles: Quantiles,
    ) -> WeightedBounds:
        """Sort the arms of an average effect."""
        return cls(arms_of(outcome, treatment, estimand), weights, log_odds, quantiles)

    def at(self, bound: float, method: str, ends: Sequence[int] = (LOW, HIGH)) -> FloatArray:
        """Return the bounds (2,) of the effect; an end that is not asked for may be NaN."""
        return np.asarray(self._with(self.weights, self.log_odds, np.array([bound]), (method,), ends)[0, 0])

    def drawn(
        self, draws: Draws, bounds: FloatArray, methods: Sequence[str], ends: Sequence[int] = (LOW, HIGH)
    ) -> FloatArray:
        """Return the bounds (draws, k, methods, 2) in each draw.

        Quantile functions are those of all units; their level and slope are chosen anew in every draw, with the
        propensity of the draw, so that each draw solves the linear programme that balances them exactly. To first
        order bounds do not move with the quantile function, which is where they are smallest.
        """
        made = [self._with(weights, odds, bounds, methods, ends) for weights, odds in draws.each()]
        return np.array(made).reshape(len(made), len(bounds), len(methods), 2)

    def _with(
        self,
        weights: FloatArray,
        log_odds: FloatArray,
        bounds: FloatArray,
        methods: Sequence[str],
        ends: Sequence[int],
    ) -> FloatArray:
        found = np.empty((len(bounds), len(methods), 2))
        parts = [arm.weights(weights, log_odds) for arm in self.arms]
        for place, method in enumerate(methods):
            if method == ZSB:
                means = [extreme_means(arm.outcome, *part, bounds) for arm, part in zip(self.arms, parts)]
            else:
                means = [self._sharp(code, *part, bounds, ends) for code, part in enumerate(parts)]
            found[:, place] = difference(*means)
        return found

    def _sharp(
        self, code: int, fixed: FloatArray, moving: FloatArray, bounds: FloatArray, ends: Sequence[int]
    ) -> FloatArray:
        """Return the means (k, 2) of an arm that the ends of the effect ask for."""
        # the lowest effect has the smallest mean of the treated and the largest of the controls
        sides = [end if code == 1 else 1 - end for end in ends]
        arm = self.arms[code]
        made = []
        for bound in bounds:
            still = bound == 1 or not moving.any()
            level = levels_of(float(bound))
            low, high = (
                (fixed if still else self.quantile(code, level[side])) if side in sides else None
                for side in (LOW, HIGH)
            )
            made.append(sharp_means(arm.outcome, fixed, moving, bound=float(bound), low=low, high=high))
        return np.array(made)

    def quantile(self, code: int, level: float) -> FloatArray:
        """Return the quantile (m,) of the outcome of an arm's units given their columns; kept once it is made."""
        if (code, level) not in self._kept:
            self._kept[code, level] = self.quantiles.of(self.arms[code].rows, level)
        return self._kept[code, level]
