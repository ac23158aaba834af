"""Spectral normalisation: layers whose kernel is divided by its largest singular value."""

import functools
import math
from typing import Annotated

import keras
import tensorflow as tf

from tfi2i.layers.convolution import bias_initializer, kernel_initializer, resized
from tfi2i.limits import Between, Count


class _SpectralLayer(keras.layers.Layer):
    """A layer that divides its kernel by the largest singular value, as PyTorch's hook does.

    The stored kernel is the raw one and gradients pass through sigma. (Keras' SpectralNormalization
    overwrites the stored kernel and treats sigma as a constant.) u and v are state: a training call
    does one power iteration, an inference call uses both as they are.
    """

    def __init__(self, use_bias: bool = True, **kwargs):
        super().__init__(**kwargs)
        self.use_bias = use_bias

    def _add_spectral_weights(self, kernel_shape: tuple[int, ...]) -> None:
        *inputs, outputs = kernel_shape
        fan_in = math.prod(inputs)
        self.kernel = self.add_weight(
            name="kernel", shape=kernel_shape, initializer=kernel_initializer(), autocast=False
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias", shape=(outputs,), initializer=bias_initializer(fan_in)
            )
        for name, size in (("u", outputs), ("v", fan_in)):
            vector = self.add_weight(
                name=name, shape=(size,), initializer=_unit_vector, trainable=False, autocast=False
            )
            setattr(self, name, vector)

    def normalized_kernel(self, training: bool):
        """The kernel divided by sigma = u (M v), M the kernel with outputs as rows."""
        kernel, u, v = (tf.convert_to_tensor(each) for each in (self.kernel, self.u, self.v))
        if training:
            kernel, u, v = _iterated(kernel, u, v)
            self.u.assign(u)
            self.v.assign(v)
        else:
            kernel /= tf.reduce_sum(tf.matmul(v[None], _matrix(kernel)) * u[None])
        return tf.cast(kernel, self.compute_dtype)


def _matrix(kernel):
    return tf.reshape(kernel, (-1, kernel.shape[-1]))  # M transposed


@functools.partial(tf.function, autograph=False)
@tf.custom_gradient
def _iterated(kernel, u, v):
    """The kernel divided by sigma after a power iteration, and the new u and v.

    A function of its own is traced once for every shape. Its gradient is written out, as what
    TensorFlow derives takes three times as many operations: it passes through sigma, of which u
    and v are constants.
    """
    matrix = _matrix(kernel)
    new_v = _normalized(tf.matmul(u[None], matrix, transpose_b=True))
    product = tf.matmul(new_v, matrix)
    new_u = _normalized(product)
    sigma = tf.reduce_sum(product * new_u)
    result = kernel / sigma

    def gradient(upstream, *of_vectors):
        by_sigma = tf.reduce_sum(upstream * result)
        outer = tf.reshape(tf.matmul(new_v, by_sigma * new_u, transpose_a=True), kernel.shape)
        return (upstream - outer) / sigma, tf.zeros_like(u), tf.zeros_like(v)

    return (result, tf.squeeze(new_u, 0), tf.squeeze(new_v, 0)), gradient


def _normalized(vector):
    return tf.math.l2_normalize(vector, epsilon=1e-24)  # vector / max(norm, 1e-12)


def _unit_vector(shape, dtype=None):
    return _normalized(keras.initializers.RandomNormal(stddev=1.0)(shape, dtype=dtype))


@keras.saving.register_keras_serializable("tfi2i")
class SpectralConv2D(_SpectralLayer):
    """A valid convolution (N, H, W, C) -> (N, H', W', filters) under spectral normalisation.

    Source: torch.nn.utils.spectral_norm around Conv2d: one power iteration a call, eps 1e-12.
    """

    def __init__(
        self,
        filters: Count,
        kernel_size: Annotated[int, Between(1, 1_024)],
        strides: Annotated[int, Between(1, 256)] = 1,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.filters = filters
        self.kernel_size = kernel_size
        self.strides = strides

    def build(self, input_shape):
        k = self.kernel_size
        self._add_spectral_weights((k, k, input_shape[-1], self.filters))

    def call(self, x, training=False):
        x = tf.nn.conv2d(x, self.normalized_kernel(bool(training)), self.strides, "VALID")
        return x if self.bias is None else tf.nn.bias_add(x, self.bias)

    def compute_output_shape(self, input_shape):
        k, strides = self.kernel_size, self.strides
        return resized(input_shape, lambda side: (side - k) // strides + 1, self.filters)


@keras.saving.register_keras_serializable("tfi2i")
class SpectralDense(_SpectralLayer):
    """A dense layer (N, C) -> (N, units) under spectral normalisation; see SpectralConv2D."""

    def __init__(self, units: Count, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape):
        self._add_spectral_weights((input_shape[-1], self.units))

    def call(self, x, training=False):
        x = tf.matmul(x, self.normalized_kernel(bool(training)))
        return x if self.bias is None else tf.nn.bias_add(x, self.bias)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)
