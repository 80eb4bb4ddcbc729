"""A run against the accepted baseline: what `liteproof accept` wrote holds the next run."""

import json

import pytest

from liteproof.cli import main
from tests.plugin.tiny import MANIFEST, network

pytestmark = pytest.mark.slow

QUICK = ("-m", "not timing")
HELD = (
    MANIFEST
    + "[budgets]\ntop1_agreement = 0.5\naccuracy_drop = 0.6\ncosine_similarity = 0.5\n"
    + ("[budgets.copy]\nregression = { top1_agreement = 0.002 }\n")
)


def accept(gate, tmp_path):
    run = gate(*QUICK)
    assert run.status == 0, run.text
    assert main(["accept", str(run.reports / "latest"), f"--root={tmp_path}"]) == 4  # the manifest is not below it
    folder = tmp_path / "models" / "tiny"
    results = json.loads((run.reports / "latest" / "results.json").read_text())
    results["models"]["tiny"]["manifest"]["file"] = "models/tiny/model.toml"
    (tmp_path / "results.json").write_text(json.dumps(results))
    assert main(["accept", str(tmp_path / "results.json"), f"--root={tmp_path}"]) == 0
    return folder


def test_accepted_values_hold_the_next_run(gate, tiny, store, tmp_path):
    tiny(HELD)
    folder = accept(gate, tmp_path)
    accepted = json.loads((folder / "accepted.json").read_text())
    pinned = json.loads((store / "pins" / f"{accepted['run']}-tiny.json").read_text())
    assert set(pinned["sha256"]) == set(accepted["digests"].values())
    assert gate(*QUICK).status == 0
    (folder / "copy.tflite").write_bytes(network([[8, 0, 0, 0], [0, 8, 0, 0], [0, 0, 0.1, 0]]))
    run = gate(*QUICK, "-k", "top1")
    assert run.status == 1
    check = run.check("top1_agreement", "copy")
    assert check["verdict"] == "FAIL"
    assert check["value"] > 0.5
    assert check["limit"] == pytest.approx(0.998)
    assert "accepted: 1" in check["detail"]


def test_another_evaluation_set_is_not_compared(gate, tiny, tmp_path):
    tiny(HELD)
    folder = accept(gate, tmp_path)
    document = json.loads((folder / "accepted.json").read_text())
    document["variants"]["copy"]["host"]["evaluation"] = "0" * 64
    (folder / "accepted.json").write_text(json.dumps(document))
    run = gate(*QUICK, "-k", "top1")
    assert run.status == 1
    assert run.check("top1_agreement", "copy")["verdict"] == "UNMEASURED"


def test_damaged_baseline_is_refused(gate, tiny):
    (tiny() / "accepted.json").write_text("{}")
    run = gate(*QUICK)
    assert run.status == 4
    assert "accepted.json" in run.text
