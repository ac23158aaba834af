"""An Android library that glibc loads: it asks for no versions and for no library but liblog.so.

    unversioned.py LIBRARY RESULT

Android's C library calls all its versions LIBC, which glibc has none of; and its libc.so, libm.so
and libdl.so are one library here, which every process has.
"""

import struct
import sys
from pathlib import Path

DYNAMIC = 2  # of the segments
NEEDED, STRTAB = 1, 5  # of the dynamic section
VERSIONS = (0x6FFFFFF0, 0x6FFFFFFC, 0x6FFFFFFD, 0x6FFFFFFE, 0x6FFFFFFF)
IGNORED = 0x6000_0FFF  # no loader knows it


def unversioned(library: bytes, keep: str = "liblog.so") -> bytes:
    """A 64-bit little-endian ELF library without versions, and with one of its needs.

    Raises:
        ValueError: It is none, or has no dynamic section.
    """
    if library[:6] != b"\x7fELF\x02\x01":
        raise ValueError("This is no 64-bit little-endian ELF file.")
    result = bytearray(library)
    places = range(*_dynamic(library), 16)
    tags = {at: struct.unpack_from("<QQ", library, at) for at in places}
    names = next(value for tag, value in tags.values() if tag == STRTAB)
    for at, (tag, value) in tags.items():
        start = names + value
        kept = tag == NEEDED and library[start : library.index(0, start)] == keep.encode()
        if tag in VERSIONS or (tag == NEEDED and not kept):
            struct.pack_into("<QQ", result, at, IGNORED, 0)
    return bytes(result)


def _dynamic(library: bytes) -> tuple[int, int]:
    """Returns start and end of the dynamic section; its addresses are places in the file here."""
    (headers,) = struct.unpack_from("<Q", library, 32)
    (number,) = struct.unpack_from("<H", library, 56)
    for i in range(number):
        kind, _, offset, _, _, size = struct.unpack_from("<IIQQQQ", library, headers + 56 * i)
        if kind == DYNAMIC:
            return offset, offset + size
    raise ValueError("This is no library: it has no dynamic section.")


if __name__ == "__main__":
    Path(sys.argv[2]).write_bytes(unversioned(Path(sys.argv[1]).read_bytes()))
