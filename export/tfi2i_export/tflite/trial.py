"""A first run of a stranger's .tflite file in a process of its own, which it may crash.

LiteRT checks that a file is whole and not what its graph does: one with a few bits changed may end
the process. A sidecar's SHA-256 tells that; a file without one is tried here.

`python -m tfi2i_export.tflite.trial FILE [encoder]` is that process. What it refuses is refused
with its words: the same fault may crash another process.
"""

import contextlib
import functools
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from tfi2i.errors import InputError
from tfi2i.processes import run_module
from tfi2i_export.tflite.interpreter import TFLiteTranslator, content_of, opened

SECONDS = 300  # a picture takes seconds at most
REFUSED = 3  # exit code
SIDES = (64, 128)  # of pictures for files of free size
ENCODER = "encoder"
MOST_NUMBERS = 2**26  # of an input of an encoder


def require_alive(path: Path, *, is_encoder: bool = False) -> None:
    """Makes sure that a .tflite file does not crash the process that runs it; the first time only.

    Args:
        path: File.
        is_encoder: True: it reads a value of a picture; otherwise it translates or samples.

    Raises:
        InputError: It does, or takes far too long.
    """
    with contextlib.suppress(OSError):  # what cannot be read is refused in words where it is read
        state = path.stat()
        _require_alive(path, is_encoder, state.st_size, state.st_mtime_ns)


@functools.cache
def _require_alive(path: Path, is_encoder: bool, size: int, time: int) -> None:
    try:
        child = run_module(__name__, path, *([ENCODER] if is_encoder else []), seconds=SECONDS)
    except subprocess.TimeoutExpired as error:
        raise InputError(f"{path} takes over {SECONDS} s for a small picture.") from error
    if child.code < 0:
        raise InputError(f"{path} is damaged: LiteRT {child.end} on it; export it again.")
    if child.code == REFUSED:
        raise InputError(child.output.strip())


def _run(path: Path) -> None:
    """Runs every signature of a file on black pictures, as `TFLitePictureTranslator` would."""
    for name in opened(content_of(path)).get_signature_list():
        translator = TFLiteTranslator(path, threads=os.cpu_count(), signature=name)
        values = {one: np.zeros(shape, np.float32) for one, shape in translator.extra.items()}
        if not translator.takes_picture:
            translator(None, **values)
            continue
        sizes = [translator.size] if translator.size else [(side, side) for side in SIDES]
        for size in sizes:
            translator(np.zeros((1, *size, 3), np.uint8), **values)
        _ = translator.multiple  # found by trying


def _run_encoder(path: Path) -> None:
    """Runs every signature of a file on zeros, as an encoder's reader would."""
    interpreter = opened(content_of(path))
    for name in interpreter.get_signature_list():
        run = interpreter.get_signature_runner(name)
        details = run.get_input_details()
        shapes = {one: [*map(int, tensor["shape"])] for one, tensor in details.items()}
        if any(math.prod(shape) > MOST_NUMBERS for shape in shapes.values()):
            raise InputError(f"{path} is no encoder of tfi2i: its pictures are too large.")
        run(**{one: np.zeros(shape, details[one]["dtype"]) for one, shape in shapes.items()})


if __name__ == "__main__":
    try:
        (_run_encoder if ENCODER in sys.argv[2:] else _run)(Path(sys.argv[1]))
    except InputError as refusal:
        print(refusal)
        sys.exit(REFUSED)
