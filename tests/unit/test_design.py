"""The frozen design: what it reads, ties together, leaves out, parts and hashes."""

from __future__ import annotations

import datetime
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.errors import DesignError, EmbeddingsError, LeakError
from tests.studies import FAST, FOREST, THREE, by_village, design, images, study


def _units(table: pd.DataFrame, **options: object) -> ec.Units:
    frame = table.reset_index().assign(lon=34 + table["age"].to_numpy() / 100, lat=1.0)
    return ec.read_units(frame, id="id", lon="lon", lat="lat", **options)


def test_arrays_are_the_columns_in_the_order_of_the_table() -> None:
    table = study()
    read = design(table, cluster="village", weights="weight", propensity="p").table
    for name, column in (("outcome", "income"), ("treatment", "grant"), ("weights", "weight"),
                         ("clusters", "village"), ("propensity", "p")):  # fmt: skip
        np.testing.assert_array_equal(getattr(read, name), table[column])
    np.testing.assert_array_equal(read.covariates, table[["age", "wealth"]])
    np.testing.assert_array_equal(read.ids, table.index)


def test_units_and_a_plain_table_make_the_same_design() -> None:
    table = study()
    plain = design(table, features=images())
    units = design(_units(table, image_key="village"), features=images())
    for name in ("ids", "outcome", "treatment", "covariates", "features", "image_keys"):
        np.testing.assert_array_equal(getattr(plain.table, name), getattr(units.table, name))
    np.testing.assert_array_equal(plain.groups, units.groups)
    assert plain.cluster_labels().keys() == units.cluster_labels().keys() == {"village"}
    for method in ("difference", "regression", "aipw"):
        found = [ec.ate(one, method=method, learners=FAST, folds=THREE) for one in (plain, units)]
        assert found[0].estimate == found[1].estimate
        assert found[0].vcov == found[1].vcov == "cluster(village)"
        assert found[0].std_error == found[1].std_error


def test_features_are_joined_by_image() -> None:
    table, features = study(), images()
    read = design(table, features=features).table
    for i in (0, 17, 119):
        key = int(table["village"].iloc[i])
        np.testing.assert_array_equal(read.features[i], features.values[features.keys.tolist().index(key)])
    assert read.feature_blocks == {"features": (0, 6)}


def test_text_becomes_columns_without_the_first_level() -> None:
    table = study().assign(
        region=lambda t: np.array(["c", "a", "b"])[t["village"] % 3], female=lambda t: t["age"] > 0
    )
    read = design(table, covariates=["region", "female"]).table
    assert read.covariate_names == ("region[b]", "region[c]", "female")
    np.testing.assert_array_equal(read.covariates[:, 0], table["region"] == "b")
    np.testing.assert_array_equal(read.covariates[:, 1], table["region"] == "c")
    np.testing.assert_array_equal(read.covariates[:, 2], table["female"])


def test_units_left_out_are_counted_by_arm_for_each_reason() -> None:
    table = study()
    table.loc[table.index[[0, 1, 2]], "income"] = np.nan
    table.loc[table.index[[2, 5]], "age"] = np.nan
    table["village"] = table["village"].where(np.arange(120) != 9, 999)
    made = design(table, features=images(), missing="drop")
    assert len(made) == 115

    def arms(rows: list[int]) -> str:
        treated = int(table["grant"].iloc[rows].sum())
        return rf"left out: {len(rows)} units ({treated} treated, {len(rows) - treated} control)"

    assert made.table.notes == (
        f"{arms([0, 1, 2])} with no outcome 'income'",
        f"{arms([9])} with no usable image",
        f"{arms([2, 5])} with no covariate 'age'",
    )
    gone = set(table.index[[0, 1, 2, 5, 9]])
    assert not gone & set(made.table.ids.tolist())


def test_every_result_says_what_was_left_out() -> None:
    table = study()
    table.loc[table.index[[0, 1, 2]], "income"] = np.nan
    treated = int(table["grant"].iloc[:3].sum())
    words = f"left out: 3 units ({treated} treated, {3 - treated} control) with no outcome 'income'"
    asked = design(table, missing="drop", propensity=0.5)
    found = ec.cate(asked, learner=FOREST, learners=FAST, folds=THREE)
    results = [
        *(ec.ate(asked, method=method, learners=FAST, folds=THREE) for method in ("aipw", "ipw", "regression",
                                                                                 "difference")),
        found,
        ec.rate(found, replicates=50),
        ec.rate(asked, priority="age", replicates=50),
        ec.balance(asked),
        ec.overlap(asked, learners=FAST, folds=THREE),
        ec.compare(a=ec.ate(asked, method="ipw"), b=ec.ate(asked, method="difference")),
    ]  # fmt: skip
    for result in results:
        assert words in result.warnings
    assert not ec.balance(design(study())).warnings


