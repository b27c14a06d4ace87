"""Sources compared on the public Uganda trial, beside what R's grf gives on the same units and features."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import eocausal as ec


@pytest.mark.slow
def test_published_features_rank_as_grf_has_it_and_cannot_be_told_from_three_covariates(shared: Path) -> None:
    folder = shared / "data" / "uganda_yop"
    table = pd.read_csv(folder / "units.csv")
    units = ec.read_units(table, id="unit_id", lon="geo_long", lat="geo_lat", image_key="image_key")
    clip = ec.read_embeddings(pd.read_parquet(folder / "embeddings_clip_rsicd.parquet"), key="image_key")
    design = ec.Design(
        units, outcome="outcome", treatment="treated", covariates=["x2", "x4", "x6"], cluster="image_key",
        missing="drop",
    )  # fmt: skip
    forest = ec.Forest(engine="fast", trees=200, pca=50, n_jobs=1)
    found = ec.compare_features(
        design, {"tabular": None, "clip": clip}, learner=forest, folds=ec.Folds(repeats=5)
    )
    ratios = found.splits.query("source == 'clip'").groupby("estimand")["ratio"].mean()
    # grf on 50 components, sequential folds, ten dealings: 2.10 (SD 0.70) and 2.11 (SD 0.76)
    assert ratios["AUTOC"] == pytest.approx(2.10, abs=0.9)
    assert ratios["QINI"] == pytest.approx(2.11, abs=0.9)
    row = found.differences().loc["clip"]
    assert row["difference_low"] < 0 < row["difference_high"]
    assert found.n_clusters is not None
    assert found.n_clusters < 330
