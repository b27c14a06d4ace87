"""The command line: help at once, mistakes without tracebacks, and arguments passed on as they were given."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from eocausal import __version__, cli
from eocausal.errors import EstimationError

STUDY = """\
spec_version: 1
title: A study
units: {path: units.csv, id: unit, lon: lon, lat: lat}
imagery: {rasters: scene.tif, size_m: [960, 3840], date: 2007-06-30}
encoder: {name: rcf}
design: {outcome: income, treatment: grant, covariates: [age], cluster: village}
effects: {ate: [aipw], cate: {trees: 100}, rate: [AUTOC]}
"""


@dataclass(frozen=True)
class _Result:
    folder: Path
    report: Path

    def summary(self) -> str:
        return "ate 0.5 (0.1)"


@pytest.fixture
def study(tmp_path: Path) -> Path:
    columns = {
        "unit": [1],
        "lon": [32.0],
        "lat": [1.0],
        "income": [0.1],
        "grant": [1],
        "age": [2],
        "village": [3],
    }
    pd.DataFrame(columns).to_csv(tmp_path / "units.csv", index=False)
    (tmp_path / "scene.tif").write_bytes(b"II*\x00")
    path = tmp_path / "analysis.yaml"
    path.write_text(STUDY)
    return path


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Put stand-ins in the place of the main job and the demo; return what they are called with."""
    made: list[tuple[Any, ...]] = []

    def run(spec: Path, *, out: Path | None = None, progress: bool = True) -> _Result:
        made.append(("run", spec, out, progress))
        return _Result(Path("results"), Path("results/report.html"))

    def run_demo(out: Path, *, seed: int, progress: bool) -> _Result:
        made.append(("demo", out, seed, progress))
        return _Result(out, out / "report.html")

    for name, function in (("pipeline", run), ("demo", run_demo)):
        module = types.ModuleType(f"eocausal.{name}")
        setattr(module, function.__name__, function)
        monkeypatch.setitem(sys.modules, f"eocausal.{name}", module)
        monkeypatch.setattr(f"eocausal.{name}", module, raising=False)
    return made


def _run(*arguments: str) -> Any:
    return CliRunner().invoke(cli.app, list(arguments))


def test_help_names_every_command_and_loads_nothing_heavy() -> None:
    script = (
        "import sys; sys.argv = ['eocausal', '--help']\n"
        "from eocausal.cli import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "heavy = {'torch', 'econml', 'rasterio', 'geopandas', 'pandas', 'numpy', 'matplotlib', 'pydantic'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))"
    )
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "HEAVY []" in done.stdout
    for command in ("validate", "run", "chips", "demo", "schema", "version"):
        assert f"\n  {command} " in done.stdout
    # a bound that only a heavy import breaks; measured 0.1 s on an idle core
    assert time.perf_counter() - started < 5


