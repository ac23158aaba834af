"""Warm-up records: as TF Serving reads them, refused when damaged, replayed as it would."""

import os
import struct

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import prediction_log_pb2
from tfi2i_export.saved_model import warmup

from tfi2i.errors import InputError

IMAGE = np.random.default_rng(0).uniform(0, 255, (2, 3, 5, 3)).astype(np.float32)
REQUESTS = [
    ("predict_tensor", {"image": IMAGE, "style": np.ones((2, 8), np.float32)}),
    ("serving_default", {"image_bytes": [b"\x89PNG\r\n\0\xff", b""]}),
    ("", {"number": np.array(7, np.int64), "strided": np.arange(12, dtype=np.int32)[::3]}),
]


def assert_same(found, expected):
    assert type(found) is type(expected)
    if isinstance(expected, list):
        assert found == expected
    else:
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


def test_what_is_written_is_read(tmp_path):
    warmup.write(tmp_path, REQUESTS, "a2b")
    found = warmup.read(tmp_path)
    assert [name for name, _ in found] == [name for name, _ in REQUESTS]
    for (_, inputs), (_, expected) in zip(found, REQUESTS, strict=True):
        assert set(inputs) == set(expected)
        for alias, value in expected.items():
            assert_same(inputs[alias], value)


def test_the_official_messages_read_the_same(tmp_path):
    warmup.write(tmp_path, REQUESTS, "a2b")
    path = str(tmp_path / "assets.extra" / "tf_serving_warmup_requests")
    records = list(tf.data.TFRecordDataset(path).as_numpy_iterator())
    for record, (signature, inputs) in zip(records, REQUESTS, strict=True):
        log = prediction_log_pb2.PredictionLog.FromString(record)
        assert log.WhichOneof("log_type") == "predict_log"
        request = log.predict_log.request
        assert request.model_spec.name == "a2b"
        assert request.model_spec.signature_name == signature
        assert set(request.inputs) == set(inputs)
        for alias, value in inputs.items():
            found = tf.make_ndarray(request.inputs[alias])
            assert_same(found.tolist() if isinstance(value, list) else found, value)


def test_official_messages_are_read(tmp_path):
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.model_spec.signature_name = "predict_tensor"
    log.predict_log.request.model_spec.version.value = 3
    log.predict_log.request.output_filter.append("translation")
    log.predict_log.request.inputs["image"].CopyFrom(tf.make_tensor_proto(IMAGE))
    written(tmp_path, log.SerializeToString())
    [(signature, inputs)] = warmup.read(tmp_path)
    assert signature == "predict_tensor"
    np.testing.assert_array_equal(inputs["image"], IMAGE)


def test_the_order_of_inputs_does_not_change_the_file(tmp_path):
    contents = set()
    for turned in (dict, lambda inputs: dict(reversed(inputs.items()))):
        warmup.write(tmp_path, [(name, turned(inputs)) for name, inputs in REQUESTS], "a2b")
        contents.add((tmp_path / warmup.FILE).read_bytes())
    assert len(contents) == 1


def test_a_version_without_the_file_has_no_records_but_is_loaded(tmp_path):
    assert warmup.read(tmp_path) == []
    with pytest.raises(InputError, match="holds no saved_model.pb"):
        warmup.replay(tmp_path)


