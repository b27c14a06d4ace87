"""What map cards refuse to write over, to read, and to be used for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal._io import hash_content
from eocausal.errors import DebiasError, EstimationError, ImageryError
from eocausal.map_cards.card_files import read_corrector
from tests.scenes import units_on, write_scene

HEIGHT, WIDTH = 30, 40
PIXELS = np.random.default_rng(0).normal(size=(1, HEIGHT, WIDTH)).astype("float32")


@pytest.fixture(scope="module")
def corrector() -> ec.Corrector:
    seen = PIXELS.ravel().astype(float)
    survey = seen + 0.7 * np.random.default_rng(1).normal(size=seen.size)
    places = pd.DataFrame({"map": seen, "survey": survey})
    return ec.debias(places, prediction="map", truth="survey", method="lcc")


@pytest.fixture
def map_file(tmp_path: Path) -> Path:
    return write_scene(tmp_path / "wealth.tif", PIXELS)


@pytest.fixture
def card_file(corrector: ec.Corrector, map_file: Path) -> Path:
    corrector.to_map_card(map_file, period=2015, progress=False)
    return map_file.with_name("wealth.card.json")


def _places(n: int, **columns: Any) -> ec.Units:
    rng = np.random.default_rng(5)
    return units_on([(row, column) for row, column in rng.uniform(1, HEIGHT - 1, (n, 2))], **columns)


@pytest.mark.parametrize("name", ["wealth.tif", "other.TIF", "linked.json"])
def test_no_card_takes_the_place_of_a_raster(corrector: ec.Corrector, map_file: Path, name: str) -> None:
    before = map_file.read_bytes()
    target = map_file.with_name(name)
    if name == "linked.json":
        target.hardlink_to(map_file)
    with pytest.raises(DebiasError, match=r"would take the place of a raster[\s\S]*tags=True"):
        corrector.to_map_card(map_file, card=target, progress=False)
    assert map_file.read_bytes() == before


def test_folders_are_no_cards(corrector: ec.Corrector, map_file: Path) -> None:
    with pytest.raises(DebiasError, match=r"is a folder[\s\S]*wealth\.card\.json"):
        corrector.to_map_card(map_file, card=map_file.parent, progress=False)
    with pytest.raises(DebiasError, match="card is a int"):
        corrector.to_map_card(map_file, card=3, progress=False)
    with pytest.raises(DebiasError, match=r"is a folder[\s\S]*\.card\.json"):
        ec.read_map_card(map_file.parent)


@pytest.mark.parametrize("name", ["map", "town"])
def test_no_card_is_written_that_could_not_be_read(map_file: Path, name: str) -> None:
    seen = PIXELS.ravel().astype(float)
    noise = np.random.default_rng(1).normal(size=seen.size)
    places = pd.DataFrame({"map": seen, "survey": seen + 0.7 * noise, "town": np.arange(seen.size) % 2})
    named = {one: f"{one}\nof 2015" if one == name else one for one in places}
    fix = ec.debias(
        places.rename(columns=named),
        prediction=named["map"],
        truth="survey",
        groups=named["town"],
        noise="constant",
    )
    with pytest.raises(DebiasError, match=r"control characters[\s\S]*of 2015[\s\S]*rename columns"):
        fix.to_map_card(map_file, progress=False)
    assert not map_file.with_name("wealth.card.json").exists()


def test_a_card_saved_with_a_byte_order_mark_is_read(card_file: Path) -> None:
    known = ec.read_map_card(card_file)
    card_file.write_text(card_file.read_text(), encoding="utf-8-sig")
    assert ec.read_map_card(card_file) == known


FORGED: dict[str, tuple[str, object, str]] = {
    "reference system": ("map.crs", "\x1b[31mnowhere", r"'\\x1b\[31mnowhere' is no reference system"),
    "pixels without size": ("map.transform", [0.0] * 6, "no size"),
    "period": ("period", ["2016-01-01", "2015-01-01"], "ends before it begins"),
    "text that moves a cursor": ("corrector.reasons", ["\x1b[2J"], r"corrector\.reasons"),
    "warnings that move it": ("corrector.warnings", ["\x1b[2J"], r"corrector\.warnings"),
    "a slope of nothing": ("corrector.k", 0.0, "to be above 0"),
    "a range from end to start": ("corrector.truth_range", [2.0, 1.0], "no range"),
}


@pytest.mark.parametrize("case", FORGED)
def test_cards_with_a_seal_are_looked_at_all_the_same(card_file: Path, case: str) -> None:
    place, value, words = FORGED[case]
    content = json.loads(card_file.read_text())
    *inner, name = place.split(".")
    within = content[inner[0]] if inner else content
    within[name] = value
    del content["seal"]
    card_file.write_text(json.dumps({**content, "seal": hash_content(content)}))
    with pytest.raises(DebiasError, match=words):
        ec.read_map_card(card_file)


def test_years_that_are_floats_are_years_and_missing_ones_are_named(card_file: Path, map_file: Path) -> None:
    card = ec.read_map_card(card_file)
    years = _places(
        3, seen=[2015.0, 2015.0, 2016.0], gone=[2015.0, np.nan, 2015.0], half=[2015.5, 2015.0, 2015.0]
    )
    (told,) = card.sample(map_file, years, outcome_date="seen").warnings
    assert "1 of 3 units have an outcome_date outside" in told
    for name in ("gone", "half"):
        with pytest.raises(
            DebiasError, match=rf"Column '{name}' is missing, or no period[\s\S]*Where: [13] \("
        ):
            card.sample(map_file, years, outcome_date=name)


def test_values_under_a_mask_and_units_that_were_not_read_are_refused(
    card_file: Path, map_file: Path
) -> None:
    card = ec.read_map_card(card_file)
    with pytest.raises(DebiasError, match=r"missing for 1 places[\s\S]*1 \(0\)"):
        card.apply(np.ma.array([9e9, 1.0], mask=[True, False]))
    for units in (None, pd.DataFrame({"lon": [1.0]})):
        with pytest.raises(DebiasError, match=r"ec\.read_units"):
            card.sample(map_file, units)
        with pytest.raises(ImageryError, match=r"ec\.read_units"):
            ec.sample_map(map_file, units)


def test_a_card_is_no_corrector_but_holds_one(card_file: Path) -> None:
    card = ec.read_map_card(card_file)
    rng = np.random.default_rng(2)
    trial = pd.DataFrame({"w": np.tile([0, 1], 50), "p": rng.normal(size=100), "x": rng.normal(size=100)})
    design = ec.Design(trial, outcome="p", treatment="w", covariates=["x"])
    for effect in (ec.ate, ec.cate):
        with pytest.raises(EstimationError, match=r"correct is a MapCard[\s\S]*correct=card\.corrector"):
            effect(design, correct=card)
    with pytest.raises(DebiasError, match=r"map card[\s\S]*read_map_card\(path\)"):
        ec.Corrector.from_json(card_file)


def test_a_corrector_is_read_from_its_file_from_a_card_and_from_tags(
    corrector: ec.Corrector, map_file: Path
) -> None:
    shifted = write_scene(map_file.with_name("shifted.tif"), PIXELS + 4)
    card = corrector.to_map_card(shifted, tags=True, progress=False)
    assert card.warnings
    plain = read_corrector(corrector.to_json(map_file.with_name("fix.json")))
    assert plain.warnings == corrector.warnings
    for path in (shifted, shifted.with_name("shifted.card.json")):
        found = read_corrector(path)
        assert found.key == corrector.key
        assert found.warnings == (*corrector.warnings, *card.warnings)
    with pytest.raises(DebiasError, match="no card among its tags"):
        read_corrector(map_file)
