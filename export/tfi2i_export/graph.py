"""Walking and rebuilding functional Keras models, an operation at a time.

A graph here is flat where it says so: no model inside, every operation called once. Operations are
Keras layers and what `keras.ops` makes of a symbolic tensor.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

Array = NDArray[np.float32]


def run_through(model: keras.Model, inputs: list[Any], call: Callable[..., Any]) -> Any:
    """The model's output where `call(operation, *args, **kwargs)` stands for each operation.

    What flows from one call to the next may be tensors or anything else; each operation's result
    has the structure of its output. Operations come in the order of the graph.
    """
    # The hook that keras.models.clone_model is made of; that one cannot enter inner models.
    return model._run_through_graph(inputs, call_fn=call)


def is_layer(operation: keras.Operation) -> bool:
    """Whether it is a layer, and not what `keras.ops` leaves in a graph."""
    return isinstance(operation, layers.Layer)


def is_from_keras(layer: keras.layers.Layer) -> bool:
    """Whether the layer's class is one of `keras.layers`."""
    return getattr(layers, type(layer).__name__, None) is type(layer)


def copied(
    operation: keras.Operation,
    *args: Any,
    name: str | None = None,
    weights: list[Array] | None = None,
    **kwargs: Any,
) -> Any:
    """The output of a copy of an operation; of a layer in float32, with its own variables.

    A layer's copy has the same name and weights, if no others are given.
    """
    if is_layer(operation):
        config = {**operation.get_config(), "name": name or operation.name, "dtype": "float32"}
        copy = type(operation).from_config(config)
        output = copy(*args, **kwargs)
        copy.set_weights(operation.get_weights() if weights is None else weights)
        return output
    # Keras numbers the names of bare operations over the whole process: they would clash.
    config = {key: value for key, value in operation.get_config().items() if key != "name"}
    return type(operation)(**config)(*args, **kwargs)


def convolution(x: Any, kernel: Array, bias: Array | None, strides: int, name: str) -> Any:
    """A valid convolution of x (N, H, W, C) with a given kernel (k, k, C, D), bias (D,)."""
    *size, _, filters = kernel.shape
    layer = layers.Conv2D(
        filters, size, strides, use_bias=bias is not None, dtype="float32", name=name
    )
    output = layer(x)
    layer.set_weights([kernel] if bias is None else [kernel, bias])
    return output