def test_a_server_takes_a_thousand_records(tmp_path):
    request = ("serving_default", {"image_bytes": [b"x"]})
    warmup.write(tmp_path, [request] * 1000, "a2b")
    assert len(warmup.read(tmp_path)) == 1000
    before = (tmp_path / warmup.FILE).read_bytes()
    with pytest.raises(InputError, match="1001 warm-up records are more than the 1000"):
        warmup.write(tmp_path, [request] * 1001, "a2b")
    assert (tmp_path / warmup.FILE).read_bytes() == before
    (tmp_path / warmup.FILE).write_bytes(before + before[: len(before) // 1000])
    with pytest.raises(InputError, match="over 1000 records"):
        warmup.read(tmp_path)


def test_files_that_hold_up_a_server_are_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(warmup, "LARGEST", 500)
    with pytest.raises(InputError, match="over 500 bytes"):
        warmup.write(tmp_path, REQUESTS, "a2b")
    assert list((tmp_path / "assets.extra").iterdir()) == []


def written(folder, *records):
    path = folder / warmup.FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as file:
        for record in records:
            file.write(record)
    return path


def with_tensor(folder, **fields):
    log = prediction_log_pb2.PredictionLog()
    sides = fields.pop("sides", [1])
    tensor = tensor_pb2.TensorProto(**fields)
    for side in sides:
        tensor.tensor_shape.dim.add(size=side)
    log.predict_log.request.inputs["image"].CopyFrom(tensor)
    written(folder, log.SerializeToString())


def changed(folder, change):
    warmup.write(folder, REQUESTS, "a2b")
    path = folder / warmup.FILE
    content = bytearray(path.read_bytes())
    path.write_bytes(change(content))


def flipped(content):
    content[40] ^= 1
    return content


def claiming(length):
    """The first record says that it is that long."""
    return lambda content: struct.pack("<Q", length) + content[8:]


DAMAGED = {
    "cut": (lambda folder: changed(folder, lambda content: content[:-5]), "cut off"),
    "text": (lambda folder: changed(folder, lambda _: b"hello"), "cut off"),
    "huge length": (lambda folder: changed(folder, claiming(2**62)), "cut off"),
    "longest length": (lambda folder: changed(folder, claiming(2**64 - 1)), "cut off"),
    "flipped bit": (lambda folder: changed(folder, flipped), "checksums"),
    "other message": (lambda folder: written(folder, b"\x32\x05hello"), "no PredictionLog"),
    "other log": (lambda folder: written(folder, b"\x12\0"), "record 1 is no request to predict"),
    "empty record": (lambda folder: written(folder, b""), "no request to predict"),
    "no type": (lambda folder: with_tensor(folder), "no known type"),
    "resource": (lambda folder: with_tensor(folder, dtype=20), "no known type"),
    "future type": (lambda folder: with_tensor(folder, dtype=999), "no known type"),
    "odd content": (
        lambda folder: with_tensor(folder, dtype=1, tensor_content=b"12345"),
        "do not fit",
    ),
    "too many values": (
        lambda folder: with_tensor(folder, dtype=1, float_val=[1, 2, 3]),
        "do not fit",
    ),
    "negative side": (
        lambda folder: with_tensor(folder, dtype=1, sides=[2, -1]),
        "without a shape",
    ),
    "bomb": (
        lambda folder: with_tensor(folder, dtype=1, sides=[10**6, 10**6], float_val=[1]),
        "over 268,435,456 bytes",
    ),
    "bomb of texts": (
        lambda folder: with_tensor(folder, dtype=7, sides=[10**9], string_val=[b"x"]),
        "over 268,435,456 bytes",
    ),
    "many sides": (lambda folder: with_tensor(folder, dtype=1, sides=[0] * 10_000), "do not fit"),
    "matrix of texts": (
        lambda folder: with_tensor(folder, dtype=7, sides=[1, 1], string_val=[b"x"]),
        r"strings of shape \(1, 1\)",
    ),
    "folder": (lambda folder: (folder / warmup.FILE).mkdir(parents=True), "not a file"),
    "pipe": (
        lambda folder: ((folder / "assets.extra").mkdir(), os.mkfifo(folder / warmup.FILE)),
        "not a file",
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files_are_refused_in_words(tmp_path, name):
    make, message = DAMAGED[name]
    make(tmp_path)
    with pytest.raises(InputError, match=message):
        warmup.read(tmp_path)


def test_a_tensor_of_equal_values_is_read_whole(tmp_path):
    with_tensor(tmp_path, dtype=1, sides=[2, 3], float_val=[0.5])
    [(_, inputs)] = warmup.read(tmp_path)
    assert_same(inputs["image"], np.full((2, 3), 0.5, np.float32))


def test_texts_that_are_not_stored_are_empty(tmp_path):
    with_tensor(tmp_path, dtype=7, sides=[2])
    assert warmup.read(tmp_path) == [("", {"image": [b"", b""]})]


@pytest.fixture(scope="module")
def version(tmp_path_factory):
    """A model that inverts PNG files and refuses others."""
    model = tf.Module()

    def invert(image_bytes):
        def one(file):
            return tf.io.encode_png(255 - tf.io.decode_png(file, 3))

        return {"image_bytes": tf.map_fn(one, image_bytes, fn_output_signature=tf.string)}

    files = tf.TensorSpec((None,), tf.string, name="image_bytes")
    model.invert = tf.function(invert, input_signature=[files])
    folder = tmp_path_factory.mktemp("inverting") / "1"
    tf.saved_model.save(model, str(folder), signatures={"serving_default": model.invert})
    return folder


def test_good_records_are_answered(version):
    png = tf.io.encode_png(np.zeros((2, 2, 3), np.uint8)).numpy()
    warmup.write(version, [("serving_default", {"image_bytes": [png]})], "a2b")
    warmup.replay(version)


def test_a_record_that_fails_is_named_with_its_signature_and_the_reason(version):
    png = tf.io.encode_png(np.zeros((2, 2, 3), np.uint8)).numpy()
    good, bad = ({"image_bytes": [one]} for one in (png, b"junk"))
    warmup.write(version, [("serving_default", good), ("serving_default", bad)], "a2b")
    with pytest.raises(InputError, match=r"record 2 fails at signature 'serving_default'.*PNG"):
        warmup.replay(version)


def test_a_record_for_a_signature_that_is_not_there_fails(version):
    warmup.write(version, [("predict_tensor", {"image": IMAGE})], "a2b")
    with pytest.raises(InputError, match=r"record 1 fails at signature 'predict_tensor'.*no sig"):
        warmup.replay(version)
