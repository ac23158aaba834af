"""Damaged TIFF files: refused by name, and without libtiff's own lines on stderr."""

import contextlib
import ctypes
import io
import logging
import struct
from concurrent import futures

import numpy as np
import pytest
from PIL import Image, _imaging

from tfi2i.errors import InputError
from tfi2i.pictures.files import read_picture
from tfi2i.pictures.libtiff import complaints, damage_in

SAMPLES = struct.pack("<HHII", 277, 3, 1, 60_000)  # a tag: channels of each pixel
COMPRESSIONS = ("group4", "tiff_lzw", "tiff_adobe_deflate", "lzma", "zstd", "packbits", "jpeg")


def reachable() -> bool:
    return hasattr(ctypes.CDLL(_imaging.__file__), "TIFFSetErrorHandler")


pytestmark = pytest.mark.skipif(not reachable(), reason="Pillow's libtiff is out of reach")


def tiff(compression: str) -> bytes:
    file = io.BytesIO()
    gradient = Image.radial_gradient("L").resize((64, 64))
    mode = "1" if compression == "group4" else "RGB"
    try:
        gradient.convert(mode).save(file, "TIFF", compression=compression)
    except (OSError, RuntimeError):
        pytest.skip(f"this libtiff has no {compression}")
    return file.getvalue()


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_damage_is_told_by_an_error_alone(compression, capfd):
    whole = tiff(compression)
    as_written = read_picture(whole).pixels
    refused = 0
    for i in range(60):
        changed = bytearray(whole)
        changed[8 + i * 97 % (len(whole) - 8)] ^= 1 << i % 8
        try:
            read_picture(bytes(changed))
        except InputError as error:
            refused += 1
            assert str(error).startswith("the picture ") and "\n" not in str(error)
    assert refused or compression == "packbits"
    np.testing.assert_array_equal(read_picture(whole).pixels, as_written)
    assert capfd.readouterr() == ("", "")


def test_a_fax_with_a_wrong_line_is_damaged(tmp_path):
    changed = bytearray(tiff("group4"))
    with Image.open(io.BytesIO(changed)) as image:
        [start] = image.tag_v2[273][:1]
    changed[start + 40 : start + 60] = bytes(20)
    path = tmp_path / "fax.tif"
    path.write_bytes(changed)
    with pytest.raises(InputError, match=r"fax.tif is damaged or incomplete \("):
        read_picture(path)


def test_what_pillow_logs_of_a_damaged_file_is_not_printed(capfd):
    changed = tiff("packbits").replace(struct.pack("<HHII", 277, 3, 1, 3), SAMPLES)
    assert SAMPLES in changed
    with pytest.raises(InputError, match="is damaged or incomplete|is not a picture|is a TIFF"):
        read_picture(changed)
    assert capfd.readouterr() == ("", "") and not logging.getLogger("PIL").level


def test_each_thread_hears_of_its_own_file():
    whole = tiff("group4")
    changed = bytearray(whole)
    with Image.open(io.BytesIO(changed)) as image:
        [start] = image.tag_v2[273][:1]
    changed[start + 40 : start + 60] = bytes(20)

    def damaged(content: bytes) -> bool:
        with complaints() as found, Image.open(io.BytesIO(content)) as image:
            image.load()
        return damage_in(found) is not None

    files = [whole, bytes(changed)] * 50
    with futures.ThreadPoolExecutor(4) as pool:
        assert list(pool.map(damaged, files)) == [False, True] * 50


def test_others_hear_libtiff_as_before(capfd):
    read_picture(tiff("group4"))
    changed = bytearray(tiff("lzma"))
    changed[len(changed) // 2] ^= 255
    with contextlib.suppress(OSError), Image.open(io.BytesIO(changed)) as image:
        image.load()
    assert "LZMADecode" in capfd.readouterr().err
