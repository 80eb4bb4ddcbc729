import os
import subprocess
import sys
import time

import pytest

from liteproof.cli import main
from liteproof.errors import UsageError
from liteproof.store import Store
from liteproof.store_pruning import holdings, keep_within, prune

DAY = 86400.0


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def put(store, key, content, *, used_days_ago, **meta):
    entry = store.put(key, content, suffix=".tflite", meta={"kind": "variant", "model": "digits", **meta})
    set_used(store, key, entry, used_days_ago)
    return entry


def set_used(store, key, entry, days_ago):
    at = time.time() - days_ago * DAY
    for path in (entry.path, store.root / "entries" / f"{key}.json"):
        os.utime(path, (at, at))


def left(store):
    return sorted(path.stem for path in (store.root / "entries").iterdir())


def test_least_recently_used_goes_first(store):
    put(store, "old", b"a" * 10, used_days_ago=9)
    put(store, "older", b"b" * 10, used_days_ago=30)
    put(store, "new", b"c" * 10, used_days_ago=1)
    done = prune(store, most_bytes=20)
    assert left(store) == ["new", "old"]
    assert (done.freed_bytes, done.left_bytes) == (10, 20)


def test_getting_is_using(store):
    entry = put(store, "old", b"a" * 10, used_days_ago=30)
    put(store, "new", b"b" * 10, used_days_ago=1)
    os.utime(entry.path, (1, 1))  # whatever a system keeps of accesses to the content itself
    assert Store(store.root).get("old")
    prune(store, most_bytes=10)
    assert left(store) == ["old"]


def test_age_alone(store):
    put(store, "old", b"a", used_days_ago=31)
    put(store, "new", b"b", used_days_ago=29)
    prune(store, unused_s=30 * DAY)
    assert left(store) == ["new"]


def test_dry_run_removes_nothing(store):
    put(store, "old", b"a", used_days_ago=31)
    assert len(prune(store, most_bytes=0, dry_run=True).removed) == 1
    assert left(store) == ["old"]


def test_what_a_sign_off_names_stays(store):
    named = put(store, "named", b"a" * 10, used_days_ago=900)
    put(store, "other", b"b" * 10, used_days_ago=1)
    store.pin("run-1", [named.sha256], "sign-off run-1")
    assert [held.pinned_by for held in holdings(store)] == ["sign-off run-1", ""]
    assert prune(store, most_bytes=0, unused_s=0).left_bytes == 10
    assert left(store) == ["named"]
    assert Store(store.root).get("named").path.read_bytes() == b"a" * 10


def test_without_its_pin_it_goes(store):
    named = put(store, "named", b"a" * 10, used_days_ago=900)
    store.pin("run-1", [named.sha256], "sign-off run-1")
    (store.root / "pins" / "run-1.json").unlink()
    prune(store, most_bytes=0)
    assert left(store) == []


def test_nothing_is_removed_while_a_pin_is_damaged(store):
    put(store, "k", b"a", used_days_ago=900)
    store.pin("run-1", ["0" * 64], "sign-off run-1")
    (store.root / "pins" / "run-1.json").write_text("{")
    with pytest.raises(UsageError, match="pin cannot be read"):
        prune(store, most_bytes=0)
    assert left(store) == ["k"]


def test_a_content_that_two_entries_share_stays_for_the_one_that_is_used(store):
    put(store, "old", b"same", used_days_ago=30)
    put(store, "new", b"same", used_days_ago=30)
    now = time.time()
    os.utime(store.root / "entries" / "new.json", (now, now))
    prune(store, unused_s=7 * DAY)
    assert left(store) == ["new", "old"]
    assert sum(held.bytes for held in holdings(store)) == 4


def test_what_killed_writers_left_is_swept_and_what_is_being_written_is_not(store):
    put(store, "k", b"a", used_days_ago=0)
    writing, dead = (store.root / "blobs" / name for name in (".writing-now", ".writing-dead"))
    unnamed, fresh = (store.root / "blobs" / f"{digit * 64}.tflite" for digit in "12")
    for path in (writing, dead, unnamed, fresh):
        path.write_bytes(b"half")
    for path in (dead, unnamed):
        os.utime(path, (1, 1))
    done = prune(store, most_bytes=0, unused_s=None)
    assert done.abandoned == (dead,)
    assert sorted(path.name for path in (store.root / "blobs").iterdir()) == [".writing-now", fresh.name]


def test_what_was_fetched_in_part_is_kept_for_a_week(store):
    (store.root / "downloads").mkdir(parents=True)
    yesterday, long_ago = (store.root / "downloads" / f"{name}.part" for name in ("yesterday", "long-ago"))
    for path, days in ((yesterday, 1), (long_ago, 8)):
        path.write_bytes(b"half")
        os.utime(path, (time.time() - days * DAY,) * 2)
    assert prune(store).abandoned == (long_ago,)


