"""Decoders of a code and a style, and how a style gets into maps.

The layers' names are stable: `mlp0`, `block0_conv0`, `up0`, `to_rgb`. Shape letters: N images, H W
space, K channels, S numbers of a style.
"""

import keras
from keras import ops

from tfi2i.layers.convolution import ReflectionPad2D
from tfi2i.layers.layer_normalization import LayerNormalization
from tfi2i.layers.normalization import InstanceNormalization
from tfi2i.networks.ends import Initializer, conv, full_input, image_output
from tfi2i.networks.generators import Upsampling, doubled, residual_block


def style_vectors(style, width: int, channels: int, count: int, initializer: Initializer) -> list:
    """Style (N, S) -> `count` vectors (N, channels), by an MLP of two hidden layers `width` wide.

    Source: the last dense layer of MUNIT's and of DRIT's MLP makes all of them, one after the
    other.
    """
    x = style
    for i, units in enumerate((width, width, count * channels)):
        kind = "relu" if i < 2 else None
        x = keras.layers.Dense(units, kind, kernel_initializer=initializer(), name=f"mlp{i}")(x)
    return [x[:, i * channels : (i + 1) * channels] for i in range(count)]


def with_style(x, style, name: str):
    """A map (N, h, w, K) with the style (N, S), or the label, of its image beside each position."""
    rows = ops.reshape(style, (-1, 1, 1, style.shape[-1]))
    return keras.layers.Concatenate(name=name)([x, ops.ones_like(x[..., :1]) * rows])


def styled_translator(enc: keras.Model, dec: keras.Model, name: str) -> keras.Model:
    """Image (N, H, W, C), style (N, S) -> image (N, H, W, C): code and style, decoded.

    Args:
        enc: Network image -> code.
        dec: Network code, style -> image.
        name: Name of the model.
    """
    image = keras.Input(enc.input_shape[1:], name="image", dtype=enc.input.dtype)
    style = keras.Input(dec.inputs[1].shape[1:], name="style", dtype=enc.input.dtype)
    translation = dec([enc(image, training=False), style], training=False)
    return keras.Model([image, style], translation, name=name)


def styled_decoder(
    width: int,
    blocks: int,
    style_size: int,
    name: str,
    first: keras.Model | None,
    initializers: tuple[Initializer, Initializer],
    *,
    channels: int = 3,
    upsampling: Upsampling = "transposed",
) -> keras.Model:
    """Code (N, h, w, K), style (N, S) -> image (N, H, W, C) in [-1, 1].

    Args:
        width: Channels of the encoder's first map.
        blocks: Residual blocks of its own; one more where styles choose features.
        style_size: Numbers of a style.
        name: Name of the model.
        first: Block that both domains' decoders have, before the style is concatenated with every
            map; None: an MLP makes a vector of the style for every block, the "feature-wise" way.
        initializers: Initializers of the kernels of convolutions, and of the MLP; biases start at
            0.
        channels: Channels of the image.
        upsampling: Way of doubling the maps.

    Source: `G_concat` and `G` of HsinYingLee/DRIT.
    """
    initializer, mlp_initializer = initializers
    code = full_input((None, None, 4 * width), "code")
    style = full_input((style_size,), "style")
    if first is None:
        x = code
        for i, vector in enumerate(
            style_vectors(style, 4 * width, 4 * width, blocks + 1, mlp_initializer)
        ):
            x = _feature_block(x, vector, f"block{i}", initializer)
    else:
        x = with_style(first(code), style, "blocks_style")
        for i in range(blocks):
            x = residual_block(x, f"block{i}", initializer)
    for i in range(2):
        x = x if first is None else with_style(x, style, f"up{i}_style")
        x = doubled(x, x.shape[-1] // 2, 3, upsampling, f"up{i}", initializer)
        x = keras.layers.ReLU(name=f"up{i}_relu")(LayerNormalization(name=f"up{i}_norm")(x))
    x = x if first is None else with_style(x, style, "to_rgb_style")
    x = conv(x, channels, 1, 1, "to_rgb", initializer)
    return keras.Model([code, style], image_output(x, "tanh"), name=name)


def _feature_block(x, vector, name: str, initializer: Initializer):
    """A residual block (N, h, w, K) that sees the vector (N, K) after each normalisation."""
    y, channels = x, x.shape[-1]
    for i in range(2):
        y = ReflectionPad2D(1, name=f"{name}_pad{i}")(y)
        y = conv(y, channels, 3, 1, f"{name}_conv{i}", initializer)
        y = InstanceNormalization(name=f"{name}_norm{i}")(y)
        y = with_style(y, vector, f"{name}_style{i}")
        for j, filters in enumerate((2 * channels, channels)):
            y = conv(y, filters, 1, 1, f"{name}_mix{i}{j}", initializer)
            y = keras.layers.ReLU(name=f"{name}_relu{i}{j}")(y)
    return keras.layers.Add(name=name)([x, y])
