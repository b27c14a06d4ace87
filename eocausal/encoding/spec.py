"""`EncoderSpec`: what a pretrained encoder is and exactly what it reads, as data in a small YAML file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from eocausal._checks import did_you_mean
from eocausal._io import hash_content
from eocausal.encoding._wavelengths import RADAR, RANGES, agrees
from eocausal.errors import SpecError, explain
from eocausal.imagery.radiometry import PIXEL_UNITS
from eocausal.specs._block import Block
from eocausal.specs._fields import as_many, mistake
from eocausal.specs.load import checked, spec_error
from eocausal.specs.yaml_text import MAX_BYTES, Place

__all__ = ["ANY_BANDS", "BandSpec", "EncoderSpec", "Step", "Zscore", "parse_spec", "read_spec"]

ANY_BANDS = "any"
"""The word of an encoder that reads any bands, each with its wavelength."""


def _unit(name: str) -> str:
    if name not in PIXEL_UNITS:
        raise mistake(f"{name!r} is not a unit of pixels. {did_you_mean(name, list(PIXEL_UNITS))}")
    return name


def _listed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _bands(value: Any) -> Any:
    if value is None or value == []:
        raise mistake(f"is empty. Name the bands, or write {ANY_BANDS}")
    return None if value == ANY_BANDS else _listed(value)


Numbers = Annotated[tuple[float, ...], BeforeValidator(as_many), Field(min_length=1)]
Words = Annotated[tuple[str, ...], BeforeValidator(as_many)]
Unit = Annotated[str, AfterValidator(_unit)]


Library = Literal[
    "eocausal", "transformers", "timm", "torchgeo", "terratorch", "olmoearth", "open_clip", "other"
]


class BandSpec(Block):
    """One band that an encoder reads."""

    name: str = Field(min_length=1, description="Name with its sensor, such as B04.")
    common_name: str = Field(min_length=1, description="Common name, such as red.")
    wavelength_um: float | None = Field(
        None, gt=0, description="Centre of the band in micrometres; none for radar."
    )
    pixel_unit: Unit | None = Field(None, description="Unit of this band, where it is another one.")


class Zscore(Block):
    """Subtract a mean and divide by a standard deviation, one for all bands or one each."""

    mean: Numbers
    std: Numbers


class Step(Block):
    """One step of scaling; exactly one field is given."""

    subtract: Numbers | None = Field(None, description="Subtracted, one number or one for each band.")
    divide: Numbers | None = Field(None, description="Divided by, one number or one for each band.")
    clip: Numbers | None = Field(None, description="Smallest and largest value, for all bands.")
    z: Zscore | None = Field(None, description="Mean and std of each band.")
    standardise: Literal["chips"] | None = Field(
        None, description="Mean and std of each band of the chips that it is fitted on; the first step."
    )

    @property
    def kind(self) -> str:
        """Name of the one field that is given."""
        return next(name for name in type(self).model_fields if getattr(self, name) is not None)


class EncoderSpec(Block):
    """What a pretrained encoder is, what it reads, and on which terms it may be used.

    A specification is one YAML file; those that come with the package are listed by :func:`encoders`, and
    any other is used by its path (``encoder="my_encoder.yaml"``).

    Examples
    --------
    >>> from eocausal.encoding.catalogue import find_spec
    >>> spec = find_spec("prithvi-eo-2-300m-tl")
    >>> spec.common_names
    ('blue', 'green', 'red', 'nir08', 'swir16', 'swir22')
    >>> spec.frames_max, spec.dim
    (4, 1024)
    """

    spec_version: Literal[1] = Field(description="Version of this format; 1.")
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", description="Name; first part of names of columns.")
    title: str = Field(min_length=1, description="What it is, in one line.")
    library: Library = Field(description="Python library that holds the network.")
    loader: str = Field(min_length=1, description="Family of networks within the library, such as clip.")
    status: Literal["ready", "planned"] = Field("ready", description="Whether it can be loaded today.")
    hub_id: str | None = Field(None, description="Name on the Hugging Face Hub.")
    revision: str | None = Field(
        None, pattern=r"^[0-9a-f]{40}$", description="Commit that weights are taken from, 40 digits."
    )
    file: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\.(safetensors|pth|pt|ckpt|bin)$",
        description="File of the weights, where they are not config.json and model.safetensors.",
    )
    weights: str | None = Field(None, description="Folder of the weights, from the folder of this file.")
    licence: str = Field(min_length=1, description="Licence of the weights.")
    use_restrictions: str | None = Field(None, description="What the licence forbids, in words.")
    gated: bool = Field(False, description="Whether the hub asks for a login and consent.")
    commercial_ok: bool = Field(description="Whether the licence clearly allows commercial use.")
    sensors: Words = Field((), description="Sensors it was trained on.")
    bands: Annotated[tuple[BandSpec, ...] | None, BeforeValidator(_bands)] = Field(
        description="Bands in the order of the network; any where it reads any by wavelength."
    )
    pixel_unit: Unit | None = Field(None, description="Unit of pixels that scaling starts from.")
    scaling: Annotated[tuple[Step, ...], BeforeValidator(_listed)] = Field(
        (), description="Steps from that unit to the network."
    )
    native_px: int | None = Field(None, ge=1, description="Pixels a side that the network reads.")
    resize_px: int | None = Field(
        None, ge=1, description="Pixels a side before the centre of native_px is cut; native_px by default."
    )
    native_gsd_m: Numbers | None = Field(None, description="Metres a pixel it was trained on, or a range.")
    frames_min: int = Field(1, ge=1, description="Fewest dates the network reads together.")
    frames_max: int = Field(1, ge=1, description="Most dates the network reads together.")
    frames_step: int = Field(
        1, ge=1, description="Dates it reads at a time; the number of dates is a multiple."
    )
    pooling: Words = Field(("mean",), description="Ways from tokens to one vector; the first is the default.")
    dim: int | None = Field(None, ge=1, description="Numbers in the vector.")
    params_m: float | None = Field(None, gt=0, description="Parameters, millions.")
    outcome_proxy_inputs: Words = Field((), description="Inputs near to outcomes, such as night lights.")
    outcome_proxy_targets: Words = Field((), description="Targets of training near to outcomes.")
    citation: str = Field(min_length=1, description="Whom to cite.")
    python: str | None = Field(
        None, pattern=r"^>=3\.\d+$", description="Python that its library needs, such as >=3.12."
    )
    notes: str | None = Field(None, description="What else is to be known.")

    @property
    def pool(self) -> str:
        """The default pooling."""
        return self.pooling[0]

    @property
    def common_names(self) -> tuple[str, ...] | None:
        """Common names of the bands in order; None where any bands are read."""
        return None if self.bands is None else tuple(band.common_name for band in self.bands)

    @property
    def learns_scale(self) -> bool:
        """Whether means and standard deviations of bands are learned from chips."""
        return any(step.standardise is not None for step in self.scaling)

    def hash(self) -> str:
        """Return a short hash of all that can change a vector; words about it do not count."""
        content = self.model_dump(mode="json", include=set(_THAT_MATTERS))
        return hash_content(content)


_THAT_MATTERS = (
    "library", "loader", "hub_id", "revision", "bands", "pixel_unit", "scaling", "native_px", "resize_px",
    "native_gsd_m", "frames_min", "frames_max", "frames_step", "file",
)  # fmt: skip


def read_spec(path: str | Path) -> EncoderSpec:
    """Read and check the YAML file of an encoder.

    Parameters
    ----------
    path : str or Path
        The file, at most 256 KB.

    Returns
    -------
    EncoderSpec
        With ``weights`` as an absolute path.

    Raises
    ------
    SpecError
        Every mistake in the file with its line.
    """
    source = Path(path)
    if not source.is_file():
        text = f"There is no file {str(source)!r} that describes an encoder."
        raise SpecError(explain(text, fix="give the path of a YAML file, or a name of ec.encoders()"))
    if source.stat().st_size > MAX_BYTES:
        raise SpecError(explain(f"{str(source)!r} is larger than {MAX_BYTES:,} bytes."))
    try:
        text = source.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise SpecError(f"{source}:1:1 the file is not UTF-8 text. Save it as UTF-8") from None
    spec = parse_spec(text, source)
    if spec.weights is None:
        return spec
    return spec.model_copy(update={"weights": str((source.parent / spec.weights).absolute())})


def parse_spec(text: str, source: Path) -> EncoderSpec:
    """Check the text of an encoder's YAML file; ``source`` is what mistakes are told of."""
    whole = "an encoder is a block of fields such as 'name: my-encoder'"
    spec, document = checked(EncoderSpec, text, source, whole=whole)
    found = list(_broken_rules(spec))
    if found:
        raise spec_error(source, document, mistakes=found)
    return spec


