"""Every trouble has its own outcome, never a pass and never a hang; what was measured before it is kept.

Each test ends with the board as it was: no process of ours, no file of the run, the lock free (fixture `board`).
"""

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from liteproof.errors import TargetError
from liteproof.plan import Target
from liteproof.targets import run as runs
from liteproof.targets import transport
from tests.boards.board import command_line
from tests.boards.sshd import HOST
from tests.targets.conftest import PATIENCE
from tests.targets.link import Link

pytestmark = pytest.mark.slow

STEPS = "import time\ndef test_one(): pass\n" + "".join(
    f"def test_{name}(): time.sleep({seconds})\n" for name, seconds in (("two", 1.5), ("three", 0), ("four", 0))
)
ALL_PASSED = dict.fromkeys(("test_one", "test_two", "test_three", "test_four"), "passed")
LONG = "import time\ndef test_one(): pass\ndef test_long(): time.sleep(60)\ndef test_last(): pass\n"


def pids(board, having):
    return [pid for pid, line in board.processes().items() if having in line]


def kill(found, number=signal.SIGKILL):
    assert found
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


@pytest.fixture
def link(board):
    with Link(board.port) as link:
        board.point_at(link.port)
        yield link


# --- the link ---------------------------------------------------------------------------------------------------------


def test_cut_link_is_met_by_another_and_the_tests_that_have_not_run(make_job, board, pi, link, in_background):
    told, thread, _ = in_background(make_job(STEPS, pi))
    told.wait_for(runs.Started, 2)
    link.cut()
    thread.join(60)
    assert told.outcomes == ALL_PASSED
    ran = [m.test.partition("::")[2] for m in told.of(runs.Started)]
    assert ran == ["test_one", "test_two", "test_two", "test_three", "test_four"]
    assert [note for note in told.of(runs.Note) if "trying again" in note.text]
    assert link.connections == 2


def test_link_that_stays_down_keeps_what_was_measured(make_job, board, pi, link, in_background):
    told, thread, _ = in_background(make_job(STEPS, pi))
    told.wait_for(runs.Started, 2)
    link.down = True
    link.cut()
    thread.join(60)
    assert told.outcomes == {
        "test_one": "passed",
        "test_two": "not run",
        "test_three": "not run",
        "test_four": "not run",
    }
    assert told.trouble.transient
    assert f"({PATIENCE.attempts} tries)" in told.trouble.found


def test_garbled_link_is_replaced(make_job, board, pi, link, in_background):
    told, thread, _ = in_background(make_job(STEPS, pi))
    told.wait_for(runs.Started, 2)
    link.garble = 1
    thread.join(60)
    assert told.outcomes == ALL_PASSED
    assert link.connections == 2


def test_link_that_swallows_everything_is_given_up(make_job, board, pi, link, in_background):
    told, thread, _ = in_background(
        make_job(LONG, pi), dataclasses.replace(PATIENCE, frozen_s=3, connect_s=2, attempts=2)
    )
    told.wait_for(runs.Started, 2)
    link.frozen = True
    thread.join(60)
    assert told.outcomes == {"test_one": "passed", "test_long": "not run", "test_last": "not run"}
    link.cut()


# --- the board --------------------------------------------------------------------------------------------------------


def test_rebooted_board_goes_on(make_job, board, pi, in_background):
    told, thread, _ = in_background(make_job(STEPS, pi))
    told.wait_for(runs.Started, 2)
    board.kill()
    board.start()
    thread.join(60)
    assert told.outcomes == ALL_PASSED


def test_board_without_power_is_told_and_not_waited_for(make_job, board, pi, in_background, carry_out):
    told, thread, _ = in_background(make_job(STEPS, pi))
    told.wait_for(runs.Started, 2)
    board.kill()
    thread.join(60)
    board.start()
    assert told.outcomes["test_one"] == "passed"
    assert told.outcomes["test_four"] == "not run"
    assert told.trouble.transient
    assert "refuses connections" in told.trouble.found
    carry_out(make_job(STEPS, pi))  # whose guard clears away what nobody could at the time


