"""Hidden bias that seen columns would have been: the odds of treatment within strata made without them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal.sensitivities.benchmarks import Benchmark
from eocausal.sensitivities.matched_sets import Compared
from eocausal.sensitivities.result_propensity import designs_for, learned_logit
from eocausal.sensitivities.strata_bounds import Strata
from eocausal.sensitivities.subject import origin_of

if TYPE_CHECKING:
    from eocausal.design import Design
    from eocausal.inference.estimate import Estimate

FloatArray = npt.NDArray[np.float64]

COLUMNS = ("benchmark", "in_words", "median", "percentile_95", "largest", "n_sets")


def odds_within(
    estimate: Estimate,
    subjects: Compared,
    benchmarks: Sequence[Benchmark],
    strata_without: Callable[[FloatArray], Strata],
) -> pd.DataFrame:
    """Return by how much each benchmark makes the odds of treatment differ within strata that do not know it.

    Propensities are learned out of fold with and without the benchmark, on the same folds. ``strata_without``
    takes the logits (n,) without it and returns the strata: pairs that are matched anew, or the strata that are
    given. The odds ratio of a stratum is the largest between two of its units that the benchmark adds. Benchmarks
    that the design does not hold have no row.
    """
    origin = origin_of(estimate)
    # a difference in means leaves columns aside that the design has all the same
    whole_study = np.array_equal(origin.design.table.ids, origin.entered.table.ids)
    known = origin.design if whole_study else origin.entered
    rows = []
    whole: FloatArray | None = None
    for one in benchmarks:
        with_it, without_it = designs_for(one, known)
        if _width(with_it) == _width(without_it):
            continue
        if one.coordinates:
            longer = learned_logit(estimate, with_it)
        else:
            longer = whole = learned_logit(estimate, known) if whole is None else whole
        shorter = learned_logit(estimate, without_it)
        means = [subjects.mean_of(values) for values in (longer, shorter)]
        strata = strata_without(means[1])
        if not strata.blocks:
            continue
        ratios = np.exp(strata.range_of(means[0] - means[1]))
        found = (float(np.median(ratios)), float(np.quantile(ratios, 0.95)), float(ratios.max()))
        rows.append((one.name, one.in_words, *found, strata.n_strata))
    # a table without a row has columns of numbers still
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(dict.fromkeys(COLUMNS[2:5], float))


def _width(design: Design) -> int:
    return len(design.table.covariate_names) + int(design.table.features.shape[1])
