"""Keras 2's words in Keras 3's: what is said otherwise, what is left out, and what has no other word."""

import pytest

from liteproof.convert.modern_config import modern
from liteproof.errors import ModelError


def layer(kind, *calls, **config):
    node = {"class_name": kind, "config": {"name": kind.lower(), **config}, "name": config.get("name", kind.lower())}
    return {**node, "inbound_nodes": list(calls)} if calls else node


def model(*layers, kind="Sequential", **more):
    return {"class_name": kind, "config": {"name": "model", "layers": list(layers), **more}}


def accepts(kind):
    return None if kind == "LocallyConnected1D" else frozenset({"units", "layer", "axis"})


def first(*layers, **more):
    return modern(model(*layers, **more), accepts)["config"]["layers"][-1]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"units": 3, "time_major": False, "groups": 1, "kernel_initializer": {"class_name": "Zeros"}}, {"units": 3}),
        ({"axis": [3], "renorm": False, "fused": True, "implementation": 2}, {"axis": 3}),
        ({"axis": [1, 2]}, {"axis": [1, 2]}),
        ({"dtype": {"class_name": "Policy", "config": {"name": "mixed_float16"}}}, {"dtype": "mixed_float16"}),
    ],
)
def test_settings_that_say_nothing_go(given, kept):
    assert first(layer("Thing", **given))["config"] == {"name": "thing", **kept}


@pytest.mark.parametrize("given", [{"time_major": True}, {"groups": 2}, {"renorm": True}])
def test_settings_that_say_something_are_refused(given):
    (key,) = given
    with pytest.raises(ModelError, match=f"its Thing has no setting {key}"):
        first(layer("Thing", **given))


def test_a_lambdas_bytecode_gets_a_node_of_its_own():
    given = {
        "function": ["4wEA", None, None],
        "function_type": "lambda",
        "module": "__main__",
        "output_shape_type": "raw",
    }
    node = modern(model(layer("Lambda", **given)), lambda _: frozenset({"function"}))["config"]["layers"][0]
    code = {"class_name": "__lambda__", "config": {"code": "4wEA", "defaults": None, "closure": None}}
    assert node["config"] == {"name": "lambda", "function": code}


def test_a_layer_that_is_gone_is_named_with_the_way_out():
    with pytest.raises(ModelError, match="it has no layer LocallyConnected1D") as refused:
        first(layer("LocallyConnected1D"))
    assert "liteproof[legacy]" in refused.value.next


def test_wrapped_layers_and_models_within_are_reached():
    inner = layer("Thing", time_major=False)
    assert "time_major" not in first(layer("TimeDistributed", layer=inner))["config"]["layer"]["config"]
    assert "time_major" not in first(model(inner))["config"]["layers"][0]["config"]


def test_names_lose_their_slashes_wherever_they_stand():
    graph = model(
        layer("InputLayer", name="in/put"), layer("Thing", [["in/put", 0, 0, {}]], name="a/b"),
        kind="Functional", input_layers=[["in/put", 0, 0]], output_layers=[["a/b", 0, 0]],
    )  # fmt: skip
    config = modern(graph, accepts)["config"]
    assert config["layers"][1]["inbound_nodes"] == [[["in_put", 0, 0, {}]]]
    assert (config["input_layers"], config["output_layers"]) == ([["in_put", 0, 0]], [["a_b", 0, 0]])
    assert graph["config"]["layers"][1]["config"]["name"] == "a/b"  # what was given stays as it was


@pytest.mark.parametrize(("kind", "output"), [("Sequential", 0), ("Functional", 1)])
def test_calls_of_a_model_within_are_counted_from_its_first_one(kind, output):
    within = {**model(layer("Thing"), kind=kind), "name": "model", "inbound_nodes": [[["x", 0, 0, {}]]]}
    graph = model(
        layer("InputLayer", name="x"), within, layer("Thing", [["model", 1, 0, {}]]),
        kind="Functional", output_layers=[["model", 1, 0]],
    )  # fmt: skip
    config = modern(graph, accepts)["config"]
    assert config["layers"][2]["inbound_nodes"] == [[["model", 0, 0, {}]]]
    assert config["output_layers"] == [["model", output, 0]]


def operation(function, call):
    node = layer("TFOpLambda", call, name=f"tf.{function}", function=function)
    return first(layer("InputLayer", name="x"), layer("InputLayer", name="z"), node, kind="Functional")


def tensor(name):
    return {
        "class_name": "__keras_tensor__",
        "config": {"shape": [None], "dtype": "float32", "keras_history": [name, 0, 0]},
    }


@pytest.mark.parametrize(
    ("function", "call", "kind", "args", "settings"),
    [
        ("math.truediv", ["x", 0, 0, {"y": 127.5, "name": None}], "TrueDivide", [tensor("x"), 127.5], {}),
        ("__operators__.add", ["x", 0, 0, {"y": ["z", 0, 0]}], "Add", [tensor("x"), tensor("z")], {}),
        ("math.subtract", ["_CONSTANT_VALUE", -1, 1.0, {"y": ["x", 0, 0]}], "Subtract", [1.0, tensor("x")], {}),
        ("nn.relu", ["x", 0, 0, {"name": None}], "Relu", [tensor("x")], {}),
        ("math.reduce_mean", ["x", 0, 0, {"axis": 1}], "Mean", [tensor("x")], {"axis": 1}),
        ("concat", [["x", 0, 0, {"axis": 1}], ["z", 0, 0, {"axis": 1}]], "Concatenate",
         [[tensor("x"), tensor("z")]], {"axis": 1}),
    ],
)  # fmt: skip
def test_tensorflow_functions_become_operations(function, call, kind, args, settings):
    node = operation(function, call)
    assert (node["class_name"], node["inbound_nodes"]) == (kind, [{"args": args, "kwargs": {}}])
    assert node["config"] == {"name": f"tf_{function.replace('.', '_')}", **settings}


def test_a_function_without_a_counterpart_is_named():
    with pytest.raises(ModelError, match=r"nothing for the TensorFlow function tf\.image\.resize"):
        operation("image.resize", ["x", 0, 0, {}])
