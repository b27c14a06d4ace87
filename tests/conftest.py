"""Fixtures that every test folder shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of reference data, or skip loudly where there is none."""
    folder = Path(os.environ.get("EOCAUSAL_SHARED", Path(__file__).parents[1] / ".." / "shared")).resolve()
    if not (folder / "data").is_dir():
        pytest.skip(f"REFERENCE DATA MISSING: no folder {folder}; set EOCAUSAL_SHARED to run this test")
    return folder
