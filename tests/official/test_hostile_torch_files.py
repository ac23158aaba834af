"""PyTorch's files that would run code, take all memory or are damaged: each is refused in words."""

import contextlib
import os
import struct
import tracemalloc
from collections import OrderedDict

import numpy as np
import pytest
import torch_writer as writer
from torch_writer import (
    Call,
    Storage,
    Tensor,
    assert_same,
    both,
    storage,
    tensor,
    write_legacy,
)

from tfi2i.errors import InputError
from tfi2i.official import torch_files
from tfi2i.official.torch_files import read_torch

# more than tensors


@both
@pytest.mark.parametrize(
    ("function", "name"),
    [(os.system, r"(posix|nt)\.system"), (eval, r"__builtin__\.eval")],
)
def test_a_call_in_the_file_is_named_and_not_made(tmp_path, write, function, name):
    marker = tmp_path / "executed"
    path = write(tmp_path / "a.pt", {"a": [Call(function, f"open({str(marker)!r}, 'w')")]})
    with pytest.raises(InputError, match=rf"a\.pt asks for '{name}', .* nothing was executed"):
        read_torch(path)
    assert not marker.exists()


@both
@pytest.mark.parametrize(
    "value", [np.float64(1), {1, 2}, b"bytes", 1j, np.zeros(2), slice(1), type(None)]
)
def test_objects_of_other_kinds_are_refused(tmp_path, write, value):
    with pytest.raises(InputError, match="nothing was executed"):
        read_torch(write(tmp_path / "a.pt", [value]))


BARE = "holds classes or bare storages"


@both
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x80\x02X\x06\x00\x00\x00moduleN\x86Q.", "save its state_dict"),
        (b"\x80\x02ccollections\nOrderedDict\n.", BARE),
        (b"\x80\x02]ccollections\nOrderedDict\na.", BARE),
        (b"\x80\x02}K\x01ctorch\nFloatStorage\n\x85s.", BARE),
        (b"\x80\x02ctorch\nFloatStorage\n)R.", "is no function"),
        (b"\x80\x02]}b.", "sets attributes of an object"),
        (b"\x80\x02}K\x01\x85K\x01s.", "has the dict key"),
        (b"\x80\x02}\x8a\x09" + bytes(8) + b"\x01K\x01s.", "has the dict key"),
        (b"\x80\x02(ios\nsystem\n.", "operation 0x69"),
        (b"\x80\x04X\x02\x00\x00\x00osX\x06\x00\x00\x00system\x93.", r"'os\.system'"),
        (b"\x80\x02c\x1b[31mevil\nx\n.", r"asks for '\\x1b\[31mevil\.x'"),
    ],
)
def test_what_is_no_tensor_is_refused_in_words(tmp_path, write, content, message):
    with pytest.raises(InputError, match=message):
        read_torch(write(tmp_path / "a.pt", [], content=content))


# tensors that do not lie in their storage


@both
@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [
        (0, (11,), (1,)),
        (8, (3,), (1,)),
        (10, (), ()),
        (0, (3, 4), (4, 1)),
        (0, (2, 2), (9, 1)),
        (0, (2,), (2**61,)),
        (-1, (2,), (1,)),
        (5, (2,), (-1,)),
        (0, (-2,), (1,)),
        (0, (2, 2), (1,)),
        (0, (2.0,), (1,)),
        (0, [2], (1,)),
        (0, (True,), (1,)),
        (None, (2,), (1,)),
        ("0", (2,), (1,)),
        (0, (10**6, 10**6), (0, 0)),  # in bounds, and of 4 TB
        (0, (0, 2**61), (1, 1)),
        (0, (1,) * 33, (1,) * 33),
        (2**70, (1,), (1,)),
    ],
)
def test_a_tensor_outside_its_storage_is_refused(tmp_path, write, offset, size, stride):
    stored = storage(np.arange(10, dtype=np.float32))
    path = write(tmp_path / "a.pt", {"w": Tensor(stored, offset, size, stride)})
    with pytest.raises(InputError, match=r"a\.pt is damaged or was not written by torch\.save"):
        read_torch(path)


@both
@pytest.mark.parametrize("count", [-1, 3, 5, 2**40, 2**63, 1.5, None])
def test_a_storage_of_another_size_than_claimed_is_refused(tmp_path, write, count):
    stored = storage(np.arange(4, dtype=np.float32))
    stored.count = count
    lying, _ = writer.pickled(Tensor(stored, 0, (2,), (1,)), legacy=write is write_legacy)
    stored.count = 4
    path = write(tmp_path / "a.pt", Tensor(stored, 0, (2,), (1,)), content=lying)
    with pytest.raises(InputError, match="is damaged"):
        read_torch(path)


