"""A folder of chips: written in ranges of keys, continued where a run died, refused where it is damaged.

::

    manifest.json           what the chips were made from; once finished, hashes of all that follows
    zarr.json, ...          a Zarr v3 hierarchy; see _zarr_layout
    <block>/pixels/c/0/...  shards of a fixed range of keys
    ranges/00000.json       hashes of the files of that range, written after them
    lock                    process that is writing
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal import __version__
from eocausal._io import hash_content, hash_file, write_atomically, write_json
from eocausal._provenance import hash_arrays
from eocausal._resumable import one_writer
from eocausal.errors import ImageryError, explain
from eocausal.imagery._store_folder import (
    FORMAT,
    damage,
    fault,
    read_manifest,
    record_path,
    refuse_foreign,
    refuse_other_run,
    verified_run,
    write_manifest,
)
from eocausal.imagery._zarr_layout import (
    Encoder,
    Layout,
    import_zarr,
    lay_out,
    read_column,
    read_keys,
)
from eocausal.imagery.batches import ChipBatch, Keys, Rows
from eocausal.imagery.chips import Chips
from eocausal.imagery.cut import SAME_PLACE_M
from eocausal.imagery.export import CORNERS
from eocausal.imagery.radiometry import Radiometry

if TYPE_CHECKING:
    from eocausal.units import Units

__all__ = ["open_chips", "write_chips"]

# Arrays of a block, and what they hold for a key that the store has no chip of.
_ABSENT = {"pixels": np.nan, "mask": False, "status": "missing", "valid_fraction": 0.0}


def write_chips(chips: Chips, path: str | Path, *, progress: bool = True) -> Path:
    """Write chips into a store, or finish or mend one; see :meth:`eocausal.Chips.write`."""
    import_zarr()
    folder = Path(path)
    refuse_foreign(folder)
    layout = lay_out(chips)
    run = _run(chips, layout)
    with one_writer(folder, error=ImageryError):
        manifest = read_manifest(folder)
        if manifest is None:
            write_manifest(folder, {"format": FORMAT, "run": run})
        else:
            refuse_other_run(folder, manifest["run"], run)
        order = chips.source.reading_order()
        keys = chips.keys[order]
        encoder = Encoder(chips, layout, order)
        for name, content in encoder.header.items():
            _write_where_different(folder / name, content)
        _write_ranges(_Job(folder, chips, keys, layout, encoder, hash_content(run)), progress)
        header = {name: hashlib.sha256(content).hexdigest() for name, content in encoder.header.items()}
        records = [hash_file(record_path(folder, number)) for number in range(len(layout.ranges()))]
        write_manifest(folder, {"format": FORMAT, "run": run, "header": header, "ranges": records})
    return folder


def open_chips(path: str | Path, units: Units) -> Chips:
    """Open chips that ``Chips.write`` has stored; every file is compared with its recorded hash first.

    Parameters
    ----------
    path : str or Path
        The store's folder.
    units : Units
        The units; their ``image_keys`` say which stored chip shows each. Keys without a chip in the store
        have status ``missing``.

    Returns
    -------
    Chips
        Reads lazily from the store, with the recipe of the chips it was written from.

    Raises
    ------
    ImageryError
        When the folder is no store, its writing has not finished, a file is damaged or gone (naming the
        range and its keys), no key of the units is in it, or units lie elsewhere than the stored chips.

    Examples
    --------
    >>> import numpy as np, pandas as pd, tempfile, eocausal as ec
    >>> table = pd.DataFrame({"village": ["a", "b"], "lon": [31.1, 31.2], "lat": [1.1, 1.2]})
    >>> units = ec.read_units(table, id="village", lon="lon", lat="lat")
    >>> cut = ec.chips_from_arrays(units, np.random.default_rng(0).random((2, 8, 8, 3)))
    >>> folder = cut.write(tempfile.mkdtemp() + "/chips.zarr", progress=False)
    >>> ec.open_chips(folder, units)
    Chips(2 keys, 8px, 3 bands, store of arrays)
    """
    zarr = import_zarr()
    folder = Path(path)
    layout_run = verified_run(folder)
    root = zarr.open_group(folder, mode="r")
    about = dict(root.attrs)
    stored = read_keys(about)
    wanted = np.asarray(pd.unique(units.image_keys))
    rows = _match(wanted, stored, units.image_key, folder)
    places = {name: read_column(root, name) for name in about["places"]}
    said = about["radiometry"]
    _check_same_places(units, wanted, rows, places)
    return Chips(
        keys=wanted,
        key_name=units.image_key,
        blocks=tuple(about["blocks"]),
        bands=tuple(about["bands"]),
        date=about["date"],
        units=units,
        pixel_unit=about["pixel_unit"],
        radiometry=None if said is None else Radiometry(said.pop("unit"), **said),
        source=StoredSource(folder, wanted, rows, stored, int(layout_run["chips_per_shard"]), about, places),
    )


@dataclass(frozen=True, eq=False)
class StoredSource:
    """Chips in a store; ``rows`` finds each key's chip among ``stored`` keys, -1 for none."""

    folder: Path
    keys: Keys
    rows: Rows
    stored: Keys
    per_shard: int
    about: dict[str, Any]
    all_places: dict[str, npt.NDArray[Any]]

    @contextmanager
    def reading(self) -> Iterator[Callable[[Rows], ChipBatch]]:
        """Give the reader; files are opened as chips are asked for."""
        root = import_zarr().open_group(self.folder, mode="r")
        yield lambda rows: self._read(root, rows)

    def places(self) -> dict[str, npt.NDArray[Any]]:
        """Return what the source of the stored chips knew of where each is."""
        return {name: _pick(values, self.rows) for name, values in self.all_places.items()}

    def stored_corners(self, block: str) -> dict[str, npt.NDArray[Any]] | None:
        """Return where the chips of a block lie, as stored, or None."""
        group = import_zarr().open_group(self.folder, mode="r")[block]
        if CORNERS[0] not in group:
            return None
        return {name: _pick(read_column(group, name), self.rows) for name in CORNERS}

    def reading_order(self) -> Rows:
        """Return positions in the order in which the chips lie in the store."""
        return np.argsort(self.rows, kind="stable")

    def stored_files(self) -> npt.NDArray[Any] | None:
        """Return the names of the rasters that each chip was cut from, or None when it was cut from none."""
        root = import_zarr().open_group(self.folder, mode="r")
        return _pick(read_column(root, "files"), self.rows) if "files" in root else None

    def label(self) -> str:
        """Return what the stored chips were made from."""
        return f"store of {self.about['label']}"

    def recipe(self) -> dict[str, Any]:
        """Return the recipe of the stored chips: the pixels are the same."""
        recipe: dict[str, Any] = self.about["source"]
        return recipe

    def _read(self, root: Any, rows: Rows) -> ChipBatch:
        found = self.rows[rows]
        there = found >= 0
        chosen, back = np.unique(found[there], return_inverse=True)
        parts: dict[str, dict[str, Any]] = {name: {} for name in _ABSENT}
        for block in self.about["blocks"]:
            for name, absent in _ABSENT.items():
                array = root[block][name]
                values = self._array(array, chosen)
                if name == "status":
                    values = self._words(array, values, chosen)
                part = np.full((len(rows), *values.shape[1:]), absent, dtype=values.dtype)
                part[there] = values[back]
                parts[name][block] = part.astype(str) if name == "status" else part
        return ChipBatch(self.keys[rows], **parts)

    def _array(self, array: Any, chosen: Rows) -> npt.NDArray[Any]:
        """Read some chips of one array, shard by shard, so that damage is known by its range."""
        shards = chosen // self.per_shard
        parts = [
            self._shard(array, number, chosen[shards == number]) for number in np.unique(shards).tolist()
        ]
        return np.concatenate([np.empty((0, *array.shape[1:]), dtype=array.dtype), *parts])

    def _shard(self, array: Any, number: int, chosen: Rows) -> npt.NDArray[Any]:
        """Read chips of one shard; one that is gone or damaged is an error, never a fill value."""
        shard = self.folder / array.path / "c" / "/".join([str(number), *["0"] * (array.ndim - 1)])
        keys = self.stored[number * self.per_shard : (number + 1) * self.per_shard]
        if not shard.is_file():
            raise ImageryError(damage(self.folder, number, keys, shard, "is gone"))
        try:
            if chosen[-1] - chosen[0] + 1 == len(chosen):
                return np.asarray(array[int(chosen[0]) : int(chosen[-1]) + 1])
            return np.asarray(array.oindex[chosen])
        except (OSError, ValueError, RuntimeError) as cause:
            what = f"is damaged: {str(cause)[:200]}"
            raise ImageryError(damage(self.folder, number, keys, shard, what)) from cause

    def _words(self, array: Any, codes: npt.NDArray[Any], chosen: Rows) -> npt.NDArray[Any]:
        words = str(array.attrs["flag_meanings"]).split()
        lost = chosen[codes >= len(words)]
        if len(lost):
            number, file = int(lost[0]) // self.per_shard, self.folder / array.path
            raise ImageryError(damage(self.folder, number, self.stored[lost], file, "was never written"))
        return np.array([words[code] for code in codes.tolist()], dtype=object)


