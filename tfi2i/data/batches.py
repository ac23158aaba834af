"""Computation of the batch of any step, from seed and step alone."""

import atexit
import dataclasses
import threading
import time
from collections.abc import Callable, Hashable
from functools import lru_cache, partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tfi2i.data.domains import KEYS, Domain, Pixels
from tfi2i.data.resize import scaled_for_crop
from tfi2i.errors import InputError
from tfi2i.pictures.pixels import to_image

Layout = Literal["unpaired", "paired", "labelled", "single"]


@dataclasses.dataclass(frozen=True)
class Batch:
    """Layout of the batches that a system trains on."""

    layout: Layout
    references: int = 0
    updates: int = 1


ASPECTS = ("squash", "crop")


_ORDER, _AUGMENTATION = 0, 1  # the two random streams of a domain: never renumber


PREFETCHED_BYTES = 64 * 2**20


class Loader:
    """Computes the batch of any step, from several threads at once."""

    def __init__(
        self,
        domains: dict[str, Domain],
        image_size: int,
        batch_size: int,
        seed: int,
        load_size: int,
        aspect: str,
        flip: bool,
        cache_bytes: int,
    ) -> None:
        self._domains = [domains[key] for key in KEYS]
        self._image_size, self._batch_size = image_size, batch_size
        self._seed, self._load_size, self._aspect, self._flip = seed, load_size, aspect, flip
        self._cache = _Cache(cache_bytes)
        self._order = lru_cache(maxsize=8)(self._shuffled)  # threads may be in different epochs

    def batch(self, step: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Images a and b of a step, each (N, S, S, 3)."""
        return self._images(0, step), self._images(1, step)

    def _images(self, which: int, step: int) -> NDArray[np.float32]:
        domain, size = self._domains[which], self._image_size
        chances = self._random(_AUGMENTATION, which, step).random((self._batch_size, 3))
        rows = np.empty((self._batch_size, size, size, 3), np.uint8)
        for row, (mirrored, down, right) in enumerate(chances):
            epoch, place = divmod(step * self._batch_size + row, len(domain) or 1)
            index = int(self._order(which, epoch)[place]) if len(domain) else 0
            loaded = self._cache.get((which, index), partial(self._scaled, domain, index))
            top = int(down * (loaded.shape[0] - size + 1))
            left = int(right * (loaded.shape[1] - size + 1))
            crop = loaded[top : top + size, left : left + size]
            rows[row] = crop[:, ::-1] if self._flip and mirrored < 0.5 else crop
        return to_image(rows)

    def _scaled(self, domain: Domain, index: int) -> Pixels:
        pixels = domain.read_or_next(index, self._load_size)
        return scaled_for_crop(pixels, self._load_size, self._aspect)

    def _shuffled(self, which: int, epoch: int) -> NDArray[np.int64]:
        return self._random(_ORDER, which, epoch).permutation(len(self._domains[which]))

    def _random(self, stream: int, which: int, count: int) -> np.random.Generator:
        sequence = np.random.SeedSequence((self._seed, stream, which, count))
        return np.random.Generator(np.random.Philox(sequence))


class _Cache:
    """Keeps what was made first until the memory is used up.

    Nothing is thrown out: every epoch visits every picture once, and a least-recently-used cache
    that is a little too small would then never hit.
    """

    def __init__(self, byte_limit: int) -> None:
        self._left = byte_limit
        self._kept: dict[Hashable, Pixels] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Pixels]) -> Pixels:
        kept = self._kept.get(key)
        if kept is not None:
            return kept
        made = make()
        with self._lock:
            if key not in self._kept and made.nbytes <= self._left:
                self._left -= made.nbytes
                self._kept[key] = made
        return made


class _Calls:
    """Counts the calls of TensorFlow's threads into Python, and brings them to rest at exit.

    A thread that asks for the interpreter's lock while the interpreter shuts down never returns,
    and the destruction of its iterator waits for it: without this the process hangs whenever it
    ends with an unfinished iterator, as after Ctrl-C.
    """

    def __init__(self) -> None:
        self.closing = False
        self._lock = threading.Lock()
        self._begun = self._ended = 0
        atexit.register(self.settle)

    def __enter__(self) -> None:
        with self._lock:
            self._begun += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._ended += 1

    def settle(self) -> None:
        """Waits until no call is running and none has begun for a while: all buffers are full."""
        self.closing = True
        give_up = time.monotonic() + 10
        while self._begun and time.monotonic() < give_up:
            before = self._begun
            time.sleep(0.1)
            if before == self._begun == self._ended:
                return


CALLS = _Calls()


def check_aspect(aspect: str) -> None:
    """Raises `InputError` for an aspect that is unknown."""
    if aspect not in ASPECTS:
        raise InputError(f"aspect is {aspect!r}; choose {' or '.join(map(repr, ASPECTS))}.")


def check_batches(
    image_size: int,
    batch_size: int,
    seed: int,
    start_step: int,
    load_size: int,
    aspect: str,
    cache_mb: int,
) -> None:
    """Raises `InputError` for a number that cannot work, by its name."""
    check_aspect(aspect)
    for name, value, least in (
        ("image_size", image_size, 1),
        ("batch_size", batch_size, 1),
        ("load_size", load_size, image_size),
        ("seed", seed, 0),
        ("start_step", start_step, 0),
        ("cache_mb", cache_mb, 0),
    ):
        if value < least:
            why = ", the image_size" if name == "load_size" else ""
            raise InputError(f"{name} of the batches is {value}; choose {least}{why} or more.")
