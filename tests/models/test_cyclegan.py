"""CycleGAN against the official code's numbers, its history of fakes, and its variants."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from official_numbers import channels_last, first_gradients, near, nested, read

from tfi2i.errors import InputError
from tfi2i.models.cyclegan import (
    CycleGAN,
    ImagePool,
    pixel_discriminator,
    pool_turns,
    unet_generator,
)
from tfi2i.official import cyclegan
from tfi2i.official import cyclegan as names
from tfi2i.official.weights import (
    export_official,
    from_official,
    load_official,
    official_tensors,
    system_of,
)

SMALL_UNET: dict[str, Any] = {"image_size": 16, "width": 2, "generator": "unet", "unet_levels": 3}
SMALL_PIXEL: dict[str, Any] = {"discriminator": "pixel", "discriminator_width": 2}


@pytest.fixture(scope="module")
def official():
    return read("cyclegan_step")


# parity


def beyond_the_kink(generator, images):
    """The images, moved so little that one unit of the generator rises by 1e-5, off a ReLU's kink.

    It is within 4e-6 of 0: the side it falls on is the processor's rounding, and changes a gradient
    by 1.5 %. The official numbers were made above 0.
    """
    taps = [layer.input for layer in generator.layers if isinstance(layer, keras.layers.ReLU)]
    to_taps = keras.Model(generator.input, taps)
    with tf.GradientTape() as tape:
        tape.watch(images)
        units = tf.concat([tf.reshape(tap, [-1]) for tap in to_taps(images)], 0)
        nearest = units[tf.argmin(tf.abs(units))]
    assert abs(float(nearest)) < 1e-5
    slope = tape.gradient(nearest, images)
    return images + 1e-5 * slope / tf.reduce_sum(slope**2)


@pytest.fixture(scope="module")
def trained(official):
    """Images of the untrained networks, the losses of three steps, the first step's gradients."""
    system = CycleGAN(image_size=64, width=8, blocks=2, discriminator_width=8)
    load_official(system, nested(official, "w0"))
    system.compile()
    batch = {key: tf.constant(channels_last(official[f"real_{key.upper()}"])) for key in "ab"}
    batch["b"] = beyond_the_kink(system.gen_ba, batch["b"])
    fake_b = system.network("a2b")(batch["a"])
    images = {
        "fake_B": fake_b,
        "rec_A": system.network("b2a")(fake_b),
        "idt_A": system.network("a2b")(batch["b"]),
    }
    step, losses = tf.function(system.train_step, autograph=False), []
    gradients: dict[str, dict[str, np.ndarray]] = {}
    for _ in range(3):
        losses.append({name: float(value) for name, value in step(batch).items()})
        for tracker in system.trackers.values():
            tracker.reset_state()
        gradients = gradients or first_gradients(system)
    return images, losses, gradients, system


def test_translations_equal_the_official_ones(official, trained):
    for name, ours in trained[0].items():
        near(ours, channels_last(official[f"out/{name}"]), 1e-4, name)


def test_the_losses_of_three_steps_equal_the_official_ones(official, trained):
    # Official losses are weighted, and named after the generator: G_A makes images of b.
    ours = {
        **{"G_A": ("g_b", 1), "cycle_A": ("g_cycle_a", 10), "idt_A": ("g_same_b", 5)},
        **{"G_B": ("g_a", 1), "cycle_B": ("g_cycle_b", 10), "idt_B": ("g_same_a", 5)},
        **{"D_A": ("d_b", 1), "D_B": ("d_a", 1)},
    }
    for step, losses in enumerate(trained[1]):
        for theirs, (name, weight) in ours.items():
            wanted = float(official[f"loss/step{step}/{theirs}"])
            tolerance = 1e-4 if step == 0 else 1e-3
            assert weight * losses[name] == pytest.approx(wanted, rel=tolerance), (step, theirs)


def test_gradients_of_the_first_step_equal_the_official_ones(official, trained):
    compared = nested(official, "grad")
    assert {net: len(tensors) for net, tensors in compared.items()} == {
        **{"G_A": 7, "G_B": 7},
        **{"D_A": 6, "D_B": 6},
    }
    for net, tensors in compared.items():
        for name, theirs in tensors.items():
            near(trained[2][net][name], theirs, 1e-3, (net, name))


def test_the_step_keeps_its_fakes(trained):
    pools = trained[3].pools
    assert [int(pool.held) for pool in pools.values()] == [3, 3]
    near(pools["b"].images[0], trained[0]["fake_B"][0], 1e-4, "the first fake of b")


