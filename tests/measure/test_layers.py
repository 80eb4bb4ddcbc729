import dataclasses
import math

import numpy as np
import pytest

from liteproof.checks import Measurement
from liteproof.errors import ModelError
from liteproof.measure.layers import EXACT_DB, beside, drift, trace
from tests.measure.models import RUNTIMES, data, identity_like
from tests.measure.spoil import Spoiled

FLOAT32, INT8 = data("dense_float32"), data("dense_int8")
X = np.random.default_rng(1).normal(size=(24, 6)).astype(np.float32)


def spoiled(tmp_path, edit, name="dense_int8"):
    file = Spoiled(data(name).read_bytes())
    edit(file)
    return file.write(tmp_path / "spoiled.tflite")


def by_place(found):
    return {layer.place: layer for layer in found}


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_healthy_file_only_rounds(runtime):
    found = trace(FLOAT32, INT8, X, runtime=runtime)
    places = ["FULLY_CONNECTED #0", "FULLY_CONNECTED #1", "SOFTMAX #2"]
    assert [layer.place.split(" ")[0] for layer in found] == ["input", "FULLY_CONNECTED", "FULLY_CONNECTED", "SOFTMAX"]
    assert [layer.place for layer in found[1:]] == places
    assert all(layer.samples == 24 and layer.nonfinite == 0 for layer in found)
    assert max(layer.own_rms_steps for layer in found[1:]) < 1
    assert found[0].own_max_steps <= 0.5001 or found[0].saturated > 0
    assert all(0 < layer.severity < 0.01 for layer in found[1:])


def test_a_file_beside_itself_is_exact():
    for layer in trace(FLOAT32, FLOAT32, X):
        assert (layer.sqnr_db, layer.own_sqnr_db, layer.severity) == (EXACT_DB, EXACT_DB, 0)
        assert (layer.step, layer.own_rms_steps, layer.own_max_steps, layer.codes_used) == (0, None, None, None)


def test_an_error_is_the_layers_own_where_it_arises_and_inherited_behind(tmp_path):
    path = spoiled(tmp_path, lambda file: np.negative(*2 * [file.by_channel("FULLY_CONNECTED #0")]))
    healthy, found = by_place(trace(FLOAT32, INT8, X)), by_place(trace(FLOAT32, path, X))
    first, second = "FULLY_CONNECTED #0", "FULLY_CONNECTED #1"
    assert found[first].severity > 20 * healthy[first].severity
    assert found[second].severity < 3 * healthy[second].severity
    assert found[second].sqnr_db < healthy[second].sqnr_db - 10


def test_the_worst_channel_is_found(tmp_path):
    path = spoiled(tmp_path, lambda file: file.by_channel("FULLY_CONNECTED #1")[2].fill(0))
    assert by_place(trace(FLOAT32, path, X))["FULLY_CONNECTED #1"].worst_channel == 2


def test_a_constant_offset_shows_as_bias(tmp_path):
    x = {"left": np.ones((8, 3), np.float32), "right": np.linspace(-1, 1, 16, dtype=np.float32).reshape(8, 2)}
    place = "FULLY_CONNECTED #1"  # of both inputs

    def edit(file):
        file.by_channel(place)[1, 0] //= -4  # a weight of an input that is the same in every sample

    path = spoiled(tmp_path, edit, "two_in_two_out_int8")
    layer = by_place(trace(data("two_in_two_out_float32"), path, x))[place]
    assert layer.worst_channel == 1
    assert abs(layer.channel_bias[1]) == pytest.approx(layer.channel_rms[1], rel=0.1)


def test_values_beyond_the_range_are_saturated(tmp_path):
    def edit(file):
        file.scales(file.operator("FULLY_CONNECTED #1").outputs[0])[:] /= 4

    layer = by_place(trace(FLOAT32, spoiled(tmp_path, edit), X))["FULLY_CONNECTED #1"]
    assert layer.saturated > 0.1
    assert layer.saturation_noise > 0.9
    assert layer.codes_used > 256


def test_conversions_at_the_ends_are_layers():
    places = [layer.place for layer in trace(FLOAT32, data("dense_int8_float_io"), X)]
    assert places[0] == "QUANTIZE #0"
    assert places[-1].startswith("DEQUANTIZE #")


def test_a_wrong_zero_point_of_the_input_is_the_inputs(tmp_path):
    path = spoiled(tmp_path, lambda file: np.copyto(file.zero_points(file.graph.inputs[0]), 120))
    assert trace(FLOAT32, path, X)[0].severity > 0.05


def test_nan_is_where_it_arises(tmp_path):
    def edit(file):
        file.codes(file.weights("FULLY_CONNECTED #1"))[1] = np.nan

    found = by_place(trace(FLOAT32, spoiled(tmp_path, edit, "dense_float32"), X))
    assert found["FULLY_CONNECTED #1"].nonfinite == 24
    assert found["FULLY_CONNECTED #1"].severity == math.inf
    assert found["FULLY_CONNECTED #0"].nonfinite == 0
    assert found["SOFTMAX #2"].nonfinite == 0


def test_several_inputs_go_by_their_names():
    x = {"left": np.ones((4, 3), np.float32), "right": np.linspace(0, 1, 8, dtype=np.float32).reshape(4, 2)}
    found = trace(data("two_in_two_out_float32"), data("two_in_two_out_int8"), x)
    assert sum(layer.place.startswith("input ") for layer in found) == 2
    assert all(layer.severity < 0.02 for layer in found)


def test_another_network_has_no_layer_in_common(tmp_path):
    other = tmp_path / "other.tflite"
    other.write_bytes(identity_like("TANH", (1, 6)))
    with pytest.raises(ModelError, match="no layer"):
        trace(FLOAT32, other, X)


@pytest.mark.parametrize(
    ("tensor", "name"),
    [
        ("net_1/conv_1/Relu;net_1/bn_1/add", "conv_1"),
        ("net_1/project_BN_1/batchnorm/add_1;x", "project_BN_1"),
        ("PartitionedCall:0", "PartitionedCall:0"),
    ],
)
def test_the_sources_name_for_a_layer(tensor, name):
    assert dataclasses.replace(trace(FLOAT32, INT8, X[:1])[1], tensor=tensor).name == name


def test_layers_need_not_run_alone_for_the_drift():
    def noise(layers):
        return [(layer.place, layer.sqnr_db) for layer in layers]

    assert noise(trace(FLOAT32, INT8, X, alone=False)) == noise(trace(FLOAT32, INT8, X))


def test_drift_is_the_noise_of_each_layer_in_the_order_of_the_graph():
    found = drift(trace(FLOAT32, INT8, X))
    assert [name for name, _ in found] == [layer.name for layer in trace(FLOAT32, INT8, X)]
    assert all(db is not None and 10 < db < 60 for _, db in found)
    assert {db for _, db in drift(trace(FLOAT32, FLOAT32, X))} == {None}


def test_drift_rides_on_the_noise_of_the_outputs():
    noise = Measurement("sqnr_db", 30.0, evidence={"worst": 3})
    assert beside(noise, (("a", 40.0),)).evidence == {"worst": 3, "layers": (("a", 40.0),)}
    assert beside(noise, ()) is noise