def test_syntax_mistakes_are_told_without_loading_anything_heavy(tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text("title: [")
    script = (
        f"import sys; sys.argv = ['eocausal', 'validate', {str(path)!r}]\n"
        "from eocausal.cli import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    print('CODE', stop.code)\n"
        "heavy = {'torch', 'econml', 'rasterio', 'geopandas', 'sklearn', 'matplotlib'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "CODE 1" in done.stdout
    assert "HEAVY []" in done.stdout
    assert "wrong.yaml:1:9 this is not YAML" in done.stderr
    assert "Traceback" not in done.stderr


def test_validate_says_what_will_be_done(study: Path) -> None:
    shown = _run("validate", str(study))
    assert shown.exit_code == 0
    assert shown.stdout.splitlines() == [
        f"ok        {study}",
        "title     A study",
        "units     units.csv, by unit",
        "features  rcf of scene.tif at 960 m and 3840 m",
        "design    grant -> income with age, clusters by village",
        "effects   average by aipw; by unit by causal_forest (100 trees); AUTOC",
        f"results   to {study.parent / 'out'}",
    ]


@pytest.mark.parametrize(
    ("imagery", "told"),
    [
        ("{cube: {path: cube.nc}, size_px: 32}", "rcf of cube.nc at 32 pixels"),
        ("{store: chips.zarr}", "rcf of chips.zarr"),
        (
            "{stac: {catalog: catalog.json, preset: hls-l30}, size_m: 960}",
            "rcf of catalog.json at 960 m",
        ),
    ],
)
def test_validate_names_the_source_of_pictures(study: Path, imagery: str, told: str) -> None:
    for name in ("cube.nc", "catalog.json", "chips.zarr/manifest.json"):
        file = study.parent / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("{}")
    given = "{rasters: scene.tif, size_m: [960, 3840], date: 2007-06-30}"
    study.write_text(
        STUDY.replace(given, imagery).replace("lat: lat}", "lat: lat, displacement: {urban: age}}")
    )
    shown = _run("validate", str(study))
    assert shown.exit_code == 0, shown.output
    assert f"features  {told}, mean of 8 draws around each place" in shown.stdout.splitlines()


def test_validate_looks_at_the_files_too(
    study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study.write_text(STUDY.replace("outcome: income", "outcome: incme"))
    monkeypatch.setattr(sys, "argv", ["eocausal", "validate", str(study)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == (
        f"{study}:6:10 design.outcome: column 'incme' is not in the units table. Did you mean 'income'?\n"
    )


@pytest.mark.parametrize(
    ("encoder", "told"),
    [
        ("{name: galileo-tiny}", "encoder.name: Encoder 'galileo-tiny' is planned"),
        ("{name: dinov2-base, pool: max}", "encoder.pool: pool='max' is not known"),
    ],
)
def test_validate_looks_at_the_encoder_too(
    study: Path, encoder: str, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert STUDY.count("{name: rcf}") == 1
    study.write_text(STUDY.replace("{name: rcf}", encoder))
    monkeypatch.setattr(sys, "argv", ["eocausal", "validate", str(study)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 1
    shown = capsys.readouterr().err
    assert shown.startswith(f"{study}:")
    assert told in shown


def test_run_passes_on_what_was_asked(calls: list[tuple[Any, ...]], study: Path) -> None:
    shown = _run("run", str(study))
    assert shown.exit_code == 0, shown.output
    assert _run("run", str(study), "--out", "elsewhere", "--no-progress").exit_code == 0
    assert calls == [("run", study, None, True), ("run", study, Path("elsewhere"), False)]
    assert shown.stdout.splitlines() == [
        "ate 0.5 (0.1)",
        "Results: results",
        f"Report:  {Path('results/report.html')}",
    ]


def test_demo_passes_on_what_was_asked(calls: list[tuple[Any, ...]]) -> None:
    assert _run("demo").exit_code == 0
    assert _run("demo", "--out", "here", "--seed", "7", "--no-progress").exit_code == 0
    assert calls == [("demo", Path("demo_output"), 1, True), ("demo", Path("here"), 7, False)]
    assert _run("demo", "--seed", "-1").exit_code == 2


def test_what_a_user_can_mend_is_told_without_a_traceback(
    calls: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(spec: Path, *, out: Path | None, progress: bool) -> None:
        raise EstimationError("Too few clusters.\n  Mend: use fewer folds")

    monkeypatch.setattr(sys.modules["eocausal.pipeline"], "run", fail)
    monkeypatch.setattr(sys, "argv", ["eocausal", "run", "a.yaml"])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 1
    assert capsys.readouterr().err == "Too few clusters.\n  Mend: use fewer folds\n"


def test_a_fault_of_ours_is_not_hidden(calls: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(spec: Path, *, out: Path | None, progress: bool) -> None:
        raise ZeroDivisionError("a fault")

    monkeypatch.setattr(sys.modules["eocausal.pipeline"], "run", fail)
    monkeypatch.setattr(sys, "argv", ["eocausal", "run", "a.yaml"])
    with pytest.raises(ZeroDivisionError, match="a fault"):
        cli.main()


def test_schema_is_shown_or_written(tmp_path: Path) -> None:
    shown = json.loads(_run("schema").stdout)
    assert shown["title"] == "AnalysisSpec"
    target = tmp_path / "folder" / "analysis.schema.json"
    written = _run("schema", "--out", str(target))
    assert written.stdout == f"Written: {target}\n"
    assert json.loads(target.read_text()) == shown


def test_version_is_that_of_the_package() -> None:
    assert _run("version").stdout == f"eocausal {__version__}\n"
