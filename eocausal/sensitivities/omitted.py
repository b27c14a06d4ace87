"""How strong an omitted variable would have to be: bias by partial R2 (Cinelli and Hazlett 2020)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats

from eocausal.errors import SensitivityError, explain
from eocausal.sensitivities import strengths
from eocausal.sensitivities.given_strengths import (
    CAPPED,
    GIVEN,
    IMPOSSIBLE,
    USUAL,
    USUAL_STRENGTHS,
    Numbers,
    asked_content,
    null_of,
    read_q,
    read_strengths,
    read_times,
    times_numbers,
)
from eocausal.sensitivities.linear_model import LinearModel, linear_model
from eocausal.sensitivities.omitted_words import Told, Yard, sentence
from eocausal.sensitivities.result import Sensitivity
from eocausal.sensitivities.subject import Subject
from eocausal.sensitivities.yardsticks import Measured, measured

if TYPE_CHECKING:
    from eocausal.inference.estimate import Estimate
    from eocausal.sensitivities.kinds import Call

# Relative to its standard error, an estimate is no nearer to the coefficient than rounding allows.
_SAME = 1e-6
_STRAIGHT = (
    "with the omitted variables added the regression would be right, and its coefficient the effect; they enter it "
    "without interactions"
)
_APART = (
    "given the other columns, omitted variables are not related to the benchmark that they are compared with"
)
_ERRORS = (
    "standard errors grow as omitted variables leave less of the treatment; smaller residuals are not counted in "
    "favour (columns that end in _classical do)"
)


def omitted(
    estimate: Estimate,
    call: Call,
    *,
    r2_treatment: Numbers = None,
    r2_outcome: Numbers = None,
    times: Numbers = (1, 2, 3),
    q: float = 1.0,
) -> Sensitivity:
    """Say how much of treatment and outcome omitted variables must explain to bring a coefficient to zero."""
    given = read_strengths(r2_treatment, r2_outcome)
    multiples = read_times(times)
    fit = Fit.of(estimate, linear_model(estimate), level=call.level, q=read_q(q))
    yardsticks, told = measured(estimate, fit.model, call)
    rows = [_row(fit, GIVEN, np.nan, strength) for strength in given]
    if not given and not yardsticks:
        rows = [_row(fit, USUAL, np.nan, strength) for strength in USUAL_STRENGTHS]
    rows += [
        _row(
            fit,
            one.benchmark.name,
            multiple,
            one.yardstick.strength(multiple),
            CAPPED if one.yardstick.takes_all(multiple) else "",
        )
        for one in yardsticks
        for multiple in multiples
    ]
    frame = _typed(pd.DataFrame(rows, columns=list(_COLUMNS)))
    table = _yardstick_table(fit, yardsticks)
    needed = times_numbers(*(list(table[name]) for name in ("benchmark", "times", "times_two_sided")))
    numbers = {**_numbers(fit), **needed}
    told += [text for one in yardsticks if (text := one.warning)] + _beyond(frame, yardsticks)
    asked = asked_content("omitted", given, multiples, level=fit.level, q=fit.q)
    return Sensitivity(
        kind="omitted",
        subject=Subject.of(estimate),
        sentence=sentence(_told(estimate, fit, numbers, table, yardsticks, frame)),
        frame=frame,
        numbers=numbers,
        curves={"points": _points(frame, yardsticks), "yardsticks": table},
        assumptions=(_STRAIGHT, *([_APART] if yardsticks else []), _ERRORS),
        warnings=tuple(told),
        diagnostics={"vcov": estimate.vcov, "level": call.level, "q": fit.q},
        provenance={**estimate.provenance, "sensitivity": asked},
    )


@dataclass(frozen=True, eq=False)
class Fit:
    """A coefficient with its classical standard error, its own interval, and the value it is compared with.

    Attributes
    ----------
    model : LinearModel
    value, std_error : float
        The estimate with its own standard error.
    below, above : float
        Distances to the ends of its own interval.
    classical : float
        Standard error of least squares with independent errors of one variance.
    level, q : float
    """

    model: LinearModel = field(repr=False)
    value: float
    std_error: float
    below: float
    above: float
    classical: float
    level: float
    q: float

    @classmethod
    def of(cls, estimate: Estimate, model: LinearModel, *, level: float, q: float) -> Fit:
        """Fit the regression and check that its coefficient is the estimate."""
        treatment, outcome = model.residuals(np.column_stack([model.treatment, model.outcome])).T
        left = float(treatment @ treatment)
        coefficient = float(treatment @ outcome) / left
        residuals = outcome - coefficient * treatment
        if model.df < 2 or residuals @ residuals <= _SAME**2 * (outcome @ outcome):
            raise SensitivityError(
                explain(
                    f"The regression leaves nothing of the outcome to explain ({model.df} degrees of freedom).",
                    rule="residuals, and at least two degrees of freedom",
                )
            )
        classical = float(np.sqrt(residuals @ residuals / model.df / left))
        value = float(estimate.values[0])
        if abs(value - coefficient) > _SAME * max(abs(value), classical * np.sqrt(model.df)):
            raise SensitivityError(
                explain(
                    f"The estimate {value:.6g} is not the coefficient {coefficient:.6g} of its regression.",
                    fix="kind='dml' or 'placebo'",
                )
            )
        low, high = (float(end) for end in np.ravel(estimate.ci(level)))
        error = float(np.ravel(estimate.std_error)[0])
        return cls(model, value, error, value - low, high - value, classical, level, q)

    @property
    def scale(self) -> float:
        """What the bias factor is multiplied with: the classical standard error times the root of its df."""
        return float(self.classical * np.sqrt(self.model.df))

    @property
    def null(self) -> float:
        """The value that the estimate is brought to."""
        return null_of(self.value, self.q)

    @property
    def f(self) -> float:
        """Distance to it, over the scale."""
        return abs(self.q * self.value) / self.scale

    @property
    def reach(self) -> float:
        """Distance to the end of the own interval that faces it, over the scale."""
        return (self.below if self.value > 0 else self.above) / self.scale

    def bias(self, strength: tuple[float, float]) -> float:
        """Return the most that omitted variables of a strength move the estimate, away from its sign."""
        sign = -1.0 if self.value < 0 else 1.0
        return sign * self.scale * strengths.bias_factor(*strength)

    def own_interval(self, moved: float, r2_treatment: float) -> tuple[float, float]:
        """Return the interval by own standard errors once the estimate is moved."""
        widened = 1 / np.sqrt(1 - r2_treatment)
        return moved - float(widened * self.below), moved + float(widened * self.above)

    def classical_interval(self, moved: float, strength: tuple[float, float]) -> tuple[float, float, float]:
        """Return the classical standard error of the longer regression, and its interval."""
        error = strengths.adjusted_std_error(self.classical, *strength, df=self.model.df)
        half = float(stats.t.ppf(0.5 + self.level / 2, self.model.df - 1)) * error
        return error, moved - half, moved + half


_COLUMNS = (
    "benchmark", "times", "r2_treatment", "r2_outcome", "estimate", "std_error", "conf_low", "conf_high",
    "std_error_classical", "conf_low_classical", "conf_high_classical", "estimate_away", "note",
)  # fmt: skip


def _row(fit: Fit, name: str, times: float, strength: tuple[float, float], note: str = "") -> tuple[Any, ...]:
    """Return a row of the table; where nothing can be so strong the note says so."""
    treatment, outcome = strength
    if treatment >= 1:
        return (name, times, *[np.nan] * 10, IMPOSSIBLE)
    moved = fit.value - fit.bias(strength)
    widened = fit.std_error / float(np.sqrt(1 - treatment))
    own, usual = fit.own_interval(moved, treatment), fit.classical_interval(moved, strength)
    away = fit.value + fit.bias(strength)
    return (name, times, treatment, outcome, moved, widened, *own, *usual, away, note)


def _beyond(frame: pd.DataFrame, yardsticks: Sequence[Measured]) -> list[str]:
    """Return warnings of multiples that are more than can be."""
    words = {one.benchmark.name: one.benchmark.in_words for one in yardsticks}
    told = []
    for (note, name), rows in frame[frame["note"] != ""].groupby(["note", "benchmark"], sort=False):
        multiples = " or ".join(f"{one:g}" for one in rows["times"])
        what = f"no omitted variable can be {multiples} times as strong as {words[str(name)]}"
        told.append(
            f"{what} with the outcome: these rows have it explain all that is left"
            if note == CAPPED
            else f"{what} with the treatment: it would explain more than all that is left, and rows are empty"
        )
    return told


def _numbers(fit: Fit) -> dict[str, float]:
    model = fit.model
    return {
        "robustness_value": strengths.robustness_value(fit.f),
        "robustness_value_two_sided": strengths.robustness_value_interval(fit.f, fit.reach),
        "robustness_value_two_sided_classical": strengths.robustness_value_classical(
            fit.f, df=model.df, level=fit.level
        ),
        "extreme_robustness_value": strengths.extreme_robustness_value(fit.f),
        "partial_r2": strengths.partial_r2(fit.value / fit.classical, model.df),
        "estimate": fit.value,
        "null": fit.null,
        "std_error": fit.std_error,
        "std_error_classical": fit.classical,
        "df_classical": float(model.df),
        "scale": fit.scale,
        "reach": fit.reach * fit.scale,
        "level": fit.level,
    }


def _yardstick_table(fit: Fit, yardsticks: Sequence[Measured]) -> pd.DataFrame:
    """Return what each benchmark explains, and how many times as strong the unseen must be."""
    rows = [
        (
            one.benchmark.name,
            one.columns,
            one.yardstick.r2_treatment,
            one.yardstick.r2_outcome,
            one.p_treatment,
            one.p_outcome,
            one.yardstick.times_needed(fit.f),
            one.yardstick.times_needed(fit.f, fit.reach),
        )
        for one in yardsticks
    ]
    named = ["benchmark", "columns", "r2_treatment", "r2_outcome", "p_treatment", "p_outcome", "times"]
    return _typed(pd.DataFrame(rows, columns=[*named, "times_two_sided"]))


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose numbers are numbers without any row, too."""
    text = ("benchmark", "note")
    kinds = {name: "int64" if name == "columns" else "float64" for name in frame if name not in text}
    return frame.astype(kinds)


