"""Pairs on one number, against the general assignment problem."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from eocausal.errors import SensitivityError
from eocausal.sensitivities import pairs as module
from eocausal.sensitivities.pairs import nearest_pairs

FAR = 1e4


def draw(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 24))
    treated = rng.permutation(np.arange(n) < rng.integers(1, n))
    score = rng.normal(size=n) + 0.7 * treated
    score = score.round(1) if seed % 3 == 0 else score
    return score, treated, np.arange(n).astype(object)


@pytest.mark.parametrize("caliper", [None, 0.31, 0.05])
def test_pairs_are_as_many_and_as_near_as_can_be(caliper: float | None) -> None:
    for seed in range(60):
        score, treated, ids = draw(seed)
        found = nearest_pairs(score, treated, caliper=caliper, ids=ids)
        distance = np.abs(score[treated][:, None] - score[~treated])
        cost = distance if caliper is None else np.where(distance <= caliper, distance, FAR)
        rows, columns = linear_sum_assignment(cost)
        possible = cost[rows, columns] < FAR
        assert len(found) == possible.sum()
        gaps = np.abs(score[found[:, 0]] - score[found[:, 1]])
        assert gaps.sum() == pytest.approx(cost[rows, columns][possible].sum(), abs=1e-9)
        assert caliper is None or (gaps <= caliper).all()
        assert np.unique(found).size == found.size
        assert treated[found[:, 0]].all()
        assert not treated[found[:, 1]].any()


def test_chunks_and_the_order_of_rows_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    score, treated = rng.normal(size=90).round(1), rng.random(90) < 0.4
    ids = np.array([f"v{k}" for k in range(90)], dtype=object)
    whole = nearest_pairs(score, treated, caliper=0.3, ids=ids)
    monkeypatch.setattr(module, "CHUNK", 7)
    assert np.array_equal(nearest_pairs(score, treated, caliper=0.3, ids=ids), whole)
    order = rng.permutation(90)
    moved = nearest_pairs(score[order], treated[order], caliper=0.3, ids=ids[order])
    assert set(map(tuple, order[moved].tolist())) == set(map(tuple, whole.tolist()))


def test_too_many_comparisons_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    score, treated, ids = draw(1)
    monkeypatch.setattr(module, "LARGEST", 1)
    with pytest.raises(SensitivityError, match="too many to pair"):
        nearest_pairs(score, treated, caliper=None, ids=ids)
