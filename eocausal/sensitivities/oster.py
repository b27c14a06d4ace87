"""``kind="oster"``: how much more selection on the unseen would have to matter than on the seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import finite_number
from eocausal.errors import SensitivityError, explain
from eocausal.sensitivities import proportional_selection as selection
from eocausal.sensitivities.proportional_selection import Moments
from eocausal.sensitivities.result import Sensitivity
from eocausal.sensitivities.selection_moments import (
    Seen,
    doubts,
    is_predicted,
    seen_controls,
    with_errors,
)
from eocausal.sensitivities.subject import Subject

if TYPE_CHECKING:
    from eocausal.inference.estimate import Estimate
    from eocausal.sensitivities.kinds import Call

FloatArray = npt.NDArray[np.float64]

# Below so many standard errors from zero a denominator gives no interval that can be trusted.
FIRM = 3.0
POINTS = 801
EMPTY = "no solution: the controls would do nothing for the outcome, so that any delta fits"
USUAL = "what the usual rule takes"
OTHER = "another solution"
SIDE = "on the side to which the controls moved the estimate"
ASSUMED = (
    "the unseen variables are uncorrelated with the controls (kind='breakdown' does without it), and outcome and "
    "treatment are linear in both",
    "r2_max is what a regression on everything, seen and unseen, would explain of the outcome",
)


@dataclass(frozen=True)
class Asked:
    """What is asked of each set of controls."""

    r2_max: float | None
    delta: float
    beta: float


@dataclass(frozen=True, eq=False)
class Answer:
    """What selection in proportion to one set of controls comes to."""

    seen: Seen
    r2_max: float
    delta: float
    roots: FloatArray
    empty: tuple[bool, ...]
    usual: float
    linear: float
    intervals: dict[str, tuple[float, float, float]]
    """Standard error and limits by name: ``delta``, ``root 1`` and so on; none where they cannot be trusted."""

    @property
    def found(self) -> FloatArray:
        """Effects that are solutions."""
        return self.roots[[not one for one in self.empty]]


def oster(
    estimate: Estimate,
    call: Call,
    *,
    r2_max: float | None = None,
    delta: float = 1.0,
    beta: float = 0.0,
    always: Any = None,
) -> Sensitivity:
    """Return the delta that would make the effect ``beta``, and every effect that ``delta`` allows."""
    asked = Asked(
        None if r2_max is None else finite_number(r2_max, argument="r2_max", error=SensitivityError),
        finite_number(delta, argument="delta", error=SensitivityError),
        finite_number(beta, argument="beta", error=SensitivityError),
    )
    compared = seen_controls(estimate, call, always)
    require_room(compared[0].moments, compared[0].moments.ceiling(asked.r2_max))
    made, answers, told = {}, [], doubts(estimate, compared[0].moments.long)
    for seen in compared:
        named = scored(estimate, seen, asked)
        errors = with_errors(estimate, named, estimand="selection on the unseen") if named else None
        if errors is not None:
            made[seen.name] = errors
        answers.append(_answer(seen, asked, errors, call.level))
    first = answers[0]
    if is_predicted(estimate):
        told.append(
            f"the outcome was predicted, and no regression explains more of a prediction than it holds: r2_max "
            f"{first.r2_max:.3g} should be the ceiling of the prediction, not 1"
        )
    told += _without_interval(answers)
    subject = Subject.of(estimate)
    return Sensitivity(
        kind="oster",
        subject=subject,
        sentence=sentence(first, asked, subject, call.level),
        frame=pd.concat([_rows(one, asked) for one in answers], ignore_index=True),
        numbers=_numbers(first, asked),
        curves={"branches": branches(first.seen.moments, first.r2_max, _reach(first, asked))},
        estimates=made,
        assumptions=ASSUMED,
        warnings=tuple(told),
        diagnostics={
            "r2_treatment": first.seen.moments.r2_treatment,
            "controls": [one.seen.name for one in answers],
        },
        provenance=estimate.provenance,
    )


def require_room(moments: Moments, r2_max: float) -> None:
    """Raise unless something is left to be explained, and controls have to do with the treatment."""
    if not moments.r2_long < r2_max <= 1:
        raise SensitivityError(
            explain(
                f"r2_max={r2_max:.4g} leaves the unseen nothing to explain.",
                rule=f"more than the R2 of the regression, {moments.r2_long:.4g}, and at most 1",
            )
        )
    if moments.r2_treatment < 1e-10:
        raise SensitivityError(
            explain(
                "The controls have nothing to do with the treatment, so nothing can be in proportion to them.",
                rule="controls explain some of the treatment",
                fix="kind='omitted'",
            )
        )


def scored(estimate: Estimate, seen: Seen, asked: Asked) -> dict[str, tuple[float, FloatArray]]:
    """Return delta and each simple root with influence values, where a delta-method interval can be trusted.

    Delta is a ratio, and a root moves by the inverse of a slope: where what stands below is not told apart from
    zero, neither is about normal.
    """
    moments = seen.moments

    def below(other: Moments) -> float:
        powers = (other.long - asked.beta) ** np.arange(4)
        return float(selection.ratio(other, other.ceiling(asked.r2_max)).below @ powers)

    def ratio_at(other: Moments) -> float:
        return selection.delta_of(other, beta=asked.beta, r2_max=other.ceiling(asked.r2_max))

    named: dict[str, tuple[float, FloatArray]] = {}
    if _is_firm(estimate, seen, below):
        named["delta"] = (ratio_at(moments), seen.scores_of(ratio_at))
    for place, root in enumerate(
        selection.betas(moments, delta=asked.delta, r2_max=moments.ceiling(asked.r2_max))
    ):
        equation, slope = _equation(float(root), asked), _slope(float(root), asked)
        if not selection.is_empty_index(moments, float(root)) and _is_firm(estimate, seen, slope):
            named[f"root {place + 1}"] = (float(root), -seen.scores_of(equation) / slope(moments))
    return named


def _equation(beta: float, asked: Asked) -> Callable[[Moments], float]:
    """Return the cubic at one effect, zero where the effect is a root, as a function of the moments."""

    def value(moments: Moments) -> float:
        above, below = selection.ratio(moments, moments.ceiling(asked.r2_max))
        return float((above - asked.delta * below) @ (moments.long - beta) ** np.arange(4))

    return value


def _slope(beta: float, asked: Asked) -> Callable[[Moments], float]:
    """Return the derivative of the cubic by the effect."""

    def value(moments: Moments) -> float:
        above, below = selection.ratio(moments, moments.ceiling(asked.r2_max))
        slopes = (above - asked.delta * below)[1:] * np.arange(1, 4)
        return -float(slopes @ (moments.long - beta) ** np.arange(3))

    return value


def _is_firm(estimate: Estimate, seen: Seen, function: Callable[[Moments], float]) -> bool:
    value = function(seen.moments)
    made = with_errors(estimate, {"below": (value, seen.scores_of(function))}, estimand="denominator")
    return abs(value) >= FIRM * float(np.ravel(made.std_error)[0])


def _answer(seen: Seen, asked: Asked, errors: Estimate | None, level: float) -> Answer:
    moments, ceiling = seen.moments, seen.moments.ceiling(asked.r2_max)
    roots = selection.betas(moments, delta=asked.delta, r2_max=ceiling)
    empty = tuple(selection.is_empty_index(moments, float(root)) for root in roots)
    found = roots[[not one for one in empty]]
    intervals = {}
    if errors is not None:
        limits = np.reshape(errors.ci(level), (-1, 2))
        for name, error, (low, high) in zip(errors.terms, np.ravel(errors.std_error), limits):
            intervals[name] = (float(error), float(low), float(high))
    return Answer(
        seen,
        ceiling,
        selection.delta_of(moments, beta=asked.beta, r2_max=ceiling),
        roots,
        empty,
        selection.usual_root(moments, found, asked.delta) if found.size else np.nan,
        selection.linear_approximation(moments, delta=asked.delta, r2_max=ceiling),
        intervals,
    )


def _rows(answer: Answer, asked: Asked) -> pd.DataFrame:
    """Return delta, every root and the linear approximation, one row each."""
    nothing = (np.nan, np.nan, np.nan)
    rows = [("delta", f"effect {asked.beta:g}", 0, answer.delta, "", *answer.intervals.get("delta", nothing))]
    at = f"delta {asked.delta:g}"
    for place, root in enumerate(answer.roots, start=1):
        note = EMPTY if answer.empty[place - 1] else USUAL if root == answer.usual else OTHER
        rows.append(("effect", at, place, float(root), note, *answer.intervals.get(f"root {place}", nothing)))
    rows.append(("effect, linear approximation", at, 0, answer.linear, "not a solution in general", *nothing))
    names = ["quantity", "given", "root", "value", "note", "std_error", "conf_low", "conf_high"]
    frame = pd.DataFrame(rows, columns=names)
    frame.insert(0, "compared_with", answer.seen.name)
    return frame[["compared_with", *names[:4], *names[5:], "note"]]


def _numbers(answer: Answer, asked: Asked) -> dict[str, float]:
    moments, nothing = answer.seen.moments, (np.nan, np.nan, np.nan)
    place = int(np.flatnonzero(answer.roots == answer.usual)[0]) + 1 if answer.found.size else 0
    delta, usual = (answer.intervals.get(name, nothing) for name in ("delta", f"root {place}"))
    return {
        "estimate": moments.long,
        "short": moments.short,
        "r2_short": moments.r2_short,
        "r2_long": moments.r2_long,
        "r2_max": answer.r2_max,
        "delta": asked.delta,
        "beta": asked.beta,
        "delta_star": answer.delta if np.isfinite(answer.delta) else np.nan,
        "delta_star_low": delta[1],
        "delta_star_high": delta[2],
        "beta_star": answer.usual,
        "beta_star_low": usual[1],
        "beta_star_high": usual[2],
        "beta_linear": answer.linear,
        "roots": float(answer.found.size),
    }


def _without_interval(answers: list[Answer]) -> list[str]:
    """Say which numbers have no interval because what they are divided by may be zero."""
    missing = []
    for one in answers:
        names = [f"root {place}" for place, empty in enumerate(one.empty, start=1) if not empty]
        left = [name for name in ("delta", *names) if name not in one.intervals]
        missing += [f"{name} ({one.seen.in_words})" for name in left]
    if not missing:
        return []
    return [
        f"no interval for {', '.join(missing)}: what it is divided by is within {FIRM:.0f} standard errors of "
        "zero, and a standard error would say too little; compare with controls that move estimate and treatment "
        "more"
    ]


def _reach(answer: Answer, asked: Asked) -> float:
    """Return how far from the estimate the figure goes: past all roots and the value that was asked about."""
    moments = answer.seen.moments
    away = [*(answer.roots - moments.long), asked.beta - moments.long, moments.short - moments.long]
    return 1.4 * float(np.abs(away).max())


def branches(moments: Moments, r2_max: float, reach: float) -> pd.DataFrame:
    """Return the delta of each effect within ``reach`` of the estimate, in pieces between which it is infinite."""
    effects = moments.long + np.linspace(-reach, reach, POINTS)
    above, below = selection.ratio(moments, r2_max)
    powers = (moments.long - effects)[:, None] ** np.arange(4)
    under = powers @ below
    keep = np.abs(under) > 0
    pieces = np.cumsum(np.r_[False, np.sign(under[1:]) != np.sign(under[:-1])])
    return pd.DataFrame({
        "effect": effects[keep],
        "delta": (powers @ above)[keep] / under[keep],
        "piece": pieces[keep].astype(int),
    })  # fmt: skip


def sentence(answer: Answer, asked: Asked, subject: Subject, level: float) -> str:
    """Say in words what was found."""
    text = [_about_delta(answer, asked, level), _about_effects(answer, asked)]
    if subject.conf_low <= 0 <= subject.conf_high:
        text.append("The estimate itself cannot be told from zero.")
    return " ".join(text)


def _about_delta(answer: Answer, asked: Asked, level: float) -> str:
    seen, moments = answer.seen.in_words, answer.seen.moments
    limits = answer.intervals.get("delta")
    goal = f"bring the estimate from {moments.long:.3g} to {asked.beta:.3g}"
    ceiling = f"if all variables together explained {100 * answer.r2_max:.0f}% of the outcome"
    if not np.isfinite(answer.delta):
        return f"No unobserved variables would {goal}, {ceiling}."
    sure = "" if limits is None else f"; {100 * level:.3g}% interval {limits[1]:.3g} to {limits[2]:.3g}"
    if answer.delta < 0:
        return (
            f"Only unobserved variables that pull against {seen}, with selection {-answer.delta:.3g} times as "
            f"strong (delta {answer.delta:.3g}{sure}), would {goal}, {ceiling}."
        )
    return (
        f"To {goal}, selection on unobserved variables would have to be {answer.delta:.3g} times that on {seen} "
        f"(delta{sure}), {ceiling}."
    )


def _about_effects(answer: Answer, asked: Asked) -> str:
    found, moments = [f"{one:.3g}" for one in answer.found], answer.seen.moments
    if not found:
        return f"No effect is consistent with a delta of {asked.delta:.3g}."
    moved = (moments.long - moments.short) * (1 if asked.delta >= 0 else -1)
    away = ", away from where the controls moved it" if (answer.usual - moments.long) * moved < 0 else ""
    text = f"At a delta of {asked.delta:.3g} the effect would be {' or '.join(found)}"
    if len(found) == 1:
        return f"{text}{away}."
    return f"{text}: the data do not tell which, the usual rule takes {answer.usual:.3g}{away}."
