"""Effects from predictions and labels: ppi_py's numbers, hand computation, what is refused and what is said."""

import json

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import eocausal as ec
from eocausal.errors import DebiasError, DesignError
from eocausal.labelled.ppi_result import Ppi

mpl.use("Agg")

# ppi_py 0.2.3 on the table of `published`: by arm and lambda (None: its own) point, low and high of 90% intervals.
PPI_PY = {
    (1, None): (0.6970856915413984, 0.43892692312822673, 0.9552444599545702),
    (1, 0.0): (0.786295942708569, 0.46409345921629697, 1.1084984262008408),
    (1, 0.5): (0.6668835329063353, 0.4040737075534999, 0.9296933582591707),
    (1, 1.0): (0.5474711231041016, 0.15633462199966192, 0.9386076242085413),
    (0, None): (-0.026216342941483263, -0.3170475633167754, 0.26461487743380885),
    (0, 0.0): (-0.14106070238222598, -0.5467200462003989, 0.264598641435947),
    (0, 0.5): (-0.041513837152653166, -0.33531834455279036, 0.25229067024748403),
    (0, 1.0): (0.058033028076919686, -0.2942544842319421, 0.4103205403857815),
}
PPI_PY_WEIGHTED = {
    (1, 0.5): 0.6819374620642789,
    (1, 1.0): 0.5617700352122272,
    (0, 0.5): -0.022410240120472595,
    (0, 1.0): 0.06233713185686391,
}


def published():
    i = np.arange(60)
    arm = i % 2
    mapped = np.sin(1.7 * i) + 0.3 * np.cos(0.4 * i * i) + 0.5 * arm
    truth = 0.9 * mapped + 0.6 * np.cos(2.3 * i) + 0.4 * arm * np.sin(i)
    known = (i % 3 == 0) | (i % 10 == 1)
    return pd.DataFrame(
        {
            "treated": arm,
            "mapped": mapped,
            "measured": np.where(known, truth, np.nan),
            "weight": 1 + 0.5 * np.sin(i),
        }
    )


