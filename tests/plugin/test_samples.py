"""Whole runs on samples in every form: the same verdicts, here and on another target."""

import sys

import numpy as np
import pytest

from tests.plugin.tiny import network, samples

Image = pytest.importorskip("PIL.Image")
pytestmark = pytest.mark.slow

QUICK = ("-m", "not timing")
MANIFEST = """
[model]
task = "classification"
source = "tiny.tflite"
labels = ["a", "b", "c"]

[data]
{data}

[variants.float32]
"""
CSV = 'evaluation = { from = "table.csv", labels = "class" }'


def images(folder, n=300):
    """The samples as images of 2 by 2 pixels, in folders of their classes."""
    for i, (x, y) in enumerate(zip(*samples(n, seed=1), strict=True)):
        path = folder / "abc"[y] / f"{i:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((x * 255).round().astype(np.uint8).reshape(2, 2)).resize((6, 6), 0).save(path)


def table(folder, n=300):
    x, y = samples(n, seed=1)
    rows = "".join(f"{','.join(map(str, row))},{'abc'[label]}\n" for row, label in zip(x, y, strict=True))
    (folder / "table.csv").write_text("p,q,r,s,class\n" + rows)


@pytest.fixture
def forms(tiny):
    """A model for each form, named after it."""
    x, y = samples(300, seed=1)
    folder = tiny(MANIFEST.format(data='evaluation = { from = "x.npy", labels = "y.npy" }'), name="npy")
    np.save(folder / "x.npy", x)
    np.save(folder / "y.npy", y)
    table(tiny(MANIFEST.format(data=CSV), name="csv"))
    called = 'evaluation = { from = "tests.plugin.feeding:batches", samples = 250, stratify = true, labels = "y" }'
    tiny(MANIFEST.format(data=called), name="called")
    drawn = (
        'evaluation = { from = "photos", samples = 180, stratify = true }\n'
        'calibration = { from = "photos", samples = 110 }\nrange = [0, 1]\nresize = [2, 2]\ninterpolation = "nearest"'
    )
    folder = tiny(MANIFEST.format(data=drawn) + '[variants.int8]\ntoolchain = "litert"\n', name="images")
    images(folder / "photos")
    (folder / "tiny.tflite").write_bytes(network(shape=(1, 2, 2, 1)))


def test_every_form_is_judged_here_and_on_another_target(gate, forms, tmp_path, monkeypatch):
    (tmp_path / "targets.toml").write_text(f'[there]\npython = "{sys.executable}"\n')
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    suites = "acceptance/test_accuracy.py acceptance/test_agreement.py acceptance/test_calibration.py"
    run = gate(f"--targets={tmp_path / 'targets.toml'}", "--target=host", "--target=there", suites=suites)
    assert run.status == 0, run.text
    assert set(run.results["verdicts"]) == {"npy", "csv", "called", "images"}
    judged = {
        (check["model"], check["target"]): (check["value"], check["samples"])
        for check in run.results["checks"]
        if (check["metric"], check["variant"]) == ("accuracy", "float32")
    }
    wanted = {"npy": 300, "csv": 300, "called": 250, "images": 180}
    assert judged == {(name, target): (1.0, n) for name, n in wanted.items() for target in ("host", "there")}
    overlap = [check for check in run.results["checks"] if check["metric"] == "calibration_overlap"]
    assert {(check["variant"], check["value"]) for check in overlap} == {("int8", 0.0)}
    told = run.results["models"]["images"]
    assert told["evaluation"]["preprocessing"]["samples"] == 180
    assert told["calibration"]["preprocessing"]["resize"] == [2, 2]
    assert "made images evaluation set" in run.text
    again = gate(*QUICK, suites="acceptance/test_accuracy.py")
    assert "set in" not in again.text


def test_collecting_decodes_nothing_and_a_broken_image_ends_the_run_with_its_name(gate, forms, tmp_path):
    broken = tmp_path / "models" / "images" / "photos" / "b" / "zzz.png"
    broken.write_bytes(b"not an image")
    manifest = broken.parents[2] / "model.toml"
    manifest.write_text(manifest.read_text().replace(", samples = 180, stratify = true", ", samples = 300"))
    manifest.write_text(manifest.read_text().replace('calibration = { from = "photos", samples = 110 }\n', ""))
    manifest.write_text(manifest.read_text().partition("[variants.int8]")[0].replace("samples = 300", "samples = 301"))
    assert gate(*QUICK, "--collect-only", "-q").status == 0
    run = gate(*QUICK)
    assert run.status == 4
    assert "the image cannot be decoded" in run.text
    assert "photos/b/zzz.png" in run.text
    assert "Traceback" not in run.text


def test_a_broken_cell_ends_the_run_with_its_line(gate, tiny):
    folder = tiny(MANIFEST.format(data=CSV))
    table(folder)
    text = (folder / "table.csv").read_text().splitlines()
    text[7] = "0.1,high,0.2,0.3,a"
    (folder / "table.csv").write_text("\n".join(text))
    run = gate(*QUICK)
    assert run.status == 4
    assert "line 8, column 'q' holds 'high'" in run.text
