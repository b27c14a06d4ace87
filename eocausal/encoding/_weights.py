"""Weights of pretrained encoders: found in a folder or on the hub at one commit, and never unpickled.

Most are safetensors beside a ``config.json``. Where a checkpoint is one file of PyTorch, the specification names it
(``file``); such a file is opened with ``weights_only``, which reads tensors and refuses all else.
"""

from __future__ import annotations

import json
import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eocausal._io import hash_file
from eocausal.encoding._adapters import need
from eocausal.encoding.spec import EncoderSpec
from eocausal.errors import EncoderError, explain

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["find_weights", "hash_weights", "read_state", "weight_files"]

CONFIG, SINGLE, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
# nothing else is ever fetched: no code
_FETCHED = (CONFIG, SINGLE, INDEX, "model-*-of-*.safetensors")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".h5", ".msgpack")


def weight_files(spec: EncoderSpec, folder: Path) -> list[Path]:
    """Return the files that an encoder is loaded from: its one file, or configuration and safetensors."""
    if spec.file is None:
        return [folder / CONFIG, *_shards(folder)]
    beside = folder / CONFIG
    return [folder / spec.file, *([beside] if beside.is_file() else [])]


def read_state(path: Path, spec: EncoderSpec) -> dict[str, Tensor]:
    """Return the tensors of a file of weights by name: safetensors, or a checkpoint of PyTorch, read as data alone.

    Raises
    ------
    EncoderError
        When the file holds anything but tensors, or is broken.
    """
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            found: dict[str, Tensor] = load_file(path)
        except (SafetensorError, OSError) as cause:
            raise _unreadable(path, spec, cause) from cause
        return found
    return _tensors_of(_checkpoint(path, spec), path, spec)


def _checkpoint(path: Path, spec: EncoderSpec) -> Any:
    import pickle

    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as cause:
        text = f"{str(path)!r} of encoder {spec.name!r} holds more than tensors, and is not opened."
        rule = "a checkpoint is read as data: opening anything else could run what is in it"
        raise EncoderError(
            explain(text, rule=rule, fix="save its state_dict() alone, where you trust it")
        ) from cause
    except (OSError, RuntimeError, ValueError, EOFError) as cause:
        raise _unreadable(path, spec, cause) from cause


def _tensors_of(content: Any, path: Path, spec: EncoderSpec) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint, which may lie one level down beside notes about training."""
    import torch

    for inner in ("state_dict", "model", "teacher"):
        if isinstance(content, dict) and isinstance(content.get(inner), dict):
            content = content[inner]
    if not isinstance(content, dict) or not content:
        raise _unreadable(path, spec, ValueError("it is no table of tensors"))
    # some checkpoints hold one table for each part of the network
    parts = {f"{part}.": inner for part, inner in content.items() if isinstance(inner, dict)}
    return {
        f"{part}{name}": one
        for part, table in {"": content, **parts}.items()
        for name, one in table.items()
        if isinstance(one, torch.Tensor)
    }


def _unreadable(path: Path, spec: EncoderSpec, cause: Exception) -> EncoderError:
    text = f"{str(path)!r} of encoder {spec.name!r} cannot be read: {str(cause)[:200]}"
    return EncoderError(explain(text, fix="fetch the file again"))


def find_weights(
    spec: EncoderSpec,
    *,
    weights: str | Path | None = None,
    revision: str | None = None,
    download: bool = True,
) -> Path:
    """Return the folder that holds ``config.json`` and safetensors, from disk or from the hub.

    Parameters
    ----------
    spec : EncoderSpec
    weights : str or Path, optional
        A folder; nothing is fetched then.
    revision : str, optional
        Commit on the hub, instead of the specification's own.
    download : bool
        Whether files that are not in the hub's cache may be fetched.
    """
    folder = weights if weights is not None else (None if revision is not None else spec.weights)
    found = Path(folder) if folder is not None else _from_hub(spec, revision or spec.revision, download)
    _check_folder(found, spec)
    return found


def hash_weights(spec: EncoderSpec, folder: Path) -> dict[str, str]:
    """Return the SHA-256 of the configuration and of every file of weights, by name."""
    return {path.name: _hash(str(path.resolve()), *_stamp(path)) for path in weight_files(spec, folder)}


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


@lru_cache(maxsize=256)
def _hash(path: str, size: int, changed: int) -> str:
    return hash_file(path)


def _from_hub(spec: EncoderSpec, revision: str | None, download: bool) -> Path:
    if spec.hub_id is None:
        text = f"The specification of {spec.name!r} names neither weights nor a hub_id."
        raise EncoderError(explain(text, fix="weights: folder, beside the YAML file"))
    if revision is None:
        raise EncoderError(
            explain(
                f"No commit of {spec.hub_id!r} is pinned for encoder {spec.name!r}.",
                rule="weights are taken from one commit, so that vectors can be made again",
                fix=f'ec.Pretrained({spec.name!r}, revision="<40 digits, from the hub>"), or weights="<folder>"',
            )
        )
    need("huggingface_hub", "huggingface_hub")
    kept = _snapshot(spec, revision, fetch=False)
    # a commit never changes: what the cache holds whole needs no look at the hub
    if isinstance(kept, Path) and _is_whole(spec, kept):
        return kept
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON")
    if not download or offline:
        text = f"{spec.hub_id!r} at {revision[:12]} is not in the hub's cache on this machine."
        raise EncoderError(explain(text, rule="nothing may be fetched (download=False or HF_HUB_OFFLINE)"))
    found = _snapshot(spec, revision, fetch=True)
    if isinstance(found, Path):
        return found
    gated = " It is gated: accept its terms on the hub and log in with `hf auth login`." if spec.gated else ""
    why = (str(found).splitlines() or [""])[0][:200]
    raise EncoderError(
        explain(
            f"{spec.hub_id!r} at {revision[:12]} could not be fetched ({type(found).__name__}: {why}).{gated}",
            fix=f'fetch it elsewhere and pass ec.Pretrained({spec.name!r}, weights="<folder>")',
        )
    ) from found


def _snapshot(spec: EncoderSpec, revision: str, *, fetch: bool) -> Path | Exception:
    """Return the folder of a commit in the hub's cache, or why there is none."""
    from huggingface_hub import snapshot_download

    wanted = list(_FETCHED) if spec.file is None else [CONFIG, spec.file]
    try:
        found = snapshot_download(
            str(spec.hub_id), revision=revision, allow_patterns=wanted, local_files_only=not fetch
        )
    except (OSError, ValueError, RuntimeError) as cause:
        return cause
    return Path(found)


