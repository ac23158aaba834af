"""StarGAN: one translator for any number of domains, which a label chooses.

Paper: Choi et al., "StarGAN: Unified Generative Adversarial Networks for Multi-Domain
Image-to-Image Translation", CVPR 2018, arXiv 1711.09020.
Source: yunjey/stargan at commit 94dd002 (MIT licence).

The label goes in as further channels of the picture, constant over it. The discriminator also says
which labels a picture has: it learns that from real pictures, and the translator shall please it.
Translated back by its own label, a picture shall be what it was. The discriminator is a critic of
Wasserstein's kind with a gradient penalty, and is updated five times before the translator is once.

The padding is zeros on purpose. A label is constant over the picture: with reflections, instance
normalisation would take away all that the first layer makes of it.

Differs from the source: the rate falls linearly to 0 over the second half of the training, which is
the paper's schedule; the source takes a thousandth of the intended step, and so hardly falls.
Instance normalisation keeps no running statistics, which the source keeps and never uses.
Transposed kernels begin evenly (`tfi2i.layers.even_start`); bilinear or nearest pixels before a
plain convolution may stand in their place. A mask for training on two sets of labels at a time is
not there.

Shape letters: N images, H W space, C channels, K labels, U updates.
"""

from typing import Annotated, Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from tfi2i import losses
from tfi2i.conditions import BY_LABEL, Condition
from tfi2i.data.batches import Batch
from tfi2i.layers.convolution import LeakyReLU, bias_initializer, kernel_initializer
from tfi2i.layers.normalization import InstanceNormalization
from tfi2i.limits import (
    Between,
    Blocks,
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
from tfi2i.networks.ends import full_input, image_output
from tfi2i.networks.generators import Upsampling, doubled
from tfi2i.networks.styled import with_style
from tfi2i.optimizers import CoupledAdam, LinearDecay

UPDATES = 5
"""Updates of the discriminator for one of the translator (the source's `n_critic`)."""
SLOPE = 0.01  # of the discriminator's leaky ReLU
CELEBA = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young")

# networks


def label_generator(
    width: int,
    blocks: int,
    labels: int,
    name: str,
    channels: int = 3,
    upsampling: Upsampling = "transposed",
) -> keras.Model:
    """Image (N, H, W, C), label (N, K) -> image (N, H, W, C) in [-1, 1]; sides multiples of 4.

    Args:
        width: Channels of the first layer (the source's `g_conv_dim`).
        blocks: Residual blocks (`g_repeat_num`).
        labels: Numbers of a label (`c_dim`).
        name: Name of the model.
        channels: Channels of images.
        upsampling: Way of doubling the maps.
    """
    image = full_input((None, None, channels), "image")
    label = full_input((labels,), "label")
    x = with_style(image, label, "label_planes")
    x = _normalized(_padded(x, width, 7, 1, "conv0"), "conv0")
    for i in range(2):
        x = _normalized(_padded(x, 2 * x.shape[-1], 4, 2, f"down{i}"), f"down{i}")
    for i in range(blocks):
        y = _normalized(_padded(x, x.shape[-1], 3, 1, f"block{i}_conv0"), f"block{i}_conv0")
        y = _padded(y, x.shape[-1], 3, 1, f"block{i}_conv1")
        y = InstanceNormalization(affine=True, name=f"block{i}_conv1_norm")(y)
        x = layers.Add(name=f"block{i}")([x, y])
    for i in range(2):
        half = x.shape[-1] // 2
        x = doubled(x, half, 4, upsampling, f"up{i}", kernel_initializer, bias=False)
        x = _normalized(x, f"up{i}")
    x = _padded(x, channels, 7, 1, "to_rgb")
    return keras.Model([image, label], image_output(x, "tanh"), name=name)


def classifying_discriminator(
    size: tuple[int, int], width: int, depth: int, labels: int, name: str, channels: int = 3
) -> keras.Model:
    """Image (N, H, W, C) -> scores (N, h, w, 1) of patches, and logits (N, K) of its labels.

    Args:
        size: Height and width of images.
        width: Channels of the first layer (`d_conv_dim`), doubled at each.
        depth: Convolutions of stride 2 (`d_repeat_num`).
        labels: Numbers of a label.
        name: Name of the model.
        channels: Channels of images.
    """
    image = full_input((*size, channels), "image")
    x = image
    for i in range(depth):
        x = _padded(x, width * 2**i, 4, 2, f"conv{i}", bias=True)
        x = LeakyReLU(SLOPE, name=f"conv{i}_lrelu")(x)
    scores = _padded(x, 1, 3, 1, "scores")
    logits = _conv(x, labels, x.shape[1:3], 1, "logits")
    return keras.Model(image, [scores, ops.reshape(logits, (-1, labels))], name=name)


def _padded(x, filters: int, kernel_size: int, strides: int, name: str, bias: bool = False):
    """A convolution of a map in zeros, whose size it keeps or divides by its stride."""
    x = layers.ZeroPadding2D((kernel_size - 1) // 2, name=f"{name}_pad")(x)
    return _conv(x, filters, kernel_size, strides, name, bias)


def _conv(x, filters: int, kernel_size: Any, strides: int, name: str, bias: bool = False):
    """A valid convolution with PyTorch's first weights."""
    return layers.Conv2D(
        filters,
        kernel_size,
        strides,
        use_bias=bias,
        kernel_initializer=kernel_initializer(),
        bias_initializer=bias_initializer(x.shape[-1] * kernel_size**2) if bias else "zeros",
        name=name,
    )(x)


def _normalized(x, name: str):
    """Instance normalisation with scale and shift (N, H, W, K), then ReLU."""
    return layers.ReLU()(InstanceNormalization(affine=True, name=f"{name}_norm")(x))


# the system


@keras.saving.register_keras_serializable("tfi2i")
class StarGAN(ImageTranslator):
    """StarGAN: translations between any number of domains, or of any of a picture's attributes.

    Args:
        image_size: Side of the training images, or height and width: multiples of 4 and at least
            2^discriminator_depth.
        domains: Names of the labels, in the order of the data: of its domains, or of its
            attributes.
        exclusive: True where one label holds for a picture, its domain; false where any number of
            them do, as attributes. With domains there is a translator for every two of them.
        width: Channels of the translator's first layer (the source's `g_conv_dim`).
        blocks: Residual blocks of the translator (`g_repeat_num`).
        upsampling: Way of enlarging the maps: "transposed" convolutions, the paper's, or a 3 x 3
            convolution after "bilinear" or "nearest" pixels, which leaves no grid in translations.
        discriminator_width: Channels of the discriminator's first layer (`d_conv_dim`).
        discriminator_depth: Halvings in the discriminator (`d_repeat_num`).
        channels: Channels of all pictures: 1 (grey), 2, 3 (RGB) or 4 (with alpha).
    """

    loss_names = (
        *("g_adv", "g_class", "g_cycle"),
        *("d_fake", "d_real", "d_class", "d_penalty"),
    )
    discriminator_terms = {("d_fake", "d_real"): 1}
    batch = Batch("labelled", updates=UPDATES)
    inference_networks = ("gen",)
    smoke = {
        "image_size": 32,
        "width": 4,
        "blocks": 1,
        "discriminator_width": 4,
        "discriminator_depth": 3,
    }

    def __init__(
        self,
        *,
        image_size: ImageSize = 128,
        domains: tuple[str, ...] = CELEBA,
        exclusive: bool = False,
        width: Width = 64,
        blocks: Blocks = 6,
        upsampling: Upsampling = "transposed",
        discriminator_width: Width = 64,
        discriminator_depth: Depth = 6,
        channels: Annotated[int, Between(1, 4, own=True)] = 3,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.require_image_size(
            2**discriminator_depth, f"discriminator_depth={discriminator_depth}"
        )
        count = len(self.domains)
        with self.precision():
            self.gen = label_generator(width, blocks, count, "gen", self.channels, upsampling)
            self.disc = classifying_discriminator(
                *(self.sides, discriminator_width, discriminator_depth, count, "disc"),
                channels=self.channels,
            )
        self.built = True

    def compile(
        self,
        *,
        learning_rate: Rate = 1e-4,
        total_steps: Steps = 40_000,
        decay_start: Step | None = None,
        gan_loss: losses.GanLoss = "wasserstein",
        gradient_penalty: Weight = 10.0,
        class_weight: Weight = 1.0,
        cycle_weight: Weight = 10.0,
        ema_decay: Decay | None = None,
    ):
        """Sets the numbers of training; the defaults are the paper's.

        Args:
            learning_rate: Rate of both optimizers; Adam's betas are 0.5 and 0.999.
            total_steps: Number of training steps, each five updates of the discriminator and one of
                the translator.
            decay_start: Last step at the full rate, which then falls to 0 at `total_steps`; null:
                half of them, as in the paper; `total_steps`: never, as in the source.
            gan_loss: Adversarial loss.
            gradient_penalty: Weight of the penalty on the discriminator's slope (`lambda_gp`).
            class_weight: Weight of the classification of labels (`lambda_cls`); of attributes a sum
                over them.
            cycle_weight: Weight of the L1 distance after there and back (`lambda_rec`).
            ema_decay: Decay of an average of the translator's weights; null: none.
        """
        start = total_steps // 2 if decay_start is None else decay_start
        rates = {
            name: LinearDecay(learning_rate, updates * total_steps, updates * start)
            for name, updates in (("generator", 1), ("discriminator", UPDATES))
        }
        self.prepare_training(lambda name: CoupledAdam(rates[name], beta_1=0.5), ema_decay)

    @classmethod
    def directions_of(cls, arguments):
        return super().directions_of(arguments) if arguments.get("exclusive") else (BY_LABEL,)

    @property
    def directions(self):
        return self.directions_of({"domains": self.domains, "exclusive": self.exclusive})

    @property
    def conditions(self):
        return (Condition("label", "label", (len(self.domains),), self.domains, self.exclusive),)

    def optimizer_variables(self):
        return {"generator": trainable(self.gen), "discriminator": trainable(self.disc)}

    def train_step(self, batch):
        full = self.dtype_policy.variable_dtype
        batch = {key: tf.cast(rows, full) for key, rows in batch.items()}

        def update(number, sums):
            one = {key: rows[number] for key, rows in batch.items()}
            terms = self.discriminator_step(one, number)
            return number + 1, [
                total + terms[name] for name, total in zip(names, sums, strict=True)
            ]

        names = [name for name in self.loss_names if name.startswith("d_")]
        nothing = [tf.zeros((), full)] * len(names)  # a loop of the graph, which is traced once
        _, sums = tf.while_loop(lambda number, _: number < UPDATES, update, [0, nothing])
        terms = {name: total / UPDATES for name, total in zip(names, sums, strict=True)}
        last = {key: rows[-1] for key, rows in batch.items()}
        return self.finish_step(terms | self.generator_step(last))

    def discriminator_step(self, batch, update) -> dict[str, Any]:
        """Updates the discriminator; returns its unweighted terms.

        Args:
            batch: Images (N, H, W, C), their labels (N, K) and those of other images, by key.
            update: Number of the update in its step.
        """
        real = batch["image"]
        fake = self.gen([real, batch["target_label"]], training=True)
        between = self.draw_between(real, fake, update)
        with tf.GradientTape() as tape:
            scores, logits = self.disc(real, training=True)
            terms = {
                "d_real": losses.on_real(self.gan_loss, scores),
                "d_fake": losses.on_fake(self.gan_loss, self.disc(fake, training=True)[0]),
                "d_class": self.class_loss(logits, batch["label"]),
                "d_penalty": losses.slope_penalty(
                    lambda image: self.disc(image, training=True)[0], between
                ),
            }
            loss = terms["d_real"] + terms["d_fake"] + self.class_weight * terms["d_class"]
            loss += self.gradient_penalty * terms["d_penalty"]
        self.minimize("discriminator", loss, tape)
        return terms

    def draw_between(self, real, fake, update):
        """Images (N, H, W, C) at a random point between each real one and its fake."""
        share = tf.random.stateless_uniform(
            (tf.shape(real)[0], 1, 1, 1), self.draw_seed(tf.cast(update, tf.int64))
        )
        share = tf.cast(share, real.dtype)
        return share * real + (1 - share) * fake

    def generator_step(self, batch) -> dict[str, Any]:
        """Updates the translator; returns its unweighted terms."""
        real = batch["image"]
        with tf.GradientTape() as tape:
            fake = self.gen([real, batch["target_label"]], training=True)
            scores, logits = self.disc(fake, training=True)
            back = self.gen([fake, batch["label"]], training=True)
            terms = {
                "g_adv": losses.for_generator(self.gan_loss, scores),
                "g_class": self.class_loss(logits, batch["target_label"]),
                "g_cycle": losses.l1(back, real),
            }
            loss = terms["g_adv"] + self.class_weight * terms["g_class"]
            loss += self.cycle_weight * terms["g_cycle"]
        self.minimize("generator", loss, tape)
        return terms

    def class_loss(self, logits, label):
        """Cross-entropy of labels (N, K), a mean over images; of attributes a sum over them."""
        logits = tf.cast(logits, label.dtype)
        if self.exclusive:
            each = tf.nn.softmax_cross_entropy_with_logits(label, logits)
        else:
            each = tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(label, logits), -1)
        return tf.reduce_mean(each)

    def network(self, direction=None):
        way = self.direction(direction)
        gen = self.inference_network("gen")
        image, label = (
            keras.Input(one.shape[1:], name=name, dtype=one.dtype)
            for name, one in zip(("image", "label"), gen.inputs, strict=True)
        )
        if way.target is None:
            return keras.Model([image, label], gen([image, label], training=False), name="stargan")
        row = np.eye(len(self.domains), dtype=gen.inputs[1].dtype)[self.domains.index(way.target)]
        rows = ops.reshape(ops.zeros_like(image[:, :1, :1, :1]) + row, (-1, len(row)))
        return keras.Model(image, gen([image, rows], training=False), name="stargan")
