"""Writes PyTorch checkpoints in both formats without PyTorch: Python's pickler over stand-ins."""

import contextlib
import io
import pickle
import struct
import sys
import types
import zipfile
from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import count

import numpy as np
import pytest

KINDS = {
    "f4": "FloatStorage",
    "f8": "DoubleStorage",
    "f2": "HalfStorage",
    "i8": "LongStorage",
    "i4": "IntStorage",
    "i2": "ShortStorage",
    "i1": "CharStorage",
    "u1": "ByteStorage",
    "b1": "BoolStorage",
}
MAGIC = 0x1950A86A20F9469CFC6C
_keys = count(94_000_000)


def _rebuild_tensor_v2(*_):
    """A name to pickle."""


def _rebuild_tensor_v3(*_):
    """A name to pickle."""


def _rebuild_parameter(*_):
    """A name to pickle."""


class Size(tuple):
    """Pickled as PyTorch 1.1 does: a class made by NEWOBJ."""


def device(*_):
    """A name to pickle."""


def _stub_modules():
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    storage = types.ModuleType("torch.storage")
    for kind in [*KINDS.values(), "BFloat16Storage"]:
        setattr(torch, kind, type(kind, (), {"__module__": "torch"}))
    storage.UntypedStorage = type("UntypedStorage", (), {"__module__": "torch.storage"})
    for function in (_rebuild_tensor_v2, _rebuild_tensor_v3, _rebuild_parameter):
        function.__module__ = "torch._utils"
        setattr(utils, function.__name__, function)
    for thing in (Size, device):
        thing.__module__ = "torch"
        setattr(torch, thing.__name__, thing)
    return {"torch": torch, "torch._utils": utils, "torch.storage": storage}


_STUBS = _stub_modules()


@contextlib.contextmanager
def _stubs():
    before = {name: sys.modules.get(name) for name in _STUBS}
    sys.modules.update(_STUBS)
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


@dataclass
class Storage:
    """The raw numbers of one storage; `content` are the bytes as the file has them."""

    kind: str
    count: int
    content: bytes
    key: str = field(default_factory=lambda: str(next(_keys)))
    view: tuple | None = None


def storage(array, kind=None):
    """The numbers of an array, as a storage of its type."""
    array = np.ascontiguousarray(array)
    return Storage(kind or KINDS[array.dtype.str[1:]], array.size, array.tobytes())


class Tensor:
    """A tensor over a storage; offset, size and stride may be any nonsense."""

    def __init__(self, storage, offset, size, stride):
        self.arguments = (storage, offset, size, stride, False, OrderedDict())

    def __reduce__(self):
        return _rebuild_tensor_v2, self.arguments


class Call:
    """Pickles as a call of `function`."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def tensor(array):
    """An array as a contiguous tensor with a storage of its own."""
    array = np.asarray(array)
    stride = tuple(step // array.itemsize for step in np.ascontiguousarray(array).strides)
    return Tensor(storage(array), 0, array.shape, stride if array.ndim else ())


def state_dict(arrays):
    """Arrays by name as an official state dict, with the attribute that one has."""
    named = OrderedDict((name, tensor(array)) for name, array in arrays.items())
    named._metadata = OrderedDict([("", {"version": 1})])
    return named


class _Pickler(pickle.Pickler):
    def __init__(self, file, protocol, legacy):
        super().__init__(file, protocol)
        self.legacy = legacy
        self.storages = {}

    def persistent_id(self, obj):
        if not isinstance(obj, Storage):
            return None
        self.storages[obj.key] = obj
        kind = getattr(_STUBS["torch"], obj.kind, None) or _STUBS["torch.storage"].UntypedStorage
        named = ("storage", kind, obj.key, "cuda:0", obj.count)
        return (*named, obj.view) if self.legacy else named


def pickled(value, protocol=2, legacy=False):
    """The pickle of a value, and the storages it names by key."""
    file = io.BytesIO()
    with _stubs():
        pickler = _Pickler(file, protocol, legacy)
        pickler.dump(value)
    return file.getvalue(), pickler.storages


def write_legacy(path, value=None, *, content=None, protocol_number=1001, keys=None):
    """As torch.save before 1.6; `content` replaces the pickle."""
    data, storages = pickled(value, legacy=True)
    info = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4}}
    keys = sorted(storages) if keys is None else keys
    parts = [pickle.dumps(part, 2) for part in (MAGIC, protocol_number, info)]
    parts += [data if content is None else content, pickle.dumps(keys, 2)]
    for key in keys:
        if key in storages:
            parts += [struct.pack("<q", storages[key].count), storages[key].content]
    path.write_bytes(b"".join(parts))
    return path


def write_zip(
    path, value=None, *, content=None, byteorder="little", stem="archive", protocol=2, **changes
):
    """As torch.save from 1.6 on; `content` replaces the pickle, `changes` entries by their key."""
    data, storages = pickled(value, protocol)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{stem}/data.pkl", data if content is None else content)
        if byteorder:
            archive.writestr(f"{stem}/byteorder", byteorder)
        for key, stored in storages.items():
            archive.writestr(f"{stem}/data/{key}", changes.get(f"key{key}", stored.content))
        archive.writestr(f"{stem}/version", "3\n")
    return path


both = pytest.mark.parametrize("write", [write_legacy, write_zip])


def assert_same(found, wanted):
    """Of what is read from a file: types, order and numbers, bit for bit."""
    assert type(found) is type(wanted)
    if isinstance(wanted, dict):
        assert list(found) == list(wanted)
        for key in wanted:
            assert_same(found[key], wanted[key])
    elif isinstance(wanted, list | tuple):
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            assert_same(one, other)
    elif isinstance(wanted, np.ndarray):
        assert found.shape == wanted.shape
        assert found.dtype.newbyteorder("=") == wanted.dtype
        np.testing.assert_array_equal(found, wanted)
    else:
        assert found == wanted
