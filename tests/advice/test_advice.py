import json
import tomllib

import h5py
import numpy as np
import pytest

from liteproof.advice import advice as rules
from liteproof.advice.advice import Situation, advise
from liteproof.advice.devices import DEVICES, MB, parse_size
from liteproof.cli import main
from liteproof.errors import LiteproofError, UsageError
from tests.advice.test_edge_tpu import PRINTED, stand_in  # noqa: F401 - a fixture
from tests.manifest.test_description import layer
from tests.measure.models import fully_convolutional
from tests.plugin.tiny import network, samples
from tests.tflite.build import OperatorSpec, TensorSpec, build


def keras_2(path, parameters=24_900_000, dtype=np.float32, optimizer=0):
    """An `.h5` of one dense layer of so many weights; they are all zero and take no room in the file."""
    width = parameters // 1000
    config = {
        "class_name": "Sequential",
        "config": {
            "layers": [
                layer("InputLayer", "in", batch_input_shape=[None, width], dtype="float32"),
                layer("Dense", "out", units=1000, activation="softmax"),
            ]
        },
    }
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(config)
        file.create_dataset("model_weights/out/kernel", (width, 1000), dtype, chunks=True)
        if optimizer:
            file.create_dataset("optimizer_weights/m", (optimizer,), np.float32, chunks=True)
    return path


def test_a_95_mb_model_on_a_512_mb_server_needs_no_quantization(tmp_path):
    found = advise(keras_2(tmp_path / "skin.h5"), Situation(DEVICES["server"], ram=512 * MB))
    assert found.needed is False
    assert found.answer.startswith("No: float32 takes an estimated 23")
    assert found.convert == ("float32",)
    assert (
        "runtime 43.0 MB + session 3.5 MB + file 95.0 MB + weights laid out for the kernels 95.0 MB = 236"
        in found.sums[0]
    )
    assert "estimated" in found.sums[2]
    assert "TensorFlow" in found.sums[2]


def test_ten_times_the_model_needs_it_there(tmp_path):
    found = advise(keras_2(tmp_path / "big.h5", 100_000_000), Situation(DEVICES["server"], ram=512 * MB))
    assert found.needed is True
    assert found.convert[0] == "dynamic_range", "float16 is widened in memory"
    assert "Yes: float32" in found.answer


def test_what_fits_in_no_way_is_told(tmp_path):
    found = advise(keras_2(tmp_path / "huge.h5", 900_000_000), Situation(DEVICES["zero2"]))
    assert found.needed is None
    assert found.convert == ()
    assert "Nothing fits" in found.answer


def test_float16_weights_and_optimizer_state_are_seen(tmp_path):
    half = advise(keras_2(tmp_path / "half.h5", 1_000_000, np.float16), Situation(DEVICES["phone"]))
    assert any("float16 already" in reason for reason in half.reasons)
    heavy = advise(keras_2(tmp_path / "heavy.h5", 1_000_000, optimizer=2_000_000), Situation(DEVICES["pi4"]))
    assert any("optimizer's state" in reason for reason in heavy.reasons)


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    (tmp_path / "tiny.tflite").write_bytes(network())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LITEPROOF_STORE", str(tmp_path / "store"))
    return tmp_path / "tiny.tflite"


def test_a_microcontroller_gets_int8_with_its_arena(tiny):
    found = advise(tiny, Situation(DEVICES["microcontroller"]))
    assert found.convert == ("int8",)
    assert "tensor arena, estimated: activations" in found.sums[1]
    assert found.budgets["int8"]["size_bytes"] == int(0.8 * MB)
    small = advise(tiny, Situation(DEVICES["microcontroller"], ram=1024))
    assert small.convert == ()
    assert "RAM that a model may take" in small.answer
    assert "flash" in advise(tiny, Situation(DEVICES["microcontroller"], flash=1000)).answer


