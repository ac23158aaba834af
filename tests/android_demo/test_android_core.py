"""Vectors that android_demo/core has to agree with: its tests read them, Python writes them.

`python tests/android_demo/test_android_core.py` writes them anew.
"""

import base64
import hashlib
import io
import json
import tempfile
import zipfile
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import deep_png
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps
from script import loaded
from tfi2i_export import sidecar
from tfi2i_export.sidecar import Sidecar, Signature, Tensor
from tfi2i_export.tflite import pictures as tflite_pictures

from tfi2i.files import write_text
from tfi2i.pictures.channels import in_channels
from tfi2i.pictures.tiles import tile_starts, tile_weights

DEMO = Path(__file__).parents[2] / "android_demo"
VECTORS = DEMO / "core/src/test/resources/vectors.json"
FORMER = Path(__file__).parents[1] / "fixtures" / "sidecar_schema1.json"

AXES = [  # length, tile, overlap, grid
    (32, 32, 4, 1),
    (33, 32, 4, 1),
    (100, 32, 4, 4),
    (64, 20, 10, 1),
    (61, 16, 8, 1),
    (50, 16, 0, 1),
    (72, 24, 3, 8),
]
TILED = [  # height, width, tile, multiple, channels if not of colour to colour
    (32, 48, (32, 48), 4),
    (20, 11, (32, 48), 4),
    (33, 48, (32, 48), 4),
    (70, 101, (32, 48), 4),
    (90, 7, (32, 32), 4),
    (1, 100, (32, 32), 4),
    (150, 130, (64, 64), 16),
    (50, 61, (20, 20), 8),
    *((70, 101, (32, 48), 4, channels) for channels in [(1, 1), (1, 3), (3, 1)]),
    (20, 11, (32, 48), 4, (3, 1)),
]
RESIZED = [
    (12, 8, 6, 4),
    (23, 17, 7, 5),
    (5, 4, 13, 11),
    (9, 20, 12, 7),
    (1, 1, 4, 3),
    (8, 9, 1, 1),
]
SHALLOW = [((0, 4095), False), ((20.5, 200), True), ((20.5, 200), False)]  # range, grey


def picture(height, width):
    """Pixels that StandIns.kt has too."""
    y, x, c = np.ogrid[:height, :width, :3]
    return ((37 * y + 11 * x * x + 5 * x * y + 71 * c) % 256).astype(np.uint8)


def stand_in(taken, made):
    """A translator whose answers depend on where in its tile a pixel is; StandIns.kt has it too."""

    def translator(pixels):
        _, height, width, _ = pixels.shape
        y, x, c = np.ogrid[:height, :width, :made]
        scale = 3 + 2 * c * (taken < made)
        return ((scale * pixels[..., :made].astype(int) + 5 * y + 7 * x) % 256).astype(np.uint8)

    translator.extra, translator.takes_picture = {}, True
    translator.channels = (taken, made)
    return translator


def axis(length, tile, overlap, grid):
    starts = tile_starts(length, tile, overlap, grid)
    weights = [along.tolist() for along in tile_weights(length, tile, starts, overlap)]
    return {"axis": [length, tile, overlap, grid], "starts": starts, "weights": weights}


def tiled(height, width, tile, multiple, channels=(3, 3)):
    about = SimpleNamespace(multiple=multiple)
    with (
        mock.patch.object(tflite_pictures, "_by_size", return_value={tile: stand_in(*channels)}),
        mock.patch.object(tflite_pictures, "sidecar_of", return_value=about),
    ):
        pixels = in_channels(picture(height, width), channels[0])
        translation = tflite_pictures.TFLitePictureTranslator("stand-in")(pixels)
    about = {"size": [height, width], "tile": tile, "multiple": multiple, "channels": channels}
    return about | {"sha256": sha256_of(translation)}


def grey(height, width):
    image = Image.fromarray(picture(height, width)).convert("L")
    return {"size": [height, width], "sha256": sha256_of(np.asarray(image))}


def sha256_of(pixels):
    return hashlib.sha256(pixels.tobytes()).hexdigest()


