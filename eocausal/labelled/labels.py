"""Whose outcome was measured: columns of a design read, compared and refused where they contradict each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import require_columns, require_one_kind
from eocausal._study_columns import read_flags, read_numbers
from eocausal.design import Design
from eocausal.errors import DebiasError, DesignError, explain
from eocausal.labelled.asked import Labelling
from eocausal.study_table import frame_of

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Labelled:
    """A study whose outcome is predicted for all units and measured for some.

    Attributes
    ----------
    design : Design
        With the prediction as its outcome.
    truth : array of shape (n,)
        NaN where the outcome was not measured, or is not to be used.
    labelled : boolean array of shape (n,)
    probability : array of shape (n,) or None
        Of being labelled, where units differ in it.
    strata : array of shape (n,)
        Codes of ``strata_names``; all 0 without strata.
    strata_names : tuple of str
        Empty without strata.
    drawn_by : Series or None
        The groups that were labelled whole, by unit id.
    notes : tuple of str
        What a reader must know: units left out, truths that are not used.
    """

    design: Design
    truth: FloatArray
    labelled: BoolArray
    probability: FloatArray | None
    strata: npt.NDArray[np.intp]
    strata_names: tuple[str, ...]
    drawn_by: pd.Series | None
    notes: tuple[str, ...]

    @property
    def prediction(self) -> FloatArray:
        """Predictions of all units (n,)."""
        return self.design.table.outcome

    @property
    def chances(self) -> FloatArray:
        """What a label counts for: one over the probability of being labelled, 1 where all units had the same."""
        return np.ones(self.labelled.size) if self.probability is None else 1 / self.probability


def read_labels(
    design: Design,
    *,
    prediction: str | None,
    truth: str,
    labelled: str | None,
    labelling: Labelling,
    plain: bool,
) -> Labelled:
    """Read labels beside a design, whose outcome becomes the prediction.

    ``plain`` leaves covariates and features behind, as the difference in means does, with the units that miss them.
    """
    _require_design(design)
    _require_text(truth=truth, prediction=prediction, labelled=labelled)
    base = design if prediction in (None, design.outcome) else design.with_outcome(str(prediction))
    _require_roles(base, truth)
    base = base.unadjusted() if plain else base
    named = (
        truth,
        labelled,
        labelling.strata,
        labelling.cluster,
        labelling.trained_on,
        labelling.probability,
    )
    wanted = [one for one in named if isinstance(one, str)]
    require_columns(frame_of(base)[0], wanted, table="data", error=DebiasError)
    notes: list[str] = []
    everyone = base
    base = _without_training(base, labelling.trained_on, notes)
    frame = frame_of(base)[0].iloc[base.table.rows]
    ids = base.table.ids
    values = _numbers(frame[truth], ids, role="truth")
    marked = _marked(frame, (labelled, truth), ids, values, base, notes)
    if not marked.any():
        raise DebiasError(_no_label(everyone, truth, labelled, labelling.trained_on))
    codes, names = _strata(frame, labelling.strata, ids)
    return Labelled(
        design=base,
        truth=np.where(marked, values, np.nan),
        labelled=marked,
        probability=_probability(frame, labelling, ids, marked, notes),
        strata=codes,
        strata_names=names,
        drawn_by=_drawn_by(frame, labelling.cluster, ids, marked, notes),
        notes=tuple(notes),
    )


def _no_label(everyone: Design, truth: str, labelled: str | None, trained_on: str | None) -> str:
    """Return why no unit is labelled: none was, or all that were trained the model."""
    measured = frame_of(everyone)[0][truth].iloc[everyone.table.rows].notna().to_numpy()
    if trained_on is not None and measured.any():
        return explain(
            f"All units with a truth {truth!r} trained the model of the predictions ({trained_on!r}).",
            where=everyone.table.ids[measured],
            rule="labels tell the error of predictions only where the model has not learned from them",
            fix="predictions of each unit by a model of the others, or labels that were kept out of training",
        )
    fix = "the outcome as measured for some of the units"
    if labelled is not None and measured.any():
        return explain(
            f"No unit is labelled by {labelled!r}.", fix=f"leave labelled out: {truth!r} says who is"
        )
    return explain(f"No unit is labelled: {truth!r} has no value.", fix=fix)


def _require_design(design: object) -> None:
    if not isinstance(design, Design):
        text = f"design is a {type(design).__name__}."
        raise DebiasError(explain(text, fix="pass ec.Design(table, outcome='prediction', treatment=...)"))


def _require_text(**named: object) -> None:
    for name, value in named.items():
        if not isinstance(value, str) and not (value is None and name != "truth"):
            text = f"{name} is a {type(value).__name__}, not the name of a column."
            raise DebiasError(explain(text, fix=f"data['{name}'] = values, then {name}='{name}'"))


def _require_roles(design: Design, truth: str) -> None:
    if truth == design.outcome:
        text = f"Prediction and truth are the same column {truth!r}."
        raise DebiasError(
            explain(text, fix="prediction='the column of predictions', truth='what was measured'")
        )
    for role, given in (("treatment", [design.treatment]), ("covariates", design.covariates)):
        if truth in given:
            raise DebiasError(explain(f"The truth {truth!r} is among the {role} of the design."))


def _numbers(column: pd.Series, ids: npt.NDArray[Any], *, role: str) -> FloatArray:
    try:
        return read_numbers(column, ids, role=role)
    except DesignError as cause:
        raise DebiasError(str(cause)) from cause


def _without_training(design: Design, name: str | None, notes: list[str]) -> Design:
    """Leave out units that the predictions were learned from."""
    if name is None:
        return design
    frame = frame_of(design)[0].iloc[design.table.rows]
    trained = read_flags(frame, name, design.table.ids, error=DebiasError)
    if trained.all():
        raise DebiasError(
            explain(
                f"All units trained the model of the predictions ({name!r}).",
                rule="labels tell the error of predictions only where the model has not learned from them",
                fix="predictions of each unit by a model of the others",
            )
        )
    if trained.any():
        notes.append(
            f"left out: {design.table.by_arm(trained)} that the model of the predictions learned from ({name!r}), "
            "whose predictions are nearer to the truth than those of others"
        )
    return design.take(~trained)


def _marked(
    frame: pd.DataFrame,
    names: tuple[str | None, str],
    ids: npt.NDArray[Any],
    truth: FloatArray,
    design: Design,
    notes: list[str],
) -> BoolArray:
    """Return which units are labelled: those said to be, or those with a truth; ``names`` of both columns."""
    known, (name, measured) = ~np.isnan(truth), names
    if name is None:
        return known
    marked = read_flags(frame, name, ids, error=DebiasError)
    missing = marked & ~known
    if missing.any():
        raise DebiasError(
            explain(
                f"{design.table.by_arm(missing)} are labelled by {name!r} and have no truth.",
                where=ids[missing],
                rule="every labelled unit has a measured outcome",
                fix=f"data[{name!r}] = data[{name!r}] & data[{measured!r}].notna(), if it is missing by chance",
            )
        )
    unused = ~marked & known
    if unused.any():
        notes.append(
            f"{design.table.by_arm(unused)} have a truth and are not labelled by {name!r}: it is not used"
        )
    return marked


def _probability(
    frame: pd.DataFrame, labelling: Labelling, ids: npt.NDArray[Any], labelled: BoolArray, notes: list[str]
) -> FloatArray | None:
    """Return the probability of being labelled where units differ in it."""
    given = labelling.probability
    if given is None:
        return None
    values = (
        np.full(ids.size, given)
        if isinstance(given, float)
        else _numbers(frame[given], ids, role="probability")
    )
    bad = ~((values > 0) & (values <= 1))
    if bad.any():
        raise DebiasError(
            explain(
                f"The probability of being labelled, {given!r}, is not above 0 and at most 1 for some units.",
                where=ids[bad],
                rule="each unit could have been labelled; a share such as 0.1, not a percentage",
                fix="leave out units that could not: their outcomes say nothing here",
            )
        )
    sure = (values == 1) & ~labelled
    if sure.any():
        text = f"Units with a probability of 1 of being labelled ({given!r}) are not."
        raise DebiasError(explain(text, where=ids[sure]))
    expected, spread = float(values.sum()), float(np.sqrt((values * (1 - values)).sum()))
    one_by_one = labelling.cluster is None
    if one_by_one and abs(labelled.sum() - expected) > 4 * max(spread, 1.0):
        notes.append(
            f"{int(labelled.sum())} units are labelled, and by their probabilities {expected:.0f} should be: "
            "estimates are right only if the probabilities are"
        )
    return None if np.ptp(values) == 0 else values


def _strata(
    frame: pd.DataFrame, name: str | None, ids: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.intp], tuple[str, ...]]:
    if name is None:
        return np.zeros(ids.size, dtype=np.intp), ()
    if frame[name].isna().any():
        bad = ids[frame[name].isna().to_numpy()]
        fix = f"data = data.dropna(subset=[{name!r}])"
        raise DebiasError(explain(f"Strata {name!r} are missing for some units.", where=bad, fix=fix))
    what, fix = f"Labelling(strata={name!r})", f"data[{name!r}].astype(str)"
    require_one_kind(frame[name].to_numpy(), what=what, error=DebiasError, fix=fix)
    labels = frame[name].astype(str).to_numpy()
    names, codes = np.unique(labels, return_inverse=True)
    return np.asarray(codes, dtype=np.intp), tuple(str(one) for one in names)


def _drawn_by(
    frame: pd.DataFrame, name: str | None, ids: npt.NDArray[Any], labelled: BoolArray, notes: list[str]
) -> pd.Series | None:
    """Return the groups that were labelled whole, and say where they were not."""
    if name is None:
        return None
    groups = frame[name]
    if groups.isna().any():
        bad = ids[groups.isna().to_numpy()]
        raise DebiasError(
            explain(f"The groups {name!r} that were labelled whole are missing for some units.", where=bad)
        )
    labels = groups.to_numpy()
    require_one_kind(
        labels, what=f"Labelling(cluster={name!r})", error=DebiasError, fix=f"data[{name!r}].astype(str)"
    )
    shares = pd.Series(labelled).groupby(labels).mean()
    some = shares[shares > 0]
    if len(some) < 2:
        raise DebiasError(
            explain(
                f"All labels are in {len(some)} of the {len(shares)} groups of {name!r}.",
                where=some.index.tolist(),
                rule="labels in two groups at least, and better 30: groups are what was drawn",
                fix="more groups, or strata= for groups within which units were drawn",
            )
        )
    partly = some[some < 1]
    if len(partly):
        notes.append(
            f"{len(partly)} of {len(some)} groups of {name!r} with labels are labelled in part (first: "
            f"{', '.join(map(str, partly.index[:5]))}), and cluster= is for groups that are labelled whole: "
            "estimates are right where those that lack labels there are like the others"
        )
    return pd.Series(labels, index=pd.Index(ids, name="id"), name=name)
