"""Who was treated and by what groups, so that clusters of every standard error can be counted by arm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from eocausal.inference.bootstrap import Recentring
from eocausal.inference.panel_index import PanelIndex
from eocausal.inference.variance import FEW_CLUSTERS, Vcov

FloatArray = npt.NDArray[np.float64]
Labels = npt.NDArray[Any]

_COUNTS = ("clusters_treated_only", "clusters_control_only", "clusters_with_both_arms")
RANDOMISED = "where treatment was randomised, see ec.randomisation_test"
OFFER = f"{{'bootstrap': 'wild'}} rests less on their number; {RANDOMISED}"


@dataclass(frozen=True, eq=False)
class Arms:
    """Treatment of each unit, and the name of the groups that it was assigned to.

    Attributes
    ----------
    treatment : array of shape (n,)
        0 for control, 1 for treated; of several arms their numbers, 0 for control.
    cluster : str or None
        Name, among the groups of the result, of the design's cluster: the units of assignment. None where units
        were treated one by one.
    """

    treatment: FloatArray
    cluster: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-safe content."""
        return {"treatment": self.treatment.tolist(), "cluster": self.cluster}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Rebuild what ``to_dict`` wrote."""
        return cls(np.array(content["treatment"], dtype=float), content["cluster"])

    def recentring(self, weights: FloatArray | None, panel: PanelIndex | None = None) -> Recentring:
        """Return which influence values a bootstrap recentres together: those of an arm.

        A difference of means fits one for each arm; a comparison of units treated at some time with others, before
        and after, likewise. Where few clusters are treated, standard errors are too small because theirs are pulled
        to zero together, and only draws that do the same show it. With other estimates it is on the safe side:
        the recentred parts fade as clusters become many.
        """
        part = self.treatment if panel is None else ever_treated(self.treatment, panel)
        return Recentring(part, np.ones(part.size) if weights is None else weights)

    def line(self, groups: Mapping[str, Labels]) -> str | None:
        """Return how many units of assignment were treated, or None where units were treated one by one."""
        if self.cluster is None or self.cluster not in groups:
            return None
        share = treated_shares(groups[self.cluster], self.treatment)
        return f"treated assignment units: {int((share > 0).sum())} of {share.size} ({self.cluster})"

    def counts(self, how: Vcov, groups: Mapping[str, Labels]) -> dict[str, int]:
        """Return how many clusters of the standard errors have treated units only, controls only, both.

        Of several kinds of clusters it is the kind with the fewest. No counts where there are no clusters.
        """
        labels = fewest(how, groups)
        if labels is None:
            return {}
        share = treated_shares(labels, self.treatment)
        of = (share == 1, share == 0, (share > 0) & (share < 1))
        return {name: int(one.sum()) for name, one in zip(_COUNTS, of)}

    def notes(self, how: Vcov, groups: Mapping[str, Labels]) -> tuple[str, ...]:
        """Return what a reader must know of these clusters: few in an arm, or finer than the assignment."""
        return (*self._few(how, groups), *self._finer(how, groups))

    def _few(self, how: Vcov, groups: Mapping[str, Labels]) -> tuple[str, ...]:
        labels = fewest(how, groups)
        if labels is None:
            return ()
        share = treated_shares(labels, self.treatment)
        treated, control = int((share > 0).sum()), int((share < 1).sum())
        if min(treated, control) >= FEW_CLUSTERS:
            return ()
        text = f"{treated} clusters with treated and {control} with control units: with fewer than {FEW_CLUSTERS} "
        if how.kind == "cluster":
            return (f"{text}in an arm, clustered standard errors are too small; {OFFER}",)
        return (f"{text}in an arm, bootstraps too may reject too often; {RANDOMISED}",)

    def _finer(self, how: Vcov, groups: Mapping[str, Labels]) -> tuple[str, ...]:
        if self.cluster is None or self.cluster not in groups or how.kind == "conley":
            return ()
        assigned = groups[self.cluster]
        n_assigned = int(np.unique(assigned).size)
        share = treated_shares(assigned, self.treatment)
        n_treated = int((share > 0).sum())
        head = f"the design's cluster is {self.cluster!r} ({n_assigned} clusters, {n_treated} with treated units)"
        fix = "standard errors are then usually too small; with_vcov('cluster') takes the design's cluster"
        if how.kind in ("iid", "hetero"):
            return (
                f"{head}, but {how.label} standard errors take {assigned.size} units as independent: {fix}",
            )
        if any(nested(assigned, groups[name]) for name in how.names):
            return ()
        found = min(int(np.unique(groups[name]).size) for name in how.names) if how.names else 0
        if found <= n_assigned:
            return ()
        return (f"{head}, but {how.label} has {found} clusters that part them: {fix}",)


def fewest(how: Vcov, groups: Mapping[str, Labels]) -> Labels | None:
    """Return of the clusters of a variance the labels (n,) of the kind with the fewest, None without clusters."""
    return min((groups[name] for name in how.names), key=lambda one: np.unique(one).size, default=None)


def treated_shares(labels: Labels, treatment: FloatArray) -> FloatArray:
    """Return the share of treated units of each cluster, clusters in sorted order.

    Examples
    --------
    >>> treated_shares(np.array(["b", "a", "b"]), np.array([1.0, 1.0, 0.0])).tolist()
    [1.0, 0.5]
    """
    codes = np.unique(labels, return_inverse=True)[1]
    return np.asarray(np.bincount(codes, weights=treatment > 0) / np.bincount(codes))


def ever_treated(treatment: FloatArray, panel: PanelIndex) -> FloatArray:
    """Return for each row of a panel (n,) whether its unit is treated in any row.

    Examples
    --------
    >>> ever_treated(np.array([0.0, 1.0, 0.0]), PanelIndex(np.array(["a", "a", "b"]), np.array([1, 2, 1]))).tolist()
    [1.0, 1.0, 0.0]
    """
    unit = np.unique(panel.unit, return_inverse=True)[1]
    return np.asarray(np.bincount(unit, weights=treatment > 0) > 0, dtype=float)[unit]


def nested(inner: Labels, outer: Labels) -> bool:
    """Tell whether every group of the first lies whole within a group of the second.

    Examples
    --------
    >>> village, district = np.array([1, 1, 2, 3]), np.array(["n", "n", "n", "s"])
    >>> nested(village, district), nested(district, village)
    (True, False)
    """
    one, other = (np.unique(labels, return_inverse=True)[1] for labels in (inner, outer))
    pairs = np.unique(one * (int(other.max()) + 1) + other).size
    return bool(pairs == int(one.max()) + 1)


def with_counts(diagnostics: Mapping[str, Any], counts: Mapping[str, int]) -> dict[str, Any]:
    """Return diagnostics with counts of clusters by arm in place of those they hold."""
    found: dict[str, Any] = {}
    for name, value in diagnostics.items():
        if name in _COUNTS:
            continue
        found[name] = value
        if name == "n_control":
            found.update(counts)
    return {**found, **counts}
