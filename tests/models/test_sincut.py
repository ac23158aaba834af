"""SinCUT against the official code's numbers, and what is its own: R1, noise, single patches."""

import json

import numpy as np
import pytest
import tensorflow as tf
from official_numbers import channels_last, first_gradients, near, nested, read

from tfi2i.errors import InputError
from tfi2i.layers import stylegan2 as equalized
from tfi2i.models.sincut import SinCUT
from tfi2i.networks.patch_features import patch_features
from tfi2i.official import sincut
from tfi2i.official.weights import export_official, load_official, system_of, to_official

TINY = {**SinCUT.smoke, "image_size": 8}


@pytest.fixture(scope="module")
def official():
    return read("sincut_step")


@pytest.fixture(scope="module")
def settings(official):
    return json.loads(str(official["opt_json"]))


@pytest.fixture(scope="module")
def system(official, settings):
    config = sincut.architecture(nested(official, "w0"))
    assert config == {
        "image_size": settings["crop_size"],
        "width": settings["ngf"],
        "discriminator_width": settings["ndf"],
        "features": settings["netF_nc"],
    }
    system = SinCUT(**config)
    load_official(system, nested(official, "w0"))
    return system


def test_forward_outputs_equal_the_official_ones(official, system):
    both = np.concatenate([official["real_A"], official["real_B"]])
    images, noise = channels_last(both), channels_last(official["step0/noise"])
    output = system.gen_ab([images, noise], training=False)
    near(output[:1], channels_last(official["out/fake_B"]), 1e-5, "fake_B")
    near(output[4:5], channels_last(official["out/idt_B"]), 1e-5, "idt_B")
    key_maps, query_maps = system.encoder(images), system.encoder(output)
    for i, name in enumerate("XY"):
        positions = [official[f"step0/{name}_key/patch_ids{tap}"] for tap in range(3)]
        for kind, maps in (("key", key_maps), ("query", query_maps)):
            half = [one[4 * i : 4 * i + 4] for one in maps]
            for tap, ours in enumerate(patch_features(half, system.heads, positions)):
                theirs = official[f"{name}_{kind}/pool{tap}"]
                near(ours[:, 0], theirs, 1e-4, f"{name}_{kind} {tap}")


@pytest.fixture(scope="module")
def trained(official, settings, system):
    """Two steps, compiled: the terms of each, and the gradients of the first."""
    system.compile(
        learning_rate=settings["lr"],
        nce_weight=settings["lambda_NCE"],
        patches=settings["num_patches"],
        temperature=settings["nce_T"],
    )
    real_a, real_b = (tf.constant(channels_last(official[f"real_{key}"])) for key in "AB")

    @tf.function(autograph=False)
    def step(noise, *positions):
        system.positions = lambda maps, half: positions[3 * half : 3 * half + 3]
        try:
            return system.update(real_a, real_b, noise)
        finally:
            del system.positions

    terms, first = [], None
    for t in range(2):
        drawn = [official[f"step{t}/{half}_key/patch_ids{i}"] for half in "XY" for i in range(3)]
        noise = tf.constant(channels_last(official[f"step{t}/noise"]))
        found = step(noise, *map(tf.constant, drawn))
        terms.append({name: float(value) for name, value in found.items()})
        first = first or first_gradients(system)
    return terms, first


def test_every_loss_of_two_steps_equals_the_official_one(official, trained):
    terms, _ = trained
    weighted = {"D_real": ("d_real", 1), "D_fake": ("d_fake", 1), "D_R1": ("d_r1", 0.5)}
    weighted |= {"G_GAN": ("g_gan", 1), "idt": ("g_same", 1)}
    weighted |= {"NCE": ("g_nce", 4), "NCE_Y": ("g_nce_same", 4)}
    for t, tolerance in enumerate((1e-4, 1e-3)):
        assert tuple(terms[t]) == SinCUT.loss_names
        for theirs, (ours, weight) in weighted.items():
            value = official[f"loss/step{t}/{theirs}"]
            assert weight * terms[t][ours] == pytest.approx(value, rel=tolerance), (t, theirs)


def test_gradients_of_both_optimizers_equal_the_official_ones(official, trained):
    _, ours = trained
    compared = 0
    for net, tensors in nested(official, "grad").items():
        for name, theirs in tensors.items():
            near(ours[net][name], theirs, 1e-3, (net, name))
            compared += 1
    assert compared > 65


