"""Files that crash LiteRT are refused in a sentence by whatever would run them."""

import re

import keras
import numpy as np
import pytest
import small_files
from ai_edge_litert.schema_py_generated import BuiltinOperator, Model
from PIL import Image
from tfi2i_export.encoders import SIGNATURE, companion_reader
from tfi2i_export.tflite.conversion import convert_encoders

from tfi2i.cli import main
from tfi2i.errors import InputError


def crashing():
    """A file whose multiplications lack their second factor, which LiteRT does not look for."""
    changed = bytearray(small_files.point_file())
    content = Model.GetRootAs(changed, 0)
    graph = content.Subgraphs(0)
    for operator in map(graph.Operators, range(graph.OperatorsLength())):
        kind = content.OperatorCodes(operator.OpcodeIndex()).BuiltinCode()
        if kind == BuiltinOperator.MUL:
            operator.InputsAsNumpy()[1] = -1
    return bytes(changed)


def test_a_file_without_sidecar_that_crashes_litert_is_refused_by_every_verb(tmp_path, capsys):
    path, picture = tmp_path / "crash.tflite", tmp_path / "one.png"
    path.write_bytes(crashing())
    Image.new("RGB", (48, 32)).save(picture)
    verbs = (["translate", str(path), str(picture)], ["sample", str(path)])
    for arguments in (
        *([*verb, "--out", str(tmp_path / "out")] for verb in verbs),
        ["bench", str(path)],
    ):
        assert main(arguments) == 2
        error = capsys.readouterr().err
        # What lies in memory decides whether it crashes or fails.
        assert re.search(r"crash.tflite (is damaged: LiteRT crashed|fails on pictures)", error)
    assert not (tmp_path / "out").exists()


def test_an_encoder_without_its_digest_that_crashes_litert_is_refused(tmp_path):
    path = tmp_path / "a2b-style-encoder.tflite"
    path.write_bytes(crashing())
    reader = companion_reader(path, None, (8,), (), "squash")
    with pytest.raises(InputError, match=r"encoder.tflite is (damaged: LiteRT crash|no encoder)"):
        reader(np.zeros((32, 48, 3), np.uint8), None)


def test_an_encoder_without_its_digest_is_tried_and_read(tmp_path):
    image = keras.Input((8, 8, 3), name="picture")
    mean = keras.Model(image, keras.layers.GlobalAveragePooling2D()(image))
    path = tmp_path / "a2b-style-encoder.tflite"
    path.write_bytes(convert_encoders({SIGNATURE: mean}, half=False))
    reader = companion_reader(path, None, (3,), (), "squash")
    found = reader(np.full((32, 48, 3), 51, np.uint8), None)
    np.testing.assert_allclose(found, np.full(3, -0.6), rtol=1e-5)


def test_a_whole_file_without_sidecar_is_run_and_called_unverified(tmp_path, capsys):
    path, picture = tmp_path / "whole.tflite", tmp_path / "one.png"
    path.write_bytes(small_files.point_file())
    Image.new("RGB", (48, 32)).save(picture)
    assert main(["translate", str(path), str(picture), "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().err.splitlines()
    assert [one for one in said if "unverified" in one] == [
        "whole.tflite has no sidecar (whole.json) and is unverified: nothing tells a damaged file "
        "from the one that was exported."
    ]
