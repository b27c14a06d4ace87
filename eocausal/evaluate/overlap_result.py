"""`Overlap`: the propensity of every unit, how well it tells the arms apart, who has no counterpart, and where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal.errors import EvaluationError, explain
from eocausal.inference.delegate import Delegated
from eocausal.inference.estimate import Estimate
from eocausal.inference.propensity import EXTREME_PROPENSITY
from eocausal.inference.result_type import result_type

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FloatArray = npt.NDArray[np.float64]

ARMS = (("treated", 1), ("control", 0))


@result_type
@dataclass(frozen=True, eq=False)
class Overlap:
    """The propensity of every unit, out of fold, and how well it tells the arms apart.

    Made by :func:`eocausal.overlap`. ``estimate`` is the AUC of treatment given covariates and features: 0.5 means
    that nothing seen predicts treatment, as in a trial; near 1 means that the arms can hardly be compared. Its
    standard error is that of these predictions on other units, and takes no account of how predictions would change
    with the units that they were learned from.

    Attributes
    ----------
    auc : Estimate
    ids, propensity, treatment : array of shape (n,)
    cuts : dict of str to (float, float)
        Lowest and highest propensity that a rule keeps: of ``crump``, and of the trimming that was asked for.
    """

    auc: Estimate
    ids: npt.NDArray[Any]
    propensity: FloatArray
    treatment: FloatArray
    cuts: Mapping[str, tuple[float, float]]

    estimand = Delegated("auc")
    method = Delegated("auc")
    n = Delegated("auc")
    n_clusters = Delegated("auc")
    estimate = Delegated("auc")
    std_error = Delegated("auc")
    ci = Delegated("auc")
    scores = Delegated("auc")
    assumptions = Delegated("auc")
    warnings = Delegated("auc")
    diagnostics = Delegated("auc")
    provenance = Delegated("auc")

    def p_value(self, null: float = 0.5) -> float:
        """Return the two-sided p-value of an AUC; 0.5 means that nothing seen predicts treatment."""
        return float(self.auc.p_value(null))

    def left_out(self, rule: str | None = None) -> npt.NDArray[np.bool_]:
        """Return which units (n,) a rule would leave out: the trimming that was asked for, else Crump's.

        Parameters
        ----------
        rule : str, optional
            One of ``cuts``.
        """
        name = list(self.cuts)[-1] if rule is None else rule
        if name not in self.cuts:
            raise EvaluationError(
                explain(f"There is no rule {name!r}.", fix=f"Choose from: {', '.join(self.cuts)}.")
            )
        low, high = self.cuts[name]
        return np.asarray((self.propensity < low) | (self.propensity > high))

    def to_frame(self) -> pd.DataFrame:
        """Return one row per arm: the spread of the propensity, effective units, and who would be left out.

        ``left_out_<rule>`` counts the units that trimming by the rule would leave out.
        """
        low, high = EXTREME_PROPENSITY
        rows = []
        for name, code in ARMS:
            arm = self.treatment == code
            values = self.propensity[arm]
            rows.append(
                {
                    "arm": name,
                    "n": int(arm.sum()),
                    "min": values.min(),
                    "median": np.median(values),
                    "max": values.max(),
                    "share_outside": float(((values < low) | (values > high)).mean()),
                    "effective_n": self.diagnostics[f"ess_{name}"],
                    **{f"left_out_{rule}": int(self.left_out(rule)[arm].sum()) for rule in self.cuts},
                }
            )
        return pd.DataFrame(rows)

    def summary(self) -> str:
        """Return a text of at most 25 lines."""
        low, high = self.ci()
        lines = [
            f"overlap: AUC of treatment {self.estimate:.3f} [{low:.3f}, {high:.3f}]  (n {self.n})",
            *self.to_frame().to_string(index=False, float_format=lambda value: f"{value:.3f}").splitlines(),
            f"share_outside: propensity outside {EXTREME_PROPENSITY}",
            *[
                f"{rule} keeps propensities from {cut[0]:.3f} to {cut[1]:.3f}"
                for rule, cut in self.cuts.items()
            ],
            *[f"WARNING: {text}" for text in self.warnings],
        ]
        return "\n".join(lines[:25])

    def __repr__(self) -> str:
        """One line: AUC and range."""
        return (
            f"Overlap(AUC {self.estimate:.3f}, propensity {self.propensity.min():.3f} to "
            f"{self.propensity.max():.3f})"
        )

    def to_dict(self, *, scores: bool = False) -> dict[str, Any]:
        """Return JSON-safe content; unit-level values only when ``scores`` is true."""
        content: dict[str, Any] = {"type": "Overlap", "auc": self.auc.to_dict(scores=scores)}
        content["cuts"] = {rule: list(cut) for rule, cut in self.cuts.items()}
        if scores:
            content |= {name: getattr(self, name).tolist() for name in ("ids", "propensity", "treatment")}
        return content

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Overlap:
        """Rebuild the result that ``to_dict(scores=True)`` wrote."""
        auc = Estimate.from_dict(content["auc"])
        arrays = {name: np.array(content[name]) for name in ("ids", "propensity", "treatment")}
        cuts = {rule: (float(low), float(high)) for rule, (low, high) in content["cuts"].items()}
        return cls(auc=auc, cuts=cuts, **arrays)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the propensity of both arms, treated upwards and controls downwards, and return the Axes."""
        if ax is None:
            from matplotlib import pyplot as plt

            _, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
        edges = np.linspace(0, 1, 41)
        for sign, arm, name, colour in ((1, 1, "treated", "#c55a11"), (-1, 0, "control", "#1f4e79")):
            counts, _ = np.histogram(self.propensity[self.treatment == arm], bins=edges)
            ax.bar(
                edges[:-1],
                sign * counts,
                width=np.diff(edges),
                align="edge",
                color=colour,
                alpha=0.75,
                label=name,
            )
        ax.axhline(0, color="0.3", linewidth=0.8)
        ax.set_xlim(0, 1)
        ax.set_xlabel("propensity (out of fold)")
        ax.set_ylabel("units")
        ax.yaxis.set_major_formatter(lambda value, _: f"{abs(value):.0f}")
        ax.legend(frameon=False)
        return ax

    def map(self, ax: Axes | None = None, *, rule: str | None = None) -> Axes:
        """Draw units where they are, coloured by propensity, crosses for those that trimming would leave out.

        Parameters
        ----------
        ax : Axes, optional
        rule : str, optional
            One of ``cuts``; default the trimming that was asked for, else Crump's.

        Raises
        ------
        EvaluationError
            The design knows no coordinates.
        """
        from eocausal.evaluate.overlap_map import draw_propensities

        places = self.auc.coordinates
        if places is None:
            raise EvaluationError(
                explain(
                    "There is no map, because the design knows no coordinates.",
                    fix="units = ec.read_units(table, id=..., lon=..., lat=...), then ec.Design(units, ...)",
                )
            )
        if ax is None:
            from matplotlib import pyplot as plt

            _, ax = plt.subplots(figsize=(6.4, 5.0), layout="constrained")
        draw_propensities(ax, places, self.propensity, self.treatment, left_out=self.left_out(rule))
        return ax
