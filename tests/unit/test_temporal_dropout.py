"""Frames dropped at random: distances against numbers computed by hand, draws that depend on a chip alone."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import eocausal as ec
from eocausal.errors import EncoderError
from eocausal.nuisance.components import components_asked
from tests.fake_chips import FakeChips, fake_chips
from tests.unit.test_sequence_encoder import levels

MEAN, TREND = ec.Sequence("pixel_mean"), ec.Sequence("pixel_mean", pool="trend")


def run(chips, encoder=MEAN, **more):
    return ec.temporal_dropout(chips, encoder=encoder, device="cpu", progress=False, **more)


def some(chips, rows):
    pixels = {block: array[rows] for block, array in chips.pixels.items()}
    return FakeChips(chips.keys[rows], pixels, {b: m[rows] for b, m in chips.mask.items()}, bands=chips.bands)


def test_two_frames_of_which_one_goes_are_half_their_difference_apart():
    found = run(levels([[1.0, 5.0], [2.0, 2.0], [7.0, 9.0]]))
    assert found.embeddings.values[:, 0].tolist() == [3.0, 2.0, 8.0]
    # whichever frame goes, the mean moves by half the difference; the means 3, 2 and 8 have SD sqrt(62 / 9)
    np.testing.assert_allclose(
        found.spread["pixel_mean_mean_64px"], np.array([2, 0, 1]) / np.sqrt(62 / 9), rtol=1e-6
    )
    assert found.warnings == ()


def test_many_draws_come_near_the_mean_over_all_ways_to_drop():
    frames = np.array([[1.0, 4.0, 2.0, 8.0, 0.0], [3.0, 3.0, 4.0, 1.0, 2.0]])
    found = run(levels(frames), share=0.4, draws=4000)
    moved = [
        np.mean(
            [(np.delete(row, gone).mean() - row.mean()) ** 2 for gone in itertools.combinations(range(5), 2)]
        )
        for row in frames
    ]
    expected = np.sqrt(moved) / np.std(frames.mean(axis=1))
    np.testing.assert_allclose(found.spread["pixel_mean_mean_64px"], expected, rtol=0.05)


def test_features_names_and_statuses_are_those_of_embed():
    chips = fake_chips(7, dates=4, holes=(3,), blocks=("480m", "960m"))
    chips.mask["960m"][5, 1:] = False
    encoder = ec.Sequence(ec.RandomFeatures(8), pool="trend")
    found, plain = run(chips, encoder), ec.embed(chips, encoder=encoder, device="cpu", progress=False)
    np.testing.assert_array_equal(found.embeddings.values, plain.values)
    assert (found.embeddings.columns, found.embeddings.blocks) == (plain.columns, plain.blocks)
    assert found.embeddings.info.equals(plain.info)
    assert found.embeddings.recipe["encoder"]["temporal_dropout"] == {"share": 0.3, "draws": 8, "seed": 0}
    assert found.spread.columns.tolist() == ["village", "rcf_trend_480m", "rcf_trend_960m"]
    assert np.isnan(found.spread["rcf_trend_960m"]).tolist() == [
        False,
        False,
        False,
        True,
        False,
        True,
        False,
    ]


def test_an_image_without_a_frame_to_spare_has_no_spread_and_that_is_said():
    found = run(levels([[1.0, 2.0, 4.0], [1.0, 2.0, 4.0]], missing=[(0, 1)]), TREND)
    assert np.isnan(found.spread["pixel_mean_trend_64px"]).tolist() == [True, False]
    assert np.isfinite(found.embeddings.values).all()
    assert found.warnings == (
        "1 images have no frame to spare in block pixel_mean_trend_64px: their spread is unknown.",
    )


def test_draws_depend_on_the_chip_and_the_seed_alone():
    chips = fake_chips(9, dates=6)
    chips.mask["960m"] &= np.random.default_rng(1).random((9, 6, 1, 1)) > 0.2
    order = np.random.default_rng(2).permutation(9)
    block = "pixel_mean_mean_960m"
    whole = run(chips, draws=3, seed=4).spread
    moved = run(some(chips, order), draws=3, seed=4).spread
    np.testing.assert_allclose(whole[block].to_numpy()[order], moved[block], rtol=1e-6)
    assert moved["village"].tolist() == chips.keys[order].tolist()
    assert not np.allclose(whole[block], run(chips, draws=3, seed=5).spread[block], equal_nan=True)


def test_several_sizes_and_folders_that_continue(tmp_path):
    chips = fake_chips(5, dates=4, blocks=("480m", "960m"))
    encoder = ec.MultiScale({480: MEAN, 960: TREND}, reduce=1)
    first = run(chips, encoder, out=tmp_path / "run")
    chips.read.clear()
    again = run(chips, encoder, out=tmp_path / "run")
    assert chips.read == []
    assert first.spread.equals(again.spread)
    assert first.embeddings.columns == (
        "pixel_mean_480m_b0_mean",
        "pixel_mean_480m_b1_mean",
        "pixel_mean_960m_b0_trend",
        "pixel_mean_960m_b1_trend",
    )
    assert list(first.spread.columns[1:]) == ["multi_scale_480m", "multi_scale_960m"]
    assert first.embeddings.blocks == {"multi_scale_480m": (0, 2), "multi_scale_960m": (2, 4)}
    assert components_asked(first.embeddings) == {"multi_scale_480m": 1, "multi_scale_960m": 1}


BAD = {
    "no sequence": ({"encoder": "rcf"}, r"'rcf' is no Sequence.*ec\.Sequence\("),
    "sizes without": ({"encoder": ec.MultiScale("rcf")}, r"is no Sequence.*ec\.Sequence\("),
    "all": ({"share": 1.0}, r"share=1\.0.*below 1"),
    "percent": ({"share": 30}, "share=30"),
    "truth": ({"share": True}, "share=True"),
    "no draw": ({"draws": 0}, "draws=0.*at least 1"),
    "seed": ({"seed": -1}, "seed=-1"),
}


@pytest.mark.parametrize(("more", "words"), BAD.values(), ids=BAD.keys())
def test_wrong_input(more, words):
    with pytest.raises(EncoderError, match=f"(?s){words}"):
        run(levels([[1.0, 2.0]]), **more)


def test_chips_that_a_network_cannot_read_are_refused_before_its_weights_are_looked_for():
    encoder = ec.Sequence(ec.Pretrained("dinov2-base", white=0.3, weights="no_such_folder"))
    with pytest.raises(EncoderError, match="needs bands that the chips do not name"):
        run(fake_chips(3, dates=2), encoder=encoder)