def world(seed=0, n=400, share=0.25, **more):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"treated": np.tile([0, 1], n // 2), "age": rng.normal(size=n)})
    frame["outcome"] = frame["treated"] + 0.5 * frame["age"] + rng.normal(size=n)
    frame["mapped"] = 0.7 * frame["outcome"] + 0.4 * rng.normal(size=n)
    frame["measured"] = frame["outcome"].where(rng.random(n) < share)
    frame["village"] = np.arange(n) // 8
    return frame.assign(**more)


def designed(frame, **more):
    return ec.Design(frame, outcome="mapped", treatment="treated", **more)


def plain_errors(result):
    """Standard errors without the factor for the number of units."""
    return np.sqrt(np.diag(result.fit.variance.matrix) / result.fit.variance.factor)


# Against ppi_py -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lam", [None, 0.0, 0.5, 1.0])
def test_arms_are_those_of_ppi_py(lam):
    tuning = ec.PowerTuning(lam=lam, pooled=lam is None, ddof=0)
    result = ec.ppi(designed(published()), truth="measured", method=tuning)
    points = [PPI_PY[arm, lam][0] for arm in (1, 0)]
    half_widths = [(PPI_PY[arm, lam][2] - PPI_PY[arm, lam][1]) / 2 for arm in (1, 0)]
    assert result.estimate[3] == pytest.approx(points[0] - points[1], abs=1e-10)
    wanted = np.hypot(*half_widths) / stats.norm.ppf(0.95)
    assert plain_errors(result)[3] == pytest.approx(wanted, abs=1e-10)


@pytest.mark.parametrize("lam", [0.5, 1.0])
def test_weighted_points_are_those_of_ppi_py(lam):
    result = ec.ppi(designed(published(), weights="weight"), truth="measured", method=lam)
    wanted = PPI_PY_WEIGHTED[1, lam] - PPI_PY_WEIGHTED[0, lam]
    assert result.estimate[3] == pytest.approx(wanted, abs=1e-10)


def test_a_regression_on_the_arm_is_the_difference_of_arms():
    # ppi_py 0.2.3, ppi_ols with lambda 1: 0.05803303 and 0.4894381 on a constant and the arm
    result = ec.ppi(designed(published()), truth="measured")
    assert result.estimate[2] == pytest.approx(0.4894381, abs=1e-7)


def test_mean_of_the_five_labels():
    frame = pd.DataFrame(
        {
            "mapped": [1.5, 1.5, 3.5, 3, 4.5, 0, 1, 2, 3, 4, 5, 2, 7],
            "measured": [1.0, 2, 3, 4, 6, *[np.nan] * 8],
            "treated": [0, 1] * 6 + [0],
        }
    )
    asked = {"truth": "measured", "estimand": "mean"}
    result = ec.ppi(designed(frame), method=ec.PowerTuning(pooled=True, ddof=0), **asked)
    assert result.estimate == pytest.approx([38 / 13, 3.2, 3.4, 3.2633118280], abs=1e-9)
    assert result.power["lambda"][0] == pytest.approx(0.3165591398, abs=1e-9)
    half = stats.norm.ppf(0.95) * plain_errors(result)[3]
    assert (result.estimate[3] - half, result.estimate[3] + half) == pytest.approx(
        (2.1689741842, 4.3576494717), abs=1e-9
    )
    assert result.label_tests is None


# By hand --------------------------------------------------------------------------------------------------------


def test_arms_by_hand():
    frame = world()
    result = ec.ppi(designed(frame), truth="measured")
    value, variance = 0.0, 0.0
    for arm, sign in ((1, 1.0), (0, -1.0)):
        own = frame[frame["treated"] == arm]
        known, others = own[own["measured"].notna()], own[own["measured"].isna()]
        m, k = len(known), len(others)
        lam = (
            known["measured"].cov(known["mapped"])
            / m
            / (known["mapped"].var() / m + others["mapped"].var() / k)
        )
        row = result.power.iloc[1 - arm]
        assert row["lambda_unbounded"] == pytest.approx(lam, rel=1e-10)
        lam = min(lam, 1.0)
        assert row["lambda"] == pytest.approx(lam, rel=1e-9)
        gap = others["mapped"].mean() - known["mapped"].mean()
        assert row["shift"] == pytest.approx(gap, rel=1e-10)
        value += sign * (known["measured"].mean() + lam * gap)
        variance += (known["measured"] - lam * known["mapped"]).var() / m + lam**2 * others[
            "mapped"
        ].var() / k
    assert result.estimate[3] == pytest.approx(value, rel=1e-10)
    assert plain_errors(result)[3] == pytest.approx(np.sqrt(variance), rel=1e-10)
    naive = frame.groupby("treated")["mapped"].mean()
    assert result.estimate[0] == pytest.approx(naive[1] - naive[0], rel=1e-12)
    alone = frame.groupby("treated")["measured"].mean()
    assert result.estimate[1] == pytest.approx(alone[1] - alone[0], rel=1e-12)


def test_degrees_of_freedom_are_of_labels():
    result = ec.ppi(designed(world()), truth="measured")
    assert result.fit.variance.df == result.n_labelled - 2
    assert result.best.variance.df == result.n_labelled - 2
    low, high = result.best.ci()
    assert (low, high) == pytest.approx(result.ci()[3])
    clustered = result.with_vcov({"cluster": world()["village"]})
    assert clustered.fit.variance.df == world().dropna()["village"].nunique() - 1


def test_clusters_are_summed_and_tuned_by():
    frame = world(seed=3, n=600)
    result = ec.ppi(designed(frame, cluster="village"), truth="measured", method=ec.PowerTuning(ddof=0))
    assert result.diagnostics["lambda_tuned_by"] == "clusters"
    sums = result.scores.groupby(frame["village"]).sum().to_numpy()
    g, n = len(sums), len(frame)
    wanted = sums.T @ sums / n**2 * g / (g - 1) * (n - 1) / (n - 2)
    assert result.fit.variance.matrix == pytest.approx(wanted, rel=1e-10)
    assert result.vcov == "cluster(village)"
    lams = result.power["lambda"].to_numpy()
    shifts = []
    for arm, sign in ((1, 1.0), (0, -1.0)):
        shift = np.zeros(n)
        for known in (True, False):
            rows = (frame["treated"] == arm) & (frame["measured"].notna() == known)
            values, m = frame["mapped"][rows], rows.sum()
            shift[rows] = (-sign if known else sign) * n * (values - values.mean()) / m
        shifts.append(np.bincount(frame["village"], weights=shift))
    found = sums[:, 1] + np.array(shifts).T @ lams
    assert found == pytest.approx(sums[:, 3], abs=1e-9 * np.abs(sums).max())
    for step in ((-0.02, 0), (0, 0.02), (0, -0.02), (0.02, 0.02), (0.02, -0.02)):
        other = np.clip(lams + np.array(step), 0, 1)
        moved = sums[:, 1] + np.array(shifts).T @ other
        assert (moved**2).sum() >= (found**2).sum() * (1 - 1e-12)


def test_a_mean_of_clusters_has_their_unbiased_variance():
    # villages of one size, labelled whole: the variance of their means over their number, less one
    frame = world(seed=1, n=800)
    frame["treated"] = frame["village"] % 2
    frame["measured"] = frame["outcome"].where(frame["village"] % 10 < 4)
    result = ec.ppi(designed(frame, cluster="village"), truth="measured")
    means = frame.dropna().groupby(["treated", "village"])["measured"].mean()
    wanted = means.groupby("treated").var().div(means.groupby("treated").size()).sum()
    assert plain_errors(result)[1] == pytest.approx(np.sqrt(wanted), rel=1e-10)
    assert result.power["n_clusters"].tolist() == [20, 20]


def test_few_clusters_do_not_tune():
    frame = world(seed=3)
    frame["district"] = np.arange(400) // 20
    by_units = ec.ppi(designed(frame), truth="measured")
    by_districts = ec.ppi(designed(frame, cluster="district"), truth="measured")
    assert by_districts.diagnostics["lambda_tuned_by"] == "units"
    assert by_districts.estimate == pytest.approx(by_units.estimate, rel=0.02)
    assert by_districts.std_error[3] != pytest.approx(by_units.std_error[3], rel=1e-3)


def test_strata_by_hand():
    frame = world(seed=4, n=600)
    frame["zone"] = np.where(frame["age"] > 0.3, "wet", "dry")
    result = ec.ppi(
        designed(frame),
        truth="measured",
        method=ec.PowerTuning(lam=0.6),
        labelling=ec.Labelling(strata="zone"),
    )
    value, variance = 0.0, 0.0
    for arm, sign in ((1, 1.0), (0, -1.0)):
        own = frame[frame["treated"] == arm]
        means, shares = [], []
        for _, part in own.groupby("zone"):
            known, others = part[part["measured"].notna()], part[part["measured"].isna()]
            share = len(part) / len(own)
            mean = known["measured"].mean() + 0.6 * (others["mapped"].mean() - known["mapped"].mean())
            means.append(mean)
            shares.append(share)
            spread = (known["measured"] - 0.6 * known["mapped"]).var() / len(known)
            variance += share**2 * (spread + 0.36 * others["mapped"].var() / len(others))
        value += sign * np.dot(means, shares)
        # how many units of each stratum there are is drawn as well
        between = np.dot(shares, np.square(means)) - np.dot(shares, means) ** 2
        variance += between / len(own)
    assert result.estimate[3] == pytest.approx(value, rel=1e-10)
    # influence values of means within strata sum to zero there, so the two parts do not vary together
    assert plain_errors(result)[3] == pytest.approx(np.sqrt(variance), rel=1e-9)
    assert result.power[["arm", "stratum"]].to_numpy().tolist() == [
        ["treated", "dry"], ["treated", "wet"], ["control", "dry"], ["control", "wet"],
    ]  # fmt: skip
    assert result.power["share"].groupby(result.power["arm"]).sum().tolist() == pytest.approx([1, 1])


def test_unequal_chances_by_hand():
    frame = world(seed=5)
    frame["chance"] = np.where(frame["age"] > 0, 0.6, 0.2)
    rng = np.random.default_rng(6)
    frame["measured"] = frame["outcome"].where(rng.random(len(frame)) < frame["chance"])
    wanted = {"all": 0.0, "unlabelled": 0.0}
    for arm, sign in ((1, 1.0), (0, -1.0)):
        own = frame[frame["treated"] == arm]
        known, others = own[own["measured"].notna()], own[own["measured"].isna()]
        rectifier = np.average(known["measured"] - known["mapped"], weights=1 / known["chance"])
        wanted["all"] += sign * (own["mapped"].mean() + rectifier)
        rest = np.average(others["mapped"], weights=1 / (1 - others["chance"]))
        wanted["unlabelled"] += sign * (rest + rectifier)
    asked = {"truth": "measured", "labelling": "chance"}
    for average in ("all", "unlabelled"):
        tuning = ec.PowerTuning(lam=1, average=average)
        result = ec.ppi(designed(frame), method=tuning, **asked)
        assert result.estimate[3] == pytest.approx(wanted[average], rel=1e-10)
    assert ec.ppi(designed(frame), method="ppi", **asked).estimate[2] == pytest.approx(
        wanted["all"], rel=1e-10
    )


def test_tuned_estimates_are_the_same_with_all_or_others():
    results = [
        ec.ppi(
            designed(world(seed=1)), truth="measured", method=ec.PowerTuning(average=average, bounds=(-9, 9))
        )
        for average in ("all", "unlabelled")
    ]
    # means over all units are a mixture of both parts, so that only rounding and m - 1 tell the two apart
    assert results[0].estimate[3] == pytest.approx(results[1].estimate[3], abs=2e-3)
    assert results[0].std_error[3] == pytest.approx(results[1].std_error[3], rel=2e-2)


def test_doubly_robust_scores_without_a_model_are_weighted_outcomes():
    from sklearn.dummy import DummyRegressor

    frame = world(seed=7)
    learners = ec.Learners(outcome=DummyRegressor(strategy="constant", constant=0.0))
    design = designed(frame, covariates=["age"], propensity=0.4)
    result = ec.ppi(design, truth="measured", adjust=ec.Aipw(learners=learners), method=0.7)
    treated = frame["treated"]
    weight = treated / 0.4 - (1 - treated) / 0.6
    known = frame["measured"].notna()
    classical = (weight * frame["measured"])[known].mean()
    moved = (weight * frame["mapped"])[~known].mean() - (weight * frame["mapped"])[known].mean()
    naive = (weight * frame["mapped"]).mean()
    wanted = [naive, classical, classical + moved, classical + 0.7 * moved]
    assert result.estimate == pytest.approx(wanted, rel=1e-9)
    m, k = known.sum(), (~known).sum()
    parts = (weight * (frame["measured"] - 0.7 * frame["mapped"]))[known], (weight * frame["mapped"])[~known]
    assert plain_errors(result)[3] == pytest.approx(
        np.sqrt(parts[0].var() / m + 0.49 * parts[1].var() / k), rel=1e-9
    )


def test_doubly_robust_scores_adjust_for_covariates():
    rng = np.random.default_rng(8)
    n = 1500
    frame = pd.DataFrame({"age": rng.normal(size=n)})
    frame["treated"] = (rng.random(n) < 1 / (1 + np.exp(-1.5 * frame["age"]))).astype(int)
    frame["outcome"] = frame["treated"] + 2 * frame["age"] + rng.normal(size=n)
    frame["mapped"] = 0.8 * frame["outcome"] + 0.3 * rng.normal(size=n)
    frame["measured"] = frame["outcome"].where(rng.random(n) < 0.3)
    design = designed(frame, covariates=["age"])
    plain, adjusted = (ec.ppi(design, truth="measured", adjust=one).best for one in ("difference", "aipw"))
    assert plain.estimate > 2.5
    assert abs(adjusted.estimate - 1) < 4 * adjusted.std_error < 0.6
    naive = ec.ate(design)
    result = ec.ppi(design, truth="measured", adjust="aipw")
    assert result.estimate[0] == pytest.approx(naive.estimate, rel=1e-10)


def test_where_all_are_labelled_predictions_add_nothing():
    frame = world()
    frame["measured"] = frame["outcome"]
    result = ec.ppi(designed(frame), truth="measured")
    assert result.estimate[2] == result.estimate[3] == result.estimate[1]
    assert any("predictions add nothing" in text for text in result.warnings)


def test_the_outcome_of_the_design_may_be_the_truth():
    frame = world()
    by_prediction = ec.ppi(designed(frame), truth="measured")
    design = ec.Design(frame, outcome="measured", treatment="treated", missing="drop")
    by_truth = ec.ppi(design, truth="measured", prediction="mapped")
    assert by_truth.fit.to_frame().equals(by_prediction.fit.to_frame())
    assert by_truth.n == 400


# What must hold for every input ---------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), clustered=st.booleans(), noise=st.floats(0.01, 5))
def test_powered_errors_are_never_above_the_others(seed, clustered, noise):
    frame = world(seed, n=400)
    frame["mapped"] = frame["outcome"] + noise * np.random.default_rng(seed).normal(size=400)
    design = designed(frame, cluster="village" if clustered else None)
    errors = ec.ppi(design, truth="measured").std_error
    assert errors[3] <= min(errors[1], errors[2]) * (1 + 1e-9)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.floats(0.01, 100), shift=st.floats(-50, 50))
