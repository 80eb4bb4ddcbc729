"""The file is as small as its recipe promises."""

import pytest

from liteproof.measure import size
from liteproof.measure.subject import Subject
from liteproof.plugin.fixtures import Check


@pytest.mark.measures("size_ratio", "source_size_ratio", "size_bytes")
def test_size(case: Subject, check: Check) -> None:
    """File bytes, and their ratio to the float32 variant's and to the source's."""
    check(size.size_ratio(case.file.bytes, case.float32.bytes))
    check(size.source_size_ratio(case.file.bytes, case.model.source.bytes))
    check(size.size_bytes(case.file.bytes))


@pytest.mark.measures("sparsity")
def test_is_pruned(case: Subject, check: Check) -> None:
    """As many weights are zero as pruning was asked for, in every layer that it takes."""
    check(size.sparsity(case.flatbuffer))


@pytest.mark.measures("compressed_ratio")
def test_size_when_packed(case: Subject, check: Check) -> None:
    """Zeros save nothing in the file itself; packed for a download they do."""
    check(size.compressed_ratio(case.file.path, case.float32.path))
