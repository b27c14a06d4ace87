"""Data cubes on disk, opened without running or reading anything that their metadata could point at.

Zarr metadata can name a codec that unpickles, and HDF5 can draw pixels from any other file: metadata is read
first, and what it may name is listed.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eocausal._io import hash_file
from eocausal._tables import missing_file
from eocausal.errors import ImageryError, explain
from eocausal.imagery.limits import LARGEST_BLOCK_BYTES

if TYPE_CHECKING:
    import xarray

SHARDS = "sharding_indexed"
CODECS = {
    "blosc", "zlib", "gzip", "zstd", "lz4", "bz2", "lzma", "shuffle", "delta", "fixedscaleoffset", "bytes",
    "crc32c", "crc32", "adler32", "fletcher32", SHARDS, "transpose", "vlen-utf8", "vlen-bytes",
    "packbits", "bitround", "quantize", "astype",
}  # fmt: skip
"""Codecs of Zarr that only pack numbers."""
NETCDF = (".nc", ".nc4")
EXTRA = 'pip install "eocausal[cubes]"'
_HDF5 = b"\x89HDF\r\n\x1a\n"
_METADATA = (".zarray", ".zgroup", ".zattrs", ".zmetadata", "zarr.json")
# Axes are read whole, with the header: this is a raster of the whole earth at 20 m.
_LONGEST_AXIS = 2**21
_LARGEST_METADATA = 64 * 2**20
_HASHED_UP_TO = 2**30
# What readers of damaged metadata raise.
_BROKEN = (
    ValueError, OSError, LookupError, TypeError, AttributeError, ImportError, RuntimeError, ArithmeticError,
    struct.error,
)  # fmt: skip


@dataclass(frozen=True)
class CubeFile:
    """A cube on disk that was checked."""

    path: Path

    @cached_property
    def content(self) -> dict[str, Any]:
        """What tells its content: size and hash; of 1 GiB and more a hash of sizes and times of change."""
        files = list(_files(self.path)) if self.path.is_dir() else [self.path]
        total = sum(file.stat().st_size for file in files)
        whole = total < _HASHED_UP_TO
        digest = hashlib.sha256()
        for file in files:
            state = file.stat()
            told = hash_file(file) if whole else str(state.st_mtime_ns)
            name = file.relative_to(self.path).as_posix() if self.path.is_dir() else ""
            digest.update(f"{name} {state.st_size} {told}\n".encode())
        return {"bytes": total, "sha256" if whole else "state": digest.hexdigest()}

    def open(self) -> xarray.Dataset:
        """Open it; only metadata and axes are read."""
        import xarray

        options: dict[str, Any] = {"decode_timedelta": False, "mask_and_scale": False, "decode_coords": "all"}
        if self.path.is_dir():
            options |= {"engine": "zarr", "chunks": None, "backend_kwargs": {"consolidated": False}}
        else:
            options |= {"engine": "h5netcdf"}
        try:
            cube = xarray.open_dataset(self.path, cache=False, **options)
        except _BROKEN as cause:
            text = f"Cube {self.path.name!r} cannot be opened."
            raise ImageryError(explain(text, rule=f"{type(cause).__name__}: {str(cause)[:300]}")) from cause
        # arrays of a Zarr folder come in the order of the disk, which differs from copy to copy
        return cube[sorted(cube.data_vars, key=str)] if self.path.is_dir() else cube


def cube_file(path: str | Path) -> CubeFile:
    """Check a cube on disk and return it, or raise ImageryError."""
    text = str(path)
    if "://" in text or "::" in text or text.startswith("/vsi"):
        fix = (
            "Download it, or open it with xarray and pass the Dataset: ec.cube_scenes(xarray.open_zarr(...))"
        )
        raise ImageryError(explain(f"Cube {text!r} is remote.", fix=fix))
    where = Path(path)
    needs_extra()
    if where.is_dir():
        _check_zarr(where)
        return CubeFile(where)
    if not os.path.isfile(where):
        raise ImageryError(missing_file(where))
    if where.suffix.lower() not in NETCDF:
        rule = f"a Zarr folder, or a file ending in {', '.join(NETCDF)}"
        raise ImageryError(explain(f"Cube {where.name!r} is not of an accepted kind.", rule=rule))
    _check_netcdf(where)
    return CubeFile(where)


def needs_extra(module: str = "xarray") -> None:
    """Raise ImageryError when the optional packages are not there."""
    import importlib.util

    if importlib.util.find_spec(module.partition(".")[0]) is None:
        raise ImageryError(explain(f"This needs the package {module}.", fix=EXTRA))


def _check_zarr(folder: Path) -> None:
    seen = False
    for file in _files(folder):
        if file.name not in _METADATA:
            continue
        seen, name = True, file.relative_to(folder).as_posix()
        if file.stat().st_size > _LARGEST_METADATA:
            raise ImageryError(explain(f"Metadata {name!r} of cube {folder.name!r} is too large."))
        _check_metadata(folder, name, file.read_bytes())
    if not seen:
        fix = "Give the folder that holds zarr.json or .zgroup."
        raise ImageryError(explain(f"Folder {folder.name!r} is no Zarr cube.", fix=fix))


def _files(folder: Path) -> Iterator[Path]:
    """Return the files of a folder in a fixed order; links that could lead out of it are refused."""
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted([*names, *folders]):
            if os.path.islink(os.path.join(place, name)):
                text = f"Cube {folder.name!r} holds a link to another place."
                raise ImageryError(explain(text, where=[name], fix="Copy the files themselves."))
        yield from (Path(place) / name for name in sorted(names))


def _check_metadata(folder: Path, name: str, content: bytes) -> None:
    try:
        metadata = json.loads(content)
    except (ValueError, RecursionError) as cause:
        text = f"Metadata {name!r} of cube {folder.name!r} is not JSON."
        raise ImageryError(explain(text, rule=str(cause)[:200])) from cause
    if not isinstance(metadata, Mapping) or "shape" not in metadata:
        return
    strange = sorted(_codecs(metadata) - CODECS)
    if strange:
        rule = f"codecs that only pack numbers: {', '.join(sorted(CODECS))}"
        fix = 'cube.to_zarr("again.zarr") where it was made'
        text = f"Array {name!r} of cube {folder.name!r} uses a codec that is not accepted."
        raise ImageryError(explain(text, where=strange, rule=rule, fix=fix))
    check_shape(folder.name, name, metadata["shape"], _chunk_shape(metadata))


def _parts(metadata: Mapping[str, Any]) -> Iterator[str | Mapping[str, Any]]:
    """Return every codec that the metadata of an array mentions, those within shards too."""
    waiting = [metadata.get(key) for key in ("compressor", "filters", "codecs")]
    while waiting:
        part = waiting.pop()
        if isinstance(part, list):
            waiting += part
        elif isinstance(part, (str, Mapping)):
            yield part
            inner = {} if isinstance(part, str) else part.get("configuration")
            if isinstance(inner, Mapping):
                waiting += [inner.get("codecs"), inner.get("index_codecs")]


def _codecs(metadata: Mapping[str, Any]) -> set[str]:
    named = (part if isinstance(part, str) else part.get("id", part.get("name")) for part in _parts(metadata))
    return {str(name).lower().removeprefix("numcodecs.") for name in named}


def _chunk_shape(metadata: Mapping[str, Any]) -> Any:
    """Return the shape of what is decoded at once: of a shard, the chunks within."""
    shapes = [metadata.get("chunks")]
    shards = [part for part in _parts(metadata) if isinstance(part, Mapping) and part.get("name") == SHARDS]
    for part in [metadata.get("chunk_grid"), *shards]:
        inner = part.get("configuration") if isinstance(part, Mapping) else None
        shapes.append(inner.get("chunk_shape") if isinstance(inner, Mapping) else None)
    known = [shape for shape in shapes if isinstance(shape, list)]
    return known[-1] if known else ()


def check_shape(cube: str, name: str, shape: Any, chunks: Any) -> None:
    """Raise ImageryError when axes or chunks are larger than is decoded; a header can claim any size."""
    sizes = [size for size in shape if _is_count(size)] if isinstance(shape, (list, tuple)) else None
    if sizes is None or len(sizes) < len(shape) or any(size > _LONGEST_AXIS for size in sizes):
        text = f"Array {name!r} of cube {cube!r} has the shape {str(shape)[:200]}."
        raise ImageryError(explain(text, rule=f"at most {_LONGEST_AXIS:,} along each axis"))
    if not all(_is_count(chunk) and chunk for chunk in chunks):
        text = f"Array {name!r} of cube {cube!r} is stored in chunks of {str(chunks)[:200]}."
        raise ImageryError(explain(text, rule="whole numbers of at least 1"))
    # of eight bytes each, the widest number there is; a chunk is made whole where the array is smaller, too
    least = 8 * math.prod(chunks) if chunks else 0
    if least > LARGEST_BLOCK_BYTES:
        rule = f"at most {LARGEST_BLOCK_BYTES / 2**20:g} MiB, since a chunk is decoded whole"
        text = f"Array {name!r} of cube {cube!r} is stored in chunks of {list(chunks)}."
        raise ImageryError(explain(text, rule=rule, fix="cube.chunk(y=512, x=512).to_zarr(...)"))


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _check_netcdf(file: Path) -> None:
    needs_extra("h5netcdf")
    needs_extra("h5py")
    with file.open("rb") as stream:
        start = stream.read(8)
    if start != _HDF5:
        text = f"Cube {file.name!r} is no NetCDF 4 file: it starts with {start!r}."
        raise ImageryError(explain(text, fix=f"nccopy -k nc4 {file.name} {file.stem}_4.nc"))
    _refuse_outside(file)


def _refuse_outside(file: Path) -> None:
    """Refuse HDF5 whose pixels or groups lie in other files."""
    import h5py

    outside: list[str] = []
    seen: set[Any] = set()
    try:
        with h5py.File(file, "r") as opened:
            waiting = [opened]
            while waiting:
                group = waiting.pop()
                for name in group:
                    link = group.get(name, getlink=True)
                    if isinstance(link, h5py.ExternalLink):
                        outside.append(f"{group.name}/{name}")
                        continue
                    member = group.get(name)
                    if isinstance(member, h5py.Group) and member.id not in seen:
                        seen.add(member.id)
                        waiting.append(member)
                    elif isinstance(member, h5py.Dataset):
                        if member.external or member.is_virtual:
                            outside.append(member.name)
                        if member.shape:
                            check_shape(file.name, member.name, member.shape, member.chunks or ())
    except (OSError, RuntimeError, KeyError) as cause:
        text = f"Cube {file.name!r} cannot be opened: it is damaged."
        raise ImageryError(explain(text, rule=str(cause)[:300])) from cause
    if outside:
        text = f"Cube {file.name!r} draws on other files."
        fix = f"h5repack or nccopy {file.name} whole.nc where all of them are."
        raise ImageryError(explain(text, where=outside, fix=fix))
