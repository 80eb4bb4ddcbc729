import io
import json
from dataclasses import replace

import pytest

from liteproof.checks import Verdict
from liteproof.cli import main
from liteproof.errors import UsageError
from liteproof.report import comparison, markdown, terminal
from liteproof.report.results import encode
from tests.report import check, large, results


def flipped(*samples, value=0.99):
    flips = {f"{source}→{ours}": 1 for _, source, ours in samples}
    return check(value=value, evidence={"flips": flips, "flipped": [list(sample) for sample in samples]})


def compared(before, after):
    return comparison.between_runs(results(before), results(after))


def test_a_worse_value_and_verdict():
    change = compared(check(value=0.99), check(value=0.9, verdict=Verdict.FAIL)).changes[0]
    assert comparison.row(change)[3:] == ("0.9900", "0.9000", "↓ -0.0900 worse", "PASS → FAIL")


def test_better_is_by_the_metrics_direction():
    change = compared(check("accuracy_drop", 0.02), check("accuracy_drop", 0.01)).changes[0]
    assert (change.arrow, change.effect) == ("↓", "better")


@pytest.mark.parametrize(
    ("metric", "interval", "effect"),
    [
        ("latency_p50_ms", (4.0, 6.0), "within noise"),
        ("latency_p50_ms", (5.4, 6.0), "worse"),
        ("size_ratio", (4.0, 6.0), "worse"),
    ],
)
def test_only_times_are_noisy(metric, interval, effect):
    before = check(metric, 5.0, None, None, interval=(4.9, 5.1))
    assert compared(before, check(metric, 5.5, None, None, interval=interval)).changes[0].effect == effect


def test_times_and_sizes_tell_their_share():
    change = compared(check("size_ratio", 0.5, 0.6), check("size_ratio", 0.25, 0.6)).changes[0]
    assert comparison.difference(change) == "-0.250 (-50.0%)"


@pytest.mark.parametrize(
    ("metric", "before", "after", "effect"),
    [
        ("cosine_similarity", 1.0, 1 - 1e-16, "by rounding"),
        ("sqnr_db", 64.71, 64.69, "by rounding"),
        ("cosine_similarity", 0.99, 0.98, "worse"),
        ("top1_agreement", 0.99991, 0.99989, "worse"),
        ("size_bytes", 21736.0, 21740.0, "worse"),
    ],
)
def test_a_change_that_is_not_seen_in_the_values_is_neither_better_nor_worse(metric, before, after, effect):
    (change,) = comparison.changes([check(metric, before, None)], [check(metric, after, None)])
    assert change.effect == effect


def test_names_stay_whole_at_80_columns():
    sides = [results(check("calibration_accuracy_drop", value, 0.2)) for value in (0.01, 0.02)]
    stream = io.StringIO()
    terminal.show_comparison(comparison.between_runs(*sides), stream, width=80, color=False)
    assert "calibration_accuracy_drop" in stream.getvalue()
    assert max(map(len, stream.getvalue().splitlines())) <= 80


def test_equal_values_are_counted_only():
    found = compared(check(), check())
    assert (found.changes, found.unchanged) == ((), 1)


def test_a_value_that_is_no_longer_measured():
    change = compared(check(), check(value=None, verdict=Verdict.UNMEASURED)).changes[0]
    assert comparison.row(change)[3:] == ("0.9900", "—", "", "PASS → UNMEASURED")


def test_worst_comes_first():
    worse, better = check("accuracy", 0.9, None, None), check("accuracy_drop", 0.0, None, None)
    before = results(check(), check("accuracy", 0.95, None, None), check("accuracy_drop", 0.1, None, None))
    after = results(better, worse, check(value=0.9, verdict=Verdict.FAIL))
    found = comparison.between_runs(before, after).changes
    assert [change.metric for change in found] == ["top1_agreement", "accuracy", "accuracy_drop"]


def test_samples_that_two_sides_decide_differently():
    found = compared(flipped((3, "8", "3"), (5, "1", "7")), flipped((3, "8", "3"), (9, "4", "9")))
    assert found.flips[0].samples == ((5, "7", "1"), (9, "4", "9"))


def test_flips_that_were_not_all_kept_are_not_compared():
    cut = check(evidence={"flips": {"1→7": 2}, "flipped": [[3, "1", "7"]]})
    assert compared(cut, flipped((5, "1", "7"))).flips == ()


def test_outputs_apart_in_steps():
    before = check("max_abs_error", 0.1, None, None, evidence={"first_outputs": [0.0, 0.25], "output_step": 0.25})
    after = check("max_abs_error", 0.2, None, None, evidence={"first_outputs": [0.0, 0.75]})
    found = compared(before, after).outputs[0]
    assert (found.different, found.compared, found.largest, found.steps) == (1, 2, 0.5, 2.0)


def test_what_only_one_run_has_and_what_differs_is_told():
    before, after = large(("a",), variants=("int8", "int4")), large(("a",), variants=("int8",), seed=8)
    texts = comparison.caveats(comparison.between_runs(before, after))
    assert "only before: a / int4 / host" in texts
    assert "a: the evaluation set is not the same file in both runs" in texts


def test_targets_of_one_run():
    found = comparison.between_targets(large(targets=("host", "pi")), "host", "pi")
    assert (found.before, found.after) == ("host", "pi")
    assert {change.where for change in found.changes} == {"host → pi"}
    assert "machine: host x86_64, pi aarch64" in found.notes
    loads = next(change for change in found.changes if change.metric == "loads")
    assert (loads.variant, comparison.verdicts(loads)) == ("int4", "PASS → FAIL")


def test_unknown_target_names_those_there_are():
    with pytest.raises(UsageError, match="expected: one of host"):
        comparison.between_targets(results(), "host", "pi")


def test_since_accepted_needs_a_baseline():
    assert comparison.since_accepted(results()) == []


@pytest.mark.parametrize(("accepted", "effect"), [(0.97, "better"), (0.995, "worse")])
def test_since_accepted(accepted, effect):
    found = results(check(value=0.99))
    models = {"digits": {**found.models["digits"], "accepted": {"int8": {"host": {"top1_agreement": accepted}}}}}
    assert [c.effect for c in comparison.since_accepted(replace(found, models=models))] == [effect]


def test_both_renderings_tell_the_same():
    found = comparison.between_targets(large(targets=("host", "pi")), "host", "pi")
    stream = io.StringIO()
    terminal.show_comparison(found, stream, width=200, color=False)
    for text in (stream.getvalue(), markdown.comparison_document(found)):
        assert "PASS → UNMEASURED" in text
        assert comparison.summary(found) in text
        assert "x86_64" in text


def test_command(tmp_path, capsys):
    for name, value in (("a", 0.99), ("b", 0.98)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.json").write_bytes(encode(results(check(value=value))))
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "b"), "--markdown"]) == 0
    assert "| digits / int8 | host | top1\\_agreement |" in capsys.readouterr().out.replace("top1_", "top1\\_")
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "b")]) == 0
    assert "-0.0100" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["OTHER", "--targets", "host", "pi"]])
def test_command_wants_two_runs_or_two_targets(tmp_path, capsys, arguments):
    (tmp_path / "results.json").write_bytes(json.dumps({}).encode())
    assert main(["compare", str(tmp_path), *arguments]) == 4
    assert "RUN_A RUN_B, or RUN_A --targets A B" in capsys.readouterr().err
