"""Pretrained encoders: tiny checkpoints of the library's own classes, read by the path that the hub's take."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pandas as pd
import pytest

import eocausal as ec
from eocausal.encoding._transformers import FAMILIES, VIDEO
from eocausal.encoding.pretrained import FittedPretrained, Pretrained
from eocausal.encoding.registry import get_encoder
from eocausal.encoding.spec import parse_spec
from eocausal.errors import EncoderError
from eocausal.imagery.resample import resample
from tests.fake_chips import fake_chips

transformers = pytest.importorskip("transformers", reason="the extra 'encoders' is not installed")
torch = pytest.importorskip("torch")

MEAN, STD = np.array([0.2, 0.3, 0.4], np.float32), np.array([0.1, 0.2, 0.3], np.float32)
_SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32}
_TEXT = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "vocab_size": 50,
    "max_position_embeddings": 10,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
_SWIN = {
    "image_size": 32,
    "patch_size": 4,
    "embed_dim": 8,
    "depths": [1, 1],
    "num_heads": [1, 2],
    "window_size": 4,
}
SPEC = """\
spec_version: 1
name: tiny-{family}
title: A tiny network for tests
library: transformers
loader: {family}
licence: MIT
commercial_ok: true
bands:
  - {{name: red, common_name: red}}
  - {{name: green, common_name: green}}
  - {{name: blue, common_name: blue}}
pixel_unit: reflectance
scaling:
  - clip: [0, 1]
  - z: {{mean: [0.2, 0.3, 0.4], std: [0.1, 0.2, 0.3]}}
native_px: 32
pooling: [{pooling}]
dim: {dim}
citation: none
"""


def _built(family):
    """Return a tiny network of a family with random weights, seeded, as it would be published."""
    kinds = {
        "clip": lambda: transformers.CLIPModel(
            transformers.CLIPConfig(
                text_config=_TEXT, vision_config={**_SMALL, "intermediate_size": 32, "patch_size": 16},
                projection_dim=8,
            )
        ),
        "vit": lambda: transformers.ViTModel(
            transformers.ViTConfig(**_SMALL, intermediate_size=32, patch_size=16)
        ),
        "dinov2": lambda: transformers.Dinov2Model(transformers.Dinov2Config(**_SMALL, patch_size=14)),
        "dinov2_with_registers": lambda: transformers.Dinov2WithRegistersModel(
            transformers.Dinov2WithRegistersConfig(**_SMALL, patch_size=14)
        ),
        "dinov3_vit": lambda: transformers.DINOv3ViTModel(
            transformers.DINOv3ViTConfig(**_SMALL, intermediate_size=32, patch_size=16, num_register_tokens=4)
        ),
        "swin": lambda: transformers.SwinModel(transformers.SwinConfig(**_SWIN)),
        "swinv2": lambda: transformers.Swinv2Model(transformers.Swinv2Config(**_SWIN)),
    }  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = kinds[family]()
        for weights in network.parameters():
            # as they are made, many tokens and gains are 0 or 1: a wrong one would go unseen
            weights.data.add_(0.05 * torch.randn_like(weights))
    return network.eval()


def _width(family, pool):
    return 8 if pool == "projected" else 16


# networks of video are in a file of their own
PICTURES = [family for family in FAMILIES if family not in VIDEO]
EACH = [(family, pool) for family in PICTURES for pool in FAMILIES[family]]


@pytest.fixture(scope="session")
def published(tmp_path_factory):
    """Folders of checkpoints by family, and the networks that were written there."""
    made = {}
    for family in PICTURES:
        folder = tmp_path_factory.mktemp(family)
        network = _built(family)
        network.save_pretrained(folder)
        made[family] = (folder, network)
    return made


def _spec(family, pool="mean", **changes):
    text = SPEC.format(family=family, pooling=pool, dim=_width(family, pool))
    return parse_spec(text, "tiny.yaml").model_copy(update=changes)


def _chips(n=4, *, px=32, dates=1, bands=("blue", "nir", "green", "red"), seed=0):
    chips = fake_chips(n, px=px, dates=dates, bands=len(bands), seed=seed)
    rng = np.random.default_rng(seed)
    chips.pixels["960m"] = rng.uniform(0, 0.9, chips.pixels["960m"].shape).astype(np.float32)
    chips.bands, chips.pixel_unit = tuple(bands), "reflectance"
    return chips


def _encoded(encoder, chips):
    batch = next(iter(chips.batches(size=100)))
    return encoder.fit(chips).encode(batch.pixels["960m"], batch.mask["960m"], "960m")


def _by_hand(network, family, pool, pictures):
    """Return the vectors by the library's own class, from pictures that the test has scaled itself."""
    with torch.inference_mode():
        given = torch.from_numpy(pictures.astype(np.float32))
        if family == "clip":
            vision = network.vision_model(pixel_values=given)
            found = {
                "projected": network.visual_projection(vision.pooler_output),
                "cls": vision.pooler_output,
                "mean": vision.last_hidden_state[:, 1:].mean(1),
            }[pool]
        else:
            tokens = network(pixel_values=given).last_hidden_state
            skip = {
                "vit": 1,
                "dinov2": 1,
                "dinov2_with_registers": 5,
                "dinov3_vit": 5,
                "swin": 0,
                "swinv2": 0,
            }
            found = tokens[:, 0] if pool == "cls" else tokens[:, skip[family] :].mean(1)
    return found.numpy()


