"""First weights by which layers that enlarge maps do so evenly, without a grid.

A sub-pixel convolution has its own kernels for each of the 2 x 2 pixels that come of one, and a
transposed convolution of stride 2, or one of nearest pixels, its own sums of entries of the kernel.
Drawn independently, they draw a grid over all that a fresh network makes. Here the pixels of a
group begin alike. What is drawn has the distribution that the layer's kernel would have had.

Source: Aitken et al., "Checkerboard artifact free sub-pixel convolution", arXiv 1707.02937 (ICNR).
"""

import keras
import numpy as np
import tensorflow as tf

GROUP = 4
"""Pixels that come of one: 2 x 2."""


class _Even(keras.initializers.Initializer):
    """An initializer that takes numbers of another one for several entries."""

    def __init__(self, drawn: keras.initializers.Initializer):
        self.drawn = keras.initializers.get(drawn)

    def get_config(self):
        return {"drawn": keras.initializers.serialize(self.drawn)}


@keras.saving.register_keras_serializable("tfi2i")
class EvenSubpixels(_Even):
    """Kernels (k, k, in, 4 C) and biases (4 C,) before a `PixelShuffle`: 4 times the same C."""

    def __call__(self, shape, dtype=None):
        drawn = self.drawn(shape, dtype=dtype)  # all of it, as the deviation may follow the shape
        return tf.concat([drawn[..., : shape[-1] // GROUP]] * GROUP, -1)


@keras.saving.register_keras_serializable("tfi2i")
class EvenTransposed(_Even):
    """Kernels (k, k, out, in) of a `TransposedConv2D`, k 3 or 4.

    Of k 4 two entries along a side make each pixel: both pixels of a group have the same two,
    mirrored. Of k 3 one entry makes the first pixel and two make the second, which would vary more
    however their sum was chosen: the second has the first's entry for the same pixel of the input,
    and 0 for its neighbour.
    """

    def __call__(self, shape, dtype=None):
        drawn = self.drawn(shape, dtype=dtype)
        if shape[0] == 3:
            alike = tf.constant(np.outer([0, 1, 1], [0, 1, 1])[..., None, None], drawn.dtype)
            return drawn[1:2, 1:2] * alike
        half = tf.concat([drawn[:2, :2], drawn[1::-1, :2]], 0)
        return tf.concat([half, half[:, ::-1]], 1)


@keras.saving.register_keras_serializable("tfi2i")
class EvenNearest(_Even):
    """Kernels (3, 3, in, out) after nearest pixels: the outer rows are alike, and the columns.

    Of doubled pixels such a kernel sees one once and its neighbour twice, on one side of it or the
    other. Mirrored, all four sums vary alike. Else a narrow network's ReLU makes a faint
    checkerboard of their differences.
    """

    def __call__(self, shape, dtype=None):
        drawn = self.drawn(shape, dtype=dtype)
        return tf.gather(tf.gather(drawn, [0, 1, 0], axis=0), [0, 1, 0], axis=1)
