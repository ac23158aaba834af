"""A folded translator as a .tflite file, in float, and what is inside such a file.

The file takes and gives pixels 0..255: the way to the network's [-1, 1] and back is part of it.
"""

import collections
import tempfile
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import keras
import numpy as np
from keras import ops

from tfi2i.errors import InputError
from tfi2i.pictures.pixels import from_levels, to_levels
from tfi2i_export.graph import packed
from tfi2i_export.interpreter import DAMAGE, INPUT, OUTPUT, opened, quiet

Io = Literal["float", "uint8"]

START = 64
"""Pixels of the sides that a file of free size begins with."""

SIGNATURE = "serving_default"
"""The signature of a file for one size, or for any."""

UNINITIALISED = ("VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE")
"""Operations of a file that lacks its weights: it runs, on zeros or noise."""

FREE_SIDE = 64  # pixels, at which `inspect` asks the delegate about files of free size


class TensorType(NamedTuple):
    """A tensor's type in NumPy's words and its shape; -1: free."""

    dtype: str
    shape: tuple[int, ...]


Tensors = dict[str, TensorType]


class Inspection(NamedTuple):
    """What is inside a .tflite file.

    Attributes:
        operators: How often each operation is there, in all subgraphs.
        custom: The names of the operations that LiteRT itself does not have, such as FlexErf.
        signatures: The inputs and outputs of each signature.
        partitions: The parts of the first subgraph that XNNPACK, LiteRT's delegate for CPUs, takes;
            1 is best. None: LiteRT cannot run the model.
        undelegated: How often each operation of the first subgraph is outside of them.
    """

    operators: dict[str, int]
    custom: list[str]
    signatures: dict[str, tuple[Tensors, Tensors]]
    partitions: int | None
    undelegated: dict[str, int]


def convert(
    folded: keras.Model | Mapping[tuple[int, int], keras.Model],
    *,
    io: Io = "float",
    half: bool = False,
) -> bytes:
    """A .tflite file, image (1, H, W, 3) -> translation (1, H, W, 3), RGB 0..255.

    The names of layers are part of the names of the tensors. A model of free size makes a file of
    free size. Inputs besides the picture keep their names, and are float32 of one picture.

    Args:
        folded: What `fold` made, or one for each (H, W): they become signatures such as
            translate_256x256 that share the weights.
        io: "float": float32 in and out, not rounded; "uint8": rounded as `tfi2i.pictures.pixels`
            does it.
        half: Stores the weights as float16.

    Raises:
        InputError: The converter has no way to express the model in LiteRT's own operations.
    """
    if io not in ("float", "uint8"):
        raise InputError(f"io is {io!r}; choose float or uint8.")
    models = {
        name: with_pixels(model, "uint8" if io == "uint8" else "float32")
        for name, model in _by_signature(folded).items()
    }
    try:
        with quiet():
            converted = _converted(models, half)
    except _converter_errors() as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise InputError(f"The model does not convert to .tflite: {reason}") from error
    require_plain(inspect(converted))
    return _with_a_size_to_start_from(converted)


def _with_a_size_to_start_from(model: bytes) -> bytes:
    """A file of free size whose inputs are `START` pixels wide until they are resized.

    The converter leaves them at 1, and Java's interpreter prepares a file as it is when it opens
    it: nothing can be reflected there, so that it would refuse the file.
    """
    from ai_edge_litert.schema_py_generated import Model  # type: ignore[import-untyped]

    changed = bytearray(model)
    content = Model.GetRootAs(changed, 0)
    for number in range(content.SubgraphsLength()):
        graph = content.Subgraphs(number)
        for tensor in map(graph.Tensors, graph.InputsAsNumpy()):
            if tensor.ShapeSignatureLength():
                free = tensor.ShapeSignatureAsNumpy() == -1
                tensor.ShapeAsNumpy()[free] = START  # a view of the file's own bytes
    return bytes(changed)


def with_pixels(folded: keras.Model, dtype: str) -> keras.Model:
    """The model for one picture of pixels 0..255, named as in the file; dtype float32 or uint8."""
    given = keras.Input(folded.inputs[0].shape[1:], batch_size=1, name=INPUT, dtype=dtype)
    extra = [
        keras.Input(one.shape[1:], batch_size=1, name=one.name, dtype="float32")
        for one in folded.inputs[1:]
    ]
    image = from_levels(ops.cast(given, "float32"))
    pixels = ops.clip(to_levels(folded(packed([image, *extra]))), 0, 255)
    if dtype == "uint8":
        pixels = ops.cast(ops.round(pixels), "uint8")
    return keras.Model(packed([given, *extra]), {OUTPUT: pixels})


