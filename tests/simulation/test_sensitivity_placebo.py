"""How often placebo tests reject where nothing is wrong, and what they find where something is."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import eocausal as ec

pytestmark = pytest.mark.slow

N = 300


def smooth(places: np.ndarray, reach: float) -> np.ndarray:
    """Root of the covariance of a field over the map, alike up to about ``reach`` degrees."""
    apart = np.linalg.norm(places[:, None] - places[None], axis=2)
    return np.linalg.cholesky(np.exp(-apart / reach) + 1e-8 * np.eye(len(places)))


def map_without_effect(seed: int, *, clusters: int = 0) -> ec.Design:
    """Treatment and outcome are two unrelated fields, each alike among neighbours."""
    rng = np.random.default_rng(seed)
    centres = rng.random((clusters or N, 2))
    root = smooth(centres, 0.1)
    treated, outcome = (root @ rng.normal(size=len(centres)) for _ in range(2))
    of = np.arange(len(centres)).repeat(4 if clusters else 1)
    places = centres[of] + (0.01 * rng.random((of.size, 2)) if clusters else 0)
    frame = pd.DataFrame({"village": np.arange(of.size), "lon": 34 + places[:, 0], "lat": places[:, 1]})
    frame["aid"] = (treated > np.quantile(treated, 0.7)).astype(int)[of]
    frame["income"] = outcome[of] + 0.5 * rng.normal(size=of.size)
    frame["district"] = of
    units = ec.read_units(frame, id="village", lon="lon", lat="lat")
    return ec.Design(units, outcome="income", treatment="aid", cluster="district" if clusters else None)


def test_moving_treatment_has_size_where_dealing_it_anew_has_not():
    moved, dealt = [], []
    for seed in range(200):
        design = map_without_effect(seed)
        made = ec.ate(design, method="difference")
        found = ec.sensitivity(made, kind="placebo", tests="shifted_treatment", seed=seed)
        moved.append(found.numbers["shifted_p_value"] <= 0.05)
        dealt.append(ec.randomisation_test(design, draws=99, seed=seed).p_value() <= 0.05)
    print(f"moved {np.mean(moved):.3f}, dealt anew {np.mean(dealt):.3f}")
    assert 0.01 <= np.mean(moved) <= 0.09
    assert np.mean(dealt) > 0.15


def test_so_it_has_by_cluster():
    moved, dealt = [], []
    for seed in range(100):
        design = map_without_effect(seed, clusters=120)
        made = ec.ate(design, method="difference")
        found = ec.sensitivity(made, kind="placebo", tests="shifted_treatment", seed=seed)
        moved.append(found.numbers["shifted_p_value"] <= 0.05)
        dealt.append(ec.randomisation_test(design, draws=99, seed=seed).p_value() <= 0.05)
    print(f"moved {np.mean(moved):.3f}, dealt anew {np.mean(dealt):.3f}")
    assert 0.01 <= np.mean(moved) <= 0.10
    assert np.mean(dealt) > 0.12


def confounded(seed: int, *, n: int = 500) -> ec.Design:
    """Features of which a confounder is a function, and outcomes that treatment has not changed."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, 8))
    unseen = features[:, :2].sum(axis=1) / np.sqrt(2)
    frame = pd.DataFrame({"village": np.arange(n), "age": rng.normal(size=n)})
    frame["aid"] = (rng.random(n) < 1 / (1 + np.exp(-unseen))).astype(int)
    frame["income"] = frame["aid"] + unseen + 0.5 * frame["age"] + rng.normal(size=n)
    common = rng.normal(size=n)
    for name in ("before", "rain", "height"):
        frame[name] = unseen + common + rng.normal(size=n)
    named = pd.DataFrame(features, columns=[f"f{one}" for one in range(8)]).assign(village=np.arange(n))
    units = ec.read_units(frame.assign(key=frame["village"]), id="village", image_key="key")
    return ec.Design(
        units, outcome="income", treatment="aid", covariates=["age"],
        features=ec.read_embeddings(named.rename(columns={"village": "key"}), key="key"),
    )  # fmt: skip


def test_the_joint_test_of_placebo_outcomes_has_size_and_power():
    kept, left = [], []
    for seed in range(150):
        design = confounded(seed)
        for features, found in ((True, kept), (False, left)):
            part = design if features else design.without(features=True)
            made = ec.sensitivity(
                ec.ate(part, method="ols"),
                kind="placebo",
                tests="outcomes",
                outcomes=["before", "rain", "height"],
            )
            found.append(made.numbers["outcomes_p_value"] < 0.05)
    print(f"adjusted {np.mean(kept):.3f}, not adjusted {np.mean(left):.3f}")
    assert 0.02 <= np.mean(kept) <= 0.085
    assert np.mean(left) > 0.95


def test_what_images_move_is_covered_and_their_columns_alone_move_nothing():
    covered, alarms, gaps = [], [], []
    bias = None
    for seed in range(100):
        made = ec.ate(confounded(seed), method="ols")
        found = ec.sensitivity(made, kind="placebo", tests="permuted_images", draws=6, seed=seed)
        numbers = found.numbers
        bias = _bias() if bias is None else bias
        covered.append(abs(numbers["moved_by_images"] + bias) < 1.96 * numbers["moved_by_images_std_error"])
        alarms.append(found.frame["verdict"][0] == "sign of bias")
        gaps.append(numbers["permuted_images_difference"])
    print(f"covered {np.mean(covered):.3f}, alarms {np.mean(alarms):.3f}, gap {np.mean(gaps):.4f}")
    assert np.mean(covered) >= 0.9
    assert np.mean(alarms) <= 0.12
    assert abs(np.mean(gaps)) < 0.02


def _bias() -> float:
    """Bias of who does not look, in a very large sample."""
    rng = np.random.default_rng(0)
    unseen = rng.normal(size=4_000_000)
    treated = rng.random(unseen.size) < 1 / (1 + np.exp(-unseen))
    return float(unseen[treated].mean() - unseen[~treated].mean())
