"""README and docs say what the code does: modules, names, links and members that they mention exist."""

from __future__ import annotations

import ast
import importlib
import re
import tomllib
from pathlib import Path
from urllib.parse import unquote

import pytest

import eocausal as ec

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "eocausal"
ARCHITECTURE = ROOT / "docs" / "architecture.md"
WITH_CODE = [
    "README.md", "docs/tutorial.md", "docs/results.md", "docs/imagery.md", "docs/catalogues.md",
    "docs/embedding_products.md", "docs/encoders.md", "docs/sequences.md", "docs/running.md",
    "docs/training.md", "docs/panels.md", "docs/standard_errors.md", "docs/nuisances.md",
    "docs/diagnostics.md", "docs/estimators.md", "docs/simulations.md", "docs/effects_by_unit.md", "docs/rate.md",
    "docs/effect_regressions.md", "docs/comparing_features.md", "docs/judging_effects.md", "docs/image_types.md",
    "docs/transport.md", "docs/debiasing.md", "docs/labelled_outcomes.md", "docs/sensitivity.md",
    "docs/omitted_confounders.md", "docs/unequal_odds.md", "docs/placebos.md",
]  # fmt: skip
WITH_LINKS = [
    "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs/index.md", "docs/architecture.md", "docs/tutorial.md",
    "docs/results.md", "docs/api.md", "docs/conventions.md", "docs/imagery.md", "docs/catalogues.md",
    "docs/embedding_products.md", "docs/encoders.md", "docs/sequences.md", "docs/running.md", "docs/training.md",
    "docs/panels.md", "docs/standard_errors.md", "docs/nuisances.md", "docs/diagnostics.md",
    "docs/estimators.md", "docs/simulations.md", "docs/effects_by_unit.md", "docs/rate.md",
    "docs/effect_regressions.md", "docs/comparing_features.md", "docs/judging_effects.md",
    "docs/image_types.md", "docs/transport.md", "docs/debiasing.md", "docs/labelled_outcomes.md",
    "docs/sensitivity.md", "docs/omitted_confounders.md", "docs/unequal_odds.md", "docs/placebos.md",
    "notebooks/README.md", "replications/README.md", "benchmarks/README.md", "data_specs/README.md",
]  # fmt: skip


def _read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _blocks(name: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", _read(name), re.S | re.M)


def _anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ +(.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def _modules_on_disk() -> set[str]:
    """Modules as paths under the package; a folder stands for its ``__init__``."""
    found = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")}
    return {name.removesuffix("__init__.py") if "/" in name else name for name in found}


def _modules_in_tables() -> list[str]:
    section = ARCHITECTURE.read_text(encoding="utf-8").split("\n## Modules\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `([^`]+)` \|", section, re.M)


def test_every_module_is_named_once_in_the_architecture_and_every_named_module_exists() -> None:
    named = _modules_in_tables()
    assert sorted(set(named)) == sorted(named)
    assert set(named) == _modules_on_disk()


def test_the_layers_of_the_architecture_are_those_that_lint_checks() -> None:
    text = ARCHITECTURE.read_text(encoding="utf-8")
    (shown,) = re.findall(r"^```text\n(.*?)^```", text.split("\n## Layers\n")[1], re.S | re.M)
    contract = tomllib.loads(_read("pyproject.toml"))["tool"]["importlinter"]["contracts"][0]
    assert shown.split("\n")[:-1] == [layer.replace("eocausal.", "") for layer in contract["layers"]]


@pytest.mark.parametrize("name", WITH_CODE)
def test_python_blocks_compile_and_use_only_public_names(name: str) -> None:
    blocks = _blocks(name)
    assert blocks
    for block in blocks:
        compile(block, name, "exec")
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "ec":
                assert node.attr in ec.__all__, f"{name} uses ec.{node.attr}"


@pytest.mark.parametrize("name", WITH_CODE)
def test_public_calls_in_python_blocks_have_keywords_that_exist(name: str) -> None:
    import inspect

    for block in _blocks(name):
        for node in ast.walk(ast.parse(block)):
            called = node.func if isinstance(node, ast.Call) else None
            if not (isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name)):
                continue
            if called.value.id != "ec":
                continue
            known = inspect.signature(getattr(ec, called.attr)).parameters
            if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in known.values()):
                continue
            asked = {keyword.arg for keyword in node.keywords}
            assert asked <= set(known), f"{name}: ec.{called.attr} has no {sorted(asked - set(known))}"


def test_names_written_as_ec_dot_something_exist() -> None:
    for name in WITH_LINKS:
        for attribute in re.findall(r"`ec\.([a-zA-Z_]+)", _read(name)):
            assert attribute in {*ec.__all__, "name"}, f"{name} mentions ec.{attribute}"


def test_the_tutorial_explains_the_lines_of_the_readme() -> None:
    (twelve,) = [block for block in _blocks("README.md") if "ec.report(" in block]
    lines = [line for line in twelve.split("\n") if line.strip()]
    assert len(lines) == 12
    tutorial = "\n".join(_blocks("docs/tutorial.md"))
    assert [line for line in lines if line not in tutorial] == []


def test_every_public_name_is_in_the_api_page() -> None:
    documented = set(re.findall(r"auto(?:function|class|module):: ([\w.]+)", _read("docs/api.md")))
    assert documented >= set(ec.__all__) - {"errors"}
    assert "eocausal.errors" in documented


@pytest.mark.parametrize("name", WITH_LINKS)
def test_relative_links_lead_somewhere(name: str) -> None:
    text = re.sub(r"^```.*?^```", "", _read(name), flags=re.S | re.M)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = unquote(target).partition("#")
        found = (ROOT / name).parent / path if path else ROOT / name
        assert found.exists(), f"{name} links to {target}"
        if anchor:
            assert anchor in _anchors(found.read_text(encoding="utf-8")), f"{name} links to {target}"


@pytest.mark.parametrize("home", [
    "eocausal.inference.estimate:Estimate", "eocausal.effects.cate:Cate", "eocausal.evaluate.rate_result:Rate",
    "eocausal.evaluate.balance:Balance", "eocausal.evaluate.overlap:Overlap",
    "eocausal.evaluate.transport_result:Transport",
    "eocausal.evaluate.calibration_result:Calibration", "eocausal.evaluate.effect_groups_result:EffectGroups",
    "eocausal.evaluate.clan_result:Clan", "eocausal.evaluate.policy_result:PolicyValue",
    "eocausal.evaluate.effect_losses_result:EffectLosses", "eocausal.debiasing.corrected_result:Corrected",
    "eocausal.labelled.remote_result:RemoteOutcome", "eocausal.debiasing.group_means_result:GroupMeans",
    "eocausal.labelled.ppi_result:Ppi",
])  # fmt: skip
def test_every_result_has_the_members_that_the_results_page_lists(home: str) -> None:
    section = _read("docs/results.md").split("\n## Members\n")[1].split("\n## ")[0]
    members = re.findall(r"^\| `(\w+)", section, re.M)
    assert len(members) == 18
    module, name = home.split(":")
    kind = getattr(importlib.import_module(module), name)
    fields = set(getattr(kind, "__dataclass_fields__", {}))
    assert [one for one in members if not hasattr(kind, one) and one not in fields] == []


def test_the_make_targets_that_the_readme_names_exist() -> None:
    targets = set(re.findall(r"^(\w+):.*##", _read("Makefile"), re.M))
    for name in WITH_LINKS:
        assert set(re.findall(r"`make (\w+)`", _read(name))) <= targets, name
