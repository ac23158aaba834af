"""Networks whose sides are multiples of 8, or of nothing: what they declare holds everywhere."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from inputs_stand_in import StandIn
from small_files import strided
from tfi2i_export import sidecar
from tfi2i_export.exporting import Choice, export
from tfi2i_export.graph.fold import fold
from tfi2i_export.saved_model.pictures import saved_picture_translator
from tfi2i_export.tflite.pictures import TFLitePictureTranslator

from tfi2i.config import building
from tfi2i.config import config as configs
from tfi2i.errors import InputError
from tfi2i.layers.convolution import ReflectionPad2D
from tfi2i.models import ALL
from tfi2i.networks.strides import USUAL_MULTIPLE, multiple_of
from tfi2i.pictures.pixels import to_image, to_pixels
from tfi2i.pictures.tiles import PictureTranslator
from tfi2i.runs.run import Run


@pytest.fixture(scope="module", params=[1, 8])
def multiple(request):
    return request.param


@pytest.fixture(scope="module")
def run(multiple, tmp_path_factory):
    """A run whose system translates by `strided`."""
    few = ["data.train_size=4", "data.test_size=4"]
    config = configs.load("nice_gan/scenes", []).smoke(few)
    folder = tmp_path_factory.mktemp("runs")
    made = Run.create(folder, config.system, "scenes", config.resolved().as_dict(), {})

    class System(StandIn):
        conditions = ()

        def network(self, direction=None):
            return strided(multiple)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "load_system", lambda self, which="last": System())
        yield made


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    """Function of an export's format and options; it returns what was written."""
    data = building.build_data(configs.load(run.config_path))
    folder = tmp_path_factory.mktemp("out")

    def exported(format, **options):
        return export(run, data, Choice(format, images=2, calibration=2, **options), to=folder)

    return exported


def test_a_network_of_more_halvings_than_readers_know_is_refused_before_work(tmp_path, monkeypatch):
    image = x = keras.Input((None, None, 3))
    for _ in range(7):
        x = keras.layers.AveragePooling2D(2)(x)
    network = keras.Model(image, keras.layers.UpSampling2D(128)(x))

    class System(StandIn):
        conditions = ()

        def network(self, direction=None):
            return network

    monkeypatch.setattr(Run, "load_system", lambda self, which="last": System())
    config = configs.load("nice_gan/scenes", ["data.train_size=4", "data.test_size=4"])
    made = Run.create(tmp_path, config.system, "scenes", config.resolved().as_dict(), {})
    with pytest.raises(InputError, match="multiples of 128, and apps and sidecars know at most 64"):
        export(made, building.build_data(config), Choice("float32"), to=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def picture_at(height, width):
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)


PICTURES = [picture_at(41, 58), picture_at(64, 48), picture_at(3, 5)]


def expected(multiple, pixels):
    """The network's answer to a picture that is reflected up to its sides and cropped back."""
    height, width, _ = pixels.shape
    up = [(0, max(-(-side // multiple) * multiple, 32) - side) for side in (height, width)]
    image = to_image(np.pad(pixels, [*up, (0, 0)], mode="reflect"))[None]
    return to_pixels(np.asarray(strided(multiple)(image))[0, :height, :width])


def assert_translates(translate, multiple):
    for pixels in PICTURES:
        answer = translate(pixels).astype(int)
        assert np.abs(answer - expected(multiple, pixels)).max() <= 1


def test_a_network_s_shapes_tell_its_multiple(multiple, tmp_path):
    assert multiple_of(strided(multiple)) == multiple
    assert multiple_of(fold(strided(multiple), side=None)) == multiple
    strided(multiple).save(tmp_path / "network.keras")
    assert multiple_of(keras.models.load_model(tmp_path / "network.keras")) == multiple


@pytest.mark.parametrize("name", ALL)
def test_the_systems_networks_tell_theirs(name):
    multiple = 2 if name in ("SinCUT", "StarGANv2") else 4
    assert multiple_of(ALL[name](**ALL[name].smoke).network()) == multiple


def up(x, times):
    return keras.layers.UpSampling2D(times)(x)


def down(x, times):
    return keras.layers.AveragePooling2D(times)(x)


def inner(x):
    """A model inside, with maps of a fixed size beside those that grow."""
    image = keras.Input((None, None, 3))
    mean = keras.layers.GlobalAveragePooling2D(keepdims=True)(image)
    return keras.Model(image, up(down(image, 4), 4) + mean)(x)


def row(x):
    """A sequential model inside."""
    halves = [keras.layers.AveragePooling2D(2) for _ in range(3)]
    return keras.Sequential([keras.Input((None, None, 3)), *halves, keras.layers.UpSampling2D(8)])(
        x
    )


@pytest.mark.parametrize(
    ("body", "multiple"),
    [
        (lambda x: up(down(x, 3), 3), 3),
        (lambda x: keras.layers.Add()([up(down(x, 2), 2), up(down(x, 3), 3)]), 6),
        (lambda x: down(up(x, 2), 2), 1),
        (lambda x: up(inner(down(x, 2)), 2), 8),
        (row, 8),
        (lambda x: keras.layers.Cropping2D(1)(up(down(ReflectionPad2D(1)(x), 2), 2)), 2),
        (lambda x: keras.layers.Lambda(lambda x: x, output_shape=(None, None, 3))(down(x, 2)), 4),
    ],
)
def test_a_multiple_is_the_product_of_strides(body, multiple):
    image = keras.Input((None, None, 3))
    assert multiple_of(keras.Model(image, body(image))) == multiple


def test_a_network_of_fixed_size_is_taken_for_a_usual_one():
    image = keras.Input((48, 48, 3))
    assert multiple_of(keras.Model(image, keras.layers.ReLU()(image))) == USUAL_MULTIPLE


def test_the_network_itself_translates(multiple):
    assert_translates(PictureTranslator(strided(multiple)), multiple)
    pixels = picture_at(90, 130)
    tiled = PictureTranslator(strided(multiple), tile=64, overlap=32)(pixels).astype(int)
    assert np.abs(tiled - expected(multiple, pixels)).max() <= 1


def test_a_file_translates(multiple, exported, tmp_path):
    path = exported("float32", dynamic=True)
    assert sidecar.verify(path.with_suffix(".json")).multiple == multiple
    assert_translates(TFLitePictureTranslator(path), multiple)
    alone = tmp_path / "alone.tflite"
    alone.write_bytes(path.read_bytes())
    assert_translates(TFLitePictureTranslator(alone), multiple)


def test_sizes_are_multiples(multiple, exported):
    if multiple > 1:
        with pytest.raises(InputError, match="multiples of 8, such as"):
            exported("float32", sizes=(36,))
    side = 40 if multiple > 1 else 37
    path = exported("float32", sizes=(side,))
    pixels = picture_at(side, side)
    answer = TFLitePictureTranslator(path)(pixels).astype(int)
    assert np.abs(answer - expected(multiple, pixels)).max() <= 1


def test_a_saved_model_translates(multiple, exported):
    path = exported("saved_model")
    assert sidecar.verify(path.with_suffix(".json")).multiple == multiple
    assert_translates(saved_picture_translator(path), multiple)
    by_file = tf.saved_model.load(path).signatures["serving_default"]

    def translate(pixels):
        file = tf.io.encode_png(pixels)[None]
        return tf.io.decode_png(by_file(image_bytes=file)["image_bytes"][0]).numpy()

    assert_translates(translate, multiple)
