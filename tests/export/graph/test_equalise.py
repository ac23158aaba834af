"""Equalisation is exact whatever the graph, and brings the ranges of channels together."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops
from tfi2i_export.graph.equalise import equalise
from tfi2i_export.graph.fold import fold, parity_db

from tfi2i.errors import InputError
from tfi2i.models.nice_gan import NICEGAN

SAME_DB = 100  # rounding in float32 leaves about 130 after a whole translator


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(0)


def shaken(model, seed=0):
    """The model with all weights moved, and the channels of each made unequal by up to 30."""
    rng = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        noise = rng.normal(0, 0.1, variable.shape)
        spread = np.exp(rng.uniform(-1.7, 1.7, variable.shape[-1:]))
        changed = (np.asarray(variable) + noise) * spread
        # To the size it had: deep plain nets would saturate, and hide any mistake.
        size = np.linalg.norm(variable) or 1.0
        variable.assign(tf.cast(changed * size / np.linalg.norm(changed), variable.dtype))
    return model


def images(*shape, seed=1):
    return np.random.default_rng(seed).uniform(-1, 1, (*shape, 3)).astype("float32")


def spreads(model, given):
    """By convolution the widest input channel's range over the narrowest's."""
    convolutions = [layer for layer in model.layers if isinstance(layer, layers.Conv2D)]
    maps = keras.Model(model.inputs[0], [layer.input for layer in convolutions])(given)
    found = {}
    for layer, values in zip(convolutions, maps, strict=True):
        ranges = np.abs(values).max((0, 1, 2))
        found[layer.name] = ranges.max() / ranges[ranges > 0].min()  # not of dead channels
    return found


@pytest.fixture(scope="module")
def folded():
    keras.utils.set_random_seed(0)
    return shaken(fold(NICEGAN(**NICEGAN.smoke).network(), side=64))


@pytest.mark.parametrize("powers", [(1.0, 0.5), (0.0, 1.0), (0.7, 0.0)], ids=str)
def test_a_translator_stays_the_same_function(folded, powers):
    k_power, s_power = powers
    given = images(3, 64, 64)
    made = equalise(folded, given[:2], k_power=k_power, s_power=s_power)
    decibels, level = parity_db(folded, made, given)
    assert decibels > SAME_DB
    assert level <= 1
    kernels = [model.get_layer("block0_conv0").get_weights()[0] for model in (folded, made)]
    assert not np.allclose(*kernels)


@pytest.mark.parametrize("light", [True, False])
def test_free_sides_and_the_full_version_stay_the_same(light):
    translator = NICEGAN(**NICEGAN.smoke, light=light).network()
    folded = shaken(fold(translator, side=None if light else 64))
    made = equalise(folded, images(2, 64, 64))
    assert made.input_shape == folded.input_shape
    assert parity_db(folded, made, images(1, 64, 64))[0] > SAME_DB


def test_every_map_that_a_convolution_reads_gets_even(folded):
    given = images(4, 64, 64)
    before = spreads(folded, given)
    after = spreads(equalise(folded, given, s_power=1.0), given)
    assert before.keys() == after.keys()
    image, *maps = before
    assert after[image] == before[image]
    assert min(before[name] for name in maps) > 2
    # Maps on the residual stream share one vector, so these cannot all get quite even.
    assert max(after[name] for name in maps) < 2
    assert np.mean([after[name] for name in maps]) < 1.3


def test_names_and_order_stay(folded):
    made = equalise(folded, images(1, 64, 64))
    assert [layer.name for layer in made.layers] == [layer.name for layer in folded.layers]


def test_powers_of_zero_change_nothing(folded):
    made = equalise(folded, images(1, 64, 64), k_power=0, s_power=0)
    for ours, theirs in zip(folded.get_weights(), made.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def convolved(x, filters=4, **settings):
    return layers.Conv2D(filters, 3, padding="same", **settings)(x)


def beside_its_mean(x):
    mean = ops.mean(x, (1, 2), keepdims=True)
    return ops.max(convolved(ops.concatenate([x[:, :1], mean], 2)), (1, 2), keepdims=True)


ALIKE = {
    "zero padding": lambda x: layers.ZeroPadding2D(1)(x),
    "nearest pixels": lambda x: layers.UpSampling2D()(x),
    "bilinear pixels": lambda x: layers.UpSampling2D(interpolation="bilinear")(x),
    "means of neighbours": lambda x: layers.AveragePooling2D(2, 1, "same")(x),
    "filter": lambda x: layers.DepthwiseConv2D(3, use_bias=False, padding="same")(x),
    "filter and bias": lambda x: layers.DepthwiseConv2D(1, bias_initializer="ones")(x),
    "skip": lambda x: layers.Concatenate()([layers.ReLU()(convolved(x)), x]),
    "number": lambda x: x * 0.7,
}
"""Which treat all channels alike, so that a map may be divided before them."""

GRAPHS = {
    **ALIKE,
    "skip of other channels": lambda x: layers.Concatenate()([convolved(x, 6), x]),
    "constant beside a map": lambda x: ops.concatenate([x, np.ones((1, 8, 8, 4), "float32")], -1),
    "widening filter": lambda x: layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same")(x),
    "number per channel": lambda x: x * np.array([[1, 2, 3, 4]], "float32"),
    "upsampling": lambda x: layers.UpSampling2D()(x)[:, ::2, ::2],
    "transposed convolution": lambda x: layers.Conv2DTranspose(4, 1)(x),
    "depthwise convolution": lambda x: layers.DepthwiseConv2D(3, padding="same")(x),
    "grouped convolution": lambda x: convolved(x, groups=2),
    "activated convolution": lambda x: convolved(x, activation="tanh"),
    "channel concatenation": lambda x: layers.Concatenate()([x, layers.ReLU()(x)]),
    "reversed channels": lambda x: x[:, :, :, ::-1],
    "some channels": lambda x: x[..., 1:3],
    "sigmoid gate": lambda x: x * ops.sigmoid(x),
    "vector gate": lambda x: x * ops.sigmoid(ops.mean(x, (1, 2), keepdims=True)),
    "vector beside a map": lambda x: x + beside_its_mean(x),
    "square": lambda x: ops.square(x),
    "constant": lambda x: x + 0.5,
    "constant vector": lambda x: x * np.array([1, 2, 3, 4], "float32"),
    "clipped ReLU": lambda x: layers.ReLU(max_value=0.5)(x),
    "leaky ReLU": lambda x: layers.LeakyReLU(0.1)(x),
    "maximum": lambda x: layers.MaxPooling2D(1)(x),
    "means over channels": lambda x: x - ops.mean(x, -1, keepdims=True),
    "reflection": lambda x: ops.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="reflect"),
    "shuffle": lambda x: ops.depth_to_space(x, 2),
    "batch normalisation": lambda x: layers.BatchNormalization()(x, training=False),
    "flat dense": lambda x: x + layers.Reshape((1, 1, 4))(layers.Dense(4)(layers.Flatten()(x))),
    "dense map": lambda x: layers.Dense(4)(x) + x,
    "residual": lambda x: x + convolved(layers.ReLU()(x)),
}


@pytest.mark.parametrize("kind", GRAPHS)
def test_any_graph_stays_the_same_function(kind):
    image = keras.Input((8, 8, 3))
    x = GRAPHS[kind](convolved(layers.ReLU()(convolved(image))))
    x = convolved(layers.ReLU()(convolved(x)), 3)
    flat = fold(shaken(keras.Model(image, ops.tanh(x[:, :8, :8]))), side=8, retile_output=False)
    made = equalise(flat, images(2, 8, 8), k_power=0.8, s_power=1.0)
    assert parity_db(flat, made, images(3, 8, 8))[0] > SAME_DB
    assert not np.array_equal(flat.get_weights()[0], made.get_weights()[0])


@pytest.mark.parametrize("kind", ALIKE)
def test_channels_get_even_before_what_treats_them_alike(kind):
    image = keras.Input((8, 8, 3))
    x = ALIKE[kind](layers.ReLU()(convolved(image)))
    x = layers.Conv2D(3, 3, padding="same", name="last")(x)
    model = keras.Model(image, ops.tanh(x[:, :8, :8]))
    unequal = np.array([0.1, 0.5, 2, 10], "float32")
    model.layers[1].set_weights([model.layers[1].get_weights()[0] * unequal, unequal])
    given = images(3, 8, 8)
    made = equalise(model, given, s_power=1.0)
    assert spreads(made, given)["last"] < spreads(model, given)["last"] / 3


def test_an_output_that_is_a_bare_convolution_keeps_its_values():
    image = keras.Input((8, 8, 3))
    flat = shaken(keras.Model(image, convolved(layers.ReLU()(convolved(image)), 3)))
    made = equalise(flat, images(2, 8, 8))
    assert parity_db(flat, made, images(3, 8, 8))[0] > SAME_DB


def test_dead_channels_do_no_harm():
    image = keras.Input((8, 8, 3))
    flat = keras.Model(image, convolved(layers.ReLU()(convolved(image)), 3))
    kernel, bias = flat.layers[1].get_weights()
    kernel[..., 1] = 0
    flat.layers[1].set_weights([kernel, bias])
    made = equalise(flat, images(2, 8, 8), s_power=1.0)
    assert parity_db(flat, made, images(3, 8, 8))[0] > SAME_DB
    flat.layers[1].set_weights([0 * kernel, bias])
    assert np.isfinite(equalise(flat, images(2, 8, 8))(images(1, 8, 8))).all()


@pytest.mark.parametrize("shape", [(2, 32, 32), (0, 64, 64), (64, 64)], ids=str)
def test_images_that_do_not_fit_are_refused(folded, shape):
    with pytest.raises(InputError, match="images to equalise by"):
        equalise(folded, images(*shape))
