"""Models of outcome and propensity: each a function from a sample to a function that predicts. Pure arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from eocausal.errors import EstimationError, explain
from eocausal.nuisance.folds import group_splits
from eocausal.nuisance.penalised_logit import fit_penalised_logit
from eocausal.nuisance.ridge import fit_ridge

FloatArray = npt.NDArray[np.float64]
Predictor = Callable[[FloatArray], FloatArray]

# Penalties to choose from, for columns of unit scale, and the splits to choose on.
RIDGE_PENALTIES = np.logspace(-1, 5, 7)
LOGIT_INVERSE_PENALTIES = np.logspace(-4, 1, 6)
INNER_SPLITS = 4


@dataclass(frozen=True)
class Sample:
    """What a model is fitted on.

    Attributes
    ----------
    columns : array of shape (m, p)
        Of about unit scale.
    target : array of shape (m,)
        The outcome, or the treatment as 0 and 1.
    weights : array of shape (m,) or None
        Sampling weights of mean 1; None where they are equal.
    groups : array of shape (m,)
        Units that no split may part.
    ids : array of shape (m,)
        For texts of errors.
    seed : int
    """

    columns: FloatArray
    target: FloatArray
    weights: FloatArray | None
    groups: npt.NDArray[np.intp]
    ids: npt.NDArray[Any]
    seed: int

    @property
    def case_weights(self) -> FloatArray:
        """What each row counts, mean 1."""
        return np.ones(len(self.target)) if self.weights is None else self.weights

    def only(self, columns: slice) -> Sample:
        """Return the sample with some of its columns."""
        return replace(self, columns=self.columns[:, columns])

    def rows(self, rows: npt.NDArray[Any]) -> Sample:
        """Return the sample with some of its rows, by position."""
        return Sample(
            columns=self.columns[rows],
            target=self.target[rows],
            weights=None if self.weights is None else self.weights[rows],
            groups=self.groups[rows],
            ids=self.ids[rows],
            seed=self.seed,
        )


def ridge(sample: Sample) -> Predictor:
    """Fit ridge regression, its penalty chosen on splits that keep groups whole."""
    parts = _parts(group_splits(sample.groups, k=INNER_SPLITS), sample)
    return fit_ridge(
        sample.columns, sample.target, sample.case_weights, penalties=RIDGE_PENALTIES, parts=parts
    ).predict


def penalised_logit(sample: Sample) -> Predictor:
    """Fit a logit with a ridge penalty chosen on splits that keep groups whole."""
    fitted = fit_penalised_logit(
        sample.columns,
        sample.target,
        sample.case_weights,
        inverse_penalties=LOGIT_INVERSE_PENALTIES,
        parts=_parts(two_class_splits(sample), sample),
    )

    def predict(columns: FloatArray) -> FloatArray:
        from scipy.special import expit

        return np.asarray(expit(fitted.predict(columns)))

    return predict


def given_regressor(estimator: Any, sample: Sample, *, role: str = "outcome learner") -> Predictor:
    """Fit a clone of a scikit-learn regressor; what it predicts is checked, with ``role`` in the text of errors."""
    from sklearn.base import clone

    fitted = fit_weighted(clone(estimator), sample, sample.target)

    def predict(columns: FloatArray) -> FloatArray:
        values = np.asarray(fitted.predict(columns), dtype=float)
        if values.shape != (len(columns),) or not np.isfinite(values).all():
            raise EstimationError(
                explain(
                    f"The {role} {type(fitted).__name__} predicted shape {values.shape} or values that "
                    "are not finite.",
                    rule=f"one finite number for each of {len(columns)} units",
                )
            )
        return values

    return predict


def given_classifier(estimator: Any, sample: Sample) -> Predictor:
    """Fit a clone of a scikit-learn classifier; it predicts the probability of treatment."""
    from sklearn.base import clone

    fitted = fit_weighted(clone(estimator), sample, sample.target.astype(int))

    def predict(columns: FloatArray) -> FloatArray:
        values = np.asarray(fitted.predict_proba(columns), dtype=float)
        if values.shape != (len(columns), 2) or not np.isfinite(values).all():
            raise EstimationError(
                explain(
                    f"The propensity learner {type(fitted).__name__} predicted shape {values.shape} or values that "
                    "are not finite.",
                    rule=f"two finite probabilities for each of {len(columns)} units",
                )
            )
        return np.asarray(values[:, 1])

    return predict


def constant(value: float) -> Predictor:
    """Predict one number: the model where there is nothing to predict from."""
    return lambda columns: np.full(len(columns), value)


def two_class_splits(sample: Sample) -> list[Any]:
    """Return the inner splits whose training and test parts hold both arms."""
    treatment = sample.target
    splits = group_splits(sample.groups, k=INNER_SPLITS)
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


def _parts(splits: list[Any], sample: Sample) -> npt.NDArray[np.intp]:
    """Return the split that each row is left out with; -1 where it is never left out."""
    parts = np.full(len(sample.target), -1)
    for number, (_, test) in enumerate(splits):
        parts[test] = number
    return parts


def fit_weighted(model: Any, sample: Sample, target: npt.NDArray[Any]) -> Any:
    """Fit a scikit-learn model in place and return it, with weights where the sample has them.

    Of a pipeline the last step gets them.
    """
    if sample.weights is None:
        return model.fit(sample.columns, target)
    steps = getattr(model, "steps", None)  # a pipeline hands weights on by the name of a step alone
    name = f"{steps[-1][0]}__sample_weight" if steps else "sample_weight"
    try:
        return model.fit(sample.columns, target, **{name: sample.weights})
    except TypeError as error:
        raise EstimationError(
            explain(
                f"The learner {type(model).__name__} takes no sample weights, but its rows have them.",
                fix="use a learner whose fit() has sample_weight",
            )
        ) from error
