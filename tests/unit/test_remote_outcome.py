"""Outcomes sensed remotely: closed forms, a bootstrap with and without multiplicity, words."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.errors import DebiasError, DesignError
from eocausal.labelled.remote_result import RemoteOutcome


def _survey(n: int = 400, *, seed: int = 0, sharp: float = 1.0, name: str = "s") -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    poor = (rng.uniform(size=n) < 0.4).astype(float)
    seen = sharp * poor + rng.normal(size=n)
    area = rng.integers(0, 40, size=n)
    frame = {
        "poor": poor,
        "seen": seen,
        "lights": poor - rng.normal(size=n),
        "area": [f"a{one}" for one in area],
    }
    return pd.DataFrame(
        {**frame, "w": rng.uniform(0.5, 2, size=n)}, index=[f"{name}{one}" for one in range(n)]
    )


def _trial(n: int = 600, *, seed: int = 1, sharp: float = 1.0, direct: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    grant = np.tile([0, 1], n // 2)
    poor = (rng.uniform(size=n) < 0.6 - 0.3 * grant).astype(float)
    seen = sharp * poor + direct * grant + rng.normal(size=n)
    village = rng.integers(0, 50, size=n)
    frame = {
        "grant": grant,
        "seen": seen,
        "lights": poor - rng.normal(size=n),
        "poor": poor,
        "village": village,
    }
    return pd.DataFrame({**frame, "w": rng.uniform(0.5, 2, size=n)})


def _design(trial: pd.DataFrame, **options: object) -> ec.Design:
    return ec.Design(trial, outcome="seen", treatment="grant", **options)


def _found(trial: pd.DataFrame, survey: pd.DataFrame, **options: object) -> RemoteOutcome:
    named = {name: options.pop(name) for name in ("cluster", "weights") if name in options}
    own = {"cluster": "village"} if "cluster" in named else {}
    own |= {"weights": "w"} if "weights" in named else {}
    return ec.remote_outcome(
        _design(trial, **own), survey, truth="poor", method="difference", **named, **options
    )


def test_with_the_prediction_it_is_the_ratio_of_two_differences() -> None:
    trial, survey = _trial(), _survey()
    by_arm, by_truth = trial.groupby("grant")["seen"].mean(), survey.groupby("poor")["seen"].mean()
    expected = (by_arm[1] - by_arm[0]) / (by_truth[1] - by_truth[0])
    found = _found(trial, survey)
    assert found.estimate == pytest.approx(expected, rel=1e-12)
    # the formula of the paper: mean(De h) / mean(Do h) over both samples
    n, m = len(trial), len(survey)
    d, y = trial["grant"].to_numpy(), survey["poor"].to_numpy()
    weight_e = d / (d.sum() / (n + m)) - (1 - d) / ((1 - d).sum() / (n + m))
    weight_o = y / (y.sum() / (n + m)) - (1 - y) / ((1 - y).sum() / (n + m))
    assert found.estimate == pytest.approx(
        (weight_e @ trial["seen"]) / (weight_o @ survey["seen"]), rel=1e-10
    )
    # which is LCC: the slope of the prediction on a 0/1 truth
    slope = np.polyfit(survey["poor"], survey["seen"], 1)[0]
    assert found.estimate == pytest.approx((by_arm[1] - by_arm[0]) / slope, rel=1e-10)


def test_the_standard_error_is_that_of_the_delta_method() -> None:
    trial, survey = _trial(), _survey()
    found = _found(trial, survey)
    arms, truths = (trial.groupby("grant")["seen"], survey.groupby("poor")["seen"])
    top = float(arms.mean()[1] - arms.mean()[0])
    bottom = float(truths.mean()[1] - truths.mean()[0])
    n, m = len(trial), len(survey)
    of_top = (arms.var(ddof=0) / arms.size()).sum() * n / (n - 1)
    of_bottom = (truths.var(ddof=0) / truths.size()).sum() * m / (m - 1)
    expected = np.sqrt(of_top / bottom**2 + top**2 * of_bottom / bottom**4)
    assert found.std_error == pytest.approx(expected, rel=1e-10)
    assert found.parts is not None
    assert np.diag(found.parts.variance.matrix) == pytest.approx([of_top, of_bottom], rel=1e-10)


def test_sensitivity_and_specificity_give_rogan_and_gladens_form() -> None:
    survey = pd.DataFrame(
        {
            "poor": np.repeat([1, 1, 0, 0], [90, 10, 30, 120]),
            "seen": np.repeat([1, 0, 1, 0], [90, 10, 30, 120]),
        },
        index=[f"s{one}" for one in range(250)],
    )
    trial = pd.DataFrame({"grant": np.repeat([0, 1], 100), "seen": np.repeat([1, 0, 1, 0], [62, 38, 34, 66])})
    found = _found(trial, survey)
    assert found.diagnostics["sensitivity"] == pytest.approx(0.9)
    assert found.diagnostics["specificity"] == pytest.approx(0.8)
    assert found.estimate == pytest.approx((0.34 - 0.62) / (0.9 + 0.8 - 1), rel=1e-12)


def test_rogan_gladen_has_the_share_and_error_of_the_paper() -> None:
    survey = pd.DataFrame(
        {
            "poor": np.repeat([1, 1, 0, 0], [90, 10, 30, 120]),
            "seen": np.repeat([1, 0, 1, 0], [90, 10, 30, 120]),
        },
        index=[f"s{one}" for one in range(250)],
    )
    places = pd.DataFrame({"seen": np.repeat([1, 0], [104, 196])})
    found = ec.rogan_gladen(places, survey, prediction="seen", truth="poor")
    p, sensitivity, specificity = 104 / 300, 0.9, 0.8
    youden = sensitivity + specificity - 1
    share = (p + specificity - 1) / youden
    assert found.estimate == pytest.approx(share, rel=1e-12)
    # Rogan and Gladen (1978), with n - 1 for n in each sample
    own = p * (1 - p) / 299 / youden**2
    labels = (
        (
            share**2 * sensitivity * (1 - sensitivity) / 100
            + (1 - share) ** 2 * specificity * (1 - specificity) / 150
        )
        / youden**2
        * 250
        / 249
    )
    assert found.std_error == pytest.approx(np.sqrt(own + labels), rel=1e-10)
    assert found.levels["share"].tolist() == pytest.approx([1 - share, share])


def test_a_share_outside_0_to_1_is_left_as_it_is_and_told() -> None:
    survey = _survey(sharp=2.0)
    places = pd.DataFrame({"seen": np.full(50, -1.0) + np.arange(50) * 0.001})
    found = ec.rogan_gladen(places, survey, prediction="seen", truth="poor")
    assert found.estimate < 0
    assert any("outside 0 to 1" in text for text in found.warnings)


def test_units_of_both_samples_move_both_parts_at_once() -> None:
    trial = _trial()
    survey = trial.iloc[:200][["seen", "poor"]]
    found = _found(trial, survey)
    assert found.diagnostics["n_in_both"] == 200
    assert found.fit.second is None
    apart = _found(trial, survey.set_axis([f"s{one}" for one in range(200)]))
    assert apart.estimate == pytest.approx(found.estimate, rel=1e-12)
    assert apart.fit.second is not None
    # by hand: influence values of both samples on the units of the trial
    bottom = survey.groupby("poor")["seen"].mean().diff().iloc[1]
    top = trial.groupby("grant")["seen"].mean().diff().iloc[1]
    centred = trial["seen"] - trial.groupby("grant")["seen"].transform("mean")
    own = np.where(trial["grant"] == 1, 1, -1) * centred / 300 / bottom
    theirs = survey["seen"] - survey.groupby("poor")["seen"].transform("mean")
    size = survey.groupby("poor")["seen"].transform("size")
    own[:200] -= np.where(survey["poor"] == 1, 1, -1) * theirs / size * top / bottom**2
    assert found.std_error == pytest.approx(np.sqrt((own**2).sum() * 600 / 599), rel=1e-10)


def test_labelled_units_in_clusters_of_the_study_vary_with_them() -> None:
    trial, survey = _trial(), _survey()
    survey["village"] = np.arange(400) % 50
    found = _found(trial, survey, cluster="village")
    assert found.fit.second is None
    scores = found.fit.score_values[:, 0]
    sums = pd.Series(scores).groupby(trial["village"].to_numpy()).sum().to_numpy() / 600
    assert found.std_error == pytest.approx(np.sqrt((sums**2).sum() * 50 / 49 * 599 / 598), rel=1e-10)
    # what is spread over the cluster is what its labelled units add
    alone = _found(trial, survey).fit.second
    assert alone is not None
    plain = _found(trial, survey).fit.score_values[:, 0]
    both = pd.Series(plain).groupby(trial["village"].to_numpy()).sum() / 600
    both += pd.Series(alone.parts[:, 0]).groupby(survey["village"].to_numpy()).sum()
    assert sums == pytest.approx(both.to_numpy(), rel=1e-9, abs=1e-12)


def test_clusters_count_with_all_their_units() -> None:
    """Rows that stand twice, in the clusters of their copies, tell nothing new."""
    trial, survey = _trial(), _survey(n=400)
    trial["village"], survey["area"] = np.arange(600), [f"a{one}" for one in range(400)]
    once = _found(trial, survey, cluster="area")
    twice = _found(
        pd.concat([trial, trial], ignore_index=True),
        pd.concat([survey, survey.set_axis([f"t{one}" for one in range(400)])]),
        cluster="area",
    )
    assert twice.estimate == pytest.approx(once.estimate, rel=1e-12)
    assert twice.std_error == pytest.approx(once.std_error, rel=2e-3)


def test_the_error_is_that_of_a_bootstrap_that_keeps_multiplicity() -> None:
    """Clusters drawn twice count twice; where each drawn cluster counts once, errors are three quarters."""
    rng = np.random.default_rng(5)
    trial, survey = _trial(n=1000, sharp=2.0), _survey(n=800, sharp=2.0)
    trial["grant"] = trial["village"] % 2
    trial["seen"] += rng.normal(size=50)[trial["village"]]
    survey["seen"] += rng.normal(size=40)[survey["area"].str[1:].astype(int)]
    found = _found(trial, survey, cluster="area")
    d, h, v = (trial[name].to_numpy() for name in ("grant", "seen", "village"))
    y, g = survey["poor"].to_numpy(), survey["seen"].to_numpy()
    areas, codes = np.unique(survey["area"], return_inverse=True)

    def ratio(by_trial: np.ndarray, by_survey: np.ndarray) -> float:
        ends = [np.average(h[d == arm], weights=by_trial[v[d == arm]]) for arm in (0, 1)]
        low, high = (np.average(g[y == one], weights=by_survey[codes[y == one]]) for one in (0, 1))
        return float((ends[1] - ends[0]) / (high - low))

    kept, lost = [], []
    for _ in range(1500):
        counts = [np.bincount(rng.integers(0, k, k), minlength=k).astype(float) for k in (50, areas.size)]
        kept.append(ratio(*counts))
        lost.append(ratio(*((one > 0).astype(float) for one in counts)))
    assert np.std(kept) == pytest.approx(found.std_error, rel=0.1)
    assert np.std(lost) == pytest.approx(0.76 * found.std_error, rel=0.12)


@pytest.mark.parametrize("h", ["prediction", "efficient"])
def test_order_of_rows_and_scale_of_predictions_do_not_matter(h: str) -> None:
    trial, survey = _trial(), _survey()
    plain = _found(trial, survey, h=h)
    rng = np.random.default_rng(0)
    mixed = _found(trial.iloc[rng.permutation(600)], survey.iloc[rng.permutation(400)], h=h)
    assert mixed.estimate == pytest.approx(plain.estimate, rel=1e-6)
    assert mixed.std_error == pytest.approx(plain.std_error, rel=1e-6)
    scaled = _found(trial.assign(seen=5 + 3 * trial["seen"]), survey.assign(seen=5 + 3 * survey["seen"]), h=h)
    assert scaled.estimate == pytest.approx(plain.estimate, rel=1e-6)
    assert scaled.std_error == pytest.approx(plain.std_error, rel=1e-6)


def test_weights_that_are_all_equal_change_nothing_and_double_weights_are_two_rows() -> None:
    trial, survey = _trial(), _survey()
    plain = _found(trial, survey)
    equal = _found(trial.assign(w=3.0), survey.assign(w=0.2), weights="w")
    assert equal.estimate == pytest.approx(plain.estimate, rel=1e-12)
    assert equal.std_error == pytest.approx(plain.std_error, rel=1e-12)
    heavy = survey.assign(w=np.where(np.arange(400) < 100, 2.0, 1.0))
    rows = pd.concat([survey, survey.iloc[:100].set_axis([f"t{one}" for one in range(100)])])
    assert _found(trial.assign(w=1.0), heavy, weights="w").estimate == pytest.approx(
        _found(trial, rows).estimate, rel=1e-12
    )


def test_the_efficient_function_agrees_and_is_more_precise_where_a_column_tells_more() -> None:
    trial, survey = _trial(n=2000, sharp=1.0), _survey(n=2000, sharp=1.0)
    plain = _found(trial, survey)
    efficient = _found(trial, survey, h="efficient", prediction=["seen", "lights"])
    assert efficient.std_error < 0.85 * plain.std_error
    assert abs(efficient.estimate - plain.estimate) < 3 * plain.std_error
    again = _found(trial, survey, h="efficient", prediction=["seen", "lights"])
    assert again == efficient
    assert efficient.diagnostics["h_by_truth"] == pytest.approx(1.0, abs=0.15)


def test_levels_recover_the_function_whose_mean_is_right_in_every_level() -> None:
    rng = np.random.default_rng(3)
    index = np.clip(rng.normal(45, 20, size=3000), 0, 100)
    squashed = 30 + 25 / (1 + np.exp(-(index - 45) / 12)) + rng.normal(size=3000) * 2
    survey = pd.DataFrame({"wealth": index, "seen": squashed}, index=[f"s{one}" for one in range(3000)])
    design = _design(_trial().assign(seen=lambda frame: 42 + 3 * frame["seen"]))
    found = ec.remote_outcome(design, survey, truth="wealth", h=[30, 60], method="difference")
    codes = np.searchsorted([30, 60], index, side="right")
    bend = squashed[codes == 1].mean()
    seen = np.column_stack([squashed, np.maximum(squashed - bend, 0)])
    means = np.array([seen[codes == k].mean(axis=0) for k in range(3)])
    truths = np.array([index[codes == k].mean() for k in range(3)])
    loadings = np.linalg.solve(means[1:] - means[0], truths[1:] - truths[0])
    # what is left of the truth is the same in every level
    left = [(index - seen @ loadings)[codes == k].mean() for k in range(3)]
    assert left == pytest.approx([left[0]] * 3, rel=1e-9)
    table = design.table
    own = np.column_stack([table.outcome, np.maximum(table.outcome - bend, 0)]) @ loadings
    contrast = own[table.treatment == 1].mean() - own[table.treatment == 0].mean()
    assert found.estimate == pytest.approx(contrast, rel=1e-10)
    assert found.levels["moved"].sum() == pytest.approx(0.0, abs=1e-12)
    assert found.levels["n"].tolist() == np.bincount(codes).tolist()
    assert found.parts is None
    with pytest.raises(ec.errors.EstimationError, match="Fieller's interval is one of a ratio"):
        found.fieller()


def test_two_levels_are_the_effect_of_a_0_1_truth_times_the_step_of_its_mean() -> None:
    """One cut point: the share that moves, times how far apart the two levels are."""
    trial, survey = _trial(), _survey()
    by_level = survey.assign(wealth=np.where(survey["poor"] == 1, 70.0, 20.0))
    found = ec.remote_outcome(_design(trial), by_level, truth="wealth", h=[50], method="difference")
    binary = _found(trial, survey)
    assert found.estimate == pytest.approx(50 * binary.estimate, rel=1e-10)
    assert found.std_error == pytest.approx(50 * binary.std_error, rel=1e-10)


def test_of_classes_it_inverts_the_table_of_predicted_by_true() -> None:
    rng = np.random.default_rng(2)
    table = np.array([[0.8, 0.15, 0.05], [0.2, 0.6, 0.2], [0.05, 0.25, 0.7]])

    def seen(truth: np.ndarray) -> np.ndarray:
        return (rng.uniform(size=truth.size)[:, None] > np.cumsum(table, axis=1)[truth]).sum(axis=1)

    truth = rng.integers(0, 3, size=900)
    survey = pd.DataFrame({"land": truth, "seen": seen(truth)}, index=[f"s{one}" for one in range(900)])
    trial = pd.DataFrame({"grant": np.tile([0, 1], 1000), "seen": seen(rng.integers(0, 3, size=2000))})
    found = ec.remote_outcome(_design(trial), survey, truth="land", h=[0.5, 1.5], method="difference")
    by_truth = pd.crosstab(survey["land"], survey["seen"], normalize="index").to_numpy()
    shares = pd.crosstab(trial["grant"], trial["seen"], normalize="index").to_numpy()
    moved = np.linalg.solve(by_truth.T, shares[1] - shares[0])
    assert found.levels["moved"].tolist() == pytest.approx(moved.tolist(), rel=1e-8)
    assert found.estimate == pytest.approx(moved @ [0, 1, 2], rel=1e-8)


def test_a_weak_denominator_is_told_and_fiellers_set_is_wider() -> None:
    found = _found(_trial(sharp=0.2), _survey(n=120, sharp=0.2, seed=2))
    assert any("trust .fieller()" in text for text in found.warnings)
    strong = _found(_trial(n=2000, sharp=3.0), _survey(n=2000, sharp=3.0))
    assert not any("fieller" in text for text in strong.warnings)
    made = strong.fieller()
    assert made.kind == "interval"
    assert (made.low, made.high) == pytest.approx(strong.ci(), rel=0.02)
    assert made.holds(strong.estimate)


def test_a_share_from_predictions_that_hardly_tell_is_told_too() -> None:
    weak = ec.rogan_gladen(
        _trial(sharp=0.2), _survey(n=120, sharp=0.2, seed=2), prediction="seen", truth="poor"
    )
    assert any("trust .fieller()" in text for text in weak.warnings)
    strong = ec.rogan_gladen(_trial(sharp=3.0), _survey(sharp=3.0), prediction="seen", truth="poor")
    assert strong.warnings == ()


def test_units_are_the_same_whatever_number_type_holds_their_predictions_and_clusters() -> None:
    trial = _trial().assign(village=np.arange(600) // 6)
    survey = trial.iloc[:200][["seen", "poor", "village"]]
    asked = {"prediction": "seen", "truth": "poor", "cluster": "village"}
    plain = ec.rogan_gladen(trial, survey, **asked)
    other = survey.astype({"seen": "float32", "village": float})
    found = ec.rogan_gladen(trial, other, **asked)
    assert found.diagnostics["n_in_both"] == 200
    assert found.estimate == pytest.approx(plain.estimate, rel=1e-5)
    assert found.std_error == pytest.approx(plain.std_error, rel=1e-5)
    # labelled units that are new, in the same clusters
    new = other.set_axis([f"new {one}" for one in range(200)])
    again = ec.rogan_gladen(trial, new.astype({"village": int}), **asked)
    assert ec.rogan_gladen(trial, new, **asked).std_error == pytest.approx(again.std_error, rel=1e-9)
    assert again.fit.second is None


def test_predictions_that_are_no_mixture_are_found_and_those_that_are_pass() -> None:
    fine = _found(_trial(n=4000, sharp=1.5), _survey(n=4000, sharp=1.5))
    assert fine.tests()["test"].tolist() == ["mixture"]
    assert fine.tests()["p_value"][0] > 0.05
    other = _trial(n=4000, sharp=1.5)
    other["seen"] = np.where(other["poor"] == 1, 1.5, 0.0) + 2.0 * np.random.default_rng(0).normal(size=4000)
    bad = _found(other, _survey(n=4000, sharp=1.5))
    assert bad.tests()["p_value"][0] < 1e-6
    assert any("speak against an assumption (mixture" in text for text in bad.warnings)


def test_a_direct_effect_on_predictions_is_found_where_labels_know_the_treatment() -> None:
    trial = _trial(n=3000, direct=0.5)
    survey = trial.iloc[:1000][["seen", "poor", "grant"]]
    found = _found(trial, survey).tests().set_index("test")["p_value"]
    assert found["no direct effect"] < 1e-6
    clean = _trial(n=3000)
    passed = _found(clean, clean.iloc[:1000][["seen", "poor", "grant"]]).tests().set_index("test")["p_value"]
    assert passed["no direct effect"] > 0.05


def test_covariates_of_the_design_adjust_the_effect_on_predictions() -> None:
    trial = _trial(n=1000)
    trial["age"] = np.random.default_rng(4).normal(size=1000)
    trial["seen"] += 2 * trial["age"]
    survey = _survey()
    design = _design(trial, covariates=["age"])
    adjusted = ec.remote_outcome(design, survey, truth="poor", method="regression")
    plain = ec.ate(design, method="regression")
    step = survey.groupby("poor")["seen"].mean().diff().iloc[1]
    assert adjusted.estimate == pytest.approx(plain.estimate / step, rel=1e-10)


def test_units_without_a_prediction_stay_out_and_those_without_a_covariate_only_where_it_counts() -> None:
    trial, survey = _trial(), _survey()
    trial["age"] = np.where(np.arange(600) % 10 == 0, np.nan, np.arange(600.0))
    trial.loc[5:20, "seen"] = np.nan
    design = _design(trial, covariates=["age"], missing="drop")
    step = survey.groupby("poor")["seen"].mean().diff().iloc[1]
    for method, n in (("difference", 584), ("regression", 526)):
        found = ec.remote_outcome(design, survey, truth="poor", method=method)
        assert found.n == n
        assert found.estimate == pytest.approx(ec.ate(design, method=method).estimate / step, rel=1e-10)
    efficient = ec.remote_outcome(design, survey, truth="poor", h="efficient", method="regression")
    assert efficient.n == 526
    part = design.take(np.arange(200))
    assert ec.remote_outcome(part, survey, truth="poor", h="efficient", method="difference").n == 200


def test_places_of_units_serve_conleys_standard_errors_and_compare() -> None:
    trial, survey = _trial(), _survey()
    named = trial.assign(id=[f"u{one}" for one in range(600)], lon=30 + np.arange(600) * 0.01, lat=1.0)
    design = _design(ec.read_units(named, id="id", lon="lon", lat="lat"))
    found = ec.remote_outcome(design, survey, truth="poor", method="difference")
    assert found.estimate == pytest.approx(_found(trial, survey).estimate, rel=1e-12)
    near = found.with_vcov({"conley": "5km"})
    assert near.std_error != found.std_error
    beside = ec.compare(seen=ec.ate(design, method="difference"), poor=found.fit)
    assert beside.std_error[1] == pytest.approx(found.std_error, rel=1e-6)


def test_the_result_has_all_members_and_survives_a_file() -> None:
    found = _found(_trial(), _survey(), cluster="area")
    assert repr(found).startswith("RemoteOutcome(ate on the truth by difference, remote outcome (prediction)")
    assert "\n" not in repr(found)
    assert len(found.summary().splitlines()) <= 25
    again = RemoteOutcome.from_dict(json.loads(json.dumps(found.to_dict(scores=True))))
    assert again == found
    assert again.with_vcov("iid").std_error == found.with_vcov("iid").std_error
    assert found.with_vcov("hetero").parts.vcov == "hetero"
    assert "score_values" not in found.to_dict()["fit"]
    frame = found.to_frame()
    assert frame["estimate"][0] == found.estimate
    assert found.table()["n"].sum() == 400
    from matplotlib import pyplot as plt

    ax = found.plot()
    assert [one.get_text() for one in ax.get_yticklabels()] == ["prediction: as it is", "truth: grant"]
    plt.close(ax.figure)


def test_a_bootstrap_of_the_study_alone_is_refused() -> None:
    with pytest.raises(ec.errors.EstimationError, match="varies with the labelled sample"):
        _found(_trial(), _survey(), cluster="area").with_vcov({"bootstrap": "wild"})


@pytest.mark.parametrize(("change", "options", "words"), [
    (lambda s: s.assign(poor=s["poor"] * 2), {}, "The truth 'poor' is not 0 or 1"),
    (lambda s: s.drop(columns="poor"), {}, "Column 'poor' is not in the labelled sample"),
    (lambda s: s.iloc[:10], {}, "10 places"),
    (lambda s: s[(s["poor"] == 0) | (np.arange(400) < 10)], {}, "few labelled units"),
    (lambda s: s.set_axis(np.arange(400)), {}, "two predictions"),
    (lambda s: s.set_axis([str(one) for one in range(400)]), {}, "of different types"),
    (lambda s: s.set_axis(["a"] * 400), {}, "share ids"),
    (lambda s: s.assign(seen=s["seen"].where(s["seen"] > -1)), {}, "missing values in the labelled sample"),
    (lambda s: s.assign(seen=-s["seen"]), {}, "opposite directions"),
    (lambda s: s, {"h": "efficent"}, "Did you mean 'efficient'"),
    (lambda s: s, {"prediction": ["seen", "lights"]}, "reads one column"),
    (lambda s: s, {"prediction": ["seen", "seen"], "h": "efficient"}, "different names"),
    (lambda s: s, {"prediction": ["seen", "ndvi"], "h": "efficient"}, "'ndvi' is not in the labelled sample"),
    (lambda s: s, {"h": [0.6, 0.2]}, "numbers that rise"),
    (lambda s: s, {"h": ["low"]}, "numbers that rise"),
    (lambda s: s, {"h": []}, "numbers that rise"),
    (lambda s: s, {"h": [0.5, 5.0]}, "level 2: 0"),
    (lambda s: s, {"seed": -1}, "seed=-1"),
])  # fmt: skip
def test_what_cannot_be_estimated_says_why(change: object, options: dict, words: str) -> None:
    with pytest.raises(DebiasError, match=words):
        _found(_trial(), change(_survey()), **options)


def test_other_arguments_that_are_not_what_they_should_be() -> None:
    survey = _survey()
    with pytest.raises(DebiasError, match="design is a DataFrame"):
        ec.remote_outcome(_trial(), survey, truth="poor")
    with pytest.raises(DebiasError, match="The labelled sample is a dict"):
        ec.remote_outcome(_design(_trial()), {}, truth="poor")
    with pytest.raises(DesignError, match="Weights 'w' must be positive"):
        ec.remote_outcome(_design(_trial()), survey.assign(w=-1.0), truth="poor", weights="w")
    with pytest.raises(DesignError, match="Cluster 'area' is missing"):
        ec.remote_outcome(_design(_trial()), survey.assign(area=None), truth="poor", cluster="area")
    with pytest.raises(DebiasError, match="Column 'seen' is not in the places"):
        ec.rogan_gladen(survey[["poor"]], survey, prediction="seen", truth="poor")
    with pytest.raises(DebiasError, match="places is a list"):
        ec.rogan_gladen([], survey, prediction="seen", truth="poor")
    with pytest.raises(DebiasError, match="DataFrame of 1 rows"):
        ec.rogan_gladen(_trial().iloc[:1], survey, prediction="seen", truth="poor")
    flat = survey.assign(seen=np.tile([0.0, 1.0], 200), poor=np.tile([0, 0, 1, 1], 100))
    with pytest.raises(DebiasError, match="no higher where the truth"):
        ec.rogan_gladen(_trial(), flat, prediction="seen", truth="poor")
    with pytest.raises(DebiasError, match="do not tell the levels of the truth apart"):
        ec.remote_outcome(_design(_trial()), flat, truth="poor")
