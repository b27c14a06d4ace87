"""Rules that tie two fields of one block of a specification together.

Each rule looks at a block as it was written, so it can be broken in the same reading as any single field; it
yields the place inside the block and the text that tells how to mend it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from eocausal.specs._fields import POLYGON
from eocausal.specs._imagery_rules import IMAGERY_RULES, Place, Rule, given, inner, listed

__all__ = ["CATE_OPTIONS", "RULES", "Place", "Rule", "metres"]


def _units_rules(block: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    alone = given(block, "lon", "lat")
    if len(alone) == 1:
        other = "lat" if alone == ["lon"] else "lon"
        yield (alone[0],), f"{alone[0]} stands alone. Name the column of {other} too, or leave out both"


def _design_rules(block: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    parts = {
        block[name]: name for name in given(block, "outcome", "treatment") if isinstance(block[name], str)
    }
    if len(parts) == 1 and len(given(block, "outcome", "treatment")) == 2:
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


def _named_rules(block: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    """Tell what goes with an encoder that is named: it is the same for all sizes."""
    if given(inner(block, "multi_scale"), "encoders"):
        text = "each size has an encoder of its own here, and name is one for all sizes. Keep one of the two"
        yield ("multi_scale", "encoders"), text


def _scale_rules(block: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    encoders = inner(block, "encoders")
    if given(block, "encoders", "size_m") == ["encoders", "size_m"]:
        yield ("size_m",), "the sizes are those that encoders names. Leave size_m out"
    for size in encoders:
        if given(inner(encoders, size), "multi_scale"):
            text = "several sizes cannot be inside one size. Leave it out"
            yield ("encoders", size, "multi_scale"), text


def _effects_rules(block: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    judged = {"rate": "ranks", "calibration": "tests", "groups": "sorts"}
    for name, verb in judged.items():
        if block.get(name) not in (None, False, [], ()) and not given(block, "cate"):
            yield (
                (name,),
                f"{name} {verb} units by effect and needs cate. Add cate: {{learner: causal_forest}}",
            )


# Options of `effects.cate` by learner: those that its settings have.
_REGRESSIONS = ("model", "pca", "columns")
CATE_OPTIONS = {
    "causal_forest": ("engine", "trees", "min_leaf", "sample_share", "pca", "candidates", "screen"),
    "r_learner": _REGRESSIONS,
    "dr_learner": _REGRESSIONS,
    "x_learner": _REGRESSIONS,
    "linear": ("components", "columns"),
}


def _cate_rules(block: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    learner = block.get("learner", "causal_forest")
    if not isinstance(learner, str) or learner not in CATE_OPTIONS:
        return
    known = dict.fromkeys(name for options in CATE_OPTIONS.values() for name in options)
    for name in block:
        if name in known and name not in CATE_OPTIONS[learner]:
            owners = " and ".join(one for one, options in CATE_OPTIONS.items() if name in options)
            yield (
                (name,),
                f"{name} goes with {owners}, not with learner: {learner}, which takes "
                f"{', '.join(CATE_OPTIONS[learner])}. Leave it out",
            )


def _folds_rules(block: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    blocks = block.get("kind") == "block"
    if blocks and not given(block, "block_m"):
        yield ("kind",), "kind: block needs the side of the squares. Add block_m: 100000 (metres)"
    if given(block, "block_m") and not blocks:
        yield ("block_m",), "block_m goes with kind: block. Add it, or leave block_m out"


def _vcov_rules(block: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    kinds = given(block, "kind", "conley", "bootstrap")
    if len(kinds) != 1:
        named = " and ".join(kinds) or "none is given"
        yield (), f"one of kind, conley and bootstrap says how standard errors are made; {named}. Keep one"
    for name, goes_with in (("kernel", "conley"), ("block", "bootstrap"), ("draws", "bootstrap")):
        if given(block, name) and not given(block, goes_with):
            yield (name,), f"{name} goes with {goes_with}. Leave it out"
    if block.get("bootstrap") == "block" and not given(block, "block"):
        yield ("bootstrap",), "bootstrap: block needs the side of the squares. Add block: 50km"
    if block.get("bootstrap") in ("cluster", "wild") and given(block, "block"):
        yield ("block",), f"block goes with bootstrap: block, not {block['bootstrap']}. Leave it out"


def _trim_rules(block: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    bounds = given(block, "low", "high")
    if block.get("rule") == "crump":
        for name in bounds:
            yield (name,), f"rule: crump finds its bounds itself. Leave {name} out"
    elif block.get("rule") in ("fixed", "quantile") and len(bounds) < 2:
        yield ("rule",), f"rule: {block['rule']} needs both bounds. Add low: and high:"


def _debias_rules(block: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    if len(given(block, "corrector", "calibration")) != 1:
        yield (), "one of calibration and corrector says how predictions are corrected. Keep one"
    if given(block, "corrector"):
        for name in block:
            if name not in ("corrector", "calibration") and block[name] is not None:
                yield (name,), f"{name} goes with calibration; a corrector was fitted already. Leave it out"
        return
    for name in ("prediction", "truth"):
        if not given(block, name):
            yield (), f"a calibration needs {name}. Add {name}: <column>"


def _first_estimate(block: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the block of the first average effect that is asked for; nothing where it is a name alone."""
    asked = inner(block, "effects").get("ate")
    first = asked[0] if isinstance(asked, list | tuple) and asked else asked
    return first if isinstance(first, Mapping) else {}


