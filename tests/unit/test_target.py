"""Targets: columns as the study has them, features made alike, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.errors import DesignError, EmbeddingsError, EocausalError
from eocausal.evaluate.made_alike import dates_apart, require_made_alike
from eocausal.evaluate.target import as_target, target_design
from tests.studies import images, study


def _design(**options: object) -> ec.Design:
    table = study()
    table["soil"] = np.array(["clay", "loam", "sand"])[np.arange(120) % 3]
    asked = {"outcome": "income", "treatment": "grant", "covariates": ["age", "soil"], **options}
    return ec.Design(table, **asked)


def _places(m: int = 6, **columns: object) -> pd.DataFrame:
    made = {"age": np.arange(m, dtype=float), "soil": ["clay", "sand", "loam", "sand", "clay", "loam"][:m]}
    return pd.DataFrame({**made, **columns}, index=pd.Index([f"p{i}" for i in range(m)], name="id"))


def _embeddings(recipe: dict, values: np.ndarray | None = None, **options: object) -> ec.Embeddings:
    made = images()
    return replace(made, recipe=recipe, **({} if values is None else {"values": values}), **options)


RECIPE = {
    "encoder": {"encoder": "rcf", "n_features": 6}, "bands": ["red"], "fit_keys": {"hash": "a"},
    "chips": {"sizes": {"960m": 960.0}, "pixel_unit": "reflectance", "rasters": ["a.tif"]}, "keys": {"hash": "k"},
}  # fmt: skip


def test_text_has_the_levels_of_the_study_whatever_levels_the_target_has() -> None:
    asked = _design()
    found, notes = target_design(asked, ec.Target(_places(2)))
    assert found.table.covariate_names == asked.table.covariate_names == ("age", "soil[loam]", "soil[sand]")
    assert found.table.covariates.tolist() == [[0.0, 0.0, 0.0], [1.0, 0.0, 1.0]]
    assert notes == []
    assert len(found) == 2
    assert np.isnan(found.table.outcome).all()


def test_levels_that_a_part_of_the_study_lacks_keep_their_columns() -> None:
    asked = _design()
    part = asked.take(np.flatnonzero(np.arange(120) % 3 != 1))
    found, _ = target_design(part, ec.Target(_places(3)))
    assert found.table.covariates[:, 1].tolist() == [0.0, 0.0, 1.0]


def test_the_study_stays_as_it_was() -> None:
    asked = _design()
    before = asked.fingerprint
    groups = asked.groups.copy()
    found, _ = target_design(asked, ec.Target(_places()))
    assert asked.fingerprint == before
    assert found.groups.size == 6
    np.testing.assert_array_equal(asked.groups, groups)


def test_weights_clusters_and_coordinates_are_read() -> None:
    frame = _places(people=[1.0, 2, 3, 4, 5, 6], district=list("aabbcc")).reset_index()
    units = ec.read_units(frame.assign(lon=30.0, lat=np.arange(1.0, 7.0)), id="id", lon="lon", lat="lat")
    found, _ = target_design(_design(), ec.Target(units, weights="people", cluster="district"))
    assert found.table.weights.tolist() == [1, 2, 3, 4, 5, 6]
    assert np.unique(found.groups).size == 3
    assert found.table.coordinates[:, 1].tolist() == [1, 2, 3, 4, 5, 6]


def test_features_are_joined_by_key_and_taken_without_a_copy_where_they_are_in_order() -> None:
    asked = ec.Design(study(), outcome="income", treatment="grant", features=images())
    frame = pd.DataFrame({"village": [3, 1, 3]}, index=["x", "y", "z"])
    found, _ = target_design(asked, ec.Target(frame, features=images()))
    np.testing.assert_array_equal(found.table.features, images().values[[3, 1, 3]])
    same = images()
    alone, _ = target_design(asked, as_target(same))
    assert np.shares_memory(alone.table.features, same.values)
    assert alone.table.ids.tolist() == same.keys.tolist()


def test_places_that_miss_something_are_refused_or_left_out_and_told() -> None:
    frame = _places()
    frame.loc["p1", "age"] = np.nan
    frame.loc["p2", "soil"] = None
    with pytest.raises(DesignError, match=r"1 of 6 target units have no covariate 'age'[\s\S]*p1[\s\S]*drop"):
        target_design(_design(), ec.Target(frame))
    found, notes = target_design(_design(), ec.Target(frame, missing="drop"))
    assert found.table.ids.tolist() == ["p0", "p3", "p4", "p5"]
    assert notes[0] == "left out: 1 of 6 target units have no covariate 'age'"
    assert "soil[loam]" in notes[1]
    with pytest.raises(DesignError, match="No place of the target is complete"):
        target_design(_design(), ec.Target(frame.iloc[1:2], missing="drop"))


def test_pictures_without_features_are_left_out() -> None:
    asked = ec.Design(study(), outcome="income", treatment="grant", features=images())
    values = images().values.copy()
    values[4] = np.nan
    holes = replace(images(), values=values)
    found, notes = target_design(asked, ec.Target(holes, missing="drop"))
    assert 4 not in found.table.ids
    assert notes == ["left out: 1 of 24 target units have no usable image"]
    frame = pd.DataFrame({"village": [2, 99]}, index=["x", "y"])
    found, _ = target_design(asked, ec.Target(frame, features=images(), missing="drop"))
    assert found.table.ids.tolist() == ["x"]


def test_pictures_with_fewer_valid_pixels_than_the_study_asks_for_are_refused() -> None:
    info = images().info.assign(valid_fraction=np.r_[0.4, np.full(23, 0.9)])
    cloudy = replace(images(), info=info)
    table = study().query("village > 0")
    asked = ec.Design(table, outcome="income", treatment="grant", features=cloudy, min_valid=0.8)
    with pytest.raises(DesignError, match="1 of 24 target units have less than 80% valid pixels"):
        target_design(asked, ec.Target(cloudy))
    found, notes = target_design(asked, ec.Target(cloudy, missing="drop"))
    assert found.table.ids.tolist() == list(range(1, 24))
    assert len(notes) == 1


BAD = {
    "a path": (lambda: ec.Target("region.csv"), "cannot be read from a str"),
    "features as a table": (lambda: ec.Target(_places(), features=_places()), "features is a DataFrame"),
    "columns of embeddings": (
        lambda: ec.Target(images(), weights="people"), "Embeddings alone have no columns",
    ),
    "values as weights": (lambda: ec.Target(_places(), weights=[1, 2]), "weights is a list"),
    "another word for missing": (lambda: ec.Target(_places(), missing="skip"), "missing='skip' is not known"),
    "a number as sampled": (lambda: ec.Target(_places(), sampled=1), "sampled=1"),
    "no places": (lambda: target_design(_design(), ec.Target(_places().iloc[:0])), "holds no places"),
    "ids twice": (
        lambda: target_design(_design(), ec.Target(pd.concat([_places(), _places()]))),
        "levels, gaps or duplicates",
    ),
    "no covariate": (
        lambda: target_design(_design(), ec.Target(_places().drop(columns="age"))), "'age' is not in the target",
    ),
    "another level": (
        lambda: target_design(_design(), ec.Target(_places(3, soil=["clay", "peat", "clay"]))),
        "values that no unit of the study has, such as 'peat'",
    ),
    "text for a number": (
        lambda: target_design(_design(), ec.Target(_places(2, age=["old", "young"]))), "'age' is not numeric",
    ),
    "weights of zero": (
        lambda: target_design(_design(), ec.Target(_places(2, people=[0.0, 1.0]), weights="people")),
        "Weights 'people' must be positive",
    ),
    "no weights": (
        lambda: target_design(_design(), ec.Target(_places(), weights="people")), "'people' is not in the target",
    ),
    "no features": (
        lambda: target_design(
            ec.Design(study(), outcome="income", treatment="grant", features=images()), ec.Target(_places())
        ),
        "study has features, and the target has none",
    ),
    "other keys": (
        lambda: target_design(
            ec.Design(study(), outcome="income", treatment="grant", features=images()),
            ec.Target(pd.DataFrame({"village": [99, 98]}), features=images()),
        ),
        "keys of the target and its features do not meet",
    ),
    "no covariates in embeddings": (
        lambda: target_design(_design(), ec.Target(images())), r"Embeddings alone[\s\S]*age, soil[\s\S]*features=",
    ),
    "a study with gaps": (
        lambda: target_design(
            ec.Design(
                study().assign(age=lambda t: t["age"].where(t["age"] < 1)),
                outcome="income", treatment="grant", covariates=["age"], missing="keep",
            ),
            ec.Target(_places()),
        ),
        "keeps units with missing covariates",
    ),
    "no target": (lambda: as_target(_places()), "The target is a DataFrame"),
}  # fmt: skip


@pytest.mark.parametrize("case", list(BAD))
def test_what_is_wrong_is_told(case: str) -> None:
    make, words = BAD[case]
    with pytest.raises(EocausalError, match=words):
        make()


def test_features_of_one_recipe_pass_whatever_files_and_keys_they_are_of() -> None:
    study_features = _embeddings(RECIPE)
    elsewhere = {**RECIPE, "chips": {**RECIPE["chips"], "rasters": ["b.tif"]}, "keys": {"hash": "other"}}
    assert require_made_alike(study_features, _embeddings(elsewhere)) == []
    assert require_made_alike(study_features, _embeddings(RECIPE)) == []


CHANGED = {
    "encoder": ({**RECIPE, "encoder": {"encoder": "rcf", "n_features": 8}}, "encoder"),
    "bands": ({**RECIPE, "bands": ["nir"]}, "bands"),
    "size": ({**RECIPE, "chips": {**RECIPE["chips"], "sizes": {"960m": 480.0}}}, "chips: sizes"),
    "unit": ({**RECIPE, "chips": {**RECIPE["chips"], "pixel_unit": "dn"}}, "chips: pixel_unit"),
    "fit_keys": ({**RECIPE, "fit_keys": {"hash": "b"}}, "learned from other pictures"),
    "elsewhere": ({"source": "a.csv", "sha256": "1"}, "the other elsewhere"),
}


@pytest.mark.parametrize("case", list(CHANGED))
def test_features_of_another_recipe_are_refused(case: str) -> None:
    recipe, words = CHANGED[case]
    with pytest.raises(EmbeddingsError, match=rf"made in another way[\s\S]*{words}[\s\S]*fit_keys="):
        require_made_alike(_embeddings(RECIPE), _embeddings(recipe))


def test_what_an_encoder_does_not_learn_needs_no_equal_pictures() -> None:
    for encoder in ({"encoder": "image_stats"}, {"encoder": "sequence", "frames": {"encoder": "pixel_mean"}}):
        one = {**RECIPE, "encoder": encoder}
        assert require_made_alike(_embeddings(one), _embeddings({**one, "fit_keys": {"hash": "b"}})) == []
    network = {
        **RECIPE,
        "encoder": {"encoder": "multi_scale", "scales": {"encoder": "dino", "hub_id": "x/y"}},
    }
    (told,) = require_made_alike(_embeddings(network), _embeddings({**network, "fit_keys": {"hash": "b"}}))
    assert "learns means of bands" in told


def test_tables_made_elsewhere_are_told_of() -> None:
    one, other = _embeddings({"source": "a.csv"}), _embeddings({"source": "b.csv"})
    (told,) = require_made_alike(one, other)
    assert "nothing tells whether they were made alike" in told


def test_features_that_the_study_does_not_have_are_told_of() -> None:
    frame = _places(6, village=np.arange(6))
    found, notes = target_design(_design(), ec.Target(frame, features=images()))
    assert found.table.features.shape == (6, 0)
    assert notes == ["the target's features are not used: the study has none"]


def test_other_columns_are_refused() -> None:
    one = images()
    with pytest.raises(EmbeddingsError, match="2 are lacking, 0 are others"):
        require_made_alike(one, images(width=4))
    turned = replace(one, columns=one.columns[::-1])
    with pytest.raises(EmbeddingsError, match="their order differs"):
        require_made_alike(one, turned)


def test_pictures_of_another_year_are_told_of() -> None:
    days = np.array(["2007-06-30"] * 3, dtype=object)
    assert dates_apart(days, np.array(["2008-01-01", None], dtype=object)) == []
    (told,) = dates_apart(days, np.array(["2012-01-01", "2007-01-01", "2013-05-05"], dtype=object))
    assert told.startswith("pictures of 2 target units are of 2012-01-01 to 2013-05-05, more than a year")
    assert dates_apart(np.array([None], dtype=object), days) == []


def test_one_line() -> None:
    assert repr(ec.Target(_places(), sampled=False)) == "Target(6 places, all there is)"
