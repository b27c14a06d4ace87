"""Prithvi and TerraMind: checkpoints of the library's own classes, read by the path that the hub's take."""

from __future__ import annotations

import random
import warnings

import numpy as np
import pytest

from eocausal.encoding._building import undisturbed
from eocausal.encoding._terratorch import FAMILIES
from eocausal.encoding.catalogue import all_specs, find_spec
from eocausal.encoding.pretrained import Pretrained
from eocausal.encoding.spec import EncoderSpec
from eocausal.errors import EncoderError
from tests.fake_chips import fake_chips

torch = pytest.importorskip("torch")

ROWS = [spec.name for spec in all_specs() if spec.library == "terratorch"]
PRITHVI = [name for name in ROWS if name.startswith("prithvi")]
PX = 224
# all blocks of the small ones, one block of the others, which are the same code with other numbers
_WHOLE = ("prithvi_eo_v2_tiny_tl", "terramind_v1_tiny")


@pytest.fixture(scope="module")
def library():
    """The library's modules, with networks that are too large for a test cut to one block."""
    pytest.importorskip("terratorch")
    with undisturbed():
        from terratorch.models.backbones import prithvi_vit
        from terratorch.models.backbones.terramind.model import terramind_register
        from terratorch.registry import TERRATORCH_BACKBONE_REGISTRY, TERRATORCH_FULL_MODEL_REGISTRY

    def one_block(built):
        def build(**settings):
            settings.pop("pretrained_bands", None)  # the library gives it where it is not taken
            depth = {"encoder_depth": 1} if settings["dim"] > 192 else {}
            rest = {"decoder_depth": 1} if "decoder_depth" in settings else {}
            return built(**{**settings, **depth, **rest})

        return build

    with pytest.MonkeyPatch.context() as patch:
        for name, settings in prithvi_vit.prithvi_cfgs.items():
            depth = settings["depth"] if name in _WHOLE else 1
            patch.setitem(prithvi_vit.prithvi_cfgs, name, {**settings, "depth": depth, "decoder_depth": 1})
        for name in ("TerraMindViT", "TerraMind"):
            patch.setattr(terramind_register, name, one_block(getattr(terramind_register, name)))
        yield {
            "prithvi": prithvi_vit,
            "terramind": terramind_register,
            "encoders": TERRATORCH_BACKBONE_REGISTRY,
            "whole": TERRATORCH_FULL_MODEL_REGISTRY,
        }


def _trained(library, spec):
    """Return the tensors of a network with its decoder, as the hub's file holds them."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        network = (_terramind if spec.loader.startswith("terramind") else _prithvi)(library, spec)
        state = {name: one + 0.05 * torch.randn_like(one) for name, one in network.state_dict().items()}
    if spec.loader == "prithvi_eo_v1_100":  # its file is older than the prefixes
        return {name.removeprefix("encoder.").removeprefix("decoder."): one for name, one in state.items()}
    return state


def _prithvi(library, spec):
    frames = library["prithvi"].prithvi_cfgs[spec.loader]["num_frames"]
    return library["whole"].build(f"{spec.loader}_mae", num_frames=frames)


def _terramind(library, spec):
    from terratorch.models.backbones.terramind.model import terramind
    from terratorch.models.backbones.terramind.model.modality_info import MODALITY_INFO

    size = {"img_size": PX, "dim": spec.dim, "patch_size": 16}
    read, _ = terramind.build_modality_embeddings(MODALITY_INFO, ["S2L2A", "RGB", "S1GRD"], **size)
    made = {}
    if spec.dim == 192:
        made, _ = terramind.build_output_modality_embeddings(MODALITY_INFO, ["LULC"], **size)
    return library["whole"].build(
        f"{spec.loader}_encdec", encoder_embeddings=read, decoder_embeddings=made, modality_info=MODALITY_INFO
    )


@pytest.fixture(scope="module")
def published(library, tmp_path_factory):
    """Return the folder of a row's checkpoint, made once."""
    made = {}

    def folder_of(name):
        if name not in made:
            spec = find_spec(name)
            made[name] = tmp_path_factory.mktemp(name)
            torch.save(_trained(library, spec), made[name] / spec.file)
        return made[name]

    return folder_of


def _by_library(library, spec, folder, frames=1):
    """Return the library's own network, with weights that its own code read."""
    more = {"num_frames": frames} if spec.frames_max > 1 else {"modalities": ["S2L2A"]}
    return (
        library["encoders"]
        .build(spec.loader, pretrained=True, ckpt_path=str(folder / spec.file), **more)
        .eval()
    )


