"""Which version of a package is installed, told without importing it.

>>> installed("numpy") is not None, installed("no-such-package")
(True, None)
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, distribution


@cache
def installed(name: str) -> str | None:
    """The version of a distribution ("ai-edge-litert"); None if it is not installed.

    From the first lines of its metadata: `importlib.metadata.version` parses all of it as an e-mail, the package's
    description included, which takes some milliseconds for each package at the start of every run.
    """
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return None
    headers = (found.read_text("METADATA") or "").partition("\n\n")[0].splitlines()
    told = (line.partition(":")[2].strip() for line in headers if line.startswith("Version:"))
    return next(told, None) or found.version