def test_official_weights_come_back_as_they_were(official):
    system = SinCUT(image_size=64, width=2, discriminator_width=1, features=32)
    load_official(system, nested(official, "w0"))
    for net, tensors in export_official(system).items():
        assert set(tensors) == set(nested(official, "w0")[net])
        for name, value in tensors.items():
            np.testing.assert_array_equal(value, official[f"w0/{net}/{name}"], name)


def test_tensors_that_claim_more_than_they_hold_are_refused_before_anything_is_built(official):
    networks = nested(official, "w0")
    networks["D"]["convs.0.0.weight"] = np.zeros((384, 3, 1, 1), np.float32)
    with pytest.raises(InputError, match=r"D convs\.1\.conv2\.1\.weight is .* is wanted"):
        system_of(SinCUT, networks, "D.pth", {})
    del networks["D"]["convs.2.conv1.0.weight"]
    with pytest.raises(InputError, match="without gaps: 1, 3, 4 came"):
        sincut.architecture(networks)


def count(*networks):
    return sum(int(np.prod(v.shape)) for network in networks for v in network.trainable_variables)


def test_parameter_counts_are_the_published_ones():
    system = SinCUT()
    assert count(system.gen_ab) == 3_068_404
    assert count(system.disc_b) == 5_885_473
    assert count(*system.heads) == 280_832


def blurred(x, padding):
    """[1, 3, 3, 1] / 8 along both sides of x (H, W), by NumPy's convolution."""
    x = np.pad(x, padding)
    for axis in (0, 1):
        x = np.apply_along_axis(np.convolve, axis, x, np.array([1, 3, 3, 1]) / 8, "valid")
    return x


@pytest.mark.parametrize(("padding", "strides"), [(1, 1), (2, 1), (1, 2)])
@pytest.mark.parametrize("shape", [(8, 6), (7, 9)])
def test_a_blur_equals_a_convolution_with_its_filter(padding, strides, shape):
    x = np.random.default_rng(0).normal(size=(2, *shape, 3))
    blur = equalized.Blur(padding, strides, dtype="float64")
    ours = np.asarray(blur(tf.constant(x)))
    assert blur.compute_output_shape((None, *shape, 3)) == (None, *ours.shape[1:])
    theirs = blurred(x[1, ..., 2], padding)[::strides, ::strides]
    np.testing.assert_allclose(ours[1, ..., 2], theirs, atol=1e-12)


def test_the_up_convolution_is_a_transposed_one_with_kernels_of_one_length():
    up = equalized.DemodulatedUpConv2D(2, dtype="float64")
    x = np.random.default_rng(0).normal(size=(1, 3, 4, 5))
    ours = np.asarray(up(tf.constant(x)))
    kernel = np.asarray(up.kernel)
    kernel = 4 * kernel / np.sqrt((kernel**2).sum((0, 1, 2)) + 45e-8)
    expected = np.zeros((7, 9, 2))
    for row in range(3):
        for column in range(4):
            patch = np.einsum("i,hwio->hwo", x[0, row, column], kernel)
            expected[2 * row : 2 * row + 3, 2 * column : 2 * column + 3] += patch
    np.testing.assert_allclose(ours[0], expected, atol=1e-12)


def test_r1_trains_the_discriminator_by_its_second_derivatives():
    system = SinCUT(**TINY, dtype="float64")
    system.compile()
    image = tf.random.stateless_uniform((2, 8, 8, 3), (0, 1), -1, 1, tf.float64)
    kernel = system.disc_b.get_layer("down0_conv1").kernel
    weights = system.disc_b.get_weights()
    direction = np.random.default_rng(0).normal(size=kernel.shape)

    def step(r1_weight, shift=0.0):
        """R1 before a step from the shifted weights, and the loss's slope along the shift."""
        system.disc_b.set_weights(weights)
        kernel.assign_add(shift * direction)
        system.r1_weight = r1_weight
        terms = system.discriminator_step(image, -image)
        slope = first_gradients(system)["D"]["convs.1.conv2.1.weight"]
        return float(terms["d_r1"]), np.sum(slope * to_official(direction, "conv"))

    by_differences = (step(0.0, 1e-6)[0] - step(0.0, -1e-6)[0]) / 2e-6
    added = step(10.0)[1] - step(0.0)[1]
    assert added == pytest.approx(10 / 2 * by_differences, rel=1e-5)


