"""`PretrainResult`: an encoder that was trained, where it lies and how its losses went."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["PretrainResult"]


@dataclass(frozen=True, eq=False)
class PretrainResult:
    """What :func:`pretrain` returns.

    Attributes
    ----------
    spec : Path
        ``encoder.yaml``, which :func:`embed` takes as ``encoder=str(result.spec)``.
    name : str
        Name of the encoder, first part of the names of columns.
    objective : str
        ``"mae"`` or ``"video-mae"``.
    history : pandas.DataFrame
        One row an epoch: ``epoch``, ``train_loss`` and ``held_out_loss``, mean squared errors over valid pixels of
        hidden patches, in variances of a band. Row 0 is the network before training, without ``train_loss``.
    warnings : tuple of str
        What a reader must know.

    Examples
    --------
    >>> losses = {"epoch": [0, 1], "train_loss": [float("nan"), 0.61], "held_out_loss": [1.05, 0.58]}
    >>> PretrainResult(Path("ours/encoder.yaml"), "ours", "mae", pd.DataFrame(losses))
    PretrainResult('ours' by mae, 1 epochs, held-out loss 1.050 -> 0.580, ours/encoder.yaml)
    """

    spec: Path
    name: str
    objective: str
    history: pd.DataFrame = field(repr=False)
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        losses = self.history["held_out_loss"]
        return (
            f"PretrainResult({self.name!r} by {self.objective}, {len(losses) - 1} epochs, held-out loss "
            f"{losses.iloc[0]:.3f} -> {losses.iloc[-1]:.3f}, {self.spec})"
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw both losses by epoch and return the Axes."""
        if ax is None:
            from matplotlib import pyplot as plt

            _, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
        for column, label in (("train_loss", "training chips"), ("held_out_loss", "held-out chips")):
            ax.plot(self.history["epoch"], self.history[column], label=label)
        ax.set_xlabel("epoch")
        ax.set_ylabel("squared error, hidden patches")
        ax.set_ylim(bottom=0)
        ax.legend(frameon=False)
        return ax
