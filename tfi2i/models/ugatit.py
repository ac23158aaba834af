"""U-GAT-IT: attention by class activation maps, and normalisation that chooses its kind.

Paper: Kim et al., "U-GAT-IT: Unsupervised Generative Attentional Networks with Adaptive
Layer-Instance Normalization for Image-to-Image Translation", ICLR 2020, arXiv 1907.10830.
Source: znxlwm/UGATIT-pytorch at commit b8c4251 (MIT licence).

Each generator and discriminator weighs its features by the weights of a small classifier inside it:
of the generator's domain against the other, or of real against fake.

Differs from the source: the default is the light version, whose six networks have 134 million
weights (the source's default and the paper's results are full, 671 million); the depths of the
discriminators can be chosen; the convolutions that enlarge maps begin evenly
(`tfi2i.layers.even_start`).

The paper's results come from its TensorFlow code (taki0112/UGATIT), from which the source differs:
kernels start from U(-1/sqrt(fan_in), 1/sqrt(fan_in)) instead of N(0, 0.02); no convolution of a
generator but the 1 x 1 has a bias; weight decay is on all weights, not on kernels alone; the
classifiers of mean and maximum are two instead of one, and weigh by raw weights; AdaLIN's rho
starts at 0.9 and may reach 1, instead of at 1 less 0.1; its variances are unbiased, and the
encoder's normalisation has no scale and shift; 4 x 4 convolutions of stride 1 shrink the map by 1;
discriminators and generators see the same images in a step; the rate falls at every step.

Shape letters: N images, H W space (h w = H/4 W/4), C = width (the sources' `ch`), K channels.
"""

from typing import Annotated, Any, Literal

import keras
import tensorflow as tf

from tfi2i import losses
from tfi2i.layers.convolution import (
    LeakyReLU,
    PixelShuffle,
    ReflectionPad2D,
    kernel_initializer,
)
from tfi2i.layers.even_start import EvenNearest, EvenSubpixels
from tfi2i.layers.normalization import LIN, AdaLIN, InstanceNormalization
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
from tfi2i.networks.ends import (
    SLOPE,
    Initializer,
    attention_mix,
    conv,
    each,
    full_input,
    image_output,
    style_mlp,
)
from tfi2i.networks.generators import residual_block
from tfi2i.optimizers import CoupledAdam, LinearDecay
from tfi2i.pictures.sizes import Size

HEADS = ("local", "global", "cam_local", "cam_global")

Free = tuple[int | None, int | None]
"""Height and width; None: any."""

Depth = Annotated[int, Between(3, 13, why="one layer of stride 2, one of stride 1 and the logits")]

Upsampling = Literal["nearest", "subpixel"]

# networks


