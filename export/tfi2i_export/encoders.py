"""Encoders of reference pictures: pixels (H, W, 3) of any size -> the value of an input.

A run has them as networks. An artefact has them as a .tflite file beside its sidecar: image
(1, H, W, 3), RGB 0..255 -> value (1, ...), float32. Where a label chooses the domain of the
pictures that come out, there is a signature for each label, `encode_0` and so on; otherwise
`encode` alone.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfi2i.conditions import Condition
from tfi2i.data.resize import scaled_to
from tfi2i.errors import InputError, first_line
from tfi2i.pictures.channels import in_channels
from tfi2i.pictures.pixels import to_image
from tfi2i.pictures.sizes import AnySize, Size, height_and_width
from tfi2i.pictures.tiles import Pixels
from tfi2i.terminal import quiet
from tfi2i_export.inputs import Array, Shape
from tfi2i_export.sidecar import Sidecar, Tensor
from tfi2i_export.tflite.interpreter import DAMAGE, ENCODER_END, VALUE, content_of, opened
from tfi2i_export.tflite.trial import require_alive

SIGNATURE = "encode"
LIMITS = {False: 1e-3, True: 2e-2}
"""Differences to Keras that a file may have, in units of the values' root mean square: those of
float32, and of float16."""
LARGEST_SIDE = 4096
JUDGED = 4  # pictures

Reader = Callable[[Pixels, str | None], Array]
"""Pixels (H, W, 3) and the domain of the pictures that are to come out -> a value (...)."""


def reader_of(encode: Callable[[str | None], Any], size: AnySize, aspect: str) -> Reader:
    """Returns the reader of a condition of a system.

    Args:
        encode: Maker of the encoder for a domain, a `keras.Model`.
        size: Size of the pictures where the encoder takes any.
        aspect: Way in which pictures take that size, as in training.
    """

    def read(pixels: Pixels, target: str | None) -> Array:
        encoder = encode(target)
        seen = in_channels(pixels, encoder.inputs[0].shape[-1])
        taken = scaled_to(seen, _taken(encoder, size), aspect)
        return np.asarray(encoder(to_image(taken)[None], training=False))[0]

    return read


def _taken(encoder: Any, size: AnySize) -> Size:
    """The size of the pictures that an encoder takes; of one that takes any, the given one."""
    rows, columns = encoder.inputs[0].shape[1:3]
    height, width = height_and_width(size)
    return rows or height, columns or width


def name_of(artefact: str, condition: str) -> str:
    """Returns the name of the file of a condition's encoder, beside NAME.tflite or NAME."""
    return f"{artefact.removesuffix('.tflite')}-{condition}{ENCODER_END}"


def companions(
    conditions: Sequence[Condition],
    target: str | None,
    size: AnySize,
    half: bool,
    pictures: Callable[[Size, int], Pixels],
) -> dict[str, bytes]:
    """Returns the files of the encoders that conditions have, by the condition's name, checked.

    Args:
        conditions: Open conditions of a network.
        target: Domain of the pictures that come out; None: a label chooses it.
        size: Size of the pictures that encoders of any size get.
        half: Stores the weights as float16.
        pictures: Function of a size and a number: pictures (N, H, W, 3) to judge by.

    Raises:
        InputError: A file does not agree with Keras.
    """
    from tfi2i_export.graph.fold import fold, in_float32
    from tfi2i_export.tflite.conversion import convert_encoders

    label = next((one for one in conditions if one.kind == "label" and one.exclusive), None)
    names = label.names if target is None and label is not None else ()
    files = {}
    for one in conditions:
        made = [one.encoder(name) for name in names or (target,)]
        if None in made:
            continue
        encoders = {
            f"{SIGNATURE}_{i}" if names else SIGNATURE: in_float32(encoder)
            for i, encoder in enumerate(made)
        }
        taken = _taken(made[0], size)
        folded = {
            name: fold(encoder, side=taken, retile_output=False)
            for name, encoder in encoders.items()
        }
        files[one.name] = convert_encoders(folded, half=half)
        _check(files[one.name], encoders, pictures(taken, JUDGED), half)
    return files


def _check(content: bytes, encoders: Mapping[str, Any], pixels: Pixels, half: bool) -> None:
    """Makes sure that a file reads pictures (N, H, W, 3) as the encoders do, by signature."""
    interpreter, worst = opened(content), 0.0
    for name, encoder in encoders.items():
        run = interpreter.get_signature_runner(name)
        for picture in pixels[:, None]:
            found = run(image=picture.astype(np.float32))[VALUE]
            wanted = np.asarray(encoder(to_image(picture), training=False))
            scale = max(float(np.sqrt(np.square(wanted).mean())), 1e-6)
            worst = max(worst, float(np.abs(found - wanted).max()) / scale)
    if not worst <= LIMITS[half]:
        raise InputError(
            f"The encoder of reference pictures differs from Keras by {worst:.2g} of its values, "
            f"over {LIMITS[half]:g}; export float32."
        )


def named(sidecar: Sidecar, files: Mapping[str, bytes], artefact: Path, aspect: str) -> Sidecar:
    """Returns the sidecar with the encoders' files that lie beside an artefact."""

    def with_encoder(tensor: Tensor) -> Tensor:
        if tensor.name not in files:
            return tensor
        sha256 = hashlib.sha256(files[tensor.name]).hexdigest()
        file = name_of(artefact.name, tensor.name)
        return dataclasses.replace(tensor, encoder=file, encoder_sha256=sha256, aspect=aspect)

    signatures = tuple(
        dataclasses.replace(one, inputs=tuple(map(with_encoder, one.inputs)))
        for one in sidecar.signatures
    )
    return dataclasses.replace(sidecar, signatures=signatures)


def companion_reader(
    path: Path, sha256: str | None, shape: Shape, names: Sequence[str], aspect: str
) -> Reader:
    """Returns the reader of an input that has an encoder's file beside its sidecar.

    Args:
        path: File, looked at when a picture is read.
        sha256: Digest by the sidecar; None: it tells none.
        shape: Shape of a value.
        names: Labels, of which each may have an encoder of its own.
        aspect: Way in which pictures take the size of the encoder.
    """

    def read(pixels: Pixels, target: str | None) -> Array:
        if sha256 is None:  # of a sidecar of before there were any
            require_alive(path, is_encoder=True)
        content = content_of(path)
        if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
            raise InputError(f"{path} is not the encoder that the sidecar names; copy both again.")
        try:
            interpreter = opened(content, name=str(path))
            known = sorted(interpreter.get_signature_list())
            own = f"{SIGNATURE}_{names.index(target)}" if target in names else SIGNATURE
            run = interpreter.get_signature_runner(own if own in known else SIGNATURE)
            _, *size, channels = map(int, run.get_input_details()["image"]["shape"])
            if not all(0 < side <= LARGEST_SIDE for side in size):
                raise ValueError("its pictures have no size")
            taken = scaled_to(in_channels(pixels, channels), size, aspect)
            with quiet():
                full = np.float32(257 if taken.dtype == np.uint16 else 1)
                (value,) = run(image=taken[None].astype(np.float32) / full)[VALUE]
            if value.shape != shape or not np.isfinite(value).all():
                raise ValueError(f"it makes {value.shape} and not numbers {shape}")
        except DAMAGE as error:
            raise InputError(f"{path} is no encoder of tfi2i ({first_line(error)}).") from error
        return value

    return read
