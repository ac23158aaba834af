"""Pictures by split and domain, what every source returns, and the batches of them.

Which examples step t sees, how they are cropped and whether they are flipped follows from (seed, t)
alone, so a run that is resumed at step t goes on exactly as if it had not stopped.
"""

import functools
import inspect
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tfi2i.conditions import ANY, Condition, Direction
from tfi2i.data.batches import (
    CALLS,
    PREFETCHED_BYTES,
    Array,
    Batch,
    Loader,
    Pool,
    check_aspect,
    within_memory,
)
from tfi2i.data.domains import Domain, InChannels, Joined, Pixels
from tfi2i.data.ranges import Remarks, remarks
from tfi2i.data.resize import scaled_to
from tfi2i.errors import InputError
from tfi2i.limits import BatchSize, ImageSize, Megabytes, Seed, Step, checked
from tfi2i.pictures.pixels import eight_bit
from tfi2i.pictures.sizes import AnySize, Size, height_and_width, size_text
from tfi2i.terminal import printable

if TYPE_CHECKING:
    import tensorflow as tf

UNPAIRED = Batch("unpaired")


@dataclass
class Dataset:
    """Pictures of any number of domains, to train on and to test with: what every source returns.

    Attributes:
        name: Text for the run's name and for messages.
        train: Domains to train on, by name.
        test: Domains that training never sees, by the same names.
        paired: Names of the splits whose rows show the same scene in every domain.
        validation: Pictures beyond `test`, to choose a checkpoint by; empty if there are none.
        attributes: 0s and 1s (pictures, names), by split and domain; None: there are none.
        attribute_names: Names of their columns.
        settings: Section `data` of a configuration that opens it again; empty if there is none. A
            source leaves here what it found out, in place of what it was asked for.
        failure: Error that stopped the loading of batches; TensorFlow reports it as one of its own,
            which hides the sentence, so a caller of `fit` raises this instead.
    """

    name: str
    train: dict[str, Domain]
    test: dict[str, Domain]
    paired: frozenset[str] = frozenset()
    validation: dict[str, Domain] = field(default_factory=dict)
    attributes: dict[str, dict[str, NDArray[Any]]] | None = None
    attribute_names: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    failure: Exception | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for split, domains in self.splits().items():
            if [*domains] != [*self.train]:
                raise InputError(
                    f"{self.name} has {_listed(domains)} in {split}, but {_listed(self.train)} in "
                    "train; name the same domains in the same order."
                )
            counts = [str(len(domain)) for domain in domains.values()]
            if split in self.paired and len({*counts}) > 1:
                raise InputError(
                    f"{split} of {self.name} is paired, but its domains hold {_listed(counts)} "
                    "pictures; pairs need as many of each."
                )
            if self.attributes is None:
                continue
            found = {key: np.shape(rows) for key, rows in self.attributes.get(split, {}).items()}
            wanted = {key: (len(one), len(self.attribute_names)) for key, one in domains.items()}
            if found != wanted:
                raise InputError(
                    f"attributes of {split} of {self.name} have the shapes {found}; they need "
                    f"{wanted}, a row a picture and a column a name."
                )

    def splits(self) -> dict[str, dict[str, Domain]]:
        """The domains of each split that is there."""
        every = {"train": self.train, "test": self.test, "validation": self.validation}
        return {split: domains for split, domains in every.items() if domains}

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the columns of labels: the attributes if there are any, else the domains."""
        return self.attribute_names if self.attributes is not None else tuple(self.train)

    def remarks(self) -> Remarks:
        """The faults of all domains' files, and notes on how they are read.

        Raises:
            InputError: Most pictures of a domain hold numbers that are no colours.
        """
        others = [one for domains in self.splits().values() for one in domains.values()]
        return remarks(self.train, others[len(self.train) :])

    def choose(self, a: str, b: str) -> "Dataset":
        """The data of two of its domains, which become a and b."""
        if len({a, b} & {*self.train}) < 2:
            raise InputError(
                f"{self.name} has {_listed(self.train)}; choose two of them, not {_listed((a, b))}."
            )

        def chosen(by_split: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
            return {split: {"a": one[a], "b": one[b]} for split, one in by_split.items()}

        rows = self.attributes and chosen(self.attributes)
        name = f"{self.name}-{a}-{b}"
        return replace(self, name=name, attributes=rows, settings={}, **chosen(self.splits()))

    def swapped(self) -> "Dataset":
        """Exchanges the two domains.

        Raises:
            InputError: There are more or fewer than two.
        """
        if len(self.train) != 2:
            raise InputError(
                f"swap exchanges two domains, but {self.name} has {_listed(self.train)}; leave out "
                "data.swap."
            )
        first, second = self.train
        settings = self.settings and self.settings | {"swap": not self.settings.get("swap", False)}
        name = f"{self.name}-swapped"
        return replace(self.choose(second, first), name=name, settings=settings)

    def on(self, directions: Iterable[Direction]) -> "Dataset":
        """Dataset whose two domains are called a and b, where a system's directions call them so.

        Any other dataset is returned as it is.
        """
        called = {name for way in directions for name in (way.source, way.target)}
        if len(self.train) != 2 or called != {"a", "b"} or {*self.train} == called:
            return self
        return replace(self.choose(*self.train), name=self.name, settings=self.settings)

    def in_channels(self, channels: int | Mapping[str, int]) -> "Dataset":
        """Dataset with the pictures in a system's channels; itself if they are in these.

        Args:
            channels: Channels of all domains; or a number by the name of a domain, where a and b
                also stand for the first and the second of two.
        """
        each: dict[str, int] = {}
        for key, name in zip("ab" if len(self.train) == 2 else self.train, self.train, strict=True):
            each[name] = channels if isinstance(channels, int) else channels.get(name, 0)
            each[name] = each[name] or channels[key]  # type: ignore[index]
        if all(self.train[name].channels == count for name, count in each.items()):
            return self
        parts: dict[str, Any] = {
            split: {key: InChannels(one, each[key]) for key, one in domains.items()}
            for split, domains in self.splits().items()
        }
        return replace(self, **parts)

    @checked("the batches")
    def batches(
        self,
        spec: Any = UNPAIRED,
        *,
        image_size: ImageSize | None = None,
        batch_size: BatchSize = 1,
        seed: Seed = 0,
        start_step: Step = 0,
        load_size: ImageSize | None = None,
        aspect: str = "squash",
        flip: bool = True,
        cache_mb: Megabytes = 2048,
    ) -> "tf.data.Dataset":
        """Endless batches of float32 arrays by key, as `Batch` lists them.

        Each domain of unpaired batches, and all pictures of others, are shuffled and run through
        before they are shuffled again. A picture that cannot be read is replaced by the next one
        that can.

        Args:
            spec: A `Batch`, or a system, which has one as `batch` and an `image_size`.
            image_size: Size that the system sees, a number for squares, else (height, width); the
                system's if not given.
            batch_size: Pictures of each domain a step.
            seed: Seed of order, crops and flips.
            start_step: Step of the first batch, to go on with a run.
            load_size: Size that pictures are scaled to before the random crop: a side of squares,
                of rectangles the shorter one, or height and width; image_size + 30 if not given, as
                in the papers.
            aspect: "squash" scales both sides to load_size, "crop" keeps proportions and cuts off.
            flip: Mirroring of half of the pictures.
            cache_mb: Memory for scaled pictures, so that later epochs need not decode them again.

        Raises:
            InputError: A number that cannot work, a domain without a readable picture, or data that
                lacks the pairs, labels or two domains of the layout, or the system's labels.
        """
        layout = spec if isinstance(spec, Batch) else spec.batch
        if image_size is None:
            if spec is layout:
                raise InputError("image_size of the batches is missing; give one, or a system.")
            image_size = spec.image_size
        size = height_and_width(image_size)
        check_aspect(aspect)
        loaded = _loaded(size, load_size)
        if loaded[0] < size[0] or loaded[1] < size[1]:
            raise InputError(
                f"load_size of the batches is {size_text(load_size or loaded)}; choose "
                f"{size_text(size)}, the image_size or more."
            )
        cache_bytes = within_memory(layout, batch_size, size, cache_mb)
        self.failure = None
        self._check_labels(getattr(spec, "conditions", ()))
        channels = None if isinstance(spec, type) else getattr(spec, "channels", None)
        seen = self.in_channels(channels) if channels else self
        pools = seen._pools(layout, batch_size)
        for domain in seen.train.values():
            if all(domain.read_or_none(i, max(loaded)) is None for i in range(len(domain))):
                raise domain.unusable()
        settings = (size, batch_size, seed, loaded, aspect, flip, cache_bytes)
        return self._prefetched(Loader(layout, pools, *settings), start_step)

    def _check_labels(self, conditions: Iterable[Condition]) -> None:
        """Raises `InputError` for labels with other names, or in another order, than the data's."""
        for one in conditions:
            if one.kind == "label" and one.names and one.names != self.label_names:
                raise InputError(
                    f"the labels of the system are {_listed(one.names)}, but those of {self.name} "
                    f"are {_listed(self.label_names)}; name the same ones in the same order."
                )

    def _pools(self, layout: Batch, batch_size: int) -> list[Pool]:
        """Lists what is shuffled together for batches of a layout."""
        domains = self.train
        if layout.layout in ("unpaired", "paired"):
            if len(domains) != 2:
                enough = len(domains) > 2
                way_out = "choose two by its method `choose`" if enough else "take other data"
                raise InputError(
                    f"{self.name} has the domains {_listed(domains)}, but {layout.layout} batches "
                    f"take two; {way_out}."
                )
            sides = dict(zip("ab", domains.values(), strict=True))
            if layout.layout == "unpaired":
                return [Pool({key: domain}) for key, domain in sides.items()]
            if "train" not in self.paired:
                raise InputError(
                    f"{self.name} has no pairs to train on, which paired batches need; take data "
                    "with pairs, or a system that learns without."
                )
            return [Pool(sides)]
        labels = self.labels("train")
        if layout.layout == "labelled":
            if labels is None:
                raise InputError(
                    f"{self.name} has one domain and no attributes, but labelled batches need "
                    "labels; take data with two domains or more, or with attributes."
                )
            if batch_size < 2:
                raise InputError(
                    "batch_size of the batches is 1, but the targets of labelled batches are the "
                    "labels of other pictures in the batch; choose 2 or more."
                )
        return [Pool({"image": self.domain("train", ANY)}, labels)]

    def labels(self, split: str) -> Array | None:
        """Labels (pictures, K) of all pictures of a split, domain after domain, if there are any.

        Their columns are named by `label_names`.
        """
        domains = self.splits()[split]
        if self.attributes is not None:
            rows = [self.attributes[split][name] for name in domains]
            return np.concatenate(rows).astype(np.float32)
        counts = [len(domain) for domain in domains.values()]
        every = np.repeat(np.eye(len(counts), dtype=np.float32), counts, axis=0)
        return every if len(counts) > 1 else None

    def _prefetched(self, loader: Loader, start_step: int) -> "tf.data.Dataset":
        import tensorflow as tf

        # What cannot be loaded shows now, not inside TensorFlow.
        first = loader.step(start_step)
        nothing = [np.zeros_like(array) for array in first.values()]

        def load(step: np.int64) -> list[Array]:
            with CALLS:
                if CALLS.closing:
                    return nothing
                try:
                    return list(loader.step(int(step)).values())
                except Exception as error:
                    self.failure = error
                    raise

        def arrays(step: Any) -> dict[str, Any]:
            loaded = tf.numpy_function(load, [step], [tf.float32] * len(first))
            for tensor, array in zip(loaded, nothing, strict=True):
                tensor.set_shape(array.shape)
            return dict(zip(first, loaded, strict=True))

        workers = min(8, max(2, os.cpu_count() or 2))
        depth = PREFETCHED_BYTES // sum(array.nbytes for array in nothing)
        steps = tf.data.Dataset.counter(start=start_step)
        loaded = steps.map(arrays, num_parallel_calls=workers, deterministic=True)
        return loaded.prefetch(min(16, max(2, depth)))

    def domain(self, split: str, name: str) -> Domain:
        """A domain of a split; "any" is all of them, one after the other.

        Raises:
            InputError: There is none of that name.
        """
        domains: dict[str, Domain] = getattr(self, split)
        if name in domains:
            return domains[name]
        if name == ANY and domains:
            return next(iter(domains.values())) if len(domains) == 1 else Joined(domains)
        raise InputError(
            f"{self.name} has no domain {printable(name)!r} in {split}; it has {_listed(domains)}."
        )

    def pictures(
        self,
        split: str,
        domain: str,
        image_size: AnySize,
        *,
        aspect: str = "squash",
        limit: int | None = None,
        seed: int | None = 0,
        batch: int = 32,
    ) -> Iterator[tuple[Pixels, list[str]]]:
        """The uint8 pixels (at most `batch`, H, W, C) of a split and their names, a few at a time.

        Unreadable pictures are left out; of a paired split in all domains, so that rows match.

        Args:
            split: "train", "test" or "validation".
            domain: Domain's name; "any": all of them, one after the other.
            image_size: Side of squares, or (height, width).
            aspect: "squash" scales the whole, "crop" takes the centre of these proportions.
            limit: Random sample of at most so many, in their order; of pairs, the same ones.
            seed: Seed of that sample; None: the first ones that can be read.
            batch: Pictures at a time.
        """
        check_aspect(aspect)
        side = max(height_and_width(image_size))
        chosen, domains = self.domain(split, domain), getattr(self, split)
        beside = [o for o in domains.values() if split in self.paired and domain in domains]
        indices = np.arange(len(chosen))
        if limit is not None and seed is not None and limit < len(indices):
            random = np.random.default_rng(seed)
            indices = np.sort(random.choice(len(indices), limit, replace=False))
        every = (
            (scaled_to(pixels, image_size, aspect), chosen.names[index])
            for index in map(int, indices)
            if (pixels := chosen.read_or_none(index, side)) is not None
            and all(o is chosen or o.read_or_none(index, side) is not None for o in beside)
        )
        readable = islice(every, limit)
        while rows := list(islice(readable, batch)):
            yield np.stack([eight_bit(pixels) for pixels, _ in rows]), [name for _, name in rows]

    def pixels(
        self,
        split: str,
        domain: str,
        image_size: AnySize,
        *,
        aspect: str = "squash",
        limit: int | None = None,
        seed: int | None = 0,
    ) -> tuple[Pixels, list[str]]:
        """Pixels (N, H, W, 3) and names of `pictures` with the same arguments, all at once.

        Raises:
            InputError: No picture can be read.
        """
        read = self.pictures(split, domain, image_size, aspect=aspect, limit=limit, seed=seed)
        batches = list(read)
        if not batches:
            kind = "test picture" if split == "test" else "picture"
            where = self.domain(split, domain).where
            raise InputError(f"{where} holds no {kind} that can be read; add some.")
        return np.concatenate([rows for rows, _ in batches]), [n for _, ns in batches for n in ns]

    def description(self) -> dict[str, Any]:
        """Name, counts and digests, for the record of a run."""
        sets: dict[str, Any] = {"name": self.name, "paired": "test" in self.paired}
        for split, domains in (("train", self.train), ("test", self.test)):
            for key, one in domains.items():
                facts = {"where": one.where, "count": len(one), "digest": one.digest()}
                sets[f"{split}_{key}"] = facts
        return sets


def source(function: Callable[..., Dataset]) -> Callable[..., Dataset]:
    """Makes a source check its numbers, and note its arguments in what it returns, for a run."""
    check = checked(function.__name__)(function)

    @functools.wraps(function)
    def opened(*args, **kwargs):
        data = check(*args, **kwargs)
        given = inspect.signature(function).bind(*args, **kwargs).arguments
        plain = {key: str(one) if isinstance(one, Path) else one for key, one in given.items()}
        return replace(data, settings={"source": function.__name__} | plain | data.settings)

    return opened


def _loaded(size: Size, load_size: AnySize | None) -> Size:
    """The size that pictures are scaled to before they are cropped to `size`."""
    if load_size is None:
        load_size = min(size) + 30
    if not isinstance(load_size, int):
        return height_and_width(load_size)
    height, width = (round(side * load_size / min(size)) for side in size)
    return height, width


def _listed(names: Collection[str]) -> str:
    """Names as a sentence lists them: a, b and c."""
    *most, last = map(printable, names) if names else ("none",)
    return f"{', '.join(most)} and {last}" if most else last
