"""Networks that read several dates as one clip: a tiny VideoMAE, read by the path that the hub's take."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

import eocausal as ec
from eocausal.encoding.pretrained import Pretrained
from eocausal.encoding.registry import get_encoder
from eocausal.encoding.spec import parse_spec
from eocausal.errors import EncoderError
from tests.fake_chips import fake_chips

transformers = pytest.importorskip("transformers", reason="the extra 'encoders' is not installed")
torch = pytest.importorskip("torch")

FRAMES, PX = 6, 16
SPEC = """\
spec_version: 1
name: tiny-video
title: A tiny network of video for tests
library: transformers
loader: videomae
licence: MIT
commercial_ok: true
bands:
  - {name: red, common_name: red}
  - {name: nir, common_name: nir}
pixel_unit: reflectance
scaling:
  - z: {mean: [0.2, 0.3], std: [0.1, 0.2]}
native_px: 16
frames_min: 2
frames_max: 6
frames_step: 2
pooling: [mean]
dim: 12
citation: none
"""
CONFIG = {
    "image_size": PX,
    "patch_size": 8,
    "num_channels": 2,
    "num_frames": FRAMES,
    "tubelet_size": 2,
    "hidden_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "use_mean_pooling": False,
    "decoder_num_attention_heads": 2,
    "decoder_hidden_size": 8,
    "decoder_num_hidden_layers": 1,
    "decoder_intermediate_size": 16,
}


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The folder of a checkpoint as it comes out of pretraining, and its network."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        whole = transformers.VideoMAEForPreTraining(transformers.VideoMAEConfig(**CONFIG)).eval()
        for weights in whole.parameters():
            weights.data.add_(0.2 * torch.randn_like(weights))
    folder = tmp_path_factory.mktemp("videomae")
    whole.save_pretrained(folder)
    return folder, whole.videomae


def _spec(*changes):
    text = SPEC
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return parse_spec(text, "tiny.yaml")


def _chips(n=3, *, dates=FRAMES, seed=0):
    chips = fake_chips(n, px=PX, dates=dates, bands=2, seed=seed)
    values = np.random.default_rng(seed).uniform(0, 0.9, chips.pixels["960m"].shape)
    chips.pixels["960m"] = values.astype(np.float32)
    chips.bands, chips.pixel_unit = ("red", "nir"), "reflectance"
    return chips


def _encoded(encoder, chips):
    batch = next(iter(chips.batches(size=100)))
    return encoder.fit(chips).encode(batch.pixels["960m"], batch.mask["960m"], "960m")


def _by_hand(network, clips):
    """Return the mean of the tokens of clips (n, frames, bands, px, px), scaled here, by the library's own class.

    The network is built for exactly as many frames as there are, with the weights of the one that is published.
    """
    config = transformers.VideoMAEConfig(**{**CONFIG, "num_frames": clips.shape[1]})
    short = transformers.VideoMAEModel(config).eval()
    short.load_state_dict(network.state_dict())
    scaled = (clips - np.array([0.2, 0.3])[:, None, None]) / np.array([0.1, 0.2])[:, None, None]
    with torch.inference_mode():
        return short(torch.from_numpy(scaled.astype(np.float32))).last_hidden_state.mean(1).numpy()


@pytest.mark.parametrize("dates", [2, 4, 6])
def test_vectors_are_those_of_a_network_built_for_as_many_frames(published, dates):
    folder, network = published
    chips = _chips(dates=dates)
    found = _encoded(Pretrained(_spec(), weights=folder), chips)
    expected = _by_hand(network, chips.pixels["960m"])
    assert expected.std() > 1e-2
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_the_whole_clip_is_the_published_network_itself(published):
    folder, network = published
    chips = _chips()
    scaled = (chips.pixels["960m"] - np.array([0.2, 0.3])[:, None, None]) / np.array([0.1, 0.2])[
        :, None, None
    ]
    with torch.inference_mode():
        expected = network(torch.from_numpy(scaled.astype(np.float32))).last_hidden_state.mean(1).numpy()
    found = _encoded(Pretrained(_spec(), weights=folder), chips)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_the_order_of_dates_counts(published):
    chips, turned = _chips(), _chips()
    turned.pixels["960m"] = chips.pixels["960m"][:, ::-1]
    encoder = Pretrained(_spec(), weights=published[0])
    assert np.abs(_encoded(encoder, chips) - _encoded(encoder, turned)).max() > 1e-2


def test_frames_that_show_nothing_are_left_out_and_the_latest_stay_where_their_number_is_odd(published):
    folder, network = published
    chips = _chips(4)
    pixels, mask = chips.pixels["960m"], chips.mask["960m"]
    mask[0, [1, 4]] = False  # four are left: 0, 2, 3, 5
    mask[1, 2] = False  # five are left, of which the latest four are read: 1, 3, 4, 5
    mask[2, :5] = False  # one is left, and none is read alone
    found = _encoded(Pretrained(_spec(), weights=folder), chips)
    assert np.isnan(found[2]).all()
    expected = _by_hand(network, np.stack([pixels[0][[0, 2, 3, 5]], pixels[1][[1, 3, 4, 5]]]))
    np.testing.assert_allclose(found[:2], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[3], _by_hand(network, pixels[[3]])[0], rtol=1e-4, atol=1e-5)


def test_what_stands_where_nothing_is_valid_does_not_count(published):
    chips = _chips()
    chips.mask["960m"][:, 3] = False
    chips.mask["960m"][:, 0, :5] = False
    fitted = Pretrained(_spec(), weights=published[0]).fit(chips)
    mask, pixels = chips.mask["960m"], chips.pixels["960m"]
    found = [
        fitted.encode(np.where(mask[:, :, None], pixels, np.float32(junk)), mask, "960m")
        for junk in (np.nan, 0.0, 7e8)
    ]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
    assert np.isfinite(found[0]).all()


def test_a_chip_has_the_same_bits_in_any_batch(published):
    chips = _chips(5)
    chips.mask["960m"][1, 0] = False
    chips.mask["960m"][2, :2] = False
    fitted = Pretrained(_spec(), weights=published[0]).fit(chips)
    pixels, mask = chips.pixels["960m"], chips.mask["960m"]
    whole = fitted.encode(pixels, mask, "960m")
    assert np.isfinite(whole).all()
    for i in range(5):
        np.testing.assert_array_equal(fitted.encode(pixels[[i]], mask[[i]], "960m")[0], whole[i])
    np.testing.assert_array_equal(fitted.encode(pixels[::-1], mask[::-1], "960m"), whole[::-1])


@pytest.mark.parametrize(("dates", "words"), [
    (1, "have 1 frames[\\s\\S]*reads 2 to 6 frames together, 2 at a time"),
    (8, "have 8 frames[\\s\\S]*reads 2 to 6 frames together, 2 at a time"),
])  # fmt: skip
def test_chips_with_too_few_or_too_many_frames_are_refused(published, dates, words):
    with pytest.raises(EncoderError, match=words):
        _encoded(Pretrained(_spec(), weights=published[0]), _chips(dates=dates))


def test_chips_that_say_their_frames_are_refused_before_anything_is_loaded():
    chips = _chips(dates=8)
    chips.frames = tuple(str(2000 + turn) for turn in range(8))
    with pytest.raises(EncoderError, match=r"The chips have 8 frames[\s\S]*reads 2 to 6 frames together"):
        Pretrained(_spec(), weights="nowhere").fit(chips)


def test_bfloat16_is_near(published):
    chips = _chips(dates=4)
    exact = _encoded(Pretrained(_spec(), weights=published[0]), chips)
    quick = _encoded(Pretrained(_spec(), weights=published[0], precision="bf16"), chips)
    assert quick.dtype == np.float32
    assert 0 < np.abs(exact - quick).max() < 0.1


@pytest.mark.parametrize(("change", "words"), [
    (("frames_max: 6", "frames_max: 8"), "frames_max is 8, and the network reads 6"),
    (("frames_step: 2", "frames_step: 1"), "frames_step is 1, and the network reads 2 at a time"),
    (("native_px: 16", "native_px: 32"), "native_px is 32, and the network reads 16"),
    (("  - {name: nir, common_name: nir}\n", ""), "it names 1 bands, and the network reads 2"),
])  # fmt: skip
def test_a_specification_that_does_not_fit_its_weights_is_refused(published, change, words):
    change = (change, ("mean: [0.2, 0.3], std: [0.1, 0.2]", "mean: 0.2, std: 0.1"))
    with pytest.raises(EncoderError, match=words):
        Pretrained(_spec(*change), weights=published[0]).fit(_chips())


def test_dates_and_family_go_together():
    one = _spec(("frames_min: 2\nframes_max: 6\nframes_step: 2\n", ""))
    with pytest.raises(EncoderError, match=r"frames_max=1 [\s\S]*networks of video read several dates"):
        Pretrained(one)
    with pytest.raises(
        EncoderError, match=r"frames_max=6 [\s\S]*this family reads one date[\s\S]*ec\.Sequence"
    ):
        Pretrained(_spec(("loader: videomae", "loader: vit")))
    with pytest.raises(EncoderError, match="reads 2 or more dates together"):
        ec.Sequence(Pretrained(_spec()))


def _with_names_of_earlier_versions(folder, kept):
    from safetensors.torch import load_file, save_file

    shutil.copytree(kept, folder)
    tensors = load_file(folder / "model.safetensors")
    for new, old in [("query.bias", "q_bias"), ("value.bias", "v_bias")]:
        tensors = {name.replace(f"attention.{new}", f"attention.{old}"): one for name, one in tensors.items()}
    assert any(name.endswith("attention.q_bias") for name in tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_biases_under_the_names_of_published_checkpoints_are_read(published, tmp_path):
    folder = _with_names_of_earlier_versions(tmp_path / "earlier", published[0])
    chips = _chips()
    found = _encoded(Pretrained(_spec(), weights=folder), chips)
    np.testing.assert_array_equal(found, _encoded(Pretrained(_spec(), weights=published[0]), chips))


def test_biases_that_a_version_of_the_library_does_not_find_are_never_taken_as_zero(published, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "without"
    shutil.copytree(published[0], folder)
    tensors = load_file(folder / "model.safetensors")
    kept = {name: one for name, one in tensors.items() if not name.endswith(("query.bias", "q_bias"))}
    assert len(kept) < len(tensors)
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(EncoderError, match=r"lack parts of the network[\s\S]*query\.bias"):
        Pretrained(_spec(), weights=folder).fit(_chips())


def test_the_row_of_the_catalogue_reads_two_to_sixteen_frames(published, tmp_path):
    row = get_encoder("videomae-base")
    assert (row.spec.frames_min, row.spec.frames_max, row.spec.frames_step) == (2, 16, 2)
    assert row.spec.pool == "mean"
    table = ec.encoders().set_index("name")
    assert table.loc["videomae-base", "frames"] == "2-16"
    config = transformers.VideoMAEConfig()
    assert (config.num_frames, config.tubelet_size, config.image_size) == (16, 2, row.spec.native_px)
    assert config.hidden_size == row.spec.dim
    about = json.loads((published[0] / "config.json").read_text())
    assert about["model_type"] == row.spec.loader
