"""Study or target: the odds that a place is of the target, out of fold, and who is in both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._threads import one_blas_thread
from eocausal.errors import EvaluationError, explain
from eocausal.evaluate.target import stand_in
from eocausal.nuisance.fitting import fitted_propensity
from eocausal.nuisance.folds import deal
from eocausal.nuisance.learners import OutOfFold
from eocausal.nuisance.training_folds import TrainingFold

if TYPE_CHECKING:
    from eocausal.design import Design
    from eocausal.nuisance.learners import Learners

FloatArray = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]

# A classifier learns from at most this many target units, or this many times those of the study.
MOST_TO_LEARN_FROM = 20_000
TIMES_THE_STUDY = 5
# Target units are looked at so many at a time.
PIECE = 50_000
_TIED = "units drawn together"


@dataclass(frozen=True, eq=False)
class Both:
    """Study and target side by side.

    Attributes
    ----------
    study, target : Design
    same : array of shape (m,)
        Row of the study that a target unit is, -1 for all others.
    folds, target_folds : array of shape (n,) and (m,)
        A unit of both is in one fold.
    """

    study: Design
    target: Design
    same: Codes
    folds: Codes
    target_folds: Codes


def side_by_side(study: Design, target: Design, folds: Codes, *, seed: int) -> Both:
    """Find units that are in both samples and deal the target into the folds of the study, its clusters whole."""
    same = _same_units(study, target)
    groups, k = target.groups, int(folds.max()) + 1
    dealt = deal(groups, np.zeros(groups.size), k=k, seed=seed)[groups]
    return Both(study, target, same, folds, np.where(same >= 0, folds[same], dealt))


def _same_units(study: Design, target: Design) -> Codes:
    """Return the row of the study of units with the same id, covariates, features and place."""
    one, other = study.table, target.table
    if (one.ids.dtype.kind in "iuf") != (other.ids.dtype.kind in "iuf"):
        return np.full(len(target), -1, dtype=np.intp)
    rows = np.asarray(pd.Index(one.ids).get_indexer(pd.Index(other.ids)), dtype=np.intp)
    met = np.flatnonzero(rows >= 0)
    alike = (one.covariates[rows[met]] == other.covariates[met]).all(axis=1)
    alike &= (one.features[rows[met]] == other.features[met]).all(axis=1)
    if one.coordinates is not None and other.coordinates is not None:
        alike &= np.isclose(one.coordinates[rows[met]], other.coordinates[met], rtol=0, atol=1e-9).all(axis=1)
    rows[met[~alike]] = -1
    return rows


@dataclass(frozen=True, eq=False)
class Sampling:
    """How much likelier each place is in the study than in the target, from models that did not see it.

    Attributes
    ----------
    study, target : array of shape (n,) and (m,)
        Ratio of the share of study units that are like this to that of target units: 1 where the two are alike,
        near 0 where the study has hardly such places. Its inverse is the weight of a study unit.
    joint : Design
        Study units as treated, target units to learn from as controls.
    learned : array
        Rows of the target in ``joint``, behind all of the study.
    warnings : tuple of str
    diagnostics : mapping
    """

    study: FloatArray
    target: FloatArray
    joint: Design
    learned: Codes
    warnings: tuple[str, ...] = ()
    diagnostics: Mapping[str, Any] = field(default_factory=dict)


def sampling_ratios(both: Both, learners: Learners, *, seed: int, progress: bool = False) -> Sampling:
    """Learn, fold by fold, to tell the study from the target, and return how likely each place is in either.

    Of a large target a random part teaches; all of it is predicted, in pieces.

    Raises
    ------
    EvaluationError
        There are no columns, or study units that a model takes to be of the target for certain.
    """
    from tqdm import tqdm

    if isinstance(learners.propensity, OutOfFold):
        raise EvaluationError(
            explain(
                "Study and target are to be told apart anew, and the learner is predictions made beforehand.",
                fix="learners=ec.Learners(propensity='penalised_logit')",
            )
        )
    n = len(both.study)
    learned = _to_learn_from(both, seed=seed)
    joint = _joined(both, learned)
    folds = np.concatenate([both.folds, both.target_folds[learned]])
    found, ahead = np.zeros(n), np.zeros(len(both.target))
    moved = 0
    for fold in tqdm(range(int(folds.max()) + 1), desc="study or target", unit="fold", disable=not progress):
        ratio = _learn(joint, folds, fold, learners, seed=seed)
        own = both.folds == fold
        found[own], now = ratio(joint, np.flatnonzero(own))
        moved += now
        for rows in _pieces(np.flatnonzero(both.target_folds == fold)):
            ahead[rows], _ = ratio(both.target, rows)
    _refuse_impossible(both.study, found)
    warnings = (f"calibration moved {moved} probabilities off 0 or 1",) if moved else ()
    told = {"sampling_learner": learners.describe()["propensity_learner"], "n_target_learned": learned.size}
    return Sampling(found, ahead, joint, learned, warnings, told)


def _to_learn_from(both: Both, *, seed: int) -> Codes:
    """Return rows of the target to learn from: all, or a random part with the units that are of the study too."""
    everyone = np.arange(len(both.target), dtype=np.intp)
    most = max(MOST_TO_LEARN_FROM, TIMES_THE_STUDY * len(both.study))
    if everyone.size <= most:
        return everyone
    # drawn by rank of the id, so that the order of rows does not matter
    order = np.argsort(both.target.table.ids, kind="stable")
    return np.sort(order[np.random.default_rng(seed).permutation(everyone.size)[:most]])


def _joined(both: Both, learned: Codes) -> Design:
    """Return study and target as one design whose treatment is to be in the study."""
    one, other = both.study.table, both.target.table.take(learned)
    n, m = one.ids.size, learned.size
    # both samples count by their own weights, and each as much as it has units
    weights = [table.weights / table.weights.mean() for table in (one, other)]
    same = both.same[learned]
    groups = both.target.groups[learned]
    # units of both samples are tied, and nothing else is
    keys = np.concatenate([both.study.groups, np.where(same >= 0, both.study.groups[same], n + groups)])
    table = replace(
        one,
        ids=np.arange(n + m),
        outcome=np.zeros(n + m),
        assigned=np.repeat([1.0, 0.0], [n, m]),
        weights=np.concatenate(weights),
        covariates=np.concatenate([one.covariates, other.covariates]),
        features=np.concatenate([one.features, other.features]),
        image_keys=np.arange(n + m),
        clusters=keys,
        propensity=None,
        coordinates=None,
        rows=np.arange(n + m),
        arms=("target", "study"),
    )
    joint = stand_in(both.study, table, data=pd.DataFrame(index=range(n + m)))
    object.__setattr__(joint, "cluster", both.study.cluster or _TIED)
    return joint


@one_blas_thread()
def _learn(joint: Design, folds: Codes, fold: int, learners: Learners, *, seed: int) -> Any:
    """Return a function from a design and rows to ratios, and how many a calibration moved, learned elsewhere."""
    rows = folds != fold
    table = joint.table
    sizes = [float(table.weights[rows & (table.treatment == arm)].sum()) for arm in (0, 1)]
    if min(sizes) <= 0 or min((rows & (table.treatment == arm)).sum() for arm in (0, 1)) < 2:
        raise EvaluationError(
            explain(
                f"Outside fold {fold} there are fewer than 2 units of study or target.",
                rule="at least 2 of each to tell them apart by",
                fix="fewer folds in ec.cate(folds=ec.Folds(k=2))",
            )
        )
    part = TrainingFold(joint, fold, rows, groups=joint.groups, learners=learners, seed=seed)
    model = fitted_propensity(part)

    def ratio(design: Design, asked: Codes) -> tuple[FloatArray, int]:
        chance = model.predict(part.reducer.transform(design, asked))
        moved = 0
        if model.calibrate is not None:
            chance, changed = model.calibrate(chance)
            moved = int(changed.sum())
        with np.errstate(divide="ignore"):
            return np.asarray(chance / (1 - chance) * (sizes[0] / sizes[1])), moved

    return ratio


def _pieces(rows: Codes) -> list[Codes]:
    return [rows[start : start + PIECE] for start in range(0, rows.size, PIECE)]


def _refuse_impossible(study: Design, ratios: FloatArray) -> None:
    bad = ~(ratios > 0)
    if bad.any() or np.isinf(ratios).all():
        raise EvaluationError(
            explain(
                "A model takes study units to be of the target for certain, so no weight brings them there.",
                where=study.table.ids[bad],
                rule="probabilities strictly between 0 and 1",
                fix="a smoother learner: the default logit, or Learners(calibration='platt')",
            )
        )
