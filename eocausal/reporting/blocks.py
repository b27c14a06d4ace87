"""What a report is made of: sections of paragraphs, tables, figures and galleries, as plain text and pictures.

Blocks hold text, never HTML: the template escapes every string when it writes the page.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = [
    "Block",
    "Fact",
    "Facts",
    "Figure",
    "Gallery",
    "Heading",
    "Items",
    "Notes",
    "Picture",
    "Section",
    "Table",
    "Text",
]


@dataclass(frozen=True)
class Text:
    """A paragraph; ``tone`` is ``plain``, ``lead`` (the answer), ``caution`` or ``small``."""

    text: str
    tone: str = "plain"
    kind: str = "text"


@dataclass(frozen=True)
class Heading:
    """A heading inside a section."""

    text: str
    kind: str = "heading"


@dataclass(frozen=True)
class Fact:
    """One figure of the headline: a name, a value and what qualifies it."""

    name: str
    value: str
    detail: str = ""
    anchor: str = ""


@dataclass(frozen=True)
class Facts:
    """The few numbers at the head."""

    facts: tuple[Fact, ...]
    kind: str = "facts"


@dataclass(frozen=True)
class Table:
    """Rows of finished text; ``numeric`` says which columns are set flush right."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]
    note: str = ""
    kind: str = "table"


@dataclass(frozen=True)
class Figure:
    """A chart or a map as a data address, with what it shows and how to read it."""

    source: str
    alt: str
    caption: str
    how_to_read: str
    kind: str = "figure"


@dataclass(frozen=True)
class Picture:
    """One thumbnail with the text under it."""

    source: str
    alt: str
    title: str
    detail: str = ""
    tone: str = ""


@dataclass(frozen=True)
class Gallery:
    """Thumbnails side by side."""

    caption: str
    pictures: tuple[Picture, ...]
    how_to_read: str = ""
    kind: str = "gallery"


@dataclass(frozen=True)
class Notes:
    """Warnings or assumptions: each with the results it belongs to."""

    notes: tuple[tuple[str, str], ...]
    tone: str = "warning"
    kind: str = "notes"


@dataclass(frozen=True)
class Items:
    """Names with values, such as versions and hashes."""

    items: tuple[tuple[str, str], ...]
    kind: str = "items"


Block = Text | Heading | Facts | Table | Figure | Gallery | Notes | Items


@dataclass(frozen=True)
class Section:
    """A titled part of the report."""

    anchor: str
    title: str
    blocks: tuple[Block, ...] = field(default_factory=tuple)
