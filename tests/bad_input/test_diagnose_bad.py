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
    "groups of one": ({"groups": np.arange(N)}, "No two places share a group"),
    "missing cluster": ({"cluster": pd.Series([1.0, np.nan] * (N // 2))}, "cluster is missing for 30 places"),
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
