import io

import pytest

from liteproof.convert.progress import progress
from liteproof.convert.tasks import Event


class Terminal(io.StringIO):
    def isatty(self):
        return True


EVENTS = [
    Event("waiting"),
    Event("planned", model="digits", total=3),
    Event("started", model="digits", name="int8"),
    Event("converted", model="digits", name="int8", seconds=0.41, bytes=34888),
    Event("reference", model="digits", name="reference", seconds=1.2, bytes=24144),
    Event("at", model="digits", name="training of qat_int8", reason="epoch 1 of 2, loss 0.3", done=60, total=120),
    Event("trained", model="digits", name="training of qat_int8", seconds=3.0),
    Event("failed", model="digits", name="int4", reason="int4 of digits [1] cannot be converted"),
    Event("done", seconds=2.0),
]


def shown(stream):
    with progress(stream) as listener:
        for event in EVENTS:
            listener(event)
    return stream.getvalue()


def test_a_line_for_each_artefact_where_there_is_no_terminal():
    assert shown(io.StringIO()).splitlines() == [
        "converted digits int8 in 0.4 s, 34.9 kB",
        "computed digits reference in 1.2 s, 24.1 kB",
        "training of qat_int8 for digits: epoch 1 of 2, loss 0.3",
        "training of qat_int8 for digits done in 3.0 s",
        "failed digits int4: int4 of digits [1] cannot be converted",
    ]


def test_a_bar_on_a_terminal_that_keeps_what_failed(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    text = shown(Terminal())
    assert "failed digits int4: int4 of digits [1] cannot be converted" in text
    assert "digits" in text


def test_the_bar_is_taken_away_after_an_error(monkeypatch):
    stream = Terminal()

    def interrupted():
        with progress(stream) as listener:
            listener(EVENTS[1])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert "\x1b[?25h" in stream.getvalue()  # the cursor is shown again


def test_nothing_is_written_if_nothing_is_heard():
    stream = Terminal()
    with progress(stream):
        pass
    assert stream.getvalue() == ""