def _analysis_rules(block: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    if not given(block, "imagery", "embeddings"):
        yield (), "neither imagery nor embeddings is given. Add one: it is what the features come from"
    if given(block, "imagery") and not given(block, "encoder"):
        yield ("imagery",), "imagery needs an encoder. Add encoder: {name: rcf}"
    if given(block, "encoder") and not given(block, "imagery"):
        yield ("encoder",), "an encoder needs imagery to work on. Add imagery or leave the encoder out"
    first = _first_estimate(block)
    if given(block, "debias") and given(first, "repeats") and first["repeats"] != 1:
        text = "medians over repeated folds are not corrected. Put an estimate without repeats first"
        yield ("effects", "ate"), text
    units, imagery = inner(block, "units"), inner(block, "imagery")
    if given(inner(imagery, "frames"), "before") and not given(units, "date"):
        text = "before treatment needs the day of each unit's treatment. Name its column: units: {date: treated_on}"
        yield ("imagery", "frames", "before"), text
    if given(units, "displacement"):
        yield from _displacement_rules(block, imagery)
    for predicts in ("learners", "cate"):
        seen = inner(inner(block, "effects"), predicts).get("columns")
        if seen == "covariates" and not given(inner(block, "design"), "covariates"):
            text = (
                "the design has no covariates to predict from. Add design: {covariates: [...]}, or write both"
            )
            yield ("effects", predicts, "columns"), text
    yield from _size_rules(inner(block, "encoder"), imagery)
    yield from _frame_rules(inner(block, "encoder"), imagery)


def _size_rules(encoder: Mapping[str, Any], imagery: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    """Tell sizes that are encoded and not cut, and sides that are said twice."""
    scales, place = inner(encoder, "multi_scale"), ("encoder", "multi_scale")
    if given(scales, "side_px") and given(imagery, "resample_px"):
        yield (*place, "side_px"), "imagery has resample_px, which says the same. Keep one of the two"
    cut = {metres(size) for size in listed(imagery.get("size_m"))}
    if not cut or None in cut:
        return
    asked: list[tuple[Place, Any]] = [
        ((*place, "encoders", size), size) for size in inner(scales, "encoders")
    ]
    asked += [((*place, "size_m", turn), size) for turn, size in enumerate(listed(scales.get("size_m")))]
    for where, size in asked:
        if metres(size) not in {None, *cut}:
            there = ", ".join(f"{one:g}" for one in sorted(one for one in cut if one is not None))
            yield where, f"{size} is not among the sizes that imagery cuts, {there}. Add it to imagery.size_m"


def _frame_rules(encoder: Mapping[str, Any], imagery: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    """Tell sequences of rasters that are put together into one picture."""
    if not given(imagery, "rasters") or given(imagery, "frames"):
        return
    by_size = inner(inner(encoder, "multi_scale"), "encoders")
    blocks: list[tuple[Place, Mapping[str, Any]]] = [(("encoder",), encoder)]
    blocks += [(("encoder", "multi_scale", "encoders", size), inner(by_size, size)) for size in by_size]
    for place, block in blocks:
        if given(block, "sequence"):
            text = (
                "a sequence needs several frames, and these rasters make one picture. Add frames to imagery"
            )
            yield (*place, "sequence"), text


def metres(size: Any) -> float | None:
    """Return a size that is written as a number or as text such as 480 or 480m; None for other words."""
    if isinstance(size, bool):
        return None
    if isinstance(size, int | float):
        return float(size) if size > 0 else None
    text = str(size).removesuffix("m")
    return float(text) if re.fullmatch(r"\d+(\.\d+)?", text) else None


def _displacement_rules(block: Mapping[str, Any], imagery: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    place = ("units", "displacement")
    if not given(block, "imagery"):
        yield place, "displacement needs imagery to cut chips from at the draws. Add imagery or leave it out"
    elif given(imagery, "arrays"):
        yield place, "chips in arrays are cut already, not at draws. Cut them from rasters, or leave it out"
    elif POLYGON in listed(imagery.get("size_m")):
        yield place, "displaced units are points, and size_m: polygon needs polygons. Give metres"


def _rcf_and_named_rules(block: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    yield from _rcf_rules(block)
    yield from _named_rules(block)


RULES: dict[str, Rule] = {
    **IMAGERY_RULES,
    "UnitsSpec": _units_rules,
    "DesignSpec": _design_rules,
    "RcfSpec": _rcf_and_named_rules,
    "ImageStatsSpec": _named_rules,
    "PixelMeanSpec": _named_rules,
    "PretrainedSpec": _named_rules,
    "MultiScaleSpec": _scale_rules,
    "EffectsSpec": _effects_rules,
    "CateSpec": _cate_rules,
    "FoldsSpec": _folds_rules,
    "TrimSpec": _trim_rules,
    "VcovSpec": _vcov_rules,
    "DebiasSpec": _debias_rules,
    "AnalysisSpec": _analysis_rules,
}
