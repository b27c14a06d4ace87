"""`diagnose`: what it holds, prints and draws, and that the two poles are told apart."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.debiasing.diagnosis_result import Diagnosis
from eocausal.errors import DebiasError


def _places(n: int = 1200, k: float = 0.7, seed: int = 1) -> pd.DataFrame:
    """Return places in towns and regions, with a map that shrinks all alike and one that is a surrogate."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"town": rng.integers(2, size=n), "region": rng.integers(12, size=n)})
    level = frame["town"] + rng.normal(size=12)[frame["region"]] * 0.7
    frame["truth"] = level + rng.normal(size=n)
    spread = frame["truth"].var()
    frame["shrunk"] = k * frame["truth"] + np.sqrt(spread * k * (1 - k)) * rng.normal(size=n)
    frame["seen"] = level + rng.normal(size=n)
    frame["follows"] = frame["seen"] + np.sqrt(frame["seen"].var() * (1 / k - 1)) * rng.normal(size=n)
    frame["village"] = np.arange(n) // 4
    return frame


def test_the_two_poles_are_told_apart_by_groups() -> None:
    places = _places(n=4000)
    groups = places[["town", "region"]]
    shrinks = ec.diagnose(places["shrunk"], places["truth"], groups=groups)
    surrogate = ec.diagnose(places["seen"], places["follows"], groups=groups)
    assert shrinks.k == pytest.approx(surrogate.k, abs=0.03)
    assert (shrinks.verdict, surrogate.verdict) == ("correct", "do not correct")
    assert [one.estimate for one in shrinks.levels] == pytest.approx([0.7, 0.7], abs=0.05)
    assert [one.estimate for one in surrogate.levels] == pytest.approx([1.0, 1.0], abs=0.08)
    assert not shrinks.warnings
    assert any("farther off" in text for text in surrogate.warnings)


def test_labels_with_a_treatment_tell_them_apart() -> None:
    places = _places(n=4000)
    arm = places["town"].astype(float)
    shrinks = ec.diagnose(places["shrunk"], places["truth"], treatment=arm)
    surrogate = ec.diagnose(places["seen"], places["follows"], treatment=arm)
    assert (shrinks.verdict, surrogate.verdict) == ("correct", "do not correct")
    assert shrinks.label_tests is not None
    assert shrinks.label_tests["p_value"][0] < 0.001
    assert [one.kind for one in shrinks.levels] == ["treatment"]
    # what the naive estimate loses is what the residual gains
    true, naive = (
        places[name][arm == 1].mean() - places[name][arm == 0].mean() for name in ("truth", "shrunk")
    )
    assert shrinks.label_tests["estimate"][0] == pytest.approx(true - naive)
    assert shrinks.levels[0].estimate == pytest.approx(naive / true)


def test_a_map_that_is_wrong_both_ways_asks_for_labels() -> None:
    places = _places(n=4000)
    arm = places["town"].astype(float)
    found = ec.diagnose(places["shrunk"] + 0.15 * arm, places["truth"], treatment=arm)
    assert found.verdict == "use labels"
    assert any("ec.ppi" in text for text in found.warnings)


def test_groups_cut_from_predictions_are_not_believed() -> None:
    """Under Berkson error they keep all of their difference: the correction would seem to be off by 1 / k."""
    rng = np.random.default_rng(0)
    prediction = rng.normal(size=4000)
    truth = prediction + rng.normal(size=4000)
    found = ec.diagnose(prediction, truth, groups=prediction > 0)
    assert found.levels[0].estimate == pytest.approx(1.0, abs=0.03)
    assert found.levels[0].estimate / found.k == pytest.approx(2.0, abs=0.1)
    assert found.table()["says"].tolist() == ["cut from the prediction"]
    assert found.verdict == "cannot tell"
    assert any("cut from the prediction" in text for text in found.warnings)
    by_truth = ec.diagnose(prediction, truth, groups=truth > 0)
    assert by_truth.verdict == "cannot tell"


