"""What a person would rather look at than read: one model's variants on one picture.

Each plot is made from the checks of one model. What a check's `evidence` may hold for a plot:

| check | key | value |
|---|---|---|
| `top1_agreement` | `flips` | `{"3→8": 2}`: how often the source's class became another one |
| `latency_p50_ms` | `quantiles_ms` | `[0.21, …, 0.35]`: evenly spaced quantiles (0 to 1) of the rounds, in ms |
| any | `layers` | `[["conv1", 0.01], …]`: the metric layer by layer, in the order of the graph |

>>> [plot.name for plot in of_model([], "digits", "classification")]
[]
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from liteproof.checks import METRICS, Check, Verdict
from liteproof.report import wording
from liteproof.report.drawn import Plot
from liteproof.report.inline_svg import (
    ACCENT,
    BUDGET,
    FAIL,
    INK,
    LINE,
    MUTED,
    PASS,
    PROVISIONAL,
    SERIES,
    SURFACE,
    UNMEASURED,
    inline,
)

COLORS = {Verdict.PASS: PASS, Verdict.PROVISIONAL: PROVISIONAL, Verdict.FAIL: FAIL, Verdict.UNMEASURED: UNMEASURED}
MARKERS = {Verdict.PASS: "o", Verdict.PROVISIONAL: "D", Verdict.FAIL: "X", Verdict.UNMEASURED: "s"}

# In points. A plot is shown about a third larger than this.
WIDTH, TEXT = 400.0, 10.0
ROW, HEADROOM, FOOTROOM = 20.0, 14.0, 38.0
LETTER, LEADING = 5.7, 12.0
LONGEST_LABEL = 26
STEPS = (1, 2, 2.5, 5, 10)


Point = tuple[float | None, float, Verdict | None]
Line = tuple[float, float, float, float]


@dataclass(frozen=True)
class Row:
    """One case on a plot that has a row for each. `value` is None where it was not measured."""

    label: str
    value: float | None
    limit: float | None
    verdict: Verdict | None
    low: float | None = None
    high: float | None = None


def of_model(checks: Sequence[Check], model: str, task: str, prefix: str = "plot") -> Iterator[Plot]:
    """Every plot that the checks of one model give something for.

    Args:
        checks: The model's checks, of every variant and target.
        model: Its name.
        task: Its task; a regression has no agreement, and is shown by its cosine similarity.
        prefix: For ids; unique in the page.
    """
    targets = list(dict.fromkeys(check.target for check in checks))
    checks = sorted(checks, key=lambda check: targets.index(check.target))
    likeness = "cosine_similarity" if task == "regression" else "top1_agreement"
    yield from size_against_likeness(checks, likeness, f"{prefix}-size", model)
    yield from likeness_with_intervals(checks, likeness, f"{prefix}-likeness", model)
    yield from latencies(checks, f"{prefix}-latency", model)
    yield from drift(checks, f"{prefix}-drift", model)


# -- size against agreement -------------------------------------------------------------------------------------------


def size_against_likeness(checks: Sequence[Check], metric: str, name: str, model: str) -> Iterator[Plot]:
    """Is smaller still the same? A dot for each case, with its limits drawn to it."""
    sizes = {(c.variant, c.target): c for c in checks if c.metric == "size_ratio" and c.value is not None}
    dots = [
        (sizes[c.variant, c.target], c)
        for c in checks
        if c.metric == metric and c.value is not None and (c.variant, c.target) in sizes
    ]
    if len(dots) < 2:
        return
    figure, axes = _figure(left=58, height=220)
    points = [(float(size.value or 0), float(likeness.value or 0), size, likeness) for size, likeness in dots]
    down = [(x, y, x, likeness.limit) for x, y, _, likeness in points if likeness.limit is not None]
    across = [(x, y, size.limit, y) for x, y, size, _ in points if size.limit is not None]
    _strokes(axes, [*down, *across], color=BUDGET, lw=0.9, ls=":", zorder=1)
    for lines, shape in ((down, "_"), (across, "|")):
        x, y = [line[2] for line in lines], [line[3] for line in lines]
        axes.plot(x, y, color=BUDGET, marker=shape, ms=8, mew=1.4, ls="", zorder=1)
    _marks(axes, [(x, y, _worse(size.verdict, likeness.verdict)) for x, y, size, likeness in points])
    _frame(axes, [value for _, c in dots for value in (c.value, c.limit)], top=METRICS[metric].highest)
    axes.set_xlim(0, 1.06 * max(value for size, _ in dots for value in (size.value, size.limit) if value is not None))
    _name_dots(axes, [(x, y, c.variant, c.target) for x, y, _, c in points], [*down, *across])
    axes.set_xlabel("file size, as a share of float32's")
    axes.set_ylabel(metric)
    title = f"{model}: size against {metric}"
    caption = (
        "Up and to the left is better. A dotted line leads from each dot down to the lowest value and right to the "
        "largest size that its budget allows."
    )
    words = "; ".join(
        f"{likeness.variant} on {likeness.target}: size {wording.number('size_ratio', size.value)}, "
        f"{metric} {wording.number(metric, likeness.value)}"
        for size, likeness in dots
    )
    yield Plot(name, f"Size against {metric}", caption, inline(figure, name, title=title, description=words))


Dot = tuple[float, float, str, str]
Box = tuple[float, float, float, float]


def _name_dots(axes: Axes, dots: Sequence[Dot], lines: Iterable[Line]) -> None:
    """Name the dots (x, y, variant, target). Those that lie too close for names of their own share one text.

    Names keep off each other, the dots and the lines, as far as there is room.
    """
    groups = _close_together(axes, dots)
    variants = [variant for group in groups for variant in {dot[2] for dot in group}]
    apart = {variant for variant in variants if variants.count(variant) > 1}
    taken = [(x - 5, y - 5, x + 5, y + 5) for x, y in (_on_paper(axes, *dot[:2]) for dot in dots)]
    for a, b in ((_on_paper(axes, *line[:2]), _on_paper(axes, *line[2:])) for line in lines):
        taken.append((min(a[0], b[0]) - 3, min(a[1], b[1]) - 3, max(a[0], b[0]) + 3, max(a[1], b[1]) + 3))
    for group in sorted(groups, key=len):
        names = dict.fromkeys(f"{v} · {t}" if v in apart else v for _, _, v, t in group)
        text = _wrapped(list(names))
        box, beside = _free_place(axes, group, text, taken)
        taken.append(box)
        x = box[2 if beside == "right" else 0]
        style = {"fontsize": TEXT, "color": INK, "linespacing": 1.1, "ha": beside, "va": "top"}
        place = x / axes.bbox.width, box[3] / axes.bbox.height
        axes.text(*place, "\n".join(text), style, transform=axes.transAxes, zorder=5)


def _on_paper(axes: Axes, x: float, y: float) -> tuple[float, float]:
    """Where a point is, in points from the lower left corner of the axes."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    return (x - left) / (right - left) * axes.bbox.width, (y - bottom) / (top - bottom) * axes.bbox.height


