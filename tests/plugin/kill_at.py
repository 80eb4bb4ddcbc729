"""A pytest plugin for the tests: power is cut at the n-th step of a run (`KILL_AT`); without it, steps are counted.

Steps are what changes the disk or starts a process, in pytest's process and in the one that it forks, and every
report of a test. `STEPS` names the file that the count is left in.
"""

import mmap
import os
import signal
import struct
import sys
from pathlib import Path

_STEPS = frozenset({"os.rename", "os.remove", "os.mkdir", "os.symlink", "tempfile.mkstemp", "subprocess.Popen"})
_count = mmap.mmap(-1, 8)  # shared with forked processes
_at = int(os.environ.get("KILL_AT", "0"))


def _step() -> None:
    done = struct.unpack("q", _count[:])[0] + 1
    _count[:] = struct.pack("q", done)
    if done == _at:
        os.killpg(0, signal.SIGKILL)


def _hear(event, arguments) -> None:
    if event in _STEPS:
        _step()


sys.addaudithook(_hear)


def pytest_runtest_logreport(report) -> None:
    _step()


def pytest_unconfigure() -> None:
    if "STEPS" in os.environ:
        Path(os.environ["STEPS"]).write_text(str(struct.unpack("q", _count[:])[0]))
