"""Predictions and truth of the same places, with what goes with them: arrays or Series, joined and checked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from eocausal.debiasing.calibration_sample import LEAST, SPREADS, CalibrationSample, require_varies, uneven
from eocausal.debiasing.given_numbers import given_array, given_numbers
from eocausal.errors import DebiasError, explain
from eocausal.inference.variance import FEW_CLUSTERS

FloatArray = npt.NDArray[np.float64]
Labels = npt.NDArray[Any]
Given = npt.ArrayLike | pd.Series | pd.DataFrame | None

# More groups than a tenth of the places, of numbers that are not whole, are measurements.
_SHARE_OF_GROUPS = 0.1


def read_pairs(
    prediction: Given,
    truth: Given,
    *,
    treatment: Given = None,
    groups: Given = None,
    weights: Given = None,
    cluster: Given = None,
) -> tuple[CalibrationSample, FloatArray | None]:
    """Return places as a sample, and their treatment; the order is that of the predictions.

    Raises
    ------
    DebiasError
        Lengths or indices that do not fit, missing, infinite or too few values, or values that do not vary.
    """
    index = prediction.index if isinstance(prediction, pd.Series) else None
    if index is not None and not index.is_unique:
        raise DebiasError(
            explain("The index of prediction holds duplicates.", where=index[index.duplicated()])
        )
    length = len(given_array(prediction, "prediction"))
    if index is None:
        _require_one_order(truth=truth, treatment=treatment, groups=groups, weights=weights, cluster=cluster)
    asked: dict[str, Given] = {
        "prediction": prediction,
        "truth": truth,
        "treatment": treatment,
        "weights": weights,
    }
    aligned = {
        name: _aligned(value, index, length, name) for name, value in asked.items() if value is not None
    }
    if length < LEAST:
        raise DebiasError(explain(f"There are {length} places.", rule=f"at least {LEAST}, and better 300"))
    ids = np.arange(length) if index is None else index.to_numpy()
    # days are known by how they are written
    ids = ids.astype(str) if ids.dtype.kind in "mM" else ids
    numbers = {name: given_numbers(value, ids, name) for name, value in aligned.items()}
    for name in ("prediction", "truth"):
        require_varies(numbers[name], name)
    given = numbers.get("weights", np.ones(length))
    if not (given > 0).all():
        raise DebiasError(explain("weights are not positive.", where=ids[given <= 0], rule="weights above 0"))
    if treatment is not None:
        _require_arms(numbers["treatment"], ids)
    labels = None if cluster is None else _labels(_aligned(cluster, index, length, "cluster"), ids, "cluster")
    if labels is not None and np.unique(labels).size < 2:
        text = f"cluster holds one value: {labels[0]}."
        raise DebiasError(explain(text, rule="at least two clusters", fix="leave cluster out"))
    sample = CalibrationSample(
        ids, numbers["prediction"], numbers["truth"], given, labels, read_groups(groups, index, ids)
    )
    return replace(sample, notes=tuple(_suspicions(sample))), numbers.get("treatment")


def _suspicions(sample: CalibrationSample) -> list[str]:
    """Return warnings of a reversed sign, of another unit, of few clusters."""
    told = uneven(sample.weights)
    together = float(np.corrcoef(sample.prediction, sample.truth)[0, 1])
    if together < -2 / np.sqrt(len(sample)):
        told.append(
            f"predictions fall as the truth rises (correlation {together:.2f}): is the sign of one of them "
            "reversed?"
        )
    spread = float(sample.truth.std())
    ratio = float(sample.prediction.std()) / spread
    apart = abs(float(sample.prediction.mean() - sample.truth.mean())) / spread
    if not SPREADS[0] <= ratio <= SPREADS[1]:
        told.append(
            f"the standard deviation of predictions is {ratio:.3g} times that of the truth: are both in the same "
            "unit? The naive estimate is in the unit of predictions"
        )
    elif apart > 3:
        told.append(
            f"predictions and truth differ by {apart:.1f} standard deviations on average: are both in the same "
            "unit?"
        )
    if sample.clusters is not None and sample.n_drawn < FEW_CLUSTERS:
        told.append(
            f"{sample.n_drawn} clusters: with fewer than {FEW_CLUSTERS} standard errors are too small"
        )
    return told


def _require_one_order(**given: Given) -> None:
    """Raise where predictions have no index, and Series that go with them have different ones."""
    named = {name: one.index for name, one in given.items() if isinstance(one, pd.Series | pd.DataFrame)}
    first = next(iter(named), None)
    others = [name for name, index in named.items() if not index.equals(named[str(first)])]
    if others:
        raise DebiasError(
            explain(
                f"{first} and {', '.join(others)} have different indices, and prediction has none to join them by.",
                rule="Series are joined by the index of prediction; beside an array they count by position",
                fix="prediction=pd.Series(prediction, index=...) with the ids of the places",
            )
        )


def _aligned(values: Given, index: pd.Index | None, length: int, name: str) -> pd.Series:
    """Return values in the order of the predictions: Series by index, arrays as they stand."""
    if isinstance(values, pd.Series) and index is not None:
        lacking = ~index.isin(values.index)
        if lacking.any() or values.index.has_duplicates:
            where = index[lacking] if lacking.any() else values.index[values.index.duplicated()]
            what = (
                "has no row for some places of prediction"
                if lacking.any()
                else "has two rows for some places"
            )
            raise DebiasError(
                explain(f"{name} {what}.", where=where, rule="Series are joined by their index")
            )
        return values.loc[index]
    array = given_array(values, name)
    if len(array) != length:
        raise DebiasError(
            explain(
                f"{name} has {len(array)} values and prediction {length}.",
                rule="one value for each place",
                fix="Series with the same index, or arrays of the same places in the same order",
            )
        )
    return values.reset_index(drop=True) if isinstance(values, pd.Series) else pd.Series(array)


def _require_arms(treatment: FloatArray, ids: Labels) -> None:
    other = ~np.isin(treatment, (0, 1))
    if other.any():
        raise DebiasError(explain("treatment is neither 0 nor 1.", where=ids[other], rule="0 or 1"))
    if np.ptp(treatment) == 0:
        raise DebiasError(explain(f"All places have treatment {treatment[0]:g}.", rule="places of both arms"))


def _labels(values: pd.Series, ids: Labels, name: str) -> Labels:
    missing = values.isna().to_numpy()
    if missing.any():
        raise DebiasError(
            explain(
                f"{name} is missing for {int(missing.sum())} places.",
                where=ids[missing],
                rule="a label for each place",
                fix="leave these places out of all arguments, or give them a label of their own",
            )
        )
    labels = values.to_numpy()
    if labels.dtype.kind in "mM":
        return labels.astype(str)
    if labels.dtype != object:
        return labels
    texts = np.array([str(one) for one in labels.tolist()])
    if len(set(map(type, labels.tolist()))) > 1 and np.unique(texts).size < len(
        set(map(repr, labels.tolist()))
    ):
        text = f"{name} holds labels of several types, which would be one as text."
        raise DebiasError(explain(text, rule="all numbers or all text", fix="labels.astype(str)"))
    return texts


def read_groups(groups: Given, index: pd.Index | None, ids: Labels) -> pd.DataFrame:
    """Return the columns of groups (n rows), joined by an index where there is one, and checked to hold labels."""
    if groups is None:
        return pd.DataFrame(index=range(ids.size))
    if isinstance(groups, pd.DataFrame):
        twice = pd.Index([str(name) for name in groups.columns])
        if twice.has_duplicates:
            where = twice[twice.duplicated()]
            raise DebiasError(
                explain("groups has columns of the same name.", where=where, rule="one name for each")
            )
        columns = {str(name): groups[name] for name in groups.columns}
    else:
        named = groups.name if isinstance(groups, pd.Series) and groups.name is not None else "group"
        columns = {
            str(named): groups if isinstance(groups, pd.Series) else pd.Series(given_array(groups, "groups"))
        }
    made = {}
    for name, values in columns.items():
        whole = (
            values
            if index is not None and isinstance(groups, pd.DataFrame | pd.Series)
            else values.to_numpy()
        )
        labels = _labels(
            _aligned(whole, index, ids.size, f"groups column {name!r}"), ids, f"groups column {name!r}"
        )
        distinct = np.unique(labels).size
        measured = labels.dtype.kind == "f" and not bool((labels == np.round(labels)).all())
        if measured and distinct > _SHARE_OF_GROUPS * ids.size:
            raise DebiasError(
                explain(
                    f"groups column {name!r} holds {distinct} different numbers: these are measurements.",
                    rule="labels of groups",
                    fix="classes of it, such as regions; not of the prediction, and not of the truth",
                )
            )
        made[name] = labels
    return pd.DataFrame(made)