def upright(orientation):
    image = Image.fromarray(picture(2, 3))
    image.getexif()[0x0112] = orientation
    turned = np.asarray(ImageOps.exif_transpose(image))
    return {"orientation": orientation, **stored(turned)}


def resized(height, width, new_height, new_width):
    image = tf.constant(picture(height, width), tf.float32)
    for size, shrinks in [
        ((new_height, width), new_height < height),
        ((new_height, new_width), new_width < width),
    ]:
        image = tf.image.resize(image, size, "area" if shrinks else "bilinear")
    return {"from": [height, width], **stored(np.rint(image).astype(np.uint8))}


def reflected(length, wanted):
    return {"length": length, "indices": np.pad(range(length), (0, wanted - length), "reflect")}


def stored(pixels):
    encoded = base64.b64encode(pixels.tobytes()).decode()
    return {"size": list(pixels.shape[:2]), "rgb": encoded}


def rounded():
    values = np.float32([-np.float32(3e38), -0.6, -0.5, 0.49999997, 0.5, 1.5, 2.5, 3.5, 127.5])
    values = np.append(values, np.float32([128.5, 254.49998, 254.5, 255.5, 3e38]))
    return {"values": values, "levels": np.clip(np.rint(values), 0, 255).astype(np.uint8)}


def deep(name, file, value_range, about):
    read = {"name": name, "file": deep_png.text(file), "range": value_range}
    read |= {"grey": False, "sample": 1} | about
    return read | stored(deep_png.read(file, value_range, **about))


def shallow(value_range, grey):
    file = io.BytesIO()
    Image.fromarray(picture(9, 14)).save(file, "PNG")
    read = deep_png.read(file.getvalue(), value_range, grey)
    return {"range": value_range, "grey": grey, **stored(read)}


def sidecar_text(path):
    """The text of a sidecar with something in every field, of a file for two sizes."""
    about = {"dtype": "float32", "meaning": "", "encoder": "style.tflite"}
    presets = (sidecar.Preset("calm", [0.5, -1.25]), sidecar.Preset("wild", [2, 1e-3]))
    style = Tensor(
        name="style", shape=(1, 2), kind="style", distribution="normal", presets=presets, **about
    )
    names = ("day", "dusk", "1920s")
    label = Tensor(name="label", shape=(1, 3), kind="label", names=names, **about)
    rows = (sidecar.Preset("both", [[[1, 0], [0, 1]], [[0, 0], [1, 1]]]),)
    several = {"kind": "label", "names": ("x", "y"), "exclusive": False, "presets": rows}
    planes = Tensor(name="planes", shape=(1, 2, 2, 2), **several, **about)

    def signature(side):
        picture = {"dtype": "uint8", "layout": "NHWC", "colour": "RGB", "range": (0.0, 255.0)}
        picture["shape"] = (1, side, side, 3)
        return Signature(
            name=f"translate_{side}x{side}",
            inputs=(
                Tensor(name="image", domain="day", meaning="The picture.", **picture),
                *(style, label, planes),
            ),
            outputs=(
                Tensor(name="translation", domain="dusk", meaning="Its translation.", **picture),
            ),
        )

    agreement = {"reference": "Keras, float32", "pictures": 24, "psnr_db_mean": 46.25}
    agreement |= {"psnr_db_worst": None, "ssim": 0.9991, "bias": [0.25, -0.5, 0], "max_level": 17}
    agreement |= {"limits": {"ssim": 0.98}, "passed": True, "accepted": False}
    made = Sidecar(
        name="day2dusk-int8",
        file="day2dusk-int8.tflite",
        sha256=hashlib.sha256(b"a model").hexdigest(),
        size_bytes=len(b"a model"),
        format="int8",
        recipe={"rewrites": ["fold"], "calibration": 0},
        system="NICEGAN",
        direction="day2dusk",
        domains={"source": "day", "target": "dusk"},
        data="scenes",
        run="00003-nicegan-scenes",
        step=1600,
        image_size=64,
        multiple=4,
        io="uint8",
        signatures=(signature(128), signature(64)),
        agreement=agreement,
        licence="MIT",
        created="2026-11-05T14:03:00Z",
        versions={"tfi2i": "0.1.0", "tensorflow": "2.21.0", "litert": None},
        warnings=("Colours differ – a little.",),
    )
    sidecar.write(made, path)
    return path.read_text(encoding="utf-8")


