"""Add keys to a store that is there already: what is finished is compared, and never written again.

New keys go into a part of their own, which the manifest of the store names once it is whole. Until then the
store opens as before, and the same call goes on where it stopped.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from eocausal._resumable import changes
from eocausal.errors import ImageryError, explain
from eocausal.imagery._store_folder import (
    keys_of_finished,
    known_parts,
    part_path,
    parts_begun,
    read_manifest,
    sealed,
    verified_run,
    write_manifest,
)
from eocausal.imagery._store_parts import StoredSource, columns, open_parts
from eocausal.imagery._store_write import run_of, write_part
from eocausal.imagery._zarr_layout import lay_out
from eocausal.imagery.batches import ChipBatch, Keys, Rows
from eocausal.imagery.cut import SAME_PLACE_M

if TYPE_CHECKING:
    from eocausal.imagery.chips import Chips

# Chips that were not cut but came one by one: what determines the pixels is said of all of them together and
# changes with every chip that is added, so the chips themselves are compared.
_ONE_BY_ONE = {"arrays": ("array", "shape", "file", "file_sha256"), "files": ("files",)}
_OF_THE_KEYS = ("keys", "places")


def append_chips(chips: Chips, folder: Path, progress: bool) -> None:
    """Write the chips whose keys are in no part of the store yet; see :meth:`eocausal.Chips.write`."""
    begun = parts_begun(folder)
    stored = [keys_of_finished(part) for part in begun]
    order = chips.source.reading_order()
    claimed = [keys for keys in stored if keys is not None]
    for some in claimed:
        _refuse_other_kind(chips, some, folder)
    new = order[~np.isin(chips.keys[order], np.concatenate(claimed))] if claimed else order
    listed = len(known_parts(folder, read_manifest(folder)))
    for number, (part, keys) in enumerate(zip(begun, stored)):
        if keys is not None:
            _keep(chips, part, keys, progress)
        elif len(new) and len(claimed) == len(begun) - 1:
            write_part(chips, part, new, progress)
            new = new[:0]
        elif number <= listed:
            verified_run(part)
    if len(new):
        write_part(chips, part_path(folder, len(begun)), new, progress)
    _list_parts(folder)


def _list_parts(folder: Path) -> None:
    """Name the finished parts in the manifest of the store: from here on they are opened."""
    manifest = read_manifest(folder)
    parts = parts_begun(folder)[1:]
    while parts and keys_of_finished(parts[-1]) is None:
        parts.pop()
    if manifest is not None and parts and manifest.get("parts") != sealed(parts):
        write_manifest(folder, {**manifest, "parts": sealed(parts)})


def _keep(chips: Chips, part: Path, keys: Keys, progress: bool) -> None:
    """Check that a finished part goes with the chips, and mend it where these can."""
    rows = pd.Index(chips.keys).get_indexer(pd.Index(keys))
    manifest = read_manifest(part) or {}
    _refuse_other_recipe(chips, part, manifest["run"])
    _refuse_other_places(chips, part, rows)
    one_by_one = manifest["run"]["chips"]["source"] in _ONE_BY_ONE
    try:
        run = verified_run(part)
    except ImageryError:
        if one_by_one or (rows < 0).any():
            raise
        write_part(chips, part, rows, progress)
        return
    if one_by_one:
        _refuse_other_pixels(chips, part, int(run["chips_per_shard"]), keys[rows >= 0])


def _refuse_other_kind(chips: Chips, keys: Keys, folder: Path) -> None:
    kinds = ["whole numbers" if some.dtype.kind in "iu" else "text" for some in (chips.keys, keys)]
    if kinds[0] != kinds[1]:
        shown = [f"{kind} ({some[0].item()!r})" for kind, some in zip(kinds, (chips.keys, keys))]
        text = f"The chips' keys are {shown[0]}, those in {folder} {shown[1]}."
        raise ImageryError(explain(text, rule="the keys of a store are of one type"))


def _refuse_other_recipe(chips: Chips, part: Path, old: dict[str, Any]) -> None:
    """Raise ImageryError when anything but the keys and their places differs."""
    new = run_of(chips, lay_out(chips), np.arange(len(chips)))
    changed = changes(_but_keys(old), _but_keys(new))
    if changed:
        raise ImageryError(
            explain(
                f"The store {part} holds other chips, so these cannot be appended.",
                where=changed,
                rule="only keys are added: rasters, sizes, bands, dates and radiometry stay the same",
                fix="cut the new units as the stored ones were cut, or give another path",
            )
        )


def _but_keys(run: dict[str, Any]) -> dict[str, Any]:
    left_out = (*_OF_THE_KEYS, *_ONE_BY_ONE.get(str(run["chips"].get("source")), ()))
    if run["frames"] != [""]:
        left_out += ("date",)  # of a sequence: the last day that any of these keys shows
    chips = {name: part for name, part in run["chips"].items() if name not in left_out}
    return {"chips": chips, **{name: run[name] for name in ("blocks", "frames", "shapes")}}


def _refuse_other_places(chips: Chips, part: Path, rows: Rows) -> None:
    """Raise ImageryError when a key that is stored lies elsewhere now, or on another grid."""
    import pyproj

    (opened,) = open_parts([(part, 1)])
    names = list(opened.about["places"])
    now = chips.source.places()
    if sorted(now) != sorted(names):
        text = f"The chips in {part} have places {sorted(names)}, these {sorted(now)}."
        raise ImageryError(explain(text, rule="all chips of a store come from one kind of source"))
    there = np.flatnonzero(rows >= 0)
    keys, before = opened.keys[there], columns([opened], names)
    pairs = {name: (before[name][there], np.asarray(now[name])[rows[there]]) for name in names}
    if "longitude" in pairs and len(there):
        (lon, lon_now), (lat, lat_now) = pairs.pop("longitude"), pairs.pop("latitude")
        apart = np.asarray(pyproj.Geod(ellps="WGS84").inv(lon, lat, lon_now, lat_now)[2])
        if (apart > SAME_PLACE_M).any():
            raise ImageryError(
                explain(
                    f"Units lie up to {np.nanmax(apart):,.0f} m from the chips stored under their keys.",
                    where=keys[apart > SAME_PLACE_M],
                    rule=f"a chip shows its unit's place, within {SAME_PLACE_M:g} m",
                    fix="give a unit that moved another key, or write another store",
                )
            )
    for name, (old, new) in pairs.items():
        other = ~_equal(old, new)
        if other.any():
            text = f"Chips that are stored had another {name}: {old[other][0]}, now {new[other][0]}."
            raise ImageryError(
                explain(text, where=keys[other.reshape(len(keys), -1).any(axis=1)], fix="write another store")
            )


def _equal(one: Any, two: Any) -> Any:
    return (one == two) | (pd.isna(one) & pd.isna(two))


def _refuse_other_pixels(chips: Chips, part: Path, per_shard: int, keys: Keys) -> None:
    """Raise ImageryError when chips that came one by one are not those stored under their keys."""
    if not len(keys):
        return
    parts = open_parts([(part, per_shard)])
    stored = StoredSource(parts, keys, np.asarray(pd.Index(parts[0].keys).get_indexer(pd.Index(keys))), {})
    other: list[object] = []
    with stored.reading() as read:
        # as many at once as lie in a shard, so that each is decoded about once
        for number, batch in enumerate(chips.batches(size=per_shard, keys=keys)):
            there = np.arange(per_shard * number, per_shard * number + len(batch))
            other += _other_keys(batch, read(there))
    if other:
        raise ImageryError(
            explain(
                f"Chips differ from those stored under their keys in {part}.",
                where=other,
                rule="chips that are stored are kept; appending adds keys",
                fix="leave these keys out, or write another store",
            )
        )


def _other_keys(new: ChipBatch, old: ChipBatch) -> list[object]:
    same = np.ones(len(new), dtype=bool)
    for block, pixels in new.pixels.items():
        kept = old.pixels[block]
        alike = (pixels == kept) | (np.isnan(pixels) & np.isnan(kept))
        same &= alike.reshape(len(new), -1).all(axis=1) & (new.status[block] == old.status[block])
    found: list[object] = new.keys[~same].tolist()
    return found
