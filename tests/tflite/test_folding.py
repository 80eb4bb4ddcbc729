"""Weights of a first layer with a rescaling of the input in them are the float32 variant's, and no others."""

import numpy as np
import pytest

from liteproof.measure.weights import bias_error_lsb, weight_error_lsb
from liteproof.plan import InputDomain
from liteproof.tflite.folding import Folded, as_fed, first_layers
from liteproof.tflite.matching import match_weights
from liteproof.tflite.reader import read_model
from tests.tflite.build import OperatorSpec, TensorSpec, build

PIXELS = InputDomain((127.5,), (127.5,))
RNG = np.random.default_rng(0)
WEIGHTS = {
    "FULLY_CONNECTED": RNG.normal(size=(3, 4)).astype(np.float32),
    "CONV_2D": RNG.normal(size=(3, 2, 2, 4)).astype(np.float32),
    "DEPTHWISE_CONV_2D": RNG.normal(size=(1, 2, 2, 4)).astype(np.float32),
}


def folded(operator, weights, bias, domain):
    """By hand, from W x + b with x = (f - o) / s."""
    scale, offset = np.array(domain.scale), np.array(domain.offset)
    sums = {"FULLY_CONNECTED": "oi->o", "CONV_2D": "ohwi->o", "DEPTHWISE_CONV_2D": "bhwo->o"}[operator]
    return weights / scale, bias - np.einsum(sums, weights * offset / scale)


def network(operator, weights, bias):
    ends = (1, 4) if operator == "FULLY_CONNECTED" else (1, 2, 2, 4)
    tensors = [
        TensorSpec("x", ends),
        TensorSpec("w", weights.shape, data=np.asarray(weights, np.float32).tobytes()),
        TensorSpec("b", bias.shape, data=np.asarray(bias, np.float32).tobytes()),
        TensorSpec("y", (1, len(bias))),
    ]
    return read_model(build(tensors, [OperatorSpec(operator, (0, 1, 2), (3,))]))


def errors(operator, weights, bias, domains):
    source = WEIGHTS[operator], np.linspace(-1, 1, 4 if operator.startswith("DEPTH") else 3)
    matching = as_fed(match_weights(network(operator, *source), network(operator, weights, bias)), domains)
    return weight_error_lsb(matching).value, bias_error_lsb(matching).value, matching


@pytest.mark.parametrize("domain", [PIXELS, InputDomain((2.0, 3.0, 4.0, 5.0), (1.0, -1.0, 0.5, 0.0))])
@pytest.mark.parametrize("operator", WEIGHTS)
def test_folded_constants_are_accepted(operator, domain):
    weights, bias = WEIGHTS[operator], np.linspace(-1, 1, 4 if operator.startswith("DEPTH") else 3)
    weight_error, bias_error, matching = errors(operator, *folded(operator, weights, bias, domain), {0: domain})
    assert max(weight_error, bias_error) < 0.5
    assert all(isinstance(pair.float32, Folded) for pair in matching.pairs)


@pytest.mark.parametrize("operator", WEIGHTS)
def test_constants_that_are_not_folded_stay_what_they_are(operator):
    weights, bias = WEIGHTS[operator], np.linspace(-1, 1, 4 if operator.startswith("DEPTH") else 3)
    weight_error, bias_error, matching = errors(operator, weights, bias, {0: PIXELS})
    assert max(weight_error, bias_error) < 0.5
    assert not any(isinstance(pair.float32, Folded) for pair in matching.pairs)


@pytest.mark.parametrize("domains", [{}, {0: InputDomain((255.0,), (0.0,))}])
def test_folded_for_another_domain_is_another_networks(domains):
    weights, bias = WEIGHTS["CONV_2D"], np.linspace(-1, 1, 3)
    weight_error, bias_error, _ = errors("CONV_2D", *folded("CONV_2D", weights, bias, PIXELS), domains)
    assert weight_error > 10
    assert bias_error > 10


def test_only_layers_that_read_the_input_are_first():
    tensors = [TensorSpec("x", (1, 4)), TensorSpec("flat", (1, 4)), TensorSpec("h", (1, 4)), TensorSpec("y", (1, 4))]
    weights = np.eye(4, dtype=np.float32)
    tensors += [TensorSpec(name, (4, 4), data=weights.tobytes()) for name in ("w1", "w2")]
    operators = [
        OperatorSpec("RESHAPE", (0,), (1,)),
        OperatorSpec("FULLY_CONNECTED", (1, 4, -1), (2,)),
        OperatorSpec("FULLY_CONNECTED", (2, 5, -1), (3,)),
    ]
    model = read_model(build(tensors, operators, outputs=(3,)))
    assert first_layers(model, {0: PIXELS}) == {"FULLY_CONNECTED #1": PIXELS}
