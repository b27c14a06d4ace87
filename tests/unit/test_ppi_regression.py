"""Regression coefficients from predictions and labels: arithmetic, ppi_py's numbers, invariances, bad input."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eocausal as ec
from eocausal.errors import DebiasError, DesignError, EstimationError

N_LABELLED, N_OTHER = 60, 240
# ppi_py 0.2.3 on the table of `known_table`, by lambda: coefficients, and their 90% intervals.
PPI_PY_OLS = {
    0.0: (
        (0.5095633319703734, 1.0199920848904762, -0.6948262953700888),
        (0.3427765657312377, 0.7921100261723442, -0.8886394327517064),
        (0.6763500982095091, 1.2478741436086083, -0.5010131579884711),
    ),
    0.5: (
        (0.5102741932214896, 1.025222782225488, -0.6166156086863646),
        (0.38753740614704446, 0.8479807455132382, -0.7731719887158945),
        (0.6330109802959347, 1.2024648189377378, -0.4600592286568346),
    ),
    1.0: (
        (0.5109850544726059, 1.0304534795604998, -0.5384049220026403),
        (0.3915162803922499, 0.8270600235019737, -0.7050409246100433),
        (0.6304538285529618, 1.233846935619026, -0.3717689193952374),
    ),
}
PPI_PY_OLS_LAMBDA = 0.6356917825991815
PPI_PY_OLS_TUNED = (0.510467109282179, 1.026642307516737, -0.5953905136975233)
PPI_PY_LOGIT = {
    0.0: (
        (0.2043306756423522, 1.027160001109306, -0.7783206113942518),
        (-0.2736982467616248, 0.2971731899348279, -1.3531991864467172),
        (0.6823595980463292, 1.7571468122837843, -0.20344203634178637),
    ),
    0.5: (
        (0.17551894520450892, 0.982441306462862, -0.6886254635825212),
        (-0.19756483475908151, 0.42755544151983726, -1.159992694475751),
        (0.5486027251680994, 1.5373271714058867, -0.21725823268929145),
    ),
    1.0: (
        (0.15590440027746033, 0.9481288357358043, -0.6004578539236597),
        (-0.15241894194851302, 0.4818441899162988, -0.9883214700229064),
        (0.4642277425034337, 1.4144134815553098, -0.21259423782441306),
    ),
}


def known_table() -> pd.DataFrame:
    """A table without random numbers, so that another program can make it too."""
    i = np.arange(N_LABELLED + N_OTHER, dtype=float)
    x1, x2 = np.sin(1.7 * i) + 0.3 * np.cos(0.31 * i), 1.2 * np.cos(2.9 * i + 0.5)
    e, u = np.sin(12.9898 * i + 1), 0.9 * np.cos(78.233 * i)
    labelled = i < N_LABELLED
    log_odds = 0.1 + 0.9 * x1 - 0.5 * x2 + 1.4 * 1.1 * e + 0.6 * u
    return pd.DataFrame(
        {
            "x1": x1,
            "x2": x2,
            "predicted": 0.2 + 0.8 * x1 - 0.4 * x2 + 0.7 * 1.1 * e + 0.5 * u,
            "wealth": np.where(labelled, 0.5 + x1 - 0.7 * x2 + 1.1 * e, np.nan),
            "chance": 1 / (1 + np.exp(-log_odds)),
            "poor": np.where(labelled, 0.3 + 1.2 * x1 - 0.8 * x2 + 2.2 * e > 0, np.nan),
        }
    )


def linear(table: pd.DataFrame, **options: object) -> object:
    named = {"prediction": "predicted", "truth": "wealth", "covariates": ["x1", "x2"], **options}
    return ec.ppi_regression(table, **named)


def logistic(table: pd.DataFrame, **options: object) -> object:
    return linear(table, prediction="chance", truth="poor", model="logistic", **options)


def half_width(numbers: tuple[tuple[float, ...], ...]) -> np.ndarray:
    """Standard errors behind 90% intervals of the normal distribution."""
    return (np.array(numbers[2]) - np.array(numbers[1])) / 2 / 1.6448536269514722


def factor() -> float:
    """Our finite-sample factors over theirs where labels alone count: HC1 all units' n / (n - 1), and ddof 1."""
    n, everyone, width = N_LABELLED, N_LABELLED + N_OTHER, 3
    return float(np.sqrt(n / (n - width) * (n - 1) / n * everyone / (everyone - 1)))


