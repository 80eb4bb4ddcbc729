"""Whatever ends a run, and whenever: the store and the last good report stay sound, and the next run judges alike."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from liteproof.report.results import read
from tests.plugin.tiny import make_model

ROOT = Path(__file__).parents[2]
SUITES = "agreement or accuracy or outputs or loads"
KILLS, ROUND = 54, 6


class Runs:
    """Runs of one tiny model, with a store and a folder of reports to go with it."""

    def __init__(self, folder):
        self.folder = folder
        self.store, self.reports = folder / "store", folder / "reports"
        make_model(folder / "models" / "tiny", n=60)

    def start(self, *options, **environment):
        command = [
            sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "tests.plugin.kill_at", "-q", "-k", SUITES,
            f"--models={self.folder / 'models'}", f"--report-dir={self.reports}", *options, "acceptance",
        ]  # fmt: skip
        inherited = {key: value for key, value in os.environ.items() if key != "PYTEST_ADDOPTS"}
        inherited |= {"LITEPROOF_STORE": str(self.store)}
        return subprocess.Popen(
            command, cwd=ROOT, env=inherited | environment, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # a background job has it off
        )  # fmt: skip

    def run(self, *options, **environment):
        process = self.start(*options, **environment)
        text, _ = process.communicate(timeout=300)
        return process.returncode, text

    @property
    def latest(self):
        return read(self.reports / "latest")


def verdicts(results):
    return sorted((c.variant, c.metric, c.verdict, c.value) for c in results.checks)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Verdicts of a run that nothing ends, and the steps that a warm run takes."""
    runs = Runs(tmp_path_factory.mktemp("undisturbed"))
    for _ in range(2):
        status, text = runs.run(STEPS=str(runs.folder / "steps"))
        assert status == 0, text
    return verdicts(runs.latest), int((runs.folder / "steps").read_text())


@pytest.fixture
def runs(tmp_path):
    return Runs(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(KILLS // ROUND))
def test_a_run_that_was_killed_at_any_step_leaves_all_sound(runs, undisturbed, seed):
    expected, steps = undisturbed
    chosen = random.Random(seed)
    # The first round of each seed starts from an empty store; the last one dies among the reports.
    points = [
        chosen.randrange(1, 30),
        *chosen.sample(range(1, steps - 4), ROUND - 2),
        chosen.randrange(steps - 14, steps - 4),
    ]
    good = None
    for point in points:
        status, text = runs.run(KILL_AT=str(point))
        assert status == -signal.SIGKILL, f"step {point} of {steps}: {text[-2000:]}"
        if (runs.reports / "latest").exists():
            assert runs.latest.run.complete
        if good is None:
            good = runs.run(KILL_AT="0")
            assert good[0] == 0, good[1]
            assert verdicts(runs.latest) == expected
    status, text = runs.run()
    assert status == 0, text
    assert verdicts(runs.latest) == expected


@pytest.mark.slow
@pytest.mark.parametrize("ended_by", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_end_a_run_keeps_what_it_has(runs, ended_by, monkeypatch, tmp_path):
    (tmp_path / "slowly.py").write_text(
        "import time, pathlib\n"
        "def pytest_runtest_setup(item):\n"
        "    if 'outputs' in item.nodeid: pathlib.Path(__file__).with_suffix('.on').touch(); time.sleep(60)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    process = runs.start("-p", "slowly")
    deadline = time.monotonic() + 120
    while not (tmp_path / "slowly.on").exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.kill(process.pid, ended_by)
    text, _ = process.communicate(timeout=60)
    assert process.returncode == pytest.ExitCode.INTERRUPTED, text
    assert runs.latest.run.complete is False
    assert runs.latest.run.ran > 0
    assert "This run was cut off" in text
    assert "Traceback" not in text


@pytest.mark.slow
def test_two_runs_at_once_on_one_store(runs, undisturbed):
    both = [runs.start(), runs.start()]
    for process in both:
        text, _ = process.communicate(timeout=300)
        assert process.returncode == 0, text
    folders = [folder for folder in runs.reports.iterdir() if not folder.is_symlink()]
    assert [verdicts(read(folder)) for folder in folders] == [undisturbed[0]] * 2


@pytest.mark.slow
def test_damaged_entries_are_noticed_and_made_again(runs, undisturbed):
    assert runs.run()[0] == 0
    for number, path in enumerate(sorted(p for p in runs.store.rglob("*") if p.is_file() and p.suffix != ".lock")):
        content = bytearray(path.read_bytes())
        if number % 3 == 0:
            content[len(content) // 2] ^= 0x40
        path.write_bytes(bytes(content[: len(content) // 2] if number % 3 == 1 else content))
    status, text = runs.run()
    assert status == 0, text
    assert verdicts(runs.latest) == undisturbed[0]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 kB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = os.getuid() == 0 and shutil.which("mount")
    if (
        not mounted
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", folder], check=False).returncode
    ):
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def filled(folder):
    with (folder / "ballast").open("wb") as stream:
        for _ in range(15):
            stream.write(bytes(4096))
    return folder


@pytest.mark.slow
def test_a_full_disk_under_the_store_is_a_clear_error(runs, small_disk):
    runs.store = filled(small_disk) / "store"
    status, text = runs.run()
    assert status == pytest.ExitCode.USAGE_ERROR, text
    assert "the disk is full" in text
    assert "LITEPROOF_STORE" in text
    assert "Traceback" not in text
    assert not list(small_disk.rglob(".writing-*"))


@pytest.mark.slow
def test_a_full_disk_under_the_reports_leaves_the_last_good_one(runs, small_disk):
    assert runs.run()[0] == 0
    kept = small_disk / "reports"
    kept.mkdir()
    name = (runs.reports / "latest").readlink()
    (kept / name).mkdir()
    shutil.copy(runs.reports / name / "summary.md", kept / name)
    (kept / "latest").symlink_to(name)
    runs.reports = filled(small_disk) / "reports"
    status, text = runs.run()
    assert status == pytest.ExitCode.USAGE_ERROR, text
    assert "the disk is full" in text
    assert (kept / "latest").readlink() == name
    assert not list(small_disk.rglob(".writing-*"))
