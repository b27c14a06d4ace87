# ruff: noqa: E501 - a case is a line
"""Designs that must be refused, and the words that help."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from eocausal.embeddings import Embeddings
from eocausal.errors import DesignError, EmbeddingsError, EocausalError, LeakError
from tests.studies import design, images, study

T = study()


def put(name: str, rows: list[int], value: object) -> pd.DataFrame:
    table = T.astype({name: object}) if isinstance(value, str) else T.copy()
    table.loc[table.index[rows], name] = value
    return table


def cloudy(village: int) -> Embeddings:
    """Return features of which one village's picture is half cloud."""
    clear = images()
    share = np.where(clear.keys == village, 0.5, 1.0)
    return replace(clear, info=pd.DataFrame({"status": "ok", "valid_fraction": share}))


ARMS = f"{int(T['grant'].iloc[:3].sum())} treated, {3 - int(T['grant'].iloc[:3].sum())} control"

# What is called, the class, and the words that the error must hold, in this order.
CASES: dict[str, tuple[Callable[[], object], type[EocausalError], list[str]]] = {
    "missing outcome column": (lambda: design(T, outcome="incme"), DesignError, ["'incme' is not in the data", "Did you mean 'income'?"]),
    "missing covariate column": (lambda: design(T, covariates=["age", "heigth"]), DesignError, ["'heigth' is not in the data", "weight"]),
    "missing cluster column": (lambda: design(T, cluster="vilage"), DesignError, ["'vilage'", "'village'"]),
    "missing propensity column": (lambda: design(T, propensity="zz"), DesignError, ["'zz' is not in the data", "Choose from: village, age"]),
    "repeated column": (lambda: design(pd.concat([T, T[["age"]]], axis=1)), DesignError, ["'age' appears 2 times", "columns.duplicated()"]),
    "no table": (lambda: design({"income": [1, 2]}), DesignError, ["data is a dict", "pandas DataFrame"]),
    "empty table": (lambda: design(T.iloc[:0]), DesignError, ["table of units is empty"]),
    "repeated ids": (lambda: design(T.set_axis([1, 1, 1, *range(2, 119)])), DesignError, ["unit id, holds duplicates", "Where: 2 (1, 1)", "set_index"]),
    "ids in levels": (lambda: design(T.set_index("village", append=True)), DesignError, ["several levels", "set_index"]),
    "ids of two kinds": (lambda: design(T.set_axis([*map(str, range(60)), *range(60)])), DesignError, ["unit id, holds int, str", "all numbers or all text", "astype(str)"]),
    "ids that are dates": (lambda: design(T.set_axis(pd.date_range("2000", periods=120))), DesignError, ["unit id, holds", "astype(str)"]),
    "treatment as text": (lambda: design(T.astype({"grant": str})), DesignError, ["'grant' is not coded 0 and 1", "('0', '1')", "data['grant'].astype(int)"]),
    "treatment in words": (lambda: design(T.assign(grant=np.where(T["grant"] == 1, "yes", "no"))), DesignError, ["2 values ('no', 'yes')", "astype(int)"]),
    "treatment 1 and 2": (lambda: design(T.assign(grant=T["grant"] + 1)), DesignError, ["not coded 0 and 1", "(1, 2)", "0 = control, 1 = treated"]),
    "three arms": (lambda: design(T.assign(grant=np.arange(120) % 3)), DesignError, ["3 values (0, 1, 2)", "keep two arms"]),
    "treatment missing": (lambda: design(put("grant", [4, 5], np.nan)), DesignError, ["'grant' is missing", "Where: 2 (112, 115)", "dropna(subset=['grant'])"]),
    "one arm": (lambda: design(T.assign(grant=1)), DesignError, ["120 treated and 0 control", "at least 2 units in each arm"]),
    "one treated unit": (lambda: design(T.assign(grant=(np.arange(120) == 0).astype(int))), DesignError, ["1 treated and 119 control"]),
    "outcome missing": (lambda: design(put("income", [0, 1, 2], np.nan)), DesignError, [f"3 units ({ARMS}) have no outcome 'income'", "Where: 3 (100, 103, 106)", "missing='drop'"]),
    "covariate missing": (lambda: design(put("age", [0, 1, 2], np.nan)), DesignError, [f"3 units ({ARMS}) have no covariate 'age'", "missing='drop'"]),
    "every outcome missing": (lambda: design(T.assign(income=np.nan), missing="drop"), DesignError, ["No unit is complete", "120 units"]),
    "outcome infinite": (lambda: design(put("income", [7], np.inf)), DesignError, ["outcome 'income' holds infinite values", "Where: 1 (121)", "np.nan)"]),
    "outcome as text": (lambda: design(put("income", [2], "1,200")), DesignError, ["outcome 'income' is not numeric", "'1,200'", "Where: 1 (106)", "pd.to_numeric"]),
    "outcome constant": (lambda: design(T.assign(income=3.0)), DesignError, ["'income' has the same value for all 120 units"]),
    "covariate constant": (lambda: design(T.assign(age=1.0)), DesignError, ["constant", "1 (age)", "leave them out"]),
    "covariate a list of names": (lambda: design(T, covariates="age"), DesignError, ["covariates is text", "covariates=['age']"]),
    "covariates None": (lambda: design(T, covariates=None), DesignError, ["covariates is None", "covariates=[]"]),
    "covariate twice": (lambda: design(T, covariates=["age", "age"]), DesignError, ["named twice", "1 (age)"]),
    "covariate of too many words": (lambda: design(T.assign(name=[f"n{k}" for k in range(120)]), covariates=["name"]), DesignError, ["'name' is text with 120 values for 120 units", "ten units"]),
    "names that are numbers": (lambda: design(T.rename(columns={"age": 0}), covariates=[0]), DesignError, ["covariates[0] is a int", "columns.astype(str)"]),
    "outcome an array": (lambda: design(T, outcome=T["income"]), DesignError, ["outcome is a Series, not the name of a column"]),
    "weights an array": (lambda: design(T, weights=np.ones(120)), DesignError, ["weights is a ndarray, not the name of a column", "data['weights'] = values", "weights='weights'"]),
    "propensity a Series": (lambda: design(T, propensity=T["p"]), DesignError, ["propensity is a Series", "data['propensity'] = values"]),
    "clusters in a list": (lambda: design(T, cluster=["village"]), DesignError, ["cluster is a list"]),
    "cluster missing": (lambda: design(put("village", [3], np.nan), cluster="village"), DesignError, ["'village' is missing", "Where: 1 (109)", "dropna"]),
    "one cluster": (lambda: design(T.assign(village=1), cluster="village"), DesignError, ["'village' has a single value", "two clusters"]),
    "clusters of two kinds": (lambda: design(T.assign(village=[*map(str, range(60)), *range(60)]), cluster="village"), DesignError, ["'village' holds int, str", "astype(str)"]),
    "weight zero": (lambda: design(put("weight", [0, 1], 0.0), weights="weight"), DesignError, ["Weights 'weight' must be positive", "Where: 2 (100, 103)", "> 0"]),
    "weight negative": (lambda: design(put("weight", [1], -1.0), weights="weight"), DesignError, ["must be positive", "1 (103)"]),
    "weight missing": (lambda: design(put("weight", [1], np.nan), weights="weight"), DesignError, ["must be positive and present", "1 (103)"]),
    "propensity zero": (lambda: design(T, propensity=0.0), DesignError, ["0.0 is not strictly between 0 and 1"]),
    "propensity in per cent": (lambda: design(T, propensity=50), DesignError, ["50 is not strictly between", "not a percentage"]),
    "propensity one for some": (lambda: design(put("p", [0, 5], 1.0), propensity="p"), DesignError, ["'p' is not strictly between", "Where: 2 (100, 115)", "both arms"]),
    "propensity missing for some": (lambda: design(put("p", [0], np.nan), propensity="p"), DesignError, ["'p'", "Where: 1 (100)"]),
    "missing an unknown word": (lambda: design(T, missing="impute"), DesignError, ["missing='impute' is not known", "error, drop"]),
    "features a table": (lambda: design(T, features=images().to_frame()), DesignError, ["features is a DataFrame", "ec.read_embeddings"]),
    "features without their key": (lambda: design(T.drop(columns="village"), features=images()), DesignError, ["'village' is not in the data (needed to join the features)"]),
    "keys of another type": (lambda: design(T.assign(village=T["village"].astype(str)), features=images()), EmbeddingsError, ["Keys 'village' are numbers in the embeddings but text here", "astype(int)"]),
    "keys that do not meet": (lambda: design(T.assign(village=T["village"] + 1000), features=images()), DesignError, ["No unit has an image", "keys of the features look like [0, 1, 2]"]),
    "some images missing": (lambda: design(T, features=images(23)), DesignError, ["no usable image", f"Where: {int((T['village'] == 23).sum())} (", "missing='drop'"]),
    "valid share in per cent": (lambda: design(T, features=images(), min_valid=80), DesignError, ["min_valid=80", "share between 0 and 1"]),
    "valid share without features": (lambda: design(T, min_valid=0.8), DesignError, ["min_valid is given, but no features", "ec.embed"]),
    "valid share that is not known": (lambda: design(T, features=images(), min_valid=0.8), DesignError, ["do not say how much of each picture is valid", "Where: 120", "leave min_valid out"]),
    "too few valid pixels": (lambda: design(T, features=cloudy(3), min_valid=0.8), DesignError, [f"{int((T['village'] == 3).sum())} units (", "have less than 80% valid pixels", "missing='drop'"]),
    "share beyond one": (lambda: design(T).split(1.0, seed=0), DesignError, ["share=1.0 leaves one part empty"]),
    "part of one arm": (lambda: design(T).take(T["grant"].to_numpy() == 1), DesignError, ["and 0 control units", "2 units in each arm"]),
    "mask of another length": (lambda: design(T).take(np.ones(7, dtype=bool)), DesignError, ["mask has shape (7,), the design has 120 units"]),
    "rows twice or outside": (lambda: design(T).take([0, 0, 1, 120]), DesignError, ["repeat or are out of range", "Where: 2 (0, 120)", "0 <= row < 120"]),
    "rows by name": (lambda: design(T).take(["a"]), DesignError, ["neither positions nor a boolean mask"]),
    "outcome is treatment": (lambda: design(T, outcome="grant"), LeakError, ["same column 'grant'"]),
    "outcome as covariate": (lambda: design(T, covariates=["income"]), LeakError, ["outcome 'income' is among the covariates", "c != 'income'"]),
    "covariate made from treatment": (lambda: design(T.assign(paid=100 * T["grant"]), covariates=["paid"]), LeakError, ["'paid' equals the treatment", "c != 'paid'"]),
}  # fmt: skip


@pytest.mark.parametrize("case", list(CASES))
def test_the_words_help(case: str) -> None:
    call, error, words = CASES[case]
    with pytest.raises(error, match="[\\s\\S]*".join(map(re.escape, words))) as caught:
        call()
    assert type(caught.value) is error
    assert len(str(caught.value).splitlines()) <= 4


def test_features_that_are_the_same_for_all_units_are_refused() -> None:
    table = study()
    found = images()
    flat = replace(found, values=np.ones_like(found.values))
    with pytest.raises(DesignError, match=r"Features are the same for all units(?s:.*)chips\.plot"):
        design(table, features=flat)