def test_on_an_indicator_it_is_the_difference_of_arms_rectified_arm_by_arm() -> None:
    # arm 0: 2 - 2.5 + 2 = 1.5; arm 1: 4 - 3 + 4 = 5
    table = pd.DataFrame(
        {
            "arm": [0, 1, 0, 1, 1, *[0, 1] * 4],
            "predicted": [1.5, 1.5, 3.5, 3, 4.5, 0, 1, 2, 3, 4, 5, 2, 7],
            "truth": [1, 2, 3, 4, 6, *[np.nan] * 8],
        }
    )
    found = ec.ppi_regression(table, prediction="predicted", truth="truth", covariates=["arm"], method="ppi")
    np.testing.assert_allclose(found.estimate, [1.5, 3.5], atol=1e-12)
    # variances of the four means: residuals by arm, each sample with its factor n / (n - 2)
    residual = np.array([1 - 1.5, 3 - 3.5, 2 - 1.5, 4 - 3, 6 - 4.5]) - [-0.5, -0.5, 1, 1, 1]
    others = np.array([0, 2, 4, 2, 1, 3, 5, 7]) - np.repeat([2, 4], 4)
    zero = 5 / 3 * (residual[:2] ** 2).sum() / 4 + 8 / 6 * (others[:4] ** 2).sum() / 16
    one = 5 / 3 * (residual[2:] ** 2).sum() / 9 + 8 / 6 * (others[4:] ** 2).sum() / 16
    expected = np.sqrt(13 / 12 * np.array([zero, zero + one]))
    np.testing.assert_allclose(found.std_error, expected, rtol=1e-12)


@pytest.mark.parametrize("lam", [0.0, 0.5, 1.0])
def test_coefficients_with_a_given_lambda_are_those_of_ppi_py(lam: float) -> None:
    table = known_table()
    np.testing.assert_allclose(linear(table, method=lam).estimate, PPI_PY_OLS[lam][0], rtol=1e-10)
    # theirs stop at a tolerance of a quasi-Newton method
    np.testing.assert_allclose(logistic(table, method=lam).estimate, PPI_PY_LOGIT[lam][0], rtol=1e-6)


def test_with_lambda_zero_standard_errors_differ_from_ppi_py_by_factors_alone() -> None:
    table = known_table()
    ours = linear(table, method="classical").std_error
    np.testing.assert_allclose(ours, factor() * half_width(PPI_PY_OLS[0.0]), rtol=1e-9)
    np.testing.assert_allclose(
        logistic(table, method=0.0).std_error, factor() * half_width(PPI_PY_LOGIT[0.0]), rtol=1e-6
    )


@pytest.mark.parametrize("lam", [0.5, 1.0])
def test_standard_errors_of_a_logit_are_within_six_percent_of_ppi_py(lam: float) -> None:
    # theirs average the second derivative over all units with the same weight, ours as the equations do
    ours = logistic(known_table(), method=lam).std_error
    np.testing.assert_allclose(ours, half_width(PPI_PY_LOGIT[lam]), rtol=0.06)


@pytest.mark.parametrize("lam", [0.5, 1.0])
def test_ppi_py_has_wider_intervals_of_least_squares_as_its_residuals_are_of_another_regression(
    lam: float,
) -> None:
    # theirs are gradients of both outcomes at the rectified coefficients; taken so, ours come out as theirs
    table = known_table()
    found = linear(table, method=lam)
    theirs = half_width(PPI_PY_OLS[lam])
    assert (np.asarray(found.std_error) < theirs).all()
    columns = np.column_stack([np.ones(len(table)), table["x1"], table["x2"]])
    known = table["wealth"].notna().to_numpy()
    fitted, inverse = columns @ found.estimate, np.linalg.inv(columns.T @ columns / len(table))
    of_prediction = columns * (fitted - table["predicted"].to_numpy())[:, None]
    of_truth = columns[known] * (fitted - table["wealth"].to_numpy())[known, None]
    rectifier = np.cov((of_truth - lam * of_prediction[known]).T)
    spread = rectifier / N_LABELLED + lam**2 * np.cov(of_prediction[~known].T) / N_OTHER
    np.testing.assert_allclose(np.sqrt(np.diag(inverse @ spread @ inverse)), theirs, rtol=1e-9)


