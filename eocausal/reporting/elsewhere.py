"""Effects carried to places beyond the study."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eocausal.reporting import figures
from eocausal.reporting.blocks import Block, Figure
from eocausal.reporting.frames import frame_table
from eocausal.reporting.phrases import first_of, from_zero, with_interval
from eocausal.reporting.plots import plot_svg
from eocausal.reporting.study import METHOD_NAMES

if TYPE_CHECKING:
    from eocausal.evaluate.transport_result import Transport

__all__ = ["transport_blocks", "transport_sentence"]


def transport_sentence(found: Transport) -> str:
    """Say the average effect of the target, whether it differs from that of the study, and who has no like."""
    value, error, low, high = first_of(found.average)
    verdict = from_zero(
        low, high,
        above="the data show that it is positive",
        below="the data show that it is negative",
        neither="the interval includes zero",
    )  # fmt: skip
    _, _, below, above = apart = first_of(found.difference())
    differs = from_zero(below, above, above="more than", below="less than", neither="not to be told from")
    outside = 100 * float(found.diagnostics["share_outside"])
    told = (
        f"The average effect of the {found.ids.size:,} places of the target is "
        f"{with_interval(value, error, low, high)}; {verdict}. It is {differs} that of the study, "
        f"{with_interval(*first_of(found.study))}: the difference is {with_interval(*apart)}."
    )
    if not outside:
        return f"{told} The study has seen the like of every place."
    return f"{told} Of {outside:.1f}% of the target the study has seen no like: there, the effect is a guess."


def transport_blocks(found: Transport, sentence: str) -> list[Block]:
    """Return averages of target and study, the map of the target, and how the average rests on support."""
    blocks: list[Block] = [
        Figure(
            plot_svg(lambda figure: found.plot(figure.subplots()), height=2.0),
            f"Average effects of target and study. {sentence}",
            "The average effect of the study, and of the target",
            "Both lines of the target answer one question; where they differ much, a model behind them is wrong.",
        )
    ]
    if found.coordinates is not None:
        blocks.append(
            Figure(
                figures.as_png(lambda figure: found.map(figure.subplots()), height=4.4),
                f"Map of predicted effects of the target. {sentence}",
                "Where the model predicts larger and smaller effects in the target",
                "Grey places are unlike all that the study has seen, and say nothing.",
            )
        )
    averages = found.to_frame().assign(place=["target", "target", "study"])
    averages["method"] = [METHOD_NAMES.get(method, method) for method in averages["method"]]
    shown = ["place", "method", "estimate", "std_error", "p_value", "conf_low", "conf_high", "n"]
    return [
        *blocks,
        frame_table(averages[shown], "Average effects of target and study"),
        frame_table(found.by_support, "The average effect by how like the study places are"),
        frame_table(found.balance, "Study and target, before and after weighting"),
    ]
