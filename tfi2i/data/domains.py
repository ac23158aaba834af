"""The pictures of one domain with random access, whatever they come from."""

import contextlib
import hashlib
import logging
import operator
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from tfi2i.conditions import between
from tfi2i.errors import InputError
from tfi2i.limits import MEGAPIXELS, Between
from tfi2i.pictures.bands import are_deep_bands, band_values, read_bands
from tfi2i.pictures.channels import in_channels
from tfi2i.pictures.depth import OutOfRange, Range, Values
from tfi2i.pictures.files import (
    PLAIN_SUFFIXES,
    Header,
    Picture,
    read_header,
    read_picture,
    read_size,
    read_values,
)
from tfi2i.pictures.pixels import sixteen_bit
from tfi2i.terminal import printable

Pixels = NDArray[Any]
Draw = Callable[[int, int], Pixels]

HELD_OUT_SHARE, HELD_OUT_MOST = 0.05, 50
TestShare = Annotated[float, Between(0.001, 0.9)]

log = logging.getLogger("tfi2i")


class Domain(ABC):
    """The pictures of one domain with random access.

    Attributes:
        names: One a picture, in the domain's order.
        where: Name of the whole in messages: a folder, a split.
        unreadable: Why a picture cannot be read, by index, as far as somebody tried.
        value_range: Numbers in the files that are black and white; pixels are uint16 then.
        channels: Channels of the pixels.
    """

    value_range: Range | None = None
    channels = 3

    def __init__(self, names: Sequence[str], where: str) -> None:
        self.names = list(names)
        self.where = where
        self.unreadable: dict[int, str] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.names)

    @property
    def dtype(self) -> type[np.uint8] | type[np.uint16]:
        """Type of the pixels."""
        return np.uint8 if self.value_range is None else np.uint16

    @abstractmethod
    def read(self, index: int, side: int | None = None) -> Pixels:
        """Pixels (H, W, 3) of a picture.

        Args:
            index: 0..len-1.
            side: Side in pixels that the caller needs. Only a hint: files keep their size.

        Raises:
            InputError: The picture cannot be read; the message names it.
        """

    def read_in(self, index: int, side: int | None, channels: int) -> Pixels:
        """Pixels (H, W, C) of a picture in other channels; raises as `read`."""
        return in_channels(self.read(index, side), channels)

    @property
    def original(self) -> "Domain":
        """The domain that these pictures are of, before their channels were changed."""
        return self

    @abstractmethod
    def digest(self) -> str:
        """A hexadecimal digest that changes when the set of pictures does."""

    def picture(self, index: int) -> Picture:
        """The picture with what its file says of it, where it has one; raises as `read`."""
        return Picture(self.read(index), None, "RGB", "unknown")

    def read_or_none(self, index: int, side: int | None = None) -> Pixels | None:
        """Pixels of a picture; None, and one line in the log, if it cannot be read."""
        if index in self.unreadable:
            return None
        try:
            return self.read(index, side)
        except InputError as error:
            self.leave_out(index, str(error))
            return None

    def leave_out(self, index: int, reason: str) -> None:
        """Remembers that a picture cannot be read, with one line in the log."""
        with self._lock:
            known = index in self.unreadable
            self.unreadable[index] = reason
        if not known:
            log.warning("left out: %s", printable(reason))

    def unusable(self) -> InputError:
        """The error of a domain of which no picture can be read."""
        tried = f"none of its {len(self)} can be read" if len(self) else "there is none"
        reason = printable(next(iter(self.unreadable.values()), ""))
        first = f" (the first: {reason})" if reason else ""
        return InputError(f"{self.where} needs pictures, but {tried}{first}; add some that open.")


