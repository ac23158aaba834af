"""The contract of a system: a keras.Model with named losses, its own optimizers and networks."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray

from tfi2i.conditions import BOTH_WAYS, Condition, Direction, between, values_of
from tfi2i.data.batches import Batch
from tfi2i.models.arguments import (
    KERAS_OPTIONS,
    checked_channels,
    checked_size,
    keeping,
    keywords_of,
)
from tfi2i.models.keras_methods import KerasMethods
from tfi2i.models.reconstruction import names_of, reconstructions
from tfi2i.networks.ends import in_channels
from tfi2i.optimizers import Optimizers, of_users
from tfi2i.pictures import tiles
from tfi2i.pictures.pixels import in_order
from tfi2i.pictures.sizes import Size, height_and_width


def summed(terms: Mapping[str, Any], name: str) -> Any:
    """The sum of the terms whose names begin with `name` and an underscore."""
    return tf.add_n([value for key, value in terms.items() if key.startswith(f"{name}_")])


def trainable(*networks: keras.Model) -> list[Any]:
    """The trainable variables of networks, in their order."""
    return [variable for network in networks for variable in network.trainable_variables]


class GenerativeModel(KerasMethods):
    """The training half of a system; the order of its updates stands in its own `train_step`.

    Each keyword of `__init__` and `compile` is kept as the attribute of its name, so that saving
    and loading record the arguments that were passed. A subclass builds its networks inside
    `with self.precision():`, and names those which make up the networks it hands out.

    `compile` also takes Keras' `jit_compile`, `steps_per_execution` and `run_eagerly`, and
    `optimizer`: one, of which every group of variables gets a copy, or a dict of one a group.
    Its `learning_rate` may be a schedule of Keras, which is then followed as it is.

    Attributes:
        loss_names: Names that `train_step` reports, in order; the prefix names the optimizer.
        discriminator_terms: Number of pairs of a term on real images and one on fakes, by the names
            of the losses that they are summed in.
        batch: Layout of a batch; its images are (N, H, W, C) float32 in [-1, 1].
        directions: Ways from domain to domain that `network` takes.
        conditions: Inputs of its networks besides the picture.
        inference_networks: Attributes that networks are made of, for `ema_decay`.
        smoke: Constructor arguments of the smallest sensible system, for tests.
    """

    loss_names: ClassVar[tuple[str, ...]] = ()
    discriminator_terms: ClassVar[dict[tuple[str, ...], float]] = {}
    batch: ClassVar[Batch] = Batch("unpaired")
    directions: Any = BOTH_WAYS  # a tuple, or a property where the domains are an argument
    conditions: Any = ()
    inference_networks: ClassVar[tuple[str, ...]] = ()
    smoke: ClassVar[dict[str, Any]] = {}
    image_size: int | Size
    channels: Any = 3  # a number, or one by the name of a domain
    total_steps: int

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        for name in ("__init__", "compile"):
            if name in cls.__dict__:
                setattr(cls, name, keeping(cls.__dict__[name]))

    def __init__(self, **kwargs):
        passed = self.__dict__.pop("_passed", {})
        super().__init__(**kwargs)
        self.autocast = False  # `call` gives its networks float32, which cast by themselves
        self._keep(passed)
        if "channels" in passed:
            names = {name for way in self.directions for name in (way.source, way.target)}
            self.channels = checked_channels(self.channels, names)
        self.optimizers: dict[str, keras.optimizers.Optimizer] = {}
        self.averages: dict[str, keras.Model] = {}
        self._predictors: dict[str, Any] = {}
        self.trackers = {name: keras.metrics.Mean(name=name) for name in self.loss_names}
        # State, so that a resumed training draws what it would have drawn.
        number = functools.partial(self.add_weight, (), initializer="zeros", trainable=False)
        self.step_counter = number(name="step_counter", dtype="int64")
        self.seed = number(name="seed", dtype="int32")
        self.seed.assign(np.random.randint(2**31 - 1))  # follows keras.utils.set_random_seed

    def require_image_size(self, least: int, reason: str) -> None:
        """Raises ValueError unless the sides of images are multiples of 4 and not smaller."""
        if any(side % 4 or side < least for side in self.sides):
            raise ValueError(
                f"image_size must be a multiple of 4 and at least {least} for {reason}, received "
                f"image_size={self.image_size}."
            )

    def require_multiple(self, divisor: int, reason: str) -> None:
        """Raises ValueError unless the sides of images are multiples of a number."""
        if any(side % divisor for side in self.sides):
            raise ValueError(
                f"image_size must be a multiple of {divisor} for {reason}, received "
                f"image_size={self.image_size}."
            )

    def require_least(self, least: int, reason: str) -> None:
        """Raises ValueError if a side of images is smaller."""
        if min(self.sides) < least:
            raise ValueError(
                f"image_size must be at least {least} for {reason}, received "
                f"image_size={self.image_size}."
            )

    @property
    def sides(self) -> Size:
        """Height and width of the training images."""
        return height_and_width(self.image_size)

    @property
    def image_shapes(self) -> dict[str, tuple[int, int, int]]:
        """Shapes (H, W, C) of the images of a batch by key."""
        own = "ab" if self.batch.layout in ("unpaired", "paired") else ""
        return {
            key: (*self.sides, self.channels_of(key if key in own else None))
            for key in self.batch.images
        }

    def channels_of(self, domain: str | None = None) -> int:
        """Channels of the pictures of a domain; None, or any: of all domains, which are alike."""
        if isinstance(self.channels, int):
            return self.channels
        return self.channels[domain] if domain in self.channels else max(self.channels.values())

    def as_sources(self, image_a, image_b) -> tuple[Any, Any]:
        """Images of a and b as the translators of the other way take them: in its channels.

        For translations of an image into its own domain: where the channels differ, grey is
        repeated, and colour goes in as its luminance.
        """
        of_a, of_b = self.channels_of("a"), self.channels_of("b")
        return in_channels(image_a, of_b), in_channels(image_b, of_a)

    def _keep(self, passed: Mapping[str, Any]) -> None:
        for name, value in passed.items():
            setattr(self, name, tuple(value) if isinstance(value, list) else value)
        if "image_size" in passed:
            self.image_size = checked_size(self.image_size)

    @contextlib.contextmanager
    def precision(self) -> Iterator[None]:
        """The scope in which a system builds its networks: its own dtype policy."""
        if self.dtype_policy.variable_dtype not in ("float32", "float64"):
            raise ValueError(
                "dtype must be float32, float64, mixed_float16 or mixed_bfloat16, received "
                f"dtype={self.dtype_policy.name!r}: weights in half precision do not train."
            )
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(self.dtype_policy)
        try:
            yield
        finally:
            keras.config.set_dtype_policy(before)

    def build(self, input_shape=None):
        """Nothing: networks are built in `__init__`."""
        self.built = True

    # Saving

    def get_config(self):
        arguments = {name: getattr(self, name) for name in keywords_of(type(self).__init__)}
        if isinstance(arguments.get("channels"), Mapping):
            arguments["channels"] = dict(arguments["channels"])
        return {**arguments, "name": self.name, "dtype": self.dtype_policy.name}

    @classmethod
    def from_config(cls, config):
        return cls(**config)

    def get_compile_config(self):
        if not self.optimizers:
            return {}  # not compiled
        config = {name: getattr(self, name) for name in keywords_of(type(self).compile)}
        options = vars(self.keras_options).items()
        config |= {name: value for name, value in options if value != KERAS_OPTIONS[name]}
        scales = self.optimizer.scales
        return config | ({"rate_scales": scales} if set(scales.values()) - {1.0} else {})

    def compile_from_config(self, config):
        config = dict(keras.saving.deserialize_keras_object(config))
        scales = config.pop("rate_scales", {})
        self.compile(**config)
        self.optimizer.scales = scales

    # Training

    def optimizer_variables(self) -> dict[str, list[Any]]:
        """The trainable variables of each optimizer, by the optimizer's name."""
        raise NotImplementedError

    def prepare_training(self, make_optimizer, ema_decay: float | None) -> None:
        """Gives every group of variables an optimizer and its slots, and makes the averages.

        Args:
            make_optimizer: Maker of a new optimizer for the name of a group of variables.
            ema_decay: Decay, 0..1, of the average of the networks' weights; None: no average.
        """
        groups = self.optimizer_variables()
        options = vars(self.keras_options) | {"optimizer": None}
        if self.keras_options.optimizer is not None:
            make_optimizer = of_users(self.keras_options.optimizer, list(groups)).__getitem__
        super().compile(**options)
        scaled = self.dtype_policy.name == "mixed_float16"
        optimizers = {}
        for name, variables in groups.items():
            optimizer = make_optimizer(name)
            if scaled and not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
                # Half precision underflows without it.
                optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
            optimizer.build(variables)
            optimizers[name] = optimizer
        self.optimizers = optimizers
        self.optimizer = Optimizers(optimizers)
        self.make_test_means()
        self._predictors = {}
        averaged = self.inference_networks if ema_decay is not None else ()
        self.averages = {name: self._copy(getattr(self, name)) for name in averaged}

    def _copy(self, network: keras.Model) -> keras.Model:
        with self.precision():
            copy = keras.models.clone_model(network)
        copy.set_weights(network.get_weights())
        copy.trainable = False
        return copy

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
        """Ends a step: counts it, updates the averages, and returns the means to report.

        Args:
            losses: Terms by name; those that begin with a name of `loss_names` and `_` are summed
                under it.
        """
        losses = self._summed(losses)
        self.step_counter.assign_add(1)
        for name, average in self.averages.items():
            self._update_average(average, getattr(self, name))
        for name, value in losses.items():
            self.trackers[name].update_state(value)
        return {name: tracker.result() for name, tracker in self.trackers.items()}

    def _summed(self, terms: dict[str, Any]) -> dict[str, Any]:
        sums: dict[str, list[Any]] = {name: [] for name in self.loss_names}
        for term, value in terms.items():
            homes = [name for name in self.loss_names if f"{term}_".startswith(f"{name}_")]
            sums.setdefault(max(homes, key=len, default=""), []).append(value)
        if "" in sums or not all(sums.values()):
            raise ValueError(f"Expected the losses {self.loss_names}, received {tuple(terms)}.")
        return {
            name: values[0] if len(values) == 1 else tf.add_n(values)
            for name, values in sums.items()
        }

    def _update_average(self, average: keras.Model, network: keras.Model) -> None:
        # State that is not trained (spectral norm's vectors) is copied: its average means nothing.
        trained = {id(variable) for variable in network.trainable_variables}
        for kept, new in zip(average.variables, network.variables, strict=True):
            if id(new) in trained:
                kept.assign_sub((1 - self.ema_decay) * (kept - new))
            else:
                kept.assign(new)

    @property
    def step(self) -> int:
        """Number of training steps that this system has made."""
        return int(self.step_counter.numpy())

    # Use

    @classmethod
    def directions_of(cls, arguments: Mapping[str, Any]) -> tuple[Direction, ...]:
        """The directions of a system with these constructor arguments, before it is built."""
        if isinstance(cls.directions, tuple):
            return cls.directions
        default = keywords_of(cls.__init__)["domains"].default
        return between(tuple(arguments.get("domains", default)))

    def direction(self, name: str | None = None) -> Direction:
        """The direction of a name; None: the first.

        Raises:
            ValueError: The system has none of that name.
        """
        for direction in self.directions:
            if name in (None, direction.name):
                return direction
        raise ValueError(
            f"direction must be one of {', '.join(map(str, self.directions))}, received {name!r}."
        )

    def inference_network(self, name: str) -> keras.Model:
        """A network as it is used after training: its average where one is kept."""
        return self.averages.get(name, getattr(self, name))

    def network(self, direction: str | None = None) -> keras.Model:
        """A functional model of a direction, without training's parts: all that leaves the system.

        Inputs: `image` (N, H, W, 3) in [-1, 1], absent in a direction without a source, then the
        conditions by name. Output: an image. It shares its variables with this system: save or
        clone it to keep it. This one is of the generator of the direction's domains, `gen_ab`,
        whose first output is the image; a system whose networks are others has its own.
        """
        way = self.direction(direction)
        gen = self.inference_network(f"gen_{way.source}{way.target}")
        image = keras.Input(gen.input_shape[1:], name="image", dtype=gen.input.dtype)
        translation = keras.tree.flatten(gen(image, training=False))[0]
        return keras.Model(image, translation, name=way.name)

    def conditions_of(self, direction: str | None = None) -> tuple[Condition, ...]:
        """The conditions that are open in a direction's network, in the order of its inputs."""
        known = {condition.name: condition for condition in self.conditions}
        inputs = [tensor.name for tensor in self.network(direction).inputs]
        return tuple(known[name] for name in inputs if name in known)

    def values_of(self, direction: str | None, count: int, seed: int, **chosen: Any):
        """Values (count, ...) of a direction's conditions by name; see `conditions.values_of`."""
        way = self.direction(direction)
        conditions = self.conditions_of(way.name) if self.conditions else ()
        return values_of(conditions, count, seed=seed, target=way.target, **chosen)

    def predictor(self, direction: str | None = None) -> Callable[..., Any]:
        """The network as a compiled function of its inputs, kept; it follows the weights."""
        name = self.direction(direction).name
        if name not in self._predictors:
            network = self.network(name)
            # One graph for any number of images: with one of its own for the number that comes
            # first, a resumed training would round differently.
            signature = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in network.inputs]

            @tf.function(input_signature=signature)
            def predict(*inputs):
                return in_order(network)(*inputs)

            self._predictors[name] = predict
        return self._predictors[name]


