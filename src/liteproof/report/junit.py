"""`junit.xml`: one suite a target, one case a test, for the CI systems that read it.

>>> from liteproof.report.results import Results, Run
>>> document(Results(Run("r", "2026-11-20T12:00:00Z", "", True, "0.1.0", None))).startswith(b"<?xml")
True
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from xml.etree import ElementTree as ET

from liteproof.checks import Check, Verdict
from liteproof.report import wording
from liteproof.report.results import Results

# XML 1.0 allows no other characters, not even escaped.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def document(results: Results) -> bytes:
    """The whole file."""
    root = ET.Element("testsuites", name="liteproof")
    for target, machine in results.targets.items():
        checks = [c for c in results.checks if c.target == target]
        suite = ET.SubElement(root, "testsuite", name=f"liteproof.{target}", hostname=target)
        suite.set("timestamp", results.run.started.rstrip("Z"))
        properties = ET.SubElement(suite, "properties")
        for key, value in machine.items():
            ET.SubElement(properties, "property", name=key, value=_text(str(value)))
        counts = [_case(suite, test, found) for test, found in _by_test(checks)]
        suite.set("tests", str(len(counts)))
        suite.set("failures", str(sum(counts)))
        suite.set("errors", "0")
    text = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}'.encode()


def _by_test(checks: Iterable[Check]) -> list[tuple[str, list[Check]]]:
    tests: dict[str, list[Check]] = {}
    for check in checks:
        tests.setdefault(check.test, []).append(check)
    return list(tests.items())


def _case(suite: ET.Element, test: str, checks: list[Check]) -> bool:
    """Add one test; tells whether it failed."""
    file, _, name = test.partition("::")
    case = ET.SubElement(
        suite, "testcase", classname=_text(file.removesuffix(".py").replace("/", ".")), name=_text(name)
    )
    properties = ET.SubElement(case, "properties")
    for check in checks:
        text = "" if check.value is None else repr(check.value)
        ET.SubElement(properties, "property", name=check.metric, value=text)
    blocking = [c for c in checks if c.verdict in (Verdict.FAIL, Verdict.UNMEASURED)]
    if blocking:
        failure = ET.SubElement(case, "failure", message=_text("; ".join(map(wording.gate_line, blocking))))
        failure.set("type", str(blocking[0].verdict))
        failure.text = _text("\n\n".join(map(wording.gate_message, blocking)))
    return bool(blocking)


def _text(value: str) -> str:
    return _FORBIDDEN.sub("\ufffd", value)
