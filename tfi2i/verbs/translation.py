"""The verb that uses what was trained: translate."""

import argparse
from pathlib import Path
from typing import Any

from tfi2i.errors import InputError
from tfi2i.keras_files import load_translator
from tfi2i.run_dir import Run


def translate_verb(arguments: argparse.Namespace) -> int:
    """`tfi2i translate RUN_OR_TRANSLATOR IMAGES…`."""
    from tfi2i.tiles import PictureTranslator
    from tfi2i.translate import translate_files

    if arguments.tile is not None and arguments.tile < 1:
        raise InputError(f"--tile {arguments.tile}: a tile's side is a number of pixels above 0.")
    translator = _translator(arguments.model, arguments.direction)
    summary = translate_files(
        PictureTranslator(translator, tile=arguments.tile),
        arguments.images,
        arguments.out,
        suffix=arguments.format,
        overwrite=arguments.overwrite,
    )
    return 1 if summary.failed else 0


def _translator(path: Path, direction: str | None) -> Any:
    if path.is_file():
        if direction is not None:
            raise InputError(
                f"--direction {direction}: {path} has one direction only; leave --direction out."
            )
        return load_translator(path)
    return Run(path).translator("b2a" if direction == "b2a" else "a2b")
