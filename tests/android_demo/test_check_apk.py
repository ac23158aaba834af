import argparse
import hashlib
import struct
import sys
import zipfile
from pathlib import Path

import pytest
from script import loaded


@pytest.fixture(scope="module")
def check():
    return loaded("android_demo/ci/check_apk.py")


@pytest.fixture
def zipped(tmp_path):
    """Writes a zip file of entries (content, compression, alignment) and opens it."""
    opened = []

    def write(entries):
        path = tmp_path / f"{len(opened)}.apk"
        with zipfile.ZipFile(path, "w") as archive:
            for name, (content, compression, alignment) in entries.items():
                info = zipfile.ZipInfo(name)
                info.compress_type = compression
                begin = archive.fp.tell() + 30 + len(name)
                # A field of an extra record has 4 bytes before its content.
                padding = (-begin - 4) % alignment
                info.extra = struct.pack("<HH", 0xD935, padding) + bytes(padding)
                archive.writestr(info, content)
        opened.append(zipfile.ZipFile(path))
        return opened[-1]

    yield write
    for archive in opened:
        archive.close()


def stored(content, alignment=4):
    return content, zipfile.ZIP_STORED, alignment


def library(machine, content=b""):
    return stored(b"\x7fELF" + bytes(14) + struct.pack("<H", machine) + content, 4096)


ARM = "lib/arm64-v8a/libx.so"
INTEL = "lib/x86_64/libx.so"
ABIS = ["arm64-v8a", "x86_64"]
MODEL = b"\x1c\0\0\0TFL3 and weights"


def sidecar(model=MODEL):
    return stored(f'{{"sha256": "{hashlib.sha256(model).hexdigest()}"}}'.encode())


def test_what_is_mapped_into_memory_has_to_be_stored(check, zipped):
    names = ("assets/models/m.tflite", "resources.arsc", ARM)
    assert check.stored_row(zipped({name: stored(b"x" * 99) for name in names})).passed
    for name in names:
        row = check.stored_row(zipped({name: (b"x" * 99, zipfile.ZIP_DEFLATED, 4)}))
        assert not row.passed
        assert name in row.found


@pytest.mark.parametrize(
    ("name", "alignment", "passes"),
    [
        ("resources.arsc", 4, True),
        ("resources.arsc", 1, False),
        (ARM, 4096, True),
        (ARM, 4, False),
    ],
)
def test_stored_entries_have_to_be_aligned(check, zipped, name, alignment, passes):
    # The first entry is of such a length that the next is aligned only if that is asked for.
    archive = zipped({"a": stored(b"1234567"), name: stored(b"x", alignment)})
    with Path(archive.filename).open("rb") as stream:
        assert check.aligned_row(archive, stream).passed is passes


def test_what_is_compressed_may_lie_anywhere(check, zipped):
    archive = zipped({"resources.arsc": stored(b"1"), "x.xml": (b"22", zipfile.ZIP_DEFLATED, 1)})
    with Path(archive.filename).open("rb") as stream:
        assert check.aligned_row(archive, stream).passed


@pytest.mark.parametrize(
    ("libraries", "passes"),
    [
        ({ARM: 183, INTEL: 62}, [True, True]),
        ({ARM: 183}, [False, True]),
        ({ARM: 183, INTEL: 62, "lib/armeabi-v7a/libx.so": 40}, [False, False]),
        ({ARM: 183, INTEL: 62, "lib/x86_64/liby.so": 62}, [False, True]),
        ({ARM: 62, INTEL: 62}, [True, False]),
        ({}, [False, True]),
    ],
    ids=["good", "one ABI", "a third ABI", "another library", "another processor", "none"],
)
def test_each_abi_has_the_same_libraries(check, zipped, libraries, passes):
    archive = zipped({name: library(machine) for name, machine in libraries.items()})
    assert [row.passed for row in check.native_rows(archive, ABIS)] == passes


def test_a_native_method_needs_its_function_for_every_abi(check, zipped):
    method = ("dev/some_where/Model", "run_it")
    function = b"\0Java_dev_some_1where_Model_run_1it\0"
    both = zipped({ARM: library(183, function), INTEL: library(62, function)})
    assert check.bound_row(both, [method]).passed
    one = check.bound_row(zipped({ARM: library(183, function), INTEL: library(62)}), [method])
    assert not one.passed
    assert "x86_64: dev/some_where/Model.run_it" in one.found
    assert "arm64" not in one.found


@pytest.mark.parametrize(
    ("content", "beside"),
    [
        (MODEL, sidecar(b"another")),
        (MODEL, None),
        (b"not a model", sidecar(b"not a model")),
    ],
    ids=["another's sidecar", "no sidecar", "no model"],
)
def test_a_model_without_its_own_sidecar_is_told(check, zipped, content, beside):
    entries = {"assets/models/good.tflite": stored(MODEL), "assets/models/good.json": sidecar()}
    assert check.models_row(zipped(entries)).passed
    entries["assets/models/bad.tflite"] = stored(content)
    if beside:
        entries["assets/models/bad.json"] = beside
    row = check.models_row(zipped(entries))
    assert not row.passed
    assert "bad.tflite" in row.found
    assert "good.tflite" not in row.found


