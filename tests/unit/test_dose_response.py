"""Mean outcomes by dose and slopes: against closed forms, sums by hand and scikit-learn."""

from __future__ import annotations

import matplotlib
import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from sklearn.linear_model import LinearRegression, Ridge

import eocausal as ec
from eocausal.errors import DesignError, EstimationError
from eocausal.inference.dose_scores import dose_mean, epanechnikov, kernel_density, undersmoothed
from eocausal.nuisance.dose_nuisance import densities, outcomes_at
from eocausal.nuisance.pooled import expected_out_of_fold
from tests.studies import FAST, THREE, images, study

matplotlib.use("Agg")
LINE = ec.Learners(outcome=LinearRegression())


def dosed(n: int = 300, *, seed: int = 0) -> pd.DataFrame:
    """A dose that follows age, and an outcome that rises by 2 for each unit of it."""
    rng = np.random.default_rng(seed + 20)
    table = study(n, seed=seed)
    table["dose"] = 0.6 * table["age"] + rng.normal(size=n)
    table["income"] = 1 + 2 * table["dose"] + table["age"] + rng.normal(size=n)
    return table


def design_of(table: pd.DataFrame, **options: object) -> ec.Design:
    asked = {"treatment": "dose", "treatment_type": "continuous", "covariates": ["age"]}
    return ec.Design(table, outcome="income", **{**asked, **options})


def test_the_kernel_has_an_integral_of_one_and_ends_at_the_bandwidth() -> None:
    steps = np.linspace(-3, 3, 60_001)
    values = epanechnikov(steps, 1.7)
    assert np.trapezoid(values, steps) == pytest.approx(1, abs=1e-6)
    assert values[np.abs(steps) > 1.7].max() == 0
    assert np.trapezoid(values * steps**2, steps) == pytest.approx(1.7**2 / 5, abs=1e-5)


def test_the_density_of_residuals_is_that_of_the_kernels_one_by_one() -> None:
    rng = np.random.default_rng(0)
    values, weights = rng.normal(size=300), rng.uniform(0.5, 2, 300)
    width = 0.9 * min(values.std(), np.subtract(*np.quantile(values, [0.75, 0.25])) / 1.34) * 300**-0.2
    at = np.array([-1.0, 0.2, 2.5])
    for share in (np.full(300, 1 / 300), weights / weights.sum()):
        pilot = norm.pdf(values[:, None], values, width) @ share
        wide = width * np.sqrt(np.exp(np.log(pilot).mean()) / pilot)
        by_hand = norm.pdf(at[:, None], values, wide) @ share
        assert kernel_density(values, 9 * share)(at) == pytest.approx(by_hand, rel=5e-3)
    assert kernel_density(values)(at) == pytest.approx(kernel_density(values, np.ones(300))(at))
    assert wide[np.abs(values).argmax()] > 1.5 * width
    assert kernel_density(values)(np.array([1e6]))[0] == 0


def test_the_bandwidth_shrinks_faster_than_the_one_of_least_error() -> None:
    few, many = np.tile([-1.0, 1.0], 50), np.tile([-1.0, 1.0], 50 * 16)
    assert undersmoothed(few) == pytest.approx(2.34 * 100**-0.25)
    assert undersmoothed(many) / undersmoothed(few) == pytest.approx(0.5)


@pytest.mark.parametrize("right", ["prediction", "density"])
def test_one_right_model_is_enough(right: str) -> None:
    rng = np.random.default_rng(1)
    n = 400_000
    x = rng.normal(size=n)
    dose = x + rng.normal(size=n)
    outcome = dose**2 + x * dose + x + rng.normal(size=n)
    at = 0.5
    density = np.exp(-0.5 * (dose - x) ** 2) / np.sqrt(2 * np.pi)
    given = {
        "predicted": at**2 + x * at + x, "predicted_own": dose**2 + x * dose + x, "density_own": density,
    }  # fmt: skip
    if right == "prediction":
        given["density_own"] = np.full(n, 0.25)
    else:
        given["predicted"], given["predicted_own"] = np.zeros(n), np.zeros(n)
    found, weights = dose_mean(outcome, dose, np.ones(n), at=at, bandwidth=0.15, **given)
    assert abs(found.scores.mean()) < 1e-10
    assert abs(found.estimate - at**2) < 4 * found.scores.std() / np.sqrt(n) + 0.15**2 / 5
    if right == "density":
        assert weights.mean() == pytest.approx(1, abs=0.01)


def test_a_right_prediction_has_no_bias_at_any_bandwidth() -> None:
    rng = np.random.default_rng(2)
    dose = rng.normal(size=2000)
    found, _ = dose_mean(
        dose**3, dose, np.ones(2000), at=1.0, bandwidth=3.0,
        predicted=np.ones(2000), predicted_own=dose**3, density_own=np.full(2000, 0.1),
    )  # fmt: skip
    assert found.estimate == 1.0
    assert (found.scores == 0).all()


