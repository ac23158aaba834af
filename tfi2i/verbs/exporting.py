"""The verb that makes artefacts for devices and servers: export."""

import argparse

from tfi2i.errors import InputError
from tfi2i.run_dir import Run
from tfi2i.verbs.evaluation import pictures_of


def export_verb(arguments: argparse.Namespace) -> int:
    """`tfi2i export RUN`."""
    from tfi2i_export.exporting import Choice, export

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
    print(f"{path}, with {path.with_name(choice.name + '.json').name} beside it.")
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
