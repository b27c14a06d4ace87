"""What the report says and shows of outcomes that were predicted from images."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.reporting.blocks import Figure, Heading, Table, Text
from eocausal.reporting.sections import build_section
from eocausal.reporting.study import ACCEPTED, ON_EFFECTS, ON_OUTCOMES, read_items
from eocausal.reporting.told_items import OUTCOME_ITEMS, TOLD_ITEMS


@pytest.fixture(scope="module")
def results() -> dict[str, object]:
    made = ec.simulate_map(kind="gaussian", seed=2)
    places, trial = made.calibration, made.trial
    groups = (places["truth"] > places["truth"].median()).astype(int).to_numpy()
    diagnosis = ec.diagnose(
        places["prediction"], places["truth"], groups=pd.Series(groups, index=places.index)
    )
    design = ec.Design(trial, outcome="prediction", treatment="treatment")
    fix = ec.debias(places, prediction="prediction", truth="truth", method="tweedie")
    some = np.random.default_rng(0).random(len(trial)) < 0.3
    labelled = trial.assign(measured=trial["outcome"].where(some))
    measured = ec.Design(labelled, outcome="prediction", treatment="treatment")
    return {
        "Diagnosis": diagnosis,
        "Corrected": ec.ate(design, method="difference", correct=fix),
        "Ppi": ec.ppi(measured, prediction="prediction", truth="measured"),
    }


def test_every_kind_is_sorted_told_and_named() -> None:
    assert tuple(OUTCOME_ITEMS) == tuple(ON_OUTCOMES)
    assert set(ON_OUTCOMES) < set(ACCEPTED)
    assert set(TOLD_ITEMS) == {*ON_OUTCOMES, *ON_EFFECTS}


@pytest.mark.parametrize("kind", ["Diagnosis", "Corrected", "Ppi"])
def test_each_has_heading_sentence_figure_and_table(results: dict[str, object], kind: str) -> None:
    section = build_section("predicted", read_items([results[kind]], title=None, question=None, truth=None))
    assert section is not None
    heading, text, *shown = section.blocks
    assert isinstance(heading, Heading)
    assert heading.text == OUTCOME_ITEMS[kind].heading
    assert isinstance(text, Text)
    assert "95% interval" in text.text
    assert any(isinstance(one, Figure) and text.text in one.alt for one in shown)
    tables = [one for one in shown if isinstance(one, Table)]
    assert tables
    for table in tables:
        assert {len(row) for row in table.rows} == {len(table.columns)} == {len(table.numeric)}
        assert "nan" not in " ".join(cell for row in table.rows for cell in row)


def test_corrected_effects_are_told_with_the_numbers_of_the_result(results: dict[str, object]) -> None:
    found = results["Corrected"]
    told = OUTCOME_ITEMS["Corrected"].sentence(found)
    naive, _, tweedie = found.estimate
    shown = [float(one.replace("−", "-")) for one in re.findall(r"is (−?[\d.]+) \(95%", told)]
    assert shown == pytest.approx([naive, tweedie], abs=0.006)
    low, high = found.bounds()
    assert f"{low:.3f} to {high:.3f}" in told or f"{low:.2f} to {high:.2f}" in told
    assert "Believed is Tweedie's correction" in told
    assert "so that the outcome rises in either case" in told


@pytest.fixture(scope="module")
def in_panel() -> object:
    frame = ec.simulate_panel(n_regions=12, units_per_region=4, seed=1).frame
    rng = np.random.default_rng(0)
    rounds = pd.DataFrame({"village": np.repeat(np.arange(60), 3), "year": np.tile([2000, 2001, 2002], 60)})
    rounds["truth"] = rng.normal(size=180)
    rounds["map"] = 0.5 * rounds["truth"] + 0.2 * rng.normal(size=180)
    fix = ec.debias(rounds, prediction="map", truth="truth", unit="village", period="year")
    columns = {"outcome": "outcome", "treatment": "treated", "unit": "unit", "period": "period"}
    return ec.panel(ec.PanelDesign(frame, **columns), method="event_study", correct=fix)


def test_of_an_event_study_an_effect_is_told_and_not_what_was_before(in_panel: object) -> None:
    assert in_panel.of[0] == "event -3"
    told = OUTCOME_ITEMS["Corrected"].sentence(in_panel)
    assert "the one of 'event 0' is" in told
    value = in_panel.fit.values[in_panel.fit.terms.index("naive: event 0")]
    assert f"is {value:.2f} (95% interval" in told


def test_notes_tell_of_what_is_shown_alone(in_panel: object, results: dict[str, object]) -> None:
    figure, table = OUTCOME_ITEMS["Corrected"].shown(in_panel, "")
    assert "shaded" not in figure.how_to_read
    assert "tweedie" not in table.note
    assert "as they do to other changes" in table.note
    figure, table = OUTCOME_ITEMS["Corrected"].shown(results["Corrected"], "")
    assert "shaded" in figure.how_to_read
    assert "tweedie" in table.note


def test_the_page_leads_with_them_and_files_their_warnings(
    results: dict[str, object], tmp_path: Path
) -> None:
    page = ec.report(list(results.values()), tmp_path / "map.html").read_text(encoding="utf-8")
    headings = re.findall(r"<h3>(.*?)</h3>", page)
    places = [headings.index(OUTCOME_ITEMS[kind].heading) for kind in results]
    assert places == sorted(places)
    assert "The verdict: " in page[: page.index('<section id="predicted">')]
    notes = page[page.index('<section id="warnings">') : page.index('<section id="provenance">')]
    assert ON_OUTCOMES["Corrected"] in notes
