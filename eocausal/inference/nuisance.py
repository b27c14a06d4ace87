"""Out-of-fold predictions of outcome and treatment from covariates and image features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from eocausal._checks import whole_number
from eocausal._threads import one_blas_thread
from eocausal.errors import EstimationError, explain
from eocausal.inference.components import components_asked
from eocausal.inference.folds import group_splits

if TYPE_CHECKING:
    from eocausal.design import Design

FloatArray = npt.NDArray[np.float64]

# Image features are described by, and balanced on, this many components of each block.
LEADING_COMPONENTS = 10
# Penalties to choose from, for columns of unit scale, and the splits to choose on.
RIDGE_PENALTIES = np.logspace(-1, 5, 7)
LOGIT_INVERSE_PENALTIES = np.logspace(-4, 1, 6)
INNER_SPLITS = 4


@runtime_checkable
class OutOfFold(Protocol):
    """Predictions of every unit that were made beforehand, each by a model that did not see the unit's fold.

    ``target`` is ``treatment`` or ``outcome``.
    """

    target: str

    @property
    def fingerprint(self) -> str:
        """Hash of the predictions, for what a result is made of."""

    def out_of_fold(self, design: Design, folds: npt.NDArray[np.intp]) -> FloatArray:
        """Return (n, 1) propensities or (n, 2) outcomes by arm; raise where they are of other units or folds."""


@dataclass(frozen=True)
class Learners:
    """What predicts outcome and treatment, and how wide features are made narrow.

    Parameters
    ----------
    outcome : scikit-learn regressor or Finetuned, optional
        Fitted in each arm on the columns ``[covariates, features]``. Default: ridge regression, penalty chosen
        by cross-validation with clusters and images kept whole. Predictions of :func:`eocausal.finetune` with
        ``target="outcome"`` are taken as they are, for the units and folds that they were made for.
    propensity : scikit-learn classifier with ``predict_proba`` or Finetuned, optional
        Default: logistic regression with a ridge penalty chosen likewise. Predictions of
        :func:`eocausal.finetune` with ``target="treatment"`` are taken as they are.
    pca : int or None
        Feature blocks wider than this become that many principal components, computed on standardised columns
        of the training folds only. ``None`` leaves features as they are. Blocks whose encoder says how many
        components they become (``MultiScale(reduce=)``) become that many.

    Examples
    --------
    >>> Learners(pca=20).pca
    20
    """

    outcome: Any = None
    propensity: Any = None
    pca: int | None = 50

    def __post_init__(self) -> None:
        if self.pca is not None:
            whole_number(self.pca, argument="pca", error=EstimationError, least=1)
        for role, learner, method, target in (
            ("outcome", self.outcome, "predict", "outcome"),
            ("propensity", self.propensity, "predict_proba", "treatment"),
        ):
            if isinstance(learner, OutOfFold):
                _require_target(role, learner, target)
            elif isinstance(learner, type):
                raise EstimationError(
                    explain(f"The {role} learner is a class.", fix=f"Learners({role}={learner.__name__}())")
                )
            elif learner is not None and not (hasattr(learner, "fit") and hasattr(learner, method)):
                raise EstimationError(
                    explain(
                        f"The {role} learner {type(learner).__name__} has no {method}().",
                        fix="pass a scikit-learn estimator",
                    )
                )

    def describe(self) -> dict[str, Any]:
        """Return what a reader must know of the learners."""
        default = {"outcome": "ridge (cross-validated)", "propensity": "logit with ridge (cross-validated)"}
        return {
            "outcome_learner": default["outcome"] if self.outcome is None else repr(self.outcome),
            "propensity_learner": default["propensity"] if self.propensity is None else repr(self.propensity),
            "pca": self.pca,
        }

    def given(self) -> dict[str, str]:
        """Return hashes of predictions that were made beforehand, by role; empty where there are none."""
        roles = {"outcome": self.outcome, "propensity": self.propensity}
        return {role: one.fingerprint for role, one in roles.items() if isinstance(one, OutOfFold)}


def _require_target(role: str, learner: OutOfFold, target: str) -> None:
    if learner.target != target:
        raise EstimationError(
            explain(
                f"The {role} learner predicts {learner.target!r}, not {target!r}.",
                fix=f"Learners({role}=ec.finetune(chips, design, target={target!r}))",
            )
        )


@dataclass(frozen=True)
class Nuisance:
    """Predictions for each unit from models that did not see its fold.

    Attributes
    ----------
    outcome_control, outcome_treated : array of shape (n,)
    propensity : array of shape (n,)
    folds : array of shape (n,)
    known_propensity : bool
    """

    outcome_control: FloatArray
    outcome_treated: FloatArray
    propensity: FloatArray
    folds: npt.NDArray[np.intp]
    known_propensity: bool


class ColumnReducer:
    """Standardise covariates and features on training rows; wide feature blocks become principal components.

    With ``by_block`` a block whose encoder asked for a number of components gets it, others ``pca``.
    """

    def __init__(self, *, pca: int | None, seed: int, by_block: bool = False) -> None:
        self.pca = pca
        self.seed = seed
        self.by_block = by_block

    @one_blas_thread()
    def fit(self, design: Design, rows: npt.NDArray[Any]) -> ColumnReducer:
        """Learn means, scales and components from the rows of a design."""
        from sklearn.decomposition import PCA
        from sklearn.preprocessing import StandardScaler

        table = design.table
        self.fitted_on = (table.covariate_names, table.feature_blocks)
        self.covariate_scaler = (
            StandardScaler().fit(table.covariates[rows]) if table.covariate_names else None
        )
        asked = components_asked(design.features) if self.by_block and self.pca is not None else {}
        self.block_steps: dict[str, tuple[Any, Any]] = {}
        for name, (start, stop) in table.feature_blocks.items():
            block = table.features[rows, start:stop].astype(float)
            scaler = StandardScaler().fit(block)
            most = asked.get(name, self.pca)
            width = min(most or stop - start, len(block) - 1)
            reducer = None
            if most is not None and stop - start > most:
                reducer = PCA(width, svd_solver="full").fit(scaler.transform(block))
            self.block_steps[name] = (scaler, reducer)
        return self

    @one_blas_thread()
    def transform(self, design: Design, rows: npt.NDArray[Any]) -> FloatArray:
        """Return the columns (rows, p) that learners see: covariates first, then features block by block."""
        table = design.table
        if (table.covariate_names, table.feature_blocks) != self.fitted_on:
            raise EstimationError(
                explain(
                    f"The design has the columns {_columns_of(table.covariate_names, table.feature_blocks)}, but "
                    f"the model was fitted on {_columns_of(*self.fitted_on)}.",
                    rule="the same covariates, levels of text covariates, and feature blocks",
                    fix="make one design and part it: design.split() or design.take(rows)",
                )
            )
        n_rows = table.ids[rows].size
        parts = [np.zeros((n_rows, 0))]
        if self.covariate_scaler is not None:
            parts.append(self.covariate_scaler.transform(table.covariates[rows]))
        for name, (scaler, reducer) in self.block_steps.items():
            start, stop = table.feature_blocks[name]
            block = scaler.transform(table.features[rows, start:stop].astype(float))
            parts.append(block if reducer is None else reducer.transform(block))
        return np.concatenate(parts, axis=1)


def _columns_of(covariates: tuple[str, ...], blocks: Mapping[str, tuple[int, int]]) -> list[str]:
    return [*covariates, *(f"{name} (width {stop - start})" for name, (start, stop) in blocks.items())]


@one_blas_thread()
def outcomes_out_of_fold(
    design: Design, folds: npt.NDArray[np.intp], learners: Learners, *, seed: int
) -> tuple[FloatArray, FloatArray]:
    """Return the predicted outcome under control and under treatment, each (n,), out of fold."""
    table = design.table
    if isinstance(learners.outcome, OutOfFold):
        made = learners.outcome.out_of_fold(design, folds)
        return made[:, 0], made[:, 1]
    predictions = np.zeros((2, len(design)))
    for fold in range(int(folds.max()) + 1):
        train, test = folds != fold, folds == fold
        reducer = ColumnReducer(pca=learners.pca, seed=seed, by_block=True).fit(design, train)
        columns = reducer.transform(design, test)
        for arm in (0, 1):
            rows = train & (table.treatment == arm)
            _require_rows(rows, fold, arm)
            model = _fit_outcome(design, rows, reducer, learners)
            predictions[arm, test] = _predict(model, columns)
    return predictions[0], predictions[1]


@one_blas_thread()
def propensity_out_of_fold(
    design: Design, folds: npt.NDArray[np.intp], learners: Learners, *, seed: int
) -> tuple[FloatArray, bool]:
    """Return the propensity (n,) and whether it was known: known ones first, else out of fold.

    Without covariates and features it is the weighted share of treated units outside the fold.

    Raises
    ------
    EstimationError
        A predicted propensity is exactly 0 or 1, or not finite.
    """
    table = design.table
    if table.propensity is not None:
        return table.propensity, True
    if isinstance(learners.propensity, OutOfFold):
        propensity = learners.propensity.out_of_fold(design, folds)[:, 0]
    else:
        propensity = _learned_propensity(design, folds, learners, seed=seed)
    bad = ~((propensity > 0) & (propensity < 1))
    if bad.any():
        raise EstimationError(
            explain(
                "The propensity learner predicts exactly 0 or 1, so these units have no counterpart.",
                where=table.ids[bad],
                rule="0 < propensity < 1",
                fix="use a smoother learner (the default logit), or leave these units out: design.take(rows)",
            )
        )
    return propensity, False


def _learned_propensity(
    design: Design, folds: npt.NDArray[np.intp], learners: Learners, *, seed: int
) -> FloatArray:
    table = design.table
    propensity = np.zeros(len(design))
    without_columns = not table.covariate_names and not table.features.shape[1]
    for fold in range(int(folds.max()) + 1):
        train, test = folds != fold, folds == fold
        for arm in (0, 1):
            _require_rows(train & (table.treatment == arm), fold, arm)
        if without_columns:
            propensity[test] = np.average(table.treatment[train], weights=table.weights[train])
            continue
        reducer = ColumnReducer(pca=learners.pca, seed=seed, by_block=True).fit(design, train)
        model = _fit_propensity(design, train, reducer, learners)
        propensity[test] = model.predict_proba(reducer.transform(design, test))[:, 1]
    return propensity


def cross_fit(design: Design, folds: npt.NDArray[np.intp], learners: Learners, *, seed: int) -> Nuisance:
    """Return all nuisance predictions on the same folds."""
    propensity, known = propensity_out_of_fold(design, folds, learners, seed=seed)
    control, treated = outcomes_out_of_fold(design, folds, learners, seed=seed)
    return Nuisance(control, treated, propensity, folds, known)


def _fit_outcome(
    design: Design, rows: npt.NDArray[np.bool_], reducer: ColumnReducer, learners: Learners
) -> Any:
    from sklearn.base import clone
    from sklearn.linear_model import RidgeCV

    columns = reducer.transform(design, rows)
    if columns.shape[1] == 0:
        return _Constant(float(np.average(design.table.outcome[rows], weights=design.table.weights[rows])))
    if learners.outcome is None:
        model = RidgeCV(alphas=RIDGE_PENALTIES, cv=group_splits(design.groups[rows], k=INNER_SPLITS))
    else:
        model = clone(learners.outcome)
    return _fit(model, columns, design.table.outcome[rows], design.table.weights[rows])


def _fit_propensity(
    design: Design, rows: npt.NDArray[np.bool_], reducer: ColumnReducer, learners: Learners
) -> Any:
    from sklearn.base import clone
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV

    columns = reducer.transform(design, rows)
    if learners.propensity is None:
        model = GridSearchCV(
            LogisticRegression(solver="newton-cholesky", max_iter=1000),
            {"C": LOGIT_INVERSE_PENALTIES},
            scoring="neg_log_loss",
            cv=_two_class_splits(design, rows),
        )
    else:
        model = clone(learners.propensity)
    return _fit(model, columns, design.table.treatment[rows].astype(int), design.table.weights[rows])


def _two_class_splits(design: Design, rows: npt.NDArray[np.bool_]) -> list[Any]:
    """Return the inner splits whose training and test parts hold both arms."""
    treatment = design.table.treatment[rows]
    splits = group_splits(design.groups[rows], k=INNER_SPLITS)
    usable = [split for split in splits if all(0 < treatment[part].mean() < 1 for part in split)]
    if not usable:
        raise EstimationError(
            explain(
                "No inner fold holds both arms, so the penalty of the propensity cannot be chosen.",
                rule="several clusters of each arm outside each fold",
                fix="fewer folds: Folds(k=2), or Learners(propensity=...) with a fixed penalty",
            )
        )
    return usable


def _fit(model: Any, columns: FloatArray, target: npt.NDArray[Any], weights: FloatArray) -> Any:
    if np.ptp(weights) == 0:
        return model.fit(columns, target)
    try:
        # a penalty is measured against the sum of the weights, which must not depend on their units
        return model.fit(columns, target, sample_weight=weights / weights.mean())
    except TypeError as error:
        raise EstimationError(
            explain(
                f"The learner {type(model).__name__} takes no sample weights, but the design has them.",
                fix="use a learner whose fit() has sample_weight",
            )
        ) from error


def _predict(model: Any, columns: FloatArray) -> FloatArray:
    values = np.asarray(model.predict(columns), dtype=float)
    if values.shape != (len(columns),) or not np.isfinite(values).all():
        raise EstimationError(
            explain(
                f"The outcome learner {type(model).__name__} predicted shape {values.shape} or values that are "
                "not finite.",
                rule=f"one finite number for each of {len(columns)} units",
            )
        )
    return values


def _require_rows(rows: npt.NDArray[np.bool_], fold: int, arm: int) -> None:
    if rows.sum() < 2:
        name = "treated" if arm else "control"
        raise EstimationError(
            explain(
                f"Outside fold {fold} there are {int(rows.sum())} {name} units.",
                rule="at least 2 of each arm to learn from",
                fix="fewer folds: Folds(k=2), or method='difference'",
            )
        )


@dataclass(frozen=True)
class _Constant:
    """Predicts one number: the outcome model when there is nothing to predict from."""

    value: float

    def predict(self, columns: FloatArray) -> FloatArray:
        return np.full(len(columns), self.value)
