import pickle

import pytest

from liteproof.errors import LiteproofError, ModelError, TargetError, Unmeasured, UsageError


def test_message_has_one_shape():
    error = UsageError("3 samples", expected="at least 10", where="x.npz", next="add samples")
    assert str(error).splitlines() == [
        "3 samples",
        "  expected: at least 10",
        "  where:    x.npz",
        "  next:     add samples",
    ]


def test_parts_that_are_not_given_leave_no_line():
    assert str(ModelError("broken")) == "broken"


@pytest.mark.parametrize("kind", [UsageError, ModelError, TargetError, Unmeasured])
def test_errors_survive_pickling_between_processes(kind):
    error = kind("found", expected="expected", where="where", next="next")
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert type(copy) is kind
    assert str(copy) == str(error)


def test_every_kind_is_a_liteproof_error():
    assert all(issubclass(kind, LiteproofError) for kind in (UsageError, ModelError, TargetError, Unmeasured))
