"""Which operators TensorFlow Lite Micro has, and which the Edge TPU's compiler is documented to map.

>>> sorted(unknown_to_micro(["CONV_2D", "TOPK_V2"]))
['TOPK_V2']

Sources: the kernels that tflite-micro 0.dev20261023 registers; "Supported operations" of Coral's page "TensorFlow
models on the Edge TPU" (coral.ai/docs/edgetpu/models-intro), whose limits are checked where a file shows them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from liteproof.tflite.reader import Model, Operator, Subgraph

MICRO = frozenset(
    """
    ABS ADD ADD_N ARG_MAX ARG_MIN ASSIGN_VARIABLE AVERAGE_POOL_2D BATCH_MATMUL BATCH_TO_SPACE_ND BROADCAST_ARGS
    BROADCAST_TO CALL_ONCE CAST CEIL CONCATENATION CONV_2D COS CUMSUM DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE
    DIV DYNAMIC_UPDATE_SLICE ELU EMBEDDING_LOOKUP EQUAL EXP EXPAND_DIMS FILL FLOOR FLOOR_DIV FLOOR_MOD
    FULLY_CONNECTED GATHER GATHER_ND GREATER GREATER_EQUAL HARD_SWISH IF L2_NORMALIZATION L2_POOL_2D LEAKY_RELU LESS
    LESS_EQUAL LOG LOGICAL_AND LOGICAL_NOT LOGICAL_OR LOGISTIC LOG_SOFTMAX MAXIMUM MAX_POOL_2D MEAN MINIMUM
    MIRROR_PAD MUL NEG NOT_EQUAL PACK PAD PADV2 PRELU QUANTIZE READ_VARIABLE REDUCE_ALL REDUCE_MAX REDUCE_MIN RELU
    RELU6 RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR REVERSE_V2 ROUND RSQRT SELECT_V2 SHAPE SIN SLICE SOFTMAX
    SPACE_TO_BATCH_ND SPACE_TO_DEPTH SPLIT SPLIT_V SQRT SQUARE SQUARED_DIFFERENCE SQUEEZE STRIDED_SLICE SUB SUM SVDF
    TANH TRANSPOSE TRANSPOSE_CONV UNIDIRECTIONAL_SEQUENCE_LSTM UNPACK VAR_HANDLE WHILE ZEROS_LIKE
    """.split()  # noqa: SIM905 - a table of names
)

_NOT_FUSED = "no fused activation"
# What the compiler maps, and the limit that its page names.
EDGE_TPU: Mapping[str, str] = {
    "ADD": "",
    "AVERAGE_POOL_2D": _NOT_FUSED,
    "CONCATENATION": _NOT_FUSED,
    "CONV_2D": "the same dilation in x and y",
    "DEPTHWISE_CONV_2D": "the same dilation in x and y",
    "EXPAND_DIMS": "",
    "FULLY_CONNECTED": "default weights format, one-dimensional output",
    "L2_NORMALIZATION": "",
    "LOGISTIC": "",
    "MAXIMUM": "",
    "MAX_POOL_2D": _NOT_FUSED,
    "MEAN": "not over the batch; over channels only in multiples of 4",
    "MINIMUM": "",
    "MUL": "",
    "PACK": "not along the batch",
    "PAD": "not along the batch",
    "PRELU": "one slope a channel",
    "QUANTIZE": "",
    "REDUCE_MAX": "not over the batch",
    "REDUCE_MIN": "not over the batch",
    "RELU": "",
    "RELU6": "",
    "RELU_N1_TO_1": "",
    "RESHAPE": "not of very large tensors",
    "RESIZE_BILINEAR": "depends on the sizes",
    "RESIZE_NEAREST_NEIGHBOR": "depends on the sizes",
    "RSQRT": "",
    "SLICE": "",
    "SOFTMAX": "of one-dimensional tensors of at most 16,000 values",
    "SPACE_TO_DEPTH": "",
    "SPLIT": "not along the batch",
    "SQUARED_DIFFERENCE": "",
    "SQUEEZE": "not where a leading axis of another length than 1 goes",
    "STRIDED_SLICE": "strides of 1 only",
    "SUB": "",
    "SUM": "not over the batch",
    "TANH": "",
    "TRANSPOSE": "",
    "TRANSPOSE_CONV": "",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "",
}
_SOFTMAX_VALUES = 16_000


def unknown_to_micro(names: Iterable[str]) -> set[str]:
    """Operators that TensorFlow Lite Micro has no kernel for."""
    return set(names) - MICRO


def not_mapped(model: Model) -> dict[str, str]:
    """Operators ("SOFTMAX #3") that the Edge TPU's compiler is not documented to map, each with the reason.

    Only limits that the file shows are looked at; the compiler itself may leave more on the processor.
    """
    found = {}
    for graph in model.subgraphs:
        for operator in graph.operators:
            if reason := _reason(model, graph, operator):
                found[f"{operator.name} #{operator.index}"] = reason
    return found


def _reason(model: Model, graph: Subgraph, operator: Operator) -> str:
    if operator.name not in EDGE_TPU:
        return "not among the operators that it maps"
    limit, options = EDGE_TPU[operator.name], operator.options
    fused = options.get("fused_activation_function", "NONE")
    if limit == _NOT_FUSED and fused != "NONE":
        return f"{limit}; it has {fused}"
    if options.get("dilation_h_factor", 1) != options.get("dilation_w_factor", 1):
        return limit
    touched = [graph.tensors[index] for index in (*operator.inputs, *operator.outputs) if index >= 0]
    sizes = [
        tensor.shape for tensor in touched if not model.buffers[tensor.buffer].size
    ]  # weights have axes of their own
    if operator.name == "SOFTMAX" and graph.tensors[operator.outputs[0]].elements > _SOFTMAX_VALUES:
        return limit
    # "If a tensor has more than 3 dimensions, then only the 3 innermost dimensions may have a size greater than 1."
    if any(size > 1 for shape in sizes for size in shape[:-3]):
        return "a tensor with more than three axes longer than 1"
    return ""
