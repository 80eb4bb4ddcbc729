"""How long a large run takes to render, how large its report is, and how a browser takes it.

    python benchmarks/render_report.py                 # 50 models × 8 variants, with and without a browser's part
    python benchmarks/render_report.py --models 10 --keep /tmp/report.html

The run is made up (`tests/report`): every metric for every case, a part of the gates missed, evidence for each plot but
drift by layer, which ordinary runs do not record. Times are processor time beside time on the clock, the best of
`--rounds`. The browser is headless Chromium; where there is none its part is left out.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import _pytest.outcomes

from liteproof.checks import METRICS, Check
from liteproof.report import html, junit, markdown
from liteproof.report.results import Results, encode
from tests.report import chromium, large


def main() -> None:
    """Measure, and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--models", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="leave the report here")
    options = parser.parse_args()

    results = every_metric(large([f"model-{number:02d}" for number in range(options.models)]))
    cases = sum(len(facts["variants"]) for facts in results.models.values())
    print(f"{options.models} models, {cases} cases, {len(results.checks):,} checks\n")
    print("| file | size | processor time | clock |\n|---|---:|---:|---:|")
    html.document(large())  # imports, fonts and templates are not what is measured
    renderers: dict[str, Callable[[Results], bytes]] = {
        "results.json": encode,
        "junit.xml": junit.document,
        "summary.md": lambda found: markdown.document(found).encode(),
        "report.html": html.document,
    }
    for name, renderer in renderers.items():
        size, busy, clock = timed(lambda renderer=renderer: renderer(results), options.rounds)
        print(f"| {name} | {size / 1e6:.2f} MB | {busy:.2f} s | {clock:.2f} s |")
    with tempfile.TemporaryDirectory() as folder:
        path = options.keep or Path(folder) / "report.html"
        path.write_bytes(html.document(results))
        in_browser(path.resolve(), Path(folder) / "profile", options.rounds)


def every_metric(results: Results) -> Results:
    """The run with a check for every metric that there is, as a run with all suites has."""
    checks = list(results.checks)
    done = {(c.model, c.variant, c.target, c.metric) for c in checks}
    for first in {(c.model, c.variant, c.target): c for c in checks}.values():
        checks += [
            _recorded(first, metric)
            for metric in METRICS
            if (first.model, first.variant, first.target, metric) not in done
        ]
    plain = [replace(c, evidence={k: v for k, v in c.evidence.items() if k != "layers"}) for c in checks]
    return replace(results, checks=tuple(plain))


def _recorded(like: Check, metric: str) -> Check:
    """A check without a gate, with as much text as real ones carry."""
    detail = "largest in sequential/conv2d_3/Conv2D, channel 7 of 32"
    plain = replace(like, interval=None, verdict=None, causes=(), next=None, evidence={}, detail=detail)
    return replace(plain, suite="others", metric=metric, value=0.1, limit=None, margin=None, samples=597)


def timed(render: Callable[[], bytes], rounds: int) -> tuple[int, float, float]:
    """Bytes, seconds of processor time and seconds on the clock: the best of some rounds."""
    best = []
    for _ in range(rounds):
        busy, clock = time.process_time(), time.perf_counter()
        size = len(render())
        best.append((time.process_time() - busy, time.perf_counter() - clock))
    return size, min(busy for busy, _ in best), min(clock for _, clock in best)


def in_browser(path: Path, profile: Path, rounds: int) -> None:
    """What a reader waits for."""
    try:
        browser = chromium.start(profile)
    except _pytest.outcomes.Skipped as reason:
        print(f"\nno browser: {reason}")
        return
    print("\n| in Chromium | milliseconds |\n|---|---:|")
    try:
        found: dict[str, list[float]] = {}
        for _ in range(rounds):
            browser.get(path.as_uri())
            for name, value in browser.execute_async_script(WAITS).items():
                found.setdefault(name, []).append(value)
        for name, values in sorted(found.items(), key=lambda row: not row[0].startswith("until")):
            print(f"| {name} | {min(values):.0f} |")
    finally:
        browser.quit()


# After each action: until the second frame that follows it has begun, so that style and layout count.
WAITS = """const done = arguments[0];
const pause = (milliseconds) => new Promise((next) => setTimeout(next, milliseconds));
const frame = () => new Promise((next) => requestAnimationFrame(() => requestAnimationFrame(next)));
const wait = async (action, settled = 0) => {
  const start = performance.now();
  action();
  await pause(settled);
  await frame();
  return performance.now() - start - settled;
};
(async () => {
  await frame();
  const [opening] = performance.getEntriesByType('navigation');
  const form = document.getElementById('filter');
  const buttons = document.querySelectorAll('#cases th button');
  const choose = (value) => { form.elements.model.value = value; form.dispatchEvent(new Event('input')); };
  const found = {
    'until it can be used (domInteractive)': opening.domInteractive,
    'until all is loaded': opening.loadEventEnd,
    'sort the table of variants': await wait(() => buttons[buttons.length - 1].click()),
    'filter by one model': await wait(() => choose('model-01'), 130),  // typing is waited for 120 ms
    'open the checks of a model': await wait(
      () => { document.querySelector('.model:not([hidden]) details').open = true; }),
  };
  form.reset();
  await pause(500);
  found['jump to the last model'] = await wait(() => [...document.querySelectorAll('.model')].pop().scrollIntoView());
  done(found);
})();"""


if __name__ == "__main__":
    main()
