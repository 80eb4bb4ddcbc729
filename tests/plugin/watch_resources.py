"""A pytest plugin for the tests: writes down the descriptors and the resident memory (kB) after each test.

`RESOURCES` names the file; each line holds the process's number, descriptors and memory.
"""

import os
import re
from pathlib import Path


def pytest_runtest_logfinish(nodeid) -> None:
    resident = int(re.search(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())[1])
    with Path(os.environ["RESOURCES"]).open("a") as stream:
        stream.write(f"{os.getpid()} {len(list(Path('/proc/self/fd').iterdir()))} {resident}\n")
