"""Effects linear in covariates and components: their coefficients, and errors of every predicted effect."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eocausal._provenance import versions
from eocausal._threads import one_blas_thread
from eocausal.effects.effect_regressions import ColumnsAsked, check_reduction, effect_columns
from eocausal.errors import EstimationError, explain
from eocausal.inference.assemble import assemble
from eocausal.inference.estimate import Estimate
from eocausal.inference.least_squares import least_squares
from eocausal.inference.scores import ScoredEstimate
from eocausal.nuisance.columns import ColumnReducer

if TYPE_CHECKING:
    from eocausal.design import Design
    from eocausal.effects.effect_learners import EffectSample

__all__ = ["LinearEffects", "LinearEffectsModel"]

FloatArray = npt.NDArray[np.float64]

AVERAGE_UNIT = "average unit"
OF_A_LINE = (
    "standard errors of single effects are those of the best linear approximation and take components as given: "
    "where effects are not linear in the columns, intervals are not of the effects themselves"
)
# Directions with less than this share of the largest variance are those of columns that others determine.
_NO_VARIANCE = 1e-10


@dataclass(frozen=True)
class LinearEffects:
    """Effects linear in covariates and principal components of the features, by least squares.

    The centred outcome is regressed on the centred treatment times ``[1, columns]``: the R-learner with a linear
    effect and no penalty, the last stage of econml's ``LinearDML``.

    Parameters
    ----------
    components : int or None
        Feature blocks wider than this become that many principal components, computed on the units that are learned
        from; ``None`` takes the features as they are. Blocks whose encoder says how many components they become
        become that many.
    columns : {"both", "covariates", "features"}
        What tells units apart. Nuisances see what ``Learners(columns=)`` says.

    Raises
    ------
    EstimationError
        ``components`` is no whole number above 0, or ``columns`` is not known.

    Notes
    -----
    The standard error of each predicted effect is that of the linear index, by influence values that are summed
    within clusters where the design has clusters or shared images, and by HC1 elsewhere. Where effects are not
    linear, effect and error are those of the best linear approximation, in which units count by the variance of
    their treatment. Components are taken as given. The effect of a unit that differs from all others in a
    direction in which these do not differ has the error NaN. With hardly more clusters than columns the errors are
    too small.

    Semenova and Chernozhukov (2021), Debiased machine learning of conditional average treatment effects,
    Econometrics Journal 24.

    Examples
    --------
    >>> import numpy as np, pandas as pd, eocausal as ec
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"grant": np.tile([0, 1], 200), "age": rng.normal(size=400)})
    >>> table["income"] = table["grant"] * (1 + 2 * table["age"]) + 0.1 * rng.normal(size=400)
    >>> design = ec.Design(table, outcome="income", treatment="grant", covariates=["age"], propensity=0.5)
    >>> found = ec.cate(design, learner=ec.LinearEffects())
    >>> coefficients = found.learn().coefficients
    >>> coefficients.terms, coefficients.values.round(0).tolist()
    (('average unit', 'age'), [1.0, 2.0])
    """

    components: int | None = 10
    columns: ColumnsAsked = "both"

    def __post_init__(self) -> None:
        check_reduction(self.components, self.columns, argument="components")

    @one_blas_thread()
    def fit(self, sample: EffectSample, *, seed: int) -> LinearEffectsModel:
        """Regress the centred outcome of a sample on its centred treatment times the columns.

        Raises
        ------
        EstimationError
            No more units than coefficients.
        """
        reducer, columns = effect_columns(sample, pca=self.components, columns=self.columns, seed=seed)
        index = _with_intercept(columns)
        if len(index) <= index.shape[1]:
            raise EstimationError(
                explain(
                    f"Effects linear in {columns.shape[1]} columns are to be learned from {len(index)} units.",
                    rule="more units than coefficients, by far",
                    fix="LinearEffects(components=5), or a learner with a penalty: RLearner(pca=None)",
                )
            )
        return LinearEffectsModel(reducer, _fitted(sample, index), sample, seed)

    def describe(self) -> dict[str, Any]:
        """Return what a reader must know of the learner."""
        return {
            "learner": "linear effects (least squares)",
            "effect_pca": self.components,
            "effect_columns": self.columns,
        }


@dataclass(frozen=True, eq=False)
class Coefficients:
    """Coefficients (k,) with their influence values (n, k), and the directions (k, rank) that data speak of."""

    values: FloatArray
    scores: FloatArray
    directions: FloatArray


@dataclass(frozen=True, eq=False)
class LinearEffectsModel:
    """Effects linear in columns, with the units that they were learned from."""

    reducer: ColumnReducer
    fitted: Coefficients
    sample: EffectSample
    seed: int
    warnings: tuple[str, ...] = (OF_A_LINE,)

    @cached_property
    def coefficients(self) -> Estimate:
        """The coefficients as a result.

        ``average unit`` is the effect where all columns are at their mean. Covariates and features count in
        standard deviations, components in their own unit.
        """
        design, known = self.sample.design, self.sample.nuisance.known_propensity
        labels = design.cluster_labels()
        rank = self.fitted.directions.shape[1]
        return assemble(
            design,
            [
                ScoredEstimate(float(value), scores, rank)
                for value, scores in zip(self.fitted.values, self.fitted.scores.T)
            ],
            vcov="cluster" if labels else "hetero",
            warnings=_idle(rank, len(self.fitted.values)),
            estimand="linear effect modifiers",
            method="R-learner (least squares)",
            terms=(AVERAGE_UNIT, *column_names(self.reducer)),
            assumptions=(
                "treatment was assigned with the known propensity"
                if known
                else "given what outcome and treatment were predicted from, treatment is as good as random",
                "effects are linear in the columns; else the coefficients are those of the best linear "
                "approximation, in which units count by the variance of their treatment",
            ),
            provenance={
                "design": repr(design),
                "design_hash": design.fingerprint,
                "seed": self.seed,
                "versions": versions(),
            },
        )

    def predict(
        self, design: Design, *, rows: npt.NDArray[Any] | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Return the effect and its standard error for the units of a design, or for some rows of it."""
        asked = np.arange(len(design)) if rows is None else rows
        index = _with_intercept(self.reducer.transform(design, asked))
        covariance, directions = self.coefficients.variance.matrix, self.fitted.directions
        variance = np.einsum("ij,jk,ik->i", index, covariance, index)
        beyond = np.linalg.norm(index - index @ directions @ directions.T, axis=1)
        known = beyond <= 1e-6 * np.linalg.norm(index, axis=1)
        return index @ self.fitted.values, np.where(known, np.sqrt(np.maximum(variance, 0.0)), np.nan)


