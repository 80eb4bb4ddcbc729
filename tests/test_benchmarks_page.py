"""The page of benchmarks and the programs that write it agree."""

import doctest
import importlib.util
import os
import re
from pathlib import Path

import pytest
from benchmarks import all as every
from benchmarks import judging_time
from benchmarks.gate_vs_plain_script import Turn, tables

PAGE = (Path(__file__).parents[1] / "docs" / "benchmarks.md").read_text(encoding="utf-8")


def test_each_part_has_its_place_and_each_place_its_part():
    assert set(re.findall(r"<!-- begin (\S+) -->", PAGE)) == {"machine", *every.PARTS}
    for name in ("machine", *every.PARTS):
        assert f"\n{name} text\n" in every.between(PAGE, name, f"{name} text")


@pytest.mark.parametrize("name", every.PARTS)
def test_each_part_is_there(name):
    assert importlib.util.find_spec(every.PARTS[name][0])


def test_a_page_without_the_markers_is_told():
    with pytest.raises(SystemExit, match="markers of gate are there 0 times"):
        every.between("", "gate", "text")


def test_shares_of_judging_add_up():
    assert doctest.testmod(judging_time, optionflags=doctest.NORMALIZE_WHITESPACE).failed == 0
    spans = [judging_time.Span(judging_time.TRIAL, 0.0, 3.0), judging_time.Span(judging_time.PREDICT, 2.0, 5.0)]
    found = judging_time.shares(spans, 0.0, 6.0, sessions=1)
    assert found[judging_time.TRIAL] == pytest.approx(2 / 6)  # what lies beside a session's work delays nobody
    assert sum(found.values()) == pytest.approx(1.0)


def test_gate_is_shown_beside_script_and_floor():
    """Of made-up turns: the floor is the sum of its parts, the converters' over the processors; ratios are medians."""
    parts = {"predict, one sample at a time": 320.0, "conversion": 60.0}
    floor = {"import": 2.0, "load": 1.0, "export": 1.0, "converters": {"a": 4.0, "b": 4.0}}
    turn = Turn(400.0, parts, cold=40.0, warm=3.0, reused=1.0, timed=12.0, unmeasured=0, floor=floor)
    own = 8.0 / os.cpu_count()
    assert turn.lowest == pytest.approx(16.0 + own)
    text = tables(Path("models/digits-mobilenet"), [turn], ([0.6], [0.3], [0.1], 260))
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| ")]
    rows = {row[0]: row[1:] for row in cells if row[0] or "floor" in row[2]}
    assert rows["plain script"][0] == "400.0"
    assert rows["… if it kept the predictions of its first recipe"][:2] == ["120.0", "0.30 of the script"]
    assert rows["cold gate"] == ["40.0", "0.100 of the script", "≤ 0.10"]
    assert rows[""][1] == f"{40.0 / turn.lowest:.2f} of the floor"
    assert rows["warm gate"] == ["3.00", "0.0075 of the script", "≤ 0.01"]
    assert rows["to the first of 260 tests, warm gate"] == ["0.60", "1.50 of the next", "≤ 1.5"]
