"""Losses as pure functions, tensors -> one scalar, in float32 (float64 stays float64)."""

import tensorflow as tf


def _full(x):
    return x if x.dtype in (tf.float32, tf.float64) else tf.cast(x, tf.float32)


def least_squares(logits, target: float):
    """Mean of (logits - target)^2 over every element: one term of LSGAN, without a factor 1/2."""
    return tf.reduce_mean(tf.square(_full(logits) - target))


def l1(image, target):
    """Mean absolute difference of two tensors of one shape, in the tensors' unit."""
    return tf.reduce_mean(tf.abs(_full(image) - tf.cast(target, _full(image).dtype)))
