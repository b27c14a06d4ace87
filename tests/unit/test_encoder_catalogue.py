"""The catalogue of encoders is data: every row is whole, and is loaded or refused as it says."""

from __future__ import annotations

import importlib.metadata
import pickle
import tomllib
from pathlib import Path

import pandas as pd
import pytest

from eocausal.encoding._bands import match_bands
from eocausal.encoding.catalogue import (
    CATALOGUE,
    GROUP,
    all_specs,
    catalogue_names,
    encoder_markdown,
    encoders,
    find_spec,
)
from eocausal.encoding.image_stats import ImageStats
from eocausal.encoding.pretrained import Pretrained
from eocausal.encoding.registry import encoder_names, get_encoder
from eocausal.encoding.spec import read_spec
from eocausal.errors import EncoderError, SpecError

ROOT = Path(__file__).parents[2]
MINE = """\
spec_version: 1
name: mine
title: A network of ours
library: transformers
loader: vit
weights: folder
licence: MIT
commercial_ok: true
bands:
  - {name: B04, common_name: red}
  - {name: B8A, common_name: nir08, wavelength_um: 0.865}
pixel_unit: reflectance
scaling:
  - clip: [0, 0.5]
  - z: {mean: [0.1, 0.2], std: 0.05}
native_px: 32
pooling: [mean, cls]
dim: 16
citation: ours
"""
# names of issue and design notes that a person may ask for
ASKED = [
    "image_stats", "rcf", "softcon-s2-vits14", "softcon-s2-vitb14", "ssl4eo-l-vits16-tm-toa",
    "ssl4eo-l-vits16-etm-toa", "ssl4eo-l-vits16-etm-sr", "ssl4eo-l-vits16-oli-tirs-toa", "ssl4eo-l-vits16-oli-sr",
    "dofa-base", "dofa-large", "panopticon-vitb14", "prithvi-eo-2-tiny-tl", "prithvi-eo-2-100m-tl",
    "prithvi-eo-2-300m-tl", "prithvi-eo-2-600m-tl", "prithvi-eo-1-100m", "terramind-tiny", "terramind-small",
    "terramind-base", "terramind-large", "olmoearth-nano", "olmoearth-tiny", "olmoearth-small", "olmoearth-base",
    "dinov2-base", "dinov3-sat-vitl16", "clip-rsicd-v2", "clip-vit-b32", "vit-base-in21k", "remoteclip-vitb32",
    "swin-base-in22k", "videomae-base", "satclip-l10", "satclip-l40", "scalemae-large", "satmaepp-s2-vitl8",
]  # fmt: skip


def _mine(tmp_path: Path, *changes: tuple[str, str]) -> Path:
    text = MINE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return path


def test_the_catalogue_holds_what_people_ask_for_under_the_name_of_its_file():
    assert set(ASKED) <= set(catalogue_names())
    assert [spec.name for spec in all_specs()] == list(catalogue_names())
    assert set(encoder_names()) == {spec.name for spec in all_specs() if spec.library == "eocausal"}
    assert len(list(CATALOGUE.glob("*.yaml"))) == len(catalogue_names())


@pytest.mark.parametrize("name", catalogue_names())
def test_every_row_is_ready_or_refused_in_its_own_words(name):
    spec = find_spec(name)
    if spec.status == "planned":
        why = rf"'{name}' (is planned|needs Python >=3\.12, and this|sees coordinates, not imagery)"
        with pytest.raises(EncoderError, match=why):
            get_encoder(name)
    else:
        assert get_encoder(name).name == name
        assert spec.library == "eocausal" or spec.scaling
    if spec.library in {"transformers", "torchgeo", "terratorch"} and spec.bands is not None:
        assert spec.pixel_unit is not None or spec.learns_scale
        assert len(set(spec.common_names)) == len(spec.bands)


def test_what_the_catalogue_says_of_well_known_encoders():
    softcon, prithvi = find_spec("softcon-s2-vits14"), find_spec("prithvi-eo-2-300m-tl")
    assert [band.name for band in softcon.bands][7:11] == ["B08", "B8A", "B09", "B10"]
    assert (softcon.scaling[0].z.mean[0], softcon.scaling[0].z.std[-1]) == (1612.9, 1142.9)
    assert (softcon.resize_px, softcon.native_px, softcon.sensors) == (256, 224, ("sentinel-2-l1c",))
    assert prithvi.common_names == ("blue", "green", "red", "nir08", "swir16", "swir22")
    assert (prithvi.frames_min, prithvi.frames_max, prithvi.dim) == (1, 4, 1024)
    assert "night lights (VIIRS)" in find_spec("galileo-base").outcome_proxy_inputs
    assert find_spec("olmoearth-tiny").use_restrictions == "no military use, no extractive industries"
    assert find_spec("dinov3-sat-vitl16").gated
    assert [s.kind for s in find_spec("ssl4eo-l-vits16-etm-sr").scaling] == ["clip", "divide"]


