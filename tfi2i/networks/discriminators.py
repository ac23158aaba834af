"""Discriminators, and their convolutions, that systems share bit for bit.

The layers' names are stable: `conv0`, `conv0_norm`, `logits`. Shape letters: N images, H W space.
"""

import keras
import tensorflow as tf

from tfi2i.layers.convolution import AveragePool3x3, BlurDown, LeakyReLU, ReflectionPad2D
from tfi2i.layers.spectral import SpectralConv2D
from tfi2i.networks.ends import SLOPE, Initializer, Norm, conv, full_input, normalization


def spectral_conv(x, filters: int, strides: int, name: str, use_bias: bool = True):
    """Reflection by 1, then a spectrally normalised 4 x 4 convolution."""
    x = ReflectionPad2D(1, name=f"{name}_pad")(x)
    return SpectralConv2D(filters, 4, strides, use_bias=use_bias, name=name)(x)


def patch_discriminator(
    width: int,
    depth: int,
    name: str,
    initializer: Initializer,
    *,
    antialias: bool = False,
    channels: int = 3,
    norm: Norm = "instance",
) -> keras.Model:
    """Image (N, H, W, channels) -> logits (N, h', w', 1), one for each patch: PatchGAN.

    Args:
        width: Channels of the first layer (the sources' `ndf`).
        depth: Convolutions of stride 2 (`n_layers_D`); 3 see 70 x 70 pixels, 84 with antialias.
        name: Name of the model.
        initializer: Initializer of every kernel; biases start at 0.
        antialias: Blurs while sampling down, as CUT does.
        channels: Channels of the image.
        norm: Normalisation of all maps but the first and the logits.

    Source: `NLayerDiscriminator` of the two repositories of `resnet_generator`.
    """
    image = full_input((None, None, channels), "image")
    x = image
    for i in range(depth + 1):
        strides = 2 if i < depth and not antialias else 1
        x = keras.layers.ZeroPadding2D(1, name=f"conv{i}_pad")(x)
        bias = i == 0 or norm == "instance"
        x = conv(x, width * min(2**i, 8), 4, strides, f"conv{i}", initializer, bias)
        if i > 0:
            x = normalization(norm, f"conv{i}_norm")(x)
        x = LeakyReLU(SLOPE, name=f"conv{i}_lrelu")(x)
        if i < depth and antialias:
            x = BlurDown(name=f"conv{i}_blur")(x)
    x = keras.layers.ZeroPadding2D(1, name="logits_pad")(x)
    return keras.Model(image, conv(x, 1, 4, 1, "logits", initializer), name=name)


def multi_scale_discriminator(
    width: int,
    depth: int,
    scales: int,
    name: str,
    initializer: Initializer,
    *,
    channels: int = 3,
) -> keras.Model:
    """Image (N, H, W, channels) -> a list of logits (N, h', w', 1), one PatchGAN a scale.

    Each scale sees half the sides of the one before, in half its width: `scale0`, `scale1` ...

    Args:
        width: Channels of the first layer of the first scale.
        depth: Convolutions of stride 2 of each.
        scales: Number of them.
        name: Name of the model.
        initializer: Initializer of every kernel; biases start at 0.
        channels: Channels of the image.

    Source: `D_NLayersMulti` of junyanz/BicycleGAN.
    """
    image = full_input((None, None, channels), "image")
    x, logits = image, []
    for i in range(scales):
        x = AveragePool3x3(name=f"half{i}")(x) if i else x
        own = max(width // 2**i, 1)
        scale = patch_discriminator(own, depth, f"scale{i}", initializer, channels=channels)
        logits.append(scale(x))
    return keras.Model(image, logits, name=name)


def reflecting_discriminator(
    width: int,
    depth: int,
    scales: int,
    name: str,
    initializer: Initializer,
    *,
    kernel_size: int = 4,
    slope: float = SLOPE,
    spectral: bool = False,
    channels: int = 3,
) -> keras.Model:
    """Image (N, H, W, channels) -> a list of logits (N, h, w, 1), one a scale, of equal widths.

    Each scale, `scale0` and so on, sees half the sides of the one before: convolutions of reflected
    maps without any normalisation, and logits of 1 x 1. h w are H W / 2^depth of the scale.

    Args:
        width: Channels of the first layer of each scale, doubled by each further one.
        depth: Convolutions of stride 2 of each.
        scales: Number of them.
        name: Name of the model.
        initializer: Initializer of every kernel; biases start at 0.
        kernel_size: Side of the kernels, 3 or 4.
        slope: Slope of the leaky ReLUs.
        spectral: Divides every kernel by its largest singular value, from another start.
        channels: Channels of the image.

    Source: `MsImageDis` of NVlabs/MUNIT, `MultiScaleDis` and `Dis` of HsinYingLee/DRIT.
    """

    def convolved(y, filters: int, side: int, strides: int, layer: str):
        if spectral:
            return SpectralConv2D(filters, side, strides, name=layer)(y)
        return conv(y, filters, side, strides, layer, initializer)

    image = full_input((None, None, channels), "image")
    x, logits = image, []
    for i in range(scales):
        x = AveragePool3x3(name=f"half{i}")(x) if i else x
        y = seen = full_input((None, None, channels), "image")
        for j in range(depth):
            y = ReflectionPad2D(1, name=f"conv{j}_pad")(y)
            y = convolved(y, width * 2**j, kernel_size, 2, f"conv{j}")
            y = LeakyReLU(slope, name=f"conv{j}_lrelu")(y)
        y = convolved(y, 1, 1, 1, "logits")
        logits.append(keras.Model(seen, y, name=f"scale{i}")(x))
    return keras.Model(image, logits, name=name)


def code_discriminator(
    channels: int, depth: int, slope: float, name: str, initializer: Initializer
) -> keras.Model:
    """Code (N, h, w, K) -> logits (N, h', w', 1) of its domain: 1 x 1 for h = 54 and depth 3.

    Args:
        channels: Channels of the code, and of all maps.
        depth: Convolutions of 7 x 7 and stride 2; one of 4 x 4 follows.
        slope: Slope of the leaky ReLUs.
        name: Name of the model.
        initializer: Initializer of every kernel; biases start at 0.

    Source: `Dis_content` of HsinYingLee/DRIT.
    """
    code = x = full_input((None, None, channels), "code")
    for i in range(depth):
        x = ReflectionPad2D(1, name=f"conv{i}_pad")(x)
        x = conv(x, channels, 7, 2, f"conv{i}", initializer)
        x = LeakyReLU(slope, name=f"conv{i}_lrelu")(x)
    x = LeakyReLU(slope, name="last_lrelu")(conv(x, channels, 4, 1, "last", initializer))
    return keras.Model(code, conv(x, 1, 1, 1, "logits", initializer), name=name)


def judged(disc: keras.Model, *images) -> list[list]:
    """Logits (N, h, w, 1) of each scale for several batches (N, H, W, C), in one training call.

    Where nothing is normalised over a batch, that is the same as several calls, and faster.
    """
    logits = keras.tree.flatten(disc(tf.concat(images, 0), training=True))
    parts = [tf.split(one, len(images)) for one in logits]
    return [[part[i] for part in parts] for i in range(len(images))]
