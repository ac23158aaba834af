"""PyTorch checkpoints without PyTorch: tensors become arrays, and nothing in the file is executed.

Two formats, both of torch.save:

- zip (from PyTorch 1.6): `<stem>/data.pkl`, `<stem>/data/<key>` (a storage's raw numbers) and
  `<stem>/byteorder`, all stored uncompressed;
- legacy (before 1.6, and later on request): the pickles magic number, protocol number, system
  information, object, list of storage keys; then for each key an int64 count and the raw numbers,
  little-endian.

A storage is a flat run of numbers; a tensor is an offset, a size and strides into one. The arrays
are read-only views of the mapped file (bfloat16 and bool are converted), so no size that a file
claims can make this reader take memory: only the numbers and the values that it really holds can.
"""

import math
import mmap
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tfi2i.errors import InputError
from tfi2i.official.torch_pickle import Machine, Storage, damaged, refuse, shown

MOST_ENTRIES = 200_000  # of a zip

Order = Literal["<", ">"]

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_LEGACY_START = b"\x80\x02\x8a\x0a" + _MAGIC.to_bytes(10, "little")


def read_torch(path: str | Path) -> Any:
    """The object in a checkpoint: dicts, lists, tuples, text, numbers, and arrays for tensors.

    Parameters are arrays too, an OrderedDict is a dict, torch.Size a tuple, torch.device and
    torch.dtype are text such as "cuda:0" and "torch.float32". The arrays cannot be written to, and
    the file must not change while they are in use.

    Raises:
        InputError: the file cannot be read, is damaged, or holds more than tensors and plain
            values.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:  # there is nothing to map
        raise InputError(f"{path} is empty; a PyTorch checkpoint was wanted.") from error
    try:
        if data[:4] == b"PK\x03\x04":
            return _read_zip(data)
        if data[: len(_LEGACY_START)] == _LEGACY_START:
            return _read_legacy(data)
    except InputError as error:
        raise InputError(f"{path} {error}") from None
    except _DAMAGE as error:
        raise InputError(
            f"{path} is damaged or was not written by torch.save ({error}); fetch or save it again."
        ) from error
    raise InputError(
        f"{path} is no PyTorch checkpoint (neither the zip nor the older format); "
        "one written by torch.save was wanted."
    )


def read_networks(path: str | Path, networks: Sequence[str]) -> Any:
    """The contents of a checkpoint of one file, or of a folder with one file a network, by network.

    Such folders are those of the codes of CycleGAN, pix2pix and CUT: FOLDER/TAG_net_NETWORK.pth
    holds a state dict, and the tag is a number of epochs or "latest".

    Args:
        path: a file; a folder with one complete tag or "latest" in it; FOLDER/TAG; or one of a
            tag's files.
        networks: which files are wanted of a folder.

    Raises:
        InputError: as of `read_torch`; a file is missing, or the tag has to be chosen.
    """
    path = Path(path)
    if path.is_dir():
        folder, tag = path, _only_tag(path, networks)
    elif (found := _tag(path.name, networks)) is not None:
        folder, tag = path.parent, found
    elif not path.suffix and not path.exists() and _tags(path.parent, networks):
        folder, tag = path.parent, path.name
    else:
        return read_torch(path)
    files = {network: folder / _network_file(tag, network) for network in networks}
    if missing := [file.name for file in files.values() if not file.is_file()]:
        complete = [other for other, whole in _tags(folder, networks).items() if whole]
        hint = f"complete there are {_few(complete)}" if complete else "copy the others there"
        raise InputError(f"{folder} lacks {_few(missing)}; {hint}.")
    return {network: read_torch(file) for network, file in files.items()}


def _only_tag(folder: Path, networks: Sequence[str]) -> str:
    """The tag to read of a folder where none was chosen."""
    tags = _tags(folder, networks)
    complete = [tag for tag, whole in tags.items() if whole]
    if len(complete) == 1:
        return complete[0]
    if "latest" in complete:
        return "latest"
    if complete:
        raise InputError(
            f"{folder} has the checkpoints {_few(complete)}; choose one of them as "
            f"{folder / complete[-1]}."
        )
    if tags:  # one that is not complete: the caller says what it lacks
        return "latest" if "latest" in tags else list(tags)[-1]
    wanted = _few([_network_file("latest", network) for network in networks])
    raise InputError(
        f"{folder} is a folder without files such as {wanted}; give one with all of these, or one "
        "checkpoint file."
    )


def _tags(folder: Path, networks: Sequence[str]) -> dict[str, bool]:
    """The tags in a folder, low numbers first, and whether each is complete."""
    try:
        names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {error.strerror or error}.") from error
    tags = {tag for name in names if (tag := _tag(name, networks)) is not None}
    return {
        tag: all(_network_file(tag, network) in names for network in networks)
        for tag in sorted(tags, key=lambda tag: (len(tag), tag))
    }


def _tag(name: str, networks: Sequence[str]) -> str | None:
    """The tag in a file's name; None if it is not the file of one of these networks."""
    tag, _, network = name.removesuffix(".pth").rpartition("_net_")
    return tag if tag and network in networks and name == _network_file(tag, network) else None


