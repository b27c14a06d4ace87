"""By how much the odds of treatment move when a benchmark is left out: the yardstick of Lambda."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import logit

from eocausal.effects.balancing import columns_to_balance
from eocausal.effects.coefficients import fitted_propensity, model_columns
from eocausal.nuisance.columns import has_columns
from eocausal.nuisance.cross_fit import propensities
from eocausal.nuisance.settings import dealt
from eocausal.sensitivities.subject import origin_of, settings_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eocausal.design import Design
    from eocausal.inference.estimate import Estimate
    from eocausal.inference.origin import Origin
    from eocausal.nuisance.settings import Settings
    from eocausal.sensitivities.benchmarks import Benchmark

FloatArray = npt.NDArray[np.float64]

SHARES = (0.5, 0.95)
COLUMNS = ("benchmark", "in_words", "median", "percentile_95", "largest")


def odds_shifts(estimate: Estimate, benchmarks: Sequence[Benchmark]) -> pd.DataFrame:
    """Return by what factor, either way, odds of treatment move for half, for 95% and for all units.

    One row for each benchmark, columns ``benchmark in_words median percentile_95 largest``. The propensity is made
    again without the benchmark, by the same method on the same folds. Where units lie is not among what it is made
    of, and has no row.
    """
    origin = origin_of(estimate)
    long = origin.predicted[0]["propensity"]
    rows = []
    for one in benchmarks:
        if one.coordinates:
            continue
        short = propensity_without(origin, one)
        factor = np.exp(np.abs(logit(long) - logit(short)))
        weights = origin.entered.table.weights
        middle, most = np.quantile(factor, SHARES, weights=weights, method="inverted_cdf")
        rows.append((one.name, one.in_words, float(middle), float(most), float(factor.max())))
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(dict.fromkeys(COLUMNS[2:], float))


def propensity_without(origin: Origin, benchmark: Benchmark) -> FloatArray:
    """Return the propensity (n,) of the units that entered, made without a benchmark."""
    method, settings = str(origin.options["method"]), settings_of(origin)
    entered = benchmark.without(origin.entered)
    if not has_columns(entered, settings.learners.columns):
        table = entered.table
        share = float(np.average(table.treatment, weights=table.weights))
        return np.full(len(entered), share)
    if method == "cbps" or settings.learners.parametric is not None:
        return _of_model(entered, settings, method, str(origin.options["estimand"]))
    whole = benchmark.without(origin.design)
    found = propensities(whole, **dealt(whole, settings)).values
    place = pd.Index(whole.table.ids).get_indexer(pd.Index(entered.table.ids))
    return np.asarray(found[place])


def _of_model(design: Design, settings: Settings, method: str, estimand: str) -> FloatArray:
    if method == "cbps":
        columns, model = columns_to_balance(design, settings), f"balance {estimand}"
    else:
        columns, model = model_columns(design, settings), str(settings.learners.parametric)
    fix = "another benchmark"
    return fitted_propensity(
        design, columns, model=model, what="The propensity without it", fix=fix
    ).propensity