def test_frozen_board_is_noticed_and_taken_over(make_job, board, pi, in_background):
    told, thread, _ = in_background(make_job(STEPS, pi), dataclasses.replace(PATIENCE, frozen_s=4))
    told.wait_for(runs.Started, 2)
    kill(list(board.processes()), signal.SIGSTOP)
    thread.join(90)
    assert told.outcomes == ALL_PASSED
    assert any("no sign of life" in note.text for note in told.of(runs.Note))


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a tiny file system needs root")
def test_full_disk_is_told(make_job, board, pi, carry_out, tmp_path):
    board.base.mkdir(parents=True, exist_ok=True)
    mounted = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(board.base)]
    if subprocess.run(mounted, capture_output=True, check=False).returncode != 0:
        pytest.skip("no file system can be mounted here")
    try:
        told = carry_out(make_job(STEPS, pi))
        assert set(told.outcomes.values()) == {"not run"}
        assert "the disk is full" in told.trouble.found
        assert not told.trouble.transient
    finally:
        subprocess.run(["umount", str(board.base)], check=True)


# --- the interpreter --------------------------------------------------------------------------------------------------


def test_segfault_takes_one_test_and_the_rest_goes_on(make_job, board, pi, carry_out):
    text = "import ctypes\ndef test_one(): pass\ndef test_dies(): ctypes.string_at(0)\ndef test_last(): pass\n"
    told = carry_out(make_job(text, pi))
    assert told.outcomes == {"test_one": "passed", "test_dies": "crashed", "test_last": "passed"}
    (crash,) = told.of(runs.Crashed)
    assert crash.signal == "SIGSEGV"


def test_killed_interpreter_takes_one_test(make_job, board, pi, in_background):
    told, thread, _ = in_background(make_job(LONG, pi))
    told.wait_for(runs.Started, 2)
    kill(pids(board, "-m pytest"))
    thread.join(60)
    assert told.outcomes == {"test_one": "passed", "test_long": "crashed", "test_last": "passed"}
    assert told.of(runs.Crashed)[0].signal == "SIGKILL"


