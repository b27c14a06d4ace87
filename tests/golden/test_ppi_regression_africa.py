"""Regressions of village wealth from a map and one label in twenty, against all 12,081 labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import eocausal as ec

# A map made for each country by the others.
MAP = "ooc_resnet_msnl_concat"


@pytest.fixture(scope="module")
def villages(shared: Path) -> pd.DataFrame:
    frame = pd.read_parquet(shared / "data" / "africa_wealth" / "clusters.parquet")
    frame["urban"] = frame["urban"].astype(float)
    return frame


def fitted(frame: pd.DataFrame, outcome: str) -> np.ndarray:
    columns = np.column_stack([np.ones(len(frame)), frame[["urban", "lat"]]])
    return np.linalg.lstsq(columns, frame[outcome], rcond=None)[0]


def test_the_map_alone_is_off_and_one_label_in_twenty_puts_it_right(villages: pd.DataFrame) -> None:
    truth, by_map = fitted(villages, "wealth")[1], fitted(villages, MAP)[1]
    assert truth == pytest.approx(1.2958, abs=1e-4)
    assert by_map == pytest.approx(1.1584, abs=1e-4)
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(100):
        table = villages.assign(surveyed=villages["wealth"].where(rng.random(len(villages)) < 0.05))
        found = ec.ppi_regression(table, prediction=MAP, truth="surveyed", covariates=["urban", "lat"])
        shown = found.table().query("term == 'urban'").set_index("method")
        rows.append(
            {
                **{name: shown.loc[name, "estimate"] for name in shown.index},
                "error": shown.loc["ppi++", "std_error"],
                "labels": shown.loc["ppi++", "worth_labels"] / found.diagnostics["n_labelled"],
                "covers": shown.loc["ppi++", "conf_low"] < truth < shown.loc["ppi++", "conf_high"],
                "naive covers": shown.loc["naive", "conf_low"] < truth < shown.loc["naive", "conf_high"],
            }
        )
    made = pd.DataFrame(rows)
    assert abs(made["ppi++"].mean() - truth) < 3 * made["ppi++"].std() / 10
    assert made["ppi++"].std() < 0.9 * made["classical"].std()
    # labels are drawn from a finite population of which they are a twentieth
    assert made["ppi++"].std() == pytest.approx(made["error"].mean(), rel=0.2)
    assert made["covers"].mean() >= 0.92
    assert made["naive covers"].mean() == 0
    assert made["labels"].mean() == pytest.approx(1.5, abs=0.2)


def test_countries_as_clusters_make_errors_larger(villages: pd.DataFrame) -> None:
    rng = np.random.default_rng(1)
    table = villages.assign(surveyed=villages["wealth"].where(rng.random(len(villages)) < 0.05))
    named = {"prediction": MAP, "truth": "surveyed", "covariates": ["urban", "lat"]}
    alone = ec.ppi_regression(table, **named)
    together = ec.ppi_regression(table, cluster="country", **named)
    assert together.n_clusters == villages["country"].nunique()
    assert (np.asarray(together.std_error)[[0, 2]] > 2 * np.asarray(alone.std_error)[[0, 2]]).all()
    assert any("clusters" in text for text in together.warnings)
