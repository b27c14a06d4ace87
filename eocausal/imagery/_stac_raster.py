"""One item of a catalogue as a raster: its assets opened with care, and read on one grid by odc-stac."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from eocausal._io import hash_content, hash_file
from eocausal.errors import ImageryError, explain
from eocausal.imagery._cube_axes import X_NAMES, Y_NAMES, Axis, find_dimension
from eocausal.imagery._network import environment, is_remote, plain, quiet, remote_path
from eocausal.imagery._stac_items import Grid
from eocausal.imagery.cubes import Cube
from eocausal.imagery.files import driver_for, raster_files
from eocausal.imagery.limits import check_size
from eocausal.imagery.tiles import OpenRaster, Span, Window
from eocausal.imagery.windows import Lattice

CELL = 512
"""Rows and columns that are read at a time: blocks of the archives' files are of 256 to 1,024."""
# odc-stac lays out a cube of so many rows and columns in ten milliseconds, one of a whole scene in a second.
_PAGE = 4 * CELL
_HASHED_UP_TO = 2**30
_SAME_SIZE = 1e-3
_SAME_PLACE = 0.01


@dataclass(frozen=True)
class Asset:
    """One band of a scene: where its file is, its value for no data, and whether its values are flags."""

    band: str
    href: str
    fill: float | None
    flags: bool
    told: str | None = None

    def recipe(self) -> dict[str, Any]:
        """Return what tells the content of the file, without folders, queries or passwords."""
        if is_remote(self.href):
            return {"href": plain(self.href), **({"told": self.told} if self.told else {})}
        file = Path(self.href)
        state = file.stat()
        if state.st_size < _HASHED_UP_TO:
            return {"name": file.name, "bytes": state.st_size, "sha256": hash_file(file)}
        return {"name": file.name, "state": hash_content([state.st_size, state.st_mtime_ns])}


@dataclass(frozen=True)
class StacScene:
    """One item of a catalogue on the grid of its finest band; ``name`` is the item's id."""

    name: str
    collection: str
    assets: tuple[Asset, ...]
    grid: Grid

    def open(self) -> OpenRaster:
        """Prepare reading; files are opened when a window of them is wanted."""
        return OpenStacScene(self)

    def recipe(self) -> dict[str, Any]:
        """Return the item's id, its files, and the grid they are read on."""
        step = self.grid.lattice
        try:
            files = {asset.band: asset.recipe() for asset in self.assets}
        except OSError as cause:
            raise ImageryError(
                explain(f"A file of scene {self.name!r} is not there.", rule=str(cause))
            ) from cause
        grid = [step.crs, step.a, step.b, step.c, step.d, step.e, step.f, self.grid.height, self.grid.width]
        fills = {asset.band: asset.fill for asset in self.assets}
        return {
            "name": self.name,
            "collection": self.collection,
            "files": files,
            "fills": fills,
            "grid": grid,
        }


@dataclass(eq=False)
class OpenStacScene:
    """A scene while it is read.

    ``checked`` are the bands whose files were seen to be what they are said to be; ``pages`` the parts of the
    scene that are laid out as cubes, by row and column.
    """

    scene: StacScene
    _checked: set[int] = field(default_factory=set)
    _pages: dict[tuple[int, int], Cube] = field(default_factory=dict)

    def read(self, bands: Sequence[int], rows: Span, columns: Span) -> Window:
        """Read bands of a window: not valid are nodata, fill, NaN and infinite pixels."""
        from rasterio.errors import RasterioError

        for band in bands:
            if band not in self._checked:
                self._check(self.scene.assets[band])
                self._checked.add(band)
        try:
            return _together(
                [
                    [self._part(bands, down, right, rows, columns) for right in _pages_of(columns)]
                    for down in _pages_of(rows)
                ]
            )
        except (RasterioError, OSError) as cause:
            text = f"Scene {self.scene.name!r} cannot be read at rows {rows}, columns {columns}."
            raise ImageryError(explain(text, rule=quiet(cause), fix="Try again, or leave it out.")) from None

    def close(self) -> None:
        """Let go of the cubes."""
        self._pages.clear()

    def _part(self, bands: Sequence[int], down: int, right: int, rows: Span, columns: Span) -> Window:
        """Read what a window has in one page."""
        grid = self.scene.grid
        height, width = (
            (number * _PAGE, min((number + 1) * _PAGE, limit))
            for number, limit in ((down, grid.height), (right, grid.width))
        )
        if (down, right) not in self._pages:
            self._pages[down, right] = _cube_of(self.scene, height, width)
        spans = [
            (max(span[0], edge[0]) - edge[0], min(span[1], edge[1]) - edge[0])
            for span, edge in ((rows, height), (columns, width))
        ]
        return self._pages[down, right].window(0, bands, spans[0], spans[1])

    def _check(self, asset: Asset) -> None:
        """Refuse a file whose pixels do not lie where the item says."""
        found, said = header(asset, self.scene.name), self.scene.grid
        if abs(found.pixel / said.pixel - 1) > _SAME_SIZE:
            return
        row, column = said.lattice.pixel(np.array([found.lattice.c]), np.array([found.lattice.f]))
        off = max(abs(row[0] - round(row[0])), abs(column[0] - round(column[0])))
        if off > _SAME_PLACE or not _same_system(found.lattice, said.lattice):
            text = f"Band {asset.band!r} of scene {self.scene.name!r} does not lie where its item says."
            rule = f"the file begins {off:.3g} of a pixel off, in {found.lattice.crs[:40]}"
            fix = "Mend proj:transform and proj:code of the item, or read the files with ec.scenes."
            raise ImageryError(explain(text, rule=rule, fix=fix))


