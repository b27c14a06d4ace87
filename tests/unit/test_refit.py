"""Study and calibration drawn anew: whole clusters, as often as drawn, and everything fitted in each draw."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.debiasing.corrected_result import Corrected
from eocausal.debiasing.refit import RefitBootstrap, _counts
from eocausal.errors import DebiasError, EstimationError

NAMED = {"prediction": "map", "truth": "truth"}


def _places(n: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"village": np.arange(n) // 5, "aid": rng.permuted(np.arange(n) % 2)})
    shared = rng.normal(size=n // 5 + 1)[table["village"]]
    table["truth"] = 0.5 * table["aid"] + 0.5 * shared + rng.normal(size=n)
    table["map"] = 0.6 * table["truth"] + 0.5 * rng.normal(size=n)
    return table


def _corrected(trial: pd.DataFrame, places: pd.DataFrame, **how: Any) -> Corrected:
    fix = ec.debias(places, cluster="village", method="tweedie", **{**NAMED, **how})
    design = ec.Design(trial, outcome="map", treatment="aid", cluster="village")
    return ec.ate(design, method="difference", correct=fix)


@pytest.fixture(scope="module")
def result() -> Corrected:
    return _corrected(_places(240, 1), _places(200, 2), score="gaussian")


@pytest.fixture(scope="module")
def drawn(result: Corrected) -> RefitBootstrap:
    return result.refit_bootstrap(draws=80, seed=3)


def test_a_draw_is_the_estimate_on_rows_repeated_as_often_as_drawn(
    result: Corrected, drawn: RefitBootstrap
) -> None:
    generator = np.random.default_rng(3)
    trial, places = _places(240, 1), _places(200, 2)
    for row in drawn.draws[:5]:
        counts, again = (_counts(generator, one["village"].to_numpy()) for one in (trial, places))
        assert counts.sum() == 240
        assert counts.max() > 1
        # rows that stand there twice, without any weight
        twice = [one.loc[one.index.repeat(times)].reset_index(drop=True)
                 for one, times in ((trial, counts), (places, again))]  # fmt: skip
        by_hand = _corrected(*twice, score="gaussian")
        assert row[:2] == pytest.approx(by_hand.estimate[:2], rel=1e-10)
        # the variance of the noise counts repeated rows as one in its degrees of freedom
        assert row[2] == pytest.approx(by_hand.estimate[2], rel=2e-3)


def test_rows_that_stand_there_twice_change_no_draw_of_clusters(drawn: RefitBootstrap) -> None:
    trial, places = (pd.concat([one, one], ignore_index=True) for one in (_places(240, 1), _places(200, 2)))
    again = _corrected(trial, places, score="gaussian").refit_bootstrap(draws=80, seed=3)
    np.testing.assert_allclose(again.draws[:, :2], drawn.draws[:, :2], rtol=1e-10)
    np.testing.assert_allclose(again.draws[:, 2], drawn.draws[:, 2], rtol=0.01)
    assert again.std_error == pytest.approx(drawn.std_error, rel=0.01)


def test_multiplicity_is_kept() -> None:
    # a draw that keeps each cluster once has a variance (1 - share kept) / share kept of what it should be: 0.58
    rng = np.random.default_rng(0)
    trial = _places(400, 1)
    trial["map"] = rng.normal(size=400)
    found = _corrected(trial, _places(200, 2), score="gaussian").with_vcov("iid")
    kept_once = []
    for _ in range(300):
        counts = _counts(rng, np.arange(400)) > 0
        arms = trial["map"][counts].groupby(trial["aid"][counts]).mean()
        kept_once.append(arms[1] - arms[0])
    full = found.refit_bootstrap(draws=200, seed=1).std_error[0]
    assert full == pytest.approx(found.std_error[0], rel=0.15)
    assert np.std(kept_once) < 0.85 * full


def test_whole_clusters_are_drawn() -> None:
    generator = np.random.default_rng(0)
    labels = np.arange(240) // 5
    for _ in range(20):
        counts = _counts(generator, labels)
        assert (counts.reshape(-1, 5) == counts.reshape(-1, 5)[:, :1]).all()
        assert counts.sum() == 240


def test_it_names_what_was_drawn(result: Corrected, drawn: RefitBootstrap) -> None:
    assert drawn.study == "48 clusters (village) of the study"
    assert drawn.calibration == "40 clusters of the calibration"
    assert drawn.terms == result.terms
    assert (drawn.failed, drawn.warnings) == (0, ())
    units = result.with_vcov("iid").refit_bootstrap(draws=50)
    assert units.study == "240 units of the study"
    assert repr(drawn).startswith("RefitBootstrap(ate by difference: naive ")
    assert "80 draws, seed 3" in drawn.summary()
    assert drawn.plot().get_xlabel() == "estimate with 95% of 80 draws"


def test_errors_are_near_those_by_formula(result: Corrected, drawn: RefitBootstrap) -> None:
    # 80 draws know a standard deviation to 8%; tests/simulation has more of them
    assert drawn.std_error == pytest.approx(result.std_error, rel=0.3)
    frame = drawn.to_frame()
    half = 1.959963984540054 * drawn.draws.std(axis=0, ddof=1)
    np.testing.assert_allclose(frame["conf_high"] - frame["estimate"], half, rtol=1e-12)
    np.testing.assert_allclose(frame["percentile_low"], np.quantile(drawn.draws, 0.025, axis=0))
    np.testing.assert_allclose(drawn.ci(0.9, kind="percentile")[:, 1], np.quantile(drawn.draws, 0.95, axis=0))
    np.testing.assert_allclose(np.diag(drawn.matrix), drawn.std_error**2)


def test_the_same_seed_draws_the_same(result: Corrected, drawn: RefitBootstrap) -> None:
    np.testing.assert_array_equal(result.refit_bootstrap(draws=50, seed=3).draws, drawn.draws[:50])
    assert not np.array_equal(result.refit_bootstrap(draws=50, seed=4).draws, drawn.draws[:50])


def test_draws_are_written_and_read(drawn: RefitBootstrap) -> None:
    assert RefitBootstrap.from_dict(drawn.to_dict(scores=True)) == drawn


def test_the_density_of_a_draw_has_the_freedom_of_the_first() -> None:
    found = _corrected(_places(600, 1), _places(200, 2))
    assert found.diagnostics["density_of"].startswith("these predictions")
    drawn = found.refit_bootstrap(draws=60, seed=0)
    assert drawn.std_error == pytest.approx(found.std_error, rel=0.3)


def test_draws_that_fail_are_counted_and_too_many_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from eocausal.debiasing import refit

    found = _corrected(_places(240, 1), _places(200, 2), score="gaussian")
    true, calls = refit._once, []

    def failing(*asked: Any, every: int) -> Any:
        calls.append(1)
        if len(calls) % every == 0:
            raise EstimationError("one arm only")
        return true(*asked)

    monkeypatch.setattr(refit, "_once", lambda *asked: failing(*asked, every=25))
    drawn = found.refit_bootstrap(draws=50)
    assert drawn.failed == 2
    assert drawn.warnings == ("2 of 50 draws could not be estimated and are left out: one arm only",)
    assert len(drawn.draws) == 48
    monkeypatch.setattr(refit, "_once", lambda *asked: failing(*asked, every=5))
    with pytest.raises(
        DebiasError, match=r"10 of 50 draws cannot be estimated, the first because: one arm only"
    ):
        found.refit_bootstrap(draws=50)


def test_a_corrector_that_was_read_has_no_places_to_draw(tmp_path: Any, result: Corrected) -> None:
    fix = ec.Corrector.from_json(
        ec.debias(_places(200, 2), cluster="village", **NAMED, method="lcc").to_json(tmp_path / "fix.json")
    )
    design = ec.Design(_places(240, 1), outcome="map", treatment="aid")
    found = ec.ate(design, method="difference", correct=fix)
    with pytest.raises(DebiasError, match=r"read from a file[\s\S]*ec.debias\(calibration"):
        found.refit_bootstrap()


@pytest.mark.parametrize(
    ("vcov", "words"),
    [
        ({"cluster": ["village", "other"]}, r"cluster\(village & other\)[\s\S]*clusters of one kind"),
        ({"conley": "50km"}, "conley"),
    ],
)
def test_clusters_of_one_kind_are_drawn(vcov: Any, words: str) -> None:
    trial = _places(240, 1)
    trial["lon"], trial["lat"] = np.random.default_rng(0).uniform(0, 5, (2, 240))
    trial["id"] = np.arange(240)
    units = ec.read_units(trial, id="id", lon="lon", lat="lat")
    fix = ec.debias(_places(200, 2), cluster="village", **NAMED, method="lcc")
    design = ec.Design(units, outcome="map", treatment="aid", cluster="village")
    found = ec.ate(design, method="difference", correct=fix)
    other = pd.Series(np.arange(240) % 37, index=found.fit.ids, name="other")
    if "cluster" in vcov:
        vcov = {"cluster": ["village", other]}
    with pytest.raises(DebiasError, match=words):
        found.with_vcov(vcov).refit_bootstrap()
    named = found.with_vcov({"cluster": other}).refit_bootstrap(draws=50)
    assert named.study == "37 clusters (other) of the study"


@pytest.mark.parametrize(
    ("options", "words"),
    [({"draws": 10}, "draws"), ({"draws": 2.5}, "draws"), ({"seed": "a"}, "seed")],
)
def test_draws_and_seeds_are_whole_numbers(result: Corrected, options: dict[str, Any], words: str) -> None:
    with pytest.raises(DebiasError, match=words):
        result.refit_bootstrap(**options)


@pytest.mark.parametrize(
    ("options", "words"), [({"level": 95}, "confidence level"), ({"kind": "bca"}, "percentile")]
)
def test_intervals_are_asked_for_rightly(drawn: RefitBootstrap, options: dict[str, Any], words: str) -> None:
    with pytest.raises(DebiasError, match=words):
        drawn.ci(**options)
