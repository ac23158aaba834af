"""CycleGAN: two translators that undo each other, each judged by a discriminator.

Paper: Zhu et al., "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial
Networks", ICCV 2017, arXiv 1703.10593.
Source: junyanz/pytorch-CycleGAN-and-pix2pix at commit c3268ed (BSD licence).

As in the source, the generators are updated before the discriminators, which see fakes that were
made before that update, half of them from a history of fakes (Shrivastava et al. 2017).

Differs from the source: the history is saved with the system; the rate falls at the ends of epochs
(`epoch_steps`) instead of their beginnings, by which the source's last epoch trains at a rate of 0.
The gradient penalty, which is in the source and never used, and clipping are added for the
Wasserstein loss. Transposed convolutions begin evenly (`tfi2i.layers.even_start`); bilinear or
nearest pixels before a plain one may stand in their place.

Shape letters: N images, H W space.
"""

import math
from typing import Annotated, Any, Literal

import keras
import numpy as np
import tensorflow as tf

from tfi2i import losses
from tfi2i.layers.convolution import LeakyReLU
from tfi2i.layers.normalization import InstanceNormalization
from tfi2i.limits import (
    Between,
    Blocks,
    Channels,
    Decay,
    Depth,
    ImageSize,
    Rate,
    Step,
    Steps,
    Weight,
    Width,
    beyond_memory,
)
from tfi2i.models.model import ImageTranslator, trainable
from tfi2i.networks.discriminators import patch_discriminator
from tfi2i.networks.ends import SLOPE, conv, each, full_input, normal
from tfi2i.networks.generators import Upsampling, resnet_generator, unet_generator
from tfi2i.optimizers import CoupledAdam, LinearDecay

# networks


def pixel_discriminator(width: int, name: str, channels: int = 3) -> keras.Model:
    """Image (N, H, W, channels) -> logits (N, H, W, 1), each of one pixel: PixelGAN."""
    image = full_input((None, None, channels), "image")
    x = LeakyReLU(SLOPE, name="conv0_lrelu")(conv(image, width, 1, 1, "conv0", normal))
    x = InstanceNormalization(name="conv1_norm")(conv(x, 2 * width, 1, 1, "conv1", normal))
    x = LeakyReLU(SLOPE, name="conv1_lrelu")(x)
    return keras.Model(image, conv(x, 1, 1, 1, "logits", normal), name=name)


# the history of fakes


def pool_turns(size: int, held: Any, chances: Any, slots: Any) -> tuple[Any, Any]:
    """Exchanges N new images for those that a pool gives back, and says what it holds then.

    A pool that is not full keeps a new image and gives it back. A full one gives it back too if its
    chance is at most 1/2; else it keeps it in the image's slot, and gives what was there.

    Args:
        size: Slots of the pool.
        held: Number of filled slots, a scalar.
        chances: (N,), drawn from [0, 1).
        slots: (N,), drawn from 0 .. size - 1.

    Returns:
        (N,) and (size,), indices into the pool's images followed by the new ones.
    """
    order = tf.range(tf.shape(chances)[0])
    filling = held + order < size
    slots = tf.where(filling, held + order, slots)
    kept = filling | (chances > 0.5)

    def content(wanted, before):
        """Contents of the slots before the turn of a new image: the pool's, or a newer one."""
        hits = kept & (slots == wanted[:, None]) & (order < before[:, None])
        latest = tf.reduce_max(tf.where(hits, order, -1), axis=1)
        return tf.where(latest < 0, wanted, size + latest)

    given = tf.where(kept & ~filling, content(slots, order), size + order)
    return given, content(tf.range(size), tf.fill([size], tf.size(order)))


