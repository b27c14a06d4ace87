"""How large a raster may be in parts that have to be decoded whole: a header can claim any size."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from eocausal.errors import ImageryError, explain

LARGEST_BLOCK_BYTES = 2**29
"""Decoded bytes of one block: a scene of 10,980 x 10,980 pixels of two bytes has half as many."""
MOST_BANDS = 10_000
"""Bands of one file: 27 years of days."""


def check_size(file: Path, dataset: Any) -> None:
    """Raise ImageryError when an open raster has more bands, or larger blocks, than are decoded.

    A block is the least that GDAL decodes, also for a chip of one pixel. Blocks that hold all bands together
    count with all of them.
    """
    if dataset.count > MOST_BANDS:
        text = f"Raster {file.name!r} has {dataset.count:,} bands."
        raise ImageryError(explain(text, rule=f"at most {MOST_BANDS:,} bands", fix="Split it by band."))
    together = str(dataset.tags(ns="IMAGE_STRUCTURE").get("INTERLEAVE", "")).upper() == "PIXEL"
    bands = dataset.count if together else 1
    height, width = max(dataset.block_shapes, key=math.prod)
    size = height * width * bands * max(_item_bytes(kind) for kind in dataset.dtypes)
    if size > LARGEST_BLOCK_BYTES:
        text = (
            f"Raster {file.name!r} is stored in blocks of {height:,} x {width:,} pixels"
            f"{f' and {bands:,} bands' if bands > 1 else ''}: {size / 2**20:,.0f} MiB each."
        )
        rule = (
            f"at most {LARGEST_BLOCK_BYTES / 2**20:g} MiB, since a block is decoded whole for any chip in it"
        )
        fix = "gdal_translate -co TILED=YES -co COMPRESS=DEFLATE -co INTERLEAVE=BAND IN.tif OUT.tif"
        raise ImageryError(explain(text, rule=rule, fix=fix))


def _item_bytes(kind: str) -> int:
    # The one kind of pixel that GDAL knows and NumPy does not is made of two int16.
    return 4 if kind == "complex_int16" else np.dtype(kind).itemsize
