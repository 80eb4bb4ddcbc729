"""Which options narrow a run, as pytest itself reads them; and a release that cannot be written."""

from dataclasses import replace

import pytest

from liteproof.errors import UsageError
from liteproof.plugin.signoff import SignOffRun, narrowed_by
from liteproof.report.results import SignOff, read
from liteproof.report.writer import write
from tests.report import results


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        (["-k", "size"], "-k"),
        (["-m", "not timing"], "-m"),
        (["--variant=copy"], "--variant"),
        (["--lf"], "--lf"),
        (["--sw"], "--stepwise"),
        (["-x"], "-x or --maxfail"),
        (["--maxfail=3"], "-x or --maxfail"),
        (["--deselect=acceptance/test_size.py"], "--deselect"),
        (["--ignore=acceptance/test_size.py"], "--ignore"),
        (["--ignore-glob=*size.py"], "--ignore-glob"),
    ],
)
def test_options_that_narrow_a_run(option, sentence):
    found = pytest.Config.fromdictargs({}, option).option
    assert list(narrowed_by(found)) == [f"the run was narrowed by {sentence}"]


@pytest.mark.parametrize("option", [[], ["--model=tiny"], ["--target=host"], ["-v"], ["--ff"], ["--durations=3"]])
def test_options_that_do_not(option):
    assert list(narrowed_by(pytest.Config.fromdictargs({}, option).option)) == []


@pytest.mark.parametrize("error", [UsageError("cannot write: the disk is full"), OSError(28, "No space left")])
def test_a_release_that_cannot_be_written_withdraws_the_grant(tmp_path, monkeypatch, error):
    def fail(self, results, folder):
        raise error

    monkeypatch.setattr(SignOffRun, "_write", fail)
    granted = replace(results(), signoff=SignOff(True))
    folder = write(granted, tmp_path)
    found = SignOffRun.release(object.__new__(SignOffRun), granted, folder)
    assert found.signoff.granted is False
    assert "could not be written" in found.signoff.blocked_by[0]
    assert read(folder).signoff.granted is False
