"""What acting on predicted effects is worth: by the share that is treated, and by the budget."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from eocausal.reporting.blocks import Block, Figure
from eocausal.reporting.frames import frame_table
from eocausal.reporting.phrases import from_zero, with_interval
from eocausal.reporting.plots import plot_svg
from eocausal.reporting.tables import number, p_value, rows_of

if TYPE_CHECKING:
    import pandas as pd

    from eocausal.evaluate.multi_arm_qini_result import MultiArmQini
    from eocausal.evaluate.policy_result import PolicyValue

__all__ = ["budget_blocks", "budget_sentence", "policy_blocks", "policy_sentence"]

BAND = "for the whole curve"


def policy_sentence(found: PolicyValue) -> str:
    """Say which share looks best, with a band that allows for having looked at all of them."""
    table = found.table()
    told = [_value(found, table[table["against"] == "nobody"])]
    if found.shares.size > 1:
        told.append(_over_a_lottery(table[table["against"] == "random"]))
    return " ".join(told)


def _value(found: PolicyValue, rows: pd.DataFrame) -> str:
    best = max(rows_of(rows), key=lambda row: row.estimate)
    value = with_interval(best.estimate, best.std_error, best.band_low, best.band_high, covers=BAND)
    who = "everybody" if best.share == 1 else f"the {100 * best.share:.3g}% predicted to gain most"
    cost = f", with {number(found.cost)} paid for each who is treated" if found.cost else ""
    verdict = from_zero(
        best.band_low, best.band_high,
        above="the data show that this is better than treating nobody",
        below="it is worse than treating nobody",
        neither="the data do not show that this is better than treating nobody",
    )  # fmt: skip
    return f"Of the shares looked at, treating {who} is worth most: {value} per unit{cost}; {verdict}."


def _over_a_lottery(rows: pd.DataFrame) -> str:
    most = max(rows_of(rows), key=lambda row: row.estimate)
    value = with_interval(most.estimate, most.std_error, most.band_low, most.band_high, covers=BAND)
    verdict = from_zero(
        most.band_low, most.band_high,
        above="it lies above zero, so that the data show that the ranking is worth more than a lottery",
        below="it lies below zero",
        neither="it includes zero, so that the data do not show that the ranking is worth more than a lottery",
    )  # fmt: skip
    return (
        f"Over a lottery of as many, the ranking gains most at {100 * most.share:.3g}%: {value}; {verdict}."
    )


def policy_blocks(found: PolicyValue, sentence: str) -> list[Block]:
    """Return the value by share."""
    return [
        Figure(
            plot_svg(lambda figure: found.plot(figure.subplots()), height=3.4),
            f"Value by share treated, beside treating at random. {sentence}",
            "What treating those ranked highest is worth",
            "The height of the curve above the dashed line is what ranking adds to treating as many at random. "
            "Where the curve falls, further units cost more than they gain, or are harmed.",
        ),
        frame_table(
            found.table(), "Value of treating the top of the ranking",
            note=f"Per unit of the population, not per unit treated. Standard errors: {found.vcov}. The band holds "
            "at all shares at once.",
        ),
    ]  # fmt: skip


def budget_sentence(found: MultiArmQini) -> str:
    """Say what giving each unit the arm predicted to serve it best adds, on average over budgets."""
    value, error = float(found.area["estimate"]), float(found.area["std_error"])
    half = float(stats.norm.ppf(0.975)) * error
    verdict = from_zero(
        value - half, value + half,
        above="the data show that targeting gains more than a lottery of the same arms",
        below="targeting gains less than a lottery of the same arms",
        neither="the data do not show that targeting gains more than a lottery of the same arms",
    )  # fmt: skip
    return (
        "On average over budgets, giving units what they are predicted to gain most from adds "
        f"{with_interval(value, error, value - half, value + half)} per unit, "
        f"p {p_value(float(found.area['p_value']))}: {verdict}."
    )


def budget_blocks(found: MultiArmQini, sentence: str) -> list[Block]:
    """Return gains over budgets, at ten of them in the table."""
    curve = found.to_frame()
    places = np.unique(np.linspace(0, len(curve) - 1, 10).round().astype(int))
    errors = [name for name in map(str, curve) if name.endswith("_std_error")]
    return [
        Figure(
            plot_svg(lambda figure: found.plot(figure.subplots()), height=3.4),
            f"Gain by budget of a targeted and an untargeted plan. {sentence}",
            "What a larger budget gains",
            "The distance between the curves is what predicted effects add at a budget; bands hold at one budget "
            "each.",
        ),
        frame_table(
            curve.iloc[places], "Gain per unit by budget", leave=errors,
            note=f"Budgets are mean costs by unit. Arms: {', '.join(found.arms)}. Intervals hold at one budget "
            "each.",
        ),
    ]  # fmt: skip
