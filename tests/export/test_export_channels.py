"""Artefacts of networks from grey to colour, to alpha and back: files, servers, sidecars."""

import io

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tfi2i_export.agreement import agreement
from tfi2i_export.choice import Choice
from tfi2i_export.exporting import _check_channels
from tfi2i_export.graph.fold import fold
from tfi2i_export.saved_model.writing import SavedTranslator, answering_files
from tfi2i_export.serving.pictures import picture_in
from tfi2i_export.signatures import of_file, of_saved_model
from tfi2i_export.tflite.conversion import convert
from tfi2i_export.tflite.interpreter import TFLiteTranslator

from tfi2i.errors import InputError
from tfi2i.models import ALL
from tfi2i.pictures.channels import in_channels
from tfi2i.pictures.depth import Ranges
from tfi2i.pictures.folders import translate_files
from tfi2i.pictures.pixels import run_over
from tfi2i.pictures.tiles import PictureTranslator

DOMAINS = {"source": "a", "target": "b"}
COLOURS = {1: "GRAYSCALE", 2: "GRAYSCALE_ALPHA", 3: "RGB", 4: "RGBA"}
PAIRS = [(1, 3), (3, 1), (4, 2)]


def network(taken, made):
    """Each pixel for itself, from some channels to others."""
    keras.utils.set_random_seed(5)
    image = keras.Input((None, None, taken), name="image")
    x = keras.layers.Conv2D(4, 1, activation="tanh", name="hidden")(image)
    x = keras.layers.Conv2D(made, 1, activation="tanh", name="to_rgb")(x)
    return keras.Model(image, x, name="points")


def some(channels, height=32, width=48):
    return np.random.default_rng(channels).integers(0, 256, (2, height, width, channels), np.uint8)


@pytest.mark.parametrize(("taken", "made"), PAIRS)
@pytest.mark.parametrize("io", ["float", "uint8"])
def test_a_file_takes_and_gives_the_channels_of_its_domains(taken, made, io):
    folded = fold(network(taken, made), side=(32, 48))
    content = convert(folded, io=io)
    translator = TFLiteTranslator(content)
    assert (translator.channels, translator.size) == ((taken, made), (32, 48))
    expected = run_over(network(taken, made), some(taken))
    found = translator(some(taken))
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert agreement(expected, found, "float32").passed
    assert len(agreement(expected, found, "float32").bias) == made
    with pytest.raises(InputError, match=rf"\(N, H, W, {taken}\)"):
        translator(some(3 if taken != 3 else 1))
    (signature,) = of_file(content, DOMAINS)
    assert signature.inputs[0].colour == COLOURS[taken]
    assert signature.outputs[0].colour == COLOURS[made]
    assert signature.outputs[0].shape == (1, 32, 48, made)


@pytest.mark.parametrize(("taken", "made"), PAIRS)
def test_big_pictures_are_tiled_in_any_channels(taken, made):
    pixels = some(taken, 100, 70)[0]
    whole = run_over(network(taken, made), pixels[None])[0]
    tiled = PictureTranslator(network(taken, made), tile=32)(pixels)
    assert np.abs(tiled.astype(int) - whole).max() <= 1


@pytest.mark.parametrize(("taken", "made"), [(1, 3), (3, 1), (1, 1), (3, 4), (4, 2), (2, 4)])
@pytest.mark.parametrize("side", [None, (32, 48)])
def test_a_server_answers_with_a_png_file_of_the_targets_channels(taken, made, side):
    folded = fold(network(taken, made), side=side)
    pixels = some(3)[0]
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    given = tf.constant([file.getvalue()])
    answer = answering_files(folded)(given)["image_bytes"].numpy()[0]
    expected = SavedTranslator(folded)(in_channels(pixels, taken)[None])[0]
    found = picture_in(answer, expected.shape)
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).max() <= 1
    files, tensors = of_saved_model(folded, DOMAINS, tensor_only=False)
    assert (tensors.inputs[0].colour, tensors.outputs[0].colour) == (COLOURS[taken], COLOURS[made])
    assert tensors.outputs[0].shape[-1] == made
    assert files.outputs[0].colour is None


RANGES = [(None, None), ((0, 4095), (0, 1000)), ((100, 4000), (0, 200)), ((0, 4095), (-1, 1))]


@pytest.mark.parametrize(("taken", "made"), [(1, 1), (3, 3), (1, 4), (4, 2)])
@pytest.mark.parametrize("ranges", [Ranges(*pair) for pair in RANGES], ids=str)
def test_a_server_makes_the_files_that_translate_makes(tmp_path, taken, made, ranges):
    numbers = np.random.default_rng(0).integers(0, 4096, (32, 48, taken), np.uint16)
    given = tf.io.encode_png(numbers).numpy()
    (tmp_path / "in.png").write_bytes(given)
    deep = ranges.target is not None
    translate_files(
        PictureTranslator(network(taken, made), deep=deep),
        [tmp_path / "in.png"],
        tmp_path / "out",
        value_range=ranges.source,
        target_range=ranges.target,
        suffix=".png",
    )
    answer = answering_files(fold(network(taken, made), side=None), ranges)(tf.constant([given]))
    files = (tmp_path / "out" / "in.png").read_bytes(), answer["image_bytes"].numpy()[0]
    assert files[0][24:26] == files[1][24:26], "as many bits, the same kind"
    wanted, found = (tf.io.decode_png(one, dtype=tf.uint16).numpy().astype(int) for one in files)
    assert wanted.shape == found.shape == (32, 48, made)
    step = 1 if files[0][24] == 16 else 257
    assert np.abs(wanted - found)[..., : 3 if made > 2 else 1].max() <= step
    # Alpha is of eight bits in any file.
    assert np.abs(wanted - found).max() <= 257


def test_what_an_app_cannot_hold_is_refused(tmp_path):
    smoke = {**ALL["CycleGAN"].smoke, "channels": {"a": 4, "b": 3}}
    system = ALL["CycleGAN"](**smoke)
    way, back = system.directions
    _check_channels(system, way, Choice("saved_model"), None)
    manifest = tmp_path / "app" / "src" / "main" / "AndroidManifest.xml"
    manifest.parent.mkdir(parents=True)
    _check_channels(system, back, Choice(), tmp_path)  # a folder like others
    manifest.touch()
    for channels in (1, {"a": 1, "b": 3}, {"a": 3, "b": 1}):
        grey = ALL["CycleGAN"](**{**smoke, "channels": channels})
        _check_channels(grey, way, Choice(), tmp_path)
    with pytest.raises(InputError, match="translates 3 channels to 4: leave out --to"):
        _check_channels(system, back, Choice(), tmp_path)