def _rgb(chips):
    pixels = chips.pixels["960m"][:, 0][:, [3, 2, 0]]  # red, green, blue among blue, nir, green, red
    return (pixels - MEAN[:, None, None]) / STD[:, None, None]


@pytest.mark.parametrize(("family", "pool"), EACH)
def test_vectors_are_those_of_the_library_on_pictures_scaled_by_hand(published, family, pool):
    folder, network = published[family]
    chips = _chips()
    found = _encoded(Pretrained(_spec(family, pool), weights=folder), chips)
    expected = _by_hand(network, family, pool, _rgb(chips))
    assert found.dtype == np.float32
    assert expected.std() > 1e-3
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", PICTURES)
def test_a_chip_has_the_same_bits_in_any_batch(published, family):
    pool = next(iter(FAMILIES[family]))
    chips = _chips(5, dates=2)
    chips.mask["960m"][1, 0, :9, :9] = False
    fitted = Pretrained(_spec(family, pool), weights=published[family][0]).fit(chips)
    batch = next(iter(chips.batches(size=5)))
    pixels, mask = batch.pixels["960m"], batch.mask["960m"]
    whole = fitted.encode(pixels, mask, "960m")
    for i in range(5):
        np.testing.assert_array_equal(fitted.encode(pixels[[i]], mask[[i]], "960m")[0], whole[i])
    np.testing.assert_array_equal(fitted.encode(pixels[::-1], mask[::-1], "960m"), whole[::-1])


def test_pictures_that_go_through_together_give_each_chip_its_own_vector(published, monkeypatch):
    from eocausal.encoding import pretrained

    chips = _chips(5, dates=3)
    chips.mask["960m"][[0, 1, 4], [1, 0, 2]] = False
    encoder = Pretrained(_spec("vit", "cls"), weights=published["vit"][0])
    alone = _encoded(encoder, chips)
    monkeypatch.setitem(pretrained._AT_ONCE, "cpu", 4)  # as on a GPU
    together = _encoded(encoder, chips)
    assert np.abs(alone[:, None] - alone[None]).max(axis=2)[~np.eye(5, dtype=bool)].min() > 1e-3
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("px", [32, 48, 20])
def test_pixels_that_are_not_valid_do_not_move_vectors(published, px):
    chips = _chips(3, px=px)
    chips.mask["960m"][:, 0, 3:9, 2:12] = False
    fitted = Pretrained(_spec("vit", "cls"), weights=published["vit"][0]).fit(chips)
    mask, pixels = chips.mask["960m"], chips.pixels["960m"]
    found = [
        fitted.encode(np.where(mask[:, :, None], pixels, np.float32(junk)), mask, "960m")
        for junk in (np.nan, 0.0, -7e8, np.inf)
    ]
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])
    whole = fitted.encode(pixels, np.ones_like(mask), "960m")
    assert not np.allclose(whole, found[0])


