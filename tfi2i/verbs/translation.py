"""The verb that uses what was trained: translate."""

import argparse
from pathlib import Path

from tfi2i.errors import InputError
from tfi2i.keras_files import load_translator
from tfi2i.run_dir import Run
from tfi2i.translate import Translate, translate_files


def translate_verb(arguments: argparse.Namespace) -> int:
    """`tfi2i translate RUN_OR_TRANSLATOR IMAGES…`."""
    if arguments.tile is not None and arguments.tile < 1:
        raise InputError(f"--tile {arguments.tile}: a tile's side is a number of pixels above 0.")
    summary = translate_files(
        _picture_translator(arguments.model, arguments.direction, arguments.tile),
        arguments.images,
        arguments.out,
        suffix=arguments.format,
        overwrite=arguments.overwrite,
    )
    return 1 if summary.failed else 0


def _picture_translator(path: Path, direction: str | None, tile: int | None) -> Translate:
    """Pixels (H, W, 3) -> the same, by a run, a .keras or a .tflite file."""
    from tfi2i.tiles import PictureTranslator

    if direction is not None and path.is_file():
        raise InputError(
            f"--direction {direction}: {path} has one direction only; leave --direction out."
        )
    if path.is_file() and path.suffix == ".tflite":
        from tfi2i_export.tflite_pictures import TFLitePictureTranslator

        return TFLitePictureTranslator(path, tile=tile)
    if path.is_file():
        return PictureTranslator(load_translator(path), tile=tile)
    return PictureTranslator(
        Run(path).translator("b2a" if direction == "b2a" else "a2b"), tile=tile
    )
