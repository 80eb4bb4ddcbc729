import signal
import sys

import pytest

from liteproof.measure.watched import watch
from tests.measure.processes import gone


def stand_in(code: str) -> list[str]:
    return [sys.executable, "-S", "-c", f"import os, sys, signal, time\n{code}"]


def test_a_watched_process_is_heard_to_its_end():
    end = watch(
        stand_in("print('one\\ntwo'); print('three', end=''); sys.stderr.write('x' * 20000 + 'end'); sys.exit(3)"), 20
    )
    assert (end.lines, end.status) == ((b"one", b"two"), 3)
    assert end.stderr.endswith("xend")
    assert len(end.stderr) < 20000


def test_a_signal_is_told_by_its_number():
    assert watch(stand_in("os.kill(os.getpid(), signal.SIGSEGV)"), 20).status == -signal.SIGSEGV


@pytest.mark.parametrize("closing", ["", "os.close(1); os.close(2); "], ids=["silent", "pipes closed"])
def test_what_hangs_is_killed_at_the_deadline(closing):
    end = watch(stand_in(f"print('begun', flush=True); {closing}time.sleep(600)"), 0.5)
    assert (end.lines, end.status) == ((b"begun",), None)


def test_the_deadline_takes_the_whole_process_group():
    end = watch(stand_in("print(os.fork(), flush=True); time.sleep(600)"), 0.5)
    assert end.status is None
    child = int(end.lines[0])
    assert gone(child)


def test_a_child_left_behind_goes_too():
    end = watch(
        stand_in("child = os.fork()\nif child:\n print(child)\nelse:\n os.close(1); os.close(2); time.sleep(600)"), 20
    )
    assert end.status == 0
    assert gone(int(end.lines[0]))
