"""The frozen design: what was asked of which units, checked once, before anything is estimated."""

from __future__ import annotations

from copy import copy
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal import leaks
from eocausal._checks import one_of
from eocausal._image_info import days_shown
from eocausal._provenance import hash_arrays
from eocausal.errors import DesignError, LeakError, explain
from eocausal.study_table import StudyTable, build_table, frame_of
from eocausal.units import Units

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eocausal.embeddings import Embeddings

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Design:
    """Outcome, treatment and what to adjust for, on a table of units.

    Parameters
    ----------
    data : Units or pandas.DataFrame
        The units; the index of a plain DataFrame is the unit id.
    outcome : str
        Numeric column.
    treatment : str
        Column of 0 (control) and 1 (treated).
    features : Embeddings, optional
        Image features, joined by image key. Rows that share an image stay in one fold.
    covariates : sequence of str
        Pre-treatment columns; text columns become 0/1 columns, first level left out.
    cluster : str, optional
        Column of the units of treatment assignment. Reaches every fold and standard error.
    weights : str, optional
        Column of positive sampling weights.
    propensity : float or str, optional
        Known probability of treatment, or a column of it, strictly between 0 and 1.
    missing : {"error", "drop"}
        What to do with units that miss an outcome, a covariate or an image. ``drop`` leaves them out and says
        how many of each arm in every result's ``warnings``. The plain difference in means, which uses neither
        covariates nor images, keeps every unit with an outcome.
    min_valid : float
        Smallest share of valid pixels (not cloud, not without data) of a unit's picture. Units below miss their
        image, and ``missing`` says what becomes of them. Default 0: every picture that gave features counts.

    Raises
    ------
    DesignError
        Columns missing, treatment not 0/1, missing or infinite values, constant or text columns where numbers
        must be, propensity outside (0, 1), weights not positive, fewer than two units in an arm.
    LeakError
        A covariate or feature that is the outcome, or a function of the treatment; imagery dated on or after
        treatment.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> table = pd.DataFrame({"grant": [0, 1] * 4, "income": np.arange(8.0)}, index=list("abcdefgh"))
    >>> Design(table, outcome="income", treatment="grant")
    Design(income ~ grant: 8 units, 4 treated)
    """

    data: Units | pd.DataFrame
    _: KW_ONLY
    outcome: str
    treatment: str
    features: Embeddings | None = None
    covariates: Sequence[str] = ()
    cluster: str | None = None
    weights: str | None = None
    propensity: float | str | None = None
    missing: Literal["error", "drop"] = "error"
    min_valid: float = 0.0
    table: StudyTable = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.covariates, str):
            raise DesignError(
                explain("covariates is text, not a list.", fix=f"covariates=[{self.covariates!r}]")
            )
        if self.covariates is None:
            raise DesignError(explain("covariates is None.", fix="leave covariates out, or covariates=[]"))
        object.__setattr__(self, "covariates", tuple(self.covariates))
        one_of(self.missing, ("error", "drop"), argument="missing", error=DesignError)
        if isinstance(self.min_valid, bool) or not 0 <= self.min_valid <= 1:
            raise DesignError(explain(f"min_valid={self.min_valid!r}.", rule="a share between 0 and 1"))
        _require_names(self)
        table = build_table(self)
        _require_two_arms(table.treatment, self.treatment)
        _refuse_constants(table, self.outcome)
        _refuse_leaks(self, table)
        object.__setattr__(self, "table", table)

    def __len__(self) -> int:
        return int(self.table.ids.size)

    def __repr__(self) -> str:
        """One line: the regression in words, and how much of everything there is."""
        table = self.table
        parts = [f"{len(self)} units", f"{int(table.treatment.sum())} treated"]
        if table.covariate_names:
            parts.append(f"{len(table.covariate_names)} covariates")
        if table.features.shape[1]:
            parts.append(f"{table.features.shape[1]} features of {np.unique(table.image_keys).size} images")
        if table.clusters is not None:
            parts.append(f"{np.unique(table.clusters).size} clusters")
        return f"Design({self.outcome} ~ {self.treatment}: {', '.join(parts)})"

    @cached_property
    def groups(self) -> npt.NDArray[np.intp]:
        """Codes (n,) of units tied together by a shared cluster or image, directly or through others."""
        table = self.table
        links = [table.image_keys] if table.clusters is None else [table.clusters, table.image_keys]
        return tied_groups(links, ids=table.ids)

    @property
    def fingerprint(self) -> str:
        """Hash of everything that enters an estimate."""
        table = self.table
        parts = [table.ids, table.outcome, table.treatment, table.weights, table.covariates, table.features]
        optional = [table.clusters, table.propensity]
        return hash_arrays(*parts, *[part for part in optional if part is not None])

    def unadjusted(self) -> Self:
        """Return the design without covariates and features, on every unit that has an outcome."""
        # a plain table knows its images by the features alone, so they stay behind as the cluster
        shared = self._shared_image
        cluster = shared if self.cluster is None and isinstance(self.data, pd.DataFrame) else self.cluster
        return replace(self, covariates=(), features=None, cluster=cluster, min_valid=0.0)

    def with_outcome(self, outcome: str) -> Self:
        """Return the same design for another outcome column."""
        return replace(self, outcome=outcome)

    def take(self, rows: npt.NDArray[Any] | Sequence[int]) -> Self:
        """Return the design on some of its units, by position or by a boolean array of length n.

        Columns stay as they were read: a level or a missing value that no chosen unit has keeps its column.
        """
        chosen = _as_positions(rows, len(self))
        table = self.table.take(chosen)
        _require_two_arms(table.treatment, self.treatment)
        positions = self.table.rows[chosen]
        data = self.data.iloc[positions] if isinstance(self.data, pd.DataFrame) else self.data.take(positions)
        part = copy(self)
        part.__dict__.pop("groups", None)
        object.__setattr__(part, "data", data)
        object.__setattr__(part, "table", table)
        return part

    def split(self, share: float = 0.5, *, seed: int) -> tuple[Self, Self]:
        """Split into two designs that share no cluster and no image.

        Parameters
        ----------
        share : float
            Share of the groups that go to the first part.
        seed : int

        Returns
        -------
        tuple of Design
        """
        if not 0 < share < 1:
            raise DesignError(explain(f"share={share} leaves one part empty.", rule="0 < share < 1"))
        codes = np.unique(self.groups)
        shuffled = np.random.default_rng(seed).permutation(codes)
        first = np.isin(self.groups, shuffled[: round(share * codes.size)])
        return self.take(first), self.take(~first)

    def cluster_labels(self) -> dict[str, npt.NDArray[Any]]:
        """Return the labels that standard errors can be clustered by, the design's own cluster first."""
        labels = {} if self.table.clusters is None else {str(self.cluster): self.table.clusters}
        if self._shared_image is not None:
            labels.setdefault(self._shared_image, self.table.image_keys)
        return labels

    @property
    def _shared_image(self) -> str | None:
        """Name of the column of image keys when units share images."""
        keys = self.table.image_keys
        if np.unique(keys).size == keys.size:
            return None
        if isinstance(self.data, Units):
            return self.data.image_key
        return None if self.features is None else self.features.key_name


