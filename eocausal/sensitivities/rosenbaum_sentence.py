"""What bounds under hidden bias say, in words that can be printed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Said:
    """What the sentence is made of.

    Attributes
    ----------
    compared : str
        ``312 pairs of a treated and a control unit``.
    sets : str
        ``pairs`` or ``strata``.
    outcome : str
    up : bool
        Whether the estimate is positive.
    test : str
    p_value, alpha, gamma, amplified : float
        ``amplified`` is not a number where strata are no pairs.
    benchmark : str
        In words; empty for none.
    median, percentile_95 : float
        Of the odds ratios of the benchmark.
    """

    compared: str
    sets: str
    outcome: str
    up: bool
    test: str
    p_value: float
    alpha: float
    gamma: float
    amplified: float
    benchmark: str = ""
    median: float = np.nan
    percentile_95: float = np.nan


def sentence(said: Said) -> str:
    """Return one to three sentences."""
    p = _p_in_words(said.p_value)
    way = "higher" if said.up else "lower"
    within = f"In {said.compared}"
    if said.p_value > 0.5:
        return (
            f"{within}, {said.outcome} is not {way} with treatment (one-sided {p} by {said.test}): they do not "
            f"bear the estimate out, and there is nothing that hidden bias could overturn."
        )
    if said.p_value > said.alpha:
        return (
            f"{within}, {said.outcome} is {way} with treatment but not beyond chance (one-sided {p} by "
            f"{said.test}): no hidden bias is needed to explain it."
        )
    first = f"{within}, {said.outcome} is {way} with treatment (one-sided {p} by {said.test})."
    return " ".join([first, _overturned(said, way), *_benchmark(said)])


def _overturned(said: Said, way: str) -> str:
    level = f"at the {said.alpha:.3g} level"
    if not np.isfinite(said.gamma):
        return f"This stays so {level} however much the odds of treatment differ within {said.sets}."
    text = (
        f"This stays so {level} unless something unseen makes the odds of treatment within {said.sets} differ by "
        f"more than a factor of {said.gamma:.2f}"
    )
    if not np.isfinite(said.amplified):
        return f"{text}."
    return (
        f"{text}, as would a confounder that multiplies by {said.amplified:.1f} both a unit's odds of being the "
        f"treated one of its pair and its odds of having the {way} outcome."
    )


def _benchmark(said: Said) -> list[str]:
    if not said.benchmark:
        return []
    return [
        f"Leaving {said.benchmark} unseen would make these odds differ by a factor of {said.median:.2f} in the "
        f"median of the {said.sets} and of at most {said.percentile_95:.2f} in 95% of them."
    ]


def _p_in_words(p: float) -> str:
    """Return a p-value as it is printed.

    Examples
    --------
    >>> _p_in_words(0.0312), _p_in_words(1e-9)
    ('p = 0.031', 'p < 0.0001')
    """
    return "p < 0.0001" if p < 1e-4 else f"p = {p:.2g}"
