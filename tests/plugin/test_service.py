"""A prediction service judged by whole runs: the reference server passes, services that break the contract do not."""

import hashlib
import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import pytest

from liteproof.errors import UsageError
from liteproof.manifest.resolve import load_plan
from liteproof.store import Store
from tests.measure.services import Script, raw, served
from tests.plugin.tiny import MANIFEST, WEIGHTS, network

ROOT = Path(__file__).parents[2]
SHA256 = hashlib.sha256(network()).hexdigest()

pytestmark = pytest.mark.slow


def manifest(url, variant="float32", more=""):
    return f"""{MANIFEST}
[variants.int8]

[service]
variant = "{variant}"
url = "{url}"
fields = {{ status = "ok", model_loaded = true, model_type = "{"int8" if variant == "int8" else "float32"}" }}
{more}
"""


@contextmanager
def reference_service(file):
    """The reference server as a user starts it; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "fixtures.service", str(file), f"--port={port}"]
    server = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"})
    try:
        for _ in range(200):
            try:
                HTTPConnection("127.0.0.1", port, timeout=1).connect()
                break
            except OSError:
                assert server.poll() is None
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(20)


def softmax(request, weights=WEIGHTS):
    """What the tiny network answers."""
    logits = np.asarray(request["inputs"], np.float32) @ np.asarray(weights, np.float32).T
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (powers / powers.sum(axis=1, keepdims=True)).tolist()


def healthy(**more):
    return {"status": "ok", "model_loaded": True, "model_type": "float32", "digest": SHA256, **more}


def values(run, variant="float32"):
    found = {c["metric"]: c for c in run.results["checks"] if c["suite"] == "service"}
    assert {c["variant"] for c in found.values()} == {variant}
    return found


def test_the_reference_service_passes(gate, tiny, tmp_path):
    (tmp_path / "float32.tflite").write_bytes(network())
    with reference_service(tmp_path / "float32.tflite") as url:
        budgets = "[budgets.float32]\nservice_p95_ms = 5000"
        tiny(manifest(url, more=budgets))
        run = gate("-k", "service", "--benchmark-disable")
    assert run.status == 0, run.text
    found = values(run)
    assert {m: c["verdict"] for m, c in found.items()} == {
        "service_health_mismatches": "PASS",
        "service_digest_mismatches": "PASS",
        "service_mismatches": "PASS",
        "service_error": "PASS",
        "service_p50_ms": None,
        "service_p95_ms": "PASS",
    }
    assert found["service_error"]["value"] < 1e-6
    assert found["service_p95_ms"]["samples"] >= 59


def test_the_reference_service_takes_integer_models(gate, tiny, store):
    """The int8 file's own codes never leave the service: real values come and go."""
    folder = tiny(manifest("http://127.0.0.1:9"))
    made = gate("-k", "test_loads", "--variant=int8")
    assert made.status == 0
    (model,) = made.results["models"].values()
    (file,) = (store / "blobs").glob(f"{model['variants']['int8']['sha256']}*")
    with reference_service(file) as url:
        (folder / "model.toml").write_text(manifest(url, "int8"))
        run = gate("-k", "service and not time")
    assert run.status == 0, run.text
    assert values(run, "int8")["service_error"]["value"] == 0.0


def test_a_stale_service_of_another_model_is_refused(gate, tiny):
    fields = healthy(digest="0" * 64, model_loaded=False)
    with served(Script(lambda request: softmax(request, WEIGHTS[[1, 0, 2]]), fields)) as url:
        tiny(manifest(url))
        run = gate("-k", "service and not time")
    assert run.status == 1
    assert {m: c["verdict"] for m, c in values(run).items()} == {
        "service_health_mismatches": "FAIL",
        "service_digest_mismatches": "FAIL",
        "service_mismatches": "FAIL",
        "service_error": "FAIL",
    }
    assert "model_loaded is false, not true" in run.text
    assert "it serves 000" in run.text
    assert "the service runs another file" in run.text


def test_a_service_that_is_not_running_or_hangs_is_unmeasured_with_the_reason(gate, tiny):
    folder = tiny(manifest("http://127.0.0.1:9"))
    run = gate("-k", "service")
    assert run.status == 1
    assert {c["verdict"] for c in values(run).values()} == {"UNMEASURED"}
    assert "the service does not answer: nobody listens at http://127.0.0.1:9" in run.text
    with raw(b"") as url:
        (folder / "model.toml").write_text(manifest(url, more="timeout_s = 0.5"))
        run = gate("-k", "test_is_well")
    assert run.status == 1
    assert "no whole answer within 0.5 s" in run.text


def test_it_is_collected_where_the_service_is(gate, tiny, tmp_path):
    (tmp_path / "targets.toml").write_text(f'[there]\npython = "{sys.executable}"\n')
    with served(Script(softmax, healthy())) as url:
        text = manifest(url).replace(f'url = "{url}"', f'url = {{ there = "{url}" }}')
        tiny(text)
        options = ("-k", "service and not time", f"--targets={tmp_path / 'targets.toml'}")
        assert gate(*options, "--target=host").status == 5
        there = gate(*options, "--target=there")
    assert there.status == 0, there.text
    assert {c["target"] for c in values(there).values()} == {"there"}


@pytest.mark.parametrize(
    ("change", "no_code", "said"),
    [
        (("", ""), True, "sends requests"),
        (('variant = "float32"\nurl', 'variant = "int4"\nurl'), False, "a variant"),
        (("http://127", "ftp://127"), False, "an address such as"),
        (("http://127", "http://me:secret@127"), False, "an address such as"),
        (('url = "', 'urls = "'), False, "nearest: 'url'"),
        (('url = "http://127.0.0.1:9"', 'url = { pie = "http://127.0.0.1:9" }'), False, "which is no target"),
        (("fields = {", 'health = "api"\nfields = {'), False, "a path such as"),
        (("[service]", "[budgets.copy]\nservice_p95_ms = 5\n[service]"), False, "in the case of float32"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path, tiny, change, no_code, said):
    folder = tiny(manifest("http://127.0.0.1:9").replace(*change))
    with pytest.raises(UsageError) as error:
        load_plan([folder], root=tmp_path, no_code=no_code, store=Store(tmp_path / "store"))
    assert said in str(error.value)