def test_the_difference_keeps_units_that_miss_only_what_it_does_not_use() -> None:
    table = study()
    table.loc[table.index[:10], "age"] = np.nan
    asked = design(table, missing="drop")
    found = ec.ate(asked, method="difference")
    assert (found.n, ec.ate(asked, method="regression").n) == (120, 110)
    assert not found.warnings
    by_hand = table["income"][table["grant"] == 1].mean() - table["income"][table["grant"] == 0].mean()
    assert found.estimate == pytest.approx(by_hand, rel=1e-12)


def test_the_difference_of_a_part_is_of_that_part() -> None:
    table = study()
    table.loc[table.index[:10], "age"] = np.nan
    asked = design(table, missing="drop", features=images())
    part = asked.take(np.arange(50))
    found = ec.ate(part, method="difference")
    assert set(found.ids.tolist()) == set(part.table.ids.tolist())


@pytest.mark.parametrize("rows", [np.arange(120) % 3 == 0, np.arange(0, 120, 3)])
def test_take_keeps_columns_and_their_values(rows: np.ndarray) -> None:
    table = study().assign(
        region=lambda t: np.where(np.arange(120) % 3 == 0, "b", np.where(t["age"] > 0, "a", "c"))
    )
    whole = design(table, covariates=["age", "region"], features=images(), cluster="village")
    part = whole.take(rows)
    assert part.table.covariate_names == whole.table.covariate_names
    for name in ("ids", "outcome", "covariates", "features", "clusters", "image_keys"):
        np.testing.assert_array_equal(getattr(part.table, name), getattr(whole.table, name)[rows])
    assert len(part.groups) == 40
    assert len(whole.groups) == 120
    np.testing.assert_array_equal(part.take(np.arange(9)).table.ids, whole.table.ids[rows][:9])


def test_take_counts_in_the_units_that_entered() -> None:
    table = study()
    table.loc[table.index[:5], "income"] = np.nan
    made = design(table, missing="drop")
    assert made.take(np.arange(20)).table.ids.tolist() == table.index[5:25].tolist()
    with pytest.raises(DesignError, match=r"mask has shape \(120,\), the design has 115 units"):
        made.take(np.ones(120, dtype=bool))


def test_other_outcomes_on_the_same_design() -> None:
    table = study()
    other = design(table).with_outcome("weight")
    np.testing.assert_array_equal(other.table.outcome, table["weight"])
    assert other.fingerprint != design(table).fingerprint


@pytest.mark.parametrize("seed", range(5))
def test_split_parts_share_no_village_and_no_image(seed: int) -> None:
    whole = design(by_village(), cluster="village", features=images())
    first, second = whole.split(0.4, seed=seed)
    assert len(first) + len(second) == 120
    assert not set(first.table.clusters) & set(second.table.clusters)
    assert not set(first.table.ids) & set(second.table.ids)
    again, _ = whole.split(0.4, seed=seed)
    np.testing.assert_array_equal(again.table.ids, first.table.ids)


def test_clusters_reach_folds_labels_and_groups() -> None:
    made = design(by_village(), cluster="village")
    table = by_village()
    np.testing.assert_array_equal(made.cluster_labels()["village"], table["village"])
    same = made.groups[:, None] == made.groups
    np.testing.assert_array_equal(same, table["village"].to_numpy()[:, None] == table["village"].to_numpy())


def test_the_fingerprint_depends_on_what_enters_and_on_nothing_else() -> None:
    table = study()
    base = design(table, cluster="village").fingerprint
    assert design(table.assign(extra=1), cluster="village").fingerprint == base
    for other in (table.assign(income=table["income"] + 1e-9), table.assign(age=table["age"] * 2),
                  table.assign(village=table["village"] + 1), table.set_axis(table.index + 1)):  # fmt: skip
        assert design(other, cluster="village").fingerprint != base
    assert design(table, cluster="village", propensity=0.5).fingerprint != base


def test_inputs_are_not_changed_and_later_changes_do_not_reach_in() -> None:
    table, features = study(), images()
    before, values = table.copy(deep=True), features.values.copy()
    made = design(table, features=features, cluster="village", weights="weight", propensity="p")
    ec.ate(made, learners=FAST, folds=THREE)
    found = ec.cate(made, learner=FOREST, learners=FAST, folds=THREE)
    ec.rate(found, replicates=50)
    ec.balance(made), ec.overlap(made, learners=FAST, folds=THREE)
    pd.testing.assert_frame_equal(table, before)
    np.testing.assert_array_equal(features.values, values)
    outcome = made.table.outcome.copy()
    table["income"] = 0.0
    np.testing.assert_array_equal(made.table.outcome, outcome)


def test_a_design_is_frozen() -> None:
    made = design(study())
    with pytest.raises(AttributeError):
        made.outcome = "age"


def test_one_line_says_what_it_is() -> None:
    text = repr(design(by_village(), cluster="village", features=images()))
    n_treated = int(by_village()["grant"].sum())
    assert text == (
        f"Design(income ~ grant: 120 units, {n_treated} treated, 2 covariates, "
        "6 features of 24 images, 24 clusters)"
    )


