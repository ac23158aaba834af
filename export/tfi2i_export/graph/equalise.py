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
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from keras import layers
from scipy.cluster.hierarchy import DisjointSet

from tfi2i.errors import InputError
from tfi2i_export.graph.keras_graph import Array, copied, inputs_like, packed, run_through
from tfi2i_export.inputs import count_of, fitted, require_all, shapes_of

PERCENTILE = 99.99
"""Of a channel's magnitudes: its range, without a single outlier."""
FLOOR = 1e-3
"""Of the widest channel: what narrower ones count as, so that dead ones are not blown up."""


@dataclass
class _Plan:
    """Traces what each operation of a flat graph reads and which vector divides its output, if any.

    Outputs that are no maps are vectors (N, C) and (N, 1, 1, C); they keep their values. So are
    constants (1, 1, 1, C), which are vectors of a baked style.

    Attributes:
        sources: Operations that each one reads.
        maps: Operations that make maps, in sets that share a vector: it is repeated where a map
            has a multiple of its channels.
        squares: Operations whose outputs are divided by its square.
        fixed: Operations whose maps, and those that share their vector, are not divided.
        vectors: Vector of each set by its root; ones for those that are missing.
    """

    sources: dict[keras.Operation, list[keras.Operation]] = field(default_factory=dict)
    maps: DisjointSet = field(default_factory=DisjointSet)
    squares: set[keras.Operation] = field(default_factory=set)
    fixed: set[keras.Operation] = field(default_factory=set)
    vectors: dict[keras.Operation, Array] = field(default_factory=dict)

    def divisor(self, operation: keras.Operation) -> Array | None:
        """The vector (C,) that an operation's output is divided by; None: it is not."""
        vector = self.vectors.get(self.maps[operation]) if operation in self.maps else None
        if vector is None:
            return None
        whole = np.tile(vector, operation.output.shape[-1] // len(vector))
        return whole**2 if operation in self.squares else whole

    def fix(self, operations: Iterable[keras.Operation]) -> None:
        """Makes the outputs of operations maps that are not divided."""
        for operation in operations:
            self.maps.add(operation)
            self.fixed.add(operation)


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
    """Sets of all maps of a flat graph."""
    plan = _Plan()
    made_by = {id(operation.output): operation for operation in model.operations}
    inputs = [made_by[id(one)] for one in model.inputs]
    plan.sources = {one: [] for one in inputs}
    plan.fix(filter(_is_map, inputs))

    def call(operation, *args, **kwargs):
        given = keras.tree.flatten((args, kwargs))
        plan.sources[operation] = [one for one in given if isinstance(one, keras.Operation)]
        _add(plan, operation, args)
        return operation

    run_through(model, inputs, call)
    plan.fix(one for one in model.operations[-1:] if one in plan.maps)
    return plan


def _add(plan: _Plan, operation: keras.Operation, args: Any) -> None:
    """Adds an operation's output to the maps; unites and fixes its inputs' sets as it demands."""
    kind = type(operation).__name__
    sources = plan.sources[operation]
    maps = [source for source in sources if source in plan.maps]
    constants = sum(map(_is_constant_vector, keras.tree.flatten(args)))
    divisible = bool(maps) and plan.squares.isdisjoint(maps)
    if _is_mean(operation) or kind == "Dense":
        return
    if kind == "Conv2D" and _is_homogeneous(operation) and operation.groups == 1:
        plan.maps.add(operation)
    elif divisible and (kind == "Square" or _passes(operation, args, sources, maps)):
        plan.maps.add(operation)
        for source in maps:
            plan.maps.merge(source, operation)
        if kind == "Square":
            plan.squares.add(operation)
    elif divisible and kind == "Multiply" and len(maps) == 1 and len(sources) + constants == 2:
        plan.maps.add(operation)
    elif divisible and kind == "GetItem" and _picks_channels(args[1]):
        plan.fix([operation])
    else:
        plan.fix([*maps, *filter(_is_map, [operation])])


def _is_map(operation: keras.Operation) -> bool:
    shape = operation.output.shape
    return len(shape) == 4 and shape[1:3] != (1, 1)


def _passes(operation: keras.Operation, args: Any, inputs: list[Any], maps: list[Any]) -> bool:
    """Whether f(x / vector) = f(x) / vector, for vectors (C,), broadcast or repeated."""
    kind = type(operation).__name__
    if kind == "Multiply" and len(inputs) == 1:
        return any(isinstance(factor, (int, float)) for factor in args)
    # Of tensors and vectors alone: another constant would have to be divided.
    given = keras.tree.flatten(args)
    if kind == "Concatenate":
        return len(operation.output.shape) == 4 and len(maps) == len(given)
    if kind in ("Add", "Subtract"):
        return len(inputs) + sum(map(_is_constant_vector, given)) == len(given)
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
    return kind in ("DepthToSpace", "Flatten", "ZeroPadding2D", "UpSampling2D", "AveragePooling2D")


def _is_homogeneous(layer: Any) -> bool:
    """Whether the layer's activation, or the activation that it is, is linear or a (leaky) ReLU."""
    if isinstance(layer, layers.ReLU):
        return layer.max_value is None and layer.threshold == 0
    linear = (keras.activations.linear, keras.activations.relu, keras.activations.leaky_relu)
    return isinstance(layer, layers.LeakyReLU) or layer.activation in linear


def _is_mean(operation: Any) -> bool:
    """Whether it takes means over height and width."""
    is_mean = type(operation).__name__ == "Mean" and operation.axis == (1, 2)
    return is_mean or isinstance(operation, layers.GlobalAveragePooling2D)


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
    """Gives each set that is not fixed its vector, from its maps' ranges on given inputs."""
    read: dict[keras.Operation, list[keras.Operation]] = {}  # by convolutions; keys are roots
    made: dict[keras.Operation, list[keras.Operation]] = {}
    fixed = {plan.maps[one] for one in plan.fixed}
    for operation, sources in plan.sources.items():
        if type(operation) is layers.Conv2D:
            for found, one in ((read, sources[0]), (made, operation)):
                if one in plan.maps and plan.maps[one] not in fixed:
                    found.setdefault(plan.maps[one], []).append(one)
    powers = dict.fromkeys(made, k_power) | dict.fromkeys(read, s_power)
    chosen = {root: maps for root, maps in (made | read).items() if powers[root] != 0}
    measured = [one for maps in chosen.values() for one in maps]
    if not measured:
        return
    ranges = iter(_ranges(model, measured, given))
    for root, maps in chosen.items():
        channels = math.gcd(*(one.output.shape[-1] for one in plan.maps.subset(root)))
        folded = [next(ranges).reshape(-1, channels).max(0) for _ in maps]
        plan.vectors[root] = _relative(np.max(folded, axis=0)) ** np.float32(powers[root])


def _ranges(
    model: keras.Model, operations: list[keras.Operation], given: list[Array]
) -> list[Array]:
    """Ranges (C,) of the channels of each operation's output, the largest over the images."""
    maps_of = keras.Model(packed(model.inputs), [operation.output for operation in operations])
    found = []
    for rows in zip(*given, strict=True):
        maps = keras.tree.flatten(maps_of(packed([row[None] for row in rows])))
        sizes = [np.abs(one).reshape(-1, one.shape[-1]) for one in maps]
        found.append([np.percentile(one, PERCENTILE, axis=0) for one in sizes])
    return [np.max(one, axis=0) for one in zip(*found, strict=True)]


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
        if kind in ("Conv2D", "Dense", "DepthwiseConv2D"):
            kernel, *bias = operation.get_weights()
            read, made = _or_one(divisors[0]), _or_one(own)
            if kind != "DepthwiseConv2D":  # which reads and makes maps of the same vector
                kernel = kernel * read[:, None] / made
            return copied(operation, *args, weights=[kernel, *(b / made for b in bias)], **kwargs)
        if kind in ("Add", "Subtract", "Multiply"):
            maps = [source for source in sources if source in plan.maps]
            before = plan.divisor(maps[0]) if kind == "Multiply" and maps else None
            if maps and (before is not None or own is not None):
                are_maps = [source in maps for source in sources]
                args = _with_vectors(args, are_maps, _or_one(before) / _or_one(own))
        output = copied(operation, *args, **kwargs)
        if divisors and divisors[0] is not None:
            if _is_mean(operation):
                return output * divisors[0]
            if kind == "GetItem" and _picks_channels(args[1]):
                return output * divisors[0][args[1][1]]
        return output

    return run_through(model, inputs, call)


def _or_one(vector: Array | None) -> Array:
    return np.ones(1, np.float32) if vector is None else vector


def _with_vectors(args: Any, are_maps: list[bool], factor: Array) -> Any:
    """Arguments with those tensors multiplied that are no maps, and constant vectors."""
    marks = iter(are_maps)

    def multiplied(value):
        if isinstance(value, keras.KerasTensor):
            return value if next(marks) else value * factor
        return np.asarray(value) * factor if _is_constant_vector(value) else value

    return keras.tree.map_structure(multiplied, args)
