"""One cohort and its controls, with both predictions out of fold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal.design import Design
from eocausal.errors import DesignError, EstimationError
from eocausal.inference import scores
from eocausal.inference.propensity import EXTREME_PROPENSITY
from eocausal.inference.scores import ScoredEstimate
from eocausal.nuisance.cross_fit import cross_fit
from eocausal.units import Units, read_units

if TYPE_CHECKING:
    from eocausal.embeddings import Embeddings
    from eocausal.nuisance.settings import Settings

FloatArray = npt.NDArray[np.float64]
Labels = npt.NDArray[Any]


@dataclass(frozen=True)
class Comparison:
    """A cohort and its controls (m,), and what their outcomes changed by.

    Attributes
    ----------
    name : str
        What it is called in errors: ``2006 in 2009``.
    change, treated, weights : array of shape (m,)
    covariates : array of shape (m, p)
        Of the period compared with.
    covariate_names : tuple of str
    ids : array of shape (m,)
    clusters, image_keys : array of shape (m,) or None
    coordinates : array of shape (m, 2) or None
    """

    name: str
    change: FloatArray
    treated: FloatArray
    weights: FloatArray
    covariates: FloatArray
    covariate_names: tuple[str, ...]
    ids: Labels
    clusters: Labels | None
    image_keys: Labels | None
    coordinates: FloatArray | None


def learned_difference(
    asked: Comparison, features: Embeddings | None, settings: Settings
) -> tuple[ScoredEstimate, int, list[str]]:
    """Return the AIPW effect on a cohort, how many controls have extreme propensities, and what there is to know.

    Clusters, shared images and blocks are kept whole. The score is that of the average effect on the treated for
    the change of the outcome: Chang (2020), Econometrics Journal 23, 177-191; Sant'Anna and Zhao (2020).

    Raises
    ------
    DesignError, EstimationError
        What the design or the learners of this cohort refuse, with its name.
    """
    try:
        cell = _design_of(asked, features)
        folds, groups = settings.folds.assign(cell, seed=settings.seed), settings.folds.groups(cell)
        nuisance = cross_fit(cell, folds, settings.learners, seed=settings.seed, groups=groups)
    except (DesignError, EstimationError) as cause:
        raise type(cause)(
            f"For the cohort of {asked.name}, with {int(asked.treated.sum())} treated units: {cause}"
        ) from cause
    table = cell.table
    numerator, share = scores.augmented(
        table.outcome,
        table.treatment,
        estimand="att",
        propensity=nuisance.propensity,
        outcome_control=nuisance.outcome_control,
        outcome_treated=nuisance.outcome_treated,
    )
    extreme = int(((nuisance.propensity > EXTREME_PROPENSITY[1]) & (table.treatment == 0)).sum())
    return scores.ratio_of_means(numerator, share, table.weights), extreme, list(nuisance.warnings)


def _design_of(asked: Comparison, features: Embeddings | None) -> Design:
    """Return the comparison as a design of its own; our columns stand apart from the user's by a space."""
    columns: dict[str, Any] = dict(zip(asked.covariate_names, asked.covariates.T))
    columns |= {" unit": asked.ids, " change": asked.change, " treated": asked.treated.astype(int)}
    columns[" weight"] = asked.weights
    if asked.clusters is not None:
        columns[" cluster"] = asked.clusters
    key = None if features is None else features.key_name
    if key is not None and asked.image_keys is not None:
        columns[key] = asked.image_keys
    data: pd.DataFrame | Units = pd.DataFrame(columns).set_index(" unit", drop=False)
    if asked.coordinates is not None:
        columns |= {" lon": asked.coordinates[:, 0], " lat": asked.coordinates[:, 1]}
        data = read_units(pd.DataFrame(columns), id=" unit", lon=" lon", lat=" lat", image_key=key)
    return Design(
        data,
        outcome=" change",
        treatment=" treated",
        covariates=list(asked.covariate_names),
        features=features,
        cluster=None if asked.clusters is None else " cluster",
        weights=" weight" if np.ptp(asked.weights) > 0 else None,
    )