def _close_together(axes: Axes, dots: Sequence[Dot]) -> list[list[Dot]]:
    groups: list[list[Dot]] = []
    for dot in sorted(dots):
        x, y = _on_paper(axes, *dot[:2])

        def near(other: Dot, x: float = x, y: float = y) -> bool:
            there = _on_paper(axes, *other[:2])
            return abs(there[0] - x) < 18 and abs(there[1] - y) < 12

        touching = [group for group in groups if any(near(other) for other in group)]
        groups = [group for group in groups if group not in touching]
        groups.append([other for group in touching for other in group] + [dot])
    return groups


def _wrapped(names: Sequence[str], width: int = 22) -> list[str]:
    """Names in lines of about `width` letters; a name stays whole."""
    lines: list[str] = []
    for name in names:
        if len(names) > 3 and lines and len(lines[-1]) + len(name) + 2 <= width:
            lines[-1] += f", {name}"
        else:
            lines.append(name)
    return lines


def _free_place(axes: Axes, group: Sequence[Dot], lines: Sequence[str], taken: Sequence[Box]) -> tuple[Box, str]:
    """A box beside the group that covers least of what is there already, and the side of it that is aligned."""
    places = [_on_paper(axes, *dot[:2]) for dot in group]
    width, height = LETTER * max(map(len, lines)), LEADING * len(lines)
    right, left = max(x for x, _ in places) + 8, min(x for x, _ in places) - 8
    lowest, highest = min(y for _, y in places), max(y for _, y in places)
    beside = [lowest + LEADING / 2, lowest - 4, highest + height + 2]
    away = [lowest - 4 - LEADING * lines for lines in range(1, 5)]
    candidates: list[tuple[float, Box, str]] = []
    for rank, top in enumerate([*beside, *away]):
        for x, aligned in ((right, "left"), (left - width, "right")):
            box = (x, top - height, x + width, top)
            outside = max(0.0, -x, x + width - axes.bbox.width) + max(0.0, -box[1], top - axes.bbox.height - LEADING)
            covered = sum(_overlap(box, other) for other in taken)
            candidates.append((50 * outside + covered + 10 * rank, box, aligned))
    _, box, aligned = min(candidates, key=lambda candidate: candidate[0])
    return box, aligned


