"""CUT and FastCUT against the official code's numbers, and what mirroring means."""

import inspect
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from official_numbers import channels_last, first_gradients, near, nested, read

from tfi2i import losses
from tfi2i.errors import InputError
from tfi2i.layers import convolution as layers
from tfi2i.layers.normalization import InstanceNormalization
from tfi2i.models.cut import CUT, FastCUT
from tfi2i.networks.patch_features import patch_features
from tfi2i.official import cut
from tfi2i.official.weights import export_official, load_official, system_of


def under(prefix, fixture):
    return {
        key.removeprefix(prefix): value for key, value in fixture.items() if key.startswith(prefix)
    }


# networks


@pytest.mark.parametrize("size", ["8x8", "7x9"])
def test_blurring_and_bilinear_sampling_equal_the_official_filters(size):
    official = read("antialias_filters")
    image = channels_last(official[f"in/{size}"])
    for layer, key in ((layers.BlurDown(), "down/filt3"), (layers.BilinearUp(), "up/filt4")):
        near(layer(image), channels_last(official[f"{key}/{size}"]), 1e-6, key)


def network_of(name, network):
    """A CUT with the official weights of one network, and arbitrary ones in the others."""
    official = read(name)
    config = {"width": 8, "blocks": 4, "discriminator_width": 8, "features": 16, "image_size": 64}
    taps = ("conv0_pad", "down0", "down1", "block0")
    system = CUT(**config, taps=taps, antialias=not name.endswith("noantialias"))
    load_official(system, {**export_official(system), network: under("w/", official)})
    return system, official


GENERATOR = {
    "00": "conv0_pad",
    "01": "conv0",
    "04": "down0",
    "07": "down0_blur",
    "08": "down1",
    "11": "down1_blur",
    "12": "block0",
    "15": "block3",
    "16": "up0_blur",
    "17": "up0",
    "20": "up1_blur",
}


def test_the_generator_and_its_activations_equal_the_official_ones():
    system, official = network_of("cut_generator", "G")
    image = channels_last(official["input"])
    near(system.network()(image), channels_last(official["output"]), 1e-4, "output")
    maps = {index: system.gen_ab.get_layer(name).output for index, name in GENERATOR.items()}
    for index, ours in keras.Model(system.gen_ab.input, maps)(image[:1]).items():
        (corner,) = (v for k, v in official.items() if k.startswith(f"act_corner/{index}_"))
        near(ours[:, :16, :16], channels_last(corner), 1e-4, index)
        near(tf.reduce_mean(ours, (1, 2)), official[f"act_chan_mean/{index}"], 1e-3, index)
        near(tf.math.reduce_variance(ours, (1, 2)), official[f"act_chan_var/{index}"], 1e-3, index)


def test_the_generator_without_blurring_equals_the_official_one():
    system, official = network_of("cut_generator_noantialias", "G")
    ours = system.network()(channels_last(official["input"]))
    near(ours, channels_last(official["output"]), 1e-4, "output")


def test_the_discriminator_and_its_activations_equal_the_official_ones():
    system, official = network_of("cut_discriminator", "D")
    image, disc = channels_last(official["input"]), system.disc_b
    near(disc(image), channels_last(official["output"]), 1e-4, "output")
    names = {"02": "conv0_blur", "06": "conv1_blur", "10": "conv2_blur"}
    maps = {index: disc.get_layer(name).output for index, name in names.items()}
    for index, ours in keras.Model(disc.input, maps)(image).items():
        (corner,) = (v for k, v in official.items() if k.startswith(f"act_corner/{index}_"))
        near(ours[:, :16, :16], channels_last(corner)[:1], 1e-4, index)


def test_parameter_counts_are_the_published_ones():
    system = CUT()
    assert system.gen_ab.count_params() == 11_378_179
    assert system.disc_b.count_params() == 2_764_737
    assert sum(head.count_params() for head in system.heads) == 560_384


# training


@pytest.fixture(scope="module")
def official():
    return read("cut_step")


