"""The sign-off statement of a model: an in-toto Statement that says which files were accepted, where and under what.

It is a pure function of `results.json`, so whoever has both can make it again and compare. It is not signed here:
docs/release.md says how the tools for that do it.

Sources: in-toto attestation framework, Statement v1 and ResourceDescriptor; predicate test-result v0.1.

    >>> from liteproof.report.results import Results, Run
    >>> results = Results(Run("r", "", "", True, "0.1.0", None), models={"digits": {"variants": {}}})
    >>> statement(results, "digits", "0" * 64)["predicateType"]
    'https://in-toto.io/attestation/test-result/v0.1'
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from liteproof.checks import Check, Verdict
from liteproof.report.results import Results

FILE = "statement.json"
TYPE = "https://in-toto.io/Statement/v1"
PREDICATE = "https://in-toto.io/attestation/test-result/v0.1"
PASSED = "PASSED"
RESULTS = "results.json"

Descriptor = dict[str, Any]


def statement(results: Results, model: str, results_sha256: str) -> dict[str, Any]:
    """The statement of one model.

    Args:
        results: Of a run whose sign-off was granted.
        model: The model's name.
        results_sha256: Digest of the `results.json` that the statement goes with.
    """
    checks = [check for check in results.checks if check.model == model]
    variants = results.models[model]["variants"]
    return {
        "_type": TYPE,
        "subject": [_subject(results, model, variant, checks) for variant in variants],
        "predicateType": PREDICATE,
        "predicate": {
            "result": PASSED,
            "configuration": [_results(results, results_sha256), *_inputs(results, model)],
            "passedTests": sorted({check.test for check in checks}),
            "warnedTests": [],
            "failedTests": [],
        },
    }


def encode(document: Mapping[str, Any]) -> bytes:
    """As JSON that reads well in a review."""
    return json.dumps(document, indent=1, ensure_ascii=False).encode() + b"\n"


def subject_name(model: str, variant: str) -> str:
    """Where the accepted file lies below the statement's folder.

    >>> subject_name("digits", "int8")
    'int8/digits-int8.tflite'
    """
    return f"{variant}/{model}-{variant}.tflite"


def _subject(results: Results, model: str, variant: str, checks: list[Check]) -> Descriptor:
    """An accepted file, and the gates that it passed on each target."""
    facts = results.models[model]["variants"][variant]
    targets = results.verdicts.get(model, {}).get(variant, {})
    return {
        "name": subject_name(model, variant),
        "digest": {"sha256": facts["sha256"]},
        "annotations": {
            "model": model,
            "variant": variant,
            "recipe": facts["recipe"],
            "toolchain": facts.get("toolchain"),
            "bytes": facts["bytes"],
            "targets": {
                target: {
                    "machine": _machine(results.targets[target]),
                    "gates": {
                        check.metric: _gate(check)
                        for check in checks
                        if (check.variant, check.target) == (variant, target) and _is_kept_gate(check)
                    },
                }
                for target, verdict in targets.items()
                if verdict is Verdict.PASS
            },
        },
    }


def _machine(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {key: facts[key] for key in ("machine", "processor", "runtime", "threads") if key in facts}


def _is_kept_gate(check: Check) -> bool:
    return check.limit is not None and check.verdict is Verdict.PASS


def _gate(check: Check) -> dict[str, Any]:
    gate: dict[str, Any] = {"value": check.value, "limit": check.limit}
    if check.better is not None:
        gate["better"] = check.better
    if check.margin is not None and check.margin < 0:  # outside the limit and PASS: a waiver, which says so
        gate["waived"] = check.detail
    return gate


def _results(results: Results, sha256: str) -> Descriptor:
    run = results.run
    return {
        "name": RESULTS,
        "digest": {"sha256": sha256},
        "mediaType": "application/json",
        "annotations": {
            "run": run.id,
            "started": run.started,
            "finished": run.finished,
            "git": run.git,
            "liteproof": run.liteproof,
        },
    }


def _inputs(results: Results, model: str) -> Iterator[Descriptor]:
    """What decided the outcome: the model's files, the suites and their configuration, toolchains and runtimes."""
    facts = results.models[model]
    for key in ("manifest", "source", "evaluation", "calibration"):
        file = facts.get(key)
        if file:
            yield from _files(key, file)
    for given in results.signoff.inputs if results.signoff else ():
        yield _input(given)


def _files(role: str, facts: Mapping[str, Any]) -> Iterator[Descriptor]:
    """A file as it was read; or, of samples that were made of some, each of these, what was done, and what came out."""
    made_from = facts.get("made_from") or [facts]
    for file in made_from:
        yield {"name": file["file"], "digest": {"sha256": file["sha256"]}, "annotations": {"role": role}}
    if facts.get("arrays_sha256"):
        yield {
            "name": f"{facts['file']}.npz",
            "digest": {"sha256": facts["arrays_sha256"]},
            "annotations": {"role": f"{role} arrays", "preprocessing": facts.get("preprocessing") or {}},
        }


def _input(given: Mapping[str, str]) -> Descriptor:
    descriptor: Descriptor = {key: given[key] for key in ("name", "uri") if key in given}
    if "sha256" in given:
        descriptor["digest"] = {"sha256": given["sha256"]}
    if "role" in given:
        descriptor["annotations"] = {"role": given["role"]}
    return descriptor
