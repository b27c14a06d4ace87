"""Encoders of open_clip: every row of the catalogue, on checkpoints that open_clip itself writes."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest

import eocausal as ec
from eocausal.encoding.catalogue import find_spec
from eocausal.encoding.pretrained import Pretrained
from eocausal.errors import EncoderError
from tests.zoo.checks import chips_of, encoded, near, same_bits_alone, shaken

torch = pytest.importorskip("torch")
ROWS = ec.encoders().query("library == 'open_clip'")["name"].tolist()
MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)[:, None, None]
STD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)[:, None, None]


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Return folder and network of a row: open_clip's own configuration with one block in each half."""
    import open_clip

    folder = tmp_path_factory.mktemp("configurations")
    about = {name: open_clip.get_model_config(name) for name in {find_spec(row).loader for row in ROWS}}
    for name, config in about.items():
        few = {half: {**config[half], "layers": 1} for half in ("vision_cfg", "text_cfg")}
        (folder / f"{name}.json").write_text(json.dumps({**config, **few}))
    open_clip.add_model_config(folder)

    def of(row):
        spec = find_spec(row)
        with torch.random.fork_rng():
            torch.manual_seed(1)
            network = shaken(open_clip.create_model(spec.loader, pretrained=None))
        assert len(network.visual.transformer.resblocks) == 1
        path = folder / row
        path.mkdir(exist_ok=True)
        torch.save(network.state_dict(), path / spec.file)
        return path, network

    yield of
    for name, config in about.items():
        (folder / f"{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder)


def _chips(n=2):
    return chips_of(["blue", "green", "x", "red"], unit="uint8", px=224, high=255, n=n)


@pytest.mark.parametrize("name", ROWS)
def test_every_row_gives_the_vectors_of_the_library(published, name):
    folder, network = published(name)
    chips = _chips()
    found = encoded(Pretrained(name, weights=folder), chips)
    pictures = (chips.pixels["960m"][:, 0][:, [3, 1, 0]] / 255 - MEAN) / STD
    with torch.inference_mode():
        expected = network.encode_image(torch.from_numpy(pictures.astype(np.float32))).numpy()
    assert found.shape == (2, find_spec(name).dim)
    near(found, expected)
    quick = encoded(Pretrained(name, weights=folder, precision="bf16"), chips)
    assert 0 < np.abs(quick - expected).max() < 0.1 * np.abs(expected).max()


def test_a_chip_has_the_same_bits_in_any_batch_whatever_is_masked(published):
    same_bits_alone(Pretrained("remoteclip-vitb32", weights=published("remoteclip-vitb32")[0]), _chips(3))


def test_nothing_is_logged_and_logging_stays_as_it_was(published, caplog):
    root = logging.getLogger()
    before = (list(root.handlers), list(root.filters))
    folder, _ = published("remoteclip-vitb32")
    caplog.clear()
    Pretrained("remoteclip-vitb32", weights=folder).fit(_chips())
    assert (list(root.handlers), list(root.filters)) == before
    assert caplog.records == []


def test_what_cannot_be_loaded(published, tmp_path):
    spec, chips = find_spec("remoteclip-vitb32"), _chips()
    folder, network = published("remoteclip-vitb32")
    state = network.state_dict()
    torch.save({n: one for n, one in state.items() if "visual.ln_post" not in n}, tmp_path / spec.file)
    with pytest.raises(EncoderError, match=r"lack parts of the network[\s\S]*ln_post"):
        Pretrained(spec, weights=tmp_path).fit(chips)
    torch.save({**state, "visual.more": torch.ones(2)}, tmp_path / spec.file)
    with pytest.raises(EncoderError, match=r"hold parts that the network[\s\S]*more"):
        Pretrained(spec, weights=tmp_path).fit(chips)
    other = spec.model_copy(update={"loader": "ViT-B-none"})
    with pytest.raises(EncoderError, match=r"open_clip has no network 'ViT-B-none'[\s\S]*ViT-B-"):
        Pretrained(other, weights=folder).fit(chips)
    with pytest.raises(EncoderError, match="cannot be pooled so"):
        Pretrained(spec.model_copy(update={"pooling": ("cls",)}))
    with pytest.raises(EncoderError, match="does not read red, green, blue"):
        Pretrained(spec.model_copy(update={"bands": spec.bands[::-1]}))
    with pytest.raises(EncoderError, match=r"reads pictures of 0 to 255[\s\S]*white=0.3"):
        Pretrained(spec, weights=folder).fit(chips_of(["red", "green", "blue"], unit="reflectance", px=8))