class PictureDomain(Domain):
    """A domain of encoded pictures: files, or the bytes of files.

    Attributes:
        pictures: Paths or contents.
        passed_over: Kinds of the files beside them that are no pictures, one a file.
        megapixels: Largest picture that is decoded, in millions of pixels.
    """

    def __init__(
        self,
        names: Sequence[str],
        pictures: Sequence[Path | bytes],
        where: str,
        passed_over: Sequence[str] = (),
        megapixels: int = MEGAPIXELS,
    ) -> None:
        super().__init__(names, where)
        self.pictures = list(pictures)
        self.passed_over = list(passed_over)
        self.megapixels = megapixels

    def _given(self, index: int) -> tuple[Path | bytes, str | None]:
        """A picture's source, and the name that a message calls it by."""
        source = self.pictures[index]
        is_file = isinstance(source, Path)
        return source, None if is_file else printable(f"{self.where} {self.names[index]}")

    def picture(self, index: int) -> Picture:
        """As `Domain.picture`."""
        given, most = self._given(index), self.megapixels
        return read_picture(*given, value_range=self.value_range, megapixels=most)

    def read(self, index: int, side: int | None = None) -> Pixels:
        """As `Domain.read`."""
        return self.picture(index).pixels

    def values(self, index: int) -> Values:
        """The numbers in a picture's file; raises as `read`, but for numbers without a meaning."""
        try:
            return read_values(*self._given(index), megapixels=self.megapixels)
        except InputError:
            if (bands := band_values(self.pictures[index])) is None:
                raise
            return bands

    def header(self, index: int, channels: int = 3) -> Header | None:
        """The facts in a picture's header; None if it is no picture, or one of plain 8 bits.

        Args:
            index: 0..len-1.
            channels: Channels that pictures are read in, for files of so many bands.
        """
        source, name = self._given(index)
        if isinstance(source, bytes):
            plain = source[:2] in (b"\xff\xd8", b"BM")
        else:
            plain = source.suffix.lower() in PLAIN_SUFFIXES
        if plain:
            return Header(False, 1)
        try:
            return read_header(source, name)
        except InputError:
            with contextlib.suppress(InputError):
                deep = are_deep_bands(source, channels)
                return None if deep is None else Header(deep, 1)
            return None

    def size(self, index: int) -> tuple[int, int] | None:
        """Height and width by a picture's header; None if it cannot be read."""
        try:
            return read_size(*self._given(index))
        except InputError:
            return None

    def opens(self, index: int) -> bool:
        """Whether a picture can be read, be it with the right range; if not, it is left out."""
        try:
            self.picture(index)
        except OutOfRange:
            return True
        except InputError as error:
            with contextlib.suppress(InputError):  # bands, which a system may ask for
                if band_values(self.pictures[index]) is not None:
                    return True
            self.leave_out(index, str(error))
            return False
        return True

    def read_in(self, index: int, side: int | None, channels: int) -> Pixels:
        """As `Domain.read_in`; alpha is the file's, and bands are those of a TIFF that has them."""
        bands = read_bands(self.pictures[index], channels, self.value_range)
        if bands is not None:
            return bands
        picture = self.picture(index)
        return in_channels(picture.pixels, channels, picture.alpha)

    def part(self, indices: Sequence[int]) -> "PictureDomain":
        """The pictures of these indices, in their order."""
        part = self._like(indices)
        part.value_range = self.value_range
        known = self.unreadable
        part.unreadable = {i: known[index] for i, index in enumerate(indices) if index in known}
        return part

    def _like(self, indices: Sequence[int]) -> "PictureDomain":
        pictures = [self.pictures[index] for index in indices]
        names = [self.names[index] for index in indices]
        return PictureDomain(names, pictures, self.where, self.passed_over, self.megapixels)

    def with_test_share(
        self, place: str, kind: str, share: float | None = None
    ) -> tuple["PictureDomain", "PictureDomain"]:
        """Two domains, to train on and the share held out; of two pictures or more.

        Args:
            place: Name of the whole for the log.
            kind: Noun for what is missing, "folder" or "split".
            share: Share to keep, as in `held_out`.
        """
        rest, kept = shared_out(self.names, self.opens, share, f"{place}: no test {kind}")
        return self.part(rest), self.part(kept)

    def digest(self) -> str:
        """SHA-256 over names and files' sizes (cheap, so an edited pixel may not show) or bytes."""
        total = hashlib.sha256()
        pairs = zip(self.names, self.pictures, strict=True)
        for name, source in sorted(pairs, key=operator.itemgetter(0)):
            total.update(name.encode("utf-8", "surrogateescape") + b"\0")
            if isinstance(source, bytes):
                total.update(hashlib.sha256(source).digest())
                continue
            try:
                size = source.stat().st_size
            except OSError:
                size = -1
            total.update(f"{size}\0".encode())
        return total.hexdigest()


class DrawnDomain(Domain):
    """A domain whose pictures are drawn on demand, at the size that is asked for.

    Args:
        names: One a picture.
        draw: (index, side) -> pixels (side, side, 3).
        where: Name of the whole in messages.
        sides: Smallest and largest side that can be drawn.
    """

    def __init__(self, names: Sequence[str], draw: Draw, where: str, sides: tuple[int, int]):
        super().__init__(names, where)
        self._draw, self._sides = draw, sides

    def read(self, index: int, side: int | None = None) -> Pixels:
        """As `Domain.read`; without `side`, 256."""
        smallest, largest = self._sides
        return self._draw(index, min(max(side or 256, smallest), largest))

    def digest(self) -> str:
        """SHA-256 over the names and the first picture, so that it changes with the drawing."""
        total = hashlib.sha256("\0".join(self.names).encode())
        if self.names:
            total.update(self.read(0).tobytes())
        return total.hexdigest()


