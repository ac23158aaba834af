"""UNIT: two domains have one code, and a picture's code decodes to its translation.

Paper: Liu et al., "Unsupervised Image-to-Image Translation Networks", NeurIPS 2017, arXiv
1703.00848.
Source: NVlabs/MUNIT at commit a82e222, the authors' new version, with the weights of
mingyuliutw/UNIT at commit 28d5982 (CC BY-NC-SA 4.0; written anew, nothing of it is copied).

Each domain has a variational autoencoder and a discriminator. Codes are normal with a variance of
1 around what the encoder says. A code is decoded in both domains, and the translation is encoded
and decoded again: a cycle, with the same divergence of its code.

Differs from the source: the last residual blocks of both encoders and the first of both decoders
are the same layers, `shared_blocks` of each, as in the paper and its first code; 0 is the source,
which shares nothing. The perceptual loss, which is off in the source's defaults, is not there.
Differs from the paper, as the source does: its networks are deeper and normalised, least squares
stand in place of the logarithm, and all weights are a tenth.

Shape letters: N images, H W space (h w = H W / 4^halvings), C channels of images, K = width
2^halvings.
"""

from collections.abc import Mapping
from typing import Annotated, Any

import keras
import tensorflow as tf

from tfi2i import losses
from tfi2i.limits import (
    Between,
    Blocks,
    Channels,
    Decay,
    Depth,
    ImageSize,
    Rate,
    Share,
    Steps,
    Weight,
    Width,
)
from tfi2i.models.model import ImageTranslator, summed, trainable
from tfi2i.networks.discriminators import judged, reflecting_discriminator
from tfi2i.networks.encoders import content_encoder
from tfi2i.networks.ends import each, full_input, he_normal, normal
from tfi2i.networks.generators import image_of_code, residual_block
from tfi2i.optimizers import CoupledAdam, StepDecay

# networks


def shared_blocks_of(channels: int, numbers: range, name: str) -> keras.Model | None:
    """Code (N, h, w, K) -> the same, by residual blocks of these numbers; None without any."""
    if not numbers:
        return None
    x = code = full_input((None, None, channels), "code")
    for i in numbers:
        x = residual_block(x, f"block{i}", he_normal)
    return keras.Model(code, x, name=name)


def decoder(
    width: int,
    halvings: int,
    numbers: range,
    name: str,
    *,
    channels: int = 3,
    first: keras.Model | None = None,
) -> keras.Model:
    """Code (N, h, w, K) -> image (N, H, W, C) in [-1, 1].

    Args:
        width: Channels of the last map, and of the encoder's first.
        halvings: Halvings of the encoder.
        numbers: Numbers of the residual blocks of its own.
        name: Name of the model.
        channels: Channels of the image.
        first: Network of residual blocks before them, which other decoders have too.
    """
    code = full_input((None, None, width * 2**halvings), "code")
    x = code if first is None else first(code)
    for i in numbers:
        x = residual_block(x, f"block{i}", he_normal)
    return keras.Model(code, image_of_code(x, halvings, channels, he_normal), name=name)


# the system


