"""What a reader must know of labels and predictions before an estimate from both is believed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

if TYPE_CHECKING:
    from eocausal.labelled.labels import Labelled

FloatArray = npt.NDArray[np.float64]

# With fewer labels in an arm, its variance and how much of the predictions to take are guesses.
FEW_LABELS = 10
# Truths that spread this much more, or less, than their predictions are hardly in the same unit of measurement.
OTHER_UNITS = 5.0
# Standard errors by which predictions of labelled and other units may differ by chance.
_BY_CHANCE = 3.3
_REVERSED = -2.0


def label_warnings(study: Labelled, power: pd.DataFrame) -> list[str]:
    """Return warnings: few labels, predictions in other units or of the wrong sign, labels not drawn at random."""
    return [
        *_few(power),
        *_one_cluster(power),
        *_other_units(study),
        *_reversed(power),
        *_not_random(power),
        *_nothing_left(study),
    ]


def imprecise(errors: dict[str, float]) -> list[str]:
    """Return a warning where predictions, taken whole, make an estimate less precise than labels alone."""
    if errors["ppi"] <= errors["classical"]:
        return []
    return [
        f"taken whole (lambda 1), predictions cost precision: the standard error of ppi is {errors['ppi']:.4g}, "
        f"that of labels alone {errors['classical']:.4g}; ppi++ takes only as much of them as helps"
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


def _other_units(study: Labelled) -> list[str]:
    truth, prediction = study.truth[study.labelled], study.prediction[study.labelled]
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
        f"{row['correlation']:.2f}): is their sign reversed? ppi++ leaves them out there"
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


def _nothing_left(study: Labelled) -> list[str]:
    others = int((~study.labelled).sum())
    if others >= 2:
        return []
    return [
        f"{others} units have no label, so predictions add nothing: all estimates but naive are of labels alone"
    ]


def _named(row: pd.Series) -> str:
    return f"{row['arm']} of stratum {row['stratum']!r}" if row["stratum"] else f"arm {row['arm']!r}"