def test_what_is_not_valid_is_the_mean_of_its_band(published):
    chips = _chips(2)
    chips.mask["960m"][:, 0, :10] = False
    found = _encoded(Pretrained(_spec("vit", "cls"), weights=published["vit"][0]), chips)
    filled = _rgb(chips)
    filled[:, :, :10] = 0
    np.testing.assert_allclose(
        found, _by_hand(published["vit"][1], "vit", "cls", filled), rtol=1e-4, atol=1e-5
    )


def test_shrunk_pictures_are_means_of_what_they_cover(published):
    chips = _chips(2, px=64)
    found = _encoded(Pretrained(_spec("dinov2", "cls"), weights=published["dinov2"][0]), chips)
    pixels = chips.pixels["960m"][:, 0][:, [3, 2, 0]].reshape(2, 3, 32, 2, 32, 2).mean(axis=(3, 5))
    pictures = (pixels - MEAN[:, None, None]) / STD[:, None, None]
    expected = _by_hand(published["dinov2"][1], "dinov2", "cls", pictures)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_the_centre_is_cut_where_the_specification_says_so(published):
    chips = _chips(2, px=40)
    spec = _spec("vit", "cls", resize_px=40)
    found = _encoded(Pretrained(spec, weights=published["vit"][0]), chips)
    pictures = _rgb(chips)[:, :, 4:36, 4:36]
    np.testing.assert_allclose(
        found, _by_hand(published["vit"][1], "vit", "cls", pictures), rtol=1e-4, atol=1e-5
    )


def test_dates_that_show_nothing_are_left_out_of_the_mean(published):
    chips = _chips(3, dates=3)
    chips.mask["960m"][0, 1] = False
    chips.mask["960m"][2] = False
    encoder = Pretrained(_spec("vit", "mean"), weights=published["vit"][0])
    found = _encoded(encoder, chips)
    by_date = []
    for date in range(3):
        one = _chips(3, dates=3)
        one.pixels["960m"] = one.pixels["960m"][:, [date]]
        one.mask["960m"] = np.ones_like(one.mask["960m"][:, [date]])
        by_date.append(_encoded(encoder, one))
    np.testing.assert_allclose(found[0], (by_date[0][0] + by_date[2][0]) / 2, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found[1], np.mean([row[1] for row in by_date], axis=0), rtol=1e-5, atol=1e-6)
    assert np.isnan(found[2]).all()


@pytest.mark.parametrize(("unit", "scale", "shift"), [
    ("reflectance_x10000", 1e-4, 0.0), ("landsat_c2_dn", 2.75e-5, -0.2),
])  # fmt: skip
def test_units_are_converted_by_their_formula(published, unit, scale, shift):
    encoder = Pretrained(_spec("vit", "cls"), weights=published["vit"][0])
    chips, stored = _chips(), _chips()
    stored.pixels["960m"] = ((chips.pixels["960m"] - shift) / scale).astype(np.float32)
    stored.pixel_unit = unit
    np.testing.assert_allclose(_encoded(encoder, stored), _encoded(encoder, chips), rtol=1e-3, atol=1e-4)


def test_reflectance_becomes_a_picture_only_where_white_is_named(published):
    spec = _spec("vit", "cls", pixel_unit="uint8", scaling=())
    chips = _chips()
    with pytest.raises(
        EncoderError, match=r"pictures of 0 to 255, and the chips hold reflectance[\s\S]*white=0.3"
    ):
        Pretrained(spec, weights=published["vit"][0]).fit(chips)
    found = _encoded(Pretrained(spec, weights=published["vit"][0], white=0.5), chips)
    pictures = np.clip(chips.pixels["960m"][:, 0][:, [3, 2, 0]] / 0.5, 0, 1) * 255
    expected = _by_hand(published["vit"][1], "vit", "cls", pictures)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    drawn = _chips()
    drawn.pixels["960m"], drawn.pixel_unit = np.round(pictures.max() * drawn.pixels["960m"]), "uint8"
    assert _encoded(Pretrained(spec, weights=published["vit"][0]), drawn).shape == (4, 16)
    with pytest.raises(
        EncoderError, match=r"white=0\.5 is given, but 'tiny-vit' reads uint8 and the chips hold uint8"
    ):
        Pretrained(spec, weights=published["vit"][0], white=0.5).fit(drawn)


