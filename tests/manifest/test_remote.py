"""Models that are kept elsewhere: fetched once, resumed, never another file, and nothing confidential told."""

import hashlib
import io
import random
import zipfile
from pathlib import Path

import pytest

from liteproof import plan
from liteproof.convert.tasks import Event
from liteproof.errors import UsageError
from liteproof.manifest.place import Place
from liteproof.manifest.remote import Remote, Remotes, plain
from liteproof.store import Store
from tests.manifest.server import Server

pytest.importorskip("fsspec")
pytest.importorskip("aiohttp")
pytestmark = pytest.mark.slow  # each fetch is a process of its own

LARGE = random.Random(0).randbytes(5_000_000)
SMALL = b"TFL3 a small model"


@pytest.fixture
def server():
    server = Server()
    server.files = {"small.tflite": SMALL, "large.keras": LARGE}
    yield server
    server.close()


@pytest.fixture(autouse=True)
def _hardly_any_waits(monkeypatch):
    monkeypatch.setattr("liteproof.manifest.remote.WAITS_S", (0.01, 0.02, 0.03))


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


def digest(content):
    return hashlib.sha256(content).hexdigest()


def remote(url, content=SMALL, **more):
    pinned = digest(content) if isinstance(content, bytes) else content
    return Remote(url, pinned, more.get("key", "source"), Place("models/digits/model.toml", "model"))


def fetch(store, *given, **options):
    return Remotes(store, **options).file(remote(*given), "digits")


def refused(store, *given, **options):
    with pytest.raises(UsageError) as caught:
        fetch(store, *given, **options)
    return str(caught.value)


def test_what_is_fetched_is_in_the_store_under_its_kind_and_never_fetched_again(server, store):
    told = []
    url = server.url("small.tflite")
    found = fetch(store, url, listener=told.append)
    assert (found.sha256, found.bytes, found.url) == (digest(SMALL), len(SMALL), url)
    assert found.path.endswith(f"{digest(SMALL)}.tflite")
    assert [event.kind for event in told] == ["planned", "started", "at", "fetched"]
    assert told[2] == Event("at", model="digits", name="source", done=18, total=18, meta={"unit": "B"})
    before = len(server.requests)
    assert fetch(store, url) == found
    assert len(server.requests) == before


def test_a_large_file_comes_in_ranges(server, store):
    assert fetch(store, server.url("large.keras"), LARGE).bytes == len(LARGE)
    assert len([asked for _, asked in server.requests if asked]) > 1


def test_a_connection_that_breaks_is_taken_up_again(server, store):
    server.cut = 2
    assert fetch(store, server.url("large.keras"), LARGE).sha256 == digest(LARGE)


def test_what_has_come_is_kept_for_the_next_run(server, store, monkeypatch):
    """The first run has no time for more than a part: the second one asks for the rest only."""
    server.delay_s = 60
    url = server.url("large.keras")
    given = remote(url, LARGE)
    part = Remotes(store)._part(given)
    part.parent.mkdir(parents=True)
    part.write_bytes(LARGE[:3_000_000])
    monkeypatch.setenv("LITEPROOF_DOWNLOAD_TIMEOUT", "2")
    assert "it goes on after the 3000000 bytes that have come" in refused(store, url, LARGE)
    server.delay_s = 0
    monkeypatch.delenv("LITEPROOF_DOWNLOAD_TIMEOUT")
    assert fetch(store, url, LARGE).sha256 == digest(LARGE)
    assert min(int(asked.removeprefix("bytes=").partition("-")[0]) for _, asked in server.requests) == 3_000_000


def test_a_beginning_of_another_file_is_not_trusted(server, store):
    Remotes(store).file(remote(server.url("small.tflite")), "digits")
    url = server.url("large.keras")
    given = remote(url, LARGE)
    part = Remotes(store)._part(given)
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes(b"\0" * 1000)
    assert fetch(store, url, LARGE).sha256 == digest(LARGE)


def test_a_server_without_ranges(server, store):
    server.ranges = False
    server.cut = 1
    assert fetch(store, server.url("large.keras"), LARGE).sha256 == digest(LARGE)


def test_another_file_is_refused_with_both_digests_and_not_kept(server, store):
    message = refused(store, server.url("small.tflite"), LARGE)
    assert digest(SMALL) in message
    assert digest(LARGE) in message
    assert "find out why it changed" in message
    assert not list(store.root.rglob("*.part"))
    assert not list(store.root.rglob("*.tflite"))


def test_without_a_digest_the_one_to_pin_is_told_and_nothing_is_judged(server, store):
    url = server.url("small.tflite")
    message = refused(store, url, None)
    assert "has no sha256" in message
    assert f'source = {{ url = "{url}", sha256 = "{digest(SMALL)}" }}' in message
    before = len(server.requests)
    fetch(store, url)
    assert len(server.requests) == before


@pytest.mark.parametrize(
    ("status", "found"),
    [
        (404, "there is nothing at this address"),
        (403, "the server refuses it (status 403)"),
        (400, "it cannot be fetched: status 400"),
    ],
)
def test_a_server_that_says_no_is_asked_once(server, store, status, found):
    server.status = status
    assert found in refused(store, server.url("small.tflite"))
    assert len(server.requests) <= 2


def test_a_server_in_trouble_is_asked_again(server, store):
    server.status = 503
    assert "it cannot be fetched: status 503" in refused(store, server.url("small.tflite"))
    assert len(server.requests) >= 3


