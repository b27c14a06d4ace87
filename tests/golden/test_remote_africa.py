"""Remote outcomes and means of districts on surveyed villages of Africa: where assumptions fail, data say so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import eocausal as ec

MAP, ELSEWHERE = "ic_resnet_msnl_concat", "ooc_resnet_msnl_concat"


@pytest.fixture(scope="module")
def villages(shared: Path) -> pd.DataFrame:
    frame = pd.read_parquet(shared / "data" / "africa_wealth" / "clusters.parquet")
    frame["rich"], frame["urban"] = (frame["wealth"] > 0).astype(int), frame["urban"].astype(int)
    corner = [np.floor(frame[name]).astype(int).astype(str) for name in ("lat", "lon")]
    frame["cell"] = frame["country"] + " " + corner[0] + " " + corner[1]
    return frame.set_axis([f"v{one}" for one in range(len(frame))])


def test_towns_look_richer_than_villages_of_the_same_wealth_and_both_tests_say_so(
    villages: pd.DataFrame,
) -> None:
    labelled = np.random.default_rng(0).uniform(size=len(villages)) < 0.2
    study, survey = villages[~labelled], villages[labelled]
    design = ec.Design(study, outcome=MAP, treatment="urban")
    found = ec.remote_outcome(design, survey, truth="rich", method="difference")
    truth = study.groupby("urban")["rich"].mean().diff().iloc[1]
    assert truth == pytest.approx(0.724, abs=0.001)
    assert found.estimate == pytest.approx(1.093, abs=0.001)
    tests = found.tests().set_index("test")["p_value"]
    assert tests["mixture"] < 0.001
    assert tests["no direct effect"] < 1e-100
    assert len([text for text in found.warnings if "speak against an assumption" in text]) == 2


def test_a_random_arm_has_no_effect_and_passes(villages: pd.DataFrame) -> None:
    rng = np.random.default_rng(1)
    labelled = rng.uniform(size=len(villages)) < 0.2
    study = villages[~labelled].assign(arm=rng.integers(0, 2, size=int((~labelled).sum())))
    design = ec.Design(study, outcome=MAP, treatment="arm")
    for h in ("prediction", "efficient"):
        found = ec.remote_outcome(design, villages[labelled], truth="rich", h=h, method="difference")
        assert abs(found.estimate) < 3 * found.std_error
        assert found.tests()["p_value"][0] > 0.01
        assert found.std_error < 0.02


def test_shares_of_rich_villages_depend_on_errors_being_alike_elsewhere(villages: pd.DataFrame) -> None:
    """Labels of other countries correct Nigeria and Malawi, and make matters worse in Uganda."""
    away = {}
    for country in ("nigeria", "malawi", "uganda"):
        own = villages["country"] == country
        seen = villages.assign(seen=(villages[MAP] > 0).astype(int))
        found = ec.rogan_gladen(seen[own], seen[~own], prediction="seen", truth="rich")
        raw, true = seen.loc[own, "seen"].mean(), seen.loc[own, "rich"].mean()
        away[country] = (raw - true, found.estimate - true)
    assert abs(away["nigeria"][1]) < abs(away["nigeria"][0])
    assert abs(away["malawi"][1]) < abs(away["malawi"][0])
    assert abs(away["uganda"][1]) > 3 * abs(away["uganda"][0])


def test_cells_of_a_degree_shrink_as_villages_do_and_more_where_the_country_was_not_seen(
    villages: pd.DataFrame,
) -> None:
    several = villages[villages.groupby("cell")["wealth"].transform("size") >= 5]
    by = several.groupby("cell")
    for name, expected in ((MAP, 0.7536), (ELSEWHERE, 0.6211)):
        found = ec.group_means(several, by="cell", prediction=name, truth="wealth")
        means, n = by[[name, "wealth"]].mean(), by.size()
        noise = (by["wealth"].var() / n).mean()
        shared_noise = (by[[name, "wealth"]].cov().xs("wealth", level=1)[name] / n).mean()
        moments = np.cov(means[name], means["wealth"])
        assert found.estimate[0] == pytest.approx(
            (moments[0, 1] - shared_noise) / (moments[1, 1] - noise), rel=1e-9
        )
        assert found.estimate[0] == pytest.approx(expected, abs=0.0005)
        assert len(found.groups) == 407
