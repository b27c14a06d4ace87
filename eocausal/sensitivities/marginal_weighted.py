"""Bounds of weighted estimates: Zhao, Small and Bhattacharya's and the sharp ones, with a percentile bootstrap."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.special import logit
from tqdm import tqdm

from eocausal.effects.balancing import columns_to_balance
from eocausal.effects.coefficients import ModelColumns, fitted_propensity, model_columns
from eocausal.effects.ipw import LEARNED
from eocausal.effects.methods import LEADING
from eocausal.errors import SensitivityError, explain
from eocausal.nuisance.columns import has_columns
from eocausal.nuisance.settings import Settings
from eocausal.sensitivities.propensity_draws import Draws, Propensity, drawn
from eocausal.sensitivities.resampled_units import resampled_units
from eocausal.sensitivities.subject import origin_of, settings_of
from eocausal.sensitivities.tail_quantiles import (
    LEAST_UNITS_A_COLUMN,
    UNITS_A_COLUMN,
    Quantiles,
    columns_that_fit,
)
from eocausal.sensitivities.weighted_bounds import SHARP, ZSB, WeightedBounds

if TYPE_CHECKING:
    from eocausal.inference.estimate import Estimate
    from eocausal.inference.origin import Origin

FloatArray = npt.NDArray[np.float64]

# With fewer draws left than this share of those asked for, what is left is not a sample of them.
LEAST_LEFT = 0.5


@dataclass(frozen=True, eq=False)
class Weighted:
    """Bounds of a weighted estimate and their draws.

    Attributes
    ----------
    methods : tuple of str
    bounds : WeightedBounds
    draws : Draws
    level : float
    outside : float
        Standard error that a second sample adds, as a share of the estimate.
    notes, said
        What a reader must know, and diagnostics.
    """

    methods: tuple[str, ...]
    bounds: WeightedBounds
    draws: Draws
    level: float
    outside: float = 0.0
    notes: tuple[str, ...] = ()
    said: dict[str, Any] = field(default_factory=dict)

    def ends(self, bound: float, method: str) -> FloatArray:
        """Return the lowest and the highest effect (2,)."""
        return self.bounds.at(bound, method)

    def end(self, bound: float, method: str, side: int) -> float:
        """Return one of them."""
        return float(self.bounds.at(bound, method, (side,))[side])

    def interval(self, bounds: FloatArray, method: str) -> FloatArray:
        """Return the intervals (k, 2): of the draws' lowest effects a low share, of their highest a high one."""
        found = self.bounds.drawn(self.draws, bounds, (method,))[:, :, 0]
        return np.array(
            [[self._limit(float(one), method, side, found[:, place, side]) for side in (0, 1)]
             for place, one in enumerate(bounds)]
        )  # fmt: skip

    def limit(self, bound: float, method: str, side: int) -> float:
        """Return one end of an interval."""
        found = self.bounds.drawn(self.draws, np.array([bound]), (method,), (side,))
        return self._limit(bound, method, side, found[:, 0, 0, side])

    @cached_property
    def luck(self) -> float:
        """By how much draws of the estimate itself lie beside it: that of the draws, and of no least loss."""
        found = self.bounds.drawn(self.draws, np.array([1.0]), (ZSB,))
        return float(found.mean()) - self.end(1.0, ZSB, 0)

    def _limit(self, bound: float, method: str, side: int, found: FloatArray) -> float:
        tail = (1 - self.level) / 2
        away = -1 if side == 0 else 1
        limit, point = (
            float(np.quantile(found, tail if side == 0 else 1 - tail)),
            self.end(bound, method, side),
        )
        if method == SHARP and bound > 1:
            # a least loss is too small in every sample, by as much again in draws from it
            limit += 2 * away * max(-away * (float(found.mean()) - point - self.luck), 0.0)
        if self.outside == 0:
            return limit
        other = stats.norm.ppf(1 - tail) * self.outside * abs(point)
        return float(point + away * np.hypot(max(away * (limit - point), 0.0), other))


