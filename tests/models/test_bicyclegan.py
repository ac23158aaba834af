"""BicycleGAN against the official code's numbers, its styles, and its halves of a batch."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from official_numbers import first_gradients, near, nested
from official_runs import OfficialRun, is_of

from tfi2i import losses
from tfi2i.benchmark.macs import translation_macs
from tfi2i.errors import InputError
from tfi2i.layers.convolution import AveragePool3x3
from tfi2i.layers.dropout import Dropout
from tfi2i.models.bicyclegan import BicycleGAN
from tfi2i.official import bicyclegan
from tfi2i.official.weights import export_official, load_official, system_of

TERMS = {
    **{"G_GAN": "g_encoded", "G_GAN2": "g_random", "G_L1": "g_l1", "kl": "g_kl", "z_L1": "g_style"},
    **{"D_fake": "d_encoded_fake", "D_real": "d_encoded_real"},
    **{"D2_fake": "d_random_fake", "D2_real": "d_random_real"},
}


def is_official(path):
    """Whether a file holds a training of the official BicycleGAN."""
    return is_of("bicyclegan", path)


class Official(OfficialRun):
    """A file of numbers, and what was drawn in it."""

    def drawn(self, step):
        return tuple(self.given(f"step{step}/draw/{name}") for name in ("eps", "z_random"))


@pytest.fixture(scope="module")
def official(official_file):
    return Official(official_file, "step1/loss/")


@pytest.fixture(scope="module")
def system(official):
    """The untrained system, whose architecture is that of the file's tensors."""
    arguments = {"dropout": official.config["use_dropout"]}
    arguments["image_size"] = [*official.given("input/real_A").shape[1:3]]
    state = nested(official.arrays, "state")
    found = bicyclegan.architecture(state, arguments) | arguments
    system = BicycleGAN(**found, dtype=official.dtype)
    load_official(system, state)
    return system


@pytest.fixture(scope="module")
def outputs(official, system):
    """Outputs of the untrained networks."""
    image, truth = official.given("input/real_A"), official.given("input/real_B")
    mean, log_variance = system.encoder(truth)
    found = {"E/mu": mean, "E/logvar": log_variance}
    styles = {"encoded": mean} | {f"z{i}": official.given(f"draw/eval_z{i}") for i in range(2)}
    found |= {f"G/{name}": system.gen_ab([image, style]) for name, style in styles.items()}
    for net, disc in (("D", system.disc_encoded), ("D2", system.disc_random)):
        for i, logits in enumerate(disc(truth)):
            found[f"{net}/scale{i}"] = logits
    return found


@pytest.fixture(scope="module")
def trained(official, system, outputs):
    """The terms of three steps, and the gradients of the first."""
    config = official.config
    system.compile(
        learning_rate=config["lr"],
        l1_weight=config["lambda_L1"],
        kl_weight=config["lambda_kl"],
        style_weight=config["lambda_z"],
    )
    batch = {key: official.given(f"input/real_{key.upper()}") for key in "ab"}
    terms, gradients, changed = [], None, None
    before = export_official(system)
    for step in (1, 2, 3):
        system.draws = lambda count, dtype, step=step: official.drawn(step)
        for tracker in system.trackers.values():
            tracker.reset_state()
        losses = system.train_step(batch)
        terms.append({name: float(value) for name, value in losses.items()})
        if step == 1:
            after = export_official(system)
            gradients = first_gradients(system)
            changed = {
                net: {name: after[net][name] - array for name, array in tensors.items()}
                for net, tensors in before.items()
            }
    return terms, gradients, changed


# parity


def test_outputs_equal_the_official_ones(official, outputs):
    assert len(outputs) >= 9
    for key, output in outputs.items():
        official.close(output, f"eval/{key}")


def test_the_losses_of_three_steps_equal_the_official_ones(official, trained):
    for step, found in enumerate(trained[0], start=1):
        tolerance = 1e-7 if official.double else (1e-4 if step == 1 else 1e-3)
        if official.double:  # reported by means in float32
            tolerance = 3e-7
        for theirs, ours in TERMS.items():
            wanted = float(official.wanted(f"step{step}/loss/{theirs}"))
            assert found[ours] == pytest.approx(wanted, rel=tolerance), (step, theirs)


def test_gradients_of_the_first_step_equal_the_official_ones(official, trained):
    whole = 0
    for net, name, theirs in official.numbers("grad", "step1"):
        near(trained[1][net][name], theirs, 1e-6 if official.double else 1e-3, (net, name))
        whole += 1
    assert whole > 40
    for net, name, (*_, norm, _largest) in official.numbers("check", "step1"):
        ours = np.sqrt(np.sum(trained[1][net][name] ** 2))
        assert ours == pytest.approx(norm, rel=1e-7 if official.double else 1e-3), (net, name)


def test_the_first_update_changes_every_weight_as_the_official_one(official, trained):
    if not official.double:
        pytest.skip("Adam's first step moves weights by the signs of gradients, noise included")
    for net, name, (_, _, length, most, *_) in official.numbers("check", "step1"):
        change = trained[2][net][name]
        assert np.sqrt(np.sum(change**2)) == pytest.approx(length, rel=1e-6), (net, name)
        assert np.abs(change).max() == pytest.approx(most, rel=1e-6), (net, name)


