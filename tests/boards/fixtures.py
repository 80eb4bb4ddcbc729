"""The boards as pytest fixtures. Each is started once in a session; what a machine cannot have is skipped, with why."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tests.boards.board import Board, Unavailable
from tests.boards.emulated_pi import EmulatedPi
from tests.boards.sshd import Sshd


@contextlib.contextmanager
def or_skip(what: str) -> Iterator[None]:
    """Skip where this machine cannot have it."""
    try:
        yield
    except Unavailable as reason:
        pytest.skip(f"no {what} on this machine: {reason}")


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """A second sshd on this machine, running, with its controls. A test that breaks it makes it whole again."""
    with or_skip("second sshd"):
        board = Sshd(tmp_path_factory.mktemp("sshd")).start()
    yield board
    board.kill()


@pytest.fixture(scope="session")
def emulated_pi(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatedPi]:
    """An emulated Raspberry Pi, running, with its controls. A test that breaks it makes it whole again."""
    with or_skip("emulated Pi"):
        board = EmulatedPi(tmp_path_factory.mktemp("emulated-pi"))
        board.start()
    yield board
    board.power_cut()


@pytest.fixture(scope="session")
def emulated_pi_board(emulated_pi: EmulatedPi) -> Board:
    """How the emulated Raspberry Pi is reached."""
    return emulated_pi.board
