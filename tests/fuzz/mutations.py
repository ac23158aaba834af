"""Changes to bytes, to values of JSON and to archives, chosen by seeded random numbers."""

import copy
import io
import json
import random
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

SIDES = (0, 1, 2, 127, 128, 255, 256, 32_767, 65_535, 65_536, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
DEEP: Any = []
for _ in range(200):
    DEEP = [DEEP]
HOSTILE: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 3, 7, 2**31, 2**63 - 1, 2**63, -(2**70), 10**400),
    *(0.5, -0.0, 1e-300, 1e30, -1e39, 1e308, float("inf"), float("nan")),
    *("", " ", "a", "None", "../../etc/passwd", "/dev/zero", "x" * 3_000, "\x1b[31m\x9b", "\u202e"),
    *("\ud800", "a\nb", "1e400", "\0", [], {}, [[]], [1, 2], {"a": 1}, ["a", None], DEEP),
)


def spoilt(rng: random.Random, data: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Bytes with one or more changes.

    Args:
        rng: Source of chance.
        data: What is changed.
        others: Further bytes, of which pieces are put in.
    """
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        data = rng.choice(_CHANGES)(rng, data, rng.choice(others) if others else data)
    return data


def _at(rng: random.Random, data: bytes) -> int:
    """A place, often in the first bytes, where files say what is in them."""
    most = len(data) if rng.random() < 0.6 else min(len(data), 200)
    return rng.randrange(max(most, 1))


def _flipped(rng: random.Random, data: bytes, other: bytes) -> bytes:
    if not data:
        return data
    at = _at(rng, data)
    return _put(data, at, bytes([data[at] ^ 1 << rng.randrange(8)]))


def _replaced(rng: random.Random, data: bytes, other: bytes) -> bytes:
    return _put(data, _at(rng, data), rng.randbytes(rng.choice((1, 1, 2, 4, 16))))


def _numbered(rng: random.Random, data: bytes, other: bytes) -> bytes:
    width = rng.choice((1, 2, 4, 8))
    number = rng.choice(SIDES) % 256**width
    return _put(data, _at(rng, data), number.to_bytes(width, rng.choice(("little", "big"))))


def _cut(rng: random.Random, data: bytes, other: bytes) -> bytes:
    return data[: _at(rng, data)]


def _removed(rng: random.Random, data: bytes, other: bytes) -> bytes:
    at = _at(rng, data)
    return data[:at] + data[at + rng.choice((1, 2, 4, 64)) :]


def _repeated(rng: random.Random, data: bytes, other: bytes) -> bytes:
    at = _at(rng, data)
    part = data[at : at + rng.choice((1, 4, 12, 64))]
    return data[:at] + part * rng.choice((2, 3, 100)) + data[at + len(part) :]


def _spliced(rng: random.Random, data: bytes, other: bytes) -> bytes:
    at, start = _at(rng, data), _at(rng, other)
    return data[:at] + other[start : start + rng.choice((4, 32, 500))] + data[at:]


def _longer(rng: random.Random, data: bytes, other: bytes) -> bytes:
    return data + rng.choice((bytes(1), bytes(5_000), rng.randbytes(100), data))


_CHANGES: tuple[Callable[[random.Random, bytes, bytes], bytes], ...] = (
    *(_flipped, _flipped, _replaced, _numbered, _numbered),
    *(_cut, _removed, _repeated, _spliced, _longer),
)


def _put(data: bytes, at: int, part: bytes) -> bytes:
    return data[:at] + part + data[at + len(part) :]


def changed(rng: random.Random, value: Any) -> Any:
    """A value of JSON with one or a few of its places changed."""
    value = copy.deepcopy(value)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        value = _changed_once(rng, value)
    return value


def _changed_once(rng: random.Random, value: Any) -> Any:
    places = list(_places(value))
    if not places:
        return copy.deepcopy(rng.choice(HOSTILE))
    holder, key = rng.choice(places)
    way = rng.choice(("replace", "replace", "near", "remove", "copy", "rename"))
    if way == "replace":
        holder[key] = copy.deepcopy(rng.choice(HOSTILE))
    elif way == "near":
        holder[key] = _near(rng, holder[key])
    elif way == "remove":
        del holder[key]
    elif way == "copy":
        holder[key] = copy.deepcopy(rng.choice([one[key] for one, key in places]))
    elif isinstance(holder, dict):
        holder[rng.choice(("x", "", "\x1b[2J", "\ud800", str(key).upper()))] = holder.pop(key)
    else:
        holder.extend(copy.deepcopy(holder) * rng.choice((1, 50)))
    return value


def _near(rng: random.Random, value: Any) -> Any:
    """A value of the same type that is a little or much different."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + rng.choice((-1, 1, -value, value, 10**6, 10**12))
    if isinstance(value, float):
        return value * rng.choice((-1, 0, 2, 1e6, 1e30))
    if isinstance(value, str):
        return rng.choice((value[:-1], value + "x", value * 3, value.upper(), f"../{value}"))
    return [value]


def _places(value: Any) -> Any:
    """Every holder and key inside a value."""
    keys: Any = ()
    if isinstance(value, dict | list):
        keys = list(value) if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield value, key
        yield from _places(value[key])


def as_json(value: Any) -> bytes:
    """JSON of any value, as a stranger may write it."""
    return json.dumps(value).encode("utf-8", "surrogatepass")


def text(rng: random.Random, value: Any) -> bytes:
    """JSON of a value that was changed, or whose bytes were."""
    if rng.random() < 0.7:
        return as_json(changed(rng, value))
    return spoilt(rng, as_json(value))


def contents(archive: bytes) -> dict[str, bytes]:
    """Files of a zip archive by name."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return {info.filename: opened.read(info) for info in opened.infolist()}


def packed(files: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """A zip archive of files by name."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return made.getvalue()


def repacked(
    rng: random.Random, archive: bytes, parts: dict[str, Callable[[random.Random, bytes], bytes]]
) -> bytes:
    """A zip archive whose sums are right, with one of its files changed, missing or added.

    Args:
        rng: Source of chance.
        archive: Archive.
        parts: Ways in which its files are changed, by their names; the others as bytes.
    """
    files = contents(archive)
    name = rng.choice(list(files))
    way = rng.choice(("change",) * 8 + ("remove", "exchange", "add"))
    if way == "change":
        files[name] = parts.get(name, spoilt)(rng, files[name])
    elif way == "remove":
        del files[name]
    elif way == "exchange":
        files[name] = files[rng.choice(list(files))]
    else:
        files[rng.choice(("assets/x", "../x", "/tmp/x", "code.py", "x" * 300))] = rng.randbytes(9)
    return packed(files, rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))


def json_part(rng: random.Random, content: bytes) -> bytes:
    """JSON of an archive, changed."""
    return text(rng, json.loads(content))
