"""`DebiasedBootstrap`: what an estimator gives of predictions and labels, with the draws it varies over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from eocausal._checks import one_of, require_level
from eocausal.errors import EstimationError, explain
from eocausal.inference.result_type import result_type
from eocausal.inference.tables import BROOM, interval_plot, jsonable, summary_text
from eocausal.labelled.ppi_result import CLASSICAL

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FloatArray = npt.NDArray[np.float64]
Kind = Literal["percentile", "normal"]

KINDS = ("percentile", "normal")
METHOD = "predict then debias"


@result_type
@dataclass(frozen=True, eq=False)
class DebiasedBootstrap:
    """An estimate by predictions and labels, with its draws. Made by :func:`eocausal.predict_then_debias`.

    An estimator of which nothing is known has no influence values: clusters are chosen before, in ``Resampling``,
    and there is no ``with_vcov``.

    Attributes
    ----------
    estimand : str
    terms : tuple of str, length k
    parts : array of shape (3, k)
        What the estimator gave of the truth, of predictions of units with labels, and of predictions of the others.
    draws : array of shape (draws, 3, k)
        The same in each draw.
    omega : array of shape (k, k)
        What the gap between predictions with labels and without is multiplied by.
    tuned : int
        How many numbers of Omega were fitted for each coefficient.
    factor : float
        What the variance of draws is multiplied by, for few clusters.
    n : int
    n_clusters : int or None
    assumptions, warnings : tuple of str
    diagnostics, provenance : mapping
    """

    estimand: str
    terms: tuple[str, ...]
    parts: FloatArray
    draws: FloatArray
    omega: FloatArray
    tuned: int
    factor: float
    n: int
    n_clusters: int | None = None
    assumptions: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    diagnostics: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    method = METHOD

    @property
    def values(self) -> FloatArray:
        """The estimates (k,)."""
        return _rectified(self.parts, self.omega)

    @property
    def drawn(self) -> FloatArray:
        """The estimates in each draw (draws, k), with Omega as it is."""
        return _rectified(np.moveaxis(self.draws, 1, 0), self.omega)

    @property
    def covariance(self) -> FloatArray:
        """Covariance (k, k) of the estimates over draws, less what was fitted for Omega, times the factor."""
        return _spread(self.drawn, self.tuned, self.factor)

    @property
    def estimate(self) -> float | FloatArray:
        """The estimate: a float for one term, else an array in the order of ``terms``."""
        return _scalar_or_array(self.values)

    @property
    def std_error(self) -> float | FloatArray:
        """The standard error: a float for one term, else an array."""
        return _scalar_or_array(np.sqrt(np.diag(self.covariance)))

    def ci(self, level: float = 0.95, kind: Kind = "percentile") -> tuple[float, float] | FloatArray:
        """Return the interval, (low, high) for one term, else an array of shape (k, 2).

        ``percentile``: quantiles of the draws. ``normal``: the estimate and standard errors.
        """
        bounds = self._bounds(level, kind)
        return (float(bounds[0, 0]), float(bounds[0, 1])) if len(self.terms) == 1 else bounds

    def p_value(self, null: float = 0.0, kind: Kind = "percentile") -> float | FloatArray:
        """Return the two-sided p-value that the estimand equals ``null``: by draws on either side of it, or normal.

        Of draws, what was found counts as one more.
        """
        one_of(kind, KINDS, argument="kind", error=EstimationError)
        if kind == "normal":
            errors = np.sqrt(np.diag(self.covariance))
            with np.errstate(divide="ignore", invalid="ignore"):
                found = np.where(self.values == null, 0.0, np.abs(self.values - null) / errors)
            return _scalar_or_array(np.asarray(2 * stats.norm.sf(found)))
        sides = np.array([(self.drawn <= null).sum(axis=0), (self.drawn >= null).sum(axis=0)])
        return _scalar_or_array(np.minimum(2 * (1 + sides.min(axis=0)) / (1 + len(self.draws)), 1.0))

    def to_frame(self, level: float = 0.95, kind: Kind = "percentile") -> pd.DataFrame:
        """Return one row per term with broom's columns (see ``docs/conventions.md``)."""
        return self._frame(self.values, np.sqrt(np.diag(self.covariance)), METHOD).assign(
            p_value=self.p_value(kind=kind),
            **dict(zip(("conf_low", "conf_high"), self._bounds(level, kind).T)),
        )

    def table(self) -> pd.DataFrame:
        """Return predictions alone (units without labels), labels alone and both, term by term.

        Broom's columns with normal intervals, and ``worth_labels``: how many labels alone would be as precise.
        """
        alone = {
            "predictions": (self.parts[2], _spread(self.draws[:, 2], 0, self.factor)),
            CLASSICAL: (self.parts[0], _spread(self.draws[:, 0], 0, self.factor)),
            METHOD: (self.values, self.covariance),
        }
        frames = [
            self._frame(values, np.sqrt(np.diag(matrix)), name) for name, (values, matrix) in alone.items()
        ]
        for frame in frames[1:]:
            ratio = frames[1]["std_error"] / frame["std_error"]
            frame["worth_labels"] = self.diagnostics["n_labelled"] * ratio**2
        frames[0]["worth_labels"] = np.nan
        joined = pd.concat(frames, ignore_index=True)
        by_term = np.arange(len(joined)).reshape(len(frames), -1).T.ravel()
        return joined.iloc[by_term].reset_index(drop=True)

    def __repr__(self) -> str:
        """One line: the estimates, how sure, and of how many draws."""
        errors = np.sqrt(np.diag(self.covariance))
        shown = ", ".join(
            f"{term} {value:.4g} (se {error:.3g})"
            for term, value, error in zip(self.terms, self.values, errors)
        )
        noted = f", {len(self.warnings)} warning{'s' * (len(self.warnings) != 1)}" if self.warnings else ""
        labels = f"{self.diagnostics['n_labelled']} labels" if "n_labelled" in self.diagnostics else ""
        return f"DebiasedBootstrap({self.estimand}: {shown}; n {self.n}, {labels}, {len(self.draws)} draws{noted})"

    def summary(self) -> str:
        """Return a text of at most 25 lines."""
        made = f"standard errors: {len(self.draws)} draws, factor {self.factor:.5f}; intervals: their percentiles"
        return summary_text(self.to_frame(), made, self.diagnostics, self.assumptions, self.warnings)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw predictions alone, labels alone and both with 95% intervals, and return the Axes."""
        frame = self.table()
        frame["term"] = frame["term"] + ", " + frame["method"]
        return interval_plot(frame, ax=ax)

    def to_dict(self, *, scores: bool = False) -> dict[str, Any]:
        """Return JSON-safe content; the draws only when ``scores`` is true."""
        content = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "draws"}
        drawn = {"draws": self.draws.tolist()} if scores else {}
        errors = np.sqrt(np.diag(self.covariance))
        return {
            "type": "DebiasedBootstrap", **jsonable(content), "values": self.values.tolist(),
            "std_errors": errors.tolist(), **drawn,
        }  # fmt: skip

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> DebiasedBootstrap:
        """Rebuild the result that ``to_dict(scores=True)`` wrote.

        Raises
        ------
        EstimationError
            The content holds no draws.
        """
        if "draws" not in content:
            raise EstimationError(
                explain("The content holds no draws.", fix="write it with to_dict(scores=True)")
            )
        fields = {name: content[name] for name in cls.__dataclass_fields__}
        for name in ("parts", "draws", "omega"):
            fields[name] = np.array(fields[name], dtype=float)
        for name in ("terms", "assumptions", "warnings"):
            fields[name] = tuple(fields[name])
        return cls(**fields)

    def _bounds(self, level: float, kind: str) -> FloatArray:
        one_of(kind, KINDS, argument="kind", error=EstimationError)
        require_level(level, error=EstimationError)
        if kind == "percentile":
            return np.quantile(self.drawn, [0.5 - level / 2, 0.5 + level / 2], axis=0).T
        half = stats.norm.ppf(0.5 + level / 2) * np.sqrt(np.diag(self.covariance))
        return np.column_stack([self.values - half, self.values + half])

    def _frame(self, values: FloatArray, errors: FloatArray, method: str) -> pd.DataFrame:
        with np.errstate(divide="ignore", invalid="ignore"):
            statistic = np.where(values == 0, 0.0, values / errors)
        half = stats.norm.ppf(0.975) * errors
        frame = pd.DataFrame(
            {
                "term": list(self.terms), "estimand": self.estimand, "estimate": values, "std_error": errors,
                "statistic": statistic, "p_value": 2 * stats.norm.sf(np.abs(statistic)), "conf_low": values - half,
                "conf_high": values + half, "n": self.n, "n_clusters": self.n_clusters, "method": method,
            }
        )  # fmt: skip
        frame["n_clusters"] = frame["n_clusters"].astype("Int64")
        return frame[list(BROOM)]


def _rectified(parts: FloatArray, omega: FloatArray) -> FloatArray:
    """Return ``truth - Omega (seen - other)`` of parts (3, ..., k)."""
    return np.asarray(parts[0] - (parts[1] - parts[2]) @ omega.T)


def _spread(drawn: FloatArray, tuned: int, factor: float) -> FloatArray:
    """Return the covariance (k, k) of draws (draws, k) over ``draws - 1 - tuned``, times the factor."""
    centred = drawn - drawn.mean(axis=0)
    return np.asarray(factor * centred.T @ centred / (len(drawn) - 1 - tuned))


def _scalar_or_array(values: FloatArray) -> float | FloatArray:
    return float(values[0]) if values.size == 1 else values
