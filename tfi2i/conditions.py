"""Directions of a system, and the conditions that its networks take besides the picture.

A direction leads from a domain to a domain and is declared; its name is never parsed. A condition
is a style, a latent code, a label or a second picture. Every consumer of a network (sample sheets,
evaluation, translation, export, serving) gets the values that nobody gave from `values_of`.

Shape letters: N pictures, K labels.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfi2i.errors import InputError
from tfi2i.limits import LAST_SEED, Seed, outside

Array = NDArray[np.float32]
Kind = Literal["style", "latent", "label", "picture"]

ANY = "any"
"""A domain that stands for all domains one after the other, and the direction with open target."""

PRESETS = 8
"""Sampled values that are kept with a network, for choosers that cannot sample."""
LABEL_PRESETS = 64
"""Labels whose one-hot rows are kept with a network; of more, the names tell them."""
PRESET_NUMBERS = 4_096
"""Numbers of all such values; of larger ones fewer are kept, at least one."""


@dataclasses.dataclass(frozen=True)
class Direction:
    """A way from one domain to another.

    Attributes:
        name: Text that names files and arguments.
        source: Domain of the pictures that go in; None: no picture goes in, as in a sampler.
        target: Domain of the pictures that come out; None: the condition `label` chooses it.
    """

    name: str
    source: str | None
    target: str | None

    def __str__(self) -> str:
        return self.name


BOTH_WAYS = (Direction("a2b", "a", "b"), Direction("b2a", "b", "a"))
A_TO_B = BOTH_WAYS[:1]
SAMPLE = Direction("sample", None, ANY)
BY_LABEL = Direction(ANY, ANY, None)


def between(domains: Sequence[str]) -> tuple[Direction, ...]:
    """Directions of every ordered pair of domains, then the one whose target a label chooses.

    Raises:
        ValueError: Fewer than two domains, one named twice, or two pairs of one name.
    """
    received = f"domains={', '.join(map(repr, domains))}"
    if len(domains) < 2 or len(set(domains)) < len(domains) or not all(domains):
        raise ValueError(f"domains must be two or more different names, received {received}.")
    for name in domains:
        if not name.isprintable() or set(name) & set("/\\:"):
            raise ValueError(f"A domain's name becomes a file's name, which {name!r} cannot be.")
    pairs = [Direction(f"{a}2{b}", a, b) for a, b in itertools.permutations(domains, 2)]
    names = [*(pair.name for pair in pairs), *({*domains} & {ANY}), ANY]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise ValueError(
            f"{received} give two directions or domains the name {twice!r}; rename one."
        )
    return (*pairs, BY_LABEL)


@dataclasses.dataclass(frozen=True)
class Condition:
    """An input of a network besides the picture.

    Attributes:
        name: Name of the network's input.
        kind: "style" and "latent" are vectors, "label" is one-hot or 0/1, "picture" an image in
            [-1, 1].
        shape: Shape for one picture, without the batch axis.
        names: Labels in their order, for people; empty for other kinds.
        exclusive: True where exactly one label holds, false for any number of them.
        draw: Sampler (count, seed, target) -> (count, *shape) where values are not N(0, 1) or
            random labels, such as a mapping network.
        encode: Network for a target that makes a value from a reference picture: target -> model.
        presets: Values (*shape) by name, sampled beforehand; what a file knows instead of `draw`.
    """

    name: str
    kind: Kind
    shape: tuple[int, ...]
    names: tuple[str, ...] = ()
    exclusive: bool = True
    draw: Callable[[int, int, str | None], ArrayLike] | None = None
    encode: Callable[[str | None], Any] | None = None
    presets: tuple[tuple[str, Array], ...] = ()

    @property
    def distribution(self) -> Literal["normal"] | None:
        """Distribution of the values, if a program can draw from it by itself."""
        random = self.kind in ("style", "latent") and self.draw is None and not self.presets
        return "normal" if random else None

    def sample(self, count: int, seed: int, target: str | None = None) -> Array:
        """Typical values (count, *shape); the same seed gives the same ones.

        Raises:
            InputError: A picture, which nobody can draw.
        """
        generator, shape = np.random.default_rng((seed, *self.name.encode())), (count, *self.shape)
        if self.kind == "label":
            rows = np.eye(self.shape[0], dtype=np.float32)
            if self.exclusive:
                return rows[generator.integers(len(rows), size=count)]
            return generator.integers(0, 2, shape).astype(np.float32)
        if self.draw is not None:
            values = np.asarray(self.draw(count, seed, target), np.float32)
            if values.shape != shape:
                raise ValueError(
                    f"draw of the condition {self.name!r} must give {shape}, received "
                    f"{values.shape}."
                )
            return values
        if self.presets:
            values = np.stack([value for _, value in self.presets])
            return values[generator.integers(len(values), size=count)]
        if self.kind == "picture":
            raise InputError(f"A picture is needed for {self.name!r}; give one.")
        return generator.standard_normal(shape, np.float32)

    def encoder(self, target: str | None = None) -> Any:
        """The network reference picture (N, H, W, 3) -> value (N, *shape), or None."""
        return None if self.encode is None else self.encode(target)

    def value_of_labels(self, text: str) -> Array:
        """The value (*shape) of labels by name, such as "winter" or "black_hair,young".

        Raises:
            InputError: An unknown label, or several where one excludes the others.
        """
        chosen = [name.strip() for name in text.split(",")] if text.strip() else []
        if text in self.names:  # a name may have a comma in it
            chosen = [text]
        known = self._label_names
        for name in chosen:
            if name not in known:
                raise InputError(f"There is no label {name!r}; choose from {', '.join(known)}.")
        if self.exclusive and len(chosen) != 1:
            raise InputError(
                f"One label is needed for {self.name!r}, got {len(chosen)}; choose one of "
                f"{', '.join(known)}."
            )
        return np.isin(known, chosen).astype(np.float32)

    @property
    def _label_names(self) -> tuple[str, ...]:
        return self.names or tuple(map(str, range(self.shape[0])))

    def record(self, target: str | None = None) -> dict[str, Any]:
        """Plain values for a file that stands beside a network: all that a program can use."""
        names, presets = self.names, self.presets
        if self.kind == "label":
            count = self.shape[0]
            if count > LABEL_PRESETS:
                names = self._label_names
                count = 0 if self.exclusive else max(1, PRESET_NUMBERS // count)
            rows = np.eye(count, self.shape[0])
            presets = tuple(zip(self._label_names[:count], rows, strict=True))
        elif self.kind != "picture" and not presets:
            most = max(1, PRESET_NUMBERS // math.prod(self.shape))
            sampled = self.sample(PRESETS, 0, target)[:most]
            presets = tuple((f"{self.name} {i}", value) for i, value in enumerate(sampled, 1))
        kept = ("name", "kind", "shape", "names", "exclusive", "distribution")
        plain = [{"name": name, "values": value.astype(float).tolist()} for name, value in presets]
        record = {key: getattr(self, key) for key in kept} | {"names": names, "presets": plain}
        return {key: list(one) if isinstance(one, tuple) else one for key, one in record.items()}

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> "Condition":
        """The condition that `record` describes; without its distribution it draws presets.

        Raises:
            InputError: Fields that are missing, of another type, or contradict each other.
        """
        try:
            name, kind, shape = str(record["name"]), record["kind"], tuple(record["shape"])
            names, exclusive = tuple(map(str, record["names"])), bool(record["exclusive"])
            drawn = () if kind == "label" or record["distribution"] else record["presets"]
            presets = tuple((str(p["name"]), np.asarray(p["values"], np.float32)) for p in drawn)
        except (LookupError, TypeError, ValueError) as error:
            raise InputError(f"A condition is not described as it should be ({error}).") from error
        lengths = all(isinstance(side, int) and 0 < side < 2**16 for side in shape)
        fits = lengths and all(value.shape == shape for _, value in presets)
        if kind not in get_args(Kind) or not shape or not fits:
            raise InputError(f"The condition {name!r} contradicts itself.")
        if kind == "label" and (len(shape) != 1 or len(names) not in (0, shape[0])):
            raise InputError(f"The label {name!r} has not as many names as places.")
        return cls(name, kind, shape, names, exclusive, presets=presets)


def values_of(
    conditions: Sequence[Condition],
    count: int,
    *,
    seed: int = 0,
    target: str | None = None,
    given: Mapping[str, ArrayLike] | None = None,
    labels: str | None = None,
) -> dict[str, Array]:
    """Values (count, *shape) for every condition, by name: given, chosen by label, or sampled.

    Args:
        conditions: Conditions that are open in a network.
        count: Number of pictures.
        seed: Seed of what is sampled.
        target: Domain that samplers draw for.
        given: Values by name, (*shape), (1, *shape) or (count, *shape).
        labels: Labels by name for the one condition of that kind.

    Raises:
        InputError: A name that no condition has, another shape, numbers that are not finite, or
            labels where there are none; or the seed is out of its range.
    """
    given = dict(given or {})
    if outside(Seed, seed):
        raise InputError(f"The seed is {seed}; give a whole number from 0 on, up to {LAST_SEED:,}.")
    if labels is not None:
        label = next((one for one in conditions if one.kind == "label"), None)
        if label is None:
            raise InputError(f"There is no label to choose here; leave {labels!r} out.")
        if label.name in given:
            raise InputError(f"{label.name!r} is given twice, as a value and by its label.")
        given[label.name] = label.value_of_labels(labels)
    known = {one.name: one.shape for one in conditions}
    for name in given:
        if name not in known:
            takes = ", ".join(f"{one} {shape}" for one, shape in known.items()) or "nothing"
            raise InputError(f"There is no input {name!r}; besides the picture it takes {takes}.")
    return {
        one.name: _fitted(one.name, one.shape, given[one.name], count)
        if one.name in given
        else one.sample(count, seed, target)
        for one in conditions
    }


def _fitted(name: str, shape: tuple[int, ...], value: ArrayLike, count: int) -> Array:
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise InputError(f"{name} holds {array.dtype}, which are no real numbers.")
    if array.shape not in (shape, (1, *shape), (count, *shape)):
        raise InputError(
            f"{name} has the shape {array.shape}; {shape} is needed, or one for each of {count} "
            "pictures."
        )
    with np.errstate(over="ignore"):  # what is infinite in float32 is refused
        array = array.astype(np.float32)
    if not np.isfinite(array).all():
        raise InputError(f"{name} holds numbers that are not finite; give finite ones.")
    return np.broadcast_to(array, (count, *shape))