def _network_file(tag: str, network: str) -> str:
    return f"{tag}_net_{network}.pth"


def _few(names: Sequence[str]) -> str:
    """Names of files for a message: not too many, no control characters."""
    shown_names = [name if name.isprintable() else repr(name) for name in names]
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return ", ".join(shown_names[:12]) + more


# What reading a damaged file can end in: the machine takes its operands as they come.
_DAMAGE = (ValueError, TypeError, LookupError, OverflowError, AttributeError, struct.error)


# The file's layout


def _numbers(data: mmap.mmap, at: int, storage: Storage, order: Order) -> np.ndarray:
    """A storage's numbers (count,), read-only: a view of the file, or converted."""
    stored = {"bfloat16": "u2", "bool": "u1"}.get(storage.dtype, storage.dtype)
    dtype = np.dtype(stored).newbyteorder(order)
    values: np.ndarray = np.ndarray((storage.count,), dtype, buffer=data, offset=at)
    if storage.dtype == "bool":
        values = values != 0  # a byte of the file may be neither 0 nor 1
    elif storage.dtype == "bfloat16":  # the upper half of a float32
        values = (values.astype(np.uint32) << np.uint32(16)).view(np.float32)
    values.flags.writeable = False
    return values


class _Tensors:
    """Makes arrays of the pickle's tensors, once it is known where the storages lie."""

    def __init__(self, data: mmap.mmap, locate: Callable[[Storage], int], order: Order):
        self._data = data
        self._locate = locate
        self._order = order
        self._read: dict[tuple[str, str], np.ndarray] = {}

    def __call__(self, storage: Storage, offset: Any, size: Any, strides: Any) -> np.ndarray:
        """The tensor (*size) that starts at number `offset` of the storage."""
        numbers = self._view(storage)
        if not _are_counts((offset,)) or not _are_counts(size) or not _are_counts(strides):
            damaged(f"tensor offset {shown(offset)}, size {shown(size)}, stride {shown(strides)}")
        if len(size) != len(strides) or len(size) > 32:
            damaged(f"a tensor of {len(size)} dimensions with {len(strides)} strides")
        count = math.prod(size)
        if count == 0:
            if math.prod(max(side, 1) for side in size) > 2**31:
                damaged(f"an empty tensor of size {shown(size)}")
            return np.empty(size, numbers.dtype)
        last = offset + sum((n - 1) * stride for n, stride in zip(size, strides, strict=True))
        if last >= len(numbers) or count > len(numbers):
            damaged(
                f"a tensor of size {shown(size)} and stride {shown(strides)} reaches beyond "
                f"the {len(numbers)} numbers stored for it"
            )
        step = numbers.itemsize
        # The stride of a side of 1 is never used and may be any number.
        bytes_apart = [s * step if n > 1 else step for n, s in zip(size, strides, strict=True)]
        # The constructor checks the bounds once more.
        return np.ndarray(size, numbers.dtype, numbers, offset * step, bytes_apart)

    def _view(self, storage: Storage) -> np.ndarray:
        name = (storage.key, storage.dtype)
        if name not in self._read:
            at = self._locate(storage) if storage.count else 0
            self._read[name] = _numbers(self._data, at, storage, self._order)
        numbers = self._read[name]
        if storage.view_count < 0:
            return numbers
        end = storage.view_start + storage.view_count
        if end > len(numbers):
            damaged(f"storage {shown(storage.key)} is smaller than a view of it")
        return numbers[storage.view_start : end]


def _are_counts(values: Any) -> bool:
    return isinstance(values, tuple) and all(type(v) is int and 0 <= v < 2**62 for v in values)


