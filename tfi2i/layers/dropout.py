"""Dropout whose masks a system draws, so that a resumed training draws what it would have drawn.

Shape letters: N images, H W space, C channels.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import Any

import keras
import tensorflow as tf

Masks = Callable[[Any, float], Any]
"""Maker of a mask for a map x (N, H, W, C) and a share of values to drop: ones and zeros."""

_masks: ContextVar[Masks | None] = ContextVar("_masks", default=None)


@contextlib.contextmanager
def masked_by(masks: Masks) -> Iterator[None]:
    """A scope whose dropouts, in training calls, take their masks from a function.

    It is asked once for every layer, in the order of the data through them. Works eagerly and
    while a `tf.function` is traced.
    """
    outer = _masks.set(masks)
    try:
        yield
    finally:
        _masks.reset(outer)


def drawn_masks(seeds: Iterable[Any]) -> Masks:
    """The maker of random masks: each layer takes the next seed, two integers."""
    turns = iter(seeds)

    def mask(x, rate):
        draws = tf.random.stateless_uniform(tf.shape(x), next(turns))
        return tf.cast(draws >= rate, x.dtype)

    return mask


@keras.saving.register_keras_serializable("tfi2i")
class Dropout(keras.layers.Layer):
    """x (N, H, W, C) with a share of its values 0 and the others larger; itself at use.

    Source: torch.nn.Dropout, which drops single values, and divides the others by 1 - rate.
    """

    def __init__(self, rate: float, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate

    def call(self, x, training=False):
        if not training:
            return x
        masks = _masks.get()
        if masks is None:
            raise ValueError(f"{self.name} has no masks to train with; call it in `masked_by`.")
        return x * masks(x, self.rate) / (1 - self.rate)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "rate": self.rate}
