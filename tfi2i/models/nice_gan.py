"""NICE-GAN: the first layers of a discriminator are its domain's encoder.

Paper: Chen et al., "Reusing Discriminators for Encoding: Towards Unsupervised Image-to-Image
Translation", CVPR 2020, arXiv 2003.00273.
Source: alpc91/NICE-GAN-pytorch at commit 1b114f1 (MIT licence).

A translation a -> b is `gen_ab` on the code that domain A's discriminator gives. The encoders are
trained by the discriminators' loss and by nothing else (decoupled training): their variables belong
to the discriminator's optimizer, and the discriminator sees detached fakes. In the generator's
step gradients still pass through the encoders' activations.

Differs from the source: the defaults are the paper's (light, 100,000 steps at a constant rate; the
code's are configs/nice_gan/official.yaml), the learning rate is a function of the step (the
source decays twice after a resume), and sub-pixel convolutions have TensorFlow's channel order and
begin evenly (`tfi2i.layers.even_start`); nearest pixels may stand in their place.

Shape letters: N images, H W space (h w = H/4 W/4), C = width, the source's `ch`.
"""

from typing import Annotated, Any, Literal

import keras
import tensorflow as tf

from tfi2i import losses
from tfi2i.layers.convolution import (
    LeakyReLU,
    PixelShuffle,
    ReflectionPad2D,
    bias_initializer,
    kernel_initializer,
    leaky_relu,
)
from tfi2i.layers.even_start import EvenNearest, EvenSubpixels
from tfi2i.layers.normalization import LIN, AdaLIN
from tfi2i.layers.spectral import SpectralDense
from tfi2i.limits import (
    Between,
    Blocks,
    Channels,
    Decay,
    ImageSize,
    Rate,
    Share,
    Step,
    Steps,
    Weight,
    Width,
)
from tfi2i.models.model import ImageTranslator, summed, trainable
from tfi2i.networks.discriminators import spectral_conv
from tfi2i.networks.ends import SLOPE, attention_mix, each, full_input, image_output, style_mlp
from tfi2i.optimizers import CoupledAdam, LinearDecay
from tfi2i.pictures.sizes import Size

HEADS = ("local", "global", "cam")

Free = tuple[int | None, int | None]
"""Height and width; None: any."""

Depth = Annotated[
    int,
    Between(6, 13, why="two layers encode, two heads of three and two layers classify"),
]

Upsampling = Literal["subpixel", "nearest"]

# networks


