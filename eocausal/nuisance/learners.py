"""What predicts outcome and treatment, as it is asked for: by name or as an object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from eocausal._checks import did_you_mean, one_of, whole_number
from eocausal.errors import EstimationError, explain

if TYPE_CHECKING:
    from eocausal.design import Design

FloatArray = npt.NDArray[np.float64]

# Learners by name, and what a reader is told of them. The first of each role is the default.
OUTCOME_LEARNERS = {
    "ridge": "ridge (cross-validated)",
    "boosting": "gradient boosting (trees chosen by cross-validation)",
    "stacking": "stack (weights from inner out-of-fold predictions)",
}
PROPENSITY_LEARNERS = {
    "penalised_logit": "logit with ridge (cross-validated)",
    "boosting": "gradient boosting (trees chosen by cross-validation)",
    "stacking": "stack (weights from inner out-of-fold predictions)",
    "logit": "logit (maximum likelihood)",
    "probit": "probit (maximum likelihood)",
}
PARAMETRIC = ("logit", "probit")
COLUMNS = ("both", "covariates", "features")
CALIBRATIONS = ("isotonic", "platt")


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
    """What predicts outcome and treatment, from which columns, and how wide features are made narrow.

    Parameters
    ----------
    outcome : {"ridge", "boosting", "stacking"}, scikit-learn regressor or Finetuned
        Fitted in each arm. ``ridge`` (default): linear, its penalty chosen by cross-validation. ``boosting``:
        boosted trees, their number chosen likewise. ``stacking``: linear models on covariates alone, on features
        alone and on both, and boosted trees on both, in the mixture that predicts best. All choices are made on
        inner folds that keep clusters, images and blocks whole. Predictions of :func:`eocausal.finetune` with
        ``target="outcome"`` are taken as they are, for the units and folds that they were made for.
    propensity : {"penalised_logit", "boosting", "stacking", "logit", "probit"}, classifier or Finetuned
        ``penalised_logit`` (default): logit with a ridge penalty. ``boosting`` and ``stacking`` as above.
        ``logit`` and ``probit``: maximum likelihood without a penalty, refused where there is more than one column
        for ten units or where the columns tell the arms apart. A scikit-learn classifier needs ``predict_proba``.
        Predictions of :func:`eocausal.finetune` with ``target="treatment"`` are taken as they are.
    pca : int or None
        Feature blocks wider than this become that many principal components, computed on standardised columns
        of the training folds only. ``None`` leaves features as they are. Blocks whose encoder says how many
        components they become (``MultiScale(reduce=)``) become that many.
    columns : {"both", "covariates", "features"}
        What learners see: ``[covariates, features]`` side by side, or one of the two alone.
    calibration : {"isotonic", "platt"}, optional
        How propensities are made to mean shares treated, learned on inner out-of-fold predictions of the training
        folds, so that no unit's treatment enters its own propensity. Default: not at all.

    Raises
    ------
    EstimationError
        A learner that is unknown or cannot predict, or a calibration that has nothing to calibrate.

    Notes
    -----
    The page ``docs/nuisances.md`` says which to use when.

    Examples
    --------
    >>> Learners(pca=20).pca
    20
    >>> Learners(propensity="logit").parametric
    'logit'
    """

    outcome: Any = "ridge"
    propensity: Any = "penalised_logit"
    pca: int | None = 50
    columns: Literal["both", "covariates", "features"] = "both"
    calibration: Literal["isotonic", "platt"] | None = None

    def __post_init__(self) -> None:
        if self.pca is not None:
            whole_number(self.pca, argument="pca", error=EstimationError, least=1)
        one_of(self.columns, COLUMNS, argument="columns", error=EstimationError)
        if self.calibration is not None:
            one_of(self.calibration, CALIBRATIONS, argument="calibration", error=EstimationError)
        for role, names, method, target in (
            ("outcome", OUTCOME_LEARNERS, "predict", "outcome"),
            ("propensity", PROPENSITY_LEARNERS, "predict_proba", "treatment"),
        ):
            learner = getattr(self, role)
            if learner is None:
                object.__setattr__(self, role, next(iter(names)))
            elif isinstance(learner, str):
                _require_known(role, learner, tuple(names))
            elif isinstance(learner, OutOfFold):
                _require_target(role, learner, target)
            else:
                _require_estimator(role, learner, method)
        if self.calibration is not None and isinstance(self.propensity, OutOfFold):
            raise EstimationError(
                explain(
                    f"calibration={self.calibration!r} with propensities that were predicted beforehand.",
                    rule="calibration learns from predictions made within the training folds, and there are none",
                    fix="leave calibration= out",
                )
            )

    @property
    def parametric(self) -> str | None:
        """``logit`` or ``probit`` where the propensity is a plain maximum-likelihood model, else None."""
        plain = isinstance(self.propensity, str) and self.propensity in PARAMETRIC
        return self.propensity if plain and self.calibration is None else None

    @property
    def chosen_propensity(self) -> bool:
        """Whether a propensity learner or a calibration other than the default was asked for."""
        return self.calibration is not None or not _named(self.propensity, next(iter(PROPENSITY_LEARNERS)))

    def describe(self) -> dict[str, Any]:
        """Return what a reader must know of the learners."""
        return {
            "outcome_learner": _described(self.outcome, OUTCOME_LEARNERS),
            "propensity_learner": _described(self.propensity, PROPENSITY_LEARNERS),
            "pca": self.pca,
            "columns": self.columns,
            "calibration": self.calibration,
        }

    def given(self) -> dict[str, str]:
        """Return hashes of predictions that were made beforehand, by role; empty where there are none."""
        roles = {"outcome": self.outcome, "propensity": self.propensity}
        return {role: one.fingerprint for role, one in roles.items() if isinstance(one, OutOfFold)}


def _named(learner: object, name: str) -> bool:
    return isinstance(learner, str) and learner == name


def _described(learner: Any, names: dict[str, str]) -> str:
    return names[learner] if isinstance(learner, str) else repr(learner)


def _require_known(role: str, learner: str, names: tuple[str, ...]) -> None:
    if learner not in names:
        raise EstimationError(
            explain(
                f"The {role} learner {learner!r} is not known.",
                fix=f"{did_you_mean(learner, names)} A scikit-learn estimator serves too.",
            )
        )


def _require_estimator(role: str, learner: Any, method: str) -> None:
    if isinstance(learner, type):
        raise EstimationError(
            explain(f"The {role} learner is a class.", fix=f"Learners({role}={learner.__name__}())")
        )
    if not (hasattr(learner, "fit") and hasattr(learner, method)):
        raise EstimationError(
            explain(
                f"The {role} learner {type(learner).__name__} has no {method}().",
                fix="pass a scikit-learn estimator, or the name of a learner",
            )
        )


def _require_target(role: str, learner: OutOfFold, target: str) -> None:
    if learner.target != target:
        raise EstimationError(
            explain(
                f"The {role} learner predicts {learner.target!r}, not {target!r}.",
                fix=f"Learners({role}=ec.finetune(chips, design, target={target!r}))",
            )
        )
