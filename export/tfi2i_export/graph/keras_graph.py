"""Walking and rebuilding functional Keras models, an operation at a time.

A graph here is flat where it says so: no model inside, every operation called once. Operations are
Keras layers and what `keras.ops` makes of a symbolic tensor.
"""

import collections
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import ArrayLike, NDArray

from tfi2i_export.inputs import shapes_of, takes_picture

Array = NDArray[np.float32]

Rule = Callable[..., Any]
"""What stands for a layer in an exported graph, see `rules`."""


def run_through(model: keras.Model, inputs: list[Any], call: Callable[..., Any]) -> Any:
    """The model's output where `call(operation, *args, **kwargs)` stands for each operation.

    What flows from one call to the next may be tensors or anything else; each operation's result
    has the structure of its output. Operations come in the order of the graph.
    """
    # The hook that keras.models.clone_model is made of; that one cannot enter inner models.
    return model._run_through_graph(inputs, call_fn=call)


def inputs_like(model: keras.Model) -> list[Any]:
    """New inputs for a model of the same kind: a picture, called "image", and all others."""
    names = [*["image"] * takes_picture(model), *shapes_of(model)]
    return [
        keras.Input(one.shape[1:], name=name, dtype="float32")
        for name, one in zip(names, model.inputs, strict=True)
    ]


def packed(inputs: Sequence[Any]) -> Any:
    """Packs what a model is made of and called with: its only input, or the list of them."""
    return list(inputs) if len(inputs) > 1 else inputs[0]


def called(model: keras.Model, baked: Mapping[str, Array] | None = None) -> Callable[..., Any]:
    """A model as a function of the image (a sampler's: None) and, by name, its extra inputs.

    Args:
        model: Functional.
        baked: Values of extra inputs that callers do not give.
    """
    names = list(shapes_of(model))

    def call(image: Any, **extra: Any) -> Any:
        values = {**(baked or {}), **extra}
        inputs = [*([] if image is None else [image]), *(values[name] for name in names)]
        # Of arrays beside tensors Keras takes no list.
        return model(packed([ops.convert_to_tensor(one) for one in inputs]))

    return call


def sources_of(model: keras.Model) -> dict[keras.Operation, list[keras.Operation]]:
    """The operations that each one reads, inputs left out; under the model what it returns."""
    sources: dict[keras.Operation, list[keras.Operation]] = collections.defaultdict(list)

    def read(reader: keras.Operation, given: Any) -> None:
        sources[reader] += [x for x in keras.tree.flatten(given) if isinstance(x, keras.Operation)]

    def call(operation, *args, **kwargs):
        read(operation, (args, kwargs))  # once for every time that it is called
        return keras.tree.map_structure(lambda _: operation, operation.output)

    read(model, run_through(model, model.inputs, call))
    return dict(sources)


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
    config = {key: value for key, value in operation.get_config().items() if key != "name"}
    if not isinstance(operation, layers.Layer):
        # Keras numbers the names of bare operations over the whole process: they would clash.
        return type(operation)(**config)(*args, **kwargs)
    config |= {"name": name or operation.name, "dtype": "float32"}
    config |= {key: "zeros" for key in config if key.endswith("_initializer")}  # weights are set
    copy = type(operation).from_config(config)
    output = copy(*args, **kwargs)
    copy.set_weights(operation.get_weights() if weights is None else weights)
    return output


def array(variable: Any) -> Array:
    """A variable's value in float32, whatever the policy of its layer."""
    return np.asarray(ops.convert_to_numpy(variable), np.float32)


def weighted(kind: Any, x: Any, kernel: Any, bias: Any, *arguments: Any, name: str) -> Any:
    """The output on x of a new float32 layer `kind(*arguments)` with a kernel and maybe a bias."""
    layer = kind(*arguments, use_bias=bias is not None, dtype="float32", name=name)
    output = layer(x)
    layer.set_weights([array(weight) for weight in (kernel, bias) if weight is not None])
    return output


def convolution(
    x: Any, kernel: Array, bias: Any, strides: Any, name: str, padding: str = "valid"
) -> Any:
    """A convolution of x (N, H, W, C) with a given kernel (k, k, C, D), bias (D,)."""
    *size, _, filters = kernel.shape
    return weighted(layers.Conv2D, x, kernel, bias, filters, size, strides, padding, name=name)


def filtered(x: Any, taps: ArrayLike, strides: int, name: str, bias: Any = None) -> Any:
    """A valid convolution of each channel of x (N, H, W, C) with taps (h, w), and a bias (C,)."""
    taps = np.asarray(taps, np.float32)
    kernel = np.repeat(taps[:, :, None, None], x.shape[-1], 2)
    return weighted(layers.DepthwiseConv2D, x, kernel, bias, taps.shape, strides, name=name)


def phases(kernel: Array) -> Array:
    """Transposed (4, 4, F, C) of stride 2 -> (2, 2, C, 4 F), whose depth_to_space is the same.

    Row i of x adds to row 2 i + u by row u = 2 s + p of the kernel; so row 2 m + p of the result
    reads x at m - s.
    """
    filters, channels = kernel.shape[2:]
    split = kernel.reshape(2, 2, 2, 2, filters, channels)[::-1, :, ::-1]  # s p t q F C
    return split.transpose(0, 2, 5, 1, 3, 4).reshape(2, 2, channels, 4 * filters)
