"""`image_types`: images sorted into types whose units gain differently, and the effect of each type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import one_of, whole_number
from eocausal.effects.image_types_result import ImageTypes
from eocausal.effects.methods import ignorability
from eocausal.effects.type_checks import (
    likeness,
    numbers_of,
    of_choice,
    require_types,
    that_folds_can_hold,
    warnings_of,
    with_difference,
)
from eocausal.effects.type_effects import averages_by_type, effects_of_pure_types
from eocausal.effects.type_folds import OutOfFoldTypes, choice_of, types_out_of_fold
from eocausal.effects.type_learning import TypeModel, TypesAsked, learn_types
from eocausal.effects.weighting import DoublyRobust, doubly_robust_scores
from eocausal.errors import EstimationError
from eocausal.inference.assemble import assemble
from eocausal.inference.scores import mean_of_scores
from eocausal.nuisance.cross_fit import Learners
from eocausal.nuisance.folds import Folds
from eocausal.nuisance.settings import provenance, settings_for

if TYPE_CHECKING:
    from eocausal.design import Design
    from eocausal.inference.estimate import Estimate

__all__ = ["ImageTypes", "image_types"]

FloatArray = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]

SEQUENTIAL = (
    "a unit's probability of each type is that of a model of earlier folds; averages are over models trained on "
    "growing shares of the folds, and the first fold only trains"
)
MIXTURE = (
    "types, not their averages, rest on the mixture: given features and type, outcomes are normal around a linear "
    "function of the columns plus the type's effect"
)

CALIBRATED = (
    "images are of each type as often as their probabilities say, so that effects of pure types can be told"
)


def image_types(
    design: Design,
    *,
    k: int | str | Sequence[int] = 2,
    pca: int | None = 10,
    variances: str = "arm",
    orthogonalise: bool = False,
    folds: Folds | None = None,
    learners: Learners | None = None,
    seed: int = 0,
    progress: bool = False,
) -> ImageTypes:
    """Sort images into types whose units gain differently, and estimate the effect of each type.

    An image has a latent type with a probability that its features tell, a multinomial logit with a normal prior.
    Units of an image share its type. Untreated their outcomes are normal around a ridge in features and covariates,
    treated around that plus the effect of their type, with a variance of the arm or of arm and type. The mixture is
    fitted by variational EM from several starts. Effects by type are averages of doubly robust scores by
    probabilities out of fold, which hold whether or not the mixture is right.

    Parameters
    ----------
    design : Design
        With ``features``. Images shared by several units have one type.
    k : int, "auto" or sequence of int
        The number of types. ``"auto"`` chooses from 1 to 4 (fewer where folds have few images), a sequence from
        those it names: the smallest number under which outcomes of folds not learned from are as likely as under
        the best, within one standard error.
    pca : int or None
        Feature blocks wider than this become that many principal components, on training folds only. Blocks whose
        encoder says how many components they become become that many.
    variances : {"arm", "type"}
        ``arm`` (default): outcomes vary alike in all types, by arm. ``type``: each type has its own variance in
        each arm, as published. Where outcomes are far from normal, such as many at zero, it finds types of spread,
        not of effect.
    orthogonalise : bool
        Take from the outcome what covariates predict of it without treatment, by the outcome learner out of fold,
        before types are learned. By default covariates enter the mixture linearly.
    folds : Folds, optional
    learners : Learners, optional
        Of the doubly robust scores; of the propensity, which enters the mixture where it varies; and, with
        ``orthogonalise``, of what covariates predict.
    seed : int
    progress : bool
        Whether to show a progress bar on standard error.

    Returns
    -------
    ImageTypes
        Effects of types with cluster-robust errors, probabilities of types by image and unit, examples, figures.

    Raises
    ------
    EstimationError
        No features, a number of types that is not one, too few images for it, or ``orthogonalise`` without
        covariates.

    Notes
    -----
    The mixture is that of Jerzak, Johansson and Daoud (2023), Image-based treatment effect heterogeneity, PMLR 213,
    on features in place of a network on pixels. That probabilities come from earlier folds alone follows Luedtke
    and van der Laan (2016), Annals of Statistics 44: with those of all other folds, types of units that gain alike
    differ in one of eight samples at a nominal 5%.

    Examples
    --------
    >>> import numpy as np, pandas as pd, eocausal as ec
    >>> rng = np.random.default_rng(0)
    >>> pictures = pd.DataFrame(rng.normal(size=(80, 3)), columns=["f1", "f2", "f3"]).assign(village=range(80))
    >>> table = pd.DataFrame({"village": np.arange(480) % 80, "grant": rng.integers(0, 2, 480)})
    >>> gain = np.where(pictures["f1"] > 0, 2.0, 0.0)[table["village"]]
    >>> table["income"] = gain * table["grant"] + rng.normal(size=480)
    >>> features = ec.read_embeddings(pictures, key="village")
    >>> design = ec.Design(table, outcome="income", treatment="grant", features=features, propensity=0.5)
    >>> types = ec.image_types(design, k=2)
    >>> [round(effect) for effect in types.model["effect"]]
    [0, 2]
    """
    numbers, auto = numbers_of(k), isinstance(k, str)
    settings = settings_for(design, folds=folds, learners=learners, seed=seed)
    if pca is not None:
        pca = whole_number(pca, argument="pca", error=EstimationError, least=1)
    one_of(variances, ("arm", "type"), argument="variances", error=EstimationError)
    asked = TypesAsked(settings, pca, bool(orthogonalise), variances)
    fold_of = settings.folds.assign(design, seed=settings.seed)
    numbers = that_folds_can_hold(design, fold_of) if auto else numbers
    require_types(design, asked, fold_of, max(numbers))
    judged = doubly_robust_scores(design, settings)
    found = types_out_of_fold(design, fold_of, asked, numbers, progress=progress)
    nuisance, table = judged.nuisance, design.table
    chosen, choice = choice_of(
        found,
        groups=settings.folds.groups(design),
        weights=table.weights,
        centred_outcome=table.outcome - nuisance.outcome_mean,
        centred_treatment=table.treatment - nuisance.propensity,
    )
    (model,) = learn_types(design, asked, (chosen,))
    return _result(
        design, asked, judged, found[chosen], model, choice if len(numbers) > 1 else None, auto=auto
    )


def _result(
    design: Design,
    asked: TypesAsked,
    judged: DoublyRobust,
    found: OutOfFoldTypes,
    model: TypeModel,
    choice: pd.DataFrame | None,
    *,
    auto: bool,
) -> ImageTypes:
    """Put together what was found and how it is judged."""
    terms = tuple(f"type {number + 1}" for number in range(model.mixture.types))
    table = design.table
    alike = likeness(found.models, design)
    average = mean_of_scores(judged.scores, table.weights).estimate
    described = _described(asked, model, found, choice)
    named: dict[str, Any] = {
        "estimand": "ate by type of image",
        "terms": terms,
        "assumptions": _assumptions(design, asked, len(terms)),
        "diagnostics": {**judged.diagnostics, **described, "average_effect": average, "alike": alike},
        "provenance": provenance(design, asked.settings),
    }
    warnings = [
        *judged.warnings,
        *warnings_of(design, model, found.models, alike),
        *of_choice(choice, auto=auto),
    ]
    by_type, pure = _effects(design, judged, found, warnings, named)
    return ImageTypes(
        by_type=by_type,
        pure=pure,
        model=_model_table(terms, table.weights @ found.probability / table.weights.sum(), model),
        images=_images(design, found, terms, judged.nuisance.folds),
        ids=table.ids,
        image_keys=table.image_keys,
        choice=choice,
        learn=lambda: model,
    )


def _effects(
    design: Design,
    judged: DoublyRobust,
    found: OutOfFoldTypes,
    warnings: list[str],
    named: dict[str, Any],
) -> tuple[Estimate, Estimate | None]:
    """Return average effects by type and those of pure types, of units whose type earlier folds tell."""
    types = found.earlier.shape[1]
    # with one type nothing is learned, and the first fold counts too
    later = ~np.isnan(found.earlier[:, 0]) | (types == 1)
    part, scores = design.take(later), judged.scores[later]
    probability = found.earlier[later] if types > 1 else np.ones((len(part), 1))
    weights = part.table.weights
    pure = effects_of_pure_types(scores, probability, weights) if types > 1 else None
    if types > 1 and pure is None:
        warnings = [
            *warnings,
            "probabilities of types hardly vary, so that effects of pure types cannot be told",
        ]
    averages = averages_by_type(scores, probability, weights)
    by_type = assemble(
        part, averages, method="doubly robust scores by probability of the type", warnings=warnings, **named
    )
    if pure is None:
        return with_difference(by_type), None
    certain = named | {"assumptions": (*named["assumptions"], CALIBRATED)}
    method = "doubly robust scores regressed on probabilities of types"
    return with_difference(by_type), assemble(part, pure, method=method, warnings=warnings, **certain)


def _assumptions(design: Design, asked: TypesAsked, types: int) -> tuple[str, ...]:
    told = ignorability(design, design.table.propensity is not None, asked.settings.learners)
    return (told, SEQUENTIAL, MIXTURE) if types > 1 else (told,)


def _described(
    asked: TypesAsked, model: TypeModel, found: OutOfFoldTypes, choice: pd.DataFrame | None
) -> dict[str, Any]:
    mixture = model.mixture
    return {
        "k": mixture.types,
        "k_chosen_by": "held-out likelihood" if choice is not None else "the user",
        "components": int(mixture.gate.shape[1] - 1),
        "types_pca": asked.pca,
        "orthogonalised": asked.orthogonalise,
        "variances": asked.variances,
        "bound": mixture.bounds[-1],
        "steps": len(mixture.bounds) - 1,
        "held_out_log_likelihood": float(found.log_likelihood.sum()) / found.log_likelihood.size,
    }


def _model_table(terms: tuple[str, ...], share: FloatArray, model: TypeModel) -> pd.DataFrame:
    mixture = model.mixture
    control, treated = mixture.variances
    return pd.DataFrame(
        {
            "type": list(terms),
            "share": share,
            "effect": mixture.effects,
            "posterior_sd": mixture.effect_errors,
            "variance_control": control,
            "variance_treated": treated,
            "variance_of_gain": control + treated + mixture.effect_errors**2,
        }
    )


def _images(design: Design, found: OutOfFoldTypes, terms: tuple[str, ...], folds: Codes) -> pd.DataFrame:
    """Return one row for each image, in the order of their keys."""
    table = design.table
    keys, first, codes = np.unique(table.image_keys, return_index=True, return_inverse=True)
    counts = np.bincount(codes)
    frame = pd.DataFrame({"image_key": keys, "fold": folds[first], "n_units": counts})
    for number, term in enumerate(terms):
        frame[term] = found.probability[first, number]
    for number, term in enumerate(terms):
        frame[f"sd {term}"] = found.error[first, number]
    places = np.full((keys.size, 2), np.nan)
    if table.coordinates is not None:
        places = np.column_stack([np.bincount(codes, column) / counts for column in table.coordinates.T])
    frame["lon"], frame["lat"] = places.T
    return frame
