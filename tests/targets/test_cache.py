"""What a target keeps stays within its limit, and a run never loses what it needs."""

import json
import os
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from liteproof.plan import Target
from liteproof.store import Store
from liteproof.targets import cache, doctor
from liteproof.targets import run as runs
from liteproof.targets.cache import SPARE_BYTES, held_bytes, holdings, make_room
from liteproof.targets.guard import base_folder
from liteproof.targets.transport import open_line
from tests.boards.board import Unavailable
from tests.boards.disk import tiny_file_system

ONE = "def test_one(): pass\n"
PASSED = {"test_one": "passed"}


def write(path, size=1000, used=1000.0):
    """A file of this size that was last used then."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    os.utime(path, (used, used))
    return path


# --- what goes --------------------------------------------------------------------------------------------------------


def test_the_least_recently_used_goes_first_and_no_more_than_must(tmp_path):
    oldest, old, new = (write(tmp_path / "data" / name, used=used) for name, used in (("b", 1), ("c", 2), ("a", 3)))
    room = make_room(tmp_path, set(), most_bytes=2000)
    assert (oldest.exists(), old.exists(), new.exists()) == (False, True, True)
    assert (room.removed_bytes, room.kept_bytes) == (1000, 2000)


def test_what_is_coming_counts(tmp_path):
    write(tmp_path / "data" / "a", used=1)
    write(tmp_path / "data" / "b", used=2)
    assert make_room(tmp_path, set(), most_bytes=2500, coming_bytes=1000).removed_bytes == 1000


def test_what_the_run_needs_stays_even_beyond_the_limit(tmp_path):
    needed, other = write(tmp_path / "data" / "needed", used=1), write(tmp_path / "data" / "other", used=2)
    room = make_room(tmp_path, {needed}, most_bytes=0)
    assert needed.exists()
    assert not other.exists()
    assert room.kept_bytes == 1000


def test_code_leaves_with_what_was_unpacked_of_it(tmp_path):
    write(tmp_path / "code" / "aa.zip", used=1)
    write(tmp_path / "code" / "aa" / "suite" / "test_x.py", used=2)
    kept = write(tmp_path / "code" / "bb" / "suite" / "test_x.py", used=1)
    write(tmp_path / "code" / "bb.zip", used=3)
    assert make_room(tmp_path, set(), most_bytes=2000).removed_bytes == 2000
    assert sorted(path.name for path in (tmp_path / "code").iterdir()) == ["bb", "bb.zip"]
    assert kept.exists()


def test_answers_are_as_recent_as_the_entry_that_was_read(tmp_path):
    store = Store(tmp_path / "store")
    for key in ("used", "unused"):
        entry = store.put(key, key.encode() * 100, suffix=".npy")
        os.utime(entry.path, (1, 1))
        os.utime(store.root / "entries" / f"{key}.json", (9, 9) if key == "used" else (5, 5))
    store.fail("used", "an older failure, in a file of its own")
    os.utime(store.root / "failures" / "used.txt", (1, 1))
    [failure, unused, used] = holdings(tmp_path)
    assert [path.parent.name for path in unused.paths] == ["blobs", "entries"]
    assert make_room(tmp_path, set(), most_bytes=used.bytes).removed_bytes == failure.bytes + unused.bytes
    fresh = Store(store.root)
    assert fresh.get("used") is not None
    assert fresh.get("unused") is None
    assert list((store.root / "entries").iterdir()) == [store.root / "entries" / "used.json"]


def test_damaged_entries_and_what_a_killed_writer_left_go_too(tmp_path):
    for path in ("store/entries/a.json", "store/entries/b.json", "store/blobs/.x.tflite.new", "store/.writing-x/y.npz"):
        write(tmp_path / path, size=10)
    (tmp_path / "store" / "entries" / "b.json").write_text(json.dumps(["no entry"]))
    write(tmp_path / "store" / "locks" / "in-use.lock")
    make_room(tmp_path, set(), most_bytes=0)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["in-use.lock"]


def test_nothing_outside_the_folder_is_touched(tmp_path):
    base, outside = tmp_path / "board", tmp_path / "outside"
    mine = write(outside / "mine.npz")
    hers = write(outside / "rooms" / "hers.npz")
    write(base / "venv" / "bin" / "python")
    write(base / "code" / "aa" / "x.py")
    for link, to in (("code/aa/out", outside), ("data/file", mine), ("data/folder", outside), ("store/blobs", outside)):
        (base / link).parent.mkdir(parents=True, exist_ok=True)
        (base / link).symlink_to(to)
    (base / "store" / "out").symlink_to(outside)
    make_room(base, set(), most_bytes=0)
    assert mine.exists()
    assert hers.exists()
    assert (base / "venv" / "bin" / "python").exists()
    assert list((base / "code").iterdir()) == list((base / "data").iterdir()) == []


def test_a_full_disk_lets_go_of_what_is_not_needed_only(tmp_path, monkeypatch):
    disk = SPARE_BYTES + 3500
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda base: SimpleNamespace(free=disk - held_bytes(base)))
    needed = write(tmp_path / "data" / "needed", used=1)
    old, new = write(tmp_path / "data" / "old", used=2), write(tmp_path / "data" / "new", used=3)
    assert make_room(tmp_path, {needed}, most_bytes=10**9, coming_bytes=500).removed_bytes == 0
    assert make_room(tmp_path, {needed}, most_bytes=10**9, coming_bytes=1500).removed_bytes == 1000
    assert (needed.exists(), old.exists(), new.exists()) == (True, False, True)


def test_what_cannot_be_removed_counts_on_and_the_next_goes(tmp_path, monkeypatch):
    theirs, mine = write(tmp_path / "data" / "theirs", used=1), write(tmp_path / "data" / "mine", used=2)

    def refuse(path):
        if path == theirs:
            raise PermissionError(1, "Operation not permitted")
        path.unlink()

    monkeypatch.setattr(cache, "remove", refuse)
    room = make_room(tmp_path, set(), most_bytes=1000)
    assert not mine.exists()
    assert (room.removed_bytes, room.kept_bytes) == (1000, 1000)


# --- runs -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path, monkeypatch):
    """This Python as a target with a folder of its own, where something old lies."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write(base_folder() / "data" / "old.npz", 3_000_000)
    return Target("here", python=sys.executable)


