"""What all analyses of sensitivity rest on: benchmarks, the estimate and its twin, the verb, results, origins."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.errors import SensitivityError
from eocausal.inference.estimate import Estimate
from eocausal.sensitivities.benchmarks import Benchmark, coordinate_columns, read_benchmarks
from eocausal.sensitivities.kinds import KINDS, load
from eocausal.sensitivities.result import Sensitivity
from eocausal.sensitivities.subject import NO_ORIGIN, Subject, made_again, one_estimate, origin_of
from tests.studies import FAST, THREE, by_village, design, images, study

ROLES = {"outcome": "outcome", "treatment": "treated", "unit": "unit", "period": "period"}


def _panel(**options: Any) -> ec.PanelDesign:
    table = ec.simulate_panel(n_regions=16, units_per_region=3, seed=3).frame
    return ec.PanelDesign(table, **{**ROLES, **options})


def _blocks() -> ec.Design:
    near, far = images(width=3), images(width=2, seed=5)
    near = replace(near, blocks={"near": (0, 3)})
    far = replace(far, blocks={"far": (0, 2)}, columns=("far0", "far1"))
    return design(by_village(), features=near.with_block(far))


# --- benchmarks


def test_benchmarks_are_read_by_name_one_by_one_or_together() -> None:
    asked = _blocks()
    near, far = asked.table.feature_blocks
    read = read_benchmarks(["age", "covariates", "features", far], asked)
    assert read == (
        Benchmark("age", ("age",)),
        Benchmark("covariates", ("age", "wealth"), all_covariates=True),
        Benchmark("features", features=True),
        Benchmark(far, blocks=(far,)),
    )
    assert read_benchmarks("wealth", asked) == (Benchmark("wealth", ("wealth",)),)
    together = read_benchmarks({"all of it": ["age", "covariates", near]}, asked)
    assert together == (Benchmark("all of it", ("age", "wealth"), blocks=(near,)),)
    assert read_benchmarks({"alone": "age"}, asked) == (Benchmark("alone", ("age",)),)
    assert [one.in_words for one in read] == ["age", "all covariates", "all image features", far]


def test_by_default_it_is_all_features_and_all_covariates_where_there_are_any() -> None:
    names = [one.name for one in read_benchmarks(None, _blocks())]
    assert names == ["features", "covariates"]
    assert [one.name for one in read_benchmarks(None, design(study()))] == ["covariates"]
    assert read_benchmarks(None, design(study(), covariates=[])) == ()
    assert read_benchmarks(None, _panel()) == ()


def test_a_covariate_goes_before_a_word_for_a_group() -> None:
    table = study().assign(features=np.arange(120.0))
    (one,) = read_benchmarks("features", design(table, covariates=["age", "features"]))
    assert one == Benchmark("features", ("features",))
    assert one.in_words == "features"
    assert not one.plural


def test_a_name_that_a_user_gave_to_other_columns_does_not_stand_for_all() -> None:
    table = study().assign(covariates=np.arange(120.0) ** 2)
    asked = design(table, covariates=["age", "covariates"])
    for given in ("covariates", {"covariates": "age"}, {"covariates": ["age", "covariates"]}):
        (one,) = read_benchmarks(given, asked)
        assert one.in_words == "covariates"
    near, _ = _blocks().table.feature_blocks
    (mixed,) = read_benchmarks({"features": ["features", "age"]}, _blocks())
    assert mixed.in_words == "features"
    (part,) = read_benchmarks({"covariates": near}, _blocks())
    assert part.in_words == "covariates"


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("aeg", r"benchmark='aeg' is nothing(.|\n)*one of: age, wealth, covariates(.|\n)*Did you mean 'age'"),
        ("features", "nothing that this estimate adjusts for"),
        ("coordinates", "nothing that this estimate adjusts for"),
        ({"both": ["age", "coordinates"]}, "nothing that this estimate adjusts for"),
        ({"none": []}, "'none' is empty"),
        (3, "holds what is no name(.|\n)*benchmark="),
        (["age", 1], r"holds what is no name(.|\n)*1 \(1\)"),
        ({"group": ["age", None]}, "holds what is no name"),
        ({"group": 2}, "holds what is no name"),
    ],
)
def test_benchmarks_that_are_not_there_are_refused(asked: Any, words: str) -> None:
    with pytest.raises(SensitivityError, match=words):
        read_benchmarks(asked, design(study()))


def test_a_design_with_nothing_to_compare_with_says_so() -> None:
    with pytest.raises(SensitivityError, match="no covariates, features or coordinates"):
        read_benchmarks("age", design(study(), covariates=[]))


def test_coordinates_stand_by_themselves() -> None:
    table = study().reset_index().assign(lon=np.linspace(1, 2, 120), lat=np.linspace(3, 5, 120) ** 2)
    units = ec.read_units(table, id="id", lon="lon", lat="lat")
    asked = ec.Design(units, outcome="income", treatment="grant", covariates=["age"])
    (one,) = read_benchmarks("coordinates", asked)
    assert one.coordinates
    assert one.in_words == "where units lie"
    with pytest.raises(SensitivityError, match="by themselves"):
        read_benchmarks({"both": ["coordinates", "age"]}, asked)


def test_a_surface_over_places_is_quadratic_and_does_not_move_with_their_scale() -> None:
    places = np.random.default_rng(0).uniform(size=(30, 2))
    surface = coordinate_columns(places)
    assert surface.shape == (30, 5)
    np.testing.assert_allclose(surface, coordinate_columns(places * [3, 7] + [10, -20]), atol=1e-10)
    np.testing.assert_allclose(surface[:, 2:], surface[:, [0, 1, 0]] * surface[:, [0, 1, 1]])
    assert np.isfinite(coordinate_columns(np.column_stack([np.ones(5), np.arange(5.0)]))).all()


def test_benchmarks_leave_designs_without_their_columns() -> None:
    asked = _blocks()
    near, far = asked.table.feature_blocks
    assert Benchmark("age", ("age",)).without(asked).covariates == ("wealth",)
    assert Benchmark("features", features=True).without(asked).table.features.shape == (120, 0)
    left = Benchmark(near, blocks=(near,)).without(asked)
    assert left.table.feature_blocks == {far: (0, 2)}
    np.testing.assert_array_equal(left.table.features, asked.table.features[:, 3:])


# --- Design.without


def test_without_keeps_units_order_clusters_and_all_else() -> None:
    asked = design(by_village(), features=images(), cluster="village", weights="weight", propensity="p")
    left = asked.without(["age"], features=True)
    assert left.covariates == ("wealth",)
    assert left.features is None
    for name in ("ids", "outcome", "assigned", "weights", "clusters", "image_keys", "propensity", "rows"):
        np.testing.assert_array_equal(getattr(left.table, name), getattr(asked.table, name))
    np.testing.assert_array_equal(left.groups, asked.groups)
    assert left.table.covariate_names == ("wealth",)
    # the one it was made from stays whole
    assert asked.covariates == ("age", "wealth")
    assert asked.table.features.shape[1] == 6


def test_without_a_text_covariate_all_of_its_levels_go_and_none_of_another() -> None:
    table = study()
    table["region"] = np.resize(["north", "south", "west"], 120)
    table["region[2]"] = np.arange(120.0) ** 2
    left = design(table, covariates=["region", "region[2]", "age"]).without(["region"])
    assert left.table.covariate_names == ("region[2]", "age")
    assert left.covariates == ("region[2]", "age")


def test_without_a_covariate_that_was_missing_its_indicator_goes_too() -> None:
    table = study()
    table.loc[table.index[:7], "age"] = np.nan
    asked = design(table, missing="keep")
    assert asked.table.covariate_names == ("age", "wealth", "age (missing)")
    left = asked.without(["age"])
    assert left.table.covariate_names == ("wealth",)
    assert len(left) == 120
    assert left.table.missing is None or left.table.missing.shape == (120, 1)


def test_what_was_left_out_does_not_come_back_when_the_design_is_read_anew() -> None:
    asked = _blocks()
    near, far = asked.table.feature_blocks
    table = by_village().assign(other=lambda one: one["income"] + 1)
    asked = design(table, features=asked.features)
    left = asked.without(["age"], blocks=[near]).with_outcome("other")
    assert left.covariates == ("wealth",)
    assert list(left.table.feature_blocks) == [far]
    np.testing.assert_array_equal(left.table.features, asked.table.features[:, 3:])


# --- the estimate that is put to the test


def test_an_estimate_can_be_made_again_from_its_origin() -> None:
    asked = design(study(), features=None)
    estimate = ec.ate(asked, learners=FAST, folds=THREE, seed=5)
    origin = origin_of(estimate)
    assert origin.design is asked
    assert origin.options["seed"] == 5
    (predicted,) = origin.predicted
    assert set(predicted) == {"propensity", "outcome_control", "outcome_treated"}
    again = made_again(estimate, asked)
    assert again.estimate == estimate.estimate
    np.testing.assert_array_equal(again.score_values, estimate.score_values)
    other = made_again(estimate, asked, seed=6)
    assert other.estimate != estimate.estimate


def test_repeats_hold_the_predictions_of_each() -> None:
    estimate = ec.ate(design(study()), learners=FAST, folds=ec.Folds(k=3, repeats=3), seed=2)
    predicted = origin_of(estimate).predicted
    assert len(predicted) == 3
    one = ec.ate(design(study()), learners=FAST, folds=THREE, seed=3)
    np.testing.assert_array_equal(predicted[1]["propensity"], origin_of(one).predicted[0]["propensity"])


def test_units_that_entered_are_those_of_the_influence_values() -> None:
    estimate = ec.ate(
        design(study(selected=True), propensity="p"), learners=FAST, folds=THREE,
        trim=ec.Trim("fixed", low=0.3, high=0.7),
    )  # fmt: skip
    origin = origin_of(estimate)
    assert estimate.n < 120
    np.testing.assert_array_equal(origin.entered.table.ids, estimate.ids)
    assert len(origin.design) == 120
    assert all(values.shape == (estimate.n,) for values in origin.predicted[0].values())


def test_origins_are_not_written_but_travel_in_memory() -> None:
    estimate = ec.ate(design(study()), method="ols")
    content = estimate.to_dict(scores=True)
    assert "origin" not in content
    read = Estimate.from_dict(json.loads(json.dumps(content)))
    assert read.origin is None
    assert read == estimate
    with pytest.raises(SensitivityError, match=NO_ORIGIN):
        ec.sensitivity(read)
    with pytest.raises(SensitivityError, match=NO_ORIGIN):
        origin_of(read)
    travelled = pickle.loads(pickle.dumps(estimate))
    assert ec.sensitivity(travelled).numbers == ec.sensitivity(estimate).numbers
    assert "origin" not in repr(estimate)


def test_what_is_made_of_other_results_has_no_origin() -> None:
    asked = design(study())
    gap = ec.ate(asked, method="ols") - ec.ate(asked, method="difference")
    with pytest.raises(SensitivityError, match="made of other results"):
        ec.sensitivity(gap)


def test_one_of_several_terms_must_be_named() -> None:
    estimate = ec.panel(_panel(), method="event_study")
    with pytest.raises(SensitivityError, match=r"The result has 5 terms(.|\n)*term='event -3'"):
        ec.sensitivity(estimate)
    with pytest.raises(SensitivityError, match="Did you mean 'event 0'"):
        ec.sensitivity(estimate, term="event0")
    one = one_estimate(estimate, "event 0")
    place = estimate.terms.index("event 0")
    assert one.terms == ("event 0",)
    assert one.values.tolist() == [estimate.values[place]]
    assert one.std_error == pytest.approx(estimate.std_error[place], rel=1e-12)
    assert one.vcov == estimate.vcov
    assert one.origin is estimate.origin
    again = made_again(one, origin_of(one).design)
    assert again.terms == ("event 0",)
    assert again.estimate == one.estimate
    assert one_estimate(again, "event 0") is again


@pytest.mark.parametrize("wrong", [1.0, "result", pd.DataFrame()])
def test_other_things_than_estimates_are_refused(wrong: object) -> None:
    with pytest.raises(SensitivityError, match=rf"result is a {type(wrong).__name__}"):
        ec.sensitivity(wrong)


def test_a_cate_is_sent_to_its_own_verbs() -> None:
    found = ec.cate(design(study(), propensity="p"), learner="linear", folds=THREE)
    with pytest.raises(SensitivityError, match=r"a Cate(.|\n)*ec.calibration"):
        ec.sensitivity(found)


def test_clusters_that_were_given_afterwards_are_kept() -> None:
    asked = design(study())
    labels = pd.Series(np.arange(120) // 6, index=asked.table.ids)
    estimate = ec.ate(asked, method="ols").with_vcov({"cluster": labels})
    again = made_again(estimate, asked.without(["age"]))
    direct = ec.ate(asked.without(["age"]), method="ols").with_vcov({"cluster": labels})
    assert again.std_error == pytest.approx(direct.std_error, rel=1e-12)
    assert again.n_clusters == 20
    # of some units, their own labels
    part = made_again(estimate, asked.take(np.arange(10, 100)))
    assert part.n_clusters == 16
    some = asked.take(np.arange(10, 100))
    with pytest.raises(SensitivityError, match=r"not known for other units(.|\n)*Where: 30 "):
        made_again(made_again(estimate, some), asked)


def test_clusters_of_shared_images_stay_without_the_images() -> None:
    asked = design(by_village(), features=images())
    for vcov in (None, {"cluster": "village"}):
        estimate = ec.ate(asked, method="ols", learners=ec.Learners(pca=3), vcov=vcov)
        again = made_again(estimate, asked.without(features=True))
        direct = ec.ate(design(by_village(), cluster="village"), method="ols")
        assert again.vcov == "cluster(village)"
        assert again.std_error == pytest.approx(direct.std_error, rel=1e-12)


@pytest.mark.parametrize("vcov", ["hetero", {"bootstrap": "wild", "draws": 199, "seed": 3}])
def test_standard_errors_are_made_as_those_of_the_estimate(vcov: Any) -> None:
    asked = design(study(), cluster="village")
    estimate = ec.ate(asked, method="ols").with_vcov(vcov)
    again = made_again(estimate, asked)
    assert again.vcov == estimate.vcov
    assert again.ci() == pytest.approx(estimate.ci(), rel=1e-12)


def test_of_a_corrected_result_it_is_the_estimate_that_is_believed() -> None:
    rng = np.random.default_rng(5)
    truth = rng.normal(size=500)
    places = pd.DataFrame({"truth": truth, "map": 0.6 * truth + 0.4 * rng.normal(size=500)})
    fix = ec.debias(places, prediction="map", truth="truth", method="lcc")
    result = ec.ate(design(study()), method="ols", correct=fix)
    one = one_estimate(result, None)
    assert one.terms == ("grant",)
    assert one.values.tolist() == result.best.values.tolist()
    assert one.std_error == result.best.std_error
    plain = ec.ate(design(study()), method="ols")
    changed, given = (origin_of(each).design.table.outcome for each in (one, plain))
    np.testing.assert_allclose(np.diff(changed), np.diff(given) / fix.k, rtol=1e-9)
    read = type(result).from_dict(result.to_dict(scores=True))
    with pytest.raises(SensitivityError, match="read from a file and holds no study"):
        ec.sensitivity(read)


def test_what_is_said_of_the_subject() -> None:
    estimate = ec.ate(design(study(), cluster="village"), method="ols")
    about = Subject.of(estimate)
    assert (about.term, about.outcome, about.method) == ("grant", "income", "ols")
    assert (about.conf_low, about.conf_high) == estimate.ci()
    assert (about.vcov, about.df, about.n) == ("cluster(village)", 23.0, 120)
    assert Subject.from_dict(json.loads(json.dumps(about.to_dict()))) == about


# --- the verb and its result


def test_kinds_and_options_that_are_not_known_are_refused_with_what_is() -> None:
    estimate = ec.ate(design(study()), method="ols")
    with pytest.raises(SensitivityError, match="Did you mean 'omitted'"):
        ec.sensitivity(estimate, kind="omited")
    with pytest.raises(
        SensitivityError, match=r"gammas(.|\n)*r2_treatment, r2_outcome(.|\n)*kind='rosenbaum'"
    ):
        ec.sensitivity(estimate, kind="omitted", gammas=[1, 2])
    with pytest.raises(SensitivityError, match="Did you mean 'times'"):
        ec.sensitivity(estimate, kind="omitted", time=2)
    with pytest.raises(SensitivityError, match="0 < level < 1"):
        ec.sensitivity(estimate, level=95)
    with pytest.raises(SensitivityError, match="seed='a'"):
        ec.sensitivity(estimate, seed="a")


def test_each_kind_names_functions_that_are_there() -> None:
    for name, row in KINDS.items():
        assert callable(load(row.run)), name
        assert callable(load(row.draw)), name
        assert row.question.endswith("?")


def test_an_estimate_is_asked_what_goes_with_its_method() -> None:
    assert ec.sensitivity(ec.ate(design(study()), method="ols")).kind == "omitted"
    assert ec.sensitivity(ec.panel(_panel(), method="twfe")).kind == "omitted"


def _found() -> Sensitivity:
    estimate = ec.ate(design(study(), cluster="village"), method="ols")
    whole = ec.sensitivity(estimate, benchmark="age")
    frame = pd.DataFrame({"a": [1, 2], "b": [np.inf, np.nan], "c": ["x", None], "d": [True, False]})
    return Sensitivity(
        **{name: getattr(whole, name) for name in ("kind", "subject", "sentence", "curves", "provenance")},
        frame=frame,
        numbers={"good": 1.5, "bad": float("nan")},
        estimates={"placebo": estimate},
        warnings=("careful",),
    )


def test_results_are_read_back_as_they_were() -> None:
    found = _found()
    text = json.dumps(found.to_dict(scores=True), allow_nan=False)
    read = Sensitivity.from_dict(json.loads(text))
    assert read == found
    pd.testing.assert_frame_equal(read.to_frame(), found.to_frame(), check_dtype=False)
    assert [read.frame[name].dtype.kind for name in read.frame] == ["i", "f", "O", "b"]
    assert np.isposinf(read.frame["b"].iloc[0])
    assert np.isnan(read.numbers["bad"])
    assert read.estimates["placebo"] == found.estimates["placebo"]
    assert read.question == KINDS["omitted"].question
    assert read.n == 120


def test_a_table_without_rows_is_read_back() -> None:
    found = _found()
    empty = Sensitivity(
        **{name: getattr(found, name) for name in ("kind", "subject", "sentence", "numbers")},
        frame=pd.DataFrame({"a": np.zeros(0), "b": np.array([], dtype=object), "c": np.zeros(0, dtype=int)}),
    )
    read = Sensitivity.from_dict(json.loads(json.dumps(empty.to_dict(), allow_nan=False)))
    assert read == empty
    assert [read.frame[name].dtype.kind for name in read.frame] == ["f", "O", "i"]


def test_results_print_short() -> None:
    found = _found()
    assert repr(found).startswith("Sensitivity(omitted of grant ")
    assert repr(found).endswith("good 1.5, bad nan; n 120, 1 warning)")
    assert "\n" not in repr(found)
    assert "WARNING: careful" in found.summary()
    table = found.to_frame()
    table.loc[0, "a"] = 99
    assert found.frame.loc[0, "a"] == 1
