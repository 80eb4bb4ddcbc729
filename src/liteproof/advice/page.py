"""Advice as a terminal shows it, and as a program reads it.

>>> document_keys = ["schema", "source", "device", "needed", "answer", "convert"]
"""

from __future__ import annotations

import textwrap

from liteproof.advice.advice import Advice
from liteproof.advice.devices import size_text

HEADINGS = ("recipe", "file (est.)", "of float32", "memory (est.)", "")


def headline(advice: Advice) -> str:
    """The source in one line."""
    described = advice.described
    each = f"{described.bytes_per_parameter:.1f} bytes each" if described.parameters else "no parameters"
    return f"{advice.source}: {size_text(described.bytes)}, {described.parameters:,} parameters, {each}"


def rows(advice: Advice) -> list[tuple[str, ...]]:
    """A row for each recipe."""
    float32 = next(one.file for one in advice.estimates if one.recipe == "float32")
    return [
        (
            one.recipe,
            size_text(one.file),
            f"{one.file / float32:.2f}",
            size_text(one.memory) if one.memory is not None else "–",
            "recommended" if advice.convert[:1] == (one.recipe,) else "convert" if one.recipe in advice.convert else "",
        )
        for one in advice.estimates
    ]


def lines(advice: Advice, width: int) -> list[str]:
    """What is said below the table, in lines of so many characters at most."""
    return [part for line in _said(advice) for part in _folded(line, width)]


def _folded(line: str, width: int) -> list[str]:
    indent = " " * (len(line) - len(line.lstrip()) + 2)
    return textwrap.wrap(line, width, subsequent_indent=indent, break_long_words=False) or [""]


def _said(advice: Advice) -> list[str]:
    basis = "its weights" if advice.estimated else "the float32 .tflite's graph"
    text = [f"Is quantization needed at all? {advice.answer}", ""]
    text += [f"  {line}" for line in advice.sums]
    text += ["", "convert: " + (", ".join(advice.convert) or "nothing")]
    text += [f"  {reason}" for reason in advice.reasons]
    if advice.budgets:
        text += ["budget:"]
        text += [f"  {recipe}: {_limits(limits)}" for recipe, limits in advice.budgets.items()]
    text += [f"not checked: {doubt}" for doubt in advice.doubts]
    return [*text, "", f"All sizes and memory are estimates from {basis}; the suites measure them."]


def _limits(limits: object) -> str:
    assert isinstance(limits, dict)  # noqa: S101 - as Advice has them
    return ", ".join(f"{metric} = {limit:g}" for metric, limit in limits.items())


def variants(advice: Advice) -> dict[str, str]:
    """Recipes for a manifest, each with a remark; float32 is what the others are compared with."""
    title = advice.situation.device.title
    remarks = dict.fromkeys(advice.convert, f"advised for: {title}")
    return {"float32": "what the others are compared with", **remarks}


def document(advice: Advice) -> dict[str, object]:
    """The advice as JSON values."""
    described, situation = advice.described, advice.situation
    return {
        "schema": "liteproof.advice/1",
        "source": {
            "file": advice.source,
            "kind": described.kind,
            "bytes": described.bytes,
            "parameters": described.parameters,
            "parameters_by_type": dict(described.elements),
            "bytes_per_parameter": described.bytes_per_parameter if described.parameters else None,
            "optimizer_bytes": described.optimizer_bytes,
        },
        "device": {"name": situation.device.name, "ram_bytes": situation.memory, "flash_bytes": situation.storage},
        "estimated_from": "weights" if advice.estimated else "graph",
        "estimates": {one.recipe: {"file_bytes": one.file, "memory_bytes": one.memory} for one in advice.estimates},
        "needed": advice.needed,
        "answer": advice.answer,
        "convert": list(advice.convert),
        "budgets": {recipe: dict(limits) for recipe, limits in advice.budgets.items()},
        "reasons": list(advice.reasons),
        "sums": list(advice.sums),
        "not_checked": list(advice.doubts),
    }
