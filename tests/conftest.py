"""What all tests of the harness share: pytest's own test bench, and the boards."""

import contextlib
import signal

with contextlib.suppress(ImportError):
    # Loaded after TensorFlow, which some tests bring in, it refuses every file: their C++ symbols clash.
    import tflite_runtime.interpreter  # noqa: F401

pytest_plugins = ["pytester", "tests.boards.fixtures"]

# A shell's background job ignores Ctrl-C, and so would every process that a test starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)
