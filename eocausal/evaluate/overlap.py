"""Overlap: could every unit have been in either arm, and how predictable is treatment."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal.inference.assemble import assemble
from eocausal.inference.delegate import Delegated
from eocausal.inference.estimate import Estimate
from eocausal.inference.folds import Folds
from eocausal.inference.nuisance import Learners, propensity_out_of_fold
from eocausal.inference.propensity import (
    EXTREME_PROPENSITY,
    extreme_propensities,
    propensity_diagnostics,
)
from eocausal.inference.scores import ScoredEstimate
from eocausal.inference.settings import provenance, settings_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from eocausal.design import Design

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Overlap:
    """The propensity of every unit, out of fold, and how well it tells the arms apart.

    Made by :func:`eocausal.overlap`. ``estimate`` is the AUC of treatment given covariates and features: 0.5 means
    that nothing seen predicts treatment, as in a trial; near 1 means that the arms can hardly be compared.

    Attributes
    ----------
    auc : Estimate
    ids, propensity, treatment : array of shape (n,)
    """

    auc: Estimate
    ids: npt.NDArray[Any]
    propensity: FloatArray
    treatment: FloatArray

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

    def to_frame(self) -> pd.DataFrame:
        """Return one row per arm: quantiles of the propensity, share outside the bounds, effective size."""
        low, high = EXTREME_PROPENSITY
        rows = []
        for name, arm in (("treated", self.treatment == 1), ("control", self.treatment == 0)):
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
            *[f"WARNING: {text}" for text in self.warnings],
        ]
        return "\n".join(lines[:25])

    def __repr__(self) -> str:
        """One line: AUC and range."""
        return (
            f"Overlap(AUC {self.estimate:.3f}, propensity {self.propensity.min():.3f} to "
            f"{self.propensity.max():.3f})"
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Overlap):
            return NotImplemented
        return self.to_dict(scores=True) == other.to_dict(scores=True)

    __hash__ = None  # type: ignore[assignment]

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self.summary())}</pre>"

    def to_dict(self, *, scores: bool = False) -> dict[str, Any]:
        """Return JSON-safe content; unit-level values only when ``scores`` is true."""
        content: dict[str, Any] = {"type": "Overlap", "auc": self.auc.to_dict(scores=scores)}
        if scores:
            content |= {name: getattr(self, name).tolist() for name in ("ids", "propensity", "treatment")}
        return content

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Overlap:
        """Rebuild the result that ``to_dict(scores=True)`` wrote."""
        auc = Estimate.from_dict(content["auc"])
        arrays = {name: np.array(content[name]) for name in ("ids", "propensity", "treatment")}
        return cls(auc=auc, **arrays)

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


def overlap(
    design: Design, *, folds: Folds | None = None, learners: Learners | None = None, seed: int = 0
) -> Overlap:
    """Learn the propensity out of fold and say how well the arms overlap.

    A propensity that is known by design is set aside here: the question is what covariates and features predict.

    Parameters
    ----------
    design : Design
    folds : Folds, optional
    learners : Learners, optional
    seed : int

    Returns
    -------
    Overlap

    Examples
    --------
    >>> import numpy as np, pandas as pd, eocausal as ec
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"age": rng.normal(size=300)})
    >>> table["grant"] = (table["age"] + rng.normal(size=300) > 0).astype(int)
    >>> table["income"] = rng.normal(size=300)
    >>> design = ec.Design(table, outcome="income", treatment="grant", covariates=["age"])
    >>> bool(ec.overlap(design).estimate > 0.7)
    True
    """
    from dataclasses import replace

    settings = settings_for(design, folds=folds, learners=learners, seed=seed)
    seed = settings.seed
    asked = replace(design, propensity=None)
    fold_of = settings.folds.assign(asked, seed=seed)
    propensity, _ = propensity_out_of_fold(asked, fold_of, settings.learners, seed=seed)
    table = design.table
    value, influence = auc_with_influence(propensity, table.treatment)
    estimate = assemble(
        design,
        [ScoredEstimate(value, influence, 1)],
        estimand="AUC of treatment",
        method="propensity out of fold",
        terms=(design.treatment,),
        warnings=extreme_propensities(propensity, table.treatment),
        diagnostics={
            **propensity_diagnostics(propensity, table.treatment, known=False),
            **settings.learners.describe(),
        },
        provenance=provenance(design, settings),
    )
    return Overlap(estimate, table.ids, propensity, table.treatment)


def auc_with_influence(score: FloatArray, label: FloatArray) -> tuple[float, FloatArray]:
    """Return the area under the ROC curve and its influence values (n,), ties counting one half.

    DeLong, DeLong and Clarke-Pearson (1988), Biometrics 44, from midranks.

    Examples
    --------
    >>> auc_with_influence(np.array([0.1, 0.4, 0.35, 0.8]), np.array([0.0, 0, 1, 1]))[0]
    0.75
    """
    from scipy.stats import rankdata

    positive, negative = label == 1, label == 0
    n_positive, n_negative = int(positive.sum()), int(negative.sum())
    overall = rankdata(score)
    placement = np.empty(score.size)
    placement[positive] = (overall[positive] - rankdata(score[positive])) / n_negative
    placement[negative] = 1 - (overall[negative] - rankdata(score[negative])) / n_positive
    auc = float(placement[positive].mean())
    share = np.where(positive, n_positive, n_negative) / score.size
    return auc, (placement - auc) / share
