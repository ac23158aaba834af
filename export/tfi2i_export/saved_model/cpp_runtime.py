"""TensorFlow's C++ runtime by its C interface: SavedModels without TensorFlow's Python.

Every pointer is given back by who took it; the runtime keeps none of ours.
"""

import contextlib
import ctypes
import functools
import importlib.util
import os
import re
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfi2i.errors import InputError
from tfi2i_export.saved_model.files import TAG

Value = NDArray[Any] | list[bytes]
"""A tensor: an array of one of `NUMBERS`' types, or strings (N,)."""

NUMBERS = {"float32": 1, "int32": 3, "uint8": 4, "string": 7, "int64": 9}
"""TensorFlow's number of each type of data that can go in and come out."""
NAMES = {number: name for name, number in NUMBERS.items()}

STRING_BYTES = 24  # of a TF_TString, which holds short strings itself

LIBRARY = "libtensorflow_cc.so.2"
XLA_OFF = "_ZN10tensorflow21DisableXlaCompilationEv"  # no part of the C interface: a mangled name

INVALID_ARGUMENT, UNIMPLEMENTED = 3, 12


class SessionError(Exception):
    """What the C++ runtime, or a server, answers instead of tensors.

    Attributes:
        code: as in gRPC: 3 INVALID_ARGUMENT, 9 FAILED_PRECONDITION, 13 INTERNAL ...
        message: the runtime's words.
    """

    def __init__(self, code: int, message: str):
        super().__init__(message)
        self.code = code
        self.message = message


class _Output(ctypes.Structure):
    """A TF_Output, one of the tensors that an operation gives."""

    _fields_ = (("operation", ctypes.c_void_p), ("index", ctypes.c_int))


# Results first: without their types ctypes would cut pointers down to 32 bits.
_POINTER, _SIZE, _INT, _TEXT = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_char_p
_DIMENSIONS = ctypes.POINTER(ctypes.c_int64)
_OUTPUTS, _POINTERS = ctypes.POINTER(_Output), ctypes.POINTER(_POINTER)
_FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "TF_NewStatus": (_POINTER,),
    "TF_GetCode": (_INT, _POINTER),
    "TF_Message": (_TEXT, _POINTER),
    "TF_DeleteStatus": (None, _POINTER),
    "TF_NewSessionOptions": (_POINTER,),
    "TF_DeleteSessionOptions": (None, _POINTER),
    "TF_NewGraph": (_POINTER,),
    "TF_DeleteGraph": (None, _POINTER),
    "TF_LoadSessionFromSavedModel": (
        *(_POINTER, _POINTER, _POINTER, _TEXT),
        *(ctypes.POINTER(_TEXT), _INT, _POINTER, _POINTER, _POINTER),
    ),
    "TF_CloseSession": (None, _POINTER, _POINTER),
    "TF_DeleteSession": (None, _POINTER, _POINTER),
    "TF_SessionRun": (
        *(None, _POINTER, _POINTER, _OUTPUTS, _POINTERS, _INT),
        *(_OUTPUTS, _POINTERS, _INT, _POINTER, _INT, _POINTER, _POINTER),
    ),
    "TF_GraphOperationByName": (_POINTER, _POINTER, _TEXT),
    "TF_OperationNumOutputs": (_INT, _POINTER),
    "TF_AllocateTensor": (_POINTER, _INT, _DIMENSIONS, _INT, _SIZE),
    "TF_DeleteTensor": (None, _POINTER),
    "TF_TensorType": (_INT, _POINTER),
    "TF_TensorData": (_POINTER, _POINTER),
    "TF_TensorByteSize": (_SIZE, _POINTER),
    "TF_NumDims": (_INT, _POINTER),
    "TF_Dim": (ctypes.c_int64, _POINTER, _INT),
    "TF_StringInit": (None, _POINTER),
    "TF_StringCopy": (None, _POINTER, _TEXT, _SIZE),
    "TF_StringGetDataPointer": (_POINTER, _POINTER),
    "TF_StringGetSize": (_SIZE, _POINTER),
    XLA_OFF: (None,),
}


@functools.cache
def _runtime() -> ctypes.CDLL:
    """The C++ runtime of the installed TensorFlow, without its Python; XLA is off, as in servers.

    Raises:
        InputError: There is none, or it has changed.
    """
    package = importlib.util.find_spec("tensorflow")
    folders = package.submodule_search_locations if package else None
    path = Path(folders[0]) / LIBRARY if folders else Path(LIBRARY)
    try:
        library = ctypes.CDLL(str(path))  # names stay private: some clash with NumPy's
        for name, (result, *arguments) in _FUNCTIONS.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except OSError as error:
        raise InputError(
            f"TensorFlow's C++ runtime {path} cannot be loaded ({error}); install tensorflow for "
            "Linux to check SavedModels."
        ) from error
    except AttributeError as error:
        raise InputError(
            f"{path} lacks what is needed to run SavedModels as a server does ({error}); install "
            "another version of TensorFlow."
        ) from error
    getattr(library, XLA_OFF)()
    return library


