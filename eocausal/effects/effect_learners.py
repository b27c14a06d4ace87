"""What learns effects by unit: the sample that it is given, and the model that it hands back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from eocausal.errors import EstimationError, explain
from eocausal.inference import scores
from eocausal.nuisance.cross_fit import Nuisance, cross_fit

if TYPE_CHECKING:
    from eocausal.design import Design
    from eocausal.nuisance.settings import Settings

FloatArray = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]

SINGLE_EFFECTS = (
    "standard errors of single effects leave out bias and are too small with many features; make claims from "
    "averages, groups of units (ec.groups) and RATE"
)
NO_ERRORS = (
    "this learner has no standard errors of single effects; make claims from averages, groups of units (ec.groups) "
    "and RATE"
)

# folds on which outcome and treatment are predicted, where there are so many groups
NUISANCE_FOLDS = 3


class EffectModel(Protocol):
    """What a learner hands back.

    Forests also have ``out_of_bag(design)``, as ``predict`` for the units that they were grown on, and
    ``importance()``, from the name and kind of each covariate and block of features to its share. Any model may
    have ``warnings``, which speak of its "standard errors of single effects".
    """

    def predict(
        self, design: Design, *, rows: npt.NDArray[Any] | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Return the effect and its standard error for the units of a design, or for some rows of it.

        The error is NaN where a learner has none.
        """
        ...


class EffectLearner(Protocol):
    """Settings of a learner of effects by unit, which learns from a sample.

    A learner that tells units apart by more than the columns of their design has ``sees_pictures``, which is true.
    """

    def fit(self, sample: EffectSample, *, seed: int) -> EffectModel:
        """Learn effects from all units of the sample; whatever is made from its columns is made here."""
        ...

    def describe(self) -> dict[str, Any]:
        """Return what a reader must know of the learner, for ``diagnostics``."""
        ...


@dataclass(frozen=True, eq=False)
class EffectSample:
    """Units to learn effects from, in the order of their ids, with what is expected of each out of fold.

    Learners that draw rows by position draw the same ones however the table was sorted.

    Attributes
    ----------
    design : Design
    nuisance : Nuisance
        Predicted outcomes by arm and propensity, each from folds without the unit.
    groups : array of shape (n,)
        Codes of units that no split may part.
    """

    design: Design
    nuisance: Nuisance
    groups: Codes

    @property
    def centred_outcome(self) -> FloatArray:
        """Outcome less what is expected from the columns alone (n,)."""
        return self.design.table.outcome - self.nuisance.outcome_mean

    @property
    def centred_treatment(self) -> FloatArray:
        """Treatment less the propensity (n,)."""
        return self.design.table.treatment - self.nuisance.propensity

    @property
    def dr_scores(self) -> FloatArray:
        """Doubly robust scores (n,), which know of no unit outside the sample."""
        table, nuisance = self.design.table, self.nuisance
        return scores.doubly_robust(
            table.outcome,
            table.treatment,
            propensity=nuisance.propensity,
            outcome_control=nuisance.outcome_control,
            outcome_treated=nuisance.outcome_treated,
        )


def effect_sample(design: Design, settings: Settings) -> EffectSample:
    """Predict outcome and treatment of each unit on three folds, by groups that ``settings.folds`` keeps whole.

    Raises
    ------
    EstimationError
        All units are tied together.
    """
    design = design.take(np.argsort(design.table.ids, kind="stable"))
    scheme = settings.folds
    groups = scheme.groups(design)
    n_groups = int(groups.max()) + 1
    if n_groups < 2:
        raise EstimationError(
            explain(
                f"The {len(design)} units that effects are to be learned from are all tied together by a cluster, "
                "an image or a block.",
                rule="at least 2 groups in a fold, since the first model of a ranking learns from one fold alone",
                fix="fewer folds, smaller blocks, or clusters of fewer units; k=2 needs 4 groups",
            )
        )
    dealt = replace(scheme, k=min(NUISANCE_FOLDS, n_groups), repeats=1).assign(design, seed=settings.seed)
    nuisance = cross_fit(design, dealt, settings.learners, seed=settings.seed, groups=groups)
    return EffectSample(design, nuisance, groups)