def _chips(spec, n=2, *, dates=1, px=PX, seed=0):
    """Return chips of reflectance with the bands of an encoder backwards, and one that it does not read."""
    bands = ("lwir", *spec.common_names[::-1])
    chips = fake_chips(n, px=px, dates=dates, bands=len(bands), seed=seed)
    rng = np.random.default_rng(seed)
    chips.pixels["960m"] = rng.uniform(0, 0.6, chips.pixels["960m"].shape).astype(np.float32)
    chips.bands, chips.pixel_unit = bands, "reflectance"
    return chips


def _scaled(library, spec, chips):
    """Return pictures by hand, (n, dates, bands, px, px), with the numbers of the library."""
    if spec.loader.startswith("terramind"):
        key = "untok_sen2l2a@224"
        tables = library["terramind"].v1_pretraining_mean[key], library["terramind"].v1_pretraining_std[key]
    else:
        settings = library["prithvi"].prithvi_cfgs[spec.loader]
        tables = settings["mean"], settings["std"]
    mean, std = (np.asarray(table, np.float32)[:, None, None] for table in tables)
    return (chips.pixels["960m"][:, :, :0:-1] * np.float32(10_000) - mean) / std


def _by_hand(network, spec, pool, pictures):
    with torch.inference_mode():
        given = torch.from_numpy(pictures.astype(np.float32))
        several = spec.loader.startswith("prithvi")
        tokens = network(given.permute(0, 2, 1, 3, 4) if several else given[:, 0])[-1]
    if pool == "cls":
        return tokens[:, 0].numpy()
    return tokens[:, 1 if several else 0 :].mean(1).numpy()


def _encoded(encoder, chips):
    batch = next(iter(chips.batches(size=100)))
    return encoder.fit(chips).encode(batch.pixels["960m"], batch.mask["960m"], "960m")


EACH = [(name, pool) for name in ROWS for pool in find_spec(name).pooling]


def test_there_is_something_to_test():
    assert len(ROWS) >= 9
    assert {find_spec(name).loader for name in ROWS} <= set(FAMILIES)


@pytest.mark.parametrize(("name", "pool"), EACH)
def test_vectors_of_every_row_are_those_of_the_library_on_pictures_scaled_by_hand(
    library, published, name, pool
):
    spec, folder = find_spec(name), published(name)
    chips = _chips(spec)
    found = _encoded(Pretrained(name, weights=folder, pool=pool), chips)
    network = _by_library(library, spec, folder)
    expected = _by_hand(network, spec, pool, _scaled(library, spec, chips))
    assert expected.std() > 1e-2
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ROWS)
def test_rows_say_what_the_library_says(library, name):
    spec = find_spec(name)
    if name in PRITHVI:
        tables, settings = library["prithvi"], library["prithvi"].prithvi_cfgs[spec.loader]
        mean, std, dim = settings["mean"], settings["std"], settings["embed_dim"]
        bands = [band.value for band in settings["bands"]]
        assert (spec.native_px, FAMILIES[spec.loader].patch_px) == (
            settings["img_size"],
            settings["patch_size"][1],
        )
        assert [band.name for band in spec.bands] == bands
    else:
        tables, key = library["terramind"], "untok_sen2l2a@224"
        mean, std = tables.v1_pretraining_mean[key], tables.v1_pretraining_std[key]
        dim = library["encoders"].build(spec.loader, modalities=["S2L2A"]).out_channels[-1]
        names = {
            "coastal": "COASTAL_AEROSOL", "blue": "BLUE", "green": "GREEN", "red": "RED", "rededge1": "RED_EDGE_1",
            "rededge2": "RED_EDGE_2", "rededge3": "RED_EDGE_3", "nir": "NIR_BROAD", "nir08": "NIR_NARROW",
            "nir09": "WATER_VAPOR", "swir16": "SWIR_1", "swir22": "SWIR_2",
        }  # fmt: skip
        assert [names[band] for band in spec.common_names] == tables.PRETRAINED_BANDS[key]
    hub = tables.pretrained_weights[spec.loader]
    assert (spec.hub_id, spec.file) == (hub["hf_hub_id"], hub["hf_hub_filename"])
    assert (list(spec.scaling[0].z.mean), list(spec.scaling[0].z.std), spec.dim) == (mean, std, dim)