def test_order_scale_and_level_move_nothing_else(seed, scale, shift):
    frame = world(seed, n=120)
    plain = ec.ppi(designed(frame), truth="measured")
    moved = frame.sample(frac=1, random_state=seed % 1000)
    moved = moved.assign(mapped=scale * moved["mapped"] + shift, measured=scale * moved["measured"] + shift)
    other = ec.ppi(designed(moved), truth="measured")
    assert other.estimate == pytest.approx(scale * plain.estimate, rel=1e-6, abs=1e-8 * scale)
    assert other.std_error == pytest.approx(scale * plain.std_error, rel=1e-6)
    assert other.power["lambda"].to_numpy() == pytest.approx(plain.power["lambda"].to_numpy(), abs=1e-6)


def test_a_weight_of_two_is_two_units_of_one_cluster():
    frame = world(seed=2, n=200, share=0.5)
    frame["weight"] = np.where(np.arange(200) % 5 == 0, 2.0, 1.0)
    frame["own"] = np.arange(200)
    twice = frame.loc[frame.index.repeat(frame["weight"].astype(int))].reset_index(drop=True)
    tuning = ec.PowerTuning(ddof=0)
    asked = {"truth": "measured", "method": tuning}
    weighted = ec.ppi(designed(frame, weights="weight", cluster="own"), **asked)
    doubled = ec.ppi(designed(twice, cluster="own"), **asked)
    assert weighted.estimate == pytest.approx(doubled.estimate, rel=1e-9)
    assert weighted.power["lambda"].to_numpy() == pytest.approx(doubled.power["lambda"].to_numpy(), rel=1e-9)
    assert plain_errors(weighted) == pytest.approx(plain_errors(doubled), rel=1e-9)


