"""How a predicted outcome is corrected: from places where it was measured too, or as somebody did before."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from eocausal.specs._block import Block
from eocausal.specs._fields import FilePath, Names, Text

__all__ = ["DebiasSpec"]


class DebiasSpec(Block):
    """Correction of an outcome that was predicted from images."""

    corrector: FilePath | None = Field(
        None,
        description="A corrector that was written by to_json, or the card of a map, in place of a calibration.",
    )
    calibration: FilePath | None = Field(
        None, description="Table of places where the outcome was measured and predicted: CSV or Parquet."
    )
    id: Text | None = Field(None, description="Column that names each place once. Default: its row.")
    prediction: Text | None = Field(None, description="Column of the prediction, held out or out of fold.")
    truth: Text | None = Field(None, description="Column of the measured outcome.")
    weights: Text | None = Field(None, description="Column of sampling weights of the places.")
    cluster: Text | None = Field(None, description="Column of places that were drawn together.")
    groups: Names = Field(
        (), description="Columns by which places differ as a treatment might make them differ, such as urban."
    )
    trained_on: Text | None = Field(
        None, description="Column that is true for places the map was trained on; they are left out."
    )
    label_noise_var: float = Field(
        0.0, ge=0, description="Variance of the error of one measured outcome, in its unit squared."
    )
    method: Literal["auto", "none", "lcc", "tweedie"] = Field(
        "auto", description="Which correction is believed; auto: what the calibration speaks for, or none."
    )
    score: Literal["lindsey", "kde", "gaussian"] = Field(
        "lindsey", description="How the density of predictions is estimated."
    )
    noise: Literal["constant", "spline"] = Field(
        "constant", description="Whether the error's variance is one number or varies with the prediction."
    )
    recalibrate: bool = Field(
        True, description="Whether predictions are recalibrated before Tweedie's correction."
    )