@keras.saving.register_keras_serializable("tfi2i")
class ClassActivationMap(keras.layers.Layer):
    """Features (N, h, w, K) -> attended features (N, h, w, K), logits (N, 2) of mean and maximum.

    With u and v the raw weights that make the logits of each channel's mean and maximum, attended
    is conv1x1(concat(x u, x v)). The activation that follows is the caller's.

    Args:
        spectral: Divides the weights by their spectral norm for the logits, not for the features.
    """

    def __init__(self, spectral: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.spectral = spectral

    def build(self, input_shape):
        channels = input_shape[-1]
        self.mean_logit = self._classifier("mean_logit", channels)
        self.max_logit = self._classifier("max_logit", channels)
        self.mix = attention_mix(channels, self.dtype_policy)

    def _classifier(self, name: str, channels: int) -> keras.layers.Layer:
        arguments = {"use_bias": False, "dtype": self.dtype_policy, "name": name}
        if self.spectral:
            classifier = SpectralDense(1, **arguments)
        else:
            start = kernel_initializer()
            classifier = keras.layers.Dense(1, kernel_initializer=start, **arguments)
        classifier.build((None, channels))
        return classifier

    def call(self, x, training=False):
        mean_logit = self.mean_logit(tf.reduce_mean(x, (1, 2)), training=training)
        max_logit = self.max_logit(tf.reduce_max(x, (1, 2)), training=training)
        kernels = [tf.convert_to_tensor(c.kernel) for c in (self.mean_logit, self.max_logit)]
        weights = tf.cast(tf.concat(kernels, 0)[:, 0], x.dtype)
        attended = self.mix(tf.concat([x, x], -1) * weights)
        return attended, tf.concat([mean_logit, max_logit], -1)

    def compute_output_shape(self, input_shape):
        return input_shape, (input_shape[0], 2)


def _conv(
    x,
    filters: int,
    kernel_size: int,
    strides: int,
    name: str,
    initializer: Initializer = kernel_initializer,
):
    """Reflection by half the kernel, then a convolution without bias."""
    x = ReflectionPad2D(kernel_size // 2, name=f"{name}_pad")(x)
    return conv(x, filters, kernel_size, strides, name, initializer, bias=False)


def _doubled(x, filters: int, upsampling: Upsampling, name: str):
    """(N, H, W, K) -> (N, 2 H, 2 W, filters) by a 3 x 3 convolution."""
    if upsampling == "nearest":
        x = keras.layers.UpSampling2D(2, name=f"{name}_nearest")(x)
        return _conv(x, filters, 3, 1, name, lambda: EvenNearest(kernel_initializer()))
    x = _conv(x, 4 * filters, 3, 1, name, lambda: EvenSubpixels(kernel_initializer()))
    return PixelShuffle(name=f"{name}_shuffle")(x)


def _adaptive_block(x, gamma, beta, name: str):
    """A residual block of (N, h, w, K) whose normalisation the image's gamma, beta (N, K) scale."""
    y = _conv(x, x.shape[-1], 3, 1, f"{name}_conv0")
    y = keras.layers.ReLU()(AdaLIN(mixing="clip", name=f"{name}_norm0")(y, gamma, beta))
    y = _conv(y, x.shape[-1], 3, 1, f"{name}_conv1")
    y = AdaLIN(mixing="clip", name=f"{name}_norm1")(y, gamma, beta)
    return keras.layers.Add(name=name)([x, y])


def generator(
    size: Free,
    width: int,
    blocks: int,
    light: bool,
    name: str,
    channels: tuple[int, int] = (3, 3),
    upsampling: Upsampling = "nearest",
) -> keras.Model:
    """Image (N, H, W, channels) -> image (N, H, W, channels) in [-1, 1], CAM logits (N, 2)."""
    image = x = full_input((*size, channels[0]), "image")
    layers = (("conv0", width, 7, 1), ("down0", 2 * width, 3, 2), ("down1", 4 * width, 3, 2))
    for layer, filters, kernel_size, strides in layers:
        x = _conv(x, filters, kernel_size, strides, layer)
        x = keras.layers.ReLU()(InstanceNormalization(name=f"{layer}_norm")(x))
    for i in range(blocks):
        x = residual_block(x, f"block{i}", kernel_initializer, use_bias=False)
    x, cam_logits = ClassActivationMap(name="cam")(x)
    x = keras.layers.ReLU(name="attention")(x)
    gamma, beta = style_mlp(x, light)
    for i in range(blocks):
        x = _adaptive_block(x, gamma, beta, f"adaptive{i}")
    for i in range(2):
        x = _doubled(x, x.shape[-1] // 2, upsampling, f"up{i}")
        x = keras.layers.ReLU()(LIN(mixing="clip", name=f"up{i}_norm")(x))
    x = _conv(x, channels[1], 7, 1, "to_rgb")
    return keras.Model(image, [image_output(x, "tanh"), cam_logits], name=name)


def discriminator(size: Size, width: int, depth: int, name: str, channels: int = 3) -> keras.Model:
    """Image (N, H, W, channels) -> logits (N, h', w', 1) of patches, and CAM logits (N, 2).

    Of its depth, the source's `n_layers`, all but 2 have stride 2; 5 see 70 x 70 pixels and 7 see
    286 x 286. The width is that of the first layer.
    """
    image = x = full_input((*size, channels), "image")
    for i in range(depth - 1):
        strides = 2 if i < depth - 2 else 1
        x = LeakyReLU(SLOPE)(spectral_conv(x, width * 2**i, strides, f"conv{i}"))
    x, cam_logits = ClassActivationMap(spectral=True, name="cam")(x)
    x = LeakyReLU(SLOPE, name="attention")(x)
    logits = spectral_conv(x, 1, 1, "logits", use_bias=False)
    return keras.Model(image, [logits, cam_logits], name=name)


# the system


@keras.saving.register_keras_serializable("tfi2i")
class UGATIT(ImageTranslator):
    """U-GAT-IT: attention in generators and discriminators, two discriminators for each domain.

    Args:
        image_size: Side of the training images, or height and width, such as [96, 320]: multiples
            of 4; at least 96 for `global_depth` 7, 48 for 6.
        width: Channels of the first layer (the source's `ch`).
        blocks: Residual blocks before the attention, and as many after it (the source's `n_res`).
        light: Pools before the style MLP. The full version (false), the source's default, ties the
            translators to `image_size`, and at 256 has 279 million weights a generator.
        global_depth: Layers of the discriminators that see nearly the whole image, at least 3.
        local_depth: Layers of the discriminators of patches, at least 3.
        upsampling: Way of enlarging the maps: the paper's 3 x 3 convolution after "nearest"
            pixels, or one that makes 2 x 2 pixels of each, "subpixel".
        channels: Channels of pictures: 1 (grey), 2, 3 (RGB) or 4 (with alpha), or a number for each
            domain, such as {a: 1, b: 3}.
    """

    loss_names = (
        *("d_local", "d_global", "d_cam"),
        *("g_local", "g_global", "g_cam"),
        *("g_cycle", "g_same", "g_aux"),
    )
    discriminator_terms = {("d_local",): 2, ("d_global",): 2}
    inference_networks = ("gen_ab", "gen_ba")
    # With a smaller width all of a LIN's rho, which start at 0, might be clipped to 0.
    smoke = {"image_size": 32, "width": 16, "blocks": 1, "global_depth": 5, "local_depth": 4}

    def __init__(
        self,
        *,
        image_size: ImageSize = 256,
        width: Width = 64,
        blocks: Blocks = 4,
        light: bool = True,
        global_depth: Depth = 7,
        local_depth: Depth = 5,
        upsampling: Upsampling = "nearest",
        channels: Channels = 3,
        **kwargs,
    ):
        super().__init__(**kwargs)
        _check_architecture(self)
        size: Free = (None, None) if light else self.sides
        of_a, of_b = self.channels_of("a"), self.channels_of("b")
        deep, flat = (self.sides, width, global_depth), (self.sides, width, local_depth)
        with self.precision():
            shape = size, width, blocks, light
            self.gen_ab = generator(*shape, "gen_ab", (of_a, of_b), upsampling)
            self.gen_ba = generator(*shape, "gen_ba", (of_b, of_a), upsampling)
            self.disc_global_a = discriminator(*deep, "disc_global_a", of_a)
            self.disc_global_b = discriminator(*deep, "disc_global_b", of_b)
            self.disc_local_a = discriminator(*flat, "disc_local_a", of_a)
            self.disc_local_b = discriminator(*flat, "disc_local_b", of_b)
        self.built = True

    def compile(
        self,
        *,
        learning_rate: Rate = 1e-4,
        total_steps: Steps = 1_000_000,
        decay_start: Step | None = None,
        l2: Share = 1e-4,
        gan_loss: losses.GanLoss = "least_squares",
        adv_weight: Weight = 1.0,
        cycle_weight: Weight = 10.0,
        identity_weight: Weight = 10.0,
        cam_weight: Weight = 1000.0,
        ema_decay: Decay | None = None,
    ):
        """Sets the numbers of training; the defaults are the paper's and the source's.

        Args:
            learning_rate: Rate of both optimizers.
            total_steps: Number of training steps.
            decay_start: Last step at the full rate, which then falls to 0 at `total_steps`; null:
                half of them, as in the source; `total_steps`: never.
            l2: Coupled weight decay, added to the gradient of every variable.
            gan_loss: Adversarial loss; the paper's is least squares.
            adv_weight: Weight of the adversarial terms, with those of the CAM logits.
            cycle_weight: Weight of the L1 distance after there and back.
            identity_weight: Weight of the L1 distance of an image translated into its own domain.
            cam_weight: Weight of the cross-entropy of the generators' classifiers.
            ema_decay: Decay of an average of the translators' weights, such as 0.999; null: none.
        """
        start = total_steps // 2 if decay_start is None else decay_start
        rate = LinearDecay(learning_rate, total_steps, start)
        self.prepare_training(lambda name: CoupledAdam(rate, beta_1=0.5, l2=l2), ema_decay)

    def optimizer_variables(self):
        """One optimizer for all four discriminators, one for both generators."""
        of_a, of_b = (
            (self.disc_global_a, self.disc_local_a),
            (self.disc_global_b, self.disc_local_b),
        )
        return {
            "discriminator": trainable(*of_a, *of_b),
            "generator": trainable(self.gen_ab, self.gen_ba),
        }

    def discriminate(self, domain: str, image) -> dict[str, Any]:
        """Logits of `image` under domain "a" or "b", by `HEADS`; power iterations run."""
        logits = {}
        for scope in ("local", "global"):
            disc = getattr(self, f"disc_{scope}_{domain}")
            logits[scope], logits[f"cam_{scope}"] = disc(image, training=True)
        return logits

    def train_step(self, batch):
        full = self.dtype_policy.variable_dtype
        real_a, real_b = tf.cast(batch["a"], full), tf.cast(batch["b"], full)
        terms = self.discriminator_step(real_a, real_b)
        terms |= self.generator_step(real_a, real_b)
        return self.finish_step(terms)

    def discriminator_step(self, real_a, real_b) -> dict[str, Any]:
        """Updates the discriminators; returns 16 unweighted terms, `d_local_a_real` and so on."""
        fake_b, _ = self.gen_ab(real_a, training=True)
        fake_a, _ = self.gen_ba(real_b, training=True)
        with tf.GradientTape() as tape:
            terms = {}
            for domain, real, fake in (("a", real_a, fake_a), ("b", real_b, fake_b)):
                on_real = self.discriminate(domain, real)
                on_fake = self.discriminate(domain, fake)
                for head in HEADS:
                    key = f"d_{head}_{domain}"
                    terms[f"{key}_real"] = losses.on_real(self.gan_loss, on_real[head])
                    terms[f"{key}_fake"] = losses.on_fake(self.gan_loss, on_fake[head])
            loss = self.adv_weight * tf.add_n(list(terms.values()))
        self.minimize("discriminator", loss, tape)
        return terms

    def generator_step(self, real_a, real_b) -> dict[str, Any]:
        """Updates the generators; returns 16 unweighted terms, `g_local_a`, `g_cycle_a` and so on.

        A generator's classifier shall tell images to translate ("source") from images of the
        domain that it translates to ("own").
        """
        with tf.GradientTape() as tape:
            # One call makes both: normalisation is per image, so it is the same as two.
            own_a, own_b = self.as_sources(real_a, real_b)
            (fake_b, same_b), cams_b = each(self.gen_ab, real_a, own_b)
            (fake_a, same_a), cams_a = each(self.gen_ba, real_b, own_a)
            reco_a, _ = self.gen_ba(fake_b, training=True)
            reco_b, _ = self.gen_ab(fake_a, training=True)
            terms = {}
            for domain, real, fake, reco, same, (cam_source, cam_own) in (
                ("a", real_a, fake_a, reco_a, same_a, cams_a),
                ("b", real_b, fake_b, reco_b, same_b, cams_b),
            ):
                for head, logits in self.discriminate(domain, fake).items():
                    terms[f"g_{head}_{domain}"] = losses.for_generator(self.gan_loss, logits)
                terms[f"g_cycle_{domain}"] = losses.l1(reco, real)
                terms[f"g_same_{domain}"] = losses.l1(same, real)
                terms[f"g_aux_{domain}_source"] = losses.binary_cross_entropy(cam_source, 1.0)
                terms[f"g_aux_{domain}_own"] = losses.binary_cross_entropy(cam_own, 0.0)
            loss = self.adv_weight * tf.add_n([summed(terms, f"g_{head}") for head in HEADS])
            loss += self.cycle_weight * summed(terms, "g_cycle")
            loss += self.identity_weight * summed(terms, "g_same")
            loss += self.cam_weight * summed(terms, "g_aux")
        self.minimize("generator", loss, tape)
        for rho in self._rhos():
            rho.assign(tf.clip_by_value(rho.value, 0, 1))
        return terms

    def _rhos(self) -> list[Any]:
        """Variables that mix instance and layer normalisation in the generators."""
        layers = [*self.gen_ab.layers, *self.gen_ba.layers]
        return [layer.rho for layer in layers if isinstance(layer, LIN | AdaLIN)]

    def attention(self, image, direction: str | None = None):
        """The paper's heat map, attended features summed: (N, H, W, 3) -> (N, h, w)."""
        way = self.direction(direction)
        gen = self.inference_network(f"gen_{way.source}{way.target}")
        attended = keras.Model(gen.input, gen.get_layer("attention").output)
        return tf.reduce_sum(tf.cast(attended(image, training=False), tf.float32), -1)


def _check_architecture(system: UGATIT) -> None:
    depths = f"global_depth={system.global_depth}, local_depth={system.local_depth}"
    # After the halvings two 4 x 4 convolutions stand, which need maps of 3 x 3.
    halvings = max(system.global_depth, system.local_depth) - 2
    system.require_image_size(3 * 2**halvings, depths)
