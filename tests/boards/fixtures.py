"""The boards as pytest fixtures. Each is started once in a session; what a machine cannot have is skipped, with why."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.boards.board import Board, Unavailable
from tests.boards.emulated_pi import EmulatedPi
from tests.boards.sshd import Sshd


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """A second sshd on this machine, running, with its controls. A test that breaks it makes it whole again."""
    try:
        board = Sshd(tmp_path_factory.mktemp("sshd"))
        board.start()
    except Unavailable as reason:
        pytest.skip(f"no second sshd on this machine: {reason}")
    yield board
    board.kill()


@pytest.fixture(scope="session")
def loopback_board(sshd: Sshd) -> Board:
    """How the second sshd is reached."""
    return sshd.board


@pytest.fixture(scope="session")
def emulated_pi(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatedPi]:
    """An emulated Raspberry Pi, running, with its controls. A test that breaks it makes it whole again."""
    try:
        board = EmulatedPi(tmp_path_factory.mktemp("emulated-pi"))
        board.start()
    except Unavailable as reason:
        pytest.skip(f"no emulated Pi on this machine: {reason}")
    yield board
    board.power_cut()


@pytest.fixture(scope="session")
def emulated_pi_board(emulated_pi: EmulatedPi) -> Board:
    """How the emulated Raspberry Pi is reached."""
    return emulated_pi.board
