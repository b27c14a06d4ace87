"""The table of kinds: options are listed for users, and functions exist."""

from __future__ import annotations

import inspect

import pytest

from eocausal.sensitivities.kinds import KINDS, load
from eocausal.sensitivities.options import KindOptions


def test_every_option_of_a_kind_is_listed_and_every_listed_one_is_of_a_kind() -> None:
    listed = set(KindOptions.__annotations__)
    assert {name for row in KINDS.values() for name in row.options} == listed
    told = inspect.getdoc(KindOptions) or ""
    assert [name for name in listed if name not in told] == []


@pytest.mark.parametrize("kind", [name for name in KINDS if name != "robustness"])
def test_a_kind_takes_its_options_and_no_others(kind: str) -> None:
    row = KINDS[kind]
    taken = inspect.signature(load(row.run)).parameters.values()
    assert tuple(one.name for one in taken if one.kind is one.KEYWORD_ONLY) == row.options
    assert callable(load(row.draw))
