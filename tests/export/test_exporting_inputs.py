"""Exports of systems whose translators take more than a picture, and what can be baked."""

import hashlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from inputs_stand_in import LABEL, SHAPES, SIDE, StandIn, values
from PIL import Image
from tfi2i_export import sidecar
from tfi2i_export.exporting import Choice, export
from tfi2i_export.graph.keras_graph import called
from tfi2i_export.inputs import row
from tfi2i_export.tflite.inspection import inspect
from tfi2i_export.tflite.interpreter import TFLiteTranslator
from tfi2i_export.tflite.metadata import read_metadata

from tfi2i.cli import main
from tfi2i.config import building
from tfi2i.config import config as configs
from tfi2i.pictures.pixels import to_image, to_pixels
from tfi2i.runs.run import Run

pytest.importorskip("ai_edge_litert")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that has a stand-in for its system."""
    few = ["data.train_size=8", "data.test_size=4"]
    config = configs.load("nice_gan/scenes", []).smoke(few)
    folder = tmp_path_factory.mktemp("runs")
    made = Run.create(folder, config.system, "scenes", config.resolved().as_dict(), {})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "load_system", lambda self, which="last": StandIn())
        yield made


@pytest.fixture(scope="module")
def data(run):
    return building.build_data(configs.load(run.config_path))


@pytest.fixture
def baked(tmp_path):
    """Files of values by name."""
    files = {name: tmp_path / f"{name}.npy" for name in SHAPES}
    for name, value in values(1, seed=7).items():
        np.save(files[name], value[0])
    return files


def exported(run, data, folder, format="float32", **options):
    choice = Choice(format, images=2, calibration=8, **options)
    return export(run, data, choice, to=folder, accept=format != "float32")


def expected(pixels, given):
    return to_pixels(np.asarray(called(StandIn().network())(to_image(pixels), **given)))


@pytest.mark.parametrize("format", ["float32", "int8-npu"])
def test_an_export_takes_and_describes_the_inputs(run, data, tmp_path, format):
    path = exported(run, data, tmp_path, format)
    record = sidecar.verify(path.with_suffix(".json"))
    image, *extra = record.signatures[0].inputs
    assert (image.name, image.domain) == ("image", "a")
    assert {one.name: one.shape for one in extra} == SHAPES
    assert {(one.dtype, one.colour, one.domain) for one in extra} == {("float32", None, None)}
    assert "baked" not in record.recipe
    described = read_metadata(path.read_bytes())["subgraph_metadata"][0]["input_tensor_metadata"]
    assert {one["name"]: one["description"] for one in described} == {
        "image": "the picture to translate",
        "style": "the translation's style",
        "label": "the translation's label",
    }
    pixels, given = data.pixels("test", "a", SIDE)[0][:2], values(2)
    answers = TFLiteTranslator(path)(pixels, **given).astype(int)
    if format == "float32":
        assert record.agreement["passed"]
        assert np.abs(answers - expected(pixels, given)).max() <= 1
    else:
        assert np.abs(answers - expected(pixels, given)).mean() < 8


def test_what_is_baked_is_gone_from_the_file_and_recorded(run, data, tmp_path, baked):
    whole = exported(run, data, tmp_path)
    winter = baked["style"].rename(tmp_path / "deep winter.npy")
    path = exported(run, data, tmp_path, bake={"style": winter})
    assert path.name == "a2b-float32-deep_winter.tflite"
    assert path.stat().st_size < whole.stat().st_size - 4 * 64 * 64
    assert "FULLY_CONNECTED" not in inspect(path.read_bytes()).operators
    record = sidecar.verify(path.with_suffix(".json"))
    digest = hashlib.sha256(winter.read_bytes()).hexdigest()
    assert record.recipe["baked"] == {"style": {"file": "deep winter.npy", "sha256": digest}}
    assert [one.name for one in record.signatures[0].inputs] == ["image", "label"]
    assert record.agreement["passed"]
    pixels, label = data.pixels("test", "a", SIDE)[0][:1], values(1)["label"]
    given = {"style": np.load(winter)[None], "label": label}
    answers = TFLiteTranslator(path, inputs={"label": label})(pixels)
    assert np.abs(answers - expected(pixels, given).astype(int)).max() <= 1


def test_with_all_baked_a_quantised_file_takes_pictures_alone(run, data, tmp_path, baked):
    path = exported(run, data, tmp_path, "auto", bake=baked, target_db=30.0)
    assert path.name == "a2b-auto-style-label.tflite"
    made = TFLiteTranslator(path)
    assert made.extra == {}
    pixels = data.pixels("test", "a", SIDE)[0][:1]
    given = values(1, seed=7)
    assert np.abs(made(pixels).astype(int) - expected(pixels, given)).mean() < 8


def test_a_saved_model_answers_each_picture_with_its_values(run, data, tmp_path, baked):
    path = exported(run, data, tmp_path, "saved_model", bake={"style": baked["style"]})
    for one in sidecar.verify(path.with_suffix(".json")).signatures:
        assert [other.name for other in one.inputs[1:]] == ["label"]
    pixels, label = data.pixels("test", "a", SIDE)[0][:2], values(2)["label"]
    loaded = tf.saved_model.load(path).signatures["predict_tensor"]
    made = loaded(image=tf.cast(pixels, tf.float32), label=tf.constant(label))["translation"]
    answers = np.rint(made.numpy())
    given = {"style": np.repeat(values(1, seed=7)["style"], 2, 0), "label": label}
    for i in range(2):
        alone = expected(pixels[i : i + 1], row(given, i))
        assert np.abs(answers[i] - alone[0]).max() <= 1


def test_exporting_and_translating_on_the_command_line(run, data, tmp_path, baked):
    command = ["export", str(run.path), "--format", "float32", "--images", "2"]
    command += ["--to", str(tmp_path), "--bake", str(baked["style"])]
    assert main(command) == 0
    path = tmp_path / "a2b-float32-style.tflite"
    pixels = data.pixels("test", "a", SIDE)[0][:1]
    Image.fromarray(pixels[0]).save(tmp_path / "scene.png")
    command = ["translate", str(path), str(tmp_path / "scene.png"), "--out", str(tmp_path / "out")]
    assert main([*command, "--input", f"label={baked['label']}"]) == 0
    with Image.open(tmp_path / "out" / "scene.png") as picture:
        answer = np.asarray(picture)
    given = values(1, seed=7)
    assert np.abs(answer - expected(pixels, given)[0].astype(int)).max() <= 1


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("stile=FOLDER/style.npy", "There is no input 'stile'; besides the picture it takes style"),
        ("style=FOLDER/label.npy", f"style has the shape ({LABEL},); (8,) is needed"),
        ("FOLDER/absent.npy", "absent.npy cannot be read (No such file or directory)"),
        ("style=FOLDER/junk.npy", "junk.npy is not a .npy file"),
        ("style=", "give NAME=FILE.npy"),
    ],
)
def test_what_cannot_be_baked_is_refused_in_one_sentence(
    run, tmp_path, baked, capsys, option, message
):
    (tmp_path / "junk.npy").write_bytes(b"junk")
    option = option.replace("FOLDER", str(tmp_path))
    out = tmp_path / "out"
    assert main(["export", str(run.path), "--to", str(out), "--bake", option]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_a_system_that_takes_pictures_alone_has_nothing_to_bake(run, baked, capsys, monkeypatch):
    class Plain(StandIn):
        def network(self, direction=None):
            image = keras.Input((None, None, 3))
            return keras.Model(image, keras.layers.Conv2D(3, 1)(image))

    monkeypatch.setattr(Run, "load_system", lambda self, which="last": Plain())
    assert main(["export", str(run.path), "--bake", str(baked["style"])]) == 2
    error = capsys.readouterr().err
    assert "Plain: There is no input 'style'; besides the picture it takes nothing" in error
