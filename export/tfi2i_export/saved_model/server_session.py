"""SavedModels in the C++ session of TensorFlow, which TensorFlow Serving runs them in too.

A server knows nothing of Python: it loads a graph, its weights and its first operations, and asks
it by the names of tensors. `tf.saved_model.load` makes Python functions of it instead, which answer
where a server fails. `tf.compat.v1.Session` is that session; functions in Python fail in it, unless
this process itself has saved them. XLA, which a server has turned off, stays on: lint finds it.

`python -m tfi2i_export.saved_model.server_session FOLDER EXCHANGE` is the process of
`answers_in_fresh_process`: it sends the requests in EXCHANGE, and leaves the answers there.
"""

import contextlib
import dataclasses
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import predict_pb2  # type: ignore[import-untyped]

from tfi2i.errors import InputError
from tfi2i.files import replacing, to_json, write_text
from tfi2i.processes import run_module
from tfi2i_export.saved_model.files import served_graph, signatures

Value = NDArray[Any] | list[bytes]
"""A tensor: an array of one of `TYPES`, or strings (N,)."""

TYPES = {
    one.as_datatype_enum: one.name for one in (tf.float32, tf.int32, tf.uint8, tf.string, tf.int64)
}
"""The types of data that can go in and come out, by TensorFlow's number."""

DEFAULT_SIGNATURE = "serving_default"
"""The signature of a request that names none."""
INITIALISER = "__saved_model_init_op"  # a signature of TensorFlow's own, with an operation to run
OLD_INITIALISERS = ("saved_model_main_op", "legacy_init_op")  # collections of TensorFlow 1

INVALID_ARGUMENT, DEADLINE_EXCEEDED, FAILED_PRECONDITION = 3, 4, 9
UNIMPLEMENTED, UNAVAILABLE = 12, 14

SECONDS = 600.0
"""Time that a process gets for its work, unless told otherwise."""

LONGEST = 400  # characters of another's words in a message
LOADED = "loaded.json"


class SessionError(Exception):
    """An error of the session, or of a server, instead of tensors.

    Attributes:
        code: Code as in gRPC: 3 INVALID_ARGUMENT, 9 FAILED_PRECONDITION, 13 INTERNAL ...
        message: Runtime's words.
    """

    def __init__(self, code: int, message: str):
        super().__init__(message)
        self.code = code
        self.message = message


@dataclasses.dataclass(frozen=True, eq=False)
class Request:
    """A signature, "" for the default one, and its inputs by name."""

    signature: str
    inputs: Mapping[str, Value]


@dataclasses.dataclass(frozen=True, eq=False)
class Answer:
    """The outputs by name, or the error, which leaves `outputs` empty."""

    outputs: dict[str, Value] = dataclasses.field(default_factory=dict)
    error: SessionError | None = None


class Session:
    """A SavedModel loaded into this process as a server loads it; for several threads at once.

    Args:
        folder: Version, which holds saved_model.pb.

    Raises:
        SessionError: The session refuses it.
        InputError: It is no SavedModel, or its saved_model.pb is damaged or too large.
    """

    def __init__(self, folder: Path):
        graph = served_graph(folder)
        self._signatures = signatures(folder)
        for node in graph.graph_def.node:
            if node.op == "Placeholder":  # else shapes are checked here, which a server does not
                node.attr.pop("_output_shapes", None)
                node.attr["shape"].shape.CopyFrom(tf.TensorShape(None).as_proto())
        with _session_errors(), tf.Graph().as_default():
            tf.graph_util.import_graph_def(graph.graph_def, name="")
            self._session = tf.compat.v1.Session()
            files = {
                one.tensor_info.name: os.fspath(folder / "assets" / one.filename)
                for one in graph.asset_file_def
            }
            weights = folder / "variables" / "variables"
            if weights.with_suffix(".index").exists():  # without it a server loads no weights
                name = graph.saver_def.filename_tensor_name
                self._session.run(
                    graph.saver_def.restore_op_name, {name: os.fspath(weights), **files}
                )
            for initialiser in _initialisers(graph):
                self._session.run(initialiser, files)

    def run(self, signature: str, inputs: Mapping[str, Value]) -> dict[str, Value]:
        """Returns the outputs of a signature, "" for the default one, by name.

        Args:
            signature: Name of the signature.
            inputs: Values of all its inputs by name, of their types; strings as a list of bytes.

        Raises:
            SessionError: There is no such signature (9), the inputs are not its own (3), or
                running it fails.
        """
        feeds, fetches = _resolved(self._signatures, signature, inputs)
        with _session_errors():
            answers = self._session.run(fetches, feeds)
        try:
            return {alias: as_value(answer) for alias, answer in answers.items()}
        except ValueError as error:
            raise SessionError(UNIMPLEMENTED, f"An output has {error}.") from error


