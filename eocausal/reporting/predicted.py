"""Outcomes that were predicted from images: whether to correct the map, and effects on what it stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from eocausal.reporting.blocks import Block, Figure
from eocausal.reporting.frames import frame_table
from eocausal.reporting.phrases import first_of, from_zero, with_interval
from eocausal.reporting.plots import plot_svg
from eocausal.reporting.tables import decimals_for, interval, number, sentence_case

if TYPE_CHECKING:
    from eocausal.debiasing.corrected_result import Corrected
    from eocausal.debiasing.diagnosis_result import Diagnosis
    from eocausal.inference.estimate import Estimate
    from eocausal.labelled.ppi_result import Ppi
    from eocausal.labelled.regression_result import PpiRegression
    from eocausal.labelled.remote_result import RemoteOutcome

__all__ = [
    "corrected_blocks", "corrected_sentence", "diagnosis_blocks", "diagnosis_sentence", "ppi_blocks",
    "ppi_sentence", "regression_blocks", "regression_sentence", "remote_blocks", "remote_sentence",
]  # fmt: skip

# Inches: four panels, two by two.
WIDE, HIGH = 7.2, 6.0
# Errors of contrasts are no standard errors.
OFF = {"naive_error": "naive_off_by", "corrected_error": "corrected_off_by"}
# What is believed, in words for readers who decide.
BELIEVED = {
    "naive": "the uncorrected one",
    "lcc": "that divided by the slope (lcc)",
    "tweedie": "Tweedie's correction",
}
# When each estimate is right, by what the calibration is of.
_NAIVE_RIGHT = (
    "Naive is right where the error of predictions does not depend on treatment given the prediction"
)
RIGHT_WHERE = {
    "levels": f"{_NAIVE_RIGHT}, lcc and tweedie where it does not given the outcome.",
    "changes": f"{_NAIVE_RIGHT}, lcc where predictions answer to treatment as they do to other changes.",
}


def diagnosis_sentence(found: Diagnosis) -> str:
    """Say how much of differences predictions keep, and whether to correct effects on them."""
    unit = first_row(found)
    told = [f"Of a difference in the truth between places, predictions keep {unit}."]
    told += [
        f"Of one by {one.term}, they keep {number(100 * one.estimate, 0)}%."
        for one in found.levels
        if np.isfinite(one.estimate)
    ]
    return " ".join([*told, f"The verdict: {found.verdict}."])


def first_row(found: Diagnosis) -> str:
    """Return the slope over places as a share with its interval."""
    row = found.to_frame().iloc[0]
    low, high = float(row["conf_low"]), float(row["conf_high"])
    return with_interval(float(row["estimate"]), float(row["std_error"]), low, high)


def diagnosis_blocks(found: Diagnosis, sentence: str) -> list[Block]:
    """Return the four panels, what each level keeps, and the checks of the error."""
    from eocausal.debiasing.diagnosis_figure import draw

    blocks: list[Block] = [
        Figure(
            plot_svg(lambda figure: draw(figure, found), height=HIGH, width=WIDE),
            f"Four panels on how predictions shrink the truth. {sentence}",
            "How predictions shrink the truth",
            "Above: predictions against the truth, whose line would be at 45 degrees without shrinkage, and what "
            "is left over by size of the prediction, which should be flat. Below: how much of a difference is kept "
            "between places and between groups, and how what is left over spreads.",
        )
    ]
    if found.levels:
        note = (
            "Errors are those of a contrast, relative to its true size, uncorrected and divided by the slope."
        )
        blocks.append(
            frame_table(
                found.table().rename(columns=OFF),
                "Differences between groups",
                leave=["kind", "strength"],
                note=note,
            )
        )
    note = "What corrections take for granted of the error; a check that fails speaks against what needs it."
    blocks.append(frame_table(found.to_checks(), "Checks of the error", note=note))
    return blocks


def corrected_sentence(found: Corrected) -> str:
    """Say the effect on the map, the corrected one, which is believed, and the interval between the two poles."""
    if len(found.of) > 1:
        return _several(found)
    naive, farthest = (_term(found.fit, name) for name in ("naive", found.farthest))
    low, high = (float(bound) for bound in np.ravel(found.bounds()))
    decimals = decimals_for(np.sqrt(np.diag(found.fit.variance.matrix)))
    told = (
        f"The effect on the predictions as they are is {naive}; corrected by {found.farthest} it is {farthest}, "
        f"the error of the calibration included. Believed is {BELIEVED[found.chosen]}. Wherever the effect lies "
        f"between the two, the 95% interval is {interval(low, high, decimals)}"
    )
    verdict = from_zero(
        low, high,
        above="so that the outcome rises in either case",
        below="so that the outcome falls in either case",
        neither="so that no effect can be told from zero in both cases",
    )  # fmt: skip
    return f"{told}, {verdict}."


def _several(found: Corrected) -> str:
    times = found.fit.diagnostics.get("event_times")
    # what is there before treatment is no effect
    after = [place for place, _ in enumerate(found.of) if times is None or (times[place] or 0) >= 0]
    told = found.of[after[0] if after else 0]
    rows = [_term(found.fit, f"{kind}: {told}") for kind in ("naive", found.farthest)]
    return (
        f"Of {len(found.of)} effects the one of {told!r} is {rows[0]} on the predictions as they are, and "
        f"{rows[1]} corrected by {found.farthest}. Believed is {BELIEVED[found.chosen]}."
    )


def _term(fit: Estimate, name: str) -> str:
    return with_interval(*first_of(fit, fit.terms.index(name)))


def corrected_blocks(found: Corrected, sentence: str) -> list[Block]:
    """Return the estimates side by side, and where their errors come from."""
    note = f"{RIGHT_WHERE[found.corrector.level]} Standard errors: {found.vcov}, and the calibration's."
    shaded = "" if len(found.of) > 1 else (
        " The shaded span holds the effect wherever it lies between uncorrected and corrected."
    )  # fmt: skip
    return [
        Figure(
            plot_svg(lambda figure: found.plot(figure.subplots()), height=2.2 + 0.2 * len(found.fit.terms)),
            f"Uncorrected and corrected estimates. {sentence}",
            "Effects on the map, as they are and corrected",
            f"Dots are estimates with 95% intervals.{shaded}",
        ),
        frame_table(found.table(), "Effects as they are and corrected", note=note),
    ]


def ppi_sentence(found: Ppi) -> str:
    """Say the estimate by labels and predictions, and what labels say of estimates without them."""
    return " ".join(
        [f"By {found.chosen} the {_what(found)} is {_best(found.best)}.", *map(_as_sentence, found.words())]
    )


def _what(found: Ppi) -> str:
    return "mean" if found.estimand == "mean" else "effect"


def _best(estimate: Estimate) -> str:
    return with_interval(*first_of(estimate))


def _as_sentence(text: str) -> str:
    return f"{sentence_case(text)}."


def ppi_blocks(found: Ppi, sentence: str) -> list[Block]:
    """Return the estimates side by side, and the tests that labels allow."""
    blocks: list[Block] = [
        Figure(
            plot_svg(lambda figure: found.plot(figure.subplots()), height=3.0),
            f"Estimates by predictions, by labels and by both. {sentence}",
            "Effects by predictions, by labels and by both",
            "An estimate whose line is shorter is worth more labels. Naive takes predictions for outcomes.",
        ),
        frame_table(
            found.table(),
            "Effects by predictions, by labels and by both",
            note=f"Standard errors: {found.vcov}.",
        ),
    ]
    if found.label_tests is not None:
        note = "A small p in the first row speaks against naive, in the second against lcc and tweedie."
        blocks.append(frame_table(found.label_tests, "What labels say of estimates without them", note=note))
    return blocks


def regression_sentence(found: PpiRegression) -> str:
    """Say the first coefficient that is no intercept."""
    place = next(one for one, term in enumerate(found.fit.terms) if term != "intercept")
    return (
        f"By predictions and {found.fit.diagnostics['n_labelled']} measured outcomes the coefficient of "
        f"{found.fit.terms[place]} is {with_interval(*first_of(found.fit, place))}."
    )


def regression_blocks(found: PpiRegression, sentence: str) -> list[Block]:
    """Return the coefficients of all three regressions."""
    note = f"Lambda is how much of the predictions is used. Standard errors: {found.vcov}."
    return _plotted(
        found, sentence, "Coefficients by predictions, by labels and by both", note, len(found.fit.terms)
    )


def remote_sentence(found: RemoteOutcome) -> str:
    """Say the effect on an outcome that was measured elsewhere."""
    return f"The effect on the outcome itself is {_best(found.fit)}, by places where it was measured."


def remote_blocks(found: RemoteOutcome, sentence: str) -> list[Block]:
    """Return the effect, levels of the outcome, and what data say of the assumptions."""
    return [
        *_plotted(found, sentence, "Levels of the outcome where it was measured", "", 1),
        frame_table(found.tests(), "What the data say of the assumptions"),
    ]


def _plotted(found: Any, sentence: str, title: str, note: str, rows: int) -> list[Block]:
    return [
        Figure(
            plot_svg(lambda figure: found.plot(figure.subplots()), height=2.0 + 0.4 * rows),
            f"{title}. {sentence}",
            title,
            "Dots are estimates with 95% intervals.",
        ),
        frame_table(found.table(), title, note=note),
    ]
