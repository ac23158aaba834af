"""From pictures of two domains to batches: what every source returns, and the order of examples.

Which examples step t sees, how they are cropped and whether they are flipped follows from (seed, t)
alone, so a run that is resumed at step t goes on exactly as if it had not stopped.
"""

import atexit
import os
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tfi2i.data.domains import Domain, Pixels
from tfi2i.errors import InputError
from tfi2i.pictures.pixels import to_image

if TYPE_CHECKING:
    import tensorflow as tf

KEYS = ("a", "b")
ASPECTS = ("squash", "crop")
LARGEST_ASPECT = 8  # a strip is cut to this before "crop" scales its short side up
_ORDER, _AUGMENTATION = 0, 1  # the two random streams of a domain: never renumber
_PREFETCHED_BYTES = 64 * 2**20


@dataclass
class UnpairedData:
    """Two domains, a and b, to train on and to test with: what every source returns.

    Attributes:
        name: For the run's name and for messages.
        train: The `Domain` to train on, by "a" and "b".
        test: The `Domain` that training never sees, by "a" and "b".
        paired: Whether test["a"][i] and test["b"][i] are the same scene.
        validation: Pairs of scenes beyond `test`, to choose a checkpoint by; None: there are none.
        failure: What stopped the loading of batches; TensorFlow reports it as an error of its own,
            which hides the sentence, so a caller of `fit` raises this instead.
    """

    name: str
    train: dict[str, Domain]
    test: dict[str, Domain]
    paired: bool = False
    validation: dict[str, Domain] | None = None
    failure: Exception | None = field(default=None, repr=False)

    def swapped(self) -> "UnpairedData":
        """The same pictures with the domains a and b exchanged."""

        def exchanged(domains: dict[str, Domain]) -> dict[str, Domain]:
            return {"a": domains["b"], "b": domains["a"]}

        train, test = exchanged(self.train), exchanged(self.test)
        validation = self.validation and exchanged(self.validation)
        name = f"{self.name}-swapped"
        return replace(self, name=name, train=train, test=test, validation=validation)

    def batches(
        self,
        *,
        image_size: int,
        batch_size: int = 1,
        seed: int = 0,
        start_step: int = 0,
        load_size: int | None = None,
        aspect: str = "squash",
        flip: bool = True,
        cache_mb: int = 2048,
    ) -> "tf.data.Dataset":
        """Endless batches {"a", "b"} of images (batch_size, image_size, image_size, 3).

        A and B are shuffled independently; each runs through all its pictures before it is
        shuffled again. A picture that cannot be read is replaced by the next one that can.

        Args:
            image_size: The side of the squares that the system sees.
            batch_size: Pictures of each domain a step.
            seed: Decides order, crops and flips.
            start_step: The step of the first batch, to go on with a run.
            load_size: The side that pictures are scaled to before the random crop; image_size + 30
                if not given, as in the papers.
            aspect: "squash" scales both sides to load_size, "crop" the short side, keeping shapes.
            flip: Whether half of the pictures are mirrored.
            cache_mb: Memory for scaled pictures, so that later epochs need not decode them again.

        Raises:
            InputError: A number that cannot work, or a domain without a readable picture.
        """
        import tensorflow as tf

        load_size = image_size + 30 if load_size is None else load_size
        _check_batches(image_size, batch_size, seed, start_step, load_size, aspect, cache_mb)
        self.failure = None
        loader = _Loader(
            self.train, image_size, batch_size, seed, load_size, aspect, flip, cache_mb * 2**20
        )
        loader.batch(start_step)  # an empty or unreadable domain shows now, not inside TensorFlow

        nothing = np.zeros((batch_size, image_size, image_size, 3), np.float32)

        def load(step: np.int64) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
            with _calls:
                if _calls.closing:
                    return nothing, nothing
                try:
                    return loader.batch(int(step))
                except Exception as error:
                    self.failure = error
                    raise

        def images(step: Any) -> dict[str, Any]:
            loaded = tf.numpy_function(load, [step], [tf.float32, tf.float32])
            for tensor in loaded:
                tensor.set_shape((batch_size, image_size, image_size, 3))
            return dict(zip(KEYS, loaded, strict=True))

        workers = min(8, max(2, os.cpu_count() or 2))
        depth = _PREFETCHED_BYTES // (2 * batch_size * image_size**2 * 3 * 4)
        steps = tf.data.Dataset.counter(start=start_step)
        loaded = steps.map(images, num_parallel_calls=workers, deterministic=True)
        return loaded.prefetch(min(16, max(2, depth)))

    def test_pixels(
        self, domain: str, image_size: int, *, aspect: str = "squash", limit: int | None = None
    ) -> tuple[Pixels, list[str]]:
        """The test pixels (N, S, S, 3) of domain "a" or "b" and their names.

        Unreadable pictures are left out; of paired data both sides, so that the rows still match.

        Args:
            domain: "a" or "b".
            image_size: The side S.
            aspect: "squash" scales both sides to S, "crop" takes the centre square.
            limit: At most so many, from the start.

        Raises:
            InputError: No test picture can be read.
        """
        rows, names = [], []
        batches = self.pictures("test", domain, image_size, aspect=aspect, batch=1)
        for pixels, batch_names in islice(batches, limit):
            rows.append(pixels)
            names += batch_names
        if not rows:
            where = self.test[domain].where
            raise InputError(f"{where} holds no test picture that can be read; add some.")
        return np.concatenate(rows), names

    def pictures(
        self,
        split: str,
        domain: str,
        image_size: int,
        *,
        aspect: str = "squash",
        limit: int | None = None,
        seed: int = 0,
        batch: int = 32,
    ) -> Iterator[tuple[Pixels, list[str]]]:
        """The pixels (at most `batch`, S, S, 3) of a split and their names, a few at a time.

        Unreadable pictures are left out; where test or validation is paired, both sides.

        Args:
            split: "train", "test" or "validation".
            domain: "a" or "b".
            image_size: The side S.
            aspect: "squash" scales both sides to S, "crop" takes the centre square.
            limit: A random sample of at most so many, in their order; of pairs, the same ones.
            seed: Of that sample.
            batch: Pictures at a time.
        """
        _check_aspect(aspect)
        domains: dict[str, Domain] = getattr(self, split)
        chosen = domains[domain]
        paired = split == "validation" or (split == "test" and self.paired)
        others = [domains[key] for key in KEYS if paired and key != domain]
        indices = np.arange(len(chosen))
        if limit is not None and limit < len(indices):
            random = np.random.default_rng(seed)
            indices = np.sort(random.choice(len(indices), limit, replace=False))
        rows: list[Pixels] = []
        names: list[str] = []
        for index in map(int, indices):
            pixels = chosen.read_or_none(index, image_size)
            if pixels is None or any(o.read_or_none(index, image_size) is None for o in others):
                continue
            rows.append(scaled_to_square(pixels, image_size, aspect))
            names.append(chosen.names[index])
            if len(rows) == batch:
                yield np.stack(rows), names
                rows, names = [], []
        if rows:
            yield np.stack(rows), names

    def gathered(
        self, split: str, domain: str, image_size: int, **which: Any
    ) -> tuple[Pixels, list[str]]:
        """What `pictures` gives, at once: pixels (N, S, S, 3) and names; the same arguments.

        Raises:
            InputError: No picture can be read.
        """
        batches = list(self.pictures(split, domain, image_size, **which))
        if not batches:
            where = getattr(self, split)[domain].where
            raise InputError(f"{where} holds no picture that can be read; add some.")
        return np.concatenate([rows for rows, _ in batches]), [n for _, ns in batches for n in ns]

    def description(self) -> dict[str, Any]:
        """Name, counts and digests, for the record of a run."""
        sets: dict[str, Any] = {"name": self.name, "paired": self.paired}
        for split, domains in (("train", self.train), ("test", self.test)):
            for key, domain in domains.items():
                sets[f"{split}_{key}"] = {
                    "where": domain.where,
                    "count": len(domain),
                    "digest": domain.digest(),
                }
        return sets


