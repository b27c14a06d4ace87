"""Training that starts from weights: a tiny published network, and one that was pretrained here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import eocausal as ec
from eocausal.encoding.spec import parse_spec
from eocausal.errors import EncoderError
from eocausal.training import _fitting, _networks
from eocausal.training._fold_pixels import read_chips
from eocausal.training._start import start_of
from tests.picture_worlds import World, of, same, world

transformers = pytest.importorskip("transformers", reason="the extra 'encoders' is not installed")
torch = pytest.importorskip("torch")

SPEC = """\
spec_version: 1
name: tiny-vit
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
scaling:
  - z: {mean: [0.2, 0.3, 0.4], std: [0.1, 0.2, 0.3]}
native_px: 16
pooling: [mean]
dim: 16
citation: none
"""


@pytest.fixture(scope="module")
def shown() -> World:
    """Pictures of reflectance whose bands have names."""
    found = world(9, n=60, px=12)
    pixels = np.clip(0.3 + 0.05 * found.pixels, 0, 1)
    pixels[:, :3, :4] = np.nan
    chips = ec.chips_from_arrays(
        found.design.data,
        pixels,
        keys=np.arange(60),
        bands=["blue", "green", "red"],
        pixel_unit="reflectance",
    )
    return World(chips, found.design, found.latent, found.table, pixels)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> ec.Pretrained:
    folder = tmp_path_factory.mktemp("vit")
    config = transformers.ViTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=16,
        patch_size=4,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformers.ViTModel(config).save_pretrained(folder)
    return ec.Pretrained(parse_spec(SPEC, "tiny.yaml"), weights=folder)


def test_training_starts_from_the_vectors_of_the_encoder(shown: World, encoder: ec.Pretrained) -> None:
    table = read_chips(shown.chips, shown.chips.keys, None)
    begun = start_of(encoder, table, shown.chips, learn=np.arange(30), device="cpu")
    begun.body.module.train(False)
    with torch.no_grad():
        found = begun.body(torch.from_numpy(begun.pictures(np.arange(60)))).numpy()
    expected = ec.embed(shown.chips, encoder=encoder, device="cpu", progress=False).values
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_every_weight_that_a_vector_depends_on_is_trained(
    shown: World, encoder: ec.Pretrained, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies, before = [], []

    def kept(*asked: object, **named: object) -> object:
        begun = start_of(*asked, **named)
        bodies.append(begun.body.module)
        before.append({name: one.detach().clone() for name, one in begun.body.module.named_parameters()})
        return begun

    monkeypatch.setattr(_fitting, "start_of", kept)
    # what was learned stays, whether or not it helped
    monkeypatch.setattr(_networks.Model, "restore", lambda model, state: None)
    of(shown, network=ec.Network(encoder, epochs=2, batch_size=4))
    for body, start in zip(bodies, before, strict=True):
        still = [name for name, one in body.named_parameters() if torch.equal(one, start[name])]
        # the network's own pooling is not part of the mean of its tokens
        assert all(name.startswith("pooler.") for name in still), still
    # and the next fold does not go on from what the one before has learned
    assert len(bodies) == 2
    assert all(torch.equal(before[0][name], before[1][name]) for name in before[0])


def test_weights_are_trained_further_and_the_files_are_left_alone(
    shown: World, encoder: ec.Pretrained
) -> None:
    before = {path.name: path.read_bytes() for path in Path(str(encoder.weights)).iterdir()}
    network = ec.Network(encoder, epochs=4, learning_rate=0.01, augment=False)
    learned = of(shown, network=network)
    assert {path.name: path.read_bytes() for path in Path(str(encoder.weights)).iterdir()} == before
    for _, fold in learned.history.groupby("fold"):
        assert fold["train"].iloc[-1] < fold["train"].iloc[0] - 0.01
    assert same(of(shown, network=network), learned)
    recipe = learned.provenance["network"]
    assert recipe["name"] == "tiny-vit"
    assert recipe["weights"] == encoder.recipe()
    # the same settings from random weights predict something else
    assert not np.array_equal(
        of(shown, network=ec.Network("vit-tiny", epochs=4, learning_rate=0.01)).predictions,
        learned.predictions,
    )


def test_the_rate_is_smaller_from_weights(encoder: ec.Pretrained) -> None:
    assert (ec.Network().rate, ec.Network(encoder).rate, ec.Network(encoder, learning_rate=0.5).rate) == (
        1e-3, 1e-4, 0.5
    )  # fmt: skip


def test_a_network_that_was_pretrained_here_is_fine_tuned_by_its_path(shown: World, tmp_path: Path) -> None:
    settings = ec.PretrainSettings("tiny", epochs=1, patch_px=4)
    trained = ec.pretrain(shown.chips, preset=settings, out=tmp_path, device="cpu", progress=False)
    learned = of(shown, network=ec.Network(trained.spec, epochs=2))
    assert learned.predictions.shape == (60, 1)
    assert learned.provenance["network"]["weights"]["weights"]


def test_encoders_that_cannot_be_trained_are_refused_by_reason(encoder: ec.Pretrained) -> None:
    with pytest.raises(EncoderError, match=r"precision='bf16', and training is in fp32"):
        ec.Network(encoder.at_precision("bf16"))
    with pytest.raises(EncoderError, match=r"reads several dates"):
        ec.Network(ec.Pretrained("videomae-base"))
    with pytest.raises(EncoderError, match=r"(?s)network is a RandomFeatures.*ec.Pretrained"):
        ec.Network(ec.RandomFeatures())


def test_chips_that_the_encoder_cannot_read_are_refused_before_they_are_read(encoder: ec.Pretrained) -> None:
    # no names of bands, no unit
    with pytest.raises(EncoderError, match="band"):
        of(world(9, n=60), network=encoder)
