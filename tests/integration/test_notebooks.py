"""Notebooks, and the twelve lines of the README, run as a user would run them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from nbclient import NotebookClient

import eocausal as ec
from eocausal.sensitivities.kinds import KINDS

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
KERNEL = "running"


def _check_rct(text: str, folder: Path) -> None:
    """The tables are printed, the words around them are true, and the report is a whole page."""
    assert "ate by aipw  (n 600, 100 clusters)" in text
    assert "cluster(village)" in text
    assert "AUTOC, QINI by sequential folds" in text
    found = re.search(r"true average effect (\S+); estimate \S+, 95% interval (\S+) to (\S+)", text)
    assert found is not None
    truth, low, high = map(float, found.groups())
    assert low < truth < high
    correlation = re.search(r"correlation of predicted with true effects (\S+)", text)
    assert correlation is not None
    assert float(correlation[1]) > 0.5
    page = (folder / "out" / "region.html").read_text(encoding="utf-8")
    assert page.lstrip().lower().startswith("<!doctype html>")
    assert page.rstrip().endswith("</html>")


def _check_chips(text: str, folder: Path) -> None:
    """Scenes are found, the frame without one stays empty, the guard refuses, the store is whole."""
    assert "Scenes(10 rasters, 5 days from 2020-12-18 to 2022-12-18, bands blue green red nir scl)" in text
    assert "Chips(200 keys, 320m 640m 1280m, 4 bands, 10 rasters, native grid)" in text
    assert "frames ('-18M', '-12M', '-6M') pixels (200, 3, 4, 32, 32)" in text
    shares = re.search(r"valid share by frame \[(\S+)\s+(\S+)\s+(\S+)\]", text)
    assert shares is not None
    none, winter, summer = map(float, shares.groups())
    assert (none, winter) == (0.0, 1.0)
    assert 0.4 < summer < 1.0
    assert "latest picture: 2021-06-16  first treatment: 2021-09-01" in text
    assert "The imagery of 2022-12-18 was taken on or after treatment." in text
    villages = pd.read_csv(folder / "out" / "catalog" / "units.csv")
    units = ec.read_units(villages, id="village", lon="lon", lat="lat")
    (batch,) = ec.open_chips(folder / "cache" / "chips.zarr", units).batches(size=200)
    assert batch.pixels["1280m"].shape == (200, 3, 4, 128, 128)
    assert not batch.mask["1280m"][:, 0].any()
    # reflectance of a landscape, with the offsets of all baselines taken off
    assert 0.0 < np.nanmedian(batch.pixels["1280m"]) < 0.5


def _check_encoders(text: str, folder: Path) -> None:
    """Bands and units are told and refused by name, four encoders give features, and they agree beyond chance."""
    assert re.search(r"\d+ encoders, \d+ for these bands, \d+ of them free to use", text)
    assert "Encoder: rcf" in text
    assert "Encoder 'dinov2-base' reads pictures of 0 to 255, and the chips hold reflectance_x10000." in text
    losses = re.search(r"held-out loss (\S+) -> (\S+)", text)
    assert losses is not None
    assert float(losses[2]) < float(losses[1])
    assert (folder / "cache" / "ours" / "encoder.yaml").is_file()
    chance = re.search(r"by chance (\S+)", text)
    assert chance is not None
    assert float(chance[1]) == pytest.approx(5 / 299, abs=1e-3)


def _check_confounding(text: str, folder: Path) -> None:
    """Each step of adjusting takes bias away, wider errors hold the truth, and small pictures leave bias."""
    rows = dict(re.findall(r"^(nothing|table|pictures|both) +(-?[\d.]+)", text, re.M))
    found = [float(rows[name]) for name in ("nothing", "table", "pictures", "both")]
    assert found == sorted(found, reverse=True)
    assert found[0] > 0.9
    assert abs(found[-1] - 0.5) < 0.2
    sizes = {size: float(number) for size, number in re.findall(r"^ *(\d+)m +(-?[\d.]+)", text, re.M)}
    assert set(sizes) == {"240", "480", "960", "1920"}
    assert sizes["240"] > sizes["480"] > sizes["960"]
    balanced = re.search(r"\|smd\| above 0.1: (\d+) before, (\d+) after", text)
    assert balanced is not None
    assert int(balanced[1]) >= 4 > 1 >= int(balanced[2])
    placebo = dict(re.findall(r"placebo, adjusted for (\w+): (-?[\d.]+)", text))
    assert abs(float(placebo["both"])) < 0.2 < 0.5 < float(placebo["nothing"])
    interval = re.search(r"errors up to 3 km (\S+) to (\S+)", text)
    assert interval is not None
    assert float(interval[1]) < 0.5 < float(interval[2])
    assert (folder / "out" / "placement.html").read_text(encoding="utf-8").rstrip().endswith("</html>")


def _check_heterogeneity(text: str, folder: Path) -> None:
    """Pictures rank, the table does not, groups part, and the interval next door holds the truth."""
    rates = {name: (float(rate), float(error)) for name, rate, error in
             re.findall(r"^ *(table|480 m|1.9 km|both sizes) +(-?[\d.]+) +([\d.]+)", text, re.M)}  # fmt: skip
    assert set(rates) == {"table", "480 m", "1.9 km", "both sizes"}
    assert abs(rates["table"][0]) < 2 * rates["table"][1]
    assert rates["both sizes"][0] > 3 * rates["both sizes"][1]
    gains = dict(re.findall(r"(pairs|control) chosen beforehand +(-?[\d.]+)", text))
    assert float(gains["pairs"]) > float(gains["control"])
    least, most = (float(re.search(rf"\({name}\) +(-?[\d.]+)", text)[1]) for name in ("least", "most"))
    assert most - least > 0.8
    correlation = re.search(r"correlation of predicted with true effects (\S+)", text)
    assert correlation is not None
    assert float(correlation[1]) > 0.5
    types = [float(number) for number in re.findall(r"^ *type \d +[\d.]+ +(-?[\d.]+)", text, re.M)]
    assert types == sorted(types)
    assert len(types) == 2
    found = re.search(r"true average effect (\S+); carried \S+ \((\S+) to (\S+)\)", text)
    assert found is not None
    truth, low, high = map(float, found.groups())
    assert low < truth < high
    assert len(pd.read_parquet(folder / "out" / "next_door.parquet")) == 800
    assert (folder / "out" / "who_gains.html").read_text(encoding="utf-8").rstrip().endswith("</html>")


# What must hold after a notebook has run: a check of its printed text and of the folder it ran in.
def _check_debias(text: str, folder: Path) -> None:
    """A correction is nearer for grants, naive for markets, neither for roofs, and labels tell each time."""
    rows = re.findall(
        r"^(\w+) +truth (-?[\d.]+) +naive (-?[\d.]+) +lcc (-?[\d.]+) +tweedie (-?[\d.]+) +anywhere between: "
        r"(-?[\d.]+) to (-?[\d.]+)", text, re.M,
    )  # fmt: skip
    truth, naive, lcc, _, low, high = (dict(zip(("grants", "markets", "roofs"), map(float, one)))
                                       for one in list(zip(*rows))[1:])  # fmt: skip
    assert abs(lcc["grants"] - truth["grants"]) < 0.1 < abs(naive["grants"] - truth["grants"])
    assert abs(naive["markets"] - truth["markets"]) < 0.1 < abs(lcc["markets"] - truth["markets"])
    assert truth["roofs"] < low["roofs"]
    assert all(low[name] < truth[name] < high[name] for name in ("grants", "markets"))
    answers = dict(re.findall(r"^(district|town|town and district) +auto answers (\w+)", text, re.M))
    assert answers == {"district": "lcc", "town": "none", "town and district": "none"}
    tests = {name: (float(one), float(other)) for name, one, other in
             re.findall(r"^(\w+) +p against naive ([\d.]+), against corrections ([\d.]+)", text, re.M)}  # fmt: skip
    assert tests["grants"][0] < 0.05 < tests["grants"][1]
    assert tests["markets"][1] < 0.05 < tests["markets"][0]
    assert max(tests["roofs"]) < 0.05
    assert "believe ppi++" in text
    assert "is not the map that this card was made for" in text
    assert (folder / "out" / "wealth_2015.card.json").is_file()
    assert (folder / "out" / "markets.html").read_text(encoding="utf-8").rstrip().endswith("</html>")


def _check_sensitivity(text: str, folder: Path) -> None:
    """Bounds as strong as pictures hold the truth, placebos pass, and the paragraph ends it."""
    bounds = re.search(r"strong as pictures are: (\S+) to (\S+); truth 0.50", text)
    assert bounds is not None
    assert float(bounds[1]) < 0.5 < float(bounds[2])
    assert "without pictures 0.9" in text
    for kind in ("omitted", "oster", "breakdown", "evalue"):
        assert re.search(rf"^{kind}: .+\.$", text, re.M)
    verdicts = dict(
        re.findall(r"^ *(outcomes|future) .*? (no sign of bias|sign of bias|says little)", text, re.M)
    )
    assert verdicts == {"outcomes": "no sign of bias", "future": "no sign of bias"}
    paragraph = text[text.index("Projects raised growth by") :]
    interval = re.search(r"by (\S+) \(95% interval (\S+) to (\S+),", paragraph)
    assert interval is not None
    assert float(interval[2]) < 0.5 < float(interval[3])
    assert "as everything that pictures show" in " ".join(paragraph.split())
    page = (folder / "out" / "sensitivity.html").read_text(encoding="utf-8")
    assert page.rstrip().endswith("</html>")
    assert all(kind.question in page for kind in KINDS.values())


CHECKS = {
    "01_rct_heterogeneity": _check_rct,
    "02_chips": _check_chips,
    "03_encoders": _check_encoders,
    "04_confounding": _check_confounding,
    "05_heterogeneity": _check_heterogeneity,
    "06_debias": _check_debias,
    "07_sensitivity": _check_sensitivity,
}


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Describe a kernel that is this very interpreter, whatever kernels the machine or the user has."""
    folder = tmp_path / "jupyter" / "kernels" / KERNEL
    folder.mkdir(parents=True)
    launch = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": launch, "display_name": KERNEL, "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    for name in ("JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "MPLCONFIGDIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    # the kernel runs in another folder, so a relative path to the package would not lead there
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    return KERNEL


def _outputs(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def _text(notebook: nbformat.NotebookNode) -> str:
    return "\n".join(output.get("text", "") for output in _outputs(notebook))


def test_every_notebook_is_listed_here_and_in_its_readme() -> None:
    names = {path.stem for path in NOTEBOOKS}
    assert names
    assert names == set(CHECKS)
    readme = (ROOT / "notebooks" / "README.md").read_text(encoding="utf-8")
    assert all(f"`{name}.ipynb`" in readme for name in names)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_committed_clean(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert _outputs(notebook) == []
    assert all(cell.execution_count is None for cell in notebook.cells if cell.cell_type == "code")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run_and_leave_the_repository_alone(path: Path, kernel: str, tmp_path: Path) -> None:
    before = sorted(file.relative_to(path.parent) for file in path.parent.rglob("*"))
    folder = tmp_path / "notebooks"
    shutil.copytree(path.parent, folder, ignore=shutil.ignore_patterns("cache", "out", ".ipynb*"))
    notebook = nbformat.read(folder / path.name, as_version=4)
    NotebookClient(
        notebook, timeout=300, kernel_name=kernel, resources={"metadata": {"path": str(folder)}}
    ).execute()
    assert [output for output in _outputs(notebook) if output.output_type == "error"] == []
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")
    for cell in notebook.cells:
        if cell.cell_type == "code" and ".plot(" in cell.source:
            assert any("image/png" in output.get("data", {}) for output in cell.outputs), cell.source
    CHECKS[path.stem](_text(notebook), folder)
    assert sorted(file.relative_to(path.parent) for file in path.parent.rglob("*")) == before


def test_the_twelve_lines_of_the_readme_run(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (lines,) = [block for block in re.findall(r"```python\n(.*?)```", readme, re.S) if "ec.report(" in block]
    ec.simulate_region(tmp_path / "demo_output" / "region", n_units=160, n_villages=40, size_px=500, seed=1)
    quick = lines.replace('encoder="rcf"', "encoder=ec.RandomFeatures(n_features=16)")
    quick = quick.replace('learner="causal_forest"', "learner=ec.Forest(trees=20)")
    assert quick.count("ec.RandomFeatures") == quick.count("ec.Forest") == 1
    search = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", quick],
        cwd=tmp_path,
        env={**os.environ, "MPLBACKEND": "Agg", "PYTHONPATH": search},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "ate by aipw" in done.stdout
    assert "AUTOC, QINI by sequential folds" in done.stdout
    assert (tmp_path / "out" / "region.html").stat().st_size > 10_000
