"""PyTorch's files with changed bytes, pickles and tensors: read as they were, or refused."""

import functools
import random
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch_writer as writer
from torch_writer import Call, assert_same, state_dict, tensor, write_legacy, write_zip

from fuzz.mutations import HOSTILE, spoilt
from fuzz.outcomes import Target
from tfi2i.errors import InputError
from tfi2i.official.checkpoints import read_checkpoint
from tfi2i.official.torch_files import read_torch

VALUE = {"net": {"w": np.float32([[1, 2], [3, 4]]), "n": 3}, "list": [0.5, "text", (1, None)]}
Write = Callable[..., Path]


def whole(write: Write, path: Path) -> Path:
    net = OrderedDict(w=tensor(VALUE["net"]["w"]), n=3)
    return write(path, {"net": net, "list": VALUE["list"]})


def changed_bytes(write: Write, rng: random.Random, folder: Path) -> Path:
    path = whole(write, folder / "a.pt")
    path.write_bytes(spoilt(rng, path.read_bytes()))
    return path


def changed_pickle(write: Write, rng: random.Random, folder: Path) -> Path:
    """A file whose pickle has bytes replaced, removed, repeated or moved."""
    parameter = Call(writer._rebuild_parameter, tensor(np.float32([1, 2])), True, OrderedDict())
    net = OrderedDict(w=tensor(VALUE["net"]["w"]), b=parameter, n=3)
    value = {"net": net, "size": writer.Size((2, 3)), "list": VALUE["list"]}
    content, _ = writer.pickled(value, legacy=write is write_legacy)
    for _ in range(rng.choice((1, 1, 2, 8))):
        start = rng.randrange(len(content) - 1)
        part = content[start : start + rng.choice((1, 2, 5, 20))]
        rest = content[:start] + content[start + len(part) :]
        at = rng.randrange(len(rest) + 1)
        put = rng.choice((b"", part * 2, part * 1000, rng.randbytes(1), b"h\x00", b"\x85"))
        content = rest[:at] + put + rest[at:]
    return write(folder / "changed.pt", value, content=content)


def read(path: Path) -> Any:
    """What a file holds; a refusal names it and can be shown."""
    try:
        return read_torch(path)
    except InputError as error:
        assert str(error).startswith(str(path)) and str(error).isprintable(), error
        raise


def is_unchanged(path: Path, found: Any) -> None:
    """A zip's sums tell every change of what is in it."""
    assert_same(found, VALUE)


# checkpoints of the official codes


@functools.cache
def official() -> dict[str, dict[str, dict[str, np.ndarray]]]:
    from tfi2i.models import CUT
    from tfi2i.official.weights import export_official

    return {one.__name__: export_official(one(**one.smoke)) for one in (CUT,)}


def a_checkpoint(rng: random.Random, folder: Path) -> tuple[str, Path, bool]:
    name = rng.choice(list(official()))
    networks = {one: dict(arrays) for one, arrays in official()[name].items()}
    for _ in range(rng.choice((1, 1, 2, 5))):
        network = rng.choice(list(networks.values()))
        if network:
            changed_tensor(rng, network)
    if rng.random() < 0.2:
        del networks[rng.choice(list(networks))]
    value = {one: state_dict(arrays) for one, arrays in networks.items()}
    return name, write_zip(folder / "latest.pt", value), rng.random() < 0.1


def changed_tensor(rng: random.Random, network: dict[str, np.ndarray]) -> None:
    name = rng.choice(list(network))
    array, way = network[name], rng.choice(("shape", "cut", "type", "numbers", "remove", "rename"))
    if way == "shape":
        network[name] = array.reshape(array.shape[::-1])
    elif way == "cut":
        network[name] = array[: rng.choice((0, 1, 2))]
    elif way == "type":
        network[name] = array.astype(rng.choice((np.int64, np.float64, np.float16, bool)))
    elif way == "numbers":
        network[name] = np.full_like(array, rng.choice((np.nan, np.inf, 0, 1e30)))
    else:
        kept = network.pop(name)
        if way == "rename":
            words = [one for one in HOSTILE if isinstance(one, str) and one.isascii()]
            network[rng.choice((f"module.{name}", f"{name}.x", *words))] = kept


def imported(made: tuple[str, Path, bool]) -> Any:
    from tfi2i.models import ALL

    name, path, to_the_end = made
    checkpoint = read_checkpoint(name, path)
    if to_the_end:
        checkpoint.system({"image_size": ALL[name].smoke["image_size"]})
    return checkpoint.arguments()


def is_imported(made: Any, arguments: dict[str, Any]) -> None:
    assert all(isinstance(name, str) for name in arguments)


def of(kind: str, make: Any, write: Write, quick: int, right: Any = None) -> Target:
    settings = {"right": right} if right else {}
    return Target(f".pth {kind}", functools.partial(make, write), read, quick=quick, **settings)


TARGETS = [
    of("(zip): bytes", changed_bytes, write_zip, 300, is_unchanged),
    of("(legacy): bytes", changed_bytes, write_legacy, 300),
    of("(zip): pickles", changed_pickle, write_zip, 300),
    of("(legacy): pickles", changed_pickle, write_legacy, 300),
    Target(".pth: tensors", a_checkpoint, imported, is_imported, 10),
]
