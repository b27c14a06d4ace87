"""What a design refuses: values in place of names, constant columns, columns made from treatment or outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eocausal import leaks
from eocausal._image_info import days_shown
from eocausal._study_columns import covariate_of
from eocausal.errors import DesignError, LeakError, explain
from eocausal.study_table import StudyTable, frame_of
from eocausal.units import Units

if TYPE_CHECKING:
    from eocausal.design import Design


def require_names(design: Design) -> None:
    """Raise where values stand in place of the name of a column."""
    required = {"outcome": design.outcome, "treatment": design.treatment}
    required |= {f"covariates[{position}]": name for position, name in enumerate(design.covariates)}
    optional: dict[str, Any] = {"cluster": design.cluster, "weights": design.weights}
    if not isinstance(design.propensity, float | int | np.floating):
        optional["propensity"] = design.propensity
    for role, name in {**required, **optional}.items():
        if not isinstance(name, str) and not (name is None and role in optional):
            fix = f"data['{role}'] = values, then Design(data, {role}='{role}')"
            raise DesignError(
                explain(
                    f"{role} is a {type(name).__name__}, not the name of a column.",
                    fix=fix if role in optional else "data.columns = data.columns.astype(str)",
                )
            )


def refuse_constants(table: StudyTable, outcome: str) -> None:
    """Raise where the outcome or a covariate has one value for all units."""
    if np.ptp(table.outcome) == 0:
        raise DesignError(
            explain(f"Outcome {outcome!r} has the same value for all {table.outcome.size} units.")
        )
    constant = np.ptp(table.covariates, axis=0) == 0 if table.covariates.size else np.zeros(0, dtype=bool)
    if constant.any():
        raise DesignError(
            explain(
                "Covariates are constant.",
                where=np.array(table.covariate_names)[constant],
                fix="leave them out; they carry no information",
            )
        )
    flat = [
        name
        for name, (start, stop) in table.feature_blocks.items()
        if not np.ptp(table.features[:, start:stop], axis=0).any()
    ]
    if flat:
        raise DesignError(
            explain(
                "Features are the same for all units.",
                where=flat,
                fix="look at the pictures (chips.plot()): are they of the places, and do their values vary?",
            )
        )


def refuse_leaks(design: Design, table: StudyTable) -> None:
    """Raise LeakError where a covariate or feature is the outcome, follows from the treatment, or was made late."""
    frame, _, _ = frame_of(design)
    groups = _assignment_groups(table)
    numeric = frame.select_dtypes("number").iloc[table.rows]
    others = {
        str(name): column.to_numpy(dtype=float)
        for name, column in numeric.items()
        if name != design.treatment
    }
    for position, name in enumerate(table.covariate_names):
        seen = np.ones(len(groups), bool) if table.missing is None else ~table.missing[:, position]
        column = table.covariates[seen, position]
        if leaks.equal_up_to_scale(column, table.outcome[seen]):
            raise LeakError(
                explain(f"Covariate {name!r} equals the outcome up to scale.", fix="leave it out")
            )
        if np.unique(table.assigned[seen]).size < len(table.arms):
            continue  # of an arm that misses it, the 0/1 column of what is missing tells
        candidates = {other: values[seen] for other, values in others.items() if other != name}
        reason = leaks.function_of_assignment(
            column, table.assigned[seen], arms=table.arms, groups=groups[seen], others=candidates
        )
        if reason is not None:
            asked = covariate_of(name, design.covariates)
            raise LeakError(
                explain(
                    f"Covariate {name!r} {reason}.",
                    rule="a covariate is fixed before treatment and not made from it",
                    fix=f"covariates=[c for c in covariates if c != {asked!r}]; a trait of the "
                    "places that were assigned needs cluster= in Design",
                )
            )
    if table.features.shape[1]:
        _refuse_leaking_features(design, table, groups)
    if design.features is not None:
        shown = design.features.info["last_date"].to_numpy(dtype=object)
        refuse_late_images(design, table, shown[design.features.rows_for(table.image_keys)])


def _refuse_leaking_features(design: Design, table: StudyTable, groups: npt.NDArray[np.intp]) -> None:
    columns = design.features.columns if design.features is not None else ()
    found = leaks.features_of_assignment(
        table.features.astype(float), table.assigned, arms=table.arms, groups=groups
    )
    if found:
        names = [f"{columns[position]} {reason}" for position, reason in found.items()]
        raise LeakError(
            explain("Image features follow from the treatment.", where=names, fix="leave them out")
        )
    centred = table.outcome - table.outcome.mean()
    spread = table.features - table.features.mean(axis=0)
    norms = np.linalg.norm(spread, axis=0) * np.linalg.norm(centred)
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = np.where(norms > 0, np.abs(centred @ spread) / norms, 0.0)
    equal = correlation > 1 - 1e-6
    if equal.any():
        raise LeakError(
            explain("Image features equal the outcome up to scale.", where=np.array(columns)[equal])
        )


def refuse_late_images(design: Design, table: StudyTable, days: npt.NDArray[Any]) -> None:
    """Raise LeakError where a unit's image, by its last day (a day or None, (n,)), is not from before."""
    treated_on = design.data.dates if isinstance(design.data, Units) else None
    if treated_on is None:
        return
    shown = days_shown(days)
    late = shown >= treated_on[table.rows]
    if late.any():
        latest = np.unique(shown[late])
        span = str(latest[0]) if len(latest) == 1 else f"{latest[0]} to {latest[-1]}"
        raise LeakError(
            explain(
                f"The imagery of {span} was taken on or after treatment.",
                where=table.ids[late],
                rule="images that adjust or explain an effect come from before treatment",
                fix="use earlier imagery (ec.Frames(before=...)), or leave these units out",
            )
        )


def _assignment_groups(table: StudyTable) -> npt.NDArray[np.intp]:
    """Codes of the units of assignment: clusters, or else images, when most got one thing; else single units."""
    labels = table.image_keys if table.clusters is None else table.clusters
    codes = np.unique(labels, return_inverse=True)[1]
    lowest = np.full(int(codes.max()) + 1, np.inf)
    np.minimum.at(lowest, codes, table.assigned)
    highest = np.full(lowest.size, -np.inf)
    np.maximum.at(highest, codes, table.assigned)
    whole = (lowest == highest).mean()
    # a trial whose clusters are nearly all of one arm was assigned by cluster, whatever a few say
    return codes if whole > 0.5 else np.arange(table.ids.size)
