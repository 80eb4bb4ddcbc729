from __future__ import annotations

import json

import numpy as np

from liteproof.tflite.facts import facts
from liteproof.tflite.inspection import inspect_json, inspect_text
from liteproof.tflite.reader import read_model
from tests.tflite.build import OperatorSpec, TensorSpec, build, bytes_of, conv_options

LONG = "network/block_16_expand/depthwise_separable/convolution/Relu6;network/other/part"


def model():
    tensors = [
        TensorSpec("image[bold]", (1, 4, 4, 1), "INT8", scales=(0.5,), zero_points=(-128,), signature=(-1, 4, 4, 1)),
        TensorSpec("w", (2, 1, 1, 1), "INT8", bytes_of(-127, 3, dtype=np.int8), (0.1, 0.2), (0, 0), axis=0),
        TensorSpec("b", (2,), "INT32", bytes_of(5, -6, dtype=np.int32), (0.05, 0.1), (0, 0), axis=0),
        TensorSpec(LONG, (1, 2, 2, 2), "INT8", scales=(0.25,), zero_points=(7,)),
        TensorSpec("block", (2,), "INT4", b"\x21", block_size=32),
    ]
    operators = [
        OperatorSpec("CONV_2D", (0, 1, 2), (3,), version=3, options=conv_options),
        OperatorSpec("FlexErf", (3, -1), (3,), custom=True),
    ]
    return read_model(build(tensors, operators, outputs=(3,)))


def test_text_fits_80_columns_and_names_what_matters():
    text = inspect_text(model(), facts(model()))
    assert max(len(line) for line in text.splitlines()) <= 80
    for part in ("full_integer, 6 parameters", "CONV_2D + RELU6", "2 on axis 0", "blocks of 32", "FlexErf", "?×4×4×1"):
        assert part in text
    assert "3 -" in text  # an input that is left out


def test_names_are_no_markup_and_long_ones_keep_their_end():
    text = inspect_text(model(), facts(model()))
    assert "image[bold]" in text
    assert "convolution/Relu6" in text
    assert "network/other" not in text


def test_json_is_complete_and_strict():
    found = inspect_json(model(), facts(model()))
    again = json.loads(json.dumps(found, allow_nan=False))
    (graph,) = again["subgraphs"]
    assert graph["operators"][0]["options"]["fused_activation_function"] == "RELU6"
    weights = graph["tensors"][1]
    assert weights["quantization"]["kind"] == "per_axis"
    np.testing.assert_allclose(weights["quantization"]["scales"], [0.1, 0.2], rtol=1e-6)
    assert (weights["bytes"], weights["shape"]) == (2, [2, 1, 1, 1])
    assert again["facts"]["parameters"] == 6
    assert again["signatures"][0]["key"] == "serving_default"


def test_json_of_a_model_without_parameters_is_strict_too():
    empty = read_model(build([TensorSpec("x", (1,)), TensorSpec("y", (1,))], [OperatorSpec("EXP", (0,), (1,))]))
    found = inspect_json(empty, facts(empty))
    assert json.loads(json.dumps(found, allow_nan=False))["facts"]["bytes_per_parameter"] is None
