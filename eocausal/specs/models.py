"""What a specification may say: one small frozen model for each block of ``analysis.yaml``.

The models know names, kinds and bounds; the rules that tie two fields together are a table beside them. They
read no files: :mod:`eocausal.specs.load` turns YAML into them, and :mod:`eocausal.specs.inputs` looks at the
files they name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails, InitErrorDetails

from eocausal._checks import did_you_mean
from eocausal.specs._fields import (
    Band,
    Bands,
    CalendarDate,
    Chance,
    Columns,
    Count,
    Counts,
    FilePath,
    FilePaths,
    Finite,
    Names,
    PatchSizes,
    Positive,
    Seed,
    Shares,
    Sizes,
    Text,
    all_different,
    as_many,
    mistake,
)
from eocausal.specs._rules import RULES, Place

__all__ = [
    "AnalysisSpec", "CateSpec", "DesignSpec", "EffectsSpec", "EmbeddingsSpec", "EncoderSpec", "FoldsSpec",
    "ImageStatsSpec", "ImagerySpec", "PixelMeanSpec", "RcfSpec", "TruthSpec", "UnitsSpec",
]  # fmt: skip


class _Block(BaseModel):
    """A block of a specification: no unknown fields, frozen, numbers and text never taken for each other."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @model_validator(mode="wrap")
    @classmethod
    def _find_all_mistakes(cls, given: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        # pydantic would stop at the fields; the rules between fields are looked at in the same pass, so that
        # one reading of the file finds every mistake
        found = _block_mistakes(cls, given) if isinstance(given, Mapping) else []
        try:
            block = handler(given)
        except ValidationError as error:
            found += [_again(one) for one in error.errors() if one["type"] != "extra_forbidden"]
            raise ValidationError.from_exception_data(cls.__name__, found) from None
        if found:
            raise ValidationError.from_exception_data(cls.__name__, found)
        return block


class UnitsSpec(_Block):
    """The table of units."""

    path: FilePath = Field(description="Table of units: CSV, Parquet, GeoPackage, GeoParquet or Stata .dta.")
    id: Text = Field(description="Column that names each unit once.")
    lon: Text | None = Field(None, description="Column of longitude (or easting, if crs is in metres).")
    lat: Text | None = Field(None, description="Column of latitude (or northing, if crs is in metres).")
    crs: Text | None = Field(
        None, description="Reference system of the coordinates. Default: EPSG:4326, or what the file says."
    )
    image_key: Text | None = Field(
        None, description="Column that names the picture of a unit; several units may share one. Default: id."
    )
    date: Text | None = Field(
        None, description="Column with the day (ISO) before which a unit's picture must have been taken."
    )


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


class QualitySpec(_Block):
    """The quality band among the bands of rasters."""

    band: Band = Field(description="The quality band: its number from 1, or its name.")
    scheme: QualityScheme = Field(description="What its numbers mean.")
    drop: Annotated[Names, Field(min_length=1)] | None = Field(
        None,
        description="Flags that make a pixel not valid. Default: clouds, their surroundings and shadows.",
    )


class ImagerySpec(_Block):
    """Pictures: either rasters that chips are cut from, or chips that are already arrays."""

    rasters: Annotated[FilePaths, Field(min_length=1)] | None = Field(
        None, description="One GeoTIFF or VRT, a list of them, or a pattern such as landsat_2007_*.tif."
    )
    arrays: FilePath | None = Field(None, description="NPZ file that holds the chips as arrays.")
    keys: Text | None = Field(
        None,
        description="Array in the NPZ file with the image key of each chip; the pixels are the only other array.",
    )
    size_m: Annotated[Sizes, Field(min_length=1)] | None = Field(
        None,
        description="Sides of the square chips in metres on the ground; one block of features for each. "
        "For arrays: the side they have, if known.",
    )
    size_px: Annotated[Counts, Field(min_length=1)] | None = Field(
        None, description="Sides of the square chips in pixels, instead of size_m."
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
    date: CalendarDate | None = Field(None, description="Day the pictures were taken; before treatment.")
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
        None, description="Quality band of rasters; pixels that it flags are not valid."
    )


class EmbeddingsSpec(_Block):
    """A table of image features that was made elsewhere."""

    path: FilePath = Field(description="Parquet or CSV table with one row for each image key.")
    key: Text = Field(description="Column that holds the image key.")
    columns: Columns | None = Field(
        None,
        description="List of the feature columns, or the prefix they share. Default: all numbers but the key.",
    )
    date: CalendarDate | None = Field(None, description="Day the pictures behind the table were taken.")


class RcfSpec(_Block):
    """Random convolutional features (Rolf et al. 2021)."""

    name: Literal["rcf"] = Field(description="Random convolutional features.")
    n_features: Count = Field(
        512,
        description="Features for each chip size: two for each filter, filters shared by the patch sizes.",
    )
    patch_px: PatchSizes = Field((3, 5), description="Sides in pixels of the random patches; 2 or more.")
    bias: Finite = Field(0.0, description="Subtracted from both halves of the response of a filter.")
    whitening: Positive = Field(1e-3, description="Added to the eigenvalues of the patches' covariance.")
    seed: Seed = Field(0, description="Seed of the draw of patches.")


class ImageStatsSpec(_Block):
    """Means, spreads, quantiles and texture of each band: the floor any encoder should beat."""

    name: Literal["image_stats"] = Field(description="Plain statistics of each band.")
    quantiles: Shares = Field((0.1, 0.5, 0.9), description="Quantiles of each band, as shares.")


class PixelMeanSpec(_Block):
    """The mean of each band: for embedding products that hold a vector in every pixel."""

    name: Literal["pixel_mean"] = Field(description="Mean of each band over valid pixels.")


EncoderSpec = Annotated[RcfSpec | ImageStatsSpec | PixelMeanSpec, Field(discriminator="name")]


class DesignSpec(_Block):
    """Which columns play which part in the study."""

    outcome: Text = Field(description="Column of the outcome.")
    treatment: Text = Field(description="Column of the treatment: 0 control, 1 treated.")
    covariates: Names = Field((), description="Columns measured before treatment to adjust for.")
    cluster: Text | None = Field(None, description="Column of the groups that were assigned together.")
    weights: Text | None = Field(None, description="Column of sampling weights.")
    propensity: Chance | None = Field(
        None, description="Known probability of treatment, or the column that holds it. Default: estimated."
    )
    missing: Literal["error", "drop"] = Field(
        "error",
        description="Units that miss a value: stop, or drop them and report how many.",
    )
    min_valid: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0, description="Smallest share of valid pixels of a unit's picture; units below count as missing."
    )