@pytest.fixture(scope="module")
def system(official):
    settings = json.loads(str(official["opt_json"]))
    config = cut.architecture(nested(official, "w0"))
    assert config == {
        "width": settings["ngf"],
        "blocks": 6,
        "discriminator_width": settings["ndf"],
        "discriminator_depth": settings["n_layers_D"],
        "antialias": not settings["no_antialias"],
        "features": settings["netF_nc"],
    }
    system = CUT(**config, image_size=settings["crop_size"])
    load_official(system, nested(official, "w0"))
    system.compile(patches=settings["num_patches"])
    assert (system.learning_rate, system.temperature) == (settings["lr"], settings["nce_T"])
    assert system.nce_weight == settings["lambda_NCE"]
    return system


def positions_of(official, step, letter):
    return [official[f"step{step}/{letter}_key/patch_ids{tap}"] for tap in range(5)]


@pytest.fixture(scope="module")
def compared(official, system):
    """Before any training: translations, pooled features and PatchNCE by tap."""
    both = channels_last(np.concatenate([official["real_A"], official["real_B"]]))
    translated, *key_maps = system.gen_and_maps(both)
    maps = {"key": key_maps, "query": system.encoder(translated)}
    features = {
        f"{letter}_{kind}": patch_features(
            [tf.split(one, 2)[half] for one in maps[kind]],
            system.heads,
            positions_of(official, 0, letter),
        )
        for half, letter in enumerate("XY")
        for kind in maps
    }
    return translated, features


@tf.custom_gradient
def misread(x):
    """x; a gradient (N, H, W, C) is taken for one in the order (N, C, H, W).

    The official gradients, computed by PyTorch 2.13 on a CPU, are wrong by exactly this, behind the
    second normalisation of every residual block that a tap's gradient reaches, because that
    gradient lies in memory with its channels last. The official losses of the second and third step
    follow from the wrong gradients, so the comparison makes the same mistake.
    """

    def gradient(g):
        n, h, w, c = g.shape
        return tf.transpose(tf.reshape(g, (n, c, h, w)), (0, 2, 3, 1))

    return tf.identity(x), gradient


@pytest.fixture(scope="module")
def trained(official, system, compared):
    """Three steps, compiled: the terms of each, and the gradients of the first."""
    real_a, real_b = (tf.constant(channels_last(official[f"real_{key}"])) for key in "AB")
    encoder, normalize = system.encoder, InstanceNormalization.call

    def normalize_and_misread(layer, x, training=False):
        result = normalize(layer, x, training)
        return misread(result) if layer.name.endswith("_norm1") else result

    def encode(images, training):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(InstanceNormalization, "call", normalize_and_misread)
            return encoder(images, training=training)

    @tf.function(autograph=False)
    def step(*positions):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(system, "encoder", encode)
            patch.setattr(
                system, "positions", lambda maps, domain: positions[5 * domain : 5 * domain + 5]
            )
            return system.update(real_a, real_b)

    terms, first = [], None
    for t in range(3):
        drawn = [*positions_of(official, t, "X"), *positions_of(official, t, "Y")]
        terms.append({name: float(value) for name, value in step(*drawn).items()})
        first = first or first_gradients(system)
    return terms, first


def test_translations_and_pooled_features_equal_the_official_ones(official, compared):
    translated, features = compared
    near(translated[:1], channels_last(official["out/fake_B"]), 1e-4, "fake_B")
    near(translated[1:], channels_last(official["out/idt_B"]), 1e-4, "idt_B")
    for branch, by_tap in features.items():
        for tap, ours in enumerate(by_tap):
            near(ours[0], official[f"{branch}/pool{tap}"], 1e-3, f"{branch} {tap}")


def test_patch_nce_of_every_tap_equals_the_official_one(official, compared):
    _, features = compared
    for letter in "XY":
        pairs = zip(features[f"{letter}_query"], features[f"{letter}_key"], strict=True)
        for tap, pair in enumerate(pairs):
            theirs = official[f"nce_layer_mean/{letter}/{tap}"]
            assert float(losses.patch_nce(*pair)) == pytest.approx(float(theirs), rel=1e-4)


