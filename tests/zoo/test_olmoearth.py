"""OlmoEarth: checkpoints of the library's own classes, read by the path that the hub's take."""

from __future__ import annotations

import json
import random
import shutil
import sys

import numpy as np
import pytest

import eocausal as ec
from eocausal.encoding._building import undisturbed
from eocausal.encoding._olmoearth import BANDS, FAMILIES
from eocausal.encoding.catalogue import all_specs, find_spec
from eocausal.encoding.pretrained import Pretrained
from eocausal.errors import EncoderError
from tests.fake_chips import fake_chips

torch = pytest.importorskip("torch")

ROWS = [spec.name for spec in all_specs() if spec.library == "olmoearth"]
INPUTS, TARGETS = ["sentinel2_l2a", "sentinel1", "landsat"], ["worldcover"]
NANO, SMALL = "olmoearth-nano", "olmoearth-small"
# all blocks of the smallest, one block of the others, which are the same code with other numbers
_BLOCKS = {NANO: 4, SMALL: 2}
MONTHS = ("2019-01", "2019-06", "2019-07", "2019-12")


@pytest.fixture(scope="module")
def library():
    pytest.importorskip("olmoearth_pretrain_minimal")
    with undisturbed():
        import olmoearth_pretrain_minimal as package
        from olmoearth_pretrain_minimal.olmoearth_pretrain_v1 import olmoearth_pretrain_v1 as sizes
        from olmoearth_pretrain_minimal.olmoearth_pretrain_v1.nn import flexi_vit, latent_mim, tokenization
        from olmoearth_pretrain_minimal.olmoearth_pretrain_v1.utils import constants, datatypes
    return {
        "package": package, "sizes": sizes, "vit": flexi_vit, "mim": latent_mim, "tokens": tokenization,
        "constants": constants, "types": datatypes,
    }  # fmt: skip


def _size(name):
    return name.rpartition("-")[2]


def _config(library, name):
    """Return the settings of a published network, fewer blocks apart, as its file holds them."""
    sizes, of_size = library["sizes"], library["sizes"].MODEL_SIZE_CONFIGS[f"{_size(name)}_shallow_decoder"]
    both = {"supported_modality_names": INPUTS + TARGETS, "max_sequence_length": 12, "mlp_ratio": 4.0}
    encoder, decoder = {}, {}
    if find_spec(name).loader == "olmoearth_v1_2":
        groups = {
            key: library["tokens"].ModalityTokenization(band_groups=one)
            for key, one in sizes.V1_1_BAND_GROUPS.items()
        }
        decoder = {
            "tokenization_config": library["tokens"].TokenizationConfig(overrides=groups),
            "position_encoding": sizes.V1_2_POS_ENCODING,
            "rope_temporal_coordinate_scale": sizes.V1_2_ROPE_TEMPORAL_COORDINATE_SCALE,
        }
        encoder = {
            **decoder,
            "use_linear_patch_embed": True,
            "patch_embed_hidden_sizes": sizes.V1_2_PATCH_EMBED_HIDDEN_SIZES[_size(name)],
            "rope_mixed_base": sizes.V1_2_ROPE_MIXED_BASE,
        }
    width, heads = of_size["encoder_embedding_size"], of_size["encoder_num_heads"]
    return library["mim"].LatentMIMConfig(
        library["vit"].EncoderConfig(
            embedding_size=width, num_heads=heads, depth=_BLOCKS.get(name, 1), **both, **encoder
        ),
        library["vit"].PredictorConfig(
            encoder_embedding_size=width,
            decoder_embedding_size=width,
            num_heads=heads,
            depth=1,
            **both,
            **decoder,
        ),
    )


