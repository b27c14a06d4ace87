"""What bounds under omitted confounders say, in sentences that can be printed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

# What is explained of treatment where the model is partially linear, and where the arms are weighed.
OF_TREATMENT = "what is left of treatment"
OF_WEIGHTS = "the variation of the weights that would make the arms comparable"


@dataclass(frozen=True)
class Finding:
    """What the sentence rests on.

    Attributes
    ----------
    estimate, conf_low, conf_high, level : float
        The interval is two-sided, without confounders.
    q : float
        Share of the estimate that is to be explained away.
    robustness_value, one_sided : float
        For the bound itself, and for its one-sided confidence bound.
    of_treatment : str
        What strengths with treatment are shares of.
    times : mapping of str to float
        How many times as strong as each benchmark, by its words.
    rho : float
    """

    estimate: float
    conf_low: float
    conf_high: float
    level: float
    q: float
    robustness_value: float
    one_sided: float
    of_treatment: str
    times: Mapping[str, float]
    rho: float


def told(found: Finding) -> str:
    """Return one to three sentences.

    Examples
    --------
    >>> print(told(Finding(0.0973, 0.05, 0.14, 0.95, 1.0, 0.1388, 0.0877, OF_TREATMENT,
    ...                    {"all image features": 2.31}, 1.0)))
    To bring the estimate of 0.0973 to zero, ... 13.9% both of what is left of the outcome and of what is left of
    treatment; confounders 2.3 times as strong as all image features could do it too. With 8.8% of both, ...
    """
    if found.estimate == 0:
        return "The estimate is zero as it is, so no unobserved confounder is needed to bring it there."
    share = percent(found.robustness_value)
    main = (
        f"To {_aim(found)}, unobserved confounders would have to explain {share} both of what is left of the "
        f"outcome and of {found.of_treatment}{_correlated(found)}{_compared(found.times)}."
    )
    return f"{main} {_with_error(found)}"


def percent(share: float) -> str:
    """Return a share as a percentage with one decimal.

    Examples
    --------
    >>> percent(0.13877), percent(0.0002), percent(0.99999)
    ('13.9%', 'less than 0.1%', 'more than 99.9%')
    """
    if 0 < share < 0.0005:
        return "less than 0.1%"
    return "more than 99.9%" if share >= 0.9995 else f"{100 * share:.1f}%"


def _aim(found: Finding) -> str:
    shown = f"{found.estimate:.3g}"
    if found.q == 1:
        return f"bring the estimate of {shown} to zero"
    if found.q < 1:
        return f"take away {100 * found.q:.0f}% of the estimate of {shown}"
    return f"turn the estimate of {shown} into {(1 - found.q) * found.estimate:.3g}"


def _correlated(found: Finding) -> str:
    return "" if found.rho == 1 else f", with a correlation of {found.rho:g} of what they change in the two"


def _compared(times: Mapping[str, float]) -> str:
    """Return the comparison with benchmarks that have a strength, the first two of them."""
    known = [(name, value) for name, value in times.items() if np.isfinite(value)]
    if not known:
        return ""
    shown = " or ".join(f"{_multiple(value)} as strong as {name}" for name, value in known[:2])
    return f"; confounders {shown} could do it too"


def _multiple(value: float) -> str:
    if value >= 100:
        return "more than 100 times"
    return f"{value:.1f} times" if value >= 0.1 else f"{value:.2g} times"


def _with_error(found: Finding) -> str:
    level = f"{100 * found.level:.4g}%"
    null = "zero" if found.q == 1 else f"{(1 - found.q) * found.estimate:.3g}"
    if found.conf_low <= 0 <= found.conf_high and found.q == 1:
        interval = f"{found.conf_low:.3g} to {found.conf_high:.3g}"
        start = f"It is not told apart from zero even without confounders ({level} interval {interval})"
        if found.one_sided > 0:
            return f"{start}."
        return f"{start}, so none are needed to leave it in doubt."
    if found.one_sided == 0:
        return f"Its one-sided {level} confidence bound is beyond {null} even without confounders."
    return (
        f"With {percent(found.one_sided)} of both, its one-sided {level} confidence bound would reach {null}."
    )