def test_the_losses_of_three_steps_equal_the_official_ones(official, trained):
    names = {"D_real": "d_real", "D_fake": "d_fake", "G_GAN": "g_gan"}
    names |= {"NCE": "g_nce", "NCE_Y": "g_nce_same"}
    for t, terms in enumerate(trained[0]):
        for key, name in names.items():
            theirs = float(official[f"loss/step{t}/{key}"])
            expected = pytest.approx(theirs, rel=1e-3 if t else 1e-4, abs=1e-8)
            assert terms[name] == expected, (t, name)
        total = terms["g_gan"] + (terms["g_nce"] + terms["g_nce_same"]) / 2
        assert total == pytest.approx(float(official[f"loss/step{t}/G"]), rel=1e-3)


def test_gradients_equal_the_official_ones(official, trained):
    compared = 0
    for net, tensors in nested(official, "grad").items():
        for name, theirs in tensors.items():
            if not before_a_norm(net, name):
                near(trained[1][net][name], theirs, 1e-3, (net, name))
                compared += 1
    assert compared == 11 + 20 + 7


def before_a_norm(net, name):
    """Whether it is a bias that a norm subtracts again, so that what comes is rounding noise."""
    kept = {"G": ("model.27.bias",), "F": (name,), "D": ("model.0.bias", "model.14.bias")}
    return name.endswith("bias") and name not in kept[net]