def test_one_weight_for_all_is_no_weight():
    frame = world(weight=7.0)
    plain, weighted = (
        ec.ppi(designed(frame), truth="measured"),
        ec.ppi(designed(frame, weights="weight"), truth="measured", labelling=0.25),
    )
    assert weighted.estimate == pytest.approx(plain.estimate, rel=1e-12)
    assert weighted.std_error == pytest.approx(plain.std_error, rel=1e-12)


# What a result holds --------------------------------------------------------------------------------------------


def test_a_result_tells_and_keeps_all():
    frame = world()
    result = ec.ppi(designed(frame), truth="measured")
    assert result.terms == ("naive", "classical", "ppi", "ppi++")
    assert repr(result).startswith("Ppi(ate by ppi (difference): ppi++ ")
    assert f"n 400, {result.n_labelled} labelled" in repr(result)
    table = result.table().set_index("term")
    assert table.loc["classical", "worth_labels"] == pytest.approx(result.n_labelled)
    assert table.loc["ppi++", "worth_labels"] == pytest.approx(
        result.n_labelled * (result.std_error[1] / result.std_error[3]) ** 2
    )
    assert table.loc["naive", "difference"] == pytest.approx(result.estimate[0] - result.estimate[3])
    gap = result.scores["naive"] - result.scores["ppi++"]
    error = np.sqrt((gap**2).sum() / 400**2 * 400 / 399)
    p_value = 2 * stats.t.sf(abs(table.loc["naive", "difference"]) / error, result.n_labelled - 2)
    assert table.loc["naive", "difference_p"] == pytest.approx(p_value, rel=1e-8)
    assert len(result.summary().splitlines()) <= 25
    assert "labels are worth" in result.summary()
    again = Ppi.from_dict(json.loads(json.dumps(result.to_dict(scores=True))))
    assert again == result
    assert again.with_vcov("hetero").std_error == pytest.approx(result.with_vcov("hetero").std_error)
    assert "labelled" not in result.to_dict()
    ax = result.plot()
    assert [text.get_text().split("\n")[0] for text in ax.get_yticklabels()] == list(result.terms)
    assert (
        result.diagnostics["n_labelled_treated"] + result.diagnostics["n_labelled_control"]
        == result.n_labelled
    )


