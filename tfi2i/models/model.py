"""What every system is: a keras.Model with named losses, its own optimizers and translators."""

import contextlib
import inspect
from collections.abc import Iterator
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from tfi2i.pictures import tiles


@contextlib.contextmanager
def _precision(policy: Any) -> Iterator[None]:
    """Builds the layers inside under `policy`."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _keywords(function: Any) -> list[str]:
    """The keyword-only arguments of a function: those a user configures."""
    parameters = inspect.signature(function).parameters.values()
    return [p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]


class ImageTranslator(keras.Model):
    """The contract of a system; the order of its updates stands in its own `train_step`.

    A subclass keeps each keyword of `__init__` and `compile` as the attribute of the same name, so
    that saving and loading record the arguments that were passed. It builds its networks inside
    `with self.precision():`, and names those which make up its translators.

    Attributes:
        loss_names: what `train_step` reports, in order; the prefix names the optimizer.
        batch_keys: the keys of a batch, each (N, H, W, 3) float32 in [-1, 1].
        directions: what `translator` takes.
        inference_networks: the attributes that translators are made of, for `ema_decay`.
        smoke: constructor arguments of the smallest sensible system, for tests.
    """

    loss_names: ClassVar[tuple[str, ...]] = ()
    batch_keys: ClassVar[tuple[str, ...]] = ("a", "b")
    directions: ClassVar[tuple[str, ...]] = ("a2b", "b2a")
    inference_networks: ClassVar[tuple[str, ...]] = ()
    smoke: ClassVar[dict[str, Any]] = {}
    total_steps: int

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.optimizers: dict[str, keras.optimizers.Optimizer] = {}
        self.averages: dict[str, keras.Model] = {}
        self._predictors: dict[str, Any] = {}
        self.trackers = {name: keras.metrics.Mean(name=name) for name in self.loss_names}
        self.step_counter = self.add_weight(
            name="step_counter", shape=(), dtype="int64", initializer="zeros", trainable=False
        )
        # State, so that a resumed training draws what it would have drawn.
        self.seed = self.add_weight(
            name="seed", shape=(), dtype="int32", initializer="zeros", trainable=False
        )
        self.seed.assign(np.random.randint(2**31 - 1))  # follows keras.utils.set_random_seed

    def precision(self) -> contextlib.AbstractContextManager[None]:
        """The scope in which a system builds its networks: its own dtype policy."""
        if self.dtype_policy.variable_dtype not in ("float32", "float64"):
            raise ValueError(
                "dtype must be float32, float64, mixed_float16 or mixed_bfloat16, received "
                f"dtype={self.dtype_policy.name!r}: weights in half precision do not train."
            )
        return _precision(self.dtype_policy)

    def build(self, input_shape=None):
        """Nothing: networks are built in `__init__`."""
        self.built = True

    # Saving

    def get_config(self):
        arguments = {name: getattr(self, name) for name in _keywords(type(self).__init__)}
        return {**arguments, "name": self.name, "dtype": self.dtype_policy.name}

    @classmethod
    def from_config(cls, config):
        return cls(**config)

    def get_compile_config(self):
        if not self.optimizers:
            return {}  # not compiled
        return {name: getattr(self, name) for name in _keywords(type(self).compile)}

    def compile_from_config(self, config):
        self.compile(**config)

    # Training

    def optimizer_variables(self) -> dict[str, list[Any]]:
        """The trainable variables of each optimizer, by the optimizer's name."""
        raise NotImplementedError

    def prepare_training(self, make_optimizer, ema_decay: float | None) -> None:
        """Gives every group of variables an optimizer and its slots, and makes the averages.

        Args:
            make_optimizer: a new optimizer for the name of a group of variables.
            ema_decay: 0..1, the decay of the average of the translators' weights; None: no average.
        """
        if ema_decay is not None and not 0 < ema_decay < 1:
            raise ValueError(f"ema_decay must lie between 0 and 1, received ema_decay={ema_decay}.")
        super().compile(optimizer=None, jit_compile=False)
        scaled = self.dtype_policy.name == "mixed_float16"
        optimizers = {}
        for name, variables in self.optimizer_variables().items():
            optimizer = make_optimizer(name)
            if scaled:  # half precision underflows without it
                optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
            optimizer.build(variables)
            optimizers[name] = optimizer
        self.optimizers = optimizers
        self._predictors = {}
        self.averages = {}
        if ema_decay is not None:
            self.averages = {name: self._copy(name) for name in self.inference_networks}

    def _copy(self, name: str) -> keras.Model:
        network = getattr(self, name)
        with self.precision():
            copy = keras.models.clone_model(network)
        copy.set_weights(network.get_weights())
        copy.trainable = False
        return copy

    def fit(self, *args, shuffle: bool = False, **kwargs):
        """Keras' `fit`; the order of examples is the data set's, so `shuffle` is off."""
        return super().fit(*args, shuffle=shuffle, **kwargs)

    def minimize(self, name: str, loss, tape: tf.GradientTape) -> None:
        """One update of the variables of optimizer `name`, and of no others."""
        variables = self.optimizer_variables()[name]
        optimizer = self.optimizers[name]
        scale = optimizer.scale_loss(tf.ones_like(loss))
        gradients = tape.gradient(loss, variables, output_gradients=scale)
        optimizer.apply(gradients, variables)

    def draw_seed(self, stream: int):
        """The seed (2,) of `tf.random.stateless_*` for one of the draws of this step.

        Args:
            stream: 0 to 15, another one for every draw of a step.
        """
        step = tf.convert_to_tensor(self.step_counter) * 16 + stream
        return tf.stack([tf.cast(self.seed, tf.int64), step])

    def finish_step(self, losses: dict[str, Any]) -> dict[str, Any]:
        """Ends a step: counts it, updates the averages, and returns the means to report."""
        if tuple(losses) != self.loss_names:
            raise ValueError(f"Expected the losses {self.loss_names}, received {tuple(losses)}.")
        self.step_counter.assign_add(1)
        for name, average in self.averages.items():
            self._update_average(average, getattr(self, name))
        for name, value in losses.items():
            self.trackers[name].update_state(value)
        return {name: tracker.result() for name, tracker in self.trackers.items()}

    def _update_average(self, average: keras.Model, network: keras.Model) -> None:
        # State that is not trained (spectral norm's vectors) is copied: its average means nothing.
        trained = {id(variable) for variable in network.trainable_variables}
        for kept, new in zip(average.variables, network.variables, strict=True):
            if id(new) in trained:
                kept.assign_sub((1 - self.ema_decay) * (kept - new))
            else:
                kept.assign(new)

    @property
    def metrics(self):
        """The running means of the losses; Keras resets them at each epoch."""
        return list(self.trackers.values())

    @property
    def step(self) -> int:
        """How many training steps this system has made."""
        return int(self.step_counter.numpy())

    # Use

    def inference_network(self, name: str) -> keras.Model:
        """A network as it is used after training: its average where one is kept."""
        return self.averages.get(name, getattr(self, name))

    def translator(self, direction: str = "a2b") -> keras.Model:
        """A functional model, image (N, H, W, 3) in [-1, 1] -> image, without training's parts.

        It shares its variables with this system: save or clone it to keep it.
        """
        raise NotImplementedError

    def extra_inputs(self, count: int, seed: int) -> dict[str, np.ndarray]:
        """Typical values (count, ...) of what translators take besides the picture, by name.

        Such as styles of N(0, 1) or one-hot labels, float32; an export is measured with them. A
        translator takes them as a list, the picture first, by `keras.Input`s of those names.

        Args:
            count: how many of each.
            seed: the same seed draws the same values.
        """
        return {}

    def predictor(self, direction: str = "a2b"):
        """The translator as a compiled function, kept; it follows the weights as they train."""
        if direction not in self._predictors:
            translator = self.translator(direction)
            # One graph for any number of images: with one of its own for the number that comes
            # first, a resumed training would round differently.
            image = tf.TensorSpec(translator.input_shape, translator.input.dtype)
            self._predictors[direction] = tf.function(translator, input_signature=[image])
        return self._predictors[direction]

    def attention(self, image, direction: str = "a2b"):
        """Where the system looks: (N, H, W, 3) -> (N, h, w), unscaled; None without attention."""
        self._check_direction(direction)

    def translate(self, pixels: np.ndarray, direction: str = "a2b") -> np.ndarray:
        """Translates one picture (H, W, 3) or several of one size (N, H, W, 3), uint8 0..255.

        Any size; a big picture is done in overlapping tiles. Returns the same shape, uint8.
        """
        if pixels.dtype != np.uint8 or pixels.ndim not in (3, 4) or pixels.shape[-1] != 3:
            raise ValueError(
                "Expected uint8 pixels of shape (H, W, 3) or (N, H, W, 3), "
                f"received {pixels.dtype} of shape {pixels.shape}."
            )
        translate = tiles.PictureTranslator(self.translator(direction))
        if pixels.ndim == 3:
            return translate(pixels)
        return np.stack([translate(one) for one in pixels])

    def _check_direction(self, direction: str) -> None:
        if direction not in self.directions:
            raise ValueError(
                f"direction must be one of {', '.join(self.directions)}, received {direction!r}."
            )
