"""A style and a label give the same picture wherever the network is: run, files, Beam."""

import dataclasses
import shutil

import keras
import numpy as np
import pytest
from inputs_stand_in import FIELDS, LABEL, NAMES, STYLE, stand_in
from PIL import Image
from small_files import network, written
from stand_in import Painter, Seasons, Tinter, domains_of, register, seasons
from tfi2i_export import sidecar
from tfi2i_export.artefacts import inputs_of
from tfi2i_export.choice import Choice
from tfi2i_export.exporting import export
from tfi2i_export.graph.fold import fold
from tfi2i_export.saved_model.writing import save
from tfi2i_export.signatures import of_file
from tfi2i_export.tflite.conversion import convert

from tfi2i import models
from tfi2i.cli import main
from tfi2i.conditions import A_TO_B, Condition, values_of
from tfi2i.data.dataset import Dataset
from tfi2i.data.resize import scaled_to
from tfi2i.models import NICEGAN
from tfi2i.pictures.depth import spread
from tfi2i.pictures.files import read_picture
from tfi2i.pictures.pixels import to_image
from tfi2i.pictures.tiles import PictureTranslator
from tfi2i.runs.keras_files import save_network
from tfi2i.runs.run import Run

pytest.importorskip("ai_edge_litert")

DOMAINS = {"source": "a", "target": "b"}
CONDITIONS = (
    Condition("style", "style", (STYLE,)),
    Condition("label", "label", (LABEL,), names=NAMES),
)
SHOWN = np.random.default_rng(3).integers(0, 256, (45, 37, 3), np.uint8)


def encoder_of(target):
    """The mean colour of a reference picture, in another order for the domain "winter"."""
    image = keras.Input((None, None, 3))
    colour = keras.layers.GlobalAveragePooling2D()(image)
    order = [2, 1, 0] if target == "winter" else [0, 1, 2]
    return keras.Model(image, keras.ops.take(keras.ops.tile(colour, (1, 3)), order * 2 + [0, 1], 1))