def _overlap(a: Box, b: Box) -> float:
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


# -- agreement --------------------------------------------------------------------------------------------------------


def likeness_with_intervals(checks: Sequence[Check], metric: str, name: str, model: str) -> Iterator[Plot]:
    """How sure is it? Value, 95% interval and limit of each case."""
    label = _labeller(checks)
    found = [c for c in checks if c.metric == metric]
    rows = [Row(label[c.variant, c.target], c.value, c.limit, c.verdict, *(c.interval or (None, None))) for c in found]
    if not any(row.value is not None for row in rows):
        return
    figure, axes = _rows(rows)
    for verdict in (None, *Verdict):
        same = [(y, row) for y, row in enumerate(rows) if row.verdict is verdict]
        bars = [(r.low, y, r.high, y) for y, r in same if r.low is not None and r.high is not None]
        _strokes(axes, bars, color=_color(verdict), lw=2.2, alpha=0.55)
    measured = [(y, row) for y, row in enumerate(rows) if row.value is not None]
    _marks(axes, [(row.value, y, row.verdict) for y, row in measured])
    _limits(axes, [(row.limit, y, 0.34) for y, row in measured])
    values = [v for row in rows for v in (row.value, row.low, row.high, row.limit)]
    _frame(axes, values, top=METRICS[metric].highest, vertical=False)
    _not_measured(axes, rows)
    axes.set_xlabel(f"{metric}, with its 95% interval" if any(r.low is not None for r in rows) else metric)
    intervals = any(row.low is not None for row in rows)
    caption = f"{METRICS[metric].text[0].upper()}{METRICS[metric].text[1:]}. "
    caption += "The bar is the 95% interval; the tick is the limit." if intervals else "The tick is the limit."
    yield Plot(
        name,
        metric,
        caption,
        inline(figure, name, title=f"{model}: {metric} of each variant", description=_words(rows, metric)),
    )


# -- latency ----------------------------------------------------------------------------------------------------------


