"""Which limit holds where, and which budgets are mistakes."""

import pytest

from liteproof.checks import METRICS
from liteproof.manifest.schema import RESERVED_METRICS
from liteproof.recipes import RECIPES


@pytest.fixture
def targets(repository):
    (repository.root / "targets.toml").write_text("[pi]\n[zero]\n")


def test_the_later_one_wins(repository, model, targets):
    """recipe's default < [budgets] < [budgets.all.TARGET] < [budgets.VARIANT] < [budgets.VARIANT.TARGET]"""
    default = RECIPES["int8"].budgets["top1_agreement"]
    levels = ["", "[budgets]", "[budgets.all.pi]", "[budgets.int8]", "[budgets.int8.pi]"]
    seen = []
    for number, table in enumerate(levels):
        if table:
            model.add(f"{table}\ntop1_agreement = 0.{number}\n")
        seen.append((repository.limits("int8", "pi")["top1_agreement"], repository.limits("int8")["top1_agreement"]))
    assert seen == [(default, default), (0.1, 0.1), (0.2, 0.1), (0.3, 0.3), (0.4, 0.3)]


def test_tables_bind_only_what_they_name(repository, model, targets):
    model.add("[budgets.int8.pi]\nlatency_p95_ms = 70\n[budgets.all.zero]\nlatency_p50_ms = 9.5\n")
    assert repository.limits("int8", "pi")["latency_p95_ms"] == 70.0
    assert "latency_p95_ms" not in repository.limits("int8", "zero")
    assert "latency_p95_ms" not in repository.limits("float32", "pi")
    assert repository.limits("float32", "zero")["latency_p50_ms"] == 9.5


def test_defaults_of_metrics_and_recipes_hold_where_they_apply(repository):
    int8, float32 = repository.limits("int8"), repository.limits("float32")
    assert int8["loads"] == 1.0
    assert int8["io_mismatch"] == 0.0  # its twin is int8_float_io
    assert not {"io_mismatch", "saturation", "roundtrip_error_lsb"} & float32.keys()
    assert float32["top1_agreement"] == RECIPES["float32"].budgets["top1_agreement"]


def test_a_defaulted_metric_is_left_out_where_it_cannot_apply(repository, model):
    model.replace("[variants.int8_float_io]\n", "")
    assert "io_mismatch" not in repository.limits("int8")


def test_there_is_no_default_size_ratio_before_there_is_a_float32_file(repository):
    assert "size_ratio" not in repository.limits("int8")


def test_regression_budgets_of_a_variant_come_before_those_of_all(repository, model):
    model.add(
        "[budgets]\nregression = { top1_agreement = 0.01, size_ratio = 0.1 }\n"
        "[budgets.int8]\nregression = { top1_agreement = 0.002 }\n"
    )
    assert repository.variant("int8").regression == {"top1_agreement": 0.002, "size_ratio": 0.1}
    assert repository.variant("float32").regression == {"top1_agreement": 0.01, "size_ratio": 0.1}


