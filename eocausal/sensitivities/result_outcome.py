"""What covariates and features predict of the outcome whatever the treatment, with the learners of a result."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from eocausal.nuisance.columns import has_columns
from eocausal.nuisance.learners import OutOfFold
from eocausal.nuisance.pooled import outcome_over_arms
from eocausal.nuisance.settings import dealt
from eocausal.sensitivities.result_propensity import settings_of
from eocausal.sensitivities.subject import origin_of

if TYPE_CHECKING:
    from eocausal.inference.estimate import Estimate
    from eocausal.sensitivities.matched_sets import Compared
    from eocausal.sensitivities.strata_bounds import Strata

FloatArray = npt.NDArray[np.float64]


def expected_outcome(estimate: Estimate) -> FloatArray | None:
    """Return the outcome (n,) that is predicted out of fold of units that entered; None where nothing predicts.

    The treatment has no part in it, so that under no effect the residual is as fixed as the outcome (Rosenbaum
    2002, Statistical Science 17, 286-327).
    """
    design = origin_of(estimate).entered
    settings = settings_of(estimate, design)
    if not has_columns(design, settings.learners.columns):
        return None
    if isinstance(settings.learners.outcome, OutOfFold):
        settings = replace(settings, learners=replace(settings.learners, outcome="ridge"))
    # the propensity would mix predictions by arm, and there are none
    values, _ = outcome_over_arms(design, **dealt(design, settings), propensity=design.table.treatment)
    return values


def uneven_by(expected: FloatArray, subjects: Compared, strata: Strata) -> float:
    """Return the mean difference of expected outcomes (n,) within strata, in standard errors of outcomes'."""
    expected_gaps, gaps = (_gaps(values, strata) for values in (expected, subjects.outcome))
    error = float(gaps.std(ddof=1) / np.sqrt(gaps.size)) if gaps.size > 1 else 0.0
    return float(expected_gaps.mean() / error) if error > 0 else 0.0


def _gaps(values: FloatArray, strata: Strata) -> FloatArray:
    """Return the mean of the treated less that of the controls (strata,)."""
    found = [np.zeros(0)]
    for block in strata.blocks:
        own, treated = values[block.rows], block.treated
        found.append(np.average(own, axis=1, weights=treated) - np.average(own, axis=1, weights=~treated))
    return np.concatenate(found)
