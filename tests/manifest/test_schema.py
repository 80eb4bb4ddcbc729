"""Files that are no TOML, and words for values."""

import pytest

from liteproof.errors import UsageError
from liteproof.manifest.place import clean, kind_of, nearest, written
from liteproof.manifest.schema import read_manifest, read_toml


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"[model]\ntask = \n", "not TOML: Invalid value (at line 2, column 8)"),
        (b"[model]\ntask = 1\ntask = 2\n", "line 3"),
        (b'[model]\n\ntask = "\xff"\n', "byte 0xff in line 3 is not UTF-8"),
        (b"a = " + b"[" * 100_000, "nests tables or arrays too deeply"),
        (b"a = " + b"1" * 10_000, "not TOML"),
    ],
)
def test_what_is_no_toml_is_told_with_its_line(tmp_path, content, found):
    (tmp_path / "model.toml").write_bytes(content)
    with pytest.raises(UsageError) as caught:
        read_toml(tmp_path / "model.toml")
    assert found in caught.value.found
    assert "model.toml" in caught.value.where


def test_a_manifest_that_cannot_be_read_is_told(tmp_path):
    with pytest.raises(UsageError, match="cannot read the file"):
        read_toml(tmp_path)


@pytest.mark.parametrize("table", ["model", "data"])
def test_a_table_that_is_not_there_is_told(tmp_path, table):
    tables = {"model": '[model]\ntask = "binary"\nsource = "a.keras"\n', "data": '[data]\nevaluation = "a.npz"\n'}
    del tables[table]
    (tmp_path / "model.toml").write_text("".join(tables.values()) + "[variants.int8]\n")
    with pytest.raises(UsageError, match=rf"there is no table \[{table}\]"):
        read_manifest(tmp_path / "model.toml")


def test_a_value_that_would_steer_a_terminal_is_escaped(tmp_path):
    (tmp_path / "model.toml").write_text('[model]\n"\\u001b[31mtask" = 1\n[data]\n[variants.int8]\n')
    with pytest.raises(UsageError) as caught:
        read_manifest(tmp_path / "model.toml")
    assert "\x1b" not in str(caught.value)
    assert "\\x1b[31mtask" in str(caught.value)


def test_long_values_are_cut():
    assert len(written("a" * 1000)) < 100
    assert written(list(range(1000))) == "[0, 1, 2, 3, 4, …]"
    assert clean("a\nb") == "a\\nb"


def test_kinds_are_toml_words(tmp_path):
    (tmp_path / "a.toml").write_text("a = 07:32:00\nb = 2027-01-01\nc = 2027-01-01T00:00:00\nd = []\ne = 1\nf = 1.0")
    kinds = [kind_of(value) for value in read_toml(tmp_path / "a.toml").values()]
    assert kinds == ["a date or time", "a date", "a date or time", "an array", "a whole number", "a number"]


def test_the_nearest_name_looks_through_case_and_dashes():
    assert nearest("Dynamic-Range", ["dynamic_range", "float16"]) == "dynamic_range"
    assert nearest("xyz", ["dynamic_range", "float16"]) is None
