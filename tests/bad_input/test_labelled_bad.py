"""What estimates from predictions and labels refuse or tell."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.errors import DebiasError, DesignError, EocausalError

N = 400
RNG = np.random.default_rng(11)
WEALTH = RNG.normal(size=N)
KNOWN = np.arange(N) % 5 < 2
UNITS = pd.DataFrame(
    {
        "grant": np.tile([0, 1], N // 2),
        "map": 0.7 * WEALTH + 0.4 * RNG.normal(size=N),
        "wealth": np.where(KNOWN, WEALTH, np.nan),
        "age": RNG.normal(size=N),
        "village": np.arange(N) // 10,
        "zone": np.where(np.arange(N) % 4 < 2, "a", "b"),
    }
)


def _with(name: str, values: object) -> pd.DataFrame:
    return UNITS.assign(**{name: values})


def _ppi(table: pd.DataFrame, **options: Any) -> Any:
    return ec.ppi(ec.Design(table, outcome="map", treatment="grant"), truth="wealth", **options)


def _regress(table: object, **options: Any) -> Any:
    return ec.ppi_regression(
        table, **{"prediction": "map", "truth": "wealth", "covariates": ["grant"], **options}
    )


def _bootstrap(table: object, **options: Any) -> Any:
    given: dict[str, Any] = {
        "estimator": lambda rows, outcome, weights: np.average(outcome, weights=weights),
        "prediction": "map",
        "truth": "wealth",
        "resampling": ec.Resampling(draws=99),
        **options,
    }
    return ec.predict_then_debias(table, **given)


POOR = (RNG.random(200) < 0.5).astype(int)
SURVEY = pd.DataFrame(
    {"poor": POOR, "seen": POOR + RNG.normal(size=200), "grant": np.tile([0, 1], 100), "share": 1.0},
    index=[f"survey {place}" for place in range(200)],
)
HIDDEN = RNG.random(N) < 0.5
TRIAL = pd.DataFrame({"grant": np.tile([0, 1], N // 2), "seen": HIDDEN + RNG.normal(size=N), "share": 1.0})


def _remote(trial: pd.DataFrame, survey: object, **options: Any) -> Any:
    design = ec.Design(trial, outcome="seen", treatment="grant")
    return ec.remote_outcome(design, survey, **{"truth": "poor", "method": "difference", **options})


def _share(places: object, survey: object, **options: Any) -> Any:
    return ec.rogan_gladen(places, survey, prediction="seen", truth="poor", **options)


def _as_units(table: pd.DataFrame) -> ec.Units:
    placed = table.assign(id=[f"u{row}" for row in range(len(table))], lon=1.0, lat=2.0)
    return ec.read_units(placed, id="id", lon="lon", lat="lat")


Case = tuple[Callable[[], object], type[EocausalError], str]
REFUSED: dict[str, Case] = {
    "ppi: all labels trained the model": (
        lambda: _ppi(_with("seen", KNOWN), labelling=ec.Labelling(trained_on="seen")),
        DebiasError,
        r"All units with a truth 'wealth' trained the model of the predictions \('seen'\)[\s\S]*160 \(0, 1, 5",
    ),
    "ppi: nobody said to be labelled": (
        lambda: _ppi(_with("said", False), labelled="said"),
        DebiasError,
        "No unit is labelled by 'said'",
    ),
    "ppi: labelled without a truth": (
        lambda: _ppi(_with("said", True), labelled="said"),
        DebiasError,
        r"data\['said'\] & data\['wealth'\]\.notna",
    ),
    "ppi: labels in one village": (
        lambda: _ppi(
            UNITS.assign(wealth=UNITS["wealth"].where(UNITS["village"] == 3)),
            labelling=ec.Labelling(cluster="village"),
        ),
        DebiasError,
        r"All labels are in 1 of the 40 groups of 'village'[\s\S]*1 \(3\)",
    ),
    "ppi: villages of lists": (
        lambda: _ppi(_with("village", [[1]] * N), labelling=ec.Labelling(cluster="village")),
        DebiasError,
        "holds list",
    ),
    "tuning: bounds of text": (lambda: ec.PowerTuning(bounds="ab"), DebiasError, "two numbers"),
    "tuning: no bounds": (lambda: ec.PowerTuning(bounds=None), DebiasError, "the lower before the higher"),
    "tuning: three bounds": (lambda: ec.PowerTuning(bounds=(0, 1, 2)), DebiasError, "two numbers"),
    "tuning: bounds that are names": (lambda: ec.PowerTuning(bounds=("a", "b")), DebiasError, "two numbers"),
    "tuning: pooled": (lambda: ec.PowerTuning(pooled="no"), DebiasError, "True or False"),
    "regression: no rows": (lambda: _regress(UNITS[:0]), DebiasError, "no rows"),
    "regression: ids of two levels": (
        lambda: _regress(UNITS.set_index(["village", "age"])),
        DebiasError,
        r"2 levels[\s\S]*reset_index",
    ),
    "regression: covariate of lists": (
        lambda: _regress(_with("age", [[1]] * N), covariates=["age"]),
        DebiasError,
        "'age' holds list",
    ),
    "regression: covariate of one text": (
        lambda: _regress(_with("zone", "a"), covariates=["grant", "zone"]),
        DebiasError,
        r"'zone' has the same value for all units[\s\S]*1 \(a\)",
    ),
    "regression: covariate of one day": (
        lambda: _regress(_with("age", pd.Timestamp("2020-01-01")), covariates=["age"]),
        DebiasError,
        "'age' has the same value",
    ),
    "regression: no label in an arm": (
        lambda: _regress(_with("wealth", UNITS["wealth"].where(UNITS["grant"] == 1))),
        DebiasError,
        r"one value among the 80 units with labels[\s\S]*1 \(grant\)[\s\S]*every arm",
    ),
    "regression: no label in a level": (
        lambda: _regress(_with("wealth", UNITS["wealth"].where(UNITS["zone"] == "a")), covariates=["zone"]),
        DebiasError,
        r"with labels[\s\S]*zone\[b\]",
    ),
    "regression: labels in one village": (
        lambda: _regress(
            UNITS.assign(wealth=np.where(UNITS["village"] == 3, WEALTH, np.nan)), cluster="village"
        ),
        DebiasError,
        "10 units with labels are in one cluster: 3",
    ),
    "regression: covariate by number": (
        lambda: _regress(UNITS, covariates=[3]),
        DebiasError,
        "named by a int",
    ),
    "bootstrap: estimator of text": (
        lambda: _bootstrap(UNITS, estimator=lambda rows, outcome, weights: "a"),
        DebiasError,
        r"gave a str[\s\S]*params",
    ),
    "bootstrap: estimator of a matrix": (
        lambda: _bootstrap(UNITS, estimator=lambda rows, outcome, weights: np.ones((2, 2))),
        DebiasError,
        "ndarray of 2 dimensions",
    ),
    "bootstrap: strata of lists": (
        lambda: _bootstrap(_with("zone", [[1]] * N), resampling=ec.Resampling(draws=99, strata="zone")),
        DebiasError,
        "Strata 'zone' hold what cannot be told apart",
    ),
    "remote: units for a sample": (
        lambda: _remote(TRIAL, _as_units(SURVEY)),
        DebiasError,
        r"labelled sample is a Units[\s\S]*units\.frame",
    ),
    "remote: no function": (lambda: _remote(TRIAL, SURVEY, h=None), DebiasError, "h is a NoneType"),
    "remote: a table for one": (lambda: _remote(TRIAL, SURVEY, h=TRIAL), DebiasError, "h is a DataFrame"),
    "remote: few": (lambda: _remote(TRIAL, SURVEY[:20]), DebiasError, "labelled sample has 20 places"),
    "remote: missing": (
        lambda: _remote(TRIAL, SURVEY.assign(seen=SURVEY["seen"].where(SURVEY["poor"] == 1))),
        DebiasError,
        r"'seen' has missing values in the labelled sample[\s\S]*labelled = labelled\.dropna",
    ),
    "remote: reversed": (
        lambda: _remote(TRIAL, SURVEY.assign(seen=-SURVEY["seen"])),
        DebiasError,
        "opposite directions",
    ),
    "remote: weights": (
        lambda: _remote(TRIAL, SURVEY.assign(share=-1.0), weights="share"),
        DesignError,
        "must be positive",
    ),
    "remote: no such cluster": (
        lambda: _remote(TRIAL, SURVEY, cluster="village"),
        DebiasError,
        "'village' is not in the labelled sample",
    ),
    "share: units": (lambda: _share(_as_units(TRIAL), SURVEY), DebiasError, r"Units[\s\S]*units\.frame"),
    "share: one row": (lambda: _share(TRIAL[:1], SURVEY), DebiasError, "DataFrame of 1 rows"),
    "share: missing": (
        lambda: _share(TRIAL.assign(seen=TRIAL["seen"].where(HIDDEN)), SURVEY),
        DebiasError,
        "missing values in the places",
    ),
    "share: masked": (
        lambda: _share(pd.DataFrame({"seen": np.ma.masked_greater(TRIAL["seen"].to_numpy(), 1)}), SURVEY),
        DebiasError,
        "missing values in the places",
    ),
    "share: weights of places": (
        lambda: _share(TRIAL.assign(share=-1.0), SURVEY, weights="share"),
        DesignError,
        "must be positive",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case: str) -> None:
    call, error, words = REFUSED[case]
    with pytest.raises(error, match=words):
        call()


PARTLY = np.where((UNITS["village"] % 2 == 0) & (np.arange(N) % 10 < 7), WEALTH, np.nan)
TOLD: dict[str, tuple[Callable[[], Any], str]] = {
    "ppi: villages labelled in part": (
        lambda: _ppi(_with("wealth", PARTLY), labelling=ec.Labelling(cluster="village")),
        r"20 of 20 groups of 'village' with labels are labelled in part \(first: 0, 2",
    ),
    "ppi: predicted exactly": (
        lambda: _ppi(_with("wealth", UNITS["map"].where(KNOWN))),
        "160 of 160 labelled units are predicted exactly",
    ),
    "regression: other unit": (
        lambda: _regress(_with("map", 1000 * UNITS["map"])),
        "same unit of measurement",
    ),
    "regression: reversed": (lambda: _regress(_with("map", -UNITS["map"])), "is their sign reversed"),
    "regression: predicted exactly": (
        lambda: _regress(_with("wealth", UNITS["map"].where(KNOWN))),
        "predicted exactly",
    ),
    "regression: not at random": (
        lambda: _regress(_with("wealth", np.where(UNITS["map"] > 0.3, WEALTH, np.nan))),
        "units with labels are predicted higher than others[\\s\\S]*not look drawn at random",
    ),
    "bootstrap: other unit": (
        lambda: _bootstrap(_with("map", 1000 * UNITS["map"])),
        "same unit of measurement",
    ),
    "bootstrap: reversed": (lambda: _bootstrap(_with("map", -UNITS["map"])), "is their sign reversed"),
    "bootstrap: not at random": (
        lambda: _bootstrap(_with("wealth", np.where(UNITS["map"] > 0.3, WEALTH, np.nan))),
        "not look drawn at random",
    ),
    "remote: other unit": (
        lambda: _remote(TRIAL.assign(seen=1000 * TRIAL["seen"]), SURVEY),
        r"the study spread 1\.\d+e\+03 times[\s\S]*one unit",
    ),
    "remote: other level": (
        lambda: _remote(TRIAL.assign(seen=TRIAL["seen"] + 50), SURVEY),
        "100% of them lie outside of the range",
    ),
    "remote: treatment missing for some labels": (
        lambda: _remote(TRIAL, SURVEY.assign(grant=SURVEY["grant"].where(np.arange(200) > 4))),
        "is not tested: of the labelled units 98 have 'grant' 1, 97 have 0 and 5 another",
    ),
    "remote: labels of one arm": (
        lambda: _remote(TRIAL, SURVEY.assign(grant=1)),
        "200 have 'grant' 1, 0 have 0",
    ),
    "remote: treatment of text": (
        lambda: _remote(TRIAL, SURVEY.assign(grant="yes")),
        "0 have 'grant' 1, 0 have 0 and 200",
    ),
    "share: labels in another unit": (
        lambda: _share(TRIAL, SURVEY.assign(seen=1000 * SURVEY["seen"])),
        r"the places spread 0\.00\d+ times",
    ),
    "share: uneven weights": (
        lambda: _share(TRIAL, SURVEY.assign(share=np.where(np.arange(200) < 20, 90.0, 1.0)), weights="share"),
        "uneven",
    ),
}


@pytest.mark.parametrize("case", TOLD)
def test_what_is_told(case: str) -> None:
    call, words = TOLD[case]
    assert re.search(words, "\n".join(call().warnings))


def test_good_samples_are_told_nothing_of() -> None:
    for found in (_ppi(UNITS), _regress(UNITS), _bootstrap(UNITS), _share(TRIAL, SURVEY)):
        assert found.warnings == ()
    assert not any("one unit" in text or "not tested" in text for text in _remote(TRIAL, SURVEY).warnings)


def test_probabilities_and_truths_of_two_values_need_no_unit() -> None:
    rare = (RNG.random(N) < 0.5).astype(float)
    table = UNITS.assign(
        wealth=np.where(KNOWN, rare, np.nan), map=0.5 + 0.02 * (rare - 0.5 + RNG.normal(size=N)).clip(-3, 3)
    )
    assert not any("unit of measurement" in text for text in _regress(table, model="logistic").warnings)


def test_ids_of_several_types_are_drawn_in_any_order_of_rows() -> None:
    mixed = UNITS.set_index(pd.Index([row if row % 2 else f"u{row}" for row in range(N)], dtype=object))
    found = _bootstrap(mixed)
    again = _bootstrap(mixed.sample(frac=1, random_state=1))
    assert found.std_error == pytest.approx(again.std_error)


def test_ids_that_are_one_as_text_are_drawn_as_two_units() -> None:
    half = N // 2
    twins = UNITS.iloc[: 2 * half].set_index(pd.Index([*range(half), *map(str, range(half))], dtype=object))
    plain = UNITS.iloc[: 2 * half].reset_index(drop=True)
    assert _bootstrap(twins).factor == pytest.approx(_bootstrap(plain).factor)
    assert _bootstrap(twins).factor == pytest.approx(2 * half / (2 * half - 1))


def test_strata_that_are_one_as_text_are_not_put_together() -> None:
    strata = pd.Series([1 if row % 2 else "1" for row in range(N)], dtype=object, index=UNITS.index)
    with pytest.raises(DebiasError, match=r"Labelling\(strata='s'\) holds int, str"):
        _ppi(UNITS.assign(s=strata), labelling=ec.Labelling(strata="s"))
