"""Translators with inputs besides the picture, from the graph to the file that answers."""

import functools
import hashlib
import zipfile

import keras
import numpy as np
import pytest
from inputs_stand_in import SHAPES, SIDE, StandIn, images, stand_in, values
from keras import layers, ops
from tfi2i_export.graph.equalise import equalise
from tfi2i_export.graph.fold import fold, parity_db
from tfi2i_export.graph.keras_graph import called
from tfi2i_export.inputs import LARGEST, drawn, files_by_name, fitted, read, shapes_of
from tfi2i_export.tflite.conversion import convert, convolutions
from tfi2i_export.tflite.inspection import inspect
from tfi2i_export.tflite.interpreter import TFLiteTranslator
from tfi2i_export.tflite.pictures import TFLitePictureTranslator
from tfi2i_export.tflite.quantization import quantize

from tfi2i.errors import InputError
from tfi2i.pictures.pixels import to_image, to_pixels

pytest.importorskip("ai_edge_litert")


def expected(translator, pixels, given):
    return to_pixels(np.asarray(called(translator)(to_image(pixels), **given)))


def levels(first, second):
    return int(np.abs(first.astype(int) - second).max())


@pytest.fixture(scope="module")
def translator():
    return stand_in()


@pytest.fixture(scope="module")
def folded(translator):
    return fold(translator, side=SIDE)


@pytest.fixture(scope="module")
def converted(folded):
    return convert(folded)


@pytest.fixture(scope="module")
def style():
    return values(1)["style"][0]


# the graph


@pytest.mark.parametrize("side", [SIDE, None])
def test_folding_and_equalising_are_exact_and_keep_the_inputs(translator, side):
    given, extra = images(3), values(3)
    made = fold(translator, side=side)
    assert [one.name for one in made.inputs] == ["image", "style", "label"]
    for rewritten in (made, equalise(made, given, extra)):
        decibels, level = parity_db(called(translator), called(rewritten), given, extra)
        assert decibels > 100
        assert level <= 1
    alike = np.asarray(called(translator)(given, **extra))
    for name in extra:
        other = {**extra, name: np.roll(extra[name], 1, -1)}
        assert np.abs(np.asarray(called(translator)(given, **other)) - alike).max() > 0.01


def test_equalising_measures_with_the_values_it_is_given(folded):
    given = images(2)
    one, other = (equalise(folded, given, values(2, seed)) for seed in (1, 2))
    kernels = [model.get_layer("up_conv").get_weights()[0] for model in (folded, one, other)]
    assert not np.allclose(kernels[0], kernels[1])
    assert not np.allclose(kernels[1], kernels[2])
    with pytest.raises(InputError, match=r"also takes style \(8,\), label \(5,\)"):
        equalise(folded, given)


@pytest.mark.parametrize(
    ("names", "planes_of"),
    [(("style",), "ones"), (("label",), "pixels"), (("style", "label"), "ones")],
    ids=str,
)
def test_baking_is_exact_for_several_images_too(names, planes_of):
    translator = stand_in(SIDE, planes_of)
    given, extra = images(2), values(1)
    baked = {name: extra[name] for name in names}
    rest = {name: np.repeat(extra[name], 2, 0) for name in extra if name not in names}
    made = fold(translator, side=SIDE, baked=baked)
    assert [one.name for one in made.inputs] == ["image", *rest]
    for rewritten in (made, equalise(made, given, rest)):
        decibels, level = parity_db(called(translator, extra), called(rewritten), given, rest)
        assert decibels > 100
        assert level <= 1
        together = np.asarray(called(rewritten)(given, **rest))
        alone = np.asarray(called(rewritten)(given[1:], **{k: v[1:] for k, v in rest.items()}))
        np.testing.assert_allclose(together[1:], alone, atol=1e-5)


def spread(model, given, name):
    """Of a convolution the widest input channel's range over the narrowest's."""
    ranges = np.abs(keras.Model(model.inputs[0], model.get_layer(name).input)(given)).max((0, 1, 2))
    return ranges.max() / ranges[ranges > 0].min()


def test_channels_that_a_baked_style_makes_uneven_get_even():
    translator, given, extra = stand_in(SIDE, "pixels"), images(3), values(1)
    made = fold(translator, side=SIDE, baked=extra)
    even = equalise(made, given, s_power=1.0)
    assert parity_db(called(made), called(even), given)[0] > 100
    assert spread(made, given, "block1_conv") > 3
    assert spread(even, given, "block1_conv") < 1.2


