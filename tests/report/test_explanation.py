import io
import json

import numpy as np
import pytest

from liteproof.measure.diagnosis import diagnose
from liteproof.recipes import RECIPES
from liteproof.report import explanation
from tests.measure.models import data
from tests.measure.spoil import Spoiled

X = np.random.default_rng(1).normal(size=(8, 6)).astype(np.float32)


@pytest.fixture
def found(tmp_path):
    """A file with one filter negated, and NaN nowhere."""
    file = Spoiled(data("dense_int8").read_bytes())
    file.by_channel("FULLY_CONNECTED #1")[1] *= -1
    path = file.write(tmp_path / "spoiled.tflite")
    return diagnose(data("dense_float32"), path, X, RECIPES["int8"])


def shown(found, width=80):
    out = io.StringIO()
    explanation.show(found, out, title="tiny / int8", samples=8, width=width, color=False)
    return out.getvalue()


def test_it_fits_80_columns(found):
    assert max(map(len, shown(found).splitlines())) <= 80


@pytest.mark.parametrize("width", [80, 120])
def test_the_spoiled_layer_is_the_first_row_and_is_explained(found, width):
    text = shown(found, width)
    rows = text[text.index("SQNR") :].splitlines()
    assert rows[1].startswith("FULLY_CONNECTED #1")
    assert "1. FULLY_CONNECTED #1" in text
    assert "likely cause: weight" in " ".join(text.split())
    assert "what helps: convert again" in " ".join(text.split())


def test_no_number_is_cut(found):
    row = next(line for line in shown(found).splitlines() if line.startswith("SOFTMAX"))
    assert "…" not in row.replace(row.split()[2], "", 1)


def test_it_says_which_path_it_looks_at(found):
    assert "XNNPACK switched off" in shown(found)


def test_many_layers_are_cut_with_a_word(found):
    text = shown(found * 10)
    assert f"… and {len(found) * 10 - explanation.ROWS} more layers" in text


def test_a_healthy_file_says_that_nothing_stands_out():
    healthy = diagnose(data("dense_float32"), data("dense_int8"), X, RECIPES["int8"])
    assert "no layer stands out" in shown(healthy)


def test_brackets_in_names_are_no_markup(found):
    assert "[1, 4]" in shown(found)


def test_the_document_is_plain_json(found, tmp_path):
    file = Spoiled(data("dense_float32").read_bytes())
    file.codes(file.weights("FULLY_CONNECTED #1"))[0] = np.nan
    bad = diagnose(data("dense_float32"), file.write(tmp_path / "nan.tflite"), X, RECIPES["float32"])
    for findings in (found, bad):
        written = explanation.document(findings, model="tiny", variant="int8", samples=8, runtime="r")
        assert json.loads(json.dumps(written, allow_nan=False)) == written
        assert len(written["layers"]) == len(findings)
        assert written["layers"][0]["layer"] == "FULLY_CONNECTED #1"
