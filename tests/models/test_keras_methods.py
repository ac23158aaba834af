"""Keras' own ways with a system: data of every kind, evaluate, predict, rates, callbacks."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfi2i
from tfi2i.models import ALL

every_system = pytest.mark.parametrize("cls", ALL.values(), ids=ALL.keys())


def images(count, size, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (count, size, size, 3)).astype(np.float32)


def smallest(cls=tfi2i.CycleGAN, **numbers):
    keras.utils.set_random_seed(0)
    system = cls(**cls.smoke)
    system.compile(total_steps=100, **numbers)
    return system


def pairs(system, count=5, batch=2):
    a, b = images(count, system.image_size), images(count, system.image_size, 1)
    return tf.data.Dataset.from_tensor_slices((a, b)).batch(batch)


def state(system):
    optimizers = [v for one in system.optimizers.values() for v in one.variables]
    return [*system.variables, *optimizers]


@pytest.fixture(scope="module")
def system():
    return smallest(run_eagerly=True)  # a graph takes longer than some steps


@pytest.mark.filterwarnings("ignore:Your input ran out of data")  # Keras learns a length by it
def test_batches_of_unknown_number_give_the_bits_of_known_ones():
    system = smallest()
    known = pairs(system)  # batches of 2, 2 and 1
    dicts = known.map(lambda a, b: {"a": a, "b": b}).filter(lambda _: tf.constant(True))
    before = [np.array(v) for v in state(system)]
    results = []
    for data in (known, dicts):
        for variable, value in zip(state(system), before, strict=True):
            variable.assign(value)
        losses = system.fit(data, epochs=2, verbose=0).history
        results.append((losses, [np.array(v) for v in state(system)]))
        assert system.step == 6
    (losses, weights), (other_losses, other_weights) = results
    assert losses == other_losses and set(losses) == set(system.loss_names)
    assert all(map(np.array_equal, weights, other_weights))


@pytest.mark.parametrize("cls", [tfi2i.CycleGAN, tfi2i.CUT])
def test_evaluate_and_predict_follow_the_networks(cls):
    system = smallest(cls)
    a, b = images(3, system.image_size), images(3, system.image_size, 1)
    there = np.asarray(system.network()(a))
    predicted = system.predict(a, batch_size=2, verbose=0)
    np.testing.assert_allclose(predicted, there, atol=1e-5)
    np.testing.assert_allclose(system(a), there, atol=1e-5)
    errors = system.evaluate((a, b), batch_size=2, verbose=0, return_dict=True)
    if len(system.directions) == 2:
        back = (
            np.asarray(system.network("b2a")(there)),
            np.asarray(system.network("a2b")(system.network("b2a")(b))),
        )
        name, truth = "cycle", np.mean([abs(back[0] - a).mean(), abs(back[1] - b).mean()])
    else:
        name, truth = "identity", abs(np.asarray(system.network()(b)) - b).mean()
    assert errors == pytest.approx({name: truth, "loss": truth}, rel=1e-4)


def test_arrays_dicts_generators_and_single_batches_train(system):
    a, b = images(4, system.image_size), images(4, system.image_size, 1)
    step = system.step
    system.fit(a, b, batch_size=2, verbose=0)
    system.fit({"a": a, "b": b}, batch_size=2, verbose=0)
    system.fit(((a[:2], b[:2]) for _ in range(2)), steps_per_epoch=2, epochs=1, verbose=0)
    losses = system.train_on_batch((a[:2], b[:2]), return_dict=True)
    kinds = (tf.float32, tf.float32)  # of shapes that nobody knows
    unknown = tf.data.Dataset.from_generator(lambda: iter([(a[:2], b[:2])]), kinds)
    system.fit(unknown, steps_per_epoch=1, verbose=0)
    assert system.step == step + 8 and set(losses) == set(system.loss_names)


def test_validation_stops_early(system):
    stop = keras.callbacks.EarlyStopping(monitor="val_loss", patience=0, min_delta=100)
    data = pairs(system, 2)
    history = system.fit(data, validation_data=data, epochs=5, verbose=0, callbacks=[stop])
    assert {"val_cycle", "val_loss"} <= set(history.history) and len(history.epoch) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda x: (x + 1) * 127.5,
            r"takes images in \[-1, 1\].* lie in .* to 25\d.*x / 127.5 - 1",
        ),
        (lambda x: (x + 1) / 2, r"takes images in \[-1, 1\].* rescale 0 to 1 by 2 \* x - 1"),
        (lambda x: x * np.nan, "are not all finite"),
        (lambda x: tf.cast(x * 100, tf.int32), "a holds int32: rescale it by"),
        (lambda x: x[:, ::2, ::2], r"shape \(N, 32, 32, 3\); a has \(N, 16, 16, 3\)"),
        (lambda x: x[0], r"shape \(N, 32, 32, 3\); a has \(32, 32, 3\)"),
        (lambda x: x[..., :1], r"a has \(N, 32, 32, 1\)"),
    ],
    ids=["0..255", "0..1", "nan", "integers", "size", "rank", "channels"],
)
def test_a_batch_that_does_not_fit_is_named_in_a_sentence(system, change, message):
    data, step = pairs(system, 2), system.step
    with pytest.raises(ValueError, match=message) as found:
        system.fit(data.map(lambda a, b: (change(a), change(b))), verbose=0)
    assert "\n" not in str(found.value) and system.step == step
    a, b = next(iter(data))
    with pytest.raises(ValueError, match=message.replace("N, ", r"\w, ")):
        system.train_on_batch((change(a), change(b)))


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (
            lambda a, b: {"x": a, "y": b},
            "takes batches of a, b; got a dict of x, y, which lacks a, b",
        ),
        (lambda a, b: (a, b, a), "takes batches of a, b, as a dict or as a tuple .* got 3 arrays"),
        (lambda a, b: a, "got 1 array"),
    ],
)
def test_other_keys_are_named(system, batch, message):
    with pytest.raises(ValueError, match=message):
        system.fit(pairs(system, 2).map(batch), verbose=0)


def test_what_lies_in_range_passes_and_the_first_values_count(system):
    a, b = images(2, system.image_size), images(2, system.image_size, 1)
    white = np.ones_like(a)
    system.train_on_batch((white, white))  # of one value: it may be white paper
    system.train_on_batch((a * 1.2, b))  # as resizing by cubics overshoots


@pytest.mark.parametrize(
    ("rate", "message"),
    [
        ("fast", "learning_rate must be a number .*'fast'"),
        (-1e-3, "learning_rate must be a number above 0 and up to 1"),
        (0, "learning_rate must be a number above 0 and up to 1"),
        (float("nan"), "learning_rate must be"),
        (keras.optimizers.Adam(), "learning_rate must be"),
    ],
)
@every_system
def test_a_bad_rate_is_refused_in_compile(cls, rate, message):
    with pytest.raises(ValueError, match=message):
        cls(**cls.smoke).compile(learning_rate=rate)


def test_a_schedule_is_followed_and_saved(tmp_path):
    cosine = keras.optimizers.schedules.CosineDecay(1e-3, 10)
    system = smallest(learning_rate=cosine, run_eagerly=True)
    system.fit(pairs(system, 4), verbose=0)
    system.save(tmp_path / "s.keras")
    again = keras.models.load_model(tmp_path / "s.keras")
    for one in (system, again):
        for optimizer in one.optimizers.values():
            assert float(optimizer.learning_rate) == pytest.approx(float(cosine(2)))


def test_callbacks_set_every_optimizers_rate_and_a_saved_system_keeps_it(tmp_path):
    system = smallest(tfi2i.NICEGAN, discriminator_learning_rate=4e-4, run_eagerly=True)
    assert float(system.optimizer.learning_rate) == pytest.approx(1e-4)
    halve = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    plateau = keras.callbacks.ReduceLROnPlateau(
        monitor="d_cam", factor=0.5, patience=0, min_delta=9
    )
    system.fit(pairs(system, 2), epochs=2, verbose=0, callbacks=[halve, plateau])
    rates = {name: float(one.learning_rate) for name, one in system.optimizers.items()}
    assert rates == pytest.approx({"generator": 1e-4 / 8, "discriminator": 4e-4 / 8})
    system.optimizer.learning_rate = 1e-3  # the generator's; the other keeps its proportion
    rates = {name: float(one.learning_rate) for name, one in system.optimizers.items()}
    assert rates["discriminator"] == pytest.approx(4 * rates["generator"])
    system.save(tmp_path / "system.keras")
    again = keras.models.load_model(tmp_path / "system.keras")
    assert rates == pytest.approx(
        {name: float(one.learning_rate) for name, one in again.optimizers.items()}
    )


def test_a_users_optimizers_train(tmp_path):
    sgd = keras.optimizers.SGD(0.5)
    system = smallest(optimizer=sgd)
    kinds = {name: type(one) for name, one in system.optimizers.items()}
    assert kinds == {"generator": keras.optimizers.SGD, "discriminator": keras.optimizers.SGD}
    system.save(tmp_path / "system.keras")
    again = keras.models.load_model(tmp_path / "system.keras")
    assert [float(one.learning_rate) for one in again.optimizers.values()] == [0.5, 0.5]
    mine = {"generator": keras.optimizers.Adam(0.25), "discriminator": sgd}
    system.compile(optimizer=mine)
    assert system.optimizers["discriminator"] is sgd
    for bad in ("adam", {"generator": sgd}, mine | {"generator": 3}):
        with pytest.raises(ValueError, match="optimizer of Keras"):
            system.compile(optimizer=bad)


@pytest.mark.filterwarnings("ignore:Model doesn't support `jit_compile=True`")
def test_keras_options_are_arguments_of_compile(tmp_path):
    system = smallest(steps_per_execution=2)
    assert system.steps_per_execution == 2
    system.fit(pairs(system, 8), verbose=0)
    assert system.step == 4
    system.save(tmp_path / "system.keras")
    assert keras.models.load_model(tmp_path / "system.keras").steps_per_execution == 2
    system.compile(run_eagerly=True, jit_compile=False)
    assert system.run_eagerly and system.steps_per_execution == 1
    system.compile(jit_compile=True)
    assert system.keras_options.jit_compile  # Keras itself drops it under determinism


def test_a_h5_file_is_refused_with_the_way_out(system, tmp_path):
    with pytest.raises(ValueError, match="to a .keras file only"):
        system.save(tmp_path / "system.h5")
    assert not list(tmp_path.iterdir())


def test_a_summary_and_a_tensorboard_read_the_optimizers(system, tmp_path):
    lines = []
    system.summary(print_fn=lines.append)
    assert "Optimizer params" in "\n".join(lines)
    board = keras.callbacks.TensorBoard(tmp_path / "board", histogram_freq=1)
    system.fit(pairs(system, 2), verbose=0, callbacks=[board])
    assert list((tmp_path / "board").rglob("events*"))
