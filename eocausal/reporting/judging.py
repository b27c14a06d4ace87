"""Whether predicted effects are right: the test of calibration, averages by group, and losses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eocausal.reporting.blocks import Block, Figure, Table
from eocausal.reporting.frames import frame_table
from eocausal.reporting.phrases import from_zero, with_interval
from eocausal.reporting.plots import plot_svg
from eocausal.reporting.tables import decimals_for, interval, number, p_value, rows_of

if TYPE_CHECKING:
    from eocausal.evaluate.calibration_result import Calibration
    from eocausal.evaluate.effect_groups_result import EffectGroups
    from eocausal.evaluate.effect_losses_result import EffectLosses

__all__ = [
    "calibration_blocks", "calibration_sentence", "groups_blocks", "groups_sentence", "losses_blocks",
    "losses_sentence",
]  # fmt: skip

SURE = 0.05


def calibration_blocks(calibration: Calibration, _: str) -> list[Block]:
    """Return the test of the size of predicted effects."""
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
    return [Table("Test of calibration", columns, rows, numeric, note)]


def calibration_sentence(calibration: Calibration) -> str:
    """Say whether effects differ as predicted, and by how much."""
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


def groups_sentence(groups: EffectGroups) -> str:
    """Say how much more the group predicted to gain most gains than that predicted to gain least."""
    decimals = decimals_for(groups.table()["std_error"])
    last = groups.to_frame().iloc[-1]
    gap = (
        f"{number(last['estimate'], decimals)} (95% interval "
        f"{interval(last['conf_low'], last['conf_high'], decimals)}, p {p_value(last['p_value'])})"
    )
    if not np.isfinite(groups.equality_p):
        return f"The {groups.k} groups have the same average effect, or too few units to tell them apart."
    return (
        f"The {groups.k} groups hold equally many units each. The group predicted to gain most gains {gap} more "
        f"than the one predicted to gain least; that all groups gain alike has p {p_value(groups.equality_p)}."
    )


def groups_blocks(groups: EffectGroups, sentence: str) -> list[Block]:
    """Return averages by group of predicted effect, with a figure."""
    table = groups.table()
    decimals = decimals_for(table["std_error"])
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
        Figure(
            plot_svg(lambda figure: groups.plot(figure.subplots()), height=3.4),
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


def losses_sentence(found: EffectLosses) -> str:
    """Say which model is nearest to the true effects, allowing for how many were looked at."""
    from eocausal.evaluate.effect_losses_result import CONSTANT
    from eocausal.inference.simultaneous import band_factor

    against = found.differences()
    rows = [place for place, term in enumerate(against.terms) if term.endswith(f" - {CONSTANT}")]
    matrix = against.variance.matrix[np.ix_(rows, rows)]
    gains, errors = -against.values[rows], np.sqrt(np.diag(matrix))
    half = band_factor(matrix, df=against.variance.df, level=0.95) * errors
    best = int(gains.argmax())
    covers = "" if len(rows) == 1 else f"for all {len(rows)} models at once"
    low, high = float(gains[best] - half[best]), float(gains[best] + half[best])
    gain = with_interval(float(gains[best]), float(errors[best]), low, high, covers=covers)
    verdict = from_zero(
        low, high,
        above="the data show that it predicts effects better than one effect for all",
        below="it predicts effects worse than one effect for all",
        neither="the data do not show that it predicts effects better than one effect for all",
    )  # fmt: skip
    return f"“{found.names[best]}” comes nearest to the effects: its DR-loss gains {gain}; {verdict}."


def losses_blocks(found: EffectLosses, sentence: str) -> list[Block]:
    """Return losses of all models, and what each gains over one effect for all."""
    note = (
        "A loss is the mean squared distance from what the data say of effects, noise of outcomes in it, so that "
        "only gains over one effect for all say much."
    )
    return [
        Figure(
            plot_svg(lambda figure: found.plot(figure.subplots()), height=1.2 + 0.4 * (len(found.names) - 1)),
            f"Gain in DR-loss over one effect for all. {sentence}",
            "How near models come to the effects",
            "A line right of zero belongs to a model that predicts effects better than their average does; each "
            "interval is for one model.",
        ),
        frame_table(found.table(), "Losses of predicted effects", note=note),
    ]