def test_conley_errors_are_made_of_influence_values():
    frame = world(n=200)
    rng = np.random.default_rng(0)
    frame["lon"], frame["lat"] = 30 + rng.random(200), rng.random(200)
    units = ec.read_units(frame.reset_index(names="id"), id="id", lon="lon", lat="lat")
    result = ec.ppi(ec.Design(units, outcome="mapped", treatment="treated"), truth="measured")
    near = result.with_vcov({"conley": "20km", "kernel": "bartlett"})
    assert near.vcov == "conley(20 km, bartlett)"
    assert (near.std_error != result.std_error).all()


def test_the_method_names_the_chosen_estimate():
    frame = world()
    for method in ("naive", "classical", "ppi", "ppi++"):
        result = ec.ppi(designed(frame), truth="measured", method=method)
        position = result.terms.index(method)
        assert result.best.estimate == result.estimate[position]
        assert result.best.std_error == pytest.approx(result.std_error[position], rel=1e-12)
    half = ec.ppi(designed(frame), truth="measured", method=0.5)
    assert half.chosen == half.terms[3] == "ppi(0.5)"


def test_labels_by_whole_villages_cluster_standard_errors():
    frame = world()
    frame["measured"] = frame["outcome"].where(frame["village"] % 3 == 0)
    drawn = ec.Labelling(cluster="village")
    result = ec.ppi(designed(frame), truth="measured", labelling=drawn)
    assert result.vcov == "cluster(village)"
    frame["district"] = frame["village"] // 5
    coarser = ec.ppi(designed(frame, cluster="district"), truth="measured", labelling=drawn)
    assert coarser.vcov == "cluster(district)"
    finer = ec.ppi(
        designed(frame, cluster="village"), truth="measured", labelling=ec.Labelling(cluster="district")
    )
    assert finer.vcov == "cluster(district)"
    frame["other"] = np.arange(400) % 20
    crossed = ec.ppi(designed(frame, cluster="other"), truth="measured", labelling=drawn)
    assert crossed.vcov == "cluster(other & village)"


