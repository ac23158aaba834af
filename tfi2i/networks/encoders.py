"""Encoders that systems share bit for bit: of what a picture shows, and of its style.

The layers' names are stable: `conv0`, `down0`, `block0_conv0`, `style`. Shape letters: N images,
H W space, K channels, S numbers of a style.
"""

import keras

from tfi2i.layers.convolution import ReflectionPad2D
from tfi2i.networks.ends import Initializer, conv, full_input, normalized
from tfi2i.networks.generators import residual_block


def he_normal() -> keras.initializers.Initializer:
    """MUNIT's and UNIT's `kaiming`: N(0, 2 / fan_in), not truncated."""
    return keras.initializers.VarianceScaling(2.0, "fan_in", "untruncated_normal")


def content_encoder(
    width: int,
    halvings: int,
    blocks: int,
    name: str,
    initializer: Initializer,
    *,
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
        channels: Channels of the image.
        last: Network of residual blocks that follow and that other encoders have too.

    Source: `ContentEncoder` of NVlabs/MUNIT.
    """
    image = full_input((None, None, channels), "image")
    x = ReflectionPad2D(3, name="conv0_pad")(image)
    x = normalized(conv(x, width, 7, 1, "conv0", initializer), "conv0")
    for i in range(halvings):
        x = ReflectionPad2D(1, name=f"down{i}_pad")(x)
        x = normalized(conv(x, 2 * x.shape[-1], 4, 2, f"down{i}", initializer), f"down{i}")
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
