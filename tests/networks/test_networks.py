"""The networks that systems share, against the official code's numbers."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfi2i.networks.discriminators import patch_discriminator
from tfi2i.networks.generators import resnet_generator
from tfi2i.official.cyclegan import layers, patch_names, resnet_names
from tfi2i.official.weights import from_official

FIXTURES = Path(__file__).parents[1] / "fixtures"


def fixture(name):
    with np.load(FIXTURES / f"{name}.npz") as file:
        return {key: file[key] for key in file.files}


def normal():
    return keras.initializers.RandomNormal(stddev=0.02)


def load(network, names, official):
    for name, (variable, layout) in layers(network, names).items():
        variable.assign(from_official(official[f"w/{name}"], layout))


def channels_last(array):
    return array.transpose(0, 2, 3, 1)


def near(ours, theirs, what):
    np.testing.assert_allclose(ours, theirs, atol=1e-4, rtol=0, err_msg=what)


def tapped(network, named, image):
    """{key: output} of the named layers."""
    outputs = {key: network.get_layer(name).output for key, name in named.items()}
    return {key: np.asarray(x) for key, x in keras.Model(network.input, outputs)(image).items()}


GENERATOR_LAYERS = {
    **{"01": "conv0", "02": "conv0_norm", "04": "down0", "05": "down0_norm", "07": "down1"},
    **{"08": "down1_norm", "10": "block0", "11": "block1", "12": "up0", "13": "up0_norm"},
    **{"15": "up1", "16": "up1_norm", "19": "to_rgb", "20": "translation"},
}


def test_every_stage_of_the_resnet_generator_equals_the_official_one():
    official = fixture("cyclegan_generator")
    generator = resnet_generator(8, 2, "generator", normal)
    load(generator, resnet_names(2, antialias=False), official)
    image = tf.constant(channels_last(official["input"]))
    for key, ours in tapped(generator, GENERATOR_LAYERS, image).items():
        near(ours.mean((1, 2)), official[f"act_chan_mean/{key}"], f"mean of {key}")
        near(ours.var((1, 2)), official[f"act_chan_var/{key}"], f"variance of {key}")
        for name in official:
            if name.startswith(f"act_corner/{key}"):
                near(ours[:, :16, :16], channels_last(official[name]), name)
    near(generator(image), channels_last(official["output"]), "output")


def test_every_stage_of_the_patch_discriminator_equals_the_official_one():
    official = fixture("patchgan_discriminator")
    discriminator = patch_discriminator(8, 3, "discriminator", normal)
    load(discriminator, patch_names(3, antialias=False), official)
    image = tf.constant(channels_last(official["input"]))
    named = {"00": "conv0", "02": "conv1", "05": "conv2", "08": "conv3"}
    for key, ours in tapped(discriminator, named, image).items():
        near(ours[:, :16, :16], channels_last(official[f"act_corner/{key}_Conv2d"]), key)
    near(discriminator(image), channels_last(official["output"]), "output")


@pytest.mark.parametrize(("blocks", "count"), [(9, 11_378_179), (6, 7_837_699)])
def test_resnet_generators_have_the_published_sizes(blocks, count):
    generator = resnet_generator(64, blocks, "generator", keras.initializers.Zeros)
    assert generator.count_params() == count
    assert generator.compute_output_shape((1, 256, 256, 3)) == (1, 256, 256, 3)


@pytest.mark.parametrize(
    ("depth", "count", "side"),
    [
        (1, 136_385, 126),
        (2, 662_977, 62),
        (3, 2_764_737, 30),
        (4, 6_959_553, 14),
        (5, 11_154_369, 6),
    ],
)
def test_patch_discriminators_have_the_published_sizes(depth, count, side):
    network = patch_discriminator(64, depth, "network", keras.initializers.Zeros)
    assert network.count_params() == count
    assert network.compute_output_shape((1, 256, 256, 3)) == (1, side, side, 1)


def test_a_patch_sees_seventy_pixels():
    network = patch_discriminator(4, 3, "network", normal)
    # Instance normalisation sees the whole image: without it, only convolutions are left.
    convolved = _without_normalisation(network)
    image = tf.Variable(tf.random.stateless_normal((1, 256, 256, 3), (1, 2)))
    with tf.GradientTape() as tape:
        logit = convolved(image)[0, 15, 15, 0]
    rows = np.any(np.asarray(tape.gradient(logit, image))[0], axis=(1, 2))
    assert rows.sum() == 70


def _without_normalisation(network):
    def plain(layer, *args, **kwargs):
        return args[0] if layer.name.endswith("_norm") else layer(*args, **kwargs)

    return keras.models.clone_model(network, call_function=plain)