class _Loader:
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


_calls = _Calls()


@dataclass
class Clock:
    """How long the consumer of a dataset was blocked, in total, and over how many steps."""

    waited_seconds: float = 0.0
    steps: int = 0


def timed(dataset: "tf.data.Dataset") -> "tuple[tf.data.Dataset, Clock]":
    """The same batches, and a clock of the time that their consumer spends waiting for them.

    Two callbacks surround the request for the next batch in the consumer's own thread; the batch is
    not copied. Under a distribution strategy the consumer is a prefetching thread, and the time is
    an upper bound.
    """
    import tensorflow as tf

    clock = Clock()
    started = 0.0

    def start(step: np.int64) -> np.int64:
        nonlocal started
        started = time.perf_counter()
        return step

    def stop(step: np.int64) -> np.int64:
        clock.waited_seconds += time.perf_counter() - started
        clock.steps += 1
        return step

    def stopped(step: Any, batch: Any) -> Any:
        with tf.control_dependencies([tf.numpy_function(stop, [step], tf.int64)]):
            return tf.nest.map_structure(tf.identity, batch)

    before = tf.data.Dataset.counter().map(lambda s: tf.numpy_function(start, [s], tf.int64))
    both = tf.data.Dataset.zip((before, dataset)).map(stopped)
    options = tf.data.Options()
    # Either would run the callbacks ahead in another thread, and the clock would show nothing.
    options.experimental_optimization.inject_prefetch = False
    options.experimental_optimization.map_parallelization = False
    return both.with_options(options), clock


def scaled_for_crop(pixels: Pixels, load_size: int, aspect: str) -> Pixels:
    """Pixels (H, W, 3) scaled to (L, L, 3), or with "crop" to a short side of L."""
    if aspect == "squash":
        return _resized(pixels, (load_size, load_size))
    height, width = pixels.shape[:2]
    short = min(height, width)
    # Without this limit a picture of 1 x 100000 pixels would be scaled up to gigabytes.
    pixels = _centre(
        pixels, min(height, LARGEST_ASPECT * short), min(width, LARGEST_ASPECT * short)
    )
    height, width = pixels.shape[:2]
    scale = load_size / short
    return _resized(
        pixels, (max(load_size, round(width * scale)), max(load_size, round(height * scale)))
    )


def scaled_to_square(pixels: Pixels, image_size: int, aspect: str) -> Pixels:
    """Pixels (H, W, 3) scaled to (S, S, 3), whole or with "crop" the centre square."""
    if aspect == "crop":
        short = min(pixels.shape[:2])
        pixels = _centre(pixels, short, short)
    return _resized(pixels, (image_size, image_size))


def _resized(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Pixels scaled to (width, height) with Pillow's antialiased bilinear filter."""
    if pixels.shape[:2] == size[::-1]:
        return pixels
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR))


def _centre(pixels: Pixels, height: int, width: int) -> Pixels:
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return pixels[top : top + height, left : left + width]


def _check_aspect(aspect: str) -> None:
    if aspect not in ASPECTS:
        raise InputError(f"aspect is {aspect!r}; choose {' or '.join(map(repr, ASPECTS))}.")


def _check_batches(
    image_size: int,
    batch_size: int,
    seed: int,
    start_step: int,
    load_size: int,
    aspect: str,
    cache_mb: int,
) -> None:
    _check_aspect(aspect)
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
