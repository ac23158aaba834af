"""SinCUT: contrastive translation learned from one picture of each domain.

Paper: Park et al., "Contrastive Learning for Unpaired Image-to-Image Translation", ECCV 2020,
arXiv 2007.15651, its part on single images.
Source: taesungp/contrastive-unpaired-translation at commit b3ac297 (`--model sincut`, BSD licence),
its networks after StyleGAN2 (Karras et al. 2020) without styles.

CUT's losses on small crops: a patch of the translation shall be nearer to the same patch of its
input than to the patches of the batch's other crops. To this come R1 and an identity loss. Weights
are drawn from N(0, 1) and scaled whenever they are used (equalised learning rate).

Differs from the source: a translation takes one fixed noise map for each picture size, so it can be
repeated, and is clipped to [-1, 1], which the source does only as it saves; the keys of PatchNCE
are taken from the pass that translates, with the same numbers, instead of from a second one; two
optimizers of the same settings are one.

Shape letters: N images, H W space, S side of a training crop, C channels, P positions, D features.
"""

import math
from typing import Annotated, Any

import keras
import tensorflow as tf

from tfi2i import losses
from tfi2i.conditions import A_TO_B
from tfi2i.layers.stylegan2 import (
    Blur,
    DemodulatedUpConv2D,
    EqualizedConv2D,
    EqualizedDense,
    FixedNoise,
    NoiseAndBias,
    ResidualSum,
    ScaledLeakyReLU,
    normal,
)
from tfi2i.limits import (
    MOST_PATCHES,
    Between,
    Channels,
    Decay,
    Features,
    Rate,
    Side,
    Step,
    Steps,
    Temperature,
    Weight,
    Width,
)
from tfi2i.models.model import ImageTranslator, trainable
from tfi2i.networks.ends import full_input, image_output, in_channels
from tfi2i.networks.patch_features import (
    draw_positions,
    mean_patch_nce,
    patch_features,
    patch_heads,
)
from tfi2i.optimizers import CoupledAdam, LinearDecay

TAPS = ("image", "from_rgb", "down", "block0", "block1", "block2")
"""The encoder's layers, whose maps PatchNCE may compare: the source's 0 to 5."""

# networks


def generator_channels(width: int, side: int) -> int:
    """Channels of the generator's maps of a side in pixels, while it trains."""
    channels = round(512 * width / side)
    return min(channels, 512) if side <= 32 else channels


def discriminator_channels(width: int, side: int) -> int:
    """Channels of the discriminator's maps of a side in pixels."""
    channels = 256 * width // side
    return min(channels, 384) if side <= 32 else channels


def _equalized_conv(x, filters: int, kernel_size: int, name: str, **kwargs):
    layer = EqualizedConv2D(filters, kernel_size, kernel_initializer=normal(), name=name, **kwargs)
    return layer(x)


def _conv(x, filters: int, kernel_size: int, name: str):
    """A convolution that keeps the size, zeros around, and the activation."""
    return ScaledLeakyReLU()(_equalized_conv(x, filters, kernel_size, name, padding="same"))


def _residual_block(x, name: str):
    """(N, H, W, C) -> the same."""
    y = _conv(_conv(x, x.shape[-1], 3, f"{name}_conv0"), x.shape[-1], 3, f"{name}_conv1")
    return ResidualSum(name=name)([y, x])


def _down_block(x, filters: int, name: str):
    """(N, H, W, C) -> (N, H/2, W/2, filters); both branches are blurred before they are halved."""
    y = _conv(x, x.shape[-1], 3, f"{name}_conv0")
    y = Blur(2, name=f"{name}_blur")(y)
    y = ScaledLeakyReLU()(_equalized_conv(y, filters, 3, f"{name}_conv1", strides=2))
    # The source's 1 x 1 convolution has stride 2; here the blur has.
    skip = Blur(1, 2, name=f"{name}_skip_blur")(x)
    skip = _equalized_conv(skip, filters, 1, f"{name}_skip", use_bias=False)
    return ResidualSum(name=name)([y, skip])


