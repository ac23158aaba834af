"""Exports of a system of five domains with a style and a label: open, baked, in every format."""

import functools
import hashlib

import keras
import numpy as np
import onnxruntime
import pytest
import stand_in as stand_in_module
import tensorflow as tf
from inputs_stand_in import LABEL, SIDE, STYLE, StandIn, stand_in
from keras import ops
from PIL import Image
from stand_in import Painter, seasons
from tfi2i_export import encoders, sidecar
from tfi2i_export.artefacts import sampler
from tfi2i_export.exporting import Choice, export
from tfi2i_export.graph.keras_graph import called
from tfi2i_export.inputs import chosen, conditions_in
from tfi2i_export.saved_model.writing import refuse_unservable
from tfi2i_export.tflite.bench import PLAIN, bench
from tfi2i_export.tflite.interpreter import TFLiteTranslator, opened
from tfi2i_export.tflite.metadata import read_metadata
from tfi2i_export.tflite.quantization import FORMATS

from tfi2i.cli import main
from tfi2i.commands import export as command
from tfi2i.conditions import Condition, between, values_of
from tfi2i.data.dataset import Dataset
from tfi2i.data.domains import DrawnDomain
from tfi2i.errors import InputError
from tfi2i.pictures.pixels import sixteen_bit, to_image, to_pixels
from tfi2i.runs.run import Run

pytest.importorskip("ai_edge_litert")

DOMAINS = ("day", "dusk", "night", "winter", "1920s2late")
LATENT = 6
WINTER = np.eye(LABEL, dtype=np.float32)[3]


@functools.cache
def network(target=None):
    """The stand-in's translator, its label open or that of a domain."""
    whole = stand_in()
    if target is None:
        return whole
    image = keras.Input((None, None, 3), name="image")
    style = keras.Input((STYLE,), name="style")
    row = np.eye(LABEL, dtype=np.float32)[DOMAINS.index(target)]
    label = ops.zeros_like(style[:, :LABEL]) + row
    return keras.Model([image, style], whole([image, style, label]), name="seasons")


