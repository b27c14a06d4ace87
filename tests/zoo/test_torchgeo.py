"""Encoders of torchgeo: every row of the catalogue, on checkpoints that its own classes write."""

from __future__ import annotations

import functools
import importlib
import shutil
import sys

import numpy as np
import pytest

import eocausal as ec
from eocausal.encoding.catalogue import find_spec
from eocausal.encoding.pretrained import Pretrained
from eocausal.encoding.registry import get_encoder
from eocausal.errors import EncoderError, ImageryError
from tests.zoo.checks import chips_of, encoded, near, same_bits_alone, shaken

torch = pytest.importorskip("torch")
ROWS = ec.encoders().query("library == 'torchgeo'")["name"].tolist()
READY = [name for name in ROWS if find_spec(name).status == "ready"]
ONE_OF_EACH = ["ssl4eo-l-vits16-etm-sr", "dofa-base", "panopticon-vitb14", "croma-base", "scalemae-large"]
_KELVIN = ("lwir", "lwir_low", "lwir_high", "lwir11", "lwir12")


@pytest.fixture(scope="module")
def models():
    """torchgeo with one or two blocks instead of twelve or twenty-four; all else is its own."""
    import timm
    import torchgeo.models as found

    def shallow(made, **few):
        return lambda *args, **settings: made(*args, **{**settings, **few})

    change = pytest.MonkeyPatch()
    change.setattr(timm, "create_model", shallow(timm.create_model, depth=1))
    for module, kind, few in [
        ("dofa", "DOFA", {"depth": 1}), ("croma", "CROMA", {"encoder_depth": 2}),
        ("scale_mae", "ScaleMAE", {"depth": 1}),
    ]:  # fmt: skip
        holder = importlib.import_module(f"torchgeo.models.{module}")
        change.setattr(holder, kind, shallow(getattr(holder, kind), **few))
    # the same table of distances each time, and slow to make
    croma = importlib.import_module("torchgeo.models.croma")
    change.setattr(croma, "get_2dalibi", functools.lru_cache(croma.get_2dalibi))
    yield found
    change.undo()


def _weights(models, spec):
    """Return torchgeo's own record of the checkpoint that a row names."""
    # 0.9 names another file of Scale-MAE, one that can be read as tensors alone
    file = spec.hub_id if spec.loader.startswith("scalemae") else spec.file
    kinds = [
        one for one in vars(models).values() if str(one).startswith("<enum") or hasattr(one, "__members__")
    ]
    found = [member for kind in kinds for member in kind if f"/{file}" in member.value.url]
    assert len(found) == 1, file
    return found[0].value


def _built(models, spec):
    """Return a network as torchgeo builds it, and its state as it is published."""
    make = getattr(models, spec.loader)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        if spec.loader.startswith("vit"):
            network = shaken(make(in_chans=len(spec.bands), num_classes=0, img_size=224))
            return network, {**network.state_dict(), "head.weight": torch.ones(3, 4)}
        if spec.loader.startswith("dofa"):
            network = make(num_classes=0)
            started = {name: one.clone() for name, one in network.state_dict().items() if "fc_norm" in name}
            shaken(network).load_state_dict(started, strict=False)
            return network, {n: one for n, one in network.state_dict().items() if "fc_norm" not in n}
        if spec.loader.startswith("panopticon"):
            network = shaken(make())
            long = torch.randn(1, 1 + 37 * 37, 768)
            from torchgeo.models.copernicusfm import resize_abs_pos_embed

            network.model.pos_embed.data = resize_abs_pos_embed(long, 16, 37)
            return network, {
                **network.model.state_dict(),
                "pos_embed": long,
                "mask_token": torch.ones(1, 768),
            }
        if spec.loader.startswith("croma"):
            network = shaken(make(modalities=["sar", "optical"], image_size=120))
            parts = ["s1_encoder", "s1_GAP_FFN", "s2_encoder", "s2_GAP_FFN", "joint_encoder"]
            return network, {part: getattr(network, part).state_dict() for part in parts}
        network = shaken(make(img_size=224, num_classes=0))
        return network, {**network.state_dict(), "decoder_pred.weight": torch.ones(2)}


@pytest.fixture(scope="module")
def published(models, tmp_path_factory):
    """Return folder and network of a row; each is written once."""
    made = {}

    def of(name):
        spec = find_spec(name)
        sort = (spec.loader, len(spec.bands or ()))
        if sort not in made:
            folder = tmp_path_factory.mktemp("weights")
            network, state = _built(models, spec)
            torch.save(state, folder / "state")
            made[sort] = (folder, network)
        folder, network = made[sort]
        if not (folder / spec.file).exists():
            (folder / spec.file).symlink_to(folder / "state")
        return folder, network

    return of


