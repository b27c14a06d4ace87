"""Whole studies whose encoder is a sequence, of several sizes, or a published network by the path of its file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import eocausal as ec
from eocausal.pipeline import Run
from tests.integration.test_specs_run import SEQUENCE, TAIL, write_days, write_spec, write_units

IMAGERY = SEQUENCE.replace("size_m: 300", "size_m: [300, 150]\n  pixel_unit: dn")
NETWORK = """\
spec_version: 1
name: tiny
title: A tiny network
library: transformers
loader: vit
weights: tiny
licence: MIT
commercial_ok: true
bands:
  - {name: first, common_name: red}
  - {name: second, common_name: nir}
pixel_unit: dn
scaling: [{z: {mean: 200, std: 100}}]
native_px: 16
pooling: [cls, mean]
dim: 8
citation: none
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_units(tmp_path)
    write_days(tmp_path)
    return tmp_path


def _tail(encoder: str) -> str:
    return "\n".join([f"encoder: {encoder}", *TAIL.splitlines()[1:]]) + "\n"


def _run(folder: Path, encoder: str) -> Run:
    return ec.run(write_spec(folder, IMAGERY, tail=_tail(encoder)), out=folder / "out", progress=False)


def test_random_features_of_a_sequence_in_two_sizes(folder: Path) -> None:
    made = _run(folder, "{name: rcf, n_features: 8, sequence: {pool: last-first}, multi_scale: {reduce: 2}}")
    assert made.chips is not None
    inner = ec.Sequence(ec.RandomFeatures(n_features=8), pool="last-first")
    direct = ec.embed(made.chips, encoder=ec.MultiScale(inner, reduce=2), progress=False)
    used = made.design.features
    assert used is not None
    assert list(used.blocks) == ["rcf_last_first_300m", "rcf_last_first_150m"]
    assert used.values.shape[1] == 16
    np.testing.assert_array_equal(used.values, direct.take(used.keys).values)
    assert np.nanstd(used.values) > 0
    asked = made.estimates["regression"].provenance["components_asked"]
    assert asked == dict.fromkeys(used.blocks, 2)
    lock = json.loads((folder / "out" / "run.lock.json").read_text())
    assert lock["features"]["recipe"]["encoder"]["reduce"] == 2
    assert made.report.is_file()


def test_a_network_by_the_path_of_its_file_beside_plain_statistics(folder: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="the extra 'encoders' is not installed")
    torch = pytest.importorskip("torch")
    with torch.random.fork_rng():
        torch.manual_seed(2)
        config = transformers.ViTConfig(
            hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=16,
            patch_size=8, num_channels=2,
        )  # fmt: skip
        network = transformers.ViTModel(config, add_pooling_layer=False)
    (folder / "models").mkdir()
    network.save_pretrained(folder / "models" / "tiny")
    (folder / "models" / "tiny.yaml").write_text(NETWORK)
    made = _run(
        folder,
        "\n  multi_scale:\n    reduce: 2\n    encoders:\n"
        "      150: {name: image_stats, quantiles: 0.5}\n"
        "      300: {name: models/tiny.yaml, pool: mean, bands: {first: red}, sequence: {pool: mean+sd}}",
    )
    assert made.chips is not None
    tiny = ec.Pretrained(str(folder / "models" / "tiny.yaml"), pool="mean", bands={"first": "red"})
    both = ec.MultiScale(
        {150: ec.ImageStats(quantiles=(0.5,)), 300: ec.Sequence(tiny, pool="mean+sd")}, reduce=2
    )
    direct = ec.embed(made.chips, encoder=both, progress=False)
    used = made.design.features
    assert used is not None
    assert list(used.blocks) == ["multi_scale_150m", "multi_scale_300m"]
    np.testing.assert_array_equal(used.values, direct.take(used.keys).values)
    assert made.estimates["regression"].provenance["components_asked"] == dict.fromkeys(used.blocks, 2)
    assert made.report.is_file()


def test_an_encoder_that_cannot_be_is_told_before_anything_is_cut(folder: Path) -> None:
    with pytest.raises(
        ec.errors.SpecError, match=r"analysis\.yaml:\d+:\d+ encoder\.pool: pool='max' is not known"
    ):
        _run(folder, "{name: dinov2-base, pool: max}")
    assert not (folder / "out").exists()
