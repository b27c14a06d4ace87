"""RATE on parts of the data, its half-sample variance, and the average over parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from eocausal.errors import EvaluationError, explain
from eocausal.evaluate.rate_result import Rate
from eocausal.evaluate.toc import Ranking, rank, rate_influence, toc_and_rate
from eocausal.inference.estimate import Estimate
from eocausal.inference.variance import Variance, Vcov

FloatArray = npt.NDArray[np.float64]

# Half samples of fewer clusters than this say little about the variance.
FEW_GROUPS = 20


@dataclass(frozen=True)
class Part:
    """Evaluation data that the priorities in it have not seen: one fold, or a whole evaluation sample."""

    ids: npt.NDArray[Any]
    dr_scores: FloatArray
    weights: FloatArray
    groups: npt.NDArray[Any]
    priorities: dict[str, FloatArray]


@dataclass(frozen=True)
class _Evaluated:
    """What one part yields: rates and TOC curves with half-sample replicates, and influence values."""

    values: FloatArray  # (p,)
    draws: FloatArray  # (R, p)
    toc: FloatArray  # (p, q)
    toc_errors: FloatArray  # (p, q)
    influence: FloatArray  # (n, p)
    n_groups: int


def aggregate(parts: list[Part], *, target: str, grid: FloatArray, replicates: int, seed: int) -> Rate:
    """Evaluate each part and average them with weights inverse to their standard errors."""
    generators = np.random.default_rng(seed).spawn(len(parts))
    evaluated = [
        _evaluate(part, target=target, grid=grid, replicates=replicates, generator=generator)
        for part, generator in zip(parts, generators)
    ]
    names = list(parts[0].priorities)
    errors = np.array([part.draws.std(axis=0, ddof=1) for part in evaluated])
    share = _inverse_error_shares(errors)
    covariance = sum(
        np.outer(share[k], share[k]) * np.cov(part.draws, rowvar=False, ddof=1).reshape(len(names), -1)
        for k, part in enumerate(evaluated)
    )
    values = np.sum([share[k] * part.values for k, part in enumerate(evaluated)], axis=0)
    influence = np.concatenate(
        [
            part.influence * share[k] * (sum(p.ids.size for p in parts) / parts[k].ids.size)
            for k, part in enumerate(evaluated)
        ]
    )
    contrasts, terms = _with_differences(names)
    groups = np.concatenate([np.char.add(f"{k}:", part.groups.astype(str)) for k, part in enumerate(parts)])
    n_groups = sum(part.n_groups for part in evaluated)
    matrix = contrasts @ np.asarray(covariance) @ contrasts.T
    clustered = n_groups < groups.size
    how = Vcov("half-sample", ("groups",) if clustered else ())
    rates = Estimate(
        estimand=target,
        method="given scores",
        terms=terms,
        values=contrasts @ values,
        ids=np.concatenate([part.ids for part in parts]),
        score_values=influence @ contrasts.T,
        variance=Variance(
            matrix, float(n_groups - len(parts)), 1.0, n_groups if clustered else None, how=how
        ),
        groups={"groups": groups} if clustered else {},
        warnings=_few_groups([part.n_groups for part in evaluated]),
        diagnostics={"replicates": replicates, "folds_evaluated": len(parts)},
    )
    return Rate(
        rates,
        target,
        _toc_frame(names, evaluated, share, grid, rates.variance.df),
        _fold_frame(names, parts, evaluated),
    )


def _evaluate(
    part: Part, *, target: str, grid: FloatArray, replicates: int, generator: np.random.Generator
) -> _Evaluated:
    codes = np.unique(part.groups, return_inverse=True)[1]
    n_groups = int(codes.max()) + 1
    if n_groups < 2:
        raise EvaluationError(
            explain("All evaluation units are in one cluster.", rule="at least two, better 20 or more")
        )
    rankings: list[Ranking] = [rank(values, ids=part.ids) for values in part.priorities.values()]

    def evaluate(weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        both = [toc_and_rate(r, part.dr_scores, weights, target=target, grid=grid) for r in rankings]
        return np.array([value for _, value in both]), np.array([toc for toc, _ in both])

    values, toc = evaluate(part.weights)
    draws = np.zeros((replicates, len(rankings)))
    toc_draws = np.zeros((replicates, *toc.shape))
    for draw in range(replicates):
        kept = np.zeros(n_groups)
        kept[generator.permutation(n_groups)[: n_groups // 2]] = 1.0
        draws[draw], toc_draws[draw] = evaluate(part.weights * kept[codes])
    influence = [rate_influence(r, part.dr_scores, part.weights, target=target) for r in rankings]
    return _Evaluated(values, draws, toc, toc_draws.std(axis=0, ddof=1), np.column_stack(influence), n_groups)


def _inverse_error_shares(errors: FloatArray) -> FloatArray:
    """Return the weights (parts, p) of the parts; a part with no error at all (constant priority) gets none."""
    inverse = np.divide(1.0, errors, out=np.zeros_like(errors), where=errors > 0)
    total = inverse.sum(axis=0)
    even = np.full_like(errors, 1 / len(errors))
    return np.where(total > 0, inverse / np.where(total > 0, total, 1.0), even)


def _with_differences(names: list[str]) -> tuple[FloatArray, tuple[str, ...]]:
    """Return contrasts that append all pairwise differences, and the names of all terms."""
    identity = np.eye(len(names))
    rows, terms = list(identity), list(names)
    for first in range(len(names)):
        for second in range(first + 1, len(names)):
            rows.append(identity[first] - identity[second])
            terms.append(f"{names[first]} - {names[second]}")
    return np.array(rows), tuple(terms)


def _few_groups(sizes: list[int]) -> tuple[str, ...]:
    if min(sizes) >= FEW_GROUPS:
        return ()
    return (
        f"as few as {min(sizes)} clusters in an evaluation fold: half-sample standard errors are rough below "
        f"{FEW_GROUPS}",
    )


def _toc_frame(
    names: list[str], evaluated: list[_Evaluated], share: FloatArray, grid: FloatArray, df: float
) -> pd.DataFrame:
    frames = []
    for column, name in enumerate(names):
        estimate = sum(share[k, column] * part.toc[column] for k, part in enumerate(evaluated))
        variance = sum((share[k, column] * part.toc_errors[column]) ** 2 for k, part in enumerate(evaluated))
        error = np.sqrt(np.asarray(variance, dtype=float))
        half = stats.t.ppf(0.975, df) * error
        frames.append(
            pd.DataFrame(
                {"priority": name, "q": grid, "estimate": estimate, "std_error": error, "conf_low": estimate - half,
                 "conf_high": estimate + half}
            )
        )  # fmt: skip
    return pd.concat(frames, ignore_index=True)


def _fold_frame(names: list[str], parts: list[Part], evaluated: list[_Evaluated]) -> pd.DataFrame:
    rows = [
        {
            "priority": name, "fold": fold, "n": int(part.ids.size), "n_clusters": found.n_groups,
            "estimate": float(found.values[column]), "std_error": float(found.draws[:, column].std(ddof=1)),
        }
        for column, name in enumerate(names)
        for fold, (part, found) in enumerate(zip(parts, evaluated), start=1)
    ]  # fmt: skip
    return pd.DataFrame(rows)