def latencies(checks: Sequence[Check], name: str, model: str) -> Iterator[Plot]:
    """How long does one inference take? The spread of every case's rounds on one axis, with the limits."""
    label = _labeller(checks)
    times: dict[tuple[str, str], dict[str, Check]] = {}
    for check in checks:
        if check.metric in ("latency_p50_ms", "latency_p95_ms", "latency_p99_ms"):
            times.setdefault((check.variant, check.target), {})[check.metric] = check
    if not any(check.value is not None for case in times.values() for check in case.values()):
        return
    rows = [_latency_row(label[case], found) for case, found in times.items()]
    figure, axes = _rows(rows)
    marks = [(y, _times(found)) for y, found in enumerate(times.values())]
    _strokes(axes, [(min(m.values()), y, max(m.values()), y) for y, m in marks if m], color=MUTED, lw=1.0)
    middle = [(m["p25"], y, m["p75"], y) for y, m in marks if "p25" in m]
    _strokes(axes, middle, color=ACCENT, lw=6, alpha=0.45)
    for percentile, size, shape in (("p95", 4.4, "D"), ("p50", 6.5, None)):
        metric = f"latency_{percentile}_ms"
        verdicts = [found[metric].verdict if metric in found else None for found in times.values()]
        _marks(axes, [(m[percentile], y, verdicts[y]) for y, m in marks if percentile in m], size, shape)
    limits = [
        (check.limit, y, 0.40 if "p95" in metric else 0.24)
        for y, found in enumerate(times.values())
        for metric, check in found.items()
    ]
    _limits(axes, limits)
    _time_axis(axes, [value for _, m in marks for value in m.values()] + [x for x, *_ in limits if x is not None])
    _not_measured(axes, rows)
    axes.set_xlabel("milliseconds for one inference" + (" (logarithmic)" if axes.get_xscale() == "log" else ""))
    caption = (
        "The dot is the median, the diamond the 95th percentile, the thin line ends at the 99th; the thick bar, where "
        "rounds were kept, holds the middle half. Ticks are limits: tall for the 95th percentile, short for the others."
    )
    words = "; ".join(
        f"{label[case]}: " + ", ".join(f"{m} {wording.number(m, c.value)}" for m, c in found.items())
        for case, found in times.items()
    )
    yield Plot(
        name, "Latency", caption, inline(figure, name, title=f"{model}: latency of each variant", description=words)
    )


def _latency_row(label: str, found: dict[str, Check]) -> Row:
    median = found.get("latency_p50_ms") or next(iter(found.values()))
    worst = min((c.verdict for c in found.values() if c.verdict), key=list(Verdict).index, default=None)
    return Row(label, median.value, None, worst)


def _times(found: dict[str, Check]) -> dict[str, float]:
    """What one case's row shows, by percentile: "p50", "p95" and "p99", and the spread where it was kept."""
    measured = {metric[8:11]: check.value for metric, check in found.items() if check.value is not None}
    return {**_spread(found.get("latency_p50_ms")), **measured} if measured else {}


def _spread(check: Check | None) -> dict[str, float]:
    """The 5th, 25th and 75th percentile of the timed rounds, where they were kept."""
    quantiles = check.evidence.get("quantiles_ms") if check else None
    if not isinstance(quantiles, (list, tuple)) or len(quantiles) < 5:
        return {}
    return {f"p{p}": float(quantiles[round(p / 100 * (len(quantiles) - 1))]) for p in (5, 25, 75)}


def _time_axis(axes: Axes, values: Sequence[float]) -> None:
    low, high = min(values), max(values)
    if low > 0 and high / low > 20:
        axes.set_xscale("log")
        axes.set_xlim(low / 1.25, high * 1.25)
        axes.xaxis.set_major_locator(LogLocator(base=10, subs=(1.0, 3.0) if high / low < 300 else (1.0,)))
        _plain_numbers(axes.xaxis)
        axes.tick_params(axis="x", which="minor", length=0)
    else:
        axes.set_xlim(0, high * 1.06 or 1.0)
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=STEPS))


