"""Between decoding and handing out: drop pixels that are not clear or fill, check the unit, convert.

What is dropped becomes not valid, never another value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from eocausal._checks import did_you_mean
from eocausal.errors import ImageryError, explain
from eocausal.imagery.batches import ChipBatch, ChipSource, Pixels, judge
from eocausal.imagery.changed import ChangedSource, Corners, Work
from eocausal.imagery.cloud_model import CloudModel
from eocausal.imagery.quality import Quality
from eocausal.imagery.radiometry import BY_SCENE, PIXEL_UNITS, Radiometry, check_range
from eocausal.imagery.tiles import Tile, Window, choose_bands

__all__ = [
    "Declared",
    "Screen",
    "as_radiometry",
    "bands_to_read",
    "check_offsets",
    "check_quality",
    "said_of",
    "screened",
    "thinned",
]

# The declared unit is checked on so many chips, evenly spread, and so many values of each.
SAMPLE_CHIPS = 32
_SAMPLE_VALUES = 30_000


@dataclass(frozen=True)
class Screen:
    """What is done to pixels after they are decoded and before any are put together.

    With ``quality`` the last band that is read is the quality band, and is not handed on. ``clouds`` finds
    clouds in whole pictures of one day, from the bands at ``positions``.
    """

    quality: Quality | None
    radiometry: Radiometry | None
    clouds: CloudModel | None = None
    positions: tuple[int, ...] = ()

    @property
    def looks_for_clouds(self) -> bool:
        """Whether pixels may be dropped because they are not clear."""
        return self.quality is not None or self.clouds is not None

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return self.quality is None and (self.radiometry is None or self.radiometry.unit == "dn")

    def apply(self, window: Window, tile: Tile) -> Pixels:
        """Return the pixels, float32, in the unit asked for, NaN in every band where not valid."""
        stored, valid = self._valid(window)
        pixels: Pixels = stored.astype(np.float32)
        if valid is not None:
            pixels[:, ~valid] = np.nan
        said = None if self.radiometry is None else said_of(self.radiometry, tile)
        return pixels if said is None else said.convert(pixels)

    def drop_clouds(self, pictures: Sequence[Pixels] | Pixels) -> None:
        """Make clouds that the model finds in pictures of one day, (bands, n, n) each, not valid."""
        if self.clouds is None or not len(pictures):
            return
        stack = np.stack(list(pictures))[:, None]
        clear = self.clouds.clear(stack, ~np.isnan(stack[:, :, 0]), positions=self.positions)
        for picture, kept in zip(pictures, clear[:, 0]):
            picture[:, ~kept] = np.nan

    def values(self, window: Window) -> npt.NDArray[Any]:
        """Return the valid pixels as stored, in no order."""
        stored, valid = self._valid(window)
        return stored.ravel() if valid is None else stored[:, valid].ravel()

    def recipe(self) -> dict[str, Any]:
        """Return the settings, JSON-like; nothing where there is nothing to do."""
        settings = {
            "quality": self.quality or self.clouds,
            "radiometry": None if self.idle else self.radiometry,
        }
        return {name: part.recipe() for name, part in settings.items() if part is not None}

    def _valid(self, window: Window) -> Window:
        """Return the bands to hand on, and which pixels are neither unclear nor fill."""
        stored, valid = window
        if self.quality is not None:
            stored, flags = stored[:-1], stored[-1]
            clear = self.quality.clear(flags if valid is None else np.where(valid, flags, np.nan))
            valid = clear if valid is None else clear & valid
        fill = None if self.radiometry is None else PIXEL_UNITS[self.radiometry.unit].fill
        if fill is not None:
            there = (stored != fill).all(axis=0)
            valid = there if valid is None else there & valid
        return stored, valid


def said_of(radiometry: Radiometry, tile: Tile) -> Radiometry:
    """Return what was declared, with the tile's own word on the offset where the declaration leaves it open."""
    if not PIXEL_UNITS[radiometry.unit].shift or isinstance(radiometry.offset_applied, bool):
        return radiometry
    if tile.offset_applied is None and radiometry.offset_applied == BY_SCENE:
        raise ImageryError(_untold([tile]))
    return replace(radiometry, offset_applied=tile.offset_applied)


def check_offsets(tiles: Sequence[Tile], radiometry: Radiometry | None) -> None:
    """Raise ImageryError where scenes do not tell of the offset they are to tell of, or differ in it.

    Stored numbers of scenes with the offset and of scenes without it are 1,000 apart: they are comparable
    only once they are converted.
    """
    if radiometry is None or not PIXEL_UNITS[radiometry.unit].shift:
        return
    if isinstance(radiometry.offset_applied, bool):
        return
    untold = [tile for tile in tiles if tile.offset_applied is None]
    if radiometry.offset_applied == BY_SCENE and untold:
        raise ImageryError(_untold(untold))
    if radiometry.given_out == radiometry.unit and len({tile.offset_applied for tile in tiles}) > 1:
        with_offset = [tile.name for tile in tiles if tile.offset_applied is False]
        rule = "numbers as stored are comparable only between scenes that are alike in this"
        fix = f'Radiometry("{radiometry.unit}", convert_to="reflectance", offset_applied="{BY_SCENE}")'
        text = "Some scenes still carry the offset of 1,000 in their pixels and others do not."
        raise ImageryError(explain(text, where=with_offset, rule=rule, fix=fix))


def _untold(tiles: Sequence[Tile]) -> str:
    text = "Scenes do not say whether the offset of -1000 was applied to their pixels."
    rule = "scenes of a catalogue say by their processing baseline and what it notes of the offset"
    fix = "offset_applied=True or offset_applied=False, for all scenes"
    return explain(text, where=[tile.name for tile in tiles], rule=rule, fix=fix)


