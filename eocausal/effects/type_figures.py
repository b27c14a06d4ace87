"""Figures of types of images: effects with intervals, the map of types, pictures that are typical or ambiguous."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._figures import new_figure
from eocausal._map_frame import MUTED, extent_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MANY = 400
AVERAGE, PURE = "#1f4e79", "#c55a11"


class Pictures(Protocol):
    """What can show chips by image key; chips know nothing of types."""

    def thumbnails(self, keys: Any, *, block: str | None = None) -> npt.NDArray[np.uint8]:
        """Return pictures (n, height, width, 3) that can be compared with one another."""
        ...


def draw_effects(
    ax: Axes, averages: pd.DataFrame, pure: pd.DataFrame | None, labels: list[str], overall: float
) -> None:
    """Draw effects of types with 95% intervals, one line each: averages by type, and those of pure types."""
    height = np.arange(len(averages))[::-1].astype(float)
    ax.axvline(0, color="0.75", linewidth=0.8)
    ax.axvline(overall, color="0.45", linewidth=0.9, linestyle="--", label="average effect")
    shown = [("units by probability of the type", averages, AVERAGE, "o", 0.0)]
    if pure is not None and len(averages) > 1:
        shown = [
            ("units by probability of the type", averages, AVERAGE, "o", 0.13),
            ("a unit certain of its type", pure, PURE, "s", -0.13),
        ]
    for label, frame, colour, marker, shift in shown:
        spread = [frame["estimate"] - frame["conf_low"], frame["conf_high"] - frame["estimate"]]
        ax.errorbar(
            frame["estimate"], height + shift, xerr=spread, fmt=marker, color=colour, capsize=3, label=label
        )
    ax.set_yticks(height, labels=labels)
    ax.set_ylim(-0.6, len(averages) - 0.4)
    ax.set_xlabel("effect with 95% interval")
    ax.legend(frameon=False, fontsize=8.5, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)


def draw_type_map(ax: Axes, images: pd.DataFrame, term: str) -> None:
    """Draw images where they are, coloured by the probability of a type."""
    extent = extent_of(images)
    _, there = extent.places(images, images[term].to_numpy(dtype=float))
    size = 34.0 if len(there) <= MANY else 16.0
    drawn = ax.scatter(
        there["x"], there["y"], c=there["value"], cmap="cividis", vmin=0, vmax=1, s=size, linewidths=0.4,
        edgecolors=MUTED, alpha=0.95,
    )  # fmt: skip
    extent.finish(ax)
    bar = ax.figure.colorbar(drawn, ax=ax, shrink=0.85, pad=0.02, aspect=28)
    bar.set_label(f"probability of {term}, out of fold")
    bar.outline.set_visible(False)


def draw_gallery(chips: Pictures, examples: pd.DataFrame, notes: dict[str, str], block: str | None) -> Figure:
    """Draw pictures of each kind in a row of their own, with probability and SD over each."""
    kinds = list(dict.fromkeys(examples["kind"]))
    columns = int(examples.groupby("kind").size().max())
    pictures = chips.thumbnails(examples["image_key"].to_numpy(), block=block)
    figure = new_figure(1.55 * columns + 1.3, 1.85 * len(kinds))
    axes = figure.subplots(len(kinds), columns, squeeze=False)
    for ax in axes.ravel():
        ax.set_xticks([])
        ax.set_yticks([])
        ax.spines[:].set_visible(False)
    for row, kind in zip(axes, kinds):
        row[0].set_ylabel(
            f"{kind}\n{notes.get(kind, '')}".rstrip(), fontsize=9, rotation=0, ha="right", va="center"
        )
        for ax, place in zip(row, np.flatnonzero(examples["kind"] == kind)):
            one = examples.iloc[place]
            ax.imshow(pictures[place], interpolation="nearest")
            ax.set_title(f"{one['probability']:.2f} (SD {one['std_dev']:.2f})", fontsize=8)
    return figure
