"""What all tests of the harness share: pytest's own test bench, and the boards."""

pytest_plugins = ["pytester", "tests.boards.fixtures"]
