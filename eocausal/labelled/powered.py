"""Effects and means from labels alone, from predictions, and from both, with joint influence values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal.errors import DebiasError, explain
from eocausal.inference.variance import FEW_CLUSTERS, sum_within
from eocausal.labelled.asked import PowerTuning
from eocausal.labelled.labels import Labelled
from eocausal.labelled.rectified import Part, mean_part, pooled_lambda, tune, weighted_mean

FloatArray = npt.NDArray[np.float64]
Labels = npt.NDArray[Any]

_ANY = (-np.inf, np.inf)


@dataclass(frozen=True, eq=False)
class Block:
    """One mean that the estimand is made of: of an arm, or of all units.

    Attributes
    ----------
    name : str
    sign : float
        What it counts for: 1 for the treated, -1 for controls.
    rows : boolean array of shape (n,)
        Units that the mean is taken over.
    members : boolean array of shape (n,)
        Units of the arm itself: the same, but for doubly robust scores, which all units have.
    truth, prediction : array of shape (n,)
        What is averaged: outcomes, or doubly robust scores of one arm.
    """

    name: str
    sign: float
    rows: npt.NDArray[np.bool_]
    members: npt.NDArray[np.bool_]
    truth: FloatArray
    prediction: FloatArray


@dataclass(frozen=True, eq=False)
class Powered:
    """Four estimates side by side, and how predictions entered.

    Attributes
    ----------
    values : array of shape (4,)
        Naive, classical, with all of the predictions, with as much of them as was asked for.
    scores : array of shape (n, 4)
    power : DataFrame
        One row for each arm and stratum.
    tuned_by : str
        ``clusters`` or ``units``: what was summed before predictions were tuned.
    """

    values: FloatArray
    scores: FloatArray
    power: pd.DataFrame
    tuned_by: str


@dataclass(frozen=True, eq=False)
class _Cell:
    """An arm, or the part of it in one stratum: its share of the mean and the influence values of that share."""

    block: Block
    stratum: str
    rows: npt.NDArray[np.bool_]
    share: float
    share_scores: FloatArray
    part: Part


def powered(
    study: Labelled, blocks: list[Block], tuning: PowerTuning, *, clusters: Labels | None = None
) -> Powered:
    """Return naive, classical and rectified estimates of a sum of means.

    ``clusters`` (n,) are units drawn together. Predictions are tuned by them where each arm, and each of its
    strata, has labels in enough of them; by few clusters lambda would follow chance, and errors be too small.
    """
    cells = [cell for block in blocks for cell in _cells_of(block, study, tuning, clusters)]
    value = sum(cell.block.sign * cell.share * cell.part.classical for cell in cells)
    scores = np.sum([_signed(cell, classical=True) for cell in cells], axis=0)
    shifts = np.array([cell.block.sign * cell.share * cell.part.shift for cell in cells])
    columns = np.column_stack([_signed(cell, classical=False) for cell in cells])
    enough = clusters is not None and _fewest(study, cells, clusters) >= FEW_CLUSTERS
    lam, free = _lambdas(study, cells, tuning, scores, columns, clusters if enough else None)
    each = [np.zeros(len(cells)), np.ones(len(cells)), lam]
    naive = [
        weighted_mean(
            block.prediction, study.design.table.weights * block.rows, ddof=tuning.ddof, clusters=clusters
        )
        for block in blocks
    ]
    return Powered(
        np.array(
            [
                sum(block.sign * one[0] for block, one in zip(blocks, naive)),
                *(value + shifts @ one for one in each),
            ]
        ),
        np.column_stack(
            [
                np.sum([block.sign * one[1] for block, one in zip(blocks, naive)], axis=0),
                *(scores + columns @ one for one in each),
            ]
        ),
        _power(study, cells, lam, free, clusters),
        "clusters" if enough else "units",
    )


def label_weights(study: Labelled, tuning: PowerTuning) -> tuple[FloatArray, FloatArray]:
    """Return what labelled units weigh (n,), and units whose predictions are averaged (n,); 0 for all others."""
    weights, labelled = study.design.table.weights, study.labelled
    average = tuning.average or ("unlabelled" if study.probability is None else "all")
    of_labelled = np.where(labelled, weights * study.chances, 0.0)
    if average == "all":
        return of_labelled, weights
    if study.probability is None:
        return of_labelled, np.where(labelled, 0.0, weights)
    sure = study.probability == 1
    if sure.any():
        raise DebiasError(
            explain(
                "Some units had to be labelled, so units without a label cannot stand for them.",
                where=study.design.table.ids[sure],
                rule="average='unlabelled' needs probabilities below 1",
                fix="ec.PowerTuning(average='all')",
            )
        )
    return of_labelled, np.where(labelled, 0.0, weights / np.where(sure, 1.0, 1 - study.probability))


def _cells_of(block: Block, study: Labelled, tuning: PowerTuning, clusters: Labels | None) -> Iterator[_Cell]:
    """Yield an arm, or its strata with the shares of units that they hold."""
    of_labelled, reference = label_weights(study, tuning)
    weights, n = study.design.table.weights, block.rows.size
    total = float(weights[block.rows].sum())
    for code in np.unique(study.strata[block.rows]):
        rows = block.rows & (study.strata == code)
        name = study.strata_names[code] if study.strata_names else ""
        _require_labels(study, block, rows, name)
        share = float(weights[rows].sum()) / total
        part = mean_part(
            block.truth,
            block.prediction,
            labelled_weights=of_labelled * rows,
            reference_weights=reference * rows,
            ddof=tuning.ddof,
            clusters=clusters,
        )
        # a share of 1, without strata, has no error
        share_scores = n * weights * block.rows * (rows - share) / total
        yield _Cell(block, name, rows, share, share_scores, part)


def _signed(cell: _Cell, *, classical: bool) -> FloatArray:
    """Return influence values (n,) of what a cell adds: its mean times its share, both uncertain."""
    part = cell.part
    value, scores = (part.classical, part.classical_scores) if classical else (part.shift, part.shift_scores)
    return np.asarray(cell.block.sign * (cell.share * scores + value * cell.share_scores))


def _lambdas(
    study: Labelled,
    cells: list[_Cell],
    tuning: PowerTuning,
    scores: FloatArray,
    columns: FloatArray,
    clusters: Labels | None,
) -> tuple[FloatArray, FloatArray]:
    """Return how much of each shift is taken, and how much would be without bounds."""
    if tuning.lam is not None:
        fixed = np.full(len(cells), tuning.lam)
        return fixed, fixed
    if not tuning.pooled:
        return tune(scores, columns, clusters=clusters, bounds=tuning.bounds), tune(
            scores, columns, clusters=clusters, bounds=_ANY
        )
    known = study.labelled
    free = np.array(
        [
            pooled_lambda(
                cell.block.truth[cell.rows & known],
                cell.block.prediction[cell.rows & known],
                cell.block.prediction[cell.rows & ~known],
                ddof=tuning.ddof,
            )
            for cell in cells
        ]
    )
    return np.clip(free, *tuning.bounds), free


def _fewest(study: Labelled, cells: list[_Cell], clusters: Labels) -> int:
    """Return in how many clusters the labels of an arm are, or of a stratum of it, where they are fewest."""
    rows = [cell.rows & cell.block.members & study.labelled for cell in cells]
    return min(int(np.unique(clusters[one]).size) for one in rows)


def _require_labels(study: Labelled, block: Block, rows: npt.NDArray[np.bool_], stratum: str) -> None:
    """Raise where an arm, or its part in a stratum, has fewer than two labels."""
    count, of = int((rows & study.labelled).sum()), int(rows.sum())
    if count >= 2:
        return
    where = f"{block.name} of stratum {stratum!r}" if stratum else block.name
    raise DebiasError(
        explain(
            f"Labels are missing for an arm: {where} has {count} labelled of {of} units.",
            rule="at least 2 labelled units in each arm, and in each of its strata",
            fix="measure outcomes in every arm" + (", or use coarser strata" if stratum else ""),
        )
    )


def _power(
    study: Labelled, cells: list[_Cell], lam: FloatArray, free: FloatArray, clusters: Labels | None
) -> pd.DataFrame:
    rows = []
    for cell, taken, wanted in zip(cells, lam, free):
        own = cell.rows & cell.block.members
        known = own & study.labelled
        rows.append(
            {
                "arm": cell.block.name,
                "stratum": cell.stratum,
                "n": int(own.sum()),
                "n_labelled": int(known.sum()),
                "n_clusters": None if clusters is None else int(np.unique(clusters[known]).size),
                "share": cell.share,
                "correlation": correlation(study.truth[known], study.prediction[known]),
                "lambda": float(taken),
                "lambda_unbounded": float(wanted),
                "shift": cell.part.shift,
                "shift_error": _error(cell.part.shift_scores, clusters),
            }
        )
    return pd.DataFrame(rows).astype({"n_clusters": "Int64"})


def _error(scores: FloatArray, clusters: Labels | None) -> float:
    summed = scores[:, None] if clusters is None else sum_within(scores[:, None], clusters)
    return float(np.linalg.norm(summed)) / scores.size


def correlation(first: FloatArray, second: FloatArray) -> float:
    """Return the correlation of two arrays (n,), NaN where one does not vary.

    Examples
    --------
    >>> correlation(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0]))
    1.0
    """
    one, other = first - first.mean(), second - second.mean()
    size = float(np.sqrt((one @ one) * (other @ other)))
    return float(one @ other) / size if size > 0 else float("nan")