def thinned(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return as many values as a check of range needs, by position."""
    return values[:: max(1, values.size // _SAMPLE_VALUES)]


@dataclass(frozen=True, eq=False)
class Declared:
    """Chips already cut are checked against their declared unit and converted; ``name`` is what errors call them.

    ``_fits`` is not empty once a sample was checked.
    """

    radiometry: Radiometry
    name: str
    _fits: list[bool] = field(default_factory=list)

    def start(self, source: ChipSource) -> Work:
        """Check a sample, once; where it has no valid pixel, every batch is checked."""
        if not self._fits:
            self._fits.append(self._sample_fits(source))
        return lambda batch, rows: self._finish(batch, check=not self._fits[0])

    def corners(self, corners: Corners, block: str) -> Corners:
        """Return where chips lie, as before."""
        return corners

    def recipe(self) -> dict[str, Any]:
        """Return the conversion."""
        return {"radiometry": self.radiometry.recipe()}

    def _sample_fits(self, source: ChipSource) -> bool:
        """Whether the declared unit was checked on a sample; False when that has no valid pixel."""
        if PIXEL_UNITS[self.radiometry.unit].first is None:
            return True
        order = source.reading_order()
        places = np.unique(np.linspace(0, len(order) - 1, min(len(order), SAMPLE_CHIPS)).astype(int))
        with source.reading() as read:
            batches = [screen(read(order[place : place + 1]), fill=self._fill) for place in places]
        values = np.concatenate([_some_values(batch) for batch in batches])
        self._check(values)
        return bool(values.size)

    @property
    def _fill(self) -> float | None:
        return PIXEL_UNITS[self.radiometry.unit].fill

    def _check(self, values: npt.NDArray[Any]) -> None:
        told = self.radiometry.offset_applied
        check_range(values, self.radiometry.unit, self.name, offset_applied=told)

    def _finish(self, batch: ChipBatch, *, check: bool) -> ChipBatch:
        batch = screen(batch, fill=self._fill)
        if check:
            self._check(_some_values(batch))
        return replace(batch, pixels={b: self.radiometry.convert(p) for b, p in batch.pixels.items()})


def screen(batch: ChipBatch, *, fill: float | None) -> ChipBatch:
    """Return the batch with pixels that are fill in any band made not valid; status and share follow."""
    pixels, mask, status, share = {}, {}, {}, {}
    for block, stored in batch.pixels.items():
        valid = batch.mask[block]
        if fill is not None:
            valid = valid & (stored != fill).all(axis=2)
        pixels[block] = np.where(valid[:, :, None], stored, np.float32(np.nan))
        mask[block] = valid
        before = batch.status[block]
        absent = np.isin(before, ("outside", "missing"))
        judged, share[block] = judge(valid, ~absent, "outside")
        status[block] = np.where(absent, before, judged)
    return ChipBatch(batch.keys, pixels, mask, status, share)


def screened(source: ChipSource, radiometry: Radiometry | None, name: str) -> ChipSource:
    """Return the source, screened where there is something to do."""
    if radiometry is None or radiometry.unit == "dn":
        return source
    return ChangedSource(source, Declared(radiometry, name))


def as_radiometry(pixel_unit: object) -> Radiometry | None:
    """Return what was declared of the pixels, checked.

    Examples
    --------
    >>> as_radiometry("uint8")
    Radiometry(unit='uint8', convert_to=None, offset_applied=None)
    """
    if pixel_unit is None or isinstance(pixel_unit, Radiometry):
        return pixel_unit
    if not isinstance(pixel_unit, str):
        fix = f"Choose from: {', '.join(PIXEL_UNITS)}."
        raise ImageryError(explain(f"pixel_unit={pixel_unit!r} is not the name of a unit.", fix=fix))
    return Radiometry(pixel_unit)


def check_quality(quality: object) -> None:
    """Raise ImageryError unless it is a quality band, a model of clouds or nothing."""
    if quality is not None and not isinstance(quality, (Quality, CloudModel)):
        fix = 'quality=ec.Quality("QA_PIXEL", scheme="landsat_qa_pixel"), or ec.CloudModel() where there is no band'
        text = f"quality={quality!r} does not say what its values mean."
        raise ImageryError(explain(text, fix=fix))


def bands_to_read(
    names: Sequence[str], bands: Sequence[int | str] | int | str | None, quality: Quality | None
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return positions (from 0) of the bands to hand out, and of those to read: the same and the quality band.

    Examples
    --------
    >>> bands_to_read(["red", "qa", "nir"], None, Quality("qa", scheme="hls_fmask"))
    ((0, 2), (0, 2, 1))
    """
    if quality is None:
        chosen = choose_bands(names, bands)
        return chosen, chosen
    if isinstance(quality.band, str) and quality.band not in names:
        text = f"There is no quality band {quality.band!r}."
        raise ImageryError(explain(text, fix=did_you_mean(quality.band, list(names))))
    (flags,) = choose_bands(names, quality.band)
    others = [number for number in range(1, len(names) + 1) if number != flags + 1]
    chosen = choose_bands(names, others if bands is None and others else bands)
    if flags in chosen:
        text = f"Band {names[flags]!r} is the quality band and cannot be handed out as pixels too."
        raise ImageryError(explain(text, fix="Leave it out of bands=."))
    return chosen, (*chosen, flags)


def _some_values(batch: ChipBatch) -> npt.NDArray[Any]:
    """Return valid pixels of the largest block, thinned by position."""
    values = max(batch.pixels.values(), key=lambda pixels: pixels.size).ravel()
    return thinned(values[np.isfinite(values)])
