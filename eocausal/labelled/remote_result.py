"""`RemoteOutcome`: an effect on an outcome that was not measured in the study, recovered from what was sensed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
from scipy import stats

from eocausal._checks import require_level
from eocausal.errors import EstimationError, explain
from eocausal.inference.delegate import Answering
from eocausal.inference.estimate import Estimate
from eocausal.inference.ratio import FiellerSet, fieller
from eocausal.inference.result_type import result_type
from eocausal.inference.tables import interval_plot, jsonable
from eocausal.inference.vcov import VcovChoice

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# With a denominator fewer standard errors than this from zero the delta method is not to be trusted.
WEAK = 5.0


@result_type
@dataclass(frozen=True, eq=False)
class RemoteOutcome(Answering):
    """An effect (or a mean) of the truth, where the study has predictions of it alone.

    Made by :func:`eocausal.remote_outcome` and :func:`eocausal.rogan_gladen`. ``estimate``, ``std_error`` and the
    other members of every result are those of the effect on the truth.

    Attributes
    ----------
    fit : Estimate
    parts : Estimate or None
        What the effect is a ratio of, with their joint covariance: the effect on (a function of) the
        prediction, and by how much that differs between labelled units with truth 1 and 0. None with more than
        two levels.
    levels : DataFrame
        Columns ``level n mean_truth mean_prediction moved``: levels of the truth among labelled units, and by how
        much the effect changes the share of each.
    checks : DataFrame
        Columns ``test statistic df df_residual p_value``.
    """

    fit: Estimate
    parts: Estimate | None
    levels: pd.DataFrame
    checks: pd.DataFrame

    def table(self) -> pd.DataFrame:
        """Return levels of the truth: ``level n mean_truth mean_prediction moved``."""
        return self.levels.copy()

    def tests(self) -> pd.DataFrame:
        """Return what data say of the assumptions: ``test statistic df df_residual p_value``, a row for each test.

        ``mixture``: predictions of each arm are spread as a mixture of those of labelled units with truth 0 and
        1. ``no direct effect``: where the labelled sample holds the treatment too, predictions do not depend on
        it given the truth. A test that does not reject is no proof.
        """
        return self.checks.copy()

    def fieller(self, level: float = 0.95) -> FiellerSet:
        """Return Fieller's interval, which holds where predictions hardly tell the levels of the truth apart.

        Raises
        ------
        EstimationError
            More than two levels, standard errors by a bootstrap, or a level that is none.
        """
        if self.parts is None or self.parts.variance.reference is not None:
            text = "Fieller's interval is one of a ratio with standard errors by formula."
            raise EstimationError(explain(text, fix="a 0/1 truth, and with_vcov('cluster')"))
        require_level(level, error=EstimationError)
        variance = self.parts.variance
        critical = float(stats.t.ppf(0.5 + level / 2, variance.df))
        top, bottom = self.parts.values.tolist()
        return fieller(top, bottom, variance.matrix, critical=critical)

    def with_vcov(self, vcov: VcovChoice) -> Self:
        """Return the same estimate with standard errors made another way, as in :meth:`Estimate.with_vcov`.

        What labelled units outside the study add to the error stays as it is.
        """
        parts = None if self.parts is None else self.parts.with_vcov(vcov)
        return replace(self, fit=self.fit.with_vcov(vcov), parts=parts)

    def __repr__(self) -> str:
        """One line: the estimate, and how many labelled units it rests on."""
        head = repr(self.fit).replace("Estimate(", "RemoteOutcome(", 1).removesuffix(")")
        return f"{head}; {int(self.levels['n'].sum())} labelled)"

    def summary(self) -> str:
        """Return a text of at most 25 lines."""
        shown = self.levels.to_string(index=False, float_format=lambda value: f"{value:.4f}").splitlines()
        return "\n".join([*self.fit.summary().splitlines()[: 24 - min(len(shown), 8)], *shown[:8]])

    def to_dict(self, *, scores: bool = False) -> dict[str, Any]:
        """Return JSON-safe content; unit-level values only when ``scores`` is true."""
        return {
            "type": "RemoteOutcome",
            "fit": self.fit.to_dict(scores=scores),
            "parts": None if self.parts is None else self.parts.to_dict(scores=scores),
            "levels": jsonable(self.levels.to_dict(orient="list")),
            "checks": jsonable(self.checks.to_dict(orient="list")),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Rebuild the result that ``to_dict(scores=True)`` wrote."""
        parts = content["parts"]
        return cls(
            Estimate.from_dict(content["fit"]),
            None if parts is None else Estimate.from_dict(parts),
            pd.DataFrame(content["levels"]),
            checks_table(content["checks"]),
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the effect on the prediction (where it is one ratio) and on the truth, and return the Axes."""
        frame = self.fit.to_frame()
        frame["term"] = "truth: " + frame["term"].astype(str)
        if self.parts is not None and self.diagnostics.get("h") == "prediction":
            raw = self.parts.to_frame().iloc[:1].assign(term="prediction: as it is")
            frame = pd.concat([raw, frame], ignore_index=True)
        return interval_plot(frame, ax=ax)


def weak_denominator(parts: Estimate | None) -> list[str]:
    """Return a warning where predictions hardly differ by truth, so that the ratio's error is no normal one."""
    if parts is None:
        return []
    away = float(parts.values[1] / np.sqrt(parts.variance.matrix[1, 1]))
    if away >= WEAK:
        return []
    return [
        f"predictions of labelled units with truth 1 and 0 differ by {away:.1f} standard errors only: trust "
        ".fieller() and not the standard error"
    ]


def checks_table(rows: list[dict[str, Any]] | Mapping[str, Any]) -> pd.DataFrame:
    """Return tests as a table, with its columns also where there is none."""
    columns = ["test", "statistic", "df", "df_residual", "p_value"]
    made = pd.DataFrame(rows, columns=columns)
    return made.astype({"test": object, **dict.fromkeys(columns[1:], float)})


def levels_table(counts: Any, mean_truth: Any, mean_prediction: Any, moved: Any) -> pd.DataFrame:
    """Return the levels of the truth, one row each."""
    return pd.DataFrame(
        {
            "level": np.arange(len(counts)),
            "n": np.asarray(counts, dtype=int),
            "mean_truth": np.asarray(mean_truth, dtype=float),
            "mean_prediction": np.asarray(mean_prediction, dtype=float),
            "moved": np.asarray(moved, dtype=float),
        }
    )
