"""Bootstrap draws of whole clusters with the propensity fitted anew in each. Pure arrays.

A draw is how often each cluster was drawn. Its propensity is the minimum of the loss of
:mod:`eocausal.inference.parametric` with these numbers times the sampling weights as weights, found by Newton's
method from the coefficients of all units: two or three steps, where a fit from nothing takes six or more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from eocausal._threads import one_blas_thread
from eocausal.inference.parametric import LOSSES

FloatArray = npt.NDArray[np.float64]

# A step that moved no unit's index by more than this is the last one: Newton's next would move it by its square.
STILL = 1e-5
_STEPS = 25
# An index beyond this is a propensity of 0 or 1: the columns tell the arms of the draw apart.
_FAR = 35.0


@dataclass(frozen=True, eq=False)
class Propensity:
    """The propensity of all units, and what it takes to fit it again.

    Attributes
    ----------
    log_odds : array of shape (n,)
    rows : array of shape (n, p) or None
        Columns of the index with an intercept; None where the propensity is taken as given.
    model : str
        A loss of :data:`eocausal.inference.parametric.LOSSES`.
    """

    log_odds: FloatArray
    rows: FloatArray | None = None
    model: str = "logit"

    @property
    def start(self) -> FloatArray:
        """Coefficients (p,) that all units have."""
        rows = np.zeros((self.log_odds.size, 0)) if self.rows is None else self.rows
        index = _probit_index(self.log_odds) if self.model == "probit" else self.log_odds
        return np.asarray(np.linalg.lstsq(rows, index, rcond=None)[0])

    def log_odds_of(self, coefficients: FloatArray) -> FloatArray:
        """Return log odds (n,) of other coefficients."""
        if self.rows is None:
            return self.log_odds
        index = self.rows @ coefficients
        if self.model != "probit":
            return np.asarray(index)
        from scipy.special import log_ndtr

        return np.asarray(log_ndtr(index) - log_ndtr(-index))


@dataclass(frozen=True, eq=False)
class Draws:
    """Draws whose propensity could be fitted.

    Attributes
    ----------
    counts : array of shape (b, G)
        How often each cluster was drawn.
    codes : array of shape (n,)
        The cluster of each unit.
    coefficients : array of shape (b, p)
    propensity : Propensity
    weights : array of shape (n,)
        Sampling weights.
    failed : int
        Draws that are left out.
    """

    counts: npt.NDArray[np.uint16]
    codes: npt.NDArray[np.intp]
    coefficients: FloatArray
    propensity: Propensity
    weights: FloatArray
    failed: int

    def __len__(self) -> int:
        return len(self.counts)

    def each(self) -> Iterator[tuple[FloatArray, FloatArray]]:
        """Yield weights and log odds (n,) of each draw."""
        for counts, coefficients in zip(self.counts, self.coefficients):
            yield self.weights * counts[self.codes], self.propensity.log_odds_of(coefficients)


@one_blas_thread()
def drawn(
    treatment: FloatArray,
    weights: FloatArray,
    propensity: Propensity,
    codes: npt.NDArray[np.intp],
    *,
    draws: int,
    seed: int,
    told: Callable[[], object] = lambda: None,
) -> Draws:
    """Draw clusters with replacement, as many as there are, and fit the propensity to each draw.

    Parameters
    ----------
    treatment, weights : array of shape (n,)
    propensity : Propensity
    codes : array of shape (n,)
        Clusters, 0 to G - 1.
    draws, seed : int
    told : callable
        Called after each draw.
    """
    generator = np.random.default_rng(seed)
    n_groups = int(codes.max()) + 1
    even = np.full(n_groups, 1 / n_groups)
    start = propensity.start
    counts, found = [], []
    for _ in range(draws):
        times = generator.multinomial(n_groups, even).astype(np.uint16)
        made = _fitted(treatment, weights * times[codes], propensity, start)
        if made is not None:
            counts.append(times)
            found.append(made)
        told()
    return Draws(
        np.array(counts, dtype=np.uint16).reshape(len(found), n_groups),
        codes,
        np.array(found).reshape(len(found), start.size),
        propensity,
        weights,
        draws - len(found),
    )


def _fitted(
    treatment: FloatArray, weights: FloatArray, propensity: Propensity, start: FloatArray
) -> FloatArray | None:
    """Return the coefficients (p,) of a draw, or None where there is no solution or only one arm."""
    used = np.flatnonzero(weights)
    arms = treatment[used]
    if not 0 < arms.sum() < arms.size:
        return None
    if propensity.rows is None:
        return start
    share = weights[used] / weights[used].sum()
    return newton(propensity.rows[used], arms, share, start, model=propensity.model)


def newton(
    rows: FloatArray, treatment: FloatArray, share: FloatArray, start: FloatArray, *, model: str
) -> FloatArray | None:
    """Return the coefficients (p,) of least loss from a start near them, or None where steps do not come to rest.

    Parameters
    ----------
    rows : array of shape (n, p)
    treatment, share : array of shape (n,)
    start : array of shape (p,)
    model : str

    Examples
    --------
    >>> newton(np.ones((4, 1)), np.array([1.0, 0, 0, 0]), np.full(4, 0.25), np.zeros(1), model="logit").round(6)
    array([-1.098612])
    """
    from scipy.linalg import cho_factor, cho_solve

    loss, found = LOSSES[model], start
    index = rows @ found
    value, slope, curvature = loss(index, treatment)
    now = float(share @ value)
    for _ in range(_STEPS):
        scaled = rows * np.sqrt(share * curvature)[:, None]
        try:
            step = cho_solve(cho_factor(scaled.T @ scaled), (share * slope) @ rows)
        except (np.linalg.LinAlgError, ValueError):
            return None
        moved = rows @ step
        size = 1.0
        while True:
            value, slope, curvature = loss(index - size * moved, treatment)
            then = float(share @ value)
            if then <= now + 1e-12 * (1 + abs(now)):
                break
            size /= 2
            if size < 1e-6:
                return None
        found, index, now = found - size * step, index - size * moved, then
        if not np.abs(index).max() < _FAR:
            return None
        if size == 1.0 and np.abs(moved).max() <= STILL:
            return found
    return None


def _probit_index(log_odds: FloatArray) -> FloatArray:
    from scipy.special import expit, ndtri

    return np.asarray(np.where(log_odds > 0, -ndtri(expit(-log_odds)), ndtri(expit(log_odds))))
