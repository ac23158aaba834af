"""A trained translator as the graph to export: exactly the same function in plain float32 layers.

`fold` flattens the models inside, replaces every layer of tfi2i by the rule of its class (`rules`)
and copies what Keras itself knows. What training needs is gone: spectral normalisation, CAM logits,
shared statistics; so is what depends on nothing but baked values of extra inputs, such as a style.
`parity_db` measures that nothing else is.
"""

import collections
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import ArrayLike

from tfi2i.errors import InputError
from tfi2i.layers.convolution import ReflectionPad2D
from tfi2i.pictures.pixels import to_pixels
from tfi2i_export.graph.keras_graph import (
    Array,
    Rule,
    convolution,
    copied,
    inputs_like,
    packed,
    run_through,
    sources_of,
)
from tfi2i_export.graph.rules.layers import Pad, nearest_convolution, passed_on, rules
from tfi2i_export.inputs import beside, count_of, fitted, row, shapes_of, takes_picture

WIDEST_RETILED = 4
"""Filters up to which an output convolution leaves most of a processor's vector unit idle."""

FILLS = {"OnesLike": 1.0, "ZerosLike": 0.0}
"""Values of operations that fill a map's shape, of which XNNPACK has none, by their class."""

_AUTOMATIC = re.compile(r"(keras_tensor|input_layer)(_\d+)?$")  # what Keras calls inputs


class FoldError(InputError):
    """A layer that there is no export rule for."""


def fold(
    translator: keras.Model,
    *,
    side: int | tuple[int, int] | None,
    pad: Pad = "slice",
    retile_output: bool = True,
    baked: Mapping[str, ArrayLike] | None = None,
) -> keras.Model:
    """Rewrites (N, H, W, C) -> (N, H, W, C), [-1, 1], in plain float32 layers; samplers as well.

    The graph is flat and shares no variable with the translator. Layers with weights keep their
    names; those of models in front of the last one get its name before theirs (`enc_conv0`). The
    names depend on nothing but the architecture. Inputs besides the picture keep name and order.

    Args:
        translator: Functional, as `system.translator` and the files of a run have it.
        side: Height and width in pixels, one number if they are equal; None leaves them free. A
            sampler has its own.
        pad: Reflection padding as slices and concatenations, for CPUs, or as one operation.
        retile_output: Computes 2 x 2 pixels of the last convolution at once.
        baked: Values of extra inputs by name, which become part of the graph.

    Raises:
        FoldError: the translator has a layer that there is no rule for.
        InputError: it is no functional model image -> image, or cannot take that side or a value.
    """
    height, width = side if isinstance(side, tuple) else (side, side)
    _check_functional(translator)
    channels = translator.inputs[0].shape[-1] if takes_picture(translator) else 3
    image = keras.Input((height, width, channels), name="image", dtype="float32")
    _check(translator, image)
    constants = fitted(baked or {}, shapes_of(translator), translator.name)
    extra = inputs_like(translator)
    if takes_picture(translator):
        extra[0] = image
    inputs = [one for one in extra if one.name not in constants]
    if not inputs:
        raise InputError(f"All inputs of {translator.name} are baked; leave one open.")
    call = _folding(rules(pad), {one.name for one in inputs})
    given = [constants.get(one.name, one) for one in extra]
    output = run_through(translator, given, call(translator, ""))
    folded = keras.Model(packed(inputs), output, name=translator.name)
    makes_image = len(folded.output_shape) == 4  # an encoder of pictures makes a vector
    if takes_picture(translator) and makes_image and folded.output_shape[:3] != image.shape[:3]:
        raise InputError(
            f"{translator.name} makes {_size(folded.output_shape)} of {_size(image.shape)}; "
            "choose sides that its strides divide."
        )
    return _retiled(folded) if retile_output else folded


def in_float32(translator: keras.Model) -> keras.Model:
    """A copy that computes in float32 what a half-precision policy trained: `fold`'s reference."""

    def copy(operation):
        config = operation.get_config()
        if isinstance(operation, keras.layers.Layer):  # others compute as they are given
            config["dtype"] = "float32"
        return type(operation).from_config(config)

    clone = keras.models.clone_model(translator, clone_function=copy, recursive=True)
    clone.set_weights(translator.get_weights())
    return clone


