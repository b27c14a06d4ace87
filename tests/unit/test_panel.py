"""Effects in panels: identities by hand, invariances, who is left out, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.errors import DesignError, EstimationError

ROLES = {"outcome": "outcome", "treatment": "treated", "unit": "unit", "period": "period"}


def _world(**more: object) -> pd.DataFrame:
    asked = {"n_regions": 30, "units_per_region": 4, "growth": 0.5, "seed": 5, **more}
    return ec.simulate_panel(**asked).frame


def _design(table: pd.DataFrame, **more: object) -> ec.PanelDesign:
    return ec.PanelDesign(table, **{**ROLES, **more})


def _two_by_two(n: int = 40) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    treated = np.arange(n) < 15
    before = rng.normal(size=n) + treated
    after = before + 1 + 2 * treated + rng.normal(size=n)
    units = pd.DataFrame({"unit": np.arange(n), "arm": treated, "age": rng.normal(size=n)})
    long = pd.concat([units.assign(period=0, outcome=before), units.assign(period=1, outcome=after)])
    return long.assign(treated=(long["arm"] & (long["period"] == 1)).astype(int))


@pytest.mark.parametrize("method", ["twfe", "did", "event_study"])
def test_two_groups_and_two_periods_are_a_difference_in_differences(method: str) -> None:
    table = _two_by_two()
    means = table.groupby(["arm", "period"])["outcome"].mean()
    by_hand = means[True, 1] - means[True, 0] - means[False, 1] + means[False, 0]
    made = ec.panel(_design(table), method=method)
    assert made.estimate == pytest.approx(by_hand, abs=1e-12)
    # its standard error clustered by unit is that of a difference of mean changes, up to the stated factors
    wide = table.pivot_table(index="unit", columns="period", values="outcome")
    change, arm = wide[1] - wide[0], table.groupby("unit")["arm"].first()
    squares = sum(
        ((change[arm == one] - change[arm == one].mean()) ** 2).sum() / (arm == one).sum() ** 2
        for one in (0, 1)
    )
    assert made.std_error / np.sqrt(made.variance.factor) == pytest.approx(np.sqrt(squares), rel=1e-10)


def test_unit_effects_count_where_rows_are_taken_as_independent() -> None:
    table = _two_by_two()
    clustered, separate = (ec.panel(_design(table), vcov=vcov) for vcov in ("cluster", "hetero"))
    assert clustered.n_params == 1 + 2
    assert separate.variance.df == 80 - (1 + 2 + 39)
    # with two periods, rows of a unit have equal squares, and counting unit effects makes up for it
    ratio = clustered.std_error / np.sqrt(clustered.variance.factor) / separate.std_error
    assert ratio == pytest.approx(np.sqrt((80 - 42) / 40), rel=1e-6)


def test_cells_are_differences_of_mean_changes_against_those_not_yet_treated() -> None:
    table = _world()
    made = ec.panel(_design(table), method="did", aggregate="cells").to_frame().set_index("term")["estimate"]
    wide = table.pivot_table(index="unit", columns="period", values="outcome")
    first = table.groupby("unit")["first_treated"].first()
    for cohort, year in ((2006, 2009), (2009, 2009), (2012, 2003)):
        base = cohort - 3
        change = wide[year] - wide[base]
        controls = first.isna() | (first > max(year, base))
        controls &= first != cohort
        by_hand = change[first == cohort].mean() - change[controls].mean()
        assert made[f"att({cohort}, {year})"] == pytest.approx(by_hand, abs=1e-12)
    assert "att(2009, 2006)" not in made.index  # the period compared with


def test_averages_weigh_cohorts_by_their_size() -> None:
    table = _world(n_regions=31)
    design = _design(table)
    cells = ec.panel(design, method="did", aggregate="cells").to_frame().set_index("term")["estimate"]
    size = table.groupby("unit")["first_treated"].first().value_counts()
    named = [(int(name[4:8]), int(name[10:14]), value) for name, value in cells.items()]
    after = [(cohort, year, value) for cohort, year, value in named if year >= cohort]
    simple = np.average([value for *_, value in after], weights=[size[cohort] for cohort, *_ in after])
    assert ec.panel(design, method="did").estimate == pytest.approx(simple)
    by_event = ec.panel(design, method="did", aggregate="dynamic").to_frame().set_index("term")["estimate"]
    at_one = [(size[cohort], value) for cohort, year, value in named if year - cohort == 3]
    assert by_event["event 1"] == pytest.approx(
        np.average([v for _, v in at_one], weights=[w for w, _ in at_one])
    )
    assert by_event["overall"] == pytest.approx(by_event[["event 0", "event 1", "event 2"]].mean())
    by_year = ec.panel(design, method="did", aggregate="calendar").to_frame().set_index("term")["estimate"]
    in_2012 = [(size[cohort], value) for cohort, year, value in after if year == 2012]
    assert by_year["period 2012"] == pytest.approx(
        np.average([v for _, v in in_2012], weights=[w for w, _ in in_2012])
    )
    groups = ec.panel(design, method="did", aggregate="group").to_frame().set_index("term")["estimate"]
    assert groups["group 2009"] == pytest.approx((cells["att(2009, 2009)"] + cells["att(2009, 2012)"]) / 2)
    parts = groups.drop("overall")
    assert groups["overall"] == pytest.approx(
        np.average(parts, weights=[size[int(one[6:])] for one in parts.index])
    )


@pytest.mark.parametrize("method", ["twfe", "event_study", "did"])
def test_the_order_of_rows_and_the_coding_of_periods_change_nothing(method: str) -> None:
    table = _world()
    first = ec.panel(_design(table, cluster="region"), method=method)
    coded = table.assign(period=(table["period"] - 2000) // 3).sample(frac=1, random_state=2)
    second = ec.panel(_design(coded, cluster="region"), method=method)
    np.testing.assert_allclose(second.estimate, first.estimate, rtol=1e-11)
    np.testing.assert_allclose(second.std_error, first.std_error, rtol=1e-10)
    assert second.terms == first.terms


def test_with_conley_too_the_coding_of_periods_changes_nothing() -> None:
    table = _world()
    places = {"coordinates": ("lon", "lat"), "cluster": "region"}
    choice = {"conley": "60km"}
    first = ec.panel(_design(table, **places), method="twfe", vcov=choice)
    coded = ec.panel(_design(table.assign(period=table["period"] // 3), **places), method="twfe", vcov=choice)
    assert coded.std_error == pytest.approx(first.std_error, rel=1e-10)
    assert first.n_params == 1 + 4


@pytest.mark.parametrize("never", [np.nan, -999.0, 0.0, 9999.0])
def test_nothing_depends_on_how_a_missing_start_is_coded(never: float) -> None:
    table = _world()
    table["first_treated"] = table["first_treated"].fillna(never)
    design = _design(table, cluster="region")
    made = ec.panel(design, method="event_study")
    assert made.n == len(table)
    assert made.diagnostics["never_treated"] == 48
    plain = ec.panel(_design(_world(), cluster="region"), method="event_study")
    assert made.estimate.tolist() == plain.estimate.tolist()


def test_an_event_study_without_never_treated_units_is_another_one() -> None:
    table = _world()
    kept = ec.panel(_design(table), method="event_study").estimate
    treated = table[table["first_treated"].notna()]
    with pytest.raises(
        EstimationError, match=r"these columns follow from others[\s\S]*without never-treated units"
    ):
        ec.panel(_design(treated), method="event_study")
    binned = ec.panel(_design(treated), method="event_study", window=(-2, 1))
    assert binned.terms == ("event <= -2", "event 0", "event >= 1")
    assert not np.allclose(binned.estimate[1], kept[2])


def test_where_the_period_before_treatment_is_a_gap_did_takes_the_last_one_that_there_is() -> None:
    table = _world(periods=(2000, 2005, 2007), n_regions=40)
    table = table[table["first_treated"] != 2007]
    with pytest.raises(
        EstimationError, match=r"No treated unit is seen in the period before[\s\S]*method='did'"
    ):
        ec.panel(_design(table), method="event_study")
    made = ec.panel(_design(table), method="did", aggregate="dynamic")
    assert made.terms == ("overall", "event 0", "event 2")
    assert any("periods are 1 apart, but 5 of 8 are missing" in text for text in made.warnings)
    wide = table.pivot_table(index="unit", columns="period", values="outcome")
    change, arm = wide[2005] - wide[2000], table.groupby("unit")["first_treated"].first().notna()
    assert made.values[1] == pytest.approx(change[arm].mean() - change[~arm].mean())


def test_event_studies_and_did_agree_where_one_cohort_is_treated() -> None:
    table = _world()
    table = table[table["first_treated"].isna() | (table["first_treated"] == 2009)]
    event = ec.panel(_design(table), method="event_study")
    did = ec.panel(_design(table), method="did", aggregate="dynamic")
    assert event.terms == did.terms[1:] == ("event -2", "event 0", "event 1")
    np.testing.assert_allclose(event.estimate, did.estimate[1:], atol=1e-10)


def test_units_treated_from_the_start_are_left_out_with_a_count() -> None:
    table = _world()
    always = table["unit"].isin(sorted(table["unit"].unique())[:7])
    table.loc[always, "treated"] = 1
    rest = table[~always]
    for method in ("event_study", "did"):
        made = ec.panel(_design(table), method=method)
        np.testing.assert_allclose(made.estimate, ec.panel(_design(rest), method=method).estimate, atol=1e-12)
        assert any(
            text.startswith("left out: 7 units treated from the first period") for text in made.warnings
        )
    assert any("7 units are treated from the first" in text for text in ec.panel(_design(table)).warnings)


def test_did_leaves_out_units_that_miss_periods_with_a_count() -> None:
    table = _world().drop(index=[0, 5])
    made = ec.panel(_design(table), method="did")
    assert made.n == 118
    assert any("2 units that miss periods" in text for text in made.warnings)
    whole = table[~table["unit"].isin(["r000u00", "r000u01"])]
    assert made.estimate == pytest.approx(ec.panel(_design(whole), method="did").estimate)


def test_the_last_cohort_has_no_controls_without_never_treated_units() -> None:
    table = _world()
    treated = table[table["first_treated"].notna()]
    made = ec.panel(_design(treated), method="did", aggregate="cells")
    assert any(text.startswith("5 cohorts and periods have no units") for text in made.warnings)
    assert "att(2012, 2012)" not in made.terms
    with pytest.raises(EstimationError, match=r"No cohort has units that are never treated[\s\S]*not_yet"):
        ec.panel(_design(treated), method="did", control="never")


def test_shares_of_periods_enter_twfe_and_nothing_else() -> None:
    table = _world()
    table["treated"] = table["treated"] * np.where(table["period"] == 2006, 0.5, 1.0)
    assert ec.panel(_design(table)).estimate > 0
    for method in ("event_study", "did"):
        with pytest.raises(DesignError, match=r"share of the period in 24 rows[\s\S]*method='twfe'"):
            ec.panel(_design(table), method=method)


def test_treatment_that_turns_off_is_refused_where_its_start_counts() -> None:
    table = _world()
    off = table.index[(table["period"] == 2012) & (table["first_treated"] == 2006)][:3]
    table.loc[off, "treated"] = 0
    for method in ("event_study", "did"):
        with pytest.raises(DesignError, match=r"turns off again in 3 units[\s\S]*cummax"):
            ec.panel(_design(table), method=method)
    assert any("falls again in 3 of 72" in text for text in ec.panel(_design(table)).warnings)


def test_weights_are_those_of_repeated_units() -> None:
    table = _world()
    rng = np.random.default_rng(0)
    times = dict(zip(table["unit"].unique(), rng.integers(1, 4, size=120)))
    weighted = table.assign(weight=table["unit"].map(times).astype(float))
    copies = [
        weighted[weighted["weight"] > copy].assign(unit=lambda one, c=copy: one["unit"] + f"x{c}")
        for copy in range(3)
    ]
    for method in ("twfe", "did"):
        made = ec.panel(_design(weighted, weights="weight"), method=method)
        assert made.estimate == pytest.approx(
            ec.panel(_design(pd.concat(copies)), method=method).estimate, abs=1e-9
        )
    weighted.loc[0, "weight"] = 9.0
    with pytest.raises(DesignError, match=r"Weights 'weight' change within units"):
        ec.panel(_design(weighted, weights="weight"), method="did")


def test_did_adjusts_for_what_makes_trends_differ_by_regression_and_by_features() -> None:
    rng = np.random.default_rng(3)
    n = 500
    trait = rng.normal(size=n)
    start = np.where(rng.uniform(size=n) < 1 / (1 + np.exp(-trait)), 1, 9)
    rows = [
        pd.DataFrame(
            {
                "unit": np.arange(n), "period": period, "trait": trait, "treated": (start <= period).astype(int),
                "outcome": trait + period * trait + (start <= period) + 0.5 * rng.normal(size=n),
            }
        )
        for period in range(2)
    ]  # fmt: skip
    table = pd.concat(rows, ignore_index=True)
    picture = np.column_stack([trait + 0.01 * rng.normal(size=n), rng.normal(size=n)])
    features = ec.read_embeddings(
        pd.DataFrame({"unit": np.arange(n), "f0": picture[:, 0], "f1": picture[:, 1]}), key="unit"
    )
    plain = ec.panel(_design(table), method="did")
    assert plain.estimate > 1.5
    adjusted = ec.panel(_design(table, covariates=["trait"]), method="did")
    learned = ec.panel(_design(table, covariates=["trait"]), method="did", learners=ec.Learners())
    seen = ec.panel(_design(table, features=features), method="did", folds=ec.Folds(k=3))
    for made in (adjusted, learned, seen):
        low, high = made.ci(0.99)
        assert low < 1 < high
        assert made.std_error < 0.12
    assert any("given image features from before treatment" in text for text in seen.assumptions)
    table["lon"], table["lat"] = 30 + 0.01 * table["unit"], 0.0
    block = ec.Folds(kind="block", block_m=20_000, k=3)
    placed = _design(table, features=features, coordinates=("lon", "lat"))
    assert abs(ec.panel(placed, method="did", folds=block).estimate - 1) < 0.35
    with pytest.raises(
        EstimationError, match=r"For the cohort of 1 in 1, with \d+ treated units: kind='block' needs"
    ):
        ec.panel(_design(table, features=features), method="did", folds=block)
    again = ec.panel(_design(table, features=features), method="did", folds=ec.Folds(k=3))
    assert again.estimate == seen.estimate


def test_finer_clusters_than_the_assignment_and_few_of_them_are_said() -> None:
    design = _design(_world(), cluster="region")
    made = ec.panel(design, vcov={"cluster": "unit"})
    assert any(
        "the design's cluster is 'region' (30 clusters, 18 with treated units)" in text
        for text in made.warnings
    )
    default = ec.panel(design)
    assert default.vcov == "cluster(region)"
    assert any("18 clusters with treated and 12 with control units" in text for text in default.warnings)
    assert default.diagnostics["treated_assignment_units"] == 18
    assert default.std_error > made.std_error
    single = ec.panel(design, vcov="hetero")
    assert any(
        "18 treated clusters (region) of assignment" in text and "wild" in text for text in single.warnings
    )


def test_results_travel_and_can_be_compared() -> None:
    design = _design(_world(), cluster="region")
    for method in ("twfe", "did"):
        made = ec.panel(design, method=method)
        assert ec.Estimate.from_dict(made.to_dict(scores=True)) == made
        assert (made.panel is None) == (method == "did")
        assert list(made.groups) == (["region", "unit", "period"] if method == "twfe" else ["region", "unit"])
        np.testing.assert_allclose(made.score_values.sum(axis=0), 0, atol=1e-8)
    shifted = ec.panel(
        _design(_world().assign(outcome=lambda one: one["outcome"] + one["treated"]), cluster="region")
    )
    gap = shifted - ec.panel(design)
    assert gap.estimate == pytest.approx(1.0)


BAD = {
    "no design": (lambda d: ec.panel("panel"), EstimationError, r"ec\.PanelDesign\(table"),
    "method": (lambda d: ec.panel(d, method="fe"), EstimationError, r"method='fe' is not known"),
    "aggregate": (
        lambda d: ec.panel(d, method="did", aggregate="dynamics"), EstimationError, r"Did you mean 'dynamic'",
    ),
    "control": (lambda d: ec.panel(d, method="did", control="later"), EstimationError, r"control='later'"),
    "other option": (
        lambda d: ec.panel(d, aggregate="group"), EstimationError, r"no option[\s\S]*method='did'",
    ),
    "window of did": (lambda d: ec.panel(d, method="did", window=(-2, 2)), EstimationError, r"method='event_st"),
    "window": (lambda d: ec.panel(d, method="event_study", window=(-1, 2)), EstimationError, r"first below -1"),
    "window of one": (lambda d: ec.panel(d, method="event_study", window=3), EstimationError, r"window=3"),
    "learners": (
        lambda d: ec.panel(d, method="did", learners="ridge"), EstimationError, r"learners is a str",
    ),
    "repeats": (
        lambda d: ec.panel(d, method="did", folds=ec.Folds(repeats=3)), EstimationError, r"several times",
    ),
    "seed": (lambda d: ec.panel(d, seed=-1), EstimationError, r"seed=-1"),
    "vcov": (lambda d: ec.panel(d, vcov="robust"), EstimationError, r"vcov='robust' is not known"),
}  # fmt: skip


@pytest.mark.parametrize("case", list(BAD))
def test_bad_options_are_refused(case: str) -> None:
    ask, kind, words = BAD[case]
    with pytest.raises(kind, match=words):
        ask(_design(_world()))


def test_without_linearmodels_did_still_works_and_fixed_effects_say_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "linearmodels.panel.data", None)
    design = _design(_world())
    assert ec.panel(design, method="did").n == 120
    for method in ("twfe", "event_study"):
        with pytest.raises(EstimationError, match=r"linearmodels is not installed[\s\S]*eocausal\[panels\]"):
            ec.panel(design, method=method)


def test_traits_and_features_that_unit_effects_absorb_are_refused() -> None:
    table = _world()
    table["height"] = table["unit"].map(
        {unit: place % 7 for place, unit in enumerate(table["unit"].unique())}
    )
    with pytest.raises(
        EstimationError, match=r"leave nothing of these columns[\s\S]*height[\s\S]*method='did'"
    ):
        ec.panel(_design(table, covariates=["height"]))
    names = sorted(table["unit"].unique())
    made = pd.DataFrame({"unit": names, "f0": np.random.default_rng(0).normal(size=len(names))})
    features = ec.read_embeddings(made, key="unit", date="2001-01-01")
    for method in ("twfe", "event_study"):
        with pytest.raises(EstimationError, match=r"unit effects absorb them[\s\S]*method='did'"):
            ec.panel(_design(table, features=features), method=method)


@pytest.mark.parametrize("method", ["twfe", "did"])
def test_labels_by_unit_are_clusters_of_every_method(method: str) -> None:
    frame = ec.simulate_panel(n_regions=20, units_per_region=5, seed=3).frame
    roles = {"outcome": "outcome", "treatment": "treated", "unit": "unit", "period": "period"}
    by_unit = frame.groupby("unit")["region"].first().rename("province")
    named = ec.panel(ec.PanelDesign(frame, **roles, cluster="region"), method=method)
    given = ec.panel(ec.PanelDesign(frame, **roles), method=method, vcov={"cluster": by_unit})
    assert given.vcov == "cluster(province)"
    assert given.std_error == named.std_error == named.with_vcov({"cluster": by_unit}).std_error


def test_fixed_effects_and_differences_are_compared_by_clusters_of_units_of_any_kind() -> None:
    frame = ec.simulate_panel(n_regions=20, units_per_region=3, periods=(2003, 2006), seed=3).frame
    frame["unit"] = frame["unit"].factorize()[0]
    design = ec.PanelDesign(
        frame, outcome="outcome", treatment="treated", unit="unit", period="period", cluster="region"
    )
    rows, units = ec.panel(design), ec.panel(design, method="did")
    # with two periods both are the same difference of mean changes
    gap = rows - units
    assert gap.estimate == pytest.approx(0, abs=1e-12)
    assert gap.std_error == pytest.approx(0, abs=1e-12)
    assert (gap.n, gap.n_clusters) == (180, 20)
    by_unit = [one.with_vcov({"cluster": "unit"}) for one in (rows, units)]
    assert (by_unit[0] - by_unit[1]).std_error == pytest.approx(0, abs=1e-12)
    with pytest.raises(EstimationError, match=r"Rows of a panel[\s\S]*with_vcov\('cluster'\)"):
        rows.with_vcov("iid") - units.with_vcov("iid")


def test_units_that_move_are_counted_where_each_has_one_place() -> None:
    frame = ec.simulate_panel(n_regions=20, units_per_region=3, seed=3).frame
    roles = {"outcome": "outcome", "treatment": "treated", "unit": "unit", "period": "period"}
    places = {"coordinates": ("lon", "lat")}
    still = ec.panel(ec.PanelDesign(frame, **roles, **places), method="did")
    assert not any("several places" in text for text in still.warnings)
    late = (frame["period"] == 2012) & frame["unit"].isin(frame["unit"].unique()[:2])
    moved = ec.PanelDesign(frame.assign(lon=frame["lon"] + 0.1 * late), **roles, **places)
    (told,) = [text for text in ec.panel(moved, method="did").warnings if "several places" in text]
    assert told.startswith("2 units are in several places over time")
    assert ec.panel(moved, method="did", vcov={"conley": "20km"}).std_error == pytest.approx(
        still.with_vcov({"conley": "20km"}).std_error
    )


def test_what_is_assumed_says_when_covariates_and_images_are_from() -> None:
    frame = ec.simulate_panel(n_regions=20, units_per_region=3, seed=3).frame
    frame["rain"] = np.random.default_rng(0).normal(size=len(frame))
    roles = {"outcome": "outcome", "treatment": "treated", "unit": "unit", "period": "period"}
    found = ec.panel(ec.PanelDesign(frame, **roles, covariates=["rain"]), method="did")
    assert found.assumptions[0].startswith(
        "given the covariates of the last period before treatment, outcomes"
    )
    assert "given" not in ec.panel(ec.PanelDesign(frame, **roles), method="did").assumptions[0]


def test_covariates_that_follow_from_others_in_a_comparison_are_named() -> None:
    frame = ec.simulate_panel(n_regions=20, units_per_region=3, seed=3).frame
    frame["rain"] = np.random.default_rng(0).normal(size=len(frame))
    frame["soil"] = 3 - 2 * frame["rain"]
    # without variation in the period that is compared with
    frame["road"] = np.where(frame["period"] < 2012, 1.0, frame["rain"])
    roles = {"outcome": "outcome", "treatment": "treated", "unit": "unit", "period": "period"}
    for covariates, words in (
        (["rain", "soil"], r"2006 in 2006\.\n  Where: 1 \((rain|soil)\)"),
        (["road"], r"\(road\)"),
    ):
        with pytest.raises(EstimationError, match=words):
            ec.panel(ec.PanelDesign(frame, **roles, covariates=covariates), method="did")