def _with_shares(**shares: float) -> ec.Embeddings:
    """Return features with valid fractions by village (``v3=0.5``), 1 for the others."""
    clear = images(23)
    known = [shares.get(f"v{key}", 1.0) for key in clear.keys.tolist()]
    status = clear.info["status"]
    return replace(clear, info=pd.DataFrame({"status": status, "valid_fraction": known}))


def test_units_below_min_valid_are_left_out_with_a_count_by_arm() -> None:
    table = study()
    features = _with_shares(v3=0.5, v4=0.8, v7=0.79)
    low = table["village"].isin([3, 7]).to_numpy()
    treated = int(table["grant"][low].sum())
    found = design(table, features=features, min_valid=0.8, missing="drop")
    gone = (table["village"] == 23).to_numpy() | low
    np.testing.assert_array_equal(found.table.ids, table.index[~gone])
    text = (
        f"left out: {low.sum()} units ({treated} treated, {low.sum() - treated} control) "
        "with less than 80% valid pixels"
    )
    assert text in found.table.notes
    # a picture without features is named once, as missing, and not a second time as cloudy
    assert len(found.table.notes) == 2
    assert any(text in warning for warning in ec.ate(found, method="regression").warnings)


def test_every_picture_with_features_counts_by_default() -> None:
    table = study()
    features = _with_shares(v3=0.01)
    assert len(design(table, features=features, missing="drop")) == (table["village"] != 23).sum()
    exact = design(table, features=features, missing="drop", min_valid=0.01)
    assert len(exact) == (table["village"] != 23).sum()


def test_the_plain_difference_keeps_units_under_cloud() -> None:
    table = study()
    found = design(table, features=_with_shares(v3=0.5), min_valid=0.9, missing="drop").unadjusted()
    assert len(found) == len(table)
    assert found.min_valid == 0


def test_each_image_is_dated_by_itself():
    # one image shows the year before its unit's treatment, the other a day after
    table = pd.DataFrame(
        {
            "unit": ["a"] * 10 + ["b"] * 10,
            "id": np.arange(20),
            "y": np.random.default_rng(0).normal(size=20),
            "d": [0, 1] * 10,
            "on": ["2006-05-01"] * 10 + ["2007-05-01"] * 10,
        }
    )
    units = ec.read_units(table, id="id", image_key="unit", date="on")

    def features(days):
        return ec.Embeddings(
            keys=np.array(["a", "b"]),
            key_name="unit",
            values=np.random.default_rng(1).normal(size=(2, 1)).astype(np.float32),
            columns=("f",),
            blocks={"f": (0, 1)},
            info=pd.DataFrame({"status": ["ok", "ok"], "valid_fraction": [1.0, 1.0], "last_date": days}),
            date="2007-04-30",
            recipe={},
        )

    with pytest.raises(LeakError, match=r"imagery of 2006-05-01 was taken on or after[\s\S]*10 \("):
        ec.Design(units, outcome="y", treatment="d", features=features(["2006-05-01", "2007-04-30"]))
    for kind in (pd.Timestamp, np.datetime64, datetime.date.fromisoformat):
        # whatever kind of day it is
        days = [kind("2006-05-01"), kind("2007-04-30")]
        with pytest.raises(LeakError, match="imagery of 2006-05-01 was taken on or after"):
            ec.Design(units, outcome="y", treatment="d", features=features(days))
    with pytest.raises(EmbeddingsError, match="'June 2007' is no day"):
        features(["June 2007", None])
    with pytest.raises(LeakError, match="imagery of 2007-04-30 was taken on or after"):
        # a row that does not say its day has that of the table
        ec.Design(units, outcome="y", treatment="d", features=features([None, "2006-01-01"]))


@pytest.mark.parametrize("share", ["0.5", None, True, np.nan, 1.5])
def test_a_min_valid_that_is_no_share_is_refused(share: object) -> None:
    with pytest.raises(ec.errors.DesignError, match=r"min_valid=[\s\S]*a share between 0 and 1"):
        ec.Design(study(), outcome="income", treatment="grant", min_valid=share)


def test_complex_numbers_are_no_columns() -> None:
    table = study().assign(age=lambda t: t["age"] + 1j)
    with pytest.raises(ec.errors.DesignError, match="'age' holds complex numbers"):
        ec.Design(table, outcome="income", treatment="grant", covariates=["age"])


def test_the_fingerprint_moves_with_all_that_an_estimate_rests_on() -> None:
    places = study().reset_index().assign(lon=1.0, lat=2.0, chance=0.5, picture=lambda t: t["village"])

    def made(table: pd.DataFrame, *, image_key: str | None = None, **options: object) -> str:
        units = ec.read_units(table, id="id", lon="lon", lat="lat", image_key=image_key)
        return ec.Design(units, outcome="income", treatment="grant", **options).fingerprint

    base = made(places)
    assert base == made(places.copy())
    others = [
        made(places.assign(lon=1.5)),
        made(places, image_key="picture"),
        made(places, cluster="village"),
        made(places, propensity="chance"),
        made(places, covariates=["age"]),
        made(places.assign(income=places["income"] + 1)),
    ]
    assert len({base, *others}) == 7
