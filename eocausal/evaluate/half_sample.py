"""RATE on parts of the data, and the average over parts: any number of priorities, all targets, one covariance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal.errors import EvaluationError, explain
from eocausal.evaluate.rate_influence import rate_influence, toc_influence
from eocausal.evaluate.rate_result import Rate
from eocausal.evaluate.rate_settings import RateSettings
from eocausal.evaluate.toc import rank, rates_and_toc
from eocausal.evaluate.toc_table import toc_frame
from eocausal.inference.estimate import Estimate
from eocausal.inference.variance import Variance, Vcov, sum_within

FloatArray = npt.NDArray[np.float64]

# Standard errors from fewer clusters than this are rough.
FEW_GROUPS = 20


@dataclass(frozen=True)
class Part:
    """Evaluation data that the priorities in it have not seen: one fold, or a whole evaluation sample.

    Attributes
    ----------
    ids : array of shape (n,)
    dr_scores, weights : array of shape (n,)
        Doubly robust scores and positive sample weights.
    groups : array of shape (n,)
        Labels of units that vary together.
    priorities : dict of str to array of shape (n,)
        What to rank by, highest first; the same names in every part.
    """

    ids: npt.NDArray[Any]
    dr_scores: FloatArray
    weights: FloatArray
    groups: npt.NDArray[Any]
    priorities: dict[str, FloatArray]


@dataclass(frozen=True)
class _Evaluated:
    """What one part yields for p priorities; columns of t targets stand side by side, the first target first."""

    values: FloatArray  # (t p,)
    influence: FloatArray  # (n, t p)
    covariance: FloatArray  # (t p, t p)
    toc: FloatArray  # (p, q)
    toc_covariance: FloatArray  # (p, q, q)
    n_groups: int

    @property
    def std_errors(self) -> FloatArray:
        return np.sqrt(np.diag(self.covariance))


def aggregate(
    parts: Sequence[Part], settings: RateSettings | None = None, *, differences: bool = True
) -> Rate:
    """Evaluate priorities on each part and average the parts with weights inverse to their standard errors.

    This is what :func:`eocausal.rate` and other comparisons of rankings are made with: all priorities are judged on
    the same units, and the covariance of all of them and of all targets is kept.

    Parameters
    ----------
    parts : sequence of Part
        Disjoint units; parts count as independent given what their priorities were trained on.
    settings : RateSettings, optional
        Target declared beforehand, integration, standard errors, grid, replicates, seed.
    differences : bool
        Whether pairwise differences of priorities become terms too: ``p (p - 1) / 2`` for each target.

    Returns
    -------
    Rate
    """
    settings = RateSettings() if settings is None else settings
    generators = np.random.default_rng(settings.seed).spawn(len(parts))
    evaluated = [
        _evaluate(part, settings, key=int(generator.integers(0, 2**63)))
        for part, generator in zip(parts, generators)
    ]
    names = list(parts[0].priorities)
    share = _inverse_error_shares(np.array([part.std_errors for part in evaluated]))
    contrasts, terms = _contrasts(names, settings.targets, differences)
    joint = Estimate(
        estimand=", ".join(settings.targets),
        method="given scores",
        terms=terms,
        values=contrasts @ _sum(share, [part.values for part in evaluated]),
        ids=np.concatenate([part.ids for part in parts]),
        score_values=_influence(parts, evaluated, share) @ contrasts.T,
        **_uncertainty(parts, evaluated, share, contrasts, settings),
        warnings=_few_groups([part.n_groups for part in evaluated]),
        diagnostics={
            "integration": settings.integration,
            **({"replicates": settings.replicates} if settings.std_errors == "half_sample" else {}),
            "folds_evaluated": len(parts),
        },
    )
    return Rate(
        joint,
        settings.targets[0],
        _curves(names, evaluated, share, settings, df=joint.variance.df),
        _fold_frame(names, parts, evaluated, settings.targets),
    )


def _curves(
    names: list[str], evaluated: Sequence[_Evaluated], share: FloatArray, settings: RateSettings, *, df: float
) -> pd.DataFrame:
    """Return the table of curves. One serves all targets: it is averaged over parts as the first target is."""
    curves, covariances = [], []
    for place in range(len(names)):
        own = share[:, place]
        curves.append(_sum(own, [part.toc[place] for part in evaluated]))
        covariances.append(_sum(own**2, [part.toc_covariance[place] for part in evaluated]))
    return toc_frame(names, settings.shares, curves, covariances, df=df, seed=settings.seed)


def _evaluate(part: Part, settings: RateSettings, *, key: int) -> _Evaluated:
    codes = np.unique(part.groups, return_inverse=True)[1]
    n_groups = int(codes.max()) + 1
    if n_groups < 2:
        raise EvaluationError(
            explain(
                "All evaluation units are in one cluster.",
                rule="at least two, better 20 or more",
                fix="fewer folds, or clusters of fewer units",
            )
        )
    grid, drawn, own = settings.shares, settings.std_errors == "half_sample", settings.weighting
    values, influence, tocs, toc_covariances, draws = [], [], [], [], []
    for priority in part.priorities.values():
        ranking = rank(priority, ids=part.ids)
        rates, toc = rates_and_toc(
            ranking, part.dr_scores, part.weights, grid=grid, integration=settings.integration, weighting=own
        )
        values.append(rates)
        tocs.append(toc)
        influence.append(rate_influence(ranking, part.dr_scores, part.weights, own, clusters=n_groups))
        if drawn:
            from eocausal.evaluate.half_sample_draws import half_sample_draws

            rate_draws, toc_draws = half_sample_draws(
                ranking, part.dr_scores, part.weights, codes,
                grid=grid, integration=settings.integration, replicates=settings.replicates, key=key, weighting=own,
            )  # fmt: skip
            draws.append(rate_draws)
            toc_covariances.append(np.cov(toc_draws, rowvar=False, ddof=1).reshape(grid.size, -1))
        else:
            of_toc = toc_influence(ranking, part.dr_scores, part.weights, grid=grid)
            toc_covariances.append(_covariance(of_toc, codes, n_groups))
    order = settings.columns
    made = _by_target(np.stack(influence, axis=1), order)
    drawn_rates = _by_target(np.stack(draws, axis=1), order) if drawn else None
    covariance = (
        _covariance(made, codes, n_groups) if drawn_rates is None else np.cov(drawn_rates, rowvar=False)
    )
    return _Evaluated(
        _by_target(np.stack(values)[None], order)[0],
        made,
        covariance,
        np.stack(tocs),
        np.stack(toc_covariances),
        n_groups,
    )


def _by_target(values: FloatArray, order: list[int]) -> FloatArray:
    """Return values (m, p, t) as columns (m, t p): all priorities of the first target, then of the next."""
    turned: FloatArray = values[:, :, order].transpose(0, 2, 1).reshape(len(values), -1)
    return turned


def _covariance(influence: FloatArray, codes: npt.NDArray[np.intp], n_groups: int) -> FloatArray:
    """Return the covariance of estimates with these influence values (n, k), summed within clusters."""
    sums = influence if n_groups == len(influence) else sum_within(influence, codes)
    covariance: FloatArray = n_groups / (n_groups - 1) * sums.T @ sums / len(influence) ** 2
    return covariance


def _inverse_error_shares(errors: FloatArray) -> FloatArray:
    """Return the weights (parts, p) of the parts; a part with no error at all (constant priority) gets none."""
    inverse = np.divide(1.0, errors, out=np.zeros_like(errors), where=errors > 0)
    total = inverse.sum(axis=0)
    even = np.full_like(errors, 1 / len(errors))
    return np.where(total > 0, inverse / np.where(total > 0, total, 1.0), even)


def _sum(share: FloatArray, values: Sequence[FloatArray]) -> FloatArray:
    """Return the sum over parts of their values, each times its share: one of a part, or one for each column."""
    summed: FloatArray = np.sum([own * one for own, one in zip(share, values)], axis=0)
    return summed


def _influence(parts: Sequence[Part], evaluated: Sequence[_Evaluated], share: FloatArray) -> FloatArray:
    """Return influence values (n, t p) of the averages.

    Those of a part are scaled so that one variance of all clusters, with its factor for all of them, has the factor
    that the part's own number of clusters asks for.
    """
    n = sum(part.ids.size for part in parts)
    n_groups = sum(one.n_groups for one in evaluated)
    overall = n_groups / (n_groups - 1)
    pieces = []
    for part, one, own in zip(parts, evaluated, share):
        scale = np.sqrt(one.n_groups / (one.n_groups - 1) / overall)
        pieces.append(one.influence * own * (scale * n / part.ids.size))
    return np.concatenate(pieces)


def _uncertainty(
    parts: Sequence[Part],
    evaluated: Sequence[_Evaluated],
    share: FloatArray,
    contrasts: FloatArray,
    settings: RateSettings,
) -> dict[str, Any]:
    """Return variance and clusters of the averages, as fields of an Estimate."""
    labels = [np.char.add(f"{k}:", part.groups.astype(str)) for k, part in enumerate(parts)]
    groups = np.concatenate(labels) if len(parts) > 1 else parts[0].groups
    n_groups = sum(one.n_groups for one in evaluated)
    clustered = n_groups < groups.size
    covariance = np.sum([np.outer(own, own) * one.covariance for own, one in zip(share, evaluated)], axis=0)
    kind = "half-sample" if settings.std_errors == "half_sample" else "cluster" if clustered else "iid"
    drawn = kind == "half-sample"
    factor = 1.0 if drawn else n_groups / (n_groups - 1)
    variance = Variance(
        contrasts @ covariance @ contrasts.T,
        # weighed by its own error, each part adds its t statistic: their sum is as spread as that of one part
        float(min(one.n_groups for one in evaluated) - 1),
        factor,
        n_groups if clustered else None,
        how=Vcov(kind, ("groups",) if clustered else ()),
    )
    return {"variance": variance, "groups": {"groups": groups} if clustered else {}}


def _contrasts(
    names: list[str], targets: tuple[str, ...], differences: bool
) -> tuple[FloatArray, tuple[str, ...]]:
    """Return contrasts that append all pairwise differences within each target, and the names of all terms."""
    identity = np.eye(len(names))
    rows, terms = list(identity), list(names)
    for first in range(len(names) if differences else 0):
        for second in range(first + 1, len(names)):
            rows.append(identity[first] - identity[second])
            terms.append(f"{names[first]} - {names[second]}")
    matrix: FloatArray = np.kron(np.eye(len(targets)), np.array(rows)).astype(float)
    return matrix, tuple(f"{target}: {term}" for target in targets for term in terms)


def _few_groups(sizes: list[int]) -> tuple[str, ...]:
    if min(sizes) >= FEW_GROUPS:
        return ()
    return (
        f"as few as {min(sizes)} clusters in an evaluation fold: standard errors are rough below {FEW_GROUPS}",
    )


def _fold_frame(
    names: list[str], parts: Sequence[Part], evaluated: Sequence[_Evaluated], targets: tuple[str, ...]
) -> pd.DataFrame:
    labels = [(target, name) for target in targets for name in names]
    rows = [
        {
            "priority": name, "estimand": target, "fold": fold, "n": int(part.ids.size),
            "n_clusters": found.n_groups, "estimate": float(found.values[column]),
            "std_error": float(found.std_errors[column]),
        }
        for column, (target, name) in enumerate(labels)
        for fold, (part, found) in enumerate(zip(parts, evaluated), start=1)
    ]  # fmt: skip
    return pd.DataFrame(rows)
