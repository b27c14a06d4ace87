"""`kind="dml"`: bounds of effects with learned nuisances under omitted confounders, compared with benchmarks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from eocausal._checks import finite_number
from eocausal.errors import SensitivityError, explain
from eocausal.inference.tables import confidence_bounds
from eocausal.sensitivities.bounded import LOWER, UPPER, Bounded, bounded
from eocausal.sensitivities.dml_gains import Measured, measured, pieces_of
from eocausal.sensitivities.dml_words import OF_TREATMENT, OF_WEIGHTS, Finding, told
from eocausal.sensitivities.long_short import LongShort, strength, times_needed
from eocausal.sensitivities.result import Sensitivity
from eocausal.sensitivities.strengths import robustness_value
from eocausal.sensitivities.subject import Subject, origin_of

if TYPE_CHECKING:
    from eocausal.inference.estimate import Estimate
    from eocausal.sensitivities.kinds import Call

    Shares = float | Sequence[float] | None

# Strengths in both ways that are shown where none are given and there is nothing to compare with.
USUAL = (0.01, 0.05, 0.1)
GIVEN = "as given"
# Lines of the grid of strengths that the figure interpolates, and where it ends.
GRID, MOST = 31, 0.99
ENDS = (
    "lower", "upper", "std_error_lower", "std_error_upper", "conf_low", "conf_high", "conf_low_two_sided",
    "conf_high_two_sided",
)  # fmt: skip

ASSUMES = (
    "unobserved confounders are no stronger than each row says; none of the rows says that they are so strong",
    "outcome and treatment are predicted well: what learners miss of them counts as room for confounders",
)
LINEAR = "the outcome is linear in treatment given all confounders, seen and unseen (partially linear model)"
CALIBRATED = (
    "the error of the calibration moves a bound in proportion: it is that of the estimate times bound over "
    "estimate, which is exact for lcc"
)


@dataclass(frozen=True)
class _Scenario:
    """Confounders of one strength; with a benchmark so many times as strong as it."""

    name: str
    r2_outcome: float
    r2_treatment: float
    times: float = float("nan")
    found: Measured | None = None

    @property
    def label(self) -> str:
        if self.found is None:
            return f"{self.name}: {self.r2_treatment:g}, {self.r2_outcome:g}"
        return self.name if self.times == 1 else f"{self.times:g} times {self.name}"


def dml(
    estimate: Estimate,
    call: Call,
    *,
    r2_treatment: Shares = None,
    r2_outcome: Shares = None,
    rho: float = 1.0,
    times: float | Sequence[float] = (1, 2, 3),
    q: float = 1.0,
) -> Sensitivity:
    """Bound an estimate by ``aipw`` or ``partially_linear`` under confounders of given strength."""
    if call.level <= 0.5:
        raise SensitivityError(
            explain(f"level={call.level} leaves no one-sided bound.", rule="above 0.5", fix="level=0.95")
        )
    rho, q = _positive(rho, "rho", most=1.0), _positive(q, "q")
    many = [_positive(one, "times") for one in _several(times)]
    given = _given(r2_treatment, r2_outcome)
    pieces = pieces_of(estimate)
    line = bounded(estimate, pieces)
    benchmarks = _measure(estimate, call, pieces)
    scenarios = [*given, *(_multiple(one, k) for one in benchmarks for k in many)]
    scenarios = scenarios or [_Scenario("as usual", one, one) for one in USUAL]
    null = (1 - q) * float(estimate.values[0])
    needed = line.strength_to(null)
    numbers = {
        **_numbers(estimate, line, pieces, (null, needed), rho=rho, level=call.level),
        "rho": rho,
        "q": q,
        "null": null,
        "level": call.level,
    }
    times_to = {
        one: times_needed(needed, one.gain.r2_outcome, one.gain.r2_treatment, rho) for one in benchmarks
    }
    numbers |= {f"times_{one.benchmark.name}": value for one, value in times_to.items() if np.isfinite(value)}
    bounds = {
        one.label: line.at(strength(one.r2_outcome, one.r2_treatment, rho)) for one in _bounding(scenarios)
    }
    points = _points(scenarios)
    return Sensitivity(
        kind="dml",
        subject=Subject.of(estimate),
        sentence=_sentence(estimate, call, numbers, times_to),
        frame=_frame(scenarios, bounds, rho=rho, level=call.level),
        numbers=numbers,
        curves={"points": points, "limits": _limits(line, numbers, points)},
        estimates=bounds,
        assumptions=(*ASSUMES, *([LINEAR] if _is_linear(estimate) else []), *estimate.assumptions),
        warnings=tuple(_warnings(estimate, pieces, benchmarks, scenarios, times_to)),
        diagnostics=_diagnostics(estimate, benchmarks),
        provenance={**estimate.provenance, "sensitivity": "dml"},
    )


def _given(r2_treatment: Shares, r2_outcome: Shares) -> list[_Scenario]:
    """Return the scenarios whose strengths were given; that with the outcome is by default that with treatment."""
    if r2_treatment is None and r2_outcome is None:
        return []
    if r2_treatment is None:
        fix = "r2_treatment=0.1 beside r2_outcome="
        raise SensitivityError(explain("r2_outcome is given without r2_treatment.", fix=fix))
    first = [_share(one, "r2_treatment") for one in _several(r2_treatment)]
    other = [
        _share(one, "r2_outcome") for one in _several(r2_treatment if r2_outcome is None else r2_outcome)
    ]
    if len(other) == 1:
        other = other * len(first)
    if len(first) != len(other):
        raise SensitivityError(
            explain(
                f"r2_treatment has {len(first)} strengths and r2_outcome {len(other)}.",
                rule="as many of each, first with first, or one of r2_outcome",
            )
        )
    return [_Scenario(GIVEN, outcome, treatment) for treatment, outcome in zip(first, other)]


def _several(values: Any) -> list[Any]:
    return [values] if isinstance(values, str) or np.ndim(values) == 0 else list(values)


def _share(value: Any, argument: str) -> float:
    number = finite_number(value, argument=argument, error=SensitivityError)
    if not 0 <= number <= 1 or (number == 1 and argument == "r2_treatment"):
        rule = "a share from 0 to 1" if argument == "r2_outcome" else "a share from 0 to below 1"
        raise SensitivityError(explain(f"{argument}={value!r}.", rule=rule))
    return number


def _positive(value: Any, argument: str, *, most: float = np.inf) -> float:
    number = finite_number(value, argument=argument, error=SensitivityError)
    if not 0 < number <= most:
        rule = "a number above 0" + (f", at most {most:g}" if np.isfinite(most) else "")
        raise SensitivityError(explain(f"{argument}={value!r}.", rule=rule))
    return number


def _measure(estimate: Estimate, call: Call, pieces: Sequence[LongShort]) -> list[Measured]:
    from tqdm import tqdm

    bar = tqdm(call.benchmarks, desc="sensitivity", unit="benchmark", disable=not call.progress)
    return [measured(estimate, one, pieces) for one in bar]


def _multiple(one: Measured, times: float) -> _Scenario:
    """Return confounders so many times as strong as a benchmark; they explain all of something at most."""
    most = min(times * one.gain.r2_outcome, 1.0), min(times * one.gain.r2_treatment, 1.0)
    return _Scenario(one.benchmark.in_words, *most, times, one)


def _bounding(scenarios: Sequence[_Scenario]) -> list[_Scenario]:
    """Return the scenarios whose bounds are finite."""
    return [one for one in scenarios if np.isfinite(strength(one.r2_outcome, one.r2_treatment))]


def _numbers(
    estimate: Estimate,
    line: Bounded,
    pieces: Sequence[LongShort],
    to: tuple[float, float],
    *,
    rho: float,
    level: float,
) -> dict[str, float]:
    null, needed = to
    one_sided = line.strength_to(null, level=2 * level - 1)
    two_sided = line.strength_to(null, level=level)
    return {
        "estimate": float(estimate.values[0]),
        "scale": float(line.both.values[1]),
        "sigma2": float(np.median([one.sigma2 for one in pieces])),
        "nu2": float(np.median([one.nu2 for one in pieces])),
        "robustness_value": robustness_value(needed / rho),
        "robustness_value_one_sided": robustness_value(one_sided / rho),
        "robustness_value_two_sided": robustness_value(two_sided / rho),
    }


def _frame(
    scenarios: Sequence[_Scenario], bounds: Mapping[str, Estimate], *, rho: float, level: float
) -> pd.DataFrame:
    rows = []
    for one in scenarios:
        gain = None if one.found is None else one.found.raw
        rows.append(
            {
                "scenario": one.name,
                "times": one.times,
                "r2_treatment": one.r2_treatment,
                "r2_outcome": one.r2_outcome,
                "rho": rho,
                **_ends(bounds.get(one.label), level),
                "change": np.nan if gain is None else gain.change,
                "rho_found": np.nan if gain is None else gain.rho,
            }
        )
    return pd.DataFrame(rows)


def _ends(bounds: Estimate | None, level: float) -> dict[str, float]:
    """Return bounds, their standard errors, and one-sided and two-sided confidence bounds."""
    if bounds is None:
        infinite = (-np.inf, np.inf, np.nan, np.nan) + (-np.inf, np.inf) * 2
        return dict(zip(ENDS, infinite))
    errors = np.sqrt(np.diag(bounds.variance.matrix))
    found = [bounds.values[LOWER], bounds.values[UPPER], errors[LOWER], errors[UPPER]]
    for one in (2 * level - 1, level):
        ends = confidence_bounds(
            bounds.values, errors, df=bounds.variance.df, level=one, reference=bounds.variance.reference
        )
        found += [ends[LOWER, 0], ends[UPPER, 1]]
    return dict(zip(ENDS, map(float, found)))


def _points(scenarios: Sequence[_Scenario]) -> pd.DataFrame:
    """Return the scenarios that the figure marks, those with finite bounds."""
    shown = _bounding(scenarios)
    return pd.DataFrame(
        {
            "name": [one.name if one.found is None else one.label for one in shown],
            "r2_treatment": [one.r2_treatment for one in shown],
            "r2_outcome": [one.r2_outcome for one in shown],
        }
    )


def _limits(line: Bounded, numbers: Mapping[str, float], points: pd.DataFrame) -> pd.DataFrame:
    """Return the two-sided confidence bound that faces the null over a grid of strengths, for the figure."""
    side = LOWER if numbers["estimate"] >= numbers["null"] else UPPER
    needed, level = numbers["robustness_value"], numbers["level"]
    farthest = [max([needed, *points[name]]) for name in ("r2_treatment", "r2_outcome")]
    # bounds bend most where a strength is near zero, and go by one number alone
    treatment, outcome = (min(1.5 * one + 0.02, MOST) * np.linspace(0, 1, GRID) ** 2 for one in farthest)
    known = strength(outcome[-1], treatment[-1], numbers["rho"]) * np.linspace(0, 1, GRID)
    found = [line.confidence(float(c), side, level) for c in known]
    pairs = [(float(one), float(other)) for one in treatment for other in outcome]
    asked = [strength(other, one, numbers["rho"]) for one, other in pairs]
    return pd.DataFrame(
        {
            "r2_treatment": [one for one, _ in pairs],
            "r2_outcome": [other for _, other in pairs],
            "limit": np.interp(asked, known, found),
        }
    )


def _is_linear(estimate: Estimate) -> bool:
    options = origin_of(estimate).options
    return bool(options["method"] == "partially_linear" or options["estimand"] == "ato")


def _sentence(
    estimate: Estimate, call: Call, numbers: Mapping[str, float], times: Mapping[Measured, float]
) -> str:
    low, high = np.ravel(estimate.ci(call.level))
    return told(
        Finding(
            estimate=numbers["estimate"],
            conf_low=float(low),
            conf_high=float(high),
            level=call.level,
            q=numbers["q"],
            robustness_value=numbers["robustness_value"],
            one_sided=numbers["robustness_value_one_sided"],
            of_treatment=OF_TREATMENT if _is_linear(estimate) else OF_WEIGHTS,
            times={one.benchmark.in_words: value for one, value in times.items()},
            rho=numbers["rho"],
        )
    )


def _warnings(
    estimate: Estimate,
    pieces: Sequence[LongShort],
    benchmarks: Sequence[Measured],
    scenarios: Sequence[_Scenario],
    times: Mapping[Measured, float],
) -> list[str]:
    plain = sum(one.plain for one in pieces)
    told = [*estimate.warnings, *(text for one in benchmarks for text in one.warnings)]
    if plain:
        told.append(
            f"in {plain} of {len(pieces)} repeats of the folds the debiased mean square of the weights was not "
            "positive, and the plain one was taken: propensities are too extreme to say how precise they are"
        )
    capped = [
        one.label for one in scenarios if one.r2_outcome == 1 and one.found is not None and one.times != 1
    ]
    capped += [
        f"{value:.3g} times {one.benchmark.in_words}"
        for one, value in times.items()
        if np.isfinite(value) and value * one.gain.r2_outcome > 1
    ]
    if capped:
        told.append(f"confounders explain all of the outcome at most: {', '.join(capped)}")
    endless = [one.label for one in scenarios if one not in _bounding(scenarios)]
    if endless:
        told.append(f"confounders this strong leave no bound: {', '.join(endless)}")
    weak = [one.benchmark.in_words for one, value in times.items() if not np.isfinite(value)]
    if weak:
        told.append(
            f"no multiple of {', '.join(weak)} moves the estimate: without strength it is no yardstick"
        )
    if estimate.second is not None and estimate.second.parts.any():
        told.append(CALIBRATED)
    return list(dict.fromkeys(told))


def _diagnostics(estimate: Estimate, benchmarks: Sequence[Measured]) -> dict[str, Any]:
    of_treatment = (
        "partial R2 with treatment"
        if _is_linear(estimate)
        else "gain in precision of the Riesz representer: 1 - E alpha_short^2 / E alpha_long^2"
    )
    gains = {
        one.benchmark.name: {
            "r2_outcome": one.raw.r2_outcome,
            "r2_treatment": one.raw.r2_treatment,
            "rho": one.raw.rho,
            "change": one.raw.change,
        }
        for one in benchmarks
    }
    return {
        "partially_linear": _is_linear(estimate),
        "r2_treatment": of_treatment,
        "vcov": estimate.vcov,
        "repeats": len(origin_of(estimate).predicted),
        "gains": gains,
    }
