"""What every system of `tfi2i.models.ALL` must do, at its smoke size."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfi2i import losses
from tfi2i.losses import GAN_LOSSES, l1
from tfi2i.models import ALL

every_system = pytest.mark.parametrize("cls", ALL.values(), ids=ALL.keys())

UPDATES = {
    "DRIT": {"content": 3, "generator": 2},
    "StarGAN": {"discriminator": 5},
    "StarGANv2": {"generator": 2, "discriminator": 2},
}
"""Updates of an optimizer in a step, where it makes more than one."""
OTHERS = {"d_cam", "d_r1", "d_class", "d_penalty"}
"""Terms of discriminators that are neither of real images nor of fakes."""


def batch_for(system, seed=0, size=1):
    rng = np.random.default_rng(seed)
    if system.batch.layout == "labelled":
        size = max(size, system.batch.references and len(system.domains))  # a head for each domain
    leading = (size,) if system.batch.updates == 1 else (system.batch.updates, size)
    shapes = system.image_shapes.items()
    arrays = {key: rng.uniform(-1, 1, (*leading, *one)) for key, one in shapes}
    if system.batch.layout == "labelled":
        for key in ("label", "target_label"):
            arrays[key] = labels_for(system, leading, int(rng.integers(99)))
    return {key: tf.constant(one.astype("float32")) for key, one in arrays.items()}


def labels_for(system, leading, seed):
    """Labels (..., K): domains by turns, or attributes at random."""
    [label] = [one for one in system.conditions if one.kind == "label"]
    count = int(np.prod(leading))
    if label.exclusive:
        rows = np.eye(*label.shape)[(np.arange(count) + seed) % label.shape[0]]
    else:
        rows = label.sample(count, seed)
    return rows.reshape(*leading, -1)


def image_for(system, direction=None):
    """One image of the domain that a direction leads from."""
    channels = system.channels_of(system.direction(direction).source)
    rng = np.random.default_rng(0)
    return tf.constant(rng.uniform(-1, 1, (1, *system.sides, channels)).astype("float32"))


def given(system, image, direction=None):
    """What the network of a direction takes: an image, and values of its conditions."""
    values = system.values_of(direction, len(image), 0)
    return [tf.constant(one) for one in (image, *values.values())] if values else image


def swapped(batch):
    """Arrays with their first two axes exchanged, pictures and updates."""
    return {key: tf.einsum("un...->nu...", one) for key, one in batch.items()}


def stepped(system, steps=1):
    """The losses of the last step. To make a graph takes ten times as long as a few steps."""
    for seed in range(steps):
        losses = system.train_step(batch_for(system, seed))
    return {name: float(value) for name, value in losses.items()}


def fitted(system):
    """The losses of two steps of `fit`, on batches of 2 and 1 that nobody has counted.

    Each system has one graph here, of scaled losses and averages; parity tests have another.
    """
    rows, several = batch_for(system, size=3), system.batch.updates > 1
    data = tf.data.Dataset.from_tensor_slices(swapped(rows) if several else rows).batch(2)
    data = (data.map(swapped) if several else data).filter(lambda _: tf.constant(True))
    with pytest.warns(UserWarning, match="Your input ran out of data"):
        history = system.fit(data, verbose=0).history
    assert system.step == 2  # a step without its batch would count as well
    return {name: history[name][0] for name in system.loss_names}


@pytest.fixture(scope="module", params=ALL.values(), ids=ALL.keys())
def trained(request):
    """A system two steps old, with averages, its losses, and its variables before."""
    system = request.param(**request.param.smoke)
    system.compile(ema_decay=0.5, total_steps=7)
    before = {
        name: [v.numpy() for v in variables]
        for name, variables in system.optimizer_variables().items()
    }
    return system, stepped(system, 2), before


def test_a_step_gives_the_named_finite_losses(trained):
    system, losses, _ = trained
    assert tuple(losses) == system.loss_names
    assert all(np.isfinite(value) for value in losses.values())
    assert system.step == 2
    several = UPDATES.get(type(system).__name__, {})
    for name, optimizer in system.optimizers.items():
        assert int(optimizer.iterations) == 2 * several.get(name, 1), name


def test_every_variable_of_every_optimizer_moves(trained):
    system, _, before = trained
    groups = system.optimizer_variables()
    ids = [id(v) for variables in groups.values() for v in variables]
    assert len(ids) == len(set(ids)) == len(system.trainable_variables)
    for name, variables in groups.items():
        still = [
            v.path
            for v, old in zip(variables, before[name], strict=True)
            if np.array_equal(np.asarray(v), old)
        ]
        assert still == [], name


@every_system
def test_the_terms_of_discriminators_are_counted(cls, monkeypatch):
    for name, value in (("on_real", 1.0), ("on_fake", 2.0)):
        term = functools.partial(lambda kind, logits, value: value + 0 * l1(logits, 0), value=value)
        monkeypatch.setattr(losses, name, term)
    system = cls(**cls.smoke)
    system.compile()
    found = stepped(system)
    for names, pairs in cls.discriminator_terms.items():
        assert sum(found[name] for name in names) == pytest.approx(3 * pairs)
    counted = {name for names in cls.discriminator_terms for name in names}
    assert {name for name in found if name.startswith("d_")} - counted <= OTHERS


def test_an_unknown_adversarial_loss_is_named(trained):
    system, *_ = trained
    message = "gan_loss must be one of least_squares, .*, wasserstein, received 'lsgan'"
    with pytest.raises(ValueError, match=message):
        system.compile(gan_loss="lsgan")
    assert system.gan_loss in GAN_LOSSES  # what it was


def test_arguments_survive_a_config_round_trip(trained):
    system, *_ = trained
    again = type(system).from_config(system.get_config())
    assert again.get_config() == system.get_config()
    assert {k: system.get_config()[k] for k in system.smoke} == system.smoke
    assert system.get_compile_config()["total_steps"] == 7


def test_a_saved_system_continues_with_the_same_losses(trained, tmp_path):
    system, *_ = trained
    system.save(tmp_path / "system.keras")
    again = keras.saving.load_model(tmp_path / "system.keras")
    assert again.step == system.step
    for name, optimizer in system.optimizers.items():
        restored = again.optimizers[name].variables
        for ours, theirs in zip(optimizer.variables, restored, strict=True):
            np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs), ours.path)
    for name, average in system.averages.items():
        for ours, theirs in zip(
            average.get_weights(), again.averages[name].get_weights(), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)
    # The original goes on as well: compare step 3 of both.
    for tracker in [*system.trackers.values(), *again.trackers.values()]:
        tracker.reset_state()
    assert stepped(again) == pytest.approx(stepped(system), rel=1e-5)


def test_translators_are_functional_and_in_range_and_can_be_saved(trained, tmp_path):
    system, *_ = trained
    image = image_for(system)
    for direction in system.directions:
        translator = system.network(direction.name)
        inputs = given(system, image, direction.name)
        assert type(translator) is keras.Model or isinstance(
            translator, keras.src.models.Functional
        )
        output = np.asarray(translator(inputs))
        assert output.shape == image.shape
        assert output.dtype == np.float32
        assert np.abs(output).max() <= 1
        translator.save(tmp_path / f"{direction}.keras")
        again = keras.saving.load_model(tmp_path / f"{direction}.keras")
        np.testing.assert_array_equal(np.asarray(again(inputs)), output)


def test_the_translator_is_the_average_where_one_is_kept(trained):
    system, *_ = trained
    inputs = given(system, image_for(system))
    averages, system.averages = system.averages, {}
    try:
        live = np.asarray(system.network()(inputs))
    finally:
        system.averages = averages
    assert np.abs(np.asarray(system.network()(inputs)) - live).max() > 1e-4


def test_the_predictor_follows_the_weights(trained):
    system, *_ = trained
    inputs = tf.nest.flatten(given(system, image_for(system)))
    before = np.asarray(system.predictor()(*inputs))
    stepped(system)
    assert not np.array_equal(np.asarray(system.predictor()(*inputs)), before)


def test_translate_takes_and_gives_pixels_of_any_size(trained):
    system, *_ = trained
    pixels = np.random.default_rng(0).integers(0, 256, (37, 70, 3), np.uint8)
    output = system.translate(pixels)
    assert (output.shape, output.dtype) == (pixels.shape, np.uint8)
    with pytest.raises(ValueError, match="uint8"):
        system.translate(pixels.astype("float32"))
    with pytest.raises(ValueError, match="sideways"):
        system.translate(pixels, "sideways")


@every_system
def test_rectangles_and_grey_to_colour_train_and_are_saved(cls, tmp_path):
    side = cls.smoke["image_size"]
    size = (side, side) if cls is ALL["SinCUT"] else (side, side + 32)
    if cls.batch.layout == "labelled":
        grey_rectangles_train(cls, size, tmp_path)
        return
    system = cls(**{**cls.smoke, "image_size": [*size], "channels": {"a": 1, "b": 3}})
    system.compile()
    assert system.image_shapes == {"a": (*size, 1), "b": (*size, 3)}
    batch = batch_for(system)
    assert np.isfinite([float(loss) for loss in system.train_step(batch).values()]).all()
    assert system.network()(given(system, image_for(system))).shape == (1, *size, 3)
    if len(system.directions) == 2:
        back = given(system, image_for(system, "b2a"), "b2a")
        assert system.network("b2a")(back).shape == (1, *size, 1)
    assert system.translate(np.zeros((33, 40, 1), np.uint8)).shape == (33, 40, 3)
    with pytest.raises(ValueError, match=r"shape \(H, W, 1\)"):
        system.translate(np.zeros((33, 40, 3), np.uint8))
    with pytest.raises(ValueError, match=rf"shape \((N, )?N, {side}, {size[1]}, 1\)"):
        system.train_step({**batch, "a": batch["b"]})
    system.save(tmp_path / "system.keras")
    again = keras.saving.load_model(tmp_path / "system.keras")
    assert (again.sides, again.channels) == (size, {"a": 1, "b": 3})
    assert again.get_config() == system.get_config()


def grey_rectangles_train(cls, size, tmp_path):
    """Systems of one translator for all domains have one number of channels."""
    with pytest.raises(ValueError, match="channels must be"):
        cls(**{**cls.smoke, "channels": {"a": 1, "b": 3}})
    system = cls(**{**cls.smoke, "image_size": [*size], "channels": 1})
    system.compile()
    losses = system.train_step(batch_for(system, size=2))
    assert np.isfinite([float(loss) for loss in losses.values()]).all()
    assert system.translate(np.zeros((33, 40, 1), np.uint8)).shape == (33, 40, 1)
    system.save(tmp_path / "system.keras")
    again = keras.saving.load_model(tmp_path / "system.keras")
    assert (again.sides, again.channels) == (size, 1)
    assert again.get_config() == system.get_config()


def test_a_system_that_trains_on_square_crops_refuses_rectangles():
    with pytest.raises(ValueError, match=r"image_size must be one number.*square crops"):
        ALL["SinCUT"](**{**ALL["SinCUT"].smoke, "image_size": (32, 64)})


@pytest.mark.parametrize("channels", [5, 0, True, "grey", {"a": 1}, {"a": 1, "b": 3, "c": 3}])
def test_channels_that_are_none_are_refused_in_one_sentence(channels):
    with pytest.raises(ValueError, match="channels must be 1, 2, 3 or 4.*each of a, b, received"):
        ALL["CycleGAN"](**ALL["CycleGAN"].smoke, channels=channels)


def test_four_channels_to_two_train_too_and_equal_ones_are_a_number():
    cls = ALL["CycleGAN"]
    system = cls(**{**cls.smoke, "channels": {"a": 4, "b": 2}})
    system.compile()
    losses = system.train_step(batch_for(system))
    assert np.isfinite([float(loss) for loss in losses.values()]).all()
    assert cls(**cls.smoke, channels={"a": 1, "b": 1}).channels == 1


@every_system
@pytest.mark.parametrize("size", [[64], [64, 96, 3], "big", 64.0, [64, 0]])
def test_a_size_that_is_none_is_refused_in_one_sentence(cls, size):
    with pytest.raises(ValueError, match="image_size must be"):
        cls(**{**cls.smoke, "image_size": size})


@pytest.mark.parametrize("name", ["NICEGAN", "UGATIT", "CycleGAN"])
def test_networks_of_one_size_take_rectangles_too(name):
    cls = ALL[name]
    full = {"generator": "unet", "unet_levels": 4} if name == "CycleGAN" else {"light": False}
    side = cls.smoke["image_size"]
    system = cls(**{**cls.smoke, **full, "image_size": (side + 32, side)})
    system.compile()
    batch = batch_for(system)
    assert np.isfinite([float(loss) for loss in system.train_step(batch).values()]).all()
    assert system.network().input_shape == (None, side + 32, side, 3)


@every_system
@pytest.mark.often("mixed_bfloat16", "CycleGAN")
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_trains_and_can_be_saved(cls, policy, tmp_path):
    system = cls(**cls.smoke, dtype=policy)
    system.compile(ema_decay=0.5)
    losses = fitted(system) if policy == "mixed_float16" else stepped(system, 2)
    assert all(np.isfinite(value) for value in losses.values()), policy
    assert all(v.dtype == "float32" for v in system.trainable_variables)
    assert system.network().output.dtype == "float32"
    assert system.get_config()["dtype"] == policy
    inputs = given(system, image_for(system))
    for name in ("translator", "system"):
        saved = system if name == "system" else system.network()
        saved.save(tmp_path / f"{name}.keras")
        again = keras.saving.load_model(tmp_path / f"{name}.keras")
        translator = again.network() if name == "system" else again
        np.testing.assert_array_equal(translator(inputs), system.network()(inputs))
