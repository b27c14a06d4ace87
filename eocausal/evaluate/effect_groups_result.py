"""`EffectGroups`: average effects of units by predicted effect, and what these units look like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal.inference.delegate import Answering, Delegated
from eocausal.inference.estimate import Estimate
from eocausal.inference.result_type import result_type
from eocausal.inference.simultaneous import band_factor, equality_p
from eocausal.inference.tables import jsonable
from eocausal.inference.vcov import VcovChoice

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from eocausal.design import Design
    from eocausal.evaluate.clan_result import Clan
    from eocausal.evaluate.unit_tables import UnitTable

FloatArray = npt.NDArray[np.float64]

MOST_LEAST = "most - least"
# Group averages nearer to one another than this share of them are one number.
_ROUNDING = 1e-12


def group_terms(count: int) -> tuple[str, ...]:
    """Return the names of groups, those predicted to gain least first.

    Examples
    --------
    >>> group_terms(3)
    ('group 1 (least)', 'group 2', 'group 3 (most)')
    """
    ends = {1: " (least)", count: " (most)"}
    return tuple(f"group {one}{ends.get(one, '')}" for one in range(1, count + 1))


@result_type
@dataclass(frozen=True, eq=False)
class EffectGroups(Answering):
    """Sorted group average effects. Made by :func:`eocausal.groups`.

    ``estimate``, ``std_error`` and the other members of every result are those of the average effect in each group,
    the group predicted to gain least first, and of the difference of the last and the first.

    Attributes
    ----------
    gates : Estimate
        With joint influence values.
    predicted : array of shape (k,)
        Mean predicted effect in each group.
    effects, folds, weights : array of shape (n,)
        By what units were ranked within which fold.
    image_keys : array of shape (n,)
    design : Design or None
        For the columns that :meth:`clan` is asked for by name. Not part of ``to_dict``.
    """

    gates: Estimate
    predicted: FloatArray
    effects: FloatArray
    folds: npt.NDArray[np.intp]
    weights: FloatArray
    image_keys: npt.NDArray[Any]
    design: Design | None = field(default=None, repr=False)

    answered_by = "gates"
    ids = Delegated("gates")

    @property
    def k(self) -> int:
        """Number of groups."""
        return int(self.predicted.size)

    def table(self, level: float = 0.95) -> pd.DataFrame:
        """Return one row for each group.

        Columns ``group predicted estimate std_error conf_low conf_high band_low band_high monotone``. The band
        covers all groups at once. ``monotone`` are the estimates in rising order: where true averages rise from
        group to group, these are nearer to them (Chernozhukov, Fernández-Val and Galichon 2009, Biometrika 96).
        """
        values, matrix = self.gates.values[: self.k], self.gates.variance.matrix[: self.k, : self.k]
        bounds = np.asarray(self.gates.ci(level))[: self.k]
        half = self._band_factor(level) * np.sqrt(np.diag(matrix))
        return pd.DataFrame(
            {
                "group": list(self.gates.terms[: self.k]), "predicted": self.predicted, "estimate": values,
                "std_error": np.sqrt(np.diag(matrix)), "conf_low": bounds[:, 0], "conf_high": bounds[:, 1],
                "band_low": values - half, "band_high": values + half, "monotone": np.sort(values),
            }
        )  # fmt: skip

    def _band_factor(self, level: float) -> float:
        matrix = self.gates.variance.matrix[: self.k, : self.k]
        return band_factor(matrix, df=self.gates.variance.df, level=level)

    @cached_property
    def equality_p(self) -> float:
        """The p-value that all groups have the same average effect."""
        matrix = self.gates.variance.matrix[: self.k, : self.k]
        return equality_p(self.gates.values[: self.k], matrix, df=self.gates.variance.df)

    @property
    def calibration_r2(self) -> float:
        """How much nearer predicted effects are to the average effects of groups than one effect for all is.

        One less the mean distance of group averages to the mean predicted effect, over that to the average effect:
        1 where predictions are right, 0 where they are no better than one effect for all, below 0 where they are
        worse, and not a number where groups do not differ at all. Noise in the group averages pulls it towards 0.
        Dwivedi and others (2020), International Statistical Review 88.
        """
        values = self.gates.values[: self.k]
        apart = float(np.abs(values - values.mean()).sum())
        if apart <= _ROUNDING * float(np.abs(values).sum()):
            return float("nan")
        return 1 - float(np.abs(values - self.predicted).sum()) / apart

    def with_vcov(self, vcov: VcovChoice) -> Self:
        """Return the same groups with standard errors made another way, as in :meth:`Estimate.with_vcov`."""
        return replace(self, gates=self.gates.with_vcov(vcov))

    def clan(self, table: UnitTable, *, by: str | None = None, seed: int = 0) -> Clan:
        """Compare what the most and the least affected units look like, column by column.

        Parameters
        ----------
        table : DataFrame, Series, Embeddings or list of str
            Columns by unit id or by image key: covariates, and what the pictures show, such as shares of land
            cover, indices of vegetation and of built-up land, night lights, or
            ``ec.embed(chips, encoder="image_stats")``; or names of columns of the design's table. Text becomes one
            0/1 column for each of its levels.
        by : {"id", "image_key"}, optional
            What the index of the table holds, where it could be either.
        seed : int
            For the draws of the p-values that allow for many columns.

        Returns
        -------
        Clan
            Averages by group, and the difference of the last and the first group, with standard errors of the kind
            that these groups have.

        Raises
        ------
        EvaluationError
            A table that lacks units or values, or columns that repeat.
        """
        from eocausal.evaluate.clan import compare_groups

        return compare_groups(self, table, by=by, seed=seed)

    def __repr__(self) -> str:
        """One line: from which average to which, and how sure the difference is."""
        values, errors = self.gates.values, np.sqrt(np.diag(self.gates.variance.matrix))
        return (
            f"EffectGroups({self.k} groups of {self.n} units, average effects {values[0]:.4g} (least) to "
            f"{values[self.k - 1]:.4g} (most), difference {values[-1]:.4g} (se {errors[-1]:.3g}), vcov {self.vcov})"
        )

    def summary(self) -> str:
        """Return a text of at most 25 lines."""
        told = f"all groups alike: p {self.equality_p:.4g}; calibration R2 {self.calibration_r2:.3f}"
        return "\n".join([told, *self.gates.summary().splitlines()][:25])

    def to_dict(self, *, scores: bool = False) -> dict[str, Any]:
        """Return JSON-safe content; unit-level values only when ``scores`` is true."""
        content: dict[str, Any] = {
            "type": "EffectGroups",
            "gates": self.gates.to_dict(scores=scores),
            "predicted": jsonable(self.predicted),
            "equality_p": jsonable(self.equality_p),
            "calibration_r2": jsonable(self.calibration_r2),
        }
        return content | ({name: getattr(self, name).tolist() for name in _UNIT_FIELDS} if scores else {})

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> EffectGroups:
        """Rebuild the result that ``to_dict(scores=True)`` wrote."""
        return cls(
            Estimate.from_dict(content["gates"]),
            np.array(content["predicted"], dtype=float),
            np.array(content["effects"], dtype=float),
            np.array(content["folds"]),
            np.array(content["weights"], dtype=float),
            np.array(content["image_keys"]),
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the average effect of each group with 95% intervals and band, predictions hollow."""
        if ax is None:
            from matplotlib import pyplot as plt

            _, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
        table, at = self.table(), np.arange(1, self.k + 1)
        average = float(self.gates.values[: self.k].mean())
        ax.axhline(0, color="0.6", linewidth=0.8)
        ax.axhline(average, color="#c55a11", linewidth=1, linestyle="--", label="average effect")
        ax.vlines(at, table["band_low"], table["band_high"], color="#7fa6c9", linewidth=6, alpha=0.5,
                  label="95% band for all groups")  # fmt: skip
        ax.vlines(at, table["conf_low"], table["conf_high"], color="#1f4e79", linewidth=1.6)
        ax.plot(
            at, table["estimate"], "o", color="#1f4e79", label="average effect in the group, 95% interval"
        )
        ax.plot(at + 0.12, self.predicted, "D", color="#1f4e79", markerfacecolor="white", markersize=5,
                label="predicted")  # fmt: skip
        ax.set_xticks(at)
        ax.set_xlim(0.4, self.k + 0.7)
        ax.set_xlabel("group by predicted effect, 1 the least")
        ax.set_ylabel("effect")
        low, high = ax.get_ylim()
        ax.set_ylim(low, high + 0.3 * (high - low))
        # averages rise from left to right, which leaves this corner
        ax.legend(frameon=False, fontsize="small", loc="upper left")
        return ax


_UNIT_FIELDS = ("effects", "folds", "weights", "image_keys")
