"""`marginal`: by how much the odds of treatment could be off, and what that does to an average effect.

Tan (2006), JASA 101: given the columns and what nobody saw, the odds of treatment of a unit are between
``1 / Lambda`` and ``Lambda`` times those given the columns alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal.sensitivities.crossing import first_crossing
from eocausal.sensitivities.marginal_checks import (
    AUGMENTED,
    DVDS,
    LAMBDAS,
    MOST,
    read_draws,
    read_lambdas,
    read_methods,
    read_quantile,
    require_bounded,
)
from eocausal.sensitivities.marginal_orthogonal import Orthogonal, orthogonal
from eocausal.sensitivities.marginal_sentence import sentence
from eocausal.sensitivities.marginal_weighted import weighted
from eocausal.sensitivities.odds_shifts import COLUMNS, odds_shifts
from eocausal.sensitivities.result import Sensitivity
from eocausal.sensitivities.subject import Subject, origin_of
from eocausal.sensitivities.weighted_bounds import SHARP, ZSB

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eocausal.inference.estimate import Estimate
    from eocausal.sensitivities.kinds import Call

FloatArray = npt.NDArray[np.float64]

# Bounds are known to this share, limits of intervals, which vary with the draws, to that.
_POINT, _LIMIT = 1e-4, 1e-3
IGNORABLE = "as good as random"
OF_METHOD = {
    ZSB: "bounds by Zhao, Small and Bhattacharya (2019): odds may be off by the factor whatever the outcome",
    SHARP: "sharp bounds by Dorn and Guo (2023): odds are off by the unseen alone, so that they are right on "
    "average among units that look alike; they are valid whatever the quantiles, and sharp where these are right",
    DVDS: "doubly valid, doubly sharp bounds by Dorn, Guo and Kallus (2024): valid whatever the quantiles of the "
    "outcome, sharp where these are right",
}


class Bounded(Protocol):
    """Bounds of an estimate as functions of the factor."""

    @property
    def methods(self) -> tuple[str, ...]:
        """The kinds of bounds there are; the last is the one that is spoken of."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know."""

    @property
    def said(self) -> dict[str, Any]:
        """Diagnostics."""

    def ends(self, bound: float, method: str) -> FloatArray:
        """Return the lowest and the highest effect (2,)."""

    def end(self, bound: float, method: str, side: int) -> float:
        """Return one of them."""

    def interval(self, bounds: FloatArray, method: str) -> FloatArray:
        """Return the intervals (k, 2)."""

    def limit(self, bound: float, method: str, side: int) -> float:
        """Return one end of an interval."""


def marginal(
    estimate: Estimate,
    call: Call,
    *,
    lambdas: Sequence[float] = LAMBDAS,
    bounds: str | None = None,
    draws: int | None = None,
    quantile: str | None = None,
) -> Sensitivity:
    """Bound an average effect where odds of treatment may be off by a factor, and find the factor that undoes it.

    Parameters
    ----------
    estimate : Estimate
        By ``ipw``, ``cbps`` or ``aipw``.
    call : Call
    lambdas : sequence of float
        By what factors, either way, the odds may be off; 1 is always among them.
    bounds : {"both", "zsb", "sharp"}, optional
    draws : int, optional
        Of the percentile bootstrap; default 200.
    quantile : {"out_of_fold", "linear", "boosting"}, optional
        How quantiles of the outcome are learned: linear from the other folds (default), linear from all units of
        the arm, or by boosted trees from the other folds.
    """
    require_bounded(estimate)
    factors, methods = read_lambdas(lambdas), read_methods(bounds, estimate)
    n_draws, learner = read_draws(draws, estimate), read_quantile(quantile)
    made: Bounded
    estimates: Mapping[str, Estimate] = {}
    if origin_of(estimate).options["method"] == AUGMENTED:
        found = orthogonal(estimate, lambdas=factors, quantile=learner, level=call.level)
        made, estimates = found, _estimates(found, factors)
    else:
        made = weighted(
            estimate, methods, lambdas=factors, quantile=learner, draws=n_draws, level=call.level, seed=call.seed,
            progress=call.progress,
        )  # fmt: skip
    frame = _table(made, factors)
    numbers = _breakdowns(made, frame, float(estimate.values[0]))
    known = origin_of(estimate).entered.table.propensity is not None
    shifts = pd.DataFrame(columns=list(COLUMNS)) if known else odds_shifts(estimate, call.benchmarks)
    about = Subject.of(estimate)
    return Sensitivity(
        kind="marginal",
        subject=about,
        sentence=sentence(about, numbers, shifts, level=call.level, most=MOST),
        frame=frame,
        numbers={**numbers, **_yardsticks(shifts)},
        curves={"bounds": _curve(made, frame, numbers), "benchmarks": shifts},
        estimates=estimates,
        assumptions=_assumptions(estimate, made),
        warnings=(*estimate.warnings, *made.notes, *_no_yardstick(known, call)),
        diagnostics={**made.said, "level": call.level},
        provenance={**estimate.provenance, "seed_of_draws": call.seed},
    )


