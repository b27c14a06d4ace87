"""The command line: ``validate``, ``run``, ``chips``, ``embed``, ``encoders``, ``debias``, ``demo`` and others.

Each command imports what it needs when it runs, so that help comes at once.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eocausal.errors import EocausalError

if TYPE_CHECKING:
    from eocausal.specs.imagery import ImagerySpec
    from eocausal.specs.load import LoadedSpec
    from eocausal.specs.models import AnalysisSpec

__all__ = ["app", "main"]

app = typer.Typer(
    name="eocausal",
    help="Causal inference with satellite imagery, from pixels to a report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

encoders = typer.Typer(help="List and show encoders.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(encoders, name="encoders")

SpecPath = Annotated[
    Path, typer.Argument(help="The specification, such as analysis.yaml.", show_default=False)
]
Quiet = Annotated[bool, typer.Option("--no-progress", help="Show no progress bars.")]


def main() -> None:
    """Run the command line; what a user can mend is told without a traceback, with exit code 1."""
    try:
        app()
    except EocausalError as error:
        typer.echo(str(error), err=True)
        sys.exit(1)


@app.command()
def validate(spec: SpecPath) -> None:
    """Check a specification; tell each mistake at its line."""
    from eocausal.specs.inputs import check_inputs
    from eocausal.specs.load import load_spec

    loaded = load_spec(spec)
    check_inputs(loaded)
    # not before: it brings along what encodes
    from eocausal.runner.asked_encoders import check_encoder

    check_encoder(loaded)
    typer.echo(_describe(loaded))


@app.command()
def run(
    spec: SpecPath,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results, instead of the one in the file.")
    ] = None,
    no_progress: Quiet = False,
) -> None:
    """Run a specification, from pictures to the report."""
    from eocausal import pipeline

    _tell_result(pipeline.run(spec, out=out, progress=not no_progress))


@app.command()
def chips(
    spec: SpecPath,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results, instead of the one in the file.")
    ] = None,
    append: Annotated[
        bool, typer.Option("--append", help="Add the pictures that the store does not have yet.")
    ] = False,
    no_progress: Quiet = False,
) -> None:
    """Cut the chips of a specification: a store, the account of every picture, figures."""
    from eocausal.imagery import chips_job

    made = chips_job.store_chips(spec, out=out, append=append, progress=not no_progress)
    typer.echo(made.summary())
    typer.echo(f"Store:   {made.store}")
    typer.echo(f"Account: {made.account}")
    for figure in made.figures:
        typer.echo(f"Figure:  {figure}")


@app.command()
def embed(
    spec: SpecPath,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results, instead of the one in the file.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes that encode; by default as many as pay.", min=1)
    ] = None,
    no_progress: Quiet = False,
) -> None:
    """Make the features of a specification, as one table that any other study can read."""
    from eocausal.runner import features_job

    made = features_job.store_features(spec, out=out, workers=workers or "auto", progress=not no_progress)
    typer.echo(repr(made.features))
    typer.echo(f"Table: {made.table}")


@encoders.command("list")
def list_encoders(
    bands: Annotated[
        str | None, typer.Option(help="Bands that there are: a sensor such as landsat, or red,green,blue.")
    ] = None,
    sensor: Annotated[str | None, typer.Option(help="Only those trained on this sensor.")] = None,
    commercial_ok: Annotated[
        bool, typer.Option("--commercial-ok", help="Only licences that clearly allow commercial use.")
    ] = False,
    loadable: Annotated[bool, typer.Option("--loadable", help="Only those that can be loaded here.")] = False,
    max_dim: Annotated[int | None, typer.Option(help="Largest length of a vector.")] = None,
) -> None:
    """List the encoders that can be asked for by name."""
    from eocausal.encoding.catalogue import encoders

    named = bands.split(",") if bands is not None and "," in bands else bands
    table = encoders(
        named, sensor=sensor, commercial_ok=commercial_ok or None, loadable=loadable or None, max_dim=max_dim
    )
    shown = table[["name", "dim", "native_px", "licence", "why_not", "title"]]
    shown = shown.assign(why_not=shown["why_not"].replace("", "ready")).rename(columns={"why_not": "today"})
    typer.echo(shown.to_string(index=False, na_rep="-", justify="left") if len(shown) else "None fits.")


@encoders.command("show")
def show_encoder(
    name: Annotated[
        str,
        typer.Argument(
            help="A name of the list, the path of a YAML file, or hf:<owner>/<model> for a file to fill in.",
            show_default=False,
        ),
    ],
) -> None:
    """Show all that is known of an encoder; for a network on the hub, the file that would describe it."""
    from eocausal.encoding._hub_names import HUB, hub_file
    from eocausal.encoding.catalogue import all_specs, find_spec, why_not

    if name.startswith(HUB):
        typer.echo(hub_file(name, all_specs()), nl=False)
        return
    spec = find_spec(name)
    for field, value in spec.model_dump(mode="json", exclude_none=True).items():
        if value not in ([], None):
            typer.echo(f"{field}: {value}")
    typer.echo(f"today: {why_not(spec) or 'ready'}")


@app.command()
def debias(  # noqa: PLR0913 - each option is an argument
    map: Annotated[Path, typer.Argument(help="The map: a GeoTIFF of predictions.", show_default=False)],
    card: Annotated[Path, typer.Option(help="Its card, or the map itself where tags hold the card.")],
    units: Annotated[Path, typer.Option(help="Table of the trial: CSV, Parquet, GeoPackage or Stata.")],
    treatment: Annotated[str, typer.Option(help="Column of 0 and 1.")],
    id: Annotated[str, typer.Option(help="Column that names each unit once.")] = "id",
    lon: Annotated[str | None, typer.Option(help="Column of longitude; none for files with points.")] = None,
    lat: Annotated[str | None, typer.Option(help="Column of latitude.")] = None,
    crs: Annotated[str | None, typer.Option(help="Reference system of the coordinates.")] = None,
    date: Annotated[str | None, typer.Option(help="Column with the day of treatment.")] = None,
    outcome_date: Annotated[
        str | None, typer.Option(help="Column with the day or year of which the outcome is wanted.")
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="difference, ipw, regression, aipw, ... By default difference, with covariates aipw."
        ),
    ] = None,
    covariates: Annotated[str, typer.Option(help="Columns to adjust for, with commas between.")] = "",
    cluster: Annotated[str | None, typer.Option(help="Column of units that were treated together.")] = None,
    weights: Annotated[str | None, typer.Option(help="Column of sampling weights.")] = None,
    propensity: Annotated[
        str | None, typer.Option(help="Known probability of treatment: a number, or a column.")
    ] = None,
    keep_missing: Annotated[
        bool, typer.Option("--keep-missing", help="Go on where units have no prediction, and count them.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("debias_output"),
    seed: Annotated[int, typer.Option(min=0, help="Seed of folds and learners.")] = 0,
    no_progress: Quiet = False,
) -> None:
    """Correct a map at the units of a trial by the map's card, and estimate effects on it."""
    from eocausal.map_cards.debiased_trial import AskedTrial, debias_trial
    from eocausal.units import read_units

    asked = AskedTrial(
        treatment=treatment,
        method=method,
        covariates=tuple(name.strip() for name in covariates.split(",") if name.strip()),
        cluster=cluster,
        weights=weights,
        propensity=_number_or_name(propensity),
        outcome_date=outcome_date,
        missing="keep" if keep_missing else "error",
        seed=seed,
    )
    read = read_units(units, id=id, lon=lon, lat=lat, crs=crs, date=date)
    made = debias_trial(map, read, card=card, asked=asked, out=out, progress=not no_progress)
    typer.echo(made.summary())
    typer.echo(f"Predictions: {made.predictions}")
    typer.echo(f"Effects:     {made.effects}")


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the simulated region and the results.")] = Path(
        "demo_output"
    ),
    seed: Annotated[int, typer.Option(min=0, help="Seed of the simulated region.")] = 1,
    no_progress: Quiet = False,
) -> None:
    """Run the whole study on a simulated region."""
    from eocausal import demo as demonstration

    _tell_result(demonstration.run_demo(out, seed=seed, progress=not no_progress))


