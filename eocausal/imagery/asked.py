"""Chips as a specification asks for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from eocausal.errors import ImageryError, explain
from eocausal.imagery.arrays import chips_from_arrays
from eocausal.imagery.chips import Chips
from eocausal.imagery.cloud_model import CloudModel
from eocausal.imagery.cubes import cube_scenes
from eocausal.imagery.cut import POLYGON, chips
from eocausal.imagery.displacement import displace
from eocausal.imagery.frames import EACH, Frames
from eocausal.imagery.quality import Quality
from eocausal.imagery.radiometry import Radiometry
from eocausal.imagery.scenes import Scenes, scenes
from eocausal.imagery.stac import stac_scenes
from eocausal.imagery.store import open_chips
from eocausal.units import Units, read_units

if TYPE_CHECKING:
    import geopandas

    from eocausal.specs.imagery import ImagerySpec
    from eocausal.specs.models import UnitsSpec

__all__ = ["asked_chips", "asked_clear", "asked_frames", "asked_places", "asked_units"]


def asked_units(asked: UnitsSpec) -> Units:
    """Return the units of a specification."""
    return read_units(
        asked.path,
        id=asked.id,
        lon=asked.lon,
        lat=asked.lat,
        crs=asked.crs,
        image_key=asked.image_key,
        date=asked.date,
    )


def asked_places(asked: UnitsSpec, units: Units) -> Units:
    """Return the units that chips are cut for: draws of where displaced units may lie, else the units."""
    said = asked.displacement
    if said is None:
        return units
    within = None if said.within is None else _polygons(said.within)
    return displace(
        units, urban=said.urban, draws=said.draws, scheme=said.scheme, within=within, seed=said.seed
    )


def asked_chips(asked: ImagerySpec | None, units: Units) -> Chips | None:
    """Return the chips of the imagery block of a specification; None when there is none."""
    if asked is None:
        return None
    for source, made in _SOURCES.items():
        if getattr(asked, source) is not None:
            return _resampled(made(asked, units), asked.resample_px)
    raise ImageryError(explain("The imagery names no source.", fix=f"one of: {', '.join(_SOURCES)}"))


def _from_rasters(asked: ImagerySpec, units: Units) -> Chips:
    day = _day(asked)
    files = list(asked.rasters or ())
    made = scenes(files, date=day, sensor=asked.sensor, pattern=asked.pattern, remote=bool(asked.remote))
    return _cut(asked, units, made, date=None)


def _from_cube(asked: ImagerySpec, units: Units) -> Chips:
    cube = asked.cube
    if cube is None:
        raise ValueError("imagery without a cube")
    made = cube_scenes(cube.path, bands=_variables(asked), crs=cube.crs, sensor=asked.sensor)
    return _cut(asked, units, made, date=_day(asked))


def _from_stac(asked: ImagerySpec, units: Units) -> Chips:
    said, sizes = asked.stac, _sizes(asked)
    if said is None or not isinstance(sizes, list):
        raise ValueError("imagery without a catalogue, or without sizes in metres")
    found = stac_scenes(
        said.catalog,
        units,
        size_m=sizes,
        preset=said.preset,
        dates=said.dates,
        bands=None if asked.bands is None else [str(band) for band in asked.bands],
        max_cloud=said.max_cloud,
        collections=said.collections or None,
        remote=bool(asked.remote),
    )
    return _cut(asked, units, found, date=None)


def _from_arrays(asked: ImagerySpec, units: Units) -> Chips:
    sizes = _sizes(asked)
    return chips_from_arrays(
        units,
        str(asked.arrays),
        keys=asked.keys,
        axes=asked.axes,
        bands=None if asked.bands is None else [str(band) for band in asked.bands],
        date=_day(asked),
        size_m=sizes[0] if isinstance(sizes, list) else None,
        nodata=asked.nodata,
        pixel_unit=_radiometry(asked),
    )


def _from_store(asked: ImagerySpec, units: Units) -> Chips:
    return open_chips(str(asked.store), units)


_SOURCES: Mapping[str, Callable[[ImagerySpec, Units], Chips]] = {
    "rasters": _from_rasters,
    "cube": _from_cube,
    "stac": _from_stac,
    "arrays": _from_arrays,
    "store": _from_store,
}


def _cut(asked: ImagerySpec, units: Units, given: Scenes, *, date: str | None) -> Chips:
    """Cut chips from scenes with what the specification says of bands, sizes, frames and pixels."""
    return chips(
        units,
        given,
        size_m=_sizes(asked),
        size_px=None if asked.size_px is None else list(asked.size_px),
        bands=None if asked.bands is None else list(asked.bands),
        date=date,
        pixel_unit=_radiometry(asked),
        quality=asked_clear(asked),
        frames=asked_frames(asked),
    )


def _resampled(cut: Chips, sides: tuple[int, ...] | None) -> Chips:
    if sides is None:
        return cut
    if len(sides) == 1:
        return cut.resampled(sides[0])
    if len(sides) != len(cut.blocks):
        text = f"resample_px has {len(sides)} sides for {len(cut.blocks)} sizes."
        raise ImageryError(explain(text, where=cut.blocks, fix="Give one number, or one for each size."))
    return cut.resampled(dict(zip(cut.blocks, sides)))


def _day(asked: ImagerySpec) -> str | None:
    """Return the day as text, the word for tags as it is."""
    return None if asked.date is None else str(asked.date)


def _sizes(asked: ImagerySpec) -> list[float] | Literal["polygon"] | None:
    if asked.size_m is None:
        return None
    return POLYGON if POLYGON in asked.size_m else [float(size) for size in asked.size_m]


def asked_frames(asked: ImagerySpec) -> Frames | None:
    """Return which days make which picture; None when that is not said."""
    said = asked.frames
    if said is None:
        return None
    windows: Any = said.windows
    if windows is not None:
        windows = EACH if windows == (EACH,) else list(windows)
    return Frames(
        windows,
        before=said.before,
        every=said.every,
        otherwise=None if said.otherwise is None else str(said.otherwise),
        composite=said.composite,
        least=said.least,
    )


def asked_clear(asked: ImagerySpec) -> Quality | CloudModel | None:
    """Return what tells which pixels are clear."""
    flags, model = asked.quality, asked.cloud_model
    if flags is not None:
        return Quality(flags.band, scheme=flags.scheme, drop=flags.drop)
    if model is not None:
        return CloudModel(model.bands, drop=model.drop, version=model.version, weights=model.weights)
    return None


def _variables(asked: ImagerySpec) -> list[int | str] | None:
    """Return the variables of a cube that are wanted, so that others may have other axes; None for all."""
    flags = [] if asked.quality is None else [asked.quality.band]
    wanted = [*(asked.bands or ()), *flags]
    named = bool(asked.bands) and all(isinstance(band, str) for band in wanted)
    return wanted if named else None


def _radiometry(asked: ImagerySpec) -> Radiometry | None:
    if asked.pixel_unit is None:
        return None
    return Radiometry(asked.pixel_unit, convert_to=asked.convert_to, offset_applied=asked.offset_applied)


def _polygons(path: str) -> geopandas.GeoDataFrame:
    import geopandas

    reader = (
        geopandas.read_parquet if Path(path).suffix in (".parquet", ".geoparquet") else geopandas.read_file
    )
    return reader(path)
