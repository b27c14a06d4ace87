"""How strong confounders are taken to be: as given, or so many times as strong as columns that are there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from eocausal._checks import finite_number
from eocausal.errors import SensitivityError, explain
from eocausal.sensitivities.dml_gains import Measured
from eocausal.sensitivities.long_short import strength

Shares = float | Sequence[float] | None

GIVEN = "as given"


@dataclass(frozen=True)
class Scenario:
    """Confounders of one strength; with a benchmark so many times as strong as it."""

    name: str
    r2_outcome: float
    r2_treatment: float
    times: float = float("nan")
    found: Measured | None = None

    @property
    def label(self) -> str:
        """How it is called among others, with its strengths where these were given."""
        if self.found is None:
            return f"{self.name}: {self.r2_treatment:.12g}, {self.r2_outcome:.12g}"
        return self.name if self.times == 1 else f"{self.times:g} times {self.name}"

    @property
    def bounding(self) -> bool:
        """Whether its bounds are finite."""
        return bool(np.isfinite(strength(self.r2_outcome, self.r2_treatment)))


def given_scenarios(r2_treatment: Shares, r2_outcome: Shares) -> list[Scenario]:
    """Return the scenarios whose strengths were given; that with the outcome is by default that with treatment."""
    if r2_treatment is None and r2_outcome is None:
        return []
    if r2_treatment is None:
        fix = "r2_treatment=0.1 beside r2_outcome="
        raise SensitivityError(explain("r2_outcome is given without r2_treatment.", fix=fix))
    first = [_share(one, "r2_treatment") for one in several(r2_treatment)]
    other = [_share(one, "r2_outcome") for one in several(r2_treatment if r2_outcome is None else r2_outcome)]
    if len(other) == 1:
        other = other * len(first)
    if len(first) != len(other):
        raise SensitivityError(
            explain(
                f"r2_treatment has {len(first)} strengths and r2_outcome {len(other)}.",
                rule="as many of each, first with first, or one of r2_outcome",
            )
        )
    return [Scenario(GIVEN, outcome, treatment) for treatment, outcome in zip(first, other)]


def several(values: Any) -> list[Any]:
    """Return one value, or each of several, as a list."""
    return [values] if isinstance(values, str) or np.ndim(values) == 0 else list(values)


def _share(value: Any, argument: str) -> float:
    number = finite_number(value, argument=argument, error=SensitivityError)
    if not 0 <= number <= 1 or (number == 1 and argument == "r2_treatment"):
        rule = "a share from 0 to 1" if argument == "r2_outcome" else "a share from 0 to below 1"
        raise SensitivityError(explain(f"{argument}={value!r}.", rule=rule))
    return number


def positive(value: Any, argument: str, *, most: float = np.inf) -> float:
    """Return a number above 0, or raise."""
    number = finite_number(value, argument=argument, error=SensitivityError)
    if not 0 < number <= most:
        rule = "a number above 0" + (f", at most {most:g}" if np.isfinite(most) else "")
        raise SensitivityError(explain(f"{argument}={value!r}.", rule=rule))
    return number


def multiple(one: Measured, times: float) -> Scenario:
    """Return confounders so many times as strong as a benchmark; they explain all of something at most."""
    most = min(times * one.gain.r2_outcome, 1.0), min(times * one.gain.r2_treatment, 1.0)
    return Scenario(one.benchmark.in_words, *most, times, one)