def _plain_numbers(axis: Axis) -> None:
    """0.01 rather than a power of ten."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


# -- drift by layer ---------------------------------------------------------------------------------------------------


def drift(checks: Sequence[Check], name: str, model: str) -> Iterator[Plot]:
    """Where does it drift? A metric layer by layer, in the order of the graph, a line for each case."""
    label = _labeller(checks)
    by_metric: dict[str, list[Check]] = {}
    for check in checks:
        if any(math.isfinite(value) for _, value in _layers(check)):
            by_metric.setdefault(check.metric, []).append(check)
    for metric, found in by_metric.items():
        legend_rows = -(-len(found) // 3)
        figure, axes = _figure(left=58, height=220 + 15 * legend_rows, below=15 * legend_rows)
        values: list[float] = []
        for number, check in enumerate(found):
            drawn = [value for _, value in _layers(check)]
            values += [value for value in drawn if math.isfinite(value)]
            axes.plot(
                range(1, len(drawn) + 1),
                drawn,
                color=SERIES[number % len(SERIES)],
                lw=1.4,
                ls=("-", "--", ":")[number // len(SERIES) % 3],
                label=label[check.variant, check.target],
            )
        if values and min(values) > 0 and max(values) / min(values) > 100:
            axes.set_yscale("log")
            _plain_numbers(axes.yaxis)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set_xlabel("layer, in the order of the graph")
        axes.set_ylabel(metric)
        figure.legend(fontsize=TEXT - 0.5, frameon=False, labelcolor=INK, ncols=3, loc="lower center", borderpad=0)
        words = "; ".join(f"{label[c.variant, c.target]}: {_most_drifted(c)}" for c in found)
        plot = f"{name}-{metric}"
        title = f"{model}: {metric} by layer"
        what = METRICS[metric].text if metric in METRICS else metric
        caption = f"Where each variant leaves float32: {what}, of each layer against float32's own run."
        yield Plot(plot, f"{metric} by layer", caption, inline(figure, plot, title=title, description=words))


def _layers(check: Check) -> list[tuple[str, float]]:
    layers = check.evidence.get("layers", ())
    assert isinstance(layers, Iterable)  # noqa: S101 - narrows the type of a JSON value
    return [(str(layer), math.nan if value is None else float(value)) for layer, value in layers]


def _most_drifted(check: Check) -> str:
    layers = [(value, layer) for layer, value in _layers(check) if math.isfinite(value)]
    if not layers:
        return "nothing measured"
    upward = check.metric in METRICS and METRICS[check.metric].direction == "at_least"
    value, layer = min(layers) if upward else max(layers)
    return f"worst at {layer} ({wording.number(check.metric, value)})"


# -- the drawing of all of them ---------------------------------------------------------------------------------------


def _figure(*, left: float, height: float, below: float = 0.0) -> tuple[Figure, Axes]:
    """A figure of the page's width; all in points, `below` for what stands under the axis."""
    figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=72)
    bottom, right = FOOTROOM + below, 14.0
    axes = figure.add_axes(
        (left / WIDTH, bottom / height, (WIDTH - left - right) / WIDTH, (height - bottom - HEADROOM) / height)
    )
    figure.patch.set_visible(False)
    axes.patch.set_visible(False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(LINE)
    axes.tick_params(colors=MUTED, labelsize=TEXT, length=3, width=0.8)
    for axis in (axes.xaxis, axes.yaxis):
        axis.label.set(color=MUTED, fontsize=TEXT)
    axes.grid(visible=True, axis="both", color=LINE, lw=0.6)
    axes.set_axisbelow(True)
    return figure, axes


def _rows(rows: Sequence[Row]) -> tuple[Figure, Axes]:
    """A figure with a row for each case, the first at the top."""
    labels = [row.label if len(row.label) <= LONGEST_LABEL else row.label[: LONGEST_LABEL - 1] + "…" for row in rows]
    height = HEADROOM + FOOTROOM + ROW * max(len(rows), 2)
    figure, axes = _figure(left=12 + LETTER * max(map(len, labels)), height=height)
    axes.yaxis.set_visible(False)  # plain texts draw in a third of the time that ticks take
    for y, label in enumerate(labels):
        beside = axes.get_yaxis_transform()
        axes.text(-0.025, y, label, transform=beside, color=INK, fontsize=TEXT, ha="right", va="center")
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.spines["left"].set_visible(False)
    return figure, axes


def _frame(axes: Axes, values: Iterable[float | None], *, top: float, vertical: bool = True) -> None:
    """Limits of the axis that the values are on: all of them, some air, and never beyond what the metric can take."""
    known = [value for value in values if value is not None]
    low, high = min(known), max(known)
    air = 0.08 * (high - low) or 0.01
    ends = low - air, min(high + air / 2, top) if math.isfinite(top) else high + air / 2
    if vertical:
        axes.set_ylim(ends[0], ends[1] + 0.02 * (ends[1] - ends[0]))
    else:
        axes.set_xlim(*ends)
    axis = axes.yaxis if vertical else axes.xaxis
    axis.set_major_locator(MaxNLocator(5, steps=STEPS))


def _marks(axes: Axes, points: Iterable[Point], size: float = 6.5, shape: str | None = None) -> None:
    """Dots (x, y, verdict). Their shape tells the verdict as well as their colour, unless one is given."""
    by_verdict: dict[Verdict | None, list[tuple[float, float]]] = {}
    for x, y, verdict in points:
        if x is not None:
            by_verdict.setdefault(verdict, []).append((x, y))
    for verdict, places in by_verdict.items():
        marker = shape or (MARKERS[verdict] if verdict else "o")
        across, up = [place[0] for place in places], [place[1] for place in places]
        color = _color(verdict)
        axes.plot(across, up, marker=marker, ms=size, color=color, mec=SURFACE, mew=0.8, ls="", clip_on=False, zorder=4)


def _strokes(axes: Axes, lines: Sequence[Line], **style: Any) -> None:
    """Straight lines (x, y, x, y) as one artist, which draws faster than many: NaN breaks it between two of them."""
    if lines:
        x = [value for line in lines for value in (line[0], line[2], math.nan)]
        y = [value for line in lines for value in (line[1], line[3], math.nan)]
        axes.plot(x, y, solid_capstyle="butt", clip_on=False, **style)


def _limits(axes: Axes, limits: Iterable[tuple[float | None, float, float]]) -> None:
    """Upright ticks (x, y, half their height)."""
    _strokes(axes, [(x, y - h, x, y + h) for x, y, h in limits if x is not None], color=BUDGET, lw=1.8, zorder=3)


def _not_measured(axes: Axes, rows: Sequence[Row]) -> None:
    style = {"color": UNMEASURED, "fontsize": TEXT, "va": "center"}
    for y, row in enumerate(rows):
        if row.value is None:
            axes.text(0.01, y, "not measured", style, transform=axes.get_yaxis_transform())


def _color(verdict: Verdict | None) -> str:
    return COLORS[verdict] if verdict else MUTED


def _worse(*verdicts: Verdict | None) -> Verdict | None:
    return min((v for v in verdicts if v), key=list(Verdict).index, default=None)


def _labeller(checks: Iterable[Check]) -> dict[tuple[str, str], str]:
    """What a case is called on a plot: its variant, and its target where there are several."""
    cases = dict.fromkeys((check.variant, check.target) for check in checks)
    several = len({target for _, target in cases}) > 1
    return {case: f"{case[0]} · {case[1]}" if several else case[0] for case in cases}


def _words(rows: Iterable[Row], metric: str) -> str:
    """A plot for those who do not see it."""
    parts = []
    for row in rows:
        text = f"{row.label}: {'not measured' if row.value is None else wording.number(metric, row.value)}"
        if row.low is not None and row.high is not None:
            text += f" ({wording.number(metric, row.low)} to {wording.number(metric, row.high)})"
        if row.limit is not None:
            text += f", limit {wording.number(metric, row.limit)}"
        parts.append(text)
    return "; ".join(parts)
