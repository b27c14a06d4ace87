"""What an analysis of omitted variables says in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from eocausal.sensitivities.benchmarks import Benchmark

# So many benchmarks are named in the sentence.
_NAMED = 2


@dataclass(frozen=True)
class Yard:
    """A benchmark, and how many times as strong the unseen must be for the estimate and for its interval.

    Infinite where the benchmark explains nothing. ``all_of_outcome`` and ``all_of_outcome_interval`` say whether
    that many times is more than the outcome has left, so that the unseen must explain all of it. ``by_chance`` says
    that the benchmark explains no more than noise might.
    """

    benchmark: Benchmark
    times: float
    times_interval: float
    all_of_outcome: bool = False
    all_of_outcome_interval: bool = False
    by_chance: bool = False

    @property
    def does(self) -> str:
        """Its name with a verb: ``all image features do``."""
        told = " (no more than noise might)" if self.by_chance else ""
        return f"{self.benchmark.in_words} do{'' if self.benchmark.plural else 'es'}{told}"

    def of_estimate(self) -> str:
        """Return what is needed for the estimate."""
        if self.all_of_outcome:
            return f"{times(self.times)} as much of treatment as {self.does} and all of the outcome"
        return f"{times(self.times)} as much of each as {self.does}"

    def of_interval(self) -> str:
        """Return what is needed for the interval."""
        if self.all_of_outcome_interval:
            return f"{times(self.times_interval)} as much of treatment as {self.does} and all of the outcome"
        return f"{times(self.times_interval)} as much of each as {self.does}"


@dataclass(frozen=True)
class Told:
    """What the sentence rests on.

    Attributes
    ----------
    estimate, null : float
        The estimate, and the value that it is brought to.
    level : float
    errors : str
        How standard errors were made.
    needed, needed_interval : float
        Partial R2 with both that brings the estimate, and its interval, to the null.
    yards : tuple of Yard
    scenario : tuple of float or None
        A strength that was asked for (treatment, outcome), the estimate under it, and the ends of its interval.
    """

    estimate: float
    null: float
    level: float
    errors: str
    needed: float
    needed_interval: float
    yards: tuple[Yard, ...] = ()
    scenario: tuple[float, ...] | None = None


def sentence(told: Told) -> str:
    """Return one to three sentences that can be printed as they are."""
    if told.estimate == 0:
        return "The estimate is zero, so there is nothing that unobserved confounders would have to explain away."
    return " ".join([*_of_estimate(told), *_of_scenario(told)])


def _of_estimate(told: Told) -> list[str]:
    target = _target(told)
    interval = f"{100 * told.level:g}% interval, {told.errors},"
    what = f"explain {share(told.needed)} of what is left of both treatment and outcome"
    needed = f"unobserved confounders would have to {what}{_compared(told)}."
    if told.needed_interval <= 0:
        held = f"The {interval} already holds {target}, before any confounder is thought of."
        return [held, f"To bring the estimate itself {_way(told)}, {needed}"]
    first = f"To bring the estimate {_way(told)}, {needed}"
    yard = next((one for one in told.yards if np.isfinite(one.times_interval)), None)
    beside = "" if yard is None else f", or {yard.of_interval()}"
    return [
        first,
        f"From {share(told.needed_interval)} of both on{beside}, its {interval} would hold {target}.",
    ]


def _compared(told: Told) -> str:
    """Return how the strength that is needed compares with benchmarks."""
    reached = [one for one in told.yards if np.isfinite(one.times)][:_NAMED]
    if reached:
        return f", or {', or '.join(one.of_estimate() for one in reached)}"
    if told.yards:
        name = told.yards[0].benchmark.in_words
        return f" ({name} cannot measure them: nothing of treatment, or of the outcome, is explained by it)"
    return ""


def _of_scenario(told: Told) -> list[str]:
    if told.scenario is None:
        return []
    treatment, outcome, moved, low, high = told.scenario
    return [
        f"Confounders that explain {share(treatment)} of what is left of treatment and {share(outcome)} of what is "
        f"left of the outcome could bring it to {moved:.3g} ({100 * told.level:g}% interval {low:.3g} to "
        f"{high:.3g})."
    ]


def _target(told: Told) -> str:
    return "zero" if told.null == 0 else f"{told.null:.3g}"


def _way(told: Told) -> str:
    return "to zero" if told.null == 0 else f"from {told.estimate:.3g} to {told.null:.3g}"


def share(value: float) -> str:
    """Return a share as it is printed.

    Examples
    --------
    >>> share(0.13878), share(0.0004), share(0.99999)
    ('13.9%', 'less than 0.1%', 'more than 99.9%')
    """
    if 0 < value < 0.001:
        return "less than 0.1%"
    return "more than 99.9%" if value > 0.999 else f"{100 * value:.1f}%"


def times(value: float) -> str:
    """Return a multiple as it is printed.

    Examples
    --------
    >>> times(2.31), times(0.01), times(14.2), times(1e5)
    ('2.3 times', 'less than 0.1 times', '14 times', 'more than 1,000 times')
    """
    if value < 0.1:
        return "less than 0.1 times"
    if value > 1000:
        return "more than 1,000 times"
    return f"{value:.1f} times" if value < 9.95 else f"{value:.0f} times"
