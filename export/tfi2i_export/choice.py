"""Choice of what to export, and how: the options of `tfi2i export`."""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from tfi2i.errors import InputError
from tfi2i.pictures.sizes import Size, height_and_width, size_text
from tfi2i.runs.run import Which
from tfi2i_export.onnx_files import require_packages
from tfi2i_export.tflite.conversion import Io
from tfi2i_export.tflite.quantization import FORCED, FORMATS

STATIC = ("int8-npu", "int8-full", "int16x8")  # formats with ranges fixed by calibration
OPEN = {"saved_model": "A SavedModel", "onnx": "An ONNX file"}
"""Formats that take any number of pictures, of any size where the translator does, in float32."""
TARGET_DB = 43.0  # of the format "auto"
LARGEST_BATCH = 1024  # pictures; more is a slip, as no memory holds their maps


@dataclasses.dataclass(frozen=True)
class Choice:
    """Choice of what to export, and how; the words are those of `tfi2i export --help`.

    Attributes:
        format: One of `FORMATS` or `FORCED`, or of `OPEN`.
        direction: Name of a direction of the system; None: its first.
        checkpoint: "last" or "best".
        io: "float": float32 RGB 0..255; "uint8".
        sizes: Sides of squares, or (height, width), one signature each; None: the training's.
        dynamic: Free height and width.
        batch: Number of pictures that a .tflite file takes at a time.
        pad: "slice" for CPUs, "mirror" for GPUs.
        target_db: PSNR in dB for "auto".
        images: Test pictures that the agreement is measured on.
        calibration: Training pictures to equalise and calibrate by.
        seed: Seed of the choice of pictures.
        signatures: Signatures of a SavedModel: "all", or "tensor" for servers that decode none.
        bake: Files (.npy) with values that become part of the artefact, by the inputs' names.
        label: Names of labels, such as "winter", whose value becomes part of it.
    """

    format: str = "int8"
    direction: str | None = None
    checkpoint: Which = "last"
    io: Io = "float"
    sizes: tuple[int | Size, ...] | None = None
    dynamic: bool = False
    batch: int = 1
    pad: Literal["slice", "mirror"] = "slice"
    target_db: float = TARGET_DB
    images: int = 24
    calibration: int = 12
    seed: int = 0
    signatures: Literal["all", "tensor"] = "all"
    bake: Mapping[str, Path] = dataclasses.field(default_factory=dict)
    label: str | None = None

    def name_of(self, direction: str) -> str:
        """Returns the artefact's name without suffix: `a2b-int8`, `a2b-int8-uint8-256-192x256`.

        Of an ONNX file it is `a2b`, as the suffix says the rest.
        """
        parts = [direction] if self.format == "onnx" else [direction, self.format]
        parts += [self.checkpoint] if self.checkpoint != "last" else []
        parts += [self.io] if self.io != "float" else []
        parts += ["dynamic"] if self.dynamic else []
        parts += map(size_text, self.sizes or ())
        parts += [f"batch{self.batch}"] if self.batch != 1 else []
        parts += [self.pad] if self.pad != "slice" else []
        parts += [self.signatures] if self.signatures != "all" else []
        values = [path.stem for path in self.bake.values()]
        values += [] if self.label is None else [self.label]
        parts += [re.sub(r"[^\w.-]+", "_", value) for value in values]
        return "-".join(parts)

    @property
    def suffix(self) -> str:
        """The artefact's suffix; "" of a folder."""
        return {"saved_model": "", "onnx": ".onnx"}.get(self.format, ".tflite")

    @property
    def quantised(self) -> bool:
        return self.format.startswith("int") or self.format == "auto"


def check(choice: Choice, force: bool) -> None:
    """Makes sure that a choice can be exported by some system.

    Args:
        choice: Choice of what to export.
        force: Permission for a format that is known to be bad.

    Raises:
        InputError: an unknown format, or options that exclude each other.
    """
    known = (*FORMATS, *OPEN)
    if choice.format not in (*known, *FORCED):
        raise InputError(
            f"There is no format {choice.format!r}; choose of {', '.join((*known, *FORCED))}."
        )
    if choice.format in FORCED and not force:
        raise InputError(
            f"{choice.format} ruins these networks or gains nothing; --force exports it for "
            "comparison, with its measured figure."
        )
    if choice.dynamic and choice.sizes:
        raise InputError("--dynamic leaves the size free: leave out --sizes.")
    sizes = [height_and_width(size) for size in choice.sizes or ()]
    if min(map(min, sizes), default=1) < 1:
        raise InputError("--sizes are in pixels, such as 256,192x256.")
    if len(set(sizes)) != len(sizes):
        raise InputError("--sizes names a size twice.")
    if choice.format in STATIC and (choice.dynamic or len(choice.sizes or ()) > 1):
        raise InputError(
            f"{choice.format} is calibrated for one size: leave out --dynamic, --sizes."
        )
    if choice.images < 1 or choice.calibration < 1:
        raise InputError("Numbers of pictures are 1 or more.")
    if not 1 <= choice.batch <= LARGEST_BATCH:
        raise InputError(
            f"--batch {choice.batch}: give a number of pictures, 1 to {LARGEST_BATCH}."
        )
    if choice.format in OPEN and choice.batch != 1:
        raise InputError(f"{OPEN[choice.format]} takes any number of pictures: leave out --batch.")
    several = len(choice.sizes or ()) > 1
    if choice.format == "onnx":
        require_packages()
        if several or choice.dynamic or choice.pad != "slice":
            raise InputError(
                "An ONNX file takes any size or one of --sizes, and has its own padding: leave out "
                "--dynamic, --pad."
            )
    if choice.format == "saved_model" and (several or choice.dynamic or choice.io != "float"):
        raise InputError(
            "A SavedModel takes any size or one of --sizes, in float: leave out --dynamic, --io."
        )
    if choice.format != "saved_model" and choice.signatures != "all":
        raise InputError("--signatures is for --format saved_model.")
