"""The folder of a training that can be killed: what it is of, the state after each epoch, and what came of it.

::

    run.json                  the run key, and once finished the hashes of the files below and the losses
    epoch-00012.safetensors   network and optimiser after that epoch; its hash and the losses in epoch-00012.json
    weights/                  config.json and model.safetensors of the finished encoder
    encoder.yaml              its specification
    lock                      process that is writing

The state of an epoch counts only when its bytes have the hash that is recorded beside it, and the one before it is
deleted after that; so whatever moment a run dies at, the last finished epoch is there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eocausal._io import hash_file, write_bytes, write_json, write_text
from eocausal._resumable import RunRecord, one_writer, read_json
from eocausal.errors import EncoderError, explain

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["SPEC", "WEIGHTS", "RunFolder"]

FORMAT_VERSION = 1
SPEC, WEIGHTS = "encoder.yaml", "weights"
_MANIFEST = "run.json"
_LIBRARY = ".library"
_MADE = (SPEC, f"{WEIGHTS}/config.json", f"{WEIGHTS}/model.safetensors")


@dataclass(frozen=True)
class RunFolder:
    """One training's folder; ``run`` is all that determines its bytes, ``notes`` say what had to be made again."""

    folder: Path
    run: Mapping[str, Any]
    notes: list[str] = field(default_factory=list)

    def finished(self) -> dict[str, Any] | None:
        """Return what is told of a finished training of this key; the folder of another one is refused."""
        manifest = self._manifest()
        if manifest is None:
            return None
        if "sha256" not in manifest:
            return None
        damaged = [name for name, known in manifest["sha256"].items() if self._hash(name) != known]
        if damaged:
            self.notes.append(f"{', '.join(damaged)} was damaged and is made again")
            return None
        found: dict[str, Any] = manifest["told"]
        return found

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the folder for one writer, and record the run key before anything else."""
        with one_writer(self.folder, error=EncoderError):
            if self._manifest() is None:
                self._record().write()
            self._clear()  # what a killed run was about to write
            try:
                yield
            finally:
                self._clear()

    def load(self) -> tuple[dict[str, Tensor], list[dict[str, Any]]] | None:
        """Return the state after the last finished epoch and the losses so far, or None at the beginning."""
        from safetensors.torch import load

        for path in sorted(self.folder.glob("epoch-*.safetensors"), reverse=True):
            record = read_json(path.with_suffix(".json"))
            if record is None:
                continue  # killed between the two files: the epoch before is still there
            if hash_file(path) == record.get("sha256"):
                return load(path.read_bytes()), list(record["history"])
            self.notes.append(f"{path.name} was damaged and is not used")
        return None

    def save(self, epoch: int, state: Mapping[str, Tensor], history: list[dict[str, Any]]) -> None:
        """Write the state after an epoch, then its record; then delete those before."""
        from safetensors.torch import save

        path = self.folder / f"epoch-{epoch:05d}.safetensors"
        content = save({name: tensor.detach().cpu().contiguous() for name, tensor in state.items()})
        write_bytes(path, content)
        write_json(path.with_suffix(".json"), {"sha256": hash_file(path), "history": history})
        self._forget(path)

    def seal(self, encoder: Any, spec: str, told: Mapping[str, Any]) -> None:
        """Write the encoder and its specification, mark the training as finished, and delete its states."""
        made = self.folder / _LIBRARY
        with _no_bars():
            # the library writes the names of parts that its versions agree on
            encoder.save_pretrained(made)
        for name in _MADE[1:]:
            write_bytes(self.folder / name, (made / Path(name).name).read_bytes())
        write_text(self.folder / SPEC, spec)
        hashes = {name: self._hash(name) for name in _MADE}
        self._record().write(sha256=hashes, told=dict(told))
        self._forget(None)

    def _clear(self) -> None:
        """Delete what is there only while a run is at work: pictures, and what the library writes."""
        import shutil

        for leftover in self.folder.glob(".*.partial"):
            leftover.unlink(missing_ok=True)
        if (self.folder / _LIBRARY).is_dir():
            shutil.rmtree(self.folder / _LIBRARY)

    def _forget(self, kept: Path | None) -> None:
        """Delete the states of epochs but one; first the record, without which a state does not count."""
        for path in self.folder.glob("epoch-*.safetensors"):
            if path != kept:
                path.with_suffix(".json").unlink(missing_ok=True)
                path.unlink()

    def _hash(self, name: str) -> str:
        path = self.folder / name
        return hash_file(path) if path.is_file() else ""

    def _record(self) -> RunRecord:
        return RunRecord(
            self.folder / _MANIFEST,
            format=FORMAT_VERSION,
            run=self.run,
            error=EncoderError,
            kind="a run of pretrain",
            same="chips, keys, settings, seed and versions",
        )

    def _manifest(self) -> dict[str, Any] | None:
        found = self._record().read()
        there = [name for name in _MADE if (self.folder / name).exists()]
        if found is None and there:
            raise EncoderError(
                explain(
                    f"{self.folder} holds an encoder that was not made by this call.",
                    where=there,
                    rule="nothing is written over",
                    fix="give another folder as out=",
                )
            )
        return found


@contextmanager
def _no_bars() -> Iterator[None]:
    """Write without the library's bars, which are left as they were."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
