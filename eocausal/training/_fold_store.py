"""A folder in which each finished fold of a run is kept, so that a run that was killed goes on.

::

    manifest.json           all that determines the numbers
    fold-00.safetensors     what the network of a fold said, with its hash in fold-00.json
    lock                    process that is writing
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from eocausal._io import hash_file, write_bytes, write_json
from eocausal._resumable import RunRecord, one_writer, read_json
from eocausal.errors import EstimationError

Arrays = dict[str, npt.NDArray[Any]]

_FORMAT = "eocausal.finetune 1"
_MANIFEST = "manifest.json"


@dataclass(frozen=True)
class FoldStore:
    """The folder of one run; ``run`` is all that determines its numbers."""

    folder: Path
    run: Mapping[str, Any]

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the folder for one writer; the run of another key is refused."""
        record = RunRecord(
            self.folder / _MANIFEST,
            format=_FORMAT,
            run=self.run,
            error=EstimationError,
            kind="a run of finetune",
            same="units, chips, network, folds, seed and versions",
        )
        record.read()
        with one_writer(self.folder, error=EstimationError):
            if record.read() is None:
                record.write()
            yield

    def load(self, fold: int) -> Arrays | None:
        """Return a finished fold, or None when it is absent or damaged."""
        from safetensors.numpy import load_file

        path = self._path(fold)
        record = read_json(path.with_suffix(".json"))
        if record is None or not path.is_file() or hash_file(path) != record.get("sha256"):
            return None
        found: Arrays = load_file(path)
        return found

    def save(self, fold: int, arrays: Arrays) -> None:
        """Write a fold, then its hash; what lacks its hash does not count."""
        from safetensors.numpy import save

        content = save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
        path = write_bytes(self._path(fold), content)
        write_json(path.with_suffix(".json"), {"sha256": hash_file(path)})

    def _path(self, fold: int) -> Path:
        return self.folder / f"fold-{fold:02d}.safetensors"