def test_what_activations_take_is_not_made_up_where_sizes_are_open(tmp_path):
    (tmp_path / "open.tflite").write_bytes(fully_convolutional())
    micro = advise(tmp_path / "open.tflite", Situation(DEVICES["microcontroller"]))
    assert micro.convert == ()
    assert "the size of in_0 is open and TensorFlow Lite Micro takes fixed ones only" in micro.answer
    assert not any("arena" in line for line in micro.sums)
    board = advise(tmp_path / "open.tflite", Situation(DEVICES["pi4"]))
    assert board.sums[1] == "while it answers: activations on top, not estimated: the size of in_0 is open"


def test_an_operator_that_micro_lacks_is_named(tiny):
    tensors = [TensorSpec("x", (1, 8)), TensorSpec("y", (1, 8))]
    tiny.write_bytes(build(tensors, [OperatorSpec("ERF_NOT_THERE", (0,), (1,), custom=True)]))
    found = advise(tiny, Situation(DEVICES["microcontroller"]))
    assert found.convert == ()
    assert "no kernel for ERF_NOT_THERE" in found.answer


def test_the_edge_tpu_without_its_compiler_says_so(tiny, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    found = advise(tiny, Situation(DEVICES["edge-tpu"]))
    assert "2 of 2 operators are documented to be mapped" in found.reasons[1]
    assert "not installed: what it really maps was not tried" in found.doubts[0]


def test_a_free_batch_is_named_for_the_edge_tpu(tiny, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    tensors = [TensorSpec("x", (1, 8), signature=(-1, 8)), TensorSpec("y", (1, 8), signature=(-1, 8))]
    tiny.write_bytes(build(tensors, [OperatorSpec("RELU", (0,), (1,))]))
    assert any("x: a size is free" in reason for reason in advise(tiny, Situation(DEVICES["edge-tpu"])).reasons)


def test_the_edge_tpus_compiler_has_the_last_word(tiny, stand_in, monkeypatch):  # noqa: F811
    stand_in(PRINTED)
    monkeypatch.setattr(rules, "converted", lambda *_: tiny)
    found = advise(tiny, Situation(DEVICES["edge-tpu"]))
    assert "edgetpu_compiler 16.0.384591198 mapped 2 of 4 operators of the int8 file" in found.reasons
    assert "left on the processor by the compiler: 1 TRANSPOSE (Operation not supported)" in found.reasons


def test_a_quantized_file_and_sizes_that_are_none_are_refused(tiny):
    with pytest.raises(UsageError, match="no size"):
        parse_size("a lot", "--ram")
    with pytest.raises(LiteproofError):
        advise(tiny.parent / "nowhere.keras", Situation(DEVICES["pi4"]))


def test_the_command_prints_and_writes(tiny, capsys):
    x, y = samples(600, seed=3)
    np.savez("data.npz", x=x, y=y)
    assert main(["advise", "tiny.tflite", "--device", "pi4", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "liteproof.advice/1"
    assert document["device"] == {"name": "pi4", "ram_bytes": 2048 * MB, "flash_bytes": None}
    assert main(["advise", "tiny.tflite", "--device", "pi4", "--write", "--data", "data.npz"]) == 0
    told = capsys.readouterr().out
    assert "Is quantization needed at all? No" in told
    assert "All sizes and memory are estimates" in told
    assert max(map(len, told.splitlines())) <= 120
    manifest = tomllib.loads((tiny.parent / "models" / "tiny" / "model.toml").read_text())
    assert set(manifest["variants"]) == {"float32", "int8", "dynamic_range"}
    assert manifest["budgets"]["int8"]["peak_memory_mb"] == document["budgets"]["int8"]["peak_memory_mb"]
    assert main(["advise", "tiny.tflite", "--device", "microcontroller", "--ram", "1kB"]) == 1
    assert main(["advise", "tiny.tflite", "--device", "pi4", "--write", "--name", "other"]) == 4
