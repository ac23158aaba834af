"""Networks whose features KID and FID compare: pictures of any size to vectors.

The networks stand in efficientnet.py and inception.py; here pictures are brought to a network's
size and go through it. Letters: N pictures, H rows, W columns, D dimensions.
"""

import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from PIL import Image

from tfi2i.errors import InputError
from tfi2i.evaluate.backbones import efficientnet, inception
from tfi2i.evaluate.backbones.tensors import Tensors
from tfi2i.official.torch_files import read_torch
from tfi2i.pictures.pixels import require_pixels, to_image

NAMES = ("efficientnet-lite0", "inception-2015")
PROTOCOLS = ("default", "nice-gan")

BATCH = 8  # as fast as 32 on a processor, and few pictures are not filled up to many

_CENTRES = {"efficientnet-lite0": np.float32(127), "inception-2015": np.float32(128)}

Pixels = NDArray[np.uint8]
Images = NDArray[np.float32]


@dataclass(frozen=True)
class Backbone:
    """A network that gives pictures of any size features; made by `load`.

    Attributes:
        dimensions: D, the numbers a picture is given.
        side: Rows and columns that a picture is brought to.
        resizing: Way of resizing, in words: "bicubic, antialiased, to 224 x 224".
    """

    name: str
    dimensions: int
    side: int
    resizing: str
    _prepare: Callable[[Pixels], Images] = field(repr=False)
    _run: Callable[[Images], Any] = field(repr=False)

    def features(self, pixels: Pixels) -> NDArray[np.float32]:
        """The features (N, D) of pictures (N, H, W, 3), uint8.

        On a CPU a picture's features are the same bits whatever pictures stand beside it.

        Raises:
            InputError: another type or shape.
        """
        pixels = np.asarray(pixels)
        found = np.empty((len(pixels), self.dimensions), np.float32)
        if len(pixels):
            require_pixels(f"the input of {self.name}", pixels)
        for start in range(0, len(pixels), BATCH):
            some = pixels[start : start + BATCH]
            # Always a full batch: other sizes would be traced anew and could round otherwise.
            batch = np.zeros((BATCH, self.side, self.side, 3), np.float32)
            batch[: len(some)] = self._prepare(some)
            found[start : start + BATCH] = self._run(batch).numpy()[: len(some)]
        return found


def load(
    name: str = "efficientnet-lite0", *, weights: Path | None = None, protocol: str = "default"
) -> Backbone:
    """A backbone, kept for the next call; "inception-2015" downloads 96 MB once per user.

    Args:
        name: One of `NAMES`.
        weights: File of its weights, to be had elsewhere; its content must be the known one.
        protocol: "default" resizes as clean-fid does (Parmar et al. 2022, arXiv 2104.11222);
            "nice-gan" as the official NICE-GAN's evaluation does, for inception-2015 alone.

    Raises:
        InputError: an unknown name or protocol, weights that cannot be had or are not the known
            ones.
    """
    for what, given, known in (("backbones", name, NAMES), ("protocols", protocol, PROTOCOLS)):
        if given not in known:
            raise InputError(f"The {what} are {', '.join(known)}; received {given!r}.")
    if protocol == "nice-gan" and name != "inception-2015":
        raise InputError(
            f"The protocol nice-gan is for the backbone inception-2015, received {name}; "
            "choose that or the protocol default."
        )
    return _load(name, Path(weights).expanduser() if weights else None, protocol)


@functools.cache
def _load(name: str, weights: Path | None, protocol: str) -> Backbone:
    if name == "efficientnet-lite0":
        path, sha256 = weights or efficientnet.packaged_weights(), efficientnet.SHA256
        network = efficientnet.network
    else:
        path, sha256 = weights or inception.fetched_weights(), inception.WEIGHTS.sha256
        network = inception.network
    _check(path, name, sha256)
    tensors = Tensors(read_torch(path), path)
    model = network(tensors)
    tensors.require_all_used()
    side, dimensions = model.input.shape[1], model.output["features"].shape[-1]

    def prepare(pixels: Pixels) -> Images:
        if protocol == "nice-gan":
            return bilinear(to_image(pixels), side)
        return (bicubic(pixels, side) - _CENTRES[name]) / np.float32(128)

    # XLA would be 20 times slower on a CPU.
    @tf.function(input_signature=[tf.TensorSpec((BATCH, side, side, 3), tf.float32)])
    def run(images: Any) -> Any:
        return model(images, training=False)["features"]

    words = "bilinear, not antialiased" if protocol == "nice-gan" else "bicubic, antialiased"
    return Backbone(name, dimensions, side, f"{words}, to {side} x {side}", prepare, run)


def _check(path: Path, name: str, sha256: str) -> None:
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
    if found != sha256:
        raise InputError(
            f"{path} does not hold the weights of {name}: its SHA-256 is {found} and not {sha256}; "
            "it is damaged or another file, so remove it or give the right one."
        )


# bringing pictures to a size


def bicubic(pixels: Pixels, side: int) -> Images:
    """Pictures (N, H, W, 3) to (N, side, side, 3), antialiased; values 0..255, not rounded.

    Source: clean-fid's "clean" mode. A picture of that size already is not touched.
    """
    if pixels.shape[1:3] == (side, side):
        return pixels.astype(np.float32)
    resized = np.empty((len(pixels), side, side, 3), np.float32)
    for i, channel in np.ndindex(len(pixels), 3):
        plane = Image.fromarray(pixels[i, ..., channel].astype(np.float32))
        resized[i, ..., channel] = np.asarray(plane.resize((side, side), Image.Resampling.BICUBIC))
    return resized.clip(0, 255)


def bilinear(images: Images, side: int) -> Images:
    """Images (N, H, W, 3) to (N, side, side, 3), each pixel of the four nearest: not antialiased.

    Source: the official NICE-GAN's evaluation.
    """
    return tf.image.resize(images, (side, side), antialias=False).numpy()