def test_a_temporary_of_a_writer_that_was_killed(store):
    program = (
        "import os, sys, liteproof.store as s; from pathlib import Path;"
        "s.os.fsync = lambda _: os.kill(os.getpid(), 9);"
        "s.Store(Path(sys.argv[1])).put('k', b'abc', suffix='')"
    )
    subprocess.run([sys.executable, "-c", program, str(store.root)], check=False, timeout=60)
    (dead,) = store.root.glob("**/.writing-*")
    assert prune(store).abandoned == ()
    assert prune(store, now=time.time() + DAY).abandoned == (dead,)
    assert not dead.exists()


# -- beside a run -----------------------------------------------------------------------------------------------------


@pytest.fixture
def reader(store):
    """Another process that has the store in use, and reads an entry after each line that it is sent."""
    program = (
        "import sys; from pathlib import Path; from liteproof.store import Store\n"
        "store = Store(Path(sys.argv[1]))\n"
        "with store.in_use():\n"
        "    entry = store.get('k')\n"
        "    print('ready', flush=True)\n"
        "    for _ in sys.stdin: print(entry.path.read_bytes().decode(), flush=True)\n"
        "print('left', flush=True)\n"
    )
    put(store, "k", b"abc", used_days_ago=900)
    with subprocess.Popen(
        [sys.executable, "-c", program, str(store.root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def test_nothing_leaves_while_another_process_reads(store, reader, capsys, monkeypatch):
    assert keep_within(store, most=0) is None
    monkeypatch.setenv("LITEPROOF_STORE", str(store.root))
    waiting = subprocess.Popen(
        [sys.executable, "-m", "liteproof.cli", "store", "prune", "--max-size=0"], stderr=subprocess.PIPE, text=True
    )
    assert "waiting for a run" in waiting.stderr.readline()
    reader.stdin.write("\n")
    reader.stdin.flush()
    assert reader.stdout.readline() == "abc\n"
    assert left(store) == ["k"]
    reader.stdin.close()
    waiting.communicate(timeout=60)
    assert left(store) == []


def test_a_reader_that_was_killed_holds_nothing(store, reader):
    reader.kill()
    reader.wait()
    assert keep_within(store, most=0).freed_bytes == 3


def test_two_may_use_it_at_once(store):
    with store.in_use(), Store(store.root).in_use(), store.alone(wait=False) as alone:
        assert not alone
    with store.alone(wait=False) as alone:
        assert alone


def test_a_store_that_cannot_be_written_is_used_all_the_same_and_not_pruned(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    refused = Store(tmp_path / "file")
    with refused.in_use():
        assert refused.get("k") is None
    with pytest.raises(UsageError, match="cannot write"), refused.alone():
        pass


def test_a_store_within_its_limit_is_left_alone(store):
    put(store, "k", b"abc", used_days_ago=900)
    assert keep_within(store, most=3) is None
    assert left(store) == ["k"]


# -- the command ------------------------------------------------------------------------------------------------------


def test_command_shows_what_is_held_and_what_would_go(store, monkeypatch, capsys):
    monkeypatch.setenv("LITEPROOF_STORE", str(store.root))
    put(store, "k", b"a" * 2000, used_days_ago=3)
    assert main(["store"]) == 0
    assert "digits" in (shown := capsys.readouterr().out)
    assert "2 kB of 10 GB" in shown
    assert main(["store", "prune", "--max-size=1kB", "--dry-run"]) == 0
    assert "1 contents would be removed, 2 kB; 0 B left" in capsys.readouterr().out
    assert main(["store", "prune", "--older-than=4d"]) == 0
    assert "0 contents removed" in capsys.readouterr().out
    monkeypatch.setenv("LITEPROOF_STORE_LIMIT", "1kB")
    assert main(["store", "prune"]) == 0
    assert left(store) == []


@pytest.mark.parametrize(
    ("arguments", "variable", "named"),
    [
        (["--max-size=5XB"], "", "--max-size"),
        (["--older-than=soon"], "", "--older-than"),
        ([], "much", "$LITEPROOF_STORE_LIMIT"),
    ],
)
def test_a_wrong_request_is_told_and_removes_nothing(store, monkeypatch, capsys, arguments, variable, named):
    monkeypatch.setenv("LITEPROOF_STORE", str(store.root))
    monkeypatch.setenv("LITEPROOF_STORE_LIMIT", variable)
    put(store, "k", b"abc", used_days_ago=900)
    assert main(["store", "prune", *arguments]) == 4
    assert named in capsys.readouterr().err
    assert left(store) == ["k"]
