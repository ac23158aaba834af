"""Stand-in systems that take more than a picture, and data for them; for tests only.

`Seasons` translates between any number of domains, with a style and a label, as StarGAN v2 does;
`Painter` makes pictures from noise and a label; `Tinter` takes a second picture. `register` makes
configurations, runs and the command line know them and their data (`data.source=seasons`).

Shape letters: N pictures, K domains, H W space, S side.
"""

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from tfi2i.conditions import A_TO_B, Condition, between
from tfi2i.data.batches import Batch
from tfi2i.data.domains import DrawnDomain
from tfi2i.models.model import ImageTranslator
from tfi2i.optimizers import CoupledAdam
from tfi2i.samplers.sampler import Sampler

DOMAINS = ("day", "1920s2dusk", "winter")
SHADES = np.array([[0.6, 0.5, -0.2], [-0.2, -0.5, 0.5], [0.0, 0.4, 0.7]], np.float32)
"""Colour of each domain in [-1, 1], which repeats for further ones."""


def shades(count):
    """The colours (K, 3) of so many domains."""
    return SHADES[np.arange(count) % len(SHADES)]


class _Stand:
    """The training that both systems share: one generator, trained by one loss."""

    inference_networks = ("generator",)

    def optimizer_variables(self):
        return {"g": self.generator.trainable_variables}

    def _learn(self, inputs, wanted):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.abs(self.generator(inputs) - wanted))
        self.minimize("g", loss, tape)
        return self.finish_step({"g_l1": loss})


@keras.saving.register_keras_serializable("tests")
class Seasons(_Stand, ImageTranslator):
    """Brings a picture to a domain's colour, brighter or darker by its style.

    Args:
        image_size: side of the training images.
        domains: names of the domains, in the order of the labels.
        style_size: length of a style.
        width: channels of the generator.
    """

    loss_names = ("g_l1",)
    batch = Batch("labelled")
    smoke = {"image_size": 32, "width": 4}

    def __init__(
        self,
        *,
        image_size: int = 32,
        domains: tuple[str, ...] = DOMAINS,
        style_size: int = 8,
        width: int = 8,
        **kwargs,
    ):
        super().__init__(**kwargs)
        with self.precision():
            self.generator = seasons_generator(self.width, self.style_size, len(self.domains))
        self.built = True

    def compile(
        self,
        *,
        learning_rate: float = 1e-2,
        total_steps: int = 20,
        ema_decay: float | None = None,
    ):
        self.prepare_training(lambda name: CoupledAdam(self.learning_rate), self.ema_decay)

    @property
    def directions(self):
        return between(self.domains)

    @property
    def conditions(self):
        style = Condition("style", "style", (self.style_size,), encode=self.style_encoder)
        return style, Condition("label", "label", (len(self.domains),), names=self.domains)

    def train_step(self, batch):
        count = tf.shape(batch["image"])[0]
        style = tf.random.stateless_normal((count, self.style_size), self.draw_seed(0))
        label = batch["target_label"]
        colour = (label @ shades(len(self.domains)))[:, None, None]
        brightness = 0.2 * style[:, :1, None, None]
        wanted = tf.clip_by_value(0.5 * batch["image"] + 0.4 * colour + brightness, -1, 1)
        return self._learn([batch["image"], style, label], wanted)

    def style_encoder(self, target):
        """The network image (N, H, W, 3) -> style (N, style_size), another one for each domain."""
        image = keras.Input((None, None, 3), name="picture")
        place = self.domains.index(target) if target in self.domains else len(self.domains)
        kernel = keras.initializers.RandomNormal(stddev=1.0, seed=place)
        colour = layers.GlobalAveragePooling2D()(image)
        style = layers.Dense(self.style_size, kernel_initializer=kernel, name="read")(colour)
        return keras.Model(image, style, name="style_encoder")

    def network(self, direction=None):
        way = self.direction(direction)
        generator = self.inference_network("generator")
        if way.target is None:
            return generator
        image = keras.Input((None, None, 3), name="image")
        style = keras.Input((self.style_size,), name="style")
        row = np.eye(len(self.domains), dtype=np.float32)[self.domains.index(way.target)]
        label = ops.zeros_like(style[:, :1]) + row
        return keras.Model([image, style], generator([image, style, label]), name="seasons")


def seasons_generator(width, style_size, domains):
    """A network image (N, H, W, 3), style (N, style_size), label (N, K) -> image."""
    image = keras.Input((None, None, 3), name="image")
    style = keras.Input((style_size,), name="style")
    label = keras.Input((domains,), name="label")
    planes = ops.ones_like(image[..., :1]) * ops.reshape(label, (-1, 1, 1, domains))
    x = layers.Conv2D(width, 3, padding="same", name="first")(layers.Concatenate()([image, planes]))
    shift = ops.reshape(layers.Dense(width, name="shift")(style), (-1, 1, 1, width))
    x = ops.leaky_relu(x + shift)
    x = layers.Conv2D(3, 3, padding="same", dtype="float32", name="to_rgb")(x)
    return keras.Model([image, style, label], ops.tanh(x), name="generator")


