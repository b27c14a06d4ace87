"""`GroupMeans`: how means of groups shrink on a map, and these means corrected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal.debiasing.group_moments import GroupLine, GroupSums
from eocausal.errors import DebiasError, explain
from eocausal.inference.delegate import Answering
from eocausal.inference.estimate import Estimate
from eocausal.inference.result_type import result_type
from eocausal.inference.tables import jsonable
from eocausal.inference.vcov import VcovChoice

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FloatArray = npt.NDArray[np.float64]


@result_type
@dataclass(frozen=True, eq=False)
class GroupMeans(Answering):
    """Means of groups on a map and measured. Made by :func:`eocausal.group_means`.

    ``estimate``, ``std_error`` and the other members of every result are those of ``k`` and ``m`` in
    ``prediction = m + k truth``, in this order.

    Attributes
    ----------
    fit : Estimate
    groups : DataFrame
        By group: ``n prediction truth prediction_var truth_var``, the variances being those of the errors of
        sampling.
    spread : float
        Variance of what predictions of groups miss of the line, without errors of sampling.
    label_noise_var : float
        What :func:`eocausal.debias` takes off the variance of measured means to find the same ``k``. Below 0,
        which it refuses, where predictions follow the truth more closely within groups than between them.
    """

    fit: Estimate
    groups: pd.DataFrame
    spread: float
    label_noise_var: float

    @classmethod
    def of(
        cls,
        estimate: Estimate,
        made: GroupLine,
        sums: GroupSums,
        *,
        by: str,
        about: Mapping[str, Any],
        provenance: Mapping[str, Any],
    ) -> Self:
        """Return the result of a line between groups."""
        table = pd.DataFrame(
            {
                "n": sums.n, "prediction": sums.prediction, "truth": sums.truth,
                "prediction_var": sums.prediction_var, "truth_var": sums.truth_var,
            },
            index=pd.Index(estimate.ids, name=by),
        )  # fmt: skip
        # moments over the number of groups, as a calibration takes them
        moments = np.cov(sums.prediction, sums.truth, ddof=0)
        spread = max(made.spread, 0.0)
        named: dict[str, Any] = {"diagnostics": {**about, "spread": spread}, "provenance": provenance}
        noise = float(moments[1, 1] - moments[0, 1] / made.k)
        return cls(replace(estimate, **named), table, spread, noise)

    @property
    def calibration(self) -> pd.DataFrame:
        """Means by group as a calibration for :func:`eocausal.debias`: ``prediction truth``."""
        return self.groups[["prediction", "truth"]].copy()

    def table(self) -> pd.DataFrame:
        """Return by group ``n prediction truth corrected std_error``, with the error of the corrected mean."""
        made = self.correct(self.groups["prediction"], sampling_var=self.groups["prediction_var"])
        return self.groups[["n", "prediction", "truth"]].join(made[["corrected", "std_error"]])

    def correct(
        self, predictions: npt.ArrayLike | pd.Series, *, sampling_var: npt.ArrayLike | pd.Series = 0.0
    ) -> pd.DataFrame:
        """Return predictions of groups, measured or not, brought to the scale of the truth, unclipped.

        Parameters
        ----------
        predictions : array or Series of shape (g,)
            Means of the map.
        sampling_var : float, array or Series of shape (g,)
            Variance of the error of these means, where they are of few places in a group. Default: none, as of
            means over whole districts.

        Returns
        -------
        DataFrame
            Columns ``prediction corrected std_error``. The error is that of ``corrected`` as a guess at the
            group's true mean: what the map misses of the group, errors of sampling, and the error of ``k`` and
            ``m``.

        Raises
        ------
        DebiasError
            Predictions or variances that are missing, infinite or negative, or variances of other groups.
        """
        values = np.atleast_1d(_plain(predictions, "predictions"))
        noise = _plain(sampling_var, "sampling_var")
        index = predictions.index if isinstance(predictions, pd.Series) else None
        _require_alike(values, noise, index, sampling_var)
        bad = ~(np.isfinite(values) & np.isfinite(noise) & (noise >= 0))
        if bad.any():
            where = np.flatnonzero(bad) if index is None else index[bad]
            raise DebiasError(
                explain("Predictions or variances are missing, infinite or negative.", where=where)
            )
        k, m = self.fit.values.tolist()
        corrected = (values - m) / k
        by = np.column_stack([-corrected, np.full(corrected.size, -1.0)]) / k
        of_line = np.einsum("gi,ij,gj->g", by, self.fit.variance.matrix, by)
        error = np.sqrt((self.spread + noise) / k**2 + of_line)
        return pd.DataFrame({"prediction": values, "corrected": corrected, "std_error": error}, index=index)

    def with_vcov(self, vcov: VcovChoice) -> Self:
        """Return the same line with standard errors made another way, as in :meth:`Estimate.with_vcov`."""
        return replace(self, fit=self.fit.with_vcov(vcov))

    def __repr__(self) -> str:
        """One line: the line, and on how many groups."""
        return repr(self.fit).replace("Estimate(", "GroupMeans(", 1)

    def summary(self) -> str:
        """Return a text of at most 25 lines."""
        return self.fit.summary()

    def to_dict(self, *, scores: bool = False) -> dict[str, Any]:
        """Return JSON-safe content; values of single groups only when ``scores`` is true."""
        content: dict[str, Any] = {"type": "GroupMeans", "fit": self.fit.to_dict(scores=scores)}
        content |= {"spread": self.spread, "label_noise_var": self.label_noise_var}
        if scores:
            content["by"] = self.groups.index.name
            content["groups"] = jsonable(self.groups.to_dict(orient="list"))
        return content

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Rebuild the result that ``to_dict(scores=True)`` wrote."""
        fit = Estimate.from_dict(content["fit"])
        groups = pd.DataFrame(content["groups"], index=pd.Index(fit.ids, name=content["by"]))
        return cls(fit, groups, content["spread"], content["label_noise_var"])

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw measured against predicted means with the line, and return the Axes."""
        from matplotlib import pyplot as plt

        if ax is None:
            _, ax = plt.subplots(figsize=(5, 4.5), layout="constrained")
        truth, predicted = self.groups["truth"].to_numpy(), self.groups["prediction"].to_numpy()
        error = 1.96 * np.sqrt(self.groups["truth_var"].to_numpy())
        k, m = self.fit.values.tolist()
        ends = np.array([truth.min(), truth.max()])
        look: dict[str, Any] = {"fmt": "o", "color": "#1f4e79", "ecolor": "0.75", "markersize": 4}
        ax.errorbar(truth, predicted, xerr=error, linewidth=0.8, **look)
        ax.plot(ends, ends, color="0.6", linewidth=0.8, linestyle="--", label="as measured")
        ax.plot(ends, m + k * ends, color="#c55a11", linewidth=1.5, label=f"k = {k:.2f}")
        ax.set_xlabel(f"measured mean of {self.groups.index.name}, with 95% interval")
        ax.set_ylabel("mean on the map")
        ax.legend(frameon=False)
        return ax


def _plain(given: npt.ArrayLike | pd.Series, name: str) -> FloatArray:
    """Return numbers of any shape, with NaN where they are masked, or raise DebiasError where they are none."""
    try:
        if isinstance(given, np.ma.MaskedArray):
            return np.asarray(np.ma.filled(given.astype(float), np.nan))
        return np.asarray(given, dtype=float)
    except (TypeError, ValueError) as cause:
        raise DebiasError(explain(f"{name} are not numbers.", rule=str(cause)[:100])) from cause


def _require_alike(values: FloatArray, noise: FloatArray, index: pd.Index | None, given: object) -> None:
    """Raise unless variances (one, or one each) are those of the groups that predictions (g,) are of."""
    if values.ndim != 1 or noise.shape not in ((), values.shape):
        text = f"There are predictions of shape {values.shape} and variances of shape {noise.shape}."
        raise DebiasError(explain(text, rule="one prediction and one variance for each group"))
    if index is not None and isinstance(given, pd.Series) and not index.equals(given.index):
        text = "Predictions and variances are of other groups, or in another order."
        raise DebiasError(explain(text, fix="sampling_var.reindex(predictions.index)"))