TINY = "prithvi-eo-2-tiny-tl"


@pytest.mark.parametrize("dates", [1, 3, 4])
def test_dates_are_one_sequence_as_in_a_network_built_for_so_many(library, published, dates):
    spec, folder = find_spec(TINY), published(TINY)
    chips = _chips(spec, 1, dates=dates)
    found = _encoded(Pretrained(TINY, weights=folder, pool="mean"), chips)
    network = _by_library(library, spec, folder, frames=dates)
    expected = _by_hand(network, spec, "mean", _scaled(library, spec, chips))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    if dates > 1:
        chips.pixels["960m"] = chips.pixels["960m"][:, ::-1]
        assert np.abs(_encoded(Pretrained(TINY, weights=folder, pool="mean"), chips) - found).max() > 1e-4


def test_a_date_that_shows_nothing_is_left_out_and_none_gives_nothing(published):
    spec, folder = find_spec(TINY), published(TINY)
    fitted = Pretrained(TINY, weights=folder).fit(_chips(spec, 3, dates=3))
    chips = _chips(spec, 3, dates=3)
    pixels, mask = chips.pixels["960m"], chips.mask["960m"]
    mask[0, 1] = False
    mask[2] = False
    found = fitted.encode(pixels, mask, "960m")
    left = fitted.encode(pixels[:1, [0, 2]], mask[:1, [0, 2]], "960m")
    np.testing.assert_array_equal(found[0], left[0])
    whole = fitted.encode(pixels[:2], np.ones_like(mask[:2]), "960m")
    np.testing.assert_array_equal(found[1], whole[1])
    assert np.abs(whole[0] - found[0]).max() > 1e-4
    assert np.isnan(found[2]).all()


@pytest.mark.parametrize("name", [TINY, "terramind-tiny"])
def test_a_chip_has_the_same_bits_in_any_batch_and_its_masked_pixels_do_not_count(published, name):
    spec, folder = find_spec(name), published(name)
    chips = _chips(spec, 3)
    chips.mask["960m"][1, 0, :90, 40:] = False
    fitted = Pretrained(name, weights=folder).fit(chips)
    pixels, mask = chips.pixels["960m"], chips.mask["960m"]
    whole = fitted.encode(pixels, mask, "960m")
    for i in range(3):
        np.testing.assert_array_equal(fitted.encode(pixels[[i]], mask[[i]], "960m")[0], whole[i])
    for junk in (np.nan, -7e8):
        other = np.where(mask[:, :, None], pixels, np.float32(junk))
        np.testing.assert_array_equal(fitted.encode(other, mask, "960m"), whole)
    assert np.abs(fitted.encode(pixels, np.ones_like(mask), "960m")[1] - whole[1]).max() > 1e-4


@pytest.mark.parametrize(("name", "dates"), [(TINY, 1), (TINY, 3), ("terramind-tiny", 1)])
def test_bfloat16_is_near(published, name, dates):
    spec, folder = find_spec(name), published(name)
    chips = _chips(spec, 1, dates=dates)
    exact = _encoded(Pretrained(name, weights=folder), chips)
    quick = _encoded(Pretrained(name, weights=folder, precision="bf16"), chips)
    assert quick.dtype == np.float32
    assert 0 < np.abs(quick - exact).max() < 0.2 * np.abs(exact).max()
    assert np.corrcoef(quick[0], exact[0])[0, 1] > 0.99


def test_dates_of_terramind_are_averaged(published):
    spec, folder = find_spec("terramind-tiny"), published("terramind-tiny")
    chips = _chips(spec, 1, dates=2)
    fitted = Pretrained("terramind-tiny", weights=folder).fit(chips)
    pixels, mask = chips.pixels["960m"], chips.mask["960m"]
    each = [fitted.encode(pixels[:, [i]], mask[:, [i]], "960m") for i in range(2)]
    np.testing.assert_allclose(fitted.encode(pixels, mask, "960m"), (each[0] + each[1]) / 2, rtol=1e-5)


def test_weights_that_lack_a_part_or_have_another_are_refused(published, tmp_path):
    spec = find_spec(TINY)
    state = torch.load(published(TINY) / spec.file, weights_only=True)
    gone = "encoder.temporal_embed_enc.scale"
    for change, words in (
        ({name: one for name, one in state.items() if name != gone}, r"lack parts[\s\S]*temporal_embed_enc"),
        ({**state, "encoder.blocks.12.norm1.bias": torch.zeros(192)}, r"hold parts[\s\S]*blocks\.12\.norm1"),
        ({**state, "encoder.cls_token": torch.zeros(1, 1, 64)}, "of another network"),
    ):
        torch.save(change, tmp_path / spec.file)
        with pytest.raises(EncoderError, match=words):
            Pretrained(TINY, weights=tmp_path).fit(_chips(spec))