@keras.saving.register_keras_serializable("tests")
class Painter(_Stand, Sampler):
    """Paints one colour, which a label chooses and a latent code changes.

    Args:
        image_size: side of the pictures, a multiple of 8.
        domains: names of the labels.
        latent_size: length of a latent code.
        width: channels of the generator.
    """

    loss_names = ("g_l1",)
    smoke = {"image_size": 32, "width": 4}

    def __init__(
        self,
        *,
        image_size: int = 32,
        domains: tuple[str, ...] = DOMAINS,
        latent_size: int = 8,
        width: int = 8,
        **kwargs,
    ):
        super().__init__(**kwargs)
        with self.precision():
            self.generator = painter_generator(
                self.image_size, self.width, self.latent_size, len(self.domains)
            )
        self.built = True

    def compile(
        self,
        *,
        learning_rate: float = 1e-2,
        total_steps: int = 20,
        ema_decay: float | None = None,
    ):
        self.prepare_training(lambda name: CoupledAdam(self.learning_rate), self.ema_decay)

    @property
    def conditions(self):
        latent = Condition("latent", "latent", (self.latent_size,))
        return latent, Condition("label", "label", (len(self.domains),), names=self.domains)

    def train_step(self, batch):
        count = tf.shape(batch["image"])[0]
        latent = tf.random.stateless_normal((count, self.latent_size), self.draw_seed(0))
        return self._learn([latent, batch["label"]], batch["image"])

    def network(self, direction=None):
        self.direction(direction)
        return self.inference_network("generator")


@keras.saving.register_keras_serializable("tests")
class Tinter(ImageTranslator):
    """Gives a picture the mean colour of a second one, `reference`; it is not trained.

    Args:
        image_size: side of the pictures, of the second one too.
    """

    directions = A_TO_B

    def __init__(self, *, image_size: int = 32, **kwargs):
        super().__init__(**kwargs)
        image = keras.Input((None, None, 3), name="image")
        reference = keras.Input((self.image_size, self.image_size, 3), name="reference")
        draw = keras.initializers.RandomNormal(stddev=0.3, seed=1)
        convolution = {"padding": "same", "kernel_initializer": draw}
        colour = layers.GlobalAveragePooling2D(keepdims=True)(reference)
        x = layers.Conv2D(8, 3, activation="relu", name="first", **convolution)(image)
        x = x + layers.Conv2D(8, 1, name="tint", **convolution)(colour)
        x = layers.Conv2D(3, 3, name="to_rgb", **convolution)(x)
        self.generator = keras.Model([image, reference], ops.tanh(x), name="tinter")
        self.built = True

    @property
    def conditions(self):
        return (Condition("reference", "picture", (self.image_size, self.image_size, 3)),)

    def network(self, direction=None):
        self.direction(direction)
        return self.generator


def painter_generator(side, width, latent_size, labels):
    """A network latent (N, latent_size), label (N, K) -> image (N, S, S, 3)."""
    latent = keras.Input((latent_size,), name="latent")
    label = keras.Input((labels,), name="label")
    x = layers.Dense(side // 8 * (side // 8) * width)(layers.Concatenate()([latent, label]))
    x = ops.leaky_relu(ops.reshape(x, (-1, side // 8, side // 8, width)))
    x = layers.Conv2D(3, 3, padding="same", dtype="float32")(layers.UpSampling2D(8)(x))
    return keras.Model([latent, label], ops.tanh(x), name="generator")


def drawn(domain, split, count):
    """A domain of so many pictures: squares on its own colour, others in every split."""
    levels = (127.5 * (shades(domain + 1)[domain] + 1)).astype(np.float32)

    def draw(index, side):
        rng = np.random.default_rng((domain, len(split), index))
        pixels = np.full((side, side, 3), 0.8 * levels, np.float32)
        for _ in range(3):
            top, left = rng.integers(0, side // 2, 2)
            pixels[top : top + side // 3, left : left + side // 3] += rng.uniform(-60, 60, 3)
        return np.clip(pixels, 0, 255).astype(np.uint8)

    names = [f"{split}{index:02d}.png" for index in range(count)]
    return DrawnDomain(names, draw, f"{split} of domain {domain}", (8, 256))


def domains_of(split, names=DOMAINS, count=4):
    """Drawn domains by name."""
    return {name: drawn(i, split, count) for i, name in enumerate(names)}


def seasons(
    *,
    domains: tuple[str, ...] = DOMAINS,
    train_size: int = 6,
    test_size: int = 4,
    validation_size: int = 0,
):
    """Drawn pictures of several domains.

    Args:
        domains: names of the domains.
        train_size: pictures of each to train on.
        test_size: pictures of each to test with.
        validation_size: pictures of each beyond those.
    """
    from tfi2i.data.dataset import Dataset

    splits = {"train": train_size, "test": test_size, "validation": validation_size}
    return Dataset("seasons", **{s: domains_of(s, domains, n) for s, n in splits.items() if n})


def register(monkeypatch):
    """Adds the systems and their data to what configurations, runs and the command line know."""
    from tfi2i import data, models

    for system in (Seasons, Painter):
        monkeypatch.setitem(models.ALL, system.__name__, system)
    monkeypatch.setitem(data.SOURCES, "seasons", seasons)


def batch_for(system, size=2, seed=0):
    """A batch by hand in the system's layout, of domains by turns."""
    count = len(system.domains)
    label = np.eye(count, dtype=np.float32)[np.arange(size) % count]
    rng = np.random.default_rng(seed)
    shape = (size, system.image_size, system.image_size, 3)
    arrays = {"image": rng.uniform(-1, 1, shape).astype(np.float32), "label": label}
    if system.batch.layout == "labelled":
        arrays["target_label"] = label[::-1].copy()
    return {key: tf.constant(value) for key, value in arrays.items()}
