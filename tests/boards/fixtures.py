"""The boards as pytest fixtures. Each is started once in a session; what a machine cannot have is skipped, with why."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.boards.board import Board, Unavailable
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