def parity_db(
    reference: Callable[..., ArrayLike],
    rewritten: Callable[..., ArrayLike],
    images: Array | None,
    inputs: Mapping[str, Array] | None = None,
) -> tuple[float, int]:
    """Agreement of two image -> image functions on images (N, H, W, 3), a picture at a time.

    Args:
        reference: Takes an image, and values of extra inputs by name.
        rewritten: Function of the rewritten graph.
        images: Images in [-1, 1]; None: of samplers.
        inputs: Values (N, ...) of extra inputs, if there are some.

    Returns:
        The worst picture's PSNR in dB (peak 2, the images' range; equal: inf), and the largest
        difference of the 8-bit pixels in levels.
    """
    error, level = 0.0, 0
    for i in range(count_of(images, inputs or {})):
        image, extra = None if images is None else images[i : i + 1], row(inputs or {}, i)
        first, second = (np.asarray(f(image, **extra), np.float32) for f in (reference, rewritten))
        error = max(error, float(np.square(first - second, dtype=np.float64).mean()))
        levels = np.abs(to_pixels(first).astype(int) - to_pixels(second))
        level = max(level, int(levels.max()))
    return (math.inf if error == 0 else 10 * math.log10(4 / error)), level


def _check_functional(translator: keras.Model) -> None:
    """Raises InputError unless it is a functional model of one output."""
    if not isinstance(translator, keras.Model) or not isinstance(translator, keras.Function):
        raise InputError(f"fold takes a functional keras.Model, received {type(translator)}.")
    if len(translator.outputs) != 1:
        raise InputError(
            f"{translator.name} has {len(translator.outputs)} outputs; fold takes translators of "
            "one image to one."
        )


def _check(translator: keras.Model, image: Any) -> None:
    """Raises InputError unless the translator takes `image`, and else what has name and shape."""
    taken, given = translator.inputs[0].shape, image.shape
    made = translator.output_shape
    if not takes_picture(translator) and (len(made) != 4 or None in made[1:] or made[3] != 3):
        raise InputError(
            f"{translator.name} makes {_size(made)} of {_size(taken)}; fold takes an image, or "
            "makes one of a fixed size."
        )
    if takes_picture(translator) and any(
        t not in (None, g) for t, g in zip(taken, given, strict=True)
    ):
        raise InputError(
            f"{translator.name} takes images of {_size(taken)}, not {_size(given)}; give its own "
            "size as the side."
        )
    if len(translator.inputs) > 1 and not isinstance(translator.input, list):
        raise InputError(f"{translator.name} has to take its inputs as a list, the picture first.")
    for one in beside(translator):
        if None in one.shape[1:] or _AUTOMATIC.match(one.name) or not one.name.isidentifier():
            raise InputError(
                f"{translator.name} has an input {one.name!r} {one.shape} besides the picture; "
                "give it a name of its own and a shape without None."
            )


def _size(shape: tuple[int | None, ...]) -> str:
    return " x ".join("any" if side is None else str(side) for side in shape[1:])


def _folding(
    rules: dict[type, Rule], taken: set[str]
) -> Callable[[keras.Model, str], Callable[..., Any]]:
    """Makes, for a model and the prefix of its layers' names, the call of `run_through`."""

    def unique(name: str) -> str:
        numbered = (f"{name}_{i}" for i in range(1, len(taken) + 1))
        free = next(n for n in [name, *numbered] if n not in taken)
        taken.add(free)
        return free

    def call_of(model: keras.Model, prefix: str) -> Callable[..., Any]:
        models = [one for one in model.operations if isinstance(one, keras.Function)]
        merged = _merged(model)

        def call(operation, *args, **kwargs):
            kwargs = {k: v for k, v in kwargs.items() if k not in ("training", "mask")}
            if any(x is None for x in keras.tree.flatten(args)):
                raise FoldError(
                    f"{operation.name} ({type(operation).__name__}) uses an output that is only "
                    "there for training; there is no export rule for that."
                )
            kind = type(operation)
            given = keras.tree.flatten((args, kwargs))
            if not any(isinstance(x, keras.KerasTensor) for x in given):  # all of it is baked
                return keras.tree.map_structure(
                    lambda x: None if x is None else ops.convert_to_numpy(x),
                    operation(*args, **kwargs),
                )
            if kind.__name__ == "Concatenate":
                args = _of_one_batch(args)
            if isinstance(operation, keras.Function):
                # `enc_a`, `enc_b` -> `enc`: both directions name their layers alike.
                short = re.sub(r"_(a|b|ab|ba|a2b|b2a)$", "", operation.name)
                inner = prefix if operation is models[-1] else f"{prefix}{short}_"
                return run_through(operation, keras.tree.flatten(args), call_of(operation, inner))
            if kind.__name__ in FILLS:
                return args[0] * 0.0 + FILLS[kind.__name__]
            if not isinstance(operation, keras.layers.Layer):
                return copied(operation, *args, **kwargs)
            name = unique(prefix + _stable(operation))
            if rule := merged.get(operation, rules.get(kind)):
                return rule(operation, name, *args, **kwargs)
            is_from_keras = getattr(keras.layers, kind.__name__, None) is kind
            if is_from_keras and kind is not keras.layers.Lambda:
                return copied(operation, *args, name=name, **kwargs)
            raise FoldError(
                f"{operation.name} is a layer of class {kind.__name__}, which has no "
                "export rule; add one to tfi2i_export.graph.rules.systems.RULES."
            )

        return call

    return call_of


