"""Exact rules of `fold`: for each layer that systems share, its layers in an exported graph.

A rule takes (layer, name, *inputs) and gives symbolic tensors with the structure of the layer's
output, or None in place of one that only training uses. It may emit several layers; `name` is the
one that is stable and for the layer which holds most weights. Everything it emits is float32 and
comes from keras.layers or keras.ops, so that the graph is readable without tfi2i.

Shape letters: N images, H W space, C channels.
"""

from typing import Any, Literal

import keras
import numpy as np
from keras import layers, ops

from tfi2i.errors import InputError
from tfi2i.layers.convolution import (
    BilinearUp,
    BlurDown,
    LeakyReLU,
    PixelShuffle,
    ReflectionPad2D,
    TransposedConv2D,
)
from tfi2i.layers.dropout import Dropout
from tfi2i.layers.layer_normalization import LayerNormalization
from tfi2i.layers.normalization import (
    EPSILON,
    LIN,
    AdaLIN,
    BatchNormalization,
    InstanceNormalization,
    PerImage,
)
from tfi2i.layers.spectral import SpectralConv2D, SpectralDense
from tfi2i_export.graph.keras_graph import (
    Array,
    Rule,
    array,
    convolution,
    copied,
    filtered,
    phases,
    weighted,
)
from tfi2i_export.graph.rules import systems as system_rules

Pad = Literal["slice", "mirror"]

CONCATENATED = 4
"""Inputs of one concatenation; XNNPACK leaves those with more than five to the slow kernels."""


def spectral_kernel(layer: SpectralConv2D | SpectralDense) -> Array:
    """The kernel divided by its largest singular value, as the layer does it at inference."""
    kernel, u, v = (array(w).astype(np.float64) for w in (layer.kernel, layer.u, layer.v))
    sigma = v @ kernel.reshape(-1, kernel.shape[-1]) @ u
    return (kernel / sigma).astype(np.float32)


def spectral_convolution(layer: SpectralConv2D, name: str, x: Any) -> Any:
    """A plain convolution."""
    return convolution(x, spectral_kernel(layer), layer.bias, layer.strides, name)


def spectral_dense(layer: SpectralDense, name: str, x: Any) -> Any:
    """A plain dense layer."""
    return weighted(layers.Dense, x, spectral_kernel(layer), layer.bias, layer.units, name=name)


def transposed_convolution(layer: TransposedConv2D, name: str, x: Any) -> Any:
    """One convolution for the 2 x 2 pixels of the output that belong to a pixel of x.

    8-bit recipes know convolutions alone, and LiteRT is no quicker with a transposed one.
    """
    kernel = array(layer.kernel)
    bias = None if layer.bias is None else np.tile(array(layer.bias), 4)
    if layer.kernel_size == 3:  # the first row and column are the ones that the layer crops
        kernel = phases(np.pad(kernel, [(1, 0), (1, 0), (0, 0), (0, 0)]))
        return ops.depth_to_space(convolution(x, kernel, bias, 1, name, "same"), 2)
    padded = layers.ZeroPadding2D(1, dtype="float32", name=f"{name}_pad")(x)
    four = convolution(padded, phases(kernel), bias, 1, name)
    return ops.depth_to_space(four, 2)[:, 1:-1, 1:-1]


def nearest_convolution(layer: layers.Conv2D, name: str, x: Any) -> Any:
    """Nearest pixels to (2 H, 2 W), reflection by 1 and a 3 x 3 convolution, all at H x W.

    Of the 3 x 3 pixels that the convolution reads 5 are repetitions: its rows are added up where
    they read the same, and 2 x 2 remain for each pixel of the output. The reflection of repeated
    pixels is one more repetition.
    """
    kernel, *bias = (array(weight) for weight in layer.weights)
    reads = np.array([[[1, 1, 0], [1, 0, 0]], [[0, 0, 1], [0, 1, 1]]], np.float32)  # s p a
    summed = np.einsum("spa,tqb,abcf->stcpqf", reads, reads, kernel)
    summed = summed.reshape(2, 2, kernel.shape[2], 4 * layer.filters)
    four = convolution(_repeated(x), summed, np.tile(bias[0], 4) if bias else None, 1, name)
    return ops.depth_to_space(four, 2)[:, 1:-1, 1:-1]