def _fitted(sample: EffectSample, index: FloatArray) -> Coefficients:
    """Regress the centred outcome on centred treatment times ``index`` (n, k), with the sample's weights.

    Columns that others determine share a coefficient between them (the least sum of squares), so that a column
    which is the same for all units has the coefficient 0.
    """
    weights = sample.design.table.weights / sample.design.table.weights.mean()
    regressors = sample.centred_treatment[:, None] * index
    values, vectors = np.linalg.eigh((regressors * weights[:, None]).T @ regressors)
    directions = vectors[:, values > _NO_VARIANCE * values[-1]]
    fit = least_squares(sample.centred_outcome, regressors @ directions, weights)
    return Coefficients(directions @ fit.coefficients, fit.scores @ directions.T, directions)


def column_names(reducer: ColumnReducer) -> tuple[str, ...]:
    """Return the names of the columns that a fitted reducer makes: covariates, then features block by block."""
    covariates, blocks = reducer.fitted_on
    names = list(covariates[: reducer.n_covariates])
    for block, (_, components) in reducer.block_steps.items():
        start, stop = blocks[block]
        if components is None:
            names += [f"{block}[{number}]" for number in range(stop - start)]
        else:
            names += [f"{block} component {number + 1}" for number in range(int(components.n_components_))]
    return tuple(names)


def _with_intercept(columns: FloatArray) -> FloatArray:
    return np.column_stack([np.ones(len(columns)), columns])


def _idle(rank: int, width: int) -> list[str]:
    if rank == width:
        return []
    return [
        f"{width - rank} of {width} coefficients cannot be told from the others, because columns are the same "
        "for all units or follow from one another; these share what they explain together"
    ]