@contextlib.contextmanager
def _checked() -> Iterator[int]:
    """A TF_Status to hand over; raises what it says in the end."""
    runtime = _runtime()
    status = runtime.TF_NewStatus()
    try:
        yield status
        code = runtime.TF_GetCode(status)
        if code:
            raise SessionError(code, runtime.TF_Message(status).decode(errors="replace"))
    finally:
        runtime.TF_DeleteStatus(status)


class Graph:
    """A SavedModel that the C++ loader has loaded, asked by the names of tensors."""

    def __init__(self, folder: Path):
        runtime = _runtime()
        tags = (ctypes.c_char_p * 1)(TAG.encode())
        self._graph = runtime.TF_NewGraph()
        options = runtime.TF_NewSessionOptions()
        try:
            with _checked() as status:
                self._session = runtime.TF_LoadSessionFromSavedModel(
                    *(options, None, os.fsencode(folder), tags, len(tags), self._graph, None),
                    status,
                )
        except SessionError:
            runtime.TF_DeleteGraph(self._graph)
            raise
        finally:
            runtime.TF_DeleteSessionOptions(options)
        # Not at exit, when other threads may still be running it.
        weakref.finalize(self, _delete, self._session, self._graph).atexit = False

    def run(self, feeds: Sequence[tuple[str, Value]], fetches: Sequence[str]) -> list[Value]:
        """The tensors of the names `fetches`, given those of other names.

        Raises:
            SessionError: The runtime's error, or a tensor is none that can be given or had.
        """
        runtime = _runtime()
        inputs = (_Output * len(feeds))(*(self._output(name) for name, _ in feeds))
        outputs = (_Output * len(fetches))(*map(self._output, fetches))
        results = (ctypes.c_void_p * len(fetches))()
        values: list[int] = []
        try:
            for _, value in feeds:
                values.append(_to_tensor(value))
            given = (ctypes.c_void_p * len(values))(*values)
            with _checked() as status:
                runtime.TF_SessionRun(
                    *(self._session, None, inputs, given, len(values)),
                    *(outputs, results, len(fetches), None, 0, None, status),
                )
            return [_from_tensor(result) for result in results if result]
        finally:
            for tensor in filter(None, (*values, *results)):
                runtime.TF_DeleteTensor(tensor)  # with its strings, unless another tensor is it too

    def _output(self, name: str) -> _Output:
        """`StatefulPartitionedCall:1` -> the second tensor of that operation."""
        runtime = _runtime()
        parts = re.fullmatch("([^:]+)(?::([0-9]{1,6}))?", name)
        found = parts and runtime.TF_GraphOperationByName(self._graph, parts[1].encode())
        index = int(parts[2] or 0) if parts else 0
        if not found or index >= runtime.TF_OperationNumOutputs(found):
            raise SessionError(INVALID_ARGUMENT, f"There is no tensor {name!r} in the graph.")
        return _Output(found, index)


def _delete(session: int, graph: int) -> None:
    runtime = _runtime()
    with _checked() as status:
        runtime.TF_CloseSession(session, status)
        runtime.TF_DeleteSession(session, status)
    runtime.TF_DeleteGraph(graph)


def _to_tensor(value: Value) -> int:
    """A new TF_Tensor with a copy of the value."""
    runtime = _runtime()
    if isinstance(value, list):
        size = STRING_BYTES * len(value)
        shape: tuple[int, ...] = (len(value),)
        name = "string"
    else:
        name = value.dtype.name
        # Not ascontiguousarray, which makes (1,) of (); the name is that of both byte orders.
        value = np.asarray(value, np.dtype(name), order="C")
        size, shape = value.nbytes, value.shape
    dimensions = (ctypes.c_int64 * len(shape))(*shape)
    tensor = runtime.TF_AllocateTensor(NUMBERS[name], dimensions, len(shape), size)
    data = runtime.TF_TensorData(tensor)
    if isinstance(value, list):
        for i, one in enumerate(value):
            runtime.TF_StringInit(data + i * STRING_BYTES)
            runtime.TF_StringCopy(data + i * STRING_BYTES, one, len(one))
    else:
        ctypes.memmove(data, value.ctypes.data, size)
    return tensor


def _from_tensor(tensor: int) -> Value:
    """A copy of a TF_Tensor's content."""
    runtime = _runtime()
    number = runtime.TF_TensorType(tensor)
    shape = tuple(runtime.TF_Dim(tensor, i) for i in range(runtime.TF_NumDims(tensor)))
    data = runtime.TF_TensorData(tensor)
    if number not in NAMES:
        raise SessionError(UNIMPLEMENTED, f"An output has TensorFlow's data type {number}.")
    if NAMES[number] != "string":
        value = np.empty(shape, NAMES[number])
        ctypes.memmove(value.ctypes.data, data, value.nbytes)
        return value
    if len(shape) != 1:
        raise SessionError(UNIMPLEMENTED, f"An output holds strings {shape}, not (N,).")
    places = [data + i * STRING_BYTES for i in range(shape[0])]
    return [
        ctypes.string_at(runtime.TF_StringGetDataPointer(one), runtime.TF_StringGetSize(one))
        for one in places
    ]
