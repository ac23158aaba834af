"""The pickle in a PyTorch checkpoint, read by a machine that builds plain values and arrays only.

Python's unpickler calls what the pickle names, so this is none: it knows the operations that
torch.save writes, looks no name up, and gives the names below a meaning of its own. Every other
name, and every other operation, ends the reading.

What a hostile pickle of plain values can do is bounded too: the number of operations, the depth,
and the number of values when all that is shared is counted again. A container that was put into
another cannot change any more, so none can contain itself.
"""

import mmap
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from tfi2i.errors import InputError

MOST_OPERATIONS = 1_000_000
"""Of one pickle; an official NICE-GAN checkpoint with its optimizers takes about 20,000."""
MOST_VALUES = 1_000_000
DEEPEST = 32

_DTYPES = {
    "Float": "f4",
    "Double": "f8",
    "Half": "f2",
    "BFloat16": "bfloat16",
    "Long": "i8",
    "Int": "i4",
    "Short": "i2",
    "Char": "i1",
    "Byte": "u1",
    "Bool": "bool",
}
_STORAGES = {f"torch.{name}Storage": dtype for name, dtype in _DTYPES.items()}
_STORAGES |= {f"torch.cuda.{name}Storage": dtype for name, dtype in _DTYPES.items()}
_STORAGES |= {"torch.storage.UntypedStorage": "u1", "torch.UntypedStorage": "u1"}
_TORCH_DTYPES = {
    "torch.float32": "f4",
    "torch.float64": "f8",
    "torch.float16": "f2",
    "torch.bfloat16": "bfloat16",
    "torch.int64": "i8",
    "torch.int32": "i4",
    "torch.int16": "i2",
    "torch.int8": "i1",
    "torch.uint8": "u1",
    "torch.uint16": "u2",
    "torch.uint32": "u4",
    "torch.uint64": "u8",
    "torch.bool": "bool",
}
_CALLS = {
    "collections.OrderedDict",
    "torch.Size",
    "torch.device",
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_tensor_v3",
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state",
}


def refuse(what: str) -> NoReturn:
    """Ends the reading; `read_torch` puts the path in front."""
    raise InputError(what)


def damaged(what: str) -> NoReturn:
    """Ends the reading of a file that torch.save cannot have written like this."""
    refuse(f"is damaged or was not written by torch.save ({what}); fetch or save it again.")


def shown(value: Any) -> str:
    """A value of the file for a message: short, and without control characters."""
    if isinstance(value, str | bytes):
        return repr(value[:80])
    if value is None or isinstance(value, int | float):
        return str(value)[:80]
    if isinstance(value, tuple) and all(type(part) is int for part in value):
        return str(value[:32])[:160]
    return f"of type {type(value).__name__}"  # a container's text can be far bigger than the file


@dataclass(frozen=True)
class Storage:
    """A flat run of numbers as the pickle names it, or a part of one (older files)."""

    key: str
    dtype: str  # NumPy's, or "bfloat16" or "bool"
    count: int
    view_start: int = 0
    view_count: int = -1

    @property
    def itemsize(self) -> int:
        """Bytes of one number."""
        return {"bfloat16": 2, "bool": 1}.get(self.dtype) or np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class _Name:
    """A permitted name: something to call, or the class of a storage. Never part of the result."""

    full: str


@dataclass(slots=True)
class _Facts:
    """What is known of a container: levels below it, values in it, whether they are all plain."""

    height: int = 1
    values: int = 1
    plain: bool = True
    held: bool = False  # by another container


MakeTensor = Callable[[Storage, Any, Any, Any], np.ndarray]


