"""``kind="breakdown"``: when the sign of the effect would be in doubt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from eocausal._checks import finite_number
from eocausal.errors import SensitivityError, explain
from eocausal.sensitivities.oster import branches, require_room
from eocausal.sensitivities.proportional_selection import Moments, delta_of
from eocausal.sensitivities.result import Sensitivity
from eocausal.sensitivities.selection_moments import (
    Seen,
    doubts,
    is_predicted,
    seen_controls,
    with_errors,
)
from eocausal.sensitivities.sign_breakdown import Flip, breakdown_strength, effects_within, flip
from eocausal.sensitivities.subject import Subject

if TYPE_CHECKING:
    from eocausal.inference.estimate import Estimate
    from eocausal.sensitivities.kinds import Call

# Multiple correlations of the unseen with the controls that the table goes through, the first that of the sentence.
CORRELATIONS = (1.0, 0.5, 0.0)
# Standard errors from the null below which the strength, which ends at 0, has no interval.
SURE = 2.0
POINTS = 241
NOTHING = (
    "says little of the sign where the unseen is compared with {}: an effect of the other sign leaves it with "
    "nothing to do with the outcome, as of a single control it happens, and beside nothing the least is much"
)
ASSUMED = (
    "outcome and treatment are linear in controls and unseen variables",
    "strength compares standard deviations of what unseen variables and controls add to the treatment, in a "
    "regression on both; the unseen may do anything to the outcome. Where they may go with the controls in any way "
    "it is below 1 by construction",
    "delta, but not strength, takes the unseen as uncorrelated with the controls",
)


class _Asked(NamedTuple):
    r2_max: float | None
    beta: float
    bias_max: float | None

    def limit(self, moments: Moments) -> float:
        """Return the largest bias that is thought possible: by default one that turns the estimate around."""
        return 2 * abs(moments.long - self.beta) if self.bias_max is None else self.bias_max


class Answer(NamedTuple):
    """What it takes, in proportion to one set of controls."""

    seen: Seen
    strengths: dict[float, float]
    exactly: float
    other_sign: Flip
    limited: Flip
    limit: float
    intervals: dict[float, tuple[float, float, float]]


def breakdown(
    estimate: Estimate,
    call: Call,
    *,
    r2_max: float | None = None,
    always: Any = None,
    beta: float = 0.0,
    bias_max: float | None = None,
) -> Sensitivity:
    """Return how strong unseen variables must be for the effect to lie on the other side of ``beta``."""
    asked = _read(r2_max, beta, bias_max)
    compared = seen_controls(estimate, call, always)
    require_room(compared[0].moments, compared[0].moments.ceiling(asked.r2_max))
    if compared[0].moments.long == asked.beta:
        raise SensitivityError(explain(f"The estimate is beta={asked.beta:g}: it lies on no side of it."))
    told, made, answers = doubts(estimate, compared[0].moments.long), {}, []
    sure = abs(compared[0].moments.long - asked.beta) >= SURE * float(np.ravel(estimate.std_error)[0])
    if not sure:
        told.append(
            f"no intervals: the estimate is within {SURE:.0f} standard errors of {asked.beta:.3g}, where a "
            "strength ends at 0"
        )
    if is_predicted(estimate):
        told.append("the outcome was predicted: r2_max should be the ceiling of the prediction, not 1")
    for seen in compared:
        if flip(seen.moments, r2_max=seen.moments.ceiling(asked.r2_max), null=asked.beta).delta == 0:
            told.append(f"delta {NOTHING.format(seen.in_words)}")
        errors = _errors(estimate, seen, asked) if sure else None
        if errors is not None:
            made[seen.name] = errors
        answers.append(_answer(seen, asked, errors, call.level))
    subject = Subject.of(estimate)
    return Sensitivity(
        kind="breakdown",
        subject=subject,
        sentence=sentence(answers[0], asked.beta, level=call.level, sure=sure),
        frame=pd.concat([_rows(one, asked.beta) for one in answers], ignore_index=True),
        numbers=_numbers(answers[0], asked),
        curves=_curves(answers[0], asked),
        estimates=made,
        assumptions=ASSUMED,
        warnings=tuple(told),
        diagnostics={"controls": [one.seen.name for one in answers]},
        provenance=estimate.provenance,
    )


def _read(r2_max: float | None, beta: float, bias_max: float | None) -> _Asked:
    if bias_max is not None and finite_number(bias_max, argument="bias_max", error=SensitivityError) <= 0:
        raise SensitivityError(
            explain(f"bias_max={bias_max!r}.", rule="more than 0, in units of the estimate")
        )
    return _Asked(
        None if r2_max is None else finite_number(r2_max, argument="r2_max", error=SensitivityError),
        finite_number(beta, argument="beta", error=SensitivityError),
        None if bias_max is None else float(bias_max),
    )


def _errors(estimate: Estimate, seen: Seen, asked: _Asked) -> Estimate | None:
    named = {}
    for correlation in CORRELATIONS:

        def strength(moments: Moments, at: float = correlation) -> float:
            return breakdown_strength(moments, null=asked.beta, correlation=at)

        named[f"strength, R {correlation:g}"] = (strength(seen.moments), seen.scores_of(strength))
    return with_errors(estimate, named, estimand="strength at which the sign is in doubt")


def _answer(seen: Seen, asked: _Asked, errors: Estimate | None, level: float) -> Answer:
    moments, r2_max = seen.moments, seen.moments.ceiling(asked.r2_max)
    intervals = {}
    if errors is not None:
        limits = np.reshape(errors.ci(level), (-1, 2))
        for correlation, error, (low, high) in zip(CORRELATIONS, np.ravel(errors.std_error), limits):
            # a strength below zero there is not, nor one of 1 where any correlation is allowed
            most = 1.0 if correlation == 1 else np.inf
            intervals[correlation] = (float(error), max(float(low), 0.0), min(float(high), most))
    limit = asked.limit(moments)
    return Answer(
        seen,
        {one: breakdown_strength(moments, null=asked.beta, correlation=one) for one in CORRELATIONS},
        delta_of(moments, beta=asked.beta, r2_max=r2_max),
        flip(moments, r2_max=r2_max, null=asked.beta),
        flip(moments, r2_max=r2_max, null=asked.beta, bias_max=limit),
        limit,
        intervals,
    )


def _rows(answer: Answer, beta: float) -> pd.DataFrame:
    nothing = (np.nan, np.nan, np.nan)
    rows = [
        ("strength", _correlated(one), value, *answer.intervals.get(one, nothing))
        for one, value in answer.strengths.items()
    ]
    other = "an effect on the other side"
    rows += [
        ("delta", f"an effect of exactly {beta:g}", answer.exactly, *nothing),
        ("delta", f"{other}, any bias", answer.other_sign.delta, *nothing),
        ("delta", f"{other}, bias up to {answer.limit:.4g}", answer.limited.delta, *nothing),
    ]
    names = ["measure", "allowed", "value", "std_error", "conf_low", "conf_high"]
    frame = pd.DataFrame(rows, columns=names)
    frame.insert(0, "compared_with", answer.seen.name)
    return frame


def _correlated(correlation: float) -> str:
    if correlation == 0:
        return "unseen uncorrelated with the controls"
    return "any correlation" if correlation == 1 else f"R with the controls up to {correlation:g}"


def _numbers(answer: Answer, asked: _Asked) -> dict[str, float]:
    moments = answer.seen.moments
    nothing = (np.nan, np.nan, np.nan)
    found = {
        "estimate": moments.long,
        "beta": asked.beta,
        "strength": answer.strengths[1.0],
        "strength_low": answer.intervals.get(1.0, nothing)[1],
        "strength_high": answer.intervals.get(1.0, nothing)[2],
        "strength_uncorrelated": answer.strengths[0.0],
        "r2_max": moments.ceiling(asked.r2_max),
        "delta_exact": answer.exactly,
        "delta_sign": answer.other_sign.delta,
        "delta_sign_effect": answer.other_sign.effect,
        "bias_max": answer.limit,
        "delta_sign_limited": answer.limited.delta,
    }
    # numbers are read back from text that knows no infinity
    return {name: value if np.isfinite(value) else np.nan for name, value in found.items()}


def _curves(first: Answer, asked: _Asked) -> dict[str, pd.DataFrame]:
    """Return the effects that strengths allow, and those that deltas allow, of the first set of controls."""
    moments = first.seen.moments
    strengths = np.linspace(0, min(1.6 * first.strengths[0.0], 1.5 * max(1.0, first.strengths[0.0])), POINTS)
    columns: dict[str, list[float]] = {"strength": strengths.tolist()}
    for name, correlation in (("any", 1.0), ("uncorrelated", 0.0)):
        pairs = [effects_within(moments, one, correlation=correlation) for one in strengths]
        columns[f"low_{name}"], columns[f"high_{name}"] = ([one[side] for one in pairs] for side in (0, 1))
    reach = 1.25 * max(first.limit, abs(moments.long - asked.beta))
    return {
        "strengths": pd.DataFrame(columns),
        "branches": branches(moments, moments.ceiling(asked.r2_max), reach),
    }


def sentence(answer: Answer, beta: float, *, level: float, sure: bool) -> str:
    """Say in words what was found."""
    moments, seen = answer.seen.moments, answer.seen.in_words
    limits = answer.intervals.get(1.0)
    interval = "" if limits is None else f" ({100 * level:.3g}% interval {limits[1]:.3g} to {limits[2]:.3g})"
    text = [
        f"Unobserved variables that move the treatment {answer.strengths[1.0]:.3g} times as much as {seen}"
        f"{interval}, and the outcome enough, could bring the estimate from {moments.long:.3g} to {beta:.3g}; "
        f"uncorrelated with the controls, {answer.strengths[0.0]:.3g} times.",
        _about_delta(answer, beta),
    ]
    if not sure:
        text.append(f"The estimate itself cannot be told from {beta:.3g}.")
    return " ".join(text)


def _about_delta(answer: Answer, beta: float) -> str:
    other = "of the other sign" if beta == 0 else f"on the other side of {beta:.3g}"
    least, limited = answer.other_sign.delta, answer.limited.delta
    text = f"Oster's delta is {answer.exactly:.3g} for an effect of exactly {beta:.3g}; for one {other} "
    text += f"{least:.3g} in size is enough" if least > 0 else "next to none is enough"
    if not np.isfinite(limited):
        return f"{text}, but no bias of at most {answer.limit:.3g} reaches it."
    # what is as much as is said already would be said twice
    if f"{limited:.3g}" in (f"{least:.3g}", f"{abs(answer.exactly):.3g}"):
        return f"{text}."
    return f"{text}, or {limited:.3g} with a bias of at most {answer.limit:.3g}."
