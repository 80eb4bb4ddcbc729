"""Processes, as /proc has them."""

import time
from pathlib import Path


def gone(pid: int) -> bool:
    """Whether a process has ended; it may wait for its new parent to take note."""
    for _ in range(200):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.01)
    return False


def descendants(pid: int) -> list[int]:
    """Children of a process, theirs, and so on."""
    found = []
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        found += [int(child), *descendants(int(child))]
    return found
