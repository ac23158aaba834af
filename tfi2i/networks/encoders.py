"""Encoders that systems share bit for bit: of what a picture shows, and of its style.

The layers' names are stable: `conv0`, `down0`, `block0_conv0`, `style`. Shape letters: N images,
H W space, K channels, S numbers of a style.
"""

import keras

from tfi2i.layers.convolution import LeakyReLU, ReflectionPad2D
from tfi2i.layers.normalization import InstanceNormalization
from tfi2i.networks.ends import SLOPE, Initializer, conv, full_input, normalized
from tfi2i.networks.generators import residual_block


def content_encoder(
    width: int,
    halvings: int,
    blocks: int,
    name: str,
    initializer: Initializer,
    *,
    kernel_size: int = 4,
    slope: float | None = None,
    channels: int = 3,
    last: keras.Model | None = None,
) -> keras.Model:
    """Image (N, H, W, C) -> code (N, h, w, K) of its content: h w = H W / 4^halvings.

    Args:
        width: Channels of the first layer, doubled by each halving.
        halvings: Convolutions of stride 2.
        blocks: Residual blocks.
        name: Name of the model.
        initializer: Initializer of every kernel; biases start at 0.
        kernel_size: Side of the kernels of stride 2, 3 or 4.
        slope: Slope of a leaky ReLU that the first layer has in place of a normalisation and a
            ReLU; None: it has these.
        channels: Channels of the image.
        last: Network of residual blocks that follow and that other encoders have too.

    Source: `ContentEncoder` of NVlabs/MUNIT, `E_content` of HsinYingLee/DRIT.
    """
    image = full_input((None, None, channels), "image")
    x = ReflectionPad2D(3, name="conv0_pad")(image)
    x = conv(x, width, 7, 1, "conv0", initializer)
    x = normalized(x, "conv0") if slope is None else LeakyReLU(slope, name="conv0_lrelu")(x)
    for i in range(halvings):
        x = ReflectionPad2D(1, name=f"down{i}_pad")(x)
        x = conv(x, 2 * x.shape[-1], kernel_size, 2, f"down{i}", initializer)
        x = normalized(x, f"down{i}")
    for i in range(blocks):
        x = residual_block(x, f"block{i}", initializer)
    return keras.Model(image, x if last is None else last(x), name=name)


def style_encoder(
    width: int, style_size: int, name: str, initializer: Initializer, *, channels: int = 3
) -> keras.Model:
    """Image (N, H, W, C) -> style (N, S), of sides from 16 on, by their mean over all positions.

    Nothing is normalised: that would take away what a style is.

    Args:
        width: Channels of the first layer, doubled by two of the four halvings.
        style_size: Numbers of a style.
        name: Name of the model.
        initializer: Initializer of every kernel; biases start at 0.
        channels: Channels of the image.

    Source: `StyleEncoder` of NVlabs/MUNIT.
    """
    image = full_input((None, None, channels), "image")
    x = ReflectionPad2D(3, name="conv0_pad")(image)
    x = keras.layers.ReLU()(conv(x, width, 7, 1, "conv0", initializer))
    for i in range(4):
        x = ReflectionPad2D(1, name=f"down{i}_pad")(x)
        x = keras.layers.ReLU()(
            conv(x, width * min(2 ** (i + 1), 4), 4, 2, f"down{i}", initializer)
        )
    x = keras.layers.GlobalAveragePooling2D(keepdims=True, name="pool")(x)
    full = keras.config.dtype_policy().variable_dtype
    x = keras.layers.Conv2D(
        style_size, 1, kernel_initializer=initializer(), dtype=full, name="style"
    )(x)
    return keras.Model(image, keras.layers.Reshape((style_size,), dtype=full)(x), name=name)


def variational_encoder(
    width: int,
    blocks: int,
    style_size: int,
    name: str,
    initializers: tuple[Initializer, Initializer],
    *,
    reflected: bool = False,
    channels: int = 3,
) -> keras.Model:
    """Image (N, H, W, C) -> mean (N, S) and logarithm of the variance (N, S) of its style.

    Args:
        width: Channels of the first layer; those of block n are n + 1 times as many, up to 4 times.
        blocks: Residual blocks, each of which halves the maps.
        style_size: Numbers of a style.
        name: Name of the model.
        initializers: Initializers of the kernels of convolutions, and of the two heads; biases
            start at 0.
        reflected: Pads by reflection and normalises nothing, as DRIT does; else pads with zeros
            and normalises what goes into convolutions by instance.
        channels: Channels of the image.

    Source: `E_ResNet` of junyanz/BicycleGAN, `E_attr_concat` of HsinYingLee/DRIT.
    """
    convolutions, of_heads = initializers

    def padded(x, layer: str):
        if reflected:
            return ReflectionPad2D(1, name=layer)(x)
        return keras.layers.ZeroPadding2D(1, name=layer)(x)

    image = full_input((None, None, channels), "image")
    x = conv(padded(image, "conv0_pad"), width, 4, 2, "conv0", convolutions)
    for i in range(blocks):
        y, out = x, width * min(4, i + 2)
        for j, filters in enumerate((x.shape[-1], out)):
            y = y if reflected else InstanceNormalization(name=f"block{i}_norm{j}")(y)
            y = LeakyReLU(SLOPE, name=f"block{i}_lrelu{j}")(y)
            y = padded(y, f"block{i}_pad{j}")
            y = conv(y, filters, 3, 1, f"block{i}_conv{j}", convolutions)
        y = keras.layers.AveragePooling2D(2, name=f"block{i}_pool")(y)
        short = keras.layers.AveragePooling2D(2, name=f"block{i}_short_pool")(x)
        short = conv(short, out, 1, 1, f"block{i}_short", convolutions)
        x = keras.layers.Add(name=f"block{i}")([y, short])
    x = LeakyReLU(SLOPE, name="lrelu")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    full = keras.config.dtype_policy().variable_dtype
    heads = [
        keras.layers.Dense(style_size, kernel_initializer=of_heads(), dtype=full, name=head)(x)
        for head in ("mean", "log_variance")
    ]
    return keras.Model(image, heads, name=name)
