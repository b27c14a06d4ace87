"""What the report says and shows of sensitivity analyses: every kind with its question and its sentence."""

from __future__ import annotations

import html
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.reporting.blocks import Figure, Heading, Table, Text
from eocausal.reporting.sections import build_section
from eocausal.reporting.study import read_items
from eocausal.reporting.unseen import FIGURES
from eocausal.sensitivities.kinds import KINDS
from eocausal.sensitivities.result import Sensitivity
from tests.studies import FAST, THREE

OPTIONS = {
    "marginal": {"lambdas": (1, 1.5, 2), "draws": 20},
    "placebo": {"draws": 5, "outcomes": ["before"]},
    "rosenbaum": {"gammas": (1, 2)},
}


@pytest.fixture(scope="module")
def estimates() -> dict[str, ec.Estimate]:
    rng = np.random.default_rng(3)
    n = 240
    pictures = rng.normal(size=(n, 4))
    table = pd.DataFrame({"id": range(n), "lon": rng.uniform(30, 31, n), "lat": rng.uniform(0, 1, n)})
    table["age"] = rng.normal(size=n)
    wish = pictures[:, 0] + table["age"]
    table["grant"] = (wish + rng.logistic(size=n) > 0).astype(int)
    table["income"] = 1.5 * table["grant"] + wish + rng.normal(size=n)
    table["before"] = wish + rng.normal(size=n)
    frame = pd.DataFrame(pictures, columns=list("abcd")).assign(id=range(n))
    features = ec.read_embeddings(frame, key="id")
    units = ec.read_units(table, id="id", lon="lon", lat="lat")
    design = ec.Design(units, outcome="income", treatment="grant", covariates=["age"], features=features)
    return {
        "ols": ec.ate(design, method="ols"),
        "aipw": ec.ate(design, learners=FAST, folds=THREE),
        "ipw": ec.ate(design, method="ipw", learners=ec.Learners(propensity="logit", pca=4)),
    }


@pytest.fixture(scope="module")
def found(estimates: dict[str, ec.Estimate]) -> dict[str, Sensitivity]:
    of = dict.fromkeys(("omitted", "oster", "breakdown"), "ols") | {"marginal": "ipw"}
    made = {
        kind: ec.sensitivity(estimates[of.get(kind, "aipw")], kind=kind, **OPTIONS.get(kind, {}))
        for kind in KINDS
        if kind != "robustness"
    }
    design = estimates["ols"].origin.design
    return made | {"robustness": ec.robustness(design, {"method": ["ols", "regression", "difference"]})}


def test_every_kind_has_words_for_its_figure() -> None:
    assert list(FIGURES) == list(KINDS)


@pytest.mark.parametrize("kind", list(KINDS))
def test_each_has_question_sentence_figure_and_table(found: dict[str, Sensitivity], kind: str) -> None:
    section = build_section("sensitivity", read_items([found[kind]], title=None, question=None, truth=None))
    assert section is not None
    heading, text, figure, table = section.blocks
    assert isinstance(heading, Heading)
    assert heading.text == KINDS[kind].question
    assert isinstance(text, Text)
    assert text.text == found[kind].sentence
    assert text.text.endswith(".")
    assert isinstance(figure, Figure)
    assert text.text in figure.alt
    assert isinstance(table, Table)
    assert {len(row) for row in table.rows} == {len(table.columns)} == {len(table.numeric)}
    cells = " ".join(cell for row in table.rows for cell in row)
    assert not re.search(r"\bnan\b|\bNone\b|\binf\b", cells)


def test_a_page_holds_them_all_and_the_summary_the_first(
    estimates: dict[str, ec.Estimate], found: dict[str, Sensitivity], tmp_path: Path
) -> None:
    page = ec.report([*estimates.values(), *found.values()], tmp_path / "all.html").read_text(
        encoding="utf-8"
    )
    plain = html.unescape(re.sub(r"<[^>]+>", "", page))
    for kind, one in found.items():
        assert KINDS[kind].question in plain
        assert one.sentence in plain
    first = next(iter(found.values())).sentence
    # in the summary, where its analysis stands, and with its figure
    assert plain.count(first) == 2
    assert page.index(html.escape(first, quote=False)) < page.index("Average effects by method")
    missing = [text for one in found.values() for text in one.warnings if text[1:40] not in plain]
    assert missing == []


def test_two_of_a_kind_are_told_apart_by_method(estimates: dict[str, ec.Estimate]) -> None:
    both = [ec.sensitivity(estimates[name], kind="evalue") for name in ("ols", "aipw")]
    section = build_section("sensitivity", read_items(both, title=None, question=None, truth=None))
    assert section is not None
    headings = [one.text for one in section.blocks if isinstance(one, Heading)]
    assert headings == [f"{KINDS['evalue'].question} ({method})" for method in ("ols", "aipw")]
