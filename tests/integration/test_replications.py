"""Replications run as a user runs them, on a part of the data, and say where data are when they are not there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = ["uganda_yop", "africa_aid", "image_types", "uganda_rate", "other_trials"]
# draw their own worlds, and write no report
DRAWN = ["multi_scale", "sequences", "one_map_many_trials"]


def _run(name: str, data: Path, out: Path) -> subprocess.CompletedProcess[str]:
    search = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, str(ROOT / "replications" / name / "replicate.py"),
         "--data", str(data), "--out", str(out), "--quick"],
        capture_output=True, text=True, check=False, timeout=600, cwd=out.parent,
        env={**os.environ, "PYTHONPATH": search, "MPLBACKEND": "Agg"},
    )  # fmt: skip


def test_every_replication_is_run_here_and_listed_in_its_readme() -> None:
    folders = {path.parent.name for path in (ROOT / "replications").glob("*/replicate.py")}
    assert folders == {*SCRIPTS, *DRAWN}
    readme = (ROOT / "replications" / "README.md").read_text(encoding="utf-8")
    assert all(f"`{name}/`" in readme for name in folders)


@pytest.mark.parametrize("name", SCRIPTS)
def test_without_data_a_replication_says_where_they_are(name: str, tmp_path: Path) -> None:
    done = _run(name, tmp_path, tmp_path / "out")
    assert done.returncode == 2
    assert "is not there" in done.stderr
    assert "--data FOLDER" in done.stderr
    assert "github.com/" in done.stderr
    assert "commit" in done.stderr
    assert not (tmp_path / "out").exists()


def _check_uganda(out: Path) -> None:
    effects = pd.read_csv(out / "effects.csv")
    assert effects["estimate"].between(0.4, 1.1).all()
    assert (effects["std_error"] > effects["iid"]).all()
    balance = pd.read_csv(out / "balance.csv")
    balanced = balance[balance["kind"] != "place"]
    assert balanced["smd_weighted"].abs().max() < 1e-6
    # in a trial nothing tells who is treated
    assigned = pd.read_csv(out / "assignment.csv")
    measured = assigned[["auc_covariates", "auc_features", "auc_both"]].to_numpy()
    assert ((measured > 0.3) & (measured < 0.7)).all()
    assert (assigned["r2_both"] < 0.1).all()


def _check_aid(out: Path) -> None:
    effects = pd.read_csv(out / "placement.csv")
    plain = effects[effects["method"] == "difference"].set_index("specification")["estimate"]
    held = effects[effects["method"] == "entropy_balancing"].set_index("specification")["estimate"]
    # towns get projects, so adjusting takes most of the difference away
    assert held.iloc[0] < 0.5 * plain.iloc[0]
    errors = pd.read_csv(out / "standard_errors.csv").set_index(["funder", "errors"])["std_error"]
    assert errors["China", "Conley 50 km"] > 1.5 * errors["China", "iid"]
    page = (out / "results.md").read_text(encoding="utf-8")
    assert "was taken on or after treatment" in page
    assert "Placebo" in page
    assigned = pd.read_csv(out / "assignment.csv")
    assert assigned["auc_added"].between(assigned["conf_low"], assigned["conf_high"]).all()
    assert assigned["specification"].str.contains("earlier pictures").any()


def _check_types(out: Path) -> None:
    effects = pd.read_csv(out / "uganda.csv")
    assert effects[effects["outcome"] == "published"]["effect"].tolist() == [0.741, 0.95]
    assert effects["effect"].between(0.3, 1.2).all()
    # where the answers to the stripe are among the features, types are found, better than by clusters
    recovery = pd.read_csv(out / "recovery.csv").set_index(["features", "method"])["correlation"]
    assert recovery["stripes", "mixture"] > max(0.7, recovery["stripes", "k-means"])
    # variances by type find spreads, of which effects are not
    gaps = pd.read_csv(out / "differences.csv").set_index(["outcome", "variances"])["difference"]
    assert gaps["raw", "arm"] > gaps["raw", "type"]


def _check_rate(out: Path) -> None:
    beside = pd.read_csv(out / "beside_grf.csv").set_index("quantity")
    assert beside.loc["AUTOC ratio, 20 halves: mean", "grf: 512"] == 1.78
    ours = beside["50 components of all units"]
    assert ours.notna().all()
    assert ours["average effect"] == pytest.approx(0.74, abs=0.25)
    splits = pd.read_csv(out / "splits.csv")
    assert splits.groupby("estimand").size().tolist() == [2, 2]
    assert splits.filter(like="halves: ").notna().all(axis=None)
    sources = pd.read_csv(out / "sources.csv").set_index("source")
    assert {"three covariates", "CLIP-RSICD", "8 px", "16 px", "35 px"} <= set(sources.index)
    # whoever searches gains by it
    gains = pd.read_csv(out / "gains.csv")
    assert (gains["by chance"] > 0).all()
    assert gains["gain (theirs)"].tolist() == [0.95, 0.41]


def _check_trials(out: Path) -> None:
    found = pd.read_csv(out / "trials.csv").set_index("trial")
    assert found.loc["graduation: assets", "effect"] == pytest.approx(0.358, abs=0.03)
    assert found.loc["schools: test score", "clusters"] == 107
    known = pd.read_csv(out / "ihdp.csv").set_index("learner")
    error = known["root mean squared error"]
    learned = error.drop("one effect for all")
    assert (learned < error["one effect for all"]).all()
    assert known.loc[learned.index, "AUTOC share"].between(0.5, 1).all()
    # what calibration says without the truth is near what it is
    assert (known["calibration"] - known["slope"]).abs().max() < 0.4


CHECKS = {
    "uganda_yop": _check_uganda,
    "africa_aid": _check_aid,
    "image_types": _check_types,
    "uganda_rate": _check_rate,
    "other_trials": _check_trials,
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_replication_runs_on_a_part_of_its_data(name: str, shared: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = _run(name, shared, out)
    assert done.returncode == 0, done.stderr
    for path in out.glob("*.csv"):
        assert len(pd.read_csv(path))
        assert path.stem in done.stdout
    assert list(out.glob("*.png"))
    page = (out / "results.md").read_text(encoding="utf-8")
    assert sum(text.startswith("| --- |") for text in page.splitlines()) == len(list(out.glob("*.csv")))
    reports = list(out.glob("report*.html"))
    assert reports
    assert all(text.rstrip().endswith("</html>") for text in (path.read_text("utf-8") for path in reports))
    CHECKS[name](out)


def test_sizes_of_pictures_are_compared_beside_the_published_table(tmp_path: Path) -> None:
    done = _run("multi_scale", tmp_path, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    out = tmp_path / "out"
    network, ridge = (pd.read_csv(out / f"outcomes_by_{name}.csv") for name in ("network", "ridge"))
    assert {"32 px (theirs)", "256 px (theirs)", "both (theirs)"} <= set(network.columns)
    # dark edges are put on large pictures alone, and a ridge sees them where the network has not learned yet
    edge = (network[["rotation", "blob", "contrast"]].sum(axis=1) == 0).to_numpy()
    assert ridge.loc[edge, "256 px"].item() > 0.6 > 0.1 > ridge.loc[edge, "32 px"].item()
    assert ridge.loc[edge, "256 px"].item() > network.loc[edge, "256 px"].item()
    effects = pd.read_csv(out / "effects.csv").set_index("trial")
    assert (effects["naive gain"] >= 0).all()
    assert effects.filter(like="R2").loc["nothing: no signal"].isna().all()
    page = (out / "results.md").read_text(encoding="utf-8")
    assert "![The search over sizes" in page
    assert (out / "search.png").is_file()


def test_ways_of_bringing_years_together_find_what_they_keep(tmp_path: Path) -> None:
    done = _run("sequences", tmp_path, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    out = tmp_path / "out"
    found = pd.read_csv(out / "by_ridge.csv").set_index(["effects follow", "encoder", "years"])["R2"]
    linear = found.xs("pixel mean, 2", level="encoder")
    # the mean of the years knows the level alone, changes the trend, spreads the volatility
    assert linear["level", "mean"] > 0.9
    assert linear["trend", "mean"] < 0.05
    assert linear["volatility", "mean"] < 0.05
    assert linear["trend", "mean, last - first"] > 0.6
    assert linear["volatility", "mean, SD"] > 0.3
    # and all years side by side hold what is linear in them
    assert min(linear[name, "all years side by side"] for name in ("level", "trend")) > 0.4
    assert linear["volatility", "all years side by side"] < 0.05
    assert (out / "explained.png").is_file()


def test_maps_shrink_effects_and_corrections_bring_them_back(tmp_path: Path) -> None:
    done = _run("one_map_many_trials", tmp_path, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    out = tmp_path / "out"
    for name in ("slopes", "slopes_fresh"):
        found = pd.read_csv(out / f"{name}.csv").set_index("method")
        assert found.loc["naive", "slope"] < 0.7
        assert found.loc[["true outcome", "lcc", "tweedie"], "slope"].between(0.85, 1.15).all()
    assert found.loc["naive", "p"] < 0.01
    published = pd.read_csv(out / "slopes.csv").set_index("method")["slope (theirs)"]
    assert published.round(2).to_dict()["naive"] == 0.53
    # a map trained not to shrink shrinks less, and still does
    assert 0.7 < pd.read_csv(out / "slopes.csv").set_index("method").loc["Ratledge loss", "slope"] < 0.97
    covered = pd.read_csv(out / "coverage.csv").set_index("method")
    assert covered.loc[["lcc", "tweedie"], "coverage"].min() > 0.75 > covered.loc["naive", "coverage"]
    assert (out / "estimates.png").is_file()