def test_words_say_what_labels_reject():
    rng = np.random.default_rng(0)
    frame = world(n=2000)
    shrunk = ec.ppi(designed(frame), truth="measured")
    assert any("labels reject the plain difference" in text for text in shrunk.words())
    assert shrunk.words()[-1].startswith("labels contradict naive (p ")
    assert shrunk.words()[-1].endswith("believe ppi++")
    frame["mapped"] = frame["treated"] + rng.normal(size=2000)
    frame["measured"] = (frame["mapped"] + rng.normal(size=2000)).where(frame["measured"].notna())
    surrogate = ec.ppi(designed(frame), truth="measured")
    assert any("labels reject the correction for shrinkage" in text for text in surrogate.words())
    assert surrogate.words()[-1].startswith("labels do not contradict naive (p ")
    assert ": believe ppi++, or naive (standard error 0.0" in surrogate.words()[-1]
    assert "lambda" not in " ".join(surrogate.words())


def mapped_trial(differential, seed=0, n=3000):
    """A trial with labels, and a calibration from elsewhere, in the two worlds of errors."""
    rng = np.random.default_rng(seed)

    def drawn(size, effect):
        treated, age = np.tile([0, 1], size // 2), rng.normal(size=size)
        outcome = effect * treated + age + rng.normal(size=size)
        if differential:
            mapped = effect * treated + 0.8 * age + 0.6 * rng.normal(size=size)
            return treated, age, mapped, mapped + 0.9 * rng.normal(size=size)
        return treated, age, 0.6 * outcome + 0.5 * rng.normal(size=size), outcome

    _, _, mapped, outcome = drawn(600, 0.0)
    calibration = pd.DataFrame({"mapped": mapped, "outcome": outcome}, index=[f"c{i}" for i in range(600)])
    columns = dict(zip(("treated", "age", "mapped", "outcome"), drawn(n, 0.8)))
    frame = pd.DataFrame(columns)
    frame["measured"] = frame["outcome"].where(rng.random(n) < 0.2)
    return frame, ec.debias(calibration, prediction="mapped", truth="outcome")


def test_labels_say_which_correction_to_believe():
    frame, corrector = mapped_trial(differential=False)
    result = ec.ppi(designed(frame), truth="measured", correct=corrector)
    table = result.table().set_index("term")
    assert table.index.tolist() == ["naive", "classical", "ppi", "ppi++", "lcc", "tweedie"]
    corrected = ec.ate(designed(frame), method="difference", correct=corrector)
    assert table.loc[["naive", "lcc", "tweedie"], "estimate"].tolist() == pytest.approx(
        corrected.estimate.tolist()
    )
    assert table.loc[["lcc", "tweedie"], "std_error"].tolist() == pytest.approx(
        corrected.std_error.tolist()[1:]
    )
    gap = ec.contrast(corrected.fit, "lcc") - result.best
    assert table.loc["lcc", "difference"] == pytest.approx(gap.estimate)
    assert table.loc["lcc", "difference_p"] == pytest.approx(gap.p_value(), rel=1e-2)
    said = result.words()[-1]
    assert said.startswith("labels contradict naive (p ")
    assert " but not lcc (p " in said
    assert any(text.startswith("corrected without labels: ") for text in result.warnings)
    again = Ppi.from_dict(json.loads(json.dumps(result.to_dict(scores=True))))
    assert again == result
    assert again.words() == result.words()
    assert len(result.plot().get_yticklabels()) == 6
    assert result.with_vcov("hetero").table()["difference_p"].notna().sum() == 5


def test_labels_contradict_corrections_where_naive_is_right():
    frame, corrector = mapped_trial(differential=True)
    result = ec.ppi(designed(frame, covariates=["age"]), truth="measured", correct=corrector, adjust="aipw")
    said = result.words()[-1]
    assert said.startswith("labels contradict lcc (p ")
    assert " but not naive (p " in said
    assert ": believe ppi++" in said


# What is refused, and what is said ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "asked", "words"),
    [
        ({}, {"truth": "mesured"}, "Did you mean 'measured'"),
        ({}, {"truth": "mapped"}, "Prediction and truth are the same column"),
        ({}, {"truth": "treated"}, "is among the treatment"),
        ({}, {"truth": 3}, "truth is a int, not the name of a column"),
        ({"measured": np.nan}, {}, "No unit is labelled"),
        ({"measured": "high"}, {}, "is not numeric"),
        ({"measured": np.inf}, {}, "holds infinite values"),
        ({"said": True}, {"labelled": "said"}, "are labelled by 'said' and have no truth"),
        ({"said": 2}, {"labelled": "said"}, "is not true or false for all units"),
        ({"chance": 30.0}, {"labelling": "chance"}, "a share such as 0.1, not a percentage"),
        ({"chance": 0.0}, {"labelling": "chance"}, "not above 0 and at most 1"),
        ({"chance": 1.0}, {"labelling": "chance"}, "Units with a probability of 1 of being labelled"),
        ({}, {"labelling": 0.0}, "above 0 and at most 1"),
        ({}, {"labelling": [0.5]}, "labelling is a list"),
        ({"zone": [None] * 400}, {"labelling": ec.Labelling(strata="zone")}, "Strata 'zone' are missing"),
        ({"own": np.arange(400)}, {"labelling": ec.Labelling(strata="own")}, "or use coarser strata"),
        ({"seen": True}, {"labelling": ec.Labelling(trained_on="seen")}, "All units trained the model"),
        ({}, {"method": "ppi+"}, "Did you mean"),
        ({}, {"method": np.nan}, "a finite number, or None to tune it"),
        ({}, {"estimand": "att"}, "estimand='att' is not known"),
        ({}, {"adjust": "regression"}, "adjust='regression' is not known"),
        ({}, {"adjust": "aipw", "estimand": "mean"}, "compares two arms"),
        ({}, {"correct": 1, "estimand": "mean"}, "correct= compares two arms"),
        (
            {"chance": np.where(np.arange(400) % 4, 0.5, 0.1)},
            {"labelling": "chance", "method": ec.PowerTuning(pooled=True)},
            "pooled=True.* takes units as independent",
        ),
    ],
)
def test_what_is_refused(change, asked, words):
    frame = world().assign(**change)
    with pytest.raises(DebiasError, match=words):
        ec.ppi(designed(frame), **{"truth": "measured", **asked})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mapped": np.nan}, "have no outcome 'mapped'"),
        ({"mapped": np.inf}, "'mapped' holds infinite values"),
        ({"mapped": 3.0}, "'mapped' has the same value for all 400 units"),
        ({"weight": -1.0}, "Weights 'weight' must be positive"),
    ],
)
def test_predictions_and_weights_that_the_design_refuses(change, words):
    frame = world(weight=1.0)
    design = ec.Design(frame.assign(**change), outcome="outcome", treatment="treated")
    with pytest.raises(DesignError, match=words):
        design = ec.Design(frame.assign(**change), outcome="mapped", treatment="treated", weights="weight")
    if "mapped" in change:
        with pytest.raises(DesignError, match=words):
            ec.ppi(design, truth="measured", prediction="mapped")


