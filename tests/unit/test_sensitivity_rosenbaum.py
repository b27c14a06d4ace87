"""Rosenbaum's bounds of results: who is compared, by which test, and what is said."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

import eocausal as ec
from eocausal.errors import SensitivityError
from eocausal.reporting.blocks import Table
from eocausal.reporting.unseen import sensitivity_blocks
from eocausal.sensitivities.result import Sensitivity
from eocausal.sensitivities.result_outcome import expected_of
from eocausal.sensitivities.rosenbaum_sentence import Said, sentence
from eocausal.sensitivities.signed_rank_bounds import mcnemar_p, signed_rank_extremes
from tests.unit.test_signed_rank_bounds import CONTROLS, EXPOSED


def study(n: int = 240, *, effect: float = 1.0, seed: int = 0, **columns: Any) -> pd.DataFrame:
    """Units that select into treatment by x; fewer are treated."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    treated = (rng.random(n) < 1 / (1 + np.exp(1 - 0.7 * x))).astype(int)
    table = pd.DataFrame({"x": x, "treated": treated, "z": rng.normal(size=n)})
    table["y"] = effect * treated + x + rng.normal(size=n)
    table.index = pd.Index([f"u{k:03d}" for k in range(n)], name="unit")
    return table.assign(**columns)


def result_of(table: pd.DataFrame, *, method: str = "ipw", **options: Any) -> Any:
    named = {"outcome": "y", "treatment": "treated", "covariates": ["x"], **options}
    return ec.ate(ec.Design(table, **named), method=method)


def lead() -> pd.DataFrame:
    """The published pairs, a row for each child."""
    pair = np.repeat(np.arange(33), 2)
    level = np.column_stack([EXPOSED, CONTROLS]).ravel().astype(float)
    return pd.DataFrame({"pair": pair, "treated": np.tile([1, 0], 33), "y": level})


@pytest.fixture(scope="module")
def found() -> Sensitivity:
    return ec.sensitivity(result_of(study(), method="aipw"), kind="rosenbaum")


def test_the_lead_study_through_the_verb() -> None:
    """p-values of Rosenbaum (2002), chapter 4, by strata that are given."""
    result = result_of(lead(), method="difference", covariates=[])
    one = ec.sensitivity(result, kind="rosenbaum", strata="pair", gammas=(1, 2, 3, 4, 4.25, 5, 6))
    expected = [5.06e-6, 0.00179, 0.01362, 0.03879, 0.04683, 0.07399, 0.11502]
    assert np.allclose(one.frame["p_upper"], expected, rtol=1.5e-3)
    assert one.frame["estimate_low"].iloc[:3].tolist() == pytest.approx([15, 10.25, 8], abs=1e-6)
    assert one.frame["estimate_high"].iloc[:3].tolist() == pytest.approx([15, 19.5, 23], abs=1e-6)
    assert one.numbers["gamma"] == pytest.approx(4.344, abs=1e-3)
    assert one.numbers["n_sets"] == 33
    assert one.diagnostics["statistic"] == "signed_rank"
    assert "33 pairs of a treated and a control unit" in one.sentence
    assert "more than a factor of 4.34" in one.sentence
    # a Series by unit id is the same as a column
    table = lead()
    again = ec.sensitivity(result, kind="rosenbaum", strata=table["pair"], gammas=(4,))
    assert again.frame["p_upper"].iloc[0] == one.frame["p_upper"].iloc[3]


def test_pairs_are_matched_on_the_propensity_of_the_estimate(found: Sensitivity) -> None:
    table = study()
    n_treated = int(table["treated"].sum())
    assert found.diagnostics["matched_on"] == "the propensity of the estimate"
    assert found.diagnostics["smaller_arm"] == "treated"
    assert found.numbers["n_sets"] <= n_treated
    assert abs(found.diagnostics["smd_logit_after"]) < 0.1 < found.diagnostics["smd_logit_before"]
    left = n_treated - int(found.numbers["n_sets"])
    controls = len(table) - n_treated - int(found.numbers["n_sets"])
    assert any(
        f"{left} treated and {controls} control units without a partner" in one for one in found.warnings
    )
    assert any("of the treated units that have a partner" in one for one in found.assumptions)


