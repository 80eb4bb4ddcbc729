"""Nothing confidential gets into a report, and nothing else is touched."""

from dataclasses import replace

import pytest

from liteproof.report.results import decode, encode
from liteproof.report.secrets import Mask, masked
from tests.report import large

RESULTS = large()
MASK = Mask(home="/home/ada", environment={"CI_JOB_TOKEN": "abcdefgh12345", "PATH": "/usr/bin", "X_KEY": "short"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/home/ada/reports", "~/reports"),
        ("/home/adam/reports", "/home/adam/reports"),
        ("no such file: '/home/ada'", "no such file: '~'"),
        ("git+https://ada@example.org/r.git", "git+https://…@example.org/r.git"),
        ("https://ada:p%40ss@example.org", "https://…@example.org"),
        ("https://example.org/x?token=abc&y=1", "https://example.org/x?token=…&y=1"),
        ("--api-key=abc --variant=int8", "--api-key=… --variant=int8"),
        ("curl -H 'Bearer abcdefgh.ijkl'", "curl -H 'Bearer …'"),
        ("ghp_0123456789abcdefABCDEF0123456789abcd", "…"),
        ("it is abcdefgh12345 here", "it is … here"),
    ],
)
def test_masked(text, expected):
    assert MASK(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "model/dense/BiasAdd;keras_tensor_1",
        "3d8f3b7f0a5e1c9d4b6a8e7f0c1d2e3f4a5b6c7d8e9f0a1b2c3d4e5f6a7b8c9d",
        "acceptance/test_agreement.py::test_top1_agreement[digits-int8-host]",
        "top1_agreement 0.9213, limit ≥ 0.9700, missed by 0.0487",
        "sample 12: tulip → rose",
    ],
)
def test_what_is_not_confidential_stays(text):
    assert MASK(text) == text


def test_results_without_secrets_are_the_same_document():
    assert encode(masked(RESULTS, MASK)) == encode(RESULTS)


def test_a_header_with_a_scheme_is_masked_whole():
    assert "abcdefgh" not in MASK("Authorization: Bearer abcdefgh.ijkl")


def test_every_part_is_masked():
    run = replace(RESULTS.run, command=("--models=/home/ada/m", "--report-dir=https://u:p@h/"))
    check = replace(
        RESULTS.checks[0],
        detail="cannot open /home/ada/x",
        causes=("abcdefgh12345",),
        next="liteproof explain /home/ada/x",
        evidence={"at": [{"/home/ada": "abcdefgh12345"}]},
    )
    text = encode(masked(replace(RESULTS, run=run, checks=(check,)), MASK))
    assert decode(text)
    for secret in (b"ada", b"abcdefgh", b"u:p"):
        assert secret not in text


@pytest.mark.parametrize("text", ["x" * 10**6, "token" * 10**5, "://" * 10**5, "Bearer " * 10**5, "/home/ada" * 10**5])
def test_long_texts_cost_no_more_than_their_length(text):
    # The square of a million would be hours.
    assert MASK(text)
