"""One picture of each domain as data: a list of zoomed patches of it that is as good as endless.

Source: `singleimage` data of taesungp/contrastive-unpaired-translation at commit b3ac297 with its
preprocessing `zoom_and_patch`, as SinCUT trains on.
"""

import hashlib
import logging
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tfi2i.data.dataset import Dataset, source
from tfi2i.data.domains import Domain, PictureDomain, Pixels
from tfi2i.data.ranges import ValueRange, settle, survey, unfilled, wishes
from tfi2i.data.sources.scene_drawing import draw
from tfi2i.errors import InputError
from tfi2i.limits import MEGAPIXELS, Between, Megapixels, Seed
from tfi2i.pictures.depth import Range
from tfi2i.terminal import printable

TRAIN_PATCHES, TEST_PATCHES = 100_000, 256
EMBEDDED_SIDE = 256  # patches of 64 then show from a 16th to half of a scene

log = logging.getLogger("tfi2i")


@source
def single_image(
    *,
    a: Path | str | None = None,
    b: Path | str | None = None,
    scale_max: Annotated[float, Between(1, 1_000)] = 3.0,
    seed: Seed = 0,
    value_range: ValueRange = None,
    megapixels: Megapixels = MEGAPIXELS,
) -> Dataset:
    """Patches of one picture a and of one picture b; without files, of two embedded scenes.

    A patch is cut from the picture after both its sides were scaled down, each by its own factor.
    Test patches are other ones of the same two pictures, so they measure how well this pair was
    learned and nothing else. Whole pictures are translated by `tfi2i translate`.

    Args:
        a: Picture file of domain a.
        b: Picture file of domain b.
        scale_max: Most by which a side is scaled down, 1 or more. A picture that is smaller
            than a patch is scaled up to it.
        seed: Seed of the factors and the places of the patches, and of the embedded scenes.
        value_range: Numbers in the files that become black and white: two of them, auto or
            {percentiles: [1, 99]}; for both pictures, or {a: ..., b: ...}.
        megapixels: Largest picture that is decoded, in millions of pixels.

    Raises:
        InputError: A picture that cannot be read, one without the other, the same one twice, or a
            number that cannot work.
    """
    wanted = wishes(value_range)
    if a is None and b is None:
        scenes = (draw(seed, f"train_{key}", 0, EMBEDDED_SIDE)[i] for i, key in enumerate("ab"))
        return _patches("one_scene", [("a scene", pixels) for pixels in scenes], scale_max, seed)
    if a is None or b is None:
        missing = "a" if a is None else "b"
        raise InputError(
            f"The data source single_image needs a picture for `{missing}` too; name its file, or "
            "leave both out for two embedded scenes."
        )
    paths = [Path(a).expanduser(), Path(b).expanduser()]
    pictures: list[tuple[str, Pixels]] = []
    found: dict[str, Range] = {}
    for key, path in zip("ab", paths, strict=True):
        one = PictureDomain([path.name], [path], printable(str(path)), (), megapixels)
        if chosen := settle(one, [], wanted[key]):
            found[key] = chosen
        elif fault := unfilled(one, survey(one)):
            log.warning("%s", fault)
        pictures.append((printable(path.name), one.read(0)))
    if paths[0].resolve() == paths[1].resolve():
        raise InputError(
            f"Domains a and b are the same picture {printable(str(paths[0]))}; name two."
        )
    data = _patches(f"{paths[0].stem}2{paths[1].stem}", pictures, scale_max, seed)
    for domains in data.splits().values():
        for key, domain in domains.items():
            domain.value_range = found.get(key)
    kept = {key: [*one] for key, one in found.items()}
    return replace(data, settings={"value_range": kept} if kept else {})


def _patches(name: str, pictures: list[tuple[str, Pixels]], scale_max: float, seed: int) -> Dataset:
    sets: dict[str, dict[str, Domain]] = {"train": {}, "test": {}}
    # The places of splits and domains are random streams: never reorder.
    for stream, (split, count) in enumerate((("train", TRAIN_PATCHES), ("test", TEST_PATCHES))):
        for i, (title, pixels) in enumerate(pictures):
            seeds, where = (seed, stream, i), f"{split} patches of {title}"
            sets[split]["ab"[i]] = PatchDomain(pixels, count, scale_max, seeds, where)
    return Dataset(name, sets["train"], sets["test"])


class PatchDomain(Domain):
    """Square patches of one picture; each is a function of the seed and its index alone.

    Args:
        pixels: Picture (H, W, 3).
        count: Number of patches.
        scale_max: Most by which a side is scaled down.
        seed: Seed of the factors and places.
        where: Name of the whole in messages.
    """

    def __init__(
        self, pixels: Pixels, count: int, scale_max: float, seed: tuple[int, ...], where: str
    ) -> None:
        super().__init__([f"{index:06d}.png" for index in range(count)], where)
        self._scale_max, self._seed = scale_max, seed
        # Pillow scales 16 bits as floats, one channel at a time.
        parts = np.moveaxis(pixels.astype(np.float32), -1, 0) if pixels.dtype == np.uint16 else None
        self._images = [Image.fromarray(one) for one in ([pixels] if parts is None else parts)]

    @property
    def _size(self) -> tuple[int, int]:
        return self._images[0].size

    def read(self, index: int, side: int | None = None) -> Pixels:
        """Patch (side, side, 3); without `side`, 64."""
        side = side or 64
        random = np.random.default_rng(np.random.SeedSequence((*self._seed, index)))
        shares = random.uniform(1 / self._scale_max, 1, 2)
        scaled = [max(side, round(n * share)) for n, share in zip(self._size, shares, strict=True)]
        left, top = _cell(scaled, side, index, random)
        # Only what the patch shows is scaled, to the same pixels as if the whole picture were.
        box = [
            (start + corner) * length / new
            for corner in (0, side)
            for start, length, new in zip((left, top), self._size, scaled, strict=True)
        ]
        how = (side, side), Image.Resampling.BILINEAR, tuple(box)
        patches = [np.asarray(image.resize(*how)) for image in self._images]
        return patches[0] if len(patches) == 1 else np.rint(np.dstack(patches)).astype(np.uint16)

    def digest(self) -> str:
        """SHA-256 over the picture and the numbers that its patches follow from."""
        numbers = (self._size, len(self), self._scale_max, self._seed)
        content = b"".join(image.tobytes() for image in self._images)
        return hashlib.sha256(repr(numbers).encode() + content).hexdigest()


def _cell(size: list[int], side: int, index: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Left and top of a cell of a grid of squares, randomly placed in a picture (width, height).

    The cells are taken in turns, column by column, so that no part of the picture is seen less.
    """
    columns, rows = (length // side for length in size)
    offset = random.integers(0, [length % side + 1 for length in size])
    column, row = divmod(index % (columns * rows), rows)
    return offset + side * np.array([column, row])
