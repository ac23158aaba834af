"""StarGAN v2: one translator for any number of domains, and many styles in each.

Paper: Choi et al., "StarGAN v2: Diverse Image Synthesis for Multiple Domains", CVPR 2020,
arXiv 1912.01865.
Source: clovaai/stargan-v2 at commit 875b70a (CC BY-NC 4.0; written anew from its facts).

The translator takes a style, and knows no domain. A mapping network makes styles of a domain out of
noise, and a style encoder reads them off a picture of the domain; both, and the discriminator, have
a head for each domain. A step makes four updates: of the discriminator by drawn styles and by read
ones, of translator, mapping network and encoder by drawn ones, and of the translator alone by read
ones. Two styles shall make two different pictures; the weight of that term falls to 0.

Differs from the source: targets and references are those of other pictures of the batch, where the
source draws them apart, and domains are as frequent as in the data. The second reference is drawn
anew each time. The averages start at the first weights; the weight of the diversity follows from
the step, also after a resume. Rectangles, and sides that are no power of two, are taken too. What
leaves the system is cut off to [-1, 1]; the translator in training is linear at its end.

For faces the source has a landmark network, whose masks choose what is passed by the translator's
inside, high-pass filtered. That network is left out. `high_pass` makes the translator of such
checkpoints (a stage more, no shortcuts on the way up), and it gets no masks.

Shape letters: N images, H W space, C channels, K domains, Z numbers of noise, S of a style.
"""

from typing import Annotated, Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from tfi2i import losses
from tfi2i.conditions import Condition, between
from tfi2i.data.batches import Batch
from tfi2i.layers.convolution import LeakyReLU
from tfi2i.layers.normalization import InstanceNormalization
from tfi2i.limits import Between, Decay, ImageSize, Rate, Steps, Weight, Width
from tfi2i.models.model import ImageTranslator, trainable
from tfi2i.networks.ends import SLOPE, conv, full_input, he_normal, image_output
from tfi2i.networks.residual import (
    block_down,
    block_up,
    conv3,
    dense,
    halvings,
    high_passed,
    trunk,
)
from tfi2i.optimizers import CoupledAdam, LinearDecay

FILTERED = (32, 64, 128)
"""Sides of the maps that pass the translator's inside, where there are masks."""
WIDTH_TIMES_SIDE = 2**14

# networks


def style_generator(
    stages: int,
    widths: tuple[int, int],
    style_size: int,
    name: str,
    channels: int = 3,
    *,
    high_pass: float | None = None,
    masked_size: tuple[int, int] | None = None,
) -> keras.Model:
    """Image (N, H, W, C), style (N, S) -> image (N, H, W, C), linear at its end.

    Args:
        stages: Halvings, and doublings.
        widths: Channels of the first layer, which double at every halving, and their limit.
        style_size: Numbers of a style.
        name: Name of the model.
        channels: Channels of images.
        high_pass: Divisor of the filter (the source's `w_hpf`), with which there are no shortcuts
            on the way up; None: there is no filter (its 0).
        masked_size: Height and width of masks (N, h, w, 1) that are two further inputs, the first
            one for maps of side 32; None: there are none, and nothing is filtered.
    """
    side = (None, None) if masked_size is None else (2**stages * 8,) * 2
    image = full_input((*side, channels), "image")
    style = full_input((style_size,), "style")
    masks = [full_input((*masked_size, 1), f"mask{i}") for i in range(2)] if masked_size else []
    first, limit = widths
    filters = [min(first * 2**i, limit) for i in range(stages + 1)]
    x, passed = conv3(image, first, "from_rgb"), {}
    for i in range(stages):
        passed[x.shape[1]] = x
        x = block_down(x, filters[i + 1], f"encode{i}", normed=True)
    for i in range(stages, stages + 2):
        x = block_down(x, filters[-1], f"encode{i}", normed=True, down=False)
    short = high_pass is None
    for i in range(2):
        x = block_up(x, style, filters[-1], f"decode{i}", up=False, shortcut=short)
    for i in range(2, stages + 2):
        x = block_up(x, style, filters[stages + 1 - i], f"decode{i}", shortcut=short)
        if masks and high_pass and x.shape[1] in FILTERED:
            mask = ops.image.resize(masks[x.shape[1] > FILTERED[0]], x.shape[1:3])
            x = x + high_passed(mask * passed[x.shape[1]], high_pass, f"filter{i}")
    x = InstanceNormalization(affine=True, name="to_rgb_norm")(x)
    x = conv(LeakyReLU(SLOPE, name="to_rgb_lrelu")(x), channels, 1, 1, "to_rgb", he_normal)
    return keras.Model([image, style, *masks], image_output(x, "linear"), name=name)