def test_a_step_draws_positions_by_its_number_and_other_ones_for_each_domain():
    system, again = CUT(**CUT.smoke), CUT(**CUT.smoke)
    again.seed.assign(system.seed)
    for one in (system, again):
        one.compile(patches=20)
        one.step_counter.assign(5)
    maps = system.encoder(tf.zeros((1, 32, 32, 3)))
    first = system.positions(maps, 0)
    for ours, theirs in zip(first, again.positions(maps, 0), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert set(first[0].numpy()) != set(system.positions(maps, 1)[0].numpy())
    system.step_counter.assign(6)
    assert set(first[0].numpy()) != set(system.positions(maps, 0)[0].numpy())


def test_the_patches_of_a_batch_are_each_others_negatives_only_if_asked():
    system = CUT(**CUT.smoke)
    system.compile(patches=4)
    image = tf.random.stateless_uniform((1, 32, 32, 3), (0, 0), -1, 1)
    twice = system.encoder(tf.concat([image, image], 0))
    assert len(twice) == 3
    alone = float(system.contrast(twice, twice, 0))
    system.negatives_from_batch = True
    together = float(system.contrast(twice, twice, 0))
    # Every key is there twice, so the right one has half the probability.
    assert together == pytest.approx(alone + np.log(2), rel=1e-4)


# FastCUT


def pictures():
    return tf.unstack(tf.random.stateless_uniform((2, 2, 32, 32, 3), (1, 2), -1, 1))


def test_a_mirrored_step_compares_the_translation_mirrored_back_with_the_image_as_it_was():
    system = FastCUT(**FastCUT.smoke)
    system.compile(patches=32)
    a, b = pictures()
    mirrored = system.encoder(system.gen_ab(a[:, :, ::-1]))
    keys = system.encoder(a)
    expected = float(system.contrast([one[:, :, ::-1] for one in mirrored], keys, 0))
    assert float(system.contrast(mirrored, keys, 0, True)) == pytest.approx(expected, rel=1e-5)
    assert float(system.contrast(mirrored, keys, 0, False)) != pytest.approx(expected, rel=1e-4)
    terms = system.update(a, b, tf.constant(True))
    assert tuple(terms) == FastCUT.loss_names
    assert float(terms["g_nce"]) == pytest.approx(expected, rel=1e-5)


def test_about_half_of_the_steps_are_mirrored_and_a_step_always_alike():
    system = FastCUT(**FastCUT.smoke)
    system.seed.assign(7)

    def flips():
        for step in range(200):
            system.step_counter.assign(step)
            yield bool(system.draw_flip())

    first = list(flips())
    assert 70 < sum(first) < 130
    assert list(flips()) == first


def test_fastcut_differs_in_its_losses_and_in_three_numbers_of_training():
    ours, theirs = (
        {p.name: p.default for p in inspect.signature(cls.compile).parameters.values()}
        for cls in (FastCUT, CUT)
    )
    assert list(ours) == list(theirs)
    changed = {name: value for name, value in ours.items() if value != theirs[name]}
    assert changed == {"total_steps": 266_800, "nce_weight": 10.0, "flip_equivariance": True}
    assert set(CUT.loss_names) - set(FastCUT.loss_names) == {"g_nce_same"}


@pytest.mark.parametrize(("cls", "start"), [(CUT, 50), (FastCUT, 75)])
def test_the_rate_falls_in_the_last_part_of_the_source_s_length(cls, start):
    system = cls(**cls.smoke)
    system.compile(total_steps=100)
    schedule = system.optimizers["generator"]._learning_rate
    rates = [float(schedule(step)) for step in (start - 1, start, 99)]
    assert rates == pytest.approx([2e-4, 2e-4 * (1 - 1 / (100 - start)), 0])


# what is refused


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"image_size": 34}, "image_size=34"),
        ({"image_size": 20, "discriminator_depth": 3}, "at least 24.*image_size=20"),
        ({"width": 0}, "width=0"),
        ({"blocks": 0}, "blocks=0"),
        ({"features": 0}, "features=0"),
        ({"taps": ("conv0_pad", "block1")}, "down0, down1, block0 for blocks=1.*block1"),
        ({"taps": ("down0", "down0")}, "different"),
        ({"taps": ()}, "taps"),
    ],
)
def test_impossible_architectures_are_refused_in_words(wrong, words):
    with pytest.raises(ValueError, match=words):
        CUT(**{**CUT.smoke, **wrong})


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"gan_loss": "wasserstein"}, "wasserstein.*choose another"),
        ({"gan_loss": "nothing"}, "nothing"),
        ({"patches": 1}, "patches=1"),
        ({"temperature": 0.0}, "temperature=0"),
    ],
)
def test_impossible_trainings_are_refused_in_words(wrong, words):
    with pytest.raises(ValueError, match=words):
        FastCUT(**FastCUT.smoke).compile(**wrong)


def test_the_smallest_images_build():
    system = CUT(**{**CUT.smoke, "image_size": 24, "discriminator_depth": 3, "antialias": False})
    assert system.disc_b.compute_output_shape((1, 24, 24, 3)) == (1, 1, 1, 1)


# the source's weights


@pytest.mark.parametrize("antialias", [True, False])
def test_the_architecture_is_read_off_the_official_tensors(antialias):
    arguments = {**CUT.smoke, "blocks": 3, "antialias": antialias}
    found = cut.architecture(export_official(CUT(**arguments)))
    assert found == {key: arguments[key] for key in arguments if key not in ("image_size", "taps")}


def test_tensors_of_other_networks_are_refused_in_words(official):
    networks = nested(official, "w0")
    gap = {k.replace("model.17.", "model.18."): v for k, v in networks["G"].items()}
    thin = {**networks["G"], "model.12.conv_block.1.weight": np.zeros((8, 8, 3, 3), np.float32)}
    half = {k: v for k, v in networks["G"].items() if k not in ("model.18.filt", "model.22.filt")}
    thin_words = r"model\.12\.conv_block\.1\.weight is \[8,8,3,3\], \[32,32,3,3\] is wanted"
    for generator, words in ((gap, "without gaps"), (thin, thin_words), (half, "only in part")):
        with pytest.raises(InputError, match=words):
            system_of(CUT, {**networks, "G": generator}, "G.pth", {})
