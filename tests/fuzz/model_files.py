"""Models of ours with changes: `.keras`, `.tflite` and SavedModel, with and without their sums."""

import contextlib
import functools
import hashlib
import json
import random
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import small_files
import tensorflow as tf
from tfi2i_export import artefacts, encoders, sidecar
from tfi2i_export.saved_model import files as saved_files
from tfi2i_export.saved_model.lint import lint
from tfi2i_export.tflite import metadata
from tfi2i_export.tflite.conversion import convert_encoders
from tfi2i_export.tflite.pictures import TFLitePictureTranslator

from fuzz import mutations
from fuzz.outcomes import Target
from tfi2i.conditions import Condition
from tfi2i.files import to_json
from tfi2i.layers.normalization import LIN
from tfi2i.pictures.depth import Ranges
from tfi2i.runs import completion
from tfi2i.runs.keras_files import load_translator, read_conditions, read_ranges, save_network

IMAGE = np.random.default_rng(3).uniform(-1, 1, (1, 8, 8, 3)).astype(np.float32)
PIXELS = np.random.default_rng(4).integers(0, 256, (32, 48, 3), np.uint8)


class Spoilt(NamedTuple):
    """A file, and what is to come out if it is taken; None: anything."""

    path: Path
    wanted: np.ndarray | None


# .keras


@functools.cache
def keras_file() -> bytes:
    keras.utils.set_random_seed(1)
    image, style = keras.Input((None, None, 3), name="image"), keras.Input((4,), name="style")
    x = LIN()(keras.layers.Conv2D(4, 1, name="first")(image))
    x = x + keras.layers.Reshape((1, 1, 4))(style)
    model = keras.Model([image, style], keras.layers.Conv2D(3, 1, name="last")(x), name="small")
    with tempfile.TemporaryDirectory() as folder:
        path, ranges = Path(folder, "a2b.keras"), Ranges((0.0, 4095.0), None)
        save_network(model, path, [Condition("style", "style", (4,))], "b", ranges)
        return path.read_bytes()


def used(path: Path) -> np.ndarray:
    model = load_translator(path)
    conditions, _ = read_conditions(path), read_ranges(path)
    shapes = [tuple(1 if side is None else side for side in one.shape) for one in model.inputs[1:]]
    if np.prod(IMAGE.shape) != 192 or any(np.prod(shape) > 10**6 for shape in shapes):
        return np.zeros(0)
    if model.inputs[0].shape[1:] != (None, None, 3) or len(conditions) > 9:
        return np.zeros(0)
    # What a changed graph raises when it runs is not about reading it.
    with contextlib.suppress(Exception):
        return np.asarray(model([IMAGE, *(np.zeros(shape, np.float32) for shape in shapes)]))
    return np.zeros(0)


@functools.cache
def answer() -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a2b.keras")
        path.write_bytes(keras_file())
        return used(path)


PARTS = dict.fromkeys(
    ("config.json", "metadata.json", "conditions.json", "value_ranges.json"), mutations.json_part
)


def keras_bytes(rng: random.Random, folder: Path) -> Spoilt:
    """The bytes of the archive: its sums tell."""
    path = folder / "a2b.keras"
    path.write_bytes(mutations.spoilt(rng, keras_file()))
    return Spoilt(path, answer())


def keras_parts(rng: random.Random, folder: Path) -> Spoilt:
    """Files in the archive, whose sums are made anew: whoever did it meant it."""
    path = folder / "a2b.keras"
    path.write_bytes(mutations.repacked(rng, keras_file(), PARTS))
    return Spoilt(path, None)


def keras_of_a_run(rng: random.Random, folder: Path) -> Spoilt:
    content, path = keras_file(), folder / "run" / "translators" / "a2b.keras"
    path.parent.mkdir(parents=True)
    record = {"step": 3, "files": {"translators/a2b.keras": [hashlib.sha256(content).hexdigest()]}}
    (folder / "run" / completion.NAME).write_text(to_json(record))
    path.write_bytes(mutations.spoilt(rng, content))
    return Spoilt(path, answer())


def as_wanted(made: Spoilt, found: np.ndarray) -> None:
    if made.wanted is not None:
        np.testing.assert_array_equal(found, made.wanted)


# .tflite


