"""CUT and FastCUT: a patch of the translation shall be nearest to the same patch of its input.

Paper: Park et al., "Contrastive Learning for Unpaired Image-to-Image Translation", ECCV 2020,
arXiv 2007.15651.
Source: taesungp/contrastive-unpaired-translation at commit b3ac297 (`--CUT_mode CUT` and
`FastCUT`, BSD licence).

One direction, one generator, one discriminator. The generator's own first half also encodes, its
input and its translation: maps of five of its layers (the taps), at random positions, projected by
small heads. PatchNCE makes each projected patch of the translation tell its own place in the input
from the other drawn places. CUT does the same with images of the target domain, which the generator
shall leave as they are; FastCUT leaves that out and mirrors the generator's input at random.

Differs from the source: without mirroring, PatchNCE's keys are the maps of the pass that
translates, and with it their encoding is kept out of the gradient, where the source encodes again
and throws the gradient away; the optimizers of generator and heads, of the same settings, are one.
All of these leave the numbers alone. The learning rate falls at every step unless `epoch_steps`
says otherwise, and the source's training without crops in the decaying half is not done. Nearest
pixels, and transposed convolutions without blurs, begin evenly (`tfi2i.layers.even_start`).

Shape letters: N images, H W space, C channels, P positions, D features.
"""

from typing import Annotated, Any, ClassVar

import keras
import tensorflow as tf

from tfi2i import losses
from tfi2i.conditions import A_TO_B
from tfi2i.limits import (
    MOST_PATCHES,
    Between,
    Blocks,
    Channels,
    Decay,
    Depth,
    Features,
    ImageSize,
    Rate,
    Step,
    Steps,
    Temperature,
    Weight,
    Width,
)
from tfi2i.models.arguments import with_defaults
from tfi2i.models.model import ImageTranslator, trainable
from tfi2i.networks.discriminators import patch_discriminator
from tfi2i.networks.ends import in_channels, xavier
from tfi2i.networks.generators import Upsampling, resnet_generator
from tfi2i.networks.patch_features import (
    draw_positions,
    mean_patch_nce,
    patch_features,
    patch_heads,
)
from tfi2i.optimizers import CoupledAdam, LinearDecay


