"""``eocausal debias``: a map, its card and a trial in; effects with errors, corrected predictions out."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import eocausal as ec
from eocausal import cli
from eocausal.errors import DebiasError, DesignError, UnitsError
from eocausal.map_cards.debiased_trial import AskedTrial, debias_trial
from tests.scenes import NORTH, WEST, write_scene

HEIGHT, WIDTH, N = 50, 60, 240


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a map that shrinks by half, its card, and a trial whose treatment adds 1 to the truth."""
    folder = tmp_path_factory.mktemp("study")
    rng = np.random.default_rng(3)
    at = [(float(row) + 0.5, float(column) + 0.5) for row in range(HEIGHT) for column in range(WIDTH)]
    treated = np.arange(HEIGHT * WIDTH) % 2
    truth = rng.normal(size=HEIGHT * WIDTH) + treated
    seen = 0.5 * truth + rng.normal(scale=0.3, size=truth.size)
    write_scene(folder / "map.tif", seen.reshape(1, HEIGHT, WIDTH).astype("float32"))
    spots = rng.permutation(truth.size)
    row, column = np.array(at).T
    table = pd.DataFrame(
        {
            "village": [f"v{one}" for one in range(truth.size)], "x": WEST + 30 * column, "y": NORTH - 30 * row,
            "w": treated, "age": rng.normal(size=truth.size), "town": np.arange(truth.size) % 40,
            "year": 2015, "survey": truth, "map": seen.astype("float32"),
        }
    )  # fmt: skip
    fix = ec.debias(
        table.iloc[spots[:600]].set_index("village"), prediction="map", truth="survey", method="lcc"
    )
    fix.to_map_card(folder / "map.tif", card=folder / "card.json", period=2015, unit="index", progress=False)
    trial = table.iloc[np.sort(spots[600 : 600 + N])].drop(columns=["survey", "map"])
    trial.to_csv(folder / "trial.csv", index=False)
    return folder


def _run(study: Path, *more: str, table: str = "trial.csv") -> Any:
    given = [str(study / "map.tif"), "--card", str(study / "card.json"), "--units", str(study / table)]
    where = ["--id", "village", "--lon", "x", "--lat", "y", "--crs", "EPSG:32636", "--no-progress"]
    return CliRunner().invoke(cli.app, ["debias", *given, *where, *more])


def _by_hand(study: Path) -> tuple[ec.Design, ec.Corrector]:
    trial = pd.read_csv(study / "trial.csv")
    units = ec.read_units(trial, id="village", lon="x", lat="y", crs="EPSG:32636")
    prediction = ec.sample_map(study / "map.tif", units).prediction
    design = ec.Design(
        trial.set_index("village").assign(p=prediction),
        outcome="p",
        treatment="w",
        cluster="town",
        covariates=["age"],
    )
    return design, ec.read_map_card(study / "card.json").corrector


def test_effects_are_those_of_the_library_with_the_calibrations_error_in_theirs(
    study: Path, tmp_path: Path
) -> None:
    shown = _run(
        study, "--treatment", "w", "--cluster", "town", "--out", str(tmp_path), "--outcome-date", "year"
    )
    assert shown.exit_code == 0, shown.output
    design, corrector = _by_hand(study)
    expected = ec.ate(design, method="difference", correct=corrector)
    made = json.loads((tmp_path / "effects.json").read_text())
    assert made["believed"] == "lcc"
    assert made["warnings"] == list(expected.warnings)
    table = pd.DataFrame(made["table"]).set_index("term")
    assert table["estimate"].to_dict() == pytest.approx(
        expected.table().set_index("term")["estimate"].to_dict()
    )
    assert table["std_error"].to_dict() == pytest.approx(
        expected.table().set_index("term")["std_error"].to_dict()
    )
    assert table.loc["naive", "se_calibration"] == 0
    assert table.loc["lcc", "se_calibration"] > 0
    # the truth is 1, and the map shows half of it
    assert table.loc["naive", "estimate"] == pytest.approx(0.5, abs=0.2)
    assert table.loc["lcc", "conf_low"] < 1 < table.loc["lcc", "conf_high"]
    assert made["map"]["name"] == "map.tif"
    assert made["card"]["key"] == corrector.key
    assert made["result"]["type"] == "Corrected"
    for text in ("naive", "lcc", "tweedie", "std_error", "in index", "assumes: ", "between naive and lcc"):
        assert text in shown.stdout
    assert f"Predictions: {tmp_path / 'corrected_predictions.csv'}" in shown.stdout


def test_corrected_predictions_are_written_by_unit(study: Path, tmp_path: Path) -> None:
    assert _run(study, "--treatment", "w", "--out", str(tmp_path)).exit_code == 0
    written = pd.read_csv(tmp_path / "corrected_predictions.csv", index_col="village")
    design, corrector = _by_hand(study)
    predictions = design.data["p"]
    assert written.index.tolist() == predictions.index.tolist()
    assert written["prediction"].to_numpy() == pytest.approx(predictions.to_numpy())
    assert written["lcc"].to_numpy() == pytest.approx((predictions.to_numpy() - corrector.m) / corrector.k)
    assert list(written) == [
        "prediction", "row", "column", "pixels", "lcc", "tweedie", "causal", "display", "in_support",
    ]  # fmt: skip


