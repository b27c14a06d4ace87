"""What the report shows of balance after weighting, of maps, of assignment and of sweeps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.errors import ReportError
from eocausal.reporting import diagnostic_tables as tables
from eocausal.reporting import words
from eocausal.reporting.blocks import Figure, Table
from eocausal.reporting.sections import build_section
from eocausal.reporting.study import read_items
from tests.studies import FAST, THREE, study


@pytest.fixture(scope="module")
def results() -> dict[str, object]:
    table = study(300, selected=True).reset_index()
    rng = np.random.default_rng(0)
    table["lon"], table["lat"] = 33 + rng.uniform(0, 2, 300), 1 + rng.uniform(0, 1.4, 300)
    units = ec.read_units(table, id="id", lon="lon", lat="lat")
    frame = pd.DataFrame({"id": table["id"], "f0": table["wealth"], "f1": rng.normal(size=300)})
    features = ec.read_embeddings(frame, key="id")
    asked = ec.Design(units, outcome="income", treatment="grant", covariates=["age"], features=features)
    weighs = ec.ate(asked, method="ipw", learners=FAST, folds=THREE)
    return {
        "design": asked,
        "estimate": weighs,
        "balance": ec.balance(asked, weights=weighs, learners=FAST),
        "overlap": ec.overlap(asked, learners=FAST, folds=THREE, trim=ec.Trim("fixed", low=0.3, high=0.7)),
        "assignment": ec.assignment(asked, learners=FAST, folds=THREE, replicates=50),
        "sweep": ec.sweep(asked, features={"one <b>": features}, learners=FAST, folds=THREE, method="ipw"),
    }


def _study(results: dict[str, object], *names: str):
    return read_items([results[name] for name in names], title=None, question=None, truth=None)


def test_the_balance_table_has_both_sides_of_weighting(results: dict) -> None:
    frame = results["balance"].to_frame()
    shown = tables.balance_table(frame)
    row = dict(zip(shown.columns, shown.rows[0]))
    assert row["SMD before"] == f"{frame['smd'].iloc[0]:.3f}".replace("-", "−")
    assert row["SMD after"] == f"{frame['smd_weighted'].iloc[0]:.3f}".replace("-", "−")
    assert len(shown.columns) == 8
    plain = tables.balance_table(ec.balance(results["design"]).to_frame())
    assert "SMD after" not in plain.columns
    assert "KS" in plain.columns


def test_words_follow_what_weighting_and_the_classifier_did(results: dict) -> None:
    found = results["balance"]
    sentence = words.balance_sentence(found, 0.1)
    over = int((found.table["smd_weighted"].abs() > 0.1).sum())
    assert ("After weighting none does" in sentence) == (over == 0)
    (told,) = words.classifier_sentences(found)
    can = found.classifier_frame()["p_value"].iloc[-1] < 0.05
    assert ("can still tell" in told) == can
    assert words.classifier_sentences(ec.balance(results["design"])) == []


def test_comparability_holds_every_figure_and_a_map(results: dict) -> None:
    section = build_section("comparability", _study(results, "design", "balance", "overlap", "assignment"))
    titles = [block.caption for block in section.blocks if isinstance(block, Figure)]
    assert titles == [
        "How alike the arms were before treatment",
        "Who could have been treated",
        "Where units have hardly a counterpart",
        "What predicts “grant”",
    ]
    captions = [block.caption for block in section.blocks if isinstance(block, Table)]
    assert captions[-1] == "How well treatment is predicted, out of fold"


def test_the_assignment_table_has_an_interval_under_each_measure(results: dict) -> None:
    found = results["assignment"]
    shown = tables.assignment_table(found.table)
    assert shown.columns == ("Measure", "Tables", "Pictures", "Both", "Pictures add")
    assert len(shown.rows) == 12
    auc = found.wide()["auc"]
    assert shown.rows[0][1:4] == tuple(f"{auc[name]:.2f}" for name in ("covariates", "features", "both"))
    assert shown.rows[4][4] == ""
    text = words.assignment_sentence(found.table, "grant")
    low = found.table.query("source == 'features given covariates' and measure == 'auc'")["conf_low"].iloc[0]
    assert ("tell of the assignment what tables do not" in text) == (low > 0)


def test_what_pictures_add_is_said_from_a_coin_where_tables_rank_worse(results: dict) -> None:
    table = results["assignment"].to_frame()
    auc = (table["source"] == "covariates") & (table["measure"] == "auc")
    said = [
        words.assignment_sentence(table.assign(estimate=table["estimate"].mask(auc, value)), "grant")
        for value in (0.6, 0.4)
    ]
    assert "to the AUC of tables:" in said[0]
    assert "to that of a coin, because tables rank worse than one:" in said[1]


def test_a_sweep_stands_with_the_average_effects_and_its_names_are_escaped(
    results: dict, tmp_path: Path
) -> None:
    page = ec.report(list(results.values()), tmp_path / "page.html").read_text(encoding="utf-8")
    places = [page.rindex(text) for text in ("Average effects</h2>", "With other pictures</h3>")]
    assert places == sorted(places)
    assert places[-1] < page.rindex("Warnings and assumptions</h2>")
    assert "one &lt;b&gt;" in page
    assert "one <b>" not in page
    alone = build_section("average", _study(results, "sweep"))
    assert [block.caption for block in alone.blocks if isinstance(block, Table)] == [
        "The estimate by what is adjusted for"
    ]


def test_two_of_a_kind_are_refused(results: dict) -> None:
    with pytest.raises(ReportError, match="2 Sweep"):
        _study(results, "sweep", "sweep")
