"""Specifications: YAML as written, every mistake at its place, schema and page held to the models."""

from __future__ import annotations

import datetime as dt
import hashlib
import inspect
import json
import re
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.errors import ImageryError, SpecError
from eocausal.imagery import displacement
from eocausal.imagery.asked import asked_chips, asked_clear, asked_frames, asked_places, asked_units
from eocausal.imagery.cloud_model import CLASSES, CloudModel
from eocausal.imagery.composite import COMPOSITES
from eocausal.imagery.frames import Frames, period
from eocausal.imagery.quality import SCHEMES, Quality
from eocausal.imagery.radiometry import PIXEL_UNITS
from eocausal.imagery.scenes import _from_name
from eocausal.imagery.stac import stac_scenes
from eocausal.imagery.stac_presets import STAC_PRESETS
from eocausal.specs._periods import length_of, period_of
from eocausal.specs.effects import AteSpec, CateSpec
from eocausal.specs.imagery import (
    CloudClass,
    CloudModelSpec,
    FramesSpec,
    PixelUnitName,
    QualityScheme,
    StacPresetName,
    StacSpec,
)
from eocausal.specs.inputs import check_inputs
from eocausal.specs.load import load_spec
from eocausal.specs.models import DesignSpec, DisplacementSpec
from eocausal.specs.schema import DEFAULT_PATH, analysis_schema, field_table, write_schema
from eocausal.specs.yaml_text import Mark, read_yaml
from tests.scenes import numbered, units_on, write_scene

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
        "sequence": None, "multi_scale": None,
    }  # fmt: skip
    assert spec.design.covariates == ("age",)
    assert spec.design.propensity == 0.5
    assert spec.effects.ate == (AteSpec(method="aipw"),)
    assert spec.effects.cate == CateSpec(learner="causal_forest", trees=2000)
    assert spec.effects.folds is None
    assert load_spec(str(study)).spec == spec


def test_models_are_frozen_and_take_lists_from_python() -> None:
    design = DesignSpec(outcome="y", treatment="d", covariates=["a", "b"])
    assert design.covariates == ("a", "b")
    assert hash(design) == hash(DesignSpec(outcome="y", treatment="d", covariates=("a", "b")))
    with pytest.raises(ValueError, match="frozen"):
        design.outcome = "z"


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


def test_every_example_on_the_page_is_right(study: Path) -> None:
    page = (ROOT / "data_specs" / "README.md").read_text()
    examples = re.findall(r"^```yaml\n(.*?)^```", page, re.S | re.M)
    assert len(examples) == 9
    for example in examples:
        content = read_yaml(STUDY).content
        given = read_yaml(example).content
        if "imagery" in given:
            content["units"]["date"] = "treated_on"
        study.write_text(json.dumps({**content, **given}))
        load_spec(study)


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
    assert [one.name for one in spec.effects.ate] == ["difference", "regression", "aipw"]
    for column in ("x1_eq_treated", "x3_treated_x2", "x5_treated_x4", "x7_treated_x6"):
        assert column in loaded.text


def test_names_of_units_and_schemes_are_those_of_the_pixel_half() -> None:
    assert set(get_args(PixelUnitName)) == set(PIXEL_UNITS)
    assert set(get_args(QualityScheme)) == set(SCHEMES)
    assert set(get_args(StacPresetName)) == set(STAC_PRESETS)
    assert get_args(CloudClass) == CLASSES[1:]
    assert set(get_args(FramesSpec.model_fields["composite"].annotation)) == set(COMPOSITES)
    assert set(get_args(DisplacementSpec.model_fields["scheme"].annotation)) == set(displacement.SCHEMES)