def _broken_rules(spec: EncoderSpec) -> Iterator[tuple[Place, str]]:
    """Yield what single fields cannot tell: steps that do not fit the bands, sizes that do not fit each other."""
    count = None if spec.bands is None else len(spec.bands)
    for number, step in enumerate(spec.scaling):
        given = [name for name in Step.model_fields if getattr(step, name) is not None]
        if len(given) != 1:
            yield (
                ("scaling", number),
                f"holds {len(given)} of {', '.join(Step.model_fields)}. Give one a step",
            )
        else:
            yield from _broken_step(step, ("scaling", number, given[0]), count)
        if step.standardise is not None and number:
            yield (
                ("scaling", number, "standardise"),
                "must be the first step: pixels are standardised as they are",
            )
    yield from _broken_bands(spec)
    if spec.resize_px is not None and (spec.native_px is None or spec.resize_px < spec.native_px):
        yield ("resize_px",), "is less than native_px, which is cut from it"
    if spec.frames_max < spec.frames_min:
        yield ("frames_max",), f"is less than frames_min, {spec.frames_min}"
    if not spec.pooling:
        yield ("pooling",), "is empty. Name at least one"
    if spec.library != "eocausal" and spec.status == "ready":
        # standardised by themselves, pixels may be in any unit
        needed = ("native_px", "dim") if spec.learns_scale else ("pixel_unit", "native_px", "dim")
        lacking = [name for name in needed if getattr(spec, name) is None]
        for name in lacking:
            yield (name,), f"this field is missing, and encoders of {spec.library} need it"


