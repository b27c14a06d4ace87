"""Chips that are already cut: arrays in memory or in an NPZ file, joined to units by image key."""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import did_you_mean, require_one_kind, require_units
from eocausal._io import hash_file
from eocausal._provenance import hash_arrays
from eocausal._tables import missing_file
from eocausal.errors import ImageryError, explain
from eocausal.imagery.batches import ChipBatch, Keys, Rows, judge
from eocausal.imagery.chips import Chips
from eocausal.imagery.cut import check_date
from eocausal.imagery.planning import block_name
from eocausal.imagery.radiometry import Radiometry
from eocausal.imagery.screening import as_radiometry, screened

if TYPE_CHECKING:
    from eocausal.units import Units

__all__ = ["chips_from_arrays"]

AXES = ("nhwc", "nbhw")
# An NPZ may unpack to this much at most; beyond, pass a memory-mapped array.
_LARGEST_NPZ = 16 * 2**30


@dataclass(frozen=True, eq=False)
class ArraySource:
    """Chips in an array of shape (chips, bands, height, width); ``rows`` finds each key's chip, -1 for none."""

    keys: Keys
    array: npt.NDArray[Any]
    rows: Rows
    block: str
    nodata: float | None
    file: Path | None

    @contextmanager
    def reading(self) -> Iterator[Callable[[Rows], ChipBatch]]:
        """Give the reader; there is nothing to open."""
        yield self._read

    def reading_order(self) -> Rows:
        """Arrays are read in any order."""
        return np.arange(len(self.keys))

    def places(self) -> dict[str, npt.NDArray[Any]]:
        """Arrays do not say where they are."""
        return {}

    def corners(self, block: str) -> None:
        """Arrays do not say where they are."""
        return

    def label(self) -> str:
        """Return that these are arrays."""
        return "arrays"

    def recipe(self) -> dict[str, Any]:
        """Return the hash of the pixels and how they are read."""
        named = {} if self.file is None else {"file": self.file.name, "file_sha256": hash_file(self.file)}
        return {
            "source": "arrays",
            **named,
            "array": self._hash,
            "shape": list(self.array.shape),
            "nodata": None if self.nodata is None else repr(self.nodata),
        }

    @cached_property
    def _hash(self) -> str:
        # In slices, so that a memory-mapped array is never wholly in memory.
        steps = range(0, len(self.array), 256)
        return hash_arrays(
            np.array([hash_arrays(self.array[step : step + 256]) for step in steps]), self.rows
        )

    def _read(self, rows: Rows) -> ChipBatch:
        found = self.rows[rows]
        there = found >= 0
        stored = self.array[found[there]]
        pixels = np.full((len(rows), *self.array.shape[1:]), np.nan, dtype=np.float32)
        pixels[there] = stored
        valid = np.array(np.isfinite(pixels).all(axis=1))
        if self.nodata is not None:
            valid[there] &= (stored != self.nodata).all(axis=1)
        pixels[~np.broadcast_to(valid[:, None], pixels.shape)] = np.nan
        mask = valid[:, None]
        status, share = judge(mask, there, "missing")
        block = self.block
        return ChipBatch(
            self.keys[rows], {block: pixels[:, None]}, {block: mask}, {block: status}, {block: share}
        )


