"""How a report speaks of averages that are not over all units."""

from __future__ import annotations

import eocausal as ec
from eocausal.reporting.study import Study
from eocausal.reporting.tables import estimate_rows
from eocausal.reporting.words import answer, average_sentence
from tests.studies import design, study


def _sentence(estimand: str, **options: object) -> str:
    asked = design(study(selected=True), propensity="p")
    found = ec.ate(asked, **{"method": "ipw", "estimand": estimand, **options})
    return average_sentence(Study(design=asked, estimates=(found,)), found)


def test_the_sentence_says_whose_effect_it_is() -> None:
    assert "average effect of “grant” on “income” is" in _sentence("ate")
    assert "average effect on the treated of “grant” on “income” is" in _sentence("att")
    assert "average effect on the untreated of “grant” on “income” is" in _sentence("atc")
    assert "average effect (ATO) of “grant” on “income” is" in _sentence("ato")
    assert "; entropy balancing)" in _sentence("att", method="entropy_balancing")


def test_the_sentence_says_that_units_were_trimmed() -> None:
    said = _sentence("att", trim=ec.Trim("fixed", low=0.2, high=0.8))
    assert "effect on the treated of “grant” on “income”, among the units that trimming kept, is" in said


def test_other_methods_are_those_for_the_same_average() -> None:
    asked = design(study(selected=True), propensity="p")
    first, treated, second = (
        ec.ate(asked, method=method, estimand=estimand)
        for method, estimand in (("ipw", "ate"), ("ipw", "att"), ("regression", "ate"))
    )
    assert "Other methods" not in answer(Study(design=asked, estimates=(first, treated)))
    told = answer(Study(design=asked, estimates=(first, treated, second)))
    assert f"Other methods give {second.estimate:.2f}." in told


def test_estimates_of_one_method_are_told_apart_by_what_differs() -> None:
    asked = design(study(selected=True), propensity="p", cluster="village")
    all_units = ec.ate(asked, method="ipw")
    kept = ec.ate(asked, method="ipw", estimand="att", trim=ec.Trim("fixed", low=0.2, high=0.8))
    name = "Inverse-probability weighting"
    assert estimate_rows([all_units])["label"].tolist() == [name]
    assert estimate_rows([all_units, kept])["label"].tolist() == [f"{name}, ATE", f"{name}, ATT (trimmed)"]
    plain = all_units.with_vcov("iid")
    labels = estimate_rows([all_units, plain, kept])["label"].tolist()
    assert labels == [f"{name}, ATE, cluster(village)", f"{name}, ATE, iid", f"{name}, ATT (trimmed)"]
    assert estimate_rows([plain, plain])["label"].tolist() == [f"{name} (1)", f"{name} (2)"]
