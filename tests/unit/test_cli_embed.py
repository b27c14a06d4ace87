"""``eocausal embed``: the features of a specification alone, in a table that other studies read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import eocausal as ec
from eocausal import cli
from tests.scenes import NORTH, WEST, numbered, write_scene

STUDY = """\
spec_version: 1
title: A study
units: {path: units.csv, id: unit, lon: x, lat: y, crs: "EPSG:32636"}
imagery: {rasters: scene.tif, size_m: [300, 120], date: 2007-06-30}
encoder: {name: image_stats}
design: {outcome: income, treatment: grant}
effects: {ate: [difference]}
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    rows = [10.0, 40.0, 20.0, 30.0, 55.0]
    table = {
        "unit": [f"u{i}" for i in range(5)], "x": [WEST + 600.0] * 5, "y": [NORTH - 30 * row for row in rows],
        "income": range(5), "grant": [0, 1, 0, 1, 0],
    }  # fmt: skip
    pd.DataFrame(table).to_csv(tmp_path / "units.csv", index=False)
    write_scene(tmp_path / "scene.tif", numbered())
    (tmp_path / "analysis.yaml").write_text(STUDY)
    return tmp_path / "analysis.yaml"


def _run(*arguments: str) -> Any:
    return CliRunner().invoke(cli.app, list(arguments))


def test_the_table_is_what_embed_gives_and_another_study_reads_it(study: Path) -> None:
    out = study.parent / "results"
    shown = _run("embed", str(study), "--out", str(out), "--no-progress")
    assert shown.exit_code == 0, shown.output
    assert f"Table: {out / 'features.parquet'}" in shown.output
    table = ec.read_embeddings(out / "features.parquet", key="unit")
    units = ec.read_units(study.parent / "units.csv", id="unit", lon="x", lat="y", crs="EPSG:32636")
    chips = ec.chips(units, study.parent / "scene.tif", size_m=[300, 120], date="2007-06-30")
    np.testing.assert_array_equal(table.values, ec.embed(chips, encoder="image_stats", progress=False).values)
    again = _run("embed", str(study), "--out", str(out), "--no-progress", "--workers", "1")
    assert again.exit_code == 0, again.output
    assert sorted(path.name for path in out.iterdir()) == ["features", "features.parquet"]