def test_defaults_are_those_of_the_calls() -> None:
    model = CloudModel()
    asked = CloudModelSpec.model_validate({})
    assert (asked.bands, asked.drop, asked.version) == (model.bands, model.drop, model.version)
    frames = Frames("each")
    said = FramesSpec(windows="each")
    assert (said.composite, said.least) == (frames.composite, frames.least)
    call = inspect.signature(displacement.displace).parameters
    drawn = DisplacementSpec(urban="kind")
    assert (drawn.scheme, drawn.draws, drawn.seed, drawn.within) == tuple(
        call[name].default for name in ("scheme", "draws", "seed", "within")
    )
    searched = inspect.signature(stac_scenes).parameters
    stac = StacSpec(catalog="catalog.json")
    assert stac.max_cloud is searched["max_cloud"].default


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("windows: each", Frames("each")),
        ("windows: 2005", Frames(["2005"])),
        ("windows: [2005, 2006-02, 2006-06-01/2007]", Frames(["2005", "2006-02", "2006-06-01/2007"])),
        ("before: 3Y, every: 6M, composite: latest", Frames(before="3Y", every="6M", composite="latest")),
        (
            "before: 90D, otherwise: 2007-01-01, least: 2",
            Frames(before="90D", otherwise="2007-01-01", least=2),
        ),
    ],
)
def test_frames_are_read_as_the_call_takes_them(study: Path, written: str, asked: Frames) -> None:
    text = STUDY.replace("  date:", f"  frames: {{{written}}}\n  date:").replace(
        "lat: lat", "lat: lat, date: day"
    )
    study.write_text(text)
    imagery = load_spec(study).spec.imagery
    assert imagery is not None
    assert asked_frames(imagery) == asked


PARTS = ["2004", "2004-02", "2004-02-29", "2005-02-29", "2005-13", "2005-1", "0000", "9998", "x", ""]


@pytest.mark.parametrize(
    "text", [*PARTS, *(f"{one}/{other}" for one in PARTS for other in PARTS), "2004/2005/2006"]
)
def test_periods_are_those_that_frames_know(text: str) -> None:
    ours = period_of(text)
    try:
        start, end = period(text)
    except ImageryError:
        assert ours is None
    else:
        if text.startswith("0000"):
            return  # the calendar of Python begins with year 1
        assert ours is not None
        assert (np.datetime64(ours[0]), np.datetime64(ours[1]) + 1) == (start, end)


@pytest.mark.parametrize("text", ["3Y", "18M", "90D", "9999D", "0Y", "03Y", "3y", "3", "Y", "1.5Y", "", "3W"])
def test_lengths_are_those_that_frames_know(text: str) -> None:
    try:
        Frames(before=text)
    except ImageryError:
        assert length_of(text) is None
    else:
        assert length_of(text) is not None


def test_sizes_days_and_sources_of_other_kinds_are_read(study: Path) -> None:
    text = STUDY.replace("size_m: 960", "size_m: polygon\n  resample_px: 64\n  sensor: ETM")
    study.write_text(text.replace("date: 2007-06-30", "date: tags"))
    imagery = load_spec(study).spec.imagery
    assert imagery is not None
    assert (imagery.size_m, imagery.date, imagery.resample_px) == (("polygon",), "tags", (64,))
    remote = "stac: {catalog: 'https://example.org/v1', preset: hls-l30, dates: 2018}\n  remote: true"
    named = text.replace("size_m: polygon", "size_m: [960, 480]").replace("  sensor: ETM\n", "")
    study.write_text(named.replace('rasters: "scene_*.tif"', remote).replace("  date: 2007-06-30\n", ""))
    imagery = load_spec(study).spec.imagery
    assert imagery is not None
    assert imagery.stac is not None
    assert imagery.stac.catalog == "https://example.org/v1"
    assert imagery.stac.dates == "2018"
    check = load_spec(study)
    _with_files(study.parent)
    check_inputs(check)
    addresses = "rasters: ['s3://bucket/a.tif', 'https://example.org/b.tif']\n  remote: true"
    study.write_text(STUDY.replace('rasters: "scene_*.tif"', addresses))
    far = load_spec(study)
    check_inputs(far)
    assert far.spec.imagery is not None
    assert far.spec.imagery.rasters == ("s3://bucket/a.tif", "https://example.org/b.tif")


def test_several_sizes_are_brought_to_sides_of_their_own(study: Path) -> None:
    imagery = "size_m: [600, 300]\n  resample_px: [10, 10]"
    study.write_text(STUDY.replace("size_m: 960", imagery))
    write_scene(study.parent / "scene_1.tif", numbered())
    units = units_on([(30, 30)])
    chips = asked_chips(load_spec(study).spec.imagery, units)
    assert chips is not None
    assert chips.sides == {"600m": 10, "300m": 10}
    study.write_text(STUDY.replace("size_m: 960", "size_m: [600, 300]\n  resample_px: 5"))
    again = asked_chips(load_spec(study).spec.imagery, units)
    assert again is not None
    assert again.sides == {"600m": 5, "300m": 5}


