"""The same estimate with one set of features after another, on the same units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal._checks import did_you_mean, one_of
from eocausal.embeddings import Embeddings
from eocausal.errors import EvaluationError, explain
from eocausal.evaluate.balance import balance
from eocausal.evaluate.overlap import overlap
from eocausal.evaluate.prediction_measures import outcome_r2
from eocausal.evaluate.sweep_result import Sweep
from eocausal.nuisance.cross_fit import outcomes_out_of_fold
from eocausal.nuisance.settings import provenance, settings_for

if TYPE_CHECKING:
    from eocausal.design import Design
    from eocausal.inference.estimate import Estimate
    from eocausal.nuisance.settings import Settings

FloatArray = npt.NDArray[np.float64]

BASELINE = "covariates alone"
# What may be asked of each estimate; as in eocausal.ate.
OPTIONS = ("method", "estimand", "trim", "folds", "learners", "vcov", "seed")


def sweep_features(design: Design, sets: Mapping[str, Embeddings], options: Mapping[str, Any]) -> Sweep:
    """Estimate once with each set of features, on the units that have all of them; see :func:`eocausal.sweep`."""
    check_sets(sets)
    check_options(design, options)
    settings = _settings(design, options)
    designs, left_out = on_the_same_units(design, sets)
    rows, estimates, noted = [], {}, {}
    todo = [(name, one, settings.learners) for name, one in designs.items()]
    first = next(iter(designs.values()))
    if first.table.covariate_names:
        todo.insert(0, (BASELINE, first, replace(settings.learners, columns="covariates")))
    for name, one, learners in todo:
        row, estimates[name] = _one(one, replace(settings, learners=learners), options)
        rows.append({"setting": name, **row})
        noted[name] = estimates[name].warnings
    made = {name: table.recipe_hash for name, table in sets.items()}
    return Sweep(
        pd.DataFrame(rows),
        estimates,
        (*left_out, *_blind(estimates), *_gathered(noted)),
        {**settings.learners.describe(), "settings": len(sets)},
        {**provenance(design, settings), "features_by_setting": made},
    )


def _settings(design: Design, options: Mapping[str, Any]) -> Settings:
    folds, learners, seed = options.get("folds"), options.get("learners"), options.get("seed", 0)
    return settings_for(design, folds=folds, learners=learners, seed=seed, repeatable=True)


def check_sets(sets: Mapping[str, Embeddings]) -> None:
    """Raise unless these are features by the name of their set, at least one of them."""
    if not isinstance(sets, Mapping) or not sets:
        raise EvaluationError(
            explain(
                "There are no sets of features, by name, to go through.",
                fix='features={"480 m": small, "960 m": large}, or chips= with coarsen=(1, 2, 4)',
            )
        )
    wrong = [name for name, one in sets.items() if not isinstance(one, Embeddings)]
    if wrong or BASELINE in sets:
        raise EvaluationError(
            explain(
                "Sets of features are tables of features by name.",
                where=wrong or [BASELINE],
                rule=f"Embeddings, none called {BASELINE!r}, which is told of anyway",
                fix="ec.read_embeddings(table, key='image_key')",
            )
        )


def check_options(design: Design, options: Mapping[str, Any]) -> None:
    """Raise where an estimate cannot be made as asked, before anything is encoded for it."""
    from eocausal.effects.ate import METHODS

    design.require_binary("A sweep")
    unknown = [name for name in options if name not in OPTIONS]
    if unknown:
        raise EvaluationError(
            explain(
                "sweep got what ec.ate does not take.", where=unknown, fix=did_you_mean(unknown[0], OPTIONS)
            )
        )
    one_of(options.get("method", "aipw"), tuple(METHODS), argument="method", error=EvaluationError)
    if _settings(design, options).learners.columns == "covariates":
        raise EvaluationError(
            explain(
                "columns='covariates', so that no set of features would be looked at.",
                fix="leave columns out: covariates alone have a row anyway",
            )
        )


def on_the_same_units(design: Design, sets: Mapping[str, Embeddings]) -> tuple[dict[str, Design], list[str]]:
    """Return a design for each set, all on the units that every set has an image for, and who was left out."""
    missing: Literal["drop", "keep"] = "keep" if design.missing == "keep" else "drop"
    read = {name: replace(design, features=one, missing=missing) for name, one in sets.items()}
    ids = design.table.ids
    shared = np.isin(ids, next(iter(read.values())).table.ids)
    for one in read.values():
        shared &= np.isin(ids, one.table.ids)
    if not shared.any():
        raise EvaluationError(explain("No unit has an image in every set of features."))
    out = ~shared
    note = (
        [] if shared.all() else [f"left out of all: {design.table.by_arm(out)} without an image in every set"]
    )
    # in the order of the design, so that folds are the same in every row
    taken = {}
    for name, one in read.items():
        taken[name] = one.take(pd.Index(one.table.ids).get_indexer(pd.Index(ids[shared])))
    return taken, note


def _one(design: Design, settings: Settings, options: Mapping[str, Any]) -> tuple[dict[str, Any], Estimate]:
    """Return the row of one set of features, and its estimate."""
    from eocausal.effects.ate import ate

    table, seed = design.table, settings.seed
    estimate = ate(
        design, **{**options, "learners": settings.learners, "folds": settings.folds, "seed": seed}
    )
    seen = overlap(design, folds=replace(settings.folds, repeats=1), learners=settings.learners, seed=seed)
    low, high = seen.ci()
    bounds = np.ravel(estimate.ci())
    row = {
        "n": estimate.n,
        "n_features": int(table.features.shape[1]) if settings.learners.columns != "covariates" else 0,
        "estimate": float(np.ravel(estimate.estimate)[0]),
        "std_error": float(np.ravel(estimate.std_error)[0]),
        "conf_low": float(bounds[0]),
        "conf_high": float(bounds[1]),
        "auc": float(seen.estimate),
        "auc_low": low,
        "auc_high": high,
        "outcome_r2": _explained(design, settings),
    }
    return {**row, **_balanced(design, estimate)}, estimate


def _explained(design: Design, settings: Settings) -> float:
    table, seed = design.table, settings.seed
    folds, groups = settings.folds.assign(design, seed=seed), settings.folds.groups(design)
    control, treated = outcomes_out_of_fold(design, folds, settings.learners, seed=seed, groups=groups)
    own = np.where(table.treatment == 1, treated, control)
    return outcome_r2(table.outcome, own, table.treatment, table.weights)


def _balanced(design: Design, estimate: Estimate) -> dict[str, float]:
    """Return the largest differences and effective units; NaN after weighting where nothing is weighed."""
    nothing = {"worst_smd": np.nan, "ess_treated": np.nan, "ess_control": np.nan}
    weighs = estimate.weights is not None
    found = balance(design, weights=estimate if weighs else None, classifier=False)
    # coordinates are compared, but nothing adjusts for them
    frame = found.to_frame().query("kind != 'place'")
    before = {"worst_smd_unweighted": float(frame["smd"].abs().max())}
    if not weighs:
        return before | nothing
    sizes = {name: float(found.diagnostics[name]) for name in ("ess_treated", "ess_control")}
    return before | {"worst_smd": float(frame["smd_weighted"].abs().max())} | sizes


def _blind(estimates: Mapping[str, Estimate]) -> list[str]:
    """Return a warning where the estimate is the same to the last digit, whatever the features."""
    first, *others = estimates.values()
    if not others or any((one.values != first.values).any() for one in others):
        return []
    return [
        f"the estimate by {first.method!r} is the same in every row: it does not look at features, so that it says "
        "nothing of them"
    ]


def _gathered(noted: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Return warnings of the estimates, those that all share once."""
    shared = [text for text in next(iter(noted.values())) if all(text in of for of in noted.values())]
    own = [f"{name}: {text}" for name, of in noted.items() for text in of if text not in shared]
    return [*shared, *own]
