"""The main job, from specification to report, on a simulated region and on the Uganda trial."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.pipeline import Run

ROOT = Path(__file__).parents[2]
WRITTEN = {"report.html", "estimates.csv", "effects.parquet", "run.lock.json", "figures", "features"}
WRITTEN |= {"sensitivity_spatial.csv"}


def _smaller(text: str) -> str:
    """Return a specification with a forest and an encoder that are quick to make."""
    assert "trees: 2000" in text
    return text.replace("trees: 2000", "trees: 40").replace("n_features: 256", "n_features: 64")


@pytest.fixture(scope="module")
def region_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("region")
    region = ec.simulate_region(folder, n_units=400, n_villages=80, size_px=800, seed=3)
    region.spec.write_text(_smaller(region.spec.read_text()))
    return ec.run(region.spec, out=folder / "out", progress=False)


@pytest.fixture(scope="module")
def uganda_run(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("uganda")
    text = (ROOT / "data_specs" / "uganda_yop.yaml").read_text()
    spec = folder / "uganda.yaml"
    spec.write_text(
        _smaller(text.replace("${EOCAUSAL_SHARED}", str(shared)).replace("n_features: 512", "n_features: 64"))
    )
    return ec.run(spec, out=folder / "out", progress=False)


def test_every_promised_file_is_written(region_run: Run) -> None:
    assert {path.name for path in region_run.folder.iterdir()} == WRITTEN | {"truth.csv"}
    assert not list(region_run.folder.rglob("*.partial"))
    figures = {path.stem for path in (region_run.folder / "figures").iterdir()}
    assert figures >= {"balance", "overlap", "effects", "toc", "ate_aipw", "sensitivity_spatial"}
    assert region_run.report.read_text().startswith("<!DOCTYPE html>")


def test_the_tables_on_disk_are_the_results_in_memory(region_run: Run) -> None:
    table = pd.read_csv(region_run.folder / "estimates.csv")
    assert table["method"].tolist()[:4] == ["aipw", "difference", "regression", "ipw"]
    for _, row in table[table["estimand"] == "ate"].iterrows():
        result = region_run.estimates[row["method"]]
        assert row["estimate"] == pytest.approx(result.estimate, rel=1e-12)
        assert row["std_error"] == pytest.approx(result.std_error, rel=1e-12)
    effects = pd.read_parquet(region_run.folder / "effects.parquet")
    assert region_run.cate is not None
    np.testing.assert_array_equal(effects["effect"], region_run.cate.effect_values)
    assert len(effects) == 400


def test_the_lock_names_inputs_seeds_and_versions(region_run: Run) -> None:
    lock = json.loads((region_run.folder / "run.lock.json").read_text())
    assert lock["seed"] == 3
    assert lock["versions"]["econml"]
    assert lock["design"]["hash"] == region_run.design.fingerprint
    assert len(lock["units"]["sha256"]) == 64
    assert "spec_version: 1" in lock["spec"]["text"]


def test_estimates_lie_near_the_known_truth(region_run: Run) -> None:
    truth = region_run.truth
    assert truth is not None
    effects = truth[truth["quantity"].str.startswith("average effect")]
    assert (effects["error_in_se"].abs() < 3.5).all()
    correlation = truth.set_index("quantity")["estimate"]["correlation of predicted with true unit effects"]
    assert correlation > 0.3


def test_a_second_run_gives_the_same_estimates(region_run: Run) -> None:
    spec = region_run.folder.parent / "analysis.yaml"
    again = ec.run(spec, out=region_run.folder.parent / "again", progress=False)
    pd.testing.assert_frame_equal(again.to_frame(), region_run.to_frame(), check_exact=True)


def test_uganda_gives_the_reference_difference_and_regression(uganda_run: Run) -> None:
    difference, regression = uganda_run.estimates["difference"], uganda_run.estimates["regression"]
    assert difference.estimate == pytest.approx(0.7415, abs=5e-5)
    assert difference.std_error == pytest.approx(0.0755, abs=5e-5)
    assert difference.n == 2082
    assert regression.estimate == pytest.approx(0.747, abs=0.002)
    assert regression.std_error == pytest.approx(0.077, abs=0.001)
    assert any("7 units (5 treated, 2 control)" in text for text in regression.warnings)


def test_uganda_aipw_with_imagery_is_near_and_not_over_confident(uganda_run: Run) -> None:
    aipw, regression = uganda_run.estimates["aipw"], uganda_run.estimates["regression"]
    gap = aipw - regression
    assert abs(gap.estimate) < 3 * gap.std_error
    # imagery explains little of this outcome, so it cannot buy much precision
    assert aipw.std_error > 0.9 * regression.std_error


def test_uganda_images_with_both_arms_stay_in_one_fold(uganda_run: Run) -> None:
    assert uganda_run.estimates["difference"].diagnostics["clusters_with_both_arms"] == 49
    found = uganda_run.cate
    assert found is not None
    folds_of_image = pd.Series(found.folds).groupby(found.image_keys).nunique()
    assert (folds_of_image == 1).all()


def test_uganda_rate_has_an_interval_and_a_curve(uganda_run: Run) -> None:
    for target in ("AUTOC", "QINI"):
        result = uganda_run.rates[target]
        low, high = result.ci()
        assert low < result.estimate < high
        assert result.toc["q"].tolist() == pytest.approx(list(np.arange(1, 11) / 10))
        assert result.toc["estimate"].iloc[-1] == 0


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        ("x1_eq_treated", "equals the treatment up to scale"),
        ("x3_treated_x2", "equals the treatment times 'x2'"),
        ("x5_treated_x4", "equals the treatment times 'x4'"),
        ("x7_treated_x6", "equals the treatment times 'x6'"),
    ],
)
def test_uganda_columns_made_from_treatment_stop_the_job_by_name(
    shared: Path, tmp_path: Path, column: str, reason: str
) -> None:
    text = (ROOT / "data_specs" / "uganda_yop.yaml").read_text().replace("${EOCAUSAL_SHARED}", str(shared))
    spec = tmp_path / "uganda.yaml"
    # the published embeddings alone will do: the design is refused before anything is learned
    without_imagery = text[: text.index("imagery:")] + text[text.index("embeddings:") :]
    spec.write_text(without_imagery.replace("[x2, x4, x6]", f"[x2, x4, x6, {column}]"))
    with pytest.raises(ec.errors.LeakError, match=f"Covariate '{column}' {reason}"):
        ec.run(spec, out=tmp_path / "out", progress=False)


def test_the_command_line_runs_a_study_and_tells_where_the_report_is(region_run: Run, tmp_path: Path) -> None:
    spec = region_run.folder.parent / "analysis.yaml"
    command = [
        sys.executable,
        "-m",
        "eocausal.cli",
        "run",
        str(spec),
        "--out",
        str(tmp_path / "out"),
        "--no-progress",
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert "against the truth" in done.stdout
    assert "report.html" in done.stdout
    assert (tmp_path / "out" / "report.html").is_file()


def test_the_command_line_tells_a_mistake_without_a_traceback(tmp_path: Path) -> None:
    spec = tmp_path / "study.yaml"
    spec.write_text("spec_version: 1\ntitle: x\nunitz: {}\n")
    command = [sys.executable, "-m", "eocausal.cli", "validate", str(spec)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 1
    assert "Did you mean 'units'?" in done.stderr
    assert "Traceback" not in done.stderr
