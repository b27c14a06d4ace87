"""Encoders on the command line: a list that filters, one shown whole, mistakes without tracebacks."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from eocausal import cli
from eocausal.encoding.catalogue import encoders
from eocausal.encoding.spec import read_spec
from eocausal.errors import EncoderError, SpecError


def _run(*words: str) -> str:
    found = CliRunner().invoke(cli.app, ["encoders", *words], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return found.output


def _names(output: str) -> list[str]:
    return [line.split()[0] for line in output.splitlines()[1:]]


def test_the_list_has_every_encoder_once():
    assert _names(_run("list")) == encoders()["name"].tolist()


def test_the_list_filters_as_the_table_does():
    found = _names(_run("list", "--bands", "landsat", "--commercial-ok"))
    assert found == encoders("landsat", commercial_ok=True)["name"].tolist()
    assert "prithvi-eo-2-300m-tl" in found
    assert "clip-vit-b32" not in found
    short = set(_names(_run("list", "--bands", "B04,B03,B02", "--max-dim", "600", "--sensor", "rgb")))
    assert {"clip-rsicd-v2", "clip-vit-b32", "remoteclip-vitb32"} <= short
    assert not {"dinov2-base", "rcf"} & short
    assert set(_names(_run("list", "--loadable"))) >= {"image_stats", "pixel_mean", "rcf"}
    assert _run("list", "--sensor", "hls", "--max-dim", "5") == "None fits.\n"


def test_one_is_shown_whole():
    shown = _run("show", "dinov3-sat-vitl16")
    assert "licence: DINOv3 licence\n" in shown
    assert "gated: True\n" in shown
    assert "'common_name': 'red'" in shown
    assert "status: planned" in _run("show", "galileo-tiny")
    assert _run("show", "galileo-tiny").splitlines()[-1] == "today: no library"


def test_a_network_on_the_hub_is_shown_as_a_file_to_fill_in(tmp_path):
    shown = _run("show", "hf:someone/some-network")
    assert shown.startswith("spec_version: 1\nname: some-network\n")
    path = tmp_path / "some-network.yaml"
    path.write_text(shown)
    with pytest.raises(SpecError, match=r"some-network\.yaml:8:1 licence: is empty and must be text"):
        read_spec(path)
    with pytest.raises(EncoderError, match=r"ec\.Pretrained\('dinov2-base'\)"):
        _run("show", "hf:facebook/dinov2-base")


def test_mistakes_are_errors_of_ours():
    with pytest.raises(EncoderError, match="Did you mean 'dinov2-base'"):
        _run("show", "dinov2-bse")
    with pytest.raises(EncoderError, match="'landsad' is not known"):
        _run("list", "--bands", "landsad")
