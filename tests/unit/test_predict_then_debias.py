"""The predict-then-debias bootstrap: arithmetic, closed forms, multiplicity of clusters, bad input."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.errors import DebiasError, DesignError, EstimationError
from eocausal.labelled.resampling import what_is_drawn


def mean(table: pd.DataFrame, outcome: np.ndarray, weights: np.ndarray) -> float:
    return float(np.average(outcome, weights=weights))


def plain_mean(table: pd.DataFrame, outcome: np.ndarray, weights: np.ndarray) -> float:
    return float(outcome.mean())


def slope(table: pd.DataFrame, outcome: np.ndarray, weights: np.ndarray) -> pd.Series:
    columns = np.column_stack([np.ones(len(table)), table["x"]])
    weighted = columns * weights[:, None]
    found = np.linalg.solve(weighted.T @ columns, weighted.T @ outcome)
    return pd.Series(found, index=["intercept", "x"])


def run(table: pd.DataFrame, *, draws: int = 199, seed: int = 0, **options: object) -> object:
    names = ("cluster", "strata", "progress")
    resampling = ec.Resampling(
        draws=draws, seed=seed, **{one: options.pop(one) for one in names if one in options}
    )
    named = {
        "estimator": mean,
        "prediction": "predicted",
        "truth": "truth",
        "resampling": resampling,
        **options,
    }
    return ec.predict_then_debias(table, **named)


def example() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "predicted": [1.5, 1.5, 3.5, 3, 4.5, 0, 1, 2, 3, 4, 5, 2, 7],
            "truth": [1, 2, 3, 4, 6, *[np.nan] * 8],
        }
    )


def world(n: int = 1200, n_labelled: int = 200, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    truth = 1 + 0.5 * x + rng.normal(size=n)
    predicted = 0.3 + 0.6 * truth + 0.4 * rng.normal(size=n)
    return pd.DataFrame(
        {"x": x, "predicted": predicted, "truth": np.where(np.arange(n) < n_labelled, truth, np.nan)}
    )


def test_without_tuning_it_is_the_prediction_powered_mean_of_the_published_example() -> None:
    found = run(example(), tuning="none")
    assert found.estimate == pytest.approx(3.4)
    np.testing.assert_allclose(found.parts.ravel(), [3.2, 2.8, 3.0])
    assert found.omega.tolist() == [[1.0]]


def test_omega_and_standard_error_are_those_of_the_closed_form_of_a_tuned_mean() -> None:
    table = world()
    found = run(table, draws=2000)
    known = table.dropna()
    others = table["predicted"][table["truth"].isna()]
    # lambda of PPI++ without bounds, and the variance it leaves
    together = known["truth"].cov(known["predicted"]) / 200
    alone = known["predicted"].var() / 200 + others.var() / 1000
    lam = together / alone
    assert found.omega[0, 0] == pytest.approx(lam, rel=0.05)
    error = np.sqrt(known["truth"].var() / 200 - together**2 / alone)
    assert found.std_error == pytest.approx(error, rel=0.05)
    low, high = found.ci()
    assert (high - low) / 2 == pytest.approx(1.96 * error, rel=0.08)
    normal = found.ci(kind="normal")
    assert normal[1] - normal[0] == pytest.approx(2 * 1.959964 * found.std_error, rel=1e-6)


def test_of_least_squares_it_agrees_with_influence_values() -> None:
    table = world()
    by_draws = run(table, estimator=slope, draws=1000)
    free = ec.PowerTuning(bounds=(-np.inf, np.inf))
    by_formula = ec.ppi_regression(
        table, prediction="predicted", truth="truth", covariates=["x"], method=free
    )
    assert by_draws.terms == ("intercept", "x")
    np.testing.assert_allclose(by_draws.estimate, by_formula.estimate, atol=0.01)
    np.testing.assert_allclose(by_draws.std_error, by_formula.std_error, rtol=0.08)


def test_rows_that_are_there_twice_change_nothing_where_clusters_hold_both() -> None:
    table = world(n=150, n_labelled=50).rename_axis("place").reset_index()
    twice = pd.concat([table, table], ignore_index=True)
    once = run(table, cluster="place", estimator=slope)
    again = run(twice, cluster="place", estimator=slope)
    np.testing.assert_allclose(again.values, once.values, atol=1e-10)
    np.testing.assert_allclose(again.draws, once.draws, atol=1e-9)
    np.testing.assert_allclose(again.std_error, once.std_error, rtol=1e-8)
    # drawn one by one, the same information would count twice
    alone = run(twice, estimator=slope, draws=499)
    np.testing.assert_allclose(np.asarray(alone.std_error) / once.std_error, np.sqrt(0.5), rtol=0.2)


def test_a_cluster_that_is_drawn_twice_counts_twice() -> None:
    """Whether a cluster is among those drawn, counted once, understates standard errors by about a quarter."""
    rng = np.random.default_rng(3)
    village = np.repeat(np.arange(120), 4)
    truth = rng.normal(size=120)[village] + 0.3 * rng.normal(size=480)
    table = pd.DataFrame({"village": village, "predicted": 0.5 * truth + 0.2 * rng.normal(size=480)})
    table["truth"] = np.where(village % 2 == 0, truth, np.nan)
    found = run(table, cluster="village", draws=999, estimator=plain_mean)
    of_village = table.dropna().groupby("village")["truth"].mean()
    exact = of_village.std() / np.sqrt(of_village.size)
    labels_alone = found.table().set_index("method")["std_error"]["classical"]
    assert labels_alone == pytest.approx(exact, rel=0.06)

    drawn = what_is_drawn(village, None, labelled=village % 2 == 0, name="village")
    known = table["truth"].notna().to_numpy()
    once = [
        table["truth"][known & (times > 0)].mean() for times in drawn.times(999, seed=0)
    ]  # membership, as others do
    assert np.std(once) / labels_alone == pytest.approx(np.sqrt((1 - 0.632) / 0.632), rel=0.08)


def test_draws_depend_on_labels_and_seed_and_not_on_the_order_of_rows() -> None:
    table = world(n=200, n_labelled=60)
    table["village"] = np.arange(200) % 40
    first = run(table, cluster="village", estimator=slope)
    shuffled = run(table.sample(frac=1, random_state=1), cluster="village", estimator=slope)
    np.testing.assert_allclose(shuffled.draws, first.draws, atol=1e-10)
    assert run(table, cluster="village", estimator=slope) == first
    assert not np.allclose(run(table, cluster="village", estimator=slope, seed=1).draws, first.draws)


def test_strata_are_drawn_one_by_one_to_their_own_size() -> None:
    strata = pd.Series(["a"] * 30 + ["b"] * 10, name="region")
    known = np.arange(40) % 5 == 0
    drawn = what_is_drawn(np.arange(40), strata, labelled=known, name=None)
    for times in drawn.times(20, seed=1):
        assert times[:30][known[:30]].sum() == 6
        assert times[30:][~known[30:]].sum() == 8
        assert times.sum() == 40
    assert drawn.factor == pytest.approx(40 / 36)
    # clusters with units of both kinds are drawn as they are
    mixed = what_is_drawn(np.arange(40) // 5, strata, labelled=known, name="village")
    assert mixed.factor == pytest.approx(8 / 6)
    # regions that differ much, with labels in fixed numbers: only what varies within them counts
    rng = np.random.default_rng(0)
    table = world(n=400, n_labelled=0, seed=4)
    table["region"] = np.repeat(["a", "b"], 200)
    truth = 10.0 * (table["region"] == "b") + rng.normal(size=400)
    table["predicted"] = rng.normal(size=400)
    table["truth"] = truth.where(np.arange(400) % 4 == 0)
    by_region = run(table, strata="region", draws=499)
    assert by_region.std_error < 0.3 * run(table, draws=499).std_error
    assert by_region.std_error == pytest.approx(0.1, rel=0.15)


def test_known_probabilities_weigh_units_and_put_a_sample_of_the_rich_right() -> None:
    rng = np.random.default_rng(7)
    n = 4000
    truth = rng.normal(size=n)
    chance = 1 / (1 + np.exp(1.5 - 1.5 * truth))
    table = pd.DataFrame(
        {"predicted": 0.5 * truth + 0.3 * rng.normal(size=n), "chance": np.clip(chance, 0.05, 0.95)}
    )
    table["truth"] = np.where(rng.uniform(size=n) < table["chance"], truth, np.nan)
    found = run(table, labelling="chance")
    ignored = run(table)
    assert abs(found.estimate - truth.mean()) < 3 * found.std_error
    assert abs(ignored.estimate - truth.mean()) > 5 * ignored.std_error
    known = table["truth"].notna()
    expected = np.average(table["truth"][known], weights=1 / table["chance"][known])
    assert found.parts[0, 0] == pytest.approx(expected)
    other = np.average(table["predicted"][~known], weights=1 / (1 - table["chance"][~known]))
    assert found.parts[2, 0] == pytest.approx(other)
    # one probability for all is none
    np.testing.assert_allclose(run(table, labelling=0.3).values, ignored.values, atol=1e-12)


def test_an_estimator_that_does_not_heed_its_weights_is_spoken_of() -> None:
    table = world(n=300, n_labelled=100).assign(weight=np.tile([1.0, 3.0], 150))
    ignoring = run(table, weights="weight", estimator=plain_mean)
    assert any("does not heed its weights" in text for text in ignoring.warnings)
    assert not run(table, weights="weight").warnings


def test_a_matrix_leaves_less_variance_over_the_draws_than_one_number_each() -> None:
    def two(table: pd.DataFrame, outcome: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return np.array([outcome.mean(), (outcome**2).mean()])

    table = world(n=600, n_labelled=150)
    full, diagonal = (run(table, estimator=two, tuning=one, draws=399) for one in ("full", "diagonal"))
    plain = run(table, estimator=two, tuning="none", draws=399)
    np.testing.assert_array_equal(full.draws, diagonal.draws)
    spread = {
        name: one.drawn.var(axis=0) for name, one in (("full", full), ("diag", diagonal), ("none", plain))
    }
    assert (spread["full"] <= spread["diag"] * (1 + 1e-12)).all()
    assert (spread["diag"] <= spread["none"] * (1 + 1e-12)).all()
    assert np.count_nonzero(diagonal.omega) == 2
    assert np.count_nonzero(full.omega) == 4
    # regression on the gaps by hand
    gap, truth = full.draws[:, 1] - full.draws[:, 2], full.draws[:, 0]
    together = np.cov(np.column_stack([truth, gap]).T)
    np.testing.assert_allclose(full.omega, together[:2, 2:] @ np.linalg.inv(together[2:, 2:]), rtol=1e-8)


def test_units_of_the_outcome_are_carried_through() -> None:
    table = world(n=300, n_labelled=80)
    found = run(table, estimator=slope)
    moved = run(
        table.assign(predicted=5 * table["predicted"] - 3, truth=5 * table["truth"] - 3), estimator=slope
    )
    np.testing.assert_allclose(moved.values, 5 * found.values - [3, 0], atol=1e-9)
    np.testing.assert_allclose(moved.std_error, 5 * np.asarray(found.std_error), rtol=1e-8)


def test_p_values_count_draws_on_either_side_and_what_was_found_as_one_more() -> None:
    found = run(world(n=300, n_labelled=80))
    below = (found.drawn[:, 0] <= 1.0).sum()
    assert found.p_value(1.0) == pytest.approx(min(1.0, 2 * (1 + min(below, 199 - below)) / 200))
    assert found.p_value(100.0) == pytest.approx(2 / 200)
    assert found.p_value(100.0, kind="normal") < 1e-10
    frame = found.to_frame()
    assert (frame["conf_low"][0], frame["conf_high"][0]) == found.ci()
    assert frame.columns.tolist()[:5] == ["term", "estimand", "estimate", "std_error", "statistic"]


def test_the_result_is_complete() -> None:
    found = run(world(n=300, n_labelled=80), estimator=slope)
    table = found.table()
    assert table["method"].tolist() == ["predictions", "classical", "predict then debias"] * 2
    assert table["term"].tolist() == ["intercept"] * 3 + ["x"] * 3
    assert (table["worth_labels"][[2, 5]] > 1.2 * 80).all()
    assert repr(found).startswith("DebiasedBootstrap(coefficients of truth: intercept")
    assert len(found.summary().splitlines()) <= 25
    assert type(found).from_dict(json.loads(json.dumps(found.to_dict(scores=True)))) == found
    with pytest.raises(EstimationError, match="holds no draws"):
        type(found).from_dict(found.to_dict())
    assert len(found.plot().get_yticklabels()) == 6


def test_draws_without_an_answer_are_counted_and_many_of_them_refused() -> None:
    table = world(n=300, n_labelled=80)
    table["village"] = np.where(np.arange(300) < 80, np.arange(300) // 16, np.arange(300))
    found = run(table, cluster="village", draws=999)
    assert any(f"{999 - len(found.draws)} of 999 draws have no answer" in text for text in found.warnings)
    table["village"] = np.where(np.arange(300) < 80, np.arange(300) // 40, np.arange(300))
    with pytest.raises(DebiasError, match="draws have no answer"):
        run(table, cluster="village")


@pytest.mark.parametrize(
    ("change", "options", "error", "words"),
    [
        ({}, {"estimator": "mean"}, DebiasError, "estimator is a str"),
        ({}, {"estimator": lambda t, y, w: np.nan}, DebiasError, "not finite"),
        ({}, {"estimator": lambda t, y, w: y[: len(y) // 50]}, DebiasError, "as many coefficients"),
        ({}, {"tuning": "ful"}, DebiasError, "Did you mean 'full'"),
        ({}, {"resampling": 99}, DebiasError, "resampling is a int"),
        ({}, {"labelling": 1.0}, DebiasError, "strictly between 0 and 1"),
        ({"chance": 0.0}, {"labelling": "chance"}, DebiasError, "strictly between 0 and 1.\n  Where: 300"),
        ({}, {"labelling": "chanc"}, DebiasError, "'chanc' is not in the data"),
        ({"seen": True}, {"labelling": ec.Labelling(trained_on="seen")}, DebiasError, "leaves units out"),
        ({}, {"truth": "trut"}, DebiasError, "Did you mean 'truth'"),
        ({"truth": np.nan}, {}, DebiasError, "No unit has a label"),
        ({"weight": 0.0}, {"weights": "weight"}, DesignError, "must be positive"),
        ({"village": None}, {"cluster": "village"}, DesignError, "missing for some units"),
        ({"region": 1}, {"strata": "regio"}, DebiasError, "'regio' is not in the data"),
        ({"region": [None, *[1] * 299]}, {"strata": "region"}, DebiasError, "missing for some units"),
        ({"region": [*[1] * 299, 2]}, {"strata": "region"}, DebiasError, r"one unit, .* vary.\n  Where: 1 \(2\)"),
        (
            {"region": np.arange(300) % 2, "village": np.arange(300) // 10},
            {"strata": "region", "cluster": "village"}, DebiasError, "lie in several strata of 'region'",
        ),
    ],
)  # fmt: skip
def test_bad_input_is_named(change: dict, options: dict, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        run(world(n=300, n_labelled=100).assign(**change), **options)


@pytest.mark.parametrize(("options", "words"), [({"draws": 5}, "at least 99"), ({"seed": -1}, "seed=-1")])
def test_bad_resampling_is_named(options: dict, words: str) -> None:
    with pytest.raises(DebiasError, match=words):
        ec.Resampling(**options)
