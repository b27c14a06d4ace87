"""How far what a ranking is worth depends on how units were dealt into folds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eocausal.reporting.blocks import Block, Figure, Text
from eocausal.reporting.frames import frame_table
from eocausal.reporting.plots import plot_svg
from eocausal.reporting.tables import number, p_value

if TYPE_CHECKING:
    from eocausal.evaluate.rate_result import Rate

__all__ = ["deals_blocks"]

SURE = 0.05


def deals_blocks(rate: Rate) -> list[Block]:
    """Return the ratio of each deal of the units; nothing where there was one deal."""
    splits, term = rate.splits, rate.terms[0]
    if splits.empty:
        return []
    own = splits[(splits["term"] == term) & (splits["estimand"] == rate.target)]
    ratio = own["ratio"].to_numpy(dtype=float)
    p = float(np.atleast_1d(rate.p_over_splits())[0])
    verdict = (
        "this does not show that the ranking finds those who gain more"
        if p >= SURE
        else "the ranking finds those who gain more"
        if np.median(ratio) > 0
        else "the ranking points the wrong way"
    )
    sentence = (
        f"Units were dealt anew into folds {len(own)} times. The RATE ratio ({rate.target}) runs from "
        f"{number(ratio.min(), 2)} to {number(ratio.max(), 2)}, with median {number(float(np.median(ratio)), 2)}; "
        f"twice the median p-value is {p_value(p)}: {verdict}."
    )
    targets = splits["estimand"].nunique()
    return [
        Text(sentence),
        Figure(
            plot_svg(
                lambda figure: rate.plot_splits(term, ax=figure.subplots()), height=1.1 + 0.65 * targets
            ),
            f"RATE ratios of each deal of the units. {sentence}",
            "How far the verdict depends on the luck of the deal",
            "Each point is the whole test with units dealt into other folds. Where points lie on both sides of the "
            "grey band's edge, a single deal would have shown what the dealer drew.",
        ),
        frame_table(own.drop(columns=["estimand"]), f"RATE ({rate.target}) by deal of the units"),
    ]
