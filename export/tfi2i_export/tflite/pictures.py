"""Translates pictures of any size with a .tflite file, whole or in overlapping tiles.

Small pictures are padded by reflection and cropped back; big ones become tiles, blended as in
`tfi2i.pictures.tiles`. One thing is different there: a .tflite file takes the statistics of its
normalisations from each tile and knows nothing of the others, so tiles differ a little in colour.
"""

import functools
import logging
import math
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfi2i.errors import InputError
from tfi2i.pictures.tiles import MINIMUM, PIXEL_BUDGET, TILE, Progress, tile_starts, tile_weights
from tfi2i_export.inputs import require_all
from tfi2i_export.sidecar import Sidecar, verify
from tfi2i_export.tflite.interpreter import LARGEST_MULTIPLE, STRIDE, TFLiteTranslator, opened

log = logging.getLogger("tfi2i")

Pixels = NDArray[np.uint8]


class TFLitePictureTranslator:
    """Calls a .tflite file on pictures of any size; pixels (H, W, 3) -> (H, W, 3).

    Of a file for several sizes each picture takes the smallest that holds it.

    Args:
        path: The file. A sidecar beside it is checked.
        tile: Side of the tiles of a file of free size; pictures larger than one tile are then
            always tiled. Without it, tiles of `tfi2i.pictures.tiles.TILE` for pictures above
            `PIXEL_BUDGET`. Of a file for several sizes, the one to use.
        threads: Of the CPU; as many as there are unless given.
        inputs: Values of the inputs besides the picture by name, for all pictures.

    Raises:
        InputError: The file cannot be read, differs from what its sidecar says, is no translator
            or does not take such tiles; or a value is missing or does not fit.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        tile: int | None = None,
        threads: int | None = None,
        inputs: Mapping[str, ArrayLike] | None = None,
    ):
        path = Path(path)
        sidecar = sidecar_of(path)
        translators = _by_size(path, threads or os.cpu_count(), inputs or {})
        for translator in translators.values():
            require_all(inputs or {}, translator.extra, path.name)
        self._name = path.name
        self._free = translators.get(None)
        self._fixed = {size: made for size, made in translators.items() if size is not None}
        self._always = tile is not None
        self._warned = False
        if self._free is None:
            self._multiple = sidecar.multiple if sidecar else STRIDE
            self._fixed = _chosen(path, self._fixed, tile)
            self._tile = max(self._fixed, key=math.prod)
        else:
            self._multiple = checked_multiple(
                path, sidecar.multiple if sidecar else self._free.multiple
            )
            self._tile = _checked_tile(path, tile, self._multiple)

    def __call__(self, pixels: Pixels, progress: Progress | None = None) -> Pixels:
        """The translation of pixels (H, W, 3), of the same shape.

        Raises:
            InputError: These are no pixels, or the file fails on them.
        """
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[-1] != 3 or not pixels.size:
            raise InputError(
                f"Expected uint8 pixels of shape (H, W, 3), received {pixels.dtype} of shape "
                f"{pixels.shape}."
            )
        tell = progress or (lambda done, total: None)
        height, width, _ = pixels.shape
        whole = self._whole(height, width)
        if whole is None:
            return self._tiled(pixels, tell)
        size, translator = whole
        if self._free is None and size != (height, width):
            self._warn("small pictures are padded to", size)
        answer = translator(_padded(pixels, size)[None])[0]
        tell(1, 1)
        return np.ascontiguousarray(answer[:height, :width])

    def _whole(self, height: int, width: int) -> tuple[tuple[int, int], TFLiteTranslator] | None:
        """What a picture is to be padded to and translated by in one piece, or None: use tiles."""
        if self._free is None:
            holding = [size for size in self._fixed if height <= size[0] and width <= size[1]]
            size = min(holding, key=math.prod, default=None)
            return None if size is None else (size, self._fixed[size])
        smallest = _rounded_up(MINIMUM, self._multiple)
        rows, columns = (max(_rounded_up(n, self._multiple), smallest) for n in (height, width))
        if self._always:
            fits = height <= self._tile[0] and width <= self._tile[1]
        else:
            fits = rows * columns <= PIXEL_BUDGET
        return ((rows, columns), self._free) if fits else None

    def _tiled(self, pixels: Pixels, tell: Progress) -> Pixels:
        """A picture that is larger than a tile along an axis; only one band of it is ever float."""
        self._warn("big pictures become tiles of", self._tile)
        height, width, _ = pixels.shape
        translator = self._free or self._fixed[self._tile]
        overlap, grid = self._overlap_and_grid()
        tile_height, tile_width = self._tile
        rows, columns = _rounded_up(height, grid), _rounded_up(width, grid)
        pixels = _padded(pixels, (max(rows, tile_height), max(columns, tile_width)))
        tops = tile_starts(pixels.shape[0], tile_height, overlap, grid)
        lefts = tile_starts(pixels.shape[1], tile_width, overlap, grid)
        down = tile_weights(pixels.shape[0], tile_height, tops, overlap)
        across = tile_weights(pixels.shape[1], tile_width, lefts, overlap)
        result = np.empty_like(pixels)
        band = np.zeros((tile_height, pixels.shape[1], 3), np.float32)  # from the row `top` on
        for i, top in enumerate(tops):
            for j, left in enumerate(lefts):
                tile = pixels[top : top + tile_height, left : left + tile_width]
                weight = down[i][:, None, None] * across[j][None, :, None]
                band[:, left : left + tile_width] += translator(tile[None])[0] * weight
                tell(i * len(lefts) + j + 1, len(tops) * len(lefts))
            below = tops[i + 1] if i + 1 < len(tops) else pixels.shape[0]
            finished = below - top  # rows that no later tile reaches
            result[top:below] = np.clip(np.rint(band[:finished]), 0, 255)
            band = np.concatenate([band[finished:], np.zeros_like(band[:finished])])
        return np.ascontiguousarray(result[:height, :width])

    def _overlap_and_grid(self) -> tuple[int, int]:
        """An eighth of a tile, starting at multiples of the stride, as `tiles` has it."""
        half = min(self._tile) // 2
        overlap = half // 4
        on_grid = _rounded_up(overlap, self._multiple) <= half
        on_grid = on_grid and all(side % self._multiple == 0 for side in self._tile)
        return overlap, self._multiple if on_grid else 1

    def _warn(self, what: str, size: tuple[int, int]) -> None:
        """Says once that the colours of other sizes than the file's may differ."""
        if self._warned:
            return
        self._warned = True
        export = "" if self._free else "export a file of free size (--dynamic), or "
        log.warning(
            "%s: %s %d x %d, and the colours of each are decided by what is in it, which may show; "
            "for even colours %stranslate with the run itself.",
            self._name,
            what,
            *size,
            export,
        )


