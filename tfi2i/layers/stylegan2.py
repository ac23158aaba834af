"""Layers of StyleGAN2 without styles: equalised learning rates, blurs and noise.

Weights are stored as N(0, 1) and scaled whenever they are used. Shape letters: N images, H W space,
C channels; channels last.

Source: Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", CVPR 2020, in the
form that taesungp/contrastive-unpaired-translation has them in.
"""

import math
from typing import Annotated

import keras
import tensorflow as tf

from tfi2i.layers.convolution import LeakyReLU, resized
from tfi2i.limits import Between, Count

NOISE_SEED = (2007, 15651)  # two integers, of the noise that every translation takes


def normal() -> keras.initializers.Initializer:
    """A new initializer of what is stored."""
    return keras.initializers.RandomNormal(stddev=1.0)


def _equalized(kernel):
    """A kernel (..., in, out) divided by the root of the number of its inputs."""
    return tf.convert_to_tensor(kernel) * math.prod(kernel.shape[:-1]) ** -0.5


@keras.saving.register_keras_serializable("tfi2i")
class EqualizedConv2D(keras.layers.Conv2D):
    """A convolution (N, H, W, C) -> (N, H', W', filters) with 1 / sqrt(k k C) times its kernel.

    Source: `EqualConv2d`: the stored kernel is drawn from N(0, 1), biases start at 0.
    """

    def scaled_kernel(self):
        """The kernel (k, k, C, filters) that convolves."""
        return _equalized(self.kernel)

    def convolution_op(self, inputs, kernel):
        return super().convolution_op(inputs, _equalized(kernel))


@keras.saving.register_keras_serializable("tfi2i")
class EqualizedDense(keras.layers.Dense):
    """A dense layer (N, C) -> (N, units) with 1 / sqrt(C) times its kernel."""

    def call(self, x, training=None):
        return super().call(x * self.kernel.shape[0] ** -0.5, training=training)


@keras.saving.register_keras_serializable("tfi2i")
class DemodulatedUpConv2D(keras.layers.Layer):
    """A transposed convolution k 3 of stride 2: (N, h, w, C) -> (N, 2 h + 1, 2 w + 1, filters).

    Each output channel's kernel is divided by its length. The result is 4 times the source's, whose
    blur has that gain: three of four pixels that come in are zeros.

    Source: `ModulatedConv2d(upsample=True)` with all styles 1.
    """

    def __init__(self, filters: Count, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters

    def build(self, input_shape):
        shape = (3, 3, input_shape[-1], self.filters)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=normal())

    def scaled_kernel(self):
        """The kernel (3, 3, C, filters) that convolves."""
        kernel = _equalized(self.kernel)
        full = tf.cast(kernel, self.variable_dtype)
        length = tf.sqrt(tf.reduce_sum(tf.square(full), (0, 1, 2)) + 1e-8)
        return 4 * kernel / tf.cast(length, kernel.dtype)

    def call(self, x):
        batch, height, width = tf.unstack(tf.shape(x)[:3])
        grown = [batch, 2 * height + 1, 2 * width + 1, self.filters]
        kernel = tf.transpose(self.scaled_kernel(), (0, 1, 3, 2))
        return tf.nn.conv2d_transpose(x, kernel, grown, 2, "VALID")

    def compute_output_shape(self, input_shape):
        return resized(input_shape, lambda side: 2 * side + 1, self.filters)


@keras.saving.register_keras_serializable("tfi2i")
class Blur(keras.layers.Layer):
    """[1, 3, 3, 1] / 8 along both sides of (N, H, W, C) after `padding` zeros on each of the four.

    The sides become H + 2 padding - 3, of which every `strides`-th position is kept. The filter is
    three means of two neighbours.
    """

    def __init__(
        self,
        padding: Annotated[int, Between(0, 1_024)],
        strides: Annotated[int, Between(1, 256)] = 1,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.padding = padding
        self.strides = strides

    def call(self, x):
        p = self.padding
        x = tf.pad(x, [[0, 0], [p, p], [p, p], [0, 0]])
        for strides in (1, 1, self.strides):
            x = tf.nn.avg_pool2d(x, 2, strides, "VALID")
        return x

    def compute_output_shape(self, input_shape):
        less = 4 - 2 * self.padding
        return resized(input_shape, lambda side: (side - less) // self.strides + 1)


@keras.saving.register_keras_serializable("tfi2i")
class ScaledLeakyReLU(LeakyReLU):
    """sqrt(2) times leaky ReLU of slope 0.2, which keeps the size of N(0, 1)."""

    def call(self, x):
        return math.sqrt(2) * super().call(x)


@keras.saving.register_keras_serializable("tfi2i")
class ResidualSum(keras.layers.Add):
    """(x + y) / sqrt(2) of two maps of one shape, which keeps their variance."""

    def call(self, inputs):
        return math.sqrt(0.5) * super().call(inputs)


@keras.saving.register_keras_serializable("tfi2i")
class NoiseAndBias(keras.layers.Layer):
    """Map (N, H, W, C) + strength * noise (N, H, W, 1) + bias (C,); both weights start at 0."""

    def build(self, input_shapes):
        shape, _ = input_shapes
        self.strength = self.add_weight(name="strength", shape=(), initializer="zeros")
        self.bias = self.add_weight(name="bias", shape=(shape[-1],), initializer="zeros")

    def call(self, both):
        x, noise = both
        return x + self.strength * noise + self.bias

    def compute_output_shape(self, input_shapes):
        return input_shapes[0]


@keras.saving.register_keras_serializable("tfi2i")
class FixedNoise(keras.layers.Layer):
    """Image (N, H, W, 3) -> N(0, 1) noise (N, H, W, 1), always the same for a height and width."""

    def call(self, image):
        batch, height, width = tf.unstack(tf.shape(image)[:3])
        noise = tf.random.stateless_normal(
            (1, height, width, 1), NOISE_SEED, dtype=self.compute_dtype
        )
        return tf.repeat(noise, batch, 0)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 1)
