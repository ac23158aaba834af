"""A ruler for KID: how far real pictures themselves go when they are blurred or become noisy.

KID has no unit, and reacts to dirt more than to content. Read on this ruler it has one: "as far as
a blur of 1.1 pixels". Beside it stands the KID of coarse pictures, which sees content alone.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Ruler = dict[str, dict[str, float]]

PICTURES = 100
"""Real pictures that are blurred and made noisy, at most."""

MARKS: dict[str, tuple[float, ...]] = {"blur": (0.5, 0.8, 1.2), "noise": (1, 2, 4, 8)}
"""Standard deviations: of a Gaussian blur in pixels, of Gaussian noise in levels of 255."""

UNITS = {"blur": "pixels", "noise": "levels"}

COARSE_SHARE = 1 / 16
"""Of the shorter side: standard deviation of the blur that leaves coarse pictures."""


def blurred(pixels: Pixels, deviation: float) -> Pixels:
    """Pixels (N, H, W, C) after a Gaussian blur within each picture and channel, rounded."""
    from scipy.ndimage import gaussian_filter  # takes half a second

    spread = (0, deviation, deviation, 0)
    full = gaussian_filter(pixels.astype(np.float32), spread, mode="nearest")
    return np.rint(full).astype(np.uint8)


def coarse(pixels: Pixels) -> Pixels:
    """Pixels (N, H, W, C) with their low frequencies alone."""
    return blurred(pixels, COARSE_SHARE * min(pixels.shape[1:3]))


def noisy(pixels: Pixels, deviation: float, seed: int) -> Pixels:
    """Pixels (N, H, W, C) with Gaussian noise, rounded and clipped to 0..255."""
    noise = np.random.default_rng(seed).normal(0, deviation, pixels.shape)
    return np.rint(np.clip(pixels + noise, 0, 255)).astype(np.uint8)


def marks(pixels: Pixels, seed: int) -> Iterator[tuple[str, float, Pixels]]:
    """Kind, standard deviation, and the pictures after it, for every mark of the ruler."""
    changes: dict[str, Callable[[float], Pixels]] = {
        "blur": lambda deviation: blurred(pixels, deviation),
        "noise": lambda deviation: noisy(pixels, deviation, seed),
    }
    for kind, deviations in MARKS.items():
        for deviation in deviations:
            yield kind, deviation, changes[kind](deviation)


def read_off(kid: float, floor: float, ruler: Ruler) -> str:
    """A KID in words on the ruler: "as far as a blur of 1.1 pixels or noise of 5.0 levels".

    Args:
        kid: KID of any pictures.
        floor: KID of the real pictures as they are, where the ruler begins.
        ruler: KID by kind and standard deviation.
    """
    found = {kind: _position(kid, floor, by_deviation) for kind, by_deviation in ruler.items()}
    if 0 in found.values():
        return "as near as real pictures"
    near = [f"{_of(kind)} {where:.1f} {UNITS[kind]}" for kind, where in found.items() if where]
    ends = [f"{_of(kind)} {max(map(float, ruler[kind])):g} {UNITS[kind]}" for kind in found]
    return f"as far as {' or '.join(near)}" if near else f"farther than {' and '.join(ends)}"


def _of(kind: str) -> str:
    return {"blur": "a blur of", "noise": "noise of"}[kind]


def _position(kid: float, floor: float, by_deviation: Mapping[str, float]) -> float | None:
    """Standard deviation at which the ruler has that KID; None: beyond its end."""
    points: Sequence[tuple[float, float]] = [(0.0, floor)]
    points = [*points, *((float(name), value) for name, value in by_deviation.items())]
    if kid <= floor:
        return 0.0
    for (start, low), (end, high) in zip(points, points[1:], strict=False):
        if low < kid <= high:
            return start + (end - start) * (kid - low) / (high - low)
    return None


def words(result: Mapping[str, Any]) -> Iterator[str]:
    """The ruler of a direction of evaluation.json, and where its checkpoints are on it."""
    ruler = result.get("ruler") or {}
    for kind, by_deviation in ruler.items():
        values = ", ".join(f"{name}: {1000 * value:.0f}" for name, value in by_deviation.items())
        yield f"KID x 1000 of real pictures after {_of(kind)} ... {UNITS[kind]}: {values}"
    for which, figures in result["checkpoints"].items() if ruler else ():
        where = read_off(figures["kid"], result["floor"]["kid"], ruler)
        text = f"{which} (step {figures['step']}): by KID {where}"
        inputs = (result["trivial"].get("identity") or {}).get("kid_coarse")
        if inputs is not None:
            text += f"; of coarse pictures KID x 1000 is {1000 * figures['kid_coarse']:.1f}"
            text += f" (of the inputs {1000 * inputs:.1f})"
        yield text
