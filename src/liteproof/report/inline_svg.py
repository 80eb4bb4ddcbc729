"""A matplotlib figure as SVG inside a page: themed by the page's colours, titled for screen readers, and small.

Matplotlib writes a file for a viewer: fixed colours, a font list on every text, ids that repeat from figure to figure
and a style rule for everything around it. Inside a page each of these does harm, and is taken out here.

>>> from matplotlib.figure import Figure
>>> figure = Figure(figsize=(2, 1))
>>> _ = figure.text(0.5, 0.5, "<agreement>", color=INK)
>>> svg = inline(figure, "a", title="Agreement", description="all of it")
>>> '<title id="a-t">Agreement</title>' in svg, "var(--ink)" in svg, "&lt;agreement&gt;</text>" in svg
(True, True, True)
"""

from __future__ import annotations

import io
import re
from typing import Any
from xml.etree import ElementTree as ET

from matplotlib import rc_context
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.text import Text

# Colours that stand for the page's own: the page sets them for light and dark.
INK, MUTED, LINE, SURFACE, BUDGET, ACCENT = "#010101", "#020202", "#030303", "#040404", "#050505", "#060606"
PASS, PROVISIONAL, FAIL, UNMEASURED = "#070707", "#080808", "#090909", "#0a0a0a"
SERIES = ("#0b0b0b", "#0c0c0c", "#0d0d0d", "#0e0e0e", "#0f0f0f", "#101010", "#111111", "#121212")
VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    LINE: "--line",
    SURFACE: "--surface",
    BUDGET: "--budget",
    ACCENT: "--accent",
    PASS: "--pass",
    PROVISIONAL: "--provisional",
    FAIL: "--fail",
    UNMEASURED: "--unmeasured",
    **{color: f"--series-{number}" for number, color in enumerate(SERIES, 1)},
}

# Text stays text, and the same figure gives the same bytes.
STYLE: Any = {"svg.fonttype": "none", "svg.hashsalt": "liteproof"}

_COLOR = re.compile("|".join(VARIABLES))
_NUMBER = re.compile(r"-?\d+\.\d{2,}")
_REFERENCE = re.compile(r"#([\w.-]+)")
_FONT = re.compile(r"\s*font(-family|-size)?:[^;]*;?")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)px")


def inline(figure: Figure, name: str, *, title: str, description: str) -> str:
    """The figure as an `<svg>` element.

    Args:
        figure: What to draw; colours from this module follow the page's theme.
        name: A prefix for ids, unique in the page.
        title: What a screen reader calls it.
        description: What it shows, in words.
    """
    root = _parse(figure)
    root.attrib = {"viewBox": root.get("viewBox", ""), "role": "img", "aria-labelledby": f"{name}-t {name}-d"}
    _keep_ids_that_are_referred_to(root, name)
    for element in root.iter():
        _clean(element)
    root[:0] = [_text("title", f"{name}-t", title), _text("desc", f"{name}-d", description)]
    return ET.tostring(root, encoding="unicode")


def _parse(figure: Figure) -> ET.Element:
    for text in figure.findobj(Text):
        text.set_parse_math(False)  # a dollar sign in a name is a dollar sign
    stream = io.StringIO()
    with rc_context(STYLE):
        FigureCanvasSVG(figure).print_svg(stream, metadata={"Date": None})  # type: ignore[no-untyped-call]
    root = ET.fromstring(stream.getvalue())  # noqa: S314 - written by matplotlib, just now
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        for key in [key for key in element.attrib if "}" in key]:
            element.attrib[key.rpartition("}")[2]] = element.attrib.pop(key)
    for parent in list(root.iter()):
        for child in [child for child in parent if child.tag in ("metadata", "style")]:
            parent.remove(child)
    return root


def _keep_ids_that_are_referred_to(root: ET.Element, name: str) -> None:
    texts = [value for element in root.iter() for key, value in element.attrib.items() if key != "id"]
    used = {found for text in texts for found in _REFERENCE.findall(text)}
    for element in root.iter():
        for key, value in list(element.attrib.items()):
            if key == "id" and value not in used:
                del element.attrib[key]
            elif key == "id":
                element.attrib[key] = f"{name}-{value}"
            elif key == "href" or "url(#" in value:
                element.attrib[key] = _REFERENCE.sub(rf"#{name}-\1", value)


def _clean(element: ET.Element) -> None:
    """One decimal is a tenth of a point; whitespace between tags is nothing; the page has its own font."""
    element.tail = None
    if element.tag != "text":
        element.text = None
    if "style" in element.attrib:
        element.attrib["style"] = _COLOR.sub(lambda found: f"var({VARIABLES[found[0]]})", element.attrib["style"])
    for key in ("d", "x", "y", "transform", "points"):
        if key in element.attrib:
            value = _NUMBER.sub(lambda found: f"{float(found[0]):.1f}".removesuffix(".0"), element.attrib[key])
            element.attrib[key] = " ".join(value.split())
    if element.tag == "text":
        style = element.attrib.get("style", "")
        size = _SIZE.search(style)
        element.attrib["style"] = _FONT.sub("", style).strip()
        if size:
            element.attrib["font-size"] = size[1]
        if element.attrib.get("transform", "").startswith("rotate(-0 "):
            del element.attrib["transform"]


def _text(tag: str, name: str, text: str) -> ET.Element:
    element = ET.Element(tag, id=name)
    element.text = text
    return element
