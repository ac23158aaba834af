"""pix2pix against the official code's numbers, its dropout, and its two kinds of statistics."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from official_numbers import channels_last, first_gradients, near, nested, read

from tfi2i.benchmark.macs import translation_macs
from tfi2i.errors import InputError
from tfi2i.layers.dropout import Dropout, masked_by
from tfi2i.layers.normalization import BatchNormalization
from tfi2i.models.pix2pix import Pix2Pix
from tfi2i.networks.discriminators import patch_discriminator
from tfi2i.networks.ends import normal
from tfi2i.official import pix2pix
from tfi2i.official.tensors import layers, patch_names
from tfi2i.official.weights import export_official, from_official, load_official, system_of

# Of the smallest size that has a dropout.
NOISY = {**Pix2Pix.smoke, "image_size": 64, "unet_levels": 6, "width": 2}
TERMS = {"D_fake": "d_fake", "D_real": "d_real", "G_GAN": "g_gan", "G_L1": "g_l1"}
KINDS = {"vanilla": "non_saturating", "lsgan": "least_squares"}


def is_official(path):
    """Whether a file holds a training of the official pix2pix."""
    with np.load(path) as file:
        if "config" in file.files:
            return json.loads(str(file["config"])).get("system") == "pix2pix"
        return "loss/step0/G_L1" in file.files


class Official:
    """One file, whichever of the two ways its keys are called."""

    def __init__(self, path):
        with np.load(path) as file:
            self.arrays = {key: file[key] for key in file.files}
        self.config = json.loads(str(self.arrays.get("config", "{}")))
        self.later = "config" in self.arrays
        double = any(key.startswith("f64/step1/loss") for key in self.arrays)
        self.dtype = "float64" if double else "float32"
        self.state = nested(self.arrays, "state" if self.later else "w0")
        self.gradients = nested(self.arrays, "step1/grad" if self.later else "grad")
        self.after = nested(self.arrays, "step1/post" if self.later else "w1")

    def image(self, name):
        array = self.arrays[f"input/{name}" if self.later else name]
        return tf.constant(channels_last(array), self.dtype)

    def losses(self, step):
        """Unweighted terms of a step, counted from 0."""
        weight = {} if self.later else {"G_L1": 100}
        before = f"step{step + 1}/loss" if self.later else f"loss/step{step}"
        doubled = f"f64/{before}" if self.dtype == "float64" else before
        return {
            name: float(self.arrays[f"{doubled}/{name}"]) / weight.get(name, 1) for name in TERMS
        }

    def masks(self, step):
        """Dropout's masks (N, h, w, C) of a step, in the order of the layers."""
        keys = [key for key in self.arrays if key.startswith(f"step{step + 1}/draw/")]
        return [channels_last(self.arrays[key] > 0) for key in keys]

    def system(self):
        a = self.image("real_A")
        arguments = {"image_size": [*a.shape[1:3]], "dropout": bool(self.masks(0))}
        system = system_of(Pix2Pix, self.state, "numbers.npz", arguments)
        if self.dtype == "float64":
            system = Pix2Pix(**{**system.get_config(), "dtype": "float64"})
            load_official(system, self.state)
        system.compile(
            learning_rate=self.config.get("lr", 2e-4),
            gan_loss=KINDS[self.config.get("gan_mode", "vanilla")],
            l1_weight=self.config.get("lambda_L1", 100.0),
        )
        return system


def feeding(masks):
    """What `Pix2Pix.masks` gives, of masks that are there already."""
    turns = iter(masks)
    return lambda x, rate: tf.cast(next(turns), x.dtype)


@pytest.fixture(scope="module")
def official(official_file):
    return Official(official_file)


@pytest.fixture(scope="module")
def trained(official):
    """A translation by the first weights, the terms of three steps, what is left of the first."""
    system = official.system()
    real_a, real_b = official.image("real_A"), official.image("real_B")
    with masked_by(feeding(official.masks(0))):
        fake_b = system.gen_ab(real_a, training=True)
    load_official(system, official.state)  # the averages have moved
    terms, first = [], None
    for step in range(3):
        system.masks = lambda step=step: feeding(official.masks(step))
        found = system.update(real_a, real_b)
        terms.append({name: float(value) for name, value in found.items()})
        first = first or (first_gradients(system), export_official(system))
    return fake_b, terms, *first


# parity


def test_a_translation_equals_the_official_one(official, trained):
    keys = ("out/fake_B", "step1/image/fake_B", "eval/G/fake_B")
    wanted = [official.arrays[key] for key in keys if key in official.arrays]
    assert wanted or official.later
    for theirs in wanted:
        near(trained[0], channels_last(theirs), 1e-4, "fake_B")


def test_the_losses_of_three_steps_equal_the_official_ones(official, trained):
    for step, found in enumerate(trained[1]):
        tolerance = 1e-4 if step == 0 else 1e-3
        if official.dtype == "float64":
            tolerance = 1e-7
        for theirs, wanted in official.losses(step).items():
            assert found[TERMS[theirs]] == pytest.approx(wanted, rel=tolerance), (step, theirs)


