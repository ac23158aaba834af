"""Converted files compute what the folded model does, on pixels, and bad files are refused."""

import keras
import numpy as np
import pytest
import small_files
import tensorflow as tf
from keras import ops
from tfi2i_export.graph.fold import fold
from tfi2i_export.tflite.conversion import SIGNATURE, convert, convolutions, with_pixels
from tfi2i_export.tflite.inspection import inspect, operations, require_plain
from tfi2i_export.tflite.interpreter import LARGEST, TFLiteTranslator

from tfi2i.errors import InputError
from tfi2i.pictures.pixels import run_over, to_pixels
from tfi2i.terminal import quiet

pytest.importorskip("ai_edge_litert")


def shaken(model, seed=0):
    """The model with all trainable weights moved away from where they start."""
    rng = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        size = 0.3 if len(variable.shape) < 3 else 0.05
        variable.assign_add(rng.normal(0, size, variable.shape).astype("float32"))
    return model


def pixels(*shape, seed=1):
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)


def levels(first, second):
    """The largest difference of two sets of pixels."""
    return int(np.abs(first.astype(int) - second).max())


def small(function=lambda x: x, side=16):
    """A model of one convolution with `function` behind it."""
    image = keras.Input((side, side, 3))
    return keras.Model(image, function(keras.layers.Conv2D(3, 1, name="only")(image)))


@pytest.fixture(scope="module")
def translator():
    return shaken(small_files.network.__wrapped__())  # not the one that is shared


@pytest.fixture(scope="module")
def folded(translator):
    return fold(translator, side=64)


@pytest.fixture(scope="module")
def converted(folded):
    return convert(folded)


# what comes out


@pytest.mark.parametrize("io", ["float", "uint8"])
def test_a_file_for_three_pictures_makes_of_any_number_what_one_for_one_does(folded, io):
    single, three = convert(folded, io=io), convert(folded, io=io, batch=3)
    for content, number in ((single, 1), (three, 3)):
        inside = inspect(content)
        taken, made = inside.signatures[SIGNATURE]
        assert taken["image"].shape == made["translation"].shape == (number, 64, 64, 3)
        assert io == "uint8" or (inside.partitions, inside.undelegated) == (1, {})
    given = pixels(4, 64, 64)
    made = TFLiteTranslator(three)
    assert made.batch == 3
    assert levels(made(given), TFLiteTranslator(single)(given)) <= 1
    assert levels(made(given[:1]), TFLiteTranslator(single)(given[:1])) <= 1


def test_the_file_makes_the_translators_pixels(translator, converted):
    made = TFLiteTranslator(converted)
    given = pixels(2, 64, 64)
    assert (made.io, made.size, made.multiple) == ("float", (64, 64), 1)
    assert levels(made(given), run_over(translator, given)) <= 1


def test_the_whole_range_goes_in_and_comes_out():
    image = keras.Input((16, 16, 3))
    same = keras.Model(image, keras.layers.Activation("linear")(image))
    ramp = np.arange(16 * 16 * 3, dtype=np.uint8).reshape(1, 16, 16, 3)
    wide = keras.Model(image, image * 1.5)
    for io in ("float", "uint8"):
        np.testing.assert_array_equal(TFLiteTranslator(convert(same, io=io))(ramp), ramp)
        clipped = TFLiteTranslator(convert(wide, io=io))(ramp)
        assert (clipped.min(), clipped.max()) == (0, 255)


def test_uint8_is_rounded_as_pixels_are(folded):
    model = convert(folded, io="uint8")
    made = TFLiteTranslator(model)
    given = pixels(2, 64, 64)
    assert made.io == "uint8"
    assert levels(made(given), run_over(folded, given)) <= 1
    image = keras.Input((16, 16, 3))
    ties = np.linspace(0, 255, 16 * 16 * 3, dtype=np.float32).round() + np.float32(0.5)
    constant = ties.reshape(1, 16, 16, 3) / np.float32(127.5) - 1
    halves = with_pixels(keras.Model(image, image * 0 + constant), "uint8")
    found = np.asarray(halves(pixels(1, 16, 16))["translation"])
    np.testing.assert_array_equal(found, to_pixels(constant))