@both
def test_a_storage_with_two_types_is_refused(tmp_path, write):
    one = storage(np.arange(4, dtype=np.float32))
    other = Storage("IntStorage", 4, one.content, key=one.key)
    values = [Tensor(one, 0, (4,), (1,)), Tensor(other, 0, (4,), (1,))]
    content, _ = writer.pickled(values, legacy=write is write_legacy)
    path = write(tmp_path / "a.pt", values[:1], content=content)
    with pytest.raises(InputError, match="two types or sizes"):
        read_torch(path)


@pytest.mark.parametrize("change", [lambda k: [], lambda k: [k, k], lambda k: [1], lambda k: k])
def test_a_legacy_list_of_storages_that_does_not_fit_is_refused(tmp_path, change):
    value = tensor(np.float32([1, 2]))
    keys = change(value.arguments[0].key)
    with pytest.raises(InputError, match="is damaged"):
        read_torch(write_legacy(tmp_path / "a.pt", value, keys=keys))


def test_an_unknown_legacy_protocol_is_refused(tmp_path):
    path = write_legacy(tmp_path / "a.pt", [], protocol_number=1002)
    with pytest.raises(InputError, match="legacy protocol 1002"):
        read_torch(path)


# pickles that would take all time or memory


def _number(value):
    return b"r" + struct.pack("<I", value)


DEEP = b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b"."
TUPLES = b"\x80\x02)" + b"\x85" * 100_000 + b"."
ITSELF = b"\x80\x02]q\x00h\x00a."
LOOP = b"\x80\x02]q\x00]q\x01h\x00ah\x00h\x01a0."
MUTATED = b"\x80\x02]q\x00]q\x01h\x00a\x85h\x00K\x01a\x86."
LAUGHS = b"".join(
    [b"\x80\x02(]q\x00", *(b"](" + b"h%c" % i * 10 + b"eq%c" % (i + 1) for i in range(9)), b"t."]
)
COPIES = (
    (b"\x80\x02(](" + b"".join(b"K%cK\x01\x86" % (i % 256) for i in range(5000)) + b"eq\x00(")
    + b"ccollections\nOrderedDict\nh\x00\x85R" * 2000
    + b"t."
)


@both
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (DEEP, "more than 32 deep"),
        (TUPLES, "more than 32 deep"),
        (ITSELF, "changes a value after its use"),
        (LOOP, "changes a value after its use"),
        (MUTATED, "changes a value after its use"),
        (LAUGHS, "nests values"),
        (COPIES, "nests values"),
        (b"\x80\x02X\xff\xff\xff\xffabc.", "cut off"),
        (b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7fN", "is damaged"),
        (b"\x80\x06N.", "unsupported pickle protocol"),
        (b"\x80\x02ctorch\ndevice\n(" + b"X\x01\x00\x00\x00a" * 9 + b"tR.", "a device"),
        (b"\x80\x02j\xff\xff\xff\x7f.", "Memo value not found"),
        (b"\x80\x02a.", "is damaged"),
        (b"\x80\x02e.", "is damaged"),
        (b"\x80\x02u.", "is damaged"),
        (b"\x80\x02.", "is damaged"),
        (b"\x80\x02NN.", "2 objects"),
        (b"\x80\x02N(\x85.", "is damaged"),
        (b"\x80\x02NNR.", "is no function"),
        (b"\x80\x02N\x85Q.", "is damaged"),
        (b"\x80\x02c" + b"a" * 1000 + b"\n\n", "asks for 'aaaa"),
    ],
)
def test_hostile_pickles_are_refused(tmp_path, write, content, message):
    with pytest.raises(InputError, match=message):
        read_torch(write(tmp_path / "a.pt", [], content=content))


@both
def test_a_memo_slot_of_any_number_takes_no_memory(tmp_path, write):
    content = b"\x80\x02]" + _number(0xFFFFFFFF) + b"."
    assert read_torch(write(tmp_path / "a.pt", [], content=content)) == []


def _text(value):
    return b"X" + struct.pack("<I", len(value)) + value