def test_the_table_filters_by_bands_sensor_licence_and_length():
    table = encoders()
    assert table["name"].tolist() == list(catalogue_names())
    landsat = set(encoders("landsat")["name"])
    assert {"ssl4eo-l-vits16-etm-sr", "prithvi-eo-2-300m-tl", "dinov2-base", "rcf"} <= landsat
    assert not {"softcon-s2-vits14", "ssl4eo-l-vits16-tm-toa", "ssl4eo-l-vits16-oli-sr"} & landsat
    assert set(encoders(["B02", "B03", "B04"])["name"]) == set(encoders("rgb")["name"])
    assert {name.split("-")[0] for name in encoders(sensor="hls")["name"]} == {"prithvi"}
    assert len(encoders(sensor="landsat")) >= 5
    free = encoders(commercial_ok=True)
    assert free["commercial_ok"].all()
    assert "scalemae-large" not in set(free["name"])
    assert set(encoders(max_dim=128)["dim"].dropna()) == {128}
    assert set(encoders(loadable=False)["why_not"]) >= {"no library", "coordinates, not imagery"}
    assert (table["loadable"] == (table["why_not"] == "")).all()
    assert pd.isna(table.set_index("name").loc["rcf", "dim"])
    with pytest.raises(EncoderError, match=r"'landsad' is not known[\s\S]*landsat"):
        encoders("landsad")
    with pytest.raises(EncoderError, match="max_dim"):
        encoders(max_dim=0)


def test_the_markdown_table_has_a_row_for_every_encoder():
    lines = encoder_markdown().splitlines()
    assert [line.split("`")[1] for line in lines[2:]] == list(catalogue_names())
    assert len({line.count("|") for line in lines}) == 1


def test_package_data_holds_the_catalogue():
    packaged = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    assert "encoding/catalog/*.yaml" in packaged["eocausal"]


def test_a_file_of_ones_own(tmp_path):
    spec = read_spec(_mine(tmp_path))
    assert spec.weights == str(tmp_path / "folder")
    assert (spec.pool, spec.common_names, spec.scaling[1].z.std) == ("mean", ("red", "nir08"), (0.05,))
    assert find_spec(str(tmp_path / "mine.yaml")) == spec
    assert get_encoder(str(tmp_path / "mine.yaml")).spec == spec


def test_a_file_that_changes_during_a_run_does_not_change_what_processes_encode(tmp_path):
    path = _mine(tmp_path)
    encoder = Pretrained(str(path))
    sent = pickle.dumps(encoder)
    _mine(tmp_path, ("std: 0.05", "std: 0.5"))
    assert pickle.loads(sent).spec == encoder.spec
    path.unlink()
    assert pickle.loads(sent).spec.weights == str(tmp_path / "folder")
    assert pickle.loads(pickle.dumps(Pretrained("dinov2-base"))) == Pretrained("dinov2-base")


def test_the_hash_counts_what_moves_vectors_and_not_words(tmp_path):
    base = read_spec(_mine(tmp_path)).hash()
    assert (
        read_spec(_mine(tmp_path, ("A network of ours", "Another title"), ("folder", "other"))).hash() == base
    )
    for change in [("0.05", "0.06"), ("B04", "B05"), ("native_px: 32", "native_px: 64"), ("[0, 0.5]", "[0, 0.4]"),
                   ("pixel_unit: reflectance", "pixel_unit: reflectance_x10000"),
                   ("native_px: 32", "native_px: 32\nnative_gsd_m: [30]")]:  # fmt: skip
        assert read_spec(_mine(tmp_path, change)).hash() != base


