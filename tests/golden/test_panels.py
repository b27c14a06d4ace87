"""Panels against pyfixest, linearmodels, and two implementations of Callaway and Sant'Anna.

``mpdta.csv``: county teen employment of Callaway and Sant'Anna (2021), 500 counties, 2003-2007, as moderndid 0.2.0
(MIT) and the R package did ship it; one row for each county.

Reference numbers: pyfixest 0.60.0, csdid 0.4.3 and moderndid 0.2.0, run on the same files (est_method "dr",
universal base period, analytic standard errors without a finite-sample factor).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import eocausal as ec

# cohort, year: estimate, standard error; csdid 0.4.3
CELLS = {
    ("never", False): {
        (2004, 2004): (-0.0105032462, 0.0232510364), (2004, 2005): (-0.0704231581, 0.0309847668),
        (2004, 2006): (-0.1372587389, 0.0364356643), (2004, 2007): (-0.1008113631, 0.0343592258),
        (2006, 2003): (-0.0037692937, 0.0313420276), (2006, 2004): (0.0027508188, 0.019558561),
        (2006, 2006): (-0.004594607, 0.0177551967), (2006, 2007): (-0.0412244715, 0.0202291807),
        (2007, 2003): (0.0033063567, 0.0244518729), (2007, 2004): (0.0338130123, 0.0211291749),
        (2007, 2005): (0.0310871194, 0.0178775113), (2007, 2007): (-0.0260544107, 0.0166554353),
    },
    ("not_yet", False): {
        (2004, 2004): (-0.0193723637, 0.0223101129), (2004, 2005): (-0.0783190991, 0.0303902285),
        (2004, 2006): (-0.1362743463, 0.035403385), (2004, 2007): (-0.1008113631, 0.0343592258),
        (2006, 2003): (0.004501797, 0.0308578476), (2006, 2004): (0.0019392461, 0.0190421586),
        (2006, 2006): (0.0046608763, 0.0163355842), (2006, 2007): (-0.0412244715, 0.0202291807),
        (2007, 2003): (0.0033063567, 0.0244518729), (2007, 2004): (0.0338130123, 0.0211291749),
        (2007, 2005): (0.0310871194, 0.0178775113), (2007, 2007): (-0.0260544107, 0.0166554353),
    },
    ("never", True): {
        (2004, 2004): (-0.0145296683, 0.0221291572), (2004, 2005): (-0.0764218817, 0.0286713142),
        (2004, 2006): (-0.1404483368, 0.0353781547), (2004, 2007): (-0.1069038981, 0.032886493),
        (2006, 2003): (0.0066746707, 0.0302881624), (2006, 2004): (0.0062025246, 0.0184957019),
        (2006, 2006): (0.0009605737, 0.0194001954), (2006, 2007): (-0.0412938656, 0.0197211441),
        (2007, 2003): (0.0062962618, 0.0245366871), (2007, 2004): (0.033024058, 0.0212352693),
        (2007, 2005): (0.0284474872, 0.0181808812), (2007, 2007): (-0.028781361, 0.016238953),
    },
    ("not_yet", True): {
        (2004, 2004): (-0.0211830535, 0.0216482077), (2004, 2005): (-0.0816031859, 0.0283415411),
        (2004, 2006): (-0.1381918226, 0.0342280372), (2004, 2007): (-0.1069038981, 0.032886493),
        (2006, 2003): (0.0120186131, 0.0300261189), (2006, 2004): (0.004563377, 0.0182913861),
        (2006, 2006): (0.0086606999, 0.016839061), (2006, 2007): (-0.0412938656, 0.0197211441),
        (2007, 2003): (0.0062962618, 0.0245366871), (2007, 2004): (0.033024058, 0.0212352693),
        (2007, 2005): (0.0284474872, 0.0181808812), (2007, 2007): (-0.028781361, 0.016238953),
    },
}  # fmt: skip
# overall estimate and standard error, then those by event, group or period: moderndid 0.2.0, not-yet-treated, lpop
AVERAGES = {
    "simple": [(-0.04135162929923669, 0.011427839082186031)],
    "dynamic": [
        (-0.07999262095930713, 0.018494002078741346), (0.0062962618, 0.0245366871), (0.0281105036, 0.0176753862),
        (0.0228605608, 0.0146117727), (-0.0201444574, 0.0116322855), (-0.0547303057, 0.0164000211),
        (-0.1381918226, 0.0342280372), (-0.1069038981, 0.032886493),
    ],
    "group": [
        (-0.03226403880028126, 0.011983412614326434), (-0.08697049, 0.024062047), (-0.0163165829, 0.0161883287),
        (-0.028781361, 0.016238953),
    ],
    "calendar": [
        (-0.045664632876597805, 0.014698256756514634), (-0.0211830535, 0.0216482077),
        (-0.0816031859, 0.0283415411), (-0.040290141, 0.0192634787), (-0.0395821512, 0.012929872),
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def castle(shared: Path) -> pd.DataFrame:
    return pd.read_csv(shared / "data" / "castle" / "castle.csv")


def _castle(frame: pd.DataFrame, **more: object) -> ec.PanelDesign:
    return ec.PanelDesign(frame, outcome="l_homicide", treatment="post", unit="sid", period="year", **more)


@pytest.fixture(scope="module")
def counties() -> pd.DataFrame:
    wide = pd.read_csv(Path(__file__).parent / "mpdta.csv")
    table = wide.melt(["county", "first_treated", "lpop"], var_name="year", value_name="lemp")
    table["year"] = table["year"].str.removeprefix("lemp_").astype(int)
    table["law"] = ((table["first_treated"] > 0) & (table["year"] >= table["first_treated"])).astype(int)
    return table


def _counties(table: pd.DataFrame, covariates: tuple[str, ...] = ()) -> ec.PanelDesign:
    return ec.PanelDesign(
        table, outcome="lemp", treatment="law", unit="county", period="year", covariates=covariates
    )


@pytest.mark.parametrize(
    ("weights", "estimate", "as_fixest", "as_areg"),
    [
        (None, 0.06939843388545162, 0.05585963569555158, 0.0586),
        ("popwt", 0.07553324486843625, 0.03319360684973871, 0.0348),
    ],
)
def test_castle_with_both_ways_of_counting_state_effects(
    castle: pd.DataFrame, weights: str | None, estimate: float, as_fixest: float, as_areg: float
) -> None:
    made = ec.panel(_castle(castle, weights=weights))
    assert made.estimate == pytest.approx(estimate, abs=1e-9)
    assert made.std_error == pytest.approx(as_fixest, abs=1e-9)
    assert made.n_params == 12
    assert made.std_error * np.sqrt((550 - 12) / (550 - 61)) == pytest.approx(as_areg, abs=5e-5)


def test_castle_heteroskedastic_counts_the_state_effects(castle: pd.DataFrame) -> None:
    asked = ec.panel(_castle(castle), vcov="hetero")
    changed = ec.panel(_castle(castle)).with_vcov("hetero")
    for made in (asked, changed):
        assert made.variance.df == 550 - 61
        assert made.std_error == pytest.approx(0.034311968805786165, abs=1e-9)


def test_castle_with_covariates_that_change(castle: pd.DataFrame) -> None:
    made = ec.panel(_castle(castle, covariates=["poverty", "unemployrt"]))
    assert made.estimate == pytest.approx(0.07477996806596826, abs=1e-8)
    assert made.std_error == pytest.approx(0.05575220913510732, abs=1e-8)


def test_castle_with_rows_missing_and_weights(castle: pd.DataFrame) -> None:
    made = ec.panel(_castle(castle.drop(castle.index[[3, 77, 200, 201, 340]]), weights="popwt"))
    assert made.estimate == pytest.approx(0.07604953197360834, abs=1e-8)
    assert made.std_error == pytest.approx(0.03313840526437109, abs=1e-8)
    assert any("miss 5 unit-periods" in text for text in made.warnings)


def test_castle_event_study(castle: pd.DataFrame) -> None:
    made = ec.panel(_castle(castle), method="event_study")
    known = {
        "event -10": (-0.3402671017136878, 0.07660236112830479),
        "event -2": (-0.0918613426189235, 0.04317594379080481),
        "event 0": (0.013809667380208031, 0.06698182928741277),
        "event 4": (0.035383103072386214, 0.052746461807271945),
    }
    frame = made.to_frame().set_index("term")
    assert len(frame) == 14
    for term, (estimate, error) in known.items():
        assert frame.loc[term, "estimate"] == pytest.approx(estimate, abs=1e-9)
        assert frame.loc[term, "std_error"] == pytest.approx(error, abs=1e-9)


def test_castle_event_study_with_bins_and_its_test_before_treatment(castle: pd.DataFrame) -> None:
    made = ec.panel(_castle(castle), method="event_study", window=(-4, 3))
    assert made.terms == (
        "event <= -4", "event -3", "event -2", "event 0", "event 1", "event 2", "event >= 3",
    )  # fmt: skip
    expected = [-0.08007814242118602, -0.03566126242081966, -0.09248242966057438, 0.01402973008427686]
    assert made.estimate[:4] == pytest.approx(expected, abs=1e-9)
    # pyfixest's statistic is Wald's, not over its degrees of freedom
    test = ec.pretrends(made)
    assert test.df == (3, 49.0)
    assert 3 * test.statistic == pytest.approx(5.478585, abs=1e-5)


def test_castle_as_linearmodels_has_it(castle: pd.DataFrame) -> None:
    from linearmodels.panel import PanelOLS

    index = castle.set_index(["sid", "year"])
    fit = PanelOLS(index["l_homicide"], index[["post"]], entity_effects=True, time_effects=True).fit(
        cov_type="clustered", cluster_entity=True, debiased=True, group_debias=True
    )
    made = ec.panel(_castle(castle))
    assert made.estimate == pytest.approx(fit.params["post"], abs=1e-12)
    # its factor counts neither period nor unit effects in the same way, so compare what is under it
    plain = made.std_error / np.sqrt(made.variance.factor)
    sums = made.scores.groupby(made.groups["sid"]).sum()["post"]
    assert plain == pytest.approx(np.sqrt((sums**2).sum()) / 550)
    assert 0.9 < fit.std_errors["post"] / made.std_error < 1.1


@pytest.mark.parametrize(("control", "adjusted"), list(CELLS))
def test_group_time_effects_of_county_employment(
    counties: pd.DataFrame, control: str, adjusted: bool
) -> None:
    design = _counties(counties, ("lpop",) if adjusted else ())
    made = ec.panel(design, method="did", aggregate="cells", control=control)
    frame = made.to_frame().set_index("term")
    assert len(frame) == len(CELLS[control, adjusted])
    factor = np.sqrt(made.variance.factor)
    for (cohort, year), (estimate, error) in CELLS[control, adjusted].items():
        row = frame.loc[f"att({cohort}, {year})"]
        assert row["estimate"] == pytest.approx(estimate, abs=2e-8)
        assert row["std_error"] / factor == pytest.approx(error, abs=2e-7)


@pytest.mark.parametrize("aggregate", list(AVERAGES))
def test_averages_of_county_employment(counties: pd.DataFrame, aggregate: str) -> None:
    made = ec.panel(_counties(counties, ("lpop",)), method="did", aggregate=aggregate)
    frame = made.to_frame()
    factor = np.sqrt(made.variance.factor)
    for row, (estimate, error) in zip(frame.itertuples(), AVERAGES[aggregate], strict=True):
        assert row.estimate == pytest.approx(estimate, abs=2e-8)
        assert row.std_error / factor == pytest.approx(error, abs=2e-7)


@pytest.mark.parametrize(
    ("control", "weights", "aggregate", "estimate", "error"),
    [
        ("never", None, "simple", 0.01940281618499537, 0.03838864604782946),
        ("never", None, "dynamic", 0.059054180235862085, 0.034329367818132034),
        ("not_yet", None, "simple", 0.017412055111243496, 0.03962046719746443),
        ("not_yet", None, "group", 0.009362650519733205, 0.04134954320316319),
        ("not_yet", None, "calendar", 0.05269612214277571, 0.030121606610908062),
        ("never", "popwt", "simple", 0.07854299941127339, 0.05126998278782892),
        ("not_yet", "popwt", "dynamic", 0.1047229448634345, 0.04356021976506401),
        ("not_yet", "popwt", "group", 0.05996659565193357, 0.04392403578650982),
    ],
)  # moderndid 0.2.0; with weights csdid 0.4.3, as the former averages cohorts by numbers of units, not by weights
def test_castle_by_cohort(
    castle: pd.DataFrame, control: str, weights: str | None, aggregate: str, estimate: float, error: float
) -> None:
    made = ec.panel(_castle(castle, weights=weights), method="did", aggregate=aggregate, control=control)
    assert made.values[0] == pytest.approx(estimate, abs=1e-8)
    first = made.to_frame()["std_error"][0] / np.sqrt(made.variance.factor)
    assert first == pytest.approx(error, abs=1e-8)
    assert any(
        "2 cohorts have fewer than 5" in text or "cohorts have fewer than 5" in text for text in made.warnings
    )
