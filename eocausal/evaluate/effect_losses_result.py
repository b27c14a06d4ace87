"""`EffectLosses`: how far predicted effects of several models are from the true ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd

from eocausal._checks import one_of
from eocausal.errors import EvaluationError
from eocausal.inference.contrast import combined
from eocausal.inference.delegate import Answering
from eocausal.inference.estimate import Estimate
from eocausal.inference.result_type import result_type
from eocausal.inference.tables import interval_plot, jsonable
from eocausal.inference.vcov import VcovChoice

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CONSTANT = "one effect for all"
LOSSES = ("R-loss", "DR-loss")


def loss_terms(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of the losses of several models.

    Examples
    --------
    >>> loss_terms(("forest",))
    ('R-loss of forest', 'DR-loss of forest')
    """
    return tuple(f"{loss} of {name}" for loss in LOSSES for name in names)


@result_type
@dataclass(frozen=True, eq=False)
class EffectLosses(Answering):
    """Losses of predicted effects. Made by :func:`eocausal.effect_losses`.

    ``estimate``, ``std_error`` and the other members of every result are those of the R-losses of all models, and
    then of their DR-losses. Both hold the noise of outcomes, which no model can predict, so that only differences
    between models say much.

    Attributes
    ----------
    losses : Estimate
        With joint influence values.
    names : tuple of str, length m
        The models, and last one effect for all.
    calibration_r2 : dict of str to float
        As in :attr:`EffectGroups.calibration_r2`, of the models without the last.
    """

    losses: Estimate
    names: tuple[str, ...]
    calibration_r2: Mapping[str, float]

    answered_by = "losses"

    def table(self) -> pd.DataFrame:
        """Return one row for each model, the least DR-loss first.

        Columns ``model r_loss r_gain r_gain_error dr_loss dr_gain dr_gain_error calibration_r2``; a gain is the
        loss of one effect for all less that of the model, above 0 where the model is better.
        """
        count = len(self.names)
        columns: dict[str, Any] = {"model": list(self.names)}
        for place, short in enumerate(("r", "dr")):
            values = self.losses.values[place * count : (place + 1) * count]
            gains = self._gains(place)
            columns |= {
                f"{short}_loss": values, f"{short}_gain": gains.values,
                f"{short}_gain_error": np.sqrt(np.diag(gains.variance.matrix)),
            }  # fmt: skip
        columns["calibration_r2"] = [self.calibration_r2.get(name, np.nan) for name in self.names]
        return pd.DataFrame(columns).sort_values("dr_loss", kind="stable").reset_index(drop=True)

    def _gains(self, place: int) -> Estimate:
        """Return the gain of each model over one effect for all, exactly zero for the last."""
        count = len(self.names)
        weights = np.zeros((2 * count, count))
        weights[place * count : (place + 1) * count] = -np.eye(count)
        weights[(place + 1) * count - 1] += 1.0
        return combined(self.losses, weights, self.names, estimand=f"gain in {LOSSES[place]}")

    def differences(self, loss: str = "DR-loss") -> Estimate:
        """Return the loss of each model less that of each later one, with joint standard errors.

        Below zero the first of a pair is better. The last of the models is one effect for all.

        Parameters
        ----------
        loss : {"R-loss", "DR-loss"}

        Raises
        ------
        EvaluationError
            Another loss.
        """
        one_of(loss, LOSSES, argument="loss", error=EvaluationError)
        count, start = len(self.names), LOSSES.index(loss) * len(self.names)
        pairs = list(combinations(range(count), 2))
        weights = np.zeros((2 * count, len(pairs)))
        for column, (one, other) in enumerate(pairs):
            weights[start + one, column], weights[start + other, column] = 1.0, -1.0
        terms = tuple(f"{self.names[one]} - {self.names[other]}" for one, other in pairs)
        return combined(self.losses, weights, terms, estimand=f"difference in {loss}")

    def with_vcov(self, vcov: VcovChoice) -> Self:
        """Return the same losses with standard errors made another way, as in :meth:`Estimate.with_vcov`."""
        return replace(self, losses=self.losses.with_vcov(vcov))

    def __repr__(self) -> str:
        """One line: the model with the least loss."""
        best = self.table().iloc[0]
        gain = f"{best['dr_gain']:.4g} (se {best['dr_gain_error']:.3g})"
        return (
            f"EffectLosses({len(self.names) - 1} models and one effect for all, n {self.n}: least DR-loss "
            f"{best['model']!r}, gain over one effect for all {gain})"
        )

    def summary(self) -> str:
        """Return a text of at most 25 lines."""
        shown = self.table().head(12).to_string(index=False, float_format=lambda value: f"{value:.4g}")
        told = [f"assumes: {text}" for text in self.assumptions[:3]]
        told += [f"WARNING: {text}" for text in self.warnings[:4]]
        head = f"losses of predicted effects  (n {self.n}; standard errors: {self.vcov})"
        return "\n".join([head, *shown.splitlines(), *told][:25])

    def to_dict(self, *, scores: bool = False) -> dict[str, Any]:
        """Return JSON-safe content; unit-level values only when ``scores`` is true."""
        return {
            "type": "EffectLosses",
            "losses": self.losses.to_dict(scores=scores),
            "names": list(self.names),
            "calibration_r2": jsonable(self.calibration_r2),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> EffectLosses:
        """Rebuild the result that ``to_dict(scores=True)`` wrote."""
        fits = {name: np.nan if one is None else one for name, one in content["calibration_r2"].items()}
        return cls(Estimate.from_dict(content["losses"]), tuple(content["names"]), fits)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the gain in DR-loss of each model over one effect for all, with 95% intervals; return the Axes."""
        gains = self._gains(1)
        ax = interval_plot(gains.to_frame().iloc[:-1], ax=ax)
        ax.set_xlabel("gain in DR-loss over one effect for all, with 95% interval")
        return ax
