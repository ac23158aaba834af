import keras
import numpy as np
import pytest
import tensorflow as tf

from tfi2i.losses import l1, least_squares
from tfi2i.optimizers import CoupledAdam, LinearDecay
from tfi2i.pixels import to_image, to_pixels


def test_losses_equal_numpy():
    x, y = np.random.default_rng(0).normal(size=(2, 3, 4, 4, 1)).astype("float32")
    assert float(least_squares(tf.constant(x), 1.0)) == pytest.approx(np.mean((x - 1) ** 2))
    assert float(l1(tf.constant(x), tf.constant(y))) == pytest.approx(np.mean(np.abs(x - y)))


def test_losses_of_half_precision_are_full():
    half = tf.cast(tf.fill((1000,), 0.1), tf.bfloat16)
    assert least_squares(half, 0.0).dtype == tf.float32
    assert l1(half, tf.zeros(1000)).dtype == tf.float32
    assert l1(tf.zeros(3, tf.float64), tf.zeros(3)).dtype == tf.float64


def official_rate(t, total, half, rate=1e-4):
    """The official code's schedule as it runs without a resume: reduced before each late step."""
    for step in range(1, t + 1):
        if step > half:
            rate -= 1e-4 / (total - half)
    return rate


def test_the_rate_is_the_official_one_at_every_step():
    schedule = LinearDecay(1e-4, 8, 4)
    for t in range(1, 9):  # t counts from 1; the optimizer's iterations from 0
        assert float(schedule(t - 1)) == pytest.approx(official_rate(t, 8, 4), abs=1e-11)
    assert float(schedule(7)) == 0
    assert float(schedule(100)) == 0
    assert float(LinearDecay(1e-4, 8)(7)) == pytest.approx(1e-4)


def test_a_decay_that_begins_after_the_end_is_refused():
    with pytest.raises(ValueError, match="decay_start=9 with total_steps=8"):
        LinearDecay(1e-4, 8, 9)


def reference_adam(w, gradients, lr, l2, b1=0.5, b2=0.999, eps=1e-8):
    """PyTorch's Adam with weight_decay, in float64."""
    m = v = 0.0
    for t, gradient in enumerate(gradients, start=1):
        g = gradient + l2 * w
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
        w = w - lr * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)
    return w


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-9), ("float32", 1e-6)])
def test_adam_is_pytorchs_even_where_epsilon_counts(dtype, tolerance):
    rng = np.random.default_rng(0)
    start = rng.normal(size=8)
    # Gradients down to epsilon's size: there Keras' own Adam is far off.
    gradients = rng.normal(size=(5, 8)) * 10.0 ** -np.arange(1, 9)
    variable = keras.Variable(start, dtype=dtype)
    optimizer = CoupledAdam(1e-3, beta_1=0.5, l2=1e-9)
    optimizer.build([variable])
    for gradient in gradients:
        optimizer.apply([tf.constant(gradient, dtype)], [variable])
    wanted = reference_adam(start, gradients, 1e-3, 1e-9)
    np.testing.assert_allclose(variable.numpy(), wanted, atol=tolerance)


def test_adam_survives_its_config():
    optimizer = CoupledAdam(LinearDecay(1e-4, 10, 5), beta_1=0.5, l2=0.25)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(optimizer))
    assert isinstance(again, CoupledAdam)
    assert again.get_config() == optimizer.get_config()
    assert again.l2 == 0.25


def test_pixels_and_images_are_inverse():
    pixels = np.arange(256, dtype=np.uint8)
    image = to_image(pixels)
    assert (image.min(), image.max(), image.dtype) == (-1, 1, np.float32)
    np.testing.assert_array_equal(to_pixels(image), pixels)
    assert to_pixels(np.array([-3.0, 3.0])).tolist() == [0, 255]
