"""What a run ran on: facts that a report names, read without importing a runtime.

>>> sorted(describe_machine("ai_edge_litert", threads=1))
['machine', 'numpy', 'python', 'runtime', 'system', 'threads']
"""

from __future__ import annotations

import importlib.metadata
import platform


def describe_machine(runtime: str, threads: int) -> dict[str, object]:
    """Machine, system, runtime with version, numpy, Python and thread count."""
    return {
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "runtime": f"{runtime} {_version(runtime)}",
        "numpy": _version("numpy"),
        "threads": threads,
    }


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package.replace("_", "-"))
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