def test_a_terramind_without_its_input_or_with_more_blocks_is_refused(published, tmp_path):
    spec = find_spec("terramind-tiny")
    state = torch.load(published("terramind-tiny") / spec.file, weights_only=True)
    assert any(name.startswith("decoder") for name in state)
    assert any("sen1grd" in name for name in state)
    gone = {name: one for name, one in state.items() if "untok_sen2l2a" not in name}
    more = {**state, "encoder.12.norm1.weight": torch.zeros(192)}
    for change, words in ((gone, r"lack parts[\s\S]*untok_sen2l2a"), (more, r"hold parts[\s\S]*encoder\.12")):
        torch.save(change, tmp_path / spec.file)
        with pytest.raises(EncoderError, match=words):
            Pretrained("terramind-tiny", weights=tmp_path).fit(_chips(spec))


class _Bomb:
    def __reduce__(self):
        return (random.seed, (13,))


@pytest.mark.parametrize("name", [TINY, "terramind-tiny"])
def test_a_checkpoint_with_an_object_inside_is_not_opened(library, published, tmp_path, name):
    spec = find_spec(name)
    state = torch.load(published(name) / spec.file, weights_only=True)
    torch.save({**state, "more": _Bomb()}, tmp_path / spec.file)
    before = random.getstate()
    with pytest.raises(EncoderError, match="holds more than tensors, and is not opened"):
        Pretrained(name, weights=tmp_path).fit(_chips(spec))
    assert random.getstate() == before
    with pytest.raises(EncoderError, match=rf"does not hold '{spec.file}'"):
        Pretrained(name, weights=tmp_path.parent).fit(_chips(spec))


def test_units_bands_and_frames_that_cannot_be_read_are_refused(published):
    spec, encoder = find_spec(TINY), Pretrained(TINY, weights=published(TINY))
    chips = _chips(spec)
    chips.pixel_unit = "uint8"
    with pytest.raises(EncoderError, match="reads reflectance_x10000, and the chips hold uint8"):
        encoder.fit(chips)
    chips = _chips(spec)
    chips.bands = ("lwir", "swir22", "swir16", "x", "red", "green", "blue")
    with pytest.raises(EncoderError, match=r"needs bands that the chips do not name[\s\S]*nir08"):
        encoder.fit(chips)
    chips = _chips(spec, 1, dates=5, px=20)
    with pytest.raises(EncoderError, match="reads 1 to 4 frames together"):
        _encoded(encoder, chips)


@pytest.mark.parametrize(("name", "change", "words"), [
    (TINY, {"loader": "prithvi_eo_v3"}, "'prithvi_eo_v3' of encoder .* is not known"),
    (TINY, {"pooling": ("max",)}, r"cannot be pooled so[\s\S]*cls, mean"),
    ("terramind-tiny", {"pooling": ("cls",)}, r"cannot be pooled so[\s\S]*pooling is one of mean"),
    (TINY, {"bands": None}, r"bands of encoder .* are not those[\s\S]*blue, green, red, nir08"),
    ("terramind-tiny", {"bands": find_spec(TINY).bands}, "in this order: coastal, blue"),
    ("terramind-tiny", {"frames_max": 4}, "it reads one date"),
    ("prithvi-eo-2-600m-tl", {"native_px": 240}, "a multiple of 14"),
])  # fmt: skip
def test_specifications_that_the_library_cannot_be_asked_for(name, change, words):
    wrong: EncoderSpec = find_spec(name).model_copy(update=change)
    with pytest.raises(EncoderError, match=words):
        Pretrained(wrong)


def test_loading_leaves_random_numbers_and_warnings_as_they_were(published):
    spec, folder = find_spec(TINY), published(TINY)
    random.seed(4)
    before = random.getstate(), torch.random.get_rng_state(), list(warnings.filters)
    Pretrained(TINY, weights=folder).fit(_chips(spec))
    assert random.getstate() == before[0]
    assert torch.equal(torch.random.get_rng_state(), before[1])
    assert warnings.filters == before[2]
    assert torch.is_grad_enabled()
