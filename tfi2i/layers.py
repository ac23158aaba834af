"""Layers that systems share. Shape letters: N images, H W space, C channels; channels last.

Defaults follow PyTorch, in which the papers' numbers were made: epsilon 1e-5, unbiased variances,
kernels and biases drawn from U(-1/sqrt(fan_in), 1/sqrt(fan_in)), reflection padding written out.

Every layer whose result depends on all positions of an image takes its statistics through this
module, so that `SharedStatistics` can make tiles of one picture share them.
"""

import math
import threading
from collections.abc import Iterable
from typing import Any, Self

import keras
import tensorflow as tf
from keras import ops

EPSILON = 1e-5


def kernel_initializer() -> keras.initializers.Initializer:
    """PyTorch's default kernel initialisation, U(-r, r) with r = 1 / sqrt(fan_in)."""
    return keras.initializers.VarianceScaling(1 / 3, mode="fan_in", distribution="uniform")


def bias_initializer(fan_in: int) -> keras.initializers.Initializer:
    """PyTorch's default bias initialisation, U(-r, r) with r = 1 / sqrt(fan_in) of its layer."""
    limit = fan_in**-0.5
    return keras.initializers.RandomUniform(-limit, limit)


class SharedStatistics:
    """Makes the tiles of one picture share the statistics that are otherwise taken per image.

    Inside `with SharedStatistics.record() as statistics:` every statistics layer treats the whole
    batch as one image and appends what it used to `statistics.values`, a list of tensors in call
    order. Inside `with SharedStatistics.replay(values):` the layers use those values, in the same
    order, whatever they are given. Both work eagerly and while a `tf.function` is traced.
    """

    _scopes = threading.local()

    def __init__(self, values: Iterable[Any] | None):
        self.recording = values is None
        self.values: list[Any] = [] if values is None else list(values)
        self._used = 0

    @classmethod
    def record(cls) -> "SharedStatistics":
        """A scope that pools statistics over the batch and keeps them."""
        return cls(None)

    @classmethod
    def replay(cls, values: Iterable[Any]) -> "SharedStatistics":
        """A scope that uses the statistics of an earlier `record` scope."""
        return cls(values)

    @classmethod
    def current(cls) -> "SharedStatistics | None":
        """The innermost scope of this thread, or None: statistics are per image."""
        scopes = getattr(cls._scopes, "stack", None)
        return scopes[-1] if scopes else None

    def keep(self, value: Any) -> Any:
        """Records `value`, or returns the recorded one in its place."""
        if self.recording:
            self.values.append(value)
            return value
        if self._used >= len(self.values):
            raise ValueError(
                f"{len(self.values)} recorded statistics, but the network asks for more: "
                "record and replay must run the same network."
            )
        self._used += 1
        return self.values[self._used - 1]

    def __enter__(self) -> Self:
        if not hasattr(self._scopes, "stack"):
            self._scopes.stack = []
        self._scopes.stack.append(self)
        return self

    def __exit__(self, *exception: object) -> None:
        self._scopes.stack.pop()


def _in_full(x):
    """At least float32: statistics in half precision lose the mean of a bright image."""
    return x if tf.as_dtype(x.dtype) in (tf.float32, tf.float64) else tf.cast(x, tf.float32)


def _count(x, axes: tuple[int, ...]):
    """How many values a reduction over `axes` takes; a Python number where the shape is known."""
    sides = [x.shape[axis] for axis in axes]
    if None not in sides:
        return float(math.prod(sides))
    shape = tf.shape(x)
    return tf.cast(tf.reduce_prod([shape[axis] for axis in axes]), x.dtype)


def channel_moments(x):
    """Mean and unbiased variance of x (N, H, W, C) per image and channel, and how many values.

    Returns:
        mean (N, 1, 1, C), variance (N, 1, 1, C) with divisor H W - 1, and H W as a scalar; N is 1
        under `SharedStatistics`.
    """
    scope = SharedStatistics.current()
    if scope is not None and not scope.recording:
        mean, variance, count = tf.unstack(scope.keep(None))
        return mean, variance, count[0, 0, 0, 0]
    axes = (1, 2) if scope is None else (0, 1, 2)
    count = _count(x, axes)
    mean = tf.reduce_mean(x, axes, keepdims=True)
    squares = tf.reduce_sum(tf.math.squared_difference(x, mean), axes, keepdims=True)
    variance = squares / (count - 1)
    if scope is not None:
        scope.keep(tf.stack([mean, variance, tf.fill(tf.shape(mean), tf.cast(count, x.dtype))]))
    return mean, variance, count


class PerImage(keras.layers.Layer):
    """A vector per image (N, C) as it is; under `SharedStatistics` the mean over the tiles."""

    def call(self, x):
        scope = SharedStatistics.current()
        if scope is None:
            return x
        shared = scope.keep(tf.reduce_mean(x, 0, keepdims=True) if scope.recording else None)
        return tf.repeat(shared, tf.shape(x)[0], axis=0)

    def compute_output_shape(self, input_shape):
        return input_shape


class ReflectionPad2D(keras.layers.Layer):
    """(N, H, W, C) -> (N, H + 2p, W + 2p, C) by reflection, the edge pixel not repeated.

    Source: torch.nn.ReflectionPad2d. Keras' "same" padding is zeros, and shifted for odd kernels
    with stride 2, so the papers' convolutions are always this layer and then a valid convolution.
    """

    def __init__(self, padding: int, **kwargs):
        super().__init__(**kwargs)
        self.padding = padding

    def call(self, x):
        p = self.padding
        return tf.pad(x, [[0, 0], [p, p], [p, p], [0, 0]], mode="REFLECT")

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        p = self.padding
        for side in (height, width):
            if side is not None and side <= p:
                raise ValueError(
                    f"Reflection padding of {p} needs maps of at least {p + 1} x {p + 1}, "
                    f"received {height} x {width}: the images are too small for this depth."
                )
        grown = [None if side is None else side + 2 * p for side in (height, width)]
        return (batch, *grown, channels)

    def get_config(self):
        return {**super().get_config(), "padding": self.padding}


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

    def get_config(self):
        return {**super().get_config(), "slope": self.slope}