def test_tuned_overall_it_lies_near_ppi_py_and_at_its_lambda_on_it() -> None:
    table = known_table()
    at_theirs = linear(table, method=PPI_PY_OLS_LAMBDA)
    np.testing.assert_allclose(at_theirs.estimate, PPI_PY_OLS_TUNED, rtol=1e-10)
    overall = linear(table, method="ppi++ overall")
    # their lambda is of the variance that they report, which is too large for predictions that are shrunk
    np.testing.assert_allclose(list(overall.diagnostics["lambda"].values()), 0.8714613, atol=1e-6)
    assert np.trace(overall.fit.variance.matrix) < np.trace(at_theirs.fit.variance.matrix)


def test_each_lambda_makes_the_variance_of_its_coefficient_smallest() -> None:
    table = known_table()
    tuned = np.asarray(linear(table).std_error)
    for lam in np.linspace(0, 1, 21):
        assert (tuned <= np.asarray(linear(table, method=lam).std_error) * (1 + 1e-12)).all()
    logit = np.asarray(logistic(table).std_error)
    assert (logit < np.asarray(logistic(table, method="classical").std_error)).all()


def test_lambda_is_the_covariance_over_the_variance_and_clusters_count_whole() -> None:
    table = known_table()
    columns = np.column_stack([np.ones(len(table)), table["x1"], table["x2"]])
    known = table["wealth"].notna().to_numpy()
    moves = {}
    for name, rows, values in (
        ("truth", known, table["wealth"]),
        ("seen", known, table["predicted"]),
        ("other", ~known, table["predicted"]),
    ):
        x, y = columns[rows], values.to_numpy()[rows]
        inverse = np.linalg.inv(x.T @ x)
        moves[name] = np.zeros((len(table), 3))
        moves[name][rows] = (x * (y - x @ inverse @ x.T @ y)[:, None]) @ inverse
    gap = moves["seen"] - moves["other"]
    expected = (moves["truth"] * gap).sum(axis=0) / (gap**2).sum(axis=0)
    np.testing.assert_allclose(list(linear(table).diagnostics["lambda"].values()), expected, rtol=1e-9)
    village = np.arange(len(table)) % 50
    sums = [np.array([one[village == v].sum(axis=0) for v in range(50)]) for one in (moves["truth"], gap)]
    clustered = (sums[0] * sums[1]).sum(axis=0) / (sums[1] ** 2).sum(axis=0)
    found = linear(table.assign(village=village), cluster="village")
    np.testing.assert_allclose(
        list(found.diagnostics["lambda"].values()), np.clip(clustered, 0, 1), rtol=1e-9
    )
    assert found.vcov == "cluster(village)"
    assert found.n_clusters == 50


def test_given_clusters_afterwards_standard_errors_are_those_of_clusters_given_before() -> None:
    table = known_table().assign(village=np.arange(300) % 50)
    before = linear(table, cluster="village", method="ppi")
    after = linear(table, method="ppi").with_vcov({"cluster": table["village"]})
    np.testing.assert_allclose(after.std_error, before.std_error, rtol=1e-12)
    np.testing.assert_allclose(after.classical.std_error, before.classical.std_error, rtol=1e-12)


