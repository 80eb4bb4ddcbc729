"""A file system that is soon full: one megabyte, in memory, mounted for as long as a test wants it.

>>> with tiny_file_system(board.home / ".cache"):                                 # doctest: +SKIP
...     ...
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.boards.board import Unavailable


@contextlib.contextmanager
def tiny_file_system(folder: Path, size_bytes: int = 1 << 20) -> Iterator[Path]:
    """Mount a file system of this size on a folder; what was in the folder is there again afterwards.

    Raises:
        Unavailable: if this machine does not let us.
    """
    if os.geteuid() != 0:
        raise Unavailable("not root, which mounting wants")
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes},mode=1777", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"cannot mount: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
