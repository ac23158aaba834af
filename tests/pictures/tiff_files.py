"""TIFF files of any numbers, written here: Pillow writes few of them."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

PLAIN, LZW, DEFLATE = 1, 5, 8
MINIMAL, RGB = 1, 2  # photometric


def by_libtiff(data):
    """The LZW data that libtiff makes of bytes."""
    file = io.BytesIO()
    tags = {278: 1}
    Image.frombytes("L", (len(data), 1), data).save(
        file, "TIFF", compression="tiff_lzw", tiffinfo=tags
    )
    file.seek(0)
    with Image.open(file) as image:
        (start,), (size,) = image.tag_v2[273], image.tag_v2[279]
    return file.getvalue()[start : start + size]


PACK = {PLAIN: bytes, LZW: by_libtiff, DEFLATE: zlib.compress}


def differences(block, predictor):
    """A block (H, W, C) as a predictor writes it."""
    if predictor == 2:
        whole = block.view(f"u{block.itemsize}")
        return np.concatenate([whole[:, :1], np.diff(whole, axis=1)], 1).view(block.dtype)
    if predictor == 3:
        rows, wide, inside = block.shape
        parts = block.astype(block.dtype.newbyteorder(">")).view(np.uint8)
        parts = parts.reshape(rows, wide * inside, block.itemsize).swapaxes(1, 2)
        parts = parts.reshape(rows, -1, inside)
        return np.concatenate([parts[:, :1], np.diff(parts, axis=1)], 1)
    return block


def file_of(
    array, *, packing=PLAIN, predictor=1, planar=False, tile=None, order="<", seen=MINIMAL, more=()
):
    """A TIFF file of numbers (H, W, C), in strips of four rows or in tiles."""
    height, width, channels = array.shape
    rows, wide = tile or (4, width)
    planes = np.moveaxis(array, -1, 0)[..., None] if planar else array[None]
    blocks = []
    for plane in planes:
        for top in range(0, height, rows):
            for left in range(0, width, wide):
                block = plane[top : top + rows, left : left + wide]
                if tile:
                    beyond = ((0, rows - block.shape[0]), (0, wide - block.shape[1]), (0, 0))
                    block = np.pad(block, beyond)
                made = differences(np.ascontiguousarray(block), predictor)
                made = (
                    made if made.dtype == np.uint8 else made.astype(made.dtype.newbyteorder(order))
                )
                blocks.append(PACK[packing](made.tobytes()))
    starts = np.cumsum([8, *map(len, blocks)]).tolist()
    kind = {"u": 1, "i": 2, "f": 3}[array.dtype.kind]
    parts = [(322, [wide]), (323, [rows])] if tile else [(278, [rows])]
    tags = [
        *((256, [width]), (257, [height]), (258, [8 * array.itemsize] * channels)),
        *((259, [packing]), (262, [seen]), (277, [channels]), (284, [2 if planar else 1])),
        *((317, [predictor]), (339, [kind] * channels), *parts, *more),
        *((324 if tile else 273, starts[:-1]), (325 if tile else 279, [*map(len, blocks)])),
    ]
    tags.sort()
    at = starts[-1]
    place, entries, beyond = at + 2 + 12 * len(tags) + 4, b"", b""
    for tag, values in tags:
        packed = struct.pack(f"{order}{len(values)}I", *values)
        if len(values) > 1:
            where = struct.pack(f"{order}I", place + len(beyond))
            beyond += packed
            packed = where
        entries += struct.pack(f"{order}HHI", tag, 4, len(values)) + packed
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", at)
    return (
        start + b"".join(blocks) + struct.pack(f"{order}H", len(tags)) + entries + bytes(4) + beyond
    )
