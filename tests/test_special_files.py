"""Pipes and devices in the place of files: refused in a sentence, never waited for or read."""

import contextlib
import os
import signal
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from tensorflow.core.protobuf import saved_model_pb2
from tfi2i_export import inputs, sidecar
from tfi2i_export.saved_model.files import read as read_saved_model
from tfi2i_export.tflite.interpreter import content_of
from tfi2i_export.tflite.pictures import TFLitePictureTranslator, sidecar_of

from tfi2i import data, init_from, yaml_text
from tfi2i.cli import main
from tfi2i.config import config as configs
from tfi2i.errors import InputError
from tfi2i.official.checkpoints import read_checkpoint
from tfi2i.official.torch_files import read_torch
from tfi2i.pictures.files import read_header, read_picture, read_values, write_picture
from tfi2i.pictures.folders import translate_files
from tfi2i.runs.keras_files import load_keras, load_translator
from tfi2i.runs.run import Run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no such files there")

SECONDS = 10


def pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


def device(path: Path) -> Path:
    path.symlink_to("/dev/zero")
    return path


def open_pipe(path: Path) -> Path:
    """A pipe as /dev/stdin is one: somebody has it open, and nothing comes."""
    reading, _ = os.pipe()
    path.symlink_to(f"/dev/fd/{reading}")
    return path


