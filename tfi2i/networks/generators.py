"""Generators that systems share bit for bit, in the order of the data through them.

The layers' names are stable: `conv0`, `down0`, `block0_conv0`, `block0`, `up0`, `to_rgb`. Shape
letters: N images, H W space, K channels.
"""

from typing import Literal

import keras

from tfi2i.layers.convolution import (
    BilinearUp,
    BlurDown,
    LeakyReLU,
    ReflectionPad2D,
    TransposedConv2D,
)
from tfi2i.layers.dropout import Dropout
from tfi2i.layers.even_start import EvenNearest, EvenTransposed
from tfi2i.layers.layer_normalization import LayerNormalization
from tfi2i.layers.normalization import InstanceNormalization, Statistics
from tfi2i.networks.ends import (
    SLOPE,
    Initializer,
    Norm,
    conv,
    full_input,
    image_output,
    normal,
    normalization,
    normalized,
)

Upsampling = Literal["transposed", "bilinear", "nearest"]
"""Ways of doubling a map: a transposed convolution, or an interpolation before a plain one."""


def doubled(
    x,
    filters: int,
    kernel_size: int,
    how: Upsampling,
    name: str,
    initializer: Initializer,
    bias: bool = True,
):
    """(N, H, W, K) -> (N, 2 H, 2 W, filters); biases start at 0.

    Args:
        x: Map.
        filters: Channels of the result.
        kernel_size: Side of a transposed kernel, 3 or 4; other convolutions have 3.
        how: Bilinear pads zeros around, as CUT does; nearest reflects, as residual blocks do.
        name: Name of the layer with the kernel.
        initializer: Initializer of the kernel; of a transposed one, and after nearest pixels, its
            numbers are made even.
        bias: False: the convolution has none.
    """
    if how == "transposed":
        start = EvenTransposed(initializer())
        return TransposedConv2D(filters, kernel_size, bias, start, name=name)(x)
    if how == "bilinear":
        x = BilinearUp(name=f"{name}_blur")(x)
        x = keras.layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
        return conv(x, filters, 3, 1, name, initializer, bias)
    x = keras.layers.UpSampling2D(2, name=f"{name}_nearest")(x)
    x = ReflectionPad2D(1, name=f"{name}_pad")(x)
    return conv(x, filters, 3, 1, name, lambda: EvenNearest(initializer()), bias)


def residual_block(x, name: str, initializer: Initializer, use_bias: bool = True):
    """(N, H, W, K) -> the same: reflection, conv 3 x 3, IN, ReLU, once more without ReLU, plus x.

    Source: He et al. 2016 as in Johnson et al. 2016, with instance normalisation; no activation
    follows the sum.
    """
    y = x
    for i in range(2):
        y = ReflectionPad2D(1, name=f"{name}_pad{i}")(y)
        y = conv(y, x.shape[-1], 3, 1, f"{name}_conv{i}", initializer, use_bias)
        y = InstanceNormalization(name=f"{name}_norm{i}")(y)
        if i == 0:
            y = keras.layers.ReLU()(y)
    return keras.layers.Add(name=name)([x, y])


def resnet_generator(
    width: int,
    blocks: int,
    name: str,
    initializer: Initializer,
    *,
    antialias: bool = False,
    upsampling: Upsampling | None = None,
    channels: tuple[int, int] = (3, 3),
) -> keras.Model:
    """Image (N, H, W, channels) -> image (N, H, W, channels) in [-1, 1], H and W multiples of 4.

    Args:
        width: Channels of the first layer (the sources' `ngf`).
        blocks: Residual blocks.
        name: Name of the model.
        initializer: Initializer of every kernel; biases start at 0.
        antialias: Convolves at full size and blurs while sampling down, as CUT does, where CycleGAN
            has strided convolutions.
        upsampling: Way of doubling the map; None: that of the sources, CUT's bilinear one with
            `antialias`, else CycleGAN's transposed convolutions.
        channels: Channels of the image that goes in and of the one that comes out.

    Source: `resnet_9blocks` of junyanz/pytorch-CycleGAN-and-pix2pix and of
    taesungp/contrastive-unpaired-translation.
    """
    how: Upsampling = upsampling or ("bilinear" if antialias else "transposed")
    image = full_input((None, None, channels[0]), "image")
    x = ReflectionPad2D(3, name="conv0_pad")(image)
    x = normalized(conv(x, width, 7, 1, "conv0", initializer), "conv0")
    for i in range(2):
        x = keras.layers.ZeroPadding2D(1, name=f"down{i}_pad")(x)
        x = conv(x, 2 * x.shape[-1], 3, 1 if antialias else 2, f"down{i}", initializer)
        x = normalized(x, f"down{i}")
        if antialias:
            x = BlurDown(name=f"down{i}_blur")(x)
    for i in range(blocks):
        x = residual_block(x, f"block{i}", initializer)
    for i in range(2):
        half = x.shape[-1] // 2
        x = normalized(doubled(x, half, 3, how, f"up{i}", initializer), f"up{i}")
    x = conv(ReflectionPad2D(3, name="to_rgb_pad")(x), channels[1], 7, 1, "to_rgb", initializer)
    return keras.Model(image, image_output(x, "tanh"), name=name)


