"""Write the report: one HTML file that needs nothing else, reaches for nothing else, and runs nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eocausal.errors import ReportError, explain
from eocausal.reporting import words
from eocausal.reporting.blocks import Section
from eocausal.reporting.study import Study, read_items
from eocausal.reporting.text import clean

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["report"]

TEMPLATES = Path(__file__).with_name("templates")


def report(
    items: Sequence[Any],
    path: str | Path,
    *,
    title: str | None = None,
    question: str | None = None,
    truth: float | None = None,
    overwrite: bool = True,
    progress: bool = False,
) -> Path:
    """Lay results out for a reader who decides, in one self-contained HTML file.

    The page holds its pictures, loads nothing, runs no script, and prints on A4. Sections appear in a fixed order,
    those only that the items allow: summary, data, balance and overlap, average effects, outcomes predicted from
    images, how strong the unseen would have to be, who gains more, warnings and assumptions, provenance.

    Parameters
    ----------
    items : list
        Results in any order: ``Units``, ``Chips``, ``Design``, ``Balance``, ``Overlap``, ``Assignment``,
        ``Sweep``, ``Estimate`` (several become one table), ``Cate``, ``Rate`` (several are shown side by side),
        ``SourceComparison``, ``ScaleSearch``, ``Calibration``, ``EffectGroups``, ``EffectLosses``, ``PolicyValue``,
        ``MultiArmQini``, ``ImageTypes``, ``Transport``; of outcomes that were predicted from images ``Diagnosis``,
        ``Corrected``, ``Ppi``, ``PpiRegression``, ``RemoteOutcome``; and ``Sensitivity``, of which there may be
        several.
        The summary speaks of the first ``Estimate`` of an average effect, the first ``Sensitivity`` and the first
        ``Rate``.
    path : str or Path
        The file to write, ending in ``.html``; missing folders are made.
    title, question : str, optional
        For the head of the page. Default: made of the names in the ``Design``.
    truth : float, optional
        The true average effect, where it is known by construction; drawn and tabled beside the estimates.
    overwrite : bool
        Whether a file that is there may be replaced.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ReportError
        Nothing to report, an item that is no result, two of a kind that a report has one of, results of other units
        than the table's, or a path that cannot be written.

    Notes
    -----
    The maps are pictures and the page holds no table of coordinates, but a map of few units, or a chip, can still
    show where people live. Think before you publish.

    Examples
    --------
    >>> import numpy as np, pandas as pd, tempfile, eocausal as ec
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"grant": np.tile([0, 1], 50), "age": rng.normal(size=100)})
    >>> table["income"] = 2.0 * table["grant"] + table["age"] + rng.normal(size=100)
    >>> design = ec.Design(table, outcome="income", treatment="grant", covariates=["age"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = ec.report([design, ec.ate(design, method="difference")], f"{folder}/grant.html")
    ...     "The effect of grant on income" in page.read_text(encoding="utf-8")
    True
    """
    from eocausal._io import write_text

    target = _check_path(path, overwrite=overwrite)
    study = read_items(items, title=title, question=question, truth=truth)
    if study.design is not None:
        study.design.require_binary("A report")
    return write_text(target, _page(study, _sections(study, progress=progress)))


def _sections(study: Study, *, progress: bool) -> list[Section]:
    from tqdm import tqdm

    from eocausal.reporting.sections import SECTIONS, build_section

    bar = tqdm(SECTIONS, desc="report", unit="section", disable=not progress)
    return [section for section in (build_section(anchor, study) for anchor in bar) if section is not None]


def _page(study: Study, sections: list[Section]) -> str:
    from markupsafe import Markup

    css = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    # The only style that the page may use is this one, known by its hash; pictures come from the page itself.
    policy = (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    page = _environment().get_template("report.html.j2")
    # the definitions at the head of the template leave empty lines before the page
    return page.render(
        title=words.title(study),
        question=words.question(study),
        sections=sections,
        css=Markup(css),  # our own file, with no text of a user in it
        policy=policy,
    ).lstrip()


def _environment() -> Environment:
    """Return the template engine: everything is escaped, and every text is cleaned on its way out."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_clean_text,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _clean_text(value: Any) -> Any:
    return clean(value) if type(value) is str else value


def _check_path(path: str | Path, *, overwrite: bool) -> Path:
    """Return the file to write, or raise before any work is done."""
    if not isinstance(path, str | Path):
        raise ReportError(explain(f"path={path!r} is not a path.", fix='ec.report(results, "report.html")'))
    target = Path(path)
    if target.is_dir():
        raise ReportError(
            explain(f"{target.name!r} is a folder.", fix="name a file in it, such as report.html")
        )
    if target.suffix.lower() not in (".html", ".htm"):
        raise ReportError(
            explain(
                f"{target.name!r} does not end in .html.", rule="the report is a web page", fix="report.html"
            )
        )
    blocked = next((parent for parent in target.parents if parent.exists() and not parent.is_dir()), None)
    if blocked is not None:
        raise ReportError(explain(f"{blocked.name!r} is a file, not a folder.", fix="choose another folder"))
    if target.exists() and not overwrite:
        raise ReportError(
            explain(
                f"{target.name!r} is there already.",
                rule="overwrite=False",
                fix="overwrite=True, or another name",
            )
        )
    return target
