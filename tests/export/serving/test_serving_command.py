"""`tfi2i translate --server`, the client of TensorFlow Serving on the command line."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from serving_fake import Fake, Refused, inverted, listening, noise, url_of

from tfi2i.cli import main
from tfi2i.pictures.files import read_picture


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    for i, name in enumerate(("a.png", "b.png", "c.jpg", "deep/d.webp")):
        Image.fromarray(noise(seed=i)).save(folder / name)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise(8, 16)).save(folder / "turned.jpg", exif=exif)
    clear = np.dstack([noise(), np.zeros((33, 45), np.uint8)])
    Image.fromarray(clear).save(folder / "transparent.png")
    return folder


def test_translate_with_a_server_takes_pictures_alone(served, photos, tmp_path):
    server = ["--server", served.url]
    assert main(["translate", *server, str(photos), "--out", str(tmp_path / "1")]) == 0
    for name in ("a.png", "b.png", "c.jpg", "deep/d.webp"):
        expected = 255 - read_picture(photos / name).pixels.astype(int)
        got = read_picture(tmp_path / "1" / name).pixels
        assert np.abs(got - expected).mean() < (3 if name.endswith("jpg") else 1e-9)
    turned = read_picture(tmp_path / "1" / "turned.jpg").pixels
    assert turned.shape == (16, 8, 3)
    assert read_picture(tmp_path / "1" / "transparent.png").alpha.max() == 0
    one, two = str(photos / "a.png"), str(photos / "b.png")
    assert main(["translate", one, *server, "--out", str(tmp_path / "2")]) == 0
    assert main(["translate", one, two, "--out", str(tmp_path / "3"), *server]) == 0
    assert main(["translate", *server, one, two, "--out", str(tmp_path / "4")]) == 0
    for name, count in (("2", 1), ("3", 2), ("4", 2)):
        assert len(list((tmp_path / name).iterdir())) == count


def test_a_picture_that_the_server_refuses_is_named_and_the_others_are_done(
    served, photos, tmp_path, capsys
):
    def translate(file):
        if read_picture(file).pixels.shape == (16, 8, 3):
            raise Refused("INVALID_ARGUMENT", "too \x1b[31mbeautiful")
        return inverted(file)

    served.fake.translate = translate
    (photos / "broken.png").write_bytes(b"no picture")
    command = ["translate", "--server", served.url, str(photos), "--out", str(tmp_path / "out")]
    assert main([*command, "--workers", "3"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [Path(line.split(":")[0].split(" is ")[0]).name for line in lines[:2]] == [
        "broken.png",
        "turned.jpg",
    ]
    assert r"too \x1b[31mbeautiful" in lines[1]
    assert lines[2].endswith("Translated 5 pictures into " + str(tmp_path / "out") + ", 2 failed.")


def test_what_does_not_go_with_a_server_is_refused(served, photos, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("system: NICEGAN")
    server, out = ["--server", served.url], ["--out", str(tmp_path / "out")]
    for arguments, said in (
        ([*server, str(photos), "--direction", "b2a"], "--direction is decided by the model"),
        ([*server, str(photos), "--tile", "64"], "--tile is decided by the model"),
        ([*server, str(tmp_path / "run"), str(photos)], "is a model, and the server has its own"),
        ([*server, "a2b.keras", str(photos)], "is a model, and the server has its own"),
        ([*server, str(photos), "--workers", "0"], "At least 1 worker"),
        ([*server, str(photos), "--deadline", "nan"], "deadline is a number of seconds"),
        (server, "nothing to translate"),
        (["run", str(photos), "--workers", "2"], "--workers goes with --server"),
        (["run", str(photos), "--deadline", "2"], "--deadline goes with --server"),
        (["--server", "localhost:8501", str(photos)], "no URL of a served model"),
    ):
        assert main(["translate", *arguments, *out]) == 2
        shown = capsys.readouterr().err
        assert said in shown and shown.count("\n") == 1, shown
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGINT")
def test_stopping_does_not_wait_for_the_server(photos, tmp_path):
    go, fake = threading.Event(), Fake()
    fake.translate = lambda file: go.wait(60) and b""
    with listening("http", fake) as port:
        command = [sys.executable, "-m", "tfi2i.cli", "translate", "--server"]
        command += [url_of("http", port), str(photos), "--out", str(tmp_path / "out")]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            limit = time.monotonic() + 60
            while not fake.calls and time.monotonic() < limit:
                time.sleep(0.05)
            assert fake.calls
            started = time.monotonic()
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
            assert time.monotonic() - started < 10
            assert (process.returncode, err) == (130, "tfi2i: error: stopped.\n")
        finally:
            process.kill()
            process.wait()
            go.set()
