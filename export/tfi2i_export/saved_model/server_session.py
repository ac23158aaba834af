"""SavedModels in TensorFlow's C++ session, which TensorFlow Serving runs them in too.

A server knows nothing of Python: it loads a graph with the C++ loader and asks it by the names of
tensors. What `tf.saved_model.load` runs may fail there, such as Python functions and XLA, which a
server turns off. The same loader is in TensorFlow's wheel, behind its C interface.

`python -m tfi2i_export.saved_model.server_session FOLDER EXCHANGE` is the process of
`answers_in_fresh_process`:
without TensorFlow's Python it runs the requests in EXCHANGE, and leaves the answers there.
"""

import dataclasses
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfi2i.errors import InputError
from tfi2i.files import replacing, to_json, write_text
from tfi2i_export.saved_model.cpp_runtime import (
    INVALID_ARGUMENT,
    NAMES,
    NUMBERS,
    UNIMPLEMENTED,
    Graph,
    SessionError,
    Value,
)
from tfi2i_export.saved_model.files import signatures

DEFAULT_SIGNATURE = "serving_default"  # what a server takes a request for that names none

DEADLINE_EXCEEDED, FAILED_PRECONDITION, UNAVAILABLE = 4, 9, 14

SECONDS = 600.0
"""Time that a process gets for its requests, unless told otherwise."""

LAST_WORDS = 1 << 16  # bytes of what a process that died has written
LONGEST = 400  # characters of another's words in a message
PLAN, LOADED = "plan.json", "loaded.json"


@dataclasses.dataclass(frozen=True, eq=False)
class Request:
    """What to ask a signature, "" the default one, and its inputs by name."""

    signature: str
    inputs: Mapping[str, Value]


@dataclasses.dataclass(frozen=True, eq=False)
class Answer:
    """The outputs by name, or the error, which leaves `outputs` empty."""

    outputs: dict[str, Value] = dataclasses.field(default_factory=dict)
    error: SessionError | None = None


class Session:
    """A SavedModel in this process' C++ runtime, as a server loads it; for several threads at once.

    Its memory is given back with the last reference. From the first session on, nothing in this
    process can be compiled by XLA any more. Where TensorFlow's Python is loaded too, some of what
    a server lacks is there (Python functions): `answers_in_fresh_process` does not forgive them.

    Args:
        folder: Of the version, which holds saved_model.pb.

    Raises:
        SessionError: The loader refuses it.
        InputError: Its saved_model.pb is too large, or this TensorFlow has no C++ runtime.
    """

    def __init__(self, folder: Path):
        self._graph = Graph(folder)
        self._signatures = signatures(folder)

    def run(self, signature: str, inputs: Mapping[str, Value]) -> dict[str, Value]:
        """The outputs of a signature, "" the default one, by name.

        Args:
            signature: Its name.
            inputs: All that it has by name, of its types; strings as a list of bytes.

        Raises:
            SessionError: There is no such signature (9), the inputs are not its own (3), or
                running it fails.
        """
        feeds, fetches = _resolved(self._signatures, signature, inputs)
        answers = self._graph.run(feeds, list(fetches.values()))
        return dict(zip(fetches, answers, strict=True))


def answers_in_fresh_process(
    folder: Path, requests: Sequence[Request], *, timeout_seconds: float = SECONDS
) -> list[Answer]:
    """What a server would answer: from a new process without TensorFlow's Python, on the CPU.

    After a crash (code 14) or at the end of the time (code 4) nothing else is answered either.

    Args:
        folder: Of the version of a SavedModel.
        requests: Asked in this order.
        timeout_seconds: For loading and all requests together.

    Raises:
        InputError: It is no SavedModel, or loading it fails, crashes or takes too long.
    """
    known = signatures(folder)
    answers: list[Answer | None] = [None] * len(requests)
    plan: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="tfi2i-") as exchange:
        for i, request in enumerate(requests):
            try:
                feeds, fetches = _resolved(known, request.signature, request.inputs)
            except SessionError as error:
                answers[i] = Answer(error=error)
                continue
            _write_values(_feeds_file(Path(exchange), len(plan)), [value for _, value in feeds])
            plan.append({"index": i, "feeds": [name for name, _ in feeds], "fetches": fetches})
        write_text(Path(exchange, PLAN), to_json({"runs": plan}))
        end = _run_child(folder, Path(exchange), timeout_seconds)
        _check_loaded(folder, Path(exchange), end)
        for number, run in enumerate(plan):
            answers[run["index"]] = _answer(Path(exchange), number, list(run["fetches"]), end)
    return [answer for answer in answers if answer is not None]


