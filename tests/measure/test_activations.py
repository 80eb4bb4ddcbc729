import math

import numpy as np
import pytest

from liteproof.checks import METRICS, Verdict, judge
from liteproof.errors import Unmeasured
from liteproof.measure.activations import (
    CLIPPING_LIMIT,
    ActivationRange,
    activation_clipping_lsb,
    activation_overflow,
    activation_range_use,
    activation_ranges,
    observe,
)
from liteproof.measure.runtime import open_session
from liteproof.tflite.reader import read_model
from tests.measure.models import RUNTIMES, overwritten
from tests.tflite.build import OperatorSpec, TensorSpec, build


def chain(*operators, scale=0.1, zero_point=-128, type_="INT8", ends=None):
    """A graph of operators on ten numbers, each with an output of this scale; float where the scale is None."""
    given = {"type": "FLOAT32"} if scale is None else {"type": type_, "scales": (scale,), "zero_points": (zero_point,)}
    tensors = [TensorSpec(f"t{i}", (1, 10), **given) for i in range(len(operators) + 1)]
    if ends:
        tensors[0] = TensorSpec("t0", (1, 10), **ends)
    return read_model(build(tensors, [OperatorSpec(name, (i,), (i + 1,)) for i, name in enumerate(operators)]))


FLOAT = chain("RELU", "ABS", "SOFTMAX", scale=None)
SEEN = {0: (-3.0, 12.7), 1: (0.0, 25.5), 2: (0.0, 25.5), 3: (0.0, 1.0)}


def ranges(variant, seen=SEEN):
    return activation_ranges(FLOAT, variant, seen)


def verdict(measurement, limit=None):
    return judge(measurement, METRICS[measurement.metric].default if limit is None else limit).verdict


def test_ranges_follow_from_scale_and_zero_point():
    found = {range_.tensor: range_ for range_ in ranges(chain("RELU", "ABS", "SOFTMAX"))}
    assert found["t1"].place == "RELU #0"
    assert (found["t1"].low, found["t1"].high) == pytest.approx((0.0, 25.5))
    assert found["t1"].seen == (0.0, 25.5)
    assert found["t0"].place == "input"


def test_softmax_is_left_out_because_the_specification_fixes_its_range():
    assert "t3" not in {range_.tensor for range_ in ranges(chain("RELU", "ABS", "SOFTMAX"))}


def test_input_behind_a_quantize_is_compared():
    ends = {"type": "FLOAT32"}
    found = ranges(chain("QUANTIZE", "RELU", "ABS", "SOFTMAX", ends=ends))
    assert (found[0].place, found[0].tensor) == ("input", "t1")


def test_input_of_minimum_may_be_wider_than_its_scale_allows():
    float32 = chain("RELU", "MINIMUM", scale=None)
    found = activation_ranges(float32, chain("RELU", "MINIMUM"), {1: (0.0, 100.0), 2: (0.0, 25.5)})
    assert [range_.tensor for range_ in found] == ["t2"]


@pytest.mark.parametrize("scale", [math.nan, math.inf, 0.0, -0.1])
def test_scale_that_means_nothing_is_left_to_the_specification(scale):
    assert ranges(chain("RELU", "ABS", "SOFTMAX", scale=scale)) == ()


@pytest.mark.parametrize(("shift", "steps"), [(0, 0.0), (1, 1.0), (10, 10.0)])
def test_zero_point_that_is_off_clips_as_many_steps(shift, steps):
    measurement = activation_clipping_lsb(ranges(chain("RELU", "ABS", "SOFTMAX", zero_point=-128 + shift))[1:])
    assert measurement.value == pytest.approx(steps, abs=1e-4)
    assert verdict(measurement, CLIPPING_LIMIT) is (Verdict.FAIL if shift else Verdict.PASS)
    assert "'t1' of RELU #0" in measurement.detail


def test_other_tensors_that_are_clipped_are_counted():
    measurement = activation_clipping_lsb(ranges(chain("RELU", "ABS", "SOFTMAX", zero_point=-118))[1:])
    assert measurement.detail.endswith("and 1 more tensors")


def test_values_below_the_range_count_too():
    below = ActivationRange("ADD #0", "sum", 0.1, low=-12.8, high=12.7, seen=(-13.8, 1.0))
    assert activation_clipping_lsb([below]).value == pytest.approx(10.0)


@pytest.mark.parametrize(("factor", "expected"), [(1.0, Verdict.PASS), (0.7, Verdict.PASS), (0.5, Verdict.FAIL)])
def test_range_that_is_half_as_long_as_needed_fails(factor, expected):
    measurement = activation_overflow(ranges(chain("RELU", "ABS", "SOFTMAX", scale=0.1 * factor))[1:])
    assert measurement.value == pytest.approx(1 / factor - 1)
    assert verdict(measurement) is expected


@pytest.mark.parametrize(("factor", "expected"), [(1.0, Verdict.PASS), (4.0, Verdict.PASS), (16.0, Verdict.FAIL)])
def test_range_that_is_sixteen_times_too_long_fails(factor, expected):
    measurement = activation_range_use(ranges(chain("RELU", "ABS", "SOFTMAX", scale=0.1 * factor))[1:])
    assert measurement.value == pytest.approx(1 / factor)
    assert verdict(measurement) is expected


