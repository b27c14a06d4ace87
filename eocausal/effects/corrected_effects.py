"""Effects by unit on a predicted outcome: what outcome they are learned of, and their average with all errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eocausal.debiasing.corrected import corrected, require_corrector
from eocausal.debiasing.corrector import NAIVE, Corrector
from eocausal.effects.methods import ignorability
from eocausal.effects.predicted_design import predicted_study
from eocausal.effects.weighting import DoublyRobust, doubly_robust_scores
from eocausal.inference.assemble import assemble
from eocausal.inference.scores import mean_of_scores
from eocausal.inference.tilting import balancing_weights
from eocausal.inference.vcov import variance_of
from eocausal.nuisance.settings import provenance

if TYPE_CHECKING:
    from eocausal.design import Design
    from eocausal.inference.estimate import Estimate
    from eocausal.nuisance.settings import Settings

FloatArray = npt.NDArray[np.float64]

TAKEN_AS_GIVEN = (
    "the average effect holds the error of the calibration; effects by unit, doubly robust scores and what is made "
    "of them (RATE, groups, policies) take the calibration as given"
)

CARRIED_AS_GIVEN = "standard errors take the calibration of the predicted outcome as given"


def corrected_design(design: Design, corrector: object) -> Design:
    """Return a design with the outcome as the believed correction has it; as it is without a corrector.

    Raises
    ------
    EstimationError
        Not a corrector.
    """
    if corrector is None:
        return design
    known = require_corrector(corrector)
    method = known.method
    score = None
    if method == "tweedie":
        score = known.score_for(design.table.outcome, design.table.weights)
    return design.with_changed_outcome(lambda y: known.correct(y, method=method, score=score))


def average_effect(
    design: Design,
    judged: DoublyRobust,
    settings: Settings,
    *,
    raw: Design,
    corrector: Corrector | None,
    warnings: Sequence[str],
    diagnostics: Mapping[str, Any],
) -> Estimate:
    """Return the average of doubly robust scores, with the error of the calibration where the outcome is corrected.

    Parameters
    ----------
    design : Design
        With the outcome that effects were learned of.
    judged : DoublyRobust
        Its scores.
    settings : Settings
    raw : Design
        With the outcome as the map gives it.
    corrector : Corrector or None
    warnings, diagnostics
        Of the effects by unit.
    """
    made, table = provenance(design, settings), design.table

    def averaged(scored: DoublyRobust, weights: FloatArray | None = None) -> Estimate:
        return assemble(
            design,
            [mean_of_scores(scored.scores, table.weights)],
            estimand="ate",
            method="aipw (folds of effects)",
            terms=(design.treatment,),
            assumptions=(ignorability(design, table.propensity is not None, settings.learners),),
            warnings=[*scored.warnings, *warnings],
            diagnostics={**scored.diagnostics, **diagnostics},
            weights=weights,
            provenance=made,
        )

    def weighed(other: Design) -> Estimate:
        # weights of the arms say how the average moves with the calibration, without predicting outcomes anew
        scored = doubly_robust_scores(other, settings)
        return averaged(
            scored, table.weights * balancing_weights(table.treatment, scored.nuisance.propensity, "ate")
        )

    if corrector is None:
        return averaged(judged)
    found = corrected(corrector, predicted_study(raw, weighed))
    best = found.best
    return replace(
        best,
        terms=(design.treatment,),
        weights=None,
        warnings=(*best.warnings, *((TAKEN_AS_GIVEN,) if found.chosen != NAIVE else ())),
        diagnostics={**best.diagnostics, "correction": found.chosen},
        provenance={**best.provenance, **made},
    )


def without_calibration(average: Estimate) -> Estimate:
    """Return an average effect with the calibration of its outcome taken as given, to be carried elsewhere."""
    if average.second is None:
        return average
    made = variance_of(
        average.score_values,
        average.variance.how,
        groups=average.groups,
        coordinates=average.coordinates,
        n_params=average.n_params,
        arms=average.arms,
    )
    kept = [text for text in average.warnings if text not in (*average.variance.notes, TAKEN_AS_GIVEN)]
    return replace(average, second=None, variance=made, warnings=(*kept, CARRIED_AS_GIVEN, *made.notes))
