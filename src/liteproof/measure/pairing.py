"""Which input or output of a file is which of the source's. Never by place alone: converters reorder both.

    >>> swapped = [
    ...     TensorSpec("call:1", (1, 2), "float32", key="output_1"),
    ...     TensorSpec("call:0", (1, 3), "float32", key="output_0"),
    ... ]
    >>> pair("output", {"output_0": (3,), "output_1": (2,)}, swapped)
    {'output_0': 1, 'output_1': 0}

Told by the manifest, by name (the signature's, the tensor's, or the tensor's without what the converter puts around
it), or by a shape that only one has. Which one fits the values best is never tried: that would hide swapped outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from liteproof.errors import Unmeasured
from liteproof.measure.tensors import TensorSpec, in_source_order, names_of
from liteproof.tflite.reader import Model

Kind = Literal["input", "output"]
Shape = tuple[int, ...]


def pair(
    kind: Kind, wanted: Mapping[str, Shape], specs: Sequence[TensorSpec], told: Mapping[str, str] | None = None
) -> dict[str, int]:
    """The place among the file's inputs or outputs of each of the source's.

    Args:
        kind: For messages, and for the key of the manifest that would tell.
        wanted: The source's: shape of one sample by name.
        specs: The file's.
        told: `input_names` or `output_names` of the manifest: the file's name for each of the source's.

    Raises:
        Unmeasured: if the numbers differ, or nothing tells which is which.
    """
    if len(wanted) != len(specs):
        raise Unmeasured(
            f"the file has {_count(len(specs), kind)}, the source {_count(len(wanted), kind)}",
            expected="as many in both; see interface_mismatches",
        )
    if len(specs) == 1 and not told:
        return dict.fromkeys(wanted, 0)
    named = _by_name({name: (told or {}).get(name, name) for name in wanted}, specs)
    if named is not None:
        return named
    shaped = None if told else _by_shape(wanted, specs)
    if shaped is not None:
        return shaped
    ours, theirs = ", ".join(map(str, specs)), ", ".join(wanted)
    example = f'{kind}_names = {{ {next(iter(wanted))} = "{specs[0].key or specs[0].name}", … }}'
    raise Unmeasured(
        f"nothing tells which {kind} of the file is which of the source's: it has {ours}; the source has {theirs}",
        expected=f"the same names, shapes that differ, or {kind}_names in the variant's table",
        next=f"add {example} to [variants.NAME]",
    )


def _count(number: int, kind: Kind) -> str:
    return f"{number} {kind}{'' if number == 1 else 's'}"


def _by_name(called: Mapping[str, str], specs: Sequence[TensorSpec]) -> dict[str, int] | None:
    found = {}
    for name, there in called.items():
        places = [i for i, spec in enumerate(specs) if there in names_of(spec)]
        if len(places) != 1:
            return None
        found[name] = places[0]
    return found if len(set(found.values())) == len(specs) else None


def _by_shape(wanted: Mapping[str, Shape], specs: Sequence[TensorSpec]) -> dict[str, int] | None:
    found = {}
    for name, shape in wanted.items():
        places = [i for i, spec in enumerate(specs) if _fits(spec, shape)]
        if len(places) != 1:
            return None
        found[name] = places[0]
    return found if len(set(found.values())) == len(specs) else None


def _fits(spec: TensorSpec, sample: Shape) -> bool:
    own = (spec.shape_signature or spec.shape)[1:]
    return len(own) == len(sample) and all(size in (-1, other) for size, other in zip(own, sample, strict=True))


def file_inputs(model: Model) -> tuple[TensorSpec, ...]:
    """The inputs of a file in the order of a session's, with the names of its signature; no runtime is asked."""
    graph = model.subgraphs[0]
    return _ends(model, graph.inputs, [s.inputs for s in model.signatures if s.subgraph == 0])


def file_outputs(model: Model) -> tuple[TensorSpec, ...]:
    """The outputs of a file in the order of a session's."""
    graph = model.subgraphs[0]
    return in_source_order(_ends(model, graph.outputs, [s.outputs for s in model.signatures if s.subgraph == 0]))


def _ends(model: Model, indices: Sequence[int], signatures: Sequence[Mapping[str, int]]) -> tuple[TensorSpec, ...]:
    named = next((found for found in signatures if set(found.values()) == set(indices)), {})
    keys = {index: key for key, index in named.items()}
    return tuple(_spec(model, index, keys.get(index, "")) for index in indices)


def _spec(model: Model, index: int, key: str) -> TensorSpec:
    tensor = model.subgraphs[0].tensors[index]
    integers = "INT" in tensor.type  # some writers leave scales on float tensors, where they mean nothing
    return TensorSpec(
        name=tensor.name,
        key=key,
        index=index,
        shape=tensor.shape,
        shape_signature=tensor.shape_signature,
        dtype="bytes" if tensor.type == "STRING" else tensor.type.lower(),
        scales=tuple(map(float, tensor.quantization.scales)) if integers else (),
        zero_points=tuple(map(int, tensor.quantization.zero_points)) if integers else (),
        axis=tensor.quantization.axis if integers and tensor.quantization.scales.size > 1 else None,
    )
