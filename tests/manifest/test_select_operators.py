"""The key `select_tf_ops`: what it changes, and where it means nothing."""

import pytest

from liteproof.errors import UsageError
from liteproof.manifest import keys
from liteproof.manifest.place import Place
from liteproof.manifest.schema import VariantTable
from liteproof.manifest.select_operators import for_float32, options
from liteproof.recipes import RECIPES

PLACE = Place("model.toml", "variants.int8")
ALLOWED, PLAIN = VariantTable(select_tf_ops=True), VariantTable()
OPTION = {"select_tf_ops": True}


def test_it_is_an_option_of_what_is_made():
    assert options(ALLOWED, RECIPES["int8"], "tensorflow", PLACE) == OPTION
    assert options(PLAIN, RECIPES["int8"], "tensorflow", PLACE) == {}
    assert options(VariantTable(file="a.tflite", select_tf_ops=True), RECIPES["int8"], None, PLACE) == OPTION


@pytest.mark.parametrize(
    ("recipe", "toolchain", "said"),
    [("int8", "litert", "starts from the float32 file"), ("qat_int8", "tensorflow", "trained further")],
)
def test_where_it_means_nothing_it_is_refused(recipe, toolchain, said):
    with pytest.raises(UsageError, match=said):
        options(ALLOWED, RECIPES[recipe], toolchain, PLACE)


@pytest.mark.parametrize(
    ("variants", "may"),
    [
        ({"int8": PLAIN}, False),
        ({"int8": ALLOWED}, True),
        ({"float32": PLAIN, "int8": ALLOWED}, False),
        ({"float32": ALLOWED, "int8": PLAIN}, True),
        ({"mine": VariantTable(recipe="float32", select_tf_ops=True), "int8": PLAIN}, True),
        ({"int8": VariantTable(file="a.tflite", select_tf_ops=True)}, False),
    ],
)
def test_the_float32_file_follows_its_own_variant_or_any_other(variants, may):
    assert for_float32(variants) is may


def test_it_decides_keys():
    plain, allowed = keys.Source("h5", "ab" * 32), keys.Source("h5", "ab" * 32, select_tf_ops=True)
    assert keys.float32_key(plain) != keys.float32_key(allowed)
    assert keys.float32_key(allowed) == keys.variant_key(plain, "float32", "tensorflow", None, OPTION)
    for toolchain, same in (("litert", False), ("tensorflow", True)):
        made = [keys.variant_key(source, "int8", toolchain, None, {}) for source in (plain, allowed)]
        assert (made[0] == made[1]) is same