def _write(library, name, folder):
    """Write a checkpoint as the hub holds it, by the names of the library's larger sister."""
    config = _config(library, name)
    whole = {
        "model": config.as_config_dict(),
        "train_module": {"masking_config": {"strategy_config": {"only_decode_modalities": TARGETS}}},
    }
    text = json.dumps(whole).replace(
        "olmoearth_pretrain_minimal.olmoearth_pretrain_v1.", "olmoearth_pretrain."
    )
    (folder / "config.json").write_text(text)
    with torch.random.fork_rng():
        torch.manual_seed(11)
        network = config.build()
        state = {
            key: one + 0.1 * torch.randn_like(one) if one.is_floating_point() else one
            for key, one in network.state_dict().items()
        }
    if find_spec(name).loader == "olmoearth_v1":  # older files hold a table that the library computes today
        state["encoder.composite_encodings.pos_embed"] = torch.zeros(12, 32)
    torch.save(state, folder / "weights.pth")


@pytest.fixture(scope="module")
def published(library, tmp_path_factory):
    """Return the folder of a row's checkpoint, made once."""
    made = {}

    def folder_of(name):
        if name not in made:
            made[name] = tmp_path_factory.mktemp(name)
            _write(library, name, made[name])
        return made[name]

    return folder_of


def _chips(n=2, *, frames=("",), px=128, seed=0):
    """Return chips of reflectance with the bands backwards, and one that is not read."""
    bands = ("cirrus", *BANDS[::-1])
    chips = fake_chips(n, px=px, dates=len(frames), bands=len(bands), seed=seed)
    rng = np.random.default_rng(seed)
    chips.pixels["960m"] = rng.uniform(0, 0.6, chips.pixels["960m"].shape).astype(np.float32)
    chips.bands, chips.pixel_unit, chips.frames = bands, "reflectance", tuple(frames)
    return chips


def _normalised(library, chips):
    """Return pictures by the library's own table, (n, px, px, dates, bands)."""
    stored = chips.pixels["960m"][:, :, :0:-1].transpose(0, 3, 4, 1, 2) * np.float32(10_000)
    spec = library["constants"].Modality.SENTINEL2_L2A
    return library["package"].Normalizer(std_multiplier=2.0).normalize(spec, stored).astype(np.float32)


def _by_hand(library, folder, given, days, *, missing=(), metres=7.5):
    """Return the mean over tokens that are there, of the network as the library's own code loads it."""
    network = library["package"].load_model_from_path(str(folder)).encoder.eval()
    mask = torch.zeros(given.shape, dtype=torch.long)
    mask[:, :, :, list(missing)] = library["types"].MaskValue.MISSING.value
    stamps = torch.tensor([[(day, month - 1, year) for day, month, year in days]] * len(given))
    sample = library["types"].MaskedOlmoEarthSample(
        timestamps=stamps, sentinel2_l2a=torch.from_numpy(given), sentinel2_l2a_mask=mask
    )
    with torch.inference_mode():
        made = network(sample, patch_size=8, input_res=metres)["tokens_and_masks"].sentinel2_l2a
    kept = [at for at in range(given.shape[3]) if at not in missing]
    return made[:, :, :, kept].flatten(1, -2).mean(1).numpy()


def _small(name, px=32):
    """Return a row for smaller pictures, which are as good to a network without fixed size."""
    return find_spec(name).model_copy(update={"native_px": px})


def _encoded(encoder, chips):
    batch = next(iter(chips.batches(size=100)))
    return encoder.fit(chips).encode(batch.pixels["960m"], batch.mask["960m"], "960m")


DAYS = {
    "2019-01": (16, 1, 2019),
    "2019-06": (15, 6, 2019),
    "2019-07": (16, 7, 2019),
    "2019-12": (16, 12, 2019),
}


def test_there_is_something_to_test():
    assert len(ROWS) >= 4
    assert {find_spec(name).loader for name in ROWS} <= set(FAMILIES)