@pytest.mark.parametrize(("factor", "expected"), [(1.0, Verdict.PASS), (4.0, Verdict.PASS), (16.0, Verdict.FAIL)])
def test_int16_behind_a_relu_is_held_to_what_a_symmetric_range_has_to_be(factor, expected):
    scale = 25.5 / 32767 * factor
    variant = chain("RELU", "ABS", "SOFTMAX", scale=scale, zero_point=0, type_="INT16")
    measurement = activation_range_use(ranges(variant)[1:])
    assert measurement.value == pytest.approx(1 / factor, rel=1e-4)
    assert verdict(measurement) is expected


def test_int8_behind_a_relu_has_a_zero_point_to_move():
    measurement = activation_range_use(ranges(chain("RELU", "ABS", "SOFTMAX", scale=0.2, zero_point=0))[1:])
    assert measurement.value == pytest.approx(0.5)


MULTIPLIED = {0: (-3.0, 12.7), 1: (0.0, 2.55), 2: (0.0, 51.0), 3: (0.0, 1.0)}


def test_range_of_what_overwrites_a_tensor_is_told_by_the_operator():
    float32, variant = chain("RELU", "MUL", "SOFTMAX", scale=None), chain("RELU", "MUL", "SOFTMAX", scale=0.2)
    measurement = activation_range_use(activation_ranges(float32, variant, MULTIPLIED)[1:])
    assert measurement.value == pytest.approx(0.05)
    assert "what MUL #1 makes of it" in measurement.causes[0]
    assert "LiteRT Quantizer" in measurement.next


@pytest.mark.parametrize("scale", [0.02, 0.8])
def test_range_that_the_next_operator_does_not_explain_is_the_calibration_sets(scale):
    float32, variant = chain("RELU", "MUL", "SOFTMAX", scale=None), chain("RELU", "MUL", "SOFTMAX", scale=scale)
    measurement = activation_range_use(activation_ranges(float32, variant, MULTIPLIED)[1:])
    assert "outlier" in measurement.causes[0]


def graph(operators, scales):
    """Operators on ten numbers; tensors of these scales with a zero point of -128, float where a scale is None."""
    quantized = [{"type": "INT8", "scales": (scale,), "zero_points": (-128,)} if scale else {} for scale in scales]
    tensors = [TensorSpec(f"t{i}", (1, 10), **given) for i, given in enumerate(quantized)]
    return read_model(build(tensors, [OperatorSpec(name, inputs, (output,)) for name, inputs, output in operators]))


@pytest.mark.parametrize("inner", [0.1, None])
def test_what_a_layer_wrote_is_looked_at_again_where_its_scale_changes(inner):
    """At the borders of mixed precision: from 8 bits to 16, or from float to 8 bits."""
    variant = graph([("RELU", (0,), 1), ("QUANTIZE", (1,), 2), ("ABS", (2,), 3)], (0.1, inner, 0.05, 0.1))
    measurement = activation_clipping_lsb(activation_ranges(chain("RELU", "ABS", scale=None), variant, SEEN)[1:])
    assert measurement.value == pytest.approx(255.0)
    assert "'t2' of QUANTIZE #1" in measurement.detail


JOIN = [("RELU", (0,), 1), ("ABS", (0,), 2), ("CONCATENATION", (1, 2), 3)]
JOINED = {0: (0.0, 25.5), 1: (0.0, 0.5), 2: (0.0, 25.5), 3: (0.0, 25.5)}


@pytest.mark.parametrize(("factor", "expected"), [(1.0, Verdict.PASS), (16.0, Verdict.FAIL)])
def test_tensors_that_must_have_one_scale_are_held_to_what_they_need_together(factor, expected):
    variant = graph(JOIN, (0.1, 0.1 * factor, 0.1 * factor, 0.1 * factor))
    measurement = activation_range_use(activation_ranges(graph(JOIN, (None,) * 4), variant, JOINED))
    assert measurement.value == pytest.approx(1 / factor)
    assert verdict(measurement) is expected


@pytest.mark.parametrize("measure", [activation_clipping_lsb, activation_overflow, activation_range_use])
def test_nothing_to_compare_is_unmeasured(measure):
    with pytest.raises(Unmeasured):
        measure(())


def test_observed_are_the_extremes_over_all_samples():
    tensors = [TensorSpec("x", (1, 4)), TensorSpec("y", (1, 4))]
    file = build(tensors, [OperatorSpec("ABS", (0,), (1,))])
    session = open_session(file, kernels="builtin", preserve_all_tensors=True)
    x = np.array([[-3, 0, 1, 2], [0, 1, 2, 5]], np.float32)
    assert observe(session, read_model(file), x) == {0: (-3.0, 5.0), 1: (0.0, 5.0)}


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_what_is_observed_is_the_tensors_own_on_every_runtime(runtime):
    """tflite_runtime 2.14 said of a tensor that ADD overwrites what the sum takes, and healthy ranges were refused."""
    session = open_session(overwritten(), runtime=runtime, kernels="builtin", preserve_all_tensors=True)
    x = np.array([[-1, 0, 1, 2]], np.float32)
    seen = observe(session, read_model(overwritten()), x)
    assert seen == {0: (-1, 2), 3: (-2, 1), 4: (-4, 2), 5: (-1, 5), 6: (1, 5)}
