"""PyTorch checkpoints without PyTorch: tensors become arrays, and nothing in the file is executed.

torch.save writes one of two formats. A zip (from PyTorch 1.6) has `<stem>/data.pkl`, the numbers
of each storage in `<stem>/data/<key>` and `<stem>/byteorder`, all uncompressed. A legacy file has
the pickles magic number, protocol number, system information, object and list of storage keys;
then for each key an int64 count and the numbers, little-endian.

A storage is a flat run of numbers; a tensor is an offset, a size and strides into one. The arrays
are read-only views of the mapped file (bfloat16 and bool are converted), so no size that a file
claims can make this reader take memory: only the numbers and the values that it really holds can.

The pickle is read by the standard library's unpickler with a table of the operations that
torch.save writes, each use counted, and a table of names with meanings of our own. It is the
unpickler in Python (`pickle._Unpickler`), as that in C has no such table: its memo is an array, of
which seven bytes of a file can ask 64 GB, and it hashes nested tuples as dict keys, which takes
exponential time or overflows the stack of the process.
"""

import functools
import io
import math
import mmap
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from tfi2i.errors import InputError, first_line
from tfi2i.files import open_regular

MOST_OPERATIONS = 1_000_000
"""Of one pickle; an official NICE-GAN checkpoint with its optimizers takes about 20,000."""
MOST_VALUES = 1_000_000
DEEPEST = 32
LARGEST_PICKLE = 2**24  # bytes
MOST_ENTRIES = 100_000  # of a zip
LARGEST_DIRECTORY = 2**23  # bytes, of a zip
MOST_SHARED = 8  # bytes of tensors to one of the file: several may lie in the same storage

Parts = dict[str, tuple[int, int, int | None]]  # name -> start, bytes, CRC-32 if there is one

_LEGACY_START = b"\x80\x02\x8a\x0a" + (0x1950A86A20F9469CFC6C).to_bytes(10, "little")
_OTHER = "it is no checkpoint of tensors"

# What reading a damaged file ends in
_DAMAGE = (
    *(ValueError, TypeError, LookupError, OverflowError, AttributeError, MemoryError),
    *(struct.error, pickle.UnpicklingError, zipfile.BadZipFile, NotImplementedError),
)


def read_torch(path: str | Path) -> Any:
    """The object in a checkpoint: dicts, lists, tuples, text, numbers, and arrays for tensors.

    Parameters are arrays too, an OrderedDict is a dict, torch.Size a tuple, torch.device and
    torch.dtype are text such as "cuda:0" and "torch.float32". The arrays cannot be written to, and
    the file must not change while they are in use.

    Raises:
        InputError: the file cannot be read, is damaged, or holds more than such values.
    """
    path = Path(path)
    try:
        with open_regular(path) as file:
            if not path.stat().st_size:
                raise InputError("is empty; a PyTorch checkpoint was wanted.")
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if data[:4] == b"PK\x03\x04":
            return _read_zip(data, _zip_parts(path, data))
        if data[: len(_LEGACY_START)] == _LEGACY_START:
            return _read_legacy(data)
        raise InputError(
            "is no PyTorch checkpoint (neither the zip nor the older format); "
            "one written by torch.save was wanted."
        )
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
    except InputError as error:
        raise InputError(f"{path} {error}") from None
    except _DAMAGE as error:
        raise InputError(
            f"{path} is damaged or was not written by torch.save ({first_line(error)}); "
            "fetch or save it again."
        ) from error


def _shown(value: Any) -> str:
    """A value of the file for a message: short, and without control characters."""
    if isinstance(value, str | bytes):
        value = value[:80]
    elif isinstance(value, tuple) and all(type(part) is int for part in value):
        value = value[:32]
    elif value is not None and not isinstance(value, int | float):
        return f"of type {type(value).__name__}"  # its text can be far bigger than the file
    return repr(value)[:160]


# The file's layout


class _ZipFile(io.FileIO):
    """A file for `zipfile`, which would read a directory of whatever size at once."""

    def read(self, size: int | None = -1, /) -> Any:
        return super().read(min(-1 if size is None else size, LARGEST_DIRECTORY))