def header(asset: Asset, scene: str) -> Grid:
    """Return the grid of an asset's file, opened by the only driver that its name allows.

    A file that GDAL would take for another format by its content, and so for a list of other files, is refused
    here, before odc-stac opens it by content.
    """
    import rasterio
    from rasterio.enums import MaskFlags
    from rasterio.errors import RasterioError

    try:
        file = _safe_file(asset)
        with (
            rasterio.Env(**environment([asset.href])),
            rasterio.open(asset.href, driver=driver_for(file)) as data,
        ):
            check_size(file, data)
            flags = data.mask_flag_enums[0]
            if MaskFlags.nodata not in flags and MaskFlags.all_valid not in flags:
                fix = "Read its files with ec.scenes, which knows masks."
                raise ImageryError(explain("It has a mask in place of a value for no data.", fix=fix))
            if data.count != 1:
                raise ImageryError(explain(f"It holds {data.count} bands.", rule="one band an asset"))
            if data.crs is None:
                raise ImageryError(explain("It has no georeference."))
            epsg, step = data.crs.to_epsg(), data.transform
            crs = f"EPSG:{epsg}" if epsg else data.crs.to_wkt()
            return Grid(Lattice(crs, step.a, step.b, step.c, step.d, step.e, step.f), data.height, data.width)
    except (RasterioError, OSError, ImageryError) as cause:
        text = f"Band {asset.band!r} of scene {scene!r} cannot be opened: {plain(asset.href)}"
        fix = "Search again if addresses were signed a while ago; else leave the scene out."
        raise ImageryError(explain(text, rule=quiet(cause), fix=fix)) from None


def _safe_file(asset: Asset) -> Path:
    """Return the path whose ending tells the driver, of a file that is safe to open."""
    if not is_remote(asset.href):
        (file,) = raster_files([asset.href])
        return file
    return remote_path(asset.href)


def _pages_of(span: Span) -> range:
    return range(span[0] // _PAGE, (span[1] - 1) // _PAGE + 1)


def _together(parts: list[list[Window]]) -> Window:
    """Put the parts of a window together, rows of parts from north to south."""
    if len(parts) == 1 and len(parts[0]) == 1:
        return parts[0][0]
    pixels = np.concatenate([np.concatenate([part[0] for part in row], axis=2) for row in parts], axis=1)
    masks = [
        np.concatenate([np.ones(p.shape[1:], bool) if v is None else v for p, v in row], axis=1)
        for row in parts
    ]
    valid = np.concatenate(masks, axis=0)
    return pixels, None if valid.all() else valid


def _cube_of(scene: StacScene, rows: Span, columns: Span) -> Cube:
    """Return a part of the scene as a cube that loads windows, every band on the scene's grid."""
    import odc.stac
    import rasterio
    from affine import Affine
    from odc.geo.geobox import GeoBox

    step = scene.grid.lattice
    height, width = rows[1] - rows[0], columns[1] - columns[0]
    west, north = step.c + step.a * columns[0], step.f + step.e * rows[0]
    place = GeoBox((height, width), Affine(step.a, step.b, west, step.d, step.e, north), step.crs)
    with rasterio.Env(**environment(asset.href for asset in scene.assets)):
        data = odc.stac.load(
            [_item(scene)],
            bands=[asset.band for asset in scene.assets],
            geobox=place,
            chunks={"y": CELL, "x": CELL},
            # every number that chips can hold, with NaN for what is not valid
            dtype="float32",
            resampling={"*": "bilinear", **{asset.band: "nearest" for asset in scene.assets if asset.flags}},
        ).isel(time=0, drop=True)
    y, x = find_dimension(list(data.dims), Y_NAMES), find_dimension(list(data.dims), X_NAMES)
    return Cube(
        name=scene.name,
        data=data,
        bands=tuple(asset.band for asset in scene.assets),
        axes=(
            Axis(str(y), north, -step.e, height, turned=False),
            Axis(str(x), west, step.a, width, turned=False),
        ),
        time=None,
        fills=tuple(() if asset.fill is None else (asset.fill,) for asset in scene.assets),
        scales=(None,) * len(scene.assets),
        file=None,
    )


def _item(scene: StacScene) -> Any:
    """Return a plain item for odc-stac: the assets that are wanted, by our names, all over the scene's grid."""
    import datetime

    import pystac
    from pystac.extensions.projection import ProjectionExtension

    made = pystac.Item(
        "scene",
        geometry={"type": "Point", "coordinates": [0.0, 0.0]},
        bbox=[0.0, 0.0, 0.0, 0.0],
        # no reader of the pixels asks for the time
        datetime=datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC),
        properties={},
    )
    grid, step = scene.grid, scene.grid.lattice
    described = ProjectionExtension.ext(made, add_if_missing=True)
    if step.crs.startswith("EPSG:"):
        described.epsg = int(step.crs.removeprefix("EPSG:"))
    else:
        described.wkt2 = step.crs
    for asset in scene.assets:
        part = pystac.Asset(asset.href, media_type="image/tiff", roles=["data"])
        made.add_asset(asset.band, part)
        outline = ProjectionExtension.ext(made.assets[asset.band])
        outline.shape = [grid.height, grid.width]
        outline.transform = [step.a, step.b, step.c, step.d, step.e, step.f]
    return made


def _same_system(one: Lattice, other: Lattice) -> bool:
    import pyproj

    return one.crs == other.crs or bool(
        pyproj.CRS(one.crs).equals(pyproj.CRS(other.crs), ignore_axis_order=True)
    )
