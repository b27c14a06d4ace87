"""The propensity that a result rests on, as a logit: the result's own, or learned out of fold with its learners."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy.special import logit

from eocausal.errors import SensitivityError, explain
from eocausal.nuisance.columns import has_columns
from eocausal.nuisance.cross_fit import propensities
from eocausal.nuisance.learners import OutOfFold
from eocausal.nuisance.settings import dealt
from eocausal.sensitivities.benchmarks import Benchmark, with_places
from eocausal.sensitivities.subject import origin_of, settings_of

if TYPE_CHECKING:
    from eocausal.design import Design
    from eocausal.inference.estimate import Estimate

FloatArray = npt.NDArray[np.float64]

OWN = "the propensity of the estimate"
LEARNED = "a propensity learned out of fold, because the method of the estimate has none"
# Names by which methods keep their propensity.
_NAMES = ("propensity", "treatment_mean")


def logit_of(estimate: Estimate) -> tuple[FloatArray, str]:
    """Return the logit (n,) of the propensity of units that entered, over repeats on average, and its source."""
    origin = origin_of(estimate)
    own = [one[name] for one in origin.predicted for name in _NAMES if name in one]
    if not own:
        return learned_logit(estimate, origin.entered), LEARNED
    table = origin.entered.table
    if table.propensity is None and not (table.covariate_names or table.features.shape[1]):
        # the share treated outside the fold differs by fold, and tells of nobody's chances
        return np.zeros(len(origin.entered)), OWN
    values = np.array(own)
    bad = ~((values > 0) & (values < 1)).all(axis=0)
    if bad.any():
        raise SensitivityError(
            explain(
                "Some units have a propensity of exactly 0 or 1.",
                where=table.ids[bad],
                rule="0 < propensity < 1",
                fix="strata=, or trim= in ec.ate",
            )
        )
    return logit(values).mean(axis=0), OWN


def learned_logit(estimate: Estimate, design: Design) -> FloatArray:
    """Return the logit (n,) of a propensity learned out of fold on a design, as a result learns."""
    settings = settings_of(origin_of(estimate))
    learners = settings.learners
    if not has_columns(design, learners.columns):
        return np.zeros(len(design))
    if isinstance(learners.propensity, OutOfFold):
        # predictions that were made beforehand are of one set of columns
        settings = replace(settings, learners=replace(learners, propensity="penalised_logit"))
    values = propensities(design, **dealt(design, settings), known=False).values
    return logit(values)


def designs_for(benchmark: Benchmark, design: Design) -> tuple[Design, Design]:
    """Return the design with what a benchmark names, and without; places are added, because no design has them."""
    if not benchmark.coordinates:
        return design, benchmark.without(design)
    return with_places(design), design
