"""The state of a store's folder: whose it is, which parts and ranges are whole, what is damaged.

A store is one part, the folder itself, and one more for each time that keys were appended, ``part00001`` and so on
inside it. Parts are alike and complete in themselves; the manifest of the folder says how many there are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eocausal._io import hash_content, hash_file, write_json
from eocausal._resumable import LOCK, changes, read_json
from eocausal.errors import ImageryError, explain
from eocausal.imagery._zarr_layout import read_keys
from eocausal.imagery.batches import Keys

FORMAT = "eocausal chips 1"
_MANIFEST, _ROOT = "manifest.json", "zarr.json"
_PART = re.compile(r"part(\d{5})")


def record_path(folder: Path, number: int) -> Path:
    return folder / "ranges" / f"{number:05d}.json"


def part_path(folder: Path, number: int) -> Path:
    """Return the folder of a part; the first is the store's own folder."""
    return folder / f"part{number:05d}" if number else folder


def parts_begun(folder: Path) -> list[Path]:
    """Return the folders of all parts up to the last that is there, finished or not."""
    found = [_PART.fullmatch(path.name) for path in folder.glob("part*")]
    last = max((int(match[1]) for match in found if match), default=0)
    return [part_path(folder, number) for number in range(last + 1)]


def call_again(folder: Path) -> str:
    """Return the call that continues or mends a part."""
    if _PART.fullmatch(folder.name) and (folder.parent / _MANIFEST).is_file():
        return f"chips.write({str(folder.parent)!r}, append=True)"
    return f"chips.write({str(folder)!r})"


def fault(folder: Path, number: int, expected: dict[str, Any]) -> Path | None:
    """Return the first file of a range that is absent, damaged or of another run, or None."""
    path = record_path(folder, number)
    record = read_json(path)
    if record is None or any(record.get(name) != value for name, value in expected.items()):
        return path
    files: Any = record.get("files")
    if not isinstance(files, dict) or not files:
        return path
    for name, sha256 in files.items():
        if not (folder / name).is_file() or hash_file(folder / name) != sha256:
            return Path(folder, name)
    return None


