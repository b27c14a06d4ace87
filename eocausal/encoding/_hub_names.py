"""Names such as ``hf:facebook/dinov2-large``: a network without what it reads, and the lines that say it.

Bands, their unit and scaling cannot be told from the name of a network, and wrong ones give vectors without
meaning. So such a name is answered with the YAML file to write, filled in as far as files of the network that lie
in the hub's cache on this machine tell. Nothing is fetched.
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from eocausal.encoding._transformers import FAMILIES, VIDEO, family_of
from eocausal.errors import EncoderError, explain

if TYPE_CHECKING:
    from eocausal.encoding.spec import EncoderSpec

__all__ = ["HUB", "hub_file", "refuse_hub_name"]

HUB = "hf:"
_WORD = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
_NAME = re.compile(rf"(?P<id>{_WORD}(/{_WORD})?)(@(?P<commit>[0-9a-f]{{40}}))?")
_CONFIG, _PROCESSOR = "config.json", "preprocessor_config.json"


def hub_file(name: str, known: Iterable[EncoderSpec]) -> str:
    """Return the YAML file to write for a name on the hub, with empty fields for what is not known.

    Parameters
    ----------
    name : str
        Such as ``hf:facebook/dinov2-large``, or with a commit, ``hf:facebook/dinov2-large@<40 digits>``.
    known : iterable of EncoderSpec
        Encoders that have a name already.

    Raises
    ------
    EncoderError
        When it is no name on the hub, or an encoder has it already.
    """
    hub_id, commit = _parts(name)
    same = [spec.name for spec in known if spec.hub_id == hub_id]
    if same:
        revision = f", revision={commit!r}" if commit else ""
        fix = f"ec.Pretrained({same[0]!r}{revision})"
        raise EncoderError(explain(f"{hub_id!r} is an encoder of the catalogue, {same[0]!r}.", fix=fix))
    return _lines(hub_id, commit)


def refuse_hub_name(name: str, known: Iterable[EncoderSpec]) -> NoReturn:
    """Raise EncoderError for a name on the hub, with the file to write."""
    lines = hub_file(name, known)
    hub_id, _ = _parts(name)
    file = f"{_short(hub_id)}.yaml"
    text = explain(
        f"{hub_id!r} is the name of a network, which does not say what the network reads.",
        rule="bands, unit and scaling are written down: wrong ones give vectors without meaning",
        fix=f'put these lines into {file}, fill in what is empty, and use it: ec.Pretrained("{file}")',
    )
    raise EncoderError(f"{text}\n\n{lines}")


def _parts(name: str) -> tuple[str, str | None]:
    found = _NAME.fullmatch(name.removeprefix(HUB))
    if found is None:
        rule = "hf:<owner>/<model>, or hf:<owner>/<model>@<commit, 40 digits>"
        raise EncoderError(
            explain(f"encoder={name[:80]!r} is not the name of a network on the hub.", rule=rule)
        )
    return str(found["id"]), found["commit"]


def _lines(hub_id: str, commit: str | None) -> str:
    """Return the YAML file of a network on the hub: what its cached files tell, and empty fields for the rest."""
    folder = _cached(hub_id, commit)
    about, processor = _read(folder, _CONFIG), _read(folder, _PROCESSOR)
    if commit is None and folder is not None and re.fullmatch(r"[0-9a-f]{40}", folder.name):
        commit = folder.name
    network = _network_lines(about)
    lines = [
        "spec_version: 1",
        f"name: {_short(hub_id)}",
        f"title: {hub_id}",
        "library: transformers",
        network[0],
        f"hub_id: {hub_id}",
        _line("revision", commit, "commit on the hub, 40 digits"),
        _line("licence", None, "of the weights"),
        _line("commercial_ok", None, "true or false: whether the licence clearly allows commercial use"),
        *_band_lines(about),
        *_scaling_lines(processor),
        *network[1:],
        _line("citation", None, "whom to cite"),
    ]
    return "\n".join(lines) + "\n"


def _network_lines(about: Mapping[str, Any]) -> list[str]:
    """Return family, size, dates, pooling and length."""
    family = family_of(str(about.get("model_type")))
    pools = list(FAMILIES.get(family, ()))
    dim = about.get("hidden_size")
    if family == "clip":
        # the projection is of another length than tokens, and pictures that are alone have no other part
        pools, dim = ["projected"], about.get("projection_dim")
    size = about.get("vision_config", about).get("image_size")
    return [
        _line("loader", family if pools else None, f"one of {', '.join(FAMILIES)}"),
        _line("native_px", size if isinstance(size, int) else None, "pixels a side that it reads"),
        *(_frame_lines(about) if family in VIDEO else []),
        _line("pooling", f"[{', '.join(pools)}]" if pools else None, "[cls], [mean] or [projected]"),
        _line("dim", dim, "numbers in the vector"),
    ]


def _frame_lines(about: Mapping[str, Any]) -> list[str]:
    step = about.get("tubelet_size")
    return [
        _line("frames_min", step, "fewest dates"),
        _line("frames_max", about.get("num_frames"), "most dates"),
        _line("frames_step", step, "dates that it reads at a time"),
    ]


def _band_lines(about: Mapping[str, Any]) -> list[str]:
    """Return an empty line for each band: a configuration counts them, and does not say which is which."""
    count = about.get("vision_config", about).get("num_channels", 3)
    head = "bands:                  # in the order of the network, such as {name: B04, common_name: red}"
    return [head, *["  - {name: , common_name: }"] * count]


def _scaling_lines(processor: Mapping[str, Any]) -> list[str]:
    """Return unit and steps of scaling where the network's own processor says them."""
    mean, std = processor.get("image_mean"), processor.get("image_std")
    shares = (
        processor.get("do_rescale", True) and abs(processor.get("rescale_factor", 1 / 255) * 255 - 1) < 1e-3
    )
    if not mean or not std or not shares:
        return [_line("pixel_unit", None, "such as uint8, reflectance"), _line("scaling", None, "steps")]
    z = f"  - z: {{mean: {json.dumps(mean)}, std: {json.dumps(std)}}}"
    return ["pixel_unit: uint8", "scaling:", "  - divide: 255", z]


def _line(field: str, value: object, words: str) -> str:
    return f"{field}: {value}" if value is not None else f"{field + ':':<24}# {words}"


def _short(hub_id: str) -> str:
    return re.sub(r"[^a-z0-9._-]", "-", hub_id.split("/")[-1].lower()).lstrip("._-") or "encoder"


def _cached(hub_id: str, commit: str | None) -> Path | None:
    """Return the folder of a network in the hub's cache, None where there is none."""
    if importlib.util.find_spec("huggingface_hub") is None:
        return None
    from huggingface_hub import try_to_load_from_cache

    try:
        found = try_to_load_from_cache(hub_id, _CONFIG, revision=commit)
    except ValueError:  # a name that the hub would not give
        return None
    return Path(found).parent if isinstance(found, str) else None


def _read(folder: Path | None, name: str) -> dict[str, Any]:
    if folder is None or not (folder / name).is_file():
        return {}
    try:
        content = json.loads((folder / name).read_text(encoding="utf-8"))
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
