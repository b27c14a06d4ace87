"""Specifications: YAML as written, every mistake at its place, schema and page held to the models."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest

from eocausal.errors import SpecError
from eocausal.imagery.quality import SCHEMES
from eocausal.imagery.radiometry import PIXEL_UNITS
from eocausal.specs.imagery import PixelUnitName, QualityScheme
from eocausal.specs.inputs import check_inputs
from eocausal.specs.load import load_spec
from eocausal.specs.models import CateSpec, DesignSpec
from eocausal.specs.schema import DEFAULT_PATH, analysis_schema, field_table, write_schema
from eocausal.specs.yaml_text import Mark, read_yaml

ROOT = Path(__file__).parents[2]

STUDY = """\
spec_version: 1
title: A study
units: {path: units.csv, id: unit, lon: lon, lat: lat}
imagery:
  rasters: "scene_*.tif"
  size_m: 960
  date: 2007-06-30
encoder: {name: rcf, n_features: 128}
design:
  outcome: income
  treatment: grant
  covariates: age
  propensity: 0.5
effects:
  ate: aipw
  cate: {}
  rate: [AUTOC]
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "analysis.yaml"
    path.write_text(STUDY)
    return path


def _with_files(folder: Path) -> None:
    columns = {"unit": [1], "lon": [32.0], "lat": [1.0], "income": [0.1], "grant": [1], "age": [20]}
    pd.DataFrame(columns).to_csv(folder / "units.csv", index=False)
    (folder / "scene_1.tif").write_bytes(b"II*\x00")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("NO", "NO"),
        ("on", "on"),
        ("22:30", "22:30"),
        ("010", "010"),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"),
        ("2007-06-30", "2007-06-30"),
        (".inf", ".inf"),
        (".", "."),
        ("e5", "e5"),
        ("'12'", "12"),
        ('"true"', "true"),
        ("9" * 30, "9" * 30),
        ("12", 12),
        ("-3", -3),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-2.5E-1", -0.25),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
    ],
)
def test_scalars_are_read_as_yaml_1_2_and_nothing_else(written: str, read: object) -> None:
    value = read_yaml(f"field: {written}").content["field"]
    assert value == read
    assert type(value) is type(read)


def test_positions_are_those_of_names_and_values() -> None:
    document = read_yaml("a: 1\nb:\n  - x\n  - {c: 2}\n")
    assert document.content == {"a": 1, "b": ["x", {"c": 2}]}
    assert document.keys[("b",)] == Mark(2, 1)
    assert document.values[("b", 1, "c")] == Mark(4, 9)
    assert document.keys[("b", 1, "c")] == Mark(4, 6)
    assert document.source[("a",)] == "1"
    assert document.content["b"][1]["c"] == 2


def test_a_specification_is_read_whole(study: Path) -> None:
    loaded = load_spec(study)
    spec = loaded.spec
    assert loaded.sha256 == hashlib.sha256(STUDY.encode()).hexdigest()
    assert loaded.text == STUDY
    assert loaded.path == study
    assert spec.units.path == str(study.parent / "units.csv")
    assert spec.out == str(study.parent / "out")
    assert spec.imagery is not None
    assert spec.imagery.rasters == (str(study.parent / "scene_*.tif"),)
    assert spec.imagery.size_m == (960.0,)
    assert spec.imagery.date == dt.date(2007, 6, 30)
    assert spec.encoder is not None
    assert spec.encoder.model_dump() == {
        "name": "rcf", "n_features": 128, "patch_px": (3, 5), "bias": 0.0, "whitening": 1e-3, "seed": 0,
    }  # fmt: skip
    assert spec.design.covariates == ("age",)
    assert spec.design.propensity == 0.5
    assert spec.effects.ate == ("aipw",)
    assert spec.effects.cate == CateSpec(learner="causal_forest", trees=500)
    assert spec.effects.folds is None
    assert load_spec(str(study)).spec == spec


