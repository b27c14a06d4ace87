"""The figure of an assignment: ROC curves, reliability, and what pictures add to tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal.evaluate.assignment_result import BOTH, COVARIATES, FEATURES, INCREMENT, Arm
from eocausal.evaluate.prediction_measures import Smoother, roc_curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FloatArray = npt.NDArray[np.float64]

# Distinct for colour-blind readers.
COLOURS: dict[str, str] = {COVARIATES: "#b8860b", FEATURES: "#3d8b7d", BOTH: "#2f4858"}
MUTED = "#5b6472"
ADDED = {"auc": "treatment:\nAUC", "skill": "treatment:\nlog loss saved", "outcome_r2": "outcome:\nR²"}
BINS = 10


def draw_assignment(figure: Figure, arm: Arm, rows: pd.DataFrame, *, across: bool = True) -> None:
    """Draw the panels side by side, or with the increments below."""
    added = rows[rows["source"] == INCREMENT].set_index("measure")
    if added.empty:
        left, right = figure.subplots(1, 2)
    elif across:
        left, right, third = figure.subplots(1, 3)
        _increments(third, added, square=True)
    else:
        panels: Any = figure.subplot_mosaic([["left", "right"], ["below", "below"]], height_ratios=[3, 1.5])
        left, right = panels["left"], panels["right"]
        _increments(panels["below"], added, square=False)
    auc = rows[rows["measure"] == "auc"].set_index("source")["estimate"]
    _roc(left, arm, auc)
    _reliability(right, arm)


def _roc(ax: Axes, arm: Arm, auc: pd.Series) -> None:
    grid = np.linspace(0, 1, 201)
    ax.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, dashes=(4, 3))
    for source, predicted in arm.predicted.items():
        curve = roc_curve(predicted, arm.treatment, arm.folds, arm.weights, grid)
        label = f"{source} {auc[source]:.2f}"
        ax.plot(grid, curve, color=COLOURS[source], linewidth=1.8, label=label)
    ax.set(xlim=(0, 1), ylim=(0, 1.01), xlabel="controls taken for treated", ylabel="treated found")
    ax.set_title("Who is treated: AUC", loc="left", fontsize=10)
    ax.set_aspect("equal")
    ax.legend(loc="lower right", fontsize=8, frameon=False)


def _reliability(ax: Axes, arm: Arm) -> None:
    ax.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, dashes=(4, 3))
    for source, predicted in arm.predicted.items():
        x, smooth, total = Smoother.of(predicted, arm.treatment).curve(arm.weights)
        inside = total > 0
        ax.plot(x[inside], smooth[inside], color=COLOURS[source], linewidth=1.8)
        ax.plot(*_tenths(predicted, arm), "o", color=COLOURS[source], markersize=3.5, alpha=0.8)
    ax.set(xlim=(0, 1), ylim=(0, 1.01), xlabel="predicted probability", ylabel="share treated")
    ax.set_title("Do predictions come true", loc="left", fontsize=10)
    ax.set_aspect("equal")


def _tenths(predicted: FloatArray, arm: Arm) -> tuple[FloatArray, FloatArray]:
    """Return mean prediction and share treated in each tenth of the predictions."""
    edges = np.unique(np.quantile(predicted, np.linspace(0, 1, BINS + 1)[1:-1]))
    bins = np.unique(np.searchsorted(edges, predicted, side="left"), return_inverse=True)[1]
    total = np.bincount(bins, weights=arm.weights)
    x, y = (np.bincount(bins, weights=arm.weights * one) / total for one in (predicted, arm.treatment))
    return x, y


def _increments(ax: Axes, added: pd.DataFrame, *, square: bool) -> None:
    shown = added.loc[list(ADDED)]
    height = np.arange(len(shown))[::-1]
    ax.axvline(0, color=MUTED, linewidth=0.9)
    ax.hlines(height, shown["conf_low"], shown["conf_high"], color=COLOURS[BOTH], linewidth=2.2)
    ax.plot(shown["estimate"], height, "o", color=COLOURS[BOTH], markersize=6.5, markeredgecolor="white")
    ax.set_yticks(height, labels=list(ADDED.values()))
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(-0.7, len(shown) - 0.3)
    ax.margins(x=0.15)
    ax.set_xlabel("with pictures minus without")
    ax.set_title("What pictures add (95% interval)", loc="left", fontsize=10)
    if square:
        ax.set_box_aspect(1)
