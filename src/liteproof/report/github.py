r"""On GitHub Actions: the summary goes to the job's page, and missed gates become annotations on the manifest.

Both are plain text: a file that the runner reads when the step ends, and workflow commands on standard output.

>>> command("error", "missed by 5%\nsee below", file="models/a,b/model.toml", title="digits / int8")
'::error file=models/a%2Cb/model.toml,title=digits / int8::missed by 5%25%0Asee below'
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from liteproof.checks import Verdict
from liteproof.report import markdown, table, wording
from liteproof.report.results import Results

Level = Literal["error", "warning", "notice"]

# GitHub shows ten errors and ten warnings of a step and drops the rest without a word.
SHOWN = 10
SUMMARY_LIMIT = 1024 * 1024


def publish(results: Results, environment: Mapping[str, str]) -> list[str]:
    """Append the summary to the job's page; returns the annotations, to be printed each on a line of its own.

    Outside GitHub Actions it does nothing.

    Args:
        results: The run.
        environment: The process's environment variables.
    """
    if environment.get("GITHUB_ACTIONS") != "true":
        return []
    summary = environment.get("GITHUB_STEP_SUMMARY")
    if summary:
        append_summary(results, Path(summary))
    return list(annotated(results))


def append_summary(results: Results, path: Path) -> None:
    """Append `summary.md`, cut to what the job's page has room for. A file that cannot be written is no failure."""
    try:
        used = path.stat().st_size if path.exists() else 0
        text = markdown.document(results, limit=min(markdown.LIMIT, SUMMARY_LIMIT - used - 1))
        if used + len(text.encode()) < SUMMARY_LIMIT:
            with path.open("a", encoding="utf-8") as file:
                file.write(text + "\n")
    except OSError:
        return


def annotated(results: Results) -> Iterator[str]:
    """Missed gates as errors and unsure ones as warnings, worst first; one line says how many more there are."""
    gates = table.gates(results)
    errors = [gate for gate in gates if gate.check.verdict is not Verdict.PROVISIONAL]
    warnings = [gate for gate in gates if gate.check.verdict is Verdict.PROVISIONAL]
    yield from _level("error", errors, results)
    yield from _level("warning", warnings, results)


def _level(level: Level, gates: list[table.Gate], results: Results) -> Iterator[str]:
    shown = gates if len(gates) <= SHOWN else gates[: SHOWN - 1]
    for gate in shown:
        check = gate.check
        text = [gate.line, *(check.detail or "").splitlines()]
        if check.verdict is Verdict.PROVISIONAL:
            text.append(wording.unsure(check.samples_to_settle))
        text += [f"likely cause: {cause}" for cause in check.causes[:1]]
        text += [f"next: {check.next}"] if check.next else []
        title = f"{check.model} / {check.variant} on {check.target}: {check.verdict}"
        manifest = results.models.get(check.model, {}).get("manifest") or {}
        yield command(level, "\n".join(text), file=manifest.get("file"), title=title)
    if len(gates) > len(shown):
        yield command(level, f"{len(gates) - len(shown)} more are in the job summary and in report.html", title="more")


def command(level: Level, message: str, *, file: str | None = None, title: str | None = None) -> str:
    """A workflow command, escaped as the runner unescapes it."""
    properties = ",".join(f"{name}={_property(value)}" for name, value in (("file", file), ("title", title)) if value)
    return f"::{level} {properties}::{_data(message)}" if properties else f"::{level}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
