"""A SavedModel is described as the Keras file that it was exported from, by another process."""

import shutil
import sys

import pytest

from liteproof.cli import main
from liteproof.convert.description import describe_savedmodel
from liteproof.errors import ModelError
from liteproof.manifest.description import Output, describe

pytestmark = pytest.mark.slow


def test_it_is_what_the_keras_file_is(sources):
    before = set(sys.modules)
    found, same = describe_savedmodel(sources / "image_savedmodel"), describe(sources / "image.keras", "keras")
    assert not {name for name in set(sys.modules) - before if name.startswith("tensorflow")}
    assert found.outputs == same.outputs == (Output((None, 4), "softmax"),)
    assert [given.shape for given in found.inputs] == [given.shape for given in same.inputs] == [(None, 8, 8, 1)]
    assert found.parameters == same.parameters
    assert found.bytes_per_parameter == 4.0


def test_a_damaged_one_is_the_models_fault(sources):
    with pytest.raises(ModelError, match="does not load"):
        describe_savedmodel(sources / "damaged_savedmodel")


def test_init_takes_the_folder(sources, tmp_path, monkeypatch, capsys):
    shutil.copytree(sources / "image_savedmodel", tmp_path / "scans")
    shutil.copyfile(sources / "image_calibration.npz", tmp_path / "data.npz")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LITEPROOF_STORE", str(tmp_path / "store"))
    assert main(["init", "scans", "--data", "data.npz"]) == 0
    assert "classification: softmax over 4 outputs" in capsys.readouterr().out
    assert (tmp_path / "models/scans/scans/saved_model.pb").is_file()
    assert main(["advise", "scans", "--device", "pi4"]) == 0
    assert "parameters, 4.0 bytes each; for: Raspberry Pi 4" in capsys.readouterr().out
