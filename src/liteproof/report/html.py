"""`report.html`: the whole run on one page, in one file that asks nothing of any network.

What it shows is composed in `liteproof.report.page` and drawn in `liteproof.report.plots`; the page itself is
`templates/report.html.j2` with its style and script, which go into the file.

>>> from liteproof.report.results import Results, Run
>>> document(Results(Run("r", "", "", True, "0.1.0", None))).startswith(b"<!doctype html>")
True
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from liteproof.checks import Check
from liteproof.report.drawn import Plot, plots_of
from liteproof.report.page import ModelPart, page_of
from liteproof.report.results import Results
from liteproof.store import Store

TEMPLATES = Path(__file__).parent / "templates"


def document(results: Results, store: Store | None = None) -> bytes:
    """The whole file.

    Args:
        results: What a run found.
        store: Where plots are kept; None: all are drawn now.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"bare": _bare, "breakable": _breakable, "compact": _compact, "sort_key": _sort_key}
    script = _ours("report.js")
    page = page_of(results)
    text = environment.get_template("report.html.j2").render(
        page=page,
        run=results.run,
        targets=list(results.targets),
        plots_of=lambda model: _plots_of(model, store),
        style=_ours("report.css"),
        script=script,
        script_digest=_digest(script),
    )
    return text.encode()


def _plots_of(model: ModelPart, store: Store | None) -> list[tuple[Plot, Markup]]:
    """The model's plots with their SVG marked as markup: it was made from a figure, with every text escaped."""
    checks = [item.check for item in model.items]
    made = plots_of(checks, model.name, model.task, prefix=model.anchor, store=store, draw=_draw)
    return [(plot, Markup(plot.svg)) for plot in made]  # noqa: S704 - serialized by ElementTree


def _draw(checks: Sequence[Check], model: str, task: str, prefix: str) -> Iterator[Plot]:
    from liteproof.report import plots  # the plotting library comes with it

    return plots.of_model(checks, model, task, prefix)


def _ours(name: str) -> Markup:
    """A file of ours that goes into the page as it is."""
    return Markup((TEMPLATES / name).read_text(encoding="utf-8"))  # noqa: S704 - a file of this package


def _bare(text: str) -> str:
    """A time without its unit, where the heading has it."""
    return text.removesuffix(" ms")


def _breakable(text: str) -> Markup:
    """A metric's name that a narrow heading may break after each underscore."""
    return Markup("_<wbr>").join(text.split("_"))


def _compact(markup: Markup) -> Markup:
    """Markup without the template's indentation between tags: tens of thousands of cells are a third of it."""
    return Markup(re.sub(r">\s+<", "><", markup))  # noqa: S704 - only white space is taken out of what was markup


def _sort_key(value: float | None) -> Markup:
    """The attribute that a cell is sorted by; none where there is no value."""
    return Markup("") if value is None else Markup(f' data-value="{value:.7g}"')  # noqa: S704 - a number


def _digest(script: str) -> str:
    """The script's digest, as the page's content security policy names the only script that may run."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