def chips_from_arrays(
    units: Units,
    array: npt.NDArray[Any] | str | Path,
    *,
    keys: npt.ArrayLike | str | None = None,
    axes: str | None = None,
    bands: Sequence[str] | None = None,
    date: str | None = None,
    size_m: float | None = None,
    nodata: float | None = None,
    pixel_unit: str | Radiometry | None = None,
) -> Chips:
    """Take chips that are already cut, joined to units by image key.

    Parameters
    ----------
    units : Units
        The units; their ``image_keys`` say which chip shows each.
    array : numpy.ndarray or path
        Four axes: chips, height, width, bands or chips, bands, height, width; or an .npz file that holds
        it next to its keys.
    keys : array_like or str, optional
        The image key of each chip; for an .npz, the name of the array that holds them (default: the name
        of the units' image key column). Without keys there must be one chip per unit in the units' order.
    axes : {"nhwc", "nbhw"}, optional
        The order of the axes (n chips, h height, w width, b or c bands). Needed when it cannot be told: it
        can when the chips are square and the number of bands is not their side.
    bands : list of str, optional
        Names of the bands; default band1, band2, ...
    date : str, optional
        Date of the imagery, ISO 8601.
    size_m : float, optional
        Side of a chip on the ground in metres; names the block (``960m``). Default: pixels (``35px``).
    nodata : float, optional
        Value of pixels that are not valid. NaN and infinite pixels never are.
    pixel_unit : str or Radiometry, optional
        What a pixel value is, checked and converted as in :func:`eocausal.chips`.

    Returns
    -------
    Chips
        Keys without a chip have status ``missing``.

    Raises
    ------
    ImageryError
        When the array has not four axes, its axes cannot be told apart, keys are repeated, of another type
        than the units' or all different from them, or the file is not as described; when pixels do not fit
        their unit.

    Examples
    --------
    >>> import numpy as np, pandas as pd, eocausal as ec
    >>> table = pd.DataFrame({"household": [1, 2, 3], "village": ["a", "a", "b"]})
    >>> units = ec.read_units(table, id="household", image_key="village")
    >>> pictures = np.zeros((2, 8, 8, 3), dtype="uint8")
    >>> ec.chips_from_arrays(units, pictures, keys=["b", "a"])
    Chips(2 keys, 8px, 3 bands, arrays)
    """
    require_units(units, error=ImageryError)
    check_date(date)
    _check_nodata(nodata)
    radiometry = as_radiometry(pixel_unit)
    file = Path(array) if isinstance(array, (str, Path)) else None
    if file is not None:
        array, keys = _from_npz(file, keys, units.image_key)
    pixels = np.asarray(array)
    order = _axes(pixels, axes)
    if order == "nhwc":
        pixels = np.moveaxis(pixels, 3, 1)
    chip_keys = _chip_keys(units, pixels, keys)
    wanted = pd.unique(units.image_keys)
    rows = _match(wanted, chip_keys, units.image_key)
    names = _band_names(bands, pixels.shape[1])
    height, width = pixels.shape[2:]
    block = block_name(height, width, size_m)
    return Chips(
        keys=np.asarray(wanted),
        key_name=units.image_key,
        blocks=(block,),
        bands=names,
        date=date,
        units=units,
        pixel_unit=None if radiometry is None else radiometry.given_out,
        source=screened(
            ArraySource(np.asarray(wanted), pixels, rows, block, nodata, file),
            radiometry,
            "the array" if file is None else file.name,
        ),
        radiometry=radiometry,
    )


def _axes(array: npt.NDArray[Any], axes: str | None) -> str:
    if array.ndim != 4 or 0 in array.shape:
        fix = "array[..., np.newaxis] adds the axis of a single band."
        rule = "four axes, none empty: chips, height, width, bands"
        raise ImageryError(explain(f"The array has shape {array.shape}.", rule=rule, fix=fix))
    if array.dtype.kind not in "iuf":
        raise ImageryError(explain(f"The array holds {array.dtype}.", rule="pixels are real numbers"))
    if axes is not None:
        if axes not in AXES:
            raise ImageryError(
                explain(f"axes={axes!r} is not known.", fix=f"Choose from: {', '.join(AXES)}.")
            )
        return axes
    _, second, third, fourth = array.shape
    if (second == third) == (third == fourth):
        text = f"The order of axes cannot be told from shape {array.shape}."
        raise ImageryError(explain(text, fix='Say axes="nhwc" (bands last) or axes="nbhw" (bands first).'))
    return "nhwc" if second == third else "nbhw"


def _chip_keys(units: Units, array: npt.NDArray[Any], keys: npt.ArrayLike | str | None) -> Keys:
    if isinstance(keys, str):
        text = f"keys={keys!r} names an array, but the chips are not in an .npz file."
        raise ImageryError(explain(text, fix="Pass the keys themselves."))
    if keys is None:
        if units.image_key == units.id and len(array) == len(units):
            return units.ids
        text = f"There are {len(array)} chips and no keys."
        raise ImageryError(explain(text, fix="Give keys=, the image key of each chip, in the array's order."))
    found = np.asarray(keys)
    if found.dtype == object:
        found = np.asarray(found.tolist())
    if found.shape != (len(array),):
        text = f"There are {len(array)} chips, but keys have shape {found.shape}."
        raise ImageryError(explain(text, rule="one key per chip"))
    fix = "keys = np.asarray(keys).astype(str)"
    require_one_kind(found, what="keys", error=ImageryError, fix=fix)
    values, counts = np.unique(found, return_counts=True)
    if (counts > 1).any():
        text = "Keys of chips appear more than once."
        raise ImageryError(explain(text, where=values[counts > 1], rule="one chip per image key"))
    return found


