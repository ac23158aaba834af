from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tfi2i.losses import (
    GAN_LOSSES,
    binary_cross_entropy,
    for_generator,
    gradient_penalty,
    l1,
    on_fake,
    on_real,
    r1_penalty,
    undecided,
)

FIXTURES = Path(__file__).parent / "fixtures"
TERMS = {"on_real": on_real, "on_fake": on_fake, "for_generator": for_generator}


def softplus(x):
    return np.logaddexp(0, x)


def sigmoid(x):
    return 0.5 + 0.5 * np.tanh(x / 2)


# (kind, term): the cost of one logit, and its derivative
DEFINITIONS = {
    ("least_squares", "on_real"): (lambda x: (x - 1) ** 2, lambda x: 2 * (x - 1)),
    ("least_squares", "on_fake"): (lambda x: x**2, lambda x: 2 * x),
    ("least_squares", "for_generator"): (lambda x: (x - 1) ** 2, lambda x: 2 * (x - 1)),
    ("non_saturating", "on_real"): (lambda x: softplus(-x), lambda x: -sigmoid(-x)),
    ("non_saturating", "on_fake"): (softplus, sigmoid),
    ("non_saturating", "for_generator"): (lambda x: softplus(-x), lambda x: -sigmoid(-x)),
    ("minimax", "on_real"): (lambda x: softplus(-x), lambda x: -sigmoid(-x)),
    ("minimax", "on_fake"): (softplus, sigmoid),
    ("minimax", "for_generator"): (lambda x: -softplus(x), lambda x: -sigmoid(x)),
    ("hinge", "on_real"): (lambda x: np.maximum(1 - x, 0), lambda x: -1.0 * (x < 1)),
    ("hinge", "on_fake"): (lambda x: np.maximum(1 + x, 0), lambda x: 1.0 * (x > -1)),
    ("hinge", "for_generator"): (lambda x: -x, lambda x: -np.ones_like(x)),
    ("wasserstein", "on_real"): (lambda x: -x, lambda x: -np.ones_like(x)),
    ("wasserstein", "on_fake"): (lambda x: x, np.ones_like),
    ("wasserstein", "for_generator"): (lambda x: -x, lambda x: -np.ones_like(x)),
}
LOGITS = {
    "one": np.array(0.3),
    "patches": np.random.default_rng(0).normal(0, 2, (2, 6, 6, 1)),
    "vectors": np.random.default_rng(1).normal(0, 2, (5, 3)),
    "big": np.array([-50.0, 50.0, -49.5, 49.5]),
}


@pytest.mark.parametrize("logits", LOGITS)
@pytest.mark.parametrize(("kind", "term"), DEFINITIONS)
def test_adversarial_terms_and_their_gradients_are_the_definitions(kind, term, logits):
    value, derivative = DEFINITIONS[kind, term]
    x = LOGITS[logits]
    for dtype, tolerance in ((tf.float64, 1e-12), (tf.float32, 1e-6)):
        given = tf.constant(x, dtype)
        with tf.GradientTape() as tape:
            tape.watch(given)
            loss = TERMS[term](kind, given)
        assert loss.shape == () and loss.dtype == dtype
        np.testing.assert_allclose(loss, value(x).mean(), tolerance, 1e-9)
        gradient = tape.gradient(loss, given)
        np.testing.assert_allclose(gradient, derivative(x) / x.size, tolerance, 1e-9)


def test_every_kind_is_defined_here():
    assert {kind for kind, _ in DEFINITIONS} == set(GAN_LOSSES)


def test_the_minimax_generator_saturates_and_its_remedy_does_not():
    sure = tf.constant([-50.0])  # the discriminator is sure that it is a fake
    slopes = {}
    for kind in ("minimax", "non_saturating"):
        with tf.GradientTape() as tape:
            tape.watch(sure)
            loss = for_generator(kind, sure)
        slopes[kind] = abs(float(tape.gradient(loss, sure)[0]))
    assert slopes["minimax"] < 1e-20
    assert slopes["non_saturating"] == 1