def mapping_network(
    latent_size: int, width: int, style_size: int, domains: int, name: str
) -> keras.Model:
    """Noise (N, Z) -> a style of each domain (N, K, S)."""
    latent = full_input((latent_size,), "latent")
    full = keras.config.dtype_policy().variable_dtype
    shared = latent
    for i in range(4):
        shared = dense(shared, width, f"shared{i}", activation="relu")
    heads = []
    for domain in range(domains):
        x = shared
        for i in range(3):
            x = dense(x, width, f"head{domain}_{i}", activation="relu")
        heads.append(dense(x, style_size, f"head{domain}_3", dtype=full))
    return keras.Model(latent, _by_domain(heads), name=name)


def style_encoder(
    size: tuple[int, int],
    widths: tuple[int, int],
    style_size: int,
    domains: int,
    name: str,
    channels: int = 3,
) -> keras.Model:
    """Image (N, H, W, C) -> a style of each domain (N, K, S)."""
    image = full_input((*size, channels), "image")
    full = keras.config.dtype_policy().variable_dtype
    x = layers.Flatten(name="flat")(trunk(image, widths))
    heads = [dense(x, style_size, f"head{i}", dtype=full) for i in range(domains)]
    return keras.Model(image, _by_domain(heads), name=name)


def branched_discriminator(
    size: tuple[int, int], widths: tuple[int, int], domains: int, name: str, channels: int = 3
) -> keras.Model:
    """Image (N, H, W, C) -> logits (N, K), one for each domain."""
    image = full_input((*size, channels), "image")
    logits = conv(trunk(image, widths), domains, 1, 1, "logits", he_normal)
    full = keras.config.dtype_policy().variable_dtype
    return keras.Model(image, layers.Flatten(dtype=full, name="flat")(logits), name=name)


def _by_domain(heads: list[Any]):
    """Vectors (N, S) of every domain -> (N, K, S)."""
    together = layers.Concatenate(dtype=heads[0].dtype, name="heads")(heads)
    return ops.reshape(together, (-1, len(heads), heads[0].shape[-1]))


def chosen(heads, label):
    """The rows (N, ...) of heads (N, K, ...) that labels (N, K) choose, the others by 0."""
    weights = ops.reshape(label, (-1, heads.shape[1], *[1] * (len(heads.shape) - 2)))
    return ops.sum(heads * weights, 1)


# the system


