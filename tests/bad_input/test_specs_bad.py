# ruff: noqa: E501 - the tables of cases read better with a case a line
"""Specifications that are wrong: the message holds the place, the word that is wrong, and the remedy."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from eocausal.errors import SpecError
from eocausal.specs.inputs import check_inputs
from eocausal.specs.load import load_spec

STUDY = """\
spec_version: 1
title: A study
units: {path: units.csv, id: unit, lon: lon, lat: lat}
imagery:
  rasters: scene.tif
  size_m: 960
  date: 2007-06-30
encoder: {name: rcf}
design:
  outcome: income
  treatment: grant
  covariates: [age]
effects:
  ate: [aipw]
  cate: {trees: 100}
  rate: [AUTOC]
"""

# what is replaced, by what, and what must be told (a plain text that follows the name of the file)
FIELDS = {
    "misspelt field": ("treatment:", "treatmnt:", ":11:3 design.treatmnt: unknown field. Did you mean 'treatment'?"),
    "field far from any": ("title:", "zzz: 1\ntitle:", ":2:1 zzz: unknown field. Choose from: spec_version, title,"),
    "missing field": ("  outcome: income\n", "", ":9:1 design.outcome: this field is missing"),
    "number for text": ("title: A study", "title: 2007", ":2:1 title: must be text. Put it in quotes: '2007'"),
    "true for text": ("title: A study", "title: true", ":2:1 title: must be text. Put it in quotes: 'true'"),
    "nothing for text": ("outcome: income", "outcome:", ":10:3 design.outcome: is empty and must be text"),
    "empty text": ("outcome: income", "outcome: ''", ":10:3 design.outcome: is empty. Name at least one"),
    "list for text": ("outcome: income", "outcome: [a]", ":10:3 design.outcome: must be one text, not a list"),
    "text for number": ("size_m: 960", "size_m: [960, big]", ":6:17 imagery.size_m[1]: 'big' is not a size. Write metres, more than 0, or polygon"),
    "quoted number": ("trees: 100", "trees: '100'", ":15:10 effects.cate.trees: must be a whole number, not '100'. Write it without quotes"),
    "fraction for count": ("trees: 100", "trees: 10.5", "effects.cate.trees: must be a whole number, not '10.5'"),
    "count of the wrong step": ("trees: 100", "trees: 101", "effects.cate.trees: '101' is not a multiple of 4"),
    "bound": ("size_m: 960", "size_m: -960", ":6:3 imagery.size_m: -960 is not a size. Write metres, more than 0, or polygon"),
    "text for a block": ("encoder: {name: rcf}", "encoder: rcf", ":8:1 encoder: must be a block of fields"),
    "version": ("spec_version: 1", "spec_version: 2", ":1:1 spec_version: '2' is not known. Choose from: 1"),
    "method": ("[aipw]", "[aipv]", ":14:9 effects.ate[0]: 'aipv' is not known. Did you mean 'aipw'?"),
    "method twice": ("[aipw]", "[aipw, aipw]", ":14:3 effects.ate: listed more than once: aipw. Keep one of each"),
    "no method": ("[aipw]", "[]", ":14:3 effects.ate: is empty. Name at least one"),
    "target": ("[AUTOC]", "QINNI", ":16:3 effects.rate: 'QINNI' is not known. Did you mean 'QINI'?"),
    "encoder": ("{name: rcf}", "{name: rfc}", ":8:1 encoder: name 'rfc' is not known. Did you mean 'rcf'?"),
    "encoder without name": ("{name: rcf}", "{seed: 1}", ":8:1 encoder: this block needs a name, such as {name: rcf}"),
    "option of no encoder": ("{name: rcf}", "{name: rcf, n_feature: 64}", ":8:22 encoder.n_feature: unknown field. Did you mean 'n_features'?"),
    "date": ("2007-06-30", "30/06/2007", ":7:3 imagery.date: '30/06/2007' is not a date. Write year-month-day"),
    "day of no calendar": ("2007-06-30", "2007-06-31", ":7:3 imagery.date: 2007-06-31 is not a day of the calendar"),
    "propensity": ("covariates: [age]", "propensity: 0", ":12:3 design.propensity: 0 is not a propensity"),
    "pixel unit": ("size_m: 960", "size_m: 960\n  pixel_unit: landsat_c2", ":7:3 imagery.pixel_unit: 'landsat_c2' is not known. Did you mean 'landsat_c2_dn'?"),
    "offset that is no yes or no": ("size_m: 960", "size_m: 960\n  pixel_unit: s2_l2a_dn\n  offset_applied: perhaps", ":8:3 imagery.offset_applied: must be true or false, not 'perhaps'"),
    "quality scheme": ("size_m: 960", "size_m: 960\n  quality: {band: SCL, scheme: sentinel2_slc}", ":7:24 imagery.quality.scheme: 'sentinel2_slc' is not known. Did you mean 'sentinel2_scl'?"),
    "quality without a scheme": ("size_m: 960", "size_m: 960\n  quality: {band: SCL}", "imagery.quality.scheme: this field is missing"),
    "word that is no size": ("size_m: 960", "size_m: polygons", ":6:3 imagery.size_m: 'polygons' is not a size. Write metres, more than 0, or polygon"),
    "word that is no day": ("2007-06-30", "tag", ":7:3 imagery.date: 'tag' is not a date. Write year-month-day, such as 2007-06-30"),
    "frames for text": ("size_m: 960", "size_m: 960\n  frames: each", ":7:3 imagery.frames: must be a block of fields"),
    "period": ("size_m: 960", "size_m: 960\n  frames: {windows: [2005, 2006-13]}", ":7:28 imagery.frames.windows[1]: '2006-13' is not a period. Write a year, month or day such as 2005, 2005-06"),
    "period that ends first": ("size_m: 960", "size_m: 960\n  frames: {windows: 2006/2005}", "imagery.frames.windows: '2006/2005' is not a period"),
    "period twice": ("size_m: 960", "size_m: 960\n  frames: {windows: [2005, 2005]}", "imagery.frames.windows: listed more than once: 2005. Keep one of each"),
    "no period": ("size_m: 960", "size_m: 960\n  frames: {windows: []}", "imagery.frames.windows: is empty. Name at least one"),
    "length of time": ("size_m: 960", "size_m: 960\n  frames: {before: 3 years}", ":7:12 imagery.frames.before: '3 years' is not a length of time. Write years, months or days, such as 3Y"),
    "composite": ("size_m: 960", "size_m: 960\n  frames: {windows: each, composite: mean}", "imagery.frames.composite: 'mean' is not known. Did you mean 'median'?"),
    "least of none": ("size_m: 960", "size_m: 960\n  frames: {windows: each, least: 0}", "imagery.frames.least: '0' is out of bounds: it must be greater than or equal to 1"),
    "side of half a pixel": ("size_m: 960", "size_m: 960\n  resample_px: 22.4", ":7:3 imagery.resample_px: must be a whole number, not '22.4'"),
    "class of clouds": ("size_m: 960", "size_m: 960\n  cloud_model: {drop: [cloud_shadows]}", "imagery.cloud_model.drop[0]: 'cloud_shadows' is not known. Did you mean 'cloud_shadow'?"),
    "cube for text": ("rasters: scene.tif", "cube: days.zarr", ":5:3 imagery.cube: must be a block of fields"),
    "cube without path": ("rasters: scene.tif", "cube: {crs: 'EPSG:32636'}", "imagery.cube.path: this field is missing"),
    "preset": ("rasters: scene.tif", "stac: {catalog: c.json, preset: sentinel2-l2a}", "imagery.stac.preset: 'sentinel2-l2a' is not known. Did you mean 'sentinel-2-l2a'?"),
    "clouds in percent": ("rasters: scene.tif", "stac: {catalog: c.json, preset: hls-l30, max_cloud: 40}", "imagery.stac.max_cloud: '40' is out of bounds: it must be less than or equal to 1"),
    "scheme of displacement": ("lat: lat}", "lat: lat, displacement: {urban: age, scheme: lsms}}", "units.displacement.scheme: 'lsms' is not known. Choose from: dhs"),
    "displacement without urban": ("lat: lat}", "lat: lat, displacement: {draws: 4}}", "units.displacement.urban: this field is missing"),
    "no draws": ("lat: lat}", "lat: lat, displacement: {urban: age, draws: 0}}", "units.displacement.draws: '0' is out of bounds"),
    "missing rule": ("covariates: [age]", "missing: imputed", ":12:3 design.missing: 'imputed' is not known. Choose from: error, drop"),
    "environment": ("units.csv", '"${NO_SUCH_FOLDER}/u.csv"', ":3:9 units.path: the environment variable NO_SUCH_FOLDER is not set. Set it first"),
    "web address": ("units.csv", "https://example.org/u.csv", ":3:9 units.path: 'https://example.org/u.csv' is not a local path. Download"),
    "signed address": ("rasters: scene.tif", "rasters: https://example.org/a.tif?sig=1\n  remote: true", ":5:3 imagery.rasters: the address holds a query or a password, which would be written to the records"),
    "address with a password": ("rasters: scene.tif", "rasters: https://me:key@example.org/a.tif\n  remote: true", ":5:3 imagery.rasters: the address holds a query or a password"),
    "virtual path": ("scene.tif", "/vsicurl/example.org/a.tif", ":5:3 imagery.rasters: '/vsicurl/example.org/a.tif' is not a local path"),
}  # fmt: skip

RULES = {
    "lon alone": (", lat: lat", "", ":3:36 units.lon: lon stands alone. Name the column of lat too"),
    "rasters and arrays": ("rasters: scene.tif", "rasters: scene.tif\n  arrays: a.npz", "imagery.arrays: rasters and arrays are both given. Keep one"),
    "no source": ("  rasters: scene.tif\n", "", ":4:1 imagery: no source is given. Name what the pictures come from: rasters, cube, stac, arrays or store"),
    "no size": ("  size_m: 960\n", "", ":4:1 imagery: chips cut from rasters need a size. Give size_m"),
    "conversion of nothing": ("size_m: 960", "size_m: 960\n  convert_to: reflectance", ":4:1 imagery: convert_to and offset_applied need pixel_unit"),
    "quality of arrays": ("rasters: scene.tif\n  size_m: 960", "arrays: a.npz\n  keys: k\n  quality: {band: 1, scheme: hls_fmask}", "imagery.quality: quality belongs to rasters"),
    "two sizes": ("size_m: 960", "size_m: 960\n  size_px: 32", ":7:3 imagery.size_px: size_m and size_px are both given. Keep one"),
    "keys of no array": ("size_m: 960", "size_m: 960\n  keys: k", ":7:3 imagery.keys: keys belongs to arrays, not to rasters"),
    "arrays without keys": ("rasters: scene.tif\n  size_m: 960", "arrays: a.npz", ":4:1 imagery: chips in arrays need keys"),
    "axes of no array": ("size_m: 960", "size_m: 960\n  axes: nhwc", ":7:3 imagery.axes: axes belongs to arrays, not to rasters"),
    "arrays in pixels": ("rasters: scene.tif\n  size_m: 960", "arrays: a.npz\n  keys: k\n  size_px: 9", ":7:3 imagery.size_px: size_px belongs to rasters"),
    "arrays of two sizes": ("rasters: scene.tif\n  size_m: 960", "arrays: a.npz\n  keys: k\n  size_m: [1, 2]", ":7:3 imagery.size_m: chips in arrays have one size"),
    "arrays with chosen bands": ("rasters: scene.tif\n  size_m: 960", "arrays: a.npz\n  keys: k\n  bands: [1]", ":7:3 imagery.bands: bands of arrays are named, not chosen"),
    "rasters and store": ("rasters: scene.tif", "rasters: scene.tif\n  store: chips.zarr", ":6:3 imagery.store: rasters and store are both given. Keep one"),
    "three sources": ("rasters: scene.tif", "rasters: scene.tif\n  arrays: a.npz\n  cube: {path: c.zarr}", ":6:3 imagery.arrays: rasters and arrays are both given. Keep one"),
    "size of a store": ("rasters: scene.tif\n  size_m: 960\n  date: 2007-06-30", "store: s.zarr\n  size_m: 960", ":6:3 imagery.size_m: size_m belongs to rasters, cube, stac and arrays, not to store. Leave it out"),
    "frames of arrays": ("rasters: scene.tif\n  size_m: 960", "arrays: a.npz\n  keys: k\n  frames: {windows: each}", ":7:3 imagery.frames: frames belongs to rasters, cube and stac, not to arrays"),
    "pattern of a cube": ("rasters: scene.tif", "cube: {path: c.zarr}\n  pattern: '*_{date:%Y}'", ":6:3 imagery.pattern: pattern belongs to rasters, not to cube"),
    "tags of a cube": ("rasters: scene.tif\n  size_m: 960\n  date: 2007-06-30", "cube: {path: c.zarr}\n  size_m: 960\n  date: tags", ":7:3 imagery.date: tags are those of rasters. Write the day, or leave it out"),
    "cube without a size": ("rasters: scene.tif\n  size_m: 960", "cube: {path: c.zarr}", ":4:1 imagery: chips cut from cube need a size. Give size_m (metres) or size_px (pixels)"),
    "polygon of arrays": ("rasters: scene.tif\n  size_m: 960", "arrays: a.npz\n  keys: k\n  size_m: polygon", ":7:3 imagery.size_m: chips in arrays have one size"),
    "polygon and metres": ("size_m: 960", "size_m: [polygon, 960]", ":6:3 imagery.size_m: polygon stands alone. Leave out the other sizes"),
    "sides for other sizes": ("size_m: 960", "size_m: [960, 1920, 3840]\n  resample_px: [32, 64]", ":7:3 imagery.resample_px: 2 sides for 3 sizes. Give one number, or one for each size"),
    "date and pattern": ("size_m: 960", "size_m: 960\n  pattern: 'LE07_{date:%Y%m%d}*'", ":8:3 imagery.date: date and {date} in pattern both say it. Keep one"),
    "sensor and pattern": ("size_m: 960", "size_m: 960\n  sensor: ETM\n  pattern: '{sensor}_*'", ":7:3 imagery.sensor: sensor and {sensor} in pattern both say it. Keep one"),
    "pattern that says nothing": ("size_m: 960", "size_m: 960\n  pattern: LE07_*", ":7:3 imagery.pattern: pattern does not say where {date:...} or {sensor} are"),
    "frames without days": ("size_m: 960\n  date: 2007-06-30", "size_m: 960\n  frames: {windows: each}", ":7:3 imagery.frames: frames need the day of each raster. Say date: tags, or pattern:"),
    "frames of neither kind": ("size_m: 960", "size_m: 960\n  frames: {least: 2}", ":7:3 imagery.frames: neither windows nor before is given. Write windows: [2005, 2006]"),
    "frames of both kinds": ("lat: lat}\nimagery:\n", "lat: lat, date: age}\nimagery:\n  frames: {windows: each, before: 1Y}\n", "imagery.frames.before: windows and before are both given. Keep one"),
    "every without before": ("size_m: 960", "size_m: 960\n  frames: {windows: each, every: 1Y}", ":7:27 imagery.frames.every: every goes with before. Leave it out"),
    "each and periods": ("size_m: 960", "size_m: 960\n  frames: {windows: [each, 2005]}", "imagery.frames.windows: each stands alone. Leave out the periods"),
    "periods that overlap": ("size_m: 960", "size_m: 960\n  frames: {windows: [2005-01, 2005/2006]}", ":7:31 imagery.frames.windows[1]: 2005/2006 begins before 2005-01 has ended. Write periods in order of time"),
    "steps that do not fit": ("size_m: 960", "size_m: 960\n  frames: {before: 1Y, every: 5M}", ":7:24 imagery.frames.every: 1Y cannot be parted by 5M"),
    "days in years": ("size_m: 960", "size_m: 960\n  frames: {before: 1Y, every: 30D}", "imagery.frames.every: 1Y cannot be parted by 30D"),
    "before without a day": ("size_m: 960", "size_m: 960\n  frames: {before: 1Y}", ":7:12 imagery.frames.before: before treatment needs the day of each unit's treatment. Name its column: units: {date: treated_on}"),
    "quality and cloud model": ("size_m: 960", "size_m: 960\n  quality: {band: qa, scheme: hls_fmask}\n  cloud_model: {}", ":8:3 imagery.cloud_model: quality and cloud_model are both given. Keep one"),
    "cloud model of other bands": ("size_m: 960", "size_m: 960\n  bands: [red, green]\n  cloud_model: {}", ":8:3 imagery.cloud_model: the cloud model reads nir, which bands does not hold. Add them to bands"),
    "cloud model of two bands": ("size_m: 960", "size_m: 960\n  cloud_model: {bands: [red, nir]}", ":7:17 imagery.cloud_model.bands: the model reads red, green and near infrared, not 2 bands. Name three"),
    "catalogue on the network": ("rasters: scene.tif", "stac: {catalog: 'https://example.org/v1', preset: hls-l30}", ":5:10 imagery.stac.catalog: an address on a server, and the network is not read unasked. Add remote: true"),
    "raster on a server": ("rasters: scene.tif", "rasters: [a.tif, 's3://bucket/scene.tif']", ":5:20 imagery.rasters[1]: an address on a server, and the network is not read unasked. Add remote: true"),
    "network for a cube": ("rasters: scene.tif", "cube: {path: c.zarr}\n  remote: true", ":6:3 imagery.remote: remote belongs to rasters and stac, not to cube. Leave it out"),
    "catalogue without bands": ("rasters: scene.tif", "stac: {catalog: c.json}", ":5:3 imagery.stac: neither a preset nor bands are named. Write preset: sentinel-2-l2a"),
    "catalogue with numbered bands": ("rasters: scene.tif", "stac: {catalog: c.json}\n  bands: [1]", ":6:3 imagery.bands: bands of a catalogue are named"),
    "preset and a unit": ("rasters: scene.tif", "stac: {catalog: c.json, preset: hls-l30}\n  pixel_unit: dn", ":6:3 imagery.pixel_unit: the preset hls-l30 says what pixels are and which are clear. Leave pixel_unit out"),
    "catalogue in pixels": ("rasters: scene.tif\n  size_m: 960", "stac: {catalog: c.json, preset: hls-l30}\n  size_px: 32", ":6:3 imagery.size_px: size_px belongs to rasters and cube, not to stac. Leave it out"),
    "catalogue of polygons": ("rasters: scene.tif\n  size_m: 960", "stac: {catalog: c.json, preset: hls-l30}\n  size_m: polygon", ":6:3 imagery.size_m: scenes are searched within metres of the units"),
    "displaced arrays": ("lat: lat}\nimagery:\n  rasters: scene.tif\n  size_m: 960", "lat: lat, displacement: {urban: age}}\nimagery:\n  arrays: a.npz\n  keys: k", ":3:56 units.displacement: chips in arrays are cut already, not at draws"),
    "displaced polygons": ("lat: lat}\nimagery:\n  rasters: scene.tif\n  size_m: 960", "lat: lat, displacement: {urban: age}}\nimagery:\n  rasters: scene.tif\n  size_m: polygon", ":3:56 units.displacement: displaced units are points, and size_m: polygon needs polygons"),
    "displaced embeddings": ("lat: lat}\nimagery:\n  rasters: scene.tif\n  size_m: 960\n  date: 2007-06-30\nencoder: {name: rcf}", "lat: lat, displacement: {urban: age}}\nembeddings: {path: e.csv, key: unit}", ":3:56 units.displacement: displacement needs imagery to cut chips from at the draws"),
    "outcome as treatment": ("treatment: grant", "treatment: income", ":11:3 design.treatment: 'income' is the outcome already"),
    "treatment as covariate": ("[age]", "[age, grant]", ":12:21 design.covariates[1]: 'grant' is the treatment, not a covariate. Leave it out"),
    "rate without cate": ("  cate: {trees: 100}\n", "", "effects.rate: rate ranks units by effect and needs cate. Add cate:"),
    "no encoder": ("encoder: {name: rcf}\n", "", ":4:1 imagery: imagery needs an encoder. Add encoder: {name: rcf}"),
    "encoder alone": ("imagery:\n  rasters: scene.tif\n  size_m: 960\n  date: 2007-06-30\n", "", ":4:1 encoder: an encoder needs imagery"),
    "features of neither kind": ("imagery:\n  rasters: scene.tif\n  size_m: 960\n  date: 2007-06-30\n", "", ":1:1 neither imagery nor embeddings is given. Add one"),
}  # fmt: skip

YAML = {
    "anchor": ("title: A study", "title: &t A study", ":2:8 anchors (&) and aliases (*) are not read"),
    "alias": ("title: A study", "title: *t", ":2:8 anchors (&) and aliases (*) are not read"),
    "tag": ("title: A study", "title: !!python/name:os.system", ":2:8 the tag 'tag:yaml.org,2002:python/name:os.system' is not read"),
    "field twice": ("title: A study", "title: A study\ntitle: B", ":3:1 'title' is written twice, first in line 2. Keep one"),
    "second document": ("effects:", "---\neffects:", ":13:1 a second document starts here"),
    "unclosed bracket": ("[age]", "[age", ":13:8 this is not YAML"),
    "tab": ("  outcome", "\toutcome", ":10:1 this is not YAML"),
    "list as name": ("title:", "? [a]\n: 1\ntitle:", ":2:3 the name of a field must be text"),
    "control character": ("A study", "A \x07 study", ":2:10 the character U+0007 may not stand here"),
    "depth": ("[age]", "[" * 40 + "]" * 40, ":12:45 blocks lie more than 32 deep"),
    "depth of an attack": ("[age]", "[" * 100_000, ":12:45 blocks lie more than 32 deep"),
}  # fmt: skip


def _write(folder: Path, case: tuple[str, str, str]) -> Path:
    old, new, _ = case
    assert old in STUDY
    path = folder / "analysis.yaml"
    path.write_text(STUDY.replace(old, new, 1))
    return path


@pytest.mark.parametrize(
    "case", [*FIELDS.values(), *RULES.values(), *YAML.values()], ids=[*FIELDS, *RULES, *YAML]
)
def test_the_mistake_is_told_at_its_place(tmp_path: Path, case: tuple[str, str, str]) -> None:
    path = _write(tmp_path, case)
    with pytest.raises(SpecError, match=re.escape(case[2])) as caught:
        load_spec(path)
    assert str(caught.value).startswith(f"{path}:")


def test_the_study_they_start_from_is_right(tmp_path: Path) -> None:
    path = tmp_path / "analysis.yaml"
    path.write_text(STUDY)
    assert load_spec(path).spec.title == "A study"


def test_a_bomb_of_aliases_is_refused_at_its_first_anchor(tmp_path: Path) -> None:
    path = tmp_path / "bomb.yaml"
    levels = [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]" for level in range(1, 10)]
    path.write_text("a0: &a0 [lol]\n" + "\n".join(levels))
    with pytest.raises(SpecError, match=r"bomb.yaml:1:5 anchors \(&\) and aliases"):
        load_spec(path)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    path.write_text("# " + "x" * 300_000)
    with pytest.raises(SpecError, match=r"300,002 bytes(.|\n)*at most 262,144 bytes"):
        load_spec(path)


def test_bytes_that_are_not_text_are_told_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"title: a\nquestion: caf\xe9\n")
    with pytest.raises(SpecError, match=r"latin.yaml:2:1 the file is not UTF-8 text. Save it as UTF-8"):
        load_spec(path)


@pytest.mark.parametrize("text", ["", "just words", "[1, 2]", "3"])
def test_what_is_no_block_is_no_specification(tmp_path: Path, text: str) -> None:
    path = tmp_path / "empty.yaml"
    path.write_text(text)
    with pytest.raises(SpecError, match=r"a specification is a block of fields such as 'title: My study'"):
        load_spec(path)


def test_a_misspelt_file_name_gets_the_nearest_one(tmp_path: Path) -> None:
    (tmp_path / "analysis.yaml").write_text(STUDY)
    with pytest.raises(SpecError, match=r"There is no specification(.|\n)*Did you mean 'analysis.yaml'"):
        load_spec(tmp_path / "anaylsis.yml")
    with pytest.raises(SpecError, match="is a folder"):
        load_spec(tmp_path)


INPUTS = {
    "file": ("units.csv", "unit.csv", ":3:9 units.path: there is no file '{folder}/unit.csv'. Did you mean 'units.csv'?"),
    "folder": ("units.csv", "data/units.csv", ":3:9 units.path: there is no folder '{folder}/data'"),
    "folder for file": ("units.csv", ".", ":3:9 units.path: '{folder}' is a folder. Name a file in it"),
    "raster": ("scene.tif", "scenes.tif", ":5:3 imagery.rasters: there is no file '{folder}/scenes.tif'. Did you mean 'scene.tif'?"),
    "pattern": ("scene.tif", '"landsat_*.tif"', ":5:3 imagery.rasters: no file matches '{folder}/landsat_*.tif'"),
    "id": ("id: unit,", "id: units,", ":3:26 units.id: column 'units' is not in the units table. Did you mean 'unit'?"),
    "outcome": ("outcome: income", "outcome: incme", ":10:3 design.outcome: column 'incme' is not in the units table. Did you mean 'income'?"),
    "covariate": ("[age]", "[age, sexx]", ":12:21 design.covariates[1]: column 'sexx' is not in the units table. Choose from: unit, lon,"),
    "propensity": ("covariates: [age]", "propensity: pscore", ":12:3 design.propensity: column 'pscore' is not in the units table"),
    "truth": ("effects:", "truth: {ate: 1, effect_column: effect}\neffects:", ":13:17 truth.effect_column: column 'effect' is not in"),
    "arrays": ("rasters: scene.tif\n  size_m: 960", "arrays: scene.tif\n  keys: k", ":5:3 imagery.arrays: 'scene.tif' is not an NPZ file. Save it with numpy.savez"),
    "embeddings": ("effects:", "embeddings: {path: units.csv, key: image}\neffects:", ":13:31 embeddings.key: column 'image' is not in the embeddings table"),
    "prefix": ("effects:", "embeddings: {path: units.csv, key: unit, columns: emb}\neffects:", "embeddings.columns: no column of the embeddings table begins with 'emb'"),
    "store": ("rasters: scene.tif\n  size_m: 960\n  date: 2007-06-30", "store: .", ":5:3 imagery.store: '{folder}' is not a store of chips. Write one with eocausal chips"),
    "cube": ("rasters: scene.tif", "cube: {path: day.nc}", ":5:10 imagery.cube.path: there is no file '{folder}/day.nc'"),
    "catalogue": ("rasters: scene.tif\n  size_m: 960\n  date: 2007-06-30", "stac: {catalog: catalog.json, preset: hls-l30}\n  size_m: 960", ":5:10 imagery.stac.catalog: there is no file '{folder}/catalog.json'"),
    "polygons": ("size_m: 960", "size_m: polygon", ":6:3 imagery.size_m: 'units.csv' holds no polygons. Name a GeoPackage"),
    "urban": ("lat: lat}", "lat: lat, displacement: {urban: kind}}", ":3:71 units.displacement.urban: column 'kind' is not in the units table"),
    "within": ("lat: lat}", "lat: lat, displacement: {urban: age, within: districts.gpkg}}", ":3:83 units.displacement.within: there is no file '{folder}/districts.gpkg'"),
    "broken table": ("effects:", "embeddings: {path: broken.parquet, key: unit}\neffects:", ":13:14 embeddings.path: the table cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("case", INPUTS.values(), ids=INPUTS)
def test_files_and_columns_that_are_not_there_are_told_at_their_line(
    tmp_path: Path, case: tuple[str, str, str]
) -> None:
    columns = {"unit": [1], "lon": [32.0], "lat": [1.0], "income": [0.1], "grant": [1], "age": [20]}
    pd.DataFrame(columns).to_csv(tmp_path / "units.csv", index=False)
    (tmp_path / "scene.tif").write_bytes(b"II*\x00")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and no more")
    loaded = load_spec(_write(tmp_path, case))
    with pytest.raises(SpecError, match=re.escape(case[2].format(folder=tmp_path))):
        check_inputs(loaded)