def _pick(values: npt.NDArray[Any], rows: Rows) -> npt.NDArray[Any]:
    """Return the value of each row; NaN, or None for text, where a row is -1."""
    if (rows >= 0).all():
        return values[rows]
    absent = None if values.dtype == object else np.nan
    picked = values[np.maximum(rows, 0)].astype(object if absent is None else np.float64)
    picked[rows < 0] = absent
    return picked


def _match(wanted: Keys, stored: Keys, name: str, folder: Path) -> Rows:
    rows: Rows = pd.Index(stored).get_indexer(pd.Index(wanted))
    if (rows < 0).all():
        shown = [f"{', '.join(map(repr, keys[:5].tolist()))}" for keys in (wanted, stored)]
        text = f"No chip in {folder} has a key of the units: {name!r} has {shown[0]}, the store {shown[1]}."
        raise ImageryError(explain(text, fix="Keys must be written alike; numbers and text differ."))
    return rows


def _check_same_places(units: Units, wanted: Keys, rows: Rows, places: dict[str, npt.NDArray[Any]]) -> None:
    """Raise ImageryError when units lie elsewhere than the chips that were stored under their keys."""
    import pyproj

    if units.longitude is None or units.latitude is None or "longitude" not in places:
        return
    row = rows[pd.Index(wanted).get_indexer(pd.Index(units.image_keys))]
    there = row >= 0
    lon, lat = (places[name][row[there]] for name in ("longitude", "latitude"))
    apart = np.asarray(
        pyproj.Geod(ellps="WGS84").inv(lon, lat, units.longitude[there], units.latitude[there])[2]
    )
    far = apart > SAME_PLACE_M
    if far.any():
        raise ImageryError(
            explain(
                f"Units lie up to {apart.max():,.0f} m from the chips stored under their keys.",
                where=units.ids[there][far],
                rule=f"a chip shows its unit's place, within {SAME_PLACE_M:g} m",
                fix="open the store with the units it was written for, or cut chips anew",
            )
        )


