"""Channel equalisation of a folded graph: the same function with channels of similar range.

8-bit activations share one step over all channels of a map, so a channel of small range has few
levels left. Between two layers with weights a map may be divided by a vector over its channels, if
the first layer's output is divided and the second's kernel multiplied by it; ReLU, padding and sums
in between do not mind. A normalisation takes its input's vector back, and gives its output another,
on the statistics, the scale and the shift, which are vectors anyway: of a map only what leaves it
(its means) and what meets it (the scale, the shift) has to know.

`equalise` finds by itself what may be divided: it walks the graph and unites the maps that must
share a vector. An operation it has no rule for keeps its maps as they are.

Source: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV
2019, section 4.1, with measured ranges instead of the weights' and through normalisations.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from keras import layers

from tfi2i.errors import InputError
from tfi2i_export.graph.keras_graph import Array, copied, inputs_like, packed, run_through
from tfi2i_export.inputs import count_of, fitted, require_all, shapes_of

PERCENTILE = 99.99
"""Of a channel's magnitudes: its range, without a single outlier."""
FLOOR = 1e-3
"""Of the widest channel: what narrower ones count as, so that dead ones are not blown up."""


@dataclass(eq=False)
class _Group:
    """Maps that share a vector, repeated where a map has a multiple of its channels."""

    channels: int
    fixed: bool = False  # the vector is ones
    vector: Array | None = None
    united_with: "_Group | None" = None

    def found(self) -> "_Group":
        return self if self.united_with is None else self.united_with.found()

    def unite(self, other: "_Group") -> None:
        first, second = self.found(), other.found()
        if first is not second:
            second.united_with = first
            first.repeat(second.channels)
            first.fixed |= second.fixed

    def repeat(self, channels: int) -> None:
        """Makes the vector fit a map of `channels`, too."""
        self.channels = math.gcd(self.channels, channels)


@dataclass(frozen=True)
class _Scale:
    """Divisor of a map: by its group's vector to a power, 2 for squares."""

    member: _Group
    power: int = 1

    @property
    def group(self) -> _Group:
        return self.member.found()


