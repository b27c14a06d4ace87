"""Bounds of estimates by AIPW: doubly valid and doubly sharp, with influence values."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal.effects.coefficients import model_columns
from eocausal.effects.methods import LEADING
from eocausal.inference.repeats import Repeats, middle_repeats
from eocausal.inference.vcov import variance_of
from eocausal.nuisance.columns import has_columns
from eocausal.nuisance.settings import Settings
from eocausal.sensitivities.dvds_bounds import UNSEEN, Predicted, bounded_effect
from eocausal.sensitivities.marginal_checks import DVDS
from eocausal.sensitivities.marginal_weighted import few_columns
from eocausal.sensitivities.sharp_bounds import levels_of
from eocausal.sensitivities.subject import origin_of, settings_of
from eocausal.sensitivities.tail_quantiles import (
    LEAST_UNITS_A_COLUMN,
    Quantiles,
    Tail,
    columns_that_fit,
    tail_out_of_fold,
)

if TYPE_CHECKING:
    from eocausal.inference.estimate import Estimate
    from eocausal.inference.origin import Origin

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Repeat:
    """Predictions of one way to deal units into folds, and quantiles from the same folds, by arm."""

    units: Predicted
    quantiles: tuple[Quantiles, Quantiles]
    estimand: str
    _kept: dict[tuple[int, float, bool], Tail] = field(default_factory=dict, repr=False)

    def effect(self, bound: float, *, upper: bool) -> tuple[float, FloatArray]:
        """Return the lowest or the highest effect and its influence values (n,)."""
        tails = {}
        if bound > 1:
            for arm in UNSEEN[self.estimand]:
                side = upper if arm == 1 else not upper
                tails[arm] = self._tail(arm, levels_of(bound)[int(side)], side)
        found = bounded_effect(self.units, tails, estimand=self.estimand, bound=bound, upper=upper)
        return found.estimate, found.scores

    def _tail(self, arm: int, level: float, upper: bool) -> Tail:
        if (arm, level, upper) not in self._kept:
            rows = self.units.treatment == arm
            self._kept[arm, level, upper] = tail_out_of_fold(self.quantiles[arm], rows, level, upper=upper)
        return self._kept[arm, level, upper]


@dataclass(frozen=True, eq=False)
class Orthogonal:
    """Bounds of an estimate by AIPW.

    Attributes
    ----------
    estimate : Estimate
    repeats : tuple of Repeat
    level : float
    notes, said
        What a reader must know, and diagnostics.
    """

    estimate: Estimate
    repeats: tuple[Repeat, ...]
    level: float
    methods: tuple[str, ...] = (DVDS,)
    notes: tuple[str, ...] = ()
    said: dict[str, Any] = field(default_factory=dict)

    def bounded(self, bounds: FloatArray) -> Estimate:
        """Return lowest and highest effects as one estimate, two terms for each bound, with joint covariance."""
        made = [
            [one.effect(float(bound), upper=upper) for bound in bounds for upper in (False, True)]
            for one in self.repeats
        ]
        values = np.array([[value for value, _ in one] for one in made])
        scores = np.array([np.column_stack([own for _, own in one]) for one in made])
        terms = tuple(f"{end} at {bound:g}" for bound in bounds for end in ("low", "high"))
        of = self.estimate
        make = partial(
            variance_of, how=of.variance.how, groups=of.groups, coordinates=of.coordinates, n_params=of.n_params,
            panel=of.panel, arms=of.arms, weights=of.weights,
        )  # fmt: skip
        if of.repeats is None:
            value, score, repeats, variance = values[0], scores[0], None, make(scores[0])
        else:
            each = Repeats(terms, of.repeats.seeds, values, scores, np.zeros_like(values))
            variance, repeats = each.variance(make)
            value, score = np.median(values, axis=0), scores[middle_repeats(values)].mean(axis=0)
        second = None
        if of.second is not None:
            # what a calibration gets wrong moves all outcomes by one factor
            second = of.second.combined((value / of.values[0])[None, :])
            variance = second.added(variance)
        return replace(
            of, terms=terms, values=value, score_values=score, variance=variance, repeats=repeats, second=second,
            method=f"{of.method}, {DVDS}", warnings=(*self.notes, *variance.notes), diagnostics={}, origin=None,
        )  # fmt: skip

    def ends(self, bound: float, method: str) -> FloatArray:
        """Return the lowest and the highest effect (2,)."""
        return np.array([self.end(bound, method, side) for side in (0, 1)])

    def end(self, bound: float, method: str, side: int) -> float:
        """Return one of them."""
        return float(np.median([one.effect(bound, upper=side == 1)[0] for one in self.repeats]))

    def interval(self, bounds: FloatArray, method: str) -> FloatArray:
        """Return the intervals (k, 2): from the limit below the lowest to that above the highest effect."""
        limits = np.asarray(self.bounded(bounds).ci(self.level))
        return np.column_stack([limits[0::2, 0], limits[1::2, 1]])

    def limit(self, bound: float, method: str, side: int) -> float:
        """Return one end of an interval."""
        return float(self.interval(np.array([bound]), method)[0, side])


def orthogonal(estimate: Estimate, *, lambdas: FloatArray, quantile: str | None, level: float) -> Orthogonal:
    """Return the bounds of an estimate by AIPW, with quantiles from the folds that it was made with."""
    origin = origin_of(estimate)
    settings = settings_of(origin)
    columns, told, width = _columns(origin, settings, float(lambdas.max()), quantile)
    learner = "boosting" if quantile == "boosting" else "linear"
    repeats = tuple(
        _repeat(origin, settings, columns, learner=learner, number=number)
        for number in range(len(origin.predicted))
    )
    said = {"quantile_columns": columns.shape[1] + 1, "quantile_learner": learner, "columns": width}
    return Orthogonal(estimate, repeats, level, notes=tuple(told), said=said)


def _columns(
    origin: Origin, settings: Settings, most: float, quantile: str | None
) -> tuple[FloatArray, list[str], int]:
    """Return covariates and leading components (n, p), as many as the tails of the smaller arm allow."""
    design, table = origin.entered, origin.entered.table
    seen = settings.learners.columns
    if not has_columns(design, seen):
        return np.zeros((len(design), 0)), [], 0
    leading = replace(LEADING, columns=seen)
    values = model_columns(design, Settings(settings.folds, leading, settings.seed)).values
    width = values.shape[1]
    if quantile == "boosting":
        return values, [], width
    smaller = int(min(table.treatment.sum(), (1 - table.treatment).sum()))
    # one of them is the predicted outcome
    kept = columns_that_fit(width + 1, smaller, 1 / (most + 1), each=LEAST_UNITS_A_COLUMN) - 1
    kept = max(min(kept, width), 0)
    told = [few_columns(kept, width, smaller)] if kept < width else []
    return values[:, :kept], told, width


def _repeat(origin: Origin, settings: Settings, columns: FloatArray, *, learner: str, number: int) -> Repeat:
    table, found = origin.entered.table, origin.predicted[number]
    dealt = settings.folds.assign(origin.design, seed=settings.seed + number)
    place = pd.Index(origin.design.table.ids).get_indexer(pd.Index(table.ids))
    means = (found["outcome_control"], found["outcome_treated"])
    units = Predicted(table.outcome, table.treatment, table.weights, found["propensity"], means)
    quantiles = [
        Quantiles(np.column_stack([mean, columns]), table.outcome, table.weights, learner, dealt[place])
        for mean in means
    ]
    return Repeat(units, (quantiles[0], quantiles[1]), str(origin.options["estimand"]))
