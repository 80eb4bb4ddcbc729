"""What the corpus found in single rooms, without the whole gate."""

import pytest

from liteproof.errors import ModelError
from liteproof.measure.activations import activation_overflow, activation_ranges
from liteproof.measure.outputs import codes_of
from liteproof.measure.runtime import open_session
from liteproof.tflite.reader import read_model
from tests.corpus.files import corpus, quantized
from tests.plugin.tiny import network, samples

CORPUS = corpus()


@pytest.mark.parametrize("name", ["no_outputs", "pool_filter_zero", "pool_filter_negative"])
def test_what_answers_with_nothing_is_told(name, tmp_path):
    pytest.importorskip("ai_edge_litert")
    file = tmp_path / "file.tflite"
    file.write_bytes(CORPUS[name].content)
    with pytest.raises(ModelError, match="it answers with nothing"):
        open_session(file, runtime="ai_edge_litert").predict(samples(3, 0)[0])


def test_block_scales_in_no_tensor_are_damage():
    with pytest.raises(ModelError, match="tensor 1 has its scales in a tensor that is not there"):
        read_model(CORPUS["blocks_of_zero_scales"].content)


@pytest.mark.parametrize("zero_point", [4000, -(2**62)])
def test_zero_point_beyond_the_codes_spans_no_range(zero_point):
    float32, seen = read_model(network()), dict.fromkeys(range(5), (0.0, 1.0))
    healthy = read_model(quantized().content)
    spoiled = read_model(quantized(0, zero_points=(zero_point,)).content)
    ranges = activation_ranges(float32, spoiled, seen)
    assert "input" in {found.place for found in activation_ranges(float32, healthy, seen)}
    assert "input" not in {found.place for found in ranges}
    assert activation_overflow(ranges).value is not None


def test_an_output_of_a_type_that_is_none_has_no_codes():
    assert codes_of(read_model(quantized().content), 4) is not None
    assert codes_of(read_model(quantized(4, type=99).content), 4) is None
