"""Times of an emulated processor are none."""

from types import SimpleNamespace

import pytest

from liteproof.checks import Measurement, Verdict
from liteproof.plan import Target
from liteproof.plugin.recording import EMULATED, Recorder
from tests.plugin.tiny import make_model


@pytest.fixture
def recorder(tmp_path):
    """A recorder of a test on some target, on a processor that is emulated or not."""
    from liteproof.manifest.resolve import load_plan
    from liteproof.plan import Case
    from liteproof.store import Store

    plan = load_plan([make_model(tmp_path / "tiny")], root=tmp_path, store=Store(tmp_path / "store"))
    model = plan.models[0]

    def make(emulated, *, rehearsal):
        stash = pytest.Stash()
        stash[EMULATED] = emulated
        path = tmp_path / "acceptance" / "test_latency.py"
        return Recorder(
            SimpleNamespace(
                config=SimpleNamespace(stash=stash),
                callspec=SimpleNamespace(
                    params={"case": Case(model, model.variants[0], Target("pi", ssh="pi", rehearsal=rehearsal))}
                ),
                path=path,
                nodeid="acceptance/test_latency.py::test_latency[x]",
                user_properties=[],
            )
        )

    return make


@pytest.mark.parametrize(
    ("emulated", "rehearsal", "verdict", "value"),
    [
        ("", False, Verdict.FAIL, 9.0),
        ("qemu", False, Verdict.UNMEASURED, None),
        ("qemu", True, None, 9.0),
        ("", True, None, 9.0),
    ],
)
def test_time_and_where_it_was_taken(recorder, emulated, rehearsal, verdict, value):
    found = recorder(emulated, rehearsal=rehearsal)
    found.record(Measurement("latency_p50_ms", 9.0), 5.0)
    (check,) = found.checks
    assert (check.verdict, check.value) == (verdict, value)


def test_other_metrics_mean_the_same_on_an_emulated_processor(recorder):
    found = recorder("qemu", rehearsal=True)
    found.record(Measurement("top1_agreement", 0.5), 0.9)
    assert found.checks[0].verdict is Verdict.FAIL