def tflite_with_a_sidecar(rng: random.Random, folder: Path) -> Spoilt:
    content = small_files.point_file()
    path = small_files.written(folder, "a2b", content)
    if rng.random() < 0.5:
        path.write_bytes(mutations.spoilt(rng, content))
    else:
        beside = path.with_suffix(".json")
        beside.write_bytes(mutations.text(rng, json.loads(beside.read_text())))
    return Spoilt(path, translation())


def tflite_alone(rng: random.Random, folder: Path) -> Spoilt:
    path = folder / f"a2b-{time.monotonic_ns()}.tflite"  # each is tried once
    path.write_bytes(mutations.spoilt(rng, small_files.point_file()))
    return Spoilt(path, None)


def translated(made: Spoilt) -> np.ndarray:
    return TFLitePictureTranslator(made.path)(PIXELS)


@functools.cache
def translation() -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        path = small_files.written(Path(folder), "a2b", small_files.point_file())
        return translated(Spoilt(path, None))


def as_translated(made: Spoilt, found: np.ndarray) -> None:
    assert found.shape == PIXELS.shape and found.dtype == np.uint8
    as_wanted(made, found)


@functools.cache
def described_file() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = small_files.written(Path(folder), "a2b", small_files.point_file())
        about = sidecar.read(path.with_suffix(".json"))
        return metadata.with_metadata(small_files.point_file(), about)


def metadata_of_tflite(rng: random.Random, folder: Path) -> Path:
    path = folder / "a2b.tflite"
    path.write_bytes(mutations.spoilt(rng, described_file()))
    return path


def read_metadata(path: Path) -> dict[str, Any]:
    return metadata.read_metadata(path.read_bytes())


def is_described(path: Path, found: dict[str, Any]) -> None:
    assert isinstance(found, dict)


def encoder_alone(rng: random.Random, folder: Path) -> Path:
    """An encoder beside a sidecar of before there were digests."""
    path = folder / f"a2b-style-{time.monotonic_ns()}-encoder.tflite"
    path.write_bytes(mutations.spoilt(rng, encoder_file()))
    return path


@functools.cache
def encoder_file() -> bytes:
    image = keras.Input((8, 8, 3), name="picture")
    mean = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(3, 1)(image))
    return convert_encoders({encoders.SIGNATURE: keras.Model(image, mean)}, half=False)


def read_style(path: Path) -> np.ndarray:
    return encoders.companion_reader(path, None, (3,), (), "squash")(PIXELS, None)


def is_style(path: Path, found: np.ndarray) -> None:
    assert found.shape == (3,) and np.isfinite(found).all()


# SavedModel


@functools.cache
def saved_model() -> Path:
    """A folder that stays until the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    module = tf.Module()
    module.shift = tf.Variable(np.ones(3, np.float32))

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.float32, name="image")])
    def translate(image):
        return {"translation": image + module.shift}

    tf.saved_model.save(module, str(folder / "1"), {"predict_tensor": translate})
    return folder / "1"


def a_saved_model(rng: random.Random, folder: Path) -> Path:
    version = folder / "1"
    shutil.copytree(saved_model(), version)
    files = sorted(path for path in version.rglob("*") if path.is_file())
    path = rng.choice((version / "saved_model.pb", version / "saved_model.pb", *files))
    path.write_bytes(mutations.spoilt(rng, path.read_bytes()))
    return version


def linted(version: Path) -> list[str]:
    saved_files.signatures(version)
    return lint(version)


def is_linted(version: Path, findings: list[str]) -> None:
    assert all(isinstance(one, str) and one.isprintable() for one in findings)
    assert artefacts.is_artefact(version)


def read_path(made: Spoilt) -> np.ndarray:
    return used(made.path)


TARGETS = [
    Target(".keras: bytes", keras_bytes, read_path, as_wanted, 15),
    Target(".keras: parts", keras_parts, read_path, as_wanted, 15),
    Target(".keras: of a run", keras_of_a_run, read_path, as_wanted, 15),
    Target(".tflite: with a sidecar", tflite_with_a_sidecar, translated, as_translated, 30),
    Target(".tflite: alone", tflite_alone, translated, as_translated, 2, seconds=60),
    Target(".tflite: an encoder alone", encoder_alone, read_style, is_style, 1, seconds=60),
    Target(".tflite: metadata", metadata_of_tflite, read_metadata, is_described, 40),
    Target("SavedModel", a_saved_model, linted, is_linted, 15),
]
