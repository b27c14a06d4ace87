"""A folder that a run can be killed in: shards with hashes, the fitted encoder, a manifest, and a lock.

::

    manifest.json         the run key, and once finished the hash of embeddings.parquet
    encoder.safetensors   what the encoder learned, with its hash in encoder.json
    part-00000.parquet    features of a fixed range of the reading order, with its hash in part-00000.json
    embeddings.parquet    all of them
    lock                  process that is writing

A file counts only when its bytes have the hash recorded beside it, and the record is written after the
file; so whatever moment a run dies at, the next one finds whole files or none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from eocausal._io import hash_file, write_bytes, write_json
from eocausal._provenance import hash_arrays
from eocausal._resumable import RunRecord, one_writer, read_json
from eocausal.embeddings import Embeddings, read_embeddings
from eocausal.encoding.protocol import State
from eocausal.errors import EmbeddingsError

FORMAT_VERSION = 1
_MANIFEST, _RESULT, _STATE = "manifest.json", "embeddings.parquet", "encoder.safetensors"


@dataclass(frozen=True)
class Store:
    """One run's folder; ``run`` is all that determines its bytes, ``notes`` say what had to be made again."""

    folder: Path
    run: Mapping[str, Any]
    notes: list[str] = field(default_factory=list)

    def finished(self) -> Embeddings | None:
        """Return the result when the folder holds a finished run of this key; another key is refused."""
        manifest = self._record().read()
        if manifest is None or "sha256" not in manifest:
            return None
        return self._verified_table(self.folder / _RESULT, manifest["sha256"])

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the folder for one writer, and record the run key before anything else."""
        with one_writer(self.folder, error=EmbeddingsError):
            if self._record().read() is None:
                self._record().write()
            yield

    def load_part(self, number: int, keys: npt.NDArray[Any]) -> Embeddings | None:
        """Return a finished shard, or None when it is absent or damaged."""
        path = self._part(number)
        record = read_json(path.with_suffix(".json"))
        if record is None:
            return None
        if record.get("keys") != hash_arrays(keys):
            self.notes.append(f"{path.name} is of other keys and is computed again")
            return None
        return self._verified_table(path, str(record.get("sha256")))

    def save_part(self, number: int, part: Embeddings) -> None:
        """Write a shard, then its record."""
        path = part.write(self._part(number))
        write_json(path.with_suffix(".json"), {"sha256": hash_file(path), "keys": hash_arrays(part.keys)})

    def load_state(self) -> State | None:
        """Return what the encoder learned, or None when it is absent or damaged."""
        from safetensors.numpy import load_file

        path = self.folder / _STATE
        record = read_json(path.with_suffix(".json"))
        if record is None:
            return None
        if not path.is_file() or hash_file(path) != record.get("sha256"):
            self.notes.append(f"{path.name} was damaged and the encoder is fitted again")
            return None
        state: State = load_file(path)
        return state

    def save_state(self, state: State) -> None:
        """Write what the encoder learned, then its record."""
        from safetensors.numpy import save

        arrays = {name: np.ascontiguousarray(array) for name, array in state.items()}
        # not save_file: it writes through a temporary file of its own, which a kill would leave behind
        content = save(arrays)
        path = write_bytes(self.folder / _STATE, content)
        write_json(path.with_suffix(".json"), {"sha256": hash_file(path)})

    def seal(self, result: Embeddings) -> None:
        """Write the result, then mark the run as finished."""
        path = result.write(self.folder / _RESULT)
        self._record().write(sha256=hash_file(path), notes=self.notes)

    def _record(self) -> RunRecord:
        return RunRecord(
            self.folder / _MANIFEST,
            format=FORMAT_VERSION,
            run=self.run,
            error=EmbeddingsError,
            kind="a run of embed",
            same="chips, encoder, fit_keys, device and versions",
        )

    def _part(self, number: int) -> Path:
        return self.folder / f"part-{number:05d}.parquet"

    def _verified_table(self, path: Path, sha256: str) -> Embeddings | None:
        if not path.is_file() or hash_file(path) != sha256:
            self.notes.append(f"{path.name} was damaged and is made again")
            return None
        return read_embeddings(path, key=self.run["keys"]["name"])