def test_r2_factor_and_berkson_identity() -> None:
    rng = np.random.default_rng(0)
    prediction = rng.normal(size=50_000)
    found = ec.diagnose(prediction, prediction + np.sqrt(0.5) * rng.normal(size=50_000))
    assert found.k == pytest.approx(2 / 3, abs=0.01)
    assert found.r2 == pytest.approx(found.k, abs=0.01)
    assert found.factor == pytest.approx(1 / found.k)
    assert found.to_checks()["holds"].all()
    corr = np.corrcoef(found.sample.prediction, found.sample.truth)[0, 1]
    assert found.r2 == pytest.approx(corr**2)


def test_series_are_joined_by_their_index() -> None:
    places = _places(n=300)
    mixed = places.sample(frac=1, random_state=0)
    one = ec.diagnose(places["shrunk"], places["truth"], groups=places[["town"]], cluster=places["village"])
    other = ec.diagnose(places["shrunk"], mixed["truth"], groups=mixed[["town"]], cluster=mixed["village"])
    assert one == other
    arrays = ec.diagnose(
        places["shrunk"].to_numpy(), places["truth"].to_numpy(), groups=places["town"].to_numpy(),
        cluster=places["village"].to_numpy(),
    )  # fmt: skip
    assert arrays.unit == one.unit
    assert arrays.levels[0].estimate == one.levels[0].estimate
    assert arrays.levels[0].term == "group"


def test_no_order_of_rows_and_no_unit_of_both_counts() -> None:
    places = _places()
    mixed = places.sample(frac=1, random_state=1)
    plain = ec.diagnose(places["shrunk"], places["truth"], groups=places[["town", "region"]])
    moved = ec.diagnose(mixed["shrunk"], mixed["truth"], groups=mixed[["town", "region"]])
    scaled = ec.diagnose(
        100 * places["shrunk"] - 7, 100 * places["truth"] - 7, groups=places[["town", "region"]]
    )
    for other in (moved, scaled):
        assert other.verdict == plain.verdict
        frame, expected = other.to_frame(), plain.to_frame()
        assert frame["estimate"].to_numpy() == pytest.approx(expected["estimate"].to_numpy(), rel=1e-8)
        assert frame["std_error"].to_numpy() == pytest.approx(expected["std_error"].to_numpy(), rel=1e-8)
        values = other.to_checks()["value"].to_numpy(), plain.to_checks()["value"].to_numpy()
        assert values[0] == pytest.approx(values[1], abs=1e-8)


def test_weights_all_alike_change_nothing_and_clusters_widen() -> None:
    places = _places()
    plain = ec.diagnose(places["shrunk"], places["truth"])
    same = ec.diagnose(places["shrunk"], places["truth"], weights=np.full(1200, 3.0))
    assert same.unit.estimate == pytest.approx(plain.unit.estimate)
    assert same.unit.std_error == pytest.approx(plain.unit.std_error)
    twice = pd.concat([places, places])
    copies = ec.diagnose(
        twice["shrunk"].to_numpy(), twice["truth"].to_numpy(), cluster=np.tile(np.arange(1200), 2)
    )
    assert copies.n_clusters == 1200
    assert copies.unit.std_error == pytest.approx(plain.unit.std_error, rel=0.002)


def test_members_of_the_result() -> None:
    places = _places()
    found = ec.diagnose(
        places["shrunk"], places["truth"], groups=places[["town", "region"]], treatment=places["town"],
        cluster=places["village"],
    )  # fmt: skip
    assert (found.n, found.n_clusters) == (1200, 300)
    frame = found.to_frame()
    assert frame["term"].tolist() == ["units", "town", "region", "treatment"]
    assert frame["conf_low"][0] < found.k < frame["conf_high"][0]
    assert frame["p_value"][0] < 1e-6  # against 1
    table = found.table().set_index("term")
    share = found.levels[0].estimate
    assert table.loc["town", "naive_error"] == pytest.approx(share - 1)
    assert table.loc["town", "corrected_error"] == pytest.approx(share / found.k - 1)
    assert found.by_prediction["n"].sum() == found.by_truth["n"].sum() == 1200
    assert len(found.summary().splitlines()) <= 25
    assert "\n" not in repr(found)
    assert repr(found).startswith("Diagnosis(")
    assert "<pre>" in found._repr_html_()
    assert set(found.provenance) == {"sample_hash", "label_noise_var", "versions"}


