"""Names of networks on the hub lead to the file to write, which is then read like any other."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

import eocausal as ec
from eocausal.encoding.registry import get_encoder
from eocausal.encoding.spec import read_spec
from eocausal.errors import EncoderError, SpecError
from tests.fake_chips import fake_chips

hub = pytest.importorskip("huggingface_hub", reason="the extra 'encoders' is not installed")
COMMIT = "0123456789abcdef" * 2 + "01234567"
PROCESSOR = {"do_rescale": True, "rescale_factor": 1 / 255, "image_mean": [0.5, 0.4], "image_std": [0.2, 0.1]}
CLIP = {"model_type": "clip", "projection_dim": 8, "vision_config": {"image_size": 48, "num_channels": 4}}
VIDEO = {
    "model_type": "videomae", "image_size": 64, "num_channels": 3, "num_frames": 8, "tubelet_size": 2,
    "hidden_size": 24,
}  # fmt: skip


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of the hub, and a function that puts a folder of a network in."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def put(hub_id, **files):
        folder = tmp_path / "hub" / f"models--{hub_id.replace('/', '--')}"
        kept = folder / "snapshots" / COMMIT
        kept.mkdir(parents=True)
        (folder / "refs").mkdir()
        (folder / "refs" / "main").write_text(COMMIT)
        for name, content in files.items():
            (kept / f"{name}.json").write_text(json.dumps(content))
        return kept

    return put


def _told(name):
    with pytest.raises(EncoderError) as caught:
        ec.Pretrained(name)
    return str(caught.value)


def _lines(text):
    return dict(
        line.split(":", 1) for line in text.split("\n\n")[1].splitlines() if re.match(r"[a-z_]+:", line)
    )


@pytest.mark.parametrize("ask", [ec.Pretrained, get_encoder, lambda name: ec.Sequence(name)])
def test_a_name_of_the_hub_alone_is_refused_with_the_file_to_write(cache, ask):
    with pytest.raises(
        EncoderError, match=r"does not say what the network reads[\s\S]*dinov2-large\.yaml[\s\S]*bands:"
    ):
        ask("hf:facebook/dinov2-large")


def test_what_is_not_known_is_empty_and_each_is_told_at_its_line(cache, tmp_path):
    text = _told("hf:facebook/dinov2-large")
    found = _lines(text)
    assert found["hub_id"] == " facebook/dinov2-large"
    assert found["name"] == " dinov2-large"
    empty = {name for name, value in found.items() if not value.split("#")[0].strip()}
    assert empty == {
        "loader", "revision", "licence", "commercial_ok", "bands", "pixel_unit", "scaling", "native_px", "pooling",
        "dim", "citation",
    }  # fmt: skip
    path = tmp_path / "dinov2-large.yaml"
    path.write_text(text.split("\n\n")[1])
    with pytest.raises(SpecError) as caught:
        read_spec(path)
    fields = [
        "loader",
        "licence",
        "commercial_ok",
        "bands[0].name",
        "bands[2].common_name",
        "scaling",
        "citation",
    ]
    for field in fields:
        assert f" {field}: " in str(caught.value)


def test_what_the_cache_holds_is_filled_in(cache):
    cache("someone/Video.Net", config=VIDEO, preprocessor_config=PROCESSOR)
    text = _told("hf:someone/Video.Net")
    found = _lines(text)
    for field, value in {
        "name": "video.net", "loader": "videomae", "revision": COMMIT, "native_px": "64", "frames_min": "2",
        "frames_max": "8", "frames_step": "2", "pooling": "[mean]", "dim": "24", "pixel_unit": "uint8",
    }.items():  # fmt: skip
        assert found[field] == f" {value}"
    assert text.count("- {name: , common_name: }") == 3
    assert "  - divide: 255\n  - z: {mean: [0.5, 0.4], std: [0.2, 0.1]}" in text


def test_clip_is_pooled_by_its_projection_and_read_by_its_part_for_pictures(cache):
    cache("someone/clip", config=CLIP)
    text = _told(f"hf:someone/clip@{COMMIT}")
    found = _lines(text)
    assert (found["pooling"], found["dim"], found["native_px"]) == (" [projected]", " 8", " 48")
    assert found["revision"] == f" {COMMIT}"
    assert text.count("- {name: , common_name: }") == 4
    assert found["scaling"].strip() == "# steps"


@pytest.mark.parametrize("processor", [
    {**PROCESSOR, "rescale_factor": 1 / 127.5}, {**PROCESSOR, "do_rescale": False},
    {**PROCESSOR, "image_std": None}, [1, 2],
])  # fmt: skip
def test_scaling_that_is_not_the_usual_one_is_left_to_the_reader(cache, processor):
    cache("someone/clip", config=CLIP, preprocessor_config=processor)
    assert "pixel_unit:             #" in _told("hf:someone/clip")


def test_a_network_of_a_family_that_is_not_known(cache):
    cache("someone/bert", config={"model_type": "bert", "hidden_size": 8})
    found = _lines(_told("hf:someone/bert"))
    assert found["loader"].strip().startswith("# one of clip, vit")
    assert found["dim"] == " 8"


def test_an_encoder_of_the_catalogue_is_named(cache):
    assert "ec.Pretrained('dinov2-base')" in _told("hf:facebook/dinov2-base")
    commit = "f9e44c814b77203eaa57a6bdbbd535f21ede1415"
    assert f"ec.Pretrained('dinov2-base', revision={commit!r})" in _told(f"hf:facebook/dinov2-base@{commit}")


@pytest.mark.parametrize("name", ["hf:", "hf:a/b/c", "hf:a b", "hf:../x", "hf:a/b@main", "hf:https://hub/a"])
def test_names_that_the_hub_has_not(cache, name):
    with pytest.raises(
        EncoderError, match=r"(?s)is not the name of a network on the hub.*hf:<owner>/<model>"
    ):
        ec.Pretrained(name)


def test_the_file_that_is_filled_in_reads_the_network_from_the_cache(cache, tmp_path):
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    with torch.random.fork_rng():
        torch.manual_seed(1)
        config = transformers.ViTConfig(
            hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, image_size=32,
            patch_size=16, num_channels=2,
        )  # fmt: skip
        network = transformers.ViTModel(config, add_pooling_layer=False).eval()
    kept = cache("someone/vit-tiny", preprocessor_config=PROCESSOR)
    network.save_pretrained(kept)
    text = _told("hf:someone/vit-tiny").split("\n\n")[1]
    for field, value in [("licence", "MIT"), ("commercial_ok", "true"), ("citation", "ours")]:
        text = re.sub(rf"{field}: .*", f"{field}: {value}", text)
    for name in ("red", "nir"):
        text = text.replace("{name: , common_name: }", f"{{name: {name}, common_name: {name}}}", 1)
    path = tmp_path / "vit-tiny.yaml"
    path.write_text(text)
    chips = fake_chips(2, px=32, bands=2)
    chips.pixel_unit, chips.bands = "uint8", ("red", "nir")
    pixels = np.random.default_rng(0).integers(0, 256, chips.pixels["960m"].shape).astype(np.float32)
    chips.pixels["960m"] = pixels
    made = ec.embed(chips, encoder=str(path), progress=False, device="cpu")
    scaled = (pixels[:, 0] / 255 - np.array([0.5, 0.4])[:, None, None]) / np.array([0.2, 0.1])[:, None, None]
    with torch.inference_mode():
        expected = network(torch.from_numpy(scaled.astype(np.float32))).last_hidden_state[:, 0].numpy()
    np.testing.assert_allclose(made.values, expected, rtol=1e-4, atol=1e-5)
    assert made.recipe["encoder"]["hub_id"] == "someone/vit-tiny"
