"""What a specification may say: one small frozen model for each block of ``analysis.yaml``.

The models know names, kinds and bounds; the rules that tie two fields together are a table beside them. They
read no files: :mod:`eocausal.specs.load` turns YAML into them, and :mod:`eocausal.specs.inputs` looks at the
files they name.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from eocausal.specs._block import Block
from eocausal.specs._fields import (
    CalendarDate,
    Chance,
    Columns,
    Count,
    FilePath,
    Finite,
    Names,
    Seed,
    Share,
    Text,
)
from eocausal.specs.debias import DebiasSpec
from eocausal.specs.effects import EffectsSpec
from eocausal.specs.encoders import EncoderSpec
from eocausal.specs.imagery import ImagerySpec
from eocausal.specs.sensitivity import SensitivitySpec

__all__ = [
    "AnalysisSpec", "DebiasSpec", "DesignSpec", "DisplacementSpec", "EffectsSpec", "EmbeddingsSpec", "EncoderSpec",
    "ImagerySpec", "SensitivitySpec", "TruthSpec", "UnitsSpec",
]  # fmt: skip


class DisplacementSpec(Block):
    """Published places that were displaced to protect respondents: features are means over draws of true places."""

    scheme: Literal["dhs"] = Field(
        "dhs", description="Law of displacement: that of the Demographic and Health Surveys."
    )
    urban: Text = Field(
        description="Column that says which units are urban: U or R, urban or rural, true or false, 1 or 0."
    )
    draws: Count = Field(8, description="Draws of each place.")
    within: FilePath | None = Field(
        None, description="File of polygons that displaced points were kept in, such as districts."
    )
    seed: Seed = Field(0, description="Seed of the draws.")


class UnitsSpec(Block):
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
    displacement: DisplacementSpec | None = Field(
        None, description="Survey points that were displaced; chips are cut at draws around them."
    )


class EmbeddingsSpec(Block):
    """A table of image features that was made elsewhere."""

    path: FilePath = Field(description="Parquet or CSV table with one row for each image key.")
    key: Text = Field(description="Column that holds the image key.")
    columns: Columns | None = Field(
        None,
        description="List of the feature columns, or the prefix they share. Default: all numbers but the key.",
    )
    date: CalendarDate | None = Field(None, description="Day the pictures behind the table were taken.")


class DesignSpec(Block):
    """Which columns play which part in the study."""

    outcome: Text = Field(description="Column of the outcome.")
    treatment: Text = Field(description="Column of the treatment: 0 control, 1 treated.")
    covariates: Names = Field((), description="Columns measured before treatment to adjust for.")
    cluster: Text | None = Field(None, description="Column of the groups that were assigned together.")
    weights: Text | None = Field(None, description="Column of sampling weights.")
    propensity: Chance | None = Field(
        None, description="Known probability of treatment, or the column that holds it. Default: estimated."
    )
    missing: Literal["error", "drop", "keep"] = Field(
        "error",
        description="Units that miss a value: stop, or drop them and report how many; keep drops only those "
        "without outcome or picture, and marks missing covariates by columns of their own.",
    )
    min_valid: Share = Field(
        0.0, description="Smallest share of valid pixels of a unit's picture; units below count as missing."
    )


class TruthSpec(Block):
    """What the effects are known to be. Only simulated data has this."""

    ate: Finite = Field(description="The true average effect.")
    effect_column: Text | None = Field(None, description="Column of the units table with true effects.")


class AnalysisSpec(Block):
    """A whole study: units, pictures, design, effects."""

    spec_version: Literal[1] = Field(description="Version of this format; 1.")
    title: Text = Field(description="Title of the report.")
    question: Text | None = Field(None, description="The question asked, printed at the head of the report.")
    units: UnitsSpec = Field(description="The table of units.")
    imagery: ImagerySpec | None = Field(None, description="Pictures that features are made from.")
    embeddings: EmbeddingsSpec | None = Field(None, description="Features that were made elsewhere.")
    encoder: EncoderSpec | None = Field(None, description="How features are made from imagery.")
    design: DesignSpec = Field(description="Which columns play which part.")
    effects: EffectsSpec = Field(description="What is estimated.")
    debias: DebiasSpec | None = Field(
        None,
        description="How the outcome is corrected, where it was predicted from images: the first of effects.ate is "
        "given as it is and corrected.",
    )
    sensitivity: SensitivitySpec | None = Field(
        None,
        description="How strong the unseen would have to be to change the first of effects.ate, and placebos.",
    )
    truth: TruthSpec | None = Field(None, description="Known effects, for simulated data only.")
    seed: Seed = Field(0, description="Seed of folds and forests.")
    out: FilePath = Field("out", validate_default=True, description="Folder the results are written to.")
