"""MUNIT: a picture is a content, which domains share, and a style, of which a domain has many.

Paper: Huang et al., "Multimodal Unsupervised Image-to-Image Translation", ECCV 2018, arXiv
1804.04732.
Source: NVlabs/MUNIT at commit a82e222 (CC BY-NC-SA 4.0; written anew, nothing of it is copied).

Each domain has an encoder of contents, an encoder of styles and a decoder, whose instance
normalisation takes scale and shift from the style (AdaIN). To translate is to decode a content by
the other domain's decoder with a style: a random one, or that of a reference picture.

Differs from the source: the domain-invariant perceptual loss, which is off in its defaults and
needs the weights of a VGG-16, is not there. Differs from the paper, as the source does: least
squares in place of the logarithm.

Shape letters: N images, H W space (h w = H W / 4^halvings), C channels of images, K = width
2^halvings, S numbers of a style.
"""

from typing import Annotated, Any

import keras
import tensorflow as tf
from keras import layers, ops

from tfi2i import losses
from tfi2i.conditions import Condition
from tfi2i.layers.convolution import ReflectionPad2D
from tfi2i.layers.normalization import InstanceNormalization
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
from tfi2i.networks.encoders import content_encoder, style_encoder
from tfi2i.networks.ends import conv, full_input, he_normal, normal
from tfi2i.networks.generators import image_of_code
from tfi2i.networks.styled import style_vectors, styled_translator
from tfi2i.optimizers import CoupledAdam, StepDecay

# networks


def adaptive_block(x, vectors: list[Any], name: str):
    """A residual block of (N, h, w, K), normalised with shift, scale, shift, scale (N, 1, 1, K)."""
    y = x
    for i in range(2):
        shift, scale = vectors[2 * i : 2 * i + 2]
        y = ReflectionPad2D(1, name=f"{name}_pad{i}")(y)
        y = conv(y, x.shape[-1], 3, 1, f"{name}_conv{i}", he_normal)
        y = InstanceNormalization(name=f"{name}_norm{i}")(y) * scale + shift
        if i == 0:
            y = layers.ReLU(name=f"{name}_relu")(y)
    return layers.Add(name=name)([x, y])


def decoder(
    width: int,
    halvings: int,
    blocks: int,
    style_size: int,
    mlp_width: int,
    name: str,
    channels: int = 3,
) -> keras.Model:
    """Code (N, h, w, K), style (N, S) -> image (N, H, W, C) in [-1, 1].

    Args:
        width: Channels of the last map, and of the encoder's first.
        halvings: Halvings of the encoder.
        blocks: Residual blocks with the style in them.
        style_size: Numbers of a style.
        mlp_width: Hidden units of the style's MLP.
        name: Name of the model.
        channels: Channels of the image.
    """
    code = full_input((None, None, width * 2**halvings), "code")
    style = full_input((style_size,), "style")
    inside = code.shape[-1]
    vectors = style_vectors(style, mlp_width, inside, 4 * blocks, he_normal)
    vectors = [ops.reshape(one, (-1, 1, 1, inside)) for one in vectors]
    x = code
    for i in range(blocks):
        x = adaptive_block(x, vectors[4 * i : 4 * i + 4], f"block{i}")
    return keras.Model([code, style], image_of_code(x, halvings, channels, he_normal), name=name)


# the system


