"""What a reader must know of labels and predictions before an estimate from both is believed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal.inference.variance import sum_within
from eocausal.labelled.rectified import weighted_mean

if TYPE_CHECKING:
    from eocausal.labelled.labelled_table import LabelledTable
    from eocausal.labelled.labels import Labelled

FloatArray = npt.NDArray[np.float64]

# With fewer labels in an arm, its variance and how much of the predictions to take are guesses.
FEW_LABELS = 10
# Truths that spread this much more, or less, than their predictions are hardly in the same unit of measurement.
OTHER_UNITS = 5.0
# Standard errors by which predictions of labelled and other units may differ by chance.
_BY_CHANCE = 3.3
_REVERSED = -2.0
# What the warning of predictions that cost precision begins with.
COSTS = "taken whole (lambda 1), predictions cost precision"
# More exact predictions than this share are no chance, where outcomes have more values than these.
_EXACT, _FEW_VALUES = 0.1, 20


def label_warnings(study: Labelled, power: pd.DataFrame) -> list[str]:
    """Return warnings: few labels, predictions in other units or of the wrong sign, labels not drawn at random."""
    return [
        *_few(power),
        *_one_cluster(power),
        *_other_units(study),
        *_reversed(power),
        *_not_random(power),
        *_nothing_left(study),
        *no_error(study.prediction[study.labelled], study.truth[study.labelled]),
    ]


def imprecise(errors: dict[str, float]) -> list[str]:
    """Return a warning where predictions, taken whole, make an estimate less precise than labels alone."""
    if errors["ppi"] <= errors["classical"]:
        return []
    helps = "; ppi++ takes only as much of them as helps" if "ppi++" in errors else ""
    return [
        f"{COSTS}: the standard error of ppi is {errors['ppi']:.4g}, that of labels alone "
        f"{errors['classical']:.4g}{helps}"
    ]


def _few(power: pd.DataFrame) -> list[str]:
    return [
        f"{_named(row)} has {row['n_labelled']} labelled units: with fewer than {FEW_LABELS} neither the standard "
        "error nor how much of the predictions to take is known well"
        for _, row in power.iterrows()
        if row["n_labelled"] < FEW_LABELS
    ]


def _one_cluster(power: pd.DataFrame) -> list[str]:
    return [
        f"all labels of {_named(row)} are in one cluster, so that nothing tells how clusters differ: the standard "
        "errors of all estimates but naive are too small"
        for _, row in power.iterrows()
        if row["n_clusters"] is not pd.NA and row["n_clusters"] == 1
    ]


def table_warnings(table: LabelledTable, *, at_random: bool = True) -> list[str]:
    """Return warnings of predictions and labels beside no treatment: units, sign, exact, not drawn at random.

    ``at_random`` says that all units had the same chance of a label.
    """
    rows = table.labelled
    prediction, truth = table.prediction[rows], table.truth[rows]
    shares = np.isin(truth, (0.0, 1.0)).all() and prediction.min() >= 0 and prediction.max() <= 1
    told = [*([] if shares else other_units(truth, prediction)), *no_error(prediction, truth)]
    if np.ptp(truth) == 0 or np.ptp(prediction) == 0:
        return told
    together = float(np.corrcoef(prediction, truth)[0, 1])
    if together * np.sqrt(truth.size) < _REVERSED:
        told.append(
            f"predictions of labelled units fall where the truth rises (correlation {together:.2f}): is their "
            "sign reversed?"
        )
    if not at_random or (~rows).sum() < 2:
        return told
    away, error = _apart(table)
    if error > 0 and abs(away) > _BY_CHANCE * error:
        way = "lower" if away > 0 else "higher"
        told.append(
            f"units with labels are predicted {way} than others by {abs(away):.4g}, {abs(away) / error:.1f} "
            "standard errors: they do not look drawn at random, and every estimate from labels needs that"
        )
    return told


def _apart(table: LabelledTable) -> tuple[float, float]:
    """Return how much higher units without labels are predicted, and its error by units or clusters."""
    means, scores = [], []
    for rows in (table.labelled, ~table.labelled):
        mean, own = weighted_mean(table.prediction, np.where(rows, table.weights, 0.0))
        means.append(mean)
        scores.append(own / rows.size)
    moved = scores[1] - scores[0]
    sums = moved if table.clusters is None else sum_within(moved[:, None], table.clusters)[:, 0]
    return means[1] - means[0], float(np.sqrt((sums**2).sum()))


def _other_units(study: Labelled) -> list[str]:
    return other_units(study.truth[study.labelled], study.prediction[study.labelled])


def other_units(truth: FloatArray, prediction: FloatArray) -> list[str]:
    """Return a warning where truths and predictions (m,) of labelled units are hardly in one unit."""
    spread, predicted = float(truth.std(ddof=1)), float(prediction.std(ddof=1))
    if predicted == 0:
        return ["predictions are the same for all labelled units, so they add nothing to labels"]
    ratio = spread / predicted
    if 1 / OTHER_UNITS <= ratio <= OTHER_UNITS:
        return []
    return [
        f"the truth has a standard deviation of {spread:.4g} among labelled units, their predictions of "
        f"{predicted:.4g} (ratio {ratio:.3g}): are both in the same unit of measurement? Where not, naive and ppi "
        "mean nothing, and ppi++ gains less than it could"
    ]


def _reversed(power: pd.DataFrame) -> list[str]:
    return [
        f"among labelled units of {_named(row)} predictions fall where the truth rises (correlation "
        f"{row['correlation']:.2f}): is their sign reversed? "
        + ("They are left out there" if row["lambda"] == 0 else f"Lambda is {row['lambda']:.2g} there")
        for _, row in power.iterrows()
        if row["correlation"] * np.sqrt(row["n_labelled"]) < _REVERSED
    ]


def _not_random(power: pd.DataFrame) -> list[str]:
    told = []
    for _, row in power.iterrows():
        if row["shift_error"] > 0 and abs(row["shift"]) > _BY_CHANCE * row["shift_error"]:
            way = "lower" if row["shift"] > 0 else "higher"
            told.append(
                f"labelled units of {_named(row)} are predicted {way} than others by {abs(row['shift']):.4g}, "
                f"{abs(row['shift']) / row['shift_error']:.1f} standard errors: they do not look drawn at random, "
                "and every estimate from labels needs that (probability=, strata= in ec.Labelling)"
            )
    return told


def no_error(prediction: FloatArray, truth: FloatArray) -> list[str]:
    """Return a warning where predictions (m,) of labelled units are their truth, as those of training data are."""
    same = int((prediction == truth).sum())
    # of outcomes of a few values many are predicted exactly
    if np.unique(truth).size <= _FEW_VALUES or same <= _EXACT * truth.size:
        return []
    return [
        f"{same} of {truth.size} labelled units are predicted exactly: did the model learn from their labels? "
        "Errors elsewhere are then larger than labels tell, and estimates are wrong (trained_on= in ec.Labelling)"
    ]


def _nothing_left(study: Labelled) -> list[str]:
    others = int((~study.labelled).sum())
    if others >= 2:
        return []
    return [
        f"{others} units have no label, so predictions add nothing: all estimates but naive are of labels alone"
    ]


def _named(row: pd.Series) -> str:
    return f"{row['arm']} of stratum {row['stratum']!r}" if row["stratum"] else f"arm {row['arm']!r}"
