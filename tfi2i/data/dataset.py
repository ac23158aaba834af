"""From pictures of two domains to batches: what every source returns, and the order of examples.

Which examples step t sees, how they are cropped and whether they are flipped follows from (seed, t)
alone, so a run that is resumed at step t goes on exactly as if it had not stopped.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tfi2i.data.batches import CALLS, PREFETCHED_BYTES, Loader, check_aspect, check_batches
from tfi2i.data.domains import KEYS, Domain, Pixels
from tfi2i.data.resize import scaled_to_square
from tfi2i.errors import InputError

if TYPE_CHECKING:
    import tensorflow as tf


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
        check_batches(image_size, batch_size, seed, start_step, load_size, aspect, cache_mb)
        self.failure = None
        loader = Loader(
            self.train, image_size, batch_size, seed, load_size, aspect, flip, cache_mb * 2**20
        )
        loader.batch(start_step)  # an empty or unreadable domain shows now, not inside TensorFlow

        nothing = np.zeros((batch_size, image_size, image_size, 3), np.float32)

        def load(step: np.int64) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
            with CALLS:
                if CALLS.closing:
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
        depth = PREFETCHED_BYTES // (2 * batch_size * image_size**2 * 3 * 4)
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
        check_aspect(aspect)
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
