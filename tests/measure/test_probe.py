import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from liteproof.errors import TargetError, UsageError
from liteproof.measure.probe import (
    Answer,
    Begin,
    Outcome,
    Refusal,
    Request,
    _servers,
    dismiss,
    judge,
    last_words,
    probe,
)
from liteproof.measure.tensors import TensorSpec
from liteproof.measure.watched import End
from tests.corpus.files import corpus
from tests.measure.models import RUNTIMES, data, fully_convolutional, identity_like, large, quantizer
from tests.measure.processes import descendants, gone

each_runtime = pytest.mark.parametrize("name", RUNTIMES)

REQUEST = Request("m.tflite", "tflite_runtime", 1, "default", None, None, (), None, 60.0)

# What an end means

X = TensorSpec("x", (1, 2), "int8", scales=(0.5,), zero_points=(3,))
LOAD = (Begin("load"),)
ALLOCATE = (*LOAD, Begin("allocate"))
INVOKE = (*ALLOCATE, Begin("invoke"))
EXIT = (*INVOKE, Answer((X,), (X,)), Begin("exit"))


def ended(messages, status, stderr="") -> Outcome:
    return judge(End(tuple(msgspec.json.encode(message) for message in messages), stderr, status), REQUEST)


def test_a_peaceful_end_after_the_answer_is_the_only_one_that_loads():
    outcome = ended(EXIT, 0)
    assert outcome.loads
    assert (outcome.kind, outcome.inputs, outcome.outputs) == ("ok", (X,), (X,))


@pytest.mark.parametrize(
    ("messages", "status", "stderr", "kind", "phase", "name", "reason"),
    [
        (LOAD, -11, "", "died", "load", "SIGSEGV", "died of SIGSEGV while it loaded the file on tflite_runtime"),
        (ALLOCATE, -6, "INFO: fine\nCheck failed: n > 0\n", "died", "allocate", "SIGABRT", ": Check failed: n > 0"),
        (INVOKE, -8, "", "died", "invoke", "SIGFPE", "in the first inference"),
        (INVOKE, 1, "", "died", "invoke", None, "ended with status 1 in the first inference"),
        (INVOKE, 0, "", "died", "invoke", None, "ended with status 0 in the first inference"),
        (EXIT, -11, "", "died_at_exit", "exit", "SIGSEGV", "died of SIGSEGV at exit, after it had answered"),
        (EXIT, 1, "", "died_at_exit", "exit", None, "ended with status 1 at exit"),
        (ALLOCATE, None, "", "hung", "allocate", None, "killed after 60 s while it allocated"),
        (EXIT, None, "", "hung", "exit", None, "killed after 60 s at exit"),
        (INVOKE, -9, "", "memory", "invoke", "SIGKILL", "died of SIGKILL in the first inference"),
        (ALLOCATE, -6, "terminate called\n  what():  std::bad_alloc\n", "memory", "allocate", "SIGABRT", "bad_alloc"),
        ((*ALLOCATE, Refusal("model", "no such op")), 0, "", "refused", "allocate", None, "no such op"),
        ((*ALLOCATE, Refusal("model", "no such op")), -11, "", "refused", "allocate", None, "no such op"),
        ((*INVOKE, Refusal("memory", "no room")), 0, "", "memory", "invoke", None, "no room"),
    ],
)  # fmt: skip
def test_every_other_end_is_a_verdict_that_says_why(messages, status, stderr, kind, phase, name, reason):
    outcome = ended(messages, status, stderr)
    assert not outcome.loads
    assert (outcome.kind, outcome.phase, outcome.signal) == (kind, phase, name)
    assert reason in outcome.reason
    assert outcome.inputs == ()


def test_signals_without_a_name_have_a_number():
    assert ended(LOAD, -200).signal == "signal 200"


@pytest.mark.parametrize(("messages", "status"), [((), 1), ((), -4), ((), None)])
def test_what_does_not_come_to_the_file_is_the_machines_trouble(messages, status):
    with pytest.raises(TargetError, match="tflite_runtime does not start") as caught:
        ended(messages, status, "ImportError: numpy.core.multiarray failed to import\n")
    assert "numpy.core.multiarray" in str(caught.value)


def test_a_refusal_that_is_not_the_models_is_raised_as_what_it_is():
    with pytest.raises(UsageError, match="no such file"):
        ended((*LOAD, Refusal("usage", "no such file")), 0)
    with pytest.raises(TargetError, match="delegate"):
        ended((*LOAD, Refusal("target", "delegate x.so does not load")), 0)


