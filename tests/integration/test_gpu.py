"""What a GPU gives is what the processor gives; run by ``make gpu`` where there is one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import eocausal as ec
from eocausal.encoding.spec import parse_spec
from tests.fake_chips import fake_chips

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="NO GPU HERE: encoding on one is not tested"
)

SPEC = """\
spec_version: 1
name: tiny
title: A tiny network for tests
library: transformers
loader: vit
licence: MIT
commercial_ok: true
bands:
  - {name: red, common_name: red}
  - {name: green, common_name: green}
  - {name: blue, common_name: blue}
pixel_unit: reflectance
native_px: 64
pooling: [mean]
dim: 96
citation: none
"""


def _chips(n, px=64):
    chips = fake_chips(n, px=px, bands=3, dates=2, holes=(3,), seed=4)
    chips.bands, chips.pixel_unit = ("red", "green", "blue"), "reflectance"
    return chips


def _network(folder):
    transformers = pytest.importorskip("transformers")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sizes = {
            "hidden_size": 96,
            "num_hidden_layers": 6,
            "num_attention_heads": 4,
            "intermediate_size": 384,
        }
        config = transformers.ViTConfig(**sizes, image_size=64, patch_size=8)
        transformers.ViTModel(config).save_pretrained(folder)
    return ec.Pretrained(parse_spec(SPEC, "tiny.yaml"), weights=folder)


def _gap(chips, encoder, **more):
    """Return the largest difference between processor and GPU, in standard deviations of the features."""
    cpu, gpu = (
        ec.embed(chips, encoder=encoder, device=device, progress=False, **more).values
        for device in ("cpu", "cuda")
    )
    np.testing.assert_array_equal(np.isnan(cpu), np.isnan(gpu))
    return np.nanmax(np.abs(cpu - gpu)) / np.nanstd(cpu, axis=0).mean()


@pytest.mark.parametrize("batch", [1, 7, "auto"])
def test_a_network_gives_the_vectors_of_the_processor(tmp_path, batch):
    assert _gap(_chips(40), _network(tmp_path), batch=batch) < 1e-3


def test_random_features_are_those_of_the_processor():
    assert _gap(_chips(40), ec.RandomFeatures(128, seed=1)) < 1e-3


def test_bf16_is_near(tmp_path):
    assert _gap(_chips(40), _network(tmp_path), precision="bf16") < 0.2


def test_memory_that_runs_out_halves_the_batch(tmp_path, monkeypatch, capsys):
    from eocausal.encoding import pretrained

    chips, encoder = _chips(40), _network(tmp_path)
    whole = ec.embed(chips, encoder=encoder, device="cuda", progress=False).values
    plain = pretrained.FittedPretrained.encode

    def greedy(fitted, pixels, mask, block):
        if len(pixels) > 8:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return plain(fitted, pixels, mask, block)

    monkeypatch.setattr(pretrained.FittedPretrained, "encode", greedy)
    halved = ec.embed(chips, encoder=encoder, device="cuda", batch=32).values
    assert "out of memory with 32 chips at a time" in capsys.readouterr().err
    assert np.nanmax(np.abs(halved - whole)) < 1e-3 * np.nanstd(whole)