def test_a_store_of_other_sizes_is_told(study: Path) -> None:
    pytest.importorskip("zarr")
    units = units_on([(30, 30)])
    scene = write_scene(study.parent / "scene_1.tif", numbered())
    ec.chips(units, scene, size_m=[600, 300]).write(study.parent / "chips.zarr", progress=False)
    text = STUDY.replace('rasters: "scene_*.tif"\n  size_m: 960\n  date: 2007-06-30', "store: chips.zarr")
    _with_files(study.parent)
    study.write_text(text)
    check_inputs(load_spec(study))
    opened = asked_chips(load_spec(study).spec.imagery, units)
    assert opened is not None
    assert opened.sides == {"600m": 20, "300m": 10}
    study.write_text(text.replace("chips.zarr", "chips.zarr\n  resample_px: [20, 10, 5]"))
    with pytest.raises(ImageryError, match=r"resample_px has 3 sides for 2 sizes(.|\n)*one for each size"):
        asked_chips(load_spec(study).spec.imagery, units)


def test_a_cloud_model_is_asked_for_as_written(study: Path) -> None:
    said = "cloud_model: {bands: [1, 2, 3], drop: thick_cloud, version: 3, weights: models}"
    study.write_text(STUDY.replace("  date:", f"  {said}\n  date:"))
    imagery = load_spec(study).spec.imagery
    assert imagery is not None
    model = asked_clear(imagery)
    assert isinstance(model, CloudModel)
    assert (model.bands, model.drop, model.version) == ((1, 2, 3), ("thick_cloud",), 3.0)
    assert model.weights == str(study.parent / "models")


def test_displaced_places_are_drawn_within_the_polygons_of_a_file(study: Path) -> None:
    import geopandas
    from shapely.geometry import box

    district = geopandas.GeoDataFrame(geometry=[box(31.99, 0.99, 32.01, 1.01)], crs="EPSG:4326")
    district.to_file(study.parent / "districts.gpkg")
    _with_files(study.parent)
    said = "displacement: {urban: grant, draws: 20, within: districts.gpkg, seed: 3}"
    study.write_text(STUDY.replace("lat: lat}", f"lat: lat, {said}}}"))
    loaded = load_spec(study)
    check_inputs(loaded)
    units = asked_units(loaded.spec.units)
    places = asked_places(loaded.spec.units, units)
    assert len(places) == 20
    assert places.longitude is not None
    assert places.latitude is not None
    assert np.abs(places.longitude - 32).max() <= 0.01
    assert np.abs(places.latitude - 1).max() <= 0.01
    # two kilometres reach beyond the district, so that some draws were drawn again
    free = displacement.displace(units, urban="grant", draws=20, seed=3)
    assert free.longitude is not None
    assert not np.array_equal(free.longitude, places.longitude)


def test_the_example_of_a_sequence_is_right_without_its_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDY_DATA", "/data/grid_study")
    spec = load_spec(ROOT / "data_specs" / "landsat_sequence.yaml").spec
    imagery = spec.imagery
    assert imagery is not None
    assert imagery.quality is not None
    assert asked_frames(imagery) == Frames(before="3Y", every="1Y", otherwise="2010-01-01", least=3)
    flags = Quality(imagery.quality.band, scheme=imagery.quality.scheme, drop=imagery.quality.drop)
    assert asked_clear(imagery) == flags
    assert imagery.pattern is not None
    name = "LE07_L2SP_172059_20050614_02_T1.tif"
    assert _from_name(name, imagery.pattern) == (np.datetime64("2005-06-14"), "LE07")
    text = (ROOT / "data_specs" / "landsat_sequence.yaml").read_text()
    start = text.index("  # displacement:")
    lines = text[start : text.index("imagery:")].splitlines()
    block = "\n".join(line.replace("  # ", "  ", 1) for line in lines)
    assert DisplacementSpec.model_validate(read_yaml(block).content["displacement"]).draws == 8


def test_what_is_asked_of_pixels_reaches_the_chips(study: Path) -> None:
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
