"""How strong what was not seen would have to be, and which tests the first average effect must pass."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from eocausal.specs._block import Block
from eocausal.specs._fields import Names, Text, all_different, as_many

__all__ = ["SensitivitySpec"]

Kind = Literal[
    "omitted", "dml", "marginal", "oster", "breakdown", "evalue", "rosenbaum", "placebo", "spatial"
]  # fmt: skip
Kinds = Annotated[
    tuple[Kind, ...],
    AfterValidator(all_different),
    BeforeValidator(as_many, json_schema_input_type=Kind | list[Kind]),
]


class SensitivitySpec(Block):
    """Sensitivity analyses of the first average effect."""

    kinds: Kinds = Field(
        (),
        description="Which analyses: omitted, dml, marginal, oster, breakdown, evalue, rosenbaum, placebo, "
        "spatial. Default: the one that goes with the method.",
    )
    benchmark: Names = Field(
        (),
        description="What the unseen is measured against, each by itself: covariates, features (all image "
        "features), coordinates, or names of covariates. Default: features and covariates.",
    )
    outcomes: Names = Field(
        (), description="Of placebo: columns that treatment cannot have moved, such as the outcome before it."
    )
    future: Text | None = Field(
        None, description="Of placebo: column of a treatment that began later, 0 or 1."
    )
    strata: Text | None = Field(
        None, description="Of rosenbaum: column of pairs or strata. Default: pairs by propensity."
    )
