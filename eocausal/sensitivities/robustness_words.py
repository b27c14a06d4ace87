"""What a specification curve shows, in sentences that can be printed as they are."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

# From this share of the variance on, most of it comes from one choice.
MOST = 0.5


def sentence(
    numbers: Mapping[str, float], shares: pd.DataFrame, in_words: Mapping[str, str], *, least: float
) -> str:
    """Return the sentences: range, signs, whether chance would show as much, and where the spread comes from.

    Parameters
    ----------
    numbers : mapping of str to float
        Of the result.
    shares : DataFrame
        ``choice``, ``share``, and ``alone`` where choices may differ along with one another.
    in_words : mapping of str to str
        How choices are called.
    least : float
        The least p-value that the draws can give.
    """
    count = int(numbers["specifications"])
    low, high, median = _written(numbers["lowest"], numbers["highest"], numbers["median"])
    if count == 1:
        return f"One specification is left, with an estimate of {median}."
    span = f"is {low} in all" if low == high else f"is {low} to {high} (median {median})"
    told = _signs(numbers, count)
    chance = _chance(numbers, least)
    return f"Over {count} specifications the estimate {span}; {told}.{chance}{_spread(shares, in_words)}"


def _signs(numbers: Mapping[str, float], count: int) -> str:
    positive = round(numbers["share_positive"] * count)
    upward = numbers["median"] > 0
    side = "positive" if upward else "negative"
    of_side = positive if upward else count - positive
    signs = f"all are {side}" if of_side == count else f"{of_side} of {count} are {side}"
    found = round(numbers["share_significant"] * count)
    against = round(numbers["share_significant_opposite"] * count)
    differ = "differ" if found > 1 else "differs"
    if not found:
        told = f"{signs} and none of these differs from zero at 5%"
    else:
        many = "all" if found == count else f"{found} of {count if of_side == count else 'these'}"
        told = f"{signs} and {many} {differ} from zero at 5%"
    if against:
        other = "negative" if upward else "positive"
        told += f", while {against} {other} {'ones do' if against > 1 else 'one does'}"
    return told


def _chance(numbers: Mapping[str, float], least: float) -> str:
    """Return how often chance would show as much, nothing where that was not tested.

    How many differ from zero is bounded by the level of the tests where specifications are nearly one, so that the
    median is told of too.
    """
    if np.isnan(numbers["p_median"]) or np.isnan(numbers["p_significant"]):
        return ""
    of_median = _often(numbers["p_median"], least)
    if not round(numbers["share_significant"] * numbers["specifications"]):
        return f" Were there no effect, a median at least as far from zero would be seen in {of_median} of cases."
    of_many = _often(numbers["p_significant"], least)
    return (
        f" Were there no effect, as many or more of one sign would be seen in {of_many} of cases, and a median at "
        f"least as far from zero in {of_median}."
    )


def _often(p_value: float, least: float) -> str:
    if p_value <= least * 1.5:
        return f"fewer than {100 * least:.2g}%"
    return f"{100 * p_value:.2g}%" if p_value < 0.1 else f"{100 * p_value:.0f}%"


def _spread(shares: pd.DataFrame, in_words: Mapping[str, str]) -> str:
    """Return which choice the spread of estimates comes from, nothing where there is none."""
    own = shares[shares["choice"] != "together"].dropna(subset=["share"])
    if len(own) < 2:
        return ""
    place = int(np.argmax(own["share"].to_numpy()))
    share = float(own["share"].iloc[place])
    much = f"{in_words[str(own['choice'].iloc[place])]} ({100 * share:.0f}%)"
    alone = float(own["alone"].iloc[place]) if "alone" in own else share
    if share >= MOST > alone:
        return f" Most of the spread goes with {much}, but choices that differ along with it may be why."
    if share >= MOST:
        return f" Most of the spread comes from {much}."
    return f" No single choice accounts for most of the spread; the largest part comes from {much}."


def _written(*values: float) -> list[str]:
    """Return numbers with as many decimals as two or three digits of the largest, or two of the range, need.

    Examples
    --------
    >>> _written(0.312, 0.624, 0.5), _written(1203.4, 1310.0, 1250.0), _written(0.5031, 0.5042, 0.5035)
    (['0.31', '0.62', '0.50'], ['1203', '1310', '1250'], ['0.5031', '0.5042', '0.5035'])
    """
    largest, span = max(abs(one) for one in values), max(values) - min(values)
    if largest == 0 or not np.isfinite(largest):
        return [f"{one:g}" for one in values]
    digits = max(0, int(np.ceil(1.5 - np.log10(largest))))
    if span > 0:
        digits = min(max(digits, 1 - int(np.floor(np.log10(span)))), digits + 3)
    return [f"{one:.{digits}f}".replace("-0." + "0" * digits, "0." + "0" * digits) for one in values]