def answers_in_fresh_process(
    folder: Path, requests: Sequence[Request], *, timeout_seconds: float = SECONDS
) -> list[Answer]:
    """Answers of a server: from a new process that knows no function in Python, on the CPU.

    After a crash (code 14) or at the end of the time (code 4) nothing else is answered either.

    Args:
        folder: Version of a SavedModel.
        requests: Requests, in the order of asking.
        timeout_seconds: Seconds for starting, loading and all requests together.

    Raises:
        InputError: It is no SavedModel, or loading it fails, crashes or takes too long.
    """
    signatures(folder)  # raises
    with tempfile.TemporaryDirectory(prefix="tfi2i-") as exchange:
        paths = [Path(exchange, f"{i:06}.request") for i in range(len(requests))]
        for path, request in zip(paths, requests, strict=True):
            path.write_bytes(message(request).SerializeToString())
        arguments = (str(folder.absolute()), exchange)
        end = run_fresh_process(__name__, *arguments, timeout_seconds=timeout_seconds)
        _check_loaded(folder, Path(exchange, LOADED), end)
        return [_answer(path, end) for path in paths]


def run_fresh_process(
    module: str, *arguments: str, timeout_seconds: float = SECONDS
) -> SessionError | None:
    """Runs `python -m MODULE ARGUMENTS` without a GPU; returns how it died, None if it did not."""
    # A parent that has TensorFlow loaded leaves no memory of the GPU.
    variables = {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "2"}
    variables["TF_USE_LEGACY_KERAS"] = "1"  # spares the import of Keras, which takes seconds
    try:
        child = run_module(module, *arguments, seconds=timeout_seconds, variables=variables)
    except subprocess.TimeoutExpired:
        return SessionError(DEADLINE_EXCEEDED, f"There is no answer in {timeout_seconds:g} s.")
    if not child.code:
        return None
    fatal = [line.partition("] ")[2] for line in child.errors if re.match(r"F\d{4} .*] ", line)]
    lines = fatal or child.errors
    last = f": {lines[-1][:LONGEST]}" if lines else "."
    return SessionError(UNAVAILABLE, f"The process {child.end}{last}")


def message(request: Request, model: str = "") -> Any:
    """Returns the `PredictRequest` of a request."""
    found = predict_pb2.PredictRequest()
    found.model_spec.name = model
    found.model_spec.signature_name = request.signature
    fill(found.inputs, request.inputs)
    return found


def fill(tensors: Any, values: Mapping[str, Value]) -> None:
    """Puts values into a message's map of `TensorProto` by name."""
    for alias, value in values.items():
        kind = tf.string if isinstance(value, list) else None
        tensors[alias].CopyFrom(tf.make_tensor_proto(value, kind))


def _read(tensor: Any) -> Value:
    return as_value(tf.make_ndarray(tensor))


def as_value(array: Any) -> Value:
    """Returns a tensor of NumPy as a value; strings are an array of objects there, or bytes.

    Raises:
        ValueError: It holds strings of another shape than (n,).
    """
    if not isinstance(array, bytes) and np.asarray(array).dtype != np.object_:
        return np.asarray(array)
    if np.shape(array)[1:] or isinstance(array, bytes):
        raise ValueError(f"strings of shape {np.shape(array)}, not (n,)")
    # Where none are stored, the array of a message holds empty texts, not empty bytes.
    return [text or b"" for text in array.tolist()]


def _initialisers(graph: Any) -> list[str]:
    """The names of the operations that run after loading, of which the C++ loader takes one."""
    if INITIALISER in graph.signature_def:
        return [graph.signature_def[INITIALISER].outputs[INITIALISER].name.partition(":")[0]]
    for name in OLD_INITIALISERS:
        if name in graph.collection_def:
            return list(graph.collection_def[name].node_list.value)[:1]
    return []


@contextlib.contextmanager
def _session_errors() -> Iterator[None]:
    try:
        yield
    except tf.errors.OpError as error:
        said = error.message.removeprefix("Graph execution error:").strip()
        raise SessionError(error.error_code, said) from error
    except (KeyError, TypeError, ValueError) as error:  # of names that the graph does not have
        raise SessionError(INVALID_ARGUMENT, str(error)) from error


