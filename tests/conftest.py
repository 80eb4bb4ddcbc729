"""What all tests of the harness share: pytest's own test bench."""

pytest_plugins = ["pytester"]
