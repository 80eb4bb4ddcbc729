"""input_scale, input_offset, input_names, output_names: what they may say, and of which variant."""

import pytest

from liteproof.errors import UsageError
from liteproof.manifest.interface import read_interface
from liteproof.manifest.place import Place
from liteproof.manifest.schema import VariantTable
from liteproof.plan import InputDomain
from liteproof.recipes import RECIPES

PLACE = Place("model.toml", "variants.it")


def read(inputs=("x",), recipe="uint8", **keys):
    return read_interface(VariantTable(**keys), RECIPES[recipe], list(inputs), PLACE)


def test_nothing_said_is_the_sources_own_domain():
    assert read() == {"domains": {}, "input_names": {}, "output_names": {}}


def test_one_number_serves_a_model_of_one_input():
    assert read(input_scale=255)["domains"] == {"x": InputDomain((255.0,), (0.0,))}
    assert read(input_offset=-1)["domains"] == {"x": InputDomain((1.0,), (-1.0,))}


def test_several_inputs_take_a_table():
    found = read(("left", "right"), input_scale={"left": 2, "right": [1, 3]})
    assert found["domains"] == {"left": InputDomain((2.0,)), "right": InputDomain((1.0, 3.0))}


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"input_scale": 0}, "finite numbers other than 0"),
        ({"input_scale": float("inf")}, "finite numbers other than 0"),
        ({"input_scale": []}, "finite numbers"),
        ({"input_offset": float("nan")}, "finite numbers"),
        ({"input_scale": {"y": 2}}, "names 'y'"),
        ({"input_scale": 2, "inputs": ("left", "right")}, "{ left = 2 }"),
        ({"input_scale": [1, 2], "input_offset": [1, 2, 3]}, "as many in both"),
        ({"input_scale": 2, "recipe": "float16"}, "float16 has float inputs"),
        ({"input_names": {"x": "a"}}, "input_names in [variants.it] beside no file"),
        ({"output_names": {"x": "a"}}, "output_names in [variants.it] beside no file"),
        ({"input_names": {"z": "a"}, "file": "a.tflite"}, "names 'z'"),
    ],
)
def test_refused(keys, said):
    with pytest.raises(UsageError) as refused:
        read(**keys)
    assert said in str(refused.value)


def test_a_file_of_any_recipe_may_say_how_it_is_fed():
    assert read(recipe="float32", file="a.tflite", input_scale=255)["domains"]
