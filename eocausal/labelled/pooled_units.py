"""Which units of a labelled sample are units of a study too, and how both add to the error of an estimate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal.debiasing.calibration_sample import CalibrationSample
from eocausal.design import tied_groups
from eocausal.errors import DebiasError, explain
from eocausal.inference.second_sample import SecondSample

FloatArray = npt.NDArray[np.float64]
Labels = npt.NDArray[Any]
Codes = npt.NDArray[np.intp]

NAME = "labelled sample"
# Numbers of 32 bits, as rasters hold them, agree with those of 64 bits to this share.
_ROUNDING = 1e-6


@dataclass(frozen=True, eq=False)
class PooledUnits:
    """A study and a labelled sample, matched by unit id and by label of cluster.

    Attributes
    ----------
    ids : array of shape (n,)
        Of the study.
    clusters : array of shape (n,) or None
    labelled : CalibrationSample
    same : array of shape (m,)
        Position in the study of each labelled unit, -1 where it is not there.
    """

    ids: Labels
    clusters: Labels | None
    labelled: CalibrationSample
    same: Codes

    @classmethod
    def of(
        cls, ids: Labels, clusters: Labels | None, prediction: FloatArray, labelled: CalibrationSample
    ) -> PooledUnits:
        """Match both samples.

        Raises
        ------
        DebiasError
            Ids that repeat among labelled units, ids that are the same as text alone, or units of both samples with
            two predictions.
        """
        repeated = pd.Index(labelled.ids).duplicated()
        if repeated.any():
            raise DebiasError(
                explain(
                    "Labelled units share ids.",
                    where=labelled.ids[repeated],
                    fix="labelled.index = one id for each unit",
                )
            )
        same = pd.Index(ids).get_indexer(pd.Index(labelled.ids))
        _require_one_type(ids, labelled.ids[same < 0])
        rows = np.flatnonzero(same >= 0)
        here, there = labelled.prediction[rows], prediction[same[rows]]
        apart = rows[~np.isclose(here, there, rtol=_ROUNDING, atol=0.0)]
        if apart.size:
            raise DebiasError(
                explain(
                    "Units of study and labelled sample with one id have two predictions.",
                    where=labelled.ids[apart],
                    rule="units of both samples are known by their id, the index of the table",
                    fix="where they are other units: labelled.index = 'survey ' + labelled.index.astype(str)",
                )
            )
        return cls(ids, clusters, labelled, np.asarray(same, dtype=np.intp))

    @property
    def groups(self) -> Codes:
        """Codes (n + m,) of units that are one unit, or in one cluster, the study first."""
        n, m = self.ids.size, len(self.labelled)
        unit = np.arange(n + m)
        unit[n:][self.same >= 0] = self.same[self.same >= 0]
        links = [unit]
        if self.clusters is not None or self.labelled.clusters is not None:
            links.append(np.concatenate([self._labels_of_study(), self._labels_of_labelled()]))
        names = np.array(
            [f"{kind}{one}" for kind, part in zip("sl", (self.ids, self.labelled.ids)) for one in part]
        )
        return tied_groups(links, ids=names)

    def by_sample(self, parts: FloatArray) -> tuple[FloatArray, SecondSample | None]:
        """Return what labelled units add to influence values of the study (n, k), and the rest as a second sample.

        Parameters
        ----------
        parts : array of shape (m, k)
            What each labelled unit adds to the error of k estimates.

        Notes
        -----
        A unit of both samples moves an estimate by both of its parts at once. A labelled unit of a cluster that is
        in the study moves it together with that cluster: its part is spread over the cluster's units there, so that
        sums within clusters are right.
        """
        n = self.ids.size
        scores = np.zeros((n, parts.shape[1]))
        there = self.same >= 0
        np.add.at(scores, self.same[there], n * parts[there])
        left = ~there
        if self.clusters is not None and self.labelled.clusters is not None:
            left &= ~self._spread(scores, parts, left)
        if not left.any():
            return scores, None
        clusters = None if self.labelled.clusters is None else self.labelled.clusters[left]
        return scores, SecondSample(self.labelled.ids[left], parts[left], clusters, NAME)

    def _spread(
        self, scores: FloatArray, parts: FloatArray, left: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.bool_]:
        """Add parts of labelled units in clusters of the study to its units; return which these are."""
        of_study, of_labelled = self._labels_of_study(), self._labels_of_labelled()
        known, codes, counts = np.unique(of_study, return_inverse=True, return_counts=True)
        place = pd.Index(known).get_indexer(pd.Index(of_labelled))
        shared = left & (place >= 0)
        sums = np.zeros((known.size, parts.shape[1]))
        np.add.at(sums, place[shared], parts[shared])
        scores += self.ids.size * (sums / counts[:, None])[codes]
        return np.asarray(shared)

    def _labels_of_study(self) -> Labels:
        if self.clusters is None:
            return np.array([f"unit {one}" for one in self.ids], dtype=object)
        return _named(self.clusters)

    def _labels_of_labelled(self) -> Labels:
        if self.labelled.clusters is None:
            return np.array([f"labelled {one}" for one in self.labelled.ids], dtype=object)
        return _named(self.labelled.clusters)


def _require_one_type(ids: Labels, others: Labels) -> None:
    """Raise where ids that were not found in a study are there when they are read as text, as 7 and "7"."""
    known = {str(one) for one in ids.tolist()}
    alike = [one for one in others.tolist() if str(one) in known]
    if alike:
        raise DebiasError(
            explain(
                "Ids of study and labelled sample are the same as text, and of different types.",
                where=alike,
                rule="units of both samples are known by their id, the index of the table",
                fix="labelled.index = labelled.index.astype(study.index.dtype); where they are other units: "
                "labelled.index = 'survey ' + labelled.index.astype(str)",
            )
        )


def _named(clusters: Labels) -> Labels:
    """Return names of clusters (n,), the same for 7 and for 7.0, which a table may have made of it."""
    whole = [int(one) if isinstance(one, float) and one.is_integer() else one for one in clusters.tolist()]
    return np.array([f"cluster {one}" for one in whole], dtype=object)
