"""What is asked of encoders within encoders: an early refusal of chips, and another precision."""

from __future__ import annotations

import pytest

import eocausal as ec
from eocausal.encoding import pretrained
from eocausal.encoding.within import at_precision
from eocausal.errors import EncoderError
from tests.fake_chips import fake_chips


def _pictures(**more):
    chips = fake_chips(3, bands=3, **more)
    chips.bands, chips.pixel_unit = ("red", "green", "blue"), "uint8"
    return chips


@pytest.mark.parametrize("wrap", [
    lambda one: one,
    lambda one: ec.Sequence(one, pool="mean"),
    lambda one: ec.MultiScale(one),
    lambda one: ec.MultiScale(ec.Sequence(one, pool="mean"), size_m=[960]),
    lambda one: ec.MultiScale({960: one}),
])  # fmt: skip
@pytest.mark.parametrize(("bands", "unit", "words"), [
    (("red", "green", "nir"), "uint8", "reads red, green, blue; the chips have red, green, nir"),
    (("red", "green", "blue"), None, "do not say what a pixel is"),
])  # fmt: skip
def test_chips_are_refused_before_weights_are_looked_for(monkeypatch, wrap, bands, unit, words):
    def fetch(*args, **more):
        raise AssertionError("weights were looked for")

    monkeypatch.setattr(pretrained, "find_weights", fetch)
    chips = _pictures()
    chips.bands, chips.pixel_unit = bands, unit
    with pytest.raises(EncoderError, match=words):
        ec.embed(chips, encoder=wrap(ec.Pretrained("vit-base-in21k")), progress=False)
    with pytest.raises(AssertionError, match="weights were looked for"):
        ec.embed(_pictures(), encoder=wrap(ec.Pretrained("vit-base-in21k")), progress=False)


def test_precision_reaches_the_network_within():
    encoder = ec.MultiScale({480: ec.Sequence("dinov2-base", pool="mean"), 960: "vit-base-in21k"})
    found = at_precision(encoder, "bf16")
    assert found.scales["480m"].inner.precision == "bf16"
    assert found.scales["960m"].precision == "bf16"
    assert encoder.scales["960m"].precision == "fp32"
    assert at_precision(ec.RandomFeatures(8), "fp32") == ec.RandomFeatures(8)


@pytest.mark.parametrize(("encoder", "precision", "words"), [
    ("rcf", "bf16", "'rcf' works in fp32 alone"),
    (ec.Sequence("image_stats"), "bf16", "'image_stats' works in fp32 alone"),
    ("vit-base-in21k", "fp16", "precision='fp16' is not known"),
])  # fmt: skip
def test_precisions_that_cannot_be(encoder, precision, words):
    with pytest.raises(EncoderError, match=words):
        ec.embed(_pictures(), encoder=encoder, precision=precision, progress=False)
