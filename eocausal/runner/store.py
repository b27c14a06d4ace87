"""A folder that a run can be killed in: shards with hashes, the fitted encoder, a manifest, and a lock.

::

    manifest.json         the run key, and once finished the hash of embeddings.parquet
    encoder.safetensors   what the encoder learned, with its hash in encoder.json
    part-00000.parquet    features of a fixed range of keys, with its hash in part-00000.json
    embeddings.parquet    all of them
    lock                  process that is writing

A file counts only when its bytes have the hash recorded beside it, and the record is written after the
file; so whatever moment a run dies at, the next one finds whole files or none.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from eocausal._io import hash_file, write_atomically, write_json
from eocausal._provenance import hash_arrays
from eocausal.embeddings import Embeddings, read_embeddings
from eocausal.encoders.protocol import State
from eocausal.errors import EmbeddingsError, explain

FORMAT_VERSION = 1
_MANIFEST, _RESULT, _LOCK, _STATE = "manifest.json", "embeddings.parquet", "lock", "encoder.safetensors"
_held: set[Path] = (
    set()
)  # folders this process is writing in: its own number in a lock may also be a dead namesake's


@dataclass(frozen=True)
class Store:
    """One run's folder; ``run`` is all that determines its bytes, ``notes`` say what had to be made again."""

    folder: Path
    run: Mapping[str, Any]
    notes: list[str] = field(default_factory=list)

    def finished(self) -> Embeddings | None:
        """Return the result when the folder holds a finished run of this key; another key is refused."""
        manifest = self._manifest()
        if manifest is None:
            return None
        _refuse_other_run(self.folder, manifest["run"], self.run)
        if "sha256" not in manifest:
            return None
        return self._verified_table(self.folder / _RESULT, manifest["sha256"])

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the folder for one writer, and record the run key before anything else."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EmbeddingsError(explain(f"out={str(self.folder)!r} cannot be made: {error}")) from error
        with _locked(self.folder):
            for leftover in self.folder.glob(".*.partial"):
                leftover.unlink()
            if self._manifest() is None:
                write_json(self.folder / _MANIFEST, {"format": FORMAT_VERSION, "run": dict(self.run)})
            yield

    def load_part(self, number: int, keys: npt.NDArray[Any]) -> Embeddings | None:
        """Return a finished shard, or None when it is absent or damaged."""
        path = self._part(number)
        record = _read_json(path.with_suffix(".json"))
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
        record = _read_json(path.with_suffix(".json"))
        if record is None:
            return None
        if not path.is_file() or hash_file(path) != record.get("sha256"):
            self.notes.append(f"{path.name} was damaged and the encoder is fitted again")
            return None
        state: State = load_file(path)
        return state

    def save_state(self, state: State) -> None:
        """Write what the encoder learned, then its record."""
        from safetensors.numpy import save_file

        arrays = {name: np.ascontiguousarray(array) for name, array in state.items()}
        path = write_atomically(self.folder / _STATE, lambda temporary: save_file(arrays, temporary))
        write_json(path.with_suffix(".json"), {"sha256": hash_file(path)})

    def seal(self, result: Embeddings) -> None:
        """Write the result, then mark the run as finished."""
        path = result.write(self.folder / _RESULT)
        manifest = {"format": FORMAT_VERSION, "run": dict(self.run), "sha256": hash_file(path)}
        write_json(self.folder / _MANIFEST, {**manifest, "notes": self.notes})

    def _part(self, number: int) -> Path:
        return self.folder / f"part-{number:05d}.parquet"

    def _verified_table(self, path: Path, sha256: str) -> Embeddings | None:
        if not path.is_file() or hash_file(path) != sha256:
            self.notes.append(f"{path.name} was damaged and is made again")
            return None
        return read_embeddings(path, key=self.run["keys"]["name"])

    def _manifest(self) -> dict[str, Any] | None:
        if self.folder.exists() and not self.folder.is_dir():
            raise EmbeddingsError(
                explain(
                    f"out={str(self.folder)!r} is a file.",
                    rule="out is a folder that embed fills",
                    fix=f"out={str(self.folder.with_suffix('')) + '_store'!r}",
                )
            )
        if not (self.folder / _MANIFEST).is_file():
            return None
        manifest = _read_json(self.folder / _MANIFEST)
        if manifest is None or manifest.get("format") != FORMAT_VERSION or "run" not in manifest:
            raise EmbeddingsError(
                explain(
                    f"{self.folder / _MANIFEST} is not a manifest of format {FORMAT_VERSION}.",
                    rule="a run continues only in a folder of its own",
                    fix="give another folder as out=, or delete this one",
                )
            )
        return manifest


def _refuse_other_run(folder: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    before, after = _flat(old), _flat(new)
    changed = [
        f"{name}: {before.get(name, 'absent')} -> {after.get(name, 'absent')}"
        for name in sorted({*before, *after})
        if before.get(name, "absent") != after.get(name, "absent")
    ]
    if changed:
        raise EmbeddingsError(
            explain(
                f"The run in {folder} was made from something else, so it cannot be continued.",
                where=changed,
                rule="a run continues only with the same chips, encoder, fit_keys, device and versions",
                fix=f"give another folder as out=, or delete {folder} to start again",
            )
        )


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested content as dotted names and their JSON text."""
    flat: dict[str, str] = {}
    for name, value in content.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = json.dumps(value)
    return flat


def _read_json(path: Path) -> dict[str, Any] | None:
    """Return the content of a JSON file, or None when there is none or it is not a JSON object."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, UnicodeDecodeError, json.JSONDecodeError):
        return None
    return content if isinstance(content, dict) else None


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    path = folder.resolve() / _LOCK
    while not _create(path):
        _refuse_living(path)
        aside = path.with_name(f"{_LOCK}.{os.getpid()}.stale")
        try:
            os.replace(path, aside)
        except FileNotFoundError:
            continue  # another run took it over first, or its writer has just finished
        aside.unlink()
    _held.add(path)
    try:
        yield
    finally:
        _held.discard(path)
        path.unlink(missing_ok=True)


def _create(path: Path) -> bool:
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        return False
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        json.dump({"pid": os.getpid(), "host": socket.gethostname()}, stream)
    return True


def _refuse_living(path: Path) -> None:
    """Raise when the process that holds a lock may still be at work."""
    holder = _read_json(path)
    if holder is None and path.exists():
        time.sleep(0.5)  # it may have been created a moment ago and not been written yet
        holder = _read_json(path)
    if holder is None:
        return
    pid, host = int(holder.get("pid", -1)), holder.get("host")
    if path in _held or host != socket.gethostname() or (pid != os.getpid() and _alive(pid)):
        raise EmbeddingsError(
            explain(
                f"Process {pid} on {host} is writing in {path.parent}.",
                rule="one writer a folder",
                fix=f"wait for it, or, if it is not a run of eocausal, delete {path}",
            )
        )


def _alive(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
