"""The result of randomisation inference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal.inference.reference import Reference
from eocausal.inference.result_type import result_type
from eocausal.inference.tables import BROOM, confidence_bounds, summary_text, two_sided_p

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FloatArray = npt.NDArray[np.float64]


@result_type
@dataclass(frozen=True, eq=False)
class RandomisationTest:
    """A test of no effect for anyone, by assigning treatment again.

    Made by :func:`eocausal.randomisation_test`.

    Attributes
    ----------
    term, method : str
    value : float
        The estimate.
    error : float
        Its standard error; 1 where the statistic is not studentised.
    studentised : bool
    reference : Reference
        The statistic of every assignment drawn, for every effect that is the same for all.
    n, n_groups, n_treated : int
        Units, groups that were assigned, and how many of the groups were treated.
    assigned_by : str or None
        Name of the clusters that were assigned; None where units were.
    possible : int
        How many assignments there could have been.
    n_strata : int
    seed : int
    warnings : tuple of str
    """

    term: str
    method: str
    value: float
    error: float
    studentised: bool
    reference: Reference
    n: int
    n_groups: int
    n_treated: int
    assigned_by: str | None
    possible: int
    n_strata: int
    seed: int
    warnings: tuple[str, ...] = ()

    @property
    def estimate(self) -> float:
        """The estimate of the average effect."""
        return self.value

    @property
    def std_error(self) -> float | None:
        """The standard error that the statistic is studentised by, or None."""
        return self.error if self.studentised else None

    @property
    def statistic(self) -> float:
        """The statistic that was found: the estimate over its standard error, or the estimate."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(np.float64(self.value) / self.error) if self.value else 0.0

    @property
    def exact(self) -> bool:
        """Whether every possible assignment was taken."""
        return self.reference.exact

    @property
    def draws(self) -> FloatArray:
        """The statistic of each assignment, were there no effect: shape (draws,)."""
        return self.reference.statistics(0, self.value)

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What must hold for the p-value to mean what it says."""
        what = "units" if self.assigned_by is None else f"whole clusters of {self.assigned_by!r}"
        within = "" if self.n_strata == 1 else f" within each of {self.n_strata} strata"
        return (
            f"{what} were assigned at random{within}, {self.n_treated} of {self.n_groups} to treatment",
            "the interval is of an effect that is the same for all",
        )

    def p_value(self, null: float = 0.0) -> float:
        """Return the share of assignments whose statistic is as large in absolute value, were the effect ``null``.

        Of assignments drawn at random, what was found counts as one more: ``(1 + as large) / (1 + draws)``.
        """
        found = two_sided_p(
            np.array([self.value - null]), np.array([self.error]), df=np.inf, reference=self.reference
        )
        return float(found[0])

    def ci(self, level: float = 0.95) -> tuple[float, float]:
        """Return the effects, the same for all, that are not rejected at ``1 - level``."""
        found = confidence_bounds(
            np.array([self.value]), np.array([self.error]), df=np.inf, level=level, reference=self.reference
        )
        return float(found[0, 0]), float(found[0, 1])

    def to_frame(self, level: float = 0.95) -> pd.DataFrame:
        """Return one row with broom's columns (see ``docs/conventions.md``)."""
        low, high = self.ci(level)
        row = {
            "term": self.term, "estimand": "ate", "estimate": self.value,
            "std_error": np.nan if self.std_error is None else self.std_error, "statistic": self.statistic,
            "p_value": self.p_value(), "conf_low": low, "conf_high": high, "n": self.n,
            "n_clusters": None if self.assigned_by is None else self.n_groups,
            "method": f"{self.method}, randomisation",
        }  # fmt: skip
        frame = pd.DataFrame([row])
        frame["n_clusters"] = frame["n_clusters"].astype("Int64")
        return frame[list(BROOM)]

    def __repr__(self) -> str:
        """One line: what, how much, how sure."""
        return (
            f"RandomisationTest({self.term} by {self.method}: {self.value:.4g}, p {self.p_value():.4g}; "
            f"{self._drawn()})"
        )

    def summary(self) -> str:
        """Return a text of at most 25 lines: the table, how it was made, assumptions and warnings."""
        statistic = "estimate over standard error" if self.studentised else "estimate"
        made = f"statistic: {statistic}; {self._drawn()}"
        return summary_text(self.to_frame(), made, {}, self.assumptions, self.warnings)

    def to_dict(self, *, scores: bool = False) -> dict[str, Any]:
        """Return JSON-safe content; the statistics of the assignments only when ``scores`` is true."""
        finite = [None if not np.isfinite(one) else float(one) for one in (self.statistic, *self.ci())]
        content: dict[str, Any] = {
            "type": "RandomisationTest", "term": self.term, "method": self.method, "estimate": self.value,
            "std_error": self.std_error, "statistic": finite[0], "p_value": self.p_value(), "ci": finite[1:],
            "exact": self.exact, "n_draws": self.reference.draws, "possible": self.possible, "seed": self.seed,
            "n": self.n, "n_groups": self.n_groups, "n_treated": self.n_treated, "n_strata": self.n_strata,
            "assigned_by": self.assigned_by, "studentised": self.studentised,
            "assumptions": list(self.assumptions), "warnings": list(self.warnings),
        }  # fmt: skip
        if scores:
            content["reference"] = self.reference.to_dict()
        return content

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the statistics of the assignments, and the one that was found, and return the Axes."""
        if ax is None:
            from matplotlib import pyplot as plt

            _, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
        drawn = self.draws
        ax.hist(drawn[np.isfinite(drawn)], bins="auto", color="0.75")
        for side in (-1, 1):
            style = "-" if side * self.statistic == self.statistic or self.statistic == 0 else "--"
            ax.axvline(side * self.statistic, color="#1f4e79", linestyle=style)
        ax.set_xlabel("statistic, were there no effect")
        ax.set_ylabel("assignments")
        ax.set_title(f"p = {self.p_value():.3g}, {self._drawn()}", fontsize="medium")
        return ax

    def _drawn(self) -> str:
        if self.exact:
            return f"all {self.possible:,} assignments"
        many = f"{self.possible:,}" if self.possible < 10**9 else f"{self.possible:.1e}".replace("+", "")
        return f"{self.reference.draws:,} of {many} assignments, seed {self.seed}"