class InChannels(Domain):
    """The pictures of a domain in other channels.

    Args:
        domain: Domain of any kind.
        channels: Channels, as `tfi2i.pictures.channels` has them.
    """

    def __init__(self, domain: Domain, channels: int) -> None:
        super().__init__(domain.names, domain.where)
        self.channels, self._domain = channels, domain
        self.value_range = domain.value_range

    @property
    def original(self) -> Domain:
        """As `Domain.original`."""
        return self._domain.original

    def read(self, index: int, side: int | None = None) -> Pixels:
        """As `Domain.read`."""
        return self._domain.read_in(index, side, self.channels)

    def read_in(self, index: int, side: int | None, channels: int) -> Pixels:
        """As `Domain.read_in`."""
        return self._domain.read_in(index, side, channels)

    def picture(self, index: int) -> Picture:
        """As `Domain.picture`."""
        pixels = self.read(index)
        try:
            file = self._domain.picture(index)
        except InputError:  # bands that are no colours
            return Picture(pixels, None, f"{self.channels} bands", "TIFF")
        return Picture(pixels, None, file.mode, file.format)

    def digest(self) -> str:
        """The domain's own."""
        return self._domain.digest()


class Joined(Domain):
    """Several domains one after the other, as one.

    Args:
        domains: Domains by their names, which stand before those of the pictures.
    """

    def __init__(self, domains: Mapping[str, Domain]) -> None:
        names = [f"{key}/{name}" for key, domain in domains.items() for name in domain.names]
        super().__init__(names, " and ".join(dict.fromkeys(d.where for d in domains.values())))
        self._places = [(domain, i) for domain in domains.values() for i in range(len(domain))]
        self._domains = list(domains.values())
        self.channels = max(domain.channels for domain in self._domains)
        if any(domain.value_range is not None for domain in self._domains):
            self.value_range = (0.0, 65535.0)

    def read(self, index: int, side: int | None = None) -> Pixels:
        """As `Domain.read`."""
        domain, place = self._places[index]
        return self._fitting(domain.read(place, side))

    def read_or_none(self, index: int, side: int | None = None) -> Pixels | None:
        """As `Domain.read_or_none`; the domain that the picture is of remembers and logs it."""
        domain, place = self._places[index]
        pixels = domain.read_or_none(place, side)
        return None if pixels is None else self._fitting(pixels)

    def _fitting(self, pixels: Pixels) -> Pixels:
        return pixels if self.value_range is None else sixteen_bit(pixels)

    def digest(self) -> str:
        """SHA-256 over the digests of the domains."""
        return hashlib.sha256("\0".join(d.digest() for d in self._domains).encode()).hexdigest()


def require_at_least(what: str, **numbers: tuple[int, int]) -> None:
    """Raises `InputError` for the first of the numbers (value, least), by name, that is less."""
    for name, (value, least) in numbers.items():
        if value < least:
            raise InputError(f"{name} of {what} is {value}; choose {least} or more.")


def require_domains(names: Sequence[str], setting: str) -> None:
    """Raises `InputError` unless these are two names or more that domains can have."""
    try:
        between(tuple(names))
    except ValueError as error:
        raise InputError(f"{setting}: {error}") from error


def shared_out(
    names: Sequence[str],
    opens: Callable[[int], bool],
    share: float | None,
    why: str,
    noun: str = "pictures",
) -> tuple[list[int], list[int]]:
    """The indices to train on and those to keep for testing, which the log tells.

    Args:
        names: One a row.
        opens: Function (index) -> whether the row can be read.
        share: Share to keep, as in `held_out`.
        why: Name of the whole, and what it lacks.
        noun: Noun for a row.
    """
    kept = held_out(names, opens, share)
    log.info(
        f"{why}, so {len(kept)} of its {len(names)} {noun} are held out of training, chosen by name"
    )
    return sorted({*range(len(names))} - {*kept}), kept


def held_out(
    names: Sequence[str],
    opens: Callable[[int], bool] = lambda index: True,
    share: float | None = None,
) -> list[int]:
    """The indices to keep for testing where a source has no test pictures, in order.

    The names with the smallest hashes of pictures that open: a fixed choice that does not depend on
    the order and moves little when pictures are added.

    Args:
        names: One a picture.
        opens: Function (index) -> whether the picture can be read.
        share: Share to keep; 5 %, but 50 at most, if not given.
    """
    if len(names) < 2:
        return []
    most = HELD_OUT_MOST if share is None else len(names) - 1
    count = min(most, max(1, round((share or HELD_OUT_SHARE) * len(names))))
    hashes = [hashlib.sha256(n.encode("utf-8", "surrogateescape")).digest() for n in names]
    candidates = sorted(range(len(names)), key=hashes.__getitem__)
    return sorted(islice(filter(opens, candidates), count))
