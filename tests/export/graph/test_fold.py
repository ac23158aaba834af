"""Folding is exact: each rule alone, and whole translators, nothing at its initial value."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops
from tfi2i_export.graph.fold import FoldError, fold, in_float32, parity_db
from tfi2i_export.graph.rules.layers import CONCATENATED, rules

from tfi2i.errors import InputError
from tfi2i.layers.convolution import (
    BilinearUp,
    BlurDown,
    LeakyReLU,
    PixelShuffle,
    ReflectionPad2D,
    TransposedConv2D,
)
from tfi2i.layers.dropout import Dropout
from tfi2i.layers.layer_normalization import LayerNormalization
from tfi2i.layers.normalization import (
    LIN,
    AdaLIN,
    BatchNormalization,
    InstanceNormalization,
    PerImage,
)
from tfi2i.layers.spectral import SpectralConv2D, SpectralDense
from tfi2i.layers.stylegan2 import (
    Blur,
    DemodulatedUpConv2D,
    EqualizedConv2D,
    FixedNoise,
    NoiseAndBias,
    ResidualSum,
    ScaledLeakyReLU,
)
from tfi2i.models.nice_gan import NICEGAN, ResidualAttention
from tfi2i.models.ugatit import ClassActivationMap

SAME_DB = 100  # rounding in float32 leaves about 130 after a whole translator


def shaken(model, seed=0):
    """The model with all trainable weights moved away from where they start."""
    rng = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        size = 0.3 if len(variable.shape) < 3 else 0.05
        noise = rng.normal(0, size, variable.shape).astype("float32")
        variable.assign_add(tf.cast(noise, variable.dtype))
    return model


def images(*shape, seed=1):
    return np.random.default_rng(seed).uniform(-1, 1, (*shape, 3)).astype("float32")


@pytest.fixture(scope="module")
def system():
    return NICEGAN(**NICEGAN.smoke)


@pytest.fixture(scope="module")
def translator(system):
    return shaken(system.network("a2b"))


@pytest.fixture(scope="module")
def folded(translator):
    return fold(translator, side=64)


# the rules

keras.utils.set_random_seed(0)  # some initializers draw their seeds when a layer is made
PADS = ("slice", "mirror")
MAP, FREE, VECTOR = (6, 10, 8), (None, None, 8), (8,)
LAYERS = {
    "LIN": (LIN(), [MAP]),
    "AdaLIN": (AdaLIN(), [MAP, VECTOR, VECTOR]),
    "free LIN": (LIN(), [FREE]),
    "clipped LIN": (LIN("clip"), [MAP]),
    "clipped AdaLIN": (AdaLIN("clip"), [MAP, VECTOR, VECTOR]),
    "LayerNormalization": (LayerNormalization(), [MAP]),
    "LayerNormalization by the deviation": (LayerNormalization("deviation"), [MAP]),
    "free LayerNormalization by the deviation": (LayerNormalization("deviation"), [FREE]),
    "InstanceNormalization": (InstanceNormalization(), [MAP]),
    "BatchNormalization of a picture": (BatchNormalization(spread=0.5), [MAP]),
    "BatchNormalization by averages": (BatchNormalization("moving", spread=0.5), [MAP]),
    "Dropout": (Dropout(0.5), [MAP]),
    "SpectralConv2D": (SpectralConv2D(5, 4, 2), [MAP]),
    "SpectralConv2D without bias": (SpectralConv2D(5, 3, use_bias=False), [MAP]),
    "SpectralDense": (SpectralDense(3), [VECTOR]),
    "SpectralDense without bias": (SpectralDense(3, use_bias=False), [VECTOR]),
    "TransposedConv2D of 3": (TransposedConv2D(5, 3), [MAP]),
    "TransposedConv2D of 4": (TransposedConv2D(5, 4), [MAP]),
    "free TransposedConv2D of 3": (TransposedConv2D(5, 3, use_bias=False), [FREE]),
    "free TransposedConv2D of 4": (TransposedConv2D(5, 4, use_bias=False), [FREE]),
    "UpSampling2D": (layers.UpSampling2D(), [FREE]),
    "UpSampling2D by 8": (layers.UpSampling2D(8), [MAP]),
    "UpSampling2D by 6": (layers.UpSampling2D(6), [MAP]),
    "UpSampling2D of a kind that no system has": (layers.UpSampling2D((3, 1)), [MAP]),
    "Flatten": (layers.Flatten(), [MAP]),
    "Reshape": (layers.Reshape((12, -1)), [MAP]),
    "BilinearUp": (BilinearUp(), [MAP]),
    "free BilinearUp": (BilinearUp(), [FREE]),
    "ResidualAttention": (ResidualAttention(), [MAP]),
    "ClassActivationMap": (ClassActivationMap(), [MAP]),
    "ClassActivationMap of a discriminator": (ClassActivationMap(spectral=True), [MAP]),
    "EqualizedConv2D": (EqualizedConv2D(5, 3, padding="same"), [MAP]),
    "EqualizedConv2D without bias": (EqualizedConv2D(5, 3, 2, use_bias=False), [MAP]),
    "DemodulatedUpConv2D": (DemodulatedUpConv2D(5), [MAP]),
    "free DemodulatedUpConv2D": (DemodulatedUpConv2D(5), [FREE]),
    "Blur": (Blur(1), [MAP]),
    "Blur with strides": (Blur(2, 2), [MAP]),
    "ScaledLeakyReLU": (ScaledLeakyReLU(), [MAP]),
    "ResidualSum": (ResidualSum(), [MAP, MAP]),
    "NoiseAndBias": (NoiseAndBias(), [MAP, (6, 10, 1)]),
    "LeakyReLU": (LeakyReLU(0.1), [MAP]),
    "PixelShuffle": (PixelShuffle(2), [MAP]),
    "PerImage": (PerImage(), [VECTOR]),
    **{f"{pad} by {p}": (ReflectionPad2D(p), [MAP]) for pad in PADS for p in (1, 3, 5)},
    **{f"{pad} BlurDown": (BlurDown(), [(7, 10, 8)]) for pad in PADS},
}


@pytest.mark.parametrize("case", LAYERS)
def test_every_rule_is_exact(case):
    layer, shapes = LAYERS[case]
    keras.utils.set_random_seed(0)  # its weights are made at the first call
    rng = np.random.default_rng(0)
    given = [
        rng.normal(0.5, 2, (2, *(s or 6 for s in shape))).astype("float32") for shape in shapes
    ]
    inputs = [keras.Input(shape) for shape in shapes]
    as_list = isinstance(layer, (ResidualSum, NoiseAndBias))
    layer(*([given] if as_list else given))
    shaken(layer)
    if isinstance(layer, BatchNormalization):
        layer(given[0], training=True)  # moves the averages
    expected = np.asarray(keras.tree.flatten(layer(*([given] if as_list else given)))[0])
    rule = rules("mirror" if "mirror" in case else "slice")[type(layer)]
    output = keras.tree.flatten(rule(layer, "layer", *([inputs] if as_list else inputs)))[0]
    error = np.abs(keras.Model(inputs, output)(given) - expected).max()
    assert error < 2e-6 * np.abs(expected).max()


def test_there_is_a_case_for_every_rule():
    assert {type(layer) for layer, _ in LAYERS.values()} == {*rules("slice")} - {FixedNoise}


def test_noise_becomes_a_constant_of_a_known_size():
    rule, layer = rules("slice")[FixedNoise], FixedNoise()
    made = rule(layer, "noise", keras.Input((6, 10, 3)))
    np.testing.assert_array_equal(made, layer(np.zeros((1, 6, 10, 3), "float32")))
    with pytest.raises(InputError, match="leave out --dynamic"):
        rule(layer, "noise", keras.Input((None, 10, 3)))


def test_unused_noise_is_left_out():
    layer, shape = NoiseAndBias(), (6, 10, 8)
    x = keras.Input(shape)
    layer([x, keras.Input((6, 10, 1))])
    layer.bias.assign(np.arange(8))
    output = rules("slice")[NoiseAndBias](layer, "noise", [x, np.ones((1, 6, 10, 1))])
    assert np.ptp(keras.Model(x, output)(np.zeros((1, *shape))), axis=(0, 1, 2)).max() == 0


@pytest.mark.parametrize("side", [8, None])
def test_a_convolution_of_nearest_pixels_computes_at_the_smaller_size(side):
    image = keras.Input((side, side, 3))
    x = layers.MaxPooling2D()(layers.Conv2D(4, 3, padding="same")(image))
    x = ReflectionPad2D(1)(layers.UpSampling2D()(x))
    model = shaken(keras.Model(image, layers.Conv2D(3, 3, name="up", bias_initializer="ones")(x)))
    made = fold(model, side=side, retile_output=False)
    assert made.get_layer("up").kernel.shape == (2, 2, 4, 12)
    assert parity_db(model, made, images(2, 8, 8))[0] > SAME_DB


def test_nearest_pixels_that_others_read_too_stay():
    image = keras.Input((8, 8, 3))
    up = layers.UpSampling2D()(layers.MaxPooling2D()(image))
    x = layers.Conv2D(3, 3, name="up")(ReflectionPad2D(1)(up)) + up
    model = shaken(keras.Model(image, x))
    made = fold(model, side=8, retile_output=False)
    assert made.get_layer("up").kernel.shape == (3, 3, 3, 3)
    assert parity_db(model, made, images(2, 8, 8))[0] > SAME_DB


def test_concatenations_stay_short_enough_for_xnnpack():
    x = keras.Input((20, 20, 2))
    padded = rules("slice")[ReflectionPad2D](ReflectionPad2D(9), "pad", x)
    given = np.random.default_rng(0).normal(size=(1, 20, 20, 2)).astype("float32")
    model = keras.Model(x, padded)
    np.testing.assert_array_equal(model(given), ReflectionPad2D(9)(given))
    sizes = [len(op.input) for op in model.operations if type(op).__name__ == "Concatenate"]
    assert max(sizes) <= CONCATENATED


# the whole


@pytest.mark.parametrize("pad", PADS)
@pytest.mark.parametrize("side", [64, (48, 80), None], ids=str)
def test_the_folded_translator_is_the_same_function(translator, side, pad):
    made = fold(translator, side=side, pad=pad)
    height, width = (64, 64) if side == 64 else (48, 80)
    given = images(2, height, width)
    decibels, level = parity_db(translator, made, given)
    assert decibels > SAME_DB
    assert level <= 1
    assert made.output_shape == made.input_shape


def test_the_full_version_folds_too():
    translator = shaken(NICEGAN(**NICEGAN.smoke, light=False).network("b2a"))
    decibels, _ = parity_db(translator, fold(translator, side=64), images(1, 64, 64))
    assert decibels > SAME_DB
    for side in (None, 96):
        with pytest.raises(InputError, match="takes images of 64 x 64 x 3"):
            fold(translator, side=side)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_folds_to_float32(policy):
    translator = shaken(NICEGAN(**NICEGAN.smoke, dtype=policy).network())
    made = fold(translator, side=64)
    assert {layer.compute_dtype for layer in made.layers} == {"float32"}
    reference = in_float32(translator)
    given = images(1, 64, 64)
    assert parity_db(reference, made, given)[0] > SAME_DB
    assert parity_db(reference, translator, given)[0] < SAME_DB


def test_the_graph_is_flat_and_made_of_keras_layers_alone(folded):
    for layer in folded.layers:
        assert getattr(layers, type(layer).__name__) is type(layer), layer.name
    convolutions = [layer for layer in folded.layers if isinstance(layer, layers.Conv2D)]
    assert len(convolutions) == 2 + 1 + 1 + 2 + 4 + 1  # encoder, attention, in, block, up, out


def test_a_saved_graph_needs_nothing_of_tfi2i(folded, tmp_path):
    folded.save(tmp_path / "folded.keras")
    again = keras.saving.load_model(tmp_path / "folded.keras", custom_objects={})
    assert "tfi2i" not in again.to_json()
    given = images(1, 64, 64)
    np.testing.assert_array_equal(again(given), folded(given))


def test_names_depend_on_nothing_but_the_architecture(system, folded):
    names = [layer.name for layer in folded.layers]
    again = fold(NICEGAN(**NICEGAN.smoke).network("b2a"), side=96)
    assert [layer.name for layer in again.layers] == names
    assert {
        *("enc_conv0", "enc_conv1", "enc_attention", "conv0", "block0_conv0", "block0_conv1"),
        *("up0_conv", "up0_subpixel", "up1_conv", "up1_subpixel", "to_rgb", "gamma", "beta"),
    } <= set(names)


def test_the_translator_keeps_its_weights_and_shares_none(system):
    translator = system.network("b2a")
    before = translator.get_weights()
    made = fold(translator, side=64)
    made.set_weights([np.zeros_like(w) for w in made.get_weights()])
    for ours, theirs in zip(before, translator.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_an_image_model_of_plain_layers_and_operations_folds():
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(image)
    x = layers.Concatenate()([layers.ReLU()(x), layers.UpSampling2D()(x[:, ::2, ::2])])
    x = layers.Conv2D(3, 1)(x) * layers.GlobalAveragePooling2D(keepdims=True)(image)
    x = layers.BatchNormalization()(layers.Dropout(0.5)(x), training=False)
    model = shaken(keras.Model(image, ops.tanh(layers.Add()([x, x]))))
    assert parity_db(model, fold(model, side=8), images(2, 8, 8))[0] > SAME_DB


# the output convolution


def test_the_output_convolution_makes_four_pixels_at_once(translator, folded):
    plain = fold(translator, side=64, retile_output=False)
    assert plain.get_layer("to_rgb").kernel.shape == (7, 7, 4, 3)
    assert folded.get_layer("to_rgb").kernel.shape == (8, 8, 4, 12)
    assert parity_db(plain, folded, images(2, 64, 64))[0] > SAME_DB


@pytest.mark.parametrize(
    ("filters", "strides", "side"), [(3, 1, 64), (3, 1, 65), (8, 1, 64), (3, 1, None)], ids=str
)
def test_only_narrow_convolutions_of_even_outputs_are_retiled(filters, strides, side):
    image = keras.Input((side, side, 3))
    x = layers.Conv2D(filters, 5, strides, use_bias=True, name="out")(ReflectionPad2D(2)(image))
    x = layers.Activation("tanh")(x if filters == 3 else x[..., :3])
    model = shaken(keras.Model(image, x))
    made = fold(model, side=side)
    retiled = made.get_layer("out").kernel.shape[0] == 6
    assert retiled == (filters == 3 and side == 64)
    given = images(2, side or 63, side or 63)
    assert parity_db(model, made, given)[0] > SAME_DB


# what cannot be folded


class Doubled(layers.Layer):
    def call(self, x):
        return 2 * x


def model_of(layer):
    image = keras.Input((8, 8, 3))
    return keras.Model(image, layer(image))


def test_a_layer_without_a_rule_is_named():
    with pytest.raises(FoldError, match=r"stranger is a layer of class Doubled, .*RULES"):
        fold(model_of(Doubled(name="stranger")), side=8)
    with pytest.raises(FoldError, match="of class Lambda"):
        fold(model_of(layers.Lambda(lambda x: 2 * x)), side=8)


def test_an_output_for_training_cannot_be_used():
    image = keras.Input((8, 8, 3))
    code, logit = ResidualAttention()(image)
    with pytest.raises(FoldError, match="only there for training"):
        fold(keras.Model(image, code * layers.Reshape((1, 1, 1))(logit)), side=8)


@pytest.mark.parametrize(
    ("side", "message"),
    [(66, "64 x 64 x 3 of 66 x 66 x 3"), ((64, 4), "larger side"), (0, "larger side")],
)
def test_sides_that_do_not_fit_are_refused(translator, side, message):
    with pytest.raises(InputError, match=message):
        fold(translator, side=side)


def test_a_map_without_variance_is_refused():
    image = keras.Input((None, None, 3))
    with pytest.raises(InputError, match="one pixel"):
        fold(keras.Model(image, LIN()(image)), side=1)


def test_what_is_no_translator_is_refused(system):
    with pytest.raises(InputError, match="functional"):
        fold(system, side=64)
    with pytest.raises(InputError, match="2 outputs"):
        fold(system.enc_a, side=64)


# the measure


def test_parity_is_the_worst_pictures():
    given = images(3, 8, 8) / 2

    def worse(x):
        return x + 0.01 if x is not given and np.array_equal(x[0], given[1]) else x

    assert parity_db(lambda x: x, lambda x: x, given) == (np.inf, 0)
    decibels, level = parity_db(lambda x: x, worse, given)
    assert decibels == pytest.approx(10 * np.log10(4 / 0.01**2), abs=0.01)
    assert level == 2


# the point of it


def test_it_converts_into_one_partition(folded):
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    image = keras.Input((64, 64, 3), batch_size=1, name="image")
    named = keras.Model(image, {"stylized": folded(image)})
    converted = tf.lite.TFLiteConverter.from_keras_model(named).convert()
    interpreter = litert.Interpreter(model_content=converted, num_threads=1)
    interpreter.allocate_tensors()
    kinds = [op["op_name"] for op in interpreter._get_ops_details()]
    assert kinds.count("DELEGATE") == 1
    assert not {"MIRROR_PAD", "VAR_HANDLE", "READ_VARIABLE"} & set(kinds)

    def run(given):
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], given)
        interpreter.invoke()
        return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])

    assert parity_db(folded, run, images(2, 64, 64))[0] > SAME_DB