def _run(chips: Chips, layout: Layout) -> dict[str, Any]:
    """Return all that determines the bytes of a store."""
    packages = {name: metadata.version(name) for name in ("zarr", "rasterio")}
    run = {
        "chips": chips.recipe(),
        "blocks": list(chips.blocks),
        "shapes": {block: list(shape) for block, shape in layout.shapes.items()},
        "chips_per_shard": layout.per_shard,
        "versions": {"eocausal": __version__, **packages},
    }
    copied: dict[str, Any] = json.loads(json.dumps(run))
    return copied


@dataclass(frozen=True, eq=False)
class _Job:
    """One call of ``write``: chips of ``keys``, in the order of the store; ``run`` is the hash of the run key."""

    folder: Path
    chips: Chips
    keys: Keys
    layout: Layout
    encoder: Encoder
    run: str

    def expected(self, number: int) -> dict[str, str]:
        """Return what the record of a range must say."""
        return {"run": self.run, "keys": hash_arrays(self.keys[self.layout.ranges()[number]])}


def _write_ranges(job: _Job, progress: bool) -> None:
    """Write the ranges that are not whole; the record of a range follows its files."""
    from tqdm import tqdm

    ranges = job.layout.ranges()
    todo = [n for n in range(len(ranges)) if fault(job.folder, n, job.expected(n)) is not None]
    if not todo:
        return
    # Only the last range may be shorter, so batches of this size are the ranges themselves.
    keys = np.concatenate([job.keys[ranges[number]] for number in todo])
    done = len(job.keys) - len(keys)
    with tqdm(
        total=len(job.keys), initial=done, desc="writing chips", unit="chip", disable=not progress
    ) as bar:
        for number, batch in zip(todo, job.chips.batches(size=job.layout.per_shard, keys=keys)):
            files = job.encoder.encode(number, batch)
            for name, content in files.items():
                _write_where_different(job.folder / name, content)
            hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
            write_json(record_path(job.folder, number), {**job.expected(number), "files": hashes})
            bar.update(len(batch))


def _write_where_different(path: Path, content: bytes) -> None:
    if not path.is_file() or path.read_bytes() != content:
        write_atomically(path, lambda temporary: _put(temporary, content))


def _put(path: Path, content: bytes) -> None:
    path.write_bytes(content)
