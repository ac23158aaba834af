"""What stands in an exported graph for each layer of tfi2i: the exact rules of `fold`.

A rule takes (layer, name, *inputs) and gives symbolic tensors with the structure of the layer's
output, or None in place of one that only training uses. It may emit several layers; `name` is the
one that is stable and for the layer which holds most weights. Everything it emits is float32 and
comes from keras.layers or keras.ops, so that the graph is readable without tfi2i.

Shape letters: N images, H W space, C channels.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from tfi2i.errors import InputError
from tfi2i.layers import LeakyReLU, PixelShuffle, ReflectionPad2D, SpectralConv2D, SpectralDense
from tfi2i.models.nice_gan import ResidualAttention
from tfi2i.networks import SLOPE
from tfi2i.normalization import EPSILON, LIN, AdaLIN, PerImage
from tfi2i_export.graph import Array, convolution

Rule = Callable[..., Any]

CONCATENATED = 4
"""Inputs of one concatenation; XNNPACK leaves those with more than five to the slow kernels."""


def array(variable: Any) -> Array:
    """A variable's value in float32, whatever the policy of its layer."""
    return np.asarray(keras.ops.convert_to_numpy(variable), np.float32)


def spectral_kernel(layer: SpectralConv2D | SpectralDense) -> Array:
    """The kernel divided by its largest singular value, as the layer does it at inference."""
    kernel, u, v = (array(w).astype(np.float64) for w in (layer.kernel, layer.u, layer.v))
    sigma = v @ kernel.reshape(-1, kernel.shape[-1]) @ u
    return (kernel / sigma).astype(np.float32)


def spectral_convolution(layer: SpectralConv2D, name: str, x: Any) -> Any:
    """A plain convolution."""
    bias = None if layer.bias is None else array(layer.bias)
    return convolution(x, spectral_kernel(layer), bias, layer.strides, name)


def spectral_dense(layer: SpectralDense, name: str, x: Any) -> Any:
    """A plain dense layer."""
    weights = [spectral_kernel(layer)]
    if layer.bias is not None:
        weights.append(array(layer.bias))
    dense = layers.Dense(layer.units, use_bias=len(weights) == 2, dtype="float32", name=name)
    output = dense(x)
    dense.set_weights(weights)
    return output


def residual_attention(layer: ResidualAttention, name: str, x: Any) -> Any:
    """One 1 x 1 convolution and a leaky ReLU; the CAM logit is training's.

    lamda conv(concat(x, x) w) + x is linear in x: its kernel is lamda (K1 w1 + K2 w2) + 1, K1 and
    K2 the halves of the convolution's kernel, w1 and w2 those of the CAM weights.
    """
    channels = x.shape[-1]
    lamda = float(array(layer.lamda))
    weighted = array(layer.mix.kernel)[0, 0] * array(layer.logit.kernel)
    kernel = lamda * (weighted[:channels] + weighted[channels:]) + np.eye(channels)
    kernel = kernel.astype(np.float32)[None, None]
    mixed = convolution(x, kernel, lamda * array(layer.mix.bias), 1, name)
    return layers.LeakyReLU(SLOPE, dtype="float32", name=f"{name}_lrelu")(mixed), None


def lin(layer: LIN, name: str, x: Any) -> Any:
    """`mixed_normalization` with constants."""
    return mixed_normalization(x, array(layer.rho), array(layer.gamma), array(layer.beta))


def ada_lin(layer: AdaLIN, name: str, x: Any, gamma: Any, beta: Any) -> Any:
    """`mixed_normalization` with the image's gamma (N, C) and beta (N, C)."""
    shape = (-1, 1, 1, x.shape[-1])
    return mixed_normalization(
        x, array(layer.rho), ops.reshape(gamma, shape), ops.reshape(beta, shape)
    )


