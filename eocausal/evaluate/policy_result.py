"""`PolicyValue`: what treating the units ranked highest is worth, by the share that is treated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import one_of
from eocausal.errors import EvaluationError, explain
from eocausal.inference.contrast import combined
from eocausal.inference.delegate import Answering
from eocausal.inference.estimate import Estimate
from eocausal.inference.result_type import result_type
from eocausal.inference.simultaneous import band_factor
from eocausal.inference.vcov import VcovChoice

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FloatArray = npt.NDArray[np.float64]

AGAINST = ("nobody", "everybody", "random")


def share_terms(shares: FloatArray) -> tuple[str, ...]:
    """Return the names of shares.

    Examples
    --------
    >>> share_terms(np.array([0.1, 1.0]))
    ('top 10%', 'top 100%')
    """
    return tuple(f"top {100 * share:.6g}%" for share in shares)


@result_type
@dataclass(frozen=True, eq=False)
class PolicyValue(Answering):
    """The value of treating those ranked highest. Made by :func:`eocausal.policy_value`.

    ``estimate``, ``std_error`` and the other members of every result are those of treating the first share of the
    ranking against treating nobody: the gain less the cost, per unit of the population and not per unit treated.

    Attributes
    ----------
    values : Estimate
        One term for each share, the last for all units.
    shares : array of shape (q,)
        The last is 1.
    cost : float
        Of treating one unit, in units of the outcome.
    """

    values: Estimate
    shares: FloatArray
    cost: float

    answered_by = "values"

    def against(self, other: str = "random") -> Estimate:
        """Return the value less that of another rule, with joint standard errors.

        Parameters
        ----------
        other : {"nobody", "everybody", "random"}
            ``random`` treats the same share, drawn at random. Shares where both rules are the same are left out.

        Raises
        ------
        EvaluationError
            Another rule than these, or no share but all, where the rules are the same.
        """
        one_of(other, AGAINST, argument="other", error=EvaluationError)
        if other == "nobody":
            return self.values
        if self.shares.size == 1:
            told = "everybody" if other == "everybody" else "all at random"
            raise EvaluationError(
                explain(
                    f"The only share is all, and to treat all is to treat {told}.",
                    fix="policy_value(cate, shares=[0.5])",
                )
            )
        less = np.ones(self.shares.size - 1) if other == "everybody" else self.shares[:-1]
        weights = np.vstack([np.eye(self.shares.size - 1), -less])
        return combined(
            self.values,
            weights,
            self.values.terms[:-1],
            estimand=f"value of treating the top, against {other}",
        )

    def table(self, level: float = 0.95) -> pd.DataFrame:
        """Return one row for each share and rule it is compared with.

        Columns ``share against estimate std_error conf_low conf_high band_low band_high``; a band covers the whole
        curve at once.
        """
        rules = AGAINST if self.shares.size > 1 else ("nobody",)
        return pd.concat([self._rows(other, level) for other in rules], ignore_index=True)

    def _rows(self, other: str, level: float) -> pd.DataFrame:
        found = self.against(other)
        bounds = np.asarray(found.ci(level)).reshape(-1, 2)
        errors = np.sqrt(np.diag(found.variance.matrix))
        half = band_factor(found.variance.matrix, df=found.variance.df, level=level) * errors
        return pd.DataFrame(
            {
                "share": self.shares[: found.values.size], "against": other, "estimate": found.values,
                "std_error": errors, "conf_low": bounds[:, 0], "conf_high": bounds[:, 1],
                "band_low": found.values - half, "band_high": found.values + half,
            }
        )  # fmt: skip

    def with_vcov(self, vcov: VcovChoice) -> Self:
        """Return the same values with standard errors made another way, as in :meth:`Estimate.with_vcov`."""
        return replace(self, values=self.values.with_vcov(vcov))

    def __repr__(self) -> str:
        """One line: the share that looks best, and what treating everybody is worth."""
        best, values = int(np.argmax(self.values.values)), self.values.values
        errors = np.sqrt(np.diag(self.values.variance.matrix))
        told = (
            (f"{self.values.terms[best]}", values[best], errors[best]),
            ("everybody", values[-1], errors[-1]),
        )
        shown = ", ".join(
            f"{name} {value:.4g} (se {error:.3g})"
            for name, value, error in told[int(best == values.size - 1) :]
        )
        return f"PolicyValue({self.shares.size} shares of {self.n} units, cost {self.cost:g}: {shown})"

    def summary(self) -> str:
        """Return a text of at most 25 lines."""
        rows = self.table()
        shown = rows[rows["against"] != "everybody"].drop(columns=["conf_low", "conf_high"])
        wide = shown.pivot_table(index="share", columns="against", values=["estimate", "std_error"])
        lines = wide.to_string(float_format=lambda value: f"{value:.4f}", na_rep="").splitlines()
        cut = [*lines[:15], "..."] if len(lines) > 16 else lines
        head = f"value of treating the top of a ranking, by {self.method}  (n {self.n}, cost {self.cost:g})"
        told = [f"standard errors: {self.vcov}, {self.values.variance.distribution}"]
        told += [f"assumes: {text}" for text in self.assumptions[:2]]
        told += [f"WARNING: {text}" for text in self.warnings[:4]]
        return "\n".join([head, *cut, *told][:25])

    def to_dict(self, *, scores: bool = False) -> dict[str, Any]:
        """Return JSON-safe content; unit-level values only when ``scores`` is true."""
        return {
            "type": "PolicyValue",
            "values": self.values.to_dict(scores=scores),
            "shares": self.shares.tolist(),
            "cost": self.cost,
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> PolicyValue:
        """Rebuild the result that ``to_dict(scores=True)`` wrote."""
        shares = np.array(content["shares"], dtype=float)
        return cls(Estimate.from_dict(content["values"]), shares, float(content["cost"]))

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the value by share treated with 95% intervals and band, beside treating at random."""
        if ax is None:
            from matplotlib import pyplot as plt

            _, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
        rows = self._rows("nobody", 0.95)
        columns = ["estimate", "conf_low", "conf_high", "band_low", "band_high"]
        # with nobody treated the value is zero, without error
        at = np.r_[0.0, 100 * self.shares]
        middle, low, high, band_low, band_high = np.vstack([np.zeros(5), rows[columns].to_numpy()]).T
        everybody = float(self.values.values[-1])
        ax.axhline(0, color="0.6", linewidth=0.8)
        ax.fill_between(at, band_low, band_high, color="#7fa6c9", alpha=0.25, linewidth=0,
                        label="95% band for the curve")  # fmt: skip
        ax.fill_between(at, low, high, color="#7fa6c9", alpha=0.5, linewidth=0, label="95% intervals")
        ax.plot(at, middle, "o-", color="#1f4e79", markersize=3.5, label="highest predicted effect first")
        ax.plot([0, 100], [0, everybody], "--", color="#c55a11", linewidth=1.2, label="at random")
        ax.set_xlabel("share treated (%)")
        ax.set_ylabel("gain less cost, per unit" if self.cost else "gain, per unit")
        ax.set_xlim(0, 100)
        ax.legend(frameon=False, fontsize="small")
        return ax
