"""Cut chips from rasters: what is asked is checked and planned here, and read later."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import require_units
from eocausal.errors import ImageryError, explain
from eocausal.imagery.batches import Keys, Rows
from eocausal.imagery.changed import ChangedSource
from eocausal.imagery.chips import Bands, Chips
from eocausal.imagery.cloud_model import CloudModel
from eocausal.imagery.files import Rasters
from eocausal.imagery.frames import Frames
from eocausal.imagery.mosaic import RasterSource
from eocausal.imagery.outlines import Outlines, bounding_square
from eocausal.imagery.plan import Plan
from eocausal.imagery.planning import Request, Size, block_sizes, make_plan
from eocausal.imagery.polygons import lonlat_polygons
from eocausal.imagery.quality import Quality
from eocausal.imagery.radiometry import Radiometry
from eocausal.imagery.reach import check_reached
from eocausal.imagery.scenes import Scenes
from eocausal.imagery.screening import Screen, as_radiometry, bands_to_read, check_quality
from eocausal.imagery.sources import read_tiles
from eocausal.imagery.tiles import Tile, band_names, choose_bands
from eocausal.imagery.timeline import Timeline, days_of
from eocausal.imagery.windows import ground_pixel

if TYPE_CHECKING:
    from eocausal.units import Units

# One chip larger than this is a mistake in the size, not a chip.
LARGEST_CHIP_BYTES = 2**30
# Units of one image may lie this far apart.
SAME_PLACE_M = 1.0
POLYGON = "polygon"


def chips(
    units: Units,
    rasters: Rasters | Scenes,
    *,
    size_m: Size | str | None = None,
    size_px: Size | None = None,
    bands: Bands = None,
    date: str | None = None,
    pixel_unit: str | Radiometry | None = None,
    quality: Quality | CloudModel | None = None,
    frames: Frames | None = None,
) -> Chips:
    """Cut square chips around units from rasters. Nothing but headers is read before chips are asked for.

    Parameters
    ----------
    units : Units
        Units with coordinates. Those that share an image key share one chip and must lie within a metre.
    rasters : path, glob pattern, list of these, or Scenes
        .tif, .tiff, .vrt, .jp2 or .img files with the same bands; or what :func:`scenes`, ``stac_scenes`` or
        ``cube_scenes`` return, for rasters of many days. Where rasters overlap, the first valid pixel wins,
        in the order given. A file missing its nodata value cannot tell what is not valid.
    size_m : float, list or "polygon", optional
        Side of the square in metres on the ground. With several sizes the largest is read once and the
        others are cut out of it, around the same point. ``"polygon"``: for units that are polygons, the
        square that holds the largest of them, around the middle of each; pixels outside the unit's polygon
        are not valid, and the valid fraction counts those inside.
    size_px : int or list, optional
        Side in the raster's own pixels instead; these are never resampled.
    bands : sequence, optional
        Bands by 1-based number or by name (the files' descriptions); default all but alpha.
    date : str, optional
        Date of the imagery, ISO 8601.
    pixel_unit : str or Radiometry, optional
        What a pixel value is, such as ``s2_l2a_dn`` (the names are those of ``Radiometry``), or a
        ``Radiometry`` that also converts. On first reading the 1st to 99th percentile of 32 chips must fit
        it, file by file, and the value that the product reserves for no data is not valid. Default ``dn``:
        unchecked.
    quality : Quality or CloudModel, optional
        The quality band among the bands, and the flags that make a pixel not valid (clouds, shadows). It
        is read with the others, never interpolated, and not handed out. Pixels are dropped before any are
        put together, so where rasters overlap a clear pixel takes the place of a cloud. Or a model that
        finds clouds in the picture of each day, in bands that are handed out.
    frames : Frames, optional
        For scenes of several days: which days make which picture. Chips then have one picture a frame, and
        a frame without a clear pixel is not valid, never filled from another.

    Returns
    -------
    Chips

    Raises
    ------
    ImageryError
        When rasters are missing, unsafe, damaged, without georeference or do not fit together; when sizes,
        bands or the date are wrong; when units of one image lie apart; when all chips fall outside; when
        pixels do not fit their unit; when scenes are of several days and frames are not said, or none is of
        a day that they ask for.

    Notes
    -----
    With ``size_m`` the window is cut from the raster's own pixels, unresampled, when these are square
    ground metres with north up: their sides, measured on the ellipsoid at every unit, within 0.5% of what
    the raster says and of each other. It then has ``round(size_m / pixel)`` pixels and is the one whose
    middle is nearest to the unit, never more than half a pixel off. With an even number of pixels the
    middle is a boundary between pixels, with an odd number the middle of one. This holds tile by tile, so
    tiles in several UTM zones serve units in each; a tile on another grid fills what is left by
    interpolation.

    Otherwise the raster is interpolated into a grid centred on the unit in its own UTM zone (WGS 84, zones
    of six degrees but in Norway and Svalbard). The pixel size is the raster's own on the ground at the unit
    of middle latitude, rounded to three digits, the same for all chips. Interpolation is bilinear among
    valid pixels; a pixel is valid only where the raster's pixel under its centre is. Values of a raster
    with a colour table are classes and are never interpolated.

    Pixels are float32, as stored in the file: scale and offset are applied by ``Radiometry`` alone.

    Examples
    --------
    >>> import pandas as pd, rasterio, tempfile, numpy as np, eocausal as ec
    >>> scene = tempfile.mkdtemp() + "/scene.tif"
    >>> place = rasterio.transform.from_origin(500_000, 20_000, 30, 30)
    >>> with rasterio.open(scene, "w", driver="GTiff", width=100, height=100, count=2, dtype="uint8",
    ...                    crs="EPSG:32636", transform=place) as out:
    ...     out.write(np.full((2, 100, 100), 7, dtype="uint8"))
    >>> table = pd.DataFrame({"village": ["a", "b"], "x": [501_500, 500_000], "y": [18_500, 18_500]})
    >>> units = ec.read_units(table, id="village", lon="x", lat="y", crs="EPSG:32636")
    >>> cut = ec.chips(units, scene, size_m=[960, 240])
    >>> cut
    Chips(2 keys, 960m 240m, 2 bands, 1 raster, native grid)
    >>> [batch.pixels["960m"].shape for batch in cut.batches()]
    [(2, 1, 2, 32, 32)]
    >>> cut.table()[["village", "block", "status", "valid_fraction"]]
      village block   status  valid_fraction
    0       a  960m       ok             1.0
    1       b  960m  partial             0.5
    2       a  240m       ok             1.0
    3       b  240m  partial             0.5
    """
    require_units(units, error=ImageryError)
    if units.longitude is None or units.latitude is None:
        fix = "read_units(..., lon=..., lat=...), or chips_from_arrays for chips already cut"
        raise ImageryError(explain("The units have no coordinates to cut chips at.", fix=fix))
    _check_frames(frames)
    given = _as_scenes(rasters, date, pixel_unit, quality)
    keys, first = _keys(units)
    where = _windows_at(units, keys, first, given.tiles, size_m, size_px)
    timeline = _timeline(given.tiles, frames, units, keys)
    chosen, read, screen = _what_to_read(given, bands)
    plan = make_plan(
        given.tiles,
        Request(
            longitude=where.longitude,
            latitude=where.latitude,
            sizes=where.sizes,
            in_metres=size_m is not None,
            bands=len(read),
            allowed=None if frames is None else partial(timeline.allowed, given.tiles),
        ),
    )
    check_reached(plan, where.longitude, where.latitude)
    _check_chip_bytes(plan.side, len(read))
    if frames is not None and not len(plan.touches.tiles):
        _refuse_without_scenes(given.tiles, frames)
    if screen.clouds is not None:
        screen.clouds.check(plan.side, pixel_m=plan.pixel_m)
    names, radiometry = band_names(given.tiles), given.pixel_unit
    source = RasterSource(keys, where.longitude, where.latitude, plan, read, where.sizes, screen, timeline)
    return Chips(
        keys=keys,
        key_name=units.image_key,
        blocks=tuple(where.sizes),
        bands=tuple(names[band] for band in chosen),
        date=_latest(plan, timeline),
        frames=("",) if timeline.windows is None else timeline.windows.names,
        units=units,
        pixel_unit=None if radiometry is None else radiometry.given_out,
        source=source if where.polygons is None else ChangedSource(source, Outlines(where.polygons)),
        radiometry=radiometry,
    )


@dataclass(frozen=True, eq=False)
class _Windows:
    """Where chips are cut and how large, by block, and the polygons that they are cut down to."""

    longitude: npt.NDArray[np.float64]
    latitude: npt.NDArray[np.float64]
    sizes: dict[str, float]
    polygons: npt.NDArray[Any] | None = None


def _windows_at(
    units: Units,
    keys: Keys,
    first: Rows | None,
    tiles: Sequence[Tile],
    size_m: Size | str | None,
    size_px: Size | None,
) -> _Windows:
    if isinstance(size_m, str):
        if size_m != POLYGON or size_px is not None:
            fix = f"size_m=960, size_m=[480, 960] or, for units that are polygons, size_m={POLYGON!r}"
            raise ImageryError(explain(f"size_m={size_m!r} is not a size.", fix=fix))
        return _around_polygons(units, keys, first, tiles)
    if units.longitude is None or units.latitude is None:
        raise ValueError("units without coordinates were refused before")
    return _Windows(_at(units.longitude, first), _at(units.latitude, first), block_sizes(size_m, size_px))


def _around_polygons(units: Units, keys: Keys, first: Rows | None, tiles: Sequence[Tile]) -> _Windows:
    """Return windows that hold the units' polygons, with a pixel to spare for lying on the raster's grid."""
    if units.geometry is None:
        fix = 'read_units("districts.gpkg", id=...), or a size in metres around points'
        raise ImageryError(explain(f"size_m={POLYGON!r} needs units that are polygons.", fix=fix))
    polygons = lonlat_polygons(units.geometry if first is None else units.geometry.iloc[first], ids=keys)
    middles = [tile.lattice.point(np.array([tile.height / 2]), np.array([tile.width / 2])) for tile in tiles]
    spare = max(max(ground_pixel(t.lattice, *middle)[:2])[0] for t, middle in zip(tiles, middles))
    longitude, latitude, sides = bounding_square(polygons, ids=keys, margin_m=float(spare))
    return _Windows(longitude, latitude, {POLYGON: float(sides.max())}, polygons)


def _what_to_read(given: Scenes, bands: Bands) -> tuple[tuple[int, ...], tuple[int, ...], Screen]:
    """Return the bands to hand out, those to read, and what is done to them."""
    names = band_names(given.tiles)
    if not isinstance(given.quality, CloudModel):
        chosen, read = bands_to_read(names, bands, given.quality)
        return chosen, read, Screen(given.quality, given.pixel_unit)
    chosen = choose_bands(names, bands)
    needed = choose_bands(names, given.quality.bands)
    absent = [names[band] for band in needed if band not in chosen]
    if absent:
        text = "The cloud model needs bands that are not handed out."
        raise ImageryError(explain(text, where=absent, fix=f"Add them to bands=: {', '.join(absent)}."))
    positions = tuple(chosen.index(band) for band in needed)
    return chosen, chosen, Screen(None, given.pixel_unit, given.quality, positions)


def _as_scenes(
    rasters: Rasters | Scenes,
    date: str | None,
    pixel_unit: str | Radiometry | None,
    quality: Quality | CloudModel | None,
) -> Scenes:
    """Return the rasters with what is said of them, by themselves or in the call."""
    check_date(date)
    check_quality(quality)
    said = as_radiometry(pixel_unit)
    if not isinstance(rasters, Scenes):
        day = None if date is None else np.datetime64(date, "D")
        return Scenes(tuple(replace(tile, date=day) for tile in read_tiles(rasters)), said, quality)
    if not rasters.tiles:
        raise ImageryError(explain("The scenes are empty.", fix='ec.scenes("landsat_*.tif", ...)'))
    twice = {
        "date": date is not None and any(tile.date is not None for tile in rasters.tiles),
        "pixel_unit": said is not None and rasters.pixel_unit is not None,
        "quality": quality is not None and rasters.quality is not None,
    }
    for name, both in twice.items():
        if both:
            raise ImageryError(explain(f"The scenes have a {name} of their own.", fix=f"Leave out {name}=."))
    tiles = rasters.tiles
    if date is not None:
        tiles = tuple(replace(tile, date=np.datetime64(date, "D")) for tile in tiles)
    return Scenes(tiles, said or rasters.pixel_unit, quality or rasters.quality)


def _keys(units: Units) -> tuple[Keys, Rows | None]:
    """Return the image keys in the order in which units name them, and the first unit of each; None for all."""
    if units.image_key == units.id:
        return units.image_keys, None
    keys, first = np.unique(units.image_keys, return_index=True)
    order = np.argsort(first, kind="stable")
    keys, first = keys[order], first[order]
    _check_same_place(units, keys, first)
    return keys, first


def _at(values: npt.NDArray[np.float64], rows: Rows | None) -> npt.NDArray[np.float64]:
    return values if rows is None else values[rows]


def _timeline(tiles: Sequence[Tile], frames: Frames | None, units: Units, keys: Keys) -> Timeline:
    days = days_of(tiles)
    undated = [tile.name for tile, day in zip(tiles, days) if np.isnat(day)]
    known = np.unique(days[~np.isnat(days)])
    if frames is None:
        if len(known) > 1:
            text = f"The scenes are of {len(known)} days, and which of them are to be shown is not said."
            fix = 'frames=ec.Frames(["2005", "2006"]), ec.Frames(before="1Y") or ec.Frames("each")'
            raise ImageryError(explain(text, where=known.astype(str), fix=fix))
        return Timeline()
    if undated:
        fix = (
            'ec.scenes(files, pattern="*_{date:%Y%m%d}*"), or date="tags", or a table with a column of dates'
        )
        raise ImageryError(explain("Frames need scenes with a day.", where=undated, fix=fix))
    return Timeline(frames, frames.for_keys(units, keys, days))


def _check_frames(frames: object) -> None:
    if frames is not None and not isinstance(frames, Frames):
        text = f"frames={frames!r} does not say which days make a picture."
        raise ImageryError(explain(text, fix='frames=ec.Frames(["2005", "2006"]) or ec.Frames("each")'))


def _latest(plan: Plan, timeline: Timeline) -> str | None:
    """Return the last day that any chip may show."""
    days = days_of(plan.tiles)
    if timeline.windows is not None:
        days = days[np.unique(plan.touches.tiles)]
    known = days[~np.isnat(days)]
    return str(known.max()) if len(known) else None


def _refuse_without_scenes(tiles: Sequence[Tile], frames: Frames) -> None:
    days = days_of(tiles)
    text = "No scene that shows a unit is of a day that the frames ask for."
    rule = f"scenes are of {days.min()} to {days.max()}"
    fix = "Widen the frames, or add scenes of these days."
    raise ImageryError(explain(text, where=frames.names or ("each day",), rule=rule, fix=fix))


def check_date(date: object) -> None:
    """Raise ImageryError when the date of imagery is not one ISO 8601 day."""
    if date is None:
        return
    wrong = explain(f"date={date!r} is not a date.", rule="one day, ISO 8601, such as 2007-06-30")
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", str(date), flags=re.ASCII):
        raise ImageryError(wrong)
    try:
        datetime.date.fromisoformat(str(date))
    except ValueError as cause:
        raise ImageryError(wrong) from cause
    if not isinstance(date, str):
        raise ImageryError(explain(f"date={date!r} is not text.", fix=f"date={str(date)!r}"))


def _check_same_place(units: Units, keys: Keys, first: Rows) -> None:
    """Raise ImageryError when units that share an image lie more than a metre from the first of them."""
    import pyproj

    if units.longitude is None or units.latitude is None or len(keys) == len(units):
        return
    anchor = first[pd.Index(keys).get_indexer(pd.Index(units.image_keys))]
    lon, lat = units.longitude, units.latitude
    apart = np.asarray(pyproj.Geod(ellps="WGS84").inv(lon[anchor], lat[anchor], lon, lat)[2])
    far = apart > SAME_PLACE_M
    if far.any():
        raise ImageryError(
            explain(
                f"Units share a {units.image_key!r} but lie up to {apart.max():,.0f} m apart.",
                where=pd.unique(units.image_keys[far]),
                rule=f"one chip shows one place: units of one image lie within {SAME_PLACE_M:g} m",
                fix="Leave out image_key= to cut one chip per unit, or give all units of an image one place.",
            )
        )


def _check_chip_bytes(side: int, bands: int) -> None:
    size = 4 * bands * side**2
    if size > LARGEST_CHIP_BYTES:
        text = f"One chip would have {side:,} x {side:,} pixels in {bands} bands: {size / 2**30:.1f} GiB."
        rule = f"at most {LARGEST_CHIP_BYTES / 2**30:g} GiB a chip"
        raise ImageryError(explain(text, rule=rule, fix="Ask for a smaller size, or for coarser rasters."))
