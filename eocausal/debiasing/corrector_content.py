"""What the file of a corrector holds, read and refused where it is something else or damaged."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from eocausal.debiasing.calibration_sample import CalibrationSample
from eocausal.debiasing.density_score import DensityScore
from eocausal.debiasing.noise import NoiseModel
from eocausal.errors import DebiasError, explain

TYPE = "Corrector"
_NUMBERS = ("k", "m", "a", "b")
_NEEDED = ("prediction", "truth", "method", *_NUMBERS, "n", "n_drawn")


def content_of_file(path: object) -> Any:
    """Return what a file of JSON holds.

    Raises
    ------
    DebiasError
        No file, not one of text, or not JSON.
    """
    if not isinstance(path, (str, Path)):
        text = f"A corrector cannot be read from a {type(path).__name__}."
        raise DebiasError(explain(text, fix="the path of its file"))
    try:
        return json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as cause:
        fix = "the path that corrector.to_json(path) returned"
        raise DebiasError(explain(f"{path} cannot be read as a corrector: {cause}.", fix=fix)) from cause


def fields_of(content: object, *, methods: Sequence[str]) -> dict[str, Any]:
    """Return the fields of a corrector from its content.

    Raises
    ------
    DebiasError
        The content is not of a corrector, lacks a part, or has numbers that no correction has.
    """
    if not isinstance(content, Mapping) or content.get("type") != TYPE:
        raise DebiasError(_something_else(content))
    try:
        fields = _built(content)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as cause:
        lacks = f"it lacks {cause}" if isinstance(cause, KeyError) else str(cause)[:200]
        raise DebiasError(_damaged(lacks)) from cause
    _require_correction(fields, methods)
    return fields


def _built(content: Mapping[str, Any]) -> dict[str, Any]:
    built: dict[str, Any] = {
        "noise": NoiseModel.from_dict(content["noise"]),
        "density": DensityScore.from_dict(content["density"]),
        "covariance": np.array(content["covariance"], dtype=float),
        "truth_range": tuple(float(one) for one in content["truth_range"]),
        "sample": CalibrationSample.from_dict(content["sample"]) if "sample" in content else None,
    }
    built |= {name: tuple(content[name]) for name in ("parameters", "reasons", "warnings")}
    built |= {name: content[name] for name in _NEEDED}
    return built | {name: value for name, value in content.items() if name not in built and name != "type"}


def _require_correction(fields: Mapping[str, Any], methods: Sequence[str]) -> None:
    """Raise where numbers cannot be those of a correction, which would divide by them in silence."""
    for name in _NUMBERS:
        value = fields[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise DebiasError(_damaged(f"{name} is {value!r}, and no number"))
    if not (fields["k"] > 0 and fields["b"] > 0):
        raise DebiasError(_damaged(f"k {fields['k']:g} and b {fields['b']:g} are to be above 0"))
    if fields["method"] not in methods:
        raise DebiasError(_damaged(f"method {fields['method']!r} is none of {', '.join(methods)}"))
    size = len(fields["parameters"])
    if fields["covariance"].shape != (size, size) or not np.isfinite(fields["covariance"]).all():
        raise DebiasError(_damaged(f"the covariance is not of {size} parameters"))
    if len(fields["truth_range"]) != 2 or not fields["truth_range"][0] <= fields["truth_range"][1]:
        raise DebiasError(_damaged("truth_range is no range"))


def _something_else(content: object) -> str:
    kind = content.get("type") if isinstance(content, Mapping) else None
    if kind == "MapCard":
        return explain(
            "The content is of a map card, not of a Corrector.",
            fix="card = ec.read_map_card(path); card.corrector is the corrector",
        )
    named = f", but of a {kind}" if isinstance(kind, str) else ""
    return explain(f"The content is not of a Corrector{named}.", fix="corrector.to_json(path)")


def _damaged(why: str) -> str:
    return explain(
        "The content of the corrector is damaged, or of another version.",
        rule=why,
        fix="write it again: ec.debias(...).to_json(path)",
    )


def wider_range(low: float, high: float) -> tuple[float, float]:
    """Return round numbers below and above, a hundredth to a tenth of the range away at most.

    The range of measured outcomes goes with a corrector to others, and is not to hold the smallest and the largest.

    Examples
    --------
    >>> wider_range(0.31, 7.4)
    (0.3, 7.5)
    """
    exponent = math.floor(math.log10(high - low)) - 1
    digits, step = max(-exponent, 0), 10.0**exponent
    below, above = math.ceil(low / step), math.floor(high / step)
    # quotients of decimals may be off by a rounding, and then an end would be an outcome
    while round(below * step, digits) >= low:
        below -= 1
    while round(above * step, digits) <= high:
        above += 1
    return round(below * step, digits), round(above * step, digits)
