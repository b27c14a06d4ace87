"""`Assignment`: how well treatment is predicted from tables, from pictures and from both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import one_of
from eocausal._figures import new_figure
from eocausal.errors import EvaluationError, explain
from eocausal.inference.result_type import result_type
from eocausal.inference.tables import jsonable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FloatArray = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]

# Sources of predictions, as Learners(columns=) calls them, and what one adds to the other.
Source = Literal["covariates", "features", "both"]
COVARIATES: Source = "covariates"
FEATURES: Source = "features"
BOTH: Source = "both"
INCREMENT = "features given covariates"
# Measures of which the printed table shows the interval.
PRINTED = ("auc", "skill", "calibration_slope", "ici", "outcome_r2")


@dataclass(frozen=True, eq=False)
class Arm:
    """One arm against the control: who was treated, on which folds, predicted as what.

    Attributes
    ----------
    name : str
        The treatment, or ``treatment[arm]``.
    ids, treatment, weights, folds, blocks : array of shape (n,)
        ``blocks`` are codes of units that no fold parts.
    predicted : dict of str to array of shape (n,)
        Propensities out of fold by source.
    """

    name: str
    ids: npt.NDArray[Any]
    treatment: FloatArray
    weights: FloatArray
    folds: Codes
    blocks: Codes
    predicted: Mapping[str, FloatArray]


@result_type
@dataclass(frozen=True, eq=False)
class Assignment:
    """How well treatment is predicted from covariates, from features and from both, on the same folds.

    Made by :func:`eocausal.assignment`.

    Attributes
    ----------
    table : DataFrame
        Columns ``arm source measure estimate std_error conf_low conf_high``; sources are ``covariates``,
        ``features``, ``both`` and, for what the latter adds to the first, ``features given covariates``.
    arms : tuple of Arm
        Predictions of single units; one for each arm that is set against the control.
    warnings : tuple of str
    diagnostics, provenance : mapping
    """

    table: pd.DataFrame
    arms: tuple[Arm, ...]
    warnings: tuple[str, ...]
    diagnostics: Mapping[str, Any]
    provenance: Mapping[str, Any]

    @property
    def n(self) -> int:
        """Number of units that entered."""
        return int(np.unique(np.concatenate([arm.ids for arm in self.arms])).size)

    def to_frame(self) -> pd.DataFrame:
        """Return one row for each arm, source of predictions and measure."""
        return self.table.copy()

    def wide(self, arm: str | None = None) -> pd.DataFrame:
        """Return estimates of one arm, sources by measures; default the first arm."""
        rows = self.table[self.table["arm"] == self._arm(arm).name]
        made = rows.pivot_table(index="source", columns="measure", values="estimate", sort=False)
        return made.rename_axis(index=None, columns=None)

    def summary(self) -> str:
        """Return a text of at most 25 lines."""
        lines = [f"assignment of treatment, predicted out of fold  (n {self.n}, {self.diagnostics['folds']})"]
        for arm in self.arms[:3]:
            lines.append(f"{arm.name}: {int(arm.treatment.sum())} treated of {arm.treatment.size}")
            lines += self._printed(arm.name).to_string().splitlines()
        if len(self.arms) > 3:
            lines.append(f"... and {len(self.arms) - 3} more arms in .table")
        lines += [f"WARNING: {text}" for text in self.warnings[:4]]
        return "\n".join(lines[:25])

    def _printed(self, name: str) -> pd.DataFrame:
        rows = self.table[(self.table["arm"] == name) & self.table["measure"].isin(PRINTED)]
        shown = [
            f"{value:.3f} [{low:.3f}, {high:.3f}]" if np.isfinite(value) else "none"
            for value, low, high in zip(rows["estimate"], rows["conf_low"], rows["conf_high"])
        ]
        frame = rows.assign(shown=shown).pivot_table(
            index="source", columns="measure", values="shown", aggfunc="first", sort=False
        )
        return frame.rename_axis(index=None, columns=None).fillna("")

    def __repr__(self) -> str:
        """One line: the AUC of each source, for the first arm."""
        auc = self.table[(self.table["arm"] == self.arms[0].name) & (self.table["measure"] == "auc")]
        told = ", ".join(f"{row['source']} {row['estimate']:.3f}" for _, row in auc.iterrows())
        return f"Assignment(AUC of {self.arms[0].name}: {told}; n {self.n})"

    def to_dict(self, *, scores: bool = False) -> dict[str, Any]:
        """Return JSON-safe content; unit-level values only when ``scores`` is true."""
        content: dict[str, Any] = {
            "type": "Assignment",
            "table": jsonable(self.table.to_dict(orient="list")),
            "warnings": list(self.warnings),
            "diagnostics": jsonable(self.diagnostics),
            "provenance": jsonable(self.provenance),
        }
        if scores:
            arrays = ("ids", "treatment", "weights", "folds", "blocks")
            content["arms"] = [
                {
                    "name": arm.name,
                    **{name: getattr(arm, name).tolist() for name in arrays},
                    "predicted": {source: values.tolist() for source, values in arm.predicted.items()},
                }
                for arm in self.arms
            ]
        return content

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Assignment:
        """Rebuild the result that ``to_dict(scores=True)`` wrote."""
        if "arms" not in content:
            raise EvaluationError(
                explain(
                    "The content holds no predictions of units.", fix="write it with to_dict(scores=True)"
                )
            )
        arms = []
        for one in content["arms"]:
            treatment, weights = (np.array(one[name], dtype=float) for name in ("treatment", "weights"))
            folds, blocks = (np.array(one[name], dtype=np.intp) for name in ("folds", "blocks"))
            predicted = {name: np.array(values, dtype=float) for name, values in one["predicted"].items()}
            ids = np.array(one["ids"])
            arms.append(Arm(one["name"], ids, treatment, weights, folds, blocks, predicted))
        table = pd.DataFrame(content["table"])
        numbers = ["estimate", "std_error", "conf_low", "conf_high"]
        table[numbers] = table[numbers].astype(float)
        return cls(
            table, tuple(arms), tuple(content["warnings"]), content["diagnostics"], content["provenance"]
        )

    def plot(self, arm: str | None = None) -> Figure:
        """Draw ROC curves, reliability, and what features add to covariates, and return the figure.

        Parameters
        ----------
        arm : str, optional
            Of a treatment with several arms, which; default the first.
        """
        from eocausal.evaluate.assignment_figure import draw_assignment

        chosen = self._arm(arm)
        figure = new_figure(10.2, 3.7)
        draw_assignment(figure, chosen, self.table[self.table["arm"] == chosen.name])
        return figure

    def _arm(self, name: str | None) -> Arm:
        if name is None:
            return self.arms[0]
        names = [one.name for one in self.arms]
        return self.arms[names.index(one_of(name, names, argument="arm", error=EvaluationError))]
