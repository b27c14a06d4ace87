"""Effects from predictions and labels on 12,081 surveyed villages of Africa, where all labels are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import eocausal as ec

MAP = "ic_resnet_msnl_concat"
DRAWS = 20


@pytest.fixture(scope="module")
def villages(shared: Path) -> pd.DataFrame:
    frame = pd.read_parquet(shared / "data" / "africa_wealth" / "clusters.parquet")
    frame["urban"] = frame["urban"].astype(int)
    return frame.set_axis([f"v{one}" for one in range(len(frame))])[[MAP, "urban", "wealth", "country"]]


def test_one_label_in_twenty_tells_how_much_richer_towns_are(villages: pd.DataFrame) -> None:
    truth = villages.groupby("urban")["wealth"].mean().diff().iloc[1]
    assert truth == pytest.approx(1.29583, abs=1e-5)
    estimates, errors, covered = np.zeros((DRAWS, 4)), np.zeros((DRAWS, 4)), np.zeros((DRAWS, 4), dtype=bool)
    for seed in range(DRAWS):
        labelled = np.random.default_rng(seed).random(len(villages)) < 0.05
        study = villages.assign(surveyed=villages["wealth"].where(labelled))
        found = ec.ppi(ec.Design(study, outcome=MAP, treatment="urban"), truth="surveyed")
        bounds = found.ci()
        estimates[seed], errors[seed] = found.estimate, found.std_error
        covered[seed] = (bounds[:, 0] < truth) & (bounds[:, 1] > truth)
    # the map alone says 1.191 whatever is labelled, with an error of 0.010
    assert estimates[:, 0] == pytest.approx(1.1912, abs=1e-4)
    assert not covered[:, 0].any()
    spread = estimates.std(axis=0)
    assert np.abs(estimates.mean(axis=0)[1:] - truth).max() < 4 * spread[1] / np.sqrt(DRAWS)
    assert covered[:, 1:].mean(axis=0).min() >= 0.8
    # labels with the map are worth half as many again
    assert 1.4 < (errors[:, 1] / errors[:, 3]).mean() ** 2 < 2.0


def test_labels_say_that_neither_story_of_errors_holds(villages: pd.DataFrame) -> None:
    labelled = np.random.default_rng(0).random(len(villages)) < 0.2
    study = villages.assign(surveyed=villages["wealth"].where(labelled))
    found = ec.ppi(ec.Design(study, outcome=MAP, treatment="urban", cluster="country"), truth="surveyed")
    tests = found.label_tests.set_index("term")
    part = villages[labelled]
    gap = (part["wealth"] - part[MAP]).groupby(part["urban"]).mean().diff().iloc[1]
    assert gap == pytest.approx(0.101, abs=0.001)  # the map takes a tenth off the difference of 1.3
    assert tests.loc["residual on treatment", "estimate"] == pytest.approx(gap, rel=1e-9)
    columns = np.column_stack([np.ones(len(part)), part["urban"], part["wealth"]])
    by_hand = np.linalg.lstsq(columns, part[MAP], rcond=None)[0]
    assert by_hand[1] > 0.3  # towns look richer than villages of the same wealth
    assert tests.loc["prediction on treatment, given truth", "estimate"] == pytest.approx(
        by_hand[1], rel=1e-9
    )
    assert tests.loc["prediction on treatment, given truth", "p_value"] < 1e-3
    assert tests["n_clusters"].tolist() == [villages["country"].nunique()] * 3
    assert found.diagnostics["lambda_tuned_by"] == "units"
