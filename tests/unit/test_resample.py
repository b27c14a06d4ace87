"""Chips brought to another number of pixels, against independent loops and torch."""

from __future__ import annotations

from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

import eocausal as ec
from eocausal.errors import ImageryError
from eocausal.imagery.batches import ChipBatch
from eocausal.imagery.changed import ChangedSource
from eocausal.imagery.resample import Resampling, filter_name, resample, resample_classes
from tests.scenes import numbered, units_on, write_scene


def _chips(size: int, *, count: int = 2, dates: int = 2, bands: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(100, 4000, (count, dates, bands, size, size)).astype("float32")


def _valid(chips: np.ndarray) -> np.ndarray:
    return np.ones((*chips.shape[:2], *chips.shape[3:]), dtype=bool)


def _area_by_fractions(picture: np.ndarray, valid: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Average by overlap of every pair of pixels, in fractions; also the share of valid area."""
    size = len(picture)
    ratio = Fraction(size, side)

    def overlap(i: int, j: int) -> Fraction:
        return max(Fraction(0), min((i + 1) * ratio, Fraction(j + 1)) - max(i * ratio, Fraction(j)))

    means, shares = np.full((side, side), np.nan), np.zeros((side, side))
    for row in range(side):
        for column in range(side):
            total, weight = 0.0, Fraction(0)
            for i in range(size):
                for j in range(size):
                    area = overlap(row, i) * overlap(column, j)
                    if area and valid[i, j]:
                        total += float(area) * float(picture[i, j])
                        weight += area
            shares[row, column] = float(weight / ratio**2)
            if weight:
                means[row, column] = total / float(weight)
    return means, shares


@pytest.mark.parametrize(("size", "side"), [(6, 3), (7, 3), (10, 9), (5, 1), (9, 4)])
def test_shrinking_is_the_mean_by_covered_area(size: int, side: int) -> None:
    chips = _chips(size, count=1)
    valid = np.random.default_rng(1).random(_valid(chips).shape) < 0.6
    got, mask = resample(np.where(valid[:, :, None], chips, np.float32(np.nan)), valid, side, least=0.4)
    for date in range(2):
        means, shares = _area_by_fractions(chips[0, date, 1], valid[0, date], side)
        np.testing.assert_array_equal(mask[0, date], shares >= 0.4 - 1e-12)
        np.testing.assert_allclose(got[0, date, 1], np.where(mask[0, date], means, np.nan), rtol=1e-6)
    assert 0 < mask.mean() < 1 or side == 1


@pytest.mark.parametrize(("size", "side"), [(4, 8), (5, 7), (7, 30), (1, 4), (3, 4)])
def test_enlarging_whole_chips_equals_torch(size: int, side: int) -> None:
    chips = _chips(size)
    got, mask = resample(chips, _valid(chips), side)
    flat = torch.from_numpy(chips.reshape(-1, 3, size, size))
    expected = torch.nn.functional.interpolate(flat, size=side, mode="bilinear", align_corners=False)
    np.testing.assert_allclose(got.reshape(expected.shape), expected.numpy(), rtol=5e-6)
    assert mask.all()
    assert got.dtype == np.float32


@pytest.mark.parametrize(("size", "side"), [(12, 4), (768, 224), (33, 10)])
def test_shrinking_whole_chips_equals_adaptive_pooling_where_that_is_exact(size: int, side: int) -> None:
    chips = _chips(size, count=1, dates=1, bands=1)
    got, _ = resample(chips, _valid(chips), side)
    # pooling over windows that are whole pixels: exact only after each pixel is repeated `side` times
    row = np.repeat(chips[0, 0, 0].astype(float), side, axis=0).reshape(side, size, size).mean(axis=1)
    both = np.repeat(row, side, axis=1).reshape(side, side, size).mean(axis=2)
    np.testing.assert_allclose(got[0, 0, 0], both, rtol=1.2e-7 * (size / side + 4))


def test_enlarging_is_bilinear_among_valid_pixels() -> None:
    chip = np.array([[10.0, 30.0], [np.nan, 70.0]], dtype=np.float32).reshape(1, 1, 1, 2, 2)
    got, mask = resample(chip, ~np.isnan(chip[:, :, 0]), 4)
    # centres at 0.25, 0.75, 1.25, 1.75 of the input: weights (1, 0), (.75, .25), (.25, .75), (0, 1)
    first = [10, 15, 25, 30]
    second = [
        10,
        (0.5625 * 10 + 0.1875 * 30 + 0.0625 * 70) / 0.8125,
        (0.1875 * 10 + 0.5625 * 30 + 0.1875 * 70) / 0.9375,
        0.75 * 30 + 0.25 * 70,
    ]
    third = [
        np.nan,
        (0.1875 * 10 + 0.0625 * 30 + 0.1875 * 70) / 0.4375,
        (0.0625 * 10 + 0.1875 * 30 + 0.5625 * 70) / 0.8125,
        60,
    ]
    third[1] = np.nan  # 0.4375 of its weight is valid, less than a half
    np.testing.assert_allclose(got[0, 0, 0, :3], [first, second, third], rtol=1e-6)
    np.testing.assert_array_equal(mask[0, 0], ~np.isnan(got[0, 0, 0]))
    assert got[0, 0, 0, 3, 3] == 70
    assert mask[0, 0].tolist()[3] == [False, False, True, True]


def test_an_output_pixel_is_valid_at_exactly_the_least_share() -> None:
    chip = np.ones((1, 1, 1, 6, 6), dtype=np.float32)
    valid = _valid(chip)
    valid[..., ::2] = False
    assert resample(chip, valid, 3, least=0.5)[1].all()
    assert not resample(chip, valid, 3, least=0.5001)[1].any()
    assert resample(chip, _valid(chip), 4, least=1.0)[1].all()
    valid[...] = False
    nothing, mask = resample(np.full_like(chip, np.nan), valid, 3, least=1e-6)
    assert np.isnan(nothing).all()
    assert not mask.any()


def test_the_same_side_gives_the_same_chips() -> None:
    chips = _chips(5)
    got, mask = resample(chips, _valid(chips), 5)
    np.testing.assert_array_equal(got, chips)
    assert mask.all()


def test_the_stated_error_holds_for_long_sums() -> None:
    chips = _chips(1000, count=1, dates=1, bands=1)
    got, _ = resample(chips, _valid(chips), 7)
    edges = np.linspace(0, 1000, 8)
    weights = np.clip(
        np.minimum(edges[1:, None], np.arange(1, 1001)) - np.maximum(edges[:-1, None], np.arange(1000)),
        0,
        None,
    ) * (7 / 1000)
    exact = weights @ chips[0, 0, 0].astype(float) @ weights.T
    assert np.abs(got[0, 0, 0] - exact).max() < 1.2e-7 * (1000 / 7 + 4) * 4000


def test_classes_are_picked_and_never_made() -> None:
    classes = np.random.default_rng(2).choice([1.0, 4.0, 9.0], (1, 1, 2, 7, 7)).astype("float32")
    valid = _valid(classes)
    valid[0, 0, 3, 3] = False
    for side in (1, 3, 7, 16):
        got, mask = resample_classes(classes, valid, side)
        for row in range(side):
            for column in range(side):
                under = int((row + 0.5) * 7 / side), int((column + 0.5) * 7 / side)
                np.testing.assert_array_equal(got[0, 0, :, row, column], classes[0, 0, :, under[0], under[1]])
                assert mask[0, 0, row, column] == (under != (3, 3))


def test_filters_have_names() -> None:
    assert [filter_name(8, side) for side in (4, 8, 9)] == ["area", "none", "bilinear"]


class _Fixed:
    """A source that hands out one batch."""

    def __init__(self, batch: ChipBatch) -> None:
        self.batch = batch

    @contextmanager
    def reading(self):
        yield lambda rows: self.batch

    def reading_order(self):
        return np.arange(len(self.batch))

    def places(self):
        return {"longitude": np.zeros(len(self.batch))}

    def label(self):
        return "fixed"

    def recipe(self):
        return {"source": "fixed"}


def _batch() -> ChipBatch:
    pixels = {"big": _chips(8, count=3, dates=1), "small": _chips(4, count=3, dates=1)}
    mask = {block: _valid(chips) for block, chips in pixels.items()}
    mask["big"][0, 0, :, 5:] = False
    mask["big"][1:] = False
    pixels["big"] = np.where(mask["big"][:, :, None], pixels["big"], np.float32(np.nan))
    status = {"big": np.array(["partial", "nodata", "outside"]), "small": np.array(["ok"] * 3)}
    share = {"big": np.array([0.625, 0.0, 0.0]), "small": np.ones(3)}
    return ChipBatch(np.arange(3), pixels, mask, status, share)


def test_a_source_brings_its_blocks_and_judges_them_again() -> None:
    batch = _batch()
    source = ChangedSource(_Fixed(batch), Resampling({"big": 8, "small": 4}, {"big": 4}, least=0.5))
    with source.reading() as read:
        got = read(np.arange(3))
    assert got.pixels["big"].shape == (3, 1, 3, 4, 4)
    # of eight columns five are valid; each output column covers two: 1, 1, half, none
    assert got.valid_fraction["big"].tolist() == [0.75, 0.0, 0.0]
    assert got.status["big"].tolist() == ["partial", "nodata", "outside"]
    assert got.pixels["small"] is batch.pixels["small"]
    assert source.change.stretch("big") == 2.0
    assert source.change.stretch("small") == 1.0
    assert source.recipe() == {
        "source": "fixed",
        "resampled": {"blocks": {"big": {"from_px": 8, "to_px": 4, "filter": "area"}}, "least": 0.5},
    }
    assert (source.label(), source.reading_order().tolist(), list(source.places())) == (
        "fixed", [0, 1, 2], ["longitude"],
    )  # fmt: skip


def test_a_source_of_classes_picks_them() -> None:
    source = ChangedSource(
        _Fixed(_batch()), Resampling({"big": 8, "small": 4}, {"small": 2}, categorical=True)
    )
    with source.reading() as read:
        got = read(np.arange(3))
    np.testing.assert_array_equal(got.pixels["small"], _batch().pixels["small"][..., 1::2, 1::2])
    assert source.recipe()["resampled"]["blocks"]["small"]["filter"] == "nearest"


def test_chips_of_rasters_are_brought(tmp_path: Path) -> None:
    cut = ec.chips(units_on([(30, 40), (30, 0)]), write_scene(tmp_path / "a.tif", numbered()), size_px=8)
    source = ChangedSource(cut.source, Resampling({"8px": 8}, {"8px": 2}))
    with source.reading() as read:
        got = read(np.arange(2))
    # rows 26 to 33 and columns 36 to 43 of 10000 band + 100 row + column, in blocks of four
    expected = 10_000 + 100 * np.array([[27.5], [31.5]]) + np.array([37.5, 41.5])
    np.testing.assert_allclose(got.pixels["8px"][0, 0, 0], expected, rtol=1e-6)
    assert got.status["8px"].tolist() == ["ok", "partial"]
    assert got.valid_fraction["8px"].tolist() == [1.0, 0.5]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"side": 0}, r"side=0[\s\S]*at least 1"),
        ({"side": 2.5}, r"side=2.5[\s\S]*whole number"),
        ({"least": 0}, r"least=0 is not a share[\s\S]*above 0 and at most 1"),
        ({"least": 1.2}, r"least=1.2"),
        ({"least": True}, r"least=True"),
        ({"pixels": np.ones((1, 1, 2, 4, 5), "float32")}, r"\(1, 1, 2, 4, 5\)[\s\S]*square"),
        ({"pixels": np.ones((2, 4, 4), "float32")}, r"\(2, 4, 4\)[\s\S]*\(n, dates, bands, size, size\)"),
        (
            {"mask": np.ones((1, 1, 5, 5), bool)},
            r"shape \(1, 1, 5, 5\)[\s\S]*bool of the shape \(1, 1, 4, 4\)",
        ),
        ({"mask": np.ones((1, 1, 4, 4))}, r"mask is float64"),
        ({"pixels": np.full((1, 1, 2, 4, 4), np.nan, "float32")}, r"NaN or infinite[\s\S]*mask = mask &"),
    ],
)
def test_what_cannot_be_resampled_is_refused(change, words) -> None:
    given = {
        "pixels": np.ones((1, 1, 2, 4, 4), "float32"),
        "mask": np.ones((1, 1, 4, 4), bool),
        "side": 2,
        **change,
    }
    with pytest.raises(ImageryError, match=words):
        resample(given["pixels"], given["mask"], given["side"], least=given.get("least", 0.5))


def test_a_source_refuses_blocks_and_sides_that_do_not_fit() -> None:
    with pytest.raises(ImageryError, match=r"blocks that there are not[\s\S]*1 \(huge\)[\s\S]*big, small"):
        ChangedSource(_Fixed(_batch()), Resampling({"big": 8, "small": 4}, {"huge": 2}))
    with pytest.raises(ImageryError, match="side=0"):
        ChangedSource(_Fixed(_batch()), Resampling({"big": 8}, {"big": 0}))
    with (
        pytest.raises(ImageryError, match="have 8 pixels a side, not 9 as told"),
        ChangedSource(_Fixed(_batch()), Resampling({"big": 9, "small": 4}, {"big": 4})).reading() as read,
    ):
        read(np.arange(3))
