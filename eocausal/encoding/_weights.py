"""Weights of pretrained encoders: found in a folder or on the hub at one commit, safetensors and nothing else."""

from __future__ import annotations

import json
import os
from functools import lru_cache
from pathlib import Path

from eocausal._io import hash_file
from eocausal.encoding.spec import EncoderSpec
from eocausal.errors import EncoderError, explain

__all__ = ["INSTALL", "find_weights", "hash_weights", "need"]

INSTALL = 'pip install "eocausal[encoders]"'
CONFIG, SINGLE, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
# nothing else is ever fetched: no pickles, no code
_FETCHED = (CONFIG, SINGLE, INDEX, "model-*-of-*.safetensors")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".h5", ".msgpack")


def need(library: str) -> None:
    """Raise EncoderError with the line that installs it unless a library can be imported."""
    import importlib.util

    if importlib.util.find_spec(library) is None:
        text = f"Encoders of transformers need {library}, which is not installed."
        raise EncoderError(explain(text, fix=INSTALL))


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


def hash_weights(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of the configuration and of every file of weights, by name."""
    return {
        path.name: _hash(str(path.resolve()), *_stamp(path)) for path in [folder / CONFIG, *_shards(folder)]
    }


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
    need("huggingface_hub")
    kept = _snapshot(spec, revision, fetch=False)
    # a commit never changes: what the cache holds whole needs no look at the hub
    if isinstance(kept, Path) and _is_whole(kept):
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

    try:
        found = snapshot_download(
            str(spec.hub_id), revision=revision, allow_patterns=list(_FETCHED), local_files_only=not fetch
        )
    except (OSError, ValueError, RuntimeError) as cause:
        return cause
    return Path(found)


def _is_whole(folder: Path) -> bool:
    if not (folder / CONFIG).is_file():
        return False
    if (folder / SINGLE).is_file():
        return True
    if not (folder / INDEX).is_file():
        return False
    named = json.loads((folder / INDEX).read_text(encoding="utf-8")).get("weight_map", {})
    return all((folder / Path(name).name).is_file() for name in named.values())


def _check_folder(folder: Path, spec: EncoderSpec) -> None:
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


def _convert(spec: EncoderSpec) -> str:
    name = spec.hub_id or "<model>"
    return (
        f'AutoModel.from_pretrained("{name}").save_pretrained("<folder>"), once, where you trust its files; '
        'then weights="<folder>"'
    )


def _shards(folder: Path) -> list[Path]:
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    named = sorted(set(index.get("weight_map", {}).values()))
    wrong = [
        name
        for name in named
        if Path(name).name != name or not name.endswith(".safetensors") or not (folder / name).is_file()
    ]
    if wrong or not named:
        text = f"{INDEX} in {str(folder)!r} names files that are not there."
        raise EncoderError(explain(text, where=wrong, fix="fetch the folder again"))
    return [folder / INDEX, *(folder / name for name in named)]
