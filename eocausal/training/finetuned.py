"""`Finetuned`: what networks that were trained on pictures say of units that they did not see."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._provenance import hash_arrays
from eocausal.errors import EstimationError, explain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from eocausal.design import Design
    from eocausal.embeddings import Embeddings

FloatArray = npt.NDArray[np.float64]

__all__ = ["PREDICTED", "Finetuned", "learned_from"]

PREDICTED: Mapping[str, tuple[str, ...]] = {
    "treatment": ("propensity",),
    "outcome": ("outcome_control", "outcome_treated"),
}
"""Names of the predictions, by target."""
_COLOURS = {"network": "#1f4e79", "calibrated": "#c55a11", "control": "#1f4e79", "treated": "#c55a11"}


@dataclass(frozen=True, eq=False)
class Finetuned:
    """Predictions of treatment or outcome from pictures, each by a network that did not see the unit's fold.

    Made by :func:`eocausal.finetune`. ``ec.Learners(propensity=...)`` or ``ec.Learners(outcome=...)`` hand them to
    estimators, for the same units and folds.

    Attributes
    ----------
    target : str
        ``treatment`` or ``outcome``.
    ids : array of shape (n,)
        Units, in the order of the design.
    folds : array of shape (n,)
        Fold of each unit: the network of a fold learned from the others.
    predictions : array of shape (n, k)
        The probability of treatment (k = 1), or the outcome under control and under treatment (k = 2).
    metrics : DataFrame
        Out of fold, beside the constant prediction from outside the fold and, where there are covariates, the
        regression on them that training starts from. Treatment: AUC (pairs within a fold), log
        loss, Brier score, calibration slope, of the network before and after recalibration. Outcome: by arm the
        root mean squared error, R2 against the constant, and the slope of outcomes on predictions.
    calibration : DataFrame
        Reliability by tenths of the predictions, with 95% intervals that count units sharing a cluster or an image
        once.
    history : DataFrame
        Loss by fold and epoch on the training and the validation part; ``kept`` marks the epoch whose weights
        count.
    embeddings : Embeddings
        One row for each image, from the network that did not see it: what the picture adds to the prediction,
        at the mean of the covariates (the log odds of treatment, or both outcomes).
    warnings : tuple of str
    provenance : mapping
        What made the predictions.
    """

    target: str
    ids: npt.NDArray[Any]
    folds: npt.NDArray[np.intp]
    predictions: FloatArray
    metrics: pd.DataFrame
    calibration: pd.DataFrame
    history: pd.DataFrame
    embeddings: Embeddings
    warnings: tuple[str, ...]
    provenance: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        """One line: what was predicted, of how much, how well."""
        images, folds = len(self.embeddings), int(self.folds.max()) + 1
        noted = f", {len(self.warnings)} warning{'s' * (len(self.warnings) != 1)}" if self.warnings else ""
        return (
            f"Finetuned({self.target} by {self.provenance['network']['name']}: {len(self)} units, {images} images, "
            f"{folds} folds, {self._headline()}{noted})"
        )

    @property
    def fingerprint(self) -> str:
        """Hash of units, folds and predictions."""
        return hash_arrays(self.ids, self.folds, self.predictions)

    def _headline(self) -> str:
        if self.target == "treatment":
            return f"AUC {self.metrics['auc']['network']:.3f}"
        r2 = self.metrics["r2"]
        return ", ".join(f"R2 {arm} {r2['network', arm]:.3f}" for arm in ("control", "treated"))

    def to_frame(self) -> pd.DataFrame:
        """Return one row per unit id: its fold and its predictions."""
        table = pd.DataFrame(self.predictions, columns=list(PREDICTED[self.target]))
        table.insert(0, "fold", self.folds)
        return table.set_index(pd.Index(self.ids, name="id"))

    def summary(self) -> str:
        """Return a text of at most 25 lines."""
        kept = self.history[self.history["kept"]]
        lines = [
            repr(self),
            *self.metrics.to_string(float_format=lambda value: f"{value:.3f}").splitlines(),
            f"epochs whose weights count, by fold: {', '.join(map(str, kept['epoch']))}",
            *[f"WARNING: {text}" for text in self.warnings],
        ]
        return "\n".join(lines[:25])

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self.summary())}</pre>"

    def out_of_fold(self, design: Design, folds: npt.NDArray[np.intp]) -> FloatArray:
        """Return the predictions (n, k) in the order of a design, or say why they are not of its folds.

        Parameters
        ----------
        design : Design
            The units, treatment, covariates and weights that the networks were trained for; of the outcome too,
            when that is the target. Features do not matter.
        folds : array of shape (n,)
            The folds of the estimator.

        Raises
        ------
        EstimationError
            Other units, other values of theirs, or other folds.
        """
        rows = pd.Index(self.ids).get_indexer(pd.Index(design.table.ids))
        others = len(self) - int((rows >= 0).sum())
        if (rows < 0).any() or others:
            raise EstimationError(
                explain(
                    f"The predictions of finetune are of other units: the design has {len(design)}, of which "
                    f"{int((rows < 0).sum())} are not among the {len(self)} predicted, and lacks {others} of them.",
                    where=design.table.ids[rows < 0],
                    rule="predictions belong to the units that they were made for; cate learns anew on parts of "
                    "the units, and cannot take them",
                    fix="finetune on this design; for ec.cate put finetuned.embeddings among the features",
                )
            )
        learned = self.provenance["learned_from"]
        changed = [
            name for name, found in learned_from(design, self.target).items() if found != learned[name]
        ]
        if changed:
            raise EstimationError(
                explain(
                    "The design holds other values than the one that the networks were trained for.",
                    where=changed,
                    rule="predictions belong to the values that they were learned from",
                    fix="finetune on this design",
                )
            )
        if (self.folds[rows] != folds).any():
            made = self.provenance
            raise EstimationError(
                explain(
                    f"The folds are not those of the predictions ({int((self.folds[rows] != folds).sum())} units "
                    "in others).",
                    where=design.table.ids[self.folds[rows] != folds],
                    rule="all nuisances are learned on the same folds",
                    fix=f"folds=ec.Folds({_asked(made['folds'])}), seed={made['seed']}, "
                    "and images that tie the same units",
                )
            )
        found: FloatArray = self.predictions[rows]
        return found

    def plot_calibration(self, ax: Axes | None = None) -> Axes:
        """Draw what was observed over what was predicted, with 95% intervals, and return the Axes."""
        if ax is None:
            from matplotlib import pyplot as plt

            _, ax = plt.subplots(figsize=(4.2, 4.2), layout="constrained")
        low, high = np.inf, -np.inf
        for name, table in self.calibration.groupby("of", sort=False):
            bars = np.abs(table[["conf_low", "conf_high"]].to_numpy() - table[["observed"]].to_numpy()).T
            ax.errorbar(
                table["predicted"], table["observed"], yerr=bars, label=str(name), marker="o", markersize=4,
                linewidth=1, capsize=2, color=_COLOURS[str(name)], alpha=0.85,
            )  # fmt: skip
            seen = table[["predicted", "observed"]].to_numpy()
            low, high = min(low, seen.min()), max(high, seen.max())
        ends = (0.0, 1.0) if self.target == "treatment" else (low, high)
        ax.plot(ends, ends, color="0.4", linewidth=0.8, linestyle="--")
        words = "share treated" if self.target == "treatment" else "mean outcome"
        ax.set_xlabel(f"predicted {'propensity' if self.target == 'treatment' else 'outcome'} (out of fold)")
        ax.set_ylabel(words)
        ax.legend(frameon=False)
        return ax


def _asked(made: Mapping[str, Any]) -> str:
    """Return the arguments of the folds that a run was made with.

    Examples
    --------
    >>> _asked({"kind": "block", "k": 2, "block_m": 50000.0, "hash": "0f"})
    "'block', k=2, block_m=50000.0"
    """
    cell = f", block_m={made['block_m']}" if "block_m" in made else ""
    return f"{made['kind']!r}, k={made['k']}{cell}"


def learned_from(design: Design, target: str) -> dict[str, str]:
    """Return hashes of what networks learn from, by name; the same for the same units in any order."""
    table = design.table
    order = np.argsort(table.ids, kind="stable")
    parts = {"treatment": table.treatment, "covariates": table.covariates, "weights": table.weights}
    if target == "outcome":
        parts["outcome"] = table.outcome
    return {name: hash_arrays(values[order]) for name, values in parts.items()}
