"""Spectral normalisation: layers whose kernel is divided by its largest singular value."""

import math

import keras
import tensorflow as tf

from tfi2i.layers.convolution import bias_initializer, kernel_initializer, resized


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
        kernel = tf.convert_to_tensor(self.kernel)
        matrix = tf.reshape(kernel, (-1, kernel.shape[-1]))  # M transposed
        u, v = tf.expand_dims(self.u, 0), tf.expand_dims(self.v, 0)
        if training:
            fixed = tf.stop_gradient(matrix)
            v = _normalized(tf.matmul(u, fixed, transpose_b=True))
            u = _normalized(tf.matmul(v, fixed))
            self.u.assign(tf.squeeze(u, 0))
            self.v.assign(tf.squeeze(v, 0))
        sigma = tf.reduce_sum(tf.matmul(v, matrix) * u)
        return tf.cast(kernel / sigma, self.compute_dtype)


def _normalized(vector):
    return tf.math.l2_normalize(vector, epsilon=1e-24)  # vector / max(norm, 1e-12)


def _unit_vector(shape, dtype=None):
    return _normalized(keras.initializers.RandomNormal(stddev=1.0)(shape, dtype=dtype))


@keras.saving.register_keras_serializable("tfi2i")
class SpectralConv2D(_SpectralLayer):
    """A valid convolution (N, H, W, C) -> (N, H', W', filters) under spectral normalisation.

    Source: torch.nn.utils.spectral_norm around Conv2d: one power iteration a call, eps 1e-12.
    """

    def __init__(self, filters: int, kernel_size: int, strides: int = 1, **kwargs):
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

    def __init__(self, units: int, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape):
        self._add_spectral_weights((input_shape[-1], self.units))

    def call(self, x, training=False):
        x = tf.matmul(x, self.normalized_kernel(bool(training)))
        return x if self.bias is None else tf.nn.bias_add(x, self.bias)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)
