"""`CrossPredictions`: predictions that no unit's own label, cluster or image had a part in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal.design import Design
from eocausal.errors import DebiasError, explain
from eocausal.inference.result_type import result_type
from eocausal.inference.tables import jsonable
from eocausal.study_table import frame_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FloatArray = npt.NDArray[np.float64]


@result_type
@dataclass(frozen=True, eq=False)
class CrossPredictions:
    """Predictions of all units of a study by models of its labels. Made by :func:`eocausal.cross_predictions`.

    Attributes
    ----------
    truth : str
        Name of the outcome that is predicted.
    ids : array of shape (n,)
    values : array of shape (n,)
        Predictions.
    truths : array of shape (n,)
        NaN where there is no label.
    folds : array of shape (n,)
        The fold whose model predicts a unit, having seen neither it nor what it is tied to; -1 for the average of
        all models.
    spread : array of shape (n,)
        Standard deviation over models of what is averaged, else NaN.
    warnings : tuple of str
    diagnostics, provenance : mapping
    """

    truth: str
    ids: npt.NDArray[Any]
    values: FloatArray
    truths: FloatArray
    folds: npt.NDArray[np.intp]
    spread: FloatArray
    warnings: tuple[str, ...] = ()
    diagnostics: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return int(self.ids.size)

    @property
    def name(self) -> str:
        """What the column of predictions is called."""
        return f"predicted {self.truth}"

    @property
    def predictions(self) -> pd.Series:
        """Predictions by unit id."""
        return pd.Series(self.values, index=pd.Index(self.ids, name="id"), name=self.name)

    def onto(self, design: Design) -> Design:
        """Return a design with the predictions as its outcome, for ``ec.ppi(found.onto(design), truth=...)``.

        Raises
        ------
        DebiasError
            Units of the design that were not predicted and have all that it asks for.
        """
        _, ids, _ = frame_of(design)
        column = self.predictions.reindex(ids).to_numpy()
        if isinstance(design.data, pd.DataFrame):
            data: Any = design.data.assign(**{self.name: column})
        else:
            data = design.data.with_columns(**{self.name: column})
        missing = ids[np.isnan(column)]
        if missing.size and design.missing == "error":
            raise DebiasError(
                explain(
                    "Units of the design were not predicted.",
                    where=missing.tolist(),
                    fix="onto() the design that cross_predictions was given",
                )
            )
        return replace(design, data=data, outcome=self.name)

    def to_frame(self) -> pd.DataFrame:
        """Return one row a unit: ``id prediction truth fold spread``."""
        columns = {"prediction": self.values, "truth": self.truths, "fold": self.folds, "spread": self.spread}
        return pd.DataFrame({"id": self.ids, **columns})

    def __repr__(self) -> str:
        """One line: how many labels and units, and how good predictions are out of fold."""
        known = self.diagnostics
        noted = f", {len(self.warnings)} warning{'s' * (len(self.warnings) != 1)}" if self.warnings else ""
        return (
            f"CrossPredictions({self.truth}: {len(self)} units, {known['n_labelled']} labels in {known['folds']} "
            f"folds; out-of-fold R2 {known['out_of_fold_r2']:.3g}, slope {known['slope_of_truth']:.3g}{noted})"
        )

    def summary(self) -> str:
        """Return a text of at most 25 lines."""
        lines = [repr(self)]
        for name, value in self.diagnostics.items():
            if isinstance(value, int | float):
                lines.append(f"{name}: {value:.4g}")
        lines.append(f"model: {self.provenance.get('outcome_learner', '')}")
        return "\n".join([*lines, *(f"WARNING: {text}" for text in self.warnings)][:25])

    def to_dict(self, *, scores: bool = False) -> dict[str, Any]:
        """Return JSON-safe content; values by unit only when ``scores`` is true."""
        content: dict[str, Any] = {
            "type": "CrossPredictions", "truth": self.truth, "n": len(self), "warnings": list(self.warnings),
            "diagnostics": jsonable(self.diagnostics), "provenance": jsonable(self.provenance),
        }  # fmt: skip
        if scores:
            for name in ("ids", "values", "folds", *_GAPS):
                content[name] = jsonable(getattr(self, name))
        return content

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> CrossPredictions:
        """Rebuild the result that ``to_dict(scores=True)`` wrote.

        Raises
        ------
        DebiasError
            The content holds no values by unit.
        """
        if "values" not in content:
            raise DebiasError(
                explain("The content holds no values by unit.", fix="write it with to_dict(scores=True)")
            )
        gaps = {name: np.array(content[name], dtype=float) for name in _GAPS}
        return cls(
            truth=content["truth"],
            ids=np.array(content["ids"]),
            values=np.array(content["values"], dtype=float),
            folds=np.array(content["folds"], dtype=np.intp),
            warnings=tuple(content["warnings"]),
            diagnostics=content["diagnostics"],
            provenance=content["provenance"],
            **gaps,
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the truth against out-of-fold predictions and the line of equals, and return the Axes."""
        if ax is None:
            from matplotlib import pyplot as plt

            _, ax = plt.subplots(figsize=(4.5, 4.5), layout="constrained")
        known = ~np.isnan(self.truths)
        ax.scatter(self.values[known], self.truths[known], s=10, color="#1f4e79", alpha=0.6, linewidths=0)
        both = np.concatenate([self.values[known], self.truths[known]])
        ends = [both.min(), both.max()]
        ax.plot(ends, ends, color="#c55a11", linestyle="--", linewidth=1)
        ax.set(xlabel=f"{self.name}, out of fold", ylabel=self.truth)
        return ax


# Arrays with gaps, which are written as null.
_GAPS = ("truths", "spread")
