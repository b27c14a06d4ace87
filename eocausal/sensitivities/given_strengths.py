"""Strengths of confounders, multiples of benchmarks and shares of an estimate, as a user gives them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from eocausal.errors import SensitivityError, explain

Numbers = float | Sequence[float] | None

# What a row of a table is called whose strengths were given, or are shown where there is nothing else to show.
GIVEN, USUAL = "given", "usual"
USUAL_STRENGTHS = ((0.01, 0.01), (0.05, 0.05), (0.1, 0.1))
# Notes of rows that are more than can be.
CAPPED, IMPOSSIBLE = "explains all of the outcome", "impossible"


def read_strengths(r2_treatment: Numbers, r2_outcome: Numbers) -> list[tuple[float, float]]:
    """Return pairs of shares of treatment and outcome; the same of both where one alone is given.

    Raises
    ------
    SensitivityError
        An outcome's share alone, lists of different lengths, or shares outside their bounds.

    Examples
    --------
    >>> read_strengths([0.1, 0.2], 0.5), read_strengths(0.1, None)
    ([(0.1, 0.5), (0.2, 0.5)], [(0.1, 0.1)])
    """
    if r2_treatment is None and r2_outcome is None:
        return []
    if r2_treatment is None:
        raise SensitivityError(
            explain("r2_outcome was given without r2_treatment.", fix="r2_treatment=0.1, r2_outcome=0.1")
        )
    treatment = _floats(r2_treatment, "r2_treatment", lambda one: 0 <= one < 1, "0 <= r2_treatment < 1")
    if r2_outcome is None:
        return [(one, one) for one in treatment]
    outcome = _floats(r2_outcome, "r2_outcome", lambda one: 0 <= one <= 1, "0 <= r2_outcome <= 1")
    if len(treatment) == 1 or len(outcome) == 1:
        many = max(len(treatment), len(outcome))
        treatment, outcome = treatment * (many // len(treatment)), outcome * (many // len(outcome))
    if len(treatment) != len(outcome):
        raise SensitivityError(
            explain(
                f"r2_treatment has {len(treatment)} values and r2_outcome {len(outcome)}.",
                rule="a pair for each scenario, or one value of either",
                fix="r2_treatment=[0.05, 0.1], r2_outcome=[0.2, 0.4]",
            )
        )
    return list(zip(treatment, outcome))


def read_times(times: Numbers) -> list[float]:
    """Return multiples of benchmarks, above 0; none where None is given."""
    if times is None:
        return []
    return _floats(times, "times", lambda one: 0 < one < np.inf, "numbers above 0, such as times=(1, 2, 3)")


def read_q(q: float) -> float:
    """Return the share of the estimate that is to be explained away, above 0."""
    rule = "one number above 0: 1 for all of the estimate, 0.5 for half of it"
    return _one(q, "q", lambda one: 0 < one < np.inf, rule)


def read_rho(rho: float) -> float:
    """Return the correlation of what confounders change in outcome and treatment, above 0, at most 1."""
    return _one(rho, "rho", lambda one: 0 < one <= 1, "one number above 0, at most 1; 1 is the worst case")


def null_of(estimate: float, q: float) -> float:
    """Return the value that an estimate has once a share of it is explained away.

    Examples
    --------
    >>> null_of(-0.4, 1.0), null_of(-0.4, 0.5)
    (0.0, -0.2)
    """
    # adding zero leaves no minus on it
    return (1 - q) * estimate + 0.0


def number_names(names: Sequence[str]) -> list[str]:
    """Return what benchmarks are called in names of numbers: small letters, digits and ``_``, each its own.

    Examples
    --------
    >>> number_names(["features", "Years of school", "a b", "a-b"])
    ['features', 'years_of_school', 'a_b', 'a_b_no_2']
    """
    found: list[str] = []
    for name in names:
        plain = re.sub(r"\W+", "_", str(name).lower()).strip("_") or "benchmark"
        free, count = plain, 1
        while {free, f"{free}_two_sided"} & {*found, *(f"{one}_two_sided" for one in found)}:
            count += 1
            free = f"{plain}_no_{count}"
        found.append(free)
    return found


def times_numbers(
    names: Sequence[str], times: Sequence[float], two_sided: Sequence[float]
) -> dict[str, float]:
    """Return the multiples of benchmarks that are needed, by the names of numbers, where one is enough."""
    found: dict[str, float] = {}
    for plain, one, end in zip(number_names(names), times, two_sided):
        found |= {f"times_{plain}": float(one), f"times_{plain}_two_sided": float(end)}
    return {name: value for name, value in found.items() if np.isfinite(value)}


def asked_content(
    kind: str, given: Sequence[tuple[float, float]], times: Sequence[float], **others: float
) -> dict[str, Any]:
    """Return what was asked for, as a result's provenance keeps it."""
    return {
        "kind": kind,
        **others,
        "times": list(times),
        "r2_treatment": [one for one, _ in given],
        "r2_outcome": [one for _, one in given],
    }


def _one(given: Any, argument: str, allowed: Callable[[float], bool], rule: str) -> float:
    found = _floats(given, argument, allowed, rule)
    if len(found) > 1:
        raise SensitivityError(explain(f"{argument}={given!r}.", rule=rule))
    return found[0]


def _floats(given: Any, argument: str, allowed: Callable[[float], bool], rule: str) -> list[float]:
    if np.asarray(given, dtype=object).ravel().size == 0:
        raise SensitivityError(explain(f"{argument}={given!r} is empty.", rule=rule))
    values = []
    for one in np.asarray(given, dtype=object).ravel():
        if isinstance(one, str | bool | np.bool_):
            raise SensitivityError(explain(f"{argument}={given!r} is no number.", rule=rule))
        try:
            values.append(float(one))
        except (TypeError, ValueError) as cause:
            raise SensitivityError(explain(f"{argument}={given!r} is no number.", rule=rule)) from cause
    if not all(allowed(one) for one in values):
        raise SensitivityError(explain(f"{argument}={given!r}.", rule=rule))
    return values
