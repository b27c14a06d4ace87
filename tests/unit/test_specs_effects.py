"""What a specification asks to be estimated: names as the package has them, blocks, and mistakes at their lines."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.effects.ate import METHODS
from eocausal.effects.known_learners import LEARNERS
from eocausal.errors import DebiasError, SpecError
from eocausal.evaluate.asked import (
    asked_cate,
    asked_corrected,
    asked_corrector,
    asked_folds,
    asked_judgements,
    asked_learner,
    asked_learners,
    check_estimates,
)
from eocausal.inference.tilting import ESTIMANDS
from eocausal.nuisance.folds import Folds
from eocausal.nuisance.learners import (
    CALIBRATIONS,
    COLUMNS,
    OUTCOME_LEARNERS,
    PROPENSITY_LEARNERS,
    Learners,
)
from eocausal.specs._rules import CATE_OPTIONS
from eocausal.specs.effects import AteSpec, CateSpec, LearnersSpec, Method
from eocausal.specs.inputs import check_inputs
from eocausal.specs.load import LoadedSpec, load_spec

STUDY = """\
spec_version: 1
title: Aid from above
units: {path: units.csv, id: unit, lon: lon, lat: lat}
embeddings: {path: features.parquet, key: unit}
design: {outcome: wealth, treatment: aid, covariates: [urban]}
effects:
"""


def loaded(folder: Path, effects: str) -> LoadedSpec:
    path = folder / "study.yaml"
    path.write_text(STUDY + effects)
    return load_spec(path)


def choices(block: type, name: str) -> set[str]:
    return {one for part in [block.model_fields[name].annotation] for one in _literals(part)}


def _literals(annotation: object) -> list[str]:
    parts = get_args(annotation)
    if any(isinstance(one, str) for one in parts):
        return [one for one in parts if isinstance(one, str)]
    return [one for part in parts for one in _literals(part)]


def test_names_are_those_of_the_package() -> None:
    assert set(get_args(Method)) == set(METHODS)
    assert choices(AteSpec, "estimand") == set(ESTIMANDS)
    assert choices(LearnersSpec, "outcome") == set(OUTCOME_LEARNERS)
    assert choices(LearnersSpec, "propensity") == set(PROPENSITY_LEARNERS)
    assert choices(LearnersSpec, "columns") == set(COLUMNS)
    assert choices(LearnersSpec, "calibration") == set(CALIBRATIONS)


def test_defaults_are_those_of_the_package() -> None:
    assert Learners(**LearnersSpec().model_dump()) == Learners()


def test_learners_of_effects_take_the_options_that_their_settings_have() -> None:
    assert choices(CateSpec, "learner") == set(LEARNERS) == set(CATE_OPTIONS)
    assert choices(CateSpec, "model") == {"ridge", "boosting"}
    for name, options in CATE_OPTIONS.items():
        # how many threads a forest may use is of the machine, not of the study
        known = {one.name for one in fields(LEARNERS[name]())} - {"n_jobs"}
        assert set(options) == known
        assert LEARNERS[name](**CateSpec(learner=name).model_dump(include=set(options))) == LEARNERS[name]()


@pytest.mark.parametrize(
    ("written", "learner"),
    [
        ("{}", ec.Forest()),
        ("{engine: econml, trees: 400}", ec.Forest(engine="econml", trees=400)),
        ("{learner: r_learner, pca: 3, columns: features}", ec.RLearner(pca=3, columns="features")),
        ("{learner: dr_learner, model: boosting}", ec.DRLearner(model="boosting")),
        ("{learner: x_learner, pca: null}", ec.XLearner(pca=None)),
        ("{learner: linear, components: 2}", ec.LinearEffects(components=2)),
    ],
)
def test_a_learner_of_effects_is_that_of_python(tmp_path: Path, written: str, learner: object) -> None:
    found = loaded(tmp_path, f"  ate: aipw\n  cate: {written}\n").spec.effects.cate
    assert found is not None
    assert asked_learner(found) == learner


def test_effects_are_learned_and_judged_as_asked(tmp_path: Path) -> None:
    found = loaded(
        tmp_path,
        "  ate: difference\n  cate: {learner: linear}\n  calibration: true\n  groups: {k: 3}\n  folds: {k: 3}\n",
    ).spec
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"aid": np.tile([0, 1], 120), "urban": rng.normal(size=240)})
    table["wealth"] = table["aid"] * table["urban"] + rng.normal(size=240)
    design = ec.Design(table, outcome="wealth", treatment="aid", covariates=["urban"], propensity=0.5)
    effects = asked_cate(found, design, asked_folds(found), progress=False)
    assert effects is not None
    judged = asked_judgements(found, effects)
    assert list(judged) == ["calibration", "groups"]
    assert judged["groups"].k == 3
    assert judged["calibration"].to_frame().equals(ec.calibration(effects).to_frame())


def test_cate_cannot_see_covariates_that_the_design_has_not(tmp_path: Path) -> None:
    text = STUDY.replace(", covariates: [urban]", "")
    text += "  ate: aipw\n  cate: {learner: linear, columns: covariates}\n"
    (tmp_path / "study.yaml").write_text(text)
    with pytest.raises(SpecError, match=r"effects\.cate\.columns: the design has no covariates"):
        load_spec(tmp_path / "study.yaml")


def test_methods_and_blocks_stand_side_by_side(tmp_path: Path) -> None:
    found = loaded(
        tmp_path,
        """\
  ate:
    - difference
    - {method: aipw, estimand: att, repeats: 3}
    - {method: ipw, trim: {rule: fixed, low: 0.1, high: 0.9}}
  learners: {propensity: stacking, columns: features, calibration: isotonic}
  folds: {kind: block, block_m: 50000, k: 4}
