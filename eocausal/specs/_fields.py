"""Kinds of value that the fields of a specification hold: text, names, lists, paths, dates, numbers.

Numbers and text are never taken for each other. One value may stand for a list of one, because that is how
people write it. Paths are relative to the folder of the specification and may name environment variables.
"""

from __future__ import annotations

import os
import re
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, ValidationInfo
from pydantic_core import PydanticCustomError

from eocausal.specs._periods import EACH, PERIOD, length_of, period_of

__all__ = [
    "POLYGON", "TAGS", "Band", "Bands", "CalendarDate", "Chance", "Columns", "Count", "Counts", "DateOrTags",
    "Distance", "FilePath", "Finite", "Length", "Names", "PatchSizes", "PathOrAddress", "PathsOrAddresses",
    "Period", "Positive", "Seed", "Share", "Shares", "Sides", "SizesOrPolygon", "Text", "Windows", "is_address",
    "resolved",
]  # fmt: skip

# Words that stand in place of a value: a size by the units' own polygons, days by the tags of files.
POLYGON, TAGS = "polygon", "tags"

_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_ADDRESS = re.compile(r"(https?|s3|gs)://")
_REMOTE = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+://|/vsi)")


def is_address(value: object) -> bool:
    """Whether a value is an address on a server and not a path."""
    return isinstance(value, str) and _ADDRESS.match(value) is not None


def mistake(text: str) -> PydanticCustomError:
    """Return an error whose text the reader of a specification sees as it is."""
    return PydanticCustomError("eocausal", "{text}", {"text": text})


def as_many(value: Any) -> Any:
    """Read one value as a list of one; lists become tuples so that models are frozen throughout."""
    if value is None:
        return ()
    if isinstance(value, tuple | dict):
        return value
    return tuple(value) if isinstance(value, list) else (value,)


