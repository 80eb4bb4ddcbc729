"""The everyday board does what tests of the remote runner rely on."""

import subprocess
import time

import pytest

pytestmark = pytest.mark.slow


def wait_until(holds, timeout_s=10.0):
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def running_there(sshd, *words):
    command = ["ssh", "-F", str(sshd.board.ssh_config), sshd.board.name, *words]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)


def test_has_its_own_home_and_the_old_runtime_with_numpy_1(loopback_board):
    program = "import os, numpy, tflite_runtime.interpreter; print(os.environ['HOME'], numpy.__version__)"
    done = loopback_board.ssh(loopback_board.python, "-c", program)
    assert done.stdout.split() == [str(loopback_board.home), "1.26.4"], done.stderr


def test_a_wrong_host_key_and_a_wrong_client_key_are_refused(loopback_board, tmp_path):
    config = loopback_board.ssh_config.read_text()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    for key, message in (("client_key", "Permission denied"), ("known_hosts", "Host key verification failed")):
        other = tmp_path / "key" if key == "client_key" else tmp_path / "empty"
        (tmp_path / "empty").touch()
        (tmp_path / "config").write_text(config.replace(f"{loopback_board.ssh_config.parent}/{key}", str(other)))
        command = ["ssh", "-F", tmp_path / "config", loopback_board.name, "true"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
        assert (done.returncode, message in done.stderr) == (255, True), done.stderr


def test_killed_connections_leave_their_programs_which_a_power_cut_does_not(sshd):
    client = running_there(sshd, "sleep 100")
    try:
        wait_until(lambda: "sleep 100" in sshd.programs().values())
        sshd.cut_connections()
        assert client.wait(10) == 255
        assert "sleep 100" in sshd.programs().values()
        sshd.kill()
        assert sshd.processes() == []
        assert sshd.board.ssh("true").returncode == 255
    finally:
        client.kill()
        client.wait()
        sshd.kill()
        sshd.start()
    assert sshd.board.ssh("true").returncode == 0


def test_a_frozen_board_is_silent_until_it_thaws(sshd):
    client = running_there(sshd, "sleep 0.5; exit 7")
    wait_until(lambda: any("sleep" in line for line in sshd.programs().values()))
    sshd.freeze()
    with pytest.raises(subprocess.TimeoutExpired):
        client.wait(1.5)
    sshd.thaw()
    assert client.wait(10) == 7
