"""Results with a heading of their own in the report: what is asked, what is said, and what is shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from eocausal.reporting import elsewhere, judging, policies, predicted, searches, typed
from eocausal.reporting.blocks import Block, Heading, Text

__all__ = ["EFFECT_ITEMS", "OUTCOME_ITEMS", "TOLD_ITEMS", "ToldItem"]


@dataclass(frozen=True)
class ToldItem:
    """How a result is told.

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


# On outcomes that were predicted from images, by kind, as `study.ON_OUTCOMES` sorts them.
OUTCOME_ITEMS = {
    "Diagnosis": ToldItem(
        "Should the map be corrected?", predicted.diagnosis_sentence, predicted.diagnosis_blocks
    ),
    "Corrected": ToldItem(
        "The effect on the map, and on the outcome",
        predicted.corrected_sentence, predicted.corrected_blocks,
    ),
    "Ppi": ToldItem(
        "What do measured outcomes in the study add?", predicted.ppi_sentence, predicted.ppi_blocks
    ),
    "PpiRegression": ToldItem(
        "Regression by predictions and measured outcomes",
        predicted.regression_sentence, predicted.regression_blocks,
    ),
    "RemoteOutcome": ToldItem(
        "The effect on an outcome measured elsewhere",
        predicted.remote_sentence, predicted.remote_blocks,
    ),
}  # fmt: skip

# On effects by unit, by kind, as `study.ON_EFFECTS` sorts them.
EFFECT_ITEMS = {
    "SourceComparison": ToldItem(
        "Which pictures tell who gains more?",
        searches.sources_sentence, searches.sources_blocks,
    ),
    "ScaleSearch": ToldItem(
        "One size of picture, or two?", searches.scales_sentence, searches.scales_blocks
    ),
    "Calibration": ToldItem(
        "Are predicted effects of the right size?",
        judging.calibration_sentence, judging.calibration_blocks,
    ),
    "EffectGroups": ToldItem(
        "How much do those gain who are predicted to gain most?",
        judging.groups_sentence, judging.groups_blocks,
    ),
    "EffectLosses": ToldItem(
        "Which model comes nearest to the effects?",
        judging.losses_sentence, judging.losses_blocks,
    ),
    "PolicyValue": ToldItem(
        "What is treating those ranked highest worth?",
        policies.policy_sentence, policies.policy_blocks,
    ),
    "MultiArmQini": ToldItem(
        "What does a larger budget gain?", policies.budget_sentence, policies.budget_blocks
    ),
    "ImageTypes": ToldItem(
        "Do places of different types gain differently?",
        typed.types_sentence, typed.types_blocks,
    ),
    "Transport": ToldItem(
        "What would the effect be elsewhere?",
        elsewhere.transport_sentence, elsewhere.transport_blocks,
    ),
}  # fmt: skip

TOLD_ITEMS = {**OUTCOME_ITEMS, **EFFECT_ITEMS}
