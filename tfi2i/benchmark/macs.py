"""Number of multiplications of a picture or a training step, read off its graph."""

import functools
import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfi2i.pictures.pixels import in_order
from tfi2i.pictures.sizes import AnySize, height_and_width


def translation_macs(network: Any, size: AnySize) -> int | None:
    """Multiply-accumulates for one picture of a size; None: it takes another size only.

    Each multiplication of a convolution or a matrix product that is really made counts once: a
    transposed convolution at the positions of its input, not among the zeros of its output. All
    else (normalisation, activations, resizing, biases) is left out, and so is what does not reach
    the result, or has to be done once for any number of pictures (the norms of kernels). Nothing is
    computed for it.
    """
    height, width = size = height_and_width(size)
    pictures = [end for end in (*network.inputs, *network.outputs) if len(end.shape) == 4]
    known = [side for end in pictures for side in zip(end.shape[1:3], size, strict=True)]
    if any(taken not in (None, side) for taken, side in known):
        return None
    specs = []
    for end in network.inputs:
        sides = (height, width) if len(end.shape) == 4 else ()
        specs.append(tf.TensorSpec((1, *sides, *end.shape[1 + len(sides) :]), end.dtype))
    run = functools.partial(in_order(network), training=False)
    return sum(COUNTED[op.type](op) for op in _between(_graph(run, *specs), len(specs)))


def step_macs(system: Any, batch: Any) -> int:
    """Multiply-accumulates of a training step on a batch, gradients and all; nothing is computed.

    What counts is what counts in `translation_macs`, and the norms of kernels.
    """
    specs = tf.nest.map_structure(lambda one: tf.TensorSpec(one.shape, one.dtype), batch)
    operations = _graph(system.train_step, specs).graph.get_operations()
    return sum(COUNTED[op.type](op) for op in operations if op.type in COUNTED)


def _graph(function: Callable[..., Any], *specs: Any) -> Any:
    """The graph of a function, that of functions inside included."""
    eager = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)  # or a `tf.function` inside would hide its operations
    try:
        return tf.function(function, autograph=False).get_concrete_function(*specs)
    finally:
        tf.config.run_functions_eagerly(eager)


def _between(graph: Any, inputs: int) -> list[Any]:
    """The operations to count which depend on the inputs, and which the result depends on."""
    operations = graph.graph.get_operations()  # every one stands after its inputs
    changing = {tensor.op.name for tensor in graph.inputs[:inputs]}
    for op in operations:
        if any(tensor.op.name in changing for tensor in op.inputs):
            changing.add(op.name)
    needed = {tensor.op.name for tensor in graph.outputs}
    for op in reversed(operations):
        if op.name in needed:
            needed.update(tensor.op.name for tensor in op.inputs)
    return [op for op in operations if op.name in changing & needed and op.type in COUNTED]


def _size(tensor: Any) -> int:
    shape = tensor.shape
    if not shape.is_fully_defined():
        raise ValueError(f"The shape of {tensor.name} is not known before it runs: {shape}.")
    return math.prod(shape)


def _matrix_product(op: Any) -> int:
    transposed = op.get_attr("transpose_a" if op.type == "MatMul" else "adj_x")
    return _size(op.outputs[0]) * op.inputs[0].shape[-2 if transposed else -1]


COUNTED: dict[str, Callable[[Any], int]] = {
    # A group of filters sees its share of the channels only, which is what the kernel has.
    "Conv2D": lambda op: _size(op.outputs[0]) * math.prod(op.inputs[1].shape[:3]),
    "Conv2DBackpropInput": lambda op: _size(op.inputs[2]) * math.prod(op.inputs[1].shape[:3]),
    "Conv2DBackpropFilter": lambda op: _size(op.inputs[2]) * math.prod(op.outputs[0].shape[:3]),
    "DepthwiseConv2dNative": lambda op: _size(op.outputs[0]) * math.prod(op.inputs[1].shape[:2]),
    "DepthwiseConv2dNativeBackpropInput": lambda op: (
        _size(op.inputs[2]) * math.prod(op.inputs[1].shape[:2])
    ),
    "DepthwiseConv2dNativeBackpropFilter": lambda op: (
        _size(op.inputs[2]) * math.prod(op.outputs[0].shape[:2])
    ),
    "MatMul": _matrix_product,
    "BatchMatMulV2": _matrix_product,
}
"""Numbers of multiplications of the operations that count, by the name of their type."""
