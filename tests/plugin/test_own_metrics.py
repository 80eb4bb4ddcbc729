"""A metric of the user's own through whole runs, here and on another Python."""

import sys

import pytest

from tests.plugin.tiny import MANIFEST, network

pytestmark = pytest.mark.slow

MODULE = """
import numpy as np

def winners_kept(reference, variant, labels):
    "For each sample, whether the winner is the source's and the label's."
    return (variant.argmax(axis=1) == reference.argmax(axis=1)) & (variant.argmax(axis=1) == labels)

def broken(reference, variant, labels):
    return reference.no_such_thing
"""

OWN = """
[metrics.winners_kept]
callable = "users_figures:winners_kept"
better = "higher"
[budgets]
winners_kept = 0.95
"""


@pytest.fixture(autouse=True)
def users_module(tmp_path, monkeypatch):
    (tmp_path / "users_figures.py").write_text(MODULE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def test_it_is_measured_held_and_reported(gate, tiny):
    folder = tiny(MANIFEST + OWN)
    (folder / "copy.tflite").write_bytes(network([[0, 8, 0, 0], [8, 0, 0, 0], [0, 0, 8, 0]]))
    run = gate("-k", "own_metrics or size or loads or top1")
    assert run.status == 1
    kept, missed = run.check("winners_kept"), run.check("winners_kept", "copy")
    assert (kept["value"], kept["verdict"], kept["better"], kept["suite"]) == (1.0, "PASS", "higher", "own_metrics")
    assert missed["verdict"] == "FAIL"
    assert f"winners_kept {missed['value']:.3f}, limit ≥ 0.950, missed by" in run.text
    assert run.check("top1_agreement")["better"] is None
    folder = run.reports / "latest"
    assert "winners_kept" in (folder / "summary.md").read_text()
    html = (folder / "report.html").read_text()
    assert html.count("winners_") > 3  # a column, the gate that was missed, what it is


def test_an_error_in_it_is_the_users_and_no_gate_is_green(gate, tiny):
    tiny(MANIFEST + OWN.replace("winners_kept", "broken"))
    run = gate("-k", "own_metrics", "--variant=float32")
    assert run.status == 1
    assert run.check("broken")["verdict"] == "UNMEASURED"
    assert "users_figures:broken failed: AttributeError" in run.text
    assert "users_figures.py, line 9" in run.text
    assert "Traceback" not in run.text


@pytest.mark.parametrize(
    ("options", "manifest", "said"),
    [
        (["--no-code"], OWN, "runs Python"),
        ([], OWN.replace("users_figures", "nowhere"), "there is no module nowhere"),
        ([], OWN.replace("[metrics.winners_kept]", "[metrics.accuracy]"), "is built in"),
        ([], OWN.replace("[metrics.winners_kept]", "[metrics.copy]"), "is a variant's name"),
        ([], OWN.replace("higher", "more"), '"higher" or "lower"'),
        ([], OWN.replace("winners_kept = 0.95", "winner_kept = 0.95"), "nearest: 'winners_kept'"),
    ],
)
def test_refused_before_anything_runs(gate, tiny, options, manifest, said):
    tiny(MANIFEST + manifest)
    run = gate(*options)
    assert run.status == 4
    assert said in run.text


def test_it_travels_to_a_target(gate, tiny, tmp_path):
    tiny(MANIFEST + OWN)
    (tmp_path / "targets.toml").write_text(f'[there]\npython = "{sys.executable}"\n')
    run = gate("-k", "own_metrics", f"--targets={tmp_path / 'targets.toml'}", "--target=there", "--variant=float32")
    assert run.status == 0, run.text
    assert (run.check("winners_kept")["target"], run.check("winners_kept")["verdict"]) == ("there", "PASS")
