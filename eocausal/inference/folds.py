"""Which part of the data a prediction may not have seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from eocausal._checks import one_of, whole_number
from eocausal.errors import EstimationError, explain

if TYPE_CHECKING:
    from eocausal.design import Design


@dataclass(frozen=True)
class Folds:
    """How units are dealt into folds for out-of-fold predictions.

    Parameters
    ----------
    kind : {"cluster", "random"}
        ``cluster`` (default): units that share a cluster or an image, directly or through others, stay in one
        fold; without clusters and shared images this is unit by unit. ``random``: unit by unit, refused where
        units share a cluster or an image.
    k : int
        Number of folds.

    Examples
    --------
    >>> Folds(k=3)
    Folds(kind='cluster', k=3)
    """

    kind: Literal["cluster", "random"] = "cluster"
    k: int = 5

    def __post_init__(self) -> None:
        one_of(self.kind, ("cluster", "random"), argument="kind", error=EstimationError)
        object.__setattr__(self, "k", whole_number(self.k, argument="k", error=EstimationError, least=2))

    def assign(self, design: Design, *, seed: int) -> npt.NDArray[np.intp]:
        """Return the fold (n,) of each unit, 0 to k - 1.

        The folds depend on the seed and on which units there are, not on the order of rows. Groups of one arm
        are dealt so that the folds have like numbers of treated units.

        Raises
        ------
        EstimationError
            More folds than groups, or ``random`` where units share a cluster or an image.
        """
        groups = design.groups
        n_groups = int(groups.max()) + 1
        if self.kind == "random" and n_groups < groups.size:
            raise EstimationError(
                explain(
                    f"kind='random' would part units that share a cluster or an image "
                    f"({groups.size} units, {n_groups} groups).",
                    fix="Folds('cluster')",
                )
            )
        if n_groups < self.k:
            raise EstimationError(
                explain(
                    f"{self.k} folds were asked for, but there are {n_groups} groups of units that share a "
                    "cluster or an image.",
                    fix=f"Folds(k={n_groups})"
                    if n_groups > 1
                    else "all units are tied together by clusters and images; leave out those that tie them",
                )
            )
        return deal(groups, design.table.treatment, k=self.k, seed=seed)[groups]


def deal(
    groups: npt.NDArray[np.intp], treatment: npt.NDArray[np.float64], *, k: int, seed: int
) -> npt.NDArray[np.intp]:
    """Return the fold of each group, balancing the number of units of each arm.

    Groups come in random order, largest imbalance first by arm; each goes to the fold that has the fewest units
    of the arm that prevails in it.

    Examples
    --------
    >>> deal(np.array([0, 0, 1, 1]), np.array([0.0, 0, 1, 1]), k=2, seed=0).size
    2
    """
    n_groups = int(groups.max()) + 1
    treated = np.bincount(groups, weights=treatment, minlength=n_groups)
    control = np.bincount(groups, minlength=n_groups) - treated
    order = np.random.default_rng(seed).permutation(n_groups)
    fold_of = np.empty(n_groups, dtype=np.intp)
    filled = np.zeros((k, 2))
    for group in order:
        arm = int(treated[group] >= control[group])
        fold = int(np.lexsort((filled.sum(axis=1), filled[:, arm]))[0])
        fold_of[group] = fold
        filled[fold] += (control[group], treated[group])
    return fold_of


def group_splits(
    groups: npt.NDArray[np.intp], *, k: int
) -> list[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    """Return train and test positions for choosing penalties, groups kept whole.

    With fewer groups than ``k`` there are as many splits as groups.
    """
    from sklearn.model_selection import GroupKFold

    n_splits = min(k, np.unique(groups).size)
    return list(GroupKFold(n_splits=n_splits).split(np.zeros(groups.size), groups=groups))
