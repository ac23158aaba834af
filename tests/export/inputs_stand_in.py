"""A stand-in for systems whose translators take more than a picture; for tests only.

It takes a style by way of an MLP, as MUNIT does, and a one-hot label as planes beside the image, as
StarGAN does.
"""

import keras
import numpy as np
from keras import layers, ops
from tfi2i_export.inputs import drawn
from tfi2i_export.sidecar import Preset

from tfi2i.conditions import Condition
from tfi2i.layers.convolution import ReflectionPad2D
from tfi2i.layers.normalization import AdaLIN, InstanceNormalization
from tfi2i.models.model import ImageTranslator

SIDE, STYLE, LABEL, WIDTH = 32, 8, 5, 16
SHAPES = {"style": (1, STYLE), "label": (1, LABEL)}
NAMES = ("day", "dusk", "night", "winter", "1920s")

PRESETS = tuple(
    Preset(f"style {i + 1}", np.random.default_rng(i).normal(size=STYLE).round(3).tolist())
    for i in range(8)
)
FIELDS = {
    "style": {"kind": "style", "distribution": "normal", "presets": PRESETS},
    "label": {
        "kind": "label",
        "names": NAMES,
        "presets": tuple(map(Preset, NAMES, np.eye(LABEL).tolist())),
    },
}
"""Fields of the inputs' tensors in a sidecar, by name."""


def mapping():
    style = keras.Input((STYLE,), name="style")
    x = layers.Dense(64, activation="relu", name="mlp0")(style)
    x = layers.Dense(64, activation="relu", name="mlp1")(x)
    return keras.Model(style, x, name="mapping")


def modulated(x, code, name):
    """AdaIN: of each channel mean and deviation are the style's."""
    scale = layers.Dense(WIDTH, name=f"{name}_scale")(code)
    shift = layers.Dense(WIDTH, name=f"{name}_shift")(code)
    x = InstanceNormalization()(x)
    shape = (-1, 1, 1, WIDTH)
    return x * (1 + ops.reshape(scale, shape)) + ops.reshape(shift, shape)


def stand_in(side=None, planes_of="ones"):
    """A translator of an image, a style and a label that all change what comes out."""
    keras.utils.set_random_seed(4)
    image = keras.Input((side, side, 3), name="photo")
    style = keras.Input((STYLE,), name="style")
    label = keras.Input((LABEL,), name="label")
    if planes_of == "ones":
        planes = ops.ones_like(image[..., :1]) * ops.reshape(label, (-1, 1, 1, LABEL))
    else:
        planes = layers.UpSampling2D(side)(layers.Reshape((1, 1, LABEL))(label))
    x = layers.Concatenate()([image, planes])
    x = layers.Conv2D(WIDTH, 4, 2, name="down")(ReflectionPad2D(1)(x))
    code = mapping()(style)
    y = layers.ReLU()(modulated(layers.Conv2D(WIDTH, 1, name="block0_conv")(x), code, "first"))
    gamma, beta = (layers.Dense(WIDTH, name=name)(code) for name in ("gamma", "beta"))
    x = x + AdaLIN()(layers.Conv2D(WIDTH, 1, name="block1_conv")(y), gamma, beta)
    x = ReflectionPad2D(1)(layers.UpSampling2D()(layers.ReLU()(x)))
    x = layers.Conv2D(WIDTH, 3, activation="relu", name="up_conv")(x)
    x = layers.Conv2D(3, 3, name="to_rgb")(ReflectionPad2D(1)(x))
    model = keras.Model([image, style, label], layers.Activation("tanh")(x), name="stand_in")
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign_add(rng.normal(0, 0.1, variable.shape).astype("float32"))
    return model


class StandIn(ImageTranslator):
    """A system with nothing but that translator."""

    image_size = SIDE
    conditions = (Condition("style", "style", (STYLE,)), Condition("label", "label", (LABEL,)))

    def network(self, direction=None):
        return stand_in()


def values(count, seed=1):
    return drawn(StandIn(), "a2b", SHAPES, count, seed)


def images(count, side=SIDE):
    return np.random.default_rng(2).uniform(-1, 1, (count, side, side, 3)).astype("float32")
