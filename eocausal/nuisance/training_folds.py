"""What may be learned from for one fold: the other folds, the columns made from them, and folds within them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eocausal.errors import EstimationError, explain
from eocausal.nuisance.columns import ColumnReducer
from eocausal.nuisance.folds import deal
from eocausal.nuisance.models import INNER_SPLITS, Sample

if TYPE_CHECKING:
    from eocausal.design import Design
    from eocausal.nuisance.learners import Learners

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class InnerFold:
    """A part of the training rows that is predicted from the rest of them, groups kept whole."""

    train: BoolArray
    test: BoolArray
    reducer: ColumnReducer


class TrainingFold:
    """The units outside one fold, and all that is learned from them without outcome and treatment.

    Parameters
    ----------
    design : Design
    fold : int
        The fold that is predicted, for texts of errors.
    rows : boolean array of shape (n,)
        The units outside the fold.
    groups : array of shape (n,)
        Units that no inner split may part.
    learners : Learners
    seed : int
    """

    def __init__(
        self,
        design: Design,
        fold: int,
        rows: BoolArray,
        *,
        groups: npt.NDArray[np.intp],
        learners: Learners,
        seed: int,
    ) -> None:
        self.design, self.fold, self.rows = design, fold, rows
        self.groups, self.learners, self.seed = groups, learners, seed

    @cached_property
    def reducer(self) -> ColumnReducer:
        """How columns are made, learned on all training rows."""
        return self._reducer(self.rows)

    @cached_property
    def inner(self) -> list[InnerFold]:
        """The training rows parted once more, each part with columns learned on the rest of them."""
        codes = np.unique(self.groups[self.rows], return_inverse=True)[1].astype(np.intp)
        n_groups = int(codes.max()) + 1
        if n_groups < 2:
            raise EstimationError(
                explain(
                    f"Outside fold {self.fold} all units are tied together, so that nothing can be chosen there.",
                    rule="at least 2 groups (clusters, images, blocks) outside each fold",
                    fix="more folds: Folds(k=5), or a learner that chooses nothing",
                )
            )
        alike = self.design.table.alike[self.rows]
        dealt = np.full(self.rows.size, -1)
        dealt[self.rows] = deal(codes, alike, k=min(INNER_SPLITS, n_groups), seed=self.seed)[codes]
        return [self._inner(dealt, part) for part in range(int(dealt.max()) + 1)]

    def sample(self, rows: BoolArray, target: FloatArray, reducer: ColumnReducer | None = None) -> Sample:
        """Return what a model is fitted on: the columns, target (n,) and weights of some training rows."""
        reducer = self.reducer if reducer is None else reducer
        weights = self.design.table.weights[rows]
        return Sample(
            columns=reducer.transform(self.design, rows),
            target=target[rows],
            # a penalty is measured against the sum of the weights, which must not depend on their units
            weights=None if np.ptp(weights) == 0 else weights / weights.mean(),
            groups=self.groups[rows],
            ids=self.design.table.ids[rows],
            seed=self.seed,
        )

    def _inner(self, dealt: npt.NDArray[Any], part: int) -> InnerFold:
        train, test = self.rows & (dealt != part), dealt == part
        return InnerFold(train, test, self._reducer(train))

    def _reducer(self, rows: BoolArray) -> ColumnReducer:
        learners = self.learners
        reducer = ColumnReducer(pca=learners.pca, seed=self.seed, by_block=True, columns=learners.columns)
        return reducer.fit(self.design, rows)


def training_folds(
    design: Design,
    folds: npt.NDArray[np.intp],
    learners: Learners,
    *,
    seed: int,
    groups: npt.NDArray[np.intp],
) -> list[TrainingFold]:
    """Return what may be learned from for each fold, in the order of folds."""
    return [
        TrainingFold(design, fold, folds != fold, groups=groups, learners=learners, seed=seed)
        for fold in range(int(folds.max()) + 1)
    ]


def require_rows(rows: BoolArray, fold: int, arm: int) -> None:
    """Raise where an arm has fewer than two units to learn from."""
    if rows.sum() < 2:
        name = "treated" if arm else "control"
        raise EstimationError(
            explain(
                f"Outside fold {fold} there are {int(rows.sum())} {name} units.",
                rule="at least 2 of each arm to learn from",
                fix="fewer folds: Folds(k=2), or method='difference'",
            )
        )


def require_inner_arms(part: TrainingFold, train: BoolArray) -> None:
    """Raise where an inner fold leaves fewer than two units of an arm to learn a propensity from."""
    treatment = part.design.table.treatment
    for arm in (0, 1):
        require_inner_rows(part, train & (treatment == arm))


def require_inner_rows(part: TrainingFold, rows: BoolArray) -> None:
    """Raise where an inner fold leaves fewer than two units of an arm to learn from."""
    if rows.sum() < 2:
        raise EstimationError(
            explain(
                f"Outside fold {part.fold}, an inner fold leaves {int(rows.sum())} units of an arm to learn from.",
                rule="at least 2 units of each arm, in several clusters, for stacks and calibration",
                fix="the default learners without calibration, or Folds(k=...) with more folds",
            )
        )