def _points(frame: pd.DataFrame, yardsticks: Sequence[Measured]) -> pd.DataFrame:
    """Return the points of the figure with what is written beside them."""
    possible = frame[frame["note"] != IMPOSSIBLE]
    words = {one.benchmark.name: one.benchmark.in_words for one in yardsticks}
    names = [
        name if np.isnan(times) else f"{times:g} x {words[name]}"
        for name, times in zip(possible["benchmark"], possible["times"])
    ]
    points = possible[["r2_treatment", "r2_outcome"]].reset_index(drop=True)
    points.insert(0, "name", names)
    return points


def _told(
    estimate: Estimate,
    fit: Fit,
    numbers: Mapping[str, float],
    table: pd.DataFrame,
    yardsticks: Sequence[Measured],
    frame: pd.DataFrame,
) -> Told:
    given = frame[(frame["benchmark"] == GIVEN) & frame["times"].isna()]
    columns = ["r2_treatment", "r2_outcome", "estimate", "conf_low", "conf_high"]
    return Told(
        estimate=fit.value,
        null=fit.null,
        level=fit.level,
        errors=estimate.variance.how.in_words,
        needed=numbers["robustness_value"],
        needed_interval=numbers["robustness_value_two_sided"],
        yards=tuple(
            Yard(
                one.benchmark,
                times,
                interval,
                all_of_outcome=one.yardstick.takes_all(times),
                all_of_outcome_interval=one.yardstick.takes_all(interval),
                by_chance=bool(one.by_chance),
            )
            for one, times, interval in zip(yardsticks, table["times"], table["times_two_sided"])
        ),
        scenario=tuple(given[columns].iloc[0]) if len(given) else None,
    )
