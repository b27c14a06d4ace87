"""`Clan`: what the most and the least affected units look like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd

from eocausal.inference.delegate import Answering
from eocausal.inference.estimate import Estimate
from eocausal.inference.result_type import result_type
from eocausal.inference.simultaneous import step_down_p
from eocausal.inference.tables import jsonable
from eocausal.inference.vcov import VcovChoice

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Columns that a figure can hold.
MOST_SHOWN = 25


@result_type
@dataclass(frozen=True, eq=False)
class Clan(Answering):
    """Classification analysis: averages of columns by group of predicted effect.

    Made by :meth:`EffectGroups.clan`. ``estimate``, ``std_error`` and the other members of every result are those
    of the differences, the group predicted to gain most less the one predicted to gain least, one for each column.

    Attributes
    ----------
    differences : Estimate
    means : DataFrame
        One row for each column: ``column all sd`` and the mean in each group.
    seed : int
    """

    differences: Estimate
    means: pd.DataFrame
    seed: int

    answered_by = "differences"

    def table(self) -> pd.DataFrame:
        """Return one row for each column, the largest standardised difference first.

        Columns ``column least most all difference standardised std_error p_value p_adjusted``. ``standardised`` is
        the difference over the column's standard deviation among all units. ``p_adjusted`` holds the chance of any
        false rejection among all columns (step-down max-t, Romano and Wolf 2005).
        """
        found = self.differences
        p_values = np.ravel(found.p_value())
        adjusted = step_down_p(found.values, found.variance.matrix, df=found.variance.df, seed=self.seed)
        frame = pd.DataFrame(
            {
                "column": self.means["column"],
                "least": self.means.iloc[:, 3],
                "most": self.means.iloc[:, -1],
                "all": self.means["all"],
                "difference": found.values,
                "standardised": self._standardised(found.values),
                "std_error": np.sqrt(np.diag(found.variance.matrix)),
                "p_value": p_values,
                # a bootstrap has a p-value of its own, and many looks make none smaller
                "p_adjusted": np.maximum(adjusted, p_values),
            }
        )
        order = np.argsort(-np.abs(frame["standardised"].to_numpy()), kind="stable")
        return frame.iloc[order].reset_index(drop=True)

    def with_vcov(self, vcov: VcovChoice) -> Self:
        """Return the same differences with standard errors made another way, as in :meth:`Estimate.with_vcov`."""
        return replace(self, differences=self.differences.with_vcov(vcov))

    def __repr__(self) -> str:
        """One line: how many columns differ."""
        table = self.table()
        differ = int((table["p_adjusted"] < 0.05).sum())
        return (
            f"Clan({len(table)} columns, {differ} differ between most and least affected, vcov {self.vcov})"
        )

    def summary(self) -> str:
        """Return a text of at most 25 lines."""
        table = self.table()
        shown = table.head(15).to_string(index=False, float_format=lambda value: f"{value:.4g}").splitlines()
        more = [f"... and {len(table) - 15} more columns in .table()"] if len(table) > 15 else []
        told = [f"WARNING: {text}" for text in self.warnings[:5]]
        head = f"most less least affected, by column  (n {self.n}; standard errors: {self.vcov})"
        return "\n".join([head, *shown, *more, *told][:25])

    def to_dict(self, *, scores: bool = False) -> dict[str, Any]:
        """Return JSON-safe content; unit-level values only when ``scores`` is true."""
        return {
            "type": "Clan",
            "differences": self.differences.to_dict(scores=scores),
            "means": jsonable(self.means.to_dict(orient="list")),
            "seed": self.seed,
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Clan:
        """Rebuild the result that ``to_dict(scores=True)`` wrote."""
        means = pd.DataFrame(content["means"])
        return cls(Estimate.from_dict(content["differences"]), means, content["seed"])

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw standardised differences with 95% intervals, the largest on top, and return the Axes.

        Columns that differ once their number is allowed for are filled.
        """
        table = self.table().head(MOST_SHOWN)
        if ax is None:
            from matplotlib import pyplot as plt

            _, ax = plt.subplots(figsize=(6, 0.9 + 0.3 * len(table)), layout="constrained")
        order = [list(self.means["column"]).index(name) for name in table["column"]]
        bounds = np.asarray(self.differences.ci()).reshape(-1, 2)
        low, high = (self._standardised(side)[order] for side in bounds.T)
        height = np.arange(len(table))[::-1]
        ax.axvline(0, color="0.6", linewidth=0.8)
        ax.hlines(height, low, high, color="#1f4e79", linewidth=1.5)
        sure = (table["p_adjusted"] < 0.05).to_numpy()
        for chosen, face in ((sure, "#1f4e79"), (~sure, "white")):
            ax.plot(table["standardised"][chosen], height[chosen], "o", color="#1f4e79", markerfacecolor=face)
        ax.set_yticks(height, labels=[str(name) for name in table["column"]])
        ax.set_ylim(-0.7, len(table) - 0.3)
        ax.set_xlabel("most less least affected, in standard deviations (filled: adjusted p < 5%)")
        return ax

    def _standardised(self, values: Any) -> Any:
        spread = self.means["sd"].to_numpy(dtype=float)
        return np.divide(values, spread, out=np.zeros_like(values), where=spread > 0)