def _conv(x, filters: int, kernel_size: int, name: str, use_bias: bool = False):
    """Reflection that keeps the size, then a convolution."""
    if kernel_size > 1:
        x = ReflectionPad2D(kernel_size // 2, name=f"{name}_pad")(x)
    return keras.layers.Conv2D(
        filters,
        kernel_size,
        use_bias=use_bias,
        kernel_initializer=kernel_initializer(),
        bias_initializer=bias_initializer(kernel_size**2 * x.shape[-1]),
        name=name,
    )(x)


def _nearest(x, filters: int, name: str):
    """(N, H, W, K) -> (N, 2 H, 2 W, filters): a 3 x 3 convolution of repeated pixels."""
    x = keras.layers.UpSampling2D(2, name=f"{name}_nearest")(x)
    return keras.layers.Conv2D(
        filters,
        3,
        kernel_initializer=EvenNearest(kernel_initializer()),
        bias_initializer=bias_initializer(9 * x.shape[-1]),
        name=f"{name}_full",
    )(ReflectionPad2D(1, name=f"{name}_full_pad")(x))


def _subpixels(x, filters: int, name: str):
    """(N, H, W, K) -> (N, 2 H, 2 W, filters): a 1 x 1 convolution makes 2 x 2 pixels of each."""
    x = keras.layers.Conv2D(
        4 * filters,
        1,
        kernel_initializer=EvenSubpixels(kernel_initializer()),
        bias_initializer=EvenSubpixels(bias_initializer(x.shape[-1])),
        name=f"{name}_subpixel",
    )(x)
    return PixelShuffle(name=f"{name}_shuffle")(x)


@keras.saving.register_keras_serializable("tfi2i")
class ResidualAttention(keras.layers.Layer):
    """Features (N, h, w, 2C) -> code (N, h, w, 2C) and CAM logit (N, 1): the paper's RA and C0.

    The code is LReLU(lamda conv1x1(concat(e, e) w) + e) with w the raw weight of the CAM
    classifier, not the spectrally normalised one that makes the logit. lamda starts at 0.
    """

    def build(self, input_shape):
        channels, policy = input_shape[-1], self.dtype_policy
        self.logit = SpectralDense(1, use_bias=False, dtype=policy, name="logit")
        self.logit.build((None, 2 * channels))
        self.mix = attention_mix(channels, policy)
        self.lamda = self.add_weight(name="lamda", shape=(), initializer="zeros")

    def call(self, x, training=False):
        pooled = tf.concat([tf.reduce_mean(x, (1, 2)), tf.reduce_max(x, (1, 2))], -1)
        cam_logit = self.logit(pooled, training=training)
        weight = tf.cast(tf.convert_to_tensor(self.logit.kernel)[:, 0], x.dtype)
        attended = self.mix(tf.concat([x, x], -1) * weight)
        return leaky_relu(self.lamda * attended + x, SLOPE), cam_logit

    def compute_output_shape(self, input_shape):
        return input_shape, (input_shape[0], 1)


def encoder(size: Free, width: int, name: str, channels: int = 3) -> keras.Model:
    """Image (N, H, W, channels) -> code (N, h, w, 2C), CAM logit (N, 1)."""
    image = full_input((*size, channels), "image")
    x = LeakyReLU(SLOPE)(spectral_conv(image, width, 2, "conv0"))
    x = LeakyReLU(SLOPE)(spectral_conv(x, 2 * width, 2, "conv1"))
    code, cam_logit = ResidualAttention(name="attention")(x)
    return keras.Model(image, [code, cam_logit], name=name)


def patch_heads(size: Size, width: int, depth: int, name: str) -> keras.Model:
    """Code (N, h, w, 2C) -> local logits, global logits: the paper's C1 and C2.

    Their receptive fields are 70 x 70 and 286 x 286. depth is the source's `n_dis`: depth - 6
    stride-2 convolutions stand before the branch.
    """
    channels = 2 * width
    code = full_input((size[0] // 4, size[1] // 4, channels), "code")
    trunk = code
    for i in range(depth - 6):
        channels *= 2
        trunk = LeakyReLU(SLOPE)(spectral_conv(trunk, channels, 2, f"trunk{i}"))
    x = LeakyReLU(SLOPE)(spectral_conv(trunk, 2 * channels, 1, "local0"))
    local_logits = spectral_conv(x, 1, 1, "local_logits", use_bias=False)
    x = trunk
    for i, strides in enumerate((2, 2, 1)):
        channels *= 2
        x = LeakyReLU(SLOPE)(spectral_conv(x, channels, strides, f"global{i}"))
    global_logits = spectral_conv(x, 1, 1, "global_logits", use_bias=False)
    return keras.Model(code, [local_logits, global_logits], name=name)


def generator(
    size: Free,
    width: int,
    blocks: int,
    light: bool,
    name: str,
    channels: int = 3,
    upsampling: Upsampling = "subpixel",
) -> keras.Model:
    """Code (N, h, w, 2C) -> image (N, H, W, channels) in [-1, 1], never in half precision."""
    code_size = (None if side is None else side // 4 for side in size)
    code = full_input((*code_size, 2 * width), "code")
    x = LIN(name="lin0")(_conv(code, 4 * width, 3, "conv0", use_bias=True))
    x = keras.layers.ReLU()(x)
    gamma, beta = style_mlp(x, light)
    for i in range(blocks):
        y = AdaLIN(name=f"block{i}_norm0")(_conv(x, 4 * width, 3, f"block{i}_conv0"), gamma, beta)
        y = keras.layers.ReLU()(y)
        y = AdaLIN(name=f"block{i}_norm1")(_conv(y, 4 * width, 3, f"block{i}_conv1"), gamma, beta)
        x = keras.layers.Add()([x, y])
    for i in range(2):
        half = x.shape[-1] // 2
        x = keras.layers.ReLU()(LIN(name=f"up{i}_lin0")(_conv(x, half, 3, f"up{i}_conv")))
        if upsampling == "subpixel":
            x = _subpixels(x, half, f"up{i}")
        else:
            x = _nearest(x, half, f"up{i}")
        x = keras.layers.ReLU()(LIN(name=f"up{i}_lin1")(x))
    x = _conv(x, channels, 7, "to_rgb")
    return keras.Model(code, image_output(x, "tanh"), name=name)


# the system


@keras.saving.register_keras_serializable("tfi2i")
class NICEGAN(ImageTranslator):
    """NICE-GAN: encoders that live in the discriminators, trained decoupled from the generators.

    Args:
        image_size: Side of the training images, or height and width, such as [96, 320]: multiples
            of 4; at least 96 at depth 7, 48 at 6.
        width: Channels of the first layer (the source's `ch`).
        blocks: Residual blocks of a generator (the source's `n_res`); the paper's NICE-GAN* has 4.
        light: Pools before the style MLP. The paper's results are all light; the full
            version (false) ties the translators to `image_size`.
        discriminator_depth: Layers of a discriminator (the source's `n_dis`), at least 6.
        upsampling: Way of enlarging the maps: the paper's "subpixel" convolutions, or a
            3 x 3 convolution after "nearest" pixels, which leaves no grid in translations.
        channels: Channels of pictures: 1 (grey), 2, 3 (RGB) or 4 (with alpha), or a number for each
            domain, such as {a: 1, b: 3}.
    """

    loss_names = (*(f"{who}_{head}" for who in "dg" for head in HEADS), "g_cycle", "g_recon")
    discriminator_terms = {("d_local",): 2, ("d_global",): 2}
    inference_networks = ("enc_a", "enc_b", "gen_ab", "gen_ba")
    smoke = {"image_size": 64, "width": 4, "blocks": 1, "discriminator_depth": 6}

    def __init__(
        self,
        *,
        image_size: ImageSize = 256,
        width: Width = 64,
        blocks: Blocks = 6,
        light: bool = True,
        discriminator_depth: Depth = 7,
        upsampling: Upsampling = "subpixel",
        channels: Channels = 3,
        **kwargs,
    ):
        super().__init__(**kwargs)
        depth = discriminator_depth
        # The global head ends with two 4 x 4 convolutions on 3 x 3.
        self.require_image_size(3 * 2 ** (depth - 2), f"discriminator_depth={depth}")
        size: Free = (None, None) if light else self.sides
        of_a, of_b = self.channels_of("a"), self.channels_of("b")
        with self.precision():
            self.enc_a = encoder(size, width, "enc_a", of_a)
            self.enc_b = encoder(size, width, "enc_b", of_b)
            self.heads_a = patch_heads(self.sides, width, depth, "heads_a")
            self.heads_b = patch_heads(self.sides, width, depth, "heads_b")
            shape = size, width, blocks, light
            self.gen_ab = generator(*shape, "gen_ab", of_b, upsampling)
            self.gen_ba = generator(*shape, "gen_ba", of_a, upsampling)
        self.built = True

    def compile(
        self,
        *,
        learning_rate: Rate = 1e-4,
        total_steps: Steps = 100_000,
        decay_start: Step | None = None,
        l2: Share = 1e-4,
        gan_loss: losses.GanLoss = "least_squares",
        adv_weight: Weight = 1.0,
        cycle_weight: Weight = 10.0,
        recon_weight: Weight = 10.0,
        discriminator_learning_rate: Rate | None = None,
        ema_decay: Decay | None = None,
    ):
        """Sets the numbers of training; the defaults are the paper's.

        Args:
            learning_rate: Rate of both optimizers, unless the discriminator has its own.
            total_steps: Number of training steps.
            decay_start: Last step at the full rate, which then falls to 0 at `total_steps`; null:
                it stays constant, as in the paper's 100,000 steps.
            l2: Coupled weight decay, added to the gradient of every variable.
            gan_loss: Adversarial loss; the paper's is least squares.
            adv_weight: Weight of the sum of the three adversarial terms.
            cycle_weight: Weight of the L1 distance after there and back.
            recon_weight: Weight of the L1 distance of an image decoded into its own domain.
            discriminator_learning_rate: Rate of the discriminator's optimizer, if it is another
                (not in the paper); null: `learning_rate`.
            ema_decay: Decay of an average of the translators' weights, such as 0.999; null: none.
        """
        rates = {"generator": learning_rate, "discriminator": learning_rate}
        if discriminator_learning_rate is not None:
            rates["discriminator"] = discriminator_learning_rate
        decays = {name: LinearDecay(rate, total_steps, decay_start) for name, rate in rates.items()}
        self.prepare_training(lambda name: CoupledAdam(decays[name], beta_1=0.5, l2=l2), ema_decay)

    def optimizer_variables(self):
        """Decoupled training is nothing but this: the encoders are the discriminator's."""
        return {
            "discriminator": trainable(self.enc_a, self.heads_a, self.enc_b, self.heads_b),
            "generator": trainable(self.gen_ab, self.gen_ba),
        }

    def discriminate(self, domain: str, image):
        """Logits by head, and the code of `image` under domain "a" or "b"; power iterations run."""
        enc, heads = (self.enc_a, self.heads_a) if domain == "a" else (self.enc_b, self.heads_b)
        code, cam_logit = enc(image, training=True)
        local_logits, global_logits = heads(code, training=True)
        return {"local": local_logits, "global": global_logits, "cam": cam_logit}, code

    def train_step(self, batch):
        terms = self.discriminator_step(batch["a"], batch["b"])
        terms |= self.generator_step(batch["a"], batch["b"])
        return self.finish_step(terms)

    def discriminator_step(self, real_a, real_b) -> dict[str, Any]:
        """Updates encoders and heads; returns 12 unweighted terms, `d_local_a_real` and so on."""
        with tf.GradientTape() as tape:
            logits_real_a, code_a = self.discriminate("a", real_a)
            logits_real_b, code_b = self.discriminate("b", real_b)
            fake_b = tf.stop_gradient(self.gen_ab(code_a, training=True))
            fake_a = tf.stop_gradient(self.gen_ba(code_b, training=True))
            logits_fake_a, _ = self.discriminate("a", fake_a)
            logits_fake_b, _ = self.discriminate("b", fake_b)
            terms = {}
            for domain, real, fake in (
                ("a", logits_real_a, logits_fake_a),
                ("b", logits_real_b, logits_fake_b),
            ):
                for head in HEADS:
                    terms[f"d_{head}_{domain}_real"] = losses.on_real(self.gan_loss, real[head])
                    terms[f"d_{head}_{domain}_fake"] = losses.on_fake(self.gan_loss, fake[head])
            loss = self.adv_weight * tf.add_n(list(terms.values()))
        self.minimize("discriminator", loss, tape)
        return terms

    def generator_step(self, real_a, real_b) -> dict[str, Any]:
        """Updates the generators; returns 10 unweighted terms, `g_local_a`, `g_cycle_a` and so on.

        The whole discriminators run on the real images although only their codes are used: the
        source does so, and its power iterations advance there too.
        """
        with tf.GradientTape() as tape:
            _, code_a = self.discriminate("a", real_a)
            _, code_b = self.discriminate("b", real_b)
            # One call decodes both codes: normalisation is per image, so it is the same as two.
            fake_b, own_b = each(self.gen_ab, code_a, code_b)
            fake_a, own_a = each(self.gen_ba, code_b, code_a)
            logits_fake_a, code_fake_a = self.discriminate("a", fake_a)
            logits_fake_b, code_fake_b = self.discriminate("b", fake_b)
            reco_b = self.gen_ab(code_fake_a, training=True)
            reco_a = self.gen_ba(code_fake_b, training=True)
            terms = {}
            for domain, real, reco, own, fake in (
                ("a", real_a, reco_a, own_a, logits_fake_a),
                ("b", real_b, reco_b, own_b, logits_fake_b),
            ):
                for head in HEADS:
                    terms[f"g_{head}_{domain}"] = losses.for_generator(self.gan_loss, fake[head])
                terms[f"g_cycle_{domain}"] = losses.l1(reco, real)
                terms[f"g_recon_{domain}"] = losses.l1(own, real)
            loss = self.adv_weight * tf.add_n([summed(terms, f"g_{head}") for head in HEADS])
            loss += self.cycle_weight * summed(terms, "g_cycle")
            loss += self.recon_weight * summed(terms, "g_recon")
        self.minimize("generator", loss, tape)
        return terms

    def network(self, direction: str | None = None) -> keras.Model:
        """The source domain's encoder and the generator: image (N, H, W, 3) -> image, H, W by 4."""
        way = self.direction(direction)
        enc = self.inference_network(f"enc_{way.source}")
        gen = self.inference_network(f"gen_{way.source}{way.target}")
        image = keras.Input(enc.input_shape[1:], name="image", dtype=enc.input.dtype)
        code, _ = enc(image, training=False)
        return keras.Model(image, gen(code, training=False), name=way.name)

    def attention(self, image, direction: str | None = None):
        """The paper's heat map, the sum of the code over channels: (N, H, W, 3) -> (N, h, w)."""
        way = self.direction(direction)
        code, _ = self.inference_network(f"enc_{way.source}")(image, training=False)
        return tf.reduce_sum(tf.cast(code, tf.float32), -1)
