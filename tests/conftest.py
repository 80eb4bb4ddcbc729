"""What all tests of the harness share: pytest's own test bench, and the boards."""

import contextlib

with contextlib.suppress(ImportError):
    # Loaded after TensorFlow, which some tests bring in, it refuses every file: their C++ symbols clash.
    import tflite_runtime.interpreter  # noqa: F401

pytest_plugins = ["pytester", "tests.boards.fixtures"]