@pytest.mark.parametrize(
    ("kind", "theirs"),
    [("least_squares", "lsgan"), ("non_saturating", "vanilla"), ("wasserstein", "wgangp")],
)
def test_adversarial_terms_are_the_official_ones(kind, theirs):
    with np.load(FIXTURES / "gan_losses.npz") as fixture:
        logits = fixture["pred"]
        real, fake = fixture[f"{theirs}/real"], fixture[f"{theirs}/fake"]
    np.testing.assert_allclose(on_real(kind, logits), real, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(for_generator(kind, logits), real, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(on_fake(kind, logits), fake, rtol=1e-6, atol=1e-8)


def test_non_saturating_terms_are_the_official_ones_of_each_image():
    with np.load(FIXTURES / "gan_nonsaturating.npz") as fixture:
        for logit, real, fake in zip(*(fixture[k] for k in ("pred", "real", "fake")), strict=True):
            np.testing.assert_allclose(on_real("non_saturating", logit), real, rtol=1e-6)
            np.testing.assert_allclose(for_generator("non_saturating", logit), real, rtol=1e-6)
            np.testing.assert_allclose(on_fake("non_saturating", logit), fake, rtol=1e-6)


@pytest.mark.parametrize("target", [0.0, 0.25, 1.0])
def test_cross_entropy_is_that_of_probabilities(target):
    x = np.random.default_rng(0).normal(0, 3, (4, 5))
    wanted = -np.mean(target * np.log(sigmoid(x)) + (1 - target) * np.log(sigmoid(-x)))
    logits = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = binary_cross_entropy(logits, target)
    np.testing.assert_allclose(loss, wanted, rtol=1e-12)
    np.testing.assert_allclose(tape.gradient(loss, logits), (sigmoid(x) - target) / 20, rtol=1e-10)


def test_cross_entropy_of_big_logits_is_finite():
    assert float(binary_cross_entropy(tf.constant([-50.0, 50.0]), 1.0)) == 25
    assert float(binary_cross_entropy(tf.constant([1e4]), 0.0)) == 1e4


def test_l1_is_a_mean():
    x, y = np.random.default_rng(0).normal(size=(2, 3, 4, 4, 1)).astype("float32")
    assert float(l1(tf.constant(x), tf.constant(y))) == pytest.approx(np.mean(np.abs(x - y)))


@pytest.mark.parametrize("kind", GAN_LOSSES)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_adversarial_terms_of_half_precision_are_full(kind, dtype):
    half = tf.cast(tf.fill((1000,), 0.1), dtype)  # summed in half precision, 1000 values drift
    whole = tf.cast(half, tf.float32)
    for term in TERMS.values():
        loss = term(kind, half)
        assert loss.dtype == tf.float32
        np.testing.assert_allclose(loss, term(kind, whole[:1]), rtol=1e-5)


def test_other_losses_of_half_precision_are_full():
    half = tf.cast(tf.fill((2, 3, 3, 3), 0.1), tf.bfloat16)
    assert binary_cross_entropy(half, 1.0).dtype == tf.float32
    assert l1(half, tf.zeros(half.shape)).dtype == tf.float32
    assert l1(tf.zeros(3, tf.float64), tf.zeros(3)).dtype == tf.float64
    assert gradient_penalty(lambda x: x * x, half, half, (0, 0)).dtype == tf.float32
    assert r1_penalty(lambda x: x * x, half).dtype == tf.float32


# penalties of the discriminator's gradient, for two discriminators that have it in closed form

RANDOM = np.random.default_rng(0)
REAL, FAKE = RANDOM.normal(size=(2, 3, 4, 5, 3))
WEIGHTS = RANDOM.normal(size=(4, 5, 3))
SEED = (3, 7)


def linear(weights):
    """Two logits an image, whose sum is w . x: the gradient is w at every x."""

    def discriminator(image):
        products = image * weights
        return tf.stack(
            [tf.reduce_sum(products[:, :2], (1, 2, 3)), tf.reduce_sum(products[:, 2:], (1, 2, 3))],
            1,
        )

    return discriminator


def quadratic(weights):
    """Logits (N, H, W, C) that are w x^2 / 2: the gradient is w x."""
    return lambda image: weights * image**2 / 2


def penalty_and_gradient(penalty, make, **options):
    weights = tf.Variable(WEIGHTS)

    @tf.function
    def run():
        with tf.GradientTape() as tape:
            loss = penalty(make(weights), tf.constant(REAL), **options)
        return loss, tape.gradient(loss, weights)

    return run()


def gradient_penalty_of_fakes(discriminator, real):
    return gradient_penalty(discriminator, real, tf.constant(FAKE), SEED)


def mixed():
    """The points at which the penalty looks, by its definition."""
    share = tf.random.stateless_uniform((3, 1, 1, 1), SEED, dtype=tf.float64).numpy()
    return share * REAL + (1 - share) * FAKE


def test_the_gradient_penalty_of_a_linear_discriminator():
    loss, gradient = penalty_and_gradient(gradient_penalty_of_fakes, linear)
    length = np.linalg.norm(WEIGHTS)
    np.testing.assert_allclose(loss, (length - 1) ** 2, rtol=1e-12)
    np.testing.assert_allclose(gradient, 2 * (length - 1) * WEIGHTS / length, rtol=1e-10)


def test_the_gradient_penalty_of_a_quadratic_discriminator():
    loss, gradient = penalty_and_gradient(gradient_penalty_of_fakes, quadratic)
    x = mixed()
    lengths = np.sqrt(((WEIGHTS * x) ** 2).sum((1, 2, 3), keepdims=True))
    np.testing.assert_allclose(loss, ((lengths - 1) ** 2).mean(), rtol=1e-12)
    wanted = (2 * (lengths - 1) / lengths * WEIGHTS * x**2).mean(0)
    np.testing.assert_allclose(gradient, wanted, rtol=1e-10)


def test_the_gradient_penalty_looks_between_real_and_fake():
    between = []
    gradient_penalty(
        lambda image: between.append(image) or image,
        tf.zeros((50, 1, 1, 3)),
        tf.ones((50, 1, 1, 3)),
        SEED,
    )
    fake_share = between[0].numpy().reshape(50, 3)
    assert (np.ptp(fake_share, 1) == 0).all()  # one share an image
    assert fake_share.min() < 0.1 and fake_share.max() > 0.9
    np.testing.assert_array_less(fake_share, 1.0001)


def test_a_discriminator_without_slope_has_a_finite_penalty():
    flat = tf.Variable(0.0)
    with tf.GradientTape() as tape:
        loss = gradient_penalty(
            lambda x: flat * x, tf.ones((2, 3, 3, 1)), tf.zeros((2, 3, 3, 1)), SEED
        )
    assert float(loss) == pytest.approx(1)
    assert np.isfinite(float(tape.gradient(loss, flat)))


def test_r1_of_a_linear_discriminator():
    loss, gradient = penalty_and_gradient(r1_penalty, linear)
    np.testing.assert_allclose(loss, (WEIGHTS**2).sum(), rtol=1e-12)
    np.testing.assert_allclose(gradient, 2 * WEIGHTS, rtol=1e-12)


def test_r1_of_a_quadratic_discriminator():
    loss, gradient = penalty_and_gradient(r1_penalty, quadratic)
    np.testing.assert_allclose(loss, ((WEIGHTS * REAL) ** 2).sum((1, 2, 3)).mean(), rtol=1e-12)
    np.testing.assert_allclose(gradient, (2 * WEIGHTS * REAL**2).mean(0), rtol=1e-12)


@pytest.mark.parametrize("kind", GAN_LOSSES)
def test_the_undecided_value_is_the_least_at_one_logit_for_all(kind):
    logits = np.linspace(-3, 3, 601)
    real, fake = (DEFINITIONS[kind, term][0](logits) for term in ("on_real", "on_fake"))
    if kind == "wasserstein":
        assert undecided(kind) is None
        np.testing.assert_allclose(real + fake, 0, atol=1e-12)
    else:
        assert undecided(kind) == pytest.approx((real + fake).min(), abs=1e-6)
