import os
import threading

import pytest

from liteproof.errors import UsageError
from liteproof.store import Store, digest_of, file_sha256, write_atomically


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def test_what_was_put_is_got_by_a_fresh_process(store):
    store.put("k", b"abc", suffix=".tflite", meta={"seconds": 1.5})
    entry = Store(store.root).get("k")
    assert entry.path.read_bytes() == b"abc"
    assert (entry.bytes, entry.meta) == (3, {"seconds": 1.5})
    assert entry.path.suffix == ".tflite"


def test_a_file_is_put_as_its_content_is(store, tmp_path):
    given = tmp_path / "outputs.npz"
    given.write_bytes(b"x" * 3_000_000)
    entry = store.put("k", given, suffix=".npz")
    assert (entry.bytes, entry.path.read_bytes()) == (3_000_000, given.read_bytes())
    assert store.get("k") == entry == store.put("k", given.read_bytes(), suffix=".npz")


def test_damaged_blob_is_as_good_as_absent(store):
    entry = store.put("k", b"abc", suffix="")
    entry.path.write_bytes(b"abd")
    assert Store(store.root).get("k") is None


def test_damage_is_noticed_by_the_process_that_wrote(store):
    entry = store.put("k", b"abc", suffix="")
    entry.path.write_bytes(b"abd")
    os.utime(entry.path, ns=(1, 1))
    assert store.get("k") is None


def test_damaged_blob_is_rebuilt_by_the_next_put(store):
    store.put("k", b"abc", suffix="").path.write_bytes(b"xxx")
    assert store.put("k", b"abc", suffix="").path.read_bytes() == b"abc"
    assert store.get("k") is not None


@pytest.mark.parametrize("record", [b"", b"{", b'{"blob": 3}', b"\xff"])
def test_damaged_record_is_as_good_as_absent(store, record):
    store.put("k", b"abc", suffix="")
    (store.root / "entries" / "k.json").write_bytes(record)
    assert store.get("k") is None


def test_failure_is_remembered_until_the_artefact_is_there(store):
    assert store.failure("k") is None
    store.fail("k", "the converter said no")
    assert Store(store.root).failure("k") == "the converter said no"
    store.put("k", b"abc", suffix="")
    assert store.failure("k") is None


def test_key_depends_on_every_part_and_not_on_their_order():
    assert digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
    assert digest_of({"a": 1, "b": 2}) != digest_of({"a": 1, "b": 3})


def test_folder_digest_sees_content_and_names(tmp_path):
    def digest(files):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        return file_sha256(folder)

    one = digest({"a": "1", "b/c": "2"})
    assert digest({"a": "1", "b/c": "2"}) == one
    assert digest({"a": "1", "b/c": "3"}) != one
    assert digest({"a": "1", "b/d": "2"}) != one


def test_write_leaves_no_half_file_when_the_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(UsageError, match="cannot write"):
        write_atomically(tmp_path / "file" / "below", b"abc")
    assert (tmp_path / "file").read_text() == "not a folder"


def test_lock_excludes_a_second_holder(store):
    order = []
    inside = threading.Event()

    def second():
        inside.wait()
        with store.lock("k"):
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with store.lock("k"):
        inside.set()
        thread.join(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