def test_predictions_of_a_linear_learner_are_those_of_scikit_learn() -> None:
    table = dosed()
    design = design_of(table)
    folds = THREE.assign(design, seed=0)
    how = {"folds": folds, "learners": LINE, "seed": 0, "groups": design.groups}
    at, own = outcomes_at(design, [0.0, 1.5], **how)
    expected = expected_out_of_fold(design, design.table.assigned, **how)
    age, dose, income = (table[name].to_numpy() for name in ("age", "dose", "income"))
    train, test = folds != 2, folds == 2
    model = LinearRegression().fit(np.column_stack([age, dose])[train], income[train])
    for position, value in enumerate([0.0, 1.5]):
        shown = np.column_stack([age[test], np.full(test.sum(), value)])
        assert at[test, position] == pytest.approx(model.predict(shown))
    assert own[test] == pytest.approx(model.predict(np.column_stack([age, dose])[test]))
    line = LinearRegression().fit(age[train, None], dose[train])
    assert expected[test] == pytest.approx(line.predict(age[test, None]))


def test_linear_learners_see_bends_and_products() -> None:
    rng = np.random.default_rng(0)
    table = dosed(600)
    bent = table["dose"] ** 2 + table["age"] * table["dose"]
    table["income"] = bent + 0.1 * rng.normal(size=600)
    design = design_of(table)
    how = {"folds": THREE.assign(design, seed=0), "seed": 0, "groups": design.groups}
    _, own = outcomes_at(design, [0.0], learners=ec.Learners(), **how)
    assert np.corrcoef(own, table["income"])[0, 1] > 0.995
    _, plain = outcomes_at(design, [0.0], learners=LINE, **how)
    assert np.corrcoef(plain, table["income"])[0, 1] < 0.9


def test_what_a_unit_got_does_not_enter_its_own_predictions() -> None:
    table, moved = dosed(), dosed()
    design = design_of(table)
    folds = THREE.assign(design, seed=0)
    unit = int(np.flatnonzero(folds == 0)[0])
    moved.iloc[unit, moved.columns.get_loc("income")] += 50
    other = design_of(moved)
    how = {"folds": folds, "learners": LINE, "seed": 0, "groups": design.groups}
    before, after = (outcomes_at(one, [0.0], **how)[0][:, 0] for one in (design, other))
    assert before[folds == 0] == pytest.approx(after[folds == 0])
    assert np.abs(before[folds == 1] - after[folds == 1]).max() > 1e-3


@pytest.mark.parametrize("spread", ["constant", "columns"])
def test_densities_are_near_those_the_doses_were_drawn_from(spread: str) -> None:
    rng = np.random.default_rng(5)
    n = 3000
    age = rng.normal(size=n)
    size = np.exp(0.5 * age) if spread == "columns" else np.ones(n)
    table = pd.DataFrame({"age": age, "dose": age + size * rng.normal(size=n), "income": rng.normal(size=n)})
    design = design_of(table)
    folds = THREE.assign(design, seed=0)
    found = densities(
        design, folds=folds, learners=ec.Learners(), seed=0, groups=design.groups, spread=spread
    )
    truth = np.exp(-0.5 * ((table["dose"] - age) / size) ** 2) / (size * np.sqrt(2 * np.pi))
    assert np.corrcoef(found, truth)[0, 1] > 0.97
    assert np.abs(found - truth).mean() < 0.03
    if spread == "columns":
        flat = densities(
            design, folds=folds, learners=ec.Learners(), seed=0, groups=design.groups, spread="constant"
        )
        assert np.corrcoef(flat, truth)[0, 1] < 0.9


def test_the_curve_is_the_mean_of_its_scores_by_hand() -> None:
    design = design_of(dosed(), weights="weight")
    found = ec.dose_response(
        design, doses=[1.0, 0.0], bandwidth=0.8, learners=LINE, folds=THREE, vcov="hetero"
    )
    table = design.table
    how = {
        "folds": THREE.assign(design, seed=0), "learners": LINE, "seed": 0, "groups": design.groups,
    }  # fmt: skip
    at, own = outcomes_at(design, [0.0, 1.0], **how)
    density = densities(design, **how, spread="constant")
    for position, dose in enumerate((0.0, 1.0)):
        kernel = 0.75 * np.maximum(1 - ((table.assigned - dose) / 0.8) ** 2, 0) / 0.8
        base = np.average(at[:, position], weights=table.weights)
        weigh = table.weights * kernel / density
        lift = np.average(table.outcome - own, weights=weigh)
        assert found.estimate[position] == pytest.approx(base + lift)
        centred = table.weights / table.weights.mean() * (at[:, position] - base)
        centred += weigh / weigh.mean() * (table.outcome - own - lift)
        assert found.scores[f"dose {dose:g}"].to_numpy() == pytest.approx(centred)
    assert found.doses.tolist() == [0.0, 1.0]


