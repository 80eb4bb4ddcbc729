"""A small run to make reports from."""

from dataclasses import replace

from liteproof.checks import Check, Verdict
from liteproof.report.results import Results, Run, verdicts_of

TEST = "acceptance/test_agreement.py::test_top1_agreement[digits-int8-host]"


def check(metric="top1_agreement", value=0.99, limit=0.95, verdict=Verdict.PASS, **more):
    margin = None if value is None or limit is None else (value - limit)
    made = Check("digits", "int8", "host", "agreement", metric, value, limit, margin, 597, (0.98, 0.996), verdict, TEST)
    return replace(made, **more)


def results(*checks, complete=True, model="digits"):
    checks = tuple(replace(c, model=model) for c in checks or (check(),))
    return Results(
        run=Run("20261120T120000Z-abc123", "2026-11-20T12:00:00Z", "2026-11-20T12:01:00Z", complete, "0.1.0", None),
        targets={"host": {"machine": "x86_64", "runtime": "ai_edge_litert 2.3.0", "numpy": "2.0", "threads": 1}},
        models={
            model: {
                "task": "classification",
                "variants": {"int8": {"file": "int8.tflite", "bytes": 16384, "recipe": "int8", "sha256": "0" * 64}},
            }
        },
        checks=checks,
        verdicts=verdicts_of(checks),
    )
