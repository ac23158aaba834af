"""Folders of pictures through a Beam pipeline: as `tfi2i translate` does it, and restarted."""

import json
import sys

import numpy as np
import pytest
from PIL import Image
from small_files import free_file, network, point_file, written

pytest.importorskip("apache_beam", reason="needs apache-beam: pip install 'tfi2i[beam]'")

from tfi2i_export.saved_model.writing import save
from tfi2i_export.serving import beam_pipeline
from tfi2i_export.serving.beam import main
from tfi2i_export.serving.beam_pipeline import PictureHandler, planned

from tfi2i.cli import main as tfi2i
from tfi2i.errors import InputError
from tfi2i.pictures.files import read_picture
from tfi2i.pictures.tiles import PictureTranslator


def picture(height, width, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


def run(model, pictures, out, *more):
    words = ["--model", model, "--input", pictures, "--out", out, *more]
    return main([str(word) for word in words])


def failures(out):
    lines = (out / "failed.jsonl").read_text(encoding="utf-8").splitlines()
    return {one["path"]: one["reason"] for one in map(json.loads, lines)}


def files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return written(tmp_path_factory.mktemp("model"), "free", free_file())


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory):
    """The folder of versions 9 and 10; 9 is no SavedModel."""
    base = tmp_path_factory.mktemp("saved") / "a2b-saved_model"
    (base / "9").mkdir(parents=True)
    save(network(), base)
    return base


@pytest.fixture
def photos(tmp_path):
    """Sub-folders, formats that become PNG, a turned photograph, and what is no picture."""
    folder = tmp_path / "photos"
    (folder / "sub" / "deep").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    tag = Image.Exif()
    tag[0x0112] = 6
    Image.fromarray(picture(20, 33)).save(folder / "turned.jpg", exif=tag)
    Image.fromarray(picture(8, 9, seed=1)).save(folder / "sub" / "one.png")
    Image.fromarray(picture(40, 37, seed=2)[..., 0]).save(folder / "sub" / "deep" / "grey.pgm")
    Image.fromarray(picture(16, 16, 4, seed=3)).save(folder / "sub" / "clear.png")
    Image.fromarray(picture(16, 16)).save(folder / ".hidden" / "thumbnail.png")
    (folder / "notes.txt").write_text("not a picture")
    return folder


def test_files_are_those_of_tfi2i_translate(model, photos, tmp_path, caplog):
    assert run(model, f"{photos}/**", tmp_path / "out") == 0
    assert "Translated 4 into" in caplog.text and "0 skipped, 0 failed." in caplog.text
    assert tfi2i(["translate", str(model), str(photos), "--out", str(tmp_path / "expected")]) == 0
    expected = files(tmp_path / "expected")
    assert {"turned.jpg", "sub/one.png", "sub/deep/grey.png", "sub/clear.png"} == set(expected)
    assert files(tmp_path / "out") == expected | {"failed.jsonl": b""}


@pytest.mark.parametrize("version", ["", "10"])
def test_a_saved_model_translates_as_its_network(saved_model, photos, tmp_path, version):
    assert run(saved_model / version, photos, tmp_path / "out") == 0
    translate = PictureTranslator(network())
    for name in ("sub/one.png", "sub/clear.png"):
        expected = translate(read_picture(photos / name).pixels).astype(int)
        found = read_picture(tmp_path / "out" / name).pixels
        assert np.abs(found - expected).max() <= 1


def test_what_cannot_be_read_is_listed_and_the_rest_done(model, photos, tmp_path, monkeypatch):
    (photos / "empty.png").touch()
    (photos / "bad.jpg").write_bytes(b"no picture")
    (photos / "large.bmp").write_bytes(bytes(100_000))
    monkeypatch.setattr(beam_pipeline, "LARGEST", 50_000)
    assert run(model, photos, tmp_path / "out") == 0
    found = failures(tmp_path / "out")
    reasons = {"empty.png": "0 bytes", "bad.jpg": "not a picture", "large.bmp": "50,000 bytes"}
    assert set(found) == {str(photos / name) for name in reasons}
    assert all(reason in found[str(photos / name)] for name, reason in reasons.items())
    assert len(files(tmp_path / "out")) == 4 + 1


def test_a_run_without_any_translation_fails(model, tmp_path, capsys):
    (tmp_path / "bad.png").write_bytes(b"no picture")
    assert run(model, tmp_path / "bad.png", tmp_path / "out") == 2
    printed = capsys.readouterr().err
    assert "None of 1 pictures" in printed and "failed.jsonl" in printed
    assert list(failures(tmp_path / "out")) == [str(tmp_path / "bad.png")]


def test_a_run_that_was_stopped_continues(model, photos, tmp_path, caplog):
    out = tmp_path / "out"
    assert run(model, photos, out) == 0
    whole = files(out)
    kept = {out / "turned.jpg", out / "sub" / "deep" / "grey.png"}
    for path in (out / "sub" / "one.png", out / "sub" / "clear.png"):
        path.unlink()
    (out / "sub" / ".tfi2i-0123456789ab.tmp").write_bytes(b"half a pic")
    (out / "failed.jsonl").write_text("an earlier run's")
    before = {path: path.stat().st_mtime_ns for path in kept}
    caplog.clear()
    assert run(model, photos, out) == 0
    assert "Translated 2 into" in caplog.text and "2 skipped" in caplog.text
    assert {path: path.stat().st_mtime_ns for path in kept} == before
    assert files(out).items() >= whole.items()


