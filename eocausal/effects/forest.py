"""Causal forests as learners of effects by unit, grown by one of two engines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eocausal._checks import one_of, whole_number
from eocausal._study_columns import covariate_of
from eocausal.effects.forest_engines import ENGINES, FEWEST_DRAWN, TREES_PER_BAG, GrownForest, TreeSample
from eocausal.effects.screening import strongest_columns
from eocausal.errors import EstimationError, explain
from eocausal.nuisance.columns import ColumnReducer

if TYPE_CHECKING:
    from eocausal.design import Design
    from eocausal.effects.effect_learners import EffectSample

FloatArray = npt.NDArray[np.float64]

# from so many columns on, intervals of single effects cover far less than they say, whatever grows the forest
WIDE = 100
CLAIMS = "; make claims from averages, groups of units (ec.groups) and RATE"


@dataclass(frozen=True)
class Forest:
    """Settings of the causal forest.

    Parameters
    ----------
    trees : int
        A multiple of 4. 2,000 of the engine ``"fast"`` take less time than econml's 500.
    min_leaf : int
        Smallest number of units in a leaf, in each honest half.
    sample_share : float
        Share of the units, or of the clusters and images, drawn for a tree, at most 0.5.
    pca : int or None
        Feature blocks wider than this become that many principal components before the trees split on them,
        computed on the training folds only; ``None`` splits on the features as they are. Few components find
        more: in the simulated region (2,000 units, two blocks of 256 features) the correlation of predicted
        with true effects is 0.65, 0.58, 0.50 and 0.34 with 5, 10, 20 and 50. Blocks
        whose encoder says how many components they become (``MultiScale(reduce=)``) become that many.
    candidates : int or None
        Columns that are tried at each cut, drawn anew for each; ``None`` tries all. The usual choice elsewhere, the
        square root of the number of columns and 20, is too few where effects depend on few of many columns: of
        768 in a simulated trial of 10,000 units it explains 0.39 of the variance of effects, all explain 0.87.
    screen : int or None
        In place of components (``pca`` is then not used): the forest splits on so many columns of features, those
        along which effects seem to vary most among the units that it is grown on, and on all covariates. Effects
        are out of fold as ever, for the columns are chosen without the fold; they cannot be out of bag.
    engine : {"fast", "econml"}
        ``"fast"`` is compiled, and draws whole clusters and images where ``"econml"`` draws units; where a forest
        learns from fewer than eight it draws units too, and says so. A tree draws from a half sample that it shares
        with one more (with three more by ``"econml"``), and these bags give the variance.
    n_jobs : int
        Threads for growing trees; the result does not depend on it.

    Examples
    --------
    >>> Forest(trees=100).engine
    'fast'
    """

    trees: int = 2000
    min_leaf: int = 5
    sample_share: float = 0.5
    pca: int | None = 10
    candidates: int | None = None
    screen: int | None = None
    engine: str = "fast"
    n_jobs: int = -1

    def __post_init__(self) -> None:
        one_of(self.engine, tuple(ENGINES), argument="engine", error=EstimationError)
        for name in ("trees", "min_leaf", "pca", "candidates", "screen"):
            if getattr(self, name) is not None or name in ("trees", "min_leaf"):
                whole_number(getattr(self, name), argument=name, error=EstimationError, least=1)
        if self.trees % TREES_PER_BAG:
            raise EstimationError(
                explain(f"trees={self.trees}.", rule=f"a multiple of {TREES_PER_BAG}", fix="trees=2000")
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
        pca = self.pca if self.screen is None else None
        reducer = ColumnReducer(pca=pca, seed=seed, by_block=True, missing=True).fit(design, everyone)
        columns = reducer.transform(design, everyone)
        left, moved, weights = sample.centred_outcome, sample.centred_treatment, design.table.weights
        chosen = np.arange(columns.shape[1])
        if self.screen is not None:
            first = reducer.n_covariates
            found = strongest_columns(columns[:, first:], left, moved, weights, keep=self.screen)
            chosen = np.r_[np.arange(first), first + found]
            columns = columns[:, chosen]
        rows = TreeSample(columns, left, moved, weights, sample.groups)
        return ForestModel(
            forest=self,
            reducer=reducer,
            chosen=chosen,
            grown=ENGINES[self.engine](rows, self, seed),
            sources=tuple(_sources(design, reducer)[place] for place in chosen),
            ids=design.table.ids,
            groups=sample.groups,
        )

    def describe(self) -> dict[str, Any]:
        """Return what a reader must know of the forest."""
        return {
            "learner": "causal forest",
            "engine": self.engine,
            "trees": self.trees,
            "min_leaf": self.min_leaf,
            "sample_share": self.sample_share,
            "forest_pca": self.pca if self.screen is None else None,
            "forest_candidates": self.candidates,
            "forest_screen": self.screen,
        }


@dataclass(frozen=True, eq=False)
class ForestModel:
    """A causal forest with the columns that it was grown on.

    Attributes
    ----------
    forest : Forest
    reducer : ColumnReducer
    chosen : array of shape (p,)
        Which of the reducer's columns trees split on.
    grown : GrownForest
    sources : tuple of (str, str), length p
        What each column was made from, and its kind: a covariate, or a block of features.
    ids, groups : array of shape (n,)
        The units that it was grown on, in its order, and what of them is drawn together.
    """

    forest: Forest
    reducer: ColumnReducer
    chosen: npt.NDArray[np.intp]
    grown: GrownForest
    sources: tuple[tuple[str, str], ...]
    ids: npt.NDArray[Any]
    groups: npt.NDArray[np.intp]

    def predict(
        self, design: Design, *, rows: npt.NDArray[Any] | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Return the effect and its standard error for the units of a design, or for some rows of it."""
        return self.grown.predict(self._columns(design, np.arange(len(design)) if rows is None else rows))

    def out_of_bag(self, design: Design) -> tuple[FloatArray, FloatArray]:
        """Return effects and errors of the units that it was grown on, by trees that drew none of their group.

        Raises
        ------
        EstimationError
            Columns were screened, the engine draws units that share a cluster, or the design is another.
        """
        if self.forest.screen is not None:
            raise EstimationError(
                explain(
                    f"screen={self.forest.screen} chose columns by the outcomes of all units, so no effect is out "
                    "of bag.",
                    fix="Forest(pca=10), or the effects out of fold: cate.effects",
                )
            )
        order = np.argsort(design.table.ids, kind="stable")
        if not np.array_equal(design.table.ids[order], self.ids):
            raise EstimationError(explain("The design has other units than the forest was grown on."))
        effect, error = np.empty(len(order)), np.empty(len(order))
        effect[order], error[order] = self.grown.out_of_bag(self._columns(design, order), self.groups)
        return effect, error

    def importance(self) -> dict[tuple[str, str], float]:
        """Return how much the forest cuts on each covariate and block of features, summing to one."""
        shares: dict[tuple[str, str], float] = {}
        for source, share in zip(self.sources, self.grown.importance()):
            shares[source] = shares.get(source, 0.0) + float(share)
        return shares

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader must know of standard errors of single effects."""
        n_groups = np.unique(self.groups).size
        alone = not self.grown.draws_groups and n_groups < len(self.groups)
        shared = ", and treat units of one cluster or image as independent" if alone else ""
        told = f"standard errors of single effects are too small, for they leave out bias{shared}{CLAIMS}"
        if len(self.chosen) >= WIDE:
            told = (
                f"standard errors of single effects are far too small{shared}: trees split on {len(self.chosen)} "
                f"columns, and with {WIDE} or more their 95% intervals cover only 0.35 to 0.8 of true effects in "
                f"simulated studies{CLAIMS}"
            )
        if not alone or self.forest.engine == "econml":
            return (told,)
        return (
            told,
            f"forests that learned from too few clusters or images to draw {FEWEST_DRAWN} whole ones a tree drew "
            "units",
        )

    def _columns(self, design: Design, rows: npt.NDArray[Any]) -> FloatArray:
        columns = self.reducer.transform(design, rows)
        return columns if len(self.chosen) == columns.shape[1] else columns[:, self.chosen]


def _sources(design: Design, reducer: ColumnReducer) -> list[tuple[str, str]]:
    """Return the covariate or block of features that each column of a reducer was made from, and which it is."""
    names = [(covariate_of(name, design.covariates), "covariate") for name in design.table.covariate_names]
    for block, width in reducer.widths.items():
        names += [(block, "features")] * width
    return names
