"""`liteproof doctor`: one look that tells all, and an environment made on the board."""

import subprocess
import sys
from dataclasses import replace

import pytest

from liteproof.errors import TargetError, UsageError
from liteproof.plan import Target
from liteproof.targets import doctor, preflight
from tests.boards.sshd import HOST

FACTS = {
    "python": [3, 11, 2],
    "executable": "/usr/bin/python3",
    "packages": {**preflight.NEEDED, "tflite-runtime": "2.14.0", "numpy": "1.26.4"},
    "machine": "aarch64",
    "bits": 64,
    "libc": "glibc 2.36",
    "time": 1000.0,
    "disk_free_bytes": 10**10,
    "memory_free_bytes": 10**9,
}
PI = Target("pi", ssh="pi@pi")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"python": [3, 9, 2]}, "Python 3.9.2: too old"),
        ({"packages": {}}, "not installed: numpy"),
        ({"packages": {**FACTS["packages"], "pytest": "7.4"}}, "too old: pytest 7.4 (wants 8.3)"),
        ({"packages": {**FACTS["packages"], "numpy": "2.1.0"}}, "built against numpy 1"),
        ({"time": 1000.0 - 2 * 86400}, "its clock is 2 days behind"),
        ({"disk_free_bytes": 1 << 20}, "the disk is full"),
        ({"memory_free_bytes": 1 << 20}, "memory is short"),
    ],
)
def test_each_lack_is_named(change, said):
    assert preflight.problems(PI, FACTS, now=1000.0) == []
    assert any(said in problem for problem in preflight.problems(PI, FACTS | change, now=1000.0))


def test_all_lacks_come_in_one_error_with_one_command():
    with pytest.raises(TargetError) as error:
        preflight.require(PI, FACTS | {"python": [3, 10, 0], "packages": {}, "disk_free_bytes": 0}, now=1000.0)
    assert all(part in error.value.found for part in ("3.10.0", "msgspec", "a runtime"))
    assert error.value.next == "liteproof doctor pi --install"


def test_a_named_python_gets_the_exact_pip_command():
    target = Target("pi", ssh="pi@pi", python="~/venv/bin/python", runtime="tflite_runtime")
    command = preflight.cure(target, FACTS | {"executable": "/home/pi/venv/bin/python", "packages": {}})
    assert command.startswith("ssh pi@pi ")
    for word in ("/home/pi/venv/bin/python -m pip install", "numpy<2", "tflite-runtime==2.14.0"):
        assert word in command


def test_a_disk_that_the_cache_alone_fills_is_not_full():
    assert preflight.problems(PI, FACTS | {"disk_free_bytes": 0, "cache_bytes": 10**9}, now=1000.0) == []
    assert preflight.problems(PI, FACTS | {"disk_free_bytes": 0, "cache_bytes": 0}, now=1000.0)


@pytest.mark.parametrize(
    ("facts", "target", "wanted"),
    [
        ({"bits": 32}, PI, "tflite-runtime==2.14.0"),
        ({"bits": 64}, PI, "ai-edge-litert>=2.1"),
        ({"python": [3, 13, 1]}, PI, "ai-edge-litert>=2.1"),
        ({}, Target("pi", ssh="pi", runtime="tflite_runtime"), "numpy<2"),
    ],
)
def test_requirements_follow_the_machine(facts, target, wanted):
    assert wanted in preflight.requirements(target, FACTS | facts)


def test_tflite_runtime_on_a_newer_python_is_refused():
    with pytest.raises(TargetError, match=r"no wheel for Python 3\.13"):
        preflight.requirements(Target("pi", ssh="pi", runtime="tflite_runtime"), FACTS | {"python": [3, 13, 1]})


def test_throttling_and_emulation_are_noted():
    notes = preflight.notes(PI, FACTS | {"throttled": 0x50000, "governors": ["ondemand"], "emulated": "it is"})
    assert len(notes) == 3
    assert preflight.notes(PI, FACTS) == []


def test_rehearsal_is_advised_until_it_is_set():
    [advised] = preflight.notes(PI, FACTS | {"emulated": "it is"})
    [noted] = preflight.notes(replace(PI, rehearsal=True), FACTS | {"emulated": "it is"})
    assert "set rehearsal = true" in advised
    assert "set rehearsal" not in noted


def test_a_python_on_this_machine_is_its_owners():
    with pytest.raises(UsageError):
        doctor.install(Target("here", python=sys.executable), print)


def test_command_line(tmp_path):
    (tmp_path / "targets.toml").write_text(f'[here]\npython = "{sys.executable}"\n')
    command = [sys.executable, "-m", "liteproof.cli", "doctor", "here"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].strip() == "ready"
    wrong = subprocess.run(
        [*command[:-1], "her"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert wrong.returncode == 4
    assert "here" in wrong.stderr


@pytest.mark.slow
def test_install_makes_an_environment_that_judges(board, make_job, carry_out):
    bare = Target("pi", ssh=HOST, runtime="tflite_runtime")
    said = []
    before = {path for path in board.home.rglob("*") if path.is_file() and board.base not in path.parents}
    doctor.install(Target("pi", ssh=HOST, runtime="tflite_runtime", python=sys.executable), said.append)
    examination = doctor.examine(bare)
    assert examination.ready, examination.text
    assert str(board.base / "venv" / "bin" / "python") in examination.text
    assert carry_out(make_job("def test_one(): pass\n", bare)).outcomes == {"test_one": "passed"}
    assert not (board.base / "wheels").exists()
    assert {path for path in board.home.rglob("*") if path.is_file() and board.base not in path.parents} == before
