"""LZW as TIFF files hold it, unpacked with a bound on its time and on what it gives.

Between two clear codes the widths of the codes depend on their number alone, so that NumPy cuts all
of them out of the bits at once.
"""

import numpy as np

_CLEAR, _END = 256, 257
_CODES = 3840  # from one clear code to the next, itself included, until 4096 strings are known
_WIDTHS = np.array([min((258 + i).bit_length(), 12) for i in range(_CODES)])
_STARTS = np.cumsum(_WIDTHS) - _WIDTHS
_BYTES = [bytes([i]) for i in range(256)]
_NONE = b""


def unpacked(data: bytes, size: int) -> bytes:
    """The first `size` bytes that LZW data stand for, or all where they are fewer.

    Raises:
        ValueError: The data are damaged.
    """
    # A code is of at most 12 bits and stands for a byte at least; the rest would be clear codes.
    padded = np.frombuffer(data[: 2 * size + 16] + bytes(4), np.uint8).astype(np.uint32)
    bits = 8 * (padded.size - 4)
    found: list[bytes] = []
    at = length = sections = 0
    while length < size and at + 9 <= bits:
        codes = _codes(padded, at, bits)
        stops = np.flatnonzero((codes == _CLEAR) | (codes == _END))
        count = int(stops[0]) if stops.size else codes.size
        part = _strings(codes[:count].tolist())
        found.append(part)
        length += len(part)
        if count == codes.size:
            if count == _CODES:
                raise ValueError("its table of strings runs over")
            break
        if codes[count] == _END:
            break
        at += int(_STARTS[count] + _WIDTHS[count])
        sections += 1
        if sections > 64 + length // 64:  # each costs as much as hundreds of codes
            raise ValueError("its table of strings begins anew too often")
    return b"".join(found)[:size]


def _codes(padded: np.ndarray, at: int, bits: int) -> np.ndarray:
    """The codes from bit `at` on, as far as the next clear code may be."""
    most = min(_CODES, (bits - at) // 9)
    places = _STARTS[:most] + at
    widths = _WIDTHS[:most]
    whole = int(np.searchsorted(places + widths, bits, "right"))
    places, widths = places[:whole], widths[:whole]
    first = places >> 3
    three = padded[first] << 16 | padded[first + 1] << 8 | padded[first + 2]
    return three >> (24 - widths - (places & 7)) & (1 << widths) - 1


def _strings(codes: list[int]) -> bytes:
    """The bytes of codes that stand between two clear codes."""
    if not codes:
        return _NONE
    table = [*_BYTES, _NONE, _NONE]
    add = table.append
    if codes[0] > 255:
        raise ValueError(f"its first code is {codes[0]}")
    before = table[codes[0]]
    size = len(table)
    for code in codes[1:]:
        if code < size:
            string = table[code]
            add(before + string[:1])
        elif code == size:
            string = before + before[:1]
            add(string)
        else:
            raise ValueError(f"its code {code} comes before its string")
        before = string
        size += 1
    return b"".join([table[code] for code in codes])
