"""What a specification may say of pictures: where they come from, which days, which pixels count."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from eocausal.specs._block import Block
from eocausal.specs._fields import (
    Band,
    Bands,
    CalendarDate,
    Count,
    Counts,
    DateOrTags,
    FilePath,
    Finite,
    Length,
    Names,
    PathOrAddress,
    PathsOrAddresses,
    Period,
    Positive,
    Share,
    Sides,
    SizesOrPolygon,
    Text,
    Windows,
    all_different,
    as_many,
)

__all__ = [
    "CloudClass", "CloudModelSpec", "CubeSpec", "FramesSpec", "ImagerySpec", "PixelUnitName", "QualityScheme",
    "QualitySpec", "StacPresetName", "StacSpec",
]  # fmt: skip

# The names of eocausal.imagery.radiometry and eocausal.imagery.quality, which specifications may not import.
PixelUnitName = Literal[
    "s2_l1c_dn",
    "s2_l2a_dn",
    "reflectance",
    "reflectance_x10000",
    "landsat_c2_dn",
    "landsat_c2_st_dn",
    "kelvin",
    "uint8",
    "sigma0_db",
    "alphaearth_int8",
    "unit_vector",
    "dn",
]
QualityScheme = Literal["landsat_qa_pixel", "sentinel2_scl", "hls_fmask"]


class QualitySpec(Block):
    """The quality band among the bands of rasters."""

    band: Band = Field(description="The quality band: its number from 1, or its name.")
    scheme: QualityScheme = Field(description="What its numbers mean.")
    drop: Annotated[Names, Field(min_length=1)] | None = Field(
        None,
        description="Flags that make a pixel not valid. Default: clouds, their surroundings and shadows.",
    )


CloudClass = Literal["thick_cloud", "thin_cloud", "cloud_shadow"]
CloudClasses = Annotated[
    tuple[CloudClass, ...],
    Field(min_length=1),
    AfterValidator(all_different),
    BeforeValidator(as_many, json_schema_input_type=CloudClass | list[CloudClass]),
]


class CloudModelSpec(Block):
    """A trained model that finds clouds in the picture of each day, where there is no quality band."""

    bands: Bands = Field(
        ("red", "green", "nir"),
        description="Bands of red, green and near infrared, in this order: numbers from 1, or names.",
    )
    drop: CloudClasses = Field(
        ("thick_cloud", "thin_cloud", "cloud_shadow"), description="Classes that make a pixel not valid."
    )
    version: Positive = Field(4.0, description="Version of the weights of OmniCloudMask.")
    weights: FilePath | None = Field(
        None,
        description="Folder of the weights, where they are put when they are fetched. Default: the library's.",
    )


class FramesSpec(Block):
    """Which days make which picture, where rasters are of several days."""

    windows: Annotated[Windows, Field(min_length=1)] | None = Field(
        None,
        description="One picture for each of these periods (2005, 2005-06, 2005-06-01/2005-08-31), or each: one "
        "for each day.",
    )
    before: Length | None = Field(
        None,
        description="Instead: the time before each unit's treatment (units.date), such as 3Y, 18M or 90D.",
    )
    every: Length | None = Field(
        None, description="With before: the time that one picture covers. Default: all of it."
    )
    otherwise: CalendarDate | None = Field(
        None, description="With before: the day that stands in for the treatment of units that never had it."
    )
    composite: Literal["median", "latest", "earliest"] = Field(
        "median", description="How the clear pixels of several days become one."
    )
    least: Count = Field(1, description="Clear observations that a pixel needs; with fewer it is not valid.")


class CubeSpec(Block):
    """A data cube on disk; its days are those of its axis of time."""

    path: FilePath = Field(description="Folder of Zarr, or NetCDF 4 file (.nc).")
    crs: Text | None = Field(None, description="Reference system of its axes, where the cube does not say.")


# The names of eocausal.imagery.stac_presets.
StacPresetName = Literal["sentinel-2-l2a", "landsat-c2-l2", "hls-s30", "hls-l30"]


class StacSpec(Block):
    """Scenes of a STAC catalogue that show units."""

    catalog: PathOrAddress = Field(
        description="Static catalogue on disk, or the address of a catalogue or API on a server."
    )
    preset: StacPresetName | None = Field(
        None,
        description="Product, whose bands, pixel unit and quality band are known. Default: bands name assets.",
    )
    dates: Period | None = Field(
        None, description="Period, such as 2018 or 2018-06-01/2018-08-31, both ends included. Default: all."
    )
    max_cloud: Share | None = Field(
        None, description="Largest share of clouds of a scene, as the catalogue tells it."
    )
    collections: Names = Field(
        (), description="Ids of collections, where they are not called as the preset knows them."
    )


class ImagerySpec(Block):
    """Pictures: cut from rasters, a data cube or scenes of a catalogue, or chips that are cut already."""

    rasters: Annotated[PathsOrAddresses, Field(min_length=1)] | None = Field(
        None,
        description="One GeoTIFF or VRT, a list of them, or a pattern such as landsat_2007_*.tif. With remote also "
        "addresses (https, s3, gs).",
    )
    cube: CubeSpec | None = Field(None, description="Data cube, instead of rasters.")
    stac: StacSpec | None = Field(None, description="Scenes of a STAC catalogue, instead of rasters.")
    remote: bool | None = Field(
        None, description="Whether rasters and catalogues on servers may be read. Default: no network."
    )
    arrays: FilePath | None = Field(None, description="NPZ file that holds the chips as arrays.")
    store: FilePath | None = Field(
        None, description="Folder of chips that eocausal chips or Chips.write has stored."
    )
    keys: Text | None = Field(
        None,
        description="Array in the NPZ file with the image key of each chip; the pixels are the only other array.",
    )
    size_m: Annotated[SizesOrPolygon, Field(min_length=1)] | None = Field(
        None,
        description="Sides of the square chips in metres on the ground; one block of features for each. Or "
        "polygon: the units' own polygons. For arrays: the side they have, if known.",
    )
    size_px: Annotated[Counts, Field(min_length=1)] | None = Field(
        None, description="Sides of the square chips in pixels, instead of size_m."
    )
    resample_px: Annotated[Sides, Field(min_length=1)] | None = Field(
        None,
        description="Pixels a side that chips are brought to, anti-aliased; one number, or one for each size. "
        "Default: as they are.",
    )
    bands: Annotated[Bands, Field(min_length=1)] | None = Field(
        None,
        description="Bands to read: numbers from 1, or names. Default: all. For arrays: the names of all bands.",
    )
    axes: Literal["nhwc", "nbhw"] | None = Field(
        None,
        description="Order of the axes of arrays: chips, height, width, bands (nhwc), or bands second (nbhw).",
    )
    nodata: Finite | None = Field(None, description="Value of pixels in arrays that are not valid.")
    date: DateOrTags | None = Field(
        None,
        description="Day the pictures were taken; before treatment. Or tags: the day that each raster's tags say.",
    )
    pattern: Text | None = Field(
        None,
        description="Where the names of rasters say day and sensor, such as {sensor}_*_{date:%Y%m%d}*.",
    )
    sensor: Text | None = Field(None, description="Sensor of all rasters or of the cube.")
    frames: FramesSpec | None = Field(
        None, description="Which days make which picture, where there are several."
    )
    pixel_unit: PixelUnitName | None = Field(
        None, description="What a pixel value is, checked against the values; dn is never checked."
    )
    convert_to: PixelUnitName | None = Field(
        None, description="Unit to convert pixels to by the published formula. Default: as they are."
    )
    offset_applied: bool | None = Field(
        None,
        description="Sentinel-2 only: whether the offset of -1000 of processing baseline 04.00 is applied already.",
    )
    quality: QualitySpec | None = Field(
        None, description="Quality band among the bands; pixels that it flags are not valid."
    )
    cloud_model: CloudModelSpec | None = Field(
        None, description="Trained model that finds clouds, instead of a quality band."
    )
