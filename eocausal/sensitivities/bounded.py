"""Bounds of an estimate under omitted confounders, with every kind of standard error the estimate can have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
import numpy.typing as npt

from eocausal.errors import SensitivityError, explain
from eocausal.inference.contrast import combined
from eocausal.inference.estimate import Estimate
from eocausal.inference.repeats import Repeats, median_variance, middle_repeats
from eocausal.inference.tables import confidence_bounds
from eocausal.inference.variance import Variance
from eocausal.inference.vcov import variance_of
from eocausal.sensitivities.long_short import LongShort

FloatArray = npt.NDArray[np.float64]

TERMS = ("lower", "estimate", "upper")
LOWER, UPPER = 0, 2
_ENDLESS = 1e100


@dataclass(frozen=True, eq=False)
class Bounded:
    """An estimate beside the scale of its bias, from which bounds at every strength are made.

    The bounds at strength ``c`` (:func:`eocausal.sensitivities.long_short.strength`) are ``estimate - c scale`` and
    ``estimate + c scale``. Both are linear in two estimates with influence values, so they have the standard errors
    that those have: clustered, Conley's, of a bootstrap, the median over repeats of the folds.

    Attributes
    ----------
    both : Estimate
        With two terms: the estimate, and the scale.
    """

    both: Estimate

    def at(self, c: float) -> Estimate:
        """Return lower bound, estimate and upper bound at strength ``c``, with their joint covariance."""
        made = combined(self.both, _weights(c), TERMS, estimand=f"bounds of the {self.both.estimand}")
        return replace(made, method=f"{self.both.method}, long story short")

    def bound(self, c: float, side: int) -> float:
        """Return one of the bounds at strength ``c``: ``LOWER`` or ``UPPER``."""
        return float(np.median((self._values @ _weights(c))[:, side]))

    def confidence(self, c: float, side: int, level: float) -> float:
        """Return the end, on one side, of the two-sided confidence interval of a bound at strength ``c``."""
        weights = _weights(c)
        if self.both.variance.reference is not None:
            return float(np.asarray(self.at(c).ci(level))[side, min(side, 1)])
        each = [replace(one, matrix=weights.T @ one.matrix @ weights) for one in self._own]
        values = self._values @ weights
        made = each[0] if len(each) == 1 else median_variance(values, each)
        if self.both.second is not None:
            made = self.both.second.combined(weights).added(made)
        errors = np.sqrt(np.diag(made.matrix))
        ends = confidence_bounds(np.median(values, axis=0), errors, df=made.df, level=level)
        return float(ends[side, min(side, 1)])

    def strength_to(self, null: float, *, level: float | None = None) -> float:
        """Return the least strength at which a bound reaches ``null``; with ``level`` its two-sided interval does.

        It is found by bisection, on the side of the estimate on which ``null`` lies.
        """
        side = LOWER if self.bound(0.0, LOWER) >= null else UPPER
        sign = 1.0 if side == LOWER else -1.0

        def left(c: float) -> float:
            found = self.bound(c, side) if level is None else self.confidence(c, side, level)
            # an interval of a bootstrap may have no end
            return max(sign * (found - null), -_ENDLESS)

        # from there on the bounds of all repeats are beyond
        farthest = float(np.max(sign * (self._values[:, 0] - null) / self._values[:, 1]))
        return 0.0 if left(0.0) <= 0 or farthest <= 0 else _crossing(left, farthest)

    @cached_property
    def _values(self) -> FloatArray:
        """Estimate and scale of each repeat (r, 2)."""
        repeats = self.both.repeats
        return self.both.values[None, :] if repeats is None else repeats.values

    @cached_property
    def _own(self) -> list[Variance]:
        """Covariance of estimate and scale, of each repeat, without that of a second sample."""
        both = self.both
        make = partial(
            variance_of, how=both.variance.how, groups=both.groups, coordinates=both.coordinates,
            n_params=both.n_params, panel=both.panel, arms=both.arms, weights=both.weights,
        )  # fmt: skip
        repeats = both.repeats
        every = [both.score_values] if repeats is None else list(repeats.score_values)
        found = [make(scores) for scores in every]
        if both.second is not None:
            return found
        return [replace(one, df=min(one.df, both.variance.df)) for one in found]


def bounded(estimate: Estimate, pieces: Sequence[LongShort]) -> Bounded:
    """Return an estimate of one term beside the scale of its bias, from the pieces of each repeat of its folds.

    The error of a second sample, the calibration of a corrected outcome, moves the scale in proportion to the
    estimate: a correction by a slope divides both by it.
    """
    if min(one.scale for one in pieces) <= 0:
        raise SensitivityError(
            explain(
                "The outcome, or the treatment, is predicted without error: there is nothing left to confound.",
                rule="something is left of the outcome",
            )
        )
    terms = (*estimate.terms, "scale")
    values, scores = _both(estimate, pieces)
    repeats = estimate.repeats
    if repeats is not None:
        repeats = Repeats(terms, repeats.seeds, values, scores, np.zeros_like(values))
    middle = np.median(values, axis=0)
    second = estimate.second
    if second is not None:
        ratio = middle[1] / middle[0] if middle[0] else 0.0
        second = replace(second, parts=second.parts * np.array([1.0, ratio]))
    made = replace(
        estimate,
        terms=terms,
        values=middle,
        score_values=np.column_stack(
            [estimate.score_values, np.mean([scores[one][:, 1] for one in middle_repeats(values)], axis=0)]
        ),
        repeats=repeats,
        second=second,
        origin=None,
    )
    made = made.with_vcov(estimate.variance.how)
    if second is None:
        made = replace(made, variance=replace(made.variance, df=min(made.variance.df, estimate.variance.df)))
    return Bounded(made)


def _both(estimate: Estimate, pieces: Sequence[LongShort]) -> tuple[FloatArray, FloatArray]:
    """Return estimate and scale of each repeat (r, 2), and their influence values (r, n, 2)."""
    repeats = estimate.repeats
    own = estimate.values[None, :] if repeats is None else repeats.values
    scores = estimate.score_values[None] if repeats is None else repeats.score_values
    scales = np.array([[one.scale] for one in pieces])
    moved = np.array([one.scale_scores[:, None] for one in pieces])
    return np.hstack([own, scales]), np.concatenate([scores, moved], axis=2)


def _weights(c: float) -> FloatArray:
    """Return the weights (2, 3) of estimate and scale in the lower bound, the estimate and the upper bound."""
    return np.array([[1.0, 1.0, 1.0], [-c, 0.0, c]])


def _crossing(left: Callable[[float], float], farthest: float) -> float:
    """Return where a falling function crosses zero, between 0, where it is above, and ``farthest``."""
    from scipy.optimize import brentq

    # rounding may leave the last digit above zero at the end itself
    if left(farthest) >= 0:
        return farthest
    return float(brentq(left, 0.0, farthest, xtol=1e-15, rtol=1e-14))
