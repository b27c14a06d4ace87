"""Effects of places as files that any other program opens: GeoParquet of points, GeoTIFF of a lattice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eocausal._coordinates import parse_crs
from eocausal._io import write_atomically
from eocausal.errors import EvaluationError, explain

if TYPE_CHECKING:
    from eocausal.evaluate.transport_result import Transport

FloatArray = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]

BANDS = ("effect", "std_error", "distance", "like_study", "outside")
DEGREES = "EPSG:4326"
# Places may be this share of a step away from the centres of cells.
_OFF_CENTRE = 0.02
# A lattice has no more cells than this many times its places: two far apart make none.
_MOST_EMPTY = 1000
_TILE_PX = 256


@dataclass(frozen=True, eq=False)
class Lattice:
    """Cells of one size around places: row and column of each, and the north-west corner.

    Attributes
    ----------
    rows, columns : array of shape (m,)
        Row 0 is north, column 0 is west.
    shape : tuple of int
        Rows and columns.
    west, north, width, height : float
        Corner and size of a cell, in units of the reference system.
    """

    rows: Codes
    columns: Codes
    shape: tuple[int, int]
    west: float
    north: float
    width: float
    height: float


def write_points(result: Transport, path: str | Path) -> Path:
    """Write one point per place, in longitude and latitude."""
    import geopandas

    places = result.known_places()
    frame = result.places.drop(columns=["lon", "lat"]).reset_index()
    frame.attrs = {}
    points = geopandas.GeoDataFrame(frame, geometry=geopandas.points_from_xy(*places.T), crs=DEGREES)
    return write_atomically(
        path, lambda temporary: points.to_parquet(temporary, index=False, compression="zstd")
    )


def write_raster(result: Transport, path: str | Path, *, crs: str | int | None = None) -> Path:
    """Write one cell per place; the reference system is that of the lattice."""
    import rasterio

    asked = crs if crs is not None else result.crs or DEGREES
    lattice = lattice_of(_in_system(result.known_places(), asked), result.ids, str(asked))
    frame = result.places
    profile: dict[str, Any] = {
        "driver": "GTiff", "dtype": "float32", "count": len(BANDS), "height": lattice.shape[0],
        "width": lattice.shape[1], "crs": rasterio.crs.CRS.from_user_input(asked),
        "transform": rasterio.Affine(lattice.width, 0, lattice.west, 0, -lattice.height, lattice.north),
        "nodata": float("nan"), "compress": "deflate", "tiled": True, "blockxsize": _TILE_PX,
        "blockysize": _TILE_PX,
    }  # fmt: skip

    def write(temporary: Path) -> None:
        with rasterio.open(temporary, "w", **profile) as out:
            for number, band in enumerate(BANDS, start=1):
                cells = np.full(lattice.shape, np.nan, dtype=np.float32)
                cells[lattice.rows, lattice.columns] = frame[band].to_numpy(dtype=np.float32)
                out.write(cells, number)
                out.set_band_description(number, band)
            out.update_tags(estimand=result.average.estimand, design=str(result.provenance["design_hash"]))

    return write_atomically(path, write)


def _in_system(places: FloatArray, crs: str | int) -> FloatArray:
    """Return easting and northing, or degrees where the reference system has them."""
    import pyproj

    moved = pyproj.Transformer.from_crs(DEGREES, parse_crs(crs), always_xy=True).transform(*places.T)
    found = np.column_stack(moved)
    if not np.isfinite(found).all():
        raise EvaluationError(explain(f"Some places lie where {crs} is not defined.", fix="another crs="))
    return found


def lattice_of(places: FloatArray, ids: npt.NDArray[Any], system: str) -> Lattice:
    """Return the lattice whose cells have the places (m, 2) as their centres.

    Raises
    ------
    EvaluationError
        Places are not on a lattice, two are in one cell, or nearly all cells would be empty.

    Examples
    --------
    >>> found = lattice_of(np.array([[0.0, 10.0], [30.0, 10.0], [0.0, 40.0]]), np.arange(3), "EPSG:32636")
    >>> found.shape, found.rows.tolist(), found.columns.tolist(), (found.west, found.north)
    ((2, 2), [1, 1, 0], [0, 1, 0], (-15.0, 55.0))
    """
    steps, codes = zip(*(_line(values, system, name) for values, name in zip(places.T, ("x", "y"))))
    # places in one row or one column are as far apart both ways
    known = [step for step in steps if step > 0]
    if not known:
        raise EvaluationError(explain("One place is no lattice.", fix="write_geoparquet"))
    width, height = (step if step > 0 else known[0] for step in steps)
    columns, up = codes
    shape = int(up.max()) + 1, int(columns.max()) + 1
    if shape[0] * shape[1] > _MOST_EMPTY * len(places):
        raise _no_lattice(system, f"{shape[0]:,} rows and {shape[1]:,} columns for {len(places):,} places")
    twice = np.unique(up * shape[1] + columns, return_counts=True, return_inverse=True)
    shared = twice[2][twice[1]] > 1
    if shared.any():
        raise EvaluationError(
            explain(
                "Several places lie in one cell.", where=ids[shared], fix="write_geoparquet keeps them all"
            )
        )
    # places went through degrees and back, which leaves rounding behind the tenth digit
    west, north, width, height = (
        float(f"{value:.11g}")
        for value in (places[:, 0].min() - width / 2, places[:, 1].max() + height / 2, width, height)
    )
    return Lattice(shape[0] - 1 - up, columns, shape, west, north, width, height)


def _line(values: FloatArray, system: str, name: str) -> tuple[float, Codes]:
    """Return the step between the lines of a lattice, and on which line each value is; step 0 for one line."""
    ordered = np.unique(values)
    gaps = np.diff(ordered)
    largest = gaps.max(initial=0.0)
    # values of one line differ by rounding
    between = gaps[gaps > 1e-3 * largest]
    # coordinates that were rounded to a metre or less are within this of one value
    tiny = max(1e-9 * float(np.abs(values).max(initial=0.0)), 1e-12)
    if largest <= tiny:
        return 0.0, np.zeros(values.size, dtype=np.intp)
    rough = float(np.median(between[between <= 1.5 * between.min()]))
    span = float(ordered[-1] - ordered[0])
    # over the whole length, so that rounding of single places does not add up
    step = span / max(round(span / rough), 1)
    codes = np.rint((values - ordered[0]) / step)
    off = np.abs((values - ordered[0]) / step - codes)
    if (off > _OFF_CENTRE).any():
        raise _no_lattice(system, f"{name} is off by up to {off.max():.2f} steps of {step:g}")
    return step, codes.astype(np.intp)


def _no_lattice(system: str, what: str) -> EvaluationError:
    return EvaluationError(
        explain(
            f"The places are not the centres of a regular lattice in {system}: {what}.",
            rule="one step along x, and one along y",
            fix="crs= of the lattice that the places were made on, or write_geoparquet",
        )
    )
