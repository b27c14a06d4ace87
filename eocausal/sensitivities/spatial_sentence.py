"""What the spatial tests found, in words that can be printed as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from eocausal.inference.variance import FEW_CLUSTERS
from eocausal.sensitivities.spatial_parts import km

if TYPE_CHECKING:
    from eocausal.sensitivities.subject import Subject

SIGNIFICANT = 0.05
# Standard errors that differ by less than this share are told as being about the same.
ABOUT = 0.1


def sentence_of(
    subject: Subject, numbers: Mapping[str, float], *, how: str, names: Sequence[str] = (), dose: bool = False
) -> str:
    """Return one to three sentences, of the tests that were run.

    Parameters
    ----------
    subject : Subject
    numbers : mapping of str to float
        As in the result.
    how : str
        Kind of the estimate's own standard errors: ``iid``, ``cluster``, ``conley``.
    names : sequence of str
        Of its clusters.
    dose : bool
        Whether the treatment is one.
    """
    told = [
        _of_errors(subject, numbers, how, names),
        _of_buffers(numbers),
        _of_rings(numbers, dose=dose),
    ]
    return " ".join(one for one in told if one)


def _of_errors(subject: Subject, numbers: Mapping[str, float], how: str, names: Sequence[str]) -> str:
    parts = [_of_moran(numbers, names), _of_conley(subject, numbers, how)]
    found = [one for one in parts if one]
    if not found:
        return ""
    text = "; ".join(found)
    return f"{text[0].upper()}{text[1:]}."


def _of_moran(numbers: Mapping[str, float], names: Sequence[str]) -> str:
    if "moran_influence" not in numbers:
        return ""
    by = _level(numbers)
    whose, of = "neighbours", "influence values"
    if by == "clusters":
        whose = f"clusters near one another ({', '.join(names)})"
        of = "sums of influence values"
    found = f"(Moran's I of {of} {numbers[f'moran_{by}']:.2f}, {p_in_words(numbers[f'moran_{by}_p'])})"
    left = "what the estimate leaves unexplained is"
    if not numbers[f"moran_{by}_p"] < SIGNIFICANT:
        return f"{left} no more alike among {whose} than chance makes it {found}"
    unlike = numbers[f"moran_{by}"] < numbers[f"moran_{by}_expected"]
    return f"{left} {'unlike' if unlike else 'alike'} among {whose} {found}"


def _level(numbers: Mapping[str, float]) -> str:
    """Return what standard errors take as independent: clusters where there are any, else units."""
    return "clusters" if "moran_clusters" in numbers else "influence"


def _of_conley(subject: Subject, numbers: Mapping[str, float], how: str) -> str:
    if "conley_std_error" not in numbers:
        return ""
    own, error = numbers["std_error"], numbers["conley_std_error"]
    far = f"units up to {km(1000 * numbers['conley_cutoff_km'])} apart may vary together"
    own_ones = (
        "standard errors that take units as independent"
        if how in ("iid", "hetero")
        else f"the estimate's standard errors, {subject.vcov},"
    )
    pair = (_digits(own, error), _digits(error, own))
    # without a Moran test that was run, or that found something, larger errors are no proof
    known = numbers.get(f"moran_{_level(numbers)}_p", 1.0) < SIGNIFICANT
    if numbers["conley_ratio"] > 1 + ABOUT and known:
        text = f"{own_ones} are too small: they grow from {pair[0]} to {pair[1]} where {far}"
    elif numbers["conley_ratio"] > 1 + ABOUT:
        text = f"{own_ones} would grow from {pair[0]} to {pair[1]} where {far}"
    elif numbers["conley_ratio"] < 1 - ABOUT:
        text = f"{own_ones} are larger, {pair[0]}, than those where {far}, {pair[1]}"
    else:
        text = f"{own_ones} are about the same, {pair[0]}, as those where {far}, {pair[1]}"
    places = numbers["conley_places"]
    if places < FEW_CLUSTERS:
        return f"{text}, which with some {places:.0f} separate places may be too small"
    # missing where influence values stay alike as far as was looked
    beyond = known and not numbers["reach_km"] <= numbers["conley_cutoff_km"]
    return f"{text}, and likeness may reach farther than that" if beyond else text


def _of_buffers(numbers: Mapping[str, float]) -> str:
    if "buffer_estimate" not in numbers:
        return ""
    moved, value = numbers["buffer_difference"], numbers["buffer_estimate"]
    before = value - moved
    p_value = numbers["buffer_difference_p"]
    verdict = "more" if p_value < SIGNIFICANT else "no more"
    chance = "" if np.isnan(p_value) else f", {verdict} than chance would ({p_in_words(p_value)})"
    return (
        f"Leaving out controls within {km(1000 * numbers['buffer_km'])} of a treated unit moves the estimate from "
        f"{_digits(before, value)} to {_digits(value, before)}{chance}."
    )


def _of_rings(numbers: Mapping[str, float], *, dose: bool) -> str:
    joint = numbers.get("rings_joint_p", np.nan)
    if np.isnan(joint):
        return ""
    with_them, without = numbers["rings_estimate"], numbers["rings_without"]
    own = f"with this in the regression the own effect is {_digits(with_them, without)}"
    own += f" ({_digits(without, with_them)} without)"
    if joint >= SIGNIFICANT:
        others = "Outcomes do not go with the treatment of others around more than chance would"
        return f"{others} ({p_in_words(joint)}); {own}."
    span, effect = _span(numbers["ring_from_km"], numbers["ring_to_km"]), _signed(numbers["ring_effect"])
    more = (
        f"where the mean dose {span} is larger by 1"
        if dose
        else f"where all rather than none of the units {span} are treated"
    )
    return (
        f"Outcomes go with the treatment of others around ({p_in_words(joint)}): by {effect} {more}; {own}."
    )


def p_in_words(p_value: float) -> str:
    """Return a p-value as it is printed.

    Examples
    --------
    >>> p_in_words(0.0002), p_in_words(0.0312), p_in_words(0.5)
    ('p < 0.001', 'p = 0.031', 'p = 0.50')
    """
    if p_value < 0.001:
        return "p < 0.001"
    return f"p = {p_value:.3f}" if p_value < 0.1 else f"p = {p_value:.2f}"


def _digits(value: float, beside: float = 0.0) -> str:
    """Return a number with so many decimals that the larger of two has three digits that count.

    Examples
    --------
    >>> _digits(0.5234, 0.49), _digits(1234.5, 12.0), _digits(0.0, 0.0)
    ('0.523', '1234', '0')
    """
    largest = max(abs(value), abs(beside))
    if largest == 0 or not np.isfinite(largest):
        return f"{value:.3g}"
    return f"{value:.{max(0, 2 - int(np.floor(np.log10(largest))))}f}"


def _span(near: float, far: float) -> str:
    """Return a ring in words.

    Examples
    --------
    >>> _span(0.0, 5.0), _span(5.0, 10.0)
    ('within 5 km', 'from 5 km to 10 km away')
    """
    return f"from {km(1000 * near)} to {km(1000 * far)} away" if near > 0 else f"within {km(1000 * far)}"


def _signed(value: float) -> str:
    return f"{'+' if value > 0 else ''}{_digits(value)}"
