"""PyTorch's files: what is read of them, and files that are none."""

import pickle
import struct
import zipfile
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
    write_zip,
)

from tfi2i.errors import InputError
from tfi2i.official.torch_files import read_torch

STATES = {
    "conv.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
    "conv.bias": np.float32([0.5, -1]),
    "lamda": np.float32([0.25]),
}


# what is read


@both
def test_a_checkpoint_like_the_official_one_is_read(tmp_path, write):
    moments = {"step": 7, "exp_avg": tensor(np.full((2, 2), 0.5, np.float32))}
    group = {"lr": 1e-4, "betas": (0.5, 0.999), "amsgrad": False, "params": [140_000_000_000_123]}
    optimizer = {"state": {140_000_000_000_123: moments}, "param_groups": [group]}
    path = write(
        tmp_path / "params.pt",
        {"gen2B": writer.state_dict(STATES), "G_optim": optimizer, "start_iter": 100_001},
    )
    plain_moments = {"step": 7, "exp_avg": np.full((2, 2), 0.5, np.float32)}
    assert_same(
        read_torch(path),
        {
            "gen2B": STATES,
            "G_optim": {"state": {140_000_000_000_123: plain_moments}, "param_groups": [group]},
            "start_iter": 100_001,
        },
    )


@both
@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", "i8", "i4", "i2", "i1", "u1", "b1"])
def test_each_type_of_numbers_is_read(tmp_path, write, dtype):
    array = np.array([[0, 1, 0], [1, 0, 1]], dtype) * np.array(-1 if dtype[0] in "fi" else 1, dtype)
    assert_same(read_torch(write(tmp_path / "a.pt", [tensor(array)])), [array])


@both
def test_bfloat16_becomes_float32(tmp_path, write):
    numbers = np.float32([1, -2.5, 0.15625, 3e38])
    halves = (numbers.view(np.uint32) >> 16).astype(np.uint16)
    stored = Storage("BFloat16Storage", 4, halves.tobytes())
    found = read_torch(write(tmp_path / "a.pt", Tensor(stored, 1, (3,), (1,))))
    assert_same(found, (halves.astype(np.uint32) << 16).view(np.float32)[1:])
    np.testing.assert_allclose(found, numbers[1:], rtol=1e-2)


@both
def test_bytes_of_a_bool_other_than_0_and_1_are_true(tmp_path, write):
    stored = Storage("BoolStorage", 3, b"\x00\x02\xff")
    found = read_torch(write(tmp_path / "a.pt", Tensor(stored, 0, (3,), (1,))))
    assert found.view(np.uint8).tolist() == [0, 1, 1]


@both
def test_views_of_one_storage_are_read_with_their_strides(tmp_path, write):
    base = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    shared = storage(base)
    views = {
        "whole": Tensor(shared, 0, (3, 4, 5), (20, 5, 1)),
        "permuted": Tensor(shared, 0, (5, 3, 4), (1, 20, 5)),
        "slice": Tensor(shared, 21, (2, 2), (20, 10)),
        "scalar": Tensor(shared, 59, (), ()),
        "row": Tensor(shared, 55, (1, 5), (10**12, 1)),
        "none": Tensor(shared, 0, (0, 5), (5, 1)),
    }
    assert_same(
        read_torch(write(tmp_path / "a.pt", views)),
        {
            "whole": base,
            "permuted": base.transpose(2, 0, 1),
            "slice": base[1:, ::2, 1],
            "scalar": np.array(59, np.float32),
            "row": base[2:, 3],
            "none": np.empty((0, 5), np.float32),
        },
    )


def test_a_legacy_view_of_a_storage_is_read(tmp_path):
    stored = storage(np.arange(10, dtype=np.float32))
    stored.view = ("other key", 4, 3)
    path = write_legacy(tmp_path / "a.pt", Tensor(stored, 1, (2,), (1,)))
    assert read_torch(path).tolist() == [5, 6]
    path = write_legacy(tmp_path / "b.pt", Tensor(stored, 1, (3,), (1,)))
    with pytest.raises(InputError, match="reaches beyond the 3 numbers"):
        read_torch(path)