def mixed_normalization(x: Any, rho: Array, gamma: Any, beta: Any) -> Any:
    """(p IN(x) + q LN(x)) gamma + beta of x (N, H, W, C) with (p, q) = softmax(rho), rho (C, 2).

    As x * scale + shift with vectors (N, 1, 1, C), so x is read three times and no map but the
    squared differences is made. Means of squares minus squared means would spare one reading, but
    cancel in half precision, which mobile GPUs compute in.
    """
    odds = np.exp(rho - rho.max(-1, keepdims=True))
    instance_share, layer_share = (odds / odds.sum(-1, keepdims=True)).T
    per_channel, per_layer = _unbiased(x)
    mean = ops.mean(x, (1, 2), keepdims=True)
    spread = ops.mean(ops.square(x - mean), (1, 2), keepdims=True)
    layer_mean = ops.mean(mean, -1, keepdims=True)
    layer_spread = ops.mean(spread + ops.square(mean - layer_mean), -1, keepdims=True)
    instance_scale = ops.rsqrt(spread * per_channel + EPSILON) * instance_share
    layer_scale = ops.rsqrt(layer_spread * per_layer + EPSILON) * layer_share
    scale = (instance_scale + layer_scale) * gamma
    shift = ops.subtract(beta, (mean * instance_scale + layer_mean * layer_scale) * gamma)
    return x * scale + shift


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


def sliced_reflection(layer: ReflectionPad2D, name: str, x: Any) -> Any:
    """Reflection out of slices and concatenations, which every delegate takes."""
    p = layer.padding
    _check_reflection(name, x, p)
    for axis in (1, 2):
        before = [_line(x, axis, i) for i in range(p, 0, -1)]
        after = [_line(x, axis, -1 - i) for i in range(1, p + 1)]
        x = _concatenated([_concatenated(before, axis), x, _concatenated(after, axis)], axis)
    return x


def mirrored_reflection(layer: ReflectionPad2D, name: str, x: Any) -> Any:
    """Reflection as one operation, which GPUs take and XNNPACK does not."""
    p = layer.padding
    _check_reflection(name, x, p)
    return ops.pad(x, [[0, 0], [p, p], [p, p], [0, 0]], mode="reflect")


def _check_reflection(name: str, x: Any, padding: int) -> None:
    _, height, width, _ = x.shape
    if any(side is not None and side <= padding for side in (height, width)):
        raise InputError(
            f"{name} pads maps of {height} x {width} by {padding} pixels of reflection; choose a "
            "larger side."
        )


def _line(x: Any, axis: int, index: int) -> Any:
    """One row (axis 1) or column (axis 2) of x, as a map of height or width 1."""
    line = slice(index, index + 1 or None)
    return x[:, line] if axis == 1 else x[:, :, line]


def _concatenated(parts: list[Any], axis: int) -> Any:
    while len(parts) > 1:
        chunks = [parts[i : i + CONCATENATED] for i in range(0, len(parts), CONCATENATED)]
        parts = [ops.concatenate(chunk, axis) if len(chunk) > 1 else chunk[0] for chunk in chunks]
    return parts[0]


def leaky_relu(layer: LeakyReLU, name: str, x: Any) -> Any:
    """Keras' own, with the layer's slope."""
    return layers.LeakyReLU(layer.slope, dtype="float32", name=name)(x)


def pixel_shuffle(layer: PixelShuffle, name: str, x: Any) -> Any:
    """depth_to_space, in the same channel order."""
    return ops.depth_to_space(x, layer.factor)


def per_image(layer: PerImage, name: str, x: Any) -> Any:
    """Nothing: an exported graph takes whole pictures."""
    return x


RULES: dict[type[keras.layers.Layer], Rule] = {
    SpectralConv2D: spectral_convolution,
    SpectralDense: spectral_dense,
    ResidualAttention: residual_attention,
    LIN: lin,
    AdaLIN: ada_lin,
    LeakyReLU: leaky_relu,
    PixelShuffle: pixel_shuffle,
    PerImage: per_image,
}
"""By the layer's exact class; a new system's layers get theirs here."""

REFLECTIONS: dict[str, Rule] = {"slice": sliced_reflection, "mirror": mirrored_reflection}
"""The two rules of `ReflectionPad2D`."""