def notes(told):
    return [note.text for note in told.of(runs.Note)]


@pytest.mark.slow
def test_run_over_the_limit_lets_the_oldest_go_and_the_next_sends_nothing(make_job, here, carry_out):
    write(base_folder() / "data" / "newer.npz", 1000, used=2000.0)
    job = make_job(ONE, here)
    told = carry_out(job)
    assert told.outcomes == PASSED
    assert (base_folder() / "data" / "old.npz").exists()  # within the default limit
    assert not [text for text in notes(told) if "gave up" in text]
    limit = held_bytes(base_folder()) - 1
    told = carry_out(replace(job, target=replace(here, cache_bytes=limit)))
    assert told.outcomes == PASSED
    assert [path.name for path in (base_folder() / "data").iterdir()] == ["newer.npz"]
    [said] = notes(told)
    assert "gave up 3 MB, the least recently used" in said
    assert held_bytes(base_folder()) <= limit


@pytest.mark.slow
def test_a_limit_that_is_too_small_for_the_run_is_told_and_the_run_works(make_job, here, carry_out):
    job = make_job(ONE, replace(here, cache_bytes=1000))
    told, again = carry_out(job), carry_out(job)
    assert told.outcomes == again.outcomes == PASSED
    assert any("this run alone needs" in text and "1 kB" in text for text in notes(told))
    assert not [text for text in notes(again) if "sending" in text]
    assert list((base_folder() / "data").iterdir()) == []


@pytest.mark.slow
def test_answers_that_a_run_keeps_are_within_the_limit_when_it_ends(make_job, here, carry_out):
    text = (
        "import os, pathlib\n"
        "def test_one():\n"
        "    blobs = pathlib.Path(os.environ['LITEPROOF_STORE'], 'blobs')\n"
        "    blobs.mkdir(parents=True)\n"
        "    (blobs / 'answers.npy').write_bytes(bytes(40_000_000))\n"
    )
    told = carry_out(make_job(text, replace(here, cache_bytes=30_000_000)))
    assert told.outcomes == PASSED
    assert held_bytes(base_folder()) <= 30_000_000
    assert any("gave up 43 MB" in text for text in notes(told))


@pytest.mark.slow
def test_half_a_removal_is_made_good(make_job, here, carry_out):
    job = make_job(ONE, here)
    carry_out(job)
    archive = base_folder() / job.bundle.code
    archive.write_bytes(archive.read_bytes()[:1000])  # what a power cut may leave
    (archive.with_suffix("") / "acceptance" / "test_x.py").unlink()
    told = carry_out(job)
    assert told.outcomes == PASSED
    assert any("sending" in text for text in notes(told))


def test_a_folder_that_another_run_holds_is_left_alone(here):
    with open_line(here) as first, open_line(here) as second:
        first.send("lock", run="first", who="she")
        assert first.receive(10).name == "locked"
        second.send("lock", run="second", who="he")
        assert second.receive(10).name == "busy"
        second.send("need", files=[], most_bytes=0)
        assert second.receive(10)["text"] == "need before lock"
        assert (base_folder() / "data" / "old.npz").exists()
        first.send("need", files=[], most_bytes=0)
        assert first.receive(10)["room"]["removed_bytes"] == 3_000_000


def test_a_link_that_may_lead_outside_is_not_written_through(here, tmp_path):
    (tmp_path / "outside").mkdir()
    (base_folder() / "code").symlink_to(tmp_path / "outside")
    with open_line(here) as line:
        line.send("lock", run="one", who="she")
        assert line.receive(10).name == "locked"
        line.put("code/x.zip", "0" * 64, b"anything")
        told = line.receive(10)
    assert "a link, which may lead out" in told["text"]
    assert list((tmp_path / "outside").iterdir()) == []


@pytest.mark.slow
def test_a_card_that_is_nearly_full_is_not_stuck(make_job, here, carry_out):
    try:
        with tiny_file_system(base_folder(), SPARE_BYTES + 12_000_000):
            write(base_folder() / "data" / "old.npz", 30_000_000)
            assert carry_out(make_job(ONE, here)).outcomes == PASSED
            assert not (base_folder() / "data" / "old.npz").exists()
    except Unavailable as reason:
        pytest.skip(f"no file system to fill on this machine: {reason}")


def test_doctor_tells_size_and_limit(here):
    [line] = [line for line in doctor.examine(here).text.splitlines() if "cache:" in line]
    assert line.split(maxsplit=1)[1] == f"3 MB of 2 GB, {base_folder()}"