@pytest.fixture(params=[pipe, device, open_pipe])
def special(request, tmp_path):
    """Makes such a file of a name; a test that waits for it fails."""

    def late(*arguments):
        raise TimeoutError(f"still waiting after {SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    yield lambda name: request.param(tmp_path / name)
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def refusal(call, *arguments) -> str:
    with pytest.raises(InputError) as caught:
        call(*arguments)
    message = str(caught.value)
    assert message.endswith(".") and "\n" not in message
    return message


HERE = Path(__file__).parent
READERS = [
    (yaml_text.read, "config.yaml"),
    (configs.load, "settings.yaml"),
    (read_torch, "latest_net_G.pth"),
    (lambda path: read_checkpoint("CycleGAN", path), "horse2zebra.pth"),
    (inputs.read, "style.npy"),
    (sidecar.read, "a2b.json"),
    (content_of, "a2b.tflite"),
    (TFLitePictureTranslator, "a2b.tflite"),
    (load_translator, "a2b.keras"),
    (lambda path: load_keras(path, compile=True), "last.keras"),
    *((read, "picture.png") for read in (read_picture, read_values, read_header)),
    (lambda path: inputs.read_given([f"style={path}"], "--input"), "style.npy"),
    (lambda path: init_from(None, path), "last.keras"),
    (lambda path: read_checkpoint("CycleGAN", path), "horse2zebra"),
    (lambda path: data.single_image(a=path, b=path), "a.png"),
    (Run, "run"),
    (lambda path: data.folders(root=path), "root"),
    (lambda path: data.folders(a=path, b=HERE), "trainA"),
    (read_saved_model, "model"),
]
FOLDERS = ("horse2zebra", "run", "root", "trainA", "model")


@pytest.mark.parametrize(("read", "name"), READERS)
def test_what_is_no_file_is_refused_and_named(special, read, name):
    assert name in refusal(read, special(name))


@pytest.mark.parametrize(("read", "name"), READERS)
def test_a_pipe_is_called_so(tmp_path, read, name):
    assert "a pipe or a device" in refusal(read, pipe(tmp_path / name))


def loop(path):
    path.symlink_to(path.name)


def dangling(path):
    path.symlink_to("nowhere")


def nothing(path):
    pass


def folder(path):
    if path.name not in FOLDERS:
        path.mkdir()


def empty(path):
    if path.name not in ("config.yaml", "a2b.tflite"):  # whose bytes their caller looks at
        path.write_bytes(b"")


@pytest.mark.parametrize("make", [loop, dangling, nothing, folder, empty])
@pytest.mark.parametrize(("read", "name"), READERS)
def test_links_folders_and_nothing_in_the_place_of_a_file_are_named(tmp_path, make, read, name):
    make(tmp_path / name)
    message = refusal(read, tmp_path / name)
    assert name in message and (make is not loop or "link" in message)


@pytest.mark.parametrize(("read", "name"), READERS)
def test_a_zero_byte_in_a_name_is_none_of_a_file(tmp_path, read, name):
    assert "byte" in refusal(read, tmp_path / f"\0{name}")


@pytest.mark.parametrize("behind", [False, True], ids=["itself", "its folder"])
@pytest.mark.parametrize(("read", "name"), READERS)
def test_what_may_not_be_read_is_said_to_be_so(read, name, behind):
    """As a user who is not root, to whom all is open."""
    with tempfile.TemporaryDirectory() as home:
        place = Path(home) / "inner"
        place.mkdir()
        for folder in (place, place.parent):
            folder.chmod(0o755)
        path = place / name
        if name in FOLDERS and name != "horse2zebra":
            path.mkdir()
        else:
            path.write_bytes(b"PK\x03\x04 and more")
        (place if behind else path).chmod(0)
        is_root = os.geteuid() == 0
        if is_root:
            os.seteuid(65_534)
        try:
            assert "ermission denied" in refusal(read, path)
        finally:
            if is_root:
                os.seteuid(0)
            place.chmod(0o755)


def test_a_sidecar_beside_a_file_is_refused(special, tmp_path):
    (tmp_path / "a2b.tflite").write_bytes(b"anything")
    special("a2b.json")
    assert "a2b.json" in refusal(sidecar_of, tmp_path / "a2b.tflite")


@pytest.mark.parametrize("missing", ["config.yaml", "environment.json"])
def test_a_run_s_settings_are_files(special, tmp_path, missing):
    for name in ("config.yaml", "environment.json"):
        if name != missing:
            (tmp_path / name).write_text("{}")
    special(missing)
    assert missing in refusal(Run, tmp_path)


def test_a_saved_model_s_weights_are_files(special, tmp_path):
    model = saved_model_pb2.SavedModel()
    model.meta_graphs.add()
    (tmp_path / "saved_model.pb").write_bytes(model.SerializeToString())
    (tmp_path / "variables").mkdir()
    special("variables/variables.index")
    assert "variables.index" in refusal(read_saved_model, tmp_path)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_picture_to_translate_is_refused(special, tmp_path, channels):
    def translate(pixels):
        return pixels

    translate.channels = (channels, channels)
    translate.takes_numbers = True
    picture = special("picture.tif")
    assert "picture.tif" in refusal(translate_files, translate, [picture], tmp_path / "out")


def test_a_folder_s_pictures_are_translated_without_it(special, tmp_path):
    (tmp_path / "in").mkdir()
    special("in/odd.png")
    write_picture(tmp_path / "in" / "picture.png", np.zeros((4, 4, 3), np.uint8))
    summary = translate_files(lambda pixels: pixels, [tmp_path / "in"], tmp_path / "out")
    assert len(summary.written) == 1


@pytest.mark.parametrize(
    "command",
    [
        *(["train", "{0}.yaml"], ["check-data", "{0}.yaml"], ["import", "NICEGAN", "{0}.pth"]),
        *(["translate", "{0}.keras", "p.png", "--out", "o"], ["bench", "{0}.tflite"]),
        *(["translate", "{0}.tflite", "p.png", "--out", "o"], ["study-results", "{0}.json"]),
        ["train", "nice_gan/scenes", "--smoke", "--init", "{0}.pth"],
    ],
    ids=lambda command: " ".join(command[:2]) + command[-1],
)
def test_commands_end_with_a_sentence(special, tmp_path, monkeypatch, capsys, command):
    monkeypatch.chdir(tmp_path)
    place = next(one for one in command if "{0}" in one)
    special(place.format("special"))
    with contextlib.suppress(SystemExit):
        assert main([one.format("special") for one in command]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("tfi2i: error: ") and "Traceback" not in "".join(lines)
    assert "there is no such" not in lines[-1]