def _read_zip(data: mmap.mmap) -> Any:
    entries = _zip_entries(data)
    pickles = [name for name in entries if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(pickles) != 1:
        refuse("is a zip archive without a PyTorch checkpoint (one <name>/data.pkl was wanted).")
    stem = pickles[0].removesuffix("data.pkl")
    order: Order = "<"
    if f"{stem}byteorder" in entries:
        start, size, _ = entries[f"{stem}byteorder"]
        text = data[start : start + min(size, 16)]
        if text not in (b"little", b"big"):
            damaged(f"byte order {shown(text)}")
        order = "<" if text == b"little" else ">"

    def locate(storage: Storage) -> int:
        name = f"{stem}data/{storage.key}"
        if name not in entries:
            damaged(f"no entry {shown(name)}")
        start, size, checksum = entries[name]
        wanted = storage.count * storage.itemsize
        if size != wanted:
            damaged(f"{wanted} bytes wanted in {shown(name)}, {size} there")
        _check_sum(data, name, start, size, checksum)
        return start

    start, size, checksum = entries[pickles[0]]
    _check_sum(data, pickles[0], start, size, checksum)
    return Machine(data, start, start + size, _Tensors(data, locate, order)).run()


def _check_sum(data: mmap.mmap, name: str, start: int, size: int, checksum: int) -> None:
    with memoryview(data) as whole, whole[start : start + size] as part:
        found = zlib.crc32(part)
    if found != checksum:
        damaged(f"the checksum of {shown(name)} is wrong")


def _zip_entries(data: mmap.mmap) -> dict[str, tuple[int, int, int]]:
    """Where each entry's bytes lie: name -> (start, size, CRC-32).

    Read here and not by zipfile, which neither bounds the directory nor tells where bytes lie.
    """
    end = data.rfind(b"PK\x05\x06", max(0, len(data) - 65_557))
    if end < 0:
        damaged("the zip directory is missing, so its end was cut off")
    count, at, comment_length = struct.unpack_from("<10xH4xLH", data, end)
    if end + 22 + comment_length > len(data):
        damaged("its end was cut off")
    locator = end - 20
    if locator >= 0 and data[locator : locator + 4] == b"PK\x06\x07":
        (record,) = struct.unpack_from("<8xQ", data, locator)
        if data[record : record + 4] != b"PK\x06\x06":
            damaged("no zip64 directory")
        count, at = struct.unpack_from("<32xQ8xQ", data, record)
    if count > MOST_ENTRIES:
        refuse(f"is a zip archive of {count} entries; at most {MOST_ENTRIES} are read.")
    entries: dict[str, tuple[int, int, int]] = {}
    for _ in range(count):
        name, entry, at = _zip_entry(data, at)
        if name in entries:
            damaged(f"two entries are named {shown(name)}")
        entries[name] = entry
    free = 0
    for start, size, _ in sorted(entries.values()):
        if size and start < free:
            damaged("its zip entries overlap")
        free = max(free, start + size)
    return entries


def _zip_entry(data: mmap.mmap, at: int) -> tuple[str, tuple[int, int, int], int]:
    """A record of the zip directory: name, (start, size, CRC-32), and where the next one starts."""
    if data[at : at + 4] != b"PK\x01\x02":
        damaged("a record of the zip directory is missing")
    fields = struct.unpack_from("<8xHH4xLLLHHH8xL", data, at)
    flags, method, checksum, packed, size, name_length, extra_length, comment_length, local = fields
    extra_at = at + 46 + name_length
    name = data[at + 46 : extra_at].decode()
    following = extra_at + extra_length + comment_length
    sizes = [size, packed, local]
    extra = data[extra_at : extra_at + extra_length]
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<HH", extra)
        if kind == 1:  # zip64: those of the three that did not fit into 32 bits, in this order
            wide = list(struct.unpack(f"<{length // 8}Q", extra[4 : 4 + length // 8 * 8]))
            sizes = [wide.pop(0) if value == 0xFFFFFFFF else value for value in sizes]
        extra = extra[4 + length :]
    size, packed, local = sizes
    if method != 0 or packed != size or flags & 1:
        refuse(
            f"has a compressed or encrypted entry {shown(name)}, which torch.save never writes; "
            "save it again with torch.save."
        )
    if data[local : local + 4] != b"PK\x03\x04":
        damaged(f"entry {shown(name)} is not where the zip directory says")
    start = local + 30 + sum(struct.unpack_from("<26xHH", data, local))
    if start + size > len(data):
        damaged(f"entry {shown(name)} reaches beyond the end of the file")
    return name, (start, size, checksum), following


def _read_legacy(data: mmap.mmap) -> Any:
    at = 0
    header = []
    for _ in range(3):
        machine = Machine(data, at, len(data), _no_tensor)
        header.append(machine.run())
        at = machine.at
    if type(header[1]) is not int or header[1] != _PROTOCOL:
        damaged(f"legacy protocol {shown(header[1])}")
    # The storages come after the object: a first pass finds its end, and which they are.
    first = Machine(data, at, len(data), _no_tensor)
    first.run()
    keys_machine = Machine(data, first.at, len(data), _no_tensor)
    keys = keys_machine.run()
    starts = _legacy_storages(data, keys_machine.at, keys, first.storages)

    def locate(storage: Storage) -> int:
        if storage.key not in starts:
            damaged(f"no storage {shown(storage.key)}")
        return starts[storage.key]

    # Legacy numbers are little-endian on every machine.
    return Machine(data, at, first.at, _Tensors(data, locate, "<")).run()


def _no_tensor(*_: Any) -> np.ndarray:
    return _PLACEHOLDER


_PLACEHOLDER = np.empty(0)


def _legacy_storages(
    data: mmap.mmap, at: int, keys: Any, storages: dict[str, Storage]
) -> dict[str, int]:
    """Where the numbers of each storage start, checked against the file's end."""
    if not isinstance(keys, list):
        damaged("no list of storages")
    starts: dict[str, int] = {}
    for key in keys:
        if not isinstance(key, str) or key not in storages or key in starts:
            damaged(f"storage {shown(key)} is listed twice or never used")
        (count,) = struct.unpack_from("<q", data, at)
        if count != storages[key].count:
            damaged(f"{storages[key].count} numbers wanted in storage {shown(key)}, {count} there")
        starts[key] = at + 8
        at += 8 + storages[key].count * storages[key].itemsize
        if at > len(data):
            damaged(f"storage {shown(key)} reaches beyond the end of the file, which was cut off")
    return starts
