"""Pretrained encoders whose networks are in the library transformers, by name, by specification or by path."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eocausal._checks import one_of
from eocausal.encoding._prepare import Preparation, prepare
from eocausal.encoding._weights import CONFIG, find_weights, hash_weights, need
from eocausal.encoding._windows import mean_over_dates
from eocausal.encoding.catalogue import find_spec
from eocausal.encoding.protocol import ChipSource, Keys, Mask, Pixels, State, check_input
from eocausal.encoding.spec import EncoderSpec
from eocausal.errors import EncoderError, explain

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["FAMILIES", "FittedPretrained", "Pretrained"]

_DTYPES = ("float32", "bfloat16")
# Pictures in one pass. On a CPU each goes alone: a product for several may add in another order, so that a vector
# would depend on its neighbours, and one picture fills a core already.
_AT_ONCE = {"cpu": 1, "cuda": 64}


def _tokens_after(skipped: Callable[[Any], int]) -> Callable[[Any, Any], Tensor]:
    """Return the mean over tokens of the picture, without the first ``skipped`` (class and registers)."""

    def mean(output: Any, config: Any) -> Tensor:
        tokens: Tensor = output.last_hidden_state[:, skipped(config) :].mean(dim=1)
        return tokens

    return mean


def _first_token(output: Any, config: Any) -> Tensor:
    token: Tensor = output.last_hidden_state[:, 0]
    return token


def _pooler(output: Any, config: Any) -> Tensor:
    pooled: Tensor = output.pooler_output
    return pooled


def _projected(output: Any, config: Any) -> Tensor:
    projected: Tensor = output.image_embeds
    return projected


@dataclass(frozen=True)
class _Pool:
    """How a vector is made: by which class of the library, built how, from which output.

    ``carried`` are settings that stand in the configuration of the whole network and not in that of its part.
    """

    model: str
    vector: Callable[[Any, Any], Tensor]
    build: Mapping[str, Any] = field(default_factory=dict)
    carried: tuple[str, ...] = ()


def _family(model: str, skipped: Callable[[Any], int], **build: Any) -> dict[str, _Pool]:
    return {
        "cls": _Pool(model, _first_token, build),
        "mean": _Pool(model, _tokens_after(skipped), build),
    }


def _one(config: Any) -> int:
    return 1


def _registers(config: Any) -> int:
    return 1 + int(config.num_register_tokens)


def _none(config: Any) -> int:
    return 0


FAMILIES: Mapping[str, Mapping[str, _Pool]] = MappingProxyType(
    {
        "clip": {
            "projected": _Pool("CLIPVisionModelWithProjection", _projected, carried=("projection_dim",)),
            "cls": _Pool("CLIPVisionModel", _pooler),
            "mean": _Pool("CLIPVisionModel", _tokens_after(_one)),
        },
        "vit": _family("ViTModel", _one, add_pooling_layer=False),
        "dinov2": _family("Dinov2Model", _one),
        "dinov2_with_registers": _family("Dinov2WithRegistersModel", _registers),
        "dinov3_vit": _family("DINOv3ViTModel", _registers),
        "swin": {"mean": _Pool("SwinModel", _tokens_after(_none), {"add_pooling_layer": False})},
        "swinv2": {"mean": _Pool("Swinv2Model", _tokens_after(_none), {"add_pooling_layer": False})},
    }
)
"""Families of networks by the name that transformers gives their configuration, and how each is pooled."""

# Named here, because a configuration may name a kernel on the hub, which is code; and vectors must not depend on
# what a version of the library takes by default.
_ATTENTION = {"swin": "eager", "swinv2": "eager"}

# a checkpoint of text and pictures says so, one of pictures alone is of this kind
_SAME_FAMILY = {"clip_vision_model": "clip"}


@dataclass(frozen=True)
class Pretrained:
    """A pretrained encoder of transformers: a published network with exactly its own preprocessing.

    Bands are picked by name, converted to the unit of the encoder by published formulas, brought to its size
    without what is not valid, and scaled as its specification says; pixels that are not valid become the mean of
    their band. Nothing is learned from chips. With several dates the vectors of dates that show anything are
    averaged. Weights are read from safetensors, from a folder or from one commit on the Hugging Face Hub; pickles
    and code from the hub are never opened. It needs ``pip install "eocausal[encoders]"``.

    Parameters
    ----------
    encoder : str or EncoderSpec
        A name of :func:`encoders`, such as ``"clip-rsicd-v2"``, or the path of a YAML file.
    pool : str, optional
        ``"cls"`` (the class token), ``"mean"`` (of the tokens of the picture) or ``"projected"`` (CLIP: where
        pictures meet text); default the encoder's own.
    dtype : {"float32", "bfloat16"}
        Precision of the network. Vectors are float32 either way.
    bands : mapping, optional
        Bands of the encoder to names of bands of the chips, where names do not tell: ``{"red": "SR_B3"}``.
    white : float, optional
        Reflectance that is white, for encoders of pictures (0 to 255) and chips of reflectance; 0 is black.
    weights : str or Path, optional
        Folder with ``config.json`` and ``model.safetensors``, instead of the hub.
    revision : str, optional
        Commit on the hub, instead of the one that is pinned.
    download : bool
        Whether weights that are not in the hub's cache on this machine may be fetched.

    Raises
    ------
    EncoderError
        When the encoder is not known or not one of transformers, or a setting is out of range.

    Examples
    --------
    >>> encoder = Pretrained("vit-base-in21k", white=0.3)
    >>> encoder.spec.dim, encoder.spec.licence
    (768, 'Apache-2.0')
    """

    encoder: str | EncoderSpec
    _: KW_ONLY
    pool: str | None = None
    dtype: str = "float32"
    bands: Mapping[str, str] | None = field(default=None, hash=False)
    white: float | None = None
    weights: str | Path | None = None
    revision: str | None = None
    download: bool = True
    spec: EncoderSpec = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        spec = self.encoder if isinstance(self.encoder, EncoderSpec) else find_spec(self.encoder)
        object.__setattr__(self, "spec", spec)
        _check_loadable(spec)
        one_of(self.pool or spec.pool, spec.pooling, argument="pool", error=EncoderError)
        one_of(self.dtype, _DTYPES, argument="dtype", error=EncoderError)
        if self.bands is not None:
            object.__setattr__(self, "bands", MappingProxyType(dict(self.bands)))
        if self.white is not None and (isinstance(self.white, bool) or not 0 < float(self.white) <= 2):
            rule = "a reflectance above 0 and at most 2, such as 0.3"
            raise EncoderError(explain(f"white={self.white!r} cannot be used.", rule=rule))

    @property
    def name(self) -> str:
        """Name in the registry, and first part of names of columns."""
        return self.spec.name

    def recipe(self) -> dict[str, Any]:
        """Return all that determines vectors: specification, settings, hashes of weights, versions."""
        need("transformers")
        return {
            "encoder": self.name,
            "spec": self.spec.hash(),
            "hub_id": self.spec.hub_id,
            "weights": hash_weights(self._folder()),
            "pool": self.pool or self.spec.pool,
            "dtype": self.dtype,
            "bands": None if self.bands is None else dict(self.bands),
            "white": None if self.white is None else float(self.white),
            "versions": {one: metadata.version(one) for one in ("transformers", "torch", "safetensors")},
        }

    def fit(self, chips: ChipSource, *, keys: Keys | None = None, device: str = "cpu") -> FittedPretrained:
        """Return the encoder for chips with these bands and unit; nothing is learned."""
        prepared = prepare(self.spec, chips, bands=self.bands, white=self.white)
        return FittedPretrained(self, prepared, *_load(self, device), device)

    def restore(self, state: State, *, chips: ChipSource, device: str = "cpu") -> FittedPretrained:
        """Return the encoder for these chips; there is no state."""
        return self.fit(chips, device=device)

    def _folder(self) -> Path:
        return find_weights(
            self.spec, weights=self.weights, revision=self.revision, download=bool(self.download)
        )


@dataclass(frozen=True, eq=False)
class FittedPretrained:
    """A pretrained network that is loaded, for chips with known bands and unit."""

    config: Pretrained
    prepared: Preparation
    network: Any
    vector: Callable[[Any, Any], Tensor]
    device: str = "cpu"

    def columns(self, block: str) -> tuple[str, ...]:
        """Return names such as ``clip-rsicd-v2_960m_000``."""
        count = int(self.config.spec.dim or 0)
        digits = max(3, len(str(count - 1)))
        return tuple(f"{self.config.name}_{block}_{i:0{digits}d}" for i in range(count))

    def state(self) -> State:
        """Return nothing: nothing is learned."""
        return {}

    def encode(self, pixels: Pixels, mask: Mask, block: str) -> npt.NDArray[np.float32]:
        """Return the vector of each chip, shape (n, dim); NaN where no date shows anything."""
        check_input(pixels, mask, bands=self.prepared.bands, encoder=self.config.name)
        width = int(self.config.spec.dim or 0)
        step = _AT_ONCE[self.device.split(":")[0]]
        rows: list[npt.NDArray[np.float64]] = []
        for start in range(0, len(pixels), step):
            some = slice(start, start + step)
            pictures, valid = self.prepared.frames(pixels[some], mask[some])
            seen = np.asarray(valid.any(axis=(2, 3)), dtype=bool)
            vectors = iter(self._vectors(pictures[seen]))
            for dates in seen:
                rows.append(mean_over_dates([next(vectors) if one else None for one in dates], width))
        return np.asarray(rows, dtype=np.float32).reshape(len(pixels), width)

    def _vectors(self, pictures: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Return the vector of each picture, (n, bands, px, px) to (n, dim)."""
        import torch

        step = _AT_ONCE[self.device.split(":")[0]]
        made = []
        with torch.inference_mode():
            for start in range(0, len(pictures), step):
                some = torch.from_numpy(np.ascontiguousarray(pictures[start : start + step]))
                ready = some.to(self.device, dtype=getattr(torch, self.config.dtype))
                output = self.vector(self.network(pixel_values=ready), self.network.config)
                made.append(output.float().cpu().numpy())
        width = int(self.config.spec.dim or 0)
        found = np.concatenate(made) if made else np.zeros((0, width))
        if found.shape[1] != width:
            text = f"The network of {self.config.name!r} gives {found.shape[1]} numbers, not {width}."
            raise EncoderError(explain(text, rule="dim in the specification is what the network gives"))
        return np.asarray(found, dtype=np.float64)


