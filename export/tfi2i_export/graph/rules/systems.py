"""Rules for the layers that one system has, of what stands for each in an exported graph.

Shape letters: N images, H W space, C channels.
"""

import math
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from tfi2i.errors import InputError
from tfi2i.layers import stylegan2
from tfi2i.models.nice_gan import ResidualAttention
from tfi2i.models.ugatit import ClassActivationMap
from tfi2i.networks.ends import SLOPE
from tfi2i_export.graph.keras_graph import Array, Rule, array, convolution, filtered, phases


def leaky_relu(layer: Any, name: str, x: Any) -> Any:
    """Keras' own, with the layer's slope."""
    return layers.LeakyReLU(layer.slope, dtype="float32", name=name)(x)


def residual_attention(layer: ResidualAttention, name: str, x: Any) -> Any:
    """NICE-GAN: one 1 x 1 convolution and a leaky ReLU; the CAM logit is training's.

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


def class_activation_map(layer: ClassActivationMap, name: str, x: Any) -> Any:
    """U-GAT-IT: one 1 x 1 convolution with both classifiers' weights in its kernel, no logits."""
    channels = x.shape[-1]
    by_mean, by_max = (array(one.kernel) for one in (layer.mean_logit, layer.max_logit))
    kernel = array(layer.mix.kernel)[0, 0]
    kernel = by_mean * kernel[:channels] + by_max * kernel[channels:]
    return convolution(x, kernel[None, None], layer.mix.bias, 1, name), None


def equalized_convolution(layer: stylegan2.EqualizedConv2D, name: str, x: Any) -> Any:
    """A plain convolution."""
    kernel = array(layer.scaled_kernel())
    return convolution(x, kernel, layer.bias, layer.strides, name, layer.padding)


def demodulated_convolution(layer: stylegan2.DemodulatedUpConv2D, name: str, x: Any) -> Any:
    """One convolution of x with the kernel that the layer computes, for 2 x 2 pixels at a time."""
    kernel = array(layer.scaled_kernel()).swapaxes(2, 3)
    kernel = phases(np.pad(kernel, [(0, 1), (0, 1), (0, 0), (0, 0)]))
    padded = layers.ZeroPadding2D(1, dtype="float32", name=f"{name}_pad")(x)
    return ops.depth_to_space(convolution(padded, kernel, None, 1, name), 2)[:, :-1, :-1]


def blur(layer: stylegan2.Blur, name: str, x: Any) -> Any:
    """The three means as one filter."""
    x = layers.ZeroPadding2D(layer.padding, dtype="float32", name=f"{name}_pad")(x)
    return filtered(x, np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64, layer.strides, name)


def fixed_noise(layer: stylegan2.FixedNoise, name: str, image: Any) -> Array:
    """The noise itself, as a constant (1, H, W, 1)."""
    size = image.shape[1:3]
    if None in size:
        raise InputError(
            "The noise of this translator depends on the picture's size: give one by --sizes, and "
            "leave out --dynamic."
        )
    return np.asarray(layer(np.zeros((1, *size, 3), np.float32)), np.float32)


def noise_and_bias(layer: stylegan2.NoiseAndBias, name: str, both: list[Any]) -> Any:
    """Both as constants; no noise where training did not use it.

    The converter would add two constants up to one of (H, W, C), larger than the network; it does
    not see that the filter between them filters nothing.
    """
    x, noise = both
    strength = array(layer.strength)
    if strength == 0:
        return x + array(layer.bias)
    return filtered(x + noise * strength, [[1]], 1, name, layer.bias)


RULES: dict[type[keras.layers.Layer], Rule] = {
    ResidualAttention: residual_attention,
    ClassActivationMap: class_activation_map,
    stylegan2.EqualizedConv2D: equalized_convolution,
    stylegan2.DemodulatedUpConv2D: demodulated_convolution,
    stylegan2.Blur: blur,
    stylegan2.ScaledLeakyReLU: lambda layer, name, x: leaky_relu(layer, name, x) * math.sqrt(2),
    stylegan2.ResidualSum: lambda layer, name, both: ops.add(*both) * math.sqrt(0.5),
    stylegan2.FixedNoise: fixed_noise,
    stylegan2.NoiseAndBias: noise_and_bias,
}
"""By the layer's exact class."""