def test_a_translation_has_one_noise_for_all_images_and_is_clipped():
    system = SinCUT(**TINY)
    system.gen_ab.get_layer("up_noise").strength.assign(0.5)
    image = tf.random.stateless_uniform((1, 12, 10, 3), (0, 1), -1, 1)
    translator = system.network()
    alone = np.asarray(translator(image))
    twice = np.asarray(translator(tf.concat([image, image], 0)))
    np.testing.assert_array_equal(twice[0], twice[1])
    np.testing.assert_allclose(twice[:1], alone, atol=1e-6)
    noise = equalized.FixedNoise()(tf.zeros((1, 64, 48, 3)))
    unclipped = system.gen_ab([image, equalized.FixedNoise()(image)])
    np.testing.assert_allclose(alone, np.clip(unclipped, -1, 1), atol=1e-6)
    assert np.abs(unclipped).max() > 1
    assert abs(float(tf.reduce_mean(noise))) < 0.1
    assert float(tf.math.reduce_std(noise)) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    ("images", "wanted", "together", "count"),
    [(16, 1, True, 1), (1, 1, True, 2), (4, 1, False, 2), (1, 7, True, 7), (4, 3, False, 3)],
)
def test_no_patch_is_compared_with_itself_alone(images, wanted, together, count):
    system = SinCUT(**TINY)
    system.compile(patches=wanted, negatives_from_batch=together)
    maps = [tf.zeros((images, 4, 4, 2)), tf.zeros((images, 2, 4, 2))]
    assert [len(set(one.numpy())) for one in system.positions(maps, 0)] == [count, count]


def test_positions_are_a_function_of_the_step_and_differ_between_the_two_terms():
    system = SinCUT(**TINY)
    system.compile(patches=8)
    maps = [tf.zeros((2, 32, 32, 2))]
    first, again = (system.positions(maps, 0)[0].numpy() for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert set(first) != set(system.positions(maps, 1)[0].numpy())
    system.step_counter.assign_add(1)
    assert set(first) != set(system.positions(maps, 0)[0].numpy())


def test_a_double_precision_system_trains_in_double_precision():
    system = SinCUT(**TINY, dtype="float64")
    system.compile()
    image = tf.random.stateless_uniform((2, 8, 8, 3), (0, 1), -1, 1, tf.float64)
    losses = system.train_step({"a": image, "b": -image})
    assert all(np.isfinite(float(value)) for value in losses.values())
    assert all(v.dtype == "float64" for v in system.trainable_variables)
    assert system.network().output.dtype == "float64"


def test_one_tap_is_enough():
    system = SinCUT(**TINY, taps=("down",))
    system.compile(patches=2)
    image = tf.random.stateless_uniform((1, 8, 8, 3), (0, 1), -1, 1)
    assert float(system.train_step({"a": image, "b": -image})["g_nce"]) > 0


def test_taps_are_layers_of_the_encoder_by_name():
    system = SinCUT(**TINY, taps=["from_rgb", "block2"])
    assert system.taps == ("from_rgb", "block2")
    assert [head.name for head in system.heads] == ["head_from_rgb", "head_block2"]
    assert SinCUT.from_config(json.loads(json.dumps(system.get_config()))).taps == system.taps


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"image_size": 4}, "image_size=4"),
        ({"image_size": 96}, "image_size=96"),
        ({"width": 0}, "width=0"),
        ({"image_size": 512, "discriminator_width": 1}, "discriminator_width=1"),
        ({"features": 0}, "features=0"),
        ({"taps": ()}, r"taps=\(\)"),
        ({"taps": ("image", "up")}, "from_rgb, down, .* 'up'"),
        ({"taps": ("image", "image")}, "different ones"),
    ],
)
def test_impossible_architectures_are_refused_in_words(wrong, word):
    with pytest.raises(ValueError, match=word):
        SinCUT(**wrong)


@pytest.mark.parametrize(
    "wrong", [{"patches": 0}, {"temperature": 0.0}, {"gan_loss": "squares"}, {"ema_decay": 1.0}]
)
def test_impossible_numbers_of_training_are_refused_in_words(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SinCUT(**TINY).compile(**wrong)
