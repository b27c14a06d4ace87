"""The sentence of a specification curve in every case that it can find itself in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from eocausal.sensitivities.robustness_words import sentence

WORDS = {"features": "the set of features", "seed": "the seed"}
USUAL = {
    "specifications": 48.0, "median": 0.5, "lowest": 0.31, "highest": 0.62, "share_positive": 1.0,
    "share_significant": 44 / 48, "share_significant_opposite": 0.0, "p_significant": 0.001, "p_median": 0.002,
}  # fmt: skip
SHARES = pd.DataFrame({"choice": ["features", "seed", "together"], "share": [0.62, 0.1, 0.28]})


def _said(shares: pd.DataFrame = SHARES, **changes: float) -> str:
    return sentence({**USUAL, **changes}, shares, WORDS, least=1e-4)


def test_the_usual_case_reads_as_it_would_be_printed() -> None:
    assert _said() == (
        "Over 48 specifications the estimate is 0.31 to 0.62 (median 0.50); all are positive and 44 of 48 differ "
        "from zero at 5%. Were there no effect, as many or more of one sign would be seen in 0.1% of cases, and a "
        "median at least as far from zero in 0.2%. Most of the spread comes from the set of features (62%)."
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"share_significant": 1.0}, "all are positive and all differ from zero at 5%"),
        ({"share_significant": 1 / 48}, "all are positive and 1 of 48 differs from zero at 5%"),
        (
            {"share_significant": 0.0, "p_median": 0.34},
            "all are positive and none of these differs from zero at 5%. Were there no effect, a median at "
            "least as far from zero would be seen in 34% of cases",
        ),
        (
            {"lowest": -0.62, "highest": -0.31, "median": -0.5, "share_positive": 0.0},
            "is -0.62 to -0.31 (median -0.50); all are negative and 44 of 48 differ",
        ),
        (
            {"lowest": -0.2, "share_positive": 40 / 48, "share_significant": 0.5},
            "is -0.20 to 0.62 (median 0.50); 40 of 48 are positive and 24 of these differ from zero at 5%.",
        ),
        (
            {"lowest": -0.2, "share_positive": 40 / 48, "share_significant": 0.5,
             "share_significant_opposite": 2 / 48},
            "24 of these differ from zero at 5%, while 2 negative ones do.",
        ),
        ({"p_significant": 1e-4}, "as many or more of one sign would be seen in fewer than 0.01% of cases"),
        ({"p_significant": 0.0234}, "in 2.3% of cases"),
        ({"p_significant": np.nan}, "44 of 48 differ from zero at 5%. Most of the spread"),
        ({"lowest": 0.5, "highest": 0.5, "median": 0.5}, "the estimate is 0.50 in all; all are positive"),
        ({"specifications": 1.0, "median": 0.5, "lowest": 0.5, "highest": 0.5}, "One specification is left"),
    ],
)  # fmt: skip
def test_other_cases_are_true_to_the_numbers(changes: dict[str, Any], words: str) -> None:
    assert words in _said(**changes)


def test_where_the_spread_comes_from_is_said_as_it_is() -> None:
    none = SHARES.assign(share=[0.3, 0.2, 0.5])
    assert _said(none).endswith(
        "No single choice accounts for most of the spread; the largest part comes from the set of features (30%)."
    )
    assert _said(SHARES.assign(share=np.nan)).endswith("from zero in 0.2%.")
    assert _said(SHARES.iloc[[0, 2]]).endswith("from zero in 0.2%.")
    assert _said(SHARES.assign(alone=[0.2, 0.1, 0.28])).endswith(
        "Most of the spread goes with the set of features (62%), but choices that differ along with it may be why."
    )
    assert _said(SHARES.assign(alone=[0.62, 0.1, 0.28])).endswith("comes from the set of features (62%).")
