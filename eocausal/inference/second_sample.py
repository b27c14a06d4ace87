"""What units of a second sample, drawn apart from the first, add to the error of estimates. Pure arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from eocausal.errors import EstimationError, explain
from eocausal.inference.how import Variance
from eocausal.inference.variance import FEW_CLUSTERS, sum_within

FloatArray = npt.NDArray[np.float64]
# What to do where a bootstrap cannot draw the second sample too.
_INSTEAD = {
    "target": "Target(..., sampled=False), where the target is all there is to ask about",
    "calibration": "ec.ate(design, correct=corrector).refit_bootstrap(), which draws both and corrects anew in "
    "each draw",
}
Labels = npt.NDArray[Any]

# A second sample with few clusters is spoken of where it brings at least this share of the variance.
SHARE_THAT_COUNTS = 0.1


@dataclass(frozen=True, eq=False)
class SecondSample:
    """Units of a second sample, such as the places that an effect is carried to, and their parts of the error.

    The error of an estimate is the mean of its influence values over the first sample plus the sum of these parts.
    The two samples are independent of one another, so their variances add up; the second is always made the same
    way, with clusters where there are any, whatever is chosen for the first.

    Attributes
    ----------
    ids : array of shape (m,)
    parts : array of shape (m, k)
        What each unit adds to the error of each of k estimates, centred as the whole second sample is.
    clusters : array of shape (m,) or None
        Units that were drawn together.
    name : str
        What the second sample is called in texts.
    drawn : int or None
        Where the sample is known by the covariance of what was estimated from it alone (:meth:`of_covariance`): how
        many units or clusters that covariance rests on.
    """

    ids: Labels
    parts: FloatArray
    clusters: Labels | None = None
    name: str = "target"
    drawn: int | None = None

    @classmethod
    def of_covariance(
        cls, loadings: FloatArray, covariance: FloatArray, *, key: str, name: str, drawn: int
    ) -> Self:
        """Return a sample that is known by the covariance of p coefficients estimated from it.

        Parameters
        ----------
        loadings : array of shape (k, p)
            By how much each of k estimates moves with each coefficient.
        covariance : array of shape (p, p)
            With its finite-sample factor.
        key : str
            What tells this sample from others; estimates with samples of one key vary together.
        name : str
        drawn : int
            How many units or clusters it rests on.

        Examples
        --------
        >>> made = SecondSample.of_covariance(
        ...     np.array([[2.0]]), np.array([[0.25]]), key="a", name="calibration", drawn=100)
        >>> made.matrix.tolist()
        [[1.0]]
        """
        # coefficients are in units of their own, slopes beside variances: without them no small one is lost
        sd = np.sqrt(np.diag(covariance))
        units = np.where(sd > 0, sd, 1.0)
        values, vectors = np.linalg.eigh(covariance / np.outer(units, units))
        root = units[:, None] * vectors * np.sqrt(np.maximum(values, 0.0))
        ids = np.array([f"{key}/{place}" for place in range(len(covariance))])
        return cls(ids, np.asarray((loadings @ root).T), None, name, drawn)

    @property
    def n_drawn(self) -> int:
        """How many units, or clusters of them, were drawn independently."""
        if self.drawn is not None:
            return self.drawn
        return int(self.ids.size if self.clusters is None else np.unique(self.clusters).size)

    @property
    def matrix(self) -> FloatArray:
        """Covariance (k, k) that it brings, with the factor ``G / (G - 1)`` of ``G`` independent draws.

        Of a sample known by a covariance there is no other factor than that which the covariance holds.

        Raises
        ------
        EstimationError
            All units were drawn together.
        """
        if self.n_drawn < 2:
            raise EstimationError(
                explain(
                    f"All units of the {self.name} are in one cluster.",
                    rule="at least two clusters",
                    fix="Target(..., sampled=False) where they are all there is to ask about",
                )
            )
        sums = self.parts if self.clusters is None else sum_within(self.parts, self.clusters)
        if self.drawn is not None:
            return np.asarray(sums.T @ sums)
        return np.asarray(self.n_drawn / (self.n_drawn - 1) * sums.T @ sums)

    def added(self, made: Variance) -> Variance:
        """Return a variance of the first sample with that of the second added to it.

        Degrees of freedom are those of Welch and Satterthwaite, of several estimates the fewest.

        Raises
        ------
        EstimationError
            The variance is of a bootstrap, whose draws are of the first sample alone.
        """
        if made.reference is not None:
            raise EstimationError(
                explain(
                    f"{made.how.label} draws units of the study, and this estimate varies with the {self.name} as "
                    "well.",
                    rule=f"standard errors by formula where the {self.name} is a sample: 'iid', 'cluster', ...",
                    fix=_INSTEAD.get(self.name, ""),
                )
            )
        own, other = np.diag(made.matrix), np.diag(self.matrix)
        both = own + other
        squares = own**2 / made.df + other**2 / (self.n_drawn - 1)
        df = np.divide(both**2, squares, out=np.full_like(both, made.df), where=squares > 0)
        notes = (*made.notes, *self._few(other, both))
        return replace(made, matrix=made.matrix + self.matrix, df=float(df.min()), notes=notes)

    def combined(self, weights: FloatArray) -> Self:
        """Return the parts of linear combinations of the estimates, ``weights`` (k, m)."""
        return replace(self, parts=self.parts @ weights)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-safe content."""
        clusters = None if self.clusters is None else self.clusters.tolist()
        found = {"ids": self.ids.tolist(), "parts": self.parts.tolist(), "clusters": clusters}
        return {**found, "name": self.name, "drawn": self.drawn}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Rebuild what ``to_dict`` wrote."""
        clusters = None if content["clusters"] is None else np.array(content["clusters"])
        named = {"name": content.get("name", "target"), "drawn": content.get("drawn")}
        return cls(np.array(content["ids"]), np.array(content["parts"], dtype=float), clusters, **named)

    def _few(self, own: FloatArray, both: FloatArray) -> tuple[str, ...]:
        counts = bool((own > SHARE_THAT_COUNTS * both).any())
        if self.n_drawn >= FEW_CLUSTERS or not counts:
            return ()
        drawn = (
            "units or clusters"
            if self.drawn is not None
            else "units"
            if self.clusters is None
            else "clusters"
        )
        return (
            f"the {self.name} has {self.n_drawn} {drawn}: with fewer than {FEW_CLUSTERS} its part of the standard "
            "error is too small",
        )


def joint_second(samples: Sequence[SecondSample | None]) -> SecondSample | None:
    """Return the second samples of estimates with one term each as one, matched by unit id.

    Raises
    ------
    EstimationError
        Units have clusters in one and none, or others, in another.
    """
    there = [one for one in samples if one is not None]
    if not there:
        return None
    ids = np.unique(np.concatenate([one.ids for one in there]))
    parts = np.zeros((ids.size, len(samples)))
    labels = np.full(ids.size, None, dtype=object)
    clashes: list[Any] = []
    for column, one in enumerate(samples):
        if one is None:
            continue
        rows = np.searchsorted(ids, one.ids)
        parts[rows, column] = one.parts[:, 0]
        if one.clusters is not None:
            known = np.array([label is not None for label in labels[rows]])
            clashes += one.ids[known & (labels[rows] != one.clusters.astype(object))].tolist()
            labels[rows] = one.clusters
    without = np.array([label is None for label in labels])
    resting = [one.drawn for one in there if one.drawn is not None]
    if resting:
        return _joint_known(there, ids, parts, resting)
    if clashes or (without.any() and not without.all()):
        raise EstimationError(
            explain(
                "Units of the target have clusters that differ between the results.",
                where=clashes or ids[without].tolist(),
                fix="the same Target(cluster=) in both",
            )
        )
    return SecondSample(ids, parts, None if without.all() else np.array(labels.tolist()))


def _joint_known(
    there: Sequence[SecondSample], ids: Labels, parts: FloatArray, resting: Sequence[int]
) -> SecondSample:
    """Return samples that are known by covariances as one, which rests on as many units as the smallest."""
    if len(resting) < len(there):
        raise EstimationError(
            explain(
                "One result varies with a target, another with a calibration that is known by its covariance.",
                rule="second samples of one kind",
                fix="compare the estimates without the correction",
            )
        )
    return SecondSample(ids, parts, None, there[0].name, min(resting))
