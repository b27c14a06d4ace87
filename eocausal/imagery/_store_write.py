"""Write one part of a store: range by range, so that a run that dies loses no range that was finished."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eocausal import __version__
from eocausal._io import hash_content, hash_file, write_bytes, write_json
from eocausal._provenance import hash_arrays
from eocausal.imagery._store_folder import (
    FORMAT,
    fault,
    known_parts,
    read_manifest,
    record_path,
    refuse_other_run,
    write_manifest,
)
from eocausal.imagery._zarr_layout import Encoder, Layout, lay_out
from eocausal.imagery.batches import Keys, Rows

if TYPE_CHECKING:
    from eocausal.imagery.chips import Chips


def write_part(chips: Chips, folder: Path, rows: Rows, progress: bool) -> None:
    """Write the chips at ``rows``, in that order, or finish or mend what was written of them."""
    layout = lay_out(chips, len(rows))
    run = run_of(chips, layout, rows)
    manifest = read_manifest(folder)
    parts = known_parts(folder, manifest)
    appended = {"parts": parts} if parts else {}
    if manifest is None:
        write_manifest(folder, {"format": FORMAT, "run": run, **appended})
    else:
        refuse_other_run(folder, manifest["run"], run)
    encoder = Encoder(chips, layout, rows)
    for name, content in encoder.header.items():
        _write_where_different(folder / name, content)
    _write_ranges(_Job(folder, chips, chips.keys[rows], layout, encoder, hash_content(run)), progress)
    header = {name: hashlib.sha256(content).hexdigest() for name, content in encoder.header.items()}
    records = [hash_file(record_path(folder, number)) for number in range(len(layout.ranges()))]
    write_manifest(folder, {"format": FORMAT, "run": run, "header": header, "ranges": records, **appended})


def run_of(chips: Chips, layout: Layout, rows: Rows) -> dict[str, Any]:
    """Return all that determines the bytes of a part with the chips at ``rows``."""
    packages = {name: metadata.version(name) for name in ("zarr", "rasterio")}
    places, keys = chips.source.places(), chips.keys[rows]
    run = {
        "chips": {
            **chips.recipe(),
            "keys": {"name": chips.key_name, "count": len(rows), "hash": hash_keys(keys)},
            "places": hash_arrays(*(places[column][rows] for column in sorted(places))),
        },
        "blocks": list(chips.blocks),
        "frames": list(chips.frames),
        "shapes": {block: list(shape) for block, shape in layout.shapes.items()},
        "chips_per_shard": layout.per_shard,
        "versions": {"eocausal": __version__, **packages},
    }
    copied: dict[str, Any] = json.loads(json.dumps(run))
    return copied


def hash_keys(keys: Keys) -> str:
    """Return the hash of keys, the same whether or not longer ones stood beside them."""
    return hash_arrays(np.asarray(keys.tolist()))


@dataclass(frozen=True, eq=False)
class _Job:
    """One call of ``write``: chips of ``keys``, in the order of the part; ``run`` is the hash of the run key."""

    folder: Path
    chips: Chips
    keys: Keys
    layout: Layout
    encoder: Encoder
    run: str

    def expected(self, number: int) -> dict[str, str]:
        """Return what the record of a range must say."""
        return {"run": self.run, "keys": hash_keys(self.keys[self.layout.ranges()[number]])}


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
        write_bytes(path, content)
