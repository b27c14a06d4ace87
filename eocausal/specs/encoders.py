"""The block that says how features are made from pictures: which encoder, over which days and sizes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    ValidationInfo,
)

from eocausal._checks import did_you_mean
from eocausal.specs._block import Block
from eocausal.specs._encoder_names import BUILT_IN, HUB, encoder_names, is_encoder_file
from eocausal.specs._fields import (
    Count,
    FilePath,
    Finite,
    PatchSizes,
    Positive,
    Seed,
    Share,
    Shares,
    Text,
    all_different,
    as_many,
    mistake,
    resolved,
)
from eocausal.specs.imagery import PixelUnitName

__all__ = [
    "BySizeSpec", "EncoderSpec", "ImageStatsSpec", "MultiScaleSpec", "PixelMeanSpec", "PretrainedSpec", "RcfSpec",
    "SequenceSpec",
]  # fmt: skip

PRETRAINED, BY_SIZE = "pretrained", "by size"


def _name_or_file(value: str, info: ValidationInfo) -> str:
    return resolved(value, info) if is_encoder_file(value) else value


def _size(value: Any) -> float | str:
    if isinstance(value, str) and value:
        return value
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf"):
        return float(value)
    raise mistake(f"{value!r} is not a size of chips. Write metres, such as 960, or pixels, such as 32px")


def _sides(value: Any) -> int | dict[str, int]:
    sides = list(value.values()) if isinstance(value, Mapping) else [value]
    if sides and all(isinstance(side, int) and not isinstance(side, bool) and side >= 1 for side in sides):
        return dict(value) if isinstance(value, Mapping) else int(value)
    raise mistake("must be a whole number of pixels, or one for each size, such as {480: 64, 7680: 224}")


def _commit(value: Any) -> str:
    if isinstance(value, str) and re.fullmatch(r"[0-9a-f]{40}", value):
        return value
    raise mistake(f"{value!r} is not a commit. Write its 40 digits, as the hub shows them")


def _some(value: tuple[Any, ...]) -> tuple[Any, ...]:
    if not value:
        raise mistake("is empty. Name at least one")
    return value


NameOrFile = Annotated[Text, AfterValidator(_name_or_file)]
Sizes = Annotated[
    tuple[Annotated[float | str, PlainValidator(_size)], ...],
    AfterValidator(_some),
    AfterValidator(all_different),
    BeforeValidator(as_many, json_schema_input_type=Positive | Text | list[Positive | Text]),
]
Commit = Annotated[
    str, PlainValidator(_commit, json_schema_input_type=Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")])
]
SideBySize = Annotated[
    int | dict[str, int], PlainValidator(_sides, json_schema_input_type=Count | dict[str, Count])
]


class SequenceSpec(Block):
    """Each frame by itself, pooled over the frames that are valid."""

    pool: Literal["mean", "last-first", "mean+sd", "trend", "attention"] = Field(
        "mean",
        description="What is kept: the mean, the last minus the first, mean and standard deviation, the slope, "
        "or a mean in which frames unlike the others weigh less.",
    )
    min_frames: Count | None = Field(
        None, description="Valid frames that a picture needs. Default: what the pooling needs, 1 or 2."
    )
    min_valid: Share = Field(0.0, description="Share of its pixels that must be valid for a frame to count.")


class MultiScaleSpec(Block):
    """Several sizes of chips, one block of features for each."""

    size_m: Sizes | None = Field(
        None, description="Sizes to use, metres, in the order of the features. Default: all that there are."
    )
    encoders: Annotated[dict[Text, EncoderSpec], Field(min_length=1)] | None = Field(
        None,
        description="Instead of name: an encoder for each size, such as {480: {name: rcf}, 7680: {...}}.",
    )
    side_px: SideBySize | None = Field(
        None, description="Pixels a side that chips are brought to; one number, or one for each size."
    )
    reduce: Count | None = Field(
        None,
        description="Components that each block becomes where effects are estimated, learned on training folds.",
    )


_Sequence = Annotated[
    SequenceSpec | None,
    Field(description="Where pictures have several frames: each by itself, then pooled over time."),
]
_MultiScale = Annotated[
    MultiScaleSpec | None, Field(description="Which sizes of chips are used, and what each becomes.")
]


class RcfSpec(Block):
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
    sequence: _Sequence = None
    multi_scale: _MultiScale = None


class ImageStatsSpec(Block):
    """Means, spreads, quantiles and texture of each band: the floor any encoder should beat."""

    name: Literal["image_stats"] = Field(description="Plain statistics of each band.")
    quantiles: Shares = Field((0.1, 0.5, 0.9), description="Quantiles of each band, as shares.")
    sequence: _Sequence = None
    multi_scale: _MultiScale = None


class PixelMeanSpec(Block):
    """The mean of each band: for embedding products that hold a vector in every pixel."""

    name: Literal["pixel_mean"] = Field(description="Mean of each band over valid pixels.")
    sequence: _Sequence = None
    multi_scale: _MultiScale = None


class PretrainedSpec(Block):
    """A published network, by its name in the catalogue or by its YAML file."""

    name: NameOrFile = Field(
        description="A name that eocausal encoders list shows, or the path of an encoder's YAML file.",
        json_schema_extra={"not": {"enum": list(BUILT_IN)}},
    )
    pool: Text | None = Field(
        None, description="How tokens become one vector: cls, mean or projected. Default: the encoder's own."
    )
    precision: Literal["fp32", "bf16"] = Field("fp32", description="Precision of the network.")
    bands: dict[Text, Text] | None = Field(
        None, description="Bands of the encoder to those of the chips, where names do not tell: {red: SR_B3}."
    )
    wavelengths: dict[Text, Positive] | None = Field(
        None,
        description="Bands of the chips to their centre in micrometres, for encoders of any bands: {B1: 0.485}.",
    )
    units: dict[Text, PixelUnitName] | None = Field(
        None, description="Bands of the chips to their unit, where not all are in one: {B6: kelvin}."
    )
    white: float | None = Field(
        None, gt=0, le=2, description="Reflectance that is white, for encoders of pictures of 0 to 255."
    )
    weights: FilePath | None = Field(None, description="Folder with the weights, instead of the hub.")
    revision: Commit | None = Field(None, description="Commit on the hub, instead of the one that is pinned.")
    download: bool = Field(True, description="Whether weights that are not on this machine may be fetched.")
    sequence: _Sequence = None
    multi_scale: _MultiScale = None


class BySizeSpec(Block):
    """An encoder of its own for each size of chips."""

    multi_scale: MultiScaleSpec = Field(
        description="Which sizes of chips are used, and what each becomes.",
        json_schema_extra={"required": ["encoders"]},
    )

    @property
    def name(self) -> str:
        """What such features are called."""
        return "multi_scale"


def _kind(value: Any) -> str | None:
    """Return which kind of encoder a block asks for, None where it does not say."""
    given = value if isinstance(value, Mapping) else getattr(value, "__dict__", {})
    name, scales = given.get("name"), given.get("multi_scale")
    if name is None:
        by_size = isinstance(value, BySizeSpec) or (isinstance(scales, Mapping) and "encoders" in scales)
        return BY_SIZE if by_size else None
    return str(name) if name in BUILT_IN else PRETRAINED


def _known(value: Any) -> Any:
    """Refuse what is no block, and a name that no encoder has; a block without a name is told by its kind."""
    if not isinstance(value, Mapping):
        if isinstance(value, Block):
            return value
        raise mistake("must be a block of fields, such as {name: rcf}")
    name = value.get("name")
    if not isinstance(name, str) or not name or is_encoder_file(name):
        return value
    if name.startswith(HUB):
        raise mistake(
            f"name {name!r} is that of a network, which does not say what it reads. Write its YAML file, for which "
            f"eocausal encoders show {name} prints a start, and name the file here"
        )
    if name not in encoder_names():
        raise mistake(f"name {name!r} is not known. {did_you_mean(name, encoder_names())}")
    return value


EncoderSpec = Annotated[
    Annotated[RcfSpec, Tag("rcf")]
    | Annotated[ImageStatsSpec, Tag("image_stats")]
    | Annotated[PixelMeanSpec, Tag("pixel_mean")]
    | Annotated[PretrainedSpec, Tag(PRETRAINED)]
    | Annotated[BySizeSpec, Tag(BY_SIZE)],
    Discriminator(_kind),
    BeforeValidator(_known),
]
"""One of the kinds of encoder, told apart by name."""

for _model in (MultiScaleSpec, RcfSpec, ImageStatsSpec, PixelMeanSpec, PretrainedSpec, BySizeSpec):
    _model.model_rebuild()
