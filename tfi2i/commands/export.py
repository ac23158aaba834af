"""The verb that makes artefacts for devices and servers: export."""

import argparse
from pathlib import Path

from tfi2i.commands.evaluate import pictures_of
from tfi2i.errors import InputError
from tfi2i.runs.run import Run


def export_verb(arguments: argparse.Namespace) -> int:
    """`tfi2i export RUN`."""
    from tfi2i_export.exporting import Choice, export
    from tfi2i_export.inputs import files_by_name

    if arguments.check:
        return _check(arguments.run)
    run = Run(arguments.run)
    run.check_direction(arguments.direction)
    data, aspect = pictures_of(run, arguments.overrides)
    choice = Choice(
        format=arguments.format,
        direction=arguments.direction,
        checkpoint=arguments.checkpoint,
        io=arguments.io,
        sizes=_sizes(arguments.sizes),
        dynamic=arguments.dynamic,
        pad=arguments.pad,
        target_db=arguments.target_db,
        images=arguments.images,
        seed=arguments.seed,
        signatures=arguments.signatures,
        bake=files_by_name(arguments.bake, "--bake"),
    )
    path = export(
        run,
        data,
        choice,
        aspect=aspect,
        to=arguments.to,
        force=arguments.force,
        accept=arguments.accept,
        overwrite=arguments.overwrite,
    )
    print(f"{path}, with {path.with_suffix('.json').name} beside it.")
    return 0


def _check(path: Path) -> int:
    """`tfi2i export PATH --check`: of one SavedModel, of all versions of it, or all of a run."""
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


def _sizes(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(
            f"--sizes {text}: give sides in pixels with commas between, such as 256,512."
        ) from error
