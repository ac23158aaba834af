"""Pictures of any size through .tflite files: as Keras translates them, tiles, and refusals."""

import keras
import numpy as np
import pytest
from PIL import Image
from small_files import (
    file_of_two_sizes,
    free_file,
    network,
    point_file,
    point_network,
    written,
)
from tfi2i_export.graph.fold import fold
from tfi2i_export.signatures import of_file
from tfi2i_export.tflite.conversion import convert
from tfi2i_export.tflite.pictures import TFLitePictureTranslator, sidecar_of

from tfi2i.cli import main
from tfi2i.errors import InputError
from tfi2i.pictures import tiles
from tfi2i.pictures.files import read_picture
from tfi2i.pictures.pixels import to_image, to_pixels
from tfi2i.pictures.tiles import PictureTranslator


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def by_keras(model, pixels, size):
    """The picture, reflected up to a size, through the network and cropped."""
    height, width, _ = pixels.shape
    grow = [(0, size[0] - height), (0, size[1] - width), (0, 0)]
    image = to_image(np.pad(pixels, grow, mode="reflect"))[None]
    return to_pixels(np.asarray(model(image, training=False))[0, :height, :width])


def assert_equal(pixels, expected):
    """Up to a level, for values that are nearly between two."""
    assert pixels.dtype == np.uint8 and pixels.shape == expected.shape
    difference = np.abs(pixels.astype(int) - expected)
    assert difference.max() <= 1 and difference.mean() < 0.02


@pytest.fixture(scope="module")
def two_sizes(tmp_path_factory):
    return written(tmp_path_factory.mktemp("two"), "two", file_of_two_sizes(), io="uint8")


@pytest.fixture(scope="module")
def free(tmp_path_factory):
    return written(tmp_path_factory.mktemp("free"), "free", free_file())


@pytest.fixture(scope="module")
def points(tmp_path_factory):
    """A file without a sidecar."""
    path = tmp_path_factory.mktemp("points") / "points.tflite"
    path.write_bytes(point_file())
    return path


@pytest.mark.parametrize(
    ("sides", "taken"),
    [
        ((32, 32), (32, 32)),
        ((20, 31), (32, 32)),
        ((1, 3), (32, 32)),
        ((33, 17), (64, 48)),
        ((64, 48), (64, 48)),
    ],
)
def test_a_picture_takes_the_smallest_size_that_holds_it(two_sizes, sides, taken):
    pixels = picture(*sides)
    assert_equal(TFLitePictureTranslator(two_sizes)(pixels), by_keras(network(), pixels, taken))


@pytest.mark.parametrize(
    ("sides", "taken"), [((45, 63), (48, 64)), ((2, 1), (32, 32)), ((64, 96), (64, 96))]
)
def test_a_file_of_free_size_takes_pictures_whole(free, sides, taken):
    pixels = picture(*sides)
    assert_equal(TFLitePictureTranslator(free)(pixels), by_keras(network(), pixels, taken))


@pytest.mark.parametrize("sides", [(33, 48), (75, 101), (20, 200), (32, 49)])
def test_tiles_cover_a_big_picture_once(points, sides):
    pixels, told = picture(*sides), []
    translate = TFLitePictureTranslator(points)
    result = translate(pixels, progress=lambda *done: told.append(done))
    assert_equal(result, by_keras(point_network(), pixels, sides))
    assert len(told) > 1 and told == [(i + 1, len(told)) for i in range(len(told))]


def test_tiles_of_a_file_of_free_size_are_for_pictures_beyond_the_budget(free, monkeypatch, caplog):
    pixels, told = picture(100, 70), []
    TFLitePictureTranslator(free)(pixels, progress=lambda *done: told.append(done))
    assert told == [(1, 1)] and not caplog.messages
    monkeypatch.setattr(tiles, "PIXEL_BUDGET", 64 * 64)
    monkeypatch.setattr(tiles, "TILE", 64)
    translate = TFLitePictureTranslator(free)
    for _ in range(2):
        assert translate(pixels, progress=lambda *done: told.append(done)).shape == pixels.shape
    assert told[-1] == (4, 4)
    (message,) = caplog.messages
    assert "free.tflite" in message and "64 x 64" in message and "--dynamic" not in message


def test_a_tile_may_be_asked_for(free, two_sizes):
    told = []
    TFLitePictureTranslator(free, tile=32)(picture(32, 33), lambda *done: told.append(done))
    assert told[-1] == (2, 2)
    pixels = picture(20, 20)
    tiled = TFLitePictureTranslator(two_sizes, tile=32)
    assert_equal(tiled(pixels), by_keras(network(), pixels, (32, 32)))