def _check_loadable(spec: EncoderSpec) -> None:
    if spec.library != "transformers" or spec.status != "ready":
        raise EncoderError(
            explain(
                f"Encoder {spec.name!r} is of {spec.library} and cannot be loaded by Pretrained.",
                rule="Pretrained loads what ec.encoders(loadable=True) lists under transformers",
            )
        )
    if spec.loader not in FAMILIES:
        raise EncoderError(
            explain(
                f"loader={spec.loader!r} of encoder {spec.name!r} is not known.",
                fix=f"one of {', '.join(FAMILIES)}",
            )
        )
    pools = FAMILIES[spec.loader]
    wrong = [pool for pool in spec.pooling if pool not in pools]
    if wrong:
        text = f"Networks of the family {spec.loader!r} cannot be pooled so."
        raise EncoderError(explain(text, where=wrong, rule=f"pooling is one of {', '.join(pools)}"))


def _load(config: Pretrained, device: str) -> tuple[Any, Callable[[Any, Any], Tensor]]:
    """Load the network from safetensors, or say what does not fit."""
    need("transformers")
    import torch
    import transformers
    from safetensors import SafetensorError

    spec, folder = config.spec, config._folder()
    pool = FAMILIES[spec.loader][config.pool or spec.pool]
    about = _about(spec, folder)
    hash_weights(folder)  # refuses an index that leads out of the folder
    try:
        with _Quiet(transformers):
            network, found = getattr(transformers, pool.model).from_pretrained(
                str(folder),
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
                attn_implementation=_ATTENTION.get(spec.loader, "sdpa"),
                dtype=getattr(torch, config.dtype),
                **pool.build,
                **{name: about[name] for name in pool.carried if name in about},
            )
    except (OSError, RuntimeError, ValueError, TypeError, KeyError, SafetensorError) as cause:
        text = f"The weights in {str(folder)!r} cannot be loaded as {spec.name!r}: {str(cause)[:300]}"
        raise EncoderError(
            explain(text, fix="fetch the folder again, or check loader: in the file")
        ) from cause
    missing = sorted(found["missing_keys"]) + sorted(str(key) for key in found.get("mismatched_keys", ()))
    if missing:
        text = f"The weights in {str(folder)!r} lack parts of the network of {spec.name!r}."
        rule = "all weights come from the checkpoint; what it lacks would be random"
        raise EncoderError(explain(text, where=missing, rule=rule, fix="fetch the weights of this encoder"))
    return network.eval().to(device), pool.vector


