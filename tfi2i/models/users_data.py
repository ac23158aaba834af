"""Checks of the data that a user gives `fit`, `evaluate` and `train_on_batch`.

Keras passes on tuples, arrays and tensors of any type, size and range. A batch of 0..255 would
train without a word, on pictures that the networks can't make.
"""

import itertools
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfi2i.data.batches import Batch

LARGEST = 1.5
"""Largest absolute value of an image: resizing by cubics goes beyond 1."""
LOOKED_AT = 10
"""Number of first batches whose values are looked at."""


Shapes = Mapping[str, tuple[int, int, int]]
"""Shapes (H, W, C) of the images of a batch by key."""


def as_batch(layout: Batch, data: Any, shapes: Shapes, name: str) -> dict[str, tf.Tensor]:
    """The arrays of a batch by key, from a dict or a tuple in the layout's order.

    Args:
        layout: Layout that the system declares.
        data: Batch as Keras hands it to a step.
        shapes: Shapes (H, W, C) of the images by key.
        name: Name of the system, for messages.

    Raises:
        ValueError: Other keys, ranks, sizes or types than the layout's.
    """
    batch = {key: tf.convert_to_tensor(value) for key, value in _by_key(layout, data, name).items()}
    _check(layout, batch, shapes, name)
    for key in layout.images:  # a graph may be made for any size
        shape = batch[key].shape
        leading = shape[:-3] if shape.rank else (None,) * (1 if layout.updates == 1 else 2)
        batch[key] = tf.ensure_shape(batch[key], (*leading, *shapes[key]))
    return batch


def _by_key(layout: Batch, data: Any, name: str) -> dict[str, Any]:
    required = layout.images if layout.layout == "single" else layout.keys
    while isinstance(data, list | tuple):
        data = [one for one in data if one is not None]
        if len(data) != 1:
            break
        data = data[0]
    if not isinstance(data, Mapping):
        values = data if isinstance(data, list) else [data]
        if len(values) not in (len(required), len(layout.keys)):
            raise ValueError(
                f"{name} takes batches of {', '.join(layout.keys)}, as a dict or as a tuple in "
                f"this order; got {len(values)} {'array' if len(values) == 1 else 'arrays'}."
            )
        return dict(zip(layout.keys, values, strict=False))
    missing = [key for key in required if key not in data]
    if missing:
        raise ValueError(
            f"{name} takes batches of {', '.join(layout.keys)}; got a dict of "
            f"{', '.join(map(str, data)) or 'nothing'}, which lacks {', '.join(missing)}."
        )
    return dict(data)


def _check(layout: Batch, batch: Mapping[str, Any], shapes: Shapes, name: str) -> None:
    """Refuses images (arrays, tensors or their specifications) of another type or shape."""
    leading = (None,) * (1 if layout.updates == 1 else 2)
    for key in layout.images:
        wanted = tf.TensorShape([*leading, *shapes[key]])
        dtype, shape = tf.as_dtype(batch[key].dtype), tf.TensorShape(batch[key].shape)
        if not dtype.is_floating:
            raise ValueError(
                f"{name} takes images of floating point in [-1, 1]; {key} holds {dtype.name}: "
                "rescale it by tf.cast(x, tf.float32) / 127.5 - 1."
            )
        if not shape.is_compatible_with(wanted):
            raise ValueError(
                f"{name} takes images of shape {_shown(wanted)}; {key} has {_shown(shape)}: batch "
                "the data set, resize the images, or give image_size to the constructor."
            )


class Guard:
    """Looks at a data set of any kind: at its shapes, and at the range of its first batches.

    Attributes:
        problem: Sentence on values that are no images in [-1, 1]; None: they are.

    Args:
        layout: Layout that the system declares.
        shapes: Shapes (H, W, C) of the images by key.
        name: Name of the system, for messages.
    """

    def __init__(self, layout: Batch, shapes: Shapes, name: str):
        self.layout, self.shapes, self.name = layout, shapes, name
        self.problem: str | None = None
        self._seen = 0

    def watched(self, x: Any) -> Any:
        """Returns `x`, each of whose first batches is looked at before it is trained on.

        Raises:
            ValueError: A batch of another layout, or values that are no images in [-1, 1].
        """
        if x is None or isinstance(x, tf.distribute.DistributedDataset):
            return x
        if isinstance(x, tf.data.Dataset):
            self._check(x.element_spec)
            return x.map(self._look_in_graph)
        if isinstance(x, types.GeneratorType):
            first = map(self._look, itertools.islice(x, LOOKED_AT))
            return (batch for batch in itertools.chain(first, x))  # Keras knows only generators
        self._look(x[0] if isinstance(x, keras.utils.PyDataset) else x)
        return x

    @contextmanager
    def explaining(self) -> Iterator[None]:
        """Turns TensorFlow's error from inside a data set into the guard's sentence."""
        try:
            yield
        except tf.errors.OpError:
            if self.problem is None:
                raise
            raise ValueError(self.problem) from None

    def _check(self, batch: Any) -> list[Any]:
        """The images of a batch, after a look at their types and shapes."""
        by_key = _by_key(self.layout, batch, self.name)
        _check(self.layout, by_key, self.shapes, self.name)
        return [by_key[key] for key in self.layout.images]

    def _look_in_graph(self, *batch: Any) -> Any:
        images = [_by_key(self.layout, batch, self.name)[key] for key in self.layout.images]
        ranges = [tf.stack([tf.reduce_min(one), tf.reduce_max(one)]) for one in images]
        with tf.control_dependencies([tf.numpy_function(self._judge, ranges, [])]):
            batch = tf.nest.map_structure(tf.identity, batch)
        return batch[0] if len(batch) == 1 else batch

    def _look(self, batch: Any) -> Any:
        images = [np.asarray(one[:LOOKED_AT]) for one in self._check(batch)]
        self._judge(*(np.array([one.min(), one.max()]) for one in images if one.size))
        return batch

    def _judge(self, *ranges: np.ndarray) -> None:
        self._seen += 1
        if self._seen > LOOKED_AT or not ranges:
            return
        low = min(float(one[0]) for one in ranges)
        high = max(float(one[1]) for one in ranges)
        if not np.isfinite([low, high]).all():
            wrong, mend = "are not all finite", "leave those out"
        elif max(-low, high) > LARGEST:
            wrong, mend = f"lie in {low:.4g} to {high:.4g}", "rescale 0 to 255 by x / 127.5 - 1"
        elif 0 <= low < high:
            wrong, mend = f"lie in {low:.4g} to {high:.4g}", "rescale 0 to 1 by 2 * x - 1"
        else:
            return
        self.problem = (
            f"{self.name} takes images in [-1, 1], and the values of a batch {wrong}; {mend}."
        )
        raise ValueError(self.problem)


def _shown(shape: tf.TensorShape) -> str:
    if shape.rank is None:
        return "an unknown rank"
    letters = ["N" if side is None else str(side) for side in shape]
    return f"({', '.join(letters)})"
