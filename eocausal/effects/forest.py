"""Causal forests as learners of effects by unit, grown by one of two engines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eocausal._checks import one_of, whole_number
from eocausal.errors import EstimationError, explain
from eocausal.forests.causal_trees import TreeRules, grow_causal_trees
from eocausal.nuisance.columns import ColumnReducer

if TYPE_CHECKING:
    from eocausal.design import Design
    from eocausal.effects.effect_learners import EffectSample

FloatArray = npt.NDArray[np.float64]

# econml averages variances over bags of this many trees
TREES_PER_BAG = 4


@dataclass(frozen=True)
class Forest:
    """Settings of the causal forest.

    Parameters
    ----------
    trees : int
        A multiple of 4 (bags of four trees give the variance).
    min_leaf : int
        Smallest number of units in a leaf, in each honest half.
    sample_share : float
        Share of the units drawn for a tree, at most 0.5.
    pca : int or None
        Feature blocks wider than this become that many principal components before the trees split on them,
        computed on the training folds only; ``None`` splits on the features as they are. Few components find
        more: in the simulated region (2,000 units, two blocks of 256 features) the correlation of predicted
        with true effects is 0.65, 0.58, 0.50 and 0.34 with 5, 10, 20 and 50. Blocks
        whose encoder says how many components they become (``MultiScale(reduce=)``) become that many.
    engine : {"econml", "fast"}
        ``"fast"`` is compiled, and draws whole clusters and images where ``"econml"`` draws units. A tree draws
        from a half sample that it shares with one more, and these pairs give the variance.
    n_jobs : int
        Threads for growing trees; the result does not depend on it.

    Examples
    --------
    >>> Forest(trees=100).engine
    'econml'
    """

    trees: int = 500
    min_leaf: int = 5
    sample_share: float = 0.45
    pca: int | None = 10
    engine: str = "econml"
    n_jobs: int = -1

    def __post_init__(self) -> None:
        one_of(self.engine, tuple(ENGINES), argument="engine", error=EstimationError)
        for name in ("trees", "min_leaf", "pca"):
            if getattr(self, name) is not None or name != "pca":
                whole_number(getattr(self, name), argument=name, error=EstimationError, least=1)
        if self.trees % TREES_PER_BAG:
            raise EstimationError(
                explain(f"trees={self.trees}.", rule=f"a multiple of {TREES_PER_BAG}", fix="trees=500")
            )
        if not 0 < self.sample_share <= 0.5:
            raise EstimationError(
                explain(f"sample_share={self.sample_share}.", rule="0 < sample_share <= 0.5")
            )

    def fit(self, sample: EffectSample, *, seed: int) -> ForestModel:
        """Grow an honest causal forest on all units of a sample.

        Outcome and treatment are centred at their out-of-fold expectations (the R-learner's residuals), then the
        forest splits on covariates and reduced features. Athey, Tibshirani and Wager (2019), Annals of Statistics
        47, section 6.
        """
        design = sample.design
        everyone = np.arange(len(design))
        reducer = ColumnReducer(pca=self.pca, seed=seed, by_block=True).fit(design, everyone)
        rows = TreeSample(
            reducer.transform(design, everyone),
            sample.centred_outcome,
            sample.centred_treatment,
            design.table.weights,
            sample.groups,
        )
        return ForestModel(reducer, ENGINES[self.engine](rows, self, seed))

    def describe(self) -> dict[str, Any]:
        """Return what a reader must know of the forest."""
        return {
            "learner": "causal forest",
            "engine": self.engine,
            "trees": self.trees,
            "min_leaf": self.min_leaf,
            "sample_share": self.sample_share,
            "forest_pca": self.pca,
        }


@dataclass(frozen=True)
class ForestModel:
    """A causal forest with the column reduction it was grown on."""

    reducer: ColumnReducer
    predict_columns: Callable[[FloatArray], tuple[FloatArray, FloatArray]]

    def predict(
        self, design: Design, *, rows: npt.NDArray[Any] | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Return the effect and its standard error for the units of a design, or for some rows of it."""
        asked = np.arange(len(design)) if rows is None else rows
        return self.predict_columns(self.reducer.transform(design, asked))


@dataclass(frozen=True, eq=False)
class TreeSample:
    """What trees are grown on: columns (n, p), centred outcome and treatment (n,), weights, groups to draw."""

    columns: FloatArray
    outcome: FloatArray
    treatment: FloatArray
    weights: FloatArray
    groups: npt.NDArray[np.intp]


Predict = Callable[[FloatArray], tuple[FloatArray, FloatArray]]


def _grow_econml(sample: TreeSample, forest: Forest, seed: int) -> Predict:
    """Grow by econml, which draws units and not groups."""
    from econml.grf import CausalForest

    grown = CausalForest(
        n_estimators=forest.trees,
        min_samples_leaf=forest.min_leaf,
        max_samples=forest.sample_share,
        subforest_size=TREES_PER_BAG,
        n_jobs=forest.n_jobs,
        random_state=seed,
    )
    weights = sample.weights
    sample_weight = None if np.ptp(weights) == 0 else weights / weights.mean()
    grown.fit(sample.columns, sample.treatment, sample.outcome, sample_weight=sample_weight)
    # threads add tree predictions in the order they finish, so predict with one for equal bytes
    grown.n_jobs = 1

    def predict(new_columns: FloatArray) -> tuple[FloatArray, FloatArray]:
        effect, variance = grown.predict_and_var(new_columns)
        return effect[:, 0], np.sqrt(np.maximum(variance[:, 0, 0], 0.0))

    return predict


def _grow_fast(sample: TreeSample, forest: Forest, seed: int) -> Predict:
    rules = TreeRules(
        trees=forest.trees, min_leaf=forest.min_leaf, sample_share=forest.sample_share, threads=forest.n_jobs
    )
    grown = grow_causal_trees(
        sample.columns,
        sample.outcome,
        sample.treatment,
        weights=sample.weights,
        groups=sample.groups,
        rules=rules,
        seed=seed,
    )
    return grown.predict


# A new engine is one function above and one row here.
ENGINES: dict[str, Callable[[TreeSample, Forest, int], Predict]] = {
    "econml": _grow_econml,
    "fast": _grow_fast,
}