@keras.saving.register_keras_serializable("tfi2i")
class StarGANv2(ImageTranslator):
    """StarGAN v2: translations between any number of domains in many styles.

    Args:
        image_size: Side of the training images, or height and width: powers of two from 32 on, or
            other multiples of as many halvings as leave 4 to 7 pixels of the shorter side.
        domains: Names of the domains, in the order of the data.
        width: Channels of each network's first layer, doubled at every halving; null: the shorter
            side times this is 16,384, as in the source.
        width_limit: Largest number of channels.
        style_size: Numbers of a style (`style_dim`).
        latent_size: Numbers of the noise that styles are made of (`latent_dim`).
        mapping_width: Width of the mapping network's hidden layers.
        high_pass: Divisor of the high-pass filter for faces (`w_hpf`): makes the translator of
            checkpoints that were trained with it, but the landmark network is left out, and nothing
            is filtered; null: the paper's translator for all other pictures.
        channels: Channels of all pictures: 1 (grey), 2, 3 (RGB) or 4 (with alpha).
    """

    loss_names = (
        *("g_adv", "g_style", "g_diversity", "g_cycle"),
        *("d_fake", "d_real", "d_r1"),
    )
    discriminator_terms = {("d_fake", "d_real"): 2}
    batch = Batch("labelled", references=2)
    inference_networks = ("gen", "mapping", "encoder")
    smoke = {
        "image_size": 32,
        "width": 4,
        "width_limit": 8,
        "style_size": 8,
        "latent_size": 4,
        "mapping_width": 8,
    }

    def __init__(
        self,
        *,
        image_size: ImageSize = 256,
        domains: tuple[str, ...] = ("cat", "dog", "wild"),
        width: Width | None = None,
        width_limit: Width = 512,
        style_size: Annotated[int, Between(1, 1024)] = 64,
        latent_size: Annotated[int, Between(1, 1024)] = 16,
        mapping_width: Width = 512,
        high_pass: Annotated[float, Between(0, 1_000, above=True)] | None = None,
        channels: Annotated[int, Between(1, 4, own=True)] = 3,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.require_least(32, "its halvings")
        steps = halvings(self.sides)
        self.require_multiple(2**steps, f"the {steps} halvings of its shorter side")
        widths = (width or max(WIDTH_TIMES_SIDE // min(self.sides), 1), width_limit)
        count, picture = len(self.domains), self.channels
        stages = steps - 2 if high_pass is None else steps - 1
        with self.precision():
            self.gen = style_generator(
                stages, widths, style_size, "gen", picture, high_pass=high_pass
            )
            self.mapping = mapping_network(latent_size, mapping_width, style_size, count, "mapping")
            self.encoder = style_encoder(self.sides, widths, style_size, count, "encoder", picture)
            self.disc = branched_discriminator(self.sides, widths, count, "disc", picture)
        self.built = True

    def compile(
        self,
        *,
        learning_rate: Rate = 1e-4,
        mapping_share: Rate = 0.01,
        total_steps: Steps = 100_000,
        weight_decay: Weight = 1e-4,
        gan_loss: losses.GanLoss = "non_saturating",
        r1_weight: Weight = 1.0,
        style_weight: Weight = 1.0,
        diversity_weight: Weight = 1.0,
        diversity_steps: Steps | None = None,
        cycle_weight: Weight = 1.0,
        ema_decay: Decay | None = 0.999,
    ):
        """Sets the numbers of training; the defaults are the source's for faces.

        Args:
            learning_rate: Rate of all optimizers but the mapping network's; Adam's betas are 0 and
                0.99. It does not fall.
            mapping_share: Share of that rate at which the mapping network learns; all follow a
                schedule as it is.
            total_steps: Number of training steps of four updates.
            weight_decay: L2 that is added to the gradients.
            gan_loss: Adversarial loss.
            r1_weight: Weight of half the squared slope of the discriminator at real pictures.
            style_weight: Weight of the L1 distance of a style from what the encoder reads off its
                translation (`lambda_sty`).
            diversity_weight: Weight, at the beginning, of the L1 distance of two translations of a
                picture, which is made large (`lambda_ds`; 2 for AFHQ).
            diversity_steps: Step at which that weight has fallen to 0 (`ds_iter`); null:
                `total_steps`.
            cycle_weight: Weight of the L1 distance after there and back (`lambda_cyc`).
            ema_decay: Decay of averages of the weights of translator, mapping network and encoder,
                which are what is used; null: none.
        """
        losses.refuse_wasserstein(gan_loss)

        def make(name: str) -> CoupledAdam:
            rate = LinearDecay(learning_rate, total_steps)
            if name == "mapping" and not callable(learning_rate):
                rate = LinearDecay(learning_rate * mapping_share, total_steps)
            return CoupledAdam(rate, beta_1=0.0, beta_2=0.99, l2=weight_decay)

        self.prepare_training(make, ema_decay)

    @property
    def directions(self):
        return between(self.domains)

    @property
    def conditions(self):
        return (
            Condition(
                *("style", "style", (self.style_size,)),
                draw=self.draw_styles,
                encode=self.style_reader,
            ),
            Condition("latent", "latent", (self.latent_size,)),
            Condition("label", "label", (len(self.domains),), self.domains),
        )

    def optimizer_variables(self):
        return {
            "generator": trainable(self.gen),
            "mapping": trainable(self.mapping),
            "encoder": trainable(self.encoder),
            "discriminator": trainable(self.disc),
        }

    def train_step(self, batch):
        full = self.dtype_policy.variable_dtype
        batch = {key: tf.cast(rows, full) for key, rows in batch.items()}
        latents = self.draw_latents(tf.shape(batch["image"])[0], full)
        target = batch["target_label"]

        def drawn() -> list[Any]:
            return [chosen(self.mapping(one, training=True), target) for one in latents]

        def read() -> list[Any]:
            pictures = (batch["reference"], batch["reference2"])
            return [chosen(self.encoder(one, training=True), target) for one in pictures]

        everyone = ("generator", "mapping", "encoder")
        found = [
            self.discriminator_step(batch, drawn()[0]),
            self.discriminator_step(batch, read()[0]),
            self.generator_step(batch, drawn, everyone),
            self.generator_step(batch, read, ("generator",)),
        ]
        terms: dict[str, Any] = {}
        for way, one in zip(("drawn", "read") * 2, found, strict=True):
            terms |= {f"{name}_{way}": value for name, value in one.items()}
        return self.finish_step(terms)

    def draw_latents(self, count, dtype) -> list[Any]:
        """This step's noise of both styles, (N, Z) each."""
        shape = (count, self.latent_size)
        return [
            tf.cast(tf.random.stateless_normal(shape, self.draw_seed(stream)), dtype)
            for stream in range(2)
        ]

    def discriminator_step(self, batch, style) -> dict[str, Any]:
        """Updates the discriminator by translations of a style (N, S); returns unweighted terms."""
        real = batch["image"]
        fake = self.gen([real, style], training=True)
        with tf.GradientTape() as tape:
            with tf.GradientTape() as slopes:
                slopes.watch(real)
                on_real = chosen(self.disc(real, training=True), batch["label"])
            slope = slopes.gradient(on_real, real)
            on_fake = chosen(self.disc(fake, training=True), batch["target_label"])
            terms = {
                "d_real": losses.on_real(self.gan_loss, on_real),
                "d_fake": losses.on_fake(self.gan_loss, on_fake),
                "d_r1": tf.reduce_mean(tf.reduce_sum(tf.square(slope), (1, 2, 3))) / 2,
            }
            loss = terms["d_real"] + terms["d_fake"] + self.r1_weight * terms["d_r1"]
        self.minimize("discriminator", loss, tape)
        return terms

    def generator_step(self, batch, styles, names: tuple[str, ...]) -> dict[str, Any]:
        """Updates the translator, and what else is named; returns unweighted terms.

        Args:
            batch: Arrays by key.
            styles: Function that makes two styles (N, S) of each picture's target.
            names: Names of the optimizers that take part.
        """
        real, target = batch["image"], batch["target_label"]
        with tf.GradientTape() as tape:
            style, other = styles()
            with tape.stop_recording():
                second = self.gen([real, other], training=True)
            fake = self.gen([real, style], training=True)
            on_fake = chosen(self.disc(fake, training=True), target)
            read = chosen(self.encoder(fake, training=True), target)
            own = chosen(self.encoder(real, training=True), batch["label"])
            terms = {
                "g_adv": losses.for_generator(self.gan_loss, on_fake),
                "g_style": losses.l1(read, style),
                "g_diversity": losses.l1(fake, second),
                "g_cycle": losses.l1(self.gen([fake, own], training=True), real),
            }
            loss = terms["g_adv"] + self.style_weight * terms["g_style"]
            loss -= self.weight_of_diversity() * terms["g_diversity"]
            loss += self.cycle_weight * terms["g_cycle"]
        self.minimize_together(names, loss, tape)
        return terms

    def weight_of_diversity(self):
        """The weight of this step, which falls from `diversity_weight` to 0."""
        passed = tf.cast(self.step_counter, self.dtype_policy.variable_dtype)
        left = 1 - passed / (self.diversity_steps or self.total_steps)
        return self.diversity_weight * tf.maximum(left, 0)

    def minimize_together(self, names: tuple[str, ...], loss, tape: tf.GradientTape) -> None:
        """One update of the variables of several optimizers, by one gradient."""
        groups = [self.optimizer_variables()[name] for name in names]
        optimizers = [self.optimizers[name] for name in names]
        scales = [one.scale_loss(tf.ones_like(loss)) for one in optimizers]
        found = tape.gradient(loss, groups, output_gradients=scales[0])
        for optimizer, scale, group, gradients in zip(
            optimizers, scales, groups, found, strict=True
        ):
            if optimizer is not optimizers[0]:  # each divides by its own scale
                gradients = [one * (scale / scales[0]) for one in gradients]
            optimizer.apply(gradients, group)

    def draw_styles(self, count: int, seed: int, target: str | None = None):
        """Styles (count, S) of a domain by the mapping network; None: of domains at random."""
        random = np.random.default_rng((seed, *b"style"))
        latents = random.standard_normal((count, self.latent_size), np.float32)
        places = random.integers(len(self.domains), size=count)
        if target in self.domains:
            places[:] = self.domains.index(target)
        with tf.init_scope():  # now, also inside a graph
            styles = self.inference_network("mapping")(latents, training=False)
        return np.asarray(styles, np.float32)[np.arange(count), places]

    def style_reader(self, target: str | None) -> keras.Model:
        """The network picture (N, H, W, C) -> its style (N, S) as one of a domain."""
        encoder = self.inference_network("encoder")
        picture = keras.Input(encoder.input_shape[1:], name="picture", dtype=encoder.input.dtype)
        place = self.domains.index(target) if target in self.domains else 0
        style = encoder(picture, training=False)[:, place]
        return keras.Model(picture, style, name="style_encoder")

    def network(self, direction=None):
        way = self.direction(direction)
        gen, mapping = (self.inference_network(name) for name in ("gen", "mapping"))
        full = gen.inputs[0].dtype
        image, style = (
            keras.Input(one.shape[1:], name=name, dtype=full)
            for name, one in zip(("image", "style"), gen.inputs, strict=True)
        )
        given = [image, style]
        if way.target is None:  # the label chooses the mapping network's head
            latent = keras.Input((self.latent_size,), name="latent", dtype=full)
            label = keras.Input((len(self.domains),), name="label", dtype=full)
            given = [image, latent, label]
            style = chosen(mapping(latent, training=False), label)
        translation = ops.clip(gen([image, style], training=False), -1.0, 1.0)
        return keras.Model(given, translation, name="stargan_v2")

    def reconstructions(self, batch):
        gen, encoder = (self.inference_network(name) for name in ("gen", "encoder"))
        image, reference = (
            tf.cast(batch[key], gen.inputs[0].dtype) for key in ("image", "reference")
        )
        there = gen([image, chosen(encoder(reference), batch["target_label"])])
        back = gen([there, chosen(encoder(image), batch["label"])])
        return {"cycle": losses.l1(tf.cast(back, tf.float32), tf.cast(image, tf.float32))}
