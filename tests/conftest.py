"""Fixtures that every test folder shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# the same cases in every run; HYPOTHESIS_PROFILE=default draws others
settings.register_profile("repeatable", derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of reference data, or skip loudly where there is none."""
    folder = Path(os.environ.get("EOCAUSAL_SHARED", Path(__file__).parents[1] / ".." / "shared")).resolve()
    if not (folder / "data").is_dir():
        pytest.skip(f"REFERENCE DATA MISSING: no folder {folder}; set EOCAUSAL_SHARED to run this test")
    return folder
