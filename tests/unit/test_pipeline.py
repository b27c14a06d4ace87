"""The table and the text of a run: every estimate under its own name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import eocausal as ec
from eocausal.pipeline import Run
from tests.studies import FAST, THREE, design, study


def test_estimates_of_one_method_are_told_apart_by_name() -> None:
    asked = design(study())
    one = ec.ate(asked, learners=FAST, folds=THREE)
    again = ec.ate(asked, learners=FAST, folds=ec.Folds(k=3, repeats=2))
    balance, overlap = ec.balance(asked), ec.overlap(asked, learners=FAST)
    nothing: Any = None
    made = Run(
        Path("out"), Path("out/report.html"), nothing, nothing, asked, balance, overlap,
        {"aipw": one, "aipw_repeated": again}, None, {}, None,
    )  # fmt: skip
    frame = made.to_frame()
    assert frame["name"].tolist() == ["aipw", "aipw_repeated"]
    assert list(frame)[:-1] == list(one.to_frame())
    assert frame.set_index("name").loc["aipw_repeated", "estimate"] == again.estimate
