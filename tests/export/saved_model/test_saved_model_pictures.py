"""Pictures of any size through SavedModels: as Keras translates them, tiles, and refusals."""

import dataclasses
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_files import network, point_file, point_network, written
from tfi2i_export import sidecar
from tfi2i_export.saved_model import pictures as saved_model_pictures
from tfi2i_export.saved_model.pictures import saved_picture_translator

from tfi2i.cli import main
from tfi2i.errors import InputError
from tfi2i.pictures import tiles
from tfi2i.pictures.depth import spread
from tfi2i.pictures.files import read_picture
from tfi2i.pictures.tiles import PictureTranslator


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def exported(model, folder, sides=(None, None), output="translation", dtype=tf.float32):
    def predict_tensor(image):
        return {output: (model(tf.cast(image, tf.float32) / 127.5 - 1) + 1) * 127.5}

    archive = keras.export.ExportArchive()
    image = tf.TensorSpec((None, *sides, 3), dtype, name="image")
    archive.add_endpoint("predict_tensor", predict_tensor, input_signature=[image])
    archive.write_out(folder, verbose=False)
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A folder of the versions 9 and 10."""
    base = tmp_path_factory.mktemp("saved") / "a2b-saved_model"
    (base / "9").mkdir(parents=True)
    exported(network(), base / "10")
    return base


@pytest.mark.parametrize("version", ["", "10"])
@pytest.mark.parametrize("sides", [(45, 63), (2, 1)])
def test_a_picture_is_translated_as_by_the_network(base, sides, version):
    pixels = picture(*sides)
    expected = PictureTranslator(network())(pixels).astype(int)
    assert np.abs(saved_picture_translator(base / version)(pixels) - expected).max() <= 1


def test_numbers_in_and_out_are_those_of_a_run(tmp_path):
    about = exported(point_network(), tmp_path / "points" / "1")
    files = {"file": "1", "format": "saved_model", "multiple": 1}
    sha256, size_bytes = sidecar.fingerprint(about)
    ranges = {"value_range": (0.0, 4095.0), "target_range": (100.0, 9000.0)}
    beside = written(tmp_path, "other", b"", **ranges).with_suffix(".json")
    made = dataclasses.replace(sidecar.read(beside), sha256=sha256, size_bytes=size_bytes, **files)
    sidecar.write(made, about.with_suffix(".json"))
    numbers = np.random.default_rng(0).integers(0, 4096, (40, 33, 3), np.uint16)
    (tmp_path / "one.png").write_bytes(tf.io.encode_png(numbers).numpy())
    given = (tmp_path / "points", tmp_path / "one.png", "--out", tmp_path / "out", "--tile", 32)
    assert main(["translate", *map(str, given)]) == 0
    wide = spread(numbers, 0, 4095)
    expected = 100 + PictureTranslator(point_network(), deep=True)(wide) / 65535 * 8900
    found = read_picture(tmp_path / "out" / "one.png", value_range=(0, 65535))
    assert found.deep and np.abs(found.pixels - expected).max() <= 1


@pytest.mark.parametrize("sides", [None, (32, 48)])
def test_big_pictures_become_tiles(tmp_path, monkeypatch, sides):
    monkeypatch.setattr(tiles, "PIXEL_BUDGET", 64 * 64)
    monkeypatch.setattr(tiles, "TILE", 64)
    folder = exported(point_network(), tmp_path / "points", sides or (None, None))
    pixels = picture(101, 75)
    whole = np.asarray(point_network()(pixels[None] / np.float32(127.5) - 1))[0]
    result = saved_picture_translator(folder)(pixels)
    assert np.abs(result - np.rint((whole + 1) * 127.5)).max() <= 1


def test_the_sidecar_beside_a_version_has_to_be_its_own(base, tmp_path):
    folder = tmp_path / "10"
    shutil.copytree(base / "10", folder)
    record = sidecar.read(written(tmp_path, "points", point_file()).with_suffix(".json"))
    sha256, size = sidecar.fingerprint(folder)
    record = dataclasses.replace(record, file="10", sha256=sha256, size_bytes=size)
    for multiple, message in ((128, "multiples of 128"), (4, None)):
        sidecar.write(dataclasses.replace(record, multiple=multiple), tmp_path / "10.json")
        if message:
            with pytest.raises(InputError, match=message):
                saved_picture_translator(tmp_path)
    assert saved_picture_translator(tmp_path)(picture(3, 5)).shape == (3, 5, 3)
    (folder / "more").touch()
    with pytest.raises(InputError, match="SHA-256"):
        saved_picture_translator(tmp_path)
    folder.rename(tmp_path / "11")
    (tmp_path / "10.json").rename(tmp_path / "11.json")
    with pytest.raises(InputError, match="its model 10 is not beside it"):
        saved_picture_translator(tmp_path)


def test_what_translates_no_pictures_is_refused(tmp_path):
    named = exported(point_network(), tmp_path / "named", output="answer")
    with pytest.raises(InputError, match="makes answer of image"):
        saved_picture_translator(named)
    whole = exported(point_network(), tmp_path / "whole", dtype=tf.uint8)
    with pytest.raises(InputError, match="uint8 tensor"):
        saved_picture_translator(whole)
    module = tf.Module()
    module.double = tf.function(lambda x: 2 * x, input_signature=[tf.TensorSpec((), tf.float32)])
    tf.saved_model.save(module, tmp_path / "other", signatures=module.double)
    with pytest.raises(InputError, match="no signature predict_tensor; it has serving_default"):
        saved_picture_translator(tmp_path / "other")


def test_a_damaged_saved_model_is_refused(base, tmp_path):
    folder = tmp_path / "1"
    shutil.copytree(base / "10", folder)
    shutil.rmtree(folder / "variables")
    with pytest.raises(InputError, match="cannot be loaded as a SavedModel"):
        saved_picture_translator(folder)
    with pytest.raises(InputError, match="not there"):
        saved_picture_translator(tmp_path / "nothing")


def test_a_picture_that_the_graph_fails_on_is_named(base, monkeypatch):
    def failing(*arguments, **options):
        def translate(pixels):
            raise tf.errors.InvalidArgumentError(None, None, "no such size\nand a trace")

        translate.channels = (3, 3)
        return translate

    monkeypatch.setattr(saved_model_pictures, "PictureTranslator", failing)
    with pytest.raises(InputError, match=r"fails on a picture of 3 x 4 \(no such size\)"):
        saved_picture_translator(base)(picture(3, 4))
