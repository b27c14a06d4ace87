"""Whether the arms can be compared: balance, overlap, how treatment was assigned, other pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eocausal.reporting import diagnostic_tables as tables
from eocausal.reporting import figures, maps, words
from eocausal.reporting.blocks import Block, Figure, Heading, Text
from eocausal.reporting.tables import decimals_for, number

if TYPE_CHECKING:
    from eocausal.evaluate.assignment_result import Assignment
    from eocausal.evaluate.balance_result import Balance
    from eocausal.evaluate.overlap_result import Overlap
    from eocausal.evaluate.sweep_result import Sweep

__all__ = ["assignment_blocks", "balance_blocks", "overlap_blocks", "sweep_blocks"]


def balance_blocks(balance: Balance) -> list[Block]:
    """Return what is said and shown of balance, before and after weighting."""
    from eocausal.evaluate.balance_result import BOUNDS

    sentence = words.balance_sentence(balance, BOUNDS[0])
    rings = (
        "Rings are before weighting and dots after it; it has worked where the dots lie inside the grey band."
        if balance.weighted
        else "Dots inside the grey band differ so little between the arms that it rarely matters."
    )
    return [
        Heading("Balance"),
        Text(sentence),
        *[Text(told) for told in words.classifier_sentences(balance)],
        Figure(
            figures.love_plot(balance.table, bound=BOUNDS[0]),
            f"Love plot of standardised mean differences. {sentence}",
            "How alike the arms were before treatment",
            f"Each row is a characteristic known before treatment. {rings}",
        ),
        tables.balance_table(balance.table),
    ]


def overlap_blocks(overlap: Overlap) -> list[Block]:
    """Return the spread of the propensity, and where units without a counterpart are."""
    from eocausal.inference.propensity import EXTREME_PROPENSITY

    sentence = words.overlap_sentence(overlap)
    source = figures.propensity_histogram(overlap.propensity, overlap.treatment, bounds=EXTREME_PROPENSITY)
    blocks: list[Block] = [
        Heading("Overlap"),
        Text(sentence),
        Figure(
            source,
            f"Histogram of the propensity, treated upwards and control downwards. {sentence}",
            "Who could have been treated",
            "Where both colours stand above and below the same place on the axis, like can be compared with "
            "like; in the grey zones at the ends hardly any comparison is possible.",
        ),
        tables.overlap_table(overlap.to_frame()),
    ]
    places = overlap.auc.coordinates
    if places is None or not np.isfinite(places).all():
        return blocks
    out = overlap.left_out()
    rule = list(overlap.cuts)[-1]
    told = f"{words.plural(int(out.sum()), 'unit')} of {out.size:,} would be left out by the rule {rule!r}."
    return [
        *blocks,
        Figure(
            maps.propensity_map(places, overlap.propensity, overlap.treatment, left_out=out),
            f"Map of units by propensity. {told}",
            "Where units have hardly a counterpart",
            "Dark points are units whose arm was nearly certain; crosses are those that trimming would leave out. "
            "Where crosses crowd, an average effect says little about that part of the map.",
        ),
    ]


def assignment_blocks(assignment: Assignment) -> list[Block]:
    """Return how well tables, pictures and both predict treatment."""
    blocks: list[Block] = [Heading("How treatment was assigned, as far as it can be seen")]
    for arm in assignment.arms:
        rows = assignment.table[assignment.table["arm"] == arm.name]
        sentence = words.assignment_sentence(rows, arm.name)
        blocks += [
            Text(sentence),
            Figure(
                figures.assignment_figure(arm, rows),
                f"ROC curves, reliability and increments. {sentence}",
                f"What predicts “{arm.name}”",
                "A curve far above the diagonal means that the arms differ in what is seen. Below, points right of "
                "zero mean that pictures add to the tables; what predicts treatment and not the outcome should not "
                "be adjusted for.",
            ),
            tables.assignment_table(rows),
        ]
    blocks += [Text(text, "caution") for text in assignment.warnings if "as an instrument would" in text]
    return blocks


def sweep_blocks(sweep: Sweep) -> list[Block]:
    """Return how the estimate changes with the pictures."""
    low, high = sweep.table["estimate"].min(), sweep.table["estimate"].max()
    widest = float(sweep.table["std_error"].max())
    moved = float(high - low)
    decimals = decimals_for(sweep.table["std_error"])
    verdict = (
        "more than the largest of their standard errors, so the result rests on which pictures are used"
        if moved > widest
        else "less than the largest of their standard errors"
        if moved > 0
        else "the same in each, because its method does not look at features"
    )
    sentence = (
        f"With {words.plural(len(sweep.table), 'choice')} of what is adjusted for, on the same "
        f"{words.plural(sweep.n, 'unit')}, the estimate runs from {number(low, decimals)} to "
        f"{number(high, decimals)}: {verdict}."
    )
    return [
        Heading("With other pictures"),
        Text(sentence),
        Figure(
            figures.sweep_figure(sweep.table),
            f"Estimates with 95% intervals by set of features, AUC of treatment below. {sentence}",
            "How the estimate changes with the pictures",
            "Each dot is the same estimate with other pictures, the ring that without any. Below stands how well "
            "these pictures predict who is treated: near 0.5 they say nothing of the assignment, near 1 nobody is "
            "left to compare.",
        ),
        tables.sweep_table(sweep.table),
    ]
