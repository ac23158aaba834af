"""Errors of translations against a known truth, and the scores of answers that learn nothing.

All errors are in units of the full range: 0 for equal pictures, 1 for black against white. Letters:
N pictures, H rows, W columns.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray

from tfi2i.errors import InputError
from tfi2i.evaluate.distances import as_two_sets
from tfi2i.evaluate.diversity import nearest, unit_rows
from tfi2i.pictures.channels import CHANNELS, in_channels
from tfi2i.pictures.pixels import require_pixels

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
Statistics = tuple[NDArray[np.float64], NDArray[np.float64]]  # mean and deviation by channel

WINDOW = 11  # pixels across the Gaussian window of SSIM


def l1(x: ArrayLike, y: ArrayLike) -> float:
    """Mean |x - y| / 255 of pixels of one shape; values 0..255, uint8 or float.

    Raises:
        InputError: different shapes, or nothing to compare.
    """
    first, second = _same_shape(x, y)
    return float(np.abs(first - second).mean() / 255)


def psnr(x: ArrayLike, y: ArrayLike) -> NDArray[np.float32]:
    """Peak signal-to-noise ratio in dB (N,) of pixels (N, H, W, 3), 0..255; equal pictures: inf.

    Raises:
        InputError: different shapes, or not (N, H, W, 3).
    """
    first, second = _pairs(x, y)
    return _in_parts(lambda i: tf.image.psnr(first[i], second[i], 255), len(first))


def ssim(x: ArrayLike, y: ArrayLike) -> NDArray[np.float32]:
    """Structural similarity (N,) of pixels (N, H, W, 3), 0..255, pair by pair; equal pictures: 1.

    The mean over pixels and channels, with a Gaussian window of 11 pixels and deviation 1.5; the
    window stays inside the picture.

    Raises:
        InputError: different shapes, not (N, H, W, 3), or pictures below 11 pixels.

    Source: Wang et al. 2004, section III.B, per colour channel instead of on luminance.
    """
    first, second = _pairs(x, y)
    if min(first.shape[1:3]) < WINDOW:
        raise InputError(
            f"Pictures to compare are {first.shape[1]} x {first.shape[2]} pixels; "
            f"SSIM takes {WINDOW} x {WINDOW} or more."
        )
    return _in_parts(lambda i: tf.image.ssim(first[i], second[i], 255, WINDOW), len(first))


def retrieval_top1(translations: ArrayLike, truths: ArrayLike) -> float:
    """The share 0..1 of translations whose nearest truth by cosine is their own; chance is 1 / N.

    Both are features (N, D) of one network. Another truth that is as near counts against.

    Raises:
        InputError: fewer than 2 rows, shapes that differ, or numbers that are not finite or all 0.
    """
    first, second = map(unit_rows, as_two_sets(translations, truths))
    if len(first) != len(second):
        raise InputError(
            f"There are {len(first)} translations and {len(second)} truths; give pairs."
        )
    own = 1 - np.einsum("nd,nd->n", first, second)
    # Equal truths may differ in the last bits here: so small a lead is a tie.
    return float((own < nearest(first, second, exclude_self=True) - 1e-12).mean())


def trivial_answers(
    inputs: Pixels, targets: Pixels, train_inputs: Pixels, train_targets: Pixels
) -> dict[str, float]:
    """The L1 of four answers that learn nothing, for test pairs (N, H, W, 3) and unpaired training.

    "identity" answers the input; "colour_statistics" gives every picture the target domain's mean
    and deviation per channel; "colour_statistics_global" applies to all pictures the one affine map
    per channel that takes the input domain's statistics there; "mean_image" ignores the input. A
    model has to beat the smallest of them to have learned anything.

    Raises:
        InputError: an array which is not (N, H, W, 3) uint8, or shapes that do not fit.
    """
    require_pixels("inputs", inputs, None)
    require_pixels("targets", targets, None)
    require_pixels("train_inputs", train_inputs, None)
    require_pixels("train_targets", train_targets, None)
    inputs = in_channels(inputs, targets.shape[-1])
    train_inputs = in_channels(train_inputs, targets.shape[-1])
    if train_targets.shape[1:] != targets.shape[1:]:
        raise InputError(
            f"train_targets are {train_targets.shape[1:]} and targets {targets.shape[1:]}; "
            "bring them to one size."
        )
    pixels = np.asarray(inputs, np.float32)
    domain, to = (_channel_statistics(x, (0, 1, 2)) for x in (train_inputs, train_targets))
    answers = {
        "identity": inputs,
        "colour_statistics": _transfer(pixels, _channel_statistics(inputs, (1, 2)), to),
        "colour_statistics_global": _transfer(pixels, domain, to),
        "mean_image": np.broadcast_to(train_targets.mean(0), targets.shape),
    }
    return {name: l1(answer, targets) for name, answer in answers.items()}


def recoloured(pixels: Pixels, mean: ArrayLike, deviation: ArrayLike) -> Pixels:
    """Pixels (N, H, W, 3), each picture brought to a mean and a deviation (3,) per channel, 0..255.

    With those of the target domain this is the answer "colour_statistics", as pixels.

    Raises:
        InputError: an array which is not (N, H, W, 3) uint8, or statistics out of range.
    """
    require_pixels("pixels", pixels, None)
    to = np.asarray(mean, np.float64), np.asarray(deviation, np.float64)
    for name, values in zip(("mean", "deviation"), to, strict=True):
        if values.shape != pixels.shape[-1:] or not ((values >= 0) & (values <= 255)).all():
            raise InputError(f"{name} is {values.tolist()}; give one of 0..255 for each channel.")
    own = _channel_statistics(pixels, (1, 2))
    return np.rint(_transfer(np.asarray(pixels, np.float32), own, to)).astype(np.uint8)


def _transfer(pixels: Floats, own: Statistics, to: Statistics) -> NDArray[np.floating]:
    (mean, deviation), (to_mean, to_deviation) = own, to
    # A channel without contrast has nothing to stretch.
    scale = to_deviation / np.where(deviation > 0, deviation, 1)
    return np.clip((pixels - mean) * scale + to_mean, 0, 255)


def _channel_statistics(pixels: Pixels, axes: tuple[int, ...]) -> Statistics:
    values = np.asarray(pixels, np.float64)
    return values.mean(axes, keepdims=True), values.std(axes, keepdims=True)


def _same_shape(x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
    first, second = np.asarray(x, np.float32), np.asarray(y, np.float32)
    if first.shape != second.shape or not first.size:
        raise InputError(
            f"Pictures to compare are {first.shape} and {second.shape}; give two of one shape."
        )
    return first, second


def _pairs(x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
    first, second = _same_shape(x, y)
    if first.ndim != 4 or first.shape[-1] not in CHANNELS:
        raise InputError(f"Pictures to compare are {first.shape}; give two (N, H, W, 3).")
    return first, second


def _in_parts(measure: Callable[[slice], tf.Tensor], count: int) -> NDArray[np.float32]:
    """A measure (N,) of pairs, 16 at a time: that bounds the memory."""
    return np.concatenate([measure(slice(i, i + 16)) for i in range(0, count, 16)])