def test_predictions_that_are_noise_are_not_used_and_perfect_ones_are() -> None:
    rng = np.random.default_rng(5)
    n = 3000
    x = rng.normal(size=n)
    y = 1 + x + rng.normal(size=n)
    table = pd.DataFrame({"x1": x, "wealth": np.where(np.arange(n) < 300, y, np.nan)})
    noise = linear(table.assign(predicted=rng.normal(size=n)), covariates=["x1"])
    assert max(noise.diagnostics["lambda"].values()) < 0.2
    perfect = linear(table.assign(predicted=y), covariates=["x1"])
    worth = perfect.table().query("method == 'ppi++'")["worth_labels"]
    assert (worth > 8 * 300).all()
    assert min(perfect.diagnostics["lambda"].values()) > 0.8
    np.testing.assert_allclose(perfect.naive.estimate, perfect.estimate, atol=0.02)


@given(seed=st.integers(0, 10**6), model=st.sampled_from(["linear", "logistic"]))
@settings(max_examples=10, deadline=None)
def test_the_order_of_rows_does_not_matter(seed: int, model: str) -> None:
    table = known_table()
    run = linear if model == "linear" else logistic
    shuffled = run(table.sample(frac=1, random_state=seed))
    np.testing.assert_allclose(shuffled.estimate, run(table).estimate, rtol=1e-8)
    np.testing.assert_allclose(shuffled.std_error, run(table).std_error, rtol=1e-8)


