"""Catalogues of well-known products: what their assets are called, and what a pixel of them is.

The names are data: a preset is one row of :data:`STAC_PRESETS`, and users make their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from types import MappingProxyType

from eocausal._checks import one_of
from eocausal.errors import ImageryError, explain
from eocausal.imagery.quality import Quality
from eocausal.imagery.radiometry import BY_SCENE, Radiometry

__all__ = ["STAC_PRESETS", "StacPreset", "find_preset"]


@dataclass(frozen=True)
class StacPreset:
    """What the scenes of a catalogue are.

    Parameters
    ----------
    bands : mapping
        Our name of each band to the names that catalogues give its asset, the first found is taken. Names
        stand for keys of assets, in any case, and for common names of bands.
    collections : sequence of str
        Names that catalogues give the collection.
    pixel_unit : Radiometry, optional
        What a pixel is and what it is converted to.
    quality : Quality, optional
        The quality band by our name, and its flags.
    fill : float, optional
        Value of pixels without data where the files do not say; the quality band is not asked for it.
    sensor : sequence of str
        Properties of an item that name its sensor, the first found is taken.

    Raises
    ------
    ImageryError
        When there is no band, or the quality band is not among them.

    Examples
    --------
    >>> preset = StacPreset({"red": ("red", "B4"), "qa": "QA_PIXEL"}, collections=["my-landsat"],
    ...                     quality=Quality("qa", scheme="landsat_qa_pixel"))
    >>> preset.bands["qa"]
    ('QA_PIXEL',)
    """

    bands: Mapping[str, str | Sequence[str]]
    _: KW_ONLY
    collections: Sequence[str] = ()
    pixel_unit: Radiometry | None = None
    quality: Quality | None = None
    fill: float | None = None
    sensor: Sequence[str] = ("platform", "constellation")

    def __post_init__(self) -> None:
        named = {
            str(name): (keys,) if isinstance(keys, str) else tuple(map(str, keys))
            for name, keys in self.bands.items()
        }
        if not named or not all(named.values()):
            fix = 'StacPreset({"red": ("red", "B04")})'
            raise ImageryError(explain("A preset names no assets for its bands.", fix=fix))
        flags: object = self.quality
        if flags is not None and not isinstance(flags, Quality):
            fix = "ec.chips(..., quality=ec.CloudModel()) for clouds that a model finds"
            raise ImageryError(explain("The quality of a preset is not a Quality.", fix=fix))
        if self.quality is not None and self.quality.band not in named:
            text = f"The quality band {self.quality.band!r} is not among the bands of the preset."
            raise ImageryError(explain(text, rule=f"by name: {', '.join(named)}"))
        object.__setattr__(self, "bands", MappingProxyType(named))
        for name in ("collections", "sensor"):
            given = getattr(self, name)
            object.__setattr__(self, name, (given,) if isinstance(given, str) else tuple(map(str, given)))

    @property
    def flags(self) -> str | None:
        """Our name of the quality band."""
        return None if self.quality is None else str(self.quality.band)


_S2 = {
    "blue": ("blue", "B02", "B02_10m"),
    "green": ("green", "B03", "B03_10m"),
    "red": ("red", "B04", "B04_10m"),
    "rededge1": ("rededge1", "B05", "B05_20m"),
    "rededge2": ("rededge2", "B06", "B06_20m"),
    "rededge3": ("rededge3", "B07", "B07_20m"),
    "nir": ("nir", "B08", "B08_10m"),
    "nir08": ("nir08", "B8A", "B8A_20m"),
    "swir16": ("swir16", "B11", "B11_20m"),
    "swir22": ("swir22", "B12", "B12_20m"),
    "scl": ("scl", "SCL", "SCL_20m"),
}
# Common names: the same band of TM and ETM+ (1 to 5 and 7) and of OLI (2 to 7).
_LANDSAT = {
    "blue": ("blue",),
    "green": ("green",),
    "red": ("red",),
    "nir08": ("nir08",),
    "swir16": ("swir16",),
    "swir22": ("swir22",),
    "qa_pixel": ("qa_pixel", "QA_PIXEL"),
}


def _hls(nir08: str, swir16: str, swir22: str) -> dict[str, tuple[str, ...]]:
    return {
        "blue": ("B02", "blue"),
        "green": ("B03", "green"),
        "red": ("B04", "red"),
        "nir08": (nir08, "nir08"),
        "swir16": (swir16, "swir16"),
        "swir22": (swir22, "swir22"),
        "fmask": ("Fmask",),
    }


_HLS_UNIT = Radiometry("reflectance_x10000", convert_to="reflectance")

STAC_PRESETS: Mapping[str, StacPreset] = MappingProxyType(
    {
        "sentinel-2-l2a": StacPreset(
            _S2,
            collections=("sentinel-2-l2a", "sentinel-2-c1-l2a"),
            pixel_unit=Radiometry("s2_l2a_dn", convert_to="reflectance", offset_applied=BY_SCENE),
            quality=Quality("scl", scheme="sentinel2_scl"),
            fill=0.0,
            sensor=("constellation", "platform"),
        ),
        "landsat-c2-l2": StacPreset(
            _LANDSAT,
            collections=("landsat-c2-l2", "landsat-c2l2-sr"),
            pixel_unit=Radiometry("landsat_c2_dn", convert_to="reflectance"),
            quality=Quality("qa_pixel", scheme="landsat_qa_pixel"),
            fill=0.0,
        ),
        "hls-s30": StacPreset(
            _hls("B8A", "B11", "B12"),
            collections=("hls2-s30", "HLSS30_2.0", "HLSS30.v2.0"),
            pixel_unit=_HLS_UNIT,
            quality=Quality("fmask", scheme="hls_fmask"),
            fill=-9999.0,
        ),
        "hls-l30": StacPreset(
            _hls("B05", "B06", "B07"),
            collections=("hls2-l30", "HLSL30_2.0", "HLSL30.v2.0"),
            pixel_unit=_HLS_UNIT,
            quality=Quality("fmask", scheme="hls_fmask"),
            fill=-9999.0,
        ),
    }
)
"""Every preset by its name.

``sentinel-2-l2a``: 10 m bands of 10 and 20 m, the latter interpolated to 10 m; offset by scene (ESA, Sentinel-2
Products Specification Document). ``landsat-c2-l2``: Landsat 4 to 9, bands that TM, ETM+ and OLI share, by common
name (USGS, Landsat Collection 2 Level-2 Science Product Guide). ``hls-s30``, ``hls-l30``: reflectance times
10,000, fill -9999, with ``nir08`` the narrow near infrared of both (NASA, Harmonized Landsat Sentinel-2 Product
User Guide 2.0). Collections are called as Earth Search, Planetary Computer, the USGS and LP DAAC call them. All are
handed out as reflectance.
"""


def find_preset(preset: StacPreset | str) -> StacPreset:
    """Return a preset, by its name or as it is."""
    if isinstance(preset, StacPreset):
        return preset
    return STAC_PRESETS[one_of(str(preset), list(STAC_PRESETS), argument="preset", error=ImageryError)]
