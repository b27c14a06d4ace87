"""Several arms and doses are read as what they are, and never as 0 and 1."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal import leaks
from eocausal.errors import DesignError, EocausalError, LeakError
from eocausal.nuisance.folds import deal
from tests.studies import FAST, FOREST, THREE, images, study

ARMS = ("none", "China", "both")


def armed(n: int = 120, *, seed: int = 0) -> pd.DataFrame:
    """The small study with a text column of three arms and a dose, both drawn at random."""
    rng = np.random.default_rng(seed + 50)
    return study(n, seed=seed).assign(
        aid=rng.choice(ARMS, n, p=[0.5, 0.3, 0.2]), dose=rng.gamma(2.0, size=n), visits=rng.integers(0, 3, n)
    )


def arms_of(table: pd.DataFrame, **options: object) -> ec.Design:
    asked = {"treatment": "aid", "treatment_type": "categorical", "control": "none", "covariates": ["age"]}
    return ec.Design(table, outcome="income", **{**asked, **options})


def dose_of(table: pd.DataFrame, **options: object) -> ec.Design:
    asked = {"treatment": "dose", "treatment_type": "continuous", "covariates": ["age"]}
    return ec.Design(table, outcome="income", **{**asked, **options})


def test_arms_are_codes_with_the_control_first() -> None:
    table = armed()
    read = arms_of(table).table
    assert read.arms == ("none", "China", "both")
    assert [read.arms[int(code)] for code in read.assigned] == table["aid"].tolist()


def test_arms_keep_the_order_of_a_category_column_and_forget_levels_that_nobody_has() -> None:
    table = armed()
    table["aid"] = pd.Categorical(table["aid"], categories=["both", "gone", "none", "China"])
    assert arms_of(table).table.arms == ("none", "both", "China")


@pytest.mark.parametrize("kind", ["int64", "float64", "Int8"])
def test_whole_numbers_name_arms_in_their_order(kind: str) -> None:
    table = armed().assign(visits=lambda t: (t["visits"] * 5).astype(kind))
    read = arms_of(table, treatment="visits", control=5).table
    assert arms_of(table, treatment="visits", control=5.0).table.arms == read.arms
    assert read.arms == ("5", "0", "10")
    assert (read.assigned == table["visits"].map({5: 0, 0: 1, 10: 2}).to_numpy(dtype=float)).all()


def test_a_dose_is_read_as_it_is() -> None:
    table = armed()
    read = dose_of(table).table
    assert read.arms == ()
    assert (read.assigned == table["dose"].to_numpy()).all()
    quarter = pd.qcut(table["dose"], 4, labels=False).to_numpy()
    assert (read.alike == quarter).all()


def test_two_arms_are_what_they_were() -> None:
    table = study()
    read = ec.Design(table, outcome="income", treatment="grant").table
    assert read.arms == ("control", "treated")
    assert (read.treatment == table["grant"]).all()
    assert (read.alike == table["grant"]).all()


@pytest.mark.parametrize(("make", "words"), [
    (arms_of, "120 units, arms {none} none + {China} China + {both} both, 1 covariates"),
    (dose_of, "120 units, dose {low:.4g} to {high:.4g}, 1 covariates"),
])  # fmt: skip
def test_one_line_says_who_got_what(make: object, words: str) -> None:
    table = armed()
    counts = table["aid"].value_counts()
    said = words.format(**counts, low=table["dose"].min(), high=table["dose"].max())
    assert said in repr(make(table))


BAD = {
    "no control": ({"control": None}, r"control= is not given[\s\S]*'none': 58[\s\S]*control='China'|'both'"),
    "unknown control": ({"control": "chna"}, r"control='chna' is not an arm[\s\S]*Did you mean 'China'"),
    "control of two arms": (
        {"treatment": "grant", "treatment_type": "binary"}, r"control='none' is given[\s\S]*leave control= out",
    ),
    "control of a dose": ({"treatment": "dose", "treatment_type": "continuous"}, r"several arms"),
    "unknown type": ({"treatment_type": "categoric"}, r"treatment_type='categoric'[\s\S]*'categorical'"),
    "fractions as arms": ({"treatment": "dose"}, r"not whole[\s\S]*treatment_type='continuous'"),
    "known propensity": ({"propensity": 0.5}, r"known propensity goes with two arms[\s\S]*leave propensity= out"),
    "too few doses": (
        {"treatment": "visits", "treatment_type": "continuous", "control": None},
        r"3 distinct values, too few[\s\S]*at least 6[\s\S]*'categorical'",
    ),
    "0/1 as dose": (
        {"treatment": "grant", "treatment_type": "continuous", "control": None}, r"treatment_type='binary'",
    ),
    "text as dose": ({"treatment_type": "continuous", "control": None}, r"not numeric[\s\S]*'categorical'"),
    "text as two arms": (
        {"treatment_type": "binary", "control": None}, r"not coded 0 and 1[\s\S]*treatment_type='categorical'",
    ),
    "dose as two arms": (
        {"treatment": "dose", "treatment_type": "binary", "control": None},
        r"not coded 0 and 1[\s\S]*treatment_type='continuous'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", list(BAD))
def test_what_does_not_fit_is_refused_with_what_would(case: str) -> None:
    options, words = BAD[case]
    with pytest.raises(DesignError, match=words):
        arms_of(armed(), **options)


COLUMNS = {
    "a single arm": (lambda t: "none", r"single arm \('none': 120\)"),
    "an arm of one": (lambda t: ["rare", *t["aid"][1:]], r"fewer than 2 units[\s\S]*rare: 1"),
    "missing": (lambda t: [None, *t["aid"][1:]], r"missing for some units[\s\S]*100[\s\S]*fillna\('none'\)"),
    "blank": (lambda t: [" ", *t["aid"][1:]], r"blank for some units[\s\S]*100"),
    "case alone": (lambda t: ["china", *t["aid"][1:]], r"case or blanks alone[\s\S]*'China'[\s\S]*lower"),
    "mixed kinds": (lambda t: [3, *t["aid"][1:]], r"int, str[\s\S]*astype\(str\)"),
}


@pytest.mark.parametrize("case", list(COLUMNS))
def test_columns_that_name_no_arms_are_refused(case: str) -> None:
    column, words = COLUMNS[case]
    table = armed()
    with pytest.raises(DesignError, match=words):
        arms_of(table.assign(aid=column(table)))


@pytest.mark.parametrize(("value", "words"), [(np.inf, "infinite doses"), (np.nan, "missing for some")])
def test_doses_that_are_no_numbers_are_refused(value: float, words: str) -> None:
    table = armed()
    table.loc[100, "dose"] = value
    with pytest.raises(DesignError, match=rf"{words}[\s\S]*100"):
        dose_of(table)


def test_units_left_out_are_counted_by_arm() -> None:
    table = armed()
    table.loc[table.index[:6], "age"] = np.nan
    counts = table["aid"][:6].value_counts().reindex(ARMS, fill_value=0)
    by_arm = f"{counts['China']} China, {counts['both']} both, {counts['none']} none"
    said = f"6 units ({by_arm}) with no covariate 'age'"
    assert said in arms_of(table, missing="drop").table.notes[0]
    assert "6 units with no covariate 'age'" in dose_of(table, missing="drop").table.notes[0]


@pytest.mark.parametrize("make", [arms_of, dose_of])
def test_parts_of_a_design_keep_what_was_assigned(make: object) -> None:
    whole = make(armed(), cluster="village", features=images())
    rows = np.arange(len(whole)) % 3 > 0
    part = whole.take(rows)
    assert (part.table.assigned == whole.table.assigned[rows]).all()
    assert (part.table.arms, part.table.treatment_type) == (whole.table.arms, whole.treatment_type)
    first, second = whole.split(seed=1)
    assert sorted([*first.table.ids, *second.table.ids]) == sorted(whole.table.ids)
    assert not set(first.table.clusters) & set(second.table.clusters)
    other = whole.with_outcome("wealth")
    assert (other.table.assigned == whole.table.assigned).all()
    assert whole.unadjusted().table.arms == whole.table.arms


def test_a_part_without_an_arm_is_refused() -> None:
    whole = arms_of(armed())
    with pytest.raises(DesignError, match=r"fewer than 2 units[\s\S]*both: 0"):
        whole.take(whole.table.assigned != 2)


def test_the_fingerprint_tells_types_and_controls_apart() -> None:
    table = armed().assign(grant=lambda t: t["grant"].astype(int))
    two = ec.Design(table, outcome="income", treatment="grant", covariates=["age"])
    named = arms_of(table, treatment="grant", control=0)
    swapped = arms_of(table, treatment="grant", control=1)
    assert len({two.fingerprint, named.fingerprint, swapped.fingerprint}) == 3
    assert arms_of(table).fingerprint == arms_of(table).fingerprint


@pytest.mark.parametrize("make", [arms_of, dose_of])
def test_folds_have_like_numbers_of_units_that_got_alike(make: object) -> None:
    design = make(armed(300))
    folds = ec.Folds(k=3).assign(design, seed=0)
    counts = np.array([np.bincount(design.table.alike[folds == fold]) for fold in range(3)])
    assert (counts.max(axis=0) - counts.min(axis=0)).max() <= 1


def test_dealing_treats_three_arms_alike_whatever_their_numbers() -> None:
    arms = np.array([0] * 12 + [1] * 6 + [7] * 3)
    fold = deal(np.arange(21), arms, k=3, seed=4)
    assert [np.bincount(fold[arms == arm]).tolist() for arm in (0, 1, 7)] == [[4] * 3, [2] * 3, [1] * 3]


def test_a_pair_of_arms_is_a_design_of_two() -> None:
    table = armed()
    whole = arms_of(table, cluster="village", features=images())
    pair = whole.pair("both", "China")
    rows = table["aid"].isin(["both", "China"]).to_numpy()
    assert (pair.table.ids == table.index[rows]).all()
    assert (pair.table.treatment == (table["aid"][rows] == "both")).all()
    assert pair.treatment == "aid[both]"
    plain = ec.Design(
        table[rows].assign(**{"aid[both]": (table["aid"][rows] == "both").astype(int)}),
        outcome="income", treatment="aid[both]", covariates=["age"], cluster="village", features=images(),
    )  # fmt: skip
    for method in ("aipw", "difference"):
        one, other = (ec.ate(design, method=method, learners=FAST) for design in (pair, plain))
        assert one.estimate == other.estimate
        assert one.std_error == other.std_error
    assert (pair.with_outcome("wealth").table.treatment == pair.table.treatment).all()


def test_parts_of_a_design_say_which_units_their_plain_difference_lacks() -> None:
    table = armed()
    table.loc[table.index[:7], "age"] = np.nan
    whole = arms_of(table, missing="drop")
    assert ec.ate(whole, method="difference").warnings == ()
    for part in (
        whole.pair("both"),
        whole.take(np.arange(100)),
        whole.take(np.arange(100)).with_outcome("wealth"),
    ):
        found = ec.ate(part, method="difference")
        assert found.n == len(part)
        assert [text for text in found.warnings if "with no covariate 'age'" in text] == list(
            whole.table.notes
        )


def test_one_arm_against_all_others_keeps_every_unit() -> None:
    units = ec.read_units(armed().reset_index().assign(lon=1.0, lat=2.0), id="id", lon="lon", lat="lat")
    rest = arms_of(units).against_rest("none")
    assert rest.table.treatment.tolist() == [float(arm == "none") for arm in units.frame["aid"]]
    assert rest.unadjusted().treatment_type == "binary"


def test_arms_that_are_none_cannot_be_paired() -> None:
    whole = arms_of(armed())
    with pytest.raises(DesignError, match=r"arm='Chine'[\s\S]*'China'"):
        whole.pair("Chine")
    with pytest.raises(DesignError, match="itself"):
        whole.pair("none")
    with pytest.raises(DesignError, match=r"binary, so it has no arms"):
        ec.Design(study(), outcome="income", treatment="grant").pair("treated")


VERBS = {
    "cate": lambda design: ec.cate(design, learner=FOREST, folds=THREE),
    "rate": lambda design: ec.rate(design, priority=pd.Series(1.0, index=design.table.ids)),
    "balance": ec.balance,
    "overlap": ec.overlap,
    "report": lambda design: ec.report([design], "never-written.html"),
    "randomisation_test": ec.randomisation_test,
    "regression": lambda design: ec.ate(design, method="regression"),
    "entropy_balancing": lambda design: ec.ate(design, method="entropy_balancing"),
    "cbps": lambda design: ec.ate(design, method="cbps"),
    "horvitz_thompson": lambda design: ec.ate(design, method="horvitz_thompson"),
    "treatment": lambda design: design.table.treatment,
}


@pytest.mark.parametrize("verb", list(VERBS))
@pytest.mark.parametrize("make", [arms_of, dose_of])
def test_verbs_of_two_arms_refuse_all_else(make: object, verb: str) -> None:
    design = make(armed(), features=images())
    with pytest.raises(EocausalError, match=rf"{design.treatment_type}[\s\S]*(pair\(arm\)|dose_response)"):
        VERBS[verb](design)


def test_every_method_of_averages_is_for_a_type_or_refuses() -> None:
    from eocausal.effects.ate import METHODS

    several, dose = arms_of(armed()), dose_of(armed())
    for method in METHODS:
        for design, able in ((several, ("aipw", "ipw", "difference")), (dose, ("partially_linear", "ols"))):
            if method in able:
                assert ec.ate(design, method=method, learners=FAST, folds=THREE).n == 120
            else:
                with pytest.raises(EocausalError, match=f"method='{method}' is not defined for a treatment"):
                    ec.ate(design, method=method)


LEAKING = {
    "an indicator": (lambda t: (t["aid"] == "China") * 2.0, "one value in each arm"),
    "two arms together": (lambda t: t["aid"].isin(["China", "both"]) * 1.0, "one value in each arm"),
    "a price for each arm": (
        lambda t: t["aid"].map({"none": 0.0, "China": 3.0, "both": 2.0}),
        "one value in each",
    ),
    "what one arm got": (lambda t: (t["aid"] == "both") * t["wealth"] ** 2, "varies in the other arm"),
    "times a column": (lambda t: (t["aid"] == "none") * t["wealth"], r"treatment times 'wealth'"),
}


@pytest.mark.parametrize("case", list(LEAKING))
def test_columns_made_from_arms_are_refused(case: str) -> None:
    made, words = LEAKING[case]
    table = armed(300).assign(made=lambda t: made(t))
    with pytest.raises(LeakError, match=rf"'made' .*{words}"):
        arms_of(table, covariates=["age", "made"])


FOLLOWING = {
    "scaled": (lambda t: 3 - 2 * t["dose"], "equals the dose up to scale"),
    "logarithm": (lambda t: np.log(t["dose"]), "only a function of it"),
    "bent": (lambda t: (t["dose"] - 2) ** 2, "only a function of it"),
    "stepped": (lambda t: (t["dose"] > 1.5) * 1.0, "only a function of it"),
    "times a column": (lambda t: t["dose"] * t["wealth"], "equals the dose times 'wealth'"),
}


@pytest.mark.parametrize("case", list(FOLLOWING))
def test_columns_made_from_the_dose_are_refused(case: str) -> None:
    made, words = FOLLOWING[case]
    table = armed(300).assign(made=lambda t: made(t))
    with pytest.raises(LeakError, match=rf"'made' .*{words}"):
        dose_of(table, covariates=["age", "made"])


@pytest.mark.parametrize(("make", "column"), [(arms_of, "aid"), (dose_of, "dose")])
def test_features_made_from_the_treatment_are_refused(make: object, column: str) -> None:
    table = armed(200).assign(key=np.arange(200))
    bad = table["dose"] ** 2 if column == "dose" else (table["aid"] == "both") * 1.0
    frame = pd.DataFrame({"key": table["key"], "good": table["age"] * 2, "bad": bad.to_numpy()})
    with pytest.raises(LeakError, match=r"features follow from the treatment[\s\S]*1 \(bad "):
        make(table, features=ec.read_embeddings(frame, key="key"))


@pytest.mark.parametrize("seed", range(20))
def test_honest_columns_are_not_called_leaks(seed: int) -> None:
    table = armed(60, seed=seed)
    rng = np.random.default_rng(seed)
    # as near to the dose as a strong confounder comes, and a column of few values
    table["near"] = table["dose"].rank() / 60 + 0.1 * rng.normal(size=60)
    table["step"] = (table["near"] > 0.5).astype(float)
    table["rare"] = (np.arange(60) < 2) * 1.0
    dose_of(table, covariates=["age", "near", "step", "rare"])
    arms_of(table, covariates=["age", "near", "rare", "grant"])


def test_a_trait_of_few_villages_is_no_function_of_their_doses() -> None:
    table = armed(240)
    rng = np.random.default_rng(3)
    village = table["village"].to_numpy()
    table["dose"], table["distance"] = rng.normal(size=24)[village], rng.normal(size=24)[village]
    assert len(dose_of(table, covariates=["distance"], cluster="village")) == 240
    assert leaks.rank_dependence(table["distance"].to_numpy(), table["dose"].to_numpy()) > 0.5


def test_rank_dependence_by_hand() -> None:
    # in the order of doses the ranks are 2 1 3: two steps of 1 and 2; 1 - 3 * 3 / (9 - 1)
    assert leaks.rank_dependence(np.array([5.0, 1.0, 9.0]), np.array([0.0, 1.0, 2.0])) == pytest.approx(
        -0.125
    )
    assert leaks.rank_dependence(np.ones(5), np.arange(5.0)) == 0


def test_designs_without_the_new_arguments_are_those_of_before() -> None:
    plain = ec.Design(study(), outcome="income", treatment="grant", covariates=["age"])
    assert replace(plain, treatment_type="binary").fingerprint == plain.fingerprint


def test_features_of_many_units_that_follow_from_the_dose_are_found_among_those_that_do_not() -> None:
    rng = np.random.default_rng(8)
    n = 12_000
    dose = rng.normal(size=n)
    features = rng.normal(size=(n, 12))
    features[:, 1] = 3 - dose
    features[:, 3] = np.sin(4 * dose)
    features[:, 5] = dose > 0.3
    features[:, 6] = rng.integers(0, 2, n)
    features[:, 7] = 0.8 * dose + 0.6 * rng.normal(size=n)
    features[:, 8] = 1.0
    found = leaks.features_of_assignment(features, dose, arms=(), groups=np.arange(n))
    assert sorted(found) == [1, 3, 5]
    one_by_one = [leaks.function_of_dose(column, dose, groups=np.arange(n)) for column in features.T]
    assert found == {number: reason for number, reason in enumerate(one_by_one) if reason is not None}
