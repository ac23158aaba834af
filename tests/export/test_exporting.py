"""From a run to an artefact: what is written, what is refused, and that it answers as the run."""

import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tfi2i_export import agreement, onnx_files, sidecar
from tfi2i_export.exporting import Choice, export
from tfi2i_export.tflite.interpreter import TFLiteTranslator
from tfi2i_export.tflite.metadata import read_metadata

from tfi2i.cli import main
from tfi2i.config import building
from tfi2i.config import config as configs
from tfi2i.errors import InputError
from tfi2i.models.nice_gan import NICEGAN
from tfi2i.pictures.pixels import run_over
from tfi2i.runs.run import Run

SIDE = 64
FEW = ["model.image_size=64", "data.train_size=4", "data.test_size=4"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose system is not trained, with weights that are not the first ones either."""
    config = configs.load("cyclegan/scenes", []).smoke(FEW)
    system = building.build_system(config)
    random = np.random.default_rng(0)
    for name in system.inference_networks:
        for variable in system.inference_network(name).trainable_variables:
            noise = random.normal(0, 0.05, variable.shape).astype(np.float32)
            variable.assign_add(noise)
    made = Run.create(
        tmp_path_factory.mktemp("runs"), config.system, "scenes", config.resolved().as_dict(), {}
    )
    made.save_checkpoint(system)
    made.save_translators(system)
    return made


@pytest.fixture(scope="module")
def data(run):
    return building.build_data(configs.load(run.config_path))


def exported(run, data, folder, accept=True, **choice):
    return export(run, data, Choice(images=3, calibration=4, **choice), to=folder, accept=accept)


@pytest.fixture(scope="module")
def float_path(run, data, tmp_path_factory):
    return exported(run, data, tmp_path_factory.mktemp("float"), format="float32")


def expected(run, pixels, direction="a2b"):
    return run_over(tf.function(run.network(direction)), pixels)


def test_a_float_file_answers_as_the_run_and_its_sidecar_is_true(run, data, tmp_path, monkeypatch):
    ranges = {"a": (0.0, 4095.0), "b": (-1.0, 1.0)}
    monkeypatch.setattr(Run, "value_range", lambda self, domain: ranges[domain])
    path = exported(run, data, tmp_path, accept=False, format="float32", direction="b2a")
    assert [found.name for found in sorted(tmp_path.iterdir())] == [
        "b2a-float32.json",
        "b2a-float32.tflite",
    ]
    pixels = data.pixels("test", "b", SIDE)[0]
    difference = TFLiteTranslator(path)(pixels) - expected(run, pixels, "b2a").astype(int)
    assert np.abs(difference).max() <= 1
    record = sidecar.verify(path.with_suffix(".json"))
    assert (record.run, record.system, record.step) == (run.name, "CycleGAN", 0)
    assert record.domains == {"source": "b", "target": "a"}
    assert (record.value_range, record.target_range) == (ranges["b"], ranges["a"])
    assert record.agreement["passed"]
    assert not record.agreement["accepted"]
    assert record.signatures[0].inputs[0].shape == (1, SIDE, SIDE, 3)
    inside = read_metadata(path.read_bytes())["subgraph_metadata"][0]["custom_metadata"][0]["data"]
    assert inside["direction"] == "b2a"


def test_nothing_is_replaced_unless_it_is_asked_for(run, data, tmp_path):
    path = exported(run, data, tmp_path, format="float16")
    before = path.read_bytes()
    with pytest.raises(InputError, match="a2b-float16.tflite is there already; add --overwrite"):
        exported(run, data, tmp_path, format="float16")
    assert path.read_bytes() == before
    export(run, data, Choice("float16", images=2), to=tmp_path, accept=True, overwrite=True)
    assert sidecar.verify(path.with_suffix(".json")).agreement["pictures"] == 2


def test_an_android_project_gets_the_file_among_its_assets(run, data, tmp_path):
    app = tmp_path / "app" / "src" / "main"
    app.mkdir(parents=True)
    (app / "AndroidManifest.xml").touch()
    path = exported(run, data, tmp_path, format="float16")
    assert path == app / "assets" / "models" / "a2b-float16.tflite"
    sidecar.verify(path.with_suffix(".json"))
    with pytest.raises(InputError, match="is an Android project, which takes .tflite files"):
        exported(run, data, tmp_path, format="saved_model")


def test_an_artefact_that_misses_its_limits_is_not_written(run, data, tmp_path, monkeypatch):
    monkeypatch.setitem(agreement.LIMITS, "int8", {"psnr_db_mean": 99.0})
    with pytest.raises(InputError, match="a2b-int8.tflite is not written.*--accept"):
        exported(run, data, tmp_path, accept=False, format="int8")
    assert list(tmp_path.iterdir()) == []
    path = exported(run, data, tmp_path, format="int8")
    record = sidecar.verify(path.with_suffix(".json"))
    assert record.agreement["accepted"]
    assert not record.agreement["passed"]
    assert record.warnings


def test_int8_is_small_and_close(run, data, tmp_path, float_path):
    small = exported(run, data, tmp_path, format="int8")
    assert small.stat().st_size < 0.8 * float_path.stat().st_size  # a graph of so few weights
    record = sidecar.read(small.with_suffix(".json"))
    assert record.agreement["psnr_db_worst"] > 30
    assert record.recipe["equalised"]


def test_int8_npu_says_what_an_accelerator_without_float_cannot_run(run, tmp_path):
    data = building.build_data(configs.load(run.config_path, ["data.train_size=8"]))
    path = export(run, data, Choice("int8-npu", images=3, calibration=8), to=tmp_path, accept=True)
    record = sidecar.read(path.with_suffix(".json"))
    in_float = record.recipe["float_operations"]
    (told,) = [one for one in record.warnings if "compute in float" in one]
    assert told.startswith(f"{sum(in_float.values())} of ") and "MEAN" in told
    assert [one["operation"] for one in record.recipe["quantizer"]].count("CONV_2D") >= 3


def test_several_sizes_are_signatures_and_free_ones_take_all(run, data, tmp_path):
    path = exported(run, data, tmp_path, format="float32", sizes=((32, 48), 64), io="uint8")
    assert path.name == "a2b-float32-uint8-32x48-64.tflite"
    record = sidecar.verify(path.with_suffix(".json"))
    assert [one.name for one in record.signatures] == ["translate_32x48", "translate_64x64"]
    assert (record.image_size, record.image_width, record.default_size) == (32, 48, (32, 48))
    pixels = data.pixels("test", "a", (32, 48))[0]
    answers = TFLiteTranslator(path, signature="translate_32x48")(pixels)
    assert answers.shape[1:] == (32, 48, 3)
    assert np.abs(answers - expected(run, pixels).astype(int)).max() <= 1
    free = exported(run, data, tmp_path, format="float32", dynamic=True)
    assert np.abs(TFLiteTranslator(free)(pixels) - expected(run, pixels).astype(int)).max() <= 1


def test_a_file_for_several_pictures_is_quantised_and_checked_as_one_for_one(run, data, tmp_path):
    path = exported(run, data, tmp_path, format="int8", batch=2)
    assert path.name == "a2b-int8-batch2.tflite"
    record = sidecar.verify(path.with_suffix(".json"))
    assert record.signatures[0].inputs[0].shape == (2, SIDE, SIDE, 3)
    assert record.agreement["psnr_db_worst"] > 30
    (tmp_path / "app/src/main").mkdir(parents=True)
    (tmp_path / "app/src/main/AndroidManifest.xml").touch()
    with pytest.raises(InputError, match="takes one picture: leave out --batch"):
        exported(run, data, tmp_path, batch=2)


@pytest.mark.parametrize("io", ["float", "uint8"])
def test_an_onnx_file_takes_pictures_of_any_size_and_number(run, data, tmp_path, capsys, io):
    onnxruntime = pytest.importorskip("onnxruntime")
    path = exported(run, data, tmp_path, accept=False, format="onnx", io=io)
    assert path.name == ("a2b.onnx" if io == "float" else "a2b-uint8.onnx")
    record = sidecar.verify(path.with_suffix(".json"))
    assert (record.format, record.agreement["passed"]) == ("onnx", True)
    assert record.versions["onnxruntime"]
    assert record.signatures[0].inputs[0].shape == (-1, -1, -1, 3)
    dtype = {"float": "float32", "uint8": "uint8"}[io]
    assert record.signatures[0].inputs[0].dtype == record.signatures[0].outputs[0].dtype == dtype
    pixels = data.pixels("test", "a", 48)[0]
    session = onnxruntime.InferenceSession(path)
    (taken,), (made,) = session.get_inputs(), session.get_outputs()
    assert taken.shape == made.shape == ["batch", "height", "width", 3]
    answers = session.run(None, {"image": pixels.astype(dtype)})[0]
    assert np.abs(np.rint(answers.astype(float)) - expected(run, pixels)).max() <= 1
    with pytest.raises(InputError, match="a2b.*onnx is there already; add --overwrite"):
        exported(run, data, tmp_path, format="onnx", io=io)
    assert main(["translate", str(path), "x.png", "--out", str(tmp_path)]) == 2
    assert "ONNX files are for other programs" in capsys.readouterr().err


def test_without_its_packages_an_onnx_export_names_the_extra(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(onnx_files, "PACKAGES", ("onnx", "tf2onnx_that_is_not_there"))
    assert main(["export", str(run.path), "--to", str(tmp_path), "--format", "onnx"]) == 2
    assert "tf2onnx_that_is_not_there: pip install 'tfi2i[onnx]'" in capsys.readouterr().err


def test_a_saved_model_takes_pictures_of_any_size_and_number(run, data, tmp_path):
    path = exported(run, data, tmp_path, accept=False, format="saved_model")
    assert path == tmp_path / "a2b-saved_model" / "1"
    record = sidecar.verify(path.with_suffix(".json"))
    assert [one.name for one in record.signatures] == ["serving_default", "predict_tensor"]
    assert [one.dtype for one in record.signatures[0].inputs] == ["string"]
    pixels = data.pixels("test", "a", 48)[0]
    loaded = tf.saved_model.load(path).signatures["predict_tensor"]
    answers = np.rint(loaded(image=tf.cast(pixels, tf.float32))["translation"].numpy())
    assert np.abs(answers - expected(run, pixels)).max() <= 1


def test_a_saved_model_of_one_size_says_so_and_gets_versions(run, data, tmp_path, capsys):
    options = {"format": "saved_model", "sizes": (32,), "signatures": "tensor"}
    first = exported(run, data, tmp_path, **options)
    second = exported(run, data, tmp_path, **options)
    assert first.parent.name == "a2b-saved_model-32-tensor"
    assert (first.name, second.name) == ("1", "2")
    for path in (first, second):
        (signature,) = sidecar.verify(path.with_suffix(".json")).signatures
        assert signature.inputs[0].shape == (-1, 32, 32, 3)
    assert main(["export", str(tmp_path), "--check"]) == 0
    assert capsys.readouterr().out.count("can be served.") == 2
    (second / "saved_model.pb").write_bytes(b"junk")
    assert main(["export", str(first.parent), "--check"]) == 2
    assert str(second) in capsys.readouterr().err


@pytest.mark.parametrize("choice", [{"sizes": (32,)}, {"dynamic": True}], ids=str)
def test_a_translator_of_one_size_takes_no_other(run, data, tmp_path, monkeypatch, choice):
    full = NICEGAN(**NICEGAN.smoke, light=False)
    monkeypatch.setattr(run, "load_system", lambda which: full)
    with pytest.raises(InputError, match="64 x 64 alone: leave out --sizes, --dynamic"):
        exported(run, data, tmp_path, format="float32", **choice)


def test_auto_reaches_its_target(run, data, tmp_path):
    path = exported(run, data, tmp_path, accept=False, format="auto", target_db=41.0)
    record = sidecar.read(path.with_suffix(".json"))
    assert record.agreement["psnr_db_mean"] >= 41
    assert record.recipe["target_db"] == 41


@pytest.mark.slow
def test_what_the_artefact_does_to_kid_is_recorded_where_the_run_was_evaluated(run, data, tmp_path):
    assert main(["evaluate", str(run.path)]) == 0
    path = exported(run, data, tmp_path, format="float32")
    (run.evaluation_dir / "evaluation.json").unlink()
    found = sidecar.read(path.with_suffix(".json")).evaluation
    assert found["kid"] == pytest.approx(found["kid_before"], abs=2e-3)
    assert found["l1"] == pytest.approx(found["l1_before"], abs=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--format", "int7"], "There is no format 'int7'"),
        (["--format", "int8-full"], "--force exports it"),
        (["--sizes", "64", "--dynamic"], "leave out --sizes"),
        (["--sizes", "63"], "multiples of 4"),
        (["--sizes", "64x62"], "multiples of 4"),
        (["--sizes", "64,64x64"], "names a size twice"),
        (["--sizes", "big"], "HEIGHTxWIDTH for others"),
        (["--images", "0"], "1 or more"),
        (["--checkpoint", "best"], "best"),
        (["--format", "saved_model", "--io", "uint8"], "leave out"),
        (["--signatures", "tensor"], "for --format saved_model"),
        (["--format", "onnx", "--pad", "mirror"], "leave out --dynamic, --pad"),
        (["--batch", "0"], "--batch 0: give a number of pictures"),
        (["--format", "saved_model", "--batch", "2"], "any number of pictures: leave out --batch"),
        (["--check"], "holds no SavedModel"),
    ],
)
def test_what_cannot_be_exported_is_refused_in_one_sentence(
    run, tmp_path, capsys, options, message
):
    assert main(["export", str(run.path), "--to", str(tmp_path), *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_export_and_translate_on_the_command_line(run, data, tmp_path):
    assert main(["export", str(run.path), "--format", "float32", "--images", "2"]) == 0
    path = run.exports_dir / "a2b-float32.tflite"
    assert json.loads(path.with_suffix(".json").read_text())["io"] == "float"
    pixels = data.pixels("test", "a", SIDE)[0][0]
    Image.fromarray(pixels).save(tmp_path / "scene.png")
    arguments = [str(tmp_path / "scene.png"), "--out", str(tmp_path / "out")]
    assert main(["translate", str(path), *arguments]) == 0
    with Image.open(tmp_path / "out" / "scene.png") as picture:
        answer = np.asarray(picture)
    assert np.abs(answer - expected(run, pixels[None])[0].astype(int)).max() <= 1
