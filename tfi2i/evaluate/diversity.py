"""Whether translations copy their input, repeat the training pictures, or are all alike.

The distances are cosine distances of features: 0 for one direction, 1 for a right angle, 2 for
opposite directions. Letters: N and M pictures, D features.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfi2i.errors import InputError
from tfi2i.evaluate.distances import as_features, as_two_sets

Floats = NDArray[np.float64]
BLOCK = 256  # rows whose similarities to all others are in memory at a time
IGNORED_SHARE = 0.1  # of real pictures' distances, below which a condition is called ignored
COPY_DISTANCE = 0.01  # mean |output - input| in 0..1, below which an output is called a copy


def nearest(x: ArrayLike, y: ArrayLike, *, exclude_self: bool = False) -> Floats:
    """The cosine distance (N,) of each row of x (N, D) to its nearest row of y (M, D).

    With `exclude_self`, y has a row for each of x, and each looks for its nearest among the others.

    Raises:
        InputError: shapes that do not fit, numbers that are not finite, or a row of zeros.
    """
    first, second = map(unit_rows, as_two_sets(x, y, fewest=2 if exclude_self else 1))
    if exclude_self and len(first) != len(second):
        raise InputError(
            f"exclude_self takes as many rows of each, and they are {len(first)} and {len(second)}."
        )
    found = np.empty(len(first))
    for start in range(0, len(first), BLOCK):
        similarity = first[start : start + BLOCK] @ second.T
        if exclude_self:
            np.fill_diagonal(similarity[:, start:], -np.inf)
        found[start : start + BLOCK] = 1 - similarity.max(1)
    return np.clip(found, 0, 2)  # rounding goes 1e-16 beyond


def spread(x: ArrayLike) -> float:
    """The mean cosine distance between pairs of different rows of x (N, D): 0 for all alike.

    Exact in O(N D): the square of the rows' sum holds the products of all pairs.

    Raises:
        InputError: fewer than 2 rows, another shape, not finite numbers, or a row of zeros.
    """
    rows = unit_rows(as_features(x, fewest=2))
    count = len(rows)
    similarity = (np.square(rows.sum(0)).sum() - count) / (count * (count - 1))
    return max(0.0, float(1 - similarity))


def mean_l1(pixels: ArrayLike) -> float:
    """The mean |x - y| / 255 between pairs of different pictures of pixels (N, H, W, 3), N > 1.

    With the levels at a place in order, the differences of all their pairs are a weighted sum.
    """
    ordered = np.sort(np.asarray(pixels, np.float32), axis=0)
    count = len(ordered)
    weights = 2 * np.arange(count, dtype=np.float32) - count + 1  # so that equal levels give 0
    sums = np.tensordot(weights, ordered, 1)
    return float(sums.mean(dtype=np.float64) / (count * (count - 1) / 2) / 255)


def copying_note(l1_to_input: float) -> str | None:
    """Sentence about translations with a mean |output - input| of so small a share of the range."""
    if l1_to_input >= COPY_DISTANCE:
        return None
    return (
        f"the translations are copies of their inputs (distance {l1_to_input:.3f} of the "
        "range): the translator changes nothing, and a low KID only says that the domains are "
        "alike; lower the weights of the losses that hold on to the input, such as the cycle's"
    )


def memorising_note(fake: float, real: float) -> str | None:
    """Sentence about translations that repeat training pictures of the target.

    Args:
        fake: Median distance of translations to the nearest training picture.
        real: Figure of real test pictures.
    """
    if fake >= real / 2:
        return None
    return (
        f"the translations are much nearer to training pictures ({fake:.3f}) than real test "
        f"pictures are ({real:.3f}): the translator repeats what it was trained on, and its KID "
        "looks better than it is; train with more pictures or go back to an earlier checkpoint"
    )


def diversity_note(fake: float, real: float) -> str | None:
    """Sentence about translations of a `spread` far below that of real pictures."""
    if fake >= real / 2:
        return None
    return (
        f"the translations are much more alike (spread {fake:.3f}) than real pictures are "
        f"({real:.3f}): the generator has collapsed to a few answers; go back to an earlier "
        "checkpoint or lower compile.learning_rate"
    )


def ignored_note(condition: str, fake: float, real: float) -> str | None:
    """Sentence about a condition on which outputs hardly depend.

    Args:
        condition: Name of the condition.
        fake: Mean distance between outputs of one picture under several of its values.
        real: Mean distance between real pictures of the target.
    """
    if fake >= IGNORED_SHARE * real:
        return None
    return (
        f"the {condition} is ignored: outputs of one picture under several values differ by "
        f"{fake:.3f}, and real pictures by {real:.3f}; raise the weight of the loss that ties "
        f"outputs to the {condition}"
    )


def unit_rows(features: Floats) -> Floats:
    """Features (N, D), each row scaled to length 1.

    Raises:
        InputError: a row of zeros.
    """
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    if not lengths.all():
        raise InputError(
            f"The features in row {lengths.argmin()} are all 0 and have no direction; look at the "
            "pictures and weights they come from."
        )
    return features / lengths
