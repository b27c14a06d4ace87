"""Which part of the data a prediction may not have seen."""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heapreplace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from eocausal._checks import one_of, positive_metres, whole_number
from eocausal.design import tied_groups
from eocausal.errors import EstimationError, explain
from eocausal.inference.blocks import cells

if TYPE_CHECKING:
    from eocausal.design import Design


@dataclass(frozen=True)
class Folds:
    """How units are dealt into folds for out-of-fold predictions.

    Parameters
    ----------
    kind : {"cluster", "random", "block"}
        ``cluster`` (default): units that share a cluster or an image, directly or through others, stay in one
        fold; without clusters and shared images this is unit by unit. ``random``: unit by unit, refused where
        units share a cluster or an image. ``block``: as ``cluster``, and units in one cell of a grid on the ground
        stay together too, so that no prediction rests on near neighbours (but those across the edge of a cell).
    k : int
        Number of folds.
    block_m : float, optional
        Side of a cell in metres, for ``block``: at least as far as neighbours are alike for reasons that the
        columns do not hold.
    repeats : int
        How many times the units are dealt anew, for estimators that take the median over repeated cross-fitting.

    Raises
    ------
    EstimationError
        An unknown kind, fewer than two folds, or ``block_m`` without ``block`` and the other way around.

    Examples
    --------
    >>> Folds(k=3)
    Folds(kind='cluster', k=3)
    >>> Folds(kind="block", block_m=100_000)
    Folds(kind='block', k=5, block_m=100000.0)
    """

    kind: Literal["cluster", "random", "block"] = "cluster"
    k: int = 5
    block_m: float | None = None
    repeats: int = 1

    def __post_init__(self) -> None:
        one_of(self.kind, ("cluster", "random", "block"), argument="kind", error=EstimationError)
        object.__setattr__(self, "k", whole_number(self.k, argument="k", error=EstimationError, least=2))
        repeats = whole_number(self.repeats, argument="repeats", error=EstimationError, least=1)
        object.__setattr__(self, "repeats", repeats)
        if (self.kind == "block") != (self.block_m is not None):
            raise EstimationError(
                explain(
                    f"kind={self.kind!r} with block_m={self.block_m!r}.",
                    rule="block_m, the side of a cell in metres, goes with kind='block'",
                    fix="Folds(kind='block', block_m=100_000)",
                )
            )
        if self.block_m is not None:
            what = f"block_m={self.block_m!r} is not the side of a cell."
            object.__setattr__(
                self, "block_m", positive_metres(self.block_m, what=what, error=EstimationError)
            )

    def __repr__(self) -> str:
        """Return the call that makes it, without what is as usual."""
        parts = [f"kind={self.kind!r}", f"k={self.k}"]
        parts += [] if self.block_m is None else [f"block_m={self.block_m!r}"]
        parts += [] if self.repeats == 1 else [f"repeats={self.repeats}"]
        return f"Folds({', '.join(parts)})"

    def groups(self, design: Design) -> npt.NDArray[np.intp]:
        """Return codes (n,) of units that no split may part: by cluster and image, and by cell with ``block``.

        Raises
        ------
        EstimationError
            ``block`` on units without coordinates.
        """
        if self.block_m is None:
            return design.groups
        table = design.table
        if table.coordinates is None:
            raise EstimationError(
                explain(
                    "kind='block' needs to know where units are, and the design has no coordinates.",
                    fix="units = ec.read_units(table, id=..., lon=..., lat=...), then ec.Design(units, ...)",
                )
            )
        return tied_groups([design.groups, cells(table.coordinates, block_m=self.block_m)], ids=table.ids)

    def assign(self, design: Design, *, seed: int) -> npt.NDArray[np.intp]:
        """Return the fold (n,) of each unit, 0 to k - 1.

        The folds depend on the seed and on which units there are, not on the order of rows. Groups of one arm
        are dealt so that the folds have like numbers of units of each arm; of a dose its quarters are as arms.

        Raises
        ------
        EstimationError
            More folds than groups, ``random`` where units share a cluster or an image, or ``block`` without
            coordinates.
        """
        groups = self.groups(design)
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
            raise EstimationError(self._too_few(design, n_groups))
        return deal(groups, design.table.alike, k=self.k, seed=seed)[groups]

    def _too_few(self, design: Design, n_groups: int) -> str:
        """Return why there are fewer groups than folds, and what helps."""
        if self.block_m is None or design.table.coordinates is None:
            return explain(
                f"{self.k} folds were asked for, but there are {n_groups} groups of units that share a "
                "cluster or an image.",
                fix=f"Folds(k={n_groups})"
                if n_groups > 1
                else "all units are tied together by clusters and images; leave out those that tie them",
            )
        occupied = np.unique(cells(design.table.coordinates, block_m=self.block_m)).size
        return explain(
            f"{self.k} folds were asked for, but the units lie in {occupied} cells of {self.block_m:,.0f} m, which "
            f"clusters and images tie into {n_groups} group{'s' * (n_groups != 1)}.",
            rule="at least one group for each fold",
            fix=f"smaller cells, such as block_m={self.block_m / 4:.0f}"
            + (f", or k={n_groups}" if n_groups > 1 else ""),
        )