def test_the_table_is_that_of_the_pairs_by_hand() -> None:
    table = study(60, seed=3)
    result = result_of(table, propensity=0.5, covariates=[])
    table["pair"] = np.nan
    treated, controls = (table.index[table["treated"] == arm] for arm in (1, 0))
    n = min(treated.size, controls.size)
    table.loc[treated[:n], "pair"] = table.loc[controls[:n], "pair"] = np.arange(n)
    one = ec.sensitivity(result, kind="rosenbaum", strata=table["pair"], gammas=(1, 2))
    differences = table.loc[treated[:n], "y"].to_numpy() - table.loc[controls[:n], "y"].to_numpy()
    for row, gamma in enumerate((1.0, 2.0)):
        extremes = signed_rank_extremes(differences, gamma)
        assert one.frame["p_upper"][row] == pytest.approx(norm.sf(extremes.above_most))
        assert one.frame["p_lower"][row] == pytest.approx(norm.sf(extremes.above_least))
    none = f"{treated.size - n} treated and {controls.size - n} control units have no stratum"
    assert any(none in text for text in one.warnings)


def test_nested_monotone_and_alike_without_hidden_bias(found: Sensitivity) -> None:
    frame = found.frame
    assert frame["gamma"].tolist() == [1, 1.25, 1.5, 2, 3, 4, 5]
    assert (np.diff(frame["p_upper"]) >= 0).all()
    assert (np.diff(frame["p_lower"]) <= 0).all()
    for low in ("estimate_low", "conf_low"):
        assert (np.diff(frame[low]) <= 1e-9).all()
    for high in ("estimate_high", "conf_high"):
        assert (np.diff(frame[high]) >= -1e-9).all()
    first = frame.iloc[0]
    assert first["p_upper"] == pytest.approx(first["p_lower"])
    assert first["estimate_low"] == pytest.approx(first["estimate_high"]) == found.numbers["estimate"]
    assert 1 < found.numbers["gamma_two_sided"] < found.numbers["gamma"]
    between = frame[(frame["gamma"] > found.numbers["gamma_two_sided"])]
    assert (between["conf_low"] < 0).all()


def test_scale_sign_and_order_of_rows_do_not_matter(found: Sensitivity) -> None:
    table = study()
    shuffled = table.sample(frac=1.0, random_state=1)
    gamma = ec.sensitivity(result_of(table), kind="rosenbaum").numbers["gamma"]
    scaled = ec.sensitivity(result_of(table.assign(y=1000 * table["y"] + 7)), kind="rosenbaum")
    assert scaled.numbers["gamma"] == pytest.approx(gamma)
    turned = ec.sensitivity(result_of(table.assign(y=-table["y"])), kind="rosenbaum")
    assert turned.numbers["gamma"] == pytest.approx(gamma)
    assert turned.frame["estimate_high"].iloc[-1] == pytest.approx(
        -scaled.frame["estimate_low"].iloc[-1] / 1000
    )
    assert "y is lower with treatment" in turned.sentence
    known = ec.Learners(propensity="logit")
    results = [
        ec.ate(
            ec.Design(one, outcome="y", treatment="treated", covariates=["x"]), method="ipw", learners=known
        )
        for one in (table, shuffled)
    ]
    values = [ec.sensitivity(one, kind="rosenbaum", benchmark="x").frame for one in results]
    columns = ["p_upper", "p_lower", "estimate_low", "conf_high"]
    assert np.allclose(values[0][columns], values[1][columns], rtol=1e-6, atol=1e-12)


def test_methods_without_a_propensity_have_one_learned() -> None:
    one = ec.sensitivity(result_of(study(120), method="ols"), kind="rosenbaum", gammas=[1])
    assert "learned out of fold" in one.diagnostics["matched_on"]
    assert abs(one.diagnostics["smd_logit_after"]) < abs(one.diagnostics["smd_logit_before"])


def test_repeats_of_the_folds_are_averaged() -> None:
    design = ec.Design(study(120), outcome="y", treatment="treated", covariates=["x"])
    result = ec.ate(design, folds=ec.Folds(k=3, repeats=3))
    assert ec.sensitivity(result, kind="rosenbaum", gammas=[1]).numbers["n_sets"] > 10


