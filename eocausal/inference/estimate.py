"""The result type: estimates that carry their influence values.

Because the influence values stay with the estimate, its standard error can be changed without a refit
(:meth:`Estimate.with_vcov`), and two estimates on overlapping units can be subtracted or compared with
the right joint standard error.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal.errors import EstimationError, explain
from eocausal.inference.tables import (
    broom_frame,
    confidence_bounds,
    interval_plot,
    jsonable,
    summary_text,
    two_sided_p,
)
from eocausal.inference.variance import Variance, score_variance
from eocausal.inference.vcov import VcovChoice, resolve_vcov, split_label, vcov_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FloatArray = npt.NDArray[np.float64]


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
    vcov : str
        What the standard errors are made with: ``iid``, ``hetero`` or ``cluster(name)``.
    variance : Variance
        Covariance of the estimates, degrees of freedom and finite-sample factor.
    groups : mapping of str to array of shape (n,)
        Cluster labels by name that :meth:`with_vcov` can use.
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
    vcov: str
    variance: Variance
    groups: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
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
    def n_clusters(self) -> int | None:
        """Number of clusters the standard errors were made with, or None."""
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
        bounds = confidence_bounds(self.values, self._std_errors, df=self.variance.df, level=level)
        return (float(bounds[0, 0]), float(bounds[0, 1])) if len(self.terms) == 1 else bounds

    def p_value(self, null: float = 0.0) -> float | FloatArray:
        """Return the two-sided p-value of the hypothesis that the estimand equals ``null``."""
        return _scalar_or_array(two_sided_p(self.values - null, self._std_errors, df=self.variance.df))

    def with_vcov(self, vcov: VcovChoice) -> Self:
        """Return the same estimates with standard errors made another way, at no refit.

        Parameters
        ----------
        vcov : {"iid", "hetero", "cluster"} or mapping
            ``{"cluster": name}`` with a name in ``groups``, or ``{"cluster": series}`` with a Series of
            labels by unit id. Plain ``"cluster"`` takes the design's cluster.

        Raises
        ------
        EstimationError
            Unknown choice, unknown cluster name, or labels missing for some units.
        """
        kind, name, labels = resolve_vcov(vcov, groups=self.groups, ids=self.ids)
        variance = score_variance(self.score_values, vcov=kind, clusters=labels, n_params=self.n_params)
        groups = dict(self.groups) if labels is None else {**self.groups, name: labels}
        return replace(self, vcov=vcov_label(kind, name), variance=variance, groups=groups)

    def __sub__(self, other: Estimate) -> Estimate:
        """Return the difference of two estimates with their joint standard error."""
        if not isinstance(other, Estimate):
            return NotImplemented
        joint = compare(**{"left": self, "right": other})
        contrast = np.array([1.0, -1.0])
        name = f"{self.terms[0]} ({self.method}) - {other.terms[0]} ({other.method})"
        return replace(
            joint,
            estimand=f"difference of {self.estimand} and {other.estimand}",
            method=f"{self.method} - {other.method}",
            terms=(name,),
            values=np.array([contrast @ joint.values]),
            score_values=(joint.score_values @ contrast)[:, None],
            variance=replace(
                joint.variance, matrix=np.array([[contrast @ joint.variance.matrix @ contrast]])
            ),
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Estimate):
            return NotImplemented
        return self.to_dict(scores=True) == other.to_dict(scores=True)

    __hash__ = None  # type: ignore[assignment]

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
            std_errors=self._std_errors, df=self.variance.df, level=level, n=self.n,
            n_clusters=self.n_clusters,
        )  # fmt: skip

    def summary(self) -> str:
        """Return a text of at most 25 lines: the table, how it was made, assumptions and warnings."""
        made = f"standard errors: {self.vcov}, factor {self.variance.factor:.5f}, t({self.variance.df:.0f})"
        return summary_text(self.to_frame(), made, self.diagnostics, self.assumptions, self.warnings)

    def to_latex(self) -> str:
        """Return the table as LaTeX, escaped."""
        return str(
            self.to_frame().style.hide(axis="index").format(precision=4, escape="latex").to_latex(hrules=True)
        )

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self.summary())}</pre>"

    def to_dict(self, *, scores: bool = False) -> dict[str, Any]:
        """Return JSON-safe content; unit-level values only when ``scores`` is true."""
        content: dict[str, Any] = {
            "type": "Estimate", "estimand": self.estimand, "method": self.method, "terms": list(self.terms),
            "values": self.values.tolist(), "n": self.n, "vcov": self.vcov, "n_params": self.n_params,
            "variance": {
                "matrix": self.variance.matrix.tolist(), "df": self.variance.df,
                "factor": self.variance.factor, "n_clusters": self.variance.n_clusters,
            },
            "assumptions": list(self.assumptions), "warnings": list(self.warnings),
            "diagnostics": jsonable(self.diagnostics), "provenance": jsonable(self.provenance),
        }  # fmt: skip
        if scores:
            content["ids"] = self.ids.tolist()
            content["score_values"] = self.score_values.tolist()
            content["groups"] = {name: labels.tolist() for name, labels in self.groups.items()}
        return content

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Estimate:
        """Rebuild the result that ``to_dict(scores=True)`` wrote.

        Raises
        ------
        EstimationError
            The content holds no unit-level scores.
        """
        if "score_values" not in content:
            raise EstimationError(
                explain("The content holds no unit-level scores.", fix="write it with to_dict(scores=True)")
            )
        variance = content["variance"]
        return cls(
            estimand=content["estimand"],
            method=content["method"],
            terms=tuple(content["terms"]),
            values=np.array(content["values"], dtype=float),
            ids=np.array(content["ids"]),
            score_values=np.array(content["score_values"], dtype=float),
            vcov=content["vcov"],
            variance=Variance(
                np.array(variance["matrix"]), variance["df"], variance["factor"], variance["n_clusters"]
            ),
            groups={name: np.array(labels) for name, labels in content["groups"].items()},
            n_params=content["n_params"],
            assumptions=tuple(content["assumptions"]),
            warnings=tuple(content["warnings"]),
            diagnostics=content["diagnostics"],
            provenance=content["provenance"],
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw estimates with 95% intervals and return the Axes."""
        return interval_plot(self.to_frame(), ax=ax)

    @property
    def _std_errors(self) -> FloatArray:
        return np.sqrt(np.diag(self.variance.matrix))


