"""What a study and a labelled sample hold of outcomes sensed remotely, read and given back as a design."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import require_columns
from eocausal._study_columns import read_complete
from eocausal.debiasing.calibration_sample import CalibrationColumns, CalibrationSample, read_sample
from eocausal.design import Design
from eocausal.errors import DebiasError, explain
from eocausal.labelled.label_checks import OTHER_UNITS
from eocausal.study_table import StudyTable, frame_of

FloatArray = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]

# With fewer labelled units of a level than this, its mean prediction is hardly known.
LEAST_IN_LEVEL = 10
# A share of predictions that no labelled unit is like, from which on they hardly are of one model.
_MOSTLY = 0.5


@dataclass(frozen=True, eq=False)
class RemoteSamples:
    """Both samples as arrays.

    Attributes
    ----------
    design : Design
    trial : StudyTable
        All units of the study that have a prediction.
    trial_columns : array of shape (n, p)
        The prediction first, then other columns that were sensed.
    labelled : CalibrationSample
    columns : array of shape (m, p)
        The same columns of labelled units.
    levels : array of shape (m,)
        Level of the truth, codes from 0.
    """

    design: Design
    trial: StudyTable
    trial_columns: FloatArray
    labelled: CalibrationSample
    columns: FloatArray
    levels: Codes

    def with_outcome(self, values: FloatArray) -> Design:
        """Return the study with values (n,) of its units, in the order of ``trial``, as their outcome."""
        design, rows = self.design, self.trial.rows
        everyone = np.full(len(design.data), np.nan)
        everyone[rows] = values
        named = {design.outcome: everyone}
        given = design.data
        data = given.assign(**named) if isinstance(given, pd.DataFrame) else given.with_columns(**named)
        other = copy(design)
        object.__setattr__(other, "data", data)
        object.__setattr__(other, "table", replace(design.table, outcome=everyone[design.table.rows]))
        return other


def read_samples(
    design: object,
    labelled: object,
    *,
    prediction: str | Sequence[str] | None,
    truth: str,
    weights: str | None,
    cluster: str | None,
    levels: Sequence[float] | None,
) -> RemoteSamples:
    """Read and check a study and a labelled sample.

    Raises
    ------
    DebiasError
        No design, columns missing in either table, missing values, a truth that is not 0 or 1 (or does not fill its
        levels), and all that :func:`read_sample` refuses.
    """
    if not isinstance(design, Design):
        text = f"design is a {type(design).__name__}."
        raise DebiasError(
            explain(text, fix="ec.Design(table, outcome=<column of predictions>, treatment=...)")
        )
    design.require_binary("remote_outcome")
    own, *others = _names(prediction, design)
    known = [design.treatment] if isinstance(labelled, pd.DataFrame) and design.treatment in labelled else []
    asked = CalibrationColumns(
        own, truth, weights, cluster, groups=(*others, *known), table="labelled sample"
    )
    sample = read_sample(labelled, asked)
    trial = design.unadjusted().table
    frame = frame_of(design)[0]
    require_columns(frame, others, table="data of the design", error=DebiasError)
    of_trial = [_complete(frame[name].iloc[trial.rows], trial.ids, "data of the design") for name in others]
    of_labelled = [_complete(sample.groups[name], sample.ids, "labelled sample") for name in others]
    return RemoteSamples(
        design,
        trial,
        np.column_stack([trial.outcome, *of_trial]),
        sample,
        np.column_stack([sample.prediction, *of_labelled]),
        read_levels(sample, truth, levels),
    )


def read_levels(sample: CalibrationSample, truth: str, cuts: Sequence[float] | None) -> Codes:
    """Return the level of the truth of each labelled unit: 0 and 1, or between cut points.

    Raises
    ------
    DebiasError
        A truth that is not 0 or 1 without cut points, cut points that do not rise, or levels with few units.
    """
    if cuts is None:
        strange = ~np.isin(sample.truth, (0.0, 1.0))
        if strange.any():
            raise DebiasError(
                explain(
                    f"The truth {truth!r} is not 0 or 1.",
                    where=sample.ids[strange],
                    rule="a 0/1 outcome, or cut points that part another into levels",
                    fix="h=[40, 60]; or, where the outcome is a number without ends, ec.debias",
                )
            )
        codes = sample.truth.astype(np.intp)
    else:
        codes = np.searchsorted(_rising(cuts), sample.truth, side="right").astype(np.intp)
    n_levels = 2 if cuts is None else len(cuts) + 1
    counts = np.bincount(codes, minlength=n_levels)
    if counts.min() < LEAST_IN_LEVEL:
        few = [
            f"level {level}: {count}" for level, count in enumerate(counts.tolist()) if count < LEAST_IN_LEVEL
        ]
        raise DebiasError(
            explain(
                f"Levels of the truth {truth!r} have few labelled units.",
                where=few,
                rule=f"at least {LEAST_IN_LEVEL} in each level",
                fix="more labels" if cuts is None else "fewer cut points, at quantiles of the truth",
            )
        )
    return codes


def other_predictions(seen: FloatArray, labelled: FloatArray, whose: str) -> list[str]:
    """Return a warning where predictions (n,) are not like those of labelled units (m,): another unit, or band."""
    low, high = float(labelled.min()), float(labelled.max())
    ratio = float(seen.std() / labelled.std())
    outside = float(((seen < low) | (seen > high)).mean())
    if 1 / OTHER_UNITS <= ratio <= OTHER_UNITS and outside <= _MOSTLY:
        return []
    return [
        f"predictions of {whose} spread {ratio:.3g} times as much as those of labelled units, and {outside:.0%} of "
        f"them lie outside of the range of those ({low:.3g} to {high:.3g}): are both of one model, in one unit?"
    ]


def _rising(cuts: Sequence[float]) -> FloatArray:
    try:
        values = np.asarray(cuts, dtype=float)
    except (TypeError, ValueError):
        values = np.zeros(0)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all() or (np.diff(values) <= 0).any():
        raise DebiasError(explain(f"h={cuts!r}.", rule="one or more numbers that rise, such as [40, 60]"))
    return values


def _names(prediction: object, design: Design) -> list[str]:
    given: list[Any] = [design.outcome] if prediction is None else [prediction]
    if isinstance(prediction, list | tuple):
        given = list(prediction)
    if not given or not all(isinstance(name, str) for name in given) or len(set(given)) < len(given):
        text = f"prediction={prediction!r}."
        raise DebiasError(explain(text, rule="the name of a column, or a list of different names"))
    return given


def _complete(column: pd.Series, ids: npt.NDArray[Any], table: str) -> FloatArray:
    what = f"Column {column.name!r} has missing values in the {table}."
    return read_complete(column, ids, error=DebiasError, what=what)
