"""Moments of a regression before and after the controls that the unseen is compared with, with influence values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eocausal.errors import SensitivityError, explain
from eocausal.inference.vcov import variance_of
from eocausal.sensitivities.benchmarks import read_benchmarks
from eocausal.sensitivities.linear_model import OWN, linear_model
from eocausal.sensitivities.proportional_selection import Moments
from eocausal.sensitivities.subject import origin_of

if TYPE_CHECKING:
    from eocausal.inference.estimate import Estimate
    from eocausal.sensitivities.benchmarks import Benchmark
    from eocausal.sensitivities.kinds import Call
    from eocausal.sensitivities.linear_model import LinearModel

FloatArray = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

ALL_CONTROLS = "all controls"
# Steps of numeric derivatives, as a share of the moments.
_STEP = 1e-5


@dataclass(frozen=True, eq=False)
class Seen:
    """Controls that the unseen is compared with: the moments of the regression before and after them.

    Attributes
    ----------
    name, in_words : str
    moments : Moments
    scores : array of shape (n, 7)
        Centred influence values of the moments, in the order of their fields.
    """

    name: str
    in_words: str
    moments: Moments
    scores: FloatArray

    def scores_of(self, function: Callable[[Moments], float]) -> FloatArray:
        """Return the influence values (n,) of a smooth function of the moments."""
        at = self.moments.values()
        crosses = np.sqrt([at[1] * at[3], at[4] * at[6]])
        scale = np.array([at[0], at[1], crosses[0], at[3], at[4], crosses[1], at[6]])
        slopes = np.zeros(at.size)
        for place, step in enumerate(_STEP * scale):
            moved = np.zeros(at.size)
            moved[place] = step
            slopes[place] = (function(Moments(*(at + moved))) - function(Moments(*(at - moved)))) / (2 * step)
        return np.asarray(self.scores @ slopes)


def seen_controls(estimate: Estimate, call: Call, always: Any = None) -> tuple[Seen, ...]:
    """Return all controls that are not always in, and each benchmark among them by itself.

    Raises
    ------
    SensitivityError
        No coefficient of one regression, no controls to compare with, or a benchmark that is none of them.
    """
    design, model = origin_of(estimate).design, linear_model(estimate)
    of = np.array(model.of, dtype=object)
    kept = of == OWN
    if always is not None:
        kept |= _members(model, read_benchmarks({"always": always}, design)[0], design)
    if kept.all():
        raise SensitivityError(
            explain(
                "There are no controls that the unseen could be compared with.",
                rule="the estimate adjusts for covariates or image features that are not in always=",
                fix="ec.ate(design, method='ols') on a design with covariates or features",
            )
        )
    found = [_seen(model, ~kept, ALL_CONTROLS, ALL_CONTROLS if always is None else "the other controls")]
    for benchmark in call.benchmarks:
        named = _members(model, benchmark, design)
        members = named & ~kept
        if members.any() and not (members == ~kept).all():
            found.append(_seen(model, members, benchmark.name, benchmark.in_words))
        elif members.any() and (named == members).all():
            # it is all controls that are compared with, and better called by what they are
            name = benchmark.name if call.named else ALL_CONTROLS
            found[0] = replace(found[0], name=name, in_words=benchmark.in_words)
        elif call.named and not members.any():
            raise SensitivityError(
                explain(
                    f"benchmark={benchmark.name!r} is no control of this regression, or is in always=.",
                    fix="kind='omitted' compares with where units lie" if benchmark.coordinates else "",
                )
            )
    return tuple(found)


def with_errors(estimate: Estimate, named: dict[str, tuple[float, FloatArray]], *, estimand: str) -> Estimate:
    """Return numbers with influence values as an estimate whose errors are made as those of ``estimate`` are."""
    scores = np.column_stack([values for _, values in named.values()])
    variance = variance_of(
        scores, estimate.variance.how, groups=estimate.groups, coordinates=estimate.coordinates,
        n_params=estimate.n_params, panel=estimate.panel, arms=estimate.arms, weights=estimate.weights,
    )  # fmt: skip
    return replace(
        estimate,
        estimand=estimand,
        terms=tuple(named),
        values=np.array([value for value, _ in named.values()]),
        score_values=scores,
        variance=replace(variance, df=min(variance.df, estimate.variance.df)),
        repeats=None,
        second=None,
        origin=None,
        diagnostics={},
    )


def doubts(estimate: Estimate, model_value: float) -> list[str]:
    """Return what a reader must know of a regression that the estimate is not wholly of."""
    told = []
    if estimate.second is not None:
        told.append("intervals here leave out the error of the calibration that corrected the outcome")
    off = abs(model_value - float(estimate.values[0]))
    if off > 1e-6 * max(abs(model_value), float(np.ravel(estimate.std_error)[0])):
        told.append(
            f"the coefficient of the regression is {model_value:.4g} where the estimate is "
            f"{float(estimate.values[0]):.4g}; the analysis is of the regression"
        )
    if origin_of(estimate).options["method"] == "regression":
        told.append("covariates times treatment are columns of this regression and count among the controls")
    return told


def is_predicted(estimate: Estimate) -> bool:
    """Whether the outcome was predicted from images, so that no regression could explain all of it."""
    design = origin_of(estimate).design
    return estimate.second is not None or getattr(design, "outcome_imputed", None) is not None


def _members(model: LinearModel, benchmark: Benchmark, design: Any) -> Mask:
    return model.members(benchmark, tuple(getattr(design.table, "feature_blocks", {})))


def _seen(model: LinearModel, compared: Mask, name: str, in_words: str) -> Seen:
    """Return moments and influence values; those of residuals move with coefficients to second order only."""
    pair = np.column_stack([model.outcome, model.treatment])
    # what a panel's effects leave has mean zero already
    roots = model.roots / np.sqrt(model.roots @ model.roots)
    centred = model.outcome - roots * (roots @ model.outcome)
    before = model.residuals(pair, ~compared)
    after = model.residuals(pair)
    products = np.column_stack([centred**2, *_products(before), *_products(after)])
    means = products.mean(axis=0)
    return Seen(name, in_words, Moments(*means), products - means)


def _products(pair: FloatArray) -> Sequence[FloatArray]:
    outcome, treatment = pair.T
    return outcome**2, outcome * treatment, treatment**2
