"""Pretraining: the library's networks on chips in memory, against its own losses and vectors made by hand."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import eocausal as ec
from eocausal.encoding.spec import read_spec
from eocausal.errors import EncoderError
from eocausal.training import _epochs
from eocausal.training._objectives import OBJECTIVES, Shape, masked_loss, patches
from eocausal.training._run_folder import RunFolder
from eocausal.training.pretrain_settings import PRESETS
from tests.fake_chips import FakeChips, fake_chips

transformers = pytest.importorskip("transformers", reason="the extra 'encoders' is not installed")
torch = pytest.importorskip("torch")

SHORT = ec.PretrainSettings("tiny", epochs=2, patch_px=4, batch_size=4)


def _chips(n=10, **more):
    chips = fake_chips(n, **{"px": 16, "pixel_unit": "dn", **more})
    chips.bands = ("red", "nir", "blue", "green")[: len(chips.bands)]
    return chips


def _pretrain(chips, folder, **more):
    return ec.pretrain(
        chips, **{"preset": SHORT, "out": folder, "device": "cpu", "progress": False, "name": "ours", **more}
    )


def _bytes(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
    }


def _sloping(n=40, *, px=16, seed=0):
    """Chips of planes, each with its own level and slope: what is hidden follows from what is not."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:px, :px] / px - 0.5
    level, down, across = rng.normal(size=(3, n, 1, 1))
    planes = (level + down * rows + across * columns).astype(np.float32)
    pixels = 100 + 20 * planes[:, None, None] * np.array([1, 0.5, -1], np.float32)[:, None, None]
    mask = np.ones((n, 1, px, px), dtype=bool)
    names = ("red", "nir", "blue")
    return FakeChips(np.arange(n), {"160m": pixels}, {"160m": mask}, bands=names, pixel_unit="dn")


# ---- the loss


