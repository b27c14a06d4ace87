"""What a reader must know of the results, and what made them: warnings, assumptions, provenance."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from typing import Any

import eocausal
from eocausal.reporting import tables
from eocausal.reporting.blocks import Block, Heading, Items, Notes, Text
from eocausal.reporting.study import AVERAGE, Study

__all__ = ["gather", "provenance_section", "warnings_section"]

ALL_AVERAGES = "All average effects"
# A value of a recipe longer than this is cut.
LONGEST_VALUE = 300


def warnings_section(study: Study) -> list[Block]:
    """Return every warning and every assumption once, with the results it belongs to."""
    warnings, assumptions = gather(study, "warnings"), gather(study, "assumptions")
    blocks: list[Block] = [Heading("Warnings")]
    blocks.append(Notes(tuple(warnings)) if warnings else Text("No result raised a warning."))
    if assumptions:
        blocks += [
            Heading("Assumptions"),
            Text("The results mean what they say only if these hold; the data cannot prove them."),
            Notes(tuple(assumptions), "assumption"),
        ]
    return blocks


def gather(study: Study, member: str) -> list[tuple[str, str]]:
    """Return each warning or assumption once, in the order met, with the results it belongs to."""
    owners: dict[str, list[str]] = {}
    # results of several estimates leave assumptions to these
    speakers = [(name, getattr(result, member, ())) for name, result in study.results]
    if member == "warnings":
        designed = () if study.design is None else study.design.table.notes
        speakers = [("Units", () if study.located is None else study.located.notes), *speakers]
        speakers += [("Design", designed), ("Report", _disagreements(study))]
    for name, texts in speakers:
        for text in texts:
            owners.setdefault(str(text), []).append(name)
    everyone = len(study.results)
    averages = {name for name, _ in study.results if name.startswith(AVERAGE)}
    return [
        (tables.sentence_case(text), _owners(names, averages, everyone)) for text, names in owners.items()
    ]


def _owners(names: list[str], averages: set[str], everyone: int) -> str:
    """Return the results a text belongs to, those that belong together in one word."""
    distinct = list(dict.fromkeys(names))
    results = [name for name in distinct if name not in ("Units", "Design", "Report")]
    if everyone > 2 and len(results) == everyone:
        return "All results"
    if len(averages) > 1 and averages <= set(results):
        first = next(name for name in distinct if name in averages)
        kept = [name for name in distinct if name == first or name not in averages]
        distinct = [ALL_AVERAGES if name == first else name for name in kept]
    return "; ".join(distinct)


def _disagreements(study: Study) -> tuple[str, ...]:
    """Say when the results were not made from the same design."""
    made = [result.provenance.get("design_hash") for _, result in study.results]
    made += [] if study.design is None else [study.design.fingerprint]
    different = len({code for code in made if code is not None})
    if different < 2:
        return ()
    return (f"the results come from {different} different designs; compare them with care",)


def provenance_section(study: Study) -> list[Block]:
    """Return what made the results: design, hashes, seeds, the recipe of the features, versions."""
    today = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    items = [("Written", today)]
    made = [(name, result.provenance) for name, result in study.results]
    for key, label in (
        ("design", "Design"), ("design_hash", "Hash of the design"), ("features_hash", "Hash of the features"),
        ("folds", "Folds"), ("seed", "Seed"), ("rate_seed", "Seed of RATE"),
    ):  # fmt: skip
        items += _distinct(label, [(name, one[key]) for name, one in made if one.get(key) is not None])
    if study.located is not None:
        items.append(("Hash of the units", study.located.fingerprint))
    if study.chips is not None:
        items += [("Chips", repr(study.chips)), ("Bands", ", ".join(study.chips.bands))]
        items += [("Date of the imagery", study.chips.date)] if study.chips.date else []
    blocks: list[Block] = [Items(tuple(items))]
    if study.design is not None and study.design.features is not None:
        features = study.design.features
        recipe = [("Features", repr(features)), *_flat(features.recipe)]
        blocks += [Heading("How the features were made"), Items(tuple(recipe))]
    installed = next((one["versions"] for _, one in made if "versions" in one), None) or _versions()
    # a package that runs from its source folder is not among the installed ones
    found = {"eocausal": eocausal.__version__} | {
        str(name): str(version) for name, version in installed.items() if version != "not installed"
    }
    return [*blocks, Heading("Versions"), Items(tuple(found.items()))]


def _versions() -> dict[str, str]:
    from eocausal._provenance import versions

    return versions()


def _distinct(label: str, values: list[tuple[str, Any]]) -> list[tuple[str, str]]:
    """Return one row when all results agree, else one a value with the results it belongs to."""
    owners: dict[str, list[str]] = {}
    for name, value in values:
        text = (
            ", ".join(f"{key} {one}" for key, one in value.items())
            if isinstance(value, Mapping)
            else str(value)
        )
        owners.setdefault(text, []).append(name)
    if len(owners) == 1:
        return [(label, text) for text in owners]
    return [(label, f"{text} ({'; '.join(dict.fromkeys(names))})") for text, names in owners.items()]


def _flat(recipe: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    """Return a nested recipe as rows, one a value, lists on one line."""
    rows: list[tuple[str, str]] = []
    for key, value in recipe.items():
        if value is None or value in ([], {}, ""):
            continue
        name = f"{before}{key}"
        if isinstance(value, list) and all(isinstance(part, Mapping) for part in value):
            value = {str(number): part for number, part in enumerate(value, start=1)}
        if isinstance(value, Mapping):
            rows += _flat(value, f"{name} / ")
            continue
        if isinstance(value, list) and not any(isinstance(part, Mapping | list) for part in value):
            value = ", ".join(map(str, value))
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        rows.append((name, text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"))
    return rows
