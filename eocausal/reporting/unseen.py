"""How strong what was not seen would have to be, and tests that estimates must pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from eocausal.reporting.blocks import Block, Figure, Heading, Text
from eocausal.reporting.frames import frame_table
from eocausal.reporting.plots import plot_svg

if TYPE_CHECKING:
    import pandas as pd

    from eocausal.sensitivities.result import Sensitivity

__all__ = ["sensitivity_blocks"]

# By kind, what the figure is called and how it is read.
FIGURES = {
    "omitted": (
        "Estimates under omitted variables of any strength",
        "Each line joins strengths under which the estimate would be the same; beyond the line at zero its sign "
        "would be another. Dots are as strong as columns that were observed.",
    ),
    "dml": (
        "Bounds under unobserved confounders of any strength",
        "Each line joins strengths under which the bound would be the same; beyond the line at zero the sign is in "
        "doubt. Dots are as strong as columns that were observed.",
    ),
    "marginal": (
        "Bounds by how far the odds of treatment may be off",
        "To the left nothing was overlooked; to the right an unseen confounder may move the odds of treatment by "
        "more and more. Where the band takes in zero, the sign is in doubt.",
    ),
    "oster": (
        "The effect if the unseen were as related to treatment as the seen",
        "At each degree of selection on the unseen, relative to the seen, the effects that fit the data.",
    ),
    "breakdown": (
        "Effects that fit the data, by how much the unseen may matter",
        "Where the shaded set takes in zero, the sign is in doubt.",
    ),
    "evalue": (
        "Associations that would explain the effect away",
        "On and above the curve an unseen confounder that is this strongly tied to treatment and to the outcome "
        "could be all there is.",
    ),
    "rosenbaum": (
        "Evidence by how unequal the chances of treatment may be",
        "To the left units of a pair had the same chance of treatment; to the right one may have had several times "
        "the odds of the other.",
    ),
    "placebo": (
        "Effects where there can be none, beside the estimate",
        "A placebo far from zero is a sign of bias; one whose interval is wide says little.",
    ),
    "spatial": (
        "What neighbours share",
        "How alike neighbours are in what the estimate leaves unexplained, standard errors by distance, and the "
        "estimate as neighbours of treated units are left out or counted.",
    ),
    "robustness": (
        "The estimate under every specification",
        "Above: estimates in order of size with 95% intervals. Below: the choices that each was made with.",
    ),
}
# Columns that find no room on a page: texts longer than a cell can hold, and what others of the table show too.
LEAVE: dict[str, tuple[str, ...]] = {
    "omitted": ("std_error_classical", "conf_low_classical", "conf_high_classical", "estimate_away", "note"),
    "dml": (
        "rho",
        "std_error_lower",
        "std_error_upper",
        "conf_low_one_sided",
        "conf_high_one_sided",
        "rho_found",
        "note",
    ),
    "placebo": ("test", "share_of_estimate"),
    "spatial": ("test", "distance_km", "expected", "p_draws"),
    "robustness": ("specification", "sign", "significant", "ess_treated", "ess_control"),
}
# Rows that the figure shows already.
DRAWN = {"spatial": ("test", "conley")}


def sensitivity_blocks(found: Sequence[Sensitivity]) -> list[Block]:
    """Return for each analysis its question, its sentence, its figure and its table."""
    blocks: list[Block] = []
    kinds = [one.kind for one in found]
    for one in found:
        title, note = FIGURES[one.kind]
        whose = f" ({one.subject.method})" if kinds.count(one.kind) > 1 else ""
        width, height = one.size
        blocks += [
            Heading(f"{one.question}{whose}"),
            Text(one.sentence),
            Figure(
                plot_svg(one.draw, height=height, width=width),
                f"{title}. {one.sentence}",
                f"{title}{whose}",
                note,
            ),
            frame_table(_shown(one), f"In numbers{whose}: {one.kind}", leave=LEAVE.get(one.kind, ())),
        ]
    return blocks


def _shown(found: Sensitivity) -> pd.DataFrame:
    """Return the rows of the table that stand beside the figure."""
    column, value = DRAWN.get(found.kind, ("", ""))
    return found.frame[found.frame[column] != value] if column else found.frame