def compare(**estimates: Estimate) -> Estimate:
    """Put estimates side by side with their joint covariance.

    The estimates may come from overlapping, equal or disjoint sets of units; a unit that did not enter an
    estimate contributes nothing to its error. All must use the same kind of standard error, and a unit must
    have the same cluster in each.

    Parameters
    ----------
    **estimates : Estimate
        Named results with one term each.

    Returns
    -------
    Estimate
        One term per name.

    Raises
    ------
    EstimationError
        No estimates, several terms in one, different kinds of standard error, or clusters that disagree.

    Examples
    --------
    >>> import eocausal as ec
    >>> table = pd.DataFrame({"grant": [0, 1] * 20, "age": np.arange(40.0) % 7})
    >>> table["income"] = 2 * table["grant"] + table["age"]
    >>> design = ec.Design(table, outcome="income", treatment="grant", covariates=["age"])
    >>> naive, adjusted = (ec.ate(design, method=method) for method in ("difference", "regression"))
    >>> ec.compare(naive=naive, adjusted=adjusted).to_frame()[["term", "estimate"]].round(2).to_dict("list")
    {'term': ['naive', 'adjusted'], 'estimate': [1.95, 2.0]}
    """
    results = list(estimates.values())
    if not results:
        raise EstimationError(explain("compare() got no estimates.", fix="compare(naive=a, adjusted=b)"))
    _require_comparable(estimates)
    kinds_of_id = {type(result.ids.tolist()[0]) for result in results}
    if len(kinds_of_id) > 1:
        raise EstimationError(
            explain(
                f"The results have ids of different kinds: {sorted(kind.__name__ for kind in kinds_of_id)}."
            )
        )
    ids = np.unique(np.concatenate([result.ids for result in results]))
    scores = np.zeros((ids.size, len(results)))
    for column, result in enumerate(results):
        scores[np.searchsorted(ids, result.ids), column] = result.score_values[:, 0] * ids.size / result.n
    kind, name = split_label(results[0].vcov)
    labels = _joint_labels(ids, results, name) if kind == "cluster" else None
    n_params = max(result.n_params for result in results)
    return Estimate(
        estimand=", ".join(dict.fromkeys(result.estimand for result in results)),
        method="compare",
        terms=tuple(estimates),
        values=np.array([result.values[0] for result in results]),
        ids=ids,
        score_values=scores,
        vcov=results[0].vcov,
        variance=score_variance(scores, vcov=kind, clusters=labels, n_params=n_params),
        groups={} if labels is None else {name: labels},
        n_params=n_params,
        assumptions=tuple(dict.fromkeys(text for result in results for text in result.assumptions)),
        warnings=tuple(dict.fromkeys(text for result in results for text in result.warnings)),
        provenance=results[0].provenance,
    )


def _scalar_or_array(values: FloatArray) -> float | FloatArray:
    return float(values[0]) if values.size == 1 else values


def _require_comparable(estimates: Mapping[str, Estimate]) -> None:
    strange = [
        f"{name} is a {type(result).__name__}"
        for name, result in estimates.items()
        if not isinstance(result, Estimate)
    ]
    if strange:
        raise EstimationError(
            explain(
                "Only Estimates can be compared.",
                where=strange,
                fix="a Cate holds one in .average, a Rate in .rates, an Overlap in .auc",
            )
        )
    several = [name for name, result in estimates.items() if len(result.terms) != 1]
    if several:
        raise EstimationError(explain("Only results with one term can be compared.", where=several))
    kinds = {result.vcov for result in estimates.values()}
    if len(kinds) > 1:
        raise EstimationError(
            explain(
                f"The results have different standard errors: {sorted(kinds)}.",
                fix="give them the same kind first: result.with_vcov(...)",
            )
        )
    if kinds <= {"half-sample", "half-sample(groups)"}:
        raise EstimationError(
            explain(
                "Half-sample standard errors of separate runs cannot be joined.",
                fix="ec.rate(source, priority={'a': ..., 'b': ...}) draws both on the same halves, or use "
                "result.rates.with_vcov('cluster' or 'iid')",
            )
        )


def _joint_labels(ids: npt.NDArray[Any], results: list[Estimate], name: str) -> npt.NDArray[Any]:
    """Return one cluster label for each id, or raise where two results disagree."""
    label_of: dict[Any, Any] = {}
    clashes = []
    for result in results:
        for unit, label in zip(result.ids.tolist(), result.groups[name].tolist()):
            if label_of.setdefault(unit, label) != label:
                clashes.append(unit)
    if clashes:
        raise EstimationError(explain(f"Units have different {name!r} in the two results.", where=clashes))
    return np.array([label_of[unit] for unit in ids.tolist()])
