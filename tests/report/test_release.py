"""A release folder from a made-up run, and what `verify` says of it after each kind of change."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import liteproof
from liteproof.errors import UsageError
from liteproof.report import release, statement
from liteproof.report.results import SignOff, encode, read
from liteproof.report.verification import Refused, accepted_by
from liteproof.store import file_sha256
from tests.plugin.tiny import network
from tests.report import check, results
from tests.tflite.build import TensorSpec, build

SIGNED = SignOff(True, (), {"digits": ("host",)}, ({"name": "acceptance/test_size.py", "sha256": "1" * 64},))
LABELS = ["a", "b", "c"]


@pytest.fixture
def run(tmp_path):
    """The folder of a run that was signed off, and the file that it judged."""
    folder = tmp_path / "run"
    folder.mkdir()
    file = tmp_path / "int8.tflite"
    file.write_bytes(network())
    write_results(folder, file)
    return folder


def write_results(folder, file, signoff=SIGNED):
    found = results(check(), check("size_ratio", 0.3, 0.45, margin=0.15))
    facts = dict(found.models["digits"])
    facts |= {
        "labels": LABELS,
        "evaluation": {"file": "evaluation.npz", "samples": 597, "sha256": "2" * 64},
        "variants": {"int8": {"file": "int8.tflite", "recipe": "int8", "toolchain": None, "bytes": file.stat().st_size,
                              "sha256": file_sha256(file)}},
    }  # fmt: skip
    content = encode(replace(found, models={"digits": facts}, signoff=signoff))
    (folder / "results.json").write_bytes(content)


def test_the_statement_tells_files_what_was_done_to_them_and_what_came_out(run):
    found = read(run)
    evaluation = {
        "file": "photos", "samples": 200, "sha256": "1" * 64, "arrays_sha256": "2" * 64,
        "made_from": [{"file": "photos", "sha256": "3" * 64}], "preprocessing": {"resize": [96, 96]},
    }  # fmt: skip
    made = replace(found, models={"digits": {**found.models["digits"], "evaluation": evaluation}})
    configuration = statement.statement(made, "digits", "0" * 64)["predicate"]["configuration"]
    named = {entry["name"]: entry for entry in configuration if entry.get("name", "").startswith("photos")}
    assert named["photos"]["digest"] == {"sha256": "3" * 64}
    assert named["photos.npz"]["digest"] == {"sha256": "2" * 64}
    assert named["photos.npz"]["annotations"] == {"role": "evaluation arrays", "preprocessing": {"resize": [96, 96]}}


@pytest.fixture
def released(run):
    (folder,) = write(run)
    return folder


def write(run):
    return release.write(run, lambda *_: run.parent / "int8.tflite", lambda _: {"x": (0.0, 16.0)})


def edit(path, change):
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def test_the_accepted_file_is_accepted(released):
    file = released / "int8" / "digits-int8.tflite"
    found = accepted_by(file, released / "statement.json")
    assert (found.model, found.variant, found.run) == ("digits", "int8", "20261120T120000Z-abc123")
    assert found.targets["host"]["gates"]["top1_agreement"] == {"value": 0.99, "limit": 0.95}
    for part in (
        "accepted",
        "2026-11-20",
        "host (ai_edge_litert 2.3.0, x86_64)",
        "top1_agreement 0.9900, limit ≥ 0.9500",
    ):
        assert part in str(found)


@pytest.mark.parametrize("at", [0, 100, -1])
def test_a_file_changed_by_one_byte_is_refused(released, at):
    file = released / "int8" / "digits-int8.tflite"
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)
    with pytest.raises(Refused, match="was not accepted"):
        accepted_by(file, released / "statement.json")


def test_edited_results_are_noticed(released):
    path = released / "results.json"
    path.write_bytes(path.read_bytes().replace(b'"limit": 0.95', b'"limit": 0.94'))
    (released / "SHA256SUMS").unlink()
    with pytest.raises(Refused, match=r"results\.json was edited"):
        accepted_by(released / "int8" / "digits-int8.tflite", released / "statement.json")


EDITS = {
    "a budget": lambda d: gates(d)["top1_agreement"].update(limit=0.99),
    "a value": lambda d: gates(d)["top1_agreement"].update(value=1.0),
    "a target": lambda d: targets(d).update(pi=targets(d)["host"]),
    "the day": lambda d: d["predicate"]["configuration"][0]["annotations"].update(started="2027-01-01T00:00:00Z"),
    "an input": lambda d: d["predicate"]["configuration"].pop(),
    "a test": lambda d: d["predicate"]["passedTests"].pop(),
    "an added subject": lambda d: d["subject"].append({**d["subject"][0], "digest": {"sha256": "3" * 64}}),
}


def gates(document):
    return targets(document)["host"]["gates"]


def targets(document):
    return document["subject"][0]["annotations"]["targets"]


@pytest.mark.parametrize("what", EDITS)
def test_an_edited_statement_is_noticed_by_its_results(released, what):
    (released / "SHA256SUMS").unlink()
    edit(released / "statement.json", EDITS[what])
    with pytest.raises(Refused, match="the statement was edited"):
        accepted_by(released / "int8" / "digits-int8.tflite", released / "statement.json")


@pytest.mark.parametrize("what", EDITS)
def test_an_edited_statement_is_noticed_by_its_sum(released, what):
    (released / "results.json").unlink()
    edit(released / "statement.json", EDITS[what])
    with pytest.raises(Refused, match=r"statement\.json was edited"):
        accepted_by(released / "int8" / "digits-int8.tflite", released / "statement.json")


def test_a_statement_that_did_not_pass_vouches_for_nothing(released):
    edit(released / "statement.json", lambda d: d["predicate"].update(result="WARNED"))
    with pytest.raises(Refused, match="WARNED"):
        accepted_by(released / "int8" / "digits-int8.tflite", released / "statement.json")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"_type": 3}', "[" * 100_000])
def test_what_is_no_statement_is_refused(released, text):
    (released / "statement.json").write_text(text)
    with pytest.raises(Refused, match="not a sign-off statement"):
        accepted_by(released / "int8" / "digits-int8.tflite", released / "statement.json")


def test_the_statement_alone_suffices_and_says_what_was_not_checked(released, tmp_path):
    for name in ("statement.json", "int8/digits-int8.tflite"):
        shutil.copy(released / name, tmp_path)
    found = accepted_by(tmp_path / "digits-int8.tflite", tmp_path / "statement.json")
    assert "results.json is not beside the statement" in str(found)


def test_a_missing_file_is_a_wrong_request(released, tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        accepted_by(tmp_path / "none.tflite", released / "statement.json")
    with pytest.raises(UsageError, match="cannot read the statement"):
        accepted_by(released / "int8" / "digits-int8.tflite", tmp_path / "none.json")


def test_a_refused_run_has_no_release(run):
    write_results(run, run.parent / "int8.tflite", signoff=SignOff(False, ("dirty",)))
    with pytest.raises(UsageError, match="not granted"):
        write(run)
    assert not (run / "release").exists()


def test_a_file_that_changed_after_the_run_leaves_no_release(run):
    (run.parent / "int8.tflite").write_bytes(network() + b"\0")
    with pytest.raises(UsageError, match="changed after it was judged"):
        write(run)
    assert not list((run / "release").iterdir())


def test_statement_is_an_in_toto_statement_of_a_test_result(released):
    document = json.loads((released / "statement.json").read_text())
    assert document["_type"] == "https://in-toto.io/Statement/v1"
    assert document["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
    assert document["predicate"]["result"] == "PASSED"
    assert document["predicate"]["failedTests"] == document["predicate"]["warnedTests"] == []
    assert document["subject"][0]["digest"] == {"sha256": file_sha256(released / "int8" / "digits-int8.tflite")}
    for entry in (*document["subject"], *document["predicate"]["configuration"]):
        assert {"digest", "uri", "content"} & entry.keys(), "a ResourceDescriptor needs one of these"


def test_a_waived_gate_is_told(run):
    waived = check("accuracy_drop", 0.02, 0.01, margin=-0.01, detail="waived until 2027-03-31: the vendor's compiler")
    found = replace(results(check(), waived), signoff=SIGNED)
    found = replace(found, models={"digits": found.models["digits"]})
    gate = gates(statement.statement(found, "digits", "0" * 64))["accuracy_drop"]
    assert gate["waived"].startswith("waived until 2027-03-31")


def test_model_info_says_how_to_feed_the_file(released):
    info = json.loads((released / "int8" / "model-info.json").read_text())
    assert info["labels"] == LABELS
    assert info["sha256"] == file_sha256(released / "int8" / "digits-int8.tflite")
    assert info["inputs"] == [{"name": "x", "shape": [1, 4], "type": "float32", "scale": None, "zero_point": None,
                               "representable": None, "seen": [0.0, 16.0]}]  # fmt: skip


def test_model_info_of_quantized_ends(tmp_path):
    tensors = [
        TensorSpec("x", (1, 4), "INT8", scales=(0.5,), zero_points=(-128,)),
        TensorSpec("y", (1, 4), "INT8", scales=(0.25,), zero_points=(0,)),
    ]
    end = release._end(read_ends(tmp_path, tensors)[0])
    assert (end["type"], end["scale"], end["zero_point"]) == ("int8", 0.5, -128)
    assert end["representable"] == [0.0, 127.5]


def read_ends(tmp_path, tensors):
    from liteproof.tflite.facts import facts
    from liteproof.tflite.reader import read_model
    from tests.tflite.build import OperatorSpec

    (tmp_path / "m.tflite").write_bytes(build(tensors, [OperatorSpec("RELU", (0,), (1,))]))
    return facts(read_model(tmp_path / "m.tflite")).inputs


def test_verify_works_on_a_board(released, tmp_path):
    """No TensorFlow, no runtime, no numpy even, no template engine and no plotting library."""
    blocked = ("tensorflow", "keras", "ai_edge_litert", "tflite_runtime", "jinja2", "matplotlib", "rich", "numpy")
    for name in blocked:
        (tmp_path / "blocked" / name).mkdir(parents=True)
        (tmp_path / "blocked" / name / "__init__.py").write_text("raise ImportError('blocked')\n")
    path = os.pathsep.join([str(tmp_path / "blocked"), str(Path(liteproof.__file__).parents[1])])
    file = released / "int8" / "digits-int8.tflite"
    command = [
        sys.executable,
        "-m",
        "liteproof.cli",
        "verify",
        str(file),
        "--signoff",
        str(released / "statement.json"),
    ]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "accepted: digits-int8.tflite" in done.stdout
