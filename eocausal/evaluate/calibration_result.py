"""`Calibration`: do predicted effects have the right size, and do they differ as the true ones do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
from scipy import stats

from eocausal.inference.delegate import Answering
from eocausal.inference.estimate import Estimate
from eocausal.inference.result_type import result_type
from eocausal.inference.tables import interval_plot, jsonable
from eocausal.inference.vcov import VcovChoice

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MEAN, DIFFERENCES = "mean effect", "differences in effects"


@result_type
@dataclass(frozen=True, eq=False)
class Calibration(Answering):
    """The test of calibration. Made by :func:`eocausal.calibration`.

    ``estimate``, ``std_error`` and the other members of every result are those of two coefficients, in this order:

    ``mean effect``
        1 where the predicted effects are right on average.
    ``differences in effects``
        1 where predicted effects differ as much as true ones do; above 1 where they differ too little; 0 where what
        they say of who gains more is worth nothing.

    Attributes
    ----------
    fit : Estimate
    by_fold : DataFrame
        Columns ``fold n term estimate std_error share``: the regressions, and how much each counts.
    """

    fit: Estimate
    by_fold: pd.DataFrame

    def tests(self) -> pd.DataFrame:
        """Return the two hypotheses: ``term null alternative statistic p_value``.

        That the mean effect is 1, against being anything else, and that the differences are 0 or less, against
        being above: effects that are predicted the wrong way round are no evidence of heterogeneity. What could
        not be estimated in any fold has no statistic.
        """
        errors, nulls = np.sqrt(np.diag(self.fit.variance.matrix)), np.array([1.0, 0.0])
        counts = errors > 0
        above = self.fit.values - nulls
        p_values = np.array([float(np.ravel(self.fit.p_value(1.0))[0]), p_above(self.fit, 1)])
        return pd.DataFrame(
            {
                "term": self.fit.terms,
                "null": nulls,
                "alternative": ["two-sided", "greater"],
                "statistic": np.divide(above, errors, out=np.full(2, np.nan), where=counts),
                "p_value": np.where(counts, p_values, np.nan),
            }
        )

    def with_vcov(self, vcov: VcovChoice) -> Self:
        """Return the same coefficients with standard errors made another way, as in :meth:`Estimate.with_vcov`.

        The shares of the folds stay as they were.
        """
        return replace(self, fit=self.fit.with_vcov(vcov))

    def __repr__(self) -> str:
        """One line: the coefficients, and the p-value of the test for heterogeneity."""
        head = repr(self.fit).replace("Estimate(", "Calibration(", 1).removesuffix(")")
        return f"{head}; p {self.tests()['p_value'][1]:.3g} that effects do not differ as predicted)"

    def summary(self) -> str:
        """Return a text of at most 25 lines."""
        shown = self.tests().to_string(index=False, float_format=lambda value: f"{value:.4f}")
        return "\n".join([shown, *self.fit.summary().splitlines()][:25])

    def to_dict(self, *, scores: bool = False) -> dict[str, Any]:
        """Return JSON-safe content; unit-level values only when ``scores`` is true."""
        return {
            "type": "Calibration",
            "fit": self.fit.to_dict(scores=scores),
            "by_fold": jsonable(self.by_fold.to_dict(orient="list")),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Calibration:
        """Rebuild the result that ``to_dict(scores=True)`` wrote."""
        by_fold = pd.DataFrame(content["by_fold"])
        numbers = ["estimate", "std_error", "share"]
        by_fold[numbers] = by_fold[numbers].astype(float)
        return cls(Estimate.from_dict(content["fit"]), by_fold)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw both coefficients with 95% intervals, and the 1 that both should be, and return the Axes."""
        ax = interval_plot(self.fit.to_frame(), ax=ax)
        ax.axvline(1, color="#c55a11", linestyle="--", linewidth=1)
        ax.set_xlabel("coefficient with 95% interval; dashed: as predicted")
        return ax


def p_above(estimate: Estimate, term: int) -> float:
    """Return the one-sided p-value that a term is zero or less."""
    value, variance = float(estimate.values[term]), estimate.variance
    error = float(np.sqrt(variance.matrix[term, term]))
    if variance.reference is None:
        return 0.5 if value == 0 else float(stats.t.sf(value / error, variance.df))
    # of the draws where the null holds, those at least as far up as what was found, which counts as one more
    drawn = variance.reference.statistics(term, value)
    reached = int((drawn >= value / error).sum())
    more = 0 if variance.reference.exact else 1
    return (reached + more) / (drawn.size + more)
