"""Overlap: AUC by pairs, its error, propensities as they are."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.errors import EvaluationError
from eocausal.evaluate.overlap import Overlap, auc_with_influence
from eocausal.evaluate.roc import auc_by_fold
from eocausal.nuisance.cross_fit import propensities
from tests.studies import FAST, THREE, by_village, design, study


def _pairs(score: np.ndarray, label: np.ndarray) -> float:
    won = [
        1.0 if score[i] > score[j] else 0.5 if score[i] == score[j] else 0.0
        for i in range(len(score)) if label[i] == 1
        for j in range(len(score)) if label[j] == 0
    ]  # fmt: skip
    return sum(won) / len(won)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("decimals", [8, 1])
def test_auc_is_the_share_of_pairs_in_order(seed: int, decimals: int) -> None:
    rng = np.random.default_rng(seed)
    label = (rng.uniform(size=41) < 0.4).astype(float)
    score = np.round(rng.normal(size=41) + label, decimals)
    auc, influence = auc_with_influence(score, label)
    assert auc == pytest.approx(_pairs(score, label), abs=1e-12)
    assert influence.mean() == pytest.approx(0, abs=1e-12)
    reverse, _ = auc_with_influence(-score, label)
    assert reverse == pytest.approx(1 - auc, abs=1e-12)


def test_the_error_of_the_auc_is_delongs() -> None:
    rng = np.random.default_rng(0)
    label = (rng.uniform(size=60) < 0.4).astype(float)
    score = np.round(rng.normal(size=60) + label, 1)
    influence = auc_with_influence(score, label)[1]
    pos, neg = score[label == 1], score[label == 0]
    v10 = [np.mean([1.0 if a > b else 0.5 if a == b else 0 for b in neg]) for a in pos]
    v01 = [np.mean([1.0 if a > b else 0.5 if a == b else 0 for a in pos]) for b in neg]
    delong = np.var(v10) / len(pos) + np.var(v01) / len(neg)
    assert (influence**2).sum() / 60**2 == pytest.approx(delong, rel=1e-12)


def test_the_error_of_the_auc_is_close_to_the_jackknife() -> None:
    rng = np.random.default_rng(1)
    label = (rng.uniform(size=300) < 0.4).astype(float)
    score = rng.normal(size=300) + label
    _, influence = auc_with_influence(score, label)
    leave_one = [auc_with_influence(np.delete(score, i), np.delete(label, i))[0] for i in range(300)]
    jackknife = np.sqrt(299 / 300 * ((leave_one - np.mean(leave_one)) ** 2).sum())
    assert np.sqrt((influence**2).sum()) / 300 == pytest.approx(jackknife, rel=0.02)


def test_propensities_are_out_of_fold_and_as_they_are() -> None:
    asked = design(study(selected=True))
    found = ec.overlap(asked, learners=FAST, folds=THREE, seed=3)
    expected = propensities(asked, THREE.assign(asked, seed=3), FAST, seed=3).values
    np.testing.assert_array_equal(found.propensity, expected)
    np.testing.assert_array_equal(found.treatment, asked.table.treatment)
    assert found.estimate == pytest.approx(_pairs(expected, asked.table.treatment), abs=1e-12)


def test_a_known_propensity_is_set_aside() -> None:
    table = study(selected=True)
    known = ec.overlap(design(table, propensity="p"), learners=FAST, folds=THREE)
    np.testing.assert_array_equal(
        known.propensity, ec.overlap(design(table), learners=FAST, folds=THREE).propensity
    )


def test_a_trial_has_no_auc_and_selection_has_one() -> None:
    low, high = ec.overlap(design(study(600)), learners=FAST).ci(0.999)
    assert low < 0.5 < high
    selected = ec.overlap(design(study(600, selected=True)), learners=FAST)
    assert selected.p_value(0.5) < 1e-6
    assert selected.estimate > 0.6


def test_the_table_by_arm() -> None:
    found = ec.overlap(design(study(400, selected=True)), learners=FAST)
    frame = found.to_frame().set_index("arm")
    for name, arm in (("treated", 1), ("control", 0)):
        values = found.propensity[found.treatment == arm]
        assert frame.loc[name, "n"] == values.size
        assert frame.loc[name, "median"] == np.median(values)
        outside = sum(1 for p in values if p < 0.05 or p > 0.95) / values.size
        assert frame.loc[name, "share_outside"] == outside
        w = 1 / values if arm else 1 / (1 - values)
        assert frame.loc[name, "effective_n"] == pytest.approx(w.sum() ** 2 / (w**2).sum(), rel=1e-12)


def test_extreme_propensities_are_counted_by_arm() -> None:
    table = study(400, seed=2)
    table["age"] = table["age"] + 4 * (table["grant"] - 0.5)
    found = ec.overlap(design(table), learners=FAST)
    outside = (found.propensity < 0.05) | (found.propensity > 0.95)
    treated, control = (int(outside[found.treatment == arm].sum()) for arm in (1, 0))
    assert treated + control > 20
    assert any(f"{treated} treated and {control} control units" in text for text in found.warnings)


def test_a_result_goes_through_json_and_clusters_reach_it() -> None:
    found = ec.overlap(design(by_village(), cluster="village"), learners=FAST, folds=THREE)
    assert found.auc.vcov == "cluster(village)"
    back = Overlap.from_dict(json.loads(json.dumps(found.to_dict(scores=True), allow_nan=False)))
    assert back == found
    assert set(found.to_dict()) == {"type", "auc", "cuts"}
    assert len(found.summary().splitlines()) <= 25


def test_a_plot_counts_every_unit() -> None:
    import matplotlib.pyplot as plt

    found = ec.overlap(design(study()), learners=FAST, folds=THREE)
    axes = found.plot()
    assert sum(abs(patch.get_height()) for patch in axes.patches) == 120
    plt.close("all")


def test_the_p_value_of_an_auc_is_against_one_half() -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {"treated": np.tile([0, 1], 100), "age": rng.normal(size=200), "outcome": rng.normal(size=200)}
    )
    found = ec.overlap(ec.Design(table, outcome="outcome", treatment="treated", covariates=["age"]))
    assert found.p_value() == found.auc.p_value(0.5)
    assert found.p_value() > 0.001


def test_sampling_weights_reach_the_auc_as_pairs() -> None:
    rng = np.random.default_rng(0)
    label = (rng.uniform(size=50) < 0.4).astype(float)
    score, weights = np.round(rng.normal(size=50) + label, 1), rng.integers(0, 4, size=50).astype(float)
    found, influence = auc_with_influence(score, label, weights)
    times = weights.astype(int)
    assert found == pytest.approx(_pairs(np.repeat(score, times), np.repeat(label, times)), abs=1e-12)
    assert influence[weights == 0].tolist() == [0.0] * int((weights == 0).sum())
    assert influence.mean() == pytest.approx(0, abs=1e-12)
    table = study(200, selected=True)
    weighted = ec.overlap(design(table, weights="weight"), learners=FAST, folds=THREE)
    expected = auc_with_influence(weighted.propensity, weighted.treatment, table["weight"].to_numpy())[0]
    assert weighted.estimate == expected
    w = table["weight"] / np.where(table["grant"] == 1, weighted.propensity, 1 - weighted.propensity)
    w = w[table["grant"] == 1]
    assert weighted.diagnostics["ess_treated"] == pytest.approx(w.sum() ** 2 / (w**2).sum(), rel=1e-12)


def test_the_auc_within_folds_does_not_compare_units_of_two_folds() -> None:
    rng = np.random.default_rng(1)
    label, folds = (rng.uniform(size=60) < 0.5).astype(float), np.arange(60) % 3
    score = rng.normal(size=60) + label
    found = auc_by_fold(score, label, folds)
    parts = [(_pairs(score[folds == k], label[folds == k]), label[folds == k]) for k in range(3)]
    pairs = [mine.sum() * (1 - mine).sum() for _, mine in parts]
    assert found.estimate == pytest.approx(np.average([auc for auc, _ in parts], weights=pairs), abs=1e-12)
    assert auc_by_fold(score + 100 * folds, label, folds).estimate == pytest.approx(found.estimate, abs=1e-12)
    assert found.scores.mean() == pytest.approx(0, abs=1e-12)


def test_whom_a_trimming_would_leave_out_is_counted_and_nobody_is_left_out() -> None:
    asked = design(study(300, selected=True))
    found = ec.overlap(asked, learners=FAST, trim=ec.Trim("fixed", low=0.35, high=0.6))
    assert found.n == 300
    outside = (found.propensity < 0.35) | (found.propensity > 0.6)
    np.testing.assert_array_equal(found.left_out(), outside)
    frame = found.to_frame().set_index("arm")
    assert frame.loc["treated", "left_out_fixed"] == outside[found.treatment == 1].sum()
    low, high = ec.Trim("crump").bounds(found.propensity, found.treatment)
    assert found.cuts == {"crump": (low, high), "fixed": (0.35, 0.6)}
    assert list(ec.overlap(asked, learners=FAST, trim=ec.Trim("crump")).cuts) == ["crump"]
    with pytest.raises(EvaluationError, match=r"no rule 'fix'[\s\S]*crump, fixed"):
        found.left_out("fix")
    with pytest.raises(EvaluationError, match=r"trim is 0\.1"):
        ec.overlap(asked, trim=0.1)


def test_the_map_shows_every_place_and_marks_those_left_out() -> None:
    import matplotlib.pyplot as plt

    table = study(200, selected=True).reset_index().assign(lon=np.linspace(30, 31, 200), lat=1.5)
    table["lat"] += np.random.default_rng(0).uniform(size=200)
    units = ec.read_units(table, id="id", lon="lon", lat="lat")
    found = ec.overlap(design(units), learners=FAST, trim=ec.Trim("fixed", low=0.4, high=0.6))
    axes = found.map()
    every, gone = axes.collections[:2]
    np.testing.assert_allclose(np.sort(every.get_offsets()[:, 0]), np.sort(table["lon"]))
    assert len(gone.get_offsets()) == found.left_out().sum() > 0
    told = [text.get_text() for text in axes.get_legend().get_texts()]
    assert told[0] == f"kept ({(~found.left_out()).sum()} units)"
    plt.close("all")
    with pytest.raises(EvaluationError, match=r"no map[\s\S]*read_units"):
        ec.overlap(design(study()), learners=FAST, folds=THREE).map()


def test_propensities_that_calibration_would_make_certain_are_told_here_too() -> None:
    table = study(240, seed=3)
    table["grant"] = (table["age"] + 0.2 * np.random.default_rng(0).normal(size=240) > 0).astype(int)
    learners = ec.Learners(calibration="isotonic")
    told = ec.overlap(design(table), learners=learners, seed=1).warnings
    assert any("isotonic" in text for text in told)
    told = ec.assignment(design(table), learners=learners, replicates=50, seed=1).warnings
    assert any(text.startswith("covariates: ") and "isotonic" in text for text in told)
