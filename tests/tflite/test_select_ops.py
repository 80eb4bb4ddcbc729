"""Which operators are TensorFlow's own, and which runtimes have them."""

import pytest

from liteproof.tflite.reader import read_model
from liteproof.tflite.select_ops import runs, select_operators
from tests.tflite.networks import network_bytes


def test_select_operators_are_told_from_custom_ones():
    assert select_operators(read_model(network_bytes(custom="FlexErf"))) == ("FlexErf",)
    assert select_operators(read_model(network_bytes(custom="Fast"))) == ()
    assert select_operators(read_model(network_bytes())) == ()


@pytest.mark.parametrize(
    ("runtime", "version", "has"),
    [
        ("ai_edge_litert", "2.3.0", False),
        ("tflite_runtime", "2.14.0", False),
        ("tensorflow", "2.15.1", True),
        ("tensorflow", "2.18.1", True),
        ("tensorflow", "2.19.0", None),
        ("tensorflow", "2.20.0", False),
        ("tensorflow", "2.21.0", False),
    ],
)
def test_which_runtimes_have_them(runtime, version, has):
    assert runs(runtime, version) is has
