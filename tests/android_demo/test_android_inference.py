"""The Android demo's inference, as far as Python sees it; ci/jvm.sh runs its own tests."""

import ctypes
import re
import runpy
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from tfi2i_export.tflite.interpreter import TFLiteTranslator
from tfi2i_export.tflite.quantization import FORMATS

from tests.export import android_models, small_files

INFERENCE = Path(__file__).parents[2] / "android_demo" / "inference"


def sources(kind):
    found = sorted((INFERENCE / "src" / kind).rglob("*.kt"))
    assert found
    return {path: path.read_text() for path in found}


def test_what_the_app_gets_knows_nothing_of_android_and_holds_no_double():
    for path, text in sources("main").items():
        assert not re.search(r"^import (android|androidx|com\.sun)\b", text, re.MULTILINE), path
        assert text.startswith("package dev.tfi2i.inference\n"), path


def test_what_stands_in_for_a_runtime_says_that_it_is_a_double():
    doubles = [
        (path, text)
        for path, text in sources("test").items()
        if "\npackage dev.tfi2i" not in f"\n{text}"
    ]
    assert len(doubles) == 2
    for path, text in doubles:
        assert path.stem.endswith("Double")
        assert text.startswith("// A double, for tests alone")


def test_the_models_are_of_every_format_type_padding_and_kind_of_size():
    made = android_models.choices()
    assert len({choice.name_of(choice.direction or "a2b") for choice in made}) == len(made)
    assert {(one.format, one.io) for one in made} >= {
        (format, io) for format in FORMATS for io in ("float", "uint8")
    }
    assert {one.pad for one in made} == {"slice", "mirror"}
    assert {len(one.sizes or ()) for one in made} == {0, 2}
    assert {one.dynamic for one in made} == {False, True}


@pytest.mark.parametrize(
    ("content", "sizes"),
    [(small_files.file_of_two_sizes, [(32, 32), (64, 48)]), (small_files.point_file, [(32, 48)])],
)
def test_the_answers_are_those_of_python(content, sizes, tmp_path):
    path = tmp_path / "small.tflite"
    path.write_bytes(content())
    picture = np.random.default_rng(0).integers(0, 256, (80, 80, 3), np.uint8)
    cases = android_models.answered(path, picture)
    assert [(case["height"], case["width"]) for case in cases] == sizes
    for case in cases:
        shape = (1, case["height"], case["width"], 3)
        pixels, given = (
            np.fromfile(tmp_path / case[key], np.uint8).reshape(shape)
            for key in ("pixels", "picture")
        )
        values = np.fromfile(tmp_path / case["values"], "<f4").reshape(shape)
        signature = "translate_{height}x{width}".format(**case) if len(sizes) > 1 else None
        assert np.array_equal(pixels, TFLiteTranslator(path, signature=signature)(given))
        assert np.array_equal(pixels, np.clip(np.rint(values), 0, 255))
        assert case["prepared"]


def test_a_file_of_free_size_states_one_that_java_can_prepare(tmp_path):
    path = tmp_path / "free.tflite"
    path.write_bytes(small_files.free_file())
    (case,) = android_models.answered(path, np.zeros((80, 80, 3), np.uint8))
    assert (case["height"], case["width"]) == android_models.FREE_SIZE
    assert case["prepared"]


@pytest.fixture(scope="module")
def unversioned():
    return runpy.run_path(str(INFERENCE / "host" / "unversioned.py"))["unversioned"]


@pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc")
def test_a_library_asks_for_no_versions_afterwards_and_still_runs(unversioned, tmp_path):
    source, library, result = (tmp_path / name for name in ("root.c", "root.so", "free.so"))
    source.write_text("#include <math.h>\ndouble root(double x) { return pow(x, 0.5); }\n")
    subprocess.run(["gcc", "-shared", "-fPIC", source, "-lm", "-o", library], check=True)
    result.write_bytes(unversioned(library.read_bytes()))
    before, after = (
        subprocess.run(["readelf", "-dW", path], check=True, capture_output=True, text=True).stdout
        for path in (library, result)
    )
    assert "(NEEDED)" in before and "(VERNEED)" in before
    assert "(NEEDED)" not in after and "(VER" not in after
    root = ctypes.CDLL(str(result)).root
    root.argtypes, root.restype = [ctypes.c_double], ctypes.c_double
    assert root(9.0) == 3.0


def test_only_libraries_are_made_free_of_versions(unversioned):
    with pytest.raises(ValueError, match="no 64-bit little-endian ELF"):
        unversioned(b"PK, a zip file")
