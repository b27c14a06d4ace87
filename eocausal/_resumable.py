"""What folders share that a run can be killed in: one writer, and a run key that must not change."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eocausal._io import write_json
from eocausal.errors import EocausalError, explain

LOCK = "lock"
_held: set[Path] = (
    set()
)  # folders this process is writing in: its own number in a lock may also be a dead namesake's


@contextmanager
def one_writer(folder: Path, *, error: type[EocausalError]) -> Iterator[None]:
    """Make the folder and hold it for one writer; what a killed one left half written is removed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as cause:
        raise error(explain(f"Folder {str(folder)!r} cannot be made: {cause}")) from cause
    with _locked(folder, error):
        for leftover in folder.rglob(".*.partial"):
            leftover.unlink()
        yield


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the content of a JSON file, or None when there is none or it is not a JSON object."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, UnicodeDecodeError, json.JSONDecodeError):
        return None
    return content if isinstance(content, dict) else None


@dataclass(frozen=True)
class RunRecord:
    """The file of a folder that says what its run is of; a run continues only where that has not changed.

    ``kind`` is what the folder is of, for errors, ``same`` what must be the same for a run to continue, and
    ``argument`` what the verb calls the folder.
    """

    path: Path
    format: int | str
    run: Mapping[str, Any]
    error: type[EocausalError]
    kind: str
    same: str
    argument: str = "out"

    def read(self) -> dict[str, Any] | None:
        """Return what is recorded, None where nothing is; what is no record, or of another run, is refused."""
        folder = self.path.parent
        if folder.exists() and not folder.is_dir():
            fix = f"{self.argument}={str(folder.with_suffix('')) + '_store'!r}"
            text, rule = f"{self.argument}={str(folder)!r} is a file.", f"{self.argument} is a folder"
            raise self.error(explain(text, rule=rule, fix=fix))
        if not self.path.is_file():
            return None
        found = read_json(self.path)
        if found is None or found.get("format") != self.format or "run" not in found:
            raise self.error(
                explain(
                    f"{self.path} is not of {self.kind} of format {self.format}.",
                    rule="a run continues only in a folder of its own",
                    fix=f"give another folder as {self.argument}=, or delete this one",
                )
            )
        changed = changes(found["run"], self.run)
        if changed:
            raise self.error(
                explain(
                    f"The run in {folder} was made from something else, so it cannot be continued.",
                    where=changed,
                    rule=f"a run continues only with the same {self.same}",
                    fix=f"give another folder as {self.argument}=, or delete {folder} to start again",
                )
            )
        return found

    def write(self, **more: Any) -> None:
        """Record the run, and what is known of it once it has finished."""
        write_json(self.path, {"format": self.format, "run": dict(self.run), **more})


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return one line for each field, by its dotted name, in which two run keys differ.

    Examples
    --------
    >>> changes({"encoder": {"seed": 0}}, {"encoder": {"seed": 1}})
    ['encoder.seed: 0 -> 1']
    """
    before, after = _flat(old), _flat(new)
    return [
        f"{name}: {before.get(name, 'absent')} -> {after.get(name, 'absent')}"
        for name in sorted({*before, *after})
        if before.get(name, "absent") != after.get(name, "absent")
    ]


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested content as dotted names and their JSON text."""
    flat: dict[str, str] = {}
    for name, value in content.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = json.dumps(value)
    return flat


@contextmanager
def _locked(folder: Path, error: type[EocausalError]) -> Iterator[None]:
    path = folder.resolve() / LOCK
    while not _create(path):
        _refuse_living(path, error)
        aside = path.with_name(f"{LOCK}.{os.getpid()}.stale")
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


def _refuse_living(path: Path, error: type[EocausalError]) -> None:
    """Raise when the process that holds a lock may still be at work."""
    holder = read_json(path)
    if holder is None and path.exists():
        time.sleep(0.5)  # it may have been created a moment ago and not been written yet
        holder = read_json(path)
    if holder is None:
        return
    pid, host = int(holder.get("pid", -1)), holder.get("host")
    if path in _held or host != socket.gethostname() or (pid != os.getpid() and _alive(pid)):
        raise error(
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
