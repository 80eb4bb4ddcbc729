"""Services that do not behave, in threads of this process."""

import socket
import threading
import time

import pytest

from liteproof.measure import exchange
from liteproof.measure.exchange import Line, NoAnswer
from tests.measure.services import Script, raw, served


def test_an_answer_comes_whole_and_the_line_is_kept():
    with served(Script()) as url, Line(f"{url}/base", timeout_s=5) as line:
        first, second = line.get("/api/health"), line.post("/api/predict", b"{}", "application/json")
    assert first.status == second.status == 200
    assert first.seconds < 5


def test_nobody_there():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (
        Line(f"http://127.0.0.1:{port}", timeout_s=2) as line,
        pytest.raises(NoAnswer, match="nobody listens") as error,
    ):
        line.get("/")
    assert error.value.refused


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"", "no whole answer within"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", "no whole answer within"),
        (b"no http at all\r\n\r\n", "BadStatusLine"),
    ],
)
def test_an_answer_that_is_late_or_none(sent, said):
    with raw(sent) as url, Line(url, timeout_s=0.5) as line, pytest.raises(NoAnswer, match=said):
        line.get("/")


def test_an_answer_that_is_cut_short():
    with (
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", close=True) as url,
        Line(url, timeout_s=5) as line,
        pytest.raises(NoAnswer, match="IncompleteRead"),
    ):
        line.get("/")


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: "])
def test_a_byte_now_and_then_does_not_keep_the_line(head):
    with raw(head, drip=True) as url, Line(url, timeout_s=0.6) as line, pytest.raises(NoAnswer, match=r"within 0\.6 s"):
        line.get("/")


def test_an_endless_answer_is_cut(monkeypatch):
    monkeypatch.setattr(exchange, "MOST_BYTES", 1 << 16)
    with (
        raw(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (1 << 18)) as url,
        Line(url, timeout_s=5) as line,
        pytest.raises(NoAnswer, match="an answer of more than"),
    ):
        line.get("/")


def test_no_proxy_and_no_redirect_is_followed(monkeypatch):
    elsewhere = Script()
    with served(elsewhere) as other, served(Script(status=302, location=f"{other}/taken")) as url:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, other)
        with Line(url, timeout_s=5) as line:
            assert line.get("/api/health").status == 302
    assert elsewhere.asked == []


def test_a_line_that_the_service_closed_is_opened_again():
    with served(Script(keep=False)) as url, Line(url, timeout_s=5) as line:
        assert [line.get("/api/health").status for _ in range(3)] == [200, 200, 200]


def test_no_thread_is_left():
    before = threading.active_count()
    with served(Script()) as url, Line(url, timeout_s=30) as line:
        line.get("/api/health")
    time.sleep(0.05)
    assert threading.active_count() <= before
