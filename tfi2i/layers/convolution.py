"""Layers that systems share. Shape letters: N images, H W space, C channels; channels last.

Defaults follow PyTorch, in which the papers' numbers were made: kernels and biases drawn from
U(-1/sqrt(fan_in), 1/sqrt(fan_in)), padding written out. What depends on all positions of an image
stands in `normalization`.
"""

from collections.abc import Callable
from typing import Annotated

import keras
import tensorflow as tf

from tfi2i.limits import Between, Count


def kernel_initializer() -> keras.initializers.Initializer:
    """PyTorch's default kernel initialisation, U(-r, r) with r = 1 / sqrt(fan_in)."""
    return keras.initializers.VarianceScaling(1 / 3, mode="fan_in", distribution="uniform")


def bias_initializer(fan_in: int) -> keras.initializers.Initializer:
    """PyTorch's default bias initialisation, U(-r, r) with r = 1 / sqrt(fan_in) of its layer."""
    limit = fan_in**-0.5
    return keras.initializers.RandomUniform(-limit, limit)


def resized(shape, side: Callable[[int], int], channels: int | None = None):
    """The shape of a map (N, H, W, C) with each known side, and perhaps the channels, changed."""
    batch, *sides, before = shape
    return (batch, *(None if one is None else side(one) for one in sides), channels or before)


class ReflectionPad2D(keras.layers.Layer):
    """(N, H, W, C) -> (N, H + 2p, W + 2p, C) by reflection, the edge pixel not repeated.

    Source: torch.nn.ReflectionPad2d. Keras' "same" padding is zeros, and shifted for odd kernels
    with stride 2, so the papers' convolutions are always this layer and then a valid convolution.
    """

    def __init__(self, padding: Annotated[int, Between(0, 1_024)], **kwargs):
        super().__init__(**kwargs)
        self.padding = padding

    def call(self, x):
        p = self.padding
        return tf.pad(x, [[0, 0], [p, p], [p, p], [0, 0]], mode="REFLECT")

    def compute_output_shape(self, input_shape):
        _, height, width, _ = input_shape
        p = self.padding
        if any(side is not None and side <= p for side in (height, width)):
            raise ValueError(
                f"Reflection padding of {p} needs maps of at least {p + 1} x {p + 1}, "
                f"received {height} x {width}: the images are too small for this depth."
            )
        return resized(input_shape, lambda side: side + 2 * p)


def leaky_relu(x, slope: float):
    """Leaky ReLU of x of any shape: slope * x where x is negative."""
    if x.dtype == tf.float64:  # TensorFlow's kernel rounds the slope to float32
        return tf.maximum(x, slope * x)
    return tf.nn.leaky_relu(x, slope)


class LeakyReLU(keras.layers.Layer):
    """`leaky_relu` as a layer; Keras' own has another slope by default."""

    def __init__(self, slope: float = 0.2, **kwargs):
        super().__init__(**kwargs)
        self.slope = slope

    def call(self, x):
        return leaky_relu(x, self.slope)

    def compute_output_shape(self, input_shape):
        return input_shape


class PixelShuffle(keras.layers.Layer):
    """(N, H, W, r r C) -> (N, r H, r W, C), TensorFlow's channel order (PyTorch's is another)."""

    def __init__(self, factor: Annotated[int, Between(1, 256)] = 2, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, x):
        return tf.nn.depth_to_space(x, self.factor)

    def compute_output_shape(self, input_shape):
        channels = input_shape[-1] // self.factor**2
        return resized(input_shape, lambda side: side * self.factor, channels)


class TransposedConv2D(keras.layers.Layer):
    """A transposed convolution of stride 2: (N, H, W, C) -> (N, 2 H, 2 W, filters).

    Source: torch.nn.ConvTranspose2d(k, stride=2, padding=1), with output_padding=1 for k 3 and none
    for k 4. Keras' "same" drops other rows and columns for k 3, which moves the image by a pixel.

    Args:
        kernel_size: 3 or 4.
    """

    def __init__(
        self,
        filters: Count,
        kernel_size: int,
        use_bias: bool = True,
        kernel_initializer="glorot_uniform",
        **kwargs,
    ):
        super().__init__(**kwargs)
        if kernel_size not in (3, 4):
            raise ValueError(f"kernel_size must be 3 or 4, received kernel_size={kernel_size}.")
        self.filters = filters
        self.kernel_size = kernel_size
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape):
        k = self.kernel_size
        shape = (k, k, self.filters, input_shape[-1])
        self.kernel = self.add_weight(
            name="kernel", shape=shape, initializer=self.kernel_initializer
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer="zeros")

    def call(self, x):
        batch, height, width = tf.unstack(tf.shape(x)[:3])
        grown = [2 * side + self.kernel_size - 2 for side in (height, width)]
        kernel = tf.convert_to_tensor(self.kernel)
        x = tf.nn.conv2d_transpose(x, kernel, [batch, *grown, self.filters], 2, "VALID")
        x = x[:, 1 : 2 * height + 1, 1 : 2 * width + 1]
        return x if self.bias is None else tf.nn.bias_add(x, self.bias)

    def compute_output_shape(self, input_shape):
        return resized(input_shape, lambda side: 2 * side, self.filters)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }


class BlurDown(keras.layers.Layer):
    """(N, H, W, C) -> (N, ceil(H/2), ceil(W/2), C): [1, 2, 1]/4 along both sides, every 2nd pixel.

    The filter is two means of two neighbours; the padding is reflection by 1.

    Source: Zhang, "Making Convolutional Networks Shift-Invariant Again", ICML 2019, as in CUT.
    """

    def call(self, x):
        x = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="REFLECT")
        return tf.nn.avg_pool2d(tf.nn.avg_pool2d(x, 2, 1, "VALID"), 2, 2, "VALID")

    def compute_output_shape(self, input_shape):
        return resized(input_shape, lambda side: (side + 1) // 2)


class BilinearUp(keras.layers.Layer):
    """(N, H, W, C) -> (N, 2 H, 2 W, C), bilinear between pixels' centres, edges repeated.

    Keras' UpSampling2D computes the same, but not in a graph whose sides are free. In float64
    TensorFlow's kernel rounds to float32.

    Source: CUT's [1, 3, 3, 1] filter with replicated edges, which is exactly this.
    """

    def call(self, x):
        doubled = 2 * tf.shape(x)[1:3]
        return tf.cast(tf.image.resize(x, doubled), x.dtype)

    def compute_output_shape(self, input_shape):
        return resized(input_shape, lambda side: 2 * side)


class AveragePool3x3(keras.layers.Layer):
    """(N, H, W, C) -> (N, ceil(H/2), ceil(W/2), C): means of 3 x 3 pixels, of those that are there.

    Keras' "same" takes other pixels where a side is even.

    Source: torch.nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False).
    """

    def call(self, x):
        around = [[0, 0], [1, 1], [1, 1], [0, 0]]
        there = tf.pad(tf.ones_like(x[:1, :, :, :1]), around)
        sums, counts = (tf.nn.avg_pool2d(y, 3, 2, "VALID") for y in (tf.pad(x, around), there))
        return sums / counts

    def compute_output_shape(self, input_shape):
        return resized(input_shape, lambda side: (side + 1) // 2)


for _layer in (
    *(ReflectionPad2D, LeakyReLU, PixelShuffle, TransposedConv2D),
    *(BlurDown, BilinearUp, AveragePool3x3),
):
    keras.saving.register_keras_serializable("tfi2i")(_layer)