def test_a_limit_that_may_be_behind_a_failure_is_named():
    limited = replace(REQUEST, memory_limit_mb=200)
    lines = tuple(msgspec.json.encode(message) for message in ALLOCATE)
    assert "(memory was limited to 200 MB)" in judge(End(lines, "", -11), limited).reason


def test_last_words_leave_out_what_runtimes_always_say():
    stderr = (
        "Check failed:\tx\x1b[0m\nINFO: Created TensorFlow Lite XNNPACK delegate.\nI0000 00:00:1 port.cc] oneDNN\n\n"
    )
    assert last_words(stderr) == "Check failed: x [0m"
    assert last_words("INFO: fine\n") == ""


def test_outcomes_travel_as_json():
    outcome = ended(EXIT, 0)
    assert msgspec.json.decode(msgspec.json.encode(outcome), type=Outcome) == outcome


# Real files, real runtimes


@each_runtime
def test_a_healthy_file_loads_and_its_ends_are_told(name):
    outcome = probe(data("dense_int8"), runtime=name)
    assert (outcome.kind, outcome.phase, outcome.runtime) == ("ok", "exit", name)
    assert [(spec.key, spec.dtype) for spec in outcome.inputs + outcome.outputs] == [
        ("features", "int8"),
        ("output_0", "int8"),
    ]


def test_the_first_sample_of_a_file_is_fed(tmp_path):
    good, bad = tmp_path / "good.npz", tmp_path / "bad.npz"
    np.savez(good, x=np.array([[1, 2, 3, 4], [99, 99, 99, 99]]))
    np.savez(bad, ids=np.array([[99, 99, 99, 99]]))
    assert probe(data("tokens_int8"), samples=good).loads
    outcome = probe(data("tokens_int8"), samples=bad)
    assert (outcome.kind, outcome.phase) == ("refused", "invoke")
    assert "gather index out of bounds" in outcome.reason
    with pytest.raises(UsageError, match="cannot read the samples"):
        probe(data("tokens_int8"), samples=data("tokens_int8"))


@each_runtime
def test_a_file_of_open_sizes_is_tried_at_those_that_it_is_told(name, tmp_path):
    file = tmp_path / "open.tflite"
    file.write_bytes(fully_convolutional())
    assert probe(file, runtime=name, shapes=((1, 9, 9, 3),)).loads
    for shapes in ((), ((1, 2, 2, 3),)):
        outcome = probe(file, runtime=name, shapes=shapes)
        assert (outcome.kind, outcome.phase) == ("refused", "allocate")
        assert f"does not take inputs of shape {[1, 2, 2, 3] if shapes else [1, 1, 1, 3]} on {name}" in outcome.reason
    outcome = probe(file, runtime=name, shapes=((1, 9, 9, 4),))
    assert outcome.kind == "refused"
    assert "is of shape [-1, -1, -1, 3] and cannot take [1, 9, 9, 4]" in outcome.reason


@each_runtime
def test_a_broken_file_is_refused_with_the_runtimes_reason(name, tmp_path):
    file = tmp_path / "garbage.tflite"
    file.write_bytes(b"no flatbuffer at all")
    outcome = probe(file, runtime=name)
    assert (outcome.kind, outcome.phase) == ("refused", "load")
    assert outcome.reason.startswith(f"does not load on {name}")
    file.write_bytes(b"")
    assert probe(file, runtime=name).reason == "the file is empty"


@each_runtime
def test_a_scale_that_is_no_number_never_loads_and_never_takes_this_process_along(name, tmp_path):
    # ai_edge_litert 2.3 divides by it and dies of SIGSEGV; tflite_runtime answers nonsense, which we refuse.
    file = tmp_path / "infinite.tflite"
    file.write_bytes(quantizer("INT8", np.inf, 3))
    outcome = probe(file, runtime=name)
    assert not outcome.loads
    assert outcome.kind in ("died", "refused")
    assert (outcome.signal is None) == (outcome.kind == "refused")


def test_a_bit_flipped_file_that_crashes_tflite_runtime_is_told_from_one_that_is_refused(tmp_path):
    # A seeded search in one process each: the first crash among flipped copies shows that the verdict is real.
    rng, healthy, file = np.random.default_rng(0), data("dense_float32").read_bytes(), tmp_path / "flipped.tflite"
    for _ in range(12):
        flipped = np.frombuffer(healthy, np.uint8).copy()
        flipped[rng.integers(0, len(flipped), 8)] ^= 1 << rng.integers(0, 8, 8).astype(np.uint8)
        file.write_bytes(flipped.tobytes())
        outcome = probe(file, runtime="tflite_runtime")
        if outcome.kind == "died":
            break
    assert outcome.kind == "died"


