"""Which raster files are meant, and which are safe to open.

GDAL goes by content, not by name: a text file named .tif can be a VRT that reads any other file as pixels.
So each ending is opened with its own driver only, and a VRT only when its sources are plain raster files.
"""

from __future__ import annotations

import glob
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from pathlib import Path

from eocausal._tables import missing_file
from eocausal.errors import ImageryError, explain

DRIVERS = {
    ".tif": "GTiff",
    ".tiff": "GTiff",
    ".vrt": "VRT",
    ".jp2": "JP2OpenJPEG",
    ".img": "HFA",
}
_SIGNATURES = {
    "GTiff": (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"),
    "VRT": (b"<VRTDataset", b"<?xml", b"\xef\xbb\xbf<"),
    "JP2OpenJPEG": (b"\x00\x00\x00\x0cjP", b"\xff\x4f\xff\x51"),
    "HFA": (b"EHFA_HEADER_TAG",),
}
_UNSAFE_TAGS = ("PixelFunctionType", "PixelFunctionCode", "PixelFunctionLanguage", "GDALWarpOptions")
_LARGEST_VRT = 4 * 2**20
Rasters = str | Path | Iterable[str | Path]


def raster_files(rasters: Rasters) -> list[Path]:
    """Return the files meant by a path, a glob pattern, or a list of these, in order and safe to open."""
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
                fix=f"gdal_translate {file.name} {file.stem}.tif",
            )
        )
    return driver


def vrt_sources(file: Path) -> list[Path]:
    """Return the raster files that a VRT draws on, or raise ImageryError when it could read anything else."""
    if file.stat().st_size > _LARGEST_VRT:
        raise ImageryError(explain(f"VRT {file.name!r} is larger than {_LARGEST_VRT:,} bytes."))
    try:
        root = ElementTree.fromstring(file.read_bytes())
    except ElementTree.ParseError as cause:
        raise ImageryError(explain(f"VRT {file.name!r} is not XML.", rule=str(cause))) from cause
    sources = []
    for element in root.iter():
        kind = element.get("subClass", "")
        if kind == "VRTRawRasterBand" or element.tag in _UNSAFE_TAGS:
            rule = "only mosaics of raster files are opened: no raw bands, pixel functions or warping"
            raise ImageryError(explain(f"VRT {file.name!r} holds {kind or element.tag}.", rule=rule))
        if element.tag in ("SourceFilename", "SourceDataset"):
            sources.append(_vrt_source(file, element))
    return list(dict.fromkeys(sources))


def _vrt_source(file: Path, element: ElementTree.Element) -> Path:
    text = (element.text or "").strip()
    source = file.parent / text if element.get("relativeToVRT") == "1" else Path(text)
    local = not text.startswith(("/vsi", "<")) and ":" not in text.removeprefix(source.drive)
    if not local or source.suffix.lower() not in DRIVERS or source.suffix.lower() == ".vrt":
        rule = "a VRT may draw on local .tif, .tiff, .jp2 and .img files only"
        raise ImageryError(explain(f"VRT {file.name!r} draws on {text[:80]!r}.", rule=rule))
    if not source.is_file():
        raise ImageryError(explain(f"VRT {file.name!r} draws on a file that is not there.", where=[text]))
    _check_content(source, driver_for(source))
    return source


def _expand(name: object) -> list[Path]:
    if not isinstance(name, (str, Path)):
        fix = "Give paths, or for pixels in memory use chips_from_arrays."
        raise ImageryError(explain(f"A raster cannot be read from a {type(name).__name__}.", fix=fix))
    text = str(name)
    if "://" in text or text.startswith("/vsi"):
        fix = "Download the file and give its local path."
        raise ImageryError(explain(f"Raster {text!r} is remote or inside an archive.", fix=fix))
    if not Path(text).exists() and any(mark in text for mark in "*?["):
        found = sorted(glob.glob(text, recursive=True))
        if not found:
            fix = f"The folder is {str(Path(text).parent.absolute())!r}."
            raise ImageryError(explain(f"No file matches {text!r}.", fix=fix))
        return [Path(entry) for entry in found]
    if not Path(text).is_file():
        raise ImageryError(missing_file(Path(text)))
    return [Path(text)]


def _check_content(file: Path, driver: str) -> None:
    with file.open("rb") as stream:
        start = stream.read(16)
    if not start:
        raise ImageryError(explain(f"Raster {file.name!r} is empty (0 bytes)."))
    if not start.lstrip().startswith(_SIGNATURES[driver]):
        text = f"Raster {file.name!r} is not what its name says: it starts with {start!r}."
        raise ImageryError(
            explain(text, rule=f"files ending in {file.suffix} are read by driver {driver} only")
        )
    if driver == "VRT":
        vrt_sources(file)