@pytest.fixture
def little_memory():
    """A control group of 60 MB: the kernel kills what takes more in it. Of either version of them."""
    for root, limit in (
        (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
        (Path("/sys/fs/cgroup"), "memory.max"),
    ):
        group = root / f"liteproof-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        if not (group / limit).exists():  # no control group at all
            group.rmdir()
            continue
        try:
            (group / limit).write_text("60M")
            if (group / "memory.swap.max").exists():
                (group / "memory.swap.max").write_text("0")
            yield group
            return
        except OSError:
            continue
        finally:
            group.rmdir()
    pytest.skip("no memory limit can be set here: no control groups, or not root")


def test_exhausted_memory_is_named(make_job, board, pi, carry_out, little_memory):
    text = (
        "import os, pathlib\n"
        "def test_one(): pass\n"
        "def test_eats():\n"
        f"    pathlib.Path({str(little_memory / 'cgroup.procs')!r}).write_text(str(os.getpid()))\n"
        "    kept = [bytearray(os.urandom(1 << 20)) for _ in range(200)]\n"
        "def test_last(): pass\n"
    )
    told = carry_out(make_job(text, pi))
    assert told.outcomes == {"test_one": "passed", "test_eats": "crashed", "test_last": "passed"}
    assert told.of(runs.Crashed)[0].how == "died of SIGKILL: the kernel ran out of memory"


def test_silent_test_is_ended_and_the_rest_goes_on(make_job, board, pi, carry_out):
    told = carry_out(make_job(LONG, pi), dataclasses.replace(PATIENCE, silence_s=8))
    assert told.outcomes == {"test_one": "passed", "test_long": "crashed", "test_last": "passed"}
    assert "gave no sign for 8 s" in told.of(runs.Crashed)[0].how


def test_suite_that_cannot_be_collected_is_lasting(make_job, board, pi, carry_out):
    told = carry_out(make_job("import nowhere_to_be_found\ndef test_one(): pass\n", pi))
    assert told.outcomes == {"test_one": "not run"}
    assert "nowhere_to_be_found" in str(told.trouble)


# --- the guard --------------------------------------------------------------------------------------------------------


def test_killed_guard_takes_its_pytest_along_and_another_goes_on(make_job, board, pi, in_background):
    told, thread, _ = in_background(make_job(STEPS, pi))
    told.wait_for(runs.Started, 2)
    kill(pids(board, "-u -c"))
    thread.join(60)
    assert told.outcomes == ALL_PASSED


def test_what_the_controller_stops_ends_within_seconds(make_job, board, pi, in_background):
    told, thread, stop = in_background(make_job(LONG, pi))
    told.wait_for(runs.Started, 2)
    stop.set()
    asked = time.monotonic()
    thread.join(60)
    assert time.monotonic() - asked < 30  # not the 60 s of the test
    assert told.outcomes == {"test_one": "passed"}
    assert board.left_behind() == []


def test_killed_controller_leaves_nothing_there(make_job, board, pi, in_background):
    told, thread, _ = in_background(make_job(LONG, pi), dataclasses.replace(PATIENCE, attempts=1))
    told.wait_for(runs.Started, 2)
    clients = [
        pid
        for pid in (int(entry.name) for entry in Path("/proc").glob("[0-9]*"))
        if (command := command_line(pid)).startswith("ssh ") and str(board.folder) in command
    ]
    kill(clients)  # all that the board sees of a controller
    thread.join(60)
    assert board.left_behind() == []


def test_test_that_ignores_every_signal_but_the_last_is_ended(make_job, board, pi, in_background):
    text = (
        "import signal, subprocess, time\n"
        "def test_stubborn():\n"
        "    for number in (signal.SIGINT, signal.SIGTERM): signal.signal(number, signal.SIG_IGN)\n"
        "    subprocess.Popen(['sleep', '300'], start_new_session=True)\n"
        "    time.sleep(60)\n"
    )
    told, thread, stop = in_background(make_job(text, pi))
    told.wait_for(runs.Started)
    time.sleep(0.5)
    stop.set()
    thread.join(60)
    assert board.left_behind() == []


# --- who may run ------------------------------------------------------------------------------------------------------


def test_second_controller_is_told_who_holds_the_board(make_job, board, pi, in_background, carry_out):
    told, thread, stop = in_background(make_job(LONG, pi))
    told.wait_for(runs.Started, 2)
    second = carry_out(make_job(LONG, pi))
    assert set(second.outcomes.values()) == {"not run"}
    assert "busy" in second.trouble.found
    assert f"process {os.getpid()}" in second.trouble.where
    stop.set()
    thread.join(60)
    assert told.outcomes == {"test_one": "passed"}


def test_stale_lock_and_what_was_left_over_do_not_stand_in_the_way(make_job, board, pi, carry_out):
    board.base.mkdir(parents=True, exist_ok=True)
    (board.base / "lock").write_text('{"run": "old", "who": "a ghost", "pid": 1, "since": 0}')
    (board.base / "runs" / "old").mkdir(parents=True)
    environment = {
        **os.environ,
        "LITEPROOF_BOARD_RUN": str(board.base / "runs" / "old"),
        "XDG_CACHE_HOME": str(board.cache),
    }
    with subprocess.Popen(["sleep", "300"], env=environment, start_new_session=True) as ghost:
        told = carry_out(make_job(STEPS, pi))
        assert ghost.wait(10) == -signal.SIGKILL
    assert told.outcomes == ALL_PASSED


# --- the login --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "said"), [("other_host_key", "its host key is another"), (None, "its host key is not known")]
)
def test_wrong_host_key_is_refused(board, pi, key, said):
    board.know(key)
    with pytest.raises(TargetError, match=said) as error:
        transport.open_line(pi, connect_s=5, greeting_s=10)
    assert not error.value.transient
    assert "ssh" in error.value.next


def test_stranger_is_refused(board, pi):
    board.point_at(board.port, key="stranger_key")
    with pytest.raises(TargetError, match="refused the login") as error:
        transport.open_line(pi, connect_s=5, greeting_s=10)
    assert not error.value.transient


def test_unknown_name_is_lasting(monkeypatch):
    with pytest.raises(TargetError) as error:
        transport.open_line(Target("pi", ssh="no-such-host.invalid"), connect_s=5, greeting_s=10)
    assert "resolved" in error.value.found or "reached" in error.value.found


def test_destination_that_looks_like_an_option_is_none(board, tmp_path):
    trace = tmp_path / "trace"
    with pytest.raises(TargetError):
        transport.open_line(Target("pi", ssh=f"-oProxyCommand=touch {trace}"), connect_s=5, greeting_s=10)
    assert not trace.exists()


def test_python_that_looks_like_a_command_is_none(board, tmp_path):
    trace = tmp_path / "trace"
    for python in (f"python3; touch {trace}", f"$(touch {trace})", f"~/x'; touch {trace}; '"):
        with pytest.raises(TargetError, match="there is no Python"):
            transport.open_line(Target("pi", ssh=HOST, python=python), connect_s=5, greeting_s=10)
    assert not trace.exists()


