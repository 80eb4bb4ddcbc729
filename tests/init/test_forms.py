"""Images by class and CSV files as `liteproof init` takes them."""

import numpy as np
import pytest

from liteproof.cli import main
from liteproof.init.forms import label_column
from tests.plugin.tiny import fully_connected_options, network, samples, softmax_options
from tests.tflite.build import OperatorSpec, TensorSpec, build, bytes_of

Image = pytest.importorskip("PIL.Image")


def bright_or_dark():
    """A float `.tflite` on grey images of 4 by 4, trained as it were on pixels from -1 to 1: dark is 0, bright is 1."""
    tensors = [
        TensorSpec("x", (1, 4, 4, 1)),
        TensorSpec("shape", (2,), "INT32", data=bytes_of(1, 16, dtype=np.int32)),
        TensorSpec("flat", (1, 16)),
        TensorSpec("weights", (2, 16), data=np.repeat([[-0.3], [0.3]], 16, axis=1).astype(np.float32).tobytes()),
        TensorSpec("bias", (2,), data=np.zeros(2, np.float32).tobytes()),
        TensorSpec("logits", (1, 2)),
        TensorSpec("probabilities", (1, 2)),
    ]
    operators = [
        OperatorSpec("RESHAPE", (0, 1), (2,)),
        OperatorSpec("FULLY_CONNECTED", (2, 3, 4), (5,), options=fully_connected_options),
        OperatorSpec("SOFTMAX", (5,), (6,), options=softmax_options),
    ]
    return build(tensors, operators)


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LITEPROOF_STORE", str(tmp_path / "store"))
    return tmp_path


def write_images(folder, n=120):
    random = np.random.default_rng(0)
    for name, low, high in (("dark", 0, 100), ("light", 155, 256)):
        (folder / name).mkdir(parents=True)
        for number in range(n):
            pixels = random.integers(low, high, (6, 6)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number:03}.png")


def arrays(own, name, which="evaluation"):
    with np.load(own / "models" / name / f"{which}.npz") as archive:
        return {key: archive[key] for key in archive.files}


def test_images_are_decoded_and_their_range_is_tried(own, capsys):
    write_images(own / "photos")
    (own / "lamp.tflite").write_bytes(bright_or_dark())
    assert main(["init", "lamp.tflite", "--data", "photos"]) == 0
    told = capsys.readouterr().out
    assert (
        "pixels were scaled to -1 to 1: right by range: 0 to 255, as they are: 50%, 0 to 1: 50%, -1 to 1: 100%" in told
    )
    assert (own / "models/lamp/labels.txt").read_text() == "dark\nlight\n"
    held, drawn = arrays(own, "lamp"), arrays(own, "lamp", "calibration")
    assert held["x"].shape == (140, 4, 4, 1)
    assert drawn["x"].shape == (100, 4, 4, 1)
    assert -1 <= held["x"].min() < -0.5 < 0.5 < held["x"].max() <= 1
    assert np.bincount(drawn["y"]).tolist() == [50, 50]


def test_labels_in_another_order_than_the_folders_number_the_classes(own, capsys):
    write_images(own / "photos", n=20)
    (own / "lamp.tflite").write_bytes(bright_or_dark())
    (own / "labels.txt").write_text("light\ndark\n")
    assert main(["init", "lamp.tflite", "--data", "photos"]) == 0
    told = capsys.readouterr().out
    assert "classes were numbered in the order of the labels' file" in told
    held = arrays(own, "lamp")
    assert held["y"][0] == 1, "the folders' first, dark, is the second label"


def test_a_csv_with_its_column_of_labels(own, capsys):
    x, y = samples(300, seed=3)
    rows = [f"{','.join(f'{v:.6f}' for v in row)},{'abc'[label]}" for row, label in zip(x, y, strict=True)]
    (own / "hands.csv").write_text("\n".join(["f0,f1,f2,f3,gesture", *rows]))
    (own / "tiny.tflite").write_bytes(network())
    assert main(["init", "tiny.tflite", "--data", "hands.csv"]) == 0
    told = capsys.readouterr().out
    assert "column 'gesture' was taken for the labels" in told
    assert (own / "models/tiny/labels.txt").read_text() == "a\nb\nc\n"
    held = arrays(own, "tiny")
    assert held["x"].shape == (200, 4)
    assert (held["x"].argmax(axis=1) == held["y"]).all()


@pytest.mark.parametrize(
    ("content", "said"),
    [("f0,f1,f2,f3\n1,2,x,4\n", "hands.csv"), ("f0,f1\n1,2\n3,4\n", "has shape (2, 2)"), ("f0,f1,f2,f3\n", "no rows")],
)
def test_a_csv_that_does_not_fit_names_the_users_file(own, capsys, content, said):
    (own / "hands.csv").write_text(content)
    (own / "tiny.tflite").write_bytes(network())
    assert main(["init", "tiny.tflite", "--data", "hands.csv"]) == 4
    told = capsys.readouterr().err
    assert said in told
    assert "hands.csv" in told
    assert "/decoded" not in told


def test_the_column_of_labels():
    assert label_column(["a", "b", "c"], 2) == "c"
    assert label_column(["a", "b", "c"], None) is None
