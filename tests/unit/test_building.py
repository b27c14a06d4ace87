"""Networks of other libraries are built without a trace, and no part of them is left as it was drawn."""

from __future__ import annotations

import os
import random
import warnings

import pytest

from eocausal.encoding._building import fill, read_weights, undisturbed
from eocausal.encoding.catalogue import find_spec
from eocausal.errors import EncoderError

torch = pytest.importorskip("torch")
SPEC = find_spec("prithvi-eo-2-tiny-tl")


def _imported_badly():
    """Do what libraries do when they are imported, and networks when they are built, and fail."""
    with undisturbed():
        warnings.simplefilter("once")
        random.random()
        torch.rand(3)
        assert os.environ["LIGHTLY_DID_VERSION_CHECK"] == "True"
        os.environ["SET_BY_A_LIBRARY"] = "1"
        raise KeyError("it fails")


@pytest.mark.parametrize("asked", [None, "False"])
def test_random_numbers_warnings_and_the_environment_are_as_they_were(monkeypatch, asked):
    name = "LIGHTLY_DID_VERSION_CHECK"
    monkeypatch.delenv(name, raising=False)
    if asked is not None:
        monkeypatch.setenv(name, asked)
    before = random.getstate(), torch.random.get_rng_state(), list(warnings.filters)
    with pytest.raises(KeyError, match="it fails"):
        _imported_badly()
    assert random.getstate() == before[0]
    assert torch.equal(torch.random.get_rng_state(), before[1])
    assert warnings.filters == before[2]
    assert os.environ.get(name) == asked
    # what a library sets for itself stays: it may need it
    assert os.environ.pop("SET_BY_A_LIBRARY") == "1"


def test_warnings_of_libraries_are_not_shown(recwarn):
    with undisturbed():
        warnings.warn("the library is chatty", UserWarning, stacklevel=1)
    assert not recwarn


def _network():
    return torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))


def test_every_part_comes_from_the_file(tmp_path):
    network = _network()
    state = {name: torch.full_like(one, 3) for name, one in network.state_dict().items()}
    fill(network, state, spec=SPEC, folder=tmp_path)
    assert all((one == 3).all() for one in network.state_dict().values())


@pytest.mark.parametrize(("gone", "more", "words"), [
    ("0.bias", {}, r"lack parts of the network of 'prithvi[\s\S]*Where: 1 \(0\.bias\)[\s\S]*would be random"),
    ("1.running_var", {}, r"lack parts[\s\S]*1\.running_var"),
    ("0.weight", {"0.weight": (4, 3)}, r"are of another network than 'prithvi[\s\S]*0\.weight"),
    (None, {"0.gain": (1,), "head.bias": (1,)}, r"hold parts that the network[\s\S]*Where: 1 \(0\.gain\)"),
])  # fmt: skip
def test_parts_that_lack_do_not_fit_or_are_of_another_encoder_are_refused(tmp_path, gone, more, words):
    state = {name: one for name, one in _network().state_dict().items() if name != gone}
    state.update({name: torch.zeros(shape) for name, shape in more.items()})
    with pytest.raises(EncoderError, match=words):
        fill(_network(), state, spec=SPEC, folder=tmp_path, own=("0.", "1."))


def test_heads_and_decoders_are_left_aside_only_where_the_encoder_is_named(tmp_path):
    state = {**_network().state_dict(), "head.bias": torch.zeros(1)}
    fill(_network(), state, spec=SPEC, folder=tmp_path, own=("0.", "1."))
    with pytest.raises(EncoderError, match=r"hold parts[\s\S]*head\.bias"):
        fill(_network(), state, spec=SPEC, folder=tmp_path)


def test_all_files_of_weights_are_read_and_no_configuration(tmp_path):
    from safetensors.torch import save_file

    torch.save({"a": torch.ones(2)}, tmp_path / SPEC.file)
    (tmp_path / "config.json").write_text("{")
    assert {name: one.tolist() for name, one in read_weights(SPEC, tmp_path).items()} == {"a": [1.0, 1.0]}
    several = SPEC.model_copy(update={"file": None})
    save_file({"b": torch.zeros(1)}, tmp_path / "model-1-of-2.safetensors")
    save_file({"c": torch.ones(1)}, tmp_path / "model-2-of-2.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text(
        '{"weight_map": {"b": "model-1-of-2.safetensors", "c": "model-2-of-2.safetensors"}}'
    )
    assert sorted(read_weights(several, tmp_path)) == ["b", "c"]