def generator(side: int, width: int, name: str, channels: tuple[int, int] = (3, 3)) -> keras.Model:
    """Image (N, H, W, C), noise (N, H, W, 1) -> image (N, H, W, C), unbounded; H and W even.

    The side of the training images and the width, the source's `ngf`, decide the channels.
    """
    image = full_input((None, None, channels[0]), "image")
    noise = full_input((None, None, 1), "noise")
    filters = generator_channels(width, side)
    x = _conv(image, filters, 1, "from_rgb")
    x = _down_block(x, generator_channels(width, side // 2), "down")
    for i in range(6):  # three encode, three decode
        x = _residual_block(x, f"block{i}")
    x = Blur(1, name="up_blur")(DemodulatedUpConv2D(filters, name="up")(x))
    x = ScaledLeakyReLU()(NoiseAndBias(name="up_noise")([x, noise]))
    translation = image_output(_conv(x, channels[1], 1, "to_rgb"), None)
    return keras.Model([image, noise], translation, name=name)


def discriminator(side: int, width: int, name: str, channels: int = 3) -> keras.Model:
    """Image (N, S, S, channels) -> logits (N, 1), S a power of two; width is the source's `ndf`."""
    image = full_input((side, side, channels), "image")
    x = _conv(image, discriminator_channels(width, side), 1, "from_rgb")
    for i in range(int(math.log2(side)) - 2):
        side //= 2
        x = _down_block(x, discriminator_channels(width, side), f"down{i}")
    x = _conv(x, x.shape[-1], 3, "last")
    units = x.shape[-1]
    x = keras.layers.Flatten()(x)
    x = EqualizedDense(units, kernel_initializer=normal(), name="dense")(x)
    x = EqualizedDense(1, kernel_initializer=normal(), name="logits")(ScaledLeakyReLU()(x))
    return keras.Model(image, x, name=name)


# the system


@keras.saving.register_keras_serializable("tfi2i")
class SinCUT(ImageTranslator):
    """SinCUT: CUT on crops of one picture of each domain, with StyleGAN2's layers and R1.

    Args:
        image_size: Side of the training crops, a power of two from 8 on; translators take any.
        width: Generator's maps of S x S have 512 width / S channels (the source's `ngf`).
        discriminator_width: Discriminator's have half as many for it (the source's `ndf`).
        taps: Layers of the encoder whose maps PatchNCE compares, from image, from_rgb, down,
            block0, block1, block2 (the source's `nce_layers` 0 to 5).
        features: Length of the vectors that are compared (the source's `netF_nc`).
        channels: Channels of pictures: 1 (grey), 2, 3 (RGB) or 4 (with alpha), or a number for each
            domain, such as {a: 1, b: 3}.
    """

    loss_names = ("d_real", "d_fake", "d_r1", "g_gan", "g_nce", "g_nce_same", "g_same")
    discriminator_terms = {("d_real", "d_fake"): 1}
    directions = A_TO_B
    inference_networks = ("gen_ab",)
    smoke = {"image_size": 32, "width": 1, "discriminator_width": 1, "features": 16}

    def __init__(
        self,
        *,
        image_size: Side = 64,
        width: Width = 10,
        discriminator_width: Width = 8,
        taps: tuple[str, ...] = ("image", "down", "block1"),
        features: Features = 256,
        channels: Channels = 3,
        **kwargs,
    ):
        super().__init__(**kwargs)
        _check_architecture(self)
        with self.precision():
            side = self.sides[0]
            of_a, of_b = self.channels_of("a"), self.channels_of("b")
            self.gen_ab = gen = generator(side, width, "gen_ab", (of_a, of_b))
            image = gen.inputs[0]
            maps = [image if tap == "image" else gen.get_layer(tap).output for tap in taps]
            self.encoder = keras.Model(image, maps, name="encoder")
            self.gen_and_maps = keras.Model(gen.inputs, [gen.output, *maps], name="gen_and_maps")
            self.disc_b = discriminator(side, discriminator_width, "disc_b", of_b)
            self.heads = patch_heads(taps, maps, features)
        self.built = True

    def compile(
        self,
        *,
        learning_rate: Rate = 2e-3,
        total_steps: Steps = 100_000,
        decay_start: Step | None = None,
        epoch_steps: Steps | None = None,
        gan_loss: losses.GanLoss = "non_saturating",
        gan_weight: Weight = 1.0,
        nce_weight: Weight = 4.0,
        identity_weight: Weight = 1.0,
        r1_weight: Weight = 1.0,
        patches: Annotated[int, Between(1, MOST_PATCHES)] = 1,
        temperature: Temperature = 0.07,
        negatives_from_batch: bool = True,
        ema_decay: Decay | None = None,
    ):
        """Sets the numbers of training; the defaults are the source's, for batches of 16.

        Args:
            learning_rate: Rate of both optimizers; Adam's betas are 0 and 0.99.
            total_steps: Number of training steps; the source's 16 epochs of 100,000 crops.
            decay_start: Last step at the full rate, which then falls to 0 at `total_steps`; null:
                half of them, as in the source.
            epoch_steps: Steps of an epoch, at whose ends alone the rate falls, as in the source
                (6,250); null: it falls at every step.
            gan_loss: Adversarial loss.
            gan_weight: Weight of the generator's adversarial term.
            nce_weight: Weight of the mean of the two PatchNCE terms.
            identity_weight: Weight of the L1 distance of a translated crop of b to itself.
            r1_weight: Weight of R1, the squared gradient of the logits of real crops, times 1/2.
            patches: Positions of each map that a step compares; two where one would be alone.
            temperature: Temperature of PatchNCE's softmax.
            negatives_from_batch: True: negatives come from all crops of a batch, else from one.
            ema_decay: Decay of an average of the translator's weights, such as 0.999; null: none.
        """
        start = total_steps // 2 if decay_start is None else decay_start
        rate = LinearDecay(learning_rate, total_steps, start, epoch_steps)
        self.prepare_training(lambda name: CoupledAdam(rate, beta_1=0.0, beta_2=0.99), ema_decay)

    def optimizer_variables(self):
        """The source's optimizer of the heads has the generator's settings: here they are one."""
        return {
            "discriminator": trainable(self.disc_b),
            "generator": trainable(self.gen_ab, *self.heads),
        }

    def train_step(self, batch):
        real_a, real_b = batch["a"], batch["b"]
        images, height, width = tf.unstack(tf.shape(real_a)[:3])
        noise = tf.random.stateless_normal(
            (2 * images, height, width, 1), self.draw_seed(0), dtype=real_a.dtype
        )
        return self.finish_step(self.update(real_a, real_b, noise))

    def update(self, real_a, real_b, noise) -> dict[str, Any]:
        """Updates discriminator, then generator and heads; returns the unweighted terms.

        Args:
            real_a: (N, S, S, 3).
            real_b: (N, S, S, 3).
            noise: (2 N, S, S, 1), for the translations of a and then of b.
        """
        with tf.GradientTape() as tape:
            _, own_b = self.as_sources(real_a, real_b)
            both = tf.concat([real_a, own_b], 0)
            translated, *key_maps = self.gen_and_maps([both, noise], training=True)
            fake_b, same_b = tf.split(translated, 2)
            with tape.stop_recording():
                terms = self.discriminator_step(real_b, fake_b)
            logits = self.disc_b(fake_b, training=True)
            # Keras gives one map without a list around it.
            seen = in_channels(translated, real_a.shape[-1])
            query_maps = tf.nest.flatten(self.encoder(seen, training=True))
            nce, nce_same = self.contrast(key_maps, query_maps)
            terms |= {
                "g_gan": losses.for_generator(self.gan_loss, logits),
                "g_nce": nce,
                "g_nce_same": nce_same,
                "g_same": losses.l1(same_b, real_b),
            }
            loss = self.gan_weight * terms["g_gan"] + self.identity_weight * terms["g_same"]
            loss += self.nce_weight * (nce + nce_same) / 2
        self.minimize("generator", loss, tape)
        return terms

    def discriminator_step(self, real_b, fake_b) -> dict[str, Any]:
        """Updates the discriminator; returns its three unweighted terms."""
        with tf.GradientTape() as tape:
            real = losses.on_real(self.gan_loss, self.disc_b(real_b, training=True))
            fake = losses.on_fake(self.gan_loss, self.disc_b(fake_b, training=True))
            r1 = losses.r1_penalty(lambda image: self.disc_b(image, training=True), real_b)
            loss = (real + fake + self.r1_weight * r1) / 2
        self.minimize("discriminator", loss, tape)
        return {"d_real": real, "d_fake": fake, "d_r1": r1}

    def contrast(self, key_maps, query_maps) -> list[Any]:
        """PatchNCE of the translated a against a, and of the translated b against b.

        Args:
            key_maps: Taps' maps of the images, a and then b (2 N, H, W, C).
            query_maps: Taps' maps of their translations.
        """
        halves = [[tf.split(one, 2) for one in maps] for maps in (key_maps, query_maps)]
        results = []
        for half in range(2):
            key_maps, query_maps = ([split[half] for split in maps] for maps in halves)
            positions = self.positions(key_maps, half)
            keys = patch_features(key_maps, self.heads, positions)
            queries = patch_features(query_maps, self.heads, positions)
            nce = mean_patch_nce(queries, keys, self.temperature, self.negatives_from_batch)
            results.append(nce)
        return results

    def positions(self, maps, half: int) -> list[Any]:
        """The positions (P,) of each map (N, H, W, C) that this step compares; half is 0 or 1."""
        together = tf.shape(maps[0])[0] if self.negatives_from_batch else 1
        # A patch that is alone in its group has nothing to differ from: its loss is always 0.
        count = tf.maximum(self.patches, -(-2 // together))
        return draw_positions(maps, count, self.draw_seed(1 + half))

    def network(self, direction: str | None = None) -> keras.Model:
        """Generator with fixed noise, clipped: image (N, H, W, 3) -> image, H and W even."""
        way = self.direction(direction)
        gen = self.inference_network("gen_ab")
        with self.precision():
            image = full_input((None, None, gen.inputs[0].shape[-1]), "image")
            noise = FixedNoise(dtype=gen.inputs[1].dtype, name="noise")(image)
            translation = image_output(gen([image, noise], training=False), "hard_tanh")
        return keras.Model(image, translation, name=way.name)


def _check_architecture(system: SinCUT) -> None:
    size, taps = system.image_size, system.taps
    if not isinstance(size, int):
        raise ValueError(
            f"image_size must be one number, received image_size={size}: SinCUT trains on square "
            "crops, whatever the shape of its pictures."
        )
    if size < 8 or size & (size - 1):
        raise ValueError(
            f"image_size must be a power of two from 8 on, received image_size={size}: the "
            "discriminator halves it down to 4."
        )
    of_width = {"width": generator_channels, "discriminator_width": discriminator_channels}
    for name, channels in of_width.items():
        if channels(value := getattr(system, name), size) < 1:
            raise ValueError(f"{name}={value} leaves no channels at image_size={size}; raise it.")
    if not taps or not set(taps) <= set(TAPS) or len(set(taps)) < len(taps):
        raise ValueError(f"taps must be different ones of {', '.join(TAPS)}, received taps={taps}.")
