"""A folder in which each finished specification is kept, so that a run that was killed goes on.

::

    study.json       the study that the specifications are of
    0f3a....json     the estimate of one specification, by the hash of all that determines it
    lock             process that is writing
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from eocausal._io import hash_content, write_json
from eocausal._provenance import hash_arrays, versions
from eocausal._resumable import RunRecord, one_writer, read_json
from eocausal.embeddings import Embeddings
from eocausal.errors import SensitivityError
from eocausal.inference.estimate import Estimate
from eocausal.nuisance.learners import Learners

_FORMAT = "eocausal.robustness 1"
_RECORD = "study.json"


@dataclass(frozen=True)
class SpecificationStore:
    """The folder of one study; None keeps nothing. The grid may change: what is there already is not made again."""

    folder: Path | None
    study: str

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the folder for one writer; one of another study is refused."""
        if self.folder is None:
            yield
            return
        record = RunRecord(
            self.folder / _RECORD,
            format=_FORMAT,
            run={"study": self.study, "eocausal": versions()["eocausal"]},
            error=SensitivityError,
            kind="specifications of a study",
            same="design and version",
            argument="folder",
        )
        record.read()
        with one_writer(self.folder, error=SensitivityError):
            if record.read() is None:
                record.write()
            yield

    def load(self, key: str) -> Estimate | None:
        """Return a finished estimate, or None when it is absent or damaged."""
        found = None if self.folder is None else read_json(self.folder / f"{key}.json")
        if found is None or found.get("format") != _FORMAT or "estimate" not in found:
            return None
        whole = found.get("hash") == hash_content(found["estimate"])
        return Estimate.from_dict(found["estimate"]) if whole else None

    def save(self, key: str, estimate: Estimate) -> None:
        """Write an estimate, in one step."""
        if self.folder is not None:
            content = estimate.to_dict(scores=True)
            told = {"format": _FORMAT, "hash": hash_content(content), "estimate": content}
            write_json(self.folder / f"{key}.json", told)


def key_of(design: Any, options: Mapping[str, Any], term: str | None) -> str:
    """Return the hash of all that determines an estimate."""
    features = design.table.features if hasattr(design.table, "features") else None
    seen = "" if features is None else hash_arrays(features)
    told = {name: _told(value) for name, value in options.items() if value is not None}
    return hash_content({"design": design.fingerprint, "features": seen, "options": told, "term": term})


def _told(value: Any) -> Any:
    """Return an option as text or numbers that are the same in another session."""
    if isinstance(value, Learners):
        return {**value.describe(), **value.given()}
    if isinstance(value, Embeddings):
        return value.fingerprint
    if isinstance(value, pd.Series):
        return [str(value.name), hash_arrays(value.index.to_numpy(), value.to_numpy())]
    if isinstance(value, Mapping):
        return {str(name): _told(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_told(one) for one in value]
    return value if isinstance(value, int | str) else repr(value)