@pytest.mark.parametrize(
    ("settings", "counts"),
    [
        ({}, (54_794_627, 2_590_032, 3_458_978)),
        ({"channels": {"a": 1, "b": 3}}, (54_792_579, 2_590_032, 3_458_978)),
        (
            {"image_size": 128, "unet_levels": 7, "encoder_blocks": 3, "discriminator_depth": 2},
            (42_145_155, 1_344_080, 830_626),
        ),
    ],
    ids=["256", "grey to colour", "128"],
)
def test_networks_have_the_published_sizes(settings, counts):
    with tf.Graph().as_default():  # variables of shapes, without memory
        system = BicycleGAN(**settings)
        networks = (system.gen_ab, system.encoder, system.disc_encoded)
        assert tuple(network.count_params() for network in networks) == counts
        assert system.disc_random.count_params() == counts[2]
        if settings == {}:
            assert translation_macs(system.network(), 256) == pytest.approx(6.305e9, rel=1e-3)


def test_the_architecture_is_read_off_official_weights():
    config = {**BicycleGAN.smoke, "channels": {"a": 1, "b": 3}, "style_size": 5}
    networks = export_official(BicycleGAN(**config))
    assert bicyclegan.architecture(networks) == {**config, "image_size": [16, 16]}
    assert export_official(system_of(BicycleGAN, networks, "params.pth", {})).keys() == {
        *bicyclegan.NETWORKS
    }


def test_a_style_at_the_first_level_alone_is_refused_in_words():
    networks = export_official(BicycleGAN(**BicycleGAN.smoke))
    kernel = networks["G"]["model.submodule.down.1.weight"]
    networks["G"]["model.submodule.down.1.weight"] = kernel[:, :4]
    with pytest.raises(InputError, match="at the first level alone"):
        bicyclegan.architecture(networks)


# its own


@pytest.fixture(scope="module")
def small():
    keras.utils.set_random_seed(2)
    system = BicycleGAN(**BicycleGAN.smoke)
    system.compile()
    return system


def pictures(count, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (count, 32, 32, 3)).astype("float32")


@pytest.mark.parametrize(("count", "halves"), [(1, (1, 1)), (2, (1, 1)), (5, (3, 3))])
def test_a_batch_is_halved(small, count, halves, monkeypatch):
    seen = []

    def update(real_a, real_b, other_b):
        seen.extend((real_a, real_b, other_b))
        return dict.fromkeys(small.loss_names, tf.constant(0.0))

    monkeypatch.setattr(small, "update", update)
    a, b = pictures(count), pictures(count, 1)
    small.train_step({"a": tf.constant(a), "b": tf.constant(b)})
    first, second = halves
    np.testing.assert_array_equal(seen[0], a[:first])
    np.testing.assert_array_equal(seen[1], b[:first])
    np.testing.assert_array_equal(seen[2], b[count - second :])


def test_styles_change_the_translation_and_come_from_a_picture(small):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    one, same, other = (small.translate(pixels, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one.astype(int) - other).max() > 0
    (condition,) = small.conditions_of()
    assert (condition.name, condition.shape, condition.distribution) == ("style", (8,), "normal")
    picture = pictures(2)
    style = condition.encoder("b")(picture)
    np.testing.assert_array_equal(style, small.encoder(picture)[0])


def test_draws_follow_the_seed_and_dropout_stands_where_the_source_has_it(small):
    with tf.Graph().as_default():
        full = BicycleGAN(width=1, encoder_width=1, discriminator_width=2)
    dropped = [one.output.shape[1] for one in full.gen_ab.layers if isinstance(one, Dropout)]
    assert dropped == [4, 8, 16]
    noise, drawn = small.draws(3, "float32")
    assert noise.shape == drawn.shape == (3, 8) and not np.array_equal(noise, drawn)
    np.testing.assert_array_equal(small.draws(3, "float32")[1], drawn)


@pytest.mark.parametrize("size", [(6, 8), (5, 7)])
def test_the_pool_between_scales_counts_pixels_that_are_there(size):
    x = np.random.default_rng(0).normal(size=(2, *size, 3)).astype("float32")
    pooled = np.asarray(AveragePool3x3()(x))
    assert pooled.shape == (2, (size[0] + 1) // 2, (size[1] + 1) // 2, 3)
    for i, j in np.ndindex(*pooled.shape[1:3]):
        rows, columns = slice(max(2 * i - 1, 0), 2 * i + 2), slice(max(2 * j - 1, 0), 2 * j + 2)
        np.testing.assert_allclose(pooled[:, i, j], x[:, rows, columns].mean((1, 2)), atol=1e-6)


def test_the_divergence_of_styles_is_a_sum():
    mean = np.array([[1.0, 2.0], [0.0, 0.0]], np.float32)
    variance = np.array([[1.0, 1.0], [np.e, 1.0]], np.float32)
    wanted = 0.5 * (1 + 4 + np.e - 2)
    assert float(losses.gaussian_kl(mean, np.log(variance))) == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"image_size": 40}, "multiple of 16 for unet_levels=4"),
        ({"discriminator_depth": 3}, "at least 48 for discriminator_depth=3"),
        ({"encoder_blocks": 5}, "at least 64 for encoder_blocks=5"),
    ],
)
def test_impossible_architectures_are_refused_in_words(wrong, word):
    with pytest.raises(ValueError, match=word):
        BicycleGAN(**{**BicycleGAN.smoke, **wrong})
