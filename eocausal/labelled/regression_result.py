"""`PpiRegression`: coefficients that predictions and labels give together, beside those that each gives alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal.inference.delegate import Answering
from eocausal.inference.estimate import Estimate
from eocausal.inference.result_type import result_type
from eocausal.inference.tables import interval_plot
from eocausal.inference.vcov import VcovChoice
from eocausal.labelled.labelled_table import INTERCEPT
from eocausal.labelled.ppi_result import CLASSICAL, NAIVE, by_labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PARTS = ("fit", "naive", "classical")


@result_type
@dataclass(frozen=True, eq=False)
class PpiRegression(Answering):
    """Regression coefficients by predictions and labels. Made by :func:`eocausal.ppi_regression`.

    ``estimate``, ``std_error`` and the other members of every result are those of the coefficients put right.

    Attributes
    ----------
    fit : Estimate
        ``diagnostics["lambda"]`` holds how much of the predictions each coefficient uses.
    naive : Estimate
        Of predictions alone, on all units, as if they were the truth.
    classical : Estimate
        Of the truth alone, on units with labels.
    labelled : boolean array of shape (n,)
        Who has a label.
    """

    fit: Estimate
    naive: Estimate
    classical: Estimate
    labelled: npt.NDArray[np.bool_]

    def table(self, level: float = 0.95) -> pd.DataFrame:
        """Return all three regressions: broom's columns, ``lambda`` and ``worth_labels``, term by term.

        ``lambda`` is how much of predictions is used, ``worth_labels`` how many labels alone would be as precise.
        """
        lams = self.fit.diagnostics["lambda"]
        by_method = {NAIVE: 1.0, CLASSICAL: 0.0}
        parts = []
        for one in (self.naive, self.classical, self.fit):
            frame = one.to_frame(level)
            frame["lambda"] = [by_method.get(one.method, lams[term]) for term in one.terms]
            frame["worth_labels"] = np.nan
            if one is not self.naive:
                errors = np.diag(self.classical.variance.matrix), np.diag(one.variance.matrix)
                ratio = np.divide(*errors, out=np.full(len(frame), np.nan), where=errors[1] > 0)
                frame["worth_labels"] = self.classical.n * ratio
            parts.append(frame)
        joined = pd.concat(parts, keys=range(len(parts)), names=["method_order", "term_order"]).reset_index()
        joined = joined.sort_values(["term_order", "method_order"], kind="stable")
        return joined.drop(columns=["method_order", "term_order"]).reset_index(drop=True)

    def with_vcov(self, vcov: VcovChoice) -> Self:
        """Return the same coefficients with standard errors made another way, as in :meth:`Estimate.with_vcov`.

        Those of predictions alone and of labels alone change with them; lambdas stay as they were.
        """
        changed = {name: getattr(self, name).with_vcov(vcov) for name in _PARTS}
        return replace(self, **changed).by_labels()

    def by_labels(self) -> Self:
        """Return the same with degrees of freedom of units with labels, or of the clusters that hold them."""
        everyone = np.ones(self.classical.n, dtype=bool)
        fit, classical = _by_labels(self.fit, self.labelled), _by_labels(self.classical, everyone)
        return replace(self, fit=fit, classical=classical)

    def __repr__(self) -> str:
        """One line: the coefficients, how sure, and how many labels there are."""
        head = repr(self.fit).replace("Estimate(", "PpiRegression(", 1).removesuffix(")")
        return f"{head}; {self.fit.diagnostics['n_labelled']} labels)"

    def summary(self) -> str:
        """Return a text of at most 25 lines."""
        columns = ["term", "method", "estimate", "std_error", "lambda", "worth_labels"]
        shown = self.table()[columns].to_string(index=False, float_format=lambda value: f"{value:.4f}")
        return "\n".join([*shown.splitlines()[:10], *self.fit.summary().splitlines()][:25])

    def to_dict(self, *, scores: bool = False) -> dict[str, Any]:
        """Return JSON-safe content; unit-level values only when ``scores`` is true."""
        parts = {name: getattr(self, name).to_dict(scores=scores) for name in _PARTS}
        marked = {"labelled": self.labelled.tolist()} if scores else {}
        return {"type": "PpiRegression", **parts, **marked}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> PpiRegression:
        """Rebuild the result that ``to_dict(scores=True)`` wrote."""
        fit, naive, classical = (Estimate.from_dict(content[name]) for name in _PARTS)
        return cls(fit, naive, classical, np.array(content["labelled"], dtype=bool))

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the coefficients of all three regressions with 95% intervals and return the Axes."""
        frame = self.table()
        frame = frame[frame["term"] != INTERCEPT].reset_index(drop=True)
        frame["term"] = frame["term"] + ", " + frame["method"]
        return interval_plot(frame, ax=ax)


def _by_labels(fit: Estimate, labelled: npt.NDArray[np.bool_]) -> Estimate:
    """Count coefficients among the parameters for degrees of freedom; influence values hold their factor."""
    counted = by_labels(replace(fit, n_params=len(fit.terms)), labelled)
    return replace(counted, n_params=fit.n_params)
