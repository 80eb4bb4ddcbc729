import csv
import itertools

import pytest

from liteproof.errors import LiteproofError
from liteproof.measure.runtime import installed_runtimes, open_session
from liteproof.tflite import schema
from liteproof.tflite.op_versions import (
    FOUR_BIT_CONVOLUTION,
    TABLE,
    column_order,
    known_versions,
    lacking,
    needed,
    read_table,
)
from liteproof.tflite.reader import OperatorCode
from liteproof.tflite.single_operator import operator_list_model
from tests.tflite.networks import network

NUMBERS = {name: number for number, name in schema.names("BuiltinOperator").items()}


def fully_connected(version):
    return OperatorCode("FULLY_CONNECTED", version, custom=False)


def test_dense_layer_of_a_new_converter_is_refused_for_tflite_runtime():
    assert lacking(fully_connected(12), "tflite_runtime", "2.14.0") is True
    assert lacking(fully_connected(12), "ai_edge_litert", "2.3.0") is False
    assert lacking(fully_connected(9), "tflite_runtime", "2.14.0") is False


def test_known_versions():
    assert known_versions("FULLY_CONNECTED", "tflite_runtime", "2.14.0") == range(1, 11)
    assert not known_versions("DILATE", "tflite_runtime", "2.14.0")
    assert known_versions("FULLY_CONNECTED", "tflite_runtime", "2.99") is None


def test_operator_that_a_runtime_never_had():
    assert lacking(OperatorCode("CONCAT_EMBEDDINGS", 1, custom=False), "ai_edge_litert", "2.3.0") is True
    assert lacking(OperatorCode("BUILTIN_999", 1, custom=False), "ai_edge_litert", "2.3.0") is True


def test_custom_operators_are_not_in_question():
    assert lacking(OperatorCode("FlexErf", 1, custom=True), "ai_edge_litert", "2.3.0") is False


@pytest.mark.parametrize(
    ("release", "version", "answer"),
    [
        ("2.1.4", 14, False),  # 2.1.0 has it
        ("1.4.2", 14, True),  # 2.0.3 has it not, so no older one has
        ("0.9", 14, True),  # what 1.0.1 has not, no older release has
        ("0.9", 5, None),  # older than all that were asked
        ("9.0", 14, False),  # newer releases have what 2.3.0 has
        ("9.0", 99, None),  # and may have more
        ("2.3.0.dev20270101", 14, False),
    ],
)
def test_releases_beside_the_table_are_judged_by_their_neighbours(release, version, answer):
    assert lacking(fully_connected(version), "ai_edge_litert", release) is answer


def test_release_between_two_that_differ_cannot_be_told():
    # 2.0.3 has it up to 13, 2.1.0 up to 14.
    assert lacking(fully_connected(14), "ai_edge_litert", "2.0.9") is None


def test_unknown_runtime_cannot_be_told():
    assert lacking(fully_connected(1), "another_runtime", "1.0") is None


def test_newer_releases_have_all_that_older_ones_have():
    table = read_table()
    names = sorted(table, key=column_order)
    for older, newer in itertools.pairwise(names):
        if column_order(older)[0] != column_order(newer)[0]:
            continue
        for operator, versions in table[older].items():
            low, high = map(int, versions.split("-"))
            new_low, new_high = map(int, table[newer][operator].split("-"))
            assert new_low <= low, (operator, newer)
            assert high <= new_high, (operator, newer)


def test_table_names_operators_of_the_schema():
    with TABLE.open(newline="") as file:
        assert {row["operator"] for row in csv.DictReader(file)} <= NUMBERS.keys() | {FOUR_BIT_CONVOLUTION}


@pytest.mark.parametrize(
    ("recipe", "versions"),
    [
        ("float32", {"CONV_2D": 1, "DEPTHWISE_CONV_2D": 1, "FULLY_CONNECTED": 1}),
        ("float16", {"CONV_2D": 1, "DEPTHWISE_CONV_2D": 1, "FULLY_CONNECTED": 1}),
        ("dynamic_range", {"CONV_2D": 5, "DEPTHWISE_CONV_2D": 6, "FULLY_CONNECTED": 12}),
        ("int8", {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 4}),
        ("int4", {"CONV_2D": 1, "DEPTHWISE_CONV_2D": 1, "FULLY_CONNECTED": 1, FOUR_BIT_CONVOLUTION: 1}),
    ],
)
def test_versions_that_types_and_scales_imply(recipe, versions):
    # The network lists version 1 of everything, as LiteRT Quantizer does.
    found = {code.name: code.version for code in needed(network(recipe))}
    assert versions.items() <= found.items()
    assert (FOUR_BIT_CONVOLUTION in found) == (recipe == "int4")


@pytest.mark.parametrize(
    ("runtime", "release", "answer"),
    [("tflite_runtime", "2.14.0", True), ("ai_edge_litert", "1.0.1", True), ("ai_edge_litert", "2.3.0", False)],
)
def test_four_bit_convolutions_are_refused_where_they_compute_nonsense(runtime, release, answer):
    assert lacking(OperatorCode(FOUR_BIT_CONVOLUTION, 1, custom=False), runtime, release) is answer


def takes(runtime, operator, version):
    try:
        open_session(operator_list_model(NUMBERS[operator], version=version), runtime=runtime)
    except LiteproofError:
        return False
    return True


@pytest.mark.parametrize("runtime", ["ai_edge_litert", "tflite_runtime"])
def test_table_is_what_the_installed_runtime_answers(runtime):
    release = installed_runtimes().get(runtime)
    column = read_table().get(f"{runtime} {release}")
    if column is None:
        pytest.skip(f"the table has no {runtime} {release}")
    for operator, versions in column.items():
        if operator == FOUR_BIT_CONVOLUTION:
            continue
        low, high = map(int, versions.split("-"))
        answers = [takes(runtime, operator, version) for version in (low - 1, low, high, high + 1)]
        assert answers[1:] == [True, True, False], (operator, versions)
        assert answers[0] is False or low == 1, (operator, versions)
