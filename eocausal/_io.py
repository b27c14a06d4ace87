"""Files: atomic writes and content hashes.

A reader never sees half a file: every write goes to a temporary name in the same folder, is flushed to
disk, and then replaces the target in one step.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def write_atomically(path: str | Path, write: Callable[[Path], None]) -> Path:
    """Write a file through ``write(temporary_path)`` and move it into place.

    Parameters
    ----------
    path : str or Path
        The file to make; missing folders are made.
    write : callable
        Called with a temporary path in the same folder; must leave a finished file there.

    Returns
    -------
    Path
        The finished file.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".partial")
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        with temporary.open("rb+") as finished:
            os.fsync(finished.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return target


def write_text(path: str | Path, text: str) -> Path:
    """Write UTF-8 text atomically."""
    return write_atomically(path, lambda temporary: _put_text(temporary, text))


def write_bytes(path: str | Path, content: bytes) -> Path:
    """Write bytes atomically."""
    return write_atomically(path, lambda temporary: _put_bytes(temporary, content))


def write_json(path: str | Path, content: Mapping[str, Any]) -> Path:
    """Write JSON atomically; NaN and infinities are refused because JSON has none."""
    return write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def hash_file(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def hash_content(content: Any) -> str:
    """Return a short hash of JSON-like content, the same for equal content in any key order.

    Examples
    --------
    >>> hash_content({"a": 1, "b": 2}) == hash_content({"b": 2, "a": 1})
    True
    """
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _put_bytes(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _put_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
