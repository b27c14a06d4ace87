"""Which encoder fits some chips: a choice with its reasons, and why each other one was ruled out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eocausal._checks import whole_number
from eocausal.encoding._adapters import INSTALL
from eocausal.encoding._bands import SENSORS, common_names, meanings
from eocausal.encoding._wavelengths import RADAR, silent_bands
from eocausal.encoding.catalogue import all_specs, why_not
from eocausal.encoding.spec import EncoderSpec
from eocausal.errors import EncoderError, explain
from eocausal.imagery.radiometry import PIXEL_UNITS, find_unit

__all__ = ["Suggestion", "suggest_encoder"]

# Better first, by beginnings of names. The order of encoders of multispectral imagery is that of mean scores of
# frozen features in torchgeo-bench (2026-07), as far as they are in it; built-in ones come after those that are
# pretrained on imagery from above, and the plain statistics last, which every other is to beat.
_ORDER = (
    "ssl4eo-l", "terramind-base", "terramind-large", "olmoearth-base", "panopticon", "dofa", "prithvi-eo-2-300m",
    "olmoearth-tiny", "prithvi", "terramind", "olmoearth", "softcon", "ssl4eo-s12", "croma", "dinov3-sat",
    "dinov2", "rcf", "clip-rsicd", "remoteclip", "scalemae", "vit-base", "swin", "resnet", "clip-vit",
    "image_stats",
)  # fmt: skip
_SERIES = ("prithvi", "olmoearth", "presto", "galileo")
_FIRST_YEAR = {
    "hls": 2013,
    "landsat-oli": 2013,
    "sentinel-1": 2014,
    "sentinel-2-l1c": 2015,
    "sentinel-2-l2a": 2015,
}
_COLOURS = frozenset({"red", "green", "blue"})
_FEW_UNITS, _SHORT = 1000, 192


@dataclass(frozen=True)
class Suggestion:
    """A choice of encoder with its reasons.

    Attributes
    ----------
    name : str
        The encoder, as ``embed(..., encoder=name)`` takes it.
    reasons : tuple of str
        Why it fits, and what to mind.
    ruled_out : tuple of (str, str)
        Every other encoder that cannot be used, and why.
    others : tuple of str
        Those that can be used too, better first.
    later : tuple of str
        Those that would come before the choice, and cannot be loaded here today; ``ruled_out`` says why.
    """

    name: str
    reasons: tuple[str, ...]
    ruled_out: tuple[tuple[str, str], ...]
    others: tuple[str, ...]
    later: tuple[str, ...]

    def summary(self) -> str:
        """Return choice, reasons and what was ruled out as text."""
        lines = [f"Encoder: {self.name}", *(f"  {reason}" for reason in self.reasons)]
        if self.others:
            lines.append(f"Also possible: {', '.join(self.others)}")
        if self.later:
            lines.append(f"Better, and not to be loaded here today: {', '.join(self.later)}")
        lines += ["Ruled out:", *(f"  {name}: {why}" for name, why in self.ruled_out)]
        return "\n".join(lines)


@dataclass(frozen=True)
class _Situation:
    bands: frozenset[str]
    silent: tuple[str, ...]
    unit: str | None
    last_year: int | None
    frames: int
    commercial: bool


def suggest_encoder(
    chips: Any,
    *,
    years: int | Sequence[int] | None = None,
    n_units: int | None = None,
    commercial: bool = False,
) -> Suggestion:
    """Suggest an encoder for chips, or for the names of bands, and explain the choice.

    Parameters
    ----------
    chips : Chips, list of str or str
        Chips, whose bands, pixel unit, dates and number are looked at; or names of bands; or a sensor such as
        ``"landsat"``.
    years : int or sequence of int, optional
        Years of the imagery; default that of the chips' date.
    n_units : int, optional
        Units of the study; default the number of chips.
    commercial : bool
        Whether the licence must clearly allow commercial use.

    Returns
    -------
    Suggestion
        What can be loaded here today and fits best, with reasons and with what was ruled out and why. It rests on
        scores of land cover and similar tasks: none says which confounders an encoder sees.

    Raises
    ------
    EncoderError
        When nothing is known of the bands.

    Examples
    --------
    >>> found = suggest_encoder("landsat", years=2005, n_units=300)
    >>> dict(found.ruled_out)["prithvi-eo-2-300m-tl"]
    'was trained on hls, which begins in 2013'
    """
    there, count = _situation(chips, years, commercial), n_units
    if count is None and hasattr(chips, "keys"):
        count = len(chips)
    if count is not None:
        whole_number(count, argument="n_units", error=EncoderError, least=1)
    ruled_out, fitting, later = [], [], []
    for spec in sorted(all_specs(), key=lambda spec: _rank(spec, there)):
        unfit = _unfit(spec, there)
        why = unfit or _not_today(spec)
        if why:
            ruled_out.append((spec.name, why))
        else:
            fitting.append(spec)
        if why and not unfit:
            later.append((_rank(spec, there), spec.name))
    choice = fitting[0]
    before = tuple(name for rank, name in later if rank < _rank(choice, there))
    others = tuple(spec.name for spec in fitting[1:])
    return Suggestion(choice.name, _reasons(choice, there, count), tuple(ruled_out), others, before)


def _not_today(spec: EncoderSpec) -> str:
    """Return why an encoder that would fit cannot be loaded here by its name; empty where it can."""
    why = why_not(spec)
    if why == "planned":
        return f"planned: no loader through {spec.library} yet"
    if why:
        return f"not installed: {why}" if why in INSTALL.values() else why
    if spec.library != "eocausal" and spec.revision is None:
        return "no commit is pinned; Pretrained(..., revision=) or weights= uses it"
    if spec.gated:
        return "is gated: the hub asks for a login and consent; with them it is used by its name"
    return ""


def _situation(chips: Any, years: int | Sequence[int] | None, commercial: bool) -> _Situation:
    given = getattr(chips, "bands", chips)
    bands = common_names(given) if isinstance(given, str) else frozenset()
    if not isinstance(given, str):
        # a name that is another band with another sensor counts for none
        found = [commons or {band.lower()} for band, commons in meanings(map(str, given)).items()]
        bands = frozenset(name for names in found if len(names) == 1 for name in names)
    if not len(tuple(given)):
        raise EncoderError(
            explain("There are no bands to choose an encoder for.", fix='suggest_encoder("landsat")')
        )
    unit = getattr(chips, "pixel_unit", None)
    date = getattr(chips, "date", None)
    last = int(str(date)[:4]) if years is None and date else None
    if years is not None:
        last = max([years] if isinstance(years, int) else list(years))
    frames = len(getattr(chips, "frames", ("",)))
    silent = silent_bands(sorted(bands) if isinstance(given, str) else [str(band) for band in given])
    return _Situation(
        bands, silent, None if unit is None else find_unit(unit).name, last, frames, bool(commercial)
    )


def _rank(spec: EncoderSpec, there: _Situation) -> tuple[int, int, str]:
    """Return what encoders are sorted by: of series first where there is one, blind or of other sensors last."""
    tier = 0 if there.frames > 1 and spec.name.startswith(_SERIES) else 1
    if (spec.sensors == ("rgb",) and not there.bands <= _COLOURS) or _is_of_others(spec, there):
        tier = 2
    places = [place for place, begin in enumerate(_ORDER) if spec.name.startswith(begin)]
    return tier, min(places, default=len(_ORDER)), spec.name


def _is_of_others(spec: EncoderSpec, there: _Situation) -> bool:
    """Whether the bands tell that they are of sensors on none of which the encoder was trained."""
    light = there.bands - RADAR
    alike = {name for name, bands in SENSORS.items() if light <= set(bands)}
    return bool(alike and spec.sensors) and alike.isdisjoint(spec.sensors)


def _unfit(spec: EncoderSpec, there: _Situation) -> str:
    """Return why an encoder cannot be used, whatever its loader; empty where it can."""
    vectors = there.unit is not None and PIXEL_UNITS[there.unit].quantity == "embedding"
    if vectors != (spec.name == "pixel_mean"):
        return (
            "pixels are embeddings already; pixel_mean averages them"
            if vectors
            else "is for products that hold an embedding in every pixel"
        )
    if "coordinates" in spec.sensors:
        return "sees coordinates, not imagery"
    lacking = [name for name in spec.common_names or () if name not in there.bands]
    if lacking:
        return f"needs bands that there are not: {', '.join(lacking)}"
    if spec.bands is None and spec.library != "eocausal" and there.silent:
        return f"knows bands by wavelength, which these do not tell: {', '.join(there.silent)}; wavelengths= does"
    if there.commercial and not spec.commercial_ok:
        return f"its licence does not clearly allow commercial use: {spec.licence}"
    since = [_FIRST_YEAR.get(sensor, 0) for sensor in spec.sensors]
    if there.last_year is not None and since and there.last_year < min(since):
        return f"was trained on {' and '.join(spec.sensors)}, which begins in {min(since)}"
    if spec.frames_min > there.frames:
        return f"needs {spec.frames_min} dates, and there are {there.frames}"
    return _unfit_unit(spec, there.unit)


def _unfit_unit(spec: EncoderSpec, unit: str | None) -> str:
    own = {band.pixel_unit for band in spec.bands or ()} - {None, unit}
    if unit is not None and own:
        return f"reads bands in {' and '.join(sorted(map(str, own)))}, and all of the chips are in {unit}"
    if unit is None or spec.pixel_unit is None or unit == spec.pixel_unit:
        return ""
    ours, theirs = PIXEL_UNITS[unit], PIXEL_UNITS[spec.pixel_unit]
    if ours.quantity and (
        ours.quantity == theirs.quantity or (ours.quantity, theirs.name) == ("reflectance", "uint8")
    ):
        return ""
    return f"reads {spec.pixel_unit}, and no formula leads there from {unit}"


def _reasons(spec: EncoderSpec, there: _Situation, count: int | None) -> tuple[str, ...]:
    found = [f"{spec.title}; licence {spec.licence}"]
    if spec.common_names is None:
        found.append(f"reads all bands there are: {', '.join(sorted(there.bands)) or 'whatever they are'}")
    else:
        unread = sorted(there.bands - set(spec.common_names))
        found.append(
            f"reads {', '.join(spec.common_names)}" + (f", and not {', '.join(unread)}" if unread else "")
        )
    if spec.pixel_unit == "uint8" and there.unit != "uint8":
        found.append(f'say which reflectance is white: ec.Pretrained("{spec.name}", white=0.3)')
    if spec.library == "eocausal":
        found.append("needs no download")
    if there.last_year is not None and there.last_year < min(_FIRST_YEAR.values()):
        found.append(f"imagery of {there.last_year} is older than the sensors that most are trained on")
    if count is not None and count < _FEW_UNITS and (spec.dim is None or spec.dim > _SHORT):
        long = "its length is a setting" if spec.dim is None else f"{spec.dim} numbers a picture"
        found.append(f"{count:,} units are few and {long}: keep components within folds, or {_SHORT} at most")
    near = (*spec.outcome_proxy_inputs, *spec.outcome_proxy_targets)
    if near:
        found.append(f"mind that it was trained with {', '.join(near)}, which may be near to the outcome")
    found.append("report image_stats and rcf beside it: what is pretrained has to beat them")
    return tuple(found)
