"""What grows causal forests: one function an engine, and the same questions to whatever it has grown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from eocausal.errors import EstimationError, explain
from eocausal.forests.causal_trees import TreeRules, grow_causal_trees

if TYPE_CHECKING:
    from eocausal.effects.forest import Forest

FloatArray = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]
EffectAndError = tuple[FloatArray, FloatArray]

# econml averages variances over bags of this many trees
TREES_PER_BAG = 4
# honest trees of whole groups draw at least so many: two to make cuts, two to fill leaves
FEWEST_DRAWN = 4
# beyond all values, so that a cut between them and the values parts what is missing from what is not
FAR = 1e30


@dataclass(frozen=True, eq=False)
class TreeSample:
    """What trees are grown on: columns (n, p), centred outcome and treatment (n,), weights, groups to draw.

    Columns are NaN where a value is missing.
    """

    columns: FloatArray
    outcome: FloatArray
    treatment: FloatArray
    weights: FloatArray
    groups: Codes


@dataclass(frozen=True, eq=False)
class GrownForest:
    """What can be asked of a forest.

    Attributes
    ----------
    predict : callable
        Effect and standard error of rows that are new to the forest, from their columns.
    out_of_bag : callable
        The same of the rows that it was grown on, from their columns and groups, by trees that did not draw them.
    importance : callable
        How much the forest cuts on each column (p,), summing to one, or to zero where no tree has a cut.
    draws_groups : bool
        Trees draw whole groups and not units.
    """

    predict: Callable[[FloatArray], EffectAndError]
    out_of_bag: Callable[[FloatArray, Codes], EffectAndError]
    importance: Callable[[], FloatArray]
    draws_groups: bool


def _grow_econml(sample: TreeSample, forest: Forest, seed: int) -> GrownForest:
    """Grow by econml, which draws units and not groups, and knows no missing values."""
    from econml.grf import CausalForest

    parted = np.flatnonzero(np.isnan(sample.columns).any(axis=0))
    columns = _on_both_sides(sample.columns, parted)
    candidates = columns.shape[1] if forest.candidates is None else min(forest.candidates, columns.shape[1])
    grown = CausalForest(
        n_estimators=forest.trees,
        min_samples_leaf=forest.min_leaf,
        max_samples=forest.sample_share,
        max_features=candidates,
        subforest_size=TREES_PER_BAG,
        n_jobs=forest.n_jobs,
        random_state=seed,
    )
    weights = sample.weights
    sample_weight = None if np.ptp(weights) == 0 else weights / weights.mean()
    grown.fit(columns, sample.treatment, sample.outcome, sample_weight=sample_weight)
    # threads add tree predictions in the order they finish, so predict with one for equal bytes
    grown.n_jobs = 1

    def predict(new_columns: FloatArray) -> EffectAndError:
        effect, variance = grown.predict_and_var(_on_both_sides(new_columns, parted))
        return effect[:, 0], np.sqrt(np.maximum(variance[:, 0, 0], 0.0))

    def out_of_bag(own_columns: FloatArray, groups: Codes) -> EffectAndError:
        _refuse_shared(groups, fix="Forest(engine='fast'), or the effects out of fold: cate.effects")
        effect = grown.oob_predict(_on_both_sides(own_columns, parted))[:, 0]
        return _every_unit_left_out(effect), np.full(len(effect), np.nan)

    def importance() -> FloatArray:
        with np.errstate(invalid="ignore", divide="ignore"):
            shares = np.nan_to_num(grown.feature_importances(), nan=0.0)
        p = sample.columns.shape[1]
        both = np.zeros(p)
        both[parted] = shares[p:]
        summed: FloatArray = shares[:p] + both
        return summed

    return GrownForest(predict, out_of_bag, importance, draws_groups=False)


def _refuse_shared(groups: Codes, *, fix: str) -> None:
    if np.unique(groups).size < len(groups):
        raise EstimationError(
            explain(
                "Trees drew units and not groups, so bags hold others of a unit's cluster or image.",
                rule="an effect out of bag comes from trees that drew none of the unit's group",
                fix=fix,
            )
        )


def _on_both_sides(columns: FloatArray, parted: Codes) -> FloatArray:
    """Return columns with a second copy of some; what is missing is below all values in one, above in the other.

    A cut then sends what is missing to either side, or parts it from all that is there (Twala, Jones and Hand
    2008).
    """
    low = columns.copy()
    low[:, parted] = np.where(np.isnan(low[:, parted]), -FAR, low[:, parted])
    high = np.where(np.isnan(columns[:, parted]), FAR, columns[:, parted])
    # where no unit that was learned from misses a value, one that does counts as the mean, 0 on the standard scale
    return np.column_stack([np.where(np.isnan(low), 0.0, low), high])


def _every_unit_left_out(effect: FloatArray) -> FloatArray:
    if np.isnan(effect).any():
        text = f"{int(np.isnan(effect).sum())} units that every tree drew."
        raise EstimationError(explain(text, fix="more trees"))
    return effect


def _grow_fast(sample: TreeSample, forest: Forest, seed: int) -> GrownForest:
    """Grow by the compiled engine, which draws groups where there are enough of them."""
    n_groups = int(sample.groups.max()) + 1
    whole = min(n_groups // 2, round(forest.sample_share * n_groups)) >= FEWEST_DRAWN
    rules = TreeRules(
        trees=forest.trees,
        min_leaf=forest.min_leaf,
        sample_share=forest.sample_share,
        candidates=forest.candidates,
        threads=forest.n_jobs,
    )
    grown = grow_causal_trees(
        sample.columns,
        sample.outcome,
        sample.treatment,
        weights=sample.weights,
        groups=sample.groups if whole else None,
        rules=rules,
        seed=seed,
    )

    def out_of_bag(own_columns: FloatArray, groups: Codes) -> EffectAndError:
        if whole:
            return grown.out_of_bag(own_columns, groups)
        _refuse_shared(groups, fix="the effects out of fold: cate.effects")
        return grown.out_of_bag(own_columns, np.arange(len(groups)))

    return GrownForest(grown.predict, out_of_bag, grown.importance, draws_groups=whole)


# A new engine is one function above and one row here.
ENGINES: dict[str, Callable[[TreeSample, Forest, int], GrownForest]] = {
    "econml": _grow_econml,
    "fast": _grow_fast,
}
