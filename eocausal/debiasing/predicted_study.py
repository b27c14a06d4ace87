"""A study of a predicted outcome, as corrections see it: something that estimates, and can be drawn anew."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from eocausal.inference.estimate import Estimate

FloatArray = npt.NDArray[np.float64]
Labels = npt.NDArray[Any]
Codes = npt.NDArray[np.intp]
Change = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True, eq=False)
class Predicted:
    """The predictions that an estimate is of.

    Attributes
    ----------
    values, weights : array of shape (r,)
        One for each row that enters; of a panel several for one unit.
    entries : array of shape (r,) or None
        Position among the estimate's influence values that each row counts for; None where rows are in their order.
    """

    values: FloatArray
    weights: FloatArray
    entries: Codes | None = None

    @property
    def shares(self) -> FloatArray:
        """The weights, 1 on average (r,)."""
        return np.asarray(self.weights / self.weights.mean())

    def by_entry(self, influence: FloatArray, n: int) -> FloatArray:
        """Return influence values (n, k) on the estimate's entries, from those (r, k) of rows.

        An error that is their mean over rows is then the mean over entries.

        Examples
        --------
        >>> rows = Predicted(np.zeros(4), np.ones(4), np.array([0, 0, 1, 1]))
        >>> rows.by_entry(np.array([[1.0], [3.0], [2.0], [2.0]]), 2).ravel().tolist()
        [2.0, 2.0]
        """
        if self.entries is None:
            return influence
        found = np.zeros((n, influence.shape[1]))
        np.add.at(found, self.entries, influence)
        return found * (n / self.values.size)


@dataclass(frozen=True, eq=False)
class PredictedStudy:
    """Units with predicted outcomes, and how effects on them are estimated.

    Attributes
    ----------
    estimate : callable
        Estimates with the outcome changed by a function of it; what it gives is linear in the outcome.
    predicted : callable
        Gives the predictions that such an estimate is of.
    n : int
        Rows that can be drawn anew.
    labels : mapping of str to array of shape (n,)
        Clusters of these rows by name.
    redrawn : callable or None
        Gives the study in which each row counts as often as an array (n,) says; None where it cannot be drawn anew.
    together : array of shape (n,) or None
        What no draw may part: the units of a panel.
    notes : tuple of str
        What a reader must know where predictions of such a study are corrected.
    """

    estimate: Callable[[Change], Estimate]
    predicted: Callable[[Estimate], Predicted]
    n: int = 0
    labels: Mapping[str, Labels] = field(default_factory=dict)
    redrawn: Callable[[Codes], PredictedStudy] | None = None
    together: Labels | None = None
    notes: tuple[str, ...] = ()


def as_it_is(values: FloatArray) -> FloatArray:
    """Return predictions as they are."""
    return values
