"""Computation of the batch of any step, from seed and step alone."""

import atexit
import logging
import math
import threading
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tfi2i.data.domains import Domain, Pixels
from tfi2i.data.resize import scaled_for_crop
from tfi2i.errors import InputError
from tfi2i.limits import beyond_memory, memory_bytes
from tfi2i.pictures.pixels import to_image
from tfi2i.pictures.sizes import Size, size_text
from tfi2i.terminal import printable

ASPECTS = ("squash", "crop")

Layout = Literal["unpaired", "paired", "labelled", "single"]
Array = NDArray[np.float32]
Indices = NDArray[np.intp]
Place = tuple[range | Indices, int]

_ORDER, _AUGMENTATION, _TARGETS, _REFERENCES = range(4)  # random streams: never renumber

PREFETCHED_BYTES = 64 * 2**20
WAITING = 4  # batches that are in memory at a time, or more

log = logging.getLogger("tfi2i")


@dataclass(frozen=True)
class Batch:
    """Arrays that a system's `train_step` takes, as its class declares them.

    Images are (N, H, W, C) float32 in [-1, 1]; labels are (N, K) float32, one-hot over the domains
    of the data or, where it has attributes, their 0s and 1s.

    | layout | keys |
    | --- | --- |
    | unpaired | a, b |
    | paired | a, b: rows that belong together, cropped and mirrored alike |
    | labelled | image, label, target_label (a shuffle of label), reference, reference2 ... |
    | single | image, and label if the data has domains or attributes |

    Attributes:
        layout: One of the four.
        references: Number of pictures with the target's label; only of labelled ones.
        updates: Number of consecutive batches in a step; above 1, along a leading axis of all
            arrays.
    """

    layout: Layout
    references: int = 0
    updates: int = 1

    def __post_init__(self) -> None:
        if self.layout not in get_args(Layout):
            raise ValueError(
                f"layout must be one of {', '.join(get_args(Layout))}, received {self.layout!r}."
            )
        if self.references < 0 or (self.references and self.layout != "labelled"):
            raise ValueError(
                "references must be 0 or, of labelled batches, more, received "
                f"references={self.references} with layout={self.layout!r}."
            )
        if self.updates < 1:
            raise ValueError(f"updates must be 1 or more, received updates={self.updates}.")

    @property
    def keys(self) -> tuple[str, ...]:
        """All keys, in the order of a tuple; the label of a single image may be missing."""
        if self.layout == "labelled":
            references = ["reference", *(f"reference{i + 2}" for i in range(self.references - 1))]
            return ("image", "label", "target_label", *references[: self.references])
        return ("image", "label") if self.layout == "single" else ("a", "b")

    @property
    def images(self) -> tuple[str, ...]:
        """The keys of the images."""
        return tuple(key for key in self.keys if "label" not in key)


@dataclass
class Pool:
    """Pictures that are shuffled together.

    Attributes:
        sides: Domains by the key of a batch; of several, the rows belong together.
        labels: (pictures, K), if there are any.
    """

    sides: dict[str, Domain]
    labels: Array | None = None

    def __len__(self) -> int:
        return len(next(iter(self.sides.values())))

    @cached_property
    def alike(self) -> list[Indices]:
        """For each picture the indices of all pictures with its label."""
        assert self.labels is not None
        _, labels, counts = np.unique(self.labels, axis=0, return_inverse=True, return_counts=True)
        labels = labels.reshape(-1)
        groups = np.split(np.argsort(labels, kind="stable"), np.cumsum(counts)[:-1])
        return [groups[label] for label in labels]


