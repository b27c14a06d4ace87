"""Who is compared with whom: units or whole clusters, in pairs that are matched or in strata that are given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import require_columns
from eocausal.errors import SensitivityError, explain
from eocausal.sensitivities.pairs import nearest_pairs
from eocausal.sensitivities.strata_bounds import Strata, strata_of

if TYPE_CHECKING:
    from eocausal.design import Design

FloatArray = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]

# A standardised difference of the logit above which pairs are said to be unlike.
UNLIKE = 0.1


@dataclass(frozen=True, eq=False)
class Compared:
    """Units, or clusters that were treated as one, as arrays of length n.

    Attributes
    ----------
    ids, outcome, treated : arrays of shape (n,)
    codes : array of shape (units,)
        Which of them each unit of the design belongs to.
    weights : array of shape (units,)
    word : str
        ``unit`` or ``cluster``.
    """

    ids: npt.NDArray[Any]
    outcome: FloatArray
    treated: npt.NDArray[np.bool_]
    codes: Codes
    weights: FloatArray
    word: str

    def mean_of(self, values: FloatArray) -> FloatArray:
        """Return weighted means (n,) of what units have (units,)."""
        if self.word == "unit":
            return values
        return np.bincount(self.codes, self.weights * values) / np.bincount(self.codes, self.weights)


def compared(design: Design) -> Compared:
    """Return the units of a design, or its clusters where all units of each were treated alike."""
    table = design.table
    treated = table.treatment == 1
    n = len(design)
    if table.clusters is not None:
        labels, codes = np.unique(table.clusters, return_inverse=True)
        share = np.bincount(codes, treated) / np.bincount(codes)
        if labels.size < n and np.isin(share, (0.0, 1.0)).all():
            whole = Compared(labels, np.zeros(0), share == 1, codes, table.weights, "cluster")
            return Compared(labels, whole.mean_of(table.outcome), share == 1, codes, table.weights, "cluster")
    return Compared(table.ids, table.outcome, treated, np.arange(n), table.weights, "unit")


@dataclass(frozen=True, eq=False)
class Sets:
    """Strata of what is compared, how they were made, and what a reader must know of them."""

    strata: Strata
    how: str
    warnings: tuple[str, ...] = ()
    diagnostics: Mapping[str, Any] = field(default_factory=dict)


def matched_pairs(subjects: Compared, logit: FloatArray, *, caliper: float | None) -> Sets:
    """Return pairs that are near on the logit (n,); the caliper is in its standard deviations within the arms."""
    treated = subjects.treated
    spread = float(np.sqrt((logit[treated].var(ddof=1) + logit[~treated].var(ddof=1)) / 2))
    alike = float(np.ptp(logit)) == 0
    bound = None if caliper is None or alike else caliper * spread
    pairs = nearest_pairs(logit, treated, caliper=bound, ids=subjects.ids.astype(object))
    labels = np.full(treated.size, -1, dtype=np.intp)
    labels[pairs[:, 0]] = labels[pairs[:, 1]] = np.arange(len(pairs))
    before, after = (_smd(logit[one], treated[one], spread) for one in (labels >= -1, labels >= 0))
    fewer = "treated" if treated.sum() <= (~treated).sum() else "control"
    warnings = [] if not alike else ["all propensities are alike, so the pairs are arbitrary"]
    within = (
        "" if bound is None else f" that has a partner within {caliper:g} standard deviations of the logit"
    )
    left_out = _left_out(labels >= 0, treated, subjects.word)
    if left_out:
        warnings.append(
            f"{left_out} without a partner are not compared: each {fewer} {subjects.word}{within} is paired once"
        )
    if abs(after) > UNLIKE:
        warnings.append(
            f"the logit of the propensity still differs by {after:.2f} standard deviations between the two of "
            f"the pairs (bound {UNLIKE}); a smaller caliper pairs fewer that are more alike"
        )
    return Sets(
        strata_of(labels, treated),
        f"each {fewer} {subjects.word} with one of the other arm, nearest in the propensity",
        tuple(warnings),
        {"smd_logit_before": before, "smd_logit_after": after, "smaller_arm": fewer},
    )


def given_strata(subjects: Compared, design: Design, asked: str | pd.Series) -> Sets:
    """Return strata by a column of the data or a Series by unit id; units without a label are in none."""
    labels = _labels(design, asked)
    known = labels.notna().to_numpy()
    codes = np.full(len(labels), -1, dtype=np.intp)
    codes[known] = pd.factorize(labels[known], sort=False)[0]
    if subjects.word == "cluster":
        codes = _of_clusters(subjects, codes)
    strata = strata_of(codes, subjects.treated)
    inside = np.zeros(codes.size, dtype=bool)
    inside[strata.members] = True
    one_armed = (codes >= 0) & ~inside
    told = []
    for rows, why in ((codes < 0, "have no stratum"), (one_armed, "are in strata of one arm")):
        left_out = _left_out(~rows, subjects.treated, subjects.word)
        told += [f"{left_out} {why} and are not compared"] if left_out else []
    name = asked if isinstance(asked, str) else str(asked.name or "strata")
    return Sets(strata, f"{subjects.word}s with the same {name}", tuple(told))


def _labels(design: Design, asked: str | pd.Series) -> pd.Series:
    """Return labels in the order of the units that entered, missing where there are none."""
    ids = design.table.ids
    if isinstance(asked, str):
        frame = design.frame
        require_columns(frame, [asked], table="data", error=SensitivityError)
        return frame[asked].iloc[design.table.rows].reset_index(drop=True)
    if not isinstance(asked, pd.Series):
        raise SensitivityError(
            explain(
                f"strata is a {type(asked).__name__}.",
                rule="the name of a column, or a Series by unit id",
                fix='strata="pair"',
            )
        )
    if asked.index.has_duplicates:
        raise SensitivityError(
            explain(
                "The Series of strata has several values for some units.",
                where=asked.index[asked.index.duplicated()],
                fix="one label for each unit id",
            )
        )
    labels = asked.reindex(ids)
    if labels.isna().all():
        raise SensitivityError(
            explain("The Series of strata names none of the units.", where=ids, fix="index it by unit id")
        )
    return labels.reset_index(drop=True)


def _of_clusters(subjects: Compared, codes: Codes) -> Codes:
    """Return the stratum of each cluster; raise where a cluster is in several."""
    table = pd.DataFrame({"cluster": subjects.codes, "stratum": codes})
    several = table.groupby("cluster")["stratum"].nunique().to_numpy() > 1
    if several.any():
        raise SensitivityError(
            explain(
                "Some clusters, which were treated as one, are in several strata.",
                where=subjects.ids[several],
                rule="strata of whole clusters",
            )
        )
    return table.groupby("cluster")["stratum"].first().to_numpy(dtype=np.intp)


def _left_out(kept: npt.NDArray[np.bool_], treated: npt.NDArray[np.bool_], word: str) -> str:
    """Return how many of each arm are left out, in words; nothing where none is."""
    if kept.all():
        return ""
    return f"{int((~kept & treated).sum())} treated and {int((~kept & ~treated).sum())} control {word}s"


def _smd(logit: FloatArray, treated: npt.NDArray[np.bool_], spread: float) -> float:
    if spread == 0 or not treated.any():
        return 0.0
    return float((logit[treated].mean() - logit[~treated].mean()) / spread)