def _of_one_batch(args: Any) -> Any:
    """Arguments with the baked ones repeated for each picture: concatenation does not broadcast."""
    given = next(x for x in keras.tree.flatten(args) if isinstance(x, keras.KerasTensor))
    first = given[(slice(None), *[slice(1)] * (given.ndim - 1))]

    def repeated(value):
        is_array = isinstance(value, np.ndarray) and value.ndim == first.ndim
        # Zeros made anew would take their number from the shape, which no delegate has.
        return ops.add(value, first * 0.0) if is_array else value

    return keras.tree.map_structure(repeated, args)


def _merged(model: keras.Model) -> dict[keras.Operation, Rule]:
    """Rules for layers that are cheaper together: a convolution of nearest pixels."""
    found: dict[keras.Operation, Rule] = {}
    sources = sources_of(model)
    readers = collections.Counter(source for given in sources.values() for source in given)
    only = {reader: given[0] for reader, given in sources.items() if len(given) == 1}
    for conv, pad in only.items():
        up = only.get(pad)
        if (
            type(conv) is keras.layers.Conv2D
            and isinstance(pad, ReflectionPad2D)
            and isinstance(up, keras.layers.UpSampling2D)
            and (up.size, up.interpolation, pad.padding) == ((2, 2), "nearest", 1)
            and _is_plain(conv)
            and conv.kernel_size == (3, 3)
            and readers[up] == readers[pad] == 1
        ):
            found |= {up: passed_on, pad: passed_on, conv: nearest_convolution}
    return found


def _stable(layer: keras.layers.Layer) -> str:
    """The name a layer was given, or its class where Keras numbered it: `re_lu_7` -> `relu`."""
    kind = type(layer).__name__.lower()
    automatic = re.sub(r"_\d+$", "", layer.name).replace("_", "") == kind
    return f"{kind}_layer" if automatic else layer.name  # bare operations are "add" or "add_1"


def _retiled(model: keras.Model) -> keras.Model:
    """The model with its output convolution as one of stride 2 and depth_to_space.

    The k x k kernel becomes (k + 1) x (k + 1) with a copy for each of the 2 x 2 pixels, shifted by
    its place. That is more multiplications, but filters enough to keep vector units busy, and a
    quarter of the positions. Models whose output is not always even, or whose last convolution is
    wide, stay as they are.
    """
    conv = _output_convolution(model)
    if conv is None or not _always_even(model):
        return model
    kernel, *bias = conv.get_weights()
    copies = [np.pad(kernel, [(p, 1 - p), (q, 1 - q), (0, 0), (0, 0)]) for p, q in np.ndindex(2, 2)]
    kernel = np.concatenate(copies, -1)  # (k + 1, k + 1, C, 4 D), in depth_to_space's order
    four = np.tile(bias[0], 4) if bias else None

    def call(operation, *args, **kwargs):
        if operation is conv:
            return ops.depth_to_space(convolution(args[0], kernel, four, 2, conv.name), 2)
        return copied(operation, *args, **kwargs)

    inputs = inputs_like(model)
    return keras.Model(packed(inputs), run_through(model, inputs, call), name=model.name)


def _output_convolution(model: keras.Model) -> keras.layers.Conv2D | None:
    """The narrow, valid convolution that makes the output, but for an activation; or None."""
    operations = {id(op.output): op for op in model.operations}
    operation = operations[id(model.outputs[0])]
    while isinstance(operation, keras.layers.Activation):
        operation = operations[id(operation.input)]
    if not isinstance(operation, keras.layers.Conv2D):
        return None
    wide = operation.filters > WIDEST_RETILED or min(operation.kernel_size) == 1
    return operation if _is_plain(operation) and not wide else None


def _is_plain(conv: keras.layers.Conv2D) -> bool:
    """Whether it is a valid convolution of stride 1, and nothing else."""
    return (
        conv.strides == conv.dilation_rate == (1, 1)
        and conv.padding == "valid"
        and conv.groups == 1
        # Inside the layer it is elementwise for all but softmax, which needs whole pixels.
        and conv.activation is keras.activations.linear
    )


def _always_even(model: keras.Model) -> bool:
    """Whether height and width of the output are even, for every size that the model takes."""
    _, height, width, _ = model.output_shape
    if height is not None and width is not None:
        return height % 2 == width % 2 == 0
    for side in range(64, 80):
        first = (1, side, side, model.inputs[0].shape[-1])
        shapes = packed([first, *shapes_of(model).values()])
        _, rows, columns, _ = model.compute_output_shape(shapes)
        if rows % 2 or columns % 2:
            return False
    return True
