"""A `Cate` of given predictions, so that what judges it can be held to numbers known beforehand."""

from __future__ import annotations

import numpy as np
import pandas as pd

import eocausal as ec
from eocausal.inference.assemble import assemble
from eocausal.inference.scores import doubly_robust, mean_of_scores


def given_cate(
    table: pd.DataFrame,
    *,
    effects: np.ndarray,
    outcome_mean: np.ndarray,
    propensity: np.ndarray,
    folds: np.ndarray | None = None,
    sequential: np.ndarray | None = None,
    effect_of_scores: np.ndarray | None = None,
    **options: object,
) -> ec.Cate:
    """Return effects by unit of a table with ``outcome`` and ``treatment``, scores made as grf makes them.

    ``effect_of_scores`` are the effects that doubly robust scores start from; default those predicted.
    """
    design = ec.Design(
        table, outcome="outcome", treatment="treatment", **{"covariates": [], "propensity": 0.5, **options}
    )
    own = effects if effect_of_scores is None else effect_of_scores
    control = outcome_mean - propensity * own
    scores = doubly_robust(
        design.table.outcome,
        design.table.treatment,
        propensity=propensity,
        outcome_control=control,
        outcome_treated=control + own,
    )
    fold_of = np.zeros(len(design), dtype=np.intp) if folds is None else folds
    made = np.where(fold_of == 0, np.nan, effects) if sequential is None else sequential
    return ec.Cate(
        average=assemble(
            design,
            [mean_of_scores(scores, design.table.weights)],
            estimand="ate",
            method="given",
            terms=("treatment",),
            provenance={"design_hash": design.fingerprint},
        ),
        ids=design.table.ids,
        effect_values=effects,
        effect_errors=np.full(len(design), np.nan),
        folds=fold_of,
        sequential_values=made,
        dr_scores=scores,
        centred_outcome=design.table.outcome - outcome_mean,
        centred_treatment=design.table.treatment - propensity,
        propensity=propensity,
        weights=design.table.weights,
        group_codes=design.groups,
        image_keys=design.table.image_keys,
        coordinates=design.table.coordinates,
        design=design,
    )


def drawn_cate(
    seed: int,
    *,
    n: int = 400,
    spread: float = 1.0,
    shrunk: float = 1.0,
    noise: float = 1.0,
    per_cluster: int = 1,
    n_folds: int = 5,
    weighted: bool = False,
) -> ec.Cate:
    """Return a trial with effects ``1 + spread z`` predicted as ``1 + shrunk spread z``, and known nuisances."""
    rng = np.random.default_rng(seed)
    cluster = np.arange(n) // per_cluster
    z = rng.normal(size=cluster.max() + 1)[cluster]
    treatment = np.tile([0.0, 1.0], n // 2 + 1)[:n] if per_cluster == 1 else (cluster % 2).astype(float)
    effect = 1 + spread * z
    table = pd.DataFrame({"z": z, "cluster": cluster, "treatment": treatment.astype(int)})
    table["outcome"] = effect * (treatment - 0.5) + noise * rng.normal(size=n)
    table["weight"] = rng.uniform(0.5, 2.0, size=n)
    table.index = pd.Index(np.arange(n) + 1000, name="id")
    options: dict[str, object] = {"cluster": "cluster"} if per_cluster > 1 else {}
    options |= {"weights": "weight"} if weighted else {}
    return given_cate(
        table,
        effects=1 + shrunk * spread * z,
        outcome_mean=np.zeros(n),
        propensity=np.full(n, 0.5),
        folds=(rng.permutation(cluster.max() + 1) % n_folds)[cluster].astype(np.intp),
        effect_of_scores=effect,
        **options,
    )
