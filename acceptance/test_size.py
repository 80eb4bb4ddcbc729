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
