"""What `diagnose` refuses, in words that say how to mend it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.errors import DebiasError

N = 60
TRUTH = np.random.default_rng(0).normal(size=N)
MAP = 0.7 * TRUTH + 0.3 * np.random.default_rng(1).normal(size=N)


def _with(values: np.ndarray, position: int, value: float) -> np.ndarray:
    changed = values.astype(float).copy()
    changed[position] = value
    return changed


CASES: dict[str, tuple[dict[str, Any], str]] = {
    "lengths": ({"truth": TRUTH[:-1]}, "truth has 59 values and prediction 60"),
    "two dimensions": ({"prediction": MAP[:, None]}, "prediction has 2 dimensions"),
    "missing truth": (
        {"truth": _with(TRUTH, 3, np.nan)},
        "truth is missing for 1 places(.|\n)*Where: 1 \\(3\\)",
    ),
    "infinite prediction": ({"prediction": _with(MAP, 5, np.inf)}, "prediction is infinite for 1 places"),
    "text": ({"truth": np.array(["a"] * N)}, "truth is not a number for 60 places"),
    "few": ({"prediction": MAP[:20], "truth": TRUTH[:20]}, "There are 20 places(.|\n)*at least 30"),
    "constant prediction": ({"prediction": np.full(N, 2.0)}, "prediction has the same value everywhere: 2"),
    "constant truth": ({"truth": np.full(N, 2.0)}, "truth has the same value everywhere"),
    "negative weights": ({"weights": _with(np.ones(N), 2, -1.0)}, "weights are not positive"),
    "zero weights": ({"weights": _with(np.ones(N), 2, 0.0)}, "weights above 0"),
    "missing weights": ({"weights": _with(np.ones(N), 2, np.nan)}, "weights is missing"),
    "treatment of three": ({"treatment": np.arange(N) % 3}, "treatment is neither 0 nor 1"),
    "one arm": ({"treatment": np.ones(N)}, "All places have treatment 1"),
    "missing treatment": ({"treatment": _with(np.arange(N) % 2, 1, np.nan)}, "treatment is missing"),
    "one group": ({"groups": np.zeros(N, dtype=int)}, "holds one group"),
    "measurements": ({"groups": pd.DataFrame({"rain": TRUTH**2})}, "'rain' holds 60 different numbers"),
    "missing group": (
        {"groups": pd.Series(["a", None] * (N // 2), name="region")},
        "groups column 'region' is missing for 30 places",
    ),
    "columns of one name": (
        {"groups": pd.DataFrame(np.arange(2 * N).reshape(N, 2) % 3, columns=["g", "g"])},
        "columns of the same name",
    ),
    "groups of one": ({"groups": np.arange(N)}, "No two places share a group"),
    "missing cluster": ({"cluster": pd.Series([1.0, np.nan] * (N // 2))}, "cluster is missing for 30 places"),
    "masked prediction": (
        {"prediction": np.ma.array(MAP, mask=np.arange(N) == 7)},
        r"prediction is missing for 1 places[\s\S]*1 \(7\)",
    ),
    "masked treatment": (
        {"treatment": np.ma.array(np.arange(N) % 2, mask=np.arange(N) == 7)},
        "treatment is missing for 1",
    ),
    "masked groups": (
        {"groups": np.ma.array(["a", "b"] * (N // 2), mask=np.arange(N) == 7)},
        "is missing for 1 places",
    ),
    "complex": ({"truth": TRUTH + 1j}, "truth holds complex numbers"),
    "days": ({"truth": pd.Series(pd.Timestamp("2020-01-01"), index=range(N))}, "truth holds days"),
    "rows of different lengths": ({"prediction": [[1], [1, 2]] * (N // 2)}, "different lengths"),
    "constant but for rounding": ({"truth": 1 + 1e-15 * TRUTH}, "truth has the same value everywhere"),
    "numbers too large": ({"prediction": 1e200 * MAP}, "no longer exact"),
    "one cluster": ({"cluster": np.ones(N)}, "cluster holds one value: 1.0(.|\n)*leave cluster out"),
    "clusters of two types": ({"cluster": pd.Series([1, "1"] * (N // 2))}, "several types"),
    "groups of one name": (
        {"groups": pd.DataFrame({1: np.arange(N) % 2, "1": np.arange(N) % 3})},
        "columns of the same name(.|\n)*1 \\(1\\)",
    ),
    "indices that nothing joins": (
        {"truth": pd.Series(TRUTH), "treatment": pd.Series(np.arange(N) % 2, index=range(N)[::-1])},
        "truth and treatment have different indices",
    ),
    "noise that is text": ({"label_noise_var": "x"}, "label_noise_var='x'"),
    "noise that is missing": ({"label_noise_var": np.nan}, "0 or above"),
    "noise below zero": ({"label_noise_var": -1.0}, "0 or above"),
    "noise above variance": ({"label_noise_var": 50.0}, "less noise than variance"),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_refused(name: str) -> None:
    changed, words = CASES[name]
    given = {"prediction": MAP, "truth": TRUTH, **changed}
    with pytest.raises(DebiasError, match=words):
        ec.diagnose(given.pop("prediction"), given.pop("truth"), **given)


def test_series_that_do_not_join() -> None:
    prediction, truth = pd.Series(MAP), pd.Series(TRUTH)
    with pytest.raises(DebiasError, match="truth has no row for some places of prediction"):
        ec.diagnose(prediction, truth.iloc[:-2])
    with pytest.raises(DebiasError, match="index of prediction holds duplicates"):
        ec.diagnose(pd.Series(MAP, index=[0] * N), truth)
    with pytest.raises(DebiasError, match="truth has two rows"):
        ec.diagnose(prediction, pd.concat([truth, truth]))
    with pytest.raises(DebiasError, match="groups column 'g' has no row"):
        ec.diagnose(prediction, truth, groups=pd.DataFrame({"g": np.arange(N) % 2}, index=range(1, N + 1)))


def test_arrays_beside_a_series_go_by_position() -> None:
    shifted = pd.Series(MAP, index=np.arange(N) + 100)
    assert ec.diagnose(shifted, TRUTH).unit == ec.diagnose(MAP, TRUTH).unit


@pytest.mark.parametrize(
    "labels",
    [
        pd.Series(np.arange(N) % 3).astype("category"),
        pd.Series(np.arange(N) % 3).map({0: "a", 1: "b", 2: "c"}),
        pd.to_datetime(pd.Series(np.arange(N) % 3), unit="D"),
        pd.Series(np.arange(N) % 2 == 0),
        pd.Series((np.arange(N) % 3).astype(float)),
    ],
    ids=["category", "text", "dates", "booleans", "whole floats"],
)
def test_labels_of_any_kind_make_groups_and_are_written(labels: pd.Series) -> None:
    import json

    found = ec.diagnose(MAP, TRUTH, groups=labels, cluster=labels)
    assert found.levels[0].n_groups == labels.nunique()
    content = json.loads(json.dumps(found.to_dict(scores=True), allow_nan=False))
    assert type(found).from_dict(content) == found
