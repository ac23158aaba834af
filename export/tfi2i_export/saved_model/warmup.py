"""Warm-up records: requests that TF Serving sends to a version itself before it serves it.

They spare the first users the wait for graphs that are optimised on first use. The file is a
TFRecord of `PredictionLog` messages. Their official classes are in tensorflow-serving-api, which is
optional and must not be needed for an export; so what is used of them is described here again.
"""

import functools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import (  # type: ignore[import-untyped]
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
)
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from tensorflow.core.framework import tensor_pb2

from tfi2i.errors import InputError
from tfi2i.files import replacing
from tfi2i_export.saved_model.server_session import Request, Value, answers_in_fresh_process

FILE = "assets.extra/tf_serving_warmup_requests"
MOST = 1000
"""Records; with more, a server refuses the version."""
LARGEST = 2**28
"""Bytes of the file, and of the tensors in it: a tensor of equal values may be stored as one."""

FRAME = 16  # bytes of a record besides its content: length, checksum of that; checksum of content

LONGEST = 400  # characters of the runtime's words in a message

# A map's value is sent like bytes whether it is declared as bytes or, as officially, as a message.
_MESSAGES = """
name: "warmup.proto" package: "warmup" syntax: "proto3"
message_type { name: "PredictionLog"
  field { name: "predict_log" number: 6 type: TYPE_MESSAGE type_name: ".warmup.PredictLog" }
}
message_type { name: "PredictLog"
  field { name: "request" number: 1 type: TYPE_MESSAGE type_name: ".warmup.PredictRequest" }
}
message_type { name: "PredictRequest"
  field { name: "model_spec" number: 1 type: TYPE_MESSAGE type_name: ".warmup.ModelSpec" }
  field { name: "inputs" number: 2 type: TYPE_MESSAGE label: LABEL_REPEATED
          type_name: ".warmup.PredictRequest.InputsEntry" }
  nested_type { name: "InputsEntry" options { map_entry: true }
    field { name: "key" number: 1 type: TYPE_STRING }
    field { name: "value" number: 2 type: TYPE_BYTES }
  }
}
message_type { name: "ModelSpec"
  field { name: "name" number: 1 type: TYPE_STRING }
  field { name: "signature_name" number: 3 type: TYPE_STRING }
}
"""


def write(folder: Path, requests: Sequence[tuple[str, Mapping[str, Value]]], model: str) -> None:
    """Replaces the warm-up records of a version.

    Args:
        folder: The SavedModel.
        requests: (signature, inputs), in the order in which the server is to send them; strings
            (n,) are given as lists.
        model: The name of the model. A server does not look at it.

    Raises:
        InputError: They are more, or larger, than a server or `read` takes.
    """
    path = folder / FILE
    if len(requests) > MOST:
        raise InputError(
            f"{path}: {len(requests)} warm-up records are more than the {MOST} that a server takes;"
            " leave some out."
        )
    with replacing(path) as temporary:
        with tf.io.TFRecordWriter(str(temporary)) as file:
            for signature, inputs in requests:
                file.write(_record(signature, inputs, model))
        _refuse_large(path, temporary.stat().st_size)


def read(folder: Path) -> list[tuple[str, dict[str, Value]]]:
    """(signature, inputs) of every warm-up record of a version; none if it has no file of them.

    Raises:
        InputError: The file is damaged, has too many or too large records, or others than requests
            to predict.
    """
    path = folder / FILE
    try:
        if not path.exists():
            return []
        records = _records(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}).") from error
    requests = [_request(record, _name(path, i)) for i, record in enumerate(records, 1)]
    sizes = [
        _bytes(tensor, _name(path, i))
        for i, (_, inputs) in enumerate(requests, 1)
        for tensor in inputs.values()
    ]
    _refuse_large(path, sum(sizes))
    return [
        (signature, {alias: _value(tensor, _name(path, i)) for alias, tensor in inputs.items()})
        for i, (signature, inputs) in enumerate(requests, 1)
    ]


