"""Old Keras files in today's format: equal weights, equal answers, and refusals."""

import zipfile

import numpy as np
import pytest

from liteproof.cli import main
from liteproof.convert.repair import Permission, Repaired, _require_equal, repair
from liteproof.errors import ModelError, UsageError


@pytest.mark.slow
@pytest.mark.parametrize("name", ["image.h5", "recurrent.keras"])
def test_a_file_that_keras_3_does_not_read_is_written_anew(old, tmp_path, name):
    """TFOpLambda and DepthwiseConv2D, and an LSTM out of a .keras: weights to the bit, answers within float32."""
    import keras

    out = tmp_path / "new.keras"
    done = repair(old / name, out)
    assert (done.wrote[:2], done.writes) == ("2.", keras.__version__)
    assert done.difference <= 1e-5 * max(done.largest, 1.0)
    stem = name.partition(".")[0]
    with np.load(old / f"{stem}.npz") as arrays:
        answers = keras.saving.load_model(out).predict(arrays["x"], verbose=0)
    assert np.abs(answers - np.load(old / f"{stem}.npy")).max() < 1e-5
    assert [path.name for path in tmp_path.iterdir()] == ["new.keras"]


@pytest.mark.slow
def test_answers_that_differ_write_nothing(old, tmp_path):
    """Keras 3 reads this file without a word, and hard_sigmoid has another slope there."""
    with pytest.raises(ModelError, match=r"answers differently: by 0\..* nothing was written") as refused:
        repair(old / "hard.h5", tmp_path / "new.keras")
    assert "liteproof[legacy]" in refused.value.next
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_custom_layers_come_from_the_root_folder(old, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(old)
    out = tmp_path / "new.keras"
    status = main(["repair", "custom.keras", str(out), "--custom-objects=old_layers:objects"])
    printed = capsys.readouterr()
    assert status == 0, printed.err
    assert "equal to the bit" in printed.out
    assert "largest difference 0 on 32 seeded inputs" in printed.out
    assert printed.err.splitlines()[0].startswith("reading custom.keras by legacy Keras")
    assert zipfile.is_zipfile(out)


@pytest.mark.slow
def test_code_needs_leave(old, tmp_path):
    with pytest.raises(UsageError) as refused:
        repair(old / "lambda.h5", tmp_path / "new.keras")
    assert "lambda.h5 carries code that loading it would run: Lambda layer 'twice'" in str(refused.value)
    assert "add --trust" in refused.value.next
    assert repair(old / "lambda.h5", tmp_path / "new.keras", Permission(trust=True)).difference < 1e-5


def done(difference, largest=1.0, tolerance=1e-5):
    return Repaired("2.15.0", "3.15.1", 4, 100, 32, difference, largest, tolerance)


def test_how_far_answers_may_differ(tmp_path):
    _require_equal(done(9e-6), tmp_path)
    _require_equal(done(9e-3, largest=1000.0), tmp_path)
    for bad in (done(2e-5), done(2e-2, largest=1000.0), done(float("nan"))):
        with pytest.raises(ModelError, match="answers differently"):
            _require_equal(bad, tmp_path)


@pytest.mark.parametrize(
    ("source", "out", "said"),
    [
        ("missing.h5", "new.keras", "there is no such file"),
        ("model.tflite", "new.keras", "model.tflite is no Keras file"),
        (".", "new.keras", "is no Keras file"),
        ("model.h5", "new.h5", "new.h5 would not be in the current format"),
        ("model.h5", "there.keras", "there.keras is there already, and nothing is replaced"),
        ("model.h5", "nowhere/new.keras", "there is no such folder"),
    ],
)
def test_a_wrong_request_starts_nothing(tmp_path, monkeypatch, source, out, said):
    monkeypatch.setattr("liteproof.convert.repair._run", lambda _: pytest.fail("it started"))
    for name in ("model.h5", "model.tflite", "there.keras"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(UsageError, match=said):
        repair(tmp_path / source, tmp_path / out, Permission())
    assert (tmp_path / "there.keras").read_bytes() == b"x"


def test_the_command_says_what_it_is_for(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["repair", "--help"])
    assert ended.value.code == 0
    assert "nothing is written" in " ".join(capsys.readouterr().out.split())
