"""Overlap: could every unit have been in either arm, and how predictable is treatment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from eocausal.errors import EvaluationError, explain
from eocausal.evaluate.overlap_result import ARMS, Overlap
from eocausal.evaluate.roc import auc_with_influence as auc_with_influence
from eocausal.inference.assemble import assemble
from eocausal.inference.propensity import extreme_propensities, propensity_diagnostics
from eocausal.inference.scores import ScoredEstimate
from eocausal.inference.trim import Trim
from eocausal.nuisance.cross_fit import Learners, propensities
from eocausal.nuisance.folds import Folds
from eocausal.nuisance.settings import provenance, settings_for

if TYPE_CHECKING:
    from eocausal.design import Design

__all__ = ["Overlap", "auc_with_influence", "overlap"]

FloatArray = npt.NDArray[np.float64]


def overlap(
    design: Design,
    *,
    trim: Trim | None = None,
    folds: Folds | None = None,
    learners: Learners | None = None,
    seed: int = 0,
) -> Overlap:
    """Learn the propensity out of fold and say how well the arms overlap.

    A propensity that is known by design is set aside here: the question is what covariates and features predict.

    Parameters
    ----------
    design : Design
    trim : Trim, optional
        A rule by which units might be left out. Nothing is left out here: the result says whom the rule would leave
        out, and draws where they are. Crump's rule is always shown beside it.
    folds : Folds, optional
    learners : Learners, optional
    seed : int

    Returns
    -------
    Overlap
        AUC of treatment, by sampling weights, with the standard error of given predictions; propensity, effective
        units and units left out by arm; :meth:`Overlap.plot` and :meth:`Overlap.map`.

    Examples
    --------
    >>> import numpy as np, pandas as pd, eocausal as ec
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"age": rng.normal(size=300)})
    >>> table["grant"] = (table["age"] + rng.normal(size=300) > 0).astype(int)
    >>> table["income"] = rng.normal(size=300)
    >>> design = ec.Design(table, outcome="income", treatment="grant", covariates=["age"])
    >>> found = ec.overlap(design, trim=ec.Trim("fixed", low=0.1, high=0.9))
    >>> bool(found.estimate > 0.7), list(found.cuts)
    (True, ['crump', 'fixed'])
    """
    settings = settings_for(design, folds=folds, learners=learners, seed=seed)
    if trim is not None and not isinstance(trim, Trim):
        raise EvaluationError(explain(f"trim is {trim!r}.", fix="pass ec.Trim('fixed', low=0.1, high=0.9)"))
    design.require_binary("Overlap")
    table = design.table
    fold_of = settings.folds.assign(design, seed=settings.seed)
    learned = propensities(
        design,
        fold_of,
        settings.learners,
        seed=settings.seed,
        groups=settings.folds.groups(design),
        known=False,
    )
    propensity = learned.values
    rules = [Trim("crump"), *([trim] if trim is not None and trim.rule != "crump" else [])]
    cuts = {rule.rule: rule.bounds(propensity, table.treatment) for rule in rules}
    value, influence = auc_with_influence(propensity, table.treatment, table.weights)
    estimate = assemble(
        design,
        [ScoredEstimate(value, influence, 1)],
        estimand="AUC of treatment",
        method="propensity out of fold",
        terms=(design.treatment,),
        warnings=[
            *learned.warnings,
            *extreme_propensities(propensity, table.treatment),
            *_emptied(cuts, propensity, table.treatment),
        ],
        diagnostics={
            **propensity_diagnostics(propensity, table.treatment, known=False, weights=table.weights),
            **settings.learners.describe(),
        },
        provenance=provenance(design, settings, known=False),
    )
    return Overlap(estimate, table.ids, propensity, table.treatment, cuts)


def _emptied(
    cuts: dict[str, tuple[float, float]], propensity: FloatArray, treatment: FloatArray
) -> list[str]:
    """Return a warning for each rule that would leave an arm with fewer than two units."""
    found = []
    for rule, (low, high) in cuts.items():
        kept = (propensity >= low) & (propensity <= high)
        left = {name: int((kept & (treatment == code)).sum()) for name, code in ARMS}
        if min(left.values()) < 2:
            found.append(
                f"trimming ({rule}) to propensities in [{low:.4g}, {high:.4g}] would leave "
                f"{left['treated']} treated and {left['control']} control units"
            )
    return found