@both
def test_parameters_sizes_and_devices_become_plain(tmp_path, write):
    parameter = Call(writer._rebuild_parameter, tensor(np.float32([1, 2])), True, OrderedDict())
    size = writer.Size((2, 3))
    path = write(tmp_path / "a.pt", [parameter, size, Call(writer.device, "cuda", 1)])
    assert_same(read_torch(path), [np.float32([1, 2]), (2, 3), "cuda:1"])


@both
def test_a_tensor_over_bytes_takes_the_type_beside_it(tmp_path, write):
    stored = Storage("UntypedStorage", 6, np.uint16([1, 2, 65_535]).tobytes())
    data, _ = writer.pickled([Call(writer._rebuild_tensor_v3, stored, 1, (2,), (1,), False, {})])
    # torch.uint16 is a global in the seventh place
    assert data.count(b"}q") == 1
    end = data.index(b"}q") + 3
    content = data[:end] + b"ctorch\nuint16\n" + data[end:]
    path = write(tmp_path / "a.pt", [Tensor(stored, 0, (6,), (1,))], content=content)
    assert_same(read_torch(path), [np.uint16([2, 65_535])])


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_pickle_protocol_of_the_zip_format_is_read(tmp_path, protocol):
    value = {
        "a": tensor(np.float32([1, 2])),
        "text": "h\u00e4\U0001f600",
        "n": [-1, 300, 70_000, None],
    }
    found = read_torch(write_zip(tmp_path / "a.pt", value, protocol=protocol))
    assert_same(found, {**value, "a": np.float32([1, 2])})


@pytest.mark.parametrize("byteorder", ["little", "big", None])
def test_the_byte_order_of_a_zip_is_followed(tmp_path, byteorder):
    order = ">" if byteorder == "big" else "<"
    stored = Storage("FloatStorage", 2, np.array([1, -2.5], f"{order}f4").tobytes())
    path = write_zip(
        tmp_path / "a.pt", Tensor(stored, 0, (2,), (1,)), byteorder=byteorder, stem="my_model"
    )
    assert read_torch(path).tolist() == [1, -2.5]


def test_a_zip64_directory_is_read(tmp_path):
    """As in a file over 4 GB, where sizes and places stand in extra fields."""
    path = write_zip(tmp_path / "a.pt", tensor(np.float32([1, 2, 3])))
    data = path.read_bytes()
    start, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    count, directory = struct.unpack_from("<H", data, end + 10)[0], b""
    at = start
    for _ in range(count):
        record = bytearray(data[at : at + 46])
        size, name_length, local = (
            *struct.unpack_from("<LH", record, 24),
            *struct.unpack_from("<L", record, 42),
        )
        extra = struct.pack("<HHHHHQQQ", 0xCAFE, 2, 0, 1, 24, size, size, local)
        struct.pack_into("<LLHH", record, 20, 0xFFFFFFFF, 0xFFFFFFFF, name_length, len(extra))
        struct.pack_into("<L", record, 42, 0xFFFFFFFF)
        directory += bytes(record) + data[at + 46 : at + 46 + name_length] + extra
        at += 46 + name_length
    record_at = start + len(directory)
    zip64 = struct.pack(
        "<4sQHHLLQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, *[count] * 2, len(directory), start
    )
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, record_at, 1)
    tail = struct.pack("<4sHHHHLLH", b"PK\x05\x06", 0, 0, *[0xFFFF] * 2, *[0xFFFFFFFF] * 2, 0)
    path.write_bytes(data[:start] + directory + zip64 + locator + tail)
    with zipfile.ZipFile(path) as archive:  # zipfile agrees that it is one
        assert archive.testzip() is None
        assert len(archive.namelist()) == count
    assert read_torch(path).tolist() == [1, 2, 3]


@both
def test_the_arrays_cannot_be_written_to(tmp_path, write):
    found = read_torch(write(tmp_path / "a.pt", tensor(np.float32([1, 2]))))
    with pytest.raises(ValueError, match="read-only"):
        found[0] = 3


