from dataclasses import replace

import pytest

from liteproof.checks import Verdict
from liteproof.errors import LiteproofError, UsageError
from liteproof.report.recommendation import FALLBACK, choose, file_of, lines, recommendations
from liteproof.report.results import verdicts_of
from liteproof.store import Store
from tests.report import check, results

SIZES = {"float32": 400, "float16": 200, "dynamic_range": 110, "int8": 100, "int8_float_io": 105, "int4": 60}


def run(verdicts=None, prefer="smallest", sizes=None, **metrics):
    """Every variant accepted but those that `verdicts` names; metrics: name → variant → value."""
    sizes = sizes or SIZES
    verdicts = verdicts or {}
    checks = [
        replace(check(verdict=verdicts.get(variant, Verdict.PASS)), variant=variant) for variant in sizes
    ] + [
        replace(check(metric, value, None, None), variant=variant)
        for metric, values in metrics.items()
        for variant, value in values.items()
    ]  # fmt: skip
    found = results(*checks)
    variants = {v: {"recipe": v, "bytes": size, "sha256": "0" * 64} for v, size in sizes.items()}
    model = {**found.models["digits"], "prefer": prefer, "variants": variants}
    return replace(found, models={"digits": model}, verdicts=verdicts_of(found.checks))


def recommended(*arguments, **options):
    (found,) = recommendations(run(*arguments, **options))
    return found


def test_smallest_that_is_accepted():
    assert recommended().variant == "int4"
    found = recommended({"int4": Verdict.FAIL})
    assert (found.variant, found.rejected) == ("int8", (("int4", Verdict.FAIL),))
    assert found.then == ("int8_float_io", "dynamic_range", "float16", "float32")


@pytest.mark.parametrize("accepted", range(len(FALLBACK)))
def test_when_the_first_is_rejected_the_next_of_the_fallback_order_follows(accepted):
    sizes = {name: SIZES[name] for name in FALLBACK}
    found = recommended(dict.fromkeys(FALLBACK[:accepted], Verdict.FAIL), sizes=sizes)
    assert found.variant == FALLBACK[accepted]
    assert found.then == FALLBACK[accepted + 1 :]


def test_fallback_order_decides_where_the_preference_cannot():
    assert recommended(prefer="fastest").variant == "int8"
    assert recommended(prefer="fastest").because is None
    assert recommended(sizes=dict.fromkeys(SIZES, 100)).variant == "int8"


def test_fastest_by_the_median_on_that_target():
    times = {"float32": 2.0, "int8": 3.0, "float16": 1.5}
    found = recommended(prefer="fastest", latency_p50_ms=times)
    assert (found.variant, found.because) == ("float16", "fastest: latency_p50_ms 1.500 ms")
    assert recommended({"float16": Verdict.FAIL}, prefer="fastest", latency_p50_ms=times).variant == "float32"


def test_most_accurate_by_labels_then_by_agreement():
    found = recommended(prefer="most-accurate", accuracy={"int8": 0.98, "float16": 0.99})
    assert (found.variant, found.because) == ("float16", "most-accurate: accuracy 0.9900")
    assert recommended(prefer="most-accurate").because == "most-accurate: top1_agreement 0.9900"


def test_provisional_is_accepted_and_told():
    found = recommended({"int4": Verdict.PROVISIONAL})
    assert found.variant == "int4"
    assert "PROVISIONAL" in found.line


def test_nothing_accepted_is_nothing_to_ship(tmp_path):
    found = run(dict.fromkeys(SIZES, Verdict.FAIL))
    assert lines(found) == ["digits on host: ship nothing: no variant was accepted"]
    with pytest.raises(LiteproofError, match="ship nothing") as raised:
        file_of(found, tmp_path, choose(found, None, None), Store(tmp_path))
    assert not isinstance(raised.value, UsageError)


def test_a_line_says_what_why_what_not_and_what_then():
    (line,) = lines(run({"int4": Verdict.FAIL}))
    assert line == (
        "digits on host: ship int8 (smallest: 100 B); rejected before it: int4 FAIL; "
        "then int8_float_io → dynamic_range → float16 → float32"
    )


def test_a_run_that_was_cut_off_recommends_nothing():
    found = run()
    assert lines(replace(found, run=replace(found.run, complete=False))) == []


def test_an_older_run_without_a_preference_means_the_smallest():
    found = run()
    del found.models["digits"]["prefer"]
    assert recommendations(found)[0].prefer == "smallest"


def test_choose_wants_one():
    found = run()
    assert choose(found, None, None).target == "host"
    with pytest.raises(UsageError, match="no recommendation fits"):
        choose(found, None, "pi")
    two = replace(found, targets={**found.targets, "pi": {}},
                  verdicts={"digits": {"int8": {"host": Verdict.PASS, "pi": Verdict.PASS}}})  # fmt: skip
    with pytest.raises(UsageError, match="several"):
        choose(two, "digits", None)
    assert choose(two, "digits", "pi").variant == "int8"


def test_the_file_is_in_the_store(tmp_path):
    store = Store(tmp_path / "store")
    entry = store.put("k", b"TFL3", suffix=".tflite")
    found = run()
    found.models["digits"]["variants"]["int4"]["sha256"] = entry.sha256
    assert file_of(found, tmp_path, choose(found, None, None), store) == entry.path
    entry.path.write_bytes(b"damaged")
    with pytest.raises(UsageError, match="no longer in the store"):
        file_of(found, tmp_path, choose(found, None, None), store)