def vectors(folder):
    """All of them as the text of a JSON file."""
    made = {
        "axes": [axis(*given) for given in AXES],
        "tiled": [tiled(*given) for given in TILED],
        "reflected": [reflected(*given) for given in [(1, 4), (2, 9), (3, 3), (5, 30)]],
        "upright": [upright(orientation) for orientation in range(1, 9)],
        "resized": [resized(*given) for given in RESIZED],
        "rounded": rounded(),
        "grey": grey(64, 96),
        "deep": [deep(name, *about) for name, about in deep_png.files().items()],
        "damaged": [
            {"name": name, "file": deep_png.text(file), "reason": reason}
            for name, (file, reason) in deep_png.damaged().items()
        ],
        "shallow": [shallow(*given) for given in SHALLOW],
        "sidecar": sidecar_text(folder / "sidecar.json"),
        "sidecar_schema1": FORMER.read_text(encoding="utf-8"),
    }
    return json.dumps(made, indent=1, default=lambda array: array.tolist()) + "\n"


def test_the_vectors_are_what_python_gives_today(tmp_path):
    text = vectors(tmp_path)
    assert len(text) < 100_000
    assert VECTORS.read_text(encoding="utf-8") == text


@pytest.fixture
def fetch(monkeypatch):
    """ci/fetch.py, which copies files instead of downloading them."""
    module = loaded("android_demo/ci/fetch.py")
    monkeypatch.setattr(module, "_command", lambda kind, path, folder: ["cp", path, str(folder)])
    return module


def entry(path, **more):
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"name": "it", "kind": "maven", "coordinates": str(path), "sha256": sha256, **more}


def test_a_download_is_kept(fetch, tmp_path):
    source = tmp_path / "it-1.0.jar"
    source.write_bytes(b"classes")
    known = entry(source)
    path = fetch.fetched(known, tmp_path / "cache")
    source.unlink()
    assert fetch.fetched(known, tmp_path / "cache") == path
    assert path.read_bytes() == b"classes"
    assert [file.name for file in path.parent.parent.iterdir()] == [path.parent.name]


def test_another_sha256_is_refused_and_not_kept(fetch, tmp_path):
    source = tmp_path / "it-1.0.jar"
    source.write_bytes(b"classes")
    with pytest.raises(SystemExit, match="has the SHA-256"):
        fetch.fetched(entry(source, sha256="0" * 64), tmp_path / "cache")
    assert not any((tmp_path / "cache").iterdir())


def test_a_kept_file_that_was_changed_is_refused(fetch, tmp_path):
    source = tmp_path / "it-1.0.jar"
    source.write_bytes(b"classes")
    fetch.fetched(entry(source), tmp_path / "cache").write_bytes(b"other classes")
    with pytest.raises(SystemExit, match="has the SHA-256"):
        fetch.fetched(entry(source), tmp_path / "cache")


def test_what_is_asked_for_is_taken_out_of_an_archive(fetch, tmp_path):
    source = tmp_path / "it.aar"
    with zipfile.ZipFile(source, "w") as archive:
        for name in ("classes.jar", "jni/arm64-v8a/it.so", "R.txt"):
            archive.writestr(name, name)
    one = fetch.fetched(entry(source, unpack="classes.jar"), tmp_path / "cache")
    assert one.read_text() == "classes.jar"
    some = fetch.fetched(entry(source, unpack="jni/*"), tmp_path / "cache")
    assert [str(file.relative_to(some)) for file in some.rglob("*.*")] == ["jni/arm64-v8a/it.so"]
    with pytest.raises(SystemExit, match="has nothing like"):
        fetch.fetched(entry(source, unpack="lib/*"), tmp_path / "cache")


def test_a_download_that_fails_says_why(fetch, tmp_path):
    source = tmp_path / "it-1.0.jar"
    source.write_bytes(b"classes")
    known = entry(source)
    source.unlink()
    with pytest.raises(SystemExit, match="it cannot be downloaded: .*No such file"):
        fetch.fetched(known, tmp_path / "cache")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        write_text(VECTORS, vectors(Path(temporary)))
