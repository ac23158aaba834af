"""pix2pix: a U-Net learns from pairs, judged by a discriminator that sees both pictures.

Paper: Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", CVPR 2017,
arXiv 1611.07004.
Source: junyanz/pytorch-CycleGAN-and-pix2pix at commit c3268ed (BSD licence).

One direction; `data.swap` is the source's `--direction BtoA`. As in the source, the discriminator
is updated before the generator, on fakes that were made once; it sees fakes, then real pictures,
then the fakes again, and the averages of its batch normalisation move at each of the three. The
source differs from the paper: no dropout in the innermost level but in the three that follow it,
and no biases in front of batch normalisation.

Differs from the source: at use there is no dropout, so that a picture has one translation. What the
source's test program does with batch normalisation, the statistics of the picture itself, is
`statistics: picture`; `moving` is its `--eval`. A U-Net takes the size that it is trained on, and
no multiples of it. The learning rate falls at every step unless `epoch_steps` says otherwise, and
then at the ends of epochs. Transposed convolutions begin evenly (`tfi2i.layers.even_start`);
bilinear or nearest pixels before a plain one may stand in their place. The options of the source
that are CycleGAN's, a ResNet and a PixelGAN, are not here.

Shape letters: N images, H W space, C channels.
"""

from typing import Annotated, Any

import keras
import tensorflow as tf

from tfi2i import losses
from tfi2i.conditions import A_TO_B
from tfi2i.data.batches import Batch
from tfi2i.layers.dropout import drawn_masks, masked_by
from tfi2i.layers.normalization import Statistics
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
from tfi2i.networks.discriminators import patch_discriminator
from tfi2i.networks.ends import Norm, normal
from tfi2i.networks.generators import Upsampling, unet_generator
from tfi2i.optimizers import CoupledAdam, LinearDecay

DROPPED = 0.5  # share of values