def test_covariates_are_adjusted_for_by_the_method_that_is_asked(study: Path, tmp_path: Path) -> None:
    how = ["--treatment", "w", "--covariates", "age", "--cluster", "town"]
    assert _run(study, *how, "--method", "regression", "--out", str(tmp_path)).exit_code == 0
    design, corrector = _by_hand(study)
    made = json.loads((tmp_path / "effects.json").read_text())
    expected = ec.ate(design, method="regression", correct=corrector).table()
    assert [row["estimate"] for row in made["table"]] == pytest.approx(expected["estimate"].tolist())
    assert made["asked"] == {
        "treatment": "w", "method": "regression", "covariates": ["age"], "cluster": "town", "weights": None,
        "propensity": None, "outcome_date": None, "missing": "error", "seed": 0,
    }  # fmt: skip
    shown = _run(study, "--treatment", "w", "--method", "ipw", "--propensity", "0.5", "--out", str(tmp_path))
    assert shown.exit_code == 0, shown.output
    assert "by ipw" in shown.stdout


def test_units_off_the_map_stop_it_unless_they_are_to_be_counted(study: Path, tmp_path: Path) -> None:
    trial = pd.read_csv(study / "trial.csv")
    trial.loc[:2, "x"] = WEST - 5000
    trial.to_csv(study / "off.csv", index=False)
    shown = _run(study, "--treatment", "w", "--out", str(tmp_path), table="off.csv")
    assert shown.exit_code == 1
    assert "outside of the map 'map.tif': 3 of 240" in str(shown.exception)
    assert not list(tmp_path.iterdir())
    shown = _run(study, "--treatment", "w", "--keep-missing", "--out", str(tmp_path), table="off.csv")
    assert shown.exit_code == 0, shown.output
    assert "WARNING: 3 of 240 units lie outside of the map" in shown.stdout
    assert "n 237" in shown.stdout
    written = pd.read_csv(tmp_path / "corrected_predictions.csv")
    assert written["causal"].isna().tolist() == [True] * 3 + [False] * 237


def test_years_outside_of_the_period_are_told(study: Path, tmp_path: Path) -> None:
    pd.read_csv(study / "trial.csv").assign(year=2019).to_csv(study / "late.csv", index=False)
    shown = _run(
        study, "--treatment", "w", "--out", str(tmp_path), "--outcome-date", "year", table="late.csv"
    )
    assert "WARNING: 240 of 240 units have an outcome_date outside of the map's period" in shown.stdout


@pytest.mark.parametrize(
    ("more", "told", "kind"),
    [
        (["--treatment", "v"], "Column 'v' is not in the units", UnitsError),
        (["--treatment", "town"], "town", DesignError),
        (["--treatment", "w", "--cluster", "vilage"], "vilage", UnitsError),
        (["--treatment", "w", "--covariates", "age,wight"], "wight", UnitsError),
        (["--treatment", "w", "--propensity", "chance"], "chance", UnitsError),
        (["--treatment", "w", "--card", "trial.csv"], "is not there", DebiasError),
    ],
)
def test_mistakes_are_told(
    study: Path, tmp_path: Path, more: list[str], told: str, kind: type[Exception]
) -> None:
    shown = _run(study, *more, "--out", str(tmp_path))
    assert shown.exit_code == 1
    assert isinstance(shown.exception, kind)
    assert told in str(shown.exception)


def test_results_do_not_go_where_a_file_is(study: Path) -> None:
    shown = _run(study, "--treatment", "w", "--out", str(study / "trial.csv"))
    assert isinstance(shown.exception, DebiasError)
    assert "trial.csv' is a file" in str(shown.exception)
    assert "village" in (study / "trial.csv").read_text()


def test_a_column_called_prediction_is_refused(study: Path, tmp_path: Path) -> None:
    trial = pd.read_csv(study / "trial.csv").assign(prediction=1.0)
    units = ec.read_units(trial, id="village", lon="x", lat="y", crs="EPSG:32636")
    with pytest.raises(DebiasError, match=r"column 'prediction' already[\s\S]*rename it"):
        debias_trial(study / "map.tif", units, card=study / "card.json", asked=AskedTrial("w"), out=tmp_path)


def test_another_map_is_told_without_a_traceback(study: Path, tmp_path: Path) -> None:
    other = write_scene(tmp_path / "other.tif", np.zeros((1, HEIGHT, WIDTH), dtype="float32"))
    command = [
        sys.executable, "-m", "eocausal.cli", "debias", str(other), "--card", str(study / "card.json"), "--units",
        str(study / "trial.csv"), "--treatment", "w", "--id", "village", "--lon", "x", "--lat", "y", "--crs",
        "EPSG:32636", "--out", str(tmp_path / "out"),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "is not the map that this card was made for ('map.tif')" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_help_names_the_command() -> None:
    shown = CliRunner().invoke(cli.app, ["debias", "--help"])
    assert shown.exit_code == 0
    for option in ("--card", "--units", "--treatment", "--method", "--cluster", "--covariates", "--out"):
        assert option in shown.stdout
