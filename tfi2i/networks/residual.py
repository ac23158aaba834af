"""Residual blocks whose convolutions are activated before them, and networks' trunks of them.

The sums of a block are divided by the root of 2, so that they vary as much as what goes in. Layers
have stable names. Shape letters: N images, H W space, C channels, S numbers of a style.

Source: the blocks of clovaai/stargan-v2 at commit 875b70a.
"""

import math

from keras import layers, ops

from tfi2i.layers.convolution import LeakyReLU
from tfi2i.layers.normalization import InstanceNormalization
from tfi2i.networks.ends import SLOPE, conv, he_normal


def conv3(x, filters: int, name: str):
    """(N, H, W, C) -> (N, H, W, filters): a 3 x 3 convolution of a map in zeros."""
    x = layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
    return conv(x, filters, 3, 1, name, he_normal)


def dense(x, units: int, name: str, **kwargs):
    """(N, C) -> (N, units); further arguments are those of Keras' layer."""
    return layers.Dense(units, kernel_initializer=he_normal(), name=name, **kwargs)(x)


def block_down(x, filters: int, name: str, *, normed: bool = False, down: bool = True):
    """(N, H, W, C) -> (N, H/2, W/2, filters) or, not `down`, (N, H, W, filters): a residual block.

    It is activated before its convolutions. `normed`: with instance normalisation in front of that.
    """
    y = x
    for i, out in enumerate((x.shape[-1], filters)):
        if normed:
            y = InstanceNormalization(affine=True, name=f"{name}_norm{i}")(y)
        y = conv3(LeakyReLU(SLOPE, name=f"{name}_lrelu{i}")(y), out, f"{name}_conv{i}")
        if down and i == 0:
            y = layers.AveragePooling2D(2, name=f"{name}_pool")(y)
    if x.shape[-1] != filters:
        x = conv(x, filters, 1, 1, f"{name}_short", he_normal, False)
    if down:
        x = layers.AveragePooling2D(2, name=f"{name}_short_pool")(x)
    return (x + y) * (1 / math.sqrt(2))


def block_up(x, style, filters: int, name: str, *, up: bool = True, shortcut: bool = True):
    """(N, H, W, C), (N, S) -> (N, 2 H, 2 W, filters) or, not `up`, (N, H, W, filters).

    A residual block whose instance normalisations are scaled and shifted by a style.
    """
    y = x
    for i, out in enumerate((filters, filters)):
        y = _styled(y, style, f"{name}_norm{i}")
        y = LeakyReLU(SLOPE, name=f"{name}_lrelu{i}")(y)
        if up and i == 0:
            y = layers.UpSampling2D(2, name=f"{name}_nearest")(y)
        y = conv3(y, out, f"{name}_conv{i}")
    if not shortcut:
        return y
    if up:
        x = layers.UpSampling2D(2, name=f"{name}_short_nearest")(x)
    if x.shape[-1] != filters:
        x = conv(x, filters, 1, 1, f"{name}_short", he_normal, False)
    return (x + y) * (1 / math.sqrt(2))


def _styled(x, style, name: str):
    """Instance normalisation (N, H, W, C), then (1 + gamma) x + beta by a style (N, S)."""
    channels = x.shape[-1]
    both = ops.reshape(dense(style, 2 * channels, f"{name}_style"), (-1, 1, 1, 2 * channels))
    normal = InstanceNormalization(name=name)(x)
    return normal * (both[..., :channels] + 1.0) + both[..., channels:]


def high_passed(x, weight: float, name: str):
    """The differences (N, H, W, C) of pixels from their 8 neighbours, divided by a weight."""
    around = layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
    mean = layers.AveragePooling2D(3, 1, name=f"{name}_mean")(around)
    return (x - mean) * (9 / weight)


def trunk(image, widths: tuple[int, int]):
    """Image (N, H, W, C) -> (N, 1, 1, limit or less): halvings to about 4 x 4, then all of that."""
    first, limit = widths
    x = conv3(image, first, "from_rgb")
    for i in range(halvings(image.shape[1:3])):
        x = block_down(x, min(first * 2 ** (i + 1), limit), f"block{i}")
    x = LeakyReLU(SLOPE, name="lrelu0")(x)
    x = conv(x, x.shape[-1], x.shape[1:3], 1, "whole", he_normal)
    return LeakyReLU(SLOPE, name="lrelu1")(x)


def halvings(size: tuple[int, int]) -> int:
    """Halvings of encoder and discriminator, which leave 4 pixels of a side of a power of two."""
    return int(math.log2(min(size))) - 2
