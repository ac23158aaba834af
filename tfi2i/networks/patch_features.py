"""The features that PatchNCE compares: positions drawn from feature maps, projected by small heads.

Source: Park et al., "Contrastive Learning for Unpaired Image-to-Image Translation", ECCV 2020, and
its code's `PatchSampleF`. Shape letters: N images, H W space, C channels, P positions, D features.
"""

from collections.abc import Sequence

import keras
import tensorflow as tf

from tfi2i import losses
from tfi2i.networks.ends import Initializer, xavier

TINY = 1e-7  # added to a vector's length before the division by it


def patch_head(channels: int, features: int, name: str, initializer: Initializer) -> keras.Model:
    """Features at positions (N, P, C) -> (N, P, D): dense, ReLU, dense; never in half precision.

    At the start the outputs are of the size of `TINY`, and half precision would lose them.
    """
    full = keras.config.dtype_policy().variable_dtype
    rows = keras.Input((None, channels), name="rows", dtype=full)
    x = rows
    for i, activation in enumerate(("relu", None)):
        x = keras.layers.Dense(
            features, activation, kernel_initializer=initializer(), dtype=full, name=f"dense{i}"
        )(x)
    return keras.Model(rows, x, name=name)


def patch_heads(taps: Sequence[str], maps: Sequence, features: int) -> list[keras.Model]:
    """A head for each tapped map (N, H, W, C), by the tap's name: `head_conv0`."""
    channels = [one.shape[-1] for one in maps]
    named = zip(channels, taps, strict=True)
    return [patch_head(count, features, f"head_{tap}", xavier) for count, tap in named]


def draw_positions(maps: Sequence, count: int, seed) -> list:
    """For each map (N, H, W, C) the indices (P,) of P different positions, row by row.

    P is `count`, or H W where that is less. All images of a map share the positions.

    Args:
        maps: Feature maps; only their sizes count.
        count: Positions of each map.
        seed: Two integers, of `tf.random.stateless_uniform`; every map draws its own.
    """
    drawn = []
    for i, one in enumerate(maps):
        shape = tf.shape(one)
        size = shape[1] * shape[2]
        order = tf.random.stateless_uniform((size,), tf.stack([seed[0] + i, seed[1]]))
        drawn.append(tf.math.top_k(order, tf.minimum(count, size)).indices)
    return drawn


def patch_features(maps: Sequence, heads: Sequence[keras.Model], positions: Sequence) -> list:
    """Unit vectors (N, P, D) of each map (N, H, W, C) at its positions (P,), by its head."""
    features = []
    for one, head, indices in zip(maps, heads, positions, strict=True):
        shape = tf.shape(one)
        rows = tf.reshape(one, (shape[0], shape[1] * shape[2], one.shape[-1]))
        chosen = tf.gather(rows, indices, axis=1)
        features.append(unit(head(tf.cast(chosen, head.input.dtype), training=True)))
    return features


def mean_patch_nce(queries: Sequence, keys: Sequence, temperature: float, from_batch: bool):
    """PatchNCE of features (N, P, D) of translations and of their images, the mean over the taps.

    Args:
        queries: Features of each tap's map of the translations.
        keys: Features of each tap's map of the images.
        temperature: Temperature of the softmax.
        from_batch: True where all positions of the batch are each other's negatives; else those of
            one image.
    """
    per_tap = []
    for query, key in zip(queries, keys, strict=True):
        if from_batch:  # one group of N P positions
            query, key = (tf.reshape(one, (1, -1, one.shape[-1])) for one in (query, key))
        per_tap.append(losses.patch_nce(query, key, temperature))
    return tf.add_n(per_tap) / len(per_tap)


def unit(vectors):
    """Vectors (..., D) divided by their length plus 1e-7."""
    # The gradient of a plain square root is not finite at 0, as an unlucky ReLU may give.
    length = tf.sqrt(tf.maximum(tf.reduce_sum(tf.square(vectors), -1, keepdims=True), 1e-30))
    return vectors / (length + TINY)
