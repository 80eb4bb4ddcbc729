import json
import math
from dataclasses import replace

import pytest

from liteproof.checks import Verdict
from liteproof.errors import UsageError
from liteproof.report.results import decode, encode, finite, read, verdicts_of
from tests.report import check, results


def test_round_trip():
    assert decode(encode(results())) == results()


def test_documented_keys():
    document = json.loads(encode(results()))
    assert list(document) == ["schema", "run", "targets", "models", "checks", "verdicts"]
    assert document["schema"] == "liteproof.results/1"
    assert {"model", "variant", "target", "suite", "metric", "value", "limit", "margin", "samples", "interval",
            "verdict", "test", "detail"} <= set(document["checks"][0])  # fmt: skip
    assert document["verdicts"] == {"digits": {"int8": {"host": "PASS"}}}


def test_case_verdict_is_its_worst():
    checks = [check(), check("accuracy", verdict=Verdict.PROVISIONAL), check("size_bytes", limit=None, verdict=None)]
    assert verdicts_of(checks)["digits"]["int8"]["host"] is Verdict.PROVISIONAL


def test_case_without_any_verdict_has_none():
    assert verdicts_of([check(limit=None, verdict=None)]) == {}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_null(value):
    document = json.loads(encode(results(finite(check(value=value, margin=value, interval=(0.0, value))))))
    assert document["checks"][0]["value"] is None
    assert document["checks"][0]["margin"] is None
    assert document["checks"][0]["interval"] is None


def test_read_takes_a_folder_or_a_file(tmp_path):
    (tmp_path / "results.json").write_bytes(encode(results()))
    assert read(tmp_path) == read(tmp_path / "results.json") == results()


@pytest.mark.parametrize("text", [b"", b"{}", b'{"schema": 3}', b"[]"])
def test_read_refuses_what_is_no_results_file(tmp_path, text):
    (tmp_path / "results.json").write_bytes(text)
    with pytest.raises(UsageError, match=r"not a results\.json"):
        read(tmp_path)


def test_read_refuses_another_schema(tmp_path):
    (tmp_path / "results.json").write_bytes(encode(replace(results(), schema="liteproof.results/9")))
    with pytest.raises(UsageError, match=r"liteproof\.results/9"):
        read(tmp_path)


def test_read_names_the_missing_file(tmp_path):
    with pytest.raises(UsageError, match="no results"):
        read(tmp_path / "none")
