"""Kinds of value that the fields of a specification hold: text, names, lists, paths, dates, numbers.

Numbers and text are never taken for each other. One value may stand for a list of one, because that is how
people write it. Paths are relative to the folder of the specification and may name environment variables.
"""

from __future__ import annotations

import os
import re
from datetime import date
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, ValidationInfo
from pydantic_core import PydanticCustomError

__all__ = [
    "Band",
    "Bands",
    "CalendarDate",
    "Chance",
    "Columns",
    "Count",
    "Counts",
    "FilePath",
    "FilePaths",
    "Finite",
    "Names",
    "PatchSizes",
    "Positive",
    "Seed",
    "Shares",
    "Sizes",
    "Text",
]

_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_REMOTE = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+://|/vsi)")


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


def _resolved(value: str, info: ValidationInfo) -> str:
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


Text = Annotated[str, Field(min_length=1)]
FilePath = Annotated[Text, AfterValidator(_resolved)]
Seed = Annotated[int, Field(ge=0)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
CalendarDate = Annotated[
    date,
    PlainValidator(
        _calendar_date, json_schema_input_type=Annotated[str, Field(json_schema_extra={"format": "date"})]
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
FilePaths = Annotated[
    tuple[FilePath, ...],
    AfterValidator(all_different),
    BeforeValidator(as_many, json_schema_input_type=Text | list[Text]),
]
Sizes = Annotated[
    tuple[Positive, ...],
    AfterValidator(all_different),
    BeforeValidator(as_many, json_schema_input_type=Positive | list[Positive]),
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
    tuple[Annotated[float, Field(ge=0, le=1)], ...],
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
