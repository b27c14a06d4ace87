"""Effects learned from one source of columns after another, from nuisances that all of them share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eocausal.effects.effect_learners import (
    EffectLearner,
    EffectModel,
    EffectSample,
    OutOfFoldEffects,
    effect_sample,
    effects_out_of_fold,
)
from eocausal.evaluate.half_sample import Part
from eocausal.nuisance.columns import ColumnReducer

if TYPE_CHECKING:
    from eocausal.design import Design
    from eocausal.effects.weighting import DoublyRobust
    from eocausal.nuisance.settings import Settings

FloatArray = npt.NDArray[np.float64]
Rows = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.intp]
# Which columns are put side by side, by the name of the set.
Sets = Mapping[str, tuple[str, ...]]


def shared_samples(base: Design, settings: Settings) -> Callable[[Rows], EffectSample]:
    """Return what makes the sample of some rows of a design, once for each set of rows however often asked."""
    made: dict[bytes, EffectSample] = {}

    def sample(rows: Rows) -> EffectSample:
        key = rows.tobytes()
        if key not in made:
            made[key] = effect_sample(base.take(rows), settings)
        return made[key]

    return sample


def on_columns_of(design: Design, sample: EffectSample, rows: Rows) -> EffectSample:
    """Return a sample of these rows with the columns of another design of the same units."""
    own = design.take(rows)
    return replace(sample, design=own.take(np.argsort(own.table.ids, kind="stable")))


def effects_by_source(
    designs: Mapping[str, Design],
    samples: Callable[[Rows], EffectSample],
    learner: EffectLearner,
    fold_of: Codes,
    *,
    seed: int,
    progress: bool,
) -> dict[str, OutOfFoldEffects]:
    """Return out-of-fold and sequential effects by source; folds and nuisances are the same for all."""

    def learned(design: Design) -> Callable[[Rows], EffectModel]:
        return lambda rows: learner.fit(on_columns_of(design, samples(rows), rows), seed=seed)

    return {
        name: effects_out_of_fold(design, fold_of, learned(design), progress=progress)
        for name, design in designs.items()
    }


def sequential_effects(
    designs: Mapping[str, Design],
    sets: Sets,
    samples: Callable[[Rows], EffectSample],
    learner: EffectLearner,
    fold_of: Codes,
    *,
    seed: int,
) -> dict[str, FloatArray]:
    """Return effects (n,) by set of columns, from models of earlier folds alone; NaN in fold 0.

    ``sets`` says which designs' columns are put side by side. Where the learner makes wide blocks narrow, it is
    done once for each design and training set, not for each set.
    """
    found = {name: np.full(fold_of.size, np.nan) for name in sets}
    jobs = [(fold, name) for fold in range(1, int(fold_of.max()) + 1) for name in sets]
    narrow = _Narrow(designs, learner, seed)
    for fold, name in jobs:
        rows, test = fold_of < fold, fold_of == fold
        design = narrow.together(sets[name], rows)
        model = narrow.learner.fit(on_columns_of(design, samples(rows), rows), seed=seed)
        found[name][test], _ = model.predict(design, rows=test)
    return found


class _Narrow:
    """Columns of each design as the learner would make them from one training set; the last set is kept."""

    def __init__(self, designs: Mapping[str, Design], learner: EffectLearner, seed: int) -> None:
        self.designs, self.seed = designs, seed
        # what screens columns by outcomes looks at all of a set together
        screens = getattr(learner, "screen", None) is not None
        self.pca = None if screens else getattr(learner, "pca", None)
        self.learner: EffectLearner = learner if self.pca is None else _without_components(learner)
        self.key = b""
        self.made: dict[str, npt.NDArray[np.float32]] = {}

    def together(self, names: tuple[str, ...], rows: Rows) -> Design:
        """Return a design with the columns of some designs side by side, made from these rows."""
        if rows.tobytes() != self.key:
            self.key, self.made = rows.tobytes(), {}
        columns, blocks, start = [], {}, 0
        for name in names:
            if name not in self.made:
                self.made[name] = self._columns(self.designs[name], rows)
            width = self.made[name].shape[1]
            blocks[name] = (start, start + width)
            columns.append(self.made[name])
            start += width
        return self.designs[names[0]].narrowed(np.concatenate(columns, axis=1), blocks)

    def _columns(self, design: Design, rows: Rows) -> npt.NDArray[np.float32]:
        if self.pca is None:
            return design.table.features
        reducer = ColumnReducer(pca=self.pca, seed=self.seed, by_block=True, columns="features")
        everyone = np.arange(len(design))
        return reducer.fit(design, np.flatnonzero(rows)).transform(design, everyone).astype(np.float32)


def _without_components(learner: Any) -> Any:
    return replace(learner, pca=None)


@dataclass(frozen=True, eq=False)
class Judged:
    """What rankings are judged by: the units, their scores, their folds."""

    design: Design
    scores: DoublyRobust
    fold_of: Codes

    def parts(self, priorities: Mapping[str, FloatArray]) -> Iterator[Part]:
        """Return one part for each fold but the first, which only trains."""
        table = self.design.table
        for fold in range(1, int(self.fold_of.max()) + 1):
            rows = self.fold_of == fold
            yield Part(
                table.ids[rows],
                self.scores.scores[rows],
                table.weights[rows],
                self.design.groups[rows],
                {name: values[rows] for name, values in priorities.items()},
            )
