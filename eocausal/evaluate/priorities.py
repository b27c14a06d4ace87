"""What units may be ranked by, and what may not: priorities that saw the units they would be judged on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal.design import Design
from eocausal.effects.cate import Cate
from eocausal.effects.effect_learners import beyond_single_effects
from eocausal.effects.weighting import doubly_robust_scores
from eocausal.errors import EvaluationError, explain
from eocausal.evaluate.half_sample import Part
from eocausal.nuisance.settings import provenance, settings_for

FloatArray = npt.NDArray[np.float64]
Priority = Cate | pd.Series | npt.NDArray[Any] | str


def parts_of_cate(source: Cate, named: Mapping[str, Priority | None]) -> tuple[list[Part], list[str]]:
    """Return one part per fold that has sequential predictions, or one part when none is asked for."""
    given = {
        name: value if value is None or value is source else _external(name, value, source.ids, None)
        for name, value in named.items()
    }
    for name, values in given.items():
        if isinstance(values, np.ndarray):
            _refuse_pooled(name, values, source)
    own = [name for name, values in given.items() if not isinstance(values, np.ndarray)]
    folds = source.folds if own else np.ones(source.ids.size, dtype=np.intp)
    parts = []
    for fold in range(1, int(folds.max()) + 1):
        rows = folds == fold
        priorities = {
            name: values[rows] if isinstance(values, np.ndarray) else source.sequential_values[rows]
            for name, values in given.items()
        }
        parts.append(
            Part(
                source.ids[rows],
                source.dr_scores[rows],
                source.weights[rows],
                source.group_codes[rows],
                priorities,
            )
        )
    constant = [part for part in parts if any(np.ptp(part.priorities[name]) == 0 for name in own)]
    warnings = beyond_single_effects(source.warnings)
    if own:
        warnings.append(
            f"the {int((source.folds == 0).sum())} units of the first fold only train; the rest is judged"
        )
    if constant:
        warnings.append(f"{len(constant)} folds have one predicted effect for all units")
    return parts, warnings


def parts_of_design(
    source: Design, named: Mapping[str, Priority | None], *, seed: int
) -> tuple[list[Part], list[str], Mapping[str, Any]]:
    """Return a held-out sample as one part, with its own doubly robust scores, warnings, and provenance."""
    source.require_binary("A ranking by effects")
    priorities = {}
    for name, value in named.items():
        if value is None:
            raise EvaluationError(
                explain("rate(design) needs something to rank by.", fix="priority=ec.cate(other_design)")
            )
        if isinstance(value, Cate):
            _refuse_seen(name, value, source)
            priorities[name] = value.predict(source).to_numpy()
        else:
            priorities[name] = _external(name, value, source.table.ids, source)
    settings = settings_for(source, folds=None, learners=None, seed=seed)
    found = doubly_robust_scores(source, settings)
    table = source.table
    part = Part(table.ids, found.scores, table.weights, source.groups, priorities)
    return [part], [*source.table.notes, *found.warnings], provenance(source, settings)


def _external(name: str, value: Any, ids: npt.NDArray[Any], design: Design | None) -> FloatArray:
    """Return a priority that was not trained here, in the order of ids."""
    if isinstance(value, Cate):
        raise EvaluationError(
            explain(
                f"Priority {name!r} is another Cate; its predictions saw these units.",
                fix="rate(held_out_design, priority=cate_of_other_units)",
            )
        )
    if isinstance(value, pd.DataFrame):
        raise EvaluationError(
            explain(f"Priority {name!r} is a table.", fix="pass one column: a Series by unit id")
        )
    if isinstance(value, str):
        if design is None:
            raise EvaluationError(
                explain(f"Priority {value!r} is a column name, but a Cate keeps no columns.",
                        fix=f"pass the column: units.frame.set_index(units.id)[{value!r}]")
            )  # fmt: skip
        frame = design.frame
        if value not in frame.columns:
            raise EvaluationError(explain(f"Priority {value!r} is not a column of the data."))
        value = frame[value].to_numpy()[design.table.rows]
    if isinstance(value, pd.Series):
        if "trained_on" in value.attrs:
            raise EvaluationError(_pooled_text(name))
        if value.index.has_duplicates:
            raise EvaluationError(
                explain(
                    f"Priority {name!r} has several values for some units.",
                    where=value.index[value.index.duplicated()],
                    fix="one value for each unit id",
                )
            )
        missing = ~np.isin(ids, value.index.to_numpy())
        if missing.any():
            raise EvaluationError(
                explain(
                    f"Priority {name!r} has no value for some units.",
                    where=ids[missing],
                    fix="index the Series by unit id",
                )
            )
        value = value.reindex(ids).to_numpy()
    return finite(f"priority {name!r}", value, ids.size)


def _refuse_pooled(name: str, values: FloatArray, source: Cate) -> None:
    """Raise when the priority orders units, or groups of them, as the effects or the scores do, or in reverse."""
    if np.ptp(values) == 0:
        return
    for seen in (source.effect_values, source.dr_scores):
        steps = np.diff(values[np.lexsort((values, seen))])
        back = np.diff(values[np.lexsort((-values, seen))])
        if (steps >= 0).all() or (back <= 0).all():
            raise EvaluationError(_pooled_text(name))


def _pooled_text(name: str) -> str:
    return explain(
        f"Priority {name!r} is made of predictions that were cross-fitted on the units it would be judged on.",
        rule="pooled cross-fitted priorities reject a true null about twice too often",
        fix="ec.rate(cate) without priority evaluates them fold by fold; or train on one half: design.split(); "
        "a column that was fixed beforehand goes with the design: ec.rate(design, priority='column')",
    )


def _refuse_seen(name: str, trained: Cate, source: Design) -> None:
    """Raise when the priority's model saw units, or images, of the evaluation design."""
    seen = np.isin(source.table.ids, trained.ids)
    if seen.any():
        raise EvaluationError(
            explain(
                f"Priority {name!r} was trained on units it would be judged on.",
                where=source.table.ids[seen],
                rule="training and evaluation share no unit",
                fix="train, test = design.split(0.5, seed=1); rate(test, priority=ec.cate(train))",
            )
        )
    # images are compared whether or not units share them within either part
    labels = {
        name: (own, trained.average.groups.get(name)) for name, own in source.cluster_labels().items()
    } | {"image": (source.table.image_keys, trained.image_keys)}
    for cluster, (own, others) in labels.items():
        shared = np.isin(own, np.zeros(0) if others is None else others)
        if shared.any():
            raise EvaluationError(
                explain(
                    f"Priority {name!r} was trained on units of the same {cluster!r}.",
                    where=np.unique(own[shared]),
                    rule="training and evaluation share no cluster and no image",
                    fix="design.split() keeps clusters and images whole",
                )
            )


def finite(what: str, values: Any, size: int) -> FloatArray:
    """Return values as a float array of the given length, all finite."""
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise EvaluationError(
            explain(f"{what} is not numeric.", fix="pass one number for each unit")
        ) from error
    if size == 0:
        raise EvaluationError(explain(f"{what} is empty."))
    if array.shape != (size,):
        raise EvaluationError(
            explain(f"{what} has shape {array.shape}.", rule=f"one value for each of {size} units")
        )
    bad = ~np.isfinite(array)
    if bad.any():
        raise EvaluationError(explain(f"{what} has missing or infinite values.", where=np.flatnonzero(bad)))
    return array
