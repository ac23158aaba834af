"""How far translations are from a known truth, and what answers that learn nothing score.

All errors are in units of the full range: 0 for equal pictures, 1 for black against white. Letters:
N pictures, H rows, W columns.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfi2i.errors import InputError


def l1(x: ArrayLike, y: ArrayLike) -> float:
    """Mean |x - y| / 255 of pixels of one shape; values 0..255, uint8 or float.

    Raises:
        InputError: different shapes, or nothing to compare.
    """
    first, second = _same_shape(x, y)
    return float(np.abs(first - second).mean() / 255)


def psnr(x: ArrayLike, y: ArrayLike) -> float:
    """Peak signal-to-noise ratio in dB of one pair of pixels (H, W, 3), 0..255; equal pixels: inf.

    Raises:
        InputError: different shapes, or nothing to compare.
    """
    first, second = _same_shape(x, y)
    error = float(np.square(first - second).mean())
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def trivial_answers(
    inputs: NDArray[np.uint8],
    targets: NDArray[np.uint8],
    train_inputs: NDArray[np.uint8],
    train_targets: NDArray[np.uint8],
) -> dict[str, float]:
    """The L1 of four answers that learn nothing, for test pairs (N, H, W, 3) and unpaired training.

    "identity" answers the input; "colour_statistics" gives every picture the target domain's mean
    and deviation per channel; "colour_statistics_global" applies to all pictures the one affine map
    per channel that takes the input domain's statistics there; "mean_image" ignores the input. A
    model has to beat the smallest of them to have learned anything.

    Raises:
        InputError: an array which is not (N, H, W, 3) uint8, or shapes that do not fit.
    """
    for name, given in (
        ("inputs", inputs),
        ("targets", targets),
        ("train_inputs", train_inputs),
        ("train_targets", train_targets),
    ):
        _require_pictures(name, given)
    if train_targets.shape[1:] != targets.shape[1:]:
        raise InputError(
            f"train_targets are {train_targets.shape[1:]} and targets {targets.shape[1:]}; "
            "bring them to one size."
        )
    pixels = np.asarray(inputs, np.float32)
    domain, to = (_channel_statistics(x, (0, 1, 2)) for x in (train_inputs, train_targets))
    return {
        "identity": l1(inputs, targets),
        "colour_statistics": l1(
            _transfer(pixels, _channel_statistics(inputs, (1, 2)), to), targets
        ),
        "colour_statistics_global": l1(_transfer(pixels, domain, to), targets),
        "mean_image": l1(np.broadcast_to(train_targets.mean(0), targets.shape), targets),
    }


def oracle_recolouring(
    inputs: NDArray[np.uint8], targets: NDArray[np.uint8], *, levels: int = 16
) -> float:
    """The L1 of the best table colour -> colour for test pairs (N, H, W, 3), fitted to themselves.

    No answer that looks at one pixel alone does better at this fineness: what remains of the error
    takes recognising. It sees the truth, so it is a bound and not an answer. Input colours are
    sorted into `levels` steps per channel.

    Raises:
        InputError: an array which is not (N, H, W, 3) uint8, different shapes, or bad levels.
    """
    _require_pictures("inputs", inputs)
    _require_pictures("targets", targets)
    _same_shape(inputs, targets)
    if not 1 <= levels <= 256:
        raise InputError(f"levels is {levels}; choose from 1 to 256.")
    steps = inputs.reshape(-1, 3).astype(np.int64) * levels // 256
    cell = (steps[:, 0] * levels + steps[:, 1]) * levels + steps[:, 2]
    _, cell, sizes = np.unique(cell, return_inverse=True, return_counts=True)
    middles = np.cumsum(sizes) - sizes + sizes // 2
    error = 0.0
    for truth in targets.reshape(-1, 3).T:
        order = np.lexsort((truth, cell))  # by cell, then by value: a cell's middle is its median
        table = truth[order][middles]
        error += l1(table[cell], truth)
    return error / 3


def _transfer(
    pixels: NDArray[np.float32],
    own: tuple[NDArray[np.float64], NDArray[np.float64]],
    to: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> NDArray[np.floating]:
    (mean, deviation), (to_mean, to_deviation) = own, to
    # A channel without contrast has nothing to stretch.
    scale = to_deviation / np.where(deviation > 0, deviation, 1)
    return np.clip((pixels - mean) * scale + to_mean, 0, 255)


def _channel_statistics(
    pixels: NDArray[np.uint8], axes: tuple[int, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    values = np.asarray(pixels, np.float64)
    return values.mean(axes, keepdims=True), values.std(axes, keepdims=True)


def _require_pictures(name: str, pixels: NDArray[np.uint8]) -> None:
    if pixels.ndim != 4 or pixels.shape[-1] != 3 or pixels.dtype != np.uint8 or not pixels.size:
        raise InputError(
            f"{name} is {pixels.dtype} {pixels.shape}; give uint8 pictures (N, H, W, 3)."
        )


def _same_shape(x: ArrayLike, y: ArrayLike) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    first, second = np.asarray(x, np.float32), np.asarray(y, np.float32)
    if first.shape != second.shape or not first.size:
        raise InputError(
            f"Pictures to compare are {first.shape} and {second.shape}; give two of one shape."
        )
    return first, second