def test_it_is_written_and_read() -> None:
    places = _places(n=200)
    found = ec.diagnose(places["shrunk"], places["truth"], groups=places["town"], treatment=places["town"])
    content = json.loads(json.dumps(found.to_dict(scores=True), allow_nan=False))
    assert Diagnosis.from_dict(content) == found
    without = found.to_dict()
    assert "sample" not in without
    assert "truth" not in json.dumps({name: without[name] for name in ("unit", "levels")})
    with pytest.raises(DebiasError, match="scores=True"):
        Diagnosis.from_dict(without)


def test_label_noise_makes_the_slope_smaller_and_is_taken_off() -> None:
    places = _places(n=20_000)
    noisy = places["truth"] + 0.8 * np.random.default_rng(1).normal(size=20_000)
    plain = ec.diagnose(places["shrunk"], noisy)
    freed = ec.diagnose(places["shrunk"], noisy, label_noise_var=0.64)
    assert plain.k < 0.6
    assert freed.k == pytest.approx(0.7, abs=0.02)
    # between groups the noise never was
    between = ec.diagnose(places["shrunk"], noisy, groups=places["region"]).levels[0]
    assert between.estimate == pytest.approx(0.7, abs=0.02)


def test_suspicions_are_warnings() -> None:
    places = _places(n=300)
    reversed_sign = ec.diagnose(-places["shrunk"], places["truth"])
    assert reversed_sign.verdict == "predictions do not follow the truth"
    assert any("reversed" in text for text in reversed_sign.warnings)
    assert any("same unit" in text for text in ec.diagnose(100 * places["shrunk"], places["truth"]).warnings)
    assert any("same unit" in text for text in ec.diagnose(places["shrunk"] + 40, places["truth"]).warnings)
    few = ec.diagnose(places["shrunk"], places["truth"], cluster=places["region"])
    assert any("12 clusters" in text for text in few.warnings)


def test_the_figure_has_four_panels_and_leaves_pyplot_alone() -> None:
    from matplotlib import pyplot as plt

    places = _places()
    found = ec.diagnose(places["shrunk"], places["truth"], groups=places[["town", "region"]])
    before = plt.get_fignums()
    figure = found.plot()
    assert len(figure.axes) == 4
    assert plt.get_fignums() == before
    labels = [text.get_text() for text in figure.axes[2].get_yticklabels()]
    assert labels == ["units", "town\ncorrection nearer", "region\ntoo few groups to vouch for a correction"]
    ec.diagnose(-places["shrunk"], places["truth"], groups=places[["town"]]).plot()


def test_predictions_of_a_trial_are_compared() -> None:
    places = _places()
    found = ec.diagnose(places["shrunk"], places["truth"], groups=places["town"])
    alike = found.for_trial(places["shrunk"].to_numpy()[::2])
    assert alike.warnings == found.warnings
    assert alike.verdict == found.verdict
    wider = found.for_trial(3 * places["shrunk"].to_numpy())
    assert wider.shift is not None
    assert wider.shift.k == found.k
    # under Berkson error the slope rises to v / (v + sigma2), with v nine times as large
    r2, back = found.r2, found.r2 / found.k
    assert wider.shift.k_if_error_stays == pytest.approx(9 * r2 / (9 * r2 + 1 - r2) / back)
    assert any("cannot both be right" in text for text in wider.warnings)
    assert wider.for_trial(places["shrunk"]).warnings == found.warnings
    assert Diagnosis.from_dict(json.loads(json.dumps(wider.to_dict(scores=True), allow_nan=False))) == wider
    assert "trial: PredictionShift(" in wider.summary()


