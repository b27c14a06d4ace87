"""What the report refuses, and the words that tell a user why."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.errors import ReportError
from tests.report_items import estimate, rate


@pytest.fixture
def units():
    table = pd.DataFrame({"id": ["a", "b"], "lon": [32.0, 33.0], "lat": [1.0, 2.0]})
    return ec.read_units(table, id="id", lon="lon", lat="lat")


@pytest.mark.parametrize(
    ("items", "words"),
    [
        (
            [],
            r"nothing to report(?s:.*)Units, Chips, Design, Balance, Overlap, Assignment, Sweep, Estimate, "
            r"Sensitivity, Cate, Rate",
        ),
        (estimate(1, 0.1), r"got a Estimate, not a list(?s:.*)ec\.report\(\[result\], path\)"),
        ("estimates", r"got a str, not a list"),
        (None, r"got a NoneType, not a list"),
        (
            [estimate(1, 0.1), {"estimate": 1}, 3.0],
            r"cannot show(?s:.*)2 \(dict, float\)(?s:.*)Give only: Units",
        ),
        ([pd.DataFrame()], r"cannot show(?s:.*)1 \(DataFrame\)"),
        ([None, rate(1, 0.1)], r"cannot show(?s:.*)NoneType"),
    ],
)
def test_what_is_no_list_of_results(items, words, tmp_path):
    with pytest.raises(ReportError, match=words):
        ec.report(items, tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []


def test_two_of_a_kind(units, tmp_path):
    with pytest.raises(
        ReportError, match=r"more than one(?s:.*)2 Units(?s:.*)Estimate, Rate(?s:.*)one report for each"
    ):
        ec.report([units, units, estimate(1, 0.1), estimate(1, 0.1)], tmp_path / "report.html")


@pytest.mark.parametrize("truth", ["0.5", np.nan, np.inf, True, [0.5]])
def test_a_truth_that_is_no_number(truth, tmp_path):
    with pytest.raises(ReportError, match=r"truth=(?s:.*)not a number(?s:.*)truth=0\.5"):
        ec.report([estimate(1, 0.1)], tmp_path / "report.html", truth=truth)


@pytest.mark.parametrize("name", ["title", "question"])
def test_texts_that_are_no_text(name, tmp_path):
    with pytest.raises(ReportError, match=rf"{name}=7 is not text"):
        ec.report([estimate(1, 0.1)], tmp_path / "report.html", **{name: 7})


def test_a_path_that_is_a_folder(tmp_path):
    (tmp_path / "out.html").mkdir()
    with pytest.raises(ReportError, match=r"'out\.html' is a folder(?s:.*)name a file in it"):
        ec.report([estimate(1, 0.1)], tmp_path / "out.html")


def test_a_path_below_a_file(tmp_path):
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(ReportError, match=r"'notes' is a file, not a folder"):
        ec.report([estimate(1, 0.1)], tmp_path / "notes" / "report.html")
    assert (tmp_path / "notes").read_text() == "mine"


@pytest.mark.parametrize("name", ["report", "report.pdf", "report.html.txt"])
def test_a_path_that_no_browser_would_open(name, tmp_path):
    with pytest.raises(ReportError, match=r"does not end in \.html(?s:.*)web page"):
        ec.report([estimate(1, 0.1)], tmp_path / name)


def test_a_path_that_is_none():
    with pytest.raises(ReportError, match=r"path=None is not a path"):
        ec.report([estimate(1, 0.1)], None)


def test_a_file_that_may_not_be_replaced(tmp_path):
    path = tmp_path / "report.html"
    path.write_text("mine")
    with pytest.raises(ReportError, match=r"'report\.html' is there already(?s:.*)overwrite=True"):
        ec.report([estimate(1, 0.1)], path, overwrite=False)
    assert path.read_text() == "mine"
    ec.report([estimate(1, 0.1)], path)
    assert path.read_text() != "mine"


def test_results_of_units_that_are_not_in_the_table(units, tmp_path):
    table = pd.DataFrame({"grant": [0, 1] * 3, "income": [1.0, 2, 4, 3, 6, 5]}, index=list("abcxyz"))
    design = ec.Design(table, outcome="income", treatment="grant")
    with pytest.raises(
        ReportError, match=r"not in the table of units(?s:.*)4 \(c, x, y, z\)(?s:.*)the Units that the Design"
    ):
        ec.report([units, design], tmp_path / "report.html")


def test_chips_of_another_study(units, tmp_path):
    others = ec.read_units(pd.DataFrame({"id": ["v1", "v2"]}), id="id", image_key="id")
    chips = ec.chips_from_arrays(others, np.zeros((2, 8, 8, 3), dtype="uint8"))
    with pytest.raises(
        ReportError, match=r"no image key in common(?s:.*)a, b, v1, v2(?s:.*)chips of the same units"
    ):
        ec.report([units, chips], tmp_path / "report.html")


def test_numbers_that_could_not_be_estimated_are_dashes_and_not_nan(tmp_path):
    path = ec.report([replace(estimate(1, 0.1), values=np.array([np.nan]))], tmp_path / "report.html")
    page = path.read_text(encoding="utf-8")
    assert '<td class="num">–</td>' in page
    assert "No interval could be computed, so nothing can be said." in page
    assert "includes zero" not in page
    assert not re.search(r">[^<]*\bnan\b", page)