def _about(spec: EncoderSpec, folder: Path) -> dict[str, Any]:
    """Return the configuration beside the weights, or say that it is of another family."""
    try:
        about: dict[str, Any] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        kind = str(about.get("model_type"))
    except (ValueError, AttributeError) as cause:
        raise EncoderError(explain(f"{str(folder / CONFIG)!r} is not JSON of a model.")) from cause
    if _SAME_FAMILY.get(kind, kind) != spec.loader:
        raise EncoderError(
            explain(
                f"The weights in {str(folder)!r} are of a {kind!r}, and {spec.name!r} is a {spec.loader!r}.",
                rule="weights in the wrong network give vectors without meaning",
                fix="loader: in the specification says the family",
            )
        )
    return about


class _Quiet:
    """No bars and no table of unused weights while a network is loaded; what matters is checked here."""

    def __init__(self, library: Any) -> None:
        self.logging = library.utils.logging

    def __enter__(self) -> None:
        self.level = self.logging.get_verbosity()
        self.bars = self.logging.is_progress_bar_enabled()
        self.logging.set_verbosity_error()
        self.logging.disable_progress_bar()

    def __exit__(self, *error: object) -> None:
        self.logging.set_verbosity(self.level)
        if self.bars:
            self.logging.enable_progress_bar()
