"""A run with a warm store imports no TensorFlow, no Keras and no quantizer, in whatever process."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ("tensorflow", "keras", "tf_keras", "litert_quantizer")


@pytest.fixture
def watched(tmp_path, monkeypatch):
    """Every process of a run that imports one of the heavy packages leaves a trace, and fails."""
    trace = tmp_path / "trace.txt"
    for name in HEAVY:
        (tmp_path / "heavy" / name).mkdir(parents=True)
        (tmp_path / "heavy" / name / "__init__.py").write_text(
            f"open({str(trace)!r}, 'a').write('{name}\\n'); raise ImportError('heavy')"
        )

    def watch():
        monkeypatch.setenv("PYTHONPATH", str(tmp_path / "heavy"), prepend=os.pathsep)
        return trace

    return watch


@pytest.mark.slow
def test_second_run_of_a_keras_model_imports_no_tensorflow(gate, watched, tmp_path):
    options = (f"--models={ROOT / 'models' / 'digits'}", "-m", "not timing")
    first = gate(*options, models=False)
    assert first.status == 0, first.text
    trace = watched()
    second = gate(*options, models=False)
    assert second.status == 0, second.text
    assert not trace.exists(), trace.read_text()
    assert "converted" not in second.text
    assert [c["value"] for c in second.results["checks"]] == [c["value"] for c in first.results["checks"]]


@pytest.mark.slow
def test_the_trace_shows_what_a_cold_run_imports(gate, watched, tiny, tmp_path, monkeypatch):
    """The test above can fail: a run that has to convert leaves a trace."""
    monkeypatch.setenv("LITEPROOF_STORE", str(tmp_path / "cold"))
    tiny().joinpath("model.toml").write_text(
        (tmp_path / "models" / "tiny" / "model.toml").read_text() + "[variants.dynamic_range]\ntoolchain = 'litert'\n"
    )
    trace = watched()
    run = gate("-m", "not timing", "--variant=dynamic_range")
    assert run.status == 1
    assert "litert_quantizer" in trace.read_text()
