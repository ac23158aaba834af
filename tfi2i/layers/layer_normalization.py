"""Layer normalisation in two forms, with a scale and a shift of each channel.

Shape letters: N images, H W space, C channels; channels last.
"""

from typing import Any, Literal

import keras
import tensorflow as tf

from tfi2i.layers.normalization import EPSILON, channel_moments, in_full, in_training

EpsilonOn = Literal["variance", "deviation"]


@keras.saving.register_keras_serializable("tfi2i")
class LayerNormalization(keras.layers.Layer):
    """gamma (x - mean) s + beta of x (N, H, W, C), mean and s over all values of an image.

    Args:
        epsilon_on: Place of epsilon: s = 1 / sqrt(variance + 1e-5), or 1 / (deviation + 1e-5), of
            which the divisor is H W C - 1.
        gamma_initializer: Initializer of gamma.

    Source: torch.nn.functional.layer_norm over C, H and W, as DRIT has it ("variance"), and
    MUNIT's own ("deviation", with gamma of U(0, 1)).
    """

    def __init__(
        self, epsilon_on: EpsilonOn = "variance", gamma_initializer: Any = "ones", **kwargs
    ):
        super().__init__(**kwargs)
        if epsilon_on not in _FORMS:
            raise ValueError(f"epsilon_on must be variance or deviation, received {epsilon_on!r}.")
        self.epsilon_on = epsilon_on
        self.gamma_initializer = keras.initializers.get(gamma_initializer)

    def build(self, input_shape):
        # autocast=False: as with other normalisations, scales stay in full precision.
        for name, start in (("gamma", self.gamma_initializer), ("beta", "zeros")):
            shape = input_shape[-1:]
            weight = self.add_weight(name=name, shape=shape, initializer=start, autocast=False)
            setattr(self, name, weight)

    def call(self, x, training=False):
        full = in_full(x)
        gamma, beta = (tf.cast(each, full.dtype) for each in (self.gamma, self.beta))
        return tf.cast(_FORMS[self.epsilon_on](full, training=training) * gamma + beta, x.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "epsilon_on": self.epsilon_on,
            "gamma_initializer": keras.initializers.serialize(self.gamma_initializer),
        }


def _spread(x):
    """Mean (N, 1, 1, 1), sum of squared distances from it, and number of values of an image."""
    mean, variance, count = channel_moments(x)
    layer_mean = tf.reduce_mean(mean, -1, keepdims=True)
    squares = (count - 1) * variance + count * tf.math.squared_difference(mean, layer_mean)
    return layer_mean, tf.reduce_sum(squares, -1, keepdims=True), count * x.shape[-1]


def _normalized(x, mean, scale, fall):
    """(x - mean) scale, and the gradient.

    Args:
        x: (N, H, W, C).
        mean: (N, 1, 1, 1).
        scale: (N, 1, 1, 1).
        fall: Factor (N, 1, 1, 1) of x - mean by which `scale` falls with x.
    """
    centred = x - mean

    def gradient(upstream):
        along = tf.reduce_sum(upstream * centred, (1, 2, 3), keepdims=True)
        direct = upstream - tf.reduce_mean(upstream, (1, 2, 3), keepdims=True)
        return scale * direct - fall * along * centred

    return centred * scale, gradient


@in_training
def _by_variance(x):
    mean, squares, count = _spread(x)
    scale = tf.math.rsqrt(squares / count + EPSILON)
    return _normalized(x, mean, scale, scale**3 / count)


@in_training
def _by_deviation(x):
    mean, squares, count = _spread(x)
    deviation = tf.sqrt(squares / (count - 1))
    scale = 1 / (deviation + EPSILON)
    # A flat image has no direction in which its deviation grows.
    fall = tf.math.divide_no_nan(tf.square(scale), (count - 1) * deviation)
    return _normalized(x, mean, scale, fall)


_FORMS = {"variance": _by_variance, "deviation": _by_deviation}
