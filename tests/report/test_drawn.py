import subprocess
import sys
from dataclasses import replace

import pytest

from liteproof.report import drawn, html, plots
from liteproof.report.drawn import plots_of
from liteproof.store import Store
from tests.report import large

CHECKS = large(("digits",)).checks


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def show():
    """Shows plots; counts in `show.drawn` those that were drawn, and not taken from the store."""

    def show(store, checks=CHECKS, model="digits", prefix="p"):
        def draw(*given, prefix):
            show.drawn += 1
            return plots.of_model(*given, prefix)

        return plots_of(checks, model, "classification", prefix=prefix, store=store, draw=draw)

    show.drawn = 0
    return show


def test_drawn_once_and_the_same_again(store, show):
    first = show(store)
    assert first
    assert show(Store(store.root)) == first == show(None)
    assert show.drawn == 2


def test_what_was_taken_over_looks_the_same(store, show):
    show(store)
    show(store, [replace(found, taken_over="20261121T120000Z-abcdef") for found in CHECKS])
    assert show.drawn == 1


def test_any_change_is_drawn_anew(store, show, monkeypatch):
    show(store)
    show(store, [replace(CHECKS[0], value=0.123), *CHECKS[1:]])
    show(store, model="other")
    show(store, prefix="q")
    monkeypatch.setattr(drawn, "_code", lambda: "another liteproof")
    show(store)
    assert show.drawn == 5


def test_a_damaged_or_unwritable_store_costs_time_only(store, show, tmp_path):
    first = show(store)
    for path in (store.root / "blobs").iterdir():
        path.write_bytes(b"x")
    assert show(Store(store.root)) == first
    (tmp_path / "file").write_text("")
    assert show(Store(tmp_path / "file")) == first


def test_an_unchanged_report_imports_no_plotting_library(store, tmp_path):
    whole = large(("digits",))
    page = html.document(whole, store)
    program = (
        "import sys; from pathlib import Path; from liteproof.report import html; from liteproof.store import Store;"
        "from tests.report import large; page = html.document(large(('digits',)), Store(Path(sys.argv[1])));"
        "assert 'matplotlib' not in sys.modules; sys.stdout.buffer.write(page)"
    )
    again = subprocess.run(
        [sys.executable, "-c", program, str(store.root)], capture_output=True, check=True, timeout=120
    )
    assert again.stdout == page
