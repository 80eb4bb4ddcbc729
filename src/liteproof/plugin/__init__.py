"""The pytest plugin: options, and the decision whether this run is an acceptance run at all.

It is loaded in every pytest run of an environment that has liteproof, so it imports nothing but pytest here, and does
nothing more unless the run selects acceptance suites; then `liteproof.plugin.gate` takes over.

    pytest --models=models --variant=int8
    pytest --pyargs liteproof.acceptance --models=DIR
"""

from __future__ import annotations

import argparse
import gc
import itertools
from pathlib import Path

import pytest

PATH_OPTIONS = ("--models", "--targets", "--report-dir")
NAME_OPTIONS = ("--model", "--variant", "--target")
PACKAGED_SUITES = "liteproof.acceptance"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of a run. Written with `=`: see `_values_taken_for_paths`."""
    group = parser.getgroup("liteproof", "liteproof: acceptance of TensorFlow Lite / LiteRT models")
    group.addoption(
        "--models",
        action="append",
        metavar="=DIR",
        help="a model's folder, or a folder of such (repeatable; default: models/)",
    )
    group.addoption("--model", action="append", metavar="=NAME", help="judge this model only (repeatable)")
    group.addoption("--variant", action="append", metavar="=NAME", help="judge this variant only (repeatable)")
    group.addoption(
        "--target", action="append", metavar="=NAME", help="judge on this target (repeatable; default: host)"
    )
    group.addoption(
        "--targets", metavar="=FILE", help="where targets are defined (default: targets.toml in the root folder)"
    )
    group.addoption("--report-dir", metavar="=DIR", help="where the run leaves its folder (default: reports/)")
    group.addoption(
        "--no-code",
        action="store_true",
        help="refuse everything in a manifest that runs Python (for models from a fork)",
    )
    group.addoption(
        "--test-timeout",
        metavar="=SECONDS",
        type=float,
        default=1800.0,
        help="kill a test on this machine that gives no sign for so long; it is UNMEASURED (default: 1800)",
    )
    group.addoption(
        "--changed-since",
        metavar="=REV",
        help="judge only models whose inputs differ from this git revision (none: status 5)",
    )
    group.addoption(
        "--reuse",
        action="store_true",
        help="take over what an earlier run under the report folder found, for tests of which nothing changed since",
    )
    group.addoption(
        "--signoff",
        action="store_true",
        help="demand PASS everywhere on the release targets, and write the release folder",
    )
    group.addoption(
        "--no-vcs", action="store_true", help="sign off without a clean git work tree to say what was judged"
    )
    parser.addini(
        "liteproof_store_limit",
        "the most that the store may hold, such as 5GB; what was not used for longest goes (default: 10GB; "
        "$LITEPROOF_STORE_LIMIT comes first)",
        default="",
    )
    # Between a controller and the pytest that it starts on a target: `liteproof.plugin.board`.
    group.addoption("--liteproof-order", help=argparse.SUPPRESS)
    group.addoption("--liteproof-channel", type=int, help=argparse.SUPPRESS)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marks; hand over to the gate where suites are selected."""
    config.addinivalue_line("markers", "measures(*metrics): the metrics that this acceptance test measures")
    config.addinivalue_line("markers", "timing: measures time on this machine; needs it undisturbed")
    if not _selects_suites(config):
        return
    _refuse_values_taken_for_paths(config)
    _collect_no_garbage(config)
    from liteproof.plugin import fixtures
    from liteproof.plugin.gate import Gate

    config.pluginmanager.register(fixtures, "liteproof-fixtures")
    config.pluginmanager.register(Gate(config), "liteproof-gate")


def _collect_no_garbage(config: pytest.Config) -> None:
    """Leave the garbage collector off until the tests run: modules and items stay, and it would look through them.

    A tenth of the time to the first test, and of a large collection. The gate turns it on again.
    """
    if gc.isenabled():
        gc.disable()
        config.add_cleanup(gc.enable)


def _selects_suites(config: pytest.Config) -> bool:
    if hasattr(config, "workerinput"):  # a parallel worker: its controller has decided
        return "liteproof_plan" in config.workerinput
    folders = suite_folders(config)
    here = config.invocation_params.dir
    for argument in config.args:
        name = argument.partition("::")[0].partition("[")[0]
        if config.option.pyargs and (name == PACKAGED_SUITES or name.startswith(PACKAGED_SUITES + ".")):
            return True
        path = (here / name).resolve()
        if any(path == folder or folder in path.parents or path in folder.parents for folder in folders):
            return True
    return False


def suite_folders(config: pytest.Config) -> list[Path]:
    """Where liteproof's suites lie: in a checkout, and inside the installed package."""
    candidates = (config.rootpath / "acceptance", Path(__file__).resolve().parents[1] / "acceptance")
    return [folder.resolve() for folder in candidates if _holds_suites(folder)]


def _holds_suites(folder: Path) -> bool:
    try:
        return "liteproof" in (folder / "__init__.py").read_text(encoding="utf-8")
    except OSError:
        return False


def _refuse_values_taken_for_paths(config: pytest.Config) -> None:
    """Stop where pytest has taken an option's value for a test path.

    Before any plugin is loaded pytest does not know that `--models` takes a value: an existing folder after a space
    is then a test path, and another root folder and another pytest.ini follow from it.
    """
    arguments = [str(argument) for argument in config.invocation_params.args]
    for option, value in itertools.pairwise(arguments):
        if option in (*PATH_OPTIONS, *NAME_OPTIONS) and (config.invocation_params.dir / value).exists():
            raise pytest.UsageError(
                f"pytest took {value!r} after {option} for a test path, and its root folder from it\n"
                f"  expected: {option}={value}\n"
                f"  next:     write it with an equals sign"
            )
