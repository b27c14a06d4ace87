"""Learners of effects by unit that have a name."""

from __future__ import annotations

from collections.abc import Callable

from eocausal._checks import one_of
from eocausal.effects.effect_learners import EffectLearner
from eocausal.effects.effect_regressions import DRLearner, RLearner, XLearner
from eocausal.effects.forest import Forest
from eocausal.effects.linear_effects import LinearEffects
from eocausal.errors import EstimationError

# A new learner is settings with `fit` and `describe`, and one row here by its name.
LEARNERS: dict[str, Callable[..., EffectLearner]] = {
    "causal_forest": Forest,
    "r_learner": RLearner,
    "dr_learner": DRLearner,
    "x_learner": XLearner,
    "linear": LinearEffects,
}


def known_learner(learner: str | EffectLearner) -> EffectLearner:
    """Return the settings that a learner's name stands for, or those that were given.

    Examples
    --------
    >>> known_learner("causal_forest") == Forest()
    True
    """
    if not isinstance(learner, str) and all(hasattr(learner, verb) for verb in ("fit", "describe")):
        return learner
    one_of(str(learner), tuple(LEARNERS), argument="learner", error=EstimationError)
    return LEARNERS[str(learner)]()