@dataclass
class Loader:
    """Computes the batches of any step, from several threads at once."""

    layout: Batch
    pools: Sequence[Pool]
    image_size: Size
    batch_size: int
    seed: int
    load_size: Size
    aspect: str
    flip: bool
    cache_bytes: int

    def __post_init__(self) -> None:
        self._cache = _Cache(self.cache_bytes)
        self._order = lru_cache(maxsize=8)(self._shuffled)  # threads may be in different epochs

    def step(self, step: int) -> dict[str, Array]:
        """Arrays of a step by key, (N, ...) or, of several updates, (updates, N, ...)."""
        updates = self.layout.updates
        batches = [self._batch(step * updates + update) for update in range(updates)]
        if updates == 1:
            return batches[0]
        return {key: np.stack([batch[key] for batch in batches]) for key in batches[0]}

    def _batch(self, number: int) -> dict[str, Array]:
        arrays: dict[str, Array] = {}
        for which, pool in enumerate(self.pools):
            chances = self._random(_AUGMENTATION, which, number).random((self.batch_size, 3))
            rows = range(number * self.batch_size, (number + 1) * self.batch_size)
            drawn = (divmod(row, len(pool)) for row in rows)
            places = [(range(len(pool)), int(self._order(which, e)[place])) for e, place in drawn]
            images, taken = self._images(which, places, chances)
            arrays |= images
            if pool.labels is not None:
                arrays |= self._labelled(which, taken, number)
        return arrays

    def _labelled(self, which: int, taken: Indices, number: int) -> dict[str, Array]:
        """Labels of the pictures that were taken, and what belongs to their targets."""
        pool, batch_size = self.pools[which], self.batch_size
        assert pool.labels is not None
        arrays = {"label": pool.labels[taken]}
        if self.layout.layout == "single":
            return arrays
        targets = taken[self._random(_TARGETS, which, number).permutation(batch_size)]
        arrays["target_label"] = pool.labels[targets]
        for reference in range(self.layout.references):
            chances = self._random(_REFERENCES, reference, number).random((batch_size, 4))
            groups = zip((pool.alike[index] for index in targets), chances[:, 3], strict=True)
            places = [(group, int(chance * len(group))) for group, chance in groups]
            key = f"reference{reference + 1}" if reference else "reference"
            arrays[key] = self._images(which, places, chances[:, :3])[0]["image"]
        return arrays

    def _images(
        self, which: int, places: Sequence[Place], chances: NDArray[np.float64]
    ) -> tuple[dict[str, Array], Indices]:
        """Images by key, and the indices of the rows that they are.

        Args:
            which: Pool's number.
            places: Candidates of each row, and the place of the first one among them.
            chances: (N, 3) numbers in [0, 1) for mirroring, top and left.
        """
        height, width = self.image_size
        shape = (len(places), height, width)
        sides_of = self.pools[which].sides.items()
        rows: dict[str, Pixels] = {
            key: np.empty((*shape, one.channels), one.dtype) for key, one in sides_of
        }
        taken = np.empty(len(places), np.intp)
        for row, (place, chance) in enumerate(zip(places, chances, strict=True)):
            taken[row], sides = self._readable(which, place)
            mirrored, down, right = chance
            for key, loaded in sides.items():
                top = int(down * (loaded.shape[0] - height + 1))
                left = int(right * (loaded.shape[1] - width + 1))
                crop = loaded[top : top + height, left : left + width]
                rows[key][row] = crop[:, ::-1] if self.flip and mirrored < 0.5 else crop
        return {key: to_image(pixels) for key, pixels in rows.items()}, taken

    def _readable(self, which: int, at: Place) -> tuple[int, dict[str, Pixels]]:
        """Index and scaled pixels of the first candidate, from a place on, that can be read."""
        domains, (candidates, place) = self.pools[which].sides, at
        for offset in range(len(candidates)):
            index = int(candidates[(place + offset) % len(candidates)])
            sides = {}
            for key, domain in domains.items():
                make = partial(self._scaled, domain, index)
                pixels = self._cache.get((which, key, index), make)
                if pixels is not None:
                    sides[key] = pixels
            if len(sides) == len(domains):
                if len({pixels.shape[:2] for pixels in sides.values()}) > 1:
                    raise InputError(
                        f"{_called(domains, index)} have different proportions, so a crop would "
                        "part them; give both pictures of a pair one size."
                    )
                return index, sides
        raise max(domains.values(), key=lambda domain: len(domain.unreadable)).unusable()

    def _scaled(self, domain: Domain, index: int) -> Pixels | None:
        pixels = domain.read_or_none(index, max(self.load_size))
        return None if pixels is None else scaled_for_crop(pixels, self.load_size, self.aspect)

    def _shuffled(self, which: int, epoch: int) -> NDArray[np.int64]:
        return self._random(_ORDER, which, epoch).permutation(len(self.pools[which]))

    def _random(self, stream: int, which: int, count: int) -> np.random.Generator:
        sequence = np.random.SeedSequence((self.seed, stream, which, count))
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

    def get(self, key: Hashable, make: Callable[[], Pixels | None]) -> Pixels | None:
        kept = self._kept.get(key)
        if kept is not None:
            return kept
        made = make()
        with self._lock:
            if made is not None and key not in self._kept and made.nbytes <= self._left:
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


def _called(domains: Mapping[str, Domain], index: int) -> str:
    """The pictures of a row as a sentence names them."""
    return " and ".join(f"{printable(d.names[index])} of {d.where}" for d in domains.values())


def check_aspect(aspect: str) -> None:
    """Raises `InputError` for an aspect that is unknown."""
    if aspect not in ASPECTS:
        raise InputError(f"aspect is {aspect!r}; choose {' or '.join(map(repr, ASPECTS))}.")


def within_memory(layout: Batch, batch_size: int, size: Size, cache_mb: int) -> int:
    """Bytes of the cache: as many as are wanted, but at most half of the machine's memory.

    Raises:
        InputError: The batches themselves, of which several wait, take more than all memory.
    """
    images = len(layout.images) * layout.updates * batch_size
    taken = WAITING * images * math.prod(size) * 3 * np.dtype(np.float32).itemsize
    if fault := beyond_memory(taken):
        raise InputError(
            f"batch_size of the batches is {batch_size}; of images of {size_text(size)} they take "
            f"{fault}"
        )
    there, wanted = memory_bytes(), cache_mb * 2**20
    if there is None:
        return wanted
    if wanted > there // 2:
        log.warning(
            "cache_mb of the batches is %d; at most half of this machine's memory is used, %d.",
            *(cache_mb, there // 2**21),
        )
    return min(wanted, there // 2)