class Reader:
    """A system that reads a style from a reference picture."""

    image_size = 16

    def conditions_of(self, direction=None):
        return dataclasses.replace(CONDITIONS[0], encode=encoder_of), CONDITIONS[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Files of a picture and of a style."""
    folder = tmp_path_factory.mktemp("given")
    (folder / "photos").mkdir()
    Image.fromarray(SHOWN).save(folder / "photos" / "one.png")
    np.save(folder / "style.npy", np.linspace(-2, 2, STYLE))
    np.save(folder / "label.npy", np.eye(LABEL)[2])
    return folder


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """One network in a run, a .keras file, a .tflite file and a SavedModel, by name."""
    folder = tmp_path_factory.mktemp("places")
    run = Run.create(folder, "NICEGAN", "scenes", {"system": "NICEGAN"}, {})
    save_network(stand_in(), run.translator_path("a2b"), CONDITIONS, "b")
    folded = fold(stand_in(), side=None)
    content = convert(folded)
    signatures = of_file(content, DOMAINS, FIELDS)
    path = written(folder, "free", content, multiple=2, signatures=signatures)
    version = save(folded, folder / "a2b-saved_model")
    sha256, size = sidecar.fingerprint(version)
    changes = {"file": version.name, "sha256": sha256, "size_bytes": size}
    record = dataclasses.replace(sidecar.read(path.with_suffix(".json")), **changes)
    sidecar.write(record, version.with_suffix(".json"))
    return {
        "run": run.path,
        "keras": run.translator_path("a2b"),
        "tflite": path,
        "saved_model": version.parent,
        "version": version,
    }


def translate(model, folder, out, *more):
    """The exit code of `tfi2i translate`."""
    words = ["translate", model, folder / "photos", "--out", out, *more]
    return main([str(word) for word in words])


def beam(model, folder, out, *more):
    """The exit code of the Beam pipeline."""
    pytest.importorskip("apache_beam", reason="needs apache-beam: pip install 'tfi2i[beam]'")
    from tfi2i_export.serving.beam import main as beam_main

    more = ["--value" if word == "--input" else word for word in more]
    words = ["--model", model, "--input", folder / "photos", "--out", out, *more]
    return beam_main([str(word) for word in words])


def result(out):
    return np.asarray(Image.open(out / "one.png")).astype(int)


def expected(multiple=None, **chosen):
    values = values_of(CONDITIONS, 1, **chosen)
    return PictureTranslator(stand_in(), values=values, multiple=multiple)(SHOWN)


@pytest.mark.parametrize(
    ("place", "program"),
    [
        *((place, translate) for place in ("run", "keras", "tflite", "saved_model", "version")),
        *((place, beam) for place in ("tflite", "saved_model")),
    ],
)
def test_the_same_values_give_the_same_picture(places, folder, tmp_path, place, program):
    allowed = 0 if place in ("run", "keras") else 1
    style, label = np.linspace(-2, 2, STYLE), np.eye(LABEL)[2]
    asked = [
        (
            ["--input", f"style={folder}/style.npy", "--label", "winter"],
            {"given": {"style": style}, "labels": "winter"},
        ),
        (["--seed", "5", "--label", "1920s"], {"seed": 5, "labels": "1920s"}),
        (["--input", f"{folder}/label.npy"], {"given": {"label": label}}),
    ]
    pictures = []
    for i, (more, chosen) in enumerate(asked):
        assert program(places[place], folder, tmp_path / f"{i}", *more) == 0
        pictures.append(result(tmp_path / f"{i}"))
        assert np.abs(pictures[i] - expected(**chosen)).max() <= allowed
    assert min(np.abs(one - pictures[0]).max() for one in pictures[1:]) > 5


@pytest.mark.parametrize("place", ["run", "keras", "tflite", "saved_model"])
def test_one_line_says_what_was_sampled(places, folder, tmp_path, capsys, place):
    def said(out, *more):
        assert translate(places[place], folder, out, *more) == 0
        lines = capsys.readouterr().err.splitlines()
        return [line for line in lines if line.startswith("Sampled")]

    sampled = [*said(tmp_path / "none"), *said(tmp_path / "day", "--label", "day")]
    assert {"style", "label"} == set(sampled[0].split(" with ")[0][8:].split(", "))
    assert sampled[1] == "Sampled style with --seed 0 for all pictures."
    assert np.abs(result(tmp_path / "none") - expected(seed=0)).max() <= 1


@pytest.mark.parametrize("place", ["run", "keras", "tflite", "saved_model"])
@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--label", "spring"], "There is no label 'spring'; choose from day, dusk, night"),
        (["--label", "day,dusk"], "One label is needed"),
        (["--label", "day", "--input", "FOLDER/label.npy"], "'label' is given twice"),
        (["--input", "style=FOLDER/label.npy"], "style has the shape (5,); (8,) is needed"),
        (["--input", "code=FOLDER/label.npy"], "There is no input 'code'"),
        (["--input", "style=FOLDER/photos/one.png"], "one.png is not a .npy file"),
        (["--seed", "-1"], "The seed is -1; give a whole number from 0 on"),
    ],
)
def test_what_cannot_be_chosen_is_refused(places, folder, tmp_path, capsys, place, more, message):
    more = [word.replace("FOLDER", str(folder)) for word in more]
    assert translate(places[place], folder, tmp_path / "out", *more) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_beam_refuses_what_cannot_be_chosen(places, folder, tmp_path, capsys):
    assert beam(places["tflite"], folder, tmp_path / "out", "--label", "spring") == 2
    assert "There is no label 'spring'" in capsys.readouterr().err
    shown = folder / "photos" / "one.png"
    assert beam(places["tflite"], folder, tmp_path / "out", "--reference", shown) == 2
    assert "has no encoder beside it; leave --reference out." in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("direction", [A_TO_B, (dataclasses.replace(A_TO_B[0], target=None),)])
def test_a_reference_gives_its_style(places, folder, tmp_path, monkeypatch, direction):
    monkeypatch.setattr(Run, "load_system", lambda self, which="last": Reader())
    monkeypatch.setattr(NICEGAN, "directions", direction)
    reference = np.full((20, 30, 3), (250, 128, 10), np.uint8)
    Image.fromarray(reference).save(tmp_path / "reference.png")
    more = ["--reference", tmp_path / "reference.png", "--label", "winter"]
    assert translate(places["run"], folder, tmp_path / "out", *more) == 0
    target = "winter" if direction[0].target is None else "b"
    style = np.asarray(encoder_of(target)(to_image(reference[None, :16, :16])))[0]
    assert np.ptp(style) > 1
    found = expected(given={"style": style}, labels="winter")
    np.testing.assert_array_equal(result(tmp_path / "out"), found)


@pytest.mark.parametrize(
    ("place", "reference", "more", "message"),
    [
        ("keras", "photos/one.png", (), "a2b.keras cannot read a picture's style; translate with"),
        ("tflite", "photos/one.png", (), "free.tflite cannot read a picture's style"),
        ("version", "photos/one.png", (), "1 cannot read a picture's style"),
        ("run", "style.npy", (), "style.npy is not a picture"),
        ("run", "absent.png", (), "absent.png"),
        ("run", "photos/one.png", ("--input", "FOLDER/style.npy"), "'style' is given twice"),
    ],
)
def test_references_that_cannot_be_read_are_refused(
    places, folder, tmp_path, capsys, monkeypatch, place, reference, more, message
):
    monkeypatch.setattr(Run, "load_system", lambda self, which="last": Reader())
    more = [word.replace("FOLDER", str(folder)) for word in more]
    more += ["--reference", folder / reference]
    assert translate(places[place], folder, tmp_path / "out", *more) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_run_without_encoder_reads_no_reference(places, folder, tmp_path, capsys, monkeypatch):
    class Plain(Reader):
        def conditions_of(self, direction=None):
            return CONDITIONS

    monkeypatch.setattr(Run, "load_system", lambda self, which="last": Plain())
    more = ("--reference", folder / "photos" / "one.png")
    assert translate(places["run"], folder, tmp_path / "out", *more) == 2
    assert "has nothing that reads a picture's style" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["keras", "tflite", "saved_model"])
def test_what_describes_no_inputs_needs_their_values(places, folder, tmp_path, capsys, place):
    """Neither a sidecar nor conditions in the file: names and shapes are known, values are not."""
    bare = tmp_path / places[place].name
    if place == "keras":
        stand_in().save(bare)
    elif place == "tflite":
        shutil.copy(places[place], bare)
    else:
        shutil.copytree(places[place] / "1", bare / "1")
    styled = ("--seed", "3", "--input", folder / "style.npy")
    for more, missing in (((), "label (5,)|style (8,)"), (styled, "label (5,)")):
        assert translate(bare, folder, tmp_path / "out", *more) == 2
        error = capsys.readouterr().err
        assert any(f"also takes {one} and knows no values" in error for one in missing.split("|"))
    assert translate(bare, folder, tmp_path / "out", *styled, "--label", "day") == 2
    assert "There is no label to choose here" in capsys.readouterr().err
    values = (*styled, "--input", folder / "label.npy")
    assert translate(bare, folder, tmp_path / "out", *values) == 0
    given = {"style": np.linspace(-2, 2, STYLE), "label": np.eye(LABEL)[2]}
    multiple = 4 if place == "saved_model" else None  # nobody says that 2 will do
    found = expected(multiple, given=given)
    assert np.abs(result(tmp_path / "out") - found).max() <= 1


@pytest.mark.parametrize(
    ("fields", "sampled"),
    [
        ({"distribution": "normal", "presets": ()}, True),
        ({"distribution": "uniform"}, True),
        ({"distribution": None}, True),
        ({"distribution": "uniform", "presets": ()}, False),
        ({"distribution": None, "presets": ()}, False),
    ],
)
def test_only_what_a_sidecar_knows_is_sampled(places, folder, tmp_path, capsys, fields, sampled):
    content = places["tflite"].read_bytes()
    fields = {**FIELDS, "style": {**FIELDS["style"], **fields}}
    signatures = of_file(content, DOMAINS, fields)
    path = written(tmp_path, "other", content, multiple=2, signatures=signatures)
    assert translate(path, folder, tmp_path / "out", "--seed", "2") == (0 if sampled else 2)
    if not sampled:
        assert "also takes style (8,) and knows no values for it" in capsys.readouterr().err
        return
    values = values_of(inputs_of(path).conditions, 1, seed=2)
    made = PictureTranslator(stand_in(), values=values)(SHOWN).astype(int)
    assert np.abs(result(tmp_path / "out") - made).max() <= 1
    presets = [preset.values for preset in FIELDS["style"]["presets"]]
    among = any(np.allclose(values["style"][0], preset) for preset in presets)
    assert among == (fields["style"]["distribution"] != "normal")


def test_without_a_label_there_is_none_to_choose(folder, tmp_path, capsys):
    network().save(tmp_path / "plain.keras")
    assert translate(tmp_path / "plain.keras", folder, tmp_path / "out", "--label", "day") == 2
    assert "There is no label to choose here; leave 'day' out." in capsys.readouterr().err


def test_a_sampler_has_nothing_to_translate(folder, tmp_path, capsys, monkeypatch):
    for model in sampler_places(tmp_path, monkeypatch)[1]:
        assert translate(model, folder, tmp_path / "out") == 2
        assert "makes pictures of none, so there is nothing to translate" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def sampler_places(tmp_path, monkeypatch):
    """A sampler; and its run, .keras file, .tflite file and SavedModel."""
    register(monkeypatch)
    system = Painter(width=4)
    run = Run.create(tmp_path, "Painter", "seasons", {"system": "Painter"}, {})
    run.save_translators(system)
    monkeypatch.setattr(Run, "load_system", lambda self, which="last": system)
    files = [
        export(run, seasons(), Choice(format, images=2, calibration=8))
        for format in ("float32", "saved_model")
    ]
    return system, [run.path, run.translator_path("sample"), *files]


def reading_places(system, direction, data, tmp_path, monkeypatch):
    """A system's run, .keras file, .tflite file and SavedModel, that of the server, by name."""
    monkeypatch.setitem(models.ALL, type(system).__name__, type(system))
    about = {"system": type(system).__name__, "batches": {"aspect": "crop"}}
    run = Run.create(tmp_path / "runs", type(system).__name__, "drawn", about, {})
    run.save_translators(system)
    monkeypatch.setattr(Run, "load_system", lambda self, which="last": system)
    places = {"run": run.path, "keras": run.translator_path(direction)}
    for format in ("float32", "saved_model"):
        choice = Choice(format, images=2, calibration=8, direction=direction)
        places[format] = export(run, data, choice, aspect="crop")
    return places


@pytest.fixture
def shown(tmp_path):
    """The path of a reference picture that is no square."""
    pixels = np.random.default_rng(5).integers(0, 256, (5, 9, 3), np.uint8)
    pixels = np.repeat(np.repeat(pixels, 8, 0), 8, 1)
    Image.fromarray(pixels).save(tmp_path / "shown.png")
    return tmp_path / "shown.png"


@pytest.mark.parametrize(
    ("direction", "target", "more"),
    [("day2winter", "winter", ()), ("any", "1920s2dusk", ("--label", "1920s2dusk"))],
)
def test_a_reference_gives_its_style_wherever_the_network_is(
    folder, shown, tmp_path, capsys, monkeypatch, direction, target, more
):
    system = Seasons(width=4)
    places = reading_places(system, direction, seasons(), tmp_path, monkeypatch)
    square = scaled_to(np.asarray(Image.open(shown)), system.image_size, "crop")
    style = np.asarray(system.style_encoder(target)(to_image(square)[None]))[0]
    labels = {"labels": target} if more else {}
    made = system.translate(SHOWN, direction, given={"style": style}, **labels).astype(int)
    run = ("--direction", direction)
    for place in ("run", "float32", "saved_model"):
        options = [*more, "--reference", shown, *(run if place == "run" else ())]
        assert translate(places[place], folder, tmp_path / place, *options) == 0
        assert np.abs(result(tmp_path / place) - made).max() <= (0 if place == "run" else 1)
    assert beam(places["float32"], folder, tmp_path / "beam", *more, "--reference", shown) == 0
    assert np.abs(result(tmp_path / "beam") - made).max() <= 1
    encoder = places["float32"].with_name(f"{places['float32'].stem}-style-encoder.tflite")
    kept = encoder.read_bytes()
    for content, message in (
        (kept[:-4] + b"abcd", "is not the encoder that the sidecar names; copy both again"),
        (None, "encoder.tflite cannot be read"),
    ):
        encoder.unlink()
        if content:
            encoder.write_bytes(content)
        assert translate(places["float32"], folder, tmp_path / "out", "--overwrite", *more) == 0
        capsys.readouterr()
        options = (*more, "--reference", shown)
        assert translate(places["float32"], folder, tmp_path / "no", *options) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1


def test_numbers_of_a_range_are_read_and_written_wherever_the_network_is(tmp_path, monkeypatch):
    """Also those of a second picture, which is one of the target domain."""
    system = Tinter()
    monkeypatch.setitem(models.ALL, "Tinter", Tinter)
    data = {"value_range": {"a": [0.0, 4095.0], "b": [0.0, 1000.0]}}
    run = Run.create(tmp_path, "Tinter", "x", {"system": "Tinter", "data": data}, {})
    run.save_translators(system)
    monkeypatch.setattr(Run, "load_system", lambda self, which="last": system)
    (tmp_path / "photos").mkdir()
    drawn = np.random.default_rng(0)
    numbers = drawn.integers(0, 4096, (40, 48), np.uint16)
    second = drawn.integers(0, 1001, (32, 32), np.uint16)
    Image.fromarray(numbers).save(tmp_path / "photos" / "one.png")
    Image.fromarray(second).save(tmp_path / "second.png")
    ranged = (numbers, 0, 4095), (second, 0, 1000)
    wide = [np.repeat(spread(*one)[..., None], 3, -1) for one in ranged]
    values = {"reference": to_image(wide[1])[None]}
    made = PictureTranslator(system.network("a2b"), values=values, deep=True)(wide[0])
    expected = np.rint(made / 65535 * 1000)
    given = tmp_path / "second.png"
    for model in (run.path, run.translator_path("a2b")):
        for option in (("--reference", given), ("--input", f"reference={given}")):
            assert translate(model, tmp_path, tmp_path / "out", "--overwrite", *option) == 0
            found = read_picture(tmp_path / "out" / "one.png", value_range=(0, 65535))
            assert np.abs(found.pixels - expected).max() <= 1 and found.deep


def test_a_second_picture_is_the_same_wherever_the_network_is(
    folder, shown, tmp_path, capsys, monkeypatch
):
    system = Tinter()
    splits = {split: domains_of(split, ("a", "b"), 3) for split in ("train", "test")}
    places = reading_places(system, "a2b", Dataset("drawn", **splits), tmp_path, monkeypatch)
    whole = to_image(scaled_to(np.asarray(Image.open(shown)), 32, "squash"))
    centre = to_image(scaled_to(np.asarray(Image.open(shown)), 32, "crop"))
    pictures = {}
    for place, model in places.items():
        # A .keras file knows nothing of the data that its system was trained on.
        given = {"reference": whole if place == "keras" else centre}
        made = system.translate(SHOWN, given=given).astype(int)
        both = (("--reference", shown), ("--input", f"reference={shown}"))
        if place == "float32":
            for i, option in enumerate(both):
                assert beam(model, folder, tmp_path / f"beam-{i}", *option) == 0
                assert np.abs(result(tmp_path / f"beam-{i}") - made).max() <= 1
        for i, option in enumerate(both):
            out = tmp_path / f"{place}-{i}"
            assert translate(model, folder, out, *option) == 0
            allowed = 0 if place in ("run", "keras") else 1
            assert np.abs(result(out) - made).max() <= allowed
        pictures[place] = made
        capsys.readouterr()
        assert translate(model, folder, tmp_path / "no") == 2
        assert "A picture is needed for 'reference'; give one." in capsys.readouterr().err
    assert np.abs(pictures["keras"] - pictures["run"]).max() > 0


def sample(model, out, *more):
    """The exit code of `tfi2i sample`."""
    return main([str(word) for word in ("sample", model, "--out", out, *more)])


def test_a_sampler_samples_the_same_pictures_wherever_it_is(folder, tmp_path, capsys, monkeypatch):
    system, places = sampler_places(tmp_path, monkeypatch)
    np.save(tmp_path / "latent.npy", np.linspace(-1, 1, 8))
    given = {"latent": np.linspace(-1, 1, 8)}
    cases = [
        (("--count", 9, "--seed", 3), system.sample(9, seed=3)),
        (("--count", 1, "--label", "winter"), system.sample(1, labels="winter")),
        (("--count", 2, "--input", tmp_path / "latent.npy"), system.sample(2, given=given)),
    ]
    for place, model in enumerate(places):
        for case, (more, expected) in enumerate(cases):
            out = tmp_path / f"{place}-{case}"
            assert sample(model, out, *more) == 0
            files = sorted(out.iterdir())
            assert [one.name for one in files] == [f"{i + 1:04d}.png" for i in range(len(expected))]
            found = np.stack([np.asarray(Image.open(one)).astype(int) for one in files])
            assert np.abs(found - expected).max() <= (0 if place < 2 else 1)
    capsys.readouterr()
    for more, message in (
        (("--count", 0), "--count 0: give a number of pictures from 1 on"),
        (("--format", "txt"), "Pictures cannot be written as 'txt'; use one of"),
        (("--label", "spring"), "There is no label 'spring'; choose from day, 1920s2dusk, winter"),
        (("--sidecar", "x.json"), "--sidecar goes with --server URL"),
        (("--server", "http://localhost:1/v1/models/m"), "leave RUN_OR_SAMPLER out with --server"),
    ):
        assert sample(places[2], tmp_path / "out", *more) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    assert sample(places[2], tmp_path / "0-0") == 2
    assert "0001.png is there already; add --overwrite" in capsys.readouterr().err
    assert sample(places[2], tmp_path / "0-0", "--overwrite", "--count", 1) == 0
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("place", ["run", "keras", "tflite", "saved_model"])
def test_a_translator_samples_nothing(places, tmp_path, capsys, place):
    assert sample(places[place], tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert "translates pictures and makes none by itself; use tfi2i translate." in error
    assert error.count("\n") == 1 and not (tmp_path / "out").exists()


def test_directions_are_those_of_the_run(places, folder, tmp_path, capsys):
    for option in ("b2c", "../checkpoints/last"):
        more = ("--direction", option, "--label", "day")
        assert translate(places["run"], folder, tmp_path / "out", *more) == 2
        error = capsys.readouterr().err
        assert f"has no direction {option!r}; choose a2b, b2a." in error
    for command in (["export"], ["serve"], ["study", "--out", str(tmp_path / "study")]):
        assert main([*command, str(places["run"]), "--direction", "day2dusk"]) == 2
        assert "has no direction 'day2dusk'; choose a2b, b2a." in capsys.readouterr().err


def test_a_run_of_many_domains_translates_as_its_system(folder, tmp_path, capsys, monkeypatch):
    register(monkeypatch)
    system = Seasons(width=4)
    run = Run.create(tmp_path, "Seasons", "seasons", {"system": "Seasons"}, {})
    run.save_translators(system)
    style = np.load(folder / "style.npy")
    cases = [
        ((), {"direction": "day21920s2dusk"}),
        (("--direction", "1920s2dusk2winter", "--seed", 3), {"seed": 3}),
        (("--direction", "any", "--label", "winter", "--seed", 4), {"seed": 4, "labels": "winter"}),
        (
            ("--direction", "any", "--label", "1920s2dusk", "--input", folder / "style.npy"),
            {"labels": "1920s2dusk", "given": {"style": style}},
        ),
    ]
    for i, (more, chosen) in enumerate(cases):
        chosen = {"direction": more[1] if more else None} | chosen
        assert translate(run.path, folder, tmp_path / f"{i}", *more) == 0
        np.testing.assert_array_equal(result(tmp_path / f"{i}"), system.translate(SHOWN, **chosen))
    capsys.readouterr()
    for direction, label, message in (
        ("day2winter", "winter", "There is no label to choose here; leave 'winter' out."),
        ("any", "spring", "There is no label 'spring'; choose from day, 1920s2dusk, winter."),
        ("day2spring", "winter", "choose day21920s2dusk, day2winter, 1920s2dusk2day"),
    ):
        more = ("--direction", direction, "--label", label)
        assert translate(run.path, folder, tmp_path / "out", *more) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
