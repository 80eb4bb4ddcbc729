"""What `liteproof inspect FILE` prints: the facts of a file, its operators and its tensors.

>>> model = read_model(Path("digits_int8.tflite"))                # doctest: +SKIP
>>> print(inspect_text(model, facts(model)))                      # doctest: +SKIP
digits_int8.tflite: full_integer, 4,682 parameters, 16,384 bytes
…
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from liteproof.tflite.facts import End, Facts
from liteproof.tflite.reader import Model, Operator, Quantization, Subgraph, Tensor

_NAME_WIDTH = 27
_OPERATOR_COLUMNS = ("#>", "operator", "inputs", "outputs", "computes in")
_TENSOR_COLUMNS = ("#>", "tensor", "type", "shape", "scale>", "zero>", "bytes>")


def inspect_text(model: Model, facts: Facts, *, width: int = 80) -> str:
    """The facts and tables of operators and tensors, for people.

    Args:
        model: The file.
        facts: What `liteproof.tflite.facts.facts` found in it.
        width: Columns of the terminal; 80 is enough.
    """
    from rich.console import Console

    page = io.StringIO()
    console = Console(file=page, width=width, color_system=None, force_terminal=False, highlight=False)
    heading = f"{model.where}: {facts.quantization}, {facts.parameters:,} parameters, {facts.file_bytes:,} bytes"
    console.print(heading, markup=False, soft_wrap=True)
    console.print(_table("", ("", ""), _summary(model, facts), header=False))
    kinds = [(count.name, count.version, count.count) for count in facts.operators]
    console.print(_table("operators by kind", ("operator", "version>", "count>"), kinds))
    for number, graph in enumerate(model.subgraphs):
        title = f"of subgraph {number} {graph.name}".rstrip()
        operators = (_operator_row(graph, operator) for operator in graph.operators)
        console.print(_table(f"operators {title}", _OPERATOR_COLUMNS, operators))
        tensors = (_tensor_row(model, tensor) for tensor in graph.tensors)
        console.print(_table(f"tensors {title}", _TENSOR_COLUMNS, tensors))
    return "\n".join(line.rstrip() for line in page.getvalue().splitlines())


def inspect_json(model: Model, facts: Facts) -> dict[str, Any]:
    """The same for programs: `facts`, `signatures`, and each subgraph's operators and tensors; no constants."""
    found = asdict(facts)
    found |= {"float_ops": facts.float_ops, "parameter_bytes": facts.parameter_bytes}
    found["bytes_per_parameter"] = facts.bytes_per_parameter if facts.parameters else None
    return {
        "file": model.where,
        "schema_version": model.version,
        "description": model.description,
        "facts": found,
        "signatures": [asdict(signature) for signature in model.signatures],
        "subgraphs": [_graph_json(model, graph) for graph in model.subgraphs],
    }


def _summary(model: Model, facts: Facts) -> Iterable[tuple[str, str]]:
    yield "description", model.description or "none"
    yield "minimum runtime", facts.min_runtime_version or "not noted"
    yield "constants", f"{facts.constant_bytes:,} bytes ({_by_type(facts.bytes_by_type)})"
    yield "graph overhead", f"{facts.overhead_bytes:,} bytes"
    per_parameter = f"{facts.bytes_per_parameter:.2f} bytes each" if facts.parameters else "none"
    yield "parameters", f"{per_parameter} ({_by_type(facts.elements_by_type)})"
    yield "float operators", str(facts.float_ops) + (": " + _few(facts.float_operators) if facts.float_ops else "")
    yield "custom operators", _few(facts.custom_operators) or "none"
    for what, ends in (("input", facts.inputs), ("output", facts.outputs)):
        for end in ends:
            yield what, _end_text(end)


def _by_type(amounts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {amount:,}" for name, amount in amounts.items()) or "none"


def _few(names: Sequence[str], limit: int = 6) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def _end_text(end: End) -> str:
    scale = f", scale {end.scale:.6g}, zero point {end.zero_point}" if end.scale else ""
    return f"{_shortened(end.name, 40)}: {end.type} {list(end.shape)}{scale}"


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, header: bool = True) -> Any:
    """A table whose columns ending in ">" are aligned to the right and do not wrap."""
    from rich.table import Table
    from rich.text import Text

    heading = f"\n{title.upper()}" if title else None
    table = Table(
        title=heading, title_justify="left", box=None, show_header=header, padding=(0, 2, 0, 0), pad_edge=False
    )
    for column in columns:
        right = column.endswith(">")
        table.add_column(column.rstrip(">"), justify="right" if right else "left", no_wrap=right, overflow="fold")
    for row in rows:
        # As Text: a name such as "[bold]" is no markup.
        table.add_row(*(Text(str(cell)) for cell in row))
    return table


def _operator_row(graph: Subgraph, operator: Operator) -> tuple[object, ...]:
    fused = operator.options.get("fused_activation_function", "NONE")
    name = operator.name if fused == "NONE" else f"{operator.name} + {fused}"
    first = next((i for i in operator.inputs if i >= 0), -1)
    types = [graph.tensors[i].type for i in (first, *operator.outputs[:1]) if i >= 0]
    computes = " → ".join(dict.fromkeys(types))
    return operator.index, name, _indices(operator.inputs), _indices(operator.outputs), computes


def _indices(indices: Sequence[int]) -> str:
    return " ".join("-" if index < 0 else str(index) for index in indices)


def _tensor_row(model: Model, tensor: Tensor) -> tuple[object, ...]:
    scale, zero_point = _quantization_text(tensor.quantization)
    size = model.buffers[tensor.buffer].size
    shape = "×".join("?" if d < 0 else str(d) for d in tensor.shape_signature) or "scalar"
    return tensor.index, _shortened(tensor.name, _NAME_WIDTH), tensor.type, shape, scale, zero_point, size or ""


def _quantization_text(quantization: Quantization) -> tuple[str, str]:
    if quantization.kind == "per_tensor":
        return f"{quantization.scales[0]:.4g}", str(quantization.zero_points[0])
    if quantization.kind == "per_axis":
        zero_points = {int(z) for z in quantization.zero_points}
        zero = str(zero_points.pop()) if len(zero_points) == 1 else "varies"
        return f"{quantization.scales.size} on axis {quantization.axis}", zero
    return (f"blocks of {quantization.block_size}", "") if quantization.kind == "blockwise" else ("", "")


def _shortened(name: str, width: int) -> str:
    """The first of a fused name's parts, and of it the end, which tells layers apart."""
    first = name.split(";")[0]
    return first if len(first) <= width else "…" + first[1 - width :]


def _graph_json(model: Model, graph: Subgraph) -> dict[str, Any]:
    return {
        "name": graph.name,
        "inputs": graph.inputs,
        "outputs": graph.outputs,
        "operators": [asdict(operator) for operator in graph.operators],
        "tensors": [_tensor_json(model, tensor) for tensor in graph.tensors],
    }


def _tensor_json(model: Model, tensor: Tensor) -> dict[str, Any]:
    quantization = tensor.quantization
    return {
        "index": tensor.index,
        "name": tensor.name,
        "type": tensor.type,
        "shape": tensor.shape,
        "shape_signature": tensor.shape_signature,
        "bytes": model.buffers[tensor.buffer].size,
        "is_variable": tensor.is_variable,
        "sparse": tensor.sparse,
        "quantization": {
            "kind": quantization.kind,
            "axis": quantization.axis if quantization.kind in ("per_axis", "blockwise") else None,
            "scales": quantization.scales.tolist(),
            "zero_points": quantization.zero_points.tolist(),
            "block_size": quantization.block_size or None,
        },
    }
