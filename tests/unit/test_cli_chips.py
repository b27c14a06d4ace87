"""``eocausal chips``: a store, the account and figures of the chips of a specification."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.image import imread
from typer.testing import CliRunner

import eocausal as ec
from eocausal import cli
from tests.scenes import NORTH, WEST, numbered, read_all, units_on, write_scene

pytest.importorskip("zarr")

STUDY = """\
spec_version: 1
title: A study
units: {path: units.csv, id: unit, lon: x, lat: y, crs: "EPSG:32636"}
imagery: {rasters: scene.tif, size_m: [300, 120], date: 2007-06-30}
encoder: {name: image_stats}
design: {outcome: income, treatment: grant}
effects: {ate: [difference]}
"""
ROWS = [10.0, 40.0, 20.0, 30.0, 70.0, 55.0]


def write_units(folder: Path, count: int, grant: list[Any] | None = None) -> None:
    table = {
        "unit": [f"u{i}" for i in range(count)],
        "x": [WEST + 600.0] * count,
        "y": [NORTH - 30 * row for row in ROWS[:count]],
        "income": range(count),
        "grant": grant or [i % 2 for i in range(count)],
    }
    pd.DataFrame(table).to_csv(folder / "units.csv", index=False)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    write_units(tmp_path, 5)
    write_scene(tmp_path / "scene.tif", numbered())
    (tmp_path / "analysis.yaml").write_text(STUDY)
    return tmp_path / "analysis.yaml"


def _run(*arguments: str) -> Any:
    return CliRunner().invoke(cli.app, list(arguments))


def test_chips_leave_a_store_an_account_and_a_figure_for_each_size(study: Path) -> None:
    out = study.parent / "results"
    shown = _run("chips", str(study), "--out", str(out), "--no-progress")
    assert shown.exit_code == 0, shown.output
    assert sorted(path.name for path in out.iterdir()) == [
        "chips.zarr",
        "chips_120m.png",
        "chips_300m.png",
        "chips_account.csv",
    ]
    assert shown.stdout.splitlines()[-4:] == [
        f"Store:   {out / 'chips.zarr'}",
        f"Account: {out / 'chips_account.csv'}",
        f"Figure:  {out / 'chips_300m.png'}",
        f"Figure:  {out / 'chips_120m.png'}",
    ]
    assert "1 units (0 treated, 1 control) have no usable 300m chip" in shown.stdout
    units = units_on([(row, 20.0) for row in ROWS[:5]])
    direct = ec.chips(units, study.parent / "scene.tif", size_m=[300, 120])
    stored = read_all(ec.open_chips(out / "chips.zarr", units))
    assert stored.pixels["120m"].tobytes() == read_all(direct).pixels["120m"].tobytes()
    account = pd.read_csv(out / "chips_account.csv")
    assert account["unit"].tolist() == [f"u{i}" for i in range(5)] * 2
    assert account["status"].tolist() == direct.table()["status"].tolist()
    assert account["n_treated"].tolist() == [0, 1, 0, 1, 0] * 2
    assert set(account["last_date"].dropna()) == {"2007-06-30"}
    assert imread(out / "chips_300m.png").shape[1] > 1000


def test_a_second_wave_is_appended(study: Path) -> None:
    assert _run("chips", str(study), "--no-progress").exit_code == 0
    write_units(study.parent, 6)
    refused = _run("chips", str(study), "--no-progress")
    assert refused.exit_code == 1
    assert "append=True) adds keys" in str(refused.exception)
    shown = _run("chips", str(study), "--append", "--no-progress")
    assert shown.exit_code == 0, shown.output
    out = study.parent / "out"
    assert (out / "chips.zarr" / "part00001").is_dir()
    assert len(pd.read_csv(out / "chips_account.csv")) == 12


@pytest.mark.parametrize(
    ("grant", "words"),
    [
        ([0, 1, None, 1, 0], "Arms are not compared: 'grant' has no value for 1 of 5 units."),
        ([0, 1, 2, 1, 0], "Arms are not compared: 'grant' is not 0 and 1."),
    ],
)
def test_an_unknown_arm_is_said_and_does_not_stop_the_cutting(
    study: Path, grant: list[Any], words: str
) -> None:
    write_units(study.parent, 5, grant)
    shown = _run("chips", str(study), "--no-progress")
    assert shown.exit_code == 0, shown.output
    assert words in shown.stdout
    assert "n_treated" not in pd.read_csv(study.parent / "out" / "chips_account.csv")


def test_a_specification_without_imagery_is_refused(
    study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pd.DataFrame({"unit": ["u0"], "f1": [0.5]}).to_csv(study.parent / "features.csv", index=False)
    text = STUDY.replace("encoder: {name: image_stats}\n", "")
    lines = [line for line in text.splitlines() if not line.startswith("imagery")]
    study.write_text("\n".join([*lines, "embeddings: {path: features.csv, key: unit}"]) + "\n")
    monkeypatch.setattr(sys, "argv", ["eocausal", "chips", str(study)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 1
    assert "has no imagery to cut chips from" in capsys.readouterr().err
