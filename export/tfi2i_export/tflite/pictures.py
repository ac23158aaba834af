"""Translates pictures of any size with a .tflite file, whole or in overlapping tiles.

Small pictures are padded by reflection and cropped back; big ones become tiles, blended as in
`tfi2i.pictures.tiles`. One thing is different there: a .tflite file takes the statistics of its
normalisations from each tile and knows nothing of the others, so tiles differ a little in colour.
"""

import functools
import logging
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from tfi2i.errors import InputError
from tfi2i.files import refuse_special
from tfi2i.networks.strides import LARGEST_MULTIPLE, USUAL_MULTIPLE
from tfi2i.pictures.tiles import MINIMUM, Pixels, Size, Tiling, Values, is_tile
from tfi2i_export.inputs import NOTHING_TO_TRANSLATE, require_all
from tfi2i_export.sidecar import Sidecar, verify
from tfi2i_export.tflite.interpreter import TFLiteTranslator, opened
from tfi2i_export.tflite.trial import require_alive

log = logging.getLogger("tfi2i")


class TFLitePictureTranslator(Tiling):
    """Calls a .tflite file on pictures of any size; pixels (H, W, 3) -> (H, W, 3).

    Of a file for several sizes each picture takes the smallest that holds it.

    Args:
        path: File. A sidecar beside it is checked.
        tile: Side of the tiles of a file of free size; pictures larger than one tile are then
            always tiled. Without it, tiles of 512 for pictures above 2^20 pixels. Of a file for
            several sizes, the one to use.
        inputs: Values of the inputs besides the picture by name, for all pictures.
        deep: True for pixels of 16 bits as results; those that go in have 8.

    Raises:
        InputError: The file cannot be read, differs from what its sidecar says, is no translator
            or does not take such tiles; or a value is missing or does not fit.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        tile: int | None = None,
        inputs: Mapping[str, ArrayLike] | None = None,
        deep: bool = False,
    ):
        path = Path(path)
        refuse_special(path)
        sidecar = checked_sidecar(path)
        self._name = path.name
        self._warned = False
        self._deep = deep
        self._translators = _by_size(path, inputs or {}, deep)
        for translator in self._translators.values():
            if not translator.takes_picture:
                raise InputError(f"{path} {NOTHING_TO_TRANSLATE}")
            require_all(inputs or {}, translator.extra, path.name)
        if None not in self._translators:
            multiple = sidecar.multiple if sidecar else USUAL_MULTIPLE
            sizes = [size for size in self._translators if size is not None]
            if tile is not None and (tile, tile) not in sizes:
                known = ", ".join(f"{height} x {width}" for height, width in sizes)
                raise InputError(f"--tile {tile}: {path} only takes {known}; leave --tile out.")
            sizes = [(tile, tile)] if tile is not None else sizes
        else:
            free = self._translators[None]
            multiple = checked_multiple(path, sidecar.multiple if sidecar else free.multiple)
            sizes = []
            if tile is not None and not is_tile(tile, multiple):
                raise InputError(
                    f"--tile {tile}: {path} takes tiles of a multiple of {multiple} pixels from "
                    f"{MINIMUM} on."
                )
        first = next(iter(self._translators.values()))
        super().__init__(sizes, multiple, tile=tile, channels=first.channels)

    def _run(self, pixels: Pixels) -> Values:
        height, width, _ = pixels.shape
        translator = self._translators[(height, width) if self._sizes else None]
        return translator(pixels[None])[0].astype(np.float32)

    def _finished(self, values: Values) -> Pixels:
        whole = np.rint(values)
        if self._deep:
            return np.clip(whole, 0, 65535).astype(np.uint16)
        return np.clip(whole, 0, 255).astype(np.uint8)

    def _whole_size(self, height: int, width: int) -> Size | None:
        size = super()._whole_size(height, width)
        if not self._warned and (size is None or (self._sizes and size != (height, width))):
            self._warned = True
            what = "small pictures are padded to" if size else "big pictures become tiles of"
            rows, columns = size or self._tile
            export = "export a file of free size (--dynamic), or " if self._sizes else ""
            log.warning(
                f"{self._name}: {what} {rows} x {columns}, and the colours of each are decided by "
                f"what is in it, which may show; for even colours {export}translate with the run "
                "itself."
            )
        return size


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


def checked_sidecar(path: Path) -> Sidecar | None:
    """As `sidecar_of`; without one, which knows the file's SHA-256, the file is tried out.

    Raises:
        InputError: As `sidecar_of`, or the file crashes what runs it.
    """
    sidecar = sidecar_of(path)
    if sidecar is None and path.is_file():
        require_alive(path)
    return sidecar


def _by_size(
    path: Path, inputs: Mapping[str, ArrayLike], deep: bool
) -> dict[Size | None, TFLiteTranslator]:
    """A translator for each size that the file has a signature for; None: the one of free size."""
    threads = os.cpu_count()
    made = functools.partial(TFLiteTranslator, path, threads=threads, inputs=inputs, deep=deep)
    first = made()
    names = opened(path.read_bytes(), name=str(path)).get_signature_list()
    translators = [first, *(made(signature=name) for name in names if name != first.signature)]
    return {translator.size: translator for translator in translators}


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
