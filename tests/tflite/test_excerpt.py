import numpy as np
import pytest

from liteproof.measure.runtime import open_session
from liteproof.tflite.excerpt import excerpt, with_outputs
from liteproof.tflite.reader import read_model
from tests.measure.models import RUNTIMES, data, fixed_batch_of_four


def dense():
    """The file, and its operators."""
    content = data("dense_float32").read_bytes()
    return content, read_model(content).subgraphs[0].operators


def test_the_file_stays_readable_and_keeps_its_constants():
    content, operators = dense()
    second = operators[1]
    cut = read_model(excerpt(content, [1], second.inputs[:1], second.outputs))
    whole = read_model(content)
    assert [op.outputs for op in cut.subgraphs[0].operators] == [second.outputs]
    assert (cut.subgraphs[0].inputs, cut.subgraphs[0].outputs) == (second.inputs[:1], second.outputs)
    assert cut.signatures == ()
    assert cut.metadata == {}
    weights = second.inputs[1]
    np.testing.assert_array_equal(
        cut.constant(cut.subgraphs[0].tensors[weights]), whole.constant(whole.subgraphs[0].tensors[weights])
    )


def test_the_original_is_not_touched():
    content, operators = dense()
    before = bytes(content)
    excerpt(content, [1], operators[1].inputs[:1], operators[1].outputs)
    assert content == before


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_layer_computes_what_it_computes_in_the_whole(runtime):
    content, operators = dense()
    session = open_session(content, runtime=runtime, kernels="builtin", preserve_all_tensors=True)
    session.invoke([np.linspace(-1, 1, 6, dtype=np.float32)[None]])
    for operator in operators:
        inputs = [
            i for i in operator.inputs if i in {o for op in operators for o in op.outputs} | {session.inputs[0].index}
        ]
        alone = open_session(
            excerpt(content, [operator.index], inputs, operator.outputs), runtime=runtime, kernels="builtin"
        )
        (found,) = alone.invoke([session.fetch_tensor(i) for i in inputs])
        np.testing.assert_array_equal(found, session.fetch_tensor(operator.outputs[0]))


def test_two_layers_that_do_not_read_each_other_run_side_by_side():
    content, operators = dense()
    outputs = [op.outputs[0] for op in operators[:3:2]]
    inputs = [op.inputs[0] for op in operators[:3:2]]
    session = open_session(excerpt(content, [2, 0], inputs, outputs))
    assert [spec.index for spec in session.inputs] == inputs
    assert len(session.invoke([np.zeros(spec.shape, np.float32) for spec in session.inputs])) == 2


def test_an_excerpt_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        excerpt(fixed_batch_of_four(), [], [0], [2])


def test_other_outputs_leave_the_rest_of_the_file_as_it_is():
    content, operators = dense()
    whole, more = read_model(content), read_model(with_outputs(content, [op.outputs[0] for op in operators]))
    assert more.subgraphs[0].outputs == tuple(op.outputs[0] for op in operators)
    assert more.subgraphs[0].operators == whole.subgraphs[0].operators
    assert (more.signatures, more.metadata.keys()) == (whole.signatures, whole.metadata.keys())
