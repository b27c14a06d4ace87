"""What bounds under omitted confounders say, in sentences that can be printed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eocausal.sensitivities.given_strengths import null_of
from eocausal.sensitivities.omitted_words import share, times

if TYPE_CHECKING:
    from eocausal.sensitivities.benchmarks import Benchmark

# What is explained of treatment where the model is partially linear, and where the arms are weighed.
OF_TREATMENT = "what is left of treatment"
OF_WEIGHTS = "the variation of the weights that would make the arms comparable"
# So many benchmarks are named in the sentence.
_NAMED = 2


@dataclass(frozen=True)
class Needed:
    """A benchmark, and how many times as strong confounders must be for the bound and for its interval.

    Infinite where the benchmark has no strength. ``r2_outcome`` is its strength with the outcome.
    """

    benchmark: Benchmark
    times: float
    times_two_sided: float
    r2_outcome: float

    @property
    def in_words(self) -> str:
        """Return what is needed for the bound; no confounder explains more than all of the outcome."""
        name = self.benchmark.in_words
        if self.times * self.r2_outcome > 1:
            return f"that explain all of the outcome and are {times(self.times)} as strong with treatment as {name}"
        return f"{times(self.times)} as strong as {name}"


@dataclass(frozen=True)
class Finding:
    """What the sentence rests on.

    Attributes
    ----------
    estimate, level : float
    errors : str
        How standard errors were made.
    q : float
        Share of the estimate that is to be explained away.
    robustness_value, two_sided : float
        For the bound itself, and for its two-sided interval.
    of_treatment : str
        What strengths with treatment are shares of.
    needed : tuple of Needed
    rho : float
    """

    estimate: float
    level: float
    errors: str
    q: float
    robustness_value: float
    two_sided: float
    of_treatment: str
    needed: tuple[Needed, ...]
    rho: float


def told(found: Finding) -> str:
    """Return one to three sentences.

    Examples
    --------
    >>> from eocausal.sensitivities.benchmarks import Benchmark
    >>> images = Needed(Benchmark("features", features=True), 2.31, 1.2, 0.1)
    >>> print(told(Finding(0.0973, 0.95, "iid", 1.0, 0.1388, 0.0741, OF_TREATMENT, (images,), 1.0)))
    To bring the estimate of 0.0973 to zero, ... 13.9% both of what is left of the outcome and of what is left of
    treatment. So could confounders 2.3 times as strong as all image features. From 7.4% of both on, ...
    """
    if found.estimate == 0:
        return "The estimate is zero as it is, so no unobserved confounder is needed to bring it there."
    main = (
        f"To {_aim(found)}, unobserved confounders would have to explain {share(found.robustness_value)} both of "
        f"what is left of the outcome and of {found.of_treatment}{_correlated(found)}.{_compared(found)}"
    )
    null = null_of(found.estimate, found.q)
    target = f"{null:.3g}" if null else "zero"
    interval = f"{100 * found.level:.4g}% interval, {found.errors},"
    if found.two_sided <= 0:
        return f"The {interval} already holds {target}, before any confounder is thought of. {main}"
    return f"{main} From {share(found.two_sided)} of both on, its {interval} would hold {target}."


def _aim(found: Finding) -> str:
    shown = f"{found.estimate:.3g}"
    if found.q == 1:
        return f"bring the estimate of {shown} to zero"
    if found.q < 1:
        return f"take away {100 * found.q:.3g}% of the estimate of {shown}"
    return f"turn the estimate of {shown} into {null_of(found.estimate, found.q):.3g}"


def _correlated(found: Finding) -> str:
    return "" if found.rho == 1 else f", with a correlation of {found.rho:g} of what they change in the two"


def _compared(found: Finding) -> str:
    """Return the comparison with benchmarks that have a strength, the first two of them."""
    known = [f"confounders {one.in_words}" for one in found.needed if np.isfinite(one.times)][:_NAMED]
    return f" So could {', or '.join(known)}." if known else ""
