"""Average treatment effects: one verb, a table of methods, one way to standard errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from eocausal._checks import one_of
from eocausal._provenance import hash_arrays
from eocausal.design import Design
from eocausal.errors import EstimationError, explain
from eocausal.inference import scores
from eocausal.inference.assemble import assemble
from eocausal.inference.estimate import Estimate
from eocausal.inference.folds import Folds
from eocausal.inference.nuisance import (
    LEADING_COMPONENTS,
    ColumnReducer,
    Learners,
    OutOfFold,
    outcomes_out_of_fold,
    propensity_out_of_fold,
)
from eocausal.inference.propensity import propensity_diagnostics, propensity_warnings
from eocausal.inference.settings import Settings, provenance, settings_for
from eocausal.inference.smd import standardised_differences
from eocausal.inference.vcov import VcovChoice

FloatArray = npt.NDArray[np.float64]

# Standardised mean difference above which a weighted comparison is called unbalanced.
BALANCED_SMD = 0.1


@dataclass(frozen=True)
class Fitted:
    """What a method hands back: the scored estimate and what a reader must know of it."""

    scored: scores.ScoredEstimate
    assumptions: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    diagnostics: Mapping[str, Any] = field(default_factory=dict)


def ate(
    design: Design,
    *,
    method: str = "aipw",
    folds: Folds | None = None,
    learners: Learners | None = None,
    vcov: VcovChoice | None = None,
    seed: int = 0,
) -> Estimate:
    """Estimate the average treatment effect.

    Parameters
    ----------
    design : Design
    method : {"aipw", "difference", "regression", "ipw"}
        ``aipw`` (default): augmented inverse-probability weighting with out-of-fold nuisances; adjusts for
        covariates and image features. ``difference``: difference of weighted means, of all units with an
        outcome. ``regression``: covariates interacted with treatment (Lin 2013); image features are too many
        for it and do not enter. ``ipw``: Hajek-normalised weighting by the known or out-of-fold propensity.
    folds : Folds, optional
        Default five folds with clusters and shared images kept whole.
    learners : Learners, optional
    vcov : {"iid", "hetero", "cluster"} or mapping, optional
        Default: clustered when the design has a cluster or units share images, else ``iid``.
    seed : int
        For folds and learners.

    Returns
    -------
    Estimate

    Raises
    ------
    EstimationError
        Unknown method, covariates collinear within an arm (``regression``), a fold without one arm, or a learned
        propensity of exactly 0 or 1.

    Notes
    -----
    AIPW: Robins, Rotnitzky and Zhao (1994), cross-fitted as in Chernozhukov et al. (2018), Econometrics Journal
    21, C1-C68, definition 3.1 with the score of their equation (5.3).

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"grant": np.tile([0, 1], 50), "age": rng.normal(size=100)})
    >>> table["income"] = 2.0 * table["grant"] + table["age"] + rng.normal(size=100)
    >>> import eocausal as ec
    >>> result = ec.ate(ec.Design(table, outcome="income", treatment="grant", covariates=["age"]))
    >>> low, high = result.ci()
    >>> bool(low < 2.0 < high)
    True
    """
    one_of(method, tuple(METHODS), argument="method", error=EstimationError)
    settings = settings_for(design, folds=folds, learners=learners, seed=seed)
    made = provenance(design, settings)
    if method == "difference":
        design = design.unadjusted()
    fitted = METHODS[method](design, settings)
    return assemble(
        design,
        [fitted.scored],
        estimand="ate",
        method=method,
        terms=(design.treatment,),
        vcov=vcov,
        assumptions=fitted.assumptions,
        warnings=fitted.warnings,
        diagnostics=fitted.diagnostics,
        provenance=made,
    )


def _difference(design: Design, settings: Settings) -> Fitted:
    table = design.table
    return Fitted(
        scores.difference(table.outcome, table.treatment, table.weights),
        ("treatment was randomised with the same probability for all units",),
    )


def _regression(design: Design, settings: Settings) -> Fitted:
    table = design.table
    _require_full_rank(design)
    warnings: tuple[str, ...] = ()
    if table.features.shape[1]:
        warnings = ("regression adjusts for covariates only; use method='aipw' to adjust for image features",)
    return Fitted(
        scores.regression(table.outcome, table.treatment, table.weights, covariates=table.covariates),
        ("treatment was randomised with the same probability for all units",),
        warnings,
    )


def _ipw(design: Design, settings: Settings) -> Fitted:
    table = design.table
    folds = settings.folds.assign(design, seed=settings.seed)
    propensity, known = propensity_out_of_fold(design, folds, settings.learners, seed=settings.seed)
    warnings = propensity_warnings(design, propensity, known)
    if not known:
        warnings.append(
            "the propensity was learned, and this standard error takes it as known: IPW with a learned "
            "propensity has no valid interval in general; prefer method='aipw'"
        )
    worst = _worst_weighted_smd(design, propensity, seed=settings.seed)
    if not known and worst > BALANCED_SMD:
        warnings.append(
            f"after weighting, the largest standardised mean difference is {worst:.2f} (bound {BALANCED_SMD}): "
            "the weights do not balance the arms"
        )
    return Fitted(
        scores.hajek(table.outcome, table.treatment, table.weights, propensity=propensity),
        (ignorability(design, known, settings.learners),),
        tuple(warnings),
        {**propensity_diagnostics(propensity, table.treatment, known), "largest_smd_after_weighting": worst},
    )


def _aipw(design: Design, settings: Settings) -> Fitted:
    table = design.table
    dr_scores, diagnostics, warnings = doubly_robust_scores(design, settings)
    assumption = ignorability(design, table.propensity is not None, settings.learners)
    return Fitted(
        scores.mean_of_scores(dr_scores, table.weights), (assumption,), tuple(warnings), diagnostics
    )


# A new estimator is one function above and one row here.
METHODS: dict[str, Callable[[Design, Settings], Fitted]] = {
    "aipw": _aipw,
    "difference": _difference,
    "regression": _regression,
    "ipw": _ipw,
}


def doubly_robust_scores(design: Design, settings: Settings) -> tuple[FloatArray, dict[str, Any], list[str]]:
    """Return out-of-fold doubly robust scores (n,), diagnostics and warnings; shared by ATE and CATE."""
    table = design.table
    folds = settings.folds.assign(design, seed=settings.seed)
    propensity, known = propensity_out_of_fold(design, folds, settings.learners, seed=settings.seed)
    control, treated = outcomes_out_of_fold(design, folds, settings.learners, seed=settings.seed)
    dr_scores = scores.doubly_robust(
        table.outcome,
        table.treatment,
        propensity=propensity,
        outcome_control=control,
        outcome_treated=treated,
    )
    warnings = propensity_warnings(design, propensity, known)
    width = table.features.shape[1] + len(table.covariate_names)
    smaller_arm = min(table.treatment.sum(), (1 - table.treatment).sum())
    if settings.learners.pca is None and width > smaller_arm / 10:
        warnings.append(
            f"{width} columns for {int(smaller_arm)} units in the smaller arm and no reduction: "
            "more than one column for ten units; Learners(pca=50) reduces within folds"
        )
    diagnostics = {
        **propensity_diagnostics(propensity, table.treatment, known),
        "r2_outcome_control": _r2(table.outcome, control, table.treatment == 0),
        "r2_outcome_treated": _r2(table.outcome, treated, table.treatment == 1),
        "folds_hash": hash_arrays(folds),
        **settings.learners.describe(),
    }
    return dr_scores, diagnostics, warnings


def ignorability(design: Design, known: bool, learners: Learners) -> str:
    """Return what must hold of the assignment for an adjusted estimate to be causal."""
    if known:
        return "treatment was assigned with the known propensity"
    used = ["covariates"] if design.table.covariate_names else []
    used += ["image features"] if design.table.features.shape[1] else []
    made_before = [isinstance(one, OutOfFold) for one in (learners.outcome, learners.propensity)]
    used += ["pictures"] if any(made_before) else []
    if not used:
        return "treatment was randomised with the same probability for all units"
    return f"given the {_listed(used)}, treatment is as good as random, and both arms are possible"


def _listed(words: list[str]) -> str:
    """Return words as a list in a sentence.

    Examples
    --------
    >>> _listed(["covariates", "image features", "pictures"])
    'covariates, image features and pictures'
    """
    return " and ".join([*([", ".join(words[:-1])] if words[1:] else []), words[-1]])


def _require_full_rank(design: Design) -> None:
    """Raise with the names of covariates that are collinear among the units of an arm."""
    from scipy.linalg import qr

    table = design.table
    for arm, name in ((1, "treated"), (0, "control")):
        rows = table.covariates[table.treatment == arm]
        columns = np.column_stack([np.ones(len(rows)), rows])
        scale = np.linalg.norm(columns, axis=0)
        scaled = columns / np.where(scale > 0, scale, 1.0)
        _, upper, order = qr(scaled, mode="economic", pivoting=True)
        size = np.abs(np.diag(upper))
        rank = int((size > 1e-10 * size[0]).sum())
        if rank < columns.shape[1]:
            names = ["(intercept)", *table.covariate_names]
            raise EstimationError(
                explain(
                    f"Covariates are collinear among the {name} units ({len(rows)} units).",
                    where=[names[position] for position in order[rank:]],
                    rule="covariates have full rank in each arm",
                    fix="leave these covariates out, or use method='aipw', which penalises them",
                )
            )


def _worst_weighted_smd(design: Design, propensity: FloatArray, *, seed: int) -> float:
    """Largest difference left by the weights among covariates and the leading components of the features."""
    table = design.table
    reducer = ColumnReducer(pca=LEADING_COMPONENTS, seed=seed).fit(design, np.arange(len(design)))
    columns = reducer.transform(design, np.arange(len(design)))
    if columns.shape[1] == 0:
        return 0.0
    weights = table.weights / np.where(table.treatment == 1, propensity, 1 - propensity)
    smd = standardised_differences(columns, table.treatment, weights=weights, base_weights=table.weights)
    return float(np.abs(smd).max())


def _r2(outcome: FloatArray, predicted: FloatArray, rows: npt.NDArray[np.bool_]) -> float:
    residual = outcome[rows] - predicted[rows]
    total = outcome[rows] - outcome[rows].mean()
    return float(1 - residual @ residual / (total @ total)) if total @ total > 0 else float("nan")