@pytest.mark.parametrize(("unit", "words"), [
    (None, "reads reflectance, and the chips do not say what a pixel is"),
    ("uint8", r"reads reflectance, and the chips hold uint8\. No published formula leads from 'uint8'"),
    ("dn", "reads reflectance, and the chips hold dn"),
    ("sigma0_db", "reads reflectance, and the chips hold sigma0_db"),
    ("s2_l2a_dn", "chips hold s2_l2a_dn.*was its offset of -1000 applied"),
])  # fmt: skip
def test_units_that_do_not_lead_to_the_encoder_are_refused_with_both_sides(published, unit, words):
    chips = _chips()
    chips.pixel_unit = unit
    with pytest.raises(EncoderError, match=words):
        Pretrained(_spec("vit"), weights=published["vit"][0]).fit(chips)


def test_missing_bands_are_refused_with_both_sides_and_can_be_named(published):
    chips = _chips(bands=("SR_B1", "x", "SR_B2", "SR_B3"))
    with pytest.raises(
        EncoderError, match=r"'tiny-vit' reads red, green, blue; the chips have SR_B1, x, SR_B2"
    ):
        Pretrained(_spec("vit"), weights=published["vit"][0]).fit(chips)
    names = {"red": "SR_B3", "green": "SR_B2", "blue": "SR_B1"}
    named = Pretrained(_spec("vit"), weights=published["vit"][0], bands=names)
    plain = Pretrained(_spec("vit"), weights=published["vit"][0])
    np.testing.assert_array_equal(_encoded(named, chips), _encoded(plain, _chips()))


def test_the_order_of_the_bands_of_chips_does_not_matter(published):
    encoder = Pretrained(_spec("vit", "cls"), weights=published["vit"][0])
    chips, other = _chips(), _chips()
    other.pixels["960m"] = chips.pixels["960m"][:, :, [2, 3, 1, 0]]
    other.bands = tuple(chips.bands[i] for i in (2, 3, 1, 0))
    np.testing.assert_array_equal(_encoded(encoder, other), _encoded(encoder, chips))


def test_bfloat16_is_near_and_is_another_recipe(published):
    exact = Pretrained(_spec("vit", "cls"), weights=published["vit"][0])
    quick = Pretrained(_spec("vit", "cls"), weights=published["vit"][0], precision="bf16")
    a, b = _encoded(exact, _chips()), _encoded(quick, _chips())
    assert b.dtype == np.float32
    assert 0 < np.abs(a - b).max() < 0.1
    assert exact.recipe() != quick.recipe()


def test_the_recipe_changes_with_everything_that_moves_vectors(published, tmp_path):
    folder = published["clip"][0]
    spec = _spec("clip", "projected, cls").model_copy(update={"dim": 8})
    base = Pretrained(spec, weights=folder)
    recipe = base.recipe()
    assert json.loads(json.dumps(recipe)) == recipe
    assert set(recipe["weights"]) == {"config.json", "model.safetensors"}
    assert all(len(digest) == 64 for digest in recipe["weights"].values())
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    assert Pretrained(spec, weights=other).recipe() == recipe
    with (other / "config.json").open("a") as config:
        config.write(" ")
    changed = [
        Pretrained(spec, weights=folder, pool="cls"), Pretrained(spec, weights=folder, precision="bf16"),
        Pretrained(spec, weights=folder, white=0.3), Pretrained(spec, weights=folder, bands={"red": "b"}),
        Pretrained(spec, weights=other),
        Pretrained(spec.model_copy(update={"scaling": ()}), weights=folder),
    ]  # fmt: skip
    recipes = [json.dumps(one.recipe()) for one in (base, *changed)]
    assert len(set(recipes)) == len(recipes)