def convolutions(folded: keras.Model) -> list[str]:
    """The names of a folded model's convolutions, from the input to the output."""
    return [layer.name for layer in folded.layers if type(layer) is keras.layers.Conv2D]


def inspect(model: bytes) -> Inspection:
    """What is inside a .tflite file.

    Raises:
        InputError: It is damaged or no .tflite file.
    """
    try:
        opened(model)  # which makes sure that the file points to nothing outside of it
        found = operations(model)
        partitions, undelegated = _delegated(model)
        return Inspection(
            dict(collections.Counter(operation.kind for operation in found)),
            sorted({operation.kind for operation in found if operation.custom}),
            _signatures(model),
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
    from ai_edge_litert import schema_py_generated as schema  # type: ignore[import-untyped]

    content = schema.ModelT.InitFromObj(schema.Model.GetRootAs(model, 0))
    kinds = [_kind(code) for code in content.operatorCodes]
    types = {number: name for name, number in vars(schema.TensorType).items()}
    found = []
    for graph in content.subgraphs:
        tensors = [Operand(tensor.name.decode(), types[tensor.type]) for tensor in graph.tensors]
        for operator in graph.operators:
            inputs, outputs = (
                [tensors[index] for index in indices if index >= 0]
                for indices in (operator.inputs, operator.outputs)
            )
            kind, custom = kinds[operator.opcodeIndex]
            found.append(Operation(kind, custom, inputs, outputs))
    return found


def _by_signature(folded: keras.Model | Mapping[tuple[int, int], keras.Model]) -> dict[str, Any]:
    if isinstance(folded, keras.Model):
        return {SIGNATURE: folded}
    if not folded:
        raise InputError("There is no model to convert; give one for each size.")
    for size, model in folded.items():
        taken = model.inputs[0].shape[1:3]
        if taken != size:
            raise InputError(f"The model for {size} takes {taken}; fold it anew.")
    return {f"translate_{height}x{width}": model for (height, width), model in folded.items()}


def _converted(models: dict[str, keras.Model], half: bool) -> bytes:
    import tensorflow as tf

    # Of the converter's other entrances one loses Keras 3's variables without a word.
    archive = keras.export.ExportArchive()
    for name, model in models.items():
        given = [tf.TensorSpec(one.shape, one.dtype, one.name) for one in model.inputs]
        archive.track(model)
        archive.add_endpoint(name, model, [packed(given)])
    with tempfile.TemporaryDirectory() as folder:
        archive.write_out(folder, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=list(models))
        if half:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.target_spec.supported_types = [tf.float16]
        return converter.convert()


def _converter_errors() -> tuple[type[Exception], ...]:
    import tensorflow as tf
    from tensorflow.lite.python.convert_phase import ConverterError

    return ConverterError, ValueError, RuntimeError, tf.errors.OpError


def _kind(code: Any) -> tuple[str, bool]:
    """The name of an operation, and whether it is none of LiteRT's own."""
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    # Old files have small numbers in the field that is deprecated now.
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    if number == BuiltinOperator.CUSTOM:
        return code.customCode.decode(), True
    names = {value: name for name, value in vars(BuiltinOperator).items()}
    return names[number], False


def _signatures(model: bytes) -> dict[str, tuple[Tensors, Tensors]]:
    interpreter = opened(model)
    found = {}
    for name in interpreter.get_signature_list():
        runner = interpreter.get_signature_runner(name)
        inputs, outputs = (
            {
                key: TensorType(
                    np.dtype(tensor["dtype"]).name, tuple(map(int, tensor["shape_signature"]))
                )
                for key, tensor in details.items()
            }
            for details in (runner.get_input_details(), runner.get_output_details())
        )
        found[name] = inputs, outputs
    return found


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
    inside: set[int] = set()
    for part in parts:
        given, asked = set(part["inputs"]), list(part["outputs"])
        while asked:
            tensor = asked.pop()
            i = made_by.get(tensor)
            if i is not None and i not in inside and tensor not in given:
                inside.add(i)
                asked.extend(own[i]["inputs"])
    outside = [operation["op_name"] for i, operation in enumerate(own) if i not in inside]
    return len(parts), dict(collections.Counter(outside))
