"""Other ways in which the same number of groups could have been treated. Pure arrays."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, product
from math import comb, prod

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]

_CELLS_AT_ONCE = 2**22


def how_many(treated: FloatArray, strata: Codes) -> int:
    """Return how many ways there are to treat as many groups of each stratum as were treated.

    Examples
    --------
    Eight cups of tea, four of them with the milk first:

    >>> how_many(np.array([1.0, 0, 1, 0, 1, 0, 1, 0]), np.zeros(8, dtype=int))
    70
    """
    sizes = np.bincount(strata)
    chosen = np.bincount(strata, weights=treated).astype(int)
    return prod(comb(int(size), int(count)) for size, count in zip(sizes, chosen))


def all_ways(treated: FloatArray, strata: Codes) -> Iterator[FloatArray]:
    """Give every way, 0/1 in rows of shape (b, G), each once."""
    rows = [np.flatnonzero(strata == one) for one in range(int(strata.max()) + 1)]
    each = [combinations(part.tolist(), int(treated[part].sum())) for part in rows]
    found = []
    for chosen in product(*each):
        way = np.zeros(treated.size)
        way[[group for part in chosen for group in part]] = 1.0
        found.append(way)
        if len(found) * treated.size >= _CELLS_AT_ONCE:
            yield np.array(found)
            found = []
    if found:
        yield np.array(found)


def random_ways(treated: FloatArray, strata: Codes, *, draws: int, seed: int) -> Iterator[FloatArray]:
    """Give ``draws`` ways at random, 0/1 in rows of shape (b, G)."""
    generator = np.random.default_rng(seed)
    rows = [np.flatnonzero(strata == one) for one in range(int(strata.max()) + 1)]
    step = max(1, _CELLS_AT_ONCE // treated.size)
    for start in range(0, draws, step):
        ways = np.tile(treated, (min(step, draws - start), 1))
        for part in rows:
            ways[:, part] = generator.permuted(ways[:, part], axis=1)
        yield ways
