"""Nearest images by encoder, how far encoders agree, and the sheet that shows them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.errors import EmbeddingsError


def _table(values, keys=None):
    values = np.asarray(values, dtype=float)
    frame = pd.DataFrame(values, columns=[f"f{i}" for i in range(values.shape[1])])
    return ec.read_embeddings(
        frame.assign(village=range(len(values)) if keys is None else keys), key="village"
    )


def test_nearest_are_those_of_all_distances_by_hand():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(40, 5)) * [1, 10, 0.1, 3, 1]
    found = ec.neighbours({"one": _table(values)}, n=4)
    z = (values - values.mean(0)) / values.std(0)
    distance = np.linalg.norm(z[:, None] - z[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    np.testing.assert_array_equal(found.nearest["one"], np.argsort(distance, axis=1)[:, :4])


def test_the_scale_of_columns_and_a_constant_one_do_not_matter():
    values = np.random.default_rng(1).normal(size=(30, 3))
    other = np.column_stack([values * [5, 0.1, 100] + 7, np.ones(30)])
    found = ec.neighbours({"one": _table(values), "other": _table(other)}, n=3)
    np.testing.assert_array_equal(found.nearest["one"], found.nearest["other"])
    assert found.agreement.to_numpy().tolist() == [[1, 1], [1, 1]]


def test_images_just_like_another_are_never_their_own_neighbour():
    values = np.repeat([[0.0], [1.0]], 6, axis=0)
    found = ec.neighbours({"one": _table(values)}, n=3).nearest["one"]
    for key, nearest in enumerate(found.tolist()):
        assert key not in nearest
        assert len(set(nearest)) == 3
        assert {near // 6 for near in nearest} == {key // 6}


def test_agreement_is_the_share_in_common_and_near_chance_for_noise():
    rng = np.random.default_rng(2)
    one, other = rng.normal(size=(2, 200, 4))
    found = ec.neighbours({"one": _table(one), "other": _table(other)}, n=10)
    shares = [len(set(a) & set(b)) / 10 for a, b in zip(*found.nearest.values())]
    assert found.agreement.loc["one", "other"] == pytest.approx(np.mean(shares))
    assert found.by_chance == pytest.approx(10 / 199)
    assert found.agreement.loc["one", "other"] == pytest.approx(found.by_chance, abs=0.02)


def test_only_images_with_features_in_all_tables_are_compared():
    values = np.random.default_rng(3).normal(size=(6, 2))
    lacking = values.copy()
    lacking[2] = np.nan
    other = _table(values[::-1], keys=[5, 4, 3, 2, 1, 9])
    found = ec.neighbours({"one": _table(lacking), "other": other}, n=2)
    assert found.keys.tolist() == [1, 3, 4, 5]
    assert set(found.nearest["other"].ravel()) <= {1, 3, 4, 5}


@pytest.mark.parametrize(("features", "n", "words"), [
    ({}, 2, "no table of features"),
    ({"one": 5}, 5, "5 images have features in all 1 tables"),
    ({"one": 5}, 0, "n=0"),
])  # fmt: skip
def test_what_cannot_be_compared(features, n, words):
    tables = {
        name: _table(np.random.default_rng(0).normal(size=(rows, 2))) for name, rows in features.items()
    }
    with pytest.raises(EmbeddingsError, match=words):
        ec.neighbours(tables, n=n)


class _Shades:
    """Pictures of one shade each: that of the key."""

    def __init__(self):
        self.asked = []

    def thumbnails(self, keys):
        self.asked.append(list(keys))
        return np.stack([np.full((4, 4, 3), 10 * key, np.uint8) for key in keys])


def test_the_sheet_shows_each_image_before_its_nearest():
    values = np.arange(6.0)[:, None]
    found = ec.neighbours({"one": _table(values), "two": _table(values)}, n=3)
    chips = _Shades()
    figure = found.plot(chips, [0, 4], shown=2)
    rows = [
        [int(ax.images[0].get_array()[0, 0, 0]) // 10 for ax in figure.axes[i : i + 3]] for i in (0, 3, 6)
    ]
    assert rows[0] == [0, 1, 2]
    assert rows[1] == [0, 1, 2]
    assert rows[2][0] == 4
    assert set(rows[2][1:]) == {3, 5}
    assert [figure.axes[i].get_ylabel() for i in (0, 3, 6, 9)] == ["one", "two", "one", "two"]
    assert len(chips.asked) == 1  # one stretch for all
    with pytest.raises(EmbeddingsError, match="no features in every table"):
        found.plot(chips, [77])