def test_what_depends_on_a_baked_style_alone_vanishes(translator, converted, style):
    made = fold(translator, side=SIDE, baked={"style": style})
    assert not [layer for layer in made.layers if isinstance(layer, layers.Dense)]
    baked = convert(made)
    whole = inspect(converted)
    assert whole.operators["FULLY_CONNECTED"] == 6
    assert (whole.partitions, whole.undelegated) == (1, {})
    assert "FULLY_CONNECTED" not in inspect(baked).operators
    assert len(baked) < len(converted) - 4 * 64 * 64  # one of the dense layers alone
    pixels, label = to_pixels(images(2)), values(2)["label"]
    given = {"style": np.stack([style] * 2), "label": label}
    answers = TFLiteTranslator(baked)(pixels, label=label)
    assert levels(answers, expected(translator, pixels, given)) <= 1


@pytest.mark.parametrize(
    ("baked", "message"),
    [
        (
            {"stile": np.zeros(8)},
            r"stand_in: There is no input 'stile'.* style \(8,\), label \(5,\)",
        ),
        ({"style": np.zeros(7)}, r"stand_in: style has the shape \(7,\); \(8,\) is needed"),
        ({"style": np.full(8, np.nan)}, "not finite"),
        ({"style": np.full(8, 1e300)}, "not finite"),
        ({"style": np.zeros(8, complex)}, "no real numbers"),
        ({"style": np.array(["a"] * 8)}, "no real numbers"),
    ],
)
def test_values_that_do_not_fit_are_refused(translator, baked, message):
    with pytest.raises(InputError, match=message):
        fold(translator, side=SIDE, baked=baked)


def test_inputs_without_name_or_shape_are_refused():
    image = keras.Input((SIDE, SIDE, 3), name="image")
    for other in (keras.Input((3,)), keras.Input((None, None, 3), name="reference")):
        output = image + ops.mean(other)
        with pytest.raises(InputError, match="a name of its own and a shape without None"):
            fold(keras.Model([image, other], output), side=SIDE)
    style = keras.Input((3,), name="style")
    by_name = keras.Model({"image": image, "style": style}, image + ops.mean(style))
    with pytest.raises(InputError, match="as a list, the picture first"):
        fold(by_name, side=SIDE)


# files


def test_a_file_takes_the_inputs_under_their_names(translator, folded):
    model = convert(folded, io="uint8")
    inside = inspect(model)
    taken, made = inside.signatures["serving_default"]
    assert {name: taken[name] for name in SHAPES} == {
        name: ("float32", shape) for name, shape in SHAPES.items()
    }
    assert (len(taken), list(made)) == (3, ["translation"])
    pixels, given = to_pixels(images(2)), values(2)
    answers = TFLiteTranslator(model)(pixels, **given)
    assert levels(answers, expected(translator, pixels, given)) <= 1


def test_files_of_free_and_several_sizes_take_them_too(translator):
    pixels, given = to_pixels(images(1, 48)), values(1)
    free = TFLiteTranslator(convert(fold(translator, side=None)), inputs=given)
    sizes = convert({(side, side): fold(translator, side=side) for side in (SIDE, 48)})
    large = TFLiteTranslator(sizes, signature="translate_48x48", inputs=given)
    for made in (free, large):
        assert made.extra == SHAPES
        assert levels(made(pixels), expected(translator, pixels, given)) <= 1
    assert free.multiple == 2


def test_a_value_is_for_all_pictures_or_for_each(converted):
    pixels, given = to_pixels(images(3)), values(3)
    made = TFLiteTranslator(converted, inputs={"style": given["style"][0]})
    answers = made(pixels, label=given["label"])
    again = made(pixels[1:2], style=given["style"][0], label=given["label"][1:2])
    np.testing.assert_array_equal(answers[1:2], again)
    assert levels(made(pixels, **given)[1:], answers[1:]) > 1


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, r"also takes label \(5,\), style \(8,\); give inputs=\{'label': array\}"),
        ({"style": np.zeros(8)}, r"also takes label \(5,\).*--input label=FILE.npy"),
        ({"code": np.zeros(8)}, "There is no input 'code'"),
        ({"label": np.zeros((2, 5))}, r"label has the shape \(2, 5\)"),
    ],
)
def test_files_refuse_what_is_missing_or_does_not_fit(converted, tmp_path, inputs, message):
    with pytest.raises(InputError, match=message):
        TFLiteTranslator(converted, inputs=inputs)(to_pixels(images(1)))
    (tmp_path / "a.tflite").write_bytes(converted)
    with pytest.raises(InputError, match=message):
        TFLitePictureTranslator(tmp_path / "a.tflite", inputs=inputs)


