import importlib.metadata

import pytest

from liteproof import packages


@pytest.fixture(autouse=True)
def afresh():
    packages.installed.cache_clear()
    yield
    packages.installed.cache_clear()


def test_versions_are_those_that_the_standard_library_finds():
    names = sorted({found.metadata["Name"] for found in importlib.metadata.distributions()})
    assert len(names) > 20
    assert {name: packages.installed(name) for name in names} == {
        name: importlib.metadata.version(name) for name in names
    }


def test_what_is_not_installed_has_no_version():
    assert packages.installed("liteproof-no-such-package") is None


@pytest.mark.parametrize("kept", ["PKG-INFO", "METADATA"])
def test_metadata_of_either_kind_is_read(tmp_path, monkeypatch, kept):
    folder = tmp_path / ("old.egg-info" if kept == "PKG-INFO" else "old-1.5.dist-info")
    folder.mkdir()
    (folder / kept).write_text("Metadata-Version: 2.1\nName: old\nVersion: 1.5\n\nVersion: of the description\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert packages.installed("old") == "1.5"
