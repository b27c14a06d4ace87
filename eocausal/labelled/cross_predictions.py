"""`cross_predictions`: predictions by models that learn from the few labels of the study itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import require_columns
from eocausal._study_columns import read_numbers
from eocausal._threads import one_blas_thread
from eocausal.design import Design
from eocausal.errors import DebiasError, explain
from eocausal.labelled.cross_result import CrossPredictions
from eocausal.labelled.labelled_table import said_to_be_labelled
from eocausal.nuisance.columns import has_columns, require_columns_asked
from eocausal.nuisance.fitting import fitted_outcome, mean_weights
from eocausal.nuisance.folds import Folds, deal
from eocausal.nuisance.learners import Learners, OutOfFold
from eocausal.nuisance.settings import Settings, provenance, settings_for
from eocausal.nuisance.training_folds import TrainingFold
from eocausal.study_table import frame_of

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.intp]

# No fold: predicted by the models of all folds.
ALL_MODELS = -1
# Models that disagree by more than this share of the variance of predictions are unstable.
_UNSTABLE = 0.25


@dataclass(frozen=True, eq=False)
class _Study:
    """The design with the truth as its outcome, its mean where there is none, and who has a label."""

    design: Design
    labelled: BoolArray


def cross_predictions(
    design: Design,
    *,
    truth: str,
    labelled: str | None = None,
    learners: Learners | None = None,
    folds: Folds | None = None,
    seed: int = 0,
) -> CrossPredictions:
    """Predict an outcome that was measured for some units, with models trained on these very units.

    Units with labels are dealt into folds, clusters and shared images whole, and each is predicted by a model of
    the other folds. A unit without a label is predicted by the average of all models, unless it shares a cluster or
    an image with units that have one: then by the model that has not seen those. All labels train, and all of them
    put predictions right.

    Parameters
    ----------
    design : Design
        Its covariates and image features predict; its treatment and its outcome do not. The outcome may be the
        truth itself, with ``missing="drop"``.
    truth : str
        Column of the outcome as it was measured, missing where it was not.
    labelled : str, optional
        Boolean column: whose truth is used. Default: all units that have one.
    learners : Learners, optional
        Of which the one of the outcome is used. Default ridge on covariates and 50 components of each block.
    folds : Folds, optional
        Default five.
    seed : int

    Returns
    -------
    CrossPredictions
        ``ec.ppi(found.onto(design), truth=truth)`` estimates the effect.

    Raises
    ------
    DebiasError
        No column to predict from, the truth among the covariates, fewer labels than twice the folds, or fewer
        groups of units with labels than folds.
    EstimationError
        Learners that predict by arm, or folds that would part clusters.

    Notes
    -----
    Zrnic and Candès (2024), Proceedings of the National Academy of Sciences 121(15). Their variance is that of the
    average model's predictions over units without labels, plus that of errors over units with labels. Predictions
    here are averages over models, so that the first part is theirs; errors are of single models out of fold, as in
    their variant without a bootstrap, and make the second part a little larger where models differ.

    Examples
    --------
    >>> import numpy as np, pandas as pd, eocausal as ec
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame(rng.normal(size=(600, 3)), columns=["green", "light", "road"])
    >>> table["grant"] = np.tile([0, 1], 300)
    >>> table["wealth"] = table["green"] + table["grant"] + rng.normal(scale=0.5, size=600)
    >>> table["wealth"] = table["wealth"].where(rng.random(600) < 0.2)
    >>> design = ec.Design(
    ...     table, outcome="wealth", treatment="grant", covariates=["green", "light", "road"], missing="drop")
    >>> found = ec.cross_predictions(design, truth="wealth")
    >>> bool(found.diagnostics["out_of_fold_r2"] > 0.5)
    True
    >>> effect = ec.ppi(found.onto(design), truth="wealth").best
    >>> bool(abs(effect.estimate - 1) < 3 * effect.std_error)
    True
    """
    if not isinstance(design, Design):
        raise DebiasError(
            explain(
                f"design is a {type(design).__name__}.", fix="ec.Design(table, outcome=..., treatment=...)"
            )
        )
    settings = settings_for(design, folds=folds, learners=learners, seed=seed)
    if isinstance(settings.learners.outcome, OutOfFold):
        raise DebiasError(
            explain(
                "The outcome was predicted beforehand by arm, of units that have one.",
                fix="Learners(outcome='ridge'), or a scikit-learn regressor",
            )
        )
    study = _read(design, truth, labelled)
    require_columns_asked(study.design, settings.learners.columns)
    if not has_columns(study.design, settings.learners.columns):
        raise DebiasError(
            explain(
                "The design has neither covariates nor features, so there is nothing to predict from.",
                fix="ec.Design(..., features=embeddings) or covariates=[...]",
            )
        )
    groups = settings.folds.groups(study.design)
    dealt = _dealt(study, groups, settings)
    values, spread, mixed = _predicted(study, dealt, groups, settings)
    table = study.design.table
    seen = np.where(study.labelled, table.outcome, np.nan)
    diagnostics = _diagnostics(values, spread, seen, dealt, table.weights)
    diagnostics |= {"stack_outcome": mean_weights(mixed)} if mixed[0] else {}
    return CrossPredictions(
        truth=truth,
        ids=table.ids,
        values=values,
        truths=seen,
        folds=dealt,
        spread=spread,
        warnings=(*table.notes, *_unstable(diagnostics)),
        diagnostics=diagnostics,
        provenance={**provenance(study.design, settings), **settings.learners.describe()},
    )


def _read(design: Design, truth: str, labelled: str | None) -> _Study:
    """Read the design anew with the truth as its outcome, filled with its mean where it is not to be used."""
    frame, ids, _ = frame_of(design)
    require_columns(
        frame, [truth, *([] if labelled is None else [labelled])], table="data", error=DebiasError
    )
    for role, given in (("treatment", [design.treatment]), ("covariates", design.covariates)):
        if truth in given:
            raise DebiasError(explain(f"The truth {truth!r} is among the {role} of the design."))
    values = read_numbers(frame[truth], ids, role="truth")
    there = ~np.isnan(values)
    if labelled is not None:
        fix = f"data[{labelled!r}] = data[{labelled!r}] & data[{truth!r}].notna()"
        there = said_to_be_labelled(frame, (labelled, truth), there, ids, fix=fix)
    if not there.any():
        raise DebiasError(explain(f"No unit is labelled: {truth!r} has no value."))
    if there.all():
        raise DebiasError(
            explain(
                f"All {there.size} units have labels, so there is nobody to predict.", fix="ec.ate(design)"
            )
        )
    # an outcome that is there for all keeps units without a label in the design
    name = f"truth {truth}"
    filled = np.where(there, values, values[there].mean())
    data = design.data
    held = (
        data.assign(**{name: filled})
        if isinstance(data, pd.DataFrame)
        else data.with_columns(**{name: filled})
    )
    made = replace(design, data=held, outcome=name)
    return _Study(made, np.asarray(there[made.table.rows]))


def _dealt(study: _Study, groups: Codes, settings: Settings) -> Codes:
    """Return the fold of each unit (n,): of those with labels, and of units tied to them; else all models.

    Only groups with labels are dealt, so that folds have like numbers of labels of each arm.
    """
    labelled, folds = study.labelled, settings.folds
    if folds.kind == "random" and int(groups.max()) + 1 < groups.size:
        folds.assign(study.design, seed=settings.seed)  # says what is wrong
    known, codes = np.unique(groups[labelled], return_inverse=True)
    n = int(labelled.sum())
    if n < 2 * folds.k or known.size < folds.k:
        raise DebiasError(
            explain(
                f"{n} units with labels, in {known.size} groups that share a cluster or an image, are dealt into "
                f"{folds.k} folds.",
                rule=f"at least {2 * folds.k} units with labels, in {folds.k} groups",
                fix="fewer folds: Folds(k=2)",
            )
        )
    codes = codes.astype(np.intp)
    of_group = np.full(int(groups.max()) + 1, ALL_MODELS)
    of_group[known] = deal(codes, study.design.table.alike[labelled], k=folds.k, seed=settings.seed)
    return np.asarray(of_group[groups], dtype=np.intp)


@one_blas_thread()
def _predicted(
    study: _Study, dealt: Codes, groups: Codes, settings: Settings
) -> tuple[FloatArray, FloatArray, list[Any]]:
    """Return predictions (n,), their spread over models where all predict (n,), and weights of stacks."""
    design, free = study.design, dealt == ALL_MODELS
    k = settings.folds.k
    values = np.zeros(dealt.size)
    by_model, mixed = np.zeros((int(free.sum()), k)), []
    for fold in range(k):
        rows = study.labelled & (dealt != fold)
        part = TrainingFold(design, fold, rows, groups=groups, learners=settings.learners, seed=settings.seed)
        model = fitted_outcome(part, rows)
        own = dealt == fold
        values[own] = model.predict(part.reducer.transform(design, own))
        if free.any():
            by_model[:, fold] = model.predict(part.reducer.transform(design, free))
        mixed.append(model.weights)
    spread = np.full(dealt.size, np.nan)
    values[free], spread[free] = by_model.mean(axis=1), by_model.std(axis=1, ddof=1)
    return values, spread, mixed


def _diagnostics(
    values: FloatArray, spread: FloatArray, truths: FloatArray, dealt: Codes, weights: FloatArray
) -> dict[str, Any]:
    """Return counts, how well labels are predicted out of fold, and how far models disagree."""
    known, free = ~np.isnan(truths), dealt == ALL_MODELS
    y, f, w = truths[known], values[known], weights[known]
    whole = float(w @ (y - np.average(y, weights=w)) ** 2)
    centred = f - np.average(f, weights=w)
    across = float(w @ centred**2)
    found: dict[str, Any] = {
        "n_labelled": int(known.sum()),
        "n_unlabelled": int((~known).sum()),
        "n_tied_to_labels": int((~known & ~free).sum()),
        "folds": int(dealt.max()) + 1,
        "out_of_fold_r2": 1 - float(w @ (y - f) ** 2) / whole if whole > 0 else float("nan"),
        "slope_of_truth": float(w * centred @ y) / across if across > 0 else float("nan"),
    }
    if free.sum() > 1 and values[free].var() > 0:
        found["instability"] = float((spread[free] ** 2).mean() / values[free].var())
    return found


def _unstable(diagnostics: dict[str, Any]) -> tuple[str, ...]:
    told = []
    if diagnostics.get("instability", 0.0) > _UNSTABLE:
        told.append(
            f"models of different folds disagree: their variance is {diagnostics['instability']:.0%} of that of "
            "predictions, and the theory of cross-prediction asks for models that labels of one fold hardly change"
        )
    if diagnostics["out_of_fold_r2"] <= 0:
        told.append("out of fold, predictions are no better than the mean: labels alone are as precise")
    return tuple(told)