def _chips(spec, **more):
    """Return chips that the row can read, their bands in another order than the encoder's."""
    if spec.bands is None:
        return chips_of(
            ["B8A", "red", "VV"], unit=None, px=spec.native_px, low=[0, 0, -25], high=[0.9, 0.4, -3], **more
        )
    names = [band.common_name for band in spec.bands][::-1]
    px = spec.resize_px or spec.native_px
    thermal = np.array([name in _KELVIN for name in names])
    if thermal.any():
        low, high = np.where(thermal, 240, -0.05), np.where(thermal, 325, 0.5)
        return chips_of(names, unit="dn", px=px, low=low, high=high, **more)
    unit = spec.pixel_unit or "reflectance_x10000"
    ends = {"uint8": (0, 255), "sigma0_db": (-25, -3), "reflectance": (-0.05, 0.5)}.get(unit, (0, 5000))
    return chips_of(names, unit=unit, px=px, low=ends[0], high=ends[1], **more)


def _told(spec):
    """Return what a user has to say of these chips."""
    if spec.bands is None:
        return {"units": {"VV": "sigma0_db"}}
    names = [band.common_name for band in spec.bands]
    if not set(names) & set(_KELVIN):
        return {}
    return {"units": {name: "kelvin" if name in _KELVIN else "reflectance" for name in names}}


def _standardised(pixels):
    mean = pixels.astype(float).mean(axis=(0, 2, 3), keepdims=True)
    sd = pixels.astype(float).std(axis=(0, 2, 3), keepdims=True)
    return (pixels - mean) / sd


def _expected(models, spec, network, chips, pool):
    """Return the vectors by torchgeo's own transforms and forward, on pictures scaled here."""
    pixels = chips.pixels["960m"][:, 0]
    pixels = pixels if spec.bands is None else pixels[:, ::-1]
    if spec.name.startswith("ssl4eo-l"):
        names = [band.common_name for band in spec.bands]
        top = 0.3 if spec.name.endswith("-sr") else 0.4
        ends = np.array([(248.15, 318.15) if name in _KELVIN else (0, top) for name in names])[
            :, :, None, None
        ]
        pixels = np.clip((pixels - ends[:, 0]) / (ends[:, 1] - ends[:, 0]), 0, 1) * 255
    if spec.scaling[0].standardise is not None:
        pixels = _standardised(pixels)
    if spec.loader.startswith("croma"):
        pixels = np.clip((pixels + 2) / 4, 0, 1)
    pictures = torch.from_numpy(np.ascontiguousarray(pixels, dtype=np.float32))
    with torch.inference_mode():
        pictures = _weights(models, spec).transforms(pictures)
        return _forward(spec, network, pictures, pool).numpy()


def _forward(spec, network, pictures, pool):
    if spec.loader.startswith("dofa"):
        return network(pictures, [0.865, 0.66, 3.75])
    if spec.loader.startswith("panopticon"):
        ids = torch.tensor([[865.0, 660.0, -1.0]]).repeat(len(pictures), 1)
        given = {"imgs": pictures, "chn_ids": ids}
        return network(given) if pool == "cls" else network.model.forward_features(given)[:, 1:].mean(1)
    if spec.loader.startswith("croma"):
        found = network(x_sar=torch.zeros(len(pictures), 2, 120, 120), x_optical=pictures)
        return found["optical_encodings"].mean(1) if pool == "mean" else found["optical_GAP"]
    if spec.loader.startswith("scalemae"):
        network.res = 960 / 224
    tokens = network.forward_features(pictures)
    return tokens[:, 0] if pool == "cls" else tokens[:, 1:].mean(1)


@pytest.mark.parametrize("name", ROWS)
def test_every_row_gives_the_vectors_of_the_library_or_says_why_not(published, models, name):
    spec = find_spec(name)
    if name not in READY:
        coordinates = "sees coordinates, not imagery"
        older = r"needs Python >=3\.12, and this is 3\.11" if sys.version_info < (3, 12) else "is planned"
        with pytest.raises(EncoderError, match=coordinates if "coordinates" in spec.sensors else older):
            get_encoder(name)
        return
    folder, network = published(name)
    for pool in spec.pooling[:1] if name.endswith("-large") else spec.pooling:
        chips = _chips(spec)
        found = encoded(Pretrained(name, weights=folder, pool=pool, **_told(spec)), chips)
        assert found.shape == (2, spec.dim)
        near(found, _expected(models, spec, network, chips, pool))


