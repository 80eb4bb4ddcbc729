"""Which options narrow a run, as pytest itself reads them."""

import pytest

from liteproof.plugin.signoff import narrowed_by


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