@pytest.mark.parametrize(
    ("budgets", "found", "expected"),
    [
        ("[budgets]\ntop1_agrement = 0.9", "unknown metric 'top1_agrement' in [budgets]", "nearest: 'top1_agreement'"),
        ("[budgets.int8]\nfoo = 1", "unknown metric 'foo' in [budgets.int8]", "one of the metrics: loads,"),
        ("[budgets]\ntop1_agreement = 1.1", "top1_agreement = 1.1 in [budgets] is impossible", "at most 1"),
        ("[budgets.int8]\ntop1_agreement = 1.1", "1.1 in [budgets.int8] is impossible", "at most 1"),
        ("[budgets]\nsize_ratio = -1", "size_ratio = -1 in [budgets] is impossible", "at least 0"),
        ("[budgets]\nsize_ratio = nan", "size_ratio = nan in [budgets] is impossible", "not a finite number"),
        ("[budgets]\nsize_bytes = 1" + "0" * 400, "is impossible", "inf is not a finite number"),
        ('[budgets]\nsize_ratio = "small"', 'size_ratio = "small" in [budgets] is a string', "a number"),
        ("[budgets]\nsize_ratio = true", "size_ratio = true in [budgets] is a boolean", "a number"),
        ("[budgets]\nsize_ratio = { int8 = 1 }", "size_ratio = { int8 = 1 } in [budgets] is a table", "a number"),
        ("[budgets]\nint8 = 0.9", "int8 = 0.9 in [budgets] is a number", "a table: [budgets.int8]"),
        ("[budgets.int9]\nsize_ratio = 0.5", "[budgets.int9] names no variant", "nearest: 'int8'"),
        ("[budgets.pi]\nsize_ratio = 0.5", "[budgets.pi] names a target", "[budgets.all.pi]"),
        ("[budgets.all.pie]\nsize_ratio = 0.5", "[budgets.all.pie] names no target", "a target; nearest: 'pi'"),
        ("[budgets.int8.hots]\nsize_ratio = 0.5", "[budgets.int8.hots] names no target", "nearest: 'host'"),
        ("[budgets.all]\nsize_ratio = 0.5", "size_ratio = 0.5 in [budgets.all]", "stands in [budgets]"),
        ("[budgets]\nregression = 0.1", "regression = 0.1 in [budgets] is a number", "a table"),
        ("[budgets]\nregression = { top1 = 1 }", "unknown metric 'top1' in [budgets.regression]", "metrics"),
        ("[budgets]\nregression = { size_ratio = -1 }", "size_ratio = -1 in [budgets.regression]", "a number from 0"),
        ("[budgets.int8.pi]\nregression = {}", "regression in [budgets.int8.pi]", "[budgets.VARIANT]"),
        ("[[budgets]]", "budgets is an array", "[budgets]"),
    ],
)
def test_a_budget_that_means_nothing_is_refused(repository, model, targets, budgets, found, expected):
    model.add(f"{budgets}\n")
    message = repository.refused()
    assert found in message.splitlines()[0]
    assert expected in message.split("expected:")[1].splitlines()[0]
    assert "digits/model.toml" in message.split("where:")[1]


@pytest.mark.parametrize(
    ("table", "metric", "reason"),
    [
        ("budgets.float32", "saturation", "saturation needs integer inputs"),
        ("budgets.int8_float_io", "io_mismatch", "io_mismatch needs a variant of recipe int8_float_io"),
        ("budgets.float32.pi", "roundtrip_error_lsb", "needs integer inputs"),
    ],
)
def test_a_budget_may_not_name_a_variant_to_which_it_cannot_apply(repository, model, targets, table, metric, reason):
    model.add(f"[{table}]\n{metric} = 0.5\n")
    message = repository.refused()
    assert f"{metric} in [{table}] cannot apply to '{table.split('.')[1]}'" in message
    assert reason in message


def test_a_budget_for_all_holds_where_it_applies(repository, model):
    model.add("[budgets]\nsaturation = 0.3\n")
    assert repository.limits("int8")["saturation"] == 0.3
    assert "saturation" not in repository.limits("float32")


def test_a_budget_for_all_that_applies_to_none_is_refused(repository, model):
    model.arrays("evaluation", x=[[[[0.0]] * 8] * 8])
    model.add("[budgets]\naccuracy_drop = 0.01\n")
    message = repository.refused()
    assert "accuracy_drop in [budgets] cannot apply to any variant" in message
    assert "the evaluation set has no array y" in message


def test_a_metric_of_another_task_is_refused(repository, model):
    model.replace('task = "classification"', 'task = "regression"')
    model.add("[budgets]\ntop1_agreement = 0.9\n")
    assert "top1_agreement has no meaning for a regression model" in repository.refused()


@pytest.mark.parametrize("task", ["classification", "binary", "regression"])
def test_every_default_applies_to_its_task(repository, model, task):
    model.replace('"classification"', f'"{task}"')
    model.arrays("evaluation", x=[[[[0.0]] * 8] * 8] * 4, y=[0, 1, 1, 0])
    assert all(task in METRICS[metric].tasks for metric in repository.limits("int8"))


def test_a_metric_that_nothing_measures_yet_gates_nothing_and_is_refused(repository, model):
    for metric in sorted(RESERVED_METRICS - METRICS.keys()):
        model.add(f"[budgets.int8]\n{metric} = 1\n")
        assert f"{metric} in [budgets.int8] is not measured by this version" in repository.refused()
        model.replace(f"[budgets.int8]\n{metric} = 1\n", "")


def test_narrowing_a_run_does_not_change_what_a_budget_may_name(repository, model):
    model.add("[budgets.int8]\nsize_ratio = 0.4\n")
    assert [v.name for v in repository.load(variant_names=["float32"]).models[0].variants] == ["float32"]
