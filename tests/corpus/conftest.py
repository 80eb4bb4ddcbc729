"""Acceptance runs, as those of `tests/plugin`."""

from tests.plugin.conftest import gate, store, tiny  # noqa: F401