def test_the_unet_equals_the_official_one():
    official = read("pix2pix_unet_instance")
    network = unet_generator((64, 64), 4, 6, "network")
    for name, (variable, layout) in names.layers(network, names.unet_names(6)).items():
        variable.assign(from_official(official[f"w/{name}"], layout))
    output = network(channels_last(official["input"]))
    np.testing.assert_allclose(output, channels_last(official["output_eval"]), atol=1e-4)


def test_the_pixel_discriminator_equals_the_official_one():
    official = read("pixel_discriminator")
    network = pixel_discriminator(8, "network")
    for name, (variable, layout) in names.layers(network, names.PIXEL_NAMES).items():
        variable.assign(from_official(official[f"w/{name}"], layout))
    output = network(channels_last(official["input"]))
    near(output, channels_last(official["output"]), 1e-4, "logits")


def test_networks_have_the_published_sizes():
    system = CycleGAN()
    assert system.gen_ab.count_params() == system.gen_ba.count_params() == 11_378_179
    assert system.disc_a.count_params() == system.disc_b.count_params() == 2_764_737
    assert unet_generator((256, 256), 64, 8, "network").count_params() == 54_409_603
    assert pixel_discriminator(64, "network").count_params() == 8_705


# the history of fakes


def replayed_draws(official):
    """For each image of the fixture (chance, slot), of which an image may not have used either."""
    draws = iter(zip(official["draws"], official["draw_kind"], strict=True))
    for i in range(len(official["inputs"])):
        chance, slot = 0.0, 0
        if i >= official["pool_size"]:
            chance, kind = next(draws)
            assert kind == "u"
            if chance > 0.5:
                slot, kind = next(draws)
                assert kind == "r"
        yield chance, int(slot)


@pytest.mark.parametrize("batch", [1, 4, 20])
def test_the_pool_decides_as_the_official_one_whatever_the_batch(batch):
    official = read("image_pool")
    size, turns = int(official["pool_size"]), list(replayed_draws(official))
    pool, returned = np.full(size, np.nan), []
    for start in range(0, 20, batch):
        chances, slots = map(tf.constant, zip(*turns[start : start + batch], strict=True))
        given, kept = pool_turns(size, min(start, size), chances, slots)
        everything = np.concatenate([pool, official["inputs"][start : start + batch]])
        returned += [*everything[given]]
        pool = everything[kept]
    np.testing.assert_array_equal(returned, official["returned"])


def test_a_full_pool_gives_an_older_image_half_of_the_time():
    pool = ImagePool(8, (1, 1, 3))
    older = 0
    for i in range(100):
        images = tf.fill((4, 1, 1, 3), float(i))
        given = pool.exchange(images, (5, i))
        older += int(tf.reduce_sum(tf.cast(given[:, 0, 0, 0] < i, tf.int32)))
    assert int(pool.held) == 8
    assert 150 < older < 220  # of 392


def batch_for(system, seed):
    shape = (2, 1, system.image_size, system.image_size, 3)
    a, b = np.random.default_rng(seed).uniform(-1, 1, shape).astype("float32")
    return {"a": tf.constant(a), "b": tf.constant(b)}


def test_the_pool_survives_saving_and_another_compile(tmp_path):
    keras.utils.set_random_seed(0)
    system = CycleGAN(**CycleGAN.smoke)
    system.compile(pool_size=2)
    for seed in range(4):
        system.train_step(batch_for(system, seed))
    system.save(tmp_path / "system.keras")
    again = keras.saving.load_model(tmp_path / "system.keras")
    for domain, pool in system.pools.items():
        assert int(again.pools[domain].held) == 2
        assert np.any(pool.images)
        np.testing.assert_array_equal(again.pools[domain].images, pool.images)
    older = []
    for seed in range(4, 7):
        for one in (system, again):
            for tracker in one.trackers.values():
                tracker.reset_state()
        before = np.array(system.pools["a"].images)
        losses = [one.train_step(batch_for(system, seed)) for one in (system, again)]
        assert {k: float(v) for k, v in losses[0].items()} == pytest.approx(losses[1], rel=1e-4)
        older.append(not np.array_equal(before, system.pools["a"].images))
    assert any(older)  # the pool took part
    kept = np.array(system.pools["a"].images)
    system.compile(pool_size=2, learning_rate=1e-5)
    np.testing.assert_array_equal(system.pools["a"].images, kept)
    variables = len(system.variables)
    system.compile(pool_size=3)
    assert [int(pool.held) for pool in system.pools.values()] == [0, 0]
    assert len(system.variables) == variables
    system.compile(pool_size=0)
    assert not system.pools