@pytest.mark.parametrize("adjust", ["difference", "aipw"])
def test_an_arm_without_labels_is_refused(adjust):
    frame = world()
    frame["measured"] = frame["measured"].where(frame["treated"] == 0)
    with pytest.raises(
        DebiasError, match="Labels are missing for an arm: treated has 0 labelled of 200 units"
    ):
        ec.ppi(designed(frame, covariates=["age"]), truth="measured", adjust=adjust)


def test_other_designs_are_refused():
    with pytest.raises(DebiasError, match="design is a DataFrame"):
        ec.ppi(world(), truth="measured")
    doses = world().assign(treated=np.linspace(0, 1, 400))
    with pytest.raises(DesignError, match="continuous"):
        ec.ppi(designed(doses, treatment_type="continuous"), truth="measured")


def said_of(frame, words, **asked):
    result = ec.ppi(designed(frame), truth="measured", **asked)
    assert any(words in text for text in result.warnings), result.warnings
    return result


def test_few_labels_are_said():
    frame = world()
    frame["measured"] = frame["outcome"].where(
        (np.arange(400) < 8) | ((np.arange(400) < 80) & (frame["treated"] == 0))
    )
    said_of(frame, "arm 'treated' has 4 labelled units: with fewer than 10")


def test_an_arm_labelled_in_one_cluster_is_said():
    frame = world()
    frame["treated"] = frame["village"] % 2
    frame["measured"] = frame["outcome"].where((frame["village"] == 7) | (frame["village"] % 4 == 0))
    result = ec.ppi(designed(frame, cluster="village"), truth="measured")
    assert any("all labels of arm 'treated' are in one cluster" in text for text in result.warnings)
    assert not any("all labels of arm 'control'" in text for text in result.warnings)


def test_other_units_are_said_with_numbers():
    frame = world()
    frame["mapped"] /= 1000
    said_of(frame, "are both in the same unit of measurement?")


def test_a_reversed_sign_is_said_and_predictions_left_out():
    frame = world()
    frame["mapped"] *= -1
    result = said_of(frame, "is their sign reversed?")
    assert (result.power["lambda"] == 0).all()
    assert result.estimate[3] == result.estimate[1]


def test_predictions_that_cost_precision_are_said():
    frame = world()
    frame["mapped"] = 3 * np.random.default_rng(0).normal(size=400)
    said_of(frame, "taken whole (lambda 1), predictions cost precision")


def test_labels_that_are_not_random_are_said():
    frame = world()
    frame["measured"] = frame["outcome"].where(frame["outcome"] > 1)
    said_of(frame, "do not look drawn at random")


def test_probabilities_that_labels_belie_are_said():
    said_of(world(), "by their probabilities 320 should be", labelling=0.8)


def test_a_naive_choice_that_labels_contradict_is_said():
    frame = world(n=2000)
    said_of(frame, "labels contradict the chosen estimate: naive is not ppi++", method="naive")
    frame["mapped"] = frame["outcome"]
    result = ec.ppi(designed(frame), truth="measured", method="naive")
    assert not any("contradict" in text for text in result.warnings)


