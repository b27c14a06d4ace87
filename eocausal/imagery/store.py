"""A folder of chips: written in ranges of keys, continued where a run died, refused where it is damaged.

::

    manifest.json           what the chips were made from; once finished, hashes of all that follows
    zarr.json, ...          a Zarr v3 hierarchy; see _zarr_layout
    <block>/pixels/c/0/...  shards of a fixed range of keys
    ranges/00000.json       hashes of the files of that range, written after them
    part00001/...           the same again, for keys that were appended; see _store_append
    lock                    process that is writing
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import as_folder, require_units
from eocausal._resumable import one_writer
from eocausal.errors import ImageryError, explain
from eocausal.imagery._store_append import append_chips
from eocausal.imagery._store_folder import refuse_foreign, verified_parts
from eocausal.imagery._store_parts import StoredSource, columns, open_parts
from eocausal.imagery._store_write import write_part
from eocausal.imagery._zarr_layout import import_zarr
from eocausal.imagery.batches import Keys, Rows
from eocausal.imagery.chips import Chips
from eocausal.imagery.cut import SAME_PLACE_M
from eocausal.imagery.radiometry import Radiometry

if TYPE_CHECKING:
    from eocausal.units import Units

__all__ = ["open_chips", "write_chips"]


def write_chips(chips: Chips, path: str | Path, *, append: bool = False, progress: bool = True) -> Path:
    """Write chips into a store, or finish or mend one, or add keys; see :meth:`eocausal.Chips.write`."""
    folder = as_folder(path, error=ImageryError)
    import_zarr()
    refuse_foreign(folder)
    with one_writer(folder, error=ImageryError):
        if append:
            append_chips(chips, folder, progress)
        else:
            write_part(chips, folder, chips.source.reading_order(), progress)
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
    require_units(units, error=ImageryError)
    folder = as_folder(path, error=ImageryError)
    import_zarr()
    verified = verified_parts(folder)
    parts = open_parts([(part, int(run["chips_per_shard"])) for part, run in verified])
    about = parts[0].about
    stored = np.concatenate([part.keys for part in parts])
    wanted = np.asarray(pd.unique(units.image_keys))
    rows = _match(wanted, stored, units.image_key, folder)
    places = columns(parts, about["places"])
    said = about["radiometry"]
    _check_same_places(units, wanted, rows, places)
    return Chips(
        keys=wanted,
        key_name=units.image_key,
        blocks=tuple(about["blocks"]),
        bands=tuple(about["bands"]),
        date=max((part.about["date"] for part in parts if part.about["date"] is not None), default=None),
        frames=tuple(about["frames"]),
        units=units,
        pixel_unit=about["pixel_unit"],
        radiometry=None if said is None else Radiometry(said.pop("unit"), **said),
        source=StoredSource(parts, wanted, rows, places),
    )


def _match(wanted: Keys, stored: Keys, name: str, folder: Path) -> Rows:
    rows: Rows = pd.Index(stored).get_indexer(pd.Index(wanted))
    if (rows < 0).all():
        shown = [f"{', '.join(map(repr, keys[:5].tolist()))}" for keys in (wanted, stored)]
        text = f"No chip in {folder} has a key of the units: {name!r} has {shown[0]}, the store {shown[1]}."
        raise ImageryError(explain(text, fix="Keys must be written alike; numbers and text differ."))
    return rows


def _check_same_places(
    units: Units, wanted: Keys, rows: Rows, places: dict[str, npt.NDArray[np.float64]]
) -> None:
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
