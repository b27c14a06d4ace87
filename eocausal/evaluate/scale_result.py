"""`ScaleSearch`: rates of single scales, pairs and a control arm, and what joining two scales gains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._figures import new_figure
from eocausal.inference.delegate import Delegated
from eocausal.inference.estimate import Estimate
from eocausal.inference.result_type import result_type
from eocausal.inference.simultaneous import band_factor, step_down_p
from eocausal.inference.tables import jsonable, two_sided_p
from eocausal.inference.vcov import VcovChoice

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FloatArray = npt.NDArray[np.float64]

# Of the table of gains: what each row is.
NAIVE, BY_CHANCE, BEFOREHAND = "naive", "by chance alone", "chosen beforehand"


@result_type
@dataclass(frozen=True, eq=False)
class ScaleSearch:
    """Rates of sets of scales, and the gain of two scales over one, naive and honest.

    Made by :func:`eocausal.scale_search`. ``estimate``, ``p_value`` and the other members of every result speak of
    the gain whose scales were chosen beforehand, in ratios of RATE to its standard error.

    Attributes
    ----------
    rates : Estimate
        One term for each set: its AUTOC or QINI.
    gain : Estimate
        Terms ``gain`` and, with a control arm, ``control gain``.
    sets : DataFrame
        Columns ``set kind first second features``; kinds are ``single``, ``pair`` and ``control``.
    splits : DataFrame
        One row for each way of dealing the folds: ``seed best_single best_pair naive_gain gain_by_chance
        p_by_chance gain std_error`` and, with a control arm, ``control_naive_gain control_gain
        control_std_error``.
    target : {"AUTOC", "QINI"}
    ratios : array of shape (splits, sets)
        Rate over its standard error.
    searched : int
        Number of pairs that the search covers, each scale with itself among them, plus that of single scales.
    """

    rates: Estimate
    gain: Estimate
    sets: pd.DataFrame = field(repr=False)
    splits: pd.DataFrame
    target: str
    ratios: FloatArray = field(repr=False)
    searched: int

    estimand = Delegated("gain")
    method = Delegated("gain")
    terms = Delegated("gain")
    n = Delegated("gain")
    n_clusters = Delegated("gain")
    estimate = Delegated("gain")
    std_error = Delegated("gain")
    ci = Delegated("gain")
    p_value = Delegated("gain")
    scores = Delegated("gain")
    assumptions = Delegated("gain")
    warnings = Delegated("gain")
    diagnostics = Delegated("gain")
    provenance = Delegated("gain")

    def to_frame(self, level: float = 0.95) -> pd.DataFrame:
        """Return one row for each set: rate, standard error, ratio, p-values and simultaneous intervals.

        ``p_value`` is of this set alone, ``p_adjusted`` holds the chance of any false rejection among all sets
        (step-down max-t). ``conf_low`` and ``conf_high`` cover all rates at once. Over several splits ``ratio`` is
        the median.
        """
        rates = self.rates
        errors, df = np.sqrt(np.diag(rates.variance.matrix)), rates.variance.df
        reach = band_factor(rates.variance.matrix, df=df, level=level) * errors
        return self.sets.assign(
            estimate=rates.values,
            std_error=errors,
            ratio=np.median(self.ratios, axis=0),
            ratio_low=self.ratios.min(axis=0),
            ratio_high=self.ratios.max(axis=0),
            p_value=two_sided_p(rates.values, errors, df=df),
            p_adjusted=step_down_p(rates.values, rates.variance.matrix, df=df),
            conf_low=rates.values - reach,
            conf_high=rates.values + reach,
        )

    def gains(self) -> pd.DataFrame:
        """Return the gain by each reckoning, medians over splits: ``arm reckoning gain std_error p_value``.

        ``naive`` is taken where it is searched, and has no valid p-value; ``by chance alone`` is what it would be
        where all sets rank equally well, with the share of draws that reach the naive gain; ``chosen beforehand``
        is judged in folds that did not choose.
        """
        middle = self.splits.median(numeric_only=True)
        gain, errors = np.atleast_1d(self.gain.estimate), np.atleast_1d(self.gain.std_error)
        tested = np.atleast_1d(self.gain.p_value())
        rows: list[tuple[str, str, float, float, float]] = [
            ("pairs", NAIVE, middle["naive_gain"], np.nan, np.nan),
            ("pairs", BY_CHANCE, middle["gain_by_chance"], np.nan, middle["p_by_chance"]),
            ("pairs", BEFOREHAND, gain[0], errors[0], tested[0]),
        ]
        if gain.size > 1:
            rows += [
                ("control", NAIVE, middle["control_naive_gain"], np.nan, np.nan),
                ("control", BEFOREHAND, gain[1], errors[1], tested[1]),
            ]
        return pd.DataFrame(rows, columns=["arm", "reckoning", "gain", "std_error", "p_value"])

    def with_vcov(self, vcov: VcovChoice) -> Self:
        """Return the same rates and gains with standard errors made another way; ratios stay as they are.

        Parameters
        ----------
        vcov : {"iid", "hetero", "cluster"} or mapping
            As in :meth:`eocausal.Estimate.with_vcov`.
        """
        return replace(self, rates=self.rates.with_vcov(vcov), gain=self.gain.with_vcov(vcov))

    def summary(self) -> str:
        """Return a text of at most 25 lines."""
        frame = self.to_frame().sort_values("ratio", ascending=False, kind="stable")
        shown = frame[frame["kind"] != "control"].head(6)[
            ["set", "estimate", "std_error", "ratio", "p_adjusted"]
        ]
        gains, many = self.gains(), len(self.splits)
        lines = [
            f"{self.target} by sets of scales  (n {self.n}, {many} split{'s' * (many > 1)})",
            *shown.to_string(index=False, float_format=lambda value: f"{value:.3f}").splitlines(),
            f"gain of two scales over one, in ratios ({self.searched} looks):",
            *gains.to_string(index=False, na_rep="", float_format=lambda value: f"{value:.3f}").splitlines(),
            *[f"assumes: {text}" for text in self.assumptions[:2]],
            *[f"WARNING: {text}" for text in self.warnings[:4]],
        ]
        return "\n".join(lines[:25])

    def __repr__(self) -> str:
        """One line: the naive gain, that by chance, and the one chosen beforehand."""
        gains = self.gains().set_index(["arm", "reckoning"])["gain"]
        error = float(np.atleast_1d(self.gain.std_error)[0])
        return (
            f"ScaleSearch({(self.sets['kind'] == 'single').sum()} scales, {self.target}: naive gain "
            f"{gains['pairs', NAIVE]:.2f}, by chance alone {gains['pairs', BY_CHANCE]:.2f}, chosen beforehand "
            f"{gains['pairs', BEFOREHAND]:.2f} (se {error:.2f}); n {self.n})"
        )

    def to_dict(self, *, scores: bool = False) -> dict[str, Any]:
        """Return JSON-safe content; unit-level values only when ``scores`` is true."""
        return {
            "type": "ScaleSearch",
            "rates": self.rates.to_dict(scores=scores),
            "gain": self.gain.to_dict(scores=scores),
            "sets": self.sets.to_dict(orient="list"),
            "splits": jsonable(self.splits.to_dict(orient="list")),
            "target": self.target,
            "ratios": self.ratios.tolist(),
            "searched": self.searched,
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> ScaleSearch:
        """Rebuild the result that ``to_dict(scores=True)`` wrote."""
        return cls(
            rates=Estimate.from_dict(content["rates"]),
            gain=Estimate.from_dict(content["gain"]),
            sets=pd.DataFrame(content["sets"]),
            splits=pd.DataFrame(content["splits"]),
            target=content["target"],
            ratios=np.array(content["ratios"], dtype=float),
            searched=int(content["searched"]),
        )

    def plot(self) -> Figure:
        """Draw the ratios of pairs as a map, and the gains over splits beside it; return the figure."""
        from eocausal.evaluate.scale_figure import draw_search

        scales = int((self.sets["kind"] == "single").sum())
        figure = new_figure(5.6 + 0.62 * scales, 1.9 + 0.5 * scales + 0.6)
        draw_search(figure, self)
        return figure
