"""Linear quantile regression with weights, by an interior-point method. Pure arrays.

The dual of the problem, ``max y'a`` with ``X'a = (1 - level) X'1`` and ``0 <= a <= 1``, is solved by the
primal-dual steps of Mehrotra (1992), SIAM Journal on Optimization 2, in the form that Portnoy and Koenker (1997),
Statistical Science 12, 279-300, give it for regression quantiles. Each step is one weighted least-squares fit, so
that 10,000 units with 64 columns take a fraction of a second where a general linear-programming solver takes many.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from eocausal._threads import one_blas_thread

FloatArray = npt.NDArray[np.float64]

# Steps end when what the two problems are apart is this share of the loss.
_APART = 1e-10
_STEPS = 80
_SHORT = 0.9995
# Directions of the columns that vary by less than this share of the largest are left out.
_DEPENDENT = 1e-9


@one_blas_thread()
def quantile_coefficients(
    columns: FloatArray, outcome: FloatArray, weights: FloatArray, level: float
) -> FloatArray:
    """Return the coefficients (p,) of least weighted check loss; where columns depend on one another the shortest.

    Parameters
    ----------
    columns : array of shape (n, p)
        With a column of ones, if an intercept is wanted.
    outcome, weights : array of shape (n,)
    level : float
        Of the quantile, between 0 and 1.

    Examples
    --------
    >>> quantile_coefficients(np.ones((5, 1)), np.array([1.0, 2, 3, 4, 50]), np.ones(5), 0.5).round(6).tolist()
    [3.0]
    """
    used = weights > 0
    weight = weights[used] / weights[used].mean()
    left, size, right = np.linalg.svd(columns[used] * np.sqrt(weight)[:, None], full_matrices=False)
    rank = int((size > _DEPENDENT * size[0]).sum())
    # orthonormal columns: every least-squares fit below is well conditioned
    basis = (left / np.sqrt(weight)[:, None])[:, :rank]
    found = _interior(basis * weight[:, None], outcome[used] * weight, level)
    return np.asarray(right[:rank].T @ (found / size[:rank]))


def _interior(rows: FloatArray, values: FloatArray, level: float) -> FloatArray:
    """Return the coefficients of least check loss of values (n,) on rows (n, q) of full rank."""
    from scipy.linalg import cho_factor, cho_solve

    n = len(values)
    scale = float(np.abs(values).max()) or 1.0
    cost = -values / scale
    up = np.full(n, 1 - level)  # a, and what is left of it up to 1
    down = 1 - up
    coefficients = np.linalg.lstsq(rows, cost, rcond=None)[0]
    gap = cost - rows @ coefficients
    floor = 0.01 * float(np.abs(gap).mean()) + 1e-12
    price_up = np.maximum(gap, 0) + floor
    price_down = price_up - gap
    price_down = np.maximum(price_down, floor)
    price_up = gap + price_down
    for _ in range(_STEPS):
        apart = float(up @ price_up + down @ price_down)
        if apart <= _APART * max(float(np.abs(cost - rows @ coefficients).sum()), 1e-12):
            break
        metric = 1 / (price_up / up + price_down / down)
        pull = price_up - price_down
        scaled = rows * np.sqrt(metric)[:, None]
        try:
            factor = cho_factor(scaled.T @ scaled)
        except np.linalg.LinAlgError:  # all but a vertex has left the metric: as near as numbers allow
            break
        right = rows.T @ (metric * pull)
        move = cho_solve(factor, right)
        d_up = metric * (rows @ move - pull)
        d_price_up = -price_up * (1 + d_up / up)
        d_price_down = -price_down * (1 - d_up / down)
        own, price = _length(up, down, d_up), _price_length(price_up, price_down, d_price_up, d_price_down)
        if min(own, price) < 1:
            # the plain step aims at the solution; the second aims at the middle of the way to it
            ahead = float(
                (price_up + price * d_price_up) @ (up + own * d_up)
                + (price_down + price * d_price_down) @ (down - own * d_up)
            )
            centre = apart * (ahead / apart) ** 3 / (2 * n)
            bent_up, bent_down = d_up * d_price_up, -d_up * d_price_down
            toward = centre * (1 / up - 1 / down) - bent_up / up + bent_down / down
            move = cho_solve(factor, right - rows.T @ (metric * toward))
            d_up = metric * (rows @ move - pull + toward)
            d_price_up = (centre - bent_up) / up - price_up - price_up * d_up / up
            d_price_down = (centre - bent_down) / down - price_down + price_down * d_up / down
            own, price = (
                _length(up, down, d_up),
                _price_length(price_up, price_down, d_price_up, d_price_down),
            )
        up, down = up + own * d_up, down - own * d_up
        coefficients = coefficients + price * move
        price_up, price_down = price_up + price * d_price_up, price_down + price * d_price_down
    return np.asarray(-scale * coefficients)


def _length(up: FloatArray, down: FloatArray, d_up: FloatArray) -> float:
    return min(_room(up, d_up), _room(down, -d_up))


def _price_length(up: FloatArray, down: FloatArray, d_up: FloatArray, d_down: FloatArray) -> float:
    return min(_room(up, d_up), _room(down, d_down))


def _room(values: FloatArray, step: FloatArray) -> float:
    """Return how much of a step keeps values above 0: at most all of it."""
    falls = step < 0
    if not falls.any():
        return 1.0
    return min(1.0, _SHORT * float((-values[falls] / step[falls]).min()))
