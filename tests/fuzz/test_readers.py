"""The readers under mutated files: an answer or an error for users, never anything else."""

import contextlib
import os
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liteproof.checks import METRICS, Check, Verdict
from liteproof.errors import ModelError, UsageError
from liteproof.manifest.schema import read_manifest
from liteproof.report.results import Results, Run, decode, encode, verdicts_of
from liteproof.tflite.facts import facts
from liteproof.tflite.matching import match_weights
from liteproof.tflite.reader import read_model
from tests.corpus.files import quantized
from tests.fuzz.mutations import flipped, mutated
from tests.plugin.tiny import MANIFEST, network

RUNS = int(os.environ.get("FUZZ_RUNS", "300"))
MORE = """
[budgets]
top1_agreement = 0.95
[budgets.copy.host]
latency_p95_ms = 70
regression = { latency_p50_ms = 0.10 }
[[waivers]]
variant = "copy"
rule = "bias_scale"
reason = "its compiler rewrites it"
until = 2027-03-31
[release]
targets = ["host"]
"""


@pytest.mark.parametrize("recipe", ["float32", "int8"])
def test_flatbuffer_reader(recipe):
    healthy = network() if recipe == "float32" else quantized().content
    original, chosen, read = read_model(healthy), random.Random(recipe), 0
    for _ in range(RUNS):
        content = mutated(healthy, chosen)
        with contextlib.suppress(ModelError):
            model = read_model(content)
            facts(model)
            match_weights(original, model)
            read += 1
    assert 0 < read < RUNS


def test_manifest_reader(tmp_path):
    text, chosen, path = (MANIFEST + MORE).encode(), random.Random(0), tmp_path / "model.toml"
    pieces, read = text.splitlines(keepends=True), 0
    values = [b"-1", b"nan", b"inf", b"[]", b"{}", b'""', b"1e999", b"9" * 400, b'"\\u0000"', b"2027-13-41", b"true"]
    for _ in range(RUNS):
        lines = list(pieces)
        for _ in range(chosen.choice((1, 1, 2, 4))):
            at = chosen.randrange(len(lines))
            match chosen.randrange(5):
                case 0:
                    lines.insert(at, chosen.choice(pieces))
                case 1:
                    lines[at] = lines[at].partition(b"=")[0] + b"= " + chosen.choice(values) + b"\n"
                case 2:
                    lines[at] = flipped(lines[at], chosen)
                case 3:
                    del lines[at]
                case 4:
                    lines[at] = b"[" * chosen.choice((1, 5, 2000)) + lines[at]
            lines = lines or [b"\n"]
        path.write_bytes(b"".join(lines))
        with contextlib.suppress(UsageError):
            read_manifest(path)
            read += 1
    assert 0 < read < RUNS


number = st.none() | st.floats(allow_nan=False, allow_infinity=False)
text = st.text(max_size=20)
evidence = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
check = st.builds(
    Check,
    model=text, variant=text, target=text, suite=text, metric=st.sampled_from(sorted(METRICS)), value=number,
    limit=number, margin=number, samples=st.none() | st.integers(0, 2**40),
    interval=st.none() | st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 2),
    verdict=st.none() | st.sampled_from(Verdict), test=text, detail=st.none() | text,
    samples_to_settle=st.none() | st.integers(1, 10**9), causes=st.lists(text, max_size=3).map(tuple),
    next=st.none() | text, evidence=st.dictionaries(text, evidence, max_size=3),
)  # fmt: skip


@settings(max_examples=min(RUNS, 2000), deadline=None)
@given(checks=st.lists(check, max_size=5), complete=st.booleans(), command=st.lists(text, max_size=3))
def test_results_round_trip(checks, complete, command):
    run = Run("r", "2026-11-20T12:00:00Z", "", complete, "0.1.0", None, command=tuple(command))
    results = Results(run, checks=tuple(checks), verdicts=verdicts_of(checks))
    assert decode(encode(results)) == results
    assert encode(decode(encode(results))) == encode(results)
