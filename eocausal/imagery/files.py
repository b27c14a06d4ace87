"""Which raster files are meant, and which are safe to open.

GDAL goes by content, not by name: a text file named .tif can be a VRT that reads any other file as pixels.
So each ending is opened with its own driver only, a VRT only when its sources are plain raster files, and
masks and overviews beside a file, which GDAL opens with any driver, only when they are TIFF.
"""

from __future__ import annotations

import glob
import os
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path

from eocausal._tables import missing_file
from eocausal.errors import ImageryError, explain
from eocausal.imagery.vrt import named_sources

DRIVERS = {
    ".tif": "GTiff",
    ".tiff": "GTiff",
    ".vrt": "VRT",
    ".jp2": "JP2OpenJPEG",
    ".img": "HFA",
}
# Each but that of VRT has a zero byte among its first 16, where GDAL's tests for formats made of text end: no
# file is both.
_SIGNATURES = {
    "GTiff": (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"),
    "VRT": (b"<VRTDataset", b"<?xml", b"\xef\xbb\xbf<"),
    "JP2OpenJPEG": (b"\x00\x00\x00\x0cjP", b"\xff\x4f\xff\x51\x00"),
    "HFA": (b"EHFA_HEADER_TAG\x00",),
}
_SIDECARS = (".msk", ".MSK", ".ovr", ".OVR")
Rasters = str | Path | Iterable[str | Path]


def raster_files(rasters: Rasters) -> list[Path]:
    """Return the files meant by a path, a glob pattern, or a list of these, in order and safe to open."""
    if not isinstance(rasters, (str, Path, Iterable)) or isinstance(rasters, (bytes, Mapping)):
        text = f"Rasters cannot be read from a {type(rasters).__name__}."
        raise ImageryError(
            explain(text, fix='Give a path, a pattern such as "landsat_*.tif", or a list of paths.')
        )
    named = [rasters] if isinstance(rasters, (str, Path)) else list(rasters)
    files = [file for name in named for file in _expand(name)]
    if not files:
        raise ImageryError(explain("No rasters are given.", fix='chips(units, "landsat_*.tif", ...)'))
    repeated = sorted({file.name for file in files if files.count(file) > 1})
    if repeated:
        raise ImageryError(explain("Rasters are given more than once.", where=repeated))
    for file in files:
        _check_content(file, driver_for(file))
    return files


def driver_for(file: Path) -> str:
    """Return the only driver that a file may be opened with."""
    driver = DRIVERS.get(file.suffix.lower())
    if driver is None:
        raise ImageryError(
            explain(
                f"Raster {file.name!r} is not of an accepted kind.",
                rule=f"accepted endings: {', '.join(DRIVERS)}",
                fix=f"gdal_translate {in_a_shell(file.name)} {in_a_shell(file.stem + '.tif')}",
            )
        )
    return driver


def vrt_sources(file: Path) -> list[Path]:
    """Return the raster files that a VRT draws on, or raise ImageryError when it could read anything else."""
    sources = named_sources(file)
    for source in sources:
        if not source.is_file():
            text = f"VRT {file.name!r} draws on a file that is not there."
            raise ImageryError(explain(text, where=[str(source)]))
        _check_content(source, driver_for(source))
    return sources


def in_a_shell(name: str) -> str:
    """Return the name of a file as it can be pasted into a command line.

    Examples
    --------
    >>> in_a_shell("-a b.tif"), in_a_shell("scene.tif")
    ("'./-a b.tif'", 'scene.tif')
    """
    return shlex.quote(f"./{name}" if name.startswith("-") else name)


def _expand(name: object) -> list[Path]:
    if not isinstance(name, (str, Path)):
        fix = "Give paths, or for pixels in memory use chips_from_arrays."
        raise ImageryError(explain(f"A raster cannot be read from a {type(name).__name__}.", fix=fix))
    text = str(name)
    if "://" in text or text.startswith("/vsi"):
        fix = "Download the file and name its path; ec.scenes(..., remote=True) reads https, s3 and gs addresses."
        raise ImageryError(explain(f"Raster {text!r} is remote or inside an archive.", fix=fix))
    # os.path also answers for names that no file can have.
    if not os.path.exists(text) and any(mark in text for mark in "*?["):
        found = sorted(glob.glob(text, recursive=True))
        if not found:
            fix = f"The folder is {str(Path(text).parent.absolute())!r}."
            raise ImageryError(explain(f"No file matches {text!r}.", fix=fix))
        return [Path(entry) for entry in found]
    if os.path.isdir(text):
        raise ImageryError(
            explain(f"{text!r} is a folder.", fix=f"Give a pattern: {str(Path(text) / '*.tif')!r}")
        )
    if not os.path.isfile(text):
        raise ImageryError(missing_file(Path(text)))
    return [Path(text)]


def _check_content(file: Path, driver: str) -> None:
    with file.open("rb") as stream:
        start = stream.read(16)
    if not start:
        raise ImageryError(explain(f"Raster {file.name!r} is empty (0 bytes)."))
    text_or_bytes = start.lstrip() if driver == "VRT" else start
    if not text_or_bytes.startswith(_SIGNATURES[driver]):
        text = f"Raster {file.name!r} is not what its name says: it starts with {start!r}."
        raise ImageryError(
            explain(text, rule=f"files ending in {file.suffix} are read by driver {driver} only")
        )
    _check_sidecars(file)
    if driver == "VRT":
        vrt_sources(file)


def _check_sidecars(file: Path) -> None:
    for ending in _SIDECARS:
        beside = file.with_name(file.name + ending)
        # os.path.exists also answers for a name too long to be one.
        if not os.path.exists(beside):
            continue
        if not beside.is_file() or not _starts_as_tiff(beside):
            text = f"Beside raster {file.name!r} lies {beside.name!r}, which is not a TIFF file."
            rule = "masks (.msk) and overviews (.ovr) beside a raster are TIFF files"
            raise ImageryError(explain(text, rule=rule, fix="Move that file away."))
        _check_sidecars(beside)


def _starts_as_tiff(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(4) in _SIGNATURES["GTiff"]
