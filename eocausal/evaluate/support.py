"""How far places are from what a study has seen, as a share of the distances between its own units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from eocausal._threads import one_blas_thread
from eocausal.evaluate.sampling import PIECE
from eocausal.nuisance.columns import ColumnReducer

if TYPE_CHECKING:
    from eocausal.design import Design

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

# Features are compared by this many components of each block.
COMPONENTS = 10
# Directions with less variance than this share of the largest are collinear.
_SMALLEST = 1e-8
_AT_ONCE = 2**22


@dataclass(frozen=True, eq=False)
class Support:
    """What of the target the study has seen.

    Attributes
    ----------
    distance, target_distance : array of shape (n,) and (m,)
        Distance to the nearest study unit (of another cluster and image, for units of the study), where 1 is the
        distance that ``level`` of the study's own units do not exceed.
    inside, target_inside : boolean arrays of shape (n,) and (m,)
        No farther than 1, and as likely in the study as ``level`` of the study's own units.
    least_ratio : float
        The bound on how likely a place is in the study, as :class:`Sampling` gives it.
    level : float
    """

    distance: FloatArray
    target_distance: FloatArray
    inside: BoolArray
    target_inside: BoolArray
    least_ratio: float
    level: float


def support(
    study: Design,
    target: Design,
    ratios: FloatArray,
    target_ratios: FloatArray,
    *,
    level: float,
    seed: int,
) -> Support:
    """Return how far study and target are from the study, and which places it has seen the like of."""
    own, there = distances(study, target, seed=seed)
    far = weighted_quantile(own, study.table.weights, level)
    far = far if far > 0 else 1.0
    least = weighted_quantile(ratios, study.table.weights, 1 - level)
    own, there = own / far, there / far
    return Support(
        own, there, (own <= 1) & (ratios >= least), (there <= 1) & (target_ratios >= least), least, level
    )


@one_blas_thread()
def distances(study: Design, target: Design, *, seed: int) -> tuple[FloatArray, FloatArray]:
    """Return distances to the nearest study unit, of study (n,) and target (m,), in Mahalanobis' measure.

    Columns are covariates and leading components of features, both learned on the study alone, and brought to
    variance 1 in every direction. A study unit is compared with units of other clusters and images.
    """
    reducer = ColumnReducer(pca=COMPONENTS, seed=seed, by_block=True).fit(study, np.arange(len(study)))
    columns = reducer.transform(study, np.arange(len(study)))
    whiten = _whitening(columns)
    base = whiten(columns)
    own = _nearest(base, base, study.groups)
    there = np.empty(len(target))
    for start in range(0, len(target), PIECE):
        rows = np.arange(start, min(start + PIECE, len(target)))
        there[rows] = _nearest(whiten(reducer.transform(target, rows)), base, None)
    return own, there


class _whitening:
    """Columns turned and scaled so that those of the study have variance 1 in every direction."""

    def __init__(self, columns: FloatArray) -> None:
        self.centre = columns.mean(axis=0)
        size, turn = np.linalg.eigh(
            np.cov(columns - self.centre, rowvar=False).reshape(2 * columns.shape[1:])
        )
        kept = size > _SMALLEST * size.max(initial=0.0)
        self.turn = turn[:, kept] / np.sqrt(size[kept])

    def __call__(self, columns: FloatArray) -> FloatArray:
        return np.asarray((columns - self.centre) @ self.turn)


def _nearest(points: FloatArray, base: FloatArray, groups: npt.NDArray[np.intp] | None) -> FloatArray:
    """Return the distance of each point to the nearest of ``base``, of another group where groups are given."""
    found = np.empty(len(points))
    squares = (base**2).sum(axis=1)
    step = max(1, _AT_ONCE // len(base))
    for start in range(0, len(points), step):
        piece = slice(start, start + step)
        apart = squares - 2 * points[piece] @ base.T + (points[piece] ** 2).sum(axis=1)[:, None]
        if groups is not None:
            apart[groups[piece][:, None] == groups] = np.inf
        found[piece] = np.sqrt(np.maximum(apart.min(axis=1), 0.0))
    return found


def weighted_quantile(values: FloatArray, weights: FloatArray, level: float) -> float:
    """Return the smallest value that at least ``level`` of the weight does not exceed.

    Examples
    --------
    >>> weighted_quantile(np.array([3.0, 1.0, 2.0]), np.ones(3), 0.5)
    2.0
    >>> weighted_quantile(np.array([3.0, 1.0, 2.0]), np.array([4.0, 1.0, 1.0]), 0.5)
    3.0
    """
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order]) / weights.sum()
    # rounding shall not ask for one value more
    return float(values[order][min(int(np.searchsorted(reached, level - 1e-12)), values.size - 1)])
