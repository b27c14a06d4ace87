"""`DoseResponse`: mean outcomes by dose, their slopes, and the curve through them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eocausal.errors import EstimationError, explain
from eocausal.inference.contrast import combined
from eocausal.inference.delegate import Answering, Delegated
from eocausal.inference.estimate import Estimate
from eocausal.inference.result_type import result_type
from eocausal.inference.vcov import VcovChoice

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FloatArray = npt.NDArray[np.float64]

# So many digits tell any two different numbers apart.
EXACT_DIGITS = 17


def dose_names(doses: FloatArray, *, digits: int) -> list[str]:
    """Return doses (k,) as text, to so many digits, or as many more as it takes to tell them apart.

    Examples
    --------
    >>> dose_names(np.array([0.5, 20.0]), digits=4), dose_names(np.array([123400.0, 123401.0]), digits=4)
    (['0.5', '20'], ['123400', '123401'])
    """
    names = [f"{dose:.{digits}g}" for dose in doses]
    exact = digits >= EXACT_DIGITS or len(set(names)) == len(names)
    return names if exact else dose_names(doses, digits=digits + 1)


@result_type
@dataclass(frozen=True, eq=False)
class DoseResponse(Answering):
    """Mean outcomes if all units got a dose, for several doses. Made by :func:`eocausal.dose_response`.

    Attributes
    ----------
    curve : Estimate
        One term for each dose, in rising order, with joint influence values.
    doses : array of shape (k,)
    got, weights : array of shape (n,)
        The doses that units got, and their sampling weights.

    Examples
    --------
    >>> import numpy as np, pandas as pd, eocausal as ec
    >>> rng = np.random.default_rng(1)
    >>> table = pd.DataFrame({"rain": rng.normal(size=300)})
    >>> table["yield"] = 2 * table["rain"] + rng.normal(size=300)
    >>> design = ec.Design(table, outcome="yield", treatment="rain", treatment_type="continuous")
    >>> curve = ec.dose_response(design, doses=[-1, 0, 1])
    >>> curve.slopes().terms, curve.average_slope().terms
    (('-1 to 0', '0 to 1'), ('average slope',))
    """

    curve: Estimate
    doses: FloatArray
    got: FloatArray
    weights: FloatArray

    answered_by = "curve"
    summary = Delegated("curve")

    def __repr__(self) -> str:
        """One line: over which doses, from which mean outcome to which."""
        values = self.curve.values
        return (
            f"DoseResponse({self.n} units, {self.doses.size} doses from {self.doses[0]:.4g} to "
            f"{self.doses[-1]:.4g}, mean outcome {values[0]:.4g} to {values[-1]:.4g}, vcov {self.curve.vcov})"
        )

    def with_vcov(self, vcov: VcovChoice) -> DoseResponse:
        """Return the same curve with standard errors made another way, as in :meth:`Estimate.with_vcov`."""
        return replace(self, curve=self.curve.with_vcov(vcov))

    def slopes(self) -> Estimate:
        """Return the slope between each dose and the next: differences over steps, with joint standard errors.

        Raises
        ------
        EstimationError
            There is one dose alone.
        """
        names = dose_names(self.doses, digits=4)
        return combined(
            self.curve,
            self._differences(),
            tuple(f"{low} to {high}" for low, high in pairwise(names)),
            estimand="slope",
        )

    def average_slope(self) -> Estimate:
        """Return the average of the slopes, each weighed by how many units got a dose between its ends.

        It is the average derivative by finite differences, over the units between the first and the last dose,
        each counted with its sampling weight. Those weights are taken as given.

        Raises
        ------
        EstimationError
            There is one dose alone, or no unit got a dose between the first and the last.
        """
        differences = self._differences()
        counts, _ = np.histogram(self.got, bins=self.doses, weights=self.weights)
        if not counts.sum():
            raise EstimationError(explain("No unit got a dose between the first and the last."))
        weights = differences @ (counts / counts.sum())
        return combined(self.curve, weights[:, None], ("average slope",), estimand="average derivative")

    def _differences(self) -> FloatArray:
        """Return the matrix (k, k - 1) that turns mean outcomes into slopes between neighbours."""
        if self.doses.size < 2:
            raise EstimationError(explain("There is one dose, so no slope.", fix="doses=[low, high]"))
        steps = np.diff(self.doses)
        return np.asarray((np.eye(self.doses.size)[:, 1:] - np.eye(self.doses.size)[:, :-1]) / steps)

    def to_dict(self, *, scores: bool = False) -> dict[str, Any]:
        """Return JSON-safe content; unit-level values only when ``scores`` is true."""
        content = {
            "type": "DoseResponse", "curve": self.curve.to_dict(scores=scores), "doses": self.doses.tolist()
        }  # fmt: skip
        by_unit = {"got": self.got.tolist(), "weights": self.weights.tolist()}
        return content | (by_unit if scores else {})

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> DoseResponse:
        """Rebuild the result that ``to_dict(scores=True)`` wrote."""
        curve = Estimate.from_dict(content["curve"])
        got, weights = (np.array(content[name], dtype=float) for name in ("got", "weights"))
        return cls(curve, np.array(content["doses"], dtype=float), got, weights)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the curve with 95% intervals at each dose, and below it the doses that units got."""
        if ax is None:
            from matplotlib import pyplot as plt

            _, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
        bounds = np.asarray(self.curve.ci()).reshape(-1, 2)
        ax.fill_between(self.doses, bounds[:, 0], bounds[:, 1], color="#7fa6c9", alpha=0.35, linewidth=0)
        ax.plot(self.doses, self.curve.values, "o-", color="#1f4e79", label="mean outcome with 95% interval")
        shown = (self.got >= self.doses[0]) & (self.got <= self.doses[-1])
        ax.plot(
            self.got[shown], np.full(int(shown.sum()), 0.02), "|",
            color="0.4", alpha=0.4, transform=ax.get_xaxis_transform(), label="doses that units got",
        )  # fmt: skip
        ax.set_xlabel("dose")
        ax.set_ylabel("mean outcome")
        ax.legend(frameon=False)
        return ax