def _repeated(x: Any) -> Any:
    """A map with its outermost pixels once more."""
    for axis in (1, 2):
        x = ops.concatenate([_line(x, axis, 0), x, _line(x, axis, -1)], axis)
    return x


def nearest(layer: layers.UpSampling2D, name: str, x: Any) -> Any:
    """Larger by operations that XNNPACK has; other kinds, which no system has, as is."""
    rows, columns = layer.size
    if rows != columns or layer.interpolation != "nearest":
        return copied(layer, x, name=name)
    while rows % 2 == 0:
        x, rows = ops.depth_to_space(ops.concatenate([x] * 4, -1), 2), rows // 2
    return x if rows == 1 else ops.depth_to_space(_concatenated([x] * rows**2, -1), rows)


def bilinear(layer: BilinearUp, name: str, x: Any) -> Any:
    """Keras' own for a known size; filters for free ones, which take 2.5 times as long."""
    if None not in x.shape[1:3]:
        return layers.UpSampling2D(interpolation="bilinear", dtype="float32", name=name)(x)
    x = _repeated(x)
    taps = np.array([[1, 3, 0], [0, 3, 1]], np.float32) / 4
    outer = {f"{name}_{p}{q}": np.outer(taps[p], taps[q]) for p, q in np.ndindex(2, 2)}
    four = [filtered(x, both, 1, name) for name, both in outer.items()]
    return ops.depth_to_space(ops.concatenate(four, -1), 2)


def instance_normalization(layer: InstanceNormalization, name: str, x: Any) -> Any:
    """(x - mean) / deviation, by two-pass statistics as in `mixed_normalization`."""
    centred, scale = _by_own_statistics(x)
    if not layer.affine:
        return centred * scale
    return centred * (scale * array(layer.gamma)) + array(layer.beta)


def _by_own_statistics(x: Any) -> tuple[Any, Any]:
    """Centred x, by the mean of each image's channels, and 1 / deviation (N, 1, 1, C)."""
    centred = x - ops.mean(x, (1, 2), keepdims=True)
    return centred, ops.rsqrt(ops.mean(ops.square(centred), (1, 2), keepdims=True) + EPSILON)


def batch_normalization(layer: BatchNormalization, name: str, x: Any) -> Any:
    """By each image's statistics, or a scale and a shift of each channel."""
    if layer.statistics == "picture":
        centred, scale = _by_own_statistics(x)
        return centred * (scale * array(layer.gamma)) + array(layer.beta)
    scale, shift = map(array, layer.moving())
    return x * scale + shift


def mixed_normalization(layer: LIN | AdaLIN, name: str, x: Any, *vectors: Any) -> Any:
    """(p IN(x) + q LN(x)) gamma + beta of x (N, H, W, C) with the layer's shares p and q, (C,).

    LIN has gamma and beta of its own, AdaLIN takes them as vectors (N, C) of each image.

    As x * scale + shift with vectors (N, 1, 1, C), so x is read three times and no map but the
    squared differences is made. Means of squares minus squared means would spare one reading, but
    cancel in half precision, which mobile GPUs compute in.
    """
    instance_share, layer_share = map(array, layer.shares())
    if not vectors:
        gamma, beta = array(layer.gamma), array(layer.beta)
    else:
        gamma, beta = (ops.reshape(vector, (-1, 1, 1, x.shape[-1])) for vector in vectors)
    per_channel, per_layer = _unbiased(x)
    mean, spread, layer_mean, layer_spread = _statistics(x)
    instance_scale = ops.rsqrt(spread * per_channel + EPSILON) * instance_share
    layer_scale = ops.rsqrt(layer_spread * per_layer + EPSILON) * layer_share
    scale = (instance_scale + layer_scale) * gamma
    shift = ops.subtract(beta, (mean * instance_scale + layer_mean * layer_scale) * gamma)
    return x * scale + shift


def layer_normalization(layer: LayerNormalization, name: str, x: Any) -> Any:
    """One scale and one shift of x, by vectors (N, 1, 1, C), as in `mixed_normalization`."""
    *_, mean, spread = _statistics(x)
    if layer.epsilon_on == "variance":
        scale = ops.rsqrt(spread + EPSILON)
    else:
        _, per_layer = _unbiased(x)
        scale = ops.divide(1.0, ops.sqrt(spread * per_layer) + EPSILON)
    scale = scale * array(layer.gamma)
    return x * scale + ops.subtract(array(layer.beta), mean * scale)