def weighted(
    estimate: Estimate,
    methods: tuple[str, ...],
    *,
    lambdas: FloatArray,
    quantile: str | None,
    draws: int,
    level: float,
    seed: int,
    progress: bool,
) -> Weighted:
    """Return the bounds of an estimate by ``ipw`` or ``cbps``, its propensity fitted anew in each draw.

    Raises
    ------
    SensitivityError
        More than half of the draws cannot be fitted.
    """
    origin = origin_of(estimate)
    settings, table = settings_of(origin), origin.entered.table
    propensity, columns, told = _propensity(estimate, origin, settings)
    quantiles, of_quantiles = _quantiles(
        origin, settings, columns, kind=quantile, most=float(lambdas.max()), asked=SHARP in methods
    )
    unit = resampled_units(estimate)
    with tqdm(total=draws, desc="draws", disable=not progress) as bar:
        made = drawn(
            table.treatment, table.weights, propensity, unit.codes, draws=draws, seed=seed, told=bar.update
        )
    bounds = WeightedBounds.of(
        table.outcome, table.treatment, table.weights, propensity.log_odds,
        estimand=str(origin.options["estimand"]), quantiles=quantiles,
    )  # fmt: skip
    second = estimate.second
    outside = 0.0 if second is None else float(np.sqrt(second.matrix[0, 0]) / abs(estimate.values[0]))
    return Weighted(
        methods, bounds, made, level, outside,
        (*told, *of_quantiles, *unit.notes, *_failed(made, draws)),
        {"draws": len(made), "draws_failed": made.failed, "drawn": unit.name,
         "quantile_columns": quantiles.columns.shape[1], "quantile_learner": quantiles.learner,
         "quantiles_out_of_fold": quantiles.folds is not None},
    )  # fmt: skip


def _failed(made: Draws, draws: int) -> list[str]:
    if len(made) < LEAST_LEFT * draws:
        raise SensitivityError(
            explain(
                f"In {made.failed} of {draws} draws the propensity cannot be fitted.",
                rule="at least half of the draws hold both arms, and columns that do not tell them apart",
                fix="fewer columns or components in the estimate: learners=ec.Learners(propensity='logit', pca=5)",
            )
        )
    if not made.failed:
        return []
    return [f"{made.failed} of {draws} draws are left out, because no propensity could be fitted to them"]


def _propensity(
    estimate: Estimate, origin: Origin, settings: Settings
) -> tuple[Propensity, ModelColumns | None, list[str]]:
    """Return the propensity, the columns of its index where it has coefficients, and what there is to say of it."""
    found = origin.predicted[0]["propensity"]
    log_odds = logit(found)
    design, parametric = origin.entered, settings.learners.parametric
    if origin.options["method"] == "cbps":
        columns, model = columns_to_balance(design, settings), f"balance {origin.options['estimand']}"
    elif design.table.propensity is None and parametric is not None:
        columns, model = model_columns(design, settings), parametric
    else:
        learned = estimate.diagnostics.get("propensity") == LEARNED
        told = (
            "the propensity was learned out of fold and is taken as given in every draw: intervals of these bounds "
            "do not hold its error; prefer method='aipw', or Learners(propensity='logit')"
        )
        return Propensity(log_odds), None, [told] if learned else []
    fitted = fitted_propensity(design, columns, model=model, what="The propensity", fix="fewer columns")
    return Propensity(log_odds, fitted.rows, model), columns, []


def _quantiles(
    origin: Origin,
    settings: Settings,
    columns: ModelColumns | None,
    *,
    kind: str | None,
    most: float,
    asked: bool,
) -> tuple[Quantiles, list[str]]:
    """Return how quantiles are made: out of fold, or of all units where that is asked for."""
    design, table = origin.entered, origin.entered.table
    if columns is None and has_columns(design, settings.learners.columns):
        of_leading = Settings(settings.folds, LEADING, settings.seed)
        columns = model_columns(design, of_leading)
    values = np.zeros((len(design), 0)) if columns is None else columns.values
    smaller, width = int(min(table.treatment.sum(), (1 - table.treatment).sum())), values.shape[1]
    level = 1 / (most + 1)
    fits = width <= columns_that_fit(width, smaller, level, each=UNITS_A_COLUMN)
    inside = kind == "linear"
    kept, told = width, []
    if not inside and kind != "boosting":
        kept = columns_that_fit(width, smaller, level, each=LEAST_UNITS_A_COLUMN)
    if asked and kept < width:
        told.append(few_columns(kept, width, smaller))
    if asked and inside and not fits:
        told.append(
            f"quantiles of {width} columns for {smaller} units in the smaller arm fit noise, and sharp bounds are "
            "too narrow; quantile='out_of_fold'"
        )
    learner = "boosting" if kind == "boosting" else "linear"
    folds = None if inside else settings.folds.assign(design, seed=settings.seed)
    return Quantiles(values[:, :kept], table.outcome, table.weights, learner, folds), told


def few_columns(kept: int, width: int, smaller: int) -> str:
    """Return a warning that quantiles see the leading columns only."""
    return (
        f"quantiles of the outcome see {kept} of {width} columns, because the smaller arm has {smaller} units: the "
        "bounds are valid, and wider than they might be"
    )
