"""The frozen design: what was asked of which units, checked once, before anything is estimated."""

from __future__ import annotations

from copy import copy
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import one_of
from eocausal._design_checks import refuse_constants, refuse_leaks, require_names
from eocausal._provenance import hash_arrays
from eocausal._study_columns import covariate_of
from eocausal._treatments import TREATMENT_TYPES, Treatment, require_arms, two_arms_only
from eocausal.errors import DesignError, explain
from eocausal.study_table import StudyTable, build_table
from eocausal.units import Units

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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
        Column of 0 (control) and 1 (treated), of named arms, or of doses, as ``treatment_type`` says.
    treatment_type : {"binary", "categorical", "continuous"}
        ``categorical``: text, categories or whole numbers that name two or more arms. ``continuous``: a numeric
        dose with at least six distinct values. Verbs that compare two arms refuse both.
    control : str, optional
        The arm that the others are compared with; for a categorical treatment, where it must be given.
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
    missing : {"error", "drop", "keep"}
        What to do with units that miss an outcome, a covariate or an image. ``drop`` leaves them out and says
        how many of each arm in every result's ``warnings``. ``keep`` does so too, but keeps units that miss no more
        than covariates: causal forests part units by what is missing, all else sees a mean in its place (of the
        training folds, where there are folds) and a 0/1 column ``age (missing)``; missing text is a level of its
        own. That identifies effects where treatment is random, or as good as random among units that are alike in
        what is seen and in what is missing. The plain difference in means, which uses neither
        covariates nor images, keeps every unit with an outcome.
    min_valid : float
        Smallest share of valid pixels (not cloud, not without data) of a unit's picture. Units below miss their
        image, and ``missing`` says what becomes of them. Default 0: every picture that gave features counts.

    Raises
    ------
    DesignError
        Columns missing, treatment not 0/1 (or not of the type that was named), missing or infinite values,
        constant or text columns where numbers must be, propensity outside (0, 1), weights not positive, fewer
        than two units in an arm.
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
    treatment_type: Literal["binary", "categorical", "continuous"] = "binary"
    control: str | int | None = None
    features: Embeddings | None = None
    covariates: Sequence[str] = ()
    cluster: str | None = None
    weights: str | None = None
    propensity: float | str | None = None
    missing: Literal["error", "drop", "keep"] = "error"
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
        one_of(self.missing, ("error", "drop", "keep"), argument="missing", error=DesignError)
        one_of(self.treatment_type, TREATMENT_TYPES, argument="treatment_type", error=DesignError)
        number = isinstance(self.min_valid, (int, float, np.number)) and not isinstance(self.min_valid, bool)
        if not number or not 0 <= self.min_valid <= 1:
            raise DesignError(explain(f"min_valid={self.min_valid!r}.", rule="a share between 0 and 1"))
        require_names(self)
        table = build_table(self)
        require_arms(Treatment(table.assigned, table.arms), self.treatment)
        refuse_constants(table, self.outcome)
        refuse_leaks(self, table)
        object.__setattr__(self, "table", table)

    def __len__(self) -> int:
        return int(self.table.ids.size)

    def __repr__(self) -> str:
        """One line: the regression in words, and how much of everything there is."""
        table = self.table
        parts = [f"{len(self)} units", _assigned_in_words(table)]
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
    def frame(self) -> pd.DataFrame:
        """The table that was handed in, rows of ``Units`` too."""
        return self.data if isinstance(self.data, pd.DataFrame) else self.data.frame

    @property
    def fingerprint(self) -> str:
        """Hash of everything that enters an estimate."""
        table = self.table
        parts = [table.ids, table.outcome, table.assigned, table.weights, table.covariates, table.features]
        named = np.array([self.treatment_type, *table.arms])
        # folds keep shared images whole and may be dealt by place; what is not there leaves a gap in its place
        optional = [table.clusters, table.propensity, table.image_keys, table.coordinates]
        gap = np.zeros(0)
        unseen = [] if table.missing is None else [table.missing]
        return hash_arrays(*parts, named, *[gap if part is None else part for part in optional], *unseen)

    def require_binary(self, what: str) -> None:
        """Raise unless the treatment has two arms, coded 0 and 1; ``what`` is the verb that compares them.

        Raises
        ------
        DesignError
            The treatment is categorical or continuous.
        """
        if self.treatment_type != "binary":
            raise two_arms_only(what, self.treatment_type)

    def unadjusted(self) -> Self:
        """Return the design without covariates and features, on every unit that has an outcome."""
        if not self.covariates and self.features is None and self.min_valid == 0:
            return self
        # a plain table knows its images by the features alone, so they stay behind as the cluster
        shared = self._shared_image
        cluster = shared if self.cluster is None and isinstance(self.data, pd.DataFrame) else self.cluster
        return self._again(covariates=(), features=None, cluster=cluster, min_valid=0.0)

    def with_outcome(self, outcome: str) -> Self:
        """Return the same design for another outcome column."""
        return self._again(outcome=outcome)

    def with_changed_outcome(self, change: Callable[[FloatArray], FloatArray]) -> Self:
        """Return the same units with their outcome changed by a function of it.

        Parameters
        ----------
        change : callable
            Outcomes (n,) in, changed outcomes (n,) out; what is missing is not asked.
        """
        raw = self.frame[self.outcome].to_numpy(dtype=float, na_value=np.nan)
        known, changed = ~np.isnan(raw), np.full(raw.size, np.nan)
        changed[known] = change(raw[known])
        named = {self.outcome: changed}
        data = (
            self.data.assign(**named)
            if isinstance(self.data, pd.DataFrame)
            else self.data.with_columns(**named)
        )
        # read anew the table would lose the columns of levels that are left without units
        other = copy(self)
        object.__setattr__(other, "data", data)
        object.__setattr__(other, "table", replace(self.table, outcome=change(self.table.outcome)))
        return other

    def redrawn(self, counts: npt.NDArray[Any]) -> Self:
        """Return the units drawn anew: each weighs as often as it was drawn, and those never drawn are left out.

        Parameters
        ----------
        counts : array of shape (n,)
            Whole numbers from 0.
        """
        rows = np.flatnonzero(counts)
        part = self.take(rows)
        weights = part.table.weights * counts[rows]
        # a space keeps the column apart from those of a user
        named = {" drawn": weights}
        data = (
            part.data.assign(**named)
            if isinstance(part.data, pd.DataFrame)
            else part.data.with_columns(**named)
        )
        object.__setattr__(part, "data", data)
        object.__setattr__(part, "weights", " drawn")
        object.__setattr__(part, "table", replace(part.table, weights=weights))
        return part

    def _again(self, **changes: Any) -> Self:
        """Return the design read anew, with what is said of units that its data no longer hold."""
        made = replace(self, **changes)
        if self.table.notes and self.table.rows.size == len(self.data):
            told = tuple(note for note in self.table.notes if note not in made.table.notes)
            object.__setattr__(made, "table", replace(made.table, notes=(*told, *made.table.notes)))
        return made

    def take(self, rows: npt.NDArray[Any] | Sequence[int]) -> Self:
        """Return the design on some of its units, by position or by a boolean array of length n.

        Columns stay as they were read: a level or a missing value that no chosen unit has keeps its column.
        """
        chosen = _as_positions(rows, len(self))
        table = self.table.take(chosen)
        require_arms(Treatment(table.assigned, table.arms), self.treatment)
        positions = self.table.rows[chosen]
        data = self.data.iloc[positions] if isinstance(self.data, pd.DataFrame) else self.data.take(positions)
        part = copy(self)
        part.__dict__.pop("groups", None)
        object.__setattr__(part, "data", data)
        object.__setattr__(part, "table", table)
        return part

    def pair(self, arm: str, against: str | None = None) -> Self:
        """Return the units of two arms as a design of two arms, for every verb that needs them.

        Parameters
        ----------
        arm : str
            The arm that counts as treated.
        against : str, optional
            The arm that counts as control. Default: the control of this design.

        Returns
        -------
        Design
            Its treatment column is called ``treatment[arm]``.

        Raises
        ------
        DesignError
            The treatment is not categorical, or an arm is not one of its arms.

        Examples
        --------
        >>> import numpy as np, pandas as pd
        >>> table = pd.DataFrame({"aid": ["none", "China", "both"] * 4, "wealth": np.arange(12.0)})
        >>> arms = Design(table, outcome="wealth", treatment="aid", treatment_type="categorical", control="none")
        >>> arms.pair("China")
        Design(wealth ~ aid[China]: 8 units, 4 treated)
        """
        code, base = (
            _code_of(self, name) for name in (arm, str(self.control) if against is None else against)
        )
        if code == base:
            raise DesignError(explain(f"{arm!r} cannot be compared with itself."))
        return self._two_arms(arm, (self.table.assigned == code) | (self.table.assigned == base), code)

    def against_rest(self, arm: str) -> Self:
        """Return all units as a design of two arms: one arm, and all others together; as :meth:`pair` else."""
        code = _code_of(self, arm)
        return self._two_arms(arm, np.ones(len(self), dtype=bool), code)

    def _two_arms(self, arm: str, rows: npt.NDArray[np.bool_], code: int) -> Self:
        name = f"{self.treatment}[{arm}]"
        table = self.table.take(np.flatnonzero(rows))
        treated = (table.assigned == code).astype(float)
        data, positions = self.data, self.table.rows[rows]
        if isinstance(data, pd.DataFrame):
            held: Units | pd.DataFrame = data.iloc[positions].assign(**{name: treated.astype(int)})
        else:
            held = data.take(positions).with_columns(**{name: treated.astype(int)})
        part = copy(self)
        part.__dict__.pop("groups", None)
        two = replace(table, assigned=treated, arms=("control", "treated"), treatment_type="binary")
        changed = {"data": held, "table": two, "treatment": name, "treatment_type": "binary", "control": None}
        for field_name, value in changed.items():
            object.__setattr__(part, field_name, value)
        return part

    def narrowed(self, features: npt.NDArray[np.float32], blocks: dict[str, tuple[int, int]]) -> Self:
        """Return the design with columns (n, d) that were made from its features in place of them."""
        part = copy(self)
        object.__setattr__(part, "table", replace(self.table, features=features, feature_blocks=blocks))
        return part

    def without(
        self, covariates: Sequence[str] = (), *, features: bool = False, blocks: Sequence[str] = ()
    ) -> Self:
        """Return the same units without some of what is adjusted for: who is compared does not change.

        Parameters
        ----------
        covariates : sequence of str
            Covariates by the names that ``Design`` was given.
        features : bool
            Whether all image features are left out.
        blocks : sequence of str
            Blocks of features that are left out.

        Examples
        --------
        >>> import numpy as np, pandas as pd
        >>> table = pd.DataFrame({"grant": [0, 1] * 4, "age": np.arange(8.0) ** 2, "income": np.arange(8.0)})
        >>> Design(table, outcome="income", treatment="grant", covariates=["age"]).without(["age"]).covariates
        ()
        """
        table = self.table
        kept = [
            place
            for place, name in enumerate(table.covariate_names)
            if covariate_of(name, self.covariates) not in covariates
        ]
        left = {
            name: span for name, span in table.feature_blocks.items() if not features and name not in blocks
        }
        columns = [np.arange(*span) for span in left.values()]
        spans, start = {}, 0
        for name, (low, high) in left.items():
            spans[name] = (start, start + high - low)
            start += high - low
        part = copy(self)
        object.__setattr__(part, "covariates", tuple(one for one in self.covariates if one not in covariates))
        if not left:
            object.__setattr__(part, "features", None)
        elif self.features is not None and len(left) < len(table.feature_blocks):
            # what is read anew, as for another outcome, must not bring them back
            known = [name for name in self.features.blocks if name not in blocks]
            object.__setattr__(part, "features", self.features.select(*known) if known else None)
        changed = replace(
            table,
            covariates=table.covariates[:, kept],
            covariate_names=tuple(table.covariate_names[place] for place in kept),
            missing=None if table.missing is None else table.missing[:, kept],
            features=table.features[:, np.concatenate(columns)] if columns else table.features[:, :0],
            feature_blocks=spans,
        )
        object.__setattr__(part, "table", changed)
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
        # by hashing: sorting a million keys would take longer than most estimates
        if pd.Index(self.table.image_keys).is_unique:
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


def _code_of(design: Design, arm: str) -> int:
    """Return the code of an arm of a categorical design; raise for other designs and unknown arms."""
    if design.treatment_type != "categorical":
        raise DesignError(
            explain(
                f"The treatment of this design is {design.treatment_type}, so it has no arms to choose from.",
                rule="treatment_type='categorical'",
            )
        )
    one_of(str(arm), design.table.arms, argument="arm", error=DesignError)
    return design.table.arms.index(str(arm))


def _assigned_in_words(table: StudyTable) -> str:
    """Return how many units got what: the treated, each arm, or the range of doses."""
    if table.treatment_type == "binary":
        return f"{int(table.treatment.sum())} treated"
    if table.treatment_type == "continuous":
        return f"dose {table.assigned.min():.4g} to {table.assigned.max():.4g}"
    counts = [f"{int((table.assigned == code).sum())} {arm}" for code, arm in enumerate(table.arms)]
    return "arms " + " + ".join(counts)


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