def _resolved(
    known: Mapping[str, Any], name: str, inputs: Mapping[str, Value]
) -> tuple[dict[str, Any], dict[str, str]]:
    """({name of tensor: input}, {output: name of tensor}), checked as a server does.

    Args:
        known: `SignatureDef` by name.
        name: Signature's; "" the default one.
        inputs: Values by alias.
    """
    signature = known.get(name or DEFAULT_SIGNATURE)
    if signature is None:
        raise SessionError(
            FAILED_PRECONDITION,
            f"There is no signature {name or DEFAULT_SIGNATURE!r}; there is {', '.join(known)}.",
        )
    if set(inputs) != set(signature.inputs):
        missing = ", ".join(sorted(set(signature.inputs) - set(inputs))) or "none"
        extra = ", ".join(sorted(map(repr, set(inputs) - set(signature.inputs)))) or "none"
        raise SessionError(
            INVALID_ARGUMENT,
            f"The inputs are not those of the signature; missing: {missing}; unknown: {extra}.",
        )
    for alias, tensor in (*signature.inputs.items(), *signature.outputs.items()):
        if tensor.dtype not in TYPES or not tensor.name:
            raise SessionError(
                UNIMPLEMENTED,
                f"{alias} is {_dtype_name(tensor)}; here tensors are {', '.join(TYPES.values())}.",
            )
    for alias, value in inputs.items():
        expected = TYPES[signature.inputs[alias].dtype]
        if _dtype(value) != expected:
            raise SessionError(INVALID_ARGUMENT, f"{alias} is {_dtype(value)}, not {expected}.")
    feeds = {
        signature.inputs[alias].name: np.array(value, object) if isinstance(value, list) else value
        for alias, value in inputs.items()
    }
    return feeds, {alias: tensor.name for alias, tensor in sorted(signature.outputs.items())}


def _dtype(value: Any) -> str:
    if isinstance(value, list):
        return "string" if all(isinstance(one, bytes) for one in value) else "no list of bytes"
    return value.dtype.name if isinstance(value, np.ndarray) else type(value).__name__


def _dtype_name(tensor: Any) -> str:
    """A type of a SignatureDef in words."""
    if not tensor.name:
        return "sparse or composite"  # then it is several tensors
    return types_pb2.DataType.Name(tensor.dtype).removeprefix("DT_").lower()


def _check_loaded(folder: Path, loaded: Path, end: SessionError | None) -> None:
    if loaded.exists():
        reason = json.loads(loaded.read_text(encoding="utf-8"))["refusal"]
        if reason is None:
            return
    else:
        reason = end.message if end else "The process left no word."
    line = reason.partition("\n")[0][:LONGEST].rstrip(".")
    raise InputError(f"{folder} cannot be loaded as a server does it: {line}; export it again.")


def _answer(request: Path, end: SessionError | None) -> Answer:
    """The answer to a request that was sent."""
    response, error = request.with_suffix(".response"), request.with_suffix(".error")
    if response.exists():
        found = predict_pb2.PredictResponse.FromString(response.read_bytes())
        return Answer({alias: _read(found.outputs[alias]) for alias in sorted(found.outputs)})
    if error.exists():
        return Answer(error=SessionError(**json.loads(error.read_text(encoding="utf-8"))))
    return Answer(error=end or SessionError(UNAVAILABLE, "The process left no answer."))


def _answer_requests(folder: Path, exchange: Path) -> None:
    """Sends the requests in `exchange` to a session of this process."""
    try:
        session = Session(folder)
    except (SessionError, InputError) as error:
        write_text(exchange / LOADED, to_json({"refusal": str(error)}))
        return
    write_text(exchange / LOADED, to_json({"refusal": None}))
    for path in sorted(exchange.glob("*.request")):
        request = predict_pb2.PredictRequest.FromString(path.read_bytes())
        try:
            inputs = {alias: _read(tensor) for alias, tensor in request.inputs.items()}
            outputs = session.run(request.model_spec.signature_name, inputs)
        except SessionError as error:
            write_text(path.with_suffix(".error"), to_json(vars(error)))
        else:
            response = predict_pb2.PredictResponse()
            fill(response.outputs, outputs)
            with replacing(path.with_suffix(".response")) as temporary:
                temporary.write_bytes(response.SerializeToString())


if __name__ == "__main__":
    _answer_requests(*map(Path, sys.argv[1:]))
