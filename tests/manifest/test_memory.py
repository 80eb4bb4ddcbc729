"""What is remembered about files, and when it is not trusted."""

import os
import time

import msgspec
import pytest

from liteproof.errors import UsageError
from liteproof.manifest.memory import Memory
from liteproof.store import Store, file_sha256


class Fact(msgspec.Struct):
    answer: int


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setattr("liteproof.manifest.memory._SETTLED_NS", -1)
    (tmp_path / "a.npz").write_bytes(b"one")
    return tmp_path / "a.npz"


def digest(store, path):
    with Memory(store) as memory:
        return memory.file(path).sha256


def test_a_file_that_did_not_change_is_hashed_once(store, file, monkeypatch):
    first = digest(store, file)
    assert first == file_sha256(file)
    monkeypatch.setattr("liteproof.manifest.memory.file_sha256", None)
    assert digest(store, file) == first


@pytest.mark.parametrize("keep_times", [False, True])
def test_content_of_the_same_size_is_noticed_even_with_its_old_time(store, file, keep_times):
    digest(store, file)
    before = file.stat()
    file.write_bytes(b"two")
    if keep_times:
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert digest(store, file) == file_sha256(file)


def test_a_folder_is_known_by_all_its_files(store, file):
    folder = file.parent / "saved"
    (folder / "variables").mkdir(parents=True)
    (folder / "variables" / "data").write_bytes(b"one")
    first = digest(store, folder)
    assert first == file_sha256(folder)
    (folder / "variables" / "data").write_bytes(b"two")
    assert digest(store, folder) == file_sha256(folder) != first
    (folder / "more").write_bytes(b"")
    assert digest(store, folder) == file_sha256(folder)


def test_a_file_that_was_written_just_now_is_not_trusted_yet(store, tmp_path):
    (tmp_path / "new.npz").write_bytes(b"one")
    digest(store, tmp_path / "new.npz")
    assert not (store.root / "manifest-memory.json").exists()


def test_facts_are_found_out_once_and_a_none_again(store, file):
    asked = []

    def find(answer):
        asked.append(answer)
        return answer and Fact(answer)

    for answer in (None, 42, 43):
        with Memory(store) as memory:
            fact = memory.facts(Fact, memory.file(file), lambda answer=answer: find(answer))
    assert fact == Fact(42)
    assert asked == [None, 42]


@pytest.mark.parametrize("content", [b"", b"{", b'{"format": "other", "files": {}, "facts": {}}', b"[]"])
def test_a_damaged_page_is_as_good_as_none(store, file, content):
    digest(store, file)
    (store.root / "manifest-memory.json").write_bytes(content)
    assert digest(store, file) == file_sha256(file)


def test_damaged_facts_are_found_out_again(store, file):
    with Memory(store) as memory:
        memory.facts(Fact, memory.file(file), lambda: Fact(1))
    page = store.root / "manifest-memory.json"
    page.write_bytes(page.read_bytes().replace(b'"answer":1', b'"answer":"x"'))
    with Memory(store) as memory:
        assert memory.facts(Fact, memory.file(file), lambda: Fact(2)) == Fact(2)


def test_a_store_that_cannot_be_written_costs_nothing_but_time(file):
    blocked = file.parent / "blocked"
    blocked.write_text("a file where the store's folder should be")
    assert digest(Store(blocked), file) == file_sha256(file)


def test_the_page_does_not_grow_without_bound(store, file, monkeypatch):
    monkeypatch.setattr("liteproof.manifest.memory._MOST", 2)
    for name in "abcd":
        (file.parent / name).write_text(name)
        digest(store, file.parent / name)
    page = msgspec.json.decode((store.root / "manifest-memory.json").read_bytes())
    assert [path[-1] for path in page["files"]] == ["c", "d"]


def test_a_file_that_vanished_is_told(store, file):
    with pytest.raises(UsageError, match="cannot read the file"):
        digest(store, file.parent / "gone")


def test_a_file_from_the_future_is_not_trusted(store, tmp_path):
    (tmp_path / "a").write_bytes(b"one")
    ahead = time.time() + 3600
    os.utime(tmp_path / "a", (ahead, ahead))
    digest(store, tmp_path / "a")
    assert not (store.root / "manifest-memory.json").exists()
