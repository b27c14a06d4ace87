"""What made a result: versions, machine-independent hashes and seeds."""

from __future__ import annotations

import platform
from functools import cache
from importlib import metadata
from typing import Any

import numpy as np
import numpy.typing as npt

PACKAGES = (
    "eocausal", "econml", "scikit-learn", "torch", "statsmodels", "rasterio", "geopandas", "numpy", "pandas",
    "matplotlib", "scipy", "linearmodels",
)  # fmt: skip


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that results depend on."""
    return {"python": platform.python_version(), **{package: _version(package) for package in PACKAGES}}


@cache
def _version(package: str) -> str:
    """Return the version of a package; it is read from disk once, as results are made by the thousand."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def hash_arrays(*arrays: npt.NDArray[Any]) -> str:
    """Return a short hash of the contents, types and shapes of arrays.

    Examples
    --------
    >>> hash_arrays(np.arange(3)) == hash_arrays(np.arange(3))
    True
    >>> hash_arrays(np.arange(3)) == hash_arrays(np.arange(3.0))
    False
    """
    import hashlib

    digest = hashlib.sha256()
    for array in arrays:
        values = np.asarray(array)
        if values.dtype == object:
            values = values.astype(str)
        digest.update(f"{values.dtype}{values.shape}".encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()[:16]
