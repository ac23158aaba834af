"""Each system at its smallest: rewriting is exact, and LiteRT runs it whole on the processor."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from tfi2i_export import onnx_files
from tfi2i_export.exporting import EXACT_DB, EXACT_LEVELS
from tfi2i_export.graph.equalise import equalise
from tfi2i_export.graph.fold import fold, parity_db
from tfi2i_export.graph.keras_graph import called
from tfi2i_export.inputs import shapes_of
from tfi2i_export.tflite.conversion import convert, convolutions
from tfi2i_export.tflite.inspection import inspect
from tfi2i_export.tflite.interpreter import TFLiteTranslator
from tfi2i_export.tflite.quantization import quantize

from tfi2i.models import ALL
from tfi2i.models.cyclegan import CycleGAN
from tfi2i.models.nice_gan import NICEGAN
from tfi2i.models.pix2pix import Pix2Pix
from tfi2i.models.stargan import StarGAN
from tfi2i.models.ugatit import UGATIT
from tfi2i.pictures.pixels import to_image, to_pixels
from tfi2i.terminal import quiet

SYSTEMS = {
    **{name: (system, system.smoke) for name, system in ALL.items()},
    "NICEGAN in full": (NICEGAN, {**NICEGAN.smoke, "light": False}),
    "NICEGAN of nearest pixels": (NICEGAN, {**NICEGAN.smoke, "upsampling": "nearest"}),
    "UGATIT in full": (UGATIT, {**UGATIT.smoke, "light": False}),
    "CycleGAN with a U-Net": (CycleGAN, {**CycleGAN.smoke, "generator": "unet", "unet_levels": 4}),
    "Pix2Pix with averages": (Pix2Pix, {**Pix2Pix.smoke, "statistics": "moving"}),
    "StarGAN of domains": (StarGAN, {**StarGAN.smoke, "domains": ("a", "b"), "exclusive": True}),
}


@functools.cache
def translator(name):
    """The translator with all its weights moved away from where they start, unequally."""
    keras.utils.set_random_seed(1)
    system, settings = SYSTEMS[name]
    model = system(**settings).network()
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        value = np.asarray(variable, np.float32)
        spread = np.exp(rng.uniform(-0.7, 0.7, value.shape[-1:]))
        noise = rng.normal(0, max(value.std(), 0.05), value.shape)
        variable.assign(tf.cast((value + noise) / np.sqrt(2) * spread, variable.dtype))
    return model


def values(name, number=1):
    """Values of what the translator takes besides the picture, such as a style."""
    shapes = shapes_of(translator(name)).items()
    rng = np.random.default_rng(4)
    rows = {key: rng.normal(size=shape).astype("float32") for key, shape in shapes}
    return {key: np.repeat(row, number, 0) for key, row in rows.items()}


def reference(name, given):
    """The translator's own answers, by those values."""
    return called(translator(name), values(name, len(given)))(given)


@functools.cache
def folded(name):
    return fold(translator(name), side=SYSTEMS[name][1]["image_size"], baked=values(name))


def images(name, number):
    side = SYSTEMS[name][1]["image_size"]
    return np.random.default_rng(3).uniform(-1, 1, (number, side, side, 3)).astype("float32")


@pytest.mark.parametrize("name", SYSTEMS)
def test_rewriting_is_exact(name):
    given = images(name, 2)
    assert given.std() > 0.1
    assert np.std(reference(name, given)) > 0.02
    made = [folded(name), equalise(folded(name), given)]
    rewritten = [(lambda image: reference(name, image), one, {}) for one in made]
    if values(name):  # open as well
        model = fold(translator(name), side=given.shape[1])
        rewritten.append((called(translator(name)), called(model), values(name, 2)))
    for own, other, extra in rewritten:
        decibels, levels = parity_db(own, other, given, extra)
        assert decibels >= EXACT_DB
        assert levels <= EXACT_LEVELS


@functools.cache
def files(name):
    """The translator's .tflite files, in float and in 8 bits."""
    model = convert(folded(name))
    return model, quantize(model, "int8", layers=convolutions(folded(name)))[0]


def by_litert(content, pixels):
    """What an app gets that knows nothing of tfi2i."""
    with quiet():
        interpreter = Interpreter(model_content=content)
        given, made = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
        interpreter.resize_tensor_input(given["index"], pixels.shape)
        interpreter.allocate_tensors()
    interpreter.set_tensor(given["index"], pixels.astype("float32"))
    interpreter.invoke()
    return interpreter.get_tensor(made["index"])


@pytest.mark.often("NICEGAN", "SinCUT")
@pytest.mark.parametrize("name", SYSTEMS)
def test_four_pictures_at_a_time_are_what_four_calls_make(name):
    given = to_pixels(images(name, 4))
    for content in files(name):
        singles = np.concatenate([by_litert(content, given[i : i + 1]) for i in range(4)])
        assert singles.std() > 1
        np.testing.assert_allclose(by_litert(content, given), singles, atol=1e-3)


@pytest.mark.often("NICEGAN", "SinCUT")
@pytest.mark.parametrize("name", ALL)
def test_an_onnx_file_answers_alike(name):
    given = to_pixels(images(name, 2))
    side = given.shape[1]
    mirrored = {"pad": "mirror", "retile_output": False}
    graph = fold(translator(name), side=side, baked=values(name), **mirrored)
    made = onnx_files.convert(graph)(given)
    expected = to_pixels(reference(name, to_image(given)))
    assert np.abs(made.astype(int) - expected).max() <= EXACT_LEVELS


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_file_is_one_partition_and_answers_alike(name):
    model, small = files(name)
    for content in (model, small):
        inside = inspect(content)
        assert (inside.partitions, inside.undelegated, inside.custom) == (1, {}, [])
    given = to_pixels(images(name, 2))
    expected = to_pixels(reference(name, to_image(given)))
    difference = np.abs(TFLiteTranslator(model)(given).astype(int) - expected)
    assert difference.max() <= EXACT_LEVELS
    assert np.abs(TFLiteTranslator(small)(given).astype(int) - expected).mean() < 10
