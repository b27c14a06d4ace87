"""Learners of conditional effects: fitted on one design, asked about another.

A learner is a function from a training design to an :class:`EffectModel`. Everything that is learned (nuisances,
principal components, trees) is learned inside it, so calling it on the training folds alone makes its predictions
out of fold by construction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from eocausal._checks import one_of, whole_number
from eocausal.errors import EstimationError, explain
from eocausal.forests.causal_trees import TreeRules, grow_causal_trees
from eocausal.nuisance.cross_fit import ColumnReducer, Learners, cross_fit
from eocausal.nuisance.folds import Folds

if TYPE_CHECKING:
    from eocausal.design import Design

FloatArray = npt.NDArray[np.float64]

# econml averages variances over bags of this many trees
TREES_PER_BAG = 4
# folds on which outcome and treatment are centred, where there are so many groups
CENTRING_FOLDS = 3


class EffectModel(Protocol):
    """What a learner hands back."""

    def predict(
        self, design: Design, *, rows: npt.NDArray[Any] | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Return the effect and its standard error for the units of a design, or for some rows of it."""
        ...


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


def causal_forest(
    design: Design, forest: Forest, learners: Learners, *, seed: int, folds: Folds | None = None
) -> ForestModel:
    """Grow an honest causal forest on all units of a design.

    Outcome and treatment are centred at their out-of-fold expectations (the R-learner's residuals), then the
    forest splits on covariates and reduced features. Athey, Tibshirani and Wager (2019), Annals of Statistics 47,
    section 6. The expectations are made on three folds that keep whole what ``folds`` keeps whole.

    Raises
    ------
    EstimationError
        All units are tied together, or there is nothing to split on: neither covariates nor features.
    """
    table = design.table
    if not table.covariate_names and not table.features.shape[1]:
        raise EstimationError(
            explain(
                "The design has no covariates and no features, so effects cannot be told apart.",
                fix="Design(..., features=embeddings) or covariates=[...]",
            )
        )
    # trees draw rows by position: in the order of ids they are the same however the table was sorted
    design = design.take(np.argsort(table.ids, kind="stable"))
    table = design.table
    scheme = Folds() if folds is None else folds
    groups = scheme.groups(design)
    n_groups = int(groups.max()) + 1
    if n_groups < 2:
        raise EstimationError(_all_tied(design))
    dealt = replace(scheme, k=min(CENTRING_FOLDS, n_groups), repeats=1).assign(design, seed=seed)
    nuisance = cross_fit(design, dealt, learners, seed=seed, groups=groups)
    expected = nuisance.propensity * nuisance.outcome_treated
    expected += (1 - nuisance.propensity) * nuisance.outcome_control
    everyone = np.arange(len(design))
    reducer = ColumnReducer(pca=forest.pca, seed=seed, by_block=True).fit(design, everyone)
    sample = Sample(
        reducer.transform(design, everyone),
        table.outcome - expected,
        table.treatment - nuisance.propensity,
        table.weights,
        groups,
    )
    predict = ENGINES[forest.engine](sample, forest, seed)
    return ForestModel(reducer, predict)


def _all_tied(design: Design) -> str:
    """Return why outcome and treatment of a part of the units cannot be centred out of fold."""
    return explain(
        f"The {len(design)} units that a causal forest is to learn from are all tied together by a cluster, an "
        "image or a block.",
        rule="at least 2 groups in every fold, since the first forest of a ranking learns from one fold alone",
        fix="fewer folds: Folds(k=2), or smaller blocks",
    )


@dataclass(frozen=True, eq=False)
class Sample:
    """What trees are grown on: columns (n, p), centred outcome and treatment (n,), weights, groups to draw."""

    columns: FloatArray
    outcome: FloatArray
    treatment: FloatArray
    weights: FloatArray
    groups: npt.NDArray[np.intp]


Predict = Callable[[FloatArray], tuple[FloatArray, FloatArray]]


def _grow_econml(sample: Sample, forest: Forest, seed: int) -> Predict:
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


def _grow_fast(sample: Sample, forest: Forest, seed: int) -> Predict:
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
ENGINES: dict[str, Callable[[Sample, Forest, int], Predict]] = {
    "econml": _grow_econml,
    "fast": _grow_fast,
}


def resolve_learner(learner: str | Forest) -> Forest:
    """Return the settings that a learner's name or config stands for."""
    if isinstance(learner, Forest):
        return learner
    one_of(str(learner), ("causal_forest",), argument="learner", error=EstimationError)
    return Forest()


def describe_forest(forest: Forest) -> dict[str, Any]:
    """Return what a reader must know of the forest."""
    return {
        "learner": "causal forest",
        "engine": forest.engine,
        "trees": forest.trees,
        "min_leaf": forest.min_leaf,
        "sample_share": forest.sample_share,
        "forest_pca": forest.pca,
    }
