"""DRIT: contents that a discriminator can't assign to a domain, and styles of each domain.

Papers: Lee et al., "Diverse Image-to-Image Translation via Disentangled Representations", ECCV
2018, arXiv 1808.00948; and "DRIT++", IJCV 2020, arXiv 1905.01270, which adds mode seeking.
Source: HsinYingLee/DRIT at commit f19f50a (no licence; written anew, nothing of it is copied).

Images exchange their styles and exchange them back, which must give them again (cross-cycle). A
discriminator of contents, which is updated three times a step, shall not know whose they are. For
every domain two discriminators judge: one, translations by styles of pictures; one, those by drawn
styles. These last are a second loss, which the style encoders do not learn from, or they would hide
the drawn style in pictures. Of a batch the first half is translated; of the second half pictures
alone are used, as the real ones of the second discriminators.

Differs from the source: both gradients are taken at the weights of the forward pass, and applied
one after the other, where the source took the second one through weights that the first had
changed. A step's first two batches update the content discriminator alone also at the end of an
epoch. Cross-entropies are taken of logits, which do not saturate. Biases and the style MLPs'
kernels begin as elsewhere here. The content discriminator may have fewer layers, for images of
fewer than 212 pixels. A batch of an odd number has its middle picture in both halves. The learning
rate falls at every step unless `epoch_steps` says otherwise. Differs from the paper, as the source
does: contents are kept small by their squares.

Shape letters: N images, H W space (h w = H/4 W/4), C channels of images, K = 4 width, S numbers of
a style.
"""

from typing import Annotated, Any

import keras
import tensorflow as tf

from tfi2i import losses
from tfi2i.conditions import Condition
from tfi2i.data.batches import Batch
from tfi2i.layers.convolution import kernel_initializer
from tfi2i.limits import (
    Between,
    Blocks,
    Channels,
    Decay,
    Depth,
    ImageSize,
    Rate,
    Share,
    Step,
    Steps,
    Weight,
    Width,
)
from tfi2i.models.model import ImageTranslator, summed, trainable
from tfi2i.networks.discriminators import (
    code_discriminator,
    judged,
    reflecting_discriminator,
)
from tfi2i.networks.encoders import content_encoder, style_encoder, variational_encoder
from tfi2i.networks.ends import full_input, normal
from tfi2i.networks.generators import Upsampling, residual_block
from tfi2i.networks.styled import styled_decoder, styled_translator
from tfi2i.optimizers import CoupledAdam, LinearDecay

KERNELS = normal, kernel_initializer  # of convolutions, of dense layers
STYLE_BLOCKS = 3  # of a variational style encoder
UPDATES = 3  # of the content discriminator a step (the source's `d_iter`)
DECODED = 2  # applications of Adam to content encoders and decoders a step
CONTENT_LOSS: losses.GanLoss = "non_saturating"
SEEKING_EPSILON = 1e-5
CLIPPED = 5.0  # norm of the content discriminator's gradient
FAINT = 0.01  # slope of most leaky ReLUs

DRAWS = (
    *("code_a", "code_b", "eps_a", "eps_b", "style", "style2"),
    *("again_a", "again_b", "eps_again_a", "eps_again_b"),
    *(f"code{i}_{domain}" for i in range(UPDATES - 1) for domain in "ab"),
)
"""All that a step draws from N(0, 1): noise on codes, on styles, and styles. Streams in order."""

# networks


def shared_block(channels: int, name: str) -> keras.Model:
    """Code (N, h, w, K) -> the same: the residual block that two networks have."""
    code = full_input((None, None, channels), "code")
    return keras.Model(code, residual_block(code, "shared", normal), name=name)


# the system