def sidecar_of(path: Path) -> Sidecar | None:
    """The checked sidecar beside a .tflite file or a version of a SavedModel; None: there is none.

    Raises:
        InputError: It is damaged, or speaks of another file than this one as it is now.
    """
    beside = path.with_suffix(".json")
    if not path.exists() or not beside.exists():
        return None
    sidecar = verify(beside)
    if sidecar.file != path.name:
        raise InputError(f"{beside}: is the sidecar of {sidecar.file}, not of {path.name}.")
    return sidecar


def _by_size(
    path: Path, threads: int | None, inputs: Mapping[str, ArrayLike]
) -> dict[tuple[int, int] | None, TFLiteTranslator]:
    """A translator for each size that the file has a signature for; None: the one of free size."""
    made = functools.partial(TFLiteTranslator, path, threads=threads, inputs=inputs)
    first = made()
    names = list(opened(path.read_bytes(), name=str(path)).get_signature_list())
    rest = [name for name in names if name != first.signature]
    translators = [first, *(made(signature=name) for name in rest)]
    return {translator.size: translator for translator in translators}


def _chosen(
    path: Path, fixed: dict[tuple[int, int], TFLiteTranslator], tile: int | None
) -> dict[tuple[int, int], TFLiteTranslator]:
    """The sizes to use: all, or the one that was asked for."""
    if tile is None:
        return fixed
    if (tile, tile) not in fixed:
        sizes = ", ".join(f"{height} x {width}" for height, width in fixed)
        raise InputError(f"--tile {tile}: {path} only takes {sizes}; leave --tile out.")
    return {(tile, tile): fixed[tile, tile]}


def checked_multiple(path: Path, multiple: int) -> int:
    """The multiple that an artefact's sides are to be of, by its sidecar.

    Raises:
        InputError: It is so large that pictures would be padded beyond all sense.
    """
    if multiple > LARGEST_MULTIPLE:
        raise InputError(
            f"{path}: its sidecar asks for sides that are multiples of {multiple}, and no more "
            f"than {LARGEST_MULTIPLE} makes sense; export it again."
        )
    return multiple


def _checked_tile(path: Path, tile: int | None, multiple: int) -> tuple[int, int]:
    side = _rounded_up(TILE, multiple) if tile is None else tile
    if side < MINIMUM or side % multiple:
        raise InputError(
            f"--tile {side}: {path} takes tiles of a multiple of {multiple} pixels from {MINIMUM} "
            "on."
        )
    return side, side


def _padded(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Pixels (H, W, 3) reflected below and to the right, up to a size, as often as it takes."""
    grow = [(0, wanted - side) for wanted, side in zip(size, pixels.shape, strict=False)]
    return np.pad(pixels, [*grow, (0, 0)], mode="reflect")


def _rounded_up(length: int, multiple: int) -> int:
    return -(-length // multiple) * multiple
