"""`Corrected`: naive, LCC and Tweedie estimates side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
from scipy import optimize, stats

from eocausal.debiasing.corrector import Corrector
from eocausal.errors import DebiasError, explain
from eocausal.inference.contrast import contrast
from eocausal.inference.delegate import Delegated
from eocausal.inference.estimate import Estimate
from eocausal.inference.result_type import result_type
from eocausal.inference.vcov import VcovChoice

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# What is called none where predictions are corrected is naive where effects are.
_TERM_OF = {"none": "naive", "lcc": "lcc", "tweedie": "tweedie"}


@result_type
@dataclass(frozen=True, eq=False)
class Corrected:
    """Effects on a predicted outcome, as they are and corrected. Made by ``ec.ate(design, correct=corrector)``.

    ``estimate``, ``std_error`` and the other members of every result are those of three estimates: ``naive``,
    ``lcc`` and ``tweedie``. Their errors hold that of the calibration.

    Attributes
    ----------
    fit : Estimate
    corrector : Corrector
    """

    fit: Estimate
    corrector: Corrector

    estimand = Delegated("fit")
    method = Delegated("fit")
    terms = Delegated("fit")
    n = Delegated("fit")
    n_clusters = Delegated("fit")
    vcov = Delegated("fit")
    estimate = Delegated("fit")
    std_error = Delegated("fit")
    ci = Delegated("fit")
    p_value = Delegated("fit")
    scores = Delegated("fit")
    assumptions = Delegated("fit")
    warnings = Delegated("fit")
    diagnostics = Delegated("fit")
    provenance = Delegated("fit")
    to_frame = Delegated("fit")
    to_latex = Delegated("fit")

    @property
    def chosen(self) -> str:
        """The estimate that the corrector believes: ``naive``, ``lcc`` or ``tweedie``."""
        return _TERM_OF[self.corrector.method]

    @property
    def best(self) -> Estimate:
        """That estimate alone."""
        return contrast(self.fit, self.chosen)

    @property
    def farthest(self) -> str:
        """The corrected estimate at the other end of the interval from naive: that chosen, or else LCC's."""
        return "lcc" if self.chosen == "naive" else self.chosen

    def bounds(self, level: float = 0.95) -> tuple[float, float]:
        """Return an interval that holds the effect wherever it lies between naive and corrected.

        The effect is at the naive end where the outcome does not depend on treatment given the prediction, and at
        the other where the prediction does not depend on treatment given the outcome. Imbens and Manski (2004),
        Econometrica 72, equation (7), with the standard errors of both ends.

        Parameters
        ----------
        level : float
        """
        _require_level(level)
        ends = [self.fit.terms.index(name) for name in ("naive", self.farthest)]
        values = self.fit.values[ends]
        errors = np.sqrt(np.diag(self.fit.variance.matrix))[ends]
        order = np.argsort(values)
        (low, high), (low_error, high_error) = values[order], errors[order]
        largest = max(low_error, high_error)
        if largest == 0:
            return float(low), float(high)
        df, gap = self.fit.variance.df, (high - low) / largest

        def short(c: float) -> float:
            return float(stats.t.cdf(c + gap, df) - stats.t.cdf(-c, df) - level)

        c = optimize.brentq(short, 0.0, stats.t.ppf(0.5 + level / 2, df) + 1e-6)
        return float(low - c * low_error), float(high + c * high_error)

    def fieller(self, level: float = 0.95) -> tuple[float, float]:
        """Return Fieller's interval of the LCC estimate, right also where k is not known well.

        It holds the ratios ``r`` for which ``naive - r k`` is within its error of zero. Fieller (1954), JRSS B 16;
        the form of Buonaccorsi (2010), Measurement Error, section 4.

        Parameters
        ----------
        level : float

        Raises
        ------
        DebiasError
            k is not significantly different from zero, so that the interval has no ends.
        """
        _require_level(level)
        variance = self.fit.variance
        quantile = float(stats.t.ppf(0.5 + level / 2, variance.df)) ** 2
        naive, k = float(self.fit.values[0]), self.corrector.k
        of_naive, of_k = float(variance.matrix[0, 0]), self.corrector.std_errors["k"] ** 2
        square, product, constant = k**2 - quantile * of_k, naive * k, naive**2 - quantile * of_naive
        if square <= 0:
            raise DebiasError(
                explain(
                    f"k is {k:.3g} with a standard error of {np.sqrt(of_k):.2g}.",
                    rule="Fieller's interval has ends where k differs from zero at the same level",
                    fix="more places in the calibration",
                )
            )
        # the discriminant is positive wherever the leading coefficient is
        half = np.sqrt(product**2 - square * constant)
        return float((product - half) / square), float((product + half) / square)

    def table(self, level: float = 0.95) -> pd.DataFrame:
        """Return the estimates with where their errors come from.

        Columns ``term estimate std_error conf_low conf_high se_trial se_calibration times_naive believed``:
        ``se_trial`` is what the units of the study bring, ``se_calibration`` the calibration.
        """
        frame = self.fit.to_frame(level)[["term", "estimate", "std_error", "conf_low", "conf_high"]]
        total = np.diag(self.fit.variance.matrix)
        other = np.zeros(3) if self.fit.second is None else np.diag(self.fit.second.matrix)
        naive = self.fit.values[0]
        return frame.assign(
            se_trial=np.sqrt(np.maximum(total - other, 0.0)),
            se_calibration=np.sqrt(other),
            times_naive=self.fit.values / naive if naive else np.full(3, np.nan),
            believed=frame["term"] == self.chosen,
        )

    def with_vcov(self, vcov: VcovChoice) -> Self:
        """Return the same estimates with standard errors of the study made another way.

        As in :meth:`Estimate.with_vcov`; those of the calibration stay as they were.
        """
        return replace(self, fit=self.fit.with_vcov(vcov))

    def __repr__(self) -> str:
        """One line: the three estimates, and which is believed."""
        head = repr(self.fit).replace("Estimate(", "Corrected(", 1).removesuffix(")")
        return f"{head}; believed: {self.chosen})"

    def summary(self) -> str:
        """Return a text of at most 25 lines."""
        shown = self.table().to_string(index=False, float_format=lambda value: f"{value:.4f}")
        low, high = self.bounds()
        ends = f"between naive and {self.farthest}, 95%: {low:.4f} to {high:.4f}; believed: {self.chosen}"
        reasons = [f"reason: {text}" for text in self.corrector.reasons]
        return "\n".join([shown, ends, *reasons, *self.fit.summary().splitlines()[4:]][:25])

    def to_dict(self, *, scores: bool = False) -> dict[str, Any]:
        """Return JSON-safe content; unit-level values only when ``scores`` is true."""
        return {
            "type": "Corrected",
            "fit": self.fit.to_dict(scores=scores),
            "corrector": self.corrector.to_dict(),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Corrected:
        """Rebuild the result that ``to_dict(scores=True)`` wrote."""
        return cls(Estimate.from_dict(content["fit"]), Corrector.from_dict(content["corrector"]))

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the three estimates and the interval between naive and corrected, and return the Axes."""
        from eocausal.inference.tables import interval_plot

        ax = interval_plot(self.fit.to_frame(), ax=ax)
        low, high = self.bounds()
        ax.axvspan(low, high, color="#2f6690", alpha=0.12, zorder=0)
        ax.set_title(
            f"shaded: anywhere between naive and {self.farthest}; believed: {self.chosen}", fontsize=9
        )
        return ax


def _require_level(level: float) -> None:
    if not 0 < level < 1:
        raise DebiasError(explain(f"level={level} is not a confidence level.", rule="0 < level < 1"))
