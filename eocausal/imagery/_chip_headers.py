"""Headers of files that are one chip each: shape, bands, frames, place; and whether they go together."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal.errors import ImageryError, explain
from eocausal.imagery.batches import CORNERS, Keys
from eocausal.imagery.cut import LARGEST_CHIP_BYTES
from eocausal.imagery.export import FRAMES_TAG
from eocausal.imagery.files import raster_files
from eocausal.imagery.limits import check_size
from eocausal.imagery.sources import open_dataset
from eocausal.imagery.windows import transformer_between

if TYPE_CHECKING:
    from eocausal.units import Units

# A unit may lie on the edge of its chip, and so much outside by rounding.
_ROUNDING_PX = 0.01


@dataclass(frozen=True)
class Header:
    """One chip's file. ``bands`` are 1-based and without alpha, frame by frame; ``names`` those of one frame.

    ``corner`` is west, north and the width and height of a pixel in ``crs``; None where the file lies in no
    reference system or not with north up.
    """

    file: Path
    height: int
    width: int
    bands: tuple[int, ...]
    names: tuple[str, ...]
    frames: tuple[str, ...]
    crs: str | None
    corner: tuple[float, float, float, float] | None

    def alike(self) -> dict[str, object]:
        """Return what all files of a block share."""
        return {"height and width": (self.height, self.width), "number of bands": len(self.bands)}


def read_header(file: Path) -> Header:
    """Read and check the header of a chip's file."""
    from rasterio.enums import ColorInterp

    raster_files(file)
    with open_dataset(file) as dataset:
        check_size(file, dataset)
        bands = tuple(i for i, kind in zip(dataset.indexes, dataset.colorinterp) if kind != ColorInterp.alpha)
        if not bands or any("complex" in kind for kind in dataset.dtypes):
            raise ImageryError(explain(f"Chip {file.name!r} has no bands of real numbers."))
        size = 4 * len(bands) * dataset.height * dataset.width
        if size > LARGEST_CHIP_BYTES:
            text = f"Chip {file.name!r} has {dataset.height:,} x {dataset.width:,} pixels: {size / 2**30:.1f} GiB."
            fix = "to cut chips from scenes: ec.chips(units, rasters, size_m=...)"
            raise ImageryError(explain(text, rule=f"at most {LARGEST_CHIP_BYTES / 2**30:g} GiB", fix=fix))
        frames = _frames(file, dataset.tags().get(FRAMES_TAG), len(bands))
        told = [(dataset.descriptions[i - 1] or "").strip() for i in bands]
        crs, corner = _place(dataset)
        return Header(
            file=file,
            height=dataset.height,
            width=dataset.width,
            bands=bands,
            names=_names(told, frames),
            frames=frames,
            crs=crs,
            corner=corner,
        )


def _frames(file: Path, tag: str | None, bands: int) -> tuple[str, ...]:
    """Return the names of a file's frames, as ``Chips.export`` notes them; one without a name when it has none."""
    if tag is None:
        return ("",)
    try:
        frames = json.loads(tag)
    except json.JSONDecodeError:
        frames = None
    known = isinstance(frames, list) and all(isinstance(frame, str) for frame in frames)
    if not known or not frames or bands % len(frames):
        text = f"Chip {file.name!r} has {bands} bands and the tag {FRAMES_TAG}={tag[:80]!r}."
        rule = "the tag lists the frames, and each has the same bands"
        raise ImageryError(explain(text, rule=rule, fix=f"gdal_edit.py -unsetmd {file.name}"))
    return tuple(frames)