def test_embed_takes_a_yaml_file_and_remembers_the_recipe(published, tmp_path):
    folder, _ = published["vit"]
    path = tmp_path / "ours.yaml"
    text = SPEC.format(family="vit", pooling="cls, mean", dim=16)
    path.write_text(text.replace("licence: MIT", "weights: weights\nlicence: MIT"))
    shutil.copytree(folder, tmp_path / "weights")
    chips = _chips()
    chips.mask["960m"][2] = False
    chips.status["960m"][2] = "nodata"
    made = ec.embed(chips, encoder=str(path), progress=False, device="cpu")
    assert made.columns[:2] == ("tiny-vit_960m_000", "tiny-vit_960m_001")
    assert np.isnan(made.values[2]).all()
    expected = _encoded(Pretrained(_spec("vit", "cls"), weights=folder), chips)
    np.testing.assert_array_equal(made.values[:2], expected[:2])
    assert made.recipe["encoder"]["weights"] == get_encoder(str(path)).recipe()["weights"]


@pytest.fixture
def hub(published, tmp_path, monkeypatch):
    """A hub that counts what is asked of it; its cache is empty until something is fetched."""
    import huggingface_hub

    asked = []

    def snapshot(repo, **options):
        asked.append((repo, options))
        if options["revision"] == "e" * 40:
            raise OSError("no route to host")
        folder = tmp_path / options["revision"]
        if not options["local_files_only"]:
            shutil.copytree(published["vit"][0], folder)
        elif not folder.is_dir():
            raise FileNotFoundError("not in the cache")
        return str(folder)

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    return asked


def test_the_hub_gives_a_folder_that_is_read_in_the_same_way_and_is_asked_once(published, hub):
    spec = _spec("vit", "cls", hub_id="someone/vit", revision="a" * 40)
    chips = _chips()
    found = _encoded(Pretrained(spec), chips)
    local = Pretrained(_spec("vit", "cls"), weights=published["vit"][0])
    np.testing.assert_array_equal(found, _encoded(local, chips))
    assert [(repo, options["revision"]) for repo, options in hub] == [("someone/vit", "a" * 40)] * 2
    assert [options["local_files_only"] for _, options in hub] == [True, False]
    assert all(name.endswith((".json", ".safetensors")) for name in hub[1][1]["allow_patterns"])
    Pretrained(spec).recipe()
    Pretrained(spec, download=False).recipe()
    assert [options["local_files_only"] for _, options in hub[2:]] == [True, True]
    Pretrained(spec, revision="b" * 40).recipe()
    assert hub[-1][1]["revision"] == "b" * 40


def test_a_snapshot_that_was_cut_short_is_fetched_again(hub, tmp_path, monkeypatch):
    spec = _spec("vit", "cls", hub_id="someone/vit", revision="a" * 40)
    (tmp_path / ("a" * 40)).mkdir()
    monkeypatch.setattr(shutil, "copytree", lambda source, target, real=shutil.copytree: real(
        source, target, dirs_exist_ok=True))  # fmt: skip
    assert set(Pretrained(spec).recipe()["weights"]) == {"config.json", "model.safetensors"}
    assert [options["local_files_only"] for _, options in hub] == [True, False]


def test_a_commit_must_be_pinned_and_failures_say_what_to_do(hub, monkeypatch):
    with pytest.raises(
        EncoderError, match=r"No commit of 'flax-community/clip-rsicd-v2' is pinned[\s\S]*weights="
    ):
        Pretrained(Pretrained("clip-rsicd-v2").spec.model_copy(update={"revision": None})).recipe()
    assert hub == []
    with pytest.raises(
        EncoderError, match=r"could not be fetched \(OSError: no route to host\)[\s\S]*weights="
    ):
        Pretrained("vit-base-in21k", revision="e" * 40).recipe()
    with pytest.raises(EncoderError, match="It is gated: accept its terms"):
        Pretrained("dinov3-sat-vitl16", revision="e" * 40).recipe()
    with pytest.raises(EncoderError, match="is not in the hub's cache on this machine"):
        Pretrained("vit-base-in21k", download=False).recipe()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(EncoderError, match="is not in the hub's cache on this machine"):
        Pretrained("vit-base-in21k").recipe()
    assert all(options["local_files_only"] for _, options in hub[-2:])


