"""The result of `multi_arm_qini`: gains of a targeted and an untargeted plan over budgets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from eocausal.inference.result_type import result_type

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@result_type
@dataclass(frozen=True, eq=False)
class MultiArmQini:
    """Gains over budgets. Made by :func:`eocausal.multi_arm_qini`.

    Attributes
    ----------
    arms : tuple of str
    n : int
        Units that were judged.
    curve : DataFrame
        A row for each ``budget`` (mean cost by unit): the ``gain`` by unit of the targeted plan, that of the
        ``untargeted`` one, and their ``difference``, each with ``_std_error``, ``_conf_low`` and ``_conf_high``
        (95%, for one budget at a time).
    area : Series
        ``estimate``, ``std_error`` and ``p_value`` of the mean difference over budgets from zero to the last.
    assumptions, warnings : tuple of str
    provenance : mapping
    """

    arms: tuple[str, ...]
    n: int
    curve: pd.DataFrame
    area: pd.Series
    assumptions: tuple[str, ...]
    warnings: tuple[str, ...]
    provenance: Mapping[str, Any]

    def to_frame(self) -> pd.DataFrame:
        """Return the curve as a table, a row for each budget."""
        return self.curve.copy()

    def __repr__(self) -> str:
        """One line: what targeting is worth."""
        return (
            f"MultiArmQini({len(self.arms)} arms, {self.n} units, targeting gains {self.area['estimate']:.3g} "
            f"(se {self.area['std_error']:.2g}) by unit on average over budgets)"
        )

    def summary(self) -> str:
        """Return the curve at five budgets and the area between the plans, as text."""
        shown = self.curve.iloc[:: max(1, len(self.curve) // 5)]
        columns = ["budget", "gain", "gain_std_error", "untargeted", "difference", "difference_std_error"]
        lines = [
            shown[columns].to_string(index=False, float_format="{:.4f}".format),
            f"mean difference over budgets: {self.area['estimate']:.4f} (se {self.area['std_error']:.4f}, "
            f"p {self.area['p_value']:.4f})",
        ]
        return "\n".join([*lines, *(f"warning: {text}" for text in self.warnings)])

    def to_dict(self, *, scores: bool = False) -> dict[str, Any]:
        """Return JSON-safe content; there is nothing by unit in it."""
        return {
            "type": "MultiArmQini",
            "arms": list(self.arms),
            "n": self.n,
            "curve": self.curve.to_dict(orient="list"),
            "area": self.area.to_dict(),
            "assumptions": list(self.assumptions),
            "warnings": list(self.warnings),
            "provenance": dict(self.provenance),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> MultiArmQini:
        """Rebuild the result that ``to_dict`` wrote."""
        return cls(
            arms=tuple(content["arms"]),
            n=content["n"],
            curve=pd.DataFrame(content["curve"]),
            area=pd.Series(content["area"], name="area"),
            assumptions=tuple(content["assumptions"]),
            warnings=tuple(content["warnings"]),
            provenance=content["provenance"],
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw both plans over budgets with pointwise 95% bands and return the Axes."""
        if ax is None:
            from matplotlib import pyplot as plt

            _, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
        for name, label, colour in (
            ("gain", "who gets what by predicted effects", "#2f6690"),
            ("untargeted", "the same arms at random", "#8a8a8a"),
        ):
            budget = [0.0, *self.curve["budget"]]
            ax.plot(budget, [0.0, *self.curve[name]], color=colour, label=label)
            ax.fill_between(
                budget,
                [0.0, *self.curve[f"{name}_conf_low"]],
                [0.0, *self.curve[f"{name}_conf_high"]],
                color=colour,
                alpha=0.18,
                linewidth=0,
            )
        ax.axhline(0, color="0.5", linewidth=0.8)
        ax.set_xlabel("budget: mean cost by unit")
        ax.set_ylabel("gain by unit")
        ax.set_xlim(left=0)
        ax.legend(frameon=False)
        return ax