def all_different(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Refuse a value that is listed twice."""
    twice = sorted({str(value) for value in values if values.count(value) > 1})
    if twice:
        raise mistake(f"listed more than once: {', '.join(twice)}. Keep one of each")
    return values


def _calendar_date(value: Any) -> date:
    if type(value) is date:
        return value
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            raise mistake(f"{value} is not a day of the calendar") from None
    raise mistake(f"{value!r} is not a date. Write year-month-day, such as 2007-06-30")


def _date_or_tags(value: Any) -> date | str:
    return TAGS if value == TAGS else _calendar_date(value)


def _period(value: Any) -> str:
    # a year is a whole number to YAML and a period to everyone else
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if isinstance(text, str) and period_of(text) is not None:
        return text
    raise mistake(f"{value!r} is not a period. Write {PERIOD}")


def _window(value: Any) -> str:
    return EACH if value == EACH else _period(value)


def _length(value: Any) -> str:
    if isinstance(value, str) and length_of(value) is not None:
        return value
    raise mistake(f"{value!r} is not a length of time. Write years, months or days, such as 3Y, 18M or 90D")


def _distance(value: Any) -> str:
    if isinstance(value, str) and re.fullmatch(r"\d+(\.\d+)? ?k?m", value):
        return value
    raise mistake(f"{value!r} is not a distance. Write metres or kilometres, such as 50km or 800m")


def _size(value: Any) -> float | str:
    if value == POLYGON:
        return POLYGON
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf"):
        return float(value)
    raise mistake(f"{value!r} is not a size. Write metres, more than 0, or {POLYGON}")


def _chance(value: Any) -> float | str:
    if isinstance(value, str) and value:
        return value
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1:
        return float(value)
    raise mistake(
        f"{value!r} is not a propensity. Write the known probability of treatment, strictly between 0 and 1, "
        "or the name of the column that holds it"
    )


def _band(value: Any) -> int | str:
    if isinstance(value, str) and value:
        return value
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    raise mistake(f"{value!r} is not a band. Write its number, from 1, or its name")


def _columns(value: Any) -> str | tuple[str, ...]:
    if isinstance(value, str) and value:
        return value
    names = value if isinstance(value, list | tuple) else ()
    if names and all(isinstance(name, str) and name for name in names):
        return tuple(names)
    raise mistake("must be a list of column names, such as [e0, e1], or the prefix they share, such as e")


def resolved(value: str, info: ValidationInfo) -> str:
    """Fill in environment variables and anchor a relative path at the folder of the specification."""
    missing = [name for name in _VARIABLE.findall(value) if not os.environ.get(name)]
    if missing:
        raise mistake(
            f"the environment variable {missing[0] or '(no name)'} is not set. "
            f"Set it first, such as: export {missing[0] or 'NAME'}=/folder/of/the/data"
        )
    filled = _VARIABLE.sub(lambda found: os.environ[found.group(1)], value)
    if _REMOTE.match(filled):
        raise mistake(f"{value!r} is not a local path. Download the file first and name it here")
    folder = (info.context or {}).get("folder")
    if folder is None:
        return filled
    # normpath and not resolve: a link inside the data folder keeps the name its owner gave it
    return os.path.normpath(Path(folder) / Path(filled).expanduser())


def _address_or_path(value: str, info: ValidationInfo) -> str:
    """Keep an address on a server as it is; everything else is a path."""
    if not is_address(value):
        return resolved(value, info)
    if "?" in value or "@" in value.split("/")[2]:
        raise mistake(
            "the address holds a query or a password, which would be written to the records of a run. "
            "Give credentials by the environment"
        )
    return value


Text = Annotated[str, Field(min_length=1)]
FilePath = Annotated[Text, AfterValidator(resolved)]
PathOrAddress = Annotated[Text, AfterValidator(_address_or_path)]
Seed = Annotated[int, Field(ge=0)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
CalendarDate = Annotated[
    date,
    PlainValidator(
        _calendar_date, json_schema_input_type=Annotated[str, Field(json_schema_extra={"format": "date"})]
    ),
]
DateOrTags = Annotated[
    date | Literal["tags"],
    PlainValidator(
        _date_or_tags,
        json_schema_input_type=Annotated[str, Field(json_schema_extra={"format": "date"})] | Literal["tags"],
    ),
]
Chance = Annotated[
    float | str, PlainValidator(_chance, json_schema_input_type=Annotated[float, Field(gt=0, lt=1)] | Text)
]

Names = Annotated[
    tuple[Text, ...],
    AfterValidator(all_different),
    BeforeValidator(as_many, json_schema_input_type=Text | list[Text]),
]
PathsOrAddresses = Annotated[
    tuple[PathOrAddress, ...],
    AfterValidator(all_different),
    BeforeValidator(as_many, json_schema_input_type=Text | list[Text]),
]
_SizeInput = Positive | Literal["polygon"]
SizesOrPolygon = Annotated[
    tuple[Annotated[float | Literal["polygon"], PlainValidator(_size)], ...],
    AfterValidator(all_different),
    BeforeValidator(as_many, json_schema_input_type=_SizeInput | list[_SizeInput]),
]
# Sides that several sizes are brought to may be the same.
Sides = Annotated[
    tuple[Count, ...],
    BeforeValidator(as_many, json_schema_input_type=Count | list[Count]),
]
Distance = Annotated[
    str,
    PlainValidator(
        _distance,
        json_schema_input_type=Annotated[str, Field(json_schema_extra={"pattern": r"^\d+(\.\d+)? ?k?m$"})],
    ),
]
Period = Annotated[str, PlainValidator(_period, json_schema_input_type=Count | Text)]
Length = Annotated[
    str,
    PlainValidator(
        _length,
        json_schema_input_type=Annotated[str, Field(json_schema_extra={"pattern": "^[1-9][0-9]{0,3}[YMD]$"})],
    ),
]
Windows = Annotated[
    tuple[Annotated[str, PlainValidator(_window)], ...],
    AfterValidator(all_different),
    BeforeValidator(as_many, json_schema_input_type=Count | Text | list[Count | Text]),
]
Counts = Annotated[
    tuple[Count, ...],
    AfterValidator(all_different),
    BeforeValidator(as_many, json_schema_input_type=Count | list[Count]),
]
PatchSizes = Annotated[
    tuple[Annotated[int, Field(ge=2)], ...],
    Field(min_length=1),
    AfterValidator(all_different),
    BeforeValidator(as_many, json_schema_input_type=Count | list[Count]),
]
Shares = Annotated[
    tuple[Share, ...],
    AfterValidator(all_different),
    BeforeValidator(as_many, json_schema_input_type=Finite | list[Finite]),
]
Band = Annotated[int | str, PlainValidator(_band, json_schema_input_type=Count | Text)]
Bands = Annotated[
    tuple[Annotated[int | str, PlainValidator(_band)], ...],
    AfterValidator(all_different),
    BeforeValidator(as_many, json_schema_input_type=Count | Text | list[Count | Text]),
]
Columns = Annotated[str | tuple[str, ...], PlainValidator(_columns, json_schema_input_type=Text | list[Text])]
