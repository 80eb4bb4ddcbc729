"""The tiny file system is full when it is full, and gone afterwards."""

import pytest

from tests.boards.board import Unavailable
from tests.boards.disk import tiny_file_system


def test_is_full_after_a_megabyte_and_gone_afterwards(tmp_path):
    try:
        with tiny_file_system(tmp_path / "small") as folder, pytest.raises(OSError, match="No space left"):
            (folder / "big").write_bytes(bytes(2 << 20))
    except Unavailable as reason:
        pytest.skip(f"no file system to fill on this machine: {reason}")
    assert list((tmp_path / "small").iterdir()) == []