STORAGE = b"".join(
    [
        b"(",
        _text(b"storage"),
        b"ctorch\nFloatStorage\n",
        _text(b"0"),
        _text(b"cpu"),
        b"K\x04tQq\x00",
    ]
)
TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\nq\x01"
NESTED = b")" + b"q\x05h\x05\x86" * 60  # a tuple of 2 ** 60 empty ones
BOMBS = {
    "a text joined to others": (
        b"(" + _text(bytes(2_000_000)) + b"q\x00ctorch\ndevice\nq\x01h\x00h\x00\x86q\x02",
        b"h\x01h\x02R" * 1000 + b"t.",
        "holds classes or bare storages",
    ),
    "many tensors of many sides": (
        b"(" + STORAGE + TENSOR + b"(h\x00K\x00(" + b"K\x01" * 32 + b"tq\x02h\x02tq\x03",
        b"h\x01h\x03R" * 1000 + b"t.",
        "nests values",
    ),
    "a tensor of very many sides": (
        STORAGE + TENSOR + b"(h\x00K\x00(",
        b"J\xff\xff\xff\x7f" * 10_000 + b"tq\x02h\x02tR.",
        "is damaged",
    ),
    "nested tuples": (b"", NESTED + b".", "more than 32 deep"),
    "nested tuples as a key": (b"}", NESTED + b"Ns.", "has the dict key"),
    "nested tuples as a storage's key": (
        b"(" + _text(b"storage") + b"ctorch\nFloatStorage\n",
        NESTED + b"NK\x04tQ.",
        "is damaged",
    ),
    "nested tuples as a storage": (TENSOR, b"(" + NESTED + b"K\x00))tR.", "without a storage"),
    "deep tuples as a key": (b"})", b"\x85" * 200_000 + b"Ns.", "has the dict key"),
    "a storage of all memory": (
        STORAGE.replace(b"K\x04", b"\x8a\x06" + b"\xff" * 5 + b"\x7f") + TENSOR,
        b"(h\x00K\x00))tR.",
        "is damaged",
    ),
    "marks": (b"", b"(" * 100_000 + b".", "is damaged"),
}


@both
@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_takes_little_memory(tmp_path, write, bomb, monkeypatch):
    monkeypatch.setattr(torch_files, "MOST_VALUES", 20_000)
    start, end, message = BOMBS[bomb]
    value = Tensor(Storage("FloatStorage", 4, bytes(16), key="0"), 0, (4,), (1,))
    path = write(tmp_path / "a.pt", value, content=b"\x80\x02" + start + end)
    with most_memory(120), pytest.raises(InputError, match=message):
        read_torch(path)


@contextlib.contextmanager
def most_memory(megabytes):
    """Fails if more memory than this is taken inside."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < megabytes * 1e6
    finally:
        tracemalloc.stop()


@both
def test_tensors_that_share_a_storage_are_bounded(tmp_path, write):
    shared = storage(np.arange(10_000, dtype=np.float32))
    whole = [Tensor(shared, 0, (10_000,), (1,)) for _ in range(9)]
    assert len(read_torch(write(tmp_path / "a.pt", whole[:8]))) == 8
    with pytest.raises(InputError, match="tensors of more than 8 times its size"):
        read_torch(write(tmp_path / "a.pt", whole))


@both
def test_a_long_pickle_is_refused(tmp_path, write, monkeypatch):
    monkeypatch.setattr(torch_files, "LARGEST_PICKLE", 300)
    with pytest.raises(InputError, match="cut off or longer than 300 bytes"):
        read_torch(write(tmp_path / "a.pt", ["a" * 300]))


@both
def test_too_many_operations_are_refused(tmp_path, write, monkeypatch):
    monkeypatch.setattr(torch_files, "MOST_OPERATIONS", 1000)
    with pytest.raises(InputError, match="more than 1000 pickle operations"):
        read_torch(write(tmp_path / "a.pt", [None] * 1100))


# damage


VALUE = {"net": {"w": np.float32([[1, 2], [3, 4]]), "n": 3}, "list": [0.5, "text", (1, None)]}


def _small(write, path):
    net = OrderedDict(w=tensor(VALUE["net"]["w"]), n=3)
    return write(path, {"net": net, "list": VALUE["list"]})


@both
def test_a_file_cut_off_anywhere_is_refused(tmp_path, write):
    path = _small(write, tmp_path / "a.pt")
    data = path.read_bytes()
    assert_same(read_torch(path), VALUE)
    for end in range(1, len(data)):
        cut = tmp_path / "cut.pt"
        cut.write_bytes(data[:end])
        with pytest.raises(InputError, match=r"cut\.pt "):
            read_torch(cut)
