"""Computation of the batch of any step, from seed and step alone."""

import atexit
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tfi2i.data.domains import Domain, Pixels
from tfi2i.data.resize import scaled_for_crop
from tfi2i.errors import InputError
from tfi2i.pictures.pixels import to_image

ASPECTS = ("squash", "crop")

Layout = Literal["unpaired", "paired", "labelled", "single"]
Array = NDArray[np.float32]
Indices = NDArray[np.intp]

_ORDER, _AUGMENTATION, _TARGETS, _REFERENCES = range(4)  # random streams: never renumber

PREFETCHED_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Batch:
    """Arrays that a system's `train_step` takes, as its class declares them.

    Images are (N, S, S, 3) float32 in [-1, 1]; labels are (N, K) float32, one-hot over the domains
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
            return ("image", "label", "target_label", *self.reference_keys)
        return ("image", "label") if self.layout == "single" else ("a", "b")

    @property
    def images(self) -> tuple[str, ...]:
        """The keys of the images."""
        if self.layout in ("unpaired", "paired"):
            return ("a", "b")
        return ("image", *self.reference_keys)

    @property
    def reference_keys(self) -> tuple[str, ...]:
        """The keys of the reference images: reference, reference2 ..."""
        numbers = ["", *range(2, self.references + 1)]
        return tuple(f"reference{number}" for number in numbers[: self.references])


class Pool:
    """Pictures that are shuffled together.

    Args:
        sides: Domains by the key of a batch; of several, the rows belong together.
        labels: (pictures, K), if there are any.
    """

    def __init__(self, sides: dict[str, Domain], labels: Array | None = None) -> None:
        self.sides = sides
        self.labels = labels

    def __len__(self) -> int:
        return len(next(iter(self.sides.values())))

    def with_label_of(self, index: int) -> Indices:
        """Indices of all pictures with the label of one."""
        groups, group_of = self._groups
        return groups[group_of[index]]

    @cached_property
    def _groups(self) -> tuple[list[Indices], Indices]:
        """Indices of the pictures of each label, and the group of each picture."""
        assert self.labels is not None
        _, group_of, counts = np.unique(
            self.labels, axis=0, return_inverse=True, return_counts=True
        )
        group_of = group_of.reshape(-1)
        return np.split(np.argsort(group_of, kind="stable"), np.cumsum(counts)[:-1]), group_of


class Loader:
    """Computes the batches of any step, from several threads at once."""

    def __init__(
        self,
        layout: Batch,
        pools: Sequence[Pool],
        image_size: int,
        batch_size: int,
        seed: int,
        load_size: int,
        aspect: str,
        flip: bool,
        cache_bytes: int,
    ) -> None:
        self._layout, self._pools = layout, pools
        self._image_size, self._batch_size = image_size, batch_size
        self._seed, self._load_size, self._aspect, self._flip = seed, load_size, aspect, flip
        self._cache = _Cache(cache_bytes)
        self._order = lru_cache(maxsize=8)(self._shuffled)  # threads may be in different epochs

    def step(self, step: int) -> dict[str, Array]:
        """Arrays of a step by key, (N, ...) or, of several updates, (updates, N, ...)."""
        updates = self._layout.updates
        batches = [self._batch(step * updates + update) for update in range(updates)]
        if updates == 1:
            return batches[0]
        return {key: np.stack([batch[key] for batch in batches]) for key in batches[0]}

    def _batch(self, number: int) -> dict[str, Array]:
        arrays: dict[str, Array] = {}
        for which, pool in enumerate(self._pools):
            chances = self._random(_AUGMENTATION, which, number).random((self._batch_size, 3))
            places = []
            for row in range(self._batch_size):
                epoch, place = divmod(number * self._batch_size + row, len(pool))
                places.append((range(len(pool)), int(self._order(which, epoch)[place])))
            images, taken = self._images(which, places, chances)
            arrays |= images
            if pool.labels is not None:
                arrays |= self._labelled(which, taken, number)
        return arrays

    def _labelled(self, which: int, taken: Indices, number: int) -> dict[str, Array]:
        """Labels of the pictures that were taken, and what belongs to their targets."""
        pool, batch_size = self._pools[which], self._batch_size
        assert pool.labels is not None
        arrays = {"label": pool.labels[taken]}
        if self._layout.layout == "single":
            return arrays
        targets = taken[self._random(_TARGETS, which, number).permutation(batch_size)]
        arrays["target_label"] = pool.labels[targets]
        for reference, key in enumerate(self._layout.reference_keys):
            chances = self._random(_REFERENCES, reference, number).random((batch_size, 4))
            groups = [pool.with_label_of(index) for index in targets]
            places = [
                (group, int(chance * len(group)))
                for group, chance in zip(groups, chances[:, 3], strict=True)
            ]
            arrays[key] = self._images(which, places, chances[:, :3])[0]["image"]
        return arrays

    def _images(
        self,
        which: int,
        places: Sequence[tuple[range | Indices, int]],
        chances: NDArray[np.float64],
    ) -> tuple[dict[str, Array], Indices]:
        """Images by key, and the indices of the rows that they are.

        Args:
            which: Pool's number.
            places: Candidates of each row, and the place of the first one among them.
            chances: (N, 3) numbers in [0, 1) for mirroring, top and left.
        """
        size = self._image_size
        shape = (len(places), size, size, 3)
        rows = {key: np.empty(shape, np.uint8) for key in self._pools[which].sides}
        taken = np.empty(len(places), np.intp)
        for row, ((candidates, place), chance) in enumerate(zip(places, chances, strict=True)):
            taken[row], sides = self._readable(which, candidates, place)
            mirrored, down, right = chance
            for key, loaded in sides.items():
                top = int(down * (loaded.shape[0] - size + 1))
                left = int(right * (loaded.shape[1] - size + 1))
                crop = loaded[top : top + size, left : left + size]
                rows[key][row] = crop[:, ::-1] if self._flip and mirrored < 0.5 else crop
        return {key: to_image(pixels) for key, pixels in rows.items()}, taken

    def _readable(
        self, which: int, candidates: range | Indices, place: int
    ) -> tuple[int, dict[str, Pixels]]:
        """Index and scaled pixels of the first candidate, from a place on, that can be read."""
        domains = self._pools[which].sides
        for offset in range(len(candidates)):
            index = int(candidates[(place + offset) % len(candidates)])
            sides = {
                key: self._cache.get((which, key, index), partial(self._scaled, domain, index))
                for key, domain in domains.items()
            }
            readable = {key: pixels for key, pixels in sides.items() if pixels is not None}
            if len(readable) == len(sides):
                return index, readable
        raise max(domains.values(), key=lambda domain: len(domain.unreadable)).unusable()

    def _scaled(self, domain: Domain, index: int) -> Pixels | None:
        pixels = domain.read_or_none(index, self._load_size)
        return None if pixels is None else scaled_for_crop(pixels, self._load_size, self._aspect)

    def _shuffled(self, which: int, epoch: int) -> NDArray[np.int64]:
        return self._random(_ORDER, which, epoch).permutation(len(self._pools[which]))

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