def test_slopes_are_differences_over_steps_with_joint_errors() -> None:
    found = ec.dose_response(design_of(dosed()), doses=[-1, 0, 2], learners=LINE, folds=THREE, vcov="hetero")
    slopes = found.slopes()
    values, scores = found.estimate, found.scores.to_numpy()
    assert slopes.terms == ("-1 to 0", "0 to 2")
    assert slopes.estimate == pytest.approx([values[1] - values[0], (values[2] - values[1]) / 2])
    gap = (scores[:, 2] - scores[:, 1]) / 2
    by_hand = np.sqrt((gap**2).sum() / found.n**2 * slopes.variance.factor)
    assert slopes.std_error[1] == pytest.approx(by_hand)
    inside = np.histogram(found.got, bins=[-1, 0, 2])[0]
    mean = found.average_slope()
    assert mean.estimate == pytest.approx(slopes.estimate @ inside / inside.sum())
    weighed = slopes.score_values @ inside / inside.sum()
    assert mean.std_error == pytest.approx(np.sqrt((weighed**2).sum() / found.n**2 * mean.variance.factor))
    low, high = mean.ci()
    assert low < 2 < high


def test_standard_errors_change_for_curve_and_slopes_alike() -> None:
    found = ec.dose_response(design_of(dosed(), cluster="village"), doses=[0, 1], learners=LINE, folds=THREE)
    assert found.n_clusters == 24
    plain = found.with_vcov("hetero")
    assert plain.vcov == plain.slopes().vcov == "hetero"
    assert plain.estimate == pytest.approx(found.estimate)
    assert ec.contrast(plain.curve, "dose 1", against="dose 0").estimate == pytest.approx(
        plain.slopes().estimate
    )


def test_doses_are_chosen_between_the_tenths() -> None:
    design = design_of(dosed())
    found = ec.dose_response(design, doses=3, learners=LINE, folds=THREE)
    low, high = np.quantile(design.table.assigned, [0.1, 0.9])
    assert found.doses == pytest.approx([low, (low + high) / 2, high])


def test_pictures_enter_as_columns() -> None:
    design = design_of(dosed(), features=images())
    found = ec.dose_response(design, doses=[0, 1], learners=FAST, folds=THREE)
    assert found.n_clusters == 24
    assert "image features" in found.assumptions[0]
    alone = ec.Learners(outcome=Ridge(10.0), columns="covariates")
    assert (
        "image features"
        not in ec.dose_response(design, doses=[0], learners=alone, folds=THREE).assumptions[0]
    )


def test_the_slope_is_that_of_residuals_on_residuals() -> None:
    table = dosed()
    design = design_of(table, weights="weight")
    found = ec.ate(design, method="partially_linear", learners=LINE, folds=THREE)
    folds = THREE.assign(design, seed=0)
    left = {name: np.zeros(300) for name in ("dose", "income")}
    age, weight = table[["age"]].to_numpy(), table["weight"].to_numpy()
    for fold in range(3):
        train, test = folds != fold, folds == fold
        for name, values in left.items():
            model = LinearRegression().fit(
                age[train], table[name].to_numpy()[train], sample_weight=weight[train]
            )
            values[test] = table[name].to_numpy()[test] - model.predict(age[test])
    by_hand = (weight * left["dose"] * left["income"]).sum() / (weight * left["dose"] ** 2).sum()
    assert found.estimate == pytest.approx(by_hand)
    assert (found.estimand, found.terms) == ("slope", ("dose",))
    assert abs(found.estimate - 2) < 4 * found.std_error


def test_a_dose_that_columns_say_nearly_all_of_warns() -> None:
    table = dosed()
    table["dose"] = table["age"] + 0.12 * np.random.default_rng(0).normal(size=300)
    found = ec.ate(design_of(table), method="partially_linear", learners=LINE, folds=THREE)
    assert any("predict the dose but for" in text for text in found.warnings)


def test_warnings_name_the_doses() -> None:
    table = dosed()
    edge = float(table["dose"].max())
    found = ec.dose_response(design_of(table), doses=[0.0, edge], learners=LINE, folds=THREE)
    told = "\n".join(found.warnings)
    assert f"at dose {edge:.4g} the kernel weights are worth fewer than 30 units" in told
    assert f"at dose {edge:.4g} the kernel reaches beyond the doses" in told
    table["dose"] = table["dose"].where(table["wealth"] > -0.5, 0.0)
    found = ec.dose_response(design_of(table), doses=[0.5, 1.0], learners=LINE, folds=THREE)
    assert any("got exactly the dose 0" in text for text in found.warnings)


