"""What covariates and features predict of outcome and treatment over both arms, with the learners of a result."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from eocausal.nuisance.columns import has_columns
from eocausal.nuisance.learners import OutOfFold
from eocausal.nuisance.pooled import expected_out_of_fold, with_columns
from eocausal.nuisance.settings import dealt
from eocausal.sensitivities.subject import origin_of, settings_of

if TYPE_CHECKING:
    from eocausal.inference.estimate import Estimate
    from eocausal.sensitivities.matched_sets import Compared
    from eocausal.sensitivities.strata_bounds import Strata

FloatArray = npt.NDArray[np.float64]


# An expected treatment is a chance; a line may leave what chances can be.
SMALLEST_CHANCE = 0.01


@dataclass(frozen=True, eq=False)
class Expected:
    """What is predicted out of fold of units that entered.

    Attributes
    ----------
    outcome, treatment : arrays of shape (n,)
    by : str
        What they are predicted by, in words.
    """

    outcome: FloatArray
    treatment: FloatArray
    by: str


def expected_of(estimate: Estimate) -> Expected | None:
    """Return outcome and treatment as covariates and features predict them; None where nothing predicts.

    Who was treated has no part in what is predicted of the outcome, not even in how folds are dealt, so that under
    no effect the residual is as fixed as the outcome (Rosenbaum 2002, Statistical Science 17, 286-327). An effect
    that is the same for all puts its multiple of the expected treatment into the expected outcome, and is taken off
    as the multiple of what is left of the treatment.
    """
    origin = origin_of(estimate)
    design, settings = origin.entered, settings_of(origin)
    if not has_columns(design, settings.learners.columns):
        return None
    if isinstance(settings.learners.outcome, OutOfFold):
        settings = replace(settings, learners=replace(settings.learners, outcome="ridge"))
    blind = with_columns(design, assigned=np.zeros(len(design)))
    how = dealt(blind, settings)
    outcome, treatment = (
        expected_out_of_fold(blind, target, **how)
        for target in (design.table.outcome, design.table.treatment.astype(float))
    )
    table, columns = design.table, settings.learners.columns
    used = ["covariates"] if table.covariate_names and columns != "features" else []
    used += ["image features"] if table.features.shape[1] and columns != "covariates" else []
    return Expected(outcome, treatment.clip(SMALLEST_CHANCE, 1 - SMALLEST_CHANCE), " and ".join(used))


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