def test_the_pool_is_no_part_of_what_is_trained():
    system = CycleGAN(**CycleGAN.smoke)
    before = len(system.trainable_variables)
    system.compile()
    assert len(system.trainable_variables) == before
    assert "pool_a/images" in {variable.path for variable in system.non_trainable_variables}


# the step


def snapshot(*networks):
    return [variable.numpy() for network in networks for variable in network.trainable_variables]


def same(before, after):
    return [np.array_equal(x, y) for x, y in zip(before, after, strict=True)]


def test_each_step_leaves_the_other_networks_alone():
    system = CycleGAN(**CycleGAN.smoke)
    system.compile()
    batch = batch_for(system, 0)
    generators, discriminators = (system.gen_ab, system.gen_ba), (system.disc_a, system.disc_b)

    frozen, moving = snapshot(*discriminators), snapshot(*generators)
    _, fake_a, fake_b = system.generator_step(batch["a"], batch["b"])
    assert all(same(frozen, snapshot(*discriminators)))
    assert not any(same(moving, snapshot(*generators)))

    frozen, moving = snapshot(*generators), snapshot(*discriminators)
    system.discriminator_step(batch["a"], batch["b"], fake_a, fake_b)
    assert all(same(frozen, snapshot(*generators)))
    assert not any(same(moving, snapshot(*discriminators)))


def test_without_an_identity_weight_its_loss_is_nothing_and_the_others_stay():
    keras.utils.set_random_seed(1)
    system = CycleGAN(**CycleGAN.smoke)
    images = batch_for(system, 0).values()
    losses = []
    for weight in (0.5, 0.0):
        system.compile(identity_weight=weight, learning_rate=1e-30)
        losses.append({k: float(v) for k, v in system.generator_step(*images)[0].items()})
    assert losses[0]["g_same_a"] > 0
    assert losses[1] == pytest.approx({**losses[0], "g_same_a": 0, "g_same_b": 0}, rel=1e-5)


def test_a_gradient_penalty_moves_discriminators_otherwise():
    moved = []
    for weight in (1e-3, 1e3):
        keras.utils.set_random_seed(1)
        system = CycleGAN(**CycleGAN.smoke)
        system.seed.assign(7)
        system.compile(gan_loss="wasserstein", gradient_penalty=weight)
        batch = batch_for(system, 0)
        system.discriminator_step(*batch.values(), *batch_for(system, 1).values())
        moved.append(np.array(system.disc_a.get_layer("conv0").kernel))
    assert np.abs(moved[0] - moved[1]).max() > 1e-4


def test_clipping_bounds_the_discriminators_alone():
    system = CycleGAN(**CycleGAN.smoke)
    system.compile(gan_loss="wasserstein", clip_weights=0.01)
    system.train_step(batch_for(system, 0))
    for disc in (system.disc_a, system.disc_b):
        assert max(np.abs(variable).max() for variable in disc.get_weights()) <= 0.01
    assert max(np.abs(variable).max() for variable in system.gen_ab.get_weights()) > 0.02


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"gan_loss": "wasserstein"}, "gradient_penalty"),
        ({"gan_loss": "sometimes"}, "gan_loss"),
        ({"pool_size": -1}, "pool_size=-1"),
        ({"gradient_penalty": -1.0}, "gradient_penalty=-1.0"),
        ({"clip_weights": 0.0}, "clip_weights=0.0"),
    ],
)
def test_impossible_trainings_are_refused_in_words(wrong, word):
    with pytest.raises(ValueError, match=word):
        CycleGAN(**CycleGAN.smoke).compile(**wrong)


@pytest.mark.parametrize("dtype", ["float64", "mixed_float16"])
def test_a_penalised_step_works_in_other_precisions(dtype):
    system = CycleGAN(**CycleGAN.smoke, dtype=dtype)
    system.compile(gradient_penalty=10.0, pool_size=1)
    for seed in range(2):
        losses = system.train_step(batch_for(system, seed))
    assert all(np.isfinite(float(value)) for value in losses.values())


def test_the_rate_falls_in_the_second_half():
    system = CycleGAN(**CycleGAN.smoke)
    system.compile(total_steps=2000, epoch_steps=10)
    rate = system.optimizers["generator"]._learning_rate
    assert float(rate(999)) == pytest.approx(2e-4)
    assert float(rate(1999)) == pytest.approx(2e-4 / 101)


