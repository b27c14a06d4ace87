"""What `debias`, correctors and their files refuse or tell, in words that say how to mend it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.errors import DebiasError, DesignError, EocausalError

N = 120
RNG = np.random.default_rng(3)
TRUTH = RNG.normal(size=N)
PLACES = pd.DataFrame(
    {
        "wealth": TRUTH,
        "map": 0.7 * TRUTH + 0.4 * RNG.normal(size=N),
        "share": RNG.uniform(0.5, 2, N),
        "village": np.arange(N) % 40,
        "town": np.tile(["a", "b"], N // 2),
        "seen": np.arange(N) % 6 == 0,
    }
)


def _fit(table: object, **options: Any) -> ec.Corrector:
    given: dict[str, Any] = {"prediction": "map", "truth": "wealth", "method": "lcc", **options}
    return ec.debias(table, **given)


def _with(name: str, values: object) -> pd.DataFrame:
    return PLACES.assign(**{name: values})


def _first(name: str, value: object, dtype: str) -> pd.DataFrame:
    return _with(name, pd.array([value, *PLACES[name].tolist()[1:]], dtype=dtype))


Case = tuple[Callable[[], object], type[EocausalError], str]
REFUSED: dict[str, Case] = {
    "nullable float": (
        lambda: _fit(_first("map", pd.NA, "Float64")),
        DebiasError,
        r"missing values in the calib[\s\S]*1 \(0\)[\s\S]*dropna",
    ),
    "nullable infinite": (
        lambda: _fit(_first("map", np.inf, "Float64")),
        DesignError,
        r"infinite values[\s\S]*1 \(0\)",
    ),
    "nullable boolean": (
        lambda: _fit(_with("wealth", pd.array([pd.NA, *(TRUTH[1:] > 0)], dtype="boolean"))),
        DebiasError,
        "missing values",
    ),
    "masked": (
        lambda: _fit(
            pd.DataFrame({"map": np.ma.masked_greater(PLACES["map"].to_numpy(), 1.0), "wealth": TRUTH})
        ),
        DebiasError,
        "missing values",
    ),
    "numbers as text": (
        lambda: _fit(PLACES.astype({"map": str})),
        DesignError,
        "not numeric[\\s\\S]*to_numeric",
    ),
    "objects": (lambda: _fit(PLACES.astype({"map": object})), DesignError, "not numeric[\\s\\S]*to_numeric"),
    "lists": (lambda: _fit(_with("map", [[1.0]] * N)), DesignError, r"not numeric[\s\S]*\[1.0\]"),
    "complex": (lambda: _fit(_with("map", PLACES["map"] + 1j)), DesignError, "complex"),
    "days": (lambda: _fit(_with("map", pd.Timestamp("2020-01-01"))), DesignError, "not numeric"),
    "constant but for rounding": (
        lambda: _fit(_with("map", 1 + 1e-15 * TRUTH)),
        DebiasError,
        "same value everywhere",
    ),
    "numbers too large": (
        lambda: _fit(_with("map", 1e200 * TRUTH)),
        DebiasError,
        r"no longer exact[\s\S]*1e\+60",
    ),
    "numbers too small": (lambda: _fit(_with("wealth", 1e-200 * TRUTH)), DebiasError, "no longer exact"),
    "units": (
        lambda: _fit(
            ec.read_units(PLACES.assign(id=range(N), lon=1.0, lat=2.0), id="id", lon="lon", lat="lat")
        ),
        DebiasError,
        r"units\.frame\.set_index\(units\.id\)",
    ),
    "a mapping": (lambda: _fit(PLACES.to_dict("list")), DebiasError, "calibration is a dict"),
    "no rows": (lambda: _fit(PLACES[:0]), DebiasError, "0 places"),
    "one row": (lambda: _fit(PLACES[:1]), DebiasError, r"1 places[\s\S]*at least 30[\s\S]*more places"),
    "few that did not train": (
        lambda: _fit(_with("seen", np.arange(N) >= 20), trained_on="seen"),
        DebiasError,
        r"20 places \(100 places that the map was trained on",
    ),
    "trained on lists": (
        lambda: _fit(_with("seen", [[1]] * N), trained_on="seen"),
        DebiasError,
        r"true or false",
    ),
    "trained on some missing": (
        lambda: _fit(
            _with("seen", pd.array([pd.NA, *[False] * (N - 1)], dtype="boolean")), trained_on="seen"
        ),
        DebiasError,
        r"which places the map was trained on[\s\S]*1 \(0\)",
    ),
    "weight missing": (
        lambda: _fit(_with("share", PLACES["share"].where(TRUTH > 0)), weights="share"),
        DesignError,
        "positive and present",
    ),
    "weights infinite": (
        lambda: _fit(_with("share", [np.inf, *[1.0] * (N - 1)]), weights="share"),
        DesignError,
        "infinite",
    ),
    "one weight above all": (
        lambda: _fit(_with("share", [1e12, *[1.0] * (N - 1)]), weights="share"),
        DebiasError,
        r"120 places count as 1.0[\s\S]*\(1e\+12, 1",
    ),
    "one cluster": (
        lambda: _fit(_with("village", 1), cluster="village"),
        DesignError,
        "at least two clusters",
    ),
    "cluster of lists": (
        lambda: _fit(_with("village", [[1]] * N), cluster="village"),
        DesignError,
        "holds list",
    ),
    "no such cluster": (lambda: _fit(PLACES, cluster="vilage"), DebiasError, "Did you mean 'village'"),
    "group missing": (
        lambda: _fit(_with("town", [None, *PLACES["town"][1:]]), groups="town"),
        DebiasError,
        r"'town' is missing for 1 places[\s\S]*1 \(0\)",
    ),
    "group missing in a nullable column": (
        lambda: _fit(_with("town", pd.array([pd.NA, *(TRUTH[1:] > 0)], dtype="boolean")), groups="town"),
        DebiasError,
        "'town' is missing for 1 places",
    ),
    "one group": (
        lambda: _fit(_with("town", [{}] * N), groups="town", method="auto"),
        DebiasError,
        "holds one group",
    ),
    "measurements for groups": (lambda: _fit(PLACES, groups="share"), DebiasError, "120 different numbers"),
    "groups of two types": (
        lambda: _fit(_with("town", [1, "1"] * (N // 2)), groups="town"),
        DebiasError,
        r"several types[\s\S]*astype\(str\)",
    ),
    "groups twice": (lambda: _fit(PLACES, groups=["town", "town"]), DebiasError, r"named twice[\s\S]*town"),
    "groups that are no names": (lambda: _fit(PLACES, groups=3), DebiasError, "groups is a int"),
    "a name that is none": (lambda: _fit(PLACES, prediction=None), DebiasError, "named by a NoneType"),
    "a name that is a column": (
        lambda: _fit(PLACES, weights=PLACES["share"]),
        DebiasError,
        r"named by a Series[\s\S]*data\['name'\]",
    ),
    "label noise of many": (
        lambda: _fit(PLACES, label_noise_var=np.ones(N)),
        DebiasError,
        "a variance, 0 or above",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case: str) -> None:
    call, error, words = REFUSED[case]
    with pytest.raises(error, match=words):
        call()


def test_groups_of_two_types_that_stay_apart_as_text_are_groups() -> None:
    assert _fit(_with("town", [1, "a"] * (N // 2)), groups="town").n == N


def test_the_type_of_a_column_does_not_change_the_answer() -> None:
    plain = _fit(PLACES, cluster="village", groups="town")
    for table in (
        PLACES.astype({"map": "Float64", "wealth": "Float64", "village": "Int64", "town": "category"}),
        PLACES.astype({"village": str, "town": "string"}),
        PLACES.set_index(pd.Index([f"place {i}" for i in range(N)], dtype=object)),
        PLACES.set_index([PLACES["village"], pd.RangeIndex(N)]),
    ):
        other = _fit(table, cluster="village", groups="town")
        np.testing.assert_allclose((other.k, other.b), (plain.k, plain.b), rtol=1e-12)
        np.testing.assert_allclose(other.covariance, plain.covariance, rtol=1e-9)


def test_ids_of_several_levels_come_back_from_a_file() -> None:
    fix = _fit(PLACES.set_index(["village", "town", "seen"]), cluster=None)
    again = ec.Corrector.from_dict(json.loads(json.dumps(fix.to_dict(scores=True))))
    assert again.sample is not None
    assert again.sample.ids[:2].tolist() == ["(0, 'a', True)", "(1, 'b', False)"]


def test_rows_that_share_an_id_are_told_unless_clusters_tie_them() -> None:
    twice = PLACES.set_index("village", drop=False)
    assert any(
        "80 rows have the id of a row before them (first: 0, 1, 2" in one for one in _fit(twice).warnings
    )
    assert not any("rows have the id" in one for one in _fit(twice, cluster="village").warnings)


def test_weights_that_leave_few_places_are_told() -> None:
    share = np.where(np.arange(N) < 20, 50.0, 1.0)
    expected = share.sum() ** 2 / (share**2).sum()
    assert 5 < expected < 30
    (told,) = [one for one in _fit(_with("share", share), weights="share").warnings if "uneven" in one]
    assert f"120 places count as {expected:.1f}" in told


FIX = _fit(PLACES)
APPLIED: dict[str, tuple[object, str]] = {
    "text": (["a"], "not a number for 1 places"),
    "table": (PLACES[["map"]], "2 dimensions"),
    "a number": (1.0, "0 dimensions"),
    "rows of different lengths": ([[1.0], [1.0, 2.0]], "different lengths"),
    "complex": ([1j], "complex"),
    "days": (pd.Series([pd.Timestamp("2020-01-01")]), "days or lengths of time"),
    "lists": (pd.Series([[1.0], [2.0]], index=["u", "v"]), r"2 \(u, v\)"),
    "missing": (
        pd.Series([1.0, pd.NA], index=["u", "v"], dtype="Float64"),
        r"missing for 1 places[\s\S]*1 \(v\)",
    ),
    "infinite": (np.array([1.0, np.inf]), r"infinite for 1 places[\s\S]*1 \(1\)"),
    "masked": (np.ma.array([1.0, 9e9], mask=[False, True]), r"missing for 1 places[\s\S]*1 \(1\)"),
}


@pytest.mark.parametrize("case", APPLIED)
def test_predictions_that_are_none_are_refused(case: str) -> None:
    given, words = APPLIED[case]
    with pytest.raises(DebiasError, match=words):
        FIX.apply(given)


@pytest.mark.parametrize("values", [["a"], [1.0, "b"], ["2020-01-01"], [1 + 1j], [object()]], ids=range(5))
def test_what_is_no_number_is_not_corrected(values: list[object]) -> None:
    for method in ("none", "lcc", "tweedie"):
        with pytest.raises(DebiasError, match="not numbers"):
            FIX.correct(values, method=method)


def test_what_lies_under_a_mask_is_not_corrected() -> None:
    made = FIX.correct(np.ma.array([1.0, 9e9], mask=[False, True]))
    assert np.isnan(made[1])
    assert made[0] == pytest.approx((1 - FIX.m) / FIX.k)


CONTENT = FIX.to_dict()
FILES: dict[str, tuple[object, str]] = {
    "a list": ([1], "not of a Corrector"),
    "of something else": ({"type": "Estimate"}, "but of a Estimate"),
    "a map card": ({"type": "MapCard"}, r"map card[\s\S]*ec\.read_map_card\(path\)[\s\S]*card\.corrector"),
    "nothing but a type": ({"type": "Corrector"}, "lacks 'noise'"),
    "no slope": ({key: value for key, value in CONTENT.items() if key != "k"}, "lacks 'k'"),
    "slope of nothing": ({**CONTENT, "k": 0.0}, r"k 0 and b \S+ are to be above 0"),
    "slope that is none": ({**CONTENT, "k": None}, "k is None"),
    "method": ({**CONTENT, "method": "magic"}, "method 'magic' is none of none, lcc, tweedie"),
    "covariance": ({**CONTENT, "covariance": [[1.0]]}, "covariance is not of"),
    "range": ({**CONTENT, "truth_range": [2.0, 1.0]}, "no range"),
    "more than is known": ({**CONTENT, "later": 1}, r"not known[\s\S]*later[\s\S]*update eocausal"),
}


@pytest.mark.parametrize("case", FILES)
def test_files_that_hold_no_corrector_are_refused(case: str, tmp_path: Path) -> None:
    content, words = FILES[case]
    path = tmp_path / "fix.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(DebiasError, match=words):
        ec.Corrector.from_json(path)


def test_paths_of_no_corrector_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DebiasError, match="cannot be read from a NoneType"):
        ec.Corrector.from_json(None)
    for path in (tmp_path, tmp_path / "no.json"):
        with pytest.raises(DebiasError, match="cannot be read as a corrector"):
            ec.Corrector.from_json(path)
    path = tmp_path / "marked.json"
    path.write_text(json.dumps(CONTENT), encoding="utf-8-sig")
    assert ec.Corrector.from_json(path).k == FIX.k
