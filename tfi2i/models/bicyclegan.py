"""BicycleGAN: pairs give one picture many translations, chosen by a style.

Paper: Zhu et al., "Toward Multimodal Image-to-Image Translation", NeurIPS 2017, arXiv 1711.11586.
Source: junyanz/BicycleGAN at commit 40b9d52 (BSD licence).

Two cycles share a translator (image, style) -> image. cVAE-GAN reads the style off the truth, and
the translation shall be the truth. cLR-GAN draws a style, which shall be read off the translation;
the encoder is not trained by that, or both would hide the style in the picture. Each cycle has a
discriminator. Of a batch the first half is translated; of the second half the truth alone is used,
as the real pictures of the second discriminator.

Differs from the source: the encoder takes the mean over its last maps of any size, where the source
does of 8 x 8 (the same at 256 x 256). Kernels start by Xavier's rule as it is, like the source's
first versions, where its last one multiplies them by 0.02, and those of transposed convolutions
evenly (`tfi2i.layers.even_start`); bilinear or nearest pixels before a plain convolution may stand
in their place. A batch of an odd number has its middle picture in both halves. Dropout is on in
training, as in the source's scripts. The learning rate falls at every step unless `epoch_steps`
says otherwise, and then at the ends of epochs.

Shape letters: N images, H W space, C channels, S numbers of a style.
"""

from typing import Annotated, Any

import keras
import tensorflow as tf
from keras import layers

from tfi2i import losses
from tfi2i.conditions import A_TO_B, Condition
from tfi2i.data.batches import Batch
from tfi2i.layers.convolution import LeakyReLU
from tfi2i.layers.dropout import Dropout, drawn_masks, masked_by
from tfi2i.layers.normalization import InstanceNormalization
from tfi2i.limits import (
    Between,
    Channels,
    Decay,
    Depth,
    ImageSize,
    Rate,
    Step,
    Steps,
    Weight,
    Width,
)
from tfi2i.models.model import ImageTranslator, trainable
from tfi2i.networks.discriminators import judged, multi_scale_discriminator
from tfi2i.networks.encoders import variational_encoder
from tfi2i.networks.ends import SLOPE, conv, full_input, image_output
from tfi2i.networks.generators import Upsampling, doubled
from tfi2i.networks.styled import with_style
from tfi2i.optimizers import CoupledAdam, LinearDecay

DROPPED = 0.5  # share of values
SCALES = 2  # of each discriminator (the source's `num_Ds`)

# networks


def _xavier() -> keras.initializers.Initializer:
    return keras.initializers.VarianceScaling(1.0, "fan_avg", "untruncated_normal")


def unet_with_style(
    size: tuple[int, int],
    width: int,
    levels: int,
    style_size: int,
    name: str,
    channels: tuple[int, int] = (3, 3),
    *,
    upsampling: Upsampling = "transposed",
    dropout: float = 0.0,
) -> keras.Model:
    """Image (N, H, W, C), style (N, S) -> image (N, H, W, C) in [-1, 1]: a U-Net.

    The style joins what goes into every convolution on the way down, in front of its leaky ReLU;
    skips are without it. On the way up the level's own map comes first, then the skip, the other
    way round than in pix2pix.

    Args:
        size: Height and width, multiples of 2^levels.
        width: Channels of the first layer (the source's `ngf`), doubled on each level up to 8
            times.
        levels: Convolutions of stride 2.
        style_size: Numbers of a style (`nz`).
        name: Name of the model.
        channels: Channels of the image that goes in and of the one that comes out.
        upsampling: Way of doubling the maps.
        dropout: Share of values that training drops on the way up, as in `unet_generator`.
    """
    image = full_input((*size, channels[0]), "image")
    style = full_input((style_size,), "style")
    x, skips = image, []
    for i in range(levels):
        skips.append(x)
        x = with_style(x, style, f"down{i}_style")
        if i > 0:
            x = LeakyReLU(SLOPE, name=f"down{i}_lrelu")(x)
        x = layers.ZeroPadding2D(1, name=f"down{i}_pad")(x)
        x = conv(x, width * min(2**i, 8), 4, 2, f"down{i}", _xavier)
        if 0 < i < levels - 1:
            x = InstanceNormalization(name=f"down{i}_norm")(x)
    for i in reversed(range(levels)):
        filters = channels[1] if i == 0 else width * min(2 ** (i - 1), 8)
        x = layers.ReLU(name=f"up{i}_relu")(x)
        x = doubled(x, filters, 4, upsampling, f"up{i}", _xavier)
        if i > 0:
            x = InstanceNormalization(name=f"up{i}_norm")(x)
            if dropout and 4 <= i < levels - 1:
                x = Dropout(dropout, name=f"up{i}_dropout")(x)
            x = layers.Concatenate(name=f"up{i}_skip")([x, skips[i]])
    return keras.Model([image, style], image_output(x, "tanh"), name=name)


# the system