def _match(wanted: Keys, chip_keys: Keys, name: str) -> Rows:
    """Return the chip of each key, -1 for none; refuse keys of another type, and no match at all."""
    kinds = [_kind(keys) for keys in (wanted, chip_keys)]
    if kinds[0] != kinds[1]:
        text = (
            f"The units' {name!r} is {kinds[0]} ({wanted[0].item()!r}), "
            f"the chips' keys are {kinds[1]} ({chip_keys[0].item()!r})."
        )
        fix = f"keys = np.asarray(keys).astype({'str' if kinds[0] == 'text' else 'np.int64'})"
        raise ImageryError(explain(text, rule="keys are of one type", fix=fix))
    rows = pd.Index(chip_keys).get_indexer(pd.Index(wanted))
    if (rows < 0).all():
        shown = [", ".join(map(str, keys[:5].tolist())) for keys in (wanted, chip_keys)]
        text = f"No chip has a key of the units: units have {shown[0]}, chips have {shown[1]}."
        raise ImageryError(explain(text, rule=f"both are {kinds[0]}"))
    return rows


def _kind(keys: Keys) -> str:
    return {"U": "text", "i": "whole numbers", "u": "whole numbers"}.get(keys.dtype.kind, str(keys.dtype))


def _band_names(bands: Sequence[str] | None, count: int) -> tuple[str, ...]:
    if bands is None:
        return tuple(f"band{number}" for number in range(1, count + 1))
    names = [bands] if isinstance(bands, str) else [str(band) for band in bands]
    if len(names) != count or len(set(names)) < count:
        text = f"bands={names} does not name the {count} bands of the array."
        raise ImageryError(explain(text, rule="one different name per band"))
    return tuple(names)


def _check_nodata(nodata: object) -> None:
    if nodata is not None and (isinstance(nodata, bool) or not isinstance(nodata, (int, float, np.number))):
        raise ImageryError(explain(f"nodata={nodata!r} is not a number, so no pixel could equal it."))


def _from_npz(file: Path, keys: object, key_name: str) -> tuple[npt.NDArray[Any], Any]:
    """Return the pixels and keys of an NPZ file: the array of that name, and the only other one."""
    if file.suffix.lower() != ".npz":
        fix = "np.savez_compressed('chips.npz', image_key=keys, chips=pixels)"
        raise ImageryError(explain(f"File {file.name!r} is not an .npz file.", fix=fix))
    if not os.path.isfile(file):
        raise ImageryError(missing_file(file))
    _check_npz(file)
    with np.load(file, allow_pickle=False) as content:
        names = list(content.files)
        if keys is None and key_name in names:
            keys = key_name
        key_array = keys if not isinstance(keys, str) else None
        if isinstance(keys, str):
            if keys not in names:
                raise ImageryError(
                    explain(f"{file.name!r} holds no array {keys!r}.", fix=did_you_mean(keys, names))
                )
            key_array = content[keys]
        others = [name for name in names if name != keys] if isinstance(keys, str) else names
        if len(others) != 1:
            text = f"{file.name!r} holds {len(others)} arrays that could be the chips."
            fix = f'array=np.load({file.name!r})["{others[0] if others else "chips"}"], keys=...'
            raise ImageryError(explain(text, where=others, rule="pixels are the only other array", fix=fix))
        return content[others[0]], key_array


def _check_npz(file: Path) -> None:
    """Raise ImageryError when an NPZ lies about its arrays, holds objects, or unpacks to too much."""
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            total = sum(member.file_size for member in members)
            if total > _LARGEST_NPZ:
                text = f"{file.name!r} unpacks to {total / 2**30:.1f} GiB."
                fix = 'Save the pixels as .npy and pass np.load("chips.npy", mmap_mode="r") with keys=.'
                raise ImageryError(explain(text, rule=f"at most {_LARGEST_NPZ / 2**30:g} GiB", fix=fix))
            for member in members:
                with archive.open(member) as stream:
                    _check_npy(file, member, stream)
    except (zipfile.BadZipFile, EOFError) as cause:
        raise ImageryError(
            explain(f"File {file.name!r} is damaged or not an .npz file.", rule=str(cause))
        ) from cause


def _check_npy(file: Path, member: zipfile.ZipInfo, stream: Any) -> None:
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    try:
        shape, _, kind = readers[np.lib.format.read_magic(stream)](stream)
    except (ValueError, KeyError) as cause:
        raise ImageryError(explain(f"{member.filename!r} in {file.name!r} is not an array.")) from cause
    if kind.hasobject:
        text = f"{member.filename!r} in {file.name!r} holds Python objects, which could run code."
        raise ImageryError(explain(text, fix="Save plain numbers or text: keys.astype(str)."))
    if math.prod(shape) * kind.itemsize != member.file_size - stream.tell():
        text = f"{member.filename!r} in {file.name!r} is damaged: it is not as large as its shape {shape}."
        raise ImageryError(explain(text))
