"""What one placebo test found: rows of the table, a sentence, and what a reader must know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats

if TYPE_CHECKING:
    from eocausal.inference.estimate import Estimate

CLEAN = "no sign of bias"
BIASED = "sign of bias"
LITTLE = "says little: interval as wide as the effect"

COLUMNS = (
    "test", "what", "estimate", "std_error", "conf_low", "conf_high", "p_value", "verdict", "share_of_estimate",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Part:
    """What one test found.

    Attributes
    ----------
    rows : tuple of dict
        One for each placebo, with ``COLUMNS``.
    sentence : str
    numbers : mapping of str to float
    estimates : mapping of str to Estimate
    curves : mapping of str to DataFrame
    assumptions, warnings : tuple of str
    told : mapping
        How it was made, for the provenance.
    """

    rows: tuple[dict[str, Any], ...]
    sentence: str
    numbers: Mapping[str, float]
    estimates: Mapping[str, Estimate] = field(default_factory=dict)
    curves: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    assumptions: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    told: Mapping[str, Any] = field(default_factory=dict)


def row_of(
    test: str, what: str, placebo: Estimate, effect: float, *, level: float, scale: float = 1.0
) -> dict[str, Any]:
    """Return the row of a placebo whose true value is zero.

    Parameters
    ----------
    test, what : str
    placebo : Estimate
        Of one term.
    effect : float
        The estimate that is put to the test.
    level : float
    scale : float
        What a placebo is divided by to be in the units of the effect.
    """
    low, high = (float(one) for one in np.ravel(placebo.ci(level)))
    return row_from(
        test, what, (float(placebo.values[0]), float(np.ravel(placebo.std_error)[0])), (low, high),
        p_value=float(np.ravel(placebo.p_value())[0]), effect=effect, level=level, scale=scale,
    )  # fmt: skip


def row_from(
    test: str,
    what: str,
    found: tuple[float, float],
    bounds: tuple[float, float],
    *,
    p_value: float,
    effect: float,
    level: float,
    scale: float = 1.0,
    verdict: str | None = None,
) -> dict[str, Any]:
    """Return a row from a value with its error, bounds and p-value; by default judged by :func:`judged`."""
    value, error = found
    reach = max(abs(bounds[0]), abs(bounds[1])) / scale
    said = judged(p_value, reach, effect, level=level) if verdict is None else verdict
    share = value / scale / effect if effect else np.nan
    return dict(zip(COLUMNS, (test, what, value, error, *bounds, p_value, said, share)))


def judged(p_value: float, reach: float, effect: float, *, level: float) -> str:
    """Return what a placebo says, by its p-value and how far its interval reaches from zero.

    Examples
    --------
    >>> judged(0.4, 0.2, 1.0, level=0.95), judged(0.01, 0.2, 1.0, level=0.95)
    ('no sign of bias', 'sign of bias')
    >>> judged(0.4, 1.2, 1.0, level=0.95)
    'says little: interval as wide as the effect'
    """
    if p_value < 1 - level:
        return BIASED
    return LITTLE if reach >= abs(effect) else CLEAN


def bounds_of(value: float, error: float, df: float, *, level: float) -> tuple[tuple[float, float], float]:
    """Return the interval by the t distribution and the p-value of zero; zero without error has p = 1."""
    half = float(stats.t.ppf(0.5 + level / 2, df)) * error
    if value == 0:
        return (-half, half), 1.0
    statistic = abs(value) / error if error > 0 else np.inf
    return (value - half, value + half), float(2 * stats.t.sf(statistic, df))


def largest(row: dict[str, Any], effect: float) -> float:
    """Return how far the interval of a row reaches from zero, in sizes of the effect."""
    return max(abs(row["conf_low"]), abs(row["conf_high"])) / abs(effect) if effect else float("nan")


def digits(value: float) -> str:
    """Return a number as it is printed in a sentence.

    Examples
    --------
    >>> digits(-1097.33), digits(0.012345), digits(12.0), digits(0.0)
    ('-1,097', '0.0123', '12', '0')
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def p_text(p_value: float) -> str:
    """Return a p-value as it is printed in a sentence.

    Examples
    --------
    >>> p_text(0.0312), p_text(0.0002)
    ('p = 0.031', 'p < 0.001')
    """
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"


def interval_text(row: Mapping[str, Any], level: float) -> str:
    """Return the interval of a row as it is printed in a sentence."""
    return f"{100 * level:.10g}% interval {digits(row['conf_low'])} to {digits(row['conf_high'])}"


def size_text(share: float) -> str:
    """Return a size in those of the estimate, as it is printed in a sentence.

    Examples
    --------
    >>> size_text(0.23), size_text(-1.61), size_text(123.0)
    ('23% of the estimate', '1.6 times the estimate', '123 times the estimate')
    """
    size = abs(share)
    if size < 0.995:
        return f"{100 * size:.2g}% of the estimate"
    return f"{size:,.0f} times the estimate" if size >= 10 else f"{size:.1f} times the estimate"
