"""A folded translator as a SavedModel that TF Serving loads: versions of it in a folder.

Signatures: `serving_default`, image_bytes string (N,) -> image_bytes string (N,), picture files of
any sizes in, PNG files of their sizes out; `predict_tensor`, image float32 (N, H, W, 3) RGB 0..255
-> translation, the same. The channels are those of the translator, and files hold the numbers of
the run's ranges. A translator of one size gets pictures scaled to it, and its answers are
scaled back; others translate pictures at their own size (see `encoded_pictures`). Samplers take no
picture: only their conditions go in.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from tfi2i.errors import InputError
from tfi2i.files import sync
from tfi2i.networks.strides import multiple_of
from tfi2i.pictures.channels import in_channels as other_channels
from tfi2i.pictures.depth import PLAIN, Range, Ranges
from tfi2i.pictures.files import read_picture
from tfi2i.pictures.pixels import eight_bit, from_levels, to_levels
from tfi2i.pictures.tiles import MINIMUM
from tfi2i.terminal import quiet
from tfi2i_export.graph.keras_graph import packed
from tfi2i_export.inputs import count_of, row, shapes_of, takes_picture
from tfi2i_export.saved_model import warmup
from tfi2i_export.saved_model.files import versions
from tfi2i_export.saved_model.lint import lint
from tfi2i_export.saved_model.picture_files import at_own_size, encoded, held_by_png, levels
from tfi2i_export.tflite.interpreter import IMAGE_BYTES, INPUT, OUTPUT

TENSOR = "predict_tensor"
FILES = "serving_default"  # what a request means that names no signature

WARMUP_SIDE = 64  # of the picture in warm-up records, where the translator takes any size


def answering(folded: keras.Model) -> Any:
    """The function of `predict_tensor`, image and extra inputs -> {"translation": ...}, 0..255."""
    is_free = None in folded.inputs[0].shape[1:3]
    multiple = multiple_of(folded)

    def predict_tensor(*given: tf.Tensor) -> dict[str, tf.Tensor]:
        # A server holds no request to the shapes of a signature, and kernels trust their graph:
        # what does not fit would be answered wrongly, or end the process.
        first, *extra = (
            tf.ensure_shape(value, (None, *one.shape[1:]))
            for value, one in zip(given, folded.inputs, strict=True)
        )
        count, *sides = tf.unstack(tf.shape(first))
        checks = [
            tf.debugging.Assert(tf.shape(value)[0] == count, ["Give a row for each picture."])
            for value in extra
        ]
        if is_free:
            sides = sides[:2]
            fits = tf.reduce_all([(side % multiple == 0) & (side >= MINIMUM) for side in sides])
            wanted = f"Sides have to be multiples of {multiple} from {MINIMUM} on; they are:"
            checks.append(tf.debugging.Assert(fits, [wanted, *sides]))
        with tf.control_dependencies(checks):
            first = from_levels(first) if takes_picture(folded) else tf.identity(first)
        translation = folded(packed([first, *extra]), training=False)
        return {OUTPUT: tf.clip_by_value(to_levels(translation), 0, 255)}

    return predict_tensor


def answering_files(folded: keras.Model, ranges: Ranges = PLAIN) -> Any:
    """The function of `serving_default`, image_bytes (N,) and extra -> {"image_bytes": (N,)}."""
    answer = answering(folded)

    def written(picture: tf.Tensor) -> tf.Tensor:
        return encoded(picture, ranges.target)

    if not takes_picture(folded):

        def sampled(*extra: tf.Tensor) -> dict[str, tf.Tensor]:
            pictures = answer(*extra)[OUTPUT]
            return {IMAGE_BYTES: tf.map_fn(written, pictures, fn_output_signature=tf.string)}

        return sampled
    multiple = multiple_of(folded)
    *sides, taken = folded.inputs[0].shape[1:]

    def translated(row: Sequence[tf.Tensor]) -> tf.Tensor:
        file, *extra = row
        one = [value[None] for value in extra]
        picture = levels(file, taken, ranges.source)
        made = at_own_size(picture, lambda image: answer(image, *one)[OUTPUT], multiple)
        return written(made)

    def free(image_bytes: tf.Tensor, *extra: tf.Tensor) -> dict[str, tf.Tensor]:
        rows = (tf.ensure_shape(image_bytes, (None,)), *extra)
        # One after the other: as many as come at once would need that many times the memory.
        answers = tf.map_fn(translated, rows, fn_output_signature=tf.string, parallel_iterations=1)
        return {IMAGE_BYTES: answers}

    def scaled(file: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        picture = levels(file, taken, ranges.source)
        image = tf.image.resize(picture, sides, antialias=True)
        return tf.ensure_shape(image, (*sides, taken)), tf.shape(picture)[:2]

    def scaled_back(pair: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        translation, size = pair
        return written(tf.image.resize(translation, size, antialias=True))

    def fixed(image_bytes: tf.Tensor, *extra: tf.Tensor) -> dict[str, tf.Tensor]:
        types = (tf.TensorSpec((*sides, taken), tf.float32), tf.TensorSpec((2,), tf.int32))
        files = tf.ensure_shape(image_bytes, (None,))
        image, sizes = tf.map_fn(scaled, files, fn_output_signature=types)
        pairs = (answer(image, *extra)[OUTPUT], sizes)
        return {IMAGE_BYTES: tf.map_fn(scaled_back, pairs, fn_output_signature=tf.string)}

    return free if None in sides else fixed


class SavedTranslator:
    """Pixels (N, H, W, 3) uint8 -> the same, by the function that a SavedModel gets.

    Extra inputs (N, ...) are given by name; a sampler's pixels are None.
    """

    def __init__(self, folded: keras.Model):
        self._names = list(shapes_of(folded))
        self._call = tf.function(answering(folded), reduce_retracing=True)

    def __call__(
        self, pixels: NDArray[np.uint8] | None, **extra: NDArray[Any]
    ) -> NDArray[np.uint8]:
        rows = []
        for i in range(count_of(pixels, extra)):
            values = row(extra, i)
            given = [] if pixels is None else [tf.cast(pixels[i : i + 1], tf.float32)]
            given += [tf.constant(values[name]) for name in self._names]
            rows.append(self._call(*given)[OUTPUT].numpy())
        return np.rint(np.concatenate(rows)).astype(np.uint8)


def save(
    folded: keras.Model, base: Path, *, tensor_only: bool = False, ranges: Ranges = PLAIN
) -> Path:
    """Writes the next version of a model; returns its folder, BASE/1, BASE/2 ...

    A server that watches `base` loads a version as soon as it sees its number. So it gets it last:
    when it is whole, lint finds nothing, and the C++ session has answered the warm-up records.

    Args:
        folded: Float32 image -> image, its size free or fixed; or a sampler.
        base: Folder of the model's versions; made if it is not there.
        tensor_only: Leave out picture files, whose decoding some servers (OpenVINO) refuse;
            `serving_default` is then another name of `predict_tensor`.
        ranges: Numbers in picture files.

    Raises:
        InputError: What was written does not answer as it should; nothing is left behind.
    """
    base.mkdir(parents=True, exist_ok=True)
    temporary = base / f".tmp-{os.getpid()}"  # a name that is no number is no version
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        _write(folded, temporary, tensor_only, ranges)
        warmup.write(temporary, _requests(folded, tensor_only, ranges), model=base.name)
        _check(temporary, folded, ranges)
        return _published(temporary, base)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def refuse_unservable(folder: Path) -> list[dict[str, Any]]:
    """Makes sure that a version can be loaded and asked; the outputs for its warm-up records.

    Raises:
        InputError: Lint finds something, or the C++ session fails on a warm-up record.
    """
    findings = lint(folder)
    if findings:
        more = f" And {len(findings) - 1} more: {' '.join(findings[1:])}" if findings[1:] else ""
        raise InputError(f"{folder} cannot be served. {findings[0]}{more}")
    return warmup.replay(folder)


def _write(folded: keras.Model, folder: Path, tensor_only: bool, ranges: Ranges) -> None:
    archive = keras.export.ExportArchive()  # without track(), which would store weights twice
    image, files = [], []
    if takes_picture(folded):
        image = [tf.TensorSpec((None, *folded.inputs[0].shape[1:]), tf.float32, name=INPUT)]
        files = [tf.TensorSpec((None,), tf.string, name=IMAGE_BYTES)]
    extra = [
        tf.TensorSpec((None, *shape[1:]), tf.float32, name=name)
        for name, shape in shapes_of(folded).items()
    ]
    if not tensor_only:
        function = answering_files(folded, ranges)
        archive.add_endpoint(FILES, function, input_signature=[*files, *extra])
    archive.add_endpoint(TENSOR, answering(folded), input_signature=[*image, *extra])
    with quiet():
        archive.write_out(folder, verbose=False)


def _file(folded: keras.Model, value_range: Range | None) -> bytes | None:
    """A PNG file of slopes of colour, of the translator's size; None: it is a sampler."""
    if not takes_picture(folded):
        return None
    height, width, channels = (side or WARMUP_SIDE for side in folded.inputs[0].shape[1:])
    down, across = np.linspace(0, 255, height)[:, None], np.linspace(0, 255, width)[None]
    slopes = np.stack(np.broadcast_arrays(down, across, 255 - down), -1)
    low, high = np.clip(value_range or (0, 255), 0, 65535)
    numbers = low + slopes / 255 * (high - low)
    picture = other_channels(numbers.astype(np.uint8 if high <= 255 else np.uint16), channels)
    return tf.io.encode_png(picture).numpy()


