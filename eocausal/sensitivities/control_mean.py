"""The mean outcome without treatment that an effect is added to, with influence values."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from eocausal.effects.restated import restated
from eocausal.errors import SensitivityError, explain
from eocausal.inference import scores
from eocausal.inference.repeats import middle_repeats
from eocausal.panels.fixed_effects import event_columns
from eocausal.sensitivities.subject import made_again, origin_of

if TYPE_CHECKING:
    from eocausal.inference.estimate import Estimate

FloatArray = npt.NDArray[np.float64]


class Mean(NamedTuple):
    """A mean, and its influence values (n,) in the order of the estimate's; None where it is taken as known."""

    value: float
    scores: FloatArray | None


def mean_without_treatment(estimate: Estimate) -> Mean:
    """Return the mean outcome, had nobody been treated, of those whose average effect the estimate is."""
    reader = _READERS.get(str(origin_of(estimate).options["method"]), _of_treated_rows)
    return reader(estimate)


def _by_predictions(estimate: Estimate) -> Mean:
    """Return minus the augmented effect on the outcomes of controls, those of treated units set to zero."""
    origin = origin_of(estimate)
    table, target = origin.entered.table, origin.options["estimand"]
    found = []
    for predicted in origin.predicted:
        numerator, share = scores.augmented(
            table.outcome * (1 - table.treatment), table.treatment, estimand=target,
            propensity=predicted["propensity"], outcome_control=predicted["outcome_control"],
            outcome_treated=np.zeros(len(table.outcome)),
        )  # fmt: skip
        found.append(scores.ratio_of_means(numerator, share, table.weights))
    # influence values of the repeats that those of the effect are of, so that both vary together
    middle = [0] if estimate.repeats is None else middle_repeats(estimate.repeats.values)
    shifts = np.mean([found[one].scores for one in middle], axis=0)
    return Mean(-float(np.median([one.estimate for one in found])), -shifts)


def _by_weights(estimate: Estimate) -> Mean:
    """Return minus the effect on the outcomes of controls, treated ones set to zero, by the same method again."""
    origin = origin_of(estimate)
    # the difference in means reads a design with columns anew, and would lose the outcome that is given here
    design = origin.entered if origin.options["method"] == "difference" else origin.design
    table = design.table
    made = made_again(estimate, restated(design, outcome=table.outcome * (1 - table.treatment)))
    return Mean(-float(made.values[0]), -made.score_values[:, 0])


def _by_one_slope(estimate: Estimate) -> Mean:
    """Return the mean outcome less the slope times the mean of treatment."""
    table, slope = origin_of(estimate).entered.table, float(estimate.values[0])
    outcome, treatment = (
        float(np.average(one, weights=table.weights)) for one in (table.outcome, table.assigned)
    )
    centred = (table.outcome - outcome) - slope * (table.assigned - treatment)
    relative = table.weights / table.weights.mean()
    return Mean(outcome - slope * treatment, relative * centred - treatment * estimate.score_values[:, 0])


def _of_treated_rows(estimate: Estimate) -> Mean:
    """Return, of a panel, the mean outcome of treated rows less the effect, taken as known but for the effect."""
    return _less_effect(estimate, np.asarray(origin_of(estimate).entered.table.treatment) == 1)


def _of_cohorts(estimate: Estimate) -> Mean:
    """Return the same without units that were always treated, of whose effect nothing is known."""
    origin = origin_of(estimate)
    asked = origin.options.get("aggregate") or "simple"
    if asked != "simple":
        raise SensitivityError(
            explain(
                f"The mean without treatment is known of all treated rows together, not by aggregate={asked!r}.",
                fix="ec.panel(design, method='did'), or scale='difference'",
            )
        )
    table = origin.entered.table
    return _less_effect(estimate, (np.asarray(table.treatment) == 1) & ~table.always[table.unit_codes])


def _of_event_rows(estimate: Estimate) -> Mean:
    """Return the same of the rows at the time since treatment that a term of an event study is of."""
    origin = origin_of(estimate)
    found = event_columns(origin.entered, window=origin.options.get("window"))
    return _less_effect(estimate, found.columns[:, found.terms.index(estimate.terms[0])] == 1)


def _less_effect(estimate: Estimate, rows: npt.NDArray[np.bool_]) -> Mean:
    table = origin_of(estimate).entered.table
    mean = float(np.average(table.outcome[rows], weights=table.weights[rows]))
    return Mean(mean - float(estimate.values[0]), None)


_READERS: dict[str, Callable[[Estimate], Mean]] = {
    "aipw": _by_predictions,
    "partially_linear": _by_one_slope,
    "ols": _by_one_slope,
    "event_study": _of_event_rows,
    "did": _of_cohorts,
    **dict.fromkeys(
        ("ipw", "horvitz_thompson", "cbps", "entropy_balancing", "regression", "difference"), _by_weights
    ),
}
