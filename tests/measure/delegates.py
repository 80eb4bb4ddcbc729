"""A real delegate library, compiled for the tests: it takes every SOFTMAX of float32."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("softmax_delegate.c")


def softmax_delegate(folder):
    """The library, compiled into a folder; skips where that is not possible."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or sys.maxsize < 2**32:
        pytest.skip("no C compiler, or no 64-bit machine")
    library = folder / "softmax_delegate.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-lm"], check=True)
    return library