def test_outputs_are_replaced_only_if_that_is_asked_for(model, photos, tmp_path, caplog):
    out = tmp_path / "out" / "turned.jpg"
    out.parent.mkdir()
    out.write_bytes(b"mine")
    assert run(model, photos / "*.jpg", out.parent) == 0
    assert out.read_bytes() == b"mine" and "Translated 0" in caplog.text
    assert run(model, photos / "*.jpg", out.parent, "--overwrite") == 0
    assert read_picture(out).pixels.shape == (33, 20, 3)


def test_transparent_pictures_become_png_where_they_have_to(model, tmp_path, caplog):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("alone.bmp", "both.bmp"):
        Image.fromarray(picture(8, 8, 4)).save(folder / name, "PNG")
    Image.fromarray(picture(8, 8)).save(folder / "both.png")
    for count in ("Translated 2", "Translated 0"):
        assert run(model, folder, tmp_path / "out") == 0
        assert count in caplog.text
        assert set(files(tmp_path / "out")) == {"alone.png", "both.png", "failed.jsonl"}
        ((path, reason),) = failures(tmp_path / "out").items()
        assert path == str(folder / "both.bmp") and "is transparent" in reason


def test_outputs_inside_of_the_input_folder_are_no_inputs(model, photos):
    for _ in range(2):
        assert run(model, photos, photos / "out") == 0
    assert len(files(photos / "out")) == 4 + 1


def test_several_workers_share_the_pictures(model, tmp_path, caplog):
    folder = tmp_path / "many [2026]"  # not a pattern
    folder.mkdir()
    (tmp_path / "many 2").mkdir()
    Image.fromarray(picture(9, 10)).save(tmp_path / "many 2" / "other.png")
    for i in range(12):
        Image.fromarray(picture(9, 10 + i, seed=i)).save(folder / f"{i}.png")
    workers = ["--direct_num_workers=2", "--direct_running_mode=multi_threading"]
    assert run(model, folder, tmp_path / "out [x]", *workers) == 0
    assert "Translated 12 into" in caplog.text
    assert len(files(tmp_path / "out [x]")) == 12 + 1
    for given, count in ((folder / "1*.png", 3), (folder / "**", 12), (folder / "7.png", 1)):
        assert len(planned(str(given), "out")) == count


def test_a_picture_that_the_model_fails_on_does_not_cost_the_others():
    def model(pixels):
        if pixels.shape[0] == 1:
            raise InputError("too small")
        return 255 - pixels

    batch = [picture(2, 2), picture(1, 2), picture(3, 3)]
    first, second, third = PictureHandler("m.tflite").run_inference(batch, model)
    np.testing.assert_array_equal(third.inference, 255 - third.example)
    assert first.inference.shape == (2, 2, 3) and str(second.inference) == "too small"


def test_nothing_is_left_of_a_file_that_could_not_be_renamed(tmp_path):
    target = tmp_path / "out" / "a.png"
    target.mkdir(parents=True)
    with pytest.raises(OSError):
        beam_pipeline._replace(str(target), b"content")
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"--input": "nothing/**"}, "there is no picture"),
        ({"--input": "nothing"}, "there is no picture"),
        ({"--input": "nowhere://bucket/**"}, "cannot be listed"),
        ({"--input": "photos/a.png photos/b.png"}, "quote the pattern"),
        ({"--input": "twice"}, "would both become"),
        ({"--input": "photos", "--out": "photos"}, "the folder of the inputs"),
        ({"--input": "photos/*.png", "--out": "photos/../photos/"}, "the folder of the inputs"),
        ({"--input": "nested/in/**", "--out": "nested"}, "is the input"),
        ({"--out": "photos/a.png"}, "is a file"),
        ({"--model": "nothing.tflite"}, "nothing.tflite cannot be read"),
        ({"--model": "nothing"}, "There is no model nothing"),
        ({"--model": "photos"}, "holds no saved_model.pb"),
        ({"--model": "bad.tflite"}, "bad.tflite"),
        ({"--model": "changed.tflite"}, "SHA-256"),
        ({"--model": "graph"}, "saved_model.pb is damaged"),
        ({"--runner": "Nonsense"}, "Unexpected pipeline runner: Nonsense"),
        ({"--direct_num_wokers": "2"}, "no option --direct_num_wokers"),
    ],
)
def test_bad_arguments_are_told_in_a_sentence(words, message, model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = ("photos/a.png", "photos/b.png", "twice/a.png", "twice/a.gif")
    for name in (*names, "nested/in/a.png", "nested/in/in/a.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(8, 8)).save(tmp_path / name)
    (tmp_path / "bad.tflite").write_bytes(b"\0\0\0\0TFL3 but nothing more")
    written(tmp_path, "changed", point_file()).write_bytes(point_file()[:-1] + b"!")
    (tmp_path / "graph").mkdir()
    (tmp_path / "graph" / "saved_model.pb").write_bytes(b"\xff\xff")
    before = files(tmp_path)
    given = {"--model": str(model), "--input": "photos", "--out": "out"} | words
    assert main([word for name, text in given.items() for word in (name, *text.split(" "))]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("tfi2i: error: ") and message in printed
    assert printed.count("\n") == 1
    assert files(tmp_path) == before


def test_without_beam_it_says_what_to_install(model, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "apache_beam.options.pipeline_options", None)
    assert run(model, tmp_path, tmp_path / "out") == 2
    assert "pip install 'tfi2i[beam]'" in capsys.readouterr().err