def test_half_precision_is_smaller_and_close():
    image = keras.Input((16, 16, 3))
    wide = keras.layers.Conv2D(64, 3, padding="same", activation="relu")(image)
    for _ in range(2):
        wide = keras.layers.Conv2D(64, 3, padding="same", activation="relu")(wide)
    model = keras.Model(image, keras.layers.Conv2D(3, 1, activation="tanh")(wide))
    full, half = convert(model), convert(model, half=True)
    given = pixels(2, 16, 16)
    assert len(half) < 0.6 * len(full)
    assert levels(TFLiteTranslator(half)(given), TFLiteTranslator(full)(given)) <= 3


def test_a_free_model_makes_a_file_for_any_size(translator):
    model = convert(fold(translator, side=None))
    made = TFLiteTranslator(model)
    assert (made.size, made.multiple) == (None, 4)
    assert inspect(model).signatures[SIGNATURE][0]["image"].shape == (1, -1, -1, 3)
    for shape in [(2, 64, 64), (1, 48, 80)]:
        given = pixels(*shape)
        assert levels(made(given), run_over(translator, given)) <= 1
    with pytest.raises(InputError, match="multiples of 4"):
        made(pixels(1, 65, 64))


def test_several_sizes_share_their_weights(translator, folded, converted):
    sizes = {(64, 64): folded, (112, 80): fold(translator, side=(112, 80))}
    model = convert(sizes)
    assert set(inspect(model).signatures) == {"translate_64x64", "translate_112x80"}
    for height, width in sizes:
        made = TFLiteTranslator(model, signature=f"translate_{height}x{width}")
        assert made.size == (height, width)
        given = pixels(1, height, width)
        assert levels(made(given), run_over(translator, given)) <= 1
    assert TFLiteTranslator(model).size == (64, 64)
    weights = sum(w.size * 4 for w in folded.get_weights())
    graph = len(converted) - weights
    assert len(model) < weights + 2.2 * graph
    with pytest.raises(
        InputError, match="no signature 'other'; it has translate_112x80, translate_64x64"
    ):
        TFLiteTranslator(model, signature="other")


# what is inside


def test_a_file_says_what_is_inside(folded, converted):
    found = inspect(converted)
    inputs, outputs = found.signatures[SIGNATURE]
    assert inputs == {"image": ("float32", (1, 64, 64, 3))}
    assert outputs == {"translation": ("float32", (1, 64, 64, 3))}
    assert found.operators["CONV_2D"] == len(convolutions(folded)) == 7
    assert (found.custom, found.partitions, found.undelegated) == ([], 1, {})


def test_what_the_delegate_leaves_is_named(translator):
    found = inspect(convert(fold(translator, side=64, pad="mirror"), io="uint8"))
    assert found.undelegated == {"MIRROR_PAD": found.operators["MIRROR_PAD"], "CAST": 2}
    assert found.partitions > 1


def test_weights_are_called_by_their_layers(folded, converted):
    weights = [o.inputs[1].name for o in operations(converted) if o.kind == "CONV_2D"]
    for layer, name in zip(convolutions(folded), weights, strict=True):
        assert f"/{layer}_" in name


def test_converting_prints_nothing(capfd):
    convert(small())
    assert capfd.readouterr() == ("", "")


def test_silence_ends_with_an_error(capfd):
    with pytest.raises(ValueError, match="inside"), quiet():
        print("hidden")
        raise ValueError("inside")
    print("seen")
    assert capfd.readouterr().out == "seen\n"


# what is refused


