"""SavedModels in the C++ session of TensorFlow, which TensorFlow Serving runs them in too.

A server knows nothing of Python: it loads a graph, its weights and its first operations, and asks
it by the names of tensors. `tf.saved_model.load` makes Python functions of it instead, which answer
where a server fails. `tf.compat.v1.Session` is that session; functions in Python fail in it, unless
this process itself has saved them. XLA, which a server has turned off, stays on: lint finds it.
"""

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.core.framework import types_pb2

from tfi2i.errors import InputError
from tfi2i_export.saved_model.child import CHILD, LONGEST, SECONDS
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


@dataclasses.dataclass(eq=False)
class SessionError(Exception):
    """An error of the session, or of a server, instead of tensors.

    Attributes:
        code: Code as in gRPC: 3 INVALID_ARGUMENT, 9 FAILED_PRECONDITION, 13 INTERNAL ...
        message: Runtime's words.
    """

    code: int
    message: str

    def __str__(self) -> str:
        return self.message


class Request(NamedTuple):
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
            weights, saver = folder / "variables" / "variables", graph.saver_def
            if weights.with_suffix(".index").exists():  # without it a server loads no weights
                feeds = {saver.filename_tensor_name: os.fspath(weights), **files}
                self._session.run(saver.restore_op_name, feeds)
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


def answers_in_child(
    folder: Path, requests: Sequence[Request], *, timeout_seconds: float = SECONDS
) -> list[Answer]:
    """Answers of a server: from a process that knows no function in Python, on the CPU.

    After a crash (code 14) or at the end of the time (code 4) nothing else is answered either.

    Args:
        folder: Version of a SavedModel.
        requests: Requests, in the order of asking.
        timeout_seconds: Seconds for starting, loading and all requests together.

    Raises:
        InputError: It is no SavedModel, or loading it fails, crashes or takes too long.
    """
    signatures(folder)  # raises
    version, requests = folder.absolute(), list(requests)
    replies, end = CHILD.replies(_answers, version, requests, seconds=timeout_seconds)
    refusal, *answers = replies or [str(end)]
    if refusal is not None:
        line = refusal.partition("\n")[0][:LONGEST].rstrip(".")
        raise InputError(f"{folder} cannot be loaded as a server does it: {line}; export it again.")
    code = DEADLINE_EXCEEDED if isinstance(end, TimeoutError) else UNAVAILABLE
    missing = Answer(error=SessionError(code, str(end)))
    return [*answers, *[missing] * (len(requests) - len(answers))]


def _answers(folder: Path, requests: Sequence[Request]) -> Iterator[Any]:
    """Yields why a version cannot be loaded, None if it can; then the `Answer` to each request."""
    try:
        session = Session(folder)
    except (SessionError, InputError) as error:
        yield str(error)
        return
    yield None
    for request in requests:
        try:
            yield Answer(session.run(request.signature, request.inputs))
        except SessionError as error:
            yield Answer(error=error)


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
    """({name of tensor: input}, {output: name of tensor}), checked as a server does."""
    name = name or DEFAULT_SIGNATURE
    signature = known.get(name)
    if signature is None:
        message = f"There is no signature {name!r}; there is {', '.join(known)}."
        raise SessionError(FAILED_PRECONDITION, message)
    if set(inputs) != set(signature.inputs):
        missing = ", ".join(sorted(set(signature.inputs) - set(inputs))) or "none"
        extra = ", ".join(sorted(map(repr, set(inputs) - set(signature.inputs)))) or "none"
        message = "The inputs are not those of the signature;"
        message += f" missing: {missing}; unknown: {extra}."
        raise SessionError(INVALID_ARGUMENT, message)
    for alias, tensor in (*signature.inputs.items(), *signature.outputs.items()):
        if tensor.dtype not in TYPES or not tensor.name:  # without one it is several tensors
            kind = type_name(tensor.dtype) if tensor.name else "sparse or composite"
            known_here = ", ".join(TYPES.values())
            raise SessionError(UNIMPLEMENTED, f"{alias} is {kind}; here tensors are {known_here}.")
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


def type_name(number: int) -> str:
    """The name of a data type of TensorFlow in a file, whatever its number."""
    if number not in types_pb2.DataType.values():
        return f"of the unknown type {number}"
    return types_pb2.DataType.Name(number).removeprefix("DT_").lower()
