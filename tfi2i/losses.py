"""Losses as pure functions, tensors -> one scalar, in float32 (float64 stays float64).

The adversarial family. Each kind has a term for real images, one for fakes, which the discriminator
minimises the sum of, and one for the generator; no factor 1/2 is hidden in them.

Each is the mean of an entry of `_TERMS` over the elements of logits of any shape.

softplus(-x) = -log sigmoid(x), so "minimax" is equation 1 of Goodfellow et al. 2014 and
"non_saturating" the remedy of its section 3. Least squares: Mao et al. 2017; hinge: Lim and Ye
2017; Wasserstein: Arjovsky et al. 2017, whose critic must be kept smooth, by `gradient_penalty` or
by clipping its weights.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import tensorflow as tf

GanLoss = Literal["least_squares", "non_saturating", "minimax", "hinge", "wasserstein"]
GAN_LOSSES: tuple[str, ...] = get_args(GanLoss)


def _full(x):
    return x if x.dtype in (tf.float32, tf.float64) else tf.cast(x, tf.float32)


_softplus, _relu = tf.nn.softplus, tf.nn.relu

# kind: terms of real images, of fakes, and of the generator, as functions of logits x
_TERMS: dict[str, tuple[Callable[[Any], Any], ...]] = {
    # x - 0 keeps the order in which a tape sums gradients, and so the last bit of old runs.
    "least_squares": (
        lambda x: tf.square(x - 1.0),
        lambda x: tf.square(x - 0.0),
        lambda x: tf.square(x - 1.0),
    ),
    "non_saturating": (lambda x: _softplus(-x), _softplus, lambda x: _softplus(-x)),
    "minimax": (lambda x: _softplus(-x), _softplus, lambda x: -_softplus(x)),
    "hinge": (lambda x: _relu(1 - x), lambda x: _relu(1 + x), lambda x: -x),
    "wasserstein": (lambda x: -x, lambda x: x, lambda x: -x),
}


def on_real(kind: GanLoss, logits):
    """Discriminator loss on its logits of real images."""
    return tf.reduce_mean(_TERMS[kind][0](_full(logits)))


def on_fake(kind: GanLoss, logits):
    """Discriminator loss on its logits of fakes."""
    return tf.reduce_mean(_TERMS[kind][1](_full(logits)))


def for_generator(kind: GanLoss, logits):
    """Generator loss on the discriminator's logits of fakes."""
    return tf.reduce_mean(_TERMS[kind][2](_full(logits)))


def over_scales(loss: Callable[[GanLoss, Any], Any], kind: GanLoss, logits: Sequence[Any]):
    """Sum of an adversarial loss over the scales of a discriminator, each (N, h, w, 1)."""
    return tf.add_n([loss(kind, one) for one in logits])


def refuse_wasserstein(kind: GanLoss) -> None:
    """Raises ValueError for "wasserstein", in systems that do nothing to keep a critic smooth."""
    if kind == "wasserstein":
        raise ValueError(
            "gan_loss='wasserstein' needs a discriminator that is kept smooth, and those here are "
            "not; choose another."
        )


def undecided(kind: GanLoss) -> float | None:
    """Sum of a discriminator's two terms at the constant logits that make it least.

    That is where a discriminator stays that can't tell real images from fakes; None for
    "wasserstein", whose terms cancel at any constant.
    """
    return {"wasserstein": None, "least_squares": 0.5, "hinge": 2.0}.get(kind, 2 * math.log(2))


def binary_cross_entropy(logits, target: float):
    """Mean of the cross-entropy of sigmoid(logits) against a target of 0..1, natural logarithm."""
    x = _full(logits)
    return tf.reduce_mean(tf.nn.softplus(x) - target * x)


def gradient_penalty(discriminator: Callable[[Any], Any], real, fake, seed):
    """Mean of (|d D / d x| - 1)^2 at a random point x between each real image and a fake.

    Args:
        discriminator: Network, images -> logits of any shape; summed before the gradient.
        real: (N, H, W, 3).
        fake: Images of real's shape.
        seed: Two integers, of `tf.random.stateless_uniform`.

    Source: Gulrajani et al. 2017, equation 3, without its weight of 10.
    """
    mix = tf.random.stateless_uniform((tf.shape(real)[0], 1, 1, 1), seed, dtype=real.dtype)
    return slope_penalty(discriminator, mix * real + (1 - mix) * fake)


def slope_penalty(discriminator: Callable[[Any], Any], image):
    """Mean of (|d D / d x| - 1)^2 at images (N, H, W, C), the logits summed before the gradient."""
    norms = tf.sqrt(_squared_norms(discriminator, image) + 1e-16)
    return tf.reduce_mean(tf.square(norms - 1))


def r1_penalty(discriminator: Callable[[Any], Any], real):
    """Mean over real images (N, H, W, 3) of |d D / d x|^2.

    Source: Mescheder et al. 2018, equation 9, without its weight of gamma / 2.
    """
    return tf.reduce_mean(_squared_norms(discriminator, real))


def _squared_norms(discriminator: Callable[[Any], Any], image):
    """The squared length (N,) of the gradient of each image's summed logits."""
    with tf.GradientTape() as tape:
        tape.watch(image)
        total = tf.reduce_sum(_full(discriminator(image)))
    gradient = _full(tape.gradient(total, image))
    return tf.reduce_sum(tf.square(gradient), (1, 2, 3))


def l1(image, target):
    """Mean absolute difference of two tensors of one shape, in the tensors' unit."""
    return tf.reduce_mean(tf.abs(_full(image) - tf.cast(target, _full(image).dtype)))


def gaussian_kl(mean, log_variance):
    """Divergence of N(mean, variance) from N(0, 1), both (N, S): a sum over all of them.

    Source: Kingma and Welling 2014, appendix B.
    """
    mean, log_variance = _full(mean), _full(log_variance)
    terms = 1 + log_variance - tf.square(mean) - tf.exp(log_variance)
    return -0.5 * tf.reduce_sum(terms)


def patch_nce(query, key, temperature: float = 0.07):
    """PatchNCE: each query (G, P, D) shall be nearest to its own key among its group's P keys.

    Cross-entropy of query . key / temperature with the own key as the right class: mean over all
    G P queries. Keys get no gradient.

    Args:
        query: Unit vectors of the generated image: G groups, P positions, D features.
        key: Unit vectors of the input image at the same positions.
        temperature: Source's `nce_T`.

    Source: Park et al. 2020, equation 3; the official code's order (own key first) makes no
    difference to the sum.
    """
    query, key = _full(query), tf.stop_gradient(_full(key))
    logits = tf.matmul(query, key, transpose_b=True) / temperature
    # The gradient of `diag_part` needs shapes that a free batch dimension does not give.
    diagonal = tf.eye(tf.shape(logits)[-1], dtype=tf.bool)
    own = tf.reduce_sum(tf.where(diagonal, logits, 0), -1)
    return tf.reduce_mean(tf.reduce_logsumexp(logits, -1) - own)