def test_gradients_of_the_first_step_equal_the_official_ones(official, trained):
    zero = official.config.get("zero_gradient", {}).get("step1", ())
    compared = 0
    for net, tensors in official.gradients.items():
        for name, theirs in tensors.items():
            if f"{net}/{name}" not in zero:
                near(trained[2][net][name], theirs, 1e-3, (net, name))
                compared += 1
    assert compared >= 20


def test_the_averages_of_batch_normalisation_equal_the_official_ones(official, trained):
    for net, tensors in official.after.items():
        for name, theirs in tensors.items():
            if "running" in name:
                near(trained[3][net][name], theirs, 1e-4, (net, name))


def test_a_translator_is_the_official_test_program_s(official):
    if official.later:
        pytest.skip("of this file's draws")
    output = official.system().network()(official.image("real_A"))
    near(output, channels_last(official.arrays["out/fake_B"]), 1e-4, "fake_B")


def test_the_discriminator_equals_the_official_one_on_several_pairs():
    numbers = read("pix2pix_discriminator_batch")
    network = patch_discriminator(8, 3, "network", normal, channels=6, norm="batch")
    for name, (variable, layout) in layers(network, patch_names(3, False, True)).items():
        variable.assign(from_official(numbers[f"w/{name}"], layout))
    output = network(channels_last(numbers["input"]), training=True)
    near(output, channels_last(numbers["output_train"]), 1e-4, "logits")


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        ({}, 54_413_955),
        ({"image_size": 128, "unet_levels": 7}, 41_828_995),
        ({"norm": "instance"}, 54_409_603),
    ],
)
def test_networks_have_the_published_sizes(settings, count):
    def trained_of(network):
        return sum(int(np.prod(one.shape)) for one in network.trainable_variables)

    with tf.Graph().as_default():  # variables of shapes, without memory
        system = Pix2Pix(**settings)
        assert trained_of(system.gen_ab) == count
        assert trained_of(system.disc) == (2_768_705 if system.norm == "batch" else 2_767_809)
        if system.image_size == 256:
            assert translation_macs(system.network(), 256) == pytest.approx(6.048e9, rel=1e-3)


@pytest.mark.parametrize(
    "config",
    [
        {"norm": "batch", "channels": 3, "discriminator_depth": 2},
        {"norm": "instance", "channels": {"a": 1, "b": 3}, "discriminator_depth": 1},
    ],
    ids=lambda config: config["norm"],
)
def test_the_architecture_is_read_off_official_weights(config):
    system = Pix2Pix(**{**Pix2Pix.smoke, **config})
    networks = export_official(system)
    found = pix2pix.architecture(networks)
    assert found == {**Pix2Pix.smoke, **config, "image_size": [16, 16]}
    again = system_of(Pix2Pix, networks, "params.pth", {})
    image = np.random.default_rng(0).uniform(-1, 1, (1, 16, 16, system.channels_of("a")))
    assert again.network()(image).shape == (1, 16, 16, 3)
    for net, tensors in export_official(again).items():
        assert all(map(np.array_equal, tensors.values(), networks[net].values()))


def test_an_official_resnet_is_refused_in_words():
    networks = {"G": {"model.1.weight": np.zeros((4, 3, 7, 7), "f4")}}
    with pytest.raises(InputError, match="of another generator than a U-Net"):
        pix2pix.architecture(networks)


# the step


@pytest.fixture(scope="module")
def noisy():
    """A system with dropout, and a batch for it."""
    keras.utils.set_random_seed(1)
    system = Pix2Pix(**NOISY)
    system.compile()
    images = np.random.default_rng(0).uniform(-1, 1, (2, 2, 64, 64, 3)).astype("float32")
    return system, dict(zip("ab", images, strict=True))


def test_half_of_the_values_are_dropped_in_the_levels_of_the_source(noisy):
    levels = [layer.name for layer in noisy[0].gen_ab.layers if isinstance(layer, Dropout)]
    assert levels == ["up4_dropout"]
    with tf.Graph().as_default():
        full = Pix2Pix(width=1, discriminator_width=1)
    dropped = [layer for layer in full.gen_ab.layers if isinstance(layer, Dropout)]
    assert [layer.output.shape[1] for layer in dropped] == [4, 8, 16]
    mask = noisy[0].masks()(tf.zeros((1, 100, 100, 1)), 0.5)
    assert set(np.unique(mask)) == {0, 1} and 0.48 < np.mean(mask) < 0.52


def test_dropout_keeps_the_mean_and_is_training_s_alone():
    x = tf.random.stateless_normal((2, 4, 4, 3), (1, 2))
    mask = np.arange(96).reshape(x.shape) % 2
    layer = Dropout(0.5)
    with masked_by(lambda x, rate: tf.cast(mask, x.dtype)):
        np.testing.assert_array_equal(layer(x, training=True), x * mask * 2)
        np.testing.assert_array_equal(layer(x), x)
    with pytest.raises(ValueError, match="call it in `masked_by`"):
        layer(x, training=True)


