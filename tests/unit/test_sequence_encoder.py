"""Frames pooled over time, against numbers computed by hand from the encoder of single frames."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.errors import EncoderError
from eocausal.runner import embed as runner
from tests.fake_chips import FakeChips, fake_chips
from tests.studies import FAST


def levels(by_frame, *, missing=(), px=4):
    """Return one-band chips whose frames have one value each, (n, frames); (chip, frame) pairs are not valid."""
    values = np.asarray(by_frame, dtype=np.float32)
    pixels = np.broadcast_to(values[:, :, None, None, None], (*values.shape, 1, px, px)).copy()
    mask = np.ones((*values.shape, px, px), dtype=bool)
    for chip, frame in missing:
        mask[chip, frame] = False
    return FakeChips(np.arange(len(values)), {"64px": pixels}, {"64px": mask}, bands=("red",))


def pooled(by_frame, pool, *, missing=(), **more):
    chips = levels(by_frame, missing=missing)
    fitted = ec.Sequence("pixel_mean", pool=pool, **more).fit(chips)
    batch = next(iter(chips.batches(size=len(chips))))
    return fitted.encode(batch.pixels["64px"], batch.mask["64px"], "64px")


def test_pools_of_one_chip_by_hand():
    frames = [[1.0, 3.0, 2.0, 6.0]]
    np.testing.assert_allclose(pooled(frames, "mean"), [[3.0]])
    np.testing.assert_allclose(pooled(frames, "last-first"), [[5.0]])
    # squared distances to 3: 4, 0, 1, 9
    np.testing.assert_allclose(pooled(frames, "mean+sd"), [[3.0, np.sqrt(14 / 3)]], rtol=1e-6)
    # steps from the middle: -1.5, -0.5, 0.5, 1.5; (-1.5 - 1.5 + 1 + 9) / 5
    np.testing.assert_allclose(pooled(frames, "trend"), [[1.4]], rtol=1e-6)


def test_frames_that_are_missing_are_left_out_and_keep_their_place_in_time():
    frames, missing = [[1.0, 999.0, 2.0, 7.0, 999.0]], [(0, 1), (0, 4)]
    np.testing.assert_allclose(pooled(frames, "mean", missing=missing), [[10 / 3]], rtol=1e-6)
    np.testing.assert_allclose(pooled(frames, "last-first", missing=missing), [[6.0]])
    np.testing.assert_allclose(
        pooled(frames, "mean+sd", missing=missing), [[10 / 3, np.std([1, 2, 7], ddof=1)]], rtol=1e-6
    )
    slope = np.polyfit([0, 2, 3], [1, 2, 7], 1)[0]
    np.testing.assert_allclose(pooled(frames, "trend", missing=missing), [[slope]], rtol=1e-6)


def _attention_by_hand(frames):
    """Scaled dot-product attention of the frames, brought to length sqrt(d), to their mean; loops alone."""
    d = len(frames[0])
    keys = [np.asarray(x) / np.linalg.norm(x) * np.sqrt(d) for x in frames]
    query = sum(keys) / len(keys)
    weights = np.exp([query @ key / np.sqrt(d) for key in keys])
    return sum(w * np.asarray(x) for w, x in zip(weights / weights.sum(), frames))


def test_attention_by_hand():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(3, 5, 7))
    used = np.ones((3, 5), dtype=bool)
    used[1, 2] = used[2, :4] = False
    fitted = ec.Sequence("pixel_mean", pool="attention").fit(levels([[1.0]]))
    found = fitted.pooled(np.where(used[..., None], values, np.nan), used)
    for row in range(3):
        np.testing.assert_allclose(found[row], _attention_by_hand(values[row][used[row]]), rtol=1e-12)
    # weights do not change with the unit of the features, and equal frames weigh the same
    np.testing.assert_allclose(fitted.pooled(1000 * values, used), 1000 * fitted.pooled(values, used))
    same = np.repeat(values[:1, :1], 5, axis=1)
    np.testing.assert_allclose(fitted.pooled(same, used[:1]), values[:1, 0])


def test_a_frame_unlike_the_others_weighs_less_than_in_the_mean():
    values = np.ones((1, 4, 16)) + np.random.default_rng(1).normal(0, 0.05, size=(1, 4, 16))
    values[0, 2] = -1.0
    used = np.ones((1, 4), dtype=bool)
    attention, mean = (
        ec.Sequence("pixel_mean", pool=pool).fit(levels([[1.0]])).pooled(values, used)
        for pool in ("attention", "mean")
    )
    truth = values[0, [0, 1, 3]].mean(axis=0)
    assert np.abs(attention - truth).max() < 0.1 * np.abs(mean - truth).max()


def test_a_frame_of_zeros_has_no_direction_and_no_error():
    values = np.stack([np.zeros((2, 3)), np.zeros((2, 3))])
    values[1, 1] = [1.0, 2.0, 2.0]
    fitted = ec.Sequence("pixel_mean", pool="attention").fit(levels([[1.0]]))
    found = fitted.pooled(values, np.ones((2, 2), dtype=bool))
    np.testing.assert_array_equal(found[0], 0)
    assert 0.5 < found[1, 0] < 1


@pytest.mark.parametrize(
    ("pool", "least"),
    [
        ("mean", 1),
        ("last-first", 2),
        ("mean+sd", 2),
        ("trend", 2),
        ("attention", 1),
    ],
)
def test_a_chip_has_features_from_the_least_number_of_frames_on(pool, least):
    missing = [(0, turn) for turn in range(3 - least)] + [(1, turn) for turn in range(4 - least)]
    found = pooled([[1.0, 2.0, 4.0], [1.0, 2.0, 4.0]], pool, missing=missing)
    assert np.isfinite(found[0]).all()
    assert np.isnan(found[1]).all()


def test_more_frames_can_be_asked_for():
    found = pooled([[1.0, 2.0, 4.0], [1.0, 2.0, 3.0]], "trend", missing=[(0, 0)], min_frames=3)
    np.testing.assert_allclose(found, [[np.nan], [1.0]])


def test_a_frame_with_too_few_valid_pixels_is_left_out():
    chips = levels([[2.0, 8.0]])
    chips.mask["64px"][0, 1, :2] = False  # half of it
    batch = next(iter(chips.batches(size=len(chips))))
    for share, mean in ((0.0, 5.0), (0.5, 5.0), (0.51, 2.0)):
        fitted = ec.Sequence("pixel_mean", min_valid=share).fit(chips)
        assert fitted.encode(batch.pixels["64px"], batch.mask["64px"], "64px").tolist() == [[mean]]


def test_every_column_is_pooled_from_the_frames_of_the_encoder_inside():
    chips = fake_chips(5, dates=3, bands=2)
    chips.mask["960m"][1, 1] = False
    batch = next(iter(chips.batches(size=len(chips))))
    pixels, mask = batch.pixels["960m"], batch.mask["960m"]
    inner = ec.RandomFeatures(8).fit(chips)
    frames = np.stack([inner.encode(pixels[:, [t]], mask[:, [t]], "960m") for t in range(3)], axis=1)
    found = ec.Sequence(ec.RandomFeatures(8), pool="mean+sd").fit(chips).encode(pixels, mask, "960m")
    mean, sd = np.nanmean(frames, axis=1), np.nanstd(frames.astype(float), axis=1, ddof=1)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.concatenate([mean, sd], axis=1), rtol=1e-5, atol=1e-6)


def test_names_and_recipe_say_what_was_pooled_and_how():
    encoder = ec.Sequence(ec.RandomFeatures(4, patch_px=(3,)), pool="mean+sd", min_frames=3, min_valid=0.2)
    fitted = encoder.fit(fake_chips(4, dates=3))
    assert encoder.name == "rcf_mean_sd"
    assert fitted.columns("960m")[:2] == ("rcf_960m_000_mean", "rcf_960m_001_mean")
    assert fitted.columns("960m")[4] == "rcf_960m_000_sd"
    told = encoder.recipe()
    assert (told["encoder"], told["pool"], told["min_frames"], told["min_valid"]) == (
        "sequence",
        "mean+sd",
        3,
        0.2,
    )
    assert told["frames"] == ec.RandomFeatures(4, patch_px=(3,)).recipe()
    assert told != ec.Sequence(ec.RandomFeatures(4, patch_px=(3,)), pool="mean").recipe()


def test_embed_says_nodata_of_chips_with_too_few_frames():
    chips = levels([[1.0, 2.0], [1.0, 5.0]], missing=[(0, 0)])
    found = ec.embed(chips, encoder=ec.Sequence("pixel_mean", pool="trend"), device="cpu", progress=False)
    assert found.blocks == {"pixel_mean_trend_64px": (0, 1)}
    assert found.columns == ("pixel_mean_64px_red_trend",)
    assert found.info["status"].tolist() == ["nodata", "ok"]
    np.testing.assert_array_equal(found.values, [[np.nan], [4.0]])
    assert found.recipe["encoder"]["pool"] == "trend"


def test_a_run_continues_to_identical_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "shard_size", lambda count: 3)
    chips = fake_chips(8, dates=3, holes=(2,))
    encoder = ec.Sequence(ec.RandomFeatures(8), pool="trend")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    ec.embed(chips, encoder=encoder, out=whole, device="cpu", progress=False)
    save, saved = runner.Store.save_part, []

    def die_on_the_third(store, number, part):
        if number == 2:
            raise KeyboardInterrupt
        saved.append(number)
        save(store, number, part)

    monkeypatch.setattr(runner.Store, "save_part", die_on_the_third)
    with pytest.raises(KeyboardInterrupt):
        ec.embed(chips, encoder=encoder, out=broken, device="cpu", progress=False)
    monkeypatch.setattr(runner.Store, "save_part", save)
    chips.read.clear()
    ec.embed(chips, encoder=encoder, out=broken, device="cpu", batch=64, progress=False)
    assert saved == [0, 1]
    assert chips.read == [chips.keys[6:].tolist()]
    assert (broken / "embeddings.parquet").read_bytes() == (whole / "embeddings.parquet").read_bytes()


def test_only_the_trend_removes_the_bias_of_what_only_the_trend_carries():
    """Places that grow are treated more often and earn more; levels say nothing of growth. The effect is 1."""
    rng = np.random.default_rng(3)
    n, turns = 600, np.arange(5) - 2
    slope = rng.choice([-1.0, 1.0], n)
    frames = 50 + 5 * rng.normal(size=(n, 1)) + slope[:, None] * turns + 0.3 * rng.normal(size=(n, 5))
    gone = rng.random((n, 5)) < 0.1
    chips = levels(frames, missing=np.argwhere(gone).tolist())
    grant = (rng.random(n) < 0.5 + 0.25 * slope).astype(int)
    income = grant + 2 * slope + rng.normal(size=n)
    table = pd.DataFrame({"village": chips.keys, "grant": grant, "income": income}, index=chips.keys)
    found = {}
    for pool in ("trend", "mean"):
        features = ec.embed(chips, encoder=ec.Sequence("pixel_mean", pool=pool), device="cpu", progress=False)
        design = ec.Design(table, outcome="income", treatment="grant", features=features, missing="drop")
        result = ec.ate(design, learners=FAST)
        found[pool] = (result.estimate - 1) / result.std_error
    assert abs(found["trend"]) < 2.5
    assert found["mean"] > 8


def test_a_valid_frame_without_features_is_an_error_and_not_a_missing_frame():
    class Mute:
        name = "mute"

        def recipe(self):
            return {"encoder": "mute"}

        def fit(self, chips, *, keys=None, device="cpu"):
            return self

        restore = fit

        def columns(self, block):
            return ("a",)

        def state(self):
            return {}

        def encode(self, pixels, mask, block):
            return np.full((len(pixels), 1), np.nan, dtype=np.float32)

    chips = levels([[1.0, 2.0]])
    with pytest.raises(EncoderError, match="'mute' gave no features for frames that are wholly valid"):
        ec.embed(chips, encoder=ec.Sequence(Mute()), device="cpu", progress=False)
