"""`liteproof init`, as a user types it: from an empty folder to a verdict."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from liteproof.cli import main
from liteproof.init.model import name_of
from tests.manifest.test_description import functional, layer, write_h5
from tests.plugin.tiny import network, samples

HERE = Path(sys.executable).parent
ROOT = Path(__file__).parents[2]


@pytest.fixture
def own(tmp_path, monkeypatch):
    """An empty repository with a float `.tflite` and a file of samples."""
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "flowers.tflite").write_bytes(network())
    x, y = samples(600, seed=3)
    np.savez(folder / "data.npz", x=x, y=y)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("LITEPROOF_STORE", str(tmp_path / "store"))
    return folder


def init(*words):
    return main(["init", *words])


def test_what_is_written_and_told(own, capsys):
    (own / "labels.txt").write_text("daisy\nrose\ntulip\n")
    assert init("flowers.tflite", "--data", "data.npz") == 0
    told = capsys.readouterr().out
    for name in ("models/flowers/model.toml", "models/flowers/evaluation.npz", "pytest.ini", "tox.ini", "targets.toml"):
        assert (own / name).is_file()
        assert f"written    {name}" in told
    assert "classification: softmax over 3 outputs" in told
    assert "450 samples to judge on, 150 others to calibrate on (seed 0)" in told
    assert told.rstrip().splitlines()[-1].strip().startswith("pytest ")
    manifest = tomllib.loads((own / "models/flowers/model.toml").read_text())
    assert manifest["model"] == {
        "task": "classification", "source": "flowers.tflite", "labels": "labels.txt", "outputs": "probabilities",
    }  # fmt: skip
    assert set(manifest["variants"]) == {"float32", "dynamic_range", "int8"}
    assert manifest["budgets"]["int8"] == {"top1_agreement": 0.95, "accuracy_drop": 0.02}
    assert manifest["budgets"]["accuracy"] == 0.5  # a quarter of the way from a third to one


def test_text_labels_are_numbered_as_the_user_says(own, capsys):
    names = np.array(["idle", "walk", "run"])
    with np.load("data.npz") as data:
        np.savez("text.npz", x=data["x"], y=names[data["y"]])
    (own / "order.txt").write_text("idle\nwalk\nrun\n")
    assert init("flowers.tflite", "--data", "text.npz", "--name", "guessed") == 0
    assert "in alphabetical order (idle, run, walk); another: --labels FILE" in capsys.readouterr().out
    assert init("flowers.tflite", "--data", "text.npz", "--name", "told", "--labels", "order.txt") == 0
    assert "in the order of the labels' file (idle, walk, run)" in capsys.readouterr().out
    assert init("flowers.tflite", "--data", "data.npz", "--name", "numbers") == 0
    told, numbers = (np.load(f"models/{name}/evaluation.npz")["y"] for name in ("told", "numbers"))
    assert np.array_equal(told, numbers)


def test_a_regression_gets_no_empty_tables(own):
    x = samples(600, seed=3)[0]
    (own / "wear.tflite").write_bytes(network(softmax=False))
    np.savez("wear.npz", x=x, y=np.linspace(0, 1, len(x)))
    assert init("wear.tflite", "--data", "wear.npz") == 0
    lines = (own / "models/wear/model.toml").read_text().splitlines()
    assert "[budgets]" not in lines
    assert "#" not in lines


def test_nothing_is_overwritten_unasked(own, capsys):
    assert init("flowers.tflite", "--data", "data.npz") == 0
    (own / "models/flowers/model.toml").write_text("mine")
    (own / "tox.ini").write_text("mine")
    assert init("flowers.tflite", "--data", "data.npz") == 4
    assert "is there already" in capsys.readouterr().err
    assert (own / "models/flowers/model.toml").read_text() == "mine"
    assert init("flowers.tflite", "--data", "data.npz", "--force") == 0
    assert "replaced   tox.ini" in capsys.readouterr().out
    assert "[model]" in (own / "models/flowers/model.toml").read_text()


def test_a_second_model_keeps_what_the_first_one_brought(own, capsys):
    assert init("flowers.tflite", "--data", "data.npz") == 0
    (own / "targets.toml").write_text('[pi]\nssh = "pi@there"\n')
    capsys.readouterr()
    assert init("flowers.tflite", "--data", "data.npz", "--name", "second") == 0
    told = capsys.readouterr().out
    assert "kept       targets.toml" in told
    assert "unchanged  pytest.ini" in told


def test_a_source_that_lies_in_its_place_stays_there(own):
    (own / "models/flowers").mkdir(parents=True)
    (own / "flowers.tflite").rename(own / "models/flowers/flowers.tflite")
    assert init("models/flowers/flowers.tflite", "--data", "data.npz") == 0
    assert (own / "models/flowers/flowers.tflite").read_bytes() == network()


def test_the_seed_decides_the_calibration_set(own):
    def drawn(name, *words):
        assert init("flowers.tflite", "--data", "data.npz", "--name", name, *words) == 0
        return np.load(own / "models" / name / "calibration.npz")["x"]

    assert (drawn("a") == drawn("b")).all()
    assert (drawn("a2") != drawn("c", "--seed", "7")).any()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["flowers.tflite"], "no samples were given"),
        (["nowhere.h5", "--data", "data.npz"], "no such file"),
        (["data.npz", "--data", "data.npz"], "of no kind that can be converted"),
        (["flowers.tflite", "--data", "nowhere.npz"], "there is no file nowhere.npz"),
        (["flowers.tflite", "--data", "wide.npz"], "array 'x' has shape (9, 7)"),
        (["flowers.tflite", "--data", "nan.npz"], "holds NaN or infinity"),
        (["flowers.tflite", "--data", "data.npz", "--labels", "four.txt"], "4 names of classes"),
        (["flowers.tflite", "--data", "from_one.npz"], "has the label 3"),
    ],
)
def test_a_wrong_request_leaves_nothing(own, capsys, words, said):
    np.savez(own / "wide.npz", x=np.random.default_rng(0).normal(size=(9, 7)).astype(np.float32))
    np.savez(own / "nan.npz", x=np.full((9, 4), np.nan, np.float32) * np.arange(9)[:, None])
    (own / "four.txt").write_text("a\nb\nc\nd\n")
    x, y = samples(600, seed=3)
    np.savez(own / "from_one.npz", x=x, y=y + 1)
    before = sorted(own.iterdir())
    assert init(*words) == 4
    assert said in capsys.readouterr().err
    assert sorted(path for path in own.iterdir() if path.name != "models") == before
    assert not list((own / "models").glob("**/*"))


def test_without_data_the_missing_step_is_told_with_the_shape(own, capsys):
    write_h5(own / "eyes.h5", functional(layer("Flatten", "f", "in"), output="f"), [])
    assert init("eyes.h5") == 4
    told = capsys.readouterr().err
    assert "x of shape (n, 8, 8, 1), float32" in told
    assert "liteproof init eyes.h5 --data data.npz" in told


def test_code_in_the_source_is_trusted_by_a_word(own, capsys):
    doubled = layer("Lambda", "twice", "in", function=["4wEAAA==", None, None], function_type="lambda")
    out = layer("Dense", "out", "flat", units=3, activation="softmax")
    write_h5(own / "net.h5", functional(doubled, layer("Flatten", "flat", "twice"), out, output="out"), [])
    x = np.random.default_rng(0).normal(size=(300, 8, 8, 1)).astype(np.float32)
    np.savez("net.npz", x=x)
    assert init("net.h5", "--data", "net.npz") == 4
    told = capsys.readouterr().err
    assert "Lambda layer 'twice'" in told
    assert "next:     liteproof init net.h5 --data net.npz --trust" in told
    assert init("net.h5", "--data", "net.npz", "--trust") == 0
    assert tomllib.loads((own / "models/net/model.toml").read_text())["model"]["trust"] is True


def test_too_few_samples_are_told_before_they_are_judged(own, capsys):
    x, y = samples(60, seed=5)
    np.savez(own / "few.npz", x=x, y=y)
    assert init("flowers.tflite", "--data", "few.npz") == 0
    told = capsys.readouterr().out
    assert "the gate calibration_samples wants 100" in told
    assert "PROVISIONAL" in told


def test_pixels_that_nobody_scales_are_doubted(own, capsys):
    config = functional(
        layer("Conv2D", "c", "in", filters=4, activation="relu"),
        layer("Flatten", "f", "c"),
        layer("Dense", "out", "f", units=3, activation="softmax"),
        output="out",
    )
    write_h5(own / "eyes.h5", config, [])
    np.savez(own / "raw.npz", x=np.random.default_rng(0).integers(0, 256, (400, 8, 8, 1)).astype(np.float32))
    assert init("eyes.h5", "--data", "raw.npz") == 0
    told = capsys.readouterr().out
    assert "inputs reach 255 and the model has no Rescaling layer" in told
    assert "there are no labels" in told


def test_names():
    assert name_of(Path("best model.v2.keras")) == "best-model-v2"
    assert name_of(Path("export")) == "export"


TRAIN = """
import keras, numpy as np, sys
keras.utils.set_random_seed(0)
x = np.random.default_rng(0).uniform(0, 0.4, (700, 6)).astype("float32")
y = np.arange(700) % 3
x[np.arange(700), y] += 0.6
model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(12, "relu"), keras.layers.Dense(3, "softmax")])
model.compile(keras.optimizers.Adam(0.03), "sparse_categorical_crossentropy")
model.fit(x, y, epochs=12, verbose=0)
model.save("flowers.h5")
np.savez("data.npz", x=x, y=y)
"""


@pytest.mark.slow
def test_three_commands_from_an_empty_folder_to_a_verdict(tmp_path):
    """The guide's three; the first of them, pip install, has made this environment."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    package = tmp_path / "site" / "liteproof"  # laid out as the wheel does it
    shutil.copytree(ROOT / "src" / "liteproof", package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "acceptance", package / "acceptance", ignore=shutil.ignore_patterns("__pycache__"))
    environment |= {
        "PATH": f"{HERE}:{os.environ['PATH']}",
        "PYTHONPATH": str(package.parent),
        "LITEPROOF_STORE": str(tmp_path / "store"),
    }
    own = tmp_path / "own"
    own.mkdir()

    def typed(command):
        return subprocess.run(
            shlex.split(command), cwd=own, env=environment, capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip

    subprocess.run(
        [sys.executable, "-c", TRAIN], cwd=own, env=environment, check=True, capture_output=True, timeout=600
    )
    guide = (ROOT / "docs" / "getting-started.md").read_text(encoding="utf-8")
    commands = guide.partition("```sh\n")[2].partition("```")[0].strip().splitlines()
    assert [command.split()[0] for command in commands] == ["pip", "liteproof", "pytest"]
    assert commands[1] == "liteproof init flowers.h5 --data data.npz"
    made = typed(commands[1])
    assert made.returncode == 0, made.stderr
    judged = typed(f"{commands[2]} -m 'not timing'")
    results = json.loads((own / "reports/latest/results.json").read_text())
    assert results["verdicts"]["flowers"]["int8"]["host"] in ("PASS", "PROVISIONAL"), judged.stdout[-3000:]
    assert set(results["verdicts"]["flowers"]) == {"float32", "dynamic_range", "float16", "int8"}
    assert judged.returncode == 0, judged.stdout[-3000:]
