"""YAML text to plain values, each with the line and column it stands at.

Only the plain part of YAML is read: mappings, lists, text, numbers, true, false and null. Anchors and aliases
(a few hundred bytes of them can stand for millions of values), tags, merge keys, duplicate keys and a second
document are refused. Words that YAML 1.1 turns into something else (``NO``, ``on``, ``22:30``, ``010``)
stay text, as do dates. Built on the event stream of PyYAML, which makes no objects and does not recurse.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

__all__ = ["Document", "Mark", "YamlMistake", "read_yaml"]

MAX_BYTES = 256 * 1024
MAX_DEPTH = 32

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_EXPONENT = r"[eE][-+]?[0-9]{1,2}"
_WHOLE = r"(0|[1-9][0-9]*)"
_DECIMAL = re.compile(rf"[-+]?({_WHOLE}?\.[0-9]+({_EXPONENT})?|{_WHOLE}\.({_EXPONENT})?|{_WHOLE}{_EXPONENT})")
_WORDS: dict[str, bool | None] = {"": None, "~": None, "null": None, "true": True, "false": False}

Place = tuple[str | int, ...]


@dataclass(frozen=True)
class Mark:
    """A place in the text; lines and columns count from 1."""

    line: int
    column: int


class YamlMistake(Exception):
    """The text is not plain YAML; says where and why."""

    def __init__(self, mark: Mark, text: str) -> None:
        super().__init__(text)
        self.mark = mark
        self.text = text


@dataclass(frozen=True)
class Document:
    """What a YAML text holds.

    Parameters
    ----------
    content : object
        Dictionaries, lists, text, numbers, booleans and None.
    keys : dict of tuple to Mark
        Where the name of each field stands, by its place such as ``("design", "outcome")``.
    values : dict of tuple to Mark
        Where the value of each field or list item stands.
    source : dict of tuple to str
        The text of each single value as it was written.
    """

    content: Any
    keys: dict[Place, Mark] = field(default_factory=dict)
    values: dict[Place, Mark] = field(default_factory=dict)
    source: dict[Place, str] = field(default_factory=dict)


def read_yaml(text: str) -> Document:
    r"""Read one plain YAML document.

    Raises
    ------
    YamlMistake
        With the place, when the text is not plain YAML.

    Examples
    --------
    >>> document = read_yaml("country: NO\nstart: 2007-06-30\nshare: 1e-1")
    >>> document.content
    {'country': 'NO', 'start': '2007-06-30', 'share': 0.1}
    >>> document.values[("share",)]
    Mark(line=3, column=8)
    """
    try:
        return _Builder().build(yaml.parse(text, Loader=yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        at = error.problem_mark or error.context_mark
        raise YamlMistake(_mark(at), f"this is not YAML: {error.problem or error.context}") from None
    except yaml.reader.ReaderError as error:
        before = text[: int(error.position)]
        mark = Mark(before.count("\n") + 1, len(before) - before.rfind("\n"))
        raise YamlMistake(
            mark, f"the character U+{ord(text[error.position]):04X} may not stand here"
        ) from None


@dataclass
class _Open:
    """A mapping or list that is still being read."""

    place: Place
    holder: dict[str, Any] | list[Any]
    key: str | None = None


class _Builder:
    """Builds a document from events, with a list of what is open instead of recursion."""

    def __init__(self) -> None:
        self.document = Document(content=None)
        self.content: Any = None
        self.open: list[_Open] = []

    def build(self, events: Iterator[Any]) -> Document:
        documents = 0
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    raise YamlMistake(
                        _mark(event.start_mark), "a second document starts here. Keep one a file"
                    )
            elif isinstance(event, yaml.NodeEvent):
                _refuse_links(event)
                self._node(event)
            elif isinstance(event, yaml.CollectionEndEvent):
                self.open.pop()
        made = self.document
        return Document(self.content, made.keys, made.values, made.source)

    def _node(self, event: Any) -> None:
        at = _mark(event.start_mark)
        parent = self.open[-1] if self.open else None
        if parent is not None and isinstance(parent.holder, dict) and parent.key is None:
            self._key(event, parent, at)
            return
        place = _next_place(parent)
        self.document.values[place] = at
        value: Any
        if isinstance(event, yaml.ScalarEvent):
            value = _scalar(event)
            self.document.source[place] = event.value
        else:
            value = {} if isinstance(event, yaml.MappingStartEvent) else []
        self._put(parent, value)
        if not isinstance(event, yaml.ScalarEvent):
            if len(self.open) >= MAX_DEPTH:
                raise YamlMistake(at, f"blocks lie more than {MAX_DEPTH} deep")
            self.open.append(_Open(place, value))

    def _key(self, event: Any, parent: _Open, at: Mark) -> None:
        if not isinstance(event, yaml.ScalarEvent):
            raise YamlMistake(at, "the name of a field must be text")
        place = (*parent.place, event.value)
        if place in self.document.keys:
            first = self.document.keys[place].line
            raise YamlMistake(at, f"{event.value!r} is written twice, first in line {first}. Keep one")
        self.document.keys[place] = at
        parent.key = event.value

    def _put(self, parent: _Open | None, value: Any) -> None:
        if parent is None:
            self.content = value
        elif isinstance(parent.holder, dict):
            parent.holder[str(parent.key)] = value
            parent.key = None
        else:
            parent.holder.append(value)


def _next_place(parent: _Open | None) -> Place:
    if parent is None:
        return ()
    if isinstance(parent.holder, dict):
        return (*parent.place, str(parent.key))
    return (*parent.place, len(parent.holder))


def _refuse_links(event: Any) -> None:
    at = _mark(event.start_mark)
    if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
        raise YamlMistake(
            at, "anchors (&) and aliases (*) are not read. Write the value out, or put text in quotes"
        )
    if event.tag is not None:
        raise YamlMistake(at, f"the tag {event.tag!r} is not read. Write plain text or a number")


def _scalar(event: Any) -> Any:
    """Read a single value; what is quoted is text, what is plain may be a number or a word of YAML 1.2."""
    text: str = event.value
    if event.style is not None:
        return text
    if text.lower() in _WORDS and text in (text.lower(), text.capitalize(), text.upper()):
        return _WORDS[text.lower()]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _DECIMAL.fullmatch(text):
        return float(text)
    return text


def _mark(mark: Any) -> Mark:
    return Mark(mark.line + 1, mark.column + 1) if mark is not None else Mark(1, 1)
