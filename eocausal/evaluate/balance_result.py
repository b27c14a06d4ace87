"""`Balance`: differences between the arms before treatment, before and after weighting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from eocausal.evaluate.two_sample import classifier_frame
from eocausal.inference.delegate import Delegated
from eocausal.inference.estimate import Estimate
from eocausal.inference.result_type import result_type
from eocausal.inference.tables import jsonable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The usual bound above which an arm difference is called an imbalance, and the strict one.
BOUNDS = (0.1, 0.05)
# Rows of a love plot that can still be read.
MOST_ROWS = 40
NAMES = ("term", "kind")
SHOWN = (
    "term",
    "kind",
    "smd",
    "variance_ratio",
    "ks",
    "smd_weighted",
    "variance_ratio_weighted",
    "ks_weighted",
)


@result_type
@dataclass(frozen=True, eq=False)
class Balance:
    """Differences between the arms before treatment.

    Made by :func:`eocausal.balance`.

    Attributes
    ----------
    differences : Estimate
        Raw difference in means of each column before weighting, with (clustered) standard errors. Of a column of 0
        and 1 it is the difference of the shares.
    table : DataFrame
        Columns ``term kind mean_treated mean_control smd variance_ratio ks p_value``, and with weights
        ``mean_treated_weighted mean_control_weighted smd_weighted variance_ratio_weighted ks_weighted``.
    joint_p_value : float
        Wald test that no column differs before weighting, with an F reference when clusters are few.
    classifier : Estimate or None
        Held-out AUC of a model that tries to tell the arms apart, before and after weighting.
    """

    differences: Estimate
    table: pd.DataFrame
    joint_p_value: float
    classifier: Estimate | None = None

    estimand = Delegated("differences")
    method = Delegated("differences")
    terms = Delegated("differences")
    n = Delegated("differences")
    n_clusters = Delegated("differences")
    estimate = Delegated("differences")
    std_error = Delegated("differences")
    ci = Delegated("differences")
    p_value = Delegated("differences")
    scores = Delegated("differences")
    assumptions = Delegated("differences")
    warnings = Delegated("differences")
    diagnostics = Delegated("differences")
    provenance = Delegated("differences")

    @property
    def weighted(self) -> bool:
        """Whether the table has columns after weighting."""
        return "smd_weighted" in self.table

    def to_frame(self) -> pd.DataFrame:
        """Return the balance table, one row per column compared."""
        return self.table.copy()

    def worst(self, count: int = 5, *, weighted: bool = False) -> pd.DataFrame:
        """Return the rows with the largest standardised mean differences, before or after weighting."""
        size = self.table["smd_weighted" if weighted else "smd"].abs()
        return self.table.reindex(size.sort_values(ascending=False, kind="stable").index[:count])

    def classifier_frame(self) -> pd.DataFrame:
        """Return ``term auc std_error conf_low conf_high p_value`` of the held-out classifier.

        The p-value is one-sided: that the AUC is no more than 0.5. Empty where there was no classifier.
        """
        return pd.DataFrame() if self.classifier is None else classifier_frame(self.classifier)

    def summary(self) -> str:
        """Return a text of at most 25 lines."""
        over = int((self.table["smd"].abs() > BOUNDS[0]).sum())
        told = f"|smd| above {BOUNDS[0]}: {over}"
        if self.weighted:
            told += f" before, {int((self.table['smd_weighted'].abs() > BOUNDS[0]).sum())} after weighting"
        shown = self.worst(12, weighted=self.weighted)
        shown = shown[[name for name in SHOWN if name in shown]]
        lines = [
            f"balance of {len(self.table)} columns  (n {self.n})",
            f"{told}; joint p-value before weighting {self.joint_p_value:.4f}",
            *shown.to_string(index=False, float_format=lambda value: f"{value:.3f}").splitlines(),
        ]
        if self.weighted:
            sizes = [self.diagnostics[f"ess_{arm}"] for arm in ("treated", "control")]
            lines.append(f"effective units after weighting: {sizes[0]:.0f} treated, {sizes[1]:.0f} control")
        lines += [
            f"held-out AUC {row['term']}: {row['auc']:.3f} [{row['conf_low']:.3f}, {row['conf_high']:.3f}], "
            f"p (above 0.5) {row['p_value']:.4f}"
            for _, row in self.classifier_frame().iterrows()
        ]
        lines += [f"WARNING: {text}" for text in self.warnings[:4]]
        return "\n".join(lines[:25])

    def __repr__(self) -> str:
        """One line: the worst column and the joint test."""
        worst = self.worst(1).iloc[0]
        after = ""
        if self.weighted:
            left = self.worst(1, weighted=True).iloc[0]
            after = f", after weighting {left['smd_weighted']:.3f} ({left['term']})"
        return (
            f"Balance({len(self.table)} columns, largest smd {worst['smd']:.3f} ({worst['term']}){after}, "
            f"joint p {self.joint_p_value:.3g})"
        )

    def to_dict(self, *, scores: bool = False) -> dict[str, Any]:
        """Return JSON-safe content; unit-level values only when ``scores`` is true."""
        return {
            "type": "Balance",
            "differences": self.differences.to_dict(scores=scores),
            "table": jsonable(self.table.replace([np.inf, -np.inf], ["inf", "-inf"]).to_dict(orient="list")),
            "joint_p_value": jsonable(self.joint_p_value),
            "classifier": None if self.classifier is None else self.classifier.to_dict(scores=scores),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Balance:
        """Rebuild the result that ``to_dict(scores=True)`` wrote."""
        classifier = content.get("classifier")
        return cls(
            differences=Estimate.from_dict(content["differences"]),
            table=pd.DataFrame(
                {
                    name: values if name in NAMES else _as_numbers(values)
                    for name, values in content["table"].items()
                }
            ),
            joint_p_value=float(_as_numbers([content["joint_p_value"]])[0]),
            classifier=None if classifier is None else Estimate.from_dict(classifier),
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the standardised mean differences (a love plot) and return the Axes.

        Rings are before weighting, dots after it; without weights there are dots alone. The largest difference
        stands above; of more than 40 columns the 40 largest are drawn.
        """
        frame = self.worst(MOST_ROWS)
        if ax is None:
            from matplotlib import pyplot as plt

            _, ax = plt.subplots(figsize=(6.4, 1.3 + 0.24 * len(frame)), layout="constrained")
        height = np.arange(len(frame))[::-1]
        before = frame["smd"].to_numpy(dtype=float)
        ax.axvline(0, color="0.5", linewidth=0.8)
        ax.axvspan(-BOUNDS[0], BOUNDS[0], color="#7fa6c9", alpha=0.18, linewidth=0)
        if self.weighted:
            after = frame["smd_weighted"].to_numpy(dtype=float)
            ax.hlines(height, before, after, color="0.8", linewidth=1.0, zorder=1)
            ax.plot(before, height, "o", markerfacecolor="white", color="#1f4e79", label="before weighting")
            ax.plot(after, height, "o", color="#1f4e79", label="after weighting")
            ax.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, borderaxespad=0.2)
        else:
            ax.plot(before, height, "o", color="#1f4e79")
        ax.set_yticks(height, labels=frame["term"].tolist(), fontsize=8)
        ax.set_ylim(-0.7, len(frame) - 0.3)
        ax.set_xlabel("standardised mean difference, treated minus control")
        return ax


def _as_numbers(values: list[Any]) -> list[float]:
    """Return numbers read from JSON, where NaN is None, and infinity a word: no difference is larger."""
    return [float("nan") if value is None else float(value) for value in values]