class ImageTranslator(GenerativeModel):
    """A system whose directions have a source: a picture goes in and a picture comes out."""

    def call(self, inputs, training=None):
        """Translates images (N, S, S, 3) in [-1, 1] in the first direction.

        Args:
            inputs: Images, or a batch of them with others, of which the source's are taken; values
                of conditions are those of seed 0.
            training: Nothing: it is a translator as after training.
        """
        way = self.direction()
        if isinstance(inputs, Mapping):
            inputs = inputs.get(way.source, inputs.get("image"))
        elif isinstance(inputs, list | tuple):
            inputs = inputs[0]
        return self.through(way, inputs)

    def through(self, way: Direction, images, **given: Any):
        """Images (N, S, S, 3) in a direction; conditions that are not given are those of seed 0."""
        images = tf.cast(images, tf.float32)
        count = tf.shape(images)[0]
        values = self.values_of(way.name, 1, 0)
        row = [given.get(key, tf.repeat(value, count, axis=0)) for key, value in values.items()]
        return self.predictor(way.name)(images, *row)

    def reconstruction_names(self) -> tuple[str, ...]:
        return names_of(self)

    def reconstructions(self, batch: dict[str, tf.Tensor]) -> dict[str, Any]:
        return reconstructions(self, batch)

    def attention(self, image, direction: str | None = None):
        """Where the system looks: (N, H, W, 3) -> (N, h, w), unscaled; None without attention."""
        self.direction(direction)

    def translate(
        self,
        pixels: NDArray[np.uint8],
        direction: str | None = None,
        *,
        seed: int = 0,
        labels: str | None = None,
        given: Mapping[str, ArrayLike] | None = None,
    ) -> NDArray[np.uint8]:
        """Translates one picture (H, W, 3) or several of one size (N, H, W, 3), uint8 0..255.

        Any size; a big picture is done in overlapping tiles. Returns the same shape, uint8, in the
        channels of the target domain.

        Args:
            pixels: Pictures.
            direction: Name of a direction; None: the first.
            seed: Seed of the conditions that are not given.
            labels: Labels by name, such as "winter" or "black_hair,young".
            given: Values of conditions by name, one for all pictures or one for each.

        Raises:
            ValueError: No such direction, pixels or values.
        """
        name = self.direction(direction).name
        taken = self.network(name).inputs[0].shape[-1]
        if pixels.dtype != np.uint8 or pixels.ndim not in (3, 4) or pixels.shape[-1] != taken:
            raise ValueError(
                f"Expected uint8 pixels of shape (H, W, {taken}) or (N, H, W, {taken}), "
                f"received {pixels.dtype} of shape {pixels.shape}."
            )
        several = pixels if pixels.ndim == 4 else pixels[None]
        values = self.values_of(name, len(several), seed, labels=labels, given=given)
        first = {key: value[0] for key, value in values.items()}
        translate = tiles.PictureTranslator(self.network(name), values=first)
        translated = []
        for i, one in enumerate(several):
            translate.values = {key: value[i : i + 1] for key, value in values.items()}
            translated.append(translate(one))
        return np.stack(translated) if pixels.ndim == 4 else translated[0]
