"""`Sweep`: how an estimate, its overlap and its balance change with the features."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from eocausal._figures import new_figure
from eocausal.inference.estimate import Estimate
from eocausal.inference.joint import compare
from eocausal.inference.result_type import result_type
from eocausal.inference.tables import jsonable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Names of more settings than this are turned: upright ones would run into each other on a page.
MOST_UPRIGHT = 5
# Columns of the printed form.
PRINTED = (
    "setting", "estimate", "std_error", "conf_low", "conf_high", "auc", "outcome_r2", "worst_smd", "ess_treated",
    "ess_control",
)  # fmt: skip


@result_type
@dataclass(frozen=True, eq=False)
class Sweep:
    """The same estimate with several sets of features, on the same units.

    Made by :func:`eocausal.sweep`.

    Attributes
    ----------
    table : DataFrame
        One row for each setting, that of covariates alone first: ``setting n n_features estimate std_error conf_low
        conf_high auc auc_low auc_high outcome_r2 worst_smd_unweighted worst_smd ess_treated ess_control``.
    estimates : dict of str to Estimate
        By setting, with their influence values.
    warnings : tuple of str
    diagnostics, provenance : mapping
    """

    table: pd.DataFrame
    estimates: Mapping[str, Estimate] = field(repr=False)
    warnings: tuple[str, ...]
    diagnostics: Mapping[str, Any]
    provenance: Mapping[str, Any]

    @property
    def n(self) -> int:
        """Number of units of the first setting; trimming may leave fewer in others."""
        return int(self.table["n"].iloc[0])

    def to_frame(self) -> pd.DataFrame:
        """Return one row for each setting."""
        return self.table.copy()

    def compare(self) -> Estimate:
        """Return the estimates side by side with their joint covariance, for differences between settings."""
        return compare(**dict(self.estimates))

    def summary(self) -> str:
        """Return a text of at most 25 lines."""
        first = next(iter(self.estimates.values()))
        shown = self.table[list(PRINTED)].head(15)
        lines = [
            f"{first.estimand} by {first.method}, by set of features  (n {self.n})",
            *shown.to_string(index=False, float_format=lambda value: f"{value:.3f}").splitlines(),
            *([f"... and {len(self.table) - 15} more settings in .table"] if len(self.table) > 15 else []),
            *[f"WARNING: {text}" for text in self.warnings[:5]],
        ]
        return "\n".join(lines[:25])

    def __repr__(self) -> str:
        """One line: the range of the estimates."""
        low, high = self.table["estimate"].min(), self.table["estimate"].max()
        return f"Sweep({len(self.table)} settings, estimates {low:.4g} to {high:.4g}; n {self.n})"

    def to_dict(self, *, scores: bool = False) -> dict[str, Any]:
        """Return JSON-safe content; unit-level values only when ``scores`` is true."""
        return {
            "type": "Sweep",
            "table": jsonable(self.table.to_dict(orient="list")),
            "estimates": {name: one.to_dict(scores=scores) for name, one in self.estimates.items()},
            "warnings": list(self.warnings),
            "diagnostics": jsonable(self.diagnostics),
            "provenance": jsonable(self.provenance),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Sweep:
        """Rebuild the result that ``to_dict(scores=True)`` wrote."""
        table = pd.DataFrame(content["table"])
        numbers = [str(name) for name in table if name not in ("setting", "n", "n_features")]
        table[numbers] = table[numbers].astype(float)
        return cls(
            table,
            {name: Estimate.from_dict(one) for name, one in content["estimates"].items()},
            tuple(content["warnings"]),
            content["diagnostics"],
            content["provenance"],
        )

    def plot(self) -> Figure:
        """Draw estimates with 95% intervals by setting, the AUC of treatment below, and return the figure."""
        figure = new_figure(1.6 + max(3.6, 0.95 * len(self.table)), 4.6)
        draw_sweep(figure, self.table)
        return figure


def draw_sweep(figure: Figure, table: pd.DataFrame) -> None:
    """Draw the panel of estimates and the panel of AUCs; covariates alone are drawn hollow."""
    top, below = figure.subplots(2, 1, sharex=True, height_ratios=[1.7, 1])
    at = np.arange(len(table))
    hollow = (table["n_features"] == 0).to_numpy()
    panels = (
        (top, ("estimate", "conf_low", "conf_high"), 0.0, "estimate, 95% interval"),
        (below, ("auc", "auc_low", "auc_high"), 0.5, "AUC of treatment"),
    )
    for ax, (middle, low, high), line, label in panels:
        ax.axhline(line, color="#5b6472", linewidth=0.9)
        ax.vlines(at, table[low], table[high], color="#2f4858", linewidth=2.0)
        for chosen, face in ((hollow, "white"), (~hollow, "#2f4858")):
            ax.plot(
                at[chosen], table[middle][chosen], "o", color="#2f4858", markerfacecolor=face, markersize=6.5
            )
        ax.set_ylabel(label)
        ax.margins(x=0.08)
    if len(table) > MOST_UPRIGHT:
        below.set_xticks(at, labels=table["setting"].astype(str), rotation=30, ha="right")
    else:
        below.set_xticks(at, labels=[textwrap.fill(str(name), width=12) for name in table["setting"]])