@keras.saving.register_keras_serializable("tfi2i")
class ImagePool(keras.layers.Layer):
    """The last fakes of one domain, (size, H, W, C), as state that is saved with the system."""

    def __init__(self, size: int, shape: tuple[int, int, int], **kwargs):
        super().__init__(trainable=False, **kwargs)
        self.size = size
        self.images = self.add_weight(
            name="images", shape=(size, *shape), initializer="zeros", autocast=False
        )
        self.held = self.add_weight(name="held", shape=(), dtype="int32", initializer="zeros")
        self.built = True

    def exchange(self, images, seed):
        """New fakes (N, H, W, C) for as many, of which half are older; seed: two integers."""
        draws = tf.random.stateless_uniform((tf.shape(images)[0], 2), seed)
        slots = tf.cast(draws[:, 1] * self.size, tf.int32)
        held = tf.convert_to_tensor(self.held)
        given, kept = pool_turns(self.size, held, draws[:, 0], slots)
        everything = tf.concat([tf.convert_to_tensor(self.images), images], 0)
        self.images.assign(tf.gather(everything, kept))
        self.held.assign(tf.minimum(held + tf.shape(images)[0], self.size))
        return tf.gather(everything, given)


# the system


@keras.saving.register_keras_serializable("tfi2i")
class CycleGAN(ImageTranslator):
    """CycleGAN: translators a -> b and b -> a that undo each other, and a discriminator for each.

    Args:
        image_size: Side of the training images, or height and width, such as [96, 320]; multiples
            of 4, of a U-Net's translators multiples of 2^unet_levels, and their only size.
        width: Channels of a generator's first layer (the source's `ngf`).
        blocks: Residual blocks of a ResNet generator; the paper has 6 for images of 128 x 128.
        generator: "resnet", the paper's, or "unet".
        unet_levels: Halvings of a U-Net (the source's `num_downs`: 8 in `unet_256`, 7 in
            `unet_128`).
        discriminator: "patch", the paper's, or "pixel", which sees colours alone.
        discriminator_width: Channels of a discriminator's first layer (the source's `ndf`).
        discriminator_depth: Halvings of a patch discriminator (the source's `n_layers_D`); 3 see
            70 x 70 pixels.
        antialias: Blurs wherever the resnet and the patch discriminator change the size: the
            variant in CUT's code.
        upsampling: Way of enlarging the maps: "transposed" convolutions, or a 3 x 3
            convolution after "bilinear" or "nearest" pixels, which leaves no grid in translations;
            null: the sources', bilinear with `antialias`, else transposed.
        channels: Channels of pictures: 1 (grey), 2, 3 (RGB) or 4 (with alpha), or a number for each
            domain, such as {a: 1, b: 3}.
    """

    loss_names = (
        *("g_a", "g_b", "g_cycle_a", "g_cycle_b", "g_same_a", "g_same_b"),
        *("d_a", "d_b"),
    )
    discriminator_terms = {("d_a",): 0.5, ("d_b",): 0.5}
    inference_networks = ("gen_ab", "gen_ba")
    smoke = {"image_size": 32, "width": 4, "blocks": 1, "discriminator_width": 4}

    def __init__(
        self,
        *,
        image_size: ImageSize = 256,
        width: Width = 64,
        blocks: Blocks = 9,
        generator: Literal["resnet", "unet"] = "resnet",
        unet_levels: Annotated[int, Between(2, 13)] = 8,
        discriminator: Literal["patch", "pixel"] = "patch",
        discriminator_width: Width = 64,
        discriminator_depth: Depth = 3,
        antialias: bool = False,
        upsampling: Upsampling | None = None,
        channels: Channels = 3,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.pools: dict[str, ImagePool] = {}
        _check_architecture(self)
        with self.precision():
            self.gen_ab = self._generator("gen_ab", "ab")
            self.gen_ba = self._generator("gen_ba", "ba")
            self.disc_a = self._discriminator("disc_a", "a")
            self.disc_b = self._discriminator("disc_b", "b")
        self.built = True

    def _generator(self, name: str, domains: str) -> keras.Model:
        channels = self.channels_of(domains[0]), self.channels_of(domains[1])
        if self.generator == "unet":
            shape = self.sides, self.width, self.unet_levels, name, channels
            return unet_generator(*shape, self.upsampling or "transposed")
        return resnet_generator(
            self.width,
            self.blocks,
            name,
            normal,
            antialias=self.antialias,
            upsampling=self.upsampling,
            channels=channels,
        )

    def _discriminator(self, name: str, domain: str) -> keras.Model:
        width, depth = self.discriminator_width, self.discriminator_depth
        channels = self.channels_of(domain)
        if self.discriminator == "pixel":
            return pixel_discriminator(width, name, channels)
        blurs = {"antialias": self.antialias, "channels": channels}
        return patch_discriminator(width, depth, name, normal, **blurs)

    def compile(
        self,
        *,
        learning_rate: Rate = 2e-4,
        total_steps: Steps = 266_800,
        decay_start: Step | None = None,
        epoch_steps: Steps | None = None,
        gan_loss: losses.GanLoss = "least_squares",
        cycle_weight: Weight = 10.0,
        identity_weight: Weight = 0.5,
        pool_size: Annotated[int, Between(0, 1_000)] = 50,
        gradient_penalty: Weight = 0.0,
        clip_weights: Annotated[float, Between(1e-6, 100)] | None = None,
        ema_decay: Decay | None = None,
    ):
        """Sets the numbers of training; the defaults are the source's.

        Args:
            learning_rate: Rate of both optimizers.
            total_steps: Number of training steps; 200 epochs of horse2zebra's 1,334 steps.
            decay_start: Last step at the full rate, which then falls to 0 at `total_steps`; null:
                half of them, as in the source; `total_steps`: never.
            epoch_steps: Steps of an epoch, at whose ends alone the rate falls, as in the source;
                null: it falls at every step.
            gan_loss: Adversarial loss; the paper's is least squares. Wasserstein needs
                `gradient_penalty` or `clip_weights`.
            cycle_weight: Weight of the L1 distance after there and back.
            identity_weight: Weight of the L1 distance of an image translated into its own domain,
                in units of `cycle_weight`; 0 leaves these passes out.
            pool_size: Fakes kept for the discriminators, of each domain; 0: none.
            gradient_penalty: Weight of WGAN-GP to a discriminator's other terms; 10 in its paper.
            clip_weights: Largest weight of a discriminator, 0.01 in WGAN's paper; null: any.
            ema_decay: Decay of an average of the translators' weights, such as 0.999; null: none.
        """
        _check_training(gan_loss, gradient_penalty, clip_weights)
        self._make_pools()
        start = total_steps // 2 if decay_start is None else decay_start
        rate = LinearDecay(learning_rate, total_steps, start, epoch_steps)
        self.prepare_training(lambda name: CoupledAdam(rate, beta_1=0.5), ema_decay)

    def _make_pools(self) -> None:
        """Empty pools, unless there are some of this size already."""
        if [pool.size for pool in self.pools.values()] == [self.pool_size] * 2:
            return
        held = self.pool_size * sum(map(math.prod, self.image_shapes.values()))
        if fault := beyond_memory(held * np.dtype(self.dtype_policy.variable_dtype).itemsize):
            raise ValueError(
                f"pool_size={self.pool_size} with image_size={self.image_size} takes {fault}"
            )
        self.pools.clear()
        for domain in "ab" if self.pool_size else ():
            full, name = self.dtype_policy.variable_dtype, f"pool_{domain}"
            shape = self.image_shapes[domain]
            self.pools[domain] = ImagePool(self.pool_size, shape, dtype=full, name=name)

    def optimizer_variables(self):
        """One optimizer for both generators, one for both discriminators."""
        return {
            "generator": trainable(self.gen_ab, self.gen_ba),
            "discriminator": trainable(self.disc_a, self.disc_b),
        }

    def train_step(self, batch):
        full = self.dtype_policy.variable_dtype
        real_a, real_b = tf.cast(batch["a"], full), tf.cast(batch["b"], full)
        terms, fake_a, fake_b = self.generator_step(real_a, real_b)
        if self.pools:
            fake_a = self.pools["a"].exchange(fake_a, self.draw_seed(0))
            fake_b = self.pools["b"].exchange(fake_b, self.draw_seed(1))
        terms |= self.discriminator_step(real_a, real_b, fake_a, fake_b)
        return self.finish_step(terms)

    def generator_step(self, real_a, real_b) -> tuple[dict[str, Any], Any, Any]:
        """Updates the generators; returns six unweighted terms, and the fakes of before."""
        with tf.GradientTape() as tape:
            if self.identity_weight:
                # One call translates both: normalisation is per image, so it is the same as two.
                own_a, own_b = self.as_sources(real_a, real_b)
                fake_b, same_b = each(self.gen_ab, real_a, own_b)
                fake_a, same_a = each(self.gen_ba, real_b, own_a)
            else:
                fake_b, same_b = self.gen_ab(real_a, training=True), real_b
                fake_a, same_a = self.gen_ba(real_b, training=True), real_a
            reco_a = self.gen_ba(fake_b, training=True)
            reco_b = self.gen_ab(fake_a, training=True)
            logits_a = self.disc_a(fake_a, training=True)
            logits_b = self.disc_b(fake_b, training=True)
            terms = {
                "g_a": losses.for_generator(self.gan_loss, logits_a),
                "g_b": losses.for_generator(self.gan_loss, logits_b),
                "g_cycle_a": losses.l1(reco_a, real_a),
                "g_cycle_b": losses.l1(reco_b, real_b),
                "g_same_a": losses.l1(same_a, real_a),
                "g_same_b": losses.l1(same_b, real_b),
            }
            cycle = terms["g_cycle_a"] + terms["g_cycle_b"]
            cycle += self.identity_weight * (terms["g_same_a"] + terms["g_same_b"])
            loss = terms["g_a"] + terms["g_b"] + self.cycle_weight * cycle
        self.minimize("generator", loss, tape)
        return terms, fake_a, fake_b

    def discriminator_step(self, real_a, real_b, fake_a, fake_b) -> dict[str, Any]:
        """Updates the discriminators; returns each one's mean of its terms for real and fake."""
        domains = (("a", self.disc_a, real_a, fake_a), ("b", self.disc_b, real_b, fake_b))
        with tf.GradientTape() as tape:
            terms, penalties = {}, []
            for stream, (domain, disc, real, fake) in enumerate(domains, start=2):
                on_real, on_fake = each(disc, real, fake)
                terms[f"d_{domain}"] = 0.5 * (
                    losses.on_real(self.gan_loss, on_real) + losses.on_fake(self.gan_loss, on_fake)
                )
                if self.gradient_penalty:
                    seed = self.draw_seed(stream)
                    penalties.append(losses.gradient_penalty(disc, real, fake, seed))
            loss = tf.add_n(list(terms.values()))
            if penalties:
                loss += 0.5 * self.gradient_penalty * tf.add_n(penalties)
        self.minimize("discriminator", loss, tape)
        if self.clip_weights is not None:
            most = self.clip_weights
            for variable in self.optimizer_variables()["discriminator"]:
                variable.assign(tf.clip_by_value(variable.value, -most, most))
        return terms


def _check_architecture(system: CycleGAN) -> None:
    levels, depth = system.unet_levels, system.discriminator_depth
    if system.antialias and (system.generator, system.discriminator) != ("resnet", "patch"):
        raise ValueError(
            "antialias=True needs generator=resnet and discriminator=patch, received "
            f"generator={system.generator}, discriminator={system.discriminator}."
        )
    if system.generator == "resnet":
        system.require_multiple(4, "generator=resnet")
    else:
        system.require_multiple(2**levels, f"unet_levels={levels}")
    if system.discriminator == "patch":
        system.require_least(3 * 2**depth, f"discriminator_depth={depth}")
    else:
        system.require_least(8, "discriminator=pixel")


def _check_training(gan_loss: str, gradient_penalty: float, clip_weights: float | None) -> None:
    if gan_loss == "wasserstein" and not gradient_penalty and clip_weights is None:
        raise ValueError(
            'gan_loss="wasserstein" needs gradient_penalty (10 in its paper) or clip_weights '
            "(0.01 in its paper): without them the discriminator's terms have no bound."
        )
