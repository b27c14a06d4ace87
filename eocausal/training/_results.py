"""From what the networks of the folds said to one result: predictions, metrics, reliability, features, warnings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal.embeddings import Embeddings
from eocausal.inference.propensity import extreme_propensities
from eocausal.training._calibration import (
    outcome_metrics,
    platt,
    reliability,
    sigmoid,
    treatment_metrics,
)
from eocausal.training._fitting import FoldFit, Parts, Study
from eocausal.training.finetuned import PREDICTED, Finetuned

FloatArray = npt.NDArray[np.float64]

ARMS = ("control", "treated")
# Log odds that would have to be halved to fit were not worth half of what they said.
TOO_EXTREME = 0.5
# Pictures that show less are told of.
MOSTLY_VALID = 0.5


@dataclass(frozen=True, eq=False)
class Made:
    """All folds of one run: the study by ids, the fold of each unit, and what the networks said."""

    study: Study
    folds: npt.NDArray[np.intp]
    parts: tuple[Parts, ...]
    fits: tuple[FoldFit, ...]

    def by_unit(self, *, trained: bool = True) -> FloatArray:
        """Return the outputs (n, k) of all units, each from its own fold, after or before training."""
        found = np.zeros((len(self.study.ids), self.fits[0].outputs.shape[1]))
        for part, fit in zip(self.parts, self.fits):
            found[part.predict] = fit.outputs if trained else fit.before
        return found

    def by_image(self) -> FloatArray:
        """Return the outputs (m, k) of all pictures, each from the fold of its units."""
        found = np.zeros((len(self.study.chips.keys), self.fits[0].outputs.shape[1]))
        for fit in self.fits:
            found[fit.images] = fit.of_images
        return found

    def recalibrated(self) -> Made:
        """Return the same with log odds recalibrated, fold by fold, by the units that stopped its network."""
        study, fits = self.study, []
        for part, fit in zip(self.parts, self.fits):
            slope, intercept = platt(fit.stopping[:, 0], study.treatment[part.stop], study.weights[part.stop])
            outputs, of_images = (intercept + slope * one for one in (fit.outputs, fit.of_images))
            fits.append(replace(fit, outputs=outputs, of_images=of_images))
        return Made(study, self.folds, self.parts, tuple(fits))

    def constants(self, values: FloatArray, units: npt.NDArray[np.bool_]) -> FloatArray:
        """Return, for each unit (n,), the weighted mean of values over some units outside its fold."""
        found, weights = np.zeros(len(self.folds)), self.study.weights
        for fold in np.unique(self.folds):
            outside = (self.folds != fold) & units
            found[self.folds == fold] = np.average(values[outside], weights=weights[outside])
        return found


def assembled(
    made: Made,
    *,
    target: str,
    calibrate: bool,
    order: npt.NDArray[np.intp],
    about: Mapping[str, Any],
    chips: Any,
    notes: tuple[str, ...],
) -> Finetuned:
    """Return the result; ``order`` (n,) are the positions of the design's units in the study."""
    if target == "treatment":
        used = made.recalibrated() if calibrate else made
        predictions = sigmoid(used.by_unit())
        metrics, calibration = _of_treatment(made)
        notes += tuple(extreme_propensities(predictions[:, 0], made.study.treatment))
        notes += _poor(metrics, "calibrated" if calibrate else "network")
    else:
        used, predictions = made, made.by_unit()
        metrics, calibration = _of_outcome(made)
    return Finetuned(
        target=target,
        ids=made.study.ids[order],
        folds=made.folds[order],
        predictions=predictions[order],
        metrics=metrics,
        calibration=calibration,
        history=_history(made),
        embeddings=_features(used, target, about, chips),
        warnings=notes + _warnings(made),
        provenance=about,
    )


def _of_treatment(made: Made) -> tuple[pd.DataFrame, pd.DataFrame]:
    study, groups = made.study, made.study.groups
    kinds = {
        "constant": made.constants(study.treatment, np.ones(len(study.ids), dtype=bool)),
        **({"covariates": sigmoid(made.by_unit(trained=False)[:, 0])} if study.covariates.size else {}),
        "network": sigmoid(made.by_unit()[:, 0]),
        "calibrated": sigmoid(made.recalibrated().by_unit()[:, 0]),
    }
    metrics = pd.DataFrame(
        {
            name: _without_idle_slope(
                treatment_metrics(values, study.treatment, study.weights, made.folds), values, made.folds
            )
            for name, values in kinds.items()
        }
    ).T.rename_axis("prediction")
    tables = [
        reliability(kinds[name], study.treatment, study.weights, groups, shares=True).assign(of=name)
        for name in ("network", "calibrated")
    ]
    return metrics, pd.concat(tables, ignore_index=True)


