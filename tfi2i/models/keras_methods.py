"""Keras' own methods for systems of several networks: fit, evaluate, train_on_batch, save."""

import functools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, ClassVar

import keras
import tensorflow as tf

from tfi2i.data.batches import Batch
from tfi2i.models.users_data import Guard, as_batch


def _behind_its_batch(method: Callable[..., Any]) -> Callable[..., Any]:
    """Makes `train_step` take what Keras hands it, and do nothing before the batch is there.

    At the end of a data set of unknown length, Keras runs a step without a batch. What needs no
    data (counters, power iterations, random numbers) would run in it.
    """

    @functools.wraps(method)
    def train_step(self, data):
        batch = self.as_batch(data)
        with tf.control_dependencies(list(batch.values())):
            return method(self, batch)

    return train_step


class KerasMethods(keras.Model):
    """A keras.Model that takes batches of a layout, and says in a sentence what is wrong with them.

    Attributes:
        batch: Layout of a batch; its images are (N, H, W, 3) float32 in [-1, 1].
        image_shapes: Shapes (H, W, C) of the images by key.
        trackers: Running means of the losses by name.
    """

    batch: ClassVar[Batch]
    image_shapes: Any
    optimizers: dict[str, keras.optimizers.Optimizer]
    trackers: dict[str, keras.metrics.Mean]

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if "train_step" in cls.__dict__:
            cls.train_step = _behind_its_batch(cls.__dict__["train_step"])

    def as_batch(self, data: Any) -> dict[str, tf.Tensor]:
        """The arrays of a batch by key, from a dict or a tuple in the layout's order.

        Raises:
            ValueError: Other keys, ranks, sizes or types than the layout's.
        """
        return as_batch(self.batch, data, self.image_shapes, type(self).__name__)

    def _guard(self) -> Guard:
        return Guard(self.batch, self.image_shapes, type(self).__name__)

    def fit(self, x=None, y=None, *args, validation_data=None, shuffle: bool = False, **kwargs):
        """Keras' `fit` on batches of `batch`'s layout, as dicts or as tuples in its order.

        The order of examples is the data set's, so `shuffle` is off. Callbacks that wait for a loss
        to get better know that smaller is better.

        Raises:
            ValueError: A batch of another layout, or images that do not lie in [-1, 1].
        """
        names = {mean.name for mean in self.metrics}
        for callback in tf.nest.flatten(kwargs.get("callbacks") or []):
            watched = str(getattr(callback, "monitor", "")).removeprefix("val_")
            if getattr(callback, "mode", None) == "auto" and watched in names:
                callback.mode = "min"
        guard = self._guard()
        with guard.explaining():
            kwargs |= {"validation_data": guard.watched(validation_data), "shuffle": shuffle}
            return super().fit(guard.watched(x if y is None else (x, y)), None, *args, **kwargs)

    def evaluate(self, x=None, y=None, *args, **kwargs):
        """Keras' `evaluate`: the mean errors of `test_step`; data are as in `fit`."""
        guard = self._guard()
        with guard.explaining():
            return super().evaluate(
                guard.watched(x if y is None else (x, y)), None, *args, **kwargs
            )

    def train_on_batch(self, x, y=None, *args, **kwargs):
        """Keras' `train_on_batch`: one step on one batch, as in `fit`."""
        x = x if y is None else (x, y)
        return super().train_on_batch(self._guard().watched(x), None, *args, **kwargs)

    def reconstruction_names(self) -> tuple[str, ...]:
        """Names of the errors that `reconstructions` gives."""
        return ()

    def reconstructions(self, batch: dict[str, tf.Tensor]) -> dict[str, Any]:
        """Mean absolute errors of pictures whose truth a batch holds, by name."""
        raise ValueError(f"{type(self).__name__} reconstructs nothing; judge it by tfi2i evaluate.")

    def test_step(self, data):
        batch = self.as_batch(data)
        if self.batch.updates > 1:
            batch = {key: tf.reshape(one, (-1, *one.shape[2:])) for key, one in batch.items()}
        means = self._test_means.by_name
        with tf.control_dependencies(list(batch.values())):
            errors = self.reconstructions(batch)
            count = tf.shape(batch[self.batch.images[0]])[0]
            for name, error in (errors | {"loss": tf.add_n(list(errors.values()))}).items():
                means[name].update_state(error, sample_weight=count)
            return {name: mean.result() for name, mean in means.items()}

    @property
    def metrics(self):
        """The running means of the losses, and those of `evaluate`; Keras resets them."""
        tested = self._test_means.by_name.values() if self.optimizers else ()
        return [*self.trackers.values(), *tested]

    def make_test_means(self) -> None:
        """Makes the running means that `test_step` reports."""
        means = {name: keras.metrics.Mean(name=name) for name in self.reconstruction_names()}
        # In a namespace, which Keras does not save as a part of the model.
        self._test_means = SimpleNamespace(by_name=means | {"loss": keras.metrics.Mean("loss")})

    def save(self, filepath, *args, **kwargs):
        """Keras' `save`, to a `.keras` file.

        Raises:
            ValueError: A `.h5` file, which holds no model of this kind.
        """
        if str(filepath).endswith((".h5", ".hdf5")):
            raise ValueError(
                f"{filepath}: a system is saved whole to a .keras file only; name one, or use "
                "save_weights for a .weights.h5 file."
            )
        return super().save(filepath, *args, **kwargs)