@app.command()
def schema(
    out: Annotated[Path | None, typer.Option(help="File to write, instead of the screen.")] = None,
) -> None:
    """Write the JSON Schema of specifications."""
    import json

    from eocausal.specs.schema import analysis_schema, write_schema

    if out is None:
        typer.echo(json.dumps(analysis_schema(), indent=2, sort_keys=True))
    else:
        typer.echo(f"Written: {write_schema(out)}")


@app.command()
def version() -> None:
    """Show the version."""
    from eocausal import __version__

    typer.echo(f"eocausal {__version__}")


def _number_or_name(text: str | None) -> float | str | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return text


def _tell_result(result: Any) -> None:
    typer.echo(result.summary())
    typer.echo(f"Results: {result.folder}")
    typer.echo(f"Report:  {result.report}")


def _describe(loaded: LoadedSpec) -> str:
    """Return what a checked specification will do, in a few lines."""
    spec = loaded.spec
    design, effects = spec.design, spec.effects
    grouped = f", clusters by {design.cluster}" if design.cluster else ""
    with_these = f" with {', '.join(design.covariates)}" if design.covariates else ""
    steps = [f"average by {', '.join(one.name for one in effects.ate)}"]
    if effects.cate is not None:
        steps.append(f"by unit by {effects.cate.learner} ({effects.cate.trees} trees)")
    if effects.rate:
        steps.append(", ".join(effects.rate))
    lines = {
        "ok": str(loaded.path),
        "title": spec.title,
        "units": f"{Path(spec.units.path).name}, by {spec.units.id}",
        "features": "; ".join(_features(spec)),
        "design": f"{design.treatment} -> {design.outcome}{with_these}{grouped}",
        "effects": "; ".join(steps),
        "results": f"to {spec.out}",
    }
    return "\n".join(f"{name:<9} {text}" for name, text in lines.items())


def _features(spec: AnalysisSpec) -> list[str]:
    parts = []
    if spec.imagery is not None and spec.encoder is not None:
        files = _sources(spec.imagery)
        sizes = [f"{size:g} m" if isinstance(size, float) else size for size in spec.imagery.size_m or ()]
        sizes += [f"{size} pixels" for size in spec.imagery.size_px or ()]
        at = f" at {' and '.join(sizes)}" if sizes else ""
        draws = spec.units.displacement
        means = f", mean of {draws.draws} draws around each place" if draws is not None else ""
        parts.append(f"{spec.encoder.name} of {', '.join(Path(file).name for file in files)}{at}{means}")
    if spec.embeddings is not None:
        parts.append(Path(spec.embeddings.path).name)
    return parts


def _sources(imagery: ImagerySpec) -> tuple[str, ...]:
    """Return what pictures come from."""
    named = (
        imagery.arrays,
        imagery.store,
        None if imagery.cube is None else imagery.cube.path,
        None if imagery.stac is None else imagery.stac.catalog,
    )
    return imagery.rasters or tuple(name for name in named if name is not None)


if __name__ == "__main__":
    main()
