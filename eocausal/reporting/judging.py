"""What predicted effects are worth: the test of calibration, and averages by group of predicted effect."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eocausal.reporting import figures
from eocausal.reporting.blocks import Block, Figure, Heading, Table, Text
from eocausal.reporting.tables import decimals_for, interval, number, p_value, rows_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

    from eocausal.evaluate.calibration_result import Calibration
    from eocausal.evaluate.effect_groups_result import EffectGroups

__all__ = ["calibration_blocks", "groups_blocks"]

SURE = 0.05


def calibration_blocks(calibration: Calibration) -> list[Block]:
    """Return what is said of the size of predicted effects."""
    tests = calibration.tests()
    frame = calibration.to_frame()
    decimals = decimals_for(frame["std_error"])
    rows = tuple(
        (
            str(row.term), number(row.estimate, decimals), number(row.std_error, decimals),
            interval(row.conf_low, row.conf_high, decimals), hypothesis, p_value(p),
        )
        for row, hypothesis, p in zip(rows_of(frame), ("is 1", "is 0 or less"), tests["p_value"])
    )  # fmt: skip
    columns = ("Coefficient", "Estimate", "Std. error", "95% interval", "Hypothesis", "p")
    note = f"Both are 1 where predictions are right. Standard errors: {calibration.vcov}."
    numeric = (False, True, True, True, False, True)
    return [
        Heading("Are predicted effects of the right size?"),
        Text(_calibration_sentence(calibration)),
        Table("Test of calibration", columns, rows, numeric, note),
    ]


def _calibration_sentence(calibration: Calibration) -> str:
    slope = float(calibration.fit.values[1])
    low, high = (float(bound) for bound in np.asarray(calibration.ci())[1])
    p = float(calibration.tests()["p_value"][1])
    if p >= SURE:
        return (
            f"The data do not show that effects differ as predicted (p {p_value(p)}). That is no evidence that "
            "effects are all alike."
        )
    if low > 1:
        size = "by more than predicted"
    elif high < 1:
        size = "by less than predicted"
    else:
        size = "by about as much as predicted, as far as these data can tell"
    shown = number(slope, decimals_for([np.sqrt(calibration.fit.variance.matrix[1, 1])]))
    return f"Effects differ as predicted (p {p_value(p)}), {size}: for each unit of predicted difference {shown}."


def groups_blocks(groups: EffectGroups, *, outcome: str) -> list[Block]:
    """Return averages by group of predicted effect, with a figure."""
    table = groups.table()
    decimals = decimals_for(table["std_error"])
    last = groups.to_frame().iloc[-1]
    gap = (
        f"{number(last['estimate'], decimals)} (95% interval "
        f"{interval(last['conf_low'], last['conf_high'], decimals)}, p {p_value(last['p_value'])})"
    )
    sentence = (
        f"The {groups.k} groups hold equally many units each. The group predicted to gain most gains {gap} more "
        f"than the one predicted to gain least; that all groups gain alike has p {p_value(groups.equality_p)}."
    )

    def draw(figure: Canvas) -> None:
        ax = groups.plot(figure.subplots())
        ax.set_ylabel(f"effect on {figures.short(outcome, longest=figures.LABEL)}")

    rows = tuple(
        (
            str(row.group), number(row.predicted, decimals), number(row.estimate, decimals),
            number(row.std_error, decimals), interval(row.conf_low, row.conf_high, decimals),
            interval(row.band_low, row.band_high, decimals),
        )
        for row in rows_of(table)
    )  # fmt: skip
    columns = ("Group", "Predicted", "Estimate", "Std. error", "95% interval", "95% band of all")
    return [
        Heading("How much do those gain who are predicted to gain most?"),
        Text(sentence),
        Figure(
            figures.as_svg(draw, height=3.4),
            f"Average effects by group of predicted effect. {sentence}",
            "Average effect by group of predicted effect",
            "Dots are averages that were estimated on units which the predictions had not seen, diamonds are the "
            "mean predictions. Look whether the dots rise from left to right, and whether the diamonds lie within "
            "their intervals.",
        ),
        Table(
            "Average effects by group",
            columns,
            rows,
            (False,) + (True,) * 5,
            f"Standard errors: {groups.vcov}.",
        ),
    ]