class Machine:
    """Runs the pickle that starts at byte `at` of data and ends before `end`.

    Attributes:
        at: after `run`, the byte behind the pickle.
        storages: those that the pickle names, by key.
    """

    def __init__(self, data: mmap.mmap, at: int, end: int, make_tensor: MakeTensor):
        self.at = at
        self.storages: dict[str, Storage] = {}
        self._data = data
        self._end = end
        self._make_tensor = make_tensor
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._facts: dict[int, _Facts] = {}
        self._alive: list[Any] = []  # an id is an object's only while the object lives
        self._values = 0

    def run(self) -> Any:
        """The object that the pickle describes."""
        for _ in range(MOST_OPERATIONS):
            code = self._take(1)
            if code == b".":
                if len(self._stack) != 1:
                    damaged(f"{len(self._stack)} objects where one was wanted")
                self._check_plain(self._stack[0])
                return self._stack[0]
            operation = _OPERATIONS.get(code)
            if operation is None:
                refuse(
                    f"uses the pickle operation 0x{code.hex()}, which no checkpoint of tensors "
                    "needs; nothing was executed."
                )
            operation(self)
        refuse(
            f"takes more than {MOST_OPERATIONS} pickle operations; it is no checkpoint of tensors."
        )

    # The bytes

    def _take(self, count: int) -> bytes:
        start, self.at = self.at, self.at + count
        if self.at > self._end:
            damaged("its pickle is cut off")
        return self._data[start : self.at]

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _line(self) -> str:
        end = self._data.find(b"\n", self.at, min(self._end, self.at + 300))
        if end < 0:
            damaged("a name without an end")
        text = self._take(end - self.at).decode()
        self.at += 1
        return text

    # The stack

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _pop(self) -> Any:
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            damaged("its pickle takes a value that is not there")
        return self._stack.pop()

    def _mark(self) -> None:
        self._marks.append(len(self._stack))

    def _pop_to_mark(self) -> list[Any]:
        if not self._marks:
            damaged("its pickle takes values that are not there")
        start = self._marks.pop()
        values = self._stack[start:]
        del self._stack[start:]
        return values

    def _remember(self, slot: int) -> None:
        value = self._pop()
        self._memo[slot] = value
        self._push(value)

    def _recall(self, slot: int) -> None:
        if slot not in self._memo:
            damaged(f"its pickle refers to value {slot}, which is not there")
        self._push(self._memo[slot])

    # Containers

    def _new(self, container: Any, values: Any = ()) -> Any:
        """Enters a container, tuples with their values; returns it."""
        self._facts[id(container)] = _Facts()
        self._alive.append(container)
        self._hold(container, values)
        return container

    def _hold(self, container: Any, values: Any) -> None:
        self._values += len(values)
        facts = self._facts[id(container)]
        if facts.held:
            damaged("its pickle changes a value after its use")
        for value in values:
            if value is container:
                damaged("a value that contains itself")
            of_value = self._facts.get(id(value))
            if of_value is not None:
                of_value.held = True
                facts.height = max(facts.height, 1 + of_value.height)
                facts.values += of_value.values
                facts.plain &= of_value.plain
            else:
                facts.values += 1
                facts.plain &= not isinstance(value, _Name | Storage)
        if facts.height > DEEPEST or max(facts.values, self._values) > MOST_VALUES:
            refuse(
                f"nests values more than {DEEPEST} deep or has more than {MOST_VALUES} of them; "
                "it is no checkpoint of tensors."
            )
        if not isinstance(container, tuple) and not facts.plain:
            self._refuse_bare()

    def _check_plain(self, value: Any) -> None:
        facts = self._facts.get(id(value), _Facts(plain=not isinstance(value, _Name | Storage)))
        if not facts.plain:
            self._refuse_bare()

    def _refuse_bare(self) -> NoReturn:
        refuse("holds classes or bare storages; tensors, numbers and text were wanted.")

    def _tuple(self, count: int) -> None:
        values = tuple(reversed([self._pop() for _ in range(count)]))
        self._push(self._new(values, values))

    def _marked_tuple(self) -> None:
        values = tuple(self._pop_to_mark())
        self._push(self._new(values, values))

    def _extend(self, values: list[Any]) -> None:
        target = self._stack[-1] if self._stack else None
        if not isinstance(target, list):
            damaged("its pickle appends to what is no list")
        self._hold(target, values)
        target.extend(values)

    def _set(self, values: list[Any]) -> None:
        target = self._stack[-1] if self._stack else None
        if not isinstance(target, dict) or len(values) % 2:
            damaged("its pickle sets items of what is no dict")
        for key in values[::2]:
            # Text and 64-bit numbers only: anything else can be made to hash badly or deeply.
            if not isinstance(key, str | int) or (isinstance(key, int) and abs(key) >= 2**64):
                refuse(f"has the dict key {shown(key)}; only text and 64-bit numbers are read.")
        self._hold(target, values[1::2])
        target.update(zip(values[::2], values[1::2], strict=True))

    # Names, calls, storages

    def _global(self, module: str, name: str) -> None:
        full = f"{module}.{name}"
        if full in _TORCH_DTYPES:
            self._push(full)
        elif full in _CALLS or full in _STORAGES:
            self._push(_Name(full))
        else:
            refuse(
                f"asks for {shown(full)}, which is more than tensors, numbers and text, so nothing "
                "was executed; in PyTorch, save the state dicts of the networks alone."
            )

    def _stack_global(self) -> None:
        name, module = self._pop(), self._pop()
        if not isinstance(name, str) or not isinstance(module, str):
            damaged("a name that is no text")
        self._global(module, name)

    def _call(self) -> None:
        arguments, function = self._pop(), self._pop()
        if not isinstance(function, _Name) or not isinstance(arguments, tuple):
            damaged("its pickle calls what is no function")
        self._push(self._result(function.full.rpartition(".")[2], arguments))

    def _result(self, function: str, arguments: tuple[Any, ...]) -> Any:
        if function == "OrderedDict":
            pairs = arguments[0] if arguments else []
            if not isinstance(pairs, list):
                damaged("an OrderedDict of what is no list")
            self._push(self._new({}))
            self._set([item for key, value in pairs for item in (key, value)])
            return self._pop()
        if function == "Size":
            if not isinstance(arguments[0], tuple):
                damaged("a size that is no tuple")
            return arguments[0]
        if function == "device":
            if len(arguments) > 2 or not all(isinstance(part, str | int) for part in arguments):
                damaged("a device that is no text")
            return ":".join(str(part) for part in arguments)
        if function.startswith("_rebuild_parameter"):
            if not isinstance(arguments[0], np.ndarray):
                damaged("a parameter without a tensor")
            return arguments[0]
        if not function.startswith("_rebuild_tensor"):
            damaged(f"a call of {shown(function)}")
        storage, offset, size, strides = arguments[:4]
        if not isinstance(storage, Storage):
            damaged("a tensor without a storage")
        more = arguments[6:]
        if function == "_rebuild_tensor_v3":  # its storage is bytes, the type stands beside it
            storage, more = _typed(storage, arguments[6]), arguments[7:]
        if more and more[0] not in (None, {}):
            refuse("has a tensor with a lazy conjugate or negative; resolve it before saving.")
        return self._make_tensor(storage, offset, size, strides)

    def _build(self) -> None:
        """Ignores the attributes of an OrderedDict: a state dict's `_metadata` are no weights."""
        self._pop()
        if not self._stack or not isinstance(self._stack[-1], dict):
            refuse(
                "sets attributes of an object, and only dicts of tensors are read; "
                "nothing was executed."
            )

    def _storage(self) -> None:
        named = self._pop()
        if not isinstance(named, tuple) or not named or not isinstance(named[0], str):
            damaged("a storage without a name")
        if named[0] != "storage":
            refuse(
                "holds a whole pickled module and not its tensors; save its state_dict() instead "
                "(nothing was executed)."
            )
        kind, key, _, count, *view = named[1:]
        if not isinstance(kind, _Name) or kind.full not in _STORAGES or not isinstance(key, str):
            damaged(f"a storage named {shown(key)}")
        dtype = _STORAGES[kind.full]
        if type(count) is not int or not 0 <= count < 2**48:
            damaged(f"a storage of {shown(count)} numbers")
        whole = Storage(key, dtype, count)
        if self.storages.setdefault(key, whole) != whole:
            damaged(f"storage {shown(key)} is named with two types or sizes")
        if view and view[0] is not None:
            _, start, length = view[0]
            if type(start) is not int or type(length) is not int or min(start, length) < 0:
                damaged(f"a view of storage {shown(key)}")
            whole = Storage(key, dtype, count, start, length)
        self._push(whole)

    def _integer(self) -> None:
        self._push(int.from_bytes(self._take(self._number("<B")), "little", signed=True))

    def _text(self, length_form: str) -> None:
        # Lone surrogates are legal in a pickle's text; as keys they find nothing.
        self._push(self._take(self._number(length_form)).decode("utf-8", "surrogatepass"))


