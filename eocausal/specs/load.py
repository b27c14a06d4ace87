"""A specification from disk: read, check, and tell every mistake with its line.

Mistakes come as one :class:`~eocausal.errors.SpecError` whose lines read
``file:line:column field: what is wrong. How to mend it``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from eocausal._checks import did_you_mean
from eocausal.errors import SpecError, explain
from eocausal.specs.models import AnalysisSpec
from eocausal.specs.yaml_text import MAX_BYTES, Document, Mark, Place, YamlMistake, read_yaml

__all__ = ["LoadedSpec", "checked", "load_spec", "spec_error"]

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class LoadedSpec:
    """A specification and where it came from.

    Parameters
    ----------
    spec : AnalysisSpec
        The checked specification; its paths are absolute, environment variables are filled in.
    path : Path
        The file as it was named.
    sha256 : str
        Hash of the bytes of the file.
    text : str
        The file as it was written.
    document : Document
        Where each value stands in the text, for later mistakes.
    """

    spec: AnalysisSpec
    path: Path
    sha256: str
    text: str = field(repr=False)
    document: Document = field(repr=False, compare=False)


def load_spec(path: str | Path) -> LoadedSpec:
    """Read and check a specification; no other file is touched.

    Parameters
    ----------
    path : str or Path
        YAML file (JSON is YAML too), at most 256 KB. Relative paths inside it are taken from its folder;
        ``${NAME}`` in a path is filled in from the environment.

    Returns
    -------
    LoadedSpec
        The specification with its source and hash.

    Raises
    ------
    SpecError
        One line for every mistake in the file, in the order of the file.

    Examples
    --------
    >>> load_spec("no_such_folder/study.yaml")
    Traceback (most recent call last):
    ...
    eocausal.errors.SpecError: There is no specification 'no_such_folder/study.yaml'.
      Mend: Name a YAML file.
    """
    source = Path(path)
    raw = _bytes_of(source)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise SpecError(f"{source}:{line}:1 the file is not UTF-8 text. Save it as UTF-8") from None
    folder = {"folder": source.parent.absolute()}
    whole = "a specification is a block of fields such as 'title: My study'"
    spec, document = checked(AnalysisSpec, text, source, whole=whole, context=folder)
    return LoadedSpec(spec, source, hashlib.sha256(raw).hexdigest(), text, document)


def checked(
    model: type[Model], text: str, source: Path, *, whole: str, context: Mapping[str, Any] | None = None
) -> tuple[Model, Document]:
    """Check the text of a YAML file against a model; mistakes are told at their line and column.

    Parameters
    ----------
    model : type
        The pydantic model of the whole file.
    text : str
        What the file holds.
    source : Path
        What mistakes are told of.
    whole : str
        What the file must be, said where it is no block of fields.
    context : dict, optional
        What checks of single fields may look at.

    Returns
    -------
    tuple
        The model's instance, and the document with the places of its values.
    """
    try:
        document = read_yaml(text)
    except YamlMistake as error:
        raise SpecError(f"{source}:{error.mark.line}:{error.mark.column} {error.text}") from None
    if not isinstance(document.content, dict):
        raise SpecError(f"{source}:1:1 {whole}")
    try:
        spec = model.model_validate(document.content, context=context)
    except ValidationError as error:
        mistakes = [_read_mistake(one, document) for one in _told(error.errors())]
        raise spec_error(source, document, mistakes=mistakes) from None
    return spec, document


def spec_error(path: Path, document: Document, *, mistakes: Iterable[tuple[Place, str]]) -> SpecError:
    """Build the error that tells mistakes at their places, in the order of the file.

    Parameters
    ----------
    path : Path
        The specification as it was named.
    document : Document
        Where its values stand.
    mistakes : iterable of (place, text)
        A place such as ``("design", "covariates", 1)`` and what is wrong there.

    Returns
    -------
    SpecError
        To be raised by the caller.
    """
    found = [(_place_in(document, place), text) for place, text in mistakes]
    placed = [(_mark_of(place, document), place, text) for place, text in found]
    placed.sort(key=lambda one: (one[0].line, one[0].column))
    lines = [f"{path}:{at.line}:{at.column} {_name_of(place)}{text}" for at, place, text in placed]
    return SpecError("\n".join(dict.fromkeys(lines)))


def _bytes_of(source: Path) -> bytes:
    """Read the file, refusing what cannot be a specification before it is in memory."""
    if not source.is_file():
        here = sorted(p.name for p in source.parent.glob("*.y*ml")) if source.parent.is_dir() else []
        kind = (
            f"{str(source)!r} is a folder."
            if source.is_dir()
            else f"There is no specification {str(source)!r}."
        )
        raise SpecError(explain(kind, fix=did_you_mean(source.name, here) if here else "Name a YAML file."))
    size = source.stat().st_size
    if size > MAX_BYTES:
        raise SpecError(
            explain(
                f"{str(source)!r} holds {size:,} bytes.",
                rule=f"a specification has at most {MAX_BYTES:,} bytes",
                fix="Keep data in the tables and rasters that the specification names.",
            )
        )
    return source.read_bytes()


def _told(errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """Leave out that a list is empty where it is so only because its members are wrong, which is told of them."""
    return [
        one
        for one in errors
        if one["type"] != "too_short"
        or not any(other["loc"][: len(one["loc"])] == one["loc"] for other in errors if other is not one)
    ]


def _read_mistake(error: ErrorDetails, document: Document) -> tuple[Place, str]:
    """Return place and text of one mistake that pydantic found."""
    place = _place_in(document, error["loc"])
    phrase = _PHRASES.get(error["type"], _plain)
    return place, phrase(error, document.source.get(place))


def _place_in(document: Document, location: tuple[str | int, ...]) -> Place:
    """Drop the steps of a pydantic location that are not in the file (kinds of block); keep the last."""
    place: Place = ()
    for step in location[:-1]:
        if (*place, step) in document.values:
            place = (*place, step)
    last = location[-1:]
    is_index = bool(last) and isinstance(last[0], int)
    if last and ((*place, *last) in document.values or not is_index):
        place = (*place, *last)
    return place


def _mark_of(place: Place, document: Document) -> Mark:
    """Return where a field stands: its name, else its value, else the block it should be in."""
    for known in (place[:length] for length in range(len(place), -1, -1)):
        mark = document.keys.get(known) or document.values.get(known)
        if mark is not None:
            return mark
    return Mark(1, 1)


def _name_of(place: Place) -> str:
    name = ""
    for step in place:
        name += f"[{step}]" if isinstance(step, int) else f".{step}"
    return f"{name.removeprefix('.')}: " if name else ""


def _custom(error: ErrorDetails, written: str | None) -> str:
    return str(error["ctx"]["text"])


def _missing(error: ErrorDetails, written: str | None) -> str:
    return "this field is missing"


def _not_text(error: ErrorDetails, written: str | None) -> str:
    if written:
        return f"must be text. Put it in quotes: '{written}'"
    if isinstance(error["input"], list | tuple | dict):
        return "must be one text, not a list or a block"
    return "is empty and must be text"


def _not_bool(error: ErrorDetails, written: str | None) -> str:
    return f"must be true or false, not {_shown(error, written)}"


def _not_number(error: ErrorDetails, written: str | None) -> str:
    whole = "a whole number" if "int" in error["type"] else "a number"
    quoted = written is not None and isinstance(error["input"], str)
    hint = ". Write it without quotes" if quoted and re.fullmatch(r"-?\d+(\.\d+)?", written or "") else ""
    return f"must be {whole}, not {_shown(error, written)}{hint}"


def _not_allowed(error: ErrorDetails, written: str | None) -> str:
    allowed = re.findall(r"'([^']*)'", error["ctx"]["expected"]) or [error["ctx"]["expected"]]
    return f"{_shown(error, written)} is not known. {did_you_mean(str(error['input']), allowed)}"


def _unknown_kind(error: ErrorDetails, written: str | None) -> str:
    allowed = re.findall(r"'([^']*)'", error["ctx"]["expected_tags"])
    return f"name {error['ctx']['tag']!r} is not known. {did_you_mean(str(error['ctx']['tag']), allowed)}"


def _not_block(error: ErrorDetails, written: str | None) -> str:
    return "must be a block of fields, such as {name: value}"


def _no_kind(error: ErrorDetails, written: str | None) -> str:
    return "this block needs a name, such as {name: rcf}"


def _not_list(error: ErrorDetails, written: str | None) -> str:
    return "must be a list, such as [first, second]"


def _too_short(error: ErrorDetails, written: str | None) -> str:
    return "is empty. Name at least one"


def _not_multiple(error: ErrorDetails, written: str | None) -> str:
    return f"{_shown(error, written)} is not a multiple of {error['ctx']['multiple_of']}"


def _plain(error: ErrorDetails, written: str | None) -> str:
    """Use pydantic's own words for bounds; they name the bound."""
    words = error["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    return f"{_shown(error, written)} is out of bounds: it must be {words}"


def _shown(error: ErrorDetails, written: str | None) -> str:
    return repr(written) if written is not None else type(error["input"]).__name__


_PHRASES = {
    "eocausal": _custom,
    "missing": _missing,
    "string_type": _not_text,
    "float_type": _not_number,
    "int_type": _not_number,
    "int_from_float": _not_number,
    "literal_error": _not_allowed,
    "bool_type": _not_bool,
    "bool_parsing": _not_bool,
    "union_tag_invalid": _unknown_kind,
    "union_tag_not_found": _no_kind,
    "model_type": _not_block,
    "model_attributes_type": _not_block,
    "dict_type": _not_block,
    "multiple_of": _not_multiple,
    "tuple_type": _not_list,
    "string_too_short": _too_short,
    "too_short": _too_short,
}