def _of_outcome(made: Made) -> tuple[pd.DataFrame, pd.DataFrame]:
    study, found, before = made.study, made.by_unit(), made.by_unit(trained=False)
    rows, tables = {}, []
    for arm, name in enumerate(ARMS):
        mine = study.treatment == arm
        observed, weights = study.outcome[mine], study.weights[mine]
        kinds = {"constant": made.constants(study.outcome, mine)[mine], "network": found[mine, arm]}
        if study.covariates.size:
            kinds["covariates"] = before[mine, arm]
        told = {
            kind: _without_idle_slope(outcome_metrics(values, observed, weights), values, made.folds[mine])
            for kind, values in kinds.items()
        }
        usual = told["constant"]
        for kind, row in told.items():
            r2 = 1 - (row["rmse"] / usual["rmse"]) ** 2 if usual["rmse"] > 0 else np.nan
            rows[kind, name] = {"n": int(mine.sum()), "rmse": row["rmse"], "r2": r2, "slope": row["slope"]}
        table = reliability(found[mine, arm], observed, weights, study.groups[mine], shares=False)
        tables.append(table.assign(of=name))
    metrics = pd.DataFrame.from_dict(rows, orient="index").rename_axis(["prediction", "arm"]).sort_index()
    return metrics.astype({"n": int}), pd.concat(tables, ignore_index=True)


def _without_idle_slope(
    row: dict[str, float], predicted: FloatArray, folds: npt.NDArray[np.intp]
) -> dict[str, float]:
    """Return metrics without a slope where every fold has one prediction.

    What is then left are means of the other folds, which are lower where the fold's own mean is higher: a slope
    below zero that says nothing of the network.
    """
    by_fold = pd.Series(predicted).groupby(folds)
    return row if (by_fold.max() - by_fold.min()).gt(0).any() else row | {"slope": np.nan}


def _history(made: Made) -> pd.DataFrame:
    tables = []
    for fold, fit in enumerate(made.fits):
        table = pd.DataFrame(fit.losses, columns=["train", "validation"])
        table.insert(0, "epoch", np.arange(len(table)))
        table.insert(0, "fold", fold)
        tables.append(table.assign(kept=table["epoch"] == fit.best))
    return pd.concat(tables, ignore_index=True)


def _features(made: Made, target: str, about: Mapping[str, Any], chips: Any) -> Embeddings:
    names = ("logit",) if target == "treatment" else PREDICTED[target]
    columns = tuple(f"finetuned_{target}_{name.removeprefix('outcome_')}" for name in names)
    return Embeddings(
        keys=made.study.chips.keys,
        key_name=chips.key_name,
        values=made.by_image().astype(np.float32),
        columns=columns,
        blocks={f"finetuned_{target}": (0, len(columns))},
        info=made.study.chips.info,
        date=chips.date,
        recipe=about,
    )


def _poor(metrics: pd.DataFrame, used: str) -> tuple[str, ...]:
    """Return warnings of probabilities that are worse than none, or that say more than they know."""
    loss, usual, slope = metrics["log_loss"][used], metrics["log_loss"]["constant"], metrics["slope"][used]
    if np.isnan(slope):
        return ()  # a constant itself, of which another warning tells
    notes = []
    if loss > usual:
        notes.append(
            f"out of fold the probabilities are worse than the constant (log loss {loss:.3f} against {usual:.3f})"
        )
    if slope < TOO_EXTREME:
        remedy = "; ec.Network(calibrate=True) recalibrates them" if used == "network" else ""
        notes.append(f"the probabilities are too extreme (calibration slope {slope:.2f}){remedy}")
    return tuple(notes)


def _warnings(made: Made) -> tuple[str, ...]:
    still = [str(fold) for fold, fit in enumerate(made.fits) if fit.best == 0]
    rising = [str(fold) for fold, fit in enumerate(made.fits) if fit.best and fit.best == len(fit.losses) - 1]
    notes: list[str] = []
    if still:
        notes.append(
            f"no epoch improved the validation loss of fold {', '.join(still)}: its units have the prediction "
            "without pictures"
        )
    if rising:
        notes.append(
            f"the validation loss was still falling after the last epoch in fold {', '.join(rising)}: "
            "more epochs would predict better"
        )
    shares = made.study.chips.info["valid_fraction"].to_numpy(dtype=float)
    if (shares < MOSTLY_VALID).any():
        notes.append(
            f"{int((shares < MOSTLY_VALID).sum())} pictures show less than half of their pixels (the least "
            f"{np.nanmin(shares):.2f}); networks read the rest as the mean of each band, so what is missing can "
            "itself be learned: leave them out by design.take(...)"
        )
    hashes = pd.Series(made.study.chips.hashes[made.study.image_of])
    folds_of = pd.Series(made.folds).groupby(hashes.to_numpy()).nunique()
    shared = hashes.isin(folds_of.index[folds_of > 1].tolist())
    if shared.any():
        keys = made.study.chips.keys[np.unique(made.study.image_of[shared.to_numpy()])]
        shown = ", ".join([*(str(key) for key in keys[:5].tolist()), *(["..."] if len(keys) > 5 else [])])
        notes.append(
            f"{len(keys)} pictures are the same pixels under other keys in other folds ({shown}): "
            "predictions of their units are not out of fold; give them one image key"
        )
    return tuple(notes)
