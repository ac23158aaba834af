"""The index of a TensorFlow checkpoint, read without TensorFlow's reader.

That one ends the process when a shape in it is damaged, and checkpoints may come from strangers.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tensorflow.core.protobuf import tensor_bundle_pb2

LARGEST_INDEX = 2**24  # bytes of variables.index, which takes about a hundred for each weight
LONGEST_KEY = 4096  # bytes of a weight's name


def index(path: Path) -> tuple[Any, dict[str, Any]]:
    """The `BundleHeaderProto` and the `BundleEntryProto` of each tensor.

    The file is a LevelDB table: blocks of keys and values, one block that says where they are, and
    at the end, in 48 bytes, where that one is.

    Raises:
        DecodeError, IndexError, OSError, ValueError: It is damaged.
    """
    size = path.stat().st_size
    if size > LARGEST_INDEX:
        raise ValueError(f"its index has over {LARGEST_INDEX:,} bytes")
    table = part(path, 0, size)
    (_, _, place, length), _ = _varints(table, max(size - 48, 0), 4)
    blocks = [_varints(handle, 0, 2)[0] for _, handle in _rows(table, place, length)]
    if sum(length for _, length in blocks) > size:
        raise ValueError("its index has blocks inside one another")
    rows: dict[bytes, bytes] = {}
    for place, length in blocks:
        rows |= _rows(table, place, length)
    header = tensor_bundle_pb2.BundleHeaderProto.FromString(rows.pop(b"", b""))
    entries = {
        key.decode(errors="replace"): tensor_bundle_pb2.BundleEntryProto.FromString(value)
        for key, value in rows.items()
    }
    return header, entries


def _rows(table: bytes, place: int, length: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a block; each key leaves out what it shares with the one before."""
    block, compression = table[place : place + length], table[place + length]
    if compression:
        raise ValueError("its index is compressed")
    restarts = int.from_bytes(block[-4:], "little")  # places to start from, as many as these say
    key, place = b"", 0
    while place < length - 4 * (restarts + 1):
        (shared, own, value), place = _varints(block, place, 3)
        key = key[:shared] + block[place : place + own]
        if len(key) > LONGEST_KEY:
            raise ValueError("its index has a name of unlikely length")
        place += own + value
        yield key, block[place - value : place]


def _varints(data: bytes, place: int, count: int) -> tuple[list[int], int]:
    """That many numbers of seven bits a byte, the lowest first, and the place behind them."""
    numbers = []
    for _ in range(count):
        number = 0
        for shift in range(0, 64, 7):
            byte = data[place]
            place += 1
            number |= (byte & 127) << shift
            if byte < 128:
                break
        numbers.append(number)
    return numbers, place


def part(path: Path, place: int, length: int) -> bytes:
    """Bytes of a file, `length` from `place` on.

    Raises:
        ValueError: It is no file, or has fewer.
        OSError: It cannot be read.
    """
    if not path.is_file():  # opening a pipe would wait
        raise ValueError(f"{path.name} is no file")
    with path.open("rb") as file:
        file.seek(place)
        content = file.read(length)
    if len(content) != length:
        raise ValueError(f"{path.name} is cut off")
    return content
