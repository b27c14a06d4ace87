"""What a user can import: quick, light, documented, and typed."""

from __future__ import annotations

import dataclasses
import inspect
import json
import subprocess
import sys

import pytest

import eocausal as ec

HEAVY = ["torch", "rasterio", "econml", "matplotlib", "sklearn", "geopandas", "pyproj", "pyarrow", "statsmodels",
         "pandas", "numpy", "scipy", "pydantic", "yaml", "typer", "jinja2"]  # fmt: skip
PROBE = """
import json, sys, time
before = set(sys.modules)
start = time.perf_counter()
import eocausal
took = time.perf_counter() - start
print(json.dumps([took, sorted({name.partition('.')[0] for name in set(sys.modules) - before})]))
"""


def _import_fresh(code: str = PROBE) -> list:
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(run.stdout)


def test_importing_is_quick_and_loads_nothing_heavy() -> None:
    runs = [_import_fresh() for _ in range(5)]
    assert min(took for took, _ in runs) <= 0.3
    assert not set(HEAVY) & set(runs[0][1])


def test_a_design_and_an_average_effect_need_no_imagery_and_no_forest() -> None:
    code = """
import json, sys
import pandas as pd, eocausal as ec
table = pd.DataFrame({"grant": [0, 1] * 10, "income": range(20)})
ec.ate(ec.Design(table, outcome="income", treatment="grant"), method="difference")
print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))
"""
    loaded = _import_fresh(code)
    assert not {"torch", "rasterio", "econml", "matplotlib"} & set(loaded)


def test_every_name_is_there() -> None:
    assert len(ec.__all__) == len(set(ec.__all__))
    for name in ec.__all__:
        assert getattr(ec, name) is not None
        assert name in dir(ec)
    assert ec.errors.EocausalError is not None


def test_verbs_stay_verbs_when_their_modules_are_imported() -> None:
    import eocausal.effects.ate
    import eocausal.effects.cate
    import eocausal.evaluate.rate
    import eocausal.reporting.report  # noqa: F401

    for name in ("ate", "cate", "rate", "report", "balance", "overlap", "run", "embed", "chips", "compare"):
        assert inspect.isfunction(getattr(ec, name))


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'ates'; public names: [\s\S]*ate, [\s\S]*rate"):
        _ = ec.ates
    with pytest.raises(ImportError):
        exec("from eocausal import ates")


PUBLIC = [name for name in ec.__all__ if name != "errors"]


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_documented(name: str) -> None:
    thing = getattr(ec, name)
    text = inspect.getdoc(thing)
    assert text
    first = text.splitlines()[0]
    assert first.endswith((".", ":"))
    made_by_verbs = {"Cate", "Estimate", "Chips", "Units"}
    if name not in made_by_verbs:
        assert "Examples\n--------" in text, f"{name} has no example"
        assert ">>>" in text


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_parameter_is_annotated_and_documented(name: str) -> None:
    thing = getattr(ec, name)
    signature = inspect.signature(thing)
    positional = []
    for parameter in signature.parameters.values():
        assert parameter.annotation is not inspect.Parameter.empty, f"{name}({parameter.name}) has no type"
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            positional.append(parameter.name)
    if inspect.isfunction(thing):
        assert signature.return_annotation is not inspect.Signature.empty
        assert len(signature.parameters) <= 9, f"{name} has {len(signature.parameters)} parameters"
        # one thing upstream; a second positional only where two arrays or tables belong together
        assert len(positional) <= 2, f"{name} takes {positional} by position"
        text = inspect.getdoc(thing)
        for parameter in signature.parameters:
            assert parameter in text, f"{name}({parameter}) is not documented"


MEMBERS = (
    "estimand", "method", "n", "n_clusters", "estimate", "std_error", "ci", "p_value", "scores", "assumptions",
    "warnings", "diagnostics", "provenance", "summary", "to_frame", "to_dict", "from_dict", "plot",
)  # fmt: skip


def test_results_have_the_same_members() -> None:
    from eocausal.evaluate.balance import Balance
    from eocausal.evaluate.overlap import Overlap
    from eocausal.evaluate.rate_result import Rate

    for kind in (ec.Estimate, ec.Cate, Balance, Overlap, Rate):
        names = set(dir(kind)) | {field.name for field in dataclasses.fields(kind)}
        assert not set(MEMBERS) - names, kind.__name__