@pytest.mark.parametrize("pickle", ["pytorch_model.bin", "model.pt", "checkpoint.ckpt"])
def test_pickles_are_refused_by_name(tmp_path, pickle):
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    (tmp_path / pickle).write_bytes(b"cos\nsystem\n(S'echo'\ntR.")
    with pytest.raises(
        EncoderError, match=rf"{pickle}[\s\S]*opening a pickle runs what is in it[\s\S]*save_pretrained"
    ):
        Pretrained(_spec("vit"), weights=tmp_path).recipe()
    with pytest.raises(EncoderError, match="is not a folder"):
        Pretrained(_spec("vit"), weights=tmp_path / pickle).fit(_chips())


def test_weights_of_another_network_are_refused(published, tmp_path):
    with pytest.raises(EncoderError, match="are of a 'swin', and 'tiny-vit' is a 'vit'"):
        Pretrained(_spec("vit"), weights=published["swin"][0]).fit(_chips())
    with pytest.raises(EncoderError, match=r"There is no folder .*nowhere"):
        Pretrained(_spec("vit"), weights=tmp_path / "nowhere").fit(_chips())
    with pytest.raises(EncoderError, match="gives 16 numbers, not 12"):
        _encoded(Pretrained(_spec("vit", dim=12), weights=published["vit"][0]), _chips())


@pytest.mark.parametrize("family", PICTURES)
def test_bands_and_sizes_that_the_network_was_not_made_for_are_refused(published, family):
    pool = next(iter(FAMILIES[family]))
    spec = _spec(family, pool)
    two = spec.model_copy(update={"bands": spec.bands[:2], "scaling": ()})
    with pytest.raises(EncoderError, match="it names 2 bands, and the network reads 3"):
        Pretrained(two, weights=published[family][0]).fit(_chips())
    wider = Pretrained(_spec(family, pool, native_px=64), weights=published[family][0])
    if family in ("clip", "vit"):
        with pytest.raises(EncoderError, match="native_px is 64, and the network reads 32"):
            wider.fit(_chips())
    else:
        assert np.isfinite(_encoded(wider, _chips(1))).all()


def test_weights_that_lack_a_part_are_refused(published, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "cut"
    shutil.copytree(published["vit"][0], folder)
    tensors = load_file(folder / "model.safetensors")
    gone = next(name for name in tensors if "patch_embeddings" in name)
    del tensors[gone]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(EncoderError, match=r"lack parts of the network[\s\S]*patch_embeddings"):
        Pretrained(_spec("vit"), weights=folder).fit(_chips())


def test_files_that_are_damaged_are_refused(published, tmp_path):
    folder = tmp_path / "damaged"
    shutil.copytree(published["vit"][0], folder)
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:2000])
    with pytest.raises(EncoderError, match="cannot be loaded as 'tiny-vit'"):
        Pretrained(_spec("vit"), weights=folder).fit(_chips())
    (folder / "config.json").write_text("{")
    with pytest.raises(EncoderError, match="is not JSON of a model"):
        Pretrained(_spec("vit"), weights=folder).fit(_chips())


def test_what_a_configuration_says_of_code_is_not_followed(published, tmp_path):
    folder = tmp_path / "kernel"
    shutil.copytree(published["vit"][0], folder)
    about = json.loads((folder / "config.json").read_text())
    about["attn_implementation"] = about["_attn_implementation"] = "someone/kernel"
    about["auto_map"] = {"AutoModel": "modeling_evil.Evil"}
    (folder / "config.json").write_text(json.dumps(about))
    (folder / "modeling_evil.py").write_text("raise SystemExit('this ran')")
    encoder = Pretrained(_spec("vit", "cls"), weights=folder)
    plain = Pretrained(_spec("vit", "cls"), weights=published["vit"][0])
    np.testing.assert_array_equal(_encoded(encoder, _chips()), _encoded(plain, _chips()))


