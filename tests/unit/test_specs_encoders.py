# ruff: noqa: E501 - the tables of cases read better with a case a line
"""The block of the encoder: read as written, made as asked, every mistake at its place."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import pytest

from eocausal.encoding._hub_names import HUB
from eocausal.encoding.catalogue import GROUP, catalogue_names, find_spec
from eocausal.encoding.image_stats import ImageStats
from eocausal.encoding.multi_scale import MultiScale
from eocausal.encoding.pretrained import PRECISIONS, Pretrained
from eocausal.encoding.random_features import RandomFeatures
from eocausal.encoding.registry import encoder_names as built_in_names
from eocausal.encoding.sequence import _POOLS, Sequence
from eocausal.errors import SpecError
from eocausal.runner.asked_encoders import asked_encoder, check_encoder
from eocausal.specs import _encoder_names
from eocausal.specs.encoders import PretrainedSpec, RcfSpec, SequenceSpec
from eocausal.specs.inputs import check_inputs
from eocausal.specs.load import load_spec
from eocausal.specs.models import AnalysisSpec
from eocausal.specs.schema import analysis_schema, field_table
from eocausal.specs.yaml_text import read_yaml

STUDY = """\
spec_version: 1
title: A study
units: {path: units.csv, id: unit, lon: lon, lat: lat}
imagery: {rasters: scene.tif, size_m: [480, 960], frames: {windows: [2005, 2006]}, date: 2007-06-30}
encoder: {name: rcf}
design: {outcome: income, treatment: grant}
effects: {ate: aipw}
"""
OURS = """\
spec_version: 1
name: ours
title: Ours
library: transformers
loader: vit
licence: MIT
commercial_ok: true
bands:
  - {name: red, common_name: red}
