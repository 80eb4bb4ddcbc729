"""The wheel as somebody with a repository of their own uses it: in a bare environment, no checkout in sight."""

import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from tests.plugin.tiny import make_model

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.slow


def run(*command, cwd, **environment):
    inherited = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTEST_ADDOPTS")}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd, env=inherited | environment, capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    done.stdout += done.stderr
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("dist")
    built = run(sys.executable, "-m", "build", "--wheel", "--outdir", out, ROOT, cwd=out)
    assert built.returncode == 0, built.stdout
    return next(out.glob("liteproof-*.whl"))


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """The interpreter of a bare environment that holds the wheel and one runtime."""
    folder = tmp_path_factory.mktemp("bare") / "venv"
    venv.create(folder, with_pip=True)
    installed = run(folder / "bin" / "pip", "install", "--quiet", f"{wheel}[litert]", cwd=folder)
    assert installed.returncode == 0, installed.stdout
    return folder / "bin" / "python"


def test_wheel_holds_the_suites_once_and_no_tests(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    suites = {path.name for path in (ROOT / "acceptance").glob("*.py")}
    assert {Path(name).name for name in names if name.startswith("liteproof/acceptance/")} == suites
    assert "liteproof/init/files/pytest.ini" in names
    assert not [name for name in names if name.startswith(("tests/", "acceptance/", "fixtures/", "models/"))]


def test_a_board_installs_no_tensorflow(python, tmp_path):
    listed = run(python, "-m", "pip", "list", "--format=json", cwd=tmp_path)
    names = {entry["name"].lower() for entry in json.loads(listed.stdout.partition("\n")[0])}
    assert not names & {"tensorflow", "keras", "litert-quantizer", "matplotlib", "jinja2"}


def test_suites_run_from_another_repository_with_the_same_verdicts(python, tmp_path):
    own, store = tmp_path / "own", tmp_path / "store"
    make_model(own / "models" / "tiny")
    (own / "models" / "tiny" / "copy.tflite").write_bytes(b"not a model")
    options = ("-m", "not timing", "-q", "--model=tiny")
    packaged = run(
        python, "-m", "pytest", "--pyargs", "liteproof.acceptance", "--models=models", "--report-dir=packaged",
        *options, cwd=own, LITEPROOF_STORE=str(store),
    )  # fmt: skip
    checkout = run(
        sys.executable, "-m", "pytest", f"--models={own / 'models'}", f"--report-dir={own / 'checkout'}", *options,
        cwd=ROOT, LITEPROOF_STORE=str(store),
    )  # fmt: skip
    assert packaged.returncode == checkout.returncode == 1, packaged.stdout + checkout.stdout

    def verdicts(name):
        checks = json.loads((own / name / "latest" / "results.json").read_text())["checks"]
        return sorted((c["test"], c["metric"], c["value"], c["verdict"]) for c in checks if c["metric"])

    assert verdicts("packaged") == verdicts("checkout")
    assert {test.split("::")[0].split("/")[0] for test, *_ in verdicts("packaged")} == {"acceptance"}
