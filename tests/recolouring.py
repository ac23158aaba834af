"""Best error that a translation of colours alone can reach on pairs."""

import numpy as np
from numpy.typing import NDArray

from tfi2i.errors import InputError
from tfi2i.evaluate.paired import l1
from tfi2i.pictures.pixels import require_pixels


def oracle_recolouring(
    inputs: NDArray[np.uint8], targets: NDArray[np.uint8], *, levels: int = 16
) -> float:
    """The L1 of the best table colour -> colour for test pairs (N, H, W, 3), fitted to themselves.

    No answer that looks at one pixel alone does better at this fineness: what remains of the error
    takes recognising. It sees the truth, so it is a bound and not an answer. Input colours are
    sorted into `levels` steps per channel.

    Raises:
        InputError: an array which is not (N, H, W, 3) uint8, different shapes, or bad levels.
    """
    require_pixels("inputs", inputs)
    require_pixels("targets", targets)
    if inputs.shape != targets.shape:
        raise InputError(f"{inputs.shape} and {targets.shape}; give two of one shape.")
    if not 1 <= levels <= 256:
        raise InputError(f"levels is {levels}; choose from 1 to 256.")
    steps = inputs.reshape(-1, 3).astype(np.int64) * levels // 256
    cell = (steps[:, 0] * levels + steps[:, 1]) * levels + steps[:, 2]
    _, cell, sizes = np.unique(cell, return_inverse=True, return_counts=True)
    middles = np.cumsum(sizes) - sizes + sizes // 2
    error = 0.0
    for truth in targets.reshape(-1, 3).T:
        order = np.lexsort((truth, cell))  # by cell, then by value: a cell's middle is its median
        table = truth[order][middles]
        error += l1(table[cell], truth)
    return error / 3
