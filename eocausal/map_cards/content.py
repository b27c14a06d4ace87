"""What stands in a map card: its version, its seal, and its form as JSON Schema.

``python -m eocausal.map_cards.content`` writes ``data_specs/schema/map_card.schema.json``; a test holds the
committed file to the models.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from eocausal._io import hash_content, write_text
from eocausal.errors import DebiasError, explain

__all__ = ["VERSION", "CardContent", "card_schema", "checked_content", "sealed", "write_card_schema"]

VERSION = 1
SEAL = "seal"
DEFAULT_PATH = Path("data_specs/schema/map_card.schema.json")

Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[int, Field(ge=1)]
Day = Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]
LONGEST = 2000
# Text that no card can move a terminal's cursor with.
Line = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f-\x9f]*$", max_length=LONGEST)]
_STRICT = ConfigDict(extra="forbid", frozen=True, strict=True)


class RasterContent(BaseModel):
    """The map that the card is of, told by its grid and its pixels."""

    model_config = _STRICT

    name: Line = Field(description="Name of the file; it may change.")
    band: Positive = Field(description="Band with the predictions, from 1.")
    band_name: Line = Field(description="Its name.")
    crs: str = Field(description="Reference system: EPSG code or WKT.")
    transform: list[Finite] = Field(
        min_length=6,
        max_length=6,
        description="a b c d e f of x = a column + b row + c, y = d column + e row + f.",
    )
    height: Positive = Field(description="Rows.")
    width: Positive = Field(description="Columns.")
    valid: Positive = Field(description="Pixels that have a value.")
    low: Finite = Field(description="Smallest value.")
    high: Finite = Field(description="Largest value.")
    pixels: str = Field(
        pattern=r"^[0-9a-f]{64}$",
        description="SHA-256 of the text 'eocausal map pixels 1 HEIGHT WIDTH' and a line feed, then of all values "
        "as little-endian 64-bit floats, NaN where there is none, in parts of 512 rows by 8192 columns, row by row "
        "within and between parts.",
    )


class CorrectorContent(BaseModel):
    """How predictions are corrected, as Corrector.to_dict gives it."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    type: Literal["Corrector"]
    prediction: Line = Field(description="What predictions were called in the calibration.")
    truth: Line = Field(description="What the measured outcome was called.")
    method: Literal["none", "lcc", "tweedie"] = Field(description="The correction that is believed.")
    k: Finite = Field(description="Slope of the prediction on the truth.")
    m: Finite = Field(description="Its intercept: lcc is (y - m) / k.")
    a: Finite = Field(description="Intercept of the truth on the prediction.")
    b: Finite = Field(description="Its slope: a + b y is recalibrated.")
    noise: dict[str, Any] = Field(description="Variance V(y) of the truth about the recalibrated prediction.")
    density: dict[str, Any] = Field(description="Density of the calibration's predictions.")
    parameters: list[str] = Field(description="Names of the rows of the covariance.")
    covariance: list[list[Finite]] = Field(description="Of the parameters.")
    reasons: list[Line] = Field(description="Why this correction is believed.")
    warnings: list[Line] = Field(description="What was found of the calibration.")
    n: Positive = Field(description="Places of the calibration.")
    n_drawn: Positive = Field(description="Places, or clusters of them, drawn independently.")
    truth_range: list[Finite] = Field(
        min_length=2,
        max_length=2,
        description="Range for display: that of the measured outcomes, rounded outwards so that none stands here.",
    )


class CardContent(BaseModel):
    """How one map is corrected: it travels with the map, and holds no measured outcome."""

    model_config = _STRICT

    type: Literal["MapCard"]
    card_version: Literal[1] = Field(description="Version of this format.")
    map: RasterContent
    radius_m: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        description="Predictions of the calibration were means of pixels within so many metres; null: one pixel."
    )
    period: Annotated[list[Day], Field(min_length=2, max_length=2)] | None = Field(
        description="First and last day that the map is of."
    )
    unit: Line | None = Field(description="Unit of predictions and outcome.")
    note: Line | None = Field(description="Anything else that users of the map need to know.")
    warnings: list[Line] = Field(description="What was found when map and calibration were put together.")
    corrector: CorrectorContent
    key: str = Field(pattern=r"^[0-9a-f]{16}$", description="Hash of the corrector's numbers.")
    seal: str = Field(pattern=r"^[0-9a-f]{16}$", description="Hash of all that stands above, by eocausal.")


def card_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of map cards.

    Examples
    --------
    >>> card_schema()["properties"]["card_version"]["const"]
    1
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **CardContent.model_json_schema(mode="validation"),
    }


def write_card_schema(path: str | Path = DEFAULT_PATH) -> Path:
    """Write the JSON Schema atomically and return its path."""
    return write_text(path, json.dumps(card_schema(), indent=2, sort_keys=True) + "\n")


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return content with the hash of it, by which damage is found."""
    return {**content, SEAL: hash_content(content)}


def checked_content(content: object, *, source: str) -> CardContent:
    """Return what stands in a card, or raise DebiasError where it is no card, of another version, or damaged."""
    if not isinstance(content, Mapping) or content.get("type") != "MapCard":
        raise DebiasError(
            explain(f"{source} is no map card.", fix="corrector.to_map_card('map.tif') writes one")
        )
    version = content.get("card_version")
    if version != VERSION or isinstance(version, bool):
        raise DebiasError(
            explain(
                f"{source} is a map card of version {version!r}.",
                rule=f"this eocausal reads version {VERSION}",
                fix="pip install --upgrade eocausal",
            )
        )
    whole = {name: part for name, part in content.items() if name != SEAL}
    if content.get(SEAL) != hash_content(whole):
        raise DebiasError(
            explain(
                f"{source} is damaged, or was changed by hand: its content does not match its seal.",
                rule="all teams correct one map in one way",
                fix="get it again from where it was published, or write it again: corrector.to_map_card(...)",
            )
        )
    try:
        return CardContent.model_validate(dict(content))
    except ValidationError as cause:
        places = [".".join(map(str, one["loc"])) + ": " + one["msg"] for one in cause.errors()]
        text = f"{source} does not have the form of a map card."
        raise DebiasError(
            explain(text, where=places, rule="data_specs/schema/map_card.schema.json")
        ) from cause


if __name__ == "__main__":
    write_card_schema()