@pytest.mark.parametrize("name", READY)
def test_every_row_names_the_file_the_bands_and_the_size_that_torchgeo_does(models, name):
    spec = find_spec(name)
    record = _weights(models, spec)
    host, _, path = record.url.partition(".co/")
    assert host in ("https://hf", "https://huggingface")
    if not spec.loader.startswith("scalemae"):
        assert path == f"{spec.hub_id}/resolve/{spec.revision}/{spec.file}"
    assert record.meta.get("in_chans", len(spec.bands or ())) == len(spec.bands or ())
    if "bands" in record.meta:
        plain = [one.name.replace("B0", "B").upper() for one in spec.bands]
        assert plain == [one.upper() for one in record.meta["bands"]]


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_a_chip_has_the_same_bits_in_any_batch_whatever_is_masked(published, name):
    spec = find_spec(name)
    # these two can be built for smaller pictures
    spec = spec.model_copy(
        update={"native_px": {"panopticon-vitb14": 56, "croma-base": 40}.get(name, spec.native_px)}
    )
    same_bits_alone(Pretrained(spec, weights=published(name)[0], **_told(spec)), _chips(spec, n=3))


@pytest.mark.parametrize("name", ["ssl4eo-l-vits16-etm-sr", "dofa-base", "croma-base"])
def test_bfloat16_is_near(published, name):
    spec = find_spec(name)
    exact, quick = (
        encoded(Pretrained(name, weights=published(name)[0], precision=one, **_told(spec)), _chips(spec))
        for one in ("fp32", "bf16")
    )
    assert 0 < np.abs(exact - quick).max() < 0.1 * np.abs(exact).max()


def test_reflectance_reaches_a_network_of_landsat_by_the_published_formula(published):
    name = "ssl4eo-l-vits16-etm-sr"
    chips, stored = _chips(find_spec(name)), _chips(find_spec(name))
    stored.pixels["960m"] = ((chips.pixels["960m"] + 0.2) / 2.75e-5).astype(np.float32)
    stored.pixel_unit = "landsat_c2_dn"
    encoder = Pretrained(name, weights=published(name)[0])
    np.testing.assert_allclose(encoded(encoder, stored), encoded(encoder, chips), rtol=1e-3, atol=1e-3)


def test_scales_are_learned_from_the_chips_that_may_be_learned_from_and_restored_to_the_bit(published):
    folder, _ = published("dofa-base")
    chips = _chips(find_spec("dofa-base"), n=4)
    chips.mask["960m"][1, 0, :100] = False
    encoder = Pretrained("dofa-base", weights=folder, units={"VV": "sigma0_db"})
    fitted = encoder.fit(chips, keys=chips.keys[[1, 0]])
    seen = [chips.pixels["960m"][0, 0], chips.pixels["960m"][1, 0][:, 100:]]
    flat = np.concatenate([one.reshape(3, -1) for one in seen], axis=1).astype(float)
    np.testing.assert_allclose(fitted.state()["960m/mean"], flat.mean(axis=1), rtol=1e-6)
    np.testing.assert_allclose(fitted.state()["960m/sd"], flat.std(axis=1), rtol=1e-6)
    batch = next(iter(chips.batches()))
    vectors = fitted.encode(batch.pixels["960m"], batch.mask["960m"], "960m")
    again = encoder.restore(fitted.state(), chips=chips)
    np.testing.assert_array_equal(again.encode(batch.pixels["960m"], batch.mask["960m"], "960m"), vectors)
    whole = encoder.fit(chips).encode(batch.pixels["960m"], batch.mask["960m"], "960m")
    assert not np.allclose(whole, vectors, atol=1e-5)


def test_embed_keeps_what_was_learned_in_the_folder_of_the_run(published, tmp_path):
    chips = _chips(find_spec("dofa-base"), n=3)
    encoder = Pretrained("dofa-base", weights=published("dofa-base")[0], units={"VV": "sigma0_db"})
    settings = {"fit_keys": chips.keys[:2], "device": "cpu", "workers": 1, "progress": False}
    made = ec.embed(chips, encoder=encoder, out=tmp_path / "run", **settings)
    assert made.columns[0] == "dofa-base_960m_000"
    fitted = encoder.fit(chips, keys=chips.keys[:2])
    np.testing.assert_array_equal(
        made.values, fitted.encode(chips.pixels["960m"], chips.mask["960m"], "960m")
    )
    for path in (tmp_path / "run").glob("*.parquet"):
        path.unlink()
    chips.read.clear()
    again = ec.embed(chips, encoder=encoder, out=tmp_path / "run", **settings)
    np.testing.assert_array_equal(again.values, made.values)
    assert chips.keys[:2].tolist() not in chips.read  # nothing was learned again
    assert made.recipe["encoder"]["centres"]
    other = ec.embed(chips, encoder=encoder, **{**settings, "fit_keys": None})
    assert other.recipe_hash != made.recipe_hash


