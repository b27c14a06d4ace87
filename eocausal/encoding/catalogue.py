"""Encoders that can be asked for by name: specifications of the package, of plug-ins, or in a file."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd

from eocausal._checks import nearest, whole_number
from eocausal.encoding._adapters import INSTALL, adapter_of, lacks_python
from eocausal.encoding._bands import check_sensor, common_names
from eocausal.encoding._hub_names import HUB, refuse_hub_name
from eocausal.encoding.spec import EncoderSpec, parse_spec, read_spec
from eocausal.errors import EncoderError, explain

__all__ = [
    "CATALOGUE", "GROUP", "all_specs", "catalogue_names", "encoder_markdown", "encoders", "find_spec",
    "is_path", "plug_in", "refuse_planned", "why_not",
]  # fmt: skip

CATALOGUE = Path(__file__).parent / "catalog"
GROUP = "eocausal.encoders"
"""Entry points of this group add encoders: an ``EncoderSpec``, the path of a YAML file, or a configuration."""


def catalogue_names() -> tuple[str, ...]:
    """Return the names of all encoders that come with the package, in order of the alphabet."""
    return tuple(sorted(path.stem for path in CATALOGUE.glob("*.yaml")))


def is_path(name: str) -> bool:
    """Whether the name of an encoder is the path of a YAML file."""
    return name.lower().endswith((".yaml", ".yml"))


def find_spec(name: str) -> EncoderSpec:
    """Return the specification of an encoder by name or by the path of its YAML file.

    Raises
    ------
    EncoderError
        When the name is not known, with the nearest one; for a name on the hub, such as
        ``hf:facebook/dinov2-large``, with the file to write.
    SpecError
        When the file has mistakes.

    Examples
    --------
    >>> find_spec("dinov2-base").licence
    'Apache-2.0'
    """
    if name.startswith(HUB):
        refuse_hub_name(name, all_specs())
    if is_path(name):
        return read_spec(name)
    if name in catalogue_names():
        return _of_package(name)
    added = plug_in(name)
    if isinstance(added, EncoderSpec):
        return added
    if added is not None:
        raise EncoderError(explain(f"Encoder {name!r} is a configuration of its own, without specification."))
    raise unknown(name)


def unknown(name: str) -> EncoderError:
    """Return the error for a name that nobody knows."""
    names = [*catalogue_names(), *(point.name for point in metadata.entry_points(group=GROUP))]
    near, begin = nearest(name, names), [one for one in names if name and one.startswith(name.lower())]
    fix = f"ec.encoders() lists all {len(names)}; built in are image_stats, pixel_mean, rcf."
    if near is not None:
        fix = f"Did you mean {near!r}? {fix}"
    elif begin:
        fix = f"Choose from {', '.join(begin)}. {fix}"
    return EncoderError(explain(f"encoder={name[:80]!r} is not known.", fix=fix))


def plug_in(name: str) -> Any:
    """Return what an installed package adds under a name; a path of YAML is read. None where there is none."""
    found = [point for point in metadata.entry_points(group=GROUP) if point.name == name]
    if not found:
        return None
    try:
        added = found[0].load()
    except (ImportError, AttributeError) as cause:
        text = f"Encoder {name!r} of {found[0].value!r} cannot be loaded: {cause!s}."
        raise EncoderError(explain(text, rule=f"an entry point of the group {GROUP!r}")) from cause
    return read_spec(added) if isinstance(added, str | Path) else added


def all_specs() -> tuple[EncoderSpec, ...]:
    """Return all specifications that come with the package or with plug-ins."""
    own = [_of_package(name) for name in catalogue_names()]
    names = [point.name for point in metadata.entry_points(group=GROUP)]
    added = [plug_in(name) for name in names if name not in catalogue_names()]
    return (*own, *(one for one in added if isinstance(one, EncoderSpec)))


def why_not(spec: EncoderSpec) -> str:
    """Return why an encoder cannot be loaded here, empty where it can.

    Examples
    --------
    >>> why_not(find_spec("satclip-l10")), why_not(find_spec("galileo-tiny"))
    ('coordinates, not imagery', 'no library')
    """
    if _sees_coordinates(spec):
        return "coordinates, not imagery"
    if lacks_python(spec):
        return lacks_python(spec)
    if spec.status == "planned":
        return "no library" if spec.library == "other" else "planned"
    if spec.library != "eocausal" and importlib.util.find_spec(adapter_of(spec).module) is None:
        return INSTALL[spec.library]
    return ""


def refuse_planned(spec: EncoderSpec) -> None:
    """Raise EncoderError for an encoder that cannot be loaded, whatever is installed: with the reason."""
    listed = "ec.encoders(loadable=True) lists what can be loaded"
    elsewhere = "make its vectors with that library and join them: ec.read_embeddings(table, ...)"
    if _sees_coordinates(spec):
        text = f"Encoder {spec.name!r} sees coordinates, not imagery: it has no vector for a picture."
        rule = "it is a function of longitude and latitude alone, and can find a place again"
        raise EncoderError(explain(text, rule=rule, fix=elsewhere))
    if lacks_python(spec):
        here = ".".join(map(str, sys.version_info[:2]))
        text = f"Encoder {spec.name!r} {lacks_python(spec)}, and this is {here}."
        raise EncoderError(explain(text, rule=listed, fix=elsewhere))
    if spec.status == "planned":
        through = (
            "no library that is kept up to date holds it"
            if spec.library == "other"
            else f"its loader, through {spec.library}, is not written yet"
        )
        raise EncoderError(
            explain(f"Encoder {spec.name!r} is planned: {through}.", rule=listed, fix=elsewhere)
        )


def _sees_coordinates(spec: EncoderSpec) -> bool:
    return spec.sensors == ("coordinates",)


def encoders(
    bands: str | Iterable[str] | None = None,
    *,
    sensor: str | None = None,
    commercial_ok: bool | None = None,
    loadable: bool | None = None,
    max_dim: int | None = None,
) -> pd.DataFrame:
    """Return the encoders that can be asked for by name, one row each.

    Parameters
    ----------
    bands : str or list of str, optional
        Bands that there are, by common name or as files call them, or a sensor that has them (``"landsat"``,
        ``"sentinel-2"``): encoders that need others are left out.
    sensor : str, optional
        Only encoders that were trained on this sensor; the beginning of a name is enough.
    commercial_ok : bool, optional
        Whether the licence must clearly allow commercial use.
    loadable : bool, optional
        Only encoders that can be loaded here today (True), or that cannot (False).
    max_dim : int, optional
        Largest length of a vector; encoders whose length depends on settings stay.

    Returns
    -------
    pandas.DataFrame
        ``name title library loadable why_not dim bands pixel_unit native_px native_gsd_m frames pool params_m
        licence commercial_ok gated use_restrictions sensors outcome_proxy pinned``.

    Raises
    ------
    EncoderError
        When a sensor is not known or ``max_dim`` is not a whole number.

    Examples
    --------
    >>> encoders("landsat", commercial_ok=True, loadable=True, max_dim=384)["name"].tolist()
    ['image_stats', 'pixel_mean', 'rcf']
    """
    if max_dim is not None:
        whole_number(max_dim, argument="max_dim", error=EncoderError, least=1)
    there = None if bands is None else common_names(bands)
    if sensor is not None and not any(name.startswith(sensor) for name in _known_sensors()):
        check_sensor(sensor)
    rows = [
        _row(spec)
        for spec in all_specs()
        if (there is None or spec.common_names is None or set(spec.common_names) <= there)
        and (sensor is None or any(one.startswith(sensor) for one in spec.sensors))
        and (commercial_ok is None or spec.commercial_ok == commercial_ok)
        and (loadable is None or (why_not(spec) == "") == loadable)
        and (max_dim is None or spec.dim is None or spec.dim <= max_dim)
    ]
    return pd.DataFrame(rows, columns=list(_row(all_specs()[0])))


def encoder_markdown() -> str:
    """Return the encoders of the package as a table in Markdown.

    Examples
    --------
    >>> print(encoder_markdown().splitlines()[0])
    | name | what it is | through | bands | numbers | pixels | licence | today |
    """
    rows = ["| name | what it is | through | bands | numbers | pixels | licence | today |"]
    rows.append("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in catalogue_names():
        spec = _of_package(name)
        limits = "" if spec.commercial_ok else " (not clearly for commercial use)"
        cells = [
            f"`{name}`", spec.title, spec.library, _bands_in_words(spec),
            "by settings" if spec.dim is None else f"{spec.dim:,}", str(spec.native_px or "any"),
            f"{spec.licence}{limits}{', gated' if spec.gated else ''}", _in_general(spec),
        ]  # fmt: skip
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def _in_general(spec: EncoderSpec) -> str:
    """Return whether an encoder can be loaded where its library is installed, or why not."""
    if _sees_coordinates(spec):
        return "not for pictures"
    if spec.status == "planned":
        return "no library" if spec.library == "other" else f"planned, Python {spec.python or 'any'}"
    return "ready"


@lru_cache(maxsize=256)
def _of_package(name: str) -> EncoderSpec:
    path = CATALOGUE / f"{name}.yaml"
    return parse_spec(path.read_text(encoding="utf-8"), path)


def _known_sensors() -> set[str]:
    return {sensor for spec in all_specs() for sensor in spec.sensors}


def _bands_in_words(spec: EncoderSpec) -> str:
    names = spec.common_names
    if names is None:
        return "any"
    return (
        "RGB" if names == ("red", "green", "blue") else " ".join(names) if len(names) < 5 else f"{len(names)}"
    )


def _row(spec: EncoderSpec) -> dict[str, Any]:
    near = (*spec.outcome_proxy_inputs, *spec.outcome_proxy_targets)
    why = why_not(spec)
    return {
        "name": spec.name,
        "title": spec.title,
        "library": spec.library,
        "loadable": why == "",
        "why_not": why,
        "dim": spec.dim if spec.dim is not None else pd.NA,
        "bands": "any" if spec.common_names is None else " ".join(spec.common_names),
        "pixel_unit": spec.pixel_unit,
        "native_px": spec.native_px if spec.native_px is not None else pd.NA,
        "native_gsd_m": None
        if spec.native_gsd_m is None
        else "-".join(f"{one:g}" for one in spec.native_gsd_m),
        "frames": f"{spec.frames_min}-{spec.frames_max}" if spec.frames_max > 1 else "1",
        "pool": spec.pool,
        "params_m": spec.params_m,
        "licence": spec.licence,
        "commercial_ok": spec.commercial_ok,
        "gated": spec.gated,
        "use_restrictions": spec.use_restrictions or "",
        "sensors": " ".join(spec.sensors),
        "outcome_proxy": ", ".join(near),
        "pinned": spec.library == "eocausal" or spec.revision is not None,
    }
