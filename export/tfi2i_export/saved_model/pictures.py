"""Translates pictures of any size with a SavedModel, whole or in overlapping tiles.

It asks the signature `predict_tensor`; the one for picture files would scale big pictures down. As
with a .tflite file, each tile has the statistics of its own, and tiles differ a little in colour.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from tfi2i.errors import InputError, first_line
from tfi2i.networks.strides import USUAL_MULTIPLE
from tfi2i.pictures.pixels import from_levels, to_levels
from tfi2i.pictures.tiles import PictureTranslator, Pixels
from tfi2i.terminal import quiet
from tfi2i_export.saved_model.files import signatures, versions
from tfi2i_export.saved_model.writing import TENSOR
from tfi2i_export.tflite.interpreter import INPUT, OUTPUT
from tfi2i_export.tflite.pictures import checked_multiple, sidecar_of


def saved_picture_translator(folder: Path) -> Callable[[Pixels], Pixels]:
    """Pixels (H, W, 3) of any size -> the same, by a SavedModel.

    TensorFlow runs whatever is in it, which can be more than arithmetic: it has to be from someone
    you trust.

    Args:
        folder: A version's folder, or the folder of versions, whose latest is taken. A sidecar
            beside the version is checked.

    Raises:
        InputError: There is no SavedModel, it differs from what its sidecar says, cannot be loaded,
            or does not translate pictures.
    """
    version = _version(folder)
    multiple = _multiple(version)
    signature = _signature(version)
    image = keras.Input(signature.structured_input_signature[1][INPUT].shape[1:])
    network = keras.Model(image, _Answer(signature)(image))
    translate = PictureTranslator(network, multiple=multiple)

    def translated(pixels: Pixels) -> Pixels:
        try:
            return translate(pixels)
        except tf.errors.OpError as error:
            height, width, *_ = pixels.shape
            raise InputError(
                f"{version} fails on a picture of {height} x {width} ({first_line(error)})."
            ) from error

    return translated


class _Answer(keras.layers.Layer):
    """Images in [-1, 1] -> the same, by a signature that wants and gives 0..255."""

    def __init__(self, signature: Any):
        super().__init__()
        self.signature = signature

    def call(self, image: tf.Tensor) -> tf.Tensor:
        return from_levels(self.signature(**{INPUT: to_levels(image)})[OUTPUT])


def _version(folder: Path) -> Path:
    """The folder with saved_model.pb in it, if there is one."""
    folder = folder.absolute()
    if (folder / "saved_model.pb").is_file():
        return folder
    found = versions(folder)
    return found[-1] if found else folder


def _multiple(version: Path) -> int:
    """What sides are multiples of, by the sidecar beside the version if there is one."""
    sidecar = sidecar_of(version)
    return checked_multiple(version, sidecar.multiple if sidecar else USUAL_MULTIPLE)


def _signature(version: Path) -> Any:
    """The loaded signature, which keeps the SavedModel alive."""
    known = signatures(version)
    if TENSOR not in known:
        raise InputError(
            f"{version} has no signature {TENSOR}; it has {', '.join(known) or 'none'}."
        )
    try:
        with quiet():
            loaded = tf.saved_model.load(version)
    except Exception as error:  # TensorFlow raises nearly anything for a damaged file
        raise InputError(
            f"{version} cannot be loaded as a SavedModel ({first_line(error)}); copy it again."
        ) from error
    signature = loaded.signatures[TENSOR]
    inputs, outputs = signature.structured_input_signature[1], signature.structured_outputs
    if set(inputs) != {INPUT} or set(outputs) != {OUTPUT}:
        raise InputError(
            f"{version} makes {', '.join(outputs)} of {', '.join(inputs)}; give one that makes"
            f" {OUTPUT} of {INPUT} alone."
        )
    for tensor in (inputs[INPUT], outputs[OUTPUT]):
        if tensor.dtype != tf.float32 or tensor.shape.rank != 4 or tensor.shape[-1] != 3:
            raise InputError(
                f"{version} has a {tensor.dtype.name} tensor {tensor.shape}; pictures are float32"
                " (N, H, W, 3)."
            )
    signature.loaded = loaded  # its functions hold their variables by weak references
    return signature
