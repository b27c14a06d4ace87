"""Specification curves: each row what a single call gives, joint tests against closed forms, what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import eocausal as ec
from eocausal.errors import EocausalError, SensitivityError
from eocausal.reporting.blocks import Table
from eocausal.reporting.unseen import sensitivity_blocks
from eocausal.sensitivities import specifications as made_by
from eocausal.sensitivities.result import Sensitivity
from eocausal.sensitivities.specification_grid import Choice, specifications
from eocausal.sensitivities.specification_tests import (
    adjusted_p,
    critical_of,
    joint_of,
    joint_tests,
    null_of,
    spread_explained,
)
from tests.studies import FAST, THREE, by_village, design, images, study

FIXED = ec.Trim("fixed", low=0.1, high=0.9)


def _confounded(n: int = 200) -> pd.DataFrame:
    table = study(n)
    rng = np.random.default_rng(1)
    p = 1 / (1 + np.exp(-1.2 * table["wealth"]))
    table["grant"] = (rng.uniform(size=n) < p).astype(int)
    table["income"] = table["grant"] - 2 * table["wealth"] + table["age"] + rng.normal(size=n)
    return table


def _sets(table: pd.DataFrame) -> dict[str, Any]:
    """One in two blocks that shows a confounder, one that shows noise and lacks three images."""
    rng = np.random.default_rng(5)
    ids = table.index.to_numpy()
    good = pd.DataFrame({"id": ids, "f0": table["wealth"].to_numpy(), "f1": rng.normal(size=ids.size)})
    noise = pd.DataFrame({"id": ids[3:], "g0": rng.normal(size=ids.size - 3)})
    return {
        "near": ec.read_embeddings(good, key="id"),
        "far": ec.read_embeddings(noise, key="id"),
        "none": None,
    }


def _blocks(table: pd.DataFrame) -> ec.Embeddings:
    rng = np.random.default_rng(2)
    near, far = rng.normal(size=(2, len(table)))
    frame = pd.DataFrame({"id": table.index, "near_960m_000": near, "far_240m_000": far})
    found = ec.read_embeddings(frame, key="id")
    return replace(found, blocks={"960m": (0, 1), "240m": (1, 2)})


def test_each_row_is_what_a_single_call_gives() -> None:
    table = _confounded()
    sets = _sets(table)
    grid = {
        "features": sets,
        "covariates": [["age"], []],
        "method": ["aipw", "ols", "ipw"],
        "trim": [None, FIXED],
        "seed": [0, 3],
    }
    found = ec.robustness(design(table, covariates=["age"]), grid, folds=THREE, learners=FAST)
    kept = table.iloc[3:]
    seen = 0
    for row in found.frame.to_dict("records"):
        columns = ["age"] if row["covariates"] == "age" else []
        one = design(kept, covariates=columns, features=sets[row["features"]])
        trim = None if row["trim"] == "none" else FIXED
        single = ec.ate(one, method=row["method"], trim=trim, seed=row["seed"], folds=THREE, learners=FAST)
        assert row["estimate"] == single.estimate
        assert row["std_error"] == single.std_error
        assert (row["conf_low"], row["conf_high"]) == single.ci()
        assert row["p_value"] == single.p_value()
        assert row["n"] == single.n
        expected = single.diagnostics.get("ess_treated", np.nan)
        assert row["ess_treated"] == pytest.approx(expected, nan_ok=True)
        assert found.estimates[row["specification"]].values[0] == single.estimate
        seen += 1
    # ols has no trimming; with fewer columns than components it has no seed, and without any it is one estimate
    assert {"ols", "aipw", "ipw"} == set(found.frame["method"])
    assert seen == len(found.estimates) == found.numbers["specifications"]
    gone = table.iloc[:3]["grant"]
    assert found.warnings[0].startswith(
        f"left out of all: 3 units ({gone.sum()} treated, {3 - gone.sum()} control)"
    )
    left = found.curves["left_out"]
    assert len(left) + seen == 3 * 2 * 3 * 2 * 2
    undefined = left[left["reason"].str.startswith("method='ols' uses no propensity to trim by")]
    assert len(undefined) == 3 * 2 * 2
    assert "12 combinations have no estimate: method='ols' uses no propensity to trim by" in found.warnings


def test_what_is_the_same_to_the_last_digit_counts_once() -> None:
    asked = design(study())
    grid = {
        "method": ["regression", "difference"],
        "covariates": [["age", "wealth"], ["age"]],
        "seed": [0, 1, 2],
    }
    found = ec.robustness(asked, grid)
    assert found.numbers["specifications"] == 3
    left = found.curves["left_out"].set_index("specification")["reason"]
    name = "method difference, covariates age, seed 2"
    assert left[name] == "the same as: method difference, covariates age + wealth, seed 0"
    assert any(text.startswith("9 combinations give to the last digit") for text in found.warnings)


def test_all_on_the_same_units_even_where_a_method_would_take_more() -> None:
    table = study()
    table.loc[table.index[:5], "age"] = np.nan
    asked = design(table, missing="drop")
    found = ec.robustness(asked, {"method": ["regression", "difference"]})
    assert found.frame["n"].tolist() == [115, 115]
    assert ec.ate(asked, method="difference").n == 120


def test_blocks_are_kept_by_name() -> None:
    table = study()
    features = _blocks(table)
    asked = design(table, features=features)
    grid = {"blocks": [None, ["960m"], "240m", []]}
    found = ec.robustness(asked, grid, method="ols").frame.set_index("blocks")
    assert list(found.index) == ["all", "960m", "240m", "none"]
    assert found.loc["all", "estimate"] == ec.ate(asked, method="ols").estimate
    for kept, dropped in (("960m", "240m"), ("240m", "960m")):
        single = ec.ate(asked.without(blocks=[dropped]), method="ols")
        assert found.loc[kept, "estimate"] == single.estimate
    assert found.loc["none", "estimate"] == ec.ate(design(table), method="ols").estimate
    other = _sets(table)["near"]
    mixed = {"features": {"two": features, "other": other}, "blocks": [None, ["960m"]]}
    left = ec.robustness(design(table, covariates=["age"]), mixed, method="ols").curves["left_out"]
    assert left["reason"].tolist() == ["These features have no such block: 960m"]


def test_clusters_of_images_stay_where_features_are_left_out() -> None:
    table = study()
    grid = {"features": {"pictures": images(), "none": None}, "vcov": [None, "iid"]}
    found = ec.robustness(design(table), grid, method="ols")
    assert [one.vcov for one in found.estimates.values()] == ["cluster(village)", "iid"] * 2
    alone = ec.ate(design(table), method="ols", vcov={"cluster": table["village"]})
    assert found.frame["std_error"][2] == pytest.approx(alone.std_error, rel=1e-12)
    iid = ec.ate(design(table), method="ols")
    assert found.frame["std_error"][3] == pytest.approx(iid.std_error, rel=1e-12)
    # ways that change no estimate explain nothing of their spread
    assert found.curves["shares"]["choice"].tolist() == ["features", "together"]


def test_folds_are_the_same_whatever_the_columns_are() -> None:
    asked = design(by_village(), features=images(), cluster="village")
    found = ec.robustness(asked, {"covariates": [["age", "wealth"], ["age"]]}, folds=THREE, learners=FAST)
    single = ec.ate(asked.without(["wealth"]), folds=THREE, learners=FAST)
    assert found.frame["estimate"][1] == single.estimate
    assert found.frame["std_error"][1] == single.std_error


def test_identical_specifications_are_tested_as_one() -> None:
    one = ec.ate(design(study(60, seed=4)), method="regression")
    joint = joint_of({"first": one, "second": one, "third": one})
    null = null_of(joint, draws=40_000, seed=0)
    shift = one.estimate - 2.2 * one.std_error
    moved = replace(joint, values=joint.values - shift)
    p_value = 2 * stats.t.sf(2.2, one.variance.df)
    found = joint_tests(moved, null, np.full(3, True), critical_of([one] * 3, moved, null))
    for name in ("p_median", "p_average", "p_largest"):
        assert found[name] == pytest.approx(p_value, abs=0.003)
    # all three or none: as often as one alone is significant
    assert found["p_significant"] == pytest.approx(0.05, abs=0.004)
    np.testing.assert_allclose(adjusted_p(moved, null, np.zeros(3)), p_value, atol=0.003)
    assert (adjusted_p(moved, null, np.zeros(3)) >= p_value * (1 - 1e-12)).all()


def test_independent_specifications_have_the_closed_form_of_the_largest() -> None:
    table = study(400, seed=2)
    halves = [design(table.iloc[:200]), design(table.iloc[200:])]
    singles = {name: ec.ate(one, method="regression") for name, one in zip("ab", halves)}
    joint = joint_of(singles)
    null = null_of(joint, draws=40_000, seed=1)
    errors = np.sqrt(np.diag(joint.variance.matrix))
    moved = replace(joint, values=errors * [2.0, 1.0])
    critical = critical_of(list(singles.values()), moved, null)
    found = joint_tests(moved, null, np.array([True, False]), critical)
    # nearly normal: neither of two independent ones above 2
    assert found["p_largest"] == pytest.approx(
        1 - (1 - 2 * stats.t.sf(2.0, joint.variance.df)) ** 2, abs=0.006
    )
    spread = np.sqrt(errors @ errors) / 2
    assert found["p_median"] == pytest.approx(2 * stats.norm.sf(moved.values.mean() / spread), abs=0.006)
    assert found["p_average"] == pytest.approx(2 * stats.norm.sf(1.5 / np.sqrt(0.5)), abs=0.006)


def test_the_null_of_a_wild_bootstrap_is_that_of_the_single_tests() -> None:
    asked = design(by_village(), cluster="village")
    grid = {"covariates": [["age", "wealth"], ["age"], []]}
    found = ec.robustness(asked, grid, method="ols", vcov={"bootstrap": "wild", "draws": 999})
    single = ec.ate(asked, method="ols", vcov={"bootstrap": "wild", "draws": 999})
    assert found.frame["p_value"][0] == single.p_value()
    joint = joint_of(found.estimates)
    null = null_of(joint, draws=50, seed=0)
    assert null.statistics.shape == (999, 3)
    alone = null.share(
        float(abs(joint.values[0]) / joint.variance.matrix[0, 0] ** 0.5), np.abs(null.statistics[:, 0])
    )
    assert alone == pytest.approx(single.p_value(), abs=1e-12)
    assert found.numbers["p_largest"] >= found.frame["p_value"].min() - 1e-12


@pytest.mark.parametrize(
    "vcov", [{"bootstrap": "wild", "draws": 499}, {"bootstrap": "cluster", "draws": 499}]
)
def test_the_median_of_one_estimate_has_its_p_value_by_bootstrap(vcov: dict[str, Any]) -> None:
    table = by_village()
    table["income"] += 0.4 * table["grant"]
    one = ec.ate(design(table, cluster="village"), method="ols", vcov=vcov)
    joint = joint_of({"first": one, "second": one, "third": one})
    null = null_of(joint, draws=99, seed=0)
    found = joint_tests(joint, null, np.full(3, True), critical_of([one] * 3, joint, null))
    assert found["p_median"] == pytest.approx(one.p_value(), abs=1e-12)
    assert found["p_largest"] == pytest.approx(one.p_value(), abs=1e-12)


def test_specifications_are_as_significant_under_the_null_as_their_own_errors_make_them() -> None:
    """Errors that know of villages, and errors that do not and are too small: chance gives many of these."""
    rng = np.random.default_rng(0)
    village = np.arange(300) // 5
    table = pd.DataFrame({"village": village, "grant": (rng.permutation(60) % 2)[village]})
    table["age"], table["wealth"] = rng.normal(size=(2, 300))
    table["income"] = rng.normal(size=60)[village] + rng.normal(size=300)
    before = ec.ate(design(table, cluster="village"), method="ols")
    table["income"] += (1.7 * before.std_error - before.estimate) * table["grant"]
    asked = design(table, cluster="village")
    found = ec.robustness(asked, {"vcov": ["cluster", "iid"]}, method="ols", draws=20_000)
    own, naive = found.frame["std_error"]
    assert found.frame["significant"].tolist() == [False, True]
    joint = joint_of(found.estimates)
    bound = stats.t.ppf(0.975, found.estimates["vcov iid"].variance.df) * naive / own
    expected = 2 * stats.t.sf(bound, joint.variance.df)
    assert expected > 0.15
    assert found.numbers["p_significant"] == pytest.approx(expected, abs=0.01)
    turned = ec.robustness(asked, {"vcov": ["iid", "cluster"]}, method="ols", draws=999)
    assert (turned.frame["p_adjusted"] >= turned.frame["p_value"] * (1 - 1e-12)).all()


def test_what_is_wrong_with_the_joint_errors_is_told() -> None:
    rng = np.random.default_rng(0)
    table = study()
    table["x"], table["lon"], table["lat"] = (
        rng.normal(size=120),
        30 + 3 * rng.random(120),
        3 * rng.random(120),
    )
    table["income"] = 0.35 * table["grant"] + table["x"] + rng.normal(size=120)
    units = ec.read_units(table.reset_index(), id=table.index.name or "index", lon="lon", lat="lat")
    asked = design(units, covariates=["x", "wealth"])
    grid = {"method": ["ols", "regression"], "covariates": [["x", "wealth"], ["x"], []]}
    found = ec.robustness(asked, grid, vcov={"conley": "150km"}, draws=99)
    told = "of all specifications together: the covariance matrix by conley(150 km, uniform) had"
    assert any(text.startswith(told) for text in found.warnings)
    repeats = {"folds": [ec.Folds(k=2, repeats=2), ec.Folds(k=2, repeats=3)]}
    several = ec.robustness(design(study()), repeats, learners=FAST, draws=99)
    assert any("medians of 2 and 3 repeats" in text for text in several.warnings)


def test_an_outcome_without_any_error_tells_of_no_difference() -> None:
    table = study()
    asked = design(table.assign(income=2.0 * table["grant"]))
    found = ec.robustness(asked, {"method": ["ols", "regression", "difference"]}, draws=99)
    assert np.isnan(found.numbers["p_equal"])
    assert "the estimate is 2.0" in found.sentence


def test_invariant_to_the_order_of_rows_and_to_the_scale_of_the_outcome() -> None:
    table = _confounded()
    grid = {"method": ["ols", "regression", "entropy_balancing"], "covariates": [["age", "wealth"], ["age"]]}
    first = ec.robustness(design(table), grid)
    turned = ec.robustness(design(table.sample(frac=1.0, random_state=0)), grid)
    scaled = ec.robustness(design(table.assign(income=-1000 * table["income"])), grid)
    for name in ("p_median", "p_significant", "p_average", "p_largest", "share_significant"):
        assert turned.numbers[name] == pytest.approx(first.numbers[name], abs=2e-3)
        assert scaled.numbers[name] == pytest.approx(first.numbers[name], abs=2e-3)
    np.testing.assert_allclose(turned.frame["estimate"], first.frame["estimate"], rtol=1e-9)
    np.testing.assert_allclose(scaled.frame["estimate"], -1000 * first.frame["estimate"], rtol=1e-9)
    assert scaled.numbers["share_positive"] == 1 - first.numbers["share_positive"]
    np.testing.assert_allclose(scaled.curves["shares"]["share"], first.curves["shares"]["share"], atol=1e-9)


def test_the_spread_is_parted_as_in_a_balanced_table() -> None:
    cells = list(product("ab", "xyz"))
    choices = pd.DataFrame(cells, columns=["first", "second"])
    values = np.array(
        [{"a": 0.0, "b": 2.0}[one] + {"x": 0.0, "y": 1.0, "z": -1.0}[two] for one, two in cells]
    )
    values[0] += 0.6
    found = spread_explained(values, choices).set_index("choice")
    grid = values.reshape(2, 3)
    total = ((values - values.mean()) ** 2).sum()
    rows = 3 * ((grid.mean(axis=1) - values.mean()) ** 2).sum() / total
    columns = 2 * ((grid.mean(axis=0) - values.mean()) ** 2).sum() / total
    np.testing.assert_allclose(found["share"], [rows, columns, 1 - rows - columns], atol=1e-12)
    np.testing.assert_allclose(found["alone"], found["share"], atol=1e-12)
    assert spread_explained(np.ones(6), choices)["share"].isna().all()


def test_more_combinations_than_asked_for_are_drawn_and_the_first_is_among_them() -> None:
    choices = (Choice("seed", {k: k for k in range(1000)}), Choice("method", {k: k for k in range(1000)}))
    drawn, total = specifications(choices, most=20, seed=3)
    assert total == 1_000_000
    assert len(set(drawn)) == 20
    assert drawn[0] == (0, 0)
    assert specifications(choices, most=20, seed=3)[0] == drawn
    # far more than fit into memory
    many = tuple(Choice(name, {k: k for k in range(10_000)}) for name in ("seed", "method", "folds"))
    drawn, total = specifications(many, most=20, seed=3)
    assert (len(set(drawn)), total) == (20, 10**12)
    found = ec.robustness(
        design(study()), {"method": ["aipw"], "seed": range(40)}, most=4, folds=THREE, learners=FAST, draws=99
    )
    assert found.frame["seed"].tolist()[0] == 0
    assert len(found.frame) == 4
    assert any(text.startswith("4 of 40 combinations were estimated, the first") for text in found.warnings)


def test_a_panel_goes_through_methods_and_comparisons() -> None:
    asked = _panel_design()
    grid = {"method": ["twfe", "did"], "control": [None, "never"]}
    found = ec.robustness(asked, grid)
    assert found.frame["method"].tolist() == ["twfe", "did", "did"]
    assert found.frame["control"].tolist() == ["as usual", "as usual", "never"]
    singles = [ec.panel(asked), ec.panel(asked, method="did"), ec.panel(asked, method="did", control="never")]
    assert found.frame["estimate"].tolist() == [one.estimate for one in singles]
    assert found.frame["std_error"].tolist() == [one.std_error for one in singles]
    assert found.curves["left_out"]["reason"].tolist() == [
        "method='twfe' has no option of this name: control"
    ]
    assert 0 < found.numbers["p_largest"] <= 1
    windows = {"window": [(-2, 1), (-3, 1)]}
    terms = ec.robustness(asked, windows, method="event_study", term="event 0")
    first = ec.panel(asked, method="event_study", window=(-2, 1))
    assert terms.frame["estimate"][0] == first.values[first.terms.index("event 0")]
    assert terms.frame["n"].tolist() == [160, 160]
    with pytest.raises(SensitivityError, match=r"The result has 3 terms: event <= -2, event 0, event >= 1"):
        ec.robustness(asked, windows, method="event_study")


def test_rows_and_units_that_are_taken_as_independent_are_not_tested_together() -> None:
    found = ec.robustness(_panel_design(), {"method": ["twfe", "did"]}, vcov="iid")
    assert found.warnings[0].startswith("the specifications could not be tested together: Rows of a panel")
    assert np.isnan(found.numbers["p_median"])
    assert found.frame["p_adjusted"].isna().all()
    assert "no effect" not in found.sentence
    assert Sensitivity.from_dict(json.loads(json.dumps(found.to_dict(scores=True), allow_nan=False))) == found
    found.plot()


def _panel_design() -> ec.PanelDesign:
    rng = np.random.default_rng(0)
    units, years = 40, 4
    frame = pd.DataFrame(
        {"village": np.repeat(np.arange(units), years), "year": np.tile(np.arange(years), units)}
    )
    start = np.repeat(np.array([2, 3, 99, 99])[np.arange(units) % 4], years)
    frame["aid"] = (frame["year"] >= start).astype(int)
    frame["wealth"] = (
        rng.normal(size=units)[frame["village"]] + 0.5 * frame["aid"] + rng.normal(size=len(frame))
    )
    return ec.PanelDesign(frame, outcome="wealth", treatment="aid", unit="village", period="year")


def test_a_killed_run_goes_on_from_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = design(_confounded())
    grid = {"method": ["aipw", "ipw"], "seed": [0, 1]}
    whole = ec.robustness(asked, grid, folds=THREE, learners=FAST)
    calls: list[dict[str, Any]] = []

    def counted(*args: Any, **options: Any) -> ec.Estimate:
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(options)
        return ec.ate(*args, **options)

    monkeypatch.setattr(made_by, "ate", counted)
    with pytest.raises(KeyboardInterrupt):
        ec.robustness(asked, grid, folds=THREE, learners=FAST, folder=tmp_path / "kept")
    monkeypatch.setattr(made_by, "ate", lambda *a, **o: (calls.append(o), ec.ate(*a, **o))[1])
    again = ec.robustness(asked, grid, folds=THREE, learners=FAST, folder=tmp_path / "kept")
    assert len(calls) == 4
    assert again == whole
    larger = {"method": ["aipw", "ipw"], "seed": [0, 1, 2]}
    ec.robustness(asked, larger, folds=THREE, learners=FAST, folder=tmp_path / "kept")
    assert len(calls) == 6
    # other folds are other estimates
    ec.robustness(asked, grid, learners=FAST, folder=tmp_path / "kept")
    assert len(calls) == 10
    with pytest.raises(
        SensitivityError, match=r"cannot be continued[\s\S]*another folder as folder=, or delete"
    ):
        ec.robustness(design(study()), grid, folder=tmp_path / "kept")


@pytest.mark.parametrize("damage", ["", "{", "[]", "{}", "no estimate", "changed", "empty"])
def test_a_damaged_file_is_made_again(tmp_path: Path, damage: str) -> None:
    grid = {"method": ["ols", "difference"]}
    first = ec.robustness(design(study()), grid, folder=tmp_path)
    files = [one for one in tmp_path.glob("*.json") if one.name != "study.json"]
    assert len(files) == 2
    kept = files[0].read_text(encoding="utf-8")
    content = json.loads(kept)
    changes = {
        "no estimate": {"format": content["format"]},
        "changed": {**content, "estimate": {**content["estimate"], "values": [7.0]}},
        "empty": {**content, "estimate": {}},
    }
    files[0].write_text(json.dumps(changes[damage]) if damage in changes else damage, encoding="utf-8")
    assert ec.robustness(design(study()), grid, folder=tmp_path) == first
    assert files[0].read_text(encoding="utf-8") == kept


def test_a_result_comes_back_from_json_and_is_drawn_as_before() -> None:
    table = _confounded()
    found = ec.robustness(
        design(table, covariates=["age"]), {"features": _sets(table), "method": ["ols", "ipw", "difference"]},
        learners=FAST, folds=THREE,
    )  # fmt: skip
    text = json.dumps(found.to_dict(scores=True), allow_nan=False)
    back = Sensitivity.from_dict(json.loads(text))
    assert back == found
    pd.testing.assert_frame_equal(back.frame, found.frame)
    assert len(found.summary().splitlines()) <= 25
    assert repr(found).startswith("Sensitivity(robustness of grant")
    assert "\n" not in repr(found)
    drawn = [one.plot() for one in (found, back)]
    for figure in drawn:
        top, below = figure.axes
        dots = np.concatenate([line.get_xydata() for line in top.lines if line.get_marker() == "o"])
        np.testing.assert_allclose(dots[np.argsort(dots[:, 0]), 1], np.sort(found.frame["estimate"]))
        labels = [tick.get_text() for tick in below.get_yticklabels()]
        assert labels[1:3] == ["far", "none"]
        assert labels[0].startswith("features (")
        assert labels[3].startswith("method (")
        assert figure.get_size_inches()[1] == pytest.approx(2.8 + 0.19 * 6 + 0.5)


def test_the_table_of_the_report_finds_room_on_a_page() -> None:
    grid = {"method": ["ols", "regression"], "covariates": [["age", "wealth"], ["age"]]}
    blocks = sensitivity_blocks([ec.robustness(design(study()), grid, draws=99)])
    table = next(one for one in blocks if isinstance(one, Table))
    assert table.columns == (
        "Method", "Covariates", "Estimate", "Std. error", "95% interval", "p", "Units", "p, for all looks",
    )  # fmt: skip
    assert table.rows[1][:2] == ("ols", "age")


@pytest.mark.parametrize(
    ("grid", "options", "words"),
    [
        ({}, {}, "grid is no mapping"),
        (["aipw"], {}, "grid is no mapping"),
        ({"metod": ["aipw"]}, {}, "'metod', which cannot be varied"),
        ({"metod": ["aipw"]}, {}, "Did you mean 'method'"),
        ({"method": "aipw"}, {}, "is a str, or is empty"),
        ({"method": []}, {}, "is a list, or is empty"),
        ({"method": ["aipw"]}, {}, "one specification only"),
        ({"method": ["aipw", "aipw"]}, {}, "has 'aipw' twice"),
        ({"method": ["aipw", "aipww"]}, {}, "method='aipww' is not known"),
        ({"estimand": ["ate", "itt"]}, {}, "estimand='itt' is not known"),
        ({"seed": [0, -1]}, {}, "seed=-1"),
        ({"trim": [None, 0.1]}, {}, "0.1 is no Trim"),
        ({"folds": [5, 10]}, {}, "5 is no Folds"),
        ({"learners": ["ridge", "boosting"]}, {}, "is no Learners"),
        ({"covariates": [["age"], ["aeg"]]}, {}, "'aeg' is no covariate[\\s\\S]*'age'"),
        ({"covariates": [["age"], 3]}, {}, "3 names no covariates"),
        ({"features": [None]}, {}, "features by name"),
        ({"features": {"a": None, "b": None}}, {}, "has no set of features"),
        ({"features": {"a": 3, "b": None}}, {}, "3 is no Embeddings"),
        ({"vcov": ["iid", "robust"]}, {}, "vcov='robust' is not known"),
        ({"vcov": ["iid", 3]}, {}, "vcov=3 is not known"),
        ({"vcov": ["iid", {"conley": "50km"}]}, {"method": "ols", "folder": __file__}, "is a file"),
        ({"window": [(-3, 3)]}, {}, "'window', which cannot be varied"),
        ({"seed": [0, 1]}, {"method": "aipww"}, "method='aipww' is not known"),
        ({"seed": [0, 1]}, {"correct": 1}, "'correct', which cannot be varied"),
        ({"seed": [0, 1]}, {"features": {}}, "'features', which cannot be varied"),
        ({"method": ["aipw", "ols"]}, {"method": "ols"}, "an option, and a choice of the grid"),
        ({"seed": [0, 1]}, {"method": "ols", "estimand": "ato"}, "None of 2 specifications"),
        ({"seed": [0, 1]}, {"method": "ols", "estimand": "ato"}, "has no estimand='ato'"),
        ({"seed": [0, 1]}, {"most": 1}, "most=1"),
        ({"seed": [0, 1]}, {"draws": 10}, "draws=10"),
        ({"seed": [0, 1]}, {"term": "aid"}, "None of 2[\\s\\S]*1 term: grant"),
    ],
)
def test_a_grid_that_cannot_be_gone_through_is_refused(
    grid: Any, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(EocausalError, match=words):
        ec.robustness(design(study()), grid, **options)


def test_other_designs_and_single_results_are_refused() -> None:
    with pytest.raises(SensitivityError, match="design is a DataFrame"):
        ec.robustness(study(), {"seed": [0, 1]})
    table = study().assign(aid=np.tile(["none", "roads", "wells"], 40))
    arms = design(table, treatment="aid", treatment_type="categorical", control="none")
    with pytest.raises(SensitivityError, match=r"several arms[\s\S]*design.pair\(arm\)"):
        ec.robustness(arms, {"seed": [0, 1]})
    with pytest.raises(SensitivityError, match=r"ec.robustness\(design, grid\)"):
        ec.sensitivity(ec.ate(design(study()), method="ols"), kind="robustness")


def test_a_dose_has_a_curve_too() -> None:
    table = study()
    table["dose"] = table["age"] * 0.5 + np.random.default_rng(0).normal(size=len(table))
    asked = design(table, treatment="dose", treatment_type="continuous")
    how = {
        "method": "partially_linear",
        "folds": THREE,
        "learners": FAST,
    }
    found = ec.robustness(asked, {"seed": [0, 1], "covariates": [["age", "wealth"], ["age"]]}, **how)
    assert found.frame["estimate"][0] == ec.ate(asked, **how).estimate
    assert found.frame["ess_treated"].isna().all()
