"""Rules that tie two fields of one block of a specification together.

Each rule looks at a block as it was written, so it can be broken in the same reading as any single field; it
yields the place inside the block and the text that tells how to mend it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

__all__ = ["RULES", "Place", "Rule"]

Place = tuple[str | int, ...]
Rule = Callable[[Mapping[str, Any]], Iterator[tuple[Place, str]]]


def _given(block: Mapping[str, Any], *names: str) -> list[str]:
    """Return those of the named fields that are written down and are not null."""
    return [name for name in names if block.get(name) is not None]


def _units_rules(block: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    alone = _given(block, "lon", "lat")
    if len(alone) == 1:
        other = "lat" if alone == ["lon"] else "lon"
        yield (alone[0],), f"{alone[0]} stands alone. Name the column of {other} too, or leave out both"


def _imagery_rules(block: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    sources = _given(block, "rasters", "arrays")
    sizes = _given(block, "size_m", "size_px")
    if len(sizes) == 2:
        yield ("size_px",), "size_m and size_px are both given. Keep one"
    if _given(block, "convert_to", "offset_applied") and not _given(block, "pixel_unit"):
        yield (), "convert_to and offset_applied need pixel_unit. Say what the stored pixels are"
    if len(sources) == 2:
        yield ("arrays",), "rasters and arrays are both given. Keep one"
    elif not sources:
        yield (), "neither rasters nor arrays is given. Name the files the pictures come from"
    elif sources == ["rasters"]:
        if not sizes:
            yield (), "chips cut from rasters need a size. Give size_m (metres) or size_px (pixels)"
        for name in _given(block, "keys", "axes", "nodata"):
            yield (name,), f"{name} belongs to arrays, not to rasters. Leave it out"
    else:
        yield from _array_rules(block)


def _array_rules(block: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    if _given(block, "size_px"):
        yield ("size_px",), "size_px belongs to rasters; chips in arrays are cut already. Leave it out"
    if isinstance(block.get("size_m"), list | tuple) and len(block["size_m"]) > 1:
        yield ("size_m",), "chips in arrays have one size. Give the side they have, or leave it out"
    if _given(block, "quality"):
        yield ("quality",), "quality belongs to rasters; make pixels of arrays NaN yourself. Leave it out"
    if not _given(block, "keys"):
        yield (), "chips in arrays need keys. Name the array in the file that holds them"
    bands = block.get("bands")
    if any(isinstance(band, int) for band in (bands if isinstance(bands, list | tuple) else [bands])):
        yield ("bands",), "bands of arrays are named, not chosen, such as [red, green, blue]"


def _design_rules(block: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    parts = {
        block[name]: name for name in _given(block, "outcome", "treatment") if isinstance(block[name], str)
    }
    if len(parts) == 1 and len(_given(block, "outcome", "treatment")) == 2:
        yield (
            ("treatment",),
            f"{block['treatment']!r} is the outcome already. Name the column of the treatment",
        )
    covariates = block.get("covariates")
    for index, column in enumerate(covariates if isinstance(covariates, list | tuple) else [covariates]):
        if isinstance(column, str) and column in parts:
            yield ("covariates", index), f"{column!r} is the {parts[column]}, not a covariate. Leave it out"


def _rcf_rules(block: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    wanted, sizes = block.get("n_features", 512), block.get("patch_px", (3, 5))
    step = 2 * len(sizes) if isinstance(sizes, list | tuple) and sizes else 2
    if isinstance(wanted, int) and wanted > 0 and wanted % step:
        near = max(step, round(wanted / step) * step)
        text = f"{wanted} is not a multiple of {step} (2 for each of {step // 2} patch sizes). Write {near}"
        yield ("n_features",), text


def _effects_rules(block: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    if block.get("rate") and not _given(block, "cate"):
        yield (
            ("rate",),
            "rate ranks units by effect and needs cate. Add cate: {learner: causal_forest}",
        )


def _analysis_rules(block: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    if not _given(block, "imagery", "embeddings"):
        yield (), "neither imagery nor embeddings is given. Add one: it is what the features come from"
    if _given(block, "imagery") and not _given(block, "encoder"):
        yield ("imagery",), "imagery needs an encoder. Add encoder: {name: rcf}"
    if _given(block, "encoder") and not _given(block, "imagery"):
        yield ("encoder",), "an encoder needs imagery to work on. Add imagery or leave the encoder out"


RULES: dict[str, Rule] = {
    "UnitsSpec": _units_rules,
    "ImagerySpec": _imagery_rules,
    "DesignSpec": _design_rules,
    "RcfSpec": _rcf_rules,
    "EffectsSpec": _effects_rules,
    "AnalysisSpec": _analysis_rules,
}
