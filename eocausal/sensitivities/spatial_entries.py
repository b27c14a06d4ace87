"""What neighbours are compared in: influence values, their sums by cluster, and what is left of the outcome."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eocausal.errors import SensitivityError, explain
from eocausal.inference.variance import sum_within
from eocausal.sensitivities import linear_model
from eocausal.sensitivities.near_places import Places, places_of
from eocausal.sensitivities.spatial_parts import cluster_codes
from eocausal.sensitivities.subject import is_panel, origin_of

if TYPE_CHECKING:
    from eocausal.inference.estimate import Estimate

FloatArray = npt.NDArray[np.float64]

INFLUENCE, RESIDUALS = "influence values", "residuals"


@dataclass(frozen=True, eq=False)
class Entries:
    """Values of units, or of clusters, and where these are.

    Attributes
    ----------
    what : str
    values : array of shape (n,) or (n, m)
        Centred; of a panel residuals are histories over m periods, 0 where a unit is not seen.
    places : Places
    basis : array of shape (n, k) or None
        Of residuals of one regression, an orthonormal basis of its columns.
    """

    what: str
    values: FloatArray
    places: Places
    basis: FloatArray | None = None


def influence(estimate: Estimate) -> Entries:
    """Return the influence values by unit; rows of a panel are summed by unit.

    Raises
    ------
    SensitivityError
        It is not known where units are.
    """
    scores = estimate.score_values[:, 0]
    if estimate.coordinates is None:
        raise SensitivityError(
            explain(
                "This result does not know where its units are.",
                rule="neighbours are found by longitude and latitude",
                fix="data=ec.read_units(table, id=..., lon=..., lat=...) in Design, coordinates= in PanelDesign",
            )
        )
    if estimate.panel is None:
        return Entries(INFLUENCE, scores - scores.mean(), places_of(estimate.coordinates))
    first = np.unique(estimate.panel.unit, return_index=True)[1]
    sums = sum_within(scores[:, None], estimate.panel.unit)[:, 0]
    return Entries(INFLUENCE, sums - sums.mean(), places_of(estimate.coordinates[first]))


def influence_by_cluster(estimate: Estimate) -> Entries | None:
    """Return sums of influence values by cluster at the middles of clusters; None where units are clusters."""
    labels = cluster_codes(estimate)
    if labels is None or estimate.coordinates is None:
        return None
    codes = np.unique(labels, return_inverse=True)[1]
    units = np.arange(estimate.n) if estimate.panel is None else estimate.panel.unit
    n_units = np.unique(units).size
    pairs = np.unique(np.column_stack([np.unique(units, return_inverse=True)[1], codes]), axis=0)
    if len(pairs) > n_units or int(codes.max()) + 1 >= n_units:
        return None
    sums = sum_within(estimate.score_values, codes)[:, 0]
    name = estimate.variance.how.names[0]
    return Entries(
        f"{INFLUENCE} by {name}", sums - sums.mean(), places_of(_middles(estimate.coordinates, codes))
    )


def residuals(estimate: Estimate) -> Entries | None:
    """Return what the estimate's own model leaves of the outcome; None where it has none.

    Of regressions residuals, times the root of the weights. Where outcomes were predicted, the outcome less the
    prediction for the own arm. Where arms are weighed, the outcome less the mean of the own arm, times its weight.
    """
    origin = origin_of(estimate)
    if estimate.coordinates is None or origin.options["method"] == "did":
        return None
    if is_panel(estimate):
        return _histories(estimate)
    places = places_of(estimate.coordinates)
    if origin.options["method"] in linear_model.METHODS:
        model = linear_model.linear_model(estimate)
        basis = np.linalg.qr(np.column_stack([model.treatment, model.columns]))[0]
        return Entries(RESIDUALS, model.outcome - basis @ (basis.T @ model.outcome), places, basis)
    left = _left_of_outcome(estimate)
    return Entries(RESIDUALS, left - left.mean(), places)


def _left_of_outcome(estimate: Estimate) -> FloatArray:
    origin = origin_of(estimate)
    table = origin.entered.table
    outcome, assigned, weights = table.outcome, table.assigned, table.weights / table.weights.mean()
    known = [one for one in origin.predicted if len(one) > 1]
    if known and "outcome_mean" in known[0]:
        each = [
            outcome - one["outcome_mean"] - estimate.values[0] * (assigned - one["treatment_mean"])
            for one in known
        ]
        return np.asarray(weights * np.mean(each, axis=0))
    if known:
        own = [np.where(assigned == 1, one["outcome_treated"], one["outcome_control"]) for one in known]
        return np.asarray(weights * (outcome - np.mean(own, axis=0)))
    weights = weights if estimate.weights is None else estimate.weights
    means = np.array(
        [np.average(outcome[assigned == arm], weights=weights[assigned == arm]) for arm in (0, 1)]
    )
    return np.asarray(weights * (outcome - means[assigned.astype(int)]))


def _histories(estimate: Estimate) -> Entries:
    """Return residuals of a panel by unit (N,) and period (T,), at the place of each unit's first row."""
    panel: Any = estimate.panel
    coordinates: Any = estimate.coordinates
    model = linear_model.linear_model(estimate)
    basis = np.linalg.qr(np.column_stack([model.treatment, model.columns]))[0]
    left = model.outcome - basis @ (basis.T @ model.outcome)
    _, first, unit = np.unique(panel.unit, return_index=True, return_inverse=True)
    period = np.unique(panel.period, return_inverse=True)[1]
    values = np.zeros((first.size, int(period.max()) + 1))
    values[unit, period] = left
    return Entries(RESIDUALS, values, places_of(coordinates[first]))


def _middles(coordinates: FloatArray, codes: npt.NDArray[np.intp]) -> FloatArray:
    """Return longitude and latitude of the middles of groups, on the sphere, so that the date line parts none."""
    from eocausal.inference.spatial import on_the_sphere

    x, y, z = sum_within(on_the_sphere(coordinates), codes).T
    return np.asarray(np.degrees(np.column_stack([np.arctan2(y, x), np.arctan2(z, np.hypot(x, y))])))