def _broken_bands(spec: EncoderSpec) -> Iterator[tuple[Place, str]]:
    for number, band in enumerate(spec.bands or ()):
        if band.wavelength_um is not None and not agrees(band.common_name, band.wavelength_um):
            rule = (
                "radar has none"
                if band.common_name in RADAR
                else f"{band.common_name} lies at {RANGES[band.common_name].low:g} to "
                f"{RANGES[band.common_name].high:g} micrometres"
            )
            yield (
                ("bands", number, "wavelength_um"),
                f"{band.wavelength_um:g} is not a {band.common_name}: {rule}",
            )


def _broken_step(step: Step, place: Place, bands: int | None) -> Iterator[tuple[Place, str]]:
    if step.standardise is not None:
        return
    lists: Mapping[str, tuple[float, ...]] = (
        {"mean": step.z.mean, "std": step.z.std} if step.z is not None else {"": getattr(step, step.kind)}
    )
    if step.kind == "clip":
        low_high = lists[""]
        if len(low_high) != 2 or low_high[0] >= low_high[1]:
            yield place, "must be the smallest and the largest value, such as [0, 1]"
        return
    for name, numbers in lists.items():
        at = (*place, name) if name else place
        if bands is not None and len(numbers) not in (1, bands):
            yield at, f"holds {len(numbers)} numbers for {bands} bands. Give one, or one for each band"
        if (name == "std" or step.kind == "divide") and 0 in numbers:
            yield at, "is zero for a band"