@pytest.mark.parametrize(
    ("name", "tile", "message"),
    [
        ("two_sizes", 48, "only takes 32 x 32, 64 x 48"),
        ("two_sizes", 64, "leave --tile out"),
        ("free", 30, "a multiple of 4 pixels from 32 on"),
        ("free", 28, "a multiple of 4 pixels from 32 on"),
    ],
)
def test_tiles_that_a_file_does_not_take_are_refused(name, tile, message, request):
    with pytest.raises(InputError, match=message):
        TFLitePictureTranslator(request.getfixturevalue(name), tile=tile)


def test_what_is_no_picture_is_refused(points):
    translate = TFLitePictureTranslator(points)
    for pixels in (picture(8, 8)[..., 0], picture(8, 8) / 255, picture(0, 8)):
        with pytest.raises(InputError, match=r"uint8 pixels of shape \(H, W, 3\)"):
            translate(pixels)


def test_a_file_that_its_sidecar_does_not_speak_of_is_refused(tmp_path):
    path = written(tmp_path, "a", point_file())
    assert sidecar_of(path).name == "a"
    assert sidecar_of(tmp_path / "nothing.tflite") is None
    path.with_name("b.tflite").write_bytes(point_file())
    path.with_name("b.json").write_bytes(path.with_suffix(".json").read_bytes())
    with pytest.raises(InputError, match="the sidecar of a.tflite, not of b.tflite"):
        TFLitePictureTranslator(tmp_path / "b.tflite")
    path.write_bytes(point_file()[:-1] + b"!")
    with pytest.raises(InputError, match="SHA-256"):
        TFLitePictureTranslator(path)


def test_a_sidecar_cannot_make_pictures_enormous(tmp_path):
    path = written(tmp_path, "free", free_file(), multiple=10**9)
    with pytest.raises(InputError, match="multiples of 1000000000"):
        TFLitePictureTranslator(path)


def test_a_file_without_sidecar_finds_its_multiple(tmp_path):
    path = tmp_path / "free.tflite"
    path.write_bytes(free_file())
    pixels = picture(33, 34)
    assert_equal(TFLitePictureTranslator(path)(pixels), by_keras(network(), pixels, (36, 36)))


def test_the_command_line_translates_with_a_file(points, tmp_path, capsys):
    pixels = picture(40, 50)
    Image.fromarray(pixels).save(tmp_path / "one.png")
    command = ["translate", points, tmp_path / "one.png", "--out", tmp_path / "out"]
    assert main([str(word) for word in command]) == 0
    result = np.asarray(Image.open(tmp_path / "out" / "one.png"))
    assert_equal(result, by_keras(point_network(), pixels, (40, 50)))
    assert capsys.readouterr().err.count("points.tflite: big pictures become tiles") == 1
    assert main([str(word) for word in [*command, "--direction", "a2b"]]) == 2
    assert "has one direction only" in capsys.readouterr().err


def test_the_command_line_names_what_is_wrong_with_a_file(tmp_path, capsys):
    path = tmp_path / "bad.tflite"
    path.write_bytes(b"\0\0\0\0TFL3 but nothing more")
    Image.fromarray(picture(8, 8)).save(tmp_path / "one.png")
    command = ["translate", path, tmp_path / "one.png", "--out", tmp_path / "out"]
    assert main([str(word) for word in command]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("tfi2i: error: ") and str(path) in printed
    assert printed.count("\n") == 1


def test_the_network_of_these_tests_has_statistics():
    pixels = picture(64, 64)
    whole = by_keras(network(), pixels, (64, 64))[:32, :32]
    part = by_keras(network(), pixels[:32, :32], (32, 32))
    assert np.abs(whole[:24, :24].astype(int) - part[:24, :24]).max() > 3
    assert isinstance(network(), keras.Model)


@pytest.mark.parametrize("io", ["float", "uint8"])
def test_results_are_numbers_of_the_target_s_range_as_those_of_a_run(tmp_path, io):
    network = point_network()
    content = convert(fold(network, side=(32, 48)), io=io)
    signatures = of_file(content, {"source": "a", "target": "b"})
    path = written(
        tmp_path, "ranged", content, io=io, signatures=signatures, target_range=(100.0, 4000.0)
    )
    for name, shape in (("one", (32, 48)), ("tiled", (40, 70))):
        pixels = picture(*shape)
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
        given = [str(one) for one in (path, tmp_path / f"{name}.png", "--out", tmp_path / "out")]
        assert main(["translate", *given]) == 0
        made = PictureTranslator(network, deep=True)(pixels)
        found = read_picture(tmp_path / "out" / f"{name}.png", value_range=(0, 65535))
        assert found.deep
        step = 1 if io == "float" else 3900 / 255
        difference = found.pixels - (100 + made / 65535 * 3900)
        assert np.abs(difference).max() <= 0.5 + step
