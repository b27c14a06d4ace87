"""Results on effects by unit that a report shows: what is asked, what is said, and what is shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from eocausal.reporting import elsewhere, judging, policies, searches, typed
from eocausal.reporting.blocks import Block, Heading, Text

__all__ = ["EFFECT_ITEMS", "EffectItem"]


@dataclass(frozen=True)
class EffectItem:
    """How a result on effects by unit is told.

    Attributes
    ----------
    heading : str
    sentence : callable
        Takes the result, and says what it found in words that follow its interval.
    shown : callable
        Takes the result and the sentence, and returns figures and tables.
    """

    heading: str
    sentence: Callable[[Any], str]
    shown: Callable[[Any, str], list[Block]]

    def blocks(self, result: Any) -> list[Block]:
        """Return all that the report says and shows of a result."""
        sentence = self.sentence(result)
        return [Heading(self.heading), Text(sentence), *self.shown(result, sentence)]


# By kind, as `study.ON_EFFECTS` sorts them.
EFFECT_ITEMS = {
    "SourceComparison": EffectItem(
        "Which pictures tell who gains more?",
        searches.sources_sentence, searches.sources_blocks,
    ),
    "ScaleSearch": EffectItem(
        "One size of picture, or two?", searches.scales_sentence, searches.scales_blocks
    ),
    "Calibration": EffectItem(
        "Are predicted effects of the right size?",
        judging.calibration_sentence, judging.calibration_blocks,
    ),
    "EffectGroups": EffectItem(
        "How much do those gain who are predicted to gain most?",
        judging.groups_sentence, judging.groups_blocks,
    ),
    "EffectLosses": EffectItem(
        "Which model comes nearest to the effects?",
        judging.losses_sentence, judging.losses_blocks,
    ),
    "PolicyValue": EffectItem(
        "What is treating those ranked highest worth?",
        policies.policy_sentence, policies.policy_blocks,
    ),
    "MultiArmQini": EffectItem(
        "What does a larger budget gain?", policies.budget_sentence, policies.budget_blocks
    ),
    "ImageTypes": EffectItem(
        "Do places of different types gain differently?",
        typed.types_sentence, typed.types_blocks,
    ),
    "Transport": EffectItem(
        "What would the effect be elsewhere?",
        elsewhere.transport_sentence, elsewhere.transport_blocks,
    ),
}  # fmt: skip
