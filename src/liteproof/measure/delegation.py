"""Which operators a delegate took.

A delegate takes parts of a graph; the runtime puts one node behind the graph's own in the place of each. No public name
of any runtime tells what a part is made of, but it follows from the graph: all that leads to the node's outputs and
does not lie before its inputs.

    >>> graph = [
    ...     {"op_name": "CONV_2D", "inputs": [0, 1], "outputs": [2]},
    ...     {"op_name": "RELU", "inputs": [2], "outputs": [3]},
    ...     {"op_name": "SOFTMAX", "inputs": [3], "outputs": [4]},
    ... ]
    >>> delegated([*graph, {"op_name": "DELEGATE", "inputs": [0, 1], "outputs": [3]}])
    Delegated(taken=('CONV_2D #0', 'RELU #1'), left=('SOFTMAX #2',))
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_NAMED = 8


@dataclass(frozen=True)
class Delegated:
    """The main graph's operators, "SOFTMAX #2", by who runs them.

    Attributes:
        taken: By the delegate.
        left: By the runtime's own kernels.
    """

    taken: tuple[str, ...]
    left: tuple[str, ...]

    def __str__(self) -> str:
        total = len(self.taken) + len(self.left)
        said = f"the delegate took {len(self.taken)} of {total} operators"
        if not self.left:
            return said
        more = f" and {len(self.left) - _NAMED} more" if len(self.left) > _NAMED else ""
        return f"{said}; left to the CPU: {', '.join(self.left[:_NAMED])}{more}"


def delegated(nodes: Sequence[Mapping[str, Any]]) -> Delegated:
    """Who runs what, from a runtime's list of nodes (`_get_ops_details`), after the delegate and before any other."""
    own = [(index, node) for index, node in enumerate(nodes) if node["op_name"] != "DELEGATE"]
    writer = {int(output): index for index, node in own for output in node["outputs"]}
    taken: set[int] = set()
    for node in nodes:
        if node["op_name"] == "DELEGATE":
            before = {int(index) for index in node["inputs"]}
            wanted = [int(index) for index in node["outputs"]]
            while wanted:
                tensor = wanted.pop()
                if tensor in writer and tensor not in before and writer[tensor] not in taken:
                    taken.add(writer[tensor])
                    wanted += [int(index) for index in nodes[writer[tensor]]["inputs"]]
    names = {index: f"{node['op_name']} #{index}" for index, node in own}
    return Delegated(
        taken=tuple(name for index, name in names.items() if index in taken),
        left=tuple(name for index, name in names.items() if index not in taken),
    )
