"""Estimates side by side, with their joint covariance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from eocausal.errors import EstimationError, explain
from eocausal.inference.arms import Arms
from eocausal.inference.estimate import Estimate
from eocausal.inference.panel_index import PanelIndex
from eocausal.inference.repeats import Repeats
from eocausal.inference.second_sample import joint_second
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
    if not estimates:
        raise EstimationError(explain("compare() got no estimates.", fix="compare(naive=a, adjusted=b)"))
    _require_comparable(estimates)
    results = _by_rows_and_units(list(estimates.values()))
    kinds_of_id = {type(result.ids.tolist()[0]) for result in results}
    if len(kinds_of_id) > 1:
        raise EstimationError(
            explain(
                f"The results have ids of different kinds: {sorted(kind.__name__ for kind in kinds_of_id)}.",
                rule="units are matched by id",
                fix="make ids text, or numbers, in both tables before Design: table['id'].astype(str)",
            )
        )
    ids = np.unique(np.concatenate([result.ids for result in results]))
    scores = np.column_stack([_on(ids, result, result.score_values[:, 0]) for result in results])
    how = results[0].variance.how
    groups = {name: _joint_labels(ids, results, name) for name in how.names}
    panel = _joint_panel(ids, results)
    by_place = how.kind == "conley" or how.block_m is not None
    coordinates = _joint_coordinates(ids, results, needed=by_place)
    n_params = max(result.n_params for result in results)
    arms, weights = _joint_arms(ids, results)
    make = partial(
        variance_of, how=how, groups=groups, coordinates=coordinates, n_params=n_params, panel=panel, arms=arms,
        weights=weights,
    )  # fmt: skip
    repeats = _joint_repeats(ids, results, tuple(estimates))
    variance, repeats = (make(scores), None) if repeats is None else repeats.variance(make)
    second = joint_second([result.second for result in results])
    # few labels among many units stay few beside others
    fewest = min([variance.df, *(result.variance.df for result in results if result.second is None)])
    variance = replace(variance, df=fewest)
    variance = variance if second is None else second.added(variance)
    told = [text for result in results for text in _told_by(result, arms)]
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
        repeats=repeats,
        second=second,
        n_params=n_params,
        assumptions=tuple(dict.fromkeys(text for result in results for text in result.assumptions)),
        warnings=tuple(dict.fromkeys([*told, *_uneven(results), *variance.notes])),
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
                fix="a Cate holds one in .average, a Corrected or a Ppi in .best, a PpiRegression or a "
                "RemoteOutcome in .fit, a Rate in .rates, an Overlap in .auc",
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


def _by_rows_and_units(results: list[Estimate]) -> list[Estimate]:
    """Return results of rows of a panel and of units with ids of one kind, or raise where they cannot be joined.

    A row and its unit are two entries, which only clusters or blocks that hold both put together.
    """
    if len({result.panel is None for result in results}) == 1:
        return results
    if results[0].variance.how.kind in ("iid", "hetero"):
        text = f"Rows of a panel are compared with units, which {results[0].vcov} takes as independent."
        raise EstimationError(
            explain(text, fix="result.with_vcov('cluster') of each, with clusters of whole units")
        )
    return [replace(result, ids=result.ids.astype(str)) for result in results]


def _told_by(result: Estimate, arms: Arms | None) -> list[str]:
    """Return the warnings of a result that the joint variance does not make anew.

    Where not all results have arms, clusters are not counted by arm anew, and what one said of its own stands.
    """
    if arms is None and result.arms is not None:
        return list(result.warnings)
    return [text for text in result.warnings if text not in result.variance.notes]


def _on(ids: npt.NDArray[Any], result: Estimate, scores: FloatArray) -> FloatArray:
    """Return influence values of one estimate on all ids (n,), 0 for those that did not enter it."""
    found = np.zeros(ids.size)
    found[np.searchsorted(ids, result.ids)] = scores * ids.size / result.n
    return found


def _repeat_counts(results: Iterable[Estimate]) -> set[int]:
    return {len(result.repeats.seeds) for result in results if result.repeats is not None}


def _joint_repeats(ids: npt.NDArray[Any], results: list[Estimate], terms: tuple[str, ...]) -> Repeats | None:
    """Return the repeats of all estimates, first with first, so that the dealing of folds stays in the errors.

    An estimate without repeats is the same in each. None where there are no repeats, or not as many of each.
    """
    many = _repeat_counts(results)
    if len(many) != 1:
        return None
    count = many.pop()
    values, scores = np.zeros((count, len(results))), np.zeros((count, ids.size, len(results)))
    seeds: tuple[int, ...] = ()
    for column, result in enumerate(results):
        own = result.repeats
        seeds = seeds if own is None or seeds else own.seeds
        for repeat in range(count):
            values[repeat, column] = result.values[0] if own is None else own.values[repeat, 0]
            one = result.score_values if own is None else own.score_values[repeat]
            scores[repeat, :, column] = _on(ids, result, one[:, 0])
    return Repeats(terms, seeds, values, scores, np.zeros_like(values))


def _uneven(results: Iterable[Estimate]) -> tuple[str, ...]:
    """Say where repeats cannot be put side by side."""
    many = _repeat_counts(results)
    if len(many) < 2:
        return ()
    return (
        f"the estimates are medians of {' and '.join(str(one) for one in sorted(many))} repeats: standard errors "
        "are of one repeat of each and leave out how much the dealing of folds matters; repeat each as often",
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
