"""Which VRT files are safe to open: plain mosaics of raster files, and nothing else.

A VRT is a text that tells GDAL what to read, and it can name any file, address or program. GDAL reads it more
leniently than an XML parser (names in any case, attributes in place of elements, text around declarations), so
what is allowed is listed here and everything else is refused.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

from eocausal.errors import ImageryError, explain

LARGEST = 4 * 2**20
"""Bytes of a VRT; one of ten thousand tiles has about three million."""
RULE = "only mosaics of raster files are opened: no raw bands, pixel functions, warping or nested VRTs"
SOURCE_ENDINGS = (".tif", ".tiff", ".jp2", ".img")

_PLACE = ("xOff", "yOff", "xSize", "ySize")
_SOURCE = ("name", "resampling")
# Each element that may stand in a VRT, with its attributes.
_ALLOWED: dict[str, tuple[str, ...]] = {
    "VRTDataset": ("rasterXSize", "rasterYSize"),
    "SRS": ("dataAxisToSRSAxisMapping", "coordinateEpoch"),
    "GeoTransform": (),
    "Metadata": ("domain", "format"),
    "OverviewList": ("resampling",),
    "MaskBand": (),
    "VRTRasterBand": ("dataType", "band", "blockXSize", "blockYSize", "subClass"),
    **dict.fromkeys(("Description", "UnitType", "Offset", "Scale", "ColorInterp"), ()),
    **dict.fromkeys(("NoDataValue", "HideNoDataValue", "CategoryNames", "Category", "ColorTable"), ()),
    "Entry": ("c1", "c2", "c3", "c4"),
    **dict.fromkeys(("Histograms", "HistItem", "HistMin", "HistMax", "BucketCount"), ()),
    **dict.fromkeys(("IncludeOutOfRange", "Approximate", "HistCounts"), ()),
    "SimpleSource": _SOURCE,
    "ComplexSource": _SOURCE,
    "SourceFilename": ("relativeToVRT", "shared"),
    "SourceBand": (),
    "SourceProperties": ("RasterXSize", "RasterYSize", "DataType", "BlockXSize", "BlockYSize"),
    "SrcRect": _PLACE,
    "DstRect": _PLACE,
    **dict.fromkeys(("NODATA", "UseMaskBand", "ScaleOffset", "ScaleRatio", "LUT", "ColorTableComponent"), ()),
}
# A mosaic needs five; GDAL reads some elements by calling itself, as deep as the file says.
_DEEPEST = 16
_PLAIN_BAND = "VRTSourcedRasterBand"
# A declaration at the start and comments are all that may stand besides elements.
_DECLARATION = re.compile(r"\A\s*<\?xml[^<>?]*\?>")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)


def named_sources(file: Path) -> list[Path]:
    """Return the files that a VRT draws on, or raise ImageryError when it holds anything but a plain mosaic.

    Only the text is judged: that the sources are there, and are rasters, is for the caller to check.
    """
    sources = []
    for element in _elements(file, _parse(file)):
        allowed = _ALLOWED.get(element.tag)
        if allowed is None:
            raise ImageryError(explain(f"VRT {file.name!r} holds {element.tag[:80]!r}.", rule=RULE))
        others = [name for name in element.attrib if name not in allowed]
        if others:
            text = f"VRT {file.name!r} holds {element.tag} with {others[0][:80]!r}."
            raise ImageryError(explain(text, rule=RULE))
        kind = element.get("subClass", _PLAIN_BAND)
        if kind != _PLAIN_BAND:
            raise ImageryError(explain(f"VRT {file.name!r} holds {kind[:80]!r}.", rule=RULE))
        if element.tag == "SourceFilename":
            sources.append(_source(file, element))
    return list(dict.fromkeys(sources))


def _parse(file: Path) -> ElementTree.Element:
    if file.stat().st_size > LARGEST:
        raise ImageryError(explain(f"VRT {file.name!r} is too large.", rule=f"at most {LARGEST:,} bytes"))
    try:
        text = file.read_text(encoding="utf-8-sig")
        root = ElementTree.fromstring(text)
    except (UnicodeDecodeError, ElementTree.ParseError) as cause:
        raise ImageryError(explain(f"VRT {file.name!r} is not XML.", rule=str(cause))) from cause
    rest = _COMMENT.sub("", _DECLARATION.sub("", text))
    if "<!" in rest or "<?" in rest:
        raise ImageryError(explain(f"VRT {file.name!r} holds declarations or instructions.", rule=RULE))
    return root


def _elements(file: Path, root: ElementTree.Element) -> Iterator[ElementTree.Element]:
    """Give every element but those inside metadata, which GDAL keeps and does not read."""
    waiting = [(root, 1, True)]
    while waiting:
        element, depth, read = waiting.pop()
        if depth > _DEEPEST:
            text = f"VRT {file.name!r} is nested more than {_DEEPEST} elements deep."
            raise ImageryError(explain(text, rule=RULE))
        if read:
            yield element
        read = read and element.tag != "Metadata"
        waiting.extend((inner, depth + 1, read) for inner in reversed(element))


def _source(file: Path, element: ElementTree.Element) -> Path:
    text = element.text or ""
    relative = element.get("relativeToVRT", "0")
    # GDAL follows a link to the VRT before it looks beside it.
    source = file.resolve().parent / text if relative == "1" else Path(text)
    odd = len(element) or relative not in ("0", "1") or "&" in text or text != text.strip()
    local = not text.startswith(("/vsi", "<")) and ":" not in text.removeprefix(source.drive)
    if odd or not text.isprintable() or not local or source.suffix.lower() not in SOURCE_ENDINGS:
        rule = "a VRT may draw on local .tif, .tiff, .jp2 and .img files only"
        raise ImageryError(explain(f"VRT {file.name!r} draws on {text[:80]!r}.", rule=rule))
    return source