def verified_parts(folder: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Return folder and run of each part of a finished store, every file of which has its hash.

    Raises ImageryError when it is no store, not finished, or damaged.
    """
    first = (folder, verified_run(folder))
    manifest = read_manifest(folder) or {}
    found = [first]
    for number, sha256 in enumerate(manifest.get("parts", ()), start=1):
        part = part_path(folder, number)
        path = part / _MANIFEST
        if not path.is_file() or hash_file(path) != sha256:
            text = f"{path}, which describes chips that were appended, is damaged or gone."
            fix = f"{call_again(part)}, with the chips that were appended, mends it"
            raise ImageryError(explain(text, rule="it has the hash it was written with", fix=fix))
        found.append((part, verified_run(part)))
    return found


def verified_run(folder: Path) -> dict[str, Any]:
    """Return the run of a finished part in which every file has its hash, else raise ImageryError."""
    if not (folder / _MANIFEST).is_file():
        text = f"{str(folder)!r} is not a store of chips: it has no {_MANIFEST}."
        raise ImageryError(
            explain(text, fix="chips.write(path) makes one; ec.chips(units, rasters) cuts chips")
        )
    manifest = read_manifest(folder)
    again = call_again(folder)
    if manifest is None:
        text = f"{folder / _MANIFEST} is damaged."
        raise ImageryError(explain(text, rule="it has the hash it was written with", fix=f"{again} mends it"))
    run: dict[str, Any] = manifest["run"]
    count, per_shard = int(run["chips"]["keys"]["count"]), int(run["chips_per_shard"])
    numbers = range(-(-count // per_shard))
    if "ranges" not in manifest:
        raise ImageryError(_unfinished(folder, count, per_shard))
    lost = _lost_header(folder, manifest)
    if lost is not None:
        text = f"{folder / lost}, which describes all chips of the store, is damaged or gone."
        raise ImageryError(explain(text, rule="every file has its hash", fix=f"{again} mends it"))
    keys = _keys(folder)
    for number in numbers:
        path: Path | None = record_path(folder, number)
        if path is not None and path.is_file() and hash_file(path) == manifest["ranges"][number]:
            path = fault(folder, number, {})
        if path is not None:
            those = keys[number * per_shard : (number + 1) * per_shard]
            raise ImageryError(damage(folder, number, those, path, "is damaged or gone"))
    return run


def keys_of_finished(folder: Path) -> Keys | None:
    """Return the keys of a part, in its order; None when it is not finished or what describes it is damaged."""
    manifest = read_manifest(folder)
    if manifest is None or "ranges" not in manifest or _lost_header(folder, manifest) is not None:
        return None
    return _keys(folder)


def _keys(folder: Path) -> Keys:
    return read_keys(json.loads((folder / _ROOT).read_text(encoding="utf-8"))["attributes"])


def _lost_header(folder: Path, manifest: dict[str, Any]) -> str | None:
    for name, sha256 in manifest["header"].items():
        if not (folder / name).is_file() or hash_file(folder / name) != sha256:
            return str(name)
    return None


def _unfinished(folder: Path, count: int, per_shard: int) -> str:
    total = -(-count // per_shard)
    missing = [number for number in range(total) if not record_path(folder, number).is_file()]
    first = missing[0] if missing else total - 1
    attributes = (read_json(folder / _ROOT) or {}).get("attributes", {})
    return explain(
        f"The store {folder} is not finished: {total - len(missing)} of {total} ranges are written; range "
        f"{first} is not sealed.",
        where=attributes.get("keys", [])[first * per_shard : (first + 1) * per_shard],
        rule="only a finished store is opened",
        fix=f"{call_again(folder)}, with the chips it was made from, continues it",
    )


def damage(folder: Path, number: int, keys: Keys, file: Path, what: str) -> str:
    name = file.relative_to(folder).as_posix()
    return explain(
        f"Range {number} of the store {folder} cannot be used: {name} {what}.",
        where=keys,
        rule="every file of a store has the hash recorded for it",
        fix=f"{call_again(folder)}, with the chips it was made from, writes this range again",
    )


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Return the manifest, or None when there is none or it has not the hash that it was written with."""
    path = folder / _MANIFEST
    manifest = read_json(path)
    if manifest is None or path.read_text(encoding="utf-8") != json.dumps(manifest, indent=2) + "\n":
        return None
    body = {name: part for name, part in manifest.items() if name != "sha256"}
    return body if manifest.get("sha256") == hash_content(body) and body.get("format") == FORMAT else None


def write_manifest(folder: Path, body: dict[str, Any]) -> None:
    write_json(folder / _MANIFEST, {**body, "sha256": hash_content(body)})


def known_parts(folder: Path, manifest: dict[str, Any] | None) -> list[str]:
    """Return what the manifest says of appended parts, or, where it is lost, what the finished ones on disk say."""
    if manifest is not None:
        return list(manifest.get("parts", ()))
    parts = parts_begun(folder)[1:]
    while parts and "ranges" not in (read_manifest(parts[-1]) or {}):
        parts.pop()
    return sealed(parts)


def sealed(parts: Sequence[Path]) -> list[str]:
    """Return the hashes of the manifests of appended parts."""
    return [hash_file(part / _MANIFEST) if (part / _MANIFEST).is_file() else "" for part in parts]


def refuse_foreign(folder: Path) -> None:
    """Raise ImageryError when a path is a file, or a folder that holds something else than a store."""
    if folder.exists() and not folder.is_dir():
        text = f"{str(folder)!r} is a file."
        raise ImageryError(
            explain(text, rule="a store is a folder", fix=f"{str(folder.with_suffix('.zarr'))!r}")
        )
    names = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
    own = {name for name in names if name.startswith((LOCK, f".{_MANIFEST}."))}
    if names - own and read_manifest(folder) is None and not {_MANIFEST, _ROOT} <= names:
        raise ImageryError(
            explain(
                f"Folder {str(folder)!r} holds something else than a store of chips.",
                where=sorted(names),
                rule="a store has a folder of its own",
                fix=f"chips.write({str(folder / 'chips.zarr')!r})",
            )
        )


def refuse_other_run(folder: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Raise ImageryError when a part was begun with other chips."""
    changed = changes(old, new)
    if not changed:
        return
    fix = f"give another path, or delete {folder} to start again"
    if "chips.keys.hash" in {line.split(":")[0] for line in changed}:
        fix += f"; chips.write({str(folder)!r}, append=True) adds keys to a finished store"
    if call_again(folder).endswith("append=True)"):
        fix = f"append first what was begun, or delete {folder} to give it up"
    raise ImageryError(
        explain(
            f"The store {folder} holds other chips, so it cannot be continued.",
            where=changed,
            rule="a store continues only with the same rasters, units, sizes, bands and versions",
            fix=fix,
        )
    )
