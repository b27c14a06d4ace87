"""What was searched for where effects are to be seen: sources of features, and sets of scales."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eocausal.reporting.blocks import Block, Figure
from eocausal.reporting.frames import frame_table
from eocausal.reporting.phrases import first_of, from_zero, with_interval
from eocausal.reporting.plots import plot_svg
from eocausal.reporting.tables import decimals_for, number, p_value
from eocausal.reporting.words import plural

if TYPE_CHECKING:
    from eocausal.evaluate.compare_result import SourceComparison
    from eocausal.evaluate.scale_result import ScaleSearch

__all__ = ["scales_blocks", "scales_sentence", "sources_blocks", "sources_sentence"]

# Inches: two panels side by side.
WIDE = 7.2


def sources_sentence(found: SourceComparison) -> str:
    """Say which source ranks best, allowing for how many were looked at."""
    best, many = found.best, len(found.sources)
    rows = found.rate.simultaneous(targets=[found.target]).set_index("term")
    own = rows.loc[[best.source], ["std_error", "conf_low", "conf_high"]]
    error, low, high = own.to_numpy(dtype=float)[0]
    rate = with_interval(
        best.estimate, error, low, high, covers="for all sources at once" if many > 1 else ""
    )
    sure = best.estimate > 0 and best.p_adjusted < 0.05
    better = "ranking by it is better than a lottery"
    verdict = better if sure else f"the data do not show that {better}"
    told = (
        f"Of {plural(many, 'source')}, “{best.source}” has the largest RATE ({found.target}): {rate}. With an "
        f"allowance for {plural(many, 'look')}, {verdict} (p {p_value(best.p_adjusted)})."
    )
    if best.not_separated:
        return f"{told} It cannot be told from {_listed(best.not_separated)}."
    return told if many == 1 else f"{told} It ranks better than each of the others, all pairs looked at."


def _listed(names: tuple[str, ...]) -> str:
    quoted = [f"“{name}”" for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"


def sources_blocks(found: SourceComparison, sentence: str) -> list[Block]:
    """Return rates by source, and differences to one of them."""
    from eocausal.evaluate.compare_figure import draw_comparison

    frame = found.to_frame()
    differences = found.differences().reset_index()
    note = (
        f"Ratios are estimates over standard errors. The p-value is that of the {found.target}, which was declared "
        "beforehand, with an allowance for how many sources there are."
    )
    blocks: list[Block] = [
        Figure(
            plot_svg(
                lambda figure: draw_comparison(figure, found), height=1.5 + 0.42 * len(found.sources), width=WIDE
            ),
            f"Rates by source and differences to {found.reference}. {sentence}",
            "Which pictures tell who gains more",
            "On the left, a line that lies right of zero belongs to a source that ranks better than a lottery; on "
            "the right, one that crosses zero leaves open whether a source is better than that of the diamond.",
        ),
        frame_table(
            frame, "Rates by source", leave=[str(name) for name in frame if str(name).startswith("difference")],
            note=note,
        ),
    ]  # fmt: skip
    if len(differences):
        caption = f"Differences in {found.target} to “{found.reference}”"
        note = "Intervals and p-values hold for all rows at once."
        blocks.append(frame_table(differences, caption, note=note))
    return blocks


def scales_sentence(found: ScaleSearch) -> str:
    """Say what joining two scales gains when they are chosen beforehand, and what the search makes it look like."""
    value, error, low, high = first_of(found.gain)
    verdict = from_zero(
        low, high,
        above="the data show that two sizes of picture rank better than one",
        below="two sizes of picture rank worse than one",
        neither="the data do not show that two sizes of picture rank better than one",
    )  # fmt: skip
    decimals = decimals_for([error])
    naive, chance = found.gains()["gain"].to_numpy(dtype=float)[:2]
    p = p_value(float(found.gains()["p_value"].to_numpy()[1]))
    return (
        "Chosen in parts of the data and judged in others, the best two scales gain "
        f"{with_interval(value, error, low, high)} over the best one, in ratios of RATE to its standard error: "
        f"{verdict}. Judged where they were chosen they seem to gain {number(float(naive), decimals)}; "
        f"with {plural(found.searched, 'look')}, {number(float(chance), decimals)} is what chance alone would "
        f"show (p {p})."
    )


def scales_blocks(found: ScaleSearch, sentence: str) -> list[Block]:
    """Return ratios by set of scales, and the gain by each reckoning."""
    from eocausal.evaluate.scale_figure import draw_search

    scales = int((found.sets["kind"] == "single").sum())
    sets = found.to_frame().drop(columns=["first", "second", "ratio_low", "ratio_high"])
    looks = "Intervals and the last p-value hold for all sets at once."
    return [
        Figure(
            plot_svg(
                lambda figure: draw_search(figure, found), height=max(3.0, 1.6 + 0.5 * scales), width=WIDE
            ),
            f"Ratios of sets of scales as a map, and gains of two scales over one. {sentence}",
            "One size of picture, or two",
            "The diagonal holds single scales. Look at the blue line on the right: it is what was gained by scales "
            "that were chosen beforehand. The naive gain is what a search finds even where there is nothing.",
        ),
        frame_table(found.gains(), "Gain of two scales over one, in ratios"),
        frame_table(sets, f"{found.target} by set of scales", note=looks),
    ]
