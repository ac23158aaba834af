"""The verb that makes artefacts for devices and servers: export."""

import argparse
import dataclasses
from pathlib import Path

from tfi2i.commands.arguments import (
    add_direction,
    add_seed,
    add_set,
    add_values,
    add_verb,
)
from tfi2i.commands.evaluate import pictures_of
from tfi2i.errors import InputError


def add(verbs) -> None:
    """Adds `tfi2i export`."""
    verb = add_verb(
        verbs,
        run,
        "export",
        "make a small, fast .tflite file, an ONNX file or a SavedModel, that agrees with the run",
        "Rewrites the network without changing what it computes, quantizes it, and compares it\n"
        "with the run on held-out pictures: an artefact that does not keep what its format\n"
        "promises is not written. A sidecar, NAME.json, says all a program has to know.\n\n"
        "  int8       a quarter of the size, the fastest that looks the same; for CPUs [default]\n"
        "  int8-hq    a little slower and closer; int8-fast the other way round\n"
        "  int8-npu   fixed ranges, for accelerators that know nothing else; loses more\n"
        "  auto       as many int8 convolutions as --target-db allows\n"
        "  float16    half the size, for GPUs; float32: exact\n"
        "  onnx       float32 for ONNX Runtime and its like; needs tfi2i[onnx]\n"
        "  saved_model  a folder that TF Serving serves, a new version in it each time",
        "  tfi2i export runs/00003-nicegan-horse2zebra\n"
        "  tfi2i export runs/00003-nicegan-horse2zebra --direction b2a --format int8-hq\n"
        "  tfi2i export runs/00003-nicegan-horse2zebra --sizes 256,192x256 --io uint8\n"
        "  tfi2i export runs/00003-nicegan-horse2zebra --format saved_model --to /models\n"
        "  tfi2i export runs/00003-nicegan-horse2zebra --format onnx\n"
        "  tfi2i export /models/a2b-saved_model --check",
    )
    verb.add_argument(
        "run", metavar="RUN", type=Path, help="a run directory; with --check also a SavedModel"
    )
    verb.add_argument("--format", metavar="F", default="int8", help="see above [int8]")
    add_direction(verb)
    verb.add_argument("--checkpoint", choices=("last", "best"), default="last", help="[last]")
    _add_tensors(verb)
    verb.add_argument(
        "--target-db", metavar="DB", type=float, default=43.0, help="PSNR for auto [43]"
    )
    verb.add_argument(
        "--images", metavar="N", type=int, default=24, help="held-out pictures to judge by [24]"
    )
    _add_conditions(verb)
    add_seed(verb)
    add_set(verb)


def _add_tensors(verb: argparse.ArgumentParser) -> None:
    """Adds options on what the artefact takes and gives."""
    verb.add_argument(
        "--io",
        choices=("float", "uint8"),
        default="float",
        help="what the file takes and gives: RGB 0..255 as float32 or as uint8 [float]",
    )
    verb.add_argument(
        "--sizes",
        metavar="SIZE,SIZE",
        help="one signature each: 256 for squares, HEIGHTxWIDTH for others [the run's]",
    )
    verb.add_argument("--dynamic", action="store_true", help="any height and width")
    verb.add_argument(
        "--batch",
        metavar="N",
        type=int,
        default=1,
        help="pictures that a .tflite file takes at a time, where it is not resized [1]",
    )
    verb.add_argument(
        "--pad",
        choices=("slice", "mirror"),
        default="slice",
        help="padding as slices, which CPUs take whole, or as one operation for GPUs [slice]",
    )
    verb.add_argument(
        "--signatures",
        choices=("all", "tensor"),
        default="all",
        help="of a saved_model: also picture files, or float images alone, as OpenVINO needs [all]",
    )
    add_values(verb, "--bake", "an input besides the picture, to be part of the artefact")
    verb.add_argument(
        "--label", metavar="NAME", help="such as winter, to be part of the artefact likewise"
    )


def _add_conditions(verb: argparse.ArgumentParser) -> None:
    """Adds options on what may be written and where, and on whether anything is."""
    verb.add_argument(
        "--to",
        metavar="DIR",
        type=Path,
        help="folder for artefact and sidecar, or android_demo [RUN/exports]",
    )
    verb.add_argument("--accept", action="store_true", help="write it even if it misses its limits")
    verb.add_argument(
        "--force",
        action="store_true",
        help="also formats known to be bad: int8-full, int16x8, int4",
    )
    verb.add_argument(
        "--overwrite", action="store_true", help="replace an artefact of the same name"
    )
    verb.add_argument(
        "--check",
        action="store_true",
        help="export nothing: say whether the SavedModels of RUN can be served",
    )


def run(arguments: argparse.Namespace) -> int:
    """Makes an artefact, or with --check looks at what can be served."""
    from tfi2i_export.exporting import Choice, export
    from tfi2i_export.inputs import files_by_name

    from tfi2i.pictures.sizes import sizes_of
    from tfi2i.runs.run import Run

    if arguments.check:
        return _check(arguments.run)
    run = Run(arguments.run)
    run.check_direction(arguments.direction)
    data, aspect = pictures_of(run, arguments.overrides)
    sizes = None if arguments.sizes is None else sizes_of("--sizes", arguments.sizes)
    fields = {field.name for field in dataclasses.fields(Choice)} - {"bake", "sizes"}
    given = {name: value for name, value in vars(arguments).items() if name in fields}
    choice = Choice(**given, sizes=sizes, bake=files_by_name(arguments.bake, "--bake"))
    allowed = {name: getattr(arguments, name) for name in ("to", "force", "accept", "overwrite")}
    path = export(run, data, choice, aspect=aspect, **allowed)
    print(f"{path}, with {path.with_suffix('.json').name} beside it.")
    return 0


def _check(path: Path) -> int:
    """Checks a version of a SavedModel, all versions of it, or all SavedModels of a run."""
    from tfi2i_export.saved_model.files import versions
    from tfi2i_export.saved_model.writing import refuse_unservable

    if (path / "saved_model.pb").is_file():
        folders = [path]
    else:
        bases = [path, *sorted((path / "exports").glob("*/")), *sorted(path.glob("*/"))]
        folders = list(dict.fromkeys(version for base in bases for version in versions(base)))
    if not folders:
        raise InputError(
            f"{path} holds no SavedModel; tfi2i export RUN --format saved_model makes one."
        )
    for folder in folders:
        refuse_unservable(folder)
        print(f"{folder} can be served.")
    return 0