@each_runtime
def test_memory_is_limited_and_the_limit_named(name, tmp_path):
    file = tmp_path / "large.tflite"
    file.write_bytes(large(200))
    outcome = probe(file, runtime=name, memory_limit_mb=150)
    assert outcome.kind in ("memory", "refused")
    assert outcome.reason.endswith("(memory was limited to 150 MB)")
    file.write_bytes(large(1))
    assert probe(file, runtime=name, memory_limit_mb=150).loads


def test_a_deadline_too_short_for_the_runtime_is_the_machines_trouble():
    dismiss()
    with pytest.raises(TargetError, match=r"does not start: its process was killed after 0\.01 s"):
        probe(data("dense_int8"), timeout_s=0.01)


def test_a_file_that_is_not_there_is_the_users_mistake(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        probe(tmp_path / "none.tflite")


def test_the_working_directory_cannot_slip_modules_in(tmp_path, monkeypatch):
    dismiss()
    (tmp_path / "numpy.py").write_text("raise SystemExit('from the working directory')")
    monkeypatch.chdir(tmp_path)
    assert probe(data("dense_int8")).loads


# The server that is forked from


@pytest.fixture
def server():
    """The only server there is."""
    dismiss()
    assert probe(data("dense_int8"), runtime="tflite_runtime").loads
    [found] = _servers.values()
    yield found._process
    dismiss()


def test_files_are_forked_from_one_server_that_outlives_them(server, tmp_path):
    file = tmp_path / "garbage.tflite"
    file.write_bytes(b"no flatbuffer at all")
    assert probe(file, runtime="tflite_runtime").kind == "refused"
    assert probe(data("dense_int8"), runtime="tflite_runtime").loads
    assert [found._process for found in _servers.values()] == [server]
    assert server.poll() is None


def test_a_server_that_was_killed_is_started_again(server):
    server.kill()
    server.wait()
    assert probe(data("dense_int8"), runtime="tflite_runtime").loads


def test_limits_on_memory_hold_for_one_file_only(server, tmp_path):
    file = tmp_path / "large.tflite"
    file.write_bytes(large(200))
    assert not probe(file, runtime="tflite_runtime", memory_limit_mb=150).loads
    assert probe(file, runtime="tflite_runtime").loads


def test_dismissed_servers_leave_nothing_behind(server):
    dismiss()
    assert server.poll() == 0
    assert not _servers


def test_a_server_ends_with_the_process_that_started_it():
    code = (
        "import os, sys; from pathlib import Path; from liteproof.measure import probe\n"
        "probe.probe(Path(sys.argv[1]), runtime='tflite_runtime')\n"
        "print(*[found._process.pid for found in probe._servers.values()], flush=True); os._exit(0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, data("dense_int8")], capture_output=True, text=True, check=True, timeout=60
    )
    assert gone(int(done.stdout))


@pytest.mark.slow
def test_a_hang_is_ended_with_all_that_it_started_and_the_server_goes_on(server, tmp_path):
    file = tmp_path / "endless.tflite"
    file.write_bytes(corpus()["while_endless"].content)
    outcome = probe(file, runtime="tflite_runtime", timeout_s=1.0)
    assert (outcome.kind, outcome.phase) == ("hung", "invoke")
    assert "killed after 1 s in the first inference" in outcome.reason
    assert server.poll() is None
    assert probe(data("dense_int8"), runtime="tflite_runtime").loads


@pytest.mark.slow
def test_an_interruption_ends_the_server_and_the_file_that_it_tries(tmp_path):
    file = tmp_path / "endless.tflite"
    file.write_bytes(corpus()["while_endless"].content)
    code = "import sys; from pathlib import Path; from liteproof.measure import probe; probe.probe(Path(sys.argv[1]))"
    with subprocess.Popen([sys.executable, "-c", code, file], stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 30
        while len(found := descendants(process.pid)) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        assert process.wait(30)
    assert len(found) == 2
    assert all(gone(pid) for pid in found)


def test_the_sacrificial_process_imports_no_more_than_it_must():
    code = "import sys, liteproof.measure.probe_process; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    environment = {**os.environ, "PYTHONPATH": str(Path(sys.modules["liteproof"].__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60, env=environment
    )
    heavy = {"tensorflow", "tflite", "flatbuffers", "ai_edge_litert", "tflite_runtime", "pytest", "rich", "scipy"}
    assert not heavy & set(done.stdout.split())


def test_one_operator_is_enough(tmp_path):
    file = tmp_path / "negate.tflite"
    file.write_bytes(identity_like("NEG", ()))
    assert probe(file, threads=2).outputs[0].shape == ()
