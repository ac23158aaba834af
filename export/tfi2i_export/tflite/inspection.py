"""The operations, tensors and signatures of a .tflite file, and what XNNPACK takes of it."""

import collections
from typing import Any, NamedTuple

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tfi2i.errors import InputError
from tfi2i.terminal import quiet
from tfi2i_export.tflite.interpreter import DAMAGE, opened

UNINITIALISED = ("VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE")
"""Operations of a file that lacks its weights: it runs, on zeros or noise."""

FREE_SIDE = 64  # pixels, at which `inspect` asks the delegate about files of free size


class TensorType(NamedTuple):
    """A tensor's type in NumPy's words and its shape; -1: free."""

    dtype: str
    shape: tuple[int, ...]


Tensors = dict[str, TensorType]


class Inspection(NamedTuple):
    """Contents of a .tflite file.

    Attributes:
        operators: Number of each operation, in all subgraphs.
        custom: Names of the operations that LiteRT itself does not have, such as FlexErf.
        signatures: Inputs and outputs of each signature.
        partitions: Parts of the first subgraph that XNNPACK, LiteRT's delegate for CPUs, takes;
            1 is best. None: LiteRT cannot run the model.
        undelegated: Number of each operation of the first subgraph outside of them.
    """

    operators: dict[str, int]
    custom: list[str]
    signatures: dict[str, tuple[Tensors, Tensors]]
    partitions: int | None
    undelegated: dict[str, int]


def inspect(model: bytes) -> Inspection:
    """Contents of a .tflite file.

    Raises:
        InputError: It is damaged or no .tflite file.
    """
    try:
        interpreter = opened(model)  # which checks that the file points to nothing outside of it
        found = operations(model)
        partitions, undelegated = _delegated(model)
        return Inspection(
            dict(collections.Counter(operation.kind for operation in found)),
            sorted({operation.kind for operation in found if operation.custom}),
            _signatures(interpreter),
            partitions,
            undelegated,
        )
    except InputError:
        raise
    except DAMAGE as error:
        raise InputError("The model is damaged; export it again.") from error


def require_plain(inspection: Inspection) -> None:
    """Makes sure that a file has its weights and runs on LiteRT as it is.

    Raises:
        InputError: It has variables, whose values are not in the file, or foreign operations.
    """
    variables = [kind for kind in inspection.operators if kind in UNINITIALISED]
    if variables:
        raise InputError(
            f"The converted model reads variables ({', '.join(variables)}) that have no values; "
            "give a folded model, whose weights become constants."
        )
    if inspection.custom:
        raise InputError(
            f"The converted model has operations that LiteRT lacks ({', '.join(inspection.custom)})"
            "; write its layers with others."
        )


class Operand(NamedTuple):
    """A tensor of a .tflite file; its type in the file's words, such as FLOAT32."""

    name: str
    type: str


class Operation(NamedTuple):
    """An operation of a .tflite file, what it reads and what it makes."""

    kind: str
    custom: bool
    inputs: list[Operand]
    outputs: list[Operand]


def operations(model: bytes) -> list[Operation]:
    """The operations of a .tflite file that LiteRT has opened, in order, of all subgraphs."""
    content = schema.ModelT.InitFromObj(schema.Model.GetRootAs(model, 0))
    types = {number: name for name, number in vars(schema.TensorType).items()}
    kinds = {number: name for name, number in vars(schema.BuiltinOperator).items()}
    found = []
    for graph in content.subgraphs:
        tensors = [Operand(tensor.name.decode(), types[tensor.type]) for tensor in graph.tensors]
        for operator in graph.operators:
            inputs, outputs = (
                [tensors[index] for index in indices if index >= 0]
                for indices in (operator.inputs, operator.outputs)
            )
            code = content.operatorCodes[operator.opcodeIndex]
            # Old files have small numbers in the field that is deprecated now.
            kind = kinds[max(code.builtinCode, code.deprecatedBuiltinCode)]
            custom = kind == "CUSTOM"
            name = code.customCode.decode() if custom else kind
            found.append(Operation(name, custom, inputs, outputs))
    return found


def float_operations(model: bytes) -> dict[str, int]:
    """Number of each operation that makes float values, the passages from integers left out."""
    kinds = [
        operation.kind
        for operation in operations(model)
        if operation.kind != "DEQUANTIZE" and any("FLOAT" in one.type for one in operation.outputs)
    ]
    return dict(collections.Counter(kinds))


def _signatures(interpreter: Any) -> dict[str, tuple[Tensors, Tensors]]:
    found = {}
    for name in interpreter.get_signature_list():
        runner = interpreter.get_signature_runner(name)
        found[name] = _types(runner.get_input_details()), _types(runner.get_output_details())
    return found


def _types(details: dict[str, Any]) -> Tensors:
    return {
        name: TensorType(np.dtype(one["dtype"]).name, tuple(map(int, one["shape_signature"])))
        for name, one in details.items()
    }


def _delegated(model: bytes) -> tuple[int | None, dict[str, int]]:
    """XNNPACK's parts of the first subgraph, and what is outside of them."""
    interpreter = opened(model, threads=1)
    try:
        with quiet():
            for tensor in interpreter.get_input_details():
                shape = [FREE_SIDE if side == -1 else side for side in tensor["shape_signature"]]
                interpreter.resize_tensor_input(tensor["index"], shape)
            interpreter.allocate_tensors()
    except (RuntimeError, ValueError):
        return None, {}
    # LiteRT keeps the delegated operations in its list, and puts the delegate's parts behind them.
    details = interpreter._get_ops_details()
    parts = [operation for operation in details if operation["op_name"] == "DELEGATE"]
    own = [operation for operation in details if operation["op_name"] != "DELEGATE"]
    made_by = {tensor: i for i, operation in enumerate(own) for tensor in operation["outputs"]}
    outside = dict(enumerate(own))
    for part in parts:
        given, asked = set(part["inputs"]), list(part["outputs"])
        while asked:
            tensor = asked.pop()
            if tensor not in given and (inner := outside.pop(made_by.get(tensor, -1), None)):
                asked.extend(inner["inputs"])
    return len(parts), dict(collections.Counter(one["op_name"] for one in outside.values()))
