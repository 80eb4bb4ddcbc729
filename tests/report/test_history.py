import io
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from liteproof.cli import main
from liteproof.report import history, terminal
from liteproof.report.results import SignOff, encode
from tests.report import check, results

GRANTED = SignOff(True)


def keep(folder, day, *checks, signoff=GRANTED, model="digits"):
    found = results(*checks, model=model)
    run = replace(found.run, id=f"2026{day:02}", started=f"2026-11-{day:02}T12:00:00Z")
    (folder / run.id).mkdir(parents=True)
    (folder / run.id / "results.json").write_bytes(encode(replace(found, run=run, signoff=signoff)))


@pytest.fixture
def kept(tmp_path):
    """Three sign-offs in which agreement goes slowly down, and runs that are none."""
    for day, value in ((3, 0.97), (1, 0.99), (2, 0.98)):
        keep(tmp_path, day, check(value=value), check("size_ratio", 0.3, 0.45))
    keep(tmp_path, 4, check(value=0.5), signoff=None)
    keep(tmp_path, 5, check(value=0.5), signoff=SignOff(False, ("dirty",)))
    keep(tmp_path, 6, model="other")
    (tmp_path / "results.json").write_text("not of ours")
    return tmp_path


def test_only_granted_sign_offs_count_oldest_first(kept):
    assert [found.run.started[8:10] for found in history.sign_offs(kept, "digits")] == ["01", "02", "03"]


def test_the_copy_in_a_release_folder_is_the_same_run(kept):
    (kept / "202601" / "release").mkdir()
    (kept / "202601" / "release" / "results.json").write_bytes((kept / "202601" / "results.json").read_bytes())
    assert len(history.sign_offs(kept, "digits")) == 3


def test_a_drift_is_seen(kept):
    agreement, size = history.series(history.sign_offs(kept, "digits"), "digits")
    assert agreement.values == (0.99, 0.98, 0.97)
    assert agreement.worse
    assert not size.worse
    row = next(history.rows([agreement]))
    assert row == ("int8", "host", "top1_agreement", "3", "0.9900", "0.9700", "-0.0200 ▼", "█▅▁")


def test_the_table_and_the_plot(kept, capsys):
    assert main(["history", "digits", f"--under={kept}", f"--plot={kept / 'plot.svg'}"]) == 0
    text = capsys.readouterr().out
    assert "digits: 3 sign-offs, 2026-11-01 to 2026-11-03" in text
    assert "top1_agreement" in text
    assert "size_ratio" not in text
    assert "unchanged from the first one on: 1 more" in text
    root = ET.parse(kept / "plot.svg").getroot()
    assert root.tag.endswith("svg")
    text = (kept / "plot.svg").read_text()
    assert "http://" not in text.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "http://creativecommons.org", ""
    )


def test_what_did_not_move_is_shown_when_asked_for(kept, capsys):
    assert main(["history", "digits", f"--under={kept}", "--metric=size_ratio"]) == 0
    assert "size_ratio" in capsys.readouterr().out


def test_names_stay_whole_at_80_columns():
    one = history.Series("dynamic_range", "host", "calibration_accuracy_drop", (0.9, 0.8, 0.7), (0.5,), ("r",), ("d",))
    stream = io.StringIO()
    terminal.show_rows("t", history.HEADINGS, list(history.rows([one])), stream, width=80, whole=history.NAMES)
    assert "calibration_accuracy_drop" in stream.getvalue()
    assert max(map(len, stream.getvalue().splitlines())) <= 80


def test_names_are_only_text(tmp_path):
    one = history.Series("_$x^2$", "host", "top1_agreement", (0.9, 0.8), (0.5, 0.5), ("r", "s"), ("d", "<e>"))
    assert ET.fromstring(history.plot([one], "<script>")) is not None
    stream = io.StringIO()
    terminal.show_rows("[red]t", history.HEADINGS, list(history.rows([one])), stream, width=120)
    assert "[red]t" in stream.getvalue()


def test_no_sign_off_kept_is_a_wrong_request(tmp_path, capsys):
    assert main(["history", "digits", f"--under={tmp_path}"]) == 4
    assert "no sign-off of 'digits'" in capsys.readouterr().err