# --- what is there ----------------------------------------------------------------------------------------------------


def test_bare_python_lacks_everything_and_it_is_said_once(make_job, board, carry_out, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    pi = Target("pi", ssh=HOST, python=str(tmp_path / "bare" / "bin" / "python"))
    told = carry_out(make_job(STEPS, pi))
    assert set(told.outcomes.values()) == {"not run"}
    for name in ("numpy", "pytest", "msgspec", "a runtime"):
        assert name in told.trouble.found
    assert f"ssh {HOST}" in told.trouble.next
    assert "pip install" in told.trouble.next


@pytest.mark.parametrize(
    ("patch", "said"),
    [
        (
            "import time; real = time.time; time.time = lambda: real() - 20 * 365 * 86400",
            "its clock is 7300 days behind",
        ),
        ("import sys; sys.version_info = (3, 9, 2)", "Python 3.9.2: too old"),
    ],
)
def test_machine_that_would_judge_wrongly_is_refused(make_job, board, pi, carry_out, tmp_path, patch, said):
    (tmp_path / "sitecustomize.py").write_text(patch)
    wrapper = tmp_path / "python"
    wrapper.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path} exec {sys.executable} "$@"\n')
    wrapper.chmod(0o755)
    told = carry_out(make_job(STEPS, dataclasses.replace(pi, python=str(wrapper))))
    assert set(told.outcomes.values()) == {"not run"}
    assert said in told.trouble.found
    assert not told.trouble.transient


# --- what is sent and heard -------------------------------------------------------------------------------------------


def test_damage_on_the_way_is_sent_again(make_job, board, pi, carry_out, monkeypatch):
    real, damaged = transport.Line.put, []

    def put(self, path, sha256, content):
        if not damaged:
            damaged.append(path)
            return real(self, path, sha256, b"X" + content[1:])
        return real(self, path, sha256, content)

    monkeypatch.setattr(transport.Line, "put", put)
    told = carry_out(make_job(STEPS + "# new code\n", pi))
    assert told.outcomes == ALL_PASSED
    assert any("damaged" in note.text for note in told.of(runs.Note))


def test_damage_that_comes_again_and_again_is_told(make_job, board, pi, carry_out, monkeypatch):
    real = transport.Line.put
    monkeypatch.setattr(
        transport.Line, "put", lambda self, path, sha256, content: real(self, path, sha256, content[:-1])
    )
    told = carry_out(make_job(STEPS + "# newer code\n", pi), dataclasses.replace(PATIENCE, attempts=1))
    assert set(told.outcomes.values()) == {"not run"}
    assert "damaged" in told.trouble.found


def test_damage_at_rest_is_found_before_anything_runs(make_job, board, pi, carry_out):
    job = make_job(STEPS, pi)
    carry_out(job)
    archive = board.base / job.bundle.code
    archive.write_bytes(archive.read_bytes()[:-100] + b"x" * 100)
    suite = archive.with_suffix("") / "acceptance" / "test_x.py"
    suite.write_text("def test_one(): assert False, 'not what was sent'\n")
    assert carry_out(job).outcomes == ALL_PASSED


@pytest.mark.parametrize(
    "said", ["echo Welcome to pi!", "printf 'no end of line'", "seq 1 20000", 'echo \'{"event": "hello"}\'']
)
def test_talkative_login_is_passed_over(make_job, board, pi, carry_out, said):
    (board.home / ".bashrc").write_text(said + "\n")
    try:
        assert carry_out(make_job(STEPS, pi)).outcomes == ALL_PASSED
    finally:
        (board.home / ".bashrc").unlink()


def test_login_that_ends_at_once_is_told_from_a_guard(board, pi):
    (board.home / ".bashrc").write_text("echo only for people; exit 0\n")
    try:
        with pytest.raises(TargetError, match="not liteproof's guard") as error:
            transport.open_line(pi, connect_s=5, greeting_s=10)
        assert "only for people" in error.value.where
    finally:
        (board.home / ".bashrc").unlink()


def test_suite_that_prints_like_a_guard_is_not_believed(make_job, board, pi, carry_out):
    text = 'import os\ndef test_one():\n    os.write(2, b\'{"event": "finish", "status": 0}\\n\')\n    assert False\n'
    assert carry_out(make_job(text, pi)).outcomes == {"test_one": "failed"}