# files that are none


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n" + bytes(100), b"x", pickle.dumps({})])
def test_other_files_are_no_checkpoint(tmp_path, content):
    path = tmp_path / "a.pt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.pt is no PyTorch checkpoint"):
        read_torch(path)


def test_empty_and_absent_files_and_folders_are_named(tmp_path):
    (tmp_path / "empty.pt").touch()
    with pytest.raises(InputError, match=r"empty\.pt is empty"):
        read_torch(tmp_path / "empty.pt")
    with pytest.raises(InputError, match=r"absent\.pt cannot be read"):
        read_torch(tmp_path / "absent.pt")
    with pytest.raises(InputError, match="cannot be read"):
        read_torch(tmp_path)


def rewritten(path, change):
    """The zip at `path` once more with changed (name, content) pairs, or another compression."""
    with zipfile.ZipFile(path) as archive:
        entries = [(name, archive.read(name)) for name in archive.namelist()]
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in change(entries):
            archive.writestr(name, content)
    return path


def test_a_zip_of_something_else_is_refused(tmp_path):
    path = write_zip(tmp_path / "a.pt", tensor(np.float32([1])))
    rewritten(path, lambda entries: [("readme.txt", b"hello")])
    with pytest.raises(InputError, match="a zip archive without a PyTorch checkpoint"):
        read_torch(path)
    path = write_zip(tmp_path / "b.pt", tensor(np.float32([1])))
    rewritten(path, lambda entries: [*entries, ("b/data.pkl", b"N.")])
    with pytest.raises(InputError, match="a zip archive without a PyTorch checkpoint"):
        read_torch(path)


def test_a_zip_without_a_storage_is_refused(tmp_path):
    path = write_zip(tmp_path / "a.pt", tensor(np.float32([1])))
    rewritten(path, lambda entries: [e for e in entries if "/data/" not in e[0]])
    with pytest.raises(InputError, match="no entry 'archive/data/"):
        read_torch(path)


def test_an_unknown_byte_order_is_refused(tmp_path):
    path = write_zip(tmp_path / "a.pt", tensor(np.float32([1])), byteorder="middle")
    with pytest.raises(InputError, match="byte order"):
        read_torch(path)


def test_a_compressed_zip_is_refused(tmp_path):
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"N." + bytes(20_000_000))
    assert path.stat().st_size < 30_000
    with pytest.raises(InputError, match="compressed or encrypted entry 'archive/data.pkl'"):
        read_torch(path)


def test_a_wrong_checksum_is_refused(tmp_path):
    path = write_zip(tmp_path / "a.pt", tensor(np.float32([1.2345])))
    data = path.read_bytes()
    number = np.float32([1.2345]).tobytes()
    assert data.count(number) == 1
    path.write_bytes(data.replace(number, np.float32([2]).tobytes()))
    with pytest.raises(InputError, match="the checksum of 'archive/data/"):
        read_torch(path)


def test_overlapping_and_repeated_entries_are_refused(tmp_path):
    value = [tensor(np.float32([1, 2])), tensor(np.float32([1, 2]))]
    path = write_zip(tmp_path / "a.pt", value)
    data = bytearray(path.read_bytes())
    first, second = (f"archive/data/{part.arguments[0].key}".encode() for part in value)
    # both records of the directory point to the first storage
    struct.pack_into("<L", data, data.rindex(second) - 4, data.index(first) - 30)
    path.write_bytes(data)
    with pytest.raises(InputError, match="its zip entries overlap"):
        read_torch(path)
    start = data.rindex(second)
    data[start : start + len(second)] = first
    path.write_bytes(data)
    with pytest.raises(InputError, match="two entries are named"):
        read_torch(path)


def test_a_huge_directory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("tfi2i.official.torch_files.MOST_ENTRIES", 3)
    path = write_zip(tmp_path / "a.pt", tensor(np.float32([1])))
    with pytest.raises(InputError, match="a zip archive of 4 entries; at most 3"):
        read_torch(path)
    monkeypatch.setattr("tfi2i.official.torch_files.LARGEST_DIRECTORY", 100)
    with pytest.raises(InputError, match="Truncated central directory"):
        read_torch(path)
