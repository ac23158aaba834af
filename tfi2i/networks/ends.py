"""Ends of networks and small blocks that systems share bit for bit.

Shape letters: N images, H W space (h w = H/4 W/4), K channels.
"""

from collections.abc import Callable
from typing import Literal

import keras
import tensorflow as tf

from tfi2i.layers.convolution import bias_initializer, kernel_initializer
from tfi2i.layers.normalization import (
    BatchNormalization,
    InstanceNormalization,
    PerImage,
    Statistics,
)

Initializer = Callable[[], keras.initializers.Initializer]
"""Makes a new initializer for every kernel: one that is used twice gives the same numbers twice."""

Norm = Literal["batch", "instance"]

SLOPE = 0.2  # of every leaky ReLU


def full_input(shape: tuple[int | None, ...], name: str):
    """An input in full precision: Keras rounds to float32 what enters a model, if not told."""
    return keras.Input(shape, name=name, dtype=keras.config.dtype_policy().variable_dtype)


def image_output(x, activation: str | None):
    """The last activation of a network that makes images, never in half precision."""
    full = keras.config.dtype_policy().variable_dtype
    return keras.layers.Activation(activation, dtype=full, name="translation")(x)


def in_channels(image, channels: int):
    """Images (N, H, W, C) in [-1, 1] in other channels, as `pictures.channels` turns pixels."""
    have = image.shape[-1]
    if have == channels:
        return image
    colour = image[..., :-1] if have in (2, 4) else image
    if channels in (1, 2) and colour.shape[-1] == 3:
        weights = tf.constant([0.299, 0.587, 0.114], colour.dtype)
        colour = tf.reduce_sum(colour * weights, -1, keepdims=True)
    elif channels in (3, 4) and colour.shape[-1] == 1:
        colour = tf.repeat(colour, 3, axis=-1)
    if channels in (1, 3):
        return colour
    last = image[..., -1:] if have in (2, 4) else tf.ones_like(colour[..., :1])
    return tf.concat([colour, last], -1)


def normal() -> keras.initializers.Initializer:
    """CycleGAN's and pix2pix' `normal`: kernels of N(0, 0.02)."""
    return keras.initializers.RandomNormal(stddev=0.02)


def he_normal() -> keras.initializers.Initializer:
    """Kernels of N(0, 2 / fan_in), not cut off: PyTorch's `kaiming_normal_` as codes call it."""
    return keras.initializers.VarianceScaling(2.0, "fan_in", "untruncated_normal")


def normalization(kind: Norm, name: str, statistics: Statistics = "picture"):
    """A layer (N, H, W, K) -> the same, as CycleGAN's and pix2pix' code make it.

    Convolutions in front of batch normalisation have no bias: it would take it away.
    """
    if kind == "instance":
        return InstanceNormalization(name=name)
    return BatchNormalization(statistics=statistics, spread=0.02, name=name)


def xavier() -> keras.initializers.Initializer:
    """CUT's `xavier` with gain 0.02: kernels so small that the norms' epsilon matters."""
    return keras.initializers.VarianceScaling(0.02**2, "fan_avg", "untruncated_normal")


def style_mlp(x, light: bool):
    """Features (N, h, w, K) -> gamma (N, K), beta (N, K), one pair for every AdaLIN.

    Light takes the mean of each channel; else all features enter, which fix h and w.

    Source: U-GAT-IT's `FC`, `gamma` and `beta`, which NICE-GAN has too.
    """
    channels = x.shape[-1]
    pool = keras.layers.GlobalAveragePooling2D if light else keras.layers.Flatten
    style = PerImage(name="style_input")(pool(name="style_pool")(x))
    style = _dense(style, channels, "style0", "relu")
    style = _dense(style, channels, "style1", "relu")
    return _dense(style, channels, "gamma"), _dense(style, channels, "beta")


def attention_mix(channels: int, policy) -> keras.layers.Conv2D:
    """NICE-GAN's and U-GAT-IT's last step of attention, built: a 1 x 1 convolution of 2 K maps."""
    mix = keras.layers.Conv2D(
        channels,
        1,
        kernel_initializer=kernel_initializer(),
        bias_initializer=bias_initializer(2 * channels),
        dtype=policy,
        name="mix",
    )
    mix.build((None, None, None, 2 * channels))
    return mix


def each(network: keras.Model, *images) -> list:
    """The network's output for several batches of one size, in one training call.

    The same as several calls where normalisation is per image, and faster. Of a network of several
    outputs each is such a list.
    """
    outputs = network(tf.concat(images, 0), training=True)
    if isinstance(outputs, list):
        return [tf.split(output, len(images)) for output in outputs]
    return tf.split(outputs, len(images))


def conv(
    x, filters: int, kernel_size: int, strides: int, name: str, initializer: Initializer, bias=True
):
    """A valid convolution; biases start at 0."""
    start = initializer()
    return keras.layers.Conv2D(
        filters, kernel_size, strides, use_bias=bias, kernel_initializer=start, name=name
    )(x)


def _dense(x, units: int, name: str, activation: str | None = None):
    start = kernel_initializer()
    return keras.layers.Dense(
        units, activation, use_bias=False, kernel_initializer=start, name=name
    )(x)


def normalized(x, name: str):
    """Instance normalisation (N, H, W, K), then ReLU."""
    return keras.layers.ReLU()(InstanceNormalization(name=f"{name}_norm")(x))
