"""Normalisations, and the statistics that tiles of one picture share.

Shape letters: N images, H W space, C channels; channels last. Every layer whose result depends on
all positions of an image takes its statistics through this module, so that `SharedStatistics` can
make tiles of one picture share them. As in PyTorch, where the papers' numbers were made, epsilon is
1e-5; which variance is unbiased stands with each layer.
"""

import math
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any, Literal, Self

import keras
import tensorflow as tf
from keras import ops

EPSILON = 1e-5


class SharedStatistics:
    """Makes the tiles of one picture share the statistics that are otherwise taken per image.

    Inside `with SharedStatistics.record() as statistics:` every statistics layer treats the whole
    batch as one image and appends what it used to `statistics.values`, a list of tensors in call
    order. Inside `with SharedStatistics.replay(values):` the layers use those values, in the same
    order, whatever they are given. Both work eagerly and while a `tf.function` is traced.
    """

    _current: ContextVar["SharedStatistics | None"] = ContextVar("_current", default=None)

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
        return cls._current.get()

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
        self._outer = self._current.set(self)
        return self

    def __exit__(self, *exception: object) -> None:
        self._current.reset(self._outer)


def in_full(x):
    """At least float32: statistics in half precision lose the mean of a bright image."""
    return x if tf.as_dtype(x.dtype) in (tf.float32, tf.float64) else tf.cast(x, tf.float32)


def _count(x, axes: tuple[int, ...]):
    """Number of values in a reduction over `axes`; a Python number where the shape is known."""
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


def in_training(function):
    """A result without the gradient that `function` returns beside it, which training uses.

    Written-out gradients keep fewer tensors and take a third of the operations of those that
    TensorFlow derives; as a function of its own each is traced once for every shape. In a system's
    own graph TensorFlow would keep each gradient, and with it that graph, until the process ends.
    Inference has none of this, as its graphs are exported.
    """
    traced = tf.function(tf.custom_gradient(function), autograph=False)

    def call(*inputs, training: bool):
        if training and SharedStatistics.current() is None:
            return traced(*inputs)
        return function(*inputs)[0]

    return call


