"""Hostile raster files, each written by a function, and a way to read them in a process with limits.

``python -m tests.hostile`` reads cases from standard input as JSON and prints one line of JSON for each.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CANARY = "CANARY-7f3a, a secret that no picture and no message may hold. " * 64
WEST, NORTH, PIXEL = 600_000.0, 200_000.0, 30.0
SHORT, LONG, DOUBLE, ASCII, UNDEFINED = 3, 4, 12, 2, 7
_FORMATS = {SHORT: "H", LONG: "I", DOUBLE: "d"}
ADDRESS_SPACE, CPU_SECONDS, FILE_SIZE = 5 * 2**29, 20, 2**20


@dataclass(frozen=True)
class Tag:
    """One entry of a TIFF directory; ``count`` may lie, ``raw`` is the offset that is written as it stands."""

    number: int
    kind: int
    values: tuple[Any, ...] | bytes = ()
    count: int | None = None
    raw: int | None = None

    def payload(self) -> bytes:
        if isinstance(self.values, bytes):
            return self.values
        return b"".join(struct.pack("<" + _FORMATS[self.kind], value) for value in self.values)


GEO = (
    Tag(33550, DOUBLE, (PIXEL, PIXEL, 0.0)),
    Tag(33922, DOUBLE, (0.0, 0.0, 0.0, WEST, NORTH, 0.0)),
    Tag(34735, SHORT, (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32636)),
)


def tiff(
    *,
    width: int = 64,
    height: int = 64,
    bands: int = 1,
    bits: int = 8,
    compression: int = 1,
    tile: int | None = None,
    data: bytes | None = None,
    blocks: int = 1,
    extra: tuple[Tag, ...] = (),
    next_directory: int = 0,
) -> bytes:
    """Return a little-endian TIFF of one directory at byte 8, whose first block is ``data`` and others absent."""
    data = bytes(range(64)) * (width * height // 64) if data is None else data
    layout = [(322, tile), (323, tile)] if tile else [(278, height)]
    arrays = (324, 325) if tile else (273, 279)
    tags = {
        256: Tag(256, LONG, (width,)),
        257: Tag(257, LONG, (height,)),
        258: Tag(258, SHORT, (bits,) * bands),
        259: Tag(259, SHORT, (compression,)),
        262: Tag(262, SHORT, (1,)),
        277: Tag(277, SHORT, (bands,)),
        284: Tag(284, SHORT, (1,)),
        **{number: Tag(number, LONG, (value,)) for number, value in layout},
        **{number: Tag(number, LONG, bytes(4 * blocks)) for number in arrays},
        **{tag.number: tag for tag in (*GEO, *extra)},
    }
    ordered = [tags[number] for number in sorted(tags)]
    sizes = [len(tag.payload()) for tag in ordered]
    end = 8 + 2 + 12 * len(ordered) + 4
    start = end + sum(size for size in sizes if size > 4)
    first = {arrays[0]: start, arrays[1]: len(data)}
    directory, behind = struct.pack("<H", len(ordered)), b""
    for tag in ordered:
        payload = tag.payload()
        if tag.number in first and tag.raw is None and isinstance(tag.values, bytes):
            payload = struct.pack("<I", first[tag.number]) + payload[4:]
        unit = {SHORT: 2, LONG: 4, DOUBLE: 8}.get(tag.kind, 1)
        count = tag.count if tag.count is not None else len(payload) // unit
        if tag.raw is not None:
            place = struct.pack("<I", tag.raw)
        elif len(payload) <= 4:
            place = payload.ljust(4, b"\0")
        else:
            place = struct.pack("<I", end + len(behind))
            behind += payload
        directory += struct.pack("<HHI", tag.number, tag.kind, count) + place
    return b"II*\0\x08\0\0\0" + directory + struct.pack("<I", next_directory) + behind + data


def deflated_zeros(size: int) -> bytes:
    """Return a stream that unpacks to ``size`` zeros, a thousandth as long."""
    packer = zlib.compressobj(9)
    step = bytes(2**20)
    return b"".join(packer.compress(step) for _ in range(size // 2**20 + 1)) + packer.flush()


def vrt(band: str, *, dataset: str = "", kind: str = "") -> str:
    """Return a VRT on the place of the scene with this content of its only band."""
    return (
        f'<VRTDataset rasterXSize="64" rasterYSize="64"{kind}><SRS>EPSG:32636</SRS>'
        f"<GeoTransform>{WEST},{PIXEL},0,{NORTH},0,-{PIXEL}</GeoTransform>{dataset}"
        f'<VRTRasterBand dataType="Byte" band="1"{band}</VRTRasterBand></VRTDataset>'
    )


def raw_band(file: str, *, relative: int = 0) -> str:
    """Return a VRT that shows the bytes of any file as pixels."""
    return vrt(
        f' subClass="VRTRawRasterBand"><SourceFilename relativeToVRT="{relative}">{file}</SourceFilename>'
        "<ImageOffset>0</ImageOffset><PixelOffset>1</PixelOffset><LineOffset>64</LineOffset>"
    )


def source(file: str, *, relative: str = "0", tag: str = "SourceFilename") -> str:
    """Return a VRT that draws on another raster."""
    return vrt(
        f'><SimpleSource><{tag} relativeToVRT="{relative}">{file}</{tag}>'
        "<SourceBand>1</SourceBand></SimpleSource>"
    )


@dataclass
class Result:
    """What the process said about one case."""

    outcome: str
    text: str = ""
    is_ours: bool = False
    values: list[float] = field(default_factory=list)
    pixels_hold_canary: bool = False


def read_in_a_process_with_limits(
    cases: dict[str, dict[str, Any]], *, environment: dict[str, str] | None = None, timeout: float = 40.0
) -> tuple[dict[str, Result], str]:
    """Read each case; a case that ends the process is named ``died``, and the rest goes on in a new process.

    Returns
    -------
    tuple
        A result by case, and everything that the processes wrote.
    """
    results: dict[str, Result] = {}
    said = ""
    env = {**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})}
    while len(results) < len(cases):
        left = {name: case for name, case in cases.items() if name not in results}
        out, end = _run(json.dumps(left), env, timeout)
        said += out + end
        answers = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
        results |= {answer.pop("name"): Result(**answer) for answer in answers}
        unanswered = [name for name in left if name not in results]
        if unanswered:
            results[unanswered[0]] = Result("died", end[-2000:])
    return results, said


def _run(cases: str, environment: dict[str, str], timeout: float) -> tuple[str, str]:
    """Return what the process printed, and how it ended with what it complained of."""
    command = [sys.executable, "-m", "tests.hostile"]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=Path(__file__).parents[1],
    ) as process:
        try:
            out, complaints = process.communicate(cases, timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            out, complaints = process.communicate()
            complaints += f"no answer within {timeout:g} s"
        return out, f"exit {process.returncode}: {complaints}"


def _answer(case: dict[str, Any]) -> dict[str, Any]:
    import numpy as np
    import pandas as pd

    import eocausal as ec

    row, column = case.get("at", (20.0, 20.0))
    table = pd.DataFrame({"id": ["u"], "x": [WEST + PIXEL * column], "y": [NORTH - PIXEL * row]})
    units = ec.read_units(table, id="id", lon="x", lat="y", crs="EPSG:32636")
    try:
        chips = ec.chips(units, case["rasters"], **case.get("options", {"size_px": 8}))
        (batch,) = chips.batches()
    except Exception as error:  # noqa: BLE001 - the class is what is asked
        ours = isinstance(error, ec.errors.ImageryError)
        return {"outcome": type(error).__name__, "text": str(error), "is_ours": ours}
    (pixels,) = batch.pixels.values()
    shown = np.nan_to_num(pixels).clip(0, 255).astype("uint8").tobytes()
    values = [float(v) for v in np.unique(np.nan_to_num(pixels, nan=-1.0))[:100]]
    return {"outcome": "read", "values": values, "pixels_hold_canary": CANARY[:4].encode() in shown}


def main() -> None:
    """Read cases from standard input under limits of memory, time and size of files."""
    import resource

    for limit, value in (
        (resource.RLIMIT_AS, ADDRESS_SPACE),
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_FSIZE, FILE_SIZE),
    ):
        resource.setrlimit(limit, (value, value))
    for name, case in json.load(sys.stdin).items():
        print(json.dumps({"name": name, **_answer(case)}), flush=True)


if __name__ == "__main__":
    main()