def deal(groups: npt.NDArray[np.intp], arms: npt.NDArray[Any], *, k: int, seed: int) -> npt.NDArray[np.intp]:
    """Return the fold of each group, balancing the number of units of each arm; ``arms`` (n,) are codes.

    Groups come in random order; each goes to the fold that has the fewest units of the arm that prevails in it.

    Examples
    --------
    >>> deal(np.array([0, 0, 1, 1]), np.array([0.0, 0, 1, 1]), k=2, seed=0).size
    2
    """
    n_groups = int(groups.max()) + 1
    codes = np.unique(arms, return_inverse=True)[1]
    n_arms = int(codes.max()) + 1
    units = np.bincount(groups * n_arms + codes, minlength=n_groups * n_arms).reshape(n_groups, n_arms)
    order = np.random.default_rng(seed).permutation(n_groups)
    fold_of = np.empty(n_groups, dtype=np.intp)
    prevailing = n_arms - 1 - units[:, ::-1].argmax(axis=1)  # of arms with equal numbers the last
    # plain lists: for a handful of folds they are several times faster than arrays
    arm_of, sizes = prevailing.tolist(), units.tolist()
    filled, totals = [[0] * n_arms for _ in range(k)], [0] * k
    for group in order.tolist():
        arm = arm_of[group]
        fold = min(range(k), key=lambda one: (filled[one][arm], totals[one]))
        fold_of[group] = fold
        totals[fold] += sum(sizes[group])
        filled[fold] = [have + more for have, more in zip(filled[fold], sizes[group])]
    return fold_of


def group_splits(
    groups: npt.NDArray[np.intp], *, k: int
) -> list[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    """Return train and test positions for choosing penalties, groups kept whole.

    The largest group goes first, and each to the part that has the fewest rows so far, as in scikit-learn's
    ``GroupKFold``. With fewer groups than ``k`` there are as many splits as groups.

    Raises
    ------
    EstimationError
        There is one group only.

    Examples
    --------
    >>> [test.tolist() for _, test in group_splits(np.array([7, 7, 8, 9]), k=2)]
    [[0, 1], [2, 3]]
    """
    codes, sizes = np.unique(groups, return_inverse=True, return_counts=True)[1:]
    if sizes.size < 2:
        raise EstimationError(
            explain(
                "Units to learn from are all tied together by clusters or images, so no penalty can be chosen.",
                rule="at least 2 groups of each arm outside each fold",
                fix="fewer folds: Folds(k=2), or Learners(outcome=..., propensity=...) with fixed penalties",
            )
        )
    largest_first = np.argsort(sizes, kind="stable")[::-1]
    n_parts = min(k, sizes.size)
    part_of = np.empty(sizes.size, dtype=np.intp)
    # groups of one size come in turn
    part_of[largest_first] = np.arange(sizes.size) % n_parts
    if np.ptp(sizes):
        lightest = [(0, part) for part in range(n_parts)]
        for group, size in zip(largest_first.tolist(), sizes[largest_first].tolist()):
            load, part = lightest[0]
            part_of[group] = part
            heapreplace(lightest, (load + size, part))
    parts = part_of[codes]
    return [(np.flatnonzero(parts != part), np.flatnonzero(parts == part)) for part in range(n_parts)]
