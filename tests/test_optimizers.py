from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfi2i.optimizers import CoupledAdam, LinearDecay

FIXTURES = Path(__file__).parent / "fixtures"


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


def test_the_rate_by_epochs_is_the_official_one():
    with np.load(FIXTURES / "lr_schedule.npz") as fixture:
        official = fixture["step_at_epoch_end"]  # 100 epochs at 2e-4 and 100 that decay
    epoch_steps = 3
    schedule = LinearDecay(2e-4, 200 * epoch_steps, 100 * epoch_steps, epoch_steps)
    rates = np.array([schedule(step) for step in range(200 * epoch_steps)])
    np.testing.assert_allclose(rates, official.repeat(epoch_steps), rtol=1e-6)
    np.testing.assert_array_less(0, rates)  # the last epoch trains too
    # Whoever trains on does so at a rate of 0, never of less.
    assert float(schedule(201 * epoch_steps)) == float(schedule(10**6)) == 0


def test_the_rate_by_epochs_takes_an_optimizers_counter():
    counter = keras.Variable(13, dtype="int64")
    schedule = LinearDecay(1.0, 20, 10, epoch_steps=5)
    assert float(schedule(counter)) == float(schedule(13)) == pytest.approx(2 / 3)
    assert float(tf.function(schedule)(counter.value)) == pytest.approx(2 / 3)


@pytest.mark.parametrize("epoch_steps", [None, 3])
def test_a_decay_that_starts_at_the_end_is_none(epoch_steps):
    schedule = LinearDecay(1e-4, 8, 8, epoch_steps)
    assert {float(schedule(step)) for step in range(9)} == {np.float32(1e-4)}


def test_a_schedule_survives_its_config():
    schedule = LinearDecay(1e-4, 20, 10, epoch_steps=5)
    config = keras.saving.serialize_keras_object(schedule)
    again = keras.saving.deserialize_keras_object(config)
    assert isinstance(again, LinearDecay)
    assert again.get_config() == schedule.get_config()
    assert float(again(13)) == float(schedule(13))


def test_epochs_of_no_steps_are_refused():
    with pytest.raises(ValueError, match="epoch_steps must be at least 1, received 0"):
        LinearDecay(1e-4, 8, 4, 0)


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