def _names(told: Sequence[str], frames: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the bands of one frame, from the descriptions of all."""
    each = len(told) // len(frames)
    by_frame = [
        tuple(name.removesuffix(f" {frame}".rstrip()) for name in told[i * each : (i + 1) * each])
        for i, frame in enumerate(frames)
    ]
    names = by_frame[0]
    if all(names) and len(set(names)) == each and all(other == names for other in by_frame):
        return names
    return tuple(f"band{number}" for number in range(1, each + 1))


def _place(dataset: Any) -> tuple[str | None, tuple[float, float, float, float] | None]:
    step = dataset.transform
    if dataset.crs is None or step.is_identity:
        return None, None
    code = dataset.crs.to_epsg()
    crs = f"EPSG:{code}" if code else dataset.crs.to_wkt()
    north_up = step.b == 0 and step.d == 0 and step.a > 0 and step.e < 0
    return crs, (step.c, step.f, step.a, -step.e) if north_up else None


def check_alike(headers: Mapping[str, Sequence[Header | None]]) -> None:
    """Raise ImageryError when files of a block differ in shape, or any two in bands or frames."""
    first = next(h for some in headers.values() for h in some if h is not None)
    for block, some in headers.items():
        there = [header for header in some if header is not None]
        for what, value in there[0].alike().items():
            other = [header for header in there if header.alike()[what] != value]
            if other:
                raise ImageryError(
                    explain(
                        f"Files{f' of block {block!r}' if block else ''} differ in {what}: {there[0].file.name!r} "
                        f"has {value}, {other[0].file.name!r} {other[0].alike()[what]}.",
                        where=[header.file.name for header in other],
                        rule="chips of one size have one shape",
                        fix="sort them into a folder for each size: {block}/{key}.tif",
                    )
                )
        for header in there:
            if (header.names, header.frames) != (first.names, first.frames):
                said = [
                    f"{one.file.name!r} has {list(one.names)} x {list(one.frames)}" for one in (first, header)
                ]
                text = f"Files differ in bands or frames: {', '.join(said)}."
                raise ImageryError(
                    explain(text, rule="all chips have the same bands and frames, in one order")
                )


def corners_of(headers: Sequence[Header | None]) -> dict[str, npt.NDArray[Any]] | None:
    """Return reference system, corner and pixel size of each chip, NaN where unknown; None where all are."""
    known = [None if h is None or h.crs is None or h.corner is None else (h.crs, *h.corner) for h in headers]
    if not any(known):
        return None
    columns = list(zip(*(row if row is not None else (None, *[np.nan] * 4) for row in known)))
    kinds = [object, *[np.float64] * 4]
    return {name: np.array(c, dtype=kind) for name, c, kind in zip(CORNERS, columns, kinds, strict=True)}


def check_on_units(units: Units, keys: Keys, headers: Mapping[str, Sequence[Header | None]]) -> None:
    """Raise ImageryError when units lie outside the chip that is found by their key."""
    if units.longitude is None or units.latitude is None:
        return
    row = pd.Index(keys).get_indexer(pd.Index(units.image_keys))
    for block, some in headers.items():
        found = corners_of(some)
        if found is None:
            continue
        header = next(h for h in some if h is not None)
        off = np.full(len(units), -np.inf)
        for crs in {crs for crs in found["crs"].tolist() if crs is not None}:
            here = found["crs"][row] == crs
            x, y = transformer_between("EPSG:4326", crs).transform(
                units.longitude[here], units.latitude[here]
            )
            off[here] = _pixels_outside({n: v[row[here]] for n, v in found.items()}, header, x, y)
        far = off > _ROUNDING_PX
        if far.any():
            raise ImageryError(
                explain(
                    f"Units lie up to {off.max():,.0f} pixels outside the {block} chips of their keys.",
                    where=units.ids[far],
                    rule="a chip shows its unit's place",
                    fix="check how keys stand in the names; for units displaced on purpose leave out lon=",
                )
            )


def _pixels_outside(found: Mapping[str, Any], header: Header, x: Any, y: Any) -> npt.NDArray[np.float64]:
    """Return by how many pixels points lie outside their chips; negative inside."""
    column = (np.asarray(x) - found["west"]) / found["x_size"]
    row = (found["north"] - np.asarray(y)) / found["y_size"]
    outside: npt.NDArray[np.float64] = np.maximum.reduce(
        [-column, column - header.width, -row, row - header.height]
    )
    return outside
