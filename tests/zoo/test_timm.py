"""Encoders of timm: every row of the catalogue and networks of other kinds, on checkpoints that timm writes."""

from __future__ import annotations

import numpy as np
import pytest

import eocausal as ec
from eocausal.encoding.catalogue import find_spec
from eocausal.encoding.pretrained import Pretrained
from eocausal.encoding.spec import parse_spec
from eocausal.errors import EncoderError
from tests.zoo.checks import chips_of, encoded, near, same_bits_alone, shaken

torch = pytest.importorskip("torch")
ROWS = ec.encoders().query("library == 'timm'")["name"].tolist()
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
SPEC = """\
spec_version: 1
name: tiny
title: A network for tests
library: timm
loader: {loader}
file: weights.pth
licence: MIT
commercial_ok: true
bands:
  - {{name: B02, common_name: blue, wavelength_um: 0.49}}
  - {{name: B04, common_name: red, wavelength_um: 0.665}}
  - {{name: B08, common_name: nir, wavelength_um: 0.842}}
  - {{name: B11, common_name: swir16, wavelength_um: 1.61}}
pixel_unit: reflectance
scaling:
  - z: {{mean: 0.2, std: 0.1}}
native_px: {px}
pooling: [{pooling}]
dim: {dim}
citation: none
"""


@pytest.fixture(autouse=True)
def shallow(monkeypatch):
    """Build transformers with two blocks; all else is timm's own."""
    import timm

    def few(name, **settings):
        return made(name, **settings, **({"depth": 2} if name.startswith("vit") else {}))

    made = timm.create_model
    monkeypatch.setattr(timm, "create_model", few)


def _network(name, **settings):
    import timm

    with torch.random.fork_rng():
        torch.manual_seed(1)
        return shaken(timm.create_model(name, pretrained=False, **settings))


@pytest.mark.parametrize("name", ROWS)
def test_every_row_gives_the_vectors_of_the_library(name, tmp_path):
    from safetensors.torch import save_file

    spec = find_spec(name)
    network = _network(spec.loader, **({"dynamic_img_size": True} if "vit" in spec.loader else {}))
    save_file(network.state_dict(), tmp_path / spec.file)
    chips = chips_of(["blue", "x", "green", "red"], unit="uint8", px=224, high=255)
    pixels = chips.pixels["960m"][:, 0][:, [3, 2, 0]] / 255
    pictures = torch.from_numpy(((pixels - MEAN[:, None, None]) / STD[:, None, None]).astype(np.float32))
    for pool in spec.pooling:
        found = encoded(Pretrained(name, weights=tmp_path, pool=pool), chips)
        with torch.inference_mode():
            features = network.forward_features(pictures)
            if features.ndim == 4:
                expected = features.mean((2, 3))
            else:
                expected = features[:, 0] if pool == "cls" else features[:, 1:].mean(1)
        assert found.shape == (2, spec.dim)
        near(found, expected.numpy())


@pytest.mark.parametrize(("loader", "px", "pool", "dim"), [
    ("vit_tiny_patch16_224", 224, "mean", 192), ("vit_tiny_patch16_224", 96, "cls", 192),
    ("vit_small_patch14_reg4_dinov2", 56, "mean", 384), ("resnet18", 64, "mean", 512),
    ("convnext_atto", 64, "mean", 320), ("mixer_s32_224", 224, "mean", 512),
    ("swin_tiny_patch4_window7_224", 224, "mean", 768),
])  # fmt: skip
def test_networks_of_other_kinds_and_any_number_of_bands(tmp_path, loader, px, pool, dim):
    sized = {} if px == 224 or not loader.startswith("vit") else {"dynamic_img_size": True}
    network = _network(loader, in_chans=4, **sized)
    torch.save({"state_dict": network.state_dict(), "epoch": 3}, tmp_path / "weights.pth")
    spec = parse_spec(SPEC.format(loader=loader, px=px, pooling=pool, dim=dim), "tiny.yaml")
    chips = chips_of(["B11", "B08", "B04", "B02"], unit="reflectance", px=px)
    pictures = torch.from_numpy(((chips.pixels["960m"][:, 0][:, ::-1] - 0.2) / 0.1).astype(np.float32))
    with torch.inference_mode():
        features = network.forward_features(pictures)
        if features.ndim == 3:
            first = 5 if "reg4" in loader else 0 if "mixer" in loader else 1
            expected = features[:, 0] if pool == "cls" else features[:, first:].mean(1)
        else:
            # of maps, the network's own mean and normalisation, before its classifier
            network.reset_classifier(0)
            expected = network(pictures)
    encoder = Pretrained(spec, weights=tmp_path)
    near(encoded(encoder, chips), expected.numpy())
    quick = encoded(Pretrained(spec, weights=tmp_path, precision="bf16"), chips)
    assert 0 < np.abs(quick - expected.numpy()).max() < 0.1 * np.abs(expected.numpy()).max()


@pytest.mark.parametrize("loader", ["vit_tiny_patch16_224", "resnet18"])
def test_a_chip_has_the_same_bits_in_any_batch_whatever_is_masked(tmp_path, loader):
    torch.save(_network(loader, in_chans=4).state_dict(), tmp_path / "weights.pth")
    dim = {"vit_tiny_patch16_224": 192, "resnet18": 512}[loader]
    spec = parse_spec(SPEC.format(loader=loader, px=224, pooling="mean", dim=dim), "tiny.yaml")
    chips = chips_of(["B02", "B04", "B08", "B11"], unit="reflectance", px=224, n=3)
    same_bits_alone(Pretrained(spec, weights=tmp_path), chips)


def test_what_cannot_be_loaded(tmp_path):
    def spec(loader="vit_tiny_patch16_224", **changes):
        made = parse_spec(SPEC.format(loader=loader, px=224, pooling="mean, cls", dim=192), "tiny.yaml")
        return made.model_copy(update=changes)

    chips = chips_of(["B02", "B04", "B08", "B11"], unit="reflectance", px=8)
    state = _network("vit_tiny_patch16_224", in_chans=4).state_dict()
    torch.save(
        {name: one for name, one in state.items() if "patch_embed" not in name}, tmp_path / "weights.pth"
    )
    with pytest.raises(EncoderError, match=r"lack parts of the network of 'tiny'[\s\S]*patch_embed"):
        Pretrained(spec(), weights=tmp_path).fit(chips)
    with pytest.raises(EncoderError, match=r"timm has no network 'vit_none'[\s\S]*such as vit_"):
        Pretrained(spec("vit_none"), weights=tmp_path).fit(chips)
    with pytest.raises(EncoderError, match=r"lack parts|hold parts|of another network"):
        Pretrained(spec("resnet18"), weights=tmp_path).fit(chips)
    torch.save(_network("resnet18", in_chans=4).state_dict(), tmp_path / "weights.pth")
    with pytest.raises(EncoderError, match="ResNet has no class token"):
        encoded(Pretrained(spec("resnet18", dim=512), weights=tmp_path, pool="cls"), chips)
    torch.save(_network("volo_d1_224", in_chans=4).state_dict(), tmp_path / "weights.pth")
    with pytest.raises(EncoderError, match="does not say which of its tokens are of the picture"):
        encoded(Pretrained(spec("volo_d1_224", dim=384), weights=tmp_path), chips)
    with pytest.raises(EncoderError, match="cannot be pooled so"):
        Pretrained(spec(pooling=("projected",)))
    with pytest.raises(EncoderError, match="cannot read any bands"):
        Pretrained(spec(bands=None))
    with pytest.raises(EncoderError, match="it reads one date"):
        Pretrained(spec(frames_max=2))