# architectures


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"image_size": 66}, "image_size=66"),
        ({"image_size": 20}, "image_size=20"),
        ({"image_size": 4, "discriminator": "pixel"}, "image_size=4"),
        ({"width": 0}, "width=0"),
        ({"blocks": 0}, "blocks=0"),
        ({"discriminator_width": 0}, "discriminator_width=0"),
        ({"discriminator_depth": 0}, "discriminator_depth=0"),
        ({"generator": "vit"}, "'vit'"),
        ({"discriminator": "global"}, "'global'"),
        ({"generator": "unet", "unet_levels": 1}, "unet_levels=1"),
        ({"generator": "unet", "unet_levels": 6, "image_size": 96}, "image_size=96"),
        ({"generator": "unet", "antialias": True}, "generator=unet"),
    ],
)
def test_impossible_architectures_are_refused_in_words(wrong, word):
    with pytest.raises(ValueError, match=word):
        CycleGAN(**{"width": 2, "blocks": 1, **wrong})


@pytest.mark.parametrize("antialias", [False, True])
def test_the_smallest_images_build(antialias):
    system = CycleGAN(image_size=12, width=2, blocks=1, discriminator_depth=2, antialias=antialias)
    assert system.disc_a(tf.zeros((1, 12, 12, 3))).shape == (1, 1, 1, 1)


def test_a_unet_ties_its_translators_to_the_size():
    system = CycleGAN(**SMALL_UNET, **SMALL_PIXEL)
    assert system.network("b2a").input_shape == (None, 16, 16, 3)
    assert CycleGAN(**CycleGAN.smoke).network().input_shape == (None, None, None, 3)
    pixels = np.random.default_rng(0).integers(0, 256, (21, 40, 3), np.uint8)
    assert system.translate(pixels).shape == pixels.shape


def test_a_unet_with_pixel_discriminators_trains():
    system = CycleGAN(**SMALL_UNET, **SMALL_PIXEL)
    system.compile()
    losses = system.train_step(batch_for(system, 0))
    assert all(np.isfinite(float(value)) for value in losses.values())


RESNET: dict[str, Any] = {"generator": "resnet", "width": 2, "blocks": 3}
UNET: dict[str, Any] = {"generator": "unet", "width": 2, "unet_levels": 5}
PATCH: dict[str, Any] = {
    "discriminator": "patch",
    "discriminator_width": 3,
    "discriminator_depth": 4,
}
PIXEL: dict[str, Any] = {"discriminator": "pixel", "discriminator_width": 3}


@pytest.mark.parametrize(
    "config",
    [
        {**RESNET, **PATCH, "antialias": False},
        {**RESNET, **PATCH, "antialias": True},
        {**RESNET, **PATCH, "discriminator_depth": 1, "antialias": True},
        {**RESNET, **PIXEL, "antialias": False},
        {**UNET, **PATCH, "antialias": False},
        {**UNET, **PIXEL},
        {**UNET, **PIXEL, "unet_levels": 2},
    ],
    ids=lambda config: "-".join(map(str, config.values())),
)
def test_the_architecture_is_read_off_official_weights(config):
    system = CycleGAN(image_size=64, **config)
    assert cyclegan.architecture(export_official(system)) == config


def official_arrays():
    return export_official(CycleGAN(**CycleGAN.smoke))


def test_contradicting_official_weights_are_refused_in_words():
    networks = official_arrays()
    kernel = networks["G_B"]["model.10.conv_block.5.weight"]
    networks["G_B"]["model.10.conv_block.5.weight"] = kernel[:, :-1]
    with pytest.raises(InputError, match=r"G_B model\.10\.conv_block\.5"):
        system_of(CycleGAN, networks, "G_B.pth", {})
    networks = official_arrays()
    networks["G_A"]["model.99.conv_block.1.weight"] = kernel
    with pytest.raises(InputError, match="gaps"):
        cyclegan.architecture(networks)
    blurred = export_official(CycleGAN(**CycleGAN.smoke, antialias=True))
    mixed = {**official_arrays(), "G_A": blurred["G_A"], "G_B": blurred["G_B"]}
    with pytest.raises(InputError, match="antialiased"):
        cyclegan.architecture(mixed)


def test_official_discriminators_are_named_after_the_generator_they_judge():
    system = CycleGAN(**CycleGAN.smoke)
    kernel = official_tensors(system)["D_A"]["model.0.weight"][0]
    assert kernel is system.disc_b.get_layer("conv0").kernel
    kernel = official_tensors(system)["G_A"]["model.1.weight"][0]
    assert kernel is system.gen_ab.get_layer("conv0").kernel