def test_masks_follow_the_step_and_the_seed(noisy):
    system, batch = noisy

    def drawn():
        return np.array(system.masks()(tf.zeros((1, 8, 8, 4)), 0.5))

    before = drawn()
    np.testing.assert_array_equal(drawn(), before)
    system.train_step(batch)
    assert not np.array_equal(drawn(), before)
    two = system.masks()
    assert not np.array_equal(*(two(tf.zeros((1, 8, 8, 4)), 0.5) for _ in range(2)))


def test_a_translation_has_no_chance_in_it_and_is_of_one_picture_alone(noisy):
    system, batch = noisy
    network = system.network()
    both = np.asarray(network(batch["a"]))
    np.testing.assert_array_equal(both, network(batch["a"]))
    np.testing.assert_allclose(network(batch["a"][:1]), both[:1], atol=1e-5)


def test_the_discriminator_sees_what_is_translated(noisy):
    system, batch = noisy
    logits = system.disc(tf.concat([batch["a"], batch["b"]], -1))
    others = system.disc(tf.concat([batch["a"][::-1], batch["b"]], -1))
    assert np.abs(logits - others).max() > 1e-3


def test_a_step_in_float64_agrees_with_the_official_numbers_to_their_last_digits():
    numbers = read("pix2pix_step")
    sizes = {"image_size": 64, "unet_levels": 6, "discriminator_width": 8}
    system = Pix2Pix(width=4, dropout=False, dtype="float64", **sizes)
    load_official(system, nested(numbers, "w0"))
    system.compile()
    images = (tf.constant(channels_last(numbers[f"real_{key}"]), "float64") for key in "AB")
    found = system.update(*images)
    assert {one.dtype for one in found.values()} == {tf.float64}
    for theirs, name in TERMS.items():
        wanted = float(numbers[f"loss/step0/{theirs}"]) / (100 if name == "g_l1" else 1)
        assert float(found[name]) == pytest.approx(wanted, rel=1e-6)


# statistics


def test_statistics_of_each_kind():
    x = np.random.default_rng(0).normal(3, 2, (2, 5, 4, 3))
    layers = {kind: BatchNormalization(kind, dtype="float64") for kind in ("picture", "moving")}
    for layer in layers.values():
        layer.build(x.shape)
        layer.gamma.assign([1.0, 2.0, 3.0])
        layer.beta.assign([0.0, 0.5, 1.0])
    scale, shift = np.array([1.0, 2.0, 3.0]), np.array([0.0, 0.5, 1.0])

    def normalised(axes):
        centred = x - x.mean(axes, keepdims=True)
        return centred / np.sqrt(x.var(axes, keepdims=True) + 1e-5) * scale + shift

    trained = layers["moving"](x, training=True)
    np.testing.assert_allclose(trained, normalised((0, 1, 2)), rtol=1e-10)
    np.testing.assert_allclose(layers["picture"](x), normalised((1, 2)), rtol=1e-10)
    mean = 0.1 * x.mean((0, 1, 2))
    variance = 0.9 + 0.1 * x.var((0, 1, 2), ddof=1)
    wanted = (x - mean) / np.sqrt(variance + 1e-5) * scale + shift
    np.testing.assert_allclose(layers["moving"](x), wanted, rtol=1e-10)


def test_the_gradient_through_a_batch_s_statistics_is_the_derived_one():
    x = tf.constant(np.random.default_rng(1).normal(size=(2, 3, 4, 2)))
    upstream = tf.constant(np.random.default_rng(2).normal(size=x.shape))
    layer = BatchNormalization(dtype="float64")
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        ours = tf.reduce_sum(layer(x, training=True) * upstream)
        mean, variance = tf.nn.moments(x, (0, 1, 2))
        plain = tf.reduce_sum((x - mean) / tf.sqrt(variance + 1e-5) * upstream)
    np.testing.assert_allclose(tape.gradient(ours, x), tape.gradient(plain, x), atol=1e-12)


def test_weights_fit_both_kinds_of_statistics(noisy):
    system, batch = noisy
    other = Pix2Pix(**{**NOISY, "statistics": "moving"})
    other.set_weights(system.get_weights())
    by_picture, by_moving = (np.asarray(one.network()(batch["a"])) for one in (system, other))
    assert np.abs(by_picture - by_moving).max() > 1e-3
    with pytest.raises(ValueError, match="statistics must be picture or moving, received 'eval'"):
        Pix2Pix(**{**NOISY, "statistics": "eval"})


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"image_size": 40}, "multiple of 16 for unet_levels=4, received image_size=40"),
        ({"discriminator_depth": 4}, "at least 48 for discriminator_depth=4"),
        ({"norm": "layer"}, "norm must be batch or instance, received 'layer'"),
    ],
)
def test_impossible_architectures_are_refused_in_words(wrong, word):
    with pytest.raises(ValueError, match=word):
        Pix2Pix(**{**Pix2Pix.smoke, **wrong})


def test_a_loss_that_needs_a_smooth_discriminator_is_refused(noisy):
    with pytest.raises(ValueError, match="gan_loss='wasserstein' needs a discriminator"):
        noisy[0].compile(gan_loss="wasserstein")
