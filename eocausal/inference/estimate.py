"""The result type: estimates that carry their influence values.

Because the influence values stay with the estimate, its standard error can be changed without a refit
(:meth:`Estimate.with_vcov`), and two estimates on overlapping units can be subtracted or compared with
the right joint standard error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal.inference.arms import Arms, with_counts
from eocausal.inference.origin import Origin
from eocausal.inference.panel_index import PanelIndex
from eocausal.inference.repeats import Repeats
from eocausal.inference.result_type import result_type
from eocausal.inference.second_sample import SecondSample
from eocausal.inference.stored import content_of, fields_of
from eocausal.inference.tables import (
    broom_frame,
    confidence_bounds,
    interval_plot,
    summary_text,
    two_sided_p,
)
from eocausal.inference.variance import Variance
from eocausal.inference.vcov import VcovChoice, resolve_vcov, variance_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FloatArray = npt.NDArray[np.float64]


@result_type
@dataclass(frozen=True, eq=False)
class Estimate:
    """One or more estimates with standard errors, influence values and what a reader must know.

    Results are made by verbs such as :func:`eocausal.ate`; users read them.

    Attributes
    ----------
    estimand : str
        ``ate``, ``AUTOC``, ``difference of ...``.
    method : str
    terms : tuple of str, length k
    values : array of shape (k,)
        The estimates.
    ids : array of shape (n,)
        Unit ids.
    score_values : array of shape (n, k)
        Centred influence values; the estimates' error is their mean.
    variance : Variance
        Covariance of the estimates, degrees of freedom, finite-sample factor and how it was made.
    groups : mapping of str to array of shape (n,)
        Cluster labels by name that :meth:`with_vcov` can use.
    coordinates : array of shape (n, 2) or None
        Longitude and latitude of the units in degrees, where the design knows them.
    weights : array of shape (n,) or None
        What each unit weighs in the mean of its arm, where the method weighs the arms; 1 on average in each arm.
    arms : Arms or None
        Treatment of each unit and the name of the groups it was assigned to; clusters are counted by it.
    panel : PanelIndex or None
        Unit and period of each row, where rows are of a panel.
    repeats : Repeats or None
        With ``Folds(repeats=)`` the estimates that this one is the median of; influence values are then those of
        the repeat in the middle.
    second : SecondSample or None
        Units of a second sample that the estimate varies with too, as the target of :func:`eocausal.transport`.
    origin : Origin or None
        What the estimate was made from, for :func:`eocausal.sensitivity`; not part of ``to_dict``.
    n_params : int
    assumptions, warnings : tuple of str
    diagnostics, provenance : mapping
    """

    estimand: str
    method: str
    terms: tuple[str, ...]
    values: FloatArray
    ids: npt.NDArray[Any]
    score_values: FloatArray
    variance: Variance
    groups: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    coordinates: FloatArray | None = None
    weights: FloatArray | None = None
    arms: Arms | None = None
    panel: PanelIndex | None = None
    repeats: Repeats | None = None
    second: SecondSample | None = None
    origin: Origin | None = field(default=None, repr=False)
    n_params: int = 1
    assumptions: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    diagnostics: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def n(self) -> int:
        """Number of units that entered."""
        return int(self.ids.size)

    @property
    def vcov(self) -> str:
        """How standard errors are made, such as ``iid``, ``cluster(village)`` or ``conley(50 km, bartlett)``."""
        return self.variance.how.label

    @property
    def n_clusters(self) -> int | None:
        """Number of clusters the standard errors were made with (of several kinds the smallest), or None."""
        return self.variance.n_clusters

    @property
    def estimate(self) -> float | FloatArray:
        """The estimate: a float for one term, else an array in the order of ``terms``."""
        return _scalar_or_array(self.values)

    @property
    def std_error(self) -> float | FloatArray:
        """The standard error: a float for one term, else an array."""
        return _scalar_or_array(self._std_errors)

    @property
    def scores(self) -> pd.DataFrame:
        """Centred influence values, one row per unit id, one column per term."""
        return pd.DataFrame(self.score_values, index=pd.Index(self.ids, name="id"), columns=list(self.terms))

    def ci(self, level: float = 0.95) -> tuple[float, float] | FloatArray:
        """Return the confidence interval: (low, high) for one term, else an array of shape (k, 2)."""
        bounds = confidence_bounds(
            self.values, self._std_errors, df=self.variance.df, level=level, reference=self.variance.reference
        )
        return (float(bounds[0, 0]), float(bounds[0, 1])) if len(self.terms) == 1 else bounds

    def p_value(self, null: float = 0.0) -> float | FloatArray:
        """Return the two-sided p-value of the hypothesis that the estimand equals ``null``."""
        by: dict[str, Any] = {"df": self.variance.df, "reference": self.variance.reference}
        return _scalar_or_array(two_sided_p(self.values - null, self._std_errors, **by))

    def with_vcov(self, vcov: VcovChoice) -> Self:
        """Return the same estimates with standard errors made another way, at no refit.

        Parameters
        ----------
        vcov : {"iid", "hetero", "cluster"} or mapping
            ``{"cluster": name}`` with a name in ``groups``, or ``{"cluster": series}`` with a Series of
            labels by unit id; a list of these clusters by several at once. Plain ``"cluster"`` takes the design's
            cluster. ``{"conley": "50km"}`` lets units vary together up to a distance on the ground (text with km or
            m, or metres), with ``"kernel": "uniform"`` (default) or ``"bartlett"``, ``"crs": "EPSG:32636"`` for
            flat distances and, of a panel, ``"serial": 2``: up to how many periods apart rows of one unit vary
            together (default ``"all"``). ``{"bootstrap": "wild"}``, ``"cluster"`` or ``"block"`` draw anew, with
            ``"draws"``, ``"seed"`` and ``"cluster"`` (a name or a Series) or ``"block": "50km"``, and ``"wild"``
            with ``"weights"``: ``"rademacher"``, ``"webb"`` (default with 12 clusters or fewer) or ``"mammen"``.
            The page ``docs/standard_errors.md`` states formulas, factors and how often their intervals cover.

        Raises
        ------
        EstimationError
            Unknown choice, unknown cluster name, labels missing for some units, no coordinates, or a variance that
            is not positive.
        """
        units = None if self.panel is None else self.panel.unit
        how, groups = resolve_vcov(vcov, groups=self.groups, ids=self.ids, units=units)
        make = partial(
            variance_of, how=how, groups=groups, coordinates=self.coordinates, n_params=self.n_params,
            panel=self.panel, arms=self.arms, weights=self.weights,
        )  # fmt: skip
        made, repeats = make(self.score_values), self.repeats
        if repeats is not None:
            made, repeats = repeats.variance(make)
        made = made if self.second is None else self.second.added(made)
        counts = {} if self.arms is None else self.arms.counts(how, groups)
        return replace(
            self,
            variance=made,
            groups=groups,
            repeats=repeats,
            warnings=_with_notes(self, made),
            diagnostics=with_counts(self.diagnostics, counts),
        )

    def __sub__(self, other: Estimate) -> Estimate:
        """Return the difference of two estimates with their joint standard error.

        Of two medians of as many repeats it is the median of the differences, repeat by repeat.
        """
        if not isinstance(other, Estimate):
            return NotImplemented
        from eocausal.inference.contrast import combined
        from eocausal.inference.joint import compare

        joint = compare(**{"left": self, "right": other})
        name = f"{self.terms[0]} ({self.method}) - {other.terms[0]} ({other.method})"
        named = f"difference of {self.estimand} and {other.estimand}"
        made = combined(joint, np.array([[1.0], [-1.0]]), (name,), estimand=named)
        return replace(made, method=f"{self.method} - {other.method}")

    def __repr__(self) -> str:
        """One line: what, how much, how sure, and whether there are warnings."""
        shown = ", ".join(
            f"{term} {value:.4g} (se {error:.3g})"
            for term, value, error in zip(self.terms, self.values, self._std_errors)
        )
        noted = f", {len(self.warnings)} warning{'s' * (len(self.warnings) != 1)}" if self.warnings else ""
        return f"Estimate({self.estimand} by {self.method}: {shown}; n {self.n}, vcov {self.vcov}{noted})"

    def to_frame(self, level: float = 0.95) -> pd.DataFrame:
        """Return one row per term with broom's columns (see ``docs/conventions.md``)."""
        return broom_frame(
            terms=self.terms, estimand=self.estimand, method=self.method, values=self.values,
            std_errors=self._std_errors, variance=self.variance, level=level, n=self.n,
        )  # fmt: skip

    def summary(self) -> str:
        """Return a text of at most 25 lines: the table, how it was made, assumptions and warnings."""
        made = (
            f"standard errors: {self.vcov}, factor {self.variance.factor:.5f}, {self.variance.distribution}"
        )
        assigned = None if self.arms is None else self.arms.line(self.groups)
        made = made if assigned is None else f"{made}\n{assigned}"
        return summary_text(self.to_frame(), made, self.diagnostics, self.assumptions, self.warnings)

    def to_latex(self) -> str:
        """Return the table as LaTeX, escaped."""
        return str(
            self.to_frame().style.hide(axis="index").format(precision=4, escape="latex").to_latex(hrules=True)
        )

    def to_dict(self, *, scores: bool = False) -> dict[str, Any]:
        """Return JSON-safe content; unit-level values only when ``scores`` is true."""
        return content_of(self, scores=scores)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Estimate:
        """Rebuild the result that ``to_dict(scores=True)`` wrote.

        Raises
        ------
        EstimationError
            The content holds no unit-level scores.
        """
        return cls(**fields_of(content))

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw estimates with 95% intervals and return the Axes."""
        return interval_plot(self.to_frame(), ax=ax)

    @property
    def _std_errors(self) -> FloatArray:
        return np.sqrt(np.diag(self.variance.matrix))


def _scalar_or_array(values: FloatArray) -> float | FloatArray:
    return float(values[0]) if values.size == 1 else values


def _with_notes(result: Estimate, made: Variance) -> tuple[str, ...]:
    """Return the warnings of a result with what another variance has to say in place of what its own had."""
    kept = [text for text in result.warnings if text not in result.variance.notes]
    return (*kept, *made.notes)