@pytest.mark.parametrize("name", ROWS)
def test_vectors_of_every_row_are_those_of_the_library_on_pictures_of_its_own_table(library, published, name):
    chips = _chips(1, frames=MONTHS[:2])
    found = _encoded(Pretrained(name, weights=published(name)), chips)
    days = [DAYS[frame] for frame in chips.frames]
    expected = _by_hand(library, published(name), _normalised(library, chips), days)
    assert expected.std() > 1e-2
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ROWS)
def test_rows_say_what_the_library_says(library, name):
    spec, modality = find_spec(name), library["constants"].Modality.SENTINEL2_L2A
    assert [band.name for band in spec.bands] == modality.band_order
    table = library["package"].Normalizer().norm_config["sentinel2_l2a"]
    z = spec.scaling[0].z
    np.testing.assert_allclose(z.mean, [table[band]["mean"] for band in modality.band_order], atol=6e-4)
    np.testing.assert_allclose(z.std, [table[band]["std"] for band in modality.band_order], atol=6e-4)
    known = {one.repo_id() for one in library["package"].ModelID}
    assert spec.hub_id in known
    assert (spec.hub_id.split("-")[1] == "v1_2") == (spec.loader == "olmoearth_v1_2")
    width = library["sizes"].MODEL_SIZE_CONFIGS[f"{_size(name)}_shallow_decoder"]["encoder_embedding_size"]
    assert (spec.dim, spec.frames_max) == (width, library["constants"].MAX_SEQUENCE_LENGTH)
    assert (spec.pixel_unit, spec.native_gsd_m) == ("reflectance_x10000", (library["constants"].BASE_GSD,))


@pytest.mark.parametrize("name", [NANO, SMALL])
def test_a_date_that_shows_nothing_is_masked_where_it_stands(library, published, name):
    chips = _chips(3, frames=MONTHS, px=32)
    chips.mask["960m"][0, 1] = False
    chips.mask["960m"][2] = False
    found = _encoded(Pretrained(_small(name), weights=published(name)), chips)
    given, days = _normalised(library, chips), [DAYS[frame] for frame in MONTHS]
    masked = _by_hand(library, published(name), given[:1], days, missing=(1,), metres=30)
    whole = _by_hand(library, published(name), given[:2], days, metres=30)
    np.testing.assert_allclose(found[0], masked[0], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found[1], whole[1], rtol=1e-3, atol=1e-4)
    assert np.abs(masked[0] - whole[0]).max() > 1e-3
    assert np.isnan(found[2]).all()
    rest = _by_hand(
        library, published(name), given[:1][:, :, :, [0, 2, 3]], [days[at] for at in (0, 2, 3)], metres=30
    )
    # version 1 counts frames, so that one which is left out would move the others; 1.2 counts days
    assert np.allclose(rest, masked, rtol=1e-3, atol=1e-4) == (name == SMALL)


def test_the_month_of_each_frame_counts_and_a_single_picture_has_its_own(library, published):
    encoder = Pretrained(_small(NANO), weights=published(NANO))
    one, other = (_chips(1, frames=frames, px=32) for frames in (("2019-01",), ("2019-07",)))
    assert np.abs(_encoded(encoder, one) - _encoded(encoder, other)).max() > 1e-3
    dated = _chips(1, px=32)
    dated.date = "2019-07-02"
    np.testing.assert_array_equal(_encoded(encoder, dated), _encoded(encoder, other))
    turned = _chips(1, frames=("2019-01", "2019-07"), px=32)
    first = _encoded(encoder, turned)
    turned.pixels["960m"] = turned.pixels["960m"][:, ::-1]
    assert np.abs(_encoded(encoder, turned) - first).max() > 1e-3


def test_pixels_that_are_not_valid_are_the_mean_of_their_band(library, published):
    chips = _chips(2, px=32)
    chips.mask["960m"][0, 0, :9, 4:] = False
    fitted = Pretrained(_small(NANO), weights=published(NANO)).fit(chips)
    pixels, mask = chips.pixels["960m"], chips.mask["960m"]
    found = fitted.encode(pixels, mask, "960m")
    for junk in (np.nan, -7e8):
        other = np.where(mask[:, :, None], pixels, np.float32(junk))
        np.testing.assert_array_equal(fitted.encode(other, mask, "960m"), found)
    given = _normalised(library, chips)
    given[0, :9, 4:] = 0.5  # between mean - 2 std and mean + 2 std
    expected = _by_hand(library, published(NANO), given, [(30, 6, 2007)], metres=30)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", [NANO, SMALL])
