"""Builders of networks that systems share bit for bit, in the order of the data through them.

The layers' names are stable: `conv0`, `down0`, `block0_conv0`, `block0`, `up0`, `to_rgb`. Shape
letters: N images, H W space (h w = H/4 W/4), C = width.
"""

from collections.abc import Callable

import keras
import tensorflow as tf

from tfi2i.layers.convolution import (
    BilinearUp,
    BlurDown,
    LeakyReLU,
    ReflectionPad2D,
    TransposedConv2D,
    kernel_initializer,
)
from tfi2i.layers.normalization import InstanceNormalization, PerImage
from tfi2i.layers.spectral import SpectralConv2D

Initializer = Callable[[], keras.initializers.Initializer]
"""Makes a new initializer for every kernel: one that is used twice gives the same numbers twice."""

SLOPE = 0.2  # of every leaky ReLU


def full_input(shape: tuple[int | None, ...], name: str):
    """An input in full precision: Keras rounds to float32 what enters a model, if not told."""
    return keras.Input(shape, name=name, dtype=keras.config.dtype_policy().variable_dtype)


def image_output(x, activation: str | None):
    """The last activation of a network that makes images, never in half precision."""
    full = keras.config.dtype_policy().variable_dtype
    return keras.layers.Activation(activation, dtype=full, name="translation")(x)


def spectral_conv(x, filters: int, strides: int, name: str, use_bias: bool = True):
    """Reflection by 1, then a spectrally normalised 4 x 4 convolution."""
    x = ReflectionPad2D(1, name=f"{name}_pad")(x)
    return SpectralConv2D(filters, 4, strides, use_bias=use_bias, name=name)(x)


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


def each(network: keras.Model, *images) -> list:
    """The network's output for several batches of one size, in one training call.

    The same as several calls where normalisation is per image, and faster.
    """
    return tf.split(network(tf.concat(images, 0), training=True), len(images))


def residual_block(x, name: str, initializer: Initializer, use_bias: bool = True):
    """(N, H, W, K) -> the same: reflection, conv 3 x 3, IN, ReLU, once more without ReLU, plus x.

    Source: He et al. 2016 as in Johnson et al. 2016, with instance normalisation; no activation
    follows the sum.
    """
    y = x
    for i in range(2):
        y = ReflectionPad2D(1, name=f"{name}_pad{i}")(y)
        y = keras.layers.Conv2D(
            x.shape[-1],
            3,
            use_bias=use_bias,
            kernel_initializer=initializer(),
            name=f"{name}_conv{i}",
        )(y)
        y = InstanceNormalization(name=f"{name}_norm{i}")(y)
        if i == 0:
            y = keras.layers.ReLU()(y)
    return keras.layers.Add(name=name)([x, y])


def resnet_generator(
    width: int, blocks: int, name: str, initializer: Initializer, *, antialias: bool = False
) -> keras.Model:
    """Image (N, H, W, 3) -> image (N, H, W, 3) in [-1, 1], H and W multiples of 4.

    Args:
        width: channels of the first layer (the sources' `ngf`).
        blocks: residual blocks.
        name: of the model.
        initializer: of every kernel; biases start at 0.
        antialias: convolves at full size and blurs while sampling down, and samples up bilinearly,
            as CUT does, where CycleGAN has strided and transposed convolutions.

    Source: `resnet_9blocks` of junyanz/pytorch-CycleGAN-and-pix2pix and of
    taesungp/contrastive-unpaired-translation.
    """
    image = full_input((None, None, 3), "image")
    x = ReflectionPad2D(3, name="conv0_pad")(image)
    x = _normalized(_conv(x, width, 7, 1, "conv0", initializer), "conv0")
    for i in range(2):
        x = keras.layers.ZeroPadding2D(1, name=f"down{i}_pad")(x)
        x = _conv(x, 2 * x.shape[-1], 3, 1 if antialias else 2, f"down{i}", initializer)
        x = _normalized(x, f"down{i}")
        if antialias:
            x = BlurDown(name=f"down{i}_blur")(x)
    for i in range(blocks):
        x = residual_block(x, f"block{i}", initializer)
    for i in range(2):
        half = x.shape[-1] // 2
        if antialias:
            x = BilinearUp(name=f"up{i}_blur")(x)
            x = keras.layers.ZeroPadding2D(1, name=f"up{i}_pad")(x)
            x = _conv(x, half, 3, 1, f"up{i}", initializer)
        else:
            x = TransposedConv2D(half, 3, kernel_initializer=initializer(), name=f"up{i}")(x)
        x = _normalized(x, f"up{i}")
    x = _conv(ReflectionPad2D(3, name="to_rgb_pad")(x), 3, 7, 1, "to_rgb", initializer)
    return keras.Model(image, image_output(x, "tanh"), name=name)


def patch_discriminator(
    width: int, depth: int, name: str, initializer: Initializer, *, antialias: bool = False
) -> keras.Model:
    """Image (N, H, W, 3) -> logits (N, h', w', 1), one for each patch: PatchGAN.

    Args:
        width: channels of the first layer (the sources' `ndf`).
        depth: convolutions of stride 2 (the sources' `n_layers_D`); 3 see 70 x 70 pixels, or
            84 x 84 with antialias.
        name: of the model.
        initializer: of every kernel; biases start at 0.
        antialias: blurs while sampling down, as CUT does.

    Source: `NLayerDiscriminator` of the two repositories of `resnet_generator`.
    """
    image = full_input((None, None, 3), "image")
    x = image
    for i in range(depth + 1):
        strides = 2 if i < depth and not antialias else 1
        x = keras.layers.ZeroPadding2D(1, name=f"conv{i}_pad")(x)
        x = _conv(x, width * min(2**i, 8), 4, strides, f"conv{i}", initializer)
        if i > 0:
            x = InstanceNormalization(name=f"conv{i}_norm")(x)
        x = LeakyReLU(SLOPE, name=f"conv{i}_lrelu")(x)
        if i < depth and antialias:
            x = BlurDown(name=f"conv{i}_blur")(x)
    x = keras.layers.ZeroPadding2D(1, name="logits_pad")(x)
    return keras.Model(image, _conv(x, 1, 4, 1, "logits", initializer), name=name)


def _conv(x, filters: int, kernel_size: int, strides: int, name: str, initializer: Initializer):
    """A valid convolution; biases start at 0."""
    return keras.layers.Conv2D(
        filters, kernel_size, strides, kernel_initializer=initializer(), name=name
    )(x)


def _dense(x, units: int, name: str, activation: str | None = None):
    return keras.layers.Dense(
        units,
        activation,
        use_bias=False,
        kernel_initializer=kernel_initializer(),
        name=name,
    )(x)


def _normalized(x, name: str):
    return keras.layers.ReLU()(InstanceNormalization(name=f"{name}_norm")(x))
