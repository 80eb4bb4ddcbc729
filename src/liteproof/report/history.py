"""How a model's metrics moved over its sign-offs, so that a slow drift is seen.

    >>> sign_offs(Path("nowhere"), "digits")
    []

Each sign-off was within its budgets; a metric that loses a little every time is in none of their reports.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from liteproof.checks import METRICS, Better, metric_of
from liteproof.report import wording
from liteproof.report.results import Results, decode

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEADINGS = ("variant", "target", "metric", "n", "first", "last", "change", "trend")
NAMES = HEADINGS[:3]
_BARS = "▁▂▃▄▅▆▇█"
_COLUMNS = 3


@dataclass(frozen=True)
class Series:
    """One metric of one case over the sign-offs, oldest first. `runs` and `days` are those of each value."""

    variant: str
    target: str
    metric: str
    values: tuple[float, ...]
    limits: tuple[float | None, ...]
    runs: tuple[str, ...]
    days: tuple[str, ...]
    better: Better | None = None

    @property
    def change(self) -> float:
        """Last less first."""
        return self.values[-1] - self.values[0]

    @property
    def moved(self) -> bool:
        """Whether any value is another than the first."""
        return len(set(self.values)) > 1

    @property
    def worse(self) -> bool:
        """Whether the last value is less favourable than the first."""
        return self.change < 0 if self.at_least else self.change > 0

    @property
    def at_least(self) -> bool:
        """Whether its limit is a lower one."""
        known = self.metric in METRICS or self.better is not None
        return known and metric_of(self.metric, self.better).direction == "at_least"


def sign_offs(folder: Path, model: str) -> list[Results]:
    """Every granted sign-off of this model that is kept below a folder, oldest first; copies of one run count once.

    Files that are no results of this version are passed over.
    """
    found: dict[str, Results] = {}
    for path in sorted(folder.rglob("results.json")):
        try:
            results = decode(path.read_bytes())
        except (OSError, msgspec.MsgspecError):
            continue
        if results.signoff and results.signoff.granted and model in results.models:
            found.setdefault(results.run.id, results)
    return sorted(found.values(), key=lambda results: (results.run.started, results.run.id))


def series(history: Sequence[Results], model: str) -> list[Series]:
    """Each metric of each case over these sign-offs; metrics measured by none are left out."""
    points: dict[tuple[str, str, str], list[tuple[float, float | None, str, str]]] = {}
    better = {check.metric: check.better for results in history for check in results.checks if check.model == model}
    for results in history:
        for check in results.checks:
            if check.model == model and check.value is not None:
                at = (check.value, check.limit, results.run.id, results.run.started[:10])
                points.setdefault((check.variant, check.target, check.metric), []).append(at)
    found = []
    for (variant, target, metric), values in points.items():
        value, limit, runs, days = zip(*values, strict=True)
        found.append(Series(variant, target, metric, value, limit, runs, days, better[metric]))
    return found


def rows(found: Sequence[Series]) -> Iterator[tuple[str, ...]]:
    """The table under `HEADINGS`, a row a metric."""
    for one in found:
        first, last = (wording.number(one.metric, one.values[at]) for at in (0, -1))
        change = wording.number(one.metric, one.change, signed=True) if one.change else "same"
        yield (
            one.variant,
            one.target,
            one.metric,
            str(len(one.values)),
            first,
            last,
            f"{change} ▼" if one.worse else change,
            spark(one.values),
        )


def spark(values: Sequence[float]) -> str:
    """The values as small bars, the least of them lowest.

    >>> spark([1.0, 2.0, 3.0]), spark([5.0, 5.0])
    ('▁▅█', '▄▄')
    """
    low, high = min(values), max(values)
    if low == high:
        return _BARS[3] * len(values)
    return "".join(_BARS[round((value - low) / (high - low) * (len(_BARS) - 1))] for value in values)


def plot(found: Sequence[Series], model: str) -> bytes:
    """An SVG with a small plot for each metric on each target: a line a variant, the tightest limit drawn in."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    panels = list(dict.fromkeys((one.metric, one.target) for one in found))
    height = -(-len(panels) // _COLUMNS)
    with mpl.rc_context({"svg.hashsalt": model, "font.size": 8}):
        figure: Figure = Figure(figsize=(4.2 * _COLUMNS, 2.4 * height), layout="constrained")
        for place, (metric, target) in enumerate(panels, 1):
            axes = figure.add_subplot(height, _COLUMNS, place)
            _panel(axes, [one for one in found if (one.metric, one.target) == (metric, target)])
            axes.set_title(f"{metric} on {target}")
        stream = io.BytesIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Title": f"{model}: sign-offs"})
    return stream.getvalue()


def _panel(axes: Any, found: Sequence[Series]) -> None:
    for one in found:
        axes.plot(range(len(one.values)), one.values, marker="o", markersize=3, label=_plain(one.variant))
    limits = [limit for one in found for limit in one.limits[-1:] if limit is not None]
    if limits:
        axes.axhline(max(limits) if found[0].at_least else min(limits), color="black", linestyle=":", linewidth=1)
    longest = max(found, key=lambda one: len(one.values))
    axes.set_xticks(range(len(longest.days)), longest.days, rotation=30, ha="right")
    axes.legend(fontsize=6)


def _plain(text: str) -> str:
    """A name without what matplotlib reads as mathematics or hides from a legend."""
    return text.replace("$", r"\$").lstrip("_") or text
