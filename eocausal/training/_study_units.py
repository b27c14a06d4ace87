"""Units of a design as networks see them: the pictures that they look at, and which of them stop the training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal.errors import EstimationError, explain
from eocausal.nuisance.folds import deal
from eocausal.study_table import by_arm
from eocausal.training._fitting import Parts, Study
from eocausal.training._fold_pixels import ChipTable, usable
from eocausal.units import Units

if TYPE_CHECKING:
    from eocausal.design import Design
    from eocausal.encoding.protocol import ChipSource
    from eocausal.study_table import StudyTable

__all__ = ["keys_of_units", "parts_of", "refuse_blank", "study_of", "undated"]

Rows = npt.NDArray[np.intp]

# The part of the training folds that stops training: one in so many groups.
_VALIDATION_PARTS = 5


def keys_of_units(chips: ChipSource, design: Design) -> npt.NDArray[Any]:
    """Return the image key of each unit (n,), all of them keys of the chips, and known to tie units."""
    data, table = design.data, design.table
    name = chips.key_name
    known = data.image_key == name if isinstance(data, Units) else name in [*data.columns, data.index.name]
    if not known:
        raise EstimationError(
            explain(
                f"The chips are known by {name!r}, and the units of the design are not.",
                rule=f"units find their pictures by the column {name!r}",
                fix=f"ec.Design(units, ...) with units from ec.read_units(..., image_key={name!r})",
            )
        )
    keys = table.image_keys
    if not isinstance(data, Units):
        keys = (data[name] if name in data.columns else data.index).to_numpy()[table.rows]
    absent = pd.Index(chips.keys).get_indexer(pd.Index(keys)) < 0
    if absent.any():
        raise EstimationError(
            explain(
                f"The chips do not hold the pictures of {by_arm(absent, table.treatment)} (where: image keys).",
                where=keys[absent],
                rule=f"keys {name!r} of the chips look like {np.asarray(chips.keys)[:3].tolist()!r}",
                fix="make chips and design from the same units: ec.chips(units, ...), ec.Design(units, ...)",
            )
        )
    _, image = np.unique(keys, return_inverse=True)
    parted = pd.Series(design.groups).groupby(image).nunique().gt(1).to_numpy()
    if parted.any():
        raise EstimationError(
            explain(
                f"{int(parted.sum())} pictures are shared by units that the design takes for separate.",
                where=np.unique(keys)[parted],
                rule="units that share a picture stay in one fold",
                fix=f"ec.Design(units, ...) with units from ec.read_units(..., image_key={name!r})",
            )
        )
    return keys


def study_of(
    design: Design, keys: npt.NDArray[Any], read: ChipTable, chips: ChipSource
) -> tuple[Study, Rows]:
    """Return the units in the order of their ids with the chips that they look at, and that order.

    ``keys`` (n,) are the image keys of the units of the design, all of them in the table that was ``read``.

    Raises
    ------
    EstimationError
        Units without a usable picture.
    """
    table = design.table
    order = np.argsort(table.ids, kind="stable")
    image_of = pd.Index(read.keys).get_indexer(pd.Index(keys))
    refuse_blank(table, read, image_of, among=order)
    study = Study(
        ids=table.ids[order],
        outcome=table.outcome[order],
        treatment=table.treatment[order],
        weights=table.weights[order],
        covariates=table.covariates[order],
        groups=design.groups[order],
        image_of=np.asarray(image_of[order], dtype=np.intp),
        chips=read,
        source=chips,
    )
    return study, order


def refuse_blank(
    table: StudyTable, read: ChipTable, image_of: npt.NDArray[Any], *, among: npt.NDArray[Any]
) -> None:
    """Raise where some units, by position, have no usable picture; ``image_of`` (n,) are positions of chips."""
    blank = np.zeros(len(image_of), dtype=bool)
    blank[among] = ~usable(read)[image_of[among]]
    if blank.any():
        raise EstimationError(
            explain(
                f"{by_arm(blank, table.treatment)} have no usable picture "
                f"({', '.join(sorted(set(read.info['status'].to_numpy()[image_of][blank])))}).",
                where=table.ids[blank],
                rule="every unit has a picture with valid pixels",
                fix="leave them out and say so: design.take(~np.isin(design.table.ids, [...]))",
            )
        )


def undated(read: ChipTable, design: Design) -> tuple[str, ...]:
    """Return a warning when treatment has dates and pictures have none."""
    dates = design.data.dates if isinstance(design.data, Units) else None
    unknown = read.info["last_date"].isna().to_numpy()
    if dates is None or not unknown.any():
        return ()
    return (
        f"{int(unknown.sum())} pictures do not say when they were taken, so nothing shows that they are from "
        "before treatment",
    )


def parts_of(treatment: npt.NDArray[np.float64], folds: Rows, fold: int, *, tied: Rows, seed: int) -> Parts:
    """Divide the units outside a fold, by groups, into those that a network learns from and those that stop it.

    ``tied`` (n,) are the groups that the folds keep whole.
    """
    others = np.flatnonzero(folds != fold)
    codes = np.unique(tied[others], return_inverse=True)[1]
    arms = treatment[others]
    n_parts = min(_VALIDATION_PARTS, int(codes.max()) + 1)
    dealt = deal(codes, arms, k=n_parts, seed=seed)[codes]
    for part in range(n_parts):
        stop, learn = arms[dealt == part], arms[dealt != part]
        if all((stop == arm).any() and (learn == arm).sum() >= 2 for arm in (0, 1)):
            rows = np.flatnonzero(folds == fold)
            return Parts(others[dealt != part], others[dealt == part], rows)
    place = f"Outside fold {fold}" if (folds == fold).any() else "To learn from"
    counts = ", ".join(f"{int((arms == arm).sum())} {name}" for arm, name in ((1, "treated"), (0, "control")))
    raise EstimationError(
        explain(
            f"{place} there are {counts} units in {int(codes.max()) + 1} groups, which cannot be "
            "parted into one to learn from and one to stop training with both arms in each.",
            rule="2 units of each arm to learn from, 1 of each to stop training, no group in both",
            fix="fewer folds: folds=ec.Folds(k=2), or more clusters of each arm",
        )
    )