@pytest.mark.parametrize("family", ["vit", "clip"])
def test_weights_that_are_in_no_hash_are_refused(published, tmp_path, family):
    folder = tmp_path / "led"
    shutil.copytree(published[family][0], folder)
    encoder = Pretrained(_spec(family, "cls"), weights=folder)
    plain = (folder / "config.json").read_text()
    about = json.loads(plain)
    part = about["vision_config"] if family == "clip" else about
    for name in (
        "other.safetensors",
        "adapter_model.bin",
    ):  # the library would read either, the second a pickle
        part["transformers_weights"] = name
        (folder / "config.json").write_text(json.dumps(about))
        with pytest.raises(EncoderError, match=r"weights in other files[\s\S]*transformers_weights"):
            encoder.fit(_chips())
    (folder / "config.json").write_text(plain)
    encoder.fit(_chips())
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "elsewhere"}')
    with pytest.raises(EncoderError, match=r"adapter_config\.json"):
        encoder.fit(_chips())


def test_shards_are_read_and_may_not_lead_out_of_the_folder(published, tmp_path):
    folder = tmp_path / "shards"
    published["vit"][1].save_pretrained(folder, max_shard_size="8KB")
    index = folder / "model.safetensors.index.json"
    assert index.is_file()
    chips = _chips()
    sharded, whole = (Pretrained(_spec("vit", "cls"), weights=one) for one in (folder, published["vit"][0]))
    np.testing.assert_array_equal(_encoded(sharded, chips), _encoded(whole, chips))
    assert len(sharded.recipe()["weights"]) > 3
    about = json.loads(index.read_text())
    about["weight_map"] = dict.fromkeys(about["weight_map"], "../vit/model.safetensors")
    index.write_text(json.dumps(about))
    with pytest.raises(EncoderError, match="names files that are not there"):
        sharded.fit(chips)
    for broken in ["{nope", "[1]", "{}", '{"weight_map": ["a"]}', '{"weight_map": {"a": 5}}']:
        index.write_text(broken)
        with pytest.raises(EncoderError, match=r"is not an index of files of weights[\s\S]*fetch the folder"):
            sharded.fit(chips)


@pytest.mark.parametrize(("settings", "words"), [
    ({"pool": "max"}, "pool='max' is not known"),
    ({"precision": "fp16"}, "precision='fp16' is not known"),
    ({"white": 0}, "white=0 cannot be used"),
    ({"white": True}, "white=True cannot be used"),
])  # fmt: skip
def test_settings_that_cannot_be(settings, words):
    with pytest.raises(EncoderError, match=words):
        Pretrained("vit-base-in21k", **settings)


def test_only_networks_of_transformers_that_are_ready():
    with pytest.raises(EncoderError, match="'galileo-base' is planned"):
        Pretrained("galileo-base")
    with pytest.raises(EncoderError, match="'vits' of encoder 'tiny-vits' is not known"):
        Pretrained(parse_spec(SPEC.format(family="vits", pooling="mean", dim=16), "tiny.yaml"))
    with pytest.raises(EncoderError, match="cannot be pooled so"):
        Pretrained(_spec("swin", "cls"))


def test_a_missing_library_names_the_line_that_installs_it(published, monkeypatch):
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "transformers" else real(name, *more)
    )
    with pytest.raises(EncoderError, match=r'pip install "eocausal\[encoders\]"'):
        Pretrained(_spec("vit"), weights=published["vit"][0]).recipe()
    table = ec.encoders().set_index("name")
    assert table.loc["vit-base-in21k", "why_not"] == 'pip install "eocausal[encoders]"'


READY = ec.encoders().query("library == 'transformers' and why_not == '' and frames == '1'")["name"]