@given(scale=st.floats(0.01, 100), shift=st.floats(-100, 100))
@settings(max_examples=15, deadline=None)
def test_units_of_the_outcome_and_of_covariates_are_carried_through(scale: float, shift: float) -> None:
    table = known_table()
    found = linear(table)
    other = table.assign(predicted=scale * table["predicted"] + shift, wealth=scale * table["wealth"] + shift)
    moved = linear(other)
    np.testing.assert_allclose(moved.estimate, scale * found.estimate + [shift, 0, 0], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(moved.std_error, scale * np.asarray(found.std_error), rtol=1e-6)
    stretched = linear(table.assign(x1=table["x1"] / scale))
    np.testing.assert_allclose(stretched.estimate, found.estimate * [1, scale, 1], rtol=1e-7)


def test_a_weight_of_two_is_a_row_twice_and_equal_weights_are_none() -> None:
    table = known_table()
    table["weight"] = np.where(np.arange(300) % 3 == 0, 2, 1)
    again = pd.concat([table, table[table["weight"] == 2]]).rename_axis("row").reset_index()
    for run in (linear, logistic):
        weighted, twice = run(table, weights="weight", method=0.7), run(again, method=0.7)
        np.testing.assert_allclose(weighted.estimate, twice.estimate, rtol=1e-9)
        # rows that are there twice are one cluster of two, or one row of weight two
        clustered = run(again, cluster="row", method=0.7)
        np.testing.assert_allclose(weighted.std_error, clustered.std_error, rtol=0.02)
        equal = run(table.assign(weight=7.0), weights="weight")
        np.testing.assert_allclose(equal.std_error, run(table).std_error, rtol=1e-9)


def test_a_column_says_whose_truth_may_be_used() -> None:
    table = known_table()
    table["use"] = np.arange(300) < 40
    hidden = table.assign(wealth=table["wealth"].where(table["use"]))
    np.testing.assert_array_equal(linear(table, labelled="use").estimate, linear(hidden).estimate)
    assert linear(table, labelled="use").diagnostics["n_labelled"] == 40


def test_all_three_regressions_stand_side_by_side_and_the_result_is_complete(tmp_path: object) -> None:
    found = linear(known_table())
    table = found.table()
    assert table["method"].tolist() == ["naive", "classical", "ppi++"] * 3
    assert table["term"].tolist() == [name for name in ("intercept", "x1", "x2") for _ in range(3)]
    assert (table.query("method == 'ppi++'")["worth_labels"] > 1.5 * 60).all()
    # intervals by the labelled units: 60 less three coefficients
    from scipy import stats

    half = stats.t.ppf(0.975, 57) * np.asarray(found.std_error)
    np.testing.assert_allclose(found.ci()[:, 1] - found.estimate, half, rtol=1e-12)
    assert repr(found).startswith("PpiRegression(linear regression of wealth by ppi++: intercept")
    assert len(found.summary().splitlines()) <= 25
    assert "ppi++" in found.summary()
    assert found.naive.n == 300
    assert found.classical.n == N_LABELLED
    again = type(found).from_dict(json.loads(json.dumps(found.to_dict(scores=True))))
    assert again == found
    np.testing.assert_allclose(found.scores.to_numpy().mean(axis=0), 0, atol=1e-12)
    assert found.provenance["columns"]["covariates"] == ("x1", "x2")
    ax = found.plot()
    assert len(ax.get_yticklabels()) == 6


def test_units_bring_their_coordinates_for_standard_errors_by_distance() -> None:
    table = known_table().assign(
        id=np.arange(300), lon=30 + np.arange(300) % 20 / 10, lat=np.arange(300) / 200
    )
    units = ec.read_units(table, id="id", lon="lon", lat="lat")
    found = linear(units)
    np.testing.assert_allclose(found.estimate, linear(known_table()).estimate, rtol=1e-12)
    by_distance = found.with_vcov({"conley": "20km", "kernel": "bartlett"})
    assert by_distance.vcov == "conley(20 km, bartlett)"


def test_predictions_that_move_too_little_or_the_wrong_way_are_spoken_of() -> None:
    table = known_table()
    shrunk = linear(table.assign(predicted=table["predicted"] / 3))
    assert any("move less than the truth" in text for text in shrunk.warnings)
    assert set(shrunk.diagnostics["lambda"].values()) == {1.0}
    free = linear(table.assign(predicted=table["predicted"] / 3), method=ec.PowerTuning(bounds=(0, 4)))
    expected = 3 * np.array(list(linear(table).diagnostics["lambda"].values()))
    np.testing.assert_allclose(list(free.diagnostics["lambda"].values()), expected, rtol=1e-9)
    np.testing.assert_allclose(free.std_error, linear(table).std_error, rtol=1e-9)
    against = linear(table.assign(predicted=-table["predicted"]))
    asked = free.diagnostics["lambda"]
    told = next(text for text in against.warnings if "go against" in text)
    assert all(f"{name} ({-value / 3:.2g})" in told for name, value in asked.items())
    assert any("PowerTuning(bounds=(0, " in text for text in shrunk.warnings)
    np.testing.assert_allclose(against.estimate, linear(table, method="classical").estimate, rtol=1e-12)


def test_a_logit_is_told_what_it_can_do_with_probabilities_that_move_too_little() -> None:
    found = logistic(known_table())
    assert set(found.diagnostics["lambda"].values()) == {1.0}
    told = next(text for text in found.warnings if "move less than the truth" in text)
    assert "ec.predict_then_debias with a logit" in told
    assert "PowerTuning" not in told


def test_a_lambda_of_ones_own_may_lie_beyond_one_with_least_squares() -> None:
    at = {lam: np.asarray(linear(known_table(), method=lam).estimate) for lam in (0.0, 1.0, 1.5)}
    np.testing.assert_allclose(at[1.5], at[0.0] + 1.5 * (at[1.0] - at[0.0]), rtol=1e-10)


def test_few_labels_and_few_clusters_with_labels_are_spoken_of() -> None:
    table = known_table().assign(few=np.arange(300) < 20, village=np.arange(300) // 5)
    assert any("20 units have labels" in text for text in linear(table, labelled="few").warnings)
    assert any("labels are in 12 clusters" in text for text in linear(table, cluster="village").warnings)


def _used(first: int) -> pd.DataFrame:
    return known_table().assign(use=np.arange(300) < first)


def _with(column: str, rows: object, value: object) -> pd.DataFrame:
    table = known_table()
    table[column] = table[column].astype(object) if isinstance(value, str) else table[column]
    table.loc[rows, column] = value
    return table


@pytest.mark.parametrize(
    ("table", "options", "error", "words"),
    [
        ([1, 2], {}, DebiasError, "data is a list"),
        (known_table(), {"prediction": "predicte"}, DebiasError, "Did you mean 'predicted'"),
        (known_table(), {"covariates": "x1"}, DebiasError, r"covariates=\['x1'\]"),
        (known_table(), {"covariates": []}, DebiasError, "names of one or more columns"),
        (known_table(), {"covariates": ["x1", "x1"]}, DebiasError, "named twice"),
        (known_table(), {"truth": "predicted"}, DebiasError, "same column"),
        (known_table(), {"covariates": ["x1", "wealth"]}, DebiasError, "The truth .wealth. is among the cov"),
        (known_table(), {"covariates": ["predicted"]}, DebiasError, "The prediction 'predicted' is among the cov"),
        (known_table().assign(intercept=1.0), {"covariates": ["intercept"]}, DebiasError, "called 'intercept'"),
        (
            known_table().assign(c=np.tile(["a", "b"], 150), **{"c[b]": np.arange(300.0)}),
            {"covariates": ["c", "c[b]"]}, DesignError, r"Two covariates would be called 'c\[b\]'",
        ),
        (known_table(), {"method": "ppi+"}, DebiasError, "Did you mean 'ppi"),
        (known_table(), {"method": np.inf}, DebiasError, "a finite number"),
        (known_table(), {"method": ec.PowerTuning(pooled=True)}, DebiasError, "regressions do not have"),
        (known_table(), {"method": 1.5, "model": "logistic"}, DebiasError, "from 0 to 1 for model='logistic'"),
        (known_table(), {"model": "probit"}, DebiasError, "model='probit' is not known"),
        (_with("predicted", [3, 9], np.nan), {}, DebiasError, r"predicted' is missing .*\n  Where: 2 \(3, 9\)"),
        (_with("predicted", 3, np.inf), {}, DesignError, "infinite"),
        (_with("wealth", 3, "rich"), {}, DesignError, "not numeric"),
        (_with("x1", [0, 1, 2], np.nan), {}, DebiasError, "Covariates are missing for some units: x1"),
        (known_table().assign(wealth=np.nan), {}, DebiasError, "No unit has a label"),
        (known_table().assign(wealth=1.0), {}, DebiasError, "All 300 units have labels"),
        (known_table().assign(predicted=2.0), {}, DebiasError, "the same for all 60 labelled units"),
        (_used(3), {"labelled": "use"}, DebiasError, "3 units with labels cannot carry 3"),
        (_used(80), {"labelled": "use"}, DebiasError, r"have no 'wealth'.\n  Where: 20"),
        (known_table().assign(use=2), {"labelled": "use"}, DebiasError, "'use' is not true or false for all units"),
        (known_table().assign(w=-1.0), {"weights": "w"}, DesignError, "must be positive"),
        (known_table().assign(v=[None, *range(299)]), {"cluster": "v"}, DesignError, "missing for some units"),
        (known_table().assign(x2=lambda t: 2 * t["x1"]), {}, EstimationError, "combinations of one another"),
        (known_table().set_axis([0] * 300), {}, DebiasError, "holds some ids twice"),
        (known_table().set_axis(pd.date_range("2000", periods=300)), {}, DebiasError, "holds days or lengths"),
        (known_table(), {"model": "logistic"}, DebiasError, "is not 0 and 1"),
        (known_table().assign(wealth=known_table()["poor"]), {"model": "logistic"}, DebiasError, "no probability"),
        (
            known_table().assign(poor=lambda t: (t["x1"] > 0).astype(float).where(t["poor"].notna())),
            {"model": "logistic", "prediction": "chance", "truth": "poor"}, EstimationError, "has no solution",
        ),
    ],
)  # fmt: skip
def test_bad_input_is_named(table: object, options: dict, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        linear(table, **options)


def test_whose_truth_is_used_may_be_said_by_objects_and_by_numbers() -> None:
    table = known_table()
    there = table["wealth"].notna() & (np.arange(300) % 4 > 0)
    plain = linear(table.assign(use=there), labelled="use")
    for said in (there.astype(object), there.astype(float), there.astype("boolean")):
        np.testing.assert_array_equal(linear(table.assign(use=said), labelled="use").estimate, plain.estimate)