def _statistics(x: Any) -> tuple[Any, Any, Any, Any]:
    """Mean and variance of each channel (N, 1, 1, C), and of each image (N, 1, 1, 1)."""
    mean = ops.mean(x, (1, 2), keepdims=True)
    spread = ops.mean(ops.square(x - mean), (1, 2), keepdims=True)
    layer_mean = ops.mean(mean, -1, keepdims=True)
    layer_spread = ops.mean(spread + ops.square(mean - layer_mean), -1, keepdims=True)
    return mean, spread, layer_mean, layer_spread


def _unbiased(x: Any) -> tuple[Any, Any]:
    """The factors n / (n - 1) for the H W values of a channel and for all values of an image."""
    _, height, width, channels = x.shape
    if height is None or width is None:
        # Ones summed up: XNNPACK has no operation for a shape.
        pixels = ops.sum(x[..., :1] * 0.0 + 1.0, (1, 2), keepdims=True)
    elif height * width == 1:
        raise InputError("A map of one pixel has no variance to normalise by; choose larger sides.")
    else:
        pixels = float(height * width)
    values = pixels * channels
    return pixels / (pixels - 1), values / (values - 1)


def sliced_reflection(x: Any, p: int) -> Any:
    """Reflection out of slices and concatenations, which every delegate takes."""
    for axis in (1, 2):
        before = [_line(x, axis, i) for i in range(p, 0, -1)]
        after = [_line(x, axis, -1 - i) for i in range(1, p + 1)]
        x = _concatenated([_concatenated(before, axis), x, _concatenated(after, axis)], axis)
    return x


def _line(x: Any, axis: int, index: int) -> Any:
    """One row (axis 1) or column (axis 2) of x, as a map of height or width 1."""
    line = slice(index, index + 1 or None)
    return x[:, line] if axis == 1 else x[:, :, line]


def _concatenated(parts: list[Any], axis: int) -> Any:
    while len(parts) > 1:
        chunks = [parts[i : i + CONCATENATED] for i in range(0, len(parts), CONCATENATED)]
        parts = [ops.concatenate(chunk, axis) if len(chunk) > 1 else chunk[0] for chunk in chunks]
    return parts[0]


def passed_on(layer: keras.layers.Layer, name: str, x: Any) -> Any:
    """Nothing: an exported graph takes whole pictures, or the next layer does this one's work."""
    return x


def reshaped(layer: layers.Flatten | layers.Reshape, name: str, x: Any) -> Any:
    """By a shape that is known but for the number of pictures; Keras asks the map for that."""
    shape = layer.compute_output_shape(x.shape)[1:]
    if None in shape:
        return copied(layer, x, name=name)
    return ops.reshape(x, (-1, *shape))


def rules(pad: Pad) -> dict[type[keras.layers.Layer], Rule]:
    """All rules by the layer's exact class, with reflection padding of this kind."""

    def reflected(name: str, x: Any, p: int) -> Any:
        _, height, width, _ = x.shape
        if any(side is not None and side <= p for side in (height, width)):
            raise InputError(
                f"{name} pads maps of {height} x {width} by {p} pixels of reflection; choose a "
                "larger side."
            )
        if pad == "slice":
            return sliced_reflection(x, p)
        # One operation, which GPUs take and XNNPACK does not.
        return ops.pad(x, [[0, 0], [p, p], [p, p], [0, 0]], mode="reflect")

    taps = np.outer([1, 2, 1], [1, 2, 1]).astype(np.float32) / 16
    return {
        **system_rules.RULES,
        SpectralConv2D: spectral_convolution,
        SpectralDense: spectral_dense,
        TransposedConv2D: transposed_convolution,
        layers.UpSampling2D: nearest,
        BilinearUp: bilinear,
        InstanceNormalization: instance_normalization,
        BatchNormalization: batch_normalization,
        Dropout: passed_on,
        LIN: mixed_normalization,
        AdaLIN: mixed_normalization,
        LayerNormalization: layer_normalization,
        LeakyReLU: system_rules.leaky_relu,
        PixelShuffle: lambda layer, name, x: ops.depth_to_space(x, layer.factor),
        PerImage: passed_on,
        layers.Flatten: reshaped,
        layers.Reshape: reshaped,
        ReflectionPad2D: lambda layer, name, x: reflected(name, x, layer.padding),
        BlurDown: lambda layer, name, x: filtered(reflected(name, x, 1), taps, 2, name),
    }