def test_pictures_of_any_size_are_translated_with_the_values(converted, tmp_path):
    (tmp_path / "a.tflite").write_bytes(converted)
    pixels, given = to_pixels(images(1))[0], values(1)
    made = TFLitePictureTranslator(tmp_path / "a.tflite", inputs=given)
    whole = TFLiteTranslator(converted)(pixels[None], **given)[0]
    np.testing.assert_array_equal(made(pixels), whole)
    assert made(np.tile(pixels, (2, 1, 1))).shape == (2 * SIDE, SIDE, 3)


@pytest.mark.parametrize("format", ["int8", "int8-npu"])
def test_quantised_files_keep_the_inputs_and_are_close(translator, folded, converted, format):
    shown, extra = to_pixels(images(8)), values(8)
    quantized = functools.partial(
        quantize, converted, format, layers=convolutions(folded), calibration=shown
    )
    model, _ = quantized(inputs=extra)
    assert len(model) < len(converted)
    pixels, given = to_pixels(images(2)), values(2, seed=5)
    answers = TFLiteTranslator(model)(pixels, **given)
    assert np.abs(answers.astype(int) - expected(translator, pixels, given)).mean() < 8
    if format != "int8":
        with pytest.raises(InputError, match="also takes label"):
            quantized()


def test_static_ranges_are_those_of_the_values(folded, converted):
    shown, names = to_pixels(images(8)), convolutions(folded)
    first, second, again = (
        quantize(converted, "int8-npu", layers=names, calibration=shown, inputs=values(8, seed))[0]
        for seed in (1, 2, 1)
    )
    assert first == again
    assert first != second


# values and their files


def test_a_system_draws_its_values_by_seed():
    class Plain(StandIn):
        conditions = ()

    first, again, other = values(4, 1), values(4, 1), values(4, 2)
    assert list(first) == ["style", "label"]
    assert {name: one.shape for name, one in first.items()} == {"style": (4, 8), "label": (4, 5)}
    np.testing.assert_array_equal(first["style"], again["style"])
    assert not np.allclose(first["style"], other["style"])
    assert shapes_of(StandIn().network()) == SHAPES
    assert drawn(Plain(), "a2b", {}, 4, 0) == {}
    with pytest.raises(InputError, match="Plain draws no values for its input 'style'; declare it"):
        drawn(Plain(), "a2b", SHAPES, 4, 0)


def test_files_are_named_or_name_themselves(tmp_path):
    found = files_by_name(["style=some/winter.npy", "my/label.npy", "a-b=c/latent.npy"], "--bake")
    assert {name: str(path) for name, path in found.items()} == {
        "style": "some/winter.npy",
        "label": "my/label.npy",
        "latent": "a-b=c/latent.npy",
    }
    with pytest.raises(InputError, match="gives 'style' twice"):
        files_by_name(["style.npy", "style=b.npy"], "--bake")
    with pytest.raises(InputError, match="--bake style=: give NAME=FILE.npy"):
        files_by_name(["style="], "--bake")


def test_an_array_is_read_with_its_digest(tmp_path, style):
    path = tmp_path / "style.npy"
    np.save(path, style.astype(np.float64))
    array, digest = read(path)
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    np.testing.assert_array_equal(fitted({"style": array}, SHAPES, "it")["style"], style[None])


def test_files_that_are_no_plain_arrays_are_refused(tmp_path, style):
    path = tmp_path / "style.npy"
    with pytest.raises(InputError, match="cannot be read"):
        read(path)
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path)
    np.save(path, np.array([{}], object))
    with pytest.raises(InputError, match="damaged or holds objects"):
        read(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("style.npy", b"")
    with pytest.raises(InputError, match=r"not a .npy file"):
        read(path)
    with path.open("wb") as file:
        file.truncate(LARGEST + 1)
    with pytest.raises(InputError, match="has over 67,108,864 bytes"):
        read(path)
    np.save(path, style)
    path.write_bytes(path.read_bytes().replace(b"(8,)", b"(8000000000000,)"[:4] + b"9" * 8))
    with pytest.raises(InputError, match="damaged"):
        read(path)


def test_damage_in_a_file_ends_in_a_sentence(tmp_path, style):
    path, rng = tmp_path / "style.npy", np.random.default_rng(0)
    np.save(path, style)
    content = path.read_bytes()
    refused = 0
    for _ in range(400):
        damaged = bytearray(content)
        for place in rng.integers(6, 80, rng.integers(1, 6)):  # version and header
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged[: rng.integers(60, 200)])
        try:
            read(path)
        except InputError:
            refused += 1
    assert refused > 200