@pytest.mark.parametrize("row", READY)
def test_every_ready_row_loads_a_network_of_its_family(published, row, tmp_path):
    """The row itself is used, its sizes made small: bands, unit, scaling and pooling are those of the catalogue."""
    encoder = get_encoder(row)
    family = encoder.spec.loader
    folder, network = published[family]
    small = encoder.spec.model_copy(update={"native_px": 32, "dim": _width(family, encoder.spec.pool)})
    chips = _chips()
    chips.pixels["960m"], chips.pixel_unit = np.round(chips.pixels["960m"] * 255), "uint8"
    found = _encoded(dataclasses.replace(encoder, encoder=small, weights=folder), chips)
    z = next(step.z for step in encoder.spec.scaling if step.kind == "z")
    mean, std = (np.asarray(part, np.float32)[:, None, None] for part in (z.mean, z.std))
    pictures = (chips.pixels["960m"][:, 0][:, [3, 2, 0]] / 255 - mean) / std
    expected = _by_hand(network, family, encoder.spec.pool, pictures)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_columns_are_numbered_and_nothing_is_learned(published):
    fitted = Pretrained(_spec("vit"), weights=published["vit"][0]).fit(_chips())
    assert isinstance(fitted, FittedPretrained)
    assert fitted.columns("960m")[-1] == "tiny-vit_960m_015"
    assert fitted.state() == {}


def test_sequences_and_several_sizes_go_around_it(published):
    folder = published["vit"][0]
    one = Pretrained(_spec("vit", "cls"), weights=folder)
    chips = _chips(3, dates=2)
    changed = _encoded(ec.Sequence(one, pool="last-first"), chips)
    by_date = []
    for date in range(2):
        single = _chips(3, dates=2)
        single.pixels["960m"] = single.pixels["960m"][:, [date]]
        single.mask["960m"] = single.mask["960m"][:, [date]]
        by_date.append(_encoded(one, single))
    np.testing.assert_allclose(changed, by_date[1] - by_date[0], rtol=1e-5, atol=1e-6)
    far = _chips(3, px=40)
    near = _chips(3)
    near.pixels["1920m"], near.mask["1920m"] = far.pixels["960m"], far.mask["960m"]
    near.status["1920m"] = far.status["960m"]
    made = ec.embed(near, encoder=ec.MultiScale(one, size_m=[1920, 960]), progress=False, device="cpu")
    assert list(made.blocks.values()) == [(0, 16), (16, 32)]
    # several threads add in another order
    by_size = np.hstack([_encoded(one, far), _encoded(one, _chips(3))])
    np.testing.assert_allclose(made.values, by_size, rtol=1e-5, atol=1e-6)


def test_equal_settings_are_equal_and_hash_alike():
    one, other = (Pretrained("vit-base-in21k", bands={"red": "B4"}) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
    assert one != Pretrained("vit-base-in21k", bands={"red": "B3"})


def test_chips_that_are_cut_from_rasters_say_their_bands_and_unit(published, tmp_path):
    places = pd.DataFrame({"village": [1, 2, 3], "lon": [31.1, 31.2, 31.3], "lat": [1.1, 1.2, 1.3]})
    units = ec.read_units(places, id="village", lon="lon", lat="lat")
    stored = np.random.default_rng(0).integers(8000, 20_000, (3, 40, 40, 4)).astype(np.float32)
    names = ["SR_B1", "SR_B2", "SR_B3", "SR_B4"]
    landsat = ec.Radiometry("landsat_c2_dn", convert_to="reflectance")
    chips = ec.chips_from_arrays(units, stored, bands=names, pixel_unit=landsat)
    told = {"red": "SR_B3", "green": "SR_B2", "blue": "SR_B1"}
    spec = _spec("vit", "cls", pixel_unit="uint8", scaling=())
    encoder = Pretrained(spec, weights=published["vit"][0], bands=told, white=0.3)
    made = ec.embed(chips, encoder=encoder, progress=False, device="cpu", out=tmp_path / "run")
    share = np.clip((stored[..., [2, 1, 0]] * 2.75e-5 - 0.2) / 0.3, 0, 1).transpose(0, 3, 1, 2) * 255
    small, _ = resample(share[:, None].astype(np.float32), np.ones((3, 1, 40, 40), dtype=bool), 32)
    expected = _by_hand(published["vit"][1], "vit", "cls", small[:, 0])
    np.testing.assert_allclose(made.values, expected, rtol=1e-3, atol=1e-4)
    again = ec.embed(chips, encoder=encoder, progress=False, device="cpu", out=tmp_path / "run")
    np.testing.assert_array_equal(again.values, made.values)