def _typed(storage: Storage, dtype: Any) -> Storage:
    """A storage of bytes as one of numbers."""
    if not isinstance(dtype, str) or dtype not in _TORCH_DTYPES or storage.dtype != "u1":
        damaged(f"a tensor of type {shown(dtype)}")
    itemsize = Storage("", _TORCH_DTYPES[dtype], 0).itemsize
    if storage.count % itemsize:
        damaged(f"{storage.count} bytes for numbers of {itemsize}")
    return Storage(storage.key, _TORCH_DTYPES[dtype], storage.count // itemsize)


_OPERATIONS: dict[bytes, Callable[[Machine], object]] = {
    b"\x80": lambda m: m._take(1),  # PROTO
    b"\x95": lambda m: m._take(8),  # FRAME
    b"(": Machine._mark,
    b"}": lambda m: m._push(m._new({})),
    b"]": lambda m: m._push(m._new([])),
    b")": lambda m: m._tuple(0),
    b"t": Machine._marked_tuple,
    b"\x85": lambda m: m._tuple(1),
    b"\x86": lambda m: m._tuple(2),
    b"\x87": lambda m: m._tuple(3),
    b"a": lambda m: m._extend([m._pop()]),
    b"e": lambda m: m._extend(m._pop_to_mark()),
    b"s": lambda m: m._set([m._pop(), m._pop()][::-1]),
    b"u": lambda m: m._set(m._pop_to_mark()),
    b"N": lambda m: m._push(None),
    b"\x88": lambda m: m._push(True),
    b"\x89": lambda m: m._push(False),
    b"J": lambda m: m._push(m._number("<i")),
    b"K": lambda m: m._push(m._number("<B")),
    b"M": lambda m: m._push(m._number("<H")),
    b"\x8a": Machine._integer,
    b"G": lambda m: m._push(m._number(">d")),
    b"X": lambda m: m._text("<I"),
    b"\x8c": lambda m: m._text("<B"),
    b"U": lambda m: m._text("<B"),  # Python 2's str
    b"T": lambda m: m._text("<I"),
    b"q": lambda m: m._remember(m._number("<B")),
    b"r": lambda m: m._remember(m._number("<I")),
    b"\x94": lambda m: m._remember(len(m._memo)),
    b"h": lambda m: m._recall(m._number("<B")),
    b"j": lambda m: m._recall(m._number("<I")),
    b"c": lambda m: m._global(m._line(), m._line()),
    b"\x93": Machine._stack_global,
    b"Q": Machine._storage,
    b"R": Machine._call,
    b"\x81": Machine._call,  # torch.Size before PyTorch 1.2
    b"b": Machine._build,
}
"""By byte: protocol 2, and what protocols 3 to 5 write in its place."""