def require_columns(design: Design, learner: EffectLearner) -> None:
    """Raise where a design has nothing to tell units apart by, and its learner sees no pictures."""
    if getattr(learner, "sees_pictures", False):
        return
    if not design.table.covariate_names and not design.table.features.shape[1]:
        raise EstimationError(
            explain(
                "The design has no covariates and no features, so effects cannot be told apart.",
                fix="Design(..., features=embeddings) or covariates=[...]",
            )
        )


@dataclass(frozen=True, eq=False)
class OutOfFoldEffects:
    """Effects of each unit by models that saw neither the unit nor its cluster or image.

    Attributes
    ----------
    effects, errors : array of shape (n,)
        From models of all other folds.
    sequential : array of shape (n,)
        From models of earlier folds only; NaN in fold 0.
    models : tuple of EffectModel
        The model of all folds but the first, but the second, ...
    warnings : tuple of str
        What these models, and those of earlier folds, say of themselves.
    """

    effects: FloatArray
    errors: FloatArray
    sequential: FloatArray
    models: tuple[EffectModel, ...]
    warnings: tuple[str, ...] = ()


def mean_importance(models: Sequence[EffectModel]) -> tuple[tuple[str, str, float], ...]:
    """Return name, kind and mean share of covariates and blocks of features, largest first; () without trees."""
    found = [model.importance() for model in models if hasattr(model, "importance")]
    if not found:
        return ()
    mean = {source: sum(shares[source] for shares in found) / len(found) for source in found[0]}
    return tuple((*source, mean[source]) for source in sorted(mean, key=lambda one: -mean[one]))


def about_errors(found: OutOfFoldEffects) -> list[str]:
    """Return what a reader must know of standard errors of single effects."""
    if found.warnings:
        return list(found.warnings)
    return [NO_ERRORS if np.isnan(found.errors).all() else SINGLE_EFFECTS]


def beyond_single_effects(warnings: Sequence[str]) -> list[str]:
    """Return the warnings that do not speak of standard errors of single effects, for verbs that use none."""
    return [text for text in warnings if "standard errors of single effects" not in text]


def training_rows(fold_of: Codes) -> list[tuple[str, int, npt.NDArray[np.bool_]]]:
    """Return the training sets of out-of-fold and sequential effects: which kind, for which fold, its rows."""
    k = int(fold_of.max()) + 1
    # the model for the last fold has seen all earlier folds, so it serves both purposes
    return [("others", fold, fold_of != fold) for fold in range(k)] + [
        ("earlier", fold, fold_of < fold) for fold in range(1, k - 1)
    ]


def effects_out_of_fold(
    design: Design,
    fold_of: Codes,
    learn: Callable[[npt.NDArray[np.bool_]], EffectModel],
    *,
    progress: bool,
) -> OutOfFoldEffects:
    """Learn from the other folds, and from the earlier folds, and predict the effects of each fold.

    ``learn`` is called with the rows to learn from, (n,), of the design.
    """
    from tqdm import tqdm

    last = int(fold_of.max())
    effects, errors = np.zeros(len(design)), np.zeros(len(design))
    sequential = np.full(len(design), np.nan)
    models: list[EffectModel] = []
    told: dict[str, None] = {}
    jobs = training_rows(fold_of)
    for seen, fold, rows in tqdm(jobs, desc="effects by unit", unit="model", disable=not progress):
        test = fold_of == fold
        model = learn(rows)
        said = getattr(model, "warnings", ())
        told |= dict.fromkeys(said if seen == "others" else beyond_single_effects(said))
        effect, error = model.predict(design, rows=test)
        if seen == "others":
            effects[test], errors[test] = effect, error
            models.append(model)
        if seen == "earlier" or fold == last:
            sequential[test] = effect
    return OutOfFoldEffects(effects, errors, sequential, tuple(models), tuple(told))
