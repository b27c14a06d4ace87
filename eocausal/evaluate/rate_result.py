"""The result of RATE: rank-weighted average effects with their curves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import pandas as pd

from eocausal.inference.delegate import Delegated
from eocausal.inference.estimate import Estimate
from eocausal.inference.result_type import result_type
from eocausal.inference.vcov import VcovChoice

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@result_type
@dataclass(frozen=True, eq=False)
class Rate:
    """Rank-weighted average treatment effects with their TOC curves.

    Made by :func:`eocausal.rate`. One term per priority, then one per difference of two priorities.

    Attributes
    ----------
    rates : Estimate
        Estimates and half-sample covariance.
    target : {"AUTOC", "QINI"}
    toc : DataFrame
        Columns ``priority q estimate std_error conf_low conf_high``.
    by_fold : DataFrame
        Columns ``priority fold n n_clusters estimate std_error``: the parts that were averaged.
    """

    rates: Estimate
    target: str
    toc: pd.DataFrame
    by_fold: pd.DataFrame

    estimand = Delegated("rates")
    method = Delegated("rates")
    terms = Delegated("rates")
    n = Delegated("rates")
    n_clusters = Delegated("rates")
    estimate = Delegated("rates")
    std_error = Delegated("rates")
    ci = Delegated("rates")
    p_value = Delegated("rates")
    scores = Delegated("rates")
    assumptions = Delegated("rates")
    warnings = Delegated("rates")
    diagnostics = Delegated("rates")
    provenance = Delegated("rates")
    to_frame = Delegated("rates")
    summary = Delegated("rates")
    to_latex = Delegated("rates")

    def with_vcov(self, vcov: VcovChoice) -> Self:
        """Return the same rates with standard errors made from their influence values, at no new draws of halves.

        The bands of the TOC curve and the table of folds keep their half-sample standard errors.

        Parameters
        ----------
        vcov : {"iid", "hetero", "cluster"} or mapping
            As in :meth:`eocausal.Estimate.with_vcov`: ``{"conley": "50km"}`` or ``{"bootstrap": "block", "block":
            "50km"}`` where units near one another vary together.

        Raises
        ------
        EstimationError
            As there.
        """
        return replace(self, rates=self.rates.with_vcov(vcov))

    def __repr__(self) -> str:
        """One line: the rates."""
        return repr(self.rates).replace("Estimate(", "Rate(", 1)

    def to_dict(self, *, scores: bool = False) -> dict[str, Any]:
        """Return JSON-safe content; unit-level values only when ``scores`` is true."""
        return {
            "type": "Rate",
            "target": self.target,
            "rates": self.rates.to_dict(scores=scores),
            "toc": self.toc.to_dict(orient="list"),
            "by_fold": self.by_fold.to_dict(orient="list"),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Rate:
        """Rebuild the result that ``to_dict(scores=True)`` wrote."""
        return cls(
            rates=Estimate.from_dict(content["rates"]),
            target=content["target"],
            toc=pd.DataFrame(content["toc"]),
            by_fold=pd.DataFrame(content["by_fold"]),
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the TOC curves with pointwise 95% bands and return the Axes."""
        if ax is None:
            from matplotlib import pyplot as plt

            _, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
        ax.axhline(0, color="0.5", linewidth=0.8)
        for name, curve in self.toc.groupby("priority", sort=False):
            (line,) = ax.plot(100 * curve["q"], curve["estimate"], marker="o", markersize=3, label=str(name))
            ax.fill_between(
                100 * curve["q"], curve["conf_low"], curve["conf_high"], color=line.get_color(), alpha=0.18
            )
        ax.set_xlabel("share treated, highest predicted effect first (%)")
        ax.set_ylabel("gain over treating at random")
        ax.set_xlim(0, 100)
        if len(set(self.toc["priority"])) > 1:
            ax.legend(frameon=False)
        return ax
