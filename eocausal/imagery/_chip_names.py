"""Which file holds which chip, by its name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from eocausal.errors import ImageryError, explain
from eocausal.imagery.batches import Keys

FLAT, IN_BLOCKS = "{key}.tif", "{block}/{key}.tif"
_FIELD = re.compile(r"\{(key|block)\}")


@dataclass(frozen=True)
class ChipNames:
    """Files by block and by key as text; the block is ``""`` where names do not tell one."""

    folder: Path
    name: str
    files: Mapping[str, Mapping[str, Path]]

    @property
    def blocks(self) -> tuple[str, ...]:
        """Names of the blocks, smaller numbers first."""
        return tuple(sorted(self.files, key=_number_first))

    def of_keys(self, keys: Keys, key_name: str) -> tuple[dict[str, tuple[Path | None, ...]], int]:
        """Return the file of each key by block, None where there is none, and how many files have no key."""
        wanted = [str(key) for key in keys.tolist()]
        found = {block: tuple(self.files[block].get(key) for key in wanted) for block in self.blocks}
        used = {block: [file for file in files if file is not None] for block, files in found.items()}
        if not any(used.values()):
            some = next(iter(self.files.values()))
            shown = ", ".join(repr(key) for key in wanted[:5]), ", ".join(map(repr, sorted(some)[:5]))
            raise ImageryError(
                explain(
                    f"No file in {str(self.folder)!r} has a key of the units: {key_name!r} has {shown[0]}, the "
                    f"names {shown[1]}.",
                    rule=f"files are called {self.name}",
                    fix='say how they are called: name="chip_{key}.tif"',
                )
            )
        idle = sum(len(files) for files in self.files.values()) - sum(map(len, used.values()))
        # a block of which no unit has a file is not among the sizes
        return {block: found[block] for block in found if used[block]}, idle


def find_files(folder: Path, name: str | None) -> ChipNames:
    """Return the chips in a folder whose files are called ``name``."""
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "is not there"
        fix = (
            "name the folder, and how its files are called: chips_from_files(units, folder, name='{key}.tif')"
        )
        raise ImageryError(explain(f"The folder {str(folder)!r} {what}.", fix=fix))
    if name is not None:
        _check_name(name)
    flat = _matching(folder, name if name is not None else FLAT)
    found = flat if flat or name is not None else _matching(folder, IN_BLOCKS)
    if not found:
        tried = name if name is not None else f"{FLAT} or {IN_BLOCKS}"
        entries = sorted(entry.name for entry in folder.iterdir())
        fix = 'say how they are called: name="chip_{key}.tif"'
        raise ImageryError(explain(f"No file in {str(folder)!r} is called {tried}.", where=entries, fix=fix))
    return ChipNames(folder, name if name is not None else (FLAT if flat else IN_BLOCKS), found)


def _check_name(name: str) -> None:
    fields = _FIELD.findall(name)
    rest = _FIELD.sub("", name)
    path = Path(name)
    if fields.count("key") != 1 or fields.count("block") > 1 or "{" in rest or "}" in rest:
        rule = "{key} once, and {block} at most once"
        raise ImageryError(
            explain(
                f"name={name!r} does not say where the key stands.", rule=rule, fix='name="chip_{key}.tif"'
            )
        )
    if path.is_absolute() or ".." in path.parts:
        raise ImageryError(explain(f"name={name!r} leads out of the folder.", fix='name="{block}/{key}.tif"'))


def _matching(folder: Path, name: str) -> dict[str, dict[str, Path]]:
    pieces = _FIELD.split(name)
    fields = {"key": "(?P<key>[^/]+)", "block": "(?P<block>[^/]+)"}
    # split gives text and field names by turns
    said = "".join(fields[p] if i % 2 else re.escape(p) for i, p in enumerate(pieces))
    glob = "".join("*" if i % 2 else _literal(p) for i, p in enumerate(pieces))
    found: dict[str, dict[str, Path]] = {}
    for file in sorted(folder.glob(glob)):
        match = re.fullmatch(said, file.relative_to(folder).as_posix())
        if match is None or not file.is_file():
            continue
        told = match.groupdict()
        key, block = unquote(told["key"]), told.get("block", "")
        files = found.setdefault(block, {})
        if key in files:
            names = [files[key].name, file.name]
            raise ImageryError(
                explain(f"Two files have the key {key!r}.", where=names, rule="one file a key")
            )
        files[key] = file
    return found


def _literal(text: str) -> str:
    return re.sub(r"([*?\[])", r"[\1]", text)


def _number_first(block: str) -> tuple[float, str]:
    match = re.match(r"\d+(\.\d+)?", block)
    return (float(match[0]) if match else float("inf"), block)
