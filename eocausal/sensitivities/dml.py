"""`kind="dml"`: bounds of effects with learned nuisances under omitted confounders, compared with benchmarks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from eocausal.errors import SensitivityError, explain
from eocausal.sensitivities.bounded import Bounded, bounded
from eocausal.sensitivities.dml_gains import Measured, measured, pieces_of
from eocausal.sensitivities.dml_scenarios import Scenario, scenarios_of
from eocausal.sensitivities.dml_table import limits_of, points_of, table_of
from eocausal.sensitivities.dml_words import OF_TREATMENT, OF_WEIGHTS, Finding, Needed, told
from eocausal.sensitivities.given_strengths import (
    Numbers,
    asked_content,
    null_of,
    read_q,
    read_rho,
    read_strengths,
    read_times,
    times_numbers,
)
from eocausal.sensitivities.long_short import LongShort, strength, times_needed
from eocausal.sensitivities.result import Sensitivity
from eocausal.sensitivities.strengths import robustness_value
from eocausal.sensitivities.subject import Subject, origin_of

if TYPE_CHECKING:
    from eocausal.inference.estimate import Estimate
    from eocausal.sensitivities.kinds import Call

ASSUMES = (
    "unobserved confounders are no stronger than each row says; none of the rows says that they are so strong",
    "outcome and treatment are predicted well: what learners miss of them counts as room for confounders",
)
LINEAR = "the outcome is linear in treatment given all confounders, seen and unseen (partially linear model)"
CALIBRATED = (
    "the error of the calibration moves a bound in proportion: it is that of the estimate times bound over "
    "estimate, which is exact for lcc"
)


def dml(
    estimate: Estimate,
    call: Call,
    *,
    r2_treatment: Numbers = None,
    r2_outcome: Numbers = None,
    rho: float = 1.0,
    times: Numbers = (1, 2, 3),
    q: float = 1.0,
) -> Sensitivity:
    """Bound an estimate by ``aipw`` or ``partially_linear`` under confounders of given strength."""
    if call.level <= 0.5:
        raise SensitivityError(
            explain(f"level={call.level} leaves no one-sided bound.", rule="above 0.5", fix="level=0.95")
        )
    asked = {"rho": read_rho(rho), "q": read_q(q), "level": call.level}
    given, many = read_strengths(r2_treatment, r2_outcome), read_times(times)
    pieces = pieces_of(estimate)
    line = bounded(estimate, pieces)
    benchmarks = _measure(estimate, call, pieces)
    scenarios = scenarios_of(given, benchmarks, many)
    numbers, needed = _numbers(line, pieces, benchmarks, asked)
    bounds = [
        line.at(strength(one.r2_outcome, one.r2_treatment, asked["rho"])) if one.bounding else None
        for one in scenarios
    ]
    points = points_of(scenarios)
    return Sensitivity(
        kind="dml",
        subject=Subject.of(estimate),
        sentence=_sentence(estimate, numbers, needed),
        frame=table_of(scenarios, bounds, rho=asked["rho"], level=call.level),
        numbers=numbers,
        curves={"points": points, **limits_of(line, numbers, points)},
        estimates={one.label: made for one, made in zip(scenarios, bounds) if made is not None},
        assumptions=(*ASSUMES, *([LINEAR] if _is_linear(estimate) else []), *estimate.assumptions),
        warnings=tuple(_warnings(estimate, pieces, benchmarks, scenarios, needed)),
        diagnostics=_diagnostics(estimate, benchmarks),
        provenance={**estimate.provenance, "sensitivity": asked_content("dml", given, many, **asked)},
    )


def _measure(estimate: Estimate, call: Call, pieces: Sequence[LongShort]) -> list[Measured]:
    from tqdm import tqdm

    bar = tqdm(call.benchmarks, desc="sensitivity", unit="benchmark", disable=not call.progress)
    return [measured(estimate, one, pieces) for one in bar]


def _numbers(
    line: Bounded, pieces: Sequence[LongShort], benchmarks: Sequence[Measured], asked: Mapping[str, float]
) -> tuple[dict[str, float], list[Needed]]:
    """Return the numbers of the result, and how many times as strong as each benchmark confounders must be."""
    rho, level, (estimate, scale) = asked["rho"], asked["level"], line.both.values
    null = null_of(float(estimate), asked["q"])
    # one side of a two-sided interval that leaves out twice as much
    ends = {"": None, "_one_sided": 2 * level - 1, "_two_sided": level}
    reached = {name: line.strength_to(null, level=one) for name, one in ends.items()}
    needed = [_needed(one, reached[""], reached["_two_sided"], rho) for one in benchmarks]
    numbers = {
        "estimate": float(estimate),
        "scale": float(scale),
        "sigma2": float(np.median([one.sigma2 for one in pieces])),
        "nu2": float(np.median([one.nu2 for one in pieces])),
        **{f"robustness_value{name}": robustness_value(one / rho) for name, one in reached.items()},
        **asked,
        "null": null,
        **times_numbers(
            [one.benchmark.name for one in needed],
            [one.times for one in needed],
            [one.times_two_sided for one in needed],
        ),
    }
    return numbers, needed


def _needed(one: Measured, reached: float, two_sided: float, rho: float) -> Needed:
    """Return how many times as strong as a benchmark confounders must be to reach two strengths."""
    times, further = (
        times_needed(needed, one.gain.r2_outcome, one.gain.r2_treatment, rho)
        for needed in (reached, two_sided)
    )
    return Needed(one.benchmark, times, further, one.gain.r2_outcome)


def _is_linear(estimate: Estimate) -> bool:
    options = origin_of(estimate).options
    return bool(options["method"] == "partially_linear" or options["estimand"] == "ato")


def _sentence(estimate: Estimate, numbers: Mapping[str, float], needed: Sequence[Needed]) -> str:
    return told(
        Finding(
            estimate=numbers["estimate"],
            level=numbers["level"],
            errors=estimate.variance.how.in_words,
            q=numbers["q"],
            robustness_value=numbers["robustness_value"],
            two_sided=numbers["robustness_value_two_sided"],
            of_treatment=OF_TREATMENT if _is_linear(estimate) else OF_WEIGHTS,
            needed=tuple(needed),
            rho=numbers["rho"],
        )
    )


def _warnings(
    estimate: Estimate,
    pieces: Sequence[LongShort],
    benchmarks: Sequence[Measured],
    scenarios: Sequence[Scenario],
    needed: Sequence[Needed],
) -> list[str]:
    plain = sum(one.plain for one in pieces)
    told = [*estimate.warnings, *(text for one in benchmarks for text in one.warnings)]
    if plain:
        told.append(
            f"in {plain} of {len(pieces)} repeats of the folds the debiased mean square of the weights was not "
            "positive, and the plain one was taken: propensities are too extreme to say how precise they are"
        )
    capped = [one.in_words for one in scenarios if one.capped and one.bounding and one.times != 1]
    if capped:
        told.append(
            f"confounders explain all of the outcome at most, and these would do more: {', '.join(capped)}"
        )
    endless = [one.in_words for one in scenarios if not one.bounding]
    if endless:
        told.append(f"confounders this strong leave no bound: {', '.join(endless)}")
    weak = [one.benchmark.in_words for one in needed if not np.isfinite(one.times)]
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
