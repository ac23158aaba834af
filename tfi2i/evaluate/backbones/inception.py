"""The Inception network of FID and KID: the one that TensorFlow published on 2015-12-05.

Szegedy et al. 2015, arXiv 1512.00567. keras.applications has one of another training, whose
distances do not compare. The weights are the port of github.com/mseitzer/pytorch-fid; the graph
differs from torchvision's in its pools, see `_average_pool` and `_block_e`.
"""

import hashlib
import http.client
import logging
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple

import keras
from keras import KerasTensor, layers
from rich.progress import DownloadColumn, TimeRemainingColumn

from tfi2i.errors import InputError
from tfi2i.evaluate.backbones.tensors import Tensors
from tfi2i.files import replacing
from tfi2i.terminal import progress_bar

SIDE = 299


class Download(NamedTuple):
    """A file to be had at a URL, of known content; the size is in bytes."""

    url: str
    size: int
    sha256: str


WEIGHTS = Download(
    "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
    "pt_inception-2015-12-05-6726825d.pth",
    95_628_359,
    "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
)

_SECONDS = 30  # without a byte
_CHUNK = 1 << 18

_log = logging.getLogger("tfi2i")


# the weights


def fetched_weights() -> Path:
    """The weights' file in the user's cache, downloaded (96 MB) if it is not there yet.

    Not by `keras.utils.get_file`, which waits for a silent server and takes a file of any size.

    Raises:
        InputError: the server cannot be reached or sends something else, or the disk is full.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tfi2i"
    path = cache / WEIGHTS.url.rpartition("/")[2]
    if path.exists():
        return path
    _log.info("Fetching %s into %s.", WEIGHTS.url, cache)
    try:
        with replacing(path) as temporary:
            _download(WEIGHTS, temporary)
    except (OSError, http.client.HTTPException, InputError) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it is the server's answer too, and holds the connection
        reason = str(error).strip("<>. ") or type(error).__name__
        raise InputError(
            f"{WEIGHTS.url} could not be fetched into {cache} ({reason}); download it elsewhere "
            "and give it with --weights FILE, or use efficientnet-lite0, which needs no download."
        ) from error
    return path


def _download(wanted: Download, path: Path) -> None:
    received = 0
    with (
        urllib.request.urlopen(wanted.url, timeout=_SECONDS) as response,
        path.open("w+b") as file,
        progress_bar(DownloadColumn(), TimeRemainingColumn(), transient=True) as progress,
    ):
        source = progress.wrap_file(response, wanted.size, description="inception-2015")
        while received <= wanted.size and (chunk := source.read(_CHUNK)):
            received += file.write(chunk)
        file.seek(0)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if received > wanted.size:
        raise InputError(f"it is larger than the {wanted.size} bytes wanted")
    if received < wanted.size:
        raise InputError(f"it ended after {received} of {wanted.size} bytes")
    if sha256 != wanted.sha256:
        raise InputError(f"its SHA-256 is {sha256} and not {wanted.sha256}")


# the network


def network(tensors: Tensors) -> keras.Model:
    """Images (N, 299, 299, 3), (pixels - 128) / 128 -> features (N, 2048) and logits (N, 1008)."""
    image = keras.Input((SIDE, SIDE, 3))
    x = _chain(tensors, image, "Conv2d_1a_3x3", halve=True)
    x = _chain(tensors, x, "Conv2d_2a_3x3", padding="valid")
    x = layers.MaxPooling2D(3, 2)(_chain(tensors, x, "Conv2d_2b_3x3"))
    x = _chain(tensors, x, "Conv2d_3b_1x1", "Conv2d_4a_3x3", padding="valid")
    x = layers.MaxPooling2D(3, 2)(x)
    for letter in "bcd":
        branches = {"branch1x1": 1, "branch5x5": 2, "branch3x3dbl": 3}
        x = _block(tensors, x, f"Mixed_5{letter}", branches)
    x = _block(tensors, x, "Mixed_6a", {"branch3x3": 1, "branch3x3dbl": 3}, halve=True)
    for letter in "bcde":
        branches = {"branch1x1": 1, "branch7x7": 3, "branch7x7dbl": 5}
        x = _block(tensors, x, f"Mixed_6{letter}", branches)
    x = _block(tensors, x, "Mixed_7a", {"branch3x3": 2, "branch7x7x3": 4}, halve=True)
    x = _block_e(tensors, x, "Mixed_7b", _average_pool(x))
    # The published network has a maximum here; torchvision's has an average in both.
    x = _block_e(tensors, x, "Mixed_7c", layers.MaxPooling2D(3, 1, "same")(x))
    features = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, {"features": features, "logits": tensors.dense(features, "fc")})


def _block(
    tensors: Tensors, x: KerasTensor, name: str, branches: dict[str, int], halve: bool = False
) -> KerasTensor:
    """Chains of so many convolutions beside each other, and a pool."""
    ends = [
        _chain(tensors, x, *_numbered(f"{name}.{stem}", count), halve=halve)
        for stem, count in branches.items()
    ]
    if halve:
        ends.append(layers.MaxPooling2D(3, 2)(x))
    else:
        ends.append(_chain(tensors, _average_pool(x), f"{name}.branch_pool"))
    return layers.Concatenate()(ends)


def _block_e(tensors: Tensors, x: KerasTensor, name: str, pooled: KerasTensor) -> KerasTensor:
    one = _chain(tensors, x, f"{name}.branch3x3_1")
    two = _chain(tensors, x, *_numbered(f"{name}.branch3x3dbl", 2))
    ends = (
        *((x, "branch1x1"), (one, "branch3x3_2a"), (one, "branch3x3_2b")),
        *((two, "branch3x3dbl_3a"), (two, "branch3x3dbl_3b"), (pooled, "branch_pool")),
    )
    return layers.Concatenate()([_chain(tensors, y, f"{name}.{end}") for y, end in ends])


def _chain(
    tensors: Tensors, x: KerasTensor, *names: str, padding: str = "same", halve: bool = False
) -> KerasTensor:
    """Convolutions one after the other; to halve, the last has stride 2 and no padding."""
    for name in names:
        last = halve and name == names[-1]
        size: dict[str, Any] = {"strides": 2, "padding": "valid"} if last else {"padding": padding}
        x = tensors.convolution(x, f"{name}.conv", f"{name}.bn", activation="relu", **size)
    return x


def _numbered(stem: str, count: int) -> list[str]:
    return [f"{stem}_{number}" for number in range(1, count + 1)] if count > 1 else [stem]


def _average_pool(x: KerasTensor) -> KerasTensor:
    """Means of 3 x 3 that leave the padding out at the border, where torchvision counts zeros."""
    return layers.AveragePooling2D(3, 1, "same")(x)