def tied_groups(links: list[npt.NDArray[Any]], *, ids: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """Return codes of units connected through equal labels in any of the links.

    The codes follow the order of the smallest id in each group, so they do not depend on the order of rows.

    Examples
    --------
    >>> village, image = np.array([1, 1, 2, 3]), np.array(["a", "b", "b", "c"])
    >>> tied_groups([village, image], ids=np.array([10, 11, 12, 9])).tolist()
    [1, 1, 1, 0]
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    n = ids.size
    offset, rows, columns = n, [], []
    for labels in links:
        _, codes = np.unique(labels, return_inverse=True)
        rows.append(np.arange(n))
        columns.append(codes + offset)
        offset += int(codes.max()) + 1
    component = np.arange(n)
    if links:
        edges = (np.ones(n * len(links)), (np.concatenate(rows), np.concatenate(columns)))
        graph = coo_matrix(edges, shape=(offset, offset))
        component = connected_components(graph, directed=False)[1][:n].astype(np.intp)
    order = np.argsort(ids, kind="stable")
    _, first_seen = np.unique(component[order], return_index=True)
    rank = np.empty(component.max() + 1, dtype=np.intp)
    rank[np.unique(component)[np.argsort(first_seen)]] = np.arange(first_seen.size)
    return rank[component]


def _require_names(design: Design) -> None:
    """Raise where values stand in place of the name of a column."""
    required = {"outcome": design.outcome, "treatment": design.treatment}
    required |= {f"covariates[{position}]": name for position, name in enumerate(design.covariates)}
    optional: dict[str, Any] = {"cluster": design.cluster, "weights": design.weights}
    if not isinstance(design.propensity, float | int | np.floating):
        optional["propensity"] = design.propensity
    for role, name in {**required, **optional}.items():
        if not isinstance(name, str) and not (name is None and role in optional):
            fix = f"data['{role}'] = values, then Design(data, {role}='{role}')"
            raise DesignError(
                explain(
                    f"{role} is a {type(name).__name__}, not the name of a column.",
                    fix=fix if role in optional else "data.columns = data.columns.astype(str)",
                )
            )


def _as_positions(rows: npt.NDArray[Any] | Sequence[int], n: int) -> npt.NDArray[np.intp]:
    """Return distinct positions from 0 to n - 1, from positions or a mask."""
    chosen = np.asarray(rows)
    if chosen.dtype == bool:
        if chosen.shape != (n,):
            raise DesignError(
                explain(
                    f"The mask has shape {chosen.shape}, the design has {n} units.",
                    rule="one True or False for each unit that entered, in the order of design.table.ids",
                )
            )
        return np.flatnonzero(chosen)
    if chosen.ndim != 1 or (chosen.size and chosen.dtype.kind not in "iu"):
        raise DesignError(explain("rows are neither positions nor a boolean mask.", where=chosen.ravel()))
    wrong = (chosen < 0) | (chosen >= n) | pd.Index(chosen).duplicated()
    if wrong.any():
        raise DesignError(
            explain(
                "Row positions repeat or are out of range.",
                where=chosen[wrong],
                rule=f"0 <= row < {n}, each once",
            )
        )
    return chosen.astype(np.intp)


def _require_two_arms(treatment: FloatArray, name: str) -> None:
    n_treated, n_control = int(treatment.sum()), int((1 - treatment).sum())
    if min(n_treated, n_control) < 2:
        raise DesignError(
            explain(
                f"Treatment {name!r} has {n_treated} treated and {n_control} control units.",
                rule="at least 2 units in each arm",
            )
        )


def _refuse_constants(table: StudyTable, outcome: str) -> None:
    if np.ptp(table.outcome) == 0:
        raise DesignError(
            explain(f"Outcome {outcome!r} has the same value for all {table.outcome.size} units.")
        )
    constant = np.ptp(table.covariates, axis=0) == 0 if table.covariates.size else np.zeros(0, dtype=bool)
    if constant.any():
        raise DesignError(
            explain(
                "Covariates are constant.",
                where=np.array(table.covariate_names)[constant],
                fix="leave them out; they carry no information",
            )
        )


def _refuse_leaks(design: Design, table: StudyTable) -> None:
    frame, _, _ = frame_of(design)
    groups = _assignment_groups(table)
    numeric = frame.select_dtypes("number").iloc[table.rows]
    others = {
        str(name): column.to_numpy(dtype=float)
        for name, column in numeric.items()
        if name != design.treatment
    }
    for position, name in enumerate(table.covariate_names):
        column = table.covariates[:, position]
        if leaks.equal_up_to_scale(column, table.outcome):
            raise LeakError(
                explain(f"Covariate {name!r} equals the outcome up to scale.", fix="leave it out")
            )
        candidates = {other: values for other, values in others.items() if other != name}
        reason = leaks.function_of_treatment(column, table.treatment, groups=groups, others=candidates)
        if reason is not None:
            raise LeakError(
                explain(
                    f"Covariate {name!r} {reason}.",
                    rule="a covariate is fixed before treatment and not made from it",
                    fix=f"covariates=[c for c in covariates if c != {_column_of(name, design)!r}]; a trait of the "
                    "places that were assigned needs cluster= in Design",
                )
            )
    if table.features.shape[1]:
        _refuse_leaking_features(design, table, groups)
    if design.features is not None:
        shown = design.features.info["last_date"].to_numpy(dtype=object)
        refuse_late_images(design, table, shown[design.features.rows_for(table.image_keys)])


def _column_of(name: str, design: Design) -> str:
    """Return the column that a covariate was read from: ``region`` for ``region[north]``."""
    return name if name in design.covariates else name.partition("[")[0]


def _refuse_leaking_features(design: Design, table: StudyTable, groups: npt.NDArray[np.intp]) -> None:
    columns = design.features.columns if design.features is not None else ()
    found = leaks.leaking_features(table.features.astype(float), table.treatment, groups=groups)
    if found:
        names = [f"{columns[position]} {reason}" for position, reason in found.items()]
        raise LeakError(
            explain("Image features follow from the treatment.", where=names, fix="leave them out")
        )
    centred = table.outcome - table.outcome.mean()
    spread = table.features - table.features.mean(axis=0)
    norms = np.linalg.norm(spread, axis=0) * np.linalg.norm(centred)
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = np.where(norms > 0, np.abs(centred @ spread) / norms, 0.0)
    equal = correlation > 1 - 1e-6
    if equal.any():
        raise LeakError(
            explain("Image features equal the outcome up to scale.", where=np.array(columns)[equal])
        )


def refuse_late_images(design: Design, table: StudyTable, days: npt.NDArray[Any]) -> None:
    """Raise LeakError where a unit's image, by its last day (a day or None, (n,)), is not from before."""
    treated_on = design.data.dates if isinstance(design.data, Units) else None
    if treated_on is None:
        return
    shown = days_shown(days)
    late = shown >= treated_on[table.rows]
    if late.any():
        latest = np.unique(shown[late])
        span = str(latest[0]) if len(latest) == 1 else f"{latest[0]} to {latest[-1]}"
        raise LeakError(
            explain(
                f"The imagery of {span} was taken on or after treatment.",
                where=table.ids[late],
                rule="images that adjust or explain an effect come from before treatment",
                fix="use earlier imagery (ec.Frames(before=...)), or leave these units out",
            )
        )


def _assignment_groups(table: StudyTable) -> npt.NDArray[np.intp]:
    """Codes of the units of assignment: clusters, or else images, when most lie in one arm; else single units."""
    labels = table.image_keys if table.clusters is None else table.clusters
    codes = np.unique(labels, return_inverse=True)[1]
    shares = np.bincount(codes, weights=table.treatment) / np.bincount(codes)
    whole = np.isin(shares, (0.0, 1.0)).mean()
    # a trial whose clusters are nearly all of one arm was assigned by cluster, whatever a few say
    return codes if whole > 0.5 else np.arange(table.ids.size)
