"""What the caller's process loads for a conversion that is not needed, or that others do."""

import json
import subprocess
import sys

import pytest

HEAVY = {"tensorflow", "keras", "litert_quantizer", "ai_edge_litert", "rich", "h5py", "numpy"}


@pytest.mark.parametrize("module", ["conversion", "progress", "tasks", "process"])
def test_the_callers_side_imports_nothing_heavy(module):
    code = f"import liteproof.convert.{module}, sys, json; print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert {name.partition(".")[0] for name in json.loads(done.stdout)} & HEAVY == set()


@pytest.mark.parametrize("module", ["litert_recipes", "reference", "data", "sources", "tensorflow_recipes", "worker"])
def test_a_workers_modules_import_tensorflow_only_when_they_need_it(module):
    code = f"import liteproof.convert.{module}, sys, json; print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert loaded & {"tensorflow", "keras", "litert_quantizer", "ai_edge_litert"} == set()
