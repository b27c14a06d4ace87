"""Which columns of features effects seem to depend on, told from the units that are learned from."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from eocausal._threads import one_blas_thread

FloatArray = npt.NDArray[np.float64]


@one_blas_thread()
def strongest_columns(
    columns: FloatArray,
    outcome: FloatArray,
    treatment: FloatArray,
    weights: FloatArray,
    *,
    keep: int,
) -> npt.NDArray[np.intp]:
    """Return the positions, in order, of the columns along which effects seem to vary most.

    A column's score is its covariance with ``treatment (outcome - effect treatment)``, where ``effect`` is the
    average effect, over the standard error that it has where effects are the same for all: what the first cut of a
    causal tree looks for, along a line.

    Parameters
    ----------
    columns : array of shape (n, p)
    outcome, treatment : array of shape (n,)
        Less what is expected of them, out of fold.
    weights : array of shape (n,)
    keep : int
        So many, or all where there are fewer.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> columns, treatment = rng.normal(size=(500, 3)), rng.choice([-0.5, 0.5], size=500)
    >>> outcome = treatment * columns[:, 1] + 0.1 * rng.normal(size=500)
    >>> strongest_columns(columns, outcome, treatment, np.ones(500), keep=1).tolist()
    [1]
    """
    effect = (weights * treatment) @ outcome / ((weights * treatment) @ treatment)
    moved = weights * treatment * (outcome - effect * treatment)
    mean = weights @ columns / weights.sum()
    # sums of squares of centred columns, without a centred copy of wide columns
    covariance = moved @ columns - moved.sum() * mean
    squared = moved**2
    variance = squared @ columns**2 - 2 * mean * (squared @ columns) + mean**2 * squared.sum()
    score = np.zeros(columns.shape[1])
    varies = variance > 1e-12 * squared.sum()
    score[varies] = np.abs(covariance[varies]) / np.sqrt(variance[varies])
    return np.sort(np.argsort(-score, kind="stable")[:keep])