def _random(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def test_patches_are_those_of_the_library() -> None:
    shape = Shape(frames=1, bands=3, px=16, patch=4)
    network = OBJECTIVES["mae"].build(shape, PRESETS["tiny"], 0.75)
    pictures = _random(2, 1, 3, 16, 16)
    assert torch.equal(patches(pictures, shape), network.patchify(pictures[:, 0]))


def test_where_all_is_valid_the_loss_is_that_of_the_library() -> None:
    shape = Shape(frames=1, bands=3, px=16, patch=4)
    network = OBJECTIVES["mae"].build(shape, PRESETS["tiny"], 0.75)
    pictures, noise = _random(2, 1, 3, 16, 16), torch.from_numpy(np.random.default_rng(1).random((2, 16)))
    output = network(pictures[:, 0], noise=noise)
    valid = torch.ones(2, 1, 16, 16, dtype=torch.bool)
    loss, count = masked_loss(output.logits, output.mask.bool(), pictures, valid, shape)
    assert float(loss.detach()) == pytest.approx(float(output.loss.detach()), rel=1e-6)
    assert int(count) == 2 * 12 * 4 * 4 * 3


def test_of_frames_too_the_loss_is_that_of_the_library() -> None:
    shape = Shape(frames=4, bands=3, px=8, patch=4)
    network = OBJECTIVES["video-mae"].build(shape, PRESETS["tiny"], 0.5)
    network.config.norm_pix_loss = False
    pictures, valid = _random(2, 4, 3, 8, 8), torch.ones(2, 4, 8, 8, dtype=torch.bool)
    generator = torch.Generator().manual_seed(1)
    filled, hidden = OBJECTIVES["video-mae"].fill_in(network, pictures, shape, 0.5, generator)
    theirs = network(pictures, bool_masked_pos=hidden).loss
    # the library undoes a scaling of three bands that chips do not have
    mean, sd = (torch.tensor(one)[:, None, None] for one in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    ours, _ = masked_loss(filled, hidden, pictures * sd + mean, valid, shape)
    assert float(ours.detach()) == pytest.approx(float(theirs.detach()), rel=1e-5)


def test_the_loss_by_hand_counts_valid_pixels_of_hidden_patches_alone() -> None:
    shape = Shape(frames=1, bands=1, px=4, patch=2)
    pictures = torch.arange(16.0).reshape(1, 1, 1, 4, 4)
    valid = torch.ones(1, 1, 4, 4, dtype=torch.bool)
    valid[0, 0, 0, 0] = False  # in the first patch, which is hidden: 1, 4 and 5 are left of it
    hidden = torch.tensor([[True, False, False, True]])
    filled = torch.zeros(1, 4, 4)
    loss, count = masked_loss(filled, hidden, pictures, valid, shape)
    squares = [1**2, 4**2, 5**2, 10**2, 11**2, 14**2, 15**2]
    assert int(count) == 7
    assert float(loss) == pytest.approx(sum(squares) / 7)


@pytest.mark.parametrize("value", [-1e6, 0.0, 1e15])
def test_the_loss_is_unmoved_by_what_is_not_valid(value) -> None:
    shape = Shape(frames=2, bands=2, px=8, patch=4)
    rng = np.random.default_rng(0)
    valid = torch.from_numpy(rng.random((3, 2, 8, 8)) < 0.6)
    hidden, filled = torch.from_numpy(rng.random((3, 4)) < 0.5), _random(3, 4, 64, seed=3)
    pictures = _random(3, 2, 2, 8, 8, seed=4)
    moved = torch.where(valid[:, :, None], pictures, torch.tensor(value))
    losses = [masked_loss(filled, hidden, one, valid, shape)[0] for one in (pictures, moved)]
    assert losses[0] == losses[1]
    assert losses[0] > 1


def test_a_batch_without_a_valid_hidden_pixel_has_loss_zero() -> None:
    shape = Shape(frames=1, bands=1, px=4, patch=2)
    nothing = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    loss, count = masked_loss(
        torch.ones(1, 4, 4), torch.ones(1, 4, dtype=torch.bool), torch.ones(1, 1, 1, 4, 4), nothing, shape
    )
    assert float(loss) == 0
    assert int(count) == 0


class _GivesOut(FakeChips):
    """Chips that hand out what stands at pixels that are not valid, where the real ones hand out NaN."""

    garbage = 0.0

    def batches(self, *, size=64, keys=None):
        for batch in super().batches(size=size, keys=keys):
            for block, pixels in batch.pixels.items():
                mask = batch.mask[block][:, :, None]
                batch.pixels[block] = np.where(mask, pixels, np.float32(self.garbage))
            yield batch


def test_weights_do_not_depend_on_what_stands_where_nothing_is_valid(tmp_path) -> None:
    made = []
    for number, garbage in enumerate((np.nan, -9999.0)):
        chips = _chips(seed=3)
        chips.mask["960m"][:5, :, 3:9, 2:12] = False
        given = _GivesOut(chips.keys, chips.pixels, chips.mask, bands=chips.bands, pixel_unit="dn")
        given.garbage = garbage
        made.append(_bytes(_pretrain(given, tmp_path / str(number)).spec.parent))
    assert made[0] == made[1]


# ---- what is learned, and from what


def test_the_held_out_loss_falls_far_below_that_of_random_weights(tmp_path) -> None:
    settings = ec.PretrainSettings("tiny", epochs=15, patch_px=4, batch_size=8, held_out=0.2)
    found = _pretrain(_sloping(80), tmp_path / "ours", preset=settings)
    losses = found.history["held_out_loss"]
    assert len(losses) == 16
    assert losses.iloc[0] > 0.9  # about 1: each band has variance 1
    assert losses.iloc[-1] < 0.6 * losses.iloc[0]
    assert found.warnings == ()


def test_a_network_without_places_is_not_what_is_trained() -> None:
    network = OBJECTIVES["mae"].build(Shape(frames=1, bands=2, px=16, patch=4), PRESETS["tiny"], 0.75)
    for table in (network.vit.embeddings.position_embeddings, network.decoder.decoder_pos_embed):
        places = table.detach().numpy()[0, 1:]
        assert len(np.unique(places.round(4), axis=0)) == 16
        assert not table.requires_grad
    # one patch to the right changes one half of the numbers, one patch down the other
    half = places.shape[1] // 2
    np.testing.assert_array_equal(places[0, half:], places[1, half:])
    np.testing.assert_array_equal(places[0, :half], places[4, :half])
    assert places[1, 0] == pytest.approx(math.sin(1))
    assert places[4, half + half // 2] == pytest.approx(math.cos(1))


def test_each_band_is_scaled_by_valid_pixels_of_training_chips_alone(tmp_path, monkeypatch) -> None:
    chips = _chips(20, seed=5)
    chips.mask["960m"][:, :, :4] = False
    held = _held_out(chips, tmp_path / "ours", monkeypatch)
    z = read_spec(tmp_path / "ours" / "encoder.yaml").scaling[0].z
    seen = np.delete(chips.pixels["960m"], held, axis=0)[:, 0, :, 4:].astype(np.float64)
    np.testing.assert_allclose(z.mean, seen.mean(axis=(0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(z.std, seen.std(axis=(0, 2, 3)), rtol=1e-6)


def _held_out(chips, folder, monkeypatch):
    """Return the rows that are held out, as the training itself parts them."""
    kept, whole = [], _epochs.start
    with monkeypatch.context() as patched:
        patched.setattr(
            "eocausal.training.pretrain.start", lambda plan: kept.extend(plan.held_out) or whole(plan)
        )
        _pretrain(chips, folder)
    assert len(kept) == 2  # a tenth of 20
    return kept


def test_only_the_chips_of_keys_are_read(tmp_path) -> None:
    chips = _chips(12)
    _pretrain(chips, tmp_path / "some", keys=[107, 101, 103, 105])
    assert {key for batch in chips.read for key in batch} == {101, 103, 105, 107}


def test_neither_the_order_of_keys_nor_that_of_reading_matters(tmp_path) -> None:
    chips, turned = _chips(8), _chips(8)
    turned.order = np.arange(8)[::-1]
    one = _pretrain(chips, tmp_path / "one", keys=[101, 107, 103])
    other = _pretrain(turned, tmp_path / "other", keys=[107, 103, 101])
    assert _bytes(one.spec.parent) == _bytes(other.spec.parent)


def test_a_seed_gives_the_same_bytes_and_another_one_does_not(tmp_path) -> None:
    one, same, other = (
        _pretrain(_chips(), tmp_path / name, seed=seed).spec.parent / "weights" / "model.safetensors"
        for name, seed in (("one", 4), ("same", 4), ("other", 5))
    )
    assert one.read_bytes() == same.read_bytes()
    assert one.read_bytes() != other.read_bytes()


def test_random_numbers_of_the_process_are_left_as_they_were(tmp_path) -> None:
    torch.manual_seed(11)
    np.random.seed(11)  # noqa: NPY002
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    _pretrain(_chips(), tmp_path / "ours")
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002


def test_the_rate_rises_for_a_tenth_and_then_falls_to_nothing() -> None:
    class Plan:
        settings = ec.PretrainSettings("tiny", learning_rate=0.01)

    rates = [_epochs._rate(Plan, update, 100) for update in range(100)]
    assert rates[:10] == pytest.approx([0.001 * k for k in range(1, 11)])
    assert rates[10] == pytest.approx(0.01)
    assert rates[55] == pytest.approx(0.005)
    assert rates[99] == pytest.approx(0.005 * (1 + math.cos(math.pi * 89 / 90)))


def test_chips_are_turned_in_all_eight_ways_and_their_masks_with_them() -> None:
    picture = torch.arange(9.0).reshape(1, 1, 1, 3, 3).repeat(8, 1, 1, 1, 1)
    valid = torch.ones(8, 1, 3, 3, dtype=torch.bool)
    valid[:, 0, 0, 1] = False  # where 1 stands
    turns = np.arange(8)
    made, seen = _epochs._turned(picture, turns), _epochs._turned(valid, turns)
    assert len({tuple(one.flatten().tolist()) for one in made}) == 8
    np.testing.assert_array_equal(made[:, :, 0].numpy() != 1, seen.numpy())
    assert made[1, 0, 0].tolist() == [[2, 5, 8], [1, 4, 7], [0, 3, 6]]


def test_the_same_places_are_hidden_in_all_frames() -> None:
    shape = Shape(frames=6, bands=2, px=16, patch=4)
    assert shape.tubelet == 2
    network = OBJECTIVES["video-mae"].build(shape, PRESETS["tiny"], 0.75)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        filled, hidden = OBJECTIVES["video-mae"].fill_in(
            network, _random(5, 6, 2, 16, 16), shape, 0.75, generator
        )
    by_time = hidden.reshape(5, 3, 16)
    assert torch.equal(by_time[:, 0], by_time[:, 1])
    assert torch.equal(by_time[:, 0], by_time[:, 2])
    assert by_time[:, 0].sum(dim=1).tolist() == [12] * 5
    assert len({tuple(row.tolist()) for row in by_time[:, 0]}) > 1
    assert filled.shape == (5, 48, 2 * 16 * 2)
    assert (filled[~hidden] == 0).all()
    assert (filled[hidden] != 0).any(dim=1).all()


def test_an_odd_number_of_frames_is_read_one_by_one() -> None:
    assert Shape(frames=3, bands=2, px=16, patch=4).tubelet == 1


# ---- the encoder that is saved


def test_the_encoder_is_used_by_its_path_and_gives_the_mean_of_its_tokens(tmp_path) -> None:
    chips = _chips(px=16, holes=(2,))
    chips.mask["960m"][0, 0, :, :5] = False
    found = _pretrain(chips, tmp_path / "ours")
    table = ec.embed(chips, encoder=str(found.spec), device="cpu", progress=False)
    assert table.values.shape == (10, 96)
    assert table.columns[0] == "ours_960m_000"
    assert np.isnan(table.values[2]).all()

    spec = read_spec(found.spec)
    z = spec.scaling[0].z
    mean, std = (np.asarray(one, np.float32)[:, None, None] for one in (z.mean, z.std))
    scaled = (chips.pixels["960m"][:, 0] - mean) / std
    scaled = np.where(chips.mask["960m"][:, 0][:, None], scaled, 0)
    network = transformers.ViTModel.from_pretrained(found.spec.parent / "weights", add_pooling_layer=False)
    with torch.no_grad():
        tokens = network.eval()(torch.from_numpy(scaled)).last_hidden_state.numpy()
    usable = np.arange(10) != 2
    np.testing.assert_allclose(table.values[usable], tokens[usable, 1:].mean(axis=1), atol=1e-5)
    by_class = ec.embed(chips, encoder=ec.Pretrained(str(found.spec), pool="cls"), progress=False)
    np.testing.assert_allclose(by_class.values[usable], tokens[usable, 0], atol=1e-5)


def test_the_saved_encoder_is_the_one_that_was_trained(tmp_path, monkeypatch) -> None:
    kept = []
    whole = RunFolder.seal

    def watched(self, encoder, spec, told):
        kept.append(encoder)
        whole(self, encoder, spec, told)

    monkeypatch.setattr(RunFolder, "seal", watched)
    chips = _chips()
    found = _pretrain(chips, tmp_path / "ours")
    saved = transformers.ViTModel.from_pretrained(found.spec.parent / "weights", add_pooling_layer=False)
    for name, tensor in kept[0].state_dict().items():
        assert torch.equal(saved.state_dict()[name], tensor), name
    # hiding nothing, the network for pretraining gives the same tokens but in another order
    mae = OBJECTIVES["mae"].build(Shape(1, 2, 16, 4), PRESETS["tiny"], 0.75)
    mae.vit.load_state_dict(kept[0].state_dict())
    mae.config.mask_ratio = 0.0
    pictures = _random(2, 2, 16, 16)
    with torch.no_grad():
        noise = torch.arange(16.0).repeat(2, 1)
        theirs = mae.vit.eval()(pictures, noise=noise).last_hidden_state
        ours = kept[0].eval()(pictures).last_hidden_state
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=1e-5)


def test_an_encoder_of_frames_is_used_by_its_path(tmp_path) -> None:
    chips = _chips(8, dates=4)
    found = _pretrain(chips, tmp_path / "film", objective="video-mae", name="film")
    spec = read_spec(found.spec)
    assert (spec.loader, spec.frames_min, spec.frames_max, spec.frames_step) == ("videomae", 4, 4, 2)
    table = ec.embed(chips, encoder=str(found.spec), device="cpu", progress=False)
    z = spec.scaling[0].z
    mean, std = (np.asarray(one, np.float32)[:, None, None] for one in (z.mean, z.std))
    network = transformers.VideoMAEModel.from_pretrained(found.spec.parent / "weights").eval()
    with torch.no_grad():
        tokens = network(torch.from_numpy((chips.pixels["960m"] - mean) / std)).last_hidden_state
    np.testing.assert_allclose(table.values, tokens.mean(dim=1).numpy(), atol=1e-5)


def test_chips_that_lack_a_frame_are_learned_from_and_told_of(tmp_path) -> None:
    chips = _chips(8, dates=3)
    chips.mask["960m"][1, 2] = False
    found = _pretrain(chips, tmp_path / "film", objective="video-mae", name="film")
    assert any("1 chips lack whole frames" in warning for warning in found.warnings)
    table = ec.embed(chips, encoder=str(found.spec), device="cpu", progress=False)
    assert np.flatnonzero(np.isnan(table.values).any(axis=1)).tolist() == [1]


def test_bands_get_common_names_and_centres_where_their_names_tell(tmp_path) -> None:
    chips = _chips(bands=4)
    chips.bands = ("B8A", "red", "SR_B4", "moisture")
    found = _pretrain(chips, tmp_path / "ours")
    told = [(band.name, band.common_name, band.wavelength_um) for band in read_spec(found.spec).bands]
    assert told[0] == ("B8A", "nir08", pytest.approx(0.865, abs=0.01))
    assert told[1] == ("red", "red", pytest.approx(0.66, abs=0.01))
    assert told[2:] == [("SR_B4", "SR_B4", None), ("moisture", "moisture", None)]
    # SR_B4 is red or near infrared: it has to be named, and then these very chips are read
    (warning,) = found.warnings
    assert "bands={'SR_B4': 'SR_B4'}" in warning
    with pytest.raises(EncoderError, match="SR_B4"):
        ec.embed(chips, encoder=str(found.spec), progress=False)
    named = ec.Pretrained(str(found.spec), bands={"SR_B4": "SR_B4"})
    assert np.isfinite(ec.embed(chips, encoder=named, progress=False).values).all()


def test_names_that_one_sensor_alone_has_together_are_understood(tmp_path) -> None:
    chips = _chips(bands=4)
    chips.bands = ("B02", "B03", "B8A", "B11")  # B11 is thermal in harmonised Landsat, which has no B8A
    found = _pretrain(chips, tmp_path / "ours")
    bands = read_spec(found.spec).bands
    assert [band.common_name for band in bands] == ["blue", "green", "nir08", "swir16"]
    assert bands[3].wavelength_um == pytest.approx(1.61, abs=0.01)
    assert found.warnings == ()
    assert np.isfinite(ec.embed(chips, encoder=str(found.spec), progress=False).values).all()


def test_chips_in_another_order_of_bands_are_read_as_they_were_learned(tmp_path) -> None:
    chips = _chips(bands=3)
    chips.bands = ("B04", "B03", "B8A")
    found = _pretrain(chips, tmp_path / "ours")
    turned = _chips(bands=3)
    turned.bands = ("nir08", "red", "green")
    turned.pixels["960m"] = chips.pixels["960m"][:, :, [2, 0, 1]]
    one, other = (ec.embed(c, encoder=str(found.spec), progress=False).values for c in (chips, turned))
    np.testing.assert_array_equal(one, other)


def test_a_side_that_is_no_multiple_of_the_patch_is_brought_to_one(tmp_path) -> None:
    chips = _chips(px=18)
    found = _pretrain(chips, tmp_path / "ours")
    assert read_spec(found.spec).native_px == 16  # 4.5 patches are 4
    assert any("18 px were brought to 16 px" in warning for warning in found.warnings)
    assert np.isfinite(ec.embed(chips, encoder=str(found.spec), progress=False).values).all()


@pytest.mark.parametrize(
    ("preset", "side", "patch"),
    [
        ("tiny", 16, 2),
        ("tiny", 35, 4),
        ("tiny", 64, 8),
        ("small", 224, 16),
        ("base", 224, 16),
        ("base", 512, 32),
    ],
)
def test_the_patch_follows_from_the_side(preset, side, patch) -> None:
    settings = ec.PretrainSettings(preset)
    assert settings.patch_of(side) == patch
    assert side / patch <= settings.sizes().most_patches < 2 * side / patch or patch == 2


def test_epochs_follow_from_the_number_of_updates() -> None:
    assert ec.PretrainSettings("tiny").epochs_for(640) == 200  # 10 updates an epoch, 2,000 in all
    assert ec.PretrainSettings("tiny", batch_size=640).epochs_for(640) == 2_000
    assert ec.PretrainSettings("tiny").epochs_for(10**6) == 1
    assert ec.PretrainSettings("tiny", epochs=7).epochs_for(640) == 7


def test_nothing_is_learned_at_a_rate_of_nothing_and_the_result_says_so(tmp_path) -> None:
    still = ec.PretrainSettings("tiny", epochs=1, patch_px=4, learning_rate=1e-30)
    found = _pretrain(_chips(), tmp_path / "ours", preset=still)
    assert any("nothing was learned" in warning for warning in found.warnings)


def test_a_loss_that_rises_again_is_told_of(tmp_path, monkeypatch) -> None:
    losses = iter([1.0, 0.5, 0.8])
    monkeypatch.setattr(_epochs.Learner, "held_out_loss", lambda self: next(losses))
    found = _pretrain(_chips(), tmp_path / "ours")
    (warning,) = found.warnings
    assert "lowest after epoch 1" in warning
    assert "PretrainSettings(epochs=1)" in warning


@pytest.mark.skipif(not torch.cuda.is_available(), reason="NO GPU HERE: training on one is not tested")
def test_a_network_is_trained_on_a_gpu(tmp_path) -> None:
    settings = ec.PretrainSettings("tiny", epochs=15, patch_px=4, batch_size=8, held_out=0.2)
    found = _pretrain(_sloping(80), tmp_path / "ours", preset=settings, device="cuda")
    losses = found.history["held_out_loss"]
    assert losses.iloc[-1] < 0.6 * losses.iloc[0]
    on_cpu = ec.embed(_sloping(80), encoder=str(found.spec), device="cpu", progress=False)
    assert np.isfinite(on_cpu.values).all()


def test_the_result_tells_where_it_is_and_draws_its_losses(tmp_path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    found = _pretrain(_chips(holes=(3,)), tmp_path / "ours")
    assert repr(found).startswith("PretrainResult('ours' by mae, 2 epochs, held-out loss ")
    assert list(found.history.columns) == ["epoch", "train_loss", "held_out_loss"]
    assert found.history["epoch"].tolist() == [0, 1, 2]
    assert np.isnan(found.history["train_loss"].iloc[0])
    assert "1 of 10 chips show nothing valid and were not used." in found.warnings
    assert [line.get_label() for line in found.plot().get_lines()] == ["training chips", "held-out chips"]
    notes = read_spec(found.spec).notes
    assert (
        notes == "mae on 8 chips of 960m (1 more held out), 2 epochs, seed 0; last day of pictures 2007-06-30"
    )


# ---- runs that are killed


class Killed(Exception):
    """Stands for the end of a process."""


@pytest.mark.parametrize("moment", ["before the state", "between state and record", "before the end"])
def test_a_training_that_is_killed_ends_in_the_same_bytes(tmp_path, monkeypatch, moment) -> None:
    long = ec.PretrainSettings("tiny", epochs=4, patch_px=4, batch_size=4)
    whole = _bytes(_pretrain(_chips(), tmp_path / "whole", preset=long).spec.parent)
    with monkeypatch.context() as patched:
        _kill_at(patched, moment)
        with pytest.raises(Killed):
            _pretrain(_chips(), tmp_path / "killed", preset=long)
    assert not (tmp_path / "killed" / "encoder.yaml").exists()
    begun = []
    with monkeypatch.context() as patched:
        epoch = _epochs.Learner.epoch
        patched.setattr(_epochs.Learner, "epoch", lambda self, n: begun.append(n) or epoch(self, n))
        found = _pretrain(_chips(), tmp_path / "killed", preset=long)
    assert begun == ([] if moment == "before the end" else [3, 4])
    assert _bytes(found.spec.parent) == whole


def _kill_at(patched, moment):
    from eocausal.training import _run_folder

    if moment == "before the end":
        patched.setattr(RunFolder, "seal", _raise)
        return
    name = "write_bytes" if moment == "before the state" else "write_json"
    write, wanted = getattr(_run_folder, name), "epoch-00003"

    def watched(path, content):
        if wanted in str(path):
            raise Killed
        return write(path, content)

    patched.setattr(_run_folder, name, watched)


def test_what_the_library_had_begun_to_write_is_cleared_away(tmp_path, monkeypatch) -> None:
    from eocausal.training import _run_folder

    write = _run_folder.write_bytes

    def killed_at_the_encoder(path, content):
        return write(path, content) if "epoch-" in str(path) else _raise()

    with monkeypatch.context() as patched:
        patched.setattr(_run_folder, "write_bytes", killed_at_the_encoder)
        patched.setattr(RunFolder, "_clear", lambda self: None)
        with pytest.raises(Killed):
            _pretrain(_chips(), tmp_path / "killed")
    assert (tmp_path / "killed" / ".library" / "model.safetensors").is_file()
    whole = _bytes(_pretrain(_chips(), tmp_path / "whole").spec.parent)
    assert _bytes(_pretrain(_chips(), tmp_path / "killed").spec.parent) == whole
    assert not (tmp_path / "killed" / ".library").exists()


def _raise(*args):
    raise Killed


SCRIPT = """
import sys
import eocausal as ec
sys.path.insert(0, {root!r})
from tests.fake_chips import fake_chips
settings = ec.PretrainSettings("tiny", epochs=12, patch_px=4, batch_size=4)
chips = fake_chips(10, px=16, pixel_unit="dn")
chips.bands = ("red", "nir")
ec.pretrain(chips, preset=settings, out=sys.argv[1], device="cpu", progress=False)
"""


def test_a_process_that_is_killed_leaves_what_the_next_one_continues(tmp_path) -> None:
    root = str(Path(__file__).parents[2])
    script = SCRIPT.format(root=root)
    environment = {**os.environ, "PYTHONPATH": root}
    killed = tmp_path / "killed"
    process = subprocess.Popen([sys.executable, "-c", script, str(killed)], env=environment)
    until = time.monotonic() + 120
    while not list(killed.glob("epoch-0000[3-9].json")) and time.monotonic() < until:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (killed / "encoder.yaml").exists()
    settings = ec.PretrainSettings("tiny", epochs=12, patch_px=4, batch_size=4)
    made = [
        _bytes(_pretrain(_chips(), folder, preset=settings, name=None).spec.parent)
        for folder in (killed, tmp_path / "whole")
    ]
    assert made[0] == made[1]


def test_a_finished_training_is_read_back(tmp_path, monkeypatch) -> None:
    first = _pretrain(_chips(), tmp_path / "ours")
    left = sorted(_bytes(tmp_path / "ours"))
    assert left == ["encoder.yaml", "run.json", "weights/config.json", "weights/model.safetensors"]
    monkeypatch.setattr(_epochs.Learner, "epoch", _raise)
    again = _pretrain(_chips(), tmp_path / "ours")
    assert again.history.equals(first.history)
    assert (again.spec, again.warnings) == (first.spec, first.warnings)


def test_what_was_damaged_is_made_again_to_the_same_bytes(tmp_path) -> None:
    found = _pretrain(_chips(), tmp_path / "ours")
    before = _bytes(tmp_path / "ours")
    (tmp_path / "ours" / "weights" / "model.safetensors").write_bytes(b"other")
    again = _pretrain(_chips(), tmp_path / "ours")
    assert any("weights/model.safetensors was damaged" in warning for warning in again.warnings)
    assert _bytes(tmp_path / "ours") == before
    assert again.history.equals(found.history)


def test_a_damaged_state_is_not_continued_from(tmp_path, monkeypatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(RunFolder, "seal", _raise)
        with pytest.raises(Killed):
            _pretrain(_chips(), tmp_path / "ours")
    (state,) = (tmp_path / "ours").glob("epoch-*.safetensors")
    state.write_bytes(state.read_bytes()[:-1] + b"\x7f")
    found = _pretrain(_chips(), tmp_path / "ours")
    assert any("epoch-00002.safetensors was damaged" in warning for warning in found.warnings)
    whole = _bytes(_pretrain(_chips(), tmp_path / "whole").spec.parent)
    assert _bytes(tmp_path / "ours") == whole


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"seed": 1}, "seed: 0 -> 1"),
        (
            {"preset": ec.PretrainSettings("tiny", epochs=3, patch_px=4, batch_size=4)},
            "settings.epochs: 2 -> 3",
        ),
        ({"keys": [100, 101, 102, 103]}, "keys.count: 10 -> 4"),
        ({"name": "other"}, 'spec.name: "ours" -> "other"'),
    ],
)
def test_the_folder_of_another_training_is_refused(tmp_path, change, line) -> None:
    _pretrain(_chips(), tmp_path / "ours")
    with pytest.raises(EncoderError, match="something else") as error:
        _pretrain(_chips(), tmp_path / "ours", **change)
    assert line in str(error.value)


def test_an_encoder_of_another_make_is_not_written_over(tmp_path) -> None:
    (tmp_path / "encoder.yaml").write_text("mine")
    with pytest.raises(EncoderError, match="not made by this call"):
        _pretrain(_chips(), tmp_path)
    assert (tmp_path / "encoder.yaml").read_text() == "mine"


def test_the_manifest_of_something_else_and_a_file_are_refused(tmp_path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(EncoderError, match="not of a run of pretrain of format 1"):
        _pretrain(_chips(), tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(EncoderError, match="is a file"):
        _pretrain(_chips(), tmp_path / "file")


# ---- what cannot be done


def _flat():
    chips = _chips()
    chips.pixels["960m"][:, :, 1] = 7.0
    return chips


def _wide():
    chips = _chips()
    for kind in (chips.pixels, chips.mask):
        kind["960m"] = kind["960m"][..., :12]
    return chips


@pytest.mark.parametrize(
    ("chips", "asked", "words"),
    [
        (lambda: _chips(0), {}, "no chips to learn from"),
        (_chips, {"objective": "MAE"}, r"objective='MAE' is not known[\s\S]*Did you mean 'mae'"),
        (_chips, {"objective": "video-mae"}, r"one frame[\s\S]*objective=\"mae\""),
        (lambda: _chips(dates=3), {}, r"3 frames[\s\S]*ec.Sequence[\s\S]*video-mae"),
        (_chips, {"preset": "huge"}, r"preset='huge' is not known[\s\S]*tiny, small, base"),
        (_chips, {"seed": -1}, "seed=-1"),
        (_chips, {"name": "My encoder"}, "cannot be the name of an encoder"),
        (_chips, {"keys": []}, "keys is empty"),
        (_chips, {"keys": [100, 99, 5]}, r"2 of the 3 keys are not 'village'[\s\S]*5, 99"),
        (_chips, {"keys": [100]}, "at least two"),
        (lambda: _chips(3, holes=(0, 1)), {}, r"1 of the 3 chips of block '960m' show[\s\S]*100, 101"),
        (lambda: _chips(blocks=("a", "b")), {}, r"2 sizes: a, b[\s\S]*PretrainSettings\(block='a'\)"),
        (_chips, {"preset": ec.PretrainSettings(block="96m")}, r"no block '96m'[\s\S]*960m"),
        (lambda: _chips(px=3), {"preset": "tiny"}, r"3 pixels a side[\s\S]*at least two patches"),
        (_chips, {"preset": ec.PretrainSettings(patch_px=9)}, r"16 pixels a side[\s\S]*patches of 9"),
        (_chips, {"preset": ec.PretrainSettings(patch_px=8, mask_ratio=0.9)}, "hides all 4 patches"),
        (_wide, {}, "16 x 12 pixels"),
        (_flat, {}, r"same value in every chip[\s\S]*nir"),
        (lambda: _chips(pixel_unit=None), {}, r"do not say what a pixel is[\s\S]*pixel_unit"),
        (_chips, {"device": "tpu"}, "device='tpu' is not known"),
        (_chips, {"out": 7}, "cannot be named by a int"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said_before_anything_is_written(tmp_path, chips, asked, words) -> None:
    with pytest.raises(EncoderError, match=words):
        _pretrain(chips(), **{"folder": tmp_path / "ours", **({"folder": asked["out"]} if "out" in asked else {})},
                  **{k: v for k, v in asked.items() if k != "out"})  # fmt: skip
    assert not (tmp_path / "ours" / "encoder.yaml").exists()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"preset": "smal"}, r"preset='smal'[\s\S]*Did you mean 'small'"),
        ({"epochs": 0}, r"epochs=0[\s\S]*at least 1"),
        ({"epochs": 2.5}, "epochs=2.5"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"patch_px": 0}, "patch_px=0"),
        ({"mask_ratio": 1}, r"mask_ratio=1[\s\S]*below 1"),
        ({"mask_ratio": 0.0}, "mask_ratio=0.0"),
        ({"held_out": 1.0}, "held_out=1.0"),
        ({"learning_rate": -0.1}, "learning_rate=-0.1"),
        ({"learning_rate": True}, "learning_rate=True"),
    ],
)
def test_settings_out_of_range_are_refused(settings, words) -> None:
    with pytest.raises(EncoderError, match=words):
        ec.PretrainSettings(**settings)


def test_a_loss_that_is_not_finite_is_an_error(tmp_path, monkeypatch) -> None:
    def broken(filled, hidden, pictures, valid, shape):
        loss, count = masked_loss(filled, hidden, pictures, valid, shape)
        return loss * float("nan"), count

    monkeypatch.setattr(_epochs, "masked_loss", broken)
    with pytest.raises(EncoderError, match=r"not finite in epoch 1[\s\S]*learning_rate=2e-04"):
        _pretrain(_chips(), tmp_path / "ours")


def test_without_the_library_the_line_that_installs_it_is_named(tmp_path, monkeypatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "transformers" else find(name, *more)
    )
    with pytest.raises(EncoderError, match=r'pip install "eocausal\[encoders\]"'):
        _pretrain(_chips(), tmp_path / "ours")


def test_networks_come_from_the_library() -> None:
    shape, sizes = Shape(frames=4, bands=5, px=16, patch=4), PRESETS["base"]
    still = Shape(frames=1, bands=5, px=16, patch=4)
    for objective, pictures in (("mae", still), ("video-mae", shape)):
        network = OBJECTIVES[objective].build(pictures, PRESETS["tiny"], 0.75)
        assert type(network).__module__.startswith("transformers.")
    assert (sizes.hidden, sizes.layers, sizes.heads) == (768, 12, 12)  # ViT-B
