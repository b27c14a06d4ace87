"""`Resampling`: how units, or whole clusters of them, are drawn anew within strata, as often as they come up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import whole_number
from eocausal.errors import DebiasError, explain

Codes = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Resampling:
    """How a bootstrap draws.

    Parameters
    ----------
    draws : int
        At least 99.
    cluster : str, optional
        Column of groups of units that were sampled or treated together. They are drawn whole, and one that comes up
        twice counts twice. Default: units are drawn one by one.
    strata : str, optional
        Column of strata in each of which the numbers of units with and without labels were fixed beforehand. As
        many of both are drawn in each as it has; of clusters that hold both, as many clusters. A cluster lies in
        one stratum. Where chance decided unit by unit who has a label, leave it out.
    seed : int
    progress : bool
        Whether to show a bar.

    Raises
    ------
    DebiasError
        Too few draws, or a seed that is no whole number.

    Examples
    --------
    >>> Resampling(draws=499, cluster="village")
    Resampling(draws=499, cluster='village', strata=None, seed=0, progress=False)
    """

    draws: int = 999
    cluster: str | None = None
    strata: str | None = None
    seed: int = 0
    progress: bool = False

    def __post_init__(self) -> None:
        for name, least in (("draws", 99), ("seed", 0)):
            value = whole_number(getattr(self, name), argument=name, error=DebiasError, least=least)
            object.__setattr__(self, name, value)


@dataclass(frozen=True, eq=False)
class Drawn:
    """What is drawn: for each unit (n,) the code of its cluster, and for each cluster (G,) that of its stratum."""

    unit: Codes
    stratum: Codes

    @property
    def n_clusters(self) -> int:
        """Number of clusters, or of units that are drawn one by one."""
        return int(self.stratum.size)

    @property
    def factor(self) -> float:
        """What the variance of the draws is multiplied by: ``G / (G - H)`` with H strata."""
        return self.n_clusters / (self.n_clusters - int(self.stratum.max() + 1))

    def times(self, draws: int, seed: int) -> Iterator[Codes]:
        """Yield for each draw how often each unit (n,) comes up.

        Draws depend on the seed and on the labels of clusters, not on how many units these have nor on the order
        of rows.

        Examples
        --------
        >>> drawn = Drawn(np.array([0, 0, 1]), np.zeros(2, dtype=int))
        >>> [times.tolist() for times in drawn.times(2, seed=1)]
        [[1, 1, 1], [2, 2, 0]]
        """
        generator = np.random.default_rng(seed)
        members = [np.flatnonzero(self.stratum == one) for one in range(int(self.stratum.max()) + 1)]
        for _ in range(draws):
            count = np.zeros(self.n_clusters, dtype=np.intp)
            for group in members:
                count[group] = generator.multinomial(group.size, np.full(group.size, 1 / group.size))
            yield count[self.unit]


def what_is_drawn(
    labels: npt.NDArray[Any], strata: pd.Series | None, *, labelled: npt.NDArray[np.bool_], name: str | None
) -> Drawn:
    """Return clusters and strata as codes.

    Parameters
    ----------
    labels : array of shape (n,)
        Of clusters, or the ids of units.
    strata : Series of length n, optional
        Parted once more by who has a label, where no cluster has units of both kinds.
    labelled : boolean array of shape (n,)
    name : str or None
        Of the clusters, for texts of errors; None for units.

    Raises
    ------
    DebiasError
        Strata that are missing, that part a cluster, or that have a single cluster.
    """
    known, unit = np.unique(labels, return_inverse=True)
    unit = unit.astype(np.intp)
    if strata is None:
        return Drawn(unit, np.zeros(known.size, dtype=np.intp))
    if strata.isna().any():
        raise DebiasError(
            explain(
                f"Stratum {strata.name!r} is missing for some units.",
                where=labels[strata.isna().to_numpy()],
                fix=f"data = data.dropna(subset=[{strata.name!r}])",
            )
        )
    try:
        codes = pd.factorize(strata, sort=True)[0]
    except TypeError as cause:
        text = f"Strata {strata.name!r} hold what cannot be told apart or sorted: {str(cause)[:80]}."
        fix = f"data[{strata.name!r}] = data[{strata.name!r}].astype(str)"
        raise DebiasError(explain(text, rule="all numbers or all text", fix=fix)) from cause
    stratum = _by_cluster(codes, unit, known.size)
    parted = known[np.unique(unit[stratum[unit] != codes])]
    if parted.size:
        raise DebiasError(
            explain(
                f"Clusters of {name!r} lie in several strata of {strata.name!r}.",
                where=parted.tolist(),
                rule="a cluster that is drawn whole lies in one stratum",
                fix="coarser strata, or strata= left out",
            )
        )
    side = _by_cluster(labelled.astype(np.intp), unit, known.size)
    if (side[unit] == labelled).all():
        stratum = 2 * stratum + side
    _, stratum, sizes = np.unique(stratum, return_inverse=True, return_counts=True)
    if (sizes < 2).any():
        alone = np.isin(unit, np.flatnonzero(sizes[stratum] < 2))
        raise DebiasError(
            explain(
                f"Strata of {strata.name!r} with one {'unit' if name is None else 'cluster'}, with labels or "
                "without, never vary.",
                where=sorted({str(one) for one in strata[alone]}),
                rule="at least 2 of each kind in each stratum",
                fix="put strata together",
            )
        )
    return Drawn(unit, stratum.astype(np.intp))


def _by_cluster(codes: npt.NDArray[Any], unit: Codes, n_clusters: int) -> Codes:
    """Return for each cluster the code of one of its units."""
    made = np.zeros(n_clusters, dtype=np.intp)
    made[unit] = codes
    return made
