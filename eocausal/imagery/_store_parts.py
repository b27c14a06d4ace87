"""Read chips back from the parts of a store: each key's chip is found in the part that holds it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from eocausal.errors import ImageryError
from eocausal.imagery._store_folder import damage
from eocausal.imagery._zarr_layout import import_zarr, read_column, read_keys, read_origins
from eocausal.imagery.batches import CORNERS, ChipBatch, Keys, Rows
from eocausal.imagery.origins import Origins, joined

# Arrays of a block, and what they hold for a key that the store has no chip of.
_ABSENT = {"pixels": np.nan, "mask": False, "status": "missing", "valid_fraction": 0.0, "observations": 0.0}


@dataclass(frozen=True, eq=False)
class Part:
    """One Zarr hierarchy of a store. Its chips are number ``first`` and following of the whole store."""

    folder: Path
    first: int
    per_shard: int
    about: dict[str, Any]
    keys: Keys

    def root(self) -> Any:
        """Open the hierarchy."""
        return import_zarr().open_group(self.folder, mode="r")

    def within(self, rows: Rows) -> Rows:
        """Return which of the store's chips at ``rows`` lie in this part, as positions in ``rows``."""
        return np.flatnonzero((rows >= self.first) & (rows < self.first + len(self.keys)))

    def values(self, array: Any, chosen: Rows) -> npt.NDArray[Any]:
        """Read some chips of one array, shard by shard, so that damage is known by its range."""
        shards = chosen // self.per_shard
        parts = [
            self._shard(array, number, chosen[shards == number]) for number in np.unique(shards).tolist()
        ]
        found = np.concatenate([np.empty((0, *array.shape[1:]), dtype=array.dtype), *parts])
        return self._words(array, found, chosen) if "flag_meanings" in array.attrs else found

    def _shard(self, array: Any, number: int, chosen: Rows) -> npt.NDArray[Any]:
        """Read chips of one shard; one that is gone or damaged is an error, never a fill value."""
        shard = self.folder / array.path / "c" / "/".join([str(number), *["0"] * (array.ndim - 1)])
        keys = self.keys[number * self.per_shard : (number + 1) * self.per_shard]
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
            raise ImageryError(damage(self.folder, number, self.keys[lost], file, "was never written"))
        return np.array([words[code] for code in codes.tolist()], dtype=object)


def open_parts(folders: Sequence[tuple[Path, int]]) -> tuple[Part, ...]:
    """Open parts, given as folder and chips in a shard, in the order of the store."""
    parts: list[Part] = []
    for folder, per_shard in folders:
        about = dict(import_zarr().open_group(folder, mode="r").attrs)
        first = parts[-1].first + len(parts[-1].keys) if parts else 0
        parts.append(Part(folder, first, per_shard, about, read_keys(about)))
    return tuple(parts)


def columns(parts: Sequence[Part], names: Sequence[str], block: str = "") -> dict[str, npt.NDArray[Any]]:
    """Return one value per stored chip for each name, of all parts."""
    found: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in names}
    for part in parts:
        root = part.root()
        for name, values in found.items():
            values.append(read_column(root[block] if block else root, name))
    return {name: np.concatenate(values) for name, values in found.items()}


@dataclass(frozen=True, eq=False)
class StoredSource:
    """Chips in a store; ``rows`` finds each key's chip among those of all parts, -1 for none."""

    parts: tuple[Part, ...]
    keys: Keys
    rows: Rows
    all_places: dict[str, npt.NDArray[Any]]

    @contextmanager
    def reading(self) -> Iterator[Callable[[Rows], ChipBatch]]:
        """Give the reader; files are opened as chips are asked for."""
        roots = [part.root() for part in self.parts]
        yield lambda rows: self._read(roots, rows)

    def places(self) -> dict[str, npt.NDArray[Any]]:
        """Return what the source of the stored chips knew of where each is."""
        return {name: pick(values, self.rows) for name, values in self.all_places.items()}

    def corners(self, block: str) -> dict[str, npt.NDArray[Any]] | None:
        """Return where the chips of a block lie, as stored, or None."""
        if any(CORNERS[0] not in part.root()[block] for part in self.parts):
            return None
        return {n: pick(values, self.rows) for n, values in columns(self.parts, CORNERS, block).items()}

    def reading_order(self) -> Rows:
        """Return positions in the order in which the chips lie in the store."""
        return np.argsort(self.rows, kind="stable")

    def origins(self) -> Origins | None:
        """Return the scenes that each picture was made from, or None when no source told."""
        found = [read_origins(part.root()) for part in self.parts]
        known = [origins for origins in found if origins is not None]
        return joined(known).some(self.rows) if len(known) == len(found) else None

    def label(self) -> str:
        """Return what the stored chips were made from."""
        return f"store of {self.parts[0].about['label']}"

    def recipe(self) -> dict[str, Any]:
        """Return the recipe of the stored chips: the pixels are the same."""
        recipes = [part.about["source"] for part in self.parts]
        first: dict[str, Any] = recipes[0]
        if all(recipe == first for recipe in recipes):
            return first
        # chips that were each their own raster: what was appended has another content
        return {"source": first["source"], "appended": recipes}

    def _read(self, roots: Sequence[Any], rows: Rows) -> ChipBatch:
        found = self.rows[rows]
        arrays: dict[str, dict[str, Any]] = {name: {} for name in _ABSENT}
        for block in self.parts[0].about["blocks"]:
            for name, absent in _ABSENT.items():
                if any(name not in root[block] for root in roots):
                    continue  # a source that does not count clear observations
                arrays[name][block] = self._gather([root[block][name] for root in roots], found, absent)
            arrays["status"][block] = arrays["status"][block].astype(str)
        return ChipBatch(self.keys[rows], **arrays)

    def _gather(self, arrays: Sequence[Any], found: Rows, absent: object) -> npt.NDArray[Any]:
        """Return one value per chip asked for, from whichever part has it."""
        kind = object if isinstance(absent, str) else arrays[0].dtype
        gathered = np.full((len(found), *arrays[0].shape[1:]), absent, dtype=kind)
        for part, array in zip(self.parts, arrays, strict=True):
            places = part.within(found)
            if len(places):
                chosen, back = np.unique(found[places] - part.first, return_inverse=True)
                gathered[places] = part.values(array, chosen)[back]
        return gathered


def pick(values: npt.NDArray[Any], rows: Rows) -> npt.NDArray[Any]:
    """Return the value of each row; NaN, or None for text, where a row is -1."""
    if (rows >= 0).all():
        return values[rows]
    absent = None if values.dtype == object else np.nan
    picked = values[np.maximum(rows, 0)].astype(object if absent is None else np.float64)
    picked[rows < 0] = absent
    return picked