@keras.saving.register_keras_serializable("tfi2i")
class CUT(ImageTranslator):
    """CUT: contrastive unpaired translation, with the identity term.

    Args:
        image_size: Side of the training images, or height and width, such as [96, 320]: multiples
            of 4; translators take any size.
        width: Channels of the generator's first layer (the source's `ngf`).
        blocks: Residual blocks of the generator.
        discriminator_width: Channels of the discriminator's first layer (the source's `ndf`).
        discriminator_depth: Times the discriminator halves the image (the source's `n_layers_D`).
        antialias: Blur of both networks while they sample down, where the generator samples up
            bilinearly, instead of strided and transposed convolutions.
        upsampling: Way of enlarging the maps: "transposed" convolutions, or a 3 x 3
            convolution after "bilinear" or "nearest" pixels, which leaves no grid in translations;
            null: the source's, bilinear with `antialias`, else transposed.
        taps: Layers of the generator whose maps PatchNCE compares, from conv0_pad (the image), the
            convolutions conv0, down0, down1 and the residual blocks block0, block1 and so on (the
            source's `nce_layers` 0, 4, 8, 12 and 16).
        features: Length of the vectors that are compared (the source's `netF_nc`).
        channels: Channels of pictures: 1 (grey), 2, 3 (RGB) or 4 (with alpha), or a number for each
            domain, such as {a: 1, b: 3}.
    """

    loss_names: ClassVar[tuple[str, ...]] = ("d_real", "d_fake", "g_gan", "g_nce", "g_nce_same")
    discriminator_terms = {("d_real", "d_fake"): 1}
    directions = A_TO_B
    inference_networks = ("gen_ab",)
    smoke = {
        "image_size": 32,
        "width": 4,
        "blocks": 1,
        "discriminator_width": 4,
        "discriminator_depth": 2,
        "taps": ("conv0_pad", "down0", "block0"),
        "features": 16,
    }
    identity: ClassVar[bool] = True
    """Whether the target domain's images are translated too, and compared."""
    full_rate_share: ClassVar[float] = 1 / 2
    """Of the training, before the learning rate falls."""

    def __init__(
        self,
        *,
        image_size: ImageSize = 256,
        width: Width = 64,
        blocks: Blocks = 9,
        discriminator_width: Width = 64,
        discriminator_depth: Depth = 3,
        antialias: bool = True,
        upsampling: Upsampling | None = None,
        taps: tuple[str, ...] = ("conv0_pad", "down0", "down1", "block0", "block4"),
        features: Features = 256,
        channels: Channels = 3,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self._check_architecture()
        of_a, of_b = self.channels_of("a"), self.channels_of("b")
        with self.precision():
            self.gen_ab = gen = resnet_generator(
                width,
                blocks,
                "gen_ab",
                xavier,
                antialias=antialias,
                upsampling=upsampling,
                channels=(of_a, of_b),
            )
            maps = [gen.get_layer(tap).output for tap in taps]
            self.gen_and_maps = keras.Model(gen.input, [gen.output, *maps], name="gen_and_maps")
            self.encoder = keras.Model(gen.input, maps, name="encoder")
            self.disc_b = patch_discriminator(
                discriminator_width,
                discriminator_depth,
                "disc_b",
                xavier,
                antialias=antialias,
                channels=of_b,
            )
            self.heads = patch_heads(taps, maps, features)
        self.built = True

    def compile(
        self,
        *,
        learning_rate: Rate = 2e-4,
        total_steps: Steps = 533_600,
        decay_start: Step | None = None,
        epoch_steps: Steps | None = None,
        gan_loss: losses.GanLoss = "least_squares",
        gan_weight: Weight = 1.0,
        nce_weight: Weight = 1.0,
        flip_equivariance: bool = False,
        patches: Annotated[int, Between(2, MOST_PATCHES)] = 256,
        temperature: Temperature = 0.07,
        negatives_from_batch: bool = False,
        ema_decay: Decay | None = None,
    ):
        """Sets the numbers of training; the defaults are the source's.

        Args:
            learning_rate: Rate of both optimizers; Adam's betas are 0.5 and 0.999.
            total_steps: Number of training steps; 400 epochs (FastCUT: 200) of 1,334 images.
            decay_start: Last step at the full rate, which then falls to 0 at `total_steps`; null:
                half of them for CUT, three quarters for FastCUT, as in the source.
            epoch_steps: Steps of an epoch, at whose ends alone the rate falls, as in the source;
                null: it falls at every step.
            gan_loss: Adversarial loss.
            gan_weight: Weight of the generator's adversarial term.
            nce_weight: Weight of PatchNCE, for CUT of the mean of its two terms.
            flip_equivariance: Mirroring, every second step by chance, of what the generator
                gets; its translation, mirrored back, is compared with the image as it was.
            patches: Positions of each map that a step compares, at least 2, if there are as many.
            temperature: Temperature of PatchNCE's softmax.
            negatives_from_batch: True: negatives come from all images of a batch, else from one.
            ema_decay: Decay of an average of the translator's weights, such as 0.999; null: none.
        """
        losses.refuse_wasserstein(gan_loss)
        start = int(self.full_rate_share * total_steps) if decay_start is None else decay_start
        rate = LinearDecay(learning_rate, total_steps, start, epoch_steps)
        self.prepare_training(lambda name: CoupledAdam(rate, beta_1=0.5), ema_decay)

    def optimizer_variables(self):
        """The source's optimizer of the heads has the generator's settings: here they are one."""
        return {
            "discriminator": trainable(self.disc_b),
            "generator": trainable(self.gen_ab, *self.heads),
        }

    def train_step(self, batch):
        flip = self.draw_flip() if self.flip_equivariance else None
        return self.finish_step(self.update(batch["a"], batch["b"], flip))

    def update(self, real_a, real_b, flip=None) -> dict[str, Any]:
        """Updates discriminator, then generator and heads; returns the unweighted terms.

        Args:
            real_a: (N, H, W, 3).
            real_b: (N, H, W, 3).
            flip: Mirroring of the generator's input, a scalar tensor; None: never.
        """
        _, own_b = self.as_sources(real_a, real_b)
        images = tf.concat([real_a, own_b], 0) if self.identity else real_a
        with tf.GradientTape() as tape:
            translated, *key_maps = self.gen_and_maps(_mirrored(images, flip), training=True)
            fake_b = translated[: tf.shape(real_b)[0]]
            with tape.stop_recording():
                terms = self.discriminator_step(real_b, fake_b)
                if flip is not None:  # keys are of the images as they are
                    key_maps = tf.nest.flatten(self.encoder(images, training=True))
            logits = self.disc_b(fake_b, training=True)
            seen = in_channels(translated, real_a.shape[-1])
            query_maps = tf.nest.flatten(self.encoder(seen, training=True))
            pairs = zip(self._by_domain(query_maps), self._by_domain(key_maps), strict=True)
            nce = [self.contrast(*pair, domain, flip) for domain, pair in enumerate(pairs)]
            terms["g_gan"] = losses.for_generator(self.gan_loss, logits)
            terms |= zip(("g_nce", "g_nce_same"), nce, strict=False)
            loss = self.gan_weight * terms["g_gan"] + self.nce_weight * tf.add_n(nce) / len(nce)
        self.minimize("generator", loss, tape)
        return terms

    def discriminator_step(self, real_b, fake_b) -> dict[str, Any]:
        """Updates the discriminator; returns its two terms, of which it minimises the mean."""
        with tf.GradientTape() as tape:
            real = losses.on_real(self.gan_loss, self.disc_b(real_b, training=True))
            fake = losses.on_fake(self.gan_loss, self.disc_b(fake_b, training=True))
            loss = (real + fake) / 2
        self.minimize("discriminator", loss, tape)
        return {"d_real": real, "d_fake": fake}

    def contrast(self, query_maps, key_maps, domain: int, flip=None):
        """PatchNCE of one domain's translations, the mean over the taps.

        Args:
            query_maps: Taps' maps (N, H, W, C) of the translations.
            key_maps: Taps' maps of the images.
            domain: 0 for a, 1 for b.
            flip: Mirroring of the translations.
        """
        positions = self.positions(key_maps, domain)
        own = [_mirrored_positions(*pair, flip) for pair in zip(positions, query_maps, strict=True)]
        queries = patch_features(query_maps, self.heads, own)
        keys = patch_features(key_maps, self.heads, positions)
        return mean_patch_nce(queries, keys, self.temperature, self.negatives_from_batch)

    def draw_flip(self):
        """Whether this step mirrors, a scalar bool."""
        return tf.random.stateless_uniform((), self.draw_seed(0)) < 0.5

    def positions(self, maps, domain: int) -> list[Any]:
        """The positions (P,) of each map (N, H, W, C) that this step compares; domain 0 is a."""
        return draw_positions(maps, self.patches, self.draw_seed(1 + domain))

    def _by_domain(self, maps) -> list[tuple[Any, ...]]:
        """The taps' maps of the a images, and in CUT those of the b images."""
        return list(zip(*(tf.split(one, 2 if self.identity else 1) for one in maps), strict=True))

    def _check_architecture(self) -> None:
        depth = self.discriminator_depth
        # The discriminator's last two layers take a pixel each.
        self.require_image_size(3 * 2**depth, f"discriminator_depth={depth}")
        choices = ["conv0_pad", "conv0", "down0", "down1"]
        choices += [f"block{i}" for i in range(self.blocks)]
        taps = self.taps
        if not taps or not set(taps) <= set(choices) or len(set(taps)) < len(taps):
            raise ValueError(
                f"taps must be different ones of {', '.join(choices)} for blocks={self.blocks}, "
                f"received taps={taps}."
            )


@keras.saving.register_keras_serializable("tfi2i")
class FastCUT(CUT):
    """FastCUT: CUT without the identity term, mirrored at random, in half the steps.

    Its constructor takes what that of `CUT` takes.
    """

    loss_names = ("d_real", "d_fake", "g_gan", "g_nce")
    identity = False
    full_rate_share = 3 / 4
    compile = with_defaults(
        CUT.compile, total_steps=266_800, nce_weight=10.0, flip_equivariance=True
    )


def _mirrored(images, flip):
    """The images (N, H, W, 3), left and right exchanged if `flip` says so."""
    return images if flip is None else tf.where(flip, tf.reverse(images, [2]), images)


def _mirrored_positions(positions, one, flip):
    """Where positions (P,) of a map (N, H, W, C) are if `flip` says that the map is mirrored.

    Reading the map there is mirroring it back and reading it at `positions`, without the copy.
    """
    if flip is None:
        return positions
    width = tf.cast(tf.shape(one)[2], positions.dtype)
    return tf.where(flip, positions + width - 1 - 2 * (positions % width), positions)
