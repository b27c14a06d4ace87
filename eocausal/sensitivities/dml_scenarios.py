"""How strong confounders are taken to be: as given, or so many times as strong as columns that are there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eocausal.sensitivities.dml_gains import Measured
from eocausal.sensitivities.given_strengths import CAPPED, GIVEN, IMPOSSIBLE, USUAL, USUAL_STRENGTHS
from eocausal.sensitivities.long_short import strength


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
    def in_words(self) -> str:
        """How it is called in a text; in a figure strengths are seen."""
        if self.found is None:
            return self.name
        return f"{self.times:g} x {self.found.benchmark.in_words}"

    @property
    def bounding(self) -> bool:
        """Whether its bounds are finite."""
        return bool(np.isfinite(strength(self.r2_outcome, self.r2_treatment)))

    @property
    def capped(self) -> bool:
        """Whether so many times as strong with the outcome is more than all of it."""
        return self.found is not None and self.times * self.found.gain.r2_outcome > 1

    @property
    def note(self) -> str:
        """What a reader of its row must know."""
        if not self.bounding:
            return IMPOSSIBLE
        return CAPPED if self.capped else ""


def scenarios_of(
    given: Sequence[tuple[float, float]], benchmarks: Sequence[Measured], times: Sequence[float]
) -> list[Scenario]:
    """Return those that were given and the multiples of benchmarks; the usual ones where there are neither."""
    found = [Scenario(GIVEN, outcome, treatment) for treatment, outcome in given]
    found += [_multiple(one, many) for one in benchmarks for many in times]
    if not given and not benchmarks:
        found = [Scenario(USUAL, outcome, treatment) for treatment, outcome in USUAL_STRENGTHS]
    return found


def _multiple(one: Measured, times: float) -> Scenario:
    """Return confounders so many times as strong as a benchmark; they explain all of something at most."""
    most = min(times * one.gain.r2_outcome, 1.0), min(times * one.gain.r2_treatment, 1.0)
    return Scenario(one.benchmark.name, *most, times, one)