def _resolved(
    known: Mapping[str, Any], name: str, inputs: Mapping[str, Value]
) -> tuple[list[tuple[str, Value]], dict[str, str]]:
    """(names of tensors with inputs, names of tensors by output), checked as a server does.

    Args:
        known: `SignatureDef` by name.
        name: Of the signature; "" the default one.
        inputs: By alias.
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
        if tensor.dtype not in NAMES or not tensor.name:
            raise SessionError(
                UNIMPLEMENTED,
                f"{alias} is {_dtype_name(tensor)}; here tensors are {', '.join(NUMBERS)}.",
            )
    for alias, value in inputs.items():
        expected = NAMES[signature.inputs[alias].dtype]
        if _dtype(value) != expected:
            raise SessionError(INVALID_ARGUMENT, f"{alias} is {_dtype(value)}, not {expected}.")
    feeds = [(signature.inputs[alias].name, value) for alias, value in inputs.items()]
    return feeds, {alias: tensor.name for alias, tensor in sorted(signature.outputs.items())}


def _dtype(value: Any) -> str:
    if isinstance(value, list):
        return "string" if all(isinstance(one, bytes) for one in value) else "no list of bytes"
    return value.dtype.name if isinstance(value, np.ndarray) else type(value).__name__


def _dtype_name(tensor: Any) -> str:
    """A type of a SignatureDef in words."""
    if not tensor.name:
        return "sparse or composite"  # then it is several tensors
    from tensorflow.core.framework import types_pb2

    return types_pb2.DataType.Name(tensor.dtype).removeprefix("DT_").lower()


# The process of its own: files in a folder, as the runtime itself may print to stdout.


def _run_child(folder: Path, exchange: Path, timeout_seconds: float) -> SessionError | None:
    """Runs the requests in `exchange`; returns how the process died, None if it did not."""
    command = [sys.executable, "-P", "-m", __name__, str(folder.absolute()), str(exchange)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    # A parent that has TensorFlow loaded leaves no memory of the GPU.
    environment |= {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "2"}
    with (exchange / "stderr").open("w+b") as stderr:
        try:
            child = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                timeout=timeout_seconds,
                env=environment,
            )
        except subprocess.TimeoutExpired:
            return SessionError(DEADLINE_EXCEEDED, f"There is no answer in {timeout_seconds:g} s.")
        stderr.seek(max(stderr.seek(0, os.SEEK_END) - LAST_WORDS, 0))
        words = stderr.read().decode(errors="replace").strip().splitlines()
    if not child.returncode:
        return None
    if child.returncode > 0:
        end = f"stopped with code {child.returncode}"
    else:
        end = f"crashed ({signal.strsignal(-child.returncode)}, signal {-child.returncode})"
    fatal = [line.partition("] ")[2] for line in words if re.match(r"F\d{4} .*] ", line)]
    last = f": {(fatal or words)[-1][:LONGEST]}" if words else "."
    return SessionError(UNAVAILABLE, f"The process {end}{last}")


def _check_loaded(folder: Path, exchange: Path, end: SessionError | None) -> None:
    loaded = exchange / LOADED
    if loaded.exists():
        reason = json.loads(loaded.read_text(encoding="utf-8"))["refusal"]
        if reason is None:
            return
    else:
        reason = end.message if end else "The process left no word."
    line = reason.partition("\n")[0][:LONGEST].rstrip(".")
    raise InputError(f"{folder} cannot be loaded as a server does it: {line}; export it again.")


def _answer(exchange: Path, number: int, names: Sequence[str], end: SessionError | None) -> Answer:
    """The answer to a request that was sent."""
    outputs, error = _outputs_file(exchange, number), _error_file(exchange, number)
    if outputs.exists():
        return Answer(dict(zip(names, _read_values(outputs), strict=True)))
    if error.exists():
        return Answer(error=SessionError(**json.loads(error.read_text(encoding="utf-8"))))
    return Answer(error=end or SessionError(UNAVAILABLE, "The process left no answer."))


def _answer_requests(folder: Path, exchange: Path) -> None:
    """Runs the requests in `exchange` in this process, which has not loaded TensorFlow."""
    plan = json.loads((exchange / PLAN).read_text(encoding="utf-8"))
    refusal = None
    try:
        graph = Graph(folder)
    except (SessionError, InputError) as error:
        refusal = str(error)
    write_text(exchange / LOADED, to_json({"refusal": refusal}))
    if refusal is not None:
        return
    for number, run in enumerate(plan["runs"]):
        values = _read_values(_feeds_file(exchange, number))
        try:
            feeds = list(zip(run["feeds"], values, strict=True))
            outputs = graph.run(feeds, list(run["fetches"].values()))
        except SessionError as error:
            write_text(_error_file(exchange, number), to_json(vars(error)))
        else:
            _write_values(_outputs_file(exchange, number), outputs)


def _feeds_file(exchange: Path, number: int) -> Path:
    return exchange / f"feeds-{number}.npz"


def _outputs_file(exchange: Path, number: int) -> Path:
    return exchange / f"outputs-{number}.npz"


def _error_file(exchange: Path, number: int) -> Path:
    return exchange / f"error-{number}.json"


def _write_values(path: Path, values: Sequence[Value]) -> None:
    """Values as numbered arrays; strings as all their bytes, and the length of each."""
    arrays: dict[str, Any] = {}
    for i, value in enumerate(values):
        if isinstance(value, list):
            arrays[f"{i}.bytes"] = np.frombuffer(b"".join(value), np.uint8)
            arrays[f"{i}.lengths"] = np.array([len(one) for one in value], np.int64)
        else:
            arrays[str(i)] = value
    with replacing(path) as temporary:
        np.savez(temporary, **arrays)


def _read_values(path: Path) -> list[Value]:
    values: dict[int, Value] = {}
    with np.load(path, allow_pickle=False) as arrays:
        for name in arrays:
            number, _, part = name.partition(".")
            if not part:
                values[int(number)] = arrays[name]
            elif part == "lengths":
                content = arrays[f"{number}.bytes"].tobytes()
                ends = [0, *np.cumsum(arrays[name]).tolist()]
                values[int(number)] = [content[a:b] for a, b in itertools.pairwise(ends)]
    return [values[number] for number in sorted(values)]


if __name__ == "__main__":
    _answer_requests(*map(Path, sys.argv[1:]))