@keras.saving.register_keras_serializable("tfi2i")
class Pix2Pix(ImageTranslator):
    """pix2pix: a translator a -> b, learned from pairs.

    Args:
        image_size: Side of the training images, or height and width, such as [256, 512]: multiples
            of 2^unet_levels, and the translator's only size.
        width: Channels of the translator's first layer (the source's `ngf`).
        unet_levels: Halvings of the U-Net (the source's `num_downs`: 8 in `unet_256`, 7 in
            `unet_128`).
        norm: "batch", the paper's, or "instance".
        statistics: Statistics of batch normalisation in a translator after training: "picture",
            each picture's own, or "moving", the averages of training. Weights fit both.
        upsampling: Way of enlarging the maps: "transposed" convolutions, the source's, or a 3 x 3
            convolution after "bilinear" or "nearest" pixels, which leaves no grid in translations.
        dropout: Noise in training: half of the values are dropped in the U-Net's levels as wide as
            the innermost but that one, of which there are some from 6 levels on.
        discriminator_width: Channels of the discriminator's first layer (the source's `ndf`).
        discriminator_depth: Halvings of the discriminator (the source's `n_layers_D`); 3 see
            70 x 70 pixels.
        channels: Channels of pictures: 1 (grey), 2, 3 (RGB) or 4 (with alpha), or a number for each
            domain, such as {a: 1, b: 3}.
    """

    loss_names = ("d_fake", "d_real", "g_gan", "g_l1")
    discriminator_terms = {("d_fake", "d_real"): 1}
    batch = Batch("paired")
    directions = A_TO_B
    inference_networks = ("gen_ab",)
    smoke = {
        "image_size": 32,
        "width": 4,
        "unet_levels": 4,
        "discriminator_width": 4,
        "discriminator_depth": 2,
    }

    def __init__(
        self,
        *,
        image_size: ImageSize = 256,
        width: Width = 64,
        unet_levels: Annotated[int, Between(2, 13)] = 8,
        norm: Norm = "batch",
        statistics: Statistics = "picture",
        upsampling: Upsampling = "transposed",
        dropout: bool = True,
        discriminator_width: Width = 64,
        discriminator_depth: Depth = 3,
        channels: Channels = 3,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.require_multiple(2**unet_levels, f"unet_levels={unet_levels}")
        depth = discriminator_depth
        self.require_least(3 * 2**depth, f"discriminator_depth={depth}")
        of_a, of_b = self.channels_of("a"), self.channels_of("b")
        with self.precision():
            self.gen_ab = unet_generator(
                *(self.sides, width, unet_levels, "gen_ab", (of_a, of_b), upsampling),
                norm=norm,
                statistics=statistics,
                dropout=DROPPED if dropout else 0.0,
            )
            self.disc = patch_discriminator(
                *(discriminator_width, depth, "disc", normal),
                norm=norm,
                channels=of_a + of_b,
            )
        self.built = True

    def compile(
        self,
        *,
        learning_rate: Rate = 2e-4,
        total_steps: Steps = 80_000,
        decay_start: Step | None = None,
        epoch_steps: Steps | None = None,
        gan_loss: losses.GanLoss = "non_saturating",
        l1_weight: Weight = 100.0,
        ema_decay: Decay | None = None,
    ):
        """Sets the numbers of training; the defaults are the source's.

        Args:
            learning_rate: Rate of both optimizers; Adam's betas are 0.5 and 0.999.
            total_steps: Number of training steps; 200 epochs of the 400 pairs of facades.
            decay_start: Last step at the full rate, which then falls to 0 at `total_steps`; null:
                half of them, as in the source; `total_steps`: never, as in the paper.
            epoch_steps: Steps of an epoch, at whose ends alone the rate falls, as in the source;
                null: it falls at every step.
            gan_loss: Adversarial loss; the source's is non-saturating (`vanilla`).
            l1_weight: Weight of the L1 distance from the truth.
            ema_decay: Decay of an average of the translator's weights, such as 0.999; null: none.
        """
        losses.refuse_wasserstein(gan_loss)
        start = total_steps // 2 if decay_start is None else decay_start
        rate = LinearDecay(learning_rate, total_steps, start, epoch_steps)
        self.prepare_training(lambda name: CoupledAdam(rate, beta_1=0.5), ema_decay)

    def optimizer_variables(self):
        return {"discriminator": trainable(self.disc), "generator": trainable(self.gen_ab)}

    def train_step(self, batch):
        full = self.dtype_policy.variable_dtype
        return self.finish_step(self.update(*(tf.cast(batch[key], full) for key in "ab")))

    def update(self, real_a, real_b) -> dict[str, Any]:
        """Updates discriminator, then generator; returns the unweighted terms.

        Args:
            real_a: (N, H, W, C).
            real_b: Truth (N, H, W, C).
        """
        with tf.GradientTape() as tape:
            with masked_by(self.masks()):
                fake_b = self.gen_ab(real_a, training=True)
            with tape.stop_recording():
                terms = self.discriminator_step(real_a, real_b, fake_b)
            terms["g_gan"] = losses.for_generator(self.gan_loss, self.judged(real_a, fake_b))
            terms["g_l1"] = losses.l1(fake_b, real_b)
            loss = terms["g_gan"] + self.l1_weight * terms["g_l1"]
        self.minimize("generator", loss, tape)
        return terms

    def discriminator_step(self, real_a, real_b, fake_b) -> dict[str, Any]:
        """Updates the discriminator; returns its two terms, of which it minimises the mean."""
        with tf.GradientTape() as tape:
            fake = losses.on_fake(self.gan_loss, self.judged(real_a, fake_b))
            real = losses.on_real(self.gan_loss, self.judged(real_a, real_b))
            loss = (fake + real) / 2
        self.minimize("discriminator", loss, tape)
        return {"d_fake": fake, "d_real": real}

    def judged(self, image_a, image_b):
        """Logits (N, h, w, 1) of pairs, in training."""
        return self.disc(tf.concat([image_a, image_b], -1), training=True)

    def masks(self):
        """The maker of this step's masks (N, h, w, K) of ones and zeros, one a dropout."""
        return drawn_masks(map(self.draw_seed, range(16)))
