"""The page of benchmarks and the programs that write it agree."""

import importlib.util
import re
from pathlib import Path

import pytest
from benchmarks import all as every

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