@keras.saving.register_keras_serializable("tfi2i")
class MUNIT(ImageTranslator):
    """MUNIT: unpaired translation both ways, in styles that are drawn or read off a picture.

    Args:
        image_size: Side of the training images, or height and width: multiples of 2^halvings.
        width: Channels of the first layer of encoders (the source's `dim`).
        halvings: Convolutions of stride 2 of the content encoders (`n_downsample`).
        blocks: Residual blocks of each content encoder and of each decoder (`n_res`).
        style_size: Numbers of a style (`style_dim`).
        mlp_width: Hidden units of the MLPs that make scales and shifts of a style (`mlp_dim`).
        discriminator_width: Channels of the first layer of each scale of a discriminator.
        discriminator_depth: Halvings in each scale (`n_layer`).
        discriminator_scales: Scales of each discriminator (`num_scales`).
        channels: Channels of pictures: 1 (grey), 2, 3 (RGB) or 4 (with alpha), or a number for each
            domain, such as {a: 1, b: 3}.
    """

    loss_names = ("d_a", "d_b", "g_adv", "g_same", "g_style", "g_content", "g_cycle")
    discriminator_terms = {("d_a",): 3, ("d_b",): 3}  # of `discriminator_scales`
    inference_networks = (
        *("enc_content_a", "enc_content_b", "enc_style_a", "enc_style_b"),
        *("dec_a", "dec_b"),
    )
    smoke = {
        "image_size": 32,
        "width": 4,
        "blocks": 1,
        "mlp_width": 8,
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
        style_size: Annotated[int, Between(1, 1024)] = 8,
        mlp_width: Width = 256,
        discriminator_width: Width = 64,
        discriminator_depth: Depth = 4,
        discriminator_scales: Annotated[int, Between(1, 6)] = 3,
        channels: Channels = 3,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.require_multiple(2**halvings, f"halvings={halvings}")
        self.require_least(max(16, 2 ** (halvings + 1)), f"halvings={halvings}")
        depth, scales = discriminator_depth, discriminator_scales
        self.require_least(  # a map of one pixel cannot be reflected
            2 ** (depth + scales - 1),
            f"discriminator_depth={depth} and discriminator_scales={scales}",
        )
        # Not by Keras, which would save it.
        self.__dict__["discriminator_terms"] = {("d_a",): scales, ("d_b",): scales}
        judge = discriminator_width, depth, scales
        inside = width, halvings, blocks
        with self.precision():
            self.enc_content_a, self.enc_content_b = (
                content_encoder(
                    *inside, f"enc_content_{domain}", he_normal, channels=self.channels_of(domain)
                )
                for domain in "ab"
            )
            self.enc_style_a, self.enc_style_b = (
                style_encoder(
                    *(width, style_size, f"enc_style_{domain}", he_normal),
                    channels=self.channels_of(domain),
                )
                for domain in "ab"
            )
            self.dec_a, self.dec_b = (
                decoder(*inside, style_size, mlp_width, f"dec_{domain}", self.channels_of(domain))
                for domain in "ab"
            )
            self.disc_a, self.disc_b = (
                reflecting_discriminator(
                    *judge, f"disc_{domain}", normal, channels=self.channels_of(domain)
                )
                for domain in "ab"
            )
        self.built = True

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
        style_weight: Weight = 1.0,
        content_weight: Weight = 1.0,
        cycle_weight: Weight = 0.0,
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
            identity_weight: Weight of the L1 distance of an image from what its own content and
                style make (`recon_x_w`).
            style_weight: Weight of the L1 distance of a drawn style from what is read off the
                translation (`recon_s_w`).
            content_weight: Weight of the same distance of contents (`recon_c_w`).
            cycle_weight: Weight of the style-augmented cycle (`recon_x_cyc_w`): the L1 distance of
                an image after there and back, with its own style; 0 leaves it out. The source has
                10 for landscapes and streets.
            ema_decay: Decay of averages of the weights of encoders and decoders; null: none.
        """
        losses.refuse_wasserstein(gan_loss)
        rate = StepDecay(learning_rate, decay_steps, decay_factor)
        self.prepare_training(lambda name: CoupledAdam(rate, beta_1=0.5, l2=l2), ema_decay)

    def optimizer_variables(self):
        """One optimizer for both discriminators, one for all encoders and decoders."""
        names = self.inference_networks
        return {
            "discriminator": trainable(self.disc_a, self.disc_b),
            "generator": trainable(*(getattr(self, name) for name in names)),
        }

    @property
    def conditions(self):
        return (Condition("style", "style", (self.style_size,), encode=self.style_reader),)

    def train_step(self, batch):
        full = self.dtype_policy.variable_dtype
        real_a, real_b = tf.cast(batch["a"], full), tf.cast(batch["b"], full)
        count = tf.shape(real_a)[0]
        terms = self.discriminator_step(real_a, real_b, *self.drawn_styles(count, 0))
        terms |= self.generator_step(real_a, real_b, *self.drawn_styles(count, 2))
        return self.finish_step(terms)

    def drawn_styles(self, count, stream: int) -> list[Any]:
        """Styles (N, S) of a and of b from N(0, 1)."""
        shape, dtype = (count, self.style_size), self.dtype_policy.variable_dtype
        draws = (tf.random.stateless_normal(shape, self.draw_seed(stream + i)) for i in range(2))
        return [tf.cast(one, dtype) for one in draws]

    def discriminator_step(self, real_a, real_b, style_a, style_b) -> dict[str, Any]:
        """Updates the discriminators; returns their unweighted terms `d_a`, `d_b`.

        Args:
            real_a: (N, H, W, C).
            real_b: (N, H, W, C).
            style_a: Styles (N, S) of translations to a.
            style_b: Styles (N, S) of translations to b.
        """
        code_a = self.enc_content_a(real_a, training=True)
        code_b = self.enc_content_b(real_b, training=True)
        fake_a = self.dec_a([code_b, style_a], training=True)
        fake_b = self.dec_b([code_a, style_b], training=True)
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

    def generator_step(self, real_a, real_b, style_a, style_b) -> dict[str, Any]:
        """Updates encoders and decoders; returns ten unweighted terms, `g_adv_a` and so on."""
        with tf.GradientTape() as tape:
            code_a = self.enc_content_a(real_a, training=True)
            code_b = self.enc_content_b(real_b, training=True)
            own_a = self.enc_style_a(real_a, training=True)
            own_b = self.enc_style_b(real_b, training=True)
            # Within a domain, and across; one call decodes both.
            same_a, fake_a = self._decoded(self.dec_a, (code_a, own_a), (code_b, style_a))
            same_b, fake_b = self._decoded(self.dec_b, (code_b, own_b), (code_a, style_b))
            again_b = self.enc_content_a(fake_a, training=True)
            again_a = self.enc_content_b(fake_b, training=True)
            terms = {
                "g_adv_a": self._fooling(self.disc_a, fake_a),
                "g_adv_b": self._fooling(self.disc_b, fake_b),
                "g_same_a": losses.l1(same_a, real_a),
                "g_same_b": losses.l1(same_b, real_b),
                "g_style_a": losses.l1(self.enc_style_a(fake_a, training=True), style_a),
                "g_style_b": losses.l1(self.enc_style_b(fake_b, training=True), style_b),
                # The gradient goes through both contents.
                "g_content_a": losses.l1(again_a, code_a),
                "g_content_b": losses.l1(again_b, code_b),
            }
            reco_a, reco_b = real_a, real_b
            if self.cycle_weight:
                reco_a = self.dec_a([again_a, own_a], training=True)
                reco_b = self.dec_b([again_b, own_b], training=True)
            terms["g_cycle_a"] = losses.l1(reco_a, real_a)
            terms["g_cycle_b"] = losses.l1(reco_b, real_b)
            loss = self.adv_weight * summed(terms, "g_adv")
            loss += self.identity_weight * summed(terms, "g_same")
            loss += self.style_weight * summed(terms, "g_style")
            loss += self.content_weight * summed(terms, "g_content")
            loss += self.cycle_weight * summed(terms, "g_cycle")
        self.minimize("generator", loss, tape)
        return terms

    def _decoded(self, dec, *pairs) -> list[Any]:
        """Images (N, H, W, C) of each pair of a code and a style."""
        inputs = [tf.concat(parts, 0) for parts in zip(*pairs, strict=True)]
        return tf.split(dec(inputs, training=True), len(pairs))

    def _fooling(self, disc, fake):
        """The adversarial loss of translations."""
        (logits,) = judged(disc, fake)
        return losses.over_scales(losses.for_generator, self.gan_loss, logits)

    def network(self, direction=None):
        way = self.direction(direction)
        enc = self.inference_network(f"enc_content_{way.source}")
        return styled_translator(enc, self.inference_network(f"dec_{way.target}"), way.name)

    def style_reader(self, target: str | None) -> keras.Model:
        """The network picture (N, H, W, C) of a domain -> its style (N, S)."""
        encoder = self.inference_network(f"enc_style_{target or 'b'}")
        picture = keras.Input(encoder.input_shape[1:], name="picture", dtype=encoder.input.dtype)
        return keras.Model(picture, encoder(picture, training=False), name="style_encoder")