@keras.saving.register_keras_serializable("tfi2i")
class UNIT(ImageTranslator):
    """UNIT: unpaired translation both ways through a code that the domains share.

    Args:
        image_size: Side of the training images, or height and width: multiples of 2^halvings.
        width: Channels of the first layer of encoders (the source's `dim`).
        halvings: Convolutions of stride 2 of the encoders (`n_downsample`).
        blocks: Residual blocks of each encoder and of each decoder (`n_res`).
        shared_blocks: Residual blocks, of these, that both encoders have together at their end, and
            as many of both decoders at their beginning; 0: none, as in the source.
        discriminator_width: Channels of the first layer of each scale of a discriminator.
        discriminator_depth: Halvings in each scale (`n_layer`).
        discriminator_scales: Scales of each discriminator (`num_scales`).
        channels: Channels of pictures: 1 (grey), 2, 3 (RGB) or 4 (with alpha), or a number for each
            domain, such as {a: 1, b: 3}.
    """

    loss_names = ("d_a", "d_b", "g_adv", "g_same", "g_cycle", "g_kl_code", "g_kl_again")
    discriminator_terms = {("d_a",): 3, ("d_b",): 3}  # of `discriminator_scales`
    inference_networks = ("gen_ab", "gen_ba")
    smoke = {
        "image_size": 32,
        "width": 4,
        "blocks": 2,
        "discriminator_width": 4,
        "discriminator_depth": 2,
    }

    def __init__(
        self,
        *,
        image_size: ImageSize = 256,
        width: Width = 64,
        halvings: Annotated[int, Between(1, 6)] = 2,
        blocks: Blocks = 4,
        shared_blocks: Annotated[int, Between(0, 256)] = 1,
        discriminator_width: Width = 64,
        discriminator_depth: Depth = 4,
        discriminator_scales: Annotated[int, Between(1, 6)] = 3,
        channels: Channels = 3,
        **kwargs,
    ):
        super().__init__(**kwargs)
        _check_architecture(self)
        scales = discriminator_scales
        # Not by Keras, which would save it.
        self.__dict__["discriminator_terms"] = {("d_a",): scales, ("d_b",): scales}
        judge = discriminator_width, discriminator_depth, scales
        own = blocks - shared_blocks
        with self.precision():
            code = width * 2**halvings
            last = shared_blocks_of(code, range(own, blocks), "shared_encoder")
            first = shared_blocks_of(code, range(shared_blocks), "shared_decoder")
            for domain in "ab":
                ends: dict[str, Any] = {"channels": self.channels_of(domain)}
                encoder = content_encoder(
                    *(width, halvings, own, f"enc_{domain}", he_normal), last=last, **ends
                )
                inside = width, halvings, range(shared_blocks, blocks)
                for network in (
                    encoder,
                    decoder(*inside, f"dec_{domain}", first=first, **ends),
                    reflecting_discriminator(*judge, f"disc_{domain}", normal, **ends),
                ):
                    setattr(self, network.name, network)
            self.gen_ab = self._translator("gen_ab", self.enc_a, self.dec_b)
            self.gen_ba = self._translator("gen_ba", self.enc_b, self.dec_a)
        self.built = True

    def _translator(self, name: str, enc: keras.Model, dec: keras.Model) -> keras.Model:
        """Image (N, H, W, C) -> image (N, H, W, C), of a code without noise."""
        image = full_input(enc.input_shape[1:], "image")
        return keras.Model(image, dec(enc(image)), name=name)

    def compile(
        self,
        *,
        learning_rate: Rate = 1e-4,
        total_steps: Steps = 1_000_000,
        decay_steps: Steps = 100_000,
        decay_factor: Share = 0.5,
        l2: Share = 1e-4,
        gan_loss: losses.GanLoss = "least_squares",
        adv_weight: Weight = 1.0,
        identity_weight: Weight = 10.0,
        kl_weight: Weight = 0.01,
        cycle_weight: Weight = 10.0,
        cycle_kl_weight: Weight = 0.01,
        ema_decay: Decay | None = None,
    ):
        """Sets the numbers of training; the defaults are the source's.

        Args:
            learning_rate: Rate of both optimizers; Adam's betas are 0.5 and 0.999.
            total_steps: Number of training steps.
            decay_steps: Steps after which the rate falls, again and again.
            decay_factor: Factor of each fall.
            l2: Coupled weight decay, added to the gradient of every variable.
            gan_loss: Adversarial loss; the source's are least squares and non-saturating.
            adv_weight: Weight of the adversarial terms (`gan_w`).
            identity_weight: Weight of the L1 distance of an image from what its own code makes
                (`recon_x_w`).
            kl_weight: Weight of the divergence of codes, the mean of their squares (`recon_kl_w`).
            cycle_weight: Weight of the L1 distance after there and back (`recon_x_cyc_w`).
            cycle_kl_weight: Weight of the divergence of translations' codes (`recon_kl_cyc_w`).
            ema_decay: Decay of an average of the translators' weights, such as 0.999; null: none.
        """
        losses.refuse_wasserstein(gan_loss)
        rate = StepDecay(learning_rate, decay_steps, decay_factor)
        self.prepare_training(lambda name: CoupledAdam(rate, beta_1=0.5, l2=l2), ema_decay)

    def optimizer_variables(self):
        """One optimizer for both discriminators, one for encoders and decoders."""
        networks = trainable(self.enc_a, self.dec_a, self.enc_b, self.dec_b)
        return {
            "discriminator": trainable(self.disc_a, self.disc_b),
            "generator": list({id(one): one for one in networks}.values()),  # shared ones once
        }

    def train_step(self, batch):
        full = self.dtype_policy.variable_dtype
        real_a, real_b = tf.cast(batch["a"], full), tf.cast(batch["b"], full)
        noise = self.noise(tf.shape(real_a)[0])
        terms = self.discriminator_step(real_a, real_b, noise)
        terms |= self.generator_step(real_a, real_b, noise)
        return self.finish_step(terms)

    def noise(self, count) -> dict[str, Any]:
        """This step's noise on codes, N(0, 1) of (N, h, w, K), by the code it goes with.

        `dis_a` and `dis_b` are the discriminators' update's; `gen_a` and `gen_b`, and `again_a`
        and `again_b` of the translations of a and of b, are the generators'.
        """
        height, width = (side // 2**self.halvings for side in self.sides)
        shape = (count, height, width, self.width * 2**self.halvings)
        names = (f"{part}_{domain}" for part in ("dis", "gen", "again") for domain in "ab")
        return {
            name: tf.cast(
                tf.random.stateless_normal(shape, self.draw_seed(stream)),
                self.dtype_policy.variable_dtype,
            )
            for stream, name in enumerate(names)
        }

    def discriminator_step(self, real_a, real_b, noise: Mapping[str, Any]) -> dict[str, Any]:
        """Updates the discriminators; returns their unweighted terms `d_a`, `d_b`."""
        fake_b = self.dec_b(self._code(self.enc_a, real_a) + noise["dis_a"], training=True)
        fake_a = self.dec_a(self._code(self.enc_b, real_b) + noise["dis_b"], training=True)
        terms = {}
        with tf.GradientTape() as tape:
            for name, disc, real, fake in (
                ("d_a", self.disc_a, real_a, fake_a),
                ("d_b", self.disc_b, real_b, fake_b),
            ):
                on_real, on_fake = judged(disc, real, fake)
                # Sums over the scales, whose mean would weigh less.
                terms[name] = losses.over_scales(losses.on_real, self.gan_loss, on_real)
                terms[name] += losses.over_scales(losses.on_fake, self.gan_loss, on_fake)
            loss = self.adv_weight * tf.add_n(list(terms.values()))
        self.minimize("discriminator", loss, tape)
        return terms

    def generator_step(self, real_a, real_b, noise: Mapping[str, Any]) -> dict[str, Any]:
        """Updates encoders and decoders; returns ten unweighted terms, `g_adv_a` and so on."""
        with tf.GradientTape() as tape:
            code_a, code_b = self._code(self.enc_a, real_a), self._code(self.enc_b, real_b)
            # The same noise for both images of a code; one call of a decoder makes two.
            noisy_a, noisy_b = code_a + noise["gen_a"], code_b + noise["gen_b"]
            same_a, fake_a = each(self.dec_a, noisy_a, noisy_b)
            same_b, fake_b = each(self.dec_b, noisy_b, noisy_a)
            again_a, again_b = self._code(self.enc_b, fake_b), self._code(self.enc_a, fake_a)
            reco_a = self.dec_a(again_a + noise["again_a"], training=True)
            reco_b = self.dec_b(again_b + noise["again_b"], training=True)
            terms = {
                "g_adv_a": self._fooling(self.disc_a, fake_a),
                "g_adv_b": self._fooling(self.disc_b, fake_b),
                "g_same_a": losses.l1(same_a, real_a),
                "g_same_b": losses.l1(same_b, real_b),
                "g_kl_code_a": _divergence(code_a),
                "g_kl_code_b": _divergence(code_b),
                "g_cycle_a": losses.l1(reco_a, real_a),
                "g_cycle_b": losses.l1(reco_b, real_b),
                "g_kl_again_a": _divergence(again_a),
                "g_kl_again_b": _divergence(again_b),
            }
            loss = self.adv_weight * summed(terms, "g_adv")
            loss += self.identity_weight * summed(terms, "g_same")
            loss += self.kl_weight * summed(terms, "g_kl_code")
            loss += self.cycle_weight * summed(terms, "g_cycle")
            loss += self.cycle_kl_weight * summed(terms, "g_kl_again")
        self.minimize("generator", loss, tape)
        return terms

    def _code(self, enc, image):
        """The mean (N, h, w, K) of an image's code, in the precision of noise."""
        return tf.cast(enc(image, training=True), self.dtype_policy.variable_dtype)

    def _fooling(self, disc, fake):
        """The adversarial loss of translations."""
        (logits,) = judged(disc, fake)
        return losses.over_scales(losses.for_generator, self.gan_loss, logits)


def _divergence(code):
    """The divergence of N(code, 1) from N(0, 1), but for a half: the mean of squares."""
    return tf.reduce_mean(tf.square(code))


def _check_architecture(system: UNIT) -> None:
    halvings, blocks, shared = system.halvings, system.blocks, system.shared_blocks
    system.require_multiple(2**halvings, f"halvings={halvings}")
    system.require_least(2 ** (halvings + 1), f"halvings={halvings}")
    depth, scales = system.discriminator_depth, system.discriminator_scales
    # A map of one pixel cannot be reflected.
    reason = f"discriminator_depth={depth} and discriminator_scales={scales}"
    system.require_least(2 ** (depth + scales - 1), reason)
    if shared > blocks:
        raise ValueError(
            f"shared_blocks must be at most blocks={blocks}, received shared_blocks={shared}."
        )