class Seasons(StandIn):
    """Translates between any of the domains."""

    directions = between(DOMAINS)
    conditions = (
        Condition("style", "style", (STYLE,)),
        Condition("label", "label", (LABEL,), names=DOMAINS),
    )

    def network(self, direction=None):
        return network(self.direction(direction).target)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run that has the stand-in for its system."""
    monkeypatch.setattr(Run, "load_system", lambda self, which="last": Seasons())
    monkeypatch.setattr(Run, "directions", Seasons.directions)
    monkeypatch.setattr(Run, "network", lambda self, direction: Seasons().network(direction))
    return Run.create(tmp_path / "runs", "Seasons", "drawn", {"system": "Seasons"}, {})


def drawn(domain, split):
    def draw(index, side):
        random = np.random.default_rng((domain, len(split), index))
        small = random.integers(0, 256, (4, 4, 3), np.uint8)
        return np.repeat(np.repeat(small, side // 4, 0), side // 4, 1)

    names = [f"{split}{index}.png" for index in range(4)]
    return DrawnDomain(names, draw, f"{split} of {DOMAINS[domain]}", (8, 256))


@pytest.fixture(scope="module")
def data():
    return Dataset(
        "drawn",
        **{
            split: {name: drawn(i, split) for i, name in enumerate(DOMAINS)}
            for split in ("train", "test")
        },
    )


def exported(run, data, folder, format="float32", accept=True, **options):
    choice = Choice(format, images=3, calibration=8, **options)
    return export(run, data, choice, to=folder, accept=accept)


def expected(target, pixels, given):
    return to_pixels(np.asarray(called(network(target))(to_image(pixels), **given))).astype(int)


def pictures(data, side=SIDE):
    return data.pixels("test", "dusk", side)[0][:2]


@pytest.mark.often("float32", "int8")
@pytest.mark.parametrize("format", FORMATS)
def test_every_format_takes_a_style_and_a_label(run, data, tmp_path, format):
    path = exported(run, data, tmp_path, format, direction="any", target_db=30.0)
    assert path.name == f"any-{format}.tflite"
    known = sidecar.verify(path.with_suffix(".json"))
    assert (known.direction, known.domains) == ("any", {"source": "any", "target": None})
    by_name = {one.name: one for one in known.signatures[0].inputs}
    style, label = by_name["style"], by_name["label"]
    assert (style.kind, style.distribution, style.names) == ("style", "normal", ())
    assert [len(preset.values) for preset in style.presets] == [STYLE] * 8
    assert (label.kind, label.names, label.exclusive) == ("label", DOMAINS, True)
    assert {one.encoder for one in by_name.values()} == {None}
    translate, pixels = TFLiteTranslator(path), pictures(data)
    values = values_of(Seasons.conditions, 2, seed=3)
    answers = translate(pixels, **values).astype(int)
    error = np.abs(answers - expected(None, pixels, values))
    assert error.max() <= 1 if format == "float32" else error.mean() < 8
    told = conditions_in(known.signatures[0].inputs)
    winter = chosen(told, seed=3, labels="winter")
    np.testing.assert_array_equal(winter["label"], [WINTER])
    other = {**winter, "label": winter["label"][:, ::-1]}
    changed = translate(pixels[:1], **winter).astype(int) - translate(pixels[:1], **other)
    assert np.abs(changed).mean() > 4


def by_onnx(path, **inputs):
    """What a program gets that knows ONNX Runtime alone, as pixels."""
    session = onnxruntime.InferenceSession(path)
    assert {one.name for one in session.get_inputs()} == {*inputs}
    return np.rint(session.run(["translation"], inputs)[0]).astype(int)


def test_an_onnx_file_takes_a_style_and_a_label(run, data, tmp_path):
    path = exported(run, data, tmp_path, "onnx", accept=False, direction="any")
    assert {one.name for one in sidecar.read(path.with_suffix(".json")).signatures[0].inputs} == {
        *("image", "style", "label")
    }
    pixels, values = pictures(data), values_of(Seasons.conditions, 2, seed=3)
    answers = by_onnx(path, image=pixels.astype("float32"), **values)
    assert np.abs(answers - expected(None, pixels, values)).max() <= 1


def test_an_onnx_file_of_a_sampler_takes_no_picture(painter, data, tmp_path):
    run, system = painter
    path = exported(run, data, tmp_path, "onnx", accept=False, label="winter")
    assert path.name == "sample-winter.onnx"
    values = values_of(system.conditions, 3, seed=4, labels="winter")
    wanted = system.sample(3, seed=4, labels="winter").astype(int)
    assert np.abs(by_onnx(path, latent=values["latent"]) - wanted).max() <= 1


@pytest.mark.often("float32", "int8", "saved_model")
@pytest.mark.parametrize("format", [*FORMATS, "saved_model"])
def test_every_format_is_baked_by_the_labels_name(run, data, tmp_path, format):
    style = tmp_path / "calm.npy"
    np.save(style, np.linspace(-1, 1, STYLE, dtype=np.float32))
    options = {"direction": "any", "label": "winter", "bake": {"style": style}}
    path = exported(run, data, tmp_path, format, target_db=30.0, **options)
    assert f"any-{format}-calm-winter" in str(path)
    known = sidecar.verify(path.with_suffix(".json"))
    assert known.domains == {"source": "any", "target": "winter"}
    assert known.recipe["baked"]["label"] == {"labels": "winter"}
    assert known.recipe["baked"]["style"]["file"] == "calm.npy"
    assert all(len(one.inputs) == 1 for one in known.signatures)
    pixels = pictures(data)
    given = {"style": np.load(style)[None].repeat(2, 0), "label": WINTER[None].repeat(2, 0)}
    if format == "saved_model":
        call = tf.saved_model.load(path).signatures["predict_tensor"]
        answers = np.rint(call(image=tf.cast(pixels, tf.float32))["translation"]).astype(int)
    else:
        answers = TFLiteTranslator(path)(pixels).astype(int)
    error = np.abs(answers - expected(None, pixels, given))
    exact = format in ("float32", "saved_model")
    assert error.max() <= 1 if exact else error.mean() < 8


def test_a_saved_model_describes_open_conditions_and_can_be_served(run, data, tmp_path):
    path = exported(run, data, tmp_path, "saved_model", accept=False, direction="any")
    known = sidecar.verify(path.with_suffix(".json"))
    for one in known.signatures:
        kinds = {tensor.name: tensor.kind for tensor in one.inputs[1:]}
        assert kinds == {"style": "style", "label": "label"}
        assert one.inputs[0].domain == "any" and one.outputs[0].domain is None
    assert len(refuse_unservable(path)) == 2  # warm-up records answered by the session


def test_a_name_with_a_2_in_it_leads_where_its_direction_says(run, data, tmp_path):
    read, plain = [], data.pixels

    def pixels(split, domain, side, **options):
        found = plain(split, domain, side, **options)
        read.append((split, domain, side[0], len(found[0])))
        return found

    watched = Dataset("drawn", train=data.train, test=data.test)
    watched.pixels = pixels
    options = {"direction": "1920s2late2day", "io": "uint8", "sizes": (32, 48)}
    path = exported(run, watched, tmp_path, "int8", **options)
    assert path.name == "1920s2late2day-int8-uint8-32-48.tflite"
    assert {domain for _, domain, *_ in read} == {"1920s2late"}
    assert {(split, side, count) for split, _, side, count in read} == {
        *(("train", side, 4) for side in (32, 48)),
        *(("test", side, 3) for side in (32, 48)),
    }
    known = sidecar.verify(path.with_suffix(".json"))
    assert known.domains == {"source": "1920s2late", "target": "day"}
    assert [one.name for one in known.signatures] == ["translate_32x32", "translate_48x48"]
    shown, style = pictures(data, 48), values_of(Seasons.conditions[:1], 2)
    answers = TFLiteTranslator(path, signature="translate_48x48")(shown, **style).astype(int)
    assert np.abs(answers - expected("day", shown, style)).mean() < 8


def test_the_first_direction_is_taken_and_free_sizes_keep_the_inputs(run, data, tmp_path):
    path = exported(run, data, tmp_path, dynamic=True)
    assert path.name == "day2dusk-float32-dynamic.tflite"
    shown, style = pictures(data, 48), values_of(Seasons.conditions[:1], 2)
    answers = TFLiteTranslator(path)(shown, **style).astype(int)
    assert np.abs(answers - expected("dusk", shown, style)).max() <= 1


def test_bench_measures_files_with_inputs_beside_the_plain_export(run, data, tmp_path):
    for format in ("float32", "int8"):
        exported(run, data, tmp_path / "out", format, direction="any")
    found = bench([tmp_path / "out"], threads=(1,), runs=2, plain=run)
    assert [one.name for one in found] == ["any-float32", "any-int8", PLAIN]
    for one in found:
        assert one.latency[1].median_ms > 0
        assert one.memory_mb is None or one.memory_mb > 0
        assert one.ratio_plain is not None


def test_an_export_on_the_command_line(run, data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "pictures_of", lambda run, overrides: (data, "squash"))
    arguments = ["export", str(run.path), "--format", "float32", "--images", "2"]
    arguments += ["--to", str(tmp_path / "out")]
    assert main([*arguments, "--direction", "any", "--label", "winter"]) == 0
    assert (tmp_path / "out" / "any-float32-winter.tflite").is_file()
    for more, message in {
        ("--direction", "day2noon"): "Seasons has no direction 'day2noon'; choose day2dusk",
        ("--direction", "any", "--label", "spring"): "no label 'spring'; choose from day",
        ("--label", "winter"): "There is no label to choose here",
    }.items():
        capsys.readouterr()
        assert main([*arguments, *more]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1, error


@pytest.fixture
def painter(tmp_path, monkeypatch):
    """A run of a sampler, and the sampler itself."""
    system = Painter(width=4, latent_size=LATENT)
    monkeypatch.setattr(Run, "load_system", lambda self, which="last": system)
    monkeypatch.setattr(Run, "directions", Painter.directions)
    monkeypatch.setattr(Run, "network", lambda self, direction: system.network(direction))
    return Run.create(tmp_path / "runs", "Painter", "drawn", {"system": "Painter"}, {}), system


def painted(path, values):
    """The pictures that an artefact of a sampler makes of values (N, ...) by name."""
    return sampler(path)(**values).astype(int)


@pytest.mark.often("int8", "saved_model")
@pytest.mark.parametrize("format", [*FORMATS, "saved_model"])
@pytest.mark.parametrize("label", [None, "winter"])
def test_a_sampler_is_exported_open_and_with_a_baked_label(painter, data, tmp_path, format, label):
    run, system = painter
    path = exported(run, data, tmp_path, format, accept=False, target_db=30.0, label=label)
    known = sidecar.verify(path.with_suffix(".json"))
    assert known.name == f"sample-{format}{'' if label is None else '-winter'}"
    assert known.domains == {"source": None, "target": label or "any"}
    assert known.agreement["passed"] and known.agreement["pictures"] == 3
    for signature in known.signatures:
        by_name = {one.name: one for one in signature.inputs}
        assert list(by_name) == ["latent"] if label else sorted(by_name) == ["label", "latent"]
        assert len(by_name["latent"].presets) == 8 and by_name["latent"].kind == "latent"
        (made,) = signature.outputs
        assert made.kind is None and (made.domain, made.dtype) in (
            (label or "any", "float32"),
            (label or "any", "string"),
        )
    values = values_of(system.conditions, 3, seed=4, labels=label)
    expected = system.sample(3, seed=4, labels=label).astype(int)
    open_values = {name: values[name] for name in by_name}
    error = np.abs(painted(path, open_values) - expected)
    exact = format in ("float32", "saved_model")
    assert error.max() <= 1 if exact else error.mean() < 8
    other = system.sample(3, seed=5, labels=label).astype(int)
    assert np.abs(painted(path, open_values) - other).max() > 1


@pytest.fixture
def painted_seasons(tmp_path, monkeypatch):
    """A run of a system that reads styles from pictures, and the system."""
    return run_of(stand_in_module.Seasons(width=4), tmp_path, monkeypatch)


def run_of(system, tmp_path, monkeypatch):
    monkeypatch.setattr(Run, "load_system", lambda self, which="last": system)
    monkeypatch.setattr(Run, "directions", system.directions)
    monkeypatch.setattr(Run, "network", lambda self, direction: system.network(direction))
    return Run.create(tmp_path / "runs", "Stand", "seasons", {"system": "Stand"}, {}), system


@pytest.mark.parametrize(
    ("format", "options", "names"),
    [
        ("float32", {"direction": "day2winter"}, [("encode", "winter")]),
        ("int8", {"direction": "any", "label": "winter"}, [("encode", "winter")]),
        (
            "saved_model",
            {"direction": "any"},
            [(f"encode_{i}", name) for i, name in enumerate(stand_in_module.DOMAINS)],
        ),
    ],
)
def test_an_encoder_lies_beside_the_artefact(painted_seasons, tmp_path, format, options, names):
    run, system = painted_seasons
    choice = Choice(format, images=2, calibration=8, **options)
    path = export(run, seasons(), choice, to=tmp_path, accept=True, aspect="crop")
    known = sidecar.verify(path.with_suffix(".json"))
    for signature in known.signatures:
        by_name = {one.name: one for one in signature.inputs}
        style = by_name["style"]
        assert style.encoder == path.name.removesuffix(".tflite") + "-style-encoder.tflite"
        assert style.aspect == "crop"
        assert {one.encoder for one in by_name.values()} == {None, style.encoder}
    content = (path.parent / style.encoder).read_bytes()
    assert style.encoder_sha256 == hashlib.sha256(content).hexdigest()
    interpreter = opened(content)
    assert sorted(interpreter.get_signature_list()) == [name for name, _ in names]
    pixels = seasons().pixels("test", "day", 32)[0][:1]
    for signature, target in names:
        made = interpreter.get_signature_runner(signature)(image=np.float32(pixels))["value"]
        wanted = np.asarray(system.style_encoder(target)(to_image(pixels)))
        np.testing.assert_allclose(made, wanted, atol=1e-5 if format != "int8" else 5e-3)
        about = (style.encoder_sha256, made.shape[1:], stand_in_module.DOMAINS, style.aspect)
        reader = encoders.companion_reader(path.parent / style.encoder, *about)
        for given in (pixels[0], sixteen_bit(pixels[0])):
            np.testing.assert_allclose(reader(given, target), made[0], atol=1e-5)
    if format == "int8":
        assert [one.name for one in bench([tmp_path], threads=(1,), runs=1)] == [path.stem]


def test_an_encoder_that_differs_from_keras_is_refused(painted_seasons, tmp_path, monkeypatch):
    run, _ = painted_seasons
    monkeypatch.setattr(encoders, "LIMITS", {False: -1.0, True: -1.0})
    with pytest.raises(InputError, match="encoder of reference pictures differs from Keras by"):
        export(run, seasons(), Choice("float32", images=2), to=tmp_path / "out", accept=True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("format", ["float32", "int8-npu", "saved_model"])
def test_a_second_picture_is_an_input_of_its_own(tmp_path, monkeypatch, format):
    run, system = run_of(stand_in_module.Tinter(), tmp_path, monkeypatch)
    domains = stand_in_module.domains_of
    pairs = {split: domains(split, ("a", "b"), 8) for split in ("train", "test")}
    data = Dataset("pairs", **pairs)
    choice = Choice(format, images=3, calibration=8)
    path = export(run, data, choice, to=tmp_path, accept=format[:3] == "int")
    known = sidecar.verify(path.with_suffix(".json"))
    for signature in known.signatures:
        _, second = signature.inputs
        assert (second.name, second.kind, second.dtype) == ("reference", "picture", "float32")
        assert (second.layout, second.colour, second.range) == ("NHWC", "RGB", (-1.0, 1.0))
        assert (second.domain, second.aspect, second.presets) == ("b", "squash", ())
    shown, given = (data.pixels("test", name, 32)[0][:2] for name in "ab")
    values = {"reference": to_image(given)}
    expected = to_pixels(np.asarray(system.generator([to_image(shown), *values.values()])))
    if format == "saved_model":
        call = tf.saved_model.load(path).signatures["predict_tensor"]
        answers = np.rint(call(image=tf.cast(shown, tf.float32), **values)["translation"])
    else:
        answers = TFLiteTranslator(path)(shown, **values)
    error = np.abs(answers.astype(int) - expected)
    assert error.max() <= 1 if format != "int8-npu" else error.mean() < 8
    if format == "float32":
        Image.fromarray(given[0]).save(tmp_path / "warm.png")
        choice = Choice(format, images=2, bake={"reference": tmp_path / "warm.png"})
        path = export(run, data, choice, to=tmp_path)
        assert path.name == "a2b-float32-warm.tflite"
        baked = TFLiteTranslator(path)(shown[:1])
        assert np.abs(baked.astype(int) - expected[:1]).max() <= 1


def test_a_sampler_bakes_its_latent_and_describes_itself(painter, data, tmp_path):
    run, system = painter
    latent = tmp_path / "calm.npy"
    np.save(latent, np.linspace(-1, 1, LATENT, dtype=np.float32))
    options = {"io": "uint8", "bake": {"latent": latent}}
    path = exported(run, data, tmp_path, "int8", accept=False, **options)
    assert path.name == "sample-int8-uint8-calm.tflite"
    (signature,) = sidecar.verify(path.with_suffix(".json")).signatures
    assert [one.name for one in signature.inputs] == ["label"]
    assert (signature.outputs[0].dtype, signature.outputs[0].range) == ("uint8", (0, 255))
    about = read_metadata(path.read_bytes())
    assert about["description"].startswith("Makes pictures of domain any: Painter trained on drawn")
    label = np.eye(3, dtype=np.float32)
    given = {"latent": np.load(latent), "label": label}
    expected = system.sample(3, given=given).astype(int)
    assert np.abs(painted(path, {"label": label}) - expected).mean() < 8
    with pytest.raises(InputError, match="All inputs of .* are baked; leave one open"):
        exported(run, data, tmp_path, "int8", label="day", **options)
    for more in ({"sizes": (64,)}, {"dynamic": True}):
        with pytest.raises(InputError, match="This sampler makes pictures of 32 x 32 alone: leave"):
            exported(run, data, tmp_path, **more)


def test_a_sampler_warms_up_without_pictures_and_takes_its_own_rows(painter, data, tmp_path):
    run, _ = painter
    path = exported(run, data, tmp_path, "saved_model")
    assert len(refuse_unservable(path)) == 2
    call = tf.saved_model.load(path).signatures["predict_tensor"]
    with pytest.raises(tf.errors.InvalidArgumentError, match="Give a row for each picture"):
        call(latent=tf.zeros((2, LATENT)), label=tf.zeros((1, 3)))


def test_bench_measures_samplers_beside_the_plain_export(painter, data, tmp_path):
    run, _ = painter
    for format in ("float32", "int8"):
        exported(run, data, tmp_path / "out", format)
    found = bench([tmp_path / "out"], threads=(1,), runs=2, plain=run)
    assert [one.name for one in found] == ["sample-float32", "sample-int8", PLAIN]
    assert {one.size for one in found} == {(32, 32)}
    for one in found:
        assert one.latency[1].median_ms > 0
        assert one.ratio_plain is not None
