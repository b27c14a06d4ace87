"""How chips lie in a Zarr v3 hierarchy: arrays, shards, attributes. Everything here is in memory.

::

    /                     attributes: keys, bands, frames (the names along date), date, pixel_unit, recipe, ...;
                          arrays: places
    /origins              int32   (chip, date): the number of a set of scenes; sets and scenes are attributes
    /<block>/pixels       float32 (chip, date, band, y, x), NaN where not valid
    /<block>/mask         bool    (chip, date, y, x)
    /<block>/status       uint8   (chip,), its words in the attribute flag_meanings
    /<block>/observations float64 (chip, date), where the source counts them
    /<block>/valid_fraction, west, north, x_size, y_size    float64 (chip,)

Pixels are kept as they were read, float32 with NaN: whether a narrower type would lose anything is known
only once the last chip is read, and Zstandard makes up for most of the width. All chunks carry a checksum.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal.errors import ImageryError, explain
from eocausal.imagery.batches import CORNERS, STATUSES, ChipBatch, Keys, Rows
from eocausal.imagery.origins import Origins, origins_of

if TYPE_CHECKING:
    from eocausal.imagery.chips import Chips

MOST_CHIPS_PER_SHARD = 256
_SHARD_BYTES = 64 * 2**20  # a shard is encoded in memory
_CHUNK_BYTES = 2**20  # what is read at least to get at one chip
_NO_STATUS = 255  # fill value: a status that was never written
_AXES = ("chip", "date", "band", "y", "x")
ORIGINS = "origins"
_TEXT = "values"  # attribute of an array of codes: the texts they stand for


@dataclass(frozen=True)
class Layout:
    """Shapes of one chip (dates, bands, height, width) by block, and how many chips lie in a shard and chunk.

    ``observed`` tells whether clear observations are counted.
    """

    count: int
    shapes: Mapping[str, tuple[int, ...]]
    per_shard: int
    per_chunk: int
    observed: bool

    def ranges(self) -> list[slice]:
        """Return the rows of each shard."""
        starts = range(0, self.count, self.per_shard)
        return [slice(start, min(start + self.per_shard, self.count)) for start in starts]


def import_zarr() -> Any:
    """Return zarr, or raise ImageryError with the line that installs it."""
    try:
        import zarr
    except ModuleNotFoundError as cause:
        text = "Stores of chips need the package zarr, which is not installed."
        raise ImageryError(explain(text, fix='pip install "eocausal[cubes]"')) from cause
    return zarr


def lay_out(chips: Chips, count: int | None = None) -> Layout:
    """Return the layout of a store for ``count`` of these chips (default all); reads one of them for its shape."""
    (batch,) = chips.batches(size=1, keys=chips.keys[:1])
    shapes = {block: tuple(batch.pixels[block].shape[1:]) for block in chips.blocks}
    largest = 4 * max(math.prod(shape) for shape in shapes.values())
    per_shard = min(MOST_CHIPS_PER_SHARD, _power_of_two(_SHARD_BYTES // largest))
    return Layout(
        len(chips) if count is None else count,
        shapes,
        per_shard,
        min(per_shard, _power_of_two(_CHUNK_BYTES // largest)),
        observed=set(batch.observations) == set(shapes),
    )


def _power_of_two(most: int) -> int:
    return 1 << max(most, 1).bit_length() - 1


class Encoder:
    """Turns chips, taken in ``order``, into the files of a Zarr hierarchy, one key range at a time."""

    def __init__(self, chips: Chips, layout: Layout, order: Rows) -> None:
        self._files: MutableMapping[str, Any] = {}
        zarr = import_zarr()
        self._arrays: dict[str, dict[str, Any]] = {}
        root = zarr.create_group(zarr.storage.MemoryStore(self._files), attributes=_attributes(chips, order))
        self._layout = layout
        for name, values in chips.source.places().items():
            _put_column(root, name, np.asarray(values)[order])
        origins = origins_of(chips.source)
        if origins is not None:
            _put_origins(root, origins.some(order))
        for block, shape in layout.shapes.items():
            group = root.create_group(block)
            found = chips.source.corners(block)
            for name in () if found is None else CORNERS:
                _put_column(group, name, np.asarray((found or {})[name])[order])
            # Kept, because an array that is opened again forgets that empty chunks are to be written.
            self._arrays[block] = self._make_arrays(group, shape)
        self.header = {name: buffer.to_bytes() for name, buffer in self._files.items()}

    def encode(self, number: int, batch: ChipBatch) -> dict[str, bytes]:
        """Return the files that hold the chips of one range."""
        rows = self._layout.ranges()[number]
        for block, arrays in self._arrays.items():
            arrays["pixels"][rows] = batch.pixels[block]
            arrays["mask"][rows] = batch.mask[block]
            arrays["status"][rows] = pd.Index(STATUSES).get_indexer(pd.Index(batch.status[block]))
            arrays["valid_fraction"][rows] = batch.valid_fraction[block]
            if self._layout.observed:
                arrays["observations"][rows] = batch.observations[block]
        made = [name for name in self._files if name not in self.header]
        return {name: self._files.pop(name).to_bytes() for name in sorted(made)}

    def _make_arrays(self, group: Any, shape: tuple[int, ...]) -> dict[str, Any]:
        picture = (shape[0], *shape[2:])
        arrays = {
            "pixels": self._make(group, "pixels", "float32", shape, _AXES, math.nan),
            "mask": self._make(group, "mask", "bool", picture, ("chip", "date", "y", "x"), False),
            "status": self._make(group, "status", "uint8", (), ("chip",), _NO_STATUS),
            "valid_fraction": self._make(group, "valid_fraction", "float64", (), ("chip",), math.nan),
        }
        if self._layout.observed:
            axes = ("chip", "date")
            arrays["observations"] = self._make(group, "observations", "float64", shape[:1], axes, math.nan)
        arrays["status"].attrs["flag_values"] = list(range(len(STATUSES)))
        arrays["status"].attrs["flag_meanings"] = " ".join(STATUSES)
        return arrays

    def _make(
        self, group: Any, name: str, kind: str, shape: tuple[int, ...], axes: tuple[str, ...], fill: float
    ) -> Any:
        layout = self._layout
        return group.create_array(
            name,
            shape=(layout.count, *shape),
            dtype=kind,
            chunks=(layout.per_chunk, *shape),
            shards=(layout.per_shard, *shape),
            compressors=_checked(),
            fill_value=fill,
            dimension_names=axes,
            config={"write_empty_chunks": True},
        )


def _checked() -> list[Any]:
    from zarr.codecs import Crc32cCodec, ZstdCodec

    return [ZstdCodec(level=3, checksum=True), Crc32cCodec()]


def _attributes(chips: Chips, order: Rows) -> dict[str, Any]:
    return {
        "key_name": chips.key_name,
        "keys": chips.keys[order].tolist(),
        "blocks": list(chips.blocks),
        "bands": list(chips.bands),
        "frames": list(chips.frames),
        "date": chips.date,
        "pixel_unit": chips.pixel_unit,
        "radiometry": None if chips.radiometry is None else chips.radiometry.recipe(),
        "label": chips.source.label(),
        "source": chips.source.recipe(),
        "places": list(chips.source.places()),
    }


def _put_column(group: Any, name: str, values: npt.NDArray[Any]) -> None:
    """Write one value per chip: numbers as they are, text as codes of its distinct values."""
    about: dict[str, Any] = {}
    if values.dtype.kind not in "biuf":
        codes, texts = pd.factorize(values.astype(object))
        values, about = codes.astype(np.int32), {_TEXT: [str(text) for text in texts]}
    column = group.create_array(
        name,
        shape=values.shape,
        dtype=str(values.dtype),
        chunks=values.shape,
        compressors=_checked(),
        dimension_names=("chip",),
        attributes=about,
        config={"write_empty_chunks": True},
    )
    column[:] = values


def _put_origins(root: Any, origins: Origins) -> None:
    """Write which scenes made each picture: a number for each set of them, the sets beside."""
    column = root.create_array(
        ORIGINS,
        shape=origins.codes.shape,
        dtype="int32",
        chunks=origins.codes.shape,
        compressors=_checked(),
        dimension_names=("chip", "date"),
        attributes=origins.written(),
        config={"write_empty_chunks": True},
    )
    column[:] = origins.codes


def read_origins(root: Any) -> Origins | None:
    """Return which scenes made each picture, None where that is not known."""
    if ORIGINS not in root:
        return None
    return Origins.read(root[ORIGINS].attrs, np.asarray(root[ORIGINS][:]))


def read_column(group: Any, name: str) -> npt.NDArray[Any]:
    """Return one value per chip, as it was put."""
    column = group[name]
    values: npt.NDArray[Any] = np.asarray(column[:])
    if _TEXT not in column.attrs:
        return values
    texts = np.array([*column.attrs[_TEXT], None], dtype=object)
    found: npt.NDArray[Any] = texts[values]
    return found


def read_keys(attributes: Mapping[str, Any]) -> Keys:
    """Return the image keys of a store, whole numbers or text."""
    keys = np.asarray(attributes["keys"])
    return keys.astype(np.int64) if keys.dtype.kind in "iu" else keys
