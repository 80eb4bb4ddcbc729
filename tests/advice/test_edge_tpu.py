import stat
import sys

import pytest

from liteproof.advice import edge_tpu
from liteproof.errors import ModelError, TargetError

# What the real program prints (version 16.0), with its own words for what it leaves to the processor.
PRINTED = """Edge TPU Compiler version 16.0.384591198
Started a compilation timeout timer of 180 seconds.

Model compiled successfully in 1354 ms.

Input model: int8.tflite
Input size: 5.10MiB
Output model: int8_edgetpu.tflite
Output size: 6.28MiB
On-chip memory used for caching model parameters: 6.03MiB
On-chip memory remaining for caching model parameters: 1.21MiB
Off-chip memory used for streaming uncached model parameters: 41.75KiB
Number of Edge TPU subgraphs: 1
Total number of operations: 4
Operation log: int8_edgetpu.log

Model successfully compiled but not all operations are supported by the Edge TPU. A percentage of the model will instead run on the CPU, which is slower.
Number of operations that will run on Edge TPU: 2
Number of operations that will run on CPU: 2

Operator                       Count      Status

FULLY_CONNECTED                1          Mapped to Edge TPU
QUANTIZE                       1          Mapped to Edge TPU
QUANTIZE                       1          Operation is otherwise supported, but not mapped due to some unspecified limitation
TRANSPOSE                      1          Operation not supported
Compilation child process completed within timeout period.
Compilation succeeded!
"""  # noqa: E501


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Puts a program of the compiler's name on the PATH, which prints what it is told to."""

    def install(printed, status=0):
        program = tmp_path / "bin" / edge_tpu.PROGRAM
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!{sys.executable}\nimport sys\nprint({printed!r})\nsys.exit({status})\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", str(program.parent), prepend=":")

    return install


def test_what_was_mapped_is_read_from_the_programs_table(stand_in, tmp_path):
    stand_in(PRINTED)
    assert edge_tpu.installed()
    found = edge_tpu.compile_file(tmp_path / "int8.tflite")
    assert (found.mapped, found.operations, found.version, found.off_chip) == (2, 4, "16.0.384591198", "41.75KiB")
    assert found.left[1] == "1 TRANSPOSE (Operation not supported)"


@pytest.mark.parametrize(("printed", "status"), [("Invalid model: int8.tflite\nModel not quantized", 0), ("boom", 1)])
def test_a_file_that_it_refuses_is_the_models_fault(stand_in, tmp_path, printed, status):
    stand_in(printed, status)
    with pytest.raises(ModelError, match="refuses the file"):
        edge_tpu.compile_file(tmp_path / "int8.tflite")


def test_what_cannot_be_read_is_no_success(stand_in, tmp_path):
    stand_in("Edge TPU Compiler version 99")
    with pytest.raises(TargetError, match="no table of operators"):
        edge_tpu.compile_file(tmp_path / "int8.tflite")


def test_a_program_that_does_not_end_is_ended(stand_in, tmp_path, monkeypatch):
    stand_in("")
    program = tmp_path / "bin" / edge_tpu.PROGRAM
    program.write_text(f"#!{sys.executable}\nimport time\ntime.sleep(60)\n")
    monkeypatch.setattr(edge_tpu, "SECONDS", 0.5)
    with pytest.raises(TargetError, match="did not end"):
        edge_tpu.compile_file(tmp_path / "int8.tflite")
