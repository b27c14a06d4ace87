"""The report as a reader sees it: drawn by a browser at several widths, printed, and free of errors."""

from __future__ import annotations

import html as escape
import io
import re
import shutil
import subprocess
import time
from dataclasses import replace

import matplotlib.image
import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from tests.report_items import small_study

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--enable-logging=stderr",
)  # fmt: skip


@pytest.fixture(scope="module")
def browser():
    found = next((path for path in map(shutil.which, BROWSERS) if path), None)
    if found is None:
        pytest.skip(f"NO BROWSER: none of {', '.join(BROWSERS)} is on PATH; the report was not looked at")
    return found


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return ec.report(small_study().all(), tmp_path_factory.mktemp("page") / "report.html", truth=1.0)


def run(browser, folder, *options) -> str:
    """Run the browser and return what it prints: the page when asked to dump it, and errors of the console."""
    done = subprocess.run(
        [browser, *QUIET, f"--user-data-dir={folder / 'profile'}", *options],
        capture_output=True, text=True, timeout=120, check=True, cwd=folder,
    )  # fmt: skip
    return done.stdout + "\n" + "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


def picture_of(browser, folder, path, width, height):
    shot = folder / f"{width}.png"
    said = run(browser, folder, f"--window-size={width},{height}", f"--screenshot={shot}", path.as_uri())
    return matplotlib.image.imread(io.BytesIO(shot.read_bytes()))[..., :3], said


def test_a_browser_draws_the_page_without_an_error(browser, page, tmp_path):
    drawn, said = picture_of(browser, tmp_path, page, 1280, 9000)
    assert "CONSOLE" not in said
    assert drawn.shape == (9000, 1280, 3)
    ink = (drawn < 0.98).any(axis=2)
    assert 0.05 < ink.mean() < 0.5
    # text and figures all the way down, and colours of both arms
    assert all(ink[top : top + 900].mean() > 0.01 for top in range(0, 7200, 900))
    for colour in ("#c55a11", "#1f4e79"):
        wanted = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
        assert (np.abs(drawn - wanted).max(axis=2) < 0.01).sum() > 500


def test_the_check_for_errors_sees_one(browser, page, tmp_path):
    broken = tmp_path / "broken.html"
    broken.write_text(page.read_text(encoding="utf-8").replace("<main>", "<main><script>alert(1)</script>"))
    _, said = picture_of(browser, tmp_path, broken, 1280, 600)
    assert "Content Security Policy" in said


@pytest.mark.parametrize("width", [400, 800, 1280])
def test_nothing_is_wider_than_the_screen(browser, page, tmp_path, width):
    inner = escape.escape(page.read_text(encoding="utf-8"), quote=True)
    measure = (
        "const d = document.querySelector('iframe').contentDocument;"
        "const wide = [...d.querySelectorAll('p, h1, h2, figure, img, li, dd')]"
        ".filter(e => !e.closest('.scroll'))"
        ".filter(e => e.getBoundingClientRect().right > d.documentElement.clientWidth + 1);"
        "const lost = [...d.images].filter(e => !e.naturalWidth);"
        "document.title = [d.documentElement.scrollWidth, d.images.length, wide.length, lost.length].join(' ');"
    )
    frame = tmp_path / "frame.html"
    frame.write_text(
        "<!doctype html><title>x</title>"
        f'<iframe width="{width}" height="900" style="border:0" srcdoc="{inner}"></iframe>'
        f"<script>onload = () => {{ {measure} }}</script>",
        encoding="utf-8",
    )
    said = run(
        browser,
        tmp_path,
        "--window-size=1400,1000",
        "--virtual-time-budget=5000",
        "--dump-dom",
        frame.as_uri(),
    )
    scroll_width, images, wide, lost = map(int, re.search(r"<title>([\d ]+)</title>", said).group(1).split())
    assert scroll_width <= width
    assert (images, wide, lost) == (8 + 12 + 12, 0, 0)


def test_it_prints(browser, page, tmp_path):
    target = tmp_path / "report.pdf"
    run(browser, tmp_path, f"--print-to-pdf={target}", "--no-pdf-header-footer", page.as_uri())
    pages = len(re.findall(rb"/Type\s*/Page\b", target.read_bytes()))
    assert 6 <= pages <= 14


def test_two_thousand_units_take_seconds_and_a_small_file(tmp_path):
    study = small_study()
    rng = np.random.default_rng(0)
    n = 2000
    table = pd.DataFrame(
        {
            "id": np.arange(n),
            "lon": rng.uniform(30, 34, n),
            "lat": rng.uniform(0, 4, n),
            "grant": np.tile([0, 1], n // 2),
        }
    )
    table["income"] = rng.normal(size=n)
    units = ec.read_units(table, id="id", lon="lon", lat="lat")
    chips = ec.chips_from_arrays(
        units, rng.integers(0, 255, (n, 64, 64, 3)).astype("uint8"), keys=table["id"]
    )
    design = ec.Design(units, outcome="income", treatment="grant")
    effects = rng.normal(size=n)
    cate = replace(
        study.cate, ids=units.ids, effect_values=effects, effect_errors=np.ones(n), folds=np.zeros(n, dtype=int),
        sequential_values=effects, dr_scores=effects, weights=np.ones(n), group_codes=np.arange(n),
        image_keys=units.image_keys, coordinates=table[["lon", "lat"]].to_numpy(),
    )  # fmt: skip
    started = time.perf_counter()
    path = ec.report(
        [units, chips, design, ec.ate(design, method="difference"), cate, *study.rates], tmp_path / "r.html"
    )
    assert time.perf_counter() - started < 10
    assert path.stat().st_size < 4e6


def test_the_uganda_trial_is_reported_as_published(shared, tmp_path):
    folder = shared / "data" / "uganda_yop"
    units = ec.read_units(
        folder / "units.csv", id="unit_id", lon="geo_long", lat="geo_lat", image_key="image_key"
    )
    chips = ec.chips_from_arrays(units, folder / "chips.npz")
    design = ec.Design(units, outcome="outcome", treatment="treated", cluster="image_key")
    page = ec.report([units, chips, design, ec.ate(design, method="difference")], tmp_path / "uganda.html")
    text = page.read_text(encoding="utf-8")
    # difference in means 0.7415 with clustered standard error 0.0755; 49 images hold both arms
    assert '<td class="num">0.7415</td><td class="num">0.0755</td>' in text
    assert "49 clusters and 49 images hold units of both arms" in text
    assert "All 327 images have a usable chip of every size." in text
    assert text.count("data:image/png") == 1 + 12