""",
    )
    check_estimates(found)
    asked = found.spec.effects
    assert [one.name for one in asked.ate] == ["difference", "aipw_att_repeated", "ipw_trimmed"]
    assert [one.repeats for one in asked.ate] == [1, 3, 1]
    assert asked_folds(found.spec) == Folds(kind="block", k=4, block_m=50_000.0)
    assert asked_learners(found.spec) == Learners(
        propensity="stacking", columns="features", calibration="isotonic"
    )


def test_one_block_stands_for_a_list_of_one(tmp_path: Path) -> None:
    assert loaded(tmp_path, "  ate: {method: cbps}\n").spec.effects.ate == (AteSpec(method="cbps"),)


@pytest.mark.parametrize(
    ("written", "choice"),
    [
        ("iid", "iid"),
        ("{kind: cluster}", "cluster"),
        ("{conley: 50km, kernel: bartlett}", {"conley": "50km", "kernel": "bartlett"}),
        (
            "{bootstrap: block, block: 800m, draws: 199}",
            {"bootstrap": "block", "block": "800m", "draws": 199},
        ),
    ],
)
def test_standard_errors_are_asked_for_as_in_python(tmp_path: Path, written: str, choice: object) -> None:
    vcov = loaded(tmp_path, f"  ate: aipw\n  vcov: {written}\n").spec.effects.vcov
    assert vcov is not None
    assert vcov.choice == choice
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"unit": range(60), "lon": rng.uniform(30, 31, 60), "lat": rng.uniform(0, 1, 60)})
    table["aid"], table["district"] = np.tile([0, 1], 30), np.repeat(np.arange(20), 3)
    table["wealth"] = rng.normal(size=60)
    units = ec.read_units(table, id="unit", lon="lon", lat="lat")
    design = ec.Design(units, outcome="wealth", treatment="aid", cluster="district")
    assert ec.ate(design, method="difference", vcov=vcov.choice).std_error > 0


@pytest.mark.parametrize(
    ("effects", "words"),
    [
        ("  ate: [aipv]\n", r":7:9 effects\.ate\[0\]: 'aipv' is not known\. Did you mean 'aipw'\?"),
        ("  ate: [{method: aipw, estimand: atf}]\n", r"effects\.ate\[0\]\.estimand: 'atf' is not known"),
        (
            "  ate: [{method: ipw, trim: {rule: fixed, low: 0.1}}]\n",
            r"needs both bounds\. Add low: and high:",
        ),
        (
            "  ate: [{method: ipw, trim: {rule: crump, low: 0.1}}]\n",
            r"finds its bounds itself\. Leave low out",
        ),
        ("  ate: [aipw, {method: aipw}]\n", r"listed more than once: aipw"),
        ("  ate: aipw\n  folds: {kind: block}\n", r"folds\.kind: kind: block needs the side"),
        ("  ate: aipw\n  folds: {block_m: 5000}\n", r"folds\.block_m: block_m goes with kind: block"),
        ("  ate: aipw\n  vcov: robust\n", r"effects\.vcov.*'robust' is not known"),
        ("  ate: aipw\n  vcov: {conley: far}\n", r"effects\.vcov\.conley: 'far' is not a distance"),
        ("  ate: aipw\n  vcov: {kernel: uniform}\n", r"vcov: one of kind, conley and bootstrap says how"),
        ("  ate: aipw\n  vcov: {bootstrap: block}\n", r"vcov\.bootstrap: bootstrap: block needs the side"),
        (
            "  ate: aipw\n  vcov: {bootstrap: wild, block: 5km}\n",
            r"vcov\.block: block goes with bootstrap: block",
        ),
        ("  ate: aipw\n  learners: {outcome: forest}\n", r"learners\.outcome: 'forest' is not known"),
        (
            "  ate: aipw\n  cate: {learner: r_learnr}\n",
            r"cate\.learner: 'r_learnr'.*Did you mean 'r_learner'",
        ),
        (
            "  ate: aipw\n  cate: {learner: linear, trees: 400}\n",
            r":8:\d+ effects\.cate\.trees: trees goes with causal_forest, not with learner: linear, which takes "
            r"components, columns\. Leave it out",
        ),
        (
            "  ate: aipw\n  cate: {learner: dr_learner, engine: econml}\n",
            r"cate\.engine: engine goes with causal_forest, not with learner: dr_learner",
        ),
        (
            "  ate: aipw\n  cate: {learner: linear, pca: null}\n",
            r"cate\.pca: pca goes with causal_forest and r_",
        ),
        ("  ate: aipw\n  cate: {columns: features}\n", r"cate\.columns: columns goes with r_learner"),
        ("  ate: aipw\n  calibration: true\n", r"effects\.calibration: calibration tests units by effect"),
        ("  ate: aipw\n  groups: {k: 3}\n", r"effects\.groups: groups sorts units by effect and needs cate"),
        ("  ate: aipw\n  cate: {}\n  groups: {k: 1}\n", r"effects\.groups\.k: "),
    ],
)
def test_mistakes_are_told_at_their_place(tmp_path: Path, effects: str, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        loaded(tmp_path, effects)


@pytest.mark.parametrize("written", ["aipv", "[aipv]", "{method: ipw, trim: {rule: crump, low: 0.1}}"])
def test_what_is_wrong_with_the_only_estimate_is_told_once(tmp_path: Path, written: str) -> None:
    with pytest.raises(SpecError) as caught:
        loaded(tmp_path, f"  ate: {written}\n")
    assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(SpecError, match=r"effects\.ate: is empty\. Name at least one"):
        loaded(tmp_path, "  ate: []\n")


def test_learners_cannot_see_covariates_that_the_design_has_not(tmp_path: Path) -> None:
    text = STUDY.replace(", covariates: [urban]", "") + "  ate: aipw\n  learners: {columns: covariates}\n"
    (tmp_path / "study.yaml").write_text(text)
    with pytest.raises(SpecError, match=r":8:14 effects\.learners\.columns: the design has no covariates"):
        load_spec(tmp_path / "study.yaml")


def test_nothing_is_repeated_where_nothing_is_random(tmp_path: Path) -> None:
    found = loaded(
        tmp_path, "  ate:\n    - {method: aipw, repeats: 3}\n    - {method: regression, repeats: 3}\n"
    )
    with pytest.raises(SpecError, match=r":9:28 effects\.ate\[1\]\.repeats: regression makes no") as caught:
        check_estimates(found)
    assert len(str(caught.value).splitlines()) == 1


def test_a_method_that_cannot_answer_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    found = loaded(tmp_path, "  ate:\n    - aipw\n    - {method: regression, estimand: ato}\n")
    with pytest.raises(SpecError, match=r":9:7 effects\.ate\[1\]: method='regression' has no estimand='ato'"):
        check_estimates(found)


PLACES = "debias: {calibration: places.csv, prediction: map, truth: wealth, groups: [urban]}\n"


@pytest.fixture
def predicted(tmp_path: Path) -> Path:
    """A study whose outcome is a map, and places where it was measured too."""
    rng = np.random.default_rng(0)
    mapped = rng.normal(size=400)
    urban = (rng.random(400) < 0.4).astype(int)
    truth = mapped + 0.6 * rng.normal(size=400) + 0.8 * urban
    pd.DataFrame({"map": mapped + 0.5 * urban, "wealth": truth, "urban": urban}).to_csv(
        tmp_path / "places.csv", index=False
    )
    return tmp_path


def test_a_correction_is_asked_for_as_in_python(predicted: Path) -> None:
    found = loaded(predicted, "  ate: difference\n" + PLACES)
    fix = asked_corrector(found.spec)
    table = pd.read_csv(predicted / "places.csv")
    assert fix == ec.debias(table, prediction="map", truth="wealth", groups=["urban"])
    fix.to_json(predicted / "fix.json")
    again = asked_corrector(loaded(predicted, "  ate: difference\ndebias: {corrector: fix.json}\n").spec)
    assert again.key == fix.key
    rng = np.random.default_rng(1)
    trial = pd.DataFrame({"aid": rng.integers(0, 2, 200), "wealth": rng.normal(size=200)})
    design = ec.Design(trial, outcome="wealth", treatment="aid")
    assert asked_corrected(found.spec, design, fix) == ec.ate(design, method="difference", correct=fix)
    assert asked_corrected(found.spec, design, None) is None


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("{}", "one of calibration and corrector says how"),
        ("{calibration: places.csv, truth: wealth}", "a calibration needs prediction"),
        ("{corrector: fix.json, method: lcc}", "method goes with calibration"),
        ("{calibration: places.csv, prediction: map, truth: wealth, score: kernel}", "score"),
        ("{calibration: places.csv, prediction: map, truth: wealth, label_noise_var: -1}", "label_noise_var"),
    ],
)
def test_mistakes_of_a_correction_are_told_at_their_lines(predicted: Path, written: str, told: str) -> None:
    with pytest.raises(SpecError, match=told):
        loaded(predicted, f"  ate: difference\ndebias: {written}\n")


def test_medians_are_not_asked_to_be_corrected(predicted: Path) -> None:
    with pytest.raises(SpecError, match="medians over repeated folds are not corrected"):
        loaded(predicted, "  ate: {method: aipw, repeats: 3}\n" + PLACES)


def test_what_no_correction_is_made_of_is_refused_before_anything_is_read(predicted: Path) -> None:
    with pytest.raises(
        SpecError, match=r"effects\.ate\[0\]: horvitz_thompson depends on where the outcome is zero"
    ):
        check_estimates(loaded(predicted, "  ate: [horvitz_thompson, ipw]\n" + PLACES))
    check_estimates(loaded(predicted, "  ate: [ipw, horvitz_thompson]\n" + PLACES))


def test_ids_of_places_must_be_there_whatever_the_kind_of_table(predicted: Path) -> None:
    pd.read_csv(predicted / "places.csv").to_stata(predicted / "places.dta")
    asked = PLACES.replace("places.csv", "places.dta").replace("prediction:", "id: plaze, prediction:")
    with pytest.raises(DebiasError, match="'plaze' is not in the calibration"):
        asked_corrector(loaded(predicted, "  ate: difference\n" + asked).spec)


def test_columns_and_files_of_a_correction_must_be_there(predicted: Path) -> None:
    pd.DataFrame({"unit": ["a"], "lon": [1.0], "lat": [1.0], "wealth": [0], "aid": [1], "urban": [0]}).to_csv(
        predicted / "units.csv", index=False
    )
    pd.DataFrame({"unit": ["a"], "f": [1.0]}).to_parquet(predicted / "features.parquet")
    wrong = loaded(predicted, "  ate: difference\n" + PLACES.replace("truth: wealth", "truth: weath"))
    with pytest.raises(
        SpecError, match=r"debias\.truth: column 'weath' is not in the calibration table. Did you"
    ):
        check_inputs(wrong)
    with pytest.raises(SpecError, match=r"debias\.corrector: there is no file"):
        check_inputs(loaded(predicted, "  ate: difference\ndebias: {corrector: fix.json}\n"))