@pytest.mark.parametrize(("change", "words"), [
    (("licence: MIT", "license: MIT"), r"mine.yaml:7:1 license: unknown field. Did you mean 'licence'\?"),
    (("pixel_unit: reflectance", "pixel_unit: reflectence"), "is not a unit of pixels. Did you mean 'reflectance'"),
    (("library: transformers", "library: transformer"), "'transformer' is not known. Did you mean 'transformers'"),
    (("  - clip: [0, 0.5]", "  - clip: [0.5, 0]"), r"scaling\[0\].clip: must be the smallest and the largest"),
    (("  - clip: [0, 0.5]", "  - {clip: [0, 1], divide: 2}"), r"scaling\[0\]: holds 2 of subtract, divide"),
    (("  - clip: [0, 0.5]", "  - eval: 3"), r"eval: unknown field"),
    (("mean: [0.1, 0.2]", "mean: [0.1, 0.2, 0.3]"), "holds 3 numbers for 2 bands"),
    (("std: 0.05", "std: 0"), "is zero for a band"),
    (("dim: 16\n", ""), "dim: this field is missing, and encoders of transformers need it"),
    (("name: mine", "name: My encoder"), "name: 'My encoder'"),
    (("native_px: 32", "native_px: 32\nresize_px: 16"), "resize_px: is less than native_px"),
    (("weights: folder", "revision: main"), "revision: 'main'"),
    (("weights: folder", "weights: !!python/object:os.system x"), "the tag"),
])  # fmt: skip
def test_mistakes_are_told_at_their_line(tmp_path, change, words):
    with pytest.raises(SpecError, match=words):
        read_spec(_mine(tmp_path, change))


def test_files_that_are_not_there_or_no_encoder(tmp_path):
    with pytest.raises(SpecError, match="There is no file"):
        get_encoder(str(tmp_path / "none.yaml"))
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(SpecError, match="an encoder is a block of fields"):
        read_spec(tmp_path / "list.yaml")
    (tmp_path / "any.yaml").write_text(
        MINE.replace(MINE[MINE.index("bands:") : MINE.index("pixel")], "bands: any\n")
    )
    with pytest.raises(EncoderError, match="such as 'vit' cannot read any bands"):
        get_encoder(str(tmp_path / "any.yaml"))


def test_unknown_names_get_the_nearest_or_those_that_begin_so():
    with pytest.raises(EncoderError, match=r"'dinov2-bse' is not known[\s\S]*Did you mean 'dinov2-base'"):
        find_spec("dinov2-bse")
    with pytest.raises(EncoderError, match=r"'ssl4eo' is not known[\s\S]*Choose from ssl4eo-l-vits16-etm-sr"):
        find_spec("ssl4eo")


class _Point:
    def __init__(self, name, held):
        self.name, self.value, self._held = name, f"package:{name}", held

    def load(self):
        if isinstance(self._held, Exception):
            raise self._held
        return self._held


def test_installed_packages_add_encoders(tmp_path, monkeypatch):
    path = _mine(tmp_path)
    points = [_Point("theirs", str(path)), _Point("config", ImageStats(quantiles=(0.5,))),
              _Point("broken", ImportError("no module"))]  # fmt: skip
    real = importlib.metadata.entry_points
    monkeypatch.setattr(
        importlib.metadata,
        "entry_points",
        lambda **some: points if some.get("group") == GROUP else real(**some),
    )
    assert find_spec("theirs").name == "mine"
    assert get_encoder("theirs").name == "mine"
    assert get_encoder("config") == ImageStats(quantiles=(0.5,))
    with pytest.raises(EncoderError, match=r"'broken' of 'package:broken' cannot be loaded: no module"):
        get_encoder("broken")


def test_bands_are_found_by_common_names_and_names_of_only_one_band():
    rgb = [("red", "red"), ("green", "green"), ("blue", "blue")]
    assert match_bands(rgb, ["blue", "green", "red", "nir"], encoder="e") == (2, 1, 0)
    assert match_bands(rgb, ["B04", "B03", "B02"], encoder="e") == (0, 1, 2)
    assert match_bands(rgb, ["SR_B1", "SR_B2", "SR_B3"], encoder="e",
                       named={"red": "SR_B3", "green": "SR_B2", "blue": "SR_B1"}) == (2, 1, 0)  # fmt: skip


@pytest.mark.parametrize("given", [["SR_B4", "SR_B3", "SR_B2"], ["B4", "B3", "B2"]])
def test_names_that_are_other_bands_with_other_sensors_are_not_guessed(given):
    with pytest.raises(
        EncoderError, match=r"are other bands with other sensors[\s\S]*reads red[\s\S]*the chips have"
    ):
        match_bands([("red", "red")], given, encoder="e")


def test_bands_that_are_missing_or_named_wrongly():
    with pytest.raises(
        EncoderError, match=r"needs bands[\s\S]*1 \(nir\)[\s\S]*'e' reads red, nir; the chips have red"
    ):
        match_bands([("B4", "red"), ("B8", "nir")], ["red"], encoder="e")
    with pytest.raises(EncoderError, match=r"does not join[\s\S]*B9"):
        match_bands([("red", "red")], ["red"], encoder="e", named={"red": "B9"})
    with pytest.raises(EncoderError, match="One band of the chips would stand for several"):
        match_bands([("a", "red"), ("b", "green")], ["x"], encoder="e", named={"red": "x", "green": "x"})
