"""A folded translator as a .tflite file, in float, and what is inside such a file.

The file takes and gives pixels 0..255: the way to the network's [-1, 1] and back is part of it.
"""

import tempfile
from collections.abc import Mapping
from typing import Any, Literal

import keras
import tensorflow as tf
from ai_edge_litert.schema_py_generated import Model
from keras import ops
from tensorflow.lite.python.convert_phase import ConverterError

from tfi2i.errors import InputError
from tfi2i.pictures.pixels import from_levels, to_levels
from tfi2i.terminal import quiet
from tfi2i_export.graph.keras_graph import packed
from tfi2i_export.inputs import takes_picture
from tfi2i_export.tflite.inspection import inspect, require_plain
from tfi2i_export.tflite.interpreter import INPUT, OUTPUT, VALUE

Io = Literal["float", "uint8"]

START = 64
"""Pixels of the sides that a file of free size begins with."""

SIGNATURE = "serving_default"
"""The signature of a file for one size, or for any."""


def convert(
    folded: keras.Model | Mapping[tuple[int, int], keras.Model],
    *,
    io: Io = "float",
    half: bool = False,
    batch: int = 1,
) -> bytes:
    """A .tflite file, image (B, H, W, 3) -> translation (B, H, W, 3), RGB 0..255.

    The names of layers are part of the names of the tensors. A model of free size makes a file of
    free size. Inputs besides the picture keep their names, and are float32 (B, ...); a sampler has
    no others. `resize_tensor_input` on all inputs gives other numbers of pictures.

    Args:
        folded: Graph by `fold`, for any number of pictures; or one for each (H, W), which become
            signatures such as translate_256x256 that share the weights.
        io: "float": float32 in and out, not rounded; "uint8": rounded as `tfi2i.pictures.pixels`
            does it.
        half: Stores the weights as float16.
        batch: Number of pictures B.

    Raises:
        InputError: The converter has no way to express the model in LiteRT's own operations.
    """
    if io not in ("float", "uint8"):
        raise InputError(f"io is {io!r}; choose float or uint8.")
    models = {
        name: with_pixels(model, "uint8" if io == "uint8" else "float32")
        for name, model in _by_signature(folded).items()
    }
    return _plain(models, half, batch)


def convert_encoders(folded: Mapping[str, keras.Model], *, half: bool) -> bytes:
    """A .tflite file, image (1, S, S, 3) RGB 0..255 -> value (1, ...); raises as `convert`.

    Args:
        folded: Graphs by `fold` of encoders of an image, by signature.
        half: Stores the weights as float16.
    """
    models = {}
    for name, encoder in folded.items():
        image = keras.Input(encoder.inputs[0].shape[1:], name=INPUT)
        models[name] = keras.Model(image, {VALUE: encoder(from_levels(image))})
    return _plain(models, half, 1)


def _plain(models: dict[str, keras.Model], half: bool, batch: int) -> bytes:
    """The file of models by signature, in LiteRT's own operations."""
    try:
        with quiet():
            converted = _converted(models, half)
    except (ConverterError, ValueError, RuntimeError, tf.errors.OpError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise InputError(f"The model does not convert to .tflite: {reason}") from error
    require_plain(inspect(converted))
    return _of_size(converted, batch)


def _of_size(model: bytes, batch: int) -> bytes:
    """A file of a free number of pictures as one of `batch`, and of free sides as one of `START`.

    A file that is converted for one picture takes no more: where there is one of something, the
    converter leaves out axes by which four pictures would be told apart.

    The converter leaves free sides at 1, and Java's interpreter prepares a file as it is when it
    opens it: nothing can be reflected there, so that it would refuse the file.
    """
    changed = bytearray(model)
    content = Model.GetRootAs(changed, 0)
    for graph in map(content.Subgraphs, range(content.SubgraphsLength())):
        inputs = set(graph.InputsAsNumpy().tolist())
        for i, tensor in enumerate(map(graph.Tensors, range(graph.TensorsLength()))):
            if not tensor.ShapeSignatureLength():
                continue
            shape, signature = tensor.ShapeAsNumpy(), tensor.ShapeSignatureAsNumpy()
            if signature[0] == -1:
                shape[0] = signature[0] = batch  # a view of the file's own bytes
            if i in inputs:
                shape[signature == -1] = START
    return bytes(changed)


def with_pixels(folded: keras.Model, dtype: str) -> keras.Model:
    """The model for pixels 0..255, named as in the file; dtype float32 or uint8."""
    given = [
        keras.Input(batch_shape=one.shape, name=one.name, dtype="float32") for one in folded.inputs
    ]
    values = list(given)
    if takes_picture(folded):
        given[0] = keras.Input(batch_shape=given[0].shape, name=INPUT, dtype=dtype)
        values[0] = from_levels(ops.cast(given[0], "float32"))
    pixels = ops.clip(to_levels(folded(packed(values))), 0, 255)
    if dtype == "uint8":
        pixels = ops.cast(ops.round(pixels), "uint8")
    return keras.Model(packed(given), {OUTPUT: pixels})


def convolutions(folded: keras.Model) -> list[str]:
    """The names of a folded model's convolutions, from the input to the output."""
    return [layer.name for layer in folded.layers if type(layer) is keras.layers.Conv2D]


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
