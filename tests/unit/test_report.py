"""The report: what it says, what it shows, and what it never lets through."""

from __future__ import annotations

import base64
import hashlib
import io
import itertools
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import matplotlib as mpl
import matplotlib.image
import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.reporting import figures, maps, pictures, tables, words
from eocausal.reporting.study import read_items
from tests.report_items import estimate, rate, small_study

VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """Elements, texts and attributes of a page, with a check that tags close in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags, self.ids, self.images, self.links, self.open, self.words = [], [], [], [], [], []
        self.attributes = set()
        self.policy = self.style = ""
        self.feed(html)
        self.close()
        assert self.open == [], f"not closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        self.tags.append(tag)
        self.attributes |= set(named)
        self.ids += [named["id"]] if "id" in named else []
        self.images += [named] if tag == "img" else []
        self.links += [value for key, value in attrs if key in ("href", "src", "action", "data", "srcset")]
        if named.get("http-equiv") == "Content-Security-Policy":
            self.policy = named["content"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "style":
            self.style += data
        else:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def study():
    return small_study()


def write(items, folder, **options) -> str:
    return ec.report(items, folder / "report.html", **options).read_text(encoding="utf-8")


def told(items, **options):
    return read_items(items, title=None, question=None, truth=None, **options)


# What stands where


@pytest.mark.parametrize(
    ("kind", "sections"),
    [
        ("units", ["summary", "data", "warnings", "provenance"]),
        ("chips", ["summary", "data", "warnings", "provenance"]),
        ("design", ["summary", "data", "warnings", "provenance"]),
        ("balance", ["summary", "comparability", "warnings", "provenance"]),
        ("overlap", ["summary", "data", "comparability", "warnings", "provenance"]),
        ("estimates", ["summary", "average", "warnings", "provenance"]),
        ("cate", ["summary", "data", "average", "heterogeneity", "warnings", "provenance"]),
        ("rates", ["summary", "heterogeneity", "warnings", "provenance"]),
    ],
)
def test_each_kind_alone_gives_the_sections_it_allows(study, tmp_path, kind, sections):
    item = getattr(study, kind)
    page = Page(write(item if isinstance(item, tuple) else [item], tmp_path))
    assert page.ids == sections


def test_all_kinds_give_all_sections_in_reading_order(study, tmp_path):
    page = Page(write(study.all(), tmp_path))
    expected = ["summary", "data", "comparability", "average", "heterogeneity", "warnings", "provenance"]
    assert page.ids == expected
    assert [link for link in page.links if link.startswith("#")][: len(expected)] == [
        f"#{one}" for one in expected
    ]


def test_the_order_of_items_of_different_kinds_does_not_matter(study, tmp_path):
    shuffled = sorted(study.all(), key=lambda item: type(item).__name__)
    assert [type(item) for item in shuffled] != [type(item) for item in study.all()]
    assert write(shuffled, tmp_path) == write(study.all(), tmp_path)


def test_the_first_estimate_leads_the_summary(study):
    first, second = study.estimates
    assert f"is {second.estimate:.2f} in the outcome" in words.answer(told([second, first]))
    assert "; regression with interactions)" in words.answer(told([second, first]))
    assert "; difference in means)" in words.answer(told([first, second]))
    assert f"Other methods give {second.estimate:.2f}." in words.answer(told([first, second]))


def test_several_estimates_become_one_table_and_one_figure(study, tmp_path):
    page = Page(write([*study.estimates, *study.estimates], tmp_path))
    assert len(page.images) == 1
    assert page.text.count("Average effects (ATE)") == 1
    for label in ("Difference in means (1)", "Difference in means (2)"):
        assert label in page.text


def test_without_estimates_the_average_of_the_predicted_effects_is_shown(study):
    assert told([study.cate]).averages == (study.cate.average,)
    assert told([study.cate, *study.estimates]).averages == study.estimates


# Numbers


def test_the_table_shows_the_numbers_of_the_result(study):
    one = study.estimates[1]
    rows = tables.estimate_rows([one])
    row = tables.estimates_table(rows, truth=None).rows[0]
    decimals = 3 - 1 - int(np.floor(np.log10(one.std_error)))
    assert float(row[1].replace("−", "-")) == pytest.approx(one.estimate, abs=0.51 * 10**-decimals)
    assert row[2] == f"{one.std_error:.{decimals}f}"
    low, high = (float(part.replace("−", "-")) for part in row[5].split(" to "))
    assert (low, high) == pytest.approx(one.ci(), abs=0.51 * 10**-decimals)
    # the unit without a covariate is not among them
    assert row[6:] == ("239", "48")


def test_methods_on_different_units_are_told(study):
    difference, regression = study.estimates
    told_so = tables.estimates_table(tables.estimate_rows([difference, regression]), truth=None)
    assert [row[6] for row in told_so.rows] == ["240", "239"]
    assert told_so.note.startswith("Numbers of units differ")
    assert tables.estimates_table(tables.estimate_rows([regression]), truth=None).note == ""


def test_ticks_of_large_values_are_short():
    from matplotlib.figure import Figure

    axis = Figure().subplots().xaxis
    plain = axis.get_major_formatter()
    figures.short_ticks(axis, np.array([-0.5, np.nan, 9999.0]))
    assert axis.get_major_formatter() is plain
    figures.short_ticks(axis, np.array([1.0]), np.array([-20_000.0]))
    assert axis.get_major_formatter()(-20_000.0, 0) == "−20k"


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (0.75068, 3, "0.751"),
        (-0.0004, 3, "0.000"),
        (-0.0014, 3, "−0.001"),
        (1234567.8, 0, "1,234,568"),
        (1234567.8, -4, "1,230,000"),
        (1234567.8, None, "1,235,000"),
        (3.14159265, None, "3.142"),
        (float("inf"), 2, "–"),
        (None, 2, "–"),
    ],
)
def test_numbers_are_written_for_readers(value, decimals, text):
    assert tables.number(value, decimals) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.0009, "<0.001"), (0.001, "0.001"), (0.04567, "0.046"), (np.nan, "–")]
)
def test_p_values_are_never_zero(value, text):
    assert tables.p_value(value) == text


@pytest.mark.parametrize(
    ("errors", "digits", "decimals"), [([0.0755], 2, 3), ([0.0755], 3, 4), ([0.5, 0.05], 2, 3), ([98.0], 2, 0),
     ([0.0, np.nan], 2, None), ([1e-9], 2, None)],
)  # fmt: skip
def test_decimals_follow_the_smallest_error(errors, digits, decimals):
    assert tables.decimals_for(errors, digits=digits) == decimals


def test_the_truth_is_tabled_and_drawn(tmp_path):
    near, far = estimate(0.5, 0.1), estimate(0.9, 0.1, method="ipw")
    rows = tables.estimate_rows([near, far])
    table = tables.estimates_table(rows, truth=0.5)
    assert table.columns[-1] == "Truth inside interval"
    assert [row[-1] for row in table.rows] == ["yes", "no"]
    assert "It lies inside 1 of 2 intervals." in Page(write([near, far], tmp_path, truth=0.5)).text
    with_line = figures.forest_plot(rows, outcome="income", truth=0.5)
    assert b"truth" in svg(with_line)
    assert b"truth" not in svg(figures.forest_plot(rows, outcome="income", truth=None))


def test_counts_by_arm_are_right(study):
    table = tables.arms_table(told([study.design]))
    assert table.columns == ("Arm", "Units", "Clusters", "Images")
    # the unit without a covariate is a control unit of village 0, which has four more
    assert table.rows == (
        ("Treated", "120", "24", "24"),
        ("Control", "119", "24", "24"),
        ("All", "239", "48", "48"),
    )
    assert table.note == ""


def test_clusters_with_both_arms_are_told(study):
    table = pd.DataFrame({"grant": [0, 1, 0, 1], "village": [1, 1, 2, 3], "income": [1.0, 2, 3, 4]})
    design = ec.Design(table, outcome="income", treatment="grant", cluster="village")
    shown = tables.arms_table(told([design]))
    assert [row[2] for row in shown.rows] == ["2", "2", "3"]
    assert shown.note.startswith("1 clusters and ") or shown.note.startswith(
        "1 clusters hold units of both arms"
    )


def test_chips_are_counted_by_status(study, tmp_path):
    page = Page(write([study.chips], tmp_path))
    assert "46 of 48 images have a usable chip of every size; 2 have not." in page.text
    assert "480m 46 0 0 0 0 2" in page.text


# What it says follows the intervals


@pytest.mark.parametrize(
    ("value", "verdict"),
    [
        (0.5, "The interval lies above zero: the data show that the average effect is positive."),
        (-0.5, "The interval lies below zero: the data show that the average effect is negative."),
        (0.1, "The interval includes zero: the data do not show that there is an average effect."),
    ],
)
def test_the_words_on_the_average_effect_follow_its_interval(value, verdict):
    one = estimate(value, 0.1)
    assert words.average_sentence(told([one]), one).endswith(verdict)


@pytest.mark.parametrize(
    ("value", "verdict"),
    [
        (0.5, "The data show that ranking units by the predicted effect finds those who gain more"),
        (0.1, "The data do not show that ranking units by the predicted effect finds those who gain more"),
        (-0.5, "Ranking units by the predicted effect points the wrong way"),
    ],
)
def test_the_words_on_rate_follow_its_interval(value, verdict):
    one = rate(value, 0.1)
    assert words.rate_sentence(told([one]), one).startswith(verdict)


def test_rates_that_disagree_are_told_in_the_summary():
    assert "gives the same verdict" in words.answer(told([rate(0.5, 0.1), rate(0.2, 0.01, "QINI")]))
    assert "Not all rankings and targets" in words.answer(told([rate(0.5, 0.1), rate(0.0, 0.01, "QINI")]))


def test_the_ranking_is_named_after_what_it_was_made_from(study):
    assert "predicted from covariates " in words.rate_sentence(
        told([study.design, *study.rates]), study.rates[0]
    )


@pytest.mark.parametrize(
    ("auc", "phrase"),
    [(0.5, "hardly better"), (0.6, "only slightly"), (0.7, "clearly better"), (0.95, "hardly be compared")],
)
def test_overlap_is_put_in_words(study, auc, phrase):
    changed = replace(study.overlap, auc=replace(study.overlap.auc, values=np.array([auc])))
    assert phrase in words.overlap_sentence(changed)


def test_balance_is_put_in_words(study):
    table = study.balance.table.assign(smd=0.05)
    balanced = words.balance_sentence(replace(study.balance, table=table, joint_p_value=0.4), 0.1)
    assert balanced.startswith("None of the 3 columns")
    assert "no more than chance could explain (joint p\N{NO-BREAK SPACE}0.400)" in balanced
    table = table.assign(smd=[0.05, -0.3, 0.05])
    assert "1 of the 3 columns" in words.balance_sentence(replace(study.balance, table=table), 0.1)
    assert "is −0.30 (longitude)" in words.balance_sentence(replace(study.balance, table=table), 0.1)


def test_warnings_are_told_once_with_the_results_they_belong_to(tmp_path):
    items = [
        estimate(1, 0.1, warnings=("few clusters", "first only")),
        estimate(1, 0.1, method="ipw", warnings=("few clusters",)),
        rate(1, 0.1, warnings=("rough",)),
    ]
    page = Page(write(items, tmp_path))
    assert "Few clusters All average effects" in page.text
    assert "First only Average effect (difference in means)" in page.text
    assert "Rough RATE (AUTOC)" in page.text
    assert page.text.count("Few clusters") == 1
    assert "Warnings 3 read them first" in page.text


def test_results_of_different_designs_are_told_apart(tmp_path):
    one, other = (estimate(1, 0.1, provenance={"design_hash": code}) for code in ("aa", "bb"))
    assert "come from 2 different designs" in Page(write([one, other], tmp_path)).text
    assert "different designs" not in Page(write([one, one], tmp_path)).text


def test_the_plain_difference_of_a_design_is_no_other_design(study, tmp_path):
    difference, regression = study.estimates
    assert difference.n > regression.n
    for items in ([difference, regression], [study.design, difference, regression], study.all()):
        assert "different designs" not in Page(write(items, tmp_path)).text
    other = ec.Design(study.units, outcome="lon", treatment="grant")
    assert "different designs" in Page(write([other, difference], tmp_path)).text


def test_provenance_names_hashes_seeds_and_versions(study, tmp_path):
    text = Page(write([study.design, *study.estimates], tmp_path)).text
    for part in (
        study.design.fingerprint,
        repr(study.design),
        study.units.fingerprint,
        "Seed 0",
        ec.__version__,
    ):
        assert part in text


def test_the_recipe_of_the_features_is_shown_flat(tmp_path):
    keys = np.arange(6)
    recipe = {
        "encoder": {"name": "rcf", "seed": 7},
        "chips": [{"file": "a.tif"}, {"file": "b.tif"}],
        "notes": [],
    }
    features = ec.Embeddings(
        keys=keys, key_name="village", values=np.random.default_rng(0).normal(size=(6, 2)), columns=("f0", "f1"),
        blocks={"rcf": (0, 2)}, info=pd.DataFrame({"status": "ok", "valid_fraction": 1.0}, index=keys), date=None,
        recipe=recipe,
    )  # fmt: skip
    table = pd.DataFrame({"grant": [0, 1] * 3, "income": [1.0, 5, 2, 4, 3, 9], "village": keys})
    design = ec.Design(table, outcome="income", treatment="grant", features=features)
    text = Page(write([design], tmp_path)).text
    for part in (
        "encoder / name rcf",
        "encoder / seed 7",
        "chips / 1 / file a.tif",
        "chips / 2 / file b.tif",
    ):
        assert part in text
    assert "notes []" not in text


# Pictures


def test_the_contact_sheet_shows_both_arms_far_apart():
    images = pd.DataFrame(
        {
            "lon": [0.0, 0.1, 5.0, 9.9, 10.0, 0.0, 0.1, 5.0, 10.0, 10.1], "lat": 0.0, "status": "ok",
            "share_treated": [1.0] * 5 + [0.0] * 5,
        },
        index=list("abcdefghij"),
    )  # fmt: skip
    chosen = pictures.spread_out(images, 6)
    assert sorted(chosen[:3]) in (["a", "c", "e"], ["b", "c", "e"], ["a", "c", "d"])
    assert sorted(chosen[3:]) in (["f", "h", "j"], ["f", "h", "i"], ["g", "h", "j"])


def test_whole_chips_are_shown_before_partial_ones_and_missing_ones_never(study):
    chosen = told([study.units, study.chips, study.design])
    images = pictures.usable_images(chosen, study.chips, "480m")
    assert len(images) == 46
    assert not {"village-46", "village-47"} & set(images.index)
    partial = images.assign(status=["partial"] * 20 + ["ok"] * 26)
    assert not set(pictures.spread_out(partial, 12)) & set(partial.index[:20])


def test_most_and_least_are_different_images_of_different_clusters():
    effects = pd.DataFrame(
        {
            "effect": [9.0, 7.0, 8.5, 8.4, 5.0, 4.0, 3.0, 1.0, 1.1],
            "image_key": ["a", "a", "b", "c", "d", "e", "f", "g", "h"],
            "group": [0, 0, 1, 1, 2, 3, 4, 5, 5],
        }
    )
    everything = pd.DataFrame(index=list("abcdefgh"))
    most, least = pictures.most_and_least(effects, everything, 2)
    # b and c are of one cluster, a is the mean of its two units; g and h are of one cluster
    assert most["effect"].to_dict() == {"b": 8.5, "a": 8.0}
    assert least["effect"].to_dict() == {"g": 1.0, "f": 3.0}
    assert most["n_units"].to_dict() == {"b": 1, "a": 2}
    without_b = pictures.most_and_least(effects, everything.drop("b"), 2)[0]
    assert list(without_b.index) == ["c", "a"]


def test_with_few_images_the_galleries_do_not_overlap():
    effects = pd.DataFrame({"effect": [3.0, 2.0, 1.0], "image_key": list("abc"), "group": 0})
    most, least = pictures.most_and_least(effects, pd.DataFrame(index=list("abc")), 6)
    assert (list(most.index), list(least.index)) == (["a"], ["c"])


def test_large_chips_are_averaged_down_and_flat_ones_are_named():
    pixels = np.zeros((2, 400, 400, 3), dtype="uint8")
    pixels[1] = np.kron(np.random.default_rng(0).integers(0, 255, (40, 40, 3)), np.ones((10, 10, 1)))
    units = ec.read_units(pd.DataFrame({"id": [1, 2]}), id="id", image_key="id")
    shown = pictures.thumbnails(ec.chips_from_arrays(units, pixels), [1, 2], block="400px")
    assert [one.flat for one in shown] == [True, False]
    picture = mpl.image.imread(io.BytesIO(content(shown[1].source)))
    assert picture.shape[:2] == (133, 133)


def test_maps_keep_proportion_and_cross_the_date_line():
    fiji = pd.DataFrame({"lon": [179.0, -179.0], "lat": [-17.0, -17.0]})
    extent = maps.extent_of(fiji)
    assert extent.wraps
    assert extent.width_km == pytest.approx(2 * 111.32 * np.cos(np.radians(17)) * 1.1)
    assert not maps.extent_of(fiji.assign(lon=[32.0, 34.0])).wraps


def test_a_map_of_one_place_has_an_extent():
    extent = maps.extent_of(pd.DataFrame({"lon": [32.0, 32.0], "lat": [1.0, 1.0]}))
    assert extent.width_km == pytest.approx(1.1)
    assert extent.height > 0


def test_places_are_averaged():
    people = pd.DataFrame({"lon": [1.0, 1.0, 2.0], "lat": [0.0, 0.0, 0.0]})
    values, places = maps.extent_of(people).places(people, np.array([1.0, 3.0, 9.0]))
    assert values.tolist() == [2.0, 9.0]
    assert places["size"].tolist() == [2, 1]


def test_the_colour_scale_is_centred_on_zero_only_when_signs_differ():
    assert maps.colour_scale(np.array([-1.0] * 50 + [3.0] * 50)) == ("BrBG", -3.0, 3.0)
    assert maps.colour_scale(np.array([1.0] * 50 + [3.0] * 50)) == ("viridis", 1.0, 3.0)
    _, low, high = maps.colour_scale(np.full(5, 2.0))
    assert low < 2.0 < high


def test_labels_cut_short_stay_different():
    names = [f"household assets, item {number} of the list of all assets owned" for number in range(12)]
    labels = figures.distinct(names)
    assert len(set(labels)) == 12
    assert max(map(len, labels)) <= 62


# What it never lets through

EVIL = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "\"><svg onload=alert(1)>", "' onmouseover='f()",
    "</style><style>*{display:none}", "{{ 7 * 7 }}", "{% raw %}", "&lt;b&gt;", "javascript:alert(1)", "-->", "]]>",
    "$\\frac{1}{2}$ and $5", "a\x00b\x1b[31m", "\u202egnp.exe", "\ud800 half", "</title><script>1</script>",
]  # fmt: skip


@pytest.mark.parametrize("text", EVIL)
def test_no_text_becomes_markup(text, tmp_path):
    plain = Page(
        write([estimate(1, 0.1, warnings=("x",), assumptions=("x",))], tmp_path, title="x", question="x")
    )
    # no table can have half a character in the name of a column
    name = "grant" if "\ud800" in text else text
    hostile = estimate(
        1, 0.1, terms=(name,), warnings=(text,), assumptions=(text,), provenance={"design": text}
    )
    html = write([hostile], tmp_path, title=text, question=text)
    page = Page(html)
    # one more row of provenance, and not one element besides
    more = ["div", "dt", "dd"]
    assert sorted(page.tags) == sorted([*plain.tags, *more])
    assert page.attributes == plain.attributes
    assert page.style == plain.style
    assert not set("\x00\x1b\u202e\ud800") & set(html)


def test_hostile_names_of_columns_and_keys_stay_text(tmp_path):
    evil = "<script>alert(1)</script> $x$ \u202e"
    hostile = small_study(
        treatment=f"t{evil}", outcome=f"y{evil}", unit=f"u{evil}", image=f"i{evil}", covariate=f"c{evil}"
    )
    html = write(hostile.all(), tmp_path, title=evil)
    page = Page(html)
    assert "script" not in page.tags
    assert page.text.count("<script>alert(1)</script>") > 10
    drawings = [image["src"] for image in page.images if image["src"].startswith("data:image/svg")]
    assert len(drawings) == 5
    for drawing in drawings:
        tags = {element.tag for element in ElementTree.fromstring(svg(drawing)).iter()}
        assert not any("script" in str(tag) for tag in tags)


def test_the_page_reaches_for_nothing_and_runs_nothing(study, tmp_path):
    page = Page(write(study.all(), tmp_path))
    assert not {"script", "iframe", "object", "embed", "form", "base"} & set(page.tags)
    assert not [name for name in page.attributes if name.startswith("on") or name == "style"]
    assert [link for link in page.links if not link.startswith(("#", "data:"))] == []
    assert "url(" not in page.style
    assert "@import" not in page.style


def test_the_policy_allows_this_style_and_pictures_only(study, tmp_path):
    page = Page(write([study.units], tmp_path))
    digest = base64.b64encode(hashlib.sha256(page.style.encode()).digest()).decode()
    assert page.policy == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def test_every_picture_has_words_for_those_who_cannot_see_it(study, tmp_path):
    page = Page(write(study.all(), tmp_path))
    assert len(page.images) == 8 + 12 + 12
    assert all(len(image["alt"]) > 25 for image in page.images)
    assert page.text.count("How to read this.") == 8 + 2
    assert len(set(page.ids)) == len(page.ids)


def test_no_coordinate_and_no_unit_id_is_in_the_page(study, tmp_path):
    html = write(study.all(), tmp_path)
    numbers = {f"{value:.4f}" for value in (*study.units.longitude, *study.units.latitude)}
    assert not [number for number in numbers if number in html]
    assert "unit-0" not in html
    drawn = b"".join(svg(image["src"]) for image in Page(html).images if "svg" in image["src"][:20])
    assert b"unit-0" not in drawn
    # the letters of a drawing are outlines; what they say stands in its comments
    said = b" ".join(re.findall(rb"<!--(.*?)-->", drawn))
    assert b"income" in said
    assert not [number for number in numbers if number.encode() in said]


# Manners


def test_the_user_s_settings_neither_change_nor_matter(study, tmp_path):
    plain = write(study.all(), tmp_path)
    with mpl.rc_context(
        {"font.size": 40, "axes.facecolor": "red", "svg.fonttype": "none", "lines.linewidth": 9}
    ):
        before = dict(mpl.rcParams)
        changed = write(study.all(), tmp_path)
        assert dict(mpl.rcParams) == before
    assert changed == plain


def test_no_figure_stays_open(study, tmp_path):
    from matplotlib import pyplot as plt

    before = plt.get_fignums()
    write(study.all(), tmp_path)
    assert plt.get_fignums() == before


def test_importing_the_report_loads_nothing_heavy():
    heavy = ("matplotlib", "jinja2", "torch", "rasterio", "econml", "sklearn")
    code = f"import sys, eocausal.reporting.report; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_folders_are_made_and_files_replaced_whole(study, tmp_path):
    path = tmp_path / "new" / "deep" / "report.html"
    assert ec.report([study.units], str(path)) == path
    first = path.read_bytes()
    ec.report([study.design], path)
    assert path.read_bytes() != first
    assert [item.name for item in path.parent.iterdir()] == ["report.html"]


def test_a_failure_leaves_the_old_report(study, tmp_path, monkeypatch):
    path = ec.report([study.units], tmp_path / "report.html")
    before = path.read_bytes()
    monkeypatch.setattr(maps, "units_map", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        ec.report([study.units], path)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_progress_is_shown_when_asked(study, tmp_path, capsys):
    ec.report([study.units], tmp_path / "a.html")
    assert "report" not in capsys.readouterr().err
    ec.report([study.units], tmp_path / "a.html", progress=True)
    assert "report: 100%" in capsys.readouterr().err


def test_pairs_of_kinds_can_be_reported(study, tmp_path, monkeypatch):
    # every pair of kinds, so that no section leans on another kind being there; drawing takes the time
    monkeypatch.setattr(figures, "_drawn", lambda *_: b"")
    kinds = [study.units, study.chips, study.design, study.balance, study.overlap, study.estimates[0], study.cate,
             study.rates[0]]  # fmt: skip
    for pair in itertools.combinations(kinds, 2):
        page = Page(write(list(pair), tmp_path))
        assert page.ids[0] == "summary"
        assert page.ids[-2:] == ["warnings", "provenance"]
        assert not re.search(r"\bnan\b|None|NaN", page.text)


def content(address: str) -> bytes:
    return base64.b64decode(address.partition(",")[2])


def svg(address: str) -> bytes:
    assert address.startswith("data:image/svg+xml;base64,")
    return content(address)
