"""How numbers and verdicts are written, the same in every report.

>>> number("size_ratio", 0.28571), number("latency_p50_ms", 0.0312), number("size_bytes", 16384.0)
('0.286', '0.031 ms', '16.4 kB')
>>> number("cosine_similarity", 0.98765), number("cosine_similarity", 0.9999), number("top1_agreement", None)
('0.988', '0.9999', '—')
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from liteproof.checks import METRICS, Better, Check, Verdict, metric_of

NONE = "—"


def number(metric: str, value: float | None, *, signed: bool = False) -> str:
    """A value with its unit, in as many digits as a decision needs."""
    if value is None:
        return NONE
    unit = METRICS[metric].unit if metric in METRICS else ""
    sign = "+" if signed and value >= 0 else ""
    if metric == "loads" and not signed:
        return "yes" if value >= 1 else "no"
    if unit == "bytes":
        return sign + size(value)
    if unit == "count":
        return f"{sign}{value:g}"
    if unit == "ms":
        return f"{sign}{milliseconds(value)} ms"
    if unit == "MB":
        return f"{sign}{value:.1f} MB"
    if unit == "dB":
        return f"{sign}{value:.1f} dB"
    if unit == "lsb":
        return f"{sign}{value:.4g} steps"
    if unit == "share" or metric.endswith("_drop"):
        return f"{sign}{value:.4f}"
    return f"{sign}{_plain(value)}"


def _plain(value: float) -> str:
    """Three decimals; more where they would make 1 of what is not."""
    if abs(value) < 0.001 or abs(value) >= 1000:
        return f"{value:.3g}"
    text = f"{value:.3f}"
    finer = f"{value:.5g}"
    return finer if text == "1.000" and finer != "1" else text


def size(value: float) -> str:
    """Bytes for people: 16.4 kB, 1.23 MB."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if abs(value) >= factor:
            return f"{value / factor:.3g} {unit}"
    return f"{value:.0f} B"


def milliseconds(value: float) -> str:
    """Three significant digits, never more than three decimals."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"


def limit(metric: str, value: float | None, better: Better | None = None) -> str:
    """A limit with the sign between it and a value that keeps it.

    >>> limit("top1_agreement", 0.95), limit("loads", 1.0), limit("mean_iou", 0.8, "higher")
    ('≥ 0.9500', 'yes', '≥ 0.800')

    Args:
        metric: Its name.
        value: The limit.
        better: Of a manifest's own metric: which way is good.
    """
    if value is None or metric == "loads" or (metric not in METRICS and better is None):
        return number(metric, value)
    sign = "≥" if metric_of(metric, better).direction == "at_least" else "≤"
    return f"{sign} {number(metric, value)}"


def gate_line(check: Check) -> str:
    """One missed or unsure gate in one line: metric, value, limit, margin.

    >>> from liteproof.checks import Check, Verdict
    >>> gate_line(Check("digits", "int8", "host", "agreement", "top1_agreement", 0.9, 0.95, -0.05, 597, None,
    ...                 Verdict.FAIL, "acceptance/test_agreement.py::test_top1_agreement[digits-int8-host]"))
    'top1_agreement 0.9000, limit ≥ 0.9500, missed by 0.0500'
    """
    if check.verdict is Verdict.UNMEASURED or (check.metric not in METRICS and check.better is None):
        held = "" if check.limit is None else f", limit {limit(check.metric, check.limit, check.better)}"
        return f"{check.metric} not measured{held}"
    if check.metric == "loads":
        return "loads" if check.value else "does not load"
    text = f"{check.metric} {number(check.metric, check.value)}"
    if check.limit is None:
        return text
    text += f", limit {limit(check.metric, check.limit, check.better)}"
    if check.margin is None:
        return text
    distance = number(check.metric, abs(check.margin))
    return f"{text}, missed by {distance}" if check.margin < 0 else f"{text}, within by {distance}"


def gate_message(check: Check) -> str:
    """All that a missed gate says: what was measured, the limit, by how much, the likely causes, what to run next."""
    lines = [f"{check.model} / {check.variant} on {check.target}: {check.verdict}", f"  {gate_line(check)}"]
    if check.samples is not None:
        interval = ""
        if check.interval is not None:
            low, high = (number(check.metric, end) for end in check.interval)
            interval = f", 95% interval {low} to {high}"
        lines.append(f"  {check.samples} {'rounds' if check.metric.startswith('latency') else 'samples'}{interval}")
    if check.detail:
        lines += [f"  {line}" for line in check.detail.splitlines()]
    if check.verdict is Verdict.PROVISIONAL:
        lines.append(f"  {unsure(check.samples_to_settle)}")
    if check.causes:
        lines.append("  likely causes:")
        lines += [f"    {rank}. {cause}" for rank, cause in enumerate(check.causes, 1)]
    lines.append(f"  test: {check.test}")
    if check.next:
        lines.append(f"  next: {check.next}")
    return "\n".join(lines)


def unsure(samples_to_settle: int | None) -> str:
    """What PROVISIONAL asks for."""
    if samples_to_settle is None:
        return "within the limit, but its one-sided 95% bound is not; more samples at this value will not settle it"
    return f"within the limit, but its one-sided 95% bound is not; about {samples_to_settle:,} samples would settle it"


def taken_over(checks: Iterable[Check]) -> str:
    """What a run with `--reuse` did not measure itself, in one sentence; "" where it measured everything.

    >>> from dataclasses import replace
    >>> one = Check("m", "v", "host", "size", "size_ratio", 0.3, 0.4, 0.1, None, None, Verdict.PASS, "t1")
    >>> taken_over([one, replace(one, test="t2", taken_over="20261121T134350Z-954a47")])
    '1 of 2 tests taken over, unchanged: 1 of run 20261121T134350Z-954a47'
    """
    tests = {check.test: check.taken_over for check in checks}
    runs = Counter(run for run in tests.values() if run)
    if not runs:
        return ""
    named = ", ".join(f"{count} of run {run}" for run, count in sorted(runs.items(), reverse=True))
    return f"{sum(runs.values())} of {len(tests)} tests taken over, unchanged: {named}"