def test_units_that_had_to_be_labelled_leave_no_others_like_them():
    frame = world()
    frame["chance"] = np.where(frame["age"] > 1, 1.0, 0.3)
    frame["measured"] = frame["outcome"].where((frame["chance"] == 1) | frame["measured"].notna())
    asked = {"truth": "measured", "labelling": "chance"}
    with pytest.raises(DebiasError, match="cannot stand for them"):
        ec.ppi(designed(frame), method=ec.PowerTuning(average="unlabelled"), **asked)
    assert np.isfinite(ec.ppi(designed(frame), **asked).estimate).all()


@pytest.mark.parametrize(
    ("kind", "settings_of", "words"),
    [
        (ec.Labelling, {"strata": 3}, "strata is a int, not the name of a column"),
        (ec.Labelling, {"probability": 1.5}, "above 0 and at most 1"),
        (ec.Labelling, {"probability": True}, "above 0 and at most 1"),
        (ec.PowerTuning, {"lam": np.inf}, "a finite number"),
        (ec.PowerTuning, {"average": "some"}, "average='some' is not known"),
        (ec.PowerTuning, {"ddof": 2}, "0 or 1"),
        (ec.PowerTuning, {"bounds": (1, 0)}, "the lower before the higher"),
    ],
)
def test_settings_that_are_refused(kind, settings_of, words):
    with pytest.raises(DebiasError, match=words):
        kind(**settings_of)


def test_truths_that_are_not_used_are_said():
    frame = world(said=np.arange(400) < 200)
    frame["measured"] = frame["outcome"]
    result = said_of(frame, "have a truth and are not labelled by 'said': it is not used", labelled="said")
    assert result.n_labelled == 200


def test_rows_that_trained_the_map_are_left_out_and_counted():
    frame = world(seen=np.arange(400) < 100)
    result = said_of(
        frame,
        "left out: 100 units (50 treated, 50 control) that the model",
        labelling=ec.Labelling(trained_on="seen"),
    )
    assert result.n == 300
    without = ec.ppi(designed(frame[100:]), truth="measured")
    assert result.estimate == pytest.approx(without.estimate, rel=1e-12)


def test_labels_that_test_nothing_are_said():
    frame = world()
    frame["measured"] = (frame["treated"] * 1.0).where(frame["measured"].notna())
    result = said_of(frame, "the error of predictions could not be tested")
    assert result.label_tests is None


def test_a_lambda_of_ones_own_is_not_told_as_tuned():
    frame = world()
    frame["mapped"] *= -1
    half = said_of(frame, "Lambda is 0.5 there", method=0.5)
    wide = said_of(frame, "Lambda is -", method=ec.PowerTuning(bounds=(-2, 2)))
    assert not any("ppi++" in text for text in half.warnings)
    assert not any("left out there" in text for one in (half, wide) for text in one.warnings)
    said_of(frame, "They are left out there")


def test_warnings_of_standard_errors_change_with_them():
    def contradiction(result):
        return next(text for text in result.warnings if "contradict" in text)

    frame = world(n=2000)
    frame["pair"] = np.arange(len(frame)) // 2
    found = ec.ppi(designed(frame), truth="measured", method="naive")
    other = found.with_vcov({"cluster": frame["pair"]})
    assert contradiction(other).endswith(f"(p {other.table()['difference_p'][0]:.2g})")
    assert contradiction(other.with_vcov("iid")) == contradiction(found)


def test_labels_in_one_fold_teach_doubly_robust_scores_nothing():
    frame = world()
    frame["village"] = np.arange(len(frame)) // 8
    frame["measured"] = frame["outcome"].where(frame["village"] == 3)
    design = designed(frame, covariates=["age"], cluster="village")
    with pytest.raises(DebiasError, match="one fold is left with 0 treated and 0 control") as told:
        ec.ppi(design, truth="measured", adjust="aipw")
    assert "adjust='difference'" in str(told.value)


def test_few_labels_stay_few_in_comparisons():
    frame = world(n=400)
    rows = [*np.flatnonzero(frame["treated"] == 1)[:6], *np.flatnonzero(frame["treated"] == 0)[:6]]
    frame["measured"] = frame["outcome"].where(np.isin(np.arange(400), rows))
    design = designed(frame)
    found, naive = ec.ppi(design, truth="measured"), ec.ate(design, method="difference")
    assert found.best.variance.df == 10
    assert ec.compare(powered=found.best, naive=naive).variance.df == 10
    assert ec.contrast(found.fit, "naive", against="ppi++").variance.df == 10
    difference = naive - found.best
    assert difference.p_value() == pytest.approx(found.table()["difference_p"][0], rel=0.01)
