"""Libraries that are not there, not built for this torch, or broken are told apart; so is an older Python."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import SimpleNamespace

import pytest
import torch

import eocausal as ec
from eocausal.encoding._adapters import INSTALL, LIBRARIES, import_library, lacks_python
from eocausal.encoding.catalogue import catalogue_names, find_spec, why_not
from eocausal.encoding.pretrained import Pretrained
from eocausal.encoding.registry import get_encoder
from eocausal.errors import EncoderError


@pytest.fixture
def torchvision(tmp_path, monkeypatch):
    """Return a function that sets of which build torchvision and torch are, and how an import fails."""
    real = importlib.util.find_spec
    (tmp_path / "__init__.py").touch()

    def found(name, *more):
        if name == "torchvision":
            return SimpleNamespace(origin=str(tmp_path / "__init__.py"))
        return SimpleNamespace() if name == "torchgeo" else real(name, *more)

    def prepare(theirs, ours, failure):
        (tmp_path / "version.py").write_text(f"__version__ = '{theirs}'\ngit_version = 'x'\n")
        monkeypatch.setattr(torch, "__version__", ours)
        monkeypatch.setattr(importlib.util, "find_spec", found)

        def fail(name):
            raise failure

        monkeypatch.setattr(importlib, "import_module", fail)

    return prepare


MISSING = RuntimeError("operator torchvision::nms does not exist")


@pytest.mark.parametrize(("theirs", "ours", "words"), [
    ("0.28.0+cu130", "2.13.0+cpu", r"torchvision was built for CUDA, torch for the CPU: encoders of torchgeo[\s\S]*"
                                   r"install the pair that belongs together[\s\S]*whl/cpu$"),
    ("0.28.0+cpu", "2.13.0+cu130", r"torchvision was built for the CPU, torch for CUDA[\s\S]*whl/cu130$"),
    ("0.28.0+cu130", "2.13.0+cu130", r"torchgeo.models is installed and cannot be imported \(RuntimeError: oper"),
    ("0.28.0", "2.13.0", r"cannot be imported \(RuntimeError: operator torchvision::nms[\s\S]*\[torchgeo\]"),
])  # fmt: skip
def test_a_torchvision_of_another_build_is_told_from_other_failures(torchvision, theirs, ours, words):
    torchvision(theirs, ours, MISSING)
    with pytest.raises(EncoderError, match=words):
        import_library("torchgeo.models", "torchgeo")


def test_what_a_library_lacks_itself_is_named(torchvision):
    torchvision("0.28.0+cpu", "2.13.0+cpu", ModuleNotFoundError("No module named 'requests'"))
    with pytest.raises(
        EncoderError, match=r"cannot be imported \(ModuleNotFoundError: No module named 'requests'\)"
    ):
        import_library("torchgeo.models", "torchgeo")


@pytest.mark.parametrize("library", sorted(set(LIBRARIES)))
def test_a_library_that_is_not_there_names_the_line_that_installs_it(monkeypatch, library):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None)
    with pytest.raises(EncoderError, match=r"needs? .*not installed[\s\S]*pip install \"eocausal\["):
        import_library("nowhere", library)
    ready = [find_spec(name) for name in catalogue_names()]
    ready = [spec for spec in ready if spec.library == library and spec.status == "ready"]
    assert all(why_not(spec) == INSTALL[library] for spec in ready)


def test_an_encoder_that_needs_a_later_python_says_just_that(monkeypatch):
    spec = find_spec("presto")
    monkeypatch.setattr(sys, "version_info", (3, 11, 9))
    assert lacks_python(spec) == why_not(spec) == "needs Python >=3.12"
    for ask in (get_encoder, Pretrained):
        with pytest.raises(EncoderError, match=r"'presto' needs Python >=3\.12, and this is 3\.11\."):
            ask("presto")
    assert ec.encoders().set_index("name").loc["presto", "why_not"] == "needs Python >=3.12"
    monkeypatch.setattr(sys, "version_info", (3, 12, 1))
    assert (lacks_python(spec), why_not(spec)) == ("", "planned")
    with pytest.raises(
        EncoderError, match="'presto' is planned: its loader, through torchgeo, is not written yet"
    ):
        Pretrained("presto")


@pytest.mark.parametrize("name", ["satclip-l10", "satclip-l40"])
def test_what_sees_no_picture_says_so(name):
    assert why_not(find_spec(name)) == "coordinates, not imagery"
    with pytest.raises(
        EncoderError, match=rf"'{name}' sees coordinates, not imagery: it has no vector for a picture"
    ):
        get_encoder(name)


@pytest.mark.parametrize("name", ["clay-v1.5", "galileo-base", "satmaepp-s2-vitl8"])
def test_what_no_library_holds_says_so(name):
    assert why_not(find_spec(name)) == "no library"
    with pytest.raises(
        EncoderError, match=rf"'{name}' is planned: no library that is kept up to date holds it"
    ):
        get_encoder(name)
