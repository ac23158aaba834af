"""Warm-up records: requests that TF Serving sends to a version itself before it serves it.

They spare the first users the wait for graphs that are optimised on first use. The file is a
TFRecord of `PredictionLog` messages.
"""

import functools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from tensorflow_serving.apis import prediction_log_pb2  # type: ignore[import-untyped]

from tfi2i.errors import InputError
from tfi2i.files import replacing
from tfi2i_export.saved_model.child import LONGEST
from tfi2i_export.saved_model.server_session import Request, Value, answers_in_child, as_value

FILE = "assets.extra/tf_serving_warmup_requests"
MOST = 1000  # records; with more, a server refuses the version
LARGEST = 2**28  # bytes of the file, and of its tensors, whose equal values may be stored as one
FRAME = 16  # bytes of a record besides its content: length, checksum of that; checksum of content


def write(folder: Path, requests: Sequence[tuple[str, Mapping[str, Value]]], model: str) -> None:
    """Replaces the warm-up records of a version.

    Args:
        folder: SavedModel.
        requests: (signature, inputs), in the order in which the server is to send them; strings
            (n,) are given as lists.
        model: Name of the model. A server does not look at it.

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
                log = prediction_log_pb2.PredictionLog()
                request = log.predict_log.request
                request.model_spec.name, request.model_spec.signature_name = model, signature
                for alias, value in inputs.items():
                    kind = tf.string if isinstance(value, list) else None
                    request.inputs[alias].CopyFrom(tf.make_tensor_proto(value, kind))
                file.write(log.SerializeToString(deterministic=True))
        _refuse_large(path, temporary.stat().st_size)


def read(folder: Path) -> list[Request]:
    """Requests in the warm-up records of a version; none if it has no file of them.

    Raises:
        InputError: The file is damaged, has too many or too large records, or others than requests
            to predict.
    """
    path = folder / FILE
    try:
        records = _records(path) if path.exists() else []
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}).") from error
    requests, size = [], 0
    for i, record in enumerate(records, 1):
        name = _name(path, i)
        try:
            log = prediction_log_pb2.PredictionLog.FromString(record)
        except DecodeError as error:
            raise _damaged(name, "it is no PredictionLog") from error
        if not log.HasField("predict_log"):
            raise InputError(f"{name} is no request to predict; leave it out.")
        request = log.predict_log.request
        size += sum(_bytes(tensor, name) for tensor in request.inputs.values())
        _refuse_large(path, size)
        inputs = {alias: _value(tensor, name) for alias, tensor in request.inputs.items()}
        requests.append(Request(request.model_spec.signature_name, inputs))
    return requests


def replay(folder: Path) -> list[dict[str, Value]]:
    """Loads a version and sends it its warm-up records, as a server does; the outputs of each.

    Raises:
        InputError: As `read`; or one fails, for which a server would refuse the version.
    """
    requests = read(folder)
    answers = answers_in_child(folder, requests)
    for i, ((signature, _), answer) in enumerate(zip(requests, answers, strict=True), 1):
        if answer.error is not None:
            words = " ".join(answer.error.message.split())[:LONGEST].rstrip(".")
            raise InputError(
                f"{_name(folder / FILE, i)} fails at signature {signature!r}, so that no server"
                f" would load this version ({words}); export the model again, or leave the record"
                " out."
            )
    return [answer.outputs for answer in answers]


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


def _bytes(tensor: Any, name: str) -> int:
    """Bytes that a `TensorProto` takes in memory; of huge ones, something above `LARGEST`."""
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
    try:
        return as_value(array)
    except ValueError as error:
        raise InputError(f"{name} has {error}; leave it out.") from error


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
