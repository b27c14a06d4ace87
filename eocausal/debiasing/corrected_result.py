"""`Corrected`: naive, LCC and Tweedie estimates side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import optimize, stats

from eocausal._checks import require_level
from eocausal.debiasing.corrector import LCC, NAIVE, TWEEDIE, Corrector
from eocausal.errors import DebiasError, explain
from eocausal.inference.contrast import combined
from eocausal.inference.delegate import Answering
from eocausal.inference.estimate import Estimate
from eocausal.inference.ratio import fieller
from eocausal.inference.result_type import result_type
from eocausal.inference.vcov import VcovChoice

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from eocausal.debiasing.predicted_study import PredictedStudy
    from eocausal.debiasing.refit import RefitBootstrap

FloatArray = npt.NDArray[np.float64]

# What is called none where predictions are corrected is naive where effects are.
_KIND_OF = {"none": NAIVE, "lcc": LCC, "tweedie": TWEEDIE}

# Lines of a summary, and rows of its table.
_LINES, _ROWS = 25, 8


@result_type
@dataclass(frozen=True, eq=False)
class Corrected(Answering):
    """Effects on a predicted outcome, as they are and corrected. Made by ``ec.ate(design, correct=corrector)``.

    ``estimate``, ``std_error`` and the other members of every result are those of three estimates: ``naive``,
    ``lcc`` and ``tweedie``. Their errors hold that of the calibration. Of several effects, as of an event study,
    each stands there three times: ``naive: event 0``, ..., ``lcc: event 0``, ...

    Attributes
    ----------
    fit : Estimate
    corrector : Corrector
    of : tuple of str, length k
        What the effects are called where they are not corrected.
    source : (Corrector, PredictedStudy) or None
        What :meth:`refit_bootstrap` draws from. Not part of ``to_dict``.
    """

    fit: Estimate
    corrector: Corrector
    of: tuple[str, ...]
    source: tuple[Corrector, PredictedStudy] | None = field(default=None, repr=False)

    @property
    def chosen(self) -> str:
        """The estimate that the corrector believes: ``naive``, ``lcc`` or ``tweedie``."""
        return _KIND_OF[self.corrector.method]

    @property
    def best(self) -> Estimate:
        """That estimate alone: what :func:`eocausal.compare`, ``pretrends`` and ``event_plot`` take."""
        rows = self._rows(self.chosen)
        weights = np.zeros((len(self.fit.terms), len(rows)))
        weights[rows, np.arange(len(rows))] = 1.0
        alone = len(self.of) == 1
        return combined(self.fit, weights, (self.chosen,) if alone else self.of)

    @property
    def farthest(self) -> str:
        """The corrected estimate at the other end of the interval from naive: that chosen, or else LCC's."""
        return LCC if self.chosen == NAIVE else self.chosen

    def bounds(self, level: float = 0.95) -> tuple[float, float] | FloatArray:
        """Return an interval that holds the effect wherever it lies between naive and corrected.

        The effect is at one end where errors of predictions do not depend on treatment given the prediction, at the
        other where they do not depend on it given the truth, and between them in between. Imbens and Manski (2004),
        Econometrica 72, equation (7), with the standard errors of both ends and of the gap between them, which
        small effects do not tell from zero.

        Parameters
        ----------
        level : float

        Returns
        -------
        (float, float) or array of shape (k, 2)
        """
        require_level(level, error=DebiasError)
        df, matrix = self.fit.variance.df, self.fit.variance.matrix
        found = np.array(
            [
                imbens_manski(self.fit.values[ends], matrix[np.ix_(ends, ends)], df=df, level=level)
                for ends in np.transpose([self._rows(NAIVE), self._rows(self.farthest)])
            ]
        )
        return found if len(self.of) > 1 else (float(found[0, 0]), float(found[0, 1]))

    def fieller(self, level: float = 0.95) -> tuple[float, float] | FloatArray:
        """Return Fieller's interval of the LCC estimate, right also where k is not known well.

        It holds the ratios ``r`` for which ``naive - r k`` is within its error of zero. Fieller (1954), JRSS B 16;
        the form of Buonaccorsi (2010), Measurement Error, section 4.

        Parameters
        ----------
        level : float

        Returns
        -------
        (float, float) or array of shape (k, 2)

        Raises
        ------
        DebiasError
            k is not significantly different from zero, so that the interval has no ends.
        """
        require_level(level, error=DebiasError)
        variance, k = self.fit.variance, self.corrector.k
        critical = float(stats.t.ppf(0.5 + level / 2, variance.df))
        of_k = self.corrector.std_errors["k"]
        if k <= critical * of_k:
            raise DebiasError(
                explain(
                    f"k is {k:.3g} with a standard error of {of_k:.2g}.",
                    rule="Fieller's interval has ends where k differs from zero at the same level",
                    fix="more places in the calibration",
                )
            )
        rows = self._rows(NAIVE)
        sets = [
            fieller(
                float(self.fit.values[row]),
                k,
                np.diag([variance.matrix[row, row], of_k**2]),
                critical=critical,
            )
            for row in rows
        ]
        ends = [(one.low, one.high) for one in sets]
        return np.array(ends) if len(rows) > 1 else ends[0]

    def refit_bootstrap(self, *, draws: int = 200, seed: int = 0, progress: bool = False) -> RefitBootstrap:
        """Draw the study and the calibration anew, each by itself, and correct again in every draw.

        Whole clusters are drawn, those of the standard errors here, each as often as it is drawn; slopes, noise,
        density and effect are fitted anew. It checks the standard errors by formula, and needs no formula.

        Parameters
        ----------
        draws : int
        seed : int
        progress : bool
            Show a progress bar.

        Returns
        -------
        RefitBootstrap

        Raises
        ------
        DebiasError
            The result was read from a file, the corrector was, standard errors are of several kinds of clusters or
            by distance, or too many draws cannot be estimated.
        """
        from eocausal.debiasing.refit import refit_bootstrap

        if self.source is None:
            raise DebiasError(
                explain(
                    "This result was read from a file and holds no study to draw from.",
                    fix="ec.ate(design, correct=corrector) again",
                )
            )
        return refit_bootstrap(self, *self.source, draws=draws, seed=seed, progress=progress)

    def table(self, level: float = 0.95) -> pd.DataFrame:
        """Return the estimates with where their errors come from.

        Columns ``term estimate std_error conf_low conf_high se_trial se_calibration times_naive believed``:
        ``se_trial`` is what the units of the study bring, ``se_calibration`` the calibration.
        """
        frame = self.fit.to_frame(level)[["term", "estimate", "std_error", "conf_low", "conf_high"]]
        total = np.diag(self.fit.variance.matrix)
        other = np.zeros(total.size) if self.fit.second is None else np.diag(self.fit.second.matrix)
        naive = np.tile(self.fit.values[self._rows(NAIVE)], len(self.corrector.kinds))
        believed = np.zeros(total.size, dtype=bool)
        believed[self._rows(self.chosen)] = True
        return frame.assign(
            se_trial=np.sqrt(np.maximum(total - other, 0.0)),
            se_calibration=np.sqrt(other),
            times_naive=np.divide(self.fit.values, naive, out=np.full(total.size, np.nan), where=naive != 0),
            believed=believed,
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
        """Return a text of at most 25 lines; of many effects those of the estimate that is believed come first."""
        ends = f"believed: {self.chosen}"
        if len(self.of) == 1:
            low, high = self.bounds()
            ends = f"between naive and {self.farthest}, 95%: {low:.4f} to {high:.4f}; {ends}"
        reasons = [f"reason: {text}" for text in self.corrector.reasons]
        told = self.fit.summary().splitlines()
        made = next(place for place, line in enumerate(told) if line.startswith("standard errors:"))
        warned = next((place for place, line in enumerate(told) if line.startswith("WARNING:")), len(told))
        head = [told[0], *self._rows_of_text(), ends, *reasons, *told[made:warned]]
        return "\n".join([*head[: _LINES - len(told[warned:])], *told[warned:]])

    def _rows_of_text(self) -> list[str]:
        """Return the table as lines, and how many rows it has beyond them."""
        frame = self.table()
        if len(frame) > _ROWS:
            frame = frame.sort_values("believed", ascending=False, kind="stable")
        shown = frame.head(_ROWS).to_string(index=False, float_format=lambda value: f"{value:.4f}")
        left = len(frame) - _ROWS
        return [*shown.splitlines(), *([f"... and {left} more rows in .table()"] if left > 0 else [])]

    def to_dict(self, *, scores: bool = False) -> dict[str, Any]:
        """Return JSON-safe content; unit-level values only when ``scores`` is true."""
        return {
            "type": "Corrected",
            "fit": self.fit.to_dict(scores=scores),
            "corrector": self.corrector.to_dict(),
            "of": list(self.of),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Corrected:
        """Rebuild the result that ``to_dict(scores=True)`` wrote; it cannot be drawn anew."""
        fit, corrector = Estimate.from_dict(content["fit"]), Corrector.from_dict(content["corrector"])
        return cls(fit, corrector, tuple(content["of"]))

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the estimates, of one effect with the interval between naive and corrected, and return the Axes."""
        from eocausal.inference.tables import interval_plot

        ax = interval_plot(self.fit.to_frame(), ax=ax)
        if len(self.of) > 1:
            ax.set_title(f"believed: {self.chosen}", fontsize=9)
            return ax
        low, high = self.bounds()
        ax.axvspan(low, high, color="#2f6690", alpha=0.12, zorder=0)
        ax.set_title(
            f"shaded: anywhere between naive and {self.farthest}; believed: {self.chosen}", fontsize=9
        )
        return ax

    def _rows(self, kind: str) -> npt.NDArray[np.intp]:
        """Return the positions of one kind of estimate."""
        first = self.corrector.kinds.index(kind) * len(self.of)
        return np.arange(first, first + len(self.of))


def imbens_manski(ends: FloatArray, matrix: FloatArray, *, df: float, level: float) -> tuple[float, float]:
    """Return the interval that holds a value anywhere between two estimated ends with probability ``level``.

    The value lies at one end or the other or between, so that far from one end only the other's error counts:
    ``c`` solves ``F(c + gap) - F(-c) = level`` with the gap in units of the larger error. Which end is the lower
    one and how far they are apart is estimated too: the gap is the least that the data allow, and the interval
    holds those of both ends.

    Parameters
    ----------
    ends : array of shape (2,)
        Estimates of the ends in any order.
    matrix : array of shape (2, 2)
        Their covariance.
    df : float
        Of the t distribution ``F``.
    level : float

    Examples
    --------
    >>> low, high = imbens_manski(np.array([9.0, 0.0]), np.eye(2), df=np.inf, level=0.95)
    >>> round(low, 3), round(high, 3)
    (-1.645, 10.645)
    """
    errors = np.sqrt(np.diag(matrix))
    largest = float(errors.max())
    if largest == 0:
        return float(ends.min()), float(ends.max())
    most = float(stats.t.ppf(0.5 + level / 2, df))
    of_gap = np.sqrt(max(matrix[0, 0] + matrix[1, 1] - 2 * matrix[0, 1], 0.0))
    gap = max(float(np.ptp(ends)) - most * of_gap, 0.0) / largest

    def short(c: float) -> float:
        return float(stats.t.cdf(c + gap, df) - stats.t.cdf(-c, df) - level)

    # where the ends are far apart a low level is reached with no margin at all
    c = 0.0 if short(0.0) >= 0 else most if short(most) <= 0 else optimize.brentq(short, 0.0, most)
    return float((ends - c * errors).min()), float((ends + c * errors).max())
