"""Wrong input to sequences and sizes: each error says what a user needs to mend it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

import eocausal as ec
from eocausal.errors import EncoderError
from tests.fake_chips import fake_chips

SEQUENCES = {
    "pool misspelt": ({"pool": "trends"}, "pool='trends' is not known.*'trend'"),
    "too few frames": ({"pool": "trend", "min_frames": 1}, "min_frames=1.*at least 2"),
    "half a frame": ({"min_frames": 1.5}, "min_frames=1.5.*whole number of at least 1"),
    "percent": ({"min_valid": 80}, "min_valid=80.*between 0 and 1"),
    "truth": ({"min_valid": True}, "min_valid=True.*between 0 and 1"),
}


@pytest.mark.parametrize(("more", "words"), SEQUENCES.values(), ids=SEQUENCES.keys())
def test_sequences(more, words):
    with pytest.raises(EncoderError, match=f"(?s){words}"):
        ec.Sequence("image_stats", **more)


def test_an_encoder_that_is_not_known():
    with pytest.raises(EncoderError, match=r"(?s)image_stat.*'image_stats'"):
        ec.Sequence("image_stat")


@pytest.mark.parametrize("inner", [ec.Sequence("rcf"), ec.MultiScale("rcf")], ids=["sequence", "sizes"])
def test_what_cannot_stand_inside_a_sequence(inner):
    with pytest.raises(EncoderError, match=r"(?s)cannot encode the frames.*MultiScale\(Sequence\("):
        ec.Sequence(inner)


def test_a_network_that_reads_several_dates_itself():
    film = SimpleNamespace(
        name="film", recipe=dict, fit=None, restore=None, spec=SimpleNamespace(frames_min=16)
    )
    with pytest.raises(
        EncoderError, match=r"(?s)'film' reads 16 or more dates together.*this encoder itself"
    ):
        ec.Sequence(film)


def test_chips_with_too_few_frames():
    with pytest.raises(EncoderError, match=r"(?s)'960m' have 1 frames; pool='trend' needs 2.*ec\.Frames"):
        ec.embed(
            fake_chips(3), encoder=ec.Sequence("image_stats", pool="trend"), device="cpu", progress=False
        )


SIZES = {
    "zero": ({"size_m": [0, 480]}, r"not sizes.*1 \(0\).*positive metres"),
    "no list": ({"size_m": 480}, r"size_m=480 is not a list.*\[480, 7680\]"),
    "text": ({"size_m": "480m"}, "size_m='480m' is not a list"),
    "none": ({"size_m": []}, "not a list of sizes"),
    "twice": ({"size_m": [480, "480m"]}, r"Sizes repeat.*2 \(480m, 480m\)"),
    "not finite": ({"size_m": [float("nan")]}, r"not sizes.*1 \(nan\)"),
    "half a component": ({"reduce": 2.5}, "reduce=2.5.*at least 1"),
    "no component": ({"reduce": 0}, "reduce=0"),
    "no pixels": ({"side_px": {"480m": 0}}, "side_px=0"),
}


@pytest.mark.parametrize(("more", "words"), SIZES.values(), ids=SIZES.keys())
def test_sizes(more, words):
    with pytest.raises(EncoderError, match=f"(?s){words}"):
        ec.MultiScale("rcf", **more)


def test_dicts_of_encoders():
    with pytest.raises(EncoderError, match=r"(?s)size_m and a dict.*keys of the dict are the sizes"):
        ec.MultiScale({480: "rcf"}, size_m=[480])
    with pytest.raises(EncoderError, match="dict of encoders is empty"):
        ec.MultiScale({})
    with pytest.raises(EncoderError, match="cannot be inside"):
        ec.MultiScale({480: ec.MultiScale("rcf")})


def test_a_size_that_the_chips_do_not_have():
    chips = fake_chips(3, blocks=("480m", "960m"))
    with pytest.raises(EncoderError, match=r"(?s)not have these sizes.*1 \(970m\).*480m, 960m.*'960m'"):
        ec.embed(chips, encoder=ec.MultiScale("rcf", size_m=[480, 970]), device="cpu", progress=False)


def test_chips_that_cannot_be_resampled():
    with pytest.raises(EncoderError, match=r"FakeChips cannot be brought to 8 pixels"):
        ec.embed(fake_chips(3), encoder=ec.MultiScale("rcf", side_px=8), device="cpu", progress=False)