def test_a_corrector_diagnoses_its_calibration_and_a_trial() -> None:
    made = ec.simulate_map("gaussian", n=800, n_calibration=600, seed=0)
    fix = ec.debias(made.calibration, prediction="prediction", truth="truth", groups="region")
    found = fix.diagnose()
    assert found.k == pytest.approx(fix.k)
    assert found.unit.std_error == pytest.approx(fix.std_errors["k"], rel=0.01)
    assert found.reasons == fix.reasons[: len(found.reasons)]
    beside = fix.diagnose(made.trial["prediction"])
    assert beside.shift is not None
    assert beside.shift.n_trial == 800


@pytest.mark.parametrize(("kind", "verdict"), [("gaussian", "correct"), ("surrogate", "do not correct")])
def test_labels_tell_the_simulated_maps_apart(kind: str, verdict: str) -> None:
    made = ec.simulate_map(kind, n=10, n_calibration=4000, seed=2)
    places = made.calibration
    found = ec.diagnose(places["prediction"], places["truth"], treatment=places["treatment"])
    assert found.verdict == verdict
    assert found.k == pytest.approx(made.slope, abs=0.02)
    # what the arms keep is what naive tends to, over the true effect
    assert found.levels[0].estimate == pytest.approx(made.naive / made.true_effect, abs=0.1)


def test_predictions_that_spread_more_than_the_truth_are_told_the_other_way_round() -> None:
    places = _places()
    found = ec.diagnose(1.5 * places["truth"], places["truth"] + 1e-3 * places["seen"], groups=places["town"])
    assert found.k > 1
    assert "naive is nearer to a contrast that keeps less than 1.2" in found.summary()
    assert "naive right of the dashes" in found.plot().axes[2].get_xlabel()
    shrunk = ec.diagnose(places["shrunk"], places["truth"])
    assert "keeps more than" in shrunk.summary()
    assert "naive left of the dashes" in shrunk.plot().axes[2].get_xlabel()


def test_arms_of_one_cluster_each_decide_nothing_and_are_written() -> None:
    places = _places()
    arm = places["town"].astype(float)
    found = ec.diagnose(places["shrunk"], places["truth"], treatment=arm, cluster=arm)
    assert found.verdict == "cannot tell"
    assert any("single unit or cluster on one side" in text for text in found.reasons)
    found.plot()
    content = json.loads(json.dumps(found.to_dict(scores=True), allow_nan=False))
    assert Diagnosis.from_dict(content).summary() == found.summary()


def test_more_label_noise_than_predictions_leave_room_for_is_told() -> None:
    places = _places(k=0.9)
    found = ec.diagnose(places["shrunk"], places["truth"], label_noise_var=0.8)
    assert found.r2 > 1
    assert any("measured outcomes hold less noise" in text for text in found.warnings)
    assert not ec.diagnose(places["shrunk"], places["truth"], label_noise_var=0.05).warnings[1:]


def test_ids_of_several_levels_are_written_and_read() -> None:
    places = _places(n=60).set_index(pd.MultiIndex.from_product([range(30), ["a", "b"]]))
    found = ec.diagnose(places["shrunk"], places["truth"])
    again = Diagnosis.from_dict(json.loads(json.dumps(found.to_dict(scores=True))))
    assert (again.n, again.sample.ids[1]) == (60, (0, "b"))


def test_a_level_that_is_none_is_refused() -> None:
    places = _places(n=60)
    with pytest.raises(DebiasError, match="level=95 is not a confidence level"):
        ec.diagnose(places["shrunk"], places["truth"]).to_frame(level=95)


def test_places_known_by_days_are_written_and_read() -> None:
    places = _places(n=60).set_axis(pd.date_range("2000-01-01", periods=60))
    found = ec.diagnose(places["shrunk"], places["truth"].iloc[::-1])
    assert found.unit == ec.diagnose(places["shrunk"].to_numpy(), places["truth"].to_numpy()).unit
    again = Diagnosis.from_dict(json.loads(json.dumps(found.to_dict(scores=True))))
    assert again.summary() == found.summary()
    assert again.sample.ids[0].startswith("2000-01-01")
