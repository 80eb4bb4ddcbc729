"""Whether a file is one that a sign-off accepted: its digest against the statement, and the statement against the rest.

Needs neither TensorFlow nor a runtime, so a board can ask before it takes a model into service.

    >>> print(accepted_by(Path("digits-int8.tflite"), Path("statement.json")))     # doctest: +SKIP
    accepted: digits-int8.tflite is int8 of digits, by run 20261120T210315Z-d67c30 on 2026-11-20
    …

A digest shows that nothing was changed by accident or by half. Who made the statement is shown by a signature over it
(docs/release.md), which is checked by the tool that made it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from liteproof.errors import LiteproofError, UsageError
from liteproof.report import statement as statements
from liteproof.report import wording
from liteproof.report.results import SCHEMA, decode
from liteproof.store import file_sha256

SUMS = "SHA256SUMS"


class Refused(LiteproofError):
    """The file was not accepted, or the statement does not hold together."""


class _Annotations(msgspec.Struct):
    model: str
    variant: str
    targets: dict[str, dict[str, Any]]


class _Subject(msgspec.Struct):
    name: str
    digest: dict[str, str]
    annotations: _Annotations


class _Configuration(msgspec.Struct):
    name: str = ""
    digest: dict[str, str] = {}
    annotations: dict[str, Any] = {}


class _Predicate(msgspec.Struct):
    result: str
    configuration: list[_Configuration]
    failed_tests: list[str] = msgspec.field(default_factory=list, name="failedTests")
    warned_tests: list[str] = msgspec.field(default_factory=list, name="warnedTests")


class _Statement(msgspec.Struct):
    type: str = msgspec.field(name="_type")
    predicate_type: str = msgspec.field(name="predicateType")
    subject: list[_Subject]
    predicate: _Predicate


@dataclass(frozen=True)
class Acceptance:
    """What a statement says of a file that it accepts.

    Attributes:
        file: The file that was asked about.
        model: Its model.
        variant: Its variant.
        run: The run that accepted it.
        when: That run's start, UTC.
        git: The commit that it judged, if it was one.
        targets: Target → its machine and the gates that were passed there.
        notes: What else to know: what could not be checked here, a sentence each.
    """

    file: Path
    model: str
    variant: str
    run: str
    when: str
    git: str | None
    targets: Mapping[str, Mapping[str, Any]]
    notes: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        lines = [f"accepted: {self.file.name} is {self.variant} of {self.model}, by run {self.run} on {self.when[:10]}"]
        if self.git:
            lines.append(f"  commit:   {self.git}")
        for target, facts in self.targets.items():
            machine = facts.get("machine", {})
            lines.append(f"  target:   {target} ({machine.get('runtime', '?')}, {machine.get('machine', '?')})")
            lines += [f"    {_gate(metric, gate)}" for metric, gate in facts.get("gates", {}).items()]
        lines += [f"  note:     {sentence}" for sentence in self.notes]
        return "\n".join(lines)


def accepted_by(file: Path, statement: Path) -> Acceptance:
    """What the statement says of this very file.

    Args:
        file: A `.tflite`.
        statement: The `statement.json` of a release folder. `results.json` and `SHA256SUMS` beside it are checked too.

    Raises:
        UsageError: if one of the two cannot be read.
        Refused: if the file is none of those that were accepted, or if the statement was edited or vouches for nothing.
    """
    content = _read(statement)
    document, found = _parse(content, statement)
    _require_passed(found, statement)
    sha256 = _digest_of(file)
    subjects = [s for s in found.subject if s.digest.get("sha256") == sha256]
    if not subjects:
        raise _not_accepted(file, sha256, found, statement)
    subject = next((s for s in subjects if Path(s.name).name == file.name), subjects[0])
    if not subject.annotations.targets:
        raise _edited(statement, f"{subject.name} was accepted on no target")
    notes = [f"the same bytes were accepted as {s.annotations.variant} too" for s in subjects if s is not subject]
    _check_sums(statement)
    notes += _check_results(document, found, statement)
    run = _results_entry(found, statement).annotations
    return Acceptance(
        file,
        subject.annotations.model,
        subject.annotations.variant,
        str(run.get("run", "?")),
        str(run.get("started", "?")),
        run.get("git"),
        subject.annotations.targets,
        tuple(notes),
    )


def _gate(metric: str, gate: Any) -> str:
    facts = gate if isinstance(gate, dict) else {}
    value, limit = (_number(facts.get(key)) for key in ("value", "limit"))
    held = wording.limit(metric, limit, facts.get("better"))
    text = f"{metric} {wording.number(metric, value)}, limit {held}"
    return f"{text} ({facts['waived']})" if facts.get("waived") else text


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read the statement: {error.strerror}", where=str(path)) from error


def _digest_of(file: Path) -> str:
    try:
        if not file.is_file():
            raise UsageError("no such file", expected="the .tflite to be verified", where=str(file))
        return file_sha256(file)
    except OSError as error:
        raise UsageError(f"cannot read the file: {error.strerror}", where=str(file)) from error


def _parse(content: bytes, path: Path) -> tuple[Any, _Statement]:
    try:
        document = json.loads(content)
        return document, msgspec.convert(document, _Statement)
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise Refused(
            f"not a sign-off statement: {error}", expected="the statement.json of a release folder", where=str(path)
        ) from error


def _require_passed(found: _Statement, path: Path) -> None:
    for value, expected in (
        (found.type, statements.TYPE),
        (found.predicate_type, statements.PREDICATE),
        (found.predicate.result, statements.PASSED),
    ):
        if value != expected:
            raise Refused(f"the statement says {value!r}", expected=repr(expected), where=str(path))
    if found.predicate.failed_tests or found.predicate.warned_tests:
        raise _edited(path, "it lists tests that did not pass")


def _not_accepted(file: Path, sha256: str, found: _Statement, path: Path) -> Refused:
    namesake = next((s for s in found.subject if Path(s.name).name == file.name), None)
    accepted = ", ".join(s.name for s in found.subject) or "none"
    expected = f"one of the accepted files: {accepted}"
    if namesake:
        expected = f"{namesake.name}: sha256 {namesake.digest.get('sha256')}"
    return Refused(
        f"{file.name} was not accepted: its sha256 is {sha256}",
        expected=expected,
        where=str(path),
        next="take the file again from the release",
    )


def _edited(path: Path, how: str) -> Refused:
    return Refused(
        f"the statement was edited: {how}",
        expected="the statement as the sign-off wrote it",
        where=str(path),
        next="take the release folder again from where it was published",
    )


def _check_sums(path: Path) -> None:
    """Hold the files beside the statement against `SHA256SUMS`, where there is one."""
    sums = path.parent / SUMS
    try:
        lines = sums.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"cannot read {SUMS}: {error}", where=str(sums)) from error
    for line in lines:
        sha256, _, name = line.partition("  ")
        beside = path if name == statements.FILE else path.parent / name
        if beside.is_file() and file_sha256(beside) != sha256:
            raise Refused(f"{name} was edited after the sign-off", expected=f"sha256 {sha256}", where=str(beside))


def _results_entry(found: _Statement, path: Path) -> _Configuration:
    entry = next((c for c in found.predicate.configuration if c.name == statements.RESULTS), None)
    if entry is None or "sha256" not in entry.digest:
        raise _edited(path, "it does not name its results.json")
    return entry


def _check_results(document: Any, found: _Statement, path: Path) -> list[str]:
    """Hold the `results.json` beside the statement against its digest, and the statement against the results."""
    entry = _results_entry(found, path)
    beside = path.parent / statements.RESULTS
    try:
        content = beside.read_bytes()
    except FileNotFoundError:
        return ["results.json is not beside the statement: what the statement says was not held against it"]
    except OSError as error:
        raise Refused(f"cannot read results.json: {error.strerror}", where=str(beside)) from error
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != entry.digest["sha256"]:
        raise Refused(
            "results.json was edited after the sign-off", expected=f"sha256 {entry.digest['sha256']}", where=str(beside)
        )
    try:
        results = decode(content)
        made_again = {m: statements.statement(results, m, sha256) for m in {s.annotations.model for s in found.subject}}
    except (msgspec.MsgspecError, KeyError) as error:
        raise Refused(
            f"results.json does not fit the statement: {error}", expected=SCHEMA, where=str(beside)
        ) from error
    if results.signoff is None or not results.signoff.granted:
        raise Refused("the run was no sign-off, or it was not granted", where=str(beside))
    if document not in [json.loads(statements.encode(again)) for again in made_again.values()]:
        raise _edited(path, "it says other things than its results.json")
    return []
