"""The published form of the specification: JSON Schema for editors, a table of fields for people.

``python -m eocausal.specs.schema`` writes ``data_specs/schema/analysis.schema.json``; a test holds the
committed file to the models.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from eocausal._io import write_text

__all__ = ["analysis_schema", "field_table", "write_schema"]

DEFAULT_PATH = Path("data_specs/schema/analysis.schema.json")


def analysis_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of ``analysis.yaml``.

    Examples
    --------
    >>> sorted(analysis_schema()["required"])
    ['design', 'effects', 'spec_version', 'title', 'units']
    """
    from eocausal.specs.models import AnalysisSpec

    schema = AnalysisSpec.model_json_schema(mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def write_schema(path: str | Path = DEFAULT_PATH) -> Path:
    """Write the JSON Schema atomically and return its path."""
    return write_text(path, json.dumps(analysis_schema(), indent=2, sort_keys=True) + "\n")


def field_table() -> str:
    """Return every field of ``analysis.yaml`` with its meaning and default, as a Markdown table.

    Examples
    --------
    >>> print(field_table().splitlines()[2])
    | `spec_version` | Version of this format; 1. | required |
    """
    schema = analysis_schema()
    rows = ["| field | meaning | default |", "| --- | --- | --- |"]
    rows += [f"| `{name}` | {meaning} | {default} |" for name, meaning, default in _rows(schema, schema, "")]
    return "\n".join(rows) + "\n"


def _rows(block: dict[str, Any], schema: dict[str, Any], prefix: str) -> Iterator[tuple[str, str, str]]:
    for name, spec in block["properties"].items():
        required = name in block.get("required", ())
        inner_blocks = _inner_blocks(spec, schema)
        # a field whose words are those of its block carries them only there
        meaning = spec.get("description") or inner_blocks[0][1].get("description", "")
        yield f"{prefix}{name}", meaning, "required" if required else _default_of(spec)
        for label, inner in _without_repeats(inner_blocks):
            yield from _rows(inner, schema, f"{prefix}{name}{label}.")


def _without_repeats(kinds: list[tuple[str, dict[str, Any]]]) -> list[tuple[str, dict[str, Any]]]:
    """Return kinds of a block; fields that several have in the same words stand once, at the end, without label."""
    if len(kinds) < 2:
        return kinds
    told = [(name, spec.get("description")) for _, kind in kinds for name, spec in kind["properties"].items()]
    shared = {name for name, words in told if told.count((name, words)) > 1}
    common: dict[str, Any] = {}
    own = []
    for label, kind in kinds:
        fields = kind["properties"]
        common |= {name: spec for name, spec in fields.items() if name in shared and name not in common}
        own.append(
            (label, {**kind, "properties": {n: spec for n, spec in fields.items() if n not in shared}})
        )
    return [*own, ("", {"properties": common})]


def _inner_blocks(spec: dict[str, Any], schema: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return the blocks a field may hold; where there are several kinds, each with its label."""
    choices = [spec, *spec.get("anyOf", ())]
    of_lists = [choice["items"] for choice in choices if "items" in choice]
    choices += [inner for items in of_lists for inner in (items, *items.get("anyOf", ()))]
    kinds = [one["$ref"] for choice in choices for one in choice.get("oneOf", ())]
    if kinds:
        blocks = [_follow(reference, schema) for reference in kinds]
        # names that say which kind it is come before the kind that any other name is
        labelled = [(_label(block), block) for block in blocks]
        return sorted(labelled, key=lambda one: (one[0] == _label({"properties": {}}), one[0]))
    references = dict.fromkeys(choice["$ref"] for choice in choices if "$ref" in choice)
    return [("", _follow(reference, schema)) for reference in references]


def _label(kind: dict[str, Any]) -> str:
    """Return what one of several kinds of block is called: by its name, or that its name is free."""
    return f" ({kind['properties'].get('name', {}).get('const', 'any other name')})"


def _follow(reference: str, schema: dict[str, Any]) -> dict[str, Any]:
    block: dict[str, Any] = schema["$defs"][reference.rsplit("/", 1)[1]]
    return block


def _default_of(spec: dict[str, Any]) -> str:
    default = spec.get("default")
    return "none" if default in (None, []) else f"`{json.dumps(default)}`".replace('"', "")


if __name__ == "__main__":
    write_schema()
