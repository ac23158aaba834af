"""The verb that looks at pictures before a training: check-data."""

import argparse
from pathlib import Path

from tfi2i.commands.arguments import CONFIG_HELP, add_set, add_verb
from tfi2i.errors import InputError


def add(verbs) -> None:
    """Adds `tfi2i check-data`."""
    verb = add_verb(
        verbs,
        run,
        "check-data",
        "look at every picture before hours of training depend on them",
        "Reports counts, sizes, unreadable files, duplicates, pictures that training and test\n"
        "share, values that do not fill their range, pairs, the balance of domains and labels,\n"
        "and whatever `tfi2i train` would refuse. The exit code is 1 if there are problems.",
        "  tfi2i check-data horse2zebra/            a folder with trainA and trainB\n"
        "  tfi2i check-data my.yaml\n"
        "  tfi2i check-data --set data.source=folders --set data.a=photos --set data.b=paintings",
    )
    verb.add_argument("source", metavar="CONFIG_OR_FOLDER", nargs="?", help=CONFIG_HELP)
    add_set(verb)


def run(arguments: argparse.Namespace) -> int:
    """Prints the report on the pictures; returns 1 if there are problems."""
    from tfi2i.config import building
    from tfi2i.config import config as configs
    from tfi2i.data.batches import Batch
    from tfi2i.data.check import check
    from tfi2i.models import ALL
    from tfi2i.pictures.sizes import squash_note

    source, spec = arguments.source, None
    any_system = source is None or Path(source).is_dir()
    any_system = any_system and not any(one.startswith("system=") for one in arguments.overrides)
    if source is None or Path(source).is_dir():
        if source is None and not arguments.overrides:
            raise InputError(
                "check-data needs a configuration, a folder with trainA and trainB in it,"
                " or --set data.source=... and the settings of that source."
            )
        data = {"data": {"source": "folders", "root": source}} if source is not None else {}
        source = {"system": next(iter(ALL)), **data}  # any: only the data is looked at
    config = configs.load(source, arguments.overrides)
    settings = config.resolved()
    data, channels = building.build_data(config), settings.model.get("channels", 3)
    if any_system and len(data.train) != 2:
        spec = Batch("single")  # which every data has
    # Only in a system's channels can files of bands be read.
    of_bands = {2, 4} & {*(channels.values() if isinstance(channels, dict) else [channels])}
    report = check(data.in_channels(channels) if of_bands else data)
    try:
        said = building.require_trainable(config, data, spec)
    except InputError as error:
        report.refuse(str(error))
    else:
        report.problems += said.faults
        report.notes += said.notes
    if settings.batches["aspect"] == "squash":
        size = settings.model["image_size"]
        train = [found for found in report.sets if found.title.startswith("train ")]
        shapes = {one.title: zip(one.heights, one.widths, strict=True) for one in train}
        notes = (squash_note(each, size, title) for title, each in shapes.items())
        report.notes += [note for note in notes if note]
    print(report.text())
    return 1 if report.problems else 0
