"""What a network learns of the units: their treatment, their outcome in each arm, or their effect."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

FloatArray = npt.NDArray[np.float64]

# Of the regressions on scaled covariates that training starts from; as much as one unit counts.
_PENALTY = 1.0

__all__ = ["EFFECT", "TARGETS", "Target", "log_odds"]


@dataclass(frozen=True)
class Target:
    """One kind of target.

    Attributes
    ----------
    outputs : tuple of str
        What the network gives for a unit.
    spread : callable
        From outcome, treatment and weights of the units it learns from to ``(centre, deviation)`` of the outcome.
    start : callable
        From scaled outcome, treatment, weights and scaled covariates (n, p) of those units to the regressions on
        covariates that training starts from: intercepts and coefficients (k, 1 + p).
    loss : callable
        From outputs (n, k), scaled outcome and treatment to the loss of each unit (n,).
    """

    outputs: tuple[str, ...]
    spread: Callable[[FloatArray, FloatArray, FloatArray], tuple[float, float]]
    start: Callable[[FloatArray, FloatArray, FloatArray, FloatArray], FloatArray]
    loss: Callable[[Tensor, Tensor, Tensor], Tensor]


def log_odds(share: float) -> float:
    """Return the logarithm of the odds.

    Examples
    --------
    >>> log_odds(0.5)
    0.0
    """
    return float(np.log(share) - np.log1p(-share))


def _no_spread(outcome: FloatArray, treatment: FloatArray, weights: FloatArray) -> tuple[float, float]:
    return 0.0, 1.0


def _spread(outcome: FloatArray, treatment: FloatArray, weights: FloatArray) -> tuple[float, float]:
    centre = float(np.average(outcome, weights=weights))
    deviation = float(np.sqrt(np.average((outcome - centre) ** 2, weights=weights)))
    return centre, deviation if deviation > 0 else 1.0


def _logit_on_covariates(
    outcome: FloatArray, treatment: FloatArray, weights: FloatArray, covariates: FloatArray
) -> FloatArray:
    from sklearn.linear_model import LogisticRegression

    if not covariates.shape[1]:
        return np.array([[log_odds(float(np.average(treatment, weights=weights)))]])
    model = LogisticRegression(C=1 / _PENALTY, max_iter=1000)
    model.fit(covariates, treatment, sample_weight=weights / weights.mean())
    return np.concatenate([model.intercept_[:, None], model.coef_], axis=1)


def _ridge_by_arm(
    outcome: FloatArray, treatment: FloatArray, weights: FloatArray, covariates: FloatArray
) -> FloatArray:
    from sklearn.linear_model import Ridge

    found = np.zeros((2, 1 + covariates.shape[1]))
    for arm in (0, 1):
        mine = treatment == arm
        if not covariates.shape[1]:
            found[arm] = np.average(outcome[mine], weights=weights[mine])
            continue
        model = Ridge(_PENALTY).fit(
            covariates[mine], outcome[mine], sample_weight=weights[mine] / weights.mean()
        )
        found[arm] = [model.intercept_, *model.coef_]
    return found


def _cross_entropy(outputs: Tensor, outcome: Tensor, treatment: Tensor) -> Tensor:
    from torch.nn.functional import binary_cross_entropy_with_logits

    loss: Tensor = binary_cross_entropy_with_logits(outputs[:, 0], treatment, reduction="none")
    return loss


def _squares_of_own_arm(outputs: Tensor, outcome: Tensor, treatment: Tensor) -> Tensor:
    """Each head learns from the units of its own arm alone."""
    errors = outputs - outcome[:, None]
    loss: Tensor = errors[:, 0] ** 2 * (1 - treatment) + errors[:, 1] ** 2 * treatment
    return loss


def _spread_about_zero(
    outcome: FloatArray, treatment: FloatArray, weights: FloatArray
) -> tuple[float, float]:
    """Return no centre, for a centred outcome has none of its own, and its root mean square."""
    deviation = float(np.sqrt(np.average(outcome**2, weights=weights)))
    return 0.0, deviation if deviation > 0 else 1.0


def _effect_on_covariates(
    outcome: FloatArray, treatment: FloatArray, weights: FloatArray, covariates: FloatArray
) -> FloatArray:
    """Return the effect as ridge regression finds it, from centred outcome and treatment."""
    from sklearn.linear_model import Ridge

    ratio, squares = outcome / treatment, weights * treatment**2
    if not covariates.shape[1]:
        return np.array([[float(np.average(ratio, weights=squares))]])
    model = Ridge(_PENALTY).fit(covariates, ratio, sample_weight=squares / squares.mean())
    return np.array([[model.intercept_, *model.coef_]])


def _r_loss(outputs: Tensor, outcome: Tensor, treatment: Tensor) -> Tensor:
    loss: Tensor = (outcome - treatment * outputs[:, 0]) ** 2
    return loss


# what learners of effects by unit train for, with centred outcome and treatment; finetune does not offer it
EFFECT = Target(("effect",), _spread_about_zero, _effect_on_covariates, _r_loss)

TARGETS: Mapping[str, Target] = MappingProxyType(
    {
        "treatment": Target(("logit",), _no_spread, _logit_on_covariates, _cross_entropy),
        "outcome": Target(("control", "treated"), _spread, _ridge_by_arm, _squares_of_own_arm),
    }
)