@dataclass
class _Plan:
    """Traces what each operation of a flat graph reads and how its output is divided, if at all.

    Outputs without a scale are vectors (N, C) and (N, 1, 1, C); they keep their values. So are
    constants (1, 1, 1, C), which are vectors of a baked style.
    """

    sources: dict[keras.Operation, list[keras.Operation]] = field(default_factory=dict)
    scales: dict[keras.Operation, _Scale | None] = field(default_factory=dict)

    def divisor(self, operation: keras.Operation) -> Array | None:
        """The vector (C,) that an operation's output is divided by; None: it is not."""
        scale = self.scales[operation]
        if scale is None or scale.group.vector is None:
            return None
        vector = scale.group.vector
        return np.tile(vector, operation.output.shape[-1] // len(vector)) ** scale.power


def equalise(
    folded: keras.Model,
    images: Array | None,
    inputs: Mapping[str, Array] | None = None,
    *,
    k_power: float = 1.0,
    s_power: float = 0.5,
) -> keras.Model:
    """Brings the ranges of channels together without changing the function, up to float rounding.

    Args:
        folded: Graph by `fold`, or another flat functional model of an image.
        images: (N, S, S, 3) in [-1, 1] as the model is used on; 6 to 16 will do. None: a sampler's.
        inputs: Values (N, ...) of extra inputs by name, if there are some.
        k_power: Power of a channel's relative range, which divides what only normalisations read.
        s_power: Power for what convolutions read; at 1 all channels get one range, but the
            kernels, which are then multiplied, get as unequal as the channels were.

    Raises:
        InputError: the images do not fit the model.
    """
    if images is not None:
        _check_images(images, folded.inputs[0].shape)
    extra = fitted(inputs or {}, shapes_of(folded), folded.name, count_of(images, inputs or {}))
    require_all(extra, shapes_of(folded), folded.name)
    plan = _planned(folded)
    shown = [] if images is None else [images]
    _set_vectors(plan, folded, [*shown, *extra.values()], k_power, s_power)
    given = inputs_like(folded)
    return keras.Model(packed(given), _rewritten(folded, given, plan), name=folded.name)


def _check_images(images: Array, shape: tuple[int | None, ...]) -> None:
    if images.ndim != 4 or not len(images):
        raise InputError(f"images to equalise by are {images.shape}; give (N, H, W, 3).")
    if any(own not in (None, given) for own, given in zip(shape, images.shape, strict=True)):
        raise InputError(f"images to equalise by are {images.shape}; the model takes {shape}.")


# what may be divided


def _planned(model: keras.Model) -> _Plan:
    """Groups for all maps of a flat graph."""
    plan = _Plan()
    made_by = {id(operation.output): operation for operation in model.operations}
    inputs = [made_by[id(one)] for one in model.inputs]
    for one in inputs:
        plan.sources[one] = []
        plan.scales[one] = _kept(one, [])

    def call(operation, *args, **kwargs):
        given = keras.tree.flatten((args, kwargs))
        sources = [value for value in given if isinstance(value, keras.Operation)]
        plan.sources[operation] = sources
        plan.scales[operation] = _scale(operation, args, [plan.scales[s] for s in sources])
        return operation

    run_through(model, inputs, call)
    output = plan.scales[model.operations[-1]]
    if output is not None:
        output.group.fixed = True
    return plan


def _scale(operation: keras.Operation, args: Any, inputs: list[_Scale | None]) -> _Scale | None:
    """The scale of an operation's output; unites and fixes its inputs' groups as it demands."""
    kind = type(operation).__name__
    channels = operation.output.shape[-1]
    maps = [scale for scale in inputs if scale is not None]
    if _is_mean(operation) or kind == "Dense":
        return None
    if kind == "Conv2D" and _is_homogeneous(operation) and operation.groups == 1:
        return _Scale(_Group(channels))
    if maps and all(scale.power == 1 for scale in maps):
        if _passes(operation, args, inputs):
            for other in maps:
                maps[0].group.unite(other.group)
            maps[0].group.repeat(channels)
            return maps[0]
        both = inputs + [None for value in keras.tree.flatten(args) if _is_constant_vector(value)]
        if kind == "Multiply" and len(both) == 2 and None in both:
            return _Scale(_Group(channels))
        if kind == "Square":
            return _Scale(maps[0].group, 2)
        if kind == "GetItem" and _picks_channels(args[1]):
            return _Scale(_Group(channels, fixed=True))
    return _kept(operation, maps)


def _kept(operation: keras.Operation, maps: list[_Scale]) -> _Scale | None:
    """The scale of an operation that nothing is known of: neither input nor output is divided."""
    for scale in maps:
        scale.group.fixed = True
    shape = operation.output.shape
    is_map = len(shape) == 4 and shape[1:3] != (1, 1)
    return _Scale(_Group(shape[-1], fixed=True)) if is_map else None


def _passes(operation: keras.Operation, args: Any, inputs: list[_Scale | None]) -> bool:
    """Whether f(x / vector) = f(x) / vector, for vectors (C,), broadcast or repeated."""
    kind = type(operation).__name__
    if kind == "Multiply" and len(inputs) == 1:
        return any(isinstance(factor, (int, float)) for factor in args)
    if kind in ("Add", "Subtract", "Concatenate"):
        # Of tensors and vectors alone: another constant would have to be divided.
        given = keras.tree.flatten(args)
        vectors = [value for value in given if kind != "Concatenate" and _is_constant_vector(value)]
        tensors = len(inputs) + len(vectors) == len(given)
        is_map = len(operation.output.shape) == 4 and None not in inputs
        return tensors and (is_map or kind != "Concatenate")
    if kind == "GetItem":
        key = args[1]
        short = isinstance(key, tuple) and len(key) < len(operation.input.shape)
        return short and Ellipsis not in key
    if kind == "Pad":
        return operation.mode == "reflect"
    if kind in ("ReLU", "LeakyReLU", "Activation"):
        return _is_homogeneous(operation)
    if kind == "DepthwiseConv2D":
        return operation.depth_multiplier == 1 and _is_homogeneous(operation)
    linear = ("DepthToSpace", "Flatten", "ZeroPadding2D", "UpSampling2D", "AveragePooling2D")
    return kind in linear


def _is_homogeneous(layer: Any) -> bool:
    """Whether the layer's activation, or the activation that it is, is linear or a (leaky) ReLU."""
    if isinstance(layer, layers.ReLU):
        return layer.max_value is None and layer.threshold == 0
    linear = (keras.activations.linear, keras.activations.relu, keras.activations.leaky_relu)
    return isinstance(layer, layers.LeakyReLU) or layer.activation in linear


def _is_mean(operation: Any) -> bool:
    """Whether it takes means over height and width."""
    if isinstance(operation, layers.GlobalAveragePooling2D):
        return True
    return type(operation).__name__ == "Mean" and operation.axis == (1, 2)


def _is_constant_vector(value: Any) -> bool:
    is_array = not isinstance(value, (keras.KerasTensor, keras.Operation))
    shape = tuple(getattr(value, "shape", ())) if is_array else ()
    return len(shape) == 4 and shape[:3] == (1, 1, 1)


def _picks_channels(key: Any) -> bool:
    """Whether x[key] is x[..., some channels]."""
    return isinstance(key, tuple) and len(key) == 2 and key[0] is Ellipsis


# by how much


def _set_vectors(
    plan: _Plan, model: keras.Model, given: list[Array], k_power: float, s_power: float
) -> None:
    """Gives each group that is not fixed its vector, from its maps' ranges on given inputs."""
    read: dict[_Group, list[keras.Operation]] = {}  # by convolutions
    made: dict[_Group, list[keras.Operation]] = {}
    for operation, sources in plan.sources.items():
        if type(operation) is layers.Conv2D:
            for found, one in ((read, sources[0]), (made, operation)):
                scale = plan.scales[one]
                if scale is not None and not scale.group.fixed:
                    found.setdefault(scale.group, []).append(one)
    chosen = [(group, maps, s_power) for group, maps in read.items()]
    chosen += [(group, maps, k_power) for group, maps in made.items() if group not in read]
    chosen = [(group, maps, power) for group, maps, power in chosen if power != 0]
    measured = [operation for _, maps, _ in chosen for operation in maps]
    if not measured:
        return
    ranges = iter(_ranges(model, measured, given))
    for group, maps, power in chosen:
        folded = [next(ranges).reshape(-1, group.channels).max(0) for _ in maps]
        group.vector = _relative(np.max(folded, axis=0)) ** np.float32(power)


def _ranges(
    model: keras.Model, operations: list[keras.Operation], given: list[Array]
) -> list[Array]:
    """Ranges (C,) of the channels of each operation's output, the largest over the images."""
    maps_of = keras.Model(packed(model.inputs), [operation.output for operation in operations])
    largest = [np.zeros(operation.output.shape[-1], np.float32) for operation in operations]
    for rows in zip(*given, strict=True):
        maps = maps_of(packed([row[None] for row in rows]))
        for i, values in enumerate(keras.tree.flatten(maps)):
            magnitudes = np.abs(values).reshape(-1, values.shape[-1])
            largest[i] = np.maximum(largest[i], np.percentile(magnitudes, PERCENTILE, axis=0))
    return largest


def _relative(ranges: Array) -> Array:
    """Ranges (C,) with a geometric mean of 1."""
    if not ranges.max() > 0:
        return np.ones_like(ranges)
    floored = np.maximum(ranges, FLOOR * ranges.max())
    return (floored / np.exp(np.log(floored).mean())).astype(np.float32)


# the graph with it


def _rewritten(model: keras.Model, inputs: list[Any], plan: _Plan) -> Any:
    """The output of the equalised graph on `inputs`."""

    def call(operation, *args, **kwargs):
        kind = type(operation).__name__
        sources, own = plan.sources[operation], plan.divisor(operation)
        divisors = [plan.divisor(source) for source in sources]
        if kind in ("Conv2D", "Dense"):
            weights = _scaled_weights(operation, divisors[0], own)
            return copied(operation, *args, weights=weights, **kwargs)
        if kind == "DepthwiseConv2D" and operation.use_bias and own is not None:
            kernel, bias = operation.get_weights()
            return copied(operation, *args, weights=[kernel, bias / own], **kwargs)
        if kind in ("Add", "Subtract", "Multiply"):
            vectors = [plan.scales[source] is None for source in sources]
            among = [d for d, vector in zip(divisors, vectors, strict=True) if not vector]
            factor = _quotient(among[0] if kind == "Multiply" and among else None, own)
            args = _with_vectors(args, vectors, factor)
        output = copied(operation, *args, **kwargs)
        if divisors and divisors[0] is not None:
            if _is_mean(operation):
                return output * divisors[0]
            if kind == "GetItem" and _picks_channels(args[1]):
                return output * divisors[0][args[1][1]]
        return output

    return run_through(model, inputs, call)


def _quotient(numerator: Array | None, denominator: Array | None) -> Array | None:
    """The quotient of two vectors, None standing for ones."""
    if denominator is None:
        return numerator
    return (np.float32(1) if numerator is None else numerator) / denominator


def _with_vectors(args: Any, vectors: list[bool], factor: Array | None) -> Any:
    """Arguments with those tensors multiplied that are marked as vectors, and constant vectors."""
    if factor is None or all(vectors):
        return args
    marks = iter(vectors)

    def multiplied(value):
        if _is_constant_vector(value):
            return np.asarray(value) * factor
        if not isinstance(value, keras.KerasTensor):
            return value
        return value * factor if next(marks) else value

    return keras.tree.map_structure(multiplied, args)


def _scaled_weights(layer: Any, read: Array | None, made: Array | None) -> list[Array]:
    """Weights of a convolution or dense layer whose input and output are divided."""
    kernel, *bias = layer.get_weights()
    if read is not None:
        kernel = kernel * read[:, None]
    if made is not None:
        kernel, bias = kernel / made, [b / made for b in bias]
    return [kernel, *bias]
