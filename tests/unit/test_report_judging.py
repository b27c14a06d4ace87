"""What the report shows of calibration and of groups by predicted effect."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import eocausal as ec
from eocausal.reporting.blocks import Figure, Table, Text
from eocausal.reporting.sections import build_section
from eocausal.reporting.study import read_items
from tests.judged import drawn_cate


def _blocks(*items: object) -> list[object]:
    section = build_section("heterogeneity", read_items(items, title=None, question=None, truth=None))
    assert section is not None
    return list(section.blocks)


@pytest.fixture(scope="module")
def cate() -> ec.Cate:
    return drawn_cate(11, n=400)


def test_calibration_is_told_in_words_and_numbers(cate: ec.Cate) -> None:
    found = ec.calibration(cate)
    blocks = _blocks(found)
    (table,) = [one for one in blocks if isinstance(one, Table)]
    assert [row[0] for row in table.rows] == ["mean effect", "differences in effects"]
    assert [row[4] for row in table.rows] == ["is 1", "is 0 or less"]
    (told,) = [one.text for one in blocks if isinstance(one, Text)]
    assert "by about as much as predicted" in told


@pytest.mark.parametrize(
    ("shrunk", "words"), [(0.3, "by more than predicted"), (3.0, "by less than predicted")]
)
def test_the_sentence_follows_the_slope(shrunk: float, words: str) -> None:
    blocks = _blocks(ec.calibration(drawn_cate(12, n=600, shrunk=shrunk)))
    assert words in next(one.text for one in blocks if isinstance(one, Text))


def test_no_evidence_of_differences_is_not_evidence_of_none() -> None:
    blocks = _blocks(ec.calibration(drawn_cate(13, n=300, shrunk=-1.0)))
    assert "no evidence that effects are all alike" in next(
        one.text for one in blocks if isinstance(one, Text)
    )


def test_groups_are_drawn_and_tabled(cate: ec.Cate) -> None:
    found = ec.groups(cate, k=3)
    blocks = _blocks(found)
    (table,) = [one for one in blocks if isinstance(one, Table)]
    assert [row[0] for row in table.rows] == list(found.terms[:3])
    (figure,) = [one for one in blocks if isinstance(one, Figure)]
    assert figure.source.startswith("data:image/svg+xml")
    assert f"{found.estimate[-1]:.1f}"[:2] in figure.alt


def test_a_report_takes_both_with_their_warnings(cate: ec.Cate, tmp_path: Path) -> None:
    items = [cate, ec.calibration(cate), ec.groups(cate, effects="out_of_fold")]
    page = ec.report(items, tmp_path / "who.html").read_text(encoding="utf-8")
    assert "Are predicted effects of the right size?" in page
    assert "How much do those gain who are predicted to gain most?" in page
    assert "reject a true null too" in page
    assert np.all([name in page for name in ("Test of calibration", "Groups by predicted effect")])


def test_groups_of_one_predicted_effect_are_told_as_alike(cate: ec.Cate) -> None:
    same = np.where(cate.folds > 0, 0.3, np.nan)
    (told,) = [
        one.text for one in _blocks(ec.groups(replace(cate, sequential_values=same))) if isinstance(one, Text)
    ]
    assert "have the same average effect" in told
    assert "p 1.000" not in told