def test_a_chip_has_the_same_bits_in_any_batch(published, name):
    chips = _chips(4, frames=MONTHS[:2], px=32)
    chips.mask["960m"][1, 0] = False
    fitted = Pretrained(_small(name), weights=published(name)).fit(chips)
    pixels, mask = chips.pixels["960m"], chips.mask["960m"]
    whole = fitted.encode(pixels, mask, "960m")
    for i in range(4):
        np.testing.assert_array_equal(fitted.encode(pixels[[i]], mask[[i]], "960m")[0], whole[i])


@pytest.mark.parametrize("name", [NANO, SMALL])
def test_bfloat16_is_near(published, name):
    chips = _chips(2, frames=MONTHS[:3], px=32)
    chips.mask["960m"][1, 2] = False
    exact = _encoded(Pretrained(_small(name), weights=published(name)), chips)
    quick = _encoded(Pretrained(_small(name), weights=published(name), precision="bf16"), chips)
    assert quick.dtype == np.float32
    assert 0 < np.abs(quick - exact).max() < 0.2 * np.abs(exact).max()
    assert all(np.corrcoef(a, b)[0, 1] > 0.99 for a, b in zip(quick, exact))


@pytest.mark.parametrize(("frames", "words"), [
    (("",), "chips do not say the day of some"),
    (("-2Y", "-1Y"), "counted back from each unit's treatment"),
    (("2005", "2006"), "cover more than a season"),
])  # fmt: skip
def test_frames_without_a_month_are_refused_before_anything_is_fetched(frames, words):
    chips = _chips(1, frames=frames, px=8)
    chips.date = None
    with pytest.raises(EncoderError, match=words):
        Pretrained(NANO, weights="nowhere").check(chips)


def test_chips_that_cannot_be_read_are_refused(published):
    encoder = Pretrained(_small(NANO), weights=published(NANO))
    with pytest.raises(
        EncoderError, match=r"is told the day of each frame; frames of a sequence are encoded one by one"
    ):
        ec.Sequence(encoder, pool="trend")
    with pytest.raises(EncoderError, match="reads 1 to 12 frames together"):
        _encoded(encoder, _chips(1, frames=[f"2019-06-{day:02}" for day in range(1, 14)], px=8))
    chips = _chips(1, px=8)
    chips.pixel_unit = "uint8"
    with pytest.raises(EncoderError, match="reads reflectance_x10000, and the chips hold uint8"):
        encoder.fit(chips)
    chips = _chips(1, px=8)
    chips.bands = ("x", *chips.bands[1:-1], "y")
    with pytest.raises(EncoderError, match=r"needs bands that the chips do not name[\s\S]*blue"):
        encoder.fit(chips)


def test_several_sizes_go_around_it_with_the_days_of_their_frames(published):
    encoder = Pretrained(_small(NANO), weights=published(NANO))
    chips = _chips(2, frames=MONTHS[:2], px=32)
    far = _chips(2, frames=MONTHS[:2], px=32, seed=5)
    chips.pixels["1920m"], chips.mask["1920m"] = far.pixels["960m"], far.mask["960m"]
    chips.status["1920m"] = far.status["960m"]
    made = ec.embed(chips, encoder=ec.MultiScale(encoder, size_m=[960, 1920]), progress=False, device="cpu")
    fitted = encoder.fit(chips)
    apart = [fitted.encode(chips.pixels[block], chips.mask[block], block) for block in ("960m", "1920m")]
    np.testing.assert_array_equal(made.values, np.hstack(apart))
    # the network is told how many metres a pixel covers
    near = fitted.encode(chips.pixels["960m"], chips.mask["960m"], "1920m")
    assert np.abs(near - apart[0]).max() > 1e-4


