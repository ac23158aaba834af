"""TIFF files that Pillow cannot read: of bands that are no colours, and of wide colours."""

import contextlib
import io
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from tfi2i.errors import InputError
from tfi2i.pictures import tiff
from tfi2i.pictures.depth import Range, Values, spread, wide_pixels, wide_values

_ALPHA = (1, 2)  # what an extra band is, by its tag, that is alpha; 1: the colours are times it
_GREY, _RGB = (0, 1), 2  # what the bands are, by another tag


def read_bands(
    source: Path | str | bytes, channels: int, value_range: Range | None = None
) -> NDArray[Any] | None:
    """The bands (H, W, channels) of a TIFF file that has so many; None: another file.

    Bands that are grey or RGB with alpha count as colours: they are left to `read_picture`.

    Args:
        source: File's path, or its contents.
        channels: Number of bands.
        value_range: Numbers in the file that are black and white. The bands are uint16 then.

    Raises:
        InputError: It is such a file, and damaged, stored in a way that is not read, or holds
            numbers that need a range.
    """
    values = band_values(source, (channels,))
    if values is None:
        return None
    if value_range is None:
        return wide_pixels(values, _label(source))
    return spread(values.array, *value_range)


def band_values(source: Path | str | bytes, channels: Collection[int] = (2, 4)) -> Values | None:
    """The numbers (H, W, C) of a TIFF file of so many bands; None: another file.

    Raises:
        InputError: As `read_bands`, but for numbers that need a range.
    """
    wanted = {2, 4}.intersection(channels)
    if not wanted:
        return None
    label = _label(source)
    with _opened(source) as file, _sentences(label, f"{max(wanted)} bands"):
        tags = tiff.tags_of(file)
        if not _are_bands(tags, wanted):
            return None
        bands = tiff.numbers(file, tags)
    return wide_values(bands, None, label)


def are_deep_bands(source: Path | str | bytes, channels: int) -> bool | None:
    """Whether the bands of a TIFF file that has so many have over 8 bits; None: another file."""
    with _opened(source) as file, _sentences(_label(source), f"{channels} bands"):
        tags = tiff.tags_of(file)
        return tiff.type_of(tags) != "u1" if _are_bands(tags, {2, 4} & {channels}) else None


def _are_bands(tags: tiff.Tags, wanted: Collection[int]) -> bool:
    channels = tiff.channels_of(tags)
    if not tags or channels not in wanted or _has_alpha(tags):
        return False
    return channels == 2 or tags.get(262, (1,))[0] in _GREY  # else RGB or CMYK


def _label(source: Path | str | bytes) -> str:
    return "the picture" if isinstance(source, bytes) else str(source)


class WideColours:
    """A TIFF file of grey or RGB, maybe with alpha, whose numbers Pillow does not read as they are.

    Attributes:
        mode: Name of what it holds, such as "RGB;f4".
        format: Name of the format, as Pillow has it.
        deep: True where a channel has more than 8 bits.
        width: Columns.
        height: Rows.
    """

    format = "TIFF"

    def __init__(self, file: BinaryIO, tags: tiff.Tags) -> None:
        self._file, self._tags = file, tags
        self.width, self.height = tags[256][0], tags[257][0]
        self._colours = 1 if tiff.channels_of(tags) < 3 else 3
        name = {1: "L", 3: "RGB"}[self._colours] + "A" * _has_alpha(tags)
        kind = tiff.type_of(tags)
        self.mode, self.deep = f"{name};{kind}", kind != "u1"

    def values(self, label: str) -> Values:
        """The numbers of the colours.

        Raises:
            InputError: They are damaged, not finite, or stored in a way that is not read.
        """
        with _sentences(label, f"{tiff.channels_of(self._tags)} channels"):
            found = tiff.numbers(self._file, self._tags)
        array = found[..., : self._colours]
        alpha = None
        if _has_alpha(self._tags):
            array, alpha = self._opaque(array, found[..., -1])
            alpha = _turned(alpha, self._tags)
        array = _turned(array[..., 0] if self._colours == 1 else array, self._tags)
        return wide_values(array, alpha, label)

    def _opaque(
        self, array: NDArray[Any], alpha: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        """The colours without their alpha in them, and the alpha of 8 bits."""
        if alpha.dtype.kind == "f":
            share = np.clip(np.nan_to_num(alpha) / (1 if alpha.max() <= 1 else 255), 0, 1)
            if self._tags[338][-1] == 1:
                array = array / np.where(share > 0, share, 1)[..., None]
        else:
            share = np.clip(alpha / np.iinfo(alpha.dtype).max, 0, 1)
        return array, np.rint(share * 255).astype(np.uint8)


def wide_colours(file: BinaryIO) -> WideColours | None:
    """The wide colours in an open file; None: another file, which Pillow reads, or nobody."""
    try:
        tags = tiff.tags_of(file)
    except tiff.ERRORS:  # Pillow may make something of it
        return None
    kind, channels, alpha = tiff.type_of(tags), tiff.channels_of(tags), _has_alpha(tags)
    if kind is None or not {256, 257} <= tags.keys():
        return None
    seen = tags.get(262, (1,))[0]
    grey = channels == 1 + alpha and seen in _GREY
    rgb = channels in (3, 4) and seen == _RGB or channels == 3 and seen == _GREY[1] and not alpha
    if kind == "u1":
        ours = rgb and seen != _RGB
    elif kind == "u2":
        ours = grey and channels == 2 or rgb and (seen != _RGB or tiff.is_planar(tags))
    else:
        ours = rgb or grey and (channels == 2 or kind in ("f2", "f8", "u4"))
    return WideColours(file, tags) if ours else None


def _has_alpha(tags: tiff.Tags) -> bool:
    return tags.get(338, (0,))[-1] in _ALPHA and tiff.channels_of(tags) in (2, 4)


def _turned(array: NDArray[Any], tags: tiff.Tags) -> NDArray[Any]:
    """An array (H, W, ...) upright, as the tag of its camera says."""
    turn = tags.get(274, (1,))[0]
    if turn in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if turn in (2, 3, 6, 7):
        array = array[:, ::-1]
    return array[::-1] if turn in (3, 4, 7, 8) else array


@contextlib.contextmanager
def _opened(source: Path | str | bytes) -> Iterator[BinaryIO]:
    """A file, or its contents as one; an empty one if it cannot be opened."""
    if isinstance(source, bytes):
        yield io.BytesIO(source)
        return
    path = Path(source)
    try:
        file: BinaryIO = path.open("rb") if path.is_file() else io.BytesIO()
    except OSError:  # `read_picture` says what is wrong
        file = io.BytesIO()
    with file:
        yield file


@contextlib.contextmanager
def _sentences(label: str, what: str) -> Iterator[None]:
    """Makes an `InputError` of whatever the reader of TIFF files raises."""
    try:
        yield
    except tiff.Unread as error:
        raise InputError(f"{label} is a TIFF file of {what} {error}.") from error
    except tiff.ERRORS as error:
        raise InputError(
            f"{label} is a damaged TIFF file of {what} ({error}); copy it again."
        ) from error
