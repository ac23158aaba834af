"""A folded translator as a TensorFlow SavedModel: pictures of any size and number, in float.

One signature, predict_tensor: image (N, H, W, 3) float32 RGB 0..255 -> translation, the same.
"""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfi2i.errors import InputError
from tfi2i.pixels import to_image
from tfi2i_export.interpreter import INPUT, OUTPUT, quiet

SIGNATURE = "predict_tensor"


def answering(folded: keras.Model) -> Any:
    """The function of the signature, image -> {"translation": ...}, both 0..255."""
    black, white = to_image(np.array([0, 255], np.uint8))
    levels = 255 / float(white - black)

    def predict_tensor(image: tf.Tensor) -> dict[str, tf.Tensor]:
        translation = folded(image / levels + float(black), training=False)
        return {OUTPUT: tf.clip_by_value((translation - float(black)) * levels, 0, 255)}

    return predict_tensor


class SavedTranslator:
    """Pixels (N, H, W, 3) uint8 -> the same, by the function that a SavedModel gets."""

    def __init__(self, folded: keras.Model):
        self._call = tf.function(answering(folded), reduce_retracing=True)

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        rows = [self._call(tf.cast(one[None], tf.float32))[OUTPUT].numpy() for one in pixels]
        return np.rint(np.concatenate(rows)).astype(np.uint8)


def save(folded: keras.Model, folder: Path) -> None:
    """Writes the SavedModel."""
    archive = keras.export.ExportArchive()
    image = tf.TensorSpec((None, *folded.input_shape[1:3], 3), tf.float32, name=INPUT)
    archive.add_endpoint(SIGNATURE, answering(folded), input_signature=[image])
    with quiet():
        archive.write_out(folder, verbose=False)
    _check(folder, folded)


def _check(folder: Path, folded: keras.Model) -> None:
    """What was written answers as what was measured, when it is loaded anew."""
    height, width = (side or 32 for side in folded.input_shape[1:3])
    pixels = np.random.default_rng(0).integers(0, 256, (2, height, width, 3), np.uint8)
    signature = tf.saved_model.load(folder).signatures[SIGNATURE]
    answers = signature(**{INPUT: tf.cast(pixels, tf.float32)})[OUTPUT].numpy()
    difference = np.abs(np.rint(answers) - SavedTranslator(folded)(pixels)).max()
    if difference > 1:
        raise InputError(
            f"{folder} answers otherwise than the model that was saved, by {difference:.0f} "
            "levels; please report this as a bug of tfi2i."
        )