def test_standardised_bands_may_come_in_any_scale(published):
    encoder = Pretrained("croma-base", weights=published("croma-base")[0])
    chips, scaled = _chips(find_spec("croma-base")), _chips(find_spec("croma-base"))
    scaled.pixels["960m"] = (chips.pixels["960m"] / 10_000).astype(np.float32)
    scaled.pixel_unit = None
    np.testing.assert_allclose(encoded(encoder, scaled), encoded(encoder, chips), rtol=1e-3, atol=1e-4)


def test_the_order_of_bands_does_not_matter_and_their_wavelength_does(published):
    folder, network = published("dofa-base")
    chips = chips_of(["x", "y"], unit=None, px=224)
    told = encoded(Pretrained("dofa-base", weights=folder, wavelengths={"x": 0.5, "y": 1.6}), chips)
    pictures = torch.from_numpy(_standardised(chips.pixels["960m"][:, 0]).astype(np.float32))
    with torch.inference_mode():
        near(told, network(pictures, [0.5, 1.6]).numpy())
    other = encoded(Pretrained("dofa-base", weights=folder, wavelengths={"x": 1.6, "y": 0.5}), chips)
    assert np.abs(told - other).max() > 1e-4
    turned = chips_of(["x", "y"], unit=None, px=224)
    turned.pixels["960m"], turned.bands = turned.pixels["960m"][:, :, ::-1], ("y", "x")
    again = encoded(Pretrained("dofa-base", weights=folder, wavelengths={"x": 0.5, "y": 1.6}), turned)
    np.testing.assert_allclose(again, told, rtol=1e-4, atol=1e-5)


def test_chips_that_cannot_be_read_are_refused(published):
    folder = published("dofa-base")[0]
    chips = chips_of(["SR_B4", "red"], unit="reflectance", px=64)
    with pytest.raises(EncoderError, match=r"these names do not tell it[\s\S]*SR_B4[\s\S]*wavelengths="):
        Pretrained("dofa-base", weights=folder).fit(chips)
    with pytest.raises(
        EncoderError, match=r"'red' lies at 0.865 micrometres, and its name says red \(0.6 to 0.7"
    ):
        Pretrained("dofa-base", weights=folder, wavelengths={"SR_B4": 0.83, "red": 0.865}).fit(chips)
    with pytest.raises(EncoderError, match=r"reads sigma0_db, and the chips do not say"):
        Pretrained("dofa-base", weights=folder).fit(chips_of(["VV", "red"], unit=None, px=64))
    landsat = published("ssl4eo-l-vits16-etm-sr")[0]
    with pytest.raises(EncoderError, match=r"needs bands that the chips do not name[\s\S]*swir22"):
        Pretrained("ssl4eo-l-vits16-etm-sr", weights=landsat).fit(
            chips_of(["red", "blue"], unit="reflectance", px=8)
        )
    names = [band.common_name for band in find_spec("ssl4eo-l-vits16-etm-sr").bands]
    with pytest.raises(EncoderError, match="reads reflectance, and the chips hold uint8"):
        Pretrained("ssl4eo-l-vits16-etm-sr", weights=landsat).fit(chips_of(names, unit="uint8", px=8))


def test_thermal_bands_need_their_unit_and_it_is_checked(published):
    name = "ssl4eo-l-vits16-tm-toa"
    spec, folder = find_spec(name), published("ssl4eo-l-vits16-tm-toa")[0]
    with pytest.raises(
        EncoderError, match=r"reads kelvin, and the chips hold dn|reads reflectance, and the chips hold dn"
    ):
        Pretrained(name, weights=folder).fit(_chips(spec))
    wrong = {**_told(spec)["units"], "lwir": "reflectance"}
    with pytest.raises(EncoderError, match="reads kelvin, and the chips hold reflectance"):
        Pretrained(name, weights=folder, units=wrong).fit(_chips(spec))
    chips = _chips(spec)
    chips.pixels["960m"][:, :, list(chips.bands).index("lwir")] -= 273.15
    with pytest.raises(ImageryError, match="Pixels of band 'lwir' are not kelvin"):
        Pretrained(name, weights=folder, **_told(spec)).fit(chips)


