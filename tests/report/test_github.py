import re

from liteproof.checks import Verdict
from liteproof.report import github, markdown
from tests.report import check, large, results

ACTIONS = {"GITHUB_ACTIONS": "true"}
FAILED = check(value=0.9, verdict=Verdict.FAIL, margin=-0.05, detail="60 flipped", causes=("a, b",), next="liteproof x")


def test_nothing_elsewhere(tmp_path):
    summary = tmp_path / "summary"
    assert github.publish(results(FAILED), {"GITHUB_STEP_SUMMARY": str(summary)}) == []
    assert not summary.exists()


def test_summary_is_appended(tmp_path):
    summary = tmp_path / "summary"
    summary.write_text("before\n")
    github.publish(results(), {**ACTIONS, "GITHUB_STEP_SUMMARY": str(summary)})
    assert summary.read_text().startswith("before\n## liteproof: 1 of 1 accepted")


def test_summary_stays_below_what_a_page_holds(tmp_path):
    summary = tmp_path / "summary"
    summary.write_bytes(b"x" * (github.SUMMARY_LIMIT - 5000))
    github.append_summary(large([f"model-{n}" for n in range(20)]), summary)
    assert github.SUMMARY_LIMIT - 5000 < summary.stat().st_size < github.SUMMARY_LIMIT
    assert "Left out to fit" in summary.read_text()


def test_full_page_is_left_alone(tmp_path):
    summary = tmp_path / "summary"
    summary.write_bytes(b"x" * github.SUMMARY_LIMIT)
    github.append_summary(results(), summary)
    assert summary.stat().st_size == github.SUMMARY_LIMIT


def test_page_that_cannot_be_written_is_no_failure(tmp_path):
    github.append_summary(results(), tmp_path / "none" / "summary")


def test_missed_gate_is_an_error_on_the_manifest():
    found = results(FAILED)
    found.models["digits"]["manifest"] = {"file": "models/digits/model.toml"}
    (line,) = github.annotated(found)
    command, title, message = (
        line.split("::")[1].split(",")[0],
        line.split("title=")[1].split("::")[0],
        line.split("::")[2],
    )
    assert command == "error file=models/digits/model.toml"
    assert title == "digits / int8 on host%3A FAIL"
    assert message.split("%0A") == [
        "top1_agreement 0.9000, limit ≥ 0.9500, missed by 0.0500",
        "60 flipped",
        "likely cause: a, b",
        "next: liteproof x",
    ]


def test_unsure_gate_is_a_warning():
    lines = list(github.annotated(results(check(verdict=Verdict.PROVISIONAL, samples_to_settle=1234))))
    assert [line.split(" ")[0] for line in lines] == ["::warning"]
    assert "about 1,234 samples would settle it" in lines[0]


def test_names_cannot_start_a_command_of_their_own():
    lines = list(github.annotated(results(FAILED, model="m\n::set-env name=A::b")))
    assert all("\n" not in line for line in lines)


def test_no_more_than_are_shown():
    lines = list(github.annotated(results(*[FAILED] * 40)))
    assert len(lines) == github.SHOWN
    assert lines[-1].endswith("::31 more are in the job summary and in report.html")


def test_summary_of_a_large_run_fits():
    text = markdown.document(large([f"model-{n}" for n in range(10)]), limit=8192)
    assert len(text.encode()) <= 8192
    assert "### Missed gates" in text
    assert "### model-0 on host" in text
    assert re.search(r"\*\*Left out to fit: .*\d of 10 tables", text)
    assert text.rstrip().endswith("</sub>")


def test_a_comment_holds_the_summary():
    assert markdown.LIMIT <= 65_536 < github.SUMMARY_LIMIT
