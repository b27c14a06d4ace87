"""RATE: whether a ranking of units by predicted effect finds those who gain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, Unpack

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal.design import Design
from eocausal.effects.cate import Cate
from eocausal.errors import EvaluationError, explain
from eocausal.evaluate.half_sample import Part, aggregate
from eocausal.evaluate.priorities import Priority, finite, parts_of_cate, parts_of_design
from eocausal.evaluate.rate_result import Rate
from eocausal.evaluate.rate_settings import RateOptions, RateSettings
from eocausal.evaluate.rate_weighting import Weighting

FloatArray = npt.NDArray[np.float64]


def rate(
    source: Cate | Design,
    *,
    priority: Priority | Mapping[str, Priority] | None = None,
    target: str | Weighting = "AUTOC",
    integration: Literal["exact", "grf"] = "exact",
    std_errors: Literal["influence", "half_sample"] = "half_sample",
    grid: npt.ArrayLike | None = None,
    replicates: int = 1000,
    seed: int = 0,
) -> Rate:
    """Test whether ranking units by a priority finds those who gain, and draw the TOC curve.

    AUTOC and QINI are made together; the one to be judged by is declared as ``target``.

    Parameters
    ----------
    source : Cate or Design
        Where the doubly robust scores come from. With a ``Cate`` and no ``priority``, its own predictions are
        evaluated: those for each fold come from models of earlier folds only, each fold is evaluated by itself, and
        the folds are averaged with weights inverse to their standard errors. With a ``Design`` (a held-out sample),
        give a ``priority``.
    priority : optional
        What to rank by, highest first: a ``Cate`` trained on *other* units, clusters and images (for a ``Design``);
        a Series by unit id, or an array or column name, that was fixed without looking at these outcomes; or a
        mapping of names to several of these, which are compared pairwise. In such a mapping the ``Cate`` that is
        the source stands for its own sequential predictions.
    target : {"AUTOC", "QINI"} or Weighting
        AUTOC weighs few large gains more, QINI many small ones; an :class:`eocausal.Weighting` averages the curve
        by weights of one's own. Choose before looking: it is what the members of the result speak of. The others
        are in its table beside it.
    integration : {"exact", "grf"}
        ``exact`` integrates the TOC over shares with tied units as one group: no matter in which order rows stand,
        and the same whether a unit weighs 2 or stands twice. ``grf`` sums over units as grf 2.6 does.
    std_errors : {"half_sample", "influence"}
        ``half_sample``: the spread over random halves of the clusters, as in grf; the better of the two where there
        are few clusters or units in a fold. ``influence``: from influence values, which hold that ranks are
        estimated, summed within clusters; nothing is drawn.
    grid : array-like, optional
        Shares at which the TOC is given; default 0.1, 0.2, ..., 1.
    replicates : int
        Half-sample draws.
    seed : int
        Of what is drawn: half samples, and the width of the uniform band of the TOC.

    Returns
    -------
    Rate

    Raises
    ------
    EvaluationError
        Priorities that saw the evaluation units (or their clusters or images), pooled cross-fitted predictions,
        missing or non-finite priorities, unknown target, bad grid.

    Notes
    -----
    Predictions cross-fitted on all other folds and then pooled reject a true null about twice too often, and
    averaging folds evaluated one by one does not mend it, because each fold's model was trained on the folds it is
    averaged with. Training on earlier folds only makes the folds a martingale: Luedtke and van der Laan (2016),
    Annals of Statistics 44; Wager (2024), "Sequential validation of treatment heterogeneity". Results move with how
    units are dealt into folds: :func:`eocausal.rate_over_splits` shows by how much.

    Definitions are those of Yadlowsky et al. (2025), JASA 120. Intervals use the t distribution; with hundreds of
    clusters the two kinds of standard errors agree within a few percent, and ``docs/rate.md`` says how often each
    rejects what is true. Where neighbours vary together across clusters, :meth:`Rate.with_vcov` sums influence
    values by distance or by blocks of ground.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"grant": np.tile([0, 1], 200), "age": rng.normal(size=400)})
    >>> table["income"] = table["grant"] * table["age"] + 0.1 * rng.normal(size=400)
    >>> import eocausal as ec
    >>> design = ec.Design(table, outcome="income", treatment="grant", covariates=["age"], propensity=0.5)
    >>> result = ec.rate(design, priority="age", target="QINI")
    >>> result.to_frame()[["estimand", "term", "n"]].values.tolist()
    [['QINI', 'age', 400], ['AUTOC', 'age', 400]]
    >>> bool(result.p_value() < 0.05)
    True
    """
    settings = RateSettings(target, integration, std_errors, grid, replicates, seed)
    named = dict(priority) if isinstance(priority, Mapping) else {_name_of(priority): priority}
    _require_some(named)
    if isinstance(source, Cate):
        parts, warnings = parts_of_cate(source, named)
        made, assumptions = source.provenance, _assumptions(source, named)
    elif isinstance(source, Design):
        parts, warnings, made = parts_of_design(source, named, seed=seed)
        assumptions = _assumptions(source, named)
    else:
        raise EvaluationError(
            explain(
                f"rate() got a {type(source).__name__}.",
                fix="ec.rate(ec.cate(design)) or ec.rate(design, priority=...)",
            )
        )
    result = aggregate(parts, settings)
    joint = replace(
        result.joint,
        method="sequential folds" if len(parts) > 1 else "held-out sample",
        assumptions=assumptions,
        warnings=(*warnings, *result.joint.warnings),
        coordinates=_places_of(source, result.joint.ids),
        provenance={**made, "rate_seed": seed},
    )
    return replace(result, joint=joint)


def rate_from_scores(
    dr_scores: npt.ArrayLike,
    priority: npt.ArrayLike | Mapping[str, npt.ArrayLike],
    *,
    weights: npt.ArrayLike | None = None,
    clusters: npt.ArrayLike | None = None,
    **options: Unpack[RateOptions],
) -> Rate:
    """Compute RATE from doubly robust scores made elsewhere, as grf's ``rank_average_treatment_effect.fit``.

    Parameters
    ----------
    dr_scores : array-like of shape (n,)
    priority : array-like of shape (n,), or mapping of name to such
        Rankings that have not seen these scores; nothing here can check that.
    weights : array-like of shape (n,), optional
        Positive sample weights.
    clusters : array-like of shape (n,), optional
    **options
        ``target, integration, std_errors, grid, replicates, seed`` as in :func:`eocausal.rate`.

    Returns
    -------
    Rate

    Raises
    ------
    EvaluationError
        Lengths differ, values are not finite, weights are not positive, or there are fewer than two clusters.

    Examples
    --------
    >>> rate_from_scores([3.0, -1.0, 2.0, 0.5], [4, 3, 2, 1], target="QINI").estimate
    0.140625
    """
    settings = RateSettings(**options)
    size = np.size(dr_scores)
    scores = finite("dr_scores", dr_scores, size)
    named = priority if isinstance(priority, Mapping) else {"priority": priority}
    _require_some(named)
    _require_one_index({"dr_scores": dr_scores, "weights": weights, "clusters": clusters, **named})
    ids = np.arange(size)
    part = Part(
        ids=ids,
        dr_scores=scores,
        weights=np.ones(scores.size) if weights is None else finite("weights", weights, scores.size),
        groups=ids if clusters is None else _clusters(clusters, size),
        priorities={
            name: finite(f"priority {name!r}", values, scores.size) for name, values in named.items()
        },
    )
    if (part.weights <= 0).any():
        raise EvaluationError(explain("Weights must be positive.", where=ids[part.weights <= 0]))
    return aggregate([part], settings)


def _places_of(source: Cate | Design, ids: npt.NDArray[Any]) -> FloatArray | None:
    """Return longitude and latitude (n, 2) of the units that were judged, where the source knows them."""
    known = source if isinstance(source, Cate) else source.table
    if known.coordinates is None:
        return None
    return np.asarray(known.coordinates[pd.Index(known.ids).get_indexer(pd.Index(ids))])


def _require_some(named: Mapping[str, Any]) -> None:
    if not named:
        raise EvaluationError(explain("priority is an empty mapping.", fix="priority={'name': values}"))


def _require_one_index(given: Mapping[str, Any]) -> None:
    """Raise when Series are in different orders: their values would be taken by position."""
    series = {name: value for name, value in given.items() if isinstance(value, pd.Series)}
    if not series:
        return
    first = next(iter(series))
    other = [name for name, value in series.items() if not value.index.equals(series[first].index)]
    if other:
        raise EvaluationError(
            explain(
                f"The Series {other[0]!r} has another index than {first!r}.",
                rule="values are taken in order",
                fix=f"{other[0]} = {other[0]}.reindex({first}.index)",
            )
        )


def _clusters(clusters: npt.ArrayLike, size: int) -> npt.NDArray[Any]:
    labels = np.asarray(clusters)
    if labels.shape != (size,):
        raise EvaluationError(
            explain(f"clusters has shape {labels.shape}.", rule=f"one label for each of {size} units")
        )
    missing = pd.isna(labels)
    if missing.any():
        raise EvaluationError(explain("clusters has missing labels.", where=np.flatnonzero(missing)))
    return labels.astype(str) if labels.dtype == object else labels


def _name_of(priority: Any) -> str:
    if isinstance(priority, str):
        return priority
    if isinstance(priority, pd.Series) and priority.name is not None:
        return str(priority.name)
    return "predicted effect" if priority is None or isinstance(priority, Cate) else "priority"


def _assumptions(source: Cate | Design, named: Mapping[str, Priority | None]) -> tuple[str, ...]:
    given = [name for name, value in named.items() if value is not None and not isinstance(value, Cate)]
    external = (f"priorities {given} were fixed without looking at these outcomes",) if given else ()
    own = isinstance(source, Cate) and len(given) < len(named)
    sequential = ("the rate is an average over models trained on growing shares of the folds",) if own else ()
    return (*source.assumptions[:1], *sequential, *external) if isinstance(source, Cate) else external
