import io
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from liteproof.checks import Verdict
from liteproof.report import html, junit, markdown, table, terminal, wording, writer
from liteproof.report.results import SignOff
from tests.report import check, results

FAILED = check(
    value=0.9, verdict=Verdict.FAIL, margin=-0.05, detail="60 flipped", causes=("wrong scale",), next="liteproof x"
)
UNMEASURED = check("latency_p50_ms", value=None, limit=None, verdict=Verdict.UNMEASURED, detail="disabled")
PROVISIONAL = check(verdict=Verdict.PROVISIONAL, samples_to_settle=1234)


def on_terminal(found, width=80):
    stream = io.StringIO()
    terminal.show(found, stream, width=width, color=False)
    return stream.getvalue()


def test_gate_message_says_all_that_design_asks_for():
    text = wording.gate_message(FAILED)
    for part in ("top1_agreement 0.9000", "≥ 0.9500", "missed by 0.0500", "597 samples", "60 flipped", "1. wrong scale",
                 "next: liteproof x", FAILED.test):  # fmt: skip
        assert part in text


def test_provisional_message_says_how_many_samples():
    assert "about 1,234 samples" in wording.gate_message(PROVISIONAL)


def test_terminal_fits_80_columns():
    checks = [
        check("size_ratio", 0.2857, 0.45), check(), check("accuracy_drop", -0.0017, 0.01),
        check("latency_p50_ms", 123.4, None, None), check("latency_p95_ms", 1234.5, 2000.0), UNMEASURED,
    ]  # fmt: skip
    grid = on_terminal(results(*checks)).split("UNMEASURED int8")[0]
    assert max(len(line.rstrip()) for line in grid.splitlines()) <= 80
    assert "UNMEASURED" in grid


def test_terminal_lists_missed_gates_under_the_table():
    text = on_terminal(results(FAILED))
    assert "FAIL int8: top1_agreement 0.9000, limit ≥ 0.9500, missed by 0.0500" in text


def test_terminal_tells_what_was_left_unmeasured_for_one_reason_once():
    one, two = (
        check(f"latency_{q}_ms", None, None, Verdict.UNMEASURED, detail="make took a core") for q in ("p50", "p95")
    )
    text = on_terminal(results(one, two))
    assert "UNMEASURED int8: 2 metrics not measured: latency_p50_ms, latency_p95_ms" in text
    assert text.count("make took a core") == 1


def test_markdown_has_table_gates_and_headline():
    text = markdown.document(results(FAILED))
    assert "## liteproof: 0 of 1 accepted" in text
    assert "| int8 |" in text
    assert "missed by 0.0500" in text


def test_markdown_says_when_a_run_was_cut_off():
    assert "cut off" in markdown.document(results(complete=False))
    assert "cut off" not in markdown.document(results())


def test_markdown_escapes_what_users_named():
    text = markdown.document(results(check(), model="<script>|"))
    assert "<script>" not in text
    assert "&lt;script&gt;\\|" in text


def test_junit_fails_what_failed_or_was_not_measured():
    suite = ET.fromstring(junit.document(results(FAILED, UNMEASURED)))[0]
    assert (suite.get("name"), suite.get("hostname")) == ("liteproof.host", "host")
    assert (suite.get("tests"), suite.get("failures")) == ("1", "1")
    assert "missed by 0.0500" in suite.find("testcase/failure").get("message")


def test_junit_passes_provisional():
    assert ET.fromstring(junit.document(results(PROVISIONAL)))[0].get("failures") == "0"


def test_junit_survives_characters_that_xml_has_not():
    ET.fromstring(junit.document(results(check(verdict=Verdict.FAIL, detail="bell \x07 null \x00"))))


def test_missed_gates_come_worst_first():
    found = [c.verdict for c in table.missed(results(check(), PROVISIONAL, UNMEASURED, FAILED))]
    assert found == [Verdict.FAIL, Verdict.UNMEASURED, Verdict.PROVISIONAL]


def test_writer_makes_every_report_and_leads_latest_to_it(tmp_path):
    folder = writer.write(results(), tmp_path)
    assert {path.name for path in folder.iterdir()} == {"results.json", *writer.RENDERERS}
    assert (tmp_path / "latest").resolve() == folder


def test_writer_never_replaces_a_folder_of_the_users(tmp_path):
    (tmp_path / "latest").mkdir()
    (tmp_path / "latest" / "mine.txt").write_text("mine")
    writer.write(results(), tmp_path)
    assert (tmp_path / "latest" / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [("top1_agreement", 0.99163, "0.9916"), ("size_bytes", 999.0, "999 B"), ("latency_p50_ms", 5.7, "5.700 ms"),
     ("accuracy_drop", -0.0017, "-0.0017"), ("saturation", None, "—"), ("nonfinite_outputs", 3.0, "3")],
)  # fmt: skip
def test_numbers_are_written_one_way(metric, value, text):
    assert wording.number(metric, value) == text


def test_every_report_tells_what_to_ship_and_what_came_of_a_sign_off():
    asked = replace(results(), signoff=SignOff(granted=False, blocked_by=("a <dirty> work tree",)))
    for text in (markdown.document(asked), html.document(asked).decode()):
        assert "sign-off refused, blocked by 1:" in text
        assert "a &lt;dirty&gt; work tree" in text
        assert "ship int8" in text
    assert "sign-off" not in markdown.document(results())