def replay(folder: Path) -> list[dict[str, Value]]:
    """Loads a version and sends it its warm-up records, as a server does; the outputs of each.

    Raises:
        InputError: As `read`; or one fails, for which a server would refuse the version.
    """
    requests = read(folder)
    answers = answers_in_fresh_process(folder, [Request(*request) for request in requests])
    for i, ((signature, _), answer) in enumerate(zip(requests, answers, strict=True), 1):
        if answer.error is not None:
            words = " ".join(answer.error.message.split())[:LONGEST].rstrip(".")
            raise InputError(
                f"{_name(folder / FILE, i)} fails at signature {signature!r}, so that no server"
                f" would load this version ({words}); export the model again, or leave the record"
                " out."
            )
    return [answer.outputs for answer in answers]


@functools.cache
def _message() -> Any:
    """The class of `PredictionLog`, in a pool of its own: the official one may be loaded too."""
    pool = descriptor_pool.DescriptorPool()
    pool.Add(text_format.Parse(_MESSAGES, descriptor_pb2.FileDescriptorProto()))
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("warmup.PredictionLog"))


def _record(signature: str, inputs: Mapping[str, Value], model: str) -> bytes:
    log = _message()()
    request = log.predict_log.request
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    for alias, values in inputs.items():
        kind = tf.string if isinstance(values, list) else None
        request.inputs[alias] = tf.make_tensor_proto(values, kind).SerializeToString()
    return log.SerializeToString(deterministic=True)


def _records(path: Path) -> list[bytes]:
    """The contents of a TFRecord file, their checksums verified.

    The lengths are looked at first: TensorFlow allocates whatever they claim.
    """
    if not path.is_file():
        raise InputError(f"{path} is not a file; leave it out, or export the model again.")
    place = count = 0
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        _refuse_large(path, size)
        while place < size and count <= MOST:
            file.seek(place)
            place += FRAME + int.from_bytes(file.read(8), "little")
            count += 1
    if count > MOST:
        raise InputError(
            f"{path} has over {MOST} records, and a server takes no version with more; leave some"
            " out."
        )
    if place != size:
        raise _damaged(str(path), "its last record is cut off")
    if not count:
        return []
    try:
        together = tf.data.TFRecordDataset(str(path)).batch(count).get_single_element()
    except tf.errors.OpError as error:
        raise _damaged(str(path), "checksums of records are wrong") from error
    return together.numpy().tolist()


def _request(record: bytes, name: str) -> tuple[str, dict[str, Any]]:
    """(signature, {alias: TensorProto}) of a `PredictionLog`."""
    try:
        log = _message().FromString(record)
        if not log.HasField("predict_log"):
            raise InputError(f"{name} is no request to predict; leave it out.")
        request = log.predict_log.request
        inputs = {
            alias: tensor_pb2.TensorProto.FromString(content)
            for alias, content in request.inputs.items()
        }
    except DecodeError as error:
        raise _damaged(name, "it is no PredictionLog") from error
    return request.model_spec.signature_name, inputs


def _bytes(tensor: Any, name: str) -> int:
    """What a `TensorProto` takes in memory; of huge ones, something above `LARGEST`."""
    sides = [side.size for side in tensor.tensor_shape.dim]
    try:
        item = np.dtype(tf.dtypes.as_dtype(tensor.dtype).as_numpy_dtype).itemsize
    except (KeyError, TypeError) as error:  # KeyError: a type without values, such as a resource
        raise _damaged(name, "it has a tensor of no known type") from error
    if tensor.tensor_shape.unknown_rank or min(sides, default=0) < 0:
        raise _damaged(name, "it has a tensor without a shape")
    return functools.reduce(lambda size, side: min(size * side, LARGEST + 1), sides, item)


def _value(tensor: Any, name: str) -> Value:
    try:
        array = tf.make_ndarray(tensor)
    except (TypeError, ValueError) as error:
        raise _damaged(name, "a tensor's values do not fit its type and shape") from error
    if array.dtype != np.object_:
        return array
    if array.ndim != 1:
        raise InputError(f"{name} has strings of shape {array.shape}, not (n,); leave it out.")
    # Where none are stored, NumPy's array holds empty texts, not empty bytes.
    return [text or b"" for text in array.tolist()]


def _refuse_large(path: Path, size: int) -> None:
    if size > LARGEST:
        raise InputError(
            f"{path}: warm-up records of over {LARGEST:,} bytes hold up a server's start; leave"
            " some out, or take smaller pictures."
        )


def _name(path: Path, number: int) -> str:
    return f"{path}: warm-up record {number}"


def _damaged(where: str, why: str) -> InputError:
    return InputError(f"{where} is damaged: {why}; copy the folder or export the model again.")