@keras.saving.register_keras_serializable("tfi2i")
class BicycleGAN(ImageTranslator):
    """BicycleGAN: translations a -> b in many styles, learned from pairs.

    Args:
        image_size: Side of the training images, or height and width: multiples of 2^unet_levels,
            and the translator's only size.
        width: Channels of the translator's first layer (the source's `ngf`).
        unet_levels: Halvings of the U-Net (8 in `unet_256`, 7 in `unet_128`).
        style_size: Numbers of a style (`nz`).
        upsampling: Way of enlarging the maps: "transposed" convolutions, the paper's, or a 3 x 3
            convolution after "bilinear" or "nearest" pixels, which leaves no grid in translations.
        dropout: Noise in training: half of the values are dropped in the U-Net's levels as wide as
            the innermost but that one, of which there are some from 6 levels on.
        encoder_width: Channels of the style encoder's first layer (`nef`).
        encoder_blocks: Residual blocks of the style encoder (4 in `resnet_256`).
        discriminator_width: Channels of the first layer of each discriminator's first scale
            (`ndf`).
        discriminator_depth: Halvings in each scale; 3 see 70 x 70 pixels of it.
        channels: Channels of pictures: 1 (grey), 2, 3 (RGB) or 4 (with alpha), or a number for each
            domain, such as {a: 1, b: 3}.
    """

    loss_names = (
        *("g_encoded", "g_random", "g_l1", "g_kl", "g_style"),
        *("d_encoded_fake", "d_encoded_real", "d_random_fake", "d_random_real"),
    )
    discriminator_terms = {
        ("d_encoded_fake", "d_encoded_real"): SCALES,
        ("d_random_fake", "d_random_real"): SCALES,
    }
    batch = Batch("paired")
    directions = A_TO_B
    inference_networks = ("gen_ab", "encoder")
    smoke = {
        "image_size": 32,
        "width": 4,
        "unet_levels": 4,
        "encoder_width": 4,
        "encoder_blocks": 1,
        "discriminator_width": 4,
        "discriminator_depth": 1,
    }

    def __init__(
        self,
        *,
        image_size: ImageSize = 256,
        width: Width = 64,
        unet_levels: Annotated[int, Between(2, 13)] = 8,
        style_size: Annotated[int, Between(1, 1024)] = 8,
        upsampling: Upsampling = "transposed",
        dropout: bool = True,
        encoder_width: Width = 64,
        encoder_blocks: Annotated[int, Between(1, 11)] = 4,
        discriminator_width: Width = 64,
        discriminator_depth: Depth = 3,
        channels: Channels = 3,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.require_multiple(2**unet_levels, f"unet_levels={unet_levels}")
        # The last scale's last layers take a pixel each.
        smallest = 3 * 2 ** (discriminator_depth + SCALES - 1)
        self.require_least(smallest, f"discriminator_depth={discriminator_depth}")
        self.require_least(2 ** (encoder_blocks + 1), f"encoder_blocks={encoder_blocks}")
        of_a, of_b = self.channels_of("a"), self.channels_of("b")
        dropped = DROPPED if dropout else 0.0
        judge = discriminator_width, discriminator_depth, SCALES
        with self.precision():
            self.gen_ab = unet_with_style(
                *(self.sides, width, unet_levels, style_size, "gen_ab", (of_a, of_b)),
                upsampling=upsampling,
                dropout=dropped,
            )
            self.encoder = variational_encoder(
                *(encoder_width, encoder_blocks, style_size, "encoder", (_xavier, _xavier)),
                channels=of_b,
            )
            self.disc_encoded, self.disc_random = (
                multi_scale_discriminator(*judge, name, _xavier, channels=of_b)
                for name in ("disc_encoded", "disc_random")
            )
        self.built = True

    def compile(
        self,
        *,
        learning_rate: Rate = 2e-4,
        total_steps: Steps = 80_000,
        decay_start: Step | None = None,
        epoch_steps: Steps | None = None,
        gan_loss: losses.GanLoss = "least_squares",
        l1_weight: Weight = 10.0,
        kl_weight: Weight = 0.01,
        style_weight: Weight = 0.5,
        ema_decay: Decay | None = None,
    ):
        """Sets the numbers of training; the defaults are the source's.

        Args:
            learning_rate: Rate of all optimizers; Adam's betas are 0.5 and 0.999.
            total_steps: Number of training steps; 400 epochs of facades' 200 batches of 2.
            decay_start: Last step at the full rate, which then falls to 0 at `total_steps`; null:
                half of them, as in the source; `total_steps`: never.
            epoch_steps: Steps of an epoch, at whose ends alone the rate falls, as in the source;
                null: it falls at every step.
            gan_loss: Adversarial loss.
            l1_weight: Weight of the L1 distance from the truth, by the truth's style.
            kl_weight: Weight of the divergence of styles from N(0, 1), a sum over a half of the
                batch.
            style_weight: Weight of the L1 distance of a drawn style from what the encoder reads.
            ema_decay: Decay of averages of the weights of translator and encoder; null: none.
        """
        losses.refuse_wasserstein(gan_loss)
        start = total_steps // 2 if decay_start is None else decay_start
        rate = LinearDecay(learning_rate, total_steps, start, epoch_steps)
        self.prepare_training(lambda name: CoupledAdam(rate, beta_1=0.5), ema_decay)

    def optimizer_variables(self):
        return {
            "encoder": trainable(self.encoder),
            "generator": trainable(self.gen_ab),
            "discriminator": trainable(self.disc_encoded, self.disc_random),
        }

    @property
    def conditions(self):
        return (Condition("style", "style", (self.style_size,), encode=self.style_reader),)

    def train_step(self, batch):
        full = self.dtype_policy.variable_dtype
        real_a, real_b = (tf.cast(batch[key], full) for key in "ab")
        half = (tf.shape(real_a)[0] + 1) // 2
        return self.finish_step(self.update(real_a[:half], real_b[:half], real_b[-half:]))

    def update(self, real_a, real_b, other_b) -> dict[str, Any]:
        """Updates encoder and translator, then the discriminators; returns the unweighted terms.

        Args:
            real_a: (N, H, W, C).
            real_b: Truth (N, H, W, C).
            other_b: Real pictures (N, H, W, C) of domain b, for the second discriminator.
        """
        noise, drawn = self.draws(tf.shape(real_a)[0], real_b.dtype)
        with tf.GradientTape() as encoder_tape, tf.GradientTape() as generator_tape:
            mean, log_variance = self.encoder(real_b, training=True)
            encoded = mean + tf.exp(log_variance / 2) * noise
            fake_encoded, fake_random = self.translated(real_a, encoded, drawn)
            terms = {
                "g_encoded": self._fooling(self.disc_encoded, fake_encoded),
                "g_random": self._fooling(self.disc_random, fake_random),
                "g_l1": losses.l1(fake_encoded, real_b),
                "g_kl": losses.gaussian_kl(mean, log_variance),
                "g_style": losses.l1(self.encoder(fake_random, training=True)[0], drawn),
            }
            loss = terms["g_encoded"] + terms["g_random"]
            loss += self.l1_weight * terms["g_l1"] + self.kl_weight * terms["g_kl"]
            whole = loss + self.style_weight * terms["g_style"]
        self.minimize("encoder", loss, encoder_tape)
        self.minimize("generator", whole, generator_tape)
        return terms | self.discriminator_step(fake_encoded, fake_random, real_b, other_b)

    def translated(self, real_a, encoded, drawn) -> list[Any]:
        """Translations of images (N, H, W, C) by two styles (N, S) each, in one pass."""
        inputs = [tf.concat([real_a, real_a], 0), tf.concat([encoded, drawn], 0)]
        with masked_by(self.masks()):
            return tf.split(self.gen_ab(inputs, training=True), 2)

    def _fooling(self, disc, fake):
        """The adversarial loss of translations."""
        (logits,) = judged(disc, fake)
        return losses.over_scales(losses.for_generator, self.gan_loss, logits)

    def discriminator_step(self, fake_encoded, fake_random, real_b, other_b) -> dict[str, Any]:
        """Updates the discriminators, by fakes of before; returns their terms."""
        terms = {}
        with tf.GradientTape() as tape:
            for name, disc, fake, real in (
                ("encoded", self.disc_encoded, fake_encoded, real_b),
                ("random", self.disc_random, fake_random, other_b),
            ):
                on_fake, on_real = judged(disc, fake, real)
                kind = self.gan_loss
                terms[f"d_{name}_fake"] = losses.over_scales(losses.on_fake, kind, on_fake)
                terms[f"d_{name}_real"] = losses.over_scales(losses.on_real, kind, on_real)
            loss = tf.add_n(list(terms.values()))
        self.minimize("discriminator", loss, tape)
        return terms

    def draws(self, count, dtype) -> tuple[Any, Any]:
        """This step's noise of encoded styles (N, S), and its drawn styles (N, S)."""
        shape = (count, self.style_size)
        noise, drawn = (
            tf.random.stateless_normal(shape, self.draw_seed(stream)) for stream in range(2)
        )
        return tf.cast(noise, dtype), tf.cast(drawn, dtype)

    def masks(self):
        """The maker of this step's masks (N, h, w, K) of ones and zeros, one a dropout."""
        return drawn_masks(map(self.draw_seed, range(2, 16)))

    def network(self, direction=None):
        way = self.direction(direction)
        gen = self.inference_network("gen_ab")
        image, style = (
            keras.Input(one.shape[1:], name=name, dtype=one.dtype)
            for name, one in zip(("image", "style"), gen.inputs, strict=True)
        )
        translation = gen([image, style], training=False)
        return keras.Model([image, style], translation, name=way.name)

    def style_reader(self, target: str | None) -> keras.Model:
        """The network picture (N, H, W, C) -> mean of its style (N, S)."""
        encoder = self.inference_network("encoder")
        picture = keras.Input(encoder.input_shape[1:], name="picture", dtype=encoder.input.dtype)
        return keras.Model(picture, encoder(picture, training=False)[0], name="style_encoder")