def test_a_file_without_its_weights_is_refused():
    model = keras.Sequential([keras.Input((8, 8, 3), batch_size=1), keras.layers.Conv2D(3, 1)])
    function = tf.function(lambda image: {"translation": model(image)})
    with quiet():
        concrete = function.get_concrete_function(tf.TensorSpec((1, 8, 8, 3), name="image"))
        garbage = tf.lite.TFLiteConverter.from_concrete_functions([concrete], model).convert()
    with pytest.raises(InputError, match=r"reads variables \(VAR_HANDLE, READ_VARIABLE\)"):
        require_plain(inspect(garbage))


def test_operations_that_litert_lacks_are_named():
    with pytest.raises(InputError, match="does not convert to .tflite: .*Erfinv"):
        convert(small(ops.erfinv))
    with quiet():
        converter = tf.lite.TFLiteConverter.from_keras_model(small(ops.erfinv))
        converter.allow_custom_ops = True
        model = converter.convert()
    found = inspect(model)
    assert found.partitions is None
    with pytest.raises(InputError, match=r"LiteRT lacks \(Erfinv\)"):
        require_plain(found)


def test_bad_arguments_are_refused(folded):
    with pytest.raises(InputError, match="io is 'int8'"):
        convert(folded, io="int8")
    with pytest.raises(InputError, match="no model"):
        convert({})
    with pytest.raises(InputError, match=r"\(64, 64\); fold it anew"):
        convert({(96, 96): folded})


def test_damaged_files_are_refused(converted, tmp_path):
    for name, content, message in [
        ("empty", b"", "not a .tflite file"),
        ("foreign", b"\x89PNG" * 100, "not a .tflite file"),
        ("short", converted[: len(converted) // 2], "damaged"),
        ("noise", converted[:8] + pixels(2000).tobytes(), "damaged"),
    ]:
        path = tmp_path / f"{name}.tflite"
        path.write_bytes(content)
        with pytest.raises(InputError, match=f"{name}.tflite is {message}"):
            TFLiteTranslator(path)
        with pytest.raises(InputError, match=message):
            inspect(content)
    with pytest.raises(InputError, match="cannot be read"):
        TFLiteTranslator(tmp_path / "absent.tflite")
    with (tmp_path / "huge.tflite").open("wb") as file:
        file.truncate(LARGEST + 1)  # takes no room on the disk
    with pytest.raises(InputError, match="has over 1,073,741,824 bytes"):
        TFLiteTranslator(tmp_path / "huge.tflite")


def test_files_that_are_no_translators_are_refused():
    with quiet():
        foreign = tf.lite.TFLiteConverter.from_keras_model(small()).convert()
    with pytest.raises(InputError, match="makes translation of image"):
        TFLiteTranslator(foreign)
    image = keras.Input((8,), batch_size=1, name="image")
    flat = keras.Model(image, {"translation": keras.layers.Dense(8)(image)})
    with quiet():
        vectors = tf.lite.TFLiteConverter.from_keras_model(flat).convert()
    with pytest.raises(InputError, match=r"has a float32 tensor \(1, 8\)"):
        TFLiteTranslator(vectors)


def test_a_file_that_gives_no_numbers_is_refused():
    image = keras.Input((16, 16, 3), batch_size=1, name="image")
    nowhere = keras.Model(image, {"translation": image / (image * 0.0)})
    with quiet():
        made = TFLiteTranslator(tf.lite.TFLiteConverter.from_keras_model(nowhere).convert())
    with pytest.raises(InputError, match="fails on pictures of 16 x 16"):
        made(pixels(1, 16, 16))


def test_pictures_that_do_not_fit_are_refused(converted):
    made = TFLiteTranslator(converted, threads=1)
    for given in [pixels(64, 64), pixels(1, 64, 64).astype("float32"), pixels(1, 64, 64)[..., :1]]:
        with pytest.raises(InputError, match="takes uint8 pictures"):
            made(given)
    with pytest.raises(InputError, match="takes pictures of 64 x 64, not 64 x 32"):
        made(pixels(1, 64, 32))
    with pytest.raises(InputError, match="threads is 0"):
        TFLiteTranslator(converted, threads=0)
    assert made(pixels(0, 64, 64)).shape == (0, 64, 64, 3)
