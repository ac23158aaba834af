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


def as_batch(layout: Batch, data: Any, image_size: int, name: str) -> dict[str, tf.Tensor]:
    """The arrays of a batch by key, from a dict or a tuple in the layout's order.

    Args:
        layout: Layout that the system declares.
        data: Batch as Keras hands it to a step.
        image_size: Side of the images.
        name: Name of the system, for messages.

    Raises:
        ValueError: Other keys, ranks, sizes or types than the layout's.
    """
    required = layout.images if layout.layout == "single" else layout.keys
    while isinstance(data, list | tuple):
        data = [one for one in data if one is not None]
        if len(data) != 1:
            break
        data = data[0]
    if not isinstance(data, Mapping):
        values = data if isinstance(data, list | tuple) else [data]
        if len(values) not in (len(required), len(layout.keys)):
            raise ValueError(
                f"{name} takes batches of {_listed(layout.keys)}, as a dict or as a tuple in this "
                f"order; got {len(values)} {'array' if len(values) == 1 else 'arrays'}."
            )
        data = dict(zip(layout.keys, values, strict=False))
    missing = [key for key in required if key not in data]
    if missing:
        raise ValueError(
            f"{name} takes batches of {_listed(layout.keys)}; got a dict of "
            f"{_listed(list(data)) or 'nothing'}, which lacks {_listed(missing)}."
        )
    batch = {key: tf.convert_to_tensor(value) for key, value in data.items()}
    leading = (None,) * (1 if layout.updates == 1 else 2)
    for key in layout.images:
        image = batch[key]
        if not image.dtype.is_floating:
            raise ValueError(
                f"{name} takes images of floating point in [-1, 1]; {key} holds "
                f"{image.dtype.name}: rescale it by tf.cast(x, tf.float32) / 127.5 - 1."
            )
        wanted = tf.TensorShape([*leading, image_size, image_size, 3])
        if not image.shape.is_compatible_with(wanted):
            raise ValueError(
                f"{name} takes images of shape {_shown(wanted)}; {key} has {_shown(image.shape)}. "
                "Batch the data set, resize the images, or give image_size to the constructor."
            )
        batch[key] = tf.ensure_shape(image, wanted)
    return batch


class Guard:
    """Looks at the range of the first batches of a data set of any kind.

    Attributes:
        problem: Sentence on values that are no images in [-1, 1]; None: they are.

    Args:
        name: Name of the system, for messages.
    """

    def __init__(self, name: str):
        self.name = name
        self.problem: str | None = None
        self._seen = 0

    def watched(self, x: Any) -> Any:
        """What `x` is, each of its first batches looked at before it is trained on.

        Raises:
            ValueError: Arrays hold values that are no images in [-1, 1].
        """
        if x is None:
            return None
        if isinstance(x, tf.data.Dataset):
            return x.map(self._look_in_graph)
        if isinstance(x, types.GeneratorType):
            first = itertools.islice(x, LOOKED_AT)
            return (one for one in itertools.chain(map(self._look, first), x))
        if isinstance(x, keras.utils.PyDataset):
            self._look(x[0])
        elif not isinstance(x, tf.distribute.DistributedDataset):
            self._look(tf.nest.map_structure(lambda one: one[:LOOKED_AT], x))
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

    def _look_in_graph(self, *batch: Any) -> Any:
        images = [one for one in tf.nest.flatten(batch) if _is_image(one)]
        ranges = [tf.stack([tf.reduce_min(one), tf.reduce_max(one)]) for one in images]
        with tf.control_dependencies([tf.numpy_function(self._judge, ranges, [])]):
            batch = tf.nest.map_structure(tf.identity, batch)
        return batch[0] if len(batch) == 1 else batch

    def _look(self, batch: Any) -> Any:
        images = [np.asarray(one) for one in tf.nest.flatten(batch) if _is_image(one)]
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


def _is_image(value: Any) -> bool:
    dtype = tf.as_dtype(value.dtype) if hasattr(value, "dtype") else tf.string
    return dtype.is_floating and (
        value.shape.rank if hasattr(value.shape, "rank") else value.ndim
    ) in (None, 4, 5)


def _listed(names: Any) -> str:
    return ", ".join(map(str, names))


def _shown(shape: tf.TensorShape) -> str:
    if shape.rank is None:
        return "an unknown rank"
    letters = ["N" if side is None else str(side) for side in shape]
    return f"({', '.join(letters)})"
