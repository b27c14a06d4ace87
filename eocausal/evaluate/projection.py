"""`best_linear_projection`: which columns the effects go with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from eocausal._checks import one_of
from eocausal.effects.cate import Cate
from eocausal.effects.effect_learners import beyond_single_effects
from eocausal.errors import EvaluationError, explain
from eocausal.evaluate.judged import HC3, estimate_on, hc3_clusters, require_cate, with_hc3
from eocausal.evaluate.unit_tables import UnitTable, unit_columns
from eocausal.inference.least_squares import hc3_matrix, least_squares

if TYPE_CHECKING:
    from eocausal.inference.estimate import Estimate
    from eocausal.inference.vcov import VcovChoice

FloatArray = npt.NDArray[np.float64]
INTERCEPT = "(intercept)"
WHOM = ("all", "overlap")


def best_linear_projection(
    cate: Cate,
    *,
    on: UnitTable | None = None,
    by: str | None = None,
    whom: str = "all",
    centred: bool = False,
    vcov: VcovChoice = HC3,
) -> Estimate:
    """Regress the doubly robust scores on columns: the line in them that is nearest to the effects of units.

    It speaks of the effects themselves and not of their predictions, so it needs no good learner of effects. Where
    the effects are no line in these columns, its slopes are those of the best line.

    Parameters
    ----------
    cate : Cate
        Only its doubly robust scores are used.
    on : DataFrame, Series, Embeddings or list of str, optional
        Columns by unit id or by image key: covariates, shares of land cover, indices of the pictures; or names of
        columns of the table that the design was made of. They must be fixed before treatment and chosen without
        looking at effects. Text becomes 0/1 columns without its first level. Default: none, which gives the average
        effect.
    by : {"id", "image_key"}, optional
        What the index of ``on`` holds, where it could be either.
    whom : {"all", "overlap"}
        Whom the line is fitted to: all units, or each by ``e (1 - e)`` with ``e`` the propensity, where some
        propensities are extreme.
    centred : bool
        Subtract from each column its weighted mean, so that the intercept is the average effect.
    vcov : str or mapping
        ``"HC3"``, of whole clusters where units share clusters or images, or any choice that
        :meth:`eocausal.Estimate.with_vcov` takes.

    Returns
    -------
    Estimate
        A term for the intercept and one for each column.

    Raises
    ------
    EvaluationError
        Not a Cate, an ``on`` that lacks units or values, unknown ``whom``.
    EstimationError
        Columns that are combinations of others, or unknown ``vcov``.

    Notes
    -----
    Semenova and Chernozhukov (2021), Econometrics Journal 24. Numbers are those of grf's function of this name.

    Examples
    --------
    >>> import numpy as np, pandas as pd, eocausal as ec
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"grant": np.tile([0, 1], 200), "age": rng.normal(size=400)})
    >>> table["income"] = table["grant"] * (1 + 2 * table["age"]) + rng.normal(size=400)
    >>> design = ec.Design(table, outcome="income", treatment="grant", covariates=["age"], propensity=0.5)
    >>> effects = ec.cate(design, learner=ec.Forest(trees=40), folds=ec.Folds(k=3))
    >>> ec.best_linear_projection(effects, on=table[["age"]]).terms
    ('(intercept)', 'age')
    """
    require_cate(cate, "best_linear_projection")
    one_of(whom, WHOM, argument="whom", error=EvaluationError)
    weights = cate.weights
    if whom == "overlap":
        weights = weights * cate.propensity * (1 - cate.propensity)
    names, columns = _columns(cate, on, by)
    if centred:
        columns = columns - weights @ columns / weights.sum()
    design = np.column_stack([np.ones(cate.ids.size), columns])
    fit = least_squares(cate.dr_scores, design, weights)
    found = estimate_on(
        cate.average,
        fit.coefficients,
        fit.scores,
        n_params=design.shape[1],
        estimand="best linear projection" if whom == "all" else "best linear projection (overlap)",
        method="doubly robust scores on columns",
        terms=(INTERCEPT, *names),
        assumptions=_assumptions(cate, whom, names),
        warnings=beyond_single_effects(cate.warnings),
        diagnostics={"columns": len(names), "whom": whom},
    )
    return with_hc3(found, hc3_matrix(fit, hc3_clusters(cate))) if vcov == HC3 else found.with_vcov(vcov)


def _columns(cate: Cate, on: UnitTable | None, by: str | None) -> tuple[tuple[str, ...], FloatArray]:
    if on is None:
        return (), np.zeros((cate.ids.size, 0))
    named = [on] if isinstance(on, str) else list(on) if isinstance(on, list | tuple) else []
    roles = () if cate.design is None else (cate.design.outcome, cate.design.treatment)
    if moved := [name for name in named if name in roles]:
        raise EvaluationError(
            explain(
                "on names the outcome or the treatment.",
                where=moved,
                rule="columns that were fixed before treatment",
                fix="leave them out",
            )
        )
    frame = unit_columns(on, cate, by=by, argument="on", first_level=False)
    flat = [str(name) for name in frame if np.ptp(frame[name].to_numpy()) == 0]
    if flat or INTERCEPT in frame:
        raise EvaluationError(
            explain(
                "on has columns that are the same for all units."
                if flat
                else f"on has a column {INTERCEPT!r}.",
                where=flat,
                rule="the intercept is added",
                fix="leave them out",
            )
        )
    if frame.shape[1] >= cate.ids.size - 1:
        raise EvaluationError(
            explain(
                f"on has {frame.shape[1]} columns for {cate.ids.size} units.",
                rule="few columns: land cover, an index or two, covariates",
                fix="ec.groups(cate).clan(table) compares columns one by one",
            )
        )
    return tuple(str(name) for name in frame), frame.to_numpy(dtype=float)


def _assumptions(cate: Cate, whom: str, names: tuple[str, ...]) -> tuple[str, ...]:
    fixed = (
        (f"{list(names)} were fixed before treatment and chosen without looking at effects",) if names else ()
    )
    given = ("the weights e (1 - e) take the propensity as given",) if whom == "overlap" else ()
    return (*cate.assumptions[:1], *fixed, *given)
