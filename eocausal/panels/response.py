"""How predictions of an outcome move when the outcome moves within a place, and effects scaled back by it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import require_columns
from eocausal._study_columns import read_clusters, read_numbers
from eocausal.errors import EstimationError, explain
from eocausal.inference.estimate import Estimate
from eocausal.inference.joint import compare
from eocausal.inference.panel_index import PanelIndex
from eocausal.inference.periods import frequency_of, read_periods, row_names
from eocausal.inference.vcov import VcovChoice, resolve_vcov, variance_of
from eocausal.inference.within import within_fit

# A response that is fewer standard errors than this from zero cannot be divided by.
WEAK = 3.0

WHEN_WRONG = (
    "predictions answer to treatment as they do to other changes within places (eta_T = eta_eps). Wrong "
    "where treatment changes what images show of a place by more or by less than its outcome: new roofs, "
    "roads or lamps without wealth, or wealth that cannot be seen; what is given is then eta_T / eta_eps "
    "times the effect"
)

RESPONSE_ASSUMES = (
    "predictions are of a model that did not see these outcomes",
    "outcomes are measured without error",
)
NOISY = (
    "errors in measured outcomes make this slope too small, and effects scaled by it too large, in proportion to "
    "their share in the variance of changes"
)


def prediction_response(
    data: pd.DataFrame,
    *,
    measured: str,
    predicted: str,
    unit: str,
    period: str,
    cluster: str | None = None,
    vcov: VcovChoice | None = None,
) -> Estimate:
    """Estimate how far predictions move when the measured outcome of the same place moves by one (eta_eps).

    It is the slope of predictions on measured outcomes with unit and period effects taken out of both. That
    a map is right across places says nothing of this slope.

    Parameters
    ----------
    data : DataFrame
        Places with a measured outcome in at least two rounds, one row for each place and round, and nothing
        missing. The prediction must be of a model that did not see these outcomes.
    measured, predicted : str
        Numeric columns.
    unit, period : str
    cluster : str, optional
    vcov : optional
        Default: clustered by ``cluster``, else by unit.

    Returns
    -------
    Estimate
        With the estimand ``eta_eps``.

    Raises
    ------
    EstimationError
        Fewer than two places are measured twice, or measured outcomes do not change.

    Examples
    --------
    >>> import eocausal as ec
    >>> made = ec.simulate_panel(imputed=(0.9, 0.3, 0.3), effect=0.0, seed=1)
    >>> found = ec.prediction_response(made.frame, measured="outcome", predicted="imputed", unit="unit",
    ...                                period="period", cluster="region")
    >>> round(found.estimate, 2)
    0.3
    """
    named = [measured, predicted, unit, period, *([] if cluster is None else [cluster])]
    if not isinstance(data, pd.DataFrame):
        raise EstimationError(explain(f"data is a {type(data).__name__}.", fix="pass a pandas DataFrame"))
    require_columns(data, named, table="data", error=EstimationError)
    times = read_periods(data[period], data[unit].to_numpy(dtype=object))
    ids = row_names(data[unit].to_numpy(), times, frequency_of(data[period]))
    index = PanelIndex(data[unit].to_numpy(), times)
    units = np.unique(index.unit, return_inverse=True)[1]
    order = np.lexsort((times, units))
    index, units, ids = index.take(order), units[order], ids[order]
    true, seen = (_complete(data[name], ids, order) for name in (measured, predicted))
    told = _places_told(units)
    fit = within_fit(
        seen,
        true[:, None],
        names=[measured],
        units=units,
        periods=np.unique(index.period, return_inverse=True)[1],
        weights=np.ones(ids.size),
    )
    labels = read_clusters(data, cluster, ids, order)
    own = {} if labels is None else {str(cluster): labels}
    own = {**own, unit: index.unit, period: index.period}
    chosen = "cluster" if vcov is None else vcov
    how, groups = resolve_vcov(chosen, groups=own, ids=ids, units=index.unit)
    index = replace(index, unit_effects=fit.n_units - 1)
    n_params = 1 + fit.n_periods
    made = variance_of(fit.scores, how, groups=groups, coordinates=None, n_params=n_params, panel=index)
    return Estimate(
        estimand="eta_eps",
        method="within slope",
        terms=(predicted,),
        values=fit.coefficients,
        ids=ids,
        score_values=fit.scores,
        variance=made,
        groups=groups,
        panel=index,
        n_params=n_params,
        assumptions=RESPONSE_ASSUMES,
        warnings=(*told, NOISY, *made.notes),
        diagnostics={"places": int((np.bincount(units) > 1).sum()), "rounds": fit.n_periods},
    )


def undo_shrinkage(effect: Estimate, response: Estimate) -> Estimate:
    """Divide an effect on predictions by how far predictions move with the outcome.

    The result is right where predictions answer to treatment as they do to other changes within places, and
    says so. Its standard error is that of a ratio by the delta method, with units that are in both counted as such.

    Parameters
    ----------
    effect : Estimate
        One term of ``ec.panel`` on an imputed outcome.
    response : Estimate
        From :func:`prediction_response`, with the same kind of standard error.

    Raises
    ------
    EstimationError
        Several terms, another kind of result, or a response that is not clearly above zero.

    Examples
    --------
    >>> import eocausal as ec
    >>> made = ec.simulate_panel(imputed=(0.9, 0.3, 0.3), seed=1)
    >>> design = ec.PanelDesign(made.frame, outcome="imputed", treatment="treated", unit="unit", period="period",
    ...                         cluster="region", outcome_imputed=ec.Imputed(from_sensor="landsat"))
    >>> untreated = made.frame[made.frame["first_treated"].isna()]
    >>> found = ec.prediction_response(untreated, measured="outcome", predicted="imputed", unit="unit",
    ...                                period="period", cluster="region")
    >>> effect = ec.panel(design)
    >>> round(effect.estimate, 1), round(ec.undo_shrinkage(effect, found).estimate, 1)
    (0.3, 1.0)
    """
    _require_ratio(effect, response)
    joint = compare(effect=effect, response=response)
    top, bottom = joint.values
    by = np.array([[1 / bottom], [-top / bottom**2]])
    scores = joint.score_values @ by
    made = variance_of(
        scores,
        joint.variance.how,
        groups=joint.groups,
        coordinates=joint.coordinates,
        n_params=joint.n_params,
        panel=joint.panel,
    )
    return replace(
        joint,
        estimand=f"{effect.estimand} / eta_eps",
        method=f"{effect.method}, scaled back",
        terms=effect.terms,
        values=np.array([top / bottom]),
        score_values=scores,
        variance=made,
        assumptions=(WHEN_WRONG, *joint.assumptions),
        warnings=(*(text for text in joint.warnings if text not in joint.variance.notes), *made.notes),
        diagnostics={"effect_on_predictions": float(top), "eta_eps": float(bottom)},
        provenance={"effect": dict(effect.provenance), "response": dict(response.provenance)},
    )


def _places_told(units: npt.NDArray[np.intp]) -> list[str]:
    """Raise where fewer than two places are measured again; else say how many are measured once."""
    rounds = np.bincount(units)
    if (rounds > 1).sum() < 2:
        raise EstimationError(
            explain(
                f"{int((rounds > 1).sum())} places are measured in more than one round.",
                rule="at least 2: a slope of changes needs changes",
            )
        )
    once = int((rounds == 1).sum())
    return [f"{once} places are measured in one round only and say nothing of changes"] if once else []


def _complete(
    column: pd.Series, ids: npt.NDArray[np.str_], order: npt.NDArray[np.intp]
) -> npt.NDArray[np.float64]:
    values = read_numbers(column.iloc[order], ids, role="column")
    missing = np.isnan(values)
    if missing.any():
        raise EstimationError(
            explain(
                f"Column {column.name!r} is missing in some rows.",
                where=ids[missing],
                fix=f"data = data.dropna(subset=[{column.name!r}])",
            )
        )
    return values


def _require_ratio(effect: object, response: object) -> None:
    for name, one in (("effect", effect), ("response", response)):
        if not isinstance(one, Estimate) or len(one.terms) != 1:
            raise EstimationError(explain(f"{name} is no Estimate with one term.", fix='aggregate="simple"'))
    if not isinstance(response, Estimate):
        return
    if response.estimand != "eta_eps":
        raise EstimationError(
            explain(f"response is an estimate of {response.estimand!r}.", fix="ec.prediction_response(...)")
        )
    if float(response.values[0]) < WEAK * float(np.sqrt(response.variance.matrix[0, 0])):
        raise EstimationError(
            explain(
                f"Predictions hardly move with the outcome: {response.values[0]:.3g}, "
                f"standard error {np.sqrt(response.variance.matrix[0, 0]):.2g}.",
                rule=f"at least {WEAK:g} standard errors above zero",
                fix="more measured rounds, or better predictions of changes; there is no effect to scale back to",
            )
        )
