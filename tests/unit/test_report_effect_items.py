"""What the report says and shows of every result on effects by unit."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.reporting.blocks import Figure, Heading, Table, Text
from eocausal.reporting.frames import frame_table, heading_of
from eocausal.reporting.phrases import from_zero, with_interval
from eocausal.reporting.plots import plot_svg
from eocausal.reporting.sections import build_section
from eocausal.reporting.study import ACCEPTED, ON_EFFECTS, read_items
from eocausal.reporting.told_items import EFFECT_ITEMS
from tests.judged import drawn_cate
from tests.report_items import effect_results, image_types
from tests.scale_studies import trial

NEW = (
    "SourceComparison",
    "ScaleSearch",
    "EffectLosses",
    "PolicyValue",
    "MultiArmQini",
    "ImageTypes",
    "Transport",
)


@pytest.fixture(scope="module")
def results() -> dict[str, object]:
    return effect_results()


def _blocks(*items: object) -> list[object]:
    section = build_section("heterogeneity", read_items(items, title=None, question=None, truth=None))
    assert section is not None
    return list(section.blocks)


def test_every_kind_is_sorted_told_and_named() -> None:
    assert tuple(EFFECT_ITEMS) == tuple(ON_EFFECTS)
    assert set(ON_EFFECTS) < set(ACCEPTED)


@pytest.mark.parametrize("kind", NEW)
def test_each_has_heading_sentence_figure_and_table(results: dict[str, object], kind: str) -> None:
    heading, text, *shown = _blocks(results[kind])
    assert isinstance(heading, Heading)
    assert heading.text == EFFECT_ITEMS[kind].heading
    assert isinstance(text, Text)
    assert "95% interval" in text.text
    figures = [one for one in shown if isinstance(one, Figure)]
    assert figures
    assert all(text.text in one.alt and one.source.startswith("data:image/") for one in figures)
    tables = [one for one in shown if isinstance(one, Table)]
    assert tables
    for table in tables:
        assert {len(row) for row in table.rows} == {len(table.columns)} == {len(table.numeric)}
        assert "nan" not in " ".join(cell for row in table.rows for cell in row)


def test_one_page_holds_them_all_with_their_warnings(results: dict[str, object], tmp_path: Path) -> None:
    page = ec.report(list(results.values()), tmp_path / "all.html").read_text(encoding="utf-8")
    headings = re.findall(r"<h3>(.*?)</h3>", page)
    places = [headings.index(item.heading) for item in EFFECT_ITEMS.values()]
    assert places == sorted(places)
    notes = page[page.index('<section id="warnings">') : page.index('<section id="provenance">')]
    assert all(ON_EFFECTS[kind] in notes for kind in NEW)
    assert "the control arm joins scales with copies" in notes.casefold()


def test_the_summary_tells_what_was_found_where_nothing_else_leads(results: dict[str, object]) -> None:
    found = results["MultiArmQini"]
    section = build_section("summary", read_items([found], title=None, question=None, truth=None))
    assert section is not None
    lead, *_ = section.blocks
    assert lead.text == EFFECT_ITEMS["MultiArmQini"].sentence(found)


def test_two_of_one_kind_are_refused(results: dict[str, object]) -> None:
    with pytest.raises(ec.errors.ReportError, match=r"more than one of a kind[\s\S]*2 PolicyValue"):
        read_items([results["PolicyValue"]] * 2, title=None, question=None, truth=None)


def test_a_comparison_speaks_of_all_looks(results: dict[str, object]) -> None:
    found = results["SourceComparison"]
    told = EFFECT_ITEMS["SourceComparison"].sentence(found)
    rows = found.rate.simultaneous(targets=["AUTOC"]).set_index("term").loc[found.best.source]
    assert f"{rows['conf_low']:.2f} to {rows['conf_high']:.2f}" in told
    assert "allowance for 2 looks, ranking by it is better than a lottery" in told
    assert ("cannot be told from “s0”" in told) == (found.best.not_separated == ("s0",))


def test_sources_that_say_nothing_are_called_that() -> None:
    design, sources = trial(n=240, scales=2, strength=0.0, seed=5)
    found = ec.compare_features(design, sources, learner="linear", folds=ec.Folds(k=3))
    assert found.best.p_adjusted > 0.05
    assert "do not show that ranking by it is better" in EFFECT_ITEMS["SourceComparison"].sentence(found)


def test_a_search_tells_the_gain_that_was_chosen_beforehand_first(results: dict[str, object]) -> None:
    found = results["ScaleSearch"]
    told = EFFECT_ITEMS["ScaleSearch"].sentence(found)
    first = re.search(r"gain (−?[\d.]+) \(95%", told)
    assert first is not None
    assert float(first[1]) == pytest.approx(found.gain.values[0], abs=0.05)
    low, high = np.atleast_2d(found.gain.ci())[0]
    assert ("do not show that two sizes of picture rank better than one" in told) == (low <= 0 <= high)
    assert f"{found.searched} looks" in told


def test_the_value_of_a_policy_is_told_with_the_band_of_the_curve(results: dict[str, object]) -> None:
    found = results["PolicyValue"]
    table = found.table()
    best = table[table["against"] == "nobody"].sort_values("estimate").iloc[-1]
    told = EFFECT_ITEMS["PolicyValue"].sentence(found)
    assert f"{100 * best['share']:.0f}% predicted to gain most" in told
    assert f"{best['band_low']:.2f} to {best['band_high']:.2f}" in told
    assert "with 0.2 paid for each" in told


def test_a_policy_of_one_share_says_nothing_of_a_lottery() -> None:
    told = EFFECT_ITEMS["PolicyValue"].sentence(ec.policy_value(drawn_cate(3, n=300), shares=[1.0]))
    assert "treating everybody is worth most" in told
    assert "lottery" not in told


def test_losses_allow_for_how_many_models_there_are() -> None:
    cate = drawn_cate(5, n=400)
    worse = replace(cate, effect_values=-cate.effect_values, sequential_values=-cate.sequential_values)
    one = EFFECT_ITEMS["EffectLosses"].sentence(ec.effect_losses({"right": cate}))
    both = EFFECT_ITEMS["EffectLosses"].sentence(ec.effect_losses({"wrong": worse, "right": cate}))
    assert one.startswith("“right” comes nearest")
    assert both.startswith("“right” comes nearest")
    assert "for all 2 models at once" in both
    assert _width(both) > _width(one)


def _width(told: str) -> float:
    low, high = re.search(r"(−?[\d.]+) to (−?[\d.]+)\)", told).groups()
    return float(high.replace("−", "-")) - float(low.replace("−", "-"))


@pytest.mark.parametrize("draw", range(3))
def test_types_are_told_apart_as_far_as_the_interval_goes(draw: int) -> None:
    found = image_types(gain=0.0, draw=draw)
    low, high = found.difference().ci()
    verdict = (
        "do not show that places of different types" if low <= 0 <= high else "differ the other way round"
    )
    assert verdict in EFFECT_ITEMS["ImageTypes"].sentence(found)


def test_one_type_is_told_as_one_and_how_many_were_tried_is_shown() -> None:
    alone = image_types(gain=0.0, k=1)
    assert "The images are of one type; the average effect is" in EFFECT_ITEMS["ImageTypes"].sentence(alone)
    tables = [one for one in _blocks(image_types(k="auto")) if isinstance(one, Table)]
    assert [one.caption for one in tables] == ["Effects by type of image", "How many types"]
    assert [row[-1] for row in tables[1].rows].count("yes") == 1


def test_a_target_is_compared_with_the_study(results: dict[str, object]) -> None:
    found = results["Transport"]
    told = EFFECT_ITEMS["Transport"].sentence(found)
    assert f"{found.estimate:.2f}" in told
    assert "It is more than that of the study" in told
    assert f"{100 * found.diagnostics['share_outside']:.1f}% of the target" in told
    assert len([one for one in _blocks(found) if isinstance(one, Figure)]) == 2


def test_deals_of_the_units_follow_the_ranking(results: dict[str, object]) -> None:
    rate = results["Rate"]
    blocks = _blocks(rate)
    told = next(one.text for one in blocks if isinstance(one, Text) and "dealt anew" in one.text)
    ratio = rate.splits.query("estimand == 'AUTOC'")["ratio"]
    assert f"from {ratio.min():.2f} to {ratio.max():.2f}" in told
    assert told.endswith("the ranking finds those who gain more.")
    table = [one for one in blocks if isinstance(one, Table)][-1]
    assert [row[0] for row in table.rows] == ["0", "1", "2"]


def test_a_table_has_the_names_of_columns_and_bounds_in_one() -> None:
    frame = pd.DataFrame(
        {
            "source": ["a", "b"], "estimate": [0.123456, -1.0], "std_error": [0.1, 0.2], "conf_low": [-0.1, np.nan],
            "conf_high": [0.3, np.nan], "p_value": [0.0001, np.nan], "n": [1200, 3], "chosen": [True, False],
        }
    )  # fmt: skip
    table = frame_table(frame, "Found", leave=["chosen"])
    assert table.columns == ("Source", "Estimate", "Std. error", "95% interval", "p", "Units")
    assert table.rows == (
        ("a", "0.12", "0.10", "−0.10 to 0.30", "<0.001", "1,200"),
        ("b", "−1.00", "0.20", "", "", "3"),
    )
    assert table.numeric == (False, True, True, True, True, True)
    assert frame_table(frame, "Found").rows[0][-1] == "yes"


def test_a_long_table_says_that_it_was_cut() -> None:
    table = frame_table(pd.DataFrame({"row": range(50)}), "Long")
    assert len(table.rows) == 40
    assert "first 40 of 50 rows" in table.note


@pytest.mark.parametrize(
    ("name", "shown"),
    [("gain_conf", "Gain conf"), ("autoc_ratio", "AUTOC, ratio"), ("calibration_r2", "Calibration R²"),
     ("std_error_if_certain", "Std. error if certain"), ("smd_weighted", "SMD weighted")],
)  # fmt: skip
def test_names_of_columns_are_written_out(name: str, shown: str) -> None:
    assert heading_of(name) == shown


@pytest.mark.parametrize(("low", "high", "said"), [(0.1, 1, "up"), (-1, -0.1, "down"), (-1, 1, "open")])
def test_what_is_said_follows_the_interval(low: float, high: float, said: str) -> None:
    assert from_zero(low, high, above="up", below="down", neither="open") == said
    assert from_zero(np.nan, np.nan, above="up", below="down", neither="open") == "open"


def test_a_number_has_the_decimals_of_its_error() -> None:
    assert with_interval(1234.5, 210.0, 820.0, 1650.0) == "1,230 (95% interval 820 to 1,650)"


def test_long_names_of_rows_are_broken_and_numbers_are_left_alone() -> None:
    drawn = {}

    def draw(figure: object) -> None:
        ax = figure.subplots()
        ax.plot([0, 1], [0, 1])
        ax.set_yticks(
            [0, 1], labels=["a name of a source that is much too long to stand on one line", "short"]
        )
        ax.set_xlabel("words under an axis " * 6)
        drawn["ax"] = ax

    def number(figure: object) -> None:
        drawn["plain"] = figure.subplots()
        drawn["plain"].plot([0, 1], [0, 1])
        drawn["before"] = type(drawn["plain"].yaxis.get_major_locator())
        drawn["after"] = drawn["plain"].yaxis

    lines: list[list[str]] = []

    def kept(figure: object) -> None:
        draw(figure)
        figure.clear = lambda: lines.append([label.get_text() for label in drawn["ax"].get_yticklabels()])

    plot_svg(kept, height=3.0)
    assert [text.count("\n") for text in lines[0]] == [1, 0]
    assert max(len(line) for text in lines[0] for line in text.split("\n")) <= 28
    assert "\n" in drawn["ax"].get_xlabel()
    plot_svg(number, height=3.0)
    assert drawn["before"] is type(drawn["after"].get_major_locator())


def test_one_source_is_told_in_the_singular() -> None:
    design, sources = trial(n=240, scales=1)
    found = ec.compare_features(design, sources, learner="linear", folds=ec.Folds(k=3))
    told = EFFECT_ITEMS["SourceComparison"].sentence(found)
    assert told.startswith("Of 1 source, ")
    assert "allowance for 1 look," in told
    assert "at once" not in told
