"""Coverage of coefficients, bootstraps and cross-predictions from labels, and how far others' errors are off."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

import eocausal as ec

pytestmark = pytest.mark.slow


def coverage(
    one: Callable[[np.random.Generator], tuple[object, object, object]], draws: int, truth: object
) -> dict:
    """Return coverage of 95% intervals, mean standard error over the spread of estimates, and bias in spreads."""
    rng = np.random.default_rng(11)
    found = [one(rng) for _ in range(draws)]
    values, errors, bounds = (np.array([np.atleast_1d(row[part]) for row in found]) for part in range(3))
    bounds = bounds.reshape(draws, -1, 2)
    inside = (bounds[:, :, 0] <= truth) & (truth <= bounds[:, :, 1])
    spread = values.std(axis=0)
    made = {
        "coverage": inside.mean(axis=0),
        "ratio": errors.mean(axis=0) / spread,
        "bias": (values.mean(axis=0) - truth) / spread,
    }
    print({name: value.round(3).tolist() for name, value in made.items()})
    return made


def shrunk_world(rng: np.random.Generator, n: int = 1500, n_labelled: int = 100) -> pd.DataFrame:
    """Predictions that shrink and err by the covariate; outcomes that vary more where it is large."""
    x = rng.normal(size=n)
    noise = (0.5 + 0.5 * np.abs(x)) * rng.normal(size=n)
    truth = 1 + x + noise
    predicted = 0.5 + 0.4 * x + 0.7 * noise + 0.3 * rng.normal(size=n)
    return pd.DataFrame(
        {"x": x, "predicted": predicted, "truth": np.where(np.arange(n) < n_labelled, truth, np.nan)}
    )


@pytest.mark.parametrize("method", ["ppi++", "ppi", "classical"])
def test_intervals_of_least_squares_cover(method: str) -> None:
    def one(rng: np.random.Generator) -> tuple[object, object, object]:
        named = {"prediction": "predicted", "truth": "truth", "covariates": ["x"]}
        found = ec.ppi_regression(shrunk_world(rng), method=method, **named)
        return found.estimate, found.std_error, found.ci()

    made = coverage(one, 1000, np.array([1.0, 1.0]))
    assert ((made["coverage"] > 0.925) & (made["coverage"] < 0.97)).all()
    assert ((made["ratio"] > 0.92) & (made["ratio"] < 1.07)).all()
    assert (np.abs(made["bias"]) < 0.12).all()


def test_gradients_at_the_rectified_coefficients_make_intervals_twice_too_wide() -> None:
    """The formula of ppi_py 0.2.3 for least squares, on predictions that shrink."""

    def one(rng: np.random.Generator) -> tuple[object, object, object]:
        table = shrunk_world(rng)
        found = ec.ppi_regression(
            table, prediction="predicted", truth="truth", covariates=["x"], method="ppi"
        )
        columns = np.column_stack([np.ones(len(table)), table["x"]])
        known = table["truth"].notna().to_numpy()
        fitted, inverse = columns @ found.estimate, np.linalg.inv(columns.T @ columns / len(table))
        of_prediction = columns * (fitted - table["predicted"].to_numpy())[:, None]
        of_truth = columns[known] * (fitted - table["truth"].to_numpy())[known, None]
        spread = np.cov((of_truth - of_prediction[known]).T) / known.sum()
        spread = spread + np.cov(of_prediction[~known].T) / (~known).sum()
        errors = np.sqrt(np.diag(inverse @ spread @ inverse))
        half = 1.959964 * errors
        return found.estimate, errors, np.column_stack([found.estimate - half, found.estimate + half])

    made = coverage(one, 400, np.array([1.0, 1.0]))
    assert made["ratio"][1] > 1.5
    assert made["coverage"][1] > 0.99


def test_intervals_of_a_logit_cover() -> None:
    def one(rng: np.random.Generator) -> tuple[object, object, object]:
        n = 2000
        x, hidden = rng.normal(size=n), rng.normal(size=n)
        chance = 1 / (1 + np.exp(-(0.3 + 0.8 * x)))
        # the hidden part is known to the predictions and averages out given x
        push = np.clip(chance + 0.35 * np.sign(hidden) * np.minimum(chance, 1 - chance), 0, 1)
        poor = (rng.uniform(size=n) < push).astype(float)
        predicted = np.clip(0.2 + 0.6 * push + 0.05 * rng.normal(size=n), 0, 1)
        table = pd.DataFrame(
            {"x": x, "predicted": predicted, "poor": np.where(np.arange(n) < 250, poor, np.nan)}
        )
        named = {"prediction": "predicted", "truth": "poor", "covariates": ["x"], "model": "logistic"}
        found = ec.ppi_regression(table, **named)
        return found.estimate, found.std_error, found.ci()

    made = coverage(one, 500, np.array([0.3, 0.8]))
    assert ((made["coverage"] > 0.925) & (made["coverage"] < 0.975)).all()
    assert ((made["ratio"] > 0.92) & (made["ratio"] < 1.08)).all()


def village_world(rng: np.random.Generator) -> pd.DataFrame:
    """Villages of six that vary together and are labelled whole."""
    village = np.repeat(np.arange(200), 6)
    shared = rng.normal(size=200)[village]
    x = 0.7 * rng.normal(size=200)[village] + 0.7 * rng.normal(size=1200)
    truth = 1 + x + 0.8 * shared + 0.6 * rng.normal(size=1200)
    predicted = 0.6 * truth + 0.3 * rng.normal(size=1200)
    return pd.DataFrame(
        {"x": x, "village": village, "predicted": predicted, "truth": np.where(village < 50, truth, np.nan)}
    )


def test_intervals_with_clusters_cover_and_without_do_not() -> None:
    def with_clusters(rng: np.random.Generator) -> tuple[object, object, object]:
        named = {"prediction": "predicted", "truth": "truth", "covariates": ["x"]}
        found = ec.ppi_regression(village_world(rng), cluster="village", **named)
        return found.estimate, found.std_error, found.ci()

    def without(rng: np.random.Generator) -> tuple[object, object, object]:
        found = ec.ppi_regression(village_world(rng), prediction="predicted", truth="truth", covariates=["x"])
        return found.estimate, found.std_error, found.ci()

    made = coverage(with_clusters, 500, np.array([1.0, 1.0]))
    assert ((made["coverage"] > 0.915) & (made["coverage"] < 0.975)).all()
    assert (coverage(without, 300, np.array([1.0, 1.0]))["coverage"] < 0.85).all()


@pytest.mark.parametrize("cluster", [None, "village"])
def test_intervals_of_predict_then_debias_cover(cluster: str | None) -> None:
    def middle(table: pd.DataFrame, outcome: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return np.array([outcome.mean(), np.quantile(outcome, 0.75)])

    def one(rng: np.random.Generator) -> tuple[object, object, object]:
        table = village_world(rng) if cluster else shrunk_world(rng, n=1000, n_labelled=150)
        found = ec.predict_then_debias(
            table, estimator=middle, prediction="predicted", truth="truth",
            resampling=ec.Resampling(draws=199, cluster=cluster, seed=int(rng.integers(10**6))),
        )  # fmt: skip
        return found.estimate, found.std_error, found.ci()

    rng = np.random.default_rng(0)
    if cluster:
        draws = 1 + np.sqrt(0.98 + 0.64 + 0.36) * rng.normal(size=2_000_000)
    else:
        x = rng.normal(size=2_000_000)
        draws = 1 + x + (0.5 + 0.5 * np.abs(x)) * rng.normal(size=x.size)
    made = coverage(one, 300, np.array([1.0, np.quantile(draws, 0.75)]))
    assert ((made["coverage"] > 0.90) & (made["coverage"] < 0.98)).all()
    assert ((made["ratio"] > 0.9) & (made["ratio"] < 1.15)).all()


@pytest.mark.parametrize("learner", ["ridge", "trees"])
def test_intervals_from_cross_predictions_cover(learner: str) -> None:
    from sklearn.tree import DecisionTreeRegressor

    chosen = "ridge" if learner == "ridge" else DecisionTreeRegressor(min_samples_leaf=5, random_state=0)
    gains = []

    def one(rng: np.random.Generator) -> tuple[object, object, object]:
        n = 1500
        table = pd.DataFrame(rng.normal(size=(n, 5)), columns=list("abcde"))
        table["grant"] = rng.permutation(np.tile([0, 1], n // 2))
        wealth = table["a"] + 0.5 * table["b"] + 0.5 * table["grant"] + 0.7 * rng.normal(size=n)
        table["wealth"] = wealth.where(np.arange(n) < 200)
        table["guess"] = rng.normal(size=n)
        design = ec.Design(table, outcome="guess", treatment="grant", covariates=list("abcde"))
        found = ec.cross_predictions(design, truth="wealth", learners=ec.Learners(outcome=chosen))
        frame = ec.ppi(found.onto(design), truth="wealth").fit.to_frame().set_index("term")
        gains.append(frame.loc["ppi", "std_error"] / frame.loc["classical", "std_error"])
        row = frame.loc["ppi"]
        return row["estimate"], row["std_error"], [row["conf_low"], row["conf_high"]]

    made = coverage(one, 400, np.array([0.5]))
    print("standard error over that of labels alone", np.mean(gains).round(3))
    assert 0.925 < made["coverage"][0] < 0.98
    assert 0.93 < made["ratio"][0] < 1.1
    assert np.mean(gains) < 0.9