def _zip_parts(path: Path, data: mmap.mmap) -> Parts:
    with _ZipFile(path) as file, zipfile.ZipFile(file, metadata_encoding="utf-8") as archive:
        entries = sorted(archive.infolist(), key=lambda entry: entry.header_offset)
    if (found := len(entries)) > MOST_ENTRIES:
        raise InputError(f"is a zip archive of {found} entries; at most {MOST_ENTRIES} are read.")
    parts: Parts = {}
    free = 0
    for entry in entries:
        name, size, start = entry.filename, entry.file_size, entry.header_offset
        if entry.compress_type or entry.compress_size != size or entry.flag_bits & 1:
            raise InputError(
                f"has a compressed or encrypted entry {_shown(name)}, which torch.save never "
                "writes; save it again with torch.save."
            )
        if name in parts:
            raise ValueError(f"two entries are named {_shown(name)}")
        if start < free:
            raise ValueError("its zip entries overlap")
        magic, *lengths = struct.unpack_from("<4s22xHH", data, start)
        start += 30 + sum(lengths)
        free = start + size
        if magic != b"PK\x03\x04" or free > len(data):
            raise ValueError(f"entry {_shown(name)} is not where the zip directory says")
        parts[name] = (start, size, entry.CRC)
    return parts


def _read_zip(data: mmap.mmap, parts: Parts) -> Any:
    pickles = [name for name in parts if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise InputError("is a zip archive without a PyTorch checkpoint (one <name>/data.pkl).")
    stem = pickles[0].removesuffix("data.pkl")
    order = b"little"
    if f"{stem}byteorder" in parts:
        start, size = _part(data, parts, f"{stem}byteorder")
        order = data[start : start + min(size, 16)]
    if order not in (b"little", b"big"):
        raise ValueError(f"byte order {_shown(order)}")
    start, size = _part(data, parts, pickles[0])
    numbers = functools.partial(_numbers, data, parts, f"{stem}data/", order.decode())
    return _Unpickler(data, start, start + size, numbers).value


def _read_legacy(data: mmap.mmap) -> Any:
    protocol = _Unpickler(data, _Unpickler(data, 0).end)
    if _shown(protocol.value) != "1001":
        raise ValueError(f"legacy protocol {_shown(protocol.value)}")
    at = _Unpickler(data, protocol.end).end
    # The storages come after the object: a first pass finds its end, and which they are.
    first = _Unpickler(data, at)
    listed = _Unpickler(data, first.end)
    end = listed.end
    parts: Parts = {}
    for key in listed.value:
        storage = first.storages.pop(key, None)
        if storage is None:
            raise ValueError(f"storage {_shown(key)} is listed twice or never used")
        start, end = end + 8, end + 8 + storage.size
        (count,) = struct.unpack_from("<q", data, start - 8)
        if count != storage.count or end > len(data):
            raise ValueError(f"storage {_shown(key)} is no run of {storage.count} numbers")
        parts[key] = (start, storage.size, None)
    # Legacy numbers are little-endian on every machine.
    numbers = functools.partial(_numbers, data, parts, "", "little")
    return _Unpickler(data, at, first.end, numbers).value


def _part(data: mmap.mmap, parts: Parts, name: str) -> tuple[int, int]:
    """The start and the bytes of a part, once it is known to be whole."""
    if name not in parts:
        raise ValueError(f"no entry {_shown(name)}")
    start, size, checksum = parts[name]
    with memoryview(data) as whole, whole[start : start + size] as part:
        if checksum is not None and zlib.crc32(part) != checksum:
            raise ValueError(f"the checksum of {_shown(name)} is wrong")
    return start, size


# Tensors

_KINDS = {
    **{"Float": "float32", "Double": "float64", "Half": "float16", "Long": "int64"},
    **{"Int": "int32", "Short": "int16", "Char": "int8", "Byte": "uint8", "Bool": "bool"},
}
# PyTorch's names of types are NumPy's, but two are stored as another.
_DTYPES = {name: np.dtype(name) for name in (*_KINDS.values(), "uint16", "uint32", "uint64")}
_DTYPES |= {"bfloat16": np.dtype("uint16"), "bool": np.dtype("uint8")}
_KINDS["BFloat16"] = "bfloat16"


@dataclass(frozen=True)
class _Storage:
    """A flat run of numbers as the pickle names it, or the class of such, without a key."""

    dtype: str
    key: str = ""
    count: int = 0
    view: tuple[int | None, int | None] = field(default=(None, None), compare=False)

    @property
    def size(self) -> int:
        """Bytes of all numbers in the file."""
        return self.count * _DTYPES[self.dtype].itemsize


def _numbers(data: mmap.mmap, parts: Parts, stem: str, order: Any, storage: _Storage) -> np.ndarray:
    """A storage's numbers (count,), read-only: a view of the file, or converted."""
    name = stem + storage.key
    start, size = _part(data, parts, name) if storage.count else (0, 0)
    if size != storage.size:
        raise ValueError(f"{storage.size} bytes wanted in {_shown(name)}, {size} there")
    dtype = _DTYPES[storage.dtype].newbyteorder(order)
    values: np.ndarray = np.ndarray((storage.count,), dtype, buffer=data, offset=start)
    if storage.dtype == "bool":
        values = values != 0  # a byte of the file may be neither 0 nor 1
    elif storage.dtype == "bfloat16":  # the upper half of a float32
        values = (values.astype(np.uint32) << np.uint32(16)).view(np.float32)
    values.flags.writeable = False
    return values


def _are_counts(values: Any) -> bool:
    return isinstance(values, tuple) and all(type(v) is int and 0 <= v < 2**62 for v in values)


# The pickle


class _Stream(io.BytesIO):
    """The bytes of a pickle; the unpickler would pass over an early end."""

    def read(self, size: int | None = -1, /) -> bytes:
        part = super().read(size)
        if len(part) != size:
            raise ValueError(f"its pickle is cut off or longer than {LARGEST_PICKLE} bytes")
        return part


class _Operations(dict[int, Callable[[Any], Any]]):
    """The permitted operations of pickle by their byte, each use counted."""

    used = 0

    def __getitem__(self, code: int) -> Callable[[Any], Any]:
        self.used += 1
        if self.used > MOST_OPERATIONS:
            raise InputError(f"takes more than {MOST_OPERATIONS} pickle operations; {_OTHER}.")
        if code not in self:
            raise InputError(f"uses the pickle operation 0x{code:02x}, not executed; {_OTHER}.")
        return super().__getitem__(code)


_Python: Any = pickle._Unpickler  # typed Any: its stack and its table are not documented


class _Unpickler(_Python):
    """Reads the pickle from byte `at` of data on: its `value`, its `end`, the `storages` by key."""

    def __init__(self, data: mmap.mmap, at: int, end: int | None = None, numbers: Any = None):
        stream = _Stream(data[at : min(end or len(data), at + LARGEST_PICKLE)])
        super().__init__(stream, encoding="utf-8", errors="surrogatepass")
        self.dispatch = _Operations(_OPERATIONS)
        self.storages: dict[str, _Storage] = {}
        self._numbers = numbers and functools.cache(numbers)
        self._recalled: dict[int, Any] = {}  # by id, which is an object's only while it lives
        self._values = 0
        self._bytes = MOST_SHARED * len(data)  # that tensors may still have
        self.value = self.load()
        if more := len(self.stack) + len(self.metastack):
            raise ValueError(f"{1 + more} objects where one was wanted")
        self._require_plain(self.value, 0)
        self.end = at + stream.tell()

    def _count(self, values: int, depth: int = 0) -> None:
        self._values += values
        if depth > DEEPEST or self._values > MOST_VALUES:
            raise InputError(
                f"nests values more than {DEEPEST} deep or over {MOST_VALUES} of them; {_OTHER}."
            )

    def _require_plain(self, value: Any, depth: int) -> None:
        """Checks all values in this one; those that are shared are counted again."""
        self._count(1, depth)
        if isinstance(value, dict | list | tuple):
            for part in value.values() if isinstance(value, dict) else value:
                self._require_plain(part, depth + 1)
        elif value is not None and not isinstance(value, str | int | float | np.ndarray):
            raise InputError(f"holds classes or bare storages; {_OTHER}.")

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if full not in _NAMES:
            raise InputError(
                f"asks for {_shown(full)}, which is more than tensors, numbers and text, so "
                "nothing was executed; in PyTorch, save the state dicts of the networks alone."
            )
        meaning = _NAMES[full]
        return functools.partial(meaning, self) if callable(meaning) else meaning

    def persistent_load(self, pid: Any) -> _Storage:
        if isinstance(pid, tuple) and pid and isinstance(pid[0], str) and pid[0] != "storage":
            raise InputError(
                "holds a whole pickled module and not its tensors; save its state_dict() instead "
                "(nothing was executed)."
            )
        _, kind, key, _, count, *view = pid if isinstance(pid, tuple) else ()
        if not isinstance(kind, _Storage) or not isinstance(key, str) or not _are_counts((count,)):
            raise ValueError(f"a storage named {_shown(key)} of {_shown(count)} numbers")
        storage = replace(kind, key=key, count=count)
        if self.storages.setdefault(key, storage) != storage:
            raise ValueError(f"storage {_shown(key)} is named with two types or sizes")
        if not view or view[0] is None:
            return storage
        _, start, length = view[0]
        if not _are_counts((start, length)) or start + length > count:
            raise ValueError(f"a view of storage {_shown(key)} of {_shown(length)} numbers")
        return replace(storage, view=(start, start + length))

    def recall(self, load: Callable[[], None]) -> None:
        load()
        self._recalled[id(self.stack[-1])] = self.stack[-1]

    def put(self, kind: Any, values: list[Any]) -> None:
        """Puts values into the list, or keys and values into the dict, on top of the stack."""
        target = self.stack[-1]
        if not isinstance(target, kind):
            raise ValueError(f"its pickle puts values into what is no {kind.__name__}")
        if id(target) in self._recalled:  # so that none can contain itself
            raise ValueError("its pickle changes a value after its use")
        if isinstance(target, list):
            target.extend(values)
        else:
            _set(target, zip(values[::2], values[1::2], strict=True))

    def call(self) -> None:
        if not callable(self.stack[-2]) or not isinstance(self.stack[-1], tuple):
            raise ValueError("its pickle calls what is no function")
        self.load_reduce()

    def build(self) -> None:
        """Ignores the attributes of an OrderedDict: a state dict's `_metadata` are no weights."""
        self.stack.pop()
        if not isinstance(self.stack[-1], dict):
            raise InputError(f"sets attributes of an object that is no dict; {_OTHER}.")

    def ordered_dict(self, pairs: Any = ()) -> dict[Any, Any]:
        self._count(len(pairs))
        return _set({}, pairs)

    def given(self, value: Any, *_: Any) -> Any:
        if not isinstance(value, tuple | np.ndarray):
            raise ValueError(f"a size or a parameter {_shown(value)}")
        return value

    def device(self, *parts: Any) -> str:
        if len(parts) > 2 or not all(isinstance(part, str | int) for part in parts):
            raise ValueError("a device that is no text")
        return ":".join(str(part)[:80] for part in parts)

    def tensor(self, storage: Any, offset: Any, size: Any, strides: Any, *more: Any) -> np.ndarray:
        if not isinstance(storage, _Storage):
            raise ValueError("a tensor without a storage")
        if more[2:] and more[2] is not None and (not isinstance(more[2], dict) or more[2]):
            raise InputError("has a tensor with a lazy conjugate or negative; resolve it first.")
        self._count(len(size))
        if self._numbers is None:
            return np.empty(0)
        numbers = self._numbers(storage)[slice(*storage.view)]
        if not all(map(_are_counts, ((offset,), size, strides))) or len(size) > 32:
            raise ValueError(f"tensor {_shown(size)} at {_shown(offset)}, stride {_shown(strides)}")
        count = math.prod(size)
        last = offset + sum((n - 1) * stride for n, stride in zip(size, strides, strict=True))
        if not count:
            return np.empty(size, numbers.dtype)
        if max(last + 1, count) > len(numbers):
            raise ValueError(
                f"a tensor of {_shown(size)} reaches beyond the {len(numbers)} numbers there"
            )
        step = numbers.itemsize
        self._bytes -= count * step
        if self._bytes < 0:
            raise InputError(f"has tensors of more than {MOST_SHARED} times its size; {_OTHER}.")
        # The constructor checks the bounds once more.
        return np.ndarray(size, numbers.dtype, numbers, offset * step, [s * step for s in strides])

    def typed_tensor(self, storage: Any, *more: Any) -> np.ndarray:
        """A tensor whose storage is bytes, and whose type stands beside it."""
        dtype = more[5].removeprefix("torch.")
        if not isinstance(storage, _Storage) or storage.dtype != "uint8" or dtype not in _DTYPES:
            raise ValueError(f"a tensor of type {_shown(dtype)}")
        count, rest = divmod(storage.count, _DTYPES[dtype].itemsize)
        if rest:
            raise ValueError(f"{storage.count} bytes for numbers of type {dtype}")
        return self.tensor(_Storage(dtype, storage.key, count), *more[:5], *more[6:])


def _set(target: dict[Any, Any], pairs: Iterable[Any]) -> dict[Any, Any]:
    for key, value in pairs:
        # Text and 64-bit numbers only: anything else can be made to hash badly or deeply.
        if not isinstance(key, str | int) or (isinstance(key, int) and abs(key) >= 2**64):
            raise InputError(f"has the dict key {_shown(key)}; text and 64-bit numbers are read.")
        target[key] = value
    return target


# Protocol 2, and what protocols 3 to 5 write in its place.
_OPERATIONS: dict[int, Callable[[Any], Any]] = {
    code: _Python.dispatch[code]
    for code in b"\x80(.}])t\x85\x86\x87N\x88\x89JKM\x8aGX\x8cUTqr\x94c\x93Q"
} | {
    ord("a"): lambda self: self.put(list, [self.stack.pop()]),
    ord("e"): lambda self: self.put(list, self.pop_mark()),
    ord("s"): lambda self: self.put(dict, [self.stack.pop(), self.stack.pop()][::-1]),
    ord("u"): lambda self: self.put(dict, self.pop_mark()),
    ord("h"): lambda self: self.recall(self.load_binget),
    ord("j"): lambda self: self.recall(self.load_long_binget),
    ord("b"): _Unpickler.build,
    ord("R"): _Unpickler.call,
    0x81: _Unpickler.call,  # NEWOBJ: torch.Size before PyTorch 1.2
    0x95: lambda self: self.read(8),  # FRAME, a length; pickle would copy the frame
}

_NAMES: dict[str, Any] = {
    "collections.OrderedDict": _Unpickler.ordered_dict,
    "torch.Size": _Unpickler.given,
    "torch.device": _Unpickler.device,
    "torch._utils._rebuild_tensor": _Unpickler.tensor,
    "torch._utils._rebuild_tensor_v2": _Unpickler.tensor,
    "torch._utils._rebuild_tensor_v3": _Unpickler.typed_tensor,
    "torch._utils._rebuild_parameter": _Unpickler.given,
    "torch._utils._rebuild_parameter_with_state": _Unpickler.given,
    **{f"torch.{dtype}": f"torch.{dtype}" for dtype in _DTYPES},
    **dict.fromkeys(("torch.storage.UntypedStorage", "torch.UntypedStorage"), _Storage("uint8")),
    **{f"torch.{kind}Storage": _Storage(dtype) for kind, dtype in _KINDS.items()},
    **{f"torch.cuda.{kind}Storage": _Storage(dtype) for kind, dtype in _KINDS.items()},
}
