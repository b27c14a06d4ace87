"""Averages by group of predicted effect, and what the groups look like."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.evaluate.clan_result import Clan
from eocausal.evaluate.effect_groups_result import EffectGroups
from tests.judged import drawn_cate


@pytest.fixture(scope="module")
def cate() -> ec.Cate:
    return drawn_cate(3, n=500, noise=0.5)


@pytest.fixture(scope="module")
def found(cate: ec.Cate) -> EffectGroups:
    return ec.groups(cate, k=4)


def _by_hand(cate: ec.Cate, values: np.ndarray, k: int) -> np.ndarray:
    """Means of quantile groups of each fold but the first, averaged over folds of one size."""
    means = []
    for fold in range(1, 5):
        rows = np.flatnonzero(cate.folds == fold)
        order = rows[np.argsort(cate.sequential_values[rows])]
        means.append([values[part].mean() for part in np.array_split(order, k)])
    return np.mean(means, axis=0)


def test_groups_are_quantiles_within_folds(cate: ec.Cate, found: EffectGroups) -> None:
    assert (np.bincount(cate.folds) == 100).all()
    expected = _by_hand(cate, cate.dr_scores, 4)
    np.testing.assert_allclose(found.estimate[:4], expected, rtol=1e-10)
    assert found.estimate[4] == pytest.approx(expected[-1] - expected[0])
    np.testing.assert_allclose(found.predicted, _by_hand(cate, cate.sequential_values, 4), rtol=1e-10)
    assert found.terms[0] == "group 1 (least)"
    assert found.terms[-2:] == ("group 4 (most)", "most - least")
    assert found.n == 400


def test_the_error_of_the_difference_is_that_of_the_joint_covariance(found: EffectGroups) -> None:
    matrix = found.gates.variance.matrix
    joint = matrix[3, 3] + matrix[0, 0] - 2 * matrix[3, 0]
    assert matrix[4, 4] == pytest.approx(joint, rel=1e-9)


def test_folds_of_other_levels_do_not_mix(cate: ec.Cate, found: EffectGroups) -> None:
    moved = ec.groups(replace(cate, sequential_values=cate.sequential_values + 50.0 * cate.folds), k=4)
    np.testing.assert_allclose(moved.estimate, found.estimate, rtol=1e-10)
    np.testing.assert_allclose(moved.std_error, found.std_error, rtol=1e-10)


def test_a_fold_of_one_predicted_effect_counts_alike_in_all_groups(cate: ec.Cate) -> None:
    flat = ec.groups(replace(cate, sequential_values=np.where(cate.folds == 0, np.nan, 2.0)), k=4)
    average = cate.dr_scores[cate.folds > 0].mean()
    np.testing.assert_allclose(flat.estimate, [average] * 4 + [0.0], atol=1e-12)
    assert any("4 folds have one predicted effect" in text for text in flat.warnings)


def test_the_table_has_intervals_within_bands_and_a_rising_column(found: EffectGroups) -> None:
    table = found.table()
    assert (table["band_low"] < table["conf_low"]).all()
    assert (table["band_high"] > table["conf_high"]).all()
    assert table["monotone"].is_monotonic_increasing
    assert sorted(table["estimate"]) == table["monotone"].tolist()
    shuffled = replace(found, gates=replace(found.gates, values=found.gates.values[[2, 0, 1, 3, 4]]))
    assert shuffled.table()["monotone"].tolist() == sorted(found.estimate[:4])


def test_that_all_groups_are_alike_is_rejected_where_effects_differ(found: EffectGroups) -> None:
    assert found.equality_p < 1e-6
    none = ec.groups(drawn_cate(5, n=500, spread=0.0001, noise=1.0), k=4)
    assert none.equality_p > 0.01


def test_out_of_fold_groups_take_all_units_and_say_what_is_wrong_with_it(cate: ec.Cate) -> None:
    found = ec.groups(cate, k=4, effects="out_of_fold")
    assert found.n == 500
    assert any("reject a true null too often" in text for text in found.warnings)


def test_clan_compares_columns_by_name_and_by_table(cate: ec.Cate, found: EffectGroups) -> None:
    by_name = found.clan(["z", "weight"])
    by_table = found.clan(cate.design.data[["z", "weight"]])
    assert by_name == by_table
    z = cate.design.data["z"].to_numpy()
    hand = _by_hand(cate, z, 4)
    assert by_name.estimate[0] == pytest.approx(hand[-1] - hand[0], rel=1e-9)
    np.testing.assert_allclose(by_name.means.iloc[0, 3:].astype(float), hand, rtol=1e-9)
    table = by_name.table().set_index("column")
    assert table["p_adjusted"]["z"] < 0.001
    assert table["p_adjusted"]["weight"] > 0.02
    judged = cate.folds > 0
    assert table["standardised"]["z"] == pytest.approx((hand[-1] - hand[0]) / z[judged].std(ddof=1), rel=1e-9)
    assert table.index[0] == "z"


def test_clan_takes_text_and_columns_that_never_vary(cate: ec.Cate, found: EffectGroups) -> None:
    table = pd.DataFrame(
        {"cover": np.where(cate.design.data["z"] > 0, "forest", "crops"), "year": 2007.1, "wet": True},
        index=cate.ids,
    )
    clan = found.clan(table)
    assert clan.terms == ("cover[crops]", "cover[forest]", "year", "wet")
    assert clan.estimate[0] == pytest.approx(-clan.estimate[1])
    assert clan.estimate[2:].tolist() == [0.0, 0.0]
    assert np.ravel(clan.p_value())[2:].tolist() == [1.0, 1.0]
    assert clan.means["all"].iloc[2:].tolist() == [2007.1, 1.0]
    assert clan.means["sd"].iloc[2:].tolist() == [0.0, 0.0]


def test_clan_takes_features_by_image_key() -> None:
    from tests.studies import FAST, FOREST, THREE, by_village, design, images

    asked = design(by_village(240, n_villages=48), cluster="village", features=images(48), propensity=0.5)
    made = ec.cate(asked, learner=FOREST, learners=FAST, folds=THREE)
    groups = ec.groups(made, k=3)
    by_key = groups.clan(asked.features)
    frame = pd.DataFrame(
        asked.features.values.astype(float), index=asked.features.keys, columns=asked.features.columns
    )
    np.testing.assert_array_equal(groups.clan(frame, by="image_key").estimate, by_key.estimate)
    assert by_key.terms == asked.features.columns
    assert by_key.vcov == "cluster(village)"
    assert by_key.n_clusters < 48


def test_groups_and_clan_follow_other_standard_errors(cate: ec.Cate, found: EffectGroups) -> None:
    labels = pd.Series(np.arange(500) // 5, index=cate.ids, name="district")
    moved = found.with_vcov({"cluster": labels})
    assert moved.n_clusters == 100
    assert moved.clan(["z"]).vcov == "cluster(district)"
    np.testing.assert_array_equal(moved.estimate, found.estimate)
    assert found.clan(["z"]).with_vcov({"cluster": labels}).std_error == moved.clan(["z"]).std_error


def test_results_come_back_from_a_file(found: EffectGroups) -> None:
    again = EffectGroups.from_dict(json.loads(json.dumps(found.to_dict(scores=True))))
    assert again == found
    clan = found.clan(["z", "weight"])
    assert Clan.from_dict(json.loads(json.dumps(clan.to_dict(scores=True)))) == clan
    for one in (found, clan):
        assert len(one.summary().splitlines()) <= 25
        assert "\n" not in repr(one)


def test_figures_show_groups_and_columns(found: EffectGroups) -> None:
    ax = found.plot()
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["1", "2", "3", "4"]
    below = found.clan(["z", "weight"]).plot()
    assert [tick.get_text() for tick in below.get_yticklabels()] == ["z", "weight"]


@pytest.mark.parametrize("effect", [0.0, 0.3])
def test_one_predicted_effect_for_all_leaves_no_difference_of_rounding(cate: ec.Cate, effect: float) -> None:
    same = np.full(500, effect)
    constant = replace(cate, effect_values=same, sequential_values=np.where(cate.folds > 0, same, np.nan))
    found = ec.groups(constant, k=3)
    assert found.estimate[-1] == 0
    assert found.std_error[-1] == 0
    assert found.p_value()[-1] == 1
    assert np.isnan(found.equality_p)
    assert np.isnan(found.calibration_r2)
    clan = found.clan(["z", "weight"])
    assert (clan.estimate.tolist(), clan.p_value().tolist()) == ([0.0, 0.0], [1.0, 1.0])
    against = ec.policy_value(constant).against("random")
    assert not against.values.any()
    assert not against.variance.matrix.any()


def test_many_looks_make_no_p_value_of_a_bootstrap_smaller(found: EffectGroups) -> None:
    labels = pd.Series(np.arange(found.n) // 10, index=found.ids, name="ten")
    drawn = found.clan(["z"]).with_vcov({"bootstrap": "wild", "cluster": labels})
    table = drawn.table()
    assert (table["p_adjusted"] >= table["p_value"]).all()