def test_the_smaller_arm_is_paired_and_without_a_caliper_all_of_it() -> None:
    table = study(150)
    table["treated"] = 1 - table["treated"]
    one = ec.sensitivity(result_of(table), kind="rosenbaum", caliper=None, gammas=[1])
    assert one.diagnostics["smaller_arm"] == "control"
    assert one.numbers["n_sets"] == (table["treated"] == 0).sum()
    narrow = ec.sensitivity(result_of(table), kind="rosenbaum", caliper=0.02, gammas=[1])
    assert narrow.numbers["n_sets"] < one.numbers["n_sets"]


def test_pairs_that_stay_unlike_are_said() -> None:
    """Arms of equal size that are far apart: without a caliper everyone is paired, with whomever."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=200)
    table = pd.DataFrame({"x": x, "treated": (x + 0.5 * rng.normal(size=200) > 0).astype(int)})
    table["y"] = 2 * x + rng.normal(size=200)
    wide, narrow = (
        ec.sensitivity(result_of(table), kind="rosenbaum", caliper=one, gammas=[1], adjust=False)
        for one in (None, 0.05)
    )
    assert wide.diagnostics["smd_logit_after"] > 0.5 > 0.1 > abs(narrow.diagnostics["smd_logit_after"])
    assert any("still differs by" in text for text in wide.warnings)
    assert not any("still differs by" in text for text in narrow.warnings)
    assert wide.diagnostics["expected_gap"] > 3
    assert any("adjust=True takes it off" in text for text in wide.warnings)


def test_residuals_take_off_what_pairs_leave_unlike() -> None:
    """No effect, arms of equal size, and an outcome that is nearly all x."""
    rng = np.random.default_rng(7)
    x = rng.normal(size=500)
    table = pd.DataFrame({"x": x, "treated": (rng.random(500) < 1 / (1 + np.exp(-x))).astype(int)})
    table["y"] = 4 * x + 0.5 * rng.normal(size=500)
    result = result_of(table)
    plain, adjusted, usual = (
        ec.sensitivity(result, kind="rosenbaum", gammas=[1], adjust=adjust) for adjust in (False, True, None)
    )
    assert abs(adjusted.numbers["estimate"]) < 0.1 < abs(plain.numbers["estimate"])
    for one in (adjusted, usual):
        assert "test of residuals from predictions by covariates)" in one.sentence
    assert usual.frame.equals(adjusted.frame)
    assert adjusted.diagnostics["expected_gap"] == 0
    # strata that are given are compared as they are
    table["place"] = np.arange(500) // 10
    given = ec.sensitivity(result_of(table), kind="rosenbaum", gammas=[1], strata="place")
    assert not given.diagnostics["adjusted"]


def test_residuals_do_not_know_who_was_treated() -> None:
    """As fixed as the outcome under no effect: neither models nor folds look at the treatment."""
    table = study(120)
    other = table.assign(treated=np.random.default_rng(3).permutation(table["treated"]))
    first, second = (expected_of(result_of(one)) for one in (table, other))
    assert first is not None
    assert second is not None
    assert np.array_equal(first.outcome, second.outcome)
    assert not np.array_equal(first.treatment, second.treatment)


def test_residuals_of_unlike_pairs_have_the_effect_still() -> None:
    """Pairs at random: the expected treatment differs within them, and takes its share of the effect."""
    rng = np.random.default_rng(4)
    x = np.sort(rng.normal(size=600))
    table = pd.DataFrame({"x": x, "treated": (rng.random(600) < 1 / (1 + np.exp(-1.5 * x))).astype(int)})
    table["y"] = 3 * table["treated"] + x + 0.5 * rng.normal(size=600)
    whole = ec.sensitivity(result_of(table), kind="rosenbaum", gammas=[1], caliper=None)
    low, high = whole.frame[["conf_low", "conf_high"]].iloc[0]
    assert low < 3 < high
    assert high - low < 0.5
    assert any("residuals are y less what covariates predict" in one for one in whole.assumptions)
    part = table.groupby("treated").cumcount()
    pair = part.where(part < table["treated"].value_counts().min())
    given = ec.sensitivity(result_of(table), kind="rosenbaum", gammas=[1], strata=pair, adjust=True)
    assert given.numbers["estimate"] == pytest.approx(3, abs=0.15)
    # in strata of several the same
    ten = pd.Series(rng.permutation(600) // 10, index=table.index)
    several = ec.sensitivity(result_of(table), kind="rosenbaum", gammas=[1], strata=ten, adjust=True)
    assert several.numbers["estimate"] == pytest.approx(3, abs=0.15)


@pytest.mark.parametrize("statistic", ["signed_rank", "aligned_rank"])
def test_units_of_measure_do_not_part_what_is_tied(statistic: str) -> None:
    rng = np.random.default_rng(1)
    table = pd.DataFrame({"pair": np.repeat(np.arange(40), 2), "treated": np.tile([1, 0], 40)})
    whole = rng.integers(0, 6, 80) + table["treated"]
    p_values = [
        ec.sensitivity(
            result_of(table.assign(y=whole * unit + shift), method="difference", covariates=[]),
            kind="rosenbaum", strata="pair", statistic=statistic, gammas=[1],
        ).numbers["p_value"]
        for unit, shift in ((1, 0), (0.1, 0), (0.001, 0), (1e9, 0), (0.1, 1234.5))
    ]  # fmt: skip
    assert p_values == pytest.approx([p_values[0]] * 5, rel=1e-12)


def test_corrected_outcomes_are_compared_as_corrected() -> None:
    rng = np.random.default_rng(0)
    measured = rng.normal(size=300)
    places = pd.DataFrame({"truth": measured, "map": 0.5 * measured + 0.3 * rng.normal(size=300)})
    fix = ec.debias(places, prediction="map", truth="truth", method="lcc")
    table = study(150)
    table["y"] = 0.5 * table["y"] + 0.3 * rng.normal(size=150)
    result = ec.ate(ec.Design(table, outcome="y", treatment="treated", covariates=["x"]), correct=fix)
    plain = ec.ate(ec.Design(table, outcome="y", treatment="treated", covariates=["x"]))
    one, naive = (
        ec.sensitivity(each, kind="rosenbaum", gammas=[1], adjust=False) for each in (result, plain)
    )
    assert one.frame["p_upper"][0] == pytest.approx(naive.frame["p_upper"][0])
    assert one.numbers["estimate"] == pytest.approx(naive.numbers["estimate"] / fix.k, rel=1e-6)
    assert any("error of its calibration does not enter" in text for text in one.warnings)


def test_outcomes_of_0_and_1_are_compared_by_mcnemar() -> None:
    table = study(200, seed=1)
    table["y"] = (table["y"] > 0.5).astype(int)
    one = ec.sensitivity(result_of(table), kind="rosenbaum", benchmark="x")
    assert one.diagnostics["statistic"] == "mcnemar"
    assert list(one.frame.columns) == ["gamma", "p_upper", "p_lower"]
    assert "estimate" not in one.numbers
    turned = ec.sensitivity(result_of(table.assign(y=1 - table["y"])), kind="rosenbaum", benchmark="x")
    assert np.allclose(turned.frame, one.frame)
    one.plot()


def test_mcnemar_counts_pairs_that_differ() -> None:
    outcome = np.array([[1, 0]] * 9 + [[0, 1]] * 3 + [[1, 1]] * 4 + [[0, 0]] * 5).ravel()
    table = pd.DataFrame({"y": outcome, "treated": np.tile([1, 0], 21), "pair": np.repeat(np.arange(21), 2)})
    one = ec.sensitivity(
        result_of(table, method="difference", covariates=[]), kind="rosenbaum", strata="pair", gammas=[2]
    )
    assert (one.frame["p_upper"][0], one.frame["p_lower"][0]) == pytest.approx(mcnemar_p(9, 12, 2.0))


def test_the_mean_in_strata_is_the_regression_with_effects_of_strata() -> None:
    table = study(160, seed=2)
    table["place"] = pd.qcut(table["x"], 12, labels=False)
    result = result_of(table, method="ols")
    one = ec.sensitivity(result, kind="rosenbaum", strata="place", statistic="mean", gammas=(1, 1.5))
    dummies = pd.get_dummies(table["place"]).to_numpy(dtype=float)
    columns = np.column_stack([table["treated"], dummies])
    coefficient = np.linalg.lstsq(columns, table["y"].to_numpy(), rcond=None)[0][0]
    assert one.numbers["estimate"] == pytest.approx(coefficient, abs=1e-7)
    assert "equal_amplification" not in one.numbers
    assert "12 strata of treated and control units" in one.sentence
    ranked = ec.sensitivity(result, kind="rosenbaum", strata="place", gammas=(1, 1.5))
    assert ranked.diagnostics["statistic"] == "aligned_rank"
    assert ranked.numbers["estimate"] == pytest.approx(coefficient, abs=0.3)
    table["y"] = (table["y"] > 0).astype(int)
    counted = ec.sensitivity(result_of(table, method="ols"), kind="rosenbaum", strata="place", gammas=[1])
    assert counted.diagnostics["statistic"] == "mantel_haenszel"


def test_the_mantel_haenszel_test_without_hidden_bias_is_that_of_statsmodels() -> None:
    from statsmodels.stats.contingency_tables import StratifiedTable

    table = study(160, seed=2)
    table["place"] = pd.qcut(table["x"], 6, labels=False)
    table["y"] = (table["y"] > 0).astype(int)
    counted = ec.sensitivity(result_of(table, method="ols"), kind="rosenbaum", strata="place", gammas=[1])
    tables = [pd.crosstab(part["treated"], part["y"]).to_numpy() for _, part in table.groupby("place")]
    expected = StratifiedTable(tables).test_null_odds(correction=False)
    assert counted.frame["p_upper"][0] == pytest.approx(expected.pvalue / 2)


def test_clusters_that_were_treated_as_one_are_compared_as_one() -> None:
    rng = np.random.default_rng(0)
    village = np.repeat(np.arange(60), 5)
    treated = rng.permutation(np.arange(60) % 2)[village]
    table = pd.DataFrame({"village": village, "treated": treated, "x": rng.normal(size=300)})
    table["y"] = treated + rng.normal(size=60)[village] + rng.normal(size=300)
    result = result_of(table, cluster="village")
    one = ec.sensitivity(result, kind="rosenbaum", gammas=[1], caliper=None)
    assert one.numbers["n_sets"] == 30
    assert any("the means of 60 clusters" in text for text in one.warnings)
    assert "pairs of a treated and a control cluster" in one.sentence
    means = table.groupby("village")[["y", "treated"]].mean()
    pair = means.groupby("treated").cumcount()
    labels = pd.Series(pair.reindex(table["village"]).to_numpy(), index=table.index)
    given = ec.sensitivity(result, kind="rosenbaum", gammas=[1], strata=labels)
    order = [means[means["treated"] == arm]["y"].to_numpy() for arm in (1, 0)]
    expected = norm.sf(signed_rank_extremes(order[0] - order[1], 1.0).above_most)
    assert given.frame["p_upper"][0] == pytest.approx(expected)
    with pytest.raises(SensitivityError, match="in several strata"):
        ec.sensitivity(result, kind="rosenbaum", strata=pd.Series(np.arange(300) % 7, index=table.index))


def test_clusters_of_both_arms_and_weights_are_spoken_of() -> None:
    table = study(200, region=np.arange(200) % 20, w=np.linspace(1, 2, 200))
    one = ec.sensitivity(result_of(table, cluster="region", weights="w"), kind="rosenbaum", gammas=[1])
    assert any(
        "cluster(region); here pairs and strata are taken as independent" in text for text in one.warnings
    )
    assert any("sampling weights do not enter" in text for text in one.warnings)


def images(n: int, values: np.ndarray) -> Any:
    frame = pd.DataFrame(values).add_prefix("f").assign(village=np.arange(n))
    return ec.read_embeddings(frame, key="village")


def test_image_features_that_decide_on_treatment_are_a_strong_benchmark() -> None:
    rng = np.random.default_rng(2)
    n = 500
    pictures = rng.normal(size=(n, 6)).astype(np.float32)
    table = pd.DataFrame({"village": np.arange(n), "x": rng.normal(size=n), "idle": rng.normal(size=n)})
    table["treated"] = (rng.random(n) < 1 / (1 + np.exp(1 - 1.2 * pictures[:, 0]))).astype(int)
    table["y"] = table["treated"] + pictures[:, 0] + rng.normal(size=n)
    table["lon"], table["lat"] = 30 + rng.random(n), rng.random(n)
    units = ec.read_units(table, id="village", lon="lon", lat="lat")
    design = ec.Design(
        units, outcome="y", treatment="treated", covariates=["x", "idle"], features=images(n, pictures)
    )
    one = ec.sensitivity(
        ec.ate(design), kind="rosenbaum", benchmark=["features", "idle", "coordinates"], gammas=[1]
    )
    ratios = one.curves["benchmarks"].set_index("benchmark")
    # two draws from a normal with the coefficient 1.2: exp(1.2 sqrt(2) 0.67) = 3.1 in the median without matching
    assert 1.8 < ratios.loc["features", "median"] < 4.5
    assert ratios.loc["idle", "percentile_95"] < 1.6 < 4 < ratios.loc["features", "percentile_95"]
    assert (ratios["median"] <= ratios["percentile_95"]).all()
    assert (ratios["percentile_95"] <= ratios["largest"]).all()
    assert "coordinates" in ratios.index
    assert "Leaving all image features unseen" in one.sentence


def test_a_result_that_was_read_back_is_the_same_and_draws(found: Sensitivity) -> None:
    content = json.loads(json.dumps(found.to_dict(scores=True), allow_nan=False))
    again = Sensitivity.from_dict(content)
    assert again.to_dict(scores=True) == found.to_dict(scores=True)
    figure = again.plot()
    assert len(figure.axes) == 2
    assert figure.axes[0].get_yscale() == "log"
    labels = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert labels == ["1", "0.1", "0.01", "0.001", "0.0001"]
    spread = figure.axes[1].lines[0].get_ydata()
    assert np.asarray(spread).size == len(found.frame)
    assert repr(found).count("\n") == 0
    assert len(found.summary().splitlines()) <= 25


def test_without_anything_to_compare_with_it_is_drawn_all_the_same() -> None:
    result = result_of(study(80), method="difference", covariates=[])
    one = ec.sensitivity(result, kind="rosenbaum", gammas=[1, 2], adjust=True)
    assert one.curves["benchmarks"].empty
    assert any("nothing predicts the outcome" in text for text in one.warnings)
    assert len(one.plot().axes) == 2


def test_units_that_were_trimmed_are_told_of() -> None:
    design = ec.Design(study(200), outcome="y", treatment="treated", covariates=["x"])
    result = ec.ate(design, method="ipw", trim=ec.Trim("fixed", low=0.2, high=0.5))
    trimmed = next(text for text in result.warnings if text.startswith("trimming (fixed) left out"))
    assert trimmed in ec.sensitivity(result, kind="rosenbaum", gammas=[1]).warnings


def test_few_strata_of_many_units_are_not_few() -> None:
    table = study(200)
    table["half"] = (table["x"] > 0).astype(int)
    wide = ec.sensitivity(result_of(table), kind="rosenbaum", strata="half", gammas=[1])
    assert wide.numbers["n_sets"] == 2
    assert not any("few for the normal" in text for text in wide.warnings)


def test_the_table_of_the_report_says_what_its_bounds_are(found: Sensitivity) -> None:
    table = next(one for one in sensitivity_blocks([found]) if isinstance(one, Table))
    assert table.columns == (
        "Gamma", "Largest p", "Smallest p", "Estimates that are possible", "95% interval",
    )  # fmt: skip


def test_amplification_holds_the_gamma(found: Sensitivity) -> None:
    odds = found.curves["amplification"]
    treatment, outcome = odds["odds_treatment"], odds["odds_outcome"]
    assert np.allclose((treatment * outcome + 1) / (treatment + outcome), found.numbers["gamma"])
    both = found.numbers["equal_amplification"]
    assert (both**2 + 1) / (2 * both) == pytest.approx(found.numbers["gamma"])


def test_few_pairs_and_arbitrary_ones_are_said() -> None:
    table = study(40, seed=5)
    one = ec.sensitivity(result_of(table, propensity=0.3), kind="rosenbaum", gammas=[1])
    assert any("all propensities are alike" in text for text in one.warnings)
    assert any("few for the normal distribution" in text for text in one.warnings)


SAID = Said(
    "9 pairs of a treated and a control unit", "pairs", "income", True, "a test", 1e-9, 0.05, 2.345, 4.4
)


@pytest.mark.parametrize(
    ("changes", "words", "not_words"),
    [
        (
            {},
            [
                "is higher with treatment (one-sided p < 0.0001",
                "at the 0.05 level",
                "factor of 2.35, as would",
            ],
            [],
        ),
        ({"up": False}, ["is lower with treatment", "having the lower outcome"], ["higher"]),
        ({"p_value": 0.2}, ["p = 0.2", "no hidden bias is needed to explain it"], ["factor"]),
        ({"p_value": 0.8}, ["is not higher", "do not bear the estimate out"], ["factor"]),
        ({"gamma": np.inf}, ["however much the odds of treatment differ"], ["factor"]),
        ({"amplified": np.nan}, ["factor of 2.35."], ["multiplies"]),
        (
            {"benchmark": "age", "median": 1.2, "percentile_95": 1.44},
            [
                "Leaving age unseen would make these odds differ by a factor of 1.20",
                "at most 1.44 in 95% of them.",
            ],
            [],
        ),
    ],
)
def test_sentences(changes: dict[str, Any], words: list[str], not_words: list[str]) -> None:
    text = sentence(replace(SAID, **changes))
    assert all(one in text for one in words), text
    assert not any(one in text for one in not_words), text


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"gammas": (0.5, 1)}, "odds ratios of at least 1"),
        ({"gammas": ()}, "odds ratios of at least 1"),
        ({"gammas": (1, np.inf)}, "odds ratios of at least 1"),
        ({"gammas": "2"}, "odds ratios of at least 1"),
        ({"caliper": 0}, "positive standard deviations"),
        ({"caliper": True}, "positive standard deviations"),
        ({"adjust": "yes"}, "True, False or None"),
        ({"statistic": "signed_ranks"}, "Did you mean 'signed_rank'"),
        ({"statistic": "mcnemar"}, "for outcomes of 0 and 1"),
        ({"statistic": "mcnemar", "adjust": True}, "adjust=True makes residuals"),
        ({"strata": "nowhere"}, "is not in the data"),
        ({"strata": 3}, "a column, or a Series by unit id"),
        ({"strata": pd.Series([1, 2], index=["u000", "u000"])}, "several values for some units"),
        ({"strata": pd.Series([1, 2], index=["a", "b"])}, "names none of the units"),
        ({"strata": "z"}, "There are 0 pairs or strata"),
        ({"strata": "half", "statistic": "signed_rank"}, "several treated units or controls"),
        ({"lambdas": (1, 2)}, "kind='marginal'"),
    ],
)
def test_what_cannot_be_done_is_refused(options: dict[str, Any], match: str) -> None:
    table = study(60, half=np.arange(60) % 2)
    with pytest.raises(SensitivityError, match=match):
        ec.sensitivity(result_of(table), kind="rosenbaum", **options)


def test_several_arms_doses_and_panels_are_refused() -> None:
    table = study(90)
    table["arm"] = np.array(["none", "a", "b"])[np.arange(90) % 3]
    design = ec.Design(table, outcome="y", treatment="arm", treatment_type="categorical", control="none")
    with pytest.raises(SensitivityError, match=r"design\.pair\(arm\)"):
        ec.sensitivity(ec.ate(design, method="ipw"), kind="rosenbaum", term="a")
    dose = ec.Design(table, outcome="y", treatment="z", treatment_type="continuous", covariates=["x"])
    with pytest.raises(SensitivityError, match="continuous"):
        ec.sensitivity(ec.ate(dose, method="partially_linear"), kind="rosenbaum")
    rows = pd.DataFrame({"unit": np.repeat(np.arange(30), 2), "year": np.tile([0, 1], 30)})
    rows["treated"] = (rows["year"] == 1) & (rows["unit"] % 2 == 0)
    rows["treated"] = rows["treated"].astype(int)
    rows["y"] = np.random.default_rng(0).normal(size=60)
    panel = ec.PanelDesign(rows, outcome="y", treatment="treated", unit="unit", period="year")
    with pytest.raises(SensitivityError, match=r"a result of ec\.ate"):
        ec.sensitivity(ec.panel(panel, method="twfe"), kind="rosenbaum")
