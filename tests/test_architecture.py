"""The house keeps its plan: imports run downward, and nothing heavy is imported where it must not be."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import liteproof

SOURCE = Path(liteproof.__file__).parent
FLOORS = {
    "__init__": 1, "errors": 1, "checks": 1, "mixed": 1, "packages": 1, "recipes": 1, "statistics": 1,
    "applicability": 2,
    "arrays": 2, "plan": 2, "store": 2, "store_pruning": 2, "judging": 2, "accepted": 2, "tflite": 2, "measure": 2,
    "manifest": 3, "convert": 3, "init": 3, "advice": 3, "report": 3, "targets": 3,
    "plugin": 4, "cli": 4, "__main__": 4,
}  # fmt: skip
MODULES = sorted(path for path in SOURCE.rglob("*.py") if "acceptance" not in path.parts)


def room(path):
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported(path):
    """Every module that a file names in an import, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_run_downward(path):
    floor = FLOORS[room(path)]
    rooms = {name.split(".")[1] for name in imported(path) if name.startswith("liteproof.")} & set(FLOORS)
    assert {name for name in rooms if FLOORS[name] > floor} == set()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_tensorflow_lives_in_convert(path):
    names = {name.split(".")[0] for name in imported(path)}
    heavy = {"tensorflow", "keras", "tf_keras", "litert_quantizer"}
    assert room(path) == "convert" or not names & heavy


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_module_says_what_it_is_for(path):
    assert (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").strip()


def modules_after(statement):
    code = f"{statement}; import sys, json; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return {name.split(".")[0] for name in json.loads(done.stdout)}


def test_plugin_imports_nothing_but_pytest_until_suites_are_selected():
    added = modules_after("import liteproof.plugin") - modules_after("import pytest")
    assert added == {"liteproof"}


@pytest.mark.parametrize("module", ["liteproof.plugin.gate", "liteproof.plugin.fixtures", "liteproof.measure.subject"])
def test_judging_imports_no_converter_and_no_report_library(module):
    heavy = {"tensorflow", "keras", "litert_quantizer", "ai_edge_litert", "tflite_runtime", "rich", "jinja2", "h5py"}
    assert modules_after(f"import {module}") & heavy == set()


STANDARD = set(sys.stdlib_module_names) | {"_distutils_hack", "__main__", "__mp_main__", "site", "sitecustomize"}
# numpy's and msgspec's own companions are in the second line.
ON_A_TARGET = {"liteproof", "numpy", "msgspec", "flatbuffers"}
ON_A_TARGET |= {"typing_extensions", "cython_runtime"}
IN_A_WARM_START = ON_A_TARGET | {"platformdirs"}
SUITES = ", ".join(f"acceptance.{path.stem}" for path in sorted((SOURCE.parents[1] / "acceptance").glob("test_*.py")))
WARM = (
    "liteproof.plugin.gate, liteproof.plugin.fixtures, liteproof.plugin.isolation, liteproof.manifest.resolve, "
    "liteproof.convert.conversion, liteproof.convert.progress"
)
TARGET = "liteproof.plugin.gate, liteproof.plugin.fixtures, liteproof.plugin.board, liteproof.measure.cold_start"


def others_after(modules):
    """What is imported that is neither the standard library's nor comes with a bare pytest."""
    added = modules_after(f"import {modules}") - modules_after("import pytest, pytest_benchmark.plugin") - STANDARD
    return {name for name in added if not name.startswith("_cython_")}


@pytest.mark.parametrize(
    ("modules", "allowed"), [(WARM, IN_A_WARM_START), (TARGET, ON_A_TARGET)], ids=["warm", "target"]
)
def test_list_of_what_is_imported_before_the_first_test(modules, allowed):
    """No TensorFlow, plotting library, template engine, console library, schema library or web client among them."""
    assert others_after(modules) <= allowed


def test_suites_import_nothing_more():
    assert others_after(f"pytest_benchmark.fixture, {SUITES}") <= ON_A_TARGET | {"acceptance"}
