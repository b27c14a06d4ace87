"""Estimates side by side, with their joint covariance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from eocausal.errors import EstimationError, explain
from eocausal.inference.arms import Arms
from eocausal.inference.estimate import Estimate
from eocausal.inference.panel_index import PanelIndex
from eocausal.inference.vcov import variance_of

FloatArray = npt.NDArray[np.float64]


def compare(**estimates: Estimate) -> Estimate:
    """Put estimates side by side with their joint covariance.

    The estimates may come from overlapping, equal or disjoint sets of units; a unit that did not enter an
    estimate contributes nothing to its error. All must use the same kind of standard error, and a unit must
    have the same cluster in each.

    Parameters
    ----------
    **estimates : Estimate
        Named results with one term each.

    Returns
    -------
    Estimate
        One term per name.

    Raises
    ------
    EstimationError
        No estimates, several terms in one, different kinds of standard error, or clusters that disagree.

    Examples
    --------
    >>> import pandas as pd, eocausal as ec
    >>> table = pd.DataFrame({"grant": [0, 1] * 20, "age": np.arange(40.0) % 7})
    >>> table["income"] = 2 * table["grant"] + table["age"]
    >>> design = ec.Design(table, outcome="income", treatment="grant", covariates=["age"])
    >>> naive, adjusted = (ec.ate(design, method=method) for method in ("difference", "regression"))
    >>> ec.compare(naive=naive, adjusted=adjusted).to_frame()[["term", "estimate"]].round(2).to_dict("list")
    {'term': ['naive', 'adjusted'], 'estimate': [1.95, 2.0]}
    """
    results = list(estimates.values())
    if not results:
        raise EstimationError(explain("compare() got no estimates.", fix="compare(naive=a, adjusted=b)"))
    _require_comparable(estimates)
    kinds_of_id = {type(result.ids.tolist()[0]) for result in results}
    if len(kinds_of_id) > 1:
        raise EstimationError(
            explain(
                f"The results have ids of different kinds: {sorted(kind.__name__ for kind in kinds_of_id)}."
            )
        )
    ids = np.unique(np.concatenate([result.ids for result in results]))
    scores = np.zeros((ids.size, len(results)))
    for column, result in enumerate(results):
        scores[np.searchsorted(ids, result.ids), column] = result.score_values[:, 0] * ids.size / result.n
    how = results[0].variance.how
    groups = {name: _joint_labels(ids, results, name) for name in how.names}
    panel = _joint_panel(ids, results)
    by_place = how.kind == "conley" or how.block_m is not None
    coordinates = _joint_coordinates(ids, results, needed=by_place)
    n_params = max(result.n_params for result in results)
    arms, weights = _joint_arms(ids, results)
    variance = variance_of(
        scores,
        how,
        groups=groups,
        coordinates=coordinates,
        n_params=n_params,
        panel=panel,
        arms=arms,
        weights=weights,
    )
    notes = {text for result in results for text in result.variance.notes}
    told = [text for result in results for text in result.warnings if text not in notes]
    return Estimate(
        estimand=", ".join(dict.fromkeys(result.estimand for result in results)),
        method="compare",
        terms=tuple(estimates),
        values=np.array([result.values[0] for result in results]),
        ids=ids,
        score_values=scores,
        variance=variance,
        groups=groups,
        coordinates=coordinates,
        weights=weights,
        arms=arms,
        panel=panel,
        n_params=n_params,
        assumptions=tuple(dict.fromkeys(text for result in results for text in result.assumptions)),
        warnings=tuple(dict.fromkeys([*told, *variance.notes])),
        provenance=results[0].provenance,
    )


def _require_comparable(estimates: Mapping[str, Estimate]) -> None:
    strange = [
        f"{name} is a {type(result).__name__}"
        for name, result in estimates.items()
        if not isinstance(result, Estimate)
    ]
    if strange:
        raise EstimationError(
            explain(
                "Only Estimates can be compared.",
                where=strange,
                fix="a Cate holds one in .average, a Rate in .rates, an Overlap in .auc",
            )
        )
    several = [name for name, result in estimates.items() if len(result.terms) != 1]
    if several:
        raise EstimationError(explain("Only results with one term can be compared.", where=several))
    kinds = {result.vcov for result in estimates.values()}
    if len(kinds) > 1:
        raise EstimationError(
            explain(
                f"The results have different standard errors: {sorted(kinds)}.",
                fix="give them the same kind first: result.with_vcov(...)",
            )
        )
    if kinds <= {"half-sample", "half-sample(groups)"}:
        raise EstimationError(
            explain(
                "Half-sample standard errors of separate runs cannot be joined.",
                fix="ec.rate(source, priority={'a': ..., 'b': ...}) draws both on the same halves, or use "
                "result.rates.with_vcov('cluster' or 'iid')",
            )
        )


def _joint_labels(ids: npt.NDArray[Any], results: list[Estimate], name: str) -> npt.NDArray[Any]:
    """Return one cluster label for each id, or raise where two results disagree."""
    label_of: dict[Any, Any] = {}
    clashes = []
    for result in results:
        for unit, label in zip(result.ids.tolist(), result.groups[name].tolist()):
            if label_of.setdefault(unit, label) != label:
                clashes.append(unit)
    if clashes:
        raise EstimationError(explain(f"Units have different {name!r} in the two results.", where=clashes))
    return np.array([label_of[unit] for unit in ids.tolist()])


def _joint_coordinates(ids: npt.NDArray[Any], results: list[Estimate], *, needed: bool) -> FloatArray | None:
    """Return the place of each id (n, 2), or None where they are not known or differ; raise then if ``needed``."""
    joint = np.full((ids.size, 2), np.nan)
    moved = np.zeros(ids.size, dtype=bool)
    for result in results:
        if result.coordinates is None:
            return None
        rows = np.searchsorted(ids, result.ids)
        seen = ~np.isnan(joint[rows, 0])
        moved[rows] |= seen & (joint[rows] != result.coordinates).any(axis=1)
        joint[rows] = result.coordinates
    if moved.any() and needed:
        raise EstimationError(explain("Units lie at different places in the two results.", where=ids[moved]))
    return None if moved.any() else joint


def _joint_panel(ids: npt.NDArray[Any], results: list[Estimate]) -> PanelIndex | None:
    """Return unit and period of each id, or None where they are not known or differ."""
    unit: dict[Any, Any] = {}
    clash = False
    for result in results:
        if result.panel is None:
            return None
        rows = zip(result.panel.unit.tolist(), result.panel.period.tolist())
        for one, row in zip(result.ids.tolist(), rows):
            clash |= unit.setdefault(one, row) != row
    if clash:
        return None
    found = [unit[one] for one in ids.tolist()]
    effects = max(result.panel.unit_effects for result in results if result.panel is not None)
    return PanelIndex(np.array([row[0] for row in found]), np.array([row[1] for row in found]), effects)


def _joint_arms(ids: npt.NDArray[Any], results: list[Estimate]) -> tuple[Arms | None, FloatArray | None]:
    """Return the treatment of each id and what it weighs, or None where they are not known or differ."""
    joint, weight = np.full(ids.size, np.nan), np.full(ids.size, np.nan)
    weighed = True
    for result in results:
        if result.arms is None:
            return None, None
        rows = np.searchsorted(ids, result.ids)
        if (~np.isnan(joint[rows]) & (joint[rows] != result.arms.treatment)).any():
            return None, None
        joint[rows] = result.arms.treatment
        own = np.ones(result.n) if result.weights is None else result.weights
        weighed &= not (~np.isnan(weight[rows]) & (weight[rows] != own)).any()
        weight[rows] = own
    all_arms = [result.arms for result in results if result.arms is not None]
    names = {one.cluster for one in all_arms}
    cluster = names.pop() if len(names) == 1 else None
    arms = Arms(joint, cluster)
    return arms, weight if weighed else None
