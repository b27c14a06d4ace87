"""How large the parts of a raster may be that have to be decoded whole."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from eocausal.errors import ImageryError
from eocausal.imagery.limits import check_size

FILE = Path("scene.tif")


def dataset(
    block: tuple[int, int], *, bands: int = 1, kind: str = "uint16", interleave: str = "band"
) -> SimpleNamespace:
    return SimpleNamespace(
        count=bands,
        block_shapes=[block] * bands,
        dtypes=[kind] * bands,
        tags=lambda ns: {"INTERLEAVE": interleave},
    )


@pytest.mark.parametrize(
    "told",
    [
        # A whole scene of Sentinel-2 in one block, 230 MiB; exactly 512 MiB; bands in blocks of their own.
        dataset((10_980, 10_980)),
        dataset((16_384, 16_384)),
        dataset((16_384, 16_384), bands=12),
        dataset((512, 512), bands=500, kind="float32", interleave="pixel"),
        dataset((64, 64), bands=10_000),
        dataset((11_584, 11_584), kind="complex_int16"),
    ],
)
def test_sizes_of_real_products_pass(told):
    check_size(FILE, told)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (dataset((16_384, 16_385)), r"blocks of 16,384 x 16,385 pixels: 512 MiB each(.|\n)*at most 512 MiB"),
        (dataset((8_192, 8_192), bands=5, interleave="pixel"), r"8,192 pixels and 5 bands: 640 MiB each"),
        (dataset((8_192, 8_193), kind="complex128"), r"8,192 x 8,193 pixels: 1,024 MiB"),
        (dataset((1, 1), bands=10_001), r"10,001 bands(.|\n)*at most 10,000"),
    ],
)
def test_sizes_beyond_are_refused(told, words):
    with pytest.raises(ImageryError, match=words):
        check_size(FILE, told)
