"""The verb that uses what was trained: translate."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from tfi2i.errors import InputError
from tfi2i.pictures.folders import Translate, translate_files
from tfi2i.runs.keras_files import load_translator
from tfi2i.runs.run import Run

_NOT_A_FILE = "--input is for .tflite files with inputs besides the picture; leave it out."


def translate_verb(arguments: argparse.Namespace) -> int:
    """`tfi2i translate RUN_OR_TRANSLATOR IMAGES…`, or `tfi2i translate --server URL IMAGES…`."""
    if arguments.server is not None:
        return _by_server(arguments)
    for option in ("workers", "deadline"):
        if getattr(arguments, option) is not None:
            raise InputError(f"--{option} goes with --server URL; leave it out without a server.")
    if arguments.tile is not None and arguments.tile < 1:
        raise InputError(f"--tile {arguments.tile}: a tile's side is a number of pixels above 0.")
    summary = translate_files(
        _picture_translator(arguments.model, arguments.direction, arguments.tile, arguments.input),
        arguments.images,
        arguments.out,
        suffix=arguments.format,
        overwrite=arguments.overwrite,
    )
    return 1 if summary.failed else 0


def _by_server(arguments: argparse.Namespace) -> int:
    # Its own log, on stderr, repeats what the error says.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from tfi2i_export.serving.client import ServerTranslator

    if arguments.input:
        raise InputError(_NOT_A_FILE)
    for option in ("direction", "tile"):
        if getattr(arguments, option) is not None:
            raise InputError(
                f"--{option} is decided by the model that the server holds; leave it out with "
                "--server."
            )
    # The first path stands where the model does without a server.
    paths = [path for path in (arguments.model, *arguments.images) if path is not None]
    for path in paths:
        if path.suffix in (".keras", ".tflite") or (path / "config.yaml").is_file():
            raise InputError(
                f"{path} is a model, and the server has its own; name pictures alone with --server."
            )
    given = {} if arguments.deadline is None else {"deadline_seconds": arguments.deadline}
    with ServerTranslator(arguments.server, **given) as translator:
        summary = translate_files(
            translator,
            paths,
            arguments.out,
            suffix=arguments.format,
            overwrite=arguments.overwrite,
            workers=4 if arguments.workers is None else arguments.workers,
        )
    return 1 if summary.failed else 0


def _picture_translator(
    path: Path, direction: str | None, tile: int | None, inputs: Sequence[str]
) -> Translate:
    """Pixels (H, W, 3) -> the same, by a run, a .keras or a .tflite file."""
    from tfi2i.pictures.tiles import PictureTranslator

    if direction is not None and path.is_file():
        raise InputError(
            f"--direction {direction}: {path} has one direction only; leave --direction out."
        )
    if path.is_file() and path.suffix == ".tflite":
        from tfi2i_export.inputs import files_by_name, read
        from tfi2i_export.tflite.pictures import TFLitePictureTranslator

        files = files_by_name(inputs, "--input")
        values = {name: read(file)[0] for name, file in files.items()}
        return TFLitePictureTranslator(path, tile=tile, inputs=values)
    if inputs:
        raise InputError(_NOT_A_FILE)
    if path.is_file():
        return PictureTranslator(load_translator(path), tile=tile)
    return PictureTranslator(
        Run(path).translator("b2a" if direction == "b2a" else "a2b"), tile=tile
    )
