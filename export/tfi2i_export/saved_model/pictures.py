"""Translates pictures of any size with a SavedModel, whole or in overlapping tiles.

It asks the signature `predict_tensor`; the one for picture files would scale big pictures down. As
with a .tflite file, each tile has the statistics of its own, and tiles differ a little in colour.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray

from tfi2i.errors import InputError, first_line
from tfi2i.networks.strides import USUAL_MULTIPLE
from tfi2i.pictures.channels import CHANNELS
from tfi2i.pictures.pixels import from_levels, to_levels
from tfi2i.pictures.tiles import PictureTranslator, Pixels
from tfi2i.terminal import quiet
from tfi2i_export.graph.keras_graph import packed
from tfi2i_export.inputs import (
    NOTHING_TO_TRANSLATE,
    count_of,
    fitted,
    require_all,
    row,
    shapes_of,
)
from tfi2i_export.saved_model.files import signatures, versions
from tfi2i_export.saved_model.writing import TENSOR
from tfi2i_export.tflite.interpreter import INPUT, OUTPUT
from tfi2i_export.tflite.pictures import checked_multiple, sidecar_of


def saved_picture_translator(
    folder: Path,
    values: Mapping[str, ArrayLike] | None = None,
    *,
    tile: int | None = None,
    deep: bool = False,
) -> Callable[[Pixels], Pixels]:
    """Pixels (H, W, 3) of any size -> the same, by a SavedModel.

    TensorFlow runs whatever is in it, which can be more than arithmetic: it has to be from someone
    you trust.

    Args:
        folder: Version's folder, or the folder of versions, whose latest is taken. A sidecar
            beside the version is checked.
        values: Values (...) or (1, ...) of its inputs besides the picture by name.
        tile: Side of the tiles, where it takes any size; see `tfi2i.pictures.tiles.Tiling`.
        deep: True for pixels of 16 bits as results; pictures may have them in any case.

    Raises:
        InputError: There is no SavedModel, it differs from what its sidecar says, cannot be loaded,
            or does not translate pictures; or a value is missing or does not fit.
    """
    version = version_of(folder)
    sidecar = sidecar_of(version)
    multiple = checked_multiple(version, sidecar.multiple if sidecar else USUAL_MULTIPLE)
    signature = _signature(version)
    taken = signature.structured_input_signature[1]
    if INPUT not in taken:
        raise InputError(f"{version} {NOTHING_TO_TRANSLATE}")
    image = keras.Input(taken[INPUT].shape[1:], name=INPUT)
    extra = [keras.Input(one.shape[1:], name=name) for name, one in taken.items() if name != INPUT]
    answer = _Answer(signature)(image, {one.name: one for one in extra})
    network = keras.Model(packed([image, *extra]), answer)
    given = fitted(values or {}, shapes_of(network), str(version))
    require_all(given, shapes_of(network), str(version))
    translate = PictureTranslator(network, values=given, multiple=multiple, tile=tile, deep=deep)

    def translated(pixels: Pixels) -> Pixels:
        try:
            return translate(pixels)
        except tf.errors.OpError as error:
            size = f"{pixels.shape[0]} x {pixels.shape[1]}"
            raise InputError(
                f"{version} fails on a picture of {size} ({first_line(error)})."
            ) from error

    translated.channels = translate.channels  # type: ignore[attr-defined]
    translated.takes_deep = True  # type: ignore[attr-defined]
    return translated


def saved_sampler(folder: Path) -> Callable[..., Pixels]:
    """Values (N, ...) by name -> pixels (N, H, W, 3), by a SavedModel; raises as the above."""
    version = version_of(folder)
    sidecar_of(version)
    signature = _signature(version)

    def sampled(**values: NDArray[np.float32]) -> Pixels:
        answers = [
            signature(**{name: tf.constant(one) for name, one in row(values, i).items()})[OUTPUT]
            for i in range(count_of(None, values))
        ]
        return np.rint(np.concatenate(answers)).astype(np.uint8)

    return sampled


class _Answer(keras.layers.Layer):
    """Images in [-1, 1], and extra inputs -> images, by a signature that wants and gives 0..255."""

    def __init__(self, signature: Any):
        super().__init__()
        self.signature = signature

    def call(self, image: tf.Tensor, extra: Mapping[str, tf.Tensor]) -> tf.Tensor:
        return from_levels(self.signature(**{INPUT: to_levels(image)}, **extra)[OUTPUT])


def extra_shapes(version: Path) -> dict[str, tuple[int, ...]]:
    """By name the shapes, for one picture, of what a version takes besides it; nothing is loaded.

    Raises:
        InputError: It is no SavedModel.
    """
    known = signatures(version)
    return {
        name: (1, *(side.size for side in tensor.tensor_shape.dim[1:]))
        for name, tensor in sorted(known[TENSOR].inputs.items() if TENSOR in known else ())
        if name != INPUT
    }


def version_of(folder: Path) -> Path:
    """The folder with saved_model.pb in it, if there is one."""
    folder = folder.absolute()
    if (folder / "saved_model.pb").is_file():
        return folder
    return (versions(folder) or [folder])[-1]


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
    if not inputs or set(outputs) != {OUTPUT}:
        raise InputError(
            f"{version} makes {', '.join(outputs)} of {', '.join(inputs)}; give one that makes"
            f" {OUTPUT} of {INPUT}."
        )
    for name, one in {**inputs, **outputs}.items():
        has, is_float = f"{version} has a {one.dtype.name}", one.dtype == tf.float32
        if name in (INPUT, OUTPUT):
            if not is_float or one.shape.rank != 4 or one.shape[-1] not in CHANNELS:
                wanted = "pictures are float32 (N, H, W, 3), or of 1 to 4 channels"
                raise InputError(f"{has} tensor {one.shape}; {wanted}.")
        elif not is_float or not one.shape.rank or None in one.shape[1:]:
            what = "inputs besides the picture are float32 (N, ...)"
            raise InputError(f"{has} input {name!r} {one.shape}; {what}.")
    signature.loaded = loaded  # its functions hold their variables by weak references
    return signature