def test_resolution_in_metres_is_needed_where_positions_are_in_metres(published):
    folder = published("scalemae-large")[0]
    spec = find_spec("scalemae-large")
    with pytest.raises(EncoderError, match=r"how many metres a pixel covers[\s\S]*size_m"):
        Pretrained("scalemae-large", weights=folder).fit(_chips(spec, block="224px"))
    near_, far = (
        encoded(Pretrained("scalemae-large", weights=folder), _chips(spec, block=b))
        for b in ("240m", "7680m")
    )
    assert np.abs(near_ - far).max() > 1e-3


@pytest.mark.parametrize(("name", "changes", "words"), [
    ("dofa-base", {"native_px": 112}, "its pictures have 224 pixels a side"),
    ("softcon-s2-vits14", {"native_px": 225, "resize_px": 256}, "a multiple of 14"),
    ("dofa-base", {"loader": "dofa"}, "'dofa' of encoder 'dofa-base' is not known"),
    ("dofa-base", {"pooling": ("cls",)}, "cannot be pooled so"),
    ("dofa-base", {"bands": find_spec("scalemae-large").bands}, "names bands, and .* reads any by wavelength"),
    ("scalemae-large", {"bands": None}, "cannot read any bands"),
    ("croma-base", {"bands": find_spec("scalemae-large").bands}, "are not those that 'croma_base' was trained on"),
    ("croma-base", {"frames_max": 3}, "it reads one date"),
])  # fmt: skip
def test_specifications_that_the_network_cannot_follow(name, changes, words):
    with pytest.raises(EncoderError, match=words):
        Pretrained(find_spec(name).model_copy(update=changes))


def test_weights_that_lack_a_part_or_are_of_another_network_are_refused(published, tmp_path):
    name = "ssl4eo-l-vits16-etm-sr"
    spec, chips = find_spec(name), _chips(find_spec(name))
    state = torch.load(published(name)[0] / "state", weights_only=True)

    def refused(changed, words):
        torch.save(changed, tmp_path / spec.file)
        with pytest.raises(EncoderError, match=words):
            Pretrained(name, weights=tmp_path).fit(chips)

    refused(
        {n: one for n, one in state.items() if n != "pos_embed"}, r"lack parts of the network[\s\S]*pos_embed"
    )
    refused(
        {**state, "fc.weight": torch.ones(2)},
        r"hold parts that the network .* does not have[\s\S]*fc\.weight",
    )
    refused({**state, "pos_embed": torch.ones(1, 5, 384)}, "are of another network")
    torch.save({n: one for n, one in state.items() if not n.startswith("norm.")}, tmp_path / spec.file)
    assert np.isfinite(encoded(Pretrained(name, weights=tmp_path), chips)).all()


class _Evil:
    def __reduce__(self):
        return (print, ("this ran",))


def test_a_checkpoint_with_code_is_not_opened(tmp_path, capsys):
    spec = find_spec("ssl4eo-l-vits16-etm-sr")
    torch.save({"state_dict": {"norm.weight": torch.ones(2)}, "more": _Evil()}, tmp_path / spec.file)
    with pytest.raises(EncoderError, match=r"holds more than tensors, and is not opened[\s\S]*read as data"):
        Pretrained(spec, weights=tmp_path).fit(_chips(spec))
    assert "this ran" not in capsys.readouterr().out
    with pytest.raises(EncoderError, match=rf"does not hold '{spec.file}'"):
        Pretrained(spec, weights=tmp_path / "nowhere").fit(_chips(spec))


def test_the_hub_is_asked_for_the_pinned_commit_and_this_file_alone(published, tmp_path, monkeypatch):
    import huggingface_hub

    spec, asked = find_spec("ssl4eo-l-vits16-etm-sr"), []
    folder = published(spec.name)[0]

    def snapshot(repo, **options):
        asked.append((repo, options["revision"], options["local_files_only"], options["allow_patterns"]))
        found = tmp_path / options["revision"]
        if not options["local_files_only"]:
            found.mkdir()
            shutil.copy(folder / spec.file, found / spec.file)
        elif not found.is_dir():
            raise FileNotFoundError("not in the cache")
        return str(found)

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    found = encoded(Pretrained(spec.name), _chips(spec))
    np.testing.assert_array_equal(found, encoded(Pretrained(spec.name, weights=folder), _chips(spec)))
    assert [one[2] for one in asked] == [True, False]
    assert {one[:2] for one in asked} == {("torchgeo/ssl4eo_landsat", spec.revision)}
    assert set(asked[1][3]) == {"config.json", spec.file}
    assert set(Pretrained(spec.name).recipe()["weights"]) == {spec.file}
