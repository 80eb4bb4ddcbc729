"""`results.json`: what a run found.

>>> run = Run(id="r", started="", finished="", complete=True, liteproof="0.1.0", git=None)
>>> decode(encode(Results(run=run))).run.complete
True
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from liteproof.checks import Check, Verdict, worst
from liteproof.errors import UsageError

SCHEMA = "liteproof.results/1"

Verdicts = dict[str, dict[str, dict[str, Verdict]]]


@dataclass(frozen=True)
class Run:
    """One execution of the suites. `complete` is false where it was cut off or did not run every test it selected."""

    id: str
    started: str
    finished: str
    complete: bool
    liteproof: str
    git: str | None
    command: tuple[str, ...] = ()
    selected: int = 0
    ran: int = 0


@dataclass(frozen=True)
class SignOff:
    """Whether a run that was asked to be a sign-off is one.

    Attributes:
        granted: Whether it is: nothing blocks it.
        blocked_by: What blocks it, a sentence each.
        release: Model → the targets that its manifest names for release.
        inputs: What the run was judged by and with: suites, configuration and engine (name, sha256), packages (uri).
        no_vcs: Whether `--no-vcs` lifted the demand for a clean work tree.
        requested: Always true: a run that was not asked to be one has no such section.
    """

    granted: bool
    blocked_by: tuple[str, ...] = ()
    release: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    inputs: tuple[Mapping[str, str], ...] = ()
    no_vcs: bool = False
    requested: bool = True


@dataclass(frozen=True)
class Results:
    """All that a run found.

    Attributes:
        run: The execution.
        targets: Each target's machine and runtime.
        models: Each model's files, with their digests.
        checks: All that was measured.
        verdicts: Model → variant → target → the case's worst verdict.
        signoff: Of a run with `--signoff`, what came of it.
        fingerprints: Of each test that passed, a digest of all that decided it: a later run with `--reuse` takes its
            checks over where it finds the same.
        schema: What a reader may expect.
    """

    run: Run
    targets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()
    verdicts: Verdicts = field(default_factory=dict)
    signoff: SignOff | None = None
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    schema: str = SCHEMA


def verdicts_of(checks: Iterable[Check]) -> Verdicts:
    """Each case's verdict: its worst."""
    cases: dict[tuple[str, str, str], list[Verdict]] = {}
    for check in checks:
        found = cases.setdefault((check.model, check.variant, check.target), [])
        if check.verdict is not None:
            found.append(check.verdict)
    verdicts: Verdicts = {}
    for (model, variant, target), found in cases.items():
        verdict = worst(found)
        if verdict is not None:
            verdicts.setdefault(model, {}).setdefault(variant, {})[target] = verdict
    return verdicts


def finite(check: Check) -> Check:
    """The check as JSON can carry it: what is not a finite number is null."""

    def keep(value: float | None) -> float | None:
        return value if value is not None and math.isfinite(value) else None

    interval = check.interval
    if interval is not None and not all(math.isfinite(end) for end in interval):
        interval = None
    return replace(
        check, value=keep(check.value), margin=keep(check.margin), limit=keep(check.limit), interval=interval
    )


def encode(results: Results) -> bytes:
    """As indented JSON, in the documented order of keys."""
    document = msgspec.to_builtins(results)
    for name in ("signoff", "fingerprints"):
        if not document.get(name):
            document.pop(name, None)  # of results that were read without one there is none
    ordered = {"schema": document.pop("schema"), **document}
    return msgspec.json.format(msgspec.json.encode(ordered), indent=1) + b"\n"


def decode(text: bytes) -> Results:
    """Back from JSON.

    Raises:
        msgspec.ValidationError: if it is not a `results.json`.
    """
    return msgspec.json.decode(text, type=Results)


def read(run: Path) -> Results:
    """The results of a run, given its folder or its `results.json`.

    Raises:
        UsageError: if there is none, or it is damaged, or of a schema that this version does not know.
    """
    path = run / "results.json" if run.is_dir() else run
    try:
        results = decode(path.read_bytes())
    except OSError as error:
        raise UsageError(
            f"no results to read: {error.strerror}", expected="the folder of a run", where=str(path), next="ls reports/"
        ) from error
    except msgspec.MsgspecError as error:
        raise UsageError(f"not a results.json: {error}", expected=f"schema {SCHEMA}", where=str(path)) from error
    if results.schema != SCHEMA:
        raise UsageError(f"schema {results.schema!r}", expected=SCHEMA, where=str(path))
    return results