def test_an_apk_without_models_fails(check, zipped):
    assert not check.models_row(zipped({"assets/other.txt": stored(b"x")})).passed


CAMERA = "android.permission.CAMERA"
WRITE = "android.permission.WRITE_EXTERNAL_STORAGE@28"
INTERNET = "android.permission.INTERNET"
MAIN = "dev/tfi2i/demo/MainActivity"


def failures(check, wanted_permissions=(CAMERA, WRITE), defined=(MAIN,), **changes):
    manifest = check.Manifest(
        package="dev.tfi2i.demo",
        version="0.1.0 (1)",
        launcher=MAIN,
        components=frozenset({MAIN}),
        permissions=frozenset({CAMERA, WRITE}),
        min_sdk=26,
        target_sdk=36,
    )
    wanted = argparse.Namespace(
        package="dev.tfi2i.demo", permission=[*wanted_permissions], min_sdk=26, target_sdk=36
    )
    rows = check.manifest_rows(manifest._replace(**changes), wanted, set(defined))
    return {row.check for row in rows if not row.passed}


def test_a_manifest_as_wanted_passes(check):
    assert failures(check) == set()


@pytest.mark.parametrize(
    "permissions",
    [{CAMERA}, {CAMERA, WRITE, "android.permission.RECORD_AUDIO"}, {CAMERA, WRITE[:-3]}],
    ids=["one fewer", "one more", "for every API level"],
)
def test_permissions_are_exactly_those_wanted(check, permissions):
    assert failures(check, permissions=frozenset(permissions)) == {"permissions"}


def test_the_network_is_refused_even_if_wanted(check):
    internet = frozenset({CAMERA, INTERNET})
    assert failures(check, internet, permissions=internet) == {"offline"}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"package": "dev.other"}, {"package"}),
        ({"launcher": None}, {"launcher"}),
        ({"components": frozenset({MAIN, "dev/tfi2i/demo/Gone"})}, {"components"}),
        ({"defined": ()}, {"launcher", "components"}),
        ({"min_sdk": 24}, {"API levels"}),
        ({"target_sdk": 35}, {"API levels"}),
    ],
    ids=["package", "no launcher", "a component", "no class", "minimum", "target"],
)
def test_what_else_is_wrong_with_a_manifest_is_told(check, changes, told):
    assert failures(check, **changes) == told


def code(check, *referred):
    return check.Code(frozenset({MAIN}), frozenset(referred), frozenset())


def test_a_class_that_is_nowhere_is_told(check):
    framework = {"android/app/Activity"}
    good = code(check, MAIN, "android/app/Activity", "java/lang/String")
    assert all(row.passed for row in check.references_rows(good, framework, []))
    bad = code(check, "android/app/Activity", "org/tensorflow/lite/Interpreter")
    (row,) = check.references_rows(bad, framework, [])
    assert not row.passed
    assert row.found == "missing: org/tensorflow/lite/Interpreter"


def test_only_packages_left_out_on_purpose_may_be_absent(check):
    engine = code(check, MAIN, "com/google/ai/edge/litert/CompiledModel")
    rows = check.references_rows(engine, set(), ["com.google.ai.edge.litert"])
    assert [row.passed for row in rows] == [True, True]
    rows = check.references_rows(engine, set(), ["com.google.ai.edge.lite"])
    assert [row.passed for row in rows] == [False, False]


def test_a_view_of_a_layout_has_to_exist(check):
    tags = {"LinearLayout", "dev.tfi2i.demo.CompareView"}
    assert check.views_row(tags, {"dev/tfi2i/demo/CompareView"}).passed
    assert not check.views_row(tags, {MAIN}).passed


def test_signature_schemes_are_read_from_the_report_of_apksigner(check):
    report = """Verifies
Verified using v1 scheme (JAR signing): false
Verified using v2 scheme (APK Signature Scheme v2): true
Verified using v3 scheme (APK Signature Scheme v3): true
Verified using v4 scheme (APK Signature Scheme v4): false
"""
    assert check.schemes(report) == {"v2", "v3"}


def test_the_table_counts_what_failed(check):
    rows = [check.Row("one", True, "all"), check.Row("another", False, "missing: x")]
    assert check.table(rows).splitlines() == [
        "one      ok    all",
        "another  FAIL  missing: x",
        "1 passed, 1 failed",
    ]


def test_what_is_no_zip_file_is_refused_in_a_sentence(check, tmp_path, monkeypatch, capsys):
    path = tmp_path / "app.apk"
    path.write_bytes(b"not a zip file")
    levels = ["--min-sdk", "26", "--target-sdk", "36"]
    given = [str(path), "--framework", str(path), "--package", "p", "--abi", "x86_64", *levels]
    monkeypatch.setattr(sys, "argv", ["check_apk.py", *given])
    with pytest.raises(SystemExit) as stopped:
        check.main()
    assert stopped.value.code == 2
    assert "app.apk is not there or not a zip file" in capsys.readouterr().err