Method = Literal["difference", "regression", "ipw", "aipw"]
Target = Literal["AUTOC", "QINI"]
Methods = Annotated[
    tuple[Method, ...],
    AfterValidator(all_different),
    BeforeValidator(as_many, json_schema_input_type=Method | list[Method]),
]
Targets = Annotated[
    tuple[Target, ...],
    AfterValidator(all_different),
    BeforeValidator(as_many, json_schema_input_type=Target | list[Target]),
]


class CateSpec(_Block):
    """How effects by unit are learned."""

    learner: Literal["causal_forest"] = Field("causal_forest", description="Learner of effects by unit.")
    trees: Count = Field(500, description="Trees of the forest; a multiple of 4.", multiple_of=4)
    min_leaf: Count = Field(5, description="Smallest number of units in a leaf.")
    sample_share: float = Field(0.45, gt=0, le=0.5, description="Share of the units drawn for a tree.")
    pca: Count | None = Field(
        10, description="Components each block of features is reduced to for the trees; null for none."
    )


class FoldsSpec(_Block):
    """Which parts of the data a prediction may not have seen."""

    kind: Literal["cluster", "random"] = Field(
        "cluster",
        description="What stays in one fold: units that share a cluster or picture, or single units.",
    )
    k: int = Field(5, ge=2, description="Number of folds.")


class EffectsSpec(_Block):
    """What is estimated."""

    ate: Annotated[Methods, Field(min_length=1)] = Field(
        description="Methods for the average effect; the first is the headline of the report."
    )
    cate: CateSpec | None = Field(None, description="Effects by unit; null for none.")
    rate: Targets = Field((), description="Whether the ranking by effect finds those who gain.")
    folds: FoldsSpec | None = Field(
        None, description="Folds of cross-fitting. Default: clusters or pictures."
    )


class TruthSpec(_Block):
    """What the effects are known to be. Only simulated data has this."""

    ate: Finite = Field(description="The true average effect.")
    effect_column: Text | None = Field(None, description="Column of the units table with true effects.")


class AnalysisSpec(_Block):
    """A whole study: units, pictures, design, effects."""

    spec_version: Literal[1] = Field(description="Version of this format; 1.")
    title: Text = Field(description="Title of the report.")
    question: Text | None = Field(None, description="The question asked, printed at the head of the report.")
    units: UnitsSpec = Field(description="The table of units.")
    imagery: ImagerySpec | None = Field(None, description="Rasters or arrays that features are made from.")
    embeddings: EmbeddingsSpec | None = Field(None, description="Features that were made elsewhere.")
    encoder: EncoderSpec | None = Field(None, description="How features are made from imagery.")
    design: DesignSpec = Field(description="Which columns play which part.")
    effects: EffectsSpec = Field(description="What is estimated.")
    truth: TruthSpec | None = Field(None, description="Known effects, for simulated data only.")
    seed: Seed = Field(0, description="Seed of folds and forests.")
    out: FilePath = Field("out", validate_default=True, description="Folder the results are written to.")


def _block_mistakes(block: type[BaseModel], given: Mapping[str, Any]) -> list[InitErrorDetails]:
    """Return unknown fields and broken rules between fields of one block."""
    known = list(block.model_fields)
    found: list[tuple[Place, str]] = [
        ((str(name),), f"unknown field. {did_you_mean(str(name), known)}")
        for name in given
        if name not in known
    ]
    if block.__name__ in RULES:
        found += RULES[block.__name__](given)
    return [InitErrorDetails(type=mistake(text), loc=place, input=given) for place, text in found]


def _again(error: ErrorDetails) -> InitErrorDetails:
    """Turn a reported mistake back into one that can be raised together with others."""
    context = error.get("ctx", {})
    if error["type"] == "eocausal":
        return InitErrorDetails(type=mistake(context["text"]), loc=error["loc"], input=error["input"])
    return InitErrorDetails(type=error["type"], loc=error["loc"], input=error["input"], ctx=context)
