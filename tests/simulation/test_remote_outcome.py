"""Effects on outcomes that were sensed remotely over many draws: bias, coverage, size of tests."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import eocausal as ec

DRAWS = 400
TRUTH = -0.2
# three Monte Carlo standard errors of 95% over the draws
COVERED = (0.915, 0.985)


def _world(
    seed: int, *, n: int, m: int, sharp: float, clustered: bool = False
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A trial with predictions and a survey with predictions and truth, of another share of poor places."""
    rng = np.random.default_rng(seed)
    village = np.arange(n) // 10 if clustered else np.arange(n)
    grant = rng.permutation(np.arange(village.max() + 1) % 2)[village]
    shock = 0.1 * rng.uniform(-1, 1, size=village.max() + 1)[village]
    poor = (rng.uniform(size=n) < 0.6 + shock + TRUTH * grant).astype(float)
    area = np.arange(m) // 10 if clustered else np.arange(m)
    labels = (rng.uniform(size=m) < 0.3 + 0.2 * rng.uniform(-1, 1, size=area.max() + 1)[area]).astype(float)
    trial = pd.DataFrame({"grant": grant, "village": village, "seen": sharp * poor + rng.normal(size=n)})
    trial["other"] = sharp * poor + rng.standard_t(3, size=n)
    survey = pd.DataFrame({"poor": labels, "seen": sharp * labels + rng.normal(size=m)})
    survey["other"] = sharp * labels + rng.standard_t(3, size=m)
    survey["area"] = [f"a{one}" for one in area]
    return trial, survey.set_axis([f"s{one}" for one in range(m)])


def _summary(rows: list[list[float]], name: str) -> dict[str, float]:
    estimate, error, low, high = np.array(rows).T
    made = {
        "bias": float(estimate.mean() - TRUTH),
        "noise": float(estimate.std(ddof=1) / np.sqrt(len(rows))),
        "covered": float(((low <= TRUTH) & (high >= TRUTH)).mean()),
        "ratio": float(error.mean() / estimate.std(ddof=1)),
        "spread": float(estimate.std(ddof=1)),
    }
    print(name, {key: round(value, 4) for key, value in made.items()})
    return made


def _run(draw: int, world: dict, options: dict) -> ec.Estimate:
    trial, survey = _world(draw, **world)
    own = {"cluster": "village"} if world.get("clustered") else {}
    design = ec.Design(trial, outcome="seen", treatment="grant", **own)
    named = {"cluster": "area"} if world.get("clustered") else {}
    return ec.remote_outcome(design, survey, truth="poor", method="difference", **named, **options)


CASES = {
    "independent": ({"n": 2000, "m": 300, "sharp": 1.5}, {}),
    "few labels": ({"n": 4000, "m": 100, "sharp": 1.5}, {}),
    "clusters": ({"n": 2000, "m": 500, "sharp": 1.5, "clustered": True}, {}),
    "efficient": (
        {"n": 2000, "m": 500, "sharp": 1.0}, {"h": "efficient", "prediction": ["seen", "other"]},
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_intervals_cover_and_estimates_are_right(case: str) -> None:
    world, options = CASES[case]
    rows, rejected = [], []
    for draw in range(DRAWS):
        found = _run(draw, world, options)
        rows.append([found.estimate, found.std_error, *found.ci()])
        rejected.append(found.tests()["p_value"][0] < 0.05)
    made = _summary(rows, case)
    assert abs(made["bias"]) < 4 * made["noise"] + 0.003
    assert COVERED[0] <= made["covered"] <= COVERED[1]
    assert 0.9 <= made["ratio"] <= 1.1
    print("mixture test rejects", np.mean(rejected))
    assert np.mean(rejected) < 0.09


@pytest.mark.slow
def test_the_efficient_function_is_more_precise() -> None:
    """Predictions with heavy tails say little far out, and a second column says more."""
    world = {"n": 2000, "m": 500, "sharp": 1.0}
    by = {
        name: _summary(
            [
                [found.estimate, found.std_error, *found.ci()]
                for found in (_run(d, world, o) for d in range(150))
            ],
            name,
        )
        for name, o in (
            ("prediction", {}),
            ("efficient", {"h": "efficient", "prediction": ["seen", "other"]}),
        )
    }
    assert by["efficient"]["spread"] < 0.9 * by["prediction"]["spread"]


@pytest.mark.slow
def test_fiellers_set_covers_where_predictions_are_weak() -> None:
    covered, delta = [], []
    for draw in range(DRAWS):
        found = _run(draw, {"n": 2000, "m": 100, "sharp": 0.5}, {})
        low, high = found.ci()
        covered.append(found.fieller().holds(TRUTH))
        delta.append(low <= TRUTH <= high)
    print("fieller", np.mean(covered), "delta", np.mean(delta))
    assert COVERED[0] <= np.mean(covered) <= COVERED[1]


@pytest.mark.slow
def test_shares_by_rogan_and_gladen_cover() -> None:
    rows = []
    for draw in range(DRAWS):
        trial, survey = _world(draw, n=1000, m=300, sharp=1.5)
        found = ec.rogan_gladen(trial[["seen"]], survey, prediction="seen", truth="poor")
        rows.append([found.estimate, *found.ci()])
    estimate, low, high = np.array(rows).T
    truth = 0.6 + TRUTH / 2
    print("share", estimate.mean(), np.mean((low <= truth) & (truth <= high)))
    assert abs(estimate.mean() - truth) < 4 * estimate.std() / np.sqrt(DRAWS) + 0.003
    assert COVERED[0] <= np.mean((low <= truth) & (truth <= high)) <= COVERED[1]


def _index(draw: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """An index from 0 to 100 on a map that flattens at both ends; the trial lies where the map is steep."""
    rng = np.random.default_rng(draw)

    def seen(truth: np.ndarray) -> np.ndarray:
        return 20 + 50 / (1 + np.exp(-(truth - 40) / 12)) + 6 * rng.normal(size=truth.size)

    grant = np.tile([0, 1], 2000)
    trial = pd.DataFrame({"grant": grant, "seen": seen(rng.normal(45, 12, size=4000) + 5 * grant)})
    truth = np.clip(rng.normal(45, 28, size=800), 0, 100)
    survey = pd.DataFrame({"wealth": truth, "seen": seen(truth)}, index=[f"s{one}" for one in range(800)])
    return trial, survey


@pytest.mark.slow
def test_levels_follow_a_curved_map_where_one_line_does_not() -> None:
    found: dict[str, list[list[float]]] = {"line": [], "levels": []}
    for draw in range(150):
        trial, survey = _index(draw)
        design = ec.Design(trial, outcome="seen", treatment="grant")
        line = np.polyfit(survey["wealth"], survey["seen"], 1)[0]
        found["line"].append([ec.ate(design, method="difference").estimate / line])
        made = ec.remote_outcome(design, survey, truth="wealth", h=[20, 35, 50, 65], method="difference")
        found["levels"].append([made.estimate, made.std_error, *made.ci()])
    line, levels = (np.array(found[name]) for name in ("line", "levels"))
    covered = np.mean((levels[:, 2] <= 5) & (levels[:, 3] >= 5))
    print("line", line.mean(), "levels", levels.mean(axis=0), levels[:, 0].std(), "covered", covered)
    assert line.mean() > 6
    assert abs(levels[:, 0].mean() - 5) < 0.3
    assert 0.88 <= covered <= 0.99