def _changed(published, name, folder, change):
    """Copy a checkpoint with its tensors changed."""
    shutil.copytree(published(name), folder, dirs_exist_ok=True)
    state = torch.load(folder / "weights.pth", weights_only=True)
    torch.save(change(state), folder / "weights.pth")
    return Pretrained(name, weights=folder)


class _Bomb:
    def __reduce__(self):
        return (random.seed, (13,))


@pytest.mark.parametrize(("change", "words"), [
    (lambda state: {k: v for k, v in state.items() if "norm.weight" not in k}, r"lack parts[\s\S]*norm\.weight"),
    (lambda state: {k: v for k, v in state.items() if k.startswith("decoder")}, r"lack parts[\s\S]*Where: \d\d"),
    (lambda state: {**state, "encoder.blocks.9.norm1.bias": torch.zeros(128)}, r"hold parts[\s\S]*blocks\.9"),
    (lambda state: {**state, "encoder.norm.weight": torch.zeros(64)}, "are of another network"),
    (lambda state: {**state, "more": _Bomb()}, "holds more than tensors, and is not opened"),
])  # fmt: skip
def test_weights_that_do_not_fit_or_hold_more_are_refused(published, tmp_path, change, words):
    before = random.getstate()
    with pytest.raises(EncoderError, match=words):
        _changed(published, NANO, tmp_path, change).fit(_chips(1, px=8))
    assert random.getstate() == before


def test_a_configuration_names_no_other_code_and_is_needed(published, tmp_path, monkeypatch):
    encoder = _changed(published, NANO, tmp_path, dict)
    path = tmp_path / "config.json"
    about = json.loads(path.read_text())
    (tmp_path / "evil_module.py").write_text("raise SystemExit('this ran')")
    monkeypatch.syspath_prepend(tmp_path)
    about["model"]["encoder_config"]["tokenization_config"] = {"overrides": [{"_CLASS_": "evil_module.Evil"}]}
    path.write_text(json.dumps(about))
    with pytest.raises(
        EncoderError, match=r"names classes that are not of OlmoEarth[\s\S]*evil_module\.Evil"
    ):
        encoder.fit(_chips(1, px=8))
    assert "evil_module" not in sys.modules
    for text, words in (
        ("{", "does not describe a network of OlmoEarth"),
        ('{"model": {"encoder_config": []}}', "is not that of 'olmoearth-nano'"),
        ('{"model": []}', "does not describe a network of OlmoEarth"),
        (
            '{"model": {"encoder_config": {"supported_modality_names": ["moon"]}}}',
            "is not that of 'olmoearth-nano'",
        ),
    ):
        path.write_text(text)
        with pytest.raises(EncoderError, match=words):
            encoder.fit(_chips(1, px=8))
    path.unlink()
    with pytest.raises(EncoderError, match=r"does not hold 'config.json'"):
        encoder.fit(_chips(1, px=8))


def test_networks_of_another_version_or_size_are_refused(published):
    with pytest.raises(
        EncoderError,
        match=r"of olmoearth_v1_2, and the specification says olmoearth_v1[\s\S]*384 numbers wide",
    ):
        Pretrained(NANO, weights=published(SMALL)).fit(_chips(1, px=8))
    with pytest.raises(EncoderError, match="patches of 8 pixels, and native_px is 100"):
        Pretrained(_small(NANO, px=100), weights=published(NANO)).fit(_chips(1, px=8))


@pytest.mark.parametrize(("change", "words"), [
    ({"loader": "olmoearth_v9"}, "'olmoearth_v9' of encoder .* is not known"),
    ({"pooling": ("cls",)}, r"cannot be pooled so[\s\S]*over the tokens that are there"),
    ({"bands": find_spec(NANO).bands[::-1]}, "in this order: blue, green"),
])  # fmt: skip
def test_specifications_that_the_library_cannot_be_asked_for(change, words):
    with pytest.raises(EncoderError, match=words):
        Pretrained(find_spec(NANO).model_copy(update=change))
