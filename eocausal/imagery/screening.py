"""Between reading and handing out: drop pixels that are not clear or fill, check the unit, convert.

Works on any source of chips, after its pixels are read; what is dropped becomes not valid, never another value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from eocausal._checks import did_you_mean
from eocausal.errors import ImageryError, explain
from eocausal.imagery.batches import ChipBatch, ChipSource, Rows, judge
from eocausal.imagery.plan import Plan, make_plan
from eocausal.imagery.quality import Quality
from eocausal.imagery.radiometry import PIXEL_UNITS, Radiometry, check_range
from eocausal.imagery.sources import Tile, choose_bands

__all__ = ["ScreenedSource", "as_radiometry", "bands_to_read", "plan_screened", "screen", "screened"]

# The declared unit is checked on so many chips, evenly spread, and so many values of each.
_SAMPLE_CHIPS = 32
_SAMPLE_VALUES = 30_000


@dataclass(frozen=True, eq=False)
class ScreenedSource:
    """A source of chips whose pixels are screened and converted after they are read.

    With ``quality`` the last band that ``inner`` reads is the quality band, and is not handed out. ``names`` is
    what errors call the pixels, file by file; ``home`` tells which file each chip is read from first.
    """

    inner: ChipSource
    quality: Quality | None
    radiometry: Radiometry | None
    names: tuple[str, ...]
    home: Rows

    @contextmanager
    def reading(self) -> Iterator[Callable[[Rows], ChipBatch]]:
        """Check a sample against the declared unit, once, and give the reader."""
        several = f" and {len(self.names) - 1} more" if len(self.names) > 1 else ""
        name = None if self._sample_fits else self.names[0] + several
        with self.inner.reading() as read:
            yield lambda rows: self._finish(read(rows), name=name)

    def reading_order(self) -> Rows:
        """Return the order of the source itself."""
        return self.inner.reading_order()

    def places(self) -> Any:
        """Return where the chips are."""
        return self.inner.places()

    def label(self) -> str:
        """Return the words of the source itself."""
        return self.inner.label()

    def recipe(self) -> dict[str, Any]:
        """Return what determines the pixels, the screening among it."""
        settings = {"quality": self.quality, "radiometry": self.radiometry}
        return {**self.inner.recipe(), **{name: s.recipe() for name, s in settings.items() if s is not None}}

    @cached_property
    def _sample_fits(self) -> bool:
        """Whether the declared unit was checked on a sample, file by file; False when it has no valid pixel."""
        if self.radiometry is None or PIXEL_UNITS[self.radiometry.unit].first is None:
            return True
        order = self.inner.reading_order()
        places = np.unique(np.linspace(0, len(order) - 1, min(len(order), _SAMPLE_CHIPS)).astype(int))
        found: dict[str, list[npt.NDArray[Any]]] = {}
        with self.inner.reading() as read:
            for place in places:
                batch = screen(read(order[place : place + 1]), quality=self.quality, fill=self._fill)
                found.setdefault(self.names[self.home[order[place]]], []).append(_some_values(batch))
        for name, values in found.items():
            self._check(np.concatenate(values), name)
        return any(part.size for values in found.values() for part in values)

    @property
    def _fill(self) -> float | None:
        return None if self.radiometry is None else PIXEL_UNITS[self.radiometry.unit].fill

    def _check(self, values: npt.NDArray[Any], name: str) -> None:
        if self.radiometry is not None:
            told = self.radiometry.offset_applied
            check_range(values, self.radiometry.unit, name, offset_applied=told)

    def _finish(self, batch: ChipBatch, *, name: str | None) -> ChipBatch:
        batch = screen(batch, quality=self.quality, fill=self._fill)
        if self.radiometry is None:
            return batch
        if name is not None:
            self._check(_some_values(batch), name)
        return replace(batch, pixels={b: self.radiometry.convert(p) for b, p in batch.pixels.items()})


def screen(batch: ChipBatch, *, quality: Quality | None, fill: float | None) -> ChipBatch:
    """Return the batch with pixels that are not clear, or are fill in any band, made not valid.

    Parameters
    ----------
    batch : ChipBatch
        With ``quality`` its last band is the quality band.
    quality : Quality or None
    fill : float or None
        Value that stands for no data.

    Returns
    -------
    ChipBatch
        Without the quality band; status and valid fraction follow the pixels.
    """
    pixels, mask, status, share = {}, {}, {}, {}
    for block, stored in batch.pixels.items():
        valid = batch.mask[block]
        if quality is not None:
            valid = valid & quality.clear(stored[:, :, -1])
            stored = stored[:, :, :-1]
        if fill is not None:
            valid = valid & (stored != fill).all(axis=2)
        pixels[block] = np.where(valid[:, :, None], stored, np.float32(np.nan))
        mask[block] = valid
        before = batch.status[block]
        absent = np.isin(before, ("outside", "missing"))
        judged, share[block] = judge(valid, ~absent, "outside")
        status[block] = np.where(absent, before, judged)
    return ChipBatch(batch.keys, pixels, mask, status, share)


def screened(
    source: ChipSource,
    *,
    quality: Quality | None,
    radiometry: Radiometry | None,
    names: Sequence[str],
    home: Rows,
) -> ChipSource:
    """Return the source, screened where there is something to do."""
    untyped = radiometry is None or radiometry.unit == "dn"
    if quality is None and untyped:
        return source
    return ScreenedSource(source, quality, radiometry, tuple(names), home)


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


def plan_screened(
    tiles: Sequence[Tile],
    longitude: npt.NDArray[np.float64],
    latitude: npt.NDArray[np.float64],
    *,
    sizes: dict[str, float],
    in_metres: bool,
    quality: Quality | None,
    radiometry: Radiometry | None,
) -> Plan:
    """Plan windows so that neither flags nor fill values are interpolated."""
    if quality is None:
        fill = None if radiometry is None else PIXEL_UNITS[radiometry.unit].fill
        tiles = [replace(tile, fill=fill) for tile in tiles]
        return make_plan(tiles, longitude, latitude, sizes=sizes, in_metres=in_metres)
    plan = make_plan(tiles, longitude, latitude, sizes=sizes, in_metres=in_metres)
    if plan.rule == "utm":
        raise ImageryError(
            explain(
                "Chips of size_m= would be interpolated from these rasters, and flags of a quality band cannot be.",
                rule="with quality= the raster's own pixels are square ground metres with north up, or counted",
                fix="Give size_px=, or reproject once: gdalwarp -t_srs EPSG:326.. -r near (the units' UTM zone)",
            )
        )
    if len(tiles) > 1:
        # as for classes: a tile on another grid is left aside and not interpolated
        classes = [replace(tile, categorical=True) for tile in tiles]
        plan = make_plan(classes, longitude, latitude, sizes=sizes, in_metres=in_metres)
    return plan


def _some_values(batch: ChipBatch) -> npt.NDArray[Any]:
    """Return valid pixels of the largest block, thinned by position."""
    values = max(batch.pixels.values(), key=lambda pixels: pixels.size).ravel()
    values = values[np.isfinite(values)]
    return values[:: max(1, values.size // (_SAMPLE_VALUES * max(1, len(batch))))]
