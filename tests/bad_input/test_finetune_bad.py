"""What cannot be fine-tuned, and the words that say so."""

from __future__ import annotations

import dataclasses
import importlib.util

import numpy as np
import pytest

import eocausal as ec
from eocausal.errors import EncoderError, EstimationError, ImageryError, LeakError
from eocausal.training.finetuned import Finetuned
from tests.fake_chips import FakeChips
from tests.picture_worlds import (
    TWO,
    World,
    finetune,
    of,
    small_world,
    world,
)


@pytest.fixture(scope="module")
def small() -> World:
    return small_world()


@pytest.fixture(scope="module")
def plain(small: World) -> Finetuned:
    return of(small)


# --- what cannot be done


def test_pictures_of_the_day_of_treatment_are_refused_and_earlier_ones_taken() -> None:
    found = world(8, n=40)
    table = found.table.assign(day="2007-07-01")
    units = ec.read_units(table, id="unit", image_key="image", date="day")
    design = ec.Design(units, outcome="income", treatment="grant")

    def dated(day: str | None) -> ec.Chips:
        return ec.chips_from_arrays(units, found.pixels, keys=np.arange(40), date=day)

    for target in ("treatment", "outcome"):
        with pytest.raises(LeakError, match=r"(?s)2007-07-01 was taken on or after treatment"):
            finetune(dated("2007-07-01"), design, target=target)
    assert not any("when they were taken" in text for text in finetune(dated("2007-06-30"), design).warnings)
    assert any(
        "40 pictures do not say when they were taken" in text
        for text in finetune(dated(None), design).warnings
    )


BAD = {
    "target": ({"target": "propensity"}, EstimationError, r"target='propensity' is not known"),
    "network": ({"network": "resnet-tiney"}, EncoderError, r"(?s)network='resnet-tiney'.*'resnet-tiny'"),
    "folds": ({"folds": 5}, EstimationError, r"(?s)folds is a int.*ec.Folds\(k=5\)"),
    "seed": ({"seed": -1}, EstimationError, r"seed=-1"),
    "device": ({"device": "tpu"}, EstimationError, r"device='tpu' is not known"),
    "too many folds": ({"folds": ec.Folds(k=31)}, EstimationError, r"31 folds .* there are 30 groups"),
    "block": ({"network": ec.Network(block="960m")}, ImageryError, r"block='960m' is not known"),
    "divergence": (
        {"network": ec.Network(epochs=5, learning_rate=1e30)}, EstimationError,
        r"(?s)diverged.*learning_rate=1e\+29",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", list(BAD))
def test_what_cannot_be_done_is_said(small: World, name: str) -> None:
    options, error, match = BAD[name]
    with pytest.raises(error, match=match):
        of(small, **options)


@pytest.mark.parametrize(("settings", "match"), [
    ({"epochs": 0}, "epochs=0"), ({"patience": 1.5}, "patience=1.5"), ({"batch_size": 1}, "at least 2"),
    ({"learning_rate": 0}, "learning_rate=0"), ({"augment": "yes"}, "augment='yes'"),
    ({"calibrate": 1}, "calibrate=1"),
])  # fmt: skip
def test_settings_out_of_range_are_refused(settings: dict, match: str) -> None:
    with pytest.raises(EncoderError, match=match):
        ec.Network(**settings)


def test_a_design_is_asked_for(small: World) -> None:
    with pytest.raises(EstimationError, match=r"design is a DataFrame"):
        finetune(small.chips, small.table)


def test_an_arm_that_is_too_small_in_a_training_part_is_refused() -> None:
    found = world(0, n=40)
    table = found.table.assign(grant=(found.table["unit"] < 3).astype(int))
    units = ec.read_units(table, id="unit", image_key="image")
    design = ec.Design(units, outcome="income", treatment="grant")
    with pytest.raises(
        EstimationError, match=r"(?s)Outside fold \d there are [12] treated, \d+ control.*fewer folds"
    ):
        finetune(found.chips, design, folds=TWO)


def test_chips_of_other_places_are_refused(small: World) -> None:
    few = ec.chips_from_arrays(small.design.data.take(np.arange(40)), small.pixels[:20], keys=np.arange(20))
    with pytest.raises(
        EstimationError, match=r"(?s)do not hold the pictures of 20 units.*look like \[0, 1, 2\]"
    ):
        finetune(few, small.design)


def test_chips_known_by_another_key_are_refused(small: World) -> None:
    by_unit = ec.read_units(small.table, id="unit", image_key="unit")
    with pytest.raises(EstimationError, match=r"(?s)chips are known by 'image'.*image_key='image'"):
        finetune(small.chips, dataclasses.replace(small.design, data=by_unit))
    nameless = small.table.drop(columns="image")
    with pytest.raises(EstimationError, match=r"chips are known by 'image'"):
        finetune(small.chips, ec.Design(nameless, outcome="income", treatment="grant"))


def test_units_without_a_usable_picture_are_refused_by_arm(small: World) -> None:
    pixels = small.pixels.copy()
    pixels[3] = np.nan
    blank = ec.chips_from_arrays(small.design.data, pixels, keys=np.arange(30))
    with pytest.raises(
        EstimationError, match=r"(?s)2 units \(\d treated, \d control\) have no usable picture.*6, 7"
    ):
        finetune(blank, small.design)
    rest = small.design.take(~np.isin(small.design.table.ids, [6, 7]))
    assert len(finetune(blank, rest)) == 58


def test_several_sizes_need_a_choice_and_several_frames_are_refused(small: World) -> None:
    pixels = np.moveaxis(small.pixels, 3, 1)[:, None].astype(np.float32)
    mask = np.ones((30, 1, 12, 12), dtype=bool)
    sizes = FakeChips(
        np.arange(30),
        {"a": pixels[..., :6, :6], "b": pixels},
        {"a": mask[..., :6, :6], "b": mask},
        key_name="image",
    )
    with pytest.raises(ImageryError, match=r"(?s)several sizes.*block='a'"):
        finetune(sizes, small.design)
    chosen = finetune(sizes, small.design, network=ec.Network(epochs=3, block="b"))
    np.testing.assert_array_equal(chosen.predictions, of(small).predictions)
    frames = FakeChips(np.arange(30), {"b": pixels.repeat(3, 1)}, {"b": mask.repeat(3, 1)}, key_name="image")
    with pytest.raises(ImageryError, match=r"(?s)3 frames.*one picture of each place"):
        finetune(frames, small.design)


def test_a_table_that_does_not_know_that_units_share_pictures_is_refused(small: World) -> None:
    table = small.table.set_index("unit")
    with pytest.raises(EstimationError, match=r"(?s)30 pictures are shared.*image_key='image'"):
        finetune(small.chips, ec.Design(table, outcome="income", treatment="grant"))
    tied = ec.Design(table, outcome="income", treatment="grant", cluster="image")
    assert len(finetune(small.chips, tied)) == 60


def test_a_missing_library_names_the_line_that_installs_it(
    small: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "transformers" else found(name, *rest),
    )
    with pytest.raises(EncoderError, match=r'pip install "eocausal\[encoders\]"'):
        of(small)
