"""The figure of a diagnosis: predictions on truth, residuals, what each level keeps, the spread of residuals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import stats

from eocausal.debiasing.choice import CORRECTION_NEARER, NAIVE_NEARER, reading, threshold

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from eocausal.debiasing.diagnosis_result import Diagnosis

FloatArray = npt.NDArray[np.float64]

# Distinct for colour-blind readers.
NAIVE, CORRECTED, MUTED = "#2f4858", "#c55a11", "#5b6472"
_SHOWN, _MANY = 2000, 500
_LEVELS = 7


def draw(figure: Figure, diagnosis: Diagnosis) -> None:
    """Draw the four panels."""
    (one, two), (three, four) = figure.subplots(2, 2)
    _on_truth(one, diagnosis)
    _residuals(two, diagnosis)
    _levels(three, diagnosis)
    _spread(four, diagnosis)


def _on_truth(ax: Axes, diagnosis: Diagnosis) -> None:
    """Draw places, means in tenths of the truth, the line of slope k and that of 45 degrees."""
    sample, bins = diagnosis.sample, diagnosis.by_truth
    rows = np.linspace(0, len(sample) - 1, min(len(sample), _SHOWN)).astype(int)
    size, alpha = (2.0, 0.25) if len(rows) > _MANY else (4.0, 0.5)
    at, height = sample.truth[rows], sample.prediction[rows]
    ax.plot(at, height, ".", color=MUTED, markersize=size, alpha=alpha, rasterized=True)
    ends = np.array([sample.truth.min(), sample.truth.max()])
    middle, level = (
        float(np.average(one, weights=sample.weights)) for one in (sample.truth, sample.prediction)
    )
    ax.plot(ends, ends, color=MUTED, linewidth=0.9, dashes=(4, 3), label="equal")
    ax.plot(
        ends,
        level + diagnosis.k * (ends - middle),
        color=CORRECTED,
        linewidth=1.8,
        label=f"k {diagnosis.k:.2f}",
    )
    ax.plot(bins["truth"], bins["prediction"], "o", color=NAIVE, markersize=4, label="means in tenths")
    ax.set(xlabel="truth", ylabel="prediction")
    ax.set_title("Predictions shrink", loc="left", fontsize=10)
    ax.legend(frameon=False, fontsize=8, loc="upper left")


def _residuals(ax: Axes, diagnosis: Diagnosis) -> None:
    """Draw mean and spread of truth less prediction in tenths of the prediction: flat under Berkson error."""
    bins = diagnosis.by_prediction
    at, mean = bins["prediction"].to_numpy(), bins["residual"].to_numpy()
    ax.axhline(0, color=MUTED, linewidth=0.9)
    ax.errorbar(at, mean, yerr=1.96 * bins["std_error"], fmt="o", color=NAIVE, markersize=4, label="mean")
    ax.plot(at, bins["residual_sd"], "s-", color=CORRECTED, markersize=3.5, linewidth=1, label="spread (SD)")
    half, spread = 1.96 * bins["std_error"], float(bins["residual_sd"].max())
    low, high = float((mean - half).min()), float((mean + half).max())
    ax.set_ylim(min(0.0, low) - 0.1 * spread, 1.3 * max(spread, high))
    ax.set(xlabel="prediction, means in tenths", ylabel="truth less prediction")
    ax.set_title("Is the error the same at all predictions", loc="left", fontsize=10)
    ax.legend(frameon=False, fontsize=8, loc="upper left", ncols=2)


def _levels(ax: Axes, diagnosis: Diagnosis) -> None:
    """Draw the share of differences that is left, naive and corrected, at each level; the truth is 1."""
    rows = [diagnosis.unit, *[one for one in diagnosis.levels if np.isfinite(one.estimate)][:_LEVELS]]
    height = np.arange(len(rows))[::-1].astype(float)
    k = diagnosis.k
    ax.axvline(1, color=MUTED, linewidth=0.9)
    if k > 0:
        ax.axvline(threshold(k), color=MUTED, linewidth=0.9, dashes=(4, 3))
    for at, one in zip(height, rows):
        half = float(stats.t.ppf(0.975, one.df)) * one.std_error if np.isfinite(one.std_error) else np.nan
        for values, size, colour, lift in (
            (one.estimate, half, NAIVE, 0.1),
            (one.estimate / k, half / k, CORRECTED, -0.1),
        ):
            ax.plot([values - size, values + size], [at + lift] * 2, color=colour, linewidth=1.8)
            ax.plot(values, at + lift, "o", color=colour, markersize=5.5, markeredgecolor="white")
    ax.plot([], [], "o", color=NAIVE, label="naive")
    ax.plot([], [], "o", color=CORRECTED, label="corrected")
    names = [diagnosis.unit.term, *[f"{one.term}\n{_short(reading(one, k))}" for one in rows[1:]]]
    ax.set_yticks(height, labels=names, fontsize=8)
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(-0.6, len(rows) - 0.4)
    ax.margins(x=0.12)
    shown = "share of a true difference (1) with 95% interval"
    if k > 0:
        side = "left" if k <= 1 else "right"
        shown += f";\nnaive {side} of the dashes: the correction is nearer"
    ax.set_xlabel(shown, fontsize=8.5)
    ax.set_title("What is left of differences", loc="left", fontsize=10)
    ax.legend(frameon=False, fontsize=8, loc="best")


def _short(said: str) -> str:
    return {NAIVE_NEARER: "naive nearer", CORRECTION_NEARER: "correction nearer"}.get(said, said)


def _spread(ax: Axes, diagnosis: Diagnosis) -> None:
    """Draw the residuals' distribution and the normal one that Tweedie's correction takes it for."""
    sample = diagnosis.sample
    residual: FloatArray = sample.truth - sample.prediction
    mean = float(np.average(residual, weights=sample.weights))
    sd = float(np.sqrt(np.average((residual - mean) ** 2, weights=sample.weights)))
    ax.hist(
        residual,
        bins=min(50, max(10, len(sample) // 8)),
        density=True,
        weights=sample.weights,
        color=NAIVE,
        alpha=0.35,
        label="truth less prediction",
    )
    grid = np.linspace(residual.min(), residual.max(), 300)
    if sd > 0:
        ax.plot(grid, stats.norm.pdf(grid, mean, sd), color=CORRECTED, linewidth=1.8, label="normal")
    ax.set(xlabel="truth less prediction", yticks=[])
    ax.set_title("Is the error normal (Tweedie)", loc="left", fontsize=10)
    ax.legend(frameon=False, fontsize=8, loc="upper right")