class InstanceNormalization(keras.layers.Layer):
    """(x - mean) / sqrt(variance + 1e-5) per image and channel of x (N, H, W, C).

    Args:
        affine: True: gamma and beta (C,), which are trained, scale and shift the result.

    Source: torch.nn.InstanceNorm2d as the papers use it: the variance's divisor is H W, no running
    statistics.
    """

    def __init__(self, affine: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.affine = affine

    def build(self, input_shape):
        if self.affine:
            shape = input_shape[-1:]
            self.gamma, self.beta = (
                self.add_weight(name=name, shape=shape, initializer=start, autocast=False)
                for name, start in (("gamma", "ones"), ("beta", "zeros"))
            )

    def call(self, x, training=False):
        full = _instance(in_full(x), training=training)
        if self.affine:
            gamma, beta = (tf.cast(each, full.dtype) for each in (self.gamma, self.beta))
            full = full * gamma + beta
        return tf.cast(full, x.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return super().get_config() | ({"affine": True} if self.affine else {})


@in_training
def _instance(x):
    """Instance normalisation of x (N, H, W, C), and the gradient."""
    mean, unbiased, count = channel_moments(x)
    scale = tf.math.rsqrt(unbiased * ((count - 1) / count) + EPSILON)
    result = (x - mean) * scale

    def gradient(upstream):
        along = tf.reduce_mean(upstream * result, (1, 2), keepdims=True)
        return scale * (upstream - tf.reduce_mean(upstream, (1, 2), keepdims=True) - result * along)

    return result, gradient


@in_training
def _mixed(x, instance_share, layer_share, gamma, beta):
    """(p IN + q LN) gamma + beta for x (N, H, W, C), and the gradient; both variances unbiased.

    Both normalisations are affine in x once the per-channel moments are known, and the layer
    moments follow from the channel moments, so x is read once for the statistics and once for
    the result.

    p and q are (C,), gamma and beta (C,) or (N, C).
    """
    channels, trained_axes = x.shape[-1], (0, 1, 2) if gamma.shape.rank == 1 else (1, 2)
    gamma, beta = (tf.reshape(each, (-1, 1, 1, channels)) for each in (gamma, beta))
    mean, variance, count = channel_moments(x)
    layer_mean = tf.reduce_mean(mean, -1, keepdims=True)
    spread = (count - 1) * variance + count * tf.math.squared_difference(mean, layer_mean)
    layer_variance = tf.reduce_sum(spread, -1, keepdims=True) / (count * channels - 1)
    instance_root = tf.math.rsqrt(variance + EPSILON)
    layer_root = tf.math.rsqrt(layer_variance + EPSILON)
    instance_scale, layer_scale = instance_share * instance_root, layer_share * layer_root
    scale = gamma * (instance_scale + layer_scale)
    shift = beta - gamma * (mean * instance_scale + layer_mean * layer_scale)

    def gradient(upstream):
        total = tf.reduce_sum(upstream, (1, 2), keepdims=True)
        moment = tf.reduce_sum(upstream * (x - mean), (1, 2), keepdims=True)
        # The products of upstream with both normalised x, summed over positions.
        of_instance = instance_root * moment
        of_layer = layer_root * (moment + (mean - layer_mean) * total)
        of_gamma = instance_share * of_instance + layer_share * of_layer
        # What x does through the variances: a multiple of x - mean for each normalisation.
        by_instance = gamma * instance_scale * instance_root * of_instance / (count - 1)
        by_layer = (
            layer_root**2
            * tf.reduce_sum(gamma * layer_share * of_layer, -1, keepdims=True)
            / (count * channels - 1)
        )
        # And through the means.
        by_means = (
            gamma * instance_scale * total / count
            + tf.reduce_mean(gamma * layer_scale * total, -1, keepdims=True) / count
        )
        constant = mean * by_instance + layer_mean * by_layer - by_means
        return (
            upstream * scale - x * (by_instance + by_layer) + constant,
            tf.reduce_sum(gamma * of_instance, (0, 1, 2)),
            tf.reduce_sum(gamma * of_layer, (0, 1, 2)),
            tf.reduce_sum(of_gamma, trained_axes),
            tf.reduce_sum(total, trained_axes),
        )

    return x * scale + shift, gradient


Statistics = Literal["picture", "moving"]


@keras.saving.register_keras_serializable("tfi2i")
class BatchNormalization(keras.layers.Layer):
    """gamma (x - mean) / sqrt(variance + 1e-5) + beta per channel of x (N, H, W, C).

    In training mean and variance are those of the batch.

    Args:
        statistics: Mean and variance at use: "picture", of each image alone, which is what training
            does with one image a step; "moving", the averages that training keeps.
        spread: Standard deviation of gamma's first values around 1.

    Source: torch.nn.BatchNorm2d: the variance's divisor is N H W, but N H W - 1 in the average,
    which moves by a tenth at each call.
    """

    momentum = 0.1

    def __init__(self, statistics: Statistics = "picture", spread: float = 0.0, **kwargs):
        super().__init__(**kwargs)
        if statistics not in ("picture", "moving"):
            raise ValueError(f"statistics must be picture or moving, received {statistics!r}.")
        self.statistics, self.spread = statistics, spread

    def build(self, input_shape):
        def add(name: str, start: Any, trainable: bool = True) -> Any:
            # autocast=False: statistics in half precision lose the mean of a bright image.
            return self.add_weight(
                name=name,
                shape=input_shape[-1:],
                initializer=start,
                trainable=trainable,
                autocast=False,
            )

        around_one = keras.initializers.RandomNormal(1.0, self.spread)
        self.gamma = add("gamma", around_one if self.spread else "ones")
        self.beta = add("beta", "zeros")
        self.moving_mean = add("moving_mean", "zeros", trainable=False)
        self.moving_variance = add("moving_variance", "ones", trainable=False)

    def call(self, x, training=False):
        full = in_full(x)
        gamma, beta = (tf.cast(each, full.dtype) for each in (self.gamma, self.beta))
        if training:
            result, mean, variance = _batch(full, training=True)
            for kept, new in ((self.moving_mean, mean), (self.moving_variance, variance)):
                kept.assign_add(self.momentum * (tf.cast(new, kept.dtype) - kept))
            return tf.cast(result * gamma + beta, x.dtype)
        if self.statistics == "picture":
            return tf.cast(_instance(full, training=False) * gamma + beta, x.dtype)
        scale, shift = (tf.cast(each, full.dtype) for each in self.moving())
        return tf.cast(full * scale + shift, x.dtype)

    def moving(self) -> tuple[Any, Any]:
        """Scale and shift (C,) that stand for the layer where the averages are used."""
        scale = self.gamma * tf.math.rsqrt(self.moving_variance + EPSILON)
        return scale, self.beta - self.moving_mean * scale

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "statistics": self.statistics, "spread": self.spread}


@in_training
def _batch(x):
    """Normalised x (N, H, W, C), the batch's mean (C,), unbiased variance (C,); and the gradient.

    The gradient is that of the first.
    """
    axes = (0, 1, 2)
    count = _count(x, axes)
    mean = tf.reduce_mean(x, axes)
    variance = tf.reduce_mean(tf.math.squared_difference(x, mean), axes)
    scale = tf.math.rsqrt(variance + EPSILON)
    result = (x - mean) * scale

    def gradient(upstream, *_):
        along = tf.reduce_mean(upstream * result, axes)
        return scale * (upstream - tf.reduce_mean(upstream, axes) - result * along)

    return (result, mean, variance * (count / (count - 1))), gradient


Mixing = Literal["softmax", "clip"]


class _MixedNormalization(keras.layers.Layer):
    """p IN(x) + q LN(x) per channel: what LIN and AdaLIN share.

    Args:
        mixing: "softmax" as in NICE-GAN, (p, q) = softmax(rho) with rho (C, 2); "clip" as in
            U-GAT-IT, (p, q) = (rho, 1 - rho) with rho (C,), which training must keep in [0, 1].
    """

    initial_rho: dict[Mixing, Any]

    def __init__(self, mixing: Mixing = "softmax", **kwargs):
        super().__init__(**kwargs)
        if mixing not in self.initial_rho:
            raise ValueError(f'mixing must be "softmax" or "clip", received mixing={mixing!r}.')
        self.mixing = mixing

    def _add_rho(self, channels: int) -> None:
        # autocast=False: the mixing stays in float32 under mixed precision.
        shape = (channels, 2) if self.mixing == "softmax" else (channels,)
        self.rho = self.add_weight(
            name="rho", shape=shape, initializer=self._rho_initializer, autocast=False
        )

    def _rho_initializer(self, shape, dtype=None):
        start = ops.convert_to_tensor(self.initial_rho[self.mixing], dtype)
        return ops.broadcast_to(start, shape)

    def shares(self):
        """P and q, each (C,): what the instance's and the layer's normalisation weigh."""
        rho = tf.convert_to_tensor(self.rho)
        if self.mixing == "clip":
            return rho, 1 - rho
        return tf.unstack(tf.nn.softmax(rho, -1), axis=-1)

    def _normalized(self, x, gamma, beta, training):
        """(p IN + q LN) gamma + beta for x (N, H, W, C), gamma and beta (C,) or (N, C)."""
        full = in_full(x)
        others = (tf.cast(each, full.dtype) for each in (*self.shares(), gamma, beta))
        return tf.cast(_mixed(full, *others, training=training), x.dtype)

    def compute_output_shape(self, x_shape, *other_shapes):
        return x_shape


class LIN(_MixedNormalization):
    """Layer-instance normalisation of x (N, H, W, C) with trained gamma and beta.

    Source: "ILN" of NICE-GAN (softmax; rho starts at (1.0, 3.2) for (IN, LN) and is never clipped)
    and of U-GAT-IT's PyTorch code (clip; rho starts at 0, layer normalisation alone).
    """

    initial_rho = {"softmax": (1.0, 3.2), "clip": 0.0}

    def build(self, input_shape):
        shape = input_shape[-1:]
        self._add_rho(*shape)
        self.gamma = self.add_weight(name="gamma", shape=shape, initializer="ones", autocast=False)
        self.beta = self.add_weight(name="beta", shape=shape, initializer="zeros", autocast=False)

    def call(self, x, training=False):
        return self._normalized(x, self.gamma, self.beta, training)


class AdaLIN(_MixedNormalization):
    """Layer-instance normalisation of x (N, H, W, C), gamma and beta (N, C) given by the image.

    Source: "adaILN" of NICE-GAN (softmax; rho starts at (3.2, 1.0) for (IN, LN)) and of U-GAT-IT's
    PyTorch code (clip; rho starts at 0.9); gamma multiplies as it is, without "1 +".
    """

    initial_rho = {"softmax": (3.2, 1.0), "clip": 0.9}

    def build(self, x_shape, gamma_shape, beta_shape):
        self._add_rho(x_shape[-1])

    def call(self, x, gamma, beta, training=False):
        return self._normalized(x, gamma, beta, training)


for _layer in (PerImage, InstanceNormalization, LIN, AdaLIN):
    keras.saving.register_keras_serializable("tfi2i")(_layer)