pixel_unit: reflectance
native_px: 32
pooling: [cls, mean]
dim: 16
citation: ours
"""


@pytest.fixture
def written(tmp_path: Path):
    """Write a study with an encoder and read it."""

    def read(encoder: str, *changes: tuple[str, str]):
        text = STUDY.replace("{name: rcf}", encoder)
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "analysis.yaml"
        path.write_text(text)
        (tmp_path / "ours.yaml").write_text(OURS)
        return load_spec(path)

    return read


TREND = Sequence(RandomFeatures(n_features=64), pool="trend", min_frames=2, min_valid=0.5)


@pytest.mark.parametrize(("block", "expected"), [
    ("{name: rcf}", RandomFeatures()),
    ("{name: rcf, n_features: 64, seed: 3}", RandomFeatures(n_features=64, seed=3)),
    ("{name: image_stats, quantiles: 0.5}", ImageStats(quantiles=(0.5,))),
    ("{name: dinov2-base, white: 0.3, pool: mean, precision: bf16}", Pretrained("dinov2-base", white=0.3, pool="mean", precision="bf16")),
    ("{name: vit-base-in21k, bands: {red: SR_B3}, download: false}", Pretrained("vit-base-in21k", bands={"red": "SR_B3"}, download=False)),
    ("{name: dofa-base, wavelengths: {B1: 0.485}, units: {B6: kelvin}}", Pretrained("dofa-base", wavelengths={"B1": 0.485}, units={"B6": "kelvin"})),
    ("{name: rcf, n_features: 64, sequence: {pool: trend, min_frames: 2, min_valid: 0.5}}", TREND),
    ("{name: rcf, sequence: {}}", Sequence(RandomFeatures())),
    ("{name: rcf, multi_scale: {reduce: 32}}", MultiScale(RandomFeatures(), reduce=32)),
    ("{name: rcf, multi_scale: {size_m: [960, 480], side_px: 8}}", MultiScale(RandomFeatures(), size_m=[960, 480], side_px=8)),
    ("{name: rcf, multi_scale: {side_px: {480: 8, 960m: 16}}}", MultiScale(RandomFeatures(), side_px={"480m": 8, "960m": 16})),
    ("{name: rcf, n_features: 64, sequence: {pool: trend, min_frames: 2, min_valid: 0.5}, multi_scale: {}}", MultiScale(TREND)),
    ("{multi_scale: {reduce: 4, encoders: {960: {name: image_stats}, 480: {name: dinov2-base, white: 0.2}}}}",
     MultiScale({960: ImageStats(), 480: Pretrained("dinov2-base", white=0.2)}, reduce=4)),
])  # fmt: skip
def test_the_encoder_is_the_one_that_the_calls_make(written, block, expected) -> None:
    loaded = written(block)
    check_encoder(loaded)
    made = asked_encoder(loaded.spec.encoder)
    assert (type(made), made.name) == (type(expected), expected.name)
    if isinstance(expected, MultiScale):
        assert made.blocks == expected.blocks
        assert (made.reduce, made.side_px) == (expected.reduce, expected.side_px)
        assert _settings(made.scales) == _settings(expected.scales)
    else:
        assert _settings(made) == _settings(expected)


def _settings(made):
    """Return what can be compared without weights: a recipe of a network would have to find them."""
    if isinstance(made, Mapping):
        return {size: _settings(one) for size, one in made.items()}
    if isinstance(made, Pretrained):
        return {name: value for name, value in vars(made).items() if name != "encoder"}
    return made.recipe()


def test_a_file_and_weights_are_found_from_the_folder_of_the_study(written, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("MODELS", "/models")
    loaded = written('{name: ours.yaml, weights: "${MODELS}/vit", pool: mean}')
    assert loaded.spec.encoder.name == str(tmp_path / "ours.yaml")
    made = asked_encoder(loaded.spec.encoder)
    assert (made.name, made.pool, made.weights) == ("ours", "mean", "/models/vit")
    commit = "0123456789" * 4
    assert (
        asked_encoder(written(f"{{name: ours.yaml, revision: '{commit}'}}").spec.encoder).revision == commit
    )


def test_names_and_defaults_are_those_of_the_encoders() -> None:
    assert set(_encoder_names._packaged()) == set(catalogue_names())
    assert set(_encoder_names.BUILT_IN) == set(built_in_names())
    assert (_encoder_names._GROUP, _encoder_names.HUB) == (GROUP, HUB)
    assert set(get_args(SequenceSpec.model_fields["pool"].annotation)) == set(_POOLS)
    assert get_args(PretrainedSpec.model_fields["precision"].annotation) == PRECISIONS
    asked, call = RcfSpec(name="rcf"), RandomFeatures()
    assert asked_encoder(asked) == call
    assert asked_encoder(PretrainedSpec(name="dinov2-base")) == Pretrained(find_spec("dinov2-base"))
    pooled, default = SequenceSpec(), Sequence("rcf")
    assert (pooled.pool, pooled.min_frames, pooled.min_valid) == (
        default.pool,
        default.min_frames,
        default.min_valid,
    )


def test_every_name_of_the_catalogue_is_known_and_planned_ones_are_told(written) -> None:
    for name in catalogue_names():
        loaded = written(f"{{name: {name}}}")
        if find_spec(name).status == "planned":
            with pytest.raises(SpecError, match=rf":5:11 encoder\.name: Encoder '{name}' "):
                check_encoder(loaded)
        else:
            check_encoder(loaded)


# what stands in place of {name: rcf}, and what must be told, after the name of the file
WRONG = {
    "a name that is near": ("{name: dinov2-bse}", ":5:1 encoder: name 'dinov2-bse' is not known. Did you mean 'dinov2-base'?"),
    "a name far from any": ("{name: zzzzzzzz}", ":5:1 encoder: name 'zzzzzzzz' is not known. Choose from: "),
    "a name on the hub": ("{name: 'hf:a/b'}", ":5:1 encoder: name 'hf:a/b' is that of a network, which does not say what it reads. Write its YAML file"),
    "a number": ("{name: 3}", ":5:11 encoder.name: must be text. Put it in quotes: '3'"),
    "no block": ("rcf", ":5:1 encoder: must be a block of fields, such as {name: rcf}"),
    "no name": ("{multi_scale: {reduce: 3}}", ":5:1 encoder: this block needs a name, such as {name: rcf}"),
    "a setting of another kind": ("{name: dinov2-base, n_features: 64}", ":5:30 encoder.n_features: unknown field. Choose from: name, pool"),
    "white": ("{name: dinov2-base, white: 3}", ":5:30 encoder.white: '3' is out of bounds: it must be less than or equal to 2"),
    "precision": ("{name: dinov2-base, precision: fp16}", ":5:30 encoder.precision: 'fp16' is not known"),
    "a branch for a commit": ("{name: dinov2-base, revision: main}", ":5:30 encoder.revision: 'main' is not a commit. Write its 40 digits"),
    "bands as a list": ("{name: dinov2-base, bands: [a]}", ":5:30 encoder.bands: must be a block of fields"),
    "bands that are numbers": ("{name: dinov2-base, bands: {red: 3}}", ":5:38 encoder.bands.red: must be text. Put it in quotes: '3'"),
    "a wavelength in words": ("{name: dofa-base, wavelengths: {B1: blue}}", ":5:42 encoder.wavelengths.B1: must be a number, not 'blue'"),
    "a unit of a band": ("{name: dofa-base, units: {B1: kelvins}}", ":5:36 encoder.units.B1: 'kelvins' is not known. Did you mean 'kelvin'?"),
    "pooling over time": ("{name: rcf, sequence: {pool: slope}}", ":5:33 encoder.sequence.pool: 'slope' is not known. Choose from: mean, last-first, mean+sd, trend"),
    "a share": ("{name: rcf, sequence: {min_valid: 2}}", ":5:33 encoder.sequence.min_valid: '2' is out of bounds"),
    "no components": ("{name: rcf, multi_scale: {reduce: 0}}", ":5:36 encoder.multi_scale.reduce: '0' is out of bounds"),
    "no size": ("{name: rcf, multi_scale: {size_m: []}}", ":5:36 encoder.multi_scale.size_m: is empty. Name at least one"),
    "a size below zero": ("{name: rcf, multi_scale: {size_m: [-1]}}", ":5:45 encoder.multi_scale.size_m[0]: -1 is not a size of chips. Write metres"),
    "a size twice": ("{name: rcf, multi_scale: {size_m: [480, 480]}}", ":5:36 encoder.multi_scale.size_m: listed more than once: 480.0"),
    "a size that is not cut": ("{name: rcf, multi_scale: {size_m: [480, 500]}}", ":5:50 encoder.multi_scale.size_m[1]: 500 is not among the sizes that imagery cuts, 480, 960"),
    "sides as text": ("{name: rcf, multi_scale: {side_px: big}}", ":5:36 encoder.multi_scale.side_px: must be a whole number of pixels, or one for each size"),
    "a side of none": ("{name: rcf, multi_scale: {side_px: {480: 0}}}", ":5:36 encoder.multi_scale.side_px: must be a whole number of pixels"),
    "one encoder and several": ("{name: rcf, multi_scale: {encoders: {480: {name: rcf}}}}", ":5:36 encoder.multi_scale.encoders: each size has an encoder of its own here, and name is one for all sizes"),
    "sizes twice": ("{multi_scale: {size_m: 480, encoders: {480: {name: rcf}}}}", ":5:25 encoder.multi_scale.size_m: the sizes are those that encoders names. Leave size_m out"),
    "sizes inside a size": ("{multi_scale: {encoders: {480: {name: rcf, multi_scale: {reduce: 3}}}}}", ":5:53 encoder.multi_scale.encoders.480.multi_scale: several sizes cannot be inside one size"),
    "an encoder of no size": ("{multi_scale: {encoders: {}}}", ":5:25 encoder.multi_scale.encoders: is empty. Name at least one"),
    "an encoder of a size not cut": ("{multi_scale: {encoders: {500: {name: rcf}}}}", ":5:36 encoder.multi_scale.encoders.500: 500 is not among the sizes that imagery cuts, 480, 960"),
    "an unknown name at a size": ("{multi_scale: {encoders: {480: {name: rfc}}}}", ":5:36 encoder.multi_scale.encoders.480: name 'rfc' is not known. Did you mean 'rcf'?"),
    "an unknown setting at a size": ("{multi_scale: {encoders: {480: {name: rcf, sede: 3}}}}", ":5:53 encoder.multi_scale.encoders.480.sede: unknown field. Did you mean 'seed'?"),
    "features of the wrong step at a size": ("{multi_scale: {encoders: {480: {name: rcf, n_features: 7}}}}", ":5:53 encoder.multi_scale.encoders.480.n_features: 7 is not a multiple of 4"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_mistakes_are_told_at_their_place(written, case) -> None:
    block, told = WRONG[case]
    with pytest.raises(SpecError) as caught:
        written(block)
    assert told in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


# mistakes that only the encoder itself knows
CANNOT = {
    "a pooling that it has not": ("{name: clip-vit-b32, pool: cls}", ":5:31 encoder.pool: pool='cls' is not known"),
    "a network of several dates in a sequence": ("{name: videomae-base, sequence: {}}", ":5:32 encoder.sequence: Encoder 'videomae-base' reads 2 or more dates together"),
    "fewer frames than pooling needs": ("{name: rcf, sequence: {pool: trend, min_frames: 1}}", ":5:22 encoder.sequence: min_frames=1."),
    "the same at a size": ("{multi_scale: {encoders: {480: {name: dinov2-base, pool: projected}}}}", ":5:61 encoder.multi_scale.encoders.480.pool: pool='projected' is not known"),
}  # fmt: skip


@pytest.mark.parametrize("case", CANNOT)
def test_encoders_that_cannot_be_are_told_at_their_place(written, case) -> None:
    block, told = CANNOT[case]
    with pytest.raises(SpecError) as caught:
        check_encoder(written(block))
    assert told in str(caught.value)


def test_the_lines_of_an_encoders_own_file_are_told(written, tmp_path) -> None:
    loaded = written("{name: ours.yaml}")
    (tmp_path / "ours.yaml").write_text(OURS.replace("dim: 16", "dimm: 16"))
    with pytest.raises(SpecError, match=r"ours\.yaml:13:1 dimm: unknown field. Did you mean 'dim'"):
        check_encoder(loaded)


def test_files_and_folders_that_are_not_there(written, tmp_path) -> None:
    (tmp_path / "units.csv").write_text("unit,lon,lat,income,grant\n1,32,1,0,1\n")
    (tmp_path / "scene.tif").write_bytes(b"II*\x00")
    check_inputs(written("{name: ours.yaml}"))
    loaded = written(
        "{multi_scale: {encoders: {480: {name: our.yaml}, 960: {name: ours.yaml, weights: models}}}}"
    )
    with pytest.raises(SpecError) as caught:
        check_inputs(loaded)
    first, second = str(caught.value).splitlines()
    assert ":5:42 encoder.multi_scale.encoders.480.name: there is no file" in first
    assert "Did you mean 'ours.yaml'?" in first
    assert ":5:82 encoder.multi_scale.encoders.960.weights: there is no folder" in second


def test_a_sequence_of_rasters_needs_frames(written) -> None:
    frames = (", frames: {windows: [2005, 2006]}", "")
    with pytest.raises(SpecError, match=r":5:22 encoder\.sequence: a sequence needs several frames"):
        written("{name: rcf, sequence: {}}", frames)
    with pytest.raises(SpecError, match=r"encoders\.480\.sequence: a sequence needs several frames"):
        written("{multi_scale: {encoders: {480: {name: rcf, sequence: {}}}}}", frames)


def test_sides_are_said_once(written) -> None:
    with pytest.raises(SpecError, match=r"encoder\.multi_scale\.side_px: imagery has resample_px"):
        written("{name: rcf, multi_scale: {side_px: 8}}", ("date:", "resample_px: 8, date:"))


class _Point:
    def __init__(self, name, held):
        self.name, self.value, self._held = name, f"package:{name}", held

    def load(self):
        return self._held


def test_encoders_of_plug_ins_are_known(written, monkeypatch) -> None:
    points = [_Point("theirs", ImageStats(quantiles=(0.5,)))]
    real = importlib.metadata.entry_points
    monkeypatch.setattr(
        importlib.metadata,
        "entry_points",
        lambda **some: points if some.get("group") == GROUP else real(**some),
    )
    loaded = written("{name: theirs, sequence: {pool: trend}}")
    check_encoder(loaded)
    assert asked_encoder(loaded.spec.encoder).inner == ImageStats(quantiles=(0.5,))
    with pytest.raises(
        SpecError, match=r":5:11 encoder\.name: 'theirs' is a configuration of a plug-in[\s\S]*white"
    ):
        check_encoder(written("{name: theirs, white: 0.3}"))


def test_the_schema_tells_the_kinds_apart_by_name() -> None:
    schema = analysis_schema()
    (kinds,) = [one["oneOf"] for one in schema["properties"]["encoder"]["anyOf"] if "oneOf" in one]
    names = {ref["$ref"].rsplit("/", 1)[1] for ref in kinds}
    assert names == {"RcfSpec", "ImageStatsSpec", "PixelMeanSpec", "PretrainedSpec", "BySizeSpec"}
    free = schema["$defs"]["PretrainedSpec"]["properties"]["name"]
    assert set(free["not"]["enum"]) == set(built_in_names())
    by_size = schema["$defs"]["MultiScaleSpec"]["properties"]["encoders"]["anyOf"][0]["additionalProperties"]
    assert by_size["oneOf"] == kinds


@pytest.mark.parametrize(("block", "right"), [
    ("{name: rcf, n_features: 64, sequence: {pool: trend}, multi_scale: {reduce: 32, side_px: {480: 8}}}", True),
    ("{name: dinov2-base, white: 0.3, bands: {red: B4}}", True),
    ("{multi_scale: {reduce: 4, encoders: {960: {name: rcf}, 480: {name: dinov2-base, white: 0.2}}}}", True),
    ("{multi_scale: {reduce: 4}}", False),
    ("{name: rcf, white: 0.3}", False),
    ("{name: dinov2-base, n_features: 64}", False),
    ("{name: dinov2-base, revision: main}", False),
    ("{multi_scale: {encoders: {960: {name: rcf, white: 0.3}}}}", False),
    ("{white: 0.3}", False),
])  # fmt: skip
def test_an_editor_that_reads_the_schema_judges_as_the_models_do(written, block, right) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    content = {**read_yaml(STUDY).content, "encoder": read_yaml(f"encoder: {block}").content["encoder"]}
    assert jsonschema.Draft202012Validator(analysis_schema()).is_valid(content) is right
    if right:
        written(block)
    else:
        with pytest.raises(SpecError):
            written(block)


def test_fields_of_all_kinds_stand_once_in_the_table() -> None:
    rows = [line.split("`")[1] for line in field_table().splitlines()[2:]]
    assert len(rows) == len(set(rows))
    assert "encoder.sequence.pool" in rows
    assert "encoder.multi_scale.encoders" in rows
    assert "encoder (rcf).n_features" in rows
    assert "encoder (any other name).white" in rows
    assert not [
        row for row in rows if row.startswith("encoder (") and ("sequence" in row or "multi_scale" in row)
    ]


def test_a_study_without_encoder_has_none() -> None:
    assert AnalysisSpec.model_fields["encoder"].default is None
    with pytest.raises(ValueError, match="a specification with imagery has an encoder"):
        asked_encoder(None)