class PixelShuffle(keras.layers.Layer):
    """(N, H, W, r r C) -> (N, r H, r W, C), TensorFlow's channel order (PyTorch's is another)."""

    def __init__(self, factor: int = 2, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, x):
        return tf.nn.depth_to_space(x, self.factor)

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        grown = [None if side is None else side * self.factor for side in (height, width)]
        return (batch, *grown, channels // self.factor**2)

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


class _MixedNormalization(keras.layers.Layer):
    """p IN(x) + q LN(x) per channel, (p, q) = softmax(rho): what LIN and AdaLIN share.

    Both normalisations are affine in x once the per-channel moments are known, and the layer
    moments follow from the channel moments, so x is read once for the statistics and once for
    the result.
    """

    initial_rho: tuple[float, float]  # raw, for (IN, LN)

    def _add_rho(self, channels: int) -> None:
        # autocast=False: the mixing stays in float32 under mixed precision.
        self.rho = self.add_weight(
            name="rho", shape=(channels, 2), initializer=self._rho_initializer, autocast=False
        )

    def _rho_initializer(self, shape, dtype=None):
        return ops.broadcast_to(ops.convert_to_tensor(self.initial_rho, dtype), shape)

    def _mixed(self, x, gamma, beta):
        """(p a + q b) gamma + beta for x (N, H, W, C), gamma and beta (N or 1, 1, 1, C)."""
        full = _in_full(x)
        mean, variance, count = channel_moments(full)
        channels = x.shape[-1]
        layer_mean = tf.reduce_mean(mean, -1, keepdims=True)
        spread = (count - 1) * variance + count * tf.math.squared_difference(mean, layer_mean)
        layer_variance = tf.reduce_sum(spread, -1, keepdims=True) / (count * channels - 1)
        mix = tf.cast(tf.nn.softmax(tf.convert_to_tensor(self.rho), -1), full.dtype)
        instance_scale = mix[:, 0] * tf.math.rsqrt(variance + EPSILON)
        layer_scale = mix[:, 1] * tf.math.rsqrt(layer_variance + EPSILON)
        gamma, beta = tf.cast(gamma, full.dtype), tf.cast(beta, full.dtype)
        scale = gamma * (instance_scale + layer_scale)
        shift = beta - gamma * (mean * instance_scale + layer_mean * layer_scale)
        return tf.cast(full * scale + shift, x.dtype)

    def compute_output_shape(self, x_shape, *other_shapes):
        return x_shape


class LIN(_MixedNormalization):
    """Layer-instance normalisation of x (N, H, W, C) with trained gamma and beta.

    Source: NICE-GAN's "ILN": rho starts at (1.0, 3.2) for (IN, LN), is mixed by softmax and never
    clipped; both variances are unbiased.
    """

    initial_rho = (1.0, 3.2)

    def build(self, input_shape):
        channels = input_shape[-1]
        self._add_rho(channels)
        self.gamma = self.add_weight(
            name="gamma", shape=(channels,), initializer="ones", autocast=False
        )
        self.beta = self.add_weight(
            name="beta", shape=(channels,), initializer="zeros", autocast=False
        )

    def call(self, x):
        gamma, beta = tf.convert_to_tensor(self.gamma), tf.convert_to_tensor(self.beta)
        return self._mixed(x, gamma, beta)


class AdaLIN(_MixedNormalization):
    """Layer-instance normalisation of x (N, H, W, C), gamma and beta (N, C) given by the image.

    Source: NICE-GAN's "adaILN": rho starts at (3.2, 1.0) for (IN, LN) and is mixed by softmax;
    gamma multiplies as it is, without "1 +".
    """

    initial_rho = (3.2, 1.0)

    def build(self, x_shape, gamma_shape, beta_shape):
        self._add_rho(x_shape[-1])

    def call(self, x, gamma, beta):
        return self._mixed(x, gamma[:, None, None, :], beta[:, None, None, :])


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
        fan_in = 1
        for size in inputs:
            fan_in *= size
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
        u, v = tf.convert_to_tensor(self.u)[None], tf.convert_to_tensor(self.v)[None]
        if training:
            fixed = tf.stop_gradient(matrix)
            v = _normalized(tf.matmul(u, fixed, transpose_b=True))
            u = _normalized(tf.matmul(v, fixed))
            self.u.assign(u[0])
            self.v.assign(v[0])
        sigma = tf.reduce_sum(tf.matmul(v, matrix) * u)
        return tf.cast(kernel / sigma, self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), "use_bias": self.use_bias}


def _normalized(vector):
    return tf.math.l2_normalize(vector, epsilon=1e-24)  # vector / max(norm, 1e-12)


def _unit_vector(shape, dtype=None):
    return _normalized(keras.initializers.RandomNormal(stddev=1.0)(shape, dtype=dtype))


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
        batch, height, width, _ = input_shape
        sides = [
            None if side is None else (side - self.kernel_size) // self.strides + 1
            for side in (height, width)
        ]
        return (batch, *sides, self.filters)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
        }


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

    def get_config(self):
        return {**super().get_config(), "units": self.units}


for _layer in (
    PerImage,
    ReflectionPad2D,
    LeakyReLU,
    PixelShuffle,
    LIN,
    AdaLIN,
    SpectralConv2D,
    SpectralDense,
):
    keras.saving.register_keras_serializable("tfi2i")(_layer)
