"""Several sizes: which are used, what stays apart, and how many components each block becomes."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.runner import embed as runner
from tests.fake_chips import fake_chips

SIZES = ("480m", "960m", "7680m")
RCF = ec.RandomFeatures(8)


def run(chips, encoder, **more):
    return ec.embed(chips, encoder=encoder, device="cpu", progress=False, **more)


@pytest.fixture
def chips():
    return fake_chips(6, blocks=SIZES, holes=(2,))


def test_each_size_has_the_block_that_it_has_without_the_others(chips):
    plain = run(chips, RCF)
    found = run(chips, ec.MultiScale(RCF, size_m=[7680, 480]))
    assert found.blocks == {"rcf_7680m": (0, 8), "rcf_480m": (8, 16)}
    for block in found.blocks:
        np.testing.assert_array_equal(found.block(block), plain.block(block))
    assert found.columns[0] == "rcf_7680m_000"


def test_all_sizes_by_default_and_names_of_blocks_too(chips):
    np.testing.assert_array_equal(run(chips, ec.MultiScale(RCF)).values, run(chips, RCF).values)
    assert list(run(chips, ec.MultiScale(RCF, size_m=["960m"])).blocks) == ["rcf_960m"]


def test_a_size_that_is_not_used_decides_nothing(chips):
    chips.mask["960m"][4] = False
    chips.status["960m"][4] = "nodata"
    found = run(chips, ec.MultiScale("image_stats", size_m=[480, 7680]))
    assert found.info["status"].tolist() == ["ok", "ok", "nodata", "ok", "ok", "ok"]
    assert run(chips, "image_stats").info["status"].tolist()[4] == "nodata"


def test_sizes_can_have_encoders_of_their_own(chips):
    by_size = {480: "pixel_mean", 960: RCF, 7680: ec.Sequence("pixel_mean")}
    found = run(chips, ec.MultiScale(by_size))
    assert found.blocks == {
        "multi_scale_480m": (0, 2),
        "multi_scale_960m": (2, 10),
        "multi_scale_7680m": (10, 12),
    }
    assert found.columns[-1] == "pixel_mean_7680m_b1_mean"
    np.testing.assert_array_equal(found.block("multi_scale_960m"), run(chips, RCF).block("rcf_960m"))
    np.testing.assert_array_equal(
        found.block("multi_scale_480m"), run(chips, "pixel_mean").block("pixel_mean_480m")
    )


def test_an_encoder_of_several_sizes_is_fitted_once(chips):
    fits = []

    class Counting(type(RCF)):
        def fit(self, chips, *, keys=None, device="cpu"):
            fits.append(chips.blocks)
            return super().fit(chips, keys=keys, device=device)

    run(chips, ec.MultiScale({480: Counting(8), 960: "pixel_mean", 7680: Counting(8)}))
    assert fits == [("480m", "7680m")]


def test_sequences_fit_inside():
    chips = fake_chips(4, dates=3, blocks=SIZES)
    inside = ec.MultiScale(ec.Sequence("pixel_mean", pool="last-first"), size_m=[480])
    pixels = chips.pixels["480m"].mean(axis=(3, 4), dtype=float)
    found = run(chips, inside)
    assert list(found.blocks) == ["pixel_mean_last_first_480m"]
    np.testing.assert_allclose(found.values, pixels[:, 2] - pixels[:, 0], rtol=1e-4, atol=1e-5)


def test_sides_are_those_of_chips_that_were_resampled():
    rng = np.random.default_rng(0)
    places = pd.DataFrame({"village": range(4), "lon": np.arange(4) / 10, "lat": 1.0})
    units = ec.read_units(places, id="village", lon="lon", lat="lat")
    chips = ec.chips_from_arrays(units, rng.random((4, 24, 24, 2)), size_m=480)
    found = run(chips, ec.MultiScale("image_stats", size_m=[480], side_px=8))
    np.testing.assert_array_equal(found.values, run(chips.resampled(8), "image_stats").values)
    assert not np.array_equal(found.values, run(chips, "image_stats").values)


def test_a_run_is_read_back_restored_and_never_mixed(chips, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "shard_size", lambda count: 3)
    encoder = ec.MultiScale({480: RCF, 960: ec.RandomFeatures(4, seed=1), 7680: RCF}, reduce=3)
    whole, again = tmp_path / "whole", tmp_path / "again"
    run(chips, encoder, out=whole)
    run(chips, encoder, out=again)
    for name in ("embeddings.parquet", "part-00001.parquet", "part-00001.json", "manifest.json"):
        (again / name).unlink()
    run(chips, encoder, out=again)
    assert (again / "embeddings.parquet").read_bytes() == (whole / "embeddings.parquet").read_bytes()
    with pytest.raises(ec.errors.EmbeddingsError, match=r"(?s)made from something else.*encoder"):
        run(chips, ec.MultiScale({480: RCF, 960: RCF, 7680: RCF}, reduce=3), out=whole)


def test_chips_of_some_sizes_can_be_copied_and_know_what_chips_know(chips):
    chips.pixel_unit = "reflectance"
    some = ec.MultiScale(RCF, size_m=[480]).select(chips)
    for same in (some, copy.deepcopy(some), pickle.loads(pickle.dumps(some))):
        assert (same.blocks, same.pixel_unit, len(same)) == (("480m",), "reflectance", 6)
    with pytest.raises(AttributeError):
        _ = some.wavelengths
