"""Learners of effects by unit that regress: the R-, DR- and X-learner with any regressor.

Nuisances are those of the sample, each predicted from folds without the unit; here only effects are learned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from eocausal._checks import did_you_mean, one_of, whole_number
from eocausal._threads import one_blas_thread
from eocausal.errors import EstimationError, explain
from eocausal.nuisance.columns import ColumnReducer, require_columns_asked
from eocausal.nuisance.fitting import OUTCOME_MODELS
from eocausal.nuisance.learners import COLUMNS, OUTCOME_LEARNERS
from eocausal.nuisance.models import Predictor, Sample, given_regressor, ridge

if TYPE_CHECKING:
    from eocausal.design import Design
    from eocausal.effects.effect_learners import EffectSample

__all__ = ["DRLearner", "RLearner", "XLearner", "effect_columns"]

FloatArray = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]
ColumnsAsked = Literal["both", "covariates", "features"]


@dataclass(frozen=True)
class RLearner:
    """Effects by the R-learner: the centred outcome regressed on the centred treatment times the effect.

    The effect minimises the sum of ``weight (centred outcome - centred treatment x effect)^2``, which is the
    regression of their ratio with weights ``weight x centred treatment^2``.

    Parameters
    ----------
    model : {"ridge", "boosting"} or scikit-learn regressor
        What the effect is predicted with: ridge regression or boosted trees whose penalty, or number of trees, is
        chosen on inner folds that keep clusters and images whole, or a regressor that takes ``sample_weight``.
    pca : int or None
        Feature blocks wider than this become that many principal components, computed on the units that are learned
        from; ``None`` takes the features as they are. Blocks whose encoder says how many components they become
        become that many.
    columns : {"both", "covariates", "features"}
        What tells units apart. Nuisances see what ``Learners(columns=)`` says.

    Raises
    ------
    EstimationError
        A model that is not known or cannot predict.

    Notes
    -----
    Nie and Wager (2021), Quasi-Oracle Estimation of Heterogeneous Treatment Effects, Biometrika 108. It has no
    standard errors of single effects.

    Examples
    --------
    >>> RLearner(model="boosting", pca=20)
    RLearner(model='boosting', pca=20, columns='both')
    """

    model: Any = "ridge"
    pca: int | None = 10
    columns: ColumnsAsked = "both"

    def __post_init__(self) -> None:
        _check(self, self.model)

    @one_blas_thread()
    def fit(self, sample: EffectSample, *, seed: int) -> EffectRegression:
        """Learn effects from the residuals of a sample."""
        reducer, columns = effect_columns(sample, pca=self.pca, columns=self.columns, seed=seed)
        treatment = sample.centred_treatment
        ratio = sample.centred_outcome / treatment
        weights = sample.design.table.weights * treatment**2
        rows = _regression_sample(sample, columns, ratio, weights, seed=seed)
        return EffectRegression(reducer, _regressed(self.model, rows))

    def describe(self) -> dict[str, Any]:
        """Return what a reader must know of the learner."""
        return _described("R-learner", self.model, self.pca, self.columns)


@dataclass(frozen=True)
class DRLearner:
    """Effects by the DR-learner: doubly robust scores regressed on the columns.

    Parameters
    ----------
    model : {"ridge", "boosting"} or scikit-learn regressor
        As in :class:`eocausal.RLearner`; it needs ``sample_weight`` only where the design has weights.
    pca : int or None
        As in :class:`eocausal.RLearner`.
    columns : {"both", "covariates", "features"}
        What tells units apart.

    Raises
    ------
    EstimationError
        A model that is not known or cannot predict.

    Notes
    -----
    Kennedy (2023), Towards optimal doubly robust estimation of heterogeneous causal effects, Electronic Journal of
    Statistics 17. Scores of units with propensities near 0 or 1 are large, and the regression follows them; the
    R-learner gives such units little weight. It has no standard errors of single effects.

    Examples
    --------
    >>> DRLearner().model
    'ridge'
    """

    model: Any = "ridge"
    pca: int | None = 10
    columns: ColumnsAsked = "both"

    def __post_init__(self) -> None:
        _check(self, self.model)

    @one_blas_thread()
    def fit(self, sample: EffectSample, *, seed: int) -> EffectRegression:
        """Learn effects from the doubly robust scores of a sample."""
        reducer, columns = effect_columns(sample, pca=self.pca, columns=self.columns, seed=seed)
        rows = _regression_sample(sample, columns, sample.dr_scores, sample.design.table.weights, seed=seed)
        return EffectRegression(reducer, _regressed(self.model, rows))

    def describe(self) -> dict[str, Any]:
        """Return what a reader must know of the learner."""
        return _described("DR-learner", self.model, self.pca, self.columns)


@dataclass(frozen=True)
class XLearner:
    """Effects by the X-learner: what each arm seems to gain over the other arm's prediction, mixed by propensity.

    The gains of the treated are their outcomes less what control predicts for them, those of the controls what
    treatment predicts less their outcomes. Each is regressed on the columns in its own arm, and the effect is
    ``propensity x (that of controls) + (1 - propensity) x (that of treated)``.

    Parameters
    ----------
    model : {"ridge", "boosting"} or scikit-learn regressor
        As in :class:`eocausal.DRLearner`, fitted once in each arm.
    pca : int or None
        As in :class:`eocausal.RLearner`.
    columns : {"both", "covariates", "features"}
        What tells units apart.

    Raises
    ------
    EstimationError
        A model that is not known or cannot predict.

    Notes
    -----
    Kuenzel, Sekhon, Bickel and Yu (2019), Metalearners for estimating heterogeneous treatment effects using machine
    learning, PNAS 116. The propensity that mixes is the known one where the design of the unit knows it, else that
    of a ridge regression of the sample's out-of-fold log odds on the columns; any mixture is consistent where both
    regressions are. It has no standard errors of single effects.

    Examples
    --------
    >>> XLearner(columns="features").columns
    'features'
    """

    model: Any = "ridge"
    pca: int | None = 10
    columns: ColumnsAsked = "both"

    def __post_init__(self) -> None:
        _check(self, self.model)

    @one_blas_thread()
    def fit(self, sample: EffectSample, *, seed: int) -> MixedEffectRegression:
        """Learn the effects in each arm, and how to mix them, from a sample."""
        reducer, columns = effect_columns(sample, pca=self.pca, columns=self.columns, seed=seed)
        table, nuisance = sample.design.table, sample.nuisance
        gains = {
            0: nuisance.outcome_treated - table.outcome,
            1: table.outcome - nuisance.outcome_control,
        }
        of_controls, of_treated = (
            _regressed(
                self.model,
                _regression_sample(
                    sample,
                    columns,
                    gain,
                    table.weights,
                    seed=seed,
                    rows=np.flatnonzero(table.treatment == arm),
                ),
            )
            for arm, gain in gains.items()
        )
        odds = np.log(nuisance.propensity) - np.log1p(-nuisance.propensity)
        log_odds = ridge(_regression_sample(sample, columns, odds, table.weights, seed=seed))
        return MixedEffectRegression(reducer, of_controls, of_treated, log_odds, nuisance.known_propensity)

    def describe(self) -> dict[str, Any]:
        """Return what a reader must know of the learner."""
        return _described("X-learner", self.model, self.pca, self.columns)


@dataclass(frozen=True, eq=False)
class EffectRegression:
    """A regression of effects on columns."""

    reducer: ColumnReducer
    effect: Predictor

    def predict(
        self, design: Design, *, rows: npt.NDArray[Any] | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Return the effect of the units of a design, or of some rows of it, and NaN for its standard error."""
        asked = np.arange(len(design)) if rows is None else rows
        effects = self.effect(self.reducer.transform(design, asked))
        return effects, np.full(effects.shape, np.nan)


