"""The everyday board does what tests of the remote runner rely on."""

import subprocess
import time

import pytest

from tests.boards.board import Unavailable
from tests.boards.sshd import python

pytestmark = pytest.mark.slow


def wait_until(holds, timeout_s=10.0):
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_has_its_own_home_and_the_old_runtime_with_numpy_1(sshd):
    try:
        interpreter = python()
    except Unavailable as reason:
        pytest.skip(str(reason))
    program = "import os, numpy, tflite_runtime.interpreter; print(os.environ['HOME'], numpy.__version__)"
    said, complained = sshd.ssh(str(interpreter), "-c", program).communicate(timeout=60)
    assert said.split() == [str(sshd.home), "1.26.4"], complained


def test_killed_connections_leave_their_programs_which_a_power_cut_does_not(sshd):
    client = sshd.ssh("sleep", "100")
    try:
        wait_until(lambda: "sleep 100" in sshd.processes().values())
        sshd.cut_connections()
        assert client.wait(10) == 255
        assert "sleep 100" in sshd.processes().values()
        sshd.kill()
        assert sshd.processes() == {}
        assert sshd.ssh("true").wait(30) == 255
    finally:
        client.kill()
        client.wait()
        sshd.kill()
        sshd.start()
    assert sshd.ssh("true").wait(30) == 0


def test_a_frozen_board_is_silent_until_it_thaws(sshd):
    client = sshd.ssh("sh", "-c", "sleep 0.5; exit 7")
    wait_until(lambda: any("sleep" in line for line in sshd.processes().values()))
    sshd.freeze()
    with pytest.raises(subprocess.TimeoutExpired):
        client.wait(1.5)
    sshd.thaw()
    assert client.wait(10) == 7
