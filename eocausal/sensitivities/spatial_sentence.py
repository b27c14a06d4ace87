"""What the spatial tests found, in words that can be printed as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from eocausal.inference.variance import FEW_CLUSTERS
from eocausal.sensitivities.spatial_parts import km

if TYPE_CHECKING:
    from eocausal.sensitivities.subject import Subject

# Standard errors that differ by less than this share are told as being about the same.
ABOUT = 0.1


def sentence_of(
    subject: Subject,
    numbers: Mapping[str, float],
    *,
    how: str,
    level: float,
    names: Sequence[str] = (),
    dose: bool = False,
) -> str:
    """Return one to three sentences, of the tests that were run.

    Parameters
    ----------
    subject : Subject
    numbers : mapping of str to float
        As in the result.
    how : str
        Kind of the estimate's own standard errors: ``iid``, ``cluster``, ``conley``.
    level : float
        Of tests.
    names : sequence of str
        Of its clusters.
    dose : bool
        Whether the treatment is one.
    """
    told = [
        _of_errors(subject, numbers, how, names, level),
        _of_buffers(numbers, level),
        _of_rings(numbers, level, dose=dose),
    ]
    return (
        " ".join(one for one in told if one)
        or "No standard error could be made that lets neighbours vary together."
    )


def alike(numbers: Mapping[str, float], level: float, *, of: str | None = None) -> bool:
    """Tell whether Moran's test found that neighbours are alike in something.

    By default in what standard errors take as independent: sums by cluster where there are clusters, else units.
    """
    by = _level(numbers) if of is None else of
    found = numbers.get(f"moran_{by}", 0.0) > numbers.get(f"moran_{by}_expected", 0.0)
    return bool(found and numbers[f"moran_{by}_p"] < 1 - level)


def rings_find_too_much(numbers: Mapping[str, float], level: float) -> bool:
    """Tell whether rings may be found where nothing spills over: residuals are alike by place, as shares are."""
    return alike(numbers, level) or alike(numbers, level, of="residuals")


def _of_errors(
    subject: Subject, numbers: Mapping[str, float], how: str, names: Sequence[str], level: float
) -> str:
    parts = [_of_moran(numbers, names, level), _of_conley(subject, numbers, how, level)]
    found = [one for one in parts if one]
    if not found:
        return ""
    text = "; ".join(found)
    return f"{text[0].upper()}{text[1:]}."


def _of_moran(numbers: Mapping[str, float], names: Sequence[str], level: float) -> str:
    if "moran_influence" not in numbers:
        return ""
    by = _level(numbers)
    whose = "neighbours"
    if by == "clusters":
        whose = f"clusters near one another ({', '.join(names)})"
    found = f"(Moran's I {numbers[f'moran_{by}']:.2f}, {p_in_words(numbers[f'moran_{by}_p'])})"
    left = "in what the estimate leaves unexplained"
    if not numbers[f"moran_{by}_p"] < 1 - level:
        return f"{whose} are no more alike {left} than by chance {found}"
    return f"{whose} are {'alike' if alike(numbers, level) else 'unlike'} {left} {found}"


def _level(numbers: Mapping[str, float]) -> str:
    """Return what standard errors take as independent: clusters where there are any, else units."""
    return "clusters" if "moran_clusters" in numbers else "influence"


def _of_conley(subject: Subject, numbers: Mapping[str, float], how: str, level: float) -> str:
    if "conley_std_error" not in numbers:
        return ""
    own, error = numbers["std_error"], numbers["conley_std_error"]
    mine, other = _digits(own, error), _digits(error, own)
    far = f"where units up to {km(1000 * numbers['conley_cutoff_km'])} apart may vary together"
    aside = "" if how in ("iid", "hetero") else f", {subject.errors},"
    # without a Moran test that was run, or that found something, larger errors are no proof
    known = numbers.get(f"moran_{_level(numbers)}_p", 1.0) < 1 - level
    if numbers["conley_ratio"] > 1 + ABOUT:
        text = f"the standard error {'is' if known else 'would be'} {other}, not {mine}{aside or ','} {far}"
    elif numbers["conley_ratio"] < 1 - ABOUT:
        text = f"the standard error of {mine}{aside} is larger than {far}, {other}"
    else:
        text = f"the standard error of {mine}{aside} is about the same, {other}, {far}"
    places = numbers["conley_places"]
    if places < FEW_CLUSTERS:
        return f"{text}, too small perhaps with some {places:.0f} separate places"
    # missing where influence values stay alike as far as was looked
    beyond = known and not numbers["reach_km"] <= numbers["conley_cutoff_km"]
    return f"{text}, if not farther" if beyond else text


def _of_buffers(numbers: Mapping[str, float], level: float) -> str:
    if "buffer_estimate" not in numbers:
        return ""
    moved, value = numbers["buffer_difference"], numbers["buffer_estimate"]
    before = value - moved
    p_value = numbers["buffer_difference_p"]
    verdict = "more" if p_value < 1 - level else "no more"
    chance = "" if np.isnan(p_value) else f", {verdict} than by chance ({p_in_words(p_value)})"
    return (
        f"Without controls within {km(1000 * numbers['buffer_km'])} of treated units the estimate moves from "
        f"{_digits(before, value)} to {_digits(value, before)}{chance}."
    )


def _of_rings(numbers: Mapping[str, float], level: float, *, dose: bool) -> str:
    if "rings_joint_p" not in numbers:
        return ""
    joint = numbers["rings_joint_p"]
    if np.isnan(joint):
        return "There are too few clusters to tell whether outcomes go with the treatment of others."
    if joint >= 1 - level:
        return (
            f"With the treatment of others within {km(1000 * numbers['rings_reach_km'])} outcomes go no more than "
            f"by chance ({p_in_words(joint)})."
        )
    span, effect = _span(numbers["ring_from_km"], numbers["ring_to_km"]), _signed(numbers["ring_effect"])
    where = f"the mean dose {span} is larger by 1" if dose else f"all rather than none {span} are treated"
    text = (
        f"Outcomes go with the treatment of others ({p_in_words(joint)}), by {effect} where {where}; the own "
        f"effect is then {_digits(numbers['rings_estimate'])}"
    )
    if rings_find_too_much(numbers, level):
        return f"{text}, but this is found too often where neighbours are alike."
    return f"{text}."


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