@dataclass(frozen=True, eq=False)
class MixedEffectRegression:
    """Regressions of the effects of both arms, and of the log odds of treatment that mix them unless known."""

    reducer: ColumnReducer
    of_controls: Predictor
    of_treated: Predictor
    log_odds: Predictor
    known: bool

    def predict(
        self, design: Design, *, rows: npt.NDArray[Any] | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Return the effect of the units of a design, or of some rows of it, and NaN for its standard error."""
        asked = np.arange(len(design)) if rows is None else rows
        columns = self.reducer.transform(design, asked)
        share = self._propensity(design, asked, columns)
        effects = share * self.of_controls(columns) + (1 - share) * self.of_treated(columns)
        return effects, np.full(effects.shape, np.nan)

    def _propensity(self, design: Design, rows: npt.NDArray[Any], columns: FloatArray) -> FloatArray:
        from scipy.special import expit

        if self.known and design.table.propensity is not None:
            return np.asarray(design.table.propensity[rows])
        return np.asarray(expit(self.log_odds(columns)))


def effect_columns(
    sample: EffectSample, *, pca: int | None, columns: str, seed: int
) -> tuple[ColumnReducer, FloatArray]:
    """Return how columns that tell units apart are made, and those of the sample (n, p).

    Raises
    ------
    EstimationError
        The covariates, or the features, were asked for and the design has none.
    """
    design = sample.design
    require_columns_asked(design, columns)
    everyone = np.arange(len(design))
    reducer = ColumnReducer(pca=pca, seed=seed, by_block=True, columns=columns).fit(design, everyone)
    return reducer, reducer.transform(design, everyone)


def check_reduction(pca: int | None, columns: str, *, argument: str = "pca") -> None:
    """Raise unless the columns that tell units apart are asked for in words that are known."""
    if pca is not None:
        whole_number(pca, argument=argument, error=EstimationError, least=1)
    one_of(columns, COLUMNS, argument="columns", error=EstimationError)


def _regression_sample(
    sample: EffectSample,
    columns: FloatArray,
    target: FloatArray,
    weights: FloatArray,
    *,
    seed: int,
    rows: Rows | None = None,
) -> Sample:
    own = np.arange(len(target)) if rows is None else rows
    mine = weights[own]
    return Sample(
        columns=columns[own],
        target=target[own],
        # a penalty is measured against the sum of the weights, which must not depend on their units
        weights=None if np.ptp(mine) == 0 else mine / mine.mean(),
        groups=sample.groups[own],
        ids=sample.design.table.ids[own],
        seed=seed,
    )


def _regressed(model: Any, sample: Sample) -> Predictor:
    if isinstance(model, str):
        return OUTCOME_MODELS[model](sample)
    return given_regressor(model, sample, role="learner of effects")


def _check(settings: RLearner | DRLearner | XLearner, model: Any) -> None:
    check_reduction(settings.pca, settings.columns)
    name = type(settings).__name__
    if isinstance(model, str):
        if model not in OUTCOME_MODELS:
            raise EstimationError(
                explain(
                    f"The model {model!r} is not known.",
                    fix=f"{did_you_mean(model, tuple(OUTCOME_MODELS))} A scikit-learn regressor serves too.",
                )
            )
    elif isinstance(model, type):
        raise EstimationError(explain("The model is a class.", fix=f"{name}(model={model.__name__}())"))
    elif not (hasattr(model, "fit") and hasattr(model, "predict")):
        raise EstimationError(
            explain(
                f"The model {type(model).__name__} has no fit() and predict().",
                fix="pass a scikit-learn regressor, or the name of a model",
            )
        )


def _described(learner: str, model: Any, pca: int | None, columns: str) -> dict[str, Any]:
    named = OUTCOME_LEARNERS[model] if isinstance(model, str) else repr(model)
    return {"learner": learner, "effect_model": named, "effect_pca": pca, "effect_columns": columns}