@keras.saving.register_keras_serializable("tfi2i")
class DRIT(ImageTranslator):
    """DRIT and DRIT++: unpaired translation both ways, in styles that are drawn or read off.

    Args:
        image_size: Side of the training images, or height and width: multiples of 4, at least 212
            for `content_depth` 3, 100 for 2, 44 for 1.
        width: Channels of the first layer of encoders.
        blocks: Residual blocks of each content encoder, and of each decoder, of its own.
        style_size: Numbers of a style.
        feature_wise: Makes vectors of the style for the decoders' blocks, for domains of different
            shapes; else the style is concatenated with their maps (the source's `concat`).
        upsampling: Way of enlarging the maps: "transposed" convolutions, the paper's, or a 3 x 3
            convolution after "bilinear" or "nearest" pixels, which leaves no grid in translations.
        discriminator_width: Channels of the first layer of each scale of a discriminator.
        discriminator_depth: Halvings in each scale; 6 in the source where there is one scale.
        discriminator_scales: Scales of each discriminator; one has kernels of 3 x 3.
        spectral: Normalises the discriminators' kernels by their largest singular values.
        content_depth: Halvings of the discriminator of contents.
        channels: Channels of pictures: 1 (grey), 2, 3 (RGB) or 4 (with alpha), or a number for each
            domain, such as {a: 1, b: 3}.
    """

    loss_names = (
        *("d_a", "d_b", "d_random_a", "d_random_b", "d_content"),
        *("g_adv", "g_content", "g_cycle", "g_same", "g_kl", "g_code"),
        *("g_random", "g_style", "g_seek"),
    )
    discriminator_terms = {  # of three scales, and of two fakes by drawn styles
        **{("d_a",): 3, ("d_b",): 3, ("d_random_a",): 6, ("d_random_b",): 6},
        ("d_content",): 1,
    }
    batch = Batch("unpaired", updates=UPDATES)
    inference_networks = (
        *("enc_content_a", "enc_content_b", "enc_style_a", "enc_style_b"),
        *("dec_a", "dec_b"),
    )
    smoke = {
        "image_size": 32,
        "width": 4,
        "blocks": 1,
        "discriminator_width": 4,
        "discriminator_depth": 2,
        "content_depth": 0,
    }

    def __init__(
        self,
        *,
        image_size: ImageSize = 216,
        width: Width = 64,
        blocks: Blocks = 3,
        style_size: Annotated[int, Between(1, 1024)] = 8,
        feature_wise: bool = False,
        upsampling: Upsampling = "transposed",
        discriminator_width: Width = 64,
        discriminator_depth: Depth = 4,
        discriminator_scales: Annotated[int, Between(1, 6)] = 3,
        spectral: bool = False,
        content_depth: Annotated[int, Between(0, 6)] = 3,
        channels: Channels = 3,
        **kwargs,
    ):
        super().__init__(**kwargs)
        _check_architecture(self)
        code, judge = 4 * width, (discriminator_width, discriminator_depth, discriminator_scales)
        judging: Any = {"kernel_size": 4 if discriminator_scales > 1 else 3, "spectral": spectral}
        with self.precision():
            last = shared_block(code, "shared_encoder")
            first = None if feature_wise else shared_block(code, "shared_decoder")
            for domain in "ab":
                own: dict[str, Any] = {"channels": self.channels_of(domain)}
                for network in (
                    content_encoder(
                        *(width, 2, blocks, f"enc_content_{domain}", normal),
                        **(own | {"kernel_size": 3, "slope": FAINT, "last": last}),
                    ),
                    self._style_encoder(f"enc_style_{domain}", own),
                    styled_decoder(
                        *(width, blocks, style_size, f"dec_{domain}", first, KERNELS),
                        **(own | {"upsampling": upsampling}),
                    ),
                    *(
                        reflecting_discriminator(
                            *judge, name, normal, slope=FAINT, **(own | judging)
                        )
                        for name in (f"disc_{domain}", f"disc_random_{domain}")
                    ),
                ):
                    setattr(self, network.name, network)
            self.disc_content = code_discriminator(
                *(code, content_depth, FAINT, "disc_content", normal)
            )
        self.built = True

    def _style_encoder(self, name: str, own: Any) -> keras.Model:
        if self.feature_wise:
            return style_encoder(self.width, self.style_size, name, normal, **own)
        shape = self.width, STYLE_BLOCKS, self.style_size, name, KERNELS
        return variational_encoder(*shape, reflected=True, **own)

    def compile(
        self,
        *,
        learning_rate: Rate = 1e-4,
        content_learning_rate: Rate = 4e-5,
        total_steps: Steps = 246_000,
        decay_start: Step | None = None,
        epoch_steps: Steps | None = None,
        l2: Share = 1e-4,
        gan_loss: losses.GanLoss = "non_saturating",
        adv_weight: Weight = 1.0,
        content_weight: Weight = 1.0,
        cycle_weight: Weight = 10.0,
        identity_weight: Weight = 10.0,
        kl_weight: Weight = 0.01,
        code_weight: Weight = 0.01,
        style_weight: Weight = 10.0,
        seeking_weight: Weight = 1.0,
        ema_decay: Decay | None = None,
    ):
        """Sets the numbers of training; the defaults are the source's.

        Args:
            learning_rate: Rate of all optimizers but one; Adam's betas are 0.5 and 0.999.
            content_learning_rate: Rate of the content discriminator.
            total_steps: Number of training steps, of three batches each; 1,200 epochs of Yosemite's
                1,231 pictures in batches of 2.
            decay_start: Last step at the full rate, which then falls to 0 at `total_steps`; null:
                half of them, as in the source; `total_steps`: never.
            epoch_steps: Steps of an epoch, at whose ends alone the rate falls, as in the source;
                null: it falls at every step.
            l2: Coupled weight decay, added to the gradient of every variable.
            gan_loss: Adversarial loss of images; contents have cross-entropies.
            adv_weight: Weight of the adversarial terms of images.
            content_weight: Weight of the content encoders' cross-entropy against a half.
            cycle_weight: Weight of the L1 distance after styles were exchanged twice.
            identity_weight: Weight of the L1 distance of an image from what its own content and
                style make.
            kl_weight: Weight of the divergence of styles from N(0, 1), a sum over half of the
                batch; with `feature_wise`, of the mean of their squares.
            code_weight: Weight of the mean of the squares of contents.
            style_weight: Weight of the L1 distance of a drawn style from what is read off the
                translation.
            seeking_weight: Weight of mode seeking, by which two drawn styles make images that
                differ; 0 leaves it out, as DRIT without ++ does.
            ema_decay: Decay of averages of the weights of encoders and decoders; null: none.
        """
        losses.refuse_wasserstein(gan_loss)
        pairs, fakes = self.discriminator_scales, 2 if seeking_weight else 1
        # Not by Keras, which would save it.
        self.__dict__["discriminator_terms"] = {
            **{(f"d_{domain}",): pairs for domain in "ab"},
            **{(f"d_random_{domain}",): pairs * fakes for domain in "ab"},
            ("d_content",): 1,
        }
        start = total_steps // 2 if decay_start is None else decay_start

        def optimizer(name: str) -> CoupledAdam:
            times = {"content": UPDATES, "generator": DECODED}.get(name, 1)  # applied a step
            # The source's first lower rate is that of the second epoch after `start`.
            late = epoch_steps or 0
            length = (total_steps + late) * times, (start + late) * times
            rate = content_learning_rate if name == "content" else learning_rate
            decay = LinearDecay(rate, *length, late * times or None)
            clipped = CLIPPED if name == "content" else None
            return CoupledAdam(decay, beta_1=0.5, l2=l2, global_clipnorm=clipped)

        self.prepare_training(optimizer, ema_decay)

    def optimizer_variables(self):
        discs = (self.disc_a, self.disc_b, self.disc_random_a, self.disc_random_b)
        shared = trainable(self.enc_content_a, self.enc_content_b, self.dec_a, self.dec_b)
        return {
            "discriminator": trainable(*discs),
            "content": trainable(self.disc_content),
            "style_encoder": trainable(self.enc_style_a, self.enc_style_b),
            "generator": list({id(one): one for one in shared}.values()),  # shared ones once
        }

    @property
    def conditions(self):
        return (Condition("style", "style", (self.style_size,), encode=self.style_reader),)

    def train_step(self, batch):
        full = self.dtype_policy.variable_dtype
        real_a, real_b = (tf.cast(batch[key], full) for key in "ab")
        half = (tf.shape(real_a)[1] + 1) // 2
        for i in range(UPDATES - 1):
            code_a = self._code("a", real_a[i, :half], f"code{i}_a")
            code_b = self._code("b", real_b[i, :half], f"code{i}_b")
            self.content_step(code_a, code_b)
        others = real_a[-1, -half:], real_b[-1, -half:]
        return self.finish_step(self.update(real_a[-1, :half], real_b[-1, :half], *others))

    def drawn(self, name: str, shape):
        """One of the `DRAWS` of this step, N(0, 1) of a shape."""
        normal = tf.random.stateless_normal(shape, self.draw_seed(DRAWS.index(name)))
        return tf.cast(normal, self.dtype_policy.variable_dtype)

    def _code(self, domain: str, image, draw: str):
        """The content (N, h, w, K) of images, with this step's noise on it."""
        code = getattr(self, f"enc_content_{domain}")(image, training=True)
        return tf.cast(code, self.dtype_policy.variable_dtype) + self.drawn(draw, tf.shape(code))

    def _style(self, domain: str, image, draw: str) -> tuple[Any, Any]:
        """The style (N, S) of images, and how far it is from N(0, 1)."""
        read = getattr(self, f"enc_style_{domain}")(image, training=True)
        if self.feature_wise:
            return read, tf.reduce_mean(tf.square(read))
        mean, log_variance = read
        style = mean + tf.exp(log_variance / 2) * self.drawn(draw, tf.shape(mean))
        return style, losses.gaussian_kl(mean, log_variance)

    def content_step(self, code_a, code_b) -> dict[str, Any]:
        """Updates the content discriminator; returns its term."""
        with tf.GradientTape() as tape:
            (on_a,), (on_b,) = judged(self.disc_content, code_a, code_b)
            loss = losses.on_fake(CONTENT_LOSS, on_a) + losses.on_real(CONTENT_LOSS, on_b)
        self.minimize("content", loss, tape)
        return {"d_content": loss}

    def update(self, real_a, real_b, other_a, other_b) -> dict[str, Any]:
        """Updates discriminators, then encoders and decoders; returns the unweighted terms.

        Args:
            real_a: (N, H, W, C).
            real_b: (N, H, W, C).
            other_a: Real images (N, H, W, C) for the second discriminator of a.
            other_b: Real images (N, H, W, C) for that of b.
        """
        first, styles, second = (tf.GradientTape() for _ in range(3))
        with first, styles, second:
            made = self.exchanged(real_a, real_b)
        terms = self.discriminator_step(made, real_a, real_b, other_a, other_b)
        terms |= self.content_step(made["code_a"], made["code_b"])
        with first, styles, second:
            read, drawn = self.first_terms(made, real_a, real_b), self.second_terms(made)
            loss = self.adv_weight * summed(read, "g_adv")
            loss += self.content_weight * summed(read, "g_content")
            loss += self.cycle_weight * summed(read, "g_cycle")
            loss += self.identity_weight * summed(read, "g_same")
            loss += self.kl_weight * summed(read, "g_kl")
            loss += self.code_weight * summed(read, "g_code")
            other = self.adv_weight * summed(drawn, "g_random")
            other += self.style_weight * summed(drawn, "g_style")
            other += self.seeking_weight * summed(drawn, "g_seek")
        # Each tape has the weights of the forward pass, whatever was applied since.
        self.minimize("generator", loss, first)
        self.minimize("style_encoder", loss, styles)
        self.minimize("generator", other, second)
        return terms | read | drawn

    def exchanged(self, real_a, real_b) -> dict[str, Any]:
        """Codes, styles and images of a step, by name and domain: `fake_a` has a's style."""
        made: dict[str, Any] = {}
        for domain, real in (("a", real_a), ("b", real_b)):
            made[f"code_{domain}"] = self._code(domain, real, f"code_{domain}")
            style, prior = self._style(domain, real, f"eps_{domain}")
            made |= {f"style_{domain}": style, f"prior_{domain}": prior}
        names = ("style", "style2") if self.seeking_weight else ("style",)
        made["drawn"] = [self.drawn(name, tf.shape(made["style_a"])) for name in names]
        for domain, other in ("ab", "ba"):
            own, foreign = made[f"code_{domain}"], made[f"code_{other}"]
            style = made[f"style_{domain}"]
            pairs = [(foreign, style), (own, style), *((foreign, one) for one in made["drawn"])]
            fake, same, *random = self._decoded(domain, pairs)  # in one call
            made |= {f"fake_{domain}": fake, f"same_{domain}": same, f"random_{domain}": random}
        for domain, other in ("ab", "ba"):
            again = self._code(other, made[f"fake_{other}"], f"again_{domain}")
            style, _ = self._style(domain, made[f"fake_{domain}"], f"eps_again_{domain}")
            (made[f"reco_{domain}"],) = self._decoded(domain, [(again, style)])
            enc_style = getattr(self, f"enc_style_{domain}")
            read = enc_style(made[f"random_{domain}"][0], training=True)
            made[f"read_{domain}"] = keras.tree.flatten(read)[0]
        return made

    def _decoded(self, domain: str, pairs) -> list[Any]:
        """Images (N, H, W, C) of a domain, of pairs of a code and a style."""
        inputs = [tf.concat(parts, 0) for parts in zip(*pairs, strict=True)]
        return tf.split(getattr(self, f"dec_{domain}")(inputs, training=True), len(pairs))

    def discriminator_step(self, made, real_a, real_b, other_a, other_b) -> dict[str, Any]:
        """Updates the discriminators of images; returns their terms."""
        terms = {}
        with tf.GradientTape() as tape:
            for name, real, fakes in (
                ("a", real_a, [made["fake_a"]]),
                ("b", real_b, [made["fake_b"]]),
                ("random_a", other_a, made["random_a"]),
                ("random_b", other_b, made["random_b"]),
            ):
                on_real, *on_fakes = judged(getattr(self, f"disc_{name}"), real, *fakes)
                # The real ones count once for every fake.
                loss = losses.over_scales(losses.on_real, self.gan_loss, on_real) * len(fakes)
                for on_fake in on_fakes:
                    loss += losses.over_scales(losses.on_fake, self.gan_loss, on_fake)
                terms[f"d_{name}"] = loss
            loss = self.adv_weight * tf.add_n(list(terms.values()))
        self.minimize("discriminator", loss, tape)
        return terms

    def first_terms(self, made, real_a, real_b) -> dict[str, Any]:
        """Unweighted terms of styles that were read off: `g_adv_a` and so on."""
        terms: dict[str, Any] = {}
        for domain, real in (("a", real_a), ("b", real_b)):
            ((on_code,),) = judged(self.disc_content, made[f"code_{domain}"])
            terms |= {
                f"g_adv_{domain}": self._fooling(f"disc_{domain}", made[f"fake_{domain}"]),
                f"g_content_{domain}": losses.binary_cross_entropy(on_code, 0.5),
                f"g_cycle_{domain}": losses.l1(made[f"reco_{domain}"], real),
                f"g_same_{domain}": losses.l1(made[f"same_{domain}"], real),
                f"g_kl_{domain}": made[f"prior_{domain}"],
                f"g_code_{domain}": tf.reduce_mean(tf.square(made[f"code_{domain}"])),
            }
        return terms

    def second_terms(self, made) -> dict[str, Any]:
        """Unweighted terms of drawn styles: `g_random_a` and so on."""
        terms: dict[str, Any] = {}
        styles = made["drawn"]
        for domain in "ab":
            images = made[f"random_{domain}"]
            terms[f"g_random_{domain}"] = self._fooling(f"disc_random_{domain}", *images)
            terms[f"g_style_{domain}"] = losses.l1(made[f"read_{domain}"], styles[0])
            terms[f"g_seek_{domain}"] = tf.zeros((), styles[0].dtype)
            if self.seeking_weight:
                apart = losses.l1(images[1], images[0]) / losses.l1(styles[1], styles[0])
                terms[f"g_seek_{domain}"] = 1 / (apart + SEEKING_EPSILON)
        return terms

    def _fooling(self, name: str, *fakes):
        """The adversarial loss of translations, summed over them."""
        fooled, disc = losses.for_generator, getattr(self, name)
        each = (losses.over_scales(fooled, self.gan_loss, one) for one in judged(disc, *fakes))
        return tf.add_n(list(each))

    def network(self, direction=None):
        way = self.direction(direction)
        enc = self.inference_network(f"enc_content_{way.source}")
        return styled_translator(enc, self.inference_network(f"dec_{way.target}"), way.name)

    def style_reader(self, target: str | None) -> keras.Model:
        """The network picture (N, H, W, C) of a domain -> the mean of its style (N, S)."""
        encoder = self.inference_network(f"enc_style_{target or 'b'}")
        picture = keras.Input(encoder.input_shape[1:], name="picture", dtype=encoder.input.dtype)
        style = keras.tree.flatten(encoder(picture, training=False))[0]
        return keras.Model(picture, style, name="style_encoder")


def _check_architecture(system: DRIT) -> None:
    depth, scales = system.discriminator_depth, system.discriminator_scales
    # A map of one pixel cannot be reflected.
    reason = f"discriminator_depth={depth} and discriminator_scales={scales}"
    system.require_least(max(16, 2 ** (depth + scales - 1)), reason)
    smallest = 4  # of the content discriminator's last map but one
    for _ in range(system.content_depth):
        smallest = 2 * smallest + 3
    system.require_image_size(4 * smallest, f"content_depth={system.content_depth}")