def _requests(
    folded: keras.Model, tensor_only: bool, ranges: Ranges
) -> list[tuple[str, dict[str, Any]]]:
    """One request for each signature, which a server sends itself before it opens."""
    file, image, files = _file(folded, ranges.source), {}, {}
    if file is not None:
        channels = folded.inputs[0].shape[-1]
        image = {INPUT: levels(file, channels, ranges.source)[None].numpy()}
        files = {IMAGE_BYTES: [file]}
    extra = _extra(folded)
    return [(TENSOR, image | extra), *([] if tensor_only else [(FILES, files | extra)])]


def _extra(folded: keras.Model) -> dict[str, NDArray[np.float32]]:
    """Zeros (1, ...) for the inputs besides the picture."""
    return {name: np.zeros(shape, np.float32) for name, shape in shapes_of(folded).items()}


def _check(folder: Path, folded: keras.Model, ranges: Ranges) -> None:
    """Checks that what was written can be served, and answers as the model that was measured."""
    by_tensor, *by_file = refuse_unservable(folder)
    found = [np.rint(by_tensor[OUTPUT])[0]]
    channels = folded.outputs[0].shape[-1]
    found += [_read(outputs[IMAGE_BYTES][0], channels, ranges.target) for outputs in by_file]
    file, shown = _file(folded, ranges.source), []
    if file is not None:
        shown = [levels(file, folded.inputs[0].shape[-1], ranges.source)[None]]
    made = answering(folded)(*shown, *_extra(folded).values())[OUTPUT].numpy()
    expected = np.rint(made)[0].astype(int)
    difference = max(np.abs(one - expected).max() for one in found)
    low, high = ranges.target or (0, 65535)
    if difference > 1 + 128 / (high - low if held_by_png((low, high)) else 65535):
        raise InputError(
            f"{folder} answers otherwise than the model that was saved, by {difference:.0f} "
            "levels; please report this as a bug of tfi2i."
        )


def _read(file: bytes, channels: int, value_range: Range | None) -> NDArray[np.uint8]:
    held = value_range if value_range and held_by_png(value_range) else None
    picture = read_picture(file, value_range=held)
    return eight_bit(other_channels(picture.pixels, channels, picture.alpha))


def _published(temporary: Path, base: Path) -> Path:
    """Renames a finished version to the first number above those that are there."""
    taken: Sequence[Path] = versions(base)
    number = int(taken[-1].name) + 1 if taken else 1
    while True:
        try:
            temporary.rename(base / str(number))
            sync(base)
            return base / str(number)
        except OSError:
            if not (base / str(number)).exists():  # else another export was quicker
                raise
            number += 1
