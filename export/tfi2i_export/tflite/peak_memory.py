"""Memory that a .tflite file needs to translate one picture, in a process of its own.

`python -m tfi2i_export.tflite.peak_memory FILE HEIGHT WIDTH` is that process; it prints MB, or
null.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from tfi2i.errors import InputError
from tfi2i.processes import run_module
from tfi2i.runs.environment import memory_mb
from tfi2i_export.tflite.interpreter import INPUT

SECONDS = 600  # a picture takes seconds at most


def peak_memory_mb(path: Path, size: tuple[int, int]) -> float | None:
    """Memory that loading a file and translating a picture (H, W) adds to a process at its peak.

    With one thread. None: the system does not tell, as only Linux does.

    Raises:
        InputError: LiteRT fails or crashes.
    """
    try:
        child = run_module(__name__, path, *size, seconds=SECONDS)
    except subprocess.TimeoutExpired as error:
        raise InputError(f"{path} takes over {SECONDS} s for {size[0]} x {size[1]}.") from error
    if child.code:
        raise InputError(f"{path} does not run at {size[0]} x {size[1]}: {child.reason}")
    return json.loads(child.output)


def _shape(taken: Any, size: tuple[int, int]) -> tuple[int, ...]:
    """The shape of pictures of a size, of the number and channels that a file takes."""
    count, _, _, channels = map(int, taken)
    return count, *size, channels


def _added(path: Path, size: tuple[int, int]) -> float | None:
    """In this process: the peak after a translation less the one before the file was loaded."""
    from ai_edge_litert.interpreter import Interpreter

    before = memory_mb(peak=True)
    interpreter = Interpreter(model_path=str(path), num_threads=1)  # mapped, as an app does it
    signature = interpreter.get_signature_runner(next(iter(interpreter.get_signature_list())))
    given = {
        name: np.zeros(_shape(one["shape"], size) if name == INPUT else one["shape"], one["dtype"])
        for name, one in signature.get_input_details().items()
    }
    signature(**given)
    after = memory_mb(peak=True)
    return None if before is None or after is None else after - before


if __name__ == "__main__":
    file, height, width = sys.argv[1:]
    print(json.dumps(_added(Path(file), (int(height), int(width)))))