def _estimates(made: Orthogonal, factors: FloatArray) -> dict[str, Estimate]:
    return {DVDS: made.bounded(factors)}


def _table(made: Bounded, factors: FloatArray) -> pd.DataFrame:
    """Return one row for each kind of bounds and each factor."""
    parts = []
    for method in made.methods:
        ends = np.array([made.ends(float(one), method) for one in factors])
        limits = made.interval(factors, method)
        part = {"bounds": method, "lambda": factors, "low": ends[:, 0], "high": ends[:, 1]}
        parts.append(pd.DataFrame({**part, "conf_low": limits[:, 0], "conf_high": limits[:, 1]}))
    frame = pd.concat(parts, ignore_index=True)
    return frame.assign(holds_zero=(frame["conf_low"] <= 0) & (frame["conf_high"] >= 0))


def _curve(made: Bounded, frame: pd.DataFrame, numbers: Mapping[str, float]) -> pd.DataFrame:
    """Return the table with rows where bounds and intervals reach zero, for the figure."""
    new = {numbers[name] for name in ("breakdown", "breakdown_interval")} - set(frame["lambda"])
    extra = np.array(sorted(one for one in new if not np.isnan(one)))
    if not extra.size:
        return frame
    both = pd.concat([frame, _table(made, extra)], ignore_index=True)
    order = both["bounds"].map(made.methods.index)
    return both.assign(order=order).sort_values(["order", "lambda"], ignore_index=True).drop(columns="order")


def _breakdowns(made: Bounded, frame: pd.DataFrame, value: float) -> dict[str, float]:
    """Return from what factors on bounds, and their intervals, reach zero; NaN where none does."""
    side = 0 if value > 0 else 1
    sign = 1.0 if value > 0 else -1.0
    each: dict[str, float] = {}
    for method in made.methods:
        part = frame[frame["bounds"] == method].set_index("lambda")
        for name, column, curve, share in (
            ("", ("low", "high")[side], made.end, _POINT),
            ("_interval", ("conf_low", "conf_high")[side], made.limit, _LIMIT),
        ):
            known = dict(zip(part.index.to_numpy(dtype=float).tolist(), part[column].tolist()))
            if sign * known[1.0] <= 0:
                each[f"breakdown_{method}{name}"] = 1.0
                continue
            each[f"breakdown_{method}{name}"] = first_crossing(
                partial(curve, method=method, side=side), known, most=MOST, share=share
            )
    chosen = made.methods[-1]
    spoken = {
        "breakdown": each[f"breakdown_{chosen}"],
        "breakdown_interval": each[f"breakdown_{chosen}_interval"],
    }
    return {**spoken, **(each if len(made.methods) > 1 else {})}


def _yardsticks(shifts: pd.DataFrame) -> dict[str, float]:
    """Return by what factor the first benchmark moves odds, at most and for 95% of units."""
    if shifts.empty:
        return {}
    return {
        "benchmark_largest": float(shifts["largest"].iloc[0]),
        "benchmark_percentile_95": float(shifts["percentile_95"].iloc[0]),
    }


def _assumptions(estimate: Estimate, made: Bounded) -> tuple[str, ...]:
    tan = (
        "given what is adjusted for and what nobody saw, the odds of treatment of a unit are between 1 / Lambda "
        "and Lambda times those given what is adjusted for alone"
    )
    kept = tuple(text for text in estimate.assumptions if IGNORABLE not in text)
    return (tan, *(OF_METHOD[one] for one in made.methods), *kept)


def _no_yardstick(known: bool, call: Call) -> list[str]:
    told = []
    if known:
        told.append(
            "the propensity is known by design, so that nothing can be left out of it to compare with"
        )
    elif any(one.coordinates for one in call.benchmarks):
        told.append("where units lie is not among what the propensity is made of, and is no benchmark here")
    return told