def unet_generator(
    size: tuple[int, int],
    width: int,
    levels: int,
    name: str,
    channels: tuple[int, int] = (3, 3),
    upsampling: Upsampling = "transposed",
    *,
    norm: Norm = "instance",
    statistics: Statistics = "picture",
    dropout: float = 0.0,
) -> keras.Model:
    """Image (N, H, W, C) -> image (N, H, W, C) in [-1, 1], sides multiples of 2^levels: a U-Net.

    Args:
        size: Height and width, the only ones that it takes.
        width: Channels of the first layer (the source's `ngf`), doubled on each level up to 8
            times.
        levels: Convolutions of stride 2 (`num_downs`).
        name: Name of the model.
        channels: Channels of the image that goes in and of the one that comes out.
        upsampling: Way of doubling the maps.
        norm: Normalisation. The innermost maps have none.
        statistics: Statistics of batch normalisation at use.
        dropout: Share of values that training sets to 0 on the way up, in the levels as wide as
            the innermost but that one.

    Source: Ronneberger et al. 2015 as in `unet_256` of junyanz/pytorch-CycleGAN-and-pix2pix.
    """
    image = full_input((*size, channels[0]), "image")
    x, skips, bias = image, [], norm == "instance"
    for i in range(levels):
        if i > 0:
            skips.append(x)
            x = LeakyReLU(SLOPE, name=f"down{i}_lrelu")(x)
        x = keras.layers.ZeroPadding2D(1, name=f"down{i}_pad")(x)
        x = conv(x, width * min(2**i, 8), 4, 2, f"down{i}", normal, bias)
        if 0 < i < levels - 1:
            x = normalization(norm, f"down{i}_norm", statistics)(x)
    for i in reversed(range(levels)):
        filters = channels[1] if i == 0 else width * min(2 ** (i - 1), 8)
        x = keras.layers.ReLU(name=f"up{i}_relu")(x)
        x = doubled(x, filters, 4, upsampling, f"up{i}", normal, bias or i == 0)
        if i > 0:
            x = normalization(norm, f"up{i}_norm", statistics)(x)
            if dropout and 4 <= i < levels - 1:
                x = Dropout(dropout, name=f"up{i}_dropout")(x)
            x = keras.layers.Concatenate(name=f"up{i}_skip")([skips[i - 1], x])
    return keras.Model(image, image_output(x, "tanh"), name=name)


def image_of_code(x, halvings: int, channels: int, initializer: Initializer):
    """(N, h, w, K) -> image (N, H, W, channels) in [-1, 1], H W = 4^halvings h w.

    Nearest pixels, a 5 x 5 convolution and layer normalisation for each halving of the encoder.

    Source: the end of `Decoder` of NVlabs/MUNIT.
    """
    for i in range(halvings):
        x = keras.layers.UpSampling2D(2, name=f"up{i}_nearest")(x)
        x = ReflectionPad2D(2, name=f"up{i}_pad")(x)
        x = conv(x, x.shape[-1] // 2, 5, 1, f"up{i}", initializer)
        start = keras.initializers.RandomUniform(0, 1)
        x = LayerNormalization("deviation", start, name=f"up{i}_norm")(x)
        x = keras.layers.ReLU(name=f"up{i}_relu")(x)
    x = conv(ReflectionPad2D(3, name="to_rgb_pad")(x), channels, 7, 1, "to_rgb", initializer)
    return image_output(x, "tanh")
