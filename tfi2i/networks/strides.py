"""Number of which the sides of a network's pictures are multiples: asked of the network itself."""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import keras
import tensorflow as tf

USUAL_MULTIPLE = 4
"""Number of which the sides of a network are multiples that does not tell."""
LARGEST_MULTIPLE = 64
"""A sidecar that asks for more would pad pictures beyond all sense."""
PROBED_SIDE = 2**10 * 3 * 5  # a multiple of all strides


def multiple_of(translator: keras.Model) -> int:
    """Returns the number of which a translator's free sides are multiples: its strides' product.

    By how much its maps grow with the picture, the graph itself tells it, also when it comes from a
    file. `USUAL_MULTIPLE` if it does not, and for a network of fixed size.
    """
    if None not in translator.inputs[0].shape[1:3]:
        return USUAL_MULTIPLE
    try:
        small, large = (_map_sides(translator, times * PROBED_SIDE) for times in (1, 2))
    except (ValueError, tf.errors.OpError):  # sides that do not fit together
        return USUAL_MULTIPLE
    if None in small or None in large:  # some layer does not know the shape of its output
        return USUAL_MULTIPLE
    growths = (Fraction(b - a, PROBED_SIDE) for a, b in zip(small, large, strict=True))
    return math.lcm(*(growth.denominator for growth in growths))


def _map_sides(translator: keras.Model, side: int) -> list[Any]:
    """Heights and widths of all maps (N, h, w, C) in a network that is given a square picture."""
    sides: list[Any] = []

    def shaped(operation: Any) -> Callable[..., Any]:
        graph = getattr(operation, "_functional", operation)  # of a Sequential model
        if hasattr(graph, "_run_through_graph"):  # the hook that Keras computes shapes with itself
            return lambda inputs, **options: graph._run_through_graph(inputs, shaped)

        def call(*inputs: Any, **options: Any) -> Any:
            answer = operation.compute_output_spec(*inputs, **options)
            maps = [one.shape for one in keras.tree.flatten(answer) if len(one.shape) == 4]
            sides.extend(length for shape in maps for length in shape[1:3])
            return answer

        return call

    image, *extra = translator.inputs
    picture = keras.KerasTensor((None, side, side, image.shape[-1]), image.dtype)
    shaped(translator)([picture, *extra])
    return sides