def test_a_server_that_is_too_slow_is_given_up(server, store, monkeypatch):
    monkeypatch.setenv("LITEPROOF_DOWNLOAD_TIMEOUT", "3")
    server.delay_s = 60
    message = refused(store, server.url("large.keras"), LARGE)
    assert "bytes came in 3 s" in message
    assert "LITEPROOF_DOWNLOAD_TIMEOUT" in message


def test_nobody_at_home(store):
    message = refused(store, "http://127.0.0.1:9/small.tflite")
    assert "it cannot be fetched: ClientConnectorError" in message


def test_nothing_confidential_is_told(server, store):
    for address in (
        server.url("gone.keras?token=s3cr3t", user="ada:hunter2@"),
        server.url("small.tflite?sig=s3cr3t#x"),
    ):
        for pinned in (LARGE, None):
            message = refused(store, address, pinned)
            assert "s3cr3t" not in message
            assert "hunter2" not in message
    assert "s3cr3t" not in fetch(store, server.url("small.tflite?sig=s3cr3t")).url
    assert "s3cr3t" not in "".join(path.read_text() for path in (store.root / "entries").iterdir())


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("s3://key:secret@bucket/a.keras", "s3://bucket/a.keras"),
        ("https://[broken/a", "https://…"),
        ("https://host/\x1b[31m.keras", "https://host/\\x1b[31m.keras"),
    ],
)
def test_addresses_as_they_are_shown(url, shown):
    assert plain(url) == shown


def test_a_member_of_an_archive(server, store):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("inner/small.tflite", SMALL)
    server.files["models.zip"] = content.getvalue()
    found = fetch(store, f"zip://inner/small.tflite::{server.url('models.zip')}")
    assert (found.sha256, found.path.endswith(".tflite")) == (digest(SMALL), True)


def test_a_file_of_this_machine_needs_permission(store, tmp_path):
    (tmp_path / "small.tflite").write_bytes(SMALL)
    for url in (f"file://{tmp_path}/small.tflite", f"zip://a.tflite::file://{tmp_path}/a.zip"):
        assert "leads out of the model's folder" in refused(store, url)
    assert fetch(store, f"file://{tmp_path}/small.tflite", allow_outside=True).sha256 == digest(SMALL)


@pytest.mark.parametrize(
    "url", ["ssh://host/a.keras", "reference://a.keras", "zip://a.keras::ssh://host/a.zip", "zip://a.keras::/etc/a.zip"]
)
def test_other_protocols_are_refused(store, url):
    assert "has the protocol" in refused(store, url)


@pytest.mark.parametrize("url", ["s3://bucket/a.keras", "zip://a.keras::gs://bucket/a.zip"])
def test_no_code_lends_nobody_the_machines_credentials(store, url):
    assert "is read with your credentials" in refused(store, url, no_code=True)


def test_a_missing_package_is_named(store):
    message = refused(store, "s3://bucket/a.keras")
    assert "pip install s3fs" in message


@pytest.mark.parametrize("url", ["https://example.org/download?id=3", "https://example.org/model.zip"])
def test_an_address_that_does_not_end_as_a_source_is_refused_before_it_is_fetched(store, url):
    assert "does not end as a source does" in refused(store, url)


def test_a_pointer_of_git_lfs_is_not_pinned(server, store):
    server.files["small.tflite"] = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n"
    assert "holds a Git LFS pointer" in refused(store, server.url("small.tflite"), None)


def test_nothing_is_fetched_where_that_is_put_off(server, store):
    url = server.url("small.tflite")
    found = fetch(store, url, fetch=False)
    assert found == plan.File(str(store.root / "blobs" / f"{digest(SMALL)}.tflite"), digest(SMALL), 0, url)
    assert "run without --collect-only" in refused(store, url, None, fetch=False)
    assert server.requests == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_told(server, store):
    given = remote(server.url("small.tflite"))
    part = Remotes(store)._part(given)
    part.parent.mkdir(parents=True)
    part.symlink_to("/dev/full")
    assert "the disk of the store is full" in refused(store, given.url)


# -- in a manifest ----------------------------------------------------------------------------------------------------


def test_a_source_and_a_variant_by_address(server, repository, model):
    server.files["model.keras"] = (model.path / "model.keras").read_bytes()
    server.files["a.tflite"] = b"....TFL3"
    local = repository.load().models[0]
    model.replace(
        'source = "model.keras"',
        f'source = {{ url = "{server.url("model.keras")}", sha256 = "{digest(server.files["model.keras"])}" }}',
    )
    model.add(
        f'[variants.far]\nfile = {{ url = "{server.url("a.tflite")}", sha256 = "{digest(b"....TFL3")}" }}\n'
        'recipe = "int8"\n'
    )
    found = repository.load().models[0]
    assert (found.source_kind, found.float32_key, found.source.url) == (
        "keras",
        local.float32_key,
        server.url("model.keras"),
    )
    assert repository.variant("far").file.bytes == 8


def test_an_address_without_its_digest_is_status_4(server, repository, model):
    server.files["model.keras"] = (model.path / "model.keras").read_bytes()
    model.replace('"model.keras"', f'"{server.url("model.keras")}"')
    assert f'sha256 = "{digest(server.files["model.keras"])}"' in repository.refused()


def test_a_digest_that_is_none(repository, model):
    model.replace('"model.keras"', '{ url = "https://example.org/a.keras", sha256 = "ABC" }')
    assert "64 hexadecimal digits in lower case" in repository.refused()