BAD = {
    "one dose asked": ({"doses": 1}, r"doses=1[\s\S]*at least 2"),
    "truth": ({"doses": True}, r"doses=True"),
    "text": ({"doses": "many"}, r"doses='many'"),
    "twice": ({"doses": [1, 1]}, r"different finite"),
    "outside": ({"doses": [0, 99]}, r"as low or as high[\s\S]*1 \(99[\s\S]*doses from"),
    "bandwidth": ({"bandwidth": -1}, r"bandwidth=-1[\s\S]*positive"),
    "narrow": ({"bandwidth": 1e-9, "doses": [0.123]}, r"0 units got a dose within[\s\S]*larger bandwidth"),
    "spread": ({"spread": "wide"}, r"spread='wide'"),
    "repeats": ({"folds": ec.Folds(k=3, repeats=2)}, r"repeats=2"),
}


@pytest.mark.parametrize("case", list(BAD))
def test_what_cannot_be_answered_is_refused(case: str) -> None:
    options, words = BAD[case]
    with pytest.raises(EstimationError, match=words):
        ec.dose_response(design_of(dosed(120)), **{"learners": LINE, "folds": THREE, **options})


def test_only_doses_have_a_response() -> None:
    with pytest.raises(DesignError, match=r"needs a dose, and the treatment of this design is binary"):
        ec.dose_response(ec.Design(study(), outcome="income", treatment="grant"))
    with pytest.raises(EstimationError, match=r"method='aipw' is not defined[\s\S]*ec.dose_response"):
        ec.ate(design_of(dosed(60)))
    one = ec.dose_response(design_of(dosed(120)), doses=[0.0], learners=LINE, folds=THREE)
    with pytest.raises(EstimationError, match="one dose, so no slope"):
        one.slopes()


def test_results_come_back_from_their_content_and_draw() -> None:
    found = ec.dose_response(design_of(dosed(120)), doses=[0, 1], learners=LINE, folds=THREE)
    again = ec.DoseResponse.from_dict(found.to_dict(scores=True))
    assert again == found
    assert again.slopes() == found.slopes()
    assert "got" not in found.to_dict()
    assert repr(found).startswith("DoseResponse(120 units, 2 doses from 0 to 1, mean outcome")
    axes = found.plot()
    assert axes.get_lines()[0].get_ydata() == pytest.approx(found.estimate)
    assert axes.get_xlabel() == "dose"
    matplotlib.pyplot.close("all")


def test_the_same_seed_gives_the_same_bytes() -> None:
    design = design_of(dosed(120))
    one, other = (
        ec.dose_response(design, doses=[0, 1], learners=LINE, folds=THREE, seed=3) for _ in range(2)
    )
    assert one == other


def test_names_of_near_doses_are_told_apart() -> None:
    table = dosed(120)
    table["dose"] = 1e6 + table["dose"]
    found = ec.dose_response(design_of(table), doses=[1e6, 1e6 + 0.5, 1e6 + 1], learners=LINE, folds=THREE)
    assert found.terms == ("dose 1000000", "dose 1000000.5", "dose 1000001")
    assert found.slopes().terms == ("1000000 to 1000000.5", "1000000.5 to 1000001")


def test_the_average_slope_counts_units_with_their_sampling_weights() -> None:
    table = dosed(160)
    table["weight"] = np.where(table["dose"] < 0.5, 3.0, 1.0)
    design = ec.Design(
        table,
        outcome="wealth",
        treatment="dose",
        treatment_type="continuous",
        covariates=["age"],
        weights="weight",
    )
    found = ec.dose_response(design, doses=[0.0, 0.5, 1.0], learners=LINE, folds=THREE)
    got, weight = table["dose"].to_numpy(), table["weight"].to_numpy()
    share = np.array([weight[(got >= low) & (got < low + 0.5)].sum() for low in (0.0, 0.5)])
    by_hand = found.slopes().estimate @ (share / share.sum())
    assert found.average_slope().estimate == pytest.approx(by_hand, abs=1e-12)


def test_a_propensity_learner_that_no_dose_needs_is_told_of_and_not_described() -> None:
    design = design_of(dosed(120))
    chosen = ec.Learners(outcome="ridge", propensity="boosting")
    for learners, count in ((chosen, 1), (ec.Learners(), 0)):
        for found in (
            ec.dose_response(design, doses=[0.0, 1.0], learners=learners, folds=THREE),
            ec.ate(design, method="partially_linear", learners=learners, folds=THREE),
        ):
            assert sum("a dose has no propensity" in text for text in found.warnings) == count
            assert "propensity_learner" not in found.diagnostics
            assert found.diagnostics["outcome_learner"].startswith("ridge")
