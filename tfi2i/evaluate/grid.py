"""Whether pictures have a grid of period 2 or 4, as layers that enlarge maps may leave it.

A grid of period 2 is power at the frequency 1/2 along a side, or along both, one of period 4 at
1/4. It is compared with the power beside it in the spectrum, so 1 is none, whatever the picture
shows and however sharp it is. Letters: N pictures, H rows, W columns, C channels.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

PERIODS = (2, 4)
MOST_FRESH = 1.2
"""A network that has not learned yet has to stay below it."""
MOST = 1.3
"""Times the power of real pictures, or of pictures without a grid: above it a grid is seen."""
SMALLEST = 24
"""Side in pixels from which on there are enough frequencies beside the grid's."""

# Offsets from a frequency: a peak as the window makes it, and what it leaves alone.
PEAK = {-1: 0.25, 0: 1.0, 1: 0.25}
BESIDE = dict.fromkeys((-4, -3, -2, 2, 3, 4), 1.0)


def powers(pictures: ArrayLike) -> Floats:
    """Power at each period over that beside it (N, 2, 3), of pictures (N, H, W, C) in any units.

    The last axis: lines that repeat downwards, lines that repeat sideways, and both at once. A side
    that is no multiple of 4 loses up to 3 pixels. Each picture is weighed by a Hann window; the
    power is summed over the channels, and along the other side for lines.
    """
    return np.stack([_powers(np.asarray(picture, np.float64)) for picture in np.asarray(pictures)])


def _powers(picture: Floats) -> Floats:
    height, width = (side - side % 4 for side in picture.shape[:2])
    picture = picture[:height, :width]
    window = np.outer(*(np.hanning(side + 1)[:-1] for side in (height, width)))
    spectrum = np.fft.fft2((picture - picture.mean((0, 1))) * window[..., None], axes=(0, 1))
    power = (np.abs(spectrum) ** 2).sum(-1)
    power = power + np.roll(power[:, ::-1], 1, 1)  # falling and rising diagonals count alike
    found = []
    for period in PERIODS:
        down, sideways = (
            [_mean(one, side // period, weights) for weights in (PEAK, BESIDE)]
            for one, side in ((power, height), (power.T, width))
        )
        both = [_mean(one, width // period, w) for one, w in zip(down, (PEAK, BESIDE), strict=True)]
        found.append([_ratio(*(one.sum() for one in pair)) for pair in (down, sideways, both)])
    return np.array(found)


def _mean(power: Floats, frequency: int, weights: Mapping[int, float]) -> Floats:
    """The weighted mean of the rows around a frequency; that of a spectrum (H, W) is (W,)."""
    rows = power[[frequency + offset for offset in weights]]
    return np.tensordot(list(weights.values()), rows, 1) / sum(weights.values())


def _ratio(power: float, beside: float) -> float:
    return float(power / beside) if power > 0 and beside > 0 else 1.0  # of a flat picture


def strengths(found: Floats) -> dict[int, float]:
    """By period, the largest of the geometric means of `powers` (N, 2, 3) over the pictures."""
    largest = np.exp(np.log(found).mean(0)).max(-1)
    return dict(zip(PERIODS, map(float, largest), strict=True))


def grid_note(fake: Mapping[int, float], real: Mapping[int, float]) -> str | None:
    """Sentence about translations whose grid is stronger than that of real pictures.

    Args:
        fake: `strengths` of translations.
        real: `strengths` of real pictures; where nothing stands out, below 1, they count as 1.
    """
    seen = [period for period in fake if fake[period] > MOST * max(real[period], 1)]
    if not seen:
        return None
    grids = " and ".join(
        f"a grid of period {period} (power {fake[period]:.1f} times that beside it in the"
        f" spectrum, {real[period]:.1f} times in real pictures)"
        for period in seen
    )
    return f"the translations have {grids}; of the ways of model.upsampling, nearest leaves least"