def test_models_are_frozen_and_take_lists_from_python() -> None:
    design = DesignSpec(outcome="y", treatment="d", covariates=["a", "b"])  # type: ignore[arg-type]
    assert design.covariates == ("a", "b")
    assert hash(design) == hash(DesignSpec(outcome="y", treatment="d", covariates=("a", "b")))
    with pytest.raises(ValueError, match="frozen"):
        design.outcome = "z"  # type: ignore[misc]


def test_json_is_a_specification_too(study: Path) -> None:
    as_json = study.with_suffix(".json")
    as_json.write_text(json.dumps(read_yaml(STUDY).content))
    assert load_spec(as_json).spec == load_spec(study).spec


def test_paths_take_environment_variables_and_parents(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDY_DATA", "/data/here")
    study.write_text(STUDY.replace("units.csv", '"${STUDY_DATA}/units.csv"').replace('"scene', '"../scene'))
    spec = load_spec(study).spec
    assert spec.units.path == "/data/here/units.csv"
    assert spec.imagery is not None
    assert spec.imagery.rasters == (str(study.parent.parent / "scene_*.tif"),)


def test_all_mistakes_come_at_once_in_the_order_of_the_file(study: Path) -> None:
    wrong = (
        STUDY.replace("title: A study", "titel: A study")
        .replace("n_features: 128", "n_features: 127")
        .replace("treatment: grant", "treatmnt: grant")
        .replace("propensity: 0.5", "propensity: 1")
        .replace("ate: aipw", "ate: [aipw, ipv]")
    )
    study.write_text(wrong)
    with pytest.raises(SpecError) as caught:
        load_spec(study)
    lines = [line.removeprefix(f"{study}:") for line in str(caught.value).splitlines()]
    assert lines == [
        "1:1 title: this field is missing",
        "2:1 titel: unknown field. Did you mean 'title'?",
        "8:22 encoder.n_features: 127 is not a multiple of 4 (2 for each of 2 patch sizes). Write 128",
        "9:1 design.treatment: this field is missing",
        "11:3 design.treatmnt: unknown field. Did you mean 'treatment'?",
        "13:3 design.propensity: 1 is not a propensity. Write the known probability of treatment, strictly "
        "between 0 and 1, or the name of the column that holds it",
        "15:15 effects.ate[1]: 'ipv' is not known. Did you mean 'ipw'?",
    ]


def test_inputs_that_are_there_pass(study: Path) -> None:
    _with_files(study.parent)
    check_inputs(load_spec(study))


@pytest.mark.parametrize("suffix", ["parquet", "dta", "geojson"])
def test_headers_of_other_tables_are_read(study: Path, suffix: str) -> None:
    _with_files(study.parent)
    table = pd.read_csv(study.parent / "units.csv").drop(columns="income")
    path = study.parent / f"units.{suffix}"
    if suffix == "parquet":
        table.to_parquet(path)
    elif suffix == "dta":
        table.to_stata(path, write_index=False)
    else:
        feature = {
            "type": "Feature",
            "geometry": {"type": "Point", "coordinates": [32.0, 1.0]},
            "properties": {name: table[name].item() for name in table},
        }
        path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    study.write_text(STUDY.replace("units.csv", path.name))
    with pytest.raises(SpecError, match=r":10:3 design.outcome: column 'income' is not in the units table"):
        check_inputs(load_spec(study))


def test_arrays_and_embeddings_are_checked_by_name(study: Path) -> None:
    folder = study.parent
    _with_files(folder)
    np.savez(folder / "chips.npz", image_key=np.arange(2), chips=np.zeros((2, 3, 3, 1)))
    pd.DataFrame({"image_key": [1], "e000": [0.5], "e001": [0.5]}).to_parquet(folder / "clip.parquet")
    text = STUDY.replace('rasters: "scene_*.tif"', "arrays: chips.npz\n  keys: image_key")
    text = (
        text.replace("  size_m: 960\n", "") + "embeddings: {path: clip.parquet, key: image_key, columns: e}\n"
    )
    study.write_text(text)
    spec = load_spec(study).spec
    assert spec.embeddings is not None
    assert spec.embeddings.columns == "e"
    check_inputs(load_spec(study))
    wrong = text.replace("keys: image_key", "keys: image_kei")
    study.write_text(wrong.replace("columns: e", "columns: [e000, e01]"))
    with pytest.raises(SpecError) as caught:
        check_inputs(load_spec(study))
    told = str(caught.value)
    assert "imagery.keys: there is no array 'image_kei' in 'chips.npz'. Did you mean 'image_key'?" in told
    assert "embeddings.columns[1]: column 'e01' is not in the embeddings table. Did you mean 'e001'?" in told


def test_the_committed_schema_is_that_of_the_models(tmp_path: Path) -> None:
    assert write_schema(tmp_path / "made.json").read_text() == (ROOT / DEFAULT_PATH).read_text()


def test_every_field_is_described_in_the_schema_and_on_the_page() -> None:
    page = (ROOT / "data_specs" / "README.md").read_text()
    table = field_table()
    assert table in page
    meanings = [row.split("|")[2].strip() for row in table.splitlines()[2:]]
    assert len(meanings) >= 50
    assert all(meanings)


def test_the_schema_refuses_unknown_fields_in_every_block() -> None:
    schema = analysis_schema()
    blocks = [schema, *schema["$defs"].values()]
    assert all(block["additionalProperties"] is False for block in blocks)
    assert schema["properties"]["spec_version"]["const"] == 1


def test_the_uganda_study_fits_its_files_and_warns_of_the_columns_made_from_treatment(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EOCAUSAL_SHARED", str(shared))
    loaded = load_spec(ROOT / "data_specs" / "uganda_yop.yaml")
    check_inputs(loaded)
    spec = loaded.spec
    assert spec.design.covariates == ("x2", "x4", "x6")
    assert spec.design.cluster == "image_key"
    assert spec.design.missing == "drop"
    assert spec.effects.ate == ("difference", "regression", "aipw")
    for column in ("x1_eq_treated", "x3_treated_x2", "x5_treated_x4", "x7_treated_x6"):
        assert column in loaded.text


def test_names_of_units_and_schemes_are_those_of_the_pixel_half() -> None:
    assert set(get_args(PixelUnitName)) == set(PIXEL_UNITS)
    assert set(get_args(QualityScheme)) == set(SCHEMES)


def test_what_is_asked_of_pixels_reaches_the_chips(study: Path) -> None:
    from eocausal.imagery.asked import asked_chips
    from tests.scenes import numbered, units_on, write_scene

    asked = "pixel_unit: s2_l2a_dn\n  convert_to: reflectance\n  offset_applied: false"
    flags = "quality: {band: 2, scheme: hls_fmask, drop: cloud}"
    study.write_text(STUDY.replace("  date:", f"  {asked}\n  {flags}\n  date:"))
    write_scene(study.parent / "scene_1.tif", numbered())
    chips = asked_chips(load_spec(study).spec.imagery, units_on([(30, 30)]))
    assert chips is not None
    assert chips.bands == ("band1",)
    assert chips.pixel_unit == "reflectance"
    recipe = chips.recipe()
    assert recipe["quality"] == {"band": 2, "scheme": "hls_fmask", "drop": ["cloud"]}
    assert recipe["radiometry"] == {"unit": "s2_l2a_dn", "convert_to": "reflectance", "offset_applied": False}


@pytest.mark.parametrize("drop", ["", ", drop: null"])
def test_quality_without_flags_drops_the_default(study: Path, drop: str) -> None:
    study.write_text(
        STUDY.replace("  date:", f"  quality: {{band: SCL, scheme: sentinel2_scl{drop}}}\n  date:")
    )
    imagery = load_spec(study).spec.imagery
    assert imagery is not None
    assert imagery.quality is not None
    assert imagery.quality.drop is None
    assert imagery.quality.band == "SCL"
