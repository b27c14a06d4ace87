"""Pretrained encoders: published networks, by name, by specification or by path, whatever library holds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field, fields, replace
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eocausal._checks import one_of
from eocausal.encoding._adapters import Adapter, LoadedNetwork, Loading, Look, adapter_of, need
from eocausal.encoding._chip_units import check_told_units
from eocausal.encoding._days import days_of
from eocausal.encoding._moments import learn_moments, moments_from
from eocausal.encoding._prepare import Preparation, pixel_sizes, prepare
from eocausal.encoding._wavelengths import check_centres, tables_hash
from eocausal.encoding._weights import find_weights, hash_weights
from eocausal.encoding._windows import mean_over_dates
from eocausal.encoding.catalogue import find_spec, is_path, refuse_planned
from eocausal.encoding.protocol import ChipSource, Keys, Mask, Pixels, State, check_input, known_keys
from eocausal.encoding.spec import EncoderSpec
from eocausal.errors import EncoderError, explain
from eocausal.imagery.radiometry import find_unit

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["PRECISIONS", "FittedPretrained", "Pretrained"]

PRECISIONS = ("fp32", "bf16")
_OF_BANDS = ("bands", "wavelengths", "units")
# Pictures in one pass. On a CPU each goes alone: a product for several may add in another order, so that a vector
# would depend on its neighbours, and one picture fills a core already.
_AT_ONCE = {"cpu": 1, "cuda": 64}

Floats = npt.NDArray[np.float32]
# which frames of a chip, and their pictures
_Pictures = tuple[tuple[int, ...], Floats]


@dataclass(frozen=True)
class Pretrained:
    """A pretrained encoder: a published network with exactly its own preprocessing, by the library that keeps it.

    Bands are picked by name, converted to the unit of the encoder by published formulas, brought to its size
    without what is not valid, and scaled as its specification says; pixels that are not valid become the mean
    of their band, or 0 where the specification knows no mean. Encoders that come without a scale
    (``standardise: chips`` in their specification) learn means and standard deviations of bands from the valid
    pixels of the chips they are fitted on; all others learn nothing. Networks of single pictures see each date
    by itself, and the vectors of dates that show anything are averaged; networks of several dates are given
    those that show anything, earliest first. Weights are read from a folder or from one commit on the Hugging
    Face Hub; code from the hub is never opened. Each library is an extra, and a missing one names the line that
    installs it.

    Parameters
    ----------
    encoder : str or EncoderSpec
        A name of :func:`encoders`, such as ``"clip-rsicd-v2"``, or the path of a YAML file. A name on the hub,
        such as ``"hf:facebook/dinov2-large"``, is answered with the file to write.
    pool : str, optional
        ``"cls"`` (the class token), ``"mean"`` (of the tokens of the picture) or ``"projected"`` (CLIP: where
        pictures meet text); default the encoder's own.
    precision : {"fp32", "bf16"}
        Precision of the network, and part of the recipe. Vectors are float32 either way.
    bands : mapping, optional
        Bands of the encoder to names of bands of the chips, where names do not tell: ``{"red": "SR_B3"}``. An
        encoder of any bands then reads these alone.
    wavelengths : mapping, optional
        Bands of the chips to their centre in micrometres, for encoders of any bands, where names do not tell:
        ``{"B1": 0.485}``.
    units : mapping, optional
        Bands of the chips to their unit, where not all bands are in one: ``{"B4": "reflectance", "B6": "kelvin"}``.
        The chips then declare none, or ``"dn"``.
    white : float, optional
        Reflectance that is white, for encoders of pictures (0 to 255) and chips of reflectance; 0 is black.
    weights : str or Path, optional
        Folder with the files of the encoder, such as ``config.json`` and ``model.safetensors``, instead of the hub.
    revision : str, optional
        Commit on the hub, instead of the one that is pinned.
    download : bool
        Whether weights that are not in the hub's cache on this machine may be fetched.

    Raises
    ------
    EncoderError
        When the encoder is not known or has no loader, or a setting is out of range.

    Examples
    --------
    >>> encoder = Pretrained("vit-base-in21k", white=0.3)
    >>> encoder.spec.dim, encoder.spec.licence
    (768, 'Apache-2.0')
    """

    encoder: str | EncoderSpec
    _: KW_ONLY
    pool: str | None = None
    precision: str = "fp32"
    bands: Mapping[str, str] | None = field(default=None, hash=False)
    wavelengths: Mapping[str, float] | None = field(default=None, hash=False)
    units: Mapping[str, str] | None = field(default=None, hash=False)
    white: float | None = None
    weights: str | Path | None = None
    revision: str | None = None
    download: bool = True
    spec: EncoderSpec = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        spec = self.encoder if isinstance(self.encoder, EncoderSpec) else find_spec(self.encoder)
        object.__setattr__(self, "spec", spec)
        refuse_planned(spec)
        adapter_of(spec).check(spec)
        one_of(self.pool or spec.pool, spec.pooling, argument="pool", error=EncoderError)
        one_of(self.precision, PRECISIONS, argument="precision", error=EncoderError)
        if self.wavelengths is not None:
            check_centres(self.wavelengths)
            plain = {band: float(centre) for band, centre in self.wavelengths.items()}
            object.__setattr__(self, "wavelengths", plain)
        for unit in (self.units or {}).values():
            find_unit(unit, argument="units")
        for name in _OF_BANDS:
            if getattr(self, name) is not None:
                object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))
        if self.white is not None and (isinstance(self.white, bool) or not 0 < float(self.white) <= 2):
            rule = "a reflectance above 0 and at most 2, such as 0.3"
            raise EncoderError(explain(f"white={self.white!r} cannot be used.", rule=rule))

    def __reduce__(self) -> tuple[Any, ...]:
        # For processes that encode: what freezes a mapping cannot be sent to them. A file may have changed since,
        # or not be there, so what it said is sent.
        read = isinstance(self.encoder, str) and is_path(self.encoder)
        return _made, (
            self.spec if read else self.encoder,
            {one.name: self._plain(one.name) for one in fields(self)[1:] if one.init},
        )

    @property
    def name(self) -> str:
        """Name in the registry, and first part of names of columns."""
        return self.spec.name

    def at_precision(self, precision: str) -> Pretrained:
        """Return the same encoder at another precision."""
        return replace(self, precision=precision)

    def check(self, chips: ChipSource) -> None:
        """Refuse chips that the encoder cannot read, before anything is fetched."""
        self._prepared(chips)

    def recipe(self) -> dict[str, Any]:
        """Return all that determines vectors: specification, settings, hashes of weights, versions."""
        adapter = self._adapter()
        return {
            "encoder": self.name,
            "spec": self.spec.hash(),
            "hub_id": self.spec.hub_id,
            "weights": hash_weights(self.spec, self._folder()),
            "pool": self.pool or self.spec.pool,
            "precision": self.precision,
            **{name: self._plain(name) for name in _OF_BANDS},
            "centres": tables_hash() if self.spec.bands is None else None,
            "white": None if self.white is None else float(self.white),
            "versions": {one: metadata.version(one) for one in adapter.packages},
        }

    def fit(self, chips: ChipSource, *, keys: Keys | None = None, device: str = "cpu") -> FittedPretrained:
        """Return the encoder for chips with these bands and unit; scales are learned from ``keys`` alone."""
        prepared = self._prepared(chips)
        fit_keys = known_keys(chips, keys)
        check_told_units(chips, fit_keys, self.units or {})
        if self.spec.learns_scale:
            names = tuple(chips.bands[one.place] for one in prepared.picked)
            moments = learn_moments(chips, fit_keys, names=names, pick=prepared.pick, encoder=self.name)
            prepared = replace(prepared, moments=moments)
        return self._loaded(prepared, chips, device)

    def restore(self, state: State, *, chips: ChipSource, device: str = "cpu") -> FittedPretrained:
        """Rebuild the encoder of which ``state`` was saved, to the same bits."""
        prepared = self._prepared(chips)
        if self.spec.learns_scale:
            prepared = replace(prepared, moments=moments_from(state, tuple(chips.blocks), self.name))
        return self._loaded(prepared, chips, device)

    def _loaded(self, prepared: Preparation, chips: ChipSource, device: str) -> FittedPretrained:
        asked = Loading(
            self.spec,
            self._folder(),
            self.pool or self.spec.pool,
            self.precision,
            device,
            bands=prepared.read,
            frames=tuple(chips.frames),
            date=chips.date,
            pixel_m=pixel_sizes(self.spec, chips.blocks),
        )
        return FittedPretrained(self, prepared, self._adapter().load(asked), device)

    def _prepared(self, chips: ChipSource) -> Preparation:
        # refused before anything is fetched; what reads one date too may be given them one by one, by Sequence
        if self.spec.frames_min > 1:
            _check_frames(self.spec, len(chips.frames), "The chips")
        if adapter_of(self.spec).dated:
            # refused before anything is fetched
            days_of(chips.frames, chips.date, encoder=self.name)
        return prepare(
            self.spec,
            chips,
            bands=self.bands,
            white=self.white,
            wavelengths=self.wavelengths,
            units=self.units,
        )

    def _plain(self, name: str) -> Any:
        """Return a setting, a mapping as a dict."""
        value = getattr(self, name)
        return dict(value) if isinstance(value, MappingProxyType) else value

    def _adapter(self) -> Adapter:
        adapter = adapter_of(self.spec)
        need(adapter.module, self.spec.library)
        return adapter

    def _folder(self) -> Path:
        return find_weights(
            self.spec, weights=self.weights, revision=self.revision, download=bool(self.download)
        )


def _made(encoder: str | EncoderSpec, settings: dict[str, Any]) -> Pretrained:
    return Pretrained(encoder, **settings)


@dataclass(frozen=True, eq=False)
class FittedPretrained:
    """A pretrained network that is loaded, for chips with known bands and unit."""

    config: Pretrained
    prepared: Preparation
    network: LoadedNetwork
    device: str = "cpu"

    def columns(self, block: str) -> tuple[str, ...]:
        """Return names such as ``clip-rsicd-v2_960m_000``."""
        count = int(self.config.spec.dim or 0)
        digits = max(3, len(str(count - 1)))
        return tuple(f"{self.config.name}_{block}_{i:0{digits}d}" for i in range(count))

    def state(self) -> State:
        """Return means and standard deviations of bands by block where they are learned, else nothing."""
        return {
            f"{block}/{part}": getattr(moments, part)
            for block, moments in self.prepared.moments.items()
            for part in ("mean", "sd")
        }

    def encode(self, pixels: Pixels, mask: Mask, block: str) -> npt.NDArray[np.float32]:
        """Return the vector of each chip, shape (n, dim); NaN where too few dates show anything."""
        check_input(pixels, mask, bands=self.prepared.bands, encoder=self.config.name)
        _check_frames(self.config.spec, mask.shape[1], f"Chips of block {block!r}")
        step = self._at_once()
        rows: list[npt.NDArray[np.float64]] = []
        for start in range(0, len(pixels), step):
            some = slice(start, start + step)
            pictures, valid = self.prepared.frames(pixels[some], mask[some], block)
            seen = np.asarray(valid.any(axis=(2, 3)), dtype=bool)
            looks = [self._looks(*chip) for chip in zip(pictures, seen)]
            vectors = iter(self._through(block, [look for chip in looks for look in chip]))
            width = int(self.config.spec.dim or 0)
            rows += [mean_over_dates([next(vectors) for _ in chip], width) for chip in looks]
        return np.asarray(rows, dtype=np.float32).reshape(len(pixels), int(self.config.spec.dim or 0))

    def _looks(self, pictures: Floats, seen: npt.NDArray[np.bool_]) -> list[_Pictures]:
        """Return what the network is given of one chip: each date by itself, or all of them as one sequence."""
        spec, dates = self.config.spec, tuple(np.flatnonzero(seen).tolist())
        if spec.frames_max == 1:
            return [((date,), pictures[date]) for date in dates]
        # the latest, where the network reads frames by twos and their number is odd
        count = len(dates) // spec.frames_step * spec.frames_step
        latest = dates[len(dates) - count :]
        return [(latest, pictures[list(latest)])] if count >= max(spec.frames_min, 1) else []

    def _through(self, block: str, looks: list[_Pictures]) -> npt.NDArray[np.float64]:
        """Return the vector of each look; those of the same frames go through the network together on a GPU."""
        found = np.zeros((len(looks), int(self.config.spec.dim or 0)))
        for frames in dict.fromkeys(dates for dates, _ in looks):
            same = [i for i, (dates, _) in enumerate(looks) if dates == frames]
            for start in range(0, len(same), self._at_once()):
                some = same[start : start + self._at_once()]
                found[some] = self._checked(np.stack([looks[i][1] for i in some]), Look(block, frames))
        return found

    def _checked(self, pictures: Floats, look: Look) -> npt.NDArray[np.float32]:
        import torch

        with torch.inference_mode():
            made = (
                self.network.vectors(self._on_device(torch.from_numpy(pictures)), look).float().cpu().numpy()
            )
        width = int(self.config.spec.dim or 0)
        if made.shape != (len(pictures), width):
            text = f"The network of {self.config.name!r} gives {made.shape[-1]} numbers, not {width}."
            raise EncoderError(explain(text, rule="dim in the specification is what the network gives"))
        return np.asarray(made)

    def _on_device(self, pictures: Tensor) -> Tensor:
        # a copy from memory that the system cannot move needs not to be waited for
        return pictures if self.device == "cpu" else pictures.pin_memory().to(self.device, non_blocking=True)

    def _at_once(self) -> int:
        return _AT_ONCE[self.device.split(":")[0]]


def _check_frames(spec: EncoderSpec, frames: int, what: str) -> None:
    if spec.frames_min <= frames and (frames <= spec.frames_max or spec.frames_max == 1):
        return
    by = f", {spec.frames_step} at a time" if spec.frames_step > 1 else ""
    raise EncoderError(
        explain(
            f"{what} have {frames} frames.",
            rule=f"{spec.name!r} reads {spec.frames_min} to {spec.frames_max} frames together{by}",
            fix="cut chips with that many: ec.chips(..., frames=ec.Frames([...]))",
        )
    )