def _is_whole(spec: EncoderSpec, folder: Path) -> bool:
    if spec.file is not None:
        return (folder / spec.file).is_file()
    if not (folder / CONFIG).is_file():
        return False
    if (folder / SINGLE).is_file():
        return True
    if not (folder / INDEX).is_file():
        return False
    return all((folder / Path(name).name).is_file() for name in _named_in_index(folder))


def _check_folder(folder: Path, spec: EncoderSpec) -> None:
    if spec.file is not None:
        _check_file(folder, spec)
        return
    if folder.is_file() or folder.suffix in _PICKLES:
        text = f"weights={str(folder)!r} is not a folder."
        raise EncoderError(explain(text, rule=f"a folder with {CONFIG} and {SINGLE}", fix=_convert(spec)))
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if CONFIG in names and (SINGLE in names or INDEX in names):
        return
    pickles = [name for name in names if name.endswith(_PICKLES)]
    what = f"{str(folder)!r} holds no {CONFIG if CONFIG not in names else SINGLE} for encoder {spec.name!r}."
    if not folder.is_dir():
        what = f"There is no folder {str(folder)!r} with weights for encoder {spec.name!r}."
    raise EncoderError(
        explain(
            what,
            where=pickles,
            rule="weights are read from safetensors only: opening a pickle runs what is in it"
            if pickles
            else f"a folder with {CONFIG} and {SINGLE}",
            fix=_convert(spec),
        )
    )


def _check_file(folder: Path, spec: EncoderSpec) -> None:
    if (folder / str(spec.file)).is_file():
        return
    text = f"The folder {str(folder)!r} does not hold {spec.file!r}, the weights of encoder {spec.name!r}."
    fix = f"fetch it from {spec.hub_id} on the hub" if spec.hub_id else "name the file that is there as file:"
    raise EncoderError(explain(text, rule="weights= is the folder of that file", fix=fix))


def _convert(spec: EncoderSpec) -> str:
    name = spec.hub_id or "<model>"
    return (
        f'AutoModel.from_pretrained("{name}").save_pretrained("<folder>"), once, where you trust its files; '
        'then weights="<folder>"'
    )


def _shards(folder: Path) -> list[Path]:
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    named = _named_in_index(folder)
    wrong = [
        name
        for name in named
        if Path(name).name != name or not name.endswith(".safetensors") or not (folder / name).is_file()
    ]
    if wrong or not named:
        text = f"{INDEX} in {str(folder)!r} names files that are not there."
        raise EncoderError(explain(text, where=wrong, fix="fetch the folder again"))
    return [folder / INDEX, *(folder / name for name in named)]


def _named_in_index(folder: Path) -> list[str]:
    """Return the files that an index of shards names, or say that it is none."""
    try:
        named = json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values()
        return sorted({Path(name).as_posix() for name in named})
    except (ValueError, KeyError, TypeError, AttributeError) as cause:
        text = f"{INDEX} in {str(folder)!r} is not an index of files of weights."
        raise EncoderError(explain(text, fix="fetch the folder again")) from cause
